//! Why the log does not go on, or a proof cannot be made.

use std::io;

use kapsel_store::StoreError;
use kapsel_store::attestation::TileId;
use kapsel_verification::{Checkpoint, CheckpointError, NoteError, OpenError, SignedCheckpointError, TreeHeadError};

use crate::signer::SignError;
use crate::tiles::MissingTile;

/// What keeps the log from being added to, signed, or read.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// The store failed. Trying again later may help.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store holds less than was signed. Signing on would fork the log.
    #[error(
        "the store holds a log of {size} leaves, but a head of {signed_size} was signed: it is an older copy, and to sign \
         would fork the log. Bring the newer copy back, or begin a new log"
    )]
    Behind {
        /// The size of the log in the store.
        size: u64,
        /// The size of the head that is known to be signed.
        signed_size: u64,
    },
    /// The store holds something else than what was signed.
    #[error(
        "the log of the store does not continue the head of {} leaves that was signed: it is another copy, or damaged. \
         Nothing is signed", .signed.size()
    )]
    Forked {
        /// What was signed.
        signed: Box<Checkpoint>,
    },
    /// The stored root is not the one that follows from the stored tiles.
    #[error(
        "the tiles of the log have another root than the log of {size} leaves: one is damaged. Nothing is signed or proven with it"
    )]
    Root {
        /// The size of the tree.
        size: u64,
    },
    /// A tile is not the one that the tile above it says.
    #[error("tile {} of level {} of the log is damaged. Nothing is signed or proven with it", .0.index, .0.level)]
    DamagedTile(TileId),
    /// A tile is missing.
    #[error("the log is not whole")]
    MissingTile(#[from] MissingTile),
    /// This instance does not have the key that signs the log.
    #[error(
        "this instance has no key to sign the log with: {verifier_key} is not in its data folder nor in its configuration"
    )]
    NoKey {
        /// The key that signs.
        verifier_key: String,
    },
    /// A key cannot be used.
    #[error("a key of the log cannot be used")]
    Sign(#[from] SignError),
    /// What was signed last cannot be read or written outside of the store.
    #[error("the last signed head cannot be kept")]
    LastHead(#[source] io::Error),
    /// A stored head is none.
    #[error("a signed head cannot be read")]
    Head(#[from] SignedCheckpointError),
    /// A stored head is no head of this log.
    #[error("a signed head cannot be shown")]
    TreeHead(#[from] TreeHeadError),
    /// The text to sign cannot be made.
    #[error("the head cannot be written")]
    Checkpoint(#[from] CheckpointError),
    /// The signed text cannot be made.
    #[error("the signed head cannot be written")]
    Note(#[from] NoteError),
    /// A signature that was just made does not hold.
    #[error("a signature of this instance does not hold; it is not published")]
    OwnSignature(#[from] OpenError),
}

impl AttestationError {
    /// Whether it may go away by itself: a store that is away comes back, a damaged log does not mend.
    pub fn is_passing(&self) -> bool {
        match self {
            AttestationError::Store(StoreError::Unavailable { .. } | StoreError::Conflict(_)) => true,
            AttestationError::Store(_)
            | AttestationError::Behind { .. }
            | AttestationError::Forked { .. }
            | AttestationError::Root { .. }
            | AttestationError::DamagedTile(_)
            | AttestationError::MissingTile(_)
            | AttestationError::NoKey { .. }
            | AttestationError::Sign(_)
            | AttestationError::LastHead(_)
            | AttestationError::Head(_)
            | AttestationError::TreeHead(_)
            | AttestationError::Checkpoint(_)
            | AttestationError::Note(_)
            | AttestationError::OwnSignature(_) => false,
        }
    }
}
