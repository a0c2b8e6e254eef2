//! Lists of an endpoint's events while these wait to be sorted, are being sorted, and are sorted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{Endpoint, EndpointId, EventId, TenantId};
use kapsel_store::{
    AdminStore, Candidates, EventFilter, IngestStore, NewEvent, RetainedKind, RetentionStep, RetentionStore, StoreError,
};
use test_harness::EventBuilder;

use super::world::World;
use crate::event_ids::{self, Order, Range};
use crate::faults::CommitFault;
use crate::job::{Kind, Weight};
use crate::sorting::{sort_by, sort_now};
use crate::unsorted::{self, Entry, Taken, Waiting};

/// The last batch of [`fill`], which stays until there is a newer one.
const NEWEST: Waiting = Waiting { events: 39 % 7 + 1, batches: 1 };

/// Stores batches of events of three endpoints, one of them of another tenant with the first one's id, and returns what each
/// endpoint has.
async fn fill(world: &World) -> Vec<(Endpoint, BTreeSet<EventId>)> {
    let first = world.endpoint.clone();
    let second = Endpoint { id: EndpointId::from_bytes([7; 16]), ..first.clone() };
    let foreign = Endpoint { tenant_id: TenantId::from_bytes([9; 16]), ..first.clone() };
    let mut endpoints = [first, second, foreign].map(|endpoint| (endpoint, BTreeSet::new()));
    for batch in 0..40_usize {
        let mut events = Vec::new();
        for number in 0..batch % 7 + 1 {
            let (endpoint, ids) = &mut endpoints[(batch + number * number) % 3];
            let mut new = world.event(10);
            let event = EventBuilder::new(new.event.id, endpoint, world.now()).build();
            new.deliveries.clear();
            ids.insert(event.id);
            events.push(NewEvent { event: Arc::new(event), ..new });
        }
        world.store.event_insert_batch(world.now(), Arc::new(events)).await.unwrap();
    }
    endpoints.into()
}

/// The ids of an endpoint's events, newest first, or behind `after` oldest first.
async fn list(
    world: &World,
    endpoint: &Endpoint,
    limit: usize,
    before: Option<EventId>,
    after: Option<EventId>,
) -> Result<Vec<EventId>, StoreError> {
    let filter = EventFilter { endpoint_id: Some(endpoint.id), before, after, ..EventFilter::default() };
    let events = world.store.event_list(endpoint.tenant_id, filter, limit, world.now()).await?;
    Ok(events.iter().map(|event| event.id).collect())
}

/// What a list is made of, looked at `limit` at a time to the end.
async fn look_through(world: &World, endpoint: &Endpoint, order: Order, limit: usize) -> Vec<EventId> {
    let (tenant_id, candidates) = (endpoint.tenant_id, Candidates::OfEndpoint(endpoint.id));
    let (mut low, mut high, mut all) = (EventId::MIN, vec![0xff; 17], Vec::new());
    loop {
        let end = high.clone();
        let look = move |connection: &rusqlite::Connection| {
            event_ids::ids(connection, tenant_id, candidates, Range { low, high: &end, order }, limit)
        };
        let ids = world.store.readers().read(look).await.unwrap();
        assert!(ids.len() <= limit);
        all.extend(&ids);
        match (ids.last(), order) {
            (Some(last), Order::OldestFirst) if ids.len() == limit => low = *last,
            (Some(last), Order::NewestFirst) if ids.len() == limit => high = last.as_bytes().to_vec(),
            _ => return all,
        }
    }
}

/// Both orders, whole and in pages.
async fn assert_lists(world: &World, endpoints: &[(Endpoint, BTreeSet<EventId>)]) {
    for (endpoint, ids) in endpoints {
        let list = async |limit, before, after| list(world, endpoint, limit, before, after).await.unwrap();
        let newest_first: Vec<EventId> = ids.iter().rev().copied().collect();
        for limit in [1, 7, 1_000] {
            assert_eq!(look_through(world, endpoint, Order::NewestFirst, limit).await, newest_first, "by {limit}");
            let oldest_first = look_through(world, endpoint, Order::OldestFirst, limit).await;
            assert!(oldest_first.iter().eq(ids), "by {limit}");
        }
        assert_eq!(list(1_000, None, None).await, newest_first);
        assert_eq!(list(7, None, None).await, newest_first[..7]);
        assert_eq!(list(7, Some(newest_first[6]), None).await, newest_first[7..14]);
        let oldest_first: Vec<EventId> = ids.iter().copied().collect();
        assert_eq!(list(7, None, Some(oldest_first[4])).await, oldest_first[5..12]);
    }
}

async fn waiting(world: &World) -> Waiting {
    world.store.readers().read(|connection| Ok(unsorted::count(connection)?)).await.unwrap()
}

/// What stands in its place.
async fn sorted(world: &World) -> i64 {
    let count = "SELECT count(*) FROM events_of_endpoints";
    world.store.readers().read(|connection| Ok(connection.query_row(count, [], |row| row.get(0))?)).await.unwrap()
}

/// Each look waits for a reader, beside the task that sorts.
async fn wait_until_sorted(world: &World) {
    let is_sorted = async { while sorted(world).await == 0 {} };
    tokio::time::timeout(Duration::from_secs(60), is_sorted).await.unwrap();
}

async fn take(world: &World, entries_max: usize) -> Taken {
    world.store.readers().read(move |connection| unsorted::take(connection, entries_max)).await.unwrap()
}

async fn insert_sorted(world: &World, entries: Vec<Entry>) {
    let insert = move |connection: &rusqlite::Connection| unsorted::insert_sorted(connection, &entries);
    world.store.writer().write(Kind::Sure, Weight::ROW, insert).await.unwrap();
}

#[tokio::test]
async fn a_list_is_the_same_before_while_and_after_its_events_are_sorted() {
    let world = World::new().await;
    let endpoints = fill(&world).await;
    let all: usize = endpoints.iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(waiting(&world).await, Waiting { events: all, batches: 40 });
    assert_eq!(sorted(&world).await, 0);
    assert_lists(&world, &endpoints).await;

    let taken = take(&world, usize::MAX).await;
    assert!(taken.entries.is_sorted() && taken.entries.len() == all && taken.numbers.len() == 40);
    insert_sorted(&world, taken.entries[..all / 2].to_vec()).await;
    assert_lists(&world, &endpoints).await;

    // Begun anew, and to the end.
    sort_now(&world.store).await.unwrap();
    assert_eq!(waiting(&world).await, NEWEST);
    assert_eq!(sorted(&world).await, i64::try_from(all).unwrap());
    assert_lists(&world, &endpoints).await;
}

#[tokio::test]
async fn only_whole_batches_are_taken_and_the_oldest_first() {
    let world = World::new().await;
    fill(&world).await;
    let taken = take(&world, 4).await;
    assert_eq!((taken.numbers, taken.entries.len()), (vec![1, 2, 3], 1 + 2 + 3));
}

#[tokio::test]
async fn all_is_sorted_however_little_is_taken_at_once() {
    for entries_max in [1, 2, 10, 1_000] {
        let world = World::new().await;
        let endpoints = fill(&world).await;
        sort_by(&world.store, entries_max).await.unwrap();
        assert_eq!(waiting(&world).await, NEWEST, "{entries_max}");
        assert_lists(&world, &endpoints).await;
    }
}

/// Whoever removes rows has seen them; what came in since is not among them, even if all are removed, twice.
#[tokio::test]
async fn what_comes_in_while_others_are_sorted_waits_for_its_turn() {
    let world = World::new().await;
    let mut endpoints = fill(&world).await;
    let taken = take(&world, usize::MAX).await;
    let last = *taken.numbers.last().unwrap();
    insert_sorted(&world, taken.entries).await;
    for _ in 0..3 {
        let delete = move |connection: &rusqlite::Connection| unsorted::delete(connection, last);
        world.store.writer().write(Kind::Sure, Weight::ROW, delete).await.unwrap();
        let new = world.event(10);
        endpoints[0].1.insert(new.event.id);
        world.store.event_insert_batch(world.now(), Arc::new(vec![new])).await.unwrap();
        assert_lists(&world, &endpoints).await;
    }
    assert_eq!(waiting(&world).await, Waiting { events: 3, batches: 3 });
}

/// Whichever commit fails, two that bring events to their places and one that removes what waited, and whatever it left
/// behind.
#[tokio::test]
async fn sorting_that_was_broken_off_is_done_anew() {
    for fault in [CommitFault::NothingStored, CommitFault::AllStored] {
        for nth in [1, 2, 3] {
            let world = World::new().await;
            let endpoints = fill(&world).await;
            world.store.faults().fail_commit(fault, nth);
            sort_now(&world.store).await.unwrap_err();
            assert_lists(&world, &endpoints).await;
            sort_now(&world.store).await.unwrap();
            assert_eq!(waiting(&world).await, NEWEST);
            assert_lists(&world, &endpoints).await;
        }
    }
}

/// Removes everything that the tenant of the world's endpoint has.
async fn remove_all(world: &World) {
    let later = world.now() + Duration::from_secs(60);
    let tenant_id = world.endpoint.tenant_id;
    let step = RetentionStep::first(later, tenant_id, RetainedKind::Events, Duration::from_secs(1), 1_000);
    let page = world.store.retention_remove(step).await.unwrap();
    assert!(page.is_end && page.removed > 0);
}

#[tokio::test]
async fn an_event_that_is_removed_leaves_no_trace_whether_it_is_sorted_or_not() {
    for is_sorted_before in [true, false] {
        let world = World::new().await;
        let mut endpoints = fill(&world).await;
        let foreign = endpoints.remove(2);
        let taken = take(&world, usize::MAX).await;
        if is_sorted_before {
            sort_now(&world.store).await.unwrap();
        }
        remove_all(&world).await;
        for (endpoint, _) in &endpoints {
            assert_eq!(list(&world, endpoint, 10, None, None).await.unwrap(), []);
        }
        // By somebody who had read them before.
        insert_sorted(&world, taken.entries).await;
        sort_now(&world.store).await.unwrap();
        assert_eq!(sorted(&world).await, i64::try_from(foreign.1.len()).unwrap());
        assert_lists(&world, &[foreign]).await;
    }
}

#[tokio::test]
async fn enough_events_are_sorted_by_themselves() {
    let world = World::with_unsorted_events_max(30).await;
    let endpoints = fill(&world).await;
    wait_until_sorted(&world).await;
    assert_lists(&world, &endpoints).await;
}

#[tokio::test]
async fn events_that_an_earlier_process_left_count() {
    let world = World::new().await;
    let endpoints = fill(&world).await;
    let left = waiting(&world).await;
    let world = world.reopened_with_unsorted_events_max(left.events + 1).await;
    assert_eq!((waiting(&world).await, sorted(&world).await), (left, 0));
    world.insert(world.event(10)).await.unwrap();
    wait_until_sorted(&world).await;
    // The first endpoint has one more.
    assert_lists(&world, &endpoints[1..]).await;
}

#[tokio::test]
async fn entries_that_cannot_be_understood_are_an_error() {
    let world = World::new().await;
    for bytes in [1, 16, 47, 49, 64] {
        let damage = move |connection: &rusqlite::Connection| {
            connection.execute("DELETE FROM events_unsorted", [])?;
            connection.execute("INSERT INTO events_unsorted (entries) VALUES (zeroblob(?1))", [bytes])?;
            Ok(())
        };
        world.store.writer().write(Kind::Sure, Weight::ROW, damage).await.unwrap();
        let error = list(&world, &world.endpoint, 10, None, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{bytes}: {error:?}");
    }
}
