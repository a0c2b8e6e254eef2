//! The same questions to our code, to the definition in RFC 6962, and to two libraries by others: ct-merkle and
//! tlog_tiles. What is written here is read by signed_note and tlog_tiles.

use std::cell::Cell;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof as TheirConsistency, InclusionProof as TheirInclusion, RootHash};
use kapsel_verification::{
    ConsistencyError, Hash, InclusionError, consistency_path_length, inclusion_path_length, leaf_hash,
    root_from_inclusion, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2_of_ct_merkle::Sha256;
use signed_note::{Note, StandardVerifier, VerifierList};

use crate::fixture::{Key, Log, ORIGIN};
use crate::reference::Tree;

/// Every tree of up to this many leaves is looked at.
const SIZE_MAX: usize = 300;

fn leaf(index: usize) -> Vec<u8> {
    format!("leaf {index}").into_bytes()
}

fn theirs(hash: &Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(*hash.as_bytes())
}

fn all_theirs(path: &[Hash]) -> Vec<tlog_tiles::Hash> {
    path.iter().map(theirs).collect()
}

fn joined(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// The hashes that tlog_tiles wants to have stored, in memory.
#[derive(Default)]
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|index| self.0[usize::try_from(*index).unwrap()]).collect())
    }
}

#[test]
fn all_trees_have_the_roots_and_proofs_of_the_others() {
    let tree = Tree::of((0..SIZE_MAX).map(leaf));
    let mut ct = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut stored = Stored::default();
    let (mut paths, mut connections) = (0, 0);
    for size in 1..=SIZE_MAX {
        ct.push(leaf(size - 1));
        let new = tlog_tiles::stored_hashes(size as u64 - 1, &leaf(size - 1), &stored).unwrap();
        stored.0.extend(new);

        let root = tree.root(size);
        assert_eq!(root.as_bytes().as_slice(), ct.root().as_bytes().as_slice(), "{size}");
        assert_eq!(theirs(&root), tlog_tiles::tree_hash(size as u64, &stored).unwrap(), "{size}");

        for index in 0..size {
            let path = tree.path(index, size);
            assert_eq!(verify_inclusion(tree.leaf(index), index as u64, size as u64, &path, &root), Ok(()));
            assert_eq!(inclusion_path_length(index as u64, size as u64), Some(path.len()));
            // Making proofs is slow in those libraries; the first and last leaves and some between are enough.
            if index < 3 || index + 3 > size || index % 37 == size % 37 {
                assert_eq!(joined(&path), ct.prove_inclusion(index).as_bytes(), "{index} of {size}");
                let proof = tlog_tiles::prove_record(size as u64, index as u64, &stored).unwrap();
                assert_eq!(all_theirs(&path), proof, "{index} of {size}");
            }
            paths += 1;
        }
        for old in 1..=size {
            let path = tree.consistency(old, size);
            let (from, to) = (old as u64, size as u64);
            assert_eq!(verify_consistency(from, &tree.root(old), to, &root, &path), Ok(()), "{old} to {size}");
            assert_eq!(consistency_path_length(from, to), Some(path.len()));
            if old < 3 || old + 3 > size || old % 37 == size % 37 {
                assert_eq!(joined(&path), ct.prove_consistency(size - old).as_bytes(), "{old} to {size}");
                let proof = tlog_tiles::prove_tree(to, from, &stored).unwrap();
                assert_eq!(all_theirs(&path), proof, "{old} to {size}");
            }
            connections += 1;
        }
    }
    assert_eq!((paths, connections), (45_150, 45_150));
}

/// A size with any number of bits up to 40.
fn size() -> impl Strategy<Value = u64> {
    (0_u32..=40, any::<u64>()).prop_map(|(bits, number)| (number & ((1 << bits) - 1)).max(1))
}

fn path(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Hash>> {
    prop::collection::vec(any::<[u8; 32]>().prop_map(Hash::from_bytes), length)
}

fn verdicts_on_inclusion(data: &[u8], index: u64, size: u64, path: &[Hash], root: &Hash) -> [bool; 3] {
    let leaf = leaf_hash(data);
    let ct_root = RootHash::<Sha256>::new((*root.as_bytes()).into(), size);
    let ct_path = TheirInclusion::from_bytes(joined(path));
    [
        verify_inclusion(&leaf, index, size, path, root).is_ok(),
        ct_root.verify_inclusion(&data, index, &ct_path).is_ok(),
        tlog_tiles::check_record(&all_theirs(path), size, theirs(root), index, theirs(&leaf)).is_ok(),
    ]
}

fn verdicts_on_consistency(old: (u64, &Hash), new: (u64, &Hash), path: &[Hash]) -> [bool; 3] {
    let ct_root = |(size, root): (u64, &Hash)| RootHash::<Sha256>::new((*root.as_bytes()).into(), size);
    let ct_path = TheirConsistency::try_from_bytes(joined(path)).unwrap();
    [
        verify_consistency(old.0, old.1, new.0, new.1, path).is_ok(),
        ct_root(new).verify_consistency(&ct_root(old), &ct_path).is_ok(),
        tlog_tiles::check_tree(&all_theirs(path), new.0, theirs(new.1), old.0, theirs(old.1)).is_ok(),
    ]
}

/// The two roots that a path of the right length gives: what is expected is asked for until it is found.
fn roots_of(old: u64, new: u64, path: &[Hash], seed: Hash) -> (Hash, Hash) {
    let (mut old_root, mut new_root) = (seed, seed);
    for _ in 0..3 {
        match verify_consistency(old, &old_root, new, &new_root, path) {
            Err(ConsistencyError::OtherOldRoot { found, .. }) => old_root = found,
            Err(ConsistencyError::OtherNewRoot { found, .. }) => new_root = found,
            result => {
                assert_eq!(result, Ok(()));
                break;
            }
        }
    }
    (old_root, new_root)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Trees of up to 2^40 leaves of which nothing exists but one path: whatever it leads to is the root.
    #[test]
    fn paths_in_large_trees_lead_everybody_to_the_same_root(
        size in size(), number in any::<u64>(), hashes in path(64..65), data in any::<[u8; 8]>(), other in any::<u64>(),
    ) {
        let index = number % size;
        let length = inclusion_path_length(index, size).unwrap();
        let path = &hashes[..length];
        let root = root_from_inclusion(&leaf_hash(&data), index, size, path).unwrap();
        prop_assert_eq!(verdicts_on_inclusion(&data, index, size, path, &root), [true; 3]);

        // The same path for another place, another size, another root or another length: the same answer from all.
        let other_index = other % size;
        let [ours, ct, tiles] = verdicts_on_inclusion(&data, other_index, size, path, &root);
        prop_assert_eq!((ours, ours), (ct, tiles));
        let other_size = size + other % 3;
        let [ours, ct, tiles] = verdicts_on_inclusion(&data, index, other_size, path, &root);
        prop_assert_eq!((ours, ours), (ct, tiles));
        prop_assert_eq!(verdicts_on_inclusion(&data, index, size, path, &leaf_hash(b"other")), [false; 3]);
        if length > 0 {
            prop_assert_eq!(verdicts_on_inclusion(&data, index, size, &path[1..], &root), [false; 3]);
            prop_assert_eq!(verdicts_on_inclusion(&data, index, size, &path[..length - 1], &root), [false; 3]);
        }
        prop_assert_eq!(verdicts_on_inclusion(&data, index, size, &hashes[..=length], &root), [false; 3]);
    }

    #[test]
    fn paths_between_large_trees_connect_the_same_roots_for_everybody(
        one in size(), two in size(), hashes in path(66..67), seed in any::<[u8; 32]>(), more in 0_u64..3,
    ) {
        let (old, new) = (one.min(two), one.max(two));
        let length = consistency_path_length(old, new).unwrap();
        let path = &hashes[..length];
        let (old_root, new_root) = roots_of(old, new, path, Hash::from_bytes(seed));
        prop_assert_eq!(verdicts_on_consistency((old, &old_root), (new, &new_root), path), [true; 3]);

        let [ours, ct, tiles] = verdicts_on_consistency((old, &old_root), (new + more, &new_root), path);
        prop_assert_eq!((ours, ours), (ct, tiles));
        let [ours, ct, tiles] = verdicts_on_consistency(((old + more).min(new), &old_root), (new, &new_root), path);
        prop_assert_eq!((ours, ours), (ct, tiles));
        let other = leaf_hash(b"other");
        prop_assert_eq!(verdicts_on_consistency((old, &other), (new, &new_root), path), [false; 3]);
        prop_assert_eq!(verdicts_on_consistency((old, &old_root), (new, &other), path), [false; 3]);
        if length > 0 {
            prop_assert_eq!(verdicts_on_consistency((old, &old_root), (new, &new_root), &path[1..]), [false; 3]);
        }
        let longer = &hashes[..=length];
        prop_assert_eq!(verdicts_on_consistency((old, &old_root), (new, &new_root), longer), [false; 3]);
    }

    /// Where a path ends is a matter of arithmetic alone, up to the last number there is.
    #[test]
    fn lengths_of_paths_follow_from_the_definition(number in any::<u64>(), bits in 0_u32..64, other in any::<u64>()) {
        /// How often a range can be halved, as section 2.1.1 does it, until the leaf is alone.
        fn depth(index: u128, size: u128) -> usize {
            if size == 1 {
                return 0;
            }
            let left = size.next_power_of_two() / 2;
            1 + if index < left { depth(index, left) } else { depth(index - left, size - left) }
        }
        let size = (number >> bits).max(1);
        let index = other % size;
        prop_assert_eq!(inclusion_path_length(index, size), Some(depth(index.into(), size.into())));
        let wrong = root_from_inclusion(&leaf_hash(b""), index, size, &[leaf_hash(b""); 70]);
        let is_too_long = matches!(wrong, Err(InclusionError::PathLength { found: 70, .. }));
        prop_assert!(is_too_long);
    }
}

#[test]
fn our_checkpoints_open_elsewhere() {
    let log = Log::signed_by(20, vec![Key::log(1), Key::log(3), Key::clock(2)]);
    let opened = Cell::new(0);
    for size in 0..=20 {
        let note = Note::from_bytes(log.note(size).as_bytes()).unwrap();
        assert_eq!(note.to_bytes(), log.note(size).into_bytes());
        for key in &log.signers[..2] {
            let verifier = StandardVerifier::new(&key.verifier.to_string()).unwrap();
            let (verified, others) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
            assert_eq!((verified.len(), others.len()), (1, 2));
            assert_eq!(verified[0].id().to_be_bytes(), *key.verifier.id().as_bytes());
            opened.set(opened.get() + 1);
        }
        let checkpoint = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!((checkpoint.origin(), checkpoint.size()), (ORIGIN, size as u64));
        assert_eq!(*checkpoint.hash(), theirs(&log.tree.root(size)));
        assert_eq!(checkpoint.to_bytes(), log.text(size).into_bytes());
    }
    assert_eq!(opened.get(), 42);
}

#[test]
fn our_key_ids_are_theirs() {
    for seed in 1..=20 {
        let key = Key::log(seed);
        let bytes = [&[1], key.verifier.public_key().as_slice()].concat();
        assert_eq!(signed_note::key_id(ORIGIN, &bytes).to_be_bytes(), *key.verifier.id().as_bytes());
    }
}
