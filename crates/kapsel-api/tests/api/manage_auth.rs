//! Who is let into the management API.

use http::{Method, Request};
use secrecy::SecretString;

use crate::support::{App, KEY};

const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/endpoints"),
    ("POST", "/v1/endpoints"),
    ("GET", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q"),
    ("PUT", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q"),
    ("PATCH", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q"),
    ("DELETE", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q"),
    ("GET", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/stats"),
    ("POST", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/enable"),
    ("POST", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/disable"),
    ("POST", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/reset-circuit"),
    ("POST", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/rotate-secret"),
    ("POST", "/v1/endpoints/ep_01h455vb4pex5vsknk084sn02q/test"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/evt_01h455vb4pex5vsknk084sn02q"),
    ("GET", "/v1/events/evt_01h455vb4pex5vsknk084sn02q/deliveries"),
    ("GET", "/v1/events/evt_01h455vb4pex5vsknk084sn02q/attempts"),
    ("GET", "/v1/events/evt_01h455vb4pex5vsknk084sn02q/attempts/da_01h455vb4pex5vsknk084sn02q"),
    ("GET", "/v1/events/evt_01h455vb4pex5vsknk084sn02q/payload"),
    ("POST", "/v1/events/evt_01h455vb4pex5vsknk084sn02q/retry"),
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants/ten_01h455vb4pex5vsknk084sn02q"),
    ("PATCH", "/v1/tenants/ten_01h455vb4pex5vsknk084sn02q"),
    ("DELETE", "/v1/tenants/ten_01h455vb4pex5vsknk084sn02q"),
    ("POST", "/v1/tenants/ten_01h455vb4pex5vsknk084sn02q/suspend"),
    ("POST", "/v1/tenants/ten_01h455vb4pex5vsknk084sn02q/resume"),
    ("GET", "/v1/api-keys"),
    ("POST", "/v1/api-keys"),
    ("GET", "/v1/api-keys/key_01h455vb4pex5vsknk084sn02q"),
    ("DELETE", "/v1/api-keys/key_01h455vb4pex5vsknk084sn02q"),
    ("GET", "/v1/replays"),
    ("POST", "/v1/replays"),
    ("POST", "/v1/replays/preview"),
    ("GET", "/v1/replays/rpl_01h455vb4pex5vsknk084sn02q"),
    ("POST", "/v1/replays/rpl_01h455vb4pex5vsknk084sn02q/pause"),
    ("POST", "/v1/replays/rpl_01h455vb4pex5vsknk084sn02q/resume"),
    ("POST", "/v1/replays/rpl_01h455vb4pex5vsknk084sn02q/cancel"),
];

#[tokio::test]
async fn every_route_asks_for_the_key_before_anything_else() {
    let app = App::new().await;
    let wrong = [
        vec![],
        vec![String::new()],
        vec![KEY.to_owned()],
        vec!["Bearer".to_owned()],
        vec!["Bearer ".to_owned()],
        vec![format!("Bearer {KEY}x")],
        vec![format!("Bearer {}", &KEY[1..])],
        vec![format!("Basic {KEY}")],
        vec![format!("Bearer {KEY}"), "Bearer other".to_owned()],
    ];
    for (method, path) in ROUTES {
        for values in &wrong {
            let mut request = Request::builder().method(*method).uri(*path);
            for value in values {
                request = request.header("authorization", value);
            }
            let answer = app.call(request.body("not json".into()).unwrap()).await;
            let message = answer.expect_error(401, "E1007");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert!(!message.contains(KEY));
        }
    }
    for value in [format!("bEARER {KEY}"), format!("Bearer  {KEY}")] {
        let request = Request::get("/v1/events").header("authorization", value);
        assert_eq!(app.call(request.body("".into()).unwrap()).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_configured_key_nobody_is_let_in() {
    let app = App::with(|settings| settings.operator_key = SecretString::default()).await;
    for value in ["Bearer ", "Bearer", &format!("Bearer {KEY}")] {
        let request = Request::get("/v1/events").header("authorization", value).body("".into()).unwrap();
        app.call(request).await.expect_error(401, "E1007");
    }
}

#[tokio::test]
async fn only_listed_hosts_are_answered_to_if_there_is_a_list() {
    let app = App::with(|settings| settings.allowed_hosts = vec!["Kapsel.example".to_owned()]).await;
    assert_eq!(app.get("/v1/events").await.status, 200);
    for host in ["evil.example", "kapsel.example.evil.example", "kapsel.example@evil.example", "::"] {
        let request = Request::get("/v1/events").header("host", host).header("authorization", format!("Bearer {KEY}"));
        app.call(request.body("".into()).unwrap()).await.expect_error(400, "E1006");
    }
}

#[tokio::test]
async fn unknown_routes_and_wrong_methods_have_their_own_answers() {
    let app = App::new().await;
    for path in ["/", "/v1", "/v1/endpoints/", "/v1/nothing", "/ingest", "/ingest/", "/v2/events", "/health/other"] {
        app.get(path).await.expect_error(404, "E1008");
    }
    let cases = [
        (Method::DELETE, "/v1/endpoints", "GET,HEAD,POST"),
        (Method::POST, "/v1/events", "GET,HEAD"),
        (Method::GET, "/v1/events/evt_01h455vb4pex5vsknk084sn02q/retry", "POST"),
        (Method::DELETE, "/v1/replays/rpl_01h455vb4pex5vsknk084sn02q", "GET,HEAD"),
        (Method::GET, "/v1/replays/preview", "POST"),
        (Method::POST, "/health/live", "GET,HEAD"),
    ];
    for (method, path, allowed) in cases {
        let answer = app.manage(method, path, None).await;
        answer.expect_error(405, "E1010");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test]
async fn everything_that_is_not_there_is_not_there_in_the_same_words() {
    let app = App::new().await;
    let other = app.tenant().await;
    let foreign = app.endpoint_with(|builder| builder.tenant(other)).await;
    let event = app.ingest(foreign, &[], "body").await.expect_received();
    let mut bodies = Vec::new();
    for id in [foreign.to_string().as_str(), "ep_01h455vb4pex5vsknk084sn02q", "ep_nonsense", "evt_", "%2e"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let body = (method == Method::PUT).then(|| serde_json::json!({"url": "https://a.example/"}));
            let answer = app.manage(method, &format!("/v1/endpoints/{id}"), body).await;
            bodies.push(answer.expect_error(404, "E1008"));
        }
    }
    for id in [event.as_str(), "evt_01h455vb4pex5vsknk084sn02q", "evt_x"] {
        bodies.push(app.get(&format!("/v1/events/{id}")).await.expect_error(404, "E1008"));
        let answer = app.manage(Method::POST, &format!("/v1/events/{id}/retry"), None).await;
        bodies.push(answer.expect_error(404, "E1008"));
    }
    bodies.push(app.get("/v1/nothing").await.expect_error(404, "E1008"));
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // Nor does it appear in lists.
    assert_eq!(app.get("/v1/endpoints").await.json()["data"], serde_json::json!([]));
    assert_eq!(app.get("/v1/events").await.json()["data"], serde_json::json!([]));
}
