//! An instance: the real dispatcher, janitor, replay runner and sequencer over a faulty store, with a clock of its own. It
//! can die at any point where it waits for something, stand still, and start again under the same name.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use kapsel_attestation::{Sequencer, SequencerDeps, SequencerSettings};
use kapsel_core::{Clock, DeliveryRef, Endpoint, Entropy, EventId, IdGenerator, InstanceId, Timestamp};
use kapsel_delivery::{DeliverySettings, Deps, Dispatcher, Janitor, ReplayRunner};
use kapsel_store::{
    ClaimedDelivery, DeliveryStore as _, EndpointDirectory, Handoff, IngestStore as _, Ingested, NewDelivery, NewEvent,
};
use test_harness::builders::LOG_ID;
use test_harness::{EventBuilder, SeededEntropy, TokioClock};
use tokio::sync::watch;

use crate::destinations::Way;
use crate::faults::FaultyStore;
use crate::log::{Disk, RememberedHead, WatchedKeys};
use crate::oracles::Life;
use crate::timeline::Timeline;

/// A clock that differs from the true one.
pub struct SkewedClock {
    true_clock: TokioClock,
    skew_us: AtomicI64,
}

impl SkewedClock {
    /// A clock that is so many milliseconds ahead.
    pub fn new(true_clock: TokioClock, skew_ms: i64) -> Arc<Self> {
        Arc::new(SkewedClock { true_clock, skew_us: AtomicI64::new(skew_ms * 1_000) })
    }

    /// Sets it.
    pub fn set(&self, skew_ms: i64) {
        self.skew_us.store(skew_ms * 1_000, Ordering::SeqCst);
    }
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.true_clock.now().unix_micros() + self.skew_us.load(Ordering::SeqCst))
    }
}

/// Whether one life of an instance goes on.
pub struct Vitals {
    life: Life,
    is_dead: AtomicBool,
    /// Until when it stands still.
    frozen_until: watch::Sender<Duration>,
    /// Until when the store is away for it alone.
    cut_off_until: Mutex<Duration>,
    timeline: Arc<Timeline>,
}

impl Vitals {
    fn new(life: Life, timeline: Arc<Timeline>) -> Arc<Self> {
        Arc::new(Vitals {
            life,
            is_dead: AtomicBool::new(false),
            frozen_until: watch::Sender::new(Duration::ZERO),
            cut_off_until: Mutex::default(),
            timeline,
        })
    }

    /// Which life it is.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Ends it: whatever it waits for never comes.
    pub fn die(&self) {
        self.is_dead.store(true, Ordering::SeqCst);
    }

    /// It stands still until then.
    pub fn freeze_until(&self, until: Duration) {
        self.frozen_until.send_modify(|frozen| *frozen = until.max(*frozen));
    }

    /// The store is away for it until then.
    pub fn cut_off(&self, until: Duration) {
        *self.cut_off_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Until when the store is away for it.
    pub fn cut_off_until(&self) -> Duration {
        *self.cut_off_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the living pass when they do not stand still, and the dead never.
    pub async fn gate(&self) {
        loop {
            if self.is_dead.load(Ordering::SeqCst) {
                return std::future::pending().await;
            }
            let until = *self.frozen_until.borrow();
            let left = until.saturating_sub(self.timeline.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

/// What an instance is made of, and what is the same in all its lives.
pub struct Body {
    /// Its name.
    pub id: InstanceId,
    /// Its clock.
    pub clock: Arc<SkewedClock>,
    /// Its chance.
    pub entropy: Arc<SeededEntropy>,
    /// Its limits.
    pub in_flight_max: usize,
    /// What it remembers of the log beside the store.
    pub disk: Disk,
    /// The key that signs the log.
    pub keys: Arc<WatchedKeys>,
}

/// One life.
pub struct Instance {
    /// Whether it goes on.
    pub vitals: Arc<Vitals>,
    store: Arc<FaultyStore>,
    clock: Arc<SkewedClock>,
    ids: IdGenerator,
    /// Once it has started.
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Clone)]
struct Running {
    dispatcher: Arc<Dispatcher>,
    directory: Arc<EndpointDirectory>,
    handoff: Arc<dyn Handoff>,
}

impl Instance {
    /// Begins a life: frees what the last one left, reads what is stored, and runs. Returns at once; the start goes on by
    /// itself, as often as the store makes it necessary.
    pub fn start(
        body: &Body,
        life: Life,
        store: impl FnOnce(Arc<Vitals>) -> FaultyStore,
        way: impl FnOnce(Arc<Vitals>) -> Way,
        timeline: Arc<Timeline>,
    ) -> Instance {
        let vitals = Vitals::new(life, timeline);
        let store = Arc::new(store(Arc::clone(&vitals)));
        let way = Arc::new(way(Arc::clone(&vitals)));
        let running = Arc::new(Mutex::new(None));
        let entropy: Arc<dyn Entropy> = Arc::clone(&body.entropy) as _;
        let clock: Arc<dyn Clock> = Arc::clone(&body.clock) as _;
        let instance = Instance {
            vitals,
            store: Arc::clone(&store),
            clock: Arc::clone(&body.clock),
            ids: IdGenerator::new(Arc::clone(&entropy)),
            running: Arc::clone(&running),
        };
        let (id, in_flight_max) = (body.id, body.in_flight_max);
        let (disk, keys) = (Arc::clone(&body.disk), Arc::clone(&body.keys));
        tokio::spawn(async move {
            while store.lease_release_all(clock.now(), Some(id)).await.is_err() {
                again().await;
            }
            let directory = loop {
                match EndpointDirectory::load(Arc::clone(&store) as _).await {
                    Ok(directory) => break Arc::new(directory),
                    Err(_) => again().await,
                }
            };
            let deps = Deps {
                store: Arc::clone(&store) as _,
                circuits: Arc::clone(&store) as _,
                directory: Arc::clone(&directory),
                transport: way,
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                instance: id,
                log_id: LOG_ID,
                tracer: Arc::new(kapsel_core::trace::NoTracer),
            };
            let settings = DeliverySettings { in_flight_max, ..DeliverySettings::default() };
            let dispatcher = Arc::new(Dispatcher::new(deps, settings));
            while dispatcher.load().await.is_err() {
                again().await;
            }
            let janitor =
                Janitor::new(Arc::clone(&store) as _, Arc::clone(&directory), Arc::clone(&clock), Arc::clone(&entropy));
            let log = SequencerDeps {
                store: Arc::clone(&store) as _,
                keys,
                last_head: Arc::new(RememberedHead { disk, store: Arc::clone(&store) }),
                clock: Arc::clone(&clock),
                instance: id,
                log_id: LOG_ID,
            };
            let sequencer = Sequencer::new(log, sequencer_settings());
            let replays = ReplayRunner::new(Arc::clone(&store) as _, clock, entropy, dispatcher.waker());
            let handoff = dispatcher.handoff();
            let parts = Running { dispatcher: Arc::clone(&dispatcher), directory, handoff };
            *running.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts);
            // What an instance does, side by side.
            tokio::join!(
                dispatcher.run(std::future::pending()),
                janitor.run(std::future::pending()),
                replays.run(std::future::pending()),
                sequencer.run(std::future::pending()),
            );
        });
        instance
    }

    fn running(&self) -> Option<Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the ingest side does with an event: slot, commit, start. `None` if it was not acknowledged.
    pub async fn ingest(&self, endpoint: &Endpoint, body: Bytes) -> Option<EventId> {
        let running = self.running()?;
        if !running.directory.get(endpoint.id)?.is_enabled() {
            return None;
        }
        let now = self.clock.now();
        let id: EventId = self.ids.next(now);
        let event = Arc::new(EventBuilder::new(id, endpoint, now).body(body).build());
        let slot = running.handoff.reserve(endpoint.id, event.body.len(), now);
        let delivery = DeliveryRef {
            id: self.ids.next(now),
            event_id: id,
            endpoint_id: endpoint.id,
            tenant_id: endpoint.tenant_id,
        };
        let lease = slot.as_ref().map(|slot| slot.lease());
        let new = NewDelivery { id: delivery.id, endpoint_id: endpoint.id, lease, ended: None };
        let new = NewEvent { event: Arc::clone(&event), key: None, deliveries: vec![new] };
        let batch = Arc::new(vec![new]);
        // With an unknown outcome, it is tried again under the same ids, and then given up.
        for _ in 0..2 {
            if let Ok(ingested) = self.store.event_insert_batch(self.clock.now(), Arc::clone(&batch)).await {
                assert_eq!(ingested, [Ingested::Created]);
                if let (Some(slot), Some(lease)) = (slot, lease) {
                    slot.start(ClaimedDelivery { delivery, event, lease, attempts_total: 0, attempts_made: 0 });
                }
                return Some(id);
            }
        }
        if let Some(slot) = slot {
            slot.give_up(delivery);
        }
        None
    }

    /// Stops in order.
    pub async fn stop(&self) {
        if let Some(running) = self.running() {
            running.dispatcher.drain(Duration::from_secs(5)).await;
        }
    }

    /// Tells the dispatcher that there may be work.
    pub fn wake(&self) {
        if let Some(running) = self.running() {
            running.dispatcher.wake();
        }
    }
}

/// Small batches, so that there are many; and looks as seldom as the runs can bear.
fn sequencer_settings() -> SequencerSettings {
    SequencerSettings {
        batch_max: 20,
        batches_max: 4,
        publish_interval: Duration::from_secs(5),
        poll_interval: Duration::from_secs(1),
        ..SequencerSettings::default()
    }
}

async fn again() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}
