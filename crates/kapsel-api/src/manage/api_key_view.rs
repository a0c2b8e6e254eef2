//! How a key is shown: by how it begins. The whole of it is in the answer to its creation alone.

use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, KeySecret, Scope, TenantId, Timestamp};
use serde::Serialize;

/// A key as JSON.
#[derive(Serialize)]
pub(crate) struct ApiKeyView<'a> {
    id: ApiKeyId,
    tenant_id: TenantId,
    name: String,
    prefix: KeyPrefix,
    scopes: Vec<Scope>,
    status: &'static str,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    /// In the answer to the creation alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> ApiKeyView<'a> {
    /// Shows `key` as of `now`.
    pub(crate) fn new(key: ApiKey, now: Timestamp) -> Self {
        let status = match (key.is_live(now), key.revoked_at) {
            (true, _) => "active",
            (false, Some(_)) => "revoked",
            (false, None) => "expired",
        };
        ApiKeyView {
            id: key.id,
            tenant_id: key.tenant_id,
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes.iter().collect(),
            status,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            key: None,
        }
    }

    /// Shows the whole key too, this once.
    pub(crate) fn with_secret(self, secret: &'a KeySecret) -> Self {
        ApiKeyView { key: Some(secret.expose()), ..self }
    }
}
