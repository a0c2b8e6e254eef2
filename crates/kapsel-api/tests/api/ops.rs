//! The health routes.

use std::time::Duration;

use http::Request;
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
