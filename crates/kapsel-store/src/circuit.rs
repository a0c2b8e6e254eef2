//! The circuits of endpoints: what all instances know of a destination that fails or asks for a pause.
//!
//! An engine keeps circuits and makes no rules for them. It understands two things of one: until when its lane is
//! blocked and for whom it is not (`lane_scan` passes such lanes over), and its version (a claim that names another one
//! gets nothing from the lane, a write that does not follow it is not made).

use async_trait::async_trait;
use kapsel_core::{Circuit, EndpointId, TenantId, Timestamp};

use crate::error::StoreError;

/// The circuit of one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCircuit {
    /// The endpoint.
    pub endpoint_id: EndpointId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// The circuit.
    pub circuit: Circuit,
}

/// What a store does with circuits.
#[async_trait]
pub trait CircuitStore: Send + Sync {
    /// The circuits of all tenants that were written at `since` or later, by their own word (`changed_at`), in any order.
    /// Whoever goes on from the latest one has to look back by as much as clocks may differ and commits may take.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError>;

    /// The circuits of these endpoints, whoever owns them, in any order. What has none is not in the answer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError>;

    /// Writes circuits in one durable transaction, each only if the stored version is the one before its own (0 where
    /// none is stored) and the tenant has such an endpoint. Says for each, in order, whether it was written. An endpoint is
    /// named at most once.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: the outcome is unknown; read to see it.
    async fn circuit_put_if_version(&self, batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError>;

    /// The circuits of one tenant's endpoints among these. What has none is not in the answer.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn circuit_list(
        &self,
        tenant_id: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError>;

    /// Writes [`Circuit::reset`] in place of the stored circuit, whatever its version, or of none: what an instance has
    /// counted in its memory is void with it too. Endpoints that the tenant does not have are passed over.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError>;
}

/// Implements [`CircuitStore`] for a store in front of another one that has nothing to say about circuits: every call
/// goes to the field named.
#[macro_export]
macro_rules! delegate_circuit_store {
    ($store:ty, $inner:ident) => {
        #[async_trait::async_trait]
        impl $crate::CircuitStore for $store {
            async fn circuit_changes(
                &self,
                since: kapsel_core::Timestamp,
            ) -> Result<Vec<$crate::StoredCircuit>, $crate::StoreError> {
                self.$inner.circuit_changes(since).await
            }

            async fn circuit_read(
                &self,
                endpoints: Vec<kapsel_core::EndpointId>,
            ) -> Result<Vec<$crate::StoredCircuit>, $crate::StoreError> {
                self.$inner.circuit_read(endpoints).await
            }

            async fn circuit_put_if_version(
                &self,
                batch: Vec<$crate::StoredCircuit>,
            ) -> Result<Vec<bool>, $crate::StoreError> {
                self.$inner.circuit_put_if_version(batch).await
            }

            async fn circuit_list(
                &self,
                tenant_id: kapsel_core::TenantId,
                endpoints: Vec<kapsel_core::EndpointId>,
            ) -> Result<Vec<$crate::StoredCircuit>, $crate::StoreError> {
                self.$inner.circuit_list(tenant_id, endpoints).await
            }

            async fn circuit_reset(
                &self,
                tenant_id: kapsel_core::TenantId,
                id: kapsel_core::EndpointId,
                now: kapsel_core::Timestamp,
            ) -> Result<(), $crate::StoreError> {
                self.$inner.circuit_reset(tenant_id, id, now).await
            }
        }
    };
}
