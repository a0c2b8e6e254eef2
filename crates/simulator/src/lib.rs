//! Days of failures in seconds: several instances of delivery over one in-memory store, in virtual time, all from one
//! seed.
//!
//! **Is:** a run ([`run`]) that makes up a list of operations from its seed ([`plan`]), carries them out on a small world
//! ([`world`]) and watches it with [`oracles`]: what must hold whatever happens. The instances are the real dispatcher,
//! janitor, replay runner and sequencer of the log; what they touch is not: a store that fails, delays and goes away
//! ([`faults`], [`log`]), destinations that do what they
//! are told ([`destinations`]), clocks that differ, and a death at any point where something is waited for ([`instance`]).
//!
//! **Is not:** part of the product, and no benchmark. It runs on one thread of tokio with its clock paused, so the same
//! seed is the same run, to the last line of its timeline.
//!
//! Read first: [`oracles`] (what counts as a failure and what does not) and [`plan`] (what can happen).

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the run"
)]

pub mod destinations;
pub mod faults;
pub mod instance;
pub mod log;
pub mod oracles;
pub mod plan;
pub mod report;
pub mod timeline;
pub mod verdict;
pub mod world;

use std::time::Duration;

pub use report::{Report, Totals};

/// How a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// How long things go wrong, in virtual time; the seed says if it is not given.
    pub trouble: Option<Duration>,
    /// Whether the timeline is kept.
    pub is_traced: bool,
}

impl Options {
    /// A run of `seed` without a timeline.
    pub fn of(seed: u64) -> Self {
        Options { seed, trouble: None, is_traced: false }
    }
}

/// Makes one run, on a runtime of its own.
pub fn run(options: Options) -> Report {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(world::World::run(options))
}
