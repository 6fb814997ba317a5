//! Our loss on cases given as JSON: what `tests/grpo.rs` and `scripts/grpo_vs_trl.py` compare with TRL's.

use assay_learner::grpo::{Figures, Item, Loss, Tokens, divisors};
use assay_learner::rollout::{FinishReason, Rollout};
use serde::{Deserialize, Serialize};

/// A batch, and the loss it is put through.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    /// As in a recipe.
    pub(crate) loss: Loss,
    /// Most tokens of a completion.
    pub(crate) max_completion_length: usize,
    /// The completions.
    pub(crate) completions: Vec<Completion>,
}

/// A completion: what the loss needs of it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Completion {
    /// Of its reward.
    pub(crate) advantage: f64,
    /// Its prompt.
    pub(crate) group: usize,
    /// By the trainer, now.
    pub(crate) logprobs: Vec<f32>,
    /// By the trainer before the first update.
    pub(crate) old: Option<Vec<f32>>,
    /// By the sampler; left out, as `old` or as now.
    pub(crate) sampled: Option<Vec<f32>>,
    /// By the reference.
    pub(crate) reference: Option<Vec<f32>>,
}

/// What the loss says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Its value.
    pub(crate) loss: f64,
    /// Its derivative by each token's log-probability.
    pub(crate) derivatives: Vec<Vec<f32>>,
    /// Shares of tokens that a clip held, from below and above.
    pub(crate) clip_ratio: [f64; 2],
    /// Mean of the divergence's estimate.
    pub(crate) kl: f64,
}

/// A rollout of so many tokens.
fn rollout(tokens: usize, sampled: Vec<f32>) -> Rollout {
    Rollout {
        question_id: String::new(),
        prompt_ids: vec![1],
        completion_ids: vec![2; tokens],
        logprobs: sampled,
        finish_reason: FinishReason::Stop,
        completion: String::new(),
    }
}

/// Puts a case through the loss.
pub(crate) fn evaluate(case: &Case) -> Answer {
    let sampled = |c: &Completion| c.sampled.clone().or(c.old.clone()).unwrap_or(c.logprobs.clone());
    let rollouts: Vec<Rollout> =
        case.completions.iter().map(|c| rollout(c.logprobs.len(), sampled(c))).collect();
    let items: Vec<Item<'_>> = case
        .completions
        .iter()
        .zip(&rollouts)
        .map(|(c, rollout)| Item { rollout, advantage: c.advantage, group: c.group, masked: false })
        .collect();
    let divisors = divisors(&items, case.loss.aggregate, case.max_completion_length);
    let mut figures = Figures::default();
    let mut all = Vec::new();
    for ((completion, item), divisor) in case.completions.iter().zip(&items).zip(divisors) {
        let tokens = Tokens {
            logprobs: &completion.logprobs,
            old: completion.old.as_deref(),
            sampled: &item.rollout.logprobs,
            reference: completion.reference.as_deref(),
        };
        let mut derivatives = Vec::new();
        figures.add(&case.loss.completion(tokens, item.advantage, divisor, &mut derivatives));
        all.push(derivatives);
    }
    Answer {
        loss: figures.loss,
        derivatives: all,
        clip_ratio: [figures.clipped_low, figures.clipped_high].map(|count| figures.share(count)),
        kl: figures.kl / figures.tokens.max(1) as f64,
    }
}
