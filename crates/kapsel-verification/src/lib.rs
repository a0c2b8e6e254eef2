//! Verifies proofs of delivery without trusting whoever made them.
//!
//! **Is:** the hashes of RFC 6962 ([`hash`]), the leaves of Kapsel's log ([`leaf`]), and everything that a verifier has to
//! do with them. It needs `alloc` and no operating system.
//!
//! **Is not:** it does no IO, depends on nothing of Kapsel, and makes no proof and no signature.
//!
//! Read first: [`hash`] and [`leaf`].

#![no_std]

extern crate alloc;

pub mod hash;
pub mod leaf;

pub use hash::{Hash, InvalidHash, empty_root, leaf_hash, node_hash};
pub use leaf::{AttemptLeaf, Commitments, LeafError, commitment};
