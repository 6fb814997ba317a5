//! Rotary positions: in each head, numbers i and i + half turn by position * theta^(-2i / head width).

use candle_core::Tensor;

use super::{rows_mut, write};
use crate::error::Result;

/// Cosine and sine of every position and frequency.
#[derive(Debug)]
pub(crate) struct Angles {
    half: usize,
    cosine: Vec<f32>,
    sine: Vec<f32>,
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
        Angles { half, cosine, sine }
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
pub(crate) fn forward(x: &Tensor, positions: &[usize], angles: &Angles) -> Result<()> {
    turn_all(x, positions, angles, 1.0)
}

/// The gradient's way back through `forward`: the opposite turn, in place.
pub(crate) fn backward(dx: &Tensor, positions: &[usize], angles: &Angles) -> Result<()> {
    turn_all(dx, positions, angles, -1.0)
}

fn turn_all(x: &Tensor, positions: &[usize], angles: &Angles, sign: f32) -> Result<()> {
    let width = x.dim(1)?;
    write(x, |x| rows_mut(x, width, |row, values| angles.turn(values, positions[row], sign)))
}
