//! Where deliveries and events stand. Nothing of this is stored; it follows from the queue, the attempts, the outcomes
//! and the endpoints.

use kapsel_core::{Attempt, DeliveryState, FinalReason, Timestamp};

use super::state::{State, StoredDelivery, StoredEvent};
use crate::admin::{DeliveryDetail, EventSummary};
use crate::standing;

impl State {
    /// One delivery as it is shown.
    pub(super) fn detail_of(&self, stored: &StoredDelivery, now: Timestamp) -> DeliveryDetail {
        let (state, reason) = match &stored.queued {
            Some(queued) if queued.is_leased(now) => (DeliveryState::Delivering, None),
            Some(_) if self.endpoint(stored.delivery.endpoint_id).is_none() => {
                (DeliveryState::Discarded, Some(FinalReason::EndpointDeleted))
            }
            Some(_) if stored.attempts.is_empty() => (DeliveryState::Received, None),
            Some(_) => (DeliveryState::Pending, None),
            None => stored.given_up.map_or((DeliveryState::Delivered, None), |reason| (reason.state(), Some(reason))),
        };
        let waits = matches!(state, DeliveryState::Received | DeliveryState::Pending);
        let next_attempt_at = stored.queued.filter(|_| waits).map(|queued| queued.due_at);
        DeliveryDetail { delivery: stored.delivery, state, reason, next_attempt_at }
    }

    /// The deliveries of an event, in the order of their ids.
    pub(super) fn deliveries_of<'a>(&'a self, stored: &'a StoredEvent) -> impl Iterator<Item = &'a StoredDelivery> {
        stored.deliveries.iter().filter_map(|id| self.deliveries.get(id))
    }

    /// An event as lists show it.
    pub(super) fn summary_of(&self, stored: &StoredEvent, now: Timestamp) -> EventSummary {
        let details: Vec<_> = self.deliveries_of(stored).map(|delivery| self.detail_of(delivery, now)).collect();
        let status = standing::status_of(details.iter().map(|detail| detail.state));
        let leading = || details.iter().filter(|detail| detail.state == status);
        let successes = self.deliveries_of(stored).flat_map(|delivery| &delivery.attempts);
        let event = &stored.event;
        EventSummary {
            id: event.id,
            endpoint_id: event.endpoint_id,
            received_at: event.received_at,
            content_type: event.content_type().map(str::to_owned),
            size_bytes: stored.size_bytes,
            idempotency_key: event.idempotency_key.clone(),
            status,
            reason: leading().find_map(|detail| detail.reason),
            delivered_at: successes.filter(|attempt| attempt.outcome.is_success()).map(Attempt::ended_at).min(),
            erased_at: stored.erased_at,
            attempts_total: self.deliveries_of(stored).map(StoredDelivery::attempts_total).sum(),
            next_attempt_at: leading().filter_map(|detail| detail.next_attempt_at).min(),
        }
    }
}
