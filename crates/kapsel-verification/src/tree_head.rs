//! A tree head as JSON: a view of a signed checkpoint for programs that do not want to take one apart.
//!
//! The checkpoint alone is what counts. Every other field repeats something of it, and [`SignedTreeHead::read`] refuses
//! a view in which one of them differs.

use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hash::Hash;
use crate::hex_text;
use crate::key::{KeyError, KeyId, KeyType, PUBLIC_KEY_LEN, SIGNATURE_LEN, SignatureError, VerifierKey};
use crate::signed_checkpoint::{SignedCheckpoint, SignedCheckpointError};

/// The view. Fields that it does not know are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedTreeHead {
    /// The number of leaves.
    pub tree_size: u64,
    /// The root over them.
    pub root_hash: Hash,
    /// When the head was made, in milliseconds of the Unix epoch; always a whole second. It is the time of the
    /// cosignature/v1 line whose name is that of [`timestamp_name`](crate::cosignature::timestamp_name). A head without
    /// such a line has a time that nobody signed.
    pub timestamp: u64,
    /// The Ed25519 signature over the text of the checkpoint: that of the line which `key_id` names.
    #[serde(with = "hex_text::array")]
    pub signature: [u8; SIGNATURE_LEN],
    /// The key that made it. Who verifies brings the keys that are trusted; this one is not among them for being here.
    #[serde(with = "hex_text::array")]
    pub public_key: [u8; PUBLIC_KEY_LEN],
    /// SHA-256 of the bytes of `checkpoint`, signatures included.
    pub sth_id: Hash,
    /// The id of `public_key` under the name of the log. While a key is being replaced, the note has a line of each of
    /// them, and the view names one.
    pub key_id: KeyId,
    /// The signed note.
    pub checkpoint: String,
}

/// Why a view is none of its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeHeadError {
    /// There is no checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] SignedCheckpointError),
    /// A field says something else than the checkpoint.
    #[error("{field} differs from the checkpoint")]
    Differs {
        /// The name of the field.
        field: &'static str,
    },
    /// The key in it cannot be one, or not one of a log of this name.
    #[error("public_key is not a key of this log")]
    Key(#[from] KeyError),
    /// The signature in it was not made by the key in it.
    #[error("signature is not one by public_key over the checkpoint")]
    Signature(#[from] SignatureError),
    /// The time is no whole second.
    #[error("timestamp is not a whole second: {0} ms")]
    WholeSecond(u64),
    /// The checkpoint does not say when it was made.
    #[error("the checkpoint has no line with a time")]
    NoTime,
}

impl SignedTreeHead {
    /// The view of a checkpoint, in which `key` is the key of the log that is named. The time is that of the line of
    /// [`timestamp_name`](crate::cosignature::timestamp_name).
    ///
    /// # Errors
    /// [`TreeHeadError`]: there has to be a line by this key that holds, and one with a time.
    pub fn of_checkpoint(checkpoint: &str, key: &VerifierKey) -> Result<Self, TreeHeadError> {
        let signed = SignedCheckpoint::parse(checkpoint.as_bytes())?;
        let is_line = |line: &&crate::note::SignatureLine| line.name == key.name() && line.key_id == key.id();
        let line = signed.note().signatures().iter().find(is_line).ok_or(TreeHeadError::Differs { field: "key_id" })?;
        let length = SignatureError::Length(line.signature.len());
        let (_, seconds) = signed.timestamps().next().ok_or(TreeHeadError::NoTime)?;
        let view = SignedTreeHead {
            tree_size: signed.checkpoint().size(),
            root_hash: *signed.checkpoint().root(),
            timestamp: seconds.checked_mul(1000).ok_or(TreeHeadError::NoTime)?,
            signature: line.signature.as_slice().try_into().map_err(|_| length)?,
            public_key: *key.public_key(),
            sth_id: sth_id(checkpoint),
            key_id: key.id(),
            checkpoint: checkpoint.to_string(),
        };
        view.read()?;
        Ok(view)
    }

    /// Reads the checkpoint and checks every field against it. No key is trusted by that: it says that the view is one
    /// of its checkpoint, not that the checkpoint is anybody's.
    ///
    /// # Errors
    /// [`TreeHeadError`].
    pub fn read(&self) -> Result<SignedCheckpoint, TreeHeadError> {
        let signed = SignedCheckpoint::parse(self.checkpoint.as_bytes())?;
        let checkpoint = signed.checkpoint();
        let agree = |is_same: bool, field| if is_same { Ok(()) } else { Err(TreeHeadError::Differs { field }) };
        agree(self.sth_id == sth_id(&self.checkpoint), "sth_id")?;
        agree(self.tree_size == checkpoint.size(), "tree_size")?;
        agree(self.root_hash == *checkpoint.root(), "root_hash")?;

        let key = VerifierKey::new(checkpoint.origin(), KeyType::Ed25519, &self.public_key)?;
        agree(self.key_id == key.id(), "key_id")?;
        let mut lines = signed.note().signatures().iter();
        let is_named = lines.any(|line| {
            line.name == key.name() && line.key_id == self.key_id && line.signature == self.signature.as_slice()
        });
        agree(is_named, "signature")?;
        key.verify(signed.note().text(), &self.signature)?;

        if !self.timestamp.is_multiple_of(1000) {
            return Err(TreeHeadError::WholeSecond(self.timestamp));
        }
        let is_same_time = |seconds| seconds == self.timestamp / 1000;
        let is_timed =
            signed.timestamps().next().is_none() || signed.timestamps().any(|(_, seconds)| is_same_time(seconds));
        agree(is_timed, "timestamp")?;
        Ok(signed)
    }
}

/// The id of a head: SHA-256 of the whole signed note.
pub fn sth_id(checkpoint: &str) -> Hash {
    Hash::from_bytes(Sha256::digest(checkpoint.as_bytes()).into())
}
