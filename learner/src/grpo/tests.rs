//! Advantages, masks and weights against vectors; the terms of a token as a table. Whole batches: `tests/grpo.rs`.

use super::*;
use crate::recipe::{Overlong, Recipe, Stage};
use crate::rollout::{FinishReason, Group, Rollout};

/// `k` of `g` rollouts right: the advantage of a right one and of a wrong one.
#[test]
fn advantages_of_binary_rewards() {
    let rows = [
        (8, 1, Advantage::GroupStd, 2.4749, -0.3536),
        (8, 4, Advantage::GroupStd, 0.9354, -0.9354),
        (16, 6, Advantage::GroupStd, 1.25, -0.75),
        (16, 15, Advantage::GroupStd, 0.25, -3.75),
        (8, 1, Advantage::GroupMean, 0.875, -0.125),
        (16, 6, Advantage::GroupMean, 0.625, -0.375),
        // 1 less the mean of the other seven, which is 0; 0 less 1/7.
        (8, 1, Advantage::LeaveOneOut, 1.0, -0.142_857),
        (16, 15, Advantage::LeaveOneOut, 0.066_667, -1.0),
    ];
    for (g, k, kind, right, wrong) in rows {
        let rewards: Vec<f64> = (0..g).map(|i| if i < k { 1.0 } else { 0.0 }).collect();
        let advantages = &advantages(&[rewards], kind)[0];
        assert!((advantages[0] - right).abs() < 1e-4, "{kind:?} {k} of {g}: right {}", advantages[0]);
        assert!((advantages[g - 1] - wrong).abs() < 1e-4, "{kind:?} {k} of {g}: wrong {}", advantages[g - 1]);
        assert!(advantages.iter().sum::<f64>().abs() < 1e-9, "{kind:?} {k} of {g}: not centred");
    }
}

/// The batch's rewards 1, 0, 1, 1: std 0.5; the second group is all right and stays at 0.
#[test]
fn the_std_of_the_batch_divides_the_differences_within_a_group() {
    let advantages = advantages(&[vec![1.0, 0.0], vec![1.0, 1.0]], Advantage::BatchStd);
    assert!((advantages[0][0] - 1.0).abs() < 1e-5 && (advantages[0][1] + 1.0).abs() < 1e-5, "{advantages:?}");
    assert_eq!(advantages[1], [0.0, 0.0]);
}

#[test]
fn groups_without_signal_get_zero() {
    for kind in [Advantage::GroupStd, Advantage::GroupMean, Advantage::BatchStd, Advantage::LeaveOneOut] {
        for rewards in [vec![], vec![1.0], vec![0.3; 8], vec![0.0; 8]] {
            assert!(is_zero_std(&rewards), "{rewards:?}");
            let zeros = vec![0.0; rewards.len()];
            assert_eq!(advantages(&[rewards], kind), [zeros], "{kind:?}");
        }
    }
}

fn rollout(length: usize, finish_reason: FinishReason) -> Rollout {
    Rollout {
        question_id: "q".to_owned(),
        prompt_ids: vec![1],
        completion_ids: vec![2; length],
        logprobs: vec![-0.5; length],
        finish_reason,
        completion: String::new(),
    }
}

fn stage(more: &str) -> Stage {
    let text = format!(
        "[model]\n[[rl]]\nname = 'm'\nprompts = {{ arithmetic = 4 }}\nrollouts = 4\nsteps = 2\n\
         max_completion_length = 100\nlearning_rate = 1e-4\n{more}\n"
    );
    Recipe::parse("r.toml", &text).unwrap().rl.remove(0)
}

/// Two groups of lengths 10, 30 and 50, 100, the last one cut; rewards 1, 0 and 1, 0.
fn groups() -> Vec<Group> {
    let [stop, cut] = [FinishReason::Stop, FinishReason::Length];
    let group = |a, b, end| Group::new(vec![rollout(a, stop), rollout(b, end)], &[Some(1.0), Some(0.0)]);
    vec![group(10, 30, stop), group(50, 100, cut)]
}

fn refs(groups: &[Group]) -> Vec<&Group> {
    groups.iter().collect()
}

/// What a token of each completion is divided by, to check against the definitions by hand.
#[test]
fn divisors_by_aggregate() {
    let groups = groups();
    let items = items(&refs(&groups), &stage("overlong = 'mask'"));
    assert_eq!(items.iter().map(|item| item.masked).collect::<Vec<_>>(), [false, false, false, true]);
    let rows = [
        // 10 + 30 + 50 tokens.
        (Aggregate::TokenMean, [90.0, 90.0, 90.0]),
        // Two groups, of 40 and 50 tokens.
        (Aggregate::GroupTokenMean, [80.0, 80.0, 100.0]),
        // Three completions.
        (Aggregate::SequenceMean, [30.0, 90.0, 150.0]),
        (Aggregate::Constant, [300.0; 3]),
    ];
    for (aggregate, expected) in rows {
        assert_eq!(divisors(&items, aggregate, 100)[..3], expected, "{aggregate:?}");
    }
}

/// Lengths 10 and 1000: the completions weigh 10/1010 and 1000/1010.
#[test]
fn every_token_of_the_batch_weighs_the_same() {
    let rollouts = vec![rollout(10, FinishReason::Stop), rollout(1000, FinishReason::Stop)];
    let groups = [Group::new(rollouts, &[Some(1.0), Some(0.0)])];
    let divisors = divisors(&items(&refs(&groups), &stage("")), Aggregate::TokenMean, 1000);
    assert!((10.0 / divisors[0] - 10.0 / 1010.0).abs() < 1e-12);
    assert!((1000.0 / divisors[1] - 1000.0 / 1010.0).abs() < 1e-12);
}

/// The second group's cut completion under each rule: advantages of the group, and what is masked.
#[test]
fn overlong_rules() {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let rows = [
        ("overlong = 'off'", [half, -half], [false, false]),
        ("overlong = 'count'", [half, -half], [false, false]),
        ("overlong = 'mask_after'", [half, -half], [false, true]),
        // Alone in its group's baseline, the one that ended has nothing to be compared with.
        ("overlong = 'mask_before'", [0.0, 0.0], [false, true]),
        // 1 and 0 less 1: the greatest length costs the whole penalty.
        (
            "overlong = 'soft'\noverlong_buffer = 40\nloss = { advantage = 'group_mean' }",
            [1.0, -1.0],
            [false; 2],
        ),
        ("overlong = 'mask_before'\nloss = { zero_variance = 'drop' }", [0.0, 0.0], [true, true]),
    ];
    for (rule, advantages, masked) in rows {
        let groups = groups();
        let items = &items(&refs(&groups), &stage(rule))[2..];
        for (item, (advantage, masked)) in items.iter().zip(advantages.into_iter().zip(masked)) {
            assert!((item.advantage - advantage).abs() < 1e-5, "{rule}: {}", item.advantage);
            assert_eq!(item.masked, masked, "{rule}");
        }
    }
    assert_eq!(stage("overlong = 'off'").overlong, Overlong::Count);
}

/// DAPO's numbers: 20,480 tokens, the last 4,096 of them cost.
#[test]
fn the_soft_penalty_rises_evenly_over_the_buffer() {
    for (tokens, penalty) in
        [(0, 0.0), (16_384, 0.0), (17_408, 0.25), (18_432, 0.5), (20_480, 1.0), (30_000, 1.0)]
    {
        assert!((overlong_penalty(tokens, 20_480, 4096, 1.0) - penalty).abs() < 1e-12, "{tokens}");
    }
    assert!((overlong_penalty(18_432, 20_480, 4096, 0.4) - 0.2).abs() < 1e-12);
}

#[test]
fn dropped_groups_do_not_count_in_the_mean() {
    let (stop, equal) = (FinishReason::Stop, [Some(1.0), Some(1.0)]);
    let groups = [
        Group::new(vec![rollout(3, stop), rollout(5, stop)], &[Some(1.0), Some(0.0)]),
        Group::new(vec![rollout(7, stop), rollout(9, stop)], &equal),
    ];
    for (rule, tokens) in [("keep", 24.0), ("drop", 8.0), ("refill", 8.0)] {
        let items = items(&refs(&groups), &stage(&format!("loss = {{ zero_variance = '{rule}' }}")));
        assert_eq!(divisors(&items, Aggregate::TokenMean, 100)[0], tokens, "{rule}");
    }
}

/// One token: ratio and advantage -> loss and derivative by its log-probability (at which cispo's value also hangs:
/// lp = -2), worked by hand. Clips at 0.8 and 1.28, the dual one at 3.
#[test]
fn terms_of_one_token() {
    use PolicyTerm::{Cispo, Gspo, Ppo};
    let rows = [
        (Ppo, 1.0, 2.0, -2.0, -2.0, [0, 0]),
        (Ppo, 1.2, 2.0, -2.4, -2.4, [0, 0]),
        (Ppo, 1.5, 2.0, -2.56, 0.0, [0, 1]),
        (Ppo, 0.5, 2.0, -1.0, -1.0, [0, 0]),
        (Ppo, 0.5, -2.0, 1.6, 0.0, [1, 0]),
        (Ppo, 1.5, -2.0, 3.0, 3.0, [0, 0]),
        (Ppo, 4.0, -2.0, 6.0, 0.0, [0, 1]),
        (Gspo, 1.5, 2.0, -2.56, 0.0, [0, 1]),
        (Gspo, 1.5, -2.0, 3.0, 3.0, [0, 0]),
        (Cispo, 1.0, 2.0, 4.0, -2.0, [0, 0]),
        (Cispo, 1.5, 2.0, 5.12, -2.56, [0, 1]),
        (Cispo, 0.5, -2.0, -3.2, 1.6, [1, 0]),
    ];
    for (policy, ratio, advantage, value, slope, clipped) in rows {
        let loss = Loss { policy, clip_high: 0.28, dual_clip: Some(3.0), ..Loss::default() };
        let old = [-2.0 - f64::ln(ratio) as f32];
        let tokens = Tokens { logprobs: &[-2.0], old: Some(&old), sampled: &old, reference: None };
        let mut derivatives = Vec::new();
        let figures = loss.completion(tokens, advantage, 1.0, &mut derivatives);
        let story = format!("{policy:?} ratio {ratio} advantage {advantage}: {figures:?} {derivatives:?}");
        assert!((figures.loss - value).abs() < 1e-5, "{story}");
        assert!((f64::from(derivatives[0]) - slope).abs() < 1e-5, "{story}");
        assert_eq!([figures.clipped_low, figures.clipped_high], clipped, "{story}");
    }
}

/// lp - ref = ln 2: k1 = ln 2, k2 = (ln 2)^2 / 2, k3 = 1/2 - 1 + ln 2; slopes 1, ln 2, 1 - 1/2.
#[test]
fn estimates_of_the_divergence() {
    let two = std::f64::consts::LN_2;
    let rows =
        [(Estimator::K1, two, 1.0), (Estimator::K2, two * two / 2.0, two), (Estimator::K3, two - 0.5, 0.5)];
    for (estimator, kl, slope) in rows {
        let loss = Loss { kl: Kl { coefficient: 0.1, estimator }, ..Loss::default() };
        let reference = [-1.0 - two as f32];
        let tokens = Tokens { logprobs: &[-1.0], old: None, sampled: &[-1.0], reference: Some(&reference) };
        let mut derivatives = Vec::new();
        let figures = loss.completion(tokens, 0.0, 2.0, &mut derivatives);
        assert!(
            (figures.kl - kl).abs() < 1e-6 && (figures.loss - 0.05 * kl).abs() < 1e-6,
            "{estimator:?} {figures:?}"
        );
        assert!((f64::from(derivatives[0]) - 0.05 * slope).abs() < 1e-6, "{estimator:?} {derivatives:?}");
        assert!(!loss.is_inert(0.0), "the divergence moves what rewards do not");
    }
}

/// Weights by exp(d) of a completion's tokens, worked by hand.
#[test]
fn weights_where_sampler_and_trainer_differ() {
    let rows: [(&str, [f64; 3], [f64; 3]); 6] = [
        ("none", [0.1, 1.0, 9.0], [1.0, 1.0, 1.0]),
        ("truncate", [0.1, 1.0, 9.0], [0.1, 1.0, 2.0]),
        ("mask", [0.1, 1.0, 9.0], [0.0, 1.0, 0.0]),
        ("mask", [0.6, 2.0, 4.9], [0.6, 2.0, 4.9]),
        // Geometric mean 1: kept as they are. 2^(1/3): dropped whole.
        ("sequence_mask", [0.5, 2.0, 1.0], [0.5, 2.0, 1.0]),
        ("sequence_mask", [1.0, 2.0, 1.0], [0.0, 0.0, 0.0]),
    ];
    for (correction, ratios, weights) in rows {
        let mismatch: Mismatch = toml::from_str(&format!("correction = '{correction}'")).unwrap();
        let found = mismatch.weights(&ratios.map(f64::ln));
        for (found, expected) in found.iter().zip(weights) {
            assert!((found - expected).abs() < 1e-12, "{correction} {ratios:?}: {found:?}");
        }
    }
}

/// d = ln 2 and 0: means of |d| and of exp(d) - 1 - d, and the greatest |d|.
#[test]
fn the_gap_between_sampler_and_trainer() {
    let two = std::f64::consts::LN_2;
    let gap = Gap::between([-1.0f32, -2.0].iter(), &[-1.0 + two as f32, -2.0]);
    assert!((gap.mean() - two / 2.0).abs() < 1e-7);
    assert!((gap.kl() - (1.0 - two) / 2.0).abs() < 1e-7);
    assert!((gap.greatest() - two).abs() < 1e-7);
    assert_eq!(Gap::default().mean(), 0.0);
}
