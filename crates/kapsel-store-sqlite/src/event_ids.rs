//! Which events a list is made of, by their ids and in their order.

use kapsel_core::{EventId, TenantId};
use kapsel_store::Candidates;
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::rows::{id, stored};
use crate::statements as sql;
use crate::unsorted;

/// The order of a list, and which of its ends is part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// From below the high end down to the low one.
    NewestFirst,
    /// From behind the low end to below the high one.
    OldestFirst,
}

/// What lies between two ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range<'a> {
    pub(crate) low: EventId,
    /// Longer than an id where it is to be above all of them.
    pub(crate) high: &'a [u8],
    pub(crate) order: Order,
}

impl Range<'_> {
    fn holds(&self, id: &EventId) -> bool {
        let is_behind_low = match self.order {
            Order::NewestFirst => *id >= self.low,
            Order::OldestFirst => *id > self.low,
        };
        is_behind_low && id.as_bytes().as_slice() < self.high
    }
}

/// The first `limit` ids of events that can pass. There may be some that are removed.
pub(crate) fn ids(
    connection: &Connection,
    tenant_id: TenantId,
    candidates: Candidates,
    range: Range<'_>,
    limit: usize,
) -> Result<Vec<EventId>, Failure> {
    let mut statement = connection.prepare_cached(statement(candidates, range.order))?;
    let (tenant, low, rows_max) = (tenant_id.as_bytes(), range.low.as_bytes(), stored(limit));
    let first = |row: &Row<'_>| id(row, 0);
    let Candidates::OfEndpoint(endpoint_id) = candidates else {
        let ids = statement.query_map(params![tenant, low, range.high, rows_max], first)?;
        return Ok(ids.collect::<Result<_, _>>()?);
    };
    let sorted = statement.query_map(params![tenant, low, range.high, rows_max, endpoint_id.as_bytes()], first)?;
    let mut ids = sorted.collect::<Result<Vec<_>, _>>()?;
    ids.extend(unsorted::ids(connection, tenant_id, endpoint_id, |id| range.holds(id))?);
    match range.order {
        Order::NewestFirst => ids.sort_unstable_by(|left, right| right.cmp(left)),
        Order::OldestFirst => ids.sort_unstable(),
    }
    // While they are being sorted, events are in both places.
    ids.dedup();
    ids.truncate(limit);
    Ok(ids)
}

fn statement(candidates: Candidates, order: Order) -> &'static str {
    match (candidates, order) {
        (Candidates::OfEndpoint(_), Order::NewestFirst) => sql::EVENT_IDS_OF_ENDPOINT,
        (Candidates::OfEndpoint(_), Order::OldestFirst) => sql::EVENT_IDS_OF_ENDPOINT_OLDEST_FIRST,
        (Candidates::OfTenant, Order::NewestFirst) => sql::EVENT_IDS_OF_TENANT,
        (Candidates::OfTenant, Order::OldestFirst) => sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST,
        (Candidates::Undelivered, Order::NewestFirst) => sql::EVENT_IDS_UNDELIVERED,
        (Candidates::Undelivered, Order::OldestFirst) => sql::EVENT_IDS_UNDELIVERED_OLDEST_FIRST,
        (Candidates::Queued, Order::NewestFirst) => sql::EVENT_IDS_QUEUED,
        (Candidates::Queued, Order::OldestFirst) => sql::EVENT_IDS_QUEUED_OLDEST_FIRST,
        (Candidates::GivenUp, Order::NewestFirst) => sql::EVENT_IDS_GIVEN_UP,
        (Candidates::GivenUp, Order::OldestFirst) => sql::EVENT_IDS_GIVEN_UP_OLDEST_FIRST,
    }
}
