//! Kapsel as a child process, with a data folder of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};

use super::Target;
use super::guard::guarded;
use crate::chance::unique_name;
use crate::error::Error;

/// A first start on a busy machine makes keys and tables; it takes seconds at most.
const START_LIMIT: Duration = Duration::from_secs(60);
/// A stop finishes what is under way; longer than Kapsel's own limit for that.
const STOP_LIMIT: Duration = Duration::from_secs(40);
/// Lines of its log that are shown when it fails.
const LOG_LINES: usize = 15;

/// A started Kapsel. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct KapselChild {
    child: Child,
    /// Kept open: a program that prints into a closed pipe fails.
    _stdout: BufReader<ChildStdout>,
    target: Target,
    version: String,
    log: PathBuf,
}

impl KapselChild {
    /// Starts it with data in `folder`. Later settings win over earlier ones.
    pub(crate) async fn start(program: &Path, folder: &Path, settings: &[(String, String)]) -> Result<Self, Error> {
        let log = folder.join("kapsel.log");
        let stderr = File::create(&log).map_err(Error::file(&log))?;
        let key = settings.iter().rev().find(|(name, _)| name == "KAPSEL_OPERATOR_KEY").map(|(_, key)| key.clone());
        let key = key.unwrap_or_else(|| format!("operator-{}", unique_name::<16>()));
        let mut command = guarded(program)?;
        command
            .arg("serve")
            .env("KAPSEL_DATA_DIR", folder.join("data"))
            .env("SERVER_ADDR", "127.0.0.1:0")
            .env("KAPSEL_OPERATOR_KEY", &key)
            .envs(settings.iter().map(|(name, value)| (OsStr::new(name), OsStr::new(value))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = command.spawn().map_err(Error::io(format!("starting {}", program.display())))?;
        let stdout = child.stdout.take().ok_or_else(|| Error::Program("Kapsel has no stdout".to_owned()))?;
        let mut stdout = BufReader::new(stdout);
        let greeting = tokio::time::timeout(START_LIMIT, greeting(&mut stdout)).await;
        let failed = |why: &str| Error::Program(format!("Kapsel {why}. Its log ends so:\n{}", end_of(&log)));
        let greeting = match greeting {
            Ok(Ok(greeting)) => greeting,
            Ok(Err(error)) => return Err(failed(&format!("did not start ({error})"))),
            Err(_) => return Err(failed(&format!("did not listen within {} s", START_LIMIT.as_secs()))),
        };
        let pid = child.id();
        let said = |start: &str| greeting.lines().find_map(|line| line.strip_prefix(start));
        let address = said("Management API on ")
            .is_none()
            .then(|| said("Listening on http://"))
            .flatten()
            .and_then(|rest| rest.trim_end_matches('/').parse().ok());
        let Some(address) = address else {
            return Err(failed(
                "listens in a way that cannot be measured: TLS, or an address of its own for management",
            ));
        };
        let version = said("Kapsel ").unwrap_or("unknown").to_owned();
        Ok(KapselChild { child, _stdout: stdout, target: Target { address, key, pid }, version, log })
    }

    /// Where it is.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its version, as it says itself.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(Error::Program(format!("Kapsel ended ({status}). Its log ends so:\n{}", end_of(&self.log))))
            }
            Err(error) => Err(Error::io("looking after Kapsel")(error)),
        }
    }

    /// SIGTERM, and SIGKILL if it takes too long.
    pub(crate) async fn stop(mut self) -> Result<(), Error> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            // If it has ended already, there is nothing to stop.
            let _already_ended = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await.map_err(Error::io("killing Kapsel"))?;
        }
        Ok(())
    }
}

/// What it says until it listens; the two commands of the greeting end it.
async fn greeting(stdout: &mut BufReader<ChildStdout>) -> std::io::Result<String> {
    let mut said = String::new();
    loop {
        let begin = said.len();
        if stdout.read_line(&mut said).await? == 0 {
            return Err(std::io::Error::other("it ended before it listened"));
        }
        if said.get(begin..).is_some_and(|line| line.starts_with("curl -i")) {
            return Ok(said);
        }
    }
}

fn end_of(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

/// The program to be measured: the one that was named, or the one beside this tool.
pub(crate) fn find_program(named: Option<&Path>) -> Result<PathBuf, Error> {
    let beside = || {
        let own = std::env::current_exe().map_err(Error::io("finding the own program"))?;
        Ok(own.with_file_name("kapsel"))
    };
    let program = named.map_or_else(beside, |path| Ok(path.to_owned()))?;
    if program.is_file() {
        return Ok(program);
    }
    Err(Error::Usage(format!(
        "there is no program {}. Build it with `cargo build --release -p kapsel`, or name another with --kapsel",
        program.display()
    )))
}
