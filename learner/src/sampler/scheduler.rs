//! Who advances: rollouts come at any time, wait for pages, share their prompt's, and make room for older ones.
//!
//! # Theory of operation
//! Each call of `advance` does one of two things. If pages and rows allow, the next rollouts of the queue are admitted:
//! prompts not yet computed go through the model together, each once, and each rollout draws its first token. Else every
//! admitted rollout advances by one token, their rows stacked into one matrix.
//!
//! A rollout is admitted when its pages and one more are free, in the order of the queue: none overtakes. The pages of a
//! computed prompt are kept while rollouts of its group wait. When a row needs a page and none is free, first the prompts
//! kept for those who wait are given up, then the youngest row is: its pages go back, and it goes to the head of the queue
//! with its tokens, its log-probabilities and its random stream, to be computed again up to where it was. So an older row
//! always gets on, and what a rollout draws does not depend on who was in its way (only, in the last bits, the logits it
//! draws from; with `batch_invariant` not even those: then its tokens go through the model one by one, as they first did).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use candle_core::Tensor;
use rand::RngCore;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::pages::{Pages, Table};
use super::text::Text;
use super::{Cache, Generated, Request, Settings};
use crate::cuda::Gpu;
use crate::error::{EngineError, Result};
use crate::gemm::MOST_FEW_ROWS;
use crate::model::{Batch, Model};
use crate::ops::attention;
pub(crate) use crate::ops::head::Drawn;
use crate::ops::rope::Angles;
use crate::ops::{self, Indices, embedding, gpu, head, linear, rope};
use crate::rollout::FinishReason;
use crate::tokenizer::Tokenizer;

/// Logits held at a time.
pub(crate) const LOGITS: usize = 4 * 1024 * 1024;
/// A GPU is not full with so few.
pub(crate) const LOGITS_OF_GPU: usize = 16 * LOGITS;
/// Tokens of prompts computed together.
pub(crate) const PREFILL: usize = 8 * 1024;
/// Fewer rows than this per thread do not pay for the pool.
const ROWS_PER_TASK: usize = 8;

/// A request's key, by which its rollouts are told apart and dropped.
pub(crate) type Key = u64;

/// What happened to a rollout.
#[derive(Debug)]
pub(crate) enum Event {
    /// It drew a token, and was asked to say so.
    Token {
        key: Key,
        rollout: usize,
        /// The text that is certain by now; empty where a character or a stop string may have begun.
        text: String,
        token: Drawn,
    },
    /// It ended.
    End { key: Key, rollout: usize, generated: Generated },
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tokens computed as prompts or again after a preemption.
    pub(crate) prefilled: u64,
    /// Matrices of rows that advanced.
    pub(crate) steps: u64,
    /// Rows in them.
    pub(crate) rows: u64,
    /// Rollouts that had to make room.
    pub(crate) preempted: u64,
}

/// Rollouts that advance together.
#[derive(Debug)]
pub(crate) struct Scheduler<'a> {
    model: &'a Model,
    tokenizer: Option<&'a Tokenizer>,
    max_batch: usize,
    batch_invariant: bool,
    pages: Pages,
    angles: Angles,
    positions: usize,
    groups: BTreeMap<Key, Group>,
    waiting: VecDeque<Row<'a>>,
    /// In the order in which they were admitted.
    running: Vec<Row<'a>>,
    pub(crate) counts: Counts,
}

/// The rollouts of one prompt.
#[derive(Debug)]
struct Group {
    request: Request,
    /// The computed prompt, while rollouts wait for it.
    prefix: Option<Prefix>,
    /// Rollouts that have not begun.
    unstarted: usize,
    /// Rollouts that have not ended.
    left: usize,
}

#[derive(Debug)]
struct Prefix {
    table: Table,
    /// The normed state that the first token is drawn from.
    state: Vec<f32>,
}

/// A rollout.
#[derive(Debug)]
struct Row<'a> {
    key: Key,
    rollout: usize,
    settings: Arc<Settings>,
    table: Table,
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    filtered_logprobs: Vec<f32>,
    stream: ChaCha8Rng,
    /// What it drew last, until that is reported.
    drawn: Option<Drawn>,
    text: Option<Text<'a>>,
    /// The text given out, where a `Text` cuts it.
    given: String,
}

/// A sequence to compute, whose pages are taken.
struct Job {
    tokens: Vec<u32>,
    /// Index of the row that is computed again; none is the group's prompt.
    row: Option<usize>,
    key: Key,
}

impl<'a> Scheduler<'a> {
    pub(crate) fn new(
        model: &'a Model,
        tokenizer: Option<&'a Tokenizer>,
        cache: Cache,
        max_batch: usize,
        batch_invariant: bool,
    ) -> Scheduler<'a> {
        let config = model.config();
        let page = cache.page.max(1);
        Scheduler {
            model,
            tokenizer,
            max_batch: max_batch.max(1),
            batch_invariant,
            pages: Pages::new(
                (config.num_hidden_layers, config.key_value_size()),
                page,
                cache.tokens.div_ceil(page),
                max_batch.max(1).saturating_mul(config.max_position_embeddings),
                model.value(model.slots().embedding),
            ),
            angles: model.angles(0),
            positions: 0,
            groups: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Puts a request's rollouts at the end of the queue. The key must be new.
    ///
    /// # Errors
    /// What the model cannot do, or the cache can never hold.
    pub(crate) fn add(&mut self, key: Key, request: Request) -> Result<()> {
        let Request { prompt, rollouts, settings, .. } = &request;
        let watched = settings.stream || !settings.stop.is_empty();
        if watched && self.tokenizer.is_none() {
            return Err(EngineError::Input("stop strings need a tokenizer".to_owned()));
        }
        let longest = prompt.len() + settings.max_new_tokens;
        if self.pages.of(longest) > self.pages.most() {
            return Err(EngineError::Input(format!(
                "the prompt has {} tokens and max_new_tokens is {}: more than the cache holds, which is {} pages",
                prompt.len(),
                settings.max_new_tokens,
                self.pages.most()
            )));
        }
        self.reach(longest);
        let tokenizer = self.tokenizer.filter(|_| watched);
        let row = |rollout| Row {
            key,
            rollout,
            settings: settings.clone(),
            table: Table::default(),
            tokens: Vec::new(),
            logprobs: Vec::new(),
            filtered_logprobs: Vec::new(),
            stream: request.random(rollout),
            drawn: None,
            text: tokenizer.map(|tokenizer| Text::new(tokenizer, settings.stop.clone())),
            given: String::new(),
        };
        self.waiting.extend((0..*rollouts).map(row));
        let (unstarted, left) = (*rollouts, *rollouts);
        if left > 0 {
            self.groups.insert(key, Group { request, prefix: None, unstarted, left });
        }
        Ok(())
    }

    /// Rotary angles for sequences of so many positions; twice as many as last time where those do not reach.
    fn reach(&mut self, positions: usize) {
        if positions > self.positions {
            let all = self.model.config().max_position_embeddings;
            self.positions = positions.max((2 * self.positions).min(all));
            self.angles = self.model.angles(self.positions);
        }
    }

    /// Forgets a request: nobody wants its rollouts any more.
    pub(crate) fn forget(&mut self, key: Key) {
        for row in self.running.iter_mut().filter(|row| row.key == key) {
            self.pages.release(std::mem::take(&mut row.table));
        }
        self.running.retain(|row| row.key != key);
        self.waiting.retain(|row| row.key != key);
        if let Some(prefix) = self.groups.remove(&key).and_then(|group| group.prefix) {
            self.pages.release(prefix.table);
        }
    }

    /// Rollouts that wait, and rollouts that advance.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.running.len())
    }

    /// Pages in use, and all there may be.
    pub(crate) fn pages(&self) -> (usize, usize) {
        (self.pages.used(), self.pages.most())
    }

    /// Admits rollouts, or advances all by a token; what happened is added to `events`. False when none is left.
    ///
    /// # Errors
    /// The model's logits are not finite; the scheduler is of no more use.
    pub(crate) fn advance(&mut self, events: &mut Vec<Event>) -> Result<bool> {
        if self.waiting.is_empty() && self.running.is_empty() {
            return Ok(false);
        }
        self.pages.prepare()?;
        if !self.admit()? {
            self.make_room()?;
            let mut rows = std::mem::take(&mut self.running);
            let together = if self.batch_invariant { self.invariant() } else { rows.len().max(1) };
            for rows in rows.chunks_mut(together) {
                let last: Vec<u32> = rows.iter().filter_map(|row| row.tokens.last().copied()).collect();
                let states = self.states(rows, &last)?;
                self.draw(rows, &states)?;
                self.counts.steps += 1;
                self.counts.rows += rows.len() as u64;
            }
            self.running = rows;
        }
        self.report(events)?;
        Ok(true)
    }

    /// Moves rollouts from the queue to the rows while there are pages and rows for them; whether there were any.
    fn admit(&mut self) -> Result<bool> {
        let (mut admitted, mut jobs): (Vec<Row<'a>>, Vec<Job>) = (Vec::new(), Vec::new());
        while self.running.len() + admitted.len() < self.max_batch
            && let Some(row) = self.waiting.front()
        {
            let group = &self.groups[&row.key];
            let mut tokens = Vec::new();
            if !row.tokens.is_empty() {
                // The last one is what the next step begins with.
                tokens = [&group.request.prompt[..], &row.tokens[..row.tokens.len() - 1]].concat();
            } else if group.prefix.is_none() {
                tokens.clone_from(&group.request.prompt);
            }
            // Each takes a page for the copy of a page begun, or for its first token; alone, it can do without.
            let first = self.running.is_empty() && admitted.is_empty();
            let spare = if first { 0 } else { admitted.len() + 1 };
            if self.pages.of(tokens.len()) + spare > self.pages.available() {
                if first && self.give_up_prompts() {
                    continue;
                }
                break;
            }
            let before: usize = jobs.iter().map(|job: &Job| job.tokens.len()).sum();
            if !jobs.is_empty() && !tokens.is_empty() && before + tokens.len() > PREFILL {
                break;
            }
            let Some(mut row) = self.waiting.pop_front() else { break };
            if !tokens.is_empty() {
                let mut table = Table::default();
                (0..self.pages.of(tokens.len())).for_each(|_| assert!(self.pages.extend(&mut table)));
                let again = !row.tokens.is_empty();
                jobs.push(Job { tokens, row: again.then_some(admitted.len()), key: row.key });
                match (again, self.groups.get_mut(&row.key)) {
                    (false, Some(group)) => group.prefix = Some(Prefix { table, state: Vec::new() }),
                    _ => row.table = table,
                }
            }
            admitted.push(row);
        }
        self.compute(jobs, &mut admitted)?;
        let any = !admitted.is_empty();
        self.begin(&mut admitted)?;
        self.running.append(&mut admitted);
        Ok(any)
    }

    /// Computes sequences and writes their keys and values into the pages they have.
    fn compute(&mut self, jobs: Vec<Job>, admitted: &mut [Row<'a>]) -> Result<()> {
        let together = if self.batch_invariant { 1 } else { jobs.len().max(1) };
        for jobs in jobs.chunks(together) {
            let mut batch = Batch::new();
            for job in jobs {
                let prompt = self.groups[&job.key].request.prompt.len();
                let first = if self.batch_invariant { prompt } else { job.tokens.len() };
                batch.push(&job.tokens[..first], &[])?;
            }
            let (cache, normed) = self.model.prefill(&batch)?;
            self.counts.prefilled += batch.tokens().len() as u64;
            for (index, job) in jobs.iter().enumerate() {
                let range = batch.sequence(index);
                let group = self.groups.get_mut(&job.key);
                let table = match (job.row, group.and_then(|group| group.prefix.as_mut())) {
                    (Some(row), _) => &mut admitted[row].table,
                    (None, Some(prefix)) => {
                        prefix.state = row_of(&normed, range.end - 1)?;
                        &mut prefix.table
                    }
                    (None, None) => continue,
                };
                let slots = Gpu::of(&normed).map(|_| self.pages.slots(table, range.len()));
                for (layer, (keys, values)) in cache.iter().enumerate() {
                    if let Some(slots) = &slots {
                        let rows = |of: &Tensor| of.narrow(0, range.start, range.len());
                        self.pages.put(slots, layer, &rows(keys)?, &rows(values)?)?;
                        continue;
                    }
                    let numbers = range.start * keys.dim(1)?..range.end * keys.dim(1)?;
                    let (keys, values) = (ops::read(keys)?, ops::read(values)?);
                    self.pages.write(table, layer, &keys[numbers.clone()], &values[numbers]);
                }
                self.pages.advance(table, range.len());
                if let Some(row) = job.row {
                    // With `batch_invariant`: one by one, as they were computed the first time.
                    for token in &job.tokens[range.len()..] {
                        self.states(&mut admitted[row..=row], &[*token])?;
                        self.counts.prefilled += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives the admitted rollouts that have not begun their prompt's pages, and draws their first tokens.
    fn begin(&mut self, admitted: &mut [Row<'a>]) -> Result<()> {
        let mut states = Vec::new();
        let mut fresh: Vec<&mut Row<'a>> = Vec::new();
        for row in admitted.iter_mut().filter(|row| row.tokens.is_empty()) {
            let Some(group) = self.groups.get_mut(&row.key) else { continue };
            group.unstarted -= 1;
            let Some(prefix) = group.prefix.take() else { continue };
            states.extend_from_slice(&prefix.state);
            // The last one needs no copy; nor does one for which there is no page, and who waits computes the prompt anew.
            let shared = if group.unstarted > 0 { self.pages.share(&prefix.table)? } else { None };
            match shared {
                Some(table) => {
                    row.table = table;
                    group.prefix = Some(prefix);
                }
                None => row.table = prefix.table,
            }
            fresh.push(row);
        }
        if fresh.is_empty() {
            return Ok(());
        }
        let (count, width) = (fresh.len(), states.len() / fresh.len());
        let states = self.model.beside(ops::matrix(states, count, width)?)?;
        self.draw(&mut fresh, &states)
    }

    /// Sees to it that every row has a page for its next position.
    fn make_room(&mut self) -> Result<()> {
        loop {
            let needed = self.running.iter().filter(|row| self.pages.is_full(&row.table)).count();
            if needed <= self.pages.available() {
                break;
            }
            if self.give_up_prompts() {
                continue;
            }
            match self.running.pop() {
                Some(mut row) if !self.running.is_empty() => {
                    self.pages.release(std::mem::take(&mut row.table));
                    self.waiting.push_front(row);
                    self.counts.preempted += 1;
                }
                _ => return Err(EngineError::Input("the cache does not hold a single rollout".to_owned())),
            }
        }
        for row in &mut self.running {
            if self.pages.is_full(&row.table) {
                assert!(self.pages.extend(&mut row.table), "there was a page for each");
            }
        }
        Ok(())
    }

    /// Gives up the prompts that are kept for rollouts that wait; whether there were any.
    fn give_up_prompts(&mut self) -> bool {
        let kept: Vec<Prefix> = self.groups.values_mut().filter_map(|group| group.prefix.take()).collect();
        let any = !kept.is_empty();
        kept.into_iter().for_each(|prefix| self.pages.release(prefix.table));
        any
    }

    /// The normed states of one more token of each row, whose keys and values are added to its pages.
    fn states(&mut self, rows: &mut [Row<'a>], tokens: &[u32]) -> Result<Tensor> {
        let model = self.model;
        let positions = Indices::new(rows.iter().map(|row| row.table.length()));
        let mut x = embedding::forward(model.value(model.slots().embedding), tokens)?;
        let step = Gpu::of(&x).map(|_| self.pages.step(rows.iter().map(|row| &row.table)));
        for (layer, slots) in model.slots().layers.iter().enumerate() {
            let normed = model.normed(&x, slots.input_norm)?.0;
            let q = model.project(&normed, &slots.query)?;
            let k = model.project(&normed, &slots.key)?;
            let v = model.project(&normed, &slots.value)?;
            rope::forward(&q, &positions, &self.angles)?;
            rope::forward(&k, &positions, &self.angles)?;
            let attended = match &step {
                Some(step) => self.pages.attend(step, layer, [&q, &k, &v], model.heads())?,
                None => self.attend(rows, layer, &q, &k, &v)?,
            };
            let middle = model.project_add(&x, &attended, &slots.output)?;
            x = model.mlp(slots, &middle)?.0;
        }
        rows.iter_mut().for_each(|row| self.pages.advance(&mut row.table, 1));
        Ok(model.normed(&x, model.slots().norm)?.0)
    }

    /// Writes each row's key and value to its pages and attends to all of them.
    fn attend(
        &mut self,
        rows: &[Row<'a>],
        layer: usize,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
    ) -> Result<Tensor> {
        let heads = self.model.heads();
        let (q_width, kv_width) = (q.dim(1)?, k.dim(1)?);
        let (q, k, v) = (ops::read(q)?, ops::read(k)?, ops::read(v)?);
        for (row, (k, v)) in rows.iter().zip(k.chunks_exact(kv_width).zip(v.chunks_exact(kv_width))) {
            self.pages.write(&row.table, layer, k, v);
        }
        let pages = &self.pages;
        let mut out = vec![0.0; q.len()];
        let each = rows.par_iter().zip(q.par_chunks_exact(q_width)).zip(out.par_chunks_exact_mut(q_width));
        each.with_min_len(ROWS_PER_TASK).for_each_init(Default::default, |scratch, ((row, q), out)| {
            let (scores, own): &mut (Vec<f32>, Vec<_>) = scratch;
            pages.read(&row.table, layer, row.table.length() + 1, own);
            attention::decode(q, own, heads, out, scores);
        });
        ops::matrix(out, rows.len(), q_width)
    }

    /// So many rows' products are to the bit those of one row.
    fn invariant(&self) -> usize {
        let weight = self.model.value(self.model.slots().head);
        // Of cuBLAS nobody promises that.
        if Gpu::of(weight).is_some() { 1 } else { MOST_FEW_ROWS }
    }

    /// Draws each row's next token from its normed state.
    fn draw<R: std::borrow::BorrowMut<Row<'a>> + Send>(&self, rows: &mut [R], states: &Tensor) -> Result<()> {
        let weight = self.model.value(self.model.slots().head);
        let vocabulary = weight.dim(0)?;
        let of_device = if Gpu::of(states).is_some() { LOGITS_OF_GPU } else { LOGITS };
        let held = self.model.logits_at_once().unwrap_or(of_device);
        let chunk = (held / vocabulary).max(1);
        let chunk = if self.batch_invariant { chunk.min(self.invariant()) } else { chunk };
        for (index, rows) in rows.chunks_mut(chunk).enumerate() {
            let states = states.narrow(0, index * chunk, rows.len())?;
            let logits = linear::forward(&states, weight, None)?;
            let logits = match Gpu::of(&logits) {
                Some(gpu) if draw_there(gpu, rows, &logits)? => continue,
                Some(_) => ops::matrix(ops::read(&logits)?.to_vec(), rows.len(), vocabulary)?,
                None => logits,
            };
            let mut finite = true;
            ops::write(&logits, |logits| {
                let each = rows.par_iter_mut().zip(logits.par_chunks_exact_mut(vocabulary));
                let drawn =
                    each.with_min_len(ROWS_PER_TASK).map(|(row, logits)| row.borrow_mut().draw(logits));
                finite = drawn.reduce(|| true, |a, b| a && b);
            })?;
            if !finite {
                return Err(not_finite());
            }
        }
        Ok(())
    }

    /// Says what the rows drew, and takes out those that ended.
    fn report(&mut self, events: &mut Vec<Event>) -> Result<()> {
        let mut live = Vec::with_capacity(self.running.len());
        for mut row in std::mem::take(&mut self.running) {
            let Some(token) = row.drawn.take() else {
                live.push(row);
                continue;
            };
            let mut text = row.text.as_mut().map_or(Ok(String::new()), |text| text.push(token.id))?;
            let finish_reason = row.finish();
            if let (Some(_), Some(rest)) = (finish_reason, &mut row.text) {
                text += &rest.finish()?;
            }
            row.given += &text;
            let (key, rollout) = (row.key, row.rollout);
            if row.settings.stream {
                events.push(Event::Token { key, rollout, text, token });
            }
            match finish_reason {
                None => live.push(row),
                Some(finish_reason) => {
                    self.pages.release(row.table);
                    let text = row.text.is_some().then_some(row.given);
                    let generated = Generated {
                        completion_ids: row.tokens,
                        logprobs: row.logprobs,
                        filtered_logprobs: row.filtered_logprobs,
                        finish_reason,
                        text,
                    };
                    events.push(Event::End { key, rollout, generated });
                    self.one_less(key);
                }
            }
        }
        self.running = live;
        Ok(())
    }

    fn one_less(&mut self, key: Key) {
        if let Some(group) = self.groups.get_mut(&key) {
            group.left -= 1;
            if group.left == 0 {
                self.groups.remove(&key);
            }
        }
    }
}

/// Draws on the GPU where all rows draw alike and from everything; whether they did.
fn draw_there<'a, R: std::borrow::BorrowMut<Row<'a>>>(
    gpu: &Gpu,
    rows: &mut [R],
    logits: &Tensor,
) -> Result<bool> {
    let temperature = rows.first().map_or(1.0, |row| row.borrow().settings.temperature);
    let alike = |settings: &Settings| {
        settings.temperature == temperature && gpu::draws(&settings.filters, settings.best)
    };
    if !rows.iter().all(|row| alike(&row.borrow().settings)) {
        return Ok(false);
    }
    let uniforms: Vec<_> = rows.iter_mut().map(|row| row.borrow_mut().uniform()).collect();
    let drawn = gpu.draw(logits, uniforms.into_iter(), temperature)?;
    let mut finite = true;
    for (row, (id, logprob)) in rows.iter_mut().zip(drawn) {
        // Nothing was filtered there.
        finite &= row.borrow_mut().take(Drawn { id, logprob, filtered_logprob: logprob, best: Vec::new() });
    }
    if finite { Ok(true) } else { Err(not_finite()) }
}

fn not_finite() -> EngineError {
    EngineError::Input("the model's logits are not finite".to_owned())
}

fn row_of(matrix: &Tensor, row: usize) -> Result<Vec<f32>> {
    Ok(ops::read(&matrix.narrow(0, row, 1)?)?.to_vec())
}

impl Row<'_> {
    /// False when the logits are not finite.
    fn draw(&mut self, logits: &mut [f32]) -> bool {
        let uniform = self.uniform();
        let Settings { temperature, filters, best, .. } = &*self.settings;
        let drawn = head::draw(logits, *temperature, uniform, filters, *best);
        self.take(drawn)
    }

    /// What the next draw is decided by: a number in 0..1, or none, for the best.
    fn uniform(&mut self) -> Option<f64> {
        let uniform = (self.stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (!self.settings.greedy).then_some(uniform)
    }

    /// False when the logits are not finite.
    fn take(&mut self, drawn: Drawn) -> bool {
        self.tokens.push(drawn.id);
        self.logprobs.push(drawn.logprob);
        self.filtered_logprobs.push(drawn.filtered_logprob);
        let finite = drawn.logprob.is_finite();
        self.drawn = Some(drawn);
        finite
    }

    fn finish(&self) -> Option<FinishReason> {
        let ended = self.tokens.last().is_some_and(|token| self.settings.eos_token_ids.contains(token));
        if ended || self.text.as_ref().is_some_and(Text::stopped) {
            Some(FinishReason::Stop)
        } else if self.tokens.len() >= self.settings.max_new_tokens {
            Some(FinishReason::Length)
        } else {
            None
        }
    }
}
