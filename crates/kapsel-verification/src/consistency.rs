//! That a tree grew out of an older one without a change to what was in it (RFC 9162, section 2.1.4.2).
//!
//! Sizes of zero: from an empty tree to one with leaves nothing is proven, because every tree continues the empty one.
//! It is refused, as by the vectors of transparency-dev; witnesses of C2SP accept it with an empty path. From zero to
//! zero the path is empty and both roots are that of the empty tree.

use crate::hash::{Hash, empty_root, node_hash};

/// Why a path does not connect the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// The old tree is larger than the new one.
    #[error("the old tree has {old_size} leaves and the new one only {new_size}")]
    Shrinks {
        /// Leaves of the old tree.
        old_size: u64,
        /// Leaves of the new tree.
        new_size: u64,
    },
    /// The old tree is empty and the new one is not.
    #[error("the old tree is empty; every tree continues it, and nothing is proven")]
    FromEmpty,
    /// The path has too few or too many hashes for these sizes.
    #[error("the path has {found} hashes where {expected} are needed")]
    PathLength {
        /// How many the sizes ask for.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The path gives another root for the old tree, or the sizes are equal and the roots are not.
    #[error("the path leads to the old root {found}, not to {expected}")]
    OtherOldRoot {
        /// The root that the old tree has.
        expected: Hash,
        /// The root that the path gives.
        found: Hash,
    },
    /// The path gives another root for the new tree.
    #[error("the path leads to the new root {found}, not to {expected}")]
    OtherNewRoot {
        /// The root that the new tree has.
        expected: Hash,
        /// The root that the path gives.
        found: Hash,
    },
}

/// How many hashes the path between trees of these sizes has; none where nothing can be proven (see the head of this
/// module). It is never more than 65.
pub fn consistency_path_length(old_size: u64, new_size: u64) -> Option<usize> {
    match (old_size, new_size) {
        (old, new) if old == new => Some(0),
        (0, _) => None,
        (old, new) if old > new => None,
        (old, new) => {
            // The walk starts at the largest whole subtree that ends where the old tree ends. From there the path is
            // that of a leaf; the subtree itself comes first, unless it is the old tree and its root is known.
            let level = old.trailing_zeros();
            let (node, last) = ((old - 1) >> level, (new - 1) >> level);
            let inner = u64::BITS - (node ^ last).leading_zeros();
            let border = node.checked_shr(inner).unwrap_or(0).count_ones();
            usize::try_from(inner + border + u32::from(!old.is_power_of_two())).ok()
        }
    }
}

/// Checks that the tree of `new_size` leaves continues the one of `old_size` leaves.
///
/// # Errors
/// [`ConsistencyError`]; a path with one hash more or less than needed is refused.
///
/// ```
/// use kapsel_verification::{leaf_hash, node_hash, verify_consistency};
///
/// let (first, second) = (leaf_hash(b"first"), leaf_hash(b"second"));
/// let root = node_hash(&first, &second);
/// assert!(verify_consistency(1, &first, 2, &root, &[second]).is_ok());
/// assert!(verify_consistency(1, &second, 2, &root, &[second]).is_err());
/// ```
pub fn verify_consistency(
    old_size: u64,
    old_root: &Hash,
    new_size: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), ConsistencyError> {
    if old_size > new_size {
        return Err(ConsistencyError::Shrinks { old_size, new_size });
    }
    let expected = consistency_path_length(old_size, new_size).ok_or(ConsistencyError::FromEmpty)?;
    if path.len() != expected {
        return Err(ConsistencyError::PathLength { expected, found: path.len() });
    }
    if old_size == new_size {
        // Where there are no leaves, the root is not a matter of the log.
        let root = if old_size == 0 { empty_root() } else { *old_root };
        return same_roots(old_root, &root, new_root, &root);
    }
    let (seed, rest) = match path.split_first() {
        Some((first, rest)) if !old_size.is_power_of_two() => (first, rest),
        _ => (old_root, path),
    };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    same_roots(old_root, &old, new_root, &new)
}

fn same_roots(old_root: &Hash, old: &Hash, new_root: &Hash, new: &Hash) -> Result<(), ConsistencyError> {
    if old != old_root {
        return Err(ConsistencyError::OtherOldRoot { expected: *old_root, found: *old });
    }
    if new != new_root {
        return Err(ConsistencyError::OtherNewRoot { expected: *new_root, found: *new });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn nothing_is_proven_from_an_empty_tree() {
        let (empty, leaf) = (empty_root(), leaf_hash(b""));
        assert_eq!(verify_consistency(0, &empty, 0, &empty, &[]), Ok(()));
        assert_eq!(verify_consistency(0, &empty, 1, &leaf, &[]), Err(ConsistencyError::FromEmpty));
        assert_eq!(verify_consistency(0, &empty, 1, &leaf, &[leaf]), Err(ConsistencyError::FromEmpty));
        assert!(verify_consistency(0, &leaf, 0, &leaf, &[]).is_err());
        assert!(verify_consistency(0, &empty, 0, &leaf, &[]).is_err());
        assert!(verify_consistency(0, &empty, 0, &empty, &[empty]).is_err());
    }

    #[test]
    fn equal_sizes_need_equal_roots_and_no_path() {
        let (one, other) = (leaf_hash(b"1"), leaf_hash(b"2"));
        assert_eq!(verify_consistency(7, &one, 7, &one, &[]), Ok(()));
        assert!(matches!(verify_consistency(7, &one, 7, &other, &[]), Err(ConsistencyError::OtherNewRoot { .. })));
        let longer = ConsistencyError::PathLength { expected: 0, found: 1 };
        assert_eq!(verify_consistency(7, &one, 7, &one, &[one]), Err(longer));
    }

    #[test]
    fn a_tree_cannot_shrink() {
        let root = leaf_hash(b"");
        let shrinks = ConsistencyError::Shrinks { old_size: 2, new_size: 1 };
        assert_eq!(verify_consistency(2, &root, 1, &root, &[]), Err(shrinks));
    }

    #[test]
    fn a_tree_of_two_continues_that_of_one() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let root = node_hash(&left, &right);
        assert_eq!(verify_consistency(1, &left, 2, &root, &[right]), Ok(()));
        assert!(matches!(verify_consistency(1, &left, 2, &root, &[left]), Err(ConsistencyError::OtherNewRoot { .. })));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let root = leaf_hash(b"");
        for old in [1, 2, 3, 1 << 63, (1 << 63) + 1, u64::MAX - 1] {
            let length = consistency_path_length(old, u64::MAX).unwrap();
            assert!(length <= 65);
            let path = alloc::vec![root; length];
            assert!(!matches!(
                verify_consistency(old, &root, u64::MAX, &root, &path),
                Ok(()) | Err(ConsistencyError::PathLength { .. })
            ));
        }
    }
}
