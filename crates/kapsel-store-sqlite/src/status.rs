//! Where the deliveries of an event stand. Nothing of this is stored; it follows from the queue, the outcomes, the
//! attempts and the endpoints.

use std::collections::BTreeMap;

use kapsel_core::{
    DeliveryId, DeliveryRef, DeliveryState, EndpointId, EventId, EventStatus, FinalReason, TenantId, Timestamp,
};
use kapsel_store::DeliveryDetail;
use rusqlite::{Connection, params};

use crate::error::Failure;
use crate::rows::{corrupt, id, time};
use crate::statements as sql;

/// An event stands where the first of these is that one of its deliveries is in.
const PRECEDENCE: [DeliveryState; 6] = [
    DeliveryState::Delivering,
    DeliveryState::Pending,
    DeliveryState::Received,
    DeliveryState::Failed,
    DeliveryState::Discarded,
    DeliveryState::Delivered,
];

/// The deliveries of one event, and what its attempts add up to.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Attempts settled, over all deliveries.
    pub(crate) attempts_total: u32,
    /// When the first successful attempt ended.
    pub(crate) delivered_at: Option<Timestamp>,
}

/// One delivery with what its queue row says beside its state.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) detail: DeliveryDetail,
    /// Attempts settled.
    pub(crate) attempts_total: u32,
    /// Where its queue row is, if it has one.
    pub(crate) due_at: Option<Timestamp>,
}

impl Standing {
    /// Reads where the event `event_id` stands at `now`.
    pub(crate) fn read(
        connection: &Connection,
        tenant_id: TenantId,
        event_id: EventId,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let key = params![tenant_id.as_bytes(), event_id.as_bytes()];
        let name = |id: DeliveryId, endpoint_id: EndpointId| DeliveryRef { id, event_id, endpoint_id, tenant_id };
        let mut standing = Standing::default();

        // What is neither queued nor given up was delivered: these are overwritten below where they were not.
        let mut attempts = connection.prepare_cached(sql::ATTEMPTS_SUMMARY_OF_EVENT)?;
        let mut rows = attempts.query(key)?;
        while let Some(row) = rows.next()? {
            let delivery = name(id(row, 0)?, id(row, 1)?);
            let attempts_total = row.get(2)?;
            let delivered_at: Option<i64> = row.get(3)?;
            let delivered_at = delivered_at.map(Timestamp::from_unix_micros);
            standing.attempts_total += attempts_total;
            standing.delivered_at = standing.delivered_at.into_iter().chain(delivered_at).min();
            standing.put(delivery, DeliveryState::Delivered, None, None);
            if let Some(stored) = standing.deliveries.get_mut(&delivery.id) {
                stored.attempts_total = attempts_total;
            }
        }

        let mut outcomes = connection.prepare_cached(sql::OUTCOMES_OF_EVENT)?;
        let mut rows = outcomes.query(key)?;
        while let Some(row) = rows.next()? {
            let reason: String = row.get(2)?;
            let reason: FinalReason = reason.parse().map_err(|error| corrupt("why a delivery ended", error))?;
            standing.put(name(id(row, 0)?, id(row, 1)?), reason.state(), Some(reason), None);
        }

        let mut queue = connection.prepare_cached(sql::QUEUE_OF_EVENT)?;
        let mut rows = queue.query(key)?;
        while let Some(row) = rows.next()? {
            let due_at = time(row, 2)?;
            let has_lease: bool = row.get(3)?;
            let attempts_total: u32 = row.get(4)?;
            let is_endpoint_deleted: bool = row.get(5)?;
            let (state, reason) = if has_lease && due_at > now {
                (DeliveryState::Delivering, None)
            } else if is_endpoint_deleted {
                (DeliveryState::Discarded, Some(FinalReason::EndpointDeleted))
            } else if attempts_total == 0 {
                (DeliveryState::Received, None)
            } else {
                (DeliveryState::Pending, None)
            };
            standing.put(name(id(row, 0)?, id(row, 1)?), state, reason, Some(due_at));
        }
        Ok(standing)
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
        self.deliveries.insert(delivery.id, Delivery { detail, attempts_total, due_at });
    }

    /// The deliveries, by id.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.values()
    }

    /// The state of the event. One without deliveries went nowhere.
    pub(crate) fn status(&self) -> EventStatus {
        let is_taken = |state: &DeliveryState| self.deliveries().any(|delivery| delivery.detail.state == *state);
        PRECEDENCE.into_iter().find(is_taken).unwrap_or(DeliveryState::Discarded)
    }

    /// The reason of the first delivery that stands where the event does.
    pub(crate) fn reason(&self) -> Option<FinalReason> {
        self.leading().find_map(|detail| detail.reason)
    }

    /// When the first of the deliveries that stand where the event does is due.
    pub(crate) fn next_attempt_at(&self) -> Option<Timestamp> {
        self.leading().filter_map(|detail| detail.next_attempt_at).min()
    }

    fn leading(&self) -> impl Iterator<Item = &DeliveryDetail> {
        let status = self.status();
        self.deliveries().map(|delivery| &delivery.detail).filter(move |detail| detail.state == status)
    }
}
