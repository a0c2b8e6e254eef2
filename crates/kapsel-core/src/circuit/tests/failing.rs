//! Since when nothing but failures has come.

use super::*;

/// What another instance wrote down.
fn believed() -> Circuit {
    Circuit { failing_since: Some(START), version: 1, ..Circuit::default() }
}

#[test]
fn the_time_of_nothing_but_failures_ends_with_a_success_and_outlives_openings() {
    let mut world = World::new();
    let mut breaker = world.opened();
    for _ in 0..5 {
        world.now = world.stored.blocked_until.unwrap();
        assert!(world.win(&mut breaker, world.me));
        world.record(&mut breaker, Signal::Failing);
        assert!(world.write(&mut breaker));
        assert_eq!(breaker.failing_since(), Some(START));
    }
    world.now = world.stored.blocked_until.unwrap();
    assert!(world.win(&mut breaker, world.me));
    world.record(&mut breaker, Signal::Alive);
    let since = world.now;
    world.record(&mut breaker, Signal::Failing);
    assert!(world.write(&mut breaker));
    assert_eq!(breaker.failing_since(), Some(since), "there was a success in between");
}

#[test]
fn what_one_instance_alone_believes_gives_nobody_up() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.record(&mut breaker, Signal::Failing);
    // Six days without a request here; others may have had any number of successes.
    world.pass(6.0 * 86_400.0);
    world.record(&mut breaker, Signal::Failing);
    assert_eq!(breaker.failing_since(), None, "nothing is stored yet");
    assert!(world.write(&mut breaker));
    assert_eq!(breaker.failing_since(), Some(world.now), "for the time before it cannot speak");
    world.record(&mut breaker, Signal::Silent);
    assert_eq!(breaker.to_write(), None, "a defect of our own says nothing");
}

/// The simulator's seed 1821: what another instance wrote about its failures hid a success that was seen here.
#[test]
fn a_success_seen_here_counts_against_what_others_believe() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.pass(1.0);
    let success = world.now;
    world.record(&mut breaker, Signal::Failing);
    world.record(&mut breaker, Signal::Alive);
    world.pass(1.0);
    let pause = Some(world.now + Duration::from_secs(1));
    breaker.adopt(Circuit { blocked_until: pause, ..believed() }, world.now);
    assert_eq!(breaker.failing_since(), Some(success));
}

/// The simulator's seed 63316272893959: a note that was written late was believed by an instance that had had successes
/// meanwhile, and had kept nothing of them because all was well.
#[test]
fn what_may_have_succeeded_before_a_breaker_was_kept_counts_against_what_others_believe() {
    let mut world = World::new();
    world.pass(100.0);
    let kept_from = world.now;
    let mut sending = Breaker::kept_from(kept_from);
    let mut started = Breaker::default();
    for breaker in [&mut sending, &mut started] {
        breaker.adopt(believed(), kept_from);
    }
    assert_eq!(sending.failing_since(), Some(kept_from));
    assert_eq!(started.failing_since(), Some(START), "who starts has seen nothing");

    // A failure comes first, and the note after it.
    let mut sending = Breaker::kept_from(kept_from);
    world.record(&mut sending, Signal::Failing);
    sending.adopt(believed(), world.now);
    assert_eq!(sending.failing_since(), Some(kept_from));
}

#[test]
fn a_success_counts_also_after_what_was_known_is_void() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.pass(100.0);
    let success = world.now;
    world.record(&mut breaker, Signal::Alive);
    breaker.forget();
    world.pass(1.0);
    breaker.adopt(believed(), world.now);
    assert_eq!(breaker.failing_since(), Some(success));
}

#[test]
fn a_success_before_a_renewed_right_is_not_forgotten() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    world.record(&mut breaker, Signal::Alive);
    world.pass(100.0);
    assert!(world.win(&mut breaker, world.me));
    assert_eq!(world.stored.failing_since, None);
    world.record(&mut breaker, Signal::Failing);
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored.failing_since, Some(world.now));
}

/// The simulator's seed 86: of two probes, one succeeded and then the other failed.
#[test]
fn a_success_counts_before_it_is_stored() {
    let mut world = World::new();
    let mut breaker = world.opened();
    world.pass(30.0);
    assert!(world.win(&mut breaker, world.me));
    assert_eq!(breaker.failing_since(), Some(START));
    world.record(&mut breaker, Signal::Alive);
    assert_eq!(breaker.failing_since(), None);
    world.record(&mut breaker, Signal::Failing);
    assert_eq!(breaker.failing_since(), Some(world.now));
}

#[test]
fn a_success_clears_what_was_noted_while_closed() {
    let mut world = World::new();
    let mut breaker = Breaker::default();
    world.record(&mut breaker, Signal::Failing);
    world.pass(601.0);
    world.record(&mut breaker, Signal::Failing);
    assert!(world.write(&mut breaker));
    assert_eq!(world.admission(&breaker), FREE, "noting it changes nothing else");
    world.record(&mut breaker, Signal::Alive);
    assert!(world.write(&mut breaker));
    assert_eq!(world.stored.failing_since, None);
    world.record(&mut breaker, Signal::Alive);
    assert!(!world.write(&mut breaker), "healthy endpoints write nothing");
}
