//! Erasing: the jobs, and their steps.

use async_trait::async_trait;
use kapsel_core::{
    ApiKeyId, DeliveryState, ErasureId, ErasureState, EventId, FinalReason, Requester, TenantId, Timestamp,
};
use kapsel_store::{DueErasures, Erasure, ErasureLook, ErasureStep, ErasureStore, ErasureSubject, StoreError};
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::rows::{StoredId, corrupt, count, id, stored, stored_count, time, time_opt};
use crate::settle::insert_outcome;
use crate::statements as sql;
use crate::status;
use crate::store::SqliteStore;

#[async_trait]
impl ErasureStore for SqliteStore {
    async fn erasure_insert(&self, erasure: Erasure) -> Result<(), StoreError> {
        self.writer().write(Kind::MayRefuse, Weight::ROW, move |connection| insert(connection, &erasure)).await
    }

    async fn erasure_get(&self, tenant_id: Option<TenantId>, id: ErasureId) -> Result<Erasure, StoreError> {
        self.readers().read(move |connection| get(connection, tenant_id, id)).await
    }

    async fn erasure_list(
        &self,
        tenant_id: Option<TenantId>,
        before: Option<ErasureId>,
        limit: usize,
    ) -> Result<Vec<Erasure>, StoreError> {
        // No job has the largest id.
        let before = before.unwrap_or(ErasureId::MAX);
        let list = move |connection: &Connection| {
            let (before, limit) = (before.as_bytes(), stored(limit));
            let mut statement = connection.prepare_cached(match tenant_id {
                Some(_) => sql::ERASURE_LIST,
                None => sql::ERASURE_LIST_ALL,
            })?;
            let mut rows = match tenant_id {
                Some(tenant_id) => statement.query(params![tenant_id.as_bytes(), before, limit])?,
                None => statement.query(params![before, limit])?,
            };
            let mut erasures = Vec::new();
            while let Some(row) = rows.next()? {
                erasures.push(erasure(row)?);
            }
            Ok(erasures)
        };
        self.readers().read(list).await
    }

    async fn erasure_due(&self, now: Timestamp, limit: usize) -> Result<DueErasures, StoreError> {
        let due = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ERASURE_DUE)?;
            let mut rows = statement.query([stored(limit)])?;
            let mut found = DueErasures::default();
            while let Some(row) = rows.next()? {
                let next_step_at = time(row, 9)?;
                if next_step_at > now {
                    found.next_due_at = Some(next_step_at);
                    break;
                }
                match erasure(row) {
                    Ok(erasure) => found.due.push(erasure),
                    // One that cannot be read must not hold up the others.
                    Err(Failure::Store(error)) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a stored erasure cannot be read");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Ok(found)
        };
        self.readers().read(due).await
    }

    async fn erasure_advance_if_version(
        &self,
        now: Timestamp,
        step: ErasureStep,
    ) -> Result<Option<Erasure>, StoreError> {
        let weight = Weight { rows: step.looks_max, bytes: 0 };
        self.writer().write(Kind::Sure, weight, move |connection| advance(connection, now, &step)).await
    }

    async fn erasure_covers(&self, events: Vec<(TenantId, EventId)>) -> Result<Vec<EventId>, StoreError> {
        let covers = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ERASURE_COVERS)?;
            let mut covered = Vec::new();
            for (tenant_id, event_id) in &events {
                if statement.exists(params![tenant_id.as_bytes(), event_id.as_bytes()])? {
                    covered.push(*event_id);
                }
            }
            Ok(covered)
        };
        self.readers().read(covers).await
    }
}

fn insert(connection: &Connection, erasure: &Erasure) -> Result<(), Failure> {
    if erasure.event_id().is_some() && next(connection, erasure, 1)?.is_empty() {
        return Err(StoreError::NotFound.into());
    }
    let inserted = connection.prepare_cached(sql::ERASURE_INSERT)?.execute(params![
        erasure.tenant_id.as_bytes(),
        erasure.id.as_bytes(),
        erasure.event_id().as_ref().map(EventId::as_bytes),
        erasure.end().as_bytes(),
        erasure.after.as_bytes(),
        erasure.is_second_look,
        erasure.requested_by.key().as_ref().map(ApiKeyId::as_bytes),
        erasure.state.as_str(),
        stored_count(erasure.erased_count),
        erasure.next_step_at.unix_micros(),
        erasure.created_at.unix_micros(),
        erasure.updated_at.unix_micros(),
        erasure.completed_at.map(Timestamp::unix_micros),
        stored_count(erasure.version),
    ])?;
    if inserted == 0 { Err(StoreError::Conflict("the erasure id is taken").into()) } else { Ok(()) }
}

fn get(connection: &Connection, tenant_id: Option<TenantId>, id: ErasureId) -> Result<Erasure, Failure> {
    let mut statement = connection.prepare_cached(match tenant_id {
        Some(_) => sql::ERASURE_GET,
        None => sql::ERASURE_FIND,
    })?;
    let mut rows = match tenant_id {
        Some(tenant_id) => statement.query(params![tenant_id.as_bytes(), id.as_bytes()])?,
        None => statement.query([id.as_bytes()])?,
    };
    erasure(rows.next()?.ok_or(StoreError::NotFound)?)
}

/// The events that come next, one after the other for each row that there is of them.
fn next(connection: &Connection, erasure: &Erasure, limit: usize) -> Result<Vec<EventId>, Failure> {
    let (after, end) = (erasure.after, erasure.end());
    let mut statement = connection.prepare_cached(sql::ERASURE_EVENTS)?;
    let parameters = params![erasure.tenant_id.as_bytes(), after.as_bytes(), end.as_bytes(), stored(limit)];
    let ids = statement.query_map(parameters, |row| id(row, 0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn advance(connection: &Connection, now: Timestamp, step: &ErasureStep) -> Result<Option<Erasure>, Failure> {
    let job = match get(connection, Some(step.tenant_id), step.id) {
        Ok(job) if job.version == step.expected_version && job.state == ErasureState::Running => job,
        Ok(_) | Err(Failure::Store(StoreError::NotFound)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let mut ids = next(connection, &job, step.looks_max)?;
    let is_end = ids.len() < step.looks_max;
    ids.dedup();
    let mut look = ErasureLook { erased: 0, first_busy: None, looked_up_to: job.after, is_end };
    for event_id in ids {
        look.looked_up_to = event_id;
        match erase(connection, now, job.tenant_id, event_id)? {
            Erased::Now => look.erased += 1,
            Erased::Before => {}
            Erased::Not => look.first_busy = look.first_busy.or(Some(event_id)),
        }
    }
    let after = job.after_step(now, look);
    connection.prepare_cached(sql::ERASURE_ADVANCE)?.execute(params![
        after.tenant_id.as_bytes(),
        after.id.as_bytes(),
        after.after.as_bytes(),
        after.is_second_look,
        after.state.as_str(),
        stored_count(after.erased_count),
        after.next_step_at.unix_micros(),
        after.updated_at.unix_micros(),
        after.completed_at.map(Timestamp::unix_micros),
        stored_count(after.version),
    ])?;
    Ok(Some(after))
}

/// What became of one event.
enum Erased {
    Now,
    Before,
    /// An attempt is under way.
    Not,
}

fn erase(connection: &Connection, now: Timestamp, tenant_id: TenantId, event_id: EventId) -> Result<Erased, Failure> {
    let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
    let standing = status::read(connection, tenant_id, event_id, now)?;
    if standing.deliveries().any(|delivery| delivery.detail.state == DeliveryState::Delivering) {
        return Ok(Erased::Not);
    }
    for queued in standing.deliveries().filter(|delivery| delivery.due_at.is_some()) {
        let name = queued.detail.delivery;
        let mut delete = connection.prepare_cached(sql::QUEUE_DELETE)?;
        delete.execute(params![tenant_id.as_bytes(), event_id.as_bytes(), name.id.as_bytes()])?;
        insert_outcome(connection, name, FinalReason::Erased, now)?;
    }
    let mut event = connection.prepare_cached(sql::EVENT_ERASE)?;
    let events = event.execute(params![tenant_id.as_bytes(), event_id.as_bytes(), now.unix_micros()])?;
    connection.prepare_cached(sql::EVENT_BODY_DELETE)?.execute(key)?;
    let attempts = connection.prepare_cached(sql::ATTEMPTS_ERASE)?.execute(key)?;
    Ok(if events + attempts > 0 { Erased::Now } else { Erased::Before })
}

/// The job in the columns of `erasure_get` and its like.
fn erasure(row: &Row<'_>) -> Result<Erasure, Failure> {
    let event_id: Option<[u8; 16]> = row.get(2)?;
    let requested_by: Option<[u8; 16]> = row.get(6)?;
    let state: String = row.get(7)?;
    let end: EventId = id(row, 3)?;
    Ok(Erasure {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        subject: match event_id {
            Some(event_id) => ErasureSubject::Event(EventId::from_stored(event_id)),
            None => ErasureSubject::TenantBefore(end),
        },
        after: id(row, 4)?,
        is_second_look: row.get(5)?,
        requested_by: Requester::from_key(requested_by.map(ApiKeyId::from_stored)),
        state: state.parse().map_err(|error| corrupt("the state of an erasure", error))?,
        erased_count: count(row, 8)?,
        next_step_at: time(row, 9)?,
        created_at: time(row, 10)?,
        updated_at: time(row, 11)?,
        completed_at: time_opt(row, 12)?,
        version: count(row, 13)?,
    })
}
