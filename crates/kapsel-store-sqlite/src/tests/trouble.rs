//! Trouble with the disk: full, failing at the commit, and away for a while.

use std::error::Error;

use kapsel_store::{AdminStore, Ingested, StoreError};

use super::world::{World, begin};
use crate::faults::CommitFault;
use crate::job::{Kind, Weight};

async fn limit_pages(world: &World, pages: i64) {
    let limit = move |connection: &rusqlite::Connection| {
        let set: i64 = connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0))?;
        Ok(set)
    };
    world.store.writer().write(Kind::Sure, Weight::ROW, limit).await.unwrap();
}

fn is_unavailable(error: &StoreError, words: &str) -> bool {
    matches!(error, StoreError::Unavailable { message, cause } if message.contains(words) && cause.is_some())
}

#[tokio::test]
async fn a_full_disk_refuses_what_needs_room_and_nothing_else() {
    let world = World::new().await;
    // Less than there is: SQLite takes it as what there is.
    limit_pages(&world, 1).await;
    let hold = world.hold_up().await;
    let before = begin(world.store.ping());
    let large = begin(world.insert(world.event(100_000)));
    let after = begin(world.store.ping());
    drop(hold);
    before.await.unwrap();
    let error = large.await.unwrap_err();
    assert!(is_unavailable(&error, "disk is full"), "{error:?}");
    assert!(error.source().is_some());
    after.await.unwrap();
    assert_eq!(world.event_count().await, 0);

    limit_pages(&world, 1_000_000).await;
    assert_eq!(world.insert(world.event(100_000)).await.unwrap(), [Ingested::Created]);
    assert_eq!(world.event_count().await, 1);
}

#[tokio::test]
async fn a_failed_commit_is_an_unknown_outcome_for_everybody_in_it() {
    for (fault, stored) in [(CommitFault::NothingStored, 0), (CommitFault::AllStored, 2)] {
        let world = World::new().await;
        let (first, second) = (world.event(100), world.event(100));
        let hold = world.hold_up().await;
        let calls = [begin(world.insert(first.clone())), begin(world.insert(second.clone()))];
        world.store.faults().fail_commit(fault, 2);
        drop(hold);
        for call in calls {
            let error = call.await.unwrap_err();
            assert!(is_unavailable(&error, "disk failed"), "{error:?}");
        }
        // The same ids again: nothing is lost and nothing is there twice, whatever became of the first try.
        assert_eq!(world.event_count().await, stored);
        assert_eq!(world.insert(first).await.unwrap(), [Ingested::Created]);
        assert_eq!(world.insert(second).await.unwrap(), [Ingested::Created]);
        assert_eq!(world.event_count().await, 2);
        assert_eq!(world.store.stats().reopened, 1);
    }
}

#[tokio::test]
async fn while_the_database_cannot_be_opened_everything_is_refused() {
    let world = World::new().await;
    world.store.faults().fail_commit(CommitFault::NothingStored, 1);
    // One after the failure, and one for each command that comes.
    world.store.faults().fail_reopening(3);
    for _ in 0..3 {
        let error = world.insert(world.event(100)).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        assert_eq!(world.store.stats().reopened, 0);
    }
    assert_eq!(world.insert(world.event(100)).await.unwrap(), [Ingested::Created]);
    assert_eq!(world.store.stats().reopened, 1);
    assert_eq!(world.event_count().await, 1);
}

#[tokio::test]
async fn reads_go_on_over_a_failed_commit() {
    let world = World::new().await;
    assert_eq!(world.insert(world.event(100)).await.unwrap(), [Ingested::Created]);
    assert_eq!(world.event_count().await, 1);
    world.store.faults().fail_commit(CommitFault::NothingStored, 1);
    world.insert(world.event(100)).await.unwrap_err();
    assert_eq!(world.event_count().await, 1);
    assert_eq!(world.insert(world.event(100)).await.unwrap(), [Ingested::Created]);
    assert_eq!(world.event_count().await, 2);
}
