//! Creating, reading, changing and deleting endpoints.

use std::time::Duration;

use http::Method;
use kapsel_core::endpoint::{DisabledReason, EndpointStatus};
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{Circuit, CircuitState, Clock as _, TenantId};
use kapsel_store::{AdminStore as _, CircuitStore as _, StoredCircuit};
use serde_json::{Value, json};
use test_harness::builders::SIGNING_SECRET;

use crate::support::{Answer, App};

async fn create(app: &App, body: Value) -> Answer {
    app.manage(Method::POST, "/v1/endpoints", Some(body)).await
}

async fn put(app: &App, id: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    app.manage_with(Method::PUT, &format!("/v1/endpoints/{id}"), headers, Some(body)).await
}

/// Creates an endpoint and returns its id.
async fn created(app: &App, body: Value) -> String {
    let answer = create(app, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_endpoint_is_shown_whole_and_takes_webhooks_in_at_once() {
    let app = App::new().await;
    let answer = create(&app, json!({"url": "https://destination.example/hook"})).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let shown = answer.json();
    let id = shown["id"].as_str().unwrap();
    let secret = shown["signing_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() > 40);
    assert_eq!(answer.header("etag"), Some("\"1\""));
    assert_eq!(answer.header("location"), Some(format!("/v1/endpoints/{id}").as_str()));
    let mut expected = json!({
        "id": id,
        "name": "",
        "url": "https://destination.example/hook",
        "ingest_url": format!("http://kapsel.example:8080/ingest/{id}"),
        "status": "enabled",
        "disabled_reason": null,
        "verification": {"scheme": "none", "secret_count": 0},
        "idempotency": {"mode": "auto", "window_seconds": 86_400},
        "retry": {"base_seconds": 1, "factor": 2.0, "cap_seconds": 3_600, "max_attempts": 35},
        "retry_statuses": [],
        "timeout_seconds": 30,
        "max_in_flight": 64,
        "rate_limit": null,
        "ingest_rate_limit": null,
        "circuit": {
            "consecutive_failures": 5, "failure_percent": 50, "window_requests": 10, "open_seconds": 30,
            "open_seconds_max": 600, "probes": 2, "successes": 3,
        },
        "disable_after_seconds": 432_000,
        "circuit_state": "closed",
        "blocked_until": null,
        "headers": {},
        "signing_keys": [{"version": "v1", "public_key": null, "expires_at": null}],
        "created_at": "2026-01-01T00:00:00.000Z",
        "updated_at": "2026-01-01T00:00:00.000Z",
        "version": 1,
        "signing_secret": secret,
    });
    assert_eq!(shown, expected);

    expected.as_object_mut().unwrap().remove("signing_secret");
    let again = app.get(&format!("/v1/endpoints/{id}")).await;
    assert_eq!((again.status.as_u16(), again.json()), (200, expected.clone()));
    assert_eq!(again.header("etag"), Some("\"1\""));
    assert_eq!(app.get("/v1/endpoints").await.json(), json!({"data": [expected], "next_cursor": null}));
    app.ingest(id.parse().unwrap(), &[], "body").await.expect_received();
}

#[tokio::test]
async fn everything_that_is_set_is_shown_except_secrets() {
    let app = App::new().await;
    let body = json!({
        "name": "orders",
        "url": "https://destination.example/hook?tenant=7",
        "verification": {
            "scheme": "hmac", "secrets": ["incoming-1", "incoming-2"], "algorithm": "sha512", "header": "X-Sig",
            "encoding": "base64", "prefix": "v1=",
        },
        "idempotency": {"mode": "header", "header": "X-Request-Id", "window_seconds": 60},
        "retry": {"schedule": [0, 5, 60]},
        "retry_statuses": [409, 404, 409],
        "timeout_seconds": 45,
        "max_in_flight": 1_000,
        "rate_limit": {"per_second": 2.5},
        "circuit": {"open_seconds": 900, "probes": 1},
        "disable_after_seconds": null,
        "headers": {"Authorization": "Bearer outgoing-1", "X-Env": "prod"},
        "signing_secret": SIGNING_SECRET,
    });
    let answer = create(&app, body).await;
    let shown = answer.json();
    let id = shown["id"].as_str().unwrap();
    assert_eq!(shown["signing_secret"], SIGNING_SECRET);
    let expected = [
        ("name", json!("orders")),
        ("url", json!("https://destination.example/hook?tenant=7")),
        (
            "verification",
            json!({
                "scheme": "hmac", "algorithm": "sha512", "header": "x-sig", "encoding": "base64", "prefix": "v1=",
                "secret_count": 2,
            }),
        ),
        ("idempotency", json!({"mode": "header", "header": "x-request-id", "window_seconds": 60})),
        ("retry", json!({"schedule": [0, 5, 60]})),
        ("retry_statuses", json!([404, 409])),
        ("timeout_seconds", json!(45)),
        ("max_in_flight", json!(1_000)),
        ("rate_limit", json!({"per_second": 2.5, "burst": 3})),
        (
            "circuit",
            json!({
                "consecutive_failures": 5, "failure_percent": 50, "window_requests": 10, "open_seconds": 900,
                "open_seconds_max": 900, "probes": 1, "successes": 3,
            }),
        ),
        ("disable_after_seconds", json!(null)),
        ("headers", json!({"authorization": null, "x-env": null})),
    ];
    for (field, value) in expected {
        assert_eq!(shown[field], value, "{field}");
    }
    let body = json!({"url": "https://b.example/", "status": "disabled", "signing_secret": SIGNING_SECRET});
    let answers = [
        answer,
        app.get(&format!("/v1/endpoints/{id}")).await,
        app.get("/v1/endpoints").await,
        put(&app, id, &[], body).await,
    ];
    for (index, answer) in answers.iter().enumerate() {
        let text = answer.text();
        assert!(!text.contains("incoming-") && !text.contains("outgoing-"), "{text}");
        assert_eq!(text.contains("whsec_"), index == 0, "{text}");
    }
}

#[tokio::test]
async fn ingest_urls_begin_with_the_configured_url_or_else_the_host_of_the_request() {
    let app = App::with(|settings| settings.public_url = Some("https://hooks.example/kapsel/".to_owned())).await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let shown = app.get(&format!("/v1/endpoints/{id}")).await.json();
    assert_eq!(shown["ingest_url"], format!("https://hooks.example/kapsel/ingest/{id}"));

    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let mut request = http::Request::get(format!("/v1/endpoints/{id}"));
    request = request.header("authorization", format!("Bearer {}", crate::support::KEY));
    let answer = app.call(request.body("".into()).unwrap()).await;
    assert_eq!(answer.json()["ingest_url"], format!("/ingest/{id}"));
}

#[tokio::test]
async fn short_forms_mean_what_their_long_forms_mean() {
    let app = App::new().await;
    let body = json!({
        "url": "https://a.example/", "max_retries": 4, "signature_header": "X-Hub-Signature-256",
        "signing_secret": "incoming secret",
    });
    let shown = create(&app, body).await.json();
    assert_eq!(shown["retry"]["max_attempts"], 5);
    let verification = json!({
        "scheme": "hmac", "algorithm": "sha256", "header": "x-hub-signature-256", "encoding": "hex",
        "prefix": "sha256=", "secret_count": 1,
    });
    assert_eq!(shown["verification"], verification);
    // The outgoing key is another one.
    assert!(shown["signing_secret"].as_str().unwrap().starts_with("whsec_"));
    let id = shown["id"].as_str().unwrap().parse().unwrap();
    app.ingest(id, &[], "body").await.expect_error(401, "E1001");
    let stored = app.store.endpoint_get(TenantId::DEFAULT, id).await.unwrap();
    assert_eq!(stored.secrets.verification.len(), 1);

    let body =
        json!({"url": "https://a.example/", "signature_header": "X-Sig", "signing_secret": "s", "max_retries": 0});
    let shown = create(&app, body).await.json();
    assert_eq!((&shown["verification"]["prefix"], &shown["retry"]["max_attempts"]), (&json!(""), &json!(1)));

    let body = json!({"url": "https://a.example/", "signing_secret": SIGNING_SECRET});
    let shown = create(&app, body).await.json();
    assert_eq!((&shown["verification"]["scheme"], &shown["signing_secret"]), (&json!("none"), &json!(SIGNING_SECRET)));

    let body = json!({"url": "https://a.example/", "retry": {"preset": "standard-webhooks"}});
    let shown = create(&app, body).await.json();
    assert_eq!(shown["retry"]["schedule"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn a_change_resets_what_it_leaves_out_but_keeps_secrets() {
    let app = App::new().await;
    let id = created(
        &app,
        json!({
            "name": "orders", "url": "https://a.example/", "timeout_seconds": 5, "max_retries": 1,
            "verification": {"scheme": "github", "secrets": ["s1", "s2"]},
            "headers": {"Authorization": "Bearer t"}, "signing_secret": SIGNING_SECRET,
        }),
    )
    .await;
    app.clock.advance(std::time::Duration::from_secs(1));
    let answer = put(&app, &id, &[], json!({"url": "https://b.example/"})).await;
    assert_eq!((answer.status.as_u16(), answer.header("etag")), (200, Some("\"2\"")), "{}", answer.text());
    let shown = answer.json();
    let expected = [
        ("name", json!("")),
        ("url", json!("https://b.example/")),
        ("timeout_seconds", json!(30)),
        ("verification", json!({"scheme": "github", "secret_count": 2})),
        ("headers", json!({"authorization": null})),
        ("created_at", json!("2026-01-01T00:00:00.000Z")),
        ("updated_at", json!("2026-01-01T00:00:01.000Z")),
        ("version", json!(2)),
    ];
    for (field, value) in expected {
        assert_eq!(shown[field], value, "{field}");
    }
    let kept = || async {
        let stored = app.store.endpoint_get(TenantId::DEFAULT, id.parse().unwrap()).await.unwrap();
        let secrets = String::from_utf8(stored.secrets.to_stored().unwrap()).unwrap();
        (stored.config.verification, secrets)
    };
    let (_, secrets) = kept().await;
    assert!(secrets.contains("s1") && secrets.contains("Bearer t") && secrets.contains(SIGNING_SECRET), "{secrets}");

    // What was read can be sent back: `null` keeps a header's value, and a header left out is gone.
    let body = json!({"url": "https://b.example/", "headers": {"authorization": null, "x-new": "n"}});
    put(&app, &id, &[], body).await;
    assert!(kept().await.1.contains("Bearer t"));
    put(&app, &id, &[], json!({"url": "https://b.example/", "headers": {"x-new": "n2"}})).await;
    assert!(!kept().await.1.contains("Bearer t"));

    // The same scheme anew without secrets keeps them; other secrets replace them; `none` drops them.
    put(&app, &id, &[], json!({"url": "https://b.example/", "verification": {"scheme": "shopify"}})).await;
    let (scheme, secrets) = kept().await;
    assert!(scheme == VerificationScheme::Shopify && secrets.contains("s1"));
    let body = json!({"url": "https://b.example/", "verification": {"scheme": "shopify", "secrets": ["s3"]}});
    put(&app, &id, &[], body).await;
    let (_, secrets) = kept().await;
    assert!(secrets.contains("s3") && !secrets.contains("s1"));
    put(&app, &id, &[], json!({"url": "https://b.example/", "verification": {"scheme": "none"}})).await;
    assert!(!kept().await.1.contains("s3"));
}

#[tokio::test]
async fn disabling_and_enabling_takes_effect_at_once() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let endpoint = id.parse().unwrap();
    let shown = put(&app, &id, &[], json!({"url": "https://a.example/", "status": "disabled"})).await.json();
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("manual")));
    app.ingest(endpoint, &[], "body").await.expect_error(410, "E1003");

    // A change that does not speak of it leaves it as it is.
    let shown = put(&app, &id, &[], json!({"url": "https://b.example/"})).await.json();
    assert_eq!((&shown["status"], app.wakes()), (&json!("disabled"), 0));
    let shown = put(&app, &id, &[], json!({"url": "https://b.example/", "status": "enabled"})).await.json();
    assert_eq!((&shown["status"], &shown["disabled_reason"], app.wakes()), (&json!("enabled"), &json!(null), 1));
    app.ingest(endpoint, &[], "body").await.expect_received();
    put(&app, &id, &[], json!({"url": "https://b.example/", "status": "enabled"})).await;
    assert_eq!(app.wakes(), 1);
}

#[tokio::test]
async fn an_endpoint_disabled_by_410_keeps_its_reason_until_it_is_enabled() {
    let app = App::new().await;
    let gone = EndpointStatus::Disabled(DisabledReason::Gone);
    let id = app.endpoint_with(|builder| builder.with(|endpoint| endpoint.status = gone)).await.to_string();
    let shown = put(&app, &id, &[], json!({"url": "https://a.example/", "status": "disabled"})).await.json();
    assert_eq!(shown["disabled_reason"], "gone");
    let shown = put(&app, &id, &[], json!({"url": "https://a.example/", "status": "enabled"})).await.json();
    assert_eq!(shown["status"], "enabled");
}

#[tokio::test]
async fn if_match_guards_against_lost_updates() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let body = || json!({"url": "https://b.example/"});
    assert_eq!(put(&app, &id, &[("if-match", "\"1\"")], body()).await.status, 200);
    put(&app, &id, &[("if-match", "\"1\"")], body()).await.expect_error(412, "E1011");
    put(&app, &id, &[("if-match", "1")], body()).await.expect_error(400, "E1006");
    // What changes nothing makes no version.
    assert_eq!(put(&app, &id, &[("if-match", "*")], body()).await.json()["version"], 2);
    let other = json!({"url": "https://c.example/"});
    assert_eq!(put(&app, &id, &[("if-match", "*")], other).await.json()["version"], 3);
    let path = format!("/v1/endpoints/{id}");
    let delete = |tag| app.manage_with(Method::DELETE, &path, tag, None);
    delete(&[("if-match", "\"2\"")]).await.expect_error(412, "E1011");
    assert_eq!(delete(&[("if-match", "\"3\"")]).await.status, 204);
}

#[tokio::test]
async fn a_change_that_loses_a_race_is_made_from_the_newer_version() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    app.store.lose_races(2);
    let shown = put(&app, &id, &[], json!({"url": "https://b.example/", "name": "n"})).await.json();
    assert_eq!((&shown["version"], &shown["name"]), (&json!(4), &json!("n")));
    // With a version named, losing is the answer.
    app.store.lose_races(1);
    put(&app, &id, &[("if-match", "\"4\"")], json!({"url": "https://c.example/"})).await.expect_error(412, "E1011");
    app.store.lose_races(1_000);
    put(&app, &id, &[], json!({"url": "https://c.example/"})).await.expect_error(409, "E1011");
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone_at_once_and_its_events_stay() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let event = app.ingest(id.parse().unwrap(), &[], "body").await.expect_received();
    let answer = app.manage(Method::DELETE, &format!("/v1/endpoints/{id}"), None).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    app.ingest(id.parse().unwrap(), &[], "body").await.expect_error(404, "E1003");
    app.get(&format!("/v1/endpoints/{id}")).await.expect_error(404, "E1008");
    put(&app, &id, &[], json!({"url": "https://a.example/"})).await.expect_error(404, "E1008");
    app.manage(Method::DELETE, &format!("/v1/endpoints/{id}"), None).await.expect_error(404, "E1008");
    let shown = app.get(&format!("/v1/events/{event}")).await.json();
    assert_eq!((&shown["status"], &shown["reason"]), (&json!("discarded"), &json!("endpoint_deleted")));
}

#[tokio::test]
async fn endpoint_pages_show_each_endpoint_once() {
    let app = App::new().await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(created(&app, json!({"url": "https://a.example/"})).await);
    }
    for limit in [1, 2, 3, 6, 7, 8] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app.get(&format!("/v1/endpoints?limit={limit}{cursor}")).await.json();
            let data = page["data"].as_array().unwrap();
            assert!(!data.is_empty() && data.len() <= limit);
            seen.extend(data.iter().map(|endpoint| endpoint["id"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, expected, "limit {limit}");
    }
    let page = app.get("/v1/endpoints?limit=3&page=3").await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!((&page["data"][0]["id"], &page["next_cursor"]), (&json!(expected[6]), &json!(null)));
    let page = app.get("/v1/endpoints?limit=3&page=9").await.json();
    assert_eq!(page, json!({"data": [], "next_cursor": null}));
}

#[tokio::test]
async fn a_store_that_is_away_is_told_from_a_wrong_request() {
    let app = App::new().await;
    app.store.set_away(true);
    let answer = create(&app, json!({"url": "https://a.example/"})).await;
    answer.expect_error(503, "E3001");
    assert!(!answer.text().contains("secret-internal-detail"));
}

/// An endpoint's circuit as its failures have left it.
async fn open_circuit(app: &App, id: &str) -> Circuit {
    let now = app.clock.now();
    let circuit = Circuit {
        state: CircuitState::Open,
        blocked_until: Some(now + Duration::from_secs(30)),
        opened_at: Some(now),
        opened_times: 1,
        failing_since: Some(now),
        changed_at: now,
        version: 1,
        ..Circuit::default()
    };
    let stored = StoredCircuit { endpoint_id: id.parse().unwrap(), tenant_id: TenantId::DEFAULT, circuit };
    assert_eq!(app.store.circuit_put_if_version(vec![stored]).await.unwrap(), [true]);
    circuit
}

#[tokio::test]
async fn the_state_of_the_circuit_is_shown_and_goes_with_time() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    open_circuit(&app, &id).await;
    for (after, state, blocked_until) in
        [(0, "open", json!("2026-01-01T00:00:30.000Z")), (30, "half_open", Value::Null)]
    {
        app.clock.advance(Duration::from_secs(after));
        for shown in [
            app.get(&format!("/v1/endpoints/{id}")).await.json(),
            app.get("/v1/endpoints").await.json()["data"][0].clone(),
        ] {
            assert_eq!((&shown["circuit_state"], &shown["blocked_until"]), (&json!(state), &blocked_until));
        }
    }
}

#[tokio::test]
async fn enabling_an_endpoint_forgets_its_failures() {
    let app = App::new().await;
    let id = created(&app, json!({"url": "https://a.example/"})).await;
    let circuit = open_circuit(&app, &id).await;
    let stored = async || app.store.circuit_read(vec![id.parse().unwrap()]).await.unwrap()[0].circuit;
    put(&app, &id, &[], json!({"url": "https://b.example/"})).await;
    assert_eq!(stored().await, circuit, "a change of settings leaves it as it is");
    let answer = put(&app, &id, &[], json!({"url": "https://b.example/", "status": "disabled"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["circuit_state"]), (200, &json!("open")));
    let answer = put(&app, &id, &[], json!({"url": "https://b.example/", "status": "enabled"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["circuit_state"]), (200, &json!("closed")));
    assert_eq!(stored().await, circuit.reset(app.clock.now()));
}
