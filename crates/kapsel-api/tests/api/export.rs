//! Exports: what is in one, how it ends, and that it lasts as long as it takes.

use std::time::Duration;

use http::{Method, Request};
use kapsel_api::ServerSettings;
use kapsel_core::settlement::Next;
use kapsel_core::{Clock as _, Scope, TenantId};
use kapsel_store::{ErasureStep, ErasureStore as _};
use serde_json::{Value, json};
use test_harness::EndpointBuilder;
use tokio::io::AsyncReadExt as _;

use crate::manage_events::{answered, deliver, settle};
use crate::support::wire::Served;
use crate::support::{App, KEY};

async fn export(app: &App, query: &str) -> Vec<Value> {
    let answer = app.get(&format!("/v1/export{query}")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/x-ndjson")));
    lines(&answer.text())
}

fn lines(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_type<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["type"] == kind).collect()
}

#[tokio::test]
async fn everything_is_in_it_and_nothing_secret() {
    let app = App::new().await;
    let endpoint = app
        .endpoint_with(|endpoint| {
            endpoint.with(|endpoint| {
                endpoint.secrets.headers.push(("authorization".to_owned(), "Bearer top-secret".into()));
            })
        })
        .await;
    let (id, claimed) = deliver(&app, endpoint).await;
    settle(&app, &claimed, answered(404, "no such order"), Next::Failed(kapsel_core::FinalReason::Refused)).await;
    app.clock.advance(Duration::from_secs(1));
    let headers = [("content-type", "text/plain"), ("x-person", "Ada")];
    let second = app.ingest(endpoint, &headers, &b"\xff\x00bytes"[..]).await.expect_received();

    let all = export(&app, "").await;
    let kinds: Vec<&str> = all.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["export", "tenant", "endpoint", "event", "event", "end"]);
    let head = json!({"type": "export", "version": 1, "exported_at": app.clock.now(), "since": null, "until": null,
        "include_payload": true});
    assert_eq!(all[0], head);
    assert_eq!(all[1]["id"], json!(TenantId::DEFAULT));
    assert_eq!((&all[2]["id"], &all[2]["headers"]), (&json!(endpoint), &json!({"authorization": null})));
    assert_eq!(all[5], json!({"type": "end", "events": 2}));
    assert!(!all.iter().any(|line| line.to_string().contains("top-secret")));

    let first = &all[3];
    assert_eq!((&first["id"], &first["payload"], &first["reason"]), (&json!(id), &json!("e30="), &json!("refused")));
    assert_eq!(first["attempts"][0]["response_body"], "no such order");
    assert!(first["attempts"][0]["leaf_hash"].is_string());
    assert_eq!(first["deliveries"][0]["status"], "failed");
    let other = &all[4];
    assert_eq!(
        (&other["id"], &other["payload"], &other["status"]),
        (&json!(second), &json!("/wBieXRlcw=="), &json!("received"))
    );
    let headers = other["headers"].as_array().unwrap();
    assert!(headers.contains(&json!({"name": "x-person", "value": "Ada"})), "{headers:?}");
}

#[tokio::test]
async fn it_can_be_bounded_and_leave_payloads_out() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let mut ids = Vec::new();
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(app.clock.now());
        ids.push(app.ingest(endpoint, &[], "body").await.expect_received());
        app.clock.advance(Duration::from_secs(60));
    }
    let shown = |lines: &[Value]| -> Vec<String> {
        of_type(lines, "event").iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(shown(&export(&app, &format!("?since={}", times[1])).await), ids[1..]);
    assert_eq!(shown(&export(&app, &format!("?until={}", times[1])).await), ids[..1]);
    let middle = export(&app, &format!("?since={}&until={}&include_payload=false", times[1], times[2])).await;
    assert_eq!(shown(&middle), ids[1..2]);
    assert_eq!((&of_type(&middle, "event")[0]["payload"], &middle[0]["until"]), (&Value::Null, &json!(times[2])));
    for wrong in ["?since=yesterday", "?include_payload=perhaps", "?limit=5"] {
        app.get(&format!("/v1/export{wrong}")).await.expect_error(422, "E1009");
    }
}

#[tokio::test]
async fn it_goes_beyond_a_page_and_ends_at_its_beginning() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    let mut ids = Vec::new();
    for _ in 0..350 {
        ids.push(app.ingest(endpoint, &[], "body").await.expect_received());
    }
    let all = export(&app, "").await;
    let shown: Vec<&str> = of_type(&all, "event").iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(shown, ids);
    assert_eq!(all.last().unwrap(), &json!({"type": "end", "events": 350}));
}

#[tokio::test]
async fn a_tenant_gets_its_own_and_erased_events_are_empty() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let key = app.api_key(tenant, &[Scope::Read]).await;
    let theirs = app.endpoint_with(|endpoint: EndpointBuilder| endpoint.tenant(tenant)).await;
    let own = app.ingest(theirs, &[("x-person", "Ada")], "body").await.expect_received();
    app.ingest(app.endpoint().await, &[], "foreign").await.expect_received();
    let writer = app.api_key(tenant, &[Scope::Write]).await;
    let body = json!({"event_id": own});
    assert_eq!(app.manage_as(&writer, Method::POST, "/v1/erasures", Some(body)).await.status, 202);
    let job = app.store.erasure_due(app.clock.now(), 1).await.unwrap().due.remove(0);
    let step = ErasureStep { tenant_id: tenant, id: job.id, expected_version: job.version, looks_max: 10 };
    app.store.erasure_advance_if_version(app.clock.now(), step).await.unwrap();

    let answer = app.manage_as(&key, Method::GET, "/v1/export", None).await;
    let all = lines(&answer.text());
    assert_eq!(all[1]["id"], json!(tenant));
    let events = of_type(&all, "event");
    assert_eq!((events.len(), &events[0]["id"]), (1, &json!(own)));
    assert_eq!((&events[0]["payload"], &events[0]["headers"]), (&Value::Null, &Value::Null));
    assert!(events[0]["erased_at"].is_string() && !answer.text().contains("Ada"));
    let admin = app.api_key(tenant, &[Scope::IngestAdmin]).await;
    app.manage_as(&admin, Method::GET, "/v1/export", None).await.expect_error(403, "E1013");
}

#[tokio::test]
async fn only_so_many_are_made_at_once() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    for _ in 0..5 {
        app.ingest(endpoint, &[], vec![b'x'; 100_000]).await.expect_received();
    }
    // Answers that nobody reads hold their places.
    let mut unread = Vec::new();
    for _ in 0..4 {
        let request = Request::get("/v1/export").header("authorization", format!("Bearer {KEY}"));
        let request = request.body(axum::body::Body::empty()).unwrap();
        let response = tower_service::Service::call(&mut app.router(), request).await.unwrap();
        assert_eq!(response.status(), 200);
        unread.push(response);
    }
    app.get("/v1/export").await.expect_error(429, "E1004");
    drop(unread);
    loop {
        if app.get("/v1/export").await.status == 200 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// However long the client takes between two looks at it, and though the connection counts as idle much sooner.
#[tokio::test]
async fn a_long_export_is_not_cut_off() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    for _ in 0..100 {
        app.ingest(endpoint, &[], vec![b'x'; 200_000]).await.expect_received();
    }
    let idle_timeout = Duration::from_millis(50);
    let settings = ServerSettings { idle_timeout, ..ServerSettings::default() };
    let served = Served::new(&app, settings, Duration::from_secs(30)).await;
    let mut connection = served.connect().await;
    let request = format!(
        "GET /v1/export HTTP/1.1\r\nHost: kapsel.example\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
    );
    connection.send(request).await;
    let mut whole = vec![0; 1_000];
    connection.0.read_exact(&mut whole).await.unwrap();
    // paced: many times as long as a connection may be idle; what is not read keeps the export from ending.
    tokio::time::sleep(idle_timeout * 10).await;
    connection.0.read_to_end(&mut whole).await.unwrap();
    let text = String::from_utf8_lossy(&whole);
    assert!(text.contains("{\"type\":\"end\",\"events\":100}"), "{} bytes", whole.len());
}
