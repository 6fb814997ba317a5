//! Rollouts with their rewards: what a step learns from.
//!
//! One batch of prompts, or with `zero_variance = "refill"` (DAPO's dynamic sampling) more: groups whose rewards are
//! all equal are replaced by those of other prompts, as many as the share of useful groups so far lets expect, until
//! there are as many as a step has prompts, or `max_batches` batches' worth of prompts were tried. What was sampled in
//! vain still stands in the step's figures.

use std::time::Instant;

use assay_testsets::Problem;
use rand::seq::SliceRandom as _;

use super::dump::{self, Dumped};
use super::{TrainError, Trainer};
use crate::data::stream;
use crate::grpo::{self, ZeroVariance};
use crate::interrupt::interrupted;
use crate::recipe::Stage;
use crate::reward_client::{Answer, Grade};
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
    /// Some of the first batch, for people.
    pub(super) dumped: Vec<Dumped>,
    pub(super) seconds_rollout: f64,
    pub(super) seconds_reward: f64,
    rollouts: usize,
    tokens: usize,
    truncated: usize,
    infra_errors: usize,
    graded: usize,
    unreadable: usize,
}

impl Collected {
    /// Rollouts come prompt by prompt, `size` of each.
    pub(super) fn add(&mut self, rollouts: Vec<Rollout>, answers: &[Answer], size: usize) {
        self.rollouts += rollouts.len();
        for rollout in &rollouts {
            self.tokens += rollout.completion_ids.len();
            self.truncated += usize::from(rollout.finish_reason == FinishReason::Length);
        }
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
                Answer::Unsupported(reason) => self.reason.clone_from(reason),
            }
        }
        let rewards: Vec<Option<f64>> = answers.iter().map(Answer::reward).collect();
        let mut rollouts = rollouts.into_iter();
        let group = |rewards| Group::new(rollouts.by_ref().take(size).collect(), rewards);
        self.groups.extend(rewards.chunks(size).map(group));
    }

    pub(super) fn completion_length_mean(&self) -> f64 {
        share(self.tokens, self.rollouts)
    }

    pub(super) fn truncated_fraction(&self) -> f64 {
        share(self.truncated, self.rollouts)
    }

    pub(super) fn infra_error_fraction(&self) -> f64 {
        share(self.infra_errors, self.rollouts)
    }

    pub(super) fn unreadable_fraction(&self) -> f64 {
        share(self.unreadable, self.graded)
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
        let mut collected = Collected::default();
        for round in 0..MOST_ROUNDS {
            let missing = collected.missing(stage);
            if missing == 0 {
                break;
            }
            let mut started = Instant::now();
            let (purpose, at) =
                if round == 0 { ("rollouts", step) } else { ("refill", step * MOST_ROUNDS + round) };
            let problems = self.problems(stage, step, round, missing);
            let sampling = self.sampling(stage, temperature, purpose, at);
            let each = stage.rollouts;
            let by_prompt: Vec<&Problem> =
                problems.iter().flat_map(|problem| std::iter::repeat_n(problem, each)).collect();
            // Grading goes on beside the sampling; what is left of it then is waited for.
            let (rollouts, answers) =
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
                collected.dumped = dump::choose(&by_prompt, &rollouts, &answers, count);
            }
            let answered = answers.iter().any(|answer| answer.reward().is_some());
            collected.add(rollouts, &answers, stage.rollouts);
            if !answered {
                // More prompts would not bring the verifier back.
                break;
            }
        }
        Ok(collected)
    }

    /// The stage's prompts of a step; in later rounds some of a fresh mix, in an order of its own, so that no source
    /// is preferred.
    fn problems(&self, stage: &Stage, step: u64, round: u64, count: usize) -> Vec<Problem> {
        let seed = self.recipe.seed;
        if round == 0 {
            return self.sources.draw(&stage.prompts, &mut stream(seed, "prompts", step));
        }
        let mut rng = stream(seed, "refill prompts", step * MOST_ROUNDS + round);
        let mut problems = self.sources.draw(&stage.prompts, &mut rng);
        problems.shuffle(&mut rng);
        problems.truncate(count);
        problems
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
            collected.add(vec![rollout(), rollout()], &[answer(0.0), answer(second)], 2);
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
}
