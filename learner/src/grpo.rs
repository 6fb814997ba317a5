//! GRPO: what rewards say of completions, and the loss that follows.
//!
//! As the paper runs it, and by default: strictly on-policy, one update per batch of rollouts, token-mean loss. The
//! importance ratio is then 1 where the gradient is taken, no clip is ever active, and the KL and entropy coefficients
//! are 0, so the objective (AceReason-Nemotron 1.0, eq. 3 and 4; 1.1 the same) is REINFORCE with a group baseline:
//!
//! ```text
//! A_i = (r_i - mean(r)) / (std(r) + 1e-6)         over the rollouts of one prompt, std with n - 1
//! L   = -1/N * sum_i A_i * sum_t log pi_T(o_it)   N = all completion tokens of the batch
//! ```
//!
//! `log pi_T` is the log-probability under softmax(z/T), the distribution the rollouts were drawn from.
//!
//! The general form ([`Loss`], `[rl.loss]` in a recipe) is, per token,
//!
//! ```text
//! L = sum_it (w_it * P_it + beta * K_it) / D_i
//! P   the policy's term: PPO with two clips and a dual one, GSPO, CISPO          loss.rs
//! K   an estimate of the divergence from a reference policy: k1, k2, k3          loss.rs
//! w   what the sampler's and the trainer's probabilities differ by, cut or not   mismatch.rs
//! A   group mean and std, mean alone, leave-one-out, the batch's std             advantage.rs
//! D   what the mean is over: tokens of the batch, of each group or completion, or a constant   batch.rs
//! ```
//!
//! Everything here is a pure function of numbers, in f64.

mod advantage;
mod batch;
mod loss;
mod mismatch;

pub use self::advantage::{Advantage, STD_EPSILON, advantages, is_zero_std, mean_std};
pub use self::batch::{Item, divisors, has_signal, items, overlong_penalty};
pub use self::loss::{Aggregate, Estimator, Figures, Kl, Loss, PolicyTerm, Tokens, ZeroVariance};
pub use self::mismatch::{Correction, Gap, Mismatch};

#[cfg(test)]
mod tests;
