//! The circuits of all endpoints as this instance sees them: says who may be sent to, takes outcomes in, and keeps them
//! in step with the store.
//!
//! The rules are in `kapsel_core::circuit`. What stands here is when they are asked and when something is read and
//! written:
//!
//! - Before the first claim, and before the first fresh event is taken over, everything stored is read.
//! - A task of its own writes changes as they come, and reads every second what other instances have written. An instance
//!   that takes fresh events over can be so much behind. One that claims cannot: a claim names the version of each lane's
//!   circuit, and a look at the lanes shows where another one is stored ([`Circuits::catch_up`]).
//! - The right to probe is won before anything is claimed by it ([`Circuits::win`]).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use kapsel_core::circuit::{Admission, Breaker, Report, Ticket};
use kapsel_core::{CircuitPolicy, CircuitState, Clock, EndpointId, Entropy, InstanceId, TenantId, Timestamp};
use kapsel_store::{CircuitStore, EndpointDirectory, Lane, StoreError, StoredCircuit};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::Deps;
use crate::backoff::{Backoff, jittered};
use crate::unwind;

/// The most circuits in one write.
const BATCH_MAX: usize = 512;
/// After so many writes the task looks at something else; what is wanted meanwhile wakes it again.
const ROUNDS_MAX: usize = 16;
/// How often it is read what other instances have written.
const REFRESH_PERIOD: Duration = Duration::from_secs(1);
/// How far a refresh looks back behind the last one: as much as clocks may differ and a commit may take.
const LOOK_BACK: Duration = Duration::from_secs(30);
const WAIT_BASE: Duration = Duration::from_millis(50);
const WAIT_CAP: Duration = Duration::from_secs(2);

/// The breakers of this instance.
pub(super) struct Circuits {
    store: Arc<dyn CircuitStore>,
    clock: Arc<dyn Clock>,
    me: InstanceId,
    known: Mutex<Known>,
    is_loaded: AtomicBool,
    /// A circuit was closed, or may be probed by this instance: there may be something to do.
    pub(super) opened_up: Notify,
    /// There is something to write. Apart, so that the task can wait for it without keeping everything alive.
    wanted: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    entries: HashMap<EndpointId, Entry>,
    /// Those whose breakers want something written, in one order, so that a simulation can be replayed.
    wanting: BTreeSet<EndpointId>,
}

struct Entry {
    tenant_id: TenantId,
    breaker: Breaker,
}

/// A lane in which the right to probe has to be won, and the version of its circuit that says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct RightWanted {
    pub(super) endpoint_id: EndpointId,
    pub(super) tenant_id: TenantId,
    pub(super) circuit_version: u64,
}

/// An endpoint as it is seen at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    /// What may be sent.
    pub(super) admission: Admission,
    /// What a request that is let through now is sent with.
    pub(super) ticket: Ticket,
    /// The version that says so.
    pub(super) version: u64,
}

impl Circuits {
    /// Starts the task that reads and writes. It ends soon after this is dropped.
    pub(super) fn start(deps: &Deps, runtime: &Handle) -> Arc<Self> {
        let wanted = Arc::new(Notify::new());
        let circuits = Arc::new(Circuits {
            store: Arc::clone(&deps.circuits),
            clock: Arc::clone(&deps.clock),
            me: deps.instance,
            known: Mutex::default(),
            is_loaded: AtomicBool::new(false),
            opened_up: Notify::new(),
            wanted: Arc::clone(&wanted),
        });
        runtime.spawn(keep_in_step(
            Arc::downgrade(&circuits),
            Arc::clone(&deps.directory),
            wanted,
            Arc::clone(&deps.entropy),
        ));
        circuits
    }

    /// What may be sent to an endpoint under a lease that runs until `lease_until`. Nothing, until what is stored is known.
    pub(super) fn passage(
        &self,
        endpoint_id: EndpointId,
        policy: &CircuitPolicy,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Passage {
        let known = self.lock();
        let unknown = Breaker::default();
        let breaker = known.entries.get(&endpoint_id).map_or(&unknown, |entry| &entry.breaker);
        let admission = match self.is_loaded.load(Ordering::Acquire) {
            true => breaker.admission(self.me, policy, lease_until, now),
            false => Admission::Blocked,
        };
        Passage { admission, ticket: breaker.ticket(), version: breaker.stored().version }
    }

    /// Whether a request that was let through with this ticket may still be sent.
    pub(super) fn is_current(&self, endpoint_id: EndpointId, ticket: Ticket) -> bool {
        let known = self.lock();
        let unknown = Breaker::default();
        known.entries.get(&endpoint_id).map_or(&unknown, |entry| &entry.breaker).is_current(ticket)
    }

    /// Takes an outcome in. Returns since when the endpoint has had nothing but failures.
    pub(super) fn record(
        &self,
        endpoint_id: EndpointId,
        tenant_id: TenantId,
        report: &Report,
        policy: &CircuitPolicy,
    ) -> Option<Timestamp> {
        let mut known = self.lock();
        let Known { entries, wanting } = &mut *known;
        if report.is_success && !entries.contains_key(&endpoint_id) {
            // All is well and always was: nothing to remember. That there may have been successes is known, see `entry`.
            return None;
        }
        let entry = self.entry(entries, endpoint_id, tenant_id, report.now);
        let before = entry.breaker.wants();
        entry.breaker.record(report, policy);
        let after = entry.breaker.wants();
        if let Some(circuit) = after.filter(|_| after != before) {
            tracing::info!(
                %endpoint_id,
                state = %circuit.state,
                blocked_until = ?circuit.blocked_until,
                opened_times = circuit.opened_times,
                "the circuit changes",
            );
            wanting.insert(endpoint_id);
            self.wanted.notify_one();
        }
        entry.breaker.failing_since()
    }

    /// Reads everything that is stored, once.
    ///
    /// # Errors
    /// Those of the store; it is tried again the next time.
    pub(super) async fn ensure_loaded(&self) -> Result<(), StoreError> {
        if !self.is_loaded.load(Ordering::Acquire) {
            self.refresh(Timestamp::EPOCH).await?;
            self.is_loaded.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Reads what was written since.
    async fn refresh(&self, since: Timestamp) -> Result<(), StoreError> {
        let changes = self.store.circuit_changes(since).await?;
        self.adopt(&changes);
        Ok(())
    }

    /// Reads the circuits of those lanes where another version is stored than the known one.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn catch_up(&self, lanes: &[Lane]) -> Result<(), StoreError> {
        let differing: Vec<(Lane, u64)> = {
            let known = self.lock();
            let with_known = |lane: &Lane| (*lane, known.version(lane.endpoint_id));
            lanes.iter().map(with_known).filter(|(lane, version)| *version != lane.circuit_version).collect()
        };
        if differing.is_empty() {
            return Ok(());
        }
        let read = self.store.circuit_read(differing.iter().map(|(lane, _)| lane.endpoint_id).collect()).await?;
        let versions: HashMap<EndpointId, u64> =
            read.iter().map(|stored| (stored.endpoint_id, stored.circuit.version)).collect();
        {
            // Versions only grow, unless a store was set back to a former state. Then what is known is void. What has
            // become known during the look is newer than what was read.
            let mut known = self.lock();
            for (lane, version) in &differing {
                let stored = versions.get(&lane.endpoint_id).copied().unwrap_or(0).max(lane.circuit_version);
                let is_void = *version > stored && known.version(lane.endpoint_id) == *version;
                if let Some(entry) = known.entries.get_mut(&lane.endpoint_id).filter(|_| is_void) {
                    tracing::warn!(endpoint_id = %lane.endpoint_id, "the stored circuit is older than the known one");
                    entry.breaker.forget();
                }
            }
        }
        self.adopt(&read);
        Ok(())
    }

    /// Tries to win the right to probe each of these endpoints until `until`. Returns those for which it was won.
    ///
    /// # Errors
    /// Those of the store; a right that was won all the same is found by [`Circuits::catch_up`].
    pub(super) async fn win(
        &self,
        lanes: &[RightWanted],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<HashMap<EndpointId, (Ticket, u64)>, StoreError> {
        let rights: Vec<StoredCircuit> = {
            let known = self.lock();
            let right = |lane: &RightWanted| {
                let breaker = &known.entries.get(&lane.endpoint_id)?.breaker;
                // Since the lane was looked at, somebody else may have won, closed the circuit, or opened it again.
                let is_unchanged = breaker.stored().version == lane.circuit_version && breaker.wants().is_none();
                let circuit = breaker.probe_right(self.me, until, now);
                let (endpoint_id, tenant_id) = (lane.endpoint_id, lane.tenant_id);
                is_unchanged.then_some(StoredCircuit { endpoint_id, tenant_id, circuit })
            };
            lanes.iter().filter_map(right).collect()
        };
        if rights.is_empty() {
            return Ok(HashMap::new());
        }
        let written = self.store.circuit_put_if_version(rights.clone()).await?;
        let won: Vec<StoredCircuit> =
            rights.iter().zip(&written).filter(|(_, is_written)| **is_written).map(|(right, _)| *right).collect();
        let mut known = self.lock();
        for right in &won {
            if let Some(entry) = known.entries.get_mut(&right.endpoint_id) {
                entry.breaker.won(right.circuit);
            }
        }
        let proof = |right: &StoredCircuit| {
            let breaker = &known.entries.get(&right.endpoint_id)?.breaker;
            // Somebody may have changed it since, and that may have been read already.
            let is_held = breaker.stored().version == right.circuit.version;
            is_held.then(|| (right.endpoint_id, (breaker.ticket(), right.circuit.version)))
        };
        Ok(won.iter().filter_map(proof).collect())
    }

    /// Writes what is to be written, until nothing is left or it was much.
    ///
    /// # Errors
    /// Those of the store; what was not written still is to be.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        for _ in 0..ROUNDS_MAX {
            let batch = self.to_write();
            if batch.is_empty() {
                break;
            }
            let ids: Vec<EndpointId> = batch.iter().map(|stored| stored.endpoint_id).collect();
            let result = unwind::caught(self.write(&batch)).await;
            let mut known = self.lock();
            for id in ids {
                if let Some(entry) = known.entries.get_mut(&id) {
                    entry.breaker.write_ended();
                }
            }
            drop(known);
            result.unwrap_or_else(|unwind::Panicked| {
                Err(StoreError::Unavailable { message: "it panicked", cause: None })
            })?;
        }
        Ok(())
    }

    /// Writes until nothing is wanted any more, whoever is at it.
    pub(super) async fn flush_all(&self) -> Result<(), StoreError> {
        loop {
            self.flush().await?;
            if self.lock().wanting.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(WAIT_BASE).await;
        }
    }

    /// Gives back what this instance has the right to probe, so that nobody has to wait until that ends.
    pub(super) fn give_rights_up(&self, now: Timestamp) {
        let mut known = self.lock();
        let Known { entries, wanting } = &mut *known;
        for (endpoint_id, entry) in entries {
            entry.breaker.give_right_up(self.me, now);
            if entry.breaker.wants().is_some() {
                wanting.insert(*endpoint_id);
            }
        }
    }

    /// Those that are not closed.
    pub(super) fn not_closed(&self) -> Vec<(EndpointId, CircuitState)> {
        let now = self.clock.now();
        let known = self.lock();
        let state = |(endpoint_id, entry): (&EndpointId, &Entry)| {
            let circuit = entry.breaker.wants().unwrap_or(*entry.breaker.stored());
            Some((*endpoint_id, circuit.state_at(now))).filter(|(_, state)| *state != CircuitState::Closed)
        };
        known.entries.iter().filter_map(state).collect()
    }

    /// Forgets endpoints that are gone.
    fn retain(&self, mut is_known: impl FnMut(EndpointId) -> bool) {
        let mut known = self.lock();
        let Known { entries, wanting } = &mut *known;
        entries.retain(|endpoint_id, _| is_known(*endpoint_id) || wanting.contains(endpoint_id));
    }

    fn to_write(&self) -> Vec<StoredCircuit> {
        let mut known = self.lock();
        let Known { entries, wanting } = &mut *known;
        wanting.retain(|endpoint_id| entries.get(endpoint_id).is_some_and(|entry| entry.breaker.wants().is_some()));
        let wanted = |endpoint_id: &EndpointId| {
            let entry: &mut Entry = entries.get_mut(endpoint_id)?;
            let circuit = entry.breaker.to_write()?;
            Some(StoredCircuit { endpoint_id: *endpoint_id, tenant_id: entry.tenant_id, circuit })
        };
        wanting.iter().filter_map(wanted).take(BATCH_MAX).collect()
    }

    async fn write(&self, batch: &[StoredCircuit]) -> Result<(), StoreError> {
        let written = self.store.circuit_put_if_version(batch.to_vec()).await?;
        let (won, lost): (Vec<_>, Vec<_>) = batch.iter().zip(written).partition(|(_, is_written)| *is_written);
        self.adopt(&won.into_iter().map(|(stored, _)| *stored).collect::<Vec<_>>());
        if lost.is_empty() {
            return Ok(());
        }
        // Somebody was first, or an earlier try was not in vain.
        let lost: Vec<EndpointId> = lost.into_iter().map(|(stored, _)| stored.endpoint_id).collect();
        let read = self.store.circuit_read(lost.clone()).await?;
        let mut known = self.lock();
        for id in lost {
            if !read.iter().any(|stored| stored.endpoint_id == id) {
                // The endpoint is gone.
                known.entries.remove(&id);
            }
        }
        drop(known);
        self.adopt(&read);
        Ok(())
    }

    fn adopt(&self, circuits: &[StoredCircuit]) {
        let now = self.clock.now();
        let mut known = self.lock();
        let Known { entries, wanting } = &mut *known;
        let mut has_opened_up = false;
        for StoredCircuit { endpoint_id, tenant_id, circuit } in circuits {
            let entry = self.entry(entries, *endpoint_id, *tenant_id, now);
            has_opened_up |= circuit.version > entry.breaker.stored().version && !circuit.is_blocked(now);
            entry.breaker.adopt(*circuit, now);
            if entry.breaker.wants().is_some() {
                wanting.insert(*endpoint_id);
                self.wanted.notify_one();
            }
        }
        drop(known);
        if has_opened_up {
            self.opened_up.notify_one();
        }
    }

    /// The entry of an endpoint; one that there was none of is kept from `now` on. What is read first of all comes before
    /// anything was sent.
    fn entry<'a>(
        &self,
        entries: &'a mut HashMap<EndpointId, Entry>,
        endpoint_id: EndpointId,
        tenant_id: TenantId,
        now: Timestamp,
    ) -> &'a mut Entry {
        let breaker = || match self.is_loaded.load(Ordering::Acquire) {
            true => Breaker::kept_from(now),
            false => Breaker::default(),
        };
        entries.entry(endpoint_id).or_insert_with(|| Entry { tenant_id, breaker: breaker() })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it holds the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn version(&self, endpoint_id: EndpointId) -> u64 {
        self.entries.get(&endpoint_id).map_or(0, |entry| entry.breaker.stored().version)
    }
}

/// Writes changes as they come and reads those of others, until the circuits are dropped.
async fn keep_in_step(
    circuits: Weak<Circuits>,
    directory: Arc<EndpointDirectory>,
    wanted: Arc<Notify>,
    entropy: Arc<dyn Entropy>,
) {
    let mut backoff = Backoff::new(WAIT_BASE, WAIT_CAP);
    let mut read_up_to = Timestamp::EPOCH;
    let mut refresh_at = tokio::time::Instant::now() + jittered(REFRESH_PERIOD, &*entropy);
    loop {
        tokio::select! {
            biased;
            () = wanted.notified() => {}
            () = tokio::time::sleep_until(refresh_at) => {}
        }
        let Some(circuits) = circuits.upgrade() else { return };
        let mut result = circuits.flush().await;
        let is_time = refresh_at <= tokio::time::Instant::now();
        if is_time {
            refresh_at = tokio::time::Instant::now() + jittered(REFRESH_PERIOD, &*entropy);
        }
        if is_time && circuits.is_loaded.load(Ordering::Acquire) {
            let now = circuits.clock.now();
            match unwind::caught(circuits.refresh(read_up_to - LOOK_BACK)).await {
                Ok(Ok(())) => read_up_to = now,
                Ok(Err(error)) => result = Err(error),
                Err(unwind::Panicked) => tracing::error!("reading the circuits panicked"),
            }
        }
        if is_time {
            circuits.retain(|endpoint_id| directory.get(endpoint_id).is_some());
        }
        drop(circuits);
        match result {
            Ok(()) => backoff.reset(),
            Err(error) => {
                let wait = backoff.next(&*entropy);
                tracing::warn!(error = &error as &dyn std::error::Error, ?wait, "cannot keep the circuits in step");
                tokio::time::sleep(wait).await;
                wanted.notify_one();
            }
        }
    }
}
