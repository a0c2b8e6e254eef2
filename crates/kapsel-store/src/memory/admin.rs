//! Managing endpoints and looking at events in memory.

use std::ops::Bound;

use async_trait::async_trait;
use kapsel_core::{Endpoint, EndpointId, EndpointStatus, Event, EventId, TenantId, Timestamp};

use super::MemoryStore;
use super::state::{Queued, State, StoredDelivery, StoredEvent};
use crate::admin::{AdminStore, ChangeSeq, EndpointChange, EventDetail, EventFilter, EventSummary, QueueUsage};
use crate::error::StoreError;

#[async_trait]
impl AdminStore for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.endpoints.contains_key(&endpoint.id) {
            return Err(StoreError::Conflict("the endpoint id is taken"));
        }
        state.put_endpoint(endpoint, false);
        Ok(())
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.lock().endpoint_of(tenant_id, id).cloned()
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        let state = self.lock();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let endpoints = state
            .endpoints
            .range((behind, Bound::Unbounded))
            .filter(|(_, stored)| !stored.is_deleted && stored.endpoint.tenant_id == tenant_id);
        Ok(endpoints.map(|(_, stored)| stored.endpoint.clone()).take(limit).collect())
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        let mut state = self.lock();
        let stored = state.endpoint_of(endpoint.tenant_id, endpoint.id)?;
        if stored.version != expected_version {
            return Err(StoreError::Conflict("the endpoint was changed meanwhile"));
        }
        let created_at = stored.created_at;
        state.put_endpoint(Endpoint { created_at, ..endpoint }, false);
        Ok(())
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.lock().delete_endpoint(tenant_id, id, now)
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        let state = self.lock();
        let changes = state.changes.range((Bound::Excluded(since), Bound::Unbounded)).take(limit);
        let in_present_form = |(seq, id): (&ChangeSeq, &EndpointId)| EndpointChange {
            seq: *seq,
            id: *id,
            endpoint: state.endpoint(*id).cloned().map(Box::new),
            is_unreadable: false,
        };
        Ok(changes.map(in_present_form).collect())
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        let state = self.lock();
        let stored = state.event_of(tenant_id, id)?;
        let attempts: Vec<_> =
            state.deliveries_of(stored).flat_map(|delivery| delivery.attempts.iter().cloned()).collect();
        Ok(EventDetail {
            summary: state.summary_of(stored, now),
            deliveries: state.deliveries_of(stored).map(|delivery| state.detail_of(delivery, now)).collect(),
            leaf_hashes: attempts.iter().map(|attempt| state.log.leaf_hash(attempt.id)).collect(),
            attempts,
        })
    }

    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        let state = self.lock();
        let (passed, end) = (filter.after, filter.end_id());
        let passing = state
            .events
            .range(filter.lowest_id()..)
            .filter(|(id, _)| passed.is_none_or(|passed| **id > passed) && end.is_none_or(|end| **id < end))
            .filter(|(_, stored)| stored.event.tenant_id == tenant_id)
            .filter(|(_, stored)| filter.takes_endpoint(stored.event.endpoint_id))
            .map(|(_, stored)| state.summary_of(stored, now))
            .filter(|summary| filter.status.contains(summary.status));
        Ok(match filter.is_oldest_first() {
            true => passing.take(limit).collect(),
            false => passing.rev().take(limit).collect(),
        })
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        let state = self.lock();
        let is_counted = |stored: &&StoredDelivery| stored.queued.is_some() && stored.delivery.tenant_id == tenant_id;
        let queued = state.deliveries.values().filter(is_counted);
        let mut usage = QueueUsage::default();
        for stored in queued.take(usize::try_from(rows_max).unwrap_or(usize::MAX)) {
            let event = state.events.get(&stored.delivery.event_id);
            usage.deliveries += 1;
            usage.bytes += event.map_or(0, |stored| stored.event.body.len() as u64);
        }
        Ok(usage)
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        let state = self.lock();
        let stored = state.event_of(tenant_id, id)?;
        if stored.erased_at.is_some() { Err(StoreError::NotFound) } else { Ok(Event::clone(&stored.event)) }
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.lock().requeue(tenant_id, id, now)
    }
}

impl State {
    fn endpoint_of(&self, tenant_id: TenantId, id: EndpointId) -> Result<&Endpoint, StoreError> {
        self.endpoint(id).filter(|endpoint| endpoint.tenant_id == tenant_id).ok_or(StoreError::NotFound)
    }

    pub(super) fn delete_endpoint(
        &mut self,
        tenant_id: TenantId,
        id: EndpointId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let endpoint = self.endpoint_of(tenant_id, id)?.clone();
        self.put_endpoint(Endpoint { updated_at: now, ..endpoint }, true);
        self.circuits.remove(&id);
        Ok(())
    }

    pub(super) fn event_of(&self, tenant_id: TenantId, id: EventId) -> Result<&StoredEvent, StoreError> {
        self.events.get(&id).filter(|stored| stored.event.tenant_id == tenant_id).ok_or(StoreError::NotFound)
    }

    /// Queues every delivery of an event anew, or none.
    pub(super) fn requeue(&mut self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        let event = self.event_of(tenant_id, id)?;
        if event.erased_at.is_some() {
            return Err(StoreError::Conflict("the event is erased"));
        }
        let deliveries = event.deliveries.clone();
        // All or nothing: every delivery is looked at before the first one is changed.
        let stored = || deliveries.iter().filter_map(|id| self.deliveries.get(id));
        let endpoints = || stored().map(|stored| self.endpoint(stored.delivery.endpoint_id));
        if stored().any(|stored| stored.queued.is_some_and(|queued| queued.is_leased(now))) {
            return Err(StoreError::Conflict("an attempt is under way"));
        }
        if endpoints().any(|endpoint| endpoint.is_none()) {
            return Err(StoreError::Conflict("the endpoint is deleted"));
        }
        if endpoints().flatten().any(|endpoint| endpoint.status != EndpointStatus::Enabled) {
            return Err(StoreError::Conflict("the endpoint is disabled; enable it first"));
        }
        for id in deliveries {
            self.set_queued(id, Some(Queued { due_at: now, lease: None, attempts_made: 0 }));
            if let Some(stored) = self.deliveries.get_mut(&id) {
                stored.given_up = None;
            }
        }
        Ok(())
    }
}
