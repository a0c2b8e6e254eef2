//! Storing events in memory.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{DeliveryRef, Timestamp};

use super::MemoryStore;
use super::state::{Queued, State, StoredDelivery, StoredEvent, UsedKey};
use crate::error::StoreError;
use crate::ingest::{IngestStore, Ingested, NewEvent};

#[async_trait]
impl IngestStore for MemoryStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        let mut state = self.lock();
        Ok(batch.iter().map(|new| state.insert_event(now, new)).collect())
    }
}

impl State {
    fn insert_event(&mut self, now: Timestamp, new: &NewEvent) -> Ingested {
        let event = &new.event;
        // The id comes before the key: a repeated try finds its own key used, even when that use has expired.
        if self.events.contains_key(&event.id) {
            return Ingested::Created;
        }
        if let Some(key) = &new.key {
            let scope = (event.endpoint_id, key.hash);
            if let Some(used) = self.keys.get(&scope).filter(|used| now < used.expires_at) {
                let original = used.event_id;
                return if original == event.id {
                    Ingested::Created
                } else if key.explicit && used.body_sha256 != event.body_sha256 {
                    Ingested::Conflict { original }
                } else {
                    Ingested::Replay { original }
                };
            }
            let used = UsedKey { event_id: event.id, body_sha256: event.body_sha256, expires_at: now + key.window };
            self.keys.insert(scope, used);
        }
        let mut deliveries: Vec<_> = new.deliveries.iter().map(|delivery| delivery.id).collect();
        deliveries.sort_unstable();
        let size_bytes = u64::try_from(event.body.len()).unwrap_or(u64::MAX);
        self.events.insert(event.id, StoredEvent { event: Arc::clone(event), deliveries, size_bytes, erased_at: None });
        for new in &new.deliveries {
            let delivery = DeliveryRef {
                id: new.id,
                event_id: event.id,
                endpoint_id: new.endpoint_id,
                tenant_id: event.tenant_id,
            };
            let stored = StoredDelivery { delivery, queued: None, given_up: new.ended, attempts: Vec::new() };
            self.deliveries.insert(new.id, stored);
            if new.ended.is_some() {
                continue;
            }
            let due_at = new.lease.map_or(now, |lease| lease.until);
            self.set_queued(new.id, Some(Queued { due_at, lease: new.lease, attempts_made: 0 }));
        }
        Ingested::Created
    }
}
