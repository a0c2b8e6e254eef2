//! That a leaf stands in a tree (RFC 9162, section 2.1.3.2).
//!
//! A path proves a leaf under one root and one size only when both come from the same signed checkpoint: the same path
//! fits a band of other sizes.

use crate::hash::{Hash, node_hash};

/// Why a path does not lead from the leaf to the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The tree has no leaf of this index.
    #[error("there is no leaf {index} in a tree of {size} leaves")]
    IndexOutside {
        /// The index that was asked for, from 0.
        index: u64,
        /// The number of leaves in the tree.
        size: u64,
    },
    /// The path has too few or too many hashes for this index and size.
    #[error("the path has {found} hashes where {expected} are needed")]
    PathLength {
        /// How many the shape of the tree asks for.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The path leads to another root.
    #[error("the path leads to the root {found}, not to {expected}")]
    OtherRoot {
        /// The root that the tree has.
        expected: Hash,
        /// The root that leaf and path give.
        found: Hash,
    },
}

/// How many hashes the path of a leaf has: one for each level on which it has a sibling. None where the tree has no
/// such leaf. It is never more than 64.
pub fn inclusion_path_length(index: u64, size: u64) -> Option<usize> {
    let last = size.checked_sub(1)?;
    if index > last {
        return None;
    }
    // Below the level where the paths of this leaf and of the last one meet, every node has a sibling. Above it this is
    // the right edge of the tree, where only nodes that are right children have one.
    let inner = u64::BITS - (index ^ last).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    usize::try_from(inner + border).ok()
}

/// The root of the tree of `size` leaves in which the leaf stands at `index` (from 0), if the path is true.
///
/// # Errors
/// [`InclusionError::IndexOutside`] and [`InclusionError::PathLength`].
pub fn root_from_inclusion(leaf_hash: &Hash, index: u64, size: u64, path: &[Hash]) -> Result<Hash, InclusionError> {
    let outside = InclusionError::IndexOutside { index, size };
    let expected = inclusion_path_length(index, size).ok_or(outside)?;
    if path.len() != expected {
        return Err(InclusionError::PathLength { expected, found: path.len() });
    }
    let (mut node, mut last) = (index, size.checked_sub(1).ok_or(outside)?);
    let mut root = *leaf_hash;
    for sibling in path {
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            // Levels on which the node has no sibling are passed over.
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    Ok(root)
}

/// Checks that the leaf stands at `index` (from 0) in the tree of `size` leaves that has this root.
///
/// # Errors
/// [`InclusionError`]; a path with one hash more or less than needed is refused.
///
/// ```
/// use kapsel_verification::{leaf_hash, node_hash, verify_inclusion};
///
/// let (first, second) = (leaf_hash(b"first"), leaf_hash(b"second"));
/// let root = node_hash(&first, &second);
/// assert!(verify_inclusion(&second, 1, 2, &[first], &root).is_ok());
/// assert!(verify_inclusion(&second, 0, 2, &[first], &root).is_err());
/// ```
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), InclusionError> {
    let found = root_from_inclusion(leaf_hash, index, size, path)?;
    if found == *root { Ok(()) } else { Err(InclusionError::OtherRoot { expected: *root, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::leaf_hash;

    #[test]
    fn a_tree_of_one_is_its_leaf() {
        let leaf = leaf_hash(b"only");
        assert_eq!(verify_inclusion(&leaf, 0, 1, &[], &leaf), Ok(()));
        let longer = InclusionError::PathLength { expected: 0, found: 1 };
        assert_eq!(verify_inclusion(&leaf, 0, 1, &[leaf], &leaf), Err(longer));
    }

    #[test]
    fn an_index_outside_of_the_tree_is_refused() {
        let leaf = leaf_hash(b"");
        for (index, size) in [(0, 0), (1, 1), (8, 7), (u64::MAX, u64::MAX)] {
            let outside = InclusionError::IndexOutside { index, size };
            assert_eq!(root_from_inclusion(&leaf, index, size, &[]), Err(outside));
        }
    }

    #[test]
    fn the_largest_tree_has_paths_of_64_and_less() {
        assert_eq!(inclusion_path_length(0, u64::MAX), Some(64));
        // The last leaf of 2^64 - 1 has an even index: on the lowest level it has no sibling.
        assert_eq!(inclusion_path_length(u64::MAX - 1, u64::MAX), Some(63));
        let leaf = leaf_hash(b"");
        assert!(root_from_inclusion(&leaf, 0, u64::MAX, &[leaf; 64]).is_ok());
        assert!(root_from_inclusion(&leaf, u64::MAX - 1, u64::MAX, &[leaf; 63]).is_ok());
    }

    #[test]
    fn left_and_right_are_told_apart() {
        let (left, right) = (leaf_hash(b"l"), leaf_hash(b"r"));
        let root = node_hash(&left, &right);
        assert_eq!(verify_inclusion(&left, 0, 2, &[right], &root), Ok(()));
        assert_eq!(verify_inclusion(&right, 1, 2, &[left], &root), Ok(()));
        assert!(matches!(verify_inclusion(&right, 0, 2, &[left], &root), Err(InclusionError::OtherRoot { .. })));
    }
}
