//! Managing endpoints, and the calls that look at events.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{Endpoint, EndpointId, Event, EventId, Sealer, TenantId, Timestamp};
use kapsel_store::{
    AdminStore, ChangeSeq, EndpointChange, EventDetail, EventFilter, EventSummary, QueueUsage, StoreError, sealing,
};

use crate::error::Failure;
use crate::events::{self, Cursor};
use crate::replays::stored_count;
use crate::rows::{self, StoredId, get, id, stored, stored_status};
use crate::session::Session;
use crate::settle::next_change;
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl AdminStore for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let beat = |session: Arc<Session>| async move { session.execute(&sql::PULSE_BEAT, &[]).await };
        self.work().with(beat).await?;
        Ok(())
    }

    fn alarms(&self) -> Vec<String> {
        self.partitions().alarms()
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        let stored = StoredEndpoint::new(endpoint, self.sealer())?;
        self.in_tenant(stored.endpoint.tenant_id, |session| async move { stored.insert(&session).await }).await
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        let get = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::ENDPOINT_GET, &[&tenant_id.stored(), &id.stored()]).await?;
            rows::endpoint(&row.ok_or(StoreError::NotFound)?, self.sealer())
        };
        self.in_tenant(tenant_id, get).await
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        // No endpoint has the smallest id.
        let after = after.unwrap_or(EndpointId::MIN).stored();
        let list = |session: Arc<Session>| async move {
            let rows = session.query(&sql::ENDPOINT_LIST, &[&tenant_id.stored(), &after, &stored(limit)]).await?;
            rows.iter().map(|row| rows::endpoint(row, self.sealer())).collect()
        };
        self.in_tenant(tenant_id, list).await
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        let stored = StoredEndpoint::new(endpoint, self.sealer())?;
        let tenant_id = stored.endpoint.tenant_id;
        self.in_tenant(tenant_id, |session| async move { stored.update(&session, expected_version).await }).await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        let delete = |session: Arc<Session>| async move {
            let seq = next_change(&session).await?;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&tenant_id.stored(), &id.stored(), &now.unix_micros(), &seq];
            if session.execute(&sql::ENDPOINT_DELETE, &parameters).await? == 0 {
                return Err(StoreError::NotFound.into());
            }
            session.execute(&sql::CIRCUIT_DELETE, &[&tenant_id.stored(), &id.stored()]).await?;
            Ok(())
        };
        self.in_tenant(tenant_id, delete).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        let read = |session: Arc<Session>| async move {
            let rows = session.query(&sql::ENDPOINT_CHANGES, &[&since.0, &stored(limit)]).await?;
            let change = |row: &tokio_postgres::Row| {
                let is_deleted: bool = get(row, 9)?;
                let mut is_unreadable = false;
                let endpoint = match rows::endpoint(row, self.sealer()) {
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
                Ok(EndpointChange { seq: ChangeSeq(get(row, 8)?), id: id(row, 0)?, endpoint, is_unreadable })
            };
            rows.iter().map(change).collect()
        };
        self.work().with(read).await
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        self.in_snapshot(tenant_id, |session| async move { events::get(&session, tenant_id, id, now).await }).await
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
            // A filter may pass few of many events: a snapshot for each part lets old rows go meanwhile.
            let read = |session: Arc<Session>| async move {
                let has_more = cursor.read_on(&session, limit, &mut found).await?;
                Ok((cursor, found, has_more))
            };
            let has_more;
            (cursor, found, has_more) = self.in_snapshot(tenant_id, read).await?;
            if !has_more {
                return Ok(found);
            }
        }
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        let look = |session: Arc<Session>| async move {
            let row = session.query_opt(&sql::QUEUE_USAGE, &[&tenant_id.stored(), &stored_count(rows_max)]).await?;
            let row = row.ok_or(StoreError::NotFound)?;
            Ok(QueueUsage { deliveries: rows::size(&row, 0)?, bytes: rows::size(&row, 1)? })
        };
        self.in_tenant(tenant_id, look).await
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        self.in_tenant(tenant_id, |session| async move { events::read(&session, tenant_id, id).await }).await
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.in_tenant_anew(tenant_id, |session| async move { events::requeue(&session, tenant_id, id, now).await })
            .await
    }
}

/// An endpoint in the form of its columns, made before a connection is taken for it.
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
        let version =
            i64::try_from(endpoint.version).map_err(|error| StoreError::corrupt("an endpoint's version", error))?;
        Ok(StoredEndpoint { endpoint, config, secrets, version })
    }

    async fn insert(&self, session: &Session) -> Result<(), Failure> {
        let endpoint = &self.endpoint;
        let (status, disabled_reason) = stored_status(endpoint.status);
        let seq = next_change(session).await?;
        let inserted = session
            .execute(
                &sql::ENDPOINT_INSERT,
                &[
                    &endpoint.tenant_id.stored(),
                    &endpoint.id.stored(),
                    &self.config,
                    &self.secrets,
                    &status,
                    &disabled_reason,
                    &endpoint.created_at.unix_micros(),
                    &endpoint.updated_at.unix_micros(),
                    &self.version,
                    &seq,
                ],
            )
            .await?;
        if inserted == 0 { Err(StoreError::Conflict("the endpoint id is taken").into()) } else { Ok(()) }
    }

    async fn update(&self, session: &Session, expected_version: u64) -> Result<(), Failure> {
        let endpoint = &self.endpoint;
        let (tenant_id, id) = (endpoint.tenant_id.stored(), endpoint.id.stored());
        // Before the row itself: everybody who changes endpoints takes the counter first.
        let seq = next_change(session).await?;
        let found = session.query_opt(&sql::ENDPOINT_VERSION, &[&tenant_id, &id]).await?;
        if rows::version(&found.ok_or(StoreError::NotFound)?, 0)? != expected_version {
            return Err(StoreError::Conflict("the endpoint was changed meanwhile").into());
        }
        let (status, disabled_reason) = stored_status(endpoint.status);
        session
            .execute(
                &sql::ENDPOINT_UPDATE,
                &[
                    &tenant_id,
                    &id,
                    &self.config,
                    &self.secrets,
                    &status,
                    &disabled_reason,
                    &endpoint.updated_at.unix_micros(),
                    &self.version,
                    &seq,
                ],
            )
            .await?;
        Ok(())
    }
}
