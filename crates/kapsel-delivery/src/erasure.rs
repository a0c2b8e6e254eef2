//! Makes the steps of erasures.
//!
//! It keeps nothing in memory: which job is due and where it stands is stored, and a step that somebody else has made
//! meanwhile does nothing. Any number of instances run this side by side, and after a restart it goes on.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy, ErasureState, Timestamp};
use kapsel_store::{ErasureStep, ErasureStore, StoreError};

use crate::jobs::{self, JOBS_MAX, Run};

/// How many rows a step looks at. Each event may have a body and several attempts to overwrite.
const LOOKS_MAX: usize = 100;
/// The shortest pause between two runs: others want the store for most of the time.
const PAUSE_MIN: Duration = Duration::from_millis(20);

/// What one run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErasureReport {
    /// Steps that were made.
    pub steps: usize,
    /// Events that were erased.
    pub erased: u64,
    /// Steps that failed. Whether one was made all the same, the next run reads from the store.
    pub failed: usize,
    /// When the next step is due, as far as this run has seen.
    pub next_step_at: Option<Timestamp>,
}

/// Makes the steps of all tenants' erasures.
pub struct ErasureRunner {
    store: Arc<dyn ErasureStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl ErasureRunner {
    /// A runner over this store.
    pub fn new(store: Arc<dyn ErasureStore>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        ErasureRunner { store, clock, entropy }
    }

    /// Makes one step of each of the jobs that are due, up to a number of them. Any number of calls at any time, by any
    /// number of instances, is fine.
    ///
    /// # Errors
    /// Those of looking for jobs. A step that fails is logged and holds up no other job.
    pub async fn run_once(&self) -> Result<ErasureReport, StoreError> {
        let now = self.clock.now();
        let found = self.store.erasure_due(now, JOBS_MAX).await?;
        // A full list may not be all of it.
        let next_step_at = if found.due.len() == JOBS_MAX { Some(now) } else { found.next_due_at };
        let mut report = ErasureReport { next_step_at, ..ErasureReport::default() };
        for job in &found.due {
            let (tenant_id, id) = (job.tenant_id, job.id);
            let step = ErasureStep { tenant_id, id, expected_version: job.version, looks_max: LOOKS_MAX };
            match self.store.erasure_advance_if_version(self.clock.now(), step).await {
                Ok(Some(after)) => {
                    report.steps += 1;
                    report.erased += after.erased_count - job.erased_count;
                    if after.state == ErasureState::Running {
                        let next = report.next_step_at.map_or(after.next_step_at, |at| at.min(after.next_step_at));
                        report.next_step_at = Some(next);
                    } else {
                        tracing::info!(%id, %tenant_id, events = after.erased_count, "an erasure is completed");
                    }
                }
                // Another instance was faster.
                Ok(None) => {}
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(%id, error = &error as &dyn std::error::Error, "cannot make a step of an erasure");
                }
            }
        }
        Ok(report)
    }

    /// Makes steps when they are due, and looks for new jobs every second, until `shutdown` is ready.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let run_once = || async {
            let ErasureReport { failed, next_step_at, .. } = self.run_once().await?;
            Ok(Run { failed, next_step_at })
        };
        jobs::until(shutdown, jobs::repeat("erasures", &*self.clock, &*self.entropy, PAUSE_MIN, run_once)).await;
    }
}
