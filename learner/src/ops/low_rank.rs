//! y += s B A x: what a low-rank adapter adds to a linear's result; A is `rank x inputs`, B `outputs x rank`.
//!
//! A x is `rank` numbers a row, so the backward pass computes it again and nothing is kept.

use candle_core::Tensor;

use super::linear::{self, add_product};
use crate::cuda::Operand;
use crate::error::Result;

/// The two matrices of an adapter, and s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LowRank<'a> {
    pub(crate) a: &'a Tensor,
    pub(crate) b: &'a Tensor,
    pub(crate) scale: f32,
}

impl LowRank<'_> {
    /// Adds `s B A x` to each row of `y`, in place.
    pub(crate) fn add(self, y: &Tensor, x: &Tensor) -> Result<()> {
        let low = linear::forward(x, self.a, None)?;
        add_product(y, self.scale, Operand::plain(&low), Operand::transposed(self.b))
    }

    /// Adds to the gradients of A and B; dLoss/d(A x), which times A is what reaches x through the adapter.
    pub(crate) fn backward(self, dy: &Tensor, x: &Tensor, [d_a, d_b]: [&Tensor; 2]) -> Result<Tensor> {
        let low = linear::forward(x, self.a, None)?;
        add_product(d_b, self.scale, Operand::transposed(dy), Operand::plain(&low))?;
        let d_low = low.zeros_like()?;
        add_product(&d_low, self.scale, Operand::plain(dy), Operand::plain(self.b))?;
        linear::backward_weight(&d_low, x, d_a)?;
        Ok(d_low)
    }

    /// Adds `s B A` to the weight, in place: from then on it computes what both did.
    pub(crate) fn merge(self, weight: &Tensor) -> Result<()> {
        add_product(weight, self.scale, Operand::plain(self.b), Operand::plain(self.a))
    }
}
