//! What came of runs.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// What was done to the world, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Virtual time.
    pub simulated: Duration,
    /// Events that were acknowledged.
    pub accepted: u64,
    /// Requests that destinations saw.
    pub requests: u64,
    /// Requests that failed, in whatever way.
    pub failed_requests: u64,
    /// Answers that were lost though the event had been received.
    pub lost_answers: u64,
    /// Store calls that failed and did nothing.
    pub errors_before: u64,
    /// Store calls that did their work and were said to have failed.
    pub errors_after: u64,
    /// Store calls that took long.
    pub delays: u64,
    /// Store calls refused because the store was away.
    pub outages: u64,
    /// Deaths of instances.
    pub crashes: u64,
    /// Instances that stood still for a while.
    pub freezes: u64,
    /// Circuits that opened.
    pub openings: u64,
    /// Rights to probe that were won.
    pub probe_rights: u64,
    /// Heads of the log that were published.
    pub heads: u64,
    /// Endpoints that were disabled by their destination's word or failures.
    pub disabled: u64,
}

impl Totals {
    /// All faults together.
    pub fn faults(&self) -> u64 {
        self.errors_before
            + self.errors_after
            + self.delays
            + self.outages
            + self.crashes
            + self.freezes
            + self.failed_requests
            + self.lost_answers
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Totals) {
        self.simulated += other.simulated;
        self.accepted += other.accepted;
        self.requests += other.requests;
        self.failed_requests += other.failed_requests;
        self.lost_answers += other.lost_answers;
        self.errors_before += other.errors_before;
        self.errors_after += other.errors_after;
        self.delays += other.delays;
        self.outages += other.outages;
        self.crashes += other.crashes;
        self.freezes += other.freezes;
        self.openings += other.openings;
        self.probe_rights += other.probe_rights;
        self.heads += other.heads;
        self.disabled += other.disabled;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "simulated time       {:.1} h", self.simulated.as_secs_f64() / 3_600.0)?;
        writeln!(f, "events accepted      {}", self.accepted)?;
        writeln!(
            f,
            "requests             {} ({} failed, {} answers lost)",
            self.requests, self.failed_requests, self.lost_answers
        )?;
        writeln!(f, "store errors         {} before, {} after the commit", self.errors_before, self.errors_after)?;
        writeln!(f, "store delays         {}, calls refused while away {}", self.delays, self.outages)?;
        writeln!(f, "instances            {} crashes, {} stood still", self.crashes, self.freezes)?;
        writeln!(f, "circuits             {} openings, {} rights to probe", self.openings, self.probe_rights)?;
        writeln!(f, "heads published      {}", self.heads)?;
        writeln!(f, "endpoints disabled   {}", self.disabled)?;
        write!(f, "faults injected      {}", self.faults())
    }
}

/// What came of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// What happened, in numbers.
    pub totals: Totals,
    /// What did not hold, if anything; the first is what counts.
    pub violations: Vec<String>,
    /// The timeline: all of it if it was asked for, else its end.
    pub timeline: Vec<String>,
    /// Two runs with the same digest had the same timeline.
    pub digest: u64,
}
