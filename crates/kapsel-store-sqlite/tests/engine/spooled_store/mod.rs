//! A store with a spool in front of it: the memory engine, which fails on demand, and the spool on SQLite.

mod contract;
mod shaky;
mod world;

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::{DeliveryState, ErasureId, EventId, FinalReason, Requester};
use kapsel_store::spool::{SpoolDrain, SpoolState};
use kapsel_store::{Erasure, ErasureStore as _, ErasureSubject, IngestStore as _, Ingested, NewEvent, StoreError};
use test_harness::{SeededEntropy, TokioClock};

use shaky::Mood;
use world::{World, id_of};

#[tokio::test]
async fn while_the_store_answers_the_spool_is_not_used() {
    let world = World::new().await;
    let first = world.source.keyed("k", "body");
    let original = id_of(&first);
    assert_eq!(world.insert(vec![first]).await, [Ingested::Created]);
    let answers = world.insert(vec![world.source.keyed("k", "body"), world.source.keyed("k", "other")]).await;
    assert_eq!(answers, [Ingested::Replay { original }, Ingested::Conflict { original }]);
    let status = world.store.status();
    assert_eq!((status.state, status.events, status.refused), (SpoolState::Direct, 0, 0));
    assert!(!world.drain_step().await.has_more());
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_outcome_is_unknown_is_delivered_once() {
    for mood in [Mood::Silent, Mood::Away, Mood::Hanging] {
        let world = World::new().await;
        world.primary.set(mood);
        let new = world.source.keyed("k", "body");
        assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Spooled], "{mood:?}");
        assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Spooled], "{mood:?}");
        let again = world.source.keyed("k", "body");
        assert_eq!(world.insert(vec![again]).await, [Ingested::Replay { original: id_of(&new) }]);
        assert_eq!(world.primary.calls(), 1, "the store was asked once and then left alone");
        assert_eq!(world.store.status().state, SpoolState::Spooling);

        world.primary.set(Mood::Well);
        world.drain().await;
        assert_eq!(world.claim().await, [id_of(&new)], "{mood:?}");
        assert_eq!(world.events().await.len(), 1);
        assert_eq!(world.moves(), 1);
    }
}

#[tokio::test]
async fn what_the_store_refuses_does_not_go_into_the_spool() {
    let world = World::new().await;
    world.primary.refuse(Some(b"poison"));
    let error = world.store.event_insert_batch(world.now(), Arc::new(vec![world.source.event("poison")])).await;
    assert!(matches!(error, Err(StoreError::Corrupt { .. })), "{error:?}");
    assert_eq!(world.store.status().state, SpoolState::Direct);
    assert_eq!(world.store.status().events, 0);
}

#[tokio::test]
async fn spooled_events_are_delivered_in_the_order_of_their_acceptance() {
    let world = World::new().await;
    let mut accepted = Vec::new();
    let mut accept = async |count: usize, expected| {
        for _ in 0..count {
            world.source.clock.advance(Duration::from_millis(1));
            let new = world.source.event("body");
            accepted.push(id_of(&new));
            assert_eq!(world.insert(vec![new]).await, [expected]);
        }
    };
    accept(3, Ingested::Created).await;
    world.primary.set(Mood::Away);
    accept(20, Ingested::Spooled).await;
    world.primary.set(Mood::Well);
    // The store is back, but earlier events wait.
    accept(20, Ingested::Spooled).await;
    assert_eq!(world.drain_step().await.moved, World::BATCH);
    accept(1, Ingested::Spooled).await;
    world.drain().await;
    accept(1, Ingested::Created).await;
    assert_eq!(world.claim().await, accepted);
}

#[tokio::test]
async fn a_duplicate_of_an_event_from_before_ends_visibly_and_is_not_delivered() {
    let world = World::new().await;
    let before = world.source.keyed("k", "body");
    assert_eq!(world.insert(vec![before.clone()]).await, [Ingested::Created]);
    world.primary.set(Mood::Away);
    let (duplicate, other) = (world.source.keyed("k", "body"), world.source.event("other"));
    assert_eq!(world.insert(vec![duplicate.clone(), other.clone()]).await, [Ingested::Spooled; 2]);
    world.primary.set(Mood::Well);
    world.drain().await;
    assert_eq!(world.claim().await, [id_of(&before), id_of(&other)]);
    let detail = world.detail(id_of(&duplicate)).await;
    assert_eq!(detail.summary.status, DeliveryState::Discarded);
    assert_eq!(detail.summary.reason, Some(FinalReason::Duplicate));
    // The key is still the first one's.
    let again = world.insert(vec![world.source.keyed("k", "body")]).await;
    assert_eq!(again, [Ingested::Replay { original: id_of(&before) }]);
}

/// What a tenant had accepted before it was erased does not come back out of the spool.
#[tokio::test]
async fn events_of_an_erased_tenant_leave_the_spool_without_being_stored() {
    let world = World::new().await;
    world.primary.set(Mood::Away);
    let before = world.source.event("personal");
    assert_eq!(world.insert(vec![before.clone()]).await, [Ingested::Spooled]);
    world.source.clock.advance(Duration::from_millis(1));
    let now = world.now();
    let subject = ErasureSubject::TenantBefore(EventId::lower_bound(now));
    let tenant_id = before.event.tenant_id;
    let erasure = Erasure::new(ErasureId::lower_bound(now), tenant_id, subject, Requester::Operator, now);
    world.primary.erasure_insert(erasure).await.unwrap();
    let after = world.source.event("later");
    assert_eq!(world.insert(vec![after.clone()]).await, [Ingested::Spooled]);

    world.primary.set(Mood::Well);
    world.drain().await;
    assert_eq!(world.events().await, [id_of(&after)]);
    assert_eq!(world.store.status().events, 0, "and nothing of it is left in the spool");
}

#[tokio::test]
async fn an_event_that_was_accepted_with_the_key_of_another_is_delivered_all_the_same() {
    let world = World::new().await;
    let before = world.source.keyed("k", "body");
    assert_eq!(world.insert(vec![before.clone()]).await, [Ingested::Created]);
    world.primary.set(Mood::Away);
    let conflict = world.source.keyed("k", "another body");
    assert_eq!(world.insert(vec![conflict.clone()]).await, [Ingested::Spooled]);
    world.primary.set(Mood::Well);
    world.drain().await;
    assert_eq!(world.claim().await, [id_of(&before), id_of(&conflict)]);
    let again = world.insert(vec![world.source.keyed("k", "body")]).await;
    assert_eq!(again, [Ingested::Replay { original: id_of(&before) }]);
}

#[tokio::test]
async fn a_key_keeps_the_window_that_began_in_the_spool() {
    let world = World::new().await;
    world.primary.set(Mood::Away);
    let (first, short) = (world.source.keyed("k", "body"), world.source.keyed("short", "body"));
    assert_eq!(world.insert(vec![first.clone()]).await, [Ingested::Spooled]);
    let mut gone = short;
    gone.key.as_mut().unwrap().window = Duration::from_secs(60);
    assert_eq!(world.insert(vec![gone]).await, [Ingested::Spooled]);
    world.primary.set(Mood::Well);
    world.source.clock.advance(Duration::from_secs(40 * 60));
    world.drain().await;
    assert_eq!(world.insert(vec![world.source.keyed("short", "body")]).await, [Ingested::Created]);
    world.source.clock.advance(Duration::from_secs(20 * 60 - 1));
    let again = world.insert(vec![world.source.keyed("k", "body")]).await;
    assert_eq!(again, [Ingested::Replay { original: id_of(&first) }]);
    world.source.clock.advance(Duration::from_secs(1));
    assert_eq!(world.insert(vec![world.source.keyed("k", "body")]).await, [Ingested::Created]);
}

#[tokio::test]
async fn an_event_that_the_store_refuses_is_set_aside_and_kept() {
    let world = World::new().await;
    world.primary.set(Mood::Away);
    let bodies = ["a", "b", "poison", "c", "d", "explosive", "e"];
    let batch: Vec<NewEvent> = bodies.iter().map(|body| world.source.event(*body)).collect();
    assert_eq!(world.insert(batch.clone()).await, [Ingested::Spooled; 7]);
    world.primary.set(Mood::Well);
    world.primary.refuse(Some(b"poison"));
    world.primary.explode_on(b"explosive");
    world.drain().await;
    let status = world.store.status();
    assert_eq!((status.state, status.events, status.refused), (SpoolState::Direct, 2, 2));
    let good: Vec<_> = [0, 1, 3, 4, 6].map(|at| id_of(&batch[at])).into();
    assert_eq!(world.claim().await, good);
    // Another look changes nothing until the store takes it.
    world.store.look_again().await;
    world.drain().await;
    assert_eq!(world.store.status().refused, 2);
    world.primary.refuse(None);
    world.store.look_again().await;
    world.drain().await;
    assert_eq!(world.store.status().refused, 1);
    assert_eq!(world.claim().await, [id_of(&batch[2])]);
}

#[tokio::test]
async fn a_full_spool_refuses_and_keeps_nothing() {
    let world = World::with_spool_of(500).await;
    world.primary.set(Mood::Away);
    assert_eq!(world.insert(vec![world.source.event(vec![7; 300])]).await, [Ingested::Spooled]);
    let batch = vec![world.source.event("small"), world.source.event(vec![7; 300])];
    let error = world.store.event_insert_batch(world.now(), Arc::new(batch)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(world.store.status().events, 1);
    assert!(!world.store.status().has_room());
    world.primary.set(Mood::Well);
    world.drain().await;
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test]
async fn a_spool_that_takes_nothing_does_not_end_spooling_while_the_store_is_away() {
    let world = World::with_spool_of(0).await;
    world.primary.set(Mood::Away);
    let insert = || world.store.event_insert_batch(world.now(), Arc::new(vec![world.source.event("body")]));
    insert().await.unwrap_err();
    world.store.drain_once(world.now()).await.unwrap_err();
    insert().await.unwrap_err();
    assert_eq!(world.primary.calls(), 1, "nobody waits for a store that is away");
    world.primary.set(Mood::Well);
    world.drain().await;
    assert_eq!(insert().await.unwrap(), [Ingested::Created]);
}

#[tokio::test]
async fn what_the_last_run_left_is_moved_first() {
    let world = World::new().await;
    world.primary.set(Mood::Away);
    let left = world.source.event("left");
    assert_eq!(world.insert(vec![left.clone()]).await, [Ingested::Spooled]);
    let world = world.restarted();
    world.primary.set(Mood::Well);
    assert_eq!(world.store.status().state, SpoolState::Spooling);
    world.source.clock.advance(Duration::from_millis(1));
    let new = world.source.event("new");
    assert_eq!(world.insert(vec![new.clone()]).await, [Ingested::Spooled]);
    world.drain().await;
    assert_eq!(world.claim().await, [id_of(&left), id_of(&new)]);
}

#[tokio::test]
async fn a_step_that_was_cut_off_before_the_removal_is_repeated_without_harm() {
    let world = World::new().await;
    let before = [world.source.keyed("k", "body"), world.source.keyed("other", "body")];
    assert_eq!(world.insert(before.to_vec()).await, [Ingested::Created; 2]);
    world.primary.set(Mood::Away);
    let (plain, duplicate) = (world.source.keyed("plain", "body"), world.source.keyed("k", "body"));
    let conflict = world.source.keyed("other", "other body");
    let batch = vec![plain.clone(), duplicate.clone(), conflict.clone()];
    assert_eq!(world.insert(batch).await, [Ingested::Spooled; 3]);
    world.primary.set(Mood::Well);
    world.spool.set_keeping(true);
    for _ in 0..3 {
        world.store.drain_once(world.now()).await.unwrap_err();
    }
    assert_eq!(world.store.status().events, 3);
    world.spool.set_keeping(false);
    world.drain().await;
    assert_eq!(world.events().await.len(), 5);
    let due: Vec<_> = before.iter().chain([&plain, &conflict]).map(id_of).collect();
    assert_eq!(world.claim().await, due);
    assert_eq!(world.detail(id_of(&duplicate)).await.summary.reason, Some(FinalReason::Duplicate));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_unseen_in_the_spool() {
    let world = World::new().await;
    world.primary.set(Mood::Away);
    world.spool.set_open(false);
    let store = Arc::clone(&world.store);
    let (now, new) = (world.now(), world.source.event("body"));
    let batch = Arc::new(vec![new.clone()]);
    let caller = tokio::spawn(async move { store.event_insert_batch(now, batch).await });
    world.spool.inserts_begun(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());

    world.primary.set(Mood::Well);
    let store = Arc::clone(&world.store);
    let step = tokio::spawn(async move { store.drain_once(now).await.unwrap() });
    world.pinged().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.store.status().state, SpoolState::Spooling, "something is on its way into the spool");
    world.spool.set_open(true);
    assert!(step.await.unwrap().has_more());
    world.drain().await;
    assert_eq!(world.claim().await, [id_of(&new)]);
}

/// The store comes and goes, call by call, while many store events: each of them is in the store in the end, once, and
/// nothing is left in the spool.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_overlooked_while_the_store_comes_and_goes() {
    const TASKS: usize = 16;
    const EVENTS: usize = 40;
    let world = World::new().await;
    world.primary.set(Mood::Moody);
    let drain = SpoolDrain::new(
        Arc::clone(&world.store),
        Arc::new(TokioClock::starting_at(world.now())),
        Arc::new(SeededEntropy::new(3)),
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let drain = tokio::spawn(async move { drain.run(async { stopped.await.unwrap() }).await });
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, source) = (Arc::clone(&world.store), Arc::clone(&world.source));
            tokio::spawn(async move {
                for _ in 0..EVENTS {
                    let batch = Arc::new(vec![source.event("body")]);
                    let answers = store.event_insert_batch(source.now(), batch).await.unwrap();
                    assert!(matches!(answers[..], [Ingested::Created | Ingested::Spooled]), "{answers:?}");
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    world.primary.set(Mood::Well);
    let settled = async {
        while world.store.status().state == SpoolState::Spooling {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap();
    assert_eq!(world.store.status().events, 0);
    assert_eq!(world.events().await.len(), TASKS * EVENTS);
    stop.send(()).unwrap();
    drain.await.unwrap();
}
