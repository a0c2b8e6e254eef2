use kapsel_core::{Entropy, IdGenerator, SystemEntropy, Timestamp};
use proptest::prelude::*;
use test_harness::SeededEntropy;

use super::*;

fn lane(number: u8, in_flight_max: usize) -> LaneLimit {
    LaneLimit {
        endpoint_id: EndpointId::from_bytes([number; 16]),
        tenant_id: TenantId::DEFAULT,
        in_flight_max,
        rate: None,
        ticket: Ticket::default(),
        circuit_version: 0,
        needs_right: false,
        is_recovering: false,
    }
}

fn of_tenant(lane: LaneLimit, tenant: u8) -> LaneLimit {
    LaneLimit { tenant_id: TenantId::from_bytes([tenant; 16]), ..lane }
}

fn is_notified(gate: &Gate) -> bool {
    let waker = std::task::Waker::noop();
    let notified = std::pin::pin!(gate.freed.notified());
    notified.poll(&mut std::task::Context::from_waker(waker)).is_ready()
}

#[tokio::test]
async fn an_endpoint_gets_no_more_than_its_limit() {
    let gate = Gate::new(100, 1_000);
    let a = lane(1, 2);
    let mut first = gate.reserve(a, 10).unwrap();
    let _second = gate.reserve(a, 10).unwrap();
    assert!(gate.reserve(a, 10).is_none());
    assert!(gate.reserve(lane(2, 2), 10).is_some(), "another one is not concerned");

    // The answer is there: the next request may go out although the result is not stored yet.
    first.sent();
    assert!(is_notified(&gate), "the lane was flagged, and now has room");
    assert_eq!(gate.with_room(vec![a]), [a]);
    assert_eq!(gate.in_flight(), 2);
}

#[tokio::test]
async fn a_lane_with_a_backlog_takes_nothing_fresh_until_a_scan_clears_it() {
    let gate = Gate::new(100, 1_000);
    let a = lane(1, 1);
    let permit = gate.reserve(a, 0).unwrap();
    assert!(gate.reserve(a, 0).is_none());
    drop(permit);
    assert!(gate.wants_claim());
    assert!(gate.reserve(a, 0).is_none(), "what waits in the store comes first");

    gate.unflag_all_but(&HashSet::from([a.endpoint_id]));
    assert!(gate.reserve(a, 0).is_none(), "it is due");
    gate.unflag_all_but(&HashSet::new());
    assert!(gate.reserve(a, 0).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_refused_is_expected_in_the_store_for_a_while() {
    let gate = Gate::new(100, 1_000);
    let a = lane(1, 1);
    let permit = gate.reserve(a, 0).unwrap();
    assert!(gate.reserve(a, 0).is_none());
    assert!(!gate.wants_claim(), "the lane has no room");
    drop(permit);
    // A look at the queue that came too early finds nothing.
    gate.unflag_all_but(&HashSet::new());
    assert!(gate.wants_claim());
    tokio::time::advance(2 * COMMIT_TIME).await;
    assert!(!gate.wants_claim());
}

#[tokio::test]
async fn a_claim_that_came_up_short_ends_the_backlog_and_one_that_did_not_begins_it() {
    let gate = Gate::new(100, 1_000);
    let (full, short, empty) = (lane(1, 2), lane(2, 2), lane(3, 2));
    gate.flag(&short);
    gate.flag(&empty);
    let mut claim = gate.reserve_for_claim(&[full, short, empty], 6);
    let quotas = claim.quotas();
    let taken = [full, full, short].map(|lane| claim.take(lane.endpoint_id, 10).unwrap());
    claim.conclude(&quotas);
    drop(taken);
    assert!(gate.reserve(full, 0).is_none());
    assert!(gate.reserve(short, 0).is_some());
    assert!(gate.reserve(empty, 0).is_none(), "the claim may have ended before it came to this one");

    let claim = gate.reserve_for_claim(&[empty], 2);
    let quotas = claim.quotas();
    claim.conclude(&quotas);
    assert!(gate.reserve(empty, 0).is_some(), "nothing at all was found");
}

#[tokio::test]
async fn a_lone_endpoint_gets_half_and_greedy_ones_leave_something_free() {
    let gate = Gate::new(1_000, 1_000);
    let take_all = |lane: LaneLimit| -> Vec<Permit> { std::iter::from_fn(|| gate.reserve(lane, 0)).collect() };
    let alone = take_all(lane(1, 10_000));
    assert!((500..=501).contains(&alone.len()), "{}", alone.len());

    let mut hanging = vec![alone];
    for number in 2..=12 {
        let taken = take_all(of_tenant(lane(number, 64), number));
        assert!(!taken.is_empty(), "endpoint {number} gets something");
        hanging.push(taken);
    }
    assert!(gate.free() > 0);
}

#[tokio::test]
async fn a_tenant_with_many_endpoints_leaves_something_to_the_others() {
    let gate = Gate::new(900, 1_000);
    let mut held = Vec::new();
    for number in 0..60 {
        held.extend(std::iter::from_fn(|| gate.reserve(of_tenant(lane(number, 20), 1), 0)));
    }
    // Forty endpoints get all that they may have, which is the tenant's share; the others have to wait.
    assert!((800..=801).contains(&held.len()), "{}", held.len());
    let other = of_tenant(lane(201, 20), 2);
    let others: Vec<_> = std::iter::from_fn(|| gate.reserve(other, 0)).collect();
    assert_eq!(others.len(), 20);
}

#[tokio::test]
async fn body_bytes_are_bounded_and_returned_when_the_request_is_sent() {
    let gate = Gate::new(100, 1_000);
    let a = lane(1, 100);
    let mut big = gate.reserve(a, 600).unwrap();
    assert!(gate.reserve(lane(2, 100), 600).is_none(), "does not fit");
    assert!(gate.reserve(lane(3, 100), 400).is_some(), "fits");
    assert!(gate.reserve(a, 10).is_none(), "holds more than is free");
    big.sent();
    assert!(gate.reserve(lane(4, 100), 1_000).is_some(), "one body of any size that fits");
    assert!(gate.reserve(lane(5, 100), 1_001).is_none(), "a larger one has to be claimed");
}

#[tokio::test]
async fn a_claim_deals_permits_out_evenly() {
    let gate = Gate::new(100, 1_000);
    let lanes = [lane(1, 64), lane(2, 3), lane(3, 64)];
    let claim = gate.reserve_for_claim(&lanes, 20);
    let quotas: Vec<_> = claim.quotas().iter().map(|lane| lane.quota).collect();
    assert_eq!(quotas, [9, 3, 8]);
    assert_eq!(claim.body_bytes_max(), 500);
    drop(claim);
    assert_eq!((gate.in_flight(), gate.free()), (0, 100));
}

#[tokio::test]
async fn a_claim_charges_what_it_got_even_beyond_the_budget() {
    let gate = Gate::new(100, 1_000);
    let a = lane(1, 64);
    let mut claim = gate.reserve_for_claim(&[a], 2);
    let permit = claim.take(a.endpoint_id, 5_000).unwrap();
    assert!(claim.take(EndpointId::MAX, 0).is_none(), "not claimed for");
    drop(claim);
    assert!(gate.reserve_for_claim(&[lane(2, 64)], 2).quotas().is_empty(), "no bytes are free");
    assert!(gate.reserve(lane(2, 64), 1).is_none());
    drop(permit);
    assert!(is_notified(&gate));
    assert_eq!(gate.reserve_for_claim(&[lane(2, 64)], 2).quotas().len(), 1);
}

#[tokio::test]
async fn a_closed_gate_gives_nothing_and_tells_when_it_is_empty() {
    let gate = Gate::new(10, 1_000);
    let permit = gate.reserve(lane(1, 10), 0).unwrap();
    gate.close();
    assert!(gate.reserve(lane(2, 10), 0).is_none());
    assert!(gate.reserve_for_claim(&[lane(2, 10)], 5).quotas().is_empty());
    assert_eq!(gate.free(), 0);
    let (mut emptied, waker) = (Box::pin(gate.emptied()), std::task::Waker::noop());
    assert!(emptied.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(permit);
    emptied.await;
}

#[tokio::test]
async fn nothing_is_remembered_of_lanes_without_work() {
    let gate = Gate::new(10, 1_000);
    let ids = IdGenerator::new(Arc::new(SystemEntropy));
    for _ in 0..1_000 {
        let lane = LaneLimit { endpoint_id: ids.next(Timestamp::EPOCH), ..lane(0, 1) };
        let _permit = gate.reserve(lane, 1).unwrap();
        assert!(gate.reserve(lane, 1).is_none());
    }
    assert_eq!(gate.remembered_lanes(), 1_000, "flagged ones are");
    tokio::time::pause();
    tokio::time::advance(2 * COMMIT_TIME).await;
    gate.unflag_all_but(&HashSet::new());
    assert_eq!(gate.remembered_lanes(), 0);
    drop(gate.reserve(lane(1, 1), 1));
    assert_eq!(gate.remembered_lanes(), 0);
    assert!(gate.lock().tenants.is_empty());
}

proptest! {
    /// Whatever is taken and given back in whatever order: the limits hold, and at the end everything is back.
    #[test]
    fn limits_hold_and_nothing_leaks(seed in any::<u64>(), in_flight_max in 1_usize..40, bytes_max in 1_usize..1_000) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let chance = SeededEntropy::new(seed);
        let gate = Gate::new(in_flight_max, bytes_max);
        let mut held: Vec<Permit> = Vec::new();
        for _ in 0..300 {
            let number = u8::try_from(chance.below(6)).unwrap();
            let lane = of_tenant(lane(number, usize::from(number)), number / 3);
            let bytes = usize::try_from(chance.below(200)).unwrap();
            match chance.below(5) {
                0 | 1 => held.extend(gate.reserve(lane, bytes)),
                2 => {
                    let mut claim = gate.reserve_for_claim(&[lane], 3);
                    held.extend(claim.take(lane.endpoint_id, bytes));
                }
                3 if !held.is_empty() => {
                    let at = usize::try_from(chance.next_u64() % held.len() as u64).unwrap();
                    held[at].sent();
                }
                _ => { held.pop(); }
            }
            prop_assert!(held.len() <= in_flight_max);
            prop_assert_eq!(gate.in_flight(), held.len());
            for number in 0..6_u8 {
                let id = EndpointId::from_bytes([number; 16]);
                let sending = held.iter().filter(|permit| permit.is_sending && permit.lane.endpoint_id == id).count();
                prop_assert!(sending <= usize::from(number).max(1));
            }
        }
        held.clear();
        let state = gate.lock();
        prop_assert_eq!((state.in_flight, state.body_bytes), (0, 0));
        prop_assert!(state.tenants.is_empty());
        prop_assert!(state.lanes.values().all(|lane| lane.held == 0 && lane.sending == 0 && lane.body_bytes == 0));
    }
}

#[tokio::test]
async fn a_tenant_at_its_share_is_not_looked_for_again_and_again() {
    let gate = Gate::new(18, 1_000);
    let held: Vec<_> = (1..=18).map_while(|number| gate.reserve(of_tenant(lane(number, 1), 1), 0)).collect();
    assert_eq!(held.len(), 17, "a place is left for other tenants");
    assert!(gate.with_room(vec![of_tenant(lane(100, 1), 1)]).is_empty());
    assert!(!gate.wants_claim(), "a look would find no room");
    assert!(!gate.with_room(vec![of_tenant(lane(101, 1), 2)]).is_empty());
}
