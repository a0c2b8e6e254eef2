//! A timer that is exact to microseconds. The runtime's own counts in milliseconds, which at thousands of requests in a
//! second would send them in bursts.

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

/// A timer of the kernel, awaited like a socket.
#[derive(Debug)]
pub(super) struct Timer {
    clock: Clock,
    descriptor: AsyncFd<OwnedFd>,
}

impl Timer {
    /// A timer for moments of this clock.
    pub(super) fn new(clock: Clock) -> io::Result<Self> {
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "its successor is `unsafe`, for owners that change or close their descriptor; an OwnedFd does neither"
        )]
        let descriptor = AsyncFd::new(descriptor)?;
        Ok(Timer { clock, descriptor })
    }

    /// Waits for a moment; a past one is there at once.
    pub(super) async fn wait_until(&self, at_ns: u64) -> io::Result<()> {
        while self.clock.now_ns() < at_ns {
            // Arming it anew also takes an expiry back that was not read, so it is never read.
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = Itimerspec { it_interval, it_value: self.clock.timespec(at_ns) };
            timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::ABSTIME, &timer)?;
            self.descriptor.readable().await?.clear_ready();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_again_and_again_and_never_too_short() {
        let clock = Clock::start();
        let timer = Timer::new(clock).unwrap();
        for step in 1..50 {
            let at_ns = step * 100_000;
            timer.wait_until(at_ns).await.unwrap();
            assert!(clock.now_ns() >= at_ns);
        }
        timer.wait_until(0).await.unwrap();
    }
}
