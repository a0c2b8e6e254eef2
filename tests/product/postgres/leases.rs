//! Leases keep instances out of each other's way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::task::JoinSet;

use super::{Database, Fleet};
use crate::program::{http_client, post_request, send};

const INSTANCES: usize = 3;
/// How many events each destination gets.
const EVENTS_EACH: usize = 800;
const SENDERS: usize = 9;
/// How long the slow destination takes.
const SLOW: Duration = Duration::from_millis(20);

/// Several instances work on the same queues, with destinations that are slow or fail at first: each attempt is made
/// once, by one of them.
#[tokio::test(flavor = "multi_thread")]
async fn no_delivery_is_made_twice_while_leases_hold() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, INSTANCES).await;
    let mut destinations = Vec::new();
    let mut urls = Vec::new();
    for behaviour in [Behaviour::Ok(200), Behaviour::Delay(SLOW), Behaviour::FailFirst(EVENTS_EACH, 503)] {
        let destination = Destination::start(behaviour).await;
        // Few at once, so that most of it waits in the queue for whoever comes first.
        let endpoint = json!({
            "url": destination.url(),
            "max_in_flight": 4,
            "retry": {"base_seconds": 0.05, "factor": 1, "max_attempts": 50},
            // The planned failures shall all be made.
            "circuit": {"consecutive_failures": 1_000, "failure_percent": 100, "window_requests": 1_000},
        });
        let id = fleet.create_endpoint(endpoint).await;
        urls.push(fleet.ingest_urls(&id));
        destinations.push(destination);
    }
    let urls: Arc<Vec<String>> = Arc::new(urls.into_iter().flatten().flatten().collect());

    let sender = |first| {
        let (client, urls) = (http_client(), Arc::clone(&urls));
        async move {
            let mut ids = Vec::new();
            for number in (first..EVENTS_EACH * 3).step_by(SENDERS) {
                let answer = send(&client, post_request(&urls[number % urls.len()], &[], "x")).await.unwrap();
                ids.push(answer.expect(200).json()["event_id"].as_str().unwrap().to_owned());
            }
            ids
        }
    };
    let mut senders: JoinSet<Vec<String>> = (0..SENDERS).map(sender).collect();
    // All of them work on it at the same moment.
    database.wait_until("SELECT count(DISTINCT lease_owner) FROM queue", &INSTANCES.to_string()).await;
    let mut accepted = HashSet::new();
    while let Some(ids) = senders.join_next().await {
        accepted.extend(ids.unwrap());
    }
    assert_eq!(accepted.len(), EVENTS_EACH * 3);
    fleet[0].wait_until_nothing_is_undelivered().await;

    let mut arrived = HashSet::new();
    let mut attempts = HashSet::new();
    let mut requests = 0;
    for request in destinations.iter().flat_map(Destination::received) {
        let id = request.header("webhook-id").unwrap().to_owned();
        let attempt = request.header("x-kapsel-delivery-attempt").unwrap().to_owned();
        arrived.insert(id.clone());
        assert!(attempts.insert((id, attempt)), "an attempt was made twice: {:?}", request.headers);
        requests += 1;
    }
    assert_eq!(arrived, accepted);
    println!("{} accepted, {requests} requests, no attempt made twice", accepted.len());
    assert_eq!(requests, EVENTS_EACH * 4, "each event once, and each planned failure");
    assert_eq!(database.sql("SELECT count(*) FROM delivery_attempts").await, requests.to_string());
    fleet.terminate().await;
}
