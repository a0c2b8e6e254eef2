//! Reads what says where the deliveries of an event stand.

use kapsel_core::{DeliveryId, DeliveryRef, EndpointId, EventId, FinalReason, TenantId, Timestamp};
use kapsel_store::standing::{QueueRow, Standing};
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::rows::{corrupt, id, time};
use crate::statements as sql;

/// Reads where the event `event_id` stands at `now`.
pub(crate) fn read(
    connection: &Connection,
    tenant_id: TenantId,
    event_id: EventId,
    now: Timestamp,
) -> Result<Standing, Failure> {
    let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
    let name = |id: DeliveryId, endpoint_id: EndpointId| DeliveryRef { id, event_id, endpoint_id, tenant_id };
    let mut standing = Standing::default();

    let mut attempts = connection.prepare_cached(sql::ATTEMPTS_SUMMARY_OF_EVENT)?;
    let mut rows = attempts.query(key)?;
    while let Some(row) = rows.next()? {
        let delivered_at: Option<i64> = row.get(3)?;
        let delivered_at = delivered_at.map(Timestamp::from_unix_micros);
        standing.add_attempts(name(id(row, 0)?, id(row, 1)?), row.get(2)?, delivered_at);
    }

    let mut outcomes = connection.prepare_cached(sql::OUTCOMES_OF_EVENT)?;
    let mut rows = outcomes.query(key)?;
    while let Some(row) = rows.next()? {
        let reason: String = row.get(2)?;
        let reason: FinalReason = reason.parse().map_err(|error| corrupt("why a delivery ended", error))?;
        standing.add_outcome(name(id(row, 0)?, id(row, 1)?), reason);
    }

    let mut queue = connection.prepare_cached(sql::QUEUE_OF_EVENT)?;
    let mut rows = queue.query(key)?;
    while let Some(row) = rows.next()? {
        let queued = QueueRow {
            due_at: time(row, 2)?,
            has_lease: row.get(3)?,
            attempts_total: row.get(4)?,
            is_endpoint_deleted: row.get(5)?,
        };
        standing.add_queued(name(id(row, 0)?, id(row, 1)?), queued, now);
    }
    Ok(standing)
}
