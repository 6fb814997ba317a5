//! Causal attention within each sequence of a packed batch; several query heads may share a key/value head.
//!
//! # Theory of operation
//! Query rows are taken in blocks; a block's scores against all earlier keys are one small product, so memory
//! grows with the length, not its square. The backward pass keeps only the output and, per token and head,
//! the logarithm of the sum of exponentials; it computes the probabilities P again and uses
//! dS = P * (dO V' - rowsum(dO * O)).

use candle_core::Tensor;
use rayon::prelude::*;

use super::{dot, exp, greatest, matrix, read, sum, vectorised};
use crate::cuda::Gpu;
use crate::error::Result;
use crate::gemm::{Matrix, Threads, product};

/// Query rows per block.
const BLOCK: usize = 64;

/// How the columns of q, k and v fall into heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub(crate) query: usize,
    pub(crate) key_value: usize,
    pub(crate) dim: usize,
}

impl Heads {
    fn query_width(self) -> usize {
        self.query * self.dim
    }

    fn key_value_width(self) -> usize {
        self.key_value * self.dim
    }

    /// First column, in k and v, of what query head `head` attends to.
    fn key_value_column(self, head: usize) -> usize {
        head / (self.query / self.key_value) * self.dim
    }

    fn scale(self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }

    /// Rows `from..from + rows` of one head in a matrix whose rows are `width` numbers.
    fn block(self, data: &[f32], width: usize, column: usize, from: usize, rows: usize) -> Matrix<'_> {
        Matrix::strided(&data[from * width + column..], rows, self.dim, width)
    }
}

/// The attended values, and log sum exp of each token's scores per head, `tokens x query heads`.
/// Sequence i is rows `starts[i]..starts[i + 1]`.
pub(crate) fn forward(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    starts: &[usize],
    heads: Heads,
) -> Result<(Tensor, Tensor)> {
    if let Some(gpu) = Gpu::of(q) {
        return gpu.attention_forward([q, k, v], starts, heads);
    }
    let rows = q.dim(0)?;
    let (q, k, v) = (read(q)?, read(k)?, read(v)?);
    let (q, k, v) = (&*q, &*k, &*v);
    let mut out = vec![0.0; q.len()];
    let mut log_sums = vec![0.0; rows * heads.query];
    let outs = per_sequence(&mut out, starts, heads.query_width());
    let sums = per_sequence(&mut log_sums, starts, heads.query);
    outs.into_par_iter().zip(sums).enumerate().for_each_init(Vec::new, |scores, (index, (out, log_sums))| {
        let rows = starts[index]..starts[index + 1];
        let q = &q[rows.start * heads.query_width()..rows.end * heads.query_width()];
        let [k, v] =
            [k, v].map(|all| &all[rows.start * heads.key_value_width()..rows.end * heads.key_value_width()]);
        forward_sequence(q, k, v, heads, out, log_sums, scores);
    });
    Ok((matrix(out, rows, heads.query_width())?, matrix(log_sums, rows, heads.query)?))
}

fn forward_sequence(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    heads: Heads,
    out: &mut [f32],
    log_sums: &mut [f32],
    scores: &mut Vec<f32>,
) {
    let (q_width, kv_width) = (heads.query_width(), heads.key_value_width());
    for (head, from, rows) in blocks(q.len() / q_width, heads) {
        let (column, kv_column, keys) = (head * heads.dim, heads.key_value_column(head), from + rows);
        scores.resize(rows * keys, 0.0);
        let left = heads.block(q, q_width, column, from, rows);
        let right = heads.block(k, kv_width, kv_column, 0, keys).transposed();
        product(scores, keys, false, heads.scale(), left, right, Threads::One);
        for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
            let (seen, unseen) = scores.split_at_mut(from + row + 1);
            log_sums[(from + row) * heads.query + head] = softmax(seen);
            unseen.fill(0.0);
        }
        let values = heads.block(v, kv_width, kv_column, 0, keys);
        let out = &mut out[from * q_width + column..];
        product(out, q_width, false, 1.0, Matrix::new(scores, rows, keys), values, Threads::One);
    }
}

/// dLoss/dq, dLoss/dk and dLoss/dv.
pub(crate) fn backward(
    d_out: &Tensor,
    [q, k, v, out]: [&Tensor; 4],
    log_sums: &Tensor,
    starts: &[usize],
    heads: Heads,
) -> Result<[Tensor; 3]> {
    if let Some(gpu) = Gpu::of(q) {
        return gpu.attention_backward(d_out, [q, k, v, out, log_sums], starts, heads);
    }
    let rows = q.dim(0)?;
    let (q_width, kv_width) = (heads.query_width(), heads.key_value_width());
    let (q, k, v, out, d_out) = (read(q)?, read(k)?, read(v)?, read(out)?, read(d_out)?);
    let (q, k, v, out, d_out) = (&*q, &*k, &*v, &*out, &*d_out);
    let log_sums = read(log_sums)?;
    let log_sums = &*log_sums;
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let gradients = per_sequence(&mut dq, starts, q_width)
        .into_par_iter()
        .zip(per_sequence(&mut dk, starts, kv_width))
        .zip(per_sequence(&mut dv, starts, kv_width));
    gradients.enumerate().for_each_init(Scratch::default, |scratch, (index, ((dq, dk), dv))| {
        let rows = starts[index]..starts[index + 1];
        let [q, out, d_out] = [q, out, d_out].map(|all| &all[rows.start * q_width..rows.end * q_width]);
        let [k, v] = [k, v].map(|all| &all[rows.start * kv_width..rows.end * kv_width]);
        let log_sums = &log_sums[rows.start * heads.query..rows.end * heads.query];
        backward_sequence(&Saved { q, k, v, out, d_out, log_sums }, heads, [dq, dk, dv], scratch);
    });
    Ok([matrix(dq, rows, q_width)?, matrix(dk, rows, kv_width)?, matrix(dv, rows, kv_width)?])
}

/// One sequence's part of what the backward pass reads.
struct Saved<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    out: &'a [f32],
    d_out: &'a [f32],
    log_sums: &'a [f32],
}

#[derive(Default)]
struct Scratch {
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
}

fn backward_sequence(saved: &Saved<'_>, heads: Heads, [dq, dk, dv]: [&mut [f32]; 3], scratch: &mut Scratch) {
    let (q_width, kv_width) = (heads.query_width(), heads.key_value_width());
    for (head, from, rows) in blocks(saved.q.len() / q_width, heads) {
        let (column, kv_column, keys) = (head * heads.dim, heads.key_value_column(head), from + rows);
        let q = heads.block(saved.q, q_width, column, from, rows);
        let d_out = heads.block(saved.d_out, q_width, column, from, rows);
        let k = heads.block(saved.k, kv_width, kv_column, 0, keys);
        let v = heads.block(saved.v, kv_width, kv_column, 0, keys);
        let (p, ds) = (&mut scratch.probabilities, &mut scratch.d_scores);
        p.resize(rows * keys, 0.0);
        ds.resize(rows * keys, 0.0);
        product(p, keys, false, heads.scale(), q, k.transposed(), Threads::One);
        product(ds, keys, false, 1.0, d_out, v.transposed(), Threads::One);
        for (row, (p, ds)) in p.chunks_exact_mut(keys).zip(ds.chunks_exact_mut(keys)).enumerate() {
            let at = from + row;
            let [out, d_out] = [saved.out, saved.d_out].map(|all| &all[at * q_width + column..][..heads.dim]);
            let log_sum = saved.log_sums[at * heads.query + head];
            vectorised(|| {
                let along = dot(out, d_out);
                for (p, ds) in p[..at + 1].iter_mut().zip(ds.iter_mut()) {
                    *p = exp(*p - log_sum);
                    *ds = *p * (*ds - along);
                }
            });
            p[at + 1..].fill(0.0);
            ds[at + 1..].fill(0.0);
        }
        let (p, ds) = (Matrix::new(p, rows, keys), Matrix::new(ds, rows, keys));
        product(&mut dq[from * q_width + column..], q_width, false, heads.scale(), ds, k, Threads::One);
        product(&mut dk[kv_column..], kv_width, true, heads.scale(), ds.transposed(), q, Threads::One);
        product(&mut dv[kv_column..], kv_width, true, 1.0, p.transposed(), d_out, Threads::One);
    }
}

/// Keys and values of consecutive positions, rows of all key/value heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page<'a> {
    pub(crate) keys: &'a [f32],
    pub(crate) values: &'a [f32],
}

/// One query row against all keys of its pages, in order.
pub(crate) fn decode(q: &[f32], pages: &[Page<'_>], heads: Heads, out: &mut [f32], scores: &mut Vec<f32>) {
    let (width, dim, scale) = (heads.key_value_width(), heads.dim, heads.scale());
    vectorised(|| {
        for head in 0..heads.query {
            let (q, column) = (&q[head * dim..][..dim], heads.key_value_column(head));
            scores.clear();
            for page in pages {
                scores.extend(page.keys.chunks_exact(width).map(|row| scale * dot(q, &row[column..][..dim])));
            }
            softmax_inline(scores);
            let out = &mut out[head * dim..][..dim];
            out.fill(0.0);
            let rows = pages.iter().flat_map(|page| page.values.chunks_exact(width));
            for (&p, row) in scores.iter().zip(rows) {
                out.iter_mut().zip(&row[column..][..dim]).for_each(|(out, value)| *out += p * value);
            }
        }
    });
}

/// Turns scores into probabilities; returns the logarithm of their sum of exponentials.
fn softmax(scores: &mut [f32]) -> f32 {
    vectorised(|| softmax_inline(scores))
}

#[inline(always)]
fn softmax_inline(scores: &mut [f32]) -> f32 {
    let top = greatest(scores);
    scores.iter_mut().for_each(|score| *score = exp(*score - top));
    let total = sum(scores.len(), |i| scores[i]);
    let inverse = 1.0 / total;
    scores.iter_mut().for_each(|score| *score *= inverse);
    top + total.ln()
}

/// Each sequence's rows of a packed matrix.
fn per_sequence<'a>(mut data: &'a mut [f32], starts: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(starts.len());
    for pair in starts.windows(2) {
        let (part, rest) = data.split_at_mut((pair[1] - pair[0]) * width);
        parts.push(part);
        data = rest;
    }
    parts
}

/// (head, first row, number of rows) of every block of a sequence of `length` rows.
fn blocks(length: usize, heads: Heads) -> impl Iterator<Item = (usize, usize, usize)> {
    let block =
        move |head| (0..length).step_by(BLOCK).map(move |from| (head, from, BLOCK.min(length - from)));
    (0..heads.query).flat_map(block)
}
