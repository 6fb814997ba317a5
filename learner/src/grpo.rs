//! GRPO as the paper runs it: strictly on-policy, one update per batch of rollouts, token-mean loss.
//!
//! With one gradient step per batch the importance ratio is 1 and no clip is ever active, the KL and entropy
//! coefficients are 0, so the objective (AceReason-Nemotron 1.0, eq. 3 and 4; 1.1 the same) is REINFORCE with
//! a group baseline:
//!
//! ```text
//! A_i = (r_i - mean(r)) / (std(r) + 1e-6)         over the rollouts of one prompt, std with n - 1
//! L   = -1/N * sum_i A_i * sum_t log pi_T(o_it)   N = all completion tokens of the batch
//! ```
//!
//! `log pi_T` is the log-probability under softmax(z/T), the distribution the rollouts were drawn from.
//! Everything here is a pure function of numbers.

/// Added to the standard deviation, as veRL (the framework of the paper) does.
pub const STD_EPSILON: f64 = 1e-6;

/// Group-normalised advantages, one per reward, in order.
///
/// The standard deviation divides by `n - 1`. Equal rewards, and a group of fewer than two, teach nothing:
/// their advantages are exactly 0.
pub fn advantages(rewards: &[f64]) -> Vec<f64> {
    if is_zero_std(rewards) {
        return vec![0.0; rewards.len()];
    }
    let (mean, std) = mean_std(rewards);
    rewards.iter().map(|reward| (reward - mean) / (std + STD_EPSILON)).collect()
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

/// The loss per token's log-probability, dL/dlog pi: `-A_i / N` on each token of completion `i`.
///
/// `masked[i]` takes completion `i` out of the loss (overlong filter) but not out of `N`'s definition: its
/// tokens are not counted, since they are not trained on. The result is one number per completion; all its
/// tokens share it.
pub fn token_weights(advantages: &[f64], lengths: &[usize], masked: &[bool]) -> Vec<f64> {
    assert!(advantages.len() == lengths.len() && lengths.len() == masked.len(), "one of each per completion");
    let tokens: usize =
        lengths.iter().zip(masked).filter(|(_, masked)| !**masked).map(|(length, _)| length).sum();
    let weight = |(advantage, masked): (&f64, &bool)| match (*masked, tokens) {
        (true, _) | (_, 0) => 0.0,
        (false, tokens) => -advantage / tokens as f64,
    };
    advantages.iter().zip(masked).map(weight).collect()
}

/// The loss itself, for tests and reports: `sum_i w_i * sum_t log pi(o_it)`.
pub fn loss(weights: &[f64], logprobs: &[Vec<f32>]) -> f64 {
    let completion = |logprobs: &Vec<f32>| logprobs.iter().map(|&logprob| f64::from(logprob)).sum::<f64>();
    weights.iter().zip(logprobs).map(|(weight, logprobs)| weight * completion(logprobs)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `k` of `g` rollouts right: the advantage of a right one and of a wrong one.
    #[test]
    fn advantages_of_binary_rewards() {
        let rows =
            [(8, 1, 2.4749, -0.3536), (8, 4, 0.9354, -0.9354), (16, 6, 1.25, -0.75), (16, 15, 0.25, -3.75)];
        for (g, k, right, wrong) in rows {
            let rewards: Vec<f64> = (0..g).map(|i| if i < k { 1.0 } else { 0.0 }).collect();
            let advantages = advantages(&rewards);
            assert!((advantages[0] - right).abs() < 1e-4, "{k} of {g}: right {}", advantages[0]);
            assert!((advantages[g - 1] - wrong).abs() < 1e-4, "{k} of {g}: wrong {}", advantages[g - 1]);
            assert!(advantages.iter().sum::<f64>().abs() < 1e-9, "{k} of {g}: not centred");
        }
    }

    #[test]
    fn groups_without_signal_get_zero() {
        for rewards in [vec![], vec![1.0], vec![0.3; 8], vec![0.0; 8]] {
            assert!(is_zero_std(&rewards), "{rewards:?}");
            assert_eq!(advantages(&rewards), vec![0.0; rewards.len()], "{rewards:?}");
        }
    }

    #[test]
    fn every_token_of_the_batch_weighs_the_same() {
        // Lengths 10 and 1000: the completions weigh 10/1010 and 1000/1010.
        let weights = token_weights(&[1.0, 1.0], &[10, 1000], &[false, false]);
        assert!((weights[0] * 10.0 + 10.0 / 1010.0).abs() < 1e-12);
        assert!((weights[1] * 1000.0 + 1000.0 / 1010.0).abs() < 1e-12);
    }

    #[test]
    fn a_masked_completion_neither_trains_nor_counts() {
        assert_eq!(token_weights(&[1.0, -1.0], &[4, 100], &[false, true]), vec![-0.25, 0.0]);
        assert_eq!(token_weights(&[1.0], &[4], &[true]), vec![0.0]);
    }

    #[test]
    fn the_loss_is_the_weighted_sum_of_log_probabilities() {
        let weights = token_weights(&[2.0, -1.0], &[2, 1], &[false, false]);
        let value = loss(&weights, &[vec![-0.5, -1.5], vec![-3.0]]);
        assert!((value - (-(2.0 * -2.0 + -3.0 * -1.0) / 3.0)).abs() < 1e-12, "{value}");
    }
}
