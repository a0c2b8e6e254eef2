//! What can be done with an endpoint besides replacing its settings.

use std::time::Duration;

use http::Method;
use kapsel_core::{Circuit, CircuitState, Clock as _, TenantId};
use kapsel_store::CircuitStore as _;
use kapsel_store::circuit::StoredCircuit;
use serde_json::{Value, json};

use crate::support::{Answer, App};

async fn made(app: &App, body: Value) -> Value {
    let answer = app.manage(Method::POST, "/v1/endpoints", Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn path_of(endpoint: &Value) -> String {
    format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap())
}

async fn act(app: &App, endpoint: &Value, action: &str, body: Option<Value>) -> Answer {
    app.manage(Method::POST, &format!("{}/{action}", path_of(endpoint)), body).await
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let app = App::new().await;
    let full = json!({
        "name": "orders",
        "url": "https://destination.example/hook",
        "verification": {"scheme": "hmac", "secrets": ["incoming"], "header": "x-sig"},
        "idempotency": {"mode": "json_pointer", "pointer": "/id", "window_seconds": 60},
        "retry": {"base_seconds": 0.5, "factor": 3, "cap_seconds": 60, "max_attempts": 4},
        "retry_statuses": [409],
        "timeout_seconds": 7,
        "max_in_flight": 3,
        "rate_limit": {"per_second": 2.5, "burst": 4},
        "circuit": {"open_seconds": 900, "probes": 1},
        "disable_after_seconds": null,
        "headers": {"authorization": "Bearer outgoing"},
    });
    let mut expected = made(&app, full).await;
    expected.as_object_mut().unwrap().remove("signing_secret");
    let mut version = 1;
    let changes = [
        (json!({"name": "invoices"}), "name", json!("invoices")),
        (json!({"retry": {"schedule": [0, 5]}}), "retry", json!({"schedule": [0, 5]})),
        (
            json!({"max_retries": 2}),
            "retry",
            json!({"base_seconds": 1, "factor": 2.0, "cap_seconds": 3_600, "max_attempts": 3}),
        ),
        (json!({"rate_limit": null}), "rate_limit", Value::Null),
        (json!({"disable_after_seconds": 3_600}), "disable_after_seconds", json!(3_600)),
        (
            json!({"headers": {"authorization": null, "x-env": "prod"}}),
            "headers",
            json!({"authorization": null, "x-env": null}),
        ),
    ];
    for (patch, field, shown) in changes {
        let answer = app.manage(Method::PATCH, &path_of(&expected), Some(patch.clone())).await;
        assert_eq!(answer.status, 200, "{patch}: {}", answer.text());
        version += 1;
        expected[field] = shown;
        expected["version"] = json!(version);
        assert_eq!(answer.json(), expected, "{patch}");
    }
    // Nothing is no change.
    let answer = app.manage(Method::PATCH, &path_of(&expected), Some(json!({}))).await;
    assert_eq!(answer.json(), expected);
    let stored = app.stored_endpoint(&expected["id"]).await;
    assert_eq!(stored.secrets.verification.len(), 1, "secrets stay");

    let wrong = json!({"timeout_seconds": 0, "nmae": "x", "max_retries": 1, "retry": {"schedule": [0]}});
    let paths = app.manage(Method::PATCH, &path_of(&expected), Some(wrong)).await.field_paths();
    assert_eq!(paths, ["nmae", "max_retries", "timeout_seconds"]);
    app.manage(Method::PATCH, &path_of(&expected), Some(json!([]))).await.expect_error(422, "E1009");
    let stale = [("if-match", "\"1\"")];
    app.manage_with(Method::PATCH, &path_of(&expected), &stale, Some(json!({}))).await.expect_error(412, "E1011");
}

#[tokio::test]
async fn an_endpoint_is_disabled_and_enabled() {
    let app = App::new().await;
    let endpoint = made(&app, json!({"url": "https://a.example/"})).await;
    let id = endpoint["id"].as_str().unwrap().parse().unwrap();
    let disabled = act(&app, &endpoint, "disable", None).await.json();
    assert_eq!((&disabled["status"], &disabled["disabled_reason"]), (&json!("disabled"), &json!("manual")));
    app.ingest(id, &[], "body").await.expect_error(410, "E1003");
    assert_eq!(act(&app, &endpoint, "disable", None).await.json(), disabled, "twice is once");

    let wakes = app.wakes();
    let enabled = act(&app, &endpoint, "enable", None).await.json();
    assert_eq!((&enabled["status"], &enabled["disabled_reason"]), (&json!("enabled"), &Value::Null));
    assert_eq!(app.wakes(), wakes + 1);
    app.ingest(id, &[], "body").await.expect_received();
    assert_eq!(act(&app, &endpoint, "enable", None).await.json(), enabled);
}

#[tokio::test]
async fn a_circuit_is_reset() {
    let app = App::new().await;
    let endpoint = made(&app, json!({"url": "https://a.example/"})).await;
    let now = app.clock.now();
    let blocked_until = Some(now + Duration::from_secs(600));
    let open =
        Circuit { state: CircuitState::Open, opened_at: Some(now), blocked_until, version: 1, ..Circuit::default() };
    let endpoint_id = endpoint["id"].as_str().unwrap().parse().unwrap();
    let stored = StoredCircuit { endpoint_id, tenant_id: TenantId::DEFAULT, circuit: open };
    app.store.circuit_put_if_version(vec![stored]).await.unwrap();
    assert_eq!(app.get(&path_of(&endpoint)).await.json()["circuit_state"], "open");

    let wakes = app.wakes();
    let reset = act(&app, &endpoint, "reset-circuit", None).await;
    assert_eq!((reset.status.as_u16(), &reset.json()["circuit_state"]), (200, &json!("closed")));
    assert_eq!((&reset.json()["blocked_until"], app.wakes()), (&Value::Null, wakes + 1));
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let app = App::new().await;
    let endpoint = made(&app, json!({"url": "https://a.example/"})).await;
    let first = endpoint["signing_secret"].as_str().unwrap();
    let rotated = act(&app, &endpoint, "rotate-secret", None).await;
    assert_eq!(rotated.status, 200, "{}", rotated.text());
    let second = rotated.json()["signing_secret"].as_str().unwrap().to_owned();
    assert!(second.starts_with("whsec_") && second != first);
    let a_day_later = app.clock.now() + Duration::from_secs(86_400);
    let keys = json!([
        {"version": "v1", "public_key": null, "expires_at": null},
        {"version": "v1", "public_key": null, "expires_at": a_day_later},
    ]);
    assert_eq!(rotated.json()["signing_keys"], keys);
    // Shown this once.
    let shown = app.get(&path_of(&endpoint)).await;
    assert!(!shown.text().contains(&second) && shown.json()["signing_keys"] == keys);

    // A given one, and at once.
    let given = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let body = json!({"signing_secret": given, "overlap_seconds": 0});
    let rotated = act(&app, &endpoint, "rotate-secret", Some(body)).await.json();
    assert_eq!(rotated["signing_secret"], given);
    let keys = rotated["signing_keys"].as_array().unwrap();
    assert_eq!((keys.len(), &keys[0]["version"]), (1, &json!("v1a")));
    // The public key of RFC 8032, section 7.1, test 1.
    assert_eq!(keys[0]["public_key"], "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    // The next one is of the same kind.
    let rotated = act(&app, &endpoint, "rotate-secret", None).await.json();
    assert!(rotated["signing_secret"].as_str().unwrap().starts_with("whsk_"));

    let wrong = json!({"signing_secret": "very-secret", "overlap_seconds": -1, "other": 1});
    let refused = act(&app, &endpoint, "rotate-secret", Some(wrong)).await;
    assert_eq!(refused.field_paths(), ["other", "overlap_seconds", "signing_secret"]);
    assert!(!refused.text().contains("very-secret"));
}

#[tokio::test]
async fn a_test_event_goes_the_way_of_every_other() {
    let app = App::new().await;
    let secret = json!({"scheme": "github", "secrets": ["incoming"]});
    let endpoint = made(&app, json!({"url": "https://a.example/", "verification": secret})).await;
    app.handoff.set_free(1);
    let answer = act(&app, &endpoint, "test", None).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let event = answer.json();
    let id = event["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), Some(format!("/v1/events/{id}").as_str()));
    assert_eq!((&event["endpoint_id"], &event["content_type"]), (&endpoint["id"], &json!("application/json")));
    let started = app.handoff.started();
    let claimed = started.last().unwrap();
    assert_eq!(claimed.delivery.event_id.to_string(), id);
    let sent: Value = serde_json::from_slice(&claimed.event.body).unwrap();
    assert_eq!((&sent["type"], &sent["data"]["endpoint_id"]), (&json!("kapsel.test"), &endpoint["id"]));

    let payload = json!({"order": 7, "ok": null});
    let answer = act(&app, &endpoint, "test", Some(json!({"payload": payload}))).await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(app.get(&format!("/v1/events/{id}/payload")).await.json(), payload);

    assert_eq!(act(&app, &endpoint, "test", Some(json!({"body": 1}))).await.field_paths(), ["body"]);
    act(&app, &endpoint, "disable", None).await;
    act(&app, &endpoint, "test", None).await.expect_error(409, "E1011");
}

#[tokio::test]
async fn actions_on_what_is_not_there_say_so() {
    let app = App::new().await;
    for action in ["enable", "disable", "reset-circuit", "rotate-secret", "test"] {
        for id in ["ep_01h455vb4pex5vsknk084sn02q", "nonsense"] {
            let path = format!("/v1/endpoints/{id}/{action}");
            app.manage(Method::POST, &path, None).await.expect_error(404, "E1008");
        }
    }
}
