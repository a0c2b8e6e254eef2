//! Managing endpoints, and the calls that look at events.

use async_trait::async_trait;
use kapsel_core::{Endpoint, EndpointId, Event, EventId, Sealer, TenantId, Timestamp};
use kapsel_store::{
    AdminStore, ChangeSeq, EndpointChange, EventDetail, EventFilter, EventSummary, QueueUsage, StatusSet, StoreError,
    sealing,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Failure;
use crate::events::{self, Cursor};
use crate::job::{Kind, Weight};
use crate::rows::{self, corrupt, count, id, stored, stored_count, stored_status};
use crate::statements as sql;
use crate::store::SqliteStore;

#[async_trait]
impl AdminStore for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let beat = |connection: &Connection| {
            connection.prepare_cached(sql::PULSE_BEAT)?.execute([])?;
            Ok(())
        };
        self.writer().write(Kind::Sure, Weight::ROW, beat).await
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        let stored = StoredEndpoint::new(endpoint, self.sealer())?;
        self.writer().write(Kind::MayRefuse, Weight::ROW, move |connection| stored.insert(connection)).await
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        let sealer = self.sealer().clone();
        let get = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ENDPOINT_GET)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), id.as_bytes()])?;
            let row = rows.next()?.ok_or(StoreError::NotFound)?;
            rows::endpoint(row, &sealer)
        };
        self.readers().read(get).await
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        // Empty bytes come before every id.
        let after: Vec<u8> = after.map(|id| id.as_bytes().to_vec()).unwrap_or_default();
        let sealer = self.sealer().clone();
        let list = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ENDPOINT_LIST)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), after, stored(limit)])?;
            let mut endpoints = Vec::new();
            while let Some(row) = rows.next()? {
                endpoints.push(rows::endpoint(row, &sealer)?);
            }
            Ok(endpoints)
        };
        self.readers().read(list).await
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        let stored = StoredEndpoint::new(endpoint, self.sealer())?;
        self.writer()
            .write(Kind::MayRefuse, Weight::ROW, move |connection| stored.update(connection, expected_version))
            .await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let delete = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ENDPOINT_DELETE)?;
            if statement.execute(params![tenant_id.as_bytes(), id.as_bytes(), now.unix_micros()])? == 0 {
                return Err(StoreError::NotFound.into());
            }
            let mut statement = connection.prepare_cached(sql::CIRCUIT_DELETE)?;
            statement.execute(params![tenant_id.as_bytes(), id.as_bytes()])?;
            Ok(())
        };
        self.writer().write(Kind::MayRefuse, Weight::ROW, delete).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        let sealer = self.sealer().clone();
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::ENDPOINT_CHANGES)?;
            let mut rows = statement.query(params![since.0, stored(limit)])?;
            let mut changes = Vec::new();
            while let Some(row) = rows.next()? {
                let is_deleted: bool = row.get(10)?;
                let mut is_unreadable = false;
                let endpoint = match rows::endpoint(row, &sealer) {
                    _ if is_deleted => None,
                    Ok(endpoint) => Some(Box::new(endpoint)),
                    // One that cannot be read must not hold up the others.
                    Err(Failure::Store(error)) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a stored endpoint cannot be read");
                        is_unreadable = true;
                        None
                    }
                    Err(failure) => return Err(failure),
                };
                let (seq, id) = (ChangeSeq(row.get(9)?), id(row, 0)?);
                changes.push(EndpointChange { seq, id, endpoint, is_unreadable });
            }
            Ok(changes)
        };
        self.readers().read(read).await
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        self.readers().read(move |connection| events::get(connection, tenant_id, id, now)).await
    }

    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 || filter.status.is_empty() {
            return Ok(found);
        }
        let mut cursor = Cursor::new(tenant_id, filter, now);
        loop {
            // A filter may pass few of many events: a snapshot for each part keeps the log from growing meanwhile.
            let read = move |connection: &Connection| {
                let has_more = cursor.read_on(connection, limit, &mut found)?;
                Ok((cursor, found, has_more))
            };
            let has_more;
            (cursor, found, has_more) = self.readers().read(read).await?;
            if !has_more {
                return Ok(found);
            }
        }
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        let look = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::QUEUE_USAGE)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), stored_count(rows_max)])?;
            let row = rows.next()?.ok_or(StoreError::NotFound)?;
            Ok(QueueUsage { deliveries: count(row, 0)?, bytes: count(row, 1)? })
        };
        self.readers().read(look).await
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::EVENT_READ)?;
            let mut rows = statement.query(params![tenant_id.as_bytes(), id.as_bytes()])?;
            rows::event(rows.next()?.ok_or(StoreError::NotFound)?, tenant_id, id)
        };
        self.readers().read(read).await
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        let requeue = move |connection: &Connection| events::requeue(connection, tenant_id, id, StatusSet::ALL, now);
        self.writer().write(Kind::MayRefuse, Weight::ROW, requeue).await
    }
}

/// An endpoint in the form of its columns, made before the writer is troubled with it.
struct StoredEndpoint {
    endpoint: Endpoint,
    config: String,
    secrets: Vec<u8>,
    version: i64,
}

impl StoredEndpoint {
    fn new(endpoint: Endpoint, sealer: &Sealer) -> Result<Self, StoreError> {
        let unfit = |error| StoreError::corrupt("an endpoint that cannot be stored", error);
        let config = serde_json::to_string(&endpoint.config).map_err(unfit)?;
        let secrets = sealing::seal(sealer, endpoint.tenant_id, endpoint.id, &endpoint.secrets)?;
        let version = to_stored_version(endpoint.version)?;
        Ok(StoredEndpoint { endpoint, config, secrets, version })
    }

    fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let endpoint = &self.endpoint;
        let (status, disabled_reason) = stored_status(endpoint.status);
        let inserted = connection.prepare_cached(sql::ENDPOINT_INSERT)?.execute(params![
            endpoint.id.as_bytes(),
            endpoint.tenant_id.as_bytes(),
            self.config,
            self.secrets,
            status,
            disabled_reason,
            endpoint.created_at.unix_micros(),
            endpoint.updated_at.unix_micros(),
            self.version,
        ])?;
        if inserted == 0 { Err(StoreError::Conflict("the endpoint id is taken").into()) } else { Ok(()) }
    }

    fn update(&self, connection: &Connection, expected_version: u64) -> Result<(), Failure> {
        let endpoint = &self.endpoint;
        let key = params![endpoint.tenant_id.as_bytes(), endpoint.id.as_bytes()];
        let found: Option<i64> =
            connection.prepare_cached(sql::ENDPOINT_VERSION)?.query_row(key, |row| row.get(0)).optional()?;
        let found = found.ok_or(StoreError::NotFound)?;
        let found = u64::try_from(found).map_err(|error| corrupt("an endpoint's version", error))?;
        if found != expected_version {
            return Err(StoreError::Conflict("the endpoint was changed meanwhile").into());
        }
        let (status, disabled_reason) = stored_status(endpoint.status);
        connection.prepare_cached(sql::ENDPOINT_UPDATE)?.execute(params![
            endpoint.tenant_id.as_bytes(),
            endpoint.id.as_bytes(),
            self.config,
            self.secrets,
            status,
            disabled_reason,
            endpoint.updated_at.unix_micros(),
            self.version,
        ])?;
        Ok(())
    }
}

fn to_stored_version(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|error| StoreError::corrupt("an endpoint's version", error))
}
