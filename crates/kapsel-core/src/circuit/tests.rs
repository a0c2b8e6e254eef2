use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::entropy::Entropy;
use crate::ids::IdGenerator;

mod failing;

const START: Timestamp = Timestamp::from_unix_seconds(1_767_225_600);
const LEASE: Duration = Duration::from_secs(60);

struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

fn instances() -> [InstanceId; 2] {
    let ids = IdGenerator::new(std::sync::Arc::new(Zeros));
    [ids.next(START), ids.next(START + Duration::from_millis(5))]
}

/// What is stored, two instances, and a time that is moved by hand.
struct World {
    stored: Circuit,
    me: InstanceId,
    other: InstanceId,
    now: Timestamp,
    policy: CircuitPolicy,
}

impl World {
    fn new() -> Self {
        let [me, other] = instances();
        World { stored: Circuit::default(), me, other, now: START, policy: CircuitPolicy::default() }
    }

    fn pass(&mut self, seconds: f64) {
        self.now = self.now + Duration::from_secs_f64(seconds);
    }

    fn admission(&self, breaker: &Breaker) -> Admission {
        breaker.admission(self.me, &self.policy, self.now + LEASE, self.now)
    }

    /// Reports on a request that was let through just now.
    fn record(&self, breaker: &mut Breaker, signal: Signal) {
        self.record_with(breaker, breaker.ticket(), signal);
    }

    fn record_with(&self, breaker: &mut Breaker, ticket: Ticket, signal: Signal) {
        let is_success = signal == Signal::Alive;
        let report =
            Report { ticket, signal, is_success, in_flight_max: 64, now: self.now, others_until: self.now, unit: 0.0 };
        breaker.record(&report, &self.policy);
    }

    /// Writes what the breaker wants to have written, as a store with compare-and-swap does.
    fn write(&mut self, breaker: &mut Breaker) -> bool {
        let Some(wanted) = breaker.to_write() else { return false };
        let is_written = wanted.version == self.stored.version + 1;
        if is_written {
            self.stored = wanted;
        }
        breaker.adopt(self.stored, self.now);
        breaker.write_ended();
        is_written
    }

    fn win(&mut self, breaker: &mut Breaker, by: InstanceId) -> bool {
        let right = breaker.probe_right(by, self.now + LEASE * 2, self.now);
        let is_won = right.version == self.stored.version + 1;
        if is_won {
            self.stored = right;
            breaker.won(right);
        }
        breaker.adopt(self.stored, self.now);
        is_won
    }

    /// A breaker that has opened, and its opening stored.
    fn opened(&mut self) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            self.record(&mut breaker, Signal::Failing);
        }
        assert!(self.write(&mut breaker));
        assert_eq!(self.stored.state, CircuitState::Open);
        breaker
    }
}

const FREE: Admission = Admission::Free { in_flight_max: None };

#[test]
fn five_failures_in_a_row_open_it_at_once_though_nothing_is_stored_yet() {
    let world = World::new();
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        world.record(&mut breaker, Signal::Failing);
        assert_eq!(world.admission(&breaker), FREE);
        assert_eq!(breaker.to_write(), None);
    }
    world.record(&mut breaker, Signal::Failing);
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    let wanted = breaker.to_write().unwrap();
    assert_eq!((wanted.state, wanted.version, wanted.opened_times), (CircuitState::Open, 1, 1));
    assert_eq!(wanted.blocked_until, Some(START + Duration::from_secs(30)));
    assert_eq!(wanted.failing_since, Some(START));
    assert_eq!(breaker.to_write(), None, "it is being written");
}

#[test]
fn time_alone_makes_it_half_open() {
    let mut world = World::new();
    let breaker = world.opened();
    world.pass(29.999);
    assert_eq!(world.stored.state_at(world.now), CircuitState::Open);
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    world.pass(0.001);
    assert_eq!(world.stored.state_at(world.now), CircuitState::HalfOpen);
    assert_eq!(world.admission(&breaker), Admission::MayProbe);
}

#[test]
fn one_instance_wins_the_right_to_probe_and_the_other_waits() {
    let mut world = World::new();
    let mut breaker = world.opened();
    let mut others = Breaker::default();
    others.adopt(world.stored, world.now);
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    let other = world.other;
    assert!(!world.win(&mut others, other), "the version has moved on");
    assert_eq!(world.admission(&breaker), Admission::Probe { in_flight_max: 2 });
    let admission = |breaker: &Breaker, now| breaker.admission(other, &world.policy, now + LEASE, now);
    assert_eq!(admission(&others, world.now), Admission::Blocked);
    // The right ends with its time, should its holder be dead.
    assert_eq!(admission(&others, world.now + LEASE * 2), Admission::MayProbe);
}

#[test]
fn a_right_too_short_for_a_lease_has_to_be_won_again() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    let ticket = breaker.ticket();
    world.record(&mut breaker, Signal::Alive);
    world.pass(61.0);
    assert_eq!(world.admission(&breaker), Admission::MayProbe);
    assert!(world.win(&mut breaker, world.me));
    assert!(breaker.is_current(ticket), "what was probed before still counts");
    world.record(&mut breaker, Signal::Alive);
    world.record_with(&mut breaker, ticket, Signal::Alive);
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored.state, CircuitState::Closed);
}

#[test]
fn three_successes_close_it_when_that_is_stored_and_growth_is_slow() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    for _ in 0..3 {
        assert_eq!(breaker.to_write(), None);
        world.record(&mut breaker, Signal::Alive);
    }
    assert_eq!(world.admission(&breaker), Admission::Blocked, "it is closed for everybody or for nobody");
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored, Circuit { changed_at: world.now, version: 3, ..Circuit::default() });
    let mut limits = Vec::new();
    while let Admission::Free { in_flight_max: Some(limit) } = world.admission(&breaker) {
        limits.push(limit);
        world.record(&mut breaker, Signal::Alive);
    }
    assert_eq!(limits.iter().max(), Some(&32));
    assert_eq!(limits[..7], [1, 2, 2, 4, 4, 4, 4]);
    assert_eq!(world.admission(&breaker), FREE);
}

#[test]
fn one_failure_reopens_it_for_longer() {
    let mut world = World::new();
    let mut breaker = world.opened();
    for times in [2, 3, 4] {
        world.now = world.stored.blocked_until.unwrap();
        assert!(world.win(&mut breaker, world.me));
        world.record(&mut breaker, Signal::Alive);
        world.record(&mut breaker, Signal::Failing);
        assert!(world.write(&mut breaker));
        let expected = world.now + world.policy.open_time(times, 0.0);
        assert_eq!((world.stored.state, world.stored.blocked_until), (CircuitState::Open, Some(expected)));
        assert_eq!((world.stored.opened_times, world.stored.prober), (times, None));
    }
}

#[test]
fn a_request_from_before_a_change_says_nothing_about_after_it() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    let early = breaker.ticket();
    for _ in 0..5 {
        world.record(&mut breaker, Signal::Failing);
    }
    assert!(world.write(&mut breaker));
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    assert!(!breaker.is_current(early));
    for _ in 0..3 {
        world.record_with(&mut breaker, early, Signal::Failing);
        world.record_with(&mut breaker, early, Signal::Alive);
    }
    assert_eq!(breaker.to_write(), None);
    assert_eq!(world.admission(&breaker), Admission::Probe { in_flight_max: 2 });
}

#[test]
fn a_busy_destination_pauses_without_opening() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    let ticket = breaker.ticket();
    world.record(&mut breaker, Signal::Busy(Duration::from_secs(10)));
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    assert!(world.write(&mut breaker));
    assert_eq!((world.stored.state, world.stored.state_at(world.now)), (CircuitState::Closed, CircuitState::Closed));
    // Others that were under way say nearly the same: that is not worth a write.
    world.pass(0.5);
    world.record_with(&mut breaker, ticket, Signal::Busy(Duration::from_secs(10)));
    assert_eq!(breaker.to_write(), None);
    world.pass(9.5);
    assert_eq!(world.admission(&breaker), Admission::Free { in_flight_max: Some(1) });
    for _ in 0..100 {
        world.record(&mut breaker, Signal::Busy(Duration::from_secs(1)));
        world.write(&mut breaker);
        world.pass(2.0);
    }
    assert_eq!((world.stored.state, world.stored.opened_times), (CircuitState::Closed, 0));
}

#[test]
fn a_busy_probe_keeps_the_right_and_waits() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    world.record(&mut breaker, Signal::Alive);
    world.record(&mut breaker, Signal::Busy(Duration::from_secs(7)));
    assert_eq!(breaker.to_write(), None, "the right is longer than the pause");
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    assert!(world.stored.is_blocked_for(world.other, world.now));
    world.pass(7.0);
    assert_eq!(world.admission(&breaker), Admission::Probe { in_flight_max: 2 });
    // A longer pause keeps everybody away for as long as it takes.
    world.record(&mut breaker, Signal::Busy(Duration::from_secs(1_000)));
    assert!(world.write(&mut breaker));
    assert_eq!((world.stored.state, world.stored.opened_times), (CircuitState::HalfOpen, 1));
    world.pass(999.0);
    assert!(world.stored.is_blocked_for(world.other, world.now));
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    world.pass(1.0);
    assert_eq!(world.admission(&breaker), Admission::MayProbe);
    assert!(world.win(&mut breaker, world.me));
    world.record(&mut breaker, Signal::Alive);
    world.record(&mut breaker, Signal::Alive);
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored.state, CircuitState::Closed, "the first success still counts");
}

#[test]
fn an_opening_outlasts_somebody_elses_remark_but_not_a_reset() {
    let mut world = World::new();
    let remarks = [
        Circuit { blocked_until: Some(START + Duration::from_secs(3)), ..Circuit::default() },
        Circuit { failing_since: Some(START), ..Circuit::default() },
    ];
    for remark in remarks {
        let mut breaker = Breaker::default();
        for _ in 0..5 {
            world.record(&mut breaker, Signal::Failing);
        }
        // Meanwhile another instance has written a pause, or since when it sees failures.
        world.stored = Circuit { changed_at: world.now, version: 1, ..remark };
        assert!(!world.write(&mut breaker));
        assert_eq!(world.admission(&breaker), Admission::Blocked);
        assert!(world.write(&mut breaker));
        assert_eq!((world.stored.state, world.stored.version), (CircuitState::Open, 2));
    }
    let mut breaker = Breaker::default();
    for _ in 0..5 {
        world.record(&mut breaker, Signal::Failing);
    }
    world.stored = Circuit::default().reset(world.now);
    assert!(!world.write(&mut breaker));
    assert_eq!(breaker.to_write(), None);
    assert_eq!(world.admission(&breaker), Admission::Free { in_flight_max: Some(1) });
}

#[test]
fn an_opening_outlasts_an_own_write_that_seemed_to_fail() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.record(&mut breaker, Signal::Failing);
    world.pass(601.0);
    world.record(&mut breaker, Signal::Failing);
    // Stored, but the answer was lost.
    world.stored = breaker.to_write().unwrap();
    breaker.write_ended();
    for _ in 0..3 {
        world.record(&mut breaker, Signal::Failing);
    }
    assert!(!world.write(&mut breaker), "the version has moved on");
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    assert!(world.write(&mut breaker));
    assert_eq!((world.stored.state, world.stored.version), (CircuitState::Open, 2));
}

#[test]
fn an_opening_ends_after_the_probes_that_are_still_under_way() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.policy.open_seconds = 1;
    world.policy.open_seconds_max = 1;
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    let others_until = world.now + Duration::from_secs(20);
    let (ticket, now) = (breaker.ticket(), world.now);
    let signal = Signal::Failing;
    let report = Report { ticket, signal, is_success: false, in_flight_max: 64, now, others_until, unit: 0.0 };
    breaker.record(&report, &world.policy);
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored.blocked_until, Some(others_until));
}

#[test]
fn what_is_wanted_while_a_write_is_under_way_is_written_next() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.record(&mut breaker, Signal::Failing);
    world.pass(601.0);
    world.record(&mut breaker, Signal::Failing);
    let noted = breaker.to_write().unwrap();
    let since = world.now;
    assert_eq!((noted.state, noted.failing_since), (CircuitState::Closed, Some(since)),);
    for _ in 0..3 {
        world.record(&mut breaker, Signal::Failing);
    }
    assert_eq!(breaker.to_write(), None, "one write at a time");
    world.stored = noted;
    breaker.adopt(noted, world.now);
    breaker.write_ended();
    assert_eq!(world.admission(&breaker), Admission::Blocked);
    assert!(world.write(&mut breaker));
    assert_eq!((world.stored.state, world.stored.version), (CircuitState::Open, 2));
    assert_eq!(world.stored.failing_since, Some(since));
}

#[test]
fn an_instance_that_starts_knows_what_is_stored_and_is_careful_after_a_recovery() {
    let mut world = World::new();
    world.opened();
    let mut fresh = Breaker::default();
    fresh.adopt(world.stored, world.now);
    assert_eq!(world.admission(&fresh), Admission::Blocked);
    let recovered = world.stored.reset(world.now);
    for (age, expected) in [(1.0, Some(1)), (61.0, None)] {
        let mut fresh = Breaker::default();
        fresh.adopt(recovered, world.now + Duration::from_secs_f64(age));
        assert_eq!(world.admission(&fresh), Admission::Free { in_flight_max: expected });
    }
}

proptest! {
    /// Two instances over one stored circuit, with any order of reports, lost writes, late reads and time.
    #[test]
    fn whatever_happens_only_time_and_the_winner_send_through_an_open_circuit(
        steps in proptest::collection::vec((0_u8..9, any::<bool>(), 0_u64..40_000), 1..400),
    ) {
        let mut world = World::new();
        let ids = [world.me, world.other];
        let mut breakers = [Breaker::default(), Breaker::default()];
        for (what, second, millis) in steps {
            let index = usize::from(second);
            let breaker = &mut breakers[index];
            let admission = breaker.admission(ids[index], &world.policy, world.now + LEASE, world.now);
            let may_send = matches!(admission, Admission::Free { .. } | Admission::Probe { .. });
            if breaker.stored().version == world.stored.version && may_send {
                // Who knows what is stored sends only where that allows it.
                prop_assert!(!world.stored.is_blocked_for(ids[index], world.now), "{:?}", world.stored);
                prop_assert!(world.stored.state != CircuitState::Open);
            }
            match what {
                0 | 1 if may_send => world.record(breaker, Signal::Failing),
                2 if may_send => world.record(breaker, Signal::Alive),
                3 if may_send => world.record(breaker, Signal::Busy(Duration::from_millis(millis))),
                4 => { world.write(breaker); }
                5 => breaker.adopt(world.stored, world.now),
                6 if admission == Admission::MayProbe => { world.win(breaker, ids[index]); }
                7 => { let _lost = breaker.to_write(); breaker.write_ended(); }
                8 => world.pass(Duration::from_millis(millis).as_secs_f64()),
                _ => {}
            }
            prop_assert!(breakers[index].stored().version <= world.stored.version);
        }
    }
}
