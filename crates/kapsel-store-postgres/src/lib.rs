//! The production storage engine of Kapsel: PostgreSQL, shared by any number of instances.
//!
//! **Is:** connections of its own for each kind of work; a schema in numbered migrations, partitioned by time; statements
//! in files of their own, batch-shaped, most of them a whole transaction in one round trip; leases and unique indexes
//! where instances meet; row-level security behind the tenant conditions. What
//! [`IngestStore`](kapsel_store::IngestStore) answers is committed and flushed by the server.
//!
//! **Is not:** it holds no lock while a request is under way, uses no advisory lock and no LISTEN/NOTIFY, and asks no
//! clock, neither the system's nor the database's: `now` is always a parameter. It knows nothing of HTTP, retries or
//! signatures.
//!
//! Read first: `migrations/0001_initial.sql`, then `ingest.rs` with `sql/event_insert_fresh.sql` and
//! `sql/event_insert.sql`.

mod admin;
mod api_keys;
mod attestation;
mod calendar;
mod circuits;
mod connector;
mod delivery;
mod driver_error;
mod erasure_step;
mod erasures;
mod error;
mod events;
mod fresh;
mod guard;
mod idempotency;
mod ingest;
mod lapse;
mod leaves;
mod migrate;
mod open_error;
mod options;
mod partitions;
mod pool;
mod replay_step;
mod replays;
mod replies;
mod retention;
mod rows;
mod secrets;
mod session;
mod settle;
mod statements;
mod statistics;
mod status;
mod store;
mod tenants;
#[cfg(test)]
mod tests;
mod tls;
mod upkeep;

pub use open_error::OpenError;
pub use options::{CONNECTIONS_MIN, PostgresOptions};
pub use partitions::PartitionReport;
pub use store::PostgresStore;
pub use upkeep::Upkeep;
