//! Replays: keeping jobs, and finding the events that they are about.

use std::time::Duration;

use kapsel_core::{DeliveryState, Endpoint, EventId, FinalReason, ReplayState, TenantId, Timestamp};

use super::world::{ALL, World, assert_conflict, assert_not_found};
use crate::{EventFilter, EventRange, Replay, ReplayCount, ReplayFilter, ReplayScan, StatusSet, StoreError};

/// A filter that lets everything through but what is under way.
pub(super) const ANY: ReplayFilter =
    ReplayFilter { endpoint_id: None, statuses: ReplayFilter::STATUSES, since: None, until: None };

impl World {
    /// A running job of the default tenant about all events there are; not stored.
    pub(super) fn new_replay(&self, filter: ReplayFilter) -> Replay {
        Replay {
            id: self.replay_id(),
            tenant_id: TenantId::DEFAULT,
            filter,
            range: filter.range(self.event_id()),
            rate_per_second: 100,
            state: ReplayState::Running,
            matched: ReplayCount::default(),
            replayed_count: 0,
            skipped_count: 0,
            next_step_at: self.now(),
            created_at: self.now(),
            updated_at: self.now(),
            completed_at: None,
            version: 1,
        }
    }

    pub(super) async fn replay(&self, filter: ReplayFilter) -> Replay {
        let replay = self.new_replay(filter);
        self.store.replay_insert(replay.clone()).await.unwrap();
        replay
    }

    pub(super) async fn stored_replay(&self, replay: &Replay) -> Replay {
        self.store.replay_get(replay.tenant_id, replay.id).await.unwrap()
    }

    pub(super) async fn set_replay_state(&self, replay: &Replay, state: ReplayState) -> Result<Replay, StoreError> {
        let Replay { tenant_id, id, version, .. } = *replay;
        self.store.replay_set_state_if_version(self.now(), tenant_id, id, state, version).await
    }

    /// Everything that is left for `replay`.
    pub(super) async fn scan(&self, replay: &Replay) -> Vec<EventId> {
        let page = self.store.replay_scan(self.now(), scan_of(replay, ALL)).await.unwrap();
        assert!(page.is_end);
        page.event_ids
    }

    /// Accepts an event for `endpoint` and has it fail for good.
    pub(super) async fn fail(&self, endpoint: &Endpoint) -> kapsel_core::DeliveryRef {
        let delivery = self.accept(endpoint).await;
        let claimed = self.claim_one(endpoint).await;
        self.settle(self.failed(&claimed, FinalReason::AttemptsExhausted)).await;
        delivery
    }
}

pub(super) fn scan_of(replay: &Replay, matches_max: usize) -> ReplayScan {
    let Replay { tenant_id, filter, range, .. } = *replay;
    let ReplayFilter { endpoint_id, statuses, .. } = filter;
    ReplayScan { tenant_id, endpoint_id, statuses, range, matches_max, looks_max: ALL }
}

/// Every field comes back as it was stored; an id is taken once.
pub async fn replay_round_trips(world: World) {
    let endpoint = world.endpoint().await;
    let full = Replay {
        filter: ReplayFilter {
            endpoint_id: Some(endpoint.id),
            statuses: [DeliveryState::Failed, DeliveryState::Received].into_iter().collect(),
            since: Some(world.now() - Duration::from_micros(1_234_567)),
            until: Some(world.now() + Duration::from_micros(7)),
        },
        range: EventRange { after: world.event_id(), end: EventId::MAX },
        rate_per_second: 10_000,
        state: ReplayState::Completed,
        matched: ReplayCount { count: 10_000_000_000, is_capped: true },
        replayed_count: 9_999_999_999,
        skipped_count: 1,
        next_step_at: world.now() + Duration::from_micros(1),
        updated_at: world.now() + Duration::from_micros(2),
        completed_at: Some(world.now() + Duration::from_micros(3)),
        version: 77,
        ..world.new_replay(ANY)
    };
    let plain = world.new_replay(ReplayFilter { statuses: StatusSet::only(DeliveryState::Failed), ..ANY });
    for replay in [&full, &plain] {
        world.store.replay_insert(replay.clone()).await.unwrap();
        assert_eq!(world.stored_replay(replay).await, *replay);
        assert_conflict(world.store.replay_insert(replay.clone()).await);
        let of_other = Replay { tenant_id: world.tenant_id(), ..replay.clone() };
        assert_conflict(world.store.replay_insert(of_other).await);
        assert_eq!(world.stored_replay(replay).await, *replay);
    }
    assert_eq!(world.store.replay_list(TenantId::DEFAULT, None, ALL).await.unwrap(), [plain, full]);
    assert_not_found(world.store.replay_get(TenantId::DEFAULT, world.replay_id()).await);
}

/// Newest first, each once, whatever the size of the pages.
pub async fn replay_list_pages_newest_first(world: World) {
    let mut replays = Vec::new();
    for _ in 0..7 {
        replays.push(world.replay(ANY).await);
        world.pass_seconds(1);
    }
    replays.reverse();
    for limit in [1, 2, 3, 7, 8] {
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = world.store.replay_list(TenantId::DEFAULT, before, limit).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            seen.extend(page);
        }
        assert_eq!(seen, replays, "in pages of {limit}");
    }
    assert_eq!(world.store.replay_list(TenantId::DEFAULT, None, 0).await.unwrap(), []);
}

/// Who pauses, resumes or cancels does so with what they have seen; a step in between is not undone by it.
pub async fn replay_state_changes_need_their_version(world: World) {
    let replay = world.replay(ANY).await;
    world.pass_seconds(5);
    let paused = world.set_replay_state(&replay, ReplayState::Paused).await.unwrap();
    let expected =
        Replay { state: ReplayState::Paused, updated_at: world.now(), version: replay.version + 1, ..replay.clone() };
    assert_eq!(paused, expected);
    assert_eq!(world.stored_replay(&replay).await, paused);

    assert_conflict(world.set_replay_state(&replay, ReplayState::Cancelled).await);
    let unknown = Replay { id: world.replay_id(), ..replay.clone() };
    assert_not_found(world.set_replay_state(&unknown, ReplayState::Cancelled).await);
    assert_eq!(world.stored_replay(&replay).await, paused);

    let (one, two) = tokio::join!(
        world.set_replay_state(&paused, ReplayState::Running),
        world.set_replay_state(&paused, ReplayState::Cancelled),
    );
    assert_eq!([&one, &two].iter().filter(|result| result.is_ok()).count(), 1, "{one:?} {two:?}");
    assert_eq!(world.stored_replay(&replay).await, one.or(two).unwrap());
}

/// The longest due first, of all tenants; what stands still or has ended is left out.
pub async fn replay_due_finds_running_jobs_in_turn(world: World) {
    let at = |seconds: u64| world.now() + Duration::from_secs(seconds);
    let job = async |seconds: u64, state| {
        let replay = Replay { next_step_at: at(seconds), state, tenant_id: world.tenant_id(), ..world.new_replay(ANY) };
        world.store.replay_insert(replay.clone()).await.unwrap();
        replay
    };
    let due = async |now: Timestamp, limit| world.store.replay_due(now, limit).await.unwrap();
    assert_eq!(due(at(0), ALL).await, crate::DueReplays::default());

    let third = job(3, ReplayState::Running).await;
    let first = job(1, ReplayState::Running).await;
    let second = job(2, ReplayState::Running).await;
    for state in [ReplayState::Paused, ReplayState::Cancelled, ReplayState::Completed] {
        job(0, state).await;
    }
    let next = |seconds| Some(at(seconds));
    let cases = [
        (0, ALL, vec![], next(1)),
        (1, ALL, vec![&first], next(2)),
        (2, ALL, vec![&first, &second], next(3)),
        (3, ALL, vec![&first, &second, &third], None),
        (4, 2, vec![&first, &second], None),
    ];
    for (seconds, limit, jobs, next_due_at) in cases {
        let found = due(at(seconds), limit).await;
        assert_eq!(found.due.iter().collect::<Vec<_>>(), jobs, "after {seconds} s");
        assert_eq!(found.next_due_at, next_due_at, "after {seconds} s");
    }
    world.set_replay_state(&first, ReplayState::Paused).await.unwrap();
    assert_eq!(due(at(2), ALL).await.due, [second]);
}

/// Events in many states, of two endpoints, some seconds apart.
async fn history(world: &World) -> (Endpoint, Endpoint) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    for endpoint in [&one, &two, &one] {
        world.fail(endpoint).await;
        world.accept(endpoint).await;
        world.deliver(endpoint).await;
        world.pass_seconds(10);
        world.accept(endpoint).await;
        let claimed = world.claim_one(endpoint).await;
        world.settle(world.retry_at(&claimed, world.now() + Duration::from_secs(3_600))).await;
        world.fail(endpoint).await;
        let mut duplicate = world.new_event(endpoint);
        duplicate.deliveries[0].ended = Some(FinalReason::Duplicate);
        world.insert(vec![duplicate]).await;
        world.pass_seconds(10);
    }
    world.accept_many(&one, 2).await;
    (one, two)
}

/// A replay is about exactly what the list of events shows for the same filter.
pub async fn replay_scan_finds_what_lists_show_oldest_first(world: World) {
    let start = world.now();
    let (one, two) = history(&world).await;
    let end = world.event_id();
    world.fail(&two).await;

    let at = |seconds| Some(start + Duration::from_secs(seconds));
    let ranges = [(None, None), (at(5), None), (None, at(25)), (at(10), at(50)), (at(60), at(60)), (at(30), at(10))];
    let singles = DeliveryState::ALL.iter().map(|state| StatusSet::only(*state));
    let undelivered = StatusSet::UNDELIVERED.without(DeliveryState::Delivering);
    let mut found = 0;
    for statuses in singles.chain([ReplayFilter::STATUSES, undelivered]) {
        for endpoint_id in [None, Some(one.id), Some(two.id), Some(world.new_endpoint().id)] {
            for (since, until) in ranges {
                let filter = ReplayFilter { endpoint_id, statuses, since, until };
                let replay = Replay { range: filter.range(end), ..world.new_replay(filter) };
                let shown = EventFilter { status: statuses, endpoint_id, since, until, before: Some(end), after: None };
                let mut expected: Vec<_> = world.list(shown).await.iter().map(|event| event.id).collect();
                expected.reverse();
                assert_eq!(world.scan(&replay).await, expected, "{filter:?}");
                found += expected.len();
            }
        }
    }
    assert!(found > 50, "{found}");
}

/// A call looks at so much and no more, says how far it came, and the next one goes on there.
pub async fn replay_scan_is_short_and_goes_on(world: World) {
    let (one, _) = history(&world).await;
    let failed = StatusSet::only(DeliveryState::Failed);
    let all_of_one = ReplayFilter { endpoint_id: Some(one.id), ..ANY };
    for filter in [ANY, all_of_one, ReplayFilter { statuses: failed, ..all_of_one }] {
        let replay = world.new_replay(filter);
        let all = world.scan(&replay).await;
        assert!(!all.is_empty());
        for (matches_max, looks_max) in [(ALL, 1), (ALL, 3), (1, ALL), (2, ALL), (2, 3)] {
            let mut scan = ReplayScan { looks_max, ..scan_of(&replay, matches_max) };
            let (mut seen, mut calls) = (Vec::new(), 0);
            loop {
                let page = world.store.replay_scan(world.now(), scan).await.unwrap();
                assert!(page.event_ids.len() <= matches_max.min(looks_max));
                assert!(page.event_ids.last().is_none_or(|last| *last <= page.looked_up_to));
                seen.extend(page.event_ids);
                calls += 1;
                if page.is_end {
                    break;
                }
                assert!(page.looked_up_to > scan.range.after, "it goes on");
                scan.range.after = page.looked_up_to;
            }
            assert_eq!(seen, all, "by {matches_max} and {looks_max}");
            assert!(calls >= all.len() / matches_max.min(looks_max), "{calls}");
        }
    }
    let empty = Replay { range: EventRange { after: EventId::MIN, end: EventId::MIN }, ..world.new_replay(ANY) };
    assert_eq!(world.scan(&empty).await, []);
}

/// Nobody knows yet how an attempt ends that is under way.
pub async fn replay_scan_leaves_out_what_is_under_way(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let replay = world.new_replay(ANY);
    assert_eq!(world.scan(&replay).await, [delivery.event_id]);
    let claimed = world.claim_one(&endpoint).await;
    assert_eq!(world.scan(&replay).await, []);
    world.settle(world.delivered(&claimed)).await;
    assert_eq!(world.scan(&replay).await, [delivery.event_id]);
}

/// A count costs what it may cost, and does not pass for more than it is.
pub async fn replay_count_says_when_it_stopped_early(world: World) {
    let (one, two) = history(&world).await;
    let failed_of_two =
        ReplayFilter { statuses: StatusSet::only(DeliveryState::Failed), endpoint_id: Some(two.id), ..ANY };
    let all_of_one = ReplayFilter { endpoint_id: Some(one.id), ..ANY };
    for (filter, total) in [(failed_of_two, 2), (all_of_one, 12), (ANY, 17)] {
        let replay = world.new_replay(filter);
        let count = async |matches_max, looks_max| {
            let scan = ReplayScan { looks_max, ..scan_of(&replay, matches_max) };
            let ReplayCount { count, is_capped } = world.store.replay_count(world.now(), scan).await.unwrap();
            (count, is_capped)
        };
        assert_eq!(count(ALL, ALL).await, (total, false));
        assert_eq!(count(1, ALL).await, (1, true));
        assert_eq!(count(0, ALL).await, (0, true));
        assert_eq!(count(ALL, 0).await, (0, true));
        let (some, is_capped) = count(ALL, 1).await;
        assert!(some <= 1 && is_capped);
    }
}
