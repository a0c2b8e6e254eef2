//! **Is:** what tests need and the product does not: clocks that are set by hand, chance from a seed, ready-made
//! endpoints and events, destinations that behave well or badly over real sockets, and private PostgreSQL clusters.
//!
//! **Is not:** part of the program. Only `dev-dependencies` name this crate.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the test"
)]

pub mod builders;
pub mod clock;
pub mod destination;
pub mod entropy;
pub mod postgres;

pub use builders::{EndpointBuilder, EventBuilder, sealer};
pub use clock::{TestClock, TokioClock};
pub use destination::{Answer, Behaviour, Certificate, Destination, Received, Step};
pub use entropy::SeededEntropy;
pub use postgres::PostgresCluster;
