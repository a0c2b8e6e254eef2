//! `/attestation/…`.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use kapsel_attestation::{AttestationError, Proof};
use kapsel_core::AttemptId;
use kapsel_store::error::with_sources;
use kapsel_verification::{Hash, SignedCheckpoint, TlogProof};

use super::views::{KeysView, NotYet};
use crate::Shared;
use crate::manage::auth::{Principal, Read};
use crate::manage::query::Query;
use crate::openapi::parameters::{LeafPath, PackagePath, ProofFormat, TreeSize, TreeSizes};
use crate::openapi::refusals::{NoParameters, SizeConflict, Unavailable};
use crate::openapi::shown::{ConsistencyProof, InclusionProof, ProofDownload, Text, TreeHead};
use crate::problem::{self, Problem, Reply};

const PENDING: &str = "the attempt is recorded, and its leaf waits for its place in the log";
const NOT_COVERED: &str = "the leaf is in the log, and no signed head covers it yet";
const NO_HEAD: &str = "no head of the log has been signed yet";

/// `GET /attestation/sth`.
#[utoipa::path(
    get,
    path = "/attestation/sth",
    tag = "attestation",
    operation_id = "tree_head",
    summary = "The last head of the log",
    description = "",
    responses(
        (status = 200, description = "The head.", body = TreeHead),
        (status = 202, description = "Not yet; ask again.", body = NotYet),
        NoParameters,
        Unavailable,
    ),
)]
pub(crate) async fn tree_head(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    Query::read_alone(request.uri(), &[])?.end()?;
    match shared.prover.head().await? {
        None => Ok(problem::json(Reply::NotYet, &NotYet::new(NO_HEAD))),
        Some(head) => Ok(problem::json(Reply::Ok, &shared.prover.tree_head(&head).await?)),
    }
}

/// `GET /attestation/keys`.
#[utoipa::path(
    get,
    path = "/attestation/keys",
    tag = "attestation",
    operation_id = "log_keys",
    summary = "All keys of the log",
    description = "",
    responses(
        (status = 200, description = "The keys.", body = KeysView),
        NoParameters,
        Unavailable,
    ),
)]
pub(crate) async fn keys(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    Query::read_alone(request.uri(), &[])?.end()?;
    let keys = shared.prover.keys().await?;
    Ok(problem::json(Reply::Ok, &KeysView::new(shared.prover.log_id(), shared.prover.origin(), keys)))
}

/// `GET /attestation/proof/{leaf_hash}?tree_size=`.
#[utoipa::path(
    get,
    path = "/attestation/proof/{leaf_hash}",
    tag = "attestation",
    operation_id = "inclusion_proof",
    summary = "That an attempt stands in the log",
    description = "",
    params(Principal<Read>, LeafPath, TreeSize),
    responses(
        (status = 200, description = "The proof.", body = InclusionProof),
        (status = 202, description = "Not yet; ask again.", body = NotYet),
        SizeConflict,
    ),
)]
pub(crate) async fn inclusion(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    Path(leaf_hash): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read_alone(request.uri(), &["tree_size"])?;
    let size = query.parsed("tree_size", SIZE_PROBLEM, size);
    query.end()?;
    // What is no hash names no leaf.
    let leaf_hash: Hash = leaf_hash.parse().map_err(|_| Problem::not_found())?;
    Ok(match shared.prover.inclusion(principal.tenant_id, leaf_hash, size).await? {
        Proof::Made(proof) => problem::json(Reply::Ok, &proof),
        Proof::Pending => problem::json(Reply::NotYet, &NotYet::new(PENDING)),
        Proof::NotCovered => problem::json(Reply::NotYet, &NotYet::new(NOT_COVERED)),
    })
}

/// `GET /attestation/consistency-proof?old_size=&new_size=`. Without `new_size`, up to the last head.
#[utoipa::path(
    get,
    path = "/attestation/consistency-proof",
    tag = "attestation",
    operation_id = "consistency_proof",
    summary = "That a tree continues an older one",
    description = "",
    params(TreeSizes),
    responses(
        (status = 200, description = "The proof.", body = ConsistencyProof),
        (status = 202, description = "Not yet; ask again.", body = NotYet),
        SizeConflict,
        Unavailable,
    ),
)]
pub(crate) async fn consistency(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Problem> {
    let query = Query::read_alone(request.uri(), &["old_size", "new_size"])?;
    let old = query.parsed("old_size", SIZE_PROBLEM, size);
    let new = query.parsed("new_size", SIZE_PROBLEM, size);
    if old.is_none() {
        query.missing("old_size");
    }
    query.end()?;
    let Some(head) = shared.prover.head().await? else {
        return Ok(problem::json(Reply::NotYet, &NotYet::new(NO_HEAD)));
    };
    let proof = shared.prover.consistency(old.unwrap_or(0), new.unwrap_or(head.size)).await?;
    Ok(problem::json(Reply::Ok, &proof))
}

/// `GET /attestation/download-proof/{delivery_attempt_id}`: as JSON, or with `format=tlog-proof` in the text form of C2SP,
/// which goes with the bytes of the leaf (`format=leaf`).
#[utoipa::path(
    get,
    path = "/attestation/download-proof/{delivery_attempt_id}",
    tag = "attestation",
    operation_id = "proof_package",
    summary = "Everything for checking an attempt offline",
    description = "",
    params(Principal<Read>, PackagePath, ProofFormat),
    responses(
        (status = 200, description = "The package, or a part of it.", content(
            (ProofDownload = "application/json"),
            (Text = "text/plain; charset=utf-8"),
        ), headers(("Content-Disposition" = String, description = "A name to keep it under."))),
        (status = 202, description = "Not yet; ask again.", body = NotYet),
    ),
)]
pub(crate) async fn download(
    principal: Principal<Read>,
    State(shared): State<Arc<Shared>>,
    Path(attempt_id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::read_alone(request.uri(), &["format"])?;
    let format = query.parsed("format", "must be json, tlog-proof or leaf", Format::parse).unwrap_or(Format::Json);
    query.end()?;
    let attempt_id: AttemptId = attempt_id.parse().map_err(|_| Problem::not_found())?;
    let package = match shared.prover.package(principal.tenant_id, attempt_id).await? {
        Proof::Made(package) => package,
        Proof::Pending => return Ok(problem::json(Reply::NotYet, &NotYet::new(PENDING))),
        Proof::NotCovered => return Ok(problem::json(Reply::NotYet, &NotYet::new(NOT_COVERED))),
    };
    let (mut response, name) = match format {
        Format::Json => (problem::json(Reply::Ok, &package), format!("{attempt_id}.json")),
        Format::Leaf => (problem::bytes(problem::JSON, package.leaf_data.into()), format!("{attempt_id}.leaf.json")),
        Format::TlogProof => {
            let proof = package.inclusion_proof;
            let signed = SignedCheckpoint::parse(package.signed_tree_head.checkpoint.as_bytes());
            let signed = signed.map_err(AttestationError::from)?;
            let proof = TlogProof::new(proof.leaf_index, proof.proof_hashes, signed, None)
                .map_err(|error| Problem::internal(with_sources(&error)))?;
            (problem::bytes(problem::TEXT, proof.to_text().into()), format!("{attempt_id}.tlog-proof"))
        }
    };
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

enum Format {
    Json,
    Leaf,
    TlogProof,
}

impl Format {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Format::Json),
            "leaf" => Some(Format::Leaf),
            "tlog-proof" => Some(Format::TlogProof),
            _ => None,
        }
    }
}

const SIZE_PROBLEM: &str = "must be a whole number from 1 on";

/// The size of a tree, as it is given.
fn size(text: &str) -> Option<u64> {
    text.parse().ok().filter(|size| *size > 0)
}
