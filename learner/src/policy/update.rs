//! How the policy learns: one or more optimizer steps down a loss that is known by each token's derivative.

use std::cell::RefCell;
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
    /// Before clipping; the mean over updates.
    pub grad_norm: f64,
    /// Of the loss, over the tokens trained on.
    pub figures: Figures,
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
            whole.add(self.update_once(share, old, objective)?);
            done += 1;
        }
        let (stats, gap) = match old {
            Some((stats, _)) => {
                let gap = Gap::between(items.iter().flat_map(|item| &item.rollout.logprobs), &stats.logprob);
                (stats, gap)
            }
            None => (whole.stats, whole.gap),
        };
        let Measured { entropy, variance } = Measured::mean(&stats.entropy, &stats.variance);
        let grad_norm = whole.grad_norm / f64::from(done.max(1));
        Ok(Updated { entropy, variance, gap, grad_norm, figures: whole.figures })
    }

    /// One update. `old` holds the log-probabilities before the first of several, and where this share begins in them.
    fn update_once(
        &mut self,
        items: &[Item<'_>],
        old: Option<(&PerToken, usize)>,
        objective: &Objective<'_>,
    ) -> Result<Whole> {
        let (whole, gradients) = self.backward(items, old, objective, TOKENS_AT_ONCE)?;
        let grad_norm = self.step(gradients, objective.learning_rate, objective.max_grad_norm)?;
        Ok(Whole { grad_norm, ..whole })
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
        let gap = if old.is_some() { Gap::default() } else { Gap::between(sampled, &stats.logprob) };
        Ok((Whole { stats, gap, grad_norm: 0.0, figures: figures.into_inner() }, gradients))
    }

    fn score_items(&self, items: &[Item<'_>], temperature: f64) -> Result<(TokenStats, PerToken)> {
        let batch = batch(items.iter().map(|item| item.rollout))?;
        let stats = score(&self.model, &batch, temperature)?;
        let ranges = (0..batch.sequences()).map(|index| batch.response(index)).collect();
        let values = stats.logprob.clone();
        Ok((stats, PerToken { values, ranges }))
    }

    /// One step of supervised learning; returns the mean cross-entropy per completion token, in nats.
    pub fn learn(&mut self, rows: &[Row], learning_rate: f64, max_grad_norm: f64) -> Result<f64> {
        let mut batch = Batch::new();
        for row in rows {
            batch.push(&self.prompt(&row.input)?, &self.completion(row)?)?;
        }
        let tokens = batch.response_tokens();
        let weight = -1.0 / tokens as f32;
        let gradient = |_: usize, part: Range<usize>, _: &TokenStats, out: &mut Vec<f32>| {
            out.extend(std::iter::repeat_n(weight, part.len()));
        };
        let (stats, gradients) = self.accumulate(&batch, &gradient, 1.0, TOKENS_AT_ONCE)?;
        self.step(gradients, learning_rate, max_grad_norm)?;
        Ok(-stats.logprob.iter().map(|&logprob| f64::from(logprob)).sum::<f64>() / tokens.max(1) as f64)
    }

    fn completion(&self, row: &Row) -> Result<Vec<u32>> {
        let mut completion = self.tokenizer.encode(&row.output)?;
        completion.push(self.end_of_text[0]);
        Ok(completion)
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

    /// One step of the optimizer; the gradient's norm before clipping. Without a gradient nothing moves.
    fn step(&mut self, gradients: Option<Gradients>, learning_rate: f64, max_grad_norm: f64) -> Result<f64> {
        let Some(mut gradients) = gradients else { return Ok(0.0) };
        let most = if max_grad_norm > 0.0 { max_grad_norm } else { f64::INFINITY };
        let grad_norm = clip_global_norm(&mut gradients, most)?;
        self.optimizer.update(&mut self.model, &gradients, learning_rate)?;
        Ok(grad_norm)
    }
}

/// One update's figures; several add up.
#[derive(Default)]
struct Whole {
    stats: TokenStats,
    gap: Gap,
    grad_norm: f64,
    figures: Figures,
}

impl Whole {
    fn add(&mut self, other: Whole) {
        self.stats.extend(other.stats);
        // Of one update; of several it is measured apart.
        self.gap = other.gap;
        self.grad_norm += other.grad_norm;
        self.figures.add(&other.figures);
    }
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
