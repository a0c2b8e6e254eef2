//! The one connection that writes, on a thread of its own.
//!
//! Commands queue up in a bounded channel. Whatever waits when the last commit is done shares the next transaction, and
//! with it one wait for the disk. Answers go out after the commit, never before; a caller that went away changes nothing.
//!
//! A command that fails is undone alone, by a savepoint in front of it. Savepoints copy every page that is written behind
//! them, a fifth of the work of storing an event. So commands that never fail by themselves ([`Kind::Sure`]) do without;
//! should one of them fail all the same, the transaction is rolled back and run again with a savepoint for each.
//!
//! A commit that fails is an **unknown outcome**: what it wrote may or may not be found after the next start. Everybody
//! in it is told so ([`StoreError::Unavailable`]), and the connection is closed, opened anew and checked before it serves
//! again. While that fails, everybody is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use kapsel_store::StoreError;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::connection::WriterSource;
use crate::error::{Failure, closed, store_error};
use crate::folder::DataFolder;
use crate::inbox::{Inbox, Message};
use crate::job::{Command, Job, Kind, Weight};
use crate::open_error::OpenError;
use crate::readers::Readers;
use crate::stats::Counters;

/// How many commands may wait; senders wait for a place.
const COMMANDS_MAX: usize = 1_024;

/// Sends commands to the writer's thread.
#[derive(Debug)]
pub(crate) struct Writer {
    messages: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread, which keeps `folder` locked until it ends.
    pub(crate) fn start(
        folder: DataFolder,
        source: WriterSource,
        connection: Connection,
        readers: Arc<Readers>,
        counters: Arc<Counters>,
    ) -> Result<Self, OpenError> {
        let (messages, received) = mpsc::channel(COMMANDS_MAX);
        let thread = WriterThread {
            inbox: Inbox::new(received),
            connection: Some(connection),
            source,
            readers,
            counters,
            last_attempt: None,
        };
        let run = move || {
            let closers = thread.run();
            // Only now may others have the folder.
            drop(folder);
            for closer in closers {
                // Who does not wait any more needs no answer.
                let _gone = closer.send(());
            }
        };
        thread::Builder::new().name("kapsel-sqlite".to_owned()).spawn(run).map_err(OpenError::Thread)?;
        Ok(Writer { messages })
    }

    /// Does `work` in a durable transaction, shared with others. Once it is queued it is done, also if the caller does
    /// not wait for the answer. It may be run more than once; the last time counts.
    pub(crate) async fn write<T, W>(&self, kind: Kind, weight: Weight, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (command, answer) = Command::with_answer(weight, kind, work);
        self.messages.send(Message::Job(command)).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Ends the thread after everything that was queued before, and waits for it.
    pub(crate) async fn close(&self) {
        let (closer, is_closed) = oneshot::channel();
        if self.messages.send(Message::Close(closer)).await.is_ok() {
            // An error says that the thread has ended as well.
            let _ended = is_closed.await;
        }
    }
}

/// Where savepoints are set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Savepoints {
    /// In front of commands that may refuse.
    WhereNeeded,
    /// In front of each.
    Everywhere,
}

/// How a transaction ended without success.
enum Lost {
    /// It could not begin.
    NotBegun(Failure),
    /// One of its commands failed without a savepoint. It was rolled back: nothing of it is stored.
    CommandFailed(Failure),
    /// SQLite or a full disk undid it as a whole: nothing of it is stored.
    RolledBack(Failure),
    /// Its commit failed, or the disk did: what is stored is unknown.
    Unknown(Failure),
}

impl Lost {
    fn not_begun(error: rusqlite::Error) -> Self {
        match Failure::from(error) {
            failure if failure.is_of_the_disk() => Lost::Unknown(failure),
            failure => Lost::NotBegun(failure),
        }
    }
}

struct WriterThread {
    inbox: Inbox,
    /// `None` after trouble, until it could be opened anew.
    connection: Option<Connection>,
    source: WriterSource,
    readers: Arc<Readers>,
    counters: Arc<Counters>,
    /// When opening it anew was last tried.
    last_attempt: Option<Instant>,
}

impl WriterThread {
    /// Works until the store is closed or dropped. Returns who waits for that.
    fn run(mut self) -> Vec<oneshot::Sender<()>> {
        while let Some(mut portion) = self.inbox.next_portion() {
            // A defect in one command must not end the only thread that writes.
            if catch_unwind(AssertUnwindSafe(|| self.write(&mut portion))).is_err() {
                let message = "the writer met a defect";
                self.give_up(&mut portion, StoreError::Unavailable { message, cause: None }.into());
            }
            for job in portion {
                job.answer();
            }
            // Opening and checking can take its time; those who wait here have their answers by now.
            if self.connection.is_none() && self.last_attempt.is_none() {
                self.open_if_closed();
            }
        }
        if let Some(connection) = self.connection.take() {
            // A shorter start next time; the log holds everything if it fails.
            if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
                tracing::warn!(%error, "the log could not be copied into the database at the end");
            }
        }
        self.inbox.closers
    }

    fn write(&mut self, jobs: &mut [Box<dyn Job>]) {
        self.open_if_closed();
        let Some(connection) = &self.connection else {
            refuse(jobs, || StoreError::Unavailable { message: "the database cannot be opened", cause: None });
            return;
        };
        let result = match self.transact(connection, Savepoints::WhereNeeded, jobs) {
            Err(Lost::CommandFailed(_)) => self.transact(connection, Savepoints::Everywhere, jobs),
            result => result,
        };
        match result {
            Ok(()) => {}
            Err(Lost::NotBegun(failure) | Lost::CommandFailed(failure)) => refuse_for(jobs, failure),
            Err(Lost::RolledBack(failure)) => self.write_each_alone(jobs, failure),
            Err(Lost::Unknown(failure)) => self.give_up(jobs, failure),
        }
    }

    /// SQLite rolls a whole transaction back when one command in it meets a full disk. Alone, the others may fit.
    fn write_each_alone(&mut self, jobs: &mut [Box<dyn Job>], failure: Failure) {
        if let [job] = jobs {
            job.refuse(failure.into());
            return;
        }
        for job in jobs {
            self.write(std::slice::from_mut(job));
        }
    }

    /// Refuses everybody in a transaction whose outcome is unknown, and closes the connection.
    fn give_up(&mut self, jobs: &mut [Box<dyn Job>], failure: Failure) {
        tracing::error!(?failure, commands = jobs.len(), "a transaction failed; the database is opened anew");
        refuse_for(jobs, failure);
        self.connection = None;
        self.last_attempt = None;
    }

    /// Opens the database anew if there was trouble and the pause since the last attempt is over.
    fn open_if_closed(&mut self) {
        let is_too_early = self.last_attempt.is_some_and(|last| last.elapsed() < self.source.reopen_pause);
        if self.connection.is_none() && !is_too_early {
            self.last_attempt = Some(Instant::now());
            // Readers hold the index of the log; without them SQLite reads the log itself again.
            self.readers.renew();
            match self.source.reopen() {
                Ok(connection) => {
                    self.connection = Some(connection);
                    self.counters.reopened.add(1);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the database cannot be opened; everything is refused");
                }
            }
        }
    }

    /// Runs `jobs` in one transaction.
    fn transact(&self, connection: &Connection, savepoints: Savepoints, jobs: &mut [Box<dyn Job>]) -> Result<(), Lost> {
        control(connection, "BEGIN IMMEDIATE").map_err(Lost::not_begun)?;
        for job in jobs.iter_mut() {
            if savepoints == Savepoints::Everywhere || job.kind() == Kind::MayRefuse {
                run_behind_savepoint(connection, job.as_mut()).map_err(|failure| lost(connection, failure))?;
            } else {
                job.run(connection).map_err(|failure| lost_by_command(connection, failure))?;
            }
        }
        self.source.commit(connection).map_err(|error| match error.sqlite_error_code() {
            // The log had no room for the transaction's end: once rolled back it has certainly not taken place.
            Some(ErrorCode::DiskFull) => lost(connection, error.into()),
            _ => Lost::Unknown(error.into()),
        })?;
        self.counters.transactions.add(1);
        self.counters.commands.add(jobs.len());
        Ok(())
    }
}

/// Runs one command so that its failure undoes nothing but its own work.
///
/// # Errors
/// What the transaction as a whole cannot survive.
fn run_behind_savepoint(connection: &Connection, job: &mut dyn Job) -> Result<(), Failure> {
    control(connection, "SAVEPOINT command")?;
    if let Err(failure) = job.run(connection) {
        if connection.is_autocommit() || failure.is_of_the_disk() {
            return Err(failure);
        }
        job.refuse(failure.into());
        control(connection, "ROLLBACK TO command")?;
    }
    control(connection, "RELEASE command")?;
    Ok(())
}

/// Rolls a transaction back because of a command that ran without a savepoint.
fn lost_by_command(connection: &Connection, failure: Failure) -> Lost {
    let is_of_the_command = !connection.is_autocommit() && !failure.is_of_the_disk();
    match lost(connection, failure) {
        Lost::RolledBack(failure) if is_of_the_command => Lost::CommandFailed(failure),
        lost => lost,
    }
}

/// Rolls a transaction back that `failure` made useless.
fn lost(connection: &Connection, failure: Failure) -> Lost {
    if !connection.is_autocommit()
        && let Err(error) = control(connection, "ROLLBACK")
    {
        return Lost::Unknown(error.into());
    }
    if failure.is_of_the_disk() { Lost::Unknown(failure) } else { Lost::RolledBack(failure) }
}

fn control(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([])?;
    Ok(())
}

fn refuse(jobs: &mut [Box<dyn Job>], error: impl Fn() -> StoreError) {
    for job in jobs {
        job.refuse(error());
    }
}

fn refuse_for(jobs: &mut [Box<dyn Job>], failure: Failure) {
    match failure {
        Failure::Sqlite(error) => {
            let error = Arc::new(error);
            refuse(jobs, || store_error(Arc::clone(&error)));
        }
        Failure::Store(_) => {
            refuse(jobs, || StoreError::Unavailable { message: "the writer met a defect", cause: None });
        }
    }
}
