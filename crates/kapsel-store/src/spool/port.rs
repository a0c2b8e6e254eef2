//! What a spool must be able to do.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::{Event, FinalReason, Timestamp};

use crate::error::StoreError;
use crate::ingest::{Ingested, NewDelivery, NewEvent};

/// A durable place on this machine for accepted events whose store is away.
#[async_trait]
pub trait SpoolStore: Send + Sync {
    /// Stores a batch in one durable transaction and says for each event, in order, what became of it.
    ///
    /// When this returns `Ok`, everything that is [`Ingested::Spooled`] survives the death of the process and of the
    /// machine. An event whose id is in the spool is [`Ingested::Spooled`] again and changes nothing. Duplicates are
    /// told by the keys of the events that are in the spool, and within the batch, by the rules of
    /// [`IngestStore::event_insert_batch`](crate::IngestStore::event_insert_batch). Leases are not kept.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. If the spool is full, nothing of the batch was stored; otherwise the outcome is
    /// unknown: repeat with the same ids.
    async fn spool_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError>;

    /// Reads at most `limit` events behind `after` (0 is the beginning), the oldest first, in the order of acceptance;
    /// it ends in front of the first that would bring bodies and headers above `bytes_max`. The very first is read
    /// whatever its size.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn spool_read(&self, after: i64, limit: usize, bytes_max: usize) -> Result<SpoolPage, StoreError>;

    /// Removes durably what has been moved. Numbers that are not there are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the outcome is unknown.
    async fn spool_remove(&self, seqs: Vec<i64>) -> Result<(), StoreError>;

    /// How much is in it. Costs nothing: it is kept in memory.
    fn spool_size(&self) -> SpoolSize;
}

/// How much is in a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolSize {
    /// Events.
    pub events: u64,
    /// Bytes of bodies and headers.
    pub bytes: u64,
    /// How many of those it takes at most.
    pub bytes_max: u64,
}

/// What was read from a spool.
#[derive(Debug, Clone, Default)]
pub struct SpoolPage {
    /// Events, in the order of acceptance.
    pub events: Vec<SpooledEvent>,
    /// The numbers of those among them that cannot be read. They must not hold up those behind them.
    pub unreadable: Vec<i64>,
}

impl SpoolPage {
    /// The last number that was looked at; `None` at the end of the spool.
    pub fn last_seq(&self) -> Option<i64> {
        self.events.iter().map(|spooled| spooled.seq).chain(self.unreadable.iter().copied()).max()
    }
}

/// An event in a spool.
#[derive(Debug, Clone)]
pub struct SpooledEvent {
    /// Its number in the order of acceptance; larger than 0, and never used again.
    pub seq: i64,
    /// The event.
    pub event: Arc<Event>,
    /// What tells duplicates of it.
    pub key: Option<SpooledKey>,
    /// Its deliveries, without leases.
    pub deliveries: Vec<NewDelivery>,
}

/// An idempotency key in a spool. Its text is the one of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpooledKey {
    /// See [`IdempotencyKey::hash`].
    pub hash: [u8; 32],
    /// See [`IdempotencyKey::explicit`].
    pub explicit: bool,
    /// When it is as if it had never been used.
    pub expires_at: Timestamp,
}

impl SpooledEvent {
    /// What to store at `now`: the key with what is left of its window, or none if that has passed.
    pub fn to_store_at(&self, now: Timestamp) -> NewEvent {
        let key = self.key.filter(|key| now < key.expires_at).map(|key| IdempotencyKey {
            text: self.event.idempotency_key.clone().unwrap_or_default(),
            hash: key.hash,
            explicit: key.explicit,
            window: key.expires_at.saturating_since(now),
        });
        NewEvent { key, ..self.without_key() }
    }

    /// What to store of an event whose key belongs to another one but which has to be delivered all the same.
    pub fn without_key(&self) -> NewEvent {
        NewEvent { event: Arc::clone(&self.event), key: None, deliveries: self.deliveries.clone() }
    }

    /// What to store of an event that turned out to be a duplicate: it is there, and nothing is delivered.
    pub fn as_duplicate(&self) -> NewEvent {
        let mut new = self.without_key();
        for delivery in &mut new.deliveries {
            delivery.ended = delivery.ended.or(Some(FinalReason::Duplicate));
        }
        new
    }
}
