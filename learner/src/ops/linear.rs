//! y = x W' + b, with W as in a checkpoint: `outputs x inputs`.

use candle_core::Tensor;

use super::{matrix, read, rows_mut, sum_rows, write};
use crate::cuda::{Gpu, Operand};
use crate::error::Result;
use crate::gemm::{Matrix, Threads, product};

/// `x W' + b` for each row of `x`.
pub(crate) fn forward(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(x) {
        return gpu.linear(x, weight, bias);
    }
    let ((rows, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
    let mut out = vec![0.0; rows * outputs];
    if let Some(bias) = bias {
        let bias = read(bias)?;
        rows_mut(&mut out, outputs, |_, row| row.copy_from_slice(&bias));
    }
    let right = read(weight)?;
    let right = Matrix::new(&right, outputs, inputs).transposed();
    product(
        &mut out,
        outputs,
        bias.is_some(),
        1.0,
        Matrix::new(&read(x)?, rows, inputs),
        right,
        Threads::Pool,
    );
    matrix(out, rows, outputs)
}

/// `residual + x W'`.
pub(crate) fn forward_add(residual: &Tensor, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(x) {
        return gpu.linear_add(residual, x, weight);
    }
    let ((rows, inputs), outputs) = (x.dims2()?, weight.dim(0)?);
    let mut out = read(residual)?.to_vec();
    let right = read(weight)?;
    let right = Matrix::new(&right, outputs, inputs).transposed();
    product(&mut out, outputs, true, 1.0, Matrix::new(&read(x)?, rows, inputs), right, Threads::Pool);
    matrix(out, rows, outputs)
}

/// The sum of `dy W` over the products a row went into: dLoss/dx of `x` used by several weights.
pub(crate) fn backward_input(products: &[(&Tensor, &Tensor)]) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(products[0].0) {
        return gpu.linear_backward_input(products);
    }
    let (rows, inputs) = (products[0].0.dim(0)?, products[0].1.dim(1)?);
    let mut out = vec![0.0; rows * inputs];
    for (index, (dy, weight)) in products.iter().enumerate() {
        let outputs = weight.dim(0)?;
        let (dy, weight) = (read(dy)?, read(weight)?);
        let (left, right) = (Matrix::new(&dy, rows, outputs), Matrix::new(&weight, outputs, inputs));
        product(&mut out, inputs, index > 0, 1.0, left, right, Threads::Pool);
    }
    matrix(out, rows, inputs)
}

/// Adds `dy' x` to the weight's gradient.
pub(crate) fn backward_weight(dy: &Tensor, x: &Tensor, d_weight: &Tensor) -> Result<()> {
    add_product(d_weight, 1.0, Operand::transposed(dy), Operand::plain(x))
}

/// `out += scale left right`, matrices.
pub(super) fn add_product(out: &Tensor, scale: f32, left: Operand<'_>, right: Operand<'_>) -> Result<()> {
    if let Some(gpu) = Gpu::of(out) {
        return gpu.product(out, true, scale, left, right);
    }
    let (a, b) = (read(left.tensor)?, read(right.tensor)?);
    let (a, b) = (side(&a, left)?, side(&b, right)?);
    let width = out.dim(1)?;
    write(out, |out| product(out, width, true, scale, a, b, Threads::Pool))
}

fn side<'a>(numbers: &'a [f32], operand: Operand<'_>) -> Result<Matrix<'a>> {
    let (rows, columns) = operand.tensor.dims2()?;
    let matrix = Matrix::new(numbers, rows, columns);
    Ok(if operand.transposed { matrix.transposed() } else { matrix })
}

/// Adds the sum of the rows of `dy` to the bias's gradient.
pub(crate) fn backward_bias(dy: &Tensor, d_bias: &Tensor) -> Result<()> {
    if let Some(gpu) = Gpu::of(dy) {
        return gpu.bias_backward(dy, d_bias);
    }
    let (rows, outputs) = dy.dims2()?;
    let dy = read(dy)?;
    let block = |range: std::ops::Range<usize>, sum: &mut [f32]| {
        for row in dy[range.start * outputs..range.end * outputs].chunks_exact(outputs) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    };
    write(d_bias, |out| sum_rows(out, rows, block))
}
