//! The loss of one completion, and its derivative by each token's log-probability.
//!
//! With lp the trainer's log-probability, old the one before the batch's first update, r = exp(lp - old), A the
//! advantage, clip(r) = r kept in 1 - low ..= 1 + high:
//!
//! ```text
//! ppo     P = -min(r A, clip(r) A); with a dual clip c, where A < 0, P is at most -c A
//! gspo    the same with r = exp(mean over the completion of lp - old), one ratio for all its tokens
//! cispo   P = -stop(clip(r)) A lp: a clipped token still teaches, with a bounded weight
//! k1      K = lp - ref                    unbiased as a number; as a loss its gradient averages to nothing
//! k2      K = (lp - ref)^2 / 2            gradient of the true divergence, on-policy
//! k3      K = exp(ref - lp) - (ref - lp) - 1    unbiased, never negative
//! ```

use serde::{Deserialize, Serialize};

use super::{Advantage, Mismatch};

/// The loss of a stage; the default is the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Loss {
    /// From rewards to advantages.
    pub advantage: Advantage,
    /// The term that rewards teach through.
    pub policy: PolicyTerm,
    /// What the mean over tokens is over.
    pub aggregate: Aggregate,
    /// A ratio below 1 less this is clipped.
    pub clip_low: f64,
    /// A ratio above 1 and this is clipped.
    pub clip_high: f64,
    /// Bound of the loss where the advantage is negative: at most so many times |A|. Left out: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dual_clip: Option<f64>,
    /// Updates per batch of rollouts, each by its share of the prompts. At 1 the ratio is 1 and no clip acts.
    pub updates: usize,
    /// Divergence from the policy that the run started from.
    pub kl: Kl,
    /// Where the sampler's probabilities are not the trainer's.
    pub mismatch: Mismatch,
    /// What groups without a signal do.
    pub zero_variance: ZeroVariance,
    /// With `refill`: most prompts of a step, in batches' worth; what is missing then is done without.
    pub max_batches: usize,
}

impl Default for Loss {
    fn default() -> Loss {
        Loss {
            advantage: Advantage::GroupStd,
            policy: PolicyTerm::Ppo,
            aggregate: Aggregate::TokenMean,
            clip_low: 0.2,
            clip_high: 0.2,
            dual_clip: None,
            updates: 1,
            kl: Kl::default(),
            mismatch: Mismatch::default(),
            zero_variance: ZeroVariance::Keep,
            max_batches: 10,
        }
    }
}

/// The policy's term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyTerm {
    /// A ratio per token, clipped.
    #[default]
    Ppo,
    /// A ratio per completion, clipped.
    Gspo,
    /// A clipped ratio as a constant weight on the log-probability.
    Cispo,
}

/// What a token's term is divided by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// All tokens of the batch (DAPO, veRL's token-mean; what the paper ran).
    #[default]
    TokenMean,
    /// Tokens of its group, times groups (the paper's formula as printed).
    GroupTokenMean,
    /// Tokens of its completion, times completions (the first GRPO).
    SequenceMean,
    /// The greatest length of a completion, times completions (Dr.GRPO).
    Constant,
}

/// Divergence from a reference policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kl {
    /// Its weight; 0, as in the paper, needs no reference.
    pub coefficient: f64,
    /// How it is estimated.
    pub estimator: Estimator,
}

/// An estimate of the divergence from one sampled token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// The log-ratio.
    K1,
    /// Half its square.
    K2,
    /// The unbiased one that is never negative (veRL's `low_var_kl`).
    #[default]
    K3,
}

/// What a group whose rewards are all equal does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroVariance {
    /// Its advantages are 0, its tokens count in the mean.
    #[default]
    Keep,
    /// It is left out, of the mean too.
    Drop,
    /// It is left out, and other prompts are sampled in its place (DAPO's dynamic sampling).
    Refill,
}

/// The tokens of one completion: natural logarithms of probabilities under softmax(z/T), all of one length.
#[derive(Debug, Clone, Copy)]
pub struct Tokens<'a> {
    /// By the trainer, now.
    pub logprobs: &'a [f32],
    /// By the trainer before the batch's first update; none, and they are those of now.
    pub old: Option<&'a [f32]>,
    /// By the sampler.
    pub sampled: &'a [f32],
    /// By the reference; needed where the divergence has a weight.
    pub reference: Option<&'a [f32]>,
}

/// What was met on the way, as sums over tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// The loss.
    pub loss: f64,
    /// Tokens trained on.
    pub tokens: usize,
    /// Tokens whose ratio a clip held from below (their advantage was negative), the dual clip's too.
    pub clipped_low: usize,
    /// Tokens whose ratio a clip held from above.
    pub clipped_high: usize,
    /// Tokens whose mismatch weight was cut or masked.
    pub corrected: usize,
    /// Sum of the divergence's estimate.
    pub kl: f64,
}

impl Figures {
    /// A count of tokens as a share of those trained on.
    pub fn share(&self, count: usize) -> f64 {
        count as f64 / self.tokens.max(1) as f64
    }

    /// Adds those of other tokens.
    pub fn add(&mut self, other: &Figures) {
        self.loss += other.loss;
        self.tokens += other.tokens;
        self.clipped_low += other.clipped_low;
        self.clipped_high += other.clipped_high;
        self.corrected += other.corrected;
        self.kl += other.kl;
    }
}

/// Which bound held a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Not,
    Low,
    High,
}

impl Loss {
    /// Whether a completion of this advantage moves nothing.
    pub fn is_inert(&self, advantage: f64) -> bool {
        advantage == 0.0 && self.kl.coefficient == 0.0
    }

    /// The loss of one completion, each token's term divided by `divisor`; its derivatives go behind `derivatives`.
    pub fn completion(
        &self,
        tokens: Tokens<'_>,
        advantage: f64,
        divisor: f64,
        derivatives: &mut Vec<f32>,
    ) -> Figures {
        let Tokens { logprobs, old, sampled, reference } = tokens;
        let old = old.unwrap_or(logprobs);
        assert!(old.len() == logprobs.len() && sampled.len() == logprobs.len(), "one of each per token");
        let ratios = self.ratios(logprobs, old);
        let gaps: Vec<f64> =
            old.iter().zip(sampled).map(|(old, s)| f64::from(*old) - f64::from(*s)).collect();
        let weights = self.mismatch.weights(&gaps);
        let mean_weight = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        let mut figures = Figures { tokens: logprobs.len(), ..Figures::default() };
        for (at, &logprob) in logprobs.iter().enumerate() {
            let logprob = f64::from(logprob);
            let (policy, slope, held) = self.policy_term(ratios[at], advantage, logprob);
            // A ratio of the whole completion is in every token's term, so each moves it through all their weights.
            let through = if self.policy == PolicyTerm::Gspo { mean_weight } else { weights[at] };
            let (mut value, mut slope) = (weights[at] * policy, through * slope);
            if let Some(reference) = reference {
                let (kl, kl_slope) = self.kl.estimator.of(logprob - f64::from(reference[at]));
                value += self.kl.coefficient * kl;
                slope += self.kl.coefficient * kl_slope;
                figures.kl += kl;
            }
            figures.loss += value / divisor;
            figures.clipped_low += usize::from(held == Held::Low);
            figures.clipped_high += usize::from(held == Held::High);
            let cut = self.mismatch.correction != super::Correction::None && weights[at] != gaps[at].exp();
            figures.corrected += usize::from(cut);
            derivatives.push((slope / divisor) as f32);
        }
        figures
    }

    /// New to old probability: each token's own, or one for all.
    fn ratios(&self, logprobs: &[f32], old: &[f32]) -> Vec<f64> {
        let logs = logprobs.iter().zip(old).map(|(new, old)| f64::from(*new) - f64::from(*old));
        match self.policy {
            PolicyTerm::Ppo | PolicyTerm::Cispo => logs.map(f64::exp).collect(),
            PolicyTerm::Gspo => {
                let mean = logs.sum::<f64>() / logprobs.len().max(1) as f64;
                vec![mean.exp(); logprobs.len()]
            }
        }
    }

    /// The term of one token, its derivative by the token's log-probability, and which bound held the ratio.
    ///
    /// GSPO's ratio hangs on all tokens of the completion alike, 1/n on each, and is in the term of all n, so each
    /// token's derivative is again the ratio's, times the mean of the tokens' weights.
    fn policy_term(&self, ratio: f64, advantage: f64, logprob: f64) -> (f64, f64, Held) {
        let clipped = ratio.clamp(1.0 - self.clip_low, 1.0 + self.clip_high);
        let held = match () {
            () if ratio < clipped => Held::Low,
            () if ratio > clipped => Held::High,
            () => Held::Not,
        };
        if self.policy == PolicyTerm::Cispo {
            return (-clipped * advantage * logprob, -advantage * clipped, held);
        }
        if ratio * advantage > clipped * advantage {
            return (-clipped * advantage, 0.0, held);
        }
        match self.dual_clip {
            Some(most) if advantage < 0.0 && ratio > most => (-most * advantage, 0.0, Held::High),
            _ => (-ratio * advantage, -advantage * ratio, Held::Not),
        }
    }
}

impl Estimator {
    /// The estimate and its derivative, at lp - ref.
    fn of(self, log_ratio: f64) -> (f64, f64) {
        match self {
            Estimator::K1 => (log_ratio, 1.0),
            Estimator::K2 => (log_ratio * log_ratio / 2.0, log_ratio),
            Estimator::K3 => ((-log_ratio).exp_m1() + log_ratio, -(-log_ratio).exp_m1()),
        }
    }
}
