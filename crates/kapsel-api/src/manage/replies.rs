//! `Idempotency-Key` on `POST`: a request that is sent again gets the answer of the first time and does nothing.
//!
//! Only answers that say that something was done are kept. What was refused leaves no trace: sent again, it is looked at
//! anew. An answer is kept after what it tells of was done; when the program is killed in between, the key is free again
//! after a minute, and whoever repeats the request then should look first.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Method};
use kapsel_core::idempotency::explicit_key;
use kapsel_core::{ErrorCode, HeaderBlock, SealContext};
use kapsel_store::error::with_sources;
use kapsel_store::{KeptReply, ReplyClaim, ReplyState};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use super::auth::Caller;
use super::json_body::read_bytes;
use crate::Shared;
use crate::ingest::handler::IDEMPOTENT_REPLAY;
use crate::problem::{self, Problem};

/// Answers of the management API are far smaller.
const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Carries a request out at most once for its key, if it has one.
pub(crate) async fn once(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let is_concerned = request.method() == Method::POST && request.uri().path().starts_with("/v1/");
    match if is_concerned { key(request.headers()) } else { Ok(None) } {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => keyed(shared, request, next, key).await.unwrap_or_else(Problem::into_response),
        Err(problem) => problem.into_response(),
    }
}

fn key(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers = HeaderBlock::from_pairs(headers.filter(|(name, _)| name.ends_with("idempotency-key")));
    let key = explicit_key(&headers).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(key.map(|key| Sha256::new_with_prefix("kapsel api reply").chain_update(key).finalize().into()))
}

async fn keyed(shared: Arc<Shared>, request: Request, next: Next, key_hash: [u8; 32]) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = Caller::of(&mut parts, &shared).await?;
    let (parts, body) = read_bytes(&shared, Request::from_parts(parts, body)).await?;
    let claim = ReplyClaim {
        tenant_id: caller.tenant_id,
        key_hash,
        request_hash: hash(&caller, &parts, &body),
        token: shared.entropy.next_u64().cast_signed(),
    };
    match shared.kept_replies.reply_claim(shared.clock.now(), claim).await? {
        ReplyState::Claimed => {}
        ReplyState::Running => {
            let message = "a request with this idempotency key is being carried out; try again";
            return Err(Problem::new(ErrorCode::StateConflict, message));
        }
        ReplyState::Other => {
            let message = "the idempotency key was used for another request";
            return Err(Problem::new(ErrorCode::DuplicateEvent, message));
        }
        ReplyState::Kept(reply) => return kept(&shared, &claim, &reply),
    }
    // In a task of its own: the answer is kept also when whoever waits for it goes away, which is what a key is for.
    let carried_out = tokio::spawn(async move {
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        keep(&shared, claim, response).await
    });
    let result = carried_out.await;
    result.unwrap_or_else(|error| Err(Problem::internal(format!("a request with a key was not carried out: {error}"))))
}

/// Everything that the request asks for, and the rights that it is asked with: an answer can hold what a key with fewer
/// rights must not see.
fn hash(caller: &Caller, parts: &Parts, body: &[u8]) -> [u8; 32] {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    // Rights and target hold no zero, so no two requests read alike.
    let hash = Sha256::new_with_prefix(caller.rights()).chain_update([0]).chain_update(target).chain_update([0]);
    hash.chain_update(body).finalize().into()
}

fn context(claim: &ReplyClaim) -> SealContext<'_> {
    SealContext { kind: "reply", tenant_id: claim.tenant_id, id: &claim.key_hash }
}

async fn keep(shared: &Shared, claim: ReplyClaim, response: Response) -> Result<Response, Problem> {
    if !response.status().is_success() {
        if let Err(error) = shared.kept_replies.reply_release_if_claimed(claim).await {
            tracing::warn!(error = with_sources(&error), "an idempotency key is free again in a minute only");
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, REPLY_BYTES_MAX).await;
    let body = body.map_err(|error| Problem::internal(format!("an answer cannot be kept: {error}")))?;
    let headers = [CONTENT_TYPE, ETAG, LOCATION];
    let headers = headers.iter().filter_map(|name| Some((name.as_str(), parts.headers.get(name)?.as_bytes())));
    let sealed = shared.sealer.seal(&context(&claim), &body);
    let sealed = sealed.map_err(|error| Problem::internal(format!("an answer cannot be kept: {error}")))?;
    let reply = KeptReply {
        status: parts.status.as_u16(),
        headers: HeaderBlock::from_pairs(headers).as_bytes().to_vec(),
        body: sealed,
    };
    if let Err(error) = shared.kept_replies.reply_keep_if_claimed(claim, reply).await {
        // It is done all the same, and this answer says so.
        tracing::warn!(error = with_sources(&error), "an answer was not kept for its idempotency key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn kept(shared: &Shared, claim: &ReplyClaim, reply: &KeptReply) -> Result<Response, Problem> {
    let damaged = |what: String| Problem::internal(format!("a kept answer cannot be read: {what}"));
    let body = shared.sealer.open(&context(claim), &reply.body).map_err(|error| damaged(error.to_string()))?;
    let headers = HeaderBlock::from_stored(Bytes::copy_from_slice(&reply.headers));
    let headers = headers.map_err(|error| damaged(error.to_string()))?;
    let body = Bytes::copy_from_slice(body.expose_secret());
    let mut response = problem::kept(reply.status, &headers, body);
    response.headers_mut().insert(IDEMPOTENT_REPLAY, http::HeaderValue::from_static("true"));
    Ok(response)
}
