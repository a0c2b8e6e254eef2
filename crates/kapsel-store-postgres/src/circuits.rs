//! The circuits of endpoints.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{Circuit, EndpointId, InstanceId, TenantId, Timestamp};
use kapsel_store::{CircuitStore, StoreError, StoredCircuit};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::{Failure, corrupt};
use crate::rows::{StoredId, count, get, id, stored_version, time, time_opt, version};
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl CircuitStore for PostgresStore {
    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError> {
        let read = |session: Arc<Session>| async move {
            circuits(&session.query(&sql::CIRCUIT_CHANGES, &[&since.unix_micros()]).await?)
        };
        self.work().with(read).await
    }

    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError> {
        let endpoints: Vec<Uuid> = endpoints.iter().map(StoredId::stored).collect();
        let read =
            |session: Arc<Session>| async move { circuits(&session.query(&sql::CIRCUIT_READ, &[&endpoints]).await?) };
        self.claim().with(read).await
    }

    async fn circuit_put_if_version(&self, mut batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError> {
        let asked: Vec<EndpointId> = batch.iter().map(|stored| stored.endpoint_id).collect();
        // One order for everybody who locks many rows.
        batch.sort_unstable_by_key(|stored| stored.endpoint_id);
        let batch = &batch;
        let put = |session: Arc<Session>| async move { put(&session, batch).await };
        let written = self.until_no_collision(self.settle(), put).await?;
        Ok(asked.iter().map(|id| written.contains(id)).collect())
    }

    async fn circuit_list(
        &self,
        tenant_id: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError> {
        let endpoints: Vec<Uuid> = endpoints.iter().map(StoredId::stored).collect();
        let list = |session: Arc<Session>| async move {
            circuits(&session.query(&sql::CIRCUIT_LIST, &[&tenant_id.stored(), &endpoints]).await?)
        };
        self.in_tenant(tenant_id, list).await
    }

    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let reset = |session: Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&tenant_id.stored(), &id.stored(), &now.unix_micros()];
            session.execute(&sql::CIRCUIT_RESET, &parameters).await
        };
        self.in_tenant(tenant_id, reset).await?;
        Ok(())
    }
}

async fn put(session: &Session, batch: &[StoredCircuit]) -> Result<HashSet<EndpointId>, Failure> {
    let circuits = || batch.iter().map(|stored| &stored.circuit);
    let micros = |time: Option<Timestamp>| time.map(Timestamp::unix_micros);
    let opened_times = |circuit: &Circuit| i32::try_from(circuit.opened_times).unwrap_or(i32::MAX);
    let endpoint_id: Vec<Uuid> = batch.iter().map(|stored| stored.endpoint_id.stored()).collect();
    let tenant_id: Vec<Uuid> = batch.iter().map(|stored| stored.tenant_id.stored()).collect();
    let state: Vec<&str> = circuits().map(|circuit| circuit.state.as_str()).collect();
    let blocked_until: Vec<Option<i64>> = circuits().map(|circuit| micros(circuit.blocked_until)).collect();
    let prober: Vec<Option<Uuid>> = circuits().map(|circuit| circuit.prober.as_ref().map(InstanceId::stored)).collect();
    let opened_at: Vec<Option<i64>> = circuits().map(|circuit| micros(circuit.opened_at)).collect();
    let opened_times: Vec<i32> = circuits().map(opened_times).collect();
    let failing_since: Vec<Option<i64>> = circuits().map(|circuit| micros(circuit.failing_since)).collect();
    let changed_at: Vec<i64> = circuits().map(|circuit| circuit.changed_at.unix_micros()).collect();
    let version: Vec<i64> = circuits().map(|circuit| stored_version(circuit.version)).collect();
    let rows = session
        .query(
            &sql::CIRCUIT_PUT_IF_VERSION,
            &[
                &endpoint_id,
                &tenant_id,
                &state,
                &blocked_until,
                &prober,
                &opened_at,
                &opened_times,
                &failing_since,
                &changed_at,
                &version,
            ],
        )
        .await?;
    rows.iter().map(|row| id(row, 0)).collect()
}

fn circuits(rows: &[Row]) -> Result<Vec<StoredCircuit>, Failure> {
    rows.iter().map(circuit).collect()
}

fn circuit(row: &Row) -> Result<StoredCircuit, Failure> {
    let state: &str = get(row, 2)?;
    let prober: Option<Uuid> = get(row, 4)?;
    let circuit = Circuit {
        state: state.parse().map_err(|error| corrupt("a circuit's state", error))?,
        blocked_until: time_opt(row, 3)?,
        prober: prober.map(InstanceId::from),
        opened_at: time_opt(row, 5)?,
        opened_times: count(row, 6)?,
        failing_since: time_opt(row, 7)?,
        changed_at: time(row, 8)?,
        version: version(row, 9)?,
    };
    Ok(StoredCircuit { endpoint_id: id(row, 0)?, tenant_id: id(row, 1)?, circuit })
}
