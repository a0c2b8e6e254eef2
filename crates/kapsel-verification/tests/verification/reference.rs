//! Trees and proofs as RFC 6962 defines them, section 2.1: short, slow, and without a thought for storage.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

use kapsel_verification::{Hash, empty_root, leaf_hash, node_hash};

/// A list of leaf hashes, and the hashes of the subtrees that were asked for.
#[derive(Default)]
pub(crate) struct Tree {
    leaves: Vec<Hash>,
    subtrees: RefCell<HashMap<(usize, usize), Hash>>,
}

impl Tree {
    /// The tree over these leaves.
    pub(crate) fn of(leaves: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Tree {
        let leaves = leaves.into_iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
        Tree { leaves, subtrees: RefCell::default() }
    }

    pub(crate) fn leaf(&self, index: usize) -> &Hash {
        &self.leaves[index]
    }

    /// MTH(D[0:size]).
    pub(crate) fn root(&self, size: usize) -> Hash {
        self.hash(0..size)
    }

    /// PATH(index, D[0:size]), section 2.1.1.
    pub(crate) fn path(&self, index: usize, size: usize) -> Vec<Hash> {
        self.path_within(index, 0..size)
    }

    /// PROOF(old, D[0:size]), section 2.1.2.
    pub(crate) fn consistency(&self, old: usize, size: usize) -> Vec<Hash> {
        self.subproof(old, 0..size, true)
    }

    fn hash(&self, range: Range<usize>) -> Hash {
        match range.len() {
            0 => empty_root(),
            1 => self.leaves[range.start],
            length => {
                if let Some(hash) = self.subtrees.borrow().get(&(range.start, range.end)) {
                    return *hash;
                }
                let middle = range.start + largest_power_below(length);
                let hash = node_hash(&self.hash(range.start..middle), &self.hash(middle..range.end));
                self.subtrees.borrow_mut().insert((range.start, range.end), hash);
                hash
            }
        }
    }

    fn path_within(&self, index: usize, range: Range<usize>) -> Vec<Hash> {
        if range.len() == 1 {
            return Vec::new();
        }
        let middle = range.start + largest_power_below(range.len());
        let (mut path, sibling) = if index < middle {
            (self.path_within(index, range.start..middle), middle..range.end)
        } else {
            (self.path_within(index, middle..range.end), range.start..middle)
        };
        path.push(self.hash(sibling));
        path
    }

    fn subproof(&self, end: usize, range: Range<usize>, is_whole: bool) -> Vec<Hash> {
        if end == range.end {
            return if is_whole { Vec::new() } else { vec![self.hash(range)] };
        }
        let middle = range.start + largest_power_below(range.len());
        let (mut path, sibling) = if end <= middle {
            (self.subproof(end, range.start..middle, is_whole), middle..range.end)
        } else {
            (self.subproof(end, middle..range.end, false), range.start..middle)
        };
        path.push(self.hash(sibling));
        path
    }
}

/// The largest power of two that is smaller than `length`, which is 2 or more.
fn largest_power_below(length: usize) -> usize {
    length.next_power_of_two() / 2
}
