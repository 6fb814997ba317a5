//! a = silu(gate) * up, number by number.

use candle_core::Tensor;

use super::{exp, matrix, read, rows_mut, vectorised};
use crate::cuda::Gpu;
use crate::error::Result;

/// `silu(gate) * up`.
pub(crate) fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu.swiglu_forward(gate, up);
    }
    let (rows, width) = gate.dims2()?;
    let (gate, up) = (read(gate)?, read(up)?);
    let (gate, up) = (&*gate, &*up);
    let mut out = vec![0.0; gate.len()];
    rows_mut(&mut out, width, |row, out| {
        let (gate, up) = (&gate[row * width..][..width], &up[row * width..][..width]);
        vectorised(|| {
            for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
                *out = gate * sigmoid(*gate) * up;
            }
        });
    });
    matrix(out, rows, width)
}

/// dLoss/dgate and dLoss/dup.
pub(crate) fn backward(da: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
    if let Some(gpu) = Gpu::of(gate) {
        return gpu.swiglu_backward(da, gate, up);
    }
    let (rows, width) = gate.dims2()?;
    let (da, gate, up) = (read(da)?, read(gate)?, read(up)?);
    let (da, gate, up) = (&*da, &*gate, &*up);
    let (mut d_gate, mut d_up) = (vec![0.0; gate.len()], vec![0.0; gate.len()]);
    rows_mut(&mut d_gate, width, |row, out| {
        let at = row * width;
        let (da, gate, up) = (&da[at..][..width], &gate[at..][..width], &up[at..][..width]);
        vectorised(|| {
            for (((out, da), gate), up) in out.iter_mut().zip(da).zip(gate).zip(up) {
                let s = sigmoid(*gate);
                *out = da * up * s * (1.0 + gate * (1.0 - s));
            }
        });
    });
    rows_mut(&mut d_up, width, |row, out| {
        let (da, gate) = (&da[row * width..][..width], &gate[row * width..][..width]);
        vectorised(|| {
            for ((out, da), gate) in out.iter_mut().zip(da).zip(gate) {
                *out = da * gate * sigmoid(*gate);
            }
        });
    });
    Ok((matrix(d_gate, rows, width)?, matrix(d_up, rows, width)?))
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}
