//! Replays in memory.

use std::ops::Bound;

use async_trait::async_trait;
use kapsel_core::{EventId, ReplayId, ReplayState, TenantId, Timestamp};

use super::MemoryStore;
use super::state::State;
use crate::error::StoreError;
use crate::replay::{DueReplays, Replay, ReplayPage, ReplayScan, ReplayStep, ReplayStore};

#[async_trait]
impl ReplayStore for MemoryStore {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.replays.contains_key(&replay.id) {
            return Err(StoreError::Conflict("the replay id is taken"));
        }
        state.replays.insert(replay.id, replay);
        Ok(())
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        self.lock().replay_of(tenant_id, id).cloned()
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        let state = self.lock();
        let older = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let replays = state.replays.range(older).rev().map(|(_, replay)| replay);
        Ok(replays.filter(|replay| replay.tenant_id == tenant_id).take(limit).cloned().collect())
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        let mut stored = self.lock();
        let mut replay = stored.replay_of(tenant_id, id)?.clone();
        if replay.version != expected_version {
            return Err(StoreError::Conflict("the replay was changed meanwhile"));
        }
        replay.state = state;
        replay.updated_at = now;
        replay.version += 1;
        stored.replays.insert(id, replay.clone());
        Ok(replay)
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        let state = self.lock();
        let mut running: Vec<&Replay> =
            state.replays.values().filter(|replay| replay.state == ReplayState::Running).collect();
        running.sort_unstable_by_key(|replay| (replay.next_step_at, replay.id));
        let due: Vec<Replay> =
            running.iter().take_while(|replay| replay.next_step_at <= now).take(limit).copied().cloned().collect();
        let next = if due.len() < limit { running.get(due.len()) } else { None };
        Ok(DueReplays { next_due_at: next.map(|replay| replay.next_step_at), due })
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        Ok(self.lock().scan_for_replay(now, &scan))
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        Ok(self.lock().advance_replay(now, step))
    }
}

impl State {
    fn replay_of(&self, tenant_id: TenantId, id: ReplayId) -> Result<&Replay, StoreError> {
        self.replays.get(&id).filter(|replay| replay.tenant_id == tenant_id).ok_or(StoreError::NotFound)
    }

    fn scan_for_replay(&self, now: Timestamp, scan: &ReplayScan) -> ReplayPage {
        let ReplayScan { tenant_id, range, matches_max, looks_max, .. } = *scan;
        let mut page = ReplayPage { event_ids: Vec::new(), looked_up_to: range.after, is_end: false };
        if range.after >= range.end {
            page.is_end = true;
            return page;
        }
        let filter = scan.as_filter();
        let events = self.events.range((Bound::Excluded(range.after), Bound::Excluded(range.end)));
        for (looks, (id, stored)) in events.filter(|(_, stored)| stored.event.tenant_id == tenant_id).enumerate() {
            if looks == looks_max || page.event_ids.len() == matches_max {
                return page;
            }
            page.looked_up_to = *id;
            if filter.takes_endpoint(stored.event.endpoint_id)
                && filter.status.contains(self.summary_of(stored, now).status)
            {
                page.event_ids.push(*id);
            }
        }
        page.is_end = true;
        page
    }

    fn advance_replay(&mut self, now: Timestamp, step: ReplayStep) -> Option<Replay> {
        let ReplayStep { tenant_id, id, expected_version, event_ids, looked_up_to, next_step_at, is_last } = step;
        let mut replay = self.replay_of(tenant_id, id).ok()?.clone();
        if replay.version != expected_version {
            return None;
        }
        for event_id in event_ids {
            match self.requeue_for(&replay, event_id, now) {
                true => replay.replayed_count += 1,
                false => replay.skipped_count += 1,
            }
        }
        replay.range.after = looked_up_to;
        replay.next_step_at = next_step_at;
        replay.updated_at = now;
        if is_last {
            replay.state = ReplayState::Completed;
            replay.completed_at = Some(now);
        }
        replay.version += 1;
        self.replays.insert(id, replay.clone());
        Some(replay)
    }

    /// Whether the event was queued.
    fn requeue_for(&mut self, replay: &Replay, event_id: EventId, now: Timestamp) -> bool {
        let Ok(stored) = self.event_of(replay.tenant_id, event_id) else { return false };
        let status = self.summary_of(stored, now).status;
        replay.filter.statuses.contains(status) && self.requeue(replay.tenant_id, event_id, now).is_ok()
    }
}
