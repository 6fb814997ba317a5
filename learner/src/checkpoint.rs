//! Hugging Face checkpoint directories: `config.json`, `model.safetensors` or its shards, in and out.
//!
//! A model above the greatest size of a file is written as shards `model-00001-of-00003.safetensors` with an index that
//! says which holds what, as the field's own tools do; reading needs no option.
//!
//! Tensors are read and written a piece at a time, in the file's order: beside the model itself no more than a piece
//! of it is in memory, however large the file; of a model that goes to a GPU the host holds the tensor that is on its way.
//! Every file is written beside its place, flushed to disk and renamed, so a reader sees the old file or the new one, never
//! half of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Value, json};

use crate::error::{EngineError, Result};
use crate::gguf;
use crate::ops;

/// Bytes of tensors in a file, beyond which a checkpoint is cut into shards; the field's own default.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// How the numbers of a checkpoint are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// 32-bit floats: what the engine computes in; loading gives the same bits back.
    F32,
    /// 16-bit brain floats, rounded to nearest.
    Bf16,
}

impl Precision {
    fn dtype(self) -> Dtype {
        match self {
            Precision::F32 => Dtype::F32,
            Precision::Bf16 => Dtype::BF16,
        }
    }
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Whether a directory holds a model's tensors.
pub(crate) fn present(directory: &Path) -> bool {
    [SINGLE, INDEX].iter().any(|name| directory.join(name).exists())
}

/// How a model's files store their numbers: as bf16 if all are, or else in the precision that loses nothing.
pub(crate) fn precision(directory: &Path) -> Result<Precision> {
    if gguf::is_one(directory) {
        return Ok(Precision::F32);
    }
    for path in files(directory)? {
        if SafetensorsFile::open(&path)?.entries().iter().any(|(_, info)| info.dtype != Dtype::BF16) {
            return Ok(Precision::F32);
        }
    }
    Ok(Precision::Bf16)
}

/// The parameters of `shapes`, in that order, each read as f32 and given to `place` before the next is read.
pub(crate) fn load(
    directory: &Path,
    shapes: &[(String, Vec<usize>)],
    mut place: impl FnMut(Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let wanted: HashMap<&str, &[usize]> =
        shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    let mut found: HashMap<String, Tensor> = HashMap::new();
    let mut ends = Ends::default();
    for path in files(directory)? {
        let mut file = SafetensorsFile::open(&path)?;
        for (name, info) in file.entries() {
            if name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            let tied = name == HEAD && !wanted.contains_key(HEAD);
            let place_of = if tied { EMBEDDING } else { name.as_str() };
            let refuse = |what: String| Err(EngineError::checkpoint(&path, what));
            let Some(shape) = wanted.get(place_of) else {
                return refuse(format!("tensor {name} is not part of the model that config.json describes"));
            };
            if info.shape != *shape {
                return refuse(format!("{name} is {:?}; config.json makes it {shape:?}", info.shape));
            }
            if tied {
                ends.head = Some(path.clone());
                continue;
            }
            if name == EMBEDDING {
                ends.embedding = Some(path.clone());
            }
            let tensor = place(file.read(&name, &info)?)?;
            found.insert(name, tensor);
        }
    }
    if let Some(embedding) = ends.tied()? {
        found.insert(EMBEDDING.to_owned(), place(embedding)?);
    }
    let take = |(name, _): &(String, Vec<usize>)| {
        let advice =
            if name == HEAD { "; if the head is the embedding, set tie_word_embeddings to true" } else { "" };
        let lost = || EngineError::checkpoint(directory, format!("no file holds tensor {name}{advice}"));
        found.remove(name).ok_or_else(lost)
    };
    shapes.iter().map(take).collect()
}

const HEAD: &str = "lm_head.weight";
const EMBEDDING: &str = "model.embed_tokens.weight";

/// The files that hold the two ends of a model that ties them: the embedding, and a head that it does not want.
#[derive(Debug, Default)]
struct Ends {
    embedding: Option<PathBuf>,
    head: Option<PathBuf>,
}

impl Ends {
    /// A head stored beside the embedding it is tied to must be the same numbers, or one of the two would be lost without a
    /// word; where a writer kept only the head of the pair, it is the embedding.
    fn tied(&self) -> Result<Option<Tensor>> {
        let Some(path) = &self.head else { return Ok(None) };
        let head = read_one(path, HEAD)?;
        let Some(embedding) = &self.embedding else { return Ok(Some(head)) };
        // From its file again: on a GPU it may have been rounded.
        if *ops::read(&read_one(embedding, EMBEDDING)?)? == *ops::read(&head)? {
            return Ok(None);
        }
        let what = format!(
            "{HEAD} is not {EMBEDDING}, and config.json ties them: set tie_word_embeddings to false there"
        );
        Err(EngineError::checkpoint(path, what))
    }
}

/// One tensor of a file, as f32.
fn read_one(path: &Path, name: &str) -> Result<Tensor> {
    let mut file = SafetensorsFile::open(path)?;
    let info = file.header.info(name).cloned();
    let info = info.ok_or_else(|| EngineError::checkpoint(path, format!("it no longer holds {name}")))?;
    file.read(name, &info)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let index = directory.join(INDEX);
    if directory.join(SINGLE).exists() || !index.exists() {
        return Ok(vec![directory.join(SINGLE)]);
    }
    let text = std::fs::read_to_string(&index).map_err(EngineError::io(&index))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| EngineError::checkpoint(&index, error.to_string()))?;
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| EngineError::checkpoint(&index, "expected an object weight_map"))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    match names.iter().find(|name| name.contains(['/', '\\']) || name.starts_with('.')) {
        Some(name) => {
            Err(EngineError::checkpoint(&index, format!("{name:?} is not a file name of this directory")))
        }
        None => Ok(names.into_iter().map(|name| directory.join(name)).collect()),
    }
}

/// Bytes read or written at a time.
const PIECE: usize = 1 << 20;
/// Bytes of the longest header read; the format's own bound.
const LONGEST_HEADER: u64 = 100_000_000;

/// A safetensors file whose header was read and checked against its length; its tensors are still on the disk.
struct SafetensorsFile {
    path: PathBuf,
    file: BufReader<File>,
    header: Metadata,
    /// Where the tensors' bytes begin.
    data: u64,
}

impl SafetensorsFile {
    fn open(path: &Path) -> Result<SafetensorsFile> {
        let refuse = |what: String| EngineError::checkpoint(path, what);
        let not_one = |why: &str| refuse(format!("expected a safetensors file: {why}"));
        let file = File::open(path).map_err(EngineError::part(path))?;
        let length = file.metadata().map_err(EngineError::io(path))?.len();
        let mut file = BufReader::with_capacity(PIECE, file);
        let mut bytes = [0; 8];
        if length < 8 {
            return Err(not_one(&format!("it has {length} bytes")));
        }
        file.read_exact(&mut bytes).map_err(EngineError::io(path))?;
        let header_bytes = u64::from_le_bytes(bytes);
        if header_bytes > LONGEST_HEADER || header_bytes > length - 8 {
            return Err(not_one(&format!(
                "its header would have {header_bytes} bytes, the file has {length}"
            )));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(EngineError::io(path))?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| not_one(&error.to_string()))?;
        let data = 8 + header_bytes;
        let promised = data + header.data_len() as u64;
        if promised > length {
            return Err(refuse(format!(
                "the file was cut off: its header promises {promised} bytes, it has {length}; copy it anew"
            )));
        }
        Ok(SafetensorsFile { path: path.to_owned(), file, header, data })
    }

    /// Each tensor's name and what it is, in the order in which they lie in the file.
    fn entries(&self) -> Vec<(String, TensorInfo)> {
        let entry = |name: String| self.header.info(&name).cloned().map(|info| (name, info));
        self.header.offset_keys().into_iter().filter_map(entry).collect()
    }

    /// The tensor as f32.
    fn read(&mut self, name: &str, info: &TensorInfo) -> Result<Tensor> {
        let size = match info.dtype {
            Dtype::F32 => 4,
            Dtype::BF16 | Dtype::F16 => 2,
            other => {
                let what = format!("{name} is {other:?}; expected F32, BF16 or F16");
                return Err(EngineError::checkpoint(&self.path, what));
            }
        };
        let (from, to) = self.seek(info)?;
        let mut values: Vec<f32> = Vec::with_capacity((to - from) / size);
        let mut piece = vec![0; PIECE.min(to - from)];
        for at in (from..to).step_by(PIECE) {
            let piece = &mut piece[..PIECE.min(to - at)];
            self.file.read_exact(piece).map_err(EngineError::io(&self.path))?;
            let (fours, twos) = (piece.chunks_exact(4), piece.chunks_exact(2).map(|two| [two[0], two[1]]));
            match info.dtype {
                Dtype::F32 => values.extend(fours.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))),
                // The upper half of an f32.
                Dtype::BF16 => values.extend(twos.map(|[low, high]| f32::from_le_bytes([0, 0, low, high]))),
                _ => {
                    let numbers =
                        Tensor::from_raw_buffer(piece, DType::F16, &[piece.len() / 2], &Device::Cpu)?;
                    values.extend_from_slice(&ops::read(&numbers.to_dtype(DType::F32)?)?);
                }
            }
        }
        Ok(Tensor::from_vec(values, &info.shape[..], &Device::Cpu)?)
    }

    /// A tensor of bytes as it is.
    fn read_bytes(&mut self, info: &TensorInfo) -> Result<Tensor> {
        let (from, to) = self.seek(info)?;
        let mut bytes = vec![0; to - from];
        self.file.read_exact(&mut bytes).map_err(EngineError::io(&self.path))?;
        Ok(Tensor::from_vec(bytes, &info.shape[..], &Device::Cpu)?)
    }

    fn seek(&mut self, info: &TensorInfo) -> Result<(usize, usize)> {
        let at = SeekFrom::Start(self.data + info.data_offsets.0 as u64);
        self.file.seek(at).map_err(EngineError::io(&self.path))?;
        Ok(info.data_offsets)
    }
}

/// Writes `config.json` and `model.safetensors`, or shards of at most `max_shard_bytes` of tensors (a larger tensor is a
/// shard of its own) and their index.
pub(crate) fn save<'a>(
    directory: &Path,
    config: &Value,
    parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
    precision: Precision,
    max_shard_bytes: u64,
) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(EngineError::io(directory))?;
    let shards = shards(parameters, precision, max_shard_bytes);
    // Readers of the field ask for this word before they trust the layout.
    let format = [("format", "pt".to_owned())];
    for (name, shard) in &shards {
        let stored = shard.iter().map(|(name, tensor)| (*name, Stored::Tensor(tensor, precision)));
        write_tensors(&directory.join(name), stored, &format)?;
    }
    if shards.len() > 1 {
        let index = serde_json::to_string_pretty(&index(&shards, precision)).unwrap_or_default() + "\n";
        replace(&directory.join(INDEX), index.as_bytes())?;
    }
    remove_others(directory, &shards)?;
    save_config(directory, config, precision)
}

/// Writes `config.json`.
pub(crate) fn save_config(directory: &Path, config: &Value, precision: Precision) -> Result<()> {
    let mut config = config.clone();
    config["dtype"] = Value::from(match precision {
        Precision::F32 => "float32",
        Precision::Bf16 => "bfloat16",
    });
    let text = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
    replace(&directory.join("config.json"), text.as_bytes())
}

type Shard<'a> = (String, Vec<(&'a str, &'a Tensor)>);

/// The files of a checkpoint with what each holds, in the order of the parameters.
fn shards<'a>(
    parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
    precision: Precision,
    max_shard_bytes: u64,
) -> Vec<Shard<'a>> {
    let mut parts: Vec<Vec<(&str, &Tensor)>> = vec![Vec::new()];
    let mut bytes = 0;
    for (name, tensor) in parameters {
        let size = bytes_of(tensor, precision);
        let last = parts.len() - 1;
        if !parts[last].is_empty() && bytes + size > max_shard_bytes {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        let last = parts.len() - 1;
        parts[last].push((name, tensor));
    }
    let count = parts.len();
    let name = |index: usize| match count {
        1 => SINGLE.to_owned(),
        _ => format!("model-{:05}-of-{count:05}.safetensors", index + 1),
    };
    parts.into_iter().enumerate().map(|(index, part)| (name(index), part)).collect()
}

fn bytes_of(tensor: &Tensor, precision: Precision) -> u64 {
    (tensor.elem_count() * precision.dtype().bitsize() / 8) as u64
}

fn index(shards: &[Shard<'_>], precision: Precision) -> Value {
    let all = || {
        shards.iter().flat_map(|(file, shard)| shard.iter().map(move |(name, tensor)| (file, *name, *tensor)))
    };
    let bytes: u64 = all().map(|(_, _, tensor)| bytes_of(tensor, precision)).sum();
    let map: serde_json::Map<String, Value> =
        all().map(|(file, name, _)| (name.to_owned(), Value::from(file.as_str()))).collect();
    json!({ "metadata": { "total_size": bytes }, "weight_map": map })
}

/// Removes what an earlier checkpoint of another number of files left: a reader would take one file before an index, and
/// a person all of them for the model. They go once the new files are in their places.
fn remove_others(directory: &Path, shards: &[Shard<'_>]) -> Result<()> {
    for entry in std::fs::read_dir(directory).map_err(EngineError::io(directory))? {
        let path = entry.map_err(EngineError::io(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of_model = name == SINGLE || name == INDEX || is_shard(&name);
        let kept = shards.iter().any(|(file, _)| *file == name) || (name == INDEX && shards.len() > 1);
        if of_model && !kept {
            std::fs::remove_file(&path).map_err(EngineError::io(&path))?;
        }
    }
    Ok(())
}

/// Whether a file is named `model-N-of-M.safetensors`.
fn is_shard(name: &str) -> bool {
    let numbers = name.strip_prefix("model-").and_then(|rest| rest.strip_suffix(".safetensors"));
    let numbers = numbers.and_then(|rest| rest.split_once("-of-"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(index, count)| number(index) && number(count))
}

/// Numbers to be written under a name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored<'a> {
    /// A tensor of f32, stored as the precision says.
    Tensor(&'a Tensor, Precision),
    Floats(&'a [f32]),
    Bytes(&'a [u8]),
}

impl<'a> Stored<'a> {
    pub(crate) fn f32(tensor: &'a Tensor) -> Stored<'a> {
        Stored::Tensor(tensor, Precision::F32)
    }

    fn info(&self, from: usize) -> TensorInfo {
        let (dtype, shape) = match self {
            Stored::Tensor(tensor, precision) => (precision.dtype(), tensor.dims().to_vec()),
            Stored::Floats(values) => (Dtype::F32, vec![values.len()]),
            Stored::Bytes(values) => (Dtype::U8, vec![values.len()]),
        };
        let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        TensorInfo { dtype, shape, data_offsets: (from, from + bytes) }
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match self {
            Stored::Tensor(tensor, precision) => {
                write_floats(file, &ops::read(tensor).map_err(io::Error::other)?, *precision)
            }
            Stored::Floats(values) => write_floats(file, values, Precision::F32),
            Stored::Bytes(values) => file.write_all(values),
        }
    }
}

fn write_floats(file: &mut impl Write, values: &[f32], precision: Precision) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(PIECE);
    for piece in values.chunks(PIECE / 4) {
        bytes.clear();
        match precision {
            Precision::F32 => bytes.extend(piece.iter().flat_map(|value| value.to_le_bytes())),
            Precision::Bf16 => bytes.extend(piece.iter().flat_map(|value| to_bf16(*value).to_le_bytes())),
        }
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes named numbers to one safetensors file, whole or not at all.
pub(crate) fn write_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, Stored<'a>)>,
    metadata: &[(&str, String)],
) -> Result<()> {
    let tensors: BTreeMap<&str, Stored<'_>> = tensors.collect();
    let mut end = 0;
    let info = |(name, stored): (&&str, &Stored<'_>)| {
        let info = stored.info(end);
        end = info.data_offsets.1;
        ((*name).to_owned(), info)
    };
    let infos = tensors.iter().map(info).collect();
    let ours = |error: &dyn std::fmt::Display| EngineError::checkpoint(path, error.to_string());
    let header = Metadata::new(Some(HashMap::new()), infos).map_err(|error| ours(&error))?;
    let mut header = serde_json::to_value(&header).map_err(|error| ours(&error))?;
    // Sorted, so that the same content is the same bytes.
    let metadata: BTreeMap<&str, &str> = metadata.iter().map(|(key, value)| (*key, value.as_str())).collect();
    header["__metadata__"] = json!(metadata);
    let mut header = serde_json::to_vec(&header).map_err(|error| ours(&error))?;
    // Readers that map the file want numbers at multiples of 8 bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    replace_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.values().try_for_each(|stored| stored.write(file))
    })
}

/// Tensors, of f32 or of bytes, and metadata of a file written by `write_tensors`.
pub(crate) fn read_tensors(path: &Path) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    read_tensors_to(path, &Device::Cpu)
}

/// As `read_tensors`, each put onto a device before the next is read.
pub(crate) fn read_tensors_to(
    path: &Path,
    device: &Device,
) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    let mut file = SafetensorsFile::open(path)?;
    let mut tensors = HashMap::new();
    for (name, info) in file.entries() {
        let tensor = if info.dtype == Dtype::U8 { file.read_bytes(&info)? } else { file.read(&name, &info)? };
        tensors.insert(name, tensor.to_device(device)?);
    }
    Ok((tensors, file.header.metadata().clone().unwrap_or_default()))
}

/// Round to nearest, ties to even; NaN stays NaN.
pub(crate) fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Puts `bytes` at `path` by way of a file beside it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, bytes).map_err(EngineError::io(path))
}

/// As [`replace`], with the system's own error.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_with(path, |file| file.write_all(bytes))
}

/// Puts what `write` writes at `path` by way of a file beside it.
fn replace_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    put_with(path, write).map_err(EngineError::io(path))
}

fn put_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let put = || {
        let mut file = File::create(&beside)?;
        write(&mut file)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    // The half-written file is of no use; if it cannot go either, the first error is the one to tell.
    put().inspect_err(|_| drop(std::fs::remove_file(&beside)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Model, shapes};

    /// All of a model was read before its first tensor went to a GPU, so the host held twice the bytes of the file.
    #[test]
    fn each_tensor_is_placed_before_the_next_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::tiny(40, 16, 2, 2, 1);
        Model::random(&config, 1).unwrap().save_in_shards(directory.path(), Precision::Bf16, 4000).unwrap();
        let shapes = shapes(&config);
        let files = files(directory.path()).unwrap();
        let tensors = |path: &PathBuf| SafetensorsFile::open(path).unwrap().entries().len();
        let (first, second) = (tensors(&files[0]), tensors(&files[1]));
        assert!(first > 0 && second > 0 && first + second <= shapes.len());

        let mut placed = 0;
        let full = load(directory.path(), &shapes, |tensor| {
            placed += 1;
            if placed == 2 { Err(EngineError::Input("no room".to_owned())) } else { Ok(tensor) }
        });
        assert_eq!((full.unwrap_err().to_string().as_str(), placed), ("no room", 2));

        std::fs::write(&files[1], b"cut").unwrap();
        let mut placed = 0;
        let cut = load(directory.path(), &shapes, |tensor| {
            placed += 1;
            Ok(tensor)
        });
        assert!(cut.unwrap_err().to_string().contains("expected a safetensors file"));
        assert_eq!(placed, first);
    }

    /// The head of a file without an embedding was taken for it whatever its shape.
    #[test]
    fn a_head_in_place_of_the_embedding_has_its_shape() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::tiny(40, 16, 1, 2, 1);
        let model = Model::random(&config, 1).unwrap();
        model.save(directory.path(), Precision::F32).unwrap();
        let head = Tensor::zeros((41, 16), DType::F32, &Device::Cpu).unwrap();
        let others = model.parameters().filter(|(name, _)| *name != EMBEDDING);
        let stored = others.chain([(HEAD, &head)]).map(|(name, tensor)| (name, Stored::f32(tensor)));
        write_tensors(&directory.path().join(SINGLE), stored, &[]).unwrap();
        let said = Model::load(directory.path()).unwrap_err().to_string();
        assert!(said.contains("lm_head.weight is [41, 16]; config.json makes it [40, 16]"), "{said}");
    }
}
