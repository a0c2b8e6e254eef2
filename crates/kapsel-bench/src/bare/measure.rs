//! Measures the bare server, and the load generator against the bare destination.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::server::{GREETING, PATH};
use crate::analysis::distribution::Distribution;
use crate::destination::Destination;
use crate::error::Error;
use crate::kapsel::guard::guarded;
use crate::ledger::Ledger;
use crate::load::requests::Requests;
use crate::load::{self, Job, Pace, bodies};
use crate::progress::Progress;
use crate::rounding::per;
use crate::thread::Stop;
use crate::workload::Workload;

/// The first part of each measurement does not count: connections are made in it.
const WARM_UP_SHARE: f64 = 0.2;
const START_LIMIT: Duration = Duration::from_secs(20);

/// What this machine can do at most with the same connections and bodies.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Bare {
    /// The bare server, closed loop: its rate is the limit of any server.
    pub(crate) ingest: BareRun,
    /// The bare server under the intended rate, if there is one: what latencies are compared with.
    pub(crate) ingest_at_rate: Option<BareRun>,
    /// The destination, closed loop, without anything in between.
    pub(crate) deliver: BareRun,
}

impl Bare {
    /// The run whose latencies compare with those of the workload.
    pub(crate) fn ingest_alike(&self) -> &BareRun {
        self.ingest_at_rate.as_ref().unwrap_or(&self.ingest)
    }
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BareRun {
    /// Requests answered in a second.
    pub(crate) per_second: f64,
    /// From the intended start to the answer.
    pub(crate) latency: Option<Distribution>,
    /// Processor time of the load generator for a request.
    pub(crate) load_cpu_us_per_event: Option<f64>,
    /// Processor time of the destination for a request.
    pub(crate) destination_cpu_us_per_event: Option<f64>,
    /// Requests that were not answered with 200.
    pub(crate) error_count: u64,
}

/// Measures all of it.
pub(crate) async fn measure(
    workload: &Workload,
    timeout: Duration,
    progress: &Progress,
) -> Result<Option<Bare>, Error> {
    let Some(pace) = workload.source.pace().filter(|_| !workload.bare.is_zero()) else { return Ok(None) };
    let mut command = guarded(&std::env::current_exe().map_err(Error::io("finding the own program"))?)?;
    let child = command.arg("bare-server").stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(Error::io("starting the bare server"))?;
    let address = tokio::time::timeout(START_LIMIT, address(&mut child)).await;
    let address = address.ok().flatten().ok_or_else(|| Error::Program("the bare server does not listen".to_owned()))?;

    let plan = |pace| Plan { workload, pace, timeout, progress };
    progress.phase("bare server", Some(workload.bare));
    let ingest = plan(Pace::Closed).run(address, PATH, None).await?;
    let ingest_at_rate = match pace {
        Pace::Closed => None,
        Pace::Open { .. } => {
            progress.phase("bare server at the rate", Some(workload.bare));
            Some(plan(pace).run(address, PATH, None).await?)
        }
    };
    child.kill().await.map_err(Error::io("stopping the bare server"))?;

    progress.phase("bare destination", Some(workload.bare));
    let ledger = Arc::new(Ledger::new());
    let destination = Destination::start(Arc::clone(&ledger), [127, 0, 0, 1].into(), workload.destination_delay)?;
    let deliver = plan(Pace::Closed).run(destination.address(), "/", Some((ledger, &destination))).await?;
    destination.stop().await?;
    Ok(Some(Bare { ingest, ingest_at_rate, deliver }))
}

async fn address(child: &mut tokio::process::Child) -> Option<SocketAddr> {
    let mut line = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut line).await.ok()?;
    line.trim().strip_prefix(GREETING)?.parse().ok()
}

struct Plan<'a> {
    workload: &'a Workload,
    pace: Pace,
    timeout: Duration,
    progress: &'a Progress,
}

impl Plan<'_> {
    async fn run(
        &self,
        target: SocketAddr,
        path: &str,
        destination: Option<(Arc<Ledger>, &Destination)>,
    ) -> Result<BareRun, Error> {
        let (ledger, destination) = destination.unzip();
        let ledger = ledger.unwrap_or_else(|| Arc::new(Ledger::new()));
        let clock = ledger.clock();
        let begin_us = clock.now_us();
        let length_us = u64::try_from(self.workload.bare.as_micros()).unwrap_or(u64::MAX);
        let end_us = begin_us.saturating_add(length_us);
        let bodies = bodies::signed_bodies(self.workload.body_bytes);
        let load = load::start(Job {
            target,
            requests: Arc::new(Requests::new(target, &[path.to_owned()], &bodies, None)),
            ledger: Arc::clone(&ledger),
            pace: self.pace,
            connections: self.workload.connections,
            end_us: Some(end_us),
            count: None,
            timeout: self.timeout,
            stop: Stop::default(),
        })?;
        while !load.is_finished() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let passed = Duration::from_micros(clock.now_us() - begin_us);
            self.progress.advance(passed, || format!("{} answered", ledger.accepted_count()));
        }
        let load_cpu_us = load.cpu_seconds() * 1e6;
        let counts = load.join().await?;
        let window_begin_us = begin_us + crate::rounding::whole(length_us as f64 * WARM_UP_SHARE);
        let window_us = window_begin_us..end_us;
        let answered = ledger
            .events()
            .filter(|event| event.answered_us.is_some_and(|answered_us| window_us.contains(&u64::from(answered_us))));
        let answered = crate::rounding::count(answered.count());
        let latencies = ledger.events().filter(|event| window_us.contains(&u64::from(event.intended_us)));
        let latencies =
            latencies.filter_map(|event| Some(u64::from(event.answered_us?.saturating_sub(event.intended_us))));
        let accepted = ledger.accepted_count() as f64;
        Ok(BareRun {
            per_second: answered as f64 * 1e6 / (window_us.end - window_us.start) as f64,
            latency: Distribution::of(latencies),
            load_cpu_us_per_event: per(load_cpu_us, accepted),
            destination_cpu_us_per_event: destination
                .and_then(|destination| per(destination.cpu_seconds() * 1e6, accepted)),
            error_count: counts.error_count(),
        })
    }
}
