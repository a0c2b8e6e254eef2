//! The dispatcher.

mod claiming;
mod draining;
mod end_to_end;
mod outcomes;
mod settling;
