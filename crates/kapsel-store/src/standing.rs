//! Where the deliveries of an event stand, derived from the rows that an engine keeps: queue, outcomes, attempts and
//! endpoints. Nothing of this is stored. Engines read the rows; what they mean is said here, once.

use std::collections::BTreeMap;

use kapsel_core::{DeliveryId, DeliveryRef, DeliveryState, EventStatus, FinalReason, Timestamp};

use crate::admin::DeliveryDetail;

/// An event stands where the first of these is that one of its deliveries is in: what is open comes before what ended,
/// and what ended badly before what ended well.
const PRECEDENCE: [DeliveryState; 6] = [
    DeliveryState::Delivering,
    DeliveryState::Pending,
    DeliveryState::Received,
    DeliveryState::Failed,
    DeliveryState::Discarded,
    DeliveryState::Delivered,
];

/// Where an event with deliveries in these states stands. One without any went nowhere.
pub fn status_of(states: impl Iterator<Item = DeliveryState> + Clone) -> EventStatus {
    let is_taken = |state: &DeliveryState| states.clone().any(|taken| taken == *state);
    PRECEDENCE.into_iter().find(is_taken).unwrap_or(DeliveryState::Discarded)
}

/// What the queue row of a delivery says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRow {
    /// When it can be claimed; the lease's end where there is one.
    pub due_at: Timestamp,
    /// Whether it has a lease, running or not.
    pub has_lease: bool,
    /// Attempts settled in all.
    pub attempts_total: u32,
    /// Whether its endpoint is gone.
    pub is_endpoint_deleted: bool,
}

impl QueueRow {
    /// The state that follows, and its reason.
    fn state(self, now: Timestamp) -> (DeliveryState, Option<FinalReason>) {
        if self.has_lease && self.due_at > now {
            (DeliveryState::Delivering, None)
        } else if self.is_endpoint_deleted {
            (DeliveryState::Discarded, Some(FinalReason::EndpointDeleted))
        } else if self.attempts_total == 0 {
            (DeliveryState::Received, None)
        } else {
            (DeliveryState::Pending, None)
        }
    }
}

/// The deliveries of one event, and what its attempts add up to. The rows are told in this order: attempts, outcomes,
/// queue.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    deliveries: BTreeMap<DeliveryId, Standpoint>,
    /// Attempts settled, over all deliveries.
    pub attempts_total: u32,
    /// When the first successful attempt ended.
    pub delivered_at: Option<Timestamp>,
}

/// One delivery with what its rows say beside its state.
#[derive(Debug, Clone)]
pub struct Standpoint {
    /// As it is shown.
    pub detail: DeliveryDetail,
    /// Attempts settled.
    pub attempts_total: u32,
    /// Where its queue row is, if it has one.
    pub due_at: Option<Timestamp>,
}

impl Standing {
    /// A delivery has so many attempts, the first success of which ended at `delivered_at`. What is neither queued nor
    /// given up was delivered; the rows that are told later say otherwise.
    pub fn add_attempts(&mut self, delivery: DeliveryRef, attempts_total: u32, delivered_at: Option<Timestamp>) {
        self.attempts_total += attempts_total;
        self.delivered_at = self.delivered_at.into_iter().chain(delivered_at).min();
        self.put(delivery, DeliveryState::Delivered, None, None);
        if let Some(stored) = self.deliveries.get_mut(&delivery.id) {
            stored.attempts_total = attempts_total;
        }
    }

    /// A delivery was given up.
    pub fn add_outcome(&mut self, delivery: DeliveryRef, reason: FinalReason) {
        self.put(delivery, reason.state(), Some(reason), None);
    }

    /// A delivery is queued.
    pub fn add_queued(&mut self, delivery: DeliveryRef, row: QueueRow, now: Timestamp) {
        let (state, reason) = row.state(now);
        self.put(delivery, state, reason, Some(row.due_at));
    }

    fn put(
        &mut self,
        delivery: DeliveryRef,
        state: DeliveryState,
        reason: Option<FinalReason>,
        due_at: Option<Timestamp>,
    ) {
        let waits = matches!(state, DeliveryState::Received | DeliveryState::Pending);
        let detail = DeliveryDetail { delivery, state, reason, next_attempt_at: due_at.filter(|_| waits) };
        let attempts_total = self.deliveries.get(&delivery.id).map_or(0, |former| former.attempts_total);
        self.deliveries.insert(delivery.id, Standpoint { detail, attempts_total, due_at });
    }

    /// The deliveries, by id.
    pub fn deliveries(&self) -> impl Iterator<Item = &Standpoint> {
        self.deliveries.values()
    }

    /// The state of the event.
    pub fn status(&self) -> EventStatus {
        status_of(self.deliveries.values().map(|delivery| delivery.detail.state))
    }

    /// The reason of the first delivery that stands where the event does.
    pub fn reason(&self) -> Option<FinalReason> {
        self.leading().find_map(|detail| detail.reason)
    }

    /// When the first of the deliveries that stand where the event does is due.
    pub fn next_attempt_at(&self) -> Option<Timestamp> {
        self.leading().filter_map(|detail| detail.next_attempt_at).min()
    }

    fn leading(&self) -> impl Iterator<Item = &DeliveryDetail> {
        let status = self.status();
        self.deliveries().map(|delivery| &delivery.detail).filter(move |detail| detail.state == status)
    }
}
