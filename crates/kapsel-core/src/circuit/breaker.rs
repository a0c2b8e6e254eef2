//! One instance's part in the circuit of one endpoint: what it knows to be stored, what it has counted since, and the
//! change that it wants to have written.
//!
//! A change that forbids (an opening, a pause) holds at once, before it is stored. A change that allows holds only when it
//! is: the right to probe has to be won, and a circuit is closed for everybody or for nobody. When somebody else's change
//! was stored first, that one counts and the own one is dropped.

use std::time::Duration;

use super::policy::CircuitPolicy;
use super::ramp::Ramp;
use super::signal::Signal;
use super::window::Window;
use super::{Circuit, CircuitState};
use crate::ids::InstanceId;
use crate::time::Timestamp;

/// How long failures have to last before it is written down since when. Openings and pauses write it anyway.
const FAILING_NOTED_AFTER: Duration = Duration::from_secs(600);
/// A pause that would end at most so much later than the one that is on is not written.
const PAUSE_GRAIN: Duration = Duration::from_secs(1);
/// A closed circuit that was written so short a time ago has just recovered, as far as an instance knows that sees it for
/// the first time.
const RECENT: Duration = Duration::from_secs(60);

/// What may be sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Requests pass; if a number is given, at most so many at once.
    Free {
        /// The limit while concurrency grows.
        in_flight_max: Option<u32>,
    },
    /// This instance has the right to probe for long enough.
    Probe {
        /// So many at once.
        in_flight_max: u32,
    },
    /// This instance may try to win the right to probe; see [`Breaker::probe_right`].
    MayProbe,
    /// Nothing may be sent.
    Blocked,
}

/// Under which circumstances a request was let through. What it says counts only while they still hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ticket(u64);

/// What came of a request that a breaker let through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// The ticket it was sent with.
    pub ticket: Ticket,
    /// What it says about the destination.
    pub signal: Signal,
    /// Whether the event was delivered.
    pub is_success: bool,
    /// How many requests to the endpoint may be under way when nothing is wrong; where slow growth ends.
    pub in_flight_max: u32,
    /// When the outcome was known.
    pub now: Timestamp,
    /// When the other requests of this instance that are under way to the endpoint have ended at the latest; `now` if there
    /// are none.
    pub others_until: Timestamp,
    /// A random number in `0.0 ..= 1.0`.
    pub unit: f64,
}

/// The state of one instance.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    /// As it was last read, or written by this instance.
    stored: Circuit,
    /// What is to be written. Its version is that of `stored` plus one.
    wanted: Option<Circuit>,
    /// What is being written right now.
    writing: Option<Circuit>,
    /// What was last tried to be written. It may be stored though that seemed to fail.
    attempted: Option<Circuit>,
    /// Until when a destination that is being probed has asked not to be.
    probes_paused_until: Option<Timestamp>,
    /// Changes whenever what was counted so far says nothing any more.
    generation: u64,
    window: Window,
    probe_successes: u32,
    ramp: Option<Ramp>,
    /// Since when this instance knows of no success.
    failing_since: Option<Timestamp>,
    /// When it last saw one itself, or may have seen one at the latest.
    last_success: Option<Timestamp>,
}

impl Breaker {
    /// A breaker that is kept from `now` on. Before, nothing was kept because all was well: there may have been a success
    /// until `now`, which counts against what others believe.
    pub fn kept_from(now: Timestamp) -> Self {
        Breaker { last_success: Some(now), ..Breaker::default() }
    }

    /// What is known to be stored.
    pub fn stored(&self) -> &Circuit {
        &self.stored
    }

    /// The circuit as this instance sees it: with its own change, stored or not.
    fn present(&self) -> Circuit {
        self.wanted.unwrap_or(self.stored)
    }

    /// What `me` may send at `now`, under a lease that runs until `lease_until`.
    pub fn admission(
        &self,
        me: InstanceId,
        policy: &CircuitPolicy,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Admission {
        let circuit = self.present();
        let is_settled = self.wanted.is_none();
        match circuit.state {
            CircuitState::Closed if self.stored.state != CircuitState::Closed => Admission::Blocked,
            CircuitState::Closed if circuit.is_blocked(now) => Admission::Blocked,
            CircuitState::Closed => Admission::Free { in_flight_max: self.ramp.map(Ramp::limit) },
            CircuitState::HalfOpen if self.probes_paused_until.is_some_and(|until| now < until) => Admission::Blocked,
            CircuitState::HalfOpen if circuit.prober == Some(me) && circuit.is_blocked(lease_until) => {
                Admission::Probe { in_flight_max: policy.probes }
            }
            CircuitState::Open | CircuitState::HalfOpen if is_settled && !circuit.is_blocked_for(me, now) => {
                Admission::MayProbe
            }
            CircuitState::Open | CircuitState::HalfOpen => Admission::Blocked,
        }
    }

    /// What has to be stored, in place of the version that is known, for `me` to have the right to probe until `until`.
    pub fn probe_right(&self, me: InstanceId, until: Timestamp, now: Timestamp) -> Circuit {
        Circuit {
            state: CircuitState::HalfOpen,
            prober: Some(me),
            blocked_until: Some(until),
            changed_at: now,
            version: self.stored.version + 1,
            // A success that was seen since the last change is told with this one.
            failing_since: self.failing_since,
            ..self.stored
        }
    }

    /// A right from [`Breaker::probe_right`] was stored.
    pub fn won(&mut self, right: Circuit) {
        if right.version > self.stored.version {
            let before = self.present();
            self.stored = right;
            self.wanted = None;
            self.entered(before, right);
        }
    }

    /// What was known is void: the store has an older state than it had. Nothing that was let through before counts, but
    /// for successes that were seen here.
    pub fn forget(&mut self) {
        let Breaker { generation, last_success, .. } = *self;
        *self = Breaker { generation: generation + 1, last_success, ..Breaker::default() };
    }

    /// The ticket of a request that is let through now.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.generation)
    }

    /// Whether a request with this ticket may still be sent.
    pub fn is_current(&self, ticket: Ticket) -> bool {
        ticket.0 == self.generation
    }

    /// Since when nothing but failures has come: as all instances know, and as far as this one has seen no success since.
    /// What one instance alone believes does not count: another one may have had successes all the time.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.stored.failing_since.zip(self.failing_since).map(|(known, own)| known.max(own))
    }

    /// Takes the outcome of a request in. [`Breaker::to_write`] tells afterwards whether something is to be written.
    pub fn record(&mut self, report: &Report, policy: &CircuitPolicy) {
        if report.signal == Signal::Silent {
            return;
        }
        self.note_success(report.is_success, report.now);
        if !self.is_current(report.ticket) {
            return;
        }
        match (self.present().state, report.signal) {
            (_, Signal::Silent) | (CircuitState::Open, _) => {}
            (CircuitState::Closed, Signal::Alive) => {
                self.window.push(false, policy);
                self.ramp = self.ramp.and_then(|ramp| ramp.succeeded(report.in_flight_max));
            }
            (CircuitState::Closed, Signal::Failing) => {
                if self.window.push(true, policy) {
                    self.open(report, policy);
                }
            }
            (CircuitState::Closed, Signal::Busy(wait)) => self.pause(report.now + wait, report.now),
            (CircuitState::HalfOpen, Signal::Alive) => {
                self.probe_successes += 1;
                if self.probe_successes >= policy.successes {
                    self.change(Circuit { failing_since: self.noted(report.now), ..Circuit::default() }, report.now);
                }
            }
            (CircuitState::HalfOpen, Signal::Failing) => self.open(report, policy),
            (CircuitState::HalfOpen, Signal::Busy(wait)) => {
                // The right is kept, so that nobody else sends meanwhile, and not used.
                let until = report.now + wait;
                self.probes_paused_until = self.probes_paused_until.max(Some(until));
                let present = self.present();
                if present.blocked_until < Some(until) {
                    self.change(Circuit { blocked_until: Some(until), ..present }, report.now);
                }
            }
        }
    }

    /// Gives the right to probe up, if `me` has it: anybody may win it from `now` on.
    pub fn give_right_up(&mut self, me: InstanceId, now: Timestamp) {
        let present = self.present();
        if present.state == CircuitState::HalfOpen && present.prober == Some(me) {
            self.change(present.released(now), now);
        }
    }

    fn open(&mut self, report: &Report, policy: &CircuitPolicy) {
        let present = self.present();
        let opened_times = present.opened_times.saturating_add(1);
        let mut blocked_until = report.now + policy.open_time(opened_times, report.unit);
        if present.state == CircuitState::HalfOpen {
            // Whoever probes next must not do so beside a probe of ours that is still under way.
            blocked_until = blocked_until.max(report.others_until);
        }
        let opened = Circuit {
            state: CircuitState::Open,
            blocked_until: Some(blocked_until),
            opened_at: Some(report.now),
            opened_times,
            failing_since: self.noted(report.now),
            ..Circuit::default()
        };
        self.change(opened, report.now);
    }

    fn pause(&mut self, until: Timestamp, now: Timestamp) {
        let present = self.present();
        if present.blocked_until.is_none_or(|blocked| blocked + PAUSE_GRAIN < until) {
            let paused = Circuit { blocked_until: Some(until), failing_since: self.noted(now), ..present };
            self.change(paused, now);
        }
    }

    /// Writes down since when nothing but failures has come, and that it is over.
    fn note_success(&mut self, is_success: bool, now: Timestamp) {
        let present = self.present();
        if is_success {
            self.failing_since = None;
            self.last_success = Some(now);
            // In the other states it is written with the next change.
            if present.failing_since.is_some() && present.state == CircuitState::Closed {
                self.change(Circuit { failing_since: None, ..present }, now);
            }
            return;
        }
        let since = *self.failing_since.get_or_insert(now);
        let is_long = now.saturating_since(since) >= FAILING_NOTED_AFTER;
        if present.failing_since.is_none() && is_long {
            self.change(Circuit { failing_since: self.noted(now), ..present }, now);
        }
    }

    /// Since when nothing but failures has come, as it may be written down. What is written for the first time begins now:
    /// for the time before, this instance cannot speak for the others, and they could not object.
    fn noted(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.failing_since?;
        Some(self.present().failing_since.map_or(now, |known| since.max(known)))
    }

    fn change(&mut self, next: Circuit, now: Timestamp) {
        let before = self.present();
        let next = Circuit { version: self.stored.version + 1, changed_at: now, ..next };
        self.wanted = Some(next);
        self.entered(before, next);
    }

    /// The change that is still to be stored.
    pub fn wants(&self) -> Option<Circuit> {
        self.wanted
    }

    /// What is to be written, if anything is and it is not being written already.
    pub fn to_write(&mut self) -> Option<Circuit> {
        let wanted = self.wanted.filter(|_| self.writing.is_none())?;
        self.writing = Some(wanted);
        self.attempted = Some(wanted);
        Some(wanted)
    }

    /// The write that [`Breaker::to_write`] began is over; what came of it is told by [`Breaker::adopt`].
    pub fn write_ended(&mut self) {
        self.writing = None;
    }

    /// Takes in what is stored at `now`. Older versions than the known one are passed over.
    pub fn adopt(&mut self, circuit: Circuit, now: Timestamp) {
        if circuit.version <= self.stored.version {
            return;
        }
        let before = self.present();
        let is_first_sight = self.stored == Circuit::default();
        let is_own = self.attempted == Some(circuit) || self.wanted == Some(circuit);
        self.stored = circuit;
        if is_own {
            // What has been wanted since the write began is still to be written.
            self.wanted = self.wanted.filter(|wanted| *wanted != circuit);
            if let Some(wanted) = &mut self.wanted {
                wanted.version = circuit.version + 1;
            }
            return;
        }
        // A note or a pause of somebody else's takes nothing back of what this instance has seen. A circuit that is closed
        // without either was just closed, or reset by hand.
        let is_remark = circuit.state == CircuitState::Closed
            && (circuit.failing_since.is_some() || circuit.blocked_until.is_some());
        if let Some(opening) = self.wanted.filter(|wanted| wanted.state == CircuitState::Open && is_remark) {
            self.wanted = Some(Circuit { version: circuit.version + 1, ..opening });
            return;
        }
        self.wanted = None;
        // Somebody else's word: a success elsewhere ends what looked like nothing but failures from here. And one that was
        // seen here counts against what others believe.
        let since_success = |since: Timestamp| self.last_success.map_or(since, |success| since.max(success));
        self.failing_since = circuit.failing_since.map(since_success);
        self.entered(before, circuit);
        let is_recent = now.saturating_since(circuit.changed_at) < RECENT;
        if is_first_sight && is_recent && circuit.state == CircuitState::Closed {
            self.ramp = Some(Ramp::START);
        }
    }

    /// Starts counting anew where a change makes the old count void.
    fn entered(&mut self, before: Circuit, after: Circuit) {
        let has_moved =
            before.state != after.state || before.prober != after.prober || before.opened_times != after.opened_times;
        let pauses = after.state == CircuitState::Closed && after.blocked_until > before.blocked_until;
        if !has_moved && !pauses {
            return;
        }
        self.generation += 1;
        self.probe_successes = 0;
        self.probes_paused_until = None;
        if has_moved {
            self.window = Window::default();
        }
        self.ramp = Some(Ramp::START);
    }
}
