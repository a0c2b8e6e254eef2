//! An API over the memory engine, and how to talk to it.

pub(crate) mod app;
pub(crate) mod body;
pub(crate) mod gauge;
pub(crate) mod handoff;
mod replays;
pub(crate) mod store;
pub(crate) mod wire;

pub(crate) use app::{Answer, App, KEY};
