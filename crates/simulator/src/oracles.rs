//! What must hold, whatever happens. Each of these is a violation, and ends the run:
//!
//! 1. **Lost.** An event was acknowledged, and once the world has healed it is neither delivered nor visibly failed, or it
//!    counts as delivered and no destination ever answered 2xx to it.
//! 2. **Changed.** A destination got other bytes than were accepted.
//! 3. **Stale.** A settlement was written under a token that was not that of the last lease.
//! 4. **Twice at once.** Two living instances had requests for one delivery under way at the same time.
//! 5. **After success.** A request was made for a delivery whose success had been stored, without anybody's asking.
//! 6. **Attempts.** More attempts were stored than requests made; they are not numbered one by one; a delivery ended
//!    before its policy allows, or after more attempts than it allows.
//! 7. **Too soon.** An attempt was made before the wait of the policy, or that of `Retry-After`, was over.
//! 8. **Through an open circuit.** A request was made by an instance that knew from the store, or had itself stored, that
//!    nobody but another one may send; or that had not looked; or for a delivery that it claimed after that was stored.
//! 9. **Too many probes.** More requests that were begun as probes were under way than the policy allows, over all
//!    instances; or a right to probe was won while somebody else's was on, or while the circuit was open.
//! 10. **Hammering.** A destination that was dead all the time got more requests than it takes to notice, and then to
//!     probe; a circuit opened for a shorter time than its policy says; or the number of requests under way grew faster
//!     after a recovery than it may.
//! 11. **Over the limit.** An instance had more requests to an endpoint under way than it may, or began more in a time.
//! 12. **Stuck.** The world has healed, and hours later something is still waiting, or a replay is not through.
//! 13. **Replayed twice.** One replay queued an event more than once.
//! 14. **Given up.** An endpoint was disabled for its failures before it had had nothing else for long enough.
//! 15. **Forked.** A head of the log was signed, published or not, that is not that of the tree of its size.
//! 16. **Unattested.** At rest, an attempt does not have exactly one leaf in the tree, the last head does not cover them, or
//!     `kapsel fsck` finds anything else.
//!
//! These are **not** violations: an event that arrives more than once after a crash, a lost answer or a lost commit (at
//! least once is the promise, and 4 and 5 bound it); an event that was stored though its sender got no acknowledgement;
//! a request by an instance that could not know yet what another one had stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kapsel_core::circuit::Signal;
use kapsel_core::rate_limit::Bucket;
use kapsel_core::settlement::Next;
use kapsel_core::{
    Circuit, CircuitPolicy, CircuitState, DeliveryId, Endpoint, EndpointId, EventId, InstanceId, LeaseToken, RateLimit,
    ReplayId, Timestamp,
};
use kapsel_store::{Settled, Settlement, StoredCircuit};
use kapsel_verification::Hash;

/// One life of an instance: a new one begins with each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Life(pub usize);

/// A request that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What a run has to be right about.
#[derive(Default)]
pub struct Oracles(Mutex<State>);

#[derive(Default)]
struct State {
    violations: Vec<String>,
    endpoints: BTreeMap<EndpointId, EndpointFacts>,
    accepted: BTreeMap<EventId, Accepted>,
    deliveries: BTreeMap<DeliveryId, DeliveryFacts>,
    of_event: BTreeMap<EventId, DeliveryId>,
    lives: BTreeMap<Life, LifeFacts>,
    under_way: BTreeMap<RequestId, UnderWay>,
    last_request: u64,
    replayed: BTreeSet<(ReplayId, EventId)>,
    signed: BTreeSet<(u64, Hash)>,
}

/// An acknowledged event.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Where it goes.
    pub endpoint_id: EndpointId,
    body: Bytes,
}

#[derive(Default)]
struct DeliveryFacts {
    /// The last lease that was given; `None` when it was given back.
    token: Option<LeaseToken>,
    /// When it was claimed under that lease; `None` if it was stored under it.
    claimed_at: Option<Duration>,
    requests: u32,
    answered_2xx: bool,
    last_ended: Duration,
    is_settled_delivered: bool,
    requeued: u32,
}

struct EndpointFacts {
    max_in_flight: usize,
    probes: usize,
    failures_to_notice: usize,
    rate: Option<RateLimit>,
    policy: CircuitPolicy,
    disable_after: Option<Duration>,
    /// When it answered 2xx, and to whom.
    good: Vec<(Duration, Life)>,
    /// Who closed the circuit and when, and how many of its requests have not failed since.
    recovering: Option<(Life, Duration, usize)>,
    circuit: Circuit,
    circuit_stored_at: Duration,
    circuit_writer: Option<Life>,
    dead_since: Option<Duration>,
    dead_requests: usize,
    dead_lives: BTreeSet<Life>,
    dead_resets: usize,
}

struct LifeFacts {
    instance: InstanceId,
    is_alive: bool,
    /// Everything stored at or before this time was read by it.
    knows_circuits_of: Option<Duration>,
    frozen_until: Duration,
    /// When its clock was last set.
    clock_set_at: Option<Duration>,
    buckets: BTreeMap<EndpointId, Bucket>,
}

struct UnderWay {
    life: Life,
    delivery_id: DeliveryId,
    endpoint_id: EndpointId,
    begun: Duration,
    is_probe: bool,
}

/// A request as a destination gets it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who sends it.
    pub life: Life,
    /// To whom.
    pub endpoint_id: EndpointId,
    /// The `webhook-id`.
    pub event_id: EventId,
    /// The body.
    pub body: Bytes,
    /// The time on the true clock.
    pub at: Duration,
    /// The time on the sender's clock.
    pub sender_now: Timestamp,
}

/// After an instance stood still, what it had begun before comes late and together.
const AFTER_FREEZE: Duration = Duration::from_secs(180);
/// So long after its clock was set an instance may still do what was right before.
const AFTER_CLOCK_SET: Duration = Duration::from_secs(10);
/// Answers so close to each other may be taken in in any order.
const SAME_MOMENT: Duration = Duration::from_millis(10);
/// So long it may take until an instance has heard of what another one has seen.
const STALE: Duration = Duration::from_secs(200);
/// By how much the clocks of two instances may differ.
const CLOCKS_APART: Duration = Duration::from_secs(5);
/// So long a request may lie behind its token: calls of the store are slow.
const TOKEN_AGE: f64 = 20.0;

impl Oracles {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What did not hold so far.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Notes that something did not hold.
    pub fn violated(&self, what: String) {
        self.lock().violations.push(what);
    }

    /// An endpoint begins to be watched.
    pub fn endpoint(&self, endpoint: &Endpoint) {
        let config = &endpoint.config;
        let facts = EndpointFacts {
            max_in_flight: usize::try_from(config.max_in_flight).unwrap(),
            probes: usize::try_from(config.circuit.probes).unwrap(),
            failures_to_notice: usize::try_from(config.circuit.consecutive_failures).unwrap(),
            rate: config.rate_limit,
            policy: config.circuit,
            disable_after: config.disable_after_seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
            good: Vec::new(),
            recovering: None,
            circuit: Circuit::default(),
            circuit_stored_at: Duration::ZERO,
            circuit_writer: None,
            dead_since: None,
            dead_requests: 0,
            dead_lives: BTreeSet::new(),
            dead_resets: 0,
        };
        self.lock().endpoints.insert(endpoint.id, facts);
    }

    /// An instance starts.
    pub fn born(&self, life: Life, instance: InstanceId) {
        let facts = LifeFacts {
            instance,
            is_alive: true,
            knows_circuits_of: None,
            frozen_until: Duration::ZERO,
            clock_set_at: None,
            buckets: BTreeMap::new(),
        };
        self.lock().lives.insert(life, facts);
    }

    /// An instance dies; its connections die with it.
    pub fn died(&self, life: Life) {
        let mut state = self.lock();
        state.under_way.retain(|_, request| request.life != life);
        state.lives.get_mut(&life).unwrap().is_alive = false;
    }

    /// An instance stands still until this time.
    pub fn frozen(&self, life: Life, until: Duration) {
        self.lock().lives.get_mut(&life).unwrap().frozen_until = until;
    }

    /// An instance's clock was set.
    pub fn clock_set(&self, life: Life, at: Duration) {
        self.lock().lives.get_mut(&life).unwrap().clock_set_at = Some(at);
    }

    /// An endpoint was disabled because nothing but failures had come, as `life` found when it had made an attempt of this
    /// delivery.
    pub fn given_up(&self, endpoint_id: EndpointId, delivery_id: DeliveryId, life: Life) {
        let mut state = self.lock();
        let State { endpoints, deliveries, lives, violations, .. } = &mut *state;
        let facts = &endpoints[&endpoint_id];
        let Some(limit) = facts.disable_after else {
            violations.push(format!("given up: {endpoint_id}, which never is to be"));
            return;
        };
        let found_at = deliveries[&delivery_id].last_ended;
        // What others were answered is known when it was stored and read, which trouble may delay. Who stands still learns of
        // its own answers afterwards, in any order; and two at the same moment have none.
        let frozen_until = lives[&life].frozen_until;
        let counts = |(at, to): &&(Duration, Life)| match *to == life {
            true => *at + SAME_MOMENT <= found_at && frozen_until <= *at,
            false => *at + STALE <= found_at,
        };
        let good = facts.good.iter().filter(counts).map(|(at, _)| *at).max();
        if good.is_some_and(|at| found_at - at + CLOCKS_APART < limit) {
            violations.push(format!("given up: {endpoint_id} at {found_at:?}, the last success was at {good:?}"));
        }
    }

    /// An event was acknowledged.
    pub fn accepted(&self, event_id: EventId, endpoint_id: EndpointId, body: Bytes) {
        self.lock().accepted.insert(event_id, Accepted { endpoint_id, body });
    }

    /// All acknowledged events.
    pub fn all_accepted(&self) -> Vec<(EventId, Accepted)> {
        self.lock().accepted.iter().map(|(id, accepted)| (*id, accepted.clone())).collect()
    }

    /// An event is being stored, with the lease of its delivery.
    pub fn stored(&self, event_id: EventId, delivery_id: DeliveryId, token: Option<LeaseToken>) {
        let mut state = self.lock();
        state.of_event.insert(event_id, delivery_id);
        // A batch that is repeated stores nothing new.
        state.deliveries.entry(delivery_id).or_insert_with(|| DeliveryFacts { token, ..DeliveryFacts::default() });
    }

    /// A delivery was claimed.
    pub fn claimed(&self, delivery_id: DeliveryId, token: LeaseToken, at: Duration) {
        let mut state = self.lock();
        let facts = state.deliveries.entry(delivery_id).or_default();
        (facts.token, facts.claimed_at) = (Some(token), Some(at));
    }

    /// An event was queued anew by hand.
    pub fn requeued(&self, event_id: EventId) {
        let mut state = self.lock();
        let Some(delivery_id) = state.of_event.get(&event_id).copied() else { return };
        let facts = state.deliveries.entry(delivery_id).or_default();
        facts.requeued += 1;
        facts.is_settled_delivered = false;
        facts.token = None;
    }

    /// A replay queued an event anew.
    pub fn replayed(&self, replay_id: ReplayId, event_id: EventId) {
        let is_first = self.lock().replayed.insert((replay_id, event_id));
        if !is_first {
            self.violated(format!("replayed twice: {event_id} by {replay_id}"));
        }
        self.requeued(event_id);
    }

    /// A head of the log was signed.
    pub fn signed(&self, size: u64, root: Hash) {
        self.lock().signed.insert((size, root));
    }

    /// Every head that was ever signed.
    pub fn all_signed(&self) -> Vec<(u64, Hash)> {
        self.lock().signed.iter().copied().collect()
    }

    /// A settlement was answered by the store.
    pub fn settled(&self, settlement: &Settlement, settled: Settled) {
        let delivery_id = settlement.attempt.delivery.id;
        let mut state = self.lock();
        let facts = state.deliveries.entry(delivery_id).or_default();
        if settled == Settled::Stale {
            return;
        }
        if facts.token != Some(settlement.lease.token) {
            let last = facts.token;
            state.violations.push(format!(
                "stale: {delivery_id} was settled under {:?}, the last lease has {last:?}",
                settlement.lease.token
            ));
            return;
        }
        facts.token = None;
        facts.is_settled_delivered = settlement.decision.next == Next::Delivered;
    }

    /// A circuit was written by somebody.
    pub fn circuit_written(&self, stored: &StoredCircuit, writer: Option<Life>, at: Duration) {
        let mut state = self.lock();
        let Some(facts) = state.endpoints.get_mut(&stored.endpoint_id) else { return };
        let is_half_open = stored.circuit.state == CircuitState::HalfOpen;
        if writer.is_none() {
            facts.dead_resets += 1;
        }
        let (before, after) = (facts.circuit, stored.circuit);
        let wins_right = is_half_open && (before.state != CircuitState::HalfOpen || before.prober != after.prober);
        let is_early = before.blocked_until.is_some_and(|until| after.changed_at + CLOCKS_APART < until);
        let shortest = facts.policy.open_time(after.opened_times, 0.0);
        let opened_for = after.blocked_until.zip(after.opened_at).map(|(until, since)| until.saturating_since(since));
        let opens = after.state == CircuitState::Open && after.opened_times > before.opened_times;
        facts.recovering = match (before.state, after.state, writer) {
            (CircuitState::HalfOpen, CircuitState::Closed, Some(life)) => Some((life, at, 0)),
            _ => None,
        };
        let mut found = Vec::new();
        if wins_right && (is_early || before.state == CircuitState::Closed) {
            found.push(format!("too many probes: {writer:?} has won {after:?} over {before:?}"));
        }
        if opens && opened_for.is_none_or(|time| time < shortest) {
            found.push(format!("hammering: {} opens for {opened_for:?}, {shortest:?} are due", stored.endpoint_id));
        }
        (facts.circuit, facts.circuit_stored_at, facts.circuit_writer) = (stored.circuit, at, writer);
        state.violations.extend(found);
    }

    /// An instance has read all circuits, in a call that it began at `since`.
    pub fn circuits_read(&self, life: Life, since: Duration) {
        self.lock().lives.get_mut(&life).unwrap().knows_circuits_of = Some(since);
    }

    /// A destination dies, or comes back.
    pub fn dead(&self, endpoint_id: EndpointId, is_dead: bool, at: Duration) {
        let mut state = self.lock();
        let State { endpoints, violations, .. } = &mut *state;
        let Some(facts) = endpoints.get_mut(&endpoint_id) else { return };
        if let Some(since) = facts.dead_since.take() {
            let seconds = usize::try_from((at - since).as_secs()).unwrap();
            let to_notice =
                (facts.failures_to_notice + facts.max_in_flight) * (facts.dead_lives.len() + facts.dead_resets);
            let to_probe = facts.probes * (2 + seconds / 30);
            if facts.dead_requests > to_notice + to_probe {
                violations.push(format!(
                    "hammering: {endpoint_id} was dead for {seconds} s and got {} requests, {to_notice} to notice and \
                     {to_probe} to probe are allowed",
                    facts.dead_requests
                ));
            }
        }
        facts.dead_since = is_dead.then_some(at);
        (facts.dead_requests, facts.dead_resets) = (0, 0);
        facts.dead_lives.clear();
    }

    /// A request begins.
    pub fn request(&self, request: &Request) -> RequestId {
        let mut state = self.lock();
        let state = &mut *state;
        state.last_request += 1;
        let id = RequestId(state.last_request);
        let Some(delivery_id) = state.of_event.get(&request.event_id).copied() else {
            state.violations.push(format!("changed: nothing like {} was ever stored", request.event_id));
            return id;
        };
        state.check_delivery(request, delivery_id);
        state.check_circuit(request, delivery_id);
        state.check_limits(request);
        let Request { life, endpoint_id, at, .. } = *request;
        let circuit = state.endpoints[&endpoint_id].circuit;
        let is_probe = circuit.prober == Some(state.lives[&life].instance) && circuit.state == CircuitState::HalfOpen;
        state.under_way.insert(id, UnderWay { life, delivery_id, endpoint_id, begun: at, is_probe });
        state.check_probes(request);
        let facts = state.endpoints.get_mut(&endpoint_id).unwrap();
        if facts.dead_since.is_some() {
            facts.dead_requests += 1;
            facts.dead_lives.insert(life);
        }
        id
    }

    /// A request has ended: with a 2xx answer or without, and with what it says about the destination.
    pub fn request_ended(&self, id: RequestId, is_2xx: bool, signal: Signal, at: Duration) {
        let mut state = self.lock();
        let Some(request) = state.under_way.remove(&id) else { return };
        if let Some(facts) = state.endpoints.get_mut(&request.endpoint_id) {
            facts.good.extend(is_2xx.then_some((at, request.life)));
            if let Some((life, since, successes)) = &mut facts.recovering
                && *life == request.life
                && request.begun >= *since
                && signal == Signal::Alive
            {
                *successes += 1;
            }
        }
        let delivery = state.deliveries.entry(request.delivery_id).or_default();
        delivery.answered_2xx |= is_2xx;
        delivery.last_ended = at;
    }

    /// The connection of a request is closed, whether it has ended or not.
    pub fn request_dropped(&self, id: RequestId) {
        self.lock().under_way.remove(&id);
    }

    /// Whether any destination answered 2xx to this event, how many requests were made for it, and how often it was queued
    /// by hand.
    pub fn facts_of(&self, event_id: EventId) -> (bool, u32, u32) {
        let state = self.lock();
        let facts = state.of_event.get(&event_id).and_then(|id| state.deliveries.get(id));
        facts.map_or((false, 0, 0), |facts| (facts.answered_2xx, facts.requests, facts.requeued))
    }
}

impl State {
    fn check_delivery(&mut self, request: &Request, delivery_id: DeliveryId) {
        let State { accepted, deliveries, under_way, lives, violations, .. } = self;
        let event_id = request.event_id;
        if accepted.get(&event_id).is_some_and(|accepted| accepted.body != request.body) {
            violations.push(format!("changed: the body of {event_id} is another one"));
        }
        let facts = deliveries.entry(delivery_id).or_default();
        facts.requests += 1;
        if facts.is_settled_delivered {
            violations.push(format!("after success: {event_id} is sent again"));
        }
        let others = under_way.values().filter(|other| other.delivery_id == delivery_id);
        for other in others.filter(|other| lives[&other.life].is_alive) {
            violations.push(format!(
                "twice at once: {event_id} is sent by {:?} while {:?} has been at it since {:?}",
                request.life, other.life, other.begun
            ));
        }
    }

    fn check_circuit(&mut self, request: &Request, delivery_id: DeliveryId) {
        let life = &self.lives[&request.life];
        let facts = &self.endpoints[&request.endpoint_id];
        if life.knows_circuits_of.is_none() {
            self.violations.push(format!(
                "through an open circuit: {:?} sends {} before it has read any circuit",
                request.life, request.event_id
            ));
            return;
        }
        // What was right by a clock may be wrong by the same clock after it was set.
        if life.clock_set_at.is_some_and(|set_at| request.at < set_at + AFTER_CLOCK_SET) {
            return;
        }
        let has_written = facts.circuit_writer == Some(request.life);
        let has_read = life.knows_circuits_of.is_some_and(|until| facts.circuit_stored_at < until);
        let claimed_at = self.deliveries.get(&delivery_id).and_then(|delivery| delivery.claimed_at);
        let has_claimed = claimed_at.is_some_and(|at| at > facts.circuit_stored_at);
        if (has_written || has_read || has_claimed) && facts.circuit.is_blocked_for(life.instance, request.sender_now) {
            self.violations.push(format!(
                "through an open circuit: {:?} sends {} at {} while it knows {:?}",
                request.life, request.event_id, request.sender_now, facts.circuit
            ));
        }
    }

    fn check_probes(&mut self, request: &Request) {
        let facts = &self.endpoints[&request.endpoint_id];
        let to_it = self.under_way.values().filter(|other| other.endpoint_id == request.endpoint_id);
        let probes = to_it.filter(|other| other.is_probe && self.lives[&other.life].is_alive).count();
        if probes > facts.probes && facts.circuit.state == CircuitState::HalfOpen {
            self.violations.push(format!("too many probes: {probes} under way to {}", request.endpoint_id));
        }
        let Some((life, since, successes)) = facts.recovering.filter(|(life, ..)| *life == request.life) else {
            return;
        };
        let begun_since = |other: &&UnderWay| {
            other.endpoint_id == request.endpoint_id && other.life == life && other.begun >= since && !other.is_probe
        };
        let under_way = self.under_way.values().filter(begun_since).count();
        // 1, and twice as many each time that as many have not failed.
        let allowed = (successes + 1).next_power_of_two();
        if under_way > allowed {
            self.violations.push(format!(
                "hammering: {life:?} has {under_way} requests to {} under way after {successes} that have not failed",
                request.endpoint_id
            ));
        }
    }

    fn check_limits(&mut self, request: &Request) {
        let facts = &self.endpoints[&request.endpoint_id];
        let same = |other: &&UnderWay| other.life == request.life && other.endpoint_id == request.endpoint_id;
        let under_way = self.under_way.values().filter(same).count() + 1;
        if under_way > facts.max_in_flight {
            self.violations.push(format!(
                "over the limit: {:?} has {under_way} requests to {} under way, {} are allowed",
                request.life, request.endpoint_id, facts.max_in_flight
            ));
        }
        let Some(rate) = facts.rate else { return };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        let slack = (rate.per_second * TOKEN_AGE).ceil() as u32;
        let tolerant = RateLimit { burst: rate.burst + slack, ..rate };
        let life = self.lives.get_mut(&request.life).unwrap();
        let is_late = request.at < life.frozen_until + AFTER_FREEZE && !life.frozen_until.is_zero();
        let bucket = life.buckets.entry(request.endpoint_id).or_insert_with(|| Bucket::full(&tolerant, request.at));
        if !bucket.take(&tolerant, request.at) && !is_late {
            self.violations.push(format!(
                "over the limit: {:?} begins more than {rate:?} allows to {}",
                request.life, request.endpoint_id
            ));
        }
    }
}
