//! The fused operations of the model, one file each with its forward and its backward pass.
//!
//! # Theory of operation
//! An op takes and gives contiguous `Tensor`s. Where they lie on a GPU, it is the launches of `gpu.rs`; on the CPU
//! (f32) it works on their slices: `read` for operands, `write` for what is changed in place (gradients are added
//! to, angles applied). None of them touches candle's tape, so nothing can be cut from a gradient without a test
//! seeing it. Loops over rows go to the thread pool when
//! there is enough work and stay on the caller's thread otherwise; sums over rows are taken in fixed blocks,
//! so results do not depend on the number of threads. `vectorised` compiles a loop for the machine's widest
//! supported vectors at run time.

pub(crate) mod attention;
pub(crate) mod embedding;
pub(crate) mod gpu;
pub(crate) mod head;
pub(crate) mod linear;
pub(crate) mod low_rank;
pub(crate) mod rms_norm;
pub(crate) mod rope;
pub(crate) mod swiglu;

use std::cell::Cell;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, Tensor};
use rayon::prelude::*;

use crate::cuda::Gpu;
use crate::error::{EngineError, Result};

/// Loops over fewer numbers than this stay on the caller's thread.
const PARALLEL_FROM: usize = 16 * 1024;
/// Numbers of a tensor that a thread takes at a time.
const PIECE: usize = 16 * 1024;
/// Rows per partial sum, where rows are summed.
const ROW_BLOCK: usize = 256;

/// Runs a loop compiled for the widest vectors this machine has. What it calls must be `inline(always)`.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

enum View<S> {
    Here { storage: S, range: Range<usize> },
    Brought(Vec<f32>),
}

impl<S: Deref<Target = Storage>> Deref for View<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            View::Brought(values) => values,
            View::Here { storage, range } => match &**storage {
                Storage::Cpu(CpuStorage::F32(values)) => &values[range.clone()],
                _ => unreachable!("read() looked at the storage before it made the view"),
            },
        }
    }
}

/// The numbers of a contiguous tensor; those of a GPU are brought, as f32, once all it was told before is done.
pub(crate) fn read(tensor: &Tensor) -> Result<impl Deref<Target = [f32]> + '_> {
    let (storage, layout) = tensor.storage_and_layout();
    let range = contiguous(layout)?;
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(View::Here { storage, range }),
        Storage::Cuda(_) => {
            drop(storage);
            let gpu = Gpu::of(tensor).ok_or_else(|| EngineError::Input("there is no GPU".to_owned()))?;
            Ok(View::Brought(gpu.bring(tensor)?))
        }
        _ => Err(EngineError::Input("expected an f32 tensor".to_owned())),
    }
}

/// Changes the numbers of a contiguous f32 tensor on the CPU in place.
pub(crate) fn write<F: FnOnce(&mut [f32])>(tensor: &Tensor, change: F) -> Result<()> {
    struct InPlace<F>(Cell<Option<F>>);
    impl<F: FnOnce(&mut [f32])> InplaceOp1 for InPlace<F> {
        fn name(&self) -> &'static str {
            "write"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
            let range = contiguous(layout).map_err(candle_core::Error::wrap)?;
            match (storage, self.0.take()) {
                (CpuStorage::F32(values), Some(change)) => change(&mut values[range]),
                _ => candle_core::bail!("expected an f32 tensor"),
            }
            Ok(())
        }
    }
    Ok(tensor.inplace_op1(&InPlace(Cell::new(Some(change))))?)
}

/// `own += other`.
pub(crate) fn add(own: &Tensor, other: &Tensor) -> Result<()> {
    if own.shape() != other.shape() {
        let what = format!("shapes differ: {:?} and {:?}", own.shape(), other.shape());
        return Err(EngineError::Input(what));
    }
    if let Some(gpu) = Gpu::of(own) {
        return gpu.add(own, other);
    }
    let other = read(other)?;
    write(own, |own| own.iter_mut().zip(&*other).for_each(|(own, &other)| *own += other))
}

/// `own *= factor`.
pub(crate) fn scale(own: &Tensor, factor: f32) -> Result<()> {
    if let Some(gpu) = Gpu::of(own) {
        return gpu.scale(own, factor);
    }
    write(own, |own| {
        own.par_chunks_mut(PIECE).for_each(|piece| piece.iter_mut().for_each(|own| *own *= factor));
    })
}

/// The sum of squares of all numbers of these tensors.
pub(crate) fn sum_of_squares(tensors: &[Tensor]) -> Result<f64> {
    if let Some(gpu) = tensors.first().and_then(Gpu::of) {
        return gpu.sum_of_squares(tensors);
    }
    let mut sum = 0.0;
    for tensor in tensors {
        let values = read(tensor)?;
        // Each piece's sum, then their sum in order: the same on any number of threads.
        let sums: Vec<f64> = values.par_chunks(PIECE).map(squares).collect();
        sum += sums.iter().sum::<f64>();
    }
    Ok(sum)
}

fn squares(values: &[f32]) -> f64 {
    vectorised(|| {
        let mut lanes = [0.0f64; LANES];
        for block in values.chunks(LANES) {
            lanes.iter_mut().zip(block).for_each(|(sum, &value)| *sum += f64::from(value).powi(2));
        }
        lanes.iter().sum()
    })
}

/// Indices that ops read: on the host, and on a GPU once an op there asked for them.
#[derive(Debug, Default)]
pub(crate) struct Indices {
    host: Vec<u32>,
    there: OnceLock<Tensor>,
}

impl Indices {
    pub(crate) fn new(indices: impl IntoIterator<Item = usize>) -> Indices {
        Indices { host: indices.into_iter().map(|index| index as u32).collect(), there: OnceLock::new() }
    }

    pub(crate) fn host(&self) -> &[u32] {
        &self.host
    }
}

fn contiguous(layout: &Layout) -> Result<Range<usize>> {
    let (from, to) = layout
        .contiguous_offsets()
        .ok_or_else(|| EngineError::Input("expected a contiguous tensor".to_owned()))?;
    Ok(from..to)
}

/// A `rows x width` matrix on the CPU.
pub(crate) fn matrix(values: Vec<f32>, rows: usize, width: usize) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, (rows, width), &Device::Cpu)?)
}

/// Numbers in a row, one per row of a matrix, say.
pub(crate) fn vector(values: Vec<f32>) -> Result<Tensor> {
    let count = values.len();
    Ok(Tensor::from_vec(values, count, &Device::Cpu)?)
}

/// Calls `each(row index, row)` for rows of `width` numbers, in parallel where it pays.
pub(crate) fn rows_mut(values: &mut [f32], width: usize, each: impl Fn(usize, &mut [f32]) + Sync) {
    if values.len() < PARALLEL_FROM {
        values.chunks_exact_mut(width).enumerate().for_each(|(row, values)| each(row, values));
    } else {
        let least = (PARALLEL_FROM / 4 / width).max(1);
        values
            .par_chunks_exact_mut(width)
            .with_min_len(least)
            .enumerate()
            .for_each(|(row, values)| each(row, values));
    }
}

/// Adds over `rows` rows: `block(range, sum)` adds the rows of the range into `sum`. Blocks are fixed, so
/// the result does not depend on the number of threads.
pub(crate) fn sum_rows(
    into: &mut [f32],
    rows: usize,
    block: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
) {
    let blocks: Vec<Vec<f32>> = (0..rows.div_ceil(ROW_BLOCK))
        .into_par_iter()
        .map(|index| {
            let mut sum = vec![0.0; into.len()];
            block(index * ROW_BLOCK..rows.min((index + 1) * ROW_BLOCK), &mut sum);
            sum
        })
        .collect();
    for block in blocks {
        into.iter_mut().zip(block).for_each(|(own, block)| *own += block);
    }
}

/// The rows of `matrix` named by `rows`, in that order.
pub(crate) fn gather_rows(source: &Tensor, rows: &[usize]) -> Result<Tensor> {
    let width = source.dim(1)?;
    if let Some(gpu) = Gpu::of(source) {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        return gpu.gather_rows(source, &rows);
    }
    let source = read(source)?;
    let mut out = vec![0.0; rows.len() * width];
    rows_mut(&mut out, width, |at, row| row.copy_from_slice(&source[rows[at] * width..][..width]));
    matrix(out, rows.len(), width)
}

/// A matrix of `count` rows, zero but for the rows of `source`, each at its index in `rows`, which are distinct.
pub(crate) fn scatter_rows(source: &Tensor, rows: &[usize], count: usize) -> Result<Tensor> {
    let width = source.dim(1)?;
    if let Some(gpu) = Gpu::of(source) {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        return gpu.scatter_rows(source, &rows, count);
    }
    let source = read(source)?;
    let mut out = vec![0.0; count * width];
    for (&row, values) in rows.iter().zip(source.chunks_exact(width)) {
        out[row * width..][..width].copy_from_slice(values);
    }
    matrix(out, count, width)
}

/// Number of partial sums of a reduction: as many as a vector register pair holds.
pub(crate) const LANES: usize = 16;

/// Sum of `term(i)` over `0..count` in `LANES` partial sums, so the compiler may vectorise it.
#[inline(always)]
pub(crate) fn sum(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = count / LANES * LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let mut rest = 0.0;
    for at in whole..count {
        rest += term(at);
    }
    total(lanes) + rest
}

/// The lanes' sum, by halves: each step is one vector addition.
#[inline(always)]
fn total(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Dot product of two slices of one length.
#[inline(always)]
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let right = &right[..left.len()];
    let (mut lanes, mut rest) = ([0.0f32; LANES], 0.0);
    let (left_blocks, right_blocks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    for (a, b) in left_blocks.remainder().iter().zip(right_blocks.remainder()) {
        rest += a * b;
    }
    for (a, b) in left_blocks.zip(right_blocks) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    total(lanes) + rest
}

/// Greatest number of a slice; minus infinity for an empty one.
#[inline(always)]
pub(crate) fn greatest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let blocks = values.chunks_exact(LANES);
    let rest = blocks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = if block[lane] > lanes[lane] { block[lane] } else { lanes[lane] };
        }
    }
    lanes.iter().fold(rest, |a, &b| if b > a { b } else { a })
}

/// e^x to 2 units in the last place, by range reduction and a polynomial, without a branch: a loop over it
/// vectorises, which a call to the mathematics library prevents. Below -87.3 it gives 0, above 88 what it
/// gives for 88; NaN gives NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: the first is exact in so few bits that n * LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let vanishes = x < -87.3;
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    // Taylor to r^7; |r| <= ln(2)/2, so the rest is below 1e-8.
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if vanishes { 0.0 } else { p * power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_equals_the_library_to_two_units() {
        for step in -87_300..=88_000 {
            let x = step as f32 / 1000.0;
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours - exact).abs() <= 3e-7 * exact, "{x}: {ours} {exact}");
        }
        assert_eq!([exp(0.0), exp(-1e30), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan() && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn reductions_equal_plain_loops() {
        for count in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..count).map(|i| ((i * 37) % 11) as f32 - 5.0).collect();
            assert_eq!(dot(&values, &values), values.iter().map(|v| v * v).sum::<f32>());
            assert_eq!(sum(count, |i| values[i]), values.iter().sum::<f32>());
            assert_eq!(greatest(&values), values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
