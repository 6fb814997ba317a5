//! Adapter directories as the `peft` package reads and writes them: `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! An adapter is nothing without the weights it was trained on, its base. Ours says which these were in two more places:
//! `config.json` is the base's as the run computed with it (a recipe may change the rotary base and the context), and the
//! tensors' metadata hold a fingerprint of its numbers. Adapters of others have neither; then names and shapes say what fits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::checkpoint::{self, Precision, Stored};
use crate::error::{EngineError, Result};
use crate::model::{Config, Lora, Model, Target};
use crate::ops;

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// The base's fingerprint in the tensors' metadata.
const FINGERPRINT: &str = "base_fingerprint";

/// Whether a directory holds an adapter, and no model.
pub(crate) fn is_one(directory: &Path) -> bool {
    directory.join(CONFIG).exists() && !checkpoint::present(directory)
}

/// Writes the model's adapter, with the `config.json` of what is under it; `base` is where that is to be found.
///
/// # Errors
/// The model has none, or a file cannot be written.
pub fn save(model: &Model, base: &Path, directory: &Path) -> Result<()> {
    let Some(lora) = model.adapter() else {
        return Err(EngineError::Input("the model has no adapter to be saved".to_owned()));
    };
    std::fs::create_dir_all(directory).map_err(EngineError::io(directory))?;
    let metadata = [("format", "pt".to_owned()), (FINGERPRINT, fingerprint(model)?)];
    let tensors = model.trained().map(|(name, value)| (name, Stored::f32(value)));
    checkpoint::write_tensors(&directory.join(TENSORS), tensors, &metadata)?;
    checkpoint::save_config(directory, &model.config().to_json(), Precision::F32)?;
    // A path that is true from wherever the directory is read.
    let base = std::fs::canonicalize(base).unwrap_or_else(|_| base.to_owned());
    let text = serde_json::to_string_pretty(&description(lora, &base)).unwrap_or_default() + "\n";
    checkpoint::replace(&directory.join(CONFIG), text.as_bytes())
}

/// What the `peft` package wants to know, and what older ones do not assume.
fn description(lora: &Lora, base: &Path) -> Value {
    let whole = lora.alpha.fract() == 0.0 && lora.alpha.abs() < 1e9;
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.to_string_lossy(),
        "r": lora.rank,
        "lora_alpha": if whole { json!(lora.alpha as i64) } else { json!(lora.alpha) },
        "lora_dropout": 0.0,
        "target_modules": lora.target_modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "use_dora": false,
        "use_rslora": false,
    })
}

/// Puts the adapter of a directory on its base.
///
/// # Errors
/// A file is missing or unreadable; the adapter is of a kind not computed here, or of another base.
pub fn load(model: &mut Model, directory: &Path) -> Result<()> {
    let lora = Described::read(directory)?.form(directory)?;
    let of_run = directory.join("config.json");
    let config = if of_run.exists() { Some(Config::load(&of_run)?) } else { None };
    if let Some(config) = &config {
        same_shape(config, model.config(), &of_run)?;
    }
    let path = directory.join(TENSORS);
    let (mut tensors, metadata) = checkpoint::read_tensors(&path)?;
    let refuse = |what: String| Err(EngineError::checkpoint(&path, what));
    let mut values = Vec::new();
    for (name, shape) in lora.shapes(model.config()) {
        match tensors.remove(&name) {
            Some(tensor) if tensor.dims() == shape => values.push(tensor),
            Some(tensor) => {
                let came = tensor.dims();
                return refuse(format!("{name} is {came:?}; {CONFIG} and the base make it {shape:?}"));
            }
            None => return refuse(format!("no tensor {name}, which {CONFIG} and the base ask for")),
        }
    }
    if let Some(name) = tensors.keys().min() {
        return refuse(format!(
            "tensor {name} has no place in the adapter that {CONFIG} and the base describe"
        ));
    }
    if let Some(theirs) = metadata.get(FINGERPRINT)
        && *theirs != fingerprint(model)?
    {
        return refuse(format!(
            "the adapter was trained on other weights than these; {CONFIG} names them: give that model"
        ));
    }
    if let Some(Config { rope_theta, max_position_embeddings, .. }) = config {
        model.set_positions(Some(rope_theta), Some(max_position_embeddings))?;
    }
    model.put_adapter(&lora, values)
}

/// A model and the directory it came from, which has its tokenizer: of `model`, with the adapter of `adapter`, where one is
/// named; `model` itself may be an adapter that says where its base is, and be left out where `adapter` does.
///
/// # Errors
/// As [`Model::load`] and [`load`]; or the base is not where the adapter says.
pub fn open(model: Option<&Path>, adapter: Option<&Path>) -> Result<(Model, PathBuf)> {
    let (base, adapter) = match (model, adapter) {
        (Some(model), None) if is_one(model) => (named_base(model)?, Some(model)),
        (None, Some(adapter)) => (named_base(adapter)?, Some(adapter)),
        (Some(model), adapter) => (model.to_owned(), adapter),
        (None, None) => return Err(EngineError::Input("neither a model nor an adapter is named".to_owned())),
    };
    let mut model = Model::load(&base)?;
    adapter.map_or(Ok(()), |adapter| load(&mut model, adapter))?;
    Ok((model, base))
}

/// Where an adapter says that its base is.
pub(crate) fn named_base(directory: &Path) -> Result<PathBuf> {
    let named = Described::read(directory)?.base_model_name_or_path.unwrap_or_default();
    if !named.is_empty() && Path::new(&named).exists() {
        return Ok(PathBuf::from(named));
    }
    let what =
        format!("its base is {named:?}, which is no path here; name the directory of the base as the model");
    Err(EngineError::checkpoint(directory.join(CONFIG), what))
}

/// `adapter_config.json`, as far as it is computed.
#[derive(Debug, Deserialize)]
struct Described {
    #[serde(default)]
    peft_type: String,
    base_model_name_or_path: Option<String>,
    #[serde(default)]
    r: usize,
    #[serde(default)]
    lora_alpha: f64,
    #[serde(default)]
    target_modules: Value,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// What would change the mathematics, if it were set to anything.
const REFUSED: [&str; 20] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "bias",
    "exclude_modules",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_to_transform",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "use_rslora",
    "velora_config",
];

impl Described {
    fn read(directory: &Path) -> Result<Described> {
        let path = directory.join(CONFIG);
        let text = std::fs::read_to_string(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => {
                let what = format!("No such file; an adapter directory holds {CONFIG} and {TENSORS}");
                EngineError::checkpoint(&path, what)
            }
            _ => EngineError::Io { path: path.clone(), source },
        })?;
        serde_json::from_str(&text).map_err(|error| {
            EngineError::checkpoint(&path, format!("expected the description of an adapter: {error}"))
        })
    }

    /// The form it describes, if that is one computed here.
    fn form(&self, directory: &Path) -> Result<Lora> {
        let refuse = |what: String| Err(EngineError::checkpoint(directory.join(CONFIG), what));
        if self.peft_type != "LORA" {
            return refuse(format!("peft_type is {:?}; this engine computes LORA", self.peft_type));
        }
        let empty = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text == "none",
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let set = |key: &&&str| self.others.get(**key).is_some_and(|value| !empty(value));
        if let Some(key) = REFUSED.iter().find(set) {
            return refuse(format!(
                "{key} is {}; this engine computes W x + (alpha / r) B A x",
                self.others[*key]
            ));
        }
        // The others begin by changing the base.
        let start = self.others.get("init_lora_weights").and_then(Value::as_str);
        if let Some(start) = start.filter(|start| !["eva", "gaussian", "orthogonal"].contains(start)) {
            return refuse(format!(
                "init_lora_weights is {start}, not a plain one; merge it where it was made"
            ));
        }
        if self.r == 0 || !self.lora_alpha.is_finite() {
            return refuse(format!(
                "r is {}, lora_alpha is {}; expected numbers above 0",
                self.r, self.lora_alpha
            ));
        }
        let known = Target::ALL.map(Target::name).join(", ");
        match serde_json::from_value::<BTreeSet<Target>>(self.target_modules.clone()) {
            Ok(target_modules) if !target_modules.is_empty() => {
                Ok(Lora { rank: self.r, alpha: self.lora_alpha, target_modules })
            }
            _ => refuse(format!(
                "target_modules is {}; expected a list of some of {known}",
                self.target_modules
            )),
        }
    }
}

/// That an adapter's base is of the shape of this one; positions aside, which the adapter's run may have changed.
fn same_shape(theirs: &Config, ours: &Config, path: &Path) -> Result<()> {
    let (theirs, ours) = (theirs.to_json(), ours.to_json());
    let counts =
        ["model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"];
    let more = ["num_key_value_heads", "head_dim", "vocab_size", "rms_norm_eps", "tie_word_embeddings"];
    let Some(key) = counts.into_iter().chain(more).find(|key| theirs[key] != ours[key]) else {
        return Ok(());
    };
    let what = format!("the adapter's base has {key} {}, this one {}: it is another", theirs[key], ours[key]);
    Err(EngineError::checkpoint(path, what))
}

/// Numbers of each parameter that go into a fingerprint.
const SAMPLE: usize = 256;

/// Of some numbers of every parameter of the base, rounded to bf16: the same however they are stored and wherever they lie.
fn fingerprint(model: &Model) -> Result<String> {
    let mut hash = Sha256::new();
    for (name, value) in model.parameters() {
        let count = value.elem_count();
        let some = value.flatten_all()?.narrow(0, count.saturating_sub(SAMPLE) / 2, count.min(SAMPLE))?;
        hash.update(name);
        ops::read(&some)?.iter().for_each(|&number| hash.update(checkpoint::to_bf16(number).to_le_bytes()));
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora() -> Lora {
        Lora { rank: 4, alpha: 6.0, target_modules: Target::ALL.into() }
    }

    fn base(width: usize, seed: u64) -> Model {
        Model::random(&Config { initializer_range: 0.3, ..Config::tiny(29, width, 2, 2, 1) }, seed).unwrap()
    }

    /// As training leaves one: nothing is zero.
    fn adapted() -> Model {
        let mut model = base(16, 1);
        model.set_positions(Some(5e4), Some(512)).unwrap();
        model.adapt(&lora(), 2).unwrap();
        for (_, value) in model.trained() {
            let shift = |(i, value): (usize, &mut f32)| *value += ((i * 7) % 11) as f32 / 50.0;
            ops::write(value, |values| values.iter_mut().enumerate().for_each(shift)).unwrap();
        }
        model
    }

    fn numbers(model: &Model) -> Vec<(String, Vec<f32>)> {
        let named = |(name, value): (&str, &candle_core::Tensor)| {
            (name.to_owned(), ops::read(value).unwrap().to_vec())
        };
        model.trained().map(named).collect()
    }

    /// A base's directory, and the adapter's.
    fn saved() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let [base_at, adapter_at] = ["base", "adapter"].map(|name| directory.path().join(name));
        base(16, 1).save(&base_at, Precision::F32).unwrap();
        save(&adapted(), &base_at, &adapter_at).unwrap();
        (directory, base_at, adapter_at)
    }

    #[test]
    fn what_is_written_is_read_back_bit_for_bit_wherever_the_base_is_named() {
        let (_directory, base_at, adapter_at) = saved();
        let (ours, ids) = (adapted(), [3, 1, 4, 1, 5, 9, 2, 6]);
        let ways =
            [(Some(&*base_at), Some(&*adapter_at)), (None, Some(&*adapter_at)), (Some(&*adapter_at), None)];
        for (model, adapter) in ways {
            let (read, from) = open(model, adapter).unwrap();
            assert_eq!(from.canonicalize().unwrap(), base_at.canonicalize().unwrap());
            assert_eq!(read.adapter(), Some(&lora()));
            assert_eq!(numbers(&read), numbers(&ours));
            // The run's rotary base and context came with the adapter.
            assert_eq!(read.config(), ours.config());
            assert_eq!(read.logits(&ids).unwrap(), ours.logits(&ids).unwrap());
        }
        let (plain, _) = open(Some(&base_at), None).unwrap();
        assert!(plain.adapter().is_none() && plain.logits(&ids).unwrap() != ours.logits(&ids).unwrap());
        // The base in another precision is the same base.
        base(16, 1).save(&base_at, Precision::Bf16).unwrap();
        assert!(open(Some(&base_at), Some(&adapter_at)).is_ok());
    }

    #[test]
    fn the_files_are_those_of_the_peft_package() {
        let (_directory, base_at, adapter_at) = saved();
        let text = std::fs::read_to_string(adapter_at.join(CONFIG)).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["base_model_name_or_path"], json!(base_at.canonicalize().unwrap()));
        assert_eq!((&value["r"], &value["lora_alpha"]), (&json!(4), &json!(6)));
        let names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        assert_eq!(value["target_modules"], json!(names));
        let (tensors, _) = checkpoint::read_tensors(&adapter_at.join(TENSORS)).unwrap();
        assert_eq!(tensors.len(), 2 * 7 * 2);
        let shape =
            |name: &str| tensors[&format!("base_model.model.model.layers.1.{name}.weight")].dims().to_vec();
        assert_eq!(shape("self_attn.k_proj.lora_A"), [4, 16]);
        assert_eq!(shape("self_attn.k_proj.lora_B"), [8, 4]);
        assert_eq!(shape("mlp.down_proj.lora_A"), [4, 48]);
    }

    #[test]
    fn what_does_not_fit_is_named_in_one_line() {
        let (directory, base_at, adapter_at) = saved();
        let path = |name: &str| directory.path().join(name);
        let described = std::fs::read_to_string(adapter_at.join(CONFIG)).unwrap();
        let set = |key: &str, value: Value| {
            let mut whole: Value = serde_json::from_str(&described).unwrap();
            whole[key] = value;
            std::fs::write(adapter_at.join(CONFIG), whole.to_string()).unwrap();
        };
        let refused = |model: Option<&Path>| {
            let said = open(model, Some(&adapter_at)).unwrap_err().to_string();
            assert!(!said.contains('\n'), "{said}");
            said
        };
        let rows: [(&str, Value, &str); 11] = [
            ("peft_type", json!("IA3"), "peft_type is \"IA3\"; this engine computes LORA"),
            ("use_dora", json!(true), "use_dora is true; this engine computes W x + (alpha / r) B A x"),
            ("bias", json!("all"), "bias is \"all\""),
            ("rank_pattern", json!({"q_proj": 2}), "rank_pattern is {\"q_proj\":2}"),
            ("modules_to_save", json!(["lm_head"]), "modules_to_save is [\"lm_head\"]"),
            ("init_lora_weights", json!("pissa_niter_4"), "init_lora_weights is pissa_niter_4"),
            ("target_modules", json!(".*q_proj"), "expected a list of some of q_proj, k_proj"),
            ("target_modules", json!(["lm_head"]), "target_modules is [\"lm_head\"]; expected"),
            (
                "target_modules",
                json!(["q_proj"]),
                "layers.0.mlp.down_proj.lora_A.weight has no place in the adapter",
            ),
            (
                "r",
                json!(8),
                "layers.0.self_attn.q_proj.lora_A.weight is [4, 16]; adapter_config.json and the base make it [8, 16]",
            ),
            ("r", json!(0), "r is 0"),
        ];
        for (key, value, words) in rows {
            set(key, value);
            let said = refused(Some(&base_at));
            assert!(said.contains(words), "{key}: {said}");
        }
        set("base_model_name_or_path", json!("someone/something"));
        let said = refused(None);
        assert!(said.contains("its base is \"someone/something\", which is no path here"), "{said}");

        // Another base: of another shape, with and without what we write beside an adapter, and of other numbers.
        set("r", json!(4));
        base(32, 1).save(&path("wide"), Precision::F32).unwrap();
        let said = refused(Some(&path("wide")));
        assert!(said.contains("the adapter's base has hidden_size 16, this one 32: it is another"), "{said}");
        std::fs::remove_file(adapter_at.join("config.json")).unwrap();
        let said = refused(Some(&path("wide")));
        assert!(
            said.contains("q_proj.lora_A.weight is [4, 16]") && said.contains("make it [4, 32]"),
            "{said}"
        );
        base(16, 9).save(&path("other"), Precision::F32).unwrap();
        let said = refused(Some(&path("other")));
        assert!(said.contains("was trained on other weights than these"), "{said}");

        // A tensor short, a file short, no file; and an adapter where a model is wanted.
        let (mut tensors, _) = checkpoint::read_tensors(&adapter_at.join(TENSORS)).unwrap();
        let lost = "base_model.model.model.layers.1.mlp.up_proj.lora_B.weight";
        tensors.remove(lost).unwrap();
        let left = tensors.iter().map(|(name, value)| (name.as_str(), Stored::f32(value)));
        checkpoint::write_tensors(&adapter_at.join(TENSORS), left, &[]).unwrap();
        assert!(refused(Some(&base_at)).contains(&format!("no tensor {lost}, which")));
        std::fs::write(adapter_at.join(TENSORS), "garbage").unwrap();
        assert!(refused(Some(&base_at)).contains("adapter_model.safetensors: expected a safetensors file"));
        let said = Model::load(&adapter_at).unwrap_err().to_string();
        assert!(said.contains("it holds an adapter and no model; name the model it is on"), "{said}");
        std::fs::remove_file(adapter_at.join(CONFIG)).unwrap();
        assert!(
            refused(Some(&base_at)).contains("No such file; an adapter directory holds adapter_config.json")
        );
    }

    /// Others' adapters have more keys, fewer targets, no fingerprint and 16 bits.
    #[test]
    fn an_adapter_of_others_is_read() {
        let (_directory, base_at, adapter_at) = saved();
        let mut model = base(16, 1);
        model.adapt(&Lora { target_modules: [Target::QProj, Target::VProj].into(), ..lora() }, 3).unwrap();
        let tensors = model.trained().map(|(name, value)| (name, Stored::Tensor(value, Precision::Bf16)));
        checkpoint::write_tensors(&adapter_at.join(TENSORS), tensors, &[]).unwrap();
        std::fs::remove_file(adapter_at.join("config.json")).unwrap();
        let text = r#"{"auto_mapping": null, "peft_type": "LORA", "r": 4, "lora_alpha": 6, "lora_dropout": 0.1, "eva_config": null,
            "target_modules": ["v_proj", "q_proj"], "qalora_group_size": 16, "use_dora": false, "rank_pattern": {}}"#;
        std::fs::write(adapter_at.join(CONFIG), text).unwrap();
        let (read, _) = open(Some(&base_at), Some(&adapter_at)).unwrap();
        for ((name, ours), (_, read)) in numbers(&model).iter().zip(numbers(&read)) {
            ours.iter()
                .zip(read)
                .for_each(|(a, b)| assert!((a - b).abs() <= a.abs() / 256.0, "{name}: {a} {b}"));
        }
    }
}
