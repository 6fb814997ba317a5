//! From rewards to advantages.

use serde::{Deserialize, Serialize};

/// Added to a standard deviation, as veRL (the framework of the paper) does.
pub const STD_EPSILON: f64 = 1e-6;

/// What a reward is compared with, and by what the difference is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advantage {
    /// Its group's mean, divided by its group's standard deviation (GRPO; the paper).
    #[default]
    GroupStd,
    /// Its group's mean alone (Dr.GRPO: no prompt weighs more because its rewards differ less).
    GroupMean,
    /// Its group's mean, divided by the standard deviation of all rewards of the batch (REINFORCE++ with a baseline).
    BatchStd,
    /// The mean of the *others* of its group (RLOO): n / (n - 1) times `GroupMean`.
    LeaveOneOut,
}

/// The advantages of a batch of groups, in order.
///
/// Standard deviations divide by `n - 1`. Equal rewards, and a group of fewer than two, teach nothing: their
/// advantages are exactly 0.
pub fn advantages(groups: &[Vec<f64>], kind: Advantage) -> Vec<Vec<f64>> {
    let of_batch = match kind {
        Advantage::BatchStd => mean_std(&groups.concat()).1,
        _ => 0.0,
    };
    groups.iter().map(|rewards| of_group(rewards, kind, of_batch)).collect()
}

fn of_group(rewards: &[f64], kind: Advantage, batch_std: f64) -> Vec<f64> {
    if is_zero_std(rewards) {
        return vec![0.0; rewards.len()];
    }
    let (mean, std) = mean_std(rewards);
    let (count, others) = (rewards.len() as f64, (rewards.len() - 1) as f64);
    let advantage = |reward: &f64| match kind {
        Advantage::GroupStd => (reward - mean) / (std + STD_EPSILON),
        Advantage::GroupMean => reward - mean,
        Advantage::BatchStd => (reward - mean) / (batch_std + STD_EPSILON),
        Advantage::LeaveOneOut => reward - (mean * count - reward) / others,
    };
    rewards.iter().map(advantage).collect()
}

/// Whether a group carries no signal: fewer than two rewards, or all equal.
pub fn is_zero_std(rewards: &[f64]) -> bool {
    rewards.len() < 2 || rewards.windows(2).all(|pair| pair[0] == pair[1])
}

/// Mean and sample standard deviation (`n - 1`); 0 where there are too few values to say.
pub fn mean_std(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (values.len() - 1) as f64).sqrt())
}
