//! In place of `gpu.rs` in a build without CUDA: there is no value of this type, so nothing here can be called.

use candle_core::{DType, Device, Shape, Tensor};

use super::{Description, Operand};
use crate::error::{EngineError, Result};
use crate::kernels::{self, Launch};

/// No GPU.
#[derive(Debug)]
pub(crate) enum Gpu {}

impl Gpu {
    pub(crate) fn start() -> std::result::Result<&'static Gpu, String> {
        Err("this program was built without CUDA".to_owned())
    }

    pub(crate) fn of(_: &Tensor) -> Option<&'static Gpu> {
        None
    }

    pub(crate) fn device(&self) -> &Device {
        match *self {}
    }

    pub(crate) fn describe(&self) -> Result<Description> {
        match *self {}
    }

    pub(crate) fn free_bytes(&self) -> Result<usize> {
        match *self {}
    }

    pub(crate) fn kept_bytes(&self) -> Result<usize> {
        match *self {}
    }

    pub(crate) fn wait(&self) -> Result<()> {
        match *self {}
    }

    pub(crate) fn empty(&self, _: impl Into<Shape>, _: DType) -> Result<Tensor> {
        match *self {}
    }

    pub(crate) fn copy(&self, _: &Tensor, _: &Tensor) -> Result<()> {
        match *self {}
    }

    pub(crate) fn product(&self, _: &Tensor, _: bool, _: f32, _: Operand<'_>, _: Operand<'_>) -> Result<()> {
        match *self {}
    }
}

impl kernels::Device for Gpu {
    type Buffer = Tensor;
    type Error = EngineError;

    fn uninitialised(&self, _: usize) -> Result<Tensor> {
        match *self {}
    }

    fn upload(&self, _: &[u32]) -> Result<Tensor> {
        match *self {}
    }

    fn launch(&self, _: &Launch<'_, Tensor>) -> Result<()> {
        match *self {}
    }
}
