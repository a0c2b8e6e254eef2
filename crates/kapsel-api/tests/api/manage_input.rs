//! What the management API refuses, and how completely it says why.

use http::{Method, Request};
use kapsel_core::AddressPolicy;
use serde_json::{Value, json};

use crate::support::{Answer, App, KEY};

async fn create(app: &App, body: Value) -> Answer {
    app.manage(Method::POST, "/v1/endpoints", Some(body)).await
}

/// The paths complained about when this stands beside a fine URL.
async fn paths(app: &App, fields: Value) -> Vec<String> {
    let mut body = json!({"url": "https://a.example/"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    create(app, body).await.field_paths()
}

async fn post_raw(app: &App, body: &'static [u8]) -> Answer {
    let request = Request::post("/v1/endpoints")
        .header("authorization", format!("Bearer {KEY}"))
        .header("content-type", "text/plain");
    app.call(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn broken_json_is_located() {
    let app = App::new().await;
    let message =
        post_raw(&app, b"{\n  \"url\": \"https://a.example/\",\n  \"name\": }").await.expect_error(400, "E1006");
    assert!(message.contains("line 3 column 11"), "{message}");
    for body in [&b""[..], b"{", b"{} {}", b"\xff", b"nope"] {
        post_raw(&app, body).await.expect_error(400, "E1006");
    }
    for body in [&b"[]"[..], b"null", b"\"text\"", b"7"] {
        assert_eq!(post_raw(&app, body).await.field_paths(), [""]);
    }
    // The media type does not matter as long as it parses.
    assert_eq!(post_raw(&app, b"{\"url\": \"https://a.example/\"}").await.status, 201);
    assert!(app.events().await.is_empty());
}

#[tokio::test]
async fn bodies_over_a_mebibyte_are_refused() {
    let app = App::new().await;
    let answer = create(&app, json!({"name": "x".repeat(1_100_000)})).await;
    answer.expect_error(413, "E1002");
}

#[tokio::test]
async fn every_wrong_field_is_listed_at_once() {
    let app = App::new().await;
    let body = json!({
        "name": 7,
        "url": "ftp://destination.example/",
        "urll": "https://a.example/",
        "verification": {
            "scheme": "hmac", "header": "not a header", "algorithm": "md5", "prefix": " x", "secrets": ["", 5, "fine"],
            "tolerance_seconds": 5, "secret": "s",
        },
        "idempotency": {"mode": "json_pointer", "pointer": "id", "header": "x-id", "window_seconds": 0},
        "retry": {"base_seconds": 0, "factor": 0.5, "cap_seconds": "1h", "max_attempts": 1001, "jitter": 1},
        "retry_statuses": [200, 404, "x", 600],
        "timeout_seconds": 46,
        "max_in_flight": 0,
        "rate_limit": {"per_second": 0, "burst": 0, "rate": 1},
        "circuit": {
            "consecutive_failures": 0, "failure_percent": 101, "window_requests": 1, "open_seconds": "30s",
            "probes": 1.5, "enabled": false,
        },
        "disable_after_seconds": 60,
        "headers": {"Host": "a", "bad name": "a", "x-number": 1, "X-Dup": "a", "x-dup": "b", "x-break": "a\r\nb", "x-none": null},
        "signing_secret": "whsec_short",
        "max_retries": -1,
        "status": "enabled",
    });
    let answer = create(&app, body).await;
    let mut paths = answer.field_paths();
    paths.sort();
    let mut expected = vec![
        "circuit.consecutive_failures",
        "circuit.enabled",
        "circuit.failure_percent",
        "circuit.open_seconds",
        "circuit.probes",
        "circuit.window_requests",
        "disable_after_seconds",
        "headers.Host",
        "headers.bad name",
        "headers.x-break",
        "headers.x-dup",
        "headers.x-none",
        "headers.x-number",
        "idempotency.header",
        "idempotency.pointer",
        "idempotency.window_seconds",
        "max_in_flight",
        "max_retries",
        "name",
        "rate_limit.burst",
        "rate_limit.per_second",
        "rate_limit.rate",
        "retry.base_seconds",
        "retry.cap_seconds",
        "retry.factor",
        "retry.jitter",
        "retry.max_attempts",
        "retry_statuses[0]",
        "retry_statuses[2]",
        "retry_statuses[3]",
        "signing_secret",
        "status",
        "timeout_seconds",
        "url",
        "urll",
        "verification.algorithm",
        "verification.header",
        "verification.prefix",
        "verification.secret",
        "verification.secrets[0]",
        "verification.secrets[1]",
        "verification.tolerance_seconds",
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
    assert!(app.get("/v1/endpoints").await.json()["data"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn given_values_are_shown_unless_they_could_be_secret() {
    let app = App::new().await;
    let body = json!({
        "url": "https://user:secret-1@a.example/",
        "sining_secret": "secret-2",
        "signing_secret": "secret-3",
        "headers": {"authorization": "secret-4\n"},
        "verification": {"scheme": "standard-webhooks", "secrets": ["secret-5", {"secret": "secret-6"}]},
        "name": ["secret-7"],
        "timeout_seconds": 99,
        "retry": {"factor": 0.5},
    });
    let answer = create(&app, body).await;
    let text = answer.text();
    assert!(!text.contains("secret-"), "{text}");
    let fields = answer.json()["error"]["fields"].clone();
    let given: Vec<(&str, &Value)> = fields
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|field| Some((field["path"].as_str()?, field.get("given")?)))
        .collect();
    assert_eq!(given, [("retry.factor", &json!(0.5)), ("timeout_seconds", &json!(99))]);
    let broken = create(&app, json!({"url": "https//user:secret-1@a.example/"})).await.text();
    assert!(!broken.contains("secret-"), "{broken}");
    let long = create(&app, json!({"url": "https://a.example/", "name": "x".repeat(5_000)})).await;
    assert!(long.body.len() < 1_000);
}

#[tokio::test]
async fn a_single_problem_is_named_in_the_message() {
    let app = App::new().await;
    let message = create(&app, json!({})).await.expect_error(422, "E1009");
    assert_eq!(message, "url: is required");
    let message = create(&app, json!({"name": 1})).await.expect_error(422, "E1009");
    assert_eq!(message, "2 fields are not acceptable");
}

#[tokio::test]
async fn addresses_that_would_never_be_connected_to_are_refused_by_name() {
    let app = App::new().await;
    for (url, range) in [
        ("http://127.0.0.1:9000/", "loopback (127.0.0.0/8)"),
        ("http://localhost/", "loopback"),
        ("http://[::ffff:10.0.0.1]/", "private (10.0.0.0/8)"),
        ("http://2852039166/", "link-local and cloud metadata (169.254.0.0/16)"),
    ] {
        let answer = create(&app, json!({"url": url})).await;
        assert_eq!(answer.field_paths(), ["url"]);
        let field = answer.json()["error"]["fields"][0].clone();
        let problem = field["problem"].as_str().unwrap();
        assert!(problem.contains(range), "{problem}");
        assert!(problem.contains("E2008") && problem.contains("KAPSEL_ALLOW_DESTINATIONS"), "{problem}");
        assert_eq!(field["given"], url);
    }
    let policy = AddressPolicy::new(vec!["127.0.0.0/8".parse().unwrap()]);
    let app = App::with(|settings| settings.address_policy = policy).await;
    assert_eq!(create(&app, json!({"url": "http://localhost:9000/"})).await.status, 201);
}

#[tokio::test]
async fn policies_are_checked_as_a_whole() {
    let app = App::new().await;
    let cases = [
        (json!({"retry": {"base_seconds": 7200}}), vec!["retry.base_seconds"]),
        (json!({"retry": {"schedule": []}}), vec!["retry.schedule"]),
        (json!({"retry": {"schedule": [5, 10]}}), vec!["retry.schedule"]),
        (json!({"retry": {"schedule": [0, -1, 9_999_999]}}), vec!["retry.schedule[1]", "retry.schedule[2]"]),
        (json!({"retry": {"schedule": "0,5"}}), vec!["retry.schedule"]),
        (json!({"retry": {"schedule": [0], "factor": 2}}), vec!["retry"]),
        (json!({"retry": {"preset": "standard-webhooks", "max_attempts": 2}}), vec!["retry"]),
        (json!({"retry": {"preset": "other"}}), vec!["retry.preset"]),
        (json!({"retry": 5}), vec!["retry"]),
        (json!({"retry": {}, "max_retries": 3}), vec!["max_retries"]),
        (json!({"max_retries": 1_000}), vec!["max_retries"]),
        (json!({"idempotency": {"mode": "header"}}), vec!["idempotency.header"]),
        (json!({"idempotency": {"mode": "header", "header": "a b"}}), vec!["idempotency.header"]),
        (json!({"idempotency": {"mode": "json_pointer"}}), vec!["idempotency.pointer"]),
        (json!({"idempotency": {"mode": "other"}}), vec!["idempotency.mode"]),
        (json!({"idempotency": {"pointer": "/id"}}), vec!["idempotency.pointer"]),
        (json!({"idempotency": {"window_seconds": 604_801}}), vec!["idempotency.window_seconds"]),
        (json!({"name": "a\nb"}), vec!["name"]),
        (json!({"url": "https://a.example/#x"}), vec!["url"]),
        (json!({"url": ""}), vec!["url"]),
        (json!({"url": 5}), vec!["url"]),
        (json!({"timeout_seconds": 1.5}), vec!["timeout_seconds"]),
        (json!({"circuit": {"open_seconds": 60, "open_seconds_max": 30}}), vec!["circuit.open_seconds_max"]),
        (json!({"circuit": {"open_seconds": 86_401}}), vec!["circuit.open_seconds"]),
        (json!({"circuit": true}), vec!["circuit"]),
        (json!({"rate_limit": {}}), vec!["rate_limit.per_second"]),
        (json!({"rate_limit": 5}), vec!["rate_limit"]),
        (json!({"headers": ["a"]}), vec!["headers"]),
        (json!({"headers": {"webhook-id": "x"}}), vec!["headers.webhook-id"]),
        (json!({"headers": {"Content-Length": "1"}}), vec!["headers.Content-Length"]),
        (json!({"signing_secret": ""}), vec!["signing_secret"]),
        (json!({"signing_secret": 5}), vec!["signing_secret"]),
    ];
    for (fields, expected) in cases {
        assert_eq!(paths(&app, fields.clone()).await, expected, "{fields}");
    }
    // `null` is as good as left out.
    let body = json!({"url": "https://a.example/", "retry": null, "name": null, "verification": null});
    assert_eq!(create(&app, body).await.status, 201);
}

#[tokio::test]
async fn verification_never_ends_up_open_by_mistake() {
    let app = App::new().await;
    let eleven: Vec<String> = (0..11).map(|index| format!("secret {index}")).collect();
    let cases = [
        (json!({"verification": {}}), vec!["verification.scheme"]),
        (json!({"verification": {"scheme": "rot13", "secrets": ["s"]}}), vec!["verification.scheme"]),
        (json!({"verification": {"scheme": null, "secrets": ["s"]}}), vec!["verification.scheme"]),
        (json!({"verification": "github"}), vec!["verification"]),
        (json!({"verification": {"scheme": "github"}}), vec!["verification.secrets"]),
        (json!({"verification": {"scheme": "github", "secrets": []}}), vec!["verification.secrets"]),
        (json!({"verification": {"scheme": "github", "secrets": "s"}}), vec!["verification.secrets"]),
        (json!({"verification": {"scheme": "github", "secrets": eleven}}), vec!["verification.secrets"]),
        (json!({"verification": {"scheme": "none", "secrets": ["s"]}}), vec!["verification.secrets"]),
        (json!({"verification": {"scheme": "none", "header": "x"}}), vec!["verification.header"]),
        (json!({"verification": {"scheme": "hmac", "secrets": ["s"]}}), vec!["verification.header"]),
        (
            json!({"verification": {"scheme": "github", "secrets": ["s"], "tolerance_seconds": 5}}),
            vec!["verification.tolerance_seconds"],
        ),
        (
            json!({"verification": {"scheme": "stripe", "secrets": ["s"], "tolerance_seconds": 0}}),
            vec!["verification.tolerance_seconds"],
        ),
        (
            json!({"verification": {"scheme": "standard-webhooks", "secrets": ["s", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "t"]}}),
            vec!["verification.secrets[0]", "verification.secrets[2]"],
        ),
        (json!({"signature_header": "x-sig"}), vec!["signing_secret"]),
        (json!({"signature_header": "x sig", "signing_secret": "s"}), vec!["signature_header"]),
        (
            json!({"signature_header": "x-sig", "signing_secret": "s", "verification": {"scheme": "none"}}),
            vec!["signature_header"],
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(paths(&app, fields.clone()).await, expected, "{fields}");
    }
}

#[tokio::test]
async fn query_parameters_are_checked_too() {
    let app = App::new().await;
    let cases = [
        ("/v1/endpoints?limit=0", vec!["limit"]),
        ("/v1/endpoints?limit=251", vec!["limit"]),
        ("/v1/endpoints?limit=ten&other=1", vec!["other", "limit"]),
        ("/v1/endpoints?limit=1&limit=2", vec!["limit"]),
        ("/v1/endpoints?page=0", vec!["page"]),
        ("/v1/endpoints?page=201", vec!["page"]),
        (
            "/v1/events?status=done&since=yesterday&until=2026-01-01&endpoint_id=7",
            vec!["status", "endpoint_id", "since", "until"],
        ),
    ];
    for (path, expected) in cases {
        assert_eq!(app.get(path).await.field_paths(), expected, "{path}");
    }
    for list in ["endpoints", "events"] {
        for cursor in ["", "x", "AAAA", "%00"] {
            app.get(&format!("/v1/{list}?cursor={cursor}")).await.expect_error(400, "E1006");
        }
    }
    // A cursor of one list is none of the other.
    for _ in 0..2 {
        app.endpoint().await;
    }
    let next = app.get("/v1/endpoints?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    app.get(&format!("/v1/events?cursor={next}")).await.expect_error(400, "E1006");
    assert_eq!(app.get(&format!("/v1/endpoints?cursor={next}&page=2")).await.field_paths(), ["page"]);
}

/// JSON knows one kind of numbers, and some writers make all of theirs with a fraction.
#[tokio::test]
async fn a_whole_number_may_be_written_with_a_fraction() {
    let app = App::new().await;
    let made = |timeout: &str| {
        let body = format!(r#"{{"url": "https://a.example/", "timeout_seconds": {timeout}}}"#);
        let request = http::Request::post("/v1/endpoints").header("authorization", format!("Bearer {KEY}"));
        app.call(request.body(body.into()).unwrap())
    };
    for whole in ["30.0", "3e1", "30"] {
        let answer = made(whole).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["timeout_seconds"]), (201, &json!(30)), "{whole}");
    }
    for other in ["30.5", "1e300", "-1.0", "46.0", "0.0"] {
        assert_eq!(made(other).await.field_paths(), ["timeout_seconds"], "{other}");
    }
}
