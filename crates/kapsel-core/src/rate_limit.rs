//! How many requests to an endpoint may be begun in a time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The most requests per second that a limit can allow.
pub const PER_SECOND_MAX: f64 = 100_000.0;
/// The fewest: one in about three hours.
pub const PER_SECOND_MIN: f64 = 0.0001;
/// The largest burst.
pub const BURST_MAX: u32 = 100_000;

/// A token bucket: it holds at most `burst` tokens, gains `per_second` of them each second, and each request takes one.
/// So within any time of `t` seconds at most `burst + t × per_second` requests are begun.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Tokens per second.
    pub per_second: f64,
    /// The most tokens at once, at least 1.
    pub burst: u32,
}

impl RateLimit {
    /// Whether the numbers are within their ranges.
    pub fn is_valid(&self) -> bool {
        (PER_SECOND_MIN..=PER_SECOND_MAX).contains(&self.per_second) && (1..=BURST_MAX).contains(&self.burst)
    }
}

/// The tokens of one endpoint. Times are counted from any fixed moment, on a clock that never goes back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    tokens: f64,
    at: Duration,
}

/// So little less than a whole token counts as one: sums of fractions are not exact.
const NEARLY: f64 = 1e-6;

impl Bucket {
    /// A full bucket.
    pub fn full(limit: &RateLimit, now: Duration) -> Self {
        Bucket { tokens: f64::from(limit.burst), at: now }
    }

    /// Whether a token is there at `now`.
    pub fn has_token(&mut self, limit: &RateLimit, now: Duration) -> bool {
        self.fill(limit, now);
        self.tokens >= 1.0 - NEARLY
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, limit: &RateLimit, now: Duration) -> bool {
        let has_token = self.has_token(limit, now);
        if has_token {
            self.tokens -= 1.0;
        }
        has_token
    }

    /// Puts back a token that was not used.
    pub fn put_back(&mut self, limit: &RateLimit) {
        self.tokens = (self.tokens + 1.0).min(f64::from(limit.burst));
    }

    /// How long after `now` the next token is there; zero if one is.
    pub fn wait(&mut self, limit: &RateLimit, now: Duration) -> Duration {
        self.fill(limit, now);
        let missing = (1.0 - self.tokens).max(0.0);
        if missing <= NEARLY {
            return Duration::ZERO;
        }
        // Never rounded down: whoever comes back after this time shall find it.
        let wait = Duration::try_from_secs_f64(missing / limit.per_second).unwrap_or(Duration::MAX);
        wait.saturating_add(Duration::from_micros(1))
    }

    /// Whether it is as full as it can be, so that there is nothing to remember.
    pub fn is_full(&mut self, limit: &RateLimit, now: Duration) -> bool {
        self.fill(limit, now);
        self.tokens >= f64::from(limit.burst) - NEARLY
    }

    fn fill(&mut self, limit: &RateLimit, now: Duration) {
        let passed = now.saturating_sub(self.at);
        let gained = passed.as_secs_f64() * limit.per_second;
        self.tokens = (self.tokens + gained).min(f64::from(limit.burst));
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_token_at_a_time() {
        let limit = RateLimit { per_second: 10.0, burst: 3 };
        let mut bucket = Bucket::full(&limit, Duration::ZERO);
        let mut taken = Vec::new();
        for milli in 0..1_000 {
            while bucket.take(&limit, Duration::from_millis(milli)) {
                taken.push(milli);
            }
        }
        assert_eq!(taken, [0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
        assert!(!bucket.is_full(&limit, Duration::from_secs(1)));
        assert!(bucket.is_full(&limit, Duration::from_secs(2)));
    }

    #[test]
    fn what_is_put_back_can_be_taken_but_never_exceeds_the_burst() {
        let limit = RateLimit { per_second: 1.0, burst: 1 };
        let mut bucket = Bucket::full(&limit, Duration::ZERO);
        assert!(bucket.take(&limit, Duration::ZERO));
        assert!(!bucket.take(&limit, Duration::ZERO));
        bucket.put_back(&limit);
        bucket.put_back(&limit);
        assert!(bucket.take(&limit, Duration::ZERO));
        assert!(!bucket.take(&limit, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_in_any_time(
            per_second in 0.1_f64..1_000.0, burst in 1_u32..50,
            steps in proptest::collection::vec(0_u64..50_000, 1..300),
        ) {
            let limit = RateLimit { per_second, burst };
            let mut bucket = Bucket::full(&limit, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut taken: Vec<Duration> = Vec::new();
            for step in steps {
                now += Duration::from_micros(step);
                if bucket.take(&limit, now) {
                    taken.push(now);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let count = f64::from(u32::try_from(last - first + 1).unwrap());
                    let allowed = f64::from(burst) + (*end - *start).as_secs_f64() * per_second;
                    prop_assert!(count <= allowed + 0.01, "{} > {}", count, allowed);
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_finds_a_token(per_second in 0.001_f64..10_000.0, burst in 1_u32..10) {
            let limit = RateLimit { per_second, burst };
            let mut bucket = Bucket::full(&limit, Duration::ZERO);
            let mut now = Duration::from_secs(5);
            for _ in 0..50 {
                now += bucket.wait(&limit, now);
                prop_assert!(bucket.take(&limit, now));
            }
        }
    }
}
