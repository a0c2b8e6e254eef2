//! What becomes of the work of an instance that ends.

use http::Method;
use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::program::{PATIENCE, Program};

/// How many deliveries an instance has under way when it ends.
const DELIVERIES: usize = 20;

/// Who holds leases.
const OWNERS: &str = "SELECT DISTINCT lease_owner FROM queue WHERE lease_owner IS NOT NULL";

/// Has `program` take in events and begin to deliver them to a destination that never answers. Returns the events' ids.
async fn hang(program: &Program, endpoint_id: &str, destination: &Destination) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..DELIVERIES {
        let answer = program.post(&ingest_url(program, endpoint_id), &[], "x").await.expect(200);
        ids.push(answer.json()["event_id"].as_str().unwrap().to_owned());
    }
    tokio::time::timeout(PATIENCE, destination.wait_for_count(DELIVERIES)).await.expect("it delivers");
    ids
}

/// Sends what is not under way yet to another destination.
async fn redirect(program: &Program, endpoint_id: &str, destination: &Destination) {
    let path = format!("/v1/endpoints/{endpoint_id}");
    program.manage(Method::PUT, &path, Some(json!({"url": destination.url()}))).await.expect(200);
}

/// Each of these events has been delivered, as far as the record goes at its first attempt.
async fn all_delivered_at_once(program: &Program, ids: &[String]) {
    for id in ids {
        let event = program.wait_for_status(id, "delivered").await;
        assert_eq!(event["attempts"].as_array().unwrap().len(), 1, "{event}");
    }
}

/// What an instance cannot finish before it is stopped, another one does right away.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_instance_hands_its_leases_back_at_once() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 2).await;
    let hanging = Destination::start(Behaviour::Hang).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": hanging.url()})).await;
    let ids = hang(&fleet[0], &endpoint_id, &hanging).await;
    let drained = database.sql(OWNERS).await;
    assert_eq!(drained.lines().count(), 1, "one instance has it all: {drained}");

    let good = Destination::start(Behaviour::Ok(200)).await;
    redirect(&fleet[1], &endpoint_id, &good).await;
    assert!(fleet.programs[0].take().unwrap().terminate().await.success());
    // Not a matter of time: it is gone and holds nothing.
    let held = format!("SELECT count(*) FROM queue WHERE lease_owner = '{drained}'");
    assert_eq!(database.sql(held).await, "0");
    all_delivered_at_once(&fleet[1], &ids).await;
    assert_eq!(good.count(), DELIVERIES);
    assert_eq!(hanging.count(), DELIVERIES);
    fleet.terminate().await;
}

/// An instance that was killed knows its own leases by its data folder and does not wait for their end.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_goes_on_with_its_own_work_after_its_restart() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 2).await;
    let hanging = Destination::start(Behaviour::Hang).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": hanging.url()})).await;
    let ids = hang(&fleet[0], &endpoint_id, &hanging).await;
    let tokens = "SELECT lease_token FROM queue WHERE lease_token IS NOT NULL ORDER BY lease_token";
    let before = database.sql(tokens).await;
    assert_eq!(before.lines().count(), DELIVERIES);

    let good = Destination::start(Behaviour::Ok(200)).await;
    redirect(&fleet[1], &endpoint_id, &good).await;
    fleet.kill(0).await;
    assert_eq!(database.sql(tokens).await, before, "the dead instance still holds its leases");
    fleet.start_again(0).await;
    // Not a matter of time: it took them back before it said that it listens.
    let left = format!("SELECT count(*) FROM queue WHERE lease_token IN ({})", before.replace('\n', ", "));
    assert_eq!(database.sql(left).await, "0");
    all_delivered_at_once(&fleet[0], &ids).await;
    assert_eq!(good.count(), DELIVERIES);
    fleet.terminate().await;
}

/// An instance that never comes back keeps nobody waiting beyond the end of its leases.
#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_dead_instance_is_taken_over_when_its_lease_ends() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 2).await;
    let hanging = Destination::start(Behaviour::Hang).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": hanging.url()})).await;
    let ids = hang(&fleet[0], &endpoint_id, &hanging).await;
    let dead = database.sql(OWNERS).await;

    let good = Destination::start(Behaviour::Ok(200)).await;
    redirect(&fleet[1], &endpoint_id, &good).await;
    fleet.kill(0).await;
    let ended = database.end_leases(&format!("lease_owner = '{dead}'")).await;
    assert_eq!(ended, DELIVERIES, "until then nobody touched them");
    all_delivered_at_once(&fleet[1], &ids).await;
    assert_eq!(good.count(), DELIVERIES);
    fleet.terminate().await;
}

/// Who wakes up after others took over changes nothing of what they wrote.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_slept_beyond_its_leases_writes_nothing() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 2).await;
    let hanging = Destination::start(Behaviour::Hang).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": hanging.url()})).await;
    let ids = hang(&fleet[0], &endpoint_id, &hanging).await;

    let good = Destination::start(Behaviour::Ok(200)).await;
    redirect(&fleet[1], &endpoint_id, &good).await;
    fleet[0].pause();
    assert_eq!(database.end_leases("true").await, DELIVERIES);
    all_delivered_at_once(&fleet[1], &ids).await;
    // Now its attempts fail, each of which would be a reason to try again.
    drop(hanging);
    fleet[0].resume();
    fleet.wait_until_results_are_written().await;
    all_delivered_at_once(&fleet[0], &ids).await;
    assert_eq!(good.count(), DELIVERIES);
    fleet.terminate().await;
}
