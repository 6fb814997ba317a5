//! From normed states to what the learner wants of each response token: its log-probability under
//! softmax(z/T), the entropy of that distribution and the variance of z/T under it.
//!
//! # Theory of operation
//! Logits exist for a chunk of rows at a time, never for tokens x vocabulary. The gradient needs the
//! statistics of all rows first (the caller's loss may look at all of them), so a batch of more than one chunk
//! computes its logits twice. With g = dLoss/dlogprob: dLoss/dz_j = (g / T) (1[j = target] - p_j), written
//! over the chunk's logits.

use candle_core::Tensor;

use super::{LANES, exp, greatest, matrix, read, rows_mut, vectorised, write};
use crate::cuda::Gpu;
use crate::error::{EngineError, Result};
use crate::gemm::{Matrix, Threads, product};

/// Logits held at a time: 16 MiB of them.
pub(crate) const CHUNK_NUMBERS: usize = 4 * 1024 * 1024;

/// Per response token, in the batch's order, of softmax(z/T): all natural logarithms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenStats {
    /// Log-probability of the token.
    pub logprob: Vec<f32>,
    /// Entropy of the distribution it was drawn from, over the whole vocabulary.
    pub entropy: Vec<f32>,
    /// Variance of z/T under that distribution: dH / d(ln T).
    pub variance: Vec<f32>,
}

impl TokenStats {
    /// Appends the statistics of the next part of a split batch.
    pub fn extend(&mut self, other: TokenStats) {
        self.logprob.extend(other.logprob);
        self.entropy.extend(other.entropy);
        self.variance.extend(other.variance);
    }
}

/// Statistics of each row of `hidden` for its target; `at_once` numbers of logits are held at a time, if it is said.
pub(crate) fn score(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    temperature: f32,
    at_once: Option<usize>,
) -> Result<TokenStats> {
    if let Some(gpu) = Gpu::of(hidden) {
        return gpu.head_score(hidden, weight, targets, temperature, at_once);
    }
    let chunk = chunk_rows(weight, at_once)?;
    let (hidden, width) = (read(hidden)?, weight.dim(1)?);
    Ok(Head { hidden: &hidden, weight: &read(weight)?, width, targets, temperature }.stats(chunk).0)
}

/// Statistics, dLoss/dhidden; adds to the weight's gradient where there is one. `at_once` as in `score`.
pub(crate) fn loss_backward(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    temperature: f32,
    grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
    d_weight: Option<&Tensor>,
    at_once: Option<usize>,
) -> Result<(TokenStats, Tensor)> {
    if let Some(gpu) = Gpu::of(hidden) {
        let operands = [hidden, weight];
        return gpu.head_loss_backward(operands, targets, temperature, grad_of_logprob, d_weight, at_once);
    }
    let chunk = chunk_rows(weight, at_once)?;
    loss_backward_in_chunks(hidden, weight, targets, temperature, grad_of_logprob, d_weight, chunk)
}

/// dLoss/dlogprob of each response token.
pub(super) fn gradient(
    grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
    stats: &TokenStats,
    count: usize,
) -> Result<Vec<f32>> {
    let gradient = grad_of_logprob(stats);
    if gradient.len() == count {
        return Ok(gradient);
    }
    Err(EngineError::Input(format!("{} gradients for {count} response tokens", gradient.len())))
}

fn chunk_rows(weight: &Tensor, at_once: Option<usize>) -> Result<usize> {
    Ok(rows_of_chunk(at_once.unwrap_or(CHUNK_NUMBERS), weight.dim(0)?))
}

/// Rows of logits held at a time, where so many numbers may be.
pub(crate) fn rows_of_chunk(numbers: usize, vocabulary: usize) -> usize {
    (numbers / vocabulary).max(16)
}

fn loss_backward_in_chunks(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &[u32],
    temperature: f32,
    grad_of_logprob: &dyn Fn(&TokenStats) -> Vec<f32>,
    d_weight: Option<&Tensor>,
    chunk: usize,
) -> Result<(TokenStats, Tensor)> {
    let (vocabulary, width) = weight.dims2()?;
    let (hidden, weight) = (read(hidden)?, read(weight)?);
    let head = Head { hidden: &hidden, weight: &weight, width, targets, temperature };
    let (stats, mut logits, log_sums) = head.stats(chunk);
    let gradient = gradient(grad_of_logprob, &stats, targets.len())?;
    let mut d_hidden = vec![0.0; hidden.len()];
    for from in (0..targets.len()).step_by(chunk) {
        let rows = chunk.min(targets.len() - from);
        if targets.len() > chunk {
            head.logits(from, rows, &mut logits);
        }
        rows_mut(&mut logits, vocabulary, |row, z| {
            let (at, inverse) = (from + row, 1.0 / temperature);
            let (push, log_sum, target) = (gradient[at] * inverse, log_sums[at], targets[at] as usize);
            vectorised(|| z.iter_mut().for_each(|z| *z = -push * exp(*z * inverse - log_sum)));
            z[target] += push;
        });
        let dz = Matrix::new(&logits, rows, vocabulary);
        let out = &mut d_hidden[from * width..(from + rows) * width];
        product(out, width, false, 1.0, dz, Matrix::new(&weight, vocabulary, width), Threads::Pool);
        let h = Matrix::new(&hidden[from * width..(from + rows) * width], rows, width);
        if let Some(d_weight) = d_weight {
            write(d_weight, |out| product(out, width, true, 1.0, dz.transposed(), h, Threads::Pool))?;
        }
    }
    Ok((stats, matrix(d_hidden, targets.len(), width)?))
}

struct Head<'a> {
    hidden: &'a [f32],
    weight: &'a [f32],
    width: usize,
    targets: &'a [u32],
    temperature: f32,
}

impl Head<'_> {
    fn logits(&self, from: usize, rows: usize, logits: &mut Vec<f32>) {
        let vocabulary = self.weight.len() / self.width;
        logits.resize(rows * vocabulary, 0.0);
        let states = Matrix::new(&self.hidden[from * self.width..], rows, self.width);
        let weight = Matrix::new(self.weight, vocabulary, self.width).transposed();
        product(logits, vocabulary, false, 1.0, states, weight, Threads::Pool);
    }

    /// Statistics, the last chunk's logits, and log sum exp (z/T) of each row.
    fn stats(&self, chunk: usize) -> (TokenStats, Vec<f32>, Vec<f32>) {
        let (mut stats, mut logits, mut log_sums) = (TokenStats::default(), Vec::new(), Vec::new());
        let vocabulary = self.weight.len() / self.width;
        for from in (0..self.targets.len()).step_by(chunk) {
            let rows = chunk.min(self.targets.len() - from);
            self.logits(from, rows, &mut logits);
            let mut summaries = vec![[0.0f32; 4]; rows];
            let (logits, inverse) = (&logits, 1.0 / self.temperature);
            let summarise = |row: usize, out: &mut [f32]| {
                let z = &logits[row * vocabulary..][..vocabulary];
                out.copy_from_slice(&summary(z, inverse, self.targets[from + row] as usize));
            };
            // Each row costs a vocabulary, so it is the logits that decide whether the pool pays.
            if rows * vocabulary < super::PARALLEL_FROM {
                summaries.iter_mut().enumerate().for_each(|(row, out)| summarise(row, out));
            } else {
                use rayon::prelude::*;
                summaries
                    .par_iter_mut()
                    .with_min_len(8)
                    .enumerate()
                    .for_each(|(row, out)| summarise(row, out));
            }
            for [logprob, entropy, variance, log_sum] in summaries {
                stats.logprob.push(logprob);
                stats.entropy.push(entropy);
                stats.variance.push(variance);
                log_sums.push(log_sum);
            }
        }
        (stats, logits, log_sums)
    }
}

/// Log-probability of the target, entropy, variance, and log sum exp of z/T.
fn summary(z: &[f32], inverse_temperature: f32, target: usize) -> [f32; 4] {
    vectorised(|| {
        let top = greatest(z);
        let mut sums = [[0.0f32; LANES]; 3];
        let blocks = z.chunks_exact(LANES);
        let rest = blocks.remainder();
        for block in blocks {
            for lane in 0..LANES {
                let s = (block[lane] - top) * inverse_temperature;
                let e = exp(s);
                sums[0][lane] += e;
                sums[1][lane] += s * e;
                sums[2][lane] += s * s * e;
            }
        }
        for (lane, z) in rest.iter().enumerate() {
            let s = (z - top) * inverse_temperature;
            let e = exp(s);
            sums[0][lane] += e;
            sums[1][lane] += s * e;
            sums[2][lane] += s * s * e;
        }
        let [total, first, second] = sums.map(|lanes| lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>());
        let (mean, log_total) = (first / total, total.ln());
        let at_target = f64::from((z[target] - top) * inverse_temperature);
        let log_sum = log_total + f64::from(top * inverse_temperature);
        [at_target - log_total, log_total - mean, (second / total - mean * mean).max(0.0), log_sum]
            .map(|value| value as f32)
    })
}

/// Which ids may be drawn at all, of those sorted by falling probability; the default is all of them. Each is applied
/// to what the ones before it left; one id, the best, always stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filters {
    /// The first so many; 0 is no limit.
    pub top_k: usize,
    /// The fewest whose probabilities add up to this share of what is left; 1 is no limit.
    pub top_p: f32,
    /// Those at least this share as probable as the best; 0 is no limit.
    pub min_p: f32,
}

impl Default for Filters {
    fn default() -> Filters {
        Filters { top_k: 0, top_p: 1.0, min_p: 0.0 }
    }
}

impl Filters {
    /// Sets the weights of ids that may not be drawn to 0. Of equal weights the lower id comes first.
    fn apply(&self, weights: &mut [f32]) {
        if *self == Filters::default() {
            return;
        }
        let mut order: Vec<usize> = (0..weights.len()).filter(|&id| weights[id] > 0.0).collect();
        order.sort_unstable_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        if self.top_p < 1.0 {
            let total: f64 = order.iter().map(|&id| f64::from(weights[id])).sum();
            let (mut before, enough) = (0.0, f64::from(self.top_p) * total);
            let fewest = order.iter().take_while(|&&id| {
                let needed = before < enough;
                before += f64::from(weights[id]);
                needed
            });
            let fewest = fewest.count().max(1);
            order.truncate(fewest);
        }
        let least = order.first().map_or(0.0, |&best| self.min_p * weights[best]);
        let kept: Vec<(usize, f32)> =
            order.into_iter().map(|id| (id, weights[id])).filter(|&(_, weight)| weight >= least).collect();
        weights.fill(0.0);
        kept.into_iter().for_each(|(id, weight)| weights[id] = weight);
    }
}

/// A token as it was drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) id: u32,
    /// Its log-probability under the whole of softmax(z/T), whatever the filters left.
    pub(crate) logprob: f32,
    /// That under what they left: with which it was really drawn.
    pub(crate) filtered_logprob: f32,
    /// The most probable tokens with theirs under the whole, as many as were asked for.
    pub(crate) best: Vec<(u32, f32)>,
}

/// Draws from softmax(z/T) with `uniform` in 0..1, or takes the most probable id (the lowest of equals)
/// where there is none; `best` of the most probable ids come with it. Overwrites `z`.
pub(crate) fn draw(
    z: &mut [f32],
    temperature: f32,
    uniform: Option<f64>,
    filters: &Filters,
    best: usize,
) -> Drawn {
    let inverse = 1.0 / temperature;
    let total = vectorised(|| {
        let top = greatest(z);
        let mut total = 0.0;
        for block in z.chunks_mut(256) {
            block.iter_mut().for_each(|z| *z = exp((*z - top) * inverse));
            total += f64::from(super::sum(block.len(), |i| block[i]));
        }
        total
    });
    let logprob = |weight: f32| (f64::from(weight).ln() - total.ln()) as f32;
    let best = heaviest(z, best).into_iter().map(|(id, weight)| (id, logprob(weight))).collect();
    let mut left = total;
    if *filters != Filters::default() {
        filters.apply(z);
        left = z.iter().map(|&weight| f64::from(weight)).sum();
    }
    let chosen = match uniform {
        Some(uniform) => pick(z, uniform * left),
        None => z.iter().position(|&e| e >= 1.0).unwrap_or(0),
    };
    let (id, logprob) = (chosen as u32, logprob(z[chosen]));
    Drawn { id, logprob, filtered_logprob: logprob + (total.ln() - left.ln()) as f32, best }
}

/// The ids of the `count` greatest weights, falling; of equal weights the lower id comes first.
fn heaviest(weights: &[f32], count: usize) -> Vec<(u32, f32)> {
    let mut found: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
    if count == 0 {
        return found;
    }
    for (id, &weight) in weights.iter().enumerate() {
        if found.len() < count || found.last().is_some_and(|&(_, least)| weight > least) {
            let at = found.partition_point(|&(_, other)| other >= weight);
            found.insert(at, (id as u32, weight));
            found.truncate(count);
        }
    }
    found
}

/// The first index at which the running sum passes `threshold`; the last one of weight when rounding keeps
/// the sum below it.
fn pick(weights: &[f32], threshold: f64) -> usize {
    let mut running = 0.0;
    let mut last = 0;
    for (index, &weight) in weights.iter().enumerate() {
        if weight > 0.0 {
            running += f64::from(weight);
            last = index;
            if running > threshold {
                return index;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn chunks_change_nothing() {
        let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let tensor = |rows: usize, width: usize, shift: usize| {
            matrix((0..rows * width).map(|i| number(i + shift)).collect(), rows, width).unwrap()
        };
        let (hidden, weight, targets) = (tensor(23, 8, 0), tensor(40, 8, 5), (0..23).collect::<Vec<u32>>());
        let run = |chunk| {
            let d_weight = Tensor::zeros((40, 8), candle_core::DType::F32, &Device::Cpu).unwrap();
            let loss = |stats: &TokenStats| stats.logprob.iter().map(|logprob| logprob * 0.1).collect();
            let (stats, d_hidden) =
                loss_backward_in_chunks(&hidden, &weight, &targets, 0.6, &loss, Some(&d_weight), chunk)
                    .unwrap();
            (stats, read(&d_hidden).unwrap().to_vec(), read(&d_weight).unwrap().to_vec())
        };
        let whole = run(1000);
        for chunk in [1, 4, 22, 23] {
            let parts = run(chunk);
            let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(close(&parts.0.logprob, &whole.0.logprob) && close(&parts.0.entropy, &whole.0.entropy));
            assert!(close(&parts.1, &whole.1) && close(&parts.2, &whole.2), "{chunk} rows");
        }
    }

    #[test]
    fn a_draw_follows_the_running_sum_and_never_takes_the_impossible() {
        let logits = [0.0f32, f32::ln(3.0), -1e30, 0.0];
        for (uniform, expected) in [(0.0, 0), (0.19, 0), (0.21, 1), (0.79, 1), (0.81, 3), (0.999_999_9, 3)] {
            let Drawn { id, logprob, filtered_logprob, .. } =
                draw(&mut logits.clone(), 1.0, Some(uniform), &Filters::default(), 0);
            assert_eq!(filtered_logprob, logprob);
            assert_eq!(id, expected, "{uniform}");
            let p = [0.2f32, 0.6, 0.0, 0.2][expected as usize];
            assert!((logprob - p.ln()).abs() < 1e-6);
        }
        let Drawn { id, logprob, best, .. } = draw(&mut logits.clone(), 0.5, None, &Filters::default(), 2);
        assert_eq!(id, 1);
        assert!((logprob - (9.0f32 / 11.0).ln()).abs() < 1e-6);
        assert_eq!((best[0], best[1].0, best.len()), ((1, logprob), 0, 2));
        assert!((best[1].1 - (1.0f32 / 11.0).ln()).abs() < 1e-6);
    }

    #[test]
    fn filters_keep_the_best_and_leave_the_log_probability_alone() {
        // Probabilities 1/8, 1/2, 1/8, 1/4 in this order.
        let logits = [0.0f32, f32::ln(4.0), 0.0, f32::ln(2.0)];
        let none = Filters::default();
        for (filters, kept) in [
            (none, vec![0, 1, 2, 3]),
            (Filters { top_k: 1, ..none }, vec![1]),
            (Filters { top_k: 3, ..none }, vec![0, 1, 3]),
            (Filters { top_k: 9, ..none }, vec![0, 1, 2, 3]),
            (Filters { top_p: 0.0, ..none }, vec![1]),
            (Filters { top_p: 0.49, ..none }, vec![1]),
            (Filters { top_p: 0.51, ..none }, vec![1, 3]),
            (Filters { top_p: 0.76, ..none }, vec![0, 1, 3]),
            (Filters { min_p: 0.3, ..none }, vec![1, 3]),
            (Filters { min_p: 1.0, ..none }, vec![1]),
            // 2/3 and 1/3 of what the first left.
            (Filters { top_k: 2, top_p: 0.6, ..none }, vec![1]),
            (Filters { top_k: 2, top_p: 0.7, ..none }, vec![1, 3]),
        ] {
            let drawn = (0..1000).map(|step| {
                let uniform = Some(f64::from(step) / 1000.0);
                let Drawn { id, logprob, filtered_logprob, best } =
                    draw(&mut logits.clone(), 1.0, uniform, &filters, 3);
                assert_eq!(
                    best.iter().map(|&(id, _)| id).collect::<Vec<_>>(),
                    [1, 3, 0],
                    "whatever the filters"
                );
                let all = [0.125f32, 0.5, 0.125, 0.25];
                let p = all[id as usize];
                assert!((logprob - p.ln()).abs() < 1e-6, "{filters:?}: {id} {logprob}");
                let left: f32 = kept.iter().map(|&id: &u32| all[id as usize]).sum();
                assert!((filtered_logprob - (p / left).ln()).abs() < 1e-6, "{filters:?}: {filtered_logprob}");
                id
            });
            let mut drawn: Vec<u32> = drawn.collect();
            drawn.dedup();
            assert_eq!(drawn, kept, "{filters:?}");
        }
    }

    #[test]
    fn statistics_stay_exact_when_one_token_is_all_but_certain() {
        let [logprob, entropy, variance, _] = summary(&[1000.0, 0.0, -5.0], 1.0, 0);
        assert_eq!((logprob, entropy, variance), (0.0, 0.0, 0.0));
        let [logprob, entropy, variance, log_sum] = summary(&[3.0; 50], 2.0, 7);
        assert!((logprob + 50f32.ln()).abs() < 1e-6 && (entropy - 50f32.ln()).abs() < 1e-6);
        assert!(variance == 0.0 && (log_sum - 6.0 - 50f32.ln()).abs() < 1e-5);
    }
}
