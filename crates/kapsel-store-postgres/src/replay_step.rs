//! Steps of replays: finding the events that come next, and queueing them anew. Many events at once, because each
//! statement is a round trip.

use std::collections::{BTreeSet, HashMap, HashSet};

use kapsel_core::{DeliveryState, EndpointId, EventId, ReplayState, TenantId, Timestamp};
use kapsel_store::standing::Standing;
use kapsel_store::{Replay, ReplayPage, ReplayScan, ReplayStep};
use uuid::Uuid;

use crate::error::Failure;
use crate::events;
use crate::replays::{self, stored_count};
use crate::rows::{StoredId, id};
use crate::session::{Parameters, Session};
use crate::statements as sql;
use crate::status;

/// How many events are looked at together: some more than are wanted, in the hope that they are enough.
const LOOKS_MIN: usize = 32;
const LOOKS_MAX: usize = 256;

/// Looks at the next events of a range.
pub(crate) async fn scan(session: &Session, now: Timestamp, scan: &ReplayScan) -> Result<ReplayPage, Failure> {
    let filter = scan.as_filter();
    let range = (scan.range.after, scan.range.end);
    let candidates =
        events::ids_oldest_first(session, scan.tenant_id, filter.candidates(), range, scan.looks_max).await?;
    let mut page = ReplayPage { event_ids: Vec::new(), looked_up_to: scan.range.after, is_end: false };
    for ids in candidates.chunks(scan.matches_max.saturating_mul(2).clamp(LOOKS_MIN, LOOKS_MAX)) {
        let heads = events::heads(session, scan.tenant_id, ids).await?;
        let takes =
            |id: &Uuid| heads.get(&EventId::from(*id)).is_some_and(|head| filter.takes_endpoint(head.endpoint_id));
        let taken: Vec<Uuid> = ids.iter().copied().filter(takes).collect();
        let standings = status::read(session, scan.tenant_id, &taken, now).await?;
        for event_id in ids.iter().copied().map(EventId::from) {
            if page.event_ids.len() == scan.matches_max {
                return Ok(page);
            }
            page.looked_up_to = event_id;
            if standings.get(&event_id).is_some_and(|standing| filter.status.contains(standing.status())) {
                page.event_ids.push(event_id);
            }
        }
    }
    page.is_end = candidates.len() < scan.looks_max;
    Ok(page)
}

/// Makes a step, unless the stored version of the job is another one. In a transaction that sees what others commit: the
/// locks are what holds everything together.
pub(crate) async fn advance(session: &Session, now: Timestamp, step: &ReplayStep) -> Result<Option<Replay>, Failure> {
    let Some(replay) = replays::lock(session, step.tenant_id, step.id).await? else { return Ok(None) };
    if replay.version != step.expected_version {
        return Ok(None);
    }
    let replayed = queue_anew(session, now, &replay, &step.event_ids).await?;
    let skipped = step.event_ids.len() - replayed;
    let (replayed, skipped) = (replayed as u64, skipped as u64);
    let (state, completed_at) = match step.is_last {
        true => (ReplayState::Completed, Some(now)),
        false => (replay.state, replay.completed_at),
    };
    let parameters: &Parameters<'_> = &[
        &step.tenant_id.stored(),
        &step.id.stored(),
        &step.looked_up_to.stored(),
        &stored_count(replayed),
        &stored_count(skipped),
        &step.next_step_at.unix_micros(),
        &now.unix_micros(),
        &state.as_str(),
        &completed_at.map(Timestamp::unix_micros),
    ];
    session.execute(&sql::REPLAY_ADVANCE, parameters).await?;
    let mut after = replay;
    after.range.after = step.looked_up_to;
    after.replayed_count += replayed;
    after.skipped_count += skipped;
    after.next_step_at = step.next_step_at;
    after.updated_at = now;
    after.state = state;
    after.completed_at = completed_at;
    after.version += 1;
    Ok(Some(after))
}

/// Queues those of the events anew that can be; how many.
///
/// The locks are those of [`events::requeue`], for many events at once.
async fn queue_anew(
    session: &Session,
    now: Timestamp,
    replay: &Replay,
    event_ids: &[EventId],
) -> Result<usize, Failure> {
    if event_ids.is_empty() {
        return Ok(0);
    }
    let tenant_id = replay.tenant_id;
    let ids: Vec<Uuid> = event_ids.iter().map(StoredId::stored).collect();
    let enabled = lock_endpoints(session, tenant_id, &status::read(session, tenant_id, &ids, now).await?).await?;
    events::lock_shared(session, tenant_id, &ids).await?;
    let busy = events::lock_queued(session, tenant_id, &ids).await?;
    let standings = status::read(session, tenant_id, &ids, now).await?;
    let heads = events::heads(session, tenant_id, &ids).await?;

    let mut rows = Rows::default();
    let mut left: HashMap<EventId, usize> = HashMap::with_capacity(ids.len());
    for event_id in event_ids {
        let (Some(standing), Some(head)) = (standings.get(event_id), heads.get(event_id)) else { continue };
        let is_free = standing.deliveries().all(|delivery| {
            let detail = &delivery.detail;
            let is_idle = detail.state != DeliveryState::Delivering && !busy.contains(&detail.delivery.id);
            is_idle && enabled.contains(&detail.delivery.endpoint_id)
        });
        if is_free && head.erased_at.is_none() && replay.filter.statuses.contains(standing.status()) {
            rows.add(standing, head.size_bytes);
            left.insert(*event_id, standing.deliveries().count());
        }
    }
    for event_id in rows.put(session, tenant_id, now).await? {
        left.entry(event_id).and_modify(|left| *left = left.saturating_sub(1));
    }
    left.retain(|_, left| *left == 0);
    let queued: Vec<Uuid> = left.keys().map(StoredId::stored).collect();
    session.execute(&sql::OUTCOME_DELETE_OF_EVENTS, &[&tenant_id.stored(), &queued]).await?;
    Ok(queued.len())
}

/// Locks the endpoints that these deliveries go to, as far as they are enabled, and says which those are.
async fn lock_endpoints(
    session: &Session,
    tenant_id: TenantId,
    standings: &HashMap<EventId, Standing>,
) -> Result<HashSet<EndpointId>, Failure> {
    let deliveries = standings.values().flat_map(Standing::deliveries);
    let endpoints: BTreeSet<EndpointId> = deliveries.map(|delivery| delivery.detail.delivery.endpoint_id).collect();
    let endpoints: Vec<Uuid> = endpoints.iter().map(StoredId::stored).collect();
    let rows = session.query(&sql::ENDPOINT_LOCK_ENABLED, &[&tenant_id.stored(), &endpoints]).await?;
    rows.iter().map(|row| id(row, 0)).collect()
}

/// Deliveries to queue, column by column.
#[derive(Default)]
struct Rows {
    event_id: Vec<Uuid>,
    delivery_id: Vec<Uuid>,
    endpoint_id: Vec<Uuid>,
    attempts_total: Vec<i32>,
    size_bytes: Vec<i64>,
}

impl Rows {
    fn add(&mut self, standing: &Standing, size_bytes: u64) {
        for delivery in standing.deliveries() {
            let name = delivery.detail.delivery;
            self.event_id.push(name.event_id.stored());
            self.delivery_id.push(name.id.stored());
            self.endpoint_id.push(name.endpoint_id.stored());
            self.attempts_total.push(i32::try_from(delivery.attempts_total).unwrap_or(i32::MAX));
            self.size_bytes.push(stored_count(size_bytes));
        }
    }

    /// Queues them; returns the event of each.
    async fn put(&self, session: &Session, tenant_id: TenantId, now: Timestamp) -> Result<Vec<EventId>, Failure> {
        let parameters: &Parameters<'_> = &[
            &tenant_id.stored(),
            &self.event_id,
            &self.delivery_id,
            &self.endpoint_id,
            &self.attempts_total,
            &self.size_bytes,
            &now.unix_micros(),
        ];
        let rows = session.query(&sql::QUEUE_PUT_MANY_IF_IDLE, parameters).await?;
        rows.iter().map(|row| id(row, 0)).collect()
    }
}
