//! Erasing in memory.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use kapsel_core::{
    Attempt, DeliveryId, ErasureId, ErasureState, Event, EventId, FinalReason, HeaderBlock, Outcome, ResponseHead,
    TenantId, Timestamp,
};

use super::MemoryStore;
use super::state::State;
use crate::erasure::{DueErasures, Erasure, ErasureLook, ErasureStep, ErasureStore, ErasureSubject};
use crate::error::StoreError;

#[async_trait]
impl ErasureStore for MemoryStore {
    async fn erasure_insert(&self, erasure: Erasure) -> Result<(), StoreError> {
        let mut state = self.lock();
        if let Some(event_id) = erasure.event_id()
            && state.erasable(&erasure).next() != Some(event_id)
        {
            return Err(StoreError::NotFound);
        }
        if state.erasures.contains_key(&erasure.id) {
            return Err(StoreError::Conflict("the erasure id is taken"));
        }
        state.erasures.insert(erasure.id, erasure);
        Ok(())
    }

    async fn erasure_get(&self, tenant_id: Option<TenantId>, id: ErasureId) -> Result<Erasure, StoreError> {
        let state = self.lock();
        let found = state.erasures.get(&id).filter(|job| tenant_id.is_none_or(|owner| job.tenant_id == owner));
        found.cloned().ok_or(StoreError::NotFound)
    }

    async fn erasure_list(
        &self,
        tenant_id: Option<TenantId>,
        before: Option<ErasureId>,
        limit: usize,
    ) -> Result<Vec<Erasure>, StoreError> {
        let state = self.lock();
        let older = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let jobs = state.erasures.range(older).rev().map(|(_, job)| job);
        Ok(jobs.filter(|job| tenant_id.is_none_or(|owner| job.tenant_id == owner)).take(limit).cloned().collect())
    }

    async fn erasure_due(&self, now: Timestamp, limit: usize) -> Result<DueErasures, StoreError> {
        let state = self.lock();
        let mut running: Vec<&Erasure> =
            state.erasures.values().filter(|job| job.state == ErasureState::Running).collect();
        running.sort_unstable_by_key(|job| (job.next_step_at, job.id));
        let due: Vec<Erasure> =
            running.iter().take_while(|job| job.next_step_at <= now).take(limit).copied().cloned().collect();
        let next = if due.len() < limit { running.get(due.len()) } else { None };
        Ok(DueErasures { next_due_at: next.map(|job| job.next_step_at), due })
    }

    async fn erasure_advance_if_version(
        &self,
        now: Timestamp,
        step: ErasureStep,
    ) -> Result<Option<Erasure>, StoreError> {
        let mut state = self.lock();
        let stored = state.erasures.get(&step.id).filter(|job| job.tenant_id == step.tenant_id);
        let is_current = |job: &&Erasure| job.version == step.expected_version && job.state == ErasureState::Running;
        let Some(job) = stored.filter(is_current).cloned() else { return Ok(None) };
        let look = state.erase_next(now, &job, step.looks_max);
        let after = job.after_step(now, look);
        state.erasures.insert(after.id, after.clone());
        Ok(Some(after))
    }

    async fn erasure_covers(&self, events: Vec<(TenantId, EventId)>) -> Result<Vec<EventId>, StoreError> {
        let state = self.lock();
        let covers = |job: &Erasure, tenant_id: TenantId, event_id: EventId| {
            job.tenant_id == tenant_id && matches!(job.subject, ErasureSubject::TenantBefore(end) if event_id < end)
        };
        let covered = events
            .into_iter()
            .filter(|(tenant_id, event_id)| state.erasures.values().any(|job| covers(job, *tenant_id, *event_id)));
        Ok(covered.map(|(_, event_id)| event_id).collect())
    }
}

impl State {
    /// The events that are left for a job, kept ones and those of which only attempts are kept.
    fn erasable(&self, job: &Erasure) -> impl Iterator<Item = EventId> + use<> {
        let (tenant_id, after, end) = (job.tenant_id, job.after, job.end());
        let events = self.events.values().map(|stored| (stored.event.tenant_id, stored.event.id));
        let deliveries = self.deliveries.values().map(|stored| (stored.delivery.tenant_id, stored.delivery.event_id));
        let within = |(owner, id): &(TenantId, EventId)| *owner == tenant_id && *id > after && *id < end;
        let ids: BTreeSet<EventId> = events.chain(deliveries).filter(within).map(|(_, id)| id).collect();
        ids.into_iter()
    }

    fn erase_next(&mut self, now: Timestamp, job: &Erasure, looks_max: usize) -> ErasureLook {
        let left: Vec<EventId> = self.erasable(job).collect();
        let is_end = left.len() <= looks_max;
        let mut look = ErasureLook { erased: 0, first_busy: None, looked_up_to: job.after, is_end };
        for event_id in left.into_iter().take(looks_max) {
            look.looked_up_to = event_id;
            let deliveries: Vec<DeliveryId> = self
                .deliveries
                .values()
                .filter(|stored| stored.delivery.event_id == event_id)
                .map(|stored| stored.delivery.id)
                .collect();
            let queued = |id: &DeliveryId| self.deliveries.get(id).and_then(|stored| stored.queued);
            if deliveries.iter().filter_map(queued).any(|queued| queued.is_leased(now)) {
                look.first_busy = look.first_busy.or(Some(event_id));
            } else {
                look.erased += u64::from(self.erase(now, event_id, &deliveries));
            }
        }
        look
    }

    /// Whether there was something to erase.
    fn erase(&mut self, now: Timestamp, event_id: EventId, deliveries: &[DeliveryId]) -> bool {
        let mut has_changed = false;
        if let Some(stored) = self.events.get_mut(&event_id) {
            if stored.erased_at.is_some() {
                return false;
            }
            has_changed = true;
            stored.erased_at = Some(now);
            stored.event = Arc::new(Event {
                idempotency_key: None,
                headers: HeaderBlock::default(),
                body: Bytes::new(),
                body_sha256: [0; 32],
                ..Event::clone(&stored.event)
            });
        }
        for id in deliveries {
            if self.deliveries.get(id).is_some_and(|stored| stored.queued.is_some()) {
                self.end(*id, Some(FinalReason::Erased));
            }
            for attempt in self.deliveries.get_mut(id).into_iter().flat_map(|stored| &mut stored.attempts) {
                has_changed |= self.log.forget_secret(attempt.id);
                erase_attempt(attempt);
            }
        }
        has_changed
    }
}

/// What happened stays: number, time, duration, the kind of failure, the status.
fn erase_attempt(attempt: &mut Attempt) {
    let erase_head = |head: &mut ResponseHead| {
        head.headers = HeaderBlock::default();
        head.body = Bytes::new();
    };
    attempt.url.clear();
    match &mut attempt.outcome {
        Outcome::Response(head) => erase_head(head),
        Outcome::Failure { detail, head, .. } => {
            detail.clear();
            if let Some(head) = head {
                erase_head(head);
            }
        }
    }
}
