//! The limit of the machine: the same requests, answered by servers that do next to nothing.
//!
//! Kapsel's figures on one machine say little about another. Divided by these, they say more: the share of what the same
//! processors, the same load generator and the same loopback interface could do at most. Each repetition measures them
//! anew, right before Kapsel, because machines that are rented change their speed from minute to minute.

pub(crate) mod measure;
pub(crate) mod server;
