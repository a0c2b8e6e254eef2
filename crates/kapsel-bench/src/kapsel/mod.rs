//! The Kapsel that is measured, known by its program and its API alone.

pub(crate) mod child;
pub(crate) mod endpoints;
pub(crate) mod guard;
pub(crate) mod heads;

use std::net::SocketAddr;

/// A running Kapsel.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The operator's key.
    pub(crate) key: String,
    /// Its process, if it is on this machine and known.
    pub(crate) pid: Option<u32>,
}
