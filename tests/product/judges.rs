//! Libraries by others, as child processes that answer one JSON line per JSON line. See tests/judges/README.md.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running judge.
pub struct Judge {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The interpreter of a script, by its ending.
fn interpreter(script: &str) -> PathBuf {
    let installed = root().join("target/judges/node_modules");
    assert!(installed.is_dir(), "the judges are not installed: run `cargo xtask judges`");
    if script.ends_with(".js") { PathBuf::from("node") } else { root().join("target/judges/venv/bin/python") }
}

impl Judge {
    /// Starts a script of tests/judges.
    pub fn start(script: &str) -> Self {
        let mut child = Command::new(interpreter(script))
            .arg(root().join("tests/judges").join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{script}: {error}: run `cargo xtask judges`"));
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        Judge { _child: child, stdin, stdout }
    }

    /// Asks one question.
    pub async fn ask(&mut self, question: &Value) -> Value {
        self.stdin.write_all(format!("{question}\n").as_bytes()).await.unwrap();
        let line = self.stdout.next_line().await.unwrap().expect("the judge answers");
        serde_json::from_str(&line).unwrap()
    }
}

/// The whole output of a script that asks nothing, one JSON value per line.
pub async fn output(script: &str) -> Vec<Value> {
    let script_path = root().join("tests/judges").join(script);
    let output = Command::new(interpreter(script)).arg(script_path).stderr(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{script}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
