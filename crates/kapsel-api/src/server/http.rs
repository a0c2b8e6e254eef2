//! What HTTP/1.1 and HTTP/2 are allowed.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::settings::ServerSettings;

/// The smallest buffer of an HTTP/1.1 connection; large bodies are read in pieces of up to this size.
const BUFFER_BYTES_MIN: usize = 128 * 1024;

/// Requests at once on one connection. RFC 9113 asks for at least 100, and clients open a second connection beyond it.
const STREAMS_MAX: u32 = 100;
/// What a sender may have under way of one body before it was read. Ten megabytes over a long line, 100 ms there and back,
/// then take two seconds.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// The same for all bodies of a connection together. It bounds what a connection can make us hold that is not yet charged to
/// the memory for bodies.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// The smallest that the standard allows, and its default: larger frames would be held whole before anybody looks at them.
const FRAME_BYTES_MAX: u32 = 16 * 1024;
/// Streams that were reset before their requests were handed to us. A client that opens and resets in a loop (rapid reset,
/// CVE-2023-44487) makes work without ever reaching the limit of streams; beyond this its connection is ended.
const PENDING_RESETS_MAX: usize = 20;
/// Streams that we had to reset because of what the client did, over the life of a connection.
const ERROR_RESETS_MAX: usize = 128;
/// What is kept of an answer that the client does not take. Answers are small.
const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// How often a client is asked whether it is there, and how long it may take to say so. A client behind a dead line would
/// hold its place until the kernel gives up, hours later.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Both versions of HTTP, ready to serve connections.
#[derive(Debug, Clone)]
pub(super) struct Http {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

impl Http {
    pub(super) fn new(settings: &ServerSettings) -> Self {
        let header_bytes_max = settings.header_bytes_max;
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // It begins when the last answer is out. The first head of a connection has less time; see `activity`.
            .header_read_timeout(settings.idle_timeout)
            .max_header_size(header_bytes_max)
            .max_buf_size(header_bytes_max.max(BUFFER_BYTES_MIN));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES_MAX)
            .max_header_list_size(u32::try_from(header_bytes_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX)
            .max_send_buf_size(SEND_BUFFER_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Http { http1, http2 }
    }
}
