//! The dispatcher.

mod circuits;
mod claiming;
mod draining;
mod end_to_end;
mod limits;
mod outcomes;
mod settling;
