//! From groups of graded rollouts to what the loss takes: an advantage for each, and what its tokens are divided by.

use super::{Aggregate, ZeroVariance, advantages, is_zero_std};
use crate::recipe::{Overlong, Stage};
use crate::rollout::{FinishReason, Group, Rollout};

/// A rollout as the loss takes it.
#[derive(Debug, Clone, Copy)]
pub struct Item<'r> {
    /// What was written.
    pub rollout: &'r Rollout,
    /// What its reward says of it.
    pub advantage: f64,
    /// Which prompt's: rollouts of one group share it.
    pub group: usize,
    /// Neither trained on nor counted in a mean; only measured.
    pub masked: bool,
}

/// Every graded rollout of the groups by the stage's rules, group by group.
pub fn items<'g>(groups: &[&'g Group], stage: &Stage) -> Vec<Item<'g>> {
    let compared: Vec<Vec<f64>> = groups.iter().map(|group| compared(group, stage)).collect();
    let advantages = advantages(&compared, stage.loss.advantage);
    let mut items = Vec::new();
    for (index, (group, advantages)) in groups.iter().zip(advantages).enumerate() {
        let dropped = stage.loss.zero_variance != ZeroVariance::Keep && is_zero_std(&compared[index]);
        let mut advantages = advantages.into_iter();
        for rollout in group.rollouts() {
            let truncated = rollout.finish_reason == FinishReason::Length;
            let outside = truncated && stage.overlong == Overlong::MaskBefore;
            items.push(Item {
                rollout,
                advantage: if outside { 0.0 } else { advantages.next().unwrap_or(0.0) },
                group: index,
                masked: dropped || outside || truncated && stage.overlong == Overlong::Mask,
            });
        }
    }
    items
}

/// Whether anything can be learned from a group by the stage's rules.
pub fn has_signal(group: &Group, stage: &Stage) -> bool {
    !is_zero_std(&compared(group, stage))
}

/// The rewards of a group that are compared with each other.
fn compared(group: &Group, stage: &Stage) -> Vec<f64> {
    let pairs = group.rollouts().iter().zip(group.rewards());
    match stage.overlong {
        Overlong::Count | Overlong::Mask => group.rewards().to_vec(),
        Overlong::MaskBefore => pairs
            .filter(|(rollout, _)| rollout.finish_reason != FinishReason::Length)
            .map(|(_, reward)| *reward)
            .collect(),
        Overlong::Soft => {
            let most = stage.max_completion_length;
            let penalty =
                |tokens| overlong_penalty(tokens, most, stage.overlong_buffer, stage.overlong_penalty);
            pairs.map(|(rollout, reward)| reward - penalty(rollout.completion_ids.len())).collect()
        }
    }
}

/// DAPO's soft penalty: 0 up to `most - buffer` tokens, then rising evenly to `greatest` at `most`.
pub fn overlong_penalty(tokens: usize, most: usize, buffer: usize, greatest: f64) -> f64 {
    let over = tokens.saturating_sub(most.saturating_sub(buffer));
    greatest * (over as f64 / buffer.max(1) as f64).min(1.0)
}

/// What each item's tokens are divided by; masked items count in none.
pub fn divisors(items: &[Item<'_>], aggregate: Aggregate, max_completion_length: usize) -> Vec<f64> {
    let counted = || items.iter().filter(|item| !item.masked);
    let length = |item: &Item<'_>| item.rollout.completion_ids.len();
    let all_tokens: usize = counted().map(length).sum();
    let completions = counted().count() as f64;
    let groups = items.iter().map(|item| item.group + 1).max().unwrap_or(0);
    let mut of_group = vec![0; groups];
    counted().for_each(|item| of_group[item.group] += length(item));
    let full = of_group.iter().filter(|tokens| **tokens > 0).count() as f64;
    let divisor = |item: &Item<'_>| match aggregate {
        Aggregate::TokenMean => all_tokens as f64,
        Aggregate::GroupTokenMean => full * of_group[item.group] as f64,
        Aggregate::SequenceMean => completions * length(item) as f64,
        Aggregate::Constant => completions * max_completion_length as f64,
    };
    items.iter().map(divisor).collect()
}
