//! What the program knows and never tells: not in its log, not in its metrics, not in its traces.

use std::fs::File;

use http::Method;
use serde_json::json;
use test_harness::destination::{Answer, Behaviour, Destination};

use super::collector::{Collector, hex_of};
use super::page::Page;
use crate::program::{OPERATOR_KEY, Program};

const VERIFICATION_SECRET: &str = "marked-verification-secret";
const HEADER: &str = "marked-custom-header-value";
const SENT_HEADER: &str = "marked-sent-header-value";
const PAYLOAD: &str = "marked-payload-bytes";
const ANSWER: &str = "marked-answer-of-the-destination";
const QUERY: &str = "marked-query-of-the-destination";
const KEY: &str = "marked-idempotency-key";
const COLLECTOR_KEY: &str = "marked-key-of-the-collector";

#[tokio::test(flavor = "multi_thread")]
async fn marked_secrets_never_show_up() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let headers = format!("x-collector-key={COLLECTOR_KEY}");
    let settings = [
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        ("KAPSEL_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", headers.as_str()),
        ("KAPSEL_TRACE_RATIO", "1"),
        ("RUST_LOG", "debug,kapsel=trace,kapsel_api=trace,kapsel_delivery=trace,kapsel_store_sqlite=trace"),
    ];
    let data = folder.path().join("data");
    let program = Program::start_logging(&data, &settings, File::create(&log).unwrap()).await;
    let failing = Answer::new(500).body(ANSWER).header("x-answer", ANSWER);
    let destination = Destination::start(Behaviour::Script(vec![failing])).await;
    let url = format!("{}?token={QUERY}", destination.url());
    let common = json!({"url": url, "headers": {"X-Api-Key": HEADER}, "retry": {"base_seconds": 0.01}});
    let plain = program.create_endpoint(common.clone()).await;
    let mut body = common;
    body["verification"] = json!({"scheme": "github", "secrets": [VERIFICATION_SECRET]});
    let signed = program.create_endpoint(body).await;
    let sent = [("x-sent", SENT_HEADER), ("idempotency-key", KEY), ("x-hub-signature-256", "sha256=00")];
    let event = program.post(plain["ingest_url"].as_str().unwrap(), &sent, PAYLOAD).await.expect(200).json();
    let event_id = event["event_id"].as_str().unwrap();
    program.wait_for_status(event_id, "delivered").await;
    program.post(signed["ingest_url"].as_str().unwrap(), &sent, PAYLOAD).await.expect(401);
    program.post(plain["ingest_url"].as_str().unwrap(), &sent, format!("{PAYLOAD}2")).await.expect(409);
    program.manage(Method::GET, &format!("/v1/nothing/{KEY}?{KEY}"), None).await.expect(404);
    let bad = json!({"url": "http://127.0.0.1/", "headers": {"host": HEADER}, "signing_secret": PAYLOAD});
    program.manage(Method::POST, "/v1/endpoints", Some(bad)).await.expect(422);
    program.manage(Method::POST, &format!("/v1/events/{event_id}/retry"), None).await.expect(202);
    program.wait_for_status(event_id, "delivered").await;
    let has_leaves = |spans: &[_]| {
        spans.iter().filter(|span: &&opentelemetry_proto::tonic::trace::v1::Span| span.name == "leaf").count() >= 2
    };
    collector.wait_for("the leaves", has_leaves).await;

    let metrics = Page::of(&program).await.text;
    let greeting = program.greeting.clone();
    assert!(program.terminate().await.success());
    let log = std::fs::read_to_string(&log).unwrap();
    let spans = collector.taken().bytes;
    let told = [("log", log.as_bytes()), ("metrics", metrics.as_bytes()), ("greeting", greeting.as_bytes())];
    let signing_secret = plain["signing_secret"].as_str().unwrap();
    for secret in [
        signing_secret,
        signing_secret.strip_prefix("whsec_").unwrap(),
        signed["signing_secret"].as_str().unwrap(),
        VERIFICATION_SECRET,
        HEADER,
        SENT_HEADER,
        PAYLOAD,
        &hex_of(PAYLOAD.as_bytes()),
        ANSWER,
        QUERY,
        KEY,
        OPERATOR_KEY,
    ] {
        for (place, text) in told.iter().chain([&("spans", spans.as_slice())]) {
            let shows = text.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!shows, "{secret} is in the {place}");
        }
    }
    // The collector has to get its key, and nobody else.
    let has = |text: &[u8]| text.windows(COLLECTOR_KEY.len()).any(|window| window == COLLECTOR_KEY.as_bytes());
    assert!(has(&spans));
    assert!(told.iter().all(|(_, text)| !has(text)));
    // And it was told something at all.
    assert!(log.contains(event_id) && metrics.contains(plain["id"].as_str().unwrap()));
}
