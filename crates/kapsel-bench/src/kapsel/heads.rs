//! Asks for the last signed head of the log, again and again, and writes down when it was first seen.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Target;
use crate::analysis::covered::SeenHead;
use crate::clock::Clock;
use crate::error::Error;
use crate::http::client::Client;

/// How exact the figures of heads are.
const LOOK: Duration = Duration::from_millis(10);

/// What is being seen of the log.
#[derive(Debug)]
pub(crate) struct Heads {
    size_at_start: u64,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    size: AtomicU64,
    heads: Mutex<Vec<SeenHead>>,
}

impl Heads {
    /// Begins to look.
    pub(crate) async fn watch(target: &Target, clock: Clock) -> Result<Self, Error> {
        let mut client = Client::new(target.address, None);
        let size_at_start = tree_size(&mut client).await?;
        let seen = Arc::new(Seen { size: AtomicU64::new(size_at_start), heads: Mutex::default() });
        let seen_by_task = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                // One that fails is repeated; if Kapsel is gone, others will say so.
                let Ok(tree_size) = tree_size(&mut client).await else { continue };
                if tree_size > seen_by_task.size.load(Relaxed) {
                    let head = SeenHead { at_us: clock.now_us(), tree_size };
                    seen_by_task.heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                    seen_by_task.size.store(tree_size, Relaxed);
                }
            }
        });
        Ok(Heads { size_at_start, seen, task })
    }

    /// Leaves that were covered before.
    pub(crate) fn size_at_start(&self) -> u64 {
        self.size_at_start
    }

    /// Leaves that have been covered since.
    pub(crate) fn covered_count(&self) -> u64 {
        self.seen.size.load(Relaxed).saturating_sub(self.size_at_start)
    }

    /// All heads that were seen since, in order.
    pub(crate) fn all(&self) -> Vec<SeenHead> {
        self.seen.heads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The size of the last head; zero while there is none, which is answered with 202.
async fn tree_size(client: &mut Client) -> Result<u64, Error> {
    let reply = client.call("GET", "/attestation/sth", None).await?;
    match reply.status {
        200 => reply.body["tree_size"].as_u64().ok_or_else(|| Error::Program("a head without a size".to_owned())),
        202 => Ok(0),
        status => Err(Error::Program(format!("the head of the log was refused with {status}: {}", reply.body))),
    }
}
