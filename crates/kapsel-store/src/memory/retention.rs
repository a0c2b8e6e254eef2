//! Removing what has had its time from memory.

use std::collections::BTreeSet;
use std::ops::Bound;

use async_trait::async_trait;
use kapsel_core::EventId;

use super::MemoryStore;
use super::state::State;
use crate::error::StoreError;
use crate::retention::{RetainedKind, RetentionPage, RetentionStep, RetentionStore};

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn retention_remove(&self, step: RetentionStep) -> Result<RetentionPage, StoreError> {
        Ok(self.lock().remove_old(&step))
    }
}

impl State {
    fn remove_old(&mut self, step: &RetentionStep) -> RetentionPage {
        let RetentionStep { kind, after, end, looks_max, .. } = *step;
        let mut page = RetentionPage { removed: 0, looked_up_to: after, is_end: true };
        if after >= end {
            return page;
        }
        let old: BTreeSet<EventId> = match kind {
            RetainedKind::Events => {
                let events = self.events.range((Bound::Excluded(after), Bound::Excluded(end)));
                events.filter(|(_, stored)| stored.event.tenant_id == step.tenant_id).map(|(id, _)| *id).collect()
            }
            RetainedKind::Attempts => {
                let names = self.deliveries.values().map(|stored| stored.delivery);
                let within = names.filter(|name| name.tenant_id == step.tenant_id).map(|name| name.event_id);
                within.filter(|id| *id > after && *id < end).collect()
            }
        };
        page.is_end = old.len() < looks_max;
        for event_id in old.into_iter().take(looks_max) {
            page.looked_up_to = event_id;
            page.removed += usize::from(self.remove(kind, event_id));
        }
        page
    }

    fn remove(&mut self, kind: RetainedKind, event_id: EventId) -> bool {
        match kind {
            RetainedKind::Events => {
                let is_queued = |id| self.deliveries.get(id).is_some_and(|stored| stored.queued.is_some());
                match self.events.get(&event_id) {
                    Some(stored) if !stored.deliveries.iter().any(is_queued) => self.events.remove(&event_id).is_some(),
                    Some(_) | None => false,
                }
            }
            RetainedKind::Attempts if self.events.contains_key(&event_id) => false,
            RetainedKind::Attempts => {
                let before = self.deliveries.len();
                self.deliveries.retain(|_, stored| stored.delivery.event_id != event_id);
                self.deliveries.len() < before
            }
        }
    }
}
