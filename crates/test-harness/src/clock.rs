//! Clocks for tests: one that stands still until it is moved, and one that goes as tokio's time does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use kapsel_core::{Clock, Timestamp};
use tokio::time::Instant;

/// 2026-01-01T00:00:00Z, where the clocks of tests begin.
const BEGINNING: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);

/// Shows the time it was set to.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that shows 2026-01-01T00:00:00Z.
    pub fn new() -> Self {
        TestClock(AtomicI64::new(BEGINNING.unix_micros()))
    }

    /// Moves it forward and returns the new time.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_unix_micros(self.0.fetch_add(micros, Ordering::SeqCst).saturating_add(micros))
    }

    /// Sets it.
    pub fn set(&self, to: Timestamp) {
        self.0.store(to.unix_micros(), Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        TestClock::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Goes as tokio's time does: in a test with paused time it stands still while there is something to do and jumps to
/// the next timer when there is not, in step with every sleep and deadline.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: Timestamp,
    start: Instant,
}

impl TokioClock {
    /// A clock that shows 2026-01-01T00:00:00Z now.
    pub fn new() -> Self {
        TokioClock::starting_at(BEGINNING)
    }

    /// A clock that shows `base` now.
    pub fn starting_at(base: Timestamp) -> Self {
        TokioClock { base, start: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        TokioClock::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base + self.start.elapsed()
    }
}
