//! The clocks of the system, read in this one place.

use rustix::time::{ClockId, Timespec, clock_gettime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Time since a moment of its own, on the monotonic clock. Copies share the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin_ns: u64,
}

impl Clock {
    /// A clock that begins now.
    pub(crate) fn start() -> Self {
        Clock { origin_ns: monotonic_ns() }
    }

    /// Nanoseconds since the beginning.
    pub(crate) fn now_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.origin_ns)
    }

    /// Microseconds since the beginning.
    pub(crate) fn now_us(self) -> u64 {
        self.now_ns() / 1_000
    }

    /// Seconds since the beginning.
    pub(crate) fn now_seconds(self) -> f64 {
        self.now_us() as f64 / 1e6
    }

    /// A moment of this clock as the kernel's timers name it.
    pub(crate) fn timespec(self, at_ns: u64) -> Timespec {
        let absolute_ns = self.origin_ns.saturating_add(at_ns);
        Timespec {
            tv_sec: i64::try_from(absolute_ns / NANOS_PER_SECOND).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(absolute_ns % NANOS_PER_SECOND).unwrap_or_default(),
        }
    }
}

/// The date and time, in UTC, to seconds.
pub(crate) fn date() -> String {
    let seconds = clock_gettime(ClockId::Realtime).tv_sec;
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "unknown".to_owned(), |time| time.to_string())
}

fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or_default();
    part(time.tv_sec).saturating_mul(NANOS_PER_SECOND).saturating_add(part(time.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward_and_names_moments_absolutely() {
        let clock = Clock::start();
        let first = clock.now_ns();
        assert!(clock.now_ns() >= first);
        let (near, far) = (clock.timespec(0), clock.timespec(2_500_000_000));
        let nanos = |time: Timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
        assert_eq!(nanos(far) - nanos(near), 2_500_000_000);
        assert!(far.tv_nsec < 1_000_000_000);
    }

    #[test]
    fn the_date_is_one() {
        let date = date();
        assert!(date.ends_with('Z') && date.starts_with("20"), "{date}");
    }
}
