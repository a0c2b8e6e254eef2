//! One event is one trace, whatever happens in between.

use std::collections::BTreeSet;
use std::fs::File;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use test_harness::destination::{Behaviour, Destination, Step};

use super::collector::{Collector, attribute, hex_of, only};
use crate::program::Program;

const STAGES: [&str; 5] = ["attempt", "commit", "ingest", "leaf", "settle"];

/// Traces go to `collector`, and this share of those that begin here is recorded.
fn settings<'a>(collector: &'a str, ratio: &'a str) -> [(&'static str, &'a str); 3] {
    [("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("KAPSEL_OTLP_ENDPOINT", collector), ("KAPSEL_TRACE_RATIO", ratio)]
}

fn is_whole(spans: &[Span]) -> bool {
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    STAGES.iter().all(|stage| names.contains(stage))
}

/// That the five spans are one trace, each under the right one. Returns its id.
fn assert_one_trace(spans: &[Span]) -> String {
    let traces: BTreeSet<_> = spans.iter().map(|span| hex_of(&span.trace_id)).collect();
    assert_eq!(traces.len(), 1, "{spans:#?}");
    let ids: BTreeSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
    let [attempt, commit, ingest, leaf, settle] = STAGES.map(|stage| only(spans, stage));
    assert_eq!(commit.parent_span_id, ingest.span_id);
    assert_eq!(attempt.parent_span_id, ingest.span_id);
    assert_eq!(settle.parent_span_id, attempt.span_id);
    assert_eq!(leaf.parent_span_id, settle.span_id);
    for span in spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:#?}");
    }
    let events: BTreeSet<_> = spans.iter().map(|span| attribute(span, "kapsel.event_id").unwrap()).collect();
    assert_eq!(events.len(), 1);
    traces.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_one_trace_from_its_request_to_its_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let settings = [
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_SERVICE_NAME", "hooks-of-the-test"),
        ("KAPSEL_TRACE_RATIO", "1"),
    ];
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let created = program.create_endpoint(json!({"url": destination.url()})).await;
    let answer = program.post(created["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200);
    let spans = collector.wait_for("all five spans", is_whole).await;

    let trace = assert_one_trace(&spans);
    let ingest = only(&spans, "ingest");
    assert!(ingest.parent_span_id.is_empty(), "{ingest:#?}");
    assert_eq!(attribute(ingest, "kapsel.request_id").as_deref(), answer.headers["x-request-id"].to_str().ok());
    assert_eq!(attribute(ingest, "kapsel.event_id").as_deref(), answer.json()["event_id"].as_str());
    let attempt = only(&spans, "attempt");
    assert_eq!(attribute(attempt, "http.response.status_code").as_deref(), Some("200"));
    // The destination goes on below the attempt.
    let expected = format!("00-{trace}-{}-01", hex_of(&attempt.span_id));
    assert_eq!(destination.wait_for(1).await[0].header("traceparent"), Some(expected.as_str()));
    assert!(collector.taken().services.iter().all(|name| name == "hooks-of-the-test"));
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let settings = settings(&endpoint, "1");
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let destination = Destination::start(Behaviour::Steps(vec![Step::Request, Step::Hold, Step::send(answer)])).await;
    let program = Program::start_with(folder.path(), &settings).await;
    let created = program.create_endpoint(json!({"url": destination.url()})).await;
    program.post(created["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200);
    destination.wait_for(1).await;
    let has_begun = |spans: &[Span]| spans.iter().any(|span| span.name == "ingest");
    collector.wait_for("the ingest span", has_begun).await;
    program.kill().await;

    let program = Program::start_with(folder.path(), &settings).await;
    destination.wait_for(2).await;
    destination.release();
    let spans = collector.wait_for("all five spans", is_whole).await;
    let trace = assert_one_trace(&spans);
    for received in destination.received() {
        let sent = received.header("traceparent").unwrap().to_owned();
        assert!(sent.starts_with(&format!("00-{trace}-")), "{sent}");
    }
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_decides_about_its_own_trace() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start().await;
    let endpoint = collector.endpoint();
    let settings = settings(&endpoint, "0");
    let program = Program::start_with(folder.path(), &settings).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let created = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = created["ingest_url"].as_str().unwrap();
    let unsampled = "00-11111111111111111111111111111111-00f067aa0ba902b7-00";
    let sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for headers in [vec![], vec![("traceparent", unsampled)], vec![("traceparent", sampled)]] {
        let event = program.post(url, &headers, "body").await.expect(200).json();
        program.wait_for_status(event["event_id"].as_str().unwrap(), "delivered").await;
    }
    // What came before it would have been sent before it.
    let spans = collector.wait_for("the sampled trace", is_whole).await;
    assert_eq!(assert_one_trace(&spans), "4bf92f3577b34da6a3ce929d0e0e4736");
    let ingest = only(&spans, "ingest");
    assert_eq!(hex_of(&ingest.parent_span_id), "00f067aa0ba902b7");
    let flags: Vec<_> = destination
        .wait_for(3)
        .await
        .iter()
        .map(|received| received.header("traceparent").unwrap().rsplit('-').next().unwrap().to_owned())
        .collect();
    assert_eq!(flags, ["00", "00", "01"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nobody_up_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    // Nobody listens there.
    let settings = settings("http://127.0.0.1:9", "1");
    let data = folder.path().join("data");
    let program = Program::start_logging(&data, &settings, File::create(&log).unwrap()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let created = program.create_endpoint(json!({"url": destination.url()})).await;
    let url = created["ingest_url"].as_str().unwrap();
    // More than one batch of spans.
    for _ in 0..300 {
        program.post(url, &[], "body").await.expect(200);
    }
    program.wait_until_nothing_is_undelivered().await;
    assert!(program.terminate().await.success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("spans of traces were not taken by the collector").count(), 1, "{log}");
}
