//! How a tenant is shown.

use kapsel_core::{Tenant, TenantId, TenantLimits, TenantStatus, Tier, Timestamp};
use serde::Serialize;

/// A tenant as JSON.
#[derive(Serialize)]
pub(crate) struct TenantView {
    id: TenantId,
    name: String,
    tier: Tier,
    status: TenantStatus,
    /// What differs from the tier.
    limits: TenantLimits,
    /// What is in force.
    effective_limits: TenantLimits,
    created_at: Timestamp,
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
