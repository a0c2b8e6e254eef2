//! Results and a store that fails.

use std::time::Duration;

use kapsel_core::{DeliveryState, Outcome};

use crate::world::{Fault, Reply, World};

#[tokio::test(start_paused = true)]
async fn a_result_is_kept_until_the_store_takes_it() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.store.fail_settlements(&[Fault::BeforeCommit, Fault::Panic, Fault::BeforeCommit]);
    let (id, _) = world.ingest(&endpoint).await;
    world.store.wait_for_written(1).await;
    world.assert_delivered(&[id]).await;
    assert_eq!(world.transport.sent().len(), 1, "it is the write that is repeated, not the request");
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_repeated_without_doubling_anything() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.store.fail_settlements(&[Fault::AfterCommit]);
    let (id, _) = world.ingest(&endpoint).await;
    world.store.wait_for_written(1).await;
    world.assert_delivered(&[id]).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_is_dropped_when_its_lease_has_ended_and_the_delivery_is_made_again() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    world.store.always_fail_settlements(Some(Fault::BeforeCommit));
    let begun = world.now();
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.transport.wait_for(1).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.store.always_fail_settlements(None);
    world.transport.wait_for(2).await;
    world.store.wait_for_written(1).await;
    assert!(world.now().saturating_since(begun) >= Duration::from_secs(60));
    let event = world.event(id).await;
    assert_eq!(event.summary.status, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn results_that_cannot_be_written_bound_what_is_begun() {
    let world = World::with(|settings| settings.in_flight_max = 10).await;
    let mut endpoints = Vec::new();
    for number in 0..10 {
        let endpoint = world.endpoint(&format!("e{number}"), |_| {}).await;
        world.queue(&endpoint, 10).await;
        endpoints.push(endpoint);
    }
    world.store.always_fail_settlements(Some(Fault::BeforeCommit));
    world.run();
    // One of the ten is left for other tenants.
    world.transport.wait_for(9).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.transport.sent().len(), 9);
    world.store.always_fail_settlements(None);
    world.store.wait_for_written(100).await;
    assert_eq!(world.transport.sent().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_the_store_refuses_takes_no_other_with_it() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, number| if number == 3 { Reply::Status(500) } else { Reply::Status(200) });
    world.store.always_fail_settlements(Some(Fault::RefuseFailedAttempts));
    let ids = world.queue(&endpoint, 10).await;
    world.dispatcher.run_once().await.unwrap();
    world.store.wait_for_written(9).await;
    let mut delivered = 0;
    for id in ids {
        let event = world.event(id).await;
        let is_success = |attempt: &kapsel_core::Attempt| Outcome::is_success(&attempt.outcome);
        delivered += usize::from(event.attempts.iter().any(is_success));
    }
    assert_eq!(delivered, 9);
}

#[tokio::test(start_paused = true)]
async fn what_gathers_during_a_write_is_written_together() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.queue(&endpoint, 60).await;
    world.dispatcher.run_once().await.unwrap();
    world.store.wait_for_written(60).await;
    let calls = *world.store.settle_calls.borrow();
    assert!(calls <= 10, "{calls} writes for 60 results");
}

#[tokio::test(start_paused = true)]
async fn after_errors_of_the_store_the_queue_is_looked_at_again() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.store.fail_scans(5);
    let ids = world.queue(&endpoint, 3).await;
    world.run();
    world.store.wait_for_written(3).await;
    world.assert_delivered(&ids).await;
}
