//! The GPU: candle's device with a stream of its own, the kernels' module, cuBLAS.
//!
//! # Theory of operation
//! Everything, candle's copies too, goes to one stream, so it is done in the order in which it was asked for; memory is given
//! back in that order as well, so a tensor may be dropped as soon as its last launch was asked for. Nothing waits for the GPU
//! but what brings numbers to the host. What a launch did wrong shows there, too, or at a later launch.

#![allow(
    unsafe_code,
    reason = "a kernel's launch and cuBLAS take device addresses; each block says what it relies on"
)]

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use candle_core::cuda_backend::cudarc::cublas::{result as cublas, sys as blas};
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DevicePtr, LaunchConfig, PushKernelArg,
    result as driver, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, DType, Device, Shape, Storage, Tensor};

use super::{Description, Operand};
use crate::error::{EngineError, Result};
use crate::kernels::{self, Argument, Launch};

/// `kernels/*.cu`, compiled for sm_80 and sm_90 and, for what comes after, as PTX: `build.rs`.
const KERNELS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin"));

/// The GPU that computes.
#[derive(Debug)]
pub(crate) struct Gpu {
    device: Device,
    cuda: CudaDevice,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    module: Arc<CudaModule>,
    functions: RwLock<HashMap<String, CudaFunction>>,
}

static GPU: OnceLock<std::result::Result<Gpu, String>> = OnceLock::new();

impl Gpu {
    /// The first GPU; why there is none, else. The first call takes its time.
    pub(crate) fn start() -> std::result::Result<&'static Gpu, String> {
        // The rest of the lines are a backtrace, where the environment asks for one.
        let why = |error: EngineError| error.to_string().lines().next().unwrap_or_default().to_owned();
        GPU.get_or_init(|| Gpu::open().map_err(why)).as_ref().map_err(Clone::clone)
    }

    /// The GPU a tensor lies on.
    pub(crate) fn of(tensor: &Tensor) -> Option<&'static Gpu> {
        match tensor.device() {
            Device::Cuda(_) => Gpu::start().ok(),
            _ => None,
        }
    }

    fn open() -> Result<Gpu> {
        let cuda = CudaDevice::new_with_stream(0)?;
        // SAFETY: there is one stream, and it does everything in order; no second one is ever made.
        unsafe { cuda.disable_event_tracking() };
        let stream = cuda.cuda_stream();
        let context = stream.context().clone();
        keep_freed_memory(&context)?;
        let module = context.load_module(Ptx::from_binary(KERNELS.to_vec())).w()?;
        let functions = RwLock::default();
        Ok(Gpu { device: Device::Cuda(cuda.clone()), cuda, context, stream, module, functions })
    }

    /// As candle names it.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn describe(&self) -> Result<Description> {
        let (major, minor) = self.context.compute_capability().w()?;
        let bytes = self.context.mem_get_info().w()?.1;
        Ok(Description { name: self.context.name().w()?, bytes, capability: (10 * major + minor) as u32 })
    }

    /// Memory that no tensor has, what was freed and is kept for later included.
    pub(crate) fn free_bytes(&self) -> Result<usize> {
        self.wait()?;
        Ok(self.context.mem_get_info().w()?.0 + self.kept_bytes()?)
    }

    /// Freed memory that is kept for later.
    pub(crate) fn kept_bytes(&self) -> Result<usize> {
        kept_memory(&self.context)
    }

    /// Until all that was asked for is done.
    pub(crate) fn wait(&self) -> Result<()> {
        Ok(self.stream.synchronize().w()?)
    }

    /// A tensor with whatever was in its memory: what is written whole next.
    pub(crate) fn empty(&self, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
        // SAFETY: numbers of any bits are numbers; nothing on the host refers to them.
        Ok(unsafe { Tensor::empty(shape, dtype, &self.device) }?)
    }

    /// Copies the numbers of a contiguous tensor over those of another of its type and length.
    pub(crate) fn copy(&self, from: &Tensor, to: &Tensor) -> Result<()> {
        if from.dtype() != to.dtype() || from.elem_count() != to.elem_count() {
            return Err(EngineError::Input("expected tensors of one type and length".to_owned()));
        }
        let (source, target) = (self.address(from)?, self.address(to)?);
        let bytes = from.elem_count() * from.dtype().size_in_bytes();
        self.context.bind_to_thread().w()?;
        // SAFETY: both addresses are of tensors that hold so many bytes and live until after this call, whose order on
        // the stream keeps their memory until the copy is done.
        Ok(unsafe { driver::memcpy_dtod_async(target, source, bytes, self.stream.cu_stream()) }.w()?)
    }

    /// `out = scale left right`, or `out += scale left right` where `add`; matrices, contiguous. Sums are f32.
    pub(crate) fn product(
        &self,
        out: &Tensor,
        add: bool,
        scale: f32,
        left: Operand<'_>,
        right: Operand<'_>,
    ) -> Result<()> {
        let (a, b) = (Side::of(left)?, Side::of(right)?);
        let ((m, n), k) = (out.dims2()?, a.columns);
        let kind = left.tensor.dtype();
        let fits = a.rows == m && b.columns == n && b.rows == k;
        if !fits || right.tensor.dtype() != kind || ![kind, DType::F32].contains(&out.dtype()) {
            let what = format!(
                "a product of {:?} {kind:?} and {:?} {:?} into {:?} {:?}",
                left.tensor.dims(),
                right.tensor.dims(),
                right.tensor.dtype(),
                out.dims(),
                out.dtype()
            );
            return Err(EngineError::Input(what));
        }
        if m * n * k == 0 {
            return if add || m * n == 0 { Ok(()) } else { self.copy(&out.zeros_like()?, out) };
        }
        let size = |size: usize| {
            c_int::try_from(size)
                .map_err(|_| EngineError::Input(format!("a matrix of {size} rows or columns")))
        };
        let (alpha, beta) = (scale, if add { 1.0f32 } else { 0.0 });
        let (left_at, right_at, out_at) =
            (self.address(left.tensor)?, self.address(right.tensor)?, self.address(out)?);
        self.context.bind_to_thread().w()?;
        // SAFETY: sizes were compared above, and `address` saw that each tensor is contiguous, so every element cuBLAS
        // touches is the tensor's; the tensors live until after this call, and their memory until the stream came past
        // it. cuBLAS counts by columns: it is told the transposed product, out' = right' left', of the same memory.
        unsafe {
            cublas::gemm_ex(
                *self.cuda.cublas_handle().handle(),
                b.operation,
                a.operation,
                size(n)?,
                size(m)?,
                size(k)?,
                (&raw const alpha).cast::<c_void>(),
                right_at as *const c_void,
                number(kind)?,
                size(b.stride)?,
                left_at as *const c_void,
                number(kind)?,
                size(a.stride)?,
                (&raw const beta).cast::<c_void>(),
                out_at as *mut c_void,
                number(out.dtype())?,
                size(n)?,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(|error| EngineError::from(candle_core::Error::wrap(error)))
    }

    /// Where a contiguous tensor's first number is.
    fn address(&self, tensor: &Tensor) -> Result<sys::CUdeviceptr> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((from, _)) = layout.contiguous_offsets() else {
            return Err(EngineError::Input("expected a contiguous tensor".to_owned()));
        };
        let Storage::Cuda(storage) = &*storage else {
            return Err(EngineError::Input("expected a tensor on the GPU, as the others are".to_owned()));
        };
        // The second of the pair would record an event, were there a second stream to wait for it.
        let first = match &storage.slice {
            CudaStorageSlice::F32(slice) => slice.device_ptr(&self.stream).0,
            CudaStorageSlice::BF16(slice) => slice.device_ptr(&self.stream).0,
            CudaStorageSlice::U32(slice) => slice.device_ptr(&self.stream).0,
            CudaStorageSlice::F64(slice) => slice.device_ptr(&self.stream).0,
            CudaStorageSlice::U8(slice) => slice.device_ptr(&self.stream).0,
            _ => return Err(EngineError::Input(format!("no op is for {:?}", tensor.dtype()))),
        };
        Ok(first + (from * tensor.dtype().size_in_bytes()) as u64)
    }

    fn function(&self, name: &str) -> Result<CudaFunction> {
        let known = self.functions.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(function) = known {
            return Ok(function);
        }
        let function = self.module.load_function(name).w()?;
        let mut functions = self.functions.write().unwrap_or_else(PoisonError::into_inner);
        Ok(functions.entry(name.to_owned()).or_insert(function).clone())
    }
}

impl kernels::Device for Gpu {
    type Buffer = Tensor;
    type Error = EngineError;

    fn uninitialised(&self, bytes: usize) -> Result<Tensor> {
        self.empty(bytes, DType::U8)
    }

    fn upload(&self, values: &[u32]) -> Result<Tensor> {
        // No memory of no bytes: there is none to be had.
        let values = if values.is_empty() { &[0] } else { values };
        Ok(Tensor::from_slice(values, values.len(), &self.device)?)
    }

    fn launch(&self, launch: &Launch<'_, Tensor>) -> Result<()> {
        enum Value {
            Address(u64),
            U32(u32),
            F32(f32),
        }
        let value = |argument: &Argument<'_, Tensor>| {
            Ok(match argument {
                Argument::Buffer(tensor) => Value::Address(self.address(tensor)?),
                Argument::U32(number) => Value::U32(*number),
                Argument::F32(number) => Value::F32(*number),
            })
        };
        let values = launch.arguments.iter().map(value).collect::<Result<Vec<_>>>()?;
        let function = self.function(&launch.kernel)?;
        let mut call = self.stream.launch_builder(&function);
        for value in &values {
            match value {
                Value::Address(address) => call.arg(address),
                Value::U32(number) => call.arg(number),
                Value::F32(number) => call.arg(number),
            };
        }
        let [x, y] = launch.grid;
        let (grid_dim, block_dim) = ((x, y, 1), (launch.block, 1, 1));
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: launch.shared_bytes };
        // SAFETY: `kernels.rs` gives each kernel its arguments in its order, which tests/kernels.rs runs on the CPU with
        // every index watched; `ops/gpu.rs` compared the tensors' shapes and types with the sizes it gives. The tensors
        // live until after this call, and their memory until the stream came past it.
        unsafe { call.launch(config) }.w()?;
        Ok(())
    }
}

/// One operand as cuBLAS sees it.
struct Side {
    rows: usize,
    columns: usize,
    stride: usize,
    operation: blas::cublasOperation_t,
}

impl Side {
    fn of(operand: Operand<'_>) -> Result<Side> {
        let (rows, columns) = operand.tensor.dims2()?;
        Ok(match operand.transposed {
            false => Side { rows, columns, stride: columns, operation: blas::cublasOperation_t::CUBLAS_OP_N },
            true => Side {
                rows: columns,
                columns: rows,
                stride: columns,
                operation: blas::cublasOperation_t::CUBLAS_OP_T,
            },
        })
    }
}

fn number(dtype: DType) -> Result<blas::cudaDataType> {
    match dtype {
        DType::F32 => Ok(blas::cudaDataType::CUDA_R_32F),
        DType::BF16 => Ok(blas::cudaDataType::CUDA_R_16BF),
        other => Err(EngineError::Input(format!("no product is for {other:?}"))),
    }
}

/// Bytes of freed memory that the process keeps.
fn kept_memory(context: &CudaContext) -> Result<usize> {
    if !context.has_async_alloc() {
        return Ok(0);
    }
    let (mut pool, mut reserved, mut used) = (std::ptr::null_mut(), 0u64, 0u64);
    use sys::CUmemPool_attribute::{CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, CU_MEMPOOL_ATTR_USED_MEM_CURRENT};
    // SAFETY: as in `keep_freed_memory`; both attributes are of 64 bits.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result().w()?;
        let get =
            |attribute, into: *mut u64| sys::cuMemPoolGetAttribute(pool, attribute, into.cast::<c_void>());
        get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT, &raw mut reserved).result().w()?;
        get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &raw mut used).result().w()?;
    }
    Ok(reserved.saturating_sub(used) as usize)
}

/// Freed memory stays with the process: to get it anew after every wait costs more than what is done with it.
fn keep_freed_memory(context: &CudaContext) -> Result<()> {
    if !context.has_async_alloc() {
        return Ok(());
    }
    let (mut pool, mut all) = (std::ptr::null_mut(), u64::MAX);
    // SAFETY: the device is one that cuDeviceGet gave; both calls are given room for what they write or read.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result().w()?;
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut all).cast::<c_void>()).result().w()?;
    }
    Ok(())
}
