//! Storing accepted webhooks: a whole batch in one statement, which is its own transaction and one round trip. Nearly
//! always that is one of those in `fresh.rs`; what is left by them goes through the one here, which knows every case.
//!
//! An event and a key may occur once in a statement. What repeats one that came before in the batch waits for the next
//! portion; nearly always there is one portion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{EndpointId, EventId, Timestamp};
use kapsel_store::{IngestStore, Ingested, NewEvent, StoreError};
use uuid::Uuid;

use crate::error::Failure;
use crate::idempotency::{KeyRows, Original, bucket};
use crate::rows::{StoredId, get, hash, id, stored};
use crate::session::{Parameter, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

/// How often a batch is tried again that lost its key to somebody whose use cannot be found.
const TRIES_MAX: usize = 10;

#[async_trait]
impl IngestStore for PostgresStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let batch = &batch;
        // Each key and each event has to be looked at again after those that were stored before it in the batch.
        let mut answers: Vec<Option<Ingested>> = vec![None; batch.len()];
        let mut open: Vec<usize> = (0..batch.len()).collect();
        let mut tries = 0;
        while !open.is_empty() {
            let (portion, later) = split(batch, &open);
            let done = self.insert_portion(now, batch, &portion).await?;
            for (index, answer) in portion.iter().zip(&done) {
                answers[*index] = *answer;
            }
            if done.iter().any(Option::is_none) {
                tries += 1;
                if tries >= TRIES_MAX {
                    let message = "an idempotency key is used and not to be found";
                    return Err(StoreError::Unavailable { message, cause: None });
                }
            }
            open =
                portion.into_iter().zip(done).filter(|(_, answer)| answer.is_none()).map(|(index, _)| index).collect();
            if !later.is_empty() {
                // Mostly the answer is there by now, for all of them at once.
                let known = self.look_up(now, batch, &later).await?;
                for (index, answer) in later.into_iter().zip(known) {
                    answers[index] = answer;
                    open.extend(answer.is_none().then_some(index));
                }
                open.sort_unstable();
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }
}

/// Those of `open` whose event and key come up for the first time, and the rest.
fn split(batch: &[NewEvent], open: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut events: HashSet<EventId> = HashSet::with_capacity(open.len());
    let mut keys: HashSet<(EndpointId, [u8; 32])> = HashSet::new();
    open.iter().copied().partition(|index| {
        let new = &batch[*index];
        let is_new_key = new.key.as_ref().is_none_or(|key| keys.insert((new.event.endpoint_id, key.hash)));
        is_new_key & events.insert(new.event.id)
    })
}

impl PostgresStore {
    /// Stores a portion and says what became of each; `None` where that is still open.
    async fn insert_portion(
        &self,
        now: Timestamp,
        batch: &[NewEvent],
        portion: &[usize],
    ) -> Result<Vec<Option<Ingested>>, StoreError> {
        let events: Vec<&NewEvent> = portion.iter().map(|index| &batch[*index]).collect();
        let left = self.insert_fresh(now, &events).await?;
        if left.is_empty() {
            return Ok(vec![Some(Ingested::Created); events.len()]);
        }
        let rest: Vec<&NewEvent> = events.iter().copied().filter(|new| left.contains(&new.event.id)).collect();
        let columns = &Columns::new(&rest, now);
        let insert = |session: Arc<Session>| async move { insert(&session, columns, now).await };
        let lost = self.until_no_collision(self.ingest(), insert).await?;
        self.answers(now, &events, lost).await
    }

    /// What can be said of events without storing anything: they are stored already, or their key is used.
    async fn look_up(
        &self,
        now: Timestamp,
        batch: &[NewEvent],
        indexes: &[usize],
    ) -> Result<Vec<Option<Ingested>>, StoreError> {
        let events: Vec<&NewEvent> = indexes.iter().map(|index| &batch[*index]).collect();
        let tenant_id: Vec<Uuid> = events.iter().map(|new| new.event.tenant_id.stored()).collect();
        let event_id: Vec<Uuid> = events.iter().map(|new| new.event.id.stored()).collect();
        let exists = |session: Arc<Session>| async move {
            let rows = session.query(&sql::EVENT_EXISTS, &[&tenant_id, &event_id]).await?;
            rows.iter().map(|row| id(row, 0)).collect::<Result<HashSet<EventId>, _>>()
        };
        let stored = self.ingest().with(exists).await?;
        let originals = self.find_originals(now, &events).await?;
        let answer = |new: &&NewEvent| match stored.contains(&new.event.id) {
            true => Some(Ingested::Created),
            false => originals.get(&new.event.id).map(|original| original.answer_to(new)),
        };
        Ok(events.iter().map(answer).collect())
    }

    async fn answers(
        &self,
        now: Timestamp,
        events: &[&NewEvent],
        mut lost: HashMap<EventId, Option<Original>>,
    ) -> Result<Vec<Option<Ingested>>, StoreError> {
        // Lost to somebody who was not there when the statement began, and is now.
        let unseen: Vec<&NewEvent> =
            events.iter().copied().filter(|new| matches!(lost.get(&new.event.id), Some(None))).collect();
        if !unseen.is_empty() {
            let found = self.find_originals(now, &unseen).await?;
            lost.extend(found.into_iter().map(|(id, original)| (id, Some(original))));
        }
        Ok(events
            .iter()
            .map(|new| match lost.get(&new.event.id) {
                None => Some(Ingested::Created),
                Some(None) => None,
                Some(Some(original)) => Some(original.answer_to(new)),
            })
            .collect())
    }
}

/// Runs the statement. Returns the events that did not get their key, with the use that was seen.
async fn insert(
    session: &Session,
    columns: &Columns<'_>,
    now: Timestamp,
) -> Result<HashMap<EventId, Option<Original>>, Failure> {
    if !columns.keys.has_guards() {
        // Its own transaction.
        return columns.insert(session, now).await;
    }
    let with_guards = async {
        let lost = columns.insert(session, now).await?;
        // Somebody who won the guard but not the key holds a row that names an event which is not stored.
        if lost.values().any(Option::is_none) {
            columns.keys.give_back(session, now, |event_id| lost.contains_key(event_id)).await?;
        }
        Ok(lost)
    };
    session.transaction("BEGIN", with_guards).await
}

/// A portion column by column, as the statement takes it.
struct Columns<'a> {
    events: EventColumns<'a>,
    keys: KeyRows<'a>,
    deliveries: Deliveries,
}

/// Events column by column.
pub(crate) struct EventColumns<'a> {
    tenant_id: Vec<Uuid>,
    id: Vec<Uuid>,
    endpoint_id: Vec<Uuid>,
    received_at: Vec<i64>,
    size_bytes: Vec<i64>,
    content_type: Vec<Option<&'a str>>,
    idempotency_key: Vec<Option<&'a [u8]>>,
    body_sha256: Vec<&'a [u8]>,
    headers: Vec<&'a [u8]>,
    body: Vec<&'a [u8]>,
}

impl<'a> EventColumns<'a> {
    pub(crate) fn new(portion: &[&'a NewEvent]) -> Self {
        let events = || portion.iter().map(|new| new.event.as_ref());
        EventColumns {
            tenant_id: events().map(|event| event.tenant_id.stored()).collect(),
            id: events().map(|event| event.id.stored()).collect(),
            endpoint_id: events().map(|event| event.endpoint_id.stored()).collect(),
            received_at: events().map(|event| event.received_at.unix_micros()).collect(),
            size_bytes: events().map(|event| stored(event.body.len())).collect(),
            content_type: events().map(|event| event.content_type()).collect(),
            idempotency_key: events().map(|event| event.idempotency_key.as_ref().map(String::as_bytes)).collect(),
            body_sha256: events().map(|event| event.body_sha256.as_slice()).collect(),
            headers: events().map(|event| event.headers.as_bytes().as_ref()).collect(),
            body: events().map(|event| event.body.as_ref()).collect(),
        }
    }

    /// The first parameters of every statement that inserts events.
    pub(crate) fn parameters(&self) -> [Parameter<'_>; 10] {
        [
            &self.tenant_id,
            &self.id,
            &self.endpoint_id,
            &self.received_at,
            &self.size_bytes,
            &self.content_type,
            &self.idempotency_key,
            &self.body_sha256,
            &self.headers,
            &self.body,
        ]
    }
}

/// The deliveries of a portion.
#[derive(Default)]
struct Deliveries {
    tenant_id: Vec<Uuid>,
    event_id: Vec<Uuid>,
    id: Vec<Uuid>,
    endpoint_id: Vec<Uuid>,
    due_at: Vec<i64>,
    lease_owner: Vec<Option<Uuid>>,
    lease_token: Vec<Option<i64>>,
    size_bytes: Vec<i64>,
    reason: Vec<Option<&'static str>>,
}

impl Deliveries {
    fn push_all(&mut self, new: &NewEvent, now: Timestamp) {
        for delivery in &new.deliveries {
            self.tenant_id.push(new.event.tenant_id.stored());
            self.event_id.push(new.event.id.stored());
            self.id.push(delivery.id.stored());
            self.endpoint_id.push(delivery.endpoint_id.stored());
            self.due_at.push(delivery.lease.map_or(now, |lease| lease.until).unix_micros());
            self.lease_owner.push(delivery.lease.map(|lease| lease.owner.stored()));
            self.lease_token.push(delivery.lease.map(|lease| lease.token.0));
            self.size_bytes.push(stored(new.event.body.len()));
            self.reason.push(delivery.ended.map(|reason| reason.as_str()));
        }
    }
}

impl<'a> Columns<'a> {
    fn new(portion: &[&'a NewEvent], now: Timestamp) -> Self {
        let mut deliveries = Deliveries::default();
        for new in portion {
            deliveries.push_all(new, now);
        }
        Columns { events: EventColumns::new(portion), keys: KeyRows::new(portion, now), deliveries }
    }

    async fn insert(&self, session: &Session, now: Timestamp) -> Result<HashMap<EventId, Option<Original>>, Failure> {
        let (keys, deliveries) = (&self.keys, &self.deliveries);
        let (now_micros, today) = (now.unix_micros(), bucket(now));
        let mut parameters: Vec<Parameter<'_>> = self.events.parameters().into();
        parameters.extend::<[Parameter<'_>; 18]>([
            &keys.event_id,
            &keys.endpoint_id,
            &keys.key_hash,
            &keys.bucket,
            &keys.body_sha256,
            &keys.expires_at,
            &keys.is_guard,
            &now_micros,
            &today,
            &deliveries.tenant_id,
            &deliveries.event_id,
            &deliveries.id,
            &deliveries.endpoint_id,
            &deliveries.due_at,
            &deliveries.lease_owner,
            &deliveries.lease_token,
            &deliveries.size_bytes,
            &deliveries.reason,
        ]);
        let rows = session.query(&sql::EVENT_INSERT, &parameters).await?;
        let mut lost = HashMap::with_capacity(rows.len());
        for row in &rows {
            let original: Option<Uuid> = get(row, 1)?;
            let original = match original {
                None => None,
                Some(original) => Some(Original { event_id: original.into(), body_sha256: hash(row, 2)? }),
            };
            lost.insert(id(row, 0)?, original);
        }
        Ok(lost)
    }
}
