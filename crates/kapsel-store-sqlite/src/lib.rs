//! The embedded storage engine of Kapsel: SQLite inside the process, in a data folder.
//!
//! **Is:** one thread that owns the only connection that writes and puts whatever waits into one transaction, so that
//! many callers share one wait for the disk; a few connections that read; a schema in numbered migrations; statements in
//! files of their own. What [`IngestStore`](kapsel_store::IngestStore) answers after its commit survives the death of
//! the process and of the machine (WAL, `synchronous=FULL`). With the same writer, in a folder of its own:
//! [`SqliteSpool`], where events wait for a store that is away.
//!
//! **Is not:** it is not shared between processes, the folder's lock keeps a second one out. It reads no clock for what
//! it stores; `now` is always a parameter. It knows nothing of HTTP, retries or signatures.
//!
//! Read first: `writer.rs`, then `migrations/0001_initial.sql`.

mod admin;
mod api_keys;
mod attestation;
mod circuits;
mod connection;
mod delivery;
mod erasures;
mod error;
mod event_ids;
mod events;
#[cfg(test)]
mod faults;
mod folder;
mod idempotency;
mod inbox;
mod ingest;
mod job;
mod lanes;
mod lapse;
mod leaves;
mod migrate;
mod open_error;
mod readers;
mod replay_step;
mod replays;
mod replies;
mod retention;
mod rows;
mod secrets;
mod settle;
mod sorting;
mod spool;
mod statements;
mod statistics;
mod stats;
mod status;
mod store;
mod tenants;
#[cfg(test)]
mod tests;
mod unsorted;
mod writer;

pub use open_error::OpenError;
pub use spool::{SpoolOptions, SqliteSpool};
pub use stats::WriteStats;
pub use store::{SqliteOptions, SqliteStore};
