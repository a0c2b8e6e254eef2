//! The trace of an event: which one it is, whether it is recorded, and what it is made of.
//!
//! One event is one trace, from the request that brought it in to the leaf of its last attempt, whoever works on it and
//! however often the program starts anew in between. So nothing here is made by chance and nothing is stored for it:
//! everything follows from the event's id and from the `traceparent` header that is kept with the event.

mod ids;
mod sampling;
mod span;
mod traceparent;

use sha2::{Digest as _, Sha256};

pub use self::ids::{SpanId, TraceId};
pub use self::sampling::Sampling;
pub use self::span::{NoTracer, Span, Stage, Tracer};
pub use self::traceparent::TraceParent;
use crate::event::Event;
use crate::ids::{AttemptId, EventId};

/// The name of the header (W3C Trace Context, section 3.2).
pub const TRACEPARENT: &str = "traceparent";

/// The trace that an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTrace {
    /// The sender's trace if it named one, otherwise one of the event's own.
    pub trace_id: TraceId,
    /// What the sender said of its own span.
    pub sender: Option<TraceParent>,
    event_id: EventId,
}

impl EventTrace {
    /// The trace of a stored event.
    pub fn of_event(event: &Event) -> Self {
        EventTrace::new(event.id, event.headers.get_single_str(TRACEPARENT))
    }

    /// The trace of an event whose sender sent this `traceparent`. One that is not valid counts as none.
    pub fn new(event_id: EventId, traceparent: Option<&str>) -> Self {
        let sender = traceparent.and_then(TraceParent::parse);
        let own = || TraceId::from_bytes(digest(b"kapsel-trace", event_id.as_bytes()));
        EventTrace { trace_id: sender.map_or_else(own, |sender| sender.trace_id()), sender, event_id }
    }

    /// The span of the sender under which the event was taken in.
    pub fn sender_span(&self) -> Option<SpanId> {
        self.sender.map(|sender| sender.span_id())
    }

    /// The span of the request that brought the event in: the parent of all others.
    pub fn ingest_span(&self) -> SpanId {
        SpanId::from_bytes(digest(b"kapsel-ingest", self.event_id.as_bytes()))
    }

    /// The span of its commit.
    pub fn commit_span(&self) -> SpanId {
        SpanId::from_bytes(digest(b"kapsel-commit", self.event_id.as_bytes()))
    }
}

/// The span of writing down what came of an attempt.
pub fn settle_span(attempt_id: AttemptId) -> SpanId {
    SpanId::from_bytes(digest(b"kapsel-settle", attempt_id.as_bytes()))
}

/// The span of an attempt's way into the log.
pub fn leaf_span(attempt_id: AttemptId) -> SpanId {
    SpanId::from_bytes(digest(b"kapsel-leaf", attempt_id.as_bytes()))
}

fn digest<const N: usize>(label: &[u8], id: &[u8; 16]) -> [u8; N] {
    let hash = Sha256::new().chain_update(label).chain_update(id).finalize();
    let mut bytes = [0; N];
    for (byte, hashed) in bytes.iter_mut().zip(hash) {
        *byte = hashed;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn event(number: u8) -> EventId {
        EventId::from_bytes([number; 16])
    }

    #[test]
    fn the_senders_trace_goes_on() {
        let trace = EventTrace::new(event(1), Some(PARENT));
        assert_eq!(trace.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.sender_span().map(|span| span.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    }

    /// The value was computed with `printf 'kapsel-trace' | cat - id | sha256sum`: whoever looks for the trace of an event
    /// can do the same.
    #[test]
    fn an_event_without_one_has_a_trace_of_its_own_that_never_changes() {
        let trace = EventTrace::new(EventId::MIN, None);
        assert_eq!(trace.trace_id.to_string(), "51b5599f34c98fc04612c5e1d6ca51ae");
        assert_eq!(trace.sender_span(), None);
        assert_eq!(EventTrace::new(EventId::MIN, Some("garbage")), trace);
        assert_ne!(EventTrace::new(event(1), None).trace_id, EventTrace::new(event(2), None).trace_id);
    }

    #[test]
    fn spans_of_an_event_are_told_apart_and_stay_the_same() {
        let (trace, attempt) = (EventTrace::new(event(1), Some(PARENT)), AttemptId::from_bytes([1; 16]));
        let spans = [trace.ingest_span(), trace.commit_span(), settle_span(attempt), leaf_span(attempt)];
        let distinct: std::collections::HashSet<_> = spans.iter().collect();
        assert_eq!(distinct.len(), spans.len());
        assert_eq!(EventTrace::new(event(1), None).ingest_span(), trace.ingest_span());
        assert_ne!(EventTrace::new(event(2), None).ingest_span(), trace.ingest_span());
    }
}
