//! Working off the queue: claiming deliveries, settling attempts, giving leases back.

use std::sync::Arc;

use async_trait::async_trait;
use kapsel_core::{DeliveryRef, EndpointId, Event, FinalReason, InstanceId, Lease, Timestamp};
use kapsel_store::{
    ClaimRequest, ClaimedDelivery, DeliveryStore, LaneScan, QueueLook, Settled, Settlement, StoreError,
};
use rusqlite::{Connection, params};

use crate::attestation::release_leases;
use crate::circuits::stored_version;
use crate::error::Failure;
use crate::job::{Kind, Weight};
use crate::lapse::Lapse;
use crate::rows::{self, id, stored};
use crate::settle::{insert_outcome, settle_batch, wherever_it_is};
use crate::statements as sql;
use crate::store::SqliteStore;
use crate::{idempotency, lanes};

/// What a claim counts for at most in a shared transaction.
const CLAIM_ROWS_COUNTED: usize = 128;

#[async_trait]
impl DeliveryStore for SqliteStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        self.put_back_ended(now).await?;
        self.readers().read(move |connection| lanes::scan(connection, now, viewer, after, limit)).await
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        self.readers().read(move |connection| lanes::look(connection, rows_max)).await
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let lease = request.lease;
        // Most lanes hold less than their quota; counted in full, claims would hardly ever share a transaction.
        let rows = request.lanes.iter().map(|lane| lane.quota).fold(0, usize::saturating_add).min(CLAIM_ROWS_COUNTED);
        let lapse = Arc::clone(self.lapse());
        let claim = move |connection: &Connection| {
            let look = lapse.put_back(connection, now)?;
            Ok((claim(connection, &lapse, now, &request)?, look))
        };
        let (claimed, look) = self.writer().write(Kind::Sure, Weight { rows, bytes: 0 }, claim).await?;
        self.lapse().conclude(look);
        // Events never change, so they are read here without holding up the writer.
        self.readers().read(move |connection| with_events(connection, lease, claimed)).await
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        let heads = batch.iter().filter_map(|settlement| settlement.attempt.outcome.head());
        let weight = Weight { rows: batch.len(), bytes: heads.map(|head| head.body.len()).sum() };
        self.writer().write(Kind::Sure, weight, move |connection| settle_batch(connection, now, &batch)).await
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        let weight = Weight { rows: batch.len(), bytes: 0 };
        let release = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::QUEUE_RELEASE_IF_LEASED)?;
            for (delivery, lease) in &batch {
                wherever_it_is(|is_leased| {
                    statement.execute(params![
                        delivery.tenant_id.as_bytes(),
                        delivery.event_id.as_bytes(),
                        delivery.id.as_bytes(),
                        lease.token.0,
                        is_leased,
                        now.unix_micros(),
                    ])
                })?;
            }
            Ok(())
        };
        self.writer().write(Kind::Sure, weight, release).await
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        let release = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql::QUEUE_RELEASE_CLAIM)?;
            Ok(statement.execute(params![now.unix_micros(), lease.until.unix_micros(), lease.token.0])?)
        };
        self.writer().write(Kind::Sure, Weight::ROW, release).await
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        let release = move |connection: &Connection| {
            let parameters = params![now.unix_micros(), owner.as_ref().map(InstanceId::as_bytes)];
            connection.prepare_cached(sql::CIRCUIT_RELEASE)?.execute(parameters)?;
            release_leases(connection, owner)?;
            Ok(connection.prepare_cached(sql::QUEUE_RELEASE_ALL)?.execute(parameters)?)
        };
        self.writer().write(Kind::Sure, Weight::ROW, release).await
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.put_back_ended(now).await?;
        let lanes = self.readers().read(move |connection| lanes::of_deleted_endpoints(connection, now)).await?;
        if lanes.is_empty() {
            return Ok(0);
        }
        let discard = move |connection: &Connection| discard(connection, now, &lanes, limit);
        self.writer().write(Kind::Sure, Weight { rows: limit, bytes: 0 }, discard).await
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let from = self.prune_position();
        let prune = move |connection: &Connection| idempotency::prune(connection, now, limit, from);
        let (pruned, position) = self.writer().write(Kind::Sure, Weight { rows: limit, bytes: 0 }, prune).await?;
        self.set_prune_position(position);
        Ok(pruned)
    }
}

impl SqliteStore {
    /// Has deliveries whose lease has ended by `now` put back into their lanes.
    async fn put_back_ended(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.lapse().is_due(now) {
            let lapse = Arc::clone(self.lapse());
            let put_back = move |connection: &Connection| lapse.put_back(connection, now);
            let look = self.writer().write(Kind::Sure, Weight::ROW, put_back).await?;
            self.lapse().conclude(look);
        }
        Ok(())
    }
}

/// A claimed delivery whose event is still to be read.
struct Claimed {
    delivery: DeliveryRef,
    attempts_total: u32,
    attempts_made: u32,
}

fn claim(
    connection: &Connection,
    lapse: &Lapse,
    now: Timestamp,
    request: &ClaimRequest,
) -> Result<Vec<Claimed>, Failure> {
    lapse.grant(request.lease.until);
    let mut is_open = connection.prepare_cached(sql::LANE_IS_OPEN)?;
    let mut due = connection.prepare_cached(sql::LANE_DUE)?;
    let mut lease = connection.prepare_cached(sql::QUEUE_LEASE)?;
    let mut claimed: Vec<Claimed> = Vec::new();
    let mut body_bytes = 0_usize;
    for lane in &request.lanes {
        let endpoint_id = lane.endpoint_id;
        if !is_open.exists(params![endpoint_id.as_bytes(), stored_version(lane.circuit_version)])? {
            continue;
        }
        // Read before the first one is taken out of the lane.
        let mut found: Vec<(usize, Claimed)> = Vec::new();
        let mut rows = due.query(params![endpoint_id.as_bytes(), now.unix_micros(), stored(lane.quota)])?;
        while let Some(row) = rows.next()? {
            let delivery = DeliveryRef { tenant_id: id(row, 0)?, event_id: id(row, 1)?, id: id(row, 2)?, endpoint_id };
            let size_bytes: i64 = row.get(5)?;
            let next = Claimed { delivery, attempts_total: row.get(3)?, attempts_made: row.get(4)? };
            found.push((usize::try_from(size_bytes).unwrap_or(usize::MAX), next));
        }
        drop(rows);
        for (size_bytes, next) in found {
            body_bytes = body_bytes.saturating_add(size_bytes);
            if body_bytes > request.body_bytes_max && !claimed.is_empty() {
                return Ok(claimed);
            }
            lease.execute(params![
                next.delivery.tenant_id.as_bytes(),
                next.delivery.event_id.as_bytes(),
                next.delivery.id.as_bytes(),
                request.lease.until.unix_micros(),
                request.lease.owner.as_bytes(),
                request.lease.token.0,
            ])?;
            claimed.push(next);
        }
    }
    Ok(claimed)
}

fn with_events(connection: &Connection, lease: Lease, claimed: Vec<Claimed>) -> Result<Vec<ClaimedDelivery>, Failure> {
    let mut complete = Vec::with_capacity(claimed.len());
    for Claimed { delivery, attempts_total, attempts_made } in claimed {
        match read_event(connection, delivery) {
            Ok(Some(event)) => {
                let event = Arc::new(event);
                complete.push(ClaimedDelivery { delivery, event, lease, attempts_total, attempts_made });
            }
            // One damaged event must not hold up those claimed beside it; its delivery stays visible as undelivered.
            Ok(None) => tracing::error!(event_id = %delivery.event_id, "a queued event is not stored"),
            Err(Failure::Store(error)) => {
                tracing::error!(event_id = %delivery.event_id, %error, "a queued event cannot be read");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(complete)
}

fn read_event(connection: &Connection, delivery: DeliveryRef) -> Result<Option<Event>, Failure> {
    let DeliveryRef { event_id, tenant_id, .. } = delivery;
    let mut statement = connection.prepare_cached(sql::EVENT_READ)?;
    let mut rows = statement.query(params![tenant_id.as_bytes(), event_id.as_bytes()])?;
    rows.next()?.map(|row| rows::event(row, tenant_id, event_id)).transpose()
}

/// Moves at most `limit` deliveries of these lanes from the queue to the outcomes.
fn discard(connection: &Connection, now: Timestamp, lanes: &[EndpointId], limit: usize) -> Result<usize, Failure> {
    let mut idle = connection.prepare_cached(sql::LANE_IDLE)?;
    let mut delete = connection.prepare_cached(sql::QUEUE_DELETE)?;
    let mut discarded = 0;
    for endpoint_id in lanes.iter().copied() {
        let mut found: Vec<DeliveryRef> = Vec::new();
        let mut rows = idle.query(params![endpoint_id.as_bytes(), now.unix_micros(), stored(limit - discarded)])?;
        while let Some(row) = rows.next()? {
            found.push(DeliveryRef { tenant_id: id(row, 0)?, event_id: id(row, 1)?, id: id(row, 2)?, endpoint_id });
        }
        drop(rows);
        for delivery in found {
            let DeliveryRef { tenant_id, event_id, id, .. } = &delivery;
            delete.execute(params![tenant_id.as_bytes(), event_id.as_bytes(), id.as_bytes()])?;
            insert_outcome(connection, delivery, FinalReason::EndpointDeleted, now)?;
            discarded += 1;
        }
    }
    Ok(discarded)
}
