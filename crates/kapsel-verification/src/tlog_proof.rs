//! A proof in the text format that tools for transparency logs share (C2SP tlog-proof, version 1): where a leaf stands,
//! its path, and the signed checkpoint. The leaf itself is kept beside it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::hash::Hash;
use crate::inclusion::{InclusionError, verify_inclusion};
use crate::signed_checkpoint::{SignedCheckpoint, SignedCheckpointError};
use crate::{base64_text, decimal};

/// Proofs are no longer than this: a note of 128 KiB, a leaf of 64 KiB in base64, and a path.
pub const TLOG_PROOF_BYTES_MAX: usize = 256 * 1024;
/// A path has no more hashes than this: sizes have 64 bits.
pub const PATH_LENGTH_MAX: usize = 64;

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The proof. It has one text: what [`TlogProof::parse`] takes, [`TlogProof::to_text`] gives back byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<Hash>,
    checkpoint: SignedCheckpoint,
}

/// Why something is not such a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// It is too long.
    #[error("the proof has {0} bytes; {TLOG_PROOF_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// It is not UTF-8.
    #[error("the proof is not UTF-8")]
    NotUtf8,
    /// The first line is another one.
    #[error("the first line is not {HEADER}")]
    Header,
    /// The extra data are not base64, or empty.
    #[error("the extra line is not base64 of something")]
    Extra,
    /// There is no line with the index, or it is not a decimal number of 64 bits without leading zeros.
    #[error("there is no line with the index as a decimal number")]
    Index,
    /// A line of the path is not the base64 of 32 bytes.
    #[error("hash {0} of the path is not the base64 of 32 bytes")]
    PathHash(usize),
    /// The path is longer than any tree needs.
    #[error("the path has more than {PATH_LENGTH_MAX} hashes")]
    PathLength,
    /// No empty line follows the path.
    #[error("no empty line follows the path")]
    NoCheckpoint,
    /// What follows the empty line is not a signed checkpoint.
    #[error("no signed checkpoint follows the path")]
    Checkpoint(#[from] SignedCheckpointError),
}

impl TlogProof {
    /// A proof of the leaf at `index` (from 0), with the signed checkpoint of the tree that the path leads to. `extra`
    /// is for the application; nothing signs it.
    ///
    /// # Errors
    /// [`TlogProofError`], where the parts cannot make a proof that [`TlogProof::parse`] would accept.
    pub fn new(
        index: u64,
        path: Vec<Hash>,
        checkpoint: SignedCheckpoint,
        extra: Option<Vec<u8>>,
    ) -> Result<Self, TlogProofError> {
        if extra.as_ref().is_some_and(Vec::is_empty) {
            return Err(TlogProofError::Extra);
        }
        if path.len() > PATH_LENGTH_MAX {
            return Err(TlogProofError::PathLength);
        }
        let proof = TlogProof { extra, index, path, checkpoint };
        let length = proof.to_text().len();
        if length > TLOG_PROOF_BYTES_MAX { Err(TlogProofError::TooLong(length)) } else { Ok(proof) }
    }

    /// Reads a proof. Nothing is verified by it.
    ///
    /// # Errors
    /// [`TlogProofError`].
    pub fn parse(proof: &[u8]) -> Result<Self, TlogProofError> {
        if proof.len() > TLOG_PROOF_BYTES_MAX {
            return Err(TlogProofError::TooLong(proof.len()));
        }
        let proof = core::str::from_utf8(proof).map_err(|_| TlogProofError::NotUtf8)?;
        let lines =
            proof.strip_prefix(HEADER).and_then(|rest| rest.strip_prefix('\n')).ok_or(TlogProofError::Header)?;
        let (lines, checkpoint) = lines.split_once("\n\n").ok_or(TlogProofError::NoCheckpoint)?;
        let mut lines = lines.split('\n').peekable();

        let extra = match lines.next_if(|line| line.starts_with("extra")) {
            Some(line) => {
                let bytes = line.strip_prefix("extra ").and_then(base64_text::decode);
                Some(bytes.filter(|bytes| !bytes.is_empty()).ok_or(TlogProofError::Extra)?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal::parse_u64);
        let index = index.ok_or(TlogProofError::Index)?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PATH_LENGTH_MAX {
                return Err(TlogProofError::PathLength);
            }
            let hash = base64_text::decode(line).and_then(|bytes| Hash::from_slice(&bytes));
            path.push(hash.ok_or(TlogProofError::PathHash(path.len() + 1))?);
        }
        let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        Ok(TlogProof { extra, index, path, checkpoint })
    }

    /// The proof as a file of the ending `.tlog-proof` holds it.
    pub fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        text.push('\n');
        if let Some(extra) = &self.extra {
            text.push_str("extra ");
            text.push_str(&base64_text::encode(extra));
            text.push('\n');
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "index {}", self.index);
        for hash in &self.path {
            text.push_str(&base64_text::encode(hash.as_bytes()));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint.note().to_text());
        text
    }

    /// What the application put beside the proof. Nobody signed it.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// Where the leaf stands, from 0.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The path, from the sibling of the leaf to the child of the root.
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The head of the tree that the path leads to.
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// Checks that the path leads from a leaf of this hash to the root of the checkpoint. That the checkpoint is one of
    /// a known log is another question; see [`ProofVerifier`](crate::verifier::ProofVerifier).
    ///
    /// # Errors
    /// [`InclusionError`].
    pub fn verify_path(&self, leaf_hash: &Hash) -> Result<(), InclusionError> {
        let checkpoint = self.checkpoint.checkpoint();
        verify_inclusion(leaf_hash, self.index, checkpoint.size(), &self.path, checkpoint.root())
    }
}
