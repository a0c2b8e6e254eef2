//! What can be wrong with a store.

use std::fmt;

use kapsel_core::AttemptId;
use kapsel_store::attestation::TileId;
use kapsel_store::error::with_sources;
use kapsel_verification::{KeyError, LeafError, OpenError, SignedCheckpointError};

/// One thing that is wrong. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Leaves of the tree have no entries: from the first index on and before the second.
    EntriesMissing {
        /// The first that is missing.
        from: u64,
        /// The first behind it that is not.
        until: u64,
    },
    /// There is more than one entry for an index, or they do not come in order.
    EntryTwice {
        /// The index.
        index: u64,
    },
    /// An entry stands behind the end of the log.
    EntryBeyond {
        /// Its index.
        index: u64,
        /// The size of the log.
        size: u64,
    },
    /// The bytes of a leaf in the tree are not stored.
    LeafMissing {
        /// Its index.
        index: u64,
        /// Its attempt.
        attempt_id: AttemptId,
    },
    /// The bytes of a leaf are none.
    LeafForm {
        /// Its attempt.
        attempt_id: AttemptId,
        /// Why not.
        source: LeafError,
    },
    /// A leaf says something else than the row that it is stored in.
    LeafDiffers {
        /// The attempt of the row.
        attempt_id: AttemptId,
        /// The field that differs.
        field: &'static str,
    },
    /// The bytes of a leaf have another hash than the tree has at its place; the tree agrees with itself.
    LeafHash {
        /// Its index.
        index: u64,
        /// Its attempt, if there is an entry.
        attempt_id: AttemptId,
    },
    /// A tile is not stored.
    TileMissing(TileId),
    /// What is stored as a tile is none.
    TileUnreadable(TileId),
    /// A tile is another one than follows from the leaves.
    TileDiffers {
        /// Which one.
        id: TileId,
        /// The first of its hashes that is another one, or is missing, or is one too many.
        position: usize,
    },
    /// The root of the log is another one than follows from the leaves.
    Root {
        /// The size of the log.
        size: u64,
    },
    /// A key of the log is none.
    Key {
        /// What is stored.
        verifier_key: String,
        /// Why it is none.
        source: KeyError,
    },
    /// A published head is not a signed checkpoint.
    HeadForm {
        /// The size that it is stored under.
        size: u64,
        /// Why not.
        source: SignedCheckpointError,
    },
    /// A published head says something else than the row that it is stored in.
    HeadDiffers {
        /// The size that it is stored under.
        size: u64,
        /// The field that differs.
        field: &'static str,
    },
    /// A published head has another root than follows from the leaves.
    HeadRoot {
        /// Its size.
        size: u64,
    },
    /// A published head is for a larger tree than there is.
    HeadBeyond {
        /// Its size.
        size: u64,
        /// The size of the tree.
        tree: u64,
    },
    /// A signature of a published head does not hold, or none is by a key of the log.
    HeadSignature {
        /// Its size.
        size: u64,
        /// What is wrong.
        source: OpenError,
    },
    /// No key that signs for the log has signed a published head.
    HeadUnsigned {
        /// Its size.
        size: u64,
    },
    /// A published head is not larger than the one before it.
    HeadOrder {
        /// Its size.
        size: u64,
        /// The size of the one before.
        before: u64,
    },
    /// A published head is older than the smaller one before it.
    HeadTime {
        /// Its size.
        size: u64,
    },
    /// The log names another last head than the one that is stored.
    Published {
        /// The size that the log names.
        named: Option<u64>,
        /// The size of the last one.
        last: Option<u64>,
    },
    /// The bytes of a leaf that waits are not stored.
    PendingMissing {
        /// Its attempt.
        attempt_id: AttemptId,
    },
    /// A leaf that waits has another hash than its bytes.
    PendingHash {
        /// Its attempt.
        attempt_id: AttemptId,
    },
    /// An attempt has no leaf.
    AttemptWithoutLeaf {
        /// Which one.
        attempt_id: AttemptId,
    },
    /// The leaf of an attempt neither waits nor is it in the tree.
    AttemptNowhere {
        /// Which one.
        attempt_id: AttemptId,
    },
    /// The leaf of an attempt is in the tree and waits as well.
    AttemptTwice {
        /// Which one.
        attempt_id: AttemptId,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::EntriesMissing { from, until } => {
                write!(f, "leaves {from} to {} of the log are missing", until.saturating_sub(1))
            }
            Finding::EntryTwice { index } => write!(f, "leaf {index} of the log is there more than once"),
            Finding::EntryBeyond { index, size } => {
                write!(f, "leaf {index} stands behind the end of the log, which has {size}")
            }
            Finding::LeafMissing { index, attempt_id } => {
                write!(f, "the bytes of leaf {index} ({attempt_id}) are not stored")
            }
            Finding::LeafForm { attempt_id, source } => write!(f, "the leaf of {attempt_id}: {}", with_sources(source)),
            Finding::LeafDiffers { attempt_id, field } => {
                write!(f, "the leaf of {attempt_id} has another {field} than the row that it is stored in")
            }
            Finding::LeafHash { index, attempt_id } => {
                write!(f, "the bytes of leaf {index} ({attempt_id}) are not those that went into the tree")
            }
            Finding::TileMissing(TileId { level, index }) => write!(f, "tile {index} of level {level} is missing"),
            Finding::TileUnreadable(TileId { level, index }) => {
                write!(f, "tile {index} of level {level} does not consist of hashes")
            }
            Finding::TileDiffers { id: TileId { level, index }, position } => {
                write!(f, "tile {index} of level {level} is not that of the leaves, from hash {position} on")
            }
            Finding::Root { size } => write!(f, "the root of the log is not that of its {size} leaves"),
            Finding::Key { verifier_key, source } => {
                write!(f, "the key {verifier_key:?} of the log cannot be used: {}", with_sources(source))
            }
            Finding::HeadForm { size, source } => write!(f, "the head of {size} leaves: {}", with_sources(source)),
            Finding::HeadDiffers { size, field } => {
                write!(f, "the head of {size} leaves has another {field} than the row that it is stored in")
            }
            Finding::HeadRoot { size } => write!(f, "the head of {size} leaves has another root than the tree has"),
            Finding::HeadBeyond { size, tree } => {
                write!(f, "the head of {size} leaves is of a larger tree than there is, which has {tree}")
            }
            Finding::HeadSignature { size, source } => write!(f, "the head of {size} leaves: {}", with_sources(source)),
            Finding::HeadUnsigned { size } => {
                write!(f, "the head of {size} leaves is not signed by a key that signs for the log")
            }
            Finding::HeadOrder { size, before } => {
                write!(f, "the head of {size} leaves follows one of {before}")
            }
            Finding::HeadTime { size } => write!(f, "the head of {size} leaves is older than the one before it"),
            Finding::Published { named, last } => {
                let shown =
                    |size: &Option<u64>| size.map_or_else(|| "none".to_owned(), |size| format!("that of {size}"));
                write!(f, "the log names as its last head {}, and the last one stored is {}", shown(named), shown(last))
            }
            Finding::PendingMissing { attempt_id } => {
                write!(f, "the leaf of {attempt_id} waits, and its bytes are not stored")
            }
            Finding::PendingHash { attempt_id } => {
                write!(f, "the leaf of {attempt_id} waits under another hash than its bytes have")
            }
            Finding::AttemptWithoutLeaf { attempt_id } => write!(f, "the attempt {attempt_id} has no leaf"),
            Finding::AttemptNowhere { attempt_id } => {
                write!(f, "the leaf of {attempt_id} neither waits nor is it in the tree")
            }
            Finding::AttemptTwice { attempt_id } => {
                write!(f, "the leaf of {attempt_id} is in the tree, and waits to go in again")
            }
        }
    }
}
