//! Several instances on one database: no work is done twice, and no key is used twice.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{DeliveryId, DeliveryState, Endpoint};
use kapsel_store::{
    AdminStore as _, ChangeSeq, ClaimRequest, DeliveryStore as _, EndpointDirectory, EventFilter, Ingested, LaneQuota,
    NewEvent, Settled, StoreError,
};
use kapsel_store_postgres::PostgresStore;
use test_harness::postgres::shared;

use crate::support::{World, key, migrated_database, open, options, psql};

async fn instances<const N: usize>() -> [PostgresStore; N] {
    let database = migrated_database().await;
    let mut stores = Vec::new();
    for _ in 0..N {
        stores.push(open(&options(shared(), &database)).await.unwrap());
    }
    stores.try_into().unwrap()
}

/// However many claim at once, each delivery goes to one of them, and none is left behind.
#[tokio::test(flavor = "multi_thread")]
async fn claims_of_many_instances_share_the_work_out() {
    let stores = instances::<3>().await;
    let world = World::new();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for _ in 0..4 {
        endpoints.push(world.endpoint(&stores[0]).await);
    }
    for endpoint in &endpoints {
        let batch = (0..150).map(|_| world.event(endpoint)).collect();
        world.insert(&stores[0], batch).await.unwrap();
    }
    let lanes: Vec<_> = endpoints.iter().map(|endpoint| LaneQuota::without_circuit(endpoint.id, 7)).collect();
    let mut claimers = Vec::new();
    for store in &stores {
        for _ in 0..2 {
            let (store, lanes, lease, now) = (store.clone(), lanes.clone(), world.lease(), world.now());
            claimers.push(tokio::spawn(async move {
                let mut claimed: Vec<DeliveryId> = Vec::new();
                let mut empty = 0;
                // Rows that others have locked are passed over, so one empty answer does not mean the end.
                while empty < 20 {
                    let request = ClaimRequest { lease, lanes: lanes.clone(), body_bytes_max: usize::MAX };
                    let more = store.delivery_claim_due(now, request).await.unwrap();
                    empty = if more.is_empty() { empty + 1 } else { 0 };
                    claimed.extend(more.iter().map(|claimed| claimed.delivery.id));
                }
                claimed
            }));
        }
    }
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    assert_eq!(all.len(), 600, "each once");
    assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), 600);
}

/// One wins, whatever the moment; the others are told who. Around midnight the use falls into different buckets for
/// instances whose clocks differ a little.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_used_by_many_at_the_same_moment_is_used_once() {
    let stores = instances::<3>().await;
    let world = World::new();
    let endpoint = world.endpoint(&stores[0]).await;
    // The test clock begins at midnight: a window of a day ends at midnight too.
    let window = Duration::from_secs(24 * 3_600);
    for round in 0..40_u64 {
        let text = format!("key {round}");
        let mut tasks = Vec::new();
        for (place, store) in stores.iter().enumerate() {
            for copy in 0..2_u64 {
                let new = NewEvent { key: Some(key(&text, window)), ..world.event(&endpoint) };
                // From 90 s before midnight to 90 s after it.
                let skew = [-90_i64, 0, 90][place] * 1_000_000;
                let now = kapsel_core::Timestamp::from_unix_micros(world.now().unix_micros() + skew);
                let now = now + Duration::from_millis(copy * round);
                let store = store.clone();
                tasks.push(tokio::spawn(async move {
                    let id = new.event.id;
                    let answer =
                        kapsel_store::IngestStore::event_insert_batch(&store, now, Arc::new(vec![new])).await.unwrap();
                    (id, answer[0])
                }));
            }
        }
        let mut created = Vec::new();
        let mut originals = HashSet::new();
        for task in tasks {
            match task.await.unwrap() {
                (id, Ingested::Created) => created.push(id),
                (_, Ingested::Replay { original }) => _ = originals.insert(original),
                (_, other) => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!(created.len(), 1, "round {round}: {created:?}");
        assert_eq!(originals, HashSet::from([created[0]]), "round {round}");
    }
    let listed = stores[0]
        .event_list(endpoint.tenant_id, EventFilter::default(), 1_000, world.now() + Duration::from_secs(200))
        .await
        .unwrap();
    assert_eq!(listed.len(), 40);
}

/// Batches with the same keys in any order do not lock each other out.
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_batches_of_many_instances_end() {
    let stores = instances::<3>().await;
    let world = World::new();
    let endpoint = world.endpoint(&stores[0]).await;
    let window = Duration::from_secs(3_600);
    let mut tasks = Vec::new();
    for (place, store) in stores.iter().enumerate() {
        let mut batch: Vec<NewEvent> = (0..200)
            .map(|number| NewEvent { key: Some(key(&format!("k{number}"), window)), ..world.event(&endpoint) })
            .collect();
        batch.rotate_left(place * 61);
        let (store, now) = (store.clone(), world.now());
        tasks.push(tokio::spawn(async move {
            kapsel_store::IngestStore::event_insert_batch(&store, now, Arc::new(batch)).await.unwrap()
        }));
    }
    let mut created = 0;
    for task in tasks {
        created += task.await.unwrap().iter().filter(|answer| **answer == Ingested::Created).count();
    }
    assert_eq!(created, 200);
}

/// A try whose connection was lost may still be under way when its batch is sent again, and deliveries of the first may be
/// over by then: each event is stored once, and queued once.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_sent_by_many_at_once_is_stored_once() {
    let stores = instances::<3>().await;
    let world = World::new();
    let endpoint = world.endpoint(&stores[0]).await;
    let window = Duration::from_secs(3_600);
    for round in 0..20 {
        let batch: Vec<NewEvent> = (0..30)
            .map(|number| {
                let mut new = world.event(&endpoint);
                // One round without keys, one with keys for some, one that differs from what is usual.
                new.key = (round % 3 > 0 && number % 2 == 0).then(|| key(&format!("{round}/{number}"), window));
                if round % 3 == 2 && number == 7 {
                    new = NewEvent { key: new.key, ..world.event_with(&endpoint, vec![7; 100_000]) };
                }
                new
            })
            .collect();
        let mut tasks = Vec::new();
        for (place, store) in stores.iter().enumerate() {
            let (store, now, mut batch) = (store.clone(), world.now(), batch.clone());
            // Taken apart differently, as by an ingest side that looks for the one that is refused.
            batch.truncate(30 - place * 5);
            let batch = Arc::new(batch);
            tasks.push(tokio::spawn(async move {
                kapsel_store::IngestStore::event_insert_batch(&store, now, batch).await.unwrap()
            }));
        }
        for task in tasks {
            assert!(task.await.unwrap().iter().all(|answer| *answer == Ingested::Created));
        }
        let lanes = vec![LaneQuota::without_circuit(endpoint.id, 1_000)];
        let request = ClaimRequest { lease: world.lease(), lanes, body_bytes_max: usize::MAX };
        let claimed = stores[0].delivery_claim_due(world.now(), request).await.unwrap();
        assert_eq!(claimed.len(), 30, "round {round}");
        assert_eq!(world.insert(&stores[1], batch).await.unwrap(), [Ingested::Created; 30]);
    }
    let listed = stores[0].event_list(endpoint.tenant_id, EventFilter::default(), 1_000, world.now()).await.unwrap();
    assert_eq!(listed.len(), 600);
}

/// Delivered by whoever holds the lease, and by nobody else, at the very same moment too: one attempt is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_many_finish_is_finished_once() {
    let stores = instances::<3>().await;
    let world = World::new();
    let endpoint = world.endpoint(&stores[0]).await;
    for round in 0..30 {
        let lease = world.lease();
        let mut new = world.event(&endpoint);
        new.deliveries[0].lease = Some(lease);
        world.insert(&stores[0], vec![new.clone()]).await.unwrap();
        let settlement = world.delivered(&new, lease);
        let delivery = settlement.attempt.delivery;
        let mut tasks = Vec::new();
        for store in &stores {
            let (store, now, batch) = (store.clone(), world.now(), Arc::new(vec![settlement.clone()]));
            tasks.push(tokio::spawn(async move { store.delivery_settle_if_leased(now, batch).await.unwrap()[0] }));
        }
        // Somebody gives the lease back meanwhile: then nobody's word counts any more.
        let (store, now) = (stores[1].clone(), world.now());
        let give_back = tokio::spawn(async move {
            store.delivery_release_if_leased(now, vec![(delivery, lease)]).await.unwrap();
        });
        let mut written = 0;
        for task in tasks {
            written += usize::from(task.await.unwrap() == Settled::Written);
        }
        give_back.await.unwrap();
        let detail = stores[0].event_get(endpoint.tenant_id, new.event.id, now).await.unwrap();
        assert_eq!(detail.attempts.len(), written, "round {round}");
        let expected = if written == 1 { DeliveryState::Delivered } else { DeliveryState::Received };
        assert_eq!((written <= 1, detail.summary.status), (true, expected), "round {round}");
    }
}

/// A storm of one key in one batch is answered without a round trip for each.
#[tokio::test]
async fn many_copies_in_one_batch_are_one_event() {
    let [store] = instances::<1>().await;
    let world = World::new();
    let endpoint = world.endpoint(&store).await;
    let window = Duration::from_secs(3_600);
    let batch: Vec<NewEvent> =
        (0..500).map(|_| NewEvent { key: Some(key("same", window)), ..world.event(&endpoint) }).collect();
    let original = batch[0].event.id;
    let answers = world.insert(&store, batch).await.unwrap();
    assert_eq!(answers[0], Ingested::Created);
    assert!(answers[1..].iter().all(|answer| *answer == Ingested::Replay { original }));
}

/// Who reads on from the last change it saw misses none, however many change at once.
#[tokio::test(flavor = "multi_thread")]
async fn changes_made_by_many_instances_are_all_seen() {
    let stores = instances::<3>().await;
    let world = Arc::new(World::new());
    let reader = stores[0].clone();
    let (done, is_done) = tokio::sync::watch::channel(false);
    let reading = tokio::spawn(async move {
        let (mut seen, mut since) = (HashSet::new(), ChangeSeq::default());
        loop {
            let is_last = *is_done.borrow();
            for change in reader.endpoint_changes(since, 10).await.unwrap() {
                assert!(change.seq > since);
                since = change.seq;
                seen.insert(change.id);
            }
            if is_last && reader.endpoint_changes(since, 1).await.unwrap().is_empty() {
                return seen;
            }
        }
    });
    let mut writers = Vec::new();
    for store in stores {
        let world = Arc::clone(&world);
        writers.push(tokio::spawn(async move {
            let mut made = Vec::new();
            for _ in 0..40 {
                made.push(world.endpoint(&store).await.id);
            }
            made
        }));
    }
    let mut made = HashSet::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    done.send_replace(true);
    assert_eq!(reading.await.unwrap(), made);
}

/// A retry by hand that meets the end of the attempt under way does not wipe out what that left: whatever the order, the
/// event is either refused a retry, or queued anew, or failed, and never taken for delivered.
#[tokio::test(flavor = "multi_thread")]
async fn a_requeue_that_meets_a_settlement_loses_nothing() {
    let [one, two] = instances::<2>().await;
    let world = World::new();
    let endpoint = world.endpoint(&one).await;
    for round in 0..60 {
        let lease = world.lease();
        let mut new = world.event(&endpoint);
        new.deliveries[0].lease = Some(lease);
        world.insert(&one, vec![new.clone()]).await.unwrap();
        let settlement = world.failed(&new, lease);
        let (event_id, now) = (new.event.id, world.now());
        let (store, other, tenant_id) = (one.clone(), two.clone(), endpoint.tenant_id);
        let settle =
            tokio::spawn(async move { store.delivery_settle_if_leased(now, Arc::new(vec![settlement])).await });
        let requeue = tokio::spawn(async move {
            // Until the attempt is over: then it is let through.
            loop {
                match other.event_requeue(tenant_id, event_id, now).await {
                    Err(StoreError::Conflict(_)) => tokio::task::yield_now().await,
                    result => return result,
                }
            }
        });
        settle.await.unwrap().unwrap();
        requeue.await.unwrap().unwrap();
        let detail = one.event_get(endpoint.tenant_id, event_id, now).await.unwrap();
        assert_eq!(detail.summary.status, DeliveryState::Pending, "round {round}: {detail:?}");
        assert_eq!(detail.attempts.len(), 1);
    }
}

/// A newer instance, or damage, can leave an endpoint that this program cannot read. The others go on hearing of each
/// other's changes, and whoever knew it keeps it as it was.
#[tokio::test]
async fn an_endpoint_that_cannot_be_read_holds_up_no_other() {
    let database = migrated_database().await;
    let store = open(&options(shared(), &database)).await.unwrap();
    let world = World::new();
    let strange = world.endpoint(&store).await;
    let directory = EndpointDirectory::load(Arc::new(store.clone())).await.unwrap();
    let next = "UPDATE endpoint_change_counter SET seq = seq + 1 RETURNING seq";
    let change = format!(
        "WITH next AS ({next}) UPDATE endpoints SET config = '{{\"from\": \"the future\"}}', changed_seq = next.seq \
         FROM next WHERE id = '{}'",
        uuid::Uuid::from_bytes(*strange.id.as_bytes()),
    );
    psql(&database, &change).await;
    let other = world.endpoint(&store).await;
    directory.refresh().await.unwrap();
    assert!(directory.get(other.id).is_some());
    assert_eq!(directory.get(strange.id).unwrap().endpoint, strange, "as it was");
    let fresh = EndpointDirectory::load(Arc::new(store.clone())).await.unwrap();
    assert!(fresh.get(other.id).is_some() && fresh.get(strange.id).is_none());
}
