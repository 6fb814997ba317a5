//! Rollouts with their rewards: what a step learns from.
//!
//! One batch of prompts, or with `zero_variance = "refill"` (DAPO's dynamic sampling) more: groups whose rewards are
//! all equal are replaced by those of other prompts, as many as the share of useful groups so far lets expect, until
//! there are as many as a step has prompts, or `max_batches` batches' worth of prompts were tried. What was sampled in
//! vain still stands in the step's figures.

use std::time::{Duration, Instant};

use assay_testsets::Problem;
use rand::seq::SliceRandom as _;

use super::dump::{self, Dumped};
use super::{TrainError, Trainer};
use crate::data::{Drawn, Hand, stream};
use crate::grpo::{self, ZeroVariance};
use crate::interrupt::interrupted;
use crate::recipe::Stage;
use crate::reward_client::{Answer, Answered, Grade};
use crate::rollout::{FinishReason, Group, Rollout};

/// The verifier's verdict where there was no box, or no code block.
const NO_ANSWER: &str = "no_answer";
/// Draws of different rounds of a step are independent; a recipe has at most so many.
const MOST_ROUNDS: u64 = 1 << 20;

/// What was sampled for a step, and counts over all of it, dropped rollouts included.
#[derive(Debug, Default)]
pub(super) struct Collected {
    /// Every prompt's graded rollouts, in the order they were drawn.
    pub(super) groups: Vec<Group>,
    /// Why the last rollout without a reward has none.
    pub(super) reason: String,
    /// Where the next step's prompts begin.
    pub(super) drawn: Drawn,
    /// Some of the first batch, for people.
    pub(super) dumped: Vec<Dumped>,
    pub(super) seconds_rollout: f64,
    pub(super) seconds_reward: f64,
    /// How long each answer took.
    latencies: Vec<Duration>,
    /// Tokens of each completion, and why it ended.
    completions: Vec<(usize, FinishReason)>,
    prompt_tokens: usize,
    infra_errors: usize,
    unsupported: usize,
    graded: usize,
    unreadable: usize,
}

impl Collected {
    /// Rollouts come prompt by prompt, `size` of each.
    pub(super) fn add(&mut self, rollouts: Vec<Rollout>, answered: &Answered, size: usize) {
        let Answered { answers, latencies } = answered;
        self.latencies.extend(latencies);
        let completion = |rollout: &Rollout| (rollout.completion_ids.len(), rollout.finish_reason);
        self.completions.extend(rollouts.iter().map(completion));
        self.prompt_tokens += rollouts.iter().map(|rollout| rollout.prompt_ids.len()).sum::<usize>();
        for answer in answers {
            match answer {
                Answer::Graded { verdict, .. } => {
                    self.graded += 1;
                    self.unreadable += usize::from(verdict == NO_ANSWER);
                }
                Answer::InfraError(reason) => {
                    self.infra_errors += 1;
                    self.reason.clone_from(reason);
                }
                Answer::Unsupported(reason) => {
                    self.unsupported += 1;
                    self.reason.clone_from(reason);
                }
            }
        }
        let rewards: Vec<Option<f64>> = answers.iter().map(Answer::reward).collect();
        let mut rollouts = rollouts.into_iter();
        let group = |rewards| Group::new(rollouts.by_ref().take(size).collect(), rewards);
        self.groups.extend(rewards.chunks(size).map(group));
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.completions.iter().map(|(tokens, _)| *tokens)
    }

    /// Tokens of the completions that were not cut.
    fn terminated(&self) -> impl Iterator<Item = usize> {
        let ended = self.completions.iter().filter(|(_, why)| *why == FinishReason::Stop);
        ended.map(|(tokens, _)| *tokens)
    }

    pub(super) fn completion_length_mean(&self) -> f64 {
        share(self.lengths().sum(), self.completions.len())
    }

    pub(super) fn completion_length_min(&self) -> u64 {
        self.lengths().min().unwrap_or(0) as u64
    }

    pub(super) fn completion_length_max(&self) -> u64 {
        self.lengths().max().unwrap_or(0) as u64
    }

    pub(super) fn completion_length_terminated_mean(&self) -> f64 {
        share(self.terminated().sum(), self.terminated().count())
    }

    /// Tokens of all completions, and of the prompt of each.
    pub(super) fn tokens(&self) -> u64 {
        (self.prompt_tokens + self.lengths().sum::<usize>()) as u64
    }

    pub(super) fn truncated_fraction(&self) -> f64 {
        share(self.completions.len() - self.terminated().count(), self.completions.len())
    }

    pub(super) fn infra_error_fraction(&self) -> f64 {
        share(self.infra_errors, self.completions.len())
    }

    pub(super) fn unsupported_fraction(&self) -> f64 {
        share(self.unsupported, self.completions.len())
    }

    pub(super) fn unreadable_fraction(&self) -> f64 {
        share(self.unreadable, self.graded)
    }

    /// Seconds from a completion to its reward, of this share of the completions at most; 0 where none was asked about.
    pub(super) fn reward_latency(&self, share: f64) -> f64 {
        let mut sorted: Vec<f64> = self.latencies.iter().map(Duration::as_secs_f64).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
    }

    /// Groups that a step learns from: all, or by `refill` the first `wanted` with a signal. Where none has one, all
    /// of them, so that there is something to measure.
    pub(super) fn useful(&self, stage: &Stage) -> Vec<&Group> {
        let all = || self.groups.iter();
        if stage.loss.zero_variance != ZeroVariance::Refill {
            return all().collect();
        }
        let signal: Vec<&Group> = all().filter(|group| grpo::has_signal(group, stage)).collect();
        match signal.is_empty() {
            true => all().collect(),
            false => signal.into_iter().take(stage.prompts_per_step()).collect(),
        }
    }

    /// How many prompts to draw next; 0, and there is enough.
    fn missing(&self, stage: &Stage) -> usize {
        let wanted = stage.prompts_per_step();
        if self.groups.is_empty() {
            return wanted;
        }
        if stage.loss.zero_variance != ZeroVariance::Refill {
            return 0;
        }
        let useful = self.groups.iter().filter(|group| grpo::has_signal(group, stage)).count();
        let left = (wanted * stage.loss.max_batches).saturating_sub(self.groups.len());
        let missing = wanted.saturating_sub(useful);
        let expected = (missing * self.groups.len()).div_ceil(useful.max(1));
        if missing == 0 { 0 } else { expected.min(wanted).min(left) }
    }
}

fn share(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}

impl<G: Grade> Trainer<'_, G> {
    /// Samples and grades what a step learns from.
    pub(super) fn collect(
        &self,
        stage: &Stage,
        temperature: f64,
        step: u64,
    ) -> Result<Collected, TrainError> {
        let mut hand = self.sources.hand(self.recipe.seed, &self.state.solved);
        let mut collected = Collected { drawn: self.state.drawn.clone(), ..Collected::default() };
        for round in 0..MOST_ROUNDS {
            let missing = collected.missing(stage);
            if missing == 0 {
                break;
            }
            let mut started = Instant::now();
            let (purpose, at) =
                if round == 0 { ("rollouts", step) } else { ("refill", step * MOST_ROUNDS + round) };
            let problems = match round {
                0 => self.first(&mut hand, &mut collected.drawn, stage, step),
                _ => self.others(&mut hand, stage, step * MOST_ROUNDS + round, missing),
            };
            let sampling = self.sampling(stage, temperature, purpose, at);
            let each = stage.rollouts;
            let by_prompt: Vec<&Problem> =
                problems.iter().flat_map(|problem| std::iter::repeat_n(problem, each)).collect();
            // Grading goes on beside the sampling; what is left of it then is waited for.
            let (rollouts, answered) =
                self.grader.grade_while(&by_prompt, |say| -> Result<_, TrainError> {
                    let rollouts = self.policy.sample_each(&problems, each, &sampling, say)?;
                    collected.seconds_rollout += started.elapsed().as_secs_f64();
                    started = Instant::now();
                    Ok(rollouts)
                })?;
            collected.seconds_reward += started.elapsed().as_secs_f64();
            if interrupted() {
                // The verifier got the signal too; what it left unanswered must not shape an update.
                return Err(self.stopped());
            }
            if round == 0 {
                let count = self.recipe.dump.rollouts;
                collected.dumped = dump::choose(&by_prompt, &rollouts, &answered.answers, count);
            }
            let none = answered.answers.iter().all(|answer| answer.reward().is_none());
            collected.add(rollouts, &answered, stage.rollouts);
            if none {
                // More prompts would not bring the verifier back.
                break;
            }
        }
        Ok(collected)
    }

    /// The stage's prompts of a step.
    fn first(&self, hand: &mut Hand<'_>, drawn: &mut Drawn, stage: &Stage, step: u64) -> Vec<Problem> {
        hand.next(&stage.prompts, drawn, &mut stream(self.recipe.seed, "prompts", step))
    }

    /// In later rounds others of some of the stage's mix, chosen at random, so that no source is preferred.
    fn others(&self, hand: &mut Hand<'_>, stage: &Stage, at: u64, count: usize) -> Vec<Problem> {
        let mut rng = stream(self.recipe.seed, "refill prompts", at);
        let mut mix: Vec<&String> = stage.mix().collect();
        mix.shuffle(&mut rng);
        mix.truncate(count);
        hand.others(mix, &mut rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn stage(max_batches: usize) -> Stage {
        let text = format!(
            "[model]\n[[rl]]\nname = 'm'\nprompts = {{ arithmetic = 8 }}\nrollouts = 2\nsteps = 2\n\
             max_completion_length = 8\nlearning_rate = 1e-4\n\
             loss = {{ zero_variance = 'refill', max_batches = {max_batches} }}\n"
        );
        Recipe::parse("r.toml", &text).unwrap().rl.remove(0)
    }

    /// `useful` groups that teach and `other` that do not.
    fn collected(useful: usize, other: usize) -> Collected {
        let mut collected = Collected::default();
        let rollout = || Rollout {
            question_id: String::new(),
            prompt_ids: vec![1],
            completion_ids: vec![2],
            logprobs: vec![-0.5],
            finish_reason: FinishReason::Stop,
            completion: String::new(),
        };
        let answer = |reward| Answer::Graded { reward, verdict: NO_ANSWER.to_owned() };
        for index in 0..useful + other {
            let second = if index < useful { 1.0 } else { 0.0 };
            let answers = vec![answer(0.0), answer(second)];
            collected.add(vec![rollout(), rollout()], &Answered { answers, ..Answered::default() }, 2);
        }
        collected
    }

    /// Eight prompts a step: useful groups, others, batches allowed -> prompts drawn next.
    #[test]
    fn what_is_missing_is_drawn_by_the_share_that_was_useful() {
        let rows = [
            (0, 0, 10, 8),
            (8, 0, 10, 0),
            (4, 4, 10, 8),
            (6, 2, 10, 3),
            (7, 9, 10, 3),
            // None useful: a whole batch.
            (0, 8, 10, 8),
            // The bound: 16 prompts in all, then none.
            (6, 8, 2, 2),
            (6, 10, 2, 0),
        ];
        for (useful, other, most, next) in rows {
            assert_eq!(collected(useful, other).missing(&stage(most)), next, "{useful} {other} {most}");
        }
        let keep = Stage { loss: grpo::Loss::default(), ..stage(1) };
        assert_eq!(collected(0, 8).missing(&keep), 0);
    }

    #[test]
    fn a_step_learns_from_as_many_groups_as_it_has_prompts() {
        for (useful, other, learned) in [(3, 5, 3), (11, 2, 8), (0, 4, 4)] {
            assert_eq!(collected(useful, other).useful(&stage(2)).len(), learned, "{useful} {other}");
        }
        assert_eq!(collected(2, 2).unreadable_fraction(), 1.0);
    }

    #[test]
    fn what_was_sampled_is_counted_whatever_came_of_it() {
        let rollout = |tokens: usize, finish_reason| Rollout {
            question_id: String::new(),
            prompt_ids: vec![1; 3],
            completion_ids: vec![2; tokens],
            logprobs: vec![-0.5; tokens],
            finish_reason,
            completion: String::new(),
        };
        let rollouts = [(2, FinishReason::Stop), (6, FinishReason::Stop), (8, FinishReason::Length)];
        let mut rollouts: Vec<Rollout> = rollouts.map(|(tokens, why)| rollout(tokens, why)).into();
        rollouts.push(rollouts[2].clone());
        let answers = vec![
            Answer::Graded { reward: 1.0, verdict: "accepted".to_owned() },
            Answer::InfraError("gone".to_owned()),
            Answer::Unsupported("no tests".to_owned()),
            Answer::Unsupported("no tests".to_owned()),
        ];
        let mut all = Collected::default();
        let latencies = [5, 1, 9, 3].map(Duration::from_secs).into();
        all.add(rollouts, &Answered { answers, latencies }, 4);
        assert_eq!(
            [0.0, 0.25, 0.5, 0.95, 1.0].map(|share| all.reward_latency(share)),
            [1.0, 1.0, 3.0, 9.0, 9.0]
        );
        assert_eq!((all.infra_error_fraction(), all.unsupported_fraction()), (0.25, 0.5));
        assert_eq!((all.completion_length_min(), all.completion_length_max()), (2, 8));
        assert_eq!((all.completion_length_mean(), all.completion_length_terminated_mean()), (6.0, 4.0));
        assert_eq!((all.truncated_fraction(), all.tokens()), (0.5, 4 * 3 + 24));
        let none = Collected::default();
        assert_eq!(none.reward_latency(0.5), 0.0);
        assert_eq!((none.completion_length_min(), none.completion_length_terminated_mean()), (0, 0.0));
    }
}
