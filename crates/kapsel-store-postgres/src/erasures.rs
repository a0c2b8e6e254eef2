//! Keeping erasures: the jobs themselves. Their steps are made in `erasure_step.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{ApiKeyId, ErasureId, EventId, Requester, TenantId, Timestamp};
use kapsel_store::{DueErasures, Erasure, ErasureStep, ErasureStore, ErasureSubject, StoreError};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::erasure_step;
use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, get, id, size, stored, stored_version, time, time_opt};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl ErasureStore for PostgresStore {
    async fn erasure_insert(&self, erasure: Erasure) -> Result<(), StoreError> {
        let erasure = &erasure;
        self.in_tenant(erasure.tenant_id, |session| async move { insert(&session, erasure).await }).await
    }

    async fn erasure_get(&self, tenant_id: Option<TenantId>, id: ErasureId) -> Result<Erasure, StoreError> {
        let Some(tenant_id) = tenant_id else {
            let find = |session: Arc<Session>| async move {
                let row = session.query_opt(&sql::ERASURE_FIND, &[&id.stored()]).await?;
                erasure(&row.ok_or(StoreError::NotFound)?)
            };
            return self.work().with(find).await;
        };
        let get = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::ERASURE_GET, &[&tenant_id.stored(), &id.stored()]).await?;
            erasure(&row.ok_or(StoreError::NotFound)?)
        };
        self.in_tenant(tenant_id, get).await
    }

    async fn erasure_list(
        &self,
        tenant_id: Option<TenantId>,
        before: Option<ErasureId>,
        limit: usize,
    ) -> Result<Vec<Erasure>, StoreError> {
        // No job has the largest id.
        let (before, limit) = (before.unwrap_or(ErasureId::MAX).stored(), stored(limit));
        let Some(tenant_id) = tenant_id else {
            let list = |session: Arc<Session>| async move {
                session.query(&sql::ERASURE_LIST_ALL, &[&before, &limit]).await?.iter().map(erasure).collect()
            };
            return self.work().with(list).await;
        };
        let list = |session: Arc<Session>| async move {
            let parameters: &Parameters<'_> = &[&tenant_id.stored(), &before, &limit];
            session.query(&sql::ERASURE_LIST, parameters).await?.iter().map(erasure).collect()
        };
        self.in_tenant(tenant_id, list).await
    }

    async fn erasure_due(&self, now: Timestamp, limit: usize) -> Result<DueErasures, StoreError> {
        let due = |session: Arc<Session>| async move {
            let mut found = DueErasures::default();
            for row in &session.query(&sql::ERASURE_DUE, &[&stored(limit)]).await? {
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
        self.work().with(due).await
    }

    async fn erasure_advance_if_version(
        &self,
        now: Timestamp,
        step: ErasureStep,
    ) -> Result<Option<Erasure>, StoreError> {
        let step = &step;
        let advance = |session: Arc<Session>| async move {
            session.transaction("BEGIN", erasure_step::advance(&session, now, step)).await
        };
        // The management API may not change what is stored of events; this is done by the owner of the tables.
        self.until_no_collision(self.upkeep(), advance).await
    }

    async fn erasure_covers(&self, events: Vec<(TenantId, EventId)>) -> Result<Vec<EventId>, StoreError> {
        let (owners, ids): (Vec<Uuid>, Vec<Uuid>) =
            events.iter().map(|(tenant_id, event_id)| (tenant_id.stored(), event_id.stored())).unzip();
        let covers = |session: Arc<Session>| async move {
            let rows = session.query(&sql::ERASURE_COVERS, &[&owners, &ids]).await?;
            rows.iter().map(|row| id(row, 0)).collect()
        };
        self.work().with(covers).await
    }
}

async fn insert(session: &Session, erasure: &Erasure) -> Result<(), Failure> {
    if erasure.event_id().is_some() && erasure_step::next(session, erasure, 1).await?.is_empty() {
        return Err(StoreError::NotFound.into());
    }
    let parameters: &Parameters<'_> = &[
        &erasure.tenant_id.stored(),
        &erasure.id.stored(),
        &erasure.event_id().map(|id| id.stored()),
        &erasure.end().stored(),
        &erasure.after.stored(),
        &erasure.is_second_look,
        &erasure.requested_by.key().map(|id| id.stored()),
        &erasure.state.as_str(),
        &stored_version(erasure.erased_count),
        &erasure.next_step_at.unix_micros(),
        &erasure.created_at.unix_micros(),
        &erasure.updated_at.unix_micros(),
        &erasure.completed_at.map(Timestamp::unix_micros),
        &stored_version(erasure.version),
    ];
    let inserted = session.execute(&sql::ERASURE_INSERT, parameters).await?;
    if inserted == 0 { Err(StoreError::Conflict("the erasure id is taken").into()) } else { Ok(()) }
}

/// The job in the columns of `erasure_get` and its like.
pub(crate) fn erasure(row: &Row) -> Result<Erasure, Failure> {
    let (event_id, requested_by): (Option<Uuid>, Option<Uuid>) = (get(row, 2)?, get(row, 6)?);
    let state: &str = get(row, 7)?;
    let end: EventId = id(row, 3)?;
    Ok(Erasure {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        subject: match event_id {
            Some(event_id) => ErasureSubject::Event(event_id.into()),
            None => ErasureSubject::TenantBefore(end),
        },
        after: id(row, 4)?,
        is_second_look: get(row, 5)?,
        requested_by: Requester::from_key(requested_by.map(ApiKeyId::from)),
        state: state.parse().map_err(|error| corrupt("the state of an erasure", error))?,
        erased_count: size(row, 8)?,
        next_step_at: time(row, 9)?,
        created_at: time(row, 10)?,
        updated_at: time(row, 11)?,
        completed_at: time_opt(row, 12)?,
        version: size(row, 13)?,
    })
}
