//! The embedded engine from outside: by the contract, beside the engine in memory, and as a folder on disk.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a failed expectation fails the test"
)]

mod contract;
mod differential;
mod folder;
mod spool;
mod spooled_store;
