//! Deliberate bugs: each is a change to one place of the product that breaks a promise, and the simulator has to find it.
//! That is what shows that its oracles can fail.
//!
//! The bugs are put into a copy of the workspace, one after the other. What a bug is found by is written beside it, so that
//! an oracle that catches everything by chance is noticed too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, io_error};
use crate::process;
use crate::workspace::Workspace;

/// How many seeds a bug may survive.
const SEEDS: &str = "2000";

/// One deliberate bug.
struct Mutant {
    /// What is broken.
    what: &'static str,
    file: &'static str,
    /// A text that stands in the file once.
    right: &'static str,
    wrong: &'static str,
    /// The beginnings of the violations that it may be found by; empty if the run itself ends in a panic or the like.
    found_by: &'static [&'static str],
}

const ATTEMPT: &str = "crates/kapsel-delivery/src/dispatch/attempt.rs";
const BREAKER: &str = "crates/kapsel-core/src/circuit/breaker.rs";
const CIRCUITS: &str = "crates/kapsel-delivery/src/dispatch/circuits.rs";
const DISPATCH: &str = "crates/kapsel-delivery/src/dispatch/mod.rs";
const GATE: &str = "crates/kapsel-delivery/src/dispatch/gate.rs";
const MEMORY: &str = "crates/kapsel-store/src/memory/delivery.rs";
const RETRY: &str = "crates/kapsel-core/src/retry.rs";
const LOG: &str = "crates/kapsel-store/src/memory/attestation.rs";
const SEQUENCER: &str = "crates/kapsel-attestation/src/sequencer.rs";
const SETTLEMENT: &str = "crates/kapsel-core/src/settlement.rs";

const MUTANTS: &[Mutant] = &[
    // Leases and fencing.
    Mutant {
        what: "a settlement is written whatever its token is",
        file: MEMORY,
        right: "queued.lease.is_some_and(|lease| lease.token == token)",
        wrong: "queued.lease.is_some_and(|_| token == token)",
        found_by: &["stale", "twice at once"],
    },
    Mutant {
        what: "deliveries are claimed half a minute before their lease ends",
        file: MEMORY,
        right: "rows.take_while(|(due_at, _)| *due_at <= now)",
        wrong: "rows.take_while(|(due_at, _)| *due_at <= now + std::time::Duration::from_secs(40))",
        found_by: &["twice at once", "too soon"],
    },
    Mutant {
        what: "at its start, an instance frees the leases of all",
        file: MEMORY,
        right: "owner.is_none_or(|owner| held.owner == owner)",
        wrong: "owner.is_none_or(|owner| held.owner == owner || held.owner != owner)",
        found_by: &["twice at once"],
    },
    Mutant {
        what: "a request is begun however old its lease is",
        file: ATTEMPT,
        right: "(left >= wanted / 2).then(|| wanted.min(left))",
        wrong: "(left <= wanted.max(left)).then_some(wanted)",
        found_by: &["twice at once", "after success"],
    },
    Mutant {
        what: "the claim whose answer was lost is given back with everything else",
        file: MEMORY,
        right: "queued.is_leased(now) && queued.lease == Some(lease)",
        wrong: "queued.is_leased(now) && (queued.lease == Some(lease) || queued.lease.is_some())",
        found_by: &["twice at once", "after success"],
    },
    // Outcomes.
    Mutant {
        what: "a success leaves its delivery in the queue",
        file: MEMORY,
        right: "Next::Delivered => self.end(id, None),",
        wrong: "Next::Delivered => self.set_queued(id, Some(Queued { due_at: now, lease: None, ..queued })),",
        found_by: &["after success"],
    },
    Mutant {
        what: "every failure of a server counts as delivered",
        file: SETTLEMENT,
        right: "if inputs.outcome.is_success() {",
        wrong: "if inputs.outcome.is_success() || inputs.outcome.status() == Some(500) {",
        found_by: &["lost"],
    },
    Mutant {
        what: "408, 425 and 429 are final",
        file: SETTLEMENT,
        right: "matches!(status, 408 | 425 | 429 | 500..600)",
        wrong: "matches!(status, 500..600)",
        found_by: &["lost"],
    },
    Mutant {
        what: "there is one attempt too many",
        file: RETRY,
        right: "if made >= self.attempts_max() {",
        wrong: "if made > self.attempts_max() {",
        found_by: &["attempts"],
    },
    Mutant {
        what: "the last attempt is not made",
        file: RETRY,
        right: "if made >= self.attempts_max() {",
        wrong: "if made + 1 >= self.attempts_max() {",
        found_by: &["attempts"],
    },
    Mutant {
        what: "after a retry by hand, attempts are numbered from the start",
        file: ATTEMPT,
        right: "number: claimed.attempts_total.saturating_add(1),\n        url:",
        wrong: "number: claimed.attempts_made.saturating_add(1),\n        url:",
        found_by: &["attempts"],
    },
    Mutant {
        what: "Retry-After is not waited for",
        file: SETTLEMENT,
        right: "wait.max(asked_wait(inputs.outcome, inputs.now).unwrap_or_default())",
        wrong: "wait.min(wait.max(asked_wait(inputs.outcome, inputs.now).unwrap_or_default()))",
        found_by: &["too soon"],
    },
    Mutant {
        what: "waits do not grow",
        file: RETRY,
        right: "factor.powi(steps)",
        wrong: "factor.powi(steps.min(1))",
        found_by: &["too soon"],
    },
    Mutant {
        what: "the body is cut off",
        file: "crates/kapsel-delivery/src/request.rs",
        right: "body: inputs.event.body.clone() }",
        wrong: "body: inputs.event.body.slice(..inputs.event.body.len() / 2) }",
        found_by: &["changed"],
    },
    // Circuits.
    Mutant {
        what: "circuits never open",
        file: "crates/kapsel-core/src/circuit/window.rs",
        right: "has_failed && (self.failures_in_a_row",
        wrong: "has_failed && is_full && !is_full && (self.failures_in_a_row",
        found_by: &["hammering"],
    },
    Mutant {
        what: "what was let through before a circuit opened is sent after it",
        file: ATTEMPT,
        right: "if !shared.circuits.is_current(claimed.delivery.endpoint_id, permit.ticket()) {",
        wrong: "if claimed.lease.until < begun.at && !shared.circuits.is_current(claimed.delivery.endpoint_id, permit.ticket()) {",
        found_by: &["through an open circuit"],
    },
    Mutant {
        what: "a paused lane is served",
        file: BREAKER,
        right: "CircuitState::Closed if circuit.is_blocked(now) => Admission::Blocked,",
        wrong: "CircuitState::Closed if circuit.is_blocked(now) => Admission::Free { in_flight_max: None },",
        found_by: &["through an open circuit"],
    },
    Mutant {
        what: "circuits are written over whatever is stored",
        file: "crates/kapsel-store/src/memory/circuit.rs",
        right: "new.circuit.version == self.circuit_version(new.endpoint_id) + 1",
        wrong: "new.circuit.version <= self.circuit_version(new.endpoint_id) + 1",
        found_by: &["too many probes", "through an open circuit", "hammering"],
    },
    Mutant {
        what: "the right to probe is used whether it was won or not",
        file: CIRCUITS,
        right: "rights.iter().zip(&written).filter(|(_, is_written)| **is_written)",
        wrong: "rights.iter().zip(&written).filter(|(_, is_written)| **is_written || written.len() == 1)",
        found_by: &["too many probes", "through an open circuit", "hammering"],
    },
    Mutant {
        what: "the right to probe is written over whatever has become known since",
        file: CIRCUITS,
        right: "breaker.stored().version == lane.circuit_version && breaker.wants().is_none();",
        wrong: "breaker.stored().version >= lane.circuit_version;",
        found_by: &["too many probes", "through an open circuit"],
    },
    Mutant {
        what: "openings do not get longer",
        file: BREAKER,
        right: "policy.open_time(opened_times, report.unit);",
        wrong: "policy.open_time(1, report.unit);",
        found_by: &["hammering"],
    },
    Mutant {
        what: "after a recovery everything is sent at once",
        file: "crates/kapsel-core/src/circuit/ramp.rs",
        right: "pub const START: Ramp = Ramp { limit: 1, successes: 0 };",
        wrong: "pub const START: Ramp = Ramp { limit: 64, successes: 0 };",
        found_by: &["hammering"],
    },
    Mutant {
        what: "an endpoint is given up at the first failure that was written down",
        file: "crates/kapsel-core/src/endpoint.rs",
        right: "now.saturating_since(since) >= limit)",
        wrong: "now.saturating_since(since).max(limit) >= limit)",
        found_by: &["given up"],
    },
    Mutant {
        what: "the number of probes is not limited",
        file: DISPATCH,
        right: "Admission::MayProbe => (config.circuit.probes, true),",
        wrong: "Admission::MayProbe => (config.circuit.probes + 20, true),",
        found_by: &["too many probes", "hammering"],
    },
    Mutant {
        what: "a probe's failure is forgotten",
        file: BREAKER,
        right: "(CircuitState::HalfOpen, Signal::Failing) => self.open(report, policy),",
        wrong: "(CircuitState::HalfOpen, Signal::Failing) => self.probe_successes = 0,",
        found_by: &["hammering"],
    },
    Mutant {
        what: "an instance starts without reading the circuits",
        file: CIRCUITS,
        right: "self.refresh(Timestamp::EPOCH).await?;",
        wrong: "if self.me == InstanceId::MIN { self.refresh(Timestamp::EPOCH).await?; }",
        found_by: &["through an open circuit"],
    },
    Mutant {
        what: "nobody follows a prober that has died",
        file: BREAKER,
        right: "if is_settled && !circuit.is_blocked_for(me, now) => {",
        wrong: "if is_settled && circuit.prober.is_none_or(|prober| prober == me) && !circuit.is_blocked_for(me, now) => {",
        found_by: &["stuck"],
    },
    // Replays.
    Mutant {
        what: "a step of a replay is made whatever has happened to the job",
        file: "crates/kapsel-store/src/memory/replay.rs",
        right: "if replay.version != expected_version {\n            return None;",
        wrong: "if replay.version < expected_version {\n            return None;",
        found_by: &["replayed twice"],
    },
    Mutant {
        what: "a replay looks at its last event again and again",
        file: "crates/kapsel-store/src/memory/replay.rs",
        right: "replay.range.after = looked_up_to;",
        wrong: "replay.range.after = if is_last { looked_up_to } else { replay.range.after };",
        found_by: &["replayed twice", "stuck"],
    },
    // Limits, and going on.
    Mutant {
        what: "the concurrency of an endpoint is exceeded by one",
        file: GATE,
        right: "if sending >= lane.in_flight_max.max(1) || !has_token {",
        wrong: "if sending > lane.in_flight_max.max(1) || !has_token {",
        found_by: &["over the limit"],
    },
    Mutant {
        what: "the rate of an endpoint is not limited",
        file: GATE,
        right: "known.has_token(now)\n            });",
        wrong: "known.has_token(now) || known.sending < 1_000\n            });",
        found_by: &["over the limit"],
    },
    Mutant {
        what: "permits of results that were stored are not given back",
        file: "crates/kapsel-delivery/src/dispatch/gate/permit.rs",
        right: "        state.in_flight -= 1;",
        wrong: "        state.in_flight -= usize::from(!self.has_begun);",
        found_by: &["stuck"],
    },
    Mutant {
        what: "the dispatcher ends at the first error of the store",
        file: DISPATCH,
        right: "Pause { deaf: wait, whole: wait }\n                }\n                Err(unwind::Panicked) => {",
        wrong: "return drop(wait);\n                }\n                Err(unwind::Panicked) => {",
        found_by: &["stuck"],
    },
    // The log of attempts.
    Mutant {
        what: "leaves go into the tree whatever it has become meanwhile",
        file: LOG,
        right: "if log.size != old_size || log.epoch != epoch || !all_wait {",
        wrong: "if log.size == old_size && log.epoch != epoch && !all_wait {",
        found_by: &["forked", "unattested", "stuck"],
    },
    Mutant {
        what: "only what was delivered gets a leaf",
        file: MEMORY,
        right: "self.log.put_leaf(settlement);",
        wrong: "if settlement.decision.next == Next::Delivered { self.log.put_leaf(settlement); }",
        found_by: &["unattested"],
    },
    Mutant {
        what: "nobody adds to the log whose lease was lost once",
        file: SEQUENCER,
        right: "let Some(mut log) = self.lead(log.clone(), held).await? else {",
        wrong: "let Some(mut log) = self.lead(log.clone(), held).await?.filter(|log| log.epoch < 2) else {",
        found_by: &["stuck"],
    },
];

/// Has the simulator look for each bug in whose description `word` stands.
pub(crate) fn run(workspace: &Workspace, word: &str) -> Result<(), Error> {
    let chosen: Vec<&Mutant> = MUTANTS.iter().filter(|mutant| mutant.what.contains(word)).collect();
    if chosen.is_empty() {
        return Err(Error::Found(format!("no deliberate bug is described with {word:?}")));
    }
    let copy = workspace.root().join("target/mutants/tree");
    copy_into(workspace, &copy)?;
    build(&copy)?;
    let mut survivors = Vec::new();
    for (number, mutant) in chosen.iter().enumerate() {
        let file = copy.join(mutant.file);
        let sound = fs::read_to_string(&file).map_err(io_error(|| format!("read {}", file.display())))?;
        write(&file, &mutated(mutant, &sound)?)?;
        let verdict = hunt(&copy, mutant);
        write(&file, &sound)?;
        let verdict = verdict?;
        println!("{:>2}/{} {}: {verdict}", number + 1, chosen.len(), mutant.what);
        if !verdict.is_found() {
            survivors.push(mutant.what);
        }
    }
    if survivors.is_empty() {
        println!("\nall {} deliberate bugs were found", chosen.len());
        return Ok(());
    }
    Err(Error::Found(format!("not found: {}", survivors.join("; "))))
}

/// The file with the bug in it.
fn mutated(mutant: &Mutant, sound: &str) -> Result<String, Error> {
    match sound.matches(mutant.right).count() {
        1 => Ok(sound.replace(mutant.right, mutant.wrong)),
        count => Err(Error::Found(format!("{}: {:?} stands there {count} times", mutant.file, mutant.right))),
    }
}

/// What came of the search for a bug.
enum Verdict {
    Found(String),
    FoundByOther(String),
    Survived,
}

impl Verdict {
    fn is_found(&self) -> bool {
        matches!(self, Verdict::Found(_))
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Found(by) => write!(f, "found ({by})"),
            Verdict::FoundByOther(by) => write!(f, "NOT FOUND as expected, but: {by}"),
            Verdict::Survived => write!(f, "NOT FOUND in {SEEDS} seeds"),
        }
    }
}

fn hunt(copy: &Path, mutant: &Mutant) -> Result<Verdict, Error> {
    build(copy)?;
    let mut simulator = Command::new(target(copy).join("debug/simulator"));
    simulator.args(["--seeds", SEEDS, "--from", "1"]).stderr(Stdio::null());
    let output = simulator.output().map_err(io_error(|| "start the simulator".to_owned()))?;
    if output.status.success() {
        return Ok(Verdict::Survived);
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let violations: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("VIOLATED ")).collect();
    let expected = |line: &&&str| mutant.found_by.iter().any(|by| line.starts_with(by));
    Ok(match violations.iter().find(expected) {
        Some(line) => Verdict::Found(line.chars().take(100).collect()),
        None => Verdict::FoundByOther(violations.first().copied().unwrap_or("it ended otherwise").to_owned()),
    })
}

/// What is built stays for the next time, apart from what is worked on.
fn target(copy: &Path) -> PathBuf {
    copy.with_file_name("build")
}

fn build(copy: &Path) -> Result<(), Error> {
    let mut cargo = process::cargo(copy, &["build", "--quiet", "--locked", "--package", "simulator"]);
    // Between the two ways to lose time: building with optimisation, and running without.
    cargo.env("CARGO_TARGET_DIR", target(copy)).env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    cargo.env("RUSTFLAGS", "--cap-lints allow");
    process::run(&mut cargo)
}

/// Copies the files of the workspace that have changed.
fn copy_into(workspace: &Workspace, copy: &Path) -> Result<(), Error> {
    for path in workspace.files()? {
        let (from, to) = (workspace.root().join(&path), copy.join(&path));
        let bytes = fs::read(&from).map_err(io_error(|| format!("read {path}")))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = to.parent().unwrap_or(copy);
        fs::create_dir_all(folder).map_err(io_error(|| format!("make {}", folder.display())))?;
        fs::write(&to, bytes).map_err(io_error(|| format!("write {}", to.display())))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), Error> {
    fs::write(file, text).map_err(io_error(|| format!("write {}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code moves; a bug that cannot be put in any more is noticed at once and not when somebody looks for it.
    #[test]
    fn every_bug_can_be_put_in() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for mutant in MUTANTS {
            let sound = fs::read_to_string(root.join(mutant.file)).unwrap();
            let broken = mutated(mutant, &sound).unwrap_or_else(|error| panic!("{}: {error}", mutant.what));
            assert_ne!(broken, sound, "{}", mutant.what);
            assert!(!mutant.found_by.is_empty(), "{}", mutant.what);
        }
    }

    #[test]
    fn a_text_that_is_not_there_once_is_refused() {
        let mutant = Mutant { what: "", file: "", right: "a", wrong: "b", found_by: &["x"] };
        assert!(mutated(&mutant, "c").is_err());
        assert!(mutated(&mutant, "aa").is_err());
        assert_eq!(mutated(&mutant, "ca").unwrap(), "cb");
    }
}
