//! Percentiles of measured times.

use std::time::Duration;

/// Measured times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    sorted: Vec<u64>,
}

impl Latencies {
    /// Of any number of samples, in any unit.
    pub(crate) fn new(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        Self { sorted: samples }
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest sample that at least `percent` of all samples do not exceed, in their unit;
    /// `None` without samples.
    pub(crate) fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (percent * self.count()).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied()
    }

    /// As [`percentile`](Self::percentile), of nanoseconds in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a time in nanoseconds is far below 2^53")]
        self.percentile(percent).map(|ns| ns as f64 / 1e6)
    }
}

/// A duration in nanoseconds, as samples are.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How many there were in each second.
pub(crate) fn rate(count: usize, wall: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let count = count as f64;
    let seconds = wall.as_secs_f64();
    if seconds == 0.0 { 0.0 } else { count / seconds }
}

#[cfg(test)]
mod tests {
    use super::Latencies;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred = Latencies::new((1..=100).rev().collect());
        assert_eq!(hundred.percentile(50), Some(50));
        assert_eq!(hundred.percentile(99), Some(99));
        let three = Latencies::new(vec![3, 1, 2]);
        assert_eq!(three.percentile(50), Some(2));
        assert_eq!(three.percentile(99), Some(3));
        assert_eq!(three.percentile(0), Some(1));
        assert_eq!(Latencies::default().percentile(50), None);
    }
}
