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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kapsel_core::trace::NoTracer;
    use kapsel_core::{EndpointId, EventId, IdGenerator, SystemEntropy};
    use test_harness::{EndpointBuilder, EventBuilder};

    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_millis(1_767_225_600_123);

    fn event(headers: &[(&str, &str)]) -> Event {
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        let endpoint = EndpointBuilder::new(ids.next::<EndpointId>(NOW), "https://example.com/", NOW).build();
        EventBuilder::new(ids.next::<EventId>(NOW), &endpoint, NOW).headers(headers).build()
    }

    fn header(event: &Event, random: u8) -> String {
        Traced::new(&NoTracer, event, [random; 8]).header(&NoTracer).to_string()
    }

    #[test]
    fn all_attempts_of_an_event_are_one_trace() {
        let event = event(&[]);
        let trace_id = EventTrace::of_event(&event).trace_id;
        assert_eq!(header(&event, 7), format!("00-{trace_id}-0707070707070707-01"));
        assert_eq!(header(&event, 8), format!("00-{trace_id}-0808080808080808-01"));
    }

    #[test]
    fn a_senders_trace_goes_on_with_its_flag() {
        for flag in ["00", "01"] {
            let parent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flag}");
            let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-{flag}");
            assert_eq!(header(&event(&[("traceparent", &parent)]), 7), expected);
        }
        // Twice is as good as never: nobody knows which one is meant.
        let twice = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let event = event(&[("traceparent", twice), ("traceparent", twice)]);
        assert!(!header(&event, 7).contains("4bf92f"));
    }
}
