//! y = w x / sqrt(mean(x^2) + eps), row by row.

use candle_core::Tensor;

use super::{dot, matrix, read, rows_mut, sum, sum_rows, vector, vectorised, write};
use crate::cuda::Gpu;
use crate::error::Result;

/// The normed rows, and each row's 1 / sqrt(mean(x^2) + eps) for the backward pass.
pub(crate) fn forward(x: &Tensor, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    let (rows, width) = x.dims2()?;
    if let Some(gpu) = Gpu::of(x) {
        return gpu.rms_norm_forward(x, weight, eps);
    }
    let (x, weight) = (read(x)?, read(weight)?);
    let (x, weight) = (&*x, &*weight);
    let mut inverse = vec![0.0; rows];
    rows_mut(&mut inverse, 1, |row, inverse| {
        let x = &x[row * width..][..width];
        inverse[0] = 1.0 / (vectorised(|| dot(x, x)) / width as f32 + eps).sqrt();
    });
    let out = scaled(x, &inverse, weight);
    Ok((matrix(out, rows, width)?, vector(inverse)?))
}

/// The normed rows again, from what the backward pass keeps.
pub(crate) fn again(x: &Tensor, inverse: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Some(gpu) = Gpu::of(x) {
        return Ok(gpu.rms_norm_forward(x, weight, eps)?.0);
    }
    matrix(scaled(&read(x)?, &read(inverse)?, &read(weight)?), rows, width)
}

fn scaled(x: &[f32], inverse: &[f32], weight: &[f32]) -> Vec<f32> {
    let width = weight.len();
    let mut out = vec![0.0; x.len()];
    rows_mut(&mut out, width, |row, out| {
        let (x, inverse) = (&x[row * width..][..width], inverse[row]);
        vectorised(|| {
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * weight;
            }
        });
    });
    out
}

/// dLoss/dx, plus `residual` (what reaches x past the norm); adds to the weight's gradient where there is one.
pub(crate) fn backward(
    residual: Option<&Tensor>,
    dy: &Tensor,
    x: &Tensor,
    inverse: &Tensor,
    weight: &Tensor,
    d_weight: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Some(gpu) = Gpu::of(x) {
        return gpu.rms_norm_backward(residual, [dy, x, inverse, weight], d_weight);
    }
    let (dy, x, inverse, weight) = (read(dy)?, read(x)?, read(inverse)?, read(weight)?);
    let (dy, x, inverse, weight) = (&*dy, &*x, &*inverse, &*weight);
    let mut out = match residual {
        Some(residual) => read(residual)?.to_vec(),
        None => vec![0.0; rows * width],
    };
    rows_mut(&mut out, width, |row, out| {
        let (dy, x, inverse) = (&dy[row * width..][..width], &x[row * width..][..width], inverse[row]);
        vectorised(|| {
            let along = sum(width, |i| dy[i] * weight[i] * x[i]) * inverse * inverse * inverse / width as f32;
            for (((out, dy), weight), x) in out.iter_mut().zip(dy).zip(weight).zip(x) {
                *out += inverse * weight * dy - along * x;
            }
        });
    });
    let of_rows = |range: std::ops::Range<usize>, sum: &mut [f32]| {
        for row in range {
            let (dy, x, inverse) = (&dy[row * width..][..width], &x[row * width..][..width], inverse[row]);
            for ((sum, dy), x) in sum.iter_mut().zip(dy).zip(x) {
                *sum += dy * x * inverse;
            }
        }
    };
    if let Some(d_weight) = d_weight {
        write(d_weight, |d_weight| sum_rows(d_weight, rows, of_rows))?;
    }
    matrix(out, rows, width)
}
