//! Kapsel's spans as OpenTelemetry has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kapsel_core::Timestamp;
use kapsel_core::trace::{Span, Stage};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

pub(super) fn span_data(span: Span) -> SpanData {
    let started_at = system_time(span.started_at);
    let parent_span_id = span.parent.map_or(SpanId::INVALID, |parent| SpanId::from_bytes(*parent.as_bytes()));
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(*span.trace_id.as_bytes()),
            SpanId::from_bytes(*span.span_id.as_bytes()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id,
        // An ingest continues what a sender began; of the others, the parent is one of ours.
        parent_span_is_remote: span.stage == Stage::Ingest && span.parent.is_some(),
        span_kind: kind(span.stage),
        name: span.stage.as_str().into(),
        start_time: started_at,
        end_time: started_at + span.duration,
        attributes: attributes(&span),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: match span.error_code {
            Some(code) => Status::error(code.as_str()),
            None => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder("kapsel").with_version(env!("CARGO_PKG_VERSION")).build(),
    }
}

fn kind(stage: Stage) -> SpanKind {
    match stage {
        Stage::Ingest => SpanKind::Server,
        Stage::Attempt => SpanKind::Client,
        Stage::Commit | Stage::Settle | Stage::Leaf => SpanKind::Internal,
    }
}

fn attributes(span: &Span) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("kapsel.event_id", span.event_id.to_string()),
        KeyValue::new("kapsel.endpoint_id", span.endpoint_id.to_string()),
        KeyValue::new("kapsel.tenant_id", span.tenant_id.to_string()),
    ];
    if let Some(request_id) = span.request_id {
        attributes.push(KeyValue::new("kapsel.request_id", request_id.to_string()));
    }
    if let Some((delivery_id, attempt_id, number)) = span.attempt {
        attributes.push(KeyValue::new("kapsel.delivery_id", delivery_id.to_string()));
        attributes.push(KeyValue::new("kapsel.attempt_id", attempt_id.to_string()));
        attributes.push(KeyValue::new("kapsel.attempt_number", i64::from(number)));
    }
    if let Some(status) = span.http_status {
        attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if let Some(code) = span.error_code {
        attributes.push(KeyValue::new("error.type", code.as_str()));
    }
    attributes
}

fn system_time(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time.unix_micros()).unwrap_or(0))
}
