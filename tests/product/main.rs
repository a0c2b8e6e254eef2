//! The whole product: the built program over real HTTP, with real destinations, killed and restarted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![allow(unreachable_pub, missing_docs, reason = "the modules of one test binary")]

mod attestation;
mod bad_input;
mod circuits;
mod commands;
mod crash;
mod duplicates;
mod erasure;
mod export;
mod first_webhook;
mod hostile;
mod hostile_clients;
mod judges;
mod ledger;
mod management;
mod observability;
mod octokit;
mod openapi;
mod postgres;
mod program;
mod replays;
mod secrets;
mod tls;
mod vendors;
