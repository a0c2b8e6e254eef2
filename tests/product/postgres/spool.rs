//! The database is away, and a local spool takes its place: nothing accepted is lost, whatever dies meanwhile.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use test_harness::destination::{Behaviour, Destination};

use super::{Database, ingest_url};
use crate::ledger::{Load, Tally};
use crate::program::{PATIENCE, Program};

/// How long the database is away while webhooks come in.
const AWAY: Duration = Duration::from_secs(20);
const SENDERS: usize = 4;

async fn start(database: &Database, folder: &Path, more: &[(&str, &str)]) -> Program {
    let url = database.url();
    let mut settings = vec![
        ("DATABASE_URL", url.as_str()),
        ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"),
        ("KAPSEL_SPOOL", "on"),
        ("RUST_LOG", "error"),
    ];
    settings.extend_from_slice(more);
    Program::start_with(folder, &settings).await
}

async fn readiness(program: &Program) -> Value {
    program.manage(http::Method::GET, "/health/ready", None).await.json()
}

async fn metric(program: &Program, name: &str) -> u64 {
    let page = program.manage(http::Method::GET, "/metrics", None).await.expect(200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let line = page.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{page}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until the spool is worked off.
async fn wait_until_direct(program: &Program) {
    let poll = async {
        while readiness(program).await["checks"]["spool"]["state"] != "direct" {
            tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.expect("the spool is worked off");
}

/// Waits until an event is in this state. It is not to be seen before it was moved into the database.
async fn wait_for_status(program: &Program, id: &str, status: &str) -> Value {
    let path = format!("/v1/events/{id}");
    let poll = async {
        loop {
            let answer = program.manage(http::Method::GET, &path, None).await;
            if answer.status == 200 && answer.json()["status"] == status {
                return answer.json();
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // paced: polling an HTTP API
        }
    };
    tokio::time::timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("{id} did not become {status}"))
}

/// The database is away for twenty seconds under load, Kapsel is killed in the middle of it, and both come back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_spooled_survives_the_kill_and_arrives() {
    let database = Database::own(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = start(&database, &data, &[]).await;
    let endpoint_id =
        program.create_endpoint(json!({"url": destination.url()})).await["id"].as_str().unwrap().to_owned();
    let load = Load::start(SENDERS, folder.path(), vec![Some(ingest_url(&program, &endpoint_id))]);
    load.wait_for_more(100).await;

    database.with_cluster(|cluster| cluster.stop_immediate()).await;
    let begin = tokio::time::Instant::now();
    load.wait_for_more(200).await;
    let ready = readiness(&program).await;
    assert_eq!((&ready["status"], &ready["checks"]["store"]), (&json!("spooling"), &json!("unavailable")), "{ready}");
    assert_eq!(metric(&program, "kapsel_spool_active").await, 1);
    assert!(metric(&program, "kapsel_spool_events").await > 0);
    tokio::time::sleep_until(begin + AWAY / 2).await; // paced: how long the database is away
    load.set_target(0, None);
    program.kill().await;
    tokio::time::sleep_until(begin + AWAY).await; // paced: how long the database is away
    database.with_cluster(|cluster| cluster.start_again()).await;

    let program = start(&database, &data, &[]).await;
    load.set_target(0, Some(ingest_url(&program, &endpoint_id)));
    load.wait_for_more(100).await;
    let acknowledged = load.stop().await;
    program.wait_for_readiness(200).await;
    // While events are in the spool, nothing in the database tells of them.
    wait_until_direct(&program).await;
    // A batch whose outcome was unknown when the database went away may have been stored under a lease of the slot that
    // nobody uses any more.
    database.wait_until("SELECT count(*) FROM queue WHERE lease_token IS NULL", "0").await;
    database.end_leases("true").await;
    program.wait_until_nothing_is_undelivered().await;
    let tally = Tally::of(&acknowledged, &destination.received());
    println!("the database away for {AWAY:?}, Kapsel killed meanwhile: {tally}");
    tally.check(400);
    assert_eq!(metric(&program, "kapsel_spool_events").await, 0);
    assert!(program.terminate().await.success());
}

/// Keys are kept over the outage: what was accepted before it, and what is sent twice during it, is delivered once.
#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_over_the_outage() {
    let database = Database::own(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = start(&database, folder.path(), &[]).await;
    let endpoint_id =
        program.create_endpoint(json!({"url": destination.url()})).await["id"].as_str().unwrap().to_owned();
    let url = ingest_url(&program, &endpoint_id);
    let post = async |key: &str, body: &'static str| {
        let answer = program.post(&url, &[("idempotency-key", key)], body).await;
        answer.expect(200).json()["event_id"].as_str().unwrap().to_owned()
    };
    let before = post("before", "one").await;
    wait_for_status(&program, &before, "delivered").await;
    database.with_cluster(|cluster| cluster.stop_immediate()).await;

    // The spool cannot know what the database knows: it takes the event, and the duplicate shows when the two meet.
    let again = post("before", "one").await;
    let other = post("before-with-another-body", "two").await;
    let during = post("during", "three").await;
    assert_eq!(post("during", "three").await, during, "told within the spool");
    let conflict = program.post(&url, &[("idempotency-key", "during")], "four").await;
    assert_eq!((conflict.status.as_u16(), conflict.code().as_str()), (409, "E1005"));

    database.with_cluster(|cluster| cluster.start_again()).await;
    wait_for_status(&program, &during, "delivered").await;
    wait_for_status(&program, &other, "delivered").await;
    let duplicate = wait_for_status(&program, &again, "discarded").await;
    assert_eq!(duplicate["reason"], "duplicate");
    let arrived: Vec<_> =
        destination.received().iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(arrived.len(), 3, "{arrived:?}");
    assert!(!arrived.contains(&again));
    assert_eq!(post("during", "three").await, during, "the key moved into the database with its event");
    assert!(program.terminate().await.success());
}

/// The spool is bounded. When it is full, webhooks are refused as if there were none, and what is in it arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_and_keeps_what_it_has() {
    let database = Database::own(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = start(&database, folder.path(), &[("KAPSEL_SPOOL_MAX_BYTES", "1048576")]).await;
    let endpoint_id =
        program.create_endpoint(json!({"url": destination.url()})).await["id"].as_str().unwrap().to_owned();
    let url = ingest_url(&program, &endpoint_id);
    database.with_cluster(|cluster| cluster.stop_immediate()).await;
    let mut accepted = Vec::new();
    let refused = loop {
        let answer = program.post(&url, &[], vec![b'x'; 200_000]).await;
        if answer.status != 200 {
            break answer;
        }
        accepted.push(answer.json()["event_id"].as_str().unwrap().to_owned());
        assert!(accepted.len() < 10, "the spool has a bound");
    };
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "E3001"));
    assert!(refused.headers.contains_key("retry-after"));
    assert!(accepted.len() >= 4, "{}", accepted.len());
    program.wait_for_readiness(503).await;

    database.with_cluster(|cluster| cluster.start_again()).await;
    for id in &accepted {
        wait_for_status(&program, id, "delivered").await;
    }
    program.wait_for_readiness(200).await;
    program.post(&url, &[], "small").await.expect(200);
    assert!(program.terminate().await.success());
}

/// Who turns the spool off while something is in it loses nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_a_spool_is_moved_though_it_was_turned_off() {
    let database = Database::own(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let program = start(&database, folder.path(), &[]).await;
    let endpoint_id =
        program.create_endpoint(json!({"url": destination.url()})).await["id"].as_str().unwrap().to_owned();
    database.with_cluster(|cluster| cluster.stop_immediate()).await;
    let answer = program.post(&ingest_url(&program, &endpoint_id), &[], "spooled").await.expect(200);
    let id = answer.json()["event_id"].as_str().unwrap().to_owned();
    program.kill().await;
    database.with_cluster(|cluster| cluster.start_again()).await;
    let program = start(&database, folder.path(), &[("KAPSEL_SPOOL", "off")]).await;
    wait_for_status(&program, &id, "delivered").await;
    assert!(program.terminate().await.success());
}
