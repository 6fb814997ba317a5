//! The one GPU there may be, as the ops see it: memory that is candle's tensors, kernels by name, and products.
//!
//! In a build without the feature `cuda` `Gpu` is a type without a value, so that the ops are the same text in both and
//! nothing of CUDA is built or linked.

#[cfg(feature = "cuda")]
mod gpu;
#[cfg(not(feature = "cuda"))]
#[path = "cuda/none.rs"]
mod gpu;

use std::sync::OnceLock;

use candle_core::{DType, Tensor};

use crate::error::{EngineError, Result};
pub use crate::kernels::Stored;

pub(crate) use gpu::Gpu;

/// How the models of this process are stored on its GPU; unset, they are on the CPU.
static CHOSEN: OnceLock<Stored> = OnceLock::new();

/// Puts every model that is made or loaded from now on onto the first GPU, parameters stored as told. The first call decides.
///
/// # Errors
/// Why no GPU can be used, in a few words.
pub fn use_gpu(stored: Stored) -> std::result::Result<Description, String> {
    let description = Gpu::start()?.describe().map_err(|error| error.to_string())?;
    let _ = CHOSEN.set(stored);
    Ok(description)
}

/// The GPU that this process computes on, where it does.
///
/// # Errors
/// It does not answer.
pub fn used() -> Result<Option<Description>> {
    match (CHOSEN.get(), Gpu::start()) {
        (Some(_), Ok(gpu)) => Ok(Some(gpu.describe()?)),
        _ => Ok(None),
    }
}

/// Whether the models of this process are on its GPU.
pub(crate) fn in_use() -> bool {
    CHOSEN.get().is_some()
}

/// A parameter where this process computes. Whoever reads a model asks for each as soon as it is read, so that the host never
/// holds more of it than a few tensors.
pub(crate) fn place(value: Tensor) -> Result<Tensor> {
    let Some(&stored) = CHOSEN.get() else { return Ok(value) };
    put(&value, Gpu::start().map_err(EngineError::Input)?, stored)
}

/// A tensor of the CPU on the GPU.
pub(crate) fn put(value: &Tensor, gpu: &Gpu, stored: Stored) -> Result<Tensor> {
    Ok(value.to_dtype(dtype(stored))?.to_device(gpu.device())?)
}

/// The tensors' type of numbers that are stored so.
pub(crate) fn dtype(stored: Stored) -> DType {
    match stored {
        Stored::F32 => DType::F32,
        Stored::Bf16 => DType::BF16,
    }
}

/// What a GPU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its maker's name for it.
    pub name: String,
    /// Its memory, all of it.
    pub bytes: usize,
    /// Its compute capability, as 90 for 9.0.
    pub capability: u32,
}

/// A contiguous matrix that goes into a product, as it lies or transposed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) tensor: &'a Tensor,
    pub(crate) transposed: bool,
}

impl<'a> Operand<'a> {
    pub(crate) fn plain(tensor: &'a Tensor) -> Operand<'a> {
        Operand { tensor, transposed: false }
    }

    pub(crate) fn transposed(tensor: &'a Tensor) -> Operand<'a> {
        Operand { tensor, transposed: true }
    }
}
