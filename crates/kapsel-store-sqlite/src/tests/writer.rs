//! Shared transactions.

use std::sync::Arc;

use kapsel_core::{Endpoint, EndpointId};
use kapsel_store::{AdminStore, IngestStore, Ingested, StoreError};

use super::world::{World, begin};
use crate::inbox::TRANSACTION_ROWS_MAX;
use crate::job::{Kind, Weight};

#[tokio::test]
async fn whatever_waits_shares_one_transaction() {
    let world = World::new().await;
    let before = world.store.stats();
    let hold = world.hold_up().await;
    let calls: Vec<_> = (0..50).map(|_| begin(world.insert(world.event(100)))).collect();
    drop(hold);
    for call in calls {
        assert_eq!(call.await.unwrap(), [Ingested::Created]);
    }
    let after = world.store.stats();
    assert_eq!(after.transactions - before.transactions, 2, "one that was held up, one for all others");
    assert_eq!(after.commands - before.commands, 51);
    assert_eq!(world.event_count().await, 50);
}

#[tokio::test]
async fn a_transaction_takes_only_so_many_rows() {
    let world = World::new().await;
    let half = || Arc::new((0..TRANSACTION_ROWS_MAX / 2).map(|_| world.event(10)).collect::<Vec<_>>());
    let before = world.store.stats();
    let hold = world.hold_up().await;
    let calls: Vec<_> = (0..5).map(|_| begin(world.store.event_insert_batch(world.now(), half()))).collect();
    drop(hold);
    for call in calls {
        assert_eq!(call.await.unwrap().len(), TRANSACTION_ROWS_MAX / 2);
    }
    assert_eq!(world.store.stats().transactions - before.transactions, 4, "the held up one, then two, two and one");
    assert_eq!(world.event_count().await, 5 * (TRANSACTION_ROWS_MAX / 2));
}

#[tokio::test]
async fn a_command_that_fails_does_not_touch_its_neighbours() {
    let world = World::new().await;
    let before = world.store.stats();
    let hold = world.hold_up().await;
    let first = begin(world.insert(world.event(100)));
    let taken = begin(world.store.endpoint_insert(world.endpoint.clone()));
    let unknown = Endpoint { id: EndpointId::MAX, ..world.endpoint.clone() };
    let missing = begin(world.store.endpoint_update_if_version(unknown, 1));
    // Writes something before it fails; that is undone as well.
    let store = world.store.clone();
    let half_done = world.event(100);
    let broken = begin(async move {
        let work = move |connection: &rusqlite::Connection| -> Result<(), crate::error::Failure> {
            connection.execute("DELETE FROM endpoints", [])?;
            connection.execute("DELETE FROM events", [])?;
            connection.execute("INSERT INTO nowhere VALUES (1)", [])?;
            Ok(())
        };
        store.writer().write(Kind::Sure, Weight::ROW, work).await
    });
    let last = begin(world.insert(half_done));
    drop(hold);

    assert_eq!(first.await.unwrap(), [Ingested::Created]);
    assert!(matches!(taken.await, Err(StoreError::Conflict(_))));
    assert!(matches!(missing.await, Err(StoreError::NotFound)));
    assert!(matches!(broken.await, Err(StoreError::Unavailable { .. })));
    assert_eq!(last.await.unwrap(), [Ingested::Created]);
    assert_eq!(world.event_count().await, 2);
    world.store.endpoint_get(world.endpoint.tenant_id, world.endpoint.id).await.unwrap();
    assert_eq!(world.store.stats().transactions - before.transactions, 2, "all of them shared one");
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_cancel_its_write() {
    let world = World::new().await;
    let hold = world.hold_up().await;
    drop(begin(world.insert(world.event(100))));
    drop(hold);
    world.store.ping().await.unwrap();
    assert_eq!(world.event_count().await, 1);
}

#[tokio::test]
async fn what_was_queued_before_the_end_is_done() {
    let world = World::new().await;
    let hold = world.hold_up().await;
    let call = begin(world.insert(world.event(100)));
    let end = begin(world.store.clone().close());
    drop(hold);
    assert_eq!(call.await.unwrap(), [Ingested::Created]);
    end.await;
    assert!(matches!(world.store.ping().await, Err(StoreError::Unavailable { .. })));
}

#[tokio::test]
async fn a_defect_in_a_command_ends_neither_the_thread_nor_the_store() {
    let world = World::new().await;
    let broken = |connection: &rusqlite::Connection| -> Result<(), crate::error::Failure> {
        connection.execute("DELETE FROM endpoints", [])?;
        panic!("a defect made for this test");
    };
    let error = world.store.writer().write(Kind::Sure, Weight::ROW, broken).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(world.insert(world.event(100)).await.unwrap(), [Ingested::Created]);
    world.store.endpoint_get(world.endpoint.tenant_id, world.endpoint.id).await.unwrap();
}
