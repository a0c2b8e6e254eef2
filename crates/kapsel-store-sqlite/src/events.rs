//! Looking at events, and queueing them anew.

use kapsel_core::{DeliveryState, EventId, TenantId, Timestamp};
use kapsel_store::standing::{Standing, Standpoint};
use kapsel_store::{DeliveryDetail, EventDetail, EventFilter, EventSummary, StatusSet, StoreError};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::error::Failure;
use crate::event_ids::{self, Order, Range};
use crate::rows::{self, corrupt, id, time, time_opt};
use crate::statements as sql;
use crate::status;

/// How many events are looked at in one go when a filter passes only some of them.
const PAGE: usize = 256;

/// One event with its deliveries and attempts.
pub(crate) fn get(
    connection: &Connection,
    tenant_id: TenantId,
    event_id: EventId,
    now: Timestamp,
) -> Result<EventDetail, Failure> {
    let standing = status::read(connection, tenant_id, event_id, now)?;
    let summary = summary(connection, tenant_id, event_id, &standing)?.ok_or(StoreError::NotFound)?;
    let deliveries: Vec<DeliveryDetail> = standing.deliveries().map(|delivery| delivery.detail.clone()).collect();
    let (mut attempts, mut leaf_hashes) = (Vec::new(), Vec::new());
    let mut statement = connection.prepare_cached(sql::ATTEMPTS_OF_EVENT)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), event_id.as_bytes()])?;
    while let Some(row) = rows.next()? {
        attempts.push(rows::attempt(row, tenant_id, event_id)?);
        leaf_hashes.push(rows::leaf_hash_of(row)?);
    }
    Ok(EventDetail { summary, deliveries, attempts, leaf_hashes })
}

fn summary(
    connection: &Connection,
    tenant_id: TenantId,
    event_id: EventId,
    standing: &Standing,
) -> Result<Option<EventSummary>, Failure> {
    let mut statement = connection.prepare_cached(sql::EVENT_HEAD)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), event_id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let size_bytes: i64 = row.get(3)?;
    Ok(Some(EventSummary {
        id: event_id,
        endpoint_id: id(row, 0)?,
        received_at: time(row, 1)?,
        content_type: row.get(2)?,
        size_bytes: u64::try_from(size_bytes).map_err(|error| corrupt("the size of an event", error))?,
        idempotency_key: row.get(4)?,
        status: standing.status(),
        reason: standing.reason(),
        delivered_at: standing.delivered_at,
        erased_at: time_opt(row, 5)?,
        attempts_total: standing.attempts_total,
        next_attempt_at: standing.next_attempt_at(),
    }))
}

/// A list that is read in parts: what is left of it lies between two ids.
pub(crate) struct Cursor {
    tenant_id: TenantId,
    filter: EventFilter,
    now: Timestamp,
    /// From here on, or where the list goes from old to new, behind this.
    low: EventId,
    /// Below this. Empty or above every id at the start.
    high: Vec<u8>,
}

impl Cursor {
    /// The beginning of the list that `filter` describes.
    pub(crate) fn new(tenant_id: TenantId, filter: EventFilter, now: Timestamp) -> Self {
        // One byte longer than an id: above the largest one.
        let mut high = vec![0xff; 17];
        if let Some(end) = filter.end_id() {
            high = end.as_bytes().to_vec();
        }
        let low = if filter.is_oldest_first() { filter.passed_id() } else { filter.lowest_id() };
        Cursor { tenant_id, filter, now, low, high }
    }

    /// Looks at the next events and appends those that pass the filter, until `events` holds `limit`. False at the end
    /// of the list. Short, so that each call can have a snapshot of its own.
    pub(crate) fn read_on(
        &mut self,
        connection: &Connection,
        limit: usize,
        events: &mut Vec<EventSummary>,
    ) -> Result<bool, Failure> {
        let order = if self.filter.is_oldest_first() { Order::OldestFirst } else { Order::NewestFirst };
        let range = Range { low: self.low, high: &self.high, order };
        let ids = event_ids::ids(connection, self.tenant_id, self.filter.candidates(), range, PAGE)?;
        for event_id in &ids {
            if events.len() >= limit {
                return Ok(false);
            }
            let standing = status::read(connection, self.tenant_id, *event_id, self.now)?;
            if !self.filter.status.contains(standing.status()) {
                continue;
            }
            let summary = summary(connection, self.tenant_id, *event_id, &standing)?;
            events.extend(summary.filter(|event| self.filter.takes_endpoint(event.endpoint_id)));
        }
        let Some(last) = ids.last() else { return Ok(false) };
        match order {
            Order::OldestFirst => self.low = *last,
            Order::NewestFirst => self.high = last.as_bytes().to_vec(),
        }
        Ok(ids.len() == PAGE && events.len() < limit)
    }
}

/// Queues every delivery of an event anew if it is in one of the states `from`. All or nothing: every delivery is looked at
/// before the first one is changed.
pub(crate) fn requeue(
    connection: &Connection,
    tenant_id: TenantId,
    event_id: EventId,
    from: StatusSet,
    now: Timestamp,
) -> Result<(), Failure> {
    let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
    let head = |row: &Row<'_>| Ok((row.get(3)?, time_opt(row, 5)?));
    let head: Option<(i64, _)> = connection.prepare_cached(sql::EVENT_HEAD)?.query_row(key, head).optional()?;
    let (size_bytes, erased_at) = head.ok_or(StoreError::NotFound)?;
    if erased_at.is_some() {
        return Err(StoreError::Conflict("the event is erased").into());
    }
    let standing = status::read(connection, tenant_id, event_id, now)?;
    if standing.deliveries().any(|delivery| delivery.detail.state == DeliveryState::Delivering) {
        return Err(StoreError::Conflict("an attempt is under way").into());
    }
    if !from.contains(standing.status()) {
        return Err(StoreError::Conflict("the event is in another state").into());
    }
    let endpoints = || standing.deliveries().map(|delivery| delivery.detail.delivery.endpoint_id);
    let mut endpoint = connection.prepare_cached(sql::ENDPOINT_VERSION)?;
    for endpoint_id in endpoints() {
        if !endpoint.exists(params![tenant_id.as_bytes(), endpoint_id.as_bytes()])? {
            return Err(StoreError::Conflict("the endpoint is deleted").into());
        }
    }
    let mut is_enabled = connection.prepare_cached(sql::ENDPOINT_IS_ENABLED)?;
    for endpoint_id in endpoints() {
        if !is_enabled.exists([endpoint_id.as_bytes()])? {
            return Err(StoreError::Conflict("the endpoint is disabled; enable it first").into());
        }
    }
    for delivery in standing.deliveries() {
        requeue_delivery(connection, delivery, size_bytes, now)?;
    }
    Ok(())
}

fn requeue_delivery(
    connection: &Connection,
    delivery: &Standpoint,
    size_bytes: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    let name = delivery.detail.delivery;
    let key = params![name.tenant_id.as_bytes(), name.event_id.as_bytes(), name.id.as_bytes()];
    if delivery.due_at.is_some() {
        connection.prepare_cached(sql::QUEUE_DELETE)?.execute(key)?;
    }
    connection.prepare_cached(sql::OUTCOME_DELETE)?.execute(key)?;
    let mut insert = connection.prepare_cached(sql::QUEUE_INSERT)?;
    insert.execute(params![
        name.tenant_id.as_bytes(),
        name.event_id.as_bytes(),
        name.id.as_bytes(),
        name.endpoint_id.as_bytes(),
        now.unix_micros(),
        None::<[u8; 16]>,
        None::<i64>,
        delivery.attempts_total,
        size_bytes,
    ])?;
    Ok(())
}
