//! From the request of a webhook source to a durable event.
//!
//! ```text
//! handler ─► accept: look up, read, verify, key ─► queue ─► commit: one store call for many events ─► answers, deliveries
//! started ─► handler: counted, answered
//! ```
//!
//! Memory is bounded by the `budget`, rows by the `queue`; both refuse at once and leave no trace of what they
//! refuse. Nothing is remembered of a request before its signature has been checked.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod budget;
pub(crate) mod commit;
pub(crate) mod handler;
pub(crate) mod queue;
pub(crate) mod quota;
mod traced;
