//! The built program, from outside: what it prints, and the code it exits with.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a failed expectation fails the test"
)]

// The same log as in the tests of the library. Each binary uses a part of it.
#[allow(dead_code, reason = "the library's tests use the rest")]
#[path = "../../../kapsel-verification/tests/verification/fixture.rs"]
mod fixture;
#[allow(dead_code, reason = "the library's tests use the rest")]
#[path = "../../../kapsel-verification/tests/verification/reference.rs"]
mod reference;

mod attempts;
mod consistency;
mod hostile;
mod program;
