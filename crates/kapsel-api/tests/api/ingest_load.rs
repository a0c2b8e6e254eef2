//! Ingest when there is too much of it, or when the store does not do what it should.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::EndpointId;
use tokio::task::JoinHandle;

use bytes::Bytes;

use crate::support::body::{End, by_hand, in_pieces};
use crate::support::store::Fault;
use crate::support::{Answer, App};

/// Sends a webhook from a task of its own.
fn send(app: &Arc<App>, endpoint: EndpointId, key: &str, body: impl Into<Vec<u8>>) -> JoinHandle<Answer> {
    let (app, key, body) = (Arc::clone(app), key.to_owned(), body.into());
    tokio::spawn(async move { app.ingest(endpoint, &[("idempotency-key", &key)], body).await })
}

/// Lets every other task of this test's only thread run until it waits.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_burns_no_key() {
    let app = Arc::new(App::with(|settings| settings.queue_rows_max = 3).await);
    let endpoint = app.endpoint().await;
    app.handoff.set_free(10);
    app.store.close_gate();
    let waiting: Vec<_> = (0..3).map(|index| send(&app, endpoint, &format!("k{index}"), "body")).collect();
    app.store.inserts_begun(1).await;
    settle().await;
    let refused = app.ingest(endpoint, &[("idempotency-key", "late")], "body").await;
    refused.expect_error(503, "E3003");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(app.handoff.given_back(), 1);

    app.store.open_gate();
    for request in waiting {
        request.await.unwrap().expect_received();
    }
    let repeated = app.ingest(endpoint, &[("idempotency-key", "late")], "body").await;
    repeated.expect_received();
    assert!(!repeated.is_replay());
    assert_eq!(app.events().await.len(), 4);
}

#[tokio::test]
async fn the_memory_of_waiting_bodies_is_bounded() {
    let app = Arc::new(App::with(|settings| settings.queue_bytes_max = 10_000).await);
    let endpoint = app.endpoint().await;
    app.store.close_gate();
    let waiting = send(&app, endpoint, "k0", vec![0; 6_000]);
    app.store.inserts_begun(1).await;
    app.ingest(endpoint, &[("idempotency-key", "k1")], vec![0; 6_000]).await.expect_error(503, "E3003");
    // Charged while they arrive, and not by what they declare.
    app.ingest(endpoint, &[], in_pieces([vec![0; 2_000], vec![0; 2_000]], End::Stuck)).await.expect_error(503, "E3003");
    app.store.open_gate();
    waiting.await.unwrap().expect_received();
    assert!(!app.ingest(endpoint, &[("idempotency-key", "k1")], vec![0; 6_000]).await.is_replay());
    // Everything was given back: this needs nearly all of it.
    app.ingest(endpoint, &[], vec![0; 9_000]).await.expect_received();
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_the_answer_is_unavailable_and_a_repetition_succeeds() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(1);
    app.store.set_away(true);
    let begun = tokio::time::Instant::now();
    let answer = app.ingest(endpoint, &[("idempotency-key", "k")], "body").await;
    let message = answer.expect_error(503, "E3001");
    assert!(message.contains("unknown") && message.contains("idempotency key is safe"), "{message}");
    assert!(!answer.text().contains("secret-internal-detail"));
    assert!(begun.elapsed() <= Duration::from_secs(5) && app.store.batches().len() > 5);
    assert_eq!((app.handoff.given_back(), app.handoff.given_up().len()), (1, 1), "it may be stored under the lease");

    app.store.set_away(false);
    let repeated = app.ingest(endpoint, &[("idempotency-key", "k")], "body").await;
    repeated.expect_received();
    assert!(!repeated.is_replay());
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_is_ridden_out_with_the_same_ids() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(1);
    app.store.fail([Fault::Before, Fault::After, Fault::Before]);
    let answer = app.ingest(endpoint, &[("idempotency-key", "k")], "body").await;
    // Stored by the second try, which the fourth learns: it is the same event and not a repetition.
    let id = answer.expect_received();
    assert!(!answer.is_replay());
    let tries = app.store.batches();
    let ids: BTreeSet<String> = tries.iter().map(|batch| batch[0].event.id.to_string()).collect();
    assert_eq!((tries.len(), ids), (4, BTreeSet::from([id])));
    assert_eq!((app.events().await.len(), app.handoff.started().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_unknown_outcome_is_found_again_under_its_key() {
    let app = App::with(|settings| settings.commit_wait_max = Duration::ZERO).await;
    let endpoint = app.endpoint().await;
    for fault in [Fault::After, Fault::Short] {
        let key = format!("{fault:?}");
        app.store.fail([fault]);
        app.ingest(endpoint, &[("idempotency-key", &key)], "body").await.expect_error(503, "E3001");
        let stored = app.events().await[0].id.to_string();
        let repeated = app.ingest(endpoint, &[("idempotency-key", &key)], "body").await;
        assert_eq!(repeated.expect_received(), stored);
        assert!(repeated.is_replay());
    }
    assert_eq!(app.events().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_holds_nobody_for_ever() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.store.fail([Fault::Hang]);
    let begun = tokio::time::Instant::now();
    app.ingest(endpoint, &[], "body").await.expect_error(503, "E3001");
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    app.ingest(endpoint, &[], "body").await.expect_received();
}

#[tokio::test]
async fn one_event_that_the_store_refuses_fails_alone() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    app.handoff.set_free(20);
    app.store.close_gate();
    let first = send(&app, endpoint, "first", "body");
    app.store.inserts_begun(1).await;
    app.store.refuse(b"poison");
    app.store.explode_on(b"explosive");
    let bodies = ["1", "2", "poison", "4", "5", "6", "explosive", "8", "9"];
    let requests: Vec<_> = bodies.iter().map(|body| send(&app, endpoint, body, *body)).collect();
    settle().await;
    app.store.open_gate();
    first.await.unwrap().expect_received();
    assert_eq!(app.store.batches()[1].len(), bodies.len(), "one batch");
    for (body, request) in bodies.iter().zip(requests) {
        let answer = request.await.unwrap();
        if matches!(*body, "poison" | "explosive") {
            answer.expect_error(500, "E3006");
            assert!(!answer.text().contains("secret-internal-detail"));
        } else {
            answer.expect_received();
        }
    }
    assert_eq!((app.events().await.len(), app.handoff.started().len(), app.handoff.given_back()), (8, 8, 2));
    assert!(app.handoff.given_up().is_empty(), "what was refused is certainly not stored");
}

#[tokio::test]
async fn a_delivery_that_panics_at_its_start_stops_no_intake() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(2);
    app.handoff.panic_once();
    app.ingest(endpoint, &[], "1").await.expect_error(503, "E3001");
    app.ingest(endpoint, &[], "2").await.expect_received();
    assert_eq!(app.events().await.len(), 2);
}

#[tokio::test]
async fn a_sender_that_goes_away_takes_only_its_answer_with_it() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    app.handoff.set_free(2);
    app.store.close_gate();
    let committing = send(&app, endpoint, "k1", "committing");
    app.store.inserts_begun(1).await;
    let queued = send(&app, endpoint, "k2", "queued");
    settle().await;
    for request in [committing, queued] {
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
    }
    app.store.open_gate();
    app.api.drain().await;
    assert_eq!((app.events().await.len(), app.handoff.started().len()), (2, 2));
}

#[tokio::test]
async fn a_batch_is_what_queued_meanwhile_within_its_caps_and_sorted() {
    let app = Arc::new(
        App::with(|settings| {
            settings.batch_rows_max = 4;
            settings.batch_bytes_max = 10_000;
        })
        .await,
    );
    let endpoints = [app.endpoint().await, app.endpoint().await];
    app.store.close_gate();
    let first = send(&app, endpoints[0], "first", "body");
    app.store.inserts_begun(1).await;
    let mut requests: Vec<_> =
        (0..7).map(|index: usize| send(&app, endpoints[(index + 1) % 2], &format!("k{index}"), "body")).collect();
    requests.extend((7..9).map(|index| send(&app, endpoints[0], &format!("k{index}"), vec![0; 9_000])));
    settle().await;
    app.store.open_gate();
    requests.push(first);
    for request in requests {
        request.await.unwrap().expect_received();
    }
    let batches = app.store.batches();
    assert_eq!(batches.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [1, 4, 3, 1, 1]);
    for batch in batches {
        let order: Vec<_> = batch.iter().map(|new| (new.event.endpoint_id, new.key.as_ref().unwrap().hash)).collect();
        assert!(order.is_sorted());
    }
}

#[tokio::test]
async fn large_bodies_travel_beside_small_ones() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    let large = || vec![0; 300 * 1_024];
    app.store.close_gate();
    let mut requests = vec![send(&app, endpoint, "small", "body"), send(&app, endpoint, "large", large())];
    app.store.inserts_begun(2).await;
    requests.push(send(&app, endpoint, "large2", large()));
    requests.push(send(&app, endpoint, "small2", "body"));
    app.store.open_gate();
    for request in requests {
        request.await.unwrap().expect_received();
    }
    for batch in app.store.batches() {
        let large = batch.iter().filter(|new| new.event.body.len() > 256 * 1_024).count();
        assert!(large == 0 || large == batch.len(), "a mixed batch");
    }
}

#[tokio::test]
async fn draining_answers_what_was_accepted_and_takes_nothing_more() {
    let app = Arc::new(App::with(|settings| settings.batch_rows_max = 2).await);
    let endpoint = app.endpoint().await;
    app.store.close_gate();
    let mut requests: Vec<_> = (0..9).map(|index| send(&app, endpoint, &format!("k{index}"), "body")).collect();
    requests.push(send(&app, endpoint, "large", vec![0; 300 * 1_024]));
    app.store.inserts_begun(2).await;
    settle().await;
    let mut draining = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.api.drain().await }
    });
    settle().await;
    app.ingest(endpoint, &[], "late").await.expect_error(503, "E3005");
    assert!(!draining.is_finished());
    app.store.open_gate();
    (&mut draining).await.unwrap();
    for request in requests {
        request.await.unwrap().expect_received();
    }
    assert_eq!(app.events().await.len(), 10);
    app.api.drain().await;
}

#[tokio::test]
async fn a_body_that_is_still_arriving_when_the_end_begins_is_refused() {
    let app = Arc::new(App::new().await);
    let endpoint = app.endpoint().await;
    let (pieces, body) = by_hand();
    let request = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.ingest(endpoint, &[], body).await }
    });
    pieces.send(Bytes::from_static(b"bo")).await.unwrap();
    // There is room for the second piece only when the first was read.
    pieces.send(Bytes::from_static(b"dy")).await.unwrap();
    app.api.drain().await;
    drop(pieces);
    request.await.unwrap().expect_error(503, "E3005");
    assert!(app.events().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_lose_nothing() {
    let settings =
        |writers, rows| App::with(move |settings| (settings.writers, settings.batch_rows_max) = (writers, rows));
    for (writers, rows) in [(3, 512), (4, 1), (1, 7)] {
        let app = Arc::new(settings(writers, rows).await);
        let endpoint = app.endpoint().await;
        let requests: Vec<_> = (0..1_000).map(|index| send(&app, endpoint, &format!("k{index}"), "body")).collect();
        for request in requests {
            request.await.unwrap().expect_received();
        }
        assert_eq!(app.events().await.len(), 1_000);
    }
}

#[tokio::test]
async fn the_tasks_that_commit_end_with_the_api() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    app.ingest(endpoint, &[], "body").await.expect_received();
    let store = Arc::downgrade(&app.store);
    drop(app);
    while store.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_spooled_event_is_accepted_and_not_started() {
    let app = App::with_spool().await;
    let endpoint = app.endpoint().await;
    app.handoff.set_free(10);
    app.store.set_spooling();
    let answer = app.ingest(endpoint, &[], "body").await;
    answer.expect_received();
    assert!(!answer.is_replay());
    assert_eq!(app.handoff.started().len(), 0, "nobody delivers what only this machine knows");
    assert_eq!((app.handoff.given_back(), app.handoff.given_up().len()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_another_instance_just_made_takes_webhooks_in() {
    let app = App::new().await;
    let endpoint = app.endpoint_made_elsewhere().await;
    app.ingest(endpoint, &[], "body").await.expect_received();
    assert_eq!(app.events().await.len(), 1);
}

#[tokio::test]
async fn an_unknown_endpoint_is_not_denied_while_the_store_is_away() {
    let app = App::new().await;
    let endpoint = app.endpoint_made_elsewhere().await;
    app.store.set_away(true);
    let message = app.ingest(endpoint, &[], "body").await.expect_error(503, "E3001");
    assert!(message.contains("nothing was stored") && !message.contains("secret"), "{message}");
    app.store.set_away(false);
    app.ingest(endpoint, &[], "body").await.expect_received();
    app.ingest(EndpointId::MIN, &[], "body").await.expect_error(404, "E1003");
}
