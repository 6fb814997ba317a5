//! How the policy learns: one or more optimizer steps down a loss that is known by each token's derivative.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use super::{Policy, TOKENS_AT_ONCE, batch, score};
use crate::data::Row;
use crate::error::Result;
use crate::grpo::{Figures, Gap, Item, Loss, Tokens, divisors};
use crate::model::{Batch, Gradients, TokenStats};
use crate::optim::clip_global_norm;
use crate::temperature::Measured;

/// What is descended, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Objective<'a> {
    /// The loss.
    pub loss: &'a Loss,
    /// Most tokens of a completion.
    pub max_completion_length: usize,
    /// Sampling temperature of the rollouts: every log-probability and entropy is of softmax(z/T).
    pub temperature: f64,
    /// AdamW's.
    pub learning_rate: f64,
    /// Gradient norm above which the gradient is scaled down; 0 never clips.
    pub max_grad_norm: f64,
}

/// What an update measured on the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Updated {
    /// Temperature-adjusted entropy over all tokens given, before the update.
    pub entropy: f64,
    /// Mean variance of z/T over the same.
    pub variance: f64,
    /// Between the sampler and the trainer, over the same.
    pub gap: Gap,
    /// Before clipping; the mean over the updates that were made, 0 where none was.
    pub grad_norm: f64,
    /// Of the loss, over the tokens trained on.
    pub figures: Figures,
    /// The updates that were not made, if there were any.
    pub skipped: Option<Skipped>,
}

/// What a step of supervised learning came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learned {
    /// Mean cross-entropy per completion token, in nats, before the update; 0 where it is not finite.
    pub loss: f64,
    /// L2 norm of the gradient before clipping; 0 where no update was made.
    pub grad_norm: f64,
    /// Tokens of completions: what was taught.
    pub tokens: usize,
    /// Tokens of prompts and completions.
    pub all_tokens: usize,
    /// The update, if it was not made; in it the figures as they were.
    pub skipped: Option<Skipped>,
}

/// Updates that were not made, because their loss or their gradient's norm was not finite: one such number in the
/// gradient is one in every weight after it. Weights, moments and the optimizer's count of steps stay as they were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Skipped {
    /// How many.
    pub updates: u64,
    /// Of the last of them.
    pub loss: f64,
    /// Of its gradient, before clipping.
    pub grad_norm: f64,
}

impl fmt::Display for Skipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Skipped { updates, loss, grad_norm } = self;
        let what = if *updates == 1 { "update was" } else { "updates were" };
        write!(
            out,
            "{updates} {what} skipped: loss {loss}, gradient norm {grad_norm}; the weights stay as they were"
        )
    }
}

/// Appends the derivatives by the log-probabilities of a sequence, given the sequence, where its tokens lie in the
/// statistics, and these.
type Gradient<'a> = dyn Fn(usize, Range<usize>, &TokenStats, &mut Vec<f32>) + 'a;

/// Log-probabilities of the tokens of some items, item by item.
struct PerToken {
    values: Vec<f32>,
    ranges: Vec<Range<usize>>,
}

impl PerToken {
    fn of(&self, item: usize) -> &[f32] {
        &self.values[self.ranges[item].clone()]
    }
}

impl Policy {
    /// Updates by groups of rollouts, `objective.loss.updates` times, each by its share of the groups in the order given.
    pub fn update(&mut self, items: &[Item<'_>], objective: &Objective<'_>) -> Result<Updated> {
        let updates = objective.loss.updates;
        // With one update the old policy is the one that the gradient is taken at, and costs nothing.
        let old = if updates > 1 { Some(self.score_items(items, objective.temperature)?) } else { None };
        let mut whole = Whole::default();
        let mut done = 0;
        for range in shares(items, updates) {
            let share = &items[range.clone()];
            let old = old.as_ref().map(|(_, logprobs)| (logprobs, range.start));
            let update = self.update_once(share, old, objective)?;
            done += u32::from(update.skipped.is_none());
            whole.add(update);
        }
        let (stats, gap) = match old {
            Some((stats, _)) => {
                let gap = gap(items.iter().flat_map(|item| &item.rollout.logprobs), &stats.logprob);
                (stats, gap)
            }
            None => (whole.stats, whole.gap),
        };
        let Measured { entropy, variance } = Measured::mean(&finite(stats.entropy), &finite(stats.variance));
        let grad_norm = whole.grad_norm / f64::from(done.max(1));
        Ok(Updated { entropy, variance, gap, grad_norm, figures: whole.figures, skipped: whole.skipped })
    }

    /// One update. `old` holds the log-probabilities before the first of several, and where this share begins in them.
    fn update_once(
        &mut self,
        items: &[Item<'_>],
        old: Option<(&PerToken, usize)>,
        objective: &Objective<'_>,
    ) -> Result<Whole> {
        let (whole, gradients) = self.backward(items, old, objective, TOKENS_AT_ONCE)?;
        let loss = whole.figures.loss;
        Ok(match self.step(gradients, loss, objective.learning_rate, objective.max_grad_norm)? {
            Stepped::Made { grad_norm } => Whole { grad_norm, ..whole },
            // What was not descended is not part of the step's loss.
            Stepped::Skipped(skipped) => {
                Whole { figures: Figures::default(), skipped: Some(skipped), ..whole }
            }
        })
    }

    /// The figures and gradients of one update, `tokens_at_once` in a pass: this bounds memory and decides nothing.
    fn backward(
        &self,
        items: &[Item<'_>],
        old: Option<(&PerToken, usize)>,
        objective: &Objective<'_>,
        tokens_at_once: usize,
    ) -> Result<(Whole, Option<Gradients>)> {
        let Objective { loss, temperature, .. } = *objective;
        let divisors = divisors(items, loss.aggregate, objective.max_completion_length);
        // What moves nothing has no gradient: it is only measured.
        let moves = |index: &usize| !items[*index].masked && !loss.is_inert(items[*index].advantage);
        let (trained, measured): (Vec<usize>, Vec<usize>) = (0..items.len()).partition(moves);
        let batch_of = |part: &[usize]| batch(part.iter().map(|index| items[*index].rollout));
        // Before the update: afterwards it would be another policy's entropy.
        let mut stats = match old {
            Some(_) => TokenStats::default(),
            None => score(&self.model, &batch_of(&measured)?, temperature)?,
        };
        let trained_batch = batch_of(&trained)?;
        let reference = match (&self.reference, loss.kl.coefficient > 0.0) {
            (Some(reference), true) => Some(score(reference, &trained_batch, temperature)?.logprob),
            _ => None,
        };
        let figures = RefCell::new(Figures::default());
        let gradient = |sequence: usize, part: Range<usize>, stats: &TokenStats, out: &mut Vec<f32>| {
            let item = trained[sequence];
            let Item { rollout, advantage, .. } = items[item];
            let tokens = Tokens {
                logprobs: &stats.logprob[part],
                old: old.map(|(old, start)| old.of(start + item)),
                sampled: &rollout.logprobs,
                reference: reference.as_deref().map(|all| &all[trained_batch.response(sequence)]),
            };
            figures.borrow_mut().add(&loss.completion(tokens, advantage, divisors[item], out));
        };
        let (of_trained, gradients) =
            self.accumulate(&trained_batch, &gradient, temperature, tokens_at_once)?;
        stats.extend(of_trained);
        let sampled = measured.iter().chain(&trained).flat_map(|index| &items[*index].rollout.logprobs);
        let gap = if old.is_some() { Gap::default() } else { gap(sampled, &stats.logprob) };
        Ok((Whole { stats, gap, figures: figures.into_inner(), ..Whole::default() }, gradients))
    }

    fn score_items(&self, items: &[Item<'_>], temperature: f64) -> Result<(TokenStats, PerToken)> {
        let batch = batch(items.iter().map(|item| item.rollout))?;
        let stats = score(&self.model, &batch, temperature)?;
        let ranges = (0..batch.sequences()).map(|index| batch.response(index)).collect();
        let values = stats.logprob.clone();
        Ok((stats, PerToken { values, ranges }))
    }

    /// One step of supervised learning.
    pub fn learn(&mut self, rows: &[Row], learning_rate: f64, max_grad_norm: f64) -> Result<Learned> {
        let mut batch = Batch::new();
        for row in rows {
            batch.push(&self.conversation(&row.prompt)?, &self.completion(row)?)?;
        }
        let tokens = batch.response_tokens();
        let weight = -1.0 / tokens as f32;
        let gradient = |_: usize, part: Range<usize>, _: &TokenStats, out: &mut Vec<f32>| {
            out.extend(std::iter::repeat_n(weight, part.len()));
        };
        let (stats, gradients) = self.accumulate(&batch, &gradient, 1.0, TOKENS_AT_ONCE)?;
        let loss =
            -stats.logprob.iter().map(|&logprob| f64::from(logprob)).sum::<f64>() / tokens.max(1) as f64;
        let (grad_norm, skipped) = match self.step(gradients, loss, learning_rate, max_grad_norm)? {
            Stepped::Made { grad_norm } => (grad_norm, None),
            Stepped::Skipped(skipped) => (0.0, Some(skipped)),
        };
        let loss = if loss.is_finite() { loss } else { 0.0 };
        Ok(Learned { loss, grad_norm, tokens, all_tokens: batch.tokens().len(), skipped })
    }

    fn completion(&self, row: &Row) -> Result<Vec<u32>> {
        let mut completion = self.tokenizer.encode(&row.output)?;
        completion.push(self.end_of_text[0]);
        Ok(completion)
    }

    /// Tokens of a row, prompt and completion.
    pub fn row_tokens(&self, row: &Row) -> Result<usize> {
        Ok(self.conversation(&row.prompt)?.len() + self.completion(row)?.len())
    }

    /// Tokens that [`Policy::learn`] would teach.
    pub fn completion_tokens(&self, rows: &[Row]) -> Result<u64> {
        rows.iter().map(|row| Ok(self.completion(row)?.len() as u64)).sum()
    }

    /// Statistics, and gradients of the loss with these derivatives. Parts of the batch add up to the whole's gradient;
    /// of no token there is none.
    fn accumulate(
        &self,
        batch: &Batch,
        gradient: &Gradient<'_>,
        temperature: f64,
        tokens_at_once: usize,
    ) -> Result<(TokenStats, Option<Gradients>)> {
        let mut stats = TokenStats::default();
        let mut sum: Option<Gradients> = None;
        let mut first = 0;
        for part in batch.split(tokens_at_once) {
            let of_part = |stats: &TokenStats| {
                let mut out = Vec::with_capacity(stats.logprob.len());
                (0..part.sequences())
                    .for_each(|index| gradient(first + index, part.response(index), stats, &mut out));
                out
            };
            let sum = match &mut sum {
                Some(sum) => sum,
                None => sum.insert(Gradients::zeros(&self.model)?),
            };
            stats.extend(self.model.add_loss_backward(&part, temperature as f32, &of_part, sum)?);
            first += part.sequences();
        }
        Ok((stats, sum))
    }

    /// One step of the optimizer down `loss`, unless that or its gradient is not finite. Without a gradient nothing
    /// moves.
    fn step(
        &mut self,
        gradients: Option<Gradients>,
        loss: f64,
        learning_rate: f64,
        max_grad_norm: f64,
    ) -> Result<Stepped> {
        let Some(mut gradients) = gradients else { return Ok(Stepped::Made { grad_norm: 0.0 }) };
        let most = if max_grad_norm > 0.0 { max_grad_norm } else { f64::INFINITY };
        let grad_norm = clip_global_norm(&mut gradients, most)?;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return Ok(Stepped::Skipped(Skipped { updates: 1, loss, grad_norm }));
        }
        self.optimizer.update(&mut self.model, &gradients, learning_rate)?;
        Ok(Stepped::Made { grad_norm })
    }
}

/// What a step of the optimizer came to.
enum Stepped {
    /// It was made; the gradient's norm before clipping.
    Made { grad_norm: f64 },
    /// Nothing moved.
    Skipped(Skipped),
}

/// One update's figures; several add up.
#[derive(Default)]
struct Whole {
    stats: TokenStats,
    gap: Gap,
    grad_norm: f64,
    figures: Figures,
    skipped: Option<Skipped>,
}

impl Whole {
    fn add(&mut self, other: Whole) {
        self.stats.extend(other.stats);
        // Of one update; of several it is measured apart.
        self.gap = other.gap;
        self.grad_norm += other.grad_norm;
        self.figures.add(&other.figures);
        let before = self.skipped.map_or(0, |skipped| skipped.updates);
        let both = other.skipped.map(|last| Skipped { updates: before + last.updates, ..last });
        self.skipped = both.or(self.skipped);
    }
}

/// The numbers that are some: metrics are written as JSON, which has no others.
fn finite(mut values: Vec<f32>) -> Vec<f32> {
    values.retain(|value| value.is_finite());
    values
}

/// Between sampler and trainer, over the tokens whose log-probability by the trainer is finite.
fn gap<'a>(sampled: impl Iterator<Item = &'a f32>, trainer: &[f32]) -> Gap {
    let (sampled, trainer): (Vec<&f32>, Vec<f32>) =
        sampled.zip(trainer).filter(|(_, trainer)| trainer.is_finite()).unzip();
    Gap::between(sampled.into_iter(), &trainer)
}

/// The items of each update: whole groups, as evenly as they can be dealt.
fn shares(items: &[Item<'_>], updates: usize) -> Vec<Range<usize>> {
    let mut starts: Vec<usize> =
        (0..items.len()).filter(|&at| at == 0 || items[at].group != items[at - 1].group).collect();
    let groups = starts.len();
    starts.push(items.len());
    let updates = updates.min(groups);
    let bound = |update: usize| starts[update * groups / updates];
    (0..updates).map(|update| bound(update)..bound(update + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpo::{Aggregate, Correction, Estimator, Kl, Mismatch, PolicyTerm};
    use crate::policy::Sampling;
    use crate::recipe::Recipe;
    use crate::rollout::Rollout;
    use crate::tasks::{Family, Split};

    const TEMPERATURE: f64 = 0.7;

    fn policy(seed: u64) -> Policy {
        let sizes = "hidden_size = 32\nintermediate_size = 48\nnum_hidden_layers = 2\nnum_attention_heads = 2\n\
            num_key_value_heads = 1\ninitializer_range = 0.3\n";
        Policy::create(&Recipe::parse("r.toml", &format!("seed = {seed}\n[model]\n{sizes}")).unwrap())
            .unwrap()
    }

    fn rollouts(policy: &Policy) -> Vec<Rollout> {
        let questions = Family::Arithmetic.distinct(Split::Train, 4, &mut crate::data::stream(1, "test", 0));
        let problems: Vec<_> = questions.into_iter().map(|question| question.problem).collect();
        let sampling = Sampling {
            temperature: TEMPERATURE,
            max_completion_length: 9,
            purpose: "test",
            ..Sampling::default()
        };
        policy.sample(&problems, 3, &sampling).unwrap()
    }

    /// Three of each of four groups; one completion is masked, one has nothing to teach.
    fn items(rollouts: &[Rollout]) -> Vec<Item<'_>> {
        let item = |(index, rollout)| Item {
            rollout,
            advantage: [1.2, -0.5, 0.0, -0.7, 0.3][index % 5],
            group: index / 3,
            masked: index == 4,
        };
        rollouts.iter().enumerate().map(item).collect()
    }

    fn objective(loss: &Loss) -> Objective<'_> {
        Objective {
            loss,
            max_completion_length: 9,
            temperature: TEMPERATURE,
            learning_rate: 1e-9,
            max_grad_norm: 0.0,
        }
    }

    fn forms() -> Vec<Loss> {
        let kl = Kl { coefficient: 0.1, estimator: Estimator::K3 };
        let truncate = Mismatch { correction: Correction::Truncate, ..Mismatch::default() };
        let form =
            |policy, aggregate, kl| Loss { policy, aggregate, kl, mismatch: truncate, ..Loss::default() };
        vec![
            Loss::default(),
            form(PolicyTerm::Ppo, Aggregate::GroupTokenMean, kl),
            form(PolicyTerm::Gspo, Aggregate::SequenceMean, kl),
            form(PolicyTerm::Cispo, Aggregate::Constant, Kl::default()),
        ]
    }

    /// Packing, micro-batches and order are ways to compute, not things to learn: neither loss, entropy nor gradients
    /// may hang on them.
    #[test]
    fn permuting_and_repacking_a_batch_changes_nothing() {
        let mut policy = policy(1);
        policy.reference = Some(tests::policy(2).model);
        let rollouts = rollouts(&policy);
        let straight = items(&rollouts);
        // 5 and 12 have no divisor in common.
        let permuted: Vec<Item<'_>> = (0..12).map(|at| straight[at * 5 % 12]).collect();
        for loss in forms() {
            let (whole, gradients) = policy.backward(&straight, None, &objective(&loss), 1 << 20).unwrap();
            let gradients = gradients.unwrap();
            let norm = gradients.global_norm().unwrap();
            assert!(norm > 1e-3, "{loss:?}: a gradient of {norm} shows nothing");
            for tokens_at_once in [1, 40, 1 << 20] {
                let (other, mut theirs) =
                    policy.backward(&permuted, None, &objective(&loss), tokens_at_once).unwrap();
                let theirs = theirs.as_mut().unwrap();
                theirs.scale(-1.0).unwrap();
                theirs.add(&gradients).unwrap();
                let apart = theirs.global_norm().unwrap() / norm;
                assert!(apart < 1e-5, "{loss:?} {tokens_at_once}: gradients are {apart} apart");
                assert!((other.figures.loss - whole.figures.loss).abs() < 1e-6, "{loss:?} {tokens_at_once}");
                assert_eq!(other.figures.tokens, whole.figures.tokens);
                let entropy =
                    |whole: &Whole| Measured::mean(&whole.stats.entropy, &whole.stats.variance).entropy;
                assert!((entropy(&other) - entropy(&whole)).abs() < 1e-6, "{loss:?} {tokens_at_once}");
            }
        }
    }

    /// The rollouts were drawn at T = 0.7. A log-probability that did not see z/T, the trainer's, the old one or the
    /// reference's, would be far from the sampler's, and a ratio or a divergence far from none.
    #[test]
    fn every_log_probability_sees_the_temperature() {
        let mut policy = policy(3);
        policy.reference = Some(tests::policy(3).model);
        let rollouts = rollouts(&policy);
        let kl = Kl { coefficient: 0.1, estimator: Estimator::K3 };
        let loss = Loss { kl, updates: 2, clip_low: 1e-4, clip_high: 1e-4, ..Loss::default() };
        let updated = policy.update(&items(&rollouts), &objective(&loss)).unwrap();
        assert!(updated.gap.greatest() < 1e-4, "{updated:?}");
        assert!(updated.figures.kl.abs() < 1e-5, "{updated:?}");
        assert_eq!((updated.figures.clipped_low, updated.figures.clipped_high), (0, 0), "{updated:?}");
        // All but the masked one are trained on, and the gap is measured on all.
        let tokens: usize = rollouts.iter().map(|rollout| rollout.completion_ids.len()).sum();
        assert_eq!(updated.figures.tokens, tokens - rollouts[4].completion_ids.len());
        let flat = Objective { temperature: 1.0, ..objective(&loss) };
        assert!(policy.update(&items(&rollouts), &flat).unwrap().gap.greatest() > 0.05, "the test is blind");
    }

    /// From the second update on the ratio is not 1, and a narrow clip holds it.
    #[test]
    fn later_updates_of_a_batch_are_clipped() {
        let mut policy = policy(4);
        let rollouts = rollouts(&policy);
        let loss = Loss { updates: 2, clip_low: 1e-3, clip_high: 1e-3, ..Loss::default() };
        let objective = Objective { learning_rate: 1e-2, ..objective(&loss) };
        let updated = policy.update(&items(&rollouts), &objective).unwrap();
        assert!(updated.figures.clipped_low + updated.figures.clipped_high > 0, "{updated:?}");
    }

    /// Every byte of a checkpoint: weights, moments, the optimizer's count of steps.
    fn bytes(policy: &Policy) -> Vec<(std::ffi::OsString, Vec<u8>)> {
        let dir = tempfile::tempdir().unwrap();
        policy.save(&dir.path().join("c"), &0, 1).unwrap();
        let entries = std::fs::read_dir(dir.path().join("c")).unwrap().map(Result::unwrap);
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect();
        files.sort();
        files
    }

    /// NaN is not above the greatest norm, so it was not clipped, and one update by it was the end of every weight.
    #[test]
    fn an_update_that_is_not_finite_moves_nothing() {
        let mut policy = policy(6);
        let rollouts = rollouts(&policy);
        let loss = Loss::default();
        let objective = Objective { learning_rate: 1e-3, max_grad_norm: 1.0, ..objective(&loss) };
        let mut items = items(&rollouts);
        assert_eq!(policy.update(&items, &objective).unwrap().skipped, None);
        // As an f64 the loss is a number, as f32 its derivatives are not.
        items[0].advantage = 1e60;
        let before = bytes(&policy);
        let updated = policy.update(&items, &objective).unwrap();
        let skipped = updated.skipped.unwrap();
        assert!(
            skipped.updates == 1 && skipped.loss.is_finite() && !skipped.grad_norm.is_finite(),
            "{skipped}"
        );
        assert_eq!((updated.grad_norm, updated.figures), (0.0, Figures::default()));
        assert!(updated.entropy > 0.0 && updated.gap.kl().is_finite(), "{updated:?}");
        assert!(bytes(&policy) == before, "a skipped update moved something");

        // Of three updates the first alone is out of all bounds.
        let loss = Loss { updates: 3, ..loss };
        let objective = Objective { loss: &loss, ..objective };
        let updated = policy.update(&items, &objective).unwrap();
        assert_eq!(updated.skipped.map(|skipped| skipped.updates), Some(1), "{updated:?}");
        assert!(updated.grad_norm > 0.0 && updated.grad_norm.is_finite(), "{updated:?}");
        assert!(updated.figures.loss.is_finite() && updated.figures.tokens > 0, "{updated:?}");
        assert!(bytes(&policy) != before, "the other two moved nothing");
        assert!(policy.score_items(&items, TEMPERATURE).unwrap().0.entropy.iter().all(|v| v.is_finite()));
    }

    /// What is measured of a policy that is past saving is still written down as numbers.
    #[test]
    fn a_policy_without_finite_logits_learns_nothing_and_says_so_in_numbers() {
        let mut policy = policy(7);
        let rollouts = rollouts(&policy);
        let row = Row::new("1+1=", "2".to_owned());
        let learned = policy.learn(std::slice::from_ref(&row), 1e-3, 1.0).unwrap();
        assert!(learned.skipped.is_none() && learned.loss > 0.0 && learned.grad_norm > 0.0, "{learned:?}");
        assert!(learned.tokens > 0 && learned.all_tokens > learned.tokens, "{learned:?}");
        let (_, norm) = policy.model.parameters().find(|(name, _)| *name == "model.norm.weight").unwrap();
        crate::ops::write(norm, |values| values.fill(3e38)).unwrap();
        let before = bytes(&policy);
        let learned = policy.learn(&[row], 1e-3, 1.0).unwrap();
        let skipped = learned.skipped.unwrap();
        assert!(!skipped.loss.is_finite(), "{skipped}");
        assert_eq!((learned.loss, learned.grad_norm), (0.0, 0.0));
        let loss = Loss::default();
        let updated = policy.update(&items(&rollouts), &objective(&loss)).unwrap();
        assert_eq!(updated.skipped.map(|skipped| skipped.updates), Some(1), "{updated:?}");
        let figures =
            [updated.entropy, updated.variance, updated.gap.mean(), updated.gap.kl(), updated.figures.loss];
        assert!(figures.iter().all(|figure| figure.is_finite()), "{updated:?}");
        assert!(bytes(&policy) == before, "a skipped update moved something");
    }

    #[test]
    fn updates_share_whole_groups_evenly() {
        let policy = policy(5);
        let rollouts = rollouts(&policy);
        let items = items(&rollouts);
        let rows: [(usize, &[usize]); 4] = [(1, &[12]), (2, &[6, 12]), (3, &[3, 6, 12]), (9, &[3, 6, 9, 12])];
        for (updates, ends) in rows {
            let shares = shares(&items, updates);
            assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start), "{shares:?}");
            assert_eq!(shares.iter().map(|share| share.end).collect::<Vec<_>>(), ends, "{updates}");
        }
        assert!(shares(&[], 2).is_empty());
    }
}
