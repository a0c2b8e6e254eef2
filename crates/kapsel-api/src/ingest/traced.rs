//! The spans of a webhook: its request, and within that its commit.

use http::request::Parts;
use kapsel_core::ids::RequestId;
use kapsel_core::trace::{Span, SpanId, Stage, Tracer};
use kapsel_core::{Event, EventTrace, Timestamp};
use tokio::time::Instant;

use crate::Shared;

/// A commit under way whose trace is recorded, from the moment when the event is handed to the queue.
pub(super) struct Commit<'a> {
    tracer: &'a dyn Tracer,
    trace: EventTrace,
    began_at: Timestamp,
    began: Instant,
}

impl<'a> Commit<'a> {
    pub(super) fn begin(shared: &Shared, tracer: &'a dyn Tracer, event: &Event) -> Option<Self> {
        let trace = EventTrace::of_event(event);
        let (began_at, began) = (shared.clock.now(), Instant::now());
        tracer.wants(&trace).then_some(Commit { tracer, trace, began_at, began })
    }

    /// The event is durable.
    pub(super) fn end(self, event: &Event) {
        let Commit { tracer, trace, began_at, began } = self;
        tracer.record(Span {
            started_at: began_at,
            duration: began.elapsed(),
            ..span(Stage::Commit, &trace, trace.commit_span(), Some(trace.ingest_span()), event)
        });
    }
}

/// The request of an event is about to be answered.
pub(super) fn ingested(shared: &Shared, tracer: &dyn Tracer, parts: &Parts, event: &Event, begun: Instant) {
    let trace = EventTrace::of_event(event);
    if !tracer.wants(&trace) {
        return;
    }
    let duration = begun.elapsed();
    tracer.record(Span {
        started_at: shared.clock.now() - duration,
        duration,
        request_id: parts.extensions.get::<RequestId>().copied(),
        ..span(Stage::Ingest, &trace, trace.ingest_span(), trace.sender_span(), event)
    });
}

/// A span of an event that has just been received.
fn span(stage: Stage, trace: &EventTrace, span_id: SpanId, parent: Option<SpanId>, event: &Event) -> Span {
    Span {
        stage,
        trace_id: trace.trace_id,
        span_id,
        parent,
        started_at: event.received_at,
        duration: std::time::Duration::ZERO,
        event_id: event.id,
        endpoint_id: event.endpoint_id,
        tenant_id: event.tenant_id,
        request_id: None,
        attempt: None,
        http_status: None,
        error_code: None,
    }
}
