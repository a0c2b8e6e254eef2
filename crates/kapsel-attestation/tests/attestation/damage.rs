//! One bit of a stored tile is another one. Before it gets into anything that is signed or proved, it is found.

use std::sync::Arc;
use std::time::Duration;

use kapsel_attestation::{AttestationError, Finding, Proof, Prover, SequencerSettings};
use kapsel_store::AttestationStore;
use kapsel_store::attestation::{LeafName, TileId};
use kapsel_verification::Hash;
use test_harness::builders::LOG_ID;

use crate::scripted::Script;
use crate::tampered::TamperedStore;
use crate::world::{ORIGIN, TENANT, World, findings, key, run_to_end, settings};

/// A log with a head of `old` leaves and `new` leaves in the tree.
async fn grown(old: usize, new: usize) -> World {
    let world = World::new().await;
    let settings = SequencerSettings { batches_max: 100, ..settings() };
    settle_many(&world, old).await;
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings.clone());
    run_to_end(&sequencer, &world.clock).await.unwrap();
    settle_many(&world, new - old).await;
    // Too early for a head, so the leaves go in and nothing is signed.
    let settings = SequencerSettings { publish_interval: Duration::from_secs(3_600), ..settings };
    world.pass_seconds(60);
    world.scripted(&Script::smooth(), &[key(1)], settings).run_once().await.unwrap();
    world.pass_seconds(60);
    let log = world.store.log_get(LOG_ID).await.unwrap();
    assert_eq!((log.size, log.published.unwrap().0), (new as u64, old as u64));
    world
}

async fn settle_many(world: &World, count: usize) {
    for chunk in std::iter::repeat_n(1_000, count / 1_000).chain([count % 1_000]) {
        world.settle(chunk).await;
    }
}

fn tampered(world: &World, id: TileId, byte: usize) -> Arc<TamperedStore> {
    TamperedStore::new(world.attestation_store()).flip(id, byte)
}

/// Flips a bit in each of these hashes of a tile, one after the other; each time nothing is signed.
async fn assert_found(world: &World, (level, index): (u8, u64), positions: impl Iterator<Item = usize>) {
    let id = TileId { level, index };
    let signed = world.signed_checkpoints();
    for position in positions {
        let store = tampered(world, id, position * Hash::LEN + position % Hash::LEN);
        let sequencer = world.over(store, &[key(1)]);
        let error = sequencer.run_once().await.unwrap_err();
        let is_damage = matches!(
            error,
            AttestationError::DamagedTile(_) | AttestationError::Root { .. } | AttestationError::Forked { .. }
        );
        assert!(is_damage, "{id:?} at {position}: {error}");
        assert!(sequencer.alarm().is_some(), "{id:?} at {position}");
        assert_eq!(world.signed_checkpoints(), signed, "{id:?} at {position}");
        // The lease of the one that failed is over.
        world.pass_seconds(60);
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_right_edge_is_not_signed() {
    for (old, new) in [(0, 1), (0, 9), (5, 9), (254, 255)] {
        let world = grown(old, new).await;
        assert_found(&world, (0, 0), 0..new).await;
        run_to_end(&world.sequencer(), &world.clock).await.unwrap();
        world.assert_sound("without the damage").await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_tile_that_became_full_is_not_signed() {
    for (old, new) in [(200, 300), (255, 256), (255, 257), (0, 256)] {
        let world = grown(old, new).await;
        assert_found(&world, (0, 0), 0..256).await;
        assert_found(&world, (0, 1), 0..new - 256).await;
        assert_found(&world, (1, 0), 0..1).await;
        for (level, index) in [(0, 0), (0, 1), (1, 0)].into_iter().filter(|tile| *tile != (0, 1) || new > 256) {
            let id = TileId { level, index };
            assert_eq!(findings(&*tampered(&world, id, 1)).await, [Finding::TileDiffers { id, position: 0 }]);
        }
        run_to_end(&world.sequencer(), &world.clock).await.unwrap();
        world.assert_sound("without the damage").await;
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_of_many_new_tiles_is_not_signed() {
    let world = grown(300, 300 + 256 * 70).await;
    for index in [1, 2, 63, 64, 65, 69] {
        assert_found(&world, (0, index), [0, 1, 128, 255].into_iter()).await;
    }
    assert_found(&world, (1, 0), [0, 1, 2, 64, 70].into_iter()).await;
}

#[tokio::test]
async fn a_flipped_bit_is_found_on_every_level_of_a_large_tree() {
    let world = grown(65_530, 65_540).await;
    assert_found(&world, (0, 255), [0, 249, 250, 255].into_iter()).await;
    assert_found(&world, (0, 256), 0..4).await;
    assert_found(&world, (1, 0), [0, 100, 254, 255].into_iter()).await;
    assert_found(&world, (2, 0), 0..1).await;
    let id = TileId { level: 2, index: 0 };
    assert_eq!(findings(&*tampered(&world, id, 1)).await, [Finding::TileDiffers { id, position: 0 }]);
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    assert_eq!(world.head_sizes().await, [65_530, 65_540]);
}

/// What an old tile holds is in no new signature. Whoever asks for a proof from it gets none.
#[tokio::test]
async fn no_proof_is_made_from_a_damaged_tile() {
    let world = grown(520, 700).await;
    run_to_end(&world.sequencer(), &world.clock).await.unwrap();
    let entries = world.store.entry_list(LOG_ID, 0, 1_000).await.unwrap();
    let id = TileId { level: 0, index: 0 };
    for position in [0, 7, 255] {
        let store = tampered(&world, id, position * Hash::LEN);
        assert_eq!(findings(&*store).await, [Finding::TileDiffers { id, position }]);
        let prover = Prover::new(store, LOG_ID, ORIGIN.to_owned());
        let (mut made, mut refused) = (0, 0);
        for index in [0_usize, 6, 7, 8, 255, 256, 600] {
            let leaf = world.store.leaf_get(TENANT, LeafName::Attempt(entries[index].attempt_id)).await.unwrap();
            let hash = kapsel_verification::leaf_hash(&leaf.data);
            for size in [9, 200, 256, 257, 520, 519, 699, 700] {
                match prover.inclusion(TENANT, hash, Some(size)).await {
                    Ok(Proof::Made(proof)) => {
                        let right = world.prover().inclusion(TENANT, hash, Some(size)).await.unwrap();
                        assert_eq!(Proof::Made(proof), right, "leaf {index} of {size}");
                        made += 1;
                    }
                    Ok(other) => panic!("{other:?}"),
                    Err(AttestationError::Root { .. }) => refused += 1,
                    Err(error) => assert!(size <= index as u64, "leaf {index} of {size}: {error}"),
                }
            }
            match prover.package(TENANT, leaf.attempt_id).await {
                // A path beside the damage is as it should be.
                Ok(made) => assert_eq!(made, world.prover().package(TENANT, leaf.attempt_id).await.unwrap()),
                other => assert!(matches!(other, Err(AttestationError::Root { .. })) && index <= 255, "{other:?}"),
            }
        }
        assert!(made > 5 && refused > 10, "{made} and {refused}");
        for old in (1..=700).step_by(11).chain([64, 128, 255, 256, 257, 512]) {
            for new in [old, 256, 520, 699, 700] {
                if let Ok(proof) = prover.consistency(old, new).await {
                    assert_eq!(proof, world.prover().consistency(old, new).await.unwrap(), "{old} to {new}");
                }
            }
            let is_in_tile = prover.consistency(old, 700).await.is_err();
            assert_eq!(is_in_tile, old < 256, "{old}");
        }
    }
}

/// What was read damaged once does not stay.
#[tokio::test]
async fn a_mended_tile_is_proved_from_again() {
    let world = grown(300, 301).await;
    let attempt_id = world.store.entry_list(LOG_ID, 3, 1).await.unwrap()[0].attempt_id;
    let store = tampered(&world, TileId { level: 0, index: 0 }, 0);
    let prover = Prover::new(Arc::clone(&store) as Arc<dyn AttestationStore>, LOG_ID, ORIGIN.to_owned());
    prover.package(TENANT, attempt_id).await.unwrap_err();
    store.change_tiles(|_| {});
    assert!(matches!(prover.package(TENANT, attempt_id).await.unwrap(), Proof::Made(_)));
}
