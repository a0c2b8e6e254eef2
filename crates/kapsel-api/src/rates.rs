//! How often somebody may come: limits of rate by the generic cell rate algorithm, which is a token bucket in one number.
//!
//! What was used up stays used up: a limiter belongs to whom it limits and not to a version of its settings, so neither a
//! refresh nor a change of something else fills it. Each instance counts for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use kapsel_core::RateLimit;
use tokio::time::Instant;

/// Limiters by whom they limit.
pub(crate) struct Rates<K> {
    limiters: RwLock<HashMap<K, Arc<Limiter>>>,
    clock: Ticks,
}

struct Limiter {
    limit: RateLimit,
    cells: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
}

/// Somebody came too often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Exceeded {
    /// The limit.
    pub(crate) limit: RateLimit,
    /// How long to wait.
    pub(crate) wait: Duration,
}

impl<K: Copy + Eq + Hash> Rates<K> {
    pub(crate) fn new() -> Self {
        Rates { limiters: RwLock::default(), clock: Ticks { start: Instant::now() } }
    }

    /// Whether `key` may come now under `limit`. If so, it has come.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn check(&self, key: K, limit: &RateLimit) -> Result<(), Exceeded> {
        let limiter = self.limiter(key, limit);
        limiter.cells.check().map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Exceeded { limit: *limit, wait }
        })
    }

    fn limiter(&self, key: K, limit: &RateLimit) -> Arc<Limiter> {
        // Nothing panics while it holds the lock.
        let known = self.limiters.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(limiter) = known.filter(|limiter| limiter.limit == *limit) {
            return limiter;
        }
        let mut limiters = self.limiters.write().unwrap_or_else(PoisonError::into_inner);
        // Of two who found none, the first one's is the one that counts.
        if let Some(limiter) = limiters.get(&key).filter(|limiter| limiter.limit == *limit) {
            return Arc::clone(limiter);
        }
        let cells = RateLimiter::direct_with_clock(quota(limit), self.clock);
        let limiter = Arc::new(Limiter { limit: *limit, cells });
        limiters.insert(key, Arc::clone(&limiter));
        limiter
    }
}

fn quota(limit: &RateLimit) -> Quota {
    // Never zero: at most 100,000 in a second are asked for.
    let period = Duration::try_from_secs_f64(1.0 / limit.per_second).unwrap_or(Duration::MAX);
    let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
    let one_each = Quota::with_period(period).unwrap_or(Quota::per_second(NonZeroU32::MIN));
    one_each.allow_burst(burst)
}

/// Tokio's clock, which tests can hold and move.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    start: Instant,
}

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Exceeded {
    /// The wait in whole seconds, rounded up: whoever comes back after it shall be let in.
    pub(crate) fn wait_seconds(&self) -> u64 {
        let is_whole = self.wait.subsec_nanos() == 0;
        (self.wait.as_secs() + u64::from(!is_whole)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit { per_second: 10.0, burst: 3 };

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_and_then_one_at_a_time() {
        let rates = Rates::new();
        let mut passed = Vec::new();
        for milli in 0..1_000_u32 {
            while rates.check("a", &LIMIT).is_ok() {
                passed.push(milli);
            }
            // The test's clock stands still unless it is moved.
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(passed, [0, 0, 0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
        let exceeded = rates.check("a", &LIMIT);
        assert_eq!(exceeded, Ok(()), "a tenth of a second after the last");
        assert!(rates.check("b", &LIMIT).is_ok(), "each for itself");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_as_long_as_is_said_is_let_in() {
        let limit = RateLimit { per_second: 0.25, burst: 2 };
        let rates = Rates::new();
        assert!(rates.check("a", &limit).is_ok() && rates.check("a", &limit).is_ok());
        tokio::time::advance(Duration::from_millis(1_500)).await;
        let exceeded = rates.check("a", &limit).unwrap_err();
        assert_eq!((exceeded.wait, exceeded.wait_seconds()), (Duration::from_millis(2_500), 3));
        tokio::time::advance(exceeded.wait).await;
        assert!(rates.check("a", &limit).is_ok());
        assert_eq!(rates.check("a", &limit).unwrap_err().wait_seconds(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn only_another_limit_begins_anew() {
        let rates = Rates::new();
        while rates.check("a", &LIMIT).is_ok() {}
        let same = RateLimit { ..LIMIT };
        assert!(rates.check("a", &same).is_err());
        let larger = RateLimit { burst: 4, ..LIMIT };
        assert!(rates.check("a", &larger).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_smallest_and_the_largest_limits_hold() {
        use kapsel_core::rate_limit::{BURST_MAX, PER_SECOND_MAX, PER_SECOND_MIN};
        for (per_second, burst) in [(PER_SECOND_MIN, 1), (PER_SECOND_MIN, BURST_MAX), (PER_SECOND_MAX, BURST_MAX)] {
            let (limit, rates) = (RateLimit { per_second, burst }, Rates::new());
            let passed = std::iter::repeat_with(|| rates.check((), &limit)).take_while(Result::is_ok).count();
            assert_eq!(passed, burst as usize, "{limit:?}");
        }
    }
}
