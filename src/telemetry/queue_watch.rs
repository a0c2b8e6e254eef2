//! Looks at the queue now and then, so that nobody who scrapes makes the store work.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kapsel_store::error::with_sources;
use kapsel_store::{DeliveryStore, QueueLook};
use tokio::time::Instant;

/// The most entries of the queue that one look counts.
pub(crate) const ROWS_MAX: usize = 100_000;
/// How often it is looked at least.
const PERIOD: Duration = Duration::from_secs(5);
/// A look that takes longer than usual is made less often: at most a fiftieth of the time is spent on looking.
const SHARE: u32 = 50;

/// The last look at the queue.
pub(crate) struct QueueWatch {
    store: Arc<dyn DeliveryStore>,
    last: Mutex<Option<QueueLook>>,
}

impl QueueWatch {
    pub(crate) fn new(store: Arc<dyn DeliveryStore>) -> Self {
        QueueWatch { store, last: Mutex::default() }
    }

    /// What the last look found; `None` before the first.
    pub(crate) fn last(&self) -> Option<QueueLook> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks again and again, for ever.
    pub(crate) async fn run(&self) {
        loop {
            let began = Instant::now();
            match self.store.queue_look(ROWS_MAX).await {
                Ok(look) => *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(look),
                // The last figures stay; that the store is away is told by others, and by its own metric.
                Err(error) => tracing::debug!(error = with_sources(&error), "cannot look at the queue"),
            }
            tokio::time::sleep(PERIOD.max(began.elapsed() * SHARE)).await;
        }
    }
}
