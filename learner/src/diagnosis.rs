//! Says in words why a step taught nothing, or is about to stop teaching. Pure: figures of a step in, words out.
//!
//! The rules are few and sure rather than many and clever: each names what was seen and what usually helps. A finding
//! stands in every step of `metrics.jsonl` that shows it; a person is told once per kind.

use serde::{Deserialize, Serialize};

use crate::metrics::StepMetrics;

/// What was found; its name is what stands in `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Nothing was right.
    AllWrong,
    /// Everything was right.
    AllRight,
    /// Within every group all rewards were equal, but not over all.
    AllEqual,
    /// Every completion was cut.
    AllTruncated,
    /// Most answers could not be read at all.
    Unreadable,
    /// Rewards differed, and yet nothing was trained on.
    AllMasked,
    /// Entropy is half of what the stage began with.
    EntropyFalling,
    /// Most rollouts got no reward.
    Ungraded,
    /// Problems were asked that nobody can grade.
    Unsupported,
    /// Sampler and trainer are not the same policy.
    Mismatch,
}

/// Shares from which on a thing is said.
const MOST: f64 = 0.5;
/// Rewards this close to 1 or 0 are all of one kind.
const EXACT: f64 = 1e-9;
/// Steps that a mean of the entropy is over.
const WINDOW: usize = 5;
/// The entropy's fall that is said.
const FALLEN_TO: f64 = 0.5;
/// KL(sampler || trainer) from which on NeMo RL's guides call a run off-policy, nats per token.
const MISMATCH_KL: f64 = 1e-3;

impl Finding {
    /// What was seen, and what usually helps.
    pub fn words(self, line: &StepMetrics) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        match self {
            Finding::AllWrong => format!(
                "every reward was 0, so there was nothing to compare; take easier prompts or more SFT, and look whether \
                 right answers are read ({} of the answers were not)",
                percent(line.unreadable_fraction)
            ),
            Finding::AllRight => {
                "every rollout was right, so there was nothing left to learn; take harder prompts \
                (`assay-train data filter` drops the solved ones)"
                    .to_owned()
            }
            Finding::AllEqual => {
                "in each group all rewards were equal, so there was nothing to compare; take prompts \
                that are neither always nor never solved, or more rollouts"
                    .to_owned()
            }
            Finding::AllTruncated => format!(
                "every completion was cut at the greatest length (mean {:.0} tokens); raise max_completion_length, or see \
                 why the policy does not end its text",
                line.completion_length_mean
            ),
            Finding::Unreadable => format!(
                "{} of the answers could not be read (no box, no code block); teach the format by SFT, or name it in \
                 the prompt",
                percent(line.unreadable_fraction)
            ),
            Finding::AllMasked => format!(
                "rewards differed, but everything that could teach was masked ({} were cut); raise \
                 max_completion_length, or take another `overlong`",
                percent(line.truncated_fraction)
            ),
            Finding::EntropyFalling => format!(
                "entropy fell to {:.3}, half of what the stage began with: exploration is dying; raise the temperature \
                 (mode servo does), lower the learning rate, or end the stage",
                line.entropy
            ),
            Finding::Ungraded => format!(
                "{} of the rollouts got no reward because nobody could grade them; see to the verifier",
                percent(line.infra_error_fraction)
            ),
            Finding::Unsupported => format!(
                "{:.1} % of the rollouts answer problems that cannot be graded, so they are sampled for nothing; look for \
                 verdicts of `unsupported` in rollouts/, which say why, and take these problems out of the source",
                100.0 * line.unsupported_fraction
            ),
            Finding::Mismatch => format!(
                "the sampler's probabilities are not the trainer's (KL {:.1e}, at most {:.2} on a token); the update is \
                 off-policy: set loss.mismatch, and report it, as here both are one model",
                line.mismatch_kl, line.mismatch_max
            ),
        }
    }
}

/// Follows a run; what it says hangs only on the steps it was shown, so a resumed run says the same.
#[derive(Debug, Default)]
pub struct Watch {
    stage: String,
    /// Entropies of the stage's first steps, and of its last.
    first: Vec<f64>,
    last: Vec<f64>,
}

impl Watch {
    /// What is to be said of a step, in the order of [`Finding`].
    pub fn see(&mut self, line: &StepMetrics) -> Vec<Finding> {
        self.remember(line);
        let equal = line.zero_std_fraction == 1.0;
        let (wrong, right) = (line.reward_mean.abs() < EXACT, (line.reward_mean - 1.0).abs() < EXACT);
        let rules = [
            (Finding::AllWrong, equal && wrong),
            (Finding::AllRight, equal && right),
            (Finding::AllEqual, equal && !wrong && !right),
            (Finding::AllTruncated, line.truncated_fraction == 1.0),
            (Finding::Unreadable, line.unreadable_fraction > MOST),
            (Finding::AllMasked, !equal && line.grad_norm == 0.0 && line.skipped_updates == 0),
            (Finding::EntropyFalling, self.is_falling()),
            (Finding::Ungraded, line.infra_error_fraction > MOST),
            // However few they are: it is the data that says so, and will again.
            (Finding::Unsupported, line.unsupported_fraction > 0.0),
            (Finding::Mismatch, line.mismatch_kl > MISMATCH_KL),
        ];
        rules.into_iter().filter_map(|(finding, holds)| holds.then_some(finding)).collect()
    }

    fn remember(&mut self, line: &StepMetrics) {
        if self.stage != line.stage {
            *self = Watch { stage: line.stage.clone(), ..Watch::default() };
        }
        if self.first.len() < WINDOW {
            self.first.push(line.entropy);
            return;
        }
        if self.last.len() == WINDOW {
            self.last.remove(0);
        }
        self.last.push(line.entropy);
    }

    fn is_falling(&self) -> bool {
        let sum = |values: &[f64]| values.iter().sum::<f64>();
        self.last.len() == WINDOW && sum(&self.last) < FALLEN_TO * sum(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::tests::line;

    /// A change to the figures of a step that teaches.
    type Change = fn(&mut StepMetrics);

    #[test]
    fn figures_to_words() {
        let rows: [(Change, &[(Finding, &str)]); 12] = [
            (|_| (), &[]),
            (
                |line| {
                    (line.zero_std_fraction, line.reward_mean, line.unreadable_fraction) = (1.0, 0.0, 0.25)
                },
                &[(
                    Finding::AllWrong,
                    "every reward was 0, so there was nothing to compare; take easier prompts",
                )],
            ),
            (
                |line| (line.zero_std_fraction, line.reward_mean) = (1.0, 1.0),
                &[(Finding::AllRight, "every rollout was right, so there was nothing left to learn")],
            ),
            (
                |line| (line.zero_std_fraction, line.reward_mean) = (1.0, 0.25),
                &[(Finding::AllEqual, "in each group all rewards were equal")],
            ),
            // Some groups teach, so the others are no trouble.
            (|line| (line.zero_std_fraction, line.reward_mean) = (0.9, 0.0), &[]),
            (
                |line| (line.truncated_fraction, line.completion_length_mean) = (1.0, 8192.0),
                &[(
                    Finding::AllTruncated,
                    "cut at the greatest length (mean 8192 tokens); raise max_completion_length",
                )],
            ),
            (
                |line| line.unreadable_fraction = 0.8,
                &[(Finding::Unreadable, "80 % of the answers could not be read (no box, no code block)")],
            ),
            (
                |line| (line.grad_norm, line.truncated_fraction) = (0.0, 0.75),
                &[(Finding::AllMasked, "everything that could teach was masked (75 % were cut)")],
            ),
            (
                |line| line.infra_error_fraction = 0.6,
                &[(Finding::Ungraded, "60 % of the rollouts got no reward")],
            ),
            (
                |line| line.unsupported_fraction = 0.015625,
                &[(Finding::Unsupported, "1.6 % of the rollouts answer problems that cannot be graded")],
            ),
            (
                |line| (line.mismatch_kl, line.mismatch_max) = (0.02, 1.5),
                &[(Finding::Mismatch, "not the trainer's (KL 2.0e-2, at most 1.50 on a token)")],
            ),
            // Two at once: both are said.
            (
                |line| {
                    (line.zero_std_fraction, line.reward_mean) = (1.0, 0.0);
                    (line.truncated_fraction, line.unreadable_fraction) = (1.0, 1.0);
                },
                &[
                    (Finding::AllWrong, "(100 % of the answers were not)"),
                    (Finding::AllTruncated, "every completion was cut"),
                    (Finding::Unreadable, "100 % of the answers"),
                ],
            ),
        ];
        for (change, expected) in rows {
            let mut line = line(7);
            change(&mut line);
            let found = Watch::default().see(&line);
            assert_eq!(found, expected.iter().map(|(finding, _)| *finding).collect::<Vec<_>>());
            for (finding, words) in expected {
                let said = finding.words(&line);
                assert!(said.contains(words), "{said}");
                assert!(!said.contains("  ") && !said.contains('\n'), "{said}");
            }
        }
    }

    /// Entropies of a stage, and from which step on they are said to fall.
    #[test]
    fn falling_entropy_is_measured_against_the_stages_own_start() {
        type Entropy = fn(u64) -> f64;
        let falling: Entropy = |step| if step <= 5 { 0.3 } else { 0.3 - 0.029 * (step - 5) as f64 };
        let rows: [(Entropy, Option<u64>); 3] = [
            (|_| 0.3, None),
            // A dip of one step is noise.
            (|step| if step == 8 { 0.0 } else { 0.3 }, None),
            // Steps 8 to 12 have a mean of 0.155, 9 to 13 of 0.126.
            (|step| if step <= 5 { 0.3 } else { 0.3 - 0.029 * (step - 5) as f64 }, Some(13)),
        ];
        for (entropy, expected) in rows {
            let mut watch = Watch::default();
            let first = (1..=14).find(|&step| {
                let line = StepMetrics { entropy: entropy(step), ..line(step) };
                !watch.see(&line).is_empty()
            });
            assert_eq!(first, expected);
        }
        // The next stage begins anew, however low.
        let mut watch = Watch::default();
        let mut see = |step: u64, stage: &str, entropy: f64| {
            watch.see(&StepMetrics { entropy, stage: stage.to_owned(), ..line(step) })
        };
        assert!((1..=13).any(|step| see(step, "one", falling(step)) == [Finding::EntropyFalling]));
        assert!((14..=30).all(|step| see(step, "two", 0.06).is_empty()));
    }
}
