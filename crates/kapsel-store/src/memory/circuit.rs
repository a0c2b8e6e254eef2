//! Circuits in memory.

use async_trait::async_trait;
use kapsel_core::{EndpointId, InstanceId, TenantId, Timestamp};

use super::MemoryStore;
use super::state::State;
use crate::circuit::{CircuitStore, StoredCircuit};
use crate::error::StoreError;

#[async_trait]
impl CircuitStore for MemoryStore {
    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError> {
        let state = self.lock();
        Ok(state.circuits.values().filter(|stored| stored.circuit.changed_at >= since).copied().collect())
    }

    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError> {
        let state = self.lock();
        Ok(endpoints.iter().filter_map(|id| state.circuits.get(id)).copied().collect())
    }

    async fn circuit_put_if_version(&self, batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError> {
        let mut state = self.lock();
        Ok(batch.into_iter().map(|circuit| state.put_circuit(circuit)).collect())
    }

    async fn circuit_list(
        &self,
        tenant_id: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError> {
        let state = self.lock();
        let of_tenant = |stored: &&StoredCircuit| stored.tenant_id == tenant_id;
        Ok(endpoints.iter().filter_map(|id| state.circuits.get(id)).filter(of_tenant).copied().collect())
    }

    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.endpoint(id).is_some_and(|endpoint| endpoint.tenant_id == tenant_id) {
            let present = state.circuits.get(&id).map(|stored| stored.circuit).unwrap_or_default();
            state.circuits.insert(id, StoredCircuit { endpoint_id: id, tenant_id, circuit: present.reset(now) });
        }
        Ok(())
    }
}

impl State {
    /// The version of the circuit that is stored for `id`.
    pub(super) fn circuit_version(&self, id: EndpointId) -> u64 {
        self.circuits.get(&id).map_or(0, |stored| stored.circuit.version)
    }

    /// Ends the rights to probe of `owner`, or of everybody: their holders are dead.
    pub(super) fn release_rights(&mut self, now: Timestamp, owner: Option<InstanceId>) {
        for stored in self.circuits.values_mut() {
            let is_freed = |prober: InstanceId| owner.is_none_or(|owner| owner == prober);
            if stored.circuit.prober.is_some_and(is_freed) {
                stored.circuit = stored.circuit.released(now);
            }
        }
    }

    fn put_circuit(&mut self, new: StoredCircuit) -> bool {
        let follows = new.circuit.version == self.circuit_version(new.endpoint_id) + 1;
        let endpoint = self.endpoint(new.endpoint_id);
        let is_written = follows && endpoint.is_some_and(|endpoint| endpoint.tenant_id == new.tenant_id);
        if is_written {
            self.circuits.insert(new.endpoint_id, new);
        }
        is_written
    }
}
