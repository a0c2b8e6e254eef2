//! Delivery against real sockets, and the dispatcher against the in-memory store.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the test"
)]

mod dispatcher;
mod erasure;
mod guard;
mod hostile;
mod network;
mod replay;
mod retention;
mod tls;
mod transport;
mod world;
