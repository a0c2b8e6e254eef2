//! A few connections for one purpose, lent one at a time.
//!
//! A connection goes back only after its caller said how the work ended. One whose caller went away in the middle, that
//! failed, or that took too long is given up: it may be inside a transaction, or the server may be at work on it still.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kapsel_store::{PoolUse, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connector::{Connector, Purpose};
use crate::error::{Failure, closed};
use crate::session::Session;

/// Connections for one purpose.
#[derive(Debug)]
pub(crate) struct Pool {
    connector: Arc<Connector>,
    purpose: Purpose,
    /// How long a piece of work may take, waiting for a free connection included.
    time_max: Duration,
    size: usize,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Session>>>,
}

impl Pool {
    /// At most `size` connections, made when they are needed.
    pub(crate) fn new(connector: Arc<Connector>, purpose: Purpose, size: usize, time_max: Duration) -> Arc<Self> {
        let size = size.max(1);
        let permits = Arc::new(Semaphore::new(size));
        Arc::new(Pool { connector, purpose, time_max, size, permits, idle: Mutex::default() })
    }

    /// Does `work` on a connection, within the pool's limit of time.
    ///
    /// # Errors
    /// Those of the work; [`StoreError::Unavailable`] if there is no connection or it took too long.
    pub(crate) async fn with<T, W, F>(self: &Arc<Self>, work: W) -> Result<T, StoreError>
    where
        W: FnOnce(Arc<Session>) -> F,
        F: Future<Output = Result<T, Failure>>,
    {
        let all = async {
            let lent = self.lend().await?;
            let result = work(Arc::clone(&lent.session)).await;
            lent.give_back(&result);
            result
        };
        let result = tokio::time::timeout(self.time_max, all).await;
        Ok(result.unwrap_or(Err(Failure::TimedOut(self.time_max)))?)
    }

    /// How many connections it may have, and how many are lent.
    pub(crate) fn use_now(&self, name: &'static str) -> PoolUse {
        let busy = self.size.saturating_sub(self.permits.available_permits());
        PoolUse { name, size: self.size, busy }
    }

    async fn lend(self: &Arc<Self>) -> Result<Lent, Failure> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        loop {
            let idle = self.idle().pop();
            let session = match idle {
                // The server may have ended it while it was idle.
                Some(session) if session.is_closed() => continue,
                Some(session) => session,
                None => Arc::new(self.connector.connect(self.purpose).await?),
            };
            return Ok(Lent { session, pool: Arc::clone(self), is_given_back: false, _permit: permit });
        }
    }

    /// Lets nothing new begin, waits for what is under way, and closes all connections.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        // An error says that somebody else closed it. What is under way ends within its limit.
        let permits = self.permits.acquire_many(all).await;
        self.permits.close();
        drop(permits);
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Session>>> {
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use.
struct Lent {
    session: Arc<Session>,
    pool: Arc<Pool>,
    is_given_back: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// After `result`, the connection is kept if nothing speaks against it. Whatever a failed statement left open ends
    /// with its connection.
    fn give_back<T>(mut self, result: &Result<T, Failure>) {
        self.is_given_back = true;
        let is_sound = matches!(result, Ok(_) | Err(Failure::Store(_)));
        if is_sound && !self.session.is_closed() {
            self.pool.idle().push(Arc::clone(&self.session));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_given_back && !self.session.is_closed() {
            self.pool.connector.cancel(self.session.cancel_token());
        }
    }
}
