//! Working off the queue in memory.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::settlement::Next;
use kapsel_core::{
    DeliveryId, DeliveryRef, EndpointId, EndpointStatus, FinalReason, InstanceId, Lease, LeaseToken, Timestamp,
};

use super::MemoryStore;
use super::state::{Queued, State};
use crate::delivery::{ClaimRequest, ClaimedDelivery, DeliveryStore, Lane, LaneScan, QueueLook, Settled, Settlement};
use crate::error::StoreError;

#[async_trait]
impl DeliveryStore for MemoryStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        let state = self.lock();
        let mut scan = LaneScan::default();
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (endpoint_id, lane) in state.lanes.range((behind, Bound::Unbounded)) {
            if scan.due.len() >= limit {
                break;
            }
            let is_idle = |id: &DeliveryId| state.queued(*id).is_some_and(|queued| !queued.is_leased(now));
            let head = lane.iter().find(|(_, id)| is_idle(id));
            let (Some(endpoint), Some((due_at, _))) = (state.open_endpoint(*endpoint_id), head) else {
                continue;
            };
            let circuit = state.circuits.get(endpoint_id).map(|stored| stored.circuit).unwrap_or_default();
            let blocked_until = circuit.blocked_until.filter(|_| circuit.prober != Some(viewer));
            let due_at = (*due_at).max(blocked_until.unwrap_or(*due_at));
            if due_at <= now {
                let (endpoint_id, tenant_id) = (*endpoint_id, endpoint.tenant_id);
                scan.due.push(Lane { endpoint_id, tenant_id, due_at, circuit_version: circuit.version });
            } else {
                scan.next_due_at = Some(scan.next_due_at.map_or(due_at, |earliest| earliest.min(due_at)));
            }
        }
        Ok(scan)
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        let state = self.lock();
        let queued = || state.deliveries.values().filter(|stored| stored.queued.is_some());
        let owner = |delivery: &DeliveryRef| delivery.tenant_id;
        let tenants: BTreeSet<_> = queued().map(|stored| owner(&stored.delivery)).collect();
        let looked_at: BTreeSet<_> = tenants.into_iter().take(QueueLook::TENANTS_MAX).collect();
        let of_them = queued().filter(|stored| looked_at.contains(&owner(&stored.delivery)));
        let oldest = of_them.map(|stored| stored.delivery.event_id).min();
        Ok(QueueLook { queued: queued().count().min(rows_max), oldest })
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        Ok(self.lock().claim(now, &request))
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        let mut state = self.lock();
        Ok(batch.iter().map(|settlement| state.settle(now, settlement)).collect())
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        let mut state = self.lock();
        for (delivery, lease) in batch {
            if let Some(queued) = state.leased(delivery.id, lease.token) {
                state.set_queued(delivery.id, Some(Queued { due_at: now, lease: None, ..queued }));
            }
        }
        Ok(())
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        Ok(self.lock().release_where(now, |queued| queued.is_leased(now) && queued.lease == Some(lease)))
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        let mut state = self.lock();
        state.release_rights(now, owner);
        state.log.release_leases(owner);
        Ok(state.release_where(now, |queued| {
            queued.lease.is_some_and(|held| owner.is_none_or(|owner| held.owner == owner))
        }))
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.lock();
        let discarded: Vec<_> = state
            .lanes
            .iter()
            .filter(|(endpoint_id, _)| state.endpoint(**endpoint_id).is_none())
            .flat_map(|(_, lane)| lane.iter().map(|(_, id)| *id))
            .filter(|id| state.queued(*id).is_some_and(|queued| !queued.is_leased(now)))
            .take(limit)
            .collect();
        for id in &discarded {
            state.end(*id, Some(FinalReason::EndpointDeleted));
        }
        Ok(discarded.len())
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.lock();
        let expired: Vec<_> =
            state.keys.iter().filter(|(_, used)| used.expires_at <= now).map(|(key, _)| *key).take(limit).collect();
        for key in &expired {
            state.keys.remove(key);
        }
        Ok(expired.len())
    }
}

impl State {
    fn queued(&self, id: DeliveryId) -> Option<Queued> {
        self.deliveries.get(&id)?.queued
    }

    /// The queue row of `id` if `token` is the one of its last lease. The lease may have ended: as long as nobody
    /// else claimed the delivery, its holder's word counts.
    fn leased(&self, id: DeliveryId, token: LeaseToken) -> Option<Queued> {
        self.queued(id).filter(|queued| queued.lease.is_some_and(|lease| lease.token == token))
    }

    /// Frees the leases for which `is_freed` is true.
    fn release_where(&mut self, now: Timestamp, is_freed: impl Fn(&Queued) -> bool) -> usize {
        let freed: Vec<_> = self
            .deliveries
            .iter()
            .filter_map(|(id, stored)| Some((*id, stored.queued?)))
            .filter(|(_, queued)| is_freed(queued))
            .collect();
        for (id, queued) in &freed {
            self.set_queued(*id, Some(Queued { due_at: now, lease: None, ..*queued }));
        }
        freed.len()
    }

    /// Takes a delivery out of the queue.
    pub(super) fn end(&mut self, id: DeliveryId, given_up: Option<FinalReason>) {
        self.set_queued(id, None);
        if let Some(stored) = self.deliveries.get_mut(&id) {
            stored.given_up = given_up;
        }
    }

    fn claim(&mut self, now: Timestamp, request: &ClaimRequest) -> Vec<ClaimedDelivery> {
        let mut claimed = Vec::new();
        let mut body_bytes = 0_usize;
        for lane in &request.lanes {
            let is_known = self.circuit_version(lane.endpoint_id) == lane.circuit_version;
            if self.open_endpoint(lane.endpoint_id).is_none() || !is_known {
                continue;
            }
            let rows = self.lanes.get(&lane.endpoint_id).into_iter().flatten();
            let due: Vec<_> = rows.take_while(|(due_at, _)| *due_at <= now).take(lane.quota).copied().collect();
            for (_, id) in due {
                let Some(next) = self.claimable(id, request.lease) else { continue };
                body_bytes = body_bytes.saturating_add(next.event.body.len());
                if body_bytes > request.body_bytes_max && !claimed.is_empty() {
                    return claimed;
                }
                let attempts_made = next.attempts_made;
                self.set_queued(
                    id,
                    Some(Queued { due_at: request.lease.until, lease: Some(request.lease), attempts_made }),
                );
                claimed.push(next);
            }
        }
        claimed
    }

    /// What a claim of `id` under `lease` hands out.
    fn claimable(&self, id: DeliveryId, lease: Lease) -> Option<ClaimedDelivery> {
        let stored = self.deliveries.get(&id)?;
        let event = &self.events.get(&stored.delivery.event_id)?.event;
        Some(ClaimedDelivery {
            delivery: stored.delivery,
            event: Arc::clone(event),
            lease,
            attempts_total: stored.attempts_total(),
            attempts_made: stored.queued?.attempts_made,
        })
    }

    fn settle(&mut self, now: Timestamp, settlement: &Settlement) -> Settled {
        let id = settlement.attempt.delivery.id;
        let Some(queued) = self.leased(id, settlement.lease.token) else { return Settled::Stale };
        if let Some(stored) = self.deliveries.get_mut(&id) {
            stored.attempts.push(settlement.attempt.clone());
        }
        self.log.put_leaf(settlement);
        match settlement.decision.next {
            Next::Delivered => self.end(id, None),
            Next::Failed(reason) => self.end(id, Some(reason)),
            Next::RetryAt(due_at) => {
                let attempts_made = queued.attempts_made.saturating_add(1);
                self.set_queued(id, Some(Queued { due_at, lease: None, attempts_made }));
            }
        }
        if let Some(reason) = settlement.decision.disable_endpoint
            && let Some(endpoint) = self.enabled_endpoint(settlement.attempt.delivery.endpoint_id)
        {
            let mut endpoint = endpoint.clone();
            endpoint.status = EndpointStatus::Disabled(reason);
            endpoint.version += 1;
            endpoint.updated_at = now;
            self.put_endpoint(endpoint, false);
        }
        Settled::Written
    }
}
