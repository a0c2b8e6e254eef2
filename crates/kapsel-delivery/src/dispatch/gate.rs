//! The one place that says what may start: permits for the deliveries under way.
//!
//! A permit is taken before a delivery is claimed or handed over, and held until its result is stored. It counts
//! against five limits:
//!
//! - the deliveries under way in all. Memory is bounded by it, because results wait under their permits too;
//! - the bytes of their bodies, until the request has been sent;
//! - the requests under way to one endpoint (`max_in_flight` of its configuration), until the answer is there. The
//!   writing of the result is Kapsel's own business and takes nothing off the rate of the destination. While a circuit
//!   recovers, the limit is lower;
//! - the requests to one endpoint in a time (`rate_limit` of its configuration). A permit takes a token, and gives it back
//!   if it ends without a request;
//! - a fair share: beyond its first one, an endpoint may hold as many permits (and body bytes) as are still free, and
//!   a tenant, beyond its first one, eight times as many, so that a ninth is left however many endpoints it has. So a lone endpoint can have half of everything, and of endpoints that hang each
//!   gets less than the one before it, which leaves something to those that work. (Switches share their buffers in
//!   this way: Choudhury and Hahne, "Dynamic queue length thresholds", 1998.)
//!
//! A lane (the queue of one endpoint) is *flagged* while it is believed to have a backlog in the store. New events then
//! go behind that backlog by way of the store instead of past it. A lane is flagged when an event found it full, and
//! when a claim filled its quota; the flag goes when a claim came up short or a scan did not find the lane due, so that
//! under a steady load the direct way is open again as soon as nobody waits.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kapsel_core::circuit::Ticket;
use kapsel_core::rate_limit::{Bucket, RateLimit};
use kapsel_core::{EndpointId, TenantId};
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use self::permit::{ClaimPermits, Permit};

mod permit;

/// How many times the free permits a tenant may hold.
const TENANT_SHARE: usize = 8;
/// How long after a refused reservation its event may still be on its way into the store, so that a look which does not
/// find it has to be repeated.
const COMMIT_TIME: Duration = Duration::from_millis(50);

/// A lane with the limits of its endpoint, as they are at the moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LaneLimit {
    pub endpoint_id: EndpointId,
    pub tenant_id: TenantId,
    /// Requests under way at once; 0 counts as 1.
    pub in_flight_max: usize,
    /// Requests in a time.
    pub rate: Option<RateLimit>,
    /// What its circuit let requests through with.
    pub ticket: Ticket,
    /// The version of its circuit.
    pub circuit_version: u64,
    /// Whether the right to probe has to be won before anything is claimed.
    pub needs_right: bool,
    /// Whether its circuit is on the way back to closed, or not long so.
    pub is_recovering: bool,
}

/// Hands out permits.
pub(super) struct Gate {
    in_flight_max: usize,
    body_bytes_max: usize,
    state: Mutex<State>,
    /// Something was released that a flagged lane could use.
    pub freed: Notify,
    emptied: Notify,
    /// What the times of token buckets are counted from.
    begun: Instant,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    in_flight: usize,
    body_bytes: usize,
    lanes: HashMap<EndpointId, Lane>,
    tenants: HashMap<TenantId, usize>,
    /// Whether somebody was refused for a limit that all share, so that any release may be what is waited for.
    is_scarce: bool,
}

/// What is remembered of a lane while there is anything to remember.
#[derive(Default)]
struct Lane {
    tenant_id: Option<TenantId>,
    in_flight_max: usize,
    /// Requests under way.
    sending: usize,
    /// Permits held, those of results that wait to be stored among them.
    held: usize,
    body_bytes: usize,
    /// Whether it is flagged.
    has_backlog: bool,
    /// Until when an event that was refused here may arrive in the store.
    expected_until: Option<Instant>,
    /// The limit to the requests in a time, and what is left of it.
    tokens: Option<(RateLimit, Bucket)>,
}

impl Lane {
    fn is_idle(&mut self, now: Duration) -> bool {
        let is_full = self.tokens.as_mut().is_none_or(|(rate, bucket)| bucket.is_full(rate, now));
        self.held == 0 && is_full && !self.is_wanting()
    }

    fn has_token(&mut self, now: Duration) -> bool {
        self.tokens.as_mut().is_none_or(|(rate, bucket)| bucket.has_token(rate, now))
    }

    /// Notes the present limits.
    fn limit(&mut self, limit: &LaneLimit, now: Duration) {
        self.tenant_id = Some(limit.tenant_id);
        self.in_flight_max = limit.in_flight_max;
        self.tokens = limit.rate.map(|rate| match self.tokens {
            Some((_, bucket)) => (rate, bucket),
            None => (rate, Bucket::full(&rate, now)),
        });
    }

    /// Whether there is something in the store for it, or about to be.
    fn is_wanting(&self) -> bool {
        self.has_backlog || self.expected_until.is_some_and(|until| until > Instant::now())
    }
}

/// What is left of the limits that all share.
#[derive(Clone, Copy)]
struct Room {
    free: usize,
    free_bytes: usize,
}

impl Room {
    /// Whether a lane that holds so much, of a tenant that holds so much, may not have another one.
    fn refuses(self, held: usize, held_bytes: usize, held_by_tenant: usize, body_bytes: usize) -> bool {
        let Room { free, free_bytes } = self;
        let is_fair =
            (held == 0 || held <= free) && (held_by_tenant == 0 || held_by_tenant <= free.saturating_mul(TENANT_SHARE));
        // What is free is shared, but a lane that holds nothing may have one body of any size that fits.
        let bytes_fit = body_bytes <= free_bytes && (held_bytes == 0 || held_bytes <= free_bytes - body_bytes);
        free == 0 || !is_fair || !bytes_fit
    }
}

/// Why there is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The endpoint has as many requests under way as it may, or has had as many in the time.
    Lane,
    /// A limit that all share is reached, or the endpoint's or tenant's share of it.
    Shared,
}

impl Gate {
    pub(super) fn new(in_flight_max: usize, body_bytes_max: usize) -> Arc<Self> {
        Arc::new(Gate {
            in_flight_max,
            body_bytes_max,
            state: Mutex::default(),
            freed: Notify::new(),
            emptied: Notify::new(),
            begun: Instant::now(),
        })
    }

    /// A permit for a fresh event whose body has `body_bytes`. `None` if it has to go by way of the store; its lane is
    /// flagged then.
    pub(super) fn reserve(self: &Arc<Self>, lane: LaneLimit, body_bytes: usize) -> Option<Permit> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let has_backlog = state.lanes.get(&lane.endpoint_id).is_some_and(|lane| lane.has_backlog);
        let refusal = self.refusal(&mut state, &lane, body_bytes);
        if !has_backlog && refusal.is_none() {
            return Some(self.grant(&mut state, lane, body_bytes));
        }
        state.is_scarce |= refusal == Some(Refusal::Shared);
        let entry = state.flag(&lane, self.now());
        let was_expectant = entry.expected_until.is_some_and(|until| until > Instant::now());
        entry.expected_until = Some(Instant::now() + COMMIT_TIME);
        if refusal.is_none() && !was_expectant {
            // Nothing will be released that could report it: the lane has room already.
            self.freed.notify_one();
        }
        None
    }

    /// Of lanes that are due, those that could start something now. The others are flagged.
    pub(super) fn with_room(&self, lanes: Vec<LaneLimit>) -> Vec<LaneLimit> {
        let mut state = self.lock();
        lanes
            .into_iter()
            .filter(|lane| {
                let refusal = self.refusal(&mut state, lane, 0);
                if refusal.is_some() {
                    state.flag(lane, self.now());
                }
                state.is_scarce |= refusal == Some(Refusal::Shared);
                refusal.is_none()
            })
            .collect()
    }

    /// Permits for a claim over `lanes`, at most `max`, dealt out one by one, so that each lane gets as much as any other
    /// or as much as it may. The first lane of each tenant comes before the second of any, so that a tenant with many
    /// lanes does not use up what is there. With the permits goes half of the free body bytes: less would make small
    /// claims, all of it would turn away every fresh event while the claim is under way.
    pub(super) fn reserve_for_claim(self: &Arc<Self>, lanes: &[LaneLimit], max: usize) -> ClaimPermits {
        let mut permits: Vec<(LaneLimit, Vec<Permit>)> = lanes.iter().map(|lane| (*lane, Vec::new())).collect();
        let mut state = self.lock();
        let free_bytes = self.body_bytes_max.saturating_sub(state.body_bytes);
        let mut left = if state.is_closed || free_bytes == 0 { 0 } else { max };
        let turns = turns_by_tenant(lanes);
        let mut is_dealing = true;
        while is_dealing && left > 0 {
            is_dealing = false;
            for turn in &turns {
                let (lane, granted) = &mut permits[*turn];
                if left > 0 && self.refusal(&mut state, lane, 0).is_none() {
                    granted.push(self.grant(&mut state, *lane, 0));
                    left -= 1;
                    is_dealing = true;
                }
            }
        }
        let body_bytes = free_bytes.div_ceil(2);
        state.body_bytes += body_bytes;
        for (lane, granted) in &permits {
            if granted.is_empty() {
                state.is_scarce = true;
                state.flag(lane, self.now());
            }
        }
        drop(state);
        // The next round begins behind the lanes that have had their turn. Some further on may have had theirs early.
        let served = permits.iter().take_while(|(_, granted)| !granted.is_empty()).last();
        let last_served = served.map(|(lane, _)| lane.endpoint_id);
        permits.retain(|(_, granted)| !granted.is_empty());
        ClaimPermits::new(Arc::clone(self), permits, body_bytes, last_served)
    }

    /// All due lanes were seen by a scan: the others have no backlog.
    pub(super) fn unflag_all_but(&self, due: &HashSet<EndpointId>) {
        let now = self.now();
        let mut state = self.lock();
        state.lanes.retain(|id, lane| {
            lane.has_backlog &= due.contains(id);
            !lane.is_idle(now)
        });
    }

    /// The lane filled its quota: there is probably more.
    pub(super) fn flag(&self, lane: &LaneLimit) {
        let now = self.now();
        self.lock().flag(lane, now);
    }

    /// Nothing waits in the lane, or nothing that could be delivered.
    pub(super) fn unflag(&self, endpoint_id: EndpointId) {
        let mut state = self.lock();
        if let Some(lane) = state.lanes.get_mut(&endpoint_id) {
            lane.has_backlog = false;
            state.prune(endpoint_id, self.now());
        }
    }

    /// Whether a lane with a backlog, or one where an event is about to arrive, has room: then a claim may well find
    /// something to do without a release before.
    pub(super) fn wants_claim(&self) -> bool {
        let now = self.now();
        let mut state = self.lock();
        let room = self.room(&state);
        let State { is_closed, lanes, tenants, .. } = &mut *state;
        let has_room = |lane: &mut Lane| {
            let held_by_tenant = lane.tenant_id.and_then(|tenant_id| tenants.get(&tenant_id)).copied().unwrap_or(0);
            let is_shared_out = room.refuses(lane.held, lane.body_bytes, held_by_tenant, 0);
            lane.sending < lane.in_flight_max.max(1) && lane.has_token(now) && !is_shared_out
        };
        !*is_closed && lanes.values_mut().any(|lane| lane.is_wanting() && has_room(lane))
    }

    /// Requests under way to an endpoint.
    pub(super) fn sending(&self, endpoint_id: EndpointId) -> usize {
        self.lock().lanes.get(&endpoint_id).map_or(0, |lane| lane.sending)
    }

    /// What is left of the limits that all share.
    fn room(&self, state: &State) -> Room {
        Room {
            free: self.in_flight_max.saturating_sub(state.in_flight),
            free_bytes: self.body_bytes_max.saturating_sub(state.body_bytes),
        }
    }

    /// How long it takes until a lane that waits for nothing but its rate may send its next request.
    pub(super) fn next_token(&self) -> Option<Duration> {
        let now = self.now();
        let mut state = self.lock();
        let wait = |lane: &mut Lane| {
            let (rate, bucket) = lane.tokens.as_mut()?;
            Some(bucket.wait(rate, now)).filter(|wait| !wait.is_zero())
        };
        state.lanes.values_mut().filter(|lane| lane.is_wanting()).filter_map(wait).min()
    }

    /// No permit is given from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.freed.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Permits held.
    pub(super) fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// Permits that are free; 0 when closed.
    pub(super) fn free(&self) -> usize {
        let mut state = self.lock();
        let free = if state.is_closed { 0 } else { self.in_flight_max.saturating_sub(state.in_flight) };
        if free == 0 {
            state.is_scarce = true;
        }
        free
    }

    /// Waits until no permit is held.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn refusal(&self, state: &mut State, lane: &LaneLimit, body_bytes: usize) -> Option<Refusal> {
        let room = self.room(state);
        let (sending, held, held_bytes) =
            state.lanes.get(&lane.endpoint_id).map_or((0, 0, 0), |lane| (lane.sending, lane.held, lane.body_bytes));
        let held_by_tenant = state.tenants.get(&lane.tenant_id).copied().unwrap_or(0);
        let now = self.now();
        let has_token = lane.rate.is_none()
            || state.lanes.get_mut(&lane.endpoint_id).is_none_or(|known| {
                known.limit(lane, now);
                known.has_token(now)
            });
        if sending >= lane.in_flight_max.max(1) || !has_token {
            return Some(Refusal::Lane);
        }
        room.refuses(held, held_bytes, held_by_tenant, body_bytes).then_some(Refusal::Shared)
    }

    /// Whether what was just released in a lane is worth a look at the queue.
    fn is_worth_a_look(&self, state: &mut State, lane: &LaneLimit) -> bool {
        let is_wanting = state.lanes.get(&lane.endpoint_id).is_some_and(Lane::is_wanting);
        let is_wanted_here = is_wanting && self.refusal(state, lane, 0).is_none();
        is_wanted_here || std::mem::take(&mut state.is_scarce)
    }

    fn grant(self: &Arc<Self>, state: &mut State, limit: LaneLimit, body_bytes: usize) -> Permit {
        state.in_flight += 1;
        state.body_bytes += body_bytes;
        *state.tenants.entry(limit.tenant_id).or_default() += 1;
        let now = self.now();
        let lane = state.lanes.entry(limit.endpoint_id).or_default();
        lane.limit(&limit, now);
        if let Some((rate, bucket)) = &mut lane.tokens {
            bucket.take(rate, now);
        }
        lane.sending += 1;
        lane.held += 1;
        lane.body_bytes += body_bytes;
        Permit::new(Arc::clone(self), limit, body_bytes)
    }

    /// The time on the clock of the token buckets.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn remembered_lanes(&self) -> usize {
        self.lock().lanes.len()
    }
}

impl State {
    fn flag(&mut self, limit: &LaneLimit, now: Duration) -> &mut Lane {
        let lane = self.lanes.entry(limit.endpoint_id).or_default();
        lane.limit(limit, now);
        lane.has_backlog = true;
        lane
    }

    fn prune(&mut self, endpoint_id: EndpointId, now: Duration) {
        if self.lanes.get_mut(&endpoint_id).is_some_and(|lane| lane.is_idle(now)) {
            self.lanes.remove(&endpoint_id);
        }
    }
}

/// In which order lanes are dealt to: first the first of each tenant, then the second of each, and so on.
fn turns_by_tenant(lanes: &[LaneLimit]) -> Vec<usize> {
    let mut seen: HashMap<TenantId, usize> = HashMap::new();
    let mut turns: Vec<(usize, usize)> = Vec::with_capacity(lanes.len());
    for (place, lane) in lanes.iter().enumerate() {
        let nth = seen.entry(lane.tenant_id).or_default();
        turns.push((*nth, place));
        *nth += 1;
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests;
