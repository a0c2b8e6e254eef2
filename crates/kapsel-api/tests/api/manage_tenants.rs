//! Tenants and keys, as the operator manages them, and what a tenant's status does to its requests.

use http::{Method, Request};
use kapsel_core::{Clock as _, Scope, TenantId};
use serde_json::{Value, json};

use crate::support::{Answer, App, KEY};

async fn create(app: &App, body: Value) -> Value {
    let answer = app.manage(Method::POST, "/v1/tenants", Some(body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let path = format!("/v1/tenants/{}", answer.json()["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    answer.json()
}

fn path_of(tenant: &Value) -> String {
    format!("/v1/tenants/{}", tenant["id"].as_str().unwrap())
}

/// A request of the operator for a tenant.
async fn act_for(app: &App, tenant_id: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    app.manage_with(method, path, &[("kapsel-tenant", tenant_id)], body).await
}

#[tokio::test]
async fn a_tenant_is_made_shown_listed_and_changed() {
    let app = App::new().await;
    let limits = json!({"endpoints_max": 3, "ingest_rate": {"per_second": 10}});
    let made = create(&app, json!({"name": "acme", "tier": "free", "limits": limits})).await;
    assert_eq!(made["status"], "active");
    assert_eq!(made["limits"]["ingest_rate"], json!({"per_second": 10.0, "burst": 10}));
    assert_eq!(made["limits"]["queued_events_max"], Value::Null);
    assert_eq!(made["effective_limits"]["queued_events_max"], 100_000);
    assert_eq!(made["effective_limits"]["endpoints_max"], 3);

    let shown = app.get(&path_of(&made)).await;
    assert_eq!((shown.json(), shown.header("etag")), (made.clone(), Some("\"1\"")));
    let listed = app.get("/v1/tenants").await.json();
    let names: Vec<_> = listed["data"].as_array().unwrap().iter().map(|tenant| tenant["name"].clone()).collect();
    assert_eq!(names, ["default", "acme"]);

    let body = json!({"tier": "standard"});
    let stale = [("if-match", "\"7\"")];
    app.manage_with(Method::PATCH, &path_of(&made), &stale, Some(body.clone())).await.expect_error(412, "E1011");
    let present = [("if-match", "\"1\"")];
    let changed = app.manage_with(Method::PATCH, &path_of(&made), &present, Some(body)).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(
        (changed.json()["tier"].clone(), changed.json()["limits"].clone()),
        (json!("standard"), made["limits"].clone())
    );
    // What changes nothing is no change.
    let again = app.manage(Method::PATCH, &path_of(&made), Some(json!({"name": "acme"}))).await;
    assert_eq!(again.json(), changed.json());
}

#[tokio::test]
async fn every_wrong_field_of_a_tenant_is_named() {
    let app = App::new().await;
    let body = json!({
        "tier": "golden",
        "limits": {"endpoints_max": -1, "api_rate": {"per_second": 0}, "event_retention_days": 0, "other": 1},
        "nmae": "acme",
    });
    let paths = app.manage(Method::POST, "/v1/tenants", Some(body)).await.field_paths();
    let expected = [
        "nmae",
        "name",
        "tier",
        "limits.other",
        "limits.api_rate.per_second",
        "limits.endpoints_max",
        "limits.event_retention_days",
    ];
    assert_eq!(paths, expected);
    for path in ["/v1/tenants/ten_01h455vb4pex5vsknk084sn02q", "/v1/tenants/nonsense"] {
        app.get(path).await.expect_error(404, "E1008");
        app.manage(Method::PATCH, path, Some(json!({}))).await.expect_error(404, "E1008");
        app.manage(Method::DELETE, path, None).await.expect_error(404, "E1008");
        app.manage(Method::POST, &format!("{path}/suspend"), None).await.expect_error(404, "E1008");
    }
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_everywhere_until_it_is_resumed() {
    let app = App::new().await;
    let tenant = create(&app, json!({"name": "acme"})).await;
    let id: TenantId = tenant["id"].as_str().unwrap().parse().unwrap();
    let endpoint = app.endpoint_with(|builder| builder.tenant(id)).await;
    let key = app.api_key(id, &[Scope::Read]).await;
    app.ingest(endpoint, &[], "one").await.expect_received();

    let suspended = app.manage(Method::POST, &format!("{}/suspend", path_of(&tenant)), None).await;
    assert_eq!((suspended.status.as_u16(), suspended.json()["status"].clone()), (200, json!("suspended")));
    app.ingest(endpoint, &[], "two").await.expect_error(403, "E1014");
    app.manage_as(&key, Method::GET, "/v1/events", None).await.expect_error(403, "E1014");
    assert_eq!(app.claim(endpoint).await.len(), 0);
    // The operator sees what is there.
    let listed = act_for(&app, &id.to_string(), Method::GET, "/v1/events", None).await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 1);

    let wakes = app.wakes();
    app.manage(Method::POST, &format!("{}/resume", path_of(&tenant)), None).await;
    assert_eq!(app.wakes(), wakes + 1);
    app.ingest(endpoint, &[], "two").await.expect_received();
    assert_eq!(app.manage_as(&key, Method::GET, "/v1/events", None).await.status, 200);
    assert_eq!(app.claim(endpoint).await.len(), 2);
}

#[tokio::test]
async fn a_deleted_tenant_is_gone_with_its_endpoints_and_keys() {
    let app = App::new().await;
    let tenant = create(&app, json!({"name": "acme"})).await;
    let id: TenantId = tenant["id"].as_str().unwrap().parse().unwrap();
    let endpoint = app.endpoint_with(|builder| builder.tenant(id)).await;
    let key = app.api_key(id, &[Scope::Read]).await;
    let answer = app.manage(Method::DELETE, &path_of(&tenant), None).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (204, String::new()));
    app.ingest(endpoint, &[], "one").await.expect_error(404, "E1003");
    app.manage_as(&key, Method::GET, "/v1/events", None).await.expect_error(401, "E1007");
    app.get(&path_of(&tenant)).await.expect_error(404, "E1008");
    act_for(&app, &id.to_string(), Method::GET, "/v1/events", None).await.expect_error(404, "E1008");

    let default = format!("/v1/tenants/{}", TenantId::DEFAULT);
    app.manage(Method::DELETE, &default, None).await.expect_error(409, "E1011");
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_is_revoked_or_expires() {
    let app = App::new().await;
    let id = app.tenant().await.to_string();
    let expires_at = app.clock.now() + std::time::Duration::from_secs(100);
    let body = json!({"name": "ci", "scopes": ["read"], "expires_at": expires_at});
    let made = act_for(&app, &id, Method::POST, "/v1/api-keys", Some(body.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let secret = made["key"].as_str().unwrap();
    assert!(secret.starts_with(made["prefix"].as_str().unwrap()) && secret.starts_with("kps_"), "{secret}");
    assert_eq!((made["tenant_id"].as_str(), made["status"].as_str()), (Some(id.as_str()), Some("active")));
    assert_eq!(app.manage_as(secret, Method::GET, "/v1/events", None).await.status, 200);

    // Never again.
    let path = format!("/v1/api-keys/{}", made["id"].as_str().unwrap());
    let shown = act_for(&app, &id, Method::GET, &path, None).await;
    let listed = act_for(&app, &id, Method::GET, "/v1/api-keys", None).await;
    let found = app.get(&format!("/v1/api-keys?prefix={}", made["prefix"].as_str().unwrap())).await;
    for answer in [&shown, &listed, &found] {
        assert!(!answer.text().contains(secret), "{}", answer.text());
        assert!(answer.text().contains(made["prefix"].as_str().unwrap()));
    }

    // A second one is revoked; the first one expires.
    let other = act_for(&app, &id, Method::POST, "/v1/api-keys", Some(body)).await.json();
    let other_path = format!("/v1/api-keys/{}", other["id"].as_str().unwrap());
    assert_eq!(act_for(&app, &id, Method::DELETE, &other_path, None).await.status, 204);
    let answer = app.manage_as(other["key"].as_str().unwrap(), Method::GET, "/v1/events", None).await;
    assert!(answer.expect_error(401, "E1007").contains("revoked"));
    assert_eq!(act_for(&app, &id, Method::GET, &other_path, None).await.json()["status"], "revoked");
    app.clock.advance(std::time::Duration::from_secs(100));
    let answer = app.manage_as(secret, Method::GET, "/v1/events", None).await;
    assert!(answer.expect_error(401, "E1007").contains("expired"));
    assert_eq!(act_for(&app, &id, Method::GET, &path, None).await.json()["status"], "expired");
}

#[tokio::test]
async fn a_key_is_made_for_the_tenant_that_is_named() {
    let app = App::new().await;
    let (one, two) = (app.tenant().await.to_string(), app.tenant().await.to_string());
    let by_body = json!({"scopes": ["read"], "tenant_id": one});
    let made = app.manage(Method::POST, "/v1/api-keys", Some(by_body.clone())).await;
    assert_eq!(made.json()["tenant_id"], one.as_str());
    let made = app.manage(Method::POST, "/v1/api-keys", Some(json!({"scopes": ["read"]}))).await;
    assert_eq!(made.json()["tenant_id"], TenantId::DEFAULT.to_string());
    let both = act_for(&app, &two, Method::POST, "/v1/api-keys", Some(by_body)).await;
    assert_eq!(both.field_paths(), ["tenant_id"]);
    let nobody = json!({"scopes": ["read"], "tenant_id": "ten_01h455vb4pex5vsknk084sn02q"});
    app.manage(Method::POST, "/v1/api-keys", Some(nobody)).await.expect_error(404, "E1008");
    let bad = json!({"scopes": ["root"], "tenant_id": "nonsense", "expires_at": "2001-01-01T00:00:00Z"});
    let paths = app.manage(Method::POST, "/v1/api-keys", Some(bad)).await.field_paths();
    assert_eq!(paths, ["scopes[0]", "expires_at", "tenant_id"]);
    // Keys of another tenant are not there.
    let listed = act_for(&app, &two, Method::GET, "/v1/api-keys", None).await;
    assert_eq!(listed.json()["data"], json!([]));
}

#[tokio::test]
async fn scopes_say_what_a_key_may_do() {
    let app = App::new().await;
    let id = app.tenant().await;
    let endpoint = app.endpoint_with(|builder| builder.tenant(id)).await.to_string();
    let endpoint = format!("/v1/endpoints/{endpoint}");
    let body = json!({"url": "https://a.example/"});
    let may = |allowed: &[Scope], denied: &[Scope]| (allowed.to_vec(), denied.to_vec());
    let (read, write, admin) = (Scope::Read, Scope::Write, Scope::IngestAdmin);
    let cases = [
        (Method::GET, "/v1/events", None, may(&[read, write], &[admin])),
        (Method::GET, "/v1/replays", None, may(&[read, write], &[admin])),
        (Method::POST, "/v1/replays", Some(json!({})), may(&[write], &[read, admin])),
        (Method::GET, "/v1/endpoints", None, may(&[read, write, admin], &[])),
        (Method::POST, "/v1/endpoints", Some(body.clone()), may(&[write, admin], &[read])),
        (Method::PUT, &endpoint, Some(body), may(&[write, admin], &[read])),
        (Method::GET, "/v1/tenants", None, may(&[], &[read, write, admin])),
        (Method::POST, "/v1/api-keys", Some(json!({"scopes": ["read"]})), may(&[], &[read, write, admin])),
    ];
    for (method, path, body, (allowed, denied)) in cases {
        for scope in allowed {
            let key = app.api_key(id, &[scope]).await;
            let answer = app.manage_as(&key, method.clone(), path, body.clone()).await;
            assert!(answer.status.is_success(), "{method} {path} with {scope}: {}", answer.text());
        }
        for scope in denied {
            let key = app.api_key(id, &[scope]).await;
            app.manage_as(&key, method.clone(), path, body.clone()).await.expect_error(403, "E1013");
        }
        let powerless = app.api_key(id, &[]).await;
        app.manage_as(&powerless, method.clone(), path, body.clone()).await.expect_error(403, "E1013");
    }
}

#[tokio::test]
async fn a_key_opens_nothing_of_another_tenant() {
    let app = App::new().await;
    let (ours, theirs) = (app.tenant().await, app.tenant().await);
    let key = app.api_key(ours, &[Scope::Write]).await;
    let endpoint = app.endpoint_with(|builder| builder.tenant(theirs)).await;
    let event = app.ingest(endpoint, &[], "theirs").await.expect_received();
    for (method, path) in [
        (Method::GET, format!("/v1/endpoints/{endpoint}")),
        (Method::DELETE, format!("/v1/endpoints/{endpoint}")),
        (Method::GET, format!("/v1/events/{event}")),
        (Method::POST, format!("/v1/events/{event}/retry")),
    ] {
        let foreign = app.manage_as(&key, method.clone(), &path, None).await;
        let nothing = path.replace(|c: char| c.is_ascii_digit(), "0");
        let absent = app.manage_as(&key, method, &nothing, None).await;
        assert_eq!(foreign.expect_error(404, "E1008"), absent.expect_error(404, "E1008"));
    }
    for path in ["/v1/endpoints", "/v1/events"] {
        assert_eq!(app.manage_as(&key, Method::GET, path, None).await.json()["data"], json!([]));
    }
    // Nor does a header help.
    let request = Request::get("/v1/events").header("authorization", format!("Bearer {key}"));
    let request = request.header("kapsel-tenant", theirs.to_string()).body("".into()).unwrap();
    app.call(request).await.expect_error(403, "E1013");
}

#[tokio::test]
async fn the_header_for_a_tenant_is_one_id() {
    let app = App::new().await;
    let id = app.tenant().await.to_string();
    for (values, status, code) in [
        (vec!["nonsense"], 400, "E1006"),
        (vec![""], 400, "E1006"),
        (vec![id.as_str(), id.as_str()], 400, "E1006"),
        (vec!["ten_01h455vb4pex5vsknk084sn02q"], 404, "E1008"),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("kapsel-tenant", *value)).collect();
        app.manage_with(Method::GET, "/v1/events", &headers, None).await.expect_error(status, code);
    }
    assert_eq!(act_for(&app, &id, Method::GET, "/v1/events", None).await.status, 200);
}

#[tokio::test]
async fn a_mistyped_key_is_told_from_a_wrong_one() {
    let app = App::new().await;
    let key = app.api_key(app.tenant().await, &[Scope::Read]).await;
    let mistyped = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    let told = app.manage_as(&mistyped, Method::GET, "/v1/events", None).await.expect_error(401, "E1007");
    assert!(told.contains("checksum"), "{told}");
    let unknown = test_harness::builders::api_key(
        kapsel_core::ApiKeyId::MIN,
        TenantId::DEFAULT,
        app.clock.now(),
        &kapsel_core::SystemEntropy,
    );
    let told = app.manage_as(unknown.1.expose(), Method::GET, "/v1/events", None).await.expect_error(401, "E1007");
    assert!(!told.contains("checksum"), "{told}");
    // The operator's key is no key of a tenant, and the other way round.
    assert_eq!(app.manage_as(KEY, Method::GET, "/v1/tenants", None).await.status, 200);
}

#[tokio::test]
async fn uses_of_a_key_are_noted_now_and_then() {
    let app = App::new().await;
    let id = app.tenant().await;
    let key = app.api_key(id, &[Scope::Read]).await;
    let path = format!("/v1/api-keys?prefix={}", &key[..12]);
    let last_used = async || app.get(&path).await.json()["data"][0]["last_used_at"].clone();
    assert_eq!(last_used().await, Value::Null);
    let first = app.clock.now();
    app.manage_as(&key, Method::GET, "/v1/events", None).await;
    // It is noted beside the request.
    while last_used().await.is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(last_used().await, first.to_string());
    app.clock.advance(std::time::Duration::from_secs(599));
    app.manage_as(&key, Method::GET, "/v1/events", None).await;
    assert_eq!(last_used().await, first.to_string());
    let later = app.clock.advance(std::time::Duration::from_secs(1));
    app.manage_as(&key, Method::GET, "/v1/events", None).await;
    while last_used().await == first.to_string() {
        tokio::task::yield_now().await;
    }
    assert_eq!(last_used().await, later.to_string());
}
