//! A tree head whose signatures were found to hold.

use alloc::string::String;
use alloc::vec::Vec;

use crate::consistency::verify_consistency;
use crate::hash::Hash;
use crate::key::VerifierKey;
use crate::note::{OpenError, VerifiedSignature};
use crate::proof::ConsistencyProof;
use crate::report::StepError;
use crate::signed_checkpoint::SignedCheckpointError;
use crate::tree_head::TreeHeadError;

/// What a log whose key is known has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead {
    /// The name of the log.
    pub origin: String,
    /// The number of leaves.
    pub tree_size: u64,
    /// The root over them.
    pub root_hash: Hash,
    /// The keys of the log that signed, at least one.
    pub signed_by: Vec<VerifierKey>,
    /// When the head was made, if it says so.
    pub time: Option<HeadTime>,
    /// The cosignatures of others that hold, with their times.
    pub witnessed_by: Vec<VerifiedSignature>,
}

/// When a head was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadTime {
    /// In whole seconds of the Unix epoch.
    pub unix_seconds: u64,
    /// Whether a known key signed the time. Otherwise it is only what the document says.
    pub is_verified: bool,
}

/// Why a head is not one of a known log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// There is no signed checkpoint.
    #[error("the head cannot be read")]
    Checkpoint(#[from] SignedCheckpointError),
    /// The JSON view differs from its checkpoint.
    #[error("the head is not a view of its checkpoint")]
    View(#[from] TreeHeadError),
    /// The signatures do not hold, or are all by strangers.
    #[error("the checkpoint of {origin} cannot be trusted")]
    Open {
        /// The name of the log, as the checkpoint gives it.
        origin: String,
        /// What is wrong with the signatures.
        #[source]
        source: OpenError,
    },
    /// Known keys signed, but none of them is one of this log.
    #[error("the checkpoint of {origin} is signed by known keys, but by none of that log")]
    NotByLog {
        /// The name of the log, as the checkpoint gives it.
        origin: String,
    },
    /// The policy asks for other or more witnesses.
    #[error("the witnesses that the policy asks for have not all cosigned")]
    Quorum,
    /// The view gives another time than the one that a known key signed.
    #[error("timestamp is not the time that the log signed")]
    Time,
}

impl VerifiedHead {
    /// Checks that the tree of this head is continued by that of a newer one of the same log.
    ///
    /// # Errors
    /// [`StepError::OtherLog`] and [`StepError::Consistency`].
    pub fn verify_continuation(&self, newer: &VerifiedHead, path: &[Hash]) -> Result<(), StepError> {
        if self.origin != newer.origin {
            return Err(StepError::OtherLog { old: self.origin.clone(), new: newer.origin.clone() });
        }
        Ok(verify_consistency(self.tree_size, &self.root_hash, newer.tree_size, &newer.root_hash, path)?)
    }

    /// The same with a proof in JSON, whose sizes and roots have to be those of the two heads.
    ///
    /// # Errors
    /// [`StepError::Differs`], and those of [`VerifiedHead::verify_continuation`].
    pub fn verify_continuation_by(&self, newer: &VerifiedHead, proof: &ConsistencyProof) -> Result<(), StepError> {
        let agree = |is_same: bool, field, from| if is_same { Ok(()) } else { Err(StepError::Differs { field, from }) };
        agree(proof.old_size == self.tree_size, "old_size", "the old head")?;
        agree(proof.old_root == self.root_hash, "old_root", "the old head")?;
        agree(proof.new_size == newer.tree_size, "new_size", "the new head")?;
        agree(proof.new_root == newer.root_hash, "new_root", "the new head")?;
        self.verify_continuation(newer, &proof.proof_hashes)
    }
}
