//! Storing accepted webhooks.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{DeliveryId, EndpointId, Event, EventId, FinalReason, Lease, Timestamp};

use crate::error::StoreError;

/// An event to store, with the deliveries that follow from it.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event. Its id was made before the first try, so that a try with unknown outcome can be repeated.
    pub event: Arc<Event>,
    /// What tells duplicates of it, scoped to `event.endpoint_id`.
    pub key: Option<IdempotencyKey>,
    /// One per endpoint that it goes to; at least one.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery to queue together with its event.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub endpoint_id: EndpointId,
    /// The lease it is stored under, when the caller is going to work on it right after the commit. Without one it
    /// is due at once, for whoever claims it.
    pub lease: Option<Lease>,
    /// Why it has ended before it began. It is then recorded as ended instead of being queued.
    pub ended: Option<FinalReason>,
}

/// What became of one event of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingested {
    /// It is stored, durably, by this call or by an earlier try with the same id.
    Created,
    /// Its key was used within the window by `original`. Nothing was stored.
    Replay {
        /// The event that the key belongs to.
        original: EventId,
    },
    /// Its explicit key was used within the window by `original`, with another body. Nothing was stored.
    Conflict {
        /// The event that the key belongs to.
        original: EventId,
    },
    /// The store is away. It is durable in a spool of this instance and will be moved to the store, under its id, when
    /// that is back; until then nobody delivers it. Engines never answer this, only a store with a spool does.
    Spooled,
}

/// The ingest side of a store.
#[async_trait]
pub trait IngestStore: Send + Sync {
    /// Stores a batch in one durable transaction and says for each event, in order, what became of it.
    ///
    /// When this returns `Ok`, everything that is [`Ingested::Created`] survives the death of the process and of the
    /// machine. Duplicates are told within the batch too: the first one wins. An event whose id is already stored is
    /// [`Ingested::Created`] again and changes nothing, so a batch may be repeated as a whole.
    ///
    /// A key is remembered from its first use until that use's `key.window` has passed; from that moment on it is as if
    /// it had never been used. Duplicates do not prolong it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the outcome is unknown; repeat with the same ids.
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError>;
}
