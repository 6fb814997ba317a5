//! How good is a policy: accuracy on fixed problems, and the paired comparison of two policies on the same ones.

use std::collections::BTreeMap;

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::recipe::Eval;
use crate::reward_client::{Answer, Ask, Grade};
use crate::train::TrainError;

/// Mean reward per problem, of the problems that could be graded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// By question id.
    pub scores: BTreeMap<String, f64>,
}

/// A mean with its 95 % interval (normal, standard error over problems).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How many problems.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Grades a policy's completions of `problems`.
pub fn evaluate(
    policy: &Policy,
    problems: &[Problem],
    settings: &Eval,
    seed: u64,
    grader: &impl Grade,
) -> Result<Evaluation, TrainError> {
    let sampling = settings.sampling(seed, "eval");
    let samples = settings.samples;
    let rollouts = policy.sample(problems, samples, &sampling)?;
    let by_problem = problems.iter().flat_map(|problem| std::iter::repeat_n(problem, samples));
    let asks: Vec<Ask<'_>> = by_problem
        .zip(&rollouts)
        .map(|(problem, rollout)| Ask::completion(problem, &rollout.completion))
        .collect();
    let answers = grader.grade(&asks)?;
    let score = |(problem, answers): (&Problem, &[Answer])| {
        let rewards: Option<Vec<f64>> = answers.iter().map(Answer::reward).collect();
        Some((problem.question_id.clone(), mean(&rewards?)))
    };
    Ok(Evaluation { scores: problems.iter().zip(answers.chunks(samples)).filter_map(score).collect() })
}

impl Evaluation {
    /// Mean over the problems whose id starts with `prefix`; the empty prefix means all.
    pub fn accuracy(&self, prefix: &str) -> Interval {
        interval(&self.values(prefix))
    }

    /// The gain of `after` over `self` on the problems both have, paired by problem.
    pub fn gain(&self, after: &Evaluation, prefix: &str) -> Interval {
        let difference = |(id, before): (&String, &f64)| Some(after.scores.get(id)? - before);
        let both = self.scores.iter().filter(|(id, _)| id.starts_with(prefix));
        interval(&both.filter_map(difference).collect::<Vec<_>>())
    }

    fn values(&self, prefix: &str) -> Vec<f64> {
        self.scores.iter().filter(|(id, _)| id.starts_with(prefix)).map(|(_, score)| *score).collect()
    }
}

/// Two-sided 95 % point of the normal distribution.
const Z_95: f64 = 1.959_964;

fn interval(values: &[f64]) -> Interval {
    let (mean, std) = crate::grpo::mean_std(values);
    let half = Z_95 * std / (values.len().max(1) as f64).sqrt();
    Interval { n: values.len(), mean, low: mean - half, high: mean + half }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(scores: &[f64]) -> Evaluation {
        Evaluation {
            scores: scores.iter().enumerate().map(|(i, score)| (format!("a/{i}"), *score)).collect(),
        }
    }

    #[test]
    fn the_gain_is_paired() {
        // 100 problems, each before and after alternate in step: the difference is 0.5 on half, exactly known.
        let before: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let after = [1.0; 100];
        let gain = evaluation(&before).gain(&evaluation(&after), "");
        assert_eq!((gain.n, gain.mean), (100, 0.5));
        let std = (0.25 * 100.0 / 99.0f64).sqrt();
        assert!((gain.high - gain.mean - Z_95 * std / 10.0).abs() < 1e-9);
        let same = evaluation(&before).gain(&evaluation(&before), "");
        assert_eq!((same.low, same.high), (0.0, 0.0));
    }

    #[test]
    fn problems_that_one_side_lacks_are_left_out() {
        let mut after = evaluation(&[1.0, 1.0, 1.0]);
        after.scores.remove("a/1");
        assert_eq!(evaluation(&[0.0, 0.0, 0.0]).gain(&after, "a/").n, 2);
        assert_eq!(evaluation(&[0.0, 0.0, 0.0]).accuracy("b/").n, 0);
    }
}
