//! What can be asked of xtask.

use crate::steps::Step;

/// Printed by `help`, and after a command that is not understood.
pub(crate) const USAGE: &str = "\
Usage: cargo xtask <command>

  test      every check there is, in this order; stops at the first that fails
  ci        the same as test

Single steps:
  fmt       is every file formatted?
  lint      clippy over all targets and features, warnings are errors
  layers    who may depend on whom (docs/ARCHITECTURE.md)
  tidy      paths in docs, file sizes, ignored tests, sleeps and other rules over plain text
  judges    install the outside libraries that check Kapsel, under target/judges
  postgres  look for PostgreSQL's server programs, which the tests start; installs them on Debian as root

The simulator (docs/TESTING.md):
  sim --seed N [--hours H]   one run, with its timeline
  sim --seeds K [--from N]   K runs, with their totals
  sim --mutants [WORD]       does it find the deliberate bugs (in whose description WORD stands)?

  openapi   write openapi/kapsel.json anew, from the routes and their annotations

  help      this text
";

/// A command line that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Run these steps in this order.
    Run(&'static [Step]),
    /// Run the simulator with these words.
    Sim(Vec<String>),
    /// Have the simulator look for the deliberate bugs.
    Mutants(String),
    /// Write the OpenAPI document.
    OpenApi,
}

impl Command {
    /// Reads the words after `cargo xtask`. The error is a sentence for the user.
    pub(crate) fn parse(words: &[String]) -> Result<Command, String> {
        match words {
            [sim, mutants, word @ ..] if sim == "sim" && mutants == "--mutants" && word.len() < 2 => {
                return Ok(Command::Mutants(word.first().cloned().unwrap_or_default()));
            }
            [sim, rest @ ..] if sim == "sim" => return Ok(Command::Sim(rest.to_vec())),
            _ => {}
        }
        let [word] = words else {
            return Err(match words {
                [] => "which command?".to_owned(),
                _ => format!("one command is expected, not {}: {}", words.len(), words.join(" ")),
            });
        };
        Ok(match word.as_str() {
            "help" | "--help" | "-h" => Command::Help,
            "test" | "ci" => Command::Run(Step::ALL),
            "fmt" => Command::Run(&[Step::Fmt]),
            "lint" => Command::Run(&[Step::Lint]),
            "layers" => Command::Run(&[Step::Layers]),
            "tidy" => Command::Run(&[Step::Tidy]),
            "judges" => Command::Run(&[Step::Judges]),
            "postgres" => Command::Run(&[Step::Postgres]),
            "openapi" => Command::OpenApi,
            unknown => return Err(format!("unknown command: {unknown}")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Command::parse(&words)
    }

    #[test]
    fn test_and_ci_run_every_step() {
        assert_eq!(parse("test"), Ok(Command::Run(Step::ALL)));
        assert_eq!(parse("ci"), parse("test"));
    }

    #[test]
    fn a_single_step_runs_alone() {
        assert_eq!(parse("layers"), Ok(Command::Run(&[Step::Layers])));
        assert_eq!(parse("judges"), Ok(Command::Run(&[Step::Judges])));
        assert_eq!(parse("postgres"), Ok(Command::Run(&[Step::Postgres])));
        assert_eq!(parse("openapi"), Ok(Command::OpenApi));
    }

    #[test]
    fn the_simulator_gets_its_words() {
        assert_eq!(parse("sim --mutants"), Ok(Command::Mutants(String::new())));
        assert_eq!(parse("sim --mutants lease"), Ok(Command::Mutants("lease".to_owned())));
        assert_eq!(parse("sim --seed 7"), Ok(Command::Sim(vec!["--seed".to_owned(), "7".to_owned()])));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(parse("").is_err());
        assert!(parse("tests").unwrap_err().contains("tests"));
        assert!(parse("fmt lint").is_err());
    }
}
