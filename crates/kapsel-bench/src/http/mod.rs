//! As much of HTTP/1.1 as the tool needs, on both sides: heads that `httparse` reads, and bodies with a length.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod incoming;
