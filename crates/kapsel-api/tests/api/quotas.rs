//! How much a tenant may have: queued events and bytes, endpoints; and the figures of an endpoint.

use std::time::Duration;

use http::Method;
use kapsel_core::{Clock as _, TenantId};
use kapsel_store::{Hour, Statistics, StatisticsChange, StatisticsStore as _};
use serde_json::{Value, json};

use crate::support::App;

async fn limit(app: &App, tenant: TenantId, limits: Value) {
    let body = json!({"limits": limits});
    let answer = app.manage(Method::PATCH, &format!("/v1/tenants/{tenant}"), Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_queue_is_full_is_refused_until_there_is_room() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let endpoint = app.endpoint_with(|builder| builder.tenant(tenant)).await;
    limit(&app, tenant, json!({"queued_events_max": 2})).await;
    for _ in 0..2 {
        app.ingest(endpoint, &[], "body").await.expect_received();
    }
    let key = [("idempotency-key", "order-1")];
    let refused = app.ingest(endpoint, &key, "body").await;
    assert!(refused.expect_error(429, "E1015").contains("2 events"));
    assert_eq!(app.ingested().last(), Some(&("limited", 1)));

    // Whoever empties the queue makes room, and the key was not burnt.
    limit(&app, tenant, json!({"queued_events_max": 3})).await;
    let answer = app.ingest(endpoint, &key, "body").await;
    answer.expect_received();
    assert!(!answer.is_replay());
    limit(&app, tenant, json!({"queued_bytes_max": 20})).await;
    let refused = app.ingest(endpoint, &[], "x".repeat(10)).await;
    assert!(refused.expect_error(429, "E1015").contains("20 bytes"));
    app.ingest(endpoint, &[], "x".repeat(8)).await.expect_received();
}

#[tokio::test]
async fn a_tenant_has_as_many_endpoints_as_it_may() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    limit(&app, tenant, json!({"endpoints_max": 1})).await;
    let header = [("kapsel-tenant", &*tenant.to_string())];
    let create = async || {
        let body = json!({"url": "https://a.example/"});
        app.manage_with(Method::POST, "/v1/endpoints", &header, Some(body)).await
    };
    let made = create().await;
    assert_eq!(made.status, 201);
    assert!(create().await.expect_error(429, "E1015").contains("1 endpoints"));
    let path = format!("/v1/endpoints/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(app.manage_with(Method::DELETE, &path, &header, None).await.status, 204);
    assert_eq!(create().await.status, 201);
}

#[tokio::test]
async fn figures_of_an_endpoint_are_shown_by_the_hour_and_by_the_day() {
    let app = App::new().await;
    let endpoint = app.endpoint().await;
    // The first hour of a day.
    let first = Hour::of(app.clock.now());
    let added = Statistics { accepted: 1, duplicates: 2, refused: 3, delivered: 4, failed: 5 };
    for hour in [0, 1, 25] {
        let change = StatisticsChange { tenant_id: TenantId::DEFAULT, endpoint_id: endpoint, added };
        app.store.statistics_add(Hour(first.0 + hour), vec![change]).await.unwrap();
    }
    let now = app.clock.advance(Duration::from_secs(26 * 3_600));
    let path = format!("/v1/endpoints/{endpoint}/stats");
    let figures = |times: u64| {
        json!({"accepted": times, "duplicates": 2 * times, "refused": 3 * times, "attempts_delivered": 4 * times,
            "attempts_failed": 5 * times})
    };
    let with_begin = |hour: i64, times| {
        let mut shown = figures(times);
        shown["begin"] = json!(Hour(first.0 + hour).begin());
        shown
    };
    let shown = app.get(&path).await;
    assert_eq!(shown.status, 200, "{}", shown.text());
    let expected = json!({
        "endpoint_id": endpoint, "interval": "hour", "since": Hour(first.0 + 2).begin(), "until": now,
        "total": figures(1), "data": [with_begin(25, 1)],
    });
    assert_eq!(shown.json(), expected);
    let since = first.begin();
    let shown = app.get(&format!("{path}?since={since}&interval=day")).await.json();
    assert_eq!((&shown["total"], &shown["data"]), (&figures(3), &json!([with_begin(0, 2), with_begin(24, 1)])));
    // What is asked for ends where it says.
    let until = Hour(first.0 + 1).begin();
    let shown = app.get(&format!("{path}?since={since}&until={until}")).await.json();
    assert_eq!(shown["data"], json!([with_begin(0, 1)]));

    for (query, path_of) in [
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since"),
        ("since=2025-01-01T00:00:00Z", "since"),
        ("interval=week", "interval"),
        ("until=yesterday", "until"),
        ("other=1", "other"),
    ] {
        assert_eq!(app.get(&format!("{path}?{query}")).await.field_paths(), [path_of], "{query}");
    }
    app.get("/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/stats").await.expect_error(404, "E1008");
}
