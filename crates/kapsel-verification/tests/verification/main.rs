//! The verifier against vectors and libraries by others, and against everything that could be wrong with a proof.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy knows test functions, but not what they call"
)]

mod damage;
mod differential;
mod fixture;
mod frozen;
mod heads;
mod judges;
mod mutation;
mod packages;
mod policy;
mod reference;
mod texts;
mod vectors;
