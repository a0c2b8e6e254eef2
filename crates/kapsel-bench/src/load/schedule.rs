//! When the requests of an open loop are to start: fixed beforehand, whatever becomes of the ones before.

use serde::Serialize;

use crate::chance::Seeded;
use crate::rounding::whole;

const NANOS_PER_SECOND: f64 = 1e9;
/// Starts that would be nearer to each other fall together. To be woken by a timer costs a few microseconds of processor
/// time, and in a virtual machine some thirty: ten thousand times a second, that would be a third of a processor, taken
/// away from what is measured.
const GRAIN_NS: f64 = 500_000.0;

/// How the starts are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arrivals {
    /// At equal distances.
    Uniform,
    /// At random, as of many independent sources: distances are exponentially distributed.
    Poisson,
}

/// The intended starts, one after the other.
#[derive(Debug)]
pub(crate) struct Schedule {
    arrivals: Arrivals,
    begin_ns: u64,
    interval_ns: f64,
    /// The next start, from the beginning on.
    next_ns: f64,
    passed: u64,
    chance: Seeded,
}

impl Schedule {
    /// Starts from `begin_ns` on.
    pub(crate) fn new(begin_ns: u64, per_second: f64, arrivals: Arrivals) -> Self {
        let interval_ns = NANOS_PER_SECOND / per_second;
        Schedule { arrivals, begin_ns, interval_ns, next_ns: 0.0, passed: 0, chance: Seeded::new(1) }
    }

    /// The next intended start. Above 2,000 in a second, starts are on a grid of half a millisecond, several at once.
    pub(crate) fn next_ns(&self) -> u64 {
        let is_dense = self.interval_ns < GRAIN_NS;
        let next_ns = if is_dense { (self.next_ns / GRAIN_NS).floor() * GRAIN_NS } else { self.next_ns };
        self.begin_ns.saturating_add(whole(next_ns))
    }

    /// Goes on to the one after it.
    pub(crate) fn advance(&mut self) {
        self.passed += 1;
        self.next_ns = match self.arrivals {
            // Multiplied, not added up: rounding must not shift the rate of a long run.
            Arrivals::Uniform => self.passed as f64 * self.interval_ns,
            Arrivals::Poisson => self.next_ns - self.chance.fraction().ln() * self.interval_ns,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(per_second: f64, arrivals: Arrivals, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(1_000, per_second, arrivals);
        let step = |_| {
            let start = schedule.next_ns();
            schedule.advance();
            start
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn uniform_starts_keep_their_distance_for_hours() {
        assert_eq!(starts(1_000.0, Arrivals::Uniform, 3), [1_000, 1_001_000, 2_001_000]);
        let thirds = starts(3.0, Arrivals::Uniform, 30_001);
        assert_eq!(thirds.last(), Some(&(1_000 + 10_000 * 1_000_000_000)));
    }

    #[test]
    fn dense_starts_come_in_groups_of_the_same_rate() {
        let starts = starts(10_000.0, Arrivals::Uniform, 50_001);
        assert_eq!(starts[..7], [1_000, 1_000, 1_000, 1_000, 1_000, 501_000, 501_000]);
        assert_eq!(starts.last(), Some(&5_000_001_000));
    }

    #[test]
    fn poisson_starts_have_the_rate_and_the_spread() {
        let starts = starts(1_000.0, Arrivals::Poisson, 20_001);
        assert!(starts.is_sorted());
        let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.03, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }
}
