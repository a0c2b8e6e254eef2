//! A destination with its policies.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::circuit::CircuitPolicy;
use crate::delivery::UnknownWord;
use crate::destination::DestinationUrl;
use crate::idempotency::IdempotencyPolicy;
use crate::ids::{EndpointId, TenantId};
use crate::rate_limit::RateLimit;
use crate::retry::RetryPolicy;
use crate::signature::VerificationScheme;
use crate::time::Timestamp;

/// The default time limit of a whole request, in seconds.
pub const TIMEOUT_SECONDS_DEFAULT: u32 = 30;
/// The longest time limit of a whole request, in seconds. It has to end well before the lease of 60 s does.
pub const TIMEOUT_SECONDS_MAX: u32 = 45;
/// How many requests to one endpoint may be under way at once, by default.
pub const MAX_IN_FLIGHT_DEFAULT: u32 = 64;
/// The largest `max_in_flight`.
pub const MAX_IN_FLIGHT_MAX: u32 = 1_000;
/// After so many seconds of nothing but failures an endpoint is disabled, by default: five days.
pub const DISABLE_AFTER_SECONDS_DEFAULT: u32 = 5 * 86_400;
/// The shortest such time that can be asked for, in seconds.
pub const DISABLE_AFTER_SECONDS_MIN: u32 = 3_600;
/// The longest, in seconds: a year.
pub const DISABLE_AFTER_SECONDS_MAX: u32 = 365 * 86_400;

/// A destination, its policies and its secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Its id.
    pub id: EndpointId,
    /// Its owner.
    pub tenant_id: TenantId,
    /// What it is and how it behaves.
    pub config: EndpointConfig,
    /// What must not be shown.
    pub secrets: EndpointSecrets,
    /// Whether it takes part.
    pub status: EndpointStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the version it was made from.
    pub version: u64,
}

/// The part of an endpoint that may be shown, and that is stored as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointConfig {
    /// For people.
    pub name: String,
    /// Where deliveries go.
    pub url: DestinationUrl,
    /// How incoming webhooks prove where they come from.
    pub verification: VerificationScheme,
    /// What makes two incoming webhooks the same one.
    pub idempotency: IdempotencyPolicy,
    /// When failed deliveries are tried again.
    pub retry: RetryPolicy,
    /// Statuses that are retried besides 408, 425, 429 and 5xx.
    pub retry_statuses: Vec<u16>,
    /// Time limit of a whole request, in seconds.
    pub timeout_seconds: u32,
    /// How many requests may be under way at once.
    pub max_in_flight: u32,
    /// How many requests may be begun in a time; `None` for as many as are there.
    #[serde(default)]
    pub rate_limit: Option<RateLimit>,
    /// How many webhooks are taken in in a time; `None` for as many as come.
    #[serde(default)]
    pub ingest_rate_limit: Option<RateLimit>,
    /// When its circuit opens and closes.
    #[serde(default)]
    pub circuit: CircuitPolicy,
    /// After so many seconds of nothing but failures it is disabled; `None` for never.
    #[serde(default = "disable_after_seconds_default")]
    pub disable_after_seconds: Option<u32>,
}

/// What endpoints have that were stored before there was this setting.
#[allow(clippy::unnecessary_wraps, reason = "the type of the field")]
fn disable_after_seconds_default() -> Option<u32> {
    Some(DISABLE_AFTER_SECONDS_DEFAULT)
}

impl EndpointConfig {
    /// The time limit of a whole request.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }

    /// Whether an endpoint that has had nothing but failures since `failing_since` is to be disabled at `now`.
    pub fn is_given_up(&self, failing_since: Option<Timestamp>, now: Timestamp) -> bool {
        let limit = self.disable_after_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        limit.zip(failing_since).is_some_and(|(limit, since)| now.saturating_since(since) >= limit)
    }
}

/// The part of an endpoint that must not be shown.
#[derive(Debug, Clone, Default)]
pub struct EndpointSecrets {
    /// The secrets of the verification scheme; any of them may have signed.
    pub verification: Vec<SecretString>,
    /// The keys that outgoing requests are signed with, newest first.
    pub signing: Vec<SigningSecret>,
    /// Headers added to each request, name in lower case. Values are often credentials.
    pub headers: Vec<(String, SecretString)>,
}

/// One signing key of an endpoint.
#[derive(Debug, Clone)]
pub struct SigningSecret {
    /// `whsec_…` (HMAC) or `whsk_…` (Ed25519).
    pub key: SecretString,
    /// Until when it still signs beside its successor; `None` for the present key.
    pub expires_at: Option<Timestamp>,
}

/// The stored form; separate from [`EndpointSecrets`], so that nothing serialises secrets by accident.
#[derive(Serialize, Deserialize)]
struct StoredSecrets {
    verification: Vec<String>,
    signing: Vec<StoredSigningSecret>,
    headers: Vec<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct StoredSigningSecret {
    key: String,
    expires_at_us: Option<i64>,
}

impl EndpointSecrets {
    /// The bytes to store. They hold the secrets in the clear.
    ///
    /// # Errors
    /// Never in practice: all of it is plain text.
    pub fn to_stored(&self) -> Result<Vec<u8>, serde_json::Error> {
        let expose = |secret: &SecretString| secret.expose_secret().to_owned();
        serde_json::to_vec(&StoredSecrets {
            verification: self.verification.iter().map(expose).collect(),
            signing: self
                .signing
                .iter()
                .map(|secret| StoredSigningSecret {
                    key: expose(&secret.key),
                    expires_at_us: secret.expires_at.map(Timestamp::unix_micros),
                })
                .collect(),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), expose(value))).collect(),
        })
    }

    /// Reads what [`EndpointSecrets::to_stored`] wrote.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, UnreadableSecrets> {
        let stored: StoredSecrets = serde_json::from_slice(bytes)
            .map_err(|error| UnreadableSecrets { category: error.classify(), column: error.column() })?;
        Ok(EndpointSecrets {
            verification: stored.verification.into_iter().map(SecretString::from).collect(),
            signing: stored
                .signing
                .into_iter()
                .map(|secret| SigningSecret {
                    key: secret.key.into(),
                    expires_at: secret.expires_at_us.map(Timestamp::from_unix_micros),
                })
                .collect(),
            headers: stored.headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
        })
    }
}

impl PartialEq for EndpointSecrets {
    /// For comparing stored states. Not constant in time: never use it to check what somebody sent.
    fn eq(&self, other: &Self) -> bool {
        self.to_stored().ok() == other.to_stored().ok()
    }
}

/// Whether an endpoint takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointStatus {
    /// It accepts webhooks and delivers them.
    Enabled,
    /// It accepts nothing; what is queued waits.
    Disabled(DisabledReason),
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledReason {
    /// Somebody disabled it through the API.
    Manual,
    /// The destination answered 410.
    Gone,
    /// Nothing but failures came for as long as its settings allow.
    Failing,
}

impl DisabledReason {
    /// Every reason.
    pub const ALL: &'static [DisabledReason] = &[DisabledReason::Manual, DisabledReason::Gone, DisabledReason::Failing];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            DisabledReason::Manual => "manual",
            DisabledReason::Gone => "gone",
            DisabledReason::Failing => "failing",
        }
    }
}

impl fmt::Display for DisabledReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DisabledReason {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = DisabledReason::ALL.iter().find(|reason| reason.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// Stored secrets that cannot be read. What the parser said is not kept, because it may quote a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{category:?} error at column {column}")]
pub struct UnreadableSecrets {
    category: serde_json::error::Category,
    column: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_given_up_after_its_time_of_failures() {
        let stored = r#"{"name":"","url":"http://a.example/","verification":{"scheme":"none"},
            "idempotency":{"mode":{"mode":"auto"},"window_seconds":60},"retry":{"kind":"schedule","waits_seconds":[0]},
            "retry_statuses":[],"timeout_seconds":30,"max_in_flight":64}"#;
        let mut config: EndpointConfig = serde_json::from_str(stored).unwrap();
        let day = |day: i64| Timestamp::from_unix_seconds(day * 86_400);
        assert!(!config.is_given_up(None, day(100)));
        assert!(!config.is_given_up(Some(day(1)), day(6) - Duration::from_micros(1)));
        assert!(config.is_given_up(Some(day(1)), day(6)));
        config.disable_after_seconds = None;
        assert!(!config.is_given_up(Some(day(1)), day(100)));
    }

    #[test]
    fn secrets_are_stored_and_read_back_but_never_printed() {
        let secrets = EndpointSecrets {
            verification: vec!["top-secret-1".into()],
            signing: vec![
                SigningSecret { key: "whsec_new".into(), expires_at: None },
                SigningSecret { key: "whsec_old".into(), expires_at: Some(Timestamp::from_unix_seconds(7)) },
            ],
            headers: vec![("authorization".to_owned(), "Bearer top-secret-2".into())],
        };
        let again = EndpointSecrets::from_stored(&secrets.to_stored().unwrap()).unwrap();
        assert_eq!(again, secrets);
        assert_ne!(again, EndpointSecrets::default());
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("top-secret") && !shown.contains("whsec_"), "{shown}");
    }
}
