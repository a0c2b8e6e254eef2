//! The simulator in the normal tests: the same seeds each time, some fresh ones, and those that found something once.

use kapsel_core::{Entropy as _, SystemEntropy};
use simulator::{Options, Totals, run};

/// How many seeds are the same each time.
const FIXED: u64 = 60;
/// How many are new each time.
const FRESH: u64 = 20;

fn assert_sound(seed: u64) -> Totals {
    let report = run(Options::of(seed));
    assert!(
        report.violations.is_empty(),
        "{}\n{}\nreplay it with: cargo xtask sim --seed {seed}",
        report.timeline.join("\n"),
        report.violations.join("\n"),
    );
    report.totals
}

#[test]
fn known_seeds_violate_nothing() {
    let mut totals = Totals::default();
    for seed in 1..=FIXED {
        totals += assert_sound(seed);
    }
    println!("{totals}");
    // Silence means something only if enough has happened.
    let Totals { accepted, lost_answers, errors_after, delays, outages, crashes, freezes, .. } = totals;
    for (what, count, least) in [
        ("events", accepted, 10_000),
        ("lost answers", lost_answers, 50),
        ("errors after the commit", errors_after, 1_000),
        ("delays", delays, 1_000),
        ("refused calls", outages, 1_000),
        ("crashes", crashes, 100),
        ("standstills", freezes, 100),
        ("openings", totals.openings, 200),
        ("rights to probe", totals.probe_rights, 100),
        ("disabled endpoints", totals.disabled, 20),
    ] {
        assert!(count >= least, "{count} {what}");
    }
}

#[test]
fn fresh_seeds_violate_nothing() {
    let first = SystemEntropy.next_u64() >> 16;
    println!("seeds {first} to {}", first + FRESH);
    for seed in first..first + FRESH {
        assert_sound(seed);
    }
}

/// An endpoint was given up although a probe had just succeeded: the success was known to the prober and not stored yet.
#[test]
fn seed_86_a_probes_success_counts_before_it_is_stored() {
    assert_sound(86);
}

/// An endpoint was given up although this instance had seen a success: another one's word about its own failures hid it.
#[test]
fn seed_1821_a_success_seen_here_counts_against_what_others_believe() {
    assert_sound(1_821);
}

/// An endpoint was given up for failures from before the first note of them, while another instance had successes.
#[test]
fn seed_2606_what_is_noted_for_the_first_time_begins_then() {
    assert_sound(2_606);
}

/// An endpoint was given up for failures that another instance wrote down a hundred seconds late, while this one had
/// successes it had kept nothing of, because all was well.
#[test]
fn seed_63316272893959_a_success_counts_where_nothing_was_kept() {
    assert_sound(63_316_272_893_959);
}

/// The right to probe was written over somebody else's, because a refresh came between the look and the write.
#[test]
fn seed_1158_the_right_to_probe_is_won_over_what_was_looked_at() {
    assert_sound(1_158);
}

/// An instance stood still between its look at a lane and its claim, and probed under a lease that outlived its right.
#[test]
fn seed_2451_a_probes_lease_ends_before_the_right_to_probe() {
    assert_sound(2_451);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [3, 17] {
        let (first, second) = (run(Options::of(seed)), run(Options::of(seed)));
        assert_eq!(first, second);
    }
    assert_ne!(run(Options::of(3)).digest, run(Options::of(4)).digest);
}
