//! The loop of runners that make steps of stored jobs, and how any runner ends.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use kapsel_core::{Clock, Entropy, Timestamp};
use kapsel_store::StoreError;

use crate::backoff::jittered;

/// How many jobs one run makes a step of.
pub(crate) const JOBS_MAX: usize = 16;
/// How often jobs are looked for. One that is known is seen to when it is due.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What the loop has to know of a run.
pub(crate) struct Run {
    /// Steps that failed.
    pub(crate) failed: usize,
    /// When the next step is due, as far as the run has seen.
    pub(crate) next_step_at: Option<Timestamp>,
}

/// Does `work` until `shutdown` is ready.
pub(crate) async fn until(shutdown: impl Future<Output = ()>, work: impl Future<Output = ()>) {
    let (mut shutdown, work) = (pin!(shutdown), pin!(work));
    tokio::select! {
        biased;
        () = &mut shutdown => {}
        () = work => {}
    }
}

/// Makes runs for ever: when a step is due, and every second to look for new jobs. Between two runs there is a pause of at
/// least `pause_min`. `jobs` is what they are called in the log.
pub(crate) async fn repeat<F>(
    jobs: &str,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    pause_min: Duration,
    run_once: impl Fn() -> F,
) where
    F: Future<Output = Result<Run, StoreError>>,
{
    loop {
        let wait = match run_once().await {
            Ok(Run { failed: 0, next_step_at }) => {
                let until = next_step_at.map_or(LOOK_PERIOD, |at| at.saturating_since(clock.now()));
                until.clamp(pause_min, LOOK_PERIOD)
            }
            // What failed would most likely fail again at once.
            Ok(_) => LOOK_PERIOD,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for {jobs}");
                LOOK_PERIOD
            }
        };
        tokio::time::sleep(jittered(wait, entropy)).await;
    }
}
