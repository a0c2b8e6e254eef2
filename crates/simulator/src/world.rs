//! One run from its beginning to the verdict.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kapsel_attestation::SecretKey;
use kapsel_attestation::fsck::{self, Finding};
use kapsel_core::endpoint::DisabledReason;
use kapsel_core::{
    Clock as _, Endpoint, EndpointId, EndpointStatus, EventId, IdGenerator, InstanceId, ReplayId, ReplayState, TenantId,
};
use kapsel_store::{
    AdminStore as _, AttestationStore as _, CircuitStore as _, EventDetail, MemoryStore, Replay, ReplayCount,
    ReplayFilter, ReplayStore as _, StoredCircuit,
};
use test_harness::builders::LOG_ID;
use test_harness::{EndpointBuilder, SeededEntropy, TokioClock};

use crate::destinations::{Destinations, Way};
use crate::faults::{FaultyStore, Weather};
use crate::instance::{Body, Instance, SkewedClock};
use crate::log::{Disk, ORIGIN, WatchedKeys, wrong_heads};
use crate::oracles::{Accepted, Life, Oracles};
use crate::plan::{Mood, Operation, Plan};
use crate::report::{Report, Totals};
use crate::timeline::Timeline;
use crate::{Options, verdict};

/// How long the world has to come to rest once it has healed. Retries wait up to a minute, circuits up to five, rates are
/// as low as one in two seconds.
const REST_LIMIT: Duration = Duration::from_secs(3 * 3_600);
/// How often it is looked whether it has.
const REST_LOOK: Duration = Duration::from_secs(10);

/// The parts of a run.
pub struct World {
    plan: Plan,
    store: Arc<MemoryStore>,
    clock: TokioClock,
    ids: IdGenerator,
    oracles: Arc<Oracles>,
    totals: Arc<Mutex<Totals>>,
    timeline: Arc<Timeline>,
    weather: Arc<Weather>,
    destinations: Arc<Destinations>,
    endpoints: Vec<Endpoint>,
    bodies: Vec<Body>,
    instances: Vec<Option<Arc<Instance>>>,
    /// When an instance that is gone comes back.
    returns: Vec<Option<Duration>>,
    lives: usize,
    acknowledged: Arc<Mutex<Vec<EventId>>>,
}

impl World {
    /// Makes a run and says what came of it.
    pub async fn run(options: Options) -> Report {
        let mut world = World::new(&options).await;
        world.trouble().await;
        world.heal().await;
        world.rest().await;
        world.report(options.seed)
    }

    async fn new(options: &Options) -> World {
        let plan = Plan::of(options);
        let entropy = Arc::new(SeededEntropy::new(options.seed ^ 0x5eed));
        let chance = Arc::clone(&entropy);
        let ids = IdGenerator::new(chance);
        let (oracles, totals) = (Arc::new(Oracles::default()), Arc::new(Mutex::new(Totals::default())));
        let timeline = Arc::new(Timeline::new(options.is_traced));
        let clock = TokioClock::new();
        let destinations =
            Destinations::new(options.seed ^ 0xde57, Arc::clone(&oracles), Arc::clone(&totals), Arc::clone(&timeline));
        let key = SecretKey::generate(ORIGIN, &*entropy).unwrap();
        let keys = Arc::new(WatchedKeys { key, oracles: Arc::clone(&oracles) });
        let body = |skew: &i64| Body {
            id: ids.next::<InstanceId>(clock.now()),
            clock: SkewedClock::new(clock, *skew),
            entropy: Arc::clone(&entropy),
            in_flight_max: plan.in_flight_max,
            disk: Disk::default(),
            keys: Arc::clone(&keys),
        };
        let bodies: Vec<Body> = plan.skews_ms.iter().map(body).collect();
        let mut world = World {
            weather: Weather::new(options.seed ^ 0xfa11, plan.faults),
            store: Arc::new(MemoryStore::new()),
            instances: bodies.iter().map(|_| None).collect(),
            returns: bodies.iter().map(|_| None).collect(),
            clock,
            ids,
            oracles,
            totals,
            timeline,
            destinations,
            endpoints: Vec::new(),
            bodies,
            lives: 0,
            acknowledged: Arc::default(),
            plan,
        };
        world.store.log_open(world.clock.now(), LOG_ID, ORIGIN.to_owned()).await.unwrap();
        world.make_endpoints().await;
        for index in 0..world.bodies.len() {
            world.start(index);
        }
        world
    }

    async fn make_endpoints(&mut self) {
        let other_tenant: TenantId = self.ids.next(self.clock.now());
        for (index, plan) in self.plan.endpoints.clone().into_iter().enumerate() {
            let id: EndpointId = self.ids.next(self.clock.now());
            let url = format!("http://destination{index}.example/");
            let endpoint = EndpointBuilder::new(id, &url, self.clock.now())
                .with(|endpoint| {
                    endpoint.config.retry = plan.retry;
                    endpoint.config.circuit = plan.circuit;
                    endpoint.config.max_in_flight = plan.max_in_flight;
                    endpoint.config.rate_limit = plan.rate_limit;
                    endpoint.config.disable_after_seconds = plan.disable_after_seconds;
                    endpoint.config.timeout_seconds = plan.timeout_seconds;
                    if plan.is_of_other_tenant {
                        endpoint.tenant_id = other_tenant;
                    }
                })
                .build();
            self.store.endpoint_insert(endpoint.clone()).await.unwrap();
            self.oracles.endpoint(&endpoint);
            self.destinations.set(&url, id, Mood::Healthy(50));
            self.endpoints.push(endpoint);
        }
    }

    fn start(&mut self, index: usize) {
        let life = Life(self.lives);
        self.lives += 1;
        let body = &self.bodies[index];
        self.oracles.born(life, body.id);
        self.timeline.add(format_args!("instance {index} starts as {life:?}, {}", body.id));
        let faulty = |vitals| FaultyStore {
            inner: Arc::clone(&self.store),
            weather: Arc::clone(&self.weather),
            vitals,
            oracles: Arc::clone(&self.oracles),
            totals: Arc::clone(&self.totals),
            timeline: Arc::clone(&self.timeline),
        };
        let clock = Arc::clone(&body.clock);
        let destinations = Arc::clone(&self.destinations);
        let way = |vitals| Way { destinations, vitals, clock };
        let instance = Instance::start(body, life, faulty, way, Arc::clone(&self.timeline));
        self.instances[index] = Some(Arc::new(instance));
        self.returns[index] = None;
    }

    /// Carries the plan out.
    async fn trouble(&mut self) {
        let operations = self.plan.operations.clone();
        for (at, operation) in operations {
            self.wait_until(at).await;
            self.timeline.add(format_args!("-- {operation:?}"));
            self.apply(operation).await;
            if !self.oracles.violations().is_empty() {
                return;
            }
        }
        self.wait_until(self.plan.trouble).await;
    }

    /// Lets time pass, and instances come back on their way.
    async fn wait_until(&mut self, at: Duration) {
        loop {
            let next = self.returns.iter().flatten().min().copied().filter(|next| *next <= at);
            let until = next.unwrap_or(at);
            tokio::time::sleep(until.saturating_sub(self.timeline.elapsed())).await;
            if next.is_none() {
                return;
            }
            for index in 0..self.returns.len() {
                if self.returns[index] == next {
                    self.start(index);
                }
            }
        }
    }

    async fn apply(&mut self, operation: Operation) {
        let now = self.timeline.elapsed();
        match operation {
            Operation::Ingest { endpoint, instance, count } => self.ingest(endpoint, instance, count),
            Operation::Mood(index, mood) => {
                let endpoint = &self.endpoints[index];
                self.destinations.set(endpoint.config.url.as_str(), endpoint.id, mood);
            }
            Operation::Crash(index, pause) => {
                if self.crash(index) {
                    self.returns[index] = Some(now + pause);
                }
            }
            Operation::Stop(index, pause) => {
                if let Some(instance) = self.instances[index].take() {
                    self.returns[index] = Some(now + Duration::from_secs(12) + pause);
                    let (oracles, life) = (Arc::clone(&self.oracles), instance.vitals.life());
                    tokio::spawn(async move {
                        // The process ends after this time, finished or not; before the next one starts.
                        let _ = tokio::time::timeout(Duration::from_secs(11), instance.stop()).await;
                        instance.vitals.die();
                        oracles.died(life);
                    });
                }
            }
            Operation::Freeze(index, time) => {
                if let Some(instance) = &self.instances[index] {
                    instance.vitals.freeze_until(now + time);
                    self.oracles.frozen(instance.vitals.life(), now + time);
                    self.count(|totals| totals.freezes += 1);
                }
            }
            Operation::Outage(None, time) => self.weather.away_until(now + time),
            Operation::Outage(Some(index), time) => {
                if let Some(instance) = &self.instances[index] {
                    instance.vitals.cut_off(now + time);
                }
            }
            Operation::Disable(index) => {
                self.set_status(index, EndpointStatus::Disabled(DisabledReason::Manual)).await;
            }
            Operation::Enable(index) => self.set_status(index, EndpointStatus::Enabled).await,
            Operation::Requeue(pick) => self.requeue(pick).await,
            Operation::Replay(index, rate_per_second) => self.replay(index, rate_per_second).await,
            Operation::SetClock(index, skew_ms) => {
                self.bodies[index].clock.set(skew_ms);
                if let Some(instance) = &self.instances[index] {
                    self.oracles.clock_set(instance.vitals.life(), now);
                }
            }
        }
    }

    /// Whether there was somebody to die.
    fn crash(&mut self, index: usize) -> bool {
        let Some(instance) = self.instances[index].take() else { return false };
        instance.vitals.die();
        self.oracles.died(instance.vitals.life());
        self.count(|totals| totals.crashes += 1);
        true
    }

    /// Events come in at an instance, one after the other, while everything else goes on.
    fn ingest(&self, endpoint: usize, instance: usize, count: usize) {
        let Some(instance) = self.instances[instance].clone() else { return };
        let endpoint = self.endpoints[endpoint].clone();
        let (oracles, totals) = (Arc::clone(&self.oracles), Arc::clone(&self.totals));
        let acknowledged = Arc::clone(&self.acknowledged);
        for number in 0..count {
            let (instance, endpoint) = (Arc::clone(&instance), endpoint.clone());
            let (oracles, totals, acknowledged) =
                (Arc::clone(&oracles), Arc::clone(&totals), Arc::clone(&acknowledged));
            let body = Bytes::from(format!("{} {number} {:?}", endpoint.id, self.timeline.elapsed()));
            tokio::spawn(async move {
                if let Some(id) = instance.ingest(&endpoint, body.clone()).await {
                    oracles.accepted(id, endpoint.id, body);
                    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(id);
                    totals.lock().unwrap_or_else(PoisonError::into_inner).accepted += 1;
                }
            });
        }
    }

    /// What the management API does when somebody changes the status.
    async fn set_status(&self, index: usize, status: EndpointStatus) {
        let endpoint = &self.endpoints[index];
        let stored = self.store.endpoint_get(endpoint.tenant_id, endpoint.id).await.unwrap();
        if stored.status == EndpointStatus::Enabled && status == EndpointStatus::Enabled {
            return;
        }
        if status == EndpointStatus::Enabled {
            self.store.circuit_reset(endpoint.tenant_id, endpoint.id, self.clock.now()).await.unwrap();
            if let Some(circuit) = self.store.circuit_read(vec![endpoint.id]).await.unwrap().pop() {
                self.tell_reset(&circuit);
            }
        }
        let version = stored.version;
        let changed = Endpoint { status, version: version + 1, updated_at: self.clock.now(), ..stored };
        self.store.endpoint_update_if_version(changed, version).await.unwrap();
    }

    fn tell_reset(&self, circuit: &StoredCircuit) {
        self.oracles.circuit_written(circuit, None, self.timeline.elapsed());
    }

    async fn requeue(&self, pick: u64) {
        let id = {
            let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(last) = u64::try_from(acknowledged.len()).unwrap().checked_sub(1) else { return };
            acknowledged[usize::try_from(pick % (last + 1)).unwrap()]
        };
        let tenant_id = self.tenant_of(id);
        if self.store.event_requeue(tenant_id, id, self.clock.now()).await.is_ok() {
            self.oracles.requeued(id);
            self.timeline.add(format_args!("{id} is queued anew by hand"));
        }
    }

    /// What the management API does when somebody makes a replay.
    async fn replay(&self, index: usize, rate_per_second: u32) {
        let endpoint = &self.endpoints[index];
        let now = self.clock.now();
        let statuses = ReplayFilter::STATUSES;
        let filter = ReplayFilter { endpoint_id: Some(endpoint.id), statuses, since: None, until: None };
        let id: ReplayId = self.ids.next(now);
        let replay = Replay {
            id,
            tenant_id: endpoint.tenant_id,
            filter,
            range: filter.range(self.ids.next(now)),
            rate_per_second,
            state: ReplayState::Running,
            matched: ReplayCount::default(),
            replayed_count: 0,
            skipped_count: 0,
            next_step_at: now,
            created_at: now,
            updated_at: now,
            completed_at: None,
            version: 1,
        };
        self.store.replay_insert(replay).await.unwrap();
    }

    fn tenant_of(&self, id: EventId) -> TenantId {
        let accepted = self.oracles.all_accepted();
        let found = accepted.iter().find(|(other, _)| *other == id).map(|(_, accepted)| accepted.endpoint_id);
        let endpoint = self.endpoints.iter().find(|endpoint| Some(endpoint.id) == found);
        endpoint.map_or(TenantId::DEFAULT, |endpoint| endpoint.tenant_id)
    }

    /// Everything works again, and everybody is there but one who is gone for good.
    async fn heal(&mut self) {
        self.timeline.add("-- the world heals");
        self.weather.clear();
        for index in 0..self.endpoints.len() {
            let endpoint = self.endpoints[index].clone();
            self.destinations.set(endpoint.config.url.as_str(), endpoint.id, Mood::Healthy(50));
            self.set_status(index, EndpointStatus::Enabled).await;
        }
        for instance in self.instances.iter().flatten() {
            instance.vitals.cut_off(Duration::ZERO);
        }
        if let Some(lost) = self.plan.lost_instance {
            self.crash(lost);
            self.returns[lost] = None;
        }
        let last = self.returns.iter().flatten().max().copied().unwrap_or_default();
        self.wait_until(last.max(self.timeline.elapsed())).await;
    }

    /// Waits until nothing is open any more.
    async fn rest(&mut self) {
        let begun = self.timeline.elapsed();
        while self.oracles.violations().is_empty() {
            tokio::time::sleep(REST_LOOK).await;
            // A destination may have been disabled by an answer from before.
            for index in 0..self.endpoints.len() {
                self.set_status(index, EndpointStatus::Enabled).await;
            }
            let mut open = Vec::new();
            for (id, accepted) in self.oracles.all_accepted() {
                let detail = self.detail(id, &accepted).await;
                if !detail.summary.status.is_final() {
                    open.push(format!("{id} is {}: {:?}", detail.summary.status, detail.deliveries));
                }
            }
            for tenant_id in self.tenants() {
                let replays = self.store.replay_list(tenant_id, None, 1_000).await.unwrap();
                let running = replays.iter().filter(|replay| !replay.state.is_final());
                open.extend(running.map(|replay| format!("{} is {}", replay.id, replay.state)));
            }
            let log = self.store.log_get(LOG_ID).await.unwrap();
            let waiting = self.store.leaves_pending(LOG_ID, usize::MAX).await.unwrap().len();
            if waiting > 0 || log.published.is_none_or(|(size, _)| size != log.size) {
                open.push(format!("{waiting} leaves wait, the log has {}, {:?} is published", log.size, log.published));
            }
            if open.is_empty() {
                break;
            }
            if self.timeline.elapsed() - begun > REST_LIMIT {
                self.oracles.violated(format!("stuck: {} events and jobs; {}", open.len(), open[0]));
            }
        }
        self.judge().await;
    }

    fn tenants(&self) -> BTreeSet<TenantId> {
        self.endpoints.iter().map(|endpoint| endpoint.tenant_id).collect()
    }

    async fn detail(&self, id: EventId, accepted: &Accepted) -> EventDetail {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.id == accepted.endpoint_id).unwrap();
        match self.store.event_get(endpoint.tenant_id, id, self.clock.now()).await {
            Ok(detail) => detail,
            Err(error) => {
                self.oracles.violated(format!("lost: {id} was acknowledged and is not stored: {error}"));
                panic!("an acknowledged event is not stored");
            }
        }
    }

    async fn judge(&self) {
        if !self.oracles.violations().is_empty() {
            return;
        }
        for wrong in wrong_heads(&self.store, &self.oracles.all_signed()).await {
            self.oracles.violated(wrong);
        }
        let mut found = |finding: Finding| self.oracles.violated(format!("unattested: {finding}"));
        fsck::check(&*self.store, LOG_ID, &mut found).await.unwrap();
        for (id, accepted) in self.oracles.all_accepted() {
            let detail = self.detail(id, &accepted).await;
            let endpoint = self.endpoints.iter().find(|endpoint| endpoint.id == accepted.endpoint_id).unwrap();
            for violation in verdict::of(&detail, &endpoint.config, self.oracles.facts_of(id)) {
                self.oracles.violated(violation);
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn report(&self, seed: u64) -> Report {
        let mut totals = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        totals.simulated = self.timeline.elapsed();
        Report {
            seed,
            totals,
            violations: self.oracles.violations(),
            timeline: self.timeline.lines(),
            digest: self.timeline.digest(),
        }
    }
}
