//! What happens to a fresh Kapsel, phase by phase: endpoints; events before; warm-up; the window; the drain; the log.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use super::Terms;
use super::evidence::Evidence;
use super::measured::{Measured, Memory, PhaseSeconds};
use super::samples::Samples;
use super::usage::Usage;
use super::wait::Wait;
use crate::bare::measure::Bare;
use crate::chance::unique_name;
use crate::destination::Destination;
use crate::error::Error;
use crate::kapsel::Target;
use crate::kapsel::child::KapselChild;
use crate::kapsel::endpoints::{self, Endpoint};
use crate::kapsel::heads::Heads;
use crate::ledger::Ledger;
use crate::load::outcome::Counts;
use crate::load::requests::Requests;
use crate::load::{self, Job, Load, Pace, bodies};
use crate::postgres::Database;
use crate::proc::memory;
use crate::progress::Progress;
use crate::rounding::count;
use crate::thread::Stop;
use crate::workload::Workload;

/// A fresh Kapsel settles before its memory at rest is looked at.
const SETTLE_US: u64 = 500_000;
/// What `--deliver false` lets through comes within this time.
const LET_THROUGH_US: u64 = 2_000_000;

/// What the phases work with.
pub(super) struct Phases<'a> {
    pub(super) workload: &'a Workload,
    pub(super) terms: &'a Terms,
    pub(super) progress: &'a Progress,
    pub(super) ledger: Arc<Ledger>,
    /// Stops whatever load there is.
    pub(super) stop: Stop,
    pub(super) destination: &'a Destination,
    pub(super) database: Option<&'a Database>,
    pub(super) bare: Option<Bare>,
}

/// What the window brought, and what came after it.
struct Loaded {
    window_us: Range<u64>,
    answers: Counts,
    /// At its borders, and at the very end.
    usage: [Usage; 4],
    memory: Memory,
    drain: Option<f64>,
    cover: Option<f64>,
}

impl Phases<'_> {
    /// All of them. The endpoints that were made come back whatever happens.
    pub(super) async fn go_through(
        self,
        target: &Target,
        child: Option<&mut KapselChild>,
    ) -> (Vec<Endpoint>, Result<Measured, Error>) {
        let mut wait = Wait { child, ledger: Arc::clone(&self.ledger), progress: self.progress };
        let begin = self.now_seconds();
        let endpoints = match self.make_endpoints(target, &mut wait).await {
            Ok(endpoints) => endpoints,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let seconds = self.now_seconds() - begin;
        let measured = self.measure(target, &endpoints, seconds, &mut wait).await;
        (endpoints, measured)
    }

    async fn make_endpoints(&self, target: &Target, wait: &mut Wait<'_>) -> Result<Vec<Endpoint>, Error> {
        let made = Arc::new(AtomicUsize::new(0));
        let total = self.workload.endpoints;
        let address = self.destination.address();
        wait.progress.phase("endpoints", None);
        let create = endpoints::create(target, total, address, self.workload.is_delivered, &made);
        let show = async {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                self.progress.advance(Duration::ZERO, || format!("{} of {total}", made.load(Relaxed)));
            }
        };
        tokio::select! {
            endpoints = create => endpoints,
            () = show => Err(Error::Interrupted),
        }
    }

    async fn measure(
        self,
        target: &Target,
        endpoints: &[Endpoint],
        endpoints_seconds: f64,
        wait: &mut Wait<'_>,
    ) -> Result<Measured, Error> {
        let clock = self.ledger.clock();
        let server = self.database.map(|database| database.server().clone());
        let samples = Samples::take(clock, target.pid, server);
        let heads = Heads::watch(target, clock).await?;
        let paths: Vec<String> = endpoints.iter().map(|endpoint| endpoint.path.clone()).collect();
        let prefix = self.workload.has_idempotency_keys.then(unique_name::<8>);
        let bodies = bodies::signed_bodies(self.workload.body_bytes);
        let requests = Arc::new(Requests::new(target.address, &paths, &bodies, prefix.as_deref()));

        let prefill_begin = self.now_seconds();
        if self.workload.prefill > 0 {
            self.prefill(target, &requests, &heads, wait).await?;
        }
        let prefill = self.now_seconds() - prefill_begin;
        let accepted_before = self.ledger.accepted_count();
        wait.until_time("settling", clock.now_us() + SETTLE_US).await?;
        let loaded = match self.workload.source.pace() {
            Some(pace) => self.load(target, pace, &requests, &heads, wait).await?,
            None => self.rest(target, wait).await?,
        };

        wait.progress.phase("computing", None);
        let [before, at_begin, at_end, at_the_end] = loaded.usage;
        let evidence = Evidence {
            ledger: &self.ledger,
            window_us: loaded.window_us,
            heads: heads.all(),
            size_at_start: heads.size_at_start(),
            covered: heads.covered_count(),
            samples: samples.all(),
            accepted_before,
            memory: loaded.memory,
        };
        Ok(evidence.measured(
            Measured {
                bare: self.bare,
                phases: PhaseSeconds {
                    endpoints: endpoints_seconds,
                    prefill,
                    drain: loaded.drain,
                    cover: loaded.cover,
                },
                answers: loaded.answers,
                cpu_in_window: at_end.cpu_since(&at_begin),
                cpu_to_the_end: at_the_end.cpu_since(&before),
                written: at_the_end.written_since(&before),
                ..Measured::default()
            },
            self.workload,
        ))
    }

    /// Sends the events that are to be there before the load, and waits until they are through.
    async fn prefill(
        &self,
        target: &Target,
        requests: &Arc<Requests>,
        heads: &Heads,
        wait: &mut Wait<'_>,
    ) -> Result<(), Error> {
        let load = load::start(Job { count: Some(self.workload.prefill), ..self.job(target, Pace::Closed, requests) })?;
        wait.until("events before", None, |_| load.is_finished()).await?;
        let answers = load.join().await?;
        if answers.error_count() > 0 {
            return Err(Error::Program(format!("of the events before, {}", answers.errors_in_words())));
        }
        if self.workload.is_delivered {
            wait.until("delivering them", None, nothing_is_missing).await?;
            let covered = |ledger: &Ledger| heads.covered_count() >= ledger.arrival_count();
            wait.until("covering them", Some(self.drain_end_us()), covered).await?;
        }
        Ok(())
    }

    /// Warm-up, window, drain.
    async fn load(
        &self,
        target: &Target,
        pace: Pace,
        requests: &Arc<Requests>,
        heads: &Heads,
        wait: &mut Wait<'_>,
    ) -> Result<Loaded, Error> {
        let clock = self.ledger.clock();
        let idle_bytes = target.pid.and_then(memory::resident_bytes);
        if let Some(pid) = target.pid {
            memory::forget_peak(pid);
        }
        let before = self.usage(target, None).await?;
        let window_begin_us = clock.now_us() + micros(self.workload.warm_up);
        let window_us = window_begin_us..window_begin_us + micros(self.workload.window);
        let load = load::start(Job { end_us: Some(window_us.end), ..self.job(target, pace, requests) })?;
        wait.until_time("warm-up", window_us.start).await?;
        let at_begin = self.usage(target, Some(&load)).await?;
        wait.until_time("measuring", window_us.end).await?;
        let at_end = self.usage(target, Some(&load)).await?;

        // Each request is given up after a time, so this ends.
        wait.until("last answers", None, |_| load.is_finished()).await?;
        let load_seconds = load.cpu_seconds();
        let answers = load.join().await?;
        let (drain, cover) = self.drain(heads, wait).await?;
        let memory = Memory {
            idle_bytes,
            peak_bytes: target.pid.and_then(memory::peak_bytes),
            end_bytes: target.pid.and_then(memory::resident_bytes),
            ..Memory::default()
        };
        let at_the_end = self.usage(target, None).await?.with_load_seconds(load_seconds);
        Ok(Loaded { window_us, answers, usage: [before, at_begin, at_end, at_the_end], memory, drain, cover })
    }

    /// Nothing comes; memory at rest is what the window is for.
    async fn rest(&self, target: &Target, wait: &mut Wait<'_>) -> Result<Loaded, Error> {
        let begin_us = self.ledger.clock().now_us();
        let window_us = begin_us..begin_us + micros(self.workload.window);
        let before = self.usage(target, None).await?;
        wait.until_time("at rest", window_us.end).await?;
        let after = self.usage(target, None).await?;
        let resident_bytes = target.pid.and_then(memory::resident_bytes);
        let memory = Memory {
            idle_bytes: resident_bytes,
            peak_bytes: target.pid.and_then(memory::peak_bytes),
            end_bytes: resident_bytes,
            ..Memory::default()
        };
        let usage = [before, before, after, after];
        Ok(Loaded { window_us, answers: Counts::default(), usage, memory, drain: None, cover: None })
    }

    /// Waits until everything accepted has arrived, and then until the log covers every arrival. Returns how long both took.
    async fn drain(&self, heads: &Heads, wait: &mut Wait<'_>) -> Result<(Option<f64>, Option<f64>), Error> {
        let begin = self.now_seconds();
        let drain = if self.workload.is_delivered {
            wait.until("drain", Some(self.drain_end_us()), nothing_is_missing)
                .await?
                .then(|| self.now_seconds() - begin)
        } else {
            let end_us = self.ledger.clock().now_us() + LET_THROUGH_US;
            let let_through = count(self.workload.endpoints).min(self.ledger.accepted_count());
            wait.until("drain", Some(end_us), |ledger| ledger.received_count() >= let_through).await?;
            None
        };
        let begin = self.now_seconds();
        let covered = |ledger: &Ledger| heads.covered_count() >= ledger.arrival_count();
        let cover = wait.until("log", Some(self.drain_end_us()), covered).await?.then(|| self.now_seconds() - begin);
        Ok((drain, cover))
    }

    fn job(&self, target: &Target, pace: Pace, requests: &Arc<Requests>) -> Job {
        Job {
            target: target.address,
            requests: Arc::clone(requests),
            ledger: Arc::clone(&self.ledger),
            pace,
            connections: self.workload.connections,
            end_us: None,
            count: None,
            timeout: self.terms.request_timeout,
            stop: self.stop.clone(),
        }
    }

    async fn usage(&self, target: &Target, load: Option<&Load>) -> Result<Usage, Error> {
        Usage::read(target.pid, self.database, load, self.destination).await
    }

    fn drain_end_us(&self) -> u64 {
        self.ledger.clock().now_us() + micros(self.terms.drain_limit)
    }

    fn now_seconds(&self) -> f64 {
        self.ledger.clock().now_seconds()
    }
}

/// The counts are compared first, because they cost nothing; only the ledger itself is sure.
fn nothing_is_missing(ledger: &Ledger) -> bool {
    ledger.received_count() >= ledger.accepted_count() && ledger.missing_count() == 0
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
