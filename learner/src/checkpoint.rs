//! Hugging Face checkpoint directories: `config.json`, `model.safetensors` or its shards, in and out.
//!
//! Every file is written beside its place, flushed to disk and renamed, so a reader sees the old file or the
//! new one, never half of one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde_json::Value;

use crate::error::{EngineError, Result};
use crate::ops;

/// How the numbers of a checkpoint are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats: what the engine computes in; loading gives the same bits back.
    F32,
    /// 16-bit brain floats, rounded to nearest.
    Bf16,
}

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The parameters of `shapes`, in that order, as f32.
pub(crate) fn load(directory: &Path, shapes: &[(String, Vec<usize>)]) -> Result<Vec<Tensor>> {
    let wanted: HashMap<&str, &[usize]> =
        shapes.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    let mut found: HashMap<String, Tensor> = HashMap::new();
    for path in files(directory)? {
        let bytes = std::fs::read(&path).map_err(EngineError::part(&path))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| {
            EngineError::checkpoint(&path, format!("expected a safetensors file: {error}"))
        })?;
        for (name, view) in file.iter() {
            let tied_head = name == "lm_head.weight" && !wanted.contains_key(name);
            if tied_head || name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            let refuse = |what: String| EngineError::checkpoint(&path, what);
            let Some(shape) = wanted.get(name) else {
                return Err(refuse(format!(
                    "tensor {name} is not part of the model that config.json describes"
                )));
            };
            if view.shape() != *shape {
                return Err(refuse(format!("{name} is {:?}; config.json makes it {shape:?}", view.shape())));
            }
            found.insert(name.to_owned(), as_f32(name, &view).map_err(refuse)?);
        }
    }
    let take = |(name, _): &(String, Vec<usize>)| {
        found
            .remove(name)
            .ok_or_else(|| EngineError::checkpoint(directory, format!("no file holds tensor {name}")))
    };
    shapes.iter().map(take).collect()
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

fn as_f32(name: &str, view: &TensorView<'_>) -> Result<Tensor, String> {
    let dtype = match view.dtype() {
        Dtype::F32 => DType::F32,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        other => return Err(format!("{name} is {other:?}; expected F32, BF16 or F16")),
    };
    Tensor::from_raw_buffer(view.data(), dtype, view.shape(), &Device::Cpu)
        .and_then(|tensor| tensor.to_dtype(DType::F32))
        .map_err(|error| format!("{name}: {error}"))
}

/// Writes `config.json` and `model.safetensors`.
pub(crate) fn save<'a>(
    directory: &Path,
    config: &Value,
    parameters: impl Iterator<Item = (&'a str, &'a Tensor)>,
    precision: Precision,
) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(EngineError::io(directory))?;
    let mut config = config.clone();
    config["dtype"] = Value::from(match precision {
        Precision::F32 => "float32",
        Precision::Bf16 => "bfloat16",
    });
    let text = serde_json::to_string_pretty(&config).unwrap_or_default() + "\n";
    // Readers of the field ask for this word before they trust the layout.
    write_tensors(&directory.join(SINGLE), parameters, precision, &[("format", "pt".to_owned())])?;
    replace(&directory.join("config.json"), text.as_bytes())
}

/// Writes named f32 tensors to one safetensors file, whole or not at all.
pub(crate) fn write_tensors<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, &'a Tensor)>,
    precision: Precision,
    metadata: &[(&str, String)],
) -> Result<()> {
    let dtype = match precision {
        Precision::F32 => Dtype::F32,
        Precision::Bf16 => Dtype::BF16,
    };
    let mut stored = Vec::new();
    for (name, tensor) in tensors {
        let values = ops::read(tensor)?;
        let bytes: Vec<u8> = match precision {
            Precision::Bf16 => values.iter().flat_map(|&value| to_bf16(value).to_le_bytes()).collect(),
            Precision::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        stored.push((name.to_owned(), tensor.dims().to_vec(), bytes));
    }
    let views = stored.iter().map(|(name, shape, bytes)| {
        TensorView::new(dtype, shape.clone(), bytes).map(|view| (name.as_str(), view))
    });
    let ours = |error: safetensors::SafeTensorError| EngineError::checkpoint(path, error.to_string());
    let views = views.collect::<Result<BTreeMap<_, _>, _>>().map_err(ours)?;
    let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    replace(path, &serialize(views, Some(metadata)).map_err(ours)?)
}

/// Tensors and metadata of a file written by `write_tensors`.
pub(crate) fn read_tensors(path: &Path) -> Result<(HashMap<String, Tensor>, HashMap<String, String>)> {
    let bytes = std::fs::read(path).map_err(EngineError::part(path))?;
    let refuse = |what: String| EngineError::checkpoint(path, what);
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|error| refuse(format!("expected a safetensors file: {error}")))?;
    let header = SafeTensors::read_metadata(&bytes).map_err(|error| refuse(error.to_string()))?.1;
    let read =
        |(name, view): (&str, TensorView<'_>)| Ok((name.to_owned(), as_f32(name, &view).map_err(refuse)?));
    let tensors = file.iter().map(read).collect::<Result<_>>()?;
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

/// Round to nearest, ties to even; NaN stays NaN.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// Puts `bytes` at `path` by way of a file beside it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // The half-written file is of no use; if it cannot go either, the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
        EngineError::io(path)(error)
    })
}
