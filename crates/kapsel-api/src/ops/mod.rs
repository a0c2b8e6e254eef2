//! Routes for those who run the program. They need no key and say nothing that one would have to hide.

pub(crate) mod health;
pub(crate) mod metrics;
