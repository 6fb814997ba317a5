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
