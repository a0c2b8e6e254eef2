//! Delivery: takes deliveries that are due, sends each to its destination, and settles what came of it.
//!
//! **Is:** the [`Dispatcher`] (claim → send → settle, at least once, under leases), the [`Transport`] port and its
//! HTTP implementation [`HttpTransport`] with the guard against forbidden addresses, the form of the outgoing request
//! ([`request`]), the [`Janitor`] for what has to be tidied now and then, the [`ReplayRunner`] for jobs that queue
//! many events anew, the [`ErasureRunner`] for what is to be erased, and the
//! [`RetentionRunner`] for what has had its time.
//!
//! **Is not:** it decides nothing about retries or success (that is `kapsel_core::settlement`), knows no SQL and no
//! engine, serves no request, and reads no clock and no random number generator but through the ports. Nothing outside
//! of [`network`] opens a socket.
//!
//! Read first: [`dispatch`] (the flow of one delivery) and [`network`] (what a destination can do to us).

pub mod dispatch;
pub mod erasure;
pub mod janitor;
pub mod network;
pub mod replay;
pub mod request;
pub mod retention;
pub mod settings;
pub mod transport;

mod backoff;
mod jobs;
mod unwind;

pub use dispatch::{Deps, Dispatcher, DrainReport, RunOnce, Workers};
pub use erasure::{ErasureReport, ErasureRunner};
pub use janitor::{Janitor, JanitorReport};
pub use network::{HttpSettings, HttpTransport};
pub use replay::{ReplayReport, ReplayRunner};
pub use retention::{RetentionReport, RetentionRunner, SharedTerms};
pub use settings::DeliverySettings;
pub use transport::{OutboundRequest, Transport};
