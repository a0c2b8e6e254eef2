//! What has to be tidied now and then, in slices small enough to be in nobody's way.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Clock, Entropy};
use kapsel_store::{DeliveryStore, EndpointDirectory, StoreError};

use crate::backoff::jittered;

/// How many rows one call of the store touches.
const SLICE: usize = 500;
/// How many slices of a kind one run takes. What is left waits for the next run.
const SLICES_MAX: usize = 10;
/// How often the directory reads what other instances changed.
const REFRESH_PERIOD: Duration = Duration::from_secs(1);
/// How often it is tidied.
const TIDY_PERIOD: Duration = Duration::from_secs(10);

/// What one run tidied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JanitorReport {
    /// Deliveries of deleted endpoints that were recorded as discarded.
    pub discarded: usize,
    /// Idempotency keys that were forgotten after their window.
    pub keys_pruned: usize,
    /// Whether there was more of either than one run takes.
    pub has_more: bool,
}

/// Tidies the store and keeps the directory of endpoints up to date.
pub struct Janitor {
    store: Arc<dyn DeliveryStore>,
    directory: Arc<EndpointDirectory>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Janitor {
    /// A janitor of this store and this directory.
    pub fn new(
        store: Arc<dyn DeliveryStore>,
        directory: Arc<EndpointDirectory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Janitor { store, directory, clock, entropy }
    }

    /// Tidies a bounded number of slices. Any number of calls at any time, by any number of instances, is fine.
    ///
    /// # Errors
    /// Those of the store; what was tidied before stays tidied.
    pub async fn run_once(&self) -> Result<JanitorReport, StoreError> {
        let mut discarded = Slices::default();
        while discarded.has_next() {
            let now = self.clock.now();
            discarded.add(self.store.delivery_discard_of_deleted(now, SLICE).await?);
            // Others shall have their turn at the store.
            tokio::task::yield_now().await;
        }
        let mut keys = Slices::default();
        while keys.has_next() {
            let now = self.clock.now();
            keys.add(self.store.idempotency_prune(now, SLICE).await?);
            tokio::task::yield_now().await;
        }
        Ok(JanitorReport {
            discarded: discarded.rows,
            keys_pruned: keys.rows,
            has_more: !(discarded.is_short && keys.is_short),
        })
    }

    /// Refreshes the directory every second and tidies every ten, sooner where much is left, until `shutdown` is ready.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let work = async { tokio::join!(self.refresh_for_ever(), self.tidy_for_ever()) };
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            _ = work => {}
        }
    }

    async fn refresh_for_ever(&self) {
        loop {
            tokio::time::sleep(jittered(REFRESH_PERIOD, &*self.entropy)).await;
            if let Err(error) = self.directory.refresh().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot refresh the endpoints");
            }
        }
    }

    async fn tidy_for_ever(&self) {
        let mut wait = TIDY_PERIOD;
        loop {
            tokio::time::sleep(jittered(wait, &*self.entropy)).await;
            wait = match self.run_once().await {
                Ok(report) => {
                    if report.discarded + report.keys_pruned > 0 {
                        tracing::debug!(discarded = report.discarded, keys = report.keys_pruned, "tidied");
                    }
                    if report.has_more { REFRESH_PERIOD } else { TIDY_PERIOD }
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot tidy");
                    TIDY_PERIOD
                }
            };
        }
    }
}

/// Slices taken in one run.
#[derive(Default)]
struct Slices {
    taken: usize,
    rows: usize,
    /// Whether the last one was not full.
    is_short: bool,
}

impl Slices {
    fn has_next(&self) -> bool {
        !self.is_short && self.taken < SLICES_MAX
    }

    fn add(&mut self, rows: usize) {
        self.taken += 1;
        self.rows += rows;
        // Idempotency keys go in slices of "about" the limit; one that is half empty was not the last but nearly so.
        self.is_short = rows < SLICE / 2;
    }
}
