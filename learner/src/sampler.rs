//! The policy writes: rollouts in batches over a key/value cache, with the log-probability of each token.
//!
//! # Theory of operation
//! A prompt is computed once; its keys and values are a page that all its rollouts share, and each rollout
//! appends to a page of its own. All live rollouts advance one token per step, their rows stacked into one
//! matrix; a rollout that ends leaves, and the next prompts of the queue take the free rows. The weights are
//! the model's own, not a copy. Each rollout draws from a random stream of its own, keyed by
//! (seed, prompt index, rollout index), so who shares its batch does not change what it draws (only, in the
//! last bits, the logits it draws from: products of another size round differently).

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::{EngineError, Result};
use crate::model::{Batch, Model};
use crate::ops::attention::{self, Page};
use crate::ops::rope::Angles;
use crate::ops::{self, embedding, head, linear, rope};
use crate::rollout::FinishReason;

pub use crate::ops::head::Filters;

/// Logits held at a time.
const LOGITS: usize = 4 * 1024 * 1024;
/// Fewer rows than this per thread do not pay for the pool.
const ROWS_PER_TASK: usize = 8;

/// What to sample, and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// T of softmax(z/T); above 0. Log-probabilities are of that distribution.
    pub temperature: f32,
    /// Greatest number of tokens per completion.
    pub max_new_tokens: usize,
    /// A completion ends with the first of these it contains.
    pub eos_token_ids: Vec<u32>,
    /// Completions per prompt.
    pub rollouts: usize,
    /// Key of all random streams.
    pub seed: u64,
    /// Take the most probable token instead of drawing one.
    pub greedy: bool,
    /// Greatest number of rollouts that advance together; what bounds the cache.
    pub max_batch: usize,
    /// Which tokens may be drawn at all. Log-probabilities stay those of softmax(z/T), as the trainer's are.
    pub filters: Filters,
    /// Every rollout bit for bit the same whoever shares its batch, which costs speed: prompts and rows are computed
    /// one by one, so that no product's size depends on the batch.
    pub batch_invariant: bool,
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        SamplingParams {
            temperature: 1.0,
            max_new_tokens: 256,
            eos_token_ids: Vec::new(),
            rollouts: 1,
            seed: 0,
            greedy: false,
            max_batch: 512,
            filters: Filters::default(),
            batch_invariant: false,
        }
    }
}

/// One completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Its tokens, the end-of-text token included when there is one.
    pub completion_ids: Vec<u32>,
    /// Log-probability of each of them under softmax(z/T), as sampled.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// Samples from a model without copying it.
#[derive(Debug)]
pub struct Sampler<'a> {
    model: &'a Model,
}

impl<'a> Sampler<'a> {
    /// A sampler of the model as it is now; it borrows the weights, so no update can slip in between.
    pub fn new(model: &'a Model) -> Sampler<'a> {
        Sampler { model }
    }

    /// `rollouts` completions of each prompt: rollout j of prompt i at index `i * rollouts + j`.
    ///
    /// # Errors
    /// An empty prompt, a token id or a length the model does not have, a temperature that is not above 0,
    /// or logits that are not finite.
    pub fn generate(&self, prompts: &[Vec<u32>], params: &SamplingParams) -> Result<Vec<Generated>> {
        self.check(prompts, params)?;
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let angles = self.model.angles(longest + params.max_new_tokens);
        let mut done: Vec<Option<Generated>> = vec![None; prompts.len() * params.rollouts];
        let mut queue: VecDeque<(usize, usize)> = (0..prompts.len())
            .flat_map(|prompt| (0..params.rollouts).map(move |rollout| (prompt, rollout)))
            .collect();
        let mut rows: Vec<Row> = Vec::new();
        while !(queue.is_empty() && rows.is_empty()) {
            let free = params.max_batch.max(1).saturating_sub(rows.len()).min(queue.len());
            let together = if params.batch_invariant { 1 } else { rows.len().max(1) };
            if free > 0 {
                let next: Vec<(usize, usize)> = queue.drain(..free).collect();
                let alone = |a: &(usize, usize), b: &(usize, usize)| !params.batch_invariant || a.0 == b.0;
                for next in next.chunk_by(alone) {
                    rows.extend(self.admit(prompts, next.to_vec(), params)?);
                }
            } else {
                rows.chunks_mut(together).try_for_each(|rows| self.step(rows, params, &angles))?;
            }
            let (ended, live) = rows.into_iter().partition(|row: &Row| row.finish(params).is_some());
            rows = live;
            for row in ended {
                let finish_reason = row.finish(params).unwrap_or(FinishReason::Length);
                let generated =
                    Generated { completion_ids: row.tokens, logprobs: row.logprobs, finish_reason };
                done[row.prompt * params.rollouts + row.rollout] = Some(generated);
            }
        }
        done.into_iter()
            .map(|one| one.ok_or_else(|| EngineError::Input("a rollout was lost".to_owned())))
            .collect()
    }

    fn check(&self, prompts: &[Vec<u32>], params: &SamplingParams) -> Result<()> {
        let config = self.model.config();
        let refuse = |what: String| Err(EngineError::Input(what));
        if !(params.temperature > 0.0 && params.temperature.is_finite()) {
            return refuse(format!(
                "temperature is {}; it must be above 0 (greedy: true takes the best)",
                params.temperature
            ));
        }
        let Filters { top_p, min_p, .. } = params.filters;
        if !((0.0..=1.0).contains(&top_p) && (0.0..=1.0).contains(&min_p)) {
            return refuse(format!("top_p is {top_p}, min_p is {min_p}; both must be from 0 to 1"));
        }
        if params.max_new_tokens == 0 {
            return refuse("max_new_tokens is 0; it must be at least 1".to_owned());
        }
        for (index, prompt) in prompts.iter().enumerate() {
            if prompt.is_empty() {
                return refuse(format!("prompt {index} has no tokens"));
            }
            if let Some(id) = prompt.iter().find(|&&id| id as usize >= config.vocab_size) {
                return refuse(format!(
                    "prompt {index} has token id {id}; vocab_size is {}",
                    config.vocab_size
                ));
            }
            if prompt.len() + params.max_new_tokens > config.max_position_embeddings {
                return refuse(format!(
                    "prompt {index} has {} tokens, max_new_tokens is {}; max_position_embeddings is {}",
                    prompt.len(),
                    params.max_new_tokens,
                    config.max_position_embeddings
                ));
            }
        }
        Ok(())
    }

    /// Computes the prompts of the next rollouts, each once, and draws the rollouts' first tokens.
    fn admit(
        &self,
        prompts: &[Vec<u32>],
        next: Vec<(usize, usize)>,
        params: &SamplingParams,
    ) -> Result<Vec<Row>> {
        let mut batch = Batch::new();
        let mut in_batch: Vec<usize> = Vec::new();
        for &(prompt, _) in &next {
            // Rollouts of one prompt are neighbours in the queue.
            if in_batch.last() != Some(&prompt) {
                in_batch.push(prompt);
                batch.push(&prompts[prompt], &[])?;
            }
        }
        let (cache, normed) = self.model.prefill(&batch)?;
        let lasts: Vec<usize> = (0..batch.sequences()).map(|index| batch.sequence(index).end - 1).collect();
        let prefixes = prefixes(&cache, &batch)?;
        let mut rows = Vec::with_capacity(next.len());
        let mut owner = Vec::with_capacity(next.len());
        let mut at = 0;
        for (prompt, rollout) in next {
            if in_batch[at] != prompt {
                at += 1;
            }
            owner.push(lasts[at]);
            rows.push(Row::new(prompt, rollout, prefixes[at].clone(), params.seed));
        }
        let states = ops::gather_rows(&normed, &owner)?;
        self.draw(&mut rows, &states, params)?;
        Ok(rows)
    }

    /// Every live rollout advances by one token.
    fn step(&self, rows: &mut [Row], params: &SamplingParams, angles: &Angles) -> Result<()> {
        let model = self.model;
        let tokens: Vec<u32> =
            rows.iter().map(|row| row.tokens.last().copied().unwrap_or_default()).collect();
        let positions: Vec<usize> = rows.iter().map(|row| row.prefix.length + row.tokens.len() - 1).collect();
        let mut x = embedding::forward(model.value(model.slots().embedding), &tokens)?;
        for (layer, slots) in model.slots().layers.iter().enumerate() {
            let normed = model.normed(&x, slots.input_norm)?.0;
            let q = model.project(&normed, &slots.query)?;
            let k = model.project(&normed, &slots.key)?;
            let v = model.project(&normed, &slots.value)?;
            rope::forward(&q, &positions, angles)?;
            rope::forward(&k, &positions, angles)?;
            let attended = self.attend(rows, layer, &q, &k, &v)?;
            let middle = linear::forward_add(&x, &attended, model.value(slots.output))?;
            x = model.mlp(slots, &middle)?.0;
        }
        let normed = model.normed(&x, model.slots().norm)?.0;
        self.draw(rows, &normed, params)
    }

    /// Appends each row's key and value to its page and attends to all of its pages.
    fn attend(&self, rows: &mut [Row], layer: usize, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let heads = self.model.heads();
        let (q_width, kv_width) = (q.dim(1)?, k.dim(1)?);
        let (q, k, v) = (ops::read(q)?, ops::read(k)?, ops::read(v)?);
        let (q, k, v) = (&*q, &*k, &*v);
        let mut out = vec![0.0; q.len()];
        let each = rows.par_iter_mut().zip(out.par_chunks_exact_mut(q_width)).with_min_len(ROWS_PER_TASK);
        each.enumerate().for_each_init(Vec::new, |scores, (at, (row, out))| {
            let own = &mut row.own[layer];
            own.keys.extend_from_slice(&k[at * kv_width..][..kv_width]);
            own.values.extend_from_slice(&v[at * kv_width..][..kv_width]);
            let pages = [row.prefix.layers[layer].page(), row.own[layer].page()];
            attention::decode(&q[at * q_width..][..q_width], &pages, heads, out, scores);
        });
        ops::matrix(out, rows.len(), q_width)
    }

    /// Draws each row's next token from its normed state.
    fn draw(&self, rows: &mut [Row], states: &Tensor, params: &SamplingParams) -> Result<()> {
        let weight = self.model.value(self.model.slots().head);
        let vocabulary = weight.dim(0)?;
        let chunk = if params.batch_invariant { 1 } else { (LOGITS / vocabulary).max(1) };
        for (index, rows) in rows.chunks_mut(chunk).enumerate() {
            let states = states.narrow(0, index * chunk, rows.len())?;
            let logits = linear::forward(&states, weight, None)?;
            let mut finite = true;
            ops::write(&logits, |logits| {
                let each = rows.par_iter_mut().zip(logits.par_chunks_exact_mut(vocabulary));
                let drawn = each.with_min_len(ROWS_PER_TASK).map(|(row, logits)| row.draw(logits, params));
                finite = drawn.reduce(|| true, |a, b| a && b);
            })?;
            if !finite {
                return Err(EngineError::Input("the model's logits are not finite".to_owned()));
            }
        }
        Ok(())
    }
}

/// Keys and values of one layer, rows of all key/value heads.
#[derive(Debug, Clone, Default)]
struct Cache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl Cache {
    fn page(&self) -> Page<'_> {
        Page { keys: &self.keys, values: &self.values }
    }
}

/// A computed prompt, shared by its rollouts.
#[derive(Debug)]
struct Prefix {
    length: usize,
    layers: Vec<Cache>,
}

fn prefixes(cache: &[(Tensor, Tensor)], batch: &Batch) -> Result<Vec<Arc<Prefix>>> {
    let cut = |tensor: &Tensor, range: &Range<usize>| -> Result<Vec<f32>> {
        let width = tensor.dim(1)?;
        Ok(ops::read(tensor)?[range.start * width..range.end * width].to_vec())
    };
    let one = |index: usize| {
        let range = batch.sequence(index);
        let layer = |(k, v): &(Tensor, Tensor)| Ok(Cache { keys: cut(k, &range)?, values: cut(v, &range)? });
        let layers = cache.iter().map(layer).collect::<Result<Vec<Cache>>>()?;
        Ok(Arc::new(Prefix { length: range.len(), layers }))
    };
    (0..batch.sequences()).map(one).collect()
}

/// A rollout on its way.
#[derive(Debug)]
struct Row {
    prompt: usize,
    rollout: usize,
    prefix: Arc<Prefix>,
    own: Vec<Cache>,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    stream: ChaCha8Rng,
}

impl Row {
    fn new(prompt: usize, rollout: usize, prefix: Arc<Prefix>, seed: u64) -> Row {
        let own = vec![Cache::default(); prefix.layers.len()];
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(((prompt as u64) << 32) | (rollout as u64 & 0xffff_ffff));
        Row { prompt, rollout, prefix, own, tokens: Vec::new(), logprobs: Vec::new(), stream }
    }

    /// False when the logits are not finite.
    fn draw(&mut self, logits: &mut [f32], params: &SamplingParams) -> bool {
        let uniform = (self.stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let uniform = (!params.greedy).then_some(uniform);
        let (token, logprob) = head::draw(logits, params.temperature, uniform, &params.filters);
        self.tokens.push(token);
        self.logprobs.push(logprob);
        logprob.is_finite()
    }

    fn finish(&self, params: &SamplingParams) -> Option<FinishReason> {
        if self.tokens.last().is_some_and(|token| params.eos_token_ids.contains(token)) {
            Some(FinishReason::Stop)
        } else if self.tokens.len() >= params.max_new_tokens {
            Some(FinishReason::Length)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    fn model(layers: usize, heads: usize, kv_heads: usize) -> Model {
        let config = Config { initializer_range: 0.2, ..Config::tiny(31, 32, layers, heads, kv_heads) };
        Model::random(&config, 21).unwrap()
    }

    fn prompts() -> Vec<Vec<u32>> {
        (1..=7)
            .map(|length| (0..length * 3 % 11 + 1).map(|i| ((i * 5 + length) % 31) as u32).collect())
            .collect()
    }

    fn params() -> SamplingParams {
        SamplingParams {
            temperature: 0.7,
            max_new_tokens: 20,
            eos_token_ids: vec![4, 9],
            rollouts: 5,
            seed: 17,
            ..SamplingParams::default()
        }
    }

    /// The sampler's cache, shared prompts and batches against the trainer's packed forward pass.
    #[test]
    fn logprobs_are_the_trainers() {
        for model in [model(2, 4, 2), model(1, 2, 2), model(3, 4, 1)] {
            let generated = Sampler::new(&model).generate(&prompts(), &params()).unwrap();
            let mut batch = Batch::new();
            for (index, one) in generated.iter().enumerate() {
                batch.push(&prompts()[index / 5], &one.completion_ids).unwrap();
            }
            let scored = model.score(&batch, 0.7).unwrap().logprob;
            let sampled: Vec<f32> = generated.iter().flat_map(|one| one.logprobs.clone()).collect();
            assert_eq!(sampled.len(), scored.len());
            for (sampled, scored) in sampled.iter().zip(scored) {
                assert!((sampled - scored).abs() < 1e-4, "{sampled} {scored}");
            }
            for one in generated {
                let last = one.completion_ids.last().copied().unwrap();
                let stops = one.completion_ids.iter().filter(|&&id| id == 4 || id == 9).count();
                match one.finish_reason {
                    FinishReason::Stop => assert!(stops == 1 && (last == 4 || last == 9)),
                    FinishReason::Length => assert!(stops == 0 && one.completion_ids.len() == 20),
                }
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_rollouts_whoever_shares_the_batch() {
        let model = model(2, 4, 2);
        let sampler = Sampler::new(&model);
        let ids = |generated: Vec<Generated>| -> Vec<Vec<u32>> {
            generated.into_iter().map(|one| one.completion_ids).collect()
        };
        let first = sampler.generate(&prompts(), &params()).unwrap();
        assert_eq!(first, sampler.generate(&prompts(), &params()).unwrap());
        let first = ids(first);
        for max_batch in [1, 3, 8] {
            let narrow = SamplingParams { max_batch, ..params() };
            assert_eq!(ids(sampler.generate(&prompts(), &narrow).unwrap()), first, "{max_batch} rows");
        }
        let fewer = SamplingParams { rollouts: 2, ..params() };
        let fewer = ids(sampler.generate(&prompts()[..3], &fewer).unwrap());
        for (index, ids) in fewer.iter().enumerate() {
            assert_eq!(ids, &first[index / 2 * 5 + index % 2]);
        }
        let other = SamplingParams { seed: 18, ..params() };
        assert_ne!(ids(sampler.generate(&prompts(), &other).unwrap()), first);
        assert!(first[..5].windows(2).any(|pair| pair[0] != pair[1]), "rollouts of a prompt differ");
    }

    #[test]
    fn batch_invariant_rollouts_are_the_same_to_the_last_bit() {
        let model = model(2, 4, 2);
        let alone = |max_batch| SamplingParams { batch_invariant: true, max_batch, ..params() };
        let all = Sampler::new(&model).generate(&prompts(), &alone(512)).unwrap();
        for max_batch in [1, 3, 8] {
            assert_eq!(
                Sampler::new(&model).generate(&prompts(), &alone(max_batch)).unwrap(),
                all,
                "{max_batch}"
            );
        }
        let fewer = Sampler::new(&model).generate(&prompts()[..2], &alone(512)).unwrap();
        assert_eq!(fewer, all[..10]);
        // And the same tokens as without.
        let together = Sampler::new(&model).generate(&prompts(), &params()).unwrap();
        let ids = |all: &[Generated]| all.iter().map(|one| one.completion_ids.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&together), ids(&all));
    }

    #[test]
    fn filtered_tokens_are_never_drawn_and_log_probabilities_stay_the_trainers() {
        let model = model(2, 4, 2);
        let filters = Filters { top_k: 3, ..Filters::default() };
        let few = SamplingParams { filters, temperature: 1.5, ..params() };
        for (index, one) in Sampler::new(&model).generate(&prompts(), &few).unwrap().iter().enumerate() {
            let mut tokens = prompts()[index / 5].clone();
            let mut batch = Batch::new();
            batch.push(&tokens, &one.completion_ids).unwrap();
            let scored = model.score(&batch, 1.5).unwrap().logprob;
            for (id, (logprob, scored)) in one.completion_ids.iter().zip(one.logprobs.iter().zip(scored)) {
                let logits = model.logits(&tokens).unwrap().pop().unwrap();
                let better = logits.iter().filter(|&&z| z > logits[*id as usize] + 1e-4).count();
                assert!(better < 3 && (logprob - scored).abs() < 1e-4, "{better} {logprob} {scored}");
                tokens.push(*id);
            }
        }
    }

    #[test]
    fn greedy_takes_the_best_token_of_the_full_forward_pass() {
        let model = model(2, 4, 2);
        let greedy = SamplingParams { greedy: true, rollouts: 1, ..params() };
        for (prompt, one) in prompts().iter().zip(Sampler::new(&model).generate(&prompts(), &greedy).unwrap())
        {
            let mut tokens = prompt.clone();
            for id in one.completion_ids {
                let logits = model.logits(&tokens).unwrap().pop().unwrap();
                let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                assert!(logits[id as usize] >= best - 1e-4);
                tokens.push(id);
            }
        }
    }

    #[test]
    fn frequencies_are_the_probabilities() {
        let model = model(1, 2, 1);
        let many = SamplingParams { rollouts: 20_000, max_new_tokens: 1, temperature: 1.5, ..params() };
        let prompt = vec![1, 2, 3];
        let mut counts = [0usize; 31];
        for one in Sampler::new(&model).generate(std::slice::from_ref(&prompt), &many).unwrap() {
            counts[one.completion_ids[0] as usize] += 1;
        }
        for (id, &count) in counts.iter().enumerate() {
            let mut batch = Batch::new();
            batch.push(&prompt, &[id as u32]).unwrap();
            let p = f64::from(model.score(&batch, 1.5).unwrap().logprob[0]).exp();
            let deviation = (p * (1.0 - p) / 20_000.0).sqrt();
            assert!((count as f64 / 20_000.0 - p).abs() < 5.0 * deviation, "{id}: {count} of 20000, p {p}");
        }
    }

    #[test]
    fn bad_input_gets_one_clear_line() {
        let model = model(1, 2, 1);
        let refused = |prompts: &[Vec<u32>], params: SamplingParams| {
            Sampler::new(&model).generate(prompts, &params).unwrap_err().to_string()
        };
        assert!(refused(&[vec![]], params()).contains("prompt 0 has no tokens"));
        assert!(refused(&[vec![1], vec![31]], params()).contains("prompt 1 has token id 31"));
        assert!(
            refused(&[vec![1]], SamplingParams { temperature: 0.0, ..params() }).contains("temperature is 0")
        );
        assert!(
            refused(&[vec![1]], SamplingParams { max_new_tokens: 0, ..params() }).contains("max_new_tokens")
        );
        assert!(refused(&[vec![1]], SamplingParams { max_new_tokens: 2048, ..params() }).contains("is 2048"));
        let filters = Filters { top_p: 1.5, ..Filters::default() };
        assert!(refused(&[vec![1]], SamplingParams { filters, ..params() }).contains("top_p is 1.5"));
        assert_eq!(Sampler::new(&model).generate(&[], &params()).unwrap(), []);

        let broken = self::model(1, 2, 1);
        let (_, norm) = broken.parameters().find(|(name, _)| *name == "model.norm.weight").unwrap();
        ops::write(norm, |norm| norm[0] = f32::NAN).unwrap();
        let said = Sampler::new(&broken).generate(&[vec![1]], &params()).unwrap_err().to_string();
        assert!(said.contains("not finite"), "{said}");
    }
}
