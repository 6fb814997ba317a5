//! The policy writes: rollouts over a paged key/value cache, with the log-probability of each token.
//!
//! [`Sampler::generate`] runs prompts to their end; `scheduler` is underneath, which rollouts may join and leave at any
//! time, and `pages` is where their keys and values are. The weights are the model's own, not a copy. Each rollout draws
//! from a random stream of its own, keyed by (seed, prompt index, rollout index), so who shares its batch does not change
//! what it draws (only, in the last bits, the logits it draws from: products of another size round differently).

pub(crate) mod pages;
pub(crate) mod scheduler;
mod text;

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::scheduler::{Event, Scheduler};
use crate::error::{EngineError, Result};
use crate::model::{Config, Model};
use crate::rollout::FinishReason;
use crate::tokenizer::Tokenizer;

pub use crate::ops::head::Filters;

/// What to sample, and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// T of softmax(z/T); above 0. Log-probabilities are of that distribution.
    pub temperature: f32,
    /// Greatest number of tokens per completion.
    pub max_new_tokens: usize,
    /// A completion ends with the first of these it contains.
    pub eos_token_ids: Vec<u32>,
    /// A completion ends with the token that completes the first of these; its text is cut before it. They need the
    /// sampler's tokenizer.
    pub stop: Vec<String>,
    /// Completions per prompt.
    pub rollouts: usize,
    /// Key of all random streams.
    pub seed: u64,
    /// Take the most probable token instead of drawing one.
    pub greedy: bool,
    /// Greatest number of rollouts that advance together.
    pub max_batch: usize,
    /// Which tokens may be drawn at all. Log-probabilities stay those of softmax(z/T), as the trainer's are.
    pub filters: Filters,
    /// Every rollout bit for bit the same whoever shares its batch: prompts are computed one by one, rows at most 64
    /// together, because up to so many a row's products do not depend on the others.
    pub batch_invariant: bool,
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        SamplingParams {
            temperature: 1.0,
            max_new_tokens: 256,
            eos_token_ids: Vec::new(),
            stop: Vec::new(),
            rollouts: 1,
            seed: 0,
            greedy: false,
            max_batch: 512,
            filters: Filters::default(),
            batch_invariant: false,
        }
    }
}

/// How much memory keys and values may take: per token, 8 bytes for each layer and number of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Tokens of a page.
    pub page: usize,
    /// Tokens of all pages; rollouts wait, or make room for older ones, when they are full.
    pub tokens: usize,
}

impl Default for Cache {
    /// As much as `max_batch` rollouts take.
    fn default() -> Cache {
        Cache { page: 16, tokens: usize::MAX }
    }
}

/// One completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// Its tokens, the end-of-text token included when there is one, and those of a stop string.
    pub completion_ids: Vec<u32>,
    /// Log-probability of each of them under the whole of softmax(z/T).
    pub logprobs: Vec<f32>,
    /// That under what the filters left of it, with which each was really drawn; without filters the same.
    pub filtered_logprobs: Vec<f32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Its text, cut before the first stop string, where there are any.
    pub text: Option<String>,
}

/// What the rollouts of a request have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) temperature: f32,
    pub(crate) greedy: bool,
    pub(crate) max_new_tokens: usize,
    pub(crate) eos_token_ids: Vec<u32>,
    pub(crate) filters: Filters,
    pub(crate) stop: Arc<[String]>,
    /// Say each token as it is drawn, and the text of the completion.
    pub(crate) stream: bool,
    /// The most probable tokens to name beside each that is drawn.
    pub(crate) best: usize,
}

/// Rollouts of one prompt.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) prompt: Vec<u32>,
    pub(crate) rollouts: usize,
    pub(crate) seed: u64,
    /// Tells prompts of one seed apart.
    pub(crate) index: u64,
    pub(crate) settings: Arc<Settings>,
}

impl Request {
    /// The random stream of one rollout.
    fn random(&self, rollout: usize) -> ChaCha8Rng {
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_stream((self.index << 32) | (rollout as u64 & 0xffff_ffff));
        stream
    }
}

impl Settings {
    /// What no model can do.
    pub(crate) fn check(&self) -> Result<()> {
        let refuse = |what: String| Err(EngineError::Input(what));
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return refuse(format!(
                "temperature is {}; it must be above 0 (greedy: true takes the best)",
                self.temperature
            ));
        }
        let Filters { top_p, min_p, .. } = self.filters;
        if !((0.0..=1.0).contains(&top_p) && (0.0..=1.0).contains(&min_p)) {
            return refuse(format!("top_p is {top_p}, min_p is {min_p}; both must be from 0 to 1"));
        }
        if self.max_new_tokens == 0 {
            return refuse("max_new_tokens is 0; it must be at least 1".to_owned());
        }
        if self.stop.iter().any(String::is_empty) {
            return refuse("a stop string is empty: it would stop everything".to_owned());
        }
        Ok(())
    }

    /// What this model cannot do with this prompt; `index` is for the message.
    pub(crate) fn check_prompt(&self, index: usize, prompt: &[u32], config: &Config) -> Result<()> {
        let refuse = |what: String| Err(EngineError::Input(what));
        if prompt.is_empty() {
            return refuse(format!("prompt {index} has no tokens"));
        }
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= config.vocab_size) {
            return refuse(format!("prompt {index} has token id {id}; vocab_size is {}", config.vocab_size));
        }
        if prompt.len() + self.max_new_tokens > config.max_position_embeddings {
            return refuse(format!(
                "prompt {index} has {} tokens, max_new_tokens is {}; max_position_embeddings is {}",
                prompt.len(),
                self.max_new_tokens,
                config.max_position_embeddings
            ));
        }
        Ok(())
    }
}

/// Samples from a model without copying it.
#[derive(Debug)]
pub struct Sampler<'a> {
    model: &'a Model,
    tokenizer: Option<&'a Tokenizer>,
    cache: Cache,
}

impl<'a> Sampler<'a> {
    /// A sampler of the model as it is now; it borrows the weights, so no update can slip in between.
    pub fn new(model: &'a Model) -> Sampler<'a> {
        Sampler { model, tokenizer: None, cache: Cache::default() }
    }

    /// With the tokenizer that stop strings need.
    #[must_use]
    pub fn with_tokenizer(self, tokenizer: &'a Tokenizer) -> Sampler<'a> {
        Sampler { tokenizer: Some(tokenizer), ..self }
    }

    /// With bounds on the memory of keys and values.
    #[must_use]
    pub fn with_cache(self, cache: Cache) -> Sampler<'a> {
        Sampler { cache, ..self }
    }

    /// `rollouts` completions of each prompt: rollout j of prompt i at index `i * rollouts + j`.
    ///
    /// # Errors
    /// An empty prompt, a token id or a length the model does not have or the cache cannot hold, a temperature that is
    /// not above 0, stop strings without a tokenizer, or logits that are not finite.
    pub fn generate(&self, prompts: &[Vec<u32>], params: &SamplingParams) -> Result<Vec<Generated>> {
        self.generate_up_to(prompts, &vec![params.max_new_tokens; prompts.len()], params)
    }

    /// As [`Sampler::generate`], with a greatest number of tokens for each prompt's completions.
    ///
    /// # Errors
    /// As [`Sampler::generate`]; or not one length per prompt.
    pub fn generate_up_to(
        &self,
        prompts: &[Vec<u32>],
        lengths: &[usize],
        params: &SamplingParams,
    ) -> Result<Vec<Generated>> {
        let mut done: Vec<Option<Generated>> = vec![None; prompts.len() * params.rollouts];
        self.run(prompts, lengths, params, &mut |index, generated| {
            done[index] = Some(generated);
            Ok(())
        })?;
        let lost = || EngineError::Input("a rollout was lost".to_owned());
        done.into_iter().map(|one| one.ok_or_else(lost)).collect()
    }

    /// As [`Sampler::generate`]; each completion is given to `done`, with its index, as soon as it ends.
    ///
    /// # Errors
    /// As [`Sampler::generate`]; or the first of `done`.
    pub fn generate_each(
        &self,
        prompts: &[Vec<u32>],
        params: &SamplingParams,
        done: &mut dyn FnMut(usize, Generated) -> Result<()>,
    ) -> Result<()> {
        self.run(prompts, &vec![params.max_new_tokens; prompts.len()], params, done)
    }

    /// One completion of a prompt; its text is given to `say` piece by piece, as soon as it is certain, until that is false.
    /// Needs a tokenizer.
    ///
    /// # Errors
    /// As [`Sampler::generate`].
    pub fn stream(
        &self,
        prompt: &[u32],
        params: &SamplingParams,
        say: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        let params = SamplingParams { rollouts: 1, ..params.clone() };
        let mut scheduler = self.scheduler(&[prompt.to_vec()], &[params.max_new_tokens], &params, true)?;
        let mut events = Vec::new();
        while scheduler.advance(&mut events)? {
            for event in events.drain(..) {
                if let Event::Token { text, .. } = event
                    && !say(&text)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn run(
        &self,
        prompts: &[Vec<u32>],
        lengths: &[usize],
        params: &SamplingParams,
        done: &mut dyn FnMut(usize, Generated) -> Result<()>,
    ) -> Result<()> {
        let mut scheduler = self.scheduler(prompts, lengths, params, false)?;
        let mut events = Vec::new();
        while scheduler.advance(&mut events)? {
            for event in events.drain(..) {
                if let Event::End { key, rollout, generated } = event {
                    done(key as usize * params.rollouts + rollout, generated)?;
                }
            }
        }
        Ok(())
    }

    /// All rollouts in the queue, the prompts' keys their indices.
    fn scheduler(
        &self,
        prompts: &[Vec<u32>],
        lengths: &[usize],
        params: &SamplingParams,
        stream: bool,
    ) -> Result<Scheduler<'a>> {
        if lengths.len() != prompts.len() {
            let what = format!("{} lengths for {} prompts", lengths.len(), prompts.len());
            return Err(EngineError::Input(what));
        }
        let settings = Settings {
            temperature: params.temperature,
            greedy: params.greedy,
            max_new_tokens: params.max_new_tokens,
            eos_token_ids: params.eos_token_ids.clone(),
            filters: params.filters,
            stop: params.stop.clone().into(),
            stream,
            best: 0,
        };
        settings.check()?;
        let SamplingParams { max_batch, batch_invariant, rollouts, seed, .. } = *params;
        let mut scheduler =
            Scheduler::new(self.model, self.tokenizer, self.cache, max_batch, batch_invariant);
        for (index, (prompt, &max_new_tokens)) in prompts.iter().zip(lengths).enumerate() {
            let settings = Settings { max_new_tokens, ..settings.clone() };
            settings.check()?;
            settings.check_prompt(index, prompt, self.model.config())?;
            let (prompt, settings, index) = (prompt.clone(), Arc::new(settings), index as u64);
            scheduler.add(index, Request { prompt, rollouts, seed, index, settings })?;
        }
        Ok(scheduler)
    }
}

#[cfg(test)]
mod tests;
