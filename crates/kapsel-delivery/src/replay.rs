//! Makes the steps of replays.
//!
//! It keeps nothing in memory. Which job is due, where it stands and when its next step may be made are stored, and a step
//! that somebody else has made meanwhile does nothing. So any number of instances run this side by side, and after a
//! restart it goes on where the store says.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy, Pace, ReplayState, Timestamp};
use kapsel_store::{Replay, ReplayScan, ReplayStep, ReplayStore, StoreError};

use crate::jobs::{self, JOBS_MAX, Run};

/// How many events a step looks at for each that it may take. Few of many may fit; the others cost a look each.
const LOOKS_PER_EVENT: usize = 4;
const LOOKS_MIN: usize = 100;
const LOOKS_MAX: usize = 1_000;
/// The shortest pause between two runs, for others who want the store.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReplayReport {
    /// Steps that were made.
    pub steps: usize,
    /// Events that were queued anew.
    pub replayed: u64,
    /// Events that could not be queued.
    pub skipped: u64,
    /// Steps that failed. Whether one was made all the same, the next run reads from the store.
    pub failed: usize,
    /// When the next step is due, as far as this run has seen.
    pub next_step_at: Option<Timestamp>,
}

/// Makes the steps of all tenants' replays.
pub struct ReplayRunner {
    store: Arc<dyn ReplayStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    wake_delivery: Arc<dyn Fn() + Send + Sync>,
}

impl ReplayRunner {
    /// A runner over this store. `wake_delivery` is called after a step that has queued something.
    pub fn new(
        store: Arc<dyn ReplayStore>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        wake_delivery: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        ReplayRunner { store, clock, entropy, wake_delivery }
    }

    /// Makes one step of each of the jobs that are due, up to a number of them. Any number of calls at any time, by any
    /// number of instances, is fine.
    ///
    /// # Errors
    /// Those of looking for jobs. A step that fails is logged and holds up no other job.
    pub async fn run_once(&self) -> Result<ReplayReport, StoreError> {
        let now = self.clock.now();
        let found = self.store.replay_due(now, JOBS_MAX).await?;
        // A full list may not be all of it.
        let next_step_at = if found.due.len() == JOBS_MAX { Some(now) } else { found.next_due_at };
        let mut report = ReplayReport { next_step_at, ..ReplayReport::default() };
        for replay in &found.due {
            match self.step(replay).await {
                Ok(Some(after)) => {
                    report.steps += 1;
                    let replayed = after.replayed_count - replay.replayed_count;
                    report.replayed += replayed;
                    report.skipped += after.skipped_count - replay.skipped_count;
                    if replayed > 0 {
                        (self.wake_delivery)();
                    }
                    if after.state == ReplayState::Running {
                        let next = report.next_step_at.map_or(after.next_step_at, |at| at.min(after.next_step_at));
                        report.next_step_at = Some(next);
                    } else {
                        let (replayed, skipped) = (after.replayed_count, after.skipped_count);
                        tracing::info!(id = %after.id, replayed, skipped, "a replay is completed");
                    }
                }
                // Another instance was faster, or somebody has paused or ended it.
                Ok(None) => {}
                Err(error) => {
                    report.failed += 1;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(id = %replay.id, error, "cannot make a step of a replay");
                }
            }
        }
        Ok(report)
    }

    async fn step(&self, replay: &Replay) -> Result<Option<Replay>, StoreError> {
        let now = self.clock.now();
        let pace = Pace::new(replay.rate_per_second);
        let matches_max = pace.events_max(replay.next_step_at, now);
        if matches_max == 0 {
            return Ok(None);
        }
        let scan = ReplayScan {
            tenant_id: replay.tenant_id,
            endpoint_id: replay.filter.endpoint_id,
            statuses: replay.filter.statuses,
            range: replay.range,
            matches_max,
            looks_max: matches_max.saturating_mul(LOOKS_PER_EVENT).clamp(LOOKS_MIN, LOOKS_MAX),
        };
        let page = self.store.replay_scan(now, scan).await?;
        let step = ReplayStep {
            tenant_id: replay.tenant_id,
            id: replay.id,
            expected_version: replay.version,
            next_step_at: pace.next_step_at(replay.next_step_at, now, page.event_ids.len()),
            event_ids: page.event_ids,
            looked_up_to: page.looked_up_to,
            is_last: page.is_end,
        };
        self.store.replay_advance_if_version(now, step).await
    }

    /// Makes steps when they are due, and looks for new jobs every second, until `shutdown` is ready.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let run_once = || async {
            let ReplayReport { failed, next_step_at, .. } = self.run_once().await?;
            Ok(Run { failed, next_step_at })
        };
        jobs::until(shutdown, jobs::repeat("replays", &*self.clock, &*self.entropy, PAUSE_MIN, run_once)).await;
    }
}
