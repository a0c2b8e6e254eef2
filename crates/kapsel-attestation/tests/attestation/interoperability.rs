//! Others read what we write: libraries that share no line with us.

use std::collections::BTreeMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use kapsel_attestation::{Proof, SequencerSettings};
use kapsel_store::AttestationStore as _;
use kapsel_store::attestation::{Tile, TileId};
use kapsel_verification::Hash;
use proptest::prelude::*;
use sha2_of_ct_merkle::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};
use test_harness::builders::LOG_ID;
use tlog_tiles::{Checkpoint, TileHashReader, TileReader};

use crate::scripted::Script;
use crate::world::{ORIGIN, TENANT, World, key, run_to_end, settings};

type Reference = MemoryBackedTree<Sha256, Vec<u8>>;

/// The leaves of a log in their order, as bytes.
async fn leaves(world: &World) -> Vec<Vec<u8>> {
    let entries = world.store.entry_list(LOG_ID, 0, usize::MAX).await.unwrap();
    entries.into_iter().map(|entry| entry.data.unwrap().to_vec()).collect()
}

fn reference(leaves: &[Vec<u8>]) -> Reference {
    let mut tree = Reference::new();
    for leaf in leaves {
        tree.push(leaf.clone());
    }
    tree
}

/// A log that grew in steps of these sizes, with a head for each.
async fn grown(steps: impl IntoIterator<Item = usize>, settings: SequencerSettings) -> World {
    let world = World::new().await;
    let sequencer = world.scripted(&Script::smooth(), &[key(1)], settings);
    for count in steps {
        world.settle(count).await;
        world.pass_seconds(1);
        run_to_end(&sequencer, &world.clock).await.unwrap();
    }
    world
}

fn joined(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

#[tokio::test]
async fn heads_and_proofs_of_every_size_are_those_of_another_library() {
    const SIZE: u64 = 300;
    let world = grown(std::iter::repeat_n(1, 300), settings()).await;
    let leaves = leaves(&world).await;
    let heads = world.heads().await;
    assert_eq!(heads.len(), 300);
    let prover = world.prover();
    for (head, size) in heads.iter().zip(1..=SIZE) {
        let tree = reference(&leaves[..usize::try_from(size).unwrap()]);
        assert_eq!(head.root.as_bytes()[..], tree.root().as_bytes()[..], "{size}");
        // All of them in small trees, and in larger ones more and more of them left out.
        let step = usize::try_from(1 + size / 6).unwrap();
        for index in (0..size).rev().step_by(step) {
            let place = usize::try_from(index).unwrap();
            let hash = kapsel_verification::leaf_hash(&leaves[place]);
            let Proof::Made(proof) = prover.inclusion(TENANT, hash, Some(size)).await.unwrap() else {
                panic!("no proof of {index} in {size}")
            };
            assert_eq!(proof.leaf_index, index);
            assert_eq!(joined(&proof.proof_hashes), tree.prove_inclusion(place).as_bytes(), "{index} in {size}");
        }
        for old in (1..=size).rev().step_by(step) {
            let proof = prover.consistency(old, size).await.unwrap();
            let added = usize::try_from(size - old).unwrap();
            assert_eq!(joined(&proof.proof_hashes), tree.prove_consistency(added).as_bytes(), "{old} to {size}");
        }
    }
}

/// The tiles of a log as another library asks for them.
struct Shown(BTreeMap<TileId, Tile>);

impl Shown {
    async fn of(world: &World, size: u64) -> Self {
        let prover = world.prover();
        let mut shown = BTreeMap::new();
        for level in 0..8_u8 {
            let hashes = size >> (8 * u32::from(level));
            for index in 0..hashes.div_ceil(256) {
                let id = TileId { level, index };
                let width = usize::try_from(hashes - index * 256).unwrap().min(256);
                shown.insert(id, prover.tile(id, width).await.unwrap().unwrap());
            }
        }
        Shown(shown)
    }
}

impl TileReader for Shown {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &tlog_tiles::Tile| {
            let shown = &self.0[&TileId { level: tile.level(), index: tile.level_index() }];
            shown.hashes[..tile.width() as usize * Hash::LEN].to_vec()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

fn theirs(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

#[tokio::test]
async fn another_library_reads_our_tiles_and_makes_the_same_proofs() {
    let world = grown([255, 1, 1, 300, 1_400], settings()).await;
    let head = world.heads().await.pop().unwrap();
    let size = head.size;
    let shown = Shown::of(&world, size).await;
    let reader = TileHashReader::new(size, theirs(head.root), &shown);
    let leaves = leaves(&world).await;
    let prover = world.prover();
    for index in [0, 1, 254, 255, 256, 257, 511, 512, 1_000, size - 2, size - 1] {
        let hash = kapsel_verification::leaf_hash(&leaves[usize::try_from(index).unwrap()]);
        for size_of_proof in [index + 1, 1_024, 1_500, size] {
            if size_of_proof <= index {
                continue;
            }
            let Proof::Made(ours) = prover.inclusion(TENANT, hash, Some(size_of_proof)).await.unwrap() else {
                panic!("no proof")
            };
            let made = tlog_tiles::prove_record(size_of_proof, index, &reader).unwrap();
            let ours_as_theirs: Vec<_> = ours.proof_hashes.iter().copied().map(theirs).collect();
            assert_eq!(ours_as_theirs, made, "{index} in {size_of_proof}");
            let root = theirs(ours.root_hash);
            tlog_tiles::check_record(&ours_as_theirs, size_of_proof, root, index, theirs(hash)).unwrap();
            assert_eq!(tlog_tiles::tree_hash(size_of_proof, &reader).unwrap(), root);
        }
    }
    let heads = world.heads().await;
    for (old, new) in heads.iter().flat_map(|new| heads.iter().map(move |old| (old, new))) {
        if old.size > new.size {
            continue;
        }
        let ours = prover.consistency(old.size, new.size).await.unwrap();
        let ours: Vec<_> = ours.proof_hashes.iter().copied().map(theirs).collect();
        assert_eq!(ours, tlog_tiles::prove_tree(new.size, old.size, &reader).unwrap());
        tlog_tiles::check_tree(&ours, new.size, theirs(new.root), old.size, theirs(old.root)).unwrap();
    }
    let mut damaged = Shown::of(&world, size).await;
    let tile = damaged.0.get_mut(&TileId { level: 0, index: size / 256 }).unwrap();
    let mut hashes = tile.hashes.to_vec();
    hashes[0] ^= 1;
    tile.hashes = hashes.into();
    let reader = TileHashReader::new(size, theirs(head.root), &damaged);
    assert!(tlog_tiles::prove_record(size, 5, &reader).is_err(), "it compares the right edge with the root");
}

#[tokio::test]
async fn another_library_opens_our_heads() {
    let world = World::new().await;
    world.settle(5).await;
    let keys = [key(1), key(2)];
    run_to_end(&world.scripted(&Script::smooth(), &keys[..1], settings()), &world.clock).await.unwrap();
    world.settle(5).await;
    world.pass_seconds(60);
    run_to_end(&world.scripted(&Script::smooth(), &keys, settings()), &world.clock).await.unwrap();
    let verifier = |key: &kapsel_attestation::SecretKey| {
        let verifier = StandardVerifier::new(&key.verifier_key().to_string()).unwrap();
        VerifierList::new(vec![Box::new(verifier)])
    };
    for (head, signers) in world.heads().await.iter().zip([&keys[..1], &keys[..]]) {
        let note = Note::from_bytes(head.checkpoint.as_bytes()).unwrap();
        for signer in signers {
            let (verified, unknown) = note.verify(&verifier(signer)).unwrap();
            assert_eq!((verified.len(), unknown.len()), (1, 2 * signers.len() - 1));
            assert_eq!(verified[0].name(), ORIGIN);
        }
        assert!(note.verify(&verifier(&key(3))).is_err(), "a key that did not sign");
        let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size()), (ORIGIN, head.size));
        assert_eq!(*checkpoint.hash(), theirs(head.root));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a log grew, it is the same log.
    #[test]
    fn logs_that_grew_in_any_steps_have_the_roots_of_another_library(
        steps in proptest::collection::vec(0_usize..200, 1..8),
        batch_max in 1_usize..300,
        batches_max in 1_usize..5,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let settings = SequencerSettings { batch_max, batches_max, ..settings() };
            let world = grown(steps.iter().copied(), settings).await;
            world.assert_sound(&format!("{steps:?}")).await;
            let leaves = leaves(&world).await;
            for head in world.heads().await {
                let tree = reference(&leaves[..usize::try_from(head.size).unwrap()]);
                if head.size > 0 {
                    assert_eq!(head.root.as_bytes()[..], tree.root().as_bytes()[..], "{}", head.size);
                }
            }
        });
    }
}
