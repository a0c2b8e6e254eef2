//! How a key is shown: by how it begins. The whole of it is in the answer to its creation alone.

use kapsel_core::{ApiKey, ApiKeyId, KeyPrefix, KeySecret, Scope, TenantId, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::words;

/// A key as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApiKeyView<'a> {
    #[schema(value_type = words::ApiKeyId)]
    id: ApiKeyId,
    #[schema(value_type = words::TenantId)]
    tenant_id: TenantId,
    name: String,
    #[schema(value_type = words::KeyPrefix)]
    prefix: KeyPrefix,
    #[schema(value_type = Vec<words::ScopeWord>)]
    scopes: Vec<Scope>,
    status: &'static str,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<words::Time>, required = true)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, required = true)]
    revoked_at: Option<Timestamp>,
    #[schema(value_type = Option<words::Time>, required = true)]
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
