//! How an event, its deliveries and its attempts are shown.

use std::collections::BTreeMap;

use kapsel_core::{
    Attempt, AttemptId, DeliveryId, DeliveryState, EndpointId, ErrorCode, EventId, EventStatus, FinalReason,
    HeaderBlock, Outcome, Timestamp,
};
use kapsel_store::{DeliveryDetail, EventDetail, EventSummary};
use kapsel_verification::Hash;
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::{shown, words};

/// At most so much of a response body is shown, in bytes.
const RESPONSE_BODY_BYTES_SHOWN: usize = 4 * 1024;

/// An event in a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventSummaryView {
    #[schema(value_type = words::EventId)]
    id: EventId,
    #[schema(value_type = words::EndpointId)]
    endpoint_id: EndpointId,
    #[schema(value_type = words::StateWord)]
    status: EventStatus,
    #[schema(value_type = Option<words::ReasonWord>, required = true)]
    reason: Option<FinalReason>,
    #[schema(value_type = words::Time)]
    received_at: Timestamp,
    #[schema(value_type = Option<words::Time>, required = true)]
    delivered_at: Option<Timestamp>,
    /// When what it held was erased.
    #[schema(value_type = Option<words::Time>, required = true)]
    erased_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, required = true)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, required = true)]
    content_type: Option<String>,
    size_bytes: u64,
    #[schema(value_type = Option<String>, required = true)]
    idempotency_key: Option<String>,
    attempts_total: u32,
}

/// An event with everything that happened to it.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventView {
    #[serde(flatten)]
    summary: EventSummaryView,
    deliveries: Vec<DeliveryView>,
    attempts: Vec<AttemptView>,
}

/// A delivery with where it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    #[schema(value_type = words::DeliveryId)]
    id: DeliveryId,
    #[schema(value_type = words::EndpointId)]
    endpoint_id: EndpointId,
    #[schema(value_type = words::StateWord)]
    status: DeliveryState,
    #[schema(value_type = Option<words::ReasonWord>, required = true)]
    reason: Option<FinalReason>,
    #[schema(value_type = Option<words::Time>, required = true)]
    next_attempt_at: Option<Timestamp>,
}

/// An attempt with what came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptView {
    #[schema(value_type = words::AttemptId)]
    id: AttemptId,
    #[schema(value_type = words::DeliveryId)]
    delivery_id: DeliveryId,
    attempt_number: u32,
    #[schema(value_type = words::Time)]
    attempted_at: Timestamp,
    duration_ms: u64,
    url: String,
    #[schema(value_type = Option<u16>, required = true)]
    response_status: Option<u16>,
    /// By name; a header that came several times has several values.
    #[schema(value_type = Option<shown::ResponseHeaders>, required = true)]
    response_headers: Option<BTreeMap<String, Vec<String>>>,
    #[schema(value_type = Option<String>, required = true)]
    response_body: Option<String>,
    /// Whether the destination sent more than is shown.
    response_body_truncated: bool,
    #[schema(value_type = Option<words::AttemptErrorCode>, required = true)]
    error_code: Option<ErrorCode>,
    #[schema(value_type = Option<String>, required = true)]
    error_detail: Option<String>,
    /// The hash of the attempt's leaf in the log.
    #[schema(value_type = Option<words::Hash>, required = true)]
    leaf_hash: Option<Hash>,
}

impl From<EventSummary> for EventSummaryView {
    fn from(event: EventSummary) -> Self {
        EventSummaryView {
            id: event.id,
            endpoint_id: event.endpoint_id,
            status: event.status,
            reason: event.reason,
            received_at: event.received_at,
            delivered_at: event.delivered_at,
            erased_at: event.erased_at,
            next_attempt_at: event.next_attempt_at,
            content_type: event.content_type,
            size_bytes: event.size_bytes,
            idempotency_key: event.idempotency_key,
            attempts_total: event.attempts_total,
        }
    }
}

impl From<EventDetail> for EventView {
    fn from(event: EventDetail) -> Self {
        EventView {
            summary: event.summary.into(),
            deliveries: event.deliveries.into_iter().map(DeliveryView::from).collect(),
            attempts: event.attempts.into_iter().zip(event.leaf_hashes).map(AttemptView::from).collect(),
        }
    }
}

impl EventView {
    /// With all that was kept of each response.
    pub(crate) fn in_full(event: EventDetail) -> Self {
        let attempts = event.attempts.into_iter().zip(event.leaf_hashes);
        EventView {
            summary: event.summary.into(),
            deliveries: event.deliveries.into_iter().map(DeliveryView::from).collect(),
            attempts: attempts.map(|(attempt, leaf_hash)| AttemptView::in_full(attempt, leaf_hash)).collect(),
        }
    }
}

impl From<DeliveryDetail> for DeliveryView {
    fn from(delivery: DeliveryDetail) -> Self {
        DeliveryView {
            id: delivery.delivery.id,
            endpoint_id: delivery.delivery.endpoint_id,
            status: delivery.state,
            reason: delivery.reason,
            next_attempt_at: delivery.next_attempt_at,
        }
    }
}

impl From<(Attempt, Option<Hash>)> for AttemptView {
    fn from((attempt, leaf_hash): (Attempt, Option<Hash>)) -> Self {
        AttemptView::new(attempt, leaf_hash, RESPONSE_BODY_BYTES_SHOWN)
    }
}

impl AttemptView {
    /// With all of the response that was kept.
    pub(crate) fn in_full(attempt: Attempt, leaf_hash: Option<Hash>) -> Self {
        AttemptView::new(attempt, leaf_hash, usize::MAX)
    }

    fn new(attempt: Attempt, leaf_hash: Option<Hash>, body_bytes_max: usize) -> Self {
        let head = attempt.outcome.head();
        let shown = head.map(|head| &head.body[..head.body.len().min(body_bytes_max)]);
        let error_detail = match &attempt.outcome {
            Outcome::Response(_) => None,
            Outcome::Failure { detail, .. } => Some(detail.clone()).filter(|detail| !detail.is_empty()),
        };
        AttemptView {
            id: attempt.id,
            delivery_id: attempt.delivery.id,
            attempt_number: attempt.number,
            attempted_at: attempt.started_at,
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            response_status: attempt.outcome.status(),
            response_headers: head.map(|head| by_name(&head.headers)),
            response_body: shown.map(|shown| String::from_utf8_lossy(shown).into_owned()),
            response_body_truncated: head.is_some_and(|head| head.body_truncated || head.body.len() > body_bytes_max),
            error_code: attempt.outcome.error_code(),
            error_detail,
            leaf_hash,
            url: attempt.url,
        }
    }
}

fn by_name(headers: &HeaderBlock) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers.iter() {
        names.entry(name.to_owned()).or_default().push(String::from_utf8_lossy(value).into_owned());
    }
    names
}
