//! The production engine from outside: by the contract, beside the other engines, and against real servers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a failed expectation fails the test"
)]

mod contract;
mod differential;
mod instances;
mod opening;
mod partitions;
mod replays;
mod support;
mod tenants;
mod tls;
mod trouble;
