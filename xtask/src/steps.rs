//! The steps of the test command: what each one runs, and the runner that times them and stops at the first failure.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::workspace::Workspace;
use crate::{error, judges, layers, postgres, process, tidy};

/// One check, or one preparation for a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Formatting.
    Fmt,
    /// Clippy.
    Lint,
    /// The direction of dependencies.
    Layers,
    /// Rules over plain text.
    Tidy,
    /// Installs the outside judges.
    Judges,
    /// Looks for PostgreSQL's server programs, and installs them where it may.
    Postgres,
    /// Compiles the program and all tests.
    Build,
    /// Runs all tests.
    Test,
}

const FMT: &[&str] = &["fmt", "--all", "--check"];
const LINT: &[&str] = &["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
/// The test targets are named here too because cargo then unites the features of the dev-dependencies, as it will for
/// the tests: the program and the libraries are compiled once, not once for each of two sets of features. It also
/// makes sure that `target/debug/kapsel` is there, whichever packages have integration tests.
const BUILD: &[&str] = &["build", "--workspace", "--bins", "--tests", "--all-features", "--locked"];
const TEST: &[&str] = &["test", "--workspace", "--all-features", "--locked"];

impl Step {
    /// Everything, the cheapest first, so that a small slip is not found after a long build.
    pub(crate) const ALL: &'static [Step] =
        &[Step::Fmt, Step::Lint, Step::Layers, Step::Tidy, Step::Judges, Step::Postgres, Step::Build, Step::Test];

    fn name(self) -> &'static str {
        match self {
            Step::Fmt => "fmt",
            Step::Lint => "lint",
            Step::Layers => "layers",
            Step::Tidy => "tidy",
            Step::Judges => "judges",
            Step::Postgres => "postgres",
            Step::Build => "build",
            Step::Test => "test",
        }
    }

    /// What to type to run this step alone.
    fn by_hand(self) -> String {
        match self.cargo_arguments() {
            Some(arguments) => format!("cargo {}", arguments.join(" ")),
            None => format!("cargo xtask {}", self.name()),
        }
    }

    /// The arguments of cargo, for the steps that are one call of cargo.
    fn cargo_arguments(self) -> Option<&'static [&'static str]> {
        match self {
            Step::Fmt => Some(FMT),
            Step::Lint => Some(LINT),
            Step::Build => Some(BUILD),
            Step::Test => Some(TEST),
            Step::Layers | Step::Tidy | Step::Judges | Step::Postgres => None,
        }
    }

    fn run(self, workspace: &Workspace) -> Result<(), Error> {
        match self {
            Step::Layers => layers::run(workspace),
            Step::Tidy => tidy::run(workspace),
            Step::Judges => judges::run(workspace),
            Step::Postgres => postgres::run(workspace),
            Step::Fmt | Step::Lint | Step::Build | Step::Test => {
                process::run(&mut process::cargo(workspace.root(), self.cargo_arguments().unwrap_or_default()))
            }
        }
    }
}

/// Runs the steps in order and prints a heading and a time for each. The first failure ends it; its error names the
/// step and the command that repeats it alone.
pub(crate) fn run(workspace: &Workspace, steps: &[Step]) -> Result<(), Error> {
    let count = steps.len();
    let start = now();
    let mut times = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let place = format!("{}/{count}", index + 1);
        println!("\n==> {place} {}: {}", step.name(), step.by_hand());
        let step_start = now();
        let result = step.run(workspace);
        let took = seconds(step_start.elapsed());
        match result {
            Ok(()) => println!("<== {place} {} passed in {took}", step.name()),
            Err(error) => {
                let name = step.name();
                let by_hand = step.by_hand();
                let cause = error::chain(&error);
                return Err(Error::Found(format!(
                    "{cause}\n\nFAILED at step {place}, {name}, after {took}. Repeat it alone: {by_hand}"
                )));
            }
        }
        times.push(format!("{} {took}", step.name()));
    }
    if count > 1 {
        println!("\nAll {count} steps passed in {} ({})", seconds(start.elapsed()), times.join(", "));
    }
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a tool that times itself has nothing to replay")]
fn now() -> Instant {
    Instant::now()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_how_to_repeat_it_alone() {
        assert_eq!(Step::Fmt.by_hand(), "cargo fmt --all --check");
        assert_eq!(Step::Test.by_hand(), "cargo test --workspace --all-features --locked");
        assert_eq!(Step::Tidy.by_hand(), "cargo xtask tidy");
    }

    #[test]
    fn the_tests_come_after_all_that_they_need() {
        let place = |step| Step::ALL.iter().position(|other| *other == step).unwrap();
        for needed in [Step::Judges, Step::Postgres, Step::Build] {
            assert!(place(needed) < place(Step::Test), "{needed:?}");
        }
    }
}
