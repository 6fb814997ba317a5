//! Rotary positions: in each head, numbers i and i + half turn by position * theta^(-2i / head width).

use std::sync::OnceLock;

use candle_core::Tensor;

use super::{Indices, rows_mut, write};
use crate::cuda::Gpu;
use crate::error::Result;

/// Cosine and sine of every position and frequency.
#[derive(Debug)]
pub(crate) struct Angles {
    pub(super) half: usize,
    pub(super) cosine: Vec<f32>,
    pub(super) sine: Vec<f32>,
    /// Both on a GPU, once an op there asked for them.
    pub(super) there: OnceLock<[Tensor; 2]>,
}

impl Angles {
    /// Angles of positions `0..positions`; frequencies and products are rounded to f32, as the checkpoints'
    /// own training code rounds them.
    pub(crate) fn new(head_dim: usize, theta: f32, positions: usize) -> Angles {
        let half = head_dim / 2;
        let frequency = |i: usize| (1.0 / f64::from(theta).powf(2.0 * i as f64 / head_dim as f64)) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles = (0..positions).flat_map(|at| frequencies.iter().map(move |f| f64::from(at as f32 * f)));
        let (cosine, sine) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Angles { half, cosine, sine, there: OnceLock::new() }
    }

    /// Turns the heads of one row, which stands at `position`; `sign` -1 turns back.
    #[inline]
    pub(crate) fn turn(&self, row: &mut [f32], position: usize, sign: f32) {
        let (cosine, sine) =
            (&self.cosine[position * self.half..][..self.half], &self.sine[position * self.half..]);
        for head in row.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosine).zip(sine) {
                let (x, y, sine) = (*a, *b, sign * sine);
                *a = x * cosine - y * sine;
                *b = y * cosine + x * sine;
            }
        }
    }
}

/// Turns the rows of `x`, row i by `positions[i]`, in place.
pub(crate) fn forward(x: &Tensor, positions: &Indices, angles: &Angles) -> Result<()> {
    turn_all(x, positions, angles, 1.0)
}

/// The gradient's way back through `forward`: the opposite turn, in place.
pub(crate) fn backward(dx: &Tensor, positions: &Indices, angles: &Angles) -> Result<()> {
    turn_all(dx, positions, angles, -1.0)
}

fn turn_all(x: &Tensor, positions: &Indices, angles: &Angles, sign: f32) -> Result<()> {
    if let Some(gpu) = Gpu::of(x) {
        return gpu.rope(x, positions, angles, sign);
    }
    let (width, positions, angles) = (x.dim(1)?, positions.host(), angles);
    write(x, |x| rows_mut(x, width, |row, values| angles.turn(values, positions[row] as usize, sign)))
}
