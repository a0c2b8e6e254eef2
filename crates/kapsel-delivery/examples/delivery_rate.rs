//! Measures how many deliveries per second go from the store to a destination and back, with everything on this
//! machine and the store in memory: `cargo run --release --example delivery_rate -- [claim|handoff] [events] [endpoints]`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for measurements")]

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{
    AddressPolicy, Clock, DeliveryId, DeliveryRef, Endpoint, EndpointId, Entropy, EventId, IdGenerator, SystemClock,
    SystemEntropy,
};
use kapsel_delivery::{DeliverySettings, Deps, Dispatcher, HttpSettings, HttpTransport};
use kapsel_store::{
    AdminStore, ClaimedDelivery, DeliveryStore, EndpointDirectory, IngestStore, MemoryStore, NewDelivery, NewEvent,
};
use test_harness::{Behaviour, Destination, EndpointBuilder, EventBuilder};
use tokio::time::Instant;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let is_handoff = arguments.next().is_some_and(|mode| mode == "handoff");
    let count: usize = arguments.next().map_or(50_000, |count| count.parse().unwrap());
    let endpoint_count: usize = arguments.next().map_or(1, |count| count.parse().unwrap());
    // On a worker like everything else: the main thread would be woken from outside for each event.
    tokio::spawn(measure(is_handoff, count, endpoint_count)).await.unwrap();
}

async fn measure(is_handoff: bool, count: usize, endpoint_count: usize) {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let store = Arc::new(MemoryStore::new());
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let ids = IdGenerator::new(Arc::new(SystemEntropy));
    let mut endpoints = Vec::new();
    for _ in 0..endpoint_count {
        let id: EndpointId = ids.next(clock.now());
        let endpoint = EndpointBuilder::new(id, &destination.url(), clock.now()).build();
        store.endpoint_insert(endpoint.clone()).await.unwrap();
        endpoints.push(endpoint);
    }
    let directory = Arc::new(EndpointDirectory::load(Arc::clone(&store) as Arc<dyn AdminStore>).await.unwrap());
    let policy = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]);
    let deps = Deps {
        circuits: Arc::clone(&store) as _,
        store: Arc::clone(&store) as Arc<dyn DeliveryStore>,
        directory,
        transport: Arc::new(HttpTransport::new(policy, &HttpSettings::default()).unwrap()),
        clock: Arc::clone(&clock),
        entropy,
        instance: ids.next(clock.now()),
        log_id: ids.next(clock.now()),
        tracer: Arc::new(kapsel_core::trace::NoTracer),
    };
    let dispatcher = Arc::new(Dispatcher::new(deps, DeliverySettings::default()));
    dispatcher.load().await.unwrap();
    let new_event = |endpoint: &Endpoint| {
        let now = clock.now();
        let event = EventBuilder::new(ids.next::<EventId>(now), endpoint, now).body(vec![b'x'; 1_024]).build();
        let delivery =
            NewDelivery { id: ids.next::<DeliveryId>(now), endpoint_id: endpoint.id, lease: None, ended: None };
        NewEvent { event: Arc::new(event), key: None, deliveries: vec![delivery] }
    };

    let mut handed_over = 0;
    let running = Arc::clone(&dispatcher);
    let begun = if is_handoff {
        tokio::spawn(async move { running.run(std::future::pending()).await });
        let begun = Instant::now();
        let handoff = dispatcher.handoff();
        for number in 0..count {
            let endpoint = &endpoints[number % endpoints.len()];
            // A source that waits for its answers: what is sent stays within what the endpoints may have under way.
            destination.wait_for_count((number + 1).saturating_sub(48 * endpoint_count)).await;
            let mut new = new_event(endpoint);
            let slot = handoff.reserve(endpoint.id, new.event.body.len(), clock.now());
            new.deliveries[0].lease = slot.as_ref().map(|slot| slot.lease());
            let (event, id) = (Arc::clone(&new.event), new.deliveries[0].id);
            store.event_insert_batch(clock.now(), Arc::new(vec![new])).await.unwrap();
            if let Some(slot) = slot {
                handed_over += 1;
                let delivery =
                    DeliveryRef { id, event_id: event.id, endpoint_id: endpoint.id, tenant_id: endpoint.tenant_id };
                let lease = slot.lease();
                slot.start(ClaimedDelivery { delivery, event, lease, attempts_total: 0, attempts_made: 0 });
            }
        }
        begun
    } else {
        let batch: Vec<_> = (0..count).map(|number| new_event(&endpoints[number % endpoints.len()])).collect();
        store.event_insert_batch(clock.now(), Arc::new(batch)).await.unwrap();
        let begun = Instant::now();
        tokio::spawn(async move { running.run(std::future::pending()).await });
        begun
    };
    destination.wait_for_count(count).await;
    let report = dispatcher.drain(Duration::from_secs(60)).await;
    let elapsed = begun.elapsed();
    let rate = count as f64 / elapsed.as_secs_f64();
    println!(
        "{count} deliveries to {endpoint_count} endpoints in {elapsed:.2?}: {rate:.0} per second; {handed_over} handed \
         over, {} connections, {} received, {report:?}",
        destination.connections(),
        destination.count(),
    );
}
