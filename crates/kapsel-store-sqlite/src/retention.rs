//! Removing what has had its time: looked for on a reading connection, removed by the writer in small commands that share
//! a transaction with whatever else waits.

use async_trait::async_trait;
use kapsel_core::{EventId, TenantId};
use kapsel_store::{RetainedKind, RetentionPage, RetentionStep, RetentionStore, StoreError};
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::rows::{id, stored};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn retention_remove(&self, step: RetentionStep) -> Result<RetentionPage, StoreError> {
        let mut old = self.readers().read(move |connection| look(connection, &step)).await?;
        let is_end = old.len() < step.looks_max;
        let looked_up_to = old.last().copied().unwrap_or(step.after);
        old.dedup();
        if old.is_empty() {
            return Ok(RetentionPage { removed: 0, looked_up_to, is_end });
        }
        let weight = Weight { rows: step.looks_max, bytes: 0 };
        let remove = move |connection: &Connection| {
            let mut removed = 0;
            for event_id in &old {
                removed += usize::from(match step.kind {
                    RetainedKind::Events => remove_event(connection, step.tenant_id, *event_id)?,
                    RetainedKind::Attempts => remove_attempts(connection, step.tenant_id, *event_id)?,
                });
            }
            Ok(removed)
        };
        let removed = self.writer().write(Kind::Sure, weight, remove).await?;
        Ok(RetentionPage { removed, looked_up_to, is_end })
    }
}

fn look(connection: &Connection, step: &RetentionStep) -> Result<Vec<EventId>, Failure> {
    let text = match step.kind {
        RetainedKind::Events => sql::EVENT_IDS_OF_TENANT_OLDEST_FIRST,
        RetainedKind::Attempts => sql::RETENTION_ATTEMPT_EVENTS,
    };
    let mut statement = connection.prepare_cached(text)?;
    let parameters =
        params![step.tenant_id.as_bytes(), step.after.as_bytes(), step.end.as_bytes(), stored(step.looks_max)];
    let ids = statement.query_map(parameters, |row| id(row, 0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

/// Removes an event with its body unless it is queued. Whoever queues it anew is the writer as well.
fn remove_event(connection: &Connection, tenant_id: TenantId, event_id: EventId) -> Result<bool, Failure> {
    let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
    if connection.prepare_cached(sql::QUEUE_OF_EVENT)?.exists(key)? {
        return Ok(false);
    }
    connection.prepare_cached(sql::EVENT_BODY_DELETE)?.execute(key)?;
    // Before the event, whose row says which endpoint it is. If it waits to be sorted, it is left out there.
    connection.prepare_cached(sql::EVENT_OF_ENDPOINT_DELETE)?.execute(key)?;
    Ok(connection.prepare_cached(sql::EVENT_DELETE)?.execute(key)? > 0)
}

/// Removes what happened to an event that is not kept any more.
fn remove_attempts(connection: &Connection, tenant_id: TenantId, event_id: EventId) -> Result<bool, Failure> {
    let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
    if connection.prepare_cached(sql::EVENT_EXISTS)?.exists(key)? {
        return Ok(false);
    }
    let attempts = connection.prepare_cached(sql::ATTEMPTS_DELETE_OF_EVENT)?.execute(key)?;
    let outcomes = connection.prepare_cached(sql::OUTCOMES_DELETE_OF_EVENT)?.execute(key)?;
    Ok(attempts + outcomes > 0)
}
