//! Everything that is needed to check one delivery attempt offline, in one JSON document.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize};

use crate::base64_text;
use crate::hash::Hash;
use crate::opening::Openings;
use crate::proof::InclusionProof;
use crate::tree_head::SignedTreeHead;

/// Packages are no longer than this. A leaf has at most 64 KiB and a checkpoint 128 KiB; the rest is openings.
pub const PACKAGE_BYTES_MAX: usize = 1024 * 1024;

/// The leaf of an attempt, its place in the log, and the signed head of the log. Fields that it does not know are
/// ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofPackage {
    /// The attempt, `da_…`: the same as in the leaf.
    pub delivery_attempt_id: String,
    /// The exact bytes of the leaf.
    #[serde(with = "base64_text")]
    pub leaf_data: Vec<u8>,
    /// Their hash.
    pub leaf_hash: Hash,
    /// The path from the leaf to the root of the head.
    pub inclusion_proof: InclusionProof,
    /// The head that the path leads to.
    pub signed_tree_head: SignedTreeHead,
    /// What is shown of the values that the leaf commits to. Whoever hands the package on may take some or all away,
    /// and what has been erased is not there.
    #[serde(default, deserialize_with = "null_is_empty", skip_serializing_if = "Openings::is_empty")]
    pub openings: Openings,
}

/// Why something is not a proof package.
#[derive(Debug, thiserror::Error)]
pub enum PackageFormError {
    /// It is too long.
    #[error("the package has {0} bytes; {PACKAGE_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It is not JSON, or not that of a package.
    #[error("not a proof package")]
    Json(#[from] serde_json::Error),
}

impl ProofPackage {
    /// Reads the JSON of a package. Nothing is verified by it.
    ///
    /// # Errors
    /// [`PackageFormError`]; a field that stands there twice is refused.
    pub fn from_json(json: &[u8]) -> Result<Self, PackageFormError> {
        if json.len() > PACKAGE_BYTES_MAX {
            return Err(PackageFormError::TooLong(json.len()));
        }
        Ok(serde_json::from_slice(json)?)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Openings, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
