//! What a trace is made of, and where it goes.

use std::time::Duration;

use super::{EventTrace, SpanId, TraceId};
use crate::error_code::ErrorCode;
use crate::ids::{AttemptId, DeliveryId, EndpointId, EventId, RequestId, TenantId};
use crate::time::Timestamp;

/// A part of the way of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The request that brought it in, from its head to its answer.
    Ingest,
    /// Storing it, the wait for its turn included.
    Commit,
    /// One request to its destination.
    Attempt,
    /// Writing down what came of that.
    Settle,
    /// The way of the attempt's leaf into the log.
    Leaf,
}

impl Stage {
    /// The name of its spans.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Ingest => "ingest",
            Stage::Commit => "commit",
            Stage::Attempt => "attempt",
            Stage::Settle => "settle",
            Stage::Leaf => "leaf",
        }
    }
}

/// A finished part of a trace. It holds ids and numbers alone: no payload, no header and no URL can be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub stage: Stage,
    /// Its trace.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that it is a part of or follows from. That of an ingest is the sender's.
    pub parent: Option<SpanId>,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// The event.
    pub event_id: EventId,
    /// Its endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// The request that brought it in, where this is about that.
    pub request_id: Option<RequestId>,
    /// The delivery and the attempt with its number, where this is about one.
    pub attempt: Option<(DeliveryId, AttemptId, u32)>,
    /// The HTTP status that the destination answered.
    pub http_status: Option<u16>,
    /// Why an attempt failed.
    pub error_code: Option<ErrorCode>,
}

/// Takes spans.
pub trait Tracer: Send + Sync {
    /// Whether the spans of this trace are to be recorded.
    fn wants(&self, trace: &EventTrace) -> bool;

    /// Whether a trace that begins here is to be marked as sampled in requests to destinations.
    fn marks(&self, trace: &EventTrace) -> bool;

    /// Takes a span of a trace that is wanted. Never waits; what cannot be kept is dropped.
    fn record(&self, span: Span);
}

/// Records nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTracer;

impl Tracer for NoTracer {
    fn wants(&self, _: &EventTrace) -> bool {
        false
    }

    /// Most tracers leave the decision to their parent, and a destination that has traced all webhooks so far shall not go
    /// blind because they now pass through Kapsel.
    fn marks(&self, _: &EventTrace) -> bool {
        true
    }

    fn record(&self, _: Span) {}
}
