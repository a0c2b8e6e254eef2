//! Keeping replays: the jobs themselves. Their steps are made in `replay_step.rs`.

use async_trait::async_trait;
use kapsel_core::{EndpointId, EventId, ReplayId, ReplayState, TenantId, Timestamp};
use kapsel_store::replay::{statuses_from_stored, stored_statuses};
use kapsel_store::{
    DueReplays, EventRange, Replay, ReplayCount, ReplayFilter, ReplayPage, ReplayScan, ReplayStep, ReplayStore,
    StoreError,
};
use rusqlite::{Connection, Row, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::replay_step;
use crate::rows::{StoredId, corrupt, count, id, stored, stored_count, time, time_opt};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl ReplayStore for SqliteStore {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        self.writer().write(Kind::MayRefuse, Weight::ROW, move |connection| insert(connection, &replay)).await
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        self.readers().read(move |connection| get(connection, tenant_id, id)).await
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        // No job has the largest id.
        let before = before.unwrap_or(ReplayId::MAX);
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::REPLAY_LIST)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), before.as_bytes(), stored(limit)])?;
            let mut replays = Vec::new();
            while let Some(row) = rows.next()? {
                replays.push(replay(row)?);
            }
            Ok(replays)
        };
        self.readers().read(list).await
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        let set = move |connection: &Connection| {
            if get(connection, tenant_id, id)?.version != expected_version {
                return Err(StoreError::Conflict("the replay was changed meanwhile").into());
            }
            let key = (tenant_id.as_bytes(), id.as_bytes());
            let mut statement = connection.prepare_cached(sql::REPLAY_SET_STATE)?;
            statement.execute(params![key.0, key.1, state.as_str(), now.unix_micros()])?;
            get(connection, tenant_id, id)
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, set).await
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        let due = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::REPLAY_DUE)?;
            let mut rows = statement.query([stored(limit)])?;
            let mut found = DueReplays::default();
            while let Some(row) = rows.next()? {
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
        self.readers().read(due).await
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        self.readers().read(move |connection| replay_step::scan(connection, now, &scan)).await
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        let weight = Weight { rows: step.event_ids.len(), bytes: 0 };
        let advance = move |connection: &Connection| replay_step::advance(connection, now, &step);
        self.writer().write(Kind::Sure, weight, advance).await
    }
}

fn insert(connection: &Connection, replay: &Replay) -> Result<(), Failure> {
    let Replay { filter, range, matched, .. } = replay;
    let inserted = connection.prepare_cached(sql::REPLAY_INSERT)?.execute(params![
        replay.tenant_id.as_bytes(),
        replay.id.as_bytes(),
        filter.endpoint_id.as_ref().map(EndpointId::as_bytes),
        stored_statuses(filter.statuses),
        filter.since.map(Timestamp::unix_micros),
        filter.until.map(Timestamp::unix_micros),
        range.after.as_bytes(),
        range.end.as_bytes(),
        replay.rate_per_second,
        replay.state.as_str(),
        stored_count(matched.count),
        matched.is_capped,
        stored_count(replay.replayed_count),
        stored_count(replay.skipped_count),
        replay.next_step_at.unix_micros(),
        replay.created_at.unix_micros(),
        replay.updated_at.unix_micros(),
        replay.completed_at.map(Timestamp::unix_micros),
        stored_count(replay.version),
    ])?;
    if inserted == 0 { Err(StoreError::Conflict("the replay id is taken").into()) } else { Ok(()) }
}

/// One job.
pub(crate) fn get(connection: &Connection, tenant_id: TenantId, id: ReplayId) -> Result<Replay, Failure> {
    let mut statement = connection.prepare_cached(sql::REPLAY_GET)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), id.as_bytes()])?;
    replay(rows.next()?.ok_or(StoreError::NotFound)?)
}

/// The job in the columns of `replay_get` and its like.
fn replay(row: &Row<'_>) -> Result<Replay, Failure> {
    let endpoint_id: Option<[u8; 16]> = row.get(2)?;
    let statuses: String = row.get(3)?;
    let state: String = row.get(9)?;
    let (after, end): (EventId, EventId) = (id(row, 6)?, id(row, 7)?);
    Ok(Replay {
        id: id(row, 0)?,
        tenant_id: id(row, 1)?,
        filter: ReplayFilter {
            endpoint_id: endpoint_id.map(EndpointId::from_stored),
            statuses: statuses_from_stored(&statuses).map_err(|error| corrupt("the states of a replay", error))?,
            since: time_opt(row, 4)?,
            until: time_opt(row, 5)?,
        },
        range: EventRange { after, end },
        rate_per_second: row.get(8)?,
        state: state.parse().map_err(|error| corrupt("the state of a replay", error))?,
        matched: ReplayCount { count: count(row, 10)?, is_capped: row.get(11)? },
        replayed_count: count(row, 12)?,
        skipped_count: count(row, 13)?,
        next_step_at: time(row, 14)?,
        created_at: time(row, 15)?,
        updated_at: time(row, 16)?,
        completed_at: time_opt(row, 17)?,
        version: count(row, 18)?,
    })
}
