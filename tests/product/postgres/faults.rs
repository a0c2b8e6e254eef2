//! Accepted is kept, whatever dies: instances, the database server, single connections.

use std::time::Duration;

use kapsel_core::{Entropy as _, SystemEntropy};
use serde_json::json;
use test_harness::SeededEntropy;
use test_harness::destination::{Behaviour, Destination};

use super::{Database, Fleet, ingest_url};
use crate::attestation::fsck;
use crate::ledger::{Load, Tally};

const KILLS: usize = 20;
const OUTAGES: usize = 5;
const CUTS: usize = 30;
const SENDERS: usize = 8;
/// So many webhooks are taken in at least before the next fault.
const LOAD_MIN: usize = 20;
/// The longest time under load before the next fault, in milliseconds.
const LOAD_MS_MAX: u64 = 200;

/// Cuts every connection that the instances have to their database.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'kapsel' AND datname = current_database()";

/// Lets the load run for a while, as chance has it.
async fn load_a_while(chance: &SeededEntropy) {
    tokio::time::sleep(Duration::from_millis(chance.below(LOAD_MS_MAX))).await; // paced: the moment of the fault
}

/// Starts senders, and a destination with its endpoint. That takes few deliveries at once, so that some go straight from
/// the commit to their attempt and some by way of the queue.
async fn start_load(fleet: &Fleet) -> (String, Destination, Load) {
    let destination = Destination::start(Behaviour::Ok(200)).await;
    let endpoint_id = fleet.create_endpoint(json!({"url": destination.url(), "max_in_flight": 4})).await;
    let load = Load::start(SENDERS, fleet.folder.path(), fleet.ingest_urls(&endpoint_id));
    (endpoint_id, destination, load)
}

/// Instances die at any moment, the others go on: everything that any of them acknowledged arrives, and a webhook that
/// is repeated at another instance with its key stays one event.
#[tokio::test(flavor = "multi_thread")]
async fn three_instances_one_is_killed_at_random_over_and_over() {
    let seed = SystemEntropy.next_u64();
    let chance = SeededEntropy::new(seed);
    let database = Database::shared().await;
    let mut fleet = Fleet::start(&database, 3).await;
    let (endpoint_id, destination, load) = start_load(&fleet).await;

    for _ in 0..KILLS {
        load_a_while(&chance).await;
        let victim = usize::try_from(chance.below(3)).unwrap();
        fleet.kill(victim).await;
        load.set_target(victim, None);
        // The others take over meanwhile.
        load.wait_for_more(1).await;
        fleet.start_again(victim).await;
        load.set_target(victim, Some(ingest_url(&fleet[victim], &endpoint_id)));
    }
    let acknowledged = load.stop().await;

    let leases_ended = fleet.wait_until_delivered(&database).await;
    let tally = Tally::of(&acknowledged, &destination.received());
    println!("seed {seed}: {KILLS} kills, {tally}, {leases_ended} leases ended");
    tally.check(KILLS);
    fleet.terminate().await;
    fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
}

/// The database server crashes and comes back: senders are told to come again, nothing acknowledged is lost, and no
/// instance needs a restart.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_immediately_in_mid_load() {
    let seed = SystemEntropy.next_u64();
    let chance = SeededEntropy::new(seed);
    let database = Database::own(&[]).await;
    let fleet = Fleet::start(&database, 2).await;
    let (_, destination, load) = start_load(&fleet).await;

    for outage in 0..OUTAGES {
        load.wait_for_more(LOAD_MIN).await;
        load_a_while(&chance).await;
        database.with_cluster(|cluster| cluster.stop_immediate()).await;
        if outage == 0 {
            // This one is longer than a commit is tried; the others are bridged.
            let refused = load.wait_for_refusal().await;
            assert_eq!(refused.code(), "E3001");
            let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(seconds > 0);
            for program in fleet.programs() {
                program.wait_for_readiness(503).await;
            }
        } else {
            load_a_while(&chance).await;
        }
        database.with_cluster(|cluster| cluster.start_again()).await;
    }
    load.wait_for_more(LOAD_MIN).await;
    for program in fleet.programs() {
        program.wait_for_readiness(200).await;
    }
    let acknowledged = load.stop().await;

    // By the same processes as at the beginning.
    let leases_ended = fleet.wait_until_delivered(&database).await;
    let tally = Tally::of(&acknowledged, &destination.received());
    println!("seed {seed}: {OUTAGES} outages, {tally}, {leases_ended} leases ended");
    tally.check(OUTAGES * LOAD_MIN);
    // They can be stopped in order while the server is away.
    database.with_cluster(|cluster| cluster.stop_immediate()).await;
    fleet.terminate().await;
    database.with_cluster(|cluster| cluster.start_again()).await;
    fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
}

/// Connections break at any moment, in the middle of whatever they are used for: nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_in_mid_load() {
    let seed = SystemEntropy.next_u64();
    let chance = SeededEntropy::new(seed);
    let database = Database::shared().await;
    let fleet = Fleet::start(&database, 2).await;
    let (_, destination, load) = start_load(&fleet).await;

    let mut connections: usize = 0;
    for _ in 0..CUTS {
        load.wait_for_more(LOAD_MIN).await;
        load_a_while(&chance).await;
        connections += database.sql(CUT).await.parse::<usize>().unwrap();
    }
    let acknowledged = load.stop().await;

    let leases_ended = fleet.wait_until_delivered(&database).await;
    let tally = Tally::of(&acknowledged, &destination.received());
    println!("seed {seed}: {CUTS} cuts of {connections} connections, {tally}, {leases_ended} leases ended");
    assert!(connections > CUTS, "there was something to cut: {connections}");
    tally.check(CUTS * LOAD_MIN);
    fleet.terminate().await;
    fsck(&[("DATABASE_URL", &database.url())]).await.expect(0);
}
