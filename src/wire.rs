//! Puts the parts together: the only place that picks engine, clock, entropy and transport.

mod engine;
mod listen;
mod log;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kapsel_api::{Api, ApiSettings, Readiness};
use kapsel_attestation::fsck::{Finding, Summary};
use kapsel_core::trace::NoTracer;
use kapsel_core::{Clock, Entropy, SystemClock, SystemEntropy, Tenant, Timestamp};
use kapsel_delivery::{
    DeliverySettings, Dispatcher, ErasureRunner, HttpSettings, HttpTransport, Janitor, ReplayRunner, RetentionRunner,
};
use kapsel_store::{EndpointDirectory, Store, StoreError, TenantDirectory};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::engine::{Bare, Engine};
use self::listen::Listening;
use crate::commands::Failure;
use crate::config::{Config, DeliveryConfig};
use crate::keys::{self, OperatorKeyOrigin};
use crate::telemetry::{self, Collector, MeteredStore, Origins, QueueWatch, StatisticsSaver, Tracing};

/// What is kept of the time for stopping, so that leases can be given back and the store closed.
const STOP_RESERVE: Duration = Duration::from_millis(500);

/// Ready when the program is to stop.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A running server.
pub(crate) struct Server {
    addr: SocketAddr,
    management_addr: Option<SocketAddr>,
    operator_key: SecretString,
    operator_key_origin: OperatorKeyOrigin,
    stop_limit: Duration,
    readiness: Arc<Readiness>,
    engine: Engine,
    api: Api,
    dispatcher: Arc<Dispatcher>,
    statistics: Arc<StatisticsSaver>,
    stopping: watch::Sender<bool>,
    http: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    /// Told to stop after everybody who settles attempts.
    log_stopping: watch::Sender<bool>,
    log: JoinHandle<()>,
    tracing: Option<Tracing>,
}

impl Server {
    /// Opens the store, frees what a dead process left leased, and serves.
    ///
    /// # Errors
    /// What could not be set up.
    pub(crate) async fn start(config: &Config) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        // First of all, so that an occupied address is reported before anything is opened.
        let listening = Listening::open(config)?;
        let (addr, management_addr) = (listening.addr, listening.management_addr);

        let store_keys = keys::store_keys(&config.security, &config.storage.folder, &entropy)?;
        // Before everything that records something.
        let recorded = telemetry::install()?;
        let engine = Engine::open(&config.storage, &store_keys, &*clock, &entropy).await?;
        let store: Arc<dyn Store> = Arc::new(MeteredStore::new(engine.store()));
        let (operator_key, operator_key_origin) =
            keys::operator_key(&config.security, &config.storage.folder, &*entropy)?;
        let directory = EndpointDirectory::load(Arc::clone(&store) as _)
            .await
            .map_err(|error| Failure::runtime("reading the endpoints")(error.into()))?;
        let directory = Arc::new(directory);
        let tenants = Arc::new(
            tenants(&store, clock.now())
                .await
                .map_err(|error| Failure::runtime("reading the tenants")(error.into()))?,
        );

        let log = log::open(config, &store, &clock, &entropy, engine.instance()).await?;
        let start_tracing = |otlp| {
            let (store, instance) = (Arc::clone(&store) as _, engine.instance().to_string());
            Tracing::start(otlp, store, Arc::clone(&clock), instance, log.id)
        };
        let tracing = config.telemetry.otlp.as_ref().map(start_tracing).transpose()?;
        let tracer = tracing.as_ref().map(Tracing::tracer);

        let dispatcher = Arc::new(Dispatcher::new(
            kapsel_delivery::Deps {
                store: Arc::clone(&store) as _,
                circuits: Arc::clone(&store) as _,
                directory: Arc::clone(&directory),
                transport: Arc::new(transport(config)?),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                instance: engine.instance(),
                log_id: log.id,
                tracer: tracer.clone().unwrap_or_else(|| Arc::new(NoTracer)),
            },
            delivery_settings(&config.delivery),
        ));
        dispatcher.load().await.map_err(|error| Failure::runtime("reading the circuits")(error.into()))?;
        let queue = Arc::new(QueueWatch::new(Arc::clone(&store) as _));
        let origins = Origins {
            directory: Arc::clone(&directory),
            dispatcher: Arc::clone(&dispatcher),
            sequencer: Arc::clone(&log.sequencer),
            pools: engine.pools(),
            queue: Arc::clone(&queue),
            clock: Arc::clone(&clock),
        };
        let collector = Arc::new(Collector::new(origins, recorded, config.telemetry.labels_max));
        let statistics =
            Arc::new(StatisticsSaver::new(Arc::clone(&collector), Arc::clone(&store) as _, Arc::clone(&clock)));
        let readiness = Arc::new(Readiness::new());
        let api = Api::new(
            kapsel_api::Deps {
                store: Arc::clone(&store),
                sealer: store_keys.sealer.clone(),
                directory: Arc::clone(&directory),
                tenants: Arc::clone(&tenants),
                handoff: dispatcher.handoff(),
                clock: Arc::clone(&clock),
                entropy: Arc::clone(&entropy),
                wake_delivery: dispatcher.waker(),
                readiness: Arc::clone(&readiness),
                spool: engine.spool_gauge(),
                prover: log.prover,
                log_alarm: {
                    let sequencer = Arc::clone(&log.sequencer);
                    Arc::new(move || sequencer.alarm())
                },
                figures: {
                    let collector = Arc::clone(&collector);
                    Arc::new(move || collector.page())
                },
                tracer,
            },
            ApiSettings {
                ingest_port: management_addr.map(|_| addr.port()),
                ..api_settings(config, operator_key.clone(), engine.ingest_writers())
            },
        );

        let (stopping, stopped) = watch::channel(false);
        let replays =
            ReplayRunner::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::clone(&entropy), dispatcher.waker());
        let erasures = ErasureRunner::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::clone(&entropy));
        let retention = RetentionRunner::new(
            Arc::clone(&store) as _,
            Arc::clone(&store) as _,
            Arc::clone(&clock),
            Arc::clone(&entropy),
            config.storage.retention,
            engine.shared_terms(),
        );
        let janitor = Janitor::new(store as _, directory, Arc::clone(&clock), Arc::clone(&entropy));
        let mut background = engine.start_upkeep(&clock, &entropy, dispatcher.waker(), &stopped);
        background.extend([
            telemetry::start_upkeep(&collector, queue, Arc::clone(&statistics), told(stopped.clone())),
            spawn(&stopped, {
                let dispatcher = Arc::clone(&dispatcher);
                |stop| async move { dispatcher.run(stop).await }
            }),
            spawn(&stopped, |stop| async move { janitor.run(stop).await }),
            spawn(&stopped, |stop| async move { replays.run(stop).await }),
            spawn(&stopped, |stop| async move { erasures.run(stop).await }),
            spawn(&stopped, |stop| async move { retention.run(stop).await }),
            spawn(&stopped, |stop| async move { tenants.run(stop).await }),
        ]);
        let (log_stopping, log_stopped) = watch::channel(false);
        let sequencer = log.sequencer;
        let log = tokio::spawn(async move { sequencer.run(told(log_stopped)).await });
        let grace = config.server.shutdown.saturating_sub(STOP_RESERVE);
        let http = listening.serve(&api, config, &stopped, grace);
        readiness.set_ready();
        Ok(Server {
            addr,
            management_addr,
            operator_key,
            operator_key_origin,
            stop_limit: config.server.shutdown,
            readiness,
            engine,
            api,
            dispatcher,
            statistics,
            stopping,
            http,
            background,
            log_stopping,
            log,
            tracing,
        })
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where its management API listens.
    pub(crate) fn management_addr(&self) -> SocketAddr {
        self.management_addr.unwrap_or(self.addr)
    }

    /// The key of its management API.
    pub(crate) fn operator_key(&self) -> &SecretString {
        &self.operator_key
    }

    /// Where that key came from.
    pub(crate) fn operator_key_origin(&self) -> &OperatorKeyOrigin {
        &self.operator_key_origin
    }

    /// Stops in order: no more requests, everything accepted answered, attempts finished or given back, results
    /// written, the store closed. All of it within the configured time and the few seconds that writing takes.
    pub(crate) async fn stop(self) {
        let end = tokio::time::Instant::now() + self.stop_limit.saturating_sub(STOP_RESERVE);
        self.readiness.set_stopping();
        self.stopping.send_replace(true);
        // Side by side, so that both have the whole time. What is accepted from now on gets no slot at the dispatcher:
        // it is stored as due and delivered after the next start.
        let requests = async {
            for task in self.http {
                // A panic in an accept loop has been reported; what counts now is an orderly end.
                let _ = task.await;
            }
            if tokio::time::timeout_at(end, self.api.drain()).await.is_err() {
                tracing::warn!("not everything that was accepted could be committed in time");
            }
        };
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let ((), report) = tokio::join!(requests, self.dispatcher.drain(left));
        tracing::info!(finished = report.finished, given_back = report.released, left = report.left, "stopped");
        for task in self.background {
            let _ = task.await;
        }
        self.statistics.run_once().await;
        self.log_stopping.send_replace(true);
        let _ = self.log.await;
        if let Some(tracing) = self.tracing {
            tracing.close().await;
        }
        self.engine.close().await;
    }
}

/// Whether the configuration of the store can be understood, as far as that can be said without opening it, and whether
/// the certificate of the server can be used.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(config: &Config) -> Result<(), Failure> {
    if let Some(tls) = &config.server.tls {
        tls.load()?;
    }
    engine::check(&config.storage)
}

/// Opens the store, which brings its schema up to date, and closes it.
///
/// # Errors
/// What could not be opened.
pub(crate) async fn migrate(config: &Config) -> Result<(), Failure> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    Bare::open(&config.storage, &SystemClock, &entropy).await?.close().await;
    Ok(())
}

/// Checks the whole log of attempts of the store; `on_finding` gets whatever is wrong. `None` if there is no log.
///
/// # Errors
/// The store cannot be opened or read.
pub(crate) async fn fsck(
    config: &Config,
    on_finding: &mut (dyn FnMut(Finding) + Send),
) -> Result<Option<Summary>, Failure> {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    if config.storage.database.is_none() && !config.storage.folder.exists() {
        // Opening would make an empty one, in which nothing is wrong.
        let problem = format!("{}: there is no such folder", config.storage.folder.display());
        return Err(Failure::runtime("opening the data folder")(problem.into()));
    }
    let bare = Bare::open(&config.storage, &SystemClock, &entropy).await?;
    let failed = |error: StoreError| Failure::runtime("reading the log of attempts")(error.into());
    let summary = log::check(&*bare.store(), on_finding).await.map_err(failed);
    bare.close().await;
    summary
}

/// All tenants. A store that was never used before gets its first one.
async fn tenants(store: &Arc<dyn Store>, now: Timestamp) -> Result<TenantDirectory, StoreError> {
    match store.tenant_insert(Tenant::default_at(now)).await {
        // It has been there since an earlier start, or another instance was faster.
        Ok(()) | Err(StoreError::Conflict(_)) => TenantDirectory::load(Arc::clone(store) as _).await,
        Err(error) => Err(error),
    }
}

/// Waits until the program is to stop.
async fn told(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the server; without it, it is time to stop as well.
    let _ = stopped.wait_for(|stopping| *stopping).await;
}

/// Starts what runs until the program is to stop, of which it is told by the future that it gets.
fn spawn<F>(stopped: &watch::Receiver<bool>, run: impl FnOnce(Stop) -> F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(run(Box::pin(told(stopped.clone()))))
}

fn transport(config: &Config) -> Result<HttpTransport, Failure> {
    let mut settings = HttpSettings::default();
    if let Some(path) = &config.delivery.ca_file {
        let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
            Failure::runtime("reading KAPSEL_CA_FILE")(format!("{}: {error}", path.display()).into())
        };
        let pem = std::fs::read(path).map_err(|error| fail(error.into()))?;
        let certificates = settings.trust_pem(&pem).map_err(|error| fail(error.into()))?;
        if certificates == 0 {
            return Err(fail("holds no certificate".into()));
        }
    }
    HttpTransport::new(config.security.address_policy.clone(), &settings)
        .map_err(|error| Failure::runtime("setting up deliveries")(error.into()))
}

fn delivery_settings(config: &DeliveryConfig) -> DeliverySettings {
    DeliverySettings {
        in_flight_max: config.in_flight_max,
        denied_headers: config.denied_headers.clone(),
        ..DeliverySettings::default()
    }
}

fn api_settings(config: &Config, operator_key: SecretString, writers: usize) -> ApiSettings {
    let server = &config.server;
    ApiSettings {
        body_bytes_max: server.body_bytes_max,
        queue_bytes_max: server.memory_bytes_max,
        public_url: server.public_url.clone(),
        address_policy: config.security.address_policy.clone(),
        operator_key,
        writers,
        ..ApiSettings::default()
    }
}
