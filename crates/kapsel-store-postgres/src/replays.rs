//! Keeping replays: the jobs themselves. Their steps are made in `replay_step.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{EndpointId, EventId, ReplayId, ReplayState, TenantId, Timestamp};
use kapsel_store::replay::{statuses_from_stored, stored_statuses};
use kapsel_store::{
    DueReplays, EventRange, Replay, ReplayCount, ReplayFilter, ReplayPage, ReplayScan, ReplayStep, ReplayStore,
    StoreError,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::replay_step;
use crate::rows::{StoredId, get, id, stored, time, time_opt};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl ReplayStore for PostgresStore {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        let replay = &replay;
        self.in_tenant(replay.tenant_id, |session| async move { insert(&session, replay).await }).await
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        let get = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::REPLAY_GET, &[&tenant_id.stored(), &id.stored()]).await?;
            replay(&row.ok_or(StoreError::NotFound)?)
        };
        self.in_tenant(tenant_id, get).await
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        // No job has the largest id.
        let before = before.unwrap_or(ReplayId::MAX).stored();
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::REPLAY_LIST, &[&tenant_id.stored(), &before, &stored(limit)]).await?;
            rows.iter().map(replay).collect()
        };
        self.in_tenant(tenant_id, list).await
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        let set = |session: Arc<Session>| async move {
            let replay = lock(&session, tenant_id, id).await?.ok_or(StoreError::NotFound)?;
            if replay.version != expected_version {
                return Err(StoreError::Conflict("the replay was changed meanwhile").into());
            }
            let parameters: &Parameters<'_> = &[&tenant_id.stored(), &id.stored(), &state.as_str(), &now.unix_micros()];
            session.execute(&sql::REPLAY_SET_STATE, parameters).await?;
            Ok(Replay { state, updated_at: now, version: replay.version + 1, ..replay })
        };
        self.in_tenant(tenant_id, set).await
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        let due = |session: Arc<Session>| async move {
            let mut found = DueReplays::default();
            for row in &session.query(&sql::REPLAY_DUE, &[&stored(limit)]).await? {
                let next_step_at = time(row, 14)?;
                if next_step_at > now {
                    found.next_due_at = Some(next_step_at);
                    break;
                }
                match replay(row) {
                    Ok(replay) => found.due.push(replay),
                    // One that cannot be read must not hold up the others.
                    Err(Failure::Store(error)) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a stored replay cannot be read");
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Ok(found)
        };
        self.work().with(due).await
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        let scan = &scan;
        self.in_snapshot(scan.tenant_id, |session| async move { replay_step::scan(&session, now, scan).await }).await
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        let step = &step;
        let advance = |session: Arc<Session>| async move { replay_step::advance(&session, now, step).await };
        self.in_tenant_anew(step.tenant_id, advance).await
    }
}

async fn insert(session: &Session, replay: &Replay) -> Result<(), Failure> {
    let Replay { filter, range, matched, .. } = replay;
    let inserted = session
        .execute(
            &sql::REPLAY_INSERT,
            &[
                &replay.tenant_id.stored(),
                &replay.id.stored(),
                &filter.endpoint_id.map(|id| id.stored()),
                &stored_statuses(filter.statuses),
                &filter.since.map(Timestamp::unix_micros),
                &filter.until.map(Timestamp::unix_micros),
                &range.after.stored(),
                &range.end.stored(),
                &i64::from(replay.rate_per_second),
                &replay.state.as_str(),
                &stored_count(matched.count),
                &matched.is_capped,
                &stored_count(replay.replayed_count),
                &stored_count(replay.skipped_count),
                &replay.next_step_at.unix_micros(),
                &replay.created_at.unix_micros(),
                &replay.updated_at.unix_micros(),
                &replay.completed_at.map(Timestamp::unix_micros),
                &stored_count(replay.version),
            ],
        )
        .await?;
    if inserted == 0 { Err(StoreError::Conflict("the replay id is taken").into()) } else { Ok(()) }
}

/// One job, locked until the commit; `None` if there is none.
pub(crate) async fn lock(session: &Session, tenant_id: TenantId, id: ReplayId) -> Result<Option<Replay>, Failure> {
    let row = session.query_opt(&sql::REPLAY_LOCK, &[&tenant_id.stored(), &id.stored()]).await?;
    row.as_ref().map(replay).transpose()
}

/// The job in the columns of `replay_get` and its like.
fn replay(row: &Row) -> Result<Replay, Failure> {
    let endpoint_id: Option<Uuid> = get(row, 2)?;
    let (statuses, state): (&str, &str) = (get(row, 3)?, get(row, 9)?);
    let (after, end): (EventId, EventId) = (id(row, 6)?, id(row, 7)?);
    let rate_per_second = u32::try_from(count(row, 8)?).map_err(|error| corrupt("the rate of a replay", error))?;
    Ok(Replay {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        filter: ReplayFilter {
            endpoint_id: endpoint_id.map(EndpointId::from),
            statuses: statuses_from_stored(statuses).map_err(|error| corrupt("the states of a replay", error))?,
            since: time_opt(row, 4)?,
            until: time_opt(row, 5)?,
        },
        range: EventRange { after, end },
        rate_per_second,
        state: state.parse().map_err(|error| corrupt("the state of a replay", error))?,
        matched: ReplayCount { count: count(row, 10)?, is_capped: get(row, 11)? },
        replayed_count: count(row, 12)?,
        skipped_count: count(row, 13)?,
        next_step_at: time(row, 14)?,
        created_at: time(row, 15)?,
        updated_at: time(row, 16)?,
        completed_at: time_opt(row, 17)?,
        version: count(row, 18)?,
    })
}

fn count(row: &Row, column: usize) -> Result<u64, Failure> {
    let stored: i64 = get(row, column)?;
    u64::try_from(stored).map_err(|error| corrupt("a count of a replay", error))
}

/// A count as the database stores it. None comes near the limit.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
