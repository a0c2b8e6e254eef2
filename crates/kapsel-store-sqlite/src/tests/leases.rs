//! Leases that end, whatever became of the commits that stored them or looked for them.

use std::time::Duration;

use kapsel_core::{InstanceId, Lease, LeaseToken, Timestamp};
use kapsel_store::{ClaimRequest, DeliveryStore, LaneQuota, NewEvent};

use super::world::World;
use crate::faults::CommitFault;

const LEASE: Duration = Duration::from_secs(60);

fn lease(token: i64, now: Timestamp) -> Lease {
    Lease { owner: InstanceId::MIN, token: LeaseToken(token), until: now + LEASE }
}

fn leased(world: &World, lease: Lease) -> NewEvent {
    let mut new = world.event(100);
    new.deliveries[0].lease = Some(lease);
    new
}

async fn due_lanes(world: &World, now: Timestamp) -> usize {
    world.store.lane_scan(now, InstanceId::MIN, None, 10).await.unwrap().due.len()
}

fn claim_of(world: &World, lease: Lease) -> ClaimRequest {
    ClaimRequest { lease, lanes: vec![LaneQuota::without_circuit(world.endpoint.id, 10)], body_bytes_max: usize::MAX }
}

#[tokio::test]
async fn a_look_whose_commit_fails_is_made_again() {
    for fault in [CommitFault::NothingStored, CommitFault::AllStored] {
        let world = World::new().await;
        world.insert(leased(&world, lease(1, world.now()))).await.unwrap();
        let (before, end) = (world.now() + LEASE - Duration::from_micros(1), world.now() + LEASE);
        assert_eq!(due_lanes(&world, before).await, 0);
        world.store.faults().fail_commit(fault, 1);
        world.store.lane_scan(end, InstanceId::MIN, None, 10).await.unwrap_err();
        assert_eq!(due_lanes(&world, end).await, 1);
    }
}

/// Nobody knows of these leases but the store, and the store was told that it failed.
#[tokio::test]
async fn a_lease_whose_commit_fails_ends_all_the_same() {
    let world = World::new().await;
    assert_eq!(due_lanes(&world, world.now()).await, 0);
    world.store.faults().fail_commit(CommitFault::AllStored, 1);
    world.insert(leased(&world, lease(1, world.now()))).await.unwrap_err();
    assert_eq!(due_lanes(&world, world.now()).await, 0);
    let end = world.now() + LEASE;
    assert_eq!(due_lanes(&world, end).await, 1);

    world.store.faults().fail_commit(CommitFault::AllStored, 1);
    world.store.delivery_claim_due(end, claim_of(&world, lease(2, end))).await.unwrap_err();
    assert_eq!(due_lanes(&world, end).await, 0);
    assert_eq!(due_lanes(&world, end + LEASE).await, 1);
    let claimed = world.store.delivery_claim_due(end + LEASE, claim_of(&world, lease(3, end + LEASE))).await.unwrap();
    assert_eq!(claimed.len(), 1);
}

/// The writer is asked for a look when a lease can have ended, not for each look over the lanes.
#[tokio::test]
async fn while_no_lease_ends_nothing_is_looked_for() {
    let world = World::new().await;
    let transactions = || world.store.stats().transactions;
    for token in 0..10 {
        world.insert(leased(&world, lease(token, world.now()))).await.unwrap();
    }
    due_lanes(&world, world.now()).await;
    let before = transactions();
    for seconds in 0..60 {
        due_lanes(&world, world.now() + Duration::from_secs(seconds)).await;
    }
    assert_eq!(transactions(), before);
    due_lanes(&world, world.now() + LEASE).await;
    assert_eq!(transactions(), before + 1);
    due_lanes(&world, world.now() + 10 * LEASE).await;
    assert_eq!(transactions(), before + 1, "nothing is leased any more");
}

/// Freed by their holder, at the start or by the loss of a claim, deliveries are in their lane again, once.
#[tokio::test]
async fn what_is_freed_is_in_its_lane_once() {
    let world = World::new().await;
    let now = world.now();
    for token in 0..3 {
        world.insert(leased(&world, lease(token, now))).await.unwrap();
    }
    let later = now + Duration::from_secs(1);
    assert_eq!(world.store.delivery_release_claim(later, lease(1, now)).await.unwrap(), 1);
    assert_eq!(world.store.lease_release_all(later, None).await.unwrap(), 2);
    let claimed = world.store.delivery_claim_due(later, claim_of(&world, lease(9, later))).await.unwrap();
    assert_eq!(claimed.len(), 3);
    // Given back after the end, where the next look has put them already.
    let end = later + LEASE;
    assert_eq!(due_lanes(&world, end).await, 1);
    let held = claimed.iter().map(|claimed| (claimed.delivery, claimed.lease)).collect();
    world.store.delivery_release_if_leased(end, held).await.unwrap();
    assert_eq!(world.store.lease_release_all(end, None).await.unwrap(), 0);
    assert_eq!(world.store.queue_look(10).await.unwrap().queued, 3);
    let again = world.store.delivery_claim_due(end, claim_of(&world, lease(10, end))).await.unwrap();
    assert_eq!(again.len(), 3);
}
