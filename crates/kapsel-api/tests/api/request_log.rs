//! The entries in the log: what they say of a request, and what they never say.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use http::{Method, Request};
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::App;
use crate::support::app::KEY;

/// While there is one listener in the process, `tracing` has the thread that comes to an entry first decide for all whether
/// anybody wants it, and on that of another test nobody listens. With two it asks both.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));

/// What was logged on this thread since it was made.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}

impl Log {
    /// Listens on this thread, on which the whole test runs.
    fn listen(filter: &str) -> (Self, DefaultGuard) {
        LazyLock::force(&ANOTHER);
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn requests(&self) -> Vec<Value> {
        let entries = self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
        entries.into_iter().filter(|entry| entry["target"] == "kapsel_api::request").collect()
    }
}

#[tokio::test]
async fn a_request_is_told_by_its_route_and_its_answer() {
    let (log, _guard) = Log::listen("info");
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let answer =
        app.manage_with(Method::GET, &format!("/v1/endpoints/{endpoint}"), &[("x-request-id", "mine-7")], None).await;
    let [entry] = log.requests().try_into().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(entry["level"], "INFO");
    assert_eq!(entry["method"], "GET");
    assert_eq!(entry["route"], "/v1/endpoints/{id}");
    assert_eq!(entry["status"], 200);
    assert_eq!(entry["request_id"].as_str(), answer.header("x-request-id"));
    assert_ne!(entry["request_id"], "mine-7");
    assert_eq!(entry["client_request_id"], "mine-7");
    assert_eq!(entry["tenant_id"], kapsel_core::TenantId::DEFAULT.to_string());
    assert!(entry["duration_ms"].is_number());
    assert_eq!(entry.get("error_code"), None);
}

#[tokio::test]
async fn a_refused_request_names_its_code_and_nothing_that_was_sent() {
    let (log, _guard) = Log::listen("debug");
    let app = App::new().await;
    let long = "x".repeat(100);
    for (path, route, code) in [
        ("/marked-path?marked-query", "unmatched", "E1008"),
        ("/v1/events/marked-path?marked-query", "/v1/events/{id}", "E1007"),
    ] {
        let request = Request::get(path)
            .header("authorization", "Bearer marked-key")
            .header("x-request-id", &long)
            .header("x-other", "marked-header")
            .body("marked-body".into())
            .unwrap();
        let answer = app.call(request).await;
        let entry = log.requests().pop().unwrap();
        assert_eq!((&entry["route"], &entry["error_code"]), (&route.into(), &code.into()), "{path}");
        assert_eq!(entry["status"], answer.status.as_u16());
        assert_eq!(entry["request_id"], answer.json()["error"]["request_id"]);
        assert_eq!((entry.get("client_request_id"), entry.get("tenant_id")), (None, None));
    }
    let request = Request::builder().method("MARKED").uri("/v1/events").body("".into()).unwrap();
    app.call(request).await;
    assert!(!log.text().to_lowercase().contains("marked"), "{}", log.text());
    assert!(!log.text().contains(KEY));
}

#[tokio::test]
async fn webhooks_and_probes_are_told_when_somebody_debugs() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (log, guard) = Log::listen("info");
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let visit = async || {
        app.call(Request::get("/health/live").body("".into()).unwrap()).await;
        app.ingest(endpoint, &[("traceparent", parent)], "marked-body").await
    };
    visit().await;
    assert_eq!(log.requests().len(), 0);
    drop(guard);

    let (log, _guard) = Log::listen("debug");
    let answer = visit().await;
    let [probe, webhook] = log.requests().try_into().unwrap();
    assert_eq!((&probe["level"], &probe["route"]), (&"DEBUG".into(), &"/health/live".into()));
    assert_eq!(webhook["route"], "/ingest/{endpoint_id}");
    assert_eq!(webhook["event_id"], answer.expect_received());
    assert_eq!(webhook["endpoint_id"], endpoint.to_string());
    assert_eq!(webhook["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(webhook["tenant_id"], kapsel_core::TenantId::DEFAULT.to_string());
    assert!(!log.text().contains("marked"), "{}", log.text());
}
