//! The task that drains the spool.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy};

use super::store::SpooledStore;

/// The first wait after a step that failed. They double from there: a store that is away is asked seldom, one that only
/// restarted is found soon.
const WAIT_FIRST: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often the spool is looked over from its beginning while events go to the store: for what was refused, and for
/// what a failing disk let turn up late.
const LOOK_PERIOD: Duration = Duration::from_secs(300);

/// Moves what was spooled into the store, for as long as it runs.
pub struct SpoolDrain {
    store: Arc<SpooledStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl SpoolDrain {
    /// Drains the spool of `store`.
    pub fn new(store: Arc<SpooledStore>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        SpoolDrain { store, clock, entropy }
    }

    /// Step after step until `shutdown` is ready: at once while there is something to move, after growing waits while
    /// the store is away, and else when spooling begins.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = self.drain_for_ever() => {}
        }
    }

    async fn drain_for_ever(&self) {
        let mut wait = WAIT_FIRST;
        loop {
            match self.store.drain_once(self.clock.now()).await {
                Ok(drained) => {
                    wait = WAIT_FIRST;
                    if drained.moved > 0 {
                        tracing::debug!(moved = drained.moved, "moved events out of the spool");
                    }
                    if !drained.has_more() {
                        self.idle().await;
                    }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot drain the spool");
                    tokio::time::sleep(self.jittered(wait)).await;
                    wait = (wait * 2).min(WAIT_MAX);
                }
            }
        }
    }

    async fn idle(&self) {
        tokio::select! {
            () = self.store.began.notified() => {}
            () = tokio::time::sleep(self.jittered(LOOK_PERIOD)) => self.store.look_again().await,
        }
    }

    /// ±25 %, so that the instances that share a store do not come back to it in step.
    fn jittered(&self, nominal: Duration) -> Duration {
        nominal.mul_f64(0.75 + 0.5 * self.entropy.unit())
    }
}
