//! When a circuit opens, for how long, and what closes it again.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The rules of one endpoint's circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitPolicy {
    /// So many failures in a row open it.
    pub consecutive_failures: u32,
    /// So many of hundred among the last `window_requests` open it.
    pub failure_percent: u32,
    /// How many of the last requests are looked at for `failure_percent`; fewer than that never open it.
    pub window_requests: u32,
    /// How long it is open the first time, in seconds. Each further time is twice as long.
    pub open_seconds: u32,
    /// The longest time that it is open at a stretch, in seconds.
    pub open_seconds_max: u32,
    /// How many requests may be under way while it is half-open, over all instances.
    pub probes: u32,
    /// So many successes close it.
    pub successes: u32,
}

impl CircuitPolicy {
    /// The most requests that a window can hold.
    pub const WINDOW_MAX: u32 = 1_000;
    /// The longest time a circuit can be open at a stretch, in seconds: a day.
    pub const OPEN_SECONDS_MAX: u32 = 86_400;
    /// The most probes, and the most successes that can be asked for.
    pub const PROBES_MAX: u32 = 100;

    /// The smallest and the largest number that makes sense for a field; `None` if there is no such field.
    pub fn range(field: &str) -> Option<RangeInclusive<u32>> {
        Some(match field {
            "consecutive_failures" => 1..=Self::WINDOW_MAX,
            "failure_percent" => 1..=100,
            "window_requests" => 2..=Self::WINDOW_MAX,
            "open_seconds" | "open_seconds_max" => 1..=Self::OPEN_SECONDS_MAX,
            "probes" | "successes" => 1..=Self::PROBES_MAX,
            _ => return None,
        })
    }
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        CircuitPolicy {
            consecutive_failures: 5,
            failure_percent: 50,
            window_requests: 10,
            open_seconds: 30,
            open_seconds_max: 600,
            probes: 2,
            successes: 3,
        }
    }
}

/// Why a policy cannot be used. Fields are named as in [`CircuitPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCircuitPolicy {
    /// A number is outside of its range.
    #[error("must be {min} to {max}")]
    OutOfRange {
        /// Which one.
        field: &'static str,
        /// The smallest that makes sense.
        min: u32,
        /// The largest.
        max: u32,
    },
    /// The first opening would be longer than the longest.
    #[error("must not be shorter than open_seconds")]
    Shrinking,
}

impl InvalidCircuitPolicy {
    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            InvalidCircuitPolicy::OutOfRange { field, .. } => field,
            InvalidCircuitPolicy::Shrinking => "open_seconds_max",
        }
    }
}

impl CircuitPolicy {
    /// Checks that the policy makes sense.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn validate(&self) -> Result<(), InvalidCircuitPolicy> {
        let fields = [
            ("consecutive_failures", self.consecutive_failures),
            ("failure_percent", self.failure_percent),
            ("window_requests", self.window_requests),
            ("open_seconds", self.open_seconds),
            ("open_seconds_max", self.open_seconds_max),
            ("probes", self.probes),
            ("successes", self.successes),
        ];
        for (field, value) in fields {
            if let Some(range) = Self::range(field).filter(|range| !range.contains(&value)) {
                return Err(InvalidCircuitPolicy::OutOfRange { field, min: *range.start(), max: *range.end() });
            }
        }
        if self.open_seconds_max < self.open_seconds {
            return Err(InvalidCircuitPolicy::Shrinking);
        }
        Ok(())
    }

    /// How long the opening number `times` (from 1) in a row lasts. The first lasts exactly `open_seconds`; each further
    /// one twice as long as the one before, up to the longest, and up to a quarter longer by `unit`, a random number in
    /// `0.0 ..= 1.0`: destinations that failed together are not to be probed together for ever.
    pub fn open_time(&self, times: u32, unit: f64) -> Duration {
        let doublings = times.saturating_sub(1).min(31);
        let seconds = u64::from(self.open_seconds) << doublings;
        let nominal = Duration::from_secs(seconds.min(u64::from(self.open_seconds_max)));
        if doublings == 0 { nominal } else { nominal.mul_f64(1.0 + 0.25 * unit.clamp(0.0, 1.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_grow_up_to_the_longest_and_never_come_early() {
        let policy = CircuitPolicy::default();
        let seconds = |times, unit| policy.open_time(times, unit).as_secs_f64();
        for unit in [0.0, 0.5, 1.0] {
            assert!((seconds(1, unit) - 30.0).abs() < 1e-9, "the first one is exact");
        }
        for (times, nominal) in [(2, 60.0), (3, 120.0), (4, 240.0), (5, 480.0), (6, 600.0), (7, 600.0), (1_000, 600.0)]
        {
            assert!((seconds(times, 0.0) - nominal).abs() < 1e-9, "{times}");
            assert!((seconds(times, 1.0) - nominal * 1.25).abs() < 1e-6, "{times}");
        }
    }

    #[test]
    fn senseless_policies_are_refused_by_field() {
        let fine = CircuitPolicy::default();
        assert_eq!(fine.validate(), Ok(()));
        let cases = [
            (CircuitPolicy { consecutive_failures: 0, ..fine }, "consecutive_failures"),
            (CircuitPolicy { failure_percent: 0, ..fine }, "failure_percent"),
            (CircuitPolicy { failure_percent: 101, ..fine }, "failure_percent"),
            (CircuitPolicy { window_requests: 1, ..fine }, "window_requests"),
            (CircuitPolicy { window_requests: 1_001, ..fine }, "window_requests"),
            (CircuitPolicy { open_seconds: 0, ..fine }, "open_seconds"),
            (CircuitPolicy { open_seconds: 700, ..fine }, "open_seconds_max"),
            (CircuitPolicy { open_seconds_max: 86_401, ..fine }, "open_seconds_max"),
            (CircuitPolicy { probes: 0, ..fine }, "probes"),
            (CircuitPolicy { successes: 0, ..fine }, "successes"),
        ];
        for (policy, field) in cases {
            assert_eq!(policy.validate().map_err(|error| error.field()), Err(field), "{policy:?}");
        }
    }
}
