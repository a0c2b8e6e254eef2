//! How a tenant is shown.

use kapsel_core::{Tenant, TenantId, TenantLimits, TenantStatus, Tier, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::openapi::{shown, words};

/// A tenant as JSON.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantView {
    #[schema(value_type = words::TenantId)]
    id: TenantId,
    name: String,
    #[schema(value_type = words::TierWord)]
    tier: Tier,
    #[schema(value_type = words::TenantStatusWord)]
    status: TenantStatus,
    /// What differs from the tier.
    #[schema(value_type = shown::LimitsShown)]
    limits: TenantLimits,
    /// What is in force.
    #[schema(value_type = shown::LimitsShown)]
    effective_limits: TenantLimits,
    #[schema(value_type = words::Time)]
    created_at: Timestamp,
    #[schema(value_type = words::Time)]
    updated_at: Timestamp,
    version: u64,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let effective_limits = tenant.limits();
        TenantView {
            id: tenant.id,
            name: tenant.config.name,
            tier: tenant.config.tier,
            status: tenant.status,
            limits: tenant.config.own_limits,
            effective_limits,
            created_at: tenant.created_at,
            updated_at: tenant.updated_at,
            version: tenant.version,
        }
    }
}
