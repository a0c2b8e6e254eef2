//! `cargo xtask sim` in the shape of a program: one run with its timeline, or many with their totals.

use std::process::ExitCode;
use std::time::Duration;

use kapsel_core::{Entropy as _, SystemEntropy};
use simulator::{Options, Report, Totals};

const USAGE: &str = "\
Usage: simulator --seed N [--hours H]    one run, with its timeline
       simulator --seeds K [--from N]    K runs: from seed N on, or fresh ones
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--seed", seed] => with(seed.parse().ok().map(|seed| (seed, None)), one),
        ["--seed", seed, "--hours", hours] => {
            let hours: Option<f64> = hours.parse().ok().filter(|hours| (0.0..=1_000.0).contains(hours));
            with(seed.parse().ok().zip(hours.map(Some)), one)
        }
        ["--seeds", count] => with(count.parse().ok().map(|count| (count, SystemEntropy.next_u64() >> 16)), many),
        ["--seeds", count, "--from", first] => with(count.parse().ok().zip(first.parse().ok()), many),
        _ => with(None::<()>, |()| ExitCode::SUCCESS),
    }
}

fn with<T>(input: Option<T>, work: impl FnOnce(T) -> ExitCode) -> ExitCode {
    input.map_or_else(
        || {
            eprint!("{USAGE}");
            ExitCode::from(2)
        },
        work,
    )
}

/// One run with everything that happened in it.
fn one((seed, hours): (u64, Option<f64>)) -> ExitCode {
    let trouble = hours.map(|hours| Duration::from_secs_f64(hours * 3_600.0));
    let begun = now();
    let report = simulator::run(Options { seed, trouble, is_traced: true });
    for line in &report.timeline {
        println!("{line}");
    }
    println!("\n{}", report.totals);
    println!("real time            {:.1} s", begun.elapsed().as_secs_f64());
    verdict(&report)
}

/// Many runs and their sum; the first violation ends it.
fn many((count, first): (u64, u64)) -> ExitCode {
    let begun = now();
    let mut totals = Totals::default();
    println!("seeds {first} to {}", first + count.saturating_sub(1));
    for seed in first..first + count {
        let report = simulator::run(Options::of(seed));
        totals += report.totals;
        if !report.violations.is_empty() {
            for line in &report.timeline {
                println!("{line}");
            }
            return verdict(&report);
        }
    }
    let real = begun.elapsed();
    println!("{count} seeds without a violation\n\n{totals}");
    println!(
        "real time            {:.1} s; {:.0} seconds simulated in one",
        real.as_secs_f64(),
        totals.simulated.as_secs_f64() / real.as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn verdict(report: &Report) -> ExitCode {
    if report.violations.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    for violation in &report.violations {
        println!("VIOLATED {violation}");
    }
    println!("replay it with: cargo xtask sim --seed {}", report.seed);
    ExitCode::FAILURE
}

#[allow(clippy::disallowed_methods, reason = "how long the machine took is not part of a run")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
