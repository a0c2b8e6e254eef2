//! The process that outlives a test, so that its cluster does not.
//!
//! A destructor does not run when a test process is aborted or killed, and a server that is left behind holds a port,
//! memory and a folder until somebody notices. So a small shell process owns the cluster. It reads its orders from a
//! pipe whose other end only the test process holds: when that process ends, in whatever way, the pipe ends, and the
//! guardian stops the server and removes the folder. As it does one thing after the other, this is also true for a
//! process that was killed in the middle of `initdb`.
//!
//! The standard library opens the pipe close-on-exec, so that no other child of the test process keeps it open.
//! The guardian has a process group of its own, because Ctrl-C goes to all of the terminal's group. Its error output is
//! that of the test process: who waits for the end of the one waits for the end of the other.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};

use super::account::Account;

const SCRIPT: &str = include_str!("guardian.sh");

/// A guardian that has made its folder.
#[derive(Debug)]
pub(super) struct Guardian {
    process: Child,
    conversation: Mutex<Conversation>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Conversation {
    /// `None` once the guardian was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guardian {
    /// Starts one for server programs of this folder.
    pub(super) fn start(bin: &Path, account: &Account) -> Guardian {
        let mut command = account.command("sh");
        command.args(["-c", SCRIPT, "guardian"]).arg(bin).arg(account.folder_base());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut process = command.spawn().expect("start sh");
        let orders = process.stdin.take();
        let mut answers = BufReader::new(process.stdout.take().expect("its output is piped"));
        let mut folder = String::new();
        answers.read_line(&mut folder).expect("the guardian's output");
        assert!(folder.ends_with('\n'), "no folder could be made in {}", account.folder_base().display());
        let conversation = Mutex::new(Conversation { orders, answers });
        Guardian { process, conversation, folder: PathBuf::from(folder.trim_end()) }
    }

    /// The folder that is removed at the end: `data` and `postgresql.log` are in it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the order was carried out well. Orders are those of `guardian.sh`.
    pub(super) fn order(&self, order: &str) -> bool {
        let mut conversation = self.conversation.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = conversation.orders.as_mut().expect("it was not told to end");
        writeln!(orders, "{order}").expect("the guardian reads its orders");
        let mut status = String::new();
        conversation.answers.read_line(&mut status).expect("the guardian's answer");
        assert!(status.ends_with('\n'), "the guardian of {} is gone", self.folder.display());
        status == "0\n"
    }

    /// As [`Guardian::order`]; anything but success fails the test with the cluster's log.
    pub(super) fn must(&self, order: &str) {
        assert!(self.order(order), "`{order}` failed in {}:\n{}", self.folder.display(), self.log());
    }

    /// What the server and its tools have printed.
    pub(super) fn log(&self) -> String {
        let bytes = fs::read(self.folder.join("postgresql.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let conversation = self.conversation.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(conversation.orders.take());
        // A test that fails already must not panic a second time.
        let _ = self.process.wait();
    }
}
