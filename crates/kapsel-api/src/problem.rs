//! Answers: the one place where HTTP statuses and error JSON are made.
//!
//! A handler returns a [`Problem`]; the envelope around all routes asks this module to [`render`] it, because only the
//! envelope knows the request's id. What a caller sees and what the log gets are kept apart: `cause` never leaves.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use kapsel_attestation::AttestationError;
use kapsel_core::ids::RequestId;
use kapsel_core::{ErrorCode, HeaderBlock, RateLimit};
use kapsel_store::StoreError;
use kapsel_store::error::with_sources;
use serde::Serialize;

use crate::rates::Exceeded;

/// The media type of everything that Kapsel itself answers.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The media type of texts.
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// The media type of bytes that have no better one.
pub(crate) const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

// As draft-ietf-httpapi-ratelimit-headers-06 calls them.
const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
/// The second status of [`ErrorCode::InvalidEndpoint`]: the endpoint is there, and takes nothing in.
pub(crate) const GONE: StatusCode = StatusCode::GONE;
/// The second status of [`ErrorCode::StateConflict`]: the version that `If-Match` names is not the present one.
pub(crate) const PRECONDITION_FAILED: StatusCode = StatusCode::PRECONDITION_FAILED;

/// The HTTP status of an error code. [`ErrorCode::InvalidEndpoint`] and
/// [`ErrorCode::NotFound`] have a second one: see [`Problem::gone`] and [`Problem::erased`].
pub(crate) const fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::InvalidSignature | ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorCode::InvalidEndpoint | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::DuplicateEvent | ErrorCode::StateConflict => StatusCode::CONFLICT,
        ErrorCode::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::ValidationFailed => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::Forbidden | ErrorCode::TenantSuspended => StatusCode::FORBIDDEN,
        ErrorCode::RateLimited | ErrorCode::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::StoreUnavailable
        | ErrorCode::AuditLogUnavailable
        | ErrorCode::QueueFull
        | ErrorCode::WorkersExhausted
        | ErrorCode::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        // The E2 series describes delivery attempts. As the answer to a request it would be a defect.
        ErrorCode::ConnectionFailed
        | ErrorCode::Timeout
        | ErrorCode::HttpClientError
        | ErrorCode::HttpServerError
        | ErrorCode::CircuitOpen
        | ErrorCode::TlsFailed
        | ErrorCode::DnsFailed
        | ErrorCode::AddressBlocked
        | ErrorCode::ProtocolError
        | ErrorCode::RedirectRefused
        | ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// How long a refused caller should wait, in seconds. A full queue is short-lived; a store that is away less so.
const fn retry_after_seconds(code: ErrorCode) -> u32 {
    match code {
        ErrorCode::StoreUnavailable | ErrorCode::AuditLogUnavailable | ErrorCode::ShuttingDown => 5,
        // What has to go first are events that are delivered or objects that somebody deletes.
        ErrorCode::LimitReached => 30,
        _ => 1,
    }
}

/// One field of the input that is not acceptable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FieldProblem {
    /// Where it stands, such as `retry.factor` or `verification.secrets[1]`; empty for the whole body.
    pub(crate) path: String,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What was given; left out for everything that is or could be a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) given: Option<serde_json::Value>,
}

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Details>);

#[derive(Debug, Clone)]
struct Details {
    code: ErrorCode,
    status: StatusCode,
    message: Cow<'static, str>,
    fields: Vec<FieldProblem>,
    /// The limit of rate that was exceeded.
    exceeded: Option<Exceeded>,
    /// For the log alone.
    cause: Option<String>,
}

impl Problem {
    /// A problem with the usual status of its code.
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Problem(Box::new(Details {
            code,
            status: status_of(code),
            message: message.into(),
            fields: Vec::new(),
            exceeded: None,
            cause: None,
        }))
    }

    /// Its code.
    pub(crate) fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The request is not well-formed.
    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(ErrorCode::BadRequest, message)
    }

    /// The answer for everything that is not there, and for everything that belongs to somebody else: the same words,
    /// so that nobody can find out what exists.
    pub(crate) fn not_found() -> Self {
        Problem::new(ErrorCode::NotFound, "there is no such object or route")
    }

    /// The endpoint exists but takes nothing in at present.
    pub(crate) fn gone(message: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Problem::new(ErrorCode::InvalidEndpoint, message);
        problem.0.status = GONE;
        problem
    }

    /// The event exists, and what it held was erased.
    pub(crate) fn erased() -> Self {
        let mut problem = Problem::new(ErrorCode::NotFound, "the payload was erased");
        problem.0.status = StatusCode::GONE;
        problem
    }

    /// Nothing is done for the tenant at present.
    pub(crate) fn suspended() -> Self {
        Problem::new(ErrorCode::TenantSuspended, "the tenant is suspended")
    }

    /// Somebody came too often. `whose` says which limit it was.
    pub(crate) fn rate_limited(exceeded: Exceeded, whose: &str) -> Self {
        let RateLimit { per_second, burst } = exceeded.limit;
        let message = format!("more than {per_second} requests per second, and {burst} at once, for {whose}");
        let mut problem = Problem::new(ErrorCode::RateLimited, message);
        problem.0.exceeded = Some(exceeded);
        problem
    }

    /// The version that `If-Match` names is not the present one (RFC 9110, section 13.1.1).
    pub(crate) fn precondition_failed(message: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Problem::new(ErrorCode::StateConflict, message);
        problem.0.status = PRECONDITION_FAILED;
        problem
    }

    /// The request is well-formed, but these fields are not acceptable.
    pub(crate) fn validation(fields: Vec<FieldProblem>) -> Self {
        let message = match fields.as_slice() {
            [only] if !only.path.is_empty() => format!("{}: {}", only.path, only.problem),
            [only] => only.problem.clone(),
            several => format!("{} fields are not acceptable", several.len()),
        };
        let mut problem = Problem::new(ErrorCode::ValidationFailed, message);
        problem.0.fields = fields;
        problem
    }

    /// A defect. `cause` goes to the log; the caller learns the request's id and nothing else.
    pub(crate) fn internal(cause: impl Into<String>) -> Self {
        let mut problem =
            Problem::new(ErrorCode::Internal, "internal error; the log has the details under this request id");
        problem.0.cause = Some(cause.into());
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Problem::not_found(),
            StoreError::Conflict(reason) => Problem::new(ErrorCode::StateConflict, reason),
            StoreError::Unavailable { .. } => {
                let mut problem = Problem::new(
                    ErrorCode::StoreUnavailable,
                    "the store is unavailable; if this was a change, whether it was made is unknown: look before repeating it",
                );
                problem.0.cause = Some(with_sources(&error));
                problem
            }
            StoreError::Corrupt { .. } => Problem::internal(with_sources(&error)),
        }
    }
}

impl From<AttestationError> for Problem {
    fn from(error: AttestationError) -> Self {
        match error {
            AttestationError::Store(error) => error.into(),
            error => Problem::internal(with_sources(&error)),
        }
    }
}

impl IntoResponse for Problem {
    /// Carries the problem to the envelope, which renders it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: ErrorCode,
    message: &'a str,
    retryable: bool,
    request_id: RequestId,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [FieldProblem],
}

/// Turns a response that carries a [`Problem`] into what the caller sees, and logs what the caller must not see. Headers
/// that the routing has set, such as `Allow`, stay. Returns the code of the problem.
pub(crate) fn render(response: &mut Response, request_id: RequestId) -> Option<ErrorCode> {
    let Problem(details) = response.extensions_mut().remove::<Problem>()?;
    let Details { code, status, message, fields, exceeded, cause } = *details;
    match (&cause, status.is_server_error()) {
        (Some(cause), _) if code == ErrorCode::Internal => {
            tracing::error!(%request_id, %code, cause, "request failed");
        }
        (Some(cause), _) => tracing::warn!(%request_id, %code, cause, "request failed"),
        (None, true) => tracing::debug!(%request_id, %code, "request refused for now"),
        (None, false) => tracing::debug!(%request_id, %code, "request refused"),
    }
    let error = ErrorObject { code, message: &message, retryable: code.retryable(), request_id, fields: &fields };
    // Only strings and numbers: this cannot fail, and if it did, the status would still be right.
    let body = serde_json::to_vec(&ErrorBody { error }).unwrap_or_default();
    *response.body_mut() = Body::from(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // The routing has set the length of the empty body that the problem travelled in.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, JSON);
    if let Some(exceeded) = exceeded {
        let wait = HeaderValue::from(exceeded.wait_seconds());
        headers.insert(RETRY_AFTER, wait.clone());
        headers.insert(RATELIMIT_LIMIT, exceeded.limit.burst.into());
        headers.insert(RATELIMIT_REMAINING, HeaderValue::from_static("0"));
        headers.insert(RATELIMIT_RESET, wait);
    } else if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        headers.insert(RETRY_AFTER, retry_after_seconds(code).into());
    }
    if code == ErrorCode::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Some(code)
}

/// The kinds of answers that are no problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Here it is.
    Ok,
    /// It was made.
    Created,
    /// It was taken on and will be done.
    Accepted,
    /// It is not there yet, and will be; the answer says why.
    NotYet,
    /// A health check that answers "no". Its body is the answer and not an error.
    NotReady,
}

/// An answer with a JSON body.
pub(crate) fn json(reply: Reply, body: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(body) {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(format!("answer does not serialise: {error}")).into_response(),
    };
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    *response.status_mut() = match reply {
        Reply::Ok => StatusCode::OK,
        Reply::Created => StatusCode::CREATED,
        Reply::Accepted => StatusCode::ACCEPTED,
        Reply::NotYet => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            StatusCode::ACCEPTED
        }
        Reply::NotReady => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    response
}

/// An answer that says that `body` was made and is found under `path`.
pub(crate) fn created(path: &str, body: &impl Serialize) -> Response {
    let mut response = json(Reply::Created, body);
    response.headers_mut().extend(HeaderValue::try_from(path).ok().map(|path| (LOCATION, path)));
    response
}

/// An answer that says that `body` was taken on and is found under `path`.
pub(crate) fn accepted(path: &str, body: &impl Serialize) -> Response {
    let mut response = json(Reply::Accepted, body);
    response.headers_mut().extend(HeaderValue::try_from(path).ok().map(|path| (LOCATION, path)));
    response
}

/// An answer with these bytes as its body.
pub(crate) fn bytes(media_type: HeaderValue, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// An answer whose body comes bit by bit.
pub(crate) fn stream(media_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// An answer as it was given before. A status that is none would be a defect of whoever kept it.
pub(crate) fn kept(status: u16, kept_headers: &HeaderBlock, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let pair = |(name, value): (&str, &[u8])| {
        Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    response.headers_mut().extend(kept_headers.iter().filter_map(pair));
    response
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_the_codes_name_their_statuses() {
        for code in ErrorCode::ALL.iter().filter(|code| !code.as_str().starts_with("E2")) {
            let path = format!("{}/../../docs/errors/{code}.md", env!("CARGO_MANIFEST_DIR"));
            let page = std::fs::read_to_string(path).unwrap();
            let status = format!("HTTP {}", status_of(*code).as_u16());
            assert!(page.contains(&status), "{code}: does not say {status:?}");
        }
    }

    #[test]
    fn what_the_store_says_inside_is_not_shown() {
        let cases = [
            (StoreError::NotFound, 404),
            (StoreError::Conflict("it is taken"), 409),
            (StoreError::unavailable("during a test", "inner-detail"), 503),
            (StoreError::corrupt("during a test", "inner-detail"), 500),
        ];
        for (error, status) in cases {
            let mut response = Problem::from(error).into_response();
            assert_eq!(response.status().as_u16(), status);
            let problem = response.extensions().get::<Problem>().unwrap();
            assert!(!problem.0.message.contains("inner") && !problem.0.message.contains("during a test"));
            render(&mut response, RequestId::MIN);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers().contains_key(RETRY_AFTER), status == 503);
        }
    }
}
