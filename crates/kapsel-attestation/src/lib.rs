//! The log of delivery attempts: puts leaves into the tree, signs its heads, and makes proofs from it.
//!
//! **Is:** the sequencer that integrates leaves and publishes heads ([`sequencer`]), what is checked before anything is
//! signed ([`signing`]), keys and the port through which they sign ([`signer`], [`key_folder`]), proofs from stored tiles
//! ([`prover`]), and the check of a whole store ([`fsck`]).
//!
//! **Is not:** it verifies nothing for others; that is `kapsel-verification`, which it trusts no more than they do. It knows
//! no SQL and no HTTP, and never holds a whole tree.
//!
//! Read first: [`sequencer`] and [`signing`].

pub mod error;
mod figures;
pub mod fsck;
pub mod key_folder;
pub mod last_head;
pub mod prover;
mod rotation;
pub mod secret_key;
pub mod sequencer;
pub mod signer;
pub mod signing;
pub mod tiles;
pub mod tree;

pub use error::AttestationError;
pub use figures::LogFigures;
pub use fsck::Finding;
pub use key_folder::KeyFolder;
pub use last_head::{LastHead, LastHeadFile};
pub use prover::{LogKeyView, Proof, Prover};
pub use secret_key::SecretKey;
pub use sequencer::{Role, RunReport, Sequencer, SequencerDeps, SequencerSettings};
pub use signer::{KeyRing, LogSigner, SignError, Signer};
pub use tiles::MissingTile;
