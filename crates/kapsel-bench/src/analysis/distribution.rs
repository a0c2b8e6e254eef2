//! Many durations in a few numbers: an HDR histogram with three significant digits, and its percentiles.

use hdrhistogram::Histogram;
use serde::Serialize;

/// Three significant digits: a value is shown at most 0.1 % too high.
const DIGITS: u8 = 3;
/// An hour. What is longer counts as one.
const MICROS_MAX: u64 = 3_600_000_000;
/// How fine the curve is: so many points between each two halvings of what lies above.
const POINTS_PER_HALVING: u32 = 5;
/// The percentiles that have a row in tables.
const NAMED: &[f64] = &[50.0, 90.0, 95.0, 99.0, 99.9, 99.99];

/// A percentile and the duration that it is at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentile {
    /// From 0 to 100.
    pub(crate) percentile: f64,
    /// So many are not longer than this.
    pub(crate) us: u64,
}

/// The distribution of durations.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Distribution {
    /// How many there were.
    pub(crate) count: u64,
    /// Their mean.
    pub(crate) mean_us: f64,
    /// The shortest.
    pub(crate) min_us: u64,
    /// The longest.
    pub(crate) max_us: u64,
    /// The usual percentiles.
    pub(crate) percentiles: Vec<Percentile>,
    /// The whole curve, the finer the nearer to 100.
    pub(crate) curve: Vec<Percentile>,
}

impl Distribution {
    /// That of these durations in microseconds; nothing if there are none.
    pub(crate) fn of(durations_us: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut histogram: Histogram<u64> = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).ok()?;
        durations_us.into_iter().for_each(|duration| histogram.saturating_record(duration));
        if histogram.is_empty() {
            return None;
        }
        let named = |percentile: &f64| Percentile {
            percentile: *percentile,
            us: histogram.value_at_percentile(*percentile).min(histogram.max()),
        };
        let curve = histogram.iter_quantiles(POINTS_PER_HALVING).map(|point| Percentile {
            percentile: point.quantile_iterated_to() * 100.0,
            us: point.value_iterated_to().min(histogram.max()),
        });
        Some(Distribution {
            count: histogram.len(),
            mean_us: histogram.mean(),
            min_us: histogram.min(),
            max_us: histogram.max(),
            percentiles: NAMED.iter().map(named).collect(),
            curve: curve.collect(),
        })
    }

    /// One of the usual percentiles, in milliseconds.
    pub(crate) fn milliseconds_at(&self, percentile: f64) -> Option<f64> {
        let found = self.percentiles.iter().find(|named| named.percentile.to_bits() == percentile.to_bits());
        found.map(|named| named.us as f64 / 1e3)
    }

    /// The longest, in milliseconds.
    pub(crate) fn milliseconds_max(&self) -> f64 {
        self.max_us as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let distribution = Distribution::of((1..=1_000).map(|milliseconds| milliseconds * 1_000)).unwrap();
        assert_eq!((distribution.count, distribution.min_us), (1_000, 1_000));
        for (percentile, expected) in [(50.0, 500.0), (99.0, 990.0), (99.9, 999.0)] {
            let found = distribution.milliseconds_at(percentile).unwrap();
            assert!((found / expected - 1.0).abs() < 0.002, "{percentile}: {found}");
        }
        assert!((distribution.milliseconds_max() / 1_000.0 - 1.0).abs() < 0.002);
        assert!(distribution.curve.is_sorted_by(|a, b| a.percentile <= b.percentile && a.us <= b.us));
        assert_eq!(distribution.milliseconds_at(12.0), None);
    }

    #[test]
    fn nothing_has_no_distribution_and_zero_is_a_duration() {
        assert_eq!(Distribution::of([]), None);
        let distribution = Distribution::of([0, 0, u64::MAX]).unwrap();
        assert_eq!((distribution.count, distribution.min_us), (3, 0));
        assert!(distribution.max_us <= 4_000_000_000);
    }
}
