//! A store with a spool in front of it: where a new event goes.
//!
//! While the store answers, events go there. When it does not confirm a batch, the batch goes into the spool under the
//! same ids, whatever became of it in the store: storing an id a second time changes nothing there. From then on every
//! event goes into the spool, without the store being asked, so that later events do not overtake earlier ones and keys
//! are told where their first use is. The way back is in `drain.rs`: only once the spool is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::Timestamp;
use tokio::sync::{Mutex, Notify, RwLock};

use super::drain::Position;
use super::port::{SpoolSize, SpoolStore};
use super::status::{SpoolGauge, SpoolState, SpoolStatus};
use crate::Store;
use crate::error::StoreError;
use crate::ingest::{IngestStore, Ingested, NewEvent};

/// Settings of a store with a spool.
#[derive(Debug, Clone, Copy)]
pub struct SpoolSettings {
    /// A store that takes longer than this to confirm a batch is taken to be away.
    pub answer_limit: Duration,
    /// The same for the batches that are moved out of the spool. Nobody waits for those, and a store that is only slow
    /// must be able to take them.
    pub move_limit: Duration,
    /// How many events are moved together at most.
    pub batch_rows_max: usize,
    /// How many bytes are moved together at most; a single larger event is moved alone.
    pub batch_bytes_max: usize,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        SpoolSettings {
            answer_limit: Duration::from_secs(2),
            move_limit: Duration::from_secs(15),
            batch_rows_max: 512,
            batch_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// A store with a spool in front of it. Only events take the spool; everything else is the store's.
pub struct SpooledStore {
    pub(super) primary: Arc<dyn Store>,
    pub(super) spool: Arc<dyn SpoolStore>,
    pub(super) settings: SpoolSettings,
    /// Called after events were moved into the store.
    pub(super) moved: Arc<dyn Fn() + Send + Sync>,
    /// Set under the gate's shared side, cleared under its exclusive one.
    is_spooling: AtomicBool,
    /// Shared by whoever puts something into the spool, until that is durable. Whoever holds it alone knows that nothing
    /// is on its way into the spool.
    pub(super) gate: Arc<RwLock<()>>,
    /// Spooling began.
    pub(super) began: Notify,
    /// Held by the one who drains.
    pub(super) position: Mutex<Position>,
    pub(super) refused: AtomicU64,
}

impl SpooledStore {
    /// Puts `spool` in front of `primary`. If something is left in it from the last run, new events go behind that.
    /// `moved` is called each time after events were moved into the store.
    ///
    /// [`SpoolDrain`](super::SpoolDrain) has to run for events to leave the spool.
    pub fn new(
        primary: Arc<dyn Store>,
        spool: Arc<dyn SpoolStore>,
        settings: SpoolSettings,
        moved: Arc<dyn Fn() + Send + Sync>,
    ) -> Self {
        let SpoolSize { events, .. } = spool.spool_size();
        if events > 0 {
            tracing::info!(events, "events of the last run wait in the spool");
        }
        SpooledStore {
            primary,
            spool,
            settings,
            moved,
            is_spooling: AtomicBool::new(events > 0),
            gate: Arc::default(),
            began: Notify::new(),
            position: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// How the spool is doing.
    pub fn status(&self) -> SpoolStatus {
        let SpoolSize { events, bytes, bytes_max } = self.spool.spool_size();
        SpoolStatus { state: self.state(), events, bytes, bytes_max, refused: self.refused.load(Ordering::SeqCst) }
    }

    /// Where new events go.
    pub(super) fn state(&self) -> SpoolState {
        match self.is_spooling.load(Ordering::SeqCst) {
            true => SpoolState::Spooling,
            false => SpoolState::Direct,
        }
    }

    /// Only with the gate held exclusively.
    pub(super) fn end_spooling(&self) {
        if self.is_spooling.swap(false, Ordering::SeqCst) {
            tracing::info!("the spool is empty; events go to the store");
        }
    }

    /// Only with the gate held.
    fn begin_spooling(&self) {
        if !self.is_spooling.swap(true, Ordering::SeqCst) {
            tracing::warn!("the store did not confirm; events go into the spool");
            self.began.notify_one();
        }
    }

    /// Offers a batch to the store. `None` if what became of it is unknown.
    async fn insert_directly(
        &self,
        now: Timestamp,
        batch: &Arc<Vec<NewEvent>>,
    ) -> Option<Result<Vec<Ingested>, StoreError>> {
        let call = self.primary.event_insert_batch(now, Arc::clone(batch));
        match tokio::time::timeout(self.settings.answer_limit, call).await {
            Ok(Err(error @ StoreError::Unavailable { .. })) => {
                tracing::warn!(error = &error as &dyn std::error::Error, rows = batch.len(), "the store is away");
                None
            }
            Ok(result) => Some(result),
            Err(_) => {
                tracing::warn!(rows = batch.len(), "the store did not answer in time");
                None
            }
        }
    }
}

#[async_trait]
impl IngestStore for SpooledStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let mut is_tried = false;
        let gate = loop {
            if !is_tried && self.state() == SpoolState::Direct {
                if let Some(result) = self.insert_directly(now, &batch).await {
                    return result;
                }
                is_tried = true;
            }
            let gate = Arc::clone(&self.gate).read_owned().await;
            if is_tried {
                self.begin_spooling();
            }
            // It may have ended while this waited at the gate.
            if self.state() == SpoolState::Spooling {
                break gate;
            }
        };
        // In a task of its own: a caller that goes away must not open the gate while the batch is on its way.
        let spool = Arc::clone(&self.spool);
        let insert = tokio::spawn(async move {
            let result = spool.spool_insert_batch(now, batch).await;
            drop(gate);
            result
        });
        insert.await.unwrap_or_else(|error| Err(StoreError::unavailable("the spool met a defect", error)))
    }
}

impl SpoolGauge for SpooledStore {
    fn spool_status(&self) -> SpoolStatus {
        self.status()
    }
}
