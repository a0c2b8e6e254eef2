//! Proofs about a tree as JSON.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::consistency::{ConsistencyError, verify_consistency};
use crate::hash::Hash;
use crate::inclusion::{InclusionError, verify_inclusion};

/// That a leaf stands in a tree. Fields that it does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The hash of the leaf.
    pub leaf_hash: Hash,
    /// Where it stands, from 0.
    pub leaf_index: u64,
    /// How many leaves the tree has.
    pub tree_size: u64,
    /// The path, from the sibling of the leaf to the child of the root.
    pub proof_hashes: Vec<Hash>,
    /// The root of the tree.
    pub root_hash: Hash,
}

/// That a tree continues an older one. Fields that it does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyProof {
    /// How many leaves the older tree has.
    pub old_size: u64,
    /// How many leaves the newer tree has.
    pub new_size: u64,
    /// The root of the older tree.
    pub old_root: Hash,
    /// The root of the newer tree.
    pub new_root: Hash,
    /// The path, in the order of RFC 9162, section 2.1.4.1.
    pub proof_hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Checks that the path leads from the leaf to the root. That the root is one of a log is another question; see
    /// [`ProofVerifier`](crate::verifier::ProofVerifier).
    ///
    /// # Errors
    /// [`InclusionError`].
    pub fn verify(&self) -> Result<(), InclusionError> {
        verify_inclusion(&self.leaf_hash, self.leaf_index, self.tree_size, &self.proof_hashes, &self.root_hash)
    }
}

impl ConsistencyProof {
    /// Checks that the path connects the two roots. That they are those of a log is another question; see
    /// [`ProofVerifier`](crate::verifier::ProofVerifier).
    ///
    /// # Errors
    /// [`ConsistencyError`].
    pub fn verify(&self) -> Result<(), ConsistencyError> {
        verify_consistency(self.old_size, &self.old_root, self.new_size, &self.new_root, &self.proof_hashes)
    }
}
