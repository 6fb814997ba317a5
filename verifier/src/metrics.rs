//! What a set of verdicts says about a model. Pure functions of counts; nothing here reads a file.

/// Samples of one problem that have a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Samples with a verdict.
    pub samples: usize,
    /// Those accepted.
    pub accepted: usize,
}

/// The values of k that reports give, those up to the fewest samples any problem has.
pub const REPORTED_K: [usize; 13] = [1, 5, 10, 20, 40, 50, 75, 100, 125, 150, 200, 500, 1000];

/// The chance that at least one of `k` samples drawn without replacement is accepted (unbiased estimate).
pub fn pass_at_k(tried: Tried, k: usize) -> f64 {
    let rejected = tried.samples - tried.accepted;
    if rejected < k {
        return 1.0;
    }
    let all_rejected: f64 = (rejected + 1..=tried.samples).map(|i| 1.0 - k as f64 / i as f64).product();
    1.0 - all_rejected
}

/// The mean over problems of [`pass_at_k`]; `None` where a problem has fewer than `k` samples.
pub fn mean_pass_at_k(problems: &[Tried], k: usize) -> Option<f64> {
    let enough = !problems.is_empty() && problems.iter().all(|tried| tried.samples >= k);
    enough.then(|| mean(&problems.iter().map(|&tried| pass_at_k(tried, k)).collect::<Vec<f64>>()))
}

/// The same by drawing, as AceReason's papers report it: `k` samples of each problem without replacement, the share of
/// problems with an accepted one among them, and the mean of [`DRAWS`] such draws. A fixed seed, so that it repeats.
pub fn resampled_pass_at_k(problems: &[Tried], k: usize) -> Option<f64> {
    if problems.is_empty() || problems.iter().any(|tried| tried.samples < k) {
        return None;
    }
    let mut random = SplitMix(0x5eed);
    let mut hit = |tried: &Tried| (0..k).any(|drawn| random.below(tried.samples - drawn) < tried.accepted);
    let solved: usize = (0..DRAWS).map(|_| problems.iter().filter(|tried| hit(tried)).count()).sum();
    Some(solved as f64 / (DRAWS * problems.len()) as f64)
}

/// Draws behind [`resampled_pass_at_k`].
pub const DRAWS: usize = 100;

/// pass@k for one k.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// How many samples may be tried.
    pub k: usize,
    /// [`mean_pass_at_k`].
    pub unbiased: f64,
    /// Its 95 % interval, as in [`Estimate::interval`].
    pub interval: (f64, f64),
    /// [`resampled_pass_at_k`].
    pub resampled: f64,
}

/// pass@k for the powers of two, LiveCodeBench's k ([`REPORTED_K`]) and the fewest samples any problem has, up to the last.
pub fn pass_curve(problems: &[Tried]) -> Vec<CurvePoint> {
    let fewest = problems.iter().map(|tried| tried.samples).min().unwrap_or(0);
    let powers = (0..usize::BITS).map(|power| 1_usize << power).take_while(|k| *k <= fewest);
    let mut all: Vec<usize> = powers.chain(REPORTED_K).chain([fewest]).collect();
    all.retain(|k| (1..=fewest).contains(k));
    all.sort_unstable();
    all.dedup();
    let point = |k| {
        let each: Vec<f64> = problems.iter().map(|&tried| pass_at_k(tried, k)).collect();
        let resampled = resampled_pass_at_k(problems, k)?;
        Some(CurvePoint { k, unbiased: mean(&each), interval: bootstrap(&each), resampled })
    };
    all.into_iter().filter_map(point).collect()
}

/// The standard error of avg@n with the problems as they are: what repeating the sampling would move it by. `None` where
/// a problem has fewer than two samples. (The paper's 0.7 points for AIME24 at n = 64 is this one.)
pub fn sampling_error(problems: &[Tried]) -> Option<f64> {
    if problems.is_empty() || problems.iter().any(|tried| tried.samples < 2) {
        return None;
    }
    let variance = |tried: &Tried| {
        let rate = tried.accepted as f64 / tried.samples as f64;
        rate * (1.0 - rate) / (tried.samples - 1) as f64
    };
    Some(problems.iter().map(variance).sum::<f64>().sqrt() / problems.len() as f64)
}

/// A mean over problems and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The mean of the problems' acceptance rates (avg@n; with one sample each, pass@1).
    pub mean: f64,
    /// Its standard error, problems taken as drawn at random; 0 for one problem.
    pub standard_error: f64,
    /// 95 % interval: percentiles of the means of [`RESAMPLES`] bootstrap samples of the problems.
    pub interval: (f64, f64),
}

/// Bootstrap samples behind [`Estimate::interval`]. Fixed, like the seed, so that a report repeats.
pub const RESAMPLES: usize = 4000;

/// The mean acceptance rate; `None` without problems.
pub fn estimate(problems: &[Tried]) -> Option<Estimate> {
    let rates: Vec<f64> = problems.iter().map(|t| t.accepted as f64 / t.samples.max(1) as f64).collect();
    if rates.is_empty() {
        return None;
    }
    Some(Estimate { mean: mean(&rates), standard_error: standard_error(&rates), interval: bootstrap(&rates) })
}

/// The mean of the problems' differences between two runs, with its bootstrap; `None` without problems.
pub fn paired(differences: &[f64]) -> Option<Estimate> {
    if differences.is_empty() {
        return None;
    }
    Some(Estimate {
        mean: mean(differences),
        standard_error: standard_error(differences),
        interval: bootstrap(differences),
    })
}

/// McNemar's exact test, two-sided: how likely a split of `first + second` discordant pairs at least as uneven is, if
/// either side were as likely.
pub fn mcnemar(first: usize, second: usize) -> f64 {
    let (all, fewer) = (first + second, first.min(second));
    // Binomial terms by their logarithms: 2^-n alone would vanish beyond a thousand pairs.
    let mut term = -(all as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    for k in 1..=fewer {
        term += ((all - k + 1) as f64 / k as f64).ln();
        tail += term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// Elements of a date window: ISO dates `from` (inclusive) to `to` (inclusive, at midnight), as lcb_runner takes them.
pub fn in_window(date: Option<&str>, from: Option<&str>, to: Option<&str>) -> bool {
    if from.is_none() && to.is_none() {
        return true;
    }
    let Some(date) = date else { return false };
    // Text compares as dates do once both have the same form; a day alone is its midnight.
    let full = |date: &str| if date.len() == 10 { format!("{date}T00:00:00") } else { date.to_owned() };
    let date = full(date);
    from.is_none_or(|from| full(from) <= date) && to.is_none_or(|to| date <= full(to))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let center = mean(values);
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    (squares / (values.len() - 1) as f64 / values.len() as f64).sqrt()
}

fn bootstrap(values: &[f64]) -> (f64, f64) {
    let mut random = SplitMix(0x5eed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| (0..values.len()).map(|_| values[random.below(values.len())]).sum::<f64>())
        .map(|sum| sum / values.len() as f64)
        .collect();
    means.sort_by(f64::total_cmp);
    (means[RESAMPLES / 40], means[RESAMPLES - 1 - RESAMPLES / 40])
}

/// SplitMix64: small, and good enough to draw problems with.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        ((u128::from(z) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(samples: usize, accepted: usize) -> Tried {
        Tried { samples, accepted }
    }

    /// Against the definition: the share of k-subsets with an accepted sample.
    #[test]
    fn pass_at_k_counts_subsets() {
        for samples in 1..=10usize {
            for accepted in 0..=samples {
                for k in 1..=samples {
                    let subsets = (0..1u32 << samples).filter(|s| s.count_ones() as usize == k);
                    let (mut hit, mut all) = (0, 0);
                    for subset in subsets {
                        all += 1;
                        hit += u32::from(subset & ((1 << accepted) - 1) != 0);
                    }
                    let expected = f64::from(hit) / f64::from(all);
                    let got = pass_at_k(tried(samples, accepted), k);
                    assert!(
                        (got - expected).abs() < 1e-12,
                        "n={samples} c={accepted} k={k}: {got} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn means_need_enough_samples() {
        assert_eq!(mean_pass_at_k(&[tried(2, 1), tried(4, 4)], 2), Some(1.0));
        assert_eq!(mean_pass_at_k(&[tried(2, 1), tried(1, 1)], 2), None);
        assert_eq!(mean_pass_at_k(&[], 1), None);
    }

    /// A draw hits with the chance that the unbiased estimate states; certain and impossible ones are exact.
    #[test]
    fn draws_agree_with_the_estimate() {
        let problems: Vec<Tried> = (0..50).map(|i| tried(16, i % 17)).collect();
        for k in [1, 2, 8, 16] {
            let (exact, drawn) = (mean_pass_at_k(&problems, k), resampled_pass_at_k(&problems, k));
            let apart = exact.expect("enough") - drawn.expect("enough");
            // 5,000 draws of a variance of at most 1/4: a standard error below 0.71 points.
            assert!(apart.abs() < 0.02, "k={k}: {apart}");
        }
        assert_eq!(resampled_pass_at_k(&[tried(4, 4), tried(4, 0)], 3), Some(0.5));
        assert_eq!(resampled_pass_at_k(&[tried(4, 2)], 3), Some(1.0));
        assert_eq!(resampled_pass_at_k(&[tried(4, 2)], 5), None);
    }

    #[test]
    fn a_curve_goes_up_to_the_fewest_samples() {
        let curve = pass_curve(&[tried(12, 6), tried(20, 0)]);
        assert_eq!(curve.iter().map(|point| point.k).collect::<Vec<_>>(), [1, 2, 4, 5, 8, 10, 12]);
        assert_eq!((curve[0].unbiased, curve[6].unbiased), (0.25, 0.5));
        assert_eq!(curve[6].interval, (0.0, 1.0));
        assert!(pass_curve(&[]).is_empty());
    }

    /// By hand: rates 1/4 and 1/2 of four samples give sqrt(3/16/3 + 1/4/3)/2 = sqrt(7/48)/2.
    #[test]
    fn the_sampling_error_keeps_the_problems() {
        let error = sampling_error(&[tried(4, 1), tried(4, 2)]).expect("enough samples");
        assert!((error - (7.0f64 / 48.0).sqrt() / 2.0).abs() < 1e-12);
        assert_eq!(sampling_error(&[tried(4, 1), tried(1, 1)]), None);
        assert_eq!(sampling_error(&[tried(9, 9)]), Some(0.0));
    }

    #[test]
    fn mcnemar_counts_binomially() {
        let rows =
            [((0, 0), 1.0), ((5, 5), 1.0), ((1, 9), 22.0 / 1024.0), ((9, 1), 22.0 / 1024.0), ((0, 4), 0.125)];
        for ((first, second), p) in rows {
            assert!(
                (mcnemar(first, second) - p).abs() < 1e-12,
                "{first} {second}: {}",
                mcnemar(first, second)
            );
        }
        let many = mcnemar(4900, 5100);
        assert!(
            (many - 0.0466).abs() < 1e-3,
            "the normal approximation with continuity says 0.0466, not {many}"
        );
    }

    #[test]
    fn a_window_ends_at_midnight() {
        let rows = [
            (Some("2024-08-01T00:00:00"), true),
            (Some("2025-02-01T00:00:00"), true),
            (Some("2025-02-01"), true),
            (Some("2025-02-01T18:30:00"), false),
            (Some("2024-07-31T23:59:59"), false),
            (None, false),
        ];
        for (date, inside) in rows {
            assert_eq!(in_window(date, Some("2024-08-01"), Some("2025-02-01")), inside, "{date:?}");
        }
        assert!(in_window(None, None, None) && in_window(Some("1999-01-01"), None, Some("2000-01-01")));
    }

    #[test]
    fn an_estimate_repeats_and_contains_its_mean() {
        let problems: Vec<Tried> = (0..100).map(|i| tried(4, i % 5)).collect();
        let first = estimate(&problems).expect("problems");
        assert_eq!(Some(first), estimate(&problems));
        assert!((first.mean - 0.5).abs() < 1e-12);
        // Rates 0, 1/4, 2/4, 3/4, 1 in equal shares: variance 1/8 (n/(n-1)), over 100 problems.
        assert!((first.standard_error - (0.125f64 / 99.0).sqrt()).abs() < 1e-12);
        assert!(first.interval.0 < first.mean && first.mean < first.interval.1);
        assert!((first.interval.1 - first.interval.0 - 3.92 * first.standard_error).abs() < 0.02);
        assert_eq!(estimate(&[]), None);
        assert_eq!(estimate(&[tried(1, 1)]).expect("one").interval, (1.0, 1.0));
    }
}
