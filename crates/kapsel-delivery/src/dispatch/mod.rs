//! The dispatcher: claim → send → settle.
//!
//! The flow of one delivery, and where each step stands:
//!
//! 1. It is claimed from the store ([`Dispatcher::run_once`]) or handed over by the ingest side right after its commit
//!    (`handoff.rs`). Either way a permit was taken for it before (`gate.rs`), so that nothing is claimed which cannot
//!    start at once, and it is under a lease.
//! 2. A task of its own makes the attempt (`attempt.rs`): it builds the request, sends it, and has
//!    `kapsel_core::settlement` decide. Whatever happens in it ends in a settlement or in a release of the lease. What the
//!    outcome says about the destination goes to its circuit (`circuits.rs`), which is asked before each step whether
//!    anything may be sent.
//! 3. The results of all tasks are written in batches (`settle.rs`), and the permits go back.
//!
//! What keeps "at least once" true is the lease alone: whatever is lost in here comes back when it ends.

mod attempt;
mod circuits;
mod gate;
mod handoff;
mod lost_claims;
mod settle;
mod sweep;
mod traced;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use kapsel_core::circuit::Admission;
use kapsel_core::{
    CircuitState, Clock, EndpointId, Entropy, IdGenerator, InstanceId, Lease, LeaseToken, LogId, Timestamp, Tracer,
};
use kapsel_store::{
    CircuitStore, ClaimRequest, ClaimedDelivery, DeliveryStore, EndpointDirectory, Handoff, Lane, StoreError,
};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use self::circuits::Circuits;
use self::gate::{Gate, LaneLimit, Permit};
use self::handoff::LocalHandoff;
use self::lost_claims::LostClaims;
use self::settle::SettleQueue;
use self::sweep::Sweep;
use crate::backoff::{Backoff, jittered};
use crate::settings::DeliverySettings;
use crate::transport::Transport;
use crate::unwind;

/// The most deliveries that one claim takes. More would hold up the settlements that share the store with it.
const CLAIM_MAX: usize = 512;
/// How soon the queue is looked at again when a look found nothing although something is expected.
const EXPECTANT_PERIOD: Duration = Duration::from_millis(10);
/// How long permits and events are left to gather after a look that started little or nothing, so that there are not
/// many small claims where one larger would do.
const GATHER_TIME: Duration = Duration::from_millis(2);
/// What is much for one claim.
const CLAIM_LARGE: usize = 8;
/// How many leases long the right to probe an endpoint is. A probe has to end within it, and has a lease of its own.
const RIGHT_LEASES: u32 = 2;
/// The waits after errors of the store.
const ERROR_WAIT_BASE: Duration = Duration::from_millis(100);
const ERROR_WAIT_CAP: Duration = Duration::from_secs(5);
/// How long results and leases may take to be written after the grace of a drain.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// What a dispatcher works with.
#[derive(Clone)]
pub struct Deps {
    /// The queue.
    pub store: Arc<dyn DeliveryStore>,
    /// The circuits of the endpoints; the same store.
    pub circuits: Arc<dyn CircuitStore>,
    /// The endpoints.
    pub directory: Arc<EndpointDirectory>,
    /// The way out.
    pub transport: Arc<dyn Transport>,
    /// Where the present comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from.
    pub entropy: Arc<dyn Entropy>,
    /// Under which name leases are held.
    pub instance: InstanceId,
    /// The log that attempts go into.
    pub log_id: LogId,
    /// Takes the spans of attempts.
    pub tracer: Arc<dyn Tracer>,
}

/// What one look at the queue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunOnce {
    /// How many deliveries were claimed and started.
    pub claimed: usize,
    /// When the next delivery becomes due, where that is known.
    pub next_due_at: Option<Timestamp>,
}

/// The places for deliveries under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workers {
    /// How many there are.
    pub size: usize,
    /// How many are taken, from the reservation until the result is stored.
    pub busy: usize,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DrainReport {
    /// Deliveries that came to their end; their results are stored.
    pub finished: usize,
    /// Deliveries that were broken off, or not begun; their leases were given back.
    pub released: usize,
    /// Deliveries of which nothing could be stored any more; they are due again when their leases end.
    pub left: usize,
}

/// What the parts of a dispatcher share.
struct Shared {
    deps: Deps,
    settings: DeliverySettings,
    /// Those of the settings, in lower case.
    denied_headers: Vec<String>,
    user_agent: HeaderValue,
    attempt_ids: IdGenerator,
    gate: Arc<Gate>,
    circuits: Arc<Circuits>,
    settle: SettleQueue,
    lost_claims: LostClaims,
    /// Becomes true when deliveries under way are to be broken off.
    stop: watch::Sender<bool>,
    wake: Notify,
    /// How long attempts take.
    duration_seconds: metrics::Histogram,
    /// A slot may be started from a thread outside of the runtime, such as that of a store.
    runtime: Handle,
}

/// Works off the queue.
pub struct Dispatcher {
    shared: Arc<Shared>,
    /// Behind which lane the next round begins. Held during a run, so that two of them cannot claim for the same room.
    round: Mutex<Option<EndpointId>>,
}

impl Dispatcher {
    /// A dispatcher that does nothing yet by itself: [`Dispatcher::run`] keeps it going. Has to be called inside of a
    /// tokio runtime, on which the deliveries will run.
    pub fn new(deps: Deps, settings: DeliverySettings) -> Self {
        let runtime = Handle::current();
        let gate = Gate::new(settings.in_flight_max, settings.body_bytes_in_flight_max);
        let circuits = Circuits::start(&deps, &runtime);
        let settle = SettleQueue::start(&deps, &runtime);
        let shared = Shared {
            denied_headers: settings.denied_headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            user_agent: HeaderValue::from_str(&settings.user_agent)
                .unwrap_or_else(|_| HeaderValue::from_static("Kapsel")),
            attempt_ids: IdGenerator::new(Arc::clone(&deps.entropy)),
            gate,
            circuits,
            settle,
            lost_claims: LostClaims::default(),
            stop: watch::Sender::new(false),
            wake: Notify::new(),
            duration_seconds: metrics::histogram!("delivery_duration_seconds"),
            runtime,
            deps,
            settings,
        };
        Dispatcher { shared: Arc::new(shared), round: Mutex::new(None) }
    }

    /// Reads what is stored of the endpoints' circuits. Until that is done, by this or by the first [`Dispatcher::run_once`],
    /// fresh deliveries are not taken over: their endpoint may be one that is to be left alone.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(&self) -> Result<(), StoreError> {
        self.shared.circuits.ensure_loaded().await
    }

    /// How many deliveries are under way, and how many can be.
    pub fn workers(&self) -> Workers {
        Workers { size: self.shared.settings.in_flight_max, busy: self.shared.gate.in_flight() }
    }

    /// The endpoints whose circuits are not closed, as this instance sees them.
    pub fn circuits_not_closed(&self) -> Vec<(EndpointId, CircuitState)> {
        self.shared.circuits.not_closed()
    }

    /// Where the ingest side hands fresh deliveries over.
    pub fn handoff(&self) -> Arc<dyn Handoff> {
        Arc::new(LocalHandoff(Arc::clone(&self.shared)))
    }

    /// Has the queue looked at right away: something in it has become due by other means than time.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// [`Dispatcher::wake`] for those who should know nothing else of the dispatcher.
    pub fn waker(&self) -> Arc<dyn Fn() + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || shared.wake.notify_one())
    }

    /// Claims what is due and can start now, and starts it. Any number of calls at any time is fine.
    ///
    /// # Errors
    /// Those of the store; what may have been claimed then comes back when its lease ends.
    pub async fn run_once(&self) -> Result<RunOnce, StoreError> {
        let shared = &self.shared;
        let mut round = self.round.lock().await;
        let now = shared.deps.clock.now();
        shared.circuits.ensure_loaded().await?;
        shared.lost_claims.give_back(&*shared.deps.store, now).await?;
        let free = shared.gate.free();
        if free == 0 {
            return Ok(RunOnce::default());
        }
        let mut candidates = Vec::new();
        let mut sweep = Sweep::behind(*round);
        while candidates.len() < free.min(CLAIM_MAX)
            && let Some(due) = sweep.next(&*shared.deps.store, now, shared.deps.instance).await?
        {
            shared.circuits.catch_up(due).await?;
            candidates.extend(shared.gate.with_room(shared.deliverable(due, now)));
        }
        let seen = sweep.end();
        if seen.is_complete {
            shared.gate.unflag_all_but(&seen.due.iter().map(|lane| lane.endpoint_id).collect());
        }
        let mut permits = shared.gate.reserve_for_claim(&candidates, CLAIM_MAX);
        // Everything up to the last lane served, or looked at where none was, has had its turn.
        *round = permits.last_served().or_else(|| seen.due.last().map(|lane| lane.endpoint_id));
        let needing_rights = permits.needing_rights();
        if !needing_rights.is_empty() {
            let until = now + RIGHT_LEASES * shared.settings.lease;
            permits.keep_won(&shared.circuits.win(&needing_rights, until, now).await?);
        }
        let claimed = self.claim(permits).await?;
        Ok(RunOnce { claimed, next_due_at: seen.next_due_at })
    }

    async fn claim(&self, mut permits: gate::ClaimPermits) -> Result<usize, StoreError> {
        let shared = &self.shared;
        let now = shared.deps.clock.now();
        // The look and the right have taken their time, and the lease begins now: what was allowed then may end too early
        // for it.
        permits.retain(|lane| {
            let present = shared.lane_limit(lane.endpoint_id, now);
            present.is_some_and(|present| !present.needs_right && present.ticket == lane.ticket)
        });
        let quotas = permits.quotas();
        if quotas.is_empty() {
            return Ok(0);
        }
        let request = ClaimRequest {
            lease: shared.fresh_lease(now),
            lanes: quotas.clone(),
            body_bytes_max: permits.body_bytes_max(),
        };
        let watched = shared.lost_claims.watch(request.lease);
        let claimed = shared.deps.store.delivery_claim_due(now, request).await?;
        watched.answered();
        let mut started = 0;
        for delivery in claimed {
            match permits.take(delivery.delivery.endpoint_id, delivery.event.body.len()) {
                Some(permit) => {
                    shared.start(delivery, permit);
                    started += 1;
                }
                // A store that gives more than was asked for: the lease ends by itself.
                None => tracing::error!(delivery_id = %delivery.delivery.id, "claimed beyond the quota"),
            }
        }
        permits.conclude(&quotas);
        Ok(started)
    }

    /// Keeps the dispatcher going until `shutdown` is ready or it is drained. What is under way then goes on; see
    /// [`Dispatcher::drain`].
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let entropy = &*self.shared.deps.entropy;
        let mut backoff = Backoff::new(ERROR_WAIT_BASE, ERROR_WAIT_CAP);
        while !self.shared.gate.is_closed() {
            let pause = match unwind::caught(self.run_once()).await {
                Ok(Ok(run)) => {
                    backoff.reset();
                    self.pause_after(run)
                }
                Ok(Err(error)) => {
                    let wait = backoff.next(entropy);
                    tracing::warn!(error = &error as &dyn std::error::Error, ?wait, "cannot claim deliveries");
                    Pause { deaf: wait, whole: wait }
                }
                Err(unwind::Panicked) => {
                    let wait = backoff.next(entropy);
                    tracing::error!(?wait, "a look at the queue panicked");
                    Pause { deaf: wait, whole: wait }
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = self.pause(pause) => {}
            }
        }
    }

    fn pause_after(&self, run: RunOnce) -> Pause {
        let shared = &self.shared;
        let deaf = if run.claimed >= CLAIM_LARGE { Duration::ZERO } else { GATHER_TIME };
        if shared.gate.wants_claim() {
            // There is more where that came from, or something is about to arrive.
            let whole = if run.claimed > 0 { deaf } else { EXPECTANT_PERIOD };
            return Pause { deaf, whole };
        }
        let poll = jittered(shared.settings.poll_interval, &*shared.deps.entropy);
        let until_due = run.next_due_at.map(|due| due.saturating_since(shared.deps.clock.now()));
        let until_token = shared.gate.next_token();
        Pause { deaf, whole: until_due.into_iter().chain(until_token).fold(poll, Duration::min) }
    }

    async fn pause(&self, pause: Pause) {
        let end = Instant::now() + pause.whole;
        tokio::time::sleep(pause.deaf.min(pause.whole)).await;
        tokio::select! {
            biased;
            () = self.shared.wake.notified() => {}
            () = self.shared.gate.freed.notified() => {}
            () = self.shared.circuits.opened_up.notified() => {}
            () = tokio::time::sleep_until(end) => {}
        }
    }

    /// Ends the work: nothing is claimed or taken over any more, what is under way may finish within `grace`, what has
    /// not finished by then is broken off and its lease given back, and all results are written. Takes at most `grace`
    /// and some seconds.
    ///
    /// A delivery that is broken off may have reached its destination; it will be delivered again.
    pub async fn drain(&self, grace: Duration) -> DrainReport {
        let gate = &self.shared.gate;
        gate.close();
        let written = self.shared.settle.written();
        let (settled_before, released_before) = (written.settled(), written.released());
        if tokio::time::timeout(grace, gate.emptied()).await.is_err() {
            tracing::info!(in_flight = gate.in_flight(), "the grace is over; deliveries under way are broken off");
            self.shared.stop.send_replace(true);
            let _ = tokio::time::timeout(FLUSH_LIMIT, gate.emptied()).await;
        }
        self.shared.circuits.give_rights_up(self.shared.deps.clock.now());
        if let Ok(Err(error)) = tokio::time::timeout(FLUSH_LIMIT, self.shared.circuits.flush_all()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "changes of circuits were not stored");
        }
        DrainReport {
            finished: written.settled() - settled_before,
            released: written.released() - released_before,
            left: gate.in_flight(),
        }
    }
}

/// How long to wait before the next look at the queue.
struct Pause {
    /// So long nothing is listened to.
    deaf: Duration,
    /// At most so long in all.
    whole: Duration,
}

impl Shared {
    /// Starts the attempt of a delivery that is under a lease.
    fn start(self: &Arc<Self>, delivery: ClaimedDelivery, permit: Permit) {
        self.runtime.spawn(attempt::run(Arc::clone(self), delivery, permit));
    }

    /// A lease from `now` on with a token that nobody else has.
    fn fresh_lease(&self, now: Timestamp) -> Lease {
        let token = LeaseToken(i64::from_le_bytes(self.deps.entropy.next_u64().to_le_bytes()));
        Lease { owner: self.deps.instance, token, until: now + self.settings.lease }
    }

    /// The limits of those lanes that this instance knows to deliver to.
    fn deliverable(&self, due: &[Lane], now: Timestamp) -> Vec<LaneLimit> {
        let limit = |lane: &Lane| {
            let limit = self.lane_limit(lane.endpoint_id, now);
            if limit.is_none() {
                self.gate.unflag(lane.endpoint_id);
            }
            limit
        };
        due.iter().filter_map(limit).collect()
    }

    /// The limits of an endpoint that is there, enabled, has sound keys, and is not blocked by its circuit.
    fn lane_limit(&self, endpoint_id: EndpointId, now: Timestamp) -> Option<LaneLimit> {
        let active = self.deps.directory.get(endpoint_id)?;
        if !active.is_enabled() || active.signer.is_none() {
            return None;
        }
        let config = &active.endpoint.config;
        let passage = self.circuits.passage(endpoint_id, &config.circuit, now + self.settings.lease, now);
        let (in_flight_max, needs_right) = match passage.admission {
            Admission::Free { in_flight_max } => (in_flight_max.unwrap_or(u32::MAX), false),
            Admission::Probe { in_flight_max } => (in_flight_max, false),
            Admission::MayProbe => (config.circuit.probes, true),
            Admission::Blocked => return None,
        };
        Some(LaneLimit {
            endpoint_id,
            tenant_id: active.endpoint.tenant_id,
            in_flight_max: usize::try_from(in_flight_max.min(config.max_in_flight)).unwrap_or(usize::MAX),
            rate: config.rate_limit,
            ticket: passage.ticket,
            circuit_version: passage.version,
            needs_right,
            is_recovering: !matches!(passage.admission, Admission::Free { in_flight_max: None }),
        })
    }
}
