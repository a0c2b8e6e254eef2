//! What waits for the writer, taken out in portions that fit one transaction.

use tokio::sync::{mpsc, oneshot};

use crate::job::{Job, Weight};

/// A transaction takes no further command once it has so many rows. A single command may have more.
pub(crate) const TRANSACTION_ROWS_MAX: usize = 1_024;
/// A transaction takes no further command that would bring it above so many bytes of payload.
pub(crate) const TRANSACTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What is sent to the writer.
pub(crate) enum Message {
    /// A command.
    Job(Box<dyn Job>),
    /// The wish to end after everything sent before, and where to tell that it is done.
    Close(oneshot::Sender<()>),
}

/// The writer's end of the channel.
pub(crate) struct Inbox {
    messages: mpsc::Receiver<Message>,
    /// Taken from the channel, but too large for the transaction that was being put together.
    held_back: Option<Box<dyn Job>>,
    /// Who wants to know when the writer has ended.
    pub(crate) closers: Vec<oneshot::Sender<()>>,
}

impl Inbox {
    /// Reads from `messages`.
    pub(crate) fn new(messages: mpsc::Receiver<Message>) -> Self {
        Inbox { messages, held_back: None, closers: Vec::new() }
    }

    /// Waits for a command and takes everything that waits behind it, as far as it fits. There is no timer: while one
    /// transaction is written, the next one gathers. `None` once the store was closed or dropped and all is done.
    pub(crate) fn next_portion(&mut self) -> Option<Vec<Box<dyn Job>>> {
        let first = match self.held_back.take() {
            Some(job) => job,
            None => self.wait_for_job()?,
        };
        let mut weight = first.weight();
        let mut portion = vec![first];
        while weight.rows < TRANSACTION_ROWS_MAX && weight.bytes < TRANSACTION_BYTES_MAX {
            match self.messages.try_recv() {
                Ok(Message::Job(job)) => {
                    let more = job.weight();
                    weight = Weight { rows: weight.rows + more.rows, bytes: weight.bytes + more.bytes };
                    if weight.rows > TRANSACTION_ROWS_MAX || weight.bytes > TRANSACTION_BYTES_MAX {
                        self.held_back = Some(job);
                        break;
                    }
                    portion.push(job);
                }
                Ok(Message::Close(closer)) => self.close(closer),
                Err(_) => break,
            }
        }
        Some(portion)
    }

    fn wait_for_job(&mut self) -> Option<Box<dyn Job>> {
        loop {
            match self.messages.blocking_recv()? {
                Message::Job(job) => return Some(job),
                Message::Close(closer) => self.close(closer),
            }
        }
    }

    /// Takes nothing new from now on; what was sent before is still handed out.
    fn close(&mut self, closer: oneshot::Sender<()>) {
        self.closers.push(closer);
        self.messages.close();
    }
}
