//! The log of attempts: heads, proofs and keys as JSON, and the public log in the formats of C2SP.
//!
//! Heads, keys, tiles and consistency proofs are for everybody: they say how much was attested and nothing about what. A
//! proof names a leaf, so it is for its owner.

mod proofs;
mod public_log;
mod views;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::Shared;

/// The routes. Those under `/attestation` stand under `/api/v1` as well.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .merge(attestation_routes(""))
        .merge(attestation_routes("/api/v1"))
        .route("/checkpoint", get(public_log::checkpoint))
        .route("/tile/{level}/{*index}", get(public_log::tile))
}

fn attestation_routes(prefix: &str) -> Router<Arc<Shared>> {
    let path = |rest: &str| format!("{prefix}/attestation/{rest}");
    Router::new()
        .route(&path("sth"), get(proofs::tree_head))
        .route(&path("keys"), get(proofs::keys))
        .route(&path("proof/{leaf_hash}"), get(proofs::inclusion))
        .route(&path("download-proof/{delivery_attempt_id}"), get(proofs::download))
        .route(&path("consistency-proof"), get(proofs::consistency))
}
