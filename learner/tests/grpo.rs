//! The loss of reinforcement learning, beside TRL's figures and under changes that must change nothing.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "grpo/evaluate.rs"]
mod evaluate;

use std::path::Path;

use assay_learner::grpo::{Correction, Estimator, Kl, Loss, Mismatch, PolicyTerm};
use proptest::prelude::*;
use serde::Deserialize;

use evaluate::{Case, Completion, evaluate};

/// A case of `tests/grpo/trl.json` with what TRL's GRPOTrainer made of it, in f64.
#[derive(Deserialize)]
struct Recorded {
    name: String,
    case: Case,
    loss: f64,
    derivatives: Vec<Vec<f64>>,
}

/// Written by `scripts/grpo_vs_trl.py --write`.
#[test]
fn loss_and_gradient_equal_trls_on_recorded_cases() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpo/trl.json");
    let recorded: Vec<Recorded> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(recorded.len() >= 12, "{} cases", recorded.len());
    for Recorded { name, case, loss, derivatives } in recorded {
        let ours = evaluate(&case);
        assert!((ours.loss - loss).abs() < 1e-6, "{name}: loss {} and {loss}", ours.loss);
        for (ours, theirs) in ours.derivatives.iter().flatten().zip(derivatives.iter().flatten()) {
            assert!((f64::from(*ours) - theirs).abs() < 1e-6, "{name}: derivative {ours} and {theirs}");
        }
        let moved = derivatives.iter().flatten().filter(|value| **value != 0.0).count();
        assert!(moved > 0, "{name}: no gradient at all, so nothing was compared");
    }
}

/// By default, on-policy, each token's derivative is exactly -A / N, as it was before the loss had other forms.
#[test]
fn the_papers_run_is_the_default_to_the_bit() {
    assert_eq!(Loss::default().updates, 1);
    let completion = |advantage: f64, length: usize| Completion {
        advantage,
        group: 0,
        logprobs: (0..length).map(|t| -0.37 * t as f32 - 0.01).collect(),
        old: None,
        sampled: None,
        reference: None,
    };
    let completions = vec![completion(1.25, 7), completion(-0.75, 13), completion(0.353_553_1, 1)];
    let case = Case { loss: Loss::default(), max_completion_length: 16, completions };
    let answer = evaluate(&case);
    for (completion, derivatives) in case.completions.iter().zip(&answer.derivatives) {
        let expected = (-completion.advantage / 21.0) as f32;
        assert!(derivatives.iter().all(|value| value.to_bits() == expected.to_bits()), "{derivatives:?}");
    }
    assert_eq!(answer.clip_ratio, [0.0, 0.0]);
}

fn losses() -> impl Strategy<Value = Loss> {
    let policy = prop_oneof![Just(PolicyTerm::Ppo), Just(PolicyTerm::Gspo), Just(PolicyTerm::Cispo)];
    let aggregate =
        prop_oneof![Just("token_mean"), Just("group_token_mean"), Just("sequence_mean"), Just("constant")];
    let estimator = prop_oneof![Just(Estimator::K1), Just(Estimator::K2), Just(Estimator::K3)];
    // GSPO's gradient once had each token's own weight, where it is the mean of all: no form here had weights.
    let correction = prop_oneof![Just(Correction::None), Just(Correction::Truncate), Just(Correction::Mask)];
    (policy, aggregate, estimator, correction, 0.0..0.2, 0.0..0.3).prop_map(
        |(policy, aggregate, estimator, correction, beta, clip)| Loss {
            policy,
            aggregate: serde_json::from_value(aggregate.into()).unwrap(),
            kl: Kl { coefficient: beta, estimator },
            clip_low: clip,
            clip_high: clip * 1.4,
            mismatch: Mismatch { correction, ..Mismatch::default() },
            ..Loss::default()
        },
    )
}

fn completions() -> impl Strategy<Value = Vec<Completion>> {
    let token = (-3.0f32..-0.01, -0.5f32..0.5, -0.5f32..0.5, -0.1f32..0.1);
    let completion =
        (-2.0..2.0, 0..3usize, prop::collection::vec(token, 1..9)).prop_map(|(advantage, group, tokens)| {
            let of = |pick: fn(&(f32, f32, f32, f32)) -> f32| tokens.iter().map(pick).collect::<Vec<f32>>();
            Completion {
                advantage,
                group,
                logprobs: of(|t| t.0),
                old: Some(of(|t| t.0 + t.1)),
                sampled: Some(of(|t| t.0 + t.1 + t.3)),
                reference: Some(of(|t| t.0 + t.2)),
            }
        });
    prop::collection::vec(completion, 2..8)
}

proptest! {
    /// Any order of the completions gives the same loss and the same derivative of each token.
    #[test]
    fn the_order_of_a_batch_changes_nothing(
        loss in losses(),
        (completions, order) in completions().prop_flat_map(|all| {
            let order: Vec<usize> = (0..all.len()).collect();
            (Just(all), Just(order).prop_shuffle())
        }),
    ) {
        let case = |completions| Case { loss, max_completion_length: 9, completions };
        let straight = evaluate(&case(completions.clone()));
        let shuffled = evaluate(&case(order.iter().map(|at| completions[*at].clone()).collect()));
        prop_assert!((straight.loss - shuffled.loss).abs() < 1e-9);
        for (place, at) in order.iter().enumerate() {
            prop_assert_eq!(&shuffled.derivatives[place], &straight.derivatives[*at]);
        }
    }

    /// The derivative is that of the value, by finite differences in f64. CISPO's weight is a constant by definition,
    /// so its value is no function to differentiate; TRL's figures vouch for it.
    #[test]
    fn the_derivative_is_that_of_the_value(
        loss in losses().prop_filter("a constant weight", |loss| loss.policy != PolicyTerm::Cispo),
        completions in completions(),
    ) {
        let case = Case { loss, max_completion_length: 9, completions };
        let answer = evaluate(&case);
        let step = 1.0 / 1024.0;
        for index in 0..case.completions.len() {
            for token in 0..case.completions[index].logprobs.len() {
                let at = |by: f32| {
                    let mut case = case.clone();
                    case.completions[index].logprobs[token] += by;
                    let answer = evaluate(&case);
                    (answer.loss, answer.clip_ratio)
                };
                let ((above, clip_above), (below, clip_below)) = (at(step), at(-step));
                // At the edge of a clip the slope jumps.
                if clip_above == clip_below {
                    let slope = (above - below) / f64::from(2.0 * step);
                    let derivative = f64::from(answer.derivatives[index][token]);
                    prop_assert!((slope - derivative).abs() < 1e-4, "{slope} and {derivative}");
                }
            }
        }
    }
}
