//! The OpenAPI document and its page, as they are served.

use http::Request;
use serde_json::Value;

use crate::support::App;

#[test]
fn the_committed_document_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/kapsel.json");
    let committed = std::fs::read(path).unwrap();
    assert!(committed == kapsel_api::openapi_json(), "openapi/kapsel.json is behind: run `cargo xtask openapi`");
}

#[tokio::test]
async fn the_document_is_served_without_a_key() {
    let app = App::new().await;
    let answer = app.call(Request::get("/openapi.json").body("".into()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.body, kapsel_api::openapi_json());
    assert_eq!(answer.json()["openapi"], "3.1.0");
    app.get("/openapi.json?x=1").await.expect_error(422, "E1009");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let app = App::new().await;
    let page = app.call(Request::get("/docs").body("".into()).unwrap()).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    assert!(!text.contains("://") && !text.contains("<script>") && !text.contains("style="), "{text}");
    let named = text.split(['"']).filter(|part| part.starts_with("docs/"));
    let files: Vec<String> = named.map(|name| format!("/{name}")).collect();
    assert_eq!(files.len(), 3, "{text}");
    for path in files.iter().map(String::as_str).chain(["/docs", "/openapi.json"]) {
        let answer = app.call(Request::get(path).body("".into()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.len() > 100, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "connect-src 'self'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
    }
    for other in ["/docs/", "/docs/index.html", "/docs/swagger-ui.js", "/docs/..%2fstart.js"] {
        app.get(other).await.expect_error(404, "E1008");
    }
}

#[tokio::test]
async fn document_and_page_stand_on_the_side_of_the_management_api() {
    let app = App::new().await;
    let document: Value = serde_json::from_slice(&kapsel_api::openapi_json()).unwrap();
    for path in ["/openapi.json", "/docs"] {
        assert!(document["paths"].get(path).is_some());
        let request = || Request::get(path).body(axum::body::Body::empty()).unwrap();
        for (router, status) in [(app.api.management_router(), 200), (app.api.public_router(), 404)] {
            let mut router = router;
            let answer = tower_service::Service::call(&mut router, request()).await.unwrap();
            assert_eq!(answer.status(), status, "{path}");
        }
    }
}
