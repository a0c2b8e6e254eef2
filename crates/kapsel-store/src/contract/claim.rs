//! Claiming what is due under a lease, and giving it back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{DeliveryState, Lease, LeaseToken};

use super::world::{ALL, LEASE, World, events_of, with_body};
use crate::{ClaimRequest, LaneQuota, Settled};

/// Many claimers at once: each delivery goes to exactly one of them.
pub async fn claim_is_exclusive(world: World) {
    let endpoints = [world.endpoint().await, world.endpoint().await];
    let mut accepted = BTreeSet::new();
    for endpoint in &endpoints {
        accepted.extend(world.accept_many(endpoint, 100).await.iter().map(|delivery| delivery.id));
    }
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let (store, now, lease) = (Arc::clone(&world.store), world.now(), world.lease_of(world.instance_id()));
            let lanes: Vec<_> = endpoints.iter().map(|endpoint| LaneQuota::without_circuit(endpoint.id, 7)).collect();
            tokio::spawn(async move {
                let mut claimed = Vec::new();
                for round in 0.. {
                    let lease = Lease { token: LeaseToken(lease.token.0.wrapping_add(round)), ..lease };
                    let request = ClaimRequest { lease, lanes: lanes.clone(), body_bytes_max: usize::MAX };
                    let batch = store.delivery_claim_due(now, request).await.unwrap();
                    if batch.is_empty() {
                        break;
                    }
                    assert!(batch.iter().all(|claimed| claimed.lease == lease));
                    claimed.extend(batch.iter().map(|claimed| claimed.delivery.id));
                }
                claimed
            })
        })
        .collect();
    let mut claimed = Vec::new();
    for claimer in claimers {
        claimed.extend(claimer.await.unwrap());
    }
    assert_eq!(claimed.len(), accepted.len(), "a delivery was claimed twice or not at all");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), accepted);
}

/// When a lease ends, its deliveries are due for everybody, with their counts as they were.
pub async fn expired_lease_is_reclaimed(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let claimed = world.claim_one(&endpoint).await;
    world.settle(world.retry_at(&claimed, world.now())).await;
    let lost = world.claim_one(&endpoint).await;

    world.pass(LEASE);
    assert_eq!(world.state(delivery).await, DeliveryState::Pending);
    let again = world.claim_one(&endpoint).await;
    assert_eq!(again.delivery, delivery);
    assert_eq!((again.attempts_total, again.attempts_made), (1, 1));
    assert_ne!(again.lease, lost.lease);
    assert_eq!(world.state(delivery).await, DeliveryState::Delivering);
}

/// Until its end, a lease keeps everybody else away, to the microsecond.
pub async fn running_lease_is_not_claimed(world: World) {
    let endpoint = world.endpoint().await;
    world.accept(&endpoint).await;
    world.claim_one(&endpoint).await;
    assert!(world.claim_all(&endpoint).await.is_empty());
    world.pass(LEASE - Duration::from_micros(1));
    assert!(world.claim_all(&endpoint).await.is_empty());
    world.pass(Duration::from_micros(1));
    world.claim_one(&endpoint).await;
}

/// No lane gives more than its quota; no claim holds more bytes than its budget, except by a single large body.
pub async fn claim_respects_quota_and_byte_budget(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    let mut batch = Vec::new();
    for endpoint in [&one, &one, &one, &two, &two] {
        batch.push(with_body(world.new_event(endpoint), vec![7; 100]));
    }
    world.insert(batch).await;
    let claim = |one_quota, two_quota, body_bytes_max| {
        let quota = |endpoint_id, quota| LaneQuota::without_circuit(endpoint_id, quota);
        let lanes = vec![quota(one.id, one_quota), quota(two.id, two_quota)];
        ClaimRequest { lease: world.lease(), lanes, body_bytes_max }
    };
    let free = async || world.store.lease_release_all(world.now(), None).await.unwrap();

    assert_eq!(world.claim_with(claim(2, 1, usize::MAX)).await.len(), 3);
    assert_eq!(world.claim_with(claim(0, 0, usize::MAX)).await.len(), 0);
    assert_eq!(world.claim_with(claim(ALL, ALL, usize::MAX)).await.len(), 2);
    free().await;
    for (budget, expected) in [(0, 1), (1, 1), (100, 1), (199, 1), (200, 2), (399, 3), (400, 4), (500, 5), (501, 5)] {
        let claimed = world.claim_with(claim(ALL, ALL, budget)).await;
        assert_eq!(claimed.len(), expected, "of 5 × 100 bytes with a budget of {budget}");
        free().await;
    }

    // What does not fit ends the claim, rather than being overtaken by something smaller.
    let three = world.endpoint().await;
    let large = with_body(world.new_event(&three), vec![7; 1_000]);
    let small = with_body(world.new_event(&three), vec![7; 1]);
    let small_id = small.event.id;
    let large_id = large.event.id;
    world.insert(vec![large, small]).await;
    let lanes = vec![
        LaneQuota::without_circuit(one.id, 1),
        LaneQuota::without_circuit(three.id, ALL),
        LaneQuota::without_circuit(two.id, ALL),
    ];
    let request = ClaimRequest { lease: world.lease(), lanes, body_bytes_max: 500 };
    let claimed = world.claim_with(request).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.delivery.endpoint_id).collect::<Vec<_>>(), [one.id]);
    let request = ClaimRequest { lease: world.lease(), lanes: vec![lane(three.id, ALL)], body_bytes_max: 500 };
    assert_eq!(events_of(&world.claim_with(request).await), [large_id]);
    assert_eq!(events_of(&world.claim_all(&three).await), [small_id]);
}

fn lane(endpoint_id: kapsel_core::EndpointId, quota: usize) -> LaneQuota {
    LaneQuota::without_circuit(endpoint_id, quota)
}

/// Within a lane, order is by due time and not by age; equal times go by id.
pub async fn claim_takes_longest_due_first(world: World) {
    let endpoint = world.endpoint().await;
    let old = world.accept_many(&endpoint, 3).await;
    // The first one is put back behind those that come later.
    let first = world.claim(world.lease(), &[&endpoint], 1).await.remove(0);
    assert_eq!(first.delivery, old[0]);
    let due_at = world.now() + Duration::from_secs(20);
    world.settle(world.retry_at(&first, due_at)).await;
    world.pass_seconds(10);
    let young = world.accept_many(&endpoint, 2).await;
    world.pass_seconds(10);

    let mut claimed = Vec::new();
    for quota in [1, 3, ALL] {
        claimed.extend(world.claim(world.lease(), &[&endpoint], quota).await);
    }
    let order: Vec<_> = claimed.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(order, [old[1], old[2], young[0], young[1], old[0]]);
}

/// The caller decides in which order lanes are served; what the budget does not reach waits.
pub async fn claim_goes_lane_by_lane(world: World) {
    let (one, two, idle) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let of_one = world.accept_many(&one, 2).await;
    world.pass_seconds(1);
    let of_two = world.accept_many(&two, 2).await;

    let claimed = world.claim(world.lease(), &[&two, &idle, &one], ALL).await;
    let order: Vec<_> = claimed.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(order, [of_two, of_one].concat());
    assert!(world.claim(world.lease(), &[], ALL).await.is_empty());
}

/// Many rows behind an endpoint that is not served stay where they are; everybody else's work is found and claimed.
pub async fn blocked_endpoint_delays_nobody(world: World) {
    let blocked = world.endpoint().await;
    let parked = world.accept_many(&blocked, 2_000).await;
    world.disable(&blocked).await;
    world.pass_seconds(1);
    let others = [world.endpoint().await, world.endpoint().await];
    let mut expected = Vec::new();
    for other in &others {
        expected.extend(world.accept_many(other, 3).await);
    }

    let scan = world.lane_scan(world.now(), None, 2).await;
    assert_eq!(scan.due.iter().map(|lane| lane.endpoint_id).collect::<Vec<_>>(), [others[0].id, others[1].id]);
    let claimed = world.claim(world.lease(), &[&blocked, &others[0], &others[1]], 100).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.delivery).collect::<Vec<_>>(), expected);
    assert_eq!(world.state(parked[0]).await, DeliveryState::Received);

    world.enable(&blocked).await;
    assert_eq!(world.claim_all(&blocked).await.len(), parked.len());
}

/// What is given back untried is due at once, for everybody, and counts no attempt.
pub async fn release_makes_due_again(world: World) {
    let endpoint = world.endpoint().await;
    let deliveries = world.accept_many(&endpoint, 2).await;
    let claimed = world.claim_all(&endpoint).await;
    world.pass_seconds(1);
    let released = vec![(claimed[0].delivery, claimed[0].lease)];
    world.store.delivery_release_if_leased(world.now(), released).await.unwrap();

    assert_eq!(world.state(deliveries[0]).await, DeliveryState::Received);
    assert_eq!(world.state(deliveries[1]).await, DeliveryState::Delivering);
    assert_eq!(world.detail(deliveries[0]).await.summary.next_attempt_at, Some(world.now()));
    let again = world.claim_one(&endpoint).await;
    assert_eq!((again.delivery, again.attempts_total, again.attempts_made), (deliveries[0], 0, 0));
    // The old lease is worth nothing now, not even after the new one's end.
    assert_eq!(world.settle_batch(vec![world.delivered(&claimed[0])]).await, [Settled::Stale]);
}

/// Who lost the lease cannot give away what now belongs to somebody else.
pub async fn release_under_a_stale_lease_is_passed_over(world: World) {
    let endpoint = world.endpoint().await;
    let delivery = world.accept(&endpoint).await;
    let lost = world.claim_one(&endpoint).await;
    world.pass(LEASE);
    let holder = world.claim_one(&endpoint).await;

    let stale = vec![(lost.delivery, lost.lease)];
    world.store.delivery_release_if_leased(world.now(), stale.clone()).await.unwrap();
    assert_eq!(world.state(delivery).await, DeliveryState::Delivering);
    world.settle(world.delivered(&holder)).await;
    world.store.delivery_release_if_leased(world.now(), stale).await.unwrap();
    world.store.delivery_release_if_leased(world.now(), vec![(holder.delivery, holder.lease)]).await.unwrap();
    assert_eq!(world.state(delivery).await, DeliveryState::Delivered);
    world.store.delivery_release_if_leased(world.now(), Vec::new()).await.unwrap();
}

/// An instance that starts again frees what its former self held, and nobody else's.
pub async fn lease_release_all_frees_only_the_owner(world: World) {
    let endpoint = world.endpoint().await;
    let (dead, alive) = (world.instance_id(), world.instance_id());
    let deliveries = world.accept_many(&endpoint, 5).await;
    let of_dead = world.claim(world.lease_of(dead), &[&endpoint], 2).await;
    world.claim(world.lease_of(alive), &[&endpoint], 2).await;

    world.pass_seconds(1);
    assert_eq!(world.store.lease_release_all(world.now(), Some(world.instance_id())).await.unwrap(), 0);
    assert_eq!(world.store.lease_release_all(world.now(), Some(dead)).await.unwrap(), 2);
    assert_eq!(world.store.lease_release_all(world.now(), Some(dead)).await.unwrap(), 0);

    assert_eq!(world.detail(deliveries[0]).await.summary.next_attempt_at, Some(world.now()));
    let order: Vec<_> = world.claim_all(&endpoint).await.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(order, [deliveries[4], deliveries[0], deliveries[1]]);
    assert_eq!(world.settle_batch(vec![world.delivered(&of_dead[0])]).await, [Settled::Stale]);
}

/// The embedded engine's start: whoever held a lease is dead. Ended leases are freed with the running ones.
pub async fn lease_release_all_without_an_owner_frees_everything(world: World) {
    let endpoint = world.endpoint().await;
    let deliveries = world.accept_many(&endpoint, 3).await;
    let ended = world.claim(world.lease_of(world.instance_id()), &[&endpoint], 1).await.remove(0);
    world.pass(LEASE / 2);
    world.claim(world.lease_of(world.instance_id()), &[&endpoint], 1).await;
    world.pass(LEASE / 2);

    assert_eq!(world.store.lease_release_all(world.now(), None).await.unwrap(), 2);
    assert_eq!(world.settle_batch(vec![world.delivered(&ended)]).await, [Settled::Stale]);
    let order: Vec<_> = world.claim_all(&endpoint).await.iter().map(|claimed| claimed.delivery).collect();
    assert_eq!(order, [deliveries[2], deliveries[0], deliveries[1]]);
}

/// What a claim took whose answer was lost is due again for everybody at once; its lease is worth nothing any more. Other
/// leases stay, and one that has ended needs no giving back.
pub async fn release_claim_gives_back_what_a_lost_answer_took(world: World) {
    let (endpoint, other) = (world.endpoint().await, world.endpoint().await);
    world.accept_many(&endpoint, 3).await;
    world.accept_many(&other, 2).await;
    let lost = world.lease();
    let claimed = world.claim(lost, &[&endpoint, &other], 2).await;
    assert_eq!(claimed.len(), 4);
    let kept = world.claim_all(&endpoint).await;
    assert_eq!(kept.len(), 1);

    assert_eq!(world.store.delivery_release_claim(world.now(), world.lease()).await.unwrap(), 0);
    world.pass_seconds(1);
    assert_eq!(world.store.delivery_release_claim(world.now(), lost).await.unwrap(), 4);
    assert_eq!(world.store.delivery_release_claim(world.now(), lost).await.unwrap(), 0);
    assert_eq!(world.settle_batch(vec![world.delivered(&claimed[0])]).await, [Settled::Stale]);
    let again = world.claim(world.lease(), &[&endpoint, &other], ALL).await;
    assert_eq!(again.len(), 4);
    assert_eq!(world.settle_batch(vec![world.delivered(&kept[0])]).await, [Settled::Written]);

    world.pass(LEASE);
    assert_eq!(world.store.delivery_release_claim(world.now(), again[0].lease).await.unwrap(), 0);
    assert_eq!(world.claim(world.lease(), &[&endpoint, &other], ALL).await.len(), 4);
}
