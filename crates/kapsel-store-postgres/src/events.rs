//! Looking at events, and queueing them anew.

use std::collections::{BTreeSet, HashMap, HashSet};

use kapsel_core::{DeliveryId, DeliveryState, EndpointId, Event, EventId, TenantId, Timestamp};
use kapsel_store::standing::Standing;
use kapsel_store::{Candidates, DeliveryDetail, EventDetail, EventFilter, EventSummary, StoreError};
use kapsel_verification::leaf_hash;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::rows::{self, StoredId, id, stored, text_of_bytes, time, time_opt};
use crate::session::{Parameters, Session};
use crate::statements::{self as sql, Statement};
use crate::status;

/// How many events are looked at in one go when a filter passes only some of them.
const PAGE: usize = 256;

/// One event as lists show it, and where it stands.
async fn summary_of(
    session: &Session,
    tenant_id: TenantId,
    event_id: EventId,
    now: Timestamp,
) -> Result<(EventSummary, Standing), Failure> {
    let ids = [event_id.stored()];
    let standing = status::read(session, tenant_id, &ids, now).await?.remove(&event_id).unwrap_or_default();
    let head = heads(session, tenant_id, &ids).await?.remove(&event_id).ok_or(StoreError::NotFound)?;
    Ok((head.summary(event_id, &standing), standing))
}

/// One event with its deliveries and attempts.
pub(crate) async fn get(
    session: &Session,
    tenant_id: TenantId,
    event_id: EventId,
    now: Timestamp,
) -> Result<EventDetail, Failure> {
    let (summary, standing) = summary_of(session, tenant_id, event_id, now).await?;
    let deliveries: Vec<DeliveryDetail> = standing.deliveries().map(|delivery| delivery.detail.clone()).collect();
    let rows = session.query(&sql::ATTEMPTS_OF_EVENT, &[&tenant_id.stored(), &event_id.stored()]).await?;
    let attempts = rows.iter().map(|row| rows::attempt(row, tenant_id, event_id)).collect::<Result<_, _>>()?;
    let leaf_hash_of = |row| Ok(rows::bytes_opt(row, 13)?.as_deref().map(leaf_hash));
    let leaf_hashes = rows.iter().map(leaf_hash_of).collect::<Result<_, Failure>>()?;
    Ok(EventDetail { summary, deliveries, attempts, leaf_hashes })
}

/// One event as it came in.
pub(crate) async fn read(session: &Session, tenant_id: TenantId, event_id: EventId) -> Result<Event, Failure> {
    let row = session.query_opt(&sql::EVENT_READ, &[&tenant_id.stored(), &event_id.stored()]).await?;
    rows::event(&row.ok_or(StoreError::NotFound)?, 0, tenant_id, event_id)
}

/// What the row of an event says, its body aside.
pub(crate) struct Head {
    pub(crate) endpoint_id: EndpointId,
    received_at: Timestamp,
    content_type: Option<String>,
    pub(crate) size_bytes: u64,
    idempotency_key: Option<String>,
    pub(crate) erased_at: Option<Timestamp>,
}

impl Head {
    fn summary(self, event_id: EventId, standing: &Standing) -> EventSummary {
        EventSummary {
            id: event_id,
            endpoint_id: self.endpoint_id,
            received_at: self.received_at,
            content_type: self.content_type,
            size_bytes: self.size_bytes,
            idempotency_key: self.idempotency_key,
            status: standing.status(),
            reason: standing.reason(),
            delivered_at: standing.delivered_at,
            erased_at: self.erased_at,
            attempts_total: standing.attempts_total,
            next_attempt_at: standing.next_attempt_at(),
        }
    }
}

/// What the rows of these events say. One that is not there is not among them.
pub(crate) async fn heads(
    session: &Session,
    tenant_id: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<EventId, Head>, Failure> {
    let rows = session.query(&sql::EVENT_HEAD, &[&tenant_id.stored(), &ids]).await?;
    let head = |row: &tokio_postgres::Row| {
        let size_bytes: i64 = rows::get(row, 4)?;
        let head = Head {
            endpoint_id: id(row, 1)?,
            received_at: time(row, 2)?,
            content_type: rows::get(row, 3)?,
            size_bytes: u64::try_from(size_bytes).map_err(|error| corrupt("the size of an event", error))?,
            idempotency_key: text_of_bytes(row, 5)?,
            erased_at: time_opt(row, 6)?,
        };
        Ok((id(row, 0)?, head))
    };
    rows.iter().map(head).collect()
}

/// A list that is read in parts: what is left of it lies between two ids.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    tenant_id: TenantId,
    filter: EventFilter,
    now: Timestamp,
    /// From here on, or where the list goes from old to new, behind this.
    low: EventId,
    /// Below this.
    high: EventId,
}

impl Cursor {
    /// The beginning of the list that `filter` describes.
    pub(crate) fn new(tenant_id: TenantId, filter: EventFilter, now: Timestamp) -> Self {
        // No event has the largest id.
        let high = filter.end_id().unwrap_or(EventId::MAX);
        let low = if filter.is_oldest_first() { filter.passed_id() } else { filter.lowest_id() };
        Cursor { tenant_id, filter, now, low, high }
    }

    /// Looks at the next events and appends those that pass the filter, until `events` holds `limit`. False at the end
    /// of the list. Short, so that each call can have a snapshot of its own.
    pub(crate) async fn read_on(
        &mut self,
        session: &Session,
        limit: usize,
        events: &mut Vec<EventSummary>,
    ) -> Result<bool, Failure> {
        let page = if self.filter.status.is_all() { (limit - events.len()).min(PAGE) } else { PAGE };
        let (candidates, range) = (self.filter.candidates(), (self.low, self.high));
        let ids = match self.filter.is_oldest_first() {
            true => ids_oldest_first(session, self.tenant_id, candidates, range, page).await?,
            false => ids_newest_first(session, self.tenant_id, candidates, range, page).await?,
        };
        let mut standings = status::read(session, self.tenant_id, &ids, self.now).await?;
        let mut heads = heads(session, self.tenant_id, &ids).await?;
        for event_id in ids.iter().copied().map(EventId::from) {
            if events.len() >= limit {
                return Ok(false);
            }
            let standing = standings.remove(&event_id).unwrap_or_default();
            let Some(head) = heads.remove(&event_id) else { continue };
            if self.filter.status.contains(standing.status()) && self.filter.takes_endpoint(head.endpoint_id) {
                events.push(head.summary(event_id, &standing));
            }
        }
        let Some(last) = ids.last() else { return Ok(false) };
        match self.filter.is_oldest_first() {
            true => self.low = EventId::from(*last),
            false => self.high = EventId::from(*last),
        }
        Ok(ids.len() == page && events.len() < limit)
    }
}

/// The ids of events that can pass, from the first of `range` on and below its second.
async fn ids_newest_first(
    session: &Session,
    tenant_id: TenantId,
    candidates: Candidates,
    range: (EventId, EventId),
    limit: usize,
) -> Result<Vec<Uuid>, Failure> {
    let statement = match candidates {
        Candidates::OfEndpoint(_) => &sql::EVENT_IDS_OF_ENDPOINT,
        Candidates::OfTenant => &sql::EVENT_IDS_OF_TENANT,
        Candidates::Undelivered => &sql::EVENT_IDS_UNDELIVERED,
        Candidates::Queued => &sql::EVENT_IDS_QUEUED,
        Candidates::GivenUp => &sql::EVENT_IDS_GIVEN_UP,
    };
    ids(session, statement, tenant_id, candidates, range, limit).await
}

/// The ids of events that can pass, behind the first of `range` and below its second.
pub(crate) async fn ids_oldest_first(
    session: &Session,
    tenant_id: TenantId,
    candidates: Candidates,
    range: (EventId, EventId),
    limit: usize,
) -> Result<Vec<Uuid>, Failure> {
    let statement = match candidates {
        Candidates::OfEndpoint(_) => &sql::EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST,
        Candidates::OfTenant => &sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST,
        Candidates::Undelivered => &sql::EVENT_IDS_UNDELIVERED_OLDEST_FIRST,
        Candidates::Queued => &sql::EVENT_IDS_QUEUED_OLDEST_FIRST,
        Candidates::GivenUp => &sql::EVENT_IDS_GIVEN_UP_OLDEST_FIRST,
    };
    ids(session, statement, tenant_id, candidates, range, limit).await
}

async fn ids(
    session: &Session,
    statement: &'static Statement,
    tenant_id: TenantId,
    candidates: Candidates,
    (low, high): (EventId, EventId),
    limit: usize,
) -> Result<Vec<Uuid>, Failure> {
    let (tenant_id, low, high, limit) = (tenant_id.stored(), low.stored(), high.stored(), stored(limit));
    let rows = match candidates {
        Candidates::OfEndpoint(endpoint_id) => {
            let parameters: &Parameters<'_> = &[&tenant_id, &low, &high, &limit, &endpoint_id.stored()];
            session.query(statement, parameters).await?
        }
        _ => session.query(statement, &[&tenant_id, &low, &high, &limit]).await?,
    };
    rows.iter().map(|row| rows::get(row, 0)).collect()
}

/// Queues every delivery of an event anew. All or nothing: the transaction around it is rolled back where one refuses.
///
/// Whoever queues something anew locks the endpoint it goes to, and whoever claims or settles a queued delivery locks its
/// row. With both locked, in this order, and the event itself in between, against being removed or erased, nothing happens
/// to the event until the commit but what is done here. Only then is
/// it read where it stands: a count of attempts that is older than the locks would number two attempts alike. So the
/// transaction has to be one that sees what others commit.
pub(crate) async fn requeue(
    session: &Session,
    tenant_id: TenantId,
    event_id: EventId,
    now: Timestamp,
) -> Result<(), Failure> {
    let (_, standing) = summary_of(session, tenant_id, event_id, now).await?;
    let endpoints: BTreeSet<EndpointId> =
        standing.deliveries().map(|delivery| delivery.detail.delivery.endpoint_id).collect();
    let mut is_disabled = false;
    let mut is_deleted = false;
    for endpoint_id in endpoints {
        match session.query_opt(&sql::ENDPOINT_VERSION, &[&tenant_id.stored(), &endpoint_id.stored()]).await? {
            None => is_deleted = true,
            Some(row) => is_disabled |= !rows::get::<bool>(&row, 1)?,
        }
    }
    lock_shared(session, tenant_id, &[event_id.stored()]).await?;
    let busy = lock_queued(session, tenant_id, &[event_id.stored()]).await?;
    let (summary, standing) = summary_of(session, tenant_id, event_id, now).await?;
    if summary.erased_at.is_some() {
        return Err(StoreError::Conflict("the event is erased").into());
    }
    let under_way = || Failure::from(StoreError::Conflict("an attempt is under way"));
    if !busy.is_empty() || standing.deliveries().any(|delivery| delivery.detail.state == DeliveryState::Delivering) {
        return Err(under_way());
    }
    if is_deleted {
        return Err(StoreError::Conflict("the endpoint is deleted").into());
    }
    if is_disabled {
        return Err(StoreError::Conflict("the endpoint is disabled; enable it first").into());
    }
    let size_bytes = i64::try_from(summary.size_bytes).unwrap_or(i64::MAX);
    for delivery in standing.deliveries() {
        let name = delivery.detail.delivery;
        let attempts_total = i32::try_from(delivery.attempts_total).unwrap_or(i32::MAX);
        let put = session
            .query_opt(
                &sql::QUEUE_PUT_IF_IDLE,
                &[
                    &tenant_id.stored(),
                    &event_id.stored(),
                    &name.id.stored(),
                    &name.endpoint_id.stored(),
                    &now.unix_micros(),
                    &attempts_total,
                    &size_bytes,
                ],
            )
            .await?;
        put.ok_or_else(under_way)?;
    }
    session.execute(&sql::OUTCOME_DELETE, &[&tenant_id.stored(), &event_id.stored()]).await?;
    Ok(())
}

/// Keeps these events from being removed and erased until the commit, as far as they are there.
pub(crate) async fn lock_shared(session: &Session, tenant_id: TenantId, events: &[Uuid]) -> Result<(), Failure> {
    session.query(&sql::EVENT_LOCK_SHARED, &[&tenant_id.stored(), &events]).await.map(|_| ())
}

/// Locks what is queued of these events. Returns what it could not lock because somebody else is claiming or settling it.
pub(crate) async fn lock_queued(
    session: &Session,
    tenant_id: TenantId,
    events: &[Uuid],
) -> Result<HashSet<DeliveryId>, Failure> {
    let parameters: &Parameters<'_> = &[&tenant_id.stored(), &events];
    // Before the locks: what has left the queue by now was settled, and whatever is read from here on shows how.
    let queued = session.query(&sql::QUEUE_OF_EVENT, parameters).await?;
    let mut busy: HashSet<DeliveryId> = queued.iter().map(|row| id(row, 1)).collect::<Result<_, _>>()?;
    for row in &session.query(&sql::QUEUE_LOCK_OF_EVENTS, parameters).await? {
        busy.remove(&id(row, 0)?);
    }
    Ok(busy)
}
