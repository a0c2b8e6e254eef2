//! Steps of erasures. Many events at once, because each statement is a round trip.
//!
//! What a step erases it locks first, and never waits for: the events, against being queued anew, and what is queued of them,
//! against being claimed and settled. What it cannot lock, somebody is working on; that is left for the next step. So the
//! transaction has to be one that sees what others commit.

use std::collections::{BTreeSet, HashSet};

use kapsel_core::{DeliveryId, ErasureState, EventId, FinalReason, TenantId, Timestamp};
use kapsel_store::{Erasure, ErasureLook, ErasureStep};
use uuid::Uuid;

use crate::erasures::erasure;
use crate::error::Failure;
use crate::events;
use crate::rows::{StoredId, get, id, stored, stored_version, time};
use crate::session::{Parameters, Session};
use crate::statements as sql;

/// Makes a step, unless the stored version of the job is another one.
pub(crate) async fn advance(session: &Session, now: Timestamp, step: &ErasureStep) -> Result<Option<Erasure>, Failure> {
    let row = session.query_opt(&sql::ERASURE_LOCK, &[&step.tenant_id.stored(), &step.id.stored()]).await?;
    let Some(job) = row.as_ref().map(erasure).transpose()? else { return Ok(None) };
    if job.version != step.expected_version || job.state != ErasureState::Running {
        return Ok(None);
    }
    let mut ids = next(session, &job, step.looks_max).await?;
    let is_end = ids.len() < step.looks_max;
    ids.dedup();
    let looked_up_to = ids.last().copied().map_or(job.after, EventId::from);
    let busy = busy(session, job.tenant_id, &ids, now).await?;
    let first_busy = ids.iter().copied().find(|event_id| busy.contains(event_id)).map(EventId::from);
    ids.retain(|event_id| !busy.contains(event_id));
    let erased = erase(session, job.tenant_id, &ids, now).await?;
    let after = job.after_step(now, ErasureLook { erased, first_busy, looked_up_to, is_end });
    let parameters: &Parameters<'_> = &[
        &after.tenant_id.stored(),
        &after.id.stored(),
        &after.after.stored(),
        &after.is_second_look,
        &after.state.as_str(),
        &stored_version(after.erased_count),
        &after.next_step_at.unix_micros(),
        &after.updated_at.unix_micros(),
        &after.completed_at.map(Timestamp::unix_micros),
        &stored_version(after.version),
    ];
    session.execute(&sql::ERASURE_ADVANCE, parameters).await?;
    Ok(Some(after))
}

/// The events that come next, one after the other for each row that there is of them.
pub(crate) async fn next(session: &Session, job: &Erasure, limit: usize) -> Result<Vec<Uuid>, Failure> {
    let parameters: &Parameters<'_> =
        &[&job.tenant_id.stored(), &job.after.stored(), &job.end().stored(), &stored(limit)];
    let rows = session.query(&sql::ERASURE_EVENTS, parameters).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Locks these events and what is queued of them. Returns those that somebody is working on.
async fn busy(session: &Session, tenant_id: TenantId, ids: &[Uuid], now: Timestamp) -> Result<HashSet<Uuid>, Failure> {
    let owner = tenant_id.stored();
    let (owners, parameters) = (vec![owner; ids.len()], &[&owner as _, &ids as _]);
    let there = session.query(&sql::EVENT_EXISTS, &[&owners, &ids]).await?;
    let mut busy: HashSet<Uuid> = there.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    for row in &session.query(&sql::EVENT_LOCK, parameters).await? {
        busy.remove(&get(row, 0)?);
    }
    let locked_by_others: HashSet<DeliveryId> = events::lock_queued(session, tenant_id, ids).await?;
    for row in &session.query(&sql::QUEUE_OF_EVENT, parameters).await? {
        let (due_at, has_lease): (Timestamp, bool) = (time(row, 3)?, get(row, 4)?);
        if (has_lease && due_at > now) || locked_by_others.contains(&id(row, 1)?) {
            busy.insert(get(row, 0)?);
        }
    }
    Ok(busy)
}

/// Erases these events, which are locked. Returns how many of them were not erased before.
async fn erase(session: &Session, tenant_id: TenantId, ids: &[Uuid], now: Timestamp) -> Result<u64, Failure> {
    if ids.is_empty() {
        return Ok(0);
    }
    let (owner, now) = (tenant_id.stored(), now.unix_micros());
    let reason = FinalReason::Erased.as_str();
    session.execute(&sql::QUEUE_END_OF_EVENTS, &[&owner, &ids, &reason, &now]).await?;
    let events = session.query(&sql::EVENTS_ERASE, &[&owner, &ids, &now]).await?;
    session.execute(&sql::EVENT_BODIES_DELETE, &[&owner, &ids]).await?;
    let attempts = session.query(&sql::ATTEMPTS_ERASE, &[&owner, &ids]).await?;
    let erased: BTreeSet<Uuid> = events.iter().chain(&attempts).map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    Ok(erased.len() as u64)
}
