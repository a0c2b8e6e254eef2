//! A store that fails, delays and goes away, as one life of an instance sees it. Behind it is the one memory store of all.
//!
//! A call can fail before it does anything, fail after it has done its work, take long before or after, or be refused
//! because the store is away. When its caller is dead, it never ends; whether it was carried out depends on how far it had
//! come. What it did is told to the oracles at that very moment, so that they know the order in which things happened.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    DeliveryRef, Endpoint, EndpointId, Event, EventId, InstanceId, Lease, ReplayId, ReplayState, TenantId, Timestamp,
};
use kapsel_store::{
    AdminStore, ChangeSeq, CircuitStore, ClaimRequest, ClaimedDelivery, DeliveryStore, DueReplays, EndpointChange,
    EventDetail, EventFilter, EventSummary, IngestStore, Ingested, LaneScan, MemoryStore, NewEvent, QueueLook,
    QueueUsage, Replay, ReplayPage, ReplayScan, ReplayStep, ReplayStore, Settled, Settlement, StoreError,
    StoredCircuit,
};
use test_harness::SeededEntropy;

use crate::instance::Vitals;
use crate::oracles::Oracles;
use crate::plan::FaultRates;
use crate::report::Totals;
use crate::timeline::Timeline;

/// The longest delay of a call, in milliseconds.
const DELAY_MS_MAX: u64 = 3_000;

/// What goes wrong with the store, for all instances.
pub struct Weather {
    rates: Mutex<FaultRates>,
    away_until: Mutex<Duration>,
    chance: SeededEntropy,
}

impl Weather {
    /// As the plan has it.
    pub fn new(seed: u64, rates: FaultRates) -> Arc<Self> {
        let away_until = Mutex::new(Duration::ZERO);
        Arc::new(Weather { rates: Mutex::new(rates), away_until, chance: SeededEntropy::new(seed) })
    }

    /// Nothing goes wrong any more.
    pub fn clear(&self) {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = FaultRates { before: 0, after: 0, delay: 0 };
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = Duration::ZERO;
    }

    /// The store is away until then, for everybody.
    pub fn away_until(&self, until: Duration) {
        *self.away_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn strikes(&self, of_thousand: u64) -> bool {
        self.chance.below(1_000) < of_thousand
    }
}

/// The store as one life of an instance sees it.
pub struct FaultyStore {
    /// What it is in front of.
    pub inner: Arc<MemoryStore>,
    /// What goes wrong.
    pub weather: Arc<Weather>,
    /// Whose view it is.
    pub vitals: Arc<Vitals>,
    /// Who is told.
    pub oracles: Arc<Oracles>,
    /// What is counted.
    pub totals: Arc<Mutex<Totals>>,
    /// What is written down.
    pub timeline: Arc<Timeline>,
}

/// What happens around one call.
struct Fate {
    fails_before: bool,
    fails_after: bool,
    delay_before: Duration,
    delay_after: Duration,
}

impl FaultyStore {
    fn unavailable() -> StoreError {
        StoreError::unavailable("simulated", "simulated fault")
    }

    /// Counts something.
    pub fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn fate(&self) -> Fate {
        let rates = *self.weather.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let delays = self.weather.strikes(rates.delay);
        let delay = Duration::from_millis(self.weather.chance.below(DELAY_MS_MAX));
        let is_early = self.weather.chance.below(2) == 0;
        Fate {
            fails_before: self.weather.strikes(rates.before),
            fails_after: self.weather.strikes(rates.after),
            delay_before: if delays && is_early { delay } else { Duration::ZERO },
            delay_after: if delays && !is_early { delay } else { Duration::ZERO },
        }
    }

    /// Makes a call under its fate. `call` does its work at once when it is waited for, and tells the oracles.
    pub async fn under_fate<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.vitals.gate().await;
        let now = self.timeline.elapsed();
        let is_away = now < *self.weather.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        if is_away || now < self.vitals.cut_off_until() {
            self.count(|totals| totals.outages += 1);
            // Refused at once, or only after a while.
            let wait = self.weather.chance.below(500);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            self.vitals.gate().await;
            return Err(FaultyStore::unavailable());
        }
        let fate = self.fate();
        if !fate.delay_before.is_zero() || !fate.delay_after.is_zero() {
            self.count(|totals| totals.delays += 1);
        }
        if !fate.delay_before.is_zero() {
            tokio::time::sleep(fate.delay_before).await;
            self.vitals.gate().await;
        }
        if fate.fails_before {
            self.count(|totals| totals.errors_before += 1);
            self.timeline.add(format_args!("{:?}: {what} fails before", self.vitals.life()));
            return Err(FaultyStore::unavailable());
        }
        let result = call.await;
        if !fate.delay_after.is_zero() {
            tokio::time::sleep(fate.delay_after).await;
        } else {
            // As every call over a network: others have their turn before the answer is here.
            tokio::task::yield_now().await;
        }
        self.vitals.gate().await;
        if fate.fails_after && result.is_ok() {
            self.count(|totals| totals.errors_after += 1);
            self.timeline.add(format_args!("{:?}: {what} fails after", self.vitals.life()));
            return Err(FaultyStore::unavailable());
        }
        result
    }
}

#[async_trait]
impl IngestStore for FaultyStore {
    async fn event_insert_batch(&self, now: Timestamp, batch: Arc<Vec<NewEvent>>) -> Result<Vec<Ingested>, StoreError> {
        self.under_fate("ingest", async {
            for new in batch.iter() {
                for delivery in &new.deliveries {
                    self.oracles.stored(new.event.id, delivery.id, delivery.lease.map(|lease| lease.token));
                }
            }
            self.inner.event_insert_batch(now, batch).await
        })
        .await
    }
}

#[async_trait]
impl DeliveryStore for FaultyStore {
    async fn lane_scan(
        &self,
        now: Timestamp,
        viewer: InstanceId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<LaneScan, StoreError> {
        self.under_fate("lane scan", self.inner.lane_scan(now, viewer, after, limit)).await
    }

    async fn queue_look(&self, rows_max: usize) -> Result<QueueLook, StoreError> {
        self.inner.queue_look(rows_max).await
    }

    async fn delivery_claim_due(
        &self,
        now: Timestamp,
        request: ClaimRequest,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.under_fate("claim", async {
            let claimed = self.inner.delivery_claim_due(now, request).await?;
            for claimed in &claimed {
                self.oracles.claimed(claimed.delivery.id, claimed.lease.token, self.timeline.elapsed());
            }
            if !claimed.is_empty() {
                self.timeline.add(format_args!("{:?} claims {}", self.vitals.life(), claimed.len()));
            }
            Ok(claimed)
        })
        .await
    }

    async fn delivery_settle_if_leased(
        &self,
        now: Timestamp,
        batch: Arc<Vec<Settlement>>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.under_fate("settle", async {
            let settled = self.inner.delivery_settle_if_leased(now, Arc::clone(&batch)).await?;
            for (settlement, settled) in batch.iter().zip(&settled) {
                self.oracles.settled(settlement, *settled);
                if settlement.decision.disable_endpoint == Some(DisabledReason::Failing) && *settled == Settled::Written
                {
                    let delivery = settlement.attempt.delivery;
                    self.oracles.given_up(delivery.endpoint_id, delivery.id, self.vitals.life());
                }
                self.count(|totals| totals.disabled += u64::from(settlement.decision.disable_endpoint.is_some()));
                self.timeline.add(format_args!(
                    "{:?} settles {} attempt {}: {settled:?} {:?}",
                    self.vitals.life(),
                    settlement.attempt.delivery.event_id,
                    settlement.attempt.number,
                    settlement.decision.next,
                ));
            }
            Ok(settled)
        })
        .await
    }

    async fn delivery_release_if_leased(
        &self,
        now: Timestamp,
        batch: Vec<(DeliveryRef, Lease)>,
    ) -> Result<(), StoreError> {
        self.under_fate("release", self.inner.delivery_release_if_leased(now, batch)).await
    }

    async fn delivery_release_claim(&self, now: Timestamp, lease: Lease) -> Result<usize, StoreError> {
        self.under_fate("release of a claim", self.inner.delivery_release_claim(now, lease)).await
    }

    async fn lease_release_all(&self, now: Timestamp, owner: Option<InstanceId>) -> Result<usize, StoreError> {
        self.under_fate("release of all", async {
            let freed = self.inner.lease_release_all(now, owner).await?;
            // Rights to probe have ended with the leases, and the circuits have new versions.
            for stored in self.inner.circuit_changes(now).await? {
                self.oracles.circuit_written(&stored, Some(self.vitals.life()), self.timeline.elapsed());
            }
            Ok(freed)
        })
        .await
    }

    async fn delivery_discard_of_deleted(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.under_fate("discard", self.inner.delivery_discard_of_deleted(now, limit)).await
    }

    async fn idempotency_prune(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.under_fate("prune", self.inner.idempotency_prune(now, limit)).await
    }
}

#[async_trait]
impl CircuitStore for FaultyStore {
    async fn circuit_changes(&self, since: Timestamp) -> Result<Vec<StoredCircuit>, StoreError> {
        let begun = self.timeline.elapsed();
        let read = self.under_fate("reading of circuits", self.inner.circuit_changes(since)).await;
        if read.is_ok() {
            self.oracles.circuits_read(self.vitals.life(), begun);
        }
        read
    }

    async fn circuit_read(&self, endpoints: Vec<EndpointId>) -> Result<Vec<StoredCircuit>, StoreError> {
        self.under_fate("reading of a circuit", self.inner.circuit_read(endpoints)).await
    }

    async fn circuit_put_if_version(&self, batch: Vec<StoredCircuit>) -> Result<Vec<bool>, StoreError> {
        let life = self.vitals.life();
        self.under_fate("writing of circuits", async {
            let written = self.inner.circuit_put_if_version(batch.clone()).await?;
            for (stored, _) in batch.iter().zip(&written).filter(|(_, is_written)| **is_written) {
                self.oracles.circuit_written(stored, Some(life), self.timeline.elapsed());
                let circuit = &stored.circuit;
                self.timeline.add(format_args!(
                    "{life:?} writes the circuit of {}: {} until {:?}, version {}",
                    stored.endpoint_id, circuit.state, circuit.blocked_until, circuit.version,
                ));
                self.count(|totals| match circuit.state {
                    kapsel_core::CircuitState::Open => totals.openings += 1,
                    kapsel_core::CircuitState::HalfOpen => totals.probe_rights += 1,
                    kapsel_core::CircuitState::Closed => {}
                });
            }
            Ok(written)
        })
        .await
    }

    async fn circuit_list(
        &self,
        tenant_id: TenantId,
        endpoints: Vec<EndpointId>,
    ) -> Result<Vec<StoredCircuit>, StoreError> {
        self.under_fate("list of circuits", self.inner.circuit_list(tenant_id, endpoints)).await
    }

    async fn circuit_reset(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.under_fate("reset of a circuit", self.inner.circuit_reset(tenant_id, id, now)).await
    }
}

#[async_trait]
impl ReplayStore for FaultyStore {
    async fn replay_insert(&self, replay: Replay) -> Result<(), StoreError> {
        self.under_fate("insert of a replay", self.inner.replay_insert(replay)).await
    }

    async fn replay_get(&self, tenant_id: TenantId, id: ReplayId) -> Result<Replay, StoreError> {
        self.under_fate("look at a replay", self.inner.replay_get(tenant_id, id)).await
    }

    async fn replay_list(
        &self,
        tenant_id: TenantId,
        before: Option<ReplayId>,
        limit: usize,
    ) -> Result<Vec<Replay>, StoreError> {
        self.under_fate("list of replays", self.inner.replay_list(tenant_id, before, limit)).await
    }

    async fn replay_set_state_if_version(
        &self,
        now: Timestamp,
        tenant_id: TenantId,
        id: ReplayId,
        state: ReplayState,
        expected_version: u64,
    ) -> Result<Replay, StoreError> {
        let set = self.inner.replay_set_state_if_version(now, tenant_id, id, state, expected_version);
        self.under_fate("state of a replay", set).await
    }

    async fn replay_due(&self, now: Timestamp, limit: usize) -> Result<DueReplays, StoreError> {
        self.under_fate("look for replays", self.inner.replay_due(now, limit)).await
    }

    async fn replay_scan(&self, now: Timestamp, scan: ReplayScan) -> Result<ReplayPage, StoreError> {
        self.under_fate("look of a replay", self.inner.replay_scan(now, scan)).await
    }

    async fn replay_advance_if_version(&self, now: Timestamp, step: ReplayStep) -> Result<Option<Replay>, StoreError> {
        self.under_fate("step of a replay", async {
            let (tenant_id, replay_id, event_ids) = (step.tenant_id, step.id, step.event_ids.clone());
            let advanced = self.inner.replay_advance_if_version(now, step).await?;
            if let Some(replay) = &advanced {
                for event_id in event_ids {
                    let detail = self.inner.event_get(tenant_id, event_id, now).await?;
                    // What was queued is due at this very moment; what was skipped is not.
                    if detail.summary.next_attempt_at == Some(now) {
                        self.oracles.replayed(replay_id, event_id);
                    }
                }
                let (replayed, skipped) = (replay.replayed_count, replay.skipped_count);
                self.timeline.add(format_args!(
                    "{:?} makes a step of {replay_id}: {replayed} queued and {skipped} skipped so far, {}",
                    self.vitals.life(),
                    replay.state,
                ));
            }
            Ok(advanced)
        })
        .await
    }
}

/// What the directory of endpoints reads; the rest of the management goes past the faults, by the world's own hand.
#[async_trait]
impl AdminStore for FaultyStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.under_fate("ping", self.inner.ping()).await
    }

    async fn endpoint_insert(&self, endpoint: Endpoint) -> Result<(), StoreError> {
        self.under_fate("insert of an endpoint", self.inner.endpoint_insert(endpoint)).await
    }

    async fn endpoint_get(&self, tenant_id: TenantId, id: EndpointId) -> Result<Endpoint, StoreError> {
        self.under_fate("look at an endpoint", self.inner.endpoint_get(tenant_id, id)).await
    }

    async fn endpoint_list(
        &self,
        tenant_id: TenantId,
        after: Option<EndpointId>,
        limit: usize,
    ) -> Result<Vec<Endpoint>, StoreError> {
        self.under_fate("list of endpoints", self.inner.endpoint_list(tenant_id, after, limit)).await
    }

    async fn endpoint_update_if_version(&self, endpoint: Endpoint, expected_version: u64) -> Result<(), StoreError> {
        let update = self.inner.endpoint_update_if_version(endpoint, expected_version);
        self.under_fate("update of an endpoint", update).await
    }

    async fn endpoint_delete(&self, tenant_id: TenantId, id: EndpointId, now: Timestamp) -> Result<(), StoreError> {
        self.under_fate("deletion of an endpoint", self.inner.endpoint_delete(tenant_id, id, now)).await
    }

    async fn endpoint_changes(&self, since: ChangeSeq, limit: usize) -> Result<Vec<EndpointChange>, StoreError> {
        self.under_fate("reading of endpoints", self.inner.endpoint_changes(since, limit)).await
    }

    async fn event_get(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<EventDetail, StoreError> {
        self.under_fate("look at an event", self.inner.event_get(tenant_id, id, now)).await
    }

    async fn event_list(
        &self,
        tenant_id: TenantId,
        filter: EventFilter,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<EventSummary>, StoreError> {
        self.under_fate("list of events", self.inner.event_list(tenant_id, filter, limit, now)).await
    }

    async fn queue_usage(&self, tenant_id: TenantId, rows_max: u64) -> Result<QueueUsage, StoreError> {
        self.under_fate("look at a queue", self.inner.queue_usage(tenant_id, rows_max)).await
    }

    async fn event_read(&self, tenant_id: TenantId, id: EventId) -> Result<Event, StoreError> {
        self.under_fate("reading of an event", self.inner.event_read(tenant_id, id)).await
    }

    async fn event_requeue(&self, tenant_id: TenantId, id: EventId, now: Timestamp) -> Result<(), StoreError> {
        self.under_fate("retry by hand", self.inner.event_requeue(tenant_id, id, now)).await
    }
}
