//! Verifies proofs of delivery without trusting whoever made them.
//!
//! **Is:** the hashes and proofs of RFC 6962 and RFC 9162 ([`hash`], [`inclusion`], [`consistency`]), the leaves of
//! Kapsel's log ([`leaf`]), the signed checkpoints of C2SP ([`note`], [`checkpoint`], [`cosignature`], [`key`]) and the
//! documents in which a proof travels ([`package`]). It needs `alloc` and no operating system.
//!
//! **Is not:** it does no IO, depends on nothing of Kapsel, and makes no proof and no signature. It writes the texts
//! that others sign.
//!
//! Read first: [`package`] and [`verifier`].
//!
//! # A proof of one attempt
//!
//! ```
//! use kapsel_verification::{ProofPackage, ProofVerifier, PublicKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let json = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frozen/package.json"));
//! // The key comes from a place that is trusted, never from the package itself.
//! let key: PublicKey = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c".parse()?;
//! let package = ProofPackage::from_json(json)?;
//! let verified = ProofVerifier::new(key).verify_package(&package)?;
//! assert_eq!(verified.leaf.http_status, Some(503));
//! assert!(!verified.leaf.is_delivered());
//! assert_eq!(verified.head.origin, "example.com/kapsel");
//!
//! let stranger: PublicKey = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394".parse()?;
//! assert!(ProofVerifier::new(stranger).verify_package(&package).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # A checkpoint of any log
//!
//! ```
//! use kapsel_verification::{ProofVerifier, SignedCheckpoint, VerifierKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key: VerifierKey = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx".parse()?;
//! # let note = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/tlog-tiles/testdata/log/checkpoint.15"));
//! let head = ProofVerifier::new(key).verify_checkpoint(&SignedCheckpoint::parse(note)?)?;
//! assert_eq!((head.origin.as_str(), head.tree_size), ("example.com/log/testdata", 15));
//! # Ok(())
//! # }
//! ```

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
