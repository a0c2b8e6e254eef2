//! Lanes: which endpoints have work, and what becomes of the queue of a deleted one.

use std::time::Duration;

use kapsel_core::{DeliveryState, FinalReason, TenantId};

use super::world::{ALL, LEASE, World};
use crate::{Lane, LaneScan, QueueLook, Settled};

/// A lane is due when its first delivery is; lanes that must not be served are not shown at all.
pub async fn lane_scan_finds_due_lanes_of_enabled_endpoints(world: World) {
    assert_eq!(world.lane_scan(world.now(), None, ALL).await, LaneScan::default());
    let tenant_id = world.tenant_id();
    let (idle, disabled, deleted) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let (one, two) = (world.endpoint().await, world.endpoint_of(tenant_id).await);
    let due_at = world.now();
    for endpoint in [&disabled, &deleted, &one, &two] {
        world.accept_many(endpoint, 2).await;
    }
    world.disable(&disabled).await;
    world.delete(&deleted).await;
    world.pass_seconds(1);
    world.accept(&one).await;

    let lane = |endpoint_id, tenant_id, due_at| Lane { endpoint_id, tenant_id, due_at, circuit_version: 0 };
    let scan = world.lane_scan(world.now(), None, ALL).await;
    let expected = vec![lane(one.id, TenantId::DEFAULT, due_at), lane(two.id, tenant_id, due_at)];
    assert_eq!(scan, LaneScan { due: expected, next_due_at: None });

    // The head moves as the queue does.
    world.claim(world.lease(), &[&one], 2).await;
    let scan = world.lane_scan(world.now(), None, ALL).await;
    assert_eq!(scan.due[0], lane(one.id, TenantId::DEFAULT, world.now()));
    assert!(scan.due.iter().all(|lane| lane.endpoint_id != idle.id));

    world.enable(&disabled).await;
    let scan = world.lane_scan(world.now(), None, ALL).await;
    assert_eq!(scan.due[0], lane(disabled.id, TenantId::DEFAULT, due_at));
}

/// The caller sleeps until then: the first retry among the lanes that are not due. The end of a running lease is none,
/// and once it has come, the lane is due.
pub async fn lane_scan_reports_next_due_time(world: World) {
    let (retried, leased, due) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let (parked, last) = (world.endpoint().await, world.endpoint().await);
    for endpoint in [&retried, &leased, &due, &parked, &last] {
        world.accept(endpoint).await;
    }
    let start = world.now();
    let retry_at = |seconds| start + Duration::from_secs(seconds);
    let claimed = world.claim_one(&retried).await;
    world.settle(world.retry_at(&claimed, retry_at(100))).await;
    world.claim_one(&leased).await;
    let claimed = world.claim_one(&parked).await;
    world.settle(world.retry_at(&claimed, retry_at(1))).await;
    world.disable(&parked).await;
    let claimed = world.claim_one(&last).await;
    world.settle(world.retry_at(&claimed, retry_at(200))).await;

    let next_due_at = async || world.lane_scan(world.now(), None, ALL).await.next_due_at;
    assert_eq!(next_due_at().await, Some(retry_at(100)));
    let scan = world.lane_scan(start + LEASE, None, ALL).await;
    assert_eq!(scan.due.iter().map(|lane| lane.endpoint_id).collect::<Vec<_>>(), [leased.id, due.id]);
    assert_eq!(scan.next_due_at, Some(retry_at(100)));
    assert_eq!(world.lane_scan(retry_at(100), None, ALL).await.next_due_at, Some(retry_at(200)));
    assert_eq!(world.lane_scan(retry_at(200), None, ALL).await.next_due_at, None);

    // Only what was scanned counts: the lanes behind the last one found were not.
    let first = world.lane_scan(start + LEASE, None, 1).await;
    assert_eq!((first.due.len(), first.next_due_at), (1, Some(retry_at(100))));
    let second = world.lane_scan(start + LEASE, Some(leased.id), 1).await;
    assert_eq!((second.due[0].endpoint_id, second.next_due_at), (due.id, None));
    let rest = world.lane_scan(start, Some(due.id), ALL).await;
    assert_eq!(rest, LaneScan { due: Vec::new(), next_due_at: Some(retry_at(200)) });
    let rest = world.lane_scan(start, Some(last.id), ALL).await;
    assert_eq!(rest, LaneScan::default());
}

/// Pages by `after` show each due lane once, and a short page is the last one.
pub async fn lanes_page_by_endpoint_id(world: World) {
    let mut due = Vec::new();
    for step in 0..10 {
        let endpoint = world.endpoint().await;
        if step % 3 == 0 {
            continue;
        }
        world.accept(&endpoint).await;
        if step % 3 == 1 {
            world.claim_one(&endpoint).await;
        } else {
            due.push(endpoint.id);
        }
    }
    for limit in 1..=4 {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let scan = world.lane_scan(world.now(), after, limit).await;
            assert!(scan.due.len() <= limit);
            seen.extend(scan.due.iter().map(|lane| lane.endpoint_id));
            after = seen.last().copied();
            if scan.due.len() < limit {
                break;
            }
            assert!(seen.len() <= due.len(), "a lane is shown twice");
        }
        assert_eq!(seen, due, "in pages of {limit}");
    }
}

/// From the moment of the deletion, what waits counts as discarded, with its reason and its attempts; the sweep that
/// comes later changes nothing that can be seen.
pub async fn deleted_endpoint_discards_its_queue(world: World) {
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    let deliveries = world.accept_many(&endpoint, 5).await;
    let kept = world.accept(&other).await;
    let claimed = world.claim(world.lease(), &[&endpoint], 4).await;
    let later = world.now() + Duration::from_secs(3_600);
    let batch = vec![
        world.retry_at(&claimed[0], later),
        world.delivered(&claimed[1]),
        world.failed(&claimed[2], FinalReason::Refused),
    ];
    world.settle_batch(batch).await;
    world.delete(&endpoint).await;

    let look = async || {
        let mut seen = Vec::new();
        for delivery in &deliveries {
            let detail = world.detail(*delivery).await;
            assert_eq!(detail.deliveries[0].state, detail.summary.status);
            seen.push((
                detail.summary.status,
                detail.summary.reason,
                detail.attempts.len(),
                detail.summary.next_attempt_at,
            ));
        }
        seen
    };
    let discarded = |attempts| (DeliveryState::Discarded, Some(FinalReason::EndpointDeleted), attempts, None);
    let mut expected = vec![
        discarded(1),
        (DeliveryState::Delivered, None, 1, None),
        (DeliveryState::Failed, Some(FinalReason::Refused), 1, None),
        (DeliveryState::Delivering, None, 0, None),
        discarded(0),
    ];
    assert_eq!(look().await, expected);
    assert!(world.claim_all(&endpoint).await.is_empty());

    assert_eq!(world.sweep().await, 2);
    assert_eq!(look().await, expected);
    world.pass(LEASE);
    expected[3] = discarded(0);
    assert_eq!(look().await, expected);
    assert_eq!(world.sweep().await, 1);
    assert_eq!(look().await, expected);
    assert_eq!(world.sweep().await, 0);
    assert_eq!(world.state(kept).await, DeliveryState::Received);
}

/// An attempt that was under way when its endpoint went is written all the same; it is not tried again.
pub async fn settlement_after_the_endpoint_was_deleted(world: World) {
    let endpoint = world.endpoint().await;
    let deliveries = world.accept_many(&endpoint, 4).await;
    let claimed = world.claim_all(&endpoint).await;
    world.delete(&endpoint).await;
    let now = world.now();
    let batch = vec![
        world.delivered(&claimed[0]),
        world.failed(&claimed[1], FinalReason::AttemptsExhausted),
        world.retry_at(&claimed[2], now),
    ];
    assert_eq!(world.settle_batch(batch).await, [Settled::Written; 3]);

    let expected =
        [DeliveryState::Delivered, DeliveryState::Failed, DeliveryState::Discarded, DeliveryState::Delivering];
    for (delivery, expected) in deliveries.iter().zip(expected) {
        assert_eq!(world.state(*delivery).await, expected);
    }
    assert_eq!(world.detail(deliveries[2]).await.attempts.len(), 1);
    assert_eq!(world.sweep().await, 1);
    world.pass(LEASE);
    assert_eq!(world.sweep().await, 1);
    // What the sweep took is out of reach of the lease that ended before it.
    assert_eq!(world.settle_batch(vec![world.delivered(&claimed[3])]).await, [Settled::Stale]);
    assert_eq!(world.state(deliveries[3]).await, DeliveryState::Discarded);
}

/// The sweep takes at most what it is told to, until nothing is left.
pub async fn discard_of_deleted_goes_in_steps(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    world.accept_many(&one, 4).await;
    world.accept_many(&two, 3).await;
    world.delete(&one).await;
    world.delete(&two).await;
    let mut discarded = 0;
    loop {
        let step = world.store.delivery_discard_of_deleted(world.now(), 3).await.unwrap();
        assert!(step <= 3, "{step}");
        discarded += step;
        assert!(discarded <= 7, "the sweep takes what is not there");
        if step == 0 {
            break;
        }
    }
    assert_eq!(discarded, 7);
    assert_eq!(world.list_in(DeliveryState::Discarded).await.len(), 7);
}

/// A look at the queue counts what is queued, leased or not and due or not, and finds the oldest event of all tenants.
pub async fn queue_look_counts_up_to_its_bound(world: World) {
    let look = async |rows_max| world.store.queue_look(rows_max).await.unwrap();
    assert_eq!(look(ALL).await, QueueLook::default());
    // The first event belongs to a tenant with a larger id than those behind it.
    let (late, early) = (world.endpoint_of(TenantId::MAX).await, world.endpoint().await);
    let first = world.accept(&late).await;
    world.pass_seconds(1);
    let others = world.accept_many(&early, 3).await;
    assert_eq!(look(ALL).await, QueueLook { queued: 4, oldest: Some(first.event_id) });
    assert_eq!(look(2).await, QueueLook { queued: 2, oldest: Some(first.event_id) });

    let claimed = world.claim_one(&late).await;
    assert_eq!(look(ALL).await.oldest, Some(first.event_id), "what is under a lease is queued still");
    let retry_at = world.now() + Duration::from_secs(60);
    world.settle(world.retry_at(&claimed, retry_at)).await;
    assert_eq!(look(ALL).await, QueueLook { queued: 4, oldest: Some(first.event_id) });
    world.pass_seconds(60);
    let claimed = world.claim_one(&late).await;
    world.settle(world.delivered(&claimed)).await;
    assert_eq!(look(ALL).await, QueueLook { queued: 3, oldest: Some(others[0].event_id) });
    world.requeue(first).await.unwrap();
    assert_eq!(look(ALL).await, QueueLook { queued: 4, oldest: Some(first.event_id) });
}
