//! What is started, when, and on whose account.

use std::time::Duration;

use bytes::Bytes;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{DeliveryState, EndpointStatus};
use kapsel_delivery::{DeliverySettings, RunOnce};
use kapsel_store::AdminStore;

use crate::world::{Reply, World};

#[tokio::test(start_paused = true)]
async fn a_fresh_event_is_delivered_without_a_look_at_the_queue() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let (id, has_slot) = world.ingest(&endpoint).await;
    assert!(has_slot);
    world.store.wait_for_written(1).await;
    world.assert_delivered(&[id]).await;
    assert!(world.store.claims.lock().unwrap().is_empty());
    assert_eq!(world.transport.sent()[0].body, "fresh");
}

#[tokio::test(start_paused = true)]
async fn queued_events_are_claimed_and_delivered() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    assert_eq!(world.dispatcher.run_once().await.unwrap(), RunOnce::default());
    let ids = world.queue(&endpoint, 3).await;
    assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 3);
    world.store.wait_for_written(3).await;
    world.assert_delivered(&ids).await;
    assert_eq!(world.dispatcher.run_once().await.unwrap(), RunOnce::default());
}

#[tokio::test(start_paused = true)]
async fn run_once_says_when_the_next_delivery_is_due() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, _| Reply::Status(500));
    let ids = world.queue(&endpoint, 1).await;
    world.dispatcher.run_once().await.unwrap();
    world.store.wait_for_written(1).await;
    let due = world.event(ids[0]).await.summary.next_attempt_at;
    assert!(due.is_some_and(|due| due > world.now()));
    assert_eq!(world.dispatcher.run_once().await.unwrap(), RunOnce { claimed: 0, next_due_at: due });
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_never_has_more_requests_than_its_limit() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 3).await;
    world.transport.script(|_, _| Reply::After(Duration::from_millis(20)));
    let mut ids = world.queue(&endpoint, 20).await;
    world.run();
    for _ in 0..20 {
        ids.push(world.ingest(&endpoint).await.0);
    }
    world.store.wait_for_written(40).await;
    world.assert_delivered(&ids).await;
    assert_eq!(world.transport.most_running("http://a.example/"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_endpoint_delays_nobody() {
    let world = World::new().await;
    let hanging = world.endpoint("hanging", |_| {}).await;
    let healthy = world.endpoint("healthy", |_| {}).await;
    world.transport.script(|url, _| if url.contains("hanging") { Reply::Hang } else { Reply::Status(200) });
    world.queue(&hanging, 500).await;
    let begun = world.now();
    world.run();
    world.transport.wait_for(64).await;
    let mut ids = world.queue(&healthy, 300).await;
    for _ in 0..300 {
        ids.push(world.ingest(&healthy).await.0);
    }
    world.store.wait_for_written(600).await;
    world.assert_delivered(&ids).await;
    assert!(world.now().saturating_since(begun) < Duration::from_secs(1), "before anything timed out");
    assert_eq!(world.transport.most_running("http://hanging.example/"), 64);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_not_starved_by_what_comes_in() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    world.transport.script(|_, _| Reply::After(Duration::from_millis(10)));
    let waiting = world.queue(&endpoint, 10).await;
    world.run();
    world.transport.wait_for(1).await;
    for sent in 1..=30 {
        world.transport.wait_for(sent).await;
        world.ingest(&endpoint).await;
    }
    for id in waiting {
        let event = world.event(id).await;
        assert_eq!(event.summary.status, DeliveryState::Delivered, "ten were sent before anything that came later");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_backlog_fresh_events_are_handed_over_again() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 2).await;
    world.transport.script(|_, _| Reply::After(Duration::from_millis(5)));
    world.queue(&endpoint, 50).await;
    world.run();
    world.transport.wait_for(10).await;
    assert!(!world.ingest(&endpoint).await.1, "a backlog is known");
    world.store.wait_for_written(51).await;
    // The next look finds nothing due.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.ingest(&endpoint).await.1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_found_no_slot_is_not_left_until_the_next_poll() {
    let world = World::with(|settings| settings.poll_interval = Duration::from_secs(3_600)).await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    world.transport.script(|_, _| Reply::WhenLetGo);
    world.run();
    let (first, _) = world.ingest(&endpoint).await;
    world.transport.wait_for(1).await;
    let (second, has_slot) = world.ingest(&endpoint).await;
    assert!(!has_slot);
    let begun = world.now();
    world.transport.let_go();
    world.transport.wait_for(2).await;
    // And so are those that come while the lane is still believed to have a backlog.
    let (third, has_slot) = world.ingest(&endpoint).await;
    assert!(!has_slot);
    world.transport.let_go();
    world.transport.wait_for(3).await;
    world.transport.let_go();
    world.store.wait_for_written(3).await;
    world.assert_delivered(&[first, second, third]).await;
    assert!(world.now().saturating_since(begun) < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn lanes_have_their_turn_one_after_the_other() {
    let world = World::with(|settings| settings.in_flight_max = 1).await;
    let mut names = Vec::new();
    for name in ["a", "b", "c"] {
        let endpoint = world.endpoint(name, |_| {}).await;
        world.queue(&endpoint, 5).await;
        names.push(format!("http://{name}.example/"));
    }
    for written in 1..=6 {
        assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 1);
        world.store.wait_for_written(written).await;
    }
    let sent: Vec<_> = world.transport.sent().into_iter().map(|sent| sent.url).collect();
    assert_eq!(sent[..3], names);
    assert_eq!(sent[3..], names);
}

#[tokio::test(start_paused = true)]
async fn a_claim_shares_its_permits_among_the_lanes() {
    let world = World::with(|settings| settings.in_flight_max = 90).await;
    world.transport.script(|_, _| Reply::Hang);
    for name in ["a", "b", "c"] {
        let endpoint = world.endpoint(name, |_| {}).await;
        world.queue(&endpoint, 100).await;
    }
    world.dispatcher.run_once().await.unwrap();
    let claims = world.store.claims.lock().unwrap();
    let quotas: Vec<_> = claims[0].lanes.iter().map(|lane| lane.quota).collect();
    assert!(quotas.iter().all(|quota| (20..=30).contains(quota)), "{quotas:?}");
}

#[tokio::test(start_paused = true)]
async fn any_number_of_lanes_is_worked_off() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for number in 0..700 {
        let endpoint = world.endpoint(&format!("e{number}"), |_| {}).await;
        ids.extend(world.queue(&endpoint, 2).await);
    }
    world.run();
    world.store.wait_for_written(1_400).await;
    world.assert_delivered(&ids).await;
}

#[tokio::test(start_paused = true)]
async fn large_bodies_are_bounded_together_and_never_stuck() {
    let world = World::with(|settings| settings.body_bytes_in_flight_max = 100_000).await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let other = world.endpoint("b", |_| {}).await;
    world.transport.script(|_, _| Reply::After(Duration::from_millis(10)));
    assert!(world.ingest_body(&endpoint, vec![0; 60_000].into()).await.1);
    assert!(!world.ingest_body(&other, vec![0; 60_000].into()).await.1, "no bytes are free for it");
    assert!(!world.ingest_body(&other, vec![0; 500_000].into()).await.1, "larger than everything");
    world.insert(&other, None, Bytes::from(vec![0; 500_000])).await;
    world.run();
    world.store.wait_for_written(4).await;
    assert_eq!(world.transport.sent().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn unknown_disabled_and_deleted_endpoints_have_no_slots() {
    let world = World::new().await;
    let stranger = World::new().await.endpoint("stranger", |_| {}).await;
    assert!(world.reserve(&stranger, 0).is_none());
    let endpoint = world.endpoint("a", |_| {}).await;
    assert!(world.reserve(&endpoint, 0).is_some());
    world.set_status(&endpoint, EndpointStatus::Disabled(DisabledReason::Manual)).await;
    assert!(world.reserve(&endpoint, 0).is_none());
    world.set_status(&endpoint, EndpointStatus::Enabled).await;
    assert!(world.reserve(&endpoint, 0).is_some());
    world.store.inner.endpoint_delete(endpoint.tenant_id, endpoint.id, world.now()).await.unwrap();
    world.directory.refresh().await.unwrap();
    assert!(world.reserve(&endpoint, 0).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_not_used_gives_its_place_back() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    let slot = world.reserve(&endpoint, 10).unwrap();
    assert_eq!(slot.lease().until, world.now() + Duration::from_secs(60));
    drop(slot);
    assert!(world.reserve(&endpoint, 10).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_disabled_between_claim_and_start_is_not_sent_to() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let slot = world.reserve(&endpoint, 0).unwrap();
    let (id, claimed) = world.insert(&endpoint, Some(slot.lease()), Bytes::new()).await;
    world.set_status(&endpoint, EndpointStatus::Disabled(DisabledReason::Manual)).await;
    slot.start(claimed.unwrap());
    world.store.wait_for_written(1).await;
    assert!(world.transport.sent().is_empty());
    assert_eq!(world.state(id).await, DeliveryState::Received, "given back untried");

    world.set_status(&endpoint, EndpointStatus::Enabled).await;
    world.run();
    world.store.wait_for_written(2).await;
    world.assert_delivered(&[id]).await;
}

#[tokio::test(start_paused = true)]
async fn an_aged_lease_is_given_back_and_not_used_up_by_a_hasty_request() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let slot = world.reserve(&endpoint, 0).unwrap();
    let (id, claimed) = world.insert(&endpoint, Some(slot.lease()), Bytes::new()).await;
    tokio::time::advance(Duration::from_secs(40)).await;
    slot.start(claimed.unwrap());
    world.store.wait_for_written(1).await;
    assert!(world.transport.sent().is_empty());
    assert_eq!(world.state(id).await, DeliveryState::Received);
    world.run();
    world.store.wait_for_written(2).await;
    world.assert_delivered(&[id]).await;
}

#[tokio::test(start_paused = true)]
async fn waking_it_is_faster_than_waiting() {
    let world = World::with(|settings| settings.poll_interval = Duration::from_secs(3_600)).await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let running = world.run();
    // One look has been taken, and found nothing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = world.now();
    let ids = world.queue(&endpoint, 1).await;
    world.dispatcher.waker()();
    world.store.wait_for_written(1).await;
    world.assert_delivered(&ids).await;
    assert!(world.now().saturating_since(begun) < Duration::from_secs(1));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn two_instances_share_the_work_and_do_nothing_twice() {
    let world = World::new().await;
    let other = world.another_dispatcher(DeliverySettings::default());
    world.transport.script(|_, _| Reply::After(Duration::from_millis(3)));
    let mut ids = Vec::new();
    for name in ["a", "b"] {
        let endpoint = world.endpoint(name, |endpoint| endpoint.config.max_in_flight = 4).await;
        ids.extend(world.queue(&endpoint, 100).await);
    }
    world.run();
    tokio::spawn(async move { other.run(std::future::pending()).await });
    world.store.wait_for_written(200).await;
    world.assert_delivered(&ids).await;
    assert_eq!(world.transport.sent().len(), 200);
}

/// The store carried a claim out and its answer was lost: what it took is not left to the end of its lease.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_was_lost_is_given_back() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let ids = world.queue(&endpoint, 3).await;
    world.store.lose_claims(1);
    assert!(world.dispatcher.run_once().await.is_err());
    assert!(world.transport.sent().is_empty());
    // The next look gives it back and takes it for good.
    let before = world.now();
    assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 3);
    assert_eq!(world.now(), before);
    world.store.wait_for_written(3).await;
    world.assert_delivered(&ids).await;
    assert_eq!(world.transport.sent().len(), 3);
}

/// Of an event that may have been stored under a slot's lease or not, nobody waits for the end of that lease.
#[tokio::test(start_paused = true)]
async fn a_slot_that_is_given_up_gives_its_lease_back() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let slot = world.reserve(&endpoint, 5).unwrap();
    let (id, claimed) = world.insert(&endpoint, Some(slot.lease()), Bytes::from_static(b"fresh")).await;
    assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 0, "it is leased");
    slot.give_up(claimed.unwrap().delivery);
    world.store.wait_for_written(1).await;
    assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 1);
    world.store.wait_for_written(2).await;
    world.assert_delivered(&[id]).await;
}
