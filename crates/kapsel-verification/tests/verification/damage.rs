//! Nothing can be changed in a proof: every bit counts, and so does the number and the order of the hashes.

use kapsel_verification::{Hash, verify_consistency, verify_inclusion};
use proptest::prelude::*;

use crate::reference::Tree;

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

/// Every way to add, drop or swap hashes, and to flip one bit of each.
fn damaged(path: &[Hash], more: &[Hash]) -> Vec<Vec<Hash>> {
    let mut found = Vec::new();
    for at in 0..=path.len() {
        for hash in path.iter().chain(more) {
            let mut longer = path.to_vec();
            longer.insert(at, *hash);
            found.push(longer);
        }
    }
    for at in 0..path.len() {
        let mut shorter = path.to_vec();
        shorter.remove(at);
        found.push(shorter);
        for bit in 0..256 {
            let mut other = path.to_vec();
            other[at] = flipped(&path[at], bit);
            found.push(other);
        }
        for with in at + 1..path.len() {
            let mut swapped = path.to_vec();
            swapped.swap(at, with);
            found.push(swapped);
        }
    }
    found
}

#[test]
fn no_damaged_inclusion_path_is_accepted() {
    let tree = Tree::of((0..33_u32).map(u32::to_be_bytes));
    for size in [1, 2, 3, 7, 8, 13, 32, 33] {
        let root = tree.root(size);
        for index in 0..size {
            let (leaf, path) = (tree.leaf(index), tree.path(index, size));
            let accepts = |leaf: &Hash, index: usize, path: &[Hash], root: &Hash| {
                verify_inclusion(leaf, index as u64, size as u64, path, root).is_ok()
            };
            assert!(accepts(leaf, index, &path, &root));
            for damaged in damaged(&path, &[*leaf, root]) {
                assert!(!accepts(leaf, index, &damaged, &root), "{index} of {size}: {damaged:?}");
            }
            for bit in 0..256 {
                assert!(!accepts(&flipped(leaf, bit), index, &path, &root));
                assert!(!accepts(leaf, index, &path, &flipped(&root, bit)));
            }
            for other in (0..=size).filter(|&other| other != index) {
                assert!(!accepts(leaf, other, &path, &root), "{index} of {size} as {other}");
            }
            for bit in 0..64 {
                let other = index as u64 ^ (1 << bit);
                assert!(verify_inclusion(leaf, other, size as u64, &path, &root).is_err());
            }
        }
    }
}

#[test]
fn no_damaged_consistency_path_is_accepted() {
    let tree = Tree::of((0..33_u32).map(u32::to_be_bytes));
    for new in [1, 2, 3, 7, 8, 13, 32, 33] {
        for old in 1..=new {
            let (old_root, new_root, path) = (tree.root(old), tree.root(new), tree.consistency(old, new));
            let accepts = |old_root: &Hash, new_root: &Hash, path: &[Hash]| {
                verify_consistency(old as u64, old_root, new as u64, new_root, path).is_ok()
            };
            assert!(accepts(&old_root, &new_root, &path));
            for damaged in damaged(&path, &[old_root, new_root]) {
                assert!(!accepts(&old_root, &new_root, &damaged), "{old} to {new}: {damaged:?}");
            }
            for bit in 0..256 {
                assert!(!accepts(&flipped(&old_root, bit), &new_root, &path));
                assert!(!accepts(&old_root, &flipped(&new_root, bit), &path));
            }
            assert_eq!(accepts(&new_root, &old_root, &path), old == new);
            for other in (0..=new).filter(|&other| other != old) {
                let result = verify_consistency(other as u64, &old_root, new as u64, &new_root, &path);
                assert!(result.is_err(), "{old} to {new} as from {other}");
            }
        }
    }
}

proptest! {
    #[test]
    fn no_input_makes_the_arithmetic_panic(
        index in any::<u64>(), size in any::<u64>(), length in 0_usize..130, low in 0_u64..4,
    ) {
        let hash = kapsel_verification::empty_root();
        let path = vec![hash; length];
        for (index, size) in [(index, size), (low, size), (size.wrapping_sub(low), size), (u64::MAX - low, u64::MAX)] {
            let _ = verify_inclusion(&hash, index, size, &path, &hash);
            let _ = verify_consistency(index, &hash, size, &hash, &path);
        }
    }
}
