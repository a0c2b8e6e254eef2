//! Puts waiting leaves into the tree and publishes signed heads.
//!
//! [`Sequencer::run_once`] is one step, safe to repeat at any time by any number of instances. The lease of the log sees to
//! it that one of them does the work; that the log cannot fork is seen to by the store, which writes only what was computed
//! from the tree as it is (see [`kapsel_store::attestation`]). After a crash the same step goes on: what was integrated is
//! in the store, what was signed and not published is signed anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kapsel_core::{Clock, InstanceId, LogId, Timestamp};
use kapsel_store::AttestationStore;
use kapsel_store::attestation::{Head, Integration, Log, PendingLeaf};
use kapsel_store::error::with_sources;
use kapsel_verification::SignedCheckpoint;

use crate::error::AttestationError;
use crate::figures::{FigureBoard, LogFigures};
use crate::last_head::LastHead;
use crate::signer::{KeyRing, LogSigner};
use crate::tiles::Edge;
use crate::tree::Range;
use crate::{rotation, signing};

/// How far apart the clocks of two instances may be.
const CLOCK_DISTANCE_MAX: Duration = Duration::from_mins(5);

/// What a sequencer works with.
pub struct SequencerDeps {
    /// Where the log is.
    pub store: Arc<dyn AttestationStore>,
    /// The keys of this instance.
    pub keys: Arc<dyn KeyRing>,
    /// The second place for the last signed head.
    pub last_head: Arc<dyn LastHead>,
    /// Where the present comes from.
    pub clock: Arc<dyn Clock>,
    /// Under which name the lease is held.
    pub instance: InstanceId,
    /// The log.
    pub log_id: LogId,
}

/// Sizes and times.
#[derive(Debug, Clone)]
pub struct SequencerSettings {
    /// How many leaves go into the tree at once.
    pub batch_max: usize,
    /// How many such batches one step makes before it signs.
    pub batches_max: usize,
    /// For how long the lease is taken. When its holder dies, the log stands still for at most so long.
    pub lease: Duration,
    /// How much time there is at least between two heads.
    pub publish_interval: Duration,
    /// How long to wait between two looks when there was nothing to do.
    pub poll_interval: Duration,
    /// For how long a key that was replaced signs beside the new one.
    pub overlap: Duration,
}

impl Default for SequencerSettings {
    fn default() -> Self {
        SequencerSettings {
            batch_max: 1_000,
            batches_max: 16,
            lease: Duration::from_secs(10),
            // Each head is a row that stays.
            publish_interval: Duration::from_secs(1),
            poll_interval: Duration::from_millis(100),
            overlap: Duration::from_hours(168),
        }
    }
}

/// What an instance is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// There was nothing to do.
    #[default]
    Idle,
    /// It adds to the log.
    Leader,
    /// Another instance does.
    Follower,
}

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunReport {
    /// What this instance was to the log.
    pub role: Role,
    /// Leaves that went into the tree.
    pub integrated: usize,
    /// The size of the head that was published.
    pub published: Option<u64>,
    /// Whether there is more to do at once.
    pub has_more: bool,
}

/// Adds to one log.
pub struct Sequencer {
    deps: SequencerDeps,
    settings: SequencerSettings,
    held: tokio::sync::Mutex<Held>,
    alarm: Mutex<Option<String>>,
    figures: FigureBoard,
}

/// What is known from the last step. All of it can be read again.
#[derive(Default)]
struct Held {
    /// The right edge of the tree, as it is in the store.
    edge: Option<Edge>,
    /// Up to when this instance holds the lease.
    lease_until: Option<Timestamp>,
    /// The size of the head that is remembered outside of the store.
    remembered: Option<u64>,
    /// When this instance published last, by its clock.
    published_at: Option<Timestamp>,
}

impl Sequencer {
    /// A sequencer of one log.
    pub fn new(deps: SequencerDeps, settings: SequencerSettings) -> Self {
        let (held, alarm) = (tokio::sync::Mutex::default(), Mutex::default());
        Sequencer { deps, settings, held, alarm, figures: FigureBoard::new() }
    }

    /// Why the log stands still, if it does and somebody has to see to it.
    pub fn alarm(&self) -> Option<String> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the log stood at the last look.
    pub fn figures(&self) -> LogFigures {
        self.figures.read()
    }

    /// Takes what waits into the tree, and signs and publishes a head when it is time.
    ///
    /// # Errors
    /// [`AttestationError`]. What was integrated stays; nothing was signed that does not continue what was signed before.
    pub async fn run_once(&self) -> Result<RunReport, AttestationError> {
        // One step at a time.
        let mut held = self.held.lock().await;
        let result = self.step(&mut held).await;
        let alarm = match &result {
            Ok(_) => None,
            Err(error) if error.is_passing() => self.alarm(),
            Err(error) => Some(with_sources(error)),
        };
        if result.is_err() {
            // Whether the last write was made is unknown, or the store is not what it was taken for.
            held.edge = None;
        }
        *self.alarm.lock().unwrap_or_else(PoisonError::into_inner) = alarm;
        result
    }

    async fn step(&self, held: &mut Held) -> Result<RunReport, AttestationError> {
        let SequencerDeps { store, log_id, .. } = &self.deps;
        let waiting = store.leaves_pending(*log_id, self.settings.batch_max).await?;
        let log = store.log_get(*log_id).await?;
        self.figures.seen(&log, waiting.len());
        let is_published = log.published.is_some_and(|(size, _)| size == log.size);
        if waiting.is_empty() && is_published {
            self.follow(&log, held).await?;
            return Ok(RunReport::default());
        }
        // Who cannot sign must not keep those who can from it.
        let signers = self.signers(&log).await?;
        let Some(mut log) = self.lead(log.clone(), held).await? else {
            self.follow(&log, held).await?;
            return Ok(RunReport { role: Role::Follower, ..RunReport::default() });
        };
        let mut report = RunReport { role: Role::Leader, ..RunReport::default() };
        self.integrate_all(&mut log, waiting, held, &mut report).await?;
        self.figures.seen(&log, if report.has_more { self.settings.batch_max } else { 0 });
        report.published = self.publish(&log, &signers, held).await?;
        Ok(report)
    }

    /// Takes the lease, or makes it longer where half of it is over. Returns the log as it is under it; `None` while
    /// somebody else holds it.
    async fn lead(&self, log: Log, held: &mut Held) -> Result<Option<Log>, AttestationError> {
        let SequencerDeps { store, clock, instance, log_id, .. } = &self.deps;
        let now = clock.now();
        let is_ours = log.lease.is_some_and(|lease| lease.owner == *instance);
        // One that ends later than a new one would was taken before the clock went back. Left so, it would keep others from
        // the log until then, should this instance die.
        let is_long = |until: Timestamp| now + self.settings.lease / 2 < until && until <= now + self.settings.lease;
        if is_ours && held.lease_until.is_some_and(is_long) {
            return Ok(Some(log));
        }
        if let Some(lease) = log.lease.filter(|lease| lease.until > now + self.settings.lease + CLOCK_DISTANCE_MAX) {
            // Nobody takes one for so long: the clock was ahead then. Its holder may be gone, and loses nothing but the turn.
            store.log_lease_release(Some(lease.owner)).await?;
        }
        let until = now + self.settings.lease;
        let taken = store.log_lease_take(now, *log_id, *instance, until).await?;
        held.lease_until = taken.as_ref().map(|_| until);
        Ok(taken)
    }

    async fn integrate_all(
        &self,
        log: &mut Log,
        mut waiting: Vec<PendingLeaf>,
        held: &mut Held,
        report: &mut RunReport,
    ) -> Result<(), AttestationError> {
        let SequencerDeps { store, log_id, .. } = &self.deps;
        for batch in 1.. {
            let count = waiting.len();
            if count == 0 {
                return Ok(());
            }
            if !self.integrate(log, waiting, held).await? {
                // Somebody else has taken over; the next step sees.
                held.lease_until = None;
                report.has_more = true;
                return Ok(());
            }
            report.integrated += count;
            self.figures.integrated(count);
            report.has_more = count == self.settings.batch_max;
            if !report.has_more || batch >= self.settings.batches_max {
                return Ok(());
            }
            waiting = store.leaves_pending(*log_id, self.settings.batch_max).await?;
        }
        Ok(())
    }

    /// Puts leaves behind the tree. Says whether it was done; then `log` is the log with them.
    async fn integrate(
        &self,
        log: &mut Log,
        leaves: Vec<PendingLeaf>,
        held: &mut Held,
    ) -> Result<bool, AttestationError> {
        let mut edge = match held.edge.take() {
            // The store may be another copy than a moment ago, with a tree of the same size.
            Some(edge) if edge.size() == log.size && edge.root()? == log.root => edge,
            _ => self.read_edge(log).await?,
        };
        let tiles = edge.append(leaves.iter().map(|leaf| leaf.hash));
        let root = edge.root()?;
        let integration = Integration { log_id: log.id, epoch: log.epoch, old_size: log.size, root, leaves, tiles };
        if !self.deps.store.leaves_integrate_if_current(integration).await? {
            return Ok(false);
        }
        (log.size, log.root) = (edge.size(), root);
        held.edge = Some(edge);
        Ok(true)
    }

    /// Reads the right edge of the tree and checks that it has the root of the log.
    async fn read_edge(&self, log: &Log) -> Result<Edge, AttestationError> {
        let whole = Range { start: 0, end: log.size };
        let tiles = signing::read_tiles(&*self.deps.store, log.id, &[whole]).await?;
        let edge = Edge::new(log.size, &tiles)?;
        if edge.root()? == log.root { Ok(edge) } else { Err(AttestationError::Root { size: log.size }) }
    }

    /// Signs and publishes a head, if the tree has grown and the last one is old enough. Returns its size.
    async fn publish(
        &self,
        log: &Log,
        signers: &[LogSigner],
        held: &mut Held,
    ) -> Result<Option<u64>, AttestationError> {
        let SequencerDeps { store, clock, last_head, .. } = &self.deps;
        let now = clock.now();
        if log.published.is_some_and(|(size, _)| size == log.size) {
            return Ok(None);
        }
        let last = store.head_latest(log.id).await?;
        if let Some(head) = &last {
            self.figures.head(head.size, head.signed_at);
        }
        // Heads are timed to the second, so this is up to a second early; that is as good. Where the clock was ahead when
        // the last one was signed, nobody waits for that time to come; then the own last one counts.
        let is_recent = |time: Timestamp| time <= now && now < time + self.settings.publish_interval;
        if last.as_ref().map(|head| head.signed_at).into_iter().chain(held.published_at).any(is_recent) {
            return Ok(None);
        }
        if last.as_ref().is_some_and(|head| head.size > log.size) && store.log_get(log.id).await?.epoch != log.epoch {
            // Not an older copy: this step took so long that somebody else has gone on meanwhile.
            held.lease_until = None;
            return Ok(None);
        }
        let published = match &last {
            Some(head) => Some(SignedCheckpoint::parse(head.checkpoint.as_bytes())?),
            None => None,
        };
        let from = published.as_ref().map_or(0, |signed| signed.checkpoint().size());
        signing::check_growth(&**store, log, from.min(log.size)).await?;
        let remembered = self.remembered().await?;
        for signed in published.iter().chain(&remembered) {
            signing::check_continues(&**store, log, signed.checkpoint()).await?;
        }
        let head = signing::sign(log, signers, now, published.iter().chain(&remembered)).await?;
        // First of all to the second place: a head that gets out must never be forgotten.
        last_head.remember(&head.checkpoint).await.map_err(AttestationError::LastHead)?;
        held.remembered = Some(head.size);
        let size = head.size;
        let is_published = store.head_publish_if_current(log.epoch, head).await?;
        if is_published {
            self.figures.head(size, now);
            held.published_at = Some(now);
        }
        Ok(is_published.then_some(size))
    }

    async fn remembered(&self) -> Result<Option<SignedCheckpoint>, AttestationError> {
        let last = self.deps.last_head.last().await.map_err(AttestationError::LastHead)?;
        Ok(match last {
            Some(text) => Some(SignedCheckpoint::parse(text.as_bytes())?),
            None => None,
        })
    }

    /// Remembers what others have published, so that this instance, should it sign one day, continues it whatever the store
    /// says then.
    async fn follow(&self, log: &Log, held: &mut Held) -> Result<(), AttestationError> {
        let published = log.published.map_or(0, |(size, _)| size);
        if held.remembered == Some(published) {
            return Ok(());
        }
        let SequencerDeps { store, last_head, .. } = &self.deps;
        if let Some(signed) = self.remembered().await? {
            signing::check_continues(&**store, log, signed.checkpoint()).await?;
            if signed.checkpoint().size() > published {
                // It was signed here and could not be published.
                return Ok(());
            }
        }
        if let Some(Head { checkpoint, size, signed_at, .. }) = store.head_latest(log.id).await?
            && size == published
        {
            self.figures.head(size, signed_at);
            let signed = SignedCheckpoint::parse(checkpoint.as_bytes())?;
            signing::check_continues(&**store, log, signed.checkpoint()).await?;
            last_head.remember(&checkpoint).await.map_err(AttestationError::LastHead)?;
            held.remembered = Some(size);
        }
        Ok(())
    }

    async fn signers(&self, log: &Log) -> Result<Vec<LogSigner>, AttestationError> {
        let SequencerDeps { store, keys, clock, .. } = &self.deps;
        rotation::signers(&**store, log, keys.signers().await?, clock.now(), self.settings.overlap).await
    }

    /// Does what there is to do, until `shutdown` is ready; then makes one more step and gives the lease back.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = std::pin::pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = self.run_for_ever() => {}
        }
        // What was settled last goes into the tree now and not at the next start.
        if let Err(error) = self.run_once().await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the last leaves stay for the next start");
        }
        if let Err(error) = self.deps.store.log_lease_release(Some(self.deps.instance)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot give the lease of the log back");
        }
    }

    async fn run_for_ever(&self) {
        let mut last_problem = String::new();
        loop {
            let wait = match self.run_once().await {
                Ok(report) => {
                    last_problem.clear();
                    if report.has_more { Duration::ZERO } else { self.settings.poll_interval }
                }
                Err(error) => {
                    // Once each, not ten times a second.
                    let problem = with_sources(&error);
                    if problem != last_problem {
                        match error.is_passing() {
                            true => tracing::warn!(problem, "cannot go on with the log; trying again"),
                            false => tracing::error!(problem, "the log stands still"),
                        }
                        last_problem = problem;
                    }
                    self.settings.poll_interval * 10
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}
