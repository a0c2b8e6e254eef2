//! Several tenants on one server, and what a team does with an endpoint of its own: by the built program.

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use crate::program::{Answer, Program};

/// A request with the key of a tenant.
async fn manage_as(program: &Program, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", program.management_base))
        .header("authorization", format!("Bearer {key}"));
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    program.request(request.body(Full::from(body)).unwrap()).await.unwrap()
}

/// A tenant with a key that may write.
async fn tenant(program: &Program, name: &str) -> (String, String) {
    let made = program.manage(Method::POST, "/v1/tenants", Some(json!({"name": name}))).await.expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    let body = json!({"tenant_id": id, "scopes": ["write"]});
    let key = program.manage(Method::POST, "/v1/api-keys", Some(body)).await.expect(201).json();
    (id, key["key"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tenants_share_a_server_and_never_meet() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let [(id, ours), (_, theirs)] = [tenant(&program, "ours").await, tenant(&program, "theirs").await];
    let body = json!({"url": destination.url(), "name": "marked-endpoint"});
    let endpoint = manage_as(&program, &ours, Method::POST, "/v1/endpoints", Some(body)).await.expect(201).json();
    let sent = program.post(endpoint["ingest_url"].as_str().unwrap(), &[], "body").await.expect(200).json();
    let event = format!("/v1/events/{}", sent["event_id"].as_str().unwrap());
    destination.wait_for(1).await;

    manage_as(&program, &ours, Method::GET, &event, None).await.expect(200);
    manage_as(&program, &theirs, Method::GET, &event, None).await.expect(404);
    let listed = manage_as(&program, &theirs, Method::GET, "/v1/endpoints", None).await.expect(200);
    assert_eq!(listed.json()["data"], json!([]));
    manage_as(&program, &ours, Method::GET, "/v1/tenants", None).await.expect(403);

    // Everything holds over a restart, and a suspension too.
    program.manage(Method::POST, &format!("/v1/tenants/{id}/suspend"), None).await.expect(200);
    program.kill().await;
    let program = Program::start(folder.path()).await;
    manage_as(&program, &ours, Method::GET, &event, None).await.expect(403);
    let path = endpoint["ingest_url"].as_str().unwrap().split_once("/ingest").unwrap().1;
    let ingest_url = format!("{}/ingest{path}", program.base);
    assert_eq!(program.post(&ingest_url, &[], "body").await.expect(403).code(), "E1014");
    program.manage(Method::POST, &format!("/v1/tenants/{id}/resume"), None).await.expect(200);
    program.post(&ingest_url, &[], "body").await.expect(200);
    manage_as(&program, &ours, Method::GET, &event, None).await.expect(200);
    destination.wait_for(2).await;
    assert!(program.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_signs_beside_the_former_one_and_a_test_goes_the_real_way() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path()).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = program.create_endpoint(json!({"url": destination.url()})).await;
    let path = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    let rotated = program.manage(Method::POST, &format!("{path}/rotate-secret"), None).await.expect(200).json();
    let tested = program.manage(Method::POST, &format!("{path}/test"), None).await.expect(202).json();
    let received = destination.wait_for(1).await.remove(0);
    assert_eq!(received.header("webhook-id"), tested["id"].as_str());
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!((&body["type"], &body["data"]["endpoint_id"]), (&json!("kapsel.test"), &endpoint["id"]));
    for secret in [&endpoint["signing_secret"], &rotated["signing_secret"]] {
        let official = standardwebhooks::Webhook::new(secret.as_str().unwrap()).unwrap();
        official.verify(&received.body, &received.headers).expect("both secrets sign");
    }
    program.wait_for_status(tested["id"].as_str().unwrap(), "delivered").await;

    // What was counted is there after an orderly stop.
    assert!(program.terminate().await.success());
    let program = Program::start(folder.path()).await;
    let figures = program.manage(Method::GET, &format!("{path}/stats"), None).await.expect(200).json();
    let expected = json!({"accepted": 1, "duplicates": 0, "refused": 0, "attempts_delivered": 1, "attempts_failed": 0});
    assert_eq!(figures["total"], expected);
    assert!(program.terminate().await.success());
}
