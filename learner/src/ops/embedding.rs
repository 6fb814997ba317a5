//! Rows of the embedding, by token id.

use candle_core::Tensor;

use super::{matrix, read, rows_mut, write};
use crate::cuda::Gpu;
use crate::error::Result;

/// The rows of `weight` named by `tokens`.
pub(crate) fn forward(weight: &Tensor, tokens: &[u32]) -> Result<Tensor> {
    if let Some(gpu) = Gpu::of(weight) {
        return gpu.gather_rows(weight, tokens);
    }
    let width = weight.dim(1)?;
    let weight = read(weight)?;
    let mut out = vec![0.0; tokens.len() * width];
    rows_mut(&mut out, width, |at, row| row.copy_from_slice(&weight[tokens[at] as usize * width..][..width]));
    matrix(out, tokens.len(), width)
}

/// Adds each row of `dx` to the gradient of its token's row. In order, on one thread: tokens repeat.
pub(crate) fn backward(dx: &Tensor, tokens: &[u32], d_weight: &Tensor) -> Result<()> {
    if let Some(gpu) = Gpu::of(dx) {
        return gpu.embedding_backward(dx, tokens, d_weight);
    }
    let width = dx.dim(1)?;
    let dx = read(dx)?;
    write(d_weight, |d_weight| {
        for (&token, row) in tokens.iter().zip(dx.chunks_exact(width)) {
            let own = &mut d_weight[token as usize * width..][..width];
            own.iter_mut().zip(row).for_each(|(own, row)| *own += row);
        }
    })
}
