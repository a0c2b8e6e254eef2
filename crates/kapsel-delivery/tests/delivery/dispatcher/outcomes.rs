//! What becomes of deliveries whose attempts fail, in every way.

use std::time::Duration;

use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    DeliveryState, EndpointStatus, FailureKind, FinalReason, HeaderBlock, Outcome, ResponseHead, RetryPolicy,
};
use kapsel_store::AdminStore;

use crate::world::{Reply, World};

fn kind(outcome: &Outcome) -> Option<FailureKind> {
    match outcome {
        Outcome::Failure { kind, .. } => Some(*kind),
        Outcome::Response(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_delivery_is_tried_again_after_the_wait_of_its_policy() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, number| Reply::Status(if number < 3 { 500 } else { 204 }));
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.store.wait_for_written(4).await;

    let event = world.event(id).await;
    assert_eq!(event.summary.status, DeliveryState::Delivered);
    let numbers: Vec<_> = event.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let sent = world.transport.sent();
    for (pair, nominal) in sent.windows(2).zip([1.0, 2.0, 4.0]) {
        let wait = (pair[1].at - pair[0].at).as_secs_f64();
        // The policy's jitter below; above it, the time until the queue is looked at.
        assert!((nominal * 0.75..nominal * 1.25 + 0.35).contains(&wait), "{wait} s for {nominal} s");
    }
    for (sent, number) in sent.iter().zip(1..) {
        assert_eq!(sent.headers["x-kapsel-delivery-attempt"], number.to_string());
        assert_eq!(sent.headers["webhook-id"], id.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, number| {
        let headers = HeaderBlock::from_pairs([("retry-after", &b"100"[..])]);
        let busy = ResponseHead { status: 503, headers, ..ResponseHead::default() };
        if number == 0 { Reply::Head(busy) } else { Reply::Status(200) }
    });
    world.ingest(&endpoint).await;
    world.run();
    let sent = world.transport.wait_for(2).await;
    let wait = sent[1].at - sent[0].at;
    assert!(wait >= Duration::from_secs(100) && wait < Duration::from_secs(101), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_ends_visibly() {
    let world = World::new().await;
    let endpoint = world
        .endpoint("a", |endpoint| endpoint.config.retry = RetryPolicy::Schedule { waits_seconds: vec![0, 5, 5] })
        .await;
    world.transport.script(|_, _| Reply::Status(503));
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.store.wait_for_written(3).await;
    let event = world.event(id).await;
    assert_eq!(event.summary.status, DeliveryState::Failed);
    assert_eq!(event.summary.reason, Some(FinalReason::AttemptsExhausted));
    assert_eq!(event.attempts.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn gone_disables_the_endpoint_and_parks_its_queue() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    world.transport.script(|_, number| Reply::Status(if number == 0 { 410 } else { 200 }));
    let ids = world.queue(&endpoint, 3).await;
    world.run();
    world.store.wait_for_written(1).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(world.transport.sent().len(), 1, "nothing more was sent");
    assert!(world.reserve(&endpoint, 0).is_none());
    let stored = world.store.inner.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
    assert_eq!(stored.status, EndpointStatus::Disabled(DisabledReason::Gone));
    for id in &ids {
        assert!(!world.state(*id).await.is_final(), "nothing is lost");
    }

    world.set_status(&endpoint, EndpointStatus::Enabled).await;
    world.store.wait_for_written(4).await;
    for id in ids {
        assert_eq!(world.state(id).await, DeliveryState::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_spends_an_attempt_and_nothing_else() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |endpoint| endpoint.config.max_in_flight = 1).await;
    world.transport.script(|_, number| if number < 2 { Reply::Panic } else { Reply::Status(200) });
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.store.wait_for_written(3).await;
    let event = world.event(id).await;
    let kinds: Vec<_> = event.attempts.iter().map(|attempt| kind(&attempt.outcome)).collect();
    assert_eq!(kinds, [Some(FailureKind::Internal), Some(FailureKind::Internal), None]);
    assert_eq!(event.summary.status, DeliveryState::Delivered);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_panics_each_time_ends_visibly() {
    let world = World::new().await;
    let endpoint = world
        .endpoint("a", |endpoint| endpoint.config.retry = RetryPolicy::Schedule { waits_seconds: vec![0, 1] })
        .await;
    world.transport.script(|_, _| Reply::Panic);
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.store.wait_for_written(2).await;
    assert_eq!(world.event(id).await.summary.reason, Some(FinalReason::AttemptsExhausted));
}

#[tokio::test(start_paused = true)]
async fn requests_end_at_the_endpoints_limit_or_before_the_lease_does() {
    let world = World::with(|settings| settings.lease = Duration::from_secs(40)).await;
    let quick = world.endpoint("quick", |endpoint| endpoint.config.timeout_seconds = 7).await;
    let slow = world.endpoint("slow", |endpoint| endpoint.config.timeout_seconds = 45).await;
    world.transport.script(|_, _| Reply::Hang);
    for (endpoint, limit) in [(&quick, 7), (&slow, 30)] {
        let (id, _) = world.ingest(endpoint).await;
        let sent = world.transport.wait_for(if limit == 7 { 1 } else { 2 }).await;
        let sent = sent.last().unwrap();
        assert_eq!(sent.deadline - sent.at, Duration::from_secs(limit));
        world.store.wait_for_written(if limit == 7 { 1 } else { 2 }).await;
        let attempts = world.event(id).await.attempts;
        assert_eq!(kind(&attempts[0].outcome), Some(FailureKind::Timeout));
        assert_eq!(attempts[0].duration, Duration::from_secs(limit));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_forgets_its_deadline_wedges_nothing() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, _| Reply::Stuck);
    let (id, _) = world.ingest(&endpoint).await;
    world.store.wait_for_written(1).await;
    let event = world.event(id).await;
    assert_eq!(kind(&event.attempts[0].outcome), Some(FailureKind::Timeout));
    assert_eq!(event.summary.status, DeliveryState::Pending);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lease_writes_nothing() {
    let world = World::new().await;
    let endpoint = world.endpoint("a", |_| {}).await;
    world.transport.script(|_, number| if number == 0 { Reply::WhenLetGo } else { Reply::Status(200) });
    let (id, _) = world.ingest(&endpoint).await;
    world.transport.wait_for(1).await;
    // Somebody believes this instance to be dead, and takes over.
    kapsel_store::DeliveryStore::lease_release_all(&*world.store.inner, world.now(), None).await.unwrap();
    let other = world.another_dispatcher(kapsel_delivery::DeliverySettings::default());
    assert_eq!(other.run_once().await.unwrap().claimed, 1);
    world.store.wait_for_written(1).await;
    world.transport.let_go();
    world.store.wait_for_written(2).await;
    world.assert_delivered(&[id]).await;
}

#[tokio::test(start_paused = true)]
async fn a_requeued_event_counts_on_and_has_all_its_attempts_again() {
    let world = World::new().await;
    let endpoint = world
        .endpoint("a", |endpoint| endpoint.config.retry = RetryPolicy::Schedule { waits_seconds: vec![0, 1] })
        .await;
    world.transport.script(|_, number| Reply::Status(if number < 3 { 500 } else { 200 }));
    let (id, _) = world.ingest(&endpoint).await;
    world.run();
    world.store.wait_for_written(2).await;
    assert_eq!(world.state(id).await, DeliveryState::Failed);
    world.store.inner.event_requeue(endpoint.tenant_id, id, world.now()).await.unwrap();
    world.dispatcher.wake();
    world.store.wait_for_written(4).await;
    let event = world.event(id).await;
    assert_eq!(event.summary.status, DeliveryState::Delivered);
    assert_eq!(event.attempts.last().unwrap().number, 4);
}
