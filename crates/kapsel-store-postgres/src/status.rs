//! Reads what says where the deliveries of events stand.

use std::collections::HashMap;

use kapsel_core::{DeliveryRef, EventId, FinalReason, TenantId, Timestamp};
use kapsel_store::standing::{QueueRow, Standing};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, count, get, id, time, time_opt};
use crate::session::Session;
use crate::statements as sql;

/// Reads where these events stand at `now`. One that has no deliveries is not among them.
pub(crate) async fn read(
    session: &Session,
    tenant_id: TenantId,
    events: &[Uuid],
    now: Timestamp,
) -> Result<HashMap<EventId, Standing>, Failure> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant_id.stored(), &events];
    let mut standings: HashMap<EventId, Standing> = HashMap::with_capacity(events.len());
    let name = |row: &Row| {
        Ok::<_, Failure>(DeliveryRef { event_id: id(row, 0)?, id: id(row, 1)?, endpoint_id: id(row, 2)?, tenant_id })
    };

    for row in &session.query(&sql::ATTEMPTS_SUMMARY_OF_EVENT, &parameters).await? {
        let delivery = name(row)?;
        let attempts: i64 = get(row, 3)?;
        let attempts = u32::try_from(attempts).map_err(|error| corrupt("a count of attempts", error))?;
        standings.entry(delivery.event_id).or_default().add_attempts(delivery, attempts, time_opt(row, 4)?);
    }
    for row in &session.query(&sql::OUTCOMES_OF_EVENT, &parameters).await? {
        let delivery = name(row)?;
        let reason: &str = get(row, 3)?;
        let reason: FinalReason = reason.parse().map_err(|error| corrupt("why a delivery ended", error))?;
        standings.entry(delivery.event_id).or_default().add_outcome(delivery, reason);
    }
    for row in &session.query(&sql::QUEUE_OF_EVENT, &parameters).await? {
        let delivery = name(row)?;
        let queued = QueueRow {
            due_at: time(row, 3)?,
            has_lease: get(row, 4)?,
            attempts_total: count(row, 5)?,
            is_endpoint_deleted: get(row, 6)?,
        };
        standings.entry(delivery.event_id).or_default().add_queued(delivery, queued, now);
    }
    Ok(standings)
}
