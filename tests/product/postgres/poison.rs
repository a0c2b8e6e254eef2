//! An event that the database refuses harms nobody but itself.

use std::fs::File;

use serde_json::json;
use test_harness::destination::{Behaviour, Destination};
use tokio::task::JoinSet;

use super::{Database, Fleet, ingest_url};
use crate::program::{PATIENCE, Program, post_request, send};

const EVENTS: usize = 50;
const POISONED: usize = 17;
/// Has the database refuse some events.
const REFUSE: &str = "ALTER TABLE events ADD CONSTRAINT poison CHECK (content_type <> 'application/poison') NOT VALID";

/// Of many events that are stored together, one is refused by the database: its sender is told so, and the others are
/// stored and delivered.
#[tokio::test(flavor = "multi_thread")]
async fn poison_event_spoils_nobody_else() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 1).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    database.sql(REFUSE).await;

    let post = |number: usize| {
        let (client, url) = (fleet[0].client(), ingest_url(&fleet[0], &endpoint_id));
        async move {
            let content_type = if number == POISONED { "application/poison" } else { "application/json" };
            let request = post_request(&url, &[("content-type", content_type)], number.to_string());
            (number, send(&client, request).await.unwrap())
        }
    };
    let mut posts: JoinSet<_> = (0..EVENTS).map(post).collect();
    while let Some(posted) = posts.join_next().await {
        let (number, answer) = posted.unwrap();
        if number == POISONED {
            let answer = answer.expect(500);
            assert_eq!(answer.code(), "E3006");
            assert!(!answer.json().to_string().contains("poison"), "what the database said is for the log: {answer:?}");
        } else {
            answer.expect(200);
        }
    }
    tokio::time::timeout(PATIENCE, destination.wait_for_count(EVENTS - 1)).await.expect("the others are delivered");
    fleet[0].wait_until_nothing_is_undelivered().await;
    let mut arrived: Vec<usize> = destination
        .received()
        .iter()
        .map(|request| std::str::from_utf8(&request.body).unwrap().parse().unwrap())
        .collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (0..EVENTS).filter(|number| *number != POISONED).collect::<Vec<_>>());
    assert_eq!(fleet[0].list_events("").await.len(), EVENTS - 1);
    fleet.terminate().await;
}

/// What the database says of a row that it refuses may quote the row; nothing of that gets into the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_event_is_not_quoted_in_the_log() {
    let database = Database::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8")];
    let program = Program::start_logging(folder.path(), &settings, File::create(&log).unwrap()).await;
    let endpoint = program.create_endpoint(json!({"url": "http://127.0.0.1:9/"})).await;
    database.sql(REFUSE).await;
    let headers = [("content-type", "application/poison"), ("a", "my-token")];
    program.post(endpoint["ingest_url"].as_str().unwrap(), &headers, "my-secret").await.expect(500);
    assert!(program.terminate().await.success());
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("the store refused an event"), "{log}");
    for secret in ["my-token", "my-secret"] {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!log.contains(secret) && !log.contains(&hex), "{secret} is in the log: {log}");
    }
}
