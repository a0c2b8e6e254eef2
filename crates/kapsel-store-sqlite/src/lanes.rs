//! Walking over the lanes, the queues of the endpoints: one seek for each, however many deliveries it holds.

use std::ops::ControlFlow;

use kapsel_core::{EndpointId, EventId, InstanceId, TenantId, Timestamp};
use kapsel_store::{Lane, LaneScan, QueueLook};
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::rows::{StoredId, corrupt, id, stored, time, time_opt};
use crate::statements as sql;

/// A lane with its head.
struct Head {
    endpoint_id: EndpointId,
    due_at: Timestamp,
    /// The endpoint's owner, if there is an endpoint and it is enabled.
    enabled_for: Option<TenantId>,
    is_deleted: bool,
    /// What its circuit says.
    blocked_until: Option<Timestamp>,
    prober: Option<InstanceId>,
    circuit_version: u64,
}

/// Calls `visit` for each lane behind `after` in which something waits at `now`, by endpoint id, until it breaks off.
fn walk(
    connection: &Connection,
    now: Timestamp,
    after: Option<EndpointId>,
    mut visit: impl FnMut(Head) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut next = connection.prepare_cached(sql::LANE_NEXT)?;
    // Empty bytes come before every id.
    let mut behind: Vec<u8> = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
    loop {
        let mut rows = next.query(params![behind, now.unix_micros()])?;
        let Some(row) = rows.next()? else { return Ok(()) };
        let endpoint_id: EndpointId = id(row, 0)?;
        let tenant: Option<[u8; 16]> = row.get(2)?;
        let is_enabled: bool = row.get(3)?;
        let head = Head {
            endpoint_id,
            due_at: time(row, 1)?,
            enabled_for: tenant.filter(|_| is_enabled).map(TenantId::from_stored),
            is_deleted: row.get(4)?,
            blocked_until: time_opt(row, 5)?,
            prober: row.get::<_, Option<[u8; 16]>>(6)?.map(InstanceId::from_stored),
            circuit_version: u64::try_from(row.get::<_, Option<i64>>(7)?.unwrap_or(0))
                .map_err(|error| corrupt("a circuit's version", error))?,
        };
        if visit(head).is_break() {
            return Ok(());
        }
        behind = endpoint_id.as_bytes().to_vec();
    }
}

/// The first `limit` lanes behind `after` that are due for `viewer`.
pub(crate) fn scan(
    connection: &Connection,
    now: Timestamp,
    viewer: InstanceId,
    after: Option<EndpointId>,
    limit: usize,
) -> Result<LaneScan, Failure> {
    let mut scan = LaneScan::default();
    if limit == 0 {
        return Ok(scan);
    }
    walk(connection, now, after, |head| {
        let Head { endpoint_id, circuit_version, .. } = head;
        let blocked_until = head.blocked_until.filter(|_| head.prober != Some(viewer));
        let due_at = head.due_at.max(blocked_until.unwrap_or(head.due_at));
        match head.enabled_for {
            None => {}
            Some(tenant_id) if due_at <= now => scan.due.push(Lane { endpoint_id, tenant_id, due_at, circuit_version }),
            Some(_) => scan.next_due_at = Some(scan.next_due_at.map_or(due_at, |earliest| earliest.min(due_at))),
        }
        if scan.due.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(scan)
}

/// What is queued in all lanes together and under way, as far as `rows_max` entries tell.
pub(crate) fn look(connection: &Connection, rows_max: usize) -> Result<QueueLook, Failure> {
    let mut look = QueueLook::default();
    let mut entries = connection.prepare_cached(sql::QUEUE_ENTRIES)?;
    let mut rows = entries.query([stored(rows_max)])?;
    while rows.next()?.is_some() {
        look.queued += 1;
    }
    // Empty bytes come before every id.
    let mut behind: Vec<u8> = Vec::new();
    let mut next = connection.prepare_cached(sql::QUEUE_OLDEST_NEXT)?;
    for _ in 0..QueueLook::TENANTS_MAX {
        let mut rows = next.query(params![behind])?;
        let Some(row) = rows.next()? else { break };
        let (tenant_id, event_id): (TenantId, EventId) = (id(row, 0)?, id(row, 1)?);
        look.oldest = Some(look.oldest.map_or(event_id, |oldest| oldest.min(event_id)));
        behind = tenant_id.as_bytes().to_vec();
    }
    Ok(look)
}

/// The lanes whose endpoint was deleted.
pub(crate) fn of_deleted_endpoints(connection: &Connection, now: Timestamp) -> Result<Vec<EndpointId>, Failure> {
    let mut deleted = Vec::new();
    walk(connection, now, None, |head| {
        if head.is_deleted {
            deleted.push(head.endpoint_id);
        }
        ControlFlow::Continue(())
    })?;
    Ok(deleted)
}
