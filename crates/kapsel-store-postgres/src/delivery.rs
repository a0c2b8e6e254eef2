//! Working off the queue: claiming deliveries, giving leases back, and what is tidied now and then.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{DeliveryRef, EndpointId, FinalReason, InstanceId, Lease, Timestamp};
use kapsel_store::{
    ClaimRequest, ClaimedDelivery, DeliveryStore, Lane, LaneScan, QueueLook, Settled, Settlement, StoreError,
};
use uuid::Uuid;

use crate::attestation::LOG_NAME;
use crate::error::Failure;
use crate::rows::{self, StoredId, count, get, id, stored, stored_version, time, version};
use crate::session::Session;
use crate::statements as sql;
use crate::store::PostgresStore;

#[async_trait]
impl DeliveryStore for PostgresStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        if limit == 0 {
            return Ok(LaneScan::default());
        }
        // No endpoint has the smallest id.
        let after = after.unwrap_or(EndpointId::MIN).stored();
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let scan = |session: Arc<Session>| async move {
            self.lapse().run(&session, now).await?;
            let mut scan = LaneScan::default();
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                [&now.unix_micros(), &after, &limit, &viewer.stored()];
            for row in &session.query(&sql::LANE_SCAN, &parameters).await? {
                let due_at = time(row, 1)?;
                if due_at <= now {
                    let (endpoint_id, tenant_id) = (id(row, 0)?, id(row, 2)?);
                    scan.due.push(Lane { endpoint_id, tenant_id, due_at, circuit_version: version(row, 3)? });
                } else {
                    scan.next_due_at = Some(scan.next_due_at.map_or(due_at, |earliest| earliest.min(due_at)));
                }
            }
            Ok(scan)
        };
        self.claim().with(scan).await
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        let tenants_max = i32::try_from(QueueLook::TENANTS_MAX).unwrap_or(i32::MAX);
        let look = |session: Arc<Session>| async move {
            let counted = session.query(&sql::QUEUE_COUNT, &[&stored(rows_max)]).await?;
            let oldest = session.query(&sql::QUEUE_OLDEST, &[&tenants_max]).await?;
            let queued = counted.first().map_or(Ok(0), |row| rows::size(row, 0))?;
            let oldest = oldest.first().map(|row| id(row, 0)).transpose()?;
            Ok(QueueLook { queued: usize::try_from(queued).unwrap_or(rows_max), oldest })
        };
        // On the connection that nobody who delivers waits for.
        self.upkeep().with(look).await
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let request = &request;
        let claim = |session: Arc<Session>| async move {
            self.lapse().run(&session, now).await?;
            claim(&session, now, request).await
        };
        self.claim().with(claim).await
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        let release = |session: Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&now.unix_micros(), &lease.until.unix_micros(), &lease.token.0];
            session.execute(&sql::QUEUE_RELEASE_CLAIM, &parameters).await
        };
        let released = self.settle().with(release).await?;
        Ok(usize::try_from(released).unwrap_or(usize::MAX))
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.settle_batch(now, &batch).await
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        mut batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        // One order for everybody who locks many rows.
        batch.sort_unstable_by_key(|(delivery, _)| (delivery.tenant_id, delivery.event_id, delivery.id));
        let tenant_id: Vec<Uuid> = batch.iter().map(|(delivery, _)| delivery.tenant_id.stored()).collect();
        let event_id: Vec<Uuid> = batch.iter().map(|(delivery, _)| delivery.event_id.stored()).collect();
        let delivery_id: Vec<Uuid> = batch.iter().map(|(delivery, _)| delivery.id.stored()).collect();
        let token: Vec<i64> = batch.iter().map(|(_, lease)| lease.token.0).collect();
        let release = |session: Arc<Session>| async move {
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&tenant_id, &event_id, &delivery_id, &token, &now.unix_micros()];
            session.execute(&sql::QUEUE_RELEASE_IF_LEASED, &parameters).await
        };
        self.settle().with(release).await?;
        Ok(())
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        let owner = owner.map(|owner| owner.stored());
        let release = |session: Arc<Session>| async move {
            session.execute(&sql::CIRCUIT_RELEASE, &[&now.unix_micros(), &owner]).await?;
            session.execute(&sql::LOG_LEASE_RELEASE, &[&owner, &LOG_NAME]).await?;
            session.execute(&sql::QUEUE_RELEASE_ALL, &[&now.unix_micros(), &owner]).await
        };
        let freed = self.work().with(release).await?;
        Ok(usize::try_from(freed).unwrap_or(usize::MAX))
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let reason = FinalReason::EndpointDeleted.as_str();
        let discard = |session: Arc<Session>| async move {
            self.lapse().run(&session, now).await?;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
                [&now.unix_micros(), &stored(limit), &reason];
            let row = session.query_opt(&sql::DELIVERY_DISCARD_OF_DELETED, &parameters).await?;
            row.map_or(Ok(0), |row| get::<i64>(&row, 0))
        };
        let discarded = self.work().with(discard).await?;
        Ok(usize::try_from(discarded).unwrap_or(0))
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.prune(now, limit).await
    }
}

async fn claim(session: &Session, now: Timestamp, request: &ClaimRequest) -> Result<Vec<ClaimedDelivery>, Failure> {
    let endpoint_id: Vec<Uuid> = request.lanes.iter().map(|lane| lane.endpoint_id.stored()).collect();
    let quota: Vec<i64> = request.lanes.iter().map(|lane| stored(lane.quota)).collect();
    let version: Vec<i64> = request.lanes.iter().map(|lane| stored_version(lane.circuit_version)).collect();
    let lease = request.lease;
    let rows = session
        .query(
            &sql::DELIVERY_CLAIM_DUE,
            &[
                &endpoint_id,
                &quota,
                &now.unix_micros(),
                &stored(request.body_bytes_max),
                &lease.until.unix_micros(),
                &lease.owner.stored(),
                &lease.token.0,
                &version,
            ],
        )
        .await?;
    let mut complete = Vec::with_capacity(rows.len());
    for row in &rows {
        let delivery =
            DeliveryRef { tenant_id: id(row, 0)?, event_id: id(row, 1)?, id: id(row, 2)?, endpoint_id: id(row, 3)? };
        match rows::event(row, 6, delivery.tenant_id, delivery.event_id) {
            Ok(event) => complete.push(ClaimedDelivery {
                delivery,
                event: Arc::new(event),
                lease,
                attempts_total: count(row, 4)?,
                attempts_made: count(row, 5)?,
            }),
            // One damaged or missing event must not hold up those claimed beside it.
            Err(failure) => {
                tracing::error!(event_id = %delivery.event_id, ?failure, "a queued event cannot be read");
            }
        }
    }
    Ok(complete)
}
