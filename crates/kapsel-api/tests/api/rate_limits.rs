//! Limits of rate: whom they hold back, when, and what they leave as it was.

use std::time::Duration;

use http::Method;
use kapsel_core::{RateLimit, Scope, TenantId};
use serde_json::json;

use crate::support::{Answer, App};

const LIMIT: RateLimit = RateLimit { per_second: 0.5, burst: 2 };

fn path_of(tenant: TenantId) -> String {
    format!("/v1/tenants/{tenant}")
}

async fn limit(app: &App, tenant: TenantId, name: &str) {
    let body = json!({"limits": {name: LIMIT}});
    let answer = app.manage(Method::PATCH, &path_of(tenant), Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Fails unless this is a refusal that says when to come back. Returns its message.
#[track_caller]
fn expect_limited(answer: &Answer, seconds: &str) -> String {
    let message = answer.expect_error(429, "E1004");
    for name in ["retry-after", "ratelimit-reset"] {
        assert_eq!(answer.header(name), Some(seconds), "{name}");
    }
    assert_eq!((answer.header("ratelimit-limit"), answer.header("ratelimit-remaining")), (Some("2"), Some("0")));
    message
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_sends_too_fast_waits_and_nothing_is_used_up() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let endpoints = [
        app.endpoint_with(|builder| builder.tenant(tenant)).await,
        app.endpoint_with(|builder| builder.tenant(tenant)).await,
    ];
    let others = app.endpoint_with(|builder| builder.tenant(other)).await;
    limit(&app, tenant, "ingest_rate").await;
    // One limit for all its endpoints.
    for endpoint in endpoints {
        app.ingest(endpoint, &[], "body").await.expect_received();
    }
    let key = [("idempotency-key", "order-1")];
    let refused = app.ingest(endpoints[0], &key, "body").await;
    assert!(expect_limited(&refused, "2").contains("all endpoints of the tenant"));
    app.ingest(others, &[], "body").await.expect_received();

    // A change of something else fills nothing.
    let renamed = app.manage(Method::PATCH, &path_of(tenant), Some(json!({"name": "other"}))).await;
    assert_eq!(renamed.status, 200);
    expect_limited(&app.ingest(endpoints[1], &[], "body").await, "2");

    // The key was not burnt by the refusal.
    tokio::time::advance(Duration::from_secs(2)).await;
    let answer = app.ingest(endpoints[0], &key, "body").await;
    answer.expect_received();
    assert!(!answer.is_replay());
}

#[tokio::test(start_paused = true)]
async fn the_body_of_a_request_that_is_too_fast_is_not_read() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    let endpoint = app.endpoint_with(|builder| builder.tenant(tenant)).await;
    limit(&app, tenant, "ingest_rate").await;
    for _ in 0..2 {
        app.ingest(endpoint, &[], "body").await.expect_received();
    }
    // Too large as well, and nobody notices.
    expect_limited(&app.ingest(endpoint, &[], vec![b'x'; 11 * 1024 * 1024]).await, "2");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_has_a_limit_of_its_own_and_takes_nothing_from_its_tenants() {
    let app = App::new().await;
    let tenant = app.tenant().await;
    limit(&app, tenant, "ingest_rate").await;
    let limited = |builder: test_harness::EndpointBuilder| {
        builder.tenant(tenant).with(|endpoint| {
            endpoint.config.ingest_rate_limit = Some(RateLimit { burst: 1, ..LIMIT });
        })
    };
    let (narrow, wide) = (app.endpoint_with(limited).await, app.endpoint_with(|builder| builder.tenant(tenant)).await);
    app.ingest(narrow, &[], "body").await.expect_received();
    let refused = app.ingest(narrow, &[], "body").await;
    assert!(refused.expect_error(429, "E1004").contains("for the endpoint"));
    assert_eq!(refused.header("ratelimit-limit"), Some("1"));
    app.ingest(wide, &[], "body").await.expect_received();
    expect_limited(&app.ingest(wide, &[], "body").await, "2");
}

#[tokio::test(start_paused = true)]
async fn keys_of_one_tenant_share_a_limit_and_the_operator_has_none() {
    let app = App::new().await;
    let (tenant, other) = (app.tenant().await, app.tenant().await);
    let keys = [app.api_key(tenant, &[Scope::Read]).await, app.api_key(tenant, &[Scope::Write]).await];
    let others = app.api_key(other, &[Scope::Read]).await;
    limit(&app, tenant, "api_rate").await;
    for key in &keys {
        assert_eq!(app.manage_as(key, Method::GET, "/v1/events", None).await.status, 200);
    }
    expect_limited(&app.manage_as(&keys[0], Method::GET, "/v1/events", None).await, "2");
    assert_eq!(app.manage_as(&others, Method::GET, "/v1/events", None).await.status, 200);
    for _ in 0..10 {
        let answer = app.manage_with(Method::GET, "/v1/events", &[("kapsel-tenant", &tenant.to_string())], None).await;
        assert_eq!(answer.status, 200);
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(app.manage_as(&keys[1], Method::GET, "/v1/events", None).await.status, 200);
}

#[tokio::test]
async fn the_limit_of_an_endpoint_is_set_and_shown() {
    let app = App::new().await;
    let body = json!({"url": "https://a.example/", "ingest_rate_limit": {"per_second": 2.5}});
    let made = app.manage(Method::POST, "/v1/endpoints", Some(body)).await.json();
    assert_eq!(made["ingest_rate_limit"], json!({"per_second": 2.5, "burst": 3}));
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    let kept = app.manage(Method::PATCH, &path, Some(json!({"name": "x"}))).await.json();
    assert_eq!(kept["ingest_rate_limit"], made["ingest_rate_limit"]);
    let bad = json!({"url": "https://a.example/", "ingest_rate_limit": {"per_second": 0, "burst": 0}});
    let paths = app.manage(Method::POST, "/v1/endpoints", Some(bad)).await.field_paths();
    assert_eq!(paths, ["ingest_rate_limit.burst", "ingest_rate_limit.per_second"]);
}
