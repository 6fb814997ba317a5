//! `metrics.jsonl`, one line per step of reinforcement learning, `sft-metrics.jsonl`, one per step of supervised
//! fine-tuning, and `held-out.jsonl`, one per look at the held-out problems; the same keys in each line of a file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint;
use crate::diagnosis::Finding;
use crate::eval::Interval;
use crate::temperature::Calibrated;

/// One step of reinforcement learning. Fractions are of the step's rollouts, times are wall seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// Counts from 1 over all stages.
    pub step: u64,
    /// The stage's name in the recipe.
    pub stage: String,
    /// Over the rollouts that got a reward.
    pub reward_mean: f64,
    /// Standard deviation over the same (n - 1).
    pub reward_std: f64,
    /// Temperature-adjusted entropy, nats per completion token.
    pub entropy: f64,
    /// Sampling temperature of this step.
    pub temperature: f64,
    /// Tokens, the end-of-text token included.
    pub completion_length_mean: f64,
    /// Completions cut at the greatest length.
    pub truncated_fraction: f64,
    /// Groups whose rewards were all equal, of all groups.
    pub zero_std_fraction: f64,
    /// Rollouts dropped because nobody could grade them.
    pub infra_error_fraction: f64,
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Of this step's update.
    pub learning_rate: f64,
    /// Mean over tokens of |log pi (sampler) - log pi (trainer)|: 0 but for rounding, since both are one model.
    pub logprob_gap: f64,
    /// Sampling.
    pub seconds_rollout: f64,
    /// Waiting for rewards.
    pub seconds_reward: f64,
    /// Forward, backward and optimizer.
    pub seconds_update: f64,
    /// The loss that was descended. On-policy it says nothing of progress: only its gradient does.
    #[serde(default)]
    pub loss: f64,
    /// Tokens whose ratio was held from below, of those trained on; 0 with one update per step, as the next.
    #[serde(default)]
    pub clip_ratio_low: f64,
    /// Tokens whose ratio was held from above.
    #[serde(default)]
    pub clip_ratio_high: f64,
    /// Divergence from the reference by the recipe's estimate, nats per token; 0 where it has no weight.
    #[serde(default)]
    pub kl: f64,
    /// KL(sampler || trainer), the k3 estimate, nats per token: as `logprob_gap`, but outliers weigh more.
    #[serde(default)]
    pub mismatch_kl: f64,
    /// Greatest |log pi (sampler) - log pi (trainer)| of a token.
    #[serde(default)]
    pub mismatch_max: f64,
    /// Tokens whose mismatch weight was cut or masked, of those trained on.
    #[serde(default)]
    pub corrected_fraction: f64,
    /// Graded completions in which no answer was found, of the graded.
    #[serde(default)]
    pub unreadable_fraction: f64,
    /// Why the step taught nothing, or the run is about to stop learning; mostly empty.
    #[serde(default)]
    pub diagnosis: Vec<Finding>,
    /// Prompts sampled; more than the stage has where groups without a signal were replaced.
    #[serde(default)]
    pub sampled_prompts: u64,
    /// In the first step of a stage whose temperature was calibrated: what came of it.
    #[serde(default)]
    pub calibration: Option<Calibrated>,
    /// Rollouts dropped because their problem cannot be graded by anybody.
    #[serde(default)]
    pub unsupported_fraction: f64,
    /// Tokens of the shortest completion.
    #[serde(default)]
    pub completion_length_min: u64,
    /// Tokens of the longest.
    #[serde(default)]
    pub completion_length_max: u64,
    /// Mean over the completions that were not cut; 0 where all were.
    #[serde(default)]
    pub completion_length_terminated_mean: f64,
    /// Tokens of prompts and completions in this step and all before it.
    #[serde(default)]
    pub num_tokens: u64,
    /// Tokens of prompts and completions by the seconds of the whole step.
    #[serde(default)]
    pub tokens_per_second: f64,
    /// Updates that were not made, because their loss or their gradient's norm was not finite.
    #[serde(default)]
    pub skipped_updates: u64,
    /// From a completion to its reward, waiting for its turn included: the median,
    #[serde(default)]
    pub reward_latency_p50_seconds: f64,
    /// the 95th percentile,
    #[serde(default)]
    pub reward_latency_p95_seconds: f64,
    /// and the longest. Answers come beside the sampling: only `seconds_reward` of it holds the step up.
    #[serde(default)]
    pub reward_latency_max_seconds: f64,
    /// Problems that the stage leaves out from now on, for every rollout of them was right (`drop_solved`).
    #[serde(default)]
    pub solved_problems: u64,
}

impl StepMetrics {
    /// The same step without its timings: what a resumed run must repeat exactly.
    pub fn without_timings(mut self) -> StepMetrics {
        (self.seconds_rollout, self.seconds_reward, self.seconds_update) = (0.0, 0.0, 0.0);
        self.tokens_per_second = 0.0;
        self.reward_latency_p50_seconds = 0.0;
        self.reward_latency_p95_seconds = 0.0;
        self.reward_latency_max_seconds = 0.0;
        self
    }

    /// Wall seconds of the whole step.
    pub fn seconds(&self) -> f64 {
        self.seconds_rollout + self.seconds_reward + self.seconds_update
    }
}

/// One step of supervised fine-tuning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SftMetrics {
    /// Counts from 1.
    pub step: u64,
    /// Cross-entropy, nats per completion token.
    pub loss: f64,
    /// Of this step's update.
    pub learning_rate: f64,
    /// L2 norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Tokens of completions: what was taught.
    pub tokens: u64,
    /// Tokens of prompts and completions in this step and all before it.
    pub num_tokens: u64,
    /// Wall time of the step, without a look at the accuracies.
    pub seconds: f64,
    /// 1 where the update was not made, because its loss or its gradient's norm was not finite.
    pub skipped_updates: u64,
    /// Shares of development problems answered as the rows answer them, by family; empty where nobody looked.
    pub accuracies: BTreeMap<String, f64>,
}

/// Accuracy on the recipe's held-out problems after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOutAccuracy {
    /// Steps done; 0 is the policy that the run began with.
    pub step: u64,
    /// Of all problems, with its 95 % interval.
    pub accuracy: Interval,
    /// Of the math problems, where the last number of a completion counts too, in a box or not.
    #[serde(default)]
    pub lenient: Option<Interval>,
    /// Of each source's.
    pub sources: BTreeMap<String, Interval>,
}

/// Appends to a file of lines.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Opens the file with the lines that `keep` names, as a resumed run writes the others anew. Cut anywhere, the file
    /// is the old one or the new one.
    pub fn open<L: Serialize + DeserializeOwned>(
        path: &Path,
        keep: impl Fn(&L) -> bool,
    ) -> io::Result<Writer> {
        let lines: Vec<L> = if path.exists() { read(path)? } else { Vec::new() };
        let kept: String = lines.iter().filter(|line| keep(line)).map(text).collect::<io::Result<_>>()?;
        checkpoint::put(path, kept.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Writer { path: path.to_owned(), file })
    }

    /// Appends one line; it is in the file when this returns.
    pub fn write<L: Serialize>(&mut self, line: &L) -> io::Result<()> {
        self.file.write_all(text(line)?.as_bytes())
    }

    /// Where the lines go.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn text<L: Serialize>(line: &L) -> io::Result<String> {
    Ok(serde_json::to_string(line).map_err(io::Error::other)? + "\n")
}

/// The lines of a file. A last line without its newline was cut by a crash and is left out.
pub fn read<L: DeserializeOwned>(path: &Path) -> io::Result<Vec<L>> {
    let text = std::fs::read_to_string(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let what = format!("line {} is not a step: {error}; mend it or move the file away", number + 1);
            io::Error::new(io::ErrorKind::InvalidData, what)
        })
    };
    complete.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A line with every figure set from its step.
    pub(crate) fn line(step: u64) -> StepMetrics {
        let x = step as f64;
        StepMetrics {
            step,
            stage: "math-1".to_owned(),
            reward_mean: x / 100.0,
            reward_std: 0.5,
            entropy: 0.3,
            temperature: 0.9,
            completion_length_mean: 6.0,
            truncated_fraction: 0.0,
            zero_std_fraction: 0.25,
            infra_error_fraction: 0.0,
            grad_norm: 1.0,
            learning_rate: 2e-4,
            logprob_gap: 1e-6,
            seconds_rollout: 0.1,
            seconds_reward: 0.2,
            seconds_update: 0.3,
            loss: -1e-3,
            clip_ratio_low: 0.0,
            clip_ratio_high: 0.0,
            kl: 0.0,
            mismatch_kl: 1e-12,
            mismatch_max: 1e-5,
            corrected_fraction: 0.0,
            unreadable_fraction: 0.1,
            diagnosis: Vec::new(),
            sampled_prompts: 64,
            calibration: None,
            unsupported_fraction: 0.0,
            completion_length_min: 4,
            completion_length_max: 8,
            completion_length_terminated_mean: 6.0,
            num_tokens: 4096 * step,
            tokens_per_second: 4096.0 / 0.6,
            skipped_updates: 0,
            reward_latency_p50_seconds: 0.05,
            reward_latency_p95_seconds: 0.15,
            reward_latency_max_seconds: 0.25,
            solved_problems: 0,
        }
    }

    #[test]
    fn the_keys_are_those_of_the_command_line_contract() {
        let keys = "step, stage, reward_mean, reward_std, entropy, temperature, completion_length_mean, \
            truncated_fraction, zero_std_fraction, infra_error_fraction, grad_norm, learning_rate, logprob_gap, \
            seconds_rollout, seconds_reward, seconds_update, loss, clip_ratio_low, clip_ratio_high, kl, mismatch_kl, \
            mismatch_max, corrected_fraction, unreadable_fraction, diagnosis, sampled_prompts, calibration, \
            unsupported_fraction, completion_length_min, completion_length_max, completion_length_terminated_mean, \
            num_tokens, tokens_per_second, skipped_updates, reward_latency_p50_seconds, reward_latency_p95_seconds, \
            reward_latency_max_seconds, solved_problems";
        let value = serde_json::to_value(line(1)).unwrap();
        let written: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(written.join(", "), keys);
    }

    /// A run of before these keys goes on, and is shown.
    #[test]
    fn lines_of_earlier_versions_are_read() {
        let mut value = serde_json::to_value(line(1)).unwrap();
        let keys = value.as_object_mut().unwrap();
        let first = ["step", "stage", "reward_mean", "reward_std", "entropy", "temperature"];
        let second =
            ["completion_length_mean", "truncated_fraction", "zero_std_fraction", "infra_error_fraction"];
        let third = ["grad_norm", "learning_rate", "logprob_gap"];
        let known =
            |key: &str| [&first[..], &second, &third].concat().contains(&key) || key.starts_with("seconds_");
        keys.retain(|key, _| known(key));
        assert_eq!(keys.len(), 16);
        let read: StepMetrics = serde_json::from_value(value).unwrap();
        assert_eq!((read.step, read.num_tokens, read.unsupported_fraction), (1, 0, 0.0));
    }

    #[test]
    fn a_resumed_run_drops_the_steps_it_repeats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let open = |after| Writer::open(&path, |line: &StepMetrics| line.step <= after).unwrap();
        let mut writer = open(0);
        (1..=5).for_each(|step| writer.write(&line(step)).unwrap());
        // A crash in the middle of a line.
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "{\"step\":6,\"sta").unwrap();
        let mut writer = open(3);
        writer.write(&line(4)).unwrap();
        assert_eq!(read::<StepMetrics>(&path).unwrap(), (1..=4).map(line).collect::<Vec<_>>());
    }
}
