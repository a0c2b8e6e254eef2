//! A local spool in front of a store that can be away.
//!
//! ```text
//! event_insert_batch ─► direct: the store answers            ─► the store
//!                    └► spooling: it is away, or work waits  ─► the spool ─► drain, oldest first ─► the store
//! ```
//!
//! **Is:** [`SpoolStore`], what a spool must be able to do; [`SpooledStore`], which puts one in front of a store; and
//! [`SpoolDrain`], the task that moves what was spooled when the store is back.
//!
//! **Is not:** a second store. Nobody delivers from it, lists it or searches it; what is in it is on its way.
//!
//! Read first: `store.rs` and `drain.rs`.

mod delegate;
mod drain;
mod port;
mod run;
mod status;
mod store;

pub use drain::Drained;
pub use port::{SpoolPage, SpoolSize, SpoolStore, SpooledEvent, SpooledKey};
pub use run::SpoolDrain;
pub use status::{SpoolGauge, SpoolState, SpoolStatus};
pub use store::{SpoolSettings, SpooledStore};
