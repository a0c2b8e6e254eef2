//! What the log shows besides proofs and heads, whose shape is that of `kapsel-verification`.

use kapsel_attestation::LogKeyView;
use kapsel_core::{LogId, Timestamp};
use kapsel_verification::{KeyId, KeyType};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::words;

/// An answer that has to be asked for again.
#[derive(Serialize, ToSchema)]
pub(super) struct NotYet {
    status: &'static str,
    reason: &'static str,
}

impl NotYet {
    pub(super) fn new(reason: &'static str) -> Self {
        NotYet { status: "pending", reason }
    }
}

/// The keys of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct KeysView {
    #[schema(value_type = words::LogId)]
    log_id: LogId,
    origin: String,
    keys: Vec<KeyView>,
}

#[derive(Serialize, ToSchema)]
struct KeyView {
    #[schema(value_type = words::LogKeyId)]
    key_id: KeyId,
    /// `checkpoint` signs heads; `timestamp` signs when they were made.
    purpose: &'static str,
    algorithm: &'static str,
    public_key: String,
    /// Name, key id and key in one text (C2SP signed-note), as verifiers take it.
    verifier_key: String,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    /// Until when it signs, if another one has taken its place.
    #[schema(value_type = Option<words::Time>, required = true)]
    signs_until: Option<Timestamp>,
}

impl KeysView {
    pub(super) fn new(log_id: LogId, origin: &str, keys: Vec<LogKeyView>) -> Self {
        KeysView { log_id, origin: origin.to_owned(), keys: keys.into_iter().map(KeyView::from).collect() }
    }
}

impl From<LogKeyView> for KeyView {
    fn from(LogKeyView { key, created_at, signs_until }: LogKeyView) -> Self {
        KeyView {
            key_id: key.id(),
            purpose: match key.key_type() {
                KeyType::Ed25519 => "checkpoint",
                KeyType::CosignatureV1 => "timestamp",
            },
            algorithm: "Ed25519",
            public_key: hex::encode(key.public_key()),
            verifier_key: key.to_string(),
            created_at,
            signs_until,
        }
    }
}
