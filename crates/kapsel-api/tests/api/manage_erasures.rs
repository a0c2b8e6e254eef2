//! Erasures: wanting one, watching it, and what an erased event shows.

use std::time::Duration;

use http::Method;
use kapsel_core::settlement::Next;
use kapsel_core::{Clock as _, Scope, TenantId};
use kapsel_store::{ErasureStep, ErasureStore as _, TenantStore as _};
use serde_json::{Value, json};
use test_harness::EndpointBuilder;

use crate::manage_events::{answered, deliver, settle};
use crate::support::{Answer, App};

async fn post(app: &App, body: Value) -> Answer {
    app.manage(Method::POST, "/v1/erasures", Some(body)).await
}

/// Makes all steps that are due, as a runner would.
async fn run(app: &App) {
    loop {
        let due = app.store.erasure_due(app.clock.now(), 100).await.unwrap().due;
        for job in &due {
            let (tenant_id, id) = (job.tenant_id, job.id);
            let step = ErasureStep { tenant_id, id, expected_version: job.version, looks_max: 100 };
            app.store.erasure_advance_if_version(app.clock.now(), step).await.unwrap();
        }
        if due.is_empty() {
            return;
        }
    }
}

async fn erase(app: &App, event_id: &str) -> Value {
    let answer = post(app, json!({"event_id": event_id})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    run(app).await;
    answer.json()
}

#[tokio::test]
async fn an_event_is_erased_and_says_so() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let (id, claimed) = deliver(&app, endpoint).await;
    settle(&app, &claimed, answered(200, "thanks, Ada"), Next::Delivered).await;

    let answer = post(&app, json!({"event_id": id})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let erasure = answer.json();
    let path = format!("/v1/erasures/{}", erasure["id"].as_str().unwrap());
    assert!(path.starts_with("/v1/erasures/ers_"));
    assert_eq!(answer.header("location"), Some(path.as_str()));
    let now = app.clock.now();
    let expected = json!({
        "id": erasure["id"], "status": "running", "tenant_id": TenantId::DEFAULT, "event_id": id,
        "requested_by": "operator", "erased_count": 0, "created_at": now, "updated_at": now, "completed_at": null,
    });
    assert_eq!(erasure, expected);
    assert_eq!(app.get(&format!("/v1/events/{id}/payload")).await.status, 200, "it is not done yet");

    app.clock.advance(Duration::from_secs(3));
    run(&app).await;
    let done = app.get(&path).await.json();
    assert_eq!((&done["status"], &done["erased_count"]), (&json!("completed"), &json!(1)));
    assert_eq!(done["completed_at"], json!(app.clock.now()));
    assert_eq!(app.get("/v1/erasures").await.json()["data"], json!([done]));

    let event = app.get(&format!("/v1/events/{id}")).await.json();
    assert_eq!(event["erased_at"], json!(app.clock.now()));
    assert_eq!((&event["status"], &event["content_type"]), (&json!("delivered"), &Value::Null));
    let attempt = &event["attempts"][0];
    assert_eq!((&attempt["url"], &attempt["response_body"]), (&json!(""), &json!("")));
    assert_eq!((&attempt["response_status"], &attempt["attempt_number"]), (&json!(200), &json!(1)));
    assert!(attempt["leaf_hash"].is_string());
    let message = app.get(&format!("/v1/events/{id}/payload")).await.expect_error(410, "E1008");
    assert_eq!(message, "the payload was erased");
    let retry = app.manage(Method::POST, &format!("/v1/events/{id}/retry"), None).await;
    assert_eq!(retry.expect_error(409, "E1011"), "the event is erased");
    assert_eq!(app.get("/v1/events").await.json()["data"][0]["erased_at"], json!(app.clock.now()));

    // Twice is fine.
    let again = erase(&app, &id).await;
    let again = app.get(&format!("/v1/erasures/{}", again["id"].as_str().unwrap())).await.json();
    assert_eq!((&again["status"], &again["erased_count"]), (&json!("completed"), &json!(0)));
}

#[tokio::test]
async fn what_waits_is_discarded_as_erased() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let id = app.ingest(endpoint, &[], "body").await.expect_received();
    erase(&app, &id).await;
    let event = app.get(&format!("/v1/events/{id}")).await.json();
    assert_eq!((&event["status"], &event["reason"]), (&json!("discarded"), &json!("erased")));
    assert!(app.claim(endpoint).await.is_empty());
    let listed = app.get("/v1/events?status=discarded").await.json();
    assert_eq!(listed["data"][0]["id"], json!(id));
}

#[tokio::test]
async fn wrong_input_is_refused() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let id = app.ingest(endpoint, &[], "body").await.expect_received();
    for body in [
        json!({}),
        json!({"event_id": "evt_1"}),
        json!({"event_id": "evt_00000000000000000000000000"}),
        json!({"event_id": id, "tenant_id": TenantId::DEFAULT}),
        json!({"tenant_id": TenantId::MAX}),
        json!({"event_id": id, "reason": "because"}),
    ] {
        post(&app, body).await.expect_error(422, "E1009");
    }
    app.get("/v1/erasures/ers_00000000000000000000000000").await.expect_error(404, "E1008");
    app.get("/v1/erasures/rpl_00000000000000000000000000").await.expect_error(404, "E1008");
}

#[tokio::test]
async fn a_key_erases_events_of_its_tenant_and_no_tenant() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let key = app.api_key(tenant, &[Scope::Write]).await;
    let reader = app.api_key(tenant, &[Scope::Read]).await;
    let theirs = app.endpoint_with(|endpoint: EndpointBuilder| endpoint.tenant(tenant)).await;
    let (own, foreign) = (
        app.ingest(theirs, &[], "body").await.expect_received(),
        app.ingest(app.endpoint().await, &[], "body").await.expect_received(),
    );
    let as_key = async |key: &str, body: Value| app.manage_as(key, Method::POST, "/v1/erasures", Some(body)).await;
    as_key(&reader, json!({"event_id": own})).await.expect_error(403, "E1013");
    as_key(&key, json!({"event_id": foreign})).await.expect_error(422, "E1009");
    as_key(&key, json!({"tenant_id": tenant})).await.expect_error(403, "E1013");
    let answer = as_key(&key, json!({"event_id": own})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let erasure = answer.json();
    assert!(erasure["requested_by"].as_str().unwrap().starts_with("key_"));

    let path = format!("/v1/erasures/{}", erasure["id"].as_str().unwrap());
    assert_eq!(app.manage_as(&reader, Method::GET, &path, None).await.status, 200);
    let listed = app.manage_as(&reader, Method::GET, "/v1/erasures", None).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let other = app.api_key(TenantId::DEFAULT, &[Scope::Write]).await;
    app.manage_as(&other, Method::GET, &path, None).await.expect_error(404, "E1008");
    assert_eq!(app.manage_as(&other, Method::GET, "/v1/erasures", None).await.json()["data"], json!([]));
}

#[tokio::test]
async fn the_operator_erases_a_tenant_that_is_gone_and_finds_the_record() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let endpoint = app.endpoint_with(|endpoint: EndpointBuilder| endpoint.tenant(tenant)).await;
    app.ingest(endpoint, &[], "body").await.expect_received();
    app.store.tenant_delete(tenant, app.clock.now()).await.unwrap();
    app.tenants.refresh().await.unwrap();

    let answer = post(&app, json!({"tenant_id": tenant})).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let path = format!("/v1/erasures/{}", answer.json()["id"].as_str().unwrap());
    run(&app).await;
    let shown = app.get(&path).await.json();
    assert_eq!((&shown["status"], &shown["erased_count"]), (&json!("running"), &json!(1)), "it looks once more");
    assert_eq!((&shown["tenant_id"], &shown["event_id"]), (&json!(tenant), &Value::Null));
    app.clock.advance(Duration::from_secs(61));
    run(&app).await;
    let shown = app.get(&path).await.json();
    assert_eq!((&shown["status"], &shown["erased_count"]), (&json!("completed"), &json!(1)));
    assert_eq!(app.get("/v1/erasures").await.json()["data"], json!([shown]));
    let default = TenantId::DEFAULT.to_string();
    let named = app.manage_with(Method::GET, "/v1/erasures", &[("kapsel-tenant", &default)], None).await;
    assert_eq!(named.json()["data"], json!([]));
}
