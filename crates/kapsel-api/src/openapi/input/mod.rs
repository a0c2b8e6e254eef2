//! What bodies may hold, as the readers in `manage/…_input.rs` take it: the same names, from the same constants.

pub(crate) mod accounts;
pub(crate) mod endpoint;
pub(crate) mod erasure;
mod policies;
pub(crate) mod replay;
mod verification;

use policies::rate_limit;
