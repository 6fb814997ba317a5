//! Each op by itself, the GPU's side against the CPU's over the same numbers: where a whole model differs, these lines say
//! which kernel it is.
//!
//! # Theory of operation
//! An op is written once, over [`Operands`], and done in both places. Those are drawn from one seed in the order in which
//! the op asks for them, and rounded to what the GPU stores before either place gets them, so that what is compared is the
//! op's own arithmetic. What holds here and not in a whole model lies between the ops.

use candle_core::{DType, Device, Shape, Tensor};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::{CHUNK, greatest, worst};
use crate::cuda::{self, Gpu, Stored};
use crate::error::Result;
use crate::kernels::{Device as _, Paged};
use crate::ops::attention::{self, Heads, Page};
use crate::ops::head::{self, Filters, TokenStats};
use crate::ops::low_rank::LowRank;
use crate::ops::rope::{self, Angles};
use crate::ops::{self, Indices, embedding, linear, rms_norm, swiglu};

/// Rows and numbers in each: a row alone, what no block divides, and so many that a block does not hold them.
const SIZES: [[usize; 2]; 3] = [[1, 40], [37, 101], [300, 896]];
/// Rows of tables, and numbers of logits.
const VOCABULARY: usize = 301;

/// What an op reads, in one place.
struct Operands {
    random: ChaCha8Rng,
    stored: Stored,
    gpu: Option<&'static Gpu>,
}

impl Operands {
    fn new(stored: Stored, gpu: Option<&'static Gpu>) -> Operands {
        Operands { random: ChaCha8Rng::seed_from_u64(11), stored, gpu }
    }

    /// Numbers between -1 and 1, of the type that activations and weights have.
    fn some(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let drawn = self.drawn(shape)?.to_dtype(cuda::dtype(self.stored))?;
        self.place(drawn)
    }

    /// The same as f32 wherever they lie: statistics, and what gradients are added to.
    fn exact(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let drawn = self.drawn(shape)?;
        self.place(drawn)
    }

    fn drawn(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let values: Vec<f32> = (0..shape.elem_count()).map(|_| self.random.random_range(-1.0..1.0)).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn place(&self, drawn: Tensor) -> Result<Tensor> {
        match self.gpu {
            Some(gpu) => Ok(drawn.to_device(gpu.device())?),
            None => Ok(drawn.to_dtype(DType::F32)?),
        }
    }

    /// Indices below `end`, some of them more than once.
    fn indices(&mut self, count: usize, end: usize) -> Vec<u32> {
        (0..count).map(|_| self.random.random_range(0..end as u32)).collect()
    }
}

/// What an op gives, over rows of so many numbers.
type Op = fn(&mut Operands, [usize; 2]) -> Result<Vec<Tensor>>;

/// The ops of a pass and of sampling; AdamW and the norm of gradients have measurements of their own.
const OPS: [(&str, Op); 13] = [
    ("add", add),
    ("rows", rows),
    ("embedding", embed),
    ("rms_norm", norm),
    ("rope", turn),
    ("swiglu", gate),
    ("linear", product),
    ("low_rank", adapter),
    ("attention_grouped", |on, [rows, _]| attend(on, rows, Heads { query: 6, key_value: 2, dim: 8 })),
    ("attention_wide", |on, [rows, _]| attend(on, rows, Heads { query: 2, key_value: 1, dim: 128 })),
    ("attention_decode", |on, [rows, _]| decode(on, rows.min(9), Heads { query: 4, key_value: 2, dim: 24 })),
    ("head", score),
    ("draw", draw),
];

/// Name of each measurement and how it is made.
pub(super) fn all(
    gpu: &'static Gpu,
    stored: Stored,
    small: bool,
) -> impl Iterator<Item = (String, impl FnOnce() -> Result<Value>)> {
    let sizes = if small { &SIZES[..2] } else { &SIZES[..] };
    OPS.into_iter().map(move |(name, op)| {
        let places = [Operands::new(stored, Some(gpu)), Operands::new(stored, None)];
        (format!("{name}_{stored:?}").to_lowercase(), move || compared(op, sizes, places, stored))
    })
}

/// Greatest difference of any result, relative to the greatest number of it.
fn compared(
    op: Op,
    sizes: &[[usize; 2]],
    [mut there, mut here]: [Operands; 2],
    stored: Stored,
) -> Result<Value> {
    let (mut error, mut same_bits) = (0.0, true);
    for &size in sizes {
        let mut once_more = Operands { random: there.random.clone(), ..there };
        let (ours, again, expected) =
            (op(&mut there, size)?, op(&mut once_more, size)?, op(&mut here, size)?);
        for ((ours, again), expected) in ours.iter().zip(&again).zip(&expected) {
            let (ours, again) = (ops::read(ours)?, ops::read(again)?);
            error = greatest([error, worst(&ours, &ops::read(expected)?)]);
            same_bits &= *ours == *again;
        }
    }
    // bf16 rounds each result by up to 1/512 of it, some of them twice.
    let most = if stored == Stored::F32 { 1e-4 } else { 2e-2 };
    Ok(json!({ "error": error, "repeats_to_the_bit": same_bits, "within": error <= most && same_bits }))
}

fn add(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (own, other, scaled) = (on.some((rows, width))?, on.some((rows, width))?, on.exact((rows, width))?);
    ops::add(&own, &other)?;
    ops::scale(&scaled, 0.37)?;
    let squares = ops::sum_of_squares(&[scaled.clone(), scaled.clone()])?;
    Ok(vec![own, scaled, ops::vector(vec![squares as f32])?])
}

fn rows(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let source = on.some((rows, width))?;
    let gathered: Vec<usize> = on.indices(rows, rows).into_iter().map(|row| row as usize).collect();
    let apart: Vec<usize> = (0..rows).map(|row| 2 * row + 1).collect();
    Ok(vec![ops::gather_rows(&source, &gathered)?, ops::scatter_rows(&source, &apart, 2 * rows + 1)?])
}

fn embed(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (table, d_table) = (on.some((VOCABULARY, width))?, on.exact((VOCABULARY, width))?);
    let (tokens, dx) = (on.indices(rows, 20), on.some((rows, width))?);
    embedding::backward(&dx, &tokens, &d_table)?;
    Ok(vec![embedding::forward(&table, &tokens)?, d_table])
}

fn norm(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (x, weight, dy) = (on.some((rows, width))?, on.some(width)?, on.some((rows, width))?);
    let (residual, d_weight) = (on.some((rows, width))?, on.exact(width)?);
    let (y, inverse) = rms_norm::forward(&x, &weight, 1e-6)?;
    let again = rms_norm::again(&x, &inverse, &weight, 1e-6)?;
    let alone = rms_norm::backward(None, &dy, &x, &inverse, &weight, None)?;
    let dx = rms_norm::backward(Some(&residual), &dy, &x, &inverse, &weight, Some(&d_weight))?;
    Ok(vec![y, inverse, again, alone, dx, d_weight])
}

fn turn(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let dim = width / 2 * 2;
    let (ahead, back) = (on.some((rows, 3 * dim))?, on.some((rows, 3 * dim))?);
    let (positions, angles) = (Indices::new((0..rows).map(|row| 3 * row)), Angles::new(dim, 1e4, 3 * rows));
    rope::forward(&ahead, &positions, &angles)?;
    rope::backward(&back, &positions, &angles)?;
    Ok(vec![ahead, back])
}

fn gate(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (gate, up, da) = (on.some((rows, width))?, on.some((rows, width))?, on.some((rows, width))?);
    let (d_gate, d_up) = swiglu::backward(&da, &gate, &up)?;
    Ok(vec![swiglu::forward(&gate, &up)?, d_gate, d_up])
}

fn product(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let outputs = width / 2 + 3;
    let (x, weight, bias) = (on.some((rows, width))?, on.some((outputs, width))?, on.some(outputs)?);
    let (residual, dy) = (on.some((rows, outputs))?, on.some((rows, outputs))?);
    let (d_weight, d_bias) = (on.exact((outputs, width))?, on.exact(outputs)?);
    linear::backward_weight(&dy, &x, &d_weight)?;
    linear::backward_bias(&dy, &d_bias)?;
    Ok(vec![
        linear::forward(&x, &weight, None)?,
        linear::forward(&x, &weight, Some(&bias))?,
        linear::forward_add(&residual, &x, &weight)?,
        linear::backward_input(&[(&dy, &weight), (&residual, &weight)])?,
        d_weight,
        d_bias,
    ])
}

fn adapter(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (rank, outputs) = (5, width / 2 + 3);
    let (a, b) = (on.some((rank, width))?, on.some((outputs, rank))?);
    let (d_a, d_b) = (on.exact((rank, width))?, on.exact((outputs, rank))?);
    let (x, y, dy) = (on.some((rows, width))?, on.some((rows, outputs))?, on.some((rows, outputs))?);
    let low_rank = LowRank { a: &a, b: &b, scale: 1.6 };
    low_rank.add(&y, &x)?;
    let d_low = low_rank.backward(&dy, &x, [&d_a, &d_b])?;
    Ok(vec![y, d_low, d_a, d_b])
}

/// Rows in sequences of 1, 2, 3 ... tokens, as many as there are, and what is left.
fn starts(rows: usize) -> Vec<usize> {
    let mut starts = vec![0];
    while starts[starts.len() - 1] < rows {
        starts.push(rows.min(starts[starts.len() - 1] + starts.len()));
    }
    starts
}

fn attend(on: &mut Operands, rows: usize, heads: Heads) -> Result<Vec<Tensor>> {
    let Heads { query, key_value, dim } = heads;
    // Where each token sees itself alone, dq and dk are 0 but for rounding, and there is nothing to be relative to.
    let rows = rows.max(3);
    let (q, d_out) = (on.some((rows, query * dim))?, on.some((rows, query * dim))?);
    let (k, v) = (on.some((rows, key_value * dim))?, on.some((rows, key_value * dim))?);
    let mut results = Vec::new();
    for starts in [starts(rows), vec![0, rows]] {
        let (out, log_sums) = attention::forward(&q, &k, &v, &starts, heads)?;
        results.extend(attention::backward(&d_out, [&q, &k, &v, &out], &log_sums, &starts, heads)?);
        results.extend([out, log_sums]);
    }
    Ok(results)
}

/// Row i against 5 i + 1 positions in pages of 4, which lie in the pools in an order of their own.
fn decode(on: &mut Operands, rows: usize, heads: Heads) -> Result<Vec<Tensor>> {
    const PAGE: usize = 4;
    let Heads { query, key_value, dim } = heads;
    let lengths: Vec<usize> = (0..rows).map(|row| 5 * row + 1).collect();
    let most_pages = lengths[rows - 1].div_ceil(PAGE);
    // 7 and the count have no divisor in common, so that no page is there twice.
    let count = (rows * most_pages).next_multiple_of(7) + 1;
    let pages: Vec<u32> = (0..rows * most_pages).map(|page| (7 * page % count) as u32).collect();
    let (slots, width) = (count * PAGE, key_value * dim);
    let (q, keys, values) =
        (on.some((rows, query * dim))?, on.some((slots, width))?, on.some((slots, width))?);
    if let Some(gpu) = on.gpu {
        let lengths: Vec<u32> = lengths.iter().map(|&length| length as u32).collect();
        let (pages, lengths) = (gpu.upload(&pages)?, gpu.upload(&lengths)?);
        let (page, most_pages) = (PAGE as u32, most_pages as u32);
        let cache = Paged { pools: [&keys, &values], pages: &pages, lengths: &lengths, page, most_pages };
        return Ok(vec![gpu.attention_decode(&q, &cache, heads)?]);
    }
    let (q, keys, values) = (ops::read(&q)?, ops::read(&keys)?, ops::read(&values)?);
    let mut out = vec![0.0; q.len()];
    for (row, (q, out)) in q.chunks_exact(query * dim).zip(out.chunks_exact_mut(query * dim)).enumerate() {
        let of_row = (0..lengths[row]).step_by(PAGE).zip(&pages[row * most_pages..]);
        let held = of_row.map(|(from, &page)| {
            let numbers = page as usize * PAGE * width..;
            let count = PAGE.min(lengths[row] - from) * width;
            Page { keys: &keys[numbers.clone()][..count], values: &values[numbers][..count] }
        });
        attention::decode(q, &held.collect::<Vec<_>>(), heads, out, &mut Vec::new());
    }
    Ok(vec![ops::matrix(out, rows, query * dim)?])
}

fn score(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let (hidden, weight) = (on.some((rows, width))?, on.some((VOCABULARY, width))?);
    let targets = on.indices(rows, VOCABULARY);
    // Logits so far apart that the distribution is neither flat nor one token's.
    let temperature = (width as f32).sqrt() / 6.0;
    let loss = |stats: &TokenStats| stats.logprob.iter().map(|logprob| -0.3 + 0.1 * logprob).collect();
    let mut results = Vec::new();
    for at_once in [None, Some(CHUNK)] {
        let d_weight = on.exact((VOCABULARY, width))?;
        let (stats, d_hidden) =
            head::loss_backward(&hidden, &weight, &targets, temperature, &loss, Some(&d_weight), at_once)?;
        let scored = head::score(&hidden, &weight, &targets, temperature, at_once)?;
        for stats in [stats, scored] {
            results.extend([stats.logprob, stats.entropy, stats.variance].map(ops::vector));
        }
        results.extend([Ok(d_hidden), Ok(d_weight)]);
    }
    results.into_iter().collect()
}

/// The best token of every third row, drawn ones of the others; and their log-probabilities.
fn draw(on: &mut Operands, [rows, width]: [usize; 2]) -> Result<Vec<Tensor>> {
    let logits = on.some((rows, width))?;
    let mut uniform = || f64::from(on.random.random_range(0.0..1.0f32));
    let uniforms: Vec<Option<f64>> = (0..rows).map(|row| (row % 3 != 0).then(&mut uniform)).collect();
    let temperature = 0.4;
    let drawn = match on.gpu {
        Some(gpu) => gpu.draw(&logits, uniforms.into_iter(), temperature)?,
        None => {
            let mut logits = ops::read(&logits)?.to_vec();
            let rows = logits.chunks_exact_mut(width).zip(uniforms);
            rows.map(|(z, uniform)| head::draw(z, temperature, uniform, &Filters::default(), 0))
                .map(|drawn| (drawn.id, drawn.logprob))
                .collect()
        }
    };
    let (ids, logprobs) = drawn.into_iter().map(|(id, logprob)| (id as f32, logprob)).unzip();
    Ok(vec![ops::vector(ids)?, ops::vector(logprobs)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both places are a CPU: the same numbers agree in every op, and others do not.
    #[test]
    fn equals_hold_and_what_differs_is_found() {
        let place = |seed| {
            let random = ChaCha8Rng::seed_from_u64(seed);
            Operands { random, ..Operands::new(Stored::F32, None) }
        };
        for (name, op) in OPS {
            let same = compared(op, &SIZES, [place(1), place(1)], Stored::F32).unwrap();
            assert_eq!(same["within"], true, "{name}: {same}");
            let other = compared(op, &SIZES, [place(1), place(2)], Stored::F32).unwrap();
            assert_eq!(other["within"], false, "{name}: {other}");
        }
    }
}
