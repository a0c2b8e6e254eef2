//! The API from the outside: requests in, answers and stored state out. Mostly straight through the router, over the
//! memory engine; where connections matter, over real sockets.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the test"
)]

mod attest;
mod error_pages;
mod export;
mod ingest_accept;
mod ingest_load;
mod ingest_refuse;
mod manage_auth;
mod manage_endpoint_actions;
mod manage_endpoints;
mod manage_erasures;
mod manage_events;
mod manage_input;
mod manage_replays;
mod manage_replies;
mod manage_tenants;
mod openapi;
mod ops;
mod quotas;
mod rate_limits;
mod request_log;
mod route_walk;
mod server;
mod server_clients;
mod server_http2;
mod server_tls;
mod support;
mod traffic;
