//! The log in memory.

use std::collections::BTreeMap;
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use kapsel_core::{AttemptId, DeliveryRef, EventId, InstanceId, Leaf, LogId, TenantId, Timestamp};
use kapsel_verification::{Hash, empty_root};

use super::MemoryStore;
use super::state::State;
use crate::attestation::{
    AttemptPlace, AttemptTrace, AttestationStore, Head, Integration, LeafName, LeafOpening, Log, LogEntry, LogKey,
    LogLease, PendingLeaf, StoredLeaf, Tile, TileId,
};
use crate::delivery::Settlement;
use crate::error::StoreError;

/// The log and what waits for it.
#[derive(Default)]
pub(super) struct LogState {
    log: Option<Log>,
    leaves: BTreeMap<AttemptId, KeptLeaf>,
    /// Attempts whose leaves wait.
    pending: BTreeMap<(LogId, AttemptId), PendingLeaf>,
    entries: BTreeMap<(LogId, u64), AttemptId>,
    tiles: BTreeMap<(LogId, TileId), Bytes>,
    heads: BTreeMap<(LogId, u64), Head>,
    keys: Vec<LogKey>,
}

struct KeptLeaf {
    tenant_id: TenantId,
    leaf: Leaf,
    /// Whether its commitments can be opened still.
    has_secret: bool,
    index: Option<u64>,
}

#[async_trait]
impl AttestationStore for MemoryStore {
    async fn log_open(&self, now: Timestamp, id: LogId, origin: String) -> Result<Log, StoreError> {
        let new =
            || Log { id, origin, size: 0, root: empty_root(), epoch: 0, lease: None, published: None, created_at: now };
        Ok(self.lock().log.log.get_or_insert_with(new).clone())
    }

    async fn log_find(&self) -> Result<Option<Log>, StoreError> {
        Ok(self.lock().log.log.clone())
    }

    async fn log_get(&self, id: LogId) -> Result<Log, StoreError> {
        self.lock().log.get(id).cloned()
    }

    async fn log_lease_take(
        &self,
        now: Timestamp,
        id: LogId,
        owner: InstanceId,
        until: Timestamp,
    ) -> Result<Option<Log>, StoreError> {
        let mut state = self.lock();
        let log = state.log.get_mut(id)?;
        match log.lease {
            Some(lease) if lease.owner != owner && lease.until > now => return Ok(None),
            Some(lease) if lease.owner == owner => {}
            _ => log.epoch += 1,
        }
        log.lease = Some(LogLease { owner, until });
        Ok(Some(log.clone()))
    }

    async fn log_lease_release(&self, owner: Option<InstanceId>) -> Result<(), StoreError> {
        self.lock().log.release_leases(owner);
        Ok(())
    }

    async fn leaves_pending(&self, id: LogId, limit: usize) -> Result<Vec<PendingLeaf>, StoreError> {
        let state = self.lock();
        let of_log = state.log.pending.range((id, AttemptId::MIN)..=(id, AttemptId::MAX));
        Ok(of_log.map(|(_, leaf)| *leaf).take(limit).collect())
    }

    async fn leaves_integrate_if_current(&self, integration: Integration) -> Result<bool, StoreError> {
        Ok(self.lock().log.integrate(integration))
    }

    async fn head_publish_if_current(&self, epoch: u64, head: Head) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let log = state.log.get_mut(head.log_id)?;
        let is_larger = log.published.is_none_or(|(size, _)| size < head.size);
        if log.epoch != epoch || log.size < head.size || !is_larger {
            return Ok(false);
        }
        log.published = Some((head.size, head.root));
        state.log.heads.insert((head.log_id, head.size), head);
        Ok(true)
    }

    async fn head_latest(&self, id: LogId) -> Result<Option<Head>, StoreError> {
        Ok(self.lock().log.heads.range((id, 0)..=(id, u64::MAX)).next_back().map(|(_, head)| head.clone()))
    }

    async fn head_list(&self, id: LogId, after: Option<u64>, limit: usize) -> Result<Vec<Head>, StoreError> {
        let state = self.lock();
        let from = after.map_or(Bound::Included((id, 0)), |size| Bound::Excluded((id, size)));
        let heads = state.log.heads.range((from, Bound::Included((id, u64::MAX))));
        Ok(heads.map(|(_, head)| head.clone()).take(limit).collect())
    }

    async fn tile_read(&self, id: LogId, tiles: Vec<TileId>) -> Result<Vec<Tile>, StoreError> {
        let state = self.lock();
        let read = |tile: &TileId| {
            let hashes = state.log.tiles.get(&(id, *tile))?.clone();
            Some(Tile { id: *tile, hashes })
        };
        Ok(tiles.iter().filter_map(read).collect())
    }

    async fn log_key_put(&self, key: LogKey) -> Result<(), StoreError> {
        let mut state = self.lock();
        let is_same = |kept: &&mut LogKey| kept.log_id == key.log_id && kept.verifier_key == key.verifier_key;
        match state.log.keys.iter_mut().find(is_same) {
            Some(kept) => kept.signs_until = key.signs_until,
            None => state.log.keys.push(key),
        }
        Ok(())
    }

    async fn log_key_list(&self, id: LogId) -> Result<Vec<LogKey>, StoreError> {
        let mut keys: Vec<_> = self.lock().log.keys.iter().filter(|key| key.log_id == id).cloned().collect();
        keys.sort_by(|one, other| (one.created_at, &one.verifier_key).cmp(&(other.created_at, &other.verifier_key)));
        Ok(keys)
    }

    async fn leaf_get(&self, tenant_id: TenantId, name: LeafName) -> Result<StoredLeaf, StoreError> {
        let state = self.lock();
        let found = match name {
            LeafName::Attempt(id) => state.log.leaves.get_key_value(&id),
            LeafName::Hash(hash) => state.log.leaves.iter().find(|(_, kept)| kept.leaf.hash == hash),
        };
        let (attempt_id, kept) = found.filter(|(_, kept)| kept.tenant_id == tenant_id).ok_or(StoreError::NotFound)?;
        let Leaf { log_id, ref data, .. } = kept.leaf;
        Ok(StoredLeaf { attempt_id: *attempt_id, log_id, index: kept.index, data: data.clone() })
    }

    async fn leaf_opening(
        &self,
        tenant_id: TenantId,
        event_id: EventId,
        attempt_id: AttemptId,
    ) -> Result<Option<LeafOpening>, StoreError> {
        let state = self.lock();
        // An attempt can outlive its event.
        let event = state.event_of(tenant_id, event_id).ok();
        let is_wanted = |name: &DeliveryRef| name.tenant_id == tenant_id && name.event_id == event_id;
        let deliveries = state.deliveries.values().filter(|stored| is_wanted(&stored.delivery));
        let attempt = deliveries.flat_map(|stored| &stored.attempts).find(|attempt| attempt.id == attempt_id);
        let kept = state.log.leaves.get(&attempt_id).filter(|kept| kept.has_secret);
        Ok(attempt.zip(kept).map(|(attempt, kept)| LeafOpening {
            secret: kept.leaf.secret,
            url: attempt.url.clone(),
            payload_sha256: event.map(|stored| stored.event.body_sha256),
            response_body: attempt.outcome.head().map(|head| head.body.clone()),
        }))
    }

    async fn entry_list(&self, id: LogId, from: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let state = self.lock();
        let entries = state.log.entries.range((id, from)..=(id, u64::MAX)).take(limit);
        let entry = |((_, index), attempt_id): (&(LogId, u64), &AttemptId)| LogEntry {
            index: *index,
            attempt_id: *attempt_id,
            data: state.log.leaves.get(attempt_id).map(|kept| kept.leaf.data.clone()),
        };
        Ok(entries.map(entry).collect())
    }

    async fn attempt_traces(&self, after: Option<AttemptPlace>, limit: usize) -> Result<Vec<AttemptTrace>, StoreError> {
        let state = self.lock();
        let mut traces: Vec<_> = state.traces().filter(|trace| after.is_none_or(|after| trace.place > after)).collect();
        traces.sort_by_key(|trace| trace.place);
        traces.truncate(limit);
        Ok(traces)
    }
}

impl State {
    fn traces(&self) -> impl Iterator<Item = AttemptTrace> {
        let attempts = self.deliveries.values().flat_map(|stored| &stored.attempts);
        attempts.map(|attempt| {
            let delivery = attempt.delivery;
            let kept = self.log.leaves.get(&attempt.id);
            AttemptTrace {
                place: AttemptPlace {
                    tenant_id: delivery.tenant_id,
                    event_id: delivery.event_id,
                    delivery_id: delivery.id,
                    number: attempt.number,
                    attempt_id: attempt.id,
                },
                has_leaf: kept.is_some(),
                is_pending: kept.is_some_and(|kept| self.log.pending.contains_key(&(kept.leaf.log_id, attempt.id))),
                is_integrated: kept.is_some_and(|kept| kept.index.is_some()),
            }
        })
    }
}

impl LogState {
    fn get(&self, id: LogId) -> Result<&Log, StoreError> {
        self.log.as_ref().filter(|log| log.id == id).ok_or(StoreError::NotFound)
    }

    fn get_mut(&mut self, id: LogId) -> Result<&mut Log, StoreError> {
        self.log.as_mut().filter(|log| log.id == id).ok_or(StoreError::NotFound)
    }

    /// Keeps the leaf of a settled attempt and lets it wait.
    pub(super) fn put_leaf(&mut self, settlement: &Settlement) {
        let attempt_id = settlement.attempt.id;
        let tenant_id = settlement.attempt.delivery.tenant_id;
        let leaf = settlement.leaf.clone();
        let hash = leaf.hash;
        self.pending.insert((leaf.log_id, attempt_id), PendingLeaf { attempt_id, tenant_id, hash });
        self.leaves.insert(attempt_id, KeptLeaf { tenant_id, leaf, has_secret: true, index: None });
    }

    pub(super) fn leaf_hash(&self, attempt_id: AttemptId) -> Option<Hash> {
        self.leaves.get(&attempt_id).map(|kept| kept.leaf.hash)
    }

    /// Forgets what the leaf of an attempt can be opened with; whether it was known.
    pub(super) fn forget_secret(&mut self, attempt_id: AttemptId) -> bool {
        self.leaves.get_mut(&attempt_id).is_some_and(|kept| std::mem::replace(&mut kept.has_secret, false))
    }

    pub(super) fn release_leases(&mut self, owner: Option<InstanceId>) {
        if let Some(log) = &mut self.log
            && log.lease.is_some_and(|lease| owner.is_none_or(|owner| lease.owner == owner))
        {
            log.lease = None;
        }
    }

    fn integrate(&mut self, integration: Integration) -> bool {
        let size = integration.size();
        let Integration { log_id, epoch, old_size, root, leaves, tiles } = integration;
        let waits = |leaf: &PendingLeaf| self.pending.contains_key(&(log_id, leaf.attempt_id));
        let all_wait = leaves.iter().all(waits);
        let Ok(log) = self.get_mut(log_id) else { return false };
        if log.size != old_size || log.epoch != epoch || !all_wait {
            return false;
        }
        (log.size, log.root) = (size, root);
        for (index, leaf) in (old_size..).zip(&leaves) {
            self.pending.remove(&(log_id, leaf.attempt_id));
            self.entries.insert((log_id, index), leaf.attempt_id);
            if let Some(kept) = self.leaves.get_mut(&leaf.attempt_id) {
                kept.index = Some(index);
            }
        }
        for tile in tiles {
            self.tiles.insert((log_id, tile.id), tile.hashes);
        }
        true
    }
}
