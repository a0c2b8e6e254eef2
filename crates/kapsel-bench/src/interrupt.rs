//! Ctrl-C, and the limit of time: whatever is being waited for is given up, and what has to be tidied up still is.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::error::{EXIT_INTERRUPTED, Error};

/// Whether somebody wants it to end.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    raised: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens for SIGINT and SIGTERM. A second one ends at once; children end with their parent.
    pub(crate) fn listen() -> Result<Self, Error> {
        let listen = |kind| signal(kind).map_err(Error::io("listening for signals"));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (sender, raised) = watch::channel(false);
        tokio::spawn(async move {
            for is_second in [false, true] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if is_second {
                    std::process::exit(i32::from(EXIT_INTERRUPTED));
                }
                sender.send_replace(true);
            }
        });
        Ok(Interrupt { raised })
    }

    /// Does something unless it is interrupted, or takes longer than it may.
    pub(crate) async fn guard<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut raised = self.raised.clone();
        tokio::select! {
            result = work => result,
            Ok(_) = raised.wait_for(|raised| *raised) => Err(Error::Interrupted),
            () = tokio::time::sleep(limit) => Err(Error::TimeLimit(limit.as_secs())),
        }
    }

    /// Whether it was interrupted.
    pub(crate) fn is_raised(&self) -> bool {
        *self.raised.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_by_itself_or_by_the_limit() {
        let interrupt = Interrupt::listen().unwrap();
        let limit = Duration::from_secs(5);
        assert_eq!(interrupt.guard(limit, async { Ok(7) }).await.unwrap(), 7);
        let endless = std::future::pending::<Result<(), Error>>();
        assert!(matches!(interrupt.guard(limit, endless).await, Err(Error::TimeLimit(5))));
        assert!(!interrupt.is_raised());
    }
}
