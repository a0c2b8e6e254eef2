//! The log of attempts: heads, proofs and keys as JSON, and the public log in the formats of C2SP.
//!
//! Heads, keys, tiles and consistency proofs are for everybody: they say how much was attested and nothing about what. A
//! proof names a leaf, so it is for its owner.

mod proofs;
mod public_log;
mod views;

use std::sync::Arc;

use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::Shared;
use crate::openapi::under;

/// The routes. Those under `/attestation` stand under `/api/v1` as well.
pub(crate) fn routes() -> OpenApiRouter<Arc<Shared>> {
    let both = attestation_routes().into_iter().chain(attestation_routes().map(|route| under("/api/v1", route)));
    both.fold(OpenApiRouter::default(), OpenApiRouter::routes)
        .routes(routes!(public_log::checkpoint))
        .routes(routes!(public_log::tile))
}

fn attestation_routes() -> [UtoipaMethodRouter<Arc<Shared>>; 5] {
    [
        routes!(proofs::tree_head),
        routes!(proofs::keys),
        routes!(proofs::inclusion),
        routes!(proofs::download),
        routes!(proofs::consistency),
    ]
}
