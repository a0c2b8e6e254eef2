//! HTTP edge of Kapsel: the ingest route, the management API, the log of attempts, health and metrics, and the server.
//!
//! **Is:** reading requests, checking who sends them and what they say, and answering. Incoming webhooks go through a
//! bounded queue into group commits (`ingest`) and are answered when they are durable. HTTP statuses and error JSON are
//! made in `problem` alone.
//!
//! **Is not:** it delivers nothing and knows no delivery code (a freshly stored event leaves through
//! [`Handoff`]), names no storage engine, and holds no rule of the domain.
//!
//! Read first: `ingest/accept.rs` and `ingest/queue.rs`.

mod attest;
mod client_address;
mod envelope;
mod ingest;
mod manage;
mod openapi;
mod ops;
mod problem;
mod rates;
mod request_log;
mod server;
mod settings;

use std::sync::Arc;

use axum::Router;
use kapsel_attestation::Prover;
use kapsel_core::{Clock, EndpointId, Entropy, IdGenerator, Sealer, TenantId, Tracer};
use kapsel_store::{
    AdminStore, CircuitStore, EndpointDirectory, ErasureStore, Handoff, IngestStore, ReplayStore, ReplyStore,
    SpoolGauge, StatisticsStore, Store, TenantDirectory, TenantStore,
};
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::ingest::budget::Budget;
use crate::ingest::commit::Committer;
use crate::ingest::queue::IngestQueue;
use crate::ingest::quota::Quotas;
use crate::manage::auth::OperatorKey;
use crate::ops::health::StoreCheck;
use crate::ops::metrics::Figures;
use crate::problem::Problem;
use crate::rates::Rates;

pub use crate::client_address::TrustedProxies;
pub use crate::ops::health::Readiness;
pub use crate::server::serve;
pub use crate::server::tls::{Tls, TlsClients, TlsError, TlsFile, TlsFiles};
pub use crate::settings::{ApiSettings, ServerSettings};

/// What the API works with.
pub struct Deps {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What answers are sealed with that are kept.
    pub sealer: Sealer,
    /// The endpoints in memory, loaded.
    pub directory: Arc<EndpointDirectory>,
    /// The tenants in memory, loaded.
    pub tenants: Arc<TenantDirectory>,
    /// Where freshly stored deliveries go.
    pub handoff: Arc<dyn Handoff>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids, secrets and back-off.
    pub entropy: Arc<dyn Entropy>,
    /// Tells the dispatcher that there may be work: called after a requeue and after an endpoint was enabled.
    pub wake_delivery: Arc<dyn Fn() + Send + Sync>,
    /// How far the program is; set by it, shown by the health routes.
    pub readiness: Arc<Readiness>,
    /// The spool in front of the store, if there is one.
    pub spool: Option<Arc<dyn SpoolGauge>>,
    /// Makes proofs from the log of attempts.
    pub prover: Arc<Prover>,
    /// Why that log stands still, if somebody has to see to it.
    pub log_alarm: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Figures of the whole program, in the text format of Prometheus. May take some milliseconds.
    pub figures: Arc<dyn Fn() -> String + Send + Sync>,
    /// Takes the spans of requests, if traces are recorded.
    pub tracer: Option<Arc<dyn Tracer>>,
}

/// The HTTP API.
#[derive(Clone)]
pub struct Api {
    shared: Arc<Shared>,
}

/// What all handlers share.
struct Shared {
    settings: ApiSettings,
    store: Arc<dyn AdminStore>,
    circuits: Arc<dyn CircuitStore>,
    replays: Arc<dyn ReplayStore>,
    erasures: Arc<dyn ErasureStore>,
    /// Places for exports.
    exports: Arc<Semaphore>,
    accounts: Arc<dyn TenantStore>,
    kept_replies: Arc<dyn ReplyStore>,
    statistics: Arc<dyn StatisticsStore>,
    quotas: Quotas,
    sealer: Sealer,
    directory: Arc<EndpointDirectory>,
    tenants: Arc<TenantDirectory>,
    handoff: Arc<dyn Handoff>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    wake_delivery: Arc<dyn Fn() + Send + Sync>,
    readiness: Arc<Readiness>,
    spool: Option<Arc<dyn SpoolGauge>>,
    prover: Arc<Prover>,
    log_alarm: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    figures: Figures,
    tracer: Option<Arc<dyn Tracer>>,
    ingestion_seconds: metrics::Histogram,
    ids: IdGenerator,
    operator_key: OperatorKey,
    budget: Arc<Budget>,
    queue: IngestQueue,
    store_check: StoreCheck,
    ingest_rates: Rates<TenantId>,
    endpoint_rates: Rates<EndpointId>,
    api_rates: Rates<TenantId>,
}

impl Api {
    /// Builds the API and starts the tasks that commit; so it has to be called inside a Tokio runtime. They end when
    /// the API and its routers are dropped.
    pub fn new(deps: Deps, settings: ApiSettings) -> Api {
        let queue = IngestQueue::new(settings.queue_rows_max, settings.batch_rows_max, settings.batch_bytes_max);
        let ingest_store: Arc<dyn IngestStore> = Arc::clone(&deps.store) as _;
        let committer = Committer {
            store: ingest_store,
            clock: Arc::clone(&deps.clock),
            entropy: Arc::clone(&deps.entropy),
            wait_max: settings.commit_wait_max,
        };
        queue.start_writers(committer, settings.writers);
        let circuits: Arc<dyn CircuitStore> = Arc::clone(&deps.store) as _;
        let replays: Arc<dyn ReplayStore> = Arc::clone(&deps.store) as _;
        let erasures: Arc<dyn ErasureStore> = Arc::clone(&deps.store) as _;
        let accounts: Arc<dyn TenantStore> = Arc::clone(&deps.store) as _;
        let kept_replies: Arc<dyn ReplyStore> = Arc::clone(&deps.store) as _;
        let statistics: Arc<dyn StatisticsStore> = Arc::clone(&deps.store) as _;
        let store: Arc<dyn AdminStore> = deps.store as _;
        let quotas = Quotas::new(Arc::clone(&store));
        Api {
            shared: Arc::new(Shared {
                ids: IdGenerator::new(Arc::clone(&deps.entropy)),
                operator_key: OperatorKey::new(&settings.operator_key),
                budget: Arc::new(Budget::new(settings.queue_bytes_max)),
                ingest_rates: Rates::new(),
                endpoint_rates: Rates::new(),
                api_rates: Rates::new(),
                queue,
                store_check: StoreCheck::new(Arc::clone(&store)),
                store,
                circuits,
                replays,
                erasures,
                exports: Arc::new(Semaphore::new(manage::export::EXPORTS_MAX)),
                accounts,
                kept_replies,
                statistics,
                quotas,
                sealer: deps.sealer,
                directory: deps.directory,
                tenants: deps.tenants,
                handoff: deps.handoff,
                clock: deps.clock,
                entropy: deps.entropy,
                wake_delivery: deps.wake_delivery,
                readiness: deps.readiness,
                spool: deps.spool,
                prover: deps.prover,
                log_alarm: deps.log_alarm,
                figures: Figures::new(deps.figures),
                tracer: deps.tracer,
                ingestion_seconds: metrics::histogram!("ingestion_duration_seconds"),
                settings,
            }),
        }
    }

    /// All routes, for one address that serves everything.
    pub fn router(&self) -> Router {
        self.enveloped(attest::routes().merge(management_routes()), ingest_routes())
    }

    /// What senders and verifiers need, for an address that everybody can reach.
    pub fn public_router(&self) -> Router {
        self.enveloped(attest::routes(), ingest_routes())
    }

    /// Everything else, for an address of the management API.
    pub fn management_router(&self) -> Router {
        self.enveloped(management_routes(), OpenApiRouter::default())
    }

    /// The `hot` routes say themselves what the log is to be told of them: they are too busy for a layer.
    fn enveloped(&self, routes: OpenApiRouter<Arc<Shared>>, hot: OpenApiRouter<Arc<Shared>>) -> Router {
        let (routes, _) = routes.merge(health_routes()).split_for_parts();
        let (hot, _) = hot.split_for_parts();
        let routes = routes
            .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&self.shared), manage::replies::once))
            .route_layer(axum::middleware::from_fn(request_log::note_route))
            .merge(hot)
            .fallback(async || Problem::not_found())
            .method_not_allowed_fallback(async || {
                Problem::new(kapsel_core::ErrorCode::MethodNotAllowed, "the route exists, but not for this method")
            })
            .with_state(Arc::clone(&self.shared));
        Router::new().fallback_service(envelope::Envelope::new(routes, Arc::clone(&self.shared)))
    }

    /// Takes no more webhooks in and waits until everything that was accepted is committed and answered. For the end of
    /// the program, after [`serve`] has returned.
    pub async fn drain(&self) {
        self.shared.queue.drain().await;
    }
}

/// The OpenAPI document of all routes, as it is served at `/openapi.json`.
pub fn openapi_json() -> bytes::Bytes {
    openapi::json()
}

/// All routes with their documentation.
fn all_routes() -> OpenApiRouter<Arc<Shared>> {
    ingest_routes().merge(attest::routes()).merge(management_routes()).merge(health_routes())
}

fn ingest_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default().routes(routes!(ingest::handler::ingest))
}

fn management_routes() -> OpenApiRouter<Arc<Shared>> {
    manage::routes()
        .routes(routes!(ops::metrics::metrics))
        .routes(routes!(openapi::pages::document))
        .routes(routes!(openapi::pages::page))
        .routes(routes!(openapi::pages::file))
}

/// On every address.
fn health_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(ops::health::ready))
        .routes(routes!(ops::health::health))
        .routes(routes!(ops::health::ready_short))
        .routes(routes!(ops::health::live))
        .routes(routes!(ops::health::startup))
}
