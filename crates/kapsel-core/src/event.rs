//! An accepted webhook.

use bytes::Bytes;

use crate::headers::HeaderBlock;
use crate::ids::{EndpointId, EventId, TenantId};
use crate::time::Timestamp;

/// One accepted webhook: exact bytes, headers, and what was known when it came in. Never changed after its commit;
/// where it stands on its way is derived from its deliveries (see [`EventStatus`](crate::EventStatus)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Made before the first try to store it, so that a repeated try stores it under the same id.
    pub id: EventId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// The endpoint whose ingest URL it was sent to.
    pub endpoint_id: EndpointId,
    /// When its last byte had arrived.
    pub received_at: Timestamp,
    /// The idempotency key as it was sent, or the provider's own id that served as one.
    pub idempotency_key: Option<String>,
    /// All request headers, as they came.
    pub headers: HeaderBlock,
    /// The exact bytes of the request body.
    pub body: Bytes,
    /// SHA-256 of `body`.
    pub body_sha256: [u8; 32],
}

impl Event {
    /// The `Content-Type` it came with, if it is text.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get_str("content-type")
    }

    /// About how much memory it holds, in bytes.
    pub fn weight(&self) -> usize {
        self.body.len() + self.headers.as_bytes().len() + 256
    }
}
