//! The whole log over the memory engine: it grows, it fails at every single call, it is brought back, damaged and rotated,
//! and others read it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the test"
)]

mod chaos;
mod damage;
mod damage_cases;
mod damage_found;
mod faults;
mod growth;
mod instances;
mod interoperability;
mod restored;
mod rotation;
mod scripted;
mod tampered;
mod world;
