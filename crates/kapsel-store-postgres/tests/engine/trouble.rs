//! Trouble with the server: cut connections, restarts, locks, no room left. Nothing that was confirmed is lost, and what
//! was not can be repeated.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{EventId, Timestamp};
use kapsel_store::{AdminStore as _, EventFilter, IngestStore as _, Ingested, NewEvent, StoreError};
use kapsel_store_postgres::PostgresStore;
use test_harness::postgres::{PostgresCluster, shared};

use crate::support::{World, blocking, key, migrated_database, open, options, psql};

/// Stores a batch as the ingest side does: again and again, under the same ids, until it is confirmed.
async fn insert_until_confirmed(store: &PostgresStore, now: Timestamp, batch: Vec<NewEvent>) -> Vec<Ingested> {
    let batch = Arc::new(batch);
    loop {
        match store.event_insert_batch(now, Arc::clone(&batch)).await {
            Ok(answers) => return answers,
            Err(StoreError::Unavailable { .. }) => {
                tokio::time::sleep(Duration::from_millis(20)).await; // paced: a server that comes back
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn stored_ids(store: &PostgresStore, world: &World) -> HashSet<EventId> {
    let everything = store.event_list(kapsel_core::TenantId::DEFAULT, EventFilter::default(), 100_000, world.now());
    everything.await.unwrap().into_iter().map(|event| event.id).collect()
}

/// Loads a store until `trouble` is over and returns the ids that were confirmed as created.
async fn load_during(store: &PostgresStore, world: &Arc<World>, trouble: impl Future<Output = ()>) -> HashSet<EventId> {
    let endpoint = world.endpoint(store).await;
    let (over, is_over) = tokio::sync::watch::channel(false);
    let writers: Vec<_> = (0..3_u32)
        .map(|writer| {
            let (store, world, endpoint, is_over) =
                (store.clone(), Arc::clone(world), endpoint.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut confirmed = HashSet::new();
                let mut number = 0;
                while !*is_over.borrow() {
                    let batch: Vec<NewEvent> = (0..20)
                        .map(|_| {
                            number += 1;
                            let key = Some(key(&format!("{writer}/{number}"), Duration::from_secs(3_600)));
                            NewEvent { key, ..world.event(&endpoint) }
                        })
                        .collect();
                    let ids: Vec<_> = batch.iter().map(|new| new.event.id).collect();
                    let answers = insert_until_confirmed(&store, world.now(), batch).await;
                    // Whatever the first try did, the repeated one knows its own.
                    assert!(answers.iter().all(|answer| *answer == Ingested::Created), "{answers:?}");
                    confirmed.extend(ids);
                }
                confirmed
            })
        })
        .collect();
    trouble.await;
    over.send_replace(true);
    let mut confirmed = HashSet::new();
    for writer in writers {
        confirmed.extend(writer.await.unwrap());
    }
    confirmed
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_nothing_and_store_nothing_twice() {
    let database = migrated_database().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    let world = Arc::new(World::new());
    let cut = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'");
    let confirmed = load_during(&store, &world, async {
        let mut ended = 0;
        while ended < 30 {
            ended += psql("postgres", &cut).await.parse::<usize>().unwrap();
        }
    })
    .await;
    assert!(!confirmed.is_empty());
    assert_eq!(stored_ids(&store, &world).await, confirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_loses_nothing_that_was_confirmed() {
    let cluster = Arc::new(blocking(|| PostgresCluster::start(&[])).await);
    let store = open(&options(&cluster, "postgres")).await.unwrap();
    let world = Arc::new(World::new());
    let confirmed = load_during(&store, &world, async {
        for _ in 0..3 {
            let cluster = Arc::clone(&cluster);
            blocking(move || {
                cluster.stop_immediate();
                cluster.start_again();
            })
            .await;
        }
    })
    .await;
    assert!(!confirmed.is_empty());
    let stored = loop {
        // The connections of before are dead, and each is found to be so by its next user.
        if store.ping().await.is_ok() {
            break stored_ids(&store, &world).await;
        }
    };
    assert_eq!(stored, confirmed);
}

/// No call waits for ever, and the server does not go on with what nobody waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_table_is_an_outage_and_not_a_hang() {
    let database = migrated_database().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    let world = World::new();
    let endpoint = world.endpoint(&store).await;
    let (locker, connection) = tokio_postgres::connect(&shared().url(&database), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    locker.batch_execute("BEGIN; LOCK TABLE endpoints IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let error = store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    // The lock on events is free: other work goes on meanwhile.
    world.insert(&store, vec![world.event(&endpoint)]).await.unwrap();
    locker.batch_execute("ROLLBACK").await.unwrap();
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while psql(&database, waiting).await != "0" {}
    assert_eq!(store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap(), endpoint);
}

/// Files of the server may not grow beyond a quota: what does not fit is refused, what was confirmed is there, and once
/// there is room again it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_refuses_and_loses_nothing() {
    let cluster = Arc::new(blocking(|| PostgresCluster::start(&[])).await);
    let store = open(&options(&cluster, "postgres")).await.unwrap();
    let world = World::new();
    let endpoint = world.endpoint(&store).await;
    let pid = std::fs::read_to_string(cluster.data_folder().join("postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    // Connections that are made from now on inherit it. Segments of the log have 16 MiB. Only the server's own user may
    // set it, so the server does.
    let limit = async |bytes: &str| {
        let set =
            format!("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; prlimit --pid {pid} --fsize={bytes}:unlimited'");
        let cluster = Arc::clone(&cluster);
        blocking(move || cluster.psql("postgres", &set)).await;
    };
    limit("20971520").await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kapsel'";
    let run = Arc::clone(&cluster);
    blocking(move || run.psql("postgres", cut)).await;

    let mut confirmed = HashSet::new();
    let mut refused = Vec::new();
    for _ in 0..400 {
        let new = world.event_with(&endpoint, vec![0x5a; 200_000]);
        let id = new.event.id;
        match world.insert(&store, vec![new.clone()]).await {
            Ok(answers) => {
                assert_eq!(answers, [Ingested::Created]);
                confirmed.insert(id);
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                refused.push(new);
            }
        }
        if refused.len() > 3 && confirmed.len() > 50 {
            break;
        }
    }
    assert!(confirmed.len() > 50 && refused.len() > 3, "{} {}", confirmed.len(), refused.len());

    limit("unlimited").await;
    let run = Arc::clone(&cluster);
    blocking(move || run.psql("postgres", cut)).await;
    let ids: Vec<_> = refused.iter().map(|new| new.event.id).collect();
    insert_until_confirmed(&store, world.now(), refused).await;
    confirmed.extend(ids);
    assert_eq!(stored_ids(&store, &world).await, confirmed);
}

/// An event that the database refuses for what it holds is told apart from an outage, so that the ingest side can take
/// its batch apart.
#[tokio::test]
async fn a_poison_row_is_not_an_outage() {
    let database = migrated_database().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    let world = World::new();
    let endpoint = world.endpoint(&store).await;
    psql(&database, "ALTER TABLE events ADD CONSTRAINT poison CHECK (body <> 'poison')").await;
    let batch = vec![world.event(&endpoint), world.event_with(&endpoint, "poison"), world.event(&endpoint)];
    let error = world.insert(&store, batch.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert!(stored_ids(&store, &world).await.is_empty(), "a batch is stored as a whole or not at all");
    for (new, is_fine) in batch.into_iter().zip([true, false, true]) {
        assert_eq!(world.insert(&store, vec![new]).await.is_ok(), is_fine);
    }
}
