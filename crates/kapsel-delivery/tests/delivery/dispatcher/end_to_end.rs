//! The whole way over real sockets and real time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::signature::{VerificationScheme, Verifier};
use kapsel_core::{
    AddressPolicy, AttemptId, Clock, DeliveryId, DeliveryState, EndpointId, Entropy, EventId, HeaderBlock, IdGenerator,
    RetryPolicy, SystemClock, SystemEntropy, TenantId,
};
use kapsel_delivery::{DeliverySettings, Deps, Dispatcher, HttpSettings, HttpTransport, Janitor, JanitorReport};
use kapsel_store::{AdminStore, DeliveryStore, EndpointDirectory, IngestStore, MemoryStore, NewDelivery, NewEvent};
use test_harness::builders::SIGNING_SECRET;
use test_harness::{Behaviour, Destination, EndpointBuilder, EventBuilder, TestClock, TokioClock};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_reach_a_destination_that_fails_at_first() {
    let destination = Destination::start(Behaviour::FailFirst(10, 503)).await;
    let store = Arc::new(MemoryStore::new());
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let random = Arc::clone(&entropy);
    let ids = IdGenerator::new(random);
    let now = clock.now();
    let endpoint = EndpointBuilder::new(ids.next::<EndpointId>(now), &destination.url(), now)
        .with(|endpoint| {
            endpoint.config.circuit.consecutive_failures = 100;
            endpoint.config.circuit.window_requests = 100;
            endpoint.config.retry = RetryPolicy::Exponential { base_ms: 20, factor: 1.0, cap_ms: 20, attempts_max: 20 };
            endpoint.secrets.headers = vec![("authorization".to_owned(), "Bearer secret".into())];
        })
        .build();
    store.endpoint_insert(endpoint.clone()).await.unwrap();
    let admin: Arc<dyn AdminStore> = Arc::clone(&store) as Arc<dyn AdminStore>;
    let directory = Arc::new(EndpointDirectory::load(admin).await.unwrap());
    let policy = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let deps = Deps {
        circuits: Arc::clone(&store) as _,
        store: Arc::clone(&store) as Arc<dyn DeliveryStore>,
        directory,
        transport: Arc::new(HttpTransport::new(policy, &HttpSettings::default()).unwrap()),
        clock: Arc::clone(&clock),
        entropy,
        instance: ids.next(now),
        log_id: ids.next(now),
        tracer: Arc::new(kapsel_core::trace::NoTracer),
    };
    let settings = DeliverySettings { poll_interval: Duration::from_millis(10), ..DeliverySettings::default() };
    let dispatcher = Arc::new(Dispatcher::new(deps, settings));
    let running = tokio::spawn({
        let dispatcher = Arc::clone(&dispatcher);
        async move { dispatcher.run(std::future::pending()).await }
    });

    let mut events: Vec<EventId> = Vec::new();
    let mut batch = Vec::new();
    for number in 0..20 {
        let id: EventId = ids.next(clock.now());
        let event = EventBuilder::new(id, &endpoint, clock.now()).body(format!("{{\"number\":{number}}}")).build();
        let delivery =
            NewDelivery { id: ids.next::<DeliveryId>(clock.now()), endpoint_id: endpoint.id, lease: None, ended: None };
        batch.push(NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] });
        events.push(id);
    }
    store.event_insert_batch(clock.now(), Arc::new(batch)).await.unwrap();
    dispatcher.wake();
    let received = destination.wait_for(30).await;
    assert_eq!((received.len(), destination.distinct()), (30, 20));
    let report = dispatcher.drain(Duration::from_secs(30)).await;
    assert_eq!(report.left, 0);
    running.await.unwrap();

    let scheme = VerificationScheme::StandardWebhooks { tolerance_seconds: 300 };
    let verifier = Verifier::new(&scheme, &[SIGNING_SECRET.into()]).unwrap();
    for request in &received {
        let headers =
            HeaderBlock::from_pairs(request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        verifier.verify(&headers, &request.body, clock.now()).unwrap();
        standardwebhooks::Webhook::new(SIGNING_SECRET).unwrap().verify(&request.body, &request.headers).unwrap();
        assert_eq!(request.header("authorization"), Some("Bearer secret"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
    let mut attempts: Vec<AttemptId> = Vec::new();
    for id in events {
        let event = store.event_get(TenantId::DEFAULT, id, clock.now()).await.unwrap();
        assert_eq!(event.summary.status, DeliveryState::Delivered);
        attempts.extend(event.attempts.iter().map(|attempt| attempt.id));
    }
    attempts.sort_unstable();
    attempts.dedup();
    assert_eq!(attempts.len(), 30);
}

#[tokio::test]
async fn the_janitor_discards_what_was_queued_for_deleted_endpoints() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(TestClock::new());
    let ids = IdGenerator::new(Arc::new(SystemEntropy));
    let now = clock.now();
    let endpoint = EndpointBuilder::new(ids.next::<EndpointId>(now), "http://a.example/", now).build();
    store.endpoint_insert(endpoint.clone()).await.unwrap();
    let new_event = |_| {
        let event = EventBuilder::new(ids.next::<EventId>(now), &endpoint, now).body(Bytes::new()).build();
        let delivery =
            NewDelivery { id: ids.next::<DeliveryId>(now), endpoint_id: endpoint.id, lease: None, ended: None };
        NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
    };
    let batch: Vec<_> = (0..1_200).map(new_event).collect();
    let first = batch[0].event.id;
    store.event_insert_batch(now, Arc::new(batch)).await.unwrap();
    let directory = Arc::new(EndpointDirectory::load(Arc::clone(&store) as Arc<dyn AdminStore>).await.unwrap());
    let clock_port: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let janitor =
        Janitor::new(Arc::clone(&store) as Arc<dyn DeliveryStore>, directory, clock_port, Arc::new(SystemEntropy));
    assert_eq!(janitor.run_once().await.unwrap(), JanitorReport::default());

    store.endpoint_delete(endpoint.tenant_id, endpoint.id, clock.advance(Duration::from_secs(1))).await.unwrap();
    let report = janitor.run_once().await.unwrap();
    assert_eq!(report, JanitorReport { discarded: 1_200, ..JanitorReport::default() });
    let event = store.event_get(TenantId::DEFAULT, first, clock.now()).await.unwrap();
    assert_eq!(event.summary.status, DeliveryState::Discarded);
    assert_eq!(janitor.run_once().await.unwrap(), JanitorReport::default());
}

#[tokio::test(start_paused = true)]
async fn the_janitor_sees_what_other_instances_change() {
    let store = Arc::new(MemoryStore::new());
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::new());
    let directory = Arc::new(EndpointDirectory::load(Arc::clone(&store) as Arc<dyn AdminStore>).await.unwrap());
    let queue = Arc::clone(&store) as Arc<dyn DeliveryStore>;
    let janitor = Janitor::new(queue, Arc::clone(&directory), Arc::clone(&clock), Arc::new(SystemEntropy));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move { janitor.run(async { stopped.await.unwrap_or(()) }).await });

    let id: EndpointId = IdGenerator::new(Arc::new(SystemEntropy)).next(clock.now());
    let endpoint = EndpointBuilder::new(id, "http://a.example/", clock.now()).build();
    store.endpoint_insert(endpoint).await.unwrap();
    assert!(directory.get(id).is_none());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(directory.get(id).is_some());
    stop.send(()).unwrap();
    running.await.unwrap();
}
