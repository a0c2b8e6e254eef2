//! The ordinary batch: events that are new, of usual size, one delivery each. They are stored by statements that look for
//! nothing that a unique index will say anyway; what does not get through goes the long way of `event_insert`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::idempotency::WINDOW_SECONDS_MAX;
use kapsel_core::{EventId, Timestamp};
use kapsel_store::{NewDelivery, NewEvent, StoreError};
use uuid::Uuid;

use crate::error::Failure;
use crate::idempotency::{EDGE_MICROS, KeyRows, bucket};
use crate::ingest::EventColumns;
use crate::rows::{StoredId, id};
use crate::session::{Parameter, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

/// Larger bodies stand in a table of their own.
const BODY_BYTES_MAX: usize = 64 * 1024;

impl PostgresStore {
    /// Stores those of `events` that are new and says which are left to be looked at one by one; it may be all of them.
    pub(crate) async fn insert_fresh(
        &self,
        now: Timestamp,
        events: &[&NewEvent],
    ) -> Result<HashSet<EventId>, StoreError> {
        let all = || events.iter().map(|new| new.event.id).collect();
        let Some(fresh) = &Fresh::new(events, now) else { return Ok(all()) };
        let insert = |session: Arc<Session>| async move {
            match fresh.insert(&session, now).await {
                // Something is stored or used already, and the statement has left nothing behind.
                Err(failure) if failure.is_duplicate() => Ok(None),
                result => result.map(Some),
            }
        };
        Ok(self.until_no_collision(self.ingest(), insert).await?.unwrap_or_else(all))
    }
}

/// Events with their deliveries and keys, column by column.
struct Fresh<'a> {
    events: EventColumns<'a>,
    delivery_id: Vec<Uuid>,
    due_at: Vec<i64>,
    lease_owner: Vec<Option<Uuid>>,
    lease_token: Vec<Option<i64>>,
    keys: KeyRows<'a>,
}

impl<'a> Fresh<'a> {
    /// `None` if there is one among them that the statements do not know how to store.
    fn new(events: &[&'a NewEvent], now: Timestamp) -> Option<Self> {
        let deliveries: Vec<&NewDelivery> = events.iter().copied().map(only_delivery).collect::<Option<_>>()?;
        let keys = KeyRows::new(events, now);
        if keys.has_guards() {
            return None;
        }
        let leases = || deliveries.iter().map(|delivery| delivery.lease);
        Some(Fresh {
            events: EventColumns::new(events),
            delivery_id: deliveries.iter().map(|delivery| delivery.id.stored()).collect(),
            due_at: leases().map(|lease| lease.map_or(now, |lease| lease.until).unix_micros()).collect(),
            lease_owner: leases().map(|lease| lease.map(|lease| lease.owner.stored())).collect(),
            lease_token: leases().map(|lease| lease.map(|lease| lease.token.0)).collect(),
            keys,
        })
    }

    /// Returns the events whose key was seen to be used, for which nothing is stored.
    async fn insert(&self, session: &Session, now: Timestamp) -> Result<HashSet<EventId>, Failure> {
        let now_micros = now.unix_micros();
        let mut parameters: Vec<Parameter<'_>> = self.events.parameters().into();
        parameters.extend::<[Parameter<'_>; 4]>([
            &self.delivery_id,
            &self.due_at,
            &self.lease_owner,
            &self.lease_token,
        ]);
        if self.keys.event_id.is_empty() {
            parameters.push(&now_micros);
            session.execute(&sql::EVENT_INSERT_FRESH, &parameters).await?;
            return Ok(HashSet::new());
        }
        let longest =
            Duration::from_secs(WINDOW_SECONDS_MAX.into()) + Duration::from_micros(EDGE_MICROS.unsigned_abs());
        let (first, last) = (bucket(now), bucket(now + longest));
        let KeyRows { event_id, endpoint_id, key_hash, bucket, body_sha256, expires_at, .. } = &self.keys;
        parameters.extend::<[Parameter<'_>; 9]>([
            event_id,
            endpoint_id,
            key_hash,
            bucket,
            body_sha256,
            expires_at,
            &now_micros,
            &first,
            &last,
        ]);
        let seen = session.query(&sql::EVENT_INSERT_FRESH_KEYED, &parameters).await?;
        seen.iter().map(|row| id(row, 0)).collect()
    }
}

/// The delivery of an event that has one, to its own endpoint, yet to be made, and a body of usual size.
fn only_delivery(new: &NewEvent) -> Option<&NewDelivery> {
    let [delivery] = new.deliveries.as_slice() else { return None };
    let is_usual = delivery.ended.is_none()
        && delivery.endpoint_id == new.event.endpoint_id
        && new.event.body.len() <= BODY_BYTES_MAX;
    is_usual.then_some(delivery)
}
