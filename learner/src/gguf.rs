//! GGUF files of llama and qwen2 models, in: one file with shape, tensors and tokenizer.
//!
//! Tensors come one at a time, whatever their quantisation, as f32. In llama files (not in qwen2's) the rows of q and k
//! are in another order: a head's two halves, which rotary positions turn against each other, are interleaved there.

mod alignment;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Seek as _};
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use candle_core::{Device, Tensor};

use crate::error::{EngineError, Result};
use crate::model::Config;
use crate::ops;

/// An open file: its header was read.
pub(crate) struct Gguf<'p> {
    path: &'p Path,
    file: BufReader<File>,
    content: Content,
}

/// Whether a path means such a file, not a directory.
pub(crate) fn is_one(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gguf")
}

impl Gguf<'_> {
    pub(crate) fn open(path: &Path) -> Result<Gguf<'_>> {
        let mut file = BufReader::new(File::open(path).map_err(EngineError::io(path))?);
        if alignment::is_zero(&mut file) {
            let what = "general.alignment is 0; expected the bytes that tensors are aligned to, mostly 32";
            return Err(EngineError::checkpoint(path, what));
        }
        file.rewind().map_err(EngineError::io(path))?;
        let content = Content::read(&mut file).map_err(|error| refused(path, &error))?;
        Ok(Gguf { path, file, content })
    }

    fn refuse(&self, what: impl Into<String>) -> EngineError {
        EngineError::checkpoint(self.path, what)
    }

    fn value(&self, key: &str) -> Result<&Value> {
        let value = self.content.metadata.get(key);
        value
            .ok_or_else(|| self.refuse(format!("expected a GGUF file with the key {key}, and there is none")))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.content.metadata.get(key)?.to_string().ok().map(String::as_str)
    }

    fn size(&self, key: &str) -> Result<usize> {
        let value = self.value(key)?;
        let size = value.to_u64().ok().or_else(|| value.to_u32().ok().map(u64::from));
        let size = size.and_then(|size| usize::try_from(size).ok());
        size.ok_or_else(|| self.refuse(format!("{key} is {value:?}; expected one size")))
    }

    fn number(&self, key: &str) -> Result<Option<f32>> {
        let Some(value) = self.content.metadata.get(key) else { return Ok(None) };
        let number = value.to_f32().ok().or_else(|| value.to_f64().ok().map(|value| value as f32));
        number.map(Some).ok_or_else(|| self.refuse(format!("{key} is {value:?}; expected a number")))
    }

    /// What would change the numbers and is not computed here must be refused, not ignored.
    fn refuse_unknown_mathematics(&self, kind: &str, head_dim: usize) -> Result<()> {
        let scaling = self.text(&format!("{kind}.rope.scaling.type"));
        if scaling.is_some_and(|scaling| scaling != "none")
            || self.content.tensor_infos.contains_key("rope_freqs.weight")
        {
            return Err(self.refuse("its rotary positions are scaled; this engine computes the default ones"));
        }
        // Without a type a factor scales linearly, and 0 stands for none; the second key is the older one.
        for rest in ["rope.scaling.factor", "rope.scale_linear"] {
            let key = format!("{kind}.{rest}");
            let factor = self.number(&key)?.filter(|factor| ![0.0, 1.0].contains(factor));
            if let (Some(factor), None) = (factor, scaling) {
                let what =
                    format!("{key} is {factor}; this engine computes rotary positions that are not scaled");
                return Err(self.refuse(what));
            }
        }
        let key = format!("{kind}.rope.dimension_count");
        let turned = self.optional_size(&key)?.unwrap_or(head_dim);
        if turned != head_dim {
            let what = format!("{key} is {turned}; this engine turns all {head_dim} numbers of a head");
            return Err(self.refuse(what));
        }
        // Also one as long as the context: a recipe may raise that.
        let key = format!("{kind}.attention.sliding_window");
        match self.optional_size(&key)? {
            None | Some(0) => Ok(()),
            Some(window) => {
                Err(self.refuse(format!("{key} is {window}; this engine computes full attention")))
            }
        }
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>> {
        self.content.metadata.contains_key(key).then(|| self.size(key)).transpose()
    }

    /// That the file holds no tensor beside those of `shapes`: a bias that is left out gives other numbers.
    fn refuse_unknown_tensors(&self, config: &Config, shapes: &[(String, Vec<usize>)]) -> Result<()> {
        let known: HashSet<String> = shapes.iter().map(|(name, _)| their_name(name)).collect();
        let unknown = self.content.tensor_infos.keys().filter(|name| !known.contains(*name)).min();
        unknown.map_or(Ok(()), |name| {
            let Config { model_type, num_hidden_layers, .. } = config;
            let what = format!(
                "the tensor {name} is no part of a {model_type} model of {num_hidden_layers} layers as this engine \
                 computes it"
            );
            Err(self.refuse(what))
        })
    }

    /// The shape of the model.
    pub(crate) fn config(&self) -> Result<Config> {
        let kind = self.text("general.architecture").unwrap_or("none").to_owned();
        if !["qwen2", "llama"].contains(&kind.as_str()) {
            let what = format!("general.architecture is {kind}; this engine computes qwen2 and llama");
            return Err(self.refuse(what));
        }
        let key = |rest: &str| format!("{kind}.{rest}");
        let hidden_size = self.size(&key("embedding_length"))?;
        let heads = self.size(&key("attention.head_count"))?;
        let or = |key: String, other: usize| Ok::<_, EngineError>(self.optional_size(&key)?.unwrap_or(other));
        let head_dim = or(key("attention.key_length"), hidden_size / heads.max(1))?;
        self.refuse_unknown_mathematics(&kind, head_dim)?;
        let vocab_size =
            match self.content.tensor_infos.get("token_embd.weight").map(|info| info.shape.dims()) {
                Some([rows, _]) => *rows,
                _ => return Err(self.refuse("expected a matrix token_embd.weight")),
            };
        let id = |key: &str| self.size(key).ok().and_then(|id| u32::try_from(id).ok());
        let config = Config {
            attention_bias: kind == "qwen2",
            hidden_size,
            intermediate_size: self.size(&key("feed_forward_length"))?,
            num_hidden_layers: self.size(&key("block_count"))?,
            num_attention_heads: heads,
            num_key_value_heads: or(key("attention.head_count_kv"), heads)?,
            head_dim,
            vocab_size,
            max_position_embeddings: self.size(&key("context_length"))?,
            rms_norm_eps: self.number(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-6),
            rope_theta: self.number(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            tie_word_embeddings: !self.content.tensor_infos.contains_key("output.weight"),
            bos_token_id: id("tokenizer.ggml.bos_token_id"),
            eos_token_id: id("tokenizer.ggml.eos_token_id").into_iter().collect(),
            initializer_range: 0.02,
            model_type: kind,
        };
        config.check().map_err(|what| self.refuse(what))?;
        Ok(config)
    }

    /// The parameters of `shapes`, in that order, each read as f32 and given to `place` before the next is read.
    pub(crate) fn tensors(
        &mut self,
        config: &Config,
        shapes: &[(String, Vec<usize>)],
        mut place: impl FnMut(Tensor) -> Result<Tensor>,
    ) -> Result<Vec<Tensor>> {
        self.refuse_unknown_tensors(config, shapes)?;
        shapes.iter().map(|(name, shape)| place(self.tensor(config, name, shape)?)).collect()
    }

    fn tensor(&mut self, config: &Config, name: &str, shape: &[usize]) -> Result<Tensor> {
        let theirs = their_name(name);
        let Some(info) = self.content.tensor_infos.get(&theirs) else {
            return Err(self.refuse(format!("expected the tensor {theirs}, and there is none")));
        };
        if info.shape.dims() != shape {
            let what = format!("{theirs} is {:?}; the header makes it {shape:?}", info.shape.dims());
            return Err(self.refuse(what));
        }
        let tensor = self
            .content
            .tensor(&mut self.file, &theirs, &Device::Cpu)
            .and_then(|tensor| tensor.dequantize(&Device::Cpu))
            .map_err(|error| refused(self.path, &error))?;
        let turned = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
        if config.model_type == "llama" && turned {
            halves_apart(&tensor, config.head_dim)
        } else {
            Ok(tensor)
        }
    }

    /// The tokenizer, the text of its end-of-text token, and the chat template.
    pub(crate) fn tokenizer(&self) -> Result<(tokenizers::Tokenizer, Option<String>, Option<&str>)> {
        let tokenizer =
            tokenizers::Tokenizer::from_gguf(&self.content).map_err(|error| refused(self.path, &error))?;
        let end = self.size("tokenizer.ggml.eos_token_id").ok();
        let end = end.and_then(|id| tokenizer.id_to_token(u32::try_from(id).ok()?));
        Ok((tokenizer, end, self.text("tokenizer.chat_template")))
    }
}

/// The first line of what the reader said; it may add where in its own code it was.
fn refused(path: &Path, error: &candle_core::Error) -> EngineError {
    let said = error.to_string();
    EngineError::checkpoint(
        path,
        format!("expected a GGUF file: {}", said.lines().next().unwrap_or_default()),
    )
}

/// What a parameter is called in such a file.
fn their_name(name: &str) -> String {
    let names = [
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
        ("model.layers.", "blk."),
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    names.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replacen(ours, theirs, 1))
}

/// Row 2 i + part of each head becomes row part * half + i.
fn halves_apart(tensor: &Tensor, head_dim: usize) -> Result<Tensor> {
    let source = |row: usize| {
        let (head, at) = (row / head_dim, row % head_dim);
        let (part, i) = (at / (head_dim / 2), at % (head_dim / 2));
        head * head_dim + 2 * i + part
    };
    let rows: Vec<usize> = (0..tensor.dim(0)?).map(source).collect();
    ops::gather_rows(tensor, &rows)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::quantized::{GgmlDType, QTensor, gguf_file};

    use super::*;
    use crate::model::Model;
    use crate::tokenizer::Tokenizer;

    /// Row part * half + i of each head becomes row 2 i + part: what writers of llama files do.
    fn halves_together(tensor: &Tensor, head_dim: usize) -> Tensor {
        let place = |row: usize| {
            let (head, at) = (row / head_dim, row % head_dim);
            head * head_dim + at % 2 * (head_dim / 2) + at / 2
        };
        let rows: Vec<usize> = (0..tensor.dim(0).unwrap()).map(place).collect();
        ops::gather_rows(tensor, &rows).unwrap()
    }

    fn write(model: &Model, dtype: GgmlDType, path: &Path) {
        write_with(model, dtype, path, &[], &[]);
    }

    /// With entries of the header in place of ours or beside them, and tensors of two numbers.
    fn write_with(model: &Model, dtype: GgmlDType, path: &Path, entries: &[(&str, Value)], tensors: &[&str]) {
        let config = model.config();
        let kind = config.model_type.clone();
        let size = |n: usize| Value::U32(n as u32);
        let texts =
            |list: &[&str]| Value::Array(list.iter().map(|text| Value::String((*text).to_owned())).collect());
        let metadata: HashMap<String, Value> = [
            ("embedding_length", size(config.hidden_size)),
            ("feed_forward_length", size(config.intermediate_size)),
            ("block_count", size(config.num_hidden_layers)),
            ("attention.head_count", size(config.num_attention_heads)),
            ("attention.head_count_kv", size(config.num_key_value_heads)),
            ("context_length", size(config.max_position_embeddings)),
            ("attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps)),
            ("rope.freq_base", Value::F32(config.rope_theta)),
        ]
        .into_iter()
        .map(|(rest, value)| (format!("{kind}.{rest}"), value))
        .chain([
            ("general.architecture".to_owned(), Value::String(kind.clone())),
            ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".to_owned())),
            ("tokenizer.ggml.pre".to_owned(), Value::String("qwen2".to_owned())),
            ("tokenizer.ggml.tokens".to_owned(), texts(&["a", "b", "ab", "<end>"])),
            ("tokenizer.ggml.merges".to_owned(), texts(&["a b"])),
            ("tokenizer.ggml.eos_token_id".to_owned(), size(3)),
        ])
        .chain(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())))
        .collect();
        let stored: Vec<(String, QTensor)> = model
            .parameters()
            .map(|(name, value)| {
                let turned = name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
                let value = match kind == "llama" && turned {
                    true => halves_together(value, config.head_dim),
                    false => value.clone(),
                };
                // Vectors stay f32, as every writer leaves them.
                let dtype = if value.rank() == 1 { GgmlDType::F32 } else { dtype };
                (their_name(name), QTensor::quantize(&value, dtype).unwrap())
            })
            .chain(tensors.iter().map(|name| {
                let two = Tensor::new(&[0.5f32, -0.5], &Device::Cpu).unwrap();
                ((*name).to_owned(), QTensor::quantize(&two, GgmlDType::F32).unwrap())
            }))
            .collect();
        let metadata: Vec<(&str, &Value)> =
            metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let stored: Vec<(&str, &QTensor)> =
            stored.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        gguf_file::write(&mut File::create(path).unwrap(), &metadata, &stored).unwrap();
    }

    #[test]
    fn models_come_back_as_they_were_written_to_the_precision_of_each_format() {
        let qwen2 = Config { initializer_range: 0.2, intermediate_size: 64, ..Config::tiny(40, 32, 2, 4, 2) };
        let llama = Config {
            model_type: "llama".to_owned(),
            attention_bias: false,
            tie_word_embeddings: false,
            ..qwen2.clone()
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        for config in [qwen2, llama] {
            let model = Model::random(&Config { eos_token_id: vec![3], ..config }, 5).unwrap();
            let expected = model.logits(&[1, 2, 3, 9, 2]).unwrap().concat();
            for (dtype, allowed) in [(GgmlDType::F32, 0.0), (GgmlDType::F16, 1e-2), (GgmlDType::Q8_0, 0.2)] {
                write(&model, dtype, &path);
                let read = Model::load(&path).unwrap();
                assert_eq!(read.config(), &Config { initializer_range: 0.02, ..model.config().clone() });
                for (read, expected) in read.logits(&[1, 2, 3, 9, 2]).unwrap().concat().iter().zip(&expected)
                {
                    assert!((read - expected).abs() <= allowed, "{dtype:?}: {read} {expected}");
                }
            }
        }
        let tokenizer = Tokenizer::load(&path).unwrap();
        assert_eq!(tokenizer.encode("abba").unwrap(), [2, 1, 0]);
        assert_eq!(tokenizer.eos_token_id(), Some(3));
        assert_eq!(tokenizer.decode(&[2, 1], true).unwrap(), "abb");
    }

    /// All of a model was read before its first tensor went to a GPU.
    #[test]
    fn each_tensor_is_placed_before_the_next_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        let config = Config::tiny(40, 32, 1, 4, 2);
        write(&Model::random(&config, 5).unwrap(), GgmlDType::F32, &path);
        let mut shapes = crate::model::shapes(&config);
        shapes[2].1[0] += 1;
        let mut placed = Vec::new();
        let refused = Gguf::open(&path).unwrap().tensors(&config, &shapes, |tensor| {
            placed.push(tensor.dims().to_vec());
            Ok(tensor)
        });
        assert!(refused.is_err());
        assert_eq!(placed, [shapes[0].1.clone(), shapes[1].1.clone()]);
    }

    /// Such a file was read without what it says, and gave other numbers than its model.
    #[test]
    fn what_is_not_computed_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        // Heads of 8 numbers.
        let config =
            Config { model_type: "llama".to_owned(), attention_bias: false, ..Config::tiny(40, 32, 1, 4, 2) };
        let model = Model::random(&config, 5).unwrap();
        let said = |entries: &[(&str, Value)], tensors: &[&str]| {
            write_with(&model, GgmlDType::F32, &path, entries, tensors);
            Model::load(&path).map_or_else(|error| error.to_string(), |_| "read".to_owned())
        };
        let (text, size) = (|text: &str| Value::String(text.to_owned()), Value::U32);
        let rows = [
            (
                "llama.rope.scale_linear",
                Value::F32(4.0),
                "llama.rope.scale_linear is 4; this engine computes",
            ),
            ("llama.rope.scale_linear", Value::F32(1.0), "read"),
            ("llama.rope.scaling.factor", Value::F32(8.0), "llama.rope.scaling.factor is 8; this engine"),
            ("llama.rope.scaling.factor", Value::F32(0.0), "read"),
            ("llama.rope.scaling.type", text("yarn"), "its rotary positions are scaled"),
            ("llama.rope.scaling.type", text("none"), "read"),
            (
                "llama.rope.dimension_count",
                size(4),
                "llama.rope.dimension_count is 4; this engine turns all 8",
            ),
            ("llama.rope.dimension_count", size(8), "read"),
            (
                "llama.rope.freq_base",
                text("1000000"),
                "llama.rope.freq_base is String(\"1000000\"); expected a number",
            ),
            (
                "llama.attention.layer_norm_rms_epsilon",
                Value::F32(0.0),
                "rms_norm_eps is 0; it must be above 0",
            ),
            (
                "llama.attention.sliding_window",
                size(4096),
                "llama.attention.sliding_window is 4096; this engine",
            ),
            ("llama.attention.sliding_window", size(0), "read"),
            ("general.alignment", size(0), "general.alignment is 0; expected"),
            ("general.alignment", Value::U8(0), "general.alignment is 0; expected"),
            ("general.alignment", size(32), "read"),
        ];
        for (key, value, expected) in rows {
            let said = said(&[(key, value.clone())], &[]);
            assert!(said.contains(expected) && !said.contains('\n'), "{key} {value:?}: {said}");
        }
        for name in ["blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.1.ffn_up.weight", "output_norm.bias"]
        {
            let said = said(&[], &[name]);
            let expected =
                format!("the tensor {name} is no part of a llama model of 1 layers as this engine");
            assert!(said.contains(&expected) && !said.contains('\n'), "{name}: {said}");
        }
        assert!(said(&[], &["rope_freqs.weight"]).contains("its rotary positions are scaled"));
        let typed =
            [("llama.rope.scaling.type", text("none")), ("llama.rope.scaling.factor", Value::F32(8.0))];
        assert_eq!(said(&typed, &[]), "read");
    }

    #[test]
    fn what_is_no_such_file_is_said_in_one_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.gguf");
        let model = Model::random(&Config::tiny(40, 32, 1, 4, 2), 5).unwrap();
        write(&model, GgmlDType::F32, &path);
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 3, 200, whole.len() - 100] {
            std::fs::write(&path, &whole[..length]).unwrap();
            let said = Model::load(&path).unwrap_err().to_string();
            assert!(
                said.contains("model.gguf: expected a GGUF file") && !said.contains('\n'),
                "{length}: {said}"
            );
        }
        std::fs::remove_file(&path).unwrap();
        assert!(Model::load(&path).unwrap_err().to_string().contains("No such file"));
    }
}
