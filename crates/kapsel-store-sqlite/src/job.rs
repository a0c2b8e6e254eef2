//! One command to the writer: what to do, and where the answer goes.

use kapsel_store::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::Failure;

/// About how much a command writes, for the bounds of a shared transaction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weight {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes of payload.
    pub(crate) bytes: usize,
}

impl Weight {
    /// One small row.
    pub(crate) const ROW: Weight = Weight { rows: 1, bytes: 0 };
}

/// What to expect of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It fails only when the store does.
    Sure,
    /// It says no in the ordinary course of things: not found, conflict.
    MayRefuse,
}

/// A command as the writer sees it, whatever its answer.
pub(crate) trait Job: Send {
    /// What it adds to a transaction.
    fn weight(&self) -> Weight;

    /// What to expect of it.
    fn kind(&self) -> Kind;

    /// Does the work and keeps the answer. Can be run again if the transaction it ran in was rolled back.
    fn run(&mut self, connection: &Connection) -> Result<(), Failure>;

    /// Puts an error in the place of the answer.
    fn refuse(&mut self, error: StoreError);

    /// Sends the answer. Only after the commit, or once it is certain that there will be none.
    fn answer(self: Box<Self>);
}

/// Some work and the caller who waits for it, or no longer does: the work is done all the same.
pub(crate) struct Command<T, W> {
    weight: Weight,
    kind: Kind,
    work: W,
    result: Result<T, StoreError>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Command<T, W>
where
    T: Send + 'static,
    W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
{
    /// A command to do `work`, and the place where its answer appears.
    pub(crate) fn with_answer(
        weight: Weight,
        kind: Kind,
        work: W,
    ) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>) {
        let (caller, answer) = oneshot::channel();
        let result = Err(StoreError::Unavailable { message: "the command was not run", cause: None });
        (Box::new(Command { weight, kind, work, result, caller }), answer)
    }
}

impl<T, W> Job for Command<T, W>
where
    T: Send + 'static,
    W: FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
{
    fn weight(&self) -> Weight {
        self.weight
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, connection: &Connection) -> Result<(), Failure> {
        self.result = Ok((self.work)(connection)?);
        Ok(())
    }

    fn refuse(&mut self, error: StoreError) {
        self.result = Err(error);
    }

    fn answer(self: Box<Self>) {
        // A caller that went away does not hear it; nothing depends on that.
        let _gone = self.caller.send(self.result);
    }
}
