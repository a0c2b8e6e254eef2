//! The end of a dispatcher.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::DeliveryState;
use kapsel_delivery::DrainReport;
use tokio::time::Instant;

use crate::world::{Fault, Reply, World};

#[tokio::test(start_paused = true)]
async fn what_can_finish_in_time_finishes() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, _| Reply::After(Duration::from_secs(3)));
    let running = world.run();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.ingest(&endpoint).await.0);
    }
    world.transport.wait_for(5).await;
    let report = world.dispatcher.drain(Duration::from_secs(10)).await;
    assert_eq!(report, DrainReport { finished: 5, released: 0, left: 0 });
    world.assert_delivered(&ids).await;
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_is_broken_off_and_its_lease_given_back() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, number| if number == 0 { Reply::Status(200) } else { Reply::Hang });
    let (first, _) = world.ingest(&endpoint).await;
    world.store.wait_for_written(1).await;
    let (second, _) = world.ingest(&endpoint).await;
    let (third, _) = world.ingest(&endpoint).await;
    world.transport.wait_for(3).await;
    let begun = Instant::now();
    let report = world.dispatcher.drain(Duration::from_secs(10)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    assert_eq!(report, DrainReport { finished: 0, released: 2, left: 0 });
    world.assert_delivered(&[first]).await;
    for id in [second, third] {
        let event = world.event(id).await;
        assert_eq!(event.summary.status, DeliveryState::Received, "free for others, and no attempt was spent");
        assert_eq!(event.summary.next_attempt_at, Some(world.now()));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_new_is_begun() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.queue(&endpoint, 3).await;
    assert_eq!(world.dispatcher.drain(Duration::from_secs(1)).await, DrainReport::default());
    assert!(world.reserve(&endpoint, 0).is_none());
    assert_eq!(world.dispatcher.run_once().await.unwrap().claimed, 0);
    // Ends by itself.
    world.run().await.unwrap();
    assert!(world.transport.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_starts_too_late_is_given_back() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    let slot = world.reserve(&endpoint, 0).unwrap();
    let (id, claimed) = world.insert(&endpoint, Some(slot.lease()), Bytes::new()).await;
    let report = world.dispatcher.drain(Duration::from_secs(1)).await;
    assert_eq!(report, DrainReport { finished: 0, released: 0, left: 1 });
    slot.start(claimed.unwrap());
    world.store.wait_for_written(1).await;
    assert_eq!(world.state(id).await, DeliveryState::Received);
    assert!(world.transport.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_does_not_hold_it_up_for_ever() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.store.always_fail_settlements(Some(Fault::BeforeCommit));
    world.ingest(&endpoint).await;
    world.transport.wait_for(1).await;
    let begun = Instant::now();
    let report = world.dispatcher.drain(Duration::from_secs(2)).await;
    assert_eq!(report, DrainReport { finished: 0, released: 0, left: 1 });
    assert!(begun.elapsed() <= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_loop_and_leaves_what_runs_alone() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, _| Reply::After(Duration::from_secs(3)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let dispatcher = Arc::clone(&world.dispatcher);
    let running = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or(()) };
        dispatcher.run(shutdown).await;
    });
    let ids = world.queue(&endpoint, 2).await;
    world.transport.wait_for(2).await;
    stop.send(()).unwrap();
    running.await.unwrap();
    world.store.wait_for_written(2).await;
    world.assert_delivered(&ids).await;
}
