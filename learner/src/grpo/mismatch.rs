//! Sampler and trainer: how far their probabilities of the same tokens are apart, and what is done about it.
//!
//! Here both are one model, so the gap is rounding; [`Gap`] is measured always, so that it shows when it is not. With
//! d = log pi (trainer, before the update) - log pi (sampler), exp(d) is the weight that makes an expectation over
//! the sampler's tokens one over the trainer's.

use serde::{Deserialize, Serialize};

/// What is done where the two differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mismatch {
    /// The rule.
    pub correction: Correction,
    /// Least weight that is kept. Left out: 0.5 for `mask`, 0.999 for `sequence_mask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// Greatest weight. Left out: 2 for `truncate`, 5 for `mask`, 1.002 for `sequence_mask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

/// A rule of correction; a weight multiplies the policy's term of its token and has no gradient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// All weights are 1.
    #[default]
    None,
    /// exp(d), at most `high` (truncated importance sampling).
    Truncate,
    /// exp(d) inside `low..=high`, else 0 (IcePop).
    Mask,
    /// exp(d) where the completion's geometric mean of exp(d) is inside `low..=high`, else 0 for all its tokens.
    SequenceMask,
}

impl Mismatch {
    /// The least and the greatest weight kept.
    pub fn bounds(&self) -> [f64; 2] {
        let [low, high] = match self.correction {
            Correction::None | Correction::Truncate => [0.0, 2.0],
            Correction::Mask => [0.5, 5.0],
            Correction::SequenceMask => [0.999, 1.002],
        };
        [self.low.unwrap_or(low), self.high.unwrap_or(high)]
    }

    /// The weight of each token of one completion, from its d.
    pub fn weights(&self, gaps: &[f64]) -> Vec<f64> {
        let [low, high] = self.bounds();
        let inside = |weight: f64| (low..=high).contains(&weight);
        match self.correction {
            Correction::None => vec![1.0; gaps.len()],
            Correction::Truncate => gaps.iter().map(|gap| gap.exp().min(high)).collect(),
            Correction::Mask => {
                gaps.iter().map(|gap| gap.exp()).map(|w| if inside(w) { w } else { 0.0 }).collect()
            }
            Correction::SequenceMask => {
                let mean = gaps.iter().sum::<f64>() / gaps.len().max(1) as f64;
                match inside(mean.exp()) {
                    true => gaps.iter().map(|gap| gap.exp()).collect(),
                    false => vec![0.0; gaps.len()],
                }
            }
        }
    }
}

/// The gap over some tokens, as sums, so that parts of a batch add up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gap {
    tokens: usize,
    absolute: f64,
    kl: f64,
    greatest: f64,
}

impl Gap {
    /// Over the tokens of a sampler's and a trainer's log-probabilities, in the same order.
    pub fn between<'a>(sampler: impl Iterator<Item = &'a f32>, trainer: &[f32]) -> Gap {
        let mut gap = Gap::default();
        for (sampler, trainer) in sampler.zip(trainer) {
            let d = f64::from(*trainer) - f64::from(*sampler);
            gap.tokens += 1;
            gap.absolute += f64::from((sampler - trainer).abs());
            gap.kl += d.exp_m1() - d;
            gap.greatest = gap.greatest.max(d.abs());
        }
        gap
    }

    /// Mean of |d|.
    pub fn mean(&self) -> f64 {
        self.absolute / self.tokens.max(1) as f64
    }

    /// The k3 estimate of KL(sampler || trainer), nats per token: mean of exp(d) - 1 - d.
    pub fn kl(&self) -> f64 {
        self.kl / self.tokens.max(1) as f64
    }

    /// The greatest |d|.
    pub fn greatest(&self) -> f64 {
        self.greatest
    }
}
