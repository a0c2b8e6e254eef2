//! Health and metrics.

use std::time::Duration;

use http::Request;
use kapsel_store::SpoolState;
use serde_json::json;

use crate::support::store::Fault;
use crate::support::{Answer, App};

/// Without any key.
async fn get(app: &App, path: &str) -> Answer {
    app.call(Request::get(path).body("".into()).unwrap()).await
}

fn shown(answer: &Answer) -> (u16, serde_json::Value) {
    assert!(answer.header("x-request-id").unwrap().starts_with("req_"));
    assert_eq!(answer.header("retry-after").is_some(), answer.status == 503);
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_healthy_service_says_so_on_every_route() {
    let app = App::new().await;
    let ready = json!({"status": "ready", "checks": {"store": "ok", "accepting": "ok"}});
    for path in ["/health", "/health/ready", "/ready"] {
        assert_eq!(shown(&get(&app, path).await), (200, ready.clone()), "{path}");
    }
    for path in ["/health/live", "/health/startup"] {
        assert_eq!(shown(&get(&app, path).await), (200, json!({"status": "ok"})), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_makes_it_unready_but_not_dead() {
    let app = App::new().await;
    for (fault, word) in [(Fault::Before, "unavailable"), (Fault::Hang, "timeout")] {
        app.store.set_ping(Some(fault));
        tokio::time::advance(Duration::from_secs(2)).await;
        let expected = json!({"status": "unavailable", "checks": {"store": word, "accepting": "ok"}});
        assert_eq!(shown(&get(&app, "/health/ready").await), (503, expected));
        assert_eq!(get(&app, "/health/live").await.status, 200);
    }
    app.store.set_ping(None);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(get(&app, "/health/ready").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn eager_probes_ask_the_store_once_a_second() {
    let app = App::new().await;
    for _ in 0..100 {
        get(&app, "/ready").await;
    }
    assert_eq!(app.store.pings(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    get(&app, "/ready").await;
    assert_eq!(app.store.pings(), 2);
}

#[tokio::test]
async fn a_service_that_is_stopped_asks_for_no_more_traffic() {
    let app = App::new().await;
    app.readiness.set_stopping();
    // Too late.
    app.readiness.set_ready();
    let expected = json!({"status": "unavailable", "checks": {"store": "ok", "accepting": "stopping"}});
    assert_eq!(shown(&get(&app, "/health/ready").await), (503, expected.clone()));
    assert_eq!(get(&app, "/health/startup").await.status, 200);

    let app = App::new().await;
    app.api.drain().await;
    assert_eq!(shown(&get(&app, "/health/ready").await), (503, expected));
}

#[tokio::test]
async fn a_service_that_starts_is_not_ready_yet() {
    let app = App::starting().await;
    assert_eq!(shown(&get(&app, "/health/startup").await), (503, json!({"status": "starting"})));
    let expected = json!({"status": "unavailable", "checks": {"store": "ok", "accepting": "starting"}});
    assert_eq!(shown(&get(&app, "/health/ready").await), (503, expected));
    app.readiness.set_ready();
    assert_eq!(get(&app, "/health/startup").await.status, 200);
    assert_eq!(get(&app, "/health/ready").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn with_a_spool_it_is_ready_as_long_as_an_event_has_a_place() {
    let app = App::with_spool().await;
    let full = 1_000_000;
    let cases = [
        (None, SpoolState::Direct, 0, 200, "ready"),
        (None, SpoolState::Direct, full, 200, "ready"),
        (None, SpoolState::Spooling, 1_000, 200, "spooling"),
        (None, SpoolState::Spooling, full, 503, "unavailable"),
        (Some(Fault::Before), SpoolState::Direct, 0, 200, "spooling"),
        (Some(Fault::Before), SpoolState::Direct, full, 503, "unavailable"),
        (Some(Fault::Before), SpoolState::Spooling, 1_000, 200, "spooling"),
        (Some(Fault::Before), SpoolState::Spooling, full, 503, "unavailable"),
    ];
    for (fault, state, bytes, answer, word) in cases {
        app.store.set_ping(fault);
        app.spool.change(|status| (status.state, status.events, status.bytes, status.refused) = (state, 7, bytes, 2));
        tokio::time::advance(Duration::from_secs(2)).await;
        let store = if fault.is_some() { "unavailable" } else { "ok" };
        let spool = json!({"state": state.as_str(), "events": 7, "bytes": bytes, "refused": 2});
        let expected = json!({"status": word, "checks": {"store": store, "accepting": "ok", "spool": spool}});
        assert_eq!(shown(&get(&app, "/health/ready").await), (answer, expected));
    }
    app.spool.change(|status| status.bytes = 0);
    app.readiness.set_stopping();
    let (answer, report) = shown(&get(&app, "/health/ready").await);
    assert_eq!((answer, report["status"].as_str()), (503, Some("unavailable")));
}

/// The figures of a page, by name; each of them with its help and its type.
fn figures(answer: &Answer) -> Vec<(String, u64)> {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    assert!(text.ends_with('\n'));
    let lines: Vec<_> = text.lines().collect();
    let figure = |lines: &[&str]| {
        let (name, value) = lines[2].split_once(' ').unwrap();
        assert!(lines[0].starts_with(&format!("# HELP {name} ")), "{lines:?}");
        assert_eq!(lines[1], format!("# TYPE {name} gauge"));
        (name.to_owned(), value.parse().unwrap())
    };
    lines.chunks(3).map(figure).collect()
}

#[tokio::test(start_paused = true)]
async fn metrics_show_the_store() {
    let app = App::new().await;
    let expected = |up, alarms| {
        let figures = [("kapsel_store_up", up), ("kapsel_store_alarms", alarms), ("kapsel_attestation_alarm", 0)];
        figures.map(|(name, value)| (name.to_owned(), value))
    };
    assert_eq!(figures(&get(&app, "/metrics").await), expected(1, 0));
    assert_eq!(figures(&get(&app, "/metrics").await).len(), 3);
    assert_eq!(app.store.pings(), 1, "it is asked as seldom as by the health routes");
    app.store.set_ping(Some(Fault::Before));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(figures(&get(&app, "/metrics").await), expected(0, 0));
}

#[tokio::test]
async fn what_somebody_should_look_at_is_shown_and_keeps_nobody_out() {
    let app = App::new().await;
    assert!(get(&app, "/health/ready").await.json()["checks"].get("alarms").is_none());
    app.store.set_alarms(&["the partition events_p20260101 is missing"]);
    let answer = get(&app, "/health/ready").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["checks"]["alarms"], json!(["the partition events_p20260101 is missing"]));
    assert_eq!(figures(&get(&app, "/metrics").await)[1], ("kapsel_store_alarms".to_owned(), 1));
}

#[tokio::test]
async fn metrics_show_the_spool() {
    let app = App::with_spool().await;
    for (state, active) in [(SpoolState::Direct, 0), (SpoolState::Spooling, 1)] {
        app.spool.change(|status| (status.state, status.events, status.bytes, status.refused) = (state, 12, 34_567, 3));
        let expected = [
            ("kapsel_store_up", 1),
            ("kapsel_store_alarms", 0),
            ("kapsel_attestation_alarm", 0),
            ("kapsel_spool_active", active),
            ("kapsel_spool_events", 12),
            ("kapsel_spool_bytes", 34_567),
            ("kapsel_spool_refused_events", 3),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(figures(&get(&app, "/metrics").await), expected);
    }
}
