//! Endpoints and events that are fine as they are, with the one thing changed that a test is about.

use std::sync::Arc;

use bytes::Bytes;
use kapsel_core::endpoint::{
    DISABLE_AFTER_SECONDS_DEFAULT, MAX_IN_FLIGHT_DEFAULT, SigningSecret, TIMEOUT_SECONDS_DEFAULT,
};
use kapsel_core::idempotency::IdempotencyPolicy;
use kapsel_core::signature::VerificationScheme;
use kapsel_core::{
    ApiKey, ApiKeyId, Attempt, CircuitPolicy, Endpoint, EndpointConfig, EndpointId, EndpointSecrets, EndpointStatus,
    Entropy, Event, EventId, HeaderBlock, KeySecret, Leaf, LogId, MasterKey, RetryPolicy, Scope, Sealer, SystemEntropy,
    TenantId, Timestamp,
};
use sha2::{Digest, Sha256};

use crate::SeededEntropy;

/// The signing secret of built endpoints (vector A of the Standard Webhooks libraries' tests).
pub const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The log that the leaves of [`leaf_of`] are for.
pub const LOG_ID: LogId = LogId::from_bytes([0x10; 16]);

/// Seals under a key that every test knows.
pub fn sealer() -> Sealer {
    let key = MasterKey::generate(&SeededEntropy::new(0x5ea1));
    Sealer::new(vec![key], Arc::new(SystemEntropy))
}

/// A key of `tenant_id` that may read and write, as it is stored and as its owner has it.
pub fn api_key(id: ApiKeyId, tenant_id: TenantId, now: Timestamp, entropy: &dyn Entropy) -> (ApiKey, KeySecret) {
    let secret = KeySecret::generate(entropy);
    let key = ApiKey {
        id,
        tenant_id,
        name: "a key".to_owned(),
        prefix: secret.prefix(),
        sha256: secret.sha256(),
        scopes: [Scope::Read, Scope::Write].into_iter().collect(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    (key, secret)
}

/// The leaf of an attempt, with no chance in it: of the same attempt, the same leaf.
pub fn leaf_of(attempt: &Attempt, payload_sha256: &[u8; 32]) -> Leaf {
    Leaf::of_attempt(attempt, payload_sha256, LOG_ID, [7; kapsel_core::leaf::RANDOM_BYTES])
}

/// Builds an endpoint of the tenant `default`.
#[derive(Debug, Clone)]
pub struct EndpointBuilder(Endpoint);

impl EndpointBuilder {
    /// An enabled endpoint without verification, created at `now`.
    pub fn new(id: EndpointId, url: &str, now: Timestamp) -> Self {
        EndpointBuilder(Endpoint {
            id,
            tenant_id: TenantId::DEFAULT,
            config: EndpointConfig {
                name: "test".to_owned(),
                url: url.parse().expect("a destination URL"),
                verification: VerificationScheme::None,
                idempotency: IdempotencyPolicy::default(),
                retry: RetryPolicy::default(),
                retry_statuses: Vec::new(),
                timeout_seconds: TIMEOUT_SECONDS_DEFAULT,
                max_in_flight: MAX_IN_FLIGHT_DEFAULT,
                rate_limit: None,
                ingest_rate_limit: None,
                circuit: CircuitPolicy::default(),
                disable_after_seconds: Some(DISABLE_AFTER_SECONDS_DEFAULT),
            },
            secrets: EndpointSecrets {
                verification: Vec::new(),
                signing: vec![SigningSecret { key: SIGNING_SECRET.into(), expires_at: None }],
                headers: Vec::new(),
            },
            status: EndpointStatus::Enabled,
            created_at: now,
            updated_at: now,
            version: 1,
        })
    }

    /// Owned by another tenant.
    #[must_use]
    pub fn tenant(mut self, tenant_id: TenantId) -> Self {
        self.0.tenant_id = tenant_id;
        self
    }

    /// With this verification and its secrets.
    #[must_use]
    pub fn verification(mut self, scheme: VerificationScheme, secrets: &[&str]) -> Self {
        self.0.config.verification = scheme;
        self.0.secrets.verification = secrets.iter().map(|secret| (*secret).into()).collect();
        self
    }

    /// With anything else changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Endpoint)) -> Self {
        change(&mut self.0);
        self
    }

    /// The endpoint.
    pub fn build(self) -> Endpoint {
        self.0
    }
}

/// Builds an event of an endpoint.
#[derive(Debug, Clone)]
pub struct EventBuilder(Event);

impl EventBuilder {
    /// A small JSON event for `endpoint`, received at `now`.
    pub fn new(id: EventId, endpoint: &Endpoint, now: Timestamp) -> Self {
        let event = Event {
            id,
            tenant_id: endpoint.tenant_id,
            endpoint_id: endpoint.id,
            received_at: now,
            idempotency_key: None,
            headers: HeaderBlock::from_pairs([("content-type", &b"application/json"[..])]),
            body: Bytes::new(),
            body_sha256: [0; 32],
        };
        EventBuilder(event).body(&br#"{"hello":"world"}"#[..])
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.0.body = body.into();
        self.0.body_sha256 = Sha256::digest(&self.0.body).into();
        self
    }

    /// With these headers instead.
    #[must_use]
    pub fn headers(mut self, pairs: &[(&str, &str)]) -> Self {
        self.0.headers = HeaderBlock::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_bytes())));
        self
    }

    /// The event.
    pub fn build(self) -> Event {
        self.0
    }
}
