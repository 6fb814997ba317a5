//! What the policy wrote, and which of it is compared with what.

use crate::grpo;

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The policy said so: it sampled an end-of-text token.
    Stop,
    /// The completion reached the stage's greatest length.
    Length,
}

/// One completion of one prompt, as it was sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// The problem it answers.
    pub question_id: String,
    /// What the policy was given.
    pub prompt_ids: Vec<u32>,
    /// What it wrote, the end-of-text token included when there is one.
    pub completion_ids: Vec<u32>,
    /// Log-probability with which the sampler drew each of them: under softmax(z/T), or what its filters left of that.
    pub logprobs: Vec<f32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The text of `completion_ids` without special tokens: what is graded.
    pub completion: String,
}

/// The rollouts of one prompt that got a reward. Invariant: as many rollouts as rewards.
#[derive(Debug, Clone)]
pub struct Group {
    rollouts: Vec<Rollout>,
    rewards: Vec<f64>,
}

impl Group {
    /// Keeps the rollouts that got a reward; the others were our failure to grade, not theirs.
    pub fn new(rollouts: Vec<Rollout>, rewards: &[Option<f64>]) -> Group {
        assert_eq!(rollouts.len(), rewards.len(), "one reward, or none, per rollout");
        let graded =
            rollouts.into_iter().zip(rewards).filter_map(|(rollout, reward)| Some((rollout, (*reward)?)));
        let (rollouts, rewards) = graded.unzip();
        Group { rollouts, rewards }
    }

    /// The rollouts, in the order they were sampled.
    pub fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// Their rewards.
    pub fn rewards(&self) -> &[f64] {
        &self.rewards
    }

    /// Whether every one of them is right.
    pub fn is_solved(&self) -> bool {
        !self.rewards.is_empty() && self.rewards.iter().all(|reward| *reward >= 1.0)
    }

    /// Whether the group carries no signal.
    pub fn is_zero_std(&self) -> bool {
        grpo::is_zero_std(&self.rewards)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(completion: &str) -> Rollout {
        Rollout {
            question_id: "q".to_owned(),
            prompt_ids: vec![1],
            completion_ids: vec![2],
            logprobs: vec![-0.1],
            finish_reason: FinishReason::Stop,
            completion: completion.to_owned(),
        }
    }

    #[test]
    fn a_rollout_without_a_reward_leaves_its_group_instead_of_scoring_zero() {
        let group = Group::new(vec![rollout("a"), rollout("b"), rollout("c")], &[Some(1.0), None, Some(1.0)]);
        assert_eq!(group.rewards(), [1.0, 1.0]);
        assert_eq!(group.rollouts()[1].completion, "c");
        // Scored 0, `b` would have taught the policy that `a` and `c` are better.
        assert!(group.is_zero_std());
    }
}
