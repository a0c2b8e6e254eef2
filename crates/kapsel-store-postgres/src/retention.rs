//! Removing what has had its time, row by row: for tenants that keep less than everybody does. What everybody keeps goes
//! with its partition (`partitions.rs`).

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{EventId, TenantId};
use kapsel_store::{RetainedKind, RetentionPage, RetentionStep, RetentionStore, StoreError};
use uuid::Uuid;

use crate::error::Failure;
use crate::rows::{StoredId, get, stored};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl RetentionStore for PostgresStore {
    async fn retention_remove(&self, step: RetentionStep) -> Result<RetentionPage, StoreError> {
        let step = &step;
        // On a connection of its own: nobody who takes in or delivers waits for it.
        self.upkeep().with(|session: Arc<Session>| async move { remove(&session, step).await }).await
    }
}

async fn remove(session: &Session, step: &RetentionStep) -> Result<RetentionPage, Failure> {
    let text = match step.kind {
        RetainedKind::Events => &sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST,
        RetainedKind::Attempts => &sql::RETENTION_ATTEMPT_EVENTS,
    };
    let parameters: &Parameters<'_> =
        &[&step.tenant_id.stored(), &step.after.stored(), &step.end.stored(), &stored(step.looks_max)];
    let rows = session.query(text, parameters).await?;
    let mut old: Vec<Uuid> = rows.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    let is_end = old.len() < step.looks_max;
    let looked_up_to = old.last().copied().map_or(step.after, EventId::from);
    old.dedup();
    let removed = match (old.is_empty(), step.kind) {
        (true, _) => 0,
        (false, RetainedKind::Events) => {
            session.transaction("BEGIN", remove_events(session, step.tenant_id, &old)).await?
        }
        (false, RetainedKind::Attempts) => {
            session.transaction("BEGIN", remove_attempts(session, step.tenant_id, old)).await?
        }
    };
    Ok(RetentionPage { removed, looked_up_to, is_end })
}

/// Removes those of the events that are not queued. They are locked first: what somebody has queued anew meanwhile is seen
/// then, and who comes later finds them gone.
async fn remove_events(session: &Session, tenant_id: TenantId, old: &[Uuid]) -> Result<usize, Failure> {
    let tenant_id = tenant_id.stored();
    let locked = session.query(&sql::EVENT_LOCK, &[&tenant_id, &old]).await?;
    let mut doomed: HashSet<Uuid> = locked.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    for row in &session.query(&sql::QUEUE_OF_EVENT, &[&tenant_id, &old]).await? {
        doomed.remove(&get(row, 0)?);
    }
    if doomed.is_empty() {
        return Ok(0);
    }
    let doomed: Vec<Uuid> = doomed.into_iter().collect();
    session.execute(&sql::EVENT_BODIES_DELETE, &[&tenant_id, &doomed]).await?;
    session.execute(&sql::EVENTS_DELETE, &[&tenant_id, &doomed]).await?;
    Ok(doomed.len())
}

/// Removes what happened to those of the events that are not kept any more. An event that is gone does not come back, so
/// nothing has to be locked.
async fn remove_attempts(session: &Session, tenant_id: TenantId, mut old: Vec<Uuid>) -> Result<usize, Failure> {
    let owners = vec![tenant_id.stored(); old.len()];
    let kept = session.query(&sql::EVENT_EXISTS, &[&owners, &old]).await?;
    let kept: HashSet<Uuid> = kept.iter().map(|row| get(row, 0)).collect::<Result<_, _>>()?;
    old.retain(|event_id| !kept.contains(event_id));
    if !old.is_empty() {
        let parameters: &Parameters<'_> = &[&tenant_id.stored(), &old];
        session.execute(&sql::ATTEMPTS_DELETE_OF_EVENTS, parameters).await?;
        session.execute(&sql::OUTCOME_DELETE_OF_EVENTS, parameters).await?;
    }
    Ok(old.len())
}
