//! A few rows times a transposed weight: what a token of each rollout needs.
//!
//! # Theory of operation
//! A blocked product first copies its operands into the order in which its kernel reads them. With few rows the copy of the
//! weight costs as much as the product. Here both operands are read as they lie: rows of both are contiguous, and each
//! result is a dot product. A tile of rows by outputs is computed at once, so that each vector loaded is used several times,
//! and a weight is read from memory once.
//!
//! Each result is summed in the same order whatever the tile, so the bits of a row do not depend on the other rows.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{Matrix, Threads};

/// Rows up to which this is faster than the blocked product.
pub(crate) const MOST_ROWS: usize = 64;
/// Outputs of a tile.
const WIDE: usize = 4;
/// Multiplications below which the work stays on the caller's thread.
const PARALLEL_FROM: usize = 512 * 1024;

/// Whether this module computes such a product: not those inside a parallel loop, which are attention's, where the inner
/// size is a head's and adding up the lanes would be half of the work.
pub(super) fn takes(left: Matrix<'_>, right: Matrix<'_>, threads: Threads) -> bool {
    left.rows <= MOST_ROWS && left.column_stride == 1 && right.row_stride == 1 && threads == Threads::Pool
}

/// As `super::product`, of operands that it has checked and that `takes` holds for.
pub(super) fn product(
    out: &mut [f32],
    out_stride: usize,
    add: bool,
    scale: f32,
    left: Matrix<'_>,
    right: Matrix<'_>,
) {
    let outputs = right.columns;
    let work = left.rows * left.columns * outputs;
    let parts = if work < PARALLEL_FROM { 1 } else { rayon::current_num_threads() };
    let width = outputs.div_ceil(parts).next_multiple_of(WIDE);
    // Each part has its columns of every row.
    let mut shares: Vec<Vec<&mut [f32]>> = Vec::new();
    shares.resize_with(outputs.div_ceil(width), || Vec::with_capacity(left.rows));
    for row in out.chunks_mut(out_stride).take(left.rows) {
        for (share, columns) in shares.iter_mut().zip(row[..outputs].chunks_mut(width)) {
            share.push(columns);
        }
    }
    let part = |(index, mut out): (usize, Vec<&mut [f32]>)| {
        Arch::new().dispatch(Part { out: &mut out, first: index * width, add, scale, left, right });
    };
    match shares.len() {
        1 => shares.into_iter().enumerate().for_each(part),
        _ => shares.into_par_iter().enumerate().for_each(part),
    }
}

/// Some columns of the result.
struct Part<'a, 'o> {
    /// Of each row.
    out: &'a mut [&'o mut [f32]],
    /// The output that they begin with.
    first: usize,
    add: bool,
    scale: f32,
    left: Matrix<'a>,
    right: Matrix<'a>,
}

impl WithSimd for Part<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let outputs = self.out.first().map_or(0, |row| row.len());
        let whole = outputs / WIDE * WIDE;
        for output in (0..whole).step_by(WIDE) {
            self.rows::<S, WIDE>(simd, output);
        }
        for output in whole..outputs {
            self.rows::<S, 1>(simd, output);
        }
    }
}

impl Part<'_, '_> {
    /// All rows of `C` outputs.
    #[inline(always)]
    fn rows<S: Simd, const C: usize>(&mut self, simd: S, output: usize) {
        let rows = self.left.rows;
        let mut row = 0;
        // A tile of four by four needs more than sixteen registers.
        if S::REGISTER_COUNT >= 32 {
            while row + 4 <= rows {
                self.tile::<S, 4, C>(simd, row, output);
                row += 4;
            }
        }
        while row + 2 <= rows {
            self.tile::<S, 2, C>(simd, row, output);
            row += 2;
        }
        if row < rows {
            self.tile::<S, 1, C>(simd, row, output);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const C: usize>(&mut self, simd: S, row: usize, output: usize) {
        let Matrix { columns: count, .. } = self.left;
        let whole = count / S::F32_LANES;
        let mut rows: [&[S::f32s]; R] = [&[]; R];
        let mut weights: [&[S::f32s]; C] = [&[]; C];
        let (mut row_rests, mut weight_rests): ([&[f32]; R], [&[f32]; C]) = ([&[]; R], [&[]; C]);
        for at in 0..R {
            let values = &self.left.data[(row + at) * self.left.row_stride..][..count];
            let (vectors, rest) = S::as_simd_f32s(values);
            (rows[at], row_rests[at]) = (&vectors[..whole], rest);
        }
        for at in 0..C {
            let values = &self.right.data[(self.first + output + at) * self.right.column_stride..][..count];
            let (vectors, rest) = S::as_simd_f32s(values);
            (weights[at], weight_rests[at]) = (&vectors[..whole], rest);
        }
        let mut sums = [[simd.splat_f32s(0.0); C]; R];
        for at in 0..whole {
            for (sums, row) in sums.iter_mut().zip(&rows) {
                for (sum, weight) in sums.iter_mut().zip(&weights) {
                    *sum = simd.mul_add_e_f32s(row[at], weight[at], *sum);
                }
            }
        }
        if count > whole * S::F32_LANES {
            for (sums, row) in sums.iter_mut().zip(&row_rests) {
                for (sum, weight) in sums.iter_mut().zip(&weight_rests) {
                    let (row, weight) = (simd.partial_load_f32s(row), simd.partial_load_f32s(weight));
                    *sum = simd.mul_add_e_f32s(row, weight, *sum);
                }
            }
        }
        for (at, sums) in sums.iter().enumerate() {
            let out = &mut self.out[row + at][output..output + C];
            for (out, &sum) in out.iter_mut().zip(sums) {
                let sum = self.scale * simd.reduce_sum_f32s(sum);
                *out = if self.add { *out + sum } else { sum };
            }
        }
    }
}
