//! Counts of measured values in bins that are fixed beforehand, so that a run of any length takes the same memory and
//! two runs' bins are the same.

/// Values by the bin they fall in: bin `i` holds what is above `edges[i - 1]` and at most `edges[i]`, the first all up to
/// `edges[0]`, the last what is above every edge.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram {
    edges: &'static [f64],
    counts: Vec<u64>,
    largest: f64,
}

/// Seconds: 1, 2 and 5 of each power of ten from a millisecond.
pub(super) const SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0];

/// Bytes: powers of two from 1 MiB to 4 GiB.
pub(super) const BYTES: [f64; 13] = {
    let mut edges = [0.0; 13];
    let mut i = 0;
    while i < edges.len() {
        edges[i] = ((1_u64 << 20) << i) as f64;
        i += 1;
    }
    edges
};

/// Shares of one, in tenths. The first bin holds nothing but zero, the last but one less than all, the last all.
pub(super) const SHARES: [f64; 11] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 - 1e-9];

impl Histogram {
    /// An empty one.
    pub(super) fn new(edges: &'static [f64]) -> Histogram {
        Histogram { edges, counts: vec![0; edges.len() + 1], largest: 0.0 }
    }

    /// Counts one value.
    pub(super) fn add(&mut self, value: f64) {
        self.counts[self.edges.partition_point(|edge| *edge < value)] += 1;
        self.largest = self.largest.max(value);
    }

    /// The bins' upper edges.
    pub(super) fn edges(&self) -> &'static [f64] {
        self.edges
    }

    /// One count more than there are edges.
    pub(super) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All values counted.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The largest value counted; 0 where there is none.
    pub(super) fn largest(&self) -> f64 {
        self.largest
    }

    /// A value that at least this share of all does not exceed: the edge of its bin, or the largest.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (share * self.total() as f64).ceil().max(1.0);
        let mut below = 0;
        for (bin, count) in self.counts.iter().enumerate() {
            below += count;
            if *count > 0 && below as f64 >= wanted {
                return Some(self.edges.get(bin).copied().unwrap_or(self.largest).min(self.largest));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_in_their_bins() {
        let mut times = Histogram::new(&SECONDS);
        assert_eq!(times.quantile(0.5), None);
        for value in [0.0, 0.001, 0.0011, 0.3, 6.0, 99.0] {
            times.add(value);
        }
        let filled: Vec<(usize, u64)> =
            times.counts().iter().copied().enumerate().filter(|(_, n)| *n > 0).collect();
        assert_eq!(filled, [(0, 2), (1, 1), (8, 1), (12, 1), (14, 1)]);
        assert_eq!((times.total(), times.largest()), (6, 99.0));
        let quantiles = [0.0, 0.33, 0.5, 0.51, 1.0].map(|share| times.quantile(share).expect("values"));
        assert_eq!(quantiles, [0.001, 0.001, 0.002, 0.5, 99.0]);
        assert_eq!(BYTES[10], 1_073_741_824.0);
        let mut shares = Histogram::new(&SHARES);
        for share in [0.0, 0.05, 0.95, 1.0] {
            shares.add(share);
        }
        assert_eq!(
            (shares.counts()[0], shares.counts()[1], shares.counts()[10], shares.counts()[11]),
            (1, 1, 1, 1)
        );
    }
}
