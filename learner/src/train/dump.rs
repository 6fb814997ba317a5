//! Some of a step's rollouts as they were graded, for people to read: `rollouts/step-000012.jsonl`, a rollout a line.
//!
//! They are spread evenly over the prompts of the step, those without a reward among them. The recipe's `[dump]` says how
//! many, and of how many steps the files stay.

use std::path::{Path, PathBuf};

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::reward_client::Answer;
use crate::rollout::{FinishReason, Rollout};

/// The directory of the files in a run's directory.
pub const DIRECTORY: &str = "rollouts";

/// A rollout and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dumped {
    /// The problem.
    pub question_id: String,
    /// What it asks, before the chat template.
    pub prompt: String,
    /// What the policy wrote, without special tokens.
    pub completion: String,
    /// How many tokens that took.
    pub tokens: usize,
    /// Whether it was cut at the greatest length.
    pub truncated: bool,
    /// What it earned; none where nobody could grade it.
    pub reward: Option<f64>,
    /// The verifier's verdict, or why there is none.
    pub verdict: String,
}

/// `count` of the rollouts of `problems`, `each` of each, with their answers.
pub(super) fn choose(
    problems: &[&Problem],
    rollouts: &[Rollout],
    answers: &[Answer],
    count: usize,
) -> Vec<Dumped> {
    let count = count.min(rollouts.len());
    let dumped = |at: usize| {
        let (rollout, answer) = (&rollouts[at], &answers[at]);
        let verdict = match answer {
            Answer::Graded { verdict, .. } => verdict.clone(),
            Answer::Unsupported(reason) => format!("unsupported: {reason}"),
            Answer::InfraError(reason) => format!("infra_error: {reason}"),
        };
        Dumped {
            question_id: rollout.question_id.clone(),
            prompt: problems[at].prompt.clone(),
            completion: rollout.completion.clone(),
            tokens: rollout.completion_ids.len(),
            truncated: rollout.finish_reason == FinishReason::Length,
            reward: answer.reward(),
            verdict,
        }
    };
    (0..count).map(|index| dumped(index * rollouts.len() / count)).collect()
}

/// Writes a step's file and removes the oldest beyond `keep`.
pub(super) fn write(out: &Path, step: u64, dumped: &[Dumped], keep: usize) -> std::io::Result<()> {
    let directory = out.join(DIRECTORY);
    if keep > 0 && !dumped.is_empty() {
        std::fs::create_dir_all(&directory)?;
        let line = |one: &Dumped| Ok(serde_json::to_string(one).map_err(std::io::Error::other)? + "\n");
        let text: String = dumped.iter().map(line).collect::<std::io::Result<_>>()?;
        checkpoint::put(&file(out, step), text.as_bytes())?;
    }
    let steps = steps(out);
    let too_many = steps.len().saturating_sub(keep);
    steps[..too_many].iter().try_for_each(|step| std::fs::remove_file(file(out, *step)))
}

/// A step's file.
pub(crate) fn file(out: &Path, step: u64) -> PathBuf {
    out.join(DIRECTORY).join(format!("step-{step:06}.jsonl"))
}

/// The steps whose files are there, rising.
pub(crate) fn steps(out: &Path) -> Vec<u64> {
    let step = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.strip_prefix("step-")?.strip_suffix(".jsonl")?.parse().ok()
    };
    let entries = std::fs::read_dir(out.join(DIRECTORY));
    let mut steps: Vec<u64> = entries.into_iter().flatten().filter_map(step).collect();
    steps.sort_unstable();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_of_the_rollouts_of_the_newest_steps_stay() {
        let out = tempfile::tempdir().unwrap();
        let rollout = |n: usize| Rollout {
            question_id: format!("q{}", n / 2),
            prompt_ids: vec![1],
            completion_ids: vec![2; n + 1],
            logprobs: vec![-0.5; n + 1],
            finish_reason: if n == 3 { FinishReason::Length } else { FinishReason::Stop },
            completion: format!("\"{n}\"\n"),
        };
        let question = crate::tasks::Family::Arithmetic
            .question(crate::tasks::Split::Train, &mut crate::data::stream(1, "test", 0))
            .problem;
        let rollouts: Vec<Rollout> = (0..6).map(rollout).collect();
        let graded = |reward| Answer::Graded { reward, verdict: "accepted".to_owned() };
        let mut answers = vec![graded(1.0); 6];
        answers[3] = Answer::InfraError("gone".to_owned());
        let chosen = choose(&[&question; 6], &rollouts, &answers, 2);
        assert_eq!(chosen.iter().map(|one| one.tokens).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(
            (chosen[0].reward, chosen[0].truncated, chosen[0].prompt == question.prompt),
            (Some(1.0), false, true)
        );
        assert_eq!(
            (chosen[1].reward, chosen[1].truncated, chosen[1].verdict.as_str()),
            (None, true, "infra_error: gone")
        );
        assert_eq!(choose(&[&question; 6], &rollouts, &answers, 9).len(), 6);

        (8..12).for_each(|step| write(out.path(), step, &chosen, 3).unwrap());
        assert_eq!(steps(out.path()), [9, 10, 11]);
        assert_eq!(crate::metrics::read::<Dumped>(&file(out.path(), 11)).unwrap(), chosen);
        write(out.path(), 12, &chosen, 0).unwrap();
        assert!(steps(out.path()).is_empty());
    }
}
