//! Instances hear of each other's changes.

use std::time::Duration;

use http::Method;
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::program::{PATIENCE, Program, run, text};

/// Posts until the answer has this status; each time, nothing else than `before` may come.
async fn post_until(program: &Program, endpoint_id: &str, before: u16, status: u16) {
    let url = ingest_url(program, endpoint_id);
    let poll = async {
        loop {
            let answer = program.post(&url, &[], "x").await;
            if answer.status == status {
                return;
            }
            answer.expect(before);
            tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("the answer did not become {status}"));
}

/// A change made through one instance holds at once there, and soon at the other.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_see_each_others_endpoints() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 2).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint = fleet[0].create_endpoint(json!({"url": destination.url()})).await;
    let id = endpoint["id"].as_str().unwrap();
    let path = format!("/v1/endpoints/{id}");
    let seen = fleet[1].manage(Method::GET, &path, None).await.expect(200).json();
    assert_eq!(seen["url"], endpoint["url"]);

    // The instance that made a change knows it at once, the other one soon.
    fleet[0].post(&ingest_url(&fleet[0], id), &[], "x").await.expect(200);
    post_until(&fleet[1], id, 404, 200).await;
    for status in ["disabled", "enabled"] {
        let change = json!({"url": destination.url(), "status": status});
        fleet[0].manage(Method::PUT, &path, Some(change)).await.expect(200);
        let (before, after) = if status == "disabled" { (200, 410) } else { (410, 200) };
        fleet[0].post(&ingest_url(&fleet[0], id), &[], "x").await.expect(after);
        post_until(&fleet[1], id, before, after).await;
    }
    fleet[1].manage(Method::DELETE, &path, None).await.expect(204);
    fleet[1].post(&ingest_url(&fleet[1], id), &[], "x").await.expect(404);
    post_until(&fleet[0], id, 200, 404).await;
    fleet.terminate().await;
}

/// `kapsel migrate` does what the start does, and nothing when it is done.
#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_as_good_as_once() {
    let database = Database::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("KAPSEL_DATA_DIR", folder.path().to_str().unwrap())];
    let schema = "SELECT version, name, encode(checksum, 'hex') FROM schema_migrations ORDER BY version";
    let mut schemas = Vec::new();
    for _ in 0..2 {
        let output = run(&["migrate"], &settings).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
        schemas.push(database.sql(schema).await);
    }
    assert!(!schemas[0].is_empty());
    assert_eq!(schemas[0], schemas[1]);
    let fleet = Fleet::start(&database, 1).await;
    assert_eq!(database.sql(schema).await, schemas[0]);
    fleet.terminate().await;
}
