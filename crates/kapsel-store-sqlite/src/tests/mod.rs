//! What can only be tested from inside: shared transactions, trouble with the disk, and the statements themselves.

mod idempotency;
mod leases;
mod sorting;
mod spool;
mod statements;
mod trouble;
mod world;
mod writer;
