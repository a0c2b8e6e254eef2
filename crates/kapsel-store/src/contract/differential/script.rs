//! Makes up operations. It remembers what the answers were, so that what it does next is often to the point (settling
//! what was claimed) and sometimes deliberately not (settling it again).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::idempotency::IdempotencyKey;
use kapsel_core::settlement::{Decision, Next};
use kapsel_core::{
    Attempt, Circuit, CircuitState, Clock as _, DeliveryState, Endpoint, EndpointId, EndpointStatus, Entropy as _,
    EventId, FailureKind, FinalReason, HeaderBlock, IdGenerator, InstanceId, Lease, LeaseToken, Outcome, ReplayId,
    ResponseHead, TenantId, Timestamp,
};
use test_harness::builders::leaf_of;
use test_harness::{EndpointBuilder, EventBuilder, SeededEntropy, TestClock};

use super::operation::{Observation, Operation};
use super::replays::ReplayCall;
use crate::contract::world;
use crate::{
    ClaimRequest, ClaimedDelivery, EventFilter, Ingested, LaneQuota, NewDelivery, NewEvent, Settled, Settlement,
    StatusSet, Store, StoredCircuit,
};

/// How many endpoints there are at a time, at least.
const ENDPOINTS: usize = 6;
/// How many claimed deliveries are remembered, settled ones among them.
const HELD: usize = 24;

/// The state of the making up.
pub(super) struct Script {
    entropy: Arc<SeededEntropy>,
    clock: TestClock,
    pub(super) ids: IdGenerator,
    tenants: Vec<TenantId>,
    instances: Vec<InstanceId>,
    /// Endpoints that exist.
    endpoints: Vec<(TenantId, EndpointId)>,
    /// Endpoints that were deleted.
    deleted: Vec<(TenantId, EndpointId)>,
    events: Vec<(TenantId, EventId)>,
    pub(super) replays: Vec<(TenantId, ReplayId)>,
    /// Batches that were stored, to be repeated.
    batches: Vec<Arc<Vec<NewEvent>>>,
    /// Batches that were settled, to be repeated.
    settled: Vec<Arc<Vec<Settlement>>>,
    /// What was claimed and, mostly, not yet settled.
    held: Vec<ClaimedDelivery>,
}

impl Script {
    pub(super) fn new(seed: u64) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let shared = Arc::clone(&entropy);
        let ids = IdGenerator::new(shared);
        let clock = TestClock::new();
        let tenants = vec![TenantId::DEFAULT, ids.next(clock.now()), ids.next(clock.now())];
        let instances = (0..3).map(|_| ids.next(clock.now())).collect();
        Script {
            entropy,
            clock,
            ids,
            tenants,
            instances,
            endpoints: Vec::new(),
            deleted: Vec::new(),
            events: Vec::new(),
            replays: Vec::new(),
            batches: Vec::new(),
            settled: Vec::new(),
            held: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// As whom the lanes are looked over.
    pub(super) fn viewer(&self) -> InstanceId {
        self.instances[0]
    }

    pub(super) fn tenants(&self) -> &[TenantId] {
        &self.tenants
    }

    /// The next operation. `reference` is asked for what a client would have read before.
    pub(super) async fn next(&mut self, reference: &dyn Store) -> Operation {
        self.let_time_pass();
        if self.endpoints.len() < ENDPOINTS {
            return Operation::EndpointInsert(self.new_endpoint());
        }
        if self.chance(12) {
            return self.replay(reference).await;
        }
        match self.below(100) {
            0..15 => self.insert(),
            15..18 => self.repeated(&self.batches).map_or(Operation::Ping, Operation::Insert),
            18..24 => self.lane_scan(),
            24..26 => self.circuit(reference).await,
            26..45 => self.claim(reference).await,
            45..63 => self.settle(reference).await,
            63..65 => self.repeated(&self.settled).map_or(Operation::Ping, Operation::Settle),
            65..67 => self.release(),
            67 => self.release_claim(),
            68 => Operation::ReleaseAll(self.chance(70).then(|| *self.pick(&self.instances))),
            69 => Operation::DiscardOfDeleted { limit: 1 + self.index(4) },
            70..72 => Operation::Prune { limit: 1 + self.index(4) },
            72 if self.endpoints.len() < ENDPOINTS + 3 => Operation::EndpointInsert(self.new_endpoint()),
            72..79 => self.endpoint_update(reference).await,
            79 => {
                let (tenant_id, id) = self.known_endpoint();
                Operation::EndpointDelete(tenant_id, id)
            }
            80..82 => {
                let (tenant_id, id) = self.known_endpoint();
                Operation::EndpointGet(tenant_id, id)
            }
            82 => {
                let after = self.chance(50).then(|| self.known_endpoint().1);
                Operation::EndpointList { tenant_id: self.any_tenant(), after, limit: self.index(5) }
            }
            83..86 => Operation::EndpointChanges { limit: 1 + self.index(4) },
            86..89 => {
                let (tenant_id, id) = self.known_event();
                Operation::EventGet(tenant_id, id)
            }
            89..93 => self.event_list(),
            93..97 => {
                let (tenant_id, id) = self.known_event();
                Operation::EventRequeue(tenant_id, id)
            }
            97..99 => self.removal(),
            _ => Operation::Ping,
        }
    }

    /// Remembers what came of it.
    pub(super) fn learn(&mut self, operation: &Operation, observation: &Observation) {
        match (operation, observation) {
            (Operation::EndpointInsert(endpoint), Observation::Done) => {
                self.endpoints.push((endpoint.tenant_id, endpoint.id));
            }
            (Operation::EndpointDelete(_, deleted), Observation::Done) => {
                self.deleted.extend(self.endpoints.extract_if(.., |(_, id)| id == deleted));
            }
            (Operation::Insert(batch), Observation::Ingested(ingested)) => {
                self.batches.push(Arc::clone(batch));
                for (new, ingested) in batch.iter().zip(ingested) {
                    self.events.push((new.event.tenant_id, new.event.id));
                    if *ingested == Ingested::Created {
                        self.hold_leased(new);
                    }
                }
            }
            (Operation::Replay(ReplayCall::Insert(replay)), Observation::Done) => {
                self.replays.push((replay.tenant_id, replay.id));
            }
            (Operation::Claim(_), Observation::Claimed(claimed)) => self.held.extend(claimed.iter().cloned()),
            (Operation::Settle(batch), Observation::Settled(settled)) => {
                self.settled.push(Arc::clone(batch));
                for (settlement, settled) in batch.iter().zip(settled) {
                    // Some stay, to be settled once more.
                    if self.chance(if *settled == Settled::Written { 85 } else { 60 }) {
                        let (token, delivery) = (settlement.lease.token, settlement.attempt.delivery);
                        self.held.retain(|claimed| claimed.lease.token != token || claimed.delivery != delivery);
                    }
                }
            }
            _ => {}
        }
        let surplus = self.held.len().saturating_sub(HELD);
        self.held.drain(..surplus);
    }

    /// The deliveries that were stored under a lease are held like claimed ones.
    fn hold_leased(&mut self, new: &NewEvent) {
        for delivery in &new.deliveries {
            let Some(lease) = delivery.lease else { continue };
            let delivery = kapsel_core::DeliveryRef {
                id: delivery.id,
                event_id: new.event.id,
                endpoint_id: delivery.endpoint_id,
                tenant_id: new.event.tenant_id,
            };
            let event = Arc::clone(&new.event);
            self.held.push(ClaimedDelivery { delivery, event, lease, attempts_total: 0, attempts_made: 0 });
        }
    }

    // Chance.

    pub(super) fn below(&self, below: u64) -> u64 {
        self.entropy.below(below)
    }

    pub(super) fn index(&self, below: usize) -> usize {
        usize::try_from(self.below(u64::try_from(below).unwrap())).unwrap()
    }

    pub(super) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.index(from.len())]
    }

    pub(super) fn micros(&self, seconds_below: u64) -> Duration {
        Duration::from_micros(self.below(seconds_below * 1_000_000))
    }

    fn let_time_pass(&self) {
        match self.below(10) {
            0..4 => {}
            4..6 => _ = self.clock.advance(self.micros(1)),
            // Whole seconds let times coincide: a lease's end, a window's end, a retry's time.
            6..9 => _ = self.clock.advance(Duration::from_secs(1 + self.below(5))),
            _ => _ = self.clock.advance(self.micros(20)),
        }
    }

    // What is known, and sometimes what is not.

    pub(super) fn any_tenant(&self) -> TenantId {
        if self.chance(5) { self.ids.next(self.now()) } else { *self.pick(&self.tenants) }
    }

    /// Mostly one that exists.
    fn target(&self) -> (TenantId, EndpointId) {
        let young = &self.deleted[self.deleted.len().saturating_sub(3)..];
        if !young.is_empty() && self.chance(8) { *self.pick(young) } else { *self.pick(&self.endpoints) }
    }

    /// Mostly with its own tenant.
    pub(super) fn known_endpoint(&self) -> (TenantId, EndpointId) {
        let (tenant_id, id) = self.target();
        match self.below(20) {
            0 => (self.any_tenant(), id),
            1 => (tenant_id, self.ids.next(self.now())),
            _ => (tenant_id, id),
        }
    }

    pub(super) fn known_event(&self) -> (TenantId, EventId) {
        let young = &self.events[self.events.len().saturating_sub(40)..];
        if young.is_empty() || self.chance(3) {
            return (self.any_tenant(), self.ids.next(self.now()));
        }
        let (tenant_id, id) = if self.chance(30) { *self.pick(&self.events) } else { *self.pick(young) };
        if self.chance(5) { (self.any_tenant(), id) } else { (tenant_id, id) }
    }

    fn repeated<T>(&self, batches: &[Arc<Vec<T>>]) -> Option<Arc<Vec<T>>> {
        let young = &batches[batches.len().saturating_sub(10)..];
        (!young.is_empty()).then(|| Arc::clone(self.pick(young)))
    }

    fn lease(&self) -> Lease {
        let until = self.now() + Duration::from_secs(1 + self.below(15));
        Lease { owner: *self.pick(&self.instances), token: LeaseToken(self.entropy.next_u64().cast_signed()), until }
    }

    // Operations.

    fn insert(&self) -> Operation {
        Operation::Insert(Arc::new((0..1 + self.index(4)).map(|_| self.new_event()).collect()))
    }

    fn new_event(&self) -> NewEvent {
        let (tenant_id, endpoint_id) = self.target();
        let endpoint = Endpoint { tenant_id, ..self.endpoint_with_id(endpoint_id) };
        let mut builder = EventBuilder::new(self.ids.next(self.now()), &endpoint, self.now());
        builder = match self.below(5) {
            0 => builder.body(""),
            1 => builder.body("one"),
            2 => builder.body("two"),
            3 => builder.body(vec![0xfe; self.index(2_000)]),
            _ => builder.headers(&[("x-twice", "a"), ("x-twice", "b")]),
        };
        let mut event = builder.build();
        let key = self.chance(60).then(|| self.key());
        event.idempotency_key = key.as_ref().map(|key| key.text.clone());
        let mut targets = vec![endpoint_id];
        // Now and then a fan-out.
        let second = self.endpoints.iter().find(|(owner, id)| *owner == tenant_id && *id != endpoint_id);
        if let Some((_, second)) = second.filter(|_| self.chance(10)) {
            targets.push(*second);
        }
        let delivery = |endpoint_id| NewDelivery {
            id: self.ids.next(self.now()),
            endpoint_id,
            lease: self.chance(25).then(|| self.lease()),
            ended: self.chance(3).then_some(FinalReason::Duplicate),
        };
        NewEvent { event: Arc::new(event), key, deliveries: targets.into_iter().map(delivery).collect() }
    }

    /// One of a few, so that they meet.
    fn key(&self) -> IdempotencyKey {
        let text = format!("key {}", self.below(3));
        let window = Duration::from_secs(1 + self.below(90));
        IdempotencyKey { window, ..world::key(&text, self.chance(50)) }
    }

    fn lane_scan(&self) -> Operation {
        let after = self.chance(40).then(|| self.known_endpoint().1);
        Operation::LaneScan { viewer: *self.pick(&self.instances), after, limit: self.index(ENDPOINTS) }
    }

    /// The circuit of an endpoint as a client would have read it before.
    async fn circuit_of(&self, reference: &dyn Store, id: EndpointId) -> Circuit {
        let stored = reference.circuit_read(vec![id]).await.unwrap();
        stored.first().map(|stored| stored.circuit).unwrap_or_default()
    }

    async fn circuit(&self, reference: &dyn Store) -> Operation {
        let (tenant_id, endpoint_id) = self.known_endpoint();
        let some = || self.endpoints.iter().filter(|_| self.chance(70)).map(|(_, id)| *id).collect();
        match self.below(10) {
            0..6 => {
                let version = self.circuit_of(reference, endpoint_id).await.version + u64::from(!self.chance(20));
                let circuit = Circuit {
                    state: *self.pick(CircuitState::ALL),
                    blocked_until: self.chance(60).then(|| self.now() + self.micros(20)),
                    prober: self.chance(40).then(|| *self.pick(&self.instances)),
                    opened_at: self.chance(50).then(|| self.now()),
                    opened_times: u32::try_from(self.below(5)).unwrap(),
                    failing_since: self.chance(50).then(|| self.now() - self.micros(20)),
                    changed_at: self.now(),
                    version,
                };
                Operation::CircuitPut(vec![StoredCircuit { endpoint_id, tenant_id, circuit }])
            }
            6 => Operation::CircuitRead(some()),
            7 => Operation::CircuitChanges(self.now() - self.micros(60)),
            8 => Operation::CircuitList(self.any_tenant(), some()),
            _ => Operation::CircuitReset(tenant_id, endpoint_id),
        }
    }

    async fn claim(&self, reference: &dyn Store) -> Operation {
        let mut lanes = Vec::new();
        for (_, endpoint_id) in self.endpoints.iter().chain(self.deleted.last()) {
            if self.chance(60) {
                let circuit_version =
                    self.circuit_of(reference, *endpoint_id).await.version + u64::from(self.chance(5));
                let lane = LaneQuota { endpoint_id: *endpoint_id, quota: self.index(5), circuit_version };
                lanes.insert(self.index(lanes.len() + 1), lane);
            }
        }
        let body_bytes_max = if self.chance(50) { usize::MAX } else { self.index(3_000) };
        Operation::Claim(ClaimRequest { lease: self.lease(), lanes, body_bytes_max })
    }

    async fn settle(&self, reference: &dyn Store) -> Operation {
        if self.held.is_empty() {
            return self.claim(reference).await;
        }
        let settlements = (0..1 + self.index(4)).map(|_| self.settlement(self.pick(&self.held)));
        let mut settlements: Vec<_> = settlements.collect();
        // Which of two endpoints that one call disables was changed first is an engine's own affair.
        let mut has_disabled = false;
        settlements.retain(|settlement| {
            settlement.decision.disable_endpoint.is_none() || !std::mem::replace(&mut has_disabled, true)
        });
        Operation::Settle(Arc::new(settlements))
    }

    fn settlement(&self, claimed: &ClaimedDelivery) -> Settlement {
        let keep = |next| Decision { next, disable_endpoint: None };
        let (decision, outcome) = match self.below(20) {
            0..7 => (keep(Next::Delivered), self.answer(200 + self.below(100))),
            7..14 => {
                let due_at = self.now() + Duration::from_secs(self.below(20));
                (keep(Next::RetryAt(due_at)), self.failure())
            }
            14..16 => (keep(Next::Failed(FinalReason::AttemptsExhausted)), self.failure()),
            16..19 => (keep(Next::Failed(FinalReason::Refused)), self.answer(300 + self.below(200))),
            _ => {
                let next = Next::RetryAt(self.now());
                (Decision { next, disable_endpoint: Some(DisabledReason::Gone) }, self.answer(410))
            }
        };
        let attempt = Attempt {
            id: self.ids.next(self.now()),
            delivery: claimed.delivery,
            number: claimed.attempts_total + 1,
            url: "https://destination.example/hook".to_owned(),
            started_at: self.now() - self.micros(3),
            duration: self.micros(4),
            outcome,
        };
        let mut lease = claimed.lease;
        if self.chance(3) {
            lease.token = LeaseToken(self.entropy.next_u64().cast_signed());
        }
        let leaf = leaf_of(&attempt, &claimed.event.body_sha256);
        Settlement { lease, attempt, decision, leaf }
    }

    fn answer(&self, status: u64) -> Outcome {
        Outcome::Response(self.head(status))
    }

    fn head(&self, status: u64) -> ResponseHead {
        let body = Bytes::from(vec![0x80; self.index(50)]);
        let headers = HeaderBlock::from_pairs([("x-answer", &b"\xff"[..])]);
        ResponseHead { status: u16::try_from(status).unwrap(), headers, body, body_truncated: self.chance(20) }
    }

    fn failure(&self) -> Outcome {
        if self.chance(50) {
            return self.answer(500 + self.below(100));
        }
        let kind = *self.pick(&[FailureKind::Connection, FailureKind::Timeout, FailureKind::Internal]);
        // A head that promised success, and then no whole answer.
        let head = self.chance(30).then(|| self.head(200));
        Outcome::Failure { kind, detail: "no answer".to_owned(), head }
    }

    fn release(&self) -> Operation {
        let count = if self.held.is_empty() { 0 } else { 1 + self.index(3) };
        let released = (0..count).map(|_| self.pick(&self.held)).map(|claimed| (claimed.delivery, claimed.lease));
        Operation::Release(released.collect())
    }

    fn release_claim(&self) -> Operation {
        let lease = if self.held.is_empty() { self.lease() } else { self.pick(&self.held).lease };
        Operation::ReleaseClaim(lease)
    }

    fn new_endpoint(&self) -> Endpoint {
        // Now and then one whose id is taken.
        let taken = (!self.endpoints.is_empty() && self.chance(20)).then(|| self.target().1);
        let id = taken.unwrap_or_else(|| self.ids.next(self.now()));
        Endpoint { tenant_id: *self.pick(&self.tenants), ..self.endpoint_with_id(id) }
    }

    fn endpoint_with_id(&self, id: EndpointId) -> Endpoint {
        EndpointBuilder::new(id, "https://destination.example/hook", self.now()).build()
    }

    async fn endpoint_update(&self, reference: &dyn Store) -> Operation {
        let (tenant_id, id) = self.known_endpoint();
        let stored = reference.endpoint_get(tenant_id, id).await;
        let unknown = || Endpoint { tenant_id, ..self.endpoint_with_id(id) };
        let mut endpoint = stored.unwrap_or_else(|_| unknown());
        let expected_version = if self.chance(15) { endpoint.version + 1 } else { endpoint.version };
        endpoint.version = expected_version + 1;
        endpoint.updated_at = self.now();
        endpoint.created_at = self.now();
        endpoint.config.name = format!("name {}", self.below(100));
        endpoint.status = match self.below(10) {
            0..7 => EndpointStatus::Enabled,
            7..9 => EndpointStatus::Disabled(DisabledReason::Manual),
            _ => EndpointStatus::Disabled(DisabledReason::Failing),
        };
        Operation::EndpointUpdate(endpoint, expected_version)
    }

    fn event_list(&self) -> Operation {
        let status = match self.below(8) {
            0 | 1 => StatusSet::ALL,
            2 | 3 => StatusSet::UNDELIVERED,
            _ => StatusSet::only(*self.pick(DeliveryState::ALL)),
        };
        let time = || self.chance(30).then(|| self.now() - self.micros(120));
        let filter = EventFilter {
            status,
            endpoint_id: self.chance(30).then(|| self.known_endpoint().1),
            since: time(),
            until: time(),
            before: self.chance(30).then(|| self.known_event().1),
            after: self.chance(30).then(|| self.known_event().1),
        };
        Operation::EventList { tenant_id: self.any_tenant(), filter, limit: self.index(12) }
    }
}
