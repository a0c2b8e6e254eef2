//! A store that is brought back from an older copy has forgotten what was signed since. Nobody else has.

use std::sync::Arc;

use kapsel_attestation::{AttestationError, Sequencer};
use kapsel_store::AttestationStore;
use test_harness::builders::LOG_ID;

use crate::scripted::{FaultyStore, Script};
use crate::tampered::TamperedStore;
use crate::world::{World, findings, key, run_to_end};

/// A world in which 20 leaves were signed: as it was when the copy was made.
async fn copied() -> (World, Sequencer) {
    let world = World::new().await;
    world.settle(20).await;
    let sequencer = world.sequencer();
    run_to_end(&sequencer, &world.clock).await.unwrap();
    (world, sequencer)
}

/// The same world, up to 50 leaves.
async fn grown() -> World {
    let (world, sequencer) = copied().await;
    world.settle(30).await;
    run_to_end(&sequencer, &world.clock).await.unwrap();
    world
}

/// The older copy, on an instance that remembers what the newer one had signed.
async fn restored() -> World {
    let (world, _) = copied().await;
    world.last_head.set(grown().await.last_head.text());
    world.pass_seconds(3_600);
    world
}

/// Runs a step that must sign and publish nothing. Returns its error.
async fn refused(world: &World, sequencer: &Sequencer) -> AttestationError {
    let before = (world.head_sizes().await, world.signed_checkpoints(), world.last_head.text());
    let error = sequencer.run_once().await.unwrap_err();
    assert!(!error.is_passing());
    assert_eq!((world.head_sizes().await, world.signed_checkpoints(), world.last_head.text()), before);
    error
}

#[tokio::test]
async fn two_worlds_in_which_the_same_is_done_are_the_same() {
    let (one, other) = (grown().await, grown().await);
    assert_eq!(one.heads().await, other.heads().await);
    assert_eq!(one.last_head.text(), other.last_head.text());
    assert_eq!(copied().await.0.heads().await[..], one.heads().await[..1], "the copy is its beginning");
}

#[tokio::test]
async fn a_restored_copy_is_not_signed() {
    let world = restored().await;
    let sequencer = world.sequencer();
    for _ in 0..2 {
        // Though nothing new is there to be signed: who looks at the alarm learns of it at once.
        let error = refused(&world, &sequencer).await;
        assert!(matches!(error, AttestationError::Behind { size: 20, signed_size: 50 }), "{error}");
    }
    let alarm = sequencer.alarm().unwrap();
    for said in ["holds a log of 20 leaves", "a head of 50 was signed", "older copy", "Bring the newer copy back"] {
        assert!(alarm.contains(said), "{alarm}");
    }
    // Leaves go on.
    world.go_another_way();
    world.settle(7).await;
    refused(&world, &sequencer).await;
    assert_eq!(world.store.log_get(LOG_ID).await.unwrap().size, 27);
    assert!(sequencer.alarm().is_some());
    assert_eq!(findings(&*world.store).await, [], "the copy agrees with itself; that is why the memory is elsewhere");
}

#[tokio::test]
async fn a_restored_copy_that_has_grown_with_other_leaves_is_not_signed() {
    for count in [30, 31, 100, 400] {
        let world = restored().await;
        world.go_another_way();
        world.settle(count).await;
        let sequencer = world.sequencer();
        let error = refused(&world, &sequencer).await;
        let AttestationError::Forked { signed } = &error else { panic!("{error}") };
        assert_eq!(signed.size(), 50);
        let alarm = sequencer.alarm().unwrap();
        assert!(alarm.contains("does not continue the head of 50 leaves that was signed"), "{alarm}");
        assert_eq!(world.store.log_get(LOG_ID).await.unwrap().size, 20 + count as u64);
    }
}

/// An instance of `world` whose store can be exchanged.
fn over_a_store_to_exchange(world: &World) -> (Arc<FaultyStore>, Sequencer) {
    let store = Arc::new(FaultyStore::new(world.attestation_store(), Script::smooth()));
    let sequencer = world.over(Arc::clone(&store) as Arc<dyn AttestationStore>, &[key(1)]);
    (store, sequencer)
}

#[tokio::test]
async fn a_store_that_is_exchanged_under_a_running_instance_is_not_signed() {
    for count in [0, 5, 30, 31] {
        let newer = grown().await;
        let older = copied().await.0;
        older.go_another_way();
        older.settle(count).await;
        let (store, sequencer) = over_a_store_to_exchange(&newer);
        newer.settle(1).await;
        newer.pass_seconds(60);
        run_to_end(&sequencer, &newer.clock).await.unwrap();
        store.exchange(older.attestation_store());
        newer.pass_seconds(60);
        let error = sequencer.run_once().await.unwrap_err();
        let is_refused = matches!(error, AttestationError::Behind { .. } | AttestationError::Forked { .. });
        assert!(is_refused, "{count} more: {error}");
        assert_eq!(older.head_sizes().await, [20]);
        assert!(sequencer.alarm().is_some());
    }
}

/// A copy that has grown, on an instance without a memory, to the size of the tree whose edge a running instance knows.
#[tokio::test]
async fn leaves_are_not_put_behind_the_edge_of_another_tree() {
    let newer = grown().await;
    newer.settle(1).await;
    newer.pass_seconds(3_600);
    let (store, sequencer) = over_a_store_to_exchange(&newer);
    sequencer.run_once().await.unwrap();

    let older = copied().await.0;
    older.go_another_way();
    older.settle(31).await;
    older.last_head.set(None);
    older.pass_seconds(60);
    run_to_end(&older.sequencer(), &older.clock).await.unwrap();
    assert_eq!(older.store.log_get(LOG_ID).await.unwrap().size, newer.store.log_get(LOG_ID).await.unwrap().size);

    older.settle(1).await;
    store.exchange(older.attestation_store());
    newer.pass_seconds(60);
    let error = sequencer.run_once().await.unwrap_err();
    assert!(matches!(error, AttestationError::Forked { .. }), "{error}");
    assert_eq!(older.store.log_get(LOG_ID).await.unwrap().size, 52);
    assert_eq!(findings(&*older.store).await, [], "what was known of the one tree has not got into the other");
}

#[tokio::test]
async fn a_memory_that_cannot_be_read_or_is_of_another_log_keeps_from_signing() {
    let (world, sequencer) = copied().await;
    let remembered = world.last_head.text().unwrap();
    world.settle(5).await;
    let of_another_log = remembered.replace("kapsel.example/log\n", "other.example/log\n");
    for (memory, said) in [
        (remembered[..40].to_owned(), "a signed head cannot be read: the checkpoint is not a signed note"),
        (String::new(), "a signed head cannot be read"),
        (of_another_log, "does not continue the head of 20 leaves that was signed"),
    ] {
        world.last_head.set(Some(memory));
        world.pass_seconds(60);
        refused(&world, &sequencer).await;
        let alarm = sequencer.alarm().unwrap();
        assert!(alarm.contains(said), "{alarm}");
    }
    world.last_head.set(Some(remembered));
    world.pass_seconds(60);
    run_to_end(&sequencer, &world.clock).await.unwrap();
    world.assert_sound("with its memory again").await;
}

/// What is not of this tree is not remembered either: it would keep a mended store from being signed.
#[tokio::test]
async fn a_published_head_of_another_tree_is_not_remembered() {
    let (world, _) = copied().await;
    let other = World::with_seed(1).await;
    other.settle(20).await;
    run_to_end(&other.sequencer(), &other.clock).await.unwrap();
    let foreign = other.heads().await.pop().unwrap().checkpoint;
    let damaged = TamperedStore::new(world.attestation_store()).change_heads(move |heads| {
        heads.iter_mut().for_each(|head| head.checkpoint.clone_from(&foreign));
    });
    world.last_head.set(None);
    let error = world.over(damaged, &[key(1)]).run_once().await.unwrap_err();
    assert!(matches!(error, AttestationError::Forked { .. }), "{error}");
    assert_eq!(world.last_head.text(), None);
}
