//! Verifies proofs of delivery without trusting whoever made them.
//!
//! **Is:** the hashes and proofs of RFC 6962 and RFC 9162 ([`hash`], [`inclusion`], [`consistency`]), the leaves of Kapsel's
//! log ([`leaf`]), the signed checkpoints of C2SP ([`note`], [`checkpoint`], [`cosignature`], [`key`]) and the documents in
//! which a proof travels ([`package`]). It needs `alloc` and no operating system.
//!
//! **Is not:** it does no IO, depends on nothing of Kapsel, and makes no proof and no signature. It writes the texts that
//! others sign.
//!
//! Read first: [`leaf`] and [`package`].

#![no_std]

extern crate alloc;

mod base64_text;
mod decimal;
mod hex_text;

pub mod checkpoint;
pub mod consistency;
pub mod cosignature;
pub mod hash;
pub mod head;
pub mod inclusion;
pub mod key;
pub mod leaf;
pub mod note;
pub mod opening;
pub mod package;
pub mod policy;
pub mod proof;
pub mod report;
pub mod signed_checkpoint;
pub mod tlog_proof;
pub mod tree_head;
pub mod verifier;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use consistency::{ConsistencyError, consistency_path_length, verify_consistency};
pub use cosignature::{Cosignature, cosigned_message, timestamp_name};
pub use hash::{Hash, InvalidHash, empty_root, leaf_hash, node_hash};
pub use head::{HeadError, HeadTime, VerifiedHead};
pub use inclusion::{InclusionError, inclusion_path_length, root_from_inclusion, verify_inclusion};
pub use key::{BareKey, KeyError, KeyId, KeyType, PublicKey, SignatureError, VerifierKey};
pub use leaf::{AttemptLeaf, Commitments, LeafError, commitment};
pub use note::{NoteError, OpenError, SignatureLine, SignedNote, VerifiedSignature};
pub use opening::{Opened, Opening, OpeningError, Openings};
pub use package::{PackageFormError, ProofPackage};
pub use policy::{Policy, PolicyError, PolicyFault};
pub use proof::{ConsistencyProof, InclusionProof};
pub use report::{Report, Step, StepError, StepReport, Verified, VerifyError};
pub use signed_checkpoint::{SignedCheckpoint, SignedCheckpointError};
pub use tlog_proof::{TlogProof, TlogProofError};
pub use tree_head::{SignedTreeHead, TreeHeadError, sth_id};
pub use verifier::ProofVerifier;
