//! Requests without an answer are given up after a time. Nothing is armed for a request: one look a few times a second
//! finds those that are late, and shuts their connections down.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use rustix::net::Shutdown;

use crate::clock::Clock;

/// How exact the limit is.
const LOOK: Duration = Duration::from_millis(200);

/// One connection as the look sees it.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// When its request was sent; nothing while none is.
    since_us: Cell<Option<u64>>,
    is_late: Cell<bool>,
    /// A second handle of its socket.
    socket: RefCell<Option<OwnedFd>>,
}

impl InFlight {
    /// The connection was made anew.
    pub(super) fn connected(&self, socket: impl AsFd) -> std::io::Result<()> {
        *self.socket.borrow_mut() = Some(rustix::io::dup(socket)?);
        self.is_late.set(false);
        Ok(())
    }

    /// Its connection is given up.
    pub(super) fn disconnected(&self) {
        *self.socket.borrow_mut() = None;
        self.since_us.set(None);
    }

    /// A request is sent.
    pub(super) fn begin(&self, now_us: u64) {
        self.since_us.set(Some(now_us));
    }

    /// Its answer is there.
    pub(super) fn end(&self) {
        self.since_us.set(None);
    }

    /// Whether the connection ended because the answer was late.
    pub(super) fn is_late(&self) -> bool {
        self.is_late.get()
    }

    fn look(&self, now_us: u64, limit_us: u64) {
        if self.since_us.get().is_some_and(|since_us| now_us.saturating_sub(since_us) > limit_us)
            && let Some(socket) = self.socket.borrow().as_ref()
        {
            self.is_late.set(true);
            // If it is closed already, whoever reads from it knows.
            let _already_closed = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

/// Looks again and again; runs until it is aborted.
pub(super) async fn watch(connections: Rc<[InFlight]>, clock: Clock, limit: Duration) {
    let limit_us = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    loop {
        tokio::time::sleep(LOOK).await;
        let now_us = clock.now_us();
        connections.iter().for_each(|connection| connection.look(now_us, limit_us));
    }
}
