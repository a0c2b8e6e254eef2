//! Operations on replays: how they are made up, and how they are applied.

use std::time::Duration;

use kapsel_core::{DeliveryState, EventId, ReplayId, ReplayState, TenantId, Timestamp};

use super::operation::{Observation, Operation};
use super::script::Script;
use crate::contract::world::ALL;
use crate::{Replay, ReplayCount, ReplayFilter, ReplayPage, ReplayScan, ReplayStep, StatusSet, Store, StoreError};

/// A call of the replay side of a store.
#[derive(Debug)]
pub(super) enum ReplayCall {
    Insert(Replay),
    Get(TenantId, ReplayId),
    List { tenant_id: TenantId, before: Option<ReplayId>, limit: usize },
    SetState { tenant_id: TenantId, id: ReplayId, state: ReplayState, expected_version: u64 },
    Due { at: Timestamp, limit: usize },
    Scan(ReplayScan),
    Count(ReplayScan),
    Advance(ReplayStep),
}

impl ReplayCall {
    /// Makes the call.
    pub(super) async fn apply(&self, store: &dyn Store, now: Timestamp) -> Result<Observation, StoreError> {
        Ok(match self {
            ReplayCall::Insert(replay) => {
                store.replay_insert(replay.clone()).await?;
                Observation::Done
            }
            ReplayCall::Get(tenant_id, id) => Observation::Replays(vec![store.replay_get(*tenant_id, *id).await?]),
            ReplayCall::List { tenant_id, before, limit } => {
                Observation::Replays(store.replay_list(*tenant_id, *before, *limit).await?)
            }
            ReplayCall::SetState { tenant_id, id, state, expected_version } => {
                let set = store.replay_set_state_if_version(now, *tenant_id, *id, *state, *expected_version);
                Observation::Replays(vec![set.await?])
            }
            ReplayCall::Due { at, limit } => Observation::DueReplays(store.replay_due(*at, *limit).await?),
            // How far an engine came is its own affair.
            ReplayCall::Scan(scan) => Observation::EventIds(store.replay_scan(now, *scan).await?.event_ids),
            ReplayCall::Count(scan) => {
                let ReplayCount { count, .. } = store.replay_count(now, *scan).await?;
                Observation::Count(usize::try_from(count).unwrap())
            }
            ReplayCall::Advance(step) => {
                Observation::Replays(store.replay_advance_if_version(now, step.clone()).await?.into_iter().collect())
            }
        })
    }

    pub(super) fn method(&self) -> &'static str {
        match self {
            ReplayCall::Insert(_) => "replay_insert",
            ReplayCall::Get(..) => "replay_get",
            ReplayCall::List { .. } => "replay_list",
            ReplayCall::SetState { .. } => "replay_set_state_if_version",
            ReplayCall::Due { .. } => "replay_due",
            ReplayCall::Scan(_) => "replay_scan",
            ReplayCall::Count(_) => "replay_count",
            ReplayCall::Advance(_) => "replay_advance_if_version",
        }
    }

    /// What became of the events of a step, beside whether it was made.
    pub(super) fn marks(&self, replays: &[Replay]) -> Vec<&'static str> {
        let ReplayCall::Advance(_) = self else { return Vec::new() };
        let replayed = replays.iter().any(|replay| replay.replayed_count > 0).then_some("replayed");
        let skipped = replays.iter().any(|replay| replay.skipped_count > 0).then_some("skipped");
        replayed.into_iter().chain(skipped).collect()
    }
}

impl Script {
    pub(super) async fn replay(&self, reference: &dyn Store) -> Operation {
        Operation::Replay(match self.below(20) {
            0..3 => ReplayCall::Insert(self.new_replay()),
            3 => {
                let (tenant_id, id) = self.known_replay();
                ReplayCall::Get(tenant_id, id)
            }
            4 => {
                let before = self.chance(50).then(|| self.known_replay().1);
                ReplayCall::List { tenant_id: self.any_tenant(), before, limit: self.index(5) }
            }
            5..8 => {
                let (tenant_id, id) = self.known_replay();
                let version = reference.replay_get(tenant_id, id).await.map_or(1, |replay| replay.version);
                let state = if self.chance(70) { ReplayState::Running } else { *self.pick(ReplayState::ALL) };
                ReplayCall::SetState { tenant_id, id, state, expected_version: self.nearly(version) }
            }
            8..10 => {
                // Now, or at a time at which few of them were due.
                let earlier = if self.chance(50) { self.micros(600) } else { Duration::ZERO };
                ReplayCall::Due { at: self.now() - earlier, limit: 1 + self.index(4) }
            }
            10..12 => ReplayCall::Scan(self.scan(self.any_tenant(), self.filter(), self.index(6))),
            12 => ReplayCall::Count(self.scan(self.any_tenant(), self.filter(), ALL)),
            _ => self.step(reference).await,
        })
    }

    /// Mostly what a runner would do next.
    async fn step(&self, reference: &dyn Store) -> ReplayCall {
        let (tenant_id, id) = self.known_replay();
        let Ok(replay) = reference.replay_get(tenant_id, id).await else { return ReplayCall::Get(tenant_id, id) };
        let scan = ReplayScan { range: replay.range, ..self.scan(tenant_id, replay.filter, 1 + self.index(4)) };
        let ReplayPage { mut event_ids, mut looked_up_to, is_end } =
            reference.replay_scan(self.now(), scan).await.unwrap();
        if self.chance(30) {
            // One that has nothing to do with it, or not any more.
            event_ids.push(self.known_event().1);
            event_ids.sort_unstable();
            event_ids.dedup();
            looked_up_to = looked_up_to.max(*event_ids.last().unwrap());
        }
        ReplayCall::Advance(ReplayStep {
            tenant_id,
            id,
            expected_version: self.nearly(replay.version),
            event_ids,
            looked_up_to,
            next_step_at: self.now() + self.micros(60),
            is_last: is_end && self.chance(50),
        })
    }

    fn new_replay(&self) -> Replay {
        let taken = self.chance(10).then(|| self.known_replay().1);
        let filter = self.filter();
        Replay {
            id: taken.unwrap_or_else(|| self.ids.next(self.now())),
            tenant_id: self.any_tenant(),
            filter,
            range: filter.range(if self.chance(50) { self.ids.next(self.now()) } else { EventId::MAX }),
            rate_per_second: 1,
            state: ReplayState::Running,
            matched: ReplayCount { count: self.below(10), is_capped: self.chance(50) },
            replayed_count: 0,
            skipped_count: 0,
            next_step_at: self.now() + self.micros(60),
            created_at: self.now(),
            updated_at: self.now(),
            completed_at: None,
            version: 1,
        }
    }

    fn filter(&self) -> ReplayFilter {
        let state = *self.pick(DeliveryState::ALL);
        let time = || self.chance(20).then(|| self.now() - self.micros(120));
        ReplayFilter {
            endpoint_id: self.chance(30).then(|| self.known_endpoint().1),
            statuses: if self.chance(40) { ReplayFilter::STATUSES } else { StatusSet::only(state) },
            since: time(),
            until: time(),
        }
    }

    fn scan(&self, tenant_id: TenantId, filter: ReplayFilter, matches_max: usize) -> ReplayScan {
        let ReplayFilter { endpoint_id, statuses, .. } = filter;
        let range = filter.range(EventId::MAX);
        ReplayScan { tenant_id, endpoint_id, statuses, range, matches_max, looks_max: ALL }
    }

    /// Mostly the version itself.
    fn nearly(&self, version: u64) -> u64 {
        if self.chance(15) { version + 1 } else { version }
    }

    fn known_replay(&self) -> (TenantId, ReplayId) {
        let young = &self.replays[self.replays.len().saturating_sub(8)..];
        if young.is_empty() || self.chance(8) {
            (self.any_tenant(), self.ids.next(self.now()))
        } else {
            *self.pick(young)
        }
    }
}
