//! Keeping figures in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kapsel_core::{EndpointId, TenantId};

use super::MemoryStore;
use crate::error::StoreError;
use crate::statistics::{Hour, STATISTICS_PRUNED, Statistics, StatisticsChange, StatisticsStore, expired_before};

/// Figures by endpoint and hour, with the owner of the endpoint.
pub(super) type Figures = BTreeMap<(EndpointId, Hour), (TenantId, Statistics)>;

#[async_trait]
impl StatisticsStore for MemoryStore {
    async fn statistics_add(&self, hour: Hour, changes: Vec<StatisticsChange>) -> Result<(), StoreError> {
        let figures = &mut self.lock().figures;
        for StatisticsChange { tenant_id, endpoint_id, added } in changes {
            figures.entry((endpoint_id, hour)).or_insert((tenant_id, Statistics::default())).1 += added;
        }
        let end = expired_before(hour);
        let expired = figures.keys().filter(|(_, hour)| *hour < end).copied();
        let expired: Vec<_> = expired.take(STATISTICS_PRUNED).collect();
        for place in expired {
            figures.remove(&place);
        }
        Ok(())
    }

    async fn statistics_list(
        &self,
        tenant_id: TenantId,
        endpoint_id: EndpointId,
        from: Hour,
        until: Hour,
    ) -> Result<Vec<(Hour, Statistics)>, StoreError> {
        let state = self.lock();
        if from >= until {
            return Ok(Vec::new());
        }
        let hours = state.figures.range((endpoint_id, from)..(endpoint_id, until));
        let own = hours.filter(|(_, (owner, _))| *owner == tenant_id);
        Ok(own.map(|((_, hour), (_, figures))| (*hour, *figures)).collect())
    }
}
