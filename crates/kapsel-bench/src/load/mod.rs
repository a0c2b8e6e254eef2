//! The source of webhooks: one thread, one connection for each request under way, prepared requests.
//!
//! In a **closed loop** each connection sends its next request as soon as it has the answer, so the load follows what the
//! server can do, and a latency is that of a server that is always as busy as it can be. In an **open loop** requests
//! start when they are intended to, whatever became of the ones before, as real sources do. Their latency counts from the
//! intended start: a request that has to wait until a connection is free has that wait in its latency, so a server that
//! stops for a second is seen to have stopped for a second ("coordinated omission" is what leaving this out is called).
//!
//! Read `connection.rs` first, then `tickets.rs`.

pub(crate) mod bodies;
mod connection;
mod in_flight;
pub(crate) mod outcome;
pub(crate) mod requests;
pub(crate) mod schedule;
mod tickets;
mod timer;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use crate::error::Error;
use crate::ledger::Ledger;
use crate::thread::{MeasuredThread, Stop};
use connection::Shared;
use in_flight::InFlight;
use outcome::Counts;
use requests::Requests;
use schedule::Arrivals;
use tickets::Tickets;

/// How the starts of requests are decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// The next one as soon as the last one is answered.
    Closed,
    /// At fixed times.
    Open {
        /// The mean rate.
        per_second: f64,
        /// How they are spread.
        arrivals: Arrivals,
    },
}

/// What a load has to do.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Where to.
    pub(crate) target: SocketAddr,
    /// What is sent.
    pub(crate) requests: Arc<Requests>,
    /// Where it is written down.
    pub(crate) ledger: Arc<Ledger>,
    /// How the starts are decided.
    pub(crate) pace: Pace,
    /// How many connections.
    pub(crate) connections: usize,
    /// When nothing is started any more, on the ledger's clock.
    pub(crate) end_us: Option<u64>,
    /// After how many events nothing is started any more.
    pub(crate) count: Option<u64>,
    /// How long an answer may take.
    pub(crate) timeout: Duration,
    /// Ends it before.
    pub(crate) stop: Stop,
}

/// A load under way.
pub(crate) type Load = MeasuredThread<Counts>;

/// Begins to send, on a thread of its own.
pub(crate) fn start(job: Job) -> Result<Load, Error> {
    MeasuredThread::start("load", move || send(job))
}

fn send(job: Job) -> Result<Counts, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting the load"))?;
    LocalSet::new().block_on(&runtime, async move {
        let tickets = Rc::new(Tickets::new(job.clone()));
        let in_flight: Rc<[InFlight]> = (0..job.connections).map(|_| InFlight::default()).collect();
        let watch = in_flight::watch(Rc::clone(&in_flight), job.ledger.clock(), job.timeout);
        let watch = tokio::task::spawn_local(watch);
        let connections = job.connections;
        let shared = Rc::new(Shared { job, tickets: Rc::clone(&tickets), counts: RefCell::default(), in_flight });
        let mut tasks = JoinSet::new();
        for number in 0..connections {
            tasks.spawn_local(connection::drive(Rc::clone(&shared), number));
        }
        let unsent = tickets.hand_out().await.map_err(Error::io("keeping the schedule"))?;
        while tasks.join_next().await.is_some() {}
        watch.abort();
        let mut counts = shared.counts.take();
        counts.unsent = unsent;
        Ok(counts)
    })
}

#[cfg(test)]
mod tests;
