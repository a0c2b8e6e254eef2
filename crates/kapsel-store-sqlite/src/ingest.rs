//! Storing accepted webhooks.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{DeliveryRef, Event, Timestamp};
use kapsel_store::{IngestStore, Ingested, NewDelivery, NewEvent, StoreError};
use rusqlite::{CachedStatement, Connection, params};

use crate::error::Failure;
use crate::idempotency::{Keys, Use};
use crate::job::{Kind, Weight};
use crate::rows::stored;
use crate::settle::insert_outcome;
use crate::sorting::Sorting;
use crate::statements as sql;
use crate::store::SqliteStore;
use crate::unsorted::Entries;

/// Larger bodies stand apart from their event, so that the table of events stays dense.
pub(crate) const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;

#[async_trait]
impl IngestStore for SqliteStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let weight = Weight { rows: batch.len(), bytes: batch.iter().map(|new| new.event.weight()).sum() };
        let deliveries = batch.iter().flat_map(|new| &new.deliveries);
        let lease_end = deliveries.filter_map(|delivery| Some(delivery.lease?.until)).min();
        let lapse = Arc::clone(self.lapse());
        let insert = move |connection: &Connection| {
            if let Some(until) = lease_end {
                lapse.grant(until);
            }
            insert_batch(connection, now, &batch)
        };
        let ingested = self.writer().write(Kind::Sure, weight, insert).await?;
        Sorting::note(self, ingested.iter().filter(|ingested| **ingested == Ingested::Created).count());
        Ok(ingested)
    }
}

fn insert_batch(connection: &Connection, now: Timestamp, batch: &[NewEvent]) -> Result<Vec<Ingested>, Failure> {
    let mut inserts = Inserts {
        connection,
        now,
        keys: Keys::new(connection, now),
        event: connection.prepare_cached(sql::EVENT_INSERT)?,
        queue: connection.prepare_cached(sql::QUEUE_INSERT)?,
        unsorted: Entries::with_capacity(batch.len()),
    };
    let ingested = batch.iter().map(|new| inserts.insert(new)).collect::<Result<_, _>>()?;
    inserts.unsorted.insert(connection)?;
    Ok(ingested)
}

/// What a batch needs for each of its events, prepared once.
struct Inserts<'a> {
    connection: &'a Connection,
    now: Timestamp,
    keys: Keys<'a>,
    event: CachedStatement<'a>,
    queue: CachedStatement<'a>,
    unsorted: Entries,
}

impl Inserts<'_> {
    fn insert(&mut self, new: &NewEvent) -> Result<Ingested, Failure> {
        let event = new.event.as_ref();
        let key = match &new.key {
            None => None,
            Some(key) => match self.keys.find(event.endpoint_id, key)? {
                Use::Live { original, .. } if original == event.id => return Ok(Ingested::Created),
                // A repeated try: the key's use by its first try expired, and somebody else used it since.
                Use::Live { .. } if self.is_stored(event)? => return Ok(Ingested::Created),
                Use::Live { original, body_sha256 } if key.explicit && body_sha256 != event.body_sha256 => {
                    return Ok(Ingested::Conflict { original });
                }
                Use::Live { original, .. } => return Ok(Ingested::Replay { original }),
                Use::Free { expired_in } => Some((key, expired_in)),
            },
        };
        if !self.insert_event(event)? {
            return Ok(Ingested::Created);
        }
        self.unsorted.push(event);
        if let Some((key, expired_in)) = key {
            self.keys.put(event, key, expired_in)?;
        }
        for delivery in &new.deliveries {
            if let Some(reason) = delivery.ended {
                let NewDelivery { id, endpoint_id, .. } = *delivery;
                let name = DeliveryRef { id, event_id: event.id, endpoint_id, tenant_id: event.tenant_id };
                insert_outcome(self.connection, name, reason, self.now)?;
                continue;
            }
            self.queue.execute(params![
                event.tenant_id.as_bytes(),
                event.id.as_bytes(),
                delivery.id.as_bytes(),
                delivery.endpoint_id.as_bytes(),
                delivery.lease.map_or(self.now, |lease| lease.until).unix_micros(),
                delivery.lease.as_ref().map(|lease| lease.owner.as_bytes()),
                delivery.lease.map(|lease| lease.token.0),
                0,
                stored(event.body.len()),
            ])?;
        }
        Ok(Ingested::Created)
    }

    /// False if it is stored already.
    fn insert_event(&mut self, event: &Event) -> Result<bool, Failure> {
        let is_inline = event.body.len() <= INLINE_BODY_BYTES_MAX;
        let inserted = self.event.execute(params![
            event.tenant_id.as_bytes(),
            event.id.as_bytes(),
            event.endpoint_id.as_bytes(),
            event.received_at.unix_micros(),
            stored(event.body.len()),
            event.content_type(),
            event.idempotency_key,
            event.body_sha256,
            event.headers.as_bytes().as_ref(),
            is_inline.then_some(event.body.as_ref()),
        ])?;
        if inserted == 1 && !is_inline {
            let mut statement = self.connection.prepare_cached(sql::EVENT_BODY_INSERT)?;
            statement.execute(params![event.tenant_id.as_bytes(), event.id.as_bytes(), event.body.as_ref()])?;
        }
        Ok(inserted == 1)
    }

    fn is_stored(&self, event: &Event) -> Result<bool, Failure> {
        let mut statement = self.connection.prepare_cached(sql::EVENT_EXISTS)?;
        Ok(statement.exists(params![event.tenant_id.as_bytes(), event.id.as_bytes()])?)
    }
}
