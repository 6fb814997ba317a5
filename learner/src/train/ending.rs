//! When a stage has had enough, beside its number of steps.
//!
//! The papers end stages by eye: AceReason 1.0 and 1.1 by a number of steps, Nemotron-Cascade where the truncated share has
//! fallen to about a tenth. A rule sees what the run's files hold, so that a resumed run ends a stage where the uninterrupted
//! one does.

use serde::{Deserialize, Serialize};

use crate::metrics::{HeldOutAccuracy, StepMetrics};

/// What ends a stage before its last step; the first that holds. Means are over the last ten steps of the stage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Until {
    /// So many looks on end at the held-out accuracy, each at most the best of the stage before them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flat_looks: Option<usize>,
    /// A mean reward of at least so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<f64>,
    /// A mean share of truncated completions of at most so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<f64>,
}

/// Steps that a mean is over.
const WINDOW: usize = 10;

/// What was seen of a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Rewards and truncated shares of the stage under way, with its name.
    stage: String,
    steps: Vec<[f64; 2]>,
    /// Every look's step and accuracy.
    looks: Vec<(u64, f64)>,
}

impl Seen {
    pub(super) fn step(&mut self, line: &StepMetrics) {
        if line.stage != self.stage {
            self.stage.clone_from(&line.stage);
            self.steps.clear();
        }
        self.steps.push([line.reward_mean, line.truncated_fraction]);
    }

    pub(super) fn look(&mut self, line: &HeldOutAccuracy) {
        self.looks.push((line.step, line.accuracy.mean));
    }

    /// Why the stage of that name, which began after step `start`, has had enough, if it has.
    pub(super) fn enough(&self, name: &str, start: u64, until: &Until) -> Option<String> {
        let steps = if self.stage == name { &self.steps[..] } else { &[] };
        let window = steps.len().checked_sub(WINDOW).map(|from| &steps[from..]);
        let mean = |of: usize| Some(window?.iter().map(|step| step[of]).sum::<f64>() / WINDOW as f64);
        if let (Some(goal), Some(mean)) = (until.reward, mean(0))
            && mean >= goal
        {
            return Some(format!("its reward is {mean:.3} in the last {WINDOW} steps"));
        }
        if let (Some(goal), Some(mean)) = (until.truncated, mean(1))
            && mean <= goal
        {
            return Some(format!("{mean:.3} of completions were truncated in the last {WINDOW} steps"));
        }
        let patience = until.flat_looks?;
        let looks: Vec<f64> =
            self.looks.iter().filter(|(step, _)| *step >= start).map(|(_, accuracy)| *accuracy).collect();
        let (before, last) = looks.split_at(looks.len().checked_sub(patience)?);
        let best = before.iter().copied().reduce(f64::max)?;
        let flat = last.iter().all(|accuracy| *accuracy <= best);
        flat.then(|| format!("its held-out accuracy was at most {best:.3} in {patience} looks on end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Interval;
    use crate::metrics::tests::line;

    fn look(step: u64, mean: f64) -> HeldOutAccuracy {
        let accuracy = Interval { n: 100, mean, low: mean, high: mean };
        HeldOutAccuracy { step, accuracy, lenient: None, sources: [].into() }
    }

    /// Ten steps of another stage, then steps of this one with rising rewards and falling truncation.
    fn seen(steps: u64) -> Seen {
        let mut seen = Seen::default();
        for step in 1..=10 {
            seen.step(&StepMetrics { reward_mean: 1.0, truncated_fraction: 0.0, ..line(step) });
        }
        for step in 1..=steps {
            let (reward_mean, truncated_fraction) = (step as f64 / 100.0, 1.0 - step as f64 / 20.0);
            seen.step(&StepMetrics {
                stage: "b".to_owned(),
                reward_mean,
                truncated_fraction,
                ..line(10 + step)
            });
        }
        seen
    }

    #[test]
    fn means_are_of_the_last_steps_of_the_stage_alone() {
        let reward = |goal| Until { reward: Some(goal), ..Until::default() };
        let truncated = |goal| Until { truncated: Some(goal), ..Until::default() };
        // Steps of the stage, the rule, whether it is enough. The mean of ten steps up to the nth is n - 4.5 hundredths.
        let rows = [
            (0, reward(0.01), false),
            (9, reward(0.01), false),
            (10, reward(0.055), true),
            (10, reward(0.056), false),
            (15, reward(0.105), true),
            (9, truncated(1.0), false),
            (14, truncated(0.5), false),
            (15, truncated(0.5), true),
            (15, Until::default(), false),
        ];
        for (steps, until, expected) in rows {
            assert_eq!(seen(steps).enough("b", 10, &until).is_some(), expected, "{steps} {until:?}");
        }
        assert!(seen(0).enough("math-1", 0, &reward(0.9)).is_some());
    }

    #[test]
    fn looks_are_flat_where_none_is_above_the_best_before() {
        let until = Until { flat_looks: Some(2), ..Until::default() };
        let rows: [(&[f64], bool); 7] = [
            (&[], false),
            (&[0.5], false),
            (&[0.5, 0.4], false),
            (&[0.5, 0.4, 0.5], true),
            (&[0.5, 0.4, 0.6], false),
            (&[0.5, 0.6, 0.5], false),
            (&[0.5, 0.6, 0.5, 0.55], true),
        ];
        for (looks, expected) in rows {
            let mut seen = Seen::default();
            // Of the stage before: it does not count.
            seen.look(&look(3, 0.9));
            looks.iter().enumerate().for_each(|(at, mean)| seen.look(&look(10 + at as u64, *mean)));
            assert_eq!(seen.enough("b", 10, &until).is_some(), expected, "{looks:?}");
        }
    }
}
