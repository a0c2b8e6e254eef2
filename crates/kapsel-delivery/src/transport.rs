//! The port through which a request leaves.

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use kapsel_core::{DestinationUrl, Outcome};
use tokio::time::Instant;

/// One request, ready to be sent. The method is always `POST`.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// Where it goes.
    pub url: DestinationUrl,
    /// All its headers but those of the connection and of the framing, which the transport writes.
    pub headers: HeaderMap,
    /// The exact bytes of the body.
    pub body: Bytes,
}

/// Sends requests. Implemented over HTTP by [`HttpTransport`](crate::HttpTransport), and by scripts in tests.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request and waits for the whole answer, at most until `deadline`. Whatever the destination does is a
    /// value, not an error.
    ///
    /// The future can be dropped at any time; the connection is closed then.
    async fn send(&self, request: OutboundRequest, deadline: Instant) -> Outcome;
}
