//! Replays: what would be in one, making it, watching it, and having it pause, go on and end.

use std::time::Duration;

use http::Method;
use kapsel_core::settlement::Next;
use kapsel_core::{Clock as _, EndpointId, EventId, FinalReason, IdGenerator, ReplayId, SystemEntropy, TenantId};
use kapsel_store::{AdminStore as _, Replay, ReplayScan, ReplayStep, ReplayStore as _};
use serde_json::{Value, json};
use test_harness::EndpointBuilder;

use crate::manage_events::{answered, deliver, settle};
use crate::support::{Answer, App};

async fn post(app: &App, path: &str, body: Value) -> Answer {
    app.manage(Method::POST, path, Some(body)).await
}

async fn create(app: &App, body: Value) -> Value {
    let answer = post(app, "/v1/replays", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let replay = answer.json();
    assert_eq!(answer.header("location"), Some(format!("/v1/replays/{}", id_of(&replay)).as_str()));
    replay
}

fn id_of(replay: &Value) -> ReplayId {
    replay["id"].as_str().unwrap().parse().unwrap()
}

async fn shown(app: &App, id: ReplayId) -> Value {
    let answer = app.get(&format!("/v1/replays/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Takes a webhook in that fails for good.
async fn fail(app: &App, endpoint: EndpointId) -> EventId {
    let (id, claimed) = deliver(app, endpoint).await;
    settle(app, &claimed, answered(404, ""), Next::Failed(FinalReason::Refused)).await;
    id.parse().unwrap()
}

async fn fail_many(app: &App, endpoint: EndpointId, count: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(fail(app, endpoint).await);
    }
    ids
}

async fn stored(app: &App, id: ReplayId) -> Replay {
    app.store.replay_get(TenantId::DEFAULT, id).await.unwrap()
}

/// Makes the next step as a runner would, with at most so many events.
async fn step(app: &App, id: ReplayId, matches_max: usize) {
    let Replay { tenant_id, filter, range, version, next_step_at, .. } = stored(app, id).await;
    let (endpoint_id, statuses) = (filter.endpoint_id, filter.statuses);
    let scan = ReplayScan { tenant_id, endpoint_id, statuses, range, matches_max, looks_max: 1_000 };
    let now = app.clock.now();
    let page = app.store.replay_scan(now, scan).await.unwrap();
    let step = ReplayStep {
        tenant_id,
        id,
        expected_version: version,
        event_ids: page.event_ids,
        looked_up_to: page.looked_up_to,
        next_step_at,
        is_last: page.is_end,
    };
    app.store.replay_advance_if_version(now, step).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_preview_counts_and_makes_nothing() {
    let app = App::new().await;
    let (one, two) = (app.endpoint().await, app.endpoint().await);
    fail_many(&app, one, 3).await;
    app.clock.advance(Duration::from_secs(10));
    fail_many(&app, two, 2).await;
    app.ingest(two, &[], "waits").await.expect_received();
    let cases = [
        (json!({}), 5),
        (json!({"endpoint_id": two}), 2),
        (json!({"statuses": ["received"]}), 1),
        (json!({"statuses": ["received", "failed"], "endpoint_id": two}), 3),
        (json!({"until": "2026-01-01T00:00:05Z"}), 3),
        (json!({"since": "2026-01-01T00:00:05Z"}), 2),
        (json!({"statuses": ["discarded"]}), 0),
    ];
    for (body, count) in cases {
        let answer = post(&app, "/v1/replays/preview", body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let expected = json!({
            "count": count, "is_capped": false, "rate_per_second": 100, "estimated_seconds": u64::from(count > 0),
        });
        assert_eq!(answer.json(), expected, "{body}");
    }
    let slow = post(&app, "/v1/replays/preview", json!({"rate_per_second": 2})).await.json();
    assert_eq!((&slow["rate_per_second"], &slow["estimated_seconds"]), (&json!(2), &json!(3)));
    assert_eq!(app.get("/v1/replays").await.json(), json!({"data": [], "next_cursor": null}));
}

#[tokio::test]
async fn a_replay_is_made_shown_and_followed_to_its_end() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let ids = fail_many(&app, endpoint, 4).await;
    let now = app.clock.now();
    let replay = create(&app, json!({})).await;
    let id = id_of(&replay);
    let expected = json!({
        "id": id,
        "status": "running",
        "endpoint_id": null,
        "statuses": ["failed"],
        "since": null,
        "until": null,
        "rate_per_second": 100,
        "matched_count": 4,
        "is_matched_count_capped": false,
        "replayed_count": 0,
        "skipped_count": 0,
        "progress": 0.0,
        "created_at": now,
        "updated_at": now,
        "completed_at": null,
    });
    assert_eq!(replay, expected);
    assert_eq!(shown(&app, id).await, expected);

    // What comes later is not in it.
    fail(&app, endpoint).await;
    step(&app, id, 1).await;
    let replay = shown(&app, id).await;
    assert_eq!((&replay["replayed_count"], &replay["progress"]), (&json!(1), &json!(0.25)));
    app.clock.advance(Duration::from_secs(1));
    // Somebody queued one of them already.
    app.manage(Method::POST, &format!("/v1/events/{}/retry", ids[1]), None).await;
    step(&app, id, 10).await;
    let replay = shown(&app, id).await;
    assert_eq!((&replay["status"], &replay["progress"]), (&json!("completed"), &json!(1.0)));
    assert_eq!((&replay["replayed_count"], &replay["skipped_count"]), (&json!(3), &json!(0)));
    assert_eq!((&replay["completed_at"], &replay["updated_at"]), (&json!(app.clock.now()), &json!(app.clock.now())));
    let queued: Vec<EventId> = app.claim(endpoint).await.iter().map(|event| event.id).collect();
    assert_eq!(queued.len(), 4);
    assert!(ids.iter().all(|id| queued.contains(id)));
}

#[tokio::test]
async fn everything_that_can_be_given_is_kept() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let body = json!({
        "endpoint_id": endpoint,
        "statuses": ["discarded", "failed", "delivered", "pending", "received"],
        "since": "2026-01-01T01:00:00+01:00",
        "until": "2026-01-01T00:00:00.500Z",
        "rate_per_second": 10_000,
    });
    let (first, _) = deliver(&app, endpoint).await;
    app.clock.advance(Duration::from_secs(60));
    deliver(&app, endpoint).await;
    app.clock.advance(Duration::from_secs(60));
    let replay = create(&app, body).await;
    let shown = shown(&app, id_of(&replay)).await;
    assert_eq!(shown, replay);
    assert_eq!(shown["endpoint_id"], json!(endpoint));
    assert_eq!(shown["statuses"], json!(["received", "pending", "delivered", "failed", "discarded"]));
    assert_eq!(
        (&shown["since"], &shown["until"], &shown["rate_per_second"], &shown["matched_count"]),
        (&json!("2026-01-01T00:00:00.000Z"), &json!("2026-01-01T00:00:00.500Z"), &json!(10_000), &json!(1))
    );
    step(&app, id_of(&replay), 10).await;
    assert_eq!(stored(&app, id_of(&replay)).await.replayed_count, 1);
    assert_eq!(app.get(&format!("/v1/events/{first}")).await.json()["status"], "received");
}

#[tokio::test]
async fn commands_are_followed_and_may_be_repeated() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    fail_many(&app, endpoint, 3).await;
    let id = id_of(&create(&app, json!({})).await);
    let command = async |word: &str| app.manage(Method::POST, &format!("/v1/replays/{id}/{word}"), None).await;
    let expect = async |word: &str, status: &str| {
        app.clock.advance(Duration::from_secs(1));
        let answer = command(word).await;
        assert_eq!(answer.status, 200, "{word}: {}", answer.text());
        assert_eq!(answer.json(), shown(&app, id).await);
        assert_eq!(answer.json()["status"], status, "{word}");
        answer.json()["updated_at"].clone()
    };
    let is_due = async || !app.store.replay_due(app.clock.now(), 10).await.unwrap().due.is_empty();
    let paused_at = expect("pause", "paused").await;
    assert_eq!(expect("pause", "paused").await, paused_at, "nothing changed");
    assert!(!is_due().await);
    expect("resume", "running").await;
    expect("resume", "running").await;
    assert!(is_due().await);
    step(&app, id, 1).await;
    expect("pause", "paused").await;
    expect("cancel", "cancelled").await;
    expect("cancel", "cancelled").await;
    for word in ["pause", "resume"] {
        let message = command(word).await.expect_error(409, "E1011");
        assert!(message.contains("cancelled"), "{message}");
    }
    let replay = shown(&app, id).await;
    assert_eq!((&replay["replayed_count"], &replay["completed_at"]), (&json!(1), &json!(null)));

    let id = id_of(&create(&app, json!({})).await);
    step(&app, id, 10).await;
    for word in ["pause", "resume", "cancel"] {
        let answer = app.manage(Method::POST, &format!("/v1/replays/{id}/{word}"), None).await;
        let message = answer.expect_error(409, "E1011");
        assert!(message.contains("completed"), "{message}");
    }
}

#[tokio::test]
async fn a_command_that_a_step_came_before_is_followed_all_the_same() {
    let app = App::new().await;
    let id = id_of(&create(&app, json!({})).await);
    app.store.lose_races(3);
    let answer = app.manage(Method::POST, &format!("/v1/replays/{id}/pause"), None).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("paused")));
    app.store.lose_races(1_000);
    let answer = app.manage(Method::POST, &format!("/v1/replays/{id}/resume"), None).await;
    assert!(answer.expect_error(409, "E1011").contains("try again"));
}

#[tokio::test]
async fn replays_are_listed_newest_first_page_by_page() {
    let app = App::new().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(id_of(&create(&app, json!({})).await));
        app.clock.advance(Duration::from_secs(1));
    }
    ids.reverse();
    for limit in [1, 2, 5, 6] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/v1/replays?limit={limit}{cursor}")).await.json();
            seen.extend(page["data"].as_array().unwrap().iter().map(id_of));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ids, "limit {limit}");
    }
    app.endpoint().await;
    app.endpoint().await;
    let other = app.get("/v1/endpoints?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    app.get(&format!("/v1/replays?cursor={other}")).await.expect_error(400, "E1006");
    assert_eq!(app.get("/v1/replays?status=running").await.field_paths(), ["status"]);
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let app = App::new().await;
    let cases = [
        (json!({"endpoint": "x"}), vec!["endpoint"]),
        (json!({"endpoint_id": "x"}), vec!["endpoint_id"]),
        (json!({"endpoint_id": 7}), vec!["endpoint_id"]),
        (json!({"endpoint_id": EndpointId::MAX}), vec!["endpoint_id"]),
        (json!({"statuses": []}), vec!["statuses"]),
        (json!({"statuses": "failed"}), vec!["statuses"]),
        (json!({"statuses": ["failed", "delivering", "lost", 7]}), vec!["statuses[1]", "statuses[2]", "statuses[3]"]),
        (json!({"since": "yesterday"}), vec!["since"]),
        (json!({"until": 7}), vec!["until"]),
        (json!({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), vec!["until"]),
        (json!({"rate_per_second": 0}), vec!["rate_per_second"]),
        (json!({"rate_per_second": 10_001}), vec!["rate_per_second"]),
        (json!({"rate_per_second": 1.5}), vec!["rate_per_second"]),
        (
            json!({
                "all": true, "endpoint_id": EndpointId::MAX, "statuses": ["x"], "since": "x", "until": "x",
                "rate_per_second": "x",
            }),
            vec!["all", "endpoint_id", "statuses[0]", "since", "until", "rate_per_second"],
        ),
        (json!([]), vec![""]),
    ];
    for (body, paths) in cases {
        for path in ["/v1/replays", "/v1/replays/preview"] {
            assert_eq!(post(&app, path, body.clone()).await.field_paths(), paths, "{body}");
        }
    }
    let answer = app.manage(Method::POST, "/v1/replays", None).await;
    answer.expect_error(400, "E1006");
    assert_eq!(app.get("/v1/replays").await.json()["data"], json!([]));
}

#[tokio::test]
async fn what_belongs_to_another_tenant_answers_as_what_does_not_exist() {
    let app = App::new().await;
    let own_endpoint = app.endpoint().await;
    fail(&app, own_endpoint).await;
    let own = stored(&app, id_of(&create(&app, json!({})).await)).await;
    let ids = IdGenerator::new(std::sync::Arc::new(SystemEntropy));
    let now = app.clock.now();
    let foreign = Replay { id: ids.next(now), tenant_id: ids.next(now), ..own.clone() };
    app.store.replay_insert(foreign.clone()).await.unwrap();
    let mut endpoint = EndpointBuilder::new(ids.next(now), "https://destination.example/", now).build();
    endpoint.tenant_id = foreign.tenant_id;
    app.store.endpoint_insert(endpoint.clone()).await.unwrap();

    for id in [foreign.id.to_string(), ReplayId::MAX.to_string(), "rpl_x".to_owned(), own_endpoint.to_string()] {
        app.get(&format!("/v1/replays/{id}")).await.expect_error(404, "E1008");
        for word in ["pause", "resume", "cancel"] {
            app.manage(Method::POST, &format!("/v1/replays/{id}/{word}"), None).await.expect_error(404, "E1008");
        }
    }
    let listed = app.get("/v1/replays").await.json();
    assert_eq!(listed["data"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>(), [own.id]);
    let mut answers = Vec::new();
    for id in [endpoint.id, EndpointId::MAX] {
        let answer = post(&app, "/v1/replays", json!({"endpoint_id": id})).await;
        assert_eq!(answer.field_paths(), ["endpoint_id"]);
        answers.push(answer.json()["error"]["fields"][0]["problem"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(app.store.replay_get(foreign.tenant_id, foreign.id).await.unwrap(), foreign);
}
