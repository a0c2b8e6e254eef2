//! The circuits of endpoints.

use async_trait::async_trait;
use kapsel_core::{Circuit, EndpointId, InstanceId, TenantId, Timestamp};
use kapsel_store::{CircuitStore, StoreError, StoredCircuit};
use rusqlite::{Connection, Row, Statement, params};

use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::rows::{StoredId, corrupt, id, time, time_opt};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl CircuitStore for SqliteStore {
    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::CIRCUIT_CHANGES)?;
            circuits(&mut statement, params![since.unix_micros()])
        };
        self.readers().read(read).await
    }

    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::CIRCUIT_READ)?;
            let mut found = Vec::new();
            for endpoint_id in &endpoints {
                found.append(&mut circuits(&mut statement, params![endpoint_id.as_bytes()])?);
            }
            Ok(found)
        };
        self.readers().read(read).await
    }

    async fn circuit_put_if_version(&self, batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError> {
        let weight = Weight { rows: batch.len(), bytes: 0 };
        let put = move |connection: &Connection| batch.iter().map(|stored| put(connection, stored)).collect();
        self.writer().write(Kind::Sure, weight, put).await
    }

    async fn circuit_list(
        &self,
        tenant_id: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError> {
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::CIRCUIT_LIST)?;
            let mut found = Vec::new();
            for endpoint_id in &endpoints {
                found.append(&mut circuits(&mut statement, params![tenant_id.as_bytes(), endpoint_id.as_bytes()])?);
            }
            Ok(found)
        };
        self.readers().read(list).await
    }

    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let reset = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::CIRCUIT_RESET)?;
            statement.execute(params![tenant_id.as_bytes(), id.as_bytes(), now.unix_micros()])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, reset).await
    }
}

fn put(connection: &Connection, stored: &StoredCircuit) -> Result<bool, Failure> {
    let circuit = &stored.circuit;
    let micros = |time: Option<Timestamp>| time.map(Timestamp::unix_micros);
    let mut statement = connection.prepare_cached(sql::CIRCUIT_PUT_IF_VERSION)?;
    let written = statement.execute(params![
        stored.endpoint_id.as_bytes(),
        stored.tenant_id.as_bytes(),
        circuit.state.as_str(),
        micros(circuit.blocked_until),
        circuit.prober.as_ref().map(InstanceId::as_bytes),
        micros(circuit.opened_at),
        circuit.opened_times,
        micros(circuit.failing_since),
        circuit.changed_at.unix_micros(),
        stored_version(circuit.version),
    ])?;
    Ok(written > 0)
}

/// A version as SQLite stores it.
pub(crate) fn stored_version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn circuits(statement: &mut Statement<'_>, parameters: impl rusqlite::Params) -> Result<Vec<StoredCircuit>, Failure> {
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(circuit(row)?);
    }
    Ok(found)
}

fn circuit(row: &Row<'_>) -> Result<StoredCircuit, Failure> {
    let state: String = row.get(2)?;
    let prober: Option<[u8; 16]> = row.get(4)?;
    let version: i64 = row.get(9)?;
    let circuit = Circuit {
        state: state.parse().map_err(|error| corrupt("a circuit's state", error))?,
        blocked_until: time_opt(row, 3)?,
        prober: prober.map(InstanceId::from_stored),
        opened_at: time_opt(row, 5)?,
        opened_times: row.get(6)?,
        failing_since: time_opt(row, 7)?,
        changed_at: time(row, 8)?,
        version: u64::try_from(version).map_err(|error| corrupt("a circuit's version", error))?,
    };
    Ok(StoredCircuit { endpoint_id: id(row, 0)?, tenant_id: id(row, 1)?, circuit })
}
