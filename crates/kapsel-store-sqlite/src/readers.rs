//! A few connections that only read, each used by one blocking task at a time.
//!
//! Reads are short: a long one would keep the log from being cut back. They see everything that was answered before they
//! began, because the writer answers after its commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kapsel_store::{PoolUse, StoreError};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::connection::open_reader;
use crate::error::{Failure, closed};

/// The connections that read.
#[derive(Debug)]
pub(crate) struct Readers {
    file: PathBuf,
    cache_bytes: usize,
    connections_max: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    /// Grows when all connections are to be replaced; those from before are not put back.
    generation: u64,
}

impl Readers {
    /// At most `connections_max` connections to `file`, opened when they are needed.
    pub(crate) fn new(file: &Path, connections_max: u32, cache_bytes: usize) -> Self {
        let connections_max = connections_max.max(1);
        Readers {
            file: file.to_owned(),
            cache_bytes,
            connections_max,
            permits: Arc::new(Semaphore::new(usize::try_from(connections_max).unwrap_or(1))),
            idle: Mutex::default(),
        }
    }

    /// Runs `work` in one read transaction on a blocking thread.
    pub(crate) async fn read<T, W>(self: &Arc<Self>, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let readers = Arc::clone(self);
        let read = move || {
            let result = readers.read_now(work);
            drop(permit);
            result
        };
        let result = tokio::task::spawn_blocking(read).await;
        Ok(result.map_err(|error| StoreError::unavailable("a read was broken off", error))??)
    }

    /// How many connections there may be, and how many are reading.
    pub(crate) fn use_now(&self) -> PoolUse {
        let size = usize::try_from(self.connections_max).unwrap_or(1);
        PoolUse { name: "readers", size, busy: size.saturating_sub(self.permits.available_permits()) }
    }

    fn read_now<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        let (connection, generation) = {
            let mut idle = self.idle();
            (idle.connections.pop(), idle.generation)
        };
        let connection = match connection {
            Some(connection) => connection,
            None => open_reader(&self.file, self.cache_bytes)?,
        };
        let result = connection.unchecked_transaction().map_err(Failure::from).and_then(|snapshot| {
            let result = work(&snapshot);
            snapshot.finish()?;
            result
        });
        let mut idle = self.idle();
        if idle.generation == generation && !result.as_ref().is_err_and(Failure::is_of_the_disk) {
            idle.connections.push(connection);
        }
        result
    }

    /// Replaces all connections: the idle ones at once, those in use when they come back.
    pub(crate) fn renew(&self) {
        let mut idle = self.idle();
        idle.generation += 1;
        idle.connections.clear();
    }

    /// Waits for the reads under way, lets no further ones begin, and closes all connections.
    pub(crate) async fn close(&self) {
        // An error says that somebody else closed them.
        let all = self.permits.acquire_many(self.connections_max).await;
        self.permits.close();
        drop(all);
        self.renew();
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
