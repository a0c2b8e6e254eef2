//! The log of attempts where instances share a database: one adds to it at a time, and it never forks.

use serde_json::json;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::attestation::{figure, fsck, package, ready};
use crate::program::Program;

const LEADER: &str = "SELECT lease_owner FROM logs";
/// The time of the lease is over, as it would be within ten seconds.
const END_LEASE: &str = "UPDATE logs SET lease_until = 0";
const SIZES: &str = "SELECT count(*) = count(DISTINCT size) FROM log_heads";

async fn deliver(program: &Program, endpoint_id: &str) -> String {
    let answer = program.post(&ingest_url(program, endpoint_id), &[], "x").await.expect(200).json();
    let id = answer["event_id"].as_str().unwrap().to_owned();
    program.wait_for_status(&id, "delivered").await;
    id
}

/// The leader dies, another one takes its place; the leader stands still and wakes up; the log has one root for each size.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_on_when_its_leader_does_not() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 2).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    let id = deliver(&fleet[0], &endpoint_id).await;
    package(&fleet[0], &id).await;
    let leader = database.sql(LEADER).await;
    let place = leader_place(&fleet, &leader);
    let other = 1 - place;

    // It stands still; the other one leads; it wakes up and follows.
    fleet[place].pause();
    database.sql(END_LEASE).await;
    let id = deliver(&fleet[other], &endpoint_id).await;
    package(&fleet[other], &id).await;
    assert_ne!(database.sql(LEADER).await, leader);
    fleet[place].resume();
    let id = deliver(&fleet[place], &endpoint_id).await;
    package(&fleet[place], &id).await;

    // Whoever leads now dies.
    let leader = database.sql(LEADER).await;
    let place = leader_place(&fleet, &leader);
    let other = 1 - place;
    fleet.kill(place).await;
    database.sql(END_LEASE).await;
    let id = deliver(&fleet[other], &endpoint_id).await;
    package(&fleet[other], &id).await;
    assert_ne!(database.sql(LEADER).await, leader);
    assert_eq!(database.sql(SIZES).await, "t");
    fleet.terminate().await;
    let said = fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
    assert_eq!(figure(&said, "leaves in the tree"), 4, "{said}");
    assert_eq!(database.sql("SELECT max(epoch) >= 3 FROM logs").await, "t");
}

/// Which of the two instances has this name.
fn leader_place(fleet: &Fleet, leader: &str) -> usize {
    let name = |index: usize| std::fs::read_to_string(fleet.data_folder(index).join("instance-id")).unwrap();
    let bytes: kapsel_core::InstanceId = name(0).trim().parse().unwrap();
    let first = bytes.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    usize::from(first != leader.replace('-', ""))
}

/// The connections of the leader are cut, in the middle of whatever it does: it goes on, and nothing is torn.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_connections_are_cut_tears_nothing() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 2).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE application_name = 'kapsel' AND datname = current_database()";
    for round in 0..20 {
        deliver(&fleet[round % 2], &endpoint_id).await;
        database.sql(cut).await;
    }
    let id = deliver(&fleet[0], &endpoint_id).await;
    package(&fleet[0], &id).await;
    fleet.terminate().await;
    let said = fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
    assert!(figure(&said, "leaves in the tree") >= 21, "{said}");
}

/// A bit that flips in a tile is found before the next head is signed; the log stands still and says why, deliveries go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_is_found_before_it_is_signed() {
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 1).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    for _ in 0..3 {
        let id = deliver(&fleet[0], &endpoint_id).await;
        package(&fleet[0], &id).await;
    }
    // A leader knows the tile that it adds to, and would write it anew as it was.
    fleet.kill(0).await;
    let flip = "UPDATE log_tiles SET hashes = set_byte(hashes, 40, get_byte(hashes, 40) # 1) WHERE level = 0";
    database.sql(flip).await;
    fleet.start_again(0).await;
    let size = ready(&fleet[0], "/attestation/sth").await["tree_size"].clone();
    deliver(&fleet[0], &endpoint_id).await;
    let alarm = fleet[0].wait_for_alarm().await;
    assert!(alarm.contains("damaged"), "{alarm}");
    assert_eq!(ready(&fleet[0], "/attestation/sth").await["tree_size"], size);
    let said = fsck(&[("DATABASE_URL", &database.url())]).await.expect(1);
    assert!(said.contains("tile 0 of level 0"), "{said}");

    // It goes on by itself once the tile is mended.
    database.sql(flip).await;
    let id = deliver(&fleet[0], &endpoint_id).await;
    package(&fleet[0], &id).await;
    fleet.terminate().await;
    fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
}

/// An instance without the key delivers, and leaves the log to those that have it.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_the_key_does_not_lead() {
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 1).await;
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url()})).await;
    let folder = tempfile::tempdir().unwrap();
    let url = database.url();
    let settings = [("DATABASE_URL", url.as_str()), ("KAPSEL_ALLOW_DESTINATIONS", "127.0.0.0/8"), ("RUST_LOG", "off")];
    let keyless = Program::start_with(folder.path(), &settings).await;
    let id = deliver(&keyless, &endpoint_id).await;
    package(&keyless, &id).await;
    assert!(!folder.path().join("attestation-keys").exists(), "it makes none of its own");
    assert_eq!(database.sql("SELECT count(*) FROM log_keys").await, "2");
    assert!(keyless.terminate().await.success());
    fleet.terminate().await;
}
