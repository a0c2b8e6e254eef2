//! Steps of replays: finding the events that come next, and queueing them anew.

use kapsel_core::{EndpointId, EventId, ReplayState, Timestamp};
use kapsel_store::{Replay, ReplayPage, ReplayScan, ReplayStep, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Failure;
use crate::event_ids::{self, Order, Range};
use crate::events;
use crate::replays;
use crate::rows::{id, stored_count};
use crate::statements as sql;
use crate::status;

/// Looks at the next events of a range.
pub(crate) fn scan(connection: &Connection, now: Timestamp, scan: &ReplayScan) -> Result<ReplayPage, Failure> {
    let filter = scan.as_filter();
    let range = Range { low: scan.range.after, high: scan.range.end.as_bytes(), order: Order::OldestFirst };
    let candidates = event_ids::ids(connection, scan.tenant_id, filter.candidates(), range, scan.looks_max)?;
    let mut page = ReplayPage { event_ids: Vec::new(), looked_up_to: scan.range.after, is_end: false };
    let mut head = connection.prepare_cached(sql::EVENT_HEAD)?;
    for event_id in &candidates {
        if page.event_ids.len() == scan.matches_max {
            return Ok(page);
        }
        page.looked_up_to = *event_id;
        // The endpoint first: it is one row, and the state is three.
        let key = params![scan.tenant_id.as_bytes(), event_id.as_bytes()];
        let endpoint_id: Option<EndpointId> = head.query_row(key, |row| id(row, 0)).optional()?;
        if !endpoint_id.is_some_and(|endpoint_id| filter.takes_endpoint(endpoint_id)) {
            continue;
        }
        let standing = status::read(connection, scan.tenant_id, *event_id, now)?;
        if filter.status.contains(standing.status()) {
            page.event_ids.push(*event_id);
        }
    }
    page.is_end = candidates.len() < scan.looks_max;
    Ok(page)
}

/// Makes a step, unless the stored version of the job is another one.
pub(crate) fn advance(connection: &Connection, now: Timestamp, step: &ReplayStep) -> Result<Option<Replay>, Failure> {
    let replay = match replays::get(connection, step.tenant_id, step.id) {
        Ok(replay) if replay.version == step.expected_version => replay,
        Ok(_) | Err(Failure::Store(StoreError::NotFound)) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let (mut replayed, mut skipped) = (0, 0);
    for event_id in &step.event_ids {
        match is_queued(connection, now, &replay, *event_id)? {
            true => replayed += 1,
            false => skipped += 1,
        }
    }
    let (state, completed_at) = match step.is_last {
        true => (ReplayState::Completed, Some(now)),
        false => (replay.state, replay.completed_at),
    };
    connection.prepare_cached(sql::REPLAY_ADVANCE)?.execute(params![
        step.tenant_id.as_bytes(),
        step.id.as_bytes(),
        step.looked_up_to.as_bytes(),
        stored_count(replayed),
        stored_count(skipped),
        step.next_step_at.unix_micros(),
        now.unix_micros(),
        state.as_str(),
        completed_at.map(Timestamp::unix_micros),
    ])?;
    replays::get(connection, step.tenant_id, step.id).map(Some)
}

/// Queues an event anew if it can be; whether it was.
fn is_queued(connection: &Connection, now: Timestamp, replay: &Replay, event_id: EventId) -> Result<bool, Failure> {
    // Whatever refuses an event does so before anything is written for it.
    match events::requeue(connection, replay.tenant_id, event_id, replay.filter.statuses, now) {
        Ok(()) => Ok(true),
        Err(Failure::Store(StoreError::NotFound | StoreError::Conflict(_))) => Ok(false),
        // One damaged event must not hold up those behind it.
        Err(Failure::Store(error)) => {
            tracing::error!(%event_id, error = &error as &dyn std::error::Error, "an event cannot be queued anew");
            Ok(false)
        }
        Err(failure) => Err(failure),
    }
}
