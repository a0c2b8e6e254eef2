//! The spans of an attempt and of writing down what came of it.

use kapsel_core::trace::{Span, SpanId, Stage, TraceId, TraceParent, Tracer, settle_span};
use kapsel_core::{Attempt, Event, EventTrace, Timestamp};
use tokio::time::Instant;

/// An attempt under way in its event's trace.
#[derive(Clone, Copy)]
pub(super) struct Traced {
    trace: EventTrace,
    span_id: SpanId,
    is_wanted: bool,
}

/// An attempt that is being written down and whose trace is recorded.
#[derive(Clone, Copy)]
pub(super) struct Settling {
    trace_id: TraceId,
    parent: SpanId,
    began_at: Timestamp,
    began: Instant,
}

impl Traced {
    /// The next attempt of an event. Its span is new each time, and `random` is its id.
    pub(super) fn new(tracer: &dyn Tracer, event: &Event, random: [u8; 8]) -> Self {
        let trace = EventTrace::of_event(event);
        Traced { trace, span_id: SpanId::from_bytes(random), is_wanted: tracer.wants(&trace) }
    }

    /// What the destination is told: the sender's trace with the sender's flag, or the event's own.
    pub(super) fn header(&self, tracer: &dyn Tracer) -> TraceParent {
        let is_sampled = self.trace.sender.map_or_else(|| tracer.marks(&self.trace), |sender| sender.is_sampled());
        TraceParent::new(self.trace.trace_id, self.span_id, is_sampled)
    }

    /// The attempt is over. Returns what goes on in its trace, if that is recorded.
    pub(super) fn ended(&self, tracer: &dyn Tracer, attempt: &Attempt, now: Timestamp) -> Option<Settling> {
        if !self.is_wanted {
            return None;
        }
        tracer.record(Span {
            http_status: attempt.outcome.status(),
            error_code: attempt.outcome.error_code(),
            ..span(Stage::Attempt, self.trace.trace_id, self.span_id, self.trace.ingest_span(), attempt)
        });
        Some(Settling { trace_id: self.trace.trace_id, parent: self.span_id, began_at: now, began: Instant::now() })
    }
}

impl Settling {
    /// It is written, with its leaf.
    pub(super) fn ended(&self, tracer: &dyn Tracer, attempt: &Attempt) {
        tracer.record(Span {
            started_at: self.began_at,
            duration: self.began.elapsed(),
            ..span(Stage::Settle, self.trace_id, settle_span(attempt.id), self.parent, attempt)
        });
    }
}

/// A span about an attempt, as long as the attempt was.
fn span(stage: Stage, trace_id: TraceId, span_id: SpanId, parent: SpanId, attempt: &Attempt) -> Span {
    let delivery = attempt.delivery;
    Span {
        stage,
        trace_id,
        span_id,
        parent: Some(parent),
        started_at: attempt.started_at,
        duration: attempt.duration,
        event_id: delivery.event_id,
        endpoint_id: delivery.endpoint_id,
        tenant_id: delivery.tenant_id,
        request_id: None,
        attempt: Some((delivery.id, attempt.id, attempt.number)),
        http_status: None,
        error_code: None,
    }
}
