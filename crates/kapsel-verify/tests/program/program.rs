//! Runs the program in a folder of its own.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Files for one test.
pub(crate) struct Folder(TempDir);

/// What came of one run.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Runs it with nothing on its standard input.
pub(crate) fn run(arguments: &[&str]) -> Run {
    run_with(arguments, b"")
}

/// Runs it with these bytes on its standard input.
pub(crate) fn run_with(arguments: &[&str], stdin: &[u8]) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kapsel-verify"))
        .args(arguments)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may stop reading when it has read enough.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let run = Run {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!((0..=2).contains(&run.code), "exit code {}", run.code);
    let says_proven = run.stdout.contains("\nPROVEN") || run.stdout.contains("\"proven\":true");
    assert!(!says_proven || run.code == 0, "{}", run.stdout);
    run
}

impl Run {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The first character of each line that is about a step.
    pub(crate) fn marks(&self) -> String {
        self.stdout.lines().filter_map(|line| line.chars().next()).filter(|c| "\u{2713}\u{2717}".contains(*c)).collect()
    }

    /// What stands behind the name of a field.
    pub(crate) fn field(&self, name: &str) -> &str {
        let of_field = |line: &&str| line.trim_start().starts_with(&format!("{name}  "));
        let line = self.stdout.lines().find(of_field).unwrap_or_else(|| panic!("no {name} in {}", self.stdout));
        line.trim_start()[name.len()..].trim_start()
    }
}
