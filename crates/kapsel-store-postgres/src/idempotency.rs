//! Uses of idempotency keys, kept in buckets by the day in which they expire.
//!
//! Two instances that use one key at the same moment meet in the unique index of its bucket; one wins. Their clocks and
//! the moments of their statements differ a little, though, so around midnight the same use could fall into two buckets
//! and win in both. Therefore a use that expires within [`EDGE_MICROS`] after the beginning of a day has a second row in
//! the bucket before, the guard: there it meets whoever came a moment earlier. Both rows are needed to win.
//!
//! What this does not cover: two uses at the very same moment whose windows differ by hours, because the setting of the
//! endpoint was changed a second ago, or because one of them comes out of a spool.

use std::collections::HashMap;

use kapsel_core::{EndpointId, EventId, Timestamp};
use kapsel_store::{Ingested, NewEvent, StoreError};
use uuid::Uuid;

use crate::error::Failure;
use crate::rows::{StoredId, get, hash, id, stored, time};
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

pub(crate) const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// More than clocks differ, and longer than a statement runs.
pub(crate) const EDGE_MICROS: i64 = 120 * 1_000_000;

/// Rows that one call of the pruning looks at.
const SLICE_ROWS: usize = 10_000;

/// The day in which something expires, counted from the epoch.
pub(crate) fn bucket(expires_at: Timestamp) -> i64 {
    expires_at.unix_micros().div_euclid(DAY_MICROS)
}

/// Who used a key before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Original {
    pub(crate) event_id: EventId,
    pub(crate) body_sha256: [u8; 32],
}

impl Original {
    /// What an event is told that has the same key.
    pub(crate) fn answer_to(self, new: &NewEvent) -> Ingested {
        let original = self.event_id;
        if original == new.event.id {
            Ingested::Created
        } else if new.key.as_ref().is_some_and(|key| key.explicit) && self.body_sha256 != new.event.body_sha256 {
            Ingested::Conflict { original }
        } else {
            Ingested::Replay { original }
        }
    }
}

/// The rows of the keys of some events, column by column.
#[derive(Default)]
pub(crate) struct KeyRows<'a> {
    pub(crate) event_id: Vec<Uuid>,
    pub(crate) endpoint_id: Vec<Uuid>,
    pub(crate) key_hash: Vec<&'a [u8]>,
    pub(crate) bucket: Vec<i64>,
    pub(crate) body_sha256: Vec<&'a [u8]>,
    pub(crate) expires_at: Vec<i64>,
    pub(crate) is_guard: Vec<bool>,
}

impl<'a> KeyRows<'a> {
    pub(crate) fn new(portion: &[&'a NewEvent], now: Timestamp) -> Self {
        let mut rows = KeyRows::default();
        let mut keyed: Vec<_> = portion.iter().filter_map(|new| Some((*new, new.key.as_ref()?))).collect();
        // One order for everybody who takes many keys.
        keyed.sort_unstable_by_key(|(new, key)| (new.event.endpoint_id, key.hash));
        for (new, key) in keyed {
            let expires_at = now + key.window;
            let bucket = bucket(expires_at);
            rows.push(new, &key.hash, bucket, expires_at, false);
            if expires_at.unix_micros().rem_euclid(DAY_MICROS) < EDGE_MICROS {
                rows.push(new, &key.hash, bucket - 1, expires_at, true);
            }
        }
        rows
    }

    fn push(&mut self, new: &'a NewEvent, key_hash: &'a [u8], bucket: i64, expires_at: Timestamp, is_guard: bool) {
        self.event_id.push(new.event.id.stored());
        self.endpoint_id.push(new.event.endpoint_id.stored());
        self.key_hash.push(key_hash);
        self.bucket.push(bucket);
        self.body_sha256.push(&new.event.body_sha256);
        self.expires_at.push(expires_at.unix_micros());
        self.is_guard.push(is_guard);
    }

    pub(crate) fn has_guards(&self) -> bool {
        self.is_guard.contains(&true)
    }

    /// Takes back what those events hold for which `is_lost` is true.
    pub(crate) async fn give_back(
        &self,
        session: &Session,
        now: Timestamp,
        is_lost: impl Fn(&EventId) -> bool,
    ) -> Result<(), Failure> {
        let lost: Vec<usize> =
            (0..self.event_id.len()).filter(|index| is_lost(&EventId::from(self.event_id[*index]))).collect();
        let event_id: Vec<Uuid> = lost.iter().map(|index| self.event_id[*index]).collect();
        let endpoint_id: Vec<Uuid> = lost.iter().map(|index| self.endpoint_id[*index]).collect();
        let key_hash: Vec<&[u8]> = lost.iter().map(|index| self.key_hash[*index]).collect();
        // The guard of a use that expires today stands in yesterday's bucket.
        let oldest = bucket(now) - 1;
        session.execute(&sql::IDEMPOTENCY_GIVE_BACK, &[&event_id, &endpoint_id, &key_hash, &oldest]).await?;
        Ok(())
    }
}

/// Where the next look for expired uses begins: behind this endpoint, key and bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Position {
    endpoint_id: EndpointId,
    key_hash: Vec<u8>,
    bucket: i64,
}

impl Default for Position {
    fn default() -> Self {
        Position { endpoint_id: EndpointId::MIN, key_hash: Vec::new(), bucket: i64::MIN }
    }
}

impl PostgresStore {
    /// The live uses of the keys of `events`.
    pub(crate) async fn find_originals(
        &self,
        now: Timestamp,
        events: &[&NewEvent],
    ) -> Result<HashMap<EventId, Original>, StoreError> {
        let keyed = || events.iter().filter_map(|new| Some((new, new.key.as_ref()?)));
        let event_id: Vec<Uuid> = keyed().map(|(new, _)| new.event.id.stored()).collect();
        let endpoint_id: Vec<Uuid> = keyed().map(|(new, _)| new.event.endpoint_id.stored()).collect();
        let key_hash: Vec<&[u8]> = keyed().map(|(_, key)| key.hash.as_slice()).collect();
        let find = |session: std::sync::Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&event_id, &endpoint_id, &key_hash, &bucket(now), &now.unix_micros()];
            let mut found = HashMap::new();
            for row in &session.query(&sql::IDEMPOTENCY_FIND, &parameters).await? {
                found.insert(id(row, 0)?, Original { event_id: id(row, 1)?, body_sha256: hash(row, 2)? });
            }
            Ok(found)
        };
        self.ingest().with(find).await
    }

    /// Forgets at most `limit` expired uses of a slice. Days that have passed go with their partitions; what is found
    /// here is what expired since midnight, and what a missing partition left in the default one.
    pub(crate) async fn prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let from = self.prune_position();
        let (mut pruned, mut position) = self.prune_slice(now, limit, from.clone()).await?;
        if position.is_none() && from != Position::default() && pruned < limit {
            // The end was reached; what stands before the place where it began comes next.
            let more;
            (more, position) = self.prune_slice(now, limit - pruned, Position::default()).await?;
            pruned += more;
        }
        self.set_prune_position(position.unwrap_or_default());
        Ok(pruned)
    }

    /// `None` as the position says that the end was reached.
    async fn prune_slice(
        &self,
        now: Timestamp,
        limit: usize,
        from: Position,
    ) -> Result<(usize, Option<Position>), StoreError> {
        self.work()
            .with(|session| async move {
                let rows = session
                    .query(
                        &sql::IDEMPOTENCY_BUCKET_SLICE,
                        &[&bucket(now), &from.endpoint_id.stored(), &from.key_hash, &from.bucket, &stored(SLICE_ROWS)],
                    )
                    .await?;
                let (mut endpoint_id, mut key_hash, mut buckets) = (Vec::new(), Vec::new(), Vec::new());
                let mut uses = 0;
                let mut position = None;
                for row in &rows {
                    let is_guard: bool = get(row, 4)?;
                    let is_expired = time(row, 3)? <= now;
                    if is_expired && !is_guard {
                        if uses == limit {
                            break;
                        }
                        uses += 1;
                    }
                    let at = Position { endpoint_id: id(row, 0)?, key_hash: get(row, 1)?, bucket: get(row, 2)? };
                    if is_expired {
                        endpoint_id.push(at.endpoint_id.stored());
                        key_hash.push(at.key_hash.clone());
                        buckets.push(at.bucket);
                    }
                    position = Some(at);
                }
                let looked_at_all = rows.len() < SLICE_ROWS && uses < limit;
                let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&endpoint_id, &key_hash, &buckets, &now.unix_micros()];
                let gone = session.query(&sql::IDEMPOTENCY_DELETE, &parameters).await?;
                let mut pruned = 0;
                for row in &gone {
                    let is_guard: bool = get(row, 0)?;
                    pruned += usize::from(!is_guard);
                }
                Ok((pruned, if looked_at_all { None } else { position.or(Some(from)) }))
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kapsel_core::idempotency::IdempotencyKey;
    use kapsel_core::{Clock as _, EndpointId, IdGenerator};
    use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

    use super::*;

    #[test]
    fn a_use_that_expires_early_in_a_day_has_a_guard_in_the_day_before() {
        let now = TestClock::new().now();
        let ids = IdGenerator::new(Arc::new(SeededEntropy::new(0)));
        let endpoint = EndpointBuilder::new(ids.next::<EndpointId>(now), "http://a.example/", now).build();
        let event = EventBuilder::new(ids.next(now), &endpoint, now).build();
        let with_window = |seconds| NewEvent {
            event: Arc::new(event.clone()),
            key: Some(IdempotencyKey {
                text: "k".into(),
                hash: [1; 32],
                explicit: true,
                window: Duration::from_secs(seconds),
            }),
            deliveries: Vec::new(),
        };
        // The test clock begins at midnight.
        let today = bucket(now);
        for (seconds, expected) in [
            (0, vec![(today, false), (today - 1, true)]),
            (119, vec![(today, false), (today - 1, true)]),
            (120, vec![(today, false)]),
            (86_399, vec![(today, false)]),
            (86_400, vec![(today + 1, false), (today, true)]),
        ] {
            let new = with_window(seconds);
            let rows = KeyRows::new(&[&new], now);
            let found: Vec<_> = rows.bucket.iter().copied().zip(rows.is_guard.iter().copied()).collect();
            assert_eq!(found, expected, "{seconds} s");
        }
    }
}
