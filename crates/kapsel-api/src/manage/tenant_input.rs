//! What `POST /v1/tenants` and `PATCH /v1/tenants/{id}` take.

use kapsel_core::tenant::{ENDPOINTS_MAX, QUEUED_BYTES_MAX, QUEUED_EVENTS_MAX, RETENTION_DAYS_MAX};
use kapsel_core::{TenantConfig, TenantLimits, Tier};
use serde_json::Value;

use super::fields::{Object, Problems};
use super::limits_input;
use crate::problem::Problem;

pub(crate) const FIELDS: &[&str] = &["name", "tier", "limits"];
pub(crate) const LIMITS: &[&str] = &[
    "ingest_rate",
    "api_rate",
    "endpoints_max",
    "queued_events_max",
    "queued_bytes_max",
    "event_retention_days",
    "attempt_retention_days",
];

/// What a tenant has unless somebody says otherwise.
const TIER_DEFAULT: Tier = Tier::Standard;

/// Reads the input for a new tenant, or for a change of the `present` one, which keeps what the input does not name.
///
/// # Errors
/// 422 with every field that is not acceptable.
pub(crate) fn read(body: &Value, present: Option<&TenantConfig>) -> Result<TenantConfig, Problem> {
    let problems = Problems::default();
    let config = Object::root(body, FIELDS, &problems).map(|root| read_root(&root, &problems, present));
    problems.into_result()?;
    config.ok_or_else(|| Problem::internal("the input of a tenant was refused without a reason"))
}

fn read_root(root: &Object<'_>, problems: &Problems, present: Option<&TenantConfig>) -> TenantConfig {
    if present.is_none() {
        root.require("name");
    }
    let name = root.name("name");
    if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
        root.refuse("name", "must not be empty");
    }
    let tiers: Vec<(&str, Tier)> = Tier::ALL.iter().map(|tier| (tier.as_str(), *tier)).collect();
    let tier = root.word("tier", &tiers);
    let limits = root.object("limits", LIMITS).map(|input| read_limits(&input, problems));
    // Named and `null`, they are none.
    let limits = limits.or_else(|| root.is_null("limits").then(TenantLimits::default));
    TenantConfig {
        name: name.or_else(|| present.map(|config| config.name.clone())).unwrap_or_default(),
        tier: tier.or(present.map(|config| config.tier)).unwrap_or(TIER_DEFAULT),
        own_limits: limits.or(present.map(|config| config.own_limits)).unwrap_or_default(),
    }
}

fn read_limits(input: &Object<'_>, problems: &Problems) -> TenantLimits {
    TenantLimits {
        ingest_rate: limits_input::rate_limit(input, "ingest_rate", problems),
        api_rate: limits_input::rate_limit(input, "api_rate", problems),
        endpoints_max: input.whole("endpoints_max", 0..=ENDPOINTS_MAX),
        queued_events_max: input.whole("queued_events_max", 0..=QUEUED_EVENTS_MAX),
        queued_bytes_max: input.whole("queued_bytes_max", 0..=QUEUED_BYTES_MAX),
        event_retention_days: input.whole("event_retention_days", 1..=RETENTION_DAYS_MAX),
        attempt_retention_days: input.whole("attempt_retention_days", 1..=RETENTION_DAYS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use kapsel_core::RateLimit;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_new_tenant_needs_a_name_and_has_defaults() {
        let config = read(&json!({"name": "acme"}), None).unwrap();
        let own_limits = TenantLimits::default();
        assert_eq!(config, TenantConfig { name: "acme".to_owned(), tier: Tier::Standard, own_limits });
        for refused in
            [json!({}), json!({"name": " "}), json!({"name": "a\nb"}), json!({"name": "a", "x": 1}), json!([])]
        {
            assert!(read(&refused, None).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let limits = json!({"endpoints_max": 3, "queued_bytes_max": 1_u64 << 40, "api_rate": {"per_second": 2}});
        let present = read(&json!({"name": "acme", "tier": "free", "limits": limits}), None).unwrap();
        assert_eq!(present.own_limits.api_rate, Some(RateLimit { per_second: 2.0, burst: 2 }));
        assert_eq!(read(&json!({}), Some(&present)).unwrap(), present);

        let renamed = read(&json!({"name": "other"}), Some(&present)).unwrap();
        let expected = TenantConfig { name: "other".to_owned(), ..present };
        assert_eq!(renamed, expected);
        let present = TenantConfig { name: "acme".to_owned(), ..expected };
        // The limits are one field: they are replaced as a whole.
        let other = read(&json!({"limits": {"endpoints_max": 4}}), Some(&present)).unwrap();
        let own_limits = TenantLimits { endpoints_max: Some(4), ..TenantLimits::default() };
        assert_eq!(other, TenantConfig { own_limits, ..present.clone() });
        let none = read(&json!({"limits": null}), Some(&present)).unwrap();
        assert_eq!(none, TenantConfig { own_limits: TenantLimits::default(), ..present });
    }
}
