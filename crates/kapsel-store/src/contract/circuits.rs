//! Circuits: written by compare-and-swap, read by everybody, and what they mean for lanes and claims.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Circuit, CircuitState, Endpoint, TenantId, Timestamp};

use super::world::{ALL, LEASE, World};
use crate::{ClaimRequest, LaneQuota, StoredCircuit};

fn of(endpoint: &Endpoint, circuit: Circuit) -> StoredCircuit {
    StoredCircuit { endpoint_id: endpoint.id, tenant_id: endpoint.tenant_id, circuit }
}

/// The first version of a circuit that is open for half a minute.
fn open(world: &World) -> Circuit {
    Circuit {
        state: CircuitState::Open,
        blocked_until: Some(world.now() + Duration::from_secs(30)),
        opened_at: Some(world.now()),
        opened_times: 1,
        failing_since: Some(world.now() - Duration::from_secs(5)),
        changed_at: world.now(),
        version: 1,
        ..Circuit::default()
    }
}

async fn put(world: &World, endpoint: &Endpoint, circuit: Circuit) -> bool {
    world.store.circuit_put_if_version(vec![of(endpoint, circuit)]).await.unwrap()[0]
}

async fn read(world: &World, endpoint: &Endpoint) -> Option<StoredCircuit> {
    world.store.circuit_read(vec![endpoint.id]).await.unwrap().pop()
}

/// What is written is read, whichever fields are there.
pub async fn circuit_round_trips(world: World) {
    let (full, bare) = (world.endpoint().await, world.endpoint().await);
    let complete = Circuit { prober: Some(world.instance_id()), state: CircuitState::HalfOpen, ..open(&world) };
    let closed = Circuit { changed_at: world.now(), version: 1, ..Circuit::default() };
    assert_eq!(read(&world, &full).await, None);
    let batch = vec![of(&full, complete), of(&bare, closed)];
    assert_eq!(world.store.circuit_put_if_version(batch.clone()).await.unwrap(), [true, true]);
    assert_eq!(read(&world, &full).await, Some(batch[0]));
    assert_eq!(read(&world, &bare).await, Some(batch[1]));
    let mut both = world.store.circuit_read(vec![full.id, bare.id, world.new_endpoint().id]).await.unwrap();
    both.sort_by_key(|stored| stored.endpoint_id);
    assert_eq!(both, batch);
    assert_eq!(world.store.circuit_put_if_version(Vec::new()).await.unwrap(), [false; 0]);
}

/// A write that does not follow the stored version is not made, and those beside it are.
pub async fn circuit_is_put_only_over_the_version_before(world: World) {
    let (one, two) = (world.endpoint().await, world.endpoint().await);
    let first = open(&world);
    assert!(!put(&world, &one, Circuit { version: 2, ..first }).await, "nothing is stored yet");
    assert!(put(&world, &one, first).await);
    assert!(!put(&world, &one, first).await, "somebody was first");
    let second = Circuit { version: 2, opened_times: 7, ..first };
    let stale = Circuit { version: 1, opened_times: 9, ..first };
    let batch = vec![of(&one, stale), of(&two, first)];
    assert_eq!(world.store.circuit_put_if_version(batch).await.unwrap(), [false, true]);
    assert_eq!(read(&world, &one).await.unwrap().circuit, first);
    assert!(put(&world, &one, second).await);
    assert!(!put(&world, &one, Circuit { version: 4, ..second }).await);
    assert_eq!(read(&world, &one).await.unwrap().circuit, second);
}

/// The right to probe is won by one: of several that write the same version at once, one gets through.
pub async fn concurrent_puts_of_one_version_let_one_through(world: World) {
    let endpoint = world.endpoint().await;
    for version in 1..=5 {
        let rivals: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&world.store);
                let circuit = Circuit { prober: Some(world.instance_id()), version, ..open(&world) };
                let stored = of(&endpoint, circuit);
                tokio::spawn(async move { (stored, store.circuit_put_if_version(vec![stored]).await.unwrap()[0]) })
            })
            .collect();
        let mut won = Vec::new();
        for rival in rivals {
            let (stored, is_written) = rival.await.unwrap();
            won.extend(is_written.then_some(stored));
        }
        assert_eq!(won.len(), 1);
        assert_eq!(read(&world, &endpoint).await, Some(won[0]));
    }
}

/// Whoever reads on from a time sees what was written at that time or later.
pub async fn circuit_changes_go_by_the_time_of_writing(world: World) {
    let (early, late) = (world.endpoint().await, world.endpoint().await);
    let start = world.now();
    assert!(put(&world, &early, open(&world)).await);
    let later = world.pass_seconds(10);
    assert!(put(&world, &late, open(&world)).await);
    let changed = async |since| {
        let mut ids: Vec<_> = world.store.circuit_changes(since).await.unwrap();
        ids.sort_by_key(|stored| stored.endpoint_id);
        ids.into_iter().map(|stored| stored.endpoint_id).collect::<Vec<_>>()
    };
    assert_eq!(changed(Timestamp::EPOCH).await, [early.id, late.id]);
    assert_eq!(changed(start).await, [early.id, late.id]);
    assert_eq!(changed(start + Duration::from_micros(1)).await, [late.id]);
    assert_eq!(changed(later + Duration::from_micros(1)).await, []);
}

/// The API sees the circuits of its tenant, and resets no other.
pub async fn circuits_are_listed_for_their_tenant_alone(world: World) {
    let other_tenant = world.tenant_id();
    let (mine, theirs) = (world.endpoint().await, world.endpoint_of(other_tenant).await);
    assert!(put(&world, &mine, open(&world)).await);
    assert!(put(&world, &theirs, open(&world)).await);
    let both = vec![mine.id, theirs.id];
    let listed = world.store.circuit_list(TenantId::DEFAULT, both.clone()).await.unwrap();
    assert_eq!(listed, [of(&mine, open(&world))]);
    let listed = world.store.circuit_list(other_tenant, both).await.unwrap();
    assert_eq!(listed, [of(&theirs, open(&world))]);
    world.store.circuit_reset(TenantId::DEFAULT, theirs.id, world.now()).await.unwrap();
    assert_eq!(read(&world, &theirs).await.unwrap().circuit, open(&world));
}

/// A reset wins over what others are about to write, and is written where nothing was, so that everybody hears of it.
pub async fn circuit_reset_closes_whatever_the_version(world: World) {
    let endpoint = world.endpoint().await;
    let fresh = world.endpoint().await;
    world.store.circuit_reset(fresh.tenant_id, fresh.id, world.now()).await.unwrap();
    let first = Circuit { changed_at: world.now(), version: 1, ..Circuit::default() };
    assert_eq!(read(&world, &fresh).await.unwrap().circuit, first);
    world.store.circuit_reset(world.tenant_id(), fresh.id, world.now()).await.unwrap();
    assert_eq!(read(&world, &fresh).await.unwrap().circuit, first, "another tenant's is passed over");
    let opened = open(&world);
    assert!(put(&world, &endpoint, opened).await);
    let now = world.pass_seconds(1);
    world.store.circuit_reset(endpoint.tenant_id, endpoint.id, now).await.unwrap();
    let expected = Circuit { changed_at: now, version: 2, ..Circuit::default() };
    assert_eq!(read(&world, &endpoint).await.unwrap().circuit, expected);
    assert_eq!(opened.reset(now), expected);
    assert!(!put(&world, &endpoint, Circuit { version: 2, ..opened }).await);
}

/// While it is blocked, a lane is off the list, and the list says until when.
pub async fn blocked_lane_is_due_when_the_block_ends(world: World) {
    let endpoint = world.endpoint().await;
    world.accept_many(&endpoint, 3).await;
    let circuit = open(&world);
    assert!(put(&world, &endpoint, circuit).await);
    let until = circuit.blocked_until.unwrap();
    for now in [world.now(), until - Duration::from_micros(1)] {
        let scan = world.lane_scan(now, None, ALL).await;
        assert_eq!((scan.due.len(), scan.next_due_at), (0, Some(until)));
    }
    let scan = world.lane_scan(until, None, ALL).await;
    assert_eq!((scan.due.len(), scan.next_due_at), (1, None));
    assert_eq!((scan.due[0].endpoint_id, scan.due[0].circuit_version), (endpoint.id, 1));
    // What is due later than the block ends is due when it is due.
    let claimed = world.claim_with(request(&world, &endpoint, 1)).await;
    let late = until + Duration::from_secs(100);
    world.settle_batch(claimed.iter().map(|claimed| world.retry_at(claimed, late)).collect()).await;
    assert_eq!(world.lane_scan(world.now(), None, ALL).await.next_due_at, Some(late));
}

fn request(world: &World, endpoint: &Endpoint, circuit_version: u64) -> ClaimRequest {
    let lanes = vec![LaneQuota { endpoint_id: endpoint.id, quota: ALL, circuit_version }];
    ClaimRequest { lease: world.lease(), lanes, body_bytes_max: usize::MAX }
}

/// The instance with the right to probe has the lane on its list; the others have not.
pub async fn prober_sees_the_lane_that_it_has_the_right_to_probe(world: World) {
    let endpoint = world.endpoint().await;
    world.accept(&endpoint).await;
    let (prober, other) = (world.instance_id(), world.instance_id());
    let until = world.now() + LEASE;
    let circuit = Circuit {
        state: CircuitState::HalfOpen,
        prober: Some(prober),
        blocked_until: Some(until),
        changed_at: world.now(),
        version: 1,
        ..Circuit::default()
    };
    assert!(put(&world, &endpoint, circuit).await);
    let seen = world.store.lane_scan(world.now(), prober, None, ALL).await.unwrap();
    assert_eq!((seen.due.len(), seen.next_due_at), (1, None));
    let seen = world.store.lane_scan(world.now(), other, None, ALL).await.unwrap();
    assert_eq!((seen.due.len(), seen.next_due_at), (0, Some(until)));
    let seen = world.store.lane_scan(until, other, None, ALL).await.unwrap();
    assert_eq!(seen.due.len(), 1);
}

/// A dead instance holds no right to probe, as it holds no lease.
pub async fn rights_of_the_dead_end_with_their_leases(world: World) {
    let (theirs, others, open_one) = (world.endpoint().await, world.endpoint().await, world.endpoint().await);
    let (dead, living) = (world.instance_id(), world.instance_id());
    let half_open = |prober| Circuit { state: CircuitState::HalfOpen, prober: Some(prober), ..open(&world) };
    assert!(put(&world, &theirs, half_open(dead)).await);
    assert!(put(&world, &others, half_open(living)).await);
    assert!(put(&world, &open_one, open(&world)).await);
    let now = world.pass_seconds(1);
    world.store.lease_release_all(now, Some(dead)).await.unwrap();
    let released = read(&world, &theirs).await.unwrap().circuit;
    assert_eq!((released.state, released.prober, released.blocked_until), (CircuitState::Open, None, Some(now)));
    assert_eq!((released.version, released.opened_times), (2, 1));
    assert_eq!(read(&world, &others).await.unwrap().circuit.prober, Some(living));
    world.store.lease_release_all(now, None).await.unwrap();
    assert_eq!(read(&world, &others).await.unwrap().circuit.prober, None);
    assert_eq!(read(&world, &open_one).await.unwrap().circuit.version, 1, "what nobody probes stays as it is");
}

/// A claim names the version that allows it. Another one means that somebody has opened the circuit meanwhile, or closed it.
pub async fn claim_takes_nothing_when_the_circuit_has_changed(world: World) {
    let (broken, sound) = (world.endpoint().await, world.endpoint().await);
    world.accept_many(&broken, 2).await;
    world.accept_many(&sound, 2).await;
    assert!(put(&world, &broken, open(&world)).await);
    for wrong in [0, 2] {
        let mut request = request(&world, &broken, wrong);
        request.lanes.push(LaneQuota::without_circuit(sound.id, 1));
        let claimed = world.claim_with(request).await;
        assert_eq!(claimed.len(), 1, "the other lane of the claim is served");
        assert_eq!(claimed[0].delivery.endpoint_id, sound.id);
    }
    assert_eq!(world.claim_with(request(&world, &broken, 1)).await.len(), 2);
}

/// Nothing is left of it, and nothing is written any more.
pub async fn endpoint_takes_its_circuit_along_when_it_is_deleted(world: World) {
    let endpoint = world.endpoint().await;
    assert!(put(&world, &endpoint, open(&world)).await);
    world.delete(&endpoint).await;
    assert_eq!(read(&world, &endpoint).await, None);
    assert!(!put(&world, &endpoint, open(&world)).await);
    assert_eq!(read(&world, &endpoint).await, None);
}
