//! Reading the body of a request to the management API.

use std::time::Duration;

use axum::extract::Request;
use http::request::Parts;
use serde_json::{Map, Value};

use crate::Shared;
use crate::ingest::body;
use crate::problem::Problem;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads a JSON body, whatever media type it claims.
pub(super) async fn read_json(shared: &Shared, request: Request) -> Result<(Parts, Value), Problem> {
    let (parts, bytes) = read_bytes(shared, request).await?;
    Ok((parts, parse(&bytes)?))
}

/// The same where there need not be a body: without one, it is an empty object.
pub(super) async fn read_json_if_any(shared: &Shared, request: Request) -> Result<(Parts, Value), Problem> {
    let (parts, bytes) = read_bytes(shared, request).await?;
    let body = if bytes.is_empty() { Value::Object(Map::new()) } else { parse(&bytes)? };
    Ok((parts, body))
}

/// Reads the bytes of a body, within the limits of size and time.
pub(super) async fn read_bytes(shared: &Shared, request: Request) -> Result<(Parts, bytes::Bytes), Problem> {
    let (parts, mut body) = request.into_parts();
    let mut charge = shared.budget.charge();
    match body::read(&mut body, BODY_BYTES_MAX, BODY_TIME_MAX, &mut charge).await {
        Ok(bytes) => Ok((parts, bytes)),
        Err(problem) => {
            body::linger(&parts, body);
            Err(problem)
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    // The parser's message names line and column and repeats nothing of the input.
    serde_json::from_slice(bytes).map_err(|error| Problem::bad_request(format!("the body is not JSON: {error}")))
}
