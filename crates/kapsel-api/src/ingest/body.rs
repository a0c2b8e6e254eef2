//! Reading a request's body: bounded in size, in time and in the memory of all bodies together.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::request::Parts;
use http_body::Body as _;
use kapsel_core::ErrorCode;

use super::budget::{BudgetGone, Charge};
use crate::problem::Problem;

/// A body that comes in several frames is collected in a buffer that begins with no more than this, whatever its
/// declared length: a sender that declares much and sends little should cost little.
const BUFFER_BYTES_FIRST: usize = 256 * 1024;

/// What is thrown away of the rest of a refused body, at most, in bytes and in time.
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(5);

/// Reads a whole body of at most `bytes_max` bytes, charging them as they arrive. A body that arrives in one frame is
/// not copied.
///
/// # Errors
/// E1002 if it is larger (before reading anything if its length is declared), E1012 if it is not there in time, E3003
/// if the memory for bodies is used up, E1006 if it breaks off.
pub(crate) async fn read(
    body: &mut Body,
    bytes_max: usize,
    time_max: Duration,
    charge: &mut Charge,
) -> Result<Bytes, Problem> {
    let declared = body.size_hint().exact();
    if let Some(declared) = declared
        && declared > bytes_max as u64
    {
        return Err(too_large(format!("the body has {declared} bytes"), bytes_max));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match tokio::time::timeout(time_max, read_frames(body, declared, bytes_max, charge)).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("the body did not arrive within {} s", time_max.as_secs_f64());
            Err(Problem::new(ErrorCode::RequestTimeout, message))
        }
    }
}

async fn read_frames(
    body: &mut Body,
    declared: Option<u64>,
    bytes_max: usize,
    charge: &mut Charge,
) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut received = 0;
    while let Some(data) = next_data(body).await? {
        received += data.len();
        if received > bytes_max {
            return Err(too_large(format!("the body has more than {bytes_max} bytes"), bytes_max));
        }
        charge.grow(data.len()).map_err(|BudgetGone| {
            Problem::new(ErrorCode::QueueFull, "too much is waiting to be stored; nothing was stored")
        })?;
        if received == data.len() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            let expected = declared.and_then(|declared| usize::try_from(declared).ok()).unwrap_or(received * 2);
            rest.reserve(expected.clamp(received, received + BUFFER_BYTES_FIRST));
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The next piece of data; trailers are passed over.
async fn next_data(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            // Mostly nobody is left to read this: the connection broke.
            Some(Err(_)) => return Err(Problem::bad_request("the body broke off before its end")),
        }
    }
}

fn too_large(received: String, bytes_max: usize) -> Problem {
    Problem::new(ErrorCode::PayloadTooLarge, format!("{received}; the limit is {bytes_max} bytes"))
}

/// Reads what is left of a refused body and throws it away, so that the sender gets to see the answer: many write
/// their whole body before they read, and closing the connection in their face would reset it.
pub(crate) fn linger(parts: &Parts, mut body: Body) {
    // Who waits for "100 Continue" sends nothing before it, and reading would make the server send it.
    if body.is_end_stream() || parts.headers.contains_key(EXPECT) {
        return;
    }
    let discard = async move {
        let mut bytes_left = LINGER_BYTES_MAX;
        while let Ok(Some(data)) = next_data(&mut body).await {
            let Some(left) = bytes_left.checked_sub(data.len()) else {
                return;
            };
            bytes_left = left;
        }
    };
    tokio::spawn(tokio::time::timeout(LINGER_TIME_MAX, discard));
}
