//! When a failed delivery is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most attempts that a policy can ask for.
pub const ATTEMPTS_MAX: u32 = 1_000;
/// The longest wait between two attempts that a policy can ask for: 30 days.
pub const DELAY_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How far a delay may lie from its nominal value, as a fraction of it.
pub const JITTER: f64 = 0.25;

/// The schedule that the Standard Webhooks specification 1.0.0 recommends, in seconds before each attempt.
pub const STANDARD_WEBHOOKS_SECONDS: &[u32] = &[0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/// How often and after which waits a delivery is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RetryPolicy {
    /// Waits of `base`, `base × factor`, `base × factor²` … up to `cap`.
    Exponential {
        /// The wait before the second attempt, in milliseconds.
        base_ms: u64,
        /// What each further wait is multiplied by; at least 1.
        factor: f64,
        /// The longest wait, in milliseconds.
        cap_ms: u64,
        /// How many attempts are made in all.
        attempts_max: u32,
    },
    /// One wait before each attempt, in seconds; the first is 0. There are as many attempts as entries.
    Schedule {
        /// Seconds to wait before each attempt.
        waits_seconds: Vec<u32>,
    },
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRetryPolicy {
    /// There would be no attempt, or too many.
    #[error("the number of attempts must be 1 to {ATTEMPTS_MAX}")]
    Attempts,
    /// The base is zero or longer than the cap.
    #[error("the base wait must be at least 1 ms and not longer than the cap")]
    Base,
    /// The factor would make waits shrink, or is not a number.
    #[error("the factor must be 1 to 100")]
    Factor,
    /// A wait is longer than 30 days.
    #[error("a wait must not be longer than 30 days")]
    TooLong,
    /// The first attempt would not be made at once.
    #[error("the first entry of a schedule must be 0: the first attempt is made at once")]
    FirstWait,
}

impl Default for RetryPolicy {
    /// Base 1 s, factor 2, cap 1 h, 35 attempts, which span 24 h.
    fn default() -> Self {
        RetryPolicy::Exponential { base_ms: 1_000, factor: 2.0, cap_ms: 3_600_000, attempts_max: 35 }
    }
}

impl RetryPolicy {
    /// The preset `standard-webhooks`.
    pub fn standard_webhooks() -> Self {
        RetryPolicy::Schedule { waits_seconds: STANDARD_WEBHOOKS_SECONDS.to_vec() }
    }

    /// Checks that the policy makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&self) -> Result<(), InvalidRetryPolicy> {
        if !(1..=ATTEMPTS_MAX).contains(&self.attempts_max()) {
            return Err(InvalidRetryPolicy::Attempts);
        }
        match self {
            RetryPolicy::Exponential { base_ms, factor, cap_ms, .. } => {
                if *base_ms == 0 || base_ms > cap_ms {
                    return Err(InvalidRetryPolicy::Base);
                }
                if !(1.0..=100.0).contains(factor) {
                    return Err(InvalidRetryPolicy::Factor);
                }
                if Duration::from_millis(*cap_ms) > DELAY_MAX {
                    return Err(InvalidRetryPolicy::TooLong);
                }
            }
            RetryPolicy::Schedule { waits_seconds } => {
                if waits_seconds.first() != Some(&0) {
                    return Err(InvalidRetryPolicy::FirstWait);
                }
                if waits_seconds.iter().any(|wait| Duration::from_secs(u64::from(*wait)) > DELAY_MAX) {
                    return Err(InvalidRetryPolicy::TooLong);
                }
            }
        }
        Ok(())
    }

    /// How many attempts are made in all.
    pub fn attempts_max(&self) -> u32 {
        match self {
            RetryPolicy::Exponential { attempts_max, .. } => *attempts_max,
            RetryPolicy::Schedule { waits_seconds } => u32::try_from(waits_seconds.len()).unwrap_or(u32::MAX),
        }
    }

    /// How long to wait after the failed attempt number `made` (from 1) before the next one; `None` when that was
    /// the last. `unit` is a random number in `0.0 ..= 1.0`.
    ///
    /// The wait lies within ±25 % of the nominal one and never above an exponential policy's cap: near the cap the
    /// upper part of the range is cut off and the rest used evenly, so that waits do not pile up on the cap itself.
    pub fn delay_after(&self, made: u32, unit: f64) -> Option<Duration> {
        if made >= self.attempts_max() {
            return None;
        }
        let (nominal, cap) = match self {
            RetryPolicy::Exponential { base_ms, factor, cap_ms, .. } => {
                let steps = i32::try_from(made.saturating_sub(1)).unwrap_or(i32::MAX);
                let cap = Duration::from_millis(*cap_ms);
                let nominal_ms = Duration::from_millis(*base_ms).as_secs_f64() * factor.powi(steps);
                (nominal_ms.min(cap.as_secs_f64()), cap.as_secs_f64())
            }
            RetryPolicy::Schedule { waits_seconds } => {
                let wait = f64::from(*waits_seconds.get(usize::try_from(made).ok()?)?);
                (wait, f64::INFINITY)
            }
        };
        let low = nominal * (1.0 - JITTER);
        let high = (nominal * (1.0 + JITTER)).min(cap);
        Duration::try_from_secs_f64(low + unit.clamp(0.0, 1.0) * (high - low)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exponential(base_ms: u64, factor: f64, cap_ms: u64, attempts_max: u32) -> RetryPolicy {
        RetryPolicy::Exponential { base_ms, factor, cap_ms, attempts_max }
    }

    #[test]
    fn default_policy_doubles_to_an_hour_and_spans_a_day() {
        let policy = RetryPolicy::default();
        let nominal = |made| policy.delay_after(made, 0.5).unwrap().as_secs();
        assert_eq!([1, 2, 3, 4, 5, 11, 12].map(nominal), [1, 2, 4, 8, 16, 1_024, 2_048]);
        let total: Duration = (1..35).map(|made| policy.delay_after(made, 1.0).unwrap()).sum();
        let hours = total.as_secs_f64() / 3_600.0;
        assert!((22.0..=24.5).contains(&hours), "{hours} h");
        assert_eq!(policy.delay_after(35, 0.5), None);
        assert!(policy.validate().is_ok());
    }

    #[test]
    fn standard_webhooks_preset_has_ten_attempts_over_75_hours() {
        let policy = RetryPolicy::standard_webhooks();
        assert_eq!(policy.attempts_max(), 10);
        let total: Duration = (1..10).map(|made| policy.delay_after(made, 0.5).unwrap()).sum();
        assert_eq!(total, Duration::from_secs(75 * 3_600 + 35 * 60 + 5));
        assert_eq!(policy.delay_after(10, 0.5), None);
        assert!(policy.validate().is_ok());
    }

    #[test]
    fn senseless_policies_are_refused() {
        let cases = [
            (exponential(1_000, 2.0, 60_000, 0), InvalidRetryPolicy::Attempts),
            (exponential(1_000, 2.0, 60_000, 1_001), InvalidRetryPolicy::Attempts),
            (exponential(0, 2.0, 60_000, 3), InvalidRetryPolicy::Base),
            (exponential(60_001, 2.0, 60_000, 3), InvalidRetryPolicy::Base),
            (exponential(1, 0.5, 60_000, 3), InvalidRetryPolicy::Factor),
            (exponential(1, f64::NAN, 60_000, 3), InvalidRetryPolicy::Factor),
            (exponential(1, 2.0, u64::MAX, 3), InvalidRetryPolicy::TooLong),
            (RetryPolicy::Schedule { waits_seconds: vec![] }, InvalidRetryPolicy::Attempts),
            (RetryPolicy::Schedule { waits_seconds: vec![5, 10] }, InvalidRetryPolicy::FirstWait),
            (RetryPolicy::Schedule { waits_seconds: vec![0, u32::MAX] }, InvalidRetryPolicy::TooLong),
        ];
        for (policy, expected) in cases {
            assert_eq!(policy.validate(), Err(expected), "{policy:?}");
        }
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_quarter_and_the_cap_holds(
            base_ms in 1_u64..100_000, factor in 1.0_f64..10.0, cap_ms in 100_000_u64..10_000_000,
            made in 1_u32..99, unit in 0.0_f64..=1.0,
        ) {
            let policy = exponential(base_ms, factor, cap_ms, 100);
            let delay = policy.delay_after(made, unit).unwrap().as_secs_f64();
            let cap = Duration::from_millis(cap_ms).as_secs_f64();
            let exact = Duration::from_millis(base_ms).as_secs_f64() * factor.powi(i32::try_from(made).unwrap() - 1);
            let nominal = exact.min(cap);
            prop_assert!(delay <= cap + 1e-6);
            prop_assert!(delay >= nominal * 0.75 - 1e-6, "{} below {}", delay, nominal);
            prop_assert!(delay <= nominal * 1.25 + 1e-6, "{} above {}", delay, nominal);
        }

        #[test]
        fn backoff_grows_until_the_cap(
            base_ms in 1_u64..10_000, factor in 1.0_f64..10.0, made in 1_u32..98, unit in 0.0_f64..=1.0,
        ) {
            let policy = exponential(base_ms, factor, 1_000_000, 100);
            let delay = policy.delay_after(made, unit).unwrap();
            let next = policy.delay_after(made + 1, unit).unwrap();
            prop_assert!(next + Duration::from_micros(1) >= delay);
        }

        #[test]
        fn there_are_exactly_as_many_attempts_as_the_policy_says(
            attempts_max in 1_u32..200, unit in 0.0_f64..=1.0,
        ) {
            let policy = exponential(1_000, 2.0, 60_000, attempts_max);
            let retries = (1..500).take_while(|made| policy.delay_after(*made, unit).is_some()).count();
            prop_assert_eq!(retries + 1, attempts_max as usize);
        }
    }
}
