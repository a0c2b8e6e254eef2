//! Requests that are sent again under their idempotency key.

use std::time::Duration;

use http::Method;
use kapsel_core::Scope;
use serde_json::{Value, json};

use crate::support::{Answer, App};

async fn post(app: &App, path: &str, key: &str, body: Value) -> Answer {
    app.manage_with(Method::POST, path, &[("idempotency-key", key)], Some(body)).await
}

async fn endpoints(app: &App) -> usize {
    app.get("/v1/endpoints").await.json()["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_request_that_is_sent_again_gets_the_first_answer_and_does_nothing() {
    let app = App::new().await;
    let body = json!({"url": "https://a.example/"});
    let first = post(&app, "/v1/endpoints", "one", body.clone()).await;
    assert_eq!((first.status.as_u16(), first.is_replay()), (201, false));
    let again = post(&app, "/v1/endpoints", "one", body.clone()).await;
    assert_eq!((again.status, again.is_replay()), (first.status, true));
    // The secret that is shown once as well: whoever lost the first answer has not seen it.
    assert_eq!(again.json(), first.json());
    for name in ["location", "etag", "content-type"] {
        assert!(first.header(name).is_some() && again.header(name) == first.header(name), "{name}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    assert_eq!(endpoints(&app).await, 1);

    post(&app, "/v1/endpoints", "two", body.clone()).await;
    assert_eq!(endpoints(&app).await, 2);
    // What is asked for by another key, body or route is another request.
    for (path, body) in [("/v1/endpoints", json!({"url": "https://b.example/"})), ("/v1/replays", body)] {
        post(&app, path, "one", body).await.expect_error(409, "E1005");
    }
    assert_eq!(endpoints(&app).await, 2);
    app.clock.advance(Duration::from_secs(24 * 3_600));
    assert!(!post(&app, "/v1/endpoints", "one", json!({"url": "https://b.example/"})).await.is_replay());
}

#[tokio::test]
async fn what_was_refused_leaves_no_trace() {
    let app = App::new().await;
    post(&app, "/v1/endpoints", "one", json!({"url": "nonsense"})).await.expect_error(422, "E1009");
    assert_eq!(post(&app, "/v1/endpoints", "one", json!({"url": "https://a.example/"})).await.status, 201);
    app.store.set_away(true);
    post(&app, "/v1/endpoints", "two", json!({"url": "https://a.example/"})).await.expect_error(503, "E3001");
    app.store.set_away(false);
    let answer = post(&app, "/v1/endpoints", "two", json!({"url": "https://a.example/"})).await;
    assert_eq!((answer.status.as_u16(), answer.is_replay()), (201, false));
}

#[tokio::test]
async fn keys_of_tenants_never_meet_and_a_key_opens_nothing() {
    let app = App::new().await;
    let tenants = [app.tenant().await, app.tenant().await];
    let mut seen = Vec::new();
    for tenant in tenants {
        let headers = [("idempotency-key", "same"), ("kapsel-tenant", &tenant.to_string())];
        let body = json!({"url": "https://a.example/"});
        let answer = app.manage_with(Method::POST, "/v1/endpoints", &headers, Some(body)).await;
        assert_eq!((answer.status.as_u16(), answer.is_replay()), (201, false));
        seen.push(answer.json()["id"].clone());
    }
    assert_ne!(seen[0], seen[1]);
    // A kept answer is shown to nobody who could not have asked for it.
    let request = http::Request::post("/v1/endpoints").header("idempotency-key", "same");
    app.call(request.body("{}".into()).unwrap()).await.expect_error(401, "E1007");
    let body = json!({"url": "https://a.example/"}).to_string();
    let reader = app.api_key(tenants[0], &[Scope::Read]).await;
    for (key, status, code) in [("same", 409, "E1005"), ("other", 403, "E1013")] {
        let request = http::Request::post("/v1/endpoints")
            .header("idempotency-key", key)
            .header("authorization", format!("Bearer {reader}"));
        app.call(request.body(body.clone().into()).unwrap()).await.expect_error(status, code);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let app = App::new().await;
    let body = || Some(json!({"url": "https://a.example/"}));
    for headers in [
        vec![("idempotency-key", "")],
        vec![("idempotency-key", "one"), ("x-idempotency-key", "two")],
        vec![("x-idempotency-key", &*"x".repeat(300))],
    ] {
        app.manage_with(Method::POST, "/v1/endpoints", &headers, body()).await.expect_error(400, "E1006");
    }
    assert_eq!(endpoints(&app).await, 0);
    // Elsewhere it says nothing.
    let headers = [("idempotency-key", "")];
    assert_eq!(app.manage_with(Method::GET, "/v1/endpoints", &headers, None).await.status, 200);
}
