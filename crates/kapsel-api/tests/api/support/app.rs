//! The API under test with everything around it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kapsel_api::{Api, ApiSettings, Deps, Readiness};
use kapsel_attestation::Prover;
use kapsel_core::delivery::LeaseToken;
use kapsel_core::{
    ApiKey, Clock as _, Endpoint, EndpointId, Event, IdGenerator, InstanceId, Lease, Scope, SystemEntropy, Tenant,
    TenantId,
};
use kapsel_store::{
    AdminStore, ClaimRequest, DeliveryStore as _, EndpointDirectory, EventFilter, EventSummary, IngestResult,
    LaneQuota, TenantDirectory, TenantStore,
};
use serde_json::Value;
use test_harness::builders::{LOG_ID, api_key};
use test_harness::{EndpointBuilder, TestClock};
use tower_service::Service as _;

use super::gauge::TestGauge;
use super::handoff::TestHandoff;
use super::store::TestStore;

/// The name of the log of every test.
pub(crate) const ORIGIN: &str = "kapsel.example/log";

/// The operator key of every test.
pub(crate) const KEY: &str = "operator-key-of-the-tests";

/// An API with its surroundings in the hands of the test.
pub(crate) struct App {
    pub(crate) api: Api,
    pub(crate) store: Arc<TestStore>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) handoff: Arc<TestHandoff>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) spool: Arc<TestGauge>,
    pub(crate) log_alarm: Arc<Mutex<Option<String>>>,
    /// What the rest of the program has to say on the page of metrics.
    pub(crate) figures: Arc<Mutex<String>>,
    directory: Arc<EndpointDirectory>,
    pub(crate) tenants: Arc<TenantDirectory>,
    wakes: Arc<AtomicUsize>,
    ids: IdGenerator,
    router: Router,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl App {
    pub(crate) async fn new() -> Self {
        App::with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut ApiSettings)) -> Self {
        let readiness = Readiness::new();
        readiness.set_ready();
        App::build(change, readiness, false).await
    }

    /// In the midst of its start.
    pub(crate) async fn starting() -> Self {
        App::build(|_| {}, Readiness::new(), false).await
    }

    /// With a spool to watch. What is in it is up to the test.
    pub(crate) async fn with_spool() -> Self {
        let readiness = Readiness::new();
        readiness.set_ready();
        App::build(|_| {}, readiness, true).await
    }

    async fn build(change: impl FnOnce(&mut ApiSettings), readiness: Readiness, has_spool: bool) -> Self {
        let store = Arc::new(TestStore::new());
        let clock = Arc::new(TestClock::new());
        let handoff = Arc::new(TestHandoff::new(Arc::clone(&clock)));
        let readiness = Arc::new(readiness);
        let directory = EndpointDirectory::load(Arc::clone(&store) as Arc<dyn AdminStore>).await.unwrap();
        let directory = Arc::new(directory);
        store.tenant_insert(Tenant::default_at(clock.now())).await.unwrap();
        let tenants = TenantDirectory::load(Arc::clone(&store) as Arc<dyn TenantStore>).await.unwrap();
        let tenants = Arc::new(tenants);
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        let spool = Arc::new(TestGauge::new());
        let log_alarm: Arc<Mutex<Option<String>>> = Arc::default();
        let figures: Arc<Mutex<String>> = Arc::default();
        let deps = Deps {
            store: Arc::clone(&store) as _,
            sealer: test_harness::sealer(),
            directory: Arc::clone(&directory),
            tenants: Arc::clone(&tenants),
            handoff: Arc::clone(&handoff) as _,
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SystemEntropy),
            wake_delivery: Arc::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
            readiness: Arc::clone(&readiness),
            spool: has_spool.then(|| Arc::clone(&spool) as _),
            prover: Arc::new(Prover::new(Arc::clone(&store) as _, LOG_ID, ORIGIN.to_owned())),
            log_alarm: {
                let alarm = Arc::clone(&log_alarm);
                Arc::new(move || alarm.lock().unwrap().clone())
            },
            figures: {
                let figures = Arc::clone(&figures);
                Arc::new(move || figures.lock().unwrap().clone())
            },
            tracer: None,
        };
        let mut settings = ApiSettings { operator_key: KEY.into(), ..ApiSettings::default() };
        change(&mut settings);
        let api = Api::new(deps, settings);
        let router = api.router();
        let ids = IdGenerator::new(Arc::new(SystemEntropy));
        App { api, store, clock, handoff, readiness, spool, log_alarm, figures, directory, tenants, wakes, ids, router }
    }

    /// What was counted for webhooks to endpoints and to none, as words with numbers.
    pub(crate) fn ingested(&self) -> Vec<(&'static str, u64)> {
        let traffic = self.directory.traffic();
        let mut sums = traffic.unassigned();
        for count in traffic.read() {
            sums.iter_mut().zip(count.ingested).for_each(|(sum, counted)| *sum += counted);
        }
        let words = IngestResult::ALL.iter().map(|result| result.as_str());
        words.zip(sums).filter(|(_, sum)| *sum > 0).collect()
    }

    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// How often delivery was told to look for work.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::SeqCst)
    }

    /// An endpoint that another instance made: it is stored, and not yet known here.
    pub(crate) async fn endpoint_made_elsewhere(&self) -> EndpointId {
        let now = self.clock.now();
        let id = self.ids.next(now);
        let endpoint = EndpointBuilder::new(id, "https://destination.example/hook", now).build();
        self.store.endpoint_insert(endpoint).await.unwrap();
        id
    }

    /// A tenant beside the default one.
    pub(crate) async fn tenant(&self) -> TenantId {
        let now = self.clock.now();
        let tenant = Tenant { id: self.ids.next(now), ..Tenant::default_at(now) };
        self.store.tenant_insert(tenant.clone()).await.unwrap();
        self.tenants.refresh().await.unwrap();
        tenant.id
    }

    /// A live key of a tenant, with these scopes.
    pub(crate) async fn api_key(&self, tenant_id: TenantId, scopes: &[Scope]) -> String {
        let now = self.clock.now();
        let (key, secret) = api_key(self.ids.next(now), tenant_id, now, &SystemEntropy);
        let key = ApiKey { scopes: scopes.iter().copied().collect(), ..key };
        self.store.api_key_insert(key).await.unwrap();
        secret.expose().to_owned()
    }

    /// A management request with the key of a tenant.
    pub(crate) async fn manage_as(&self, key: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {key}"));
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.call(request.body(body).unwrap()).await
    }

    /// An endpoint without verification.
    pub(crate) async fn endpoint(&self) -> EndpointId {
        self.endpoint_with(|builder| builder).await
    }

    pub(crate) async fn endpoint_with(&self, change: impl FnOnce(EndpointBuilder) -> EndpointBuilder) -> EndpointId {
        let now = self.clock.now();
        let id = self.ids.next(now);
        let endpoint: Endpoint = change(EndpointBuilder::new(id, "https://destination.example/hook", now)).build();
        self.store.endpoint_insert(endpoint).await.unwrap();
        self.directory.refresh().await.unwrap();
        id
    }

    /// An endpoint of the default tenant as it is stored.
    pub(crate) async fn stored_endpoint(&self, id: &Value) -> Endpoint {
        let id = id.as_str().unwrap().parse().unwrap();
        self.store.endpoint_get(TenantId::DEFAULT, id).await.unwrap()
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A webhook to `endpoint`.
    pub(crate) async fn ingest(&self, endpoint: EndpointId, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        self.call(webhook(endpoint, headers, body)).await
    }

    /// A management request with the operator key.
    pub(crate) async fn manage(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.manage_with(method, path, &[], body).await
    }

    pub(crate) async fn manage_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "kapsel.example:8080")
            .header(AUTHORIZATION, format!("Bearer {KEY}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        self.call(request.body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.manage(Method::GET, path, None).await
    }

    /// All events of the default tenant, newest first.
    pub(crate) async fn events(&self) -> Vec<EventSummary> {
        let now = self.clock.now();
        self.store.event_list(TenantId::DEFAULT, EventFilter::default(), 10_000, now).await.unwrap()
    }

    /// The events that are due at `endpoint`, as delivery would get them.
    pub(crate) async fn claim(&self, endpoint: EndpointId) -> Vec<Arc<Event>> {
        let now = self.clock.now();
        let owner: InstanceId = self.ids.next(now);
        let until = now + std::time::Duration::from_secs(60);
        let request = ClaimRequest {
            lease: Lease { owner, token: LeaseToken(1), until },
            lanes: vec![LaneQuota::without_circuit(endpoint, 10_000)],
            body_bytes_max: usize::MAX,
        };
        let claimed = self.store.delivery_claim_due(now, request).await.unwrap();
        claimed.into_iter().map(|claimed| claimed.event).collect()
    }
}

/// A request with a webhook.
pub(crate) fn webhook(endpoint: EndpointId, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(format!("/ingest/{endpoint}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// Fails unless this is the error `code` under `status` in the one shape of errors. Returns its message.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let body = self.json();
        let error = body["error"].as_object().unwrap();
        assert_eq!(error["code"], code, "{body}");
        let mut fields: Vec<&str> = error.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let mut expected = vec!["code", "message", "request_id", "retryable"];
        if code == "E1009" {
            expected.insert(1, "fields");
        }
        assert_eq!(fields, expected);
        let known: kapsel_core::ErrorCode = code.parse().unwrap();
        assert_eq!(error["retryable"], known.retryable());
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        let must_wait = matches!(status, 429 | 503);
        assert_eq!(self.header("retry-after").is_some(), must_wait);
        error["message"].as_str().unwrap().to_owned()
    }

    /// Fails unless this is 200 for a webhook. Returns the event id.
    #[track_caller]
    pub(crate) fn expect_received(&self) -> String {
        assert_eq!(self.status.as_u16(), 200, "{}", self.text());
        let id = self.json()["event_id"].as_str().unwrap().to_owned();
        assert_eq!(self.text(), format!(r#"{{"event_id":"{id}","status":"received"}}"#));
        id
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("kapsel-idempotent-replay") == Some("true")
    }

    /// The paths of the fields that a 422 complains about.
    #[track_caller]
    pub(crate) fn field_paths(&self) -> Vec<String> {
        self.expect_error(422, "E1009");
        let body = self.json();
        let fields = body["error"]["fields"].as_array().unwrap();
        fields.iter().map(|field| field["path"].as_str().unwrap().to_owned()).collect()
    }
}
