//! The owner of endpoints and events, and how much it may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::delivery::UnknownWord;
use crate::ids::TenantId;
use crate::rate_limit::RateLimit;
use crate::time::Timestamp;

/// The longest time that events or attempts can be kept, in days: ten years.
pub const RETENTION_DAYS_MAX: u32 = 3_650;
/// The most endpoints that a limit can allow.
pub const ENDPOINTS_MAX: u32 = 1_000_000;
/// The most queued events that a limit can allow.
pub const QUEUED_EVENTS_MAX: u64 = 1_000_000_000;
/// The most queued bytes that a limit can allow: 1 PiB, which a JSON number still holds exactly.
pub const QUEUED_BYTES_MAX: u64 = 1 << 50;

/// An owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What it is called and what it may use.
    pub config: TenantConfig,
    /// Whether it takes part.
    pub status: TenantStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Grows with each change; a change names the version it was made from.
    pub version: u64,
}

impl Tenant {
    /// The tenant that exists from the start.
    pub fn default_at(now: Timestamp) -> Self {
        Tenant {
            id: TenantId::DEFAULT,
            config: TenantConfig {
                name: "default".to_owned(),
                tier: Tier::Unlimited,
                own_limits: TenantLimits::default(),
            },
            status: TenantStatus::Active,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }

    /// The limits in force: its own where it has any, otherwise those of its tier.
    pub fn limits(&self) -> TenantLimits {
        self.config.own_limits.or(self.config.tier.limits())
    }
}

/// The part of a tenant that is stored as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TenantConfig {
    /// For people.
    pub name: String,
    /// What it may use, unless `own_limits` says otherwise.
    pub tier: Tier,
    /// Limits that differ from those of its tier.
    #[serde(default)]
    pub own_limits: TenantLimits,
}

/// Whether a tenant takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// It does.
    Active,
    /// Nothing of it is accepted or delivered, and its keys open nothing. What was accepted waits.
    Suspended,
    /// It is gone, and so are its endpoints and keys.
    Deleted,
}

impl TenantStatus {
    /// Every status.
    pub const ALL: &'static [TenantStatus] = &[TenantStatus::Active, TenantStatus::Suspended, TenantStatus::Deleted];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            TenantStatus::Active => "active",
            TenantStatus::Suspended => "suspended",
            TenantStatus::Deleted => "deleted",
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TenantStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = TenantStatus::ALL.iter().find(|status| status.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// A set of limits that tenants can be given by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// For trying out.
    Free,
    /// For most tenants.
    Standard,
    /// No limits but those of the machine. The default tenant has it.
    Unlimited,
}

impl Tier {
    /// Every tier.
    pub const ALL: &'static [Tier] = &[Tier::Free, Tier::Standard, Tier::Unlimited];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Free => "free",
            Tier::Standard => "standard",
            Tier::Unlimited => "unlimited",
        }
    }

    /// Its limits.
    pub const fn limits(self) -> TenantLimits {
        match self {
            Tier::Free => TenantLimits {
                ingest_rate: Some(RateLimit { per_second: 100.0, burst: 200 }),
                api_rate: Some(RateLimit { per_second: 10.0, burst: 50 }),
                endpoints_max: Some(100),
                queued_events_max: Some(100_000),
                queued_bytes_max: Some(1 << 30),
                event_retention_days: Some(7),
                attempt_retention_days: Some(30),
            },
            Tier::Standard => TenantLimits {
                ingest_rate: Some(RateLimit { per_second: 5_000.0, burst: 10_000 }),
                api_rate: Some(RateLimit { per_second: 100.0, burst: 200 }),
                endpoints_max: Some(10_000),
                queued_events_max: Some(5_000_000),
                queued_bytes_max: Some(50 << 30),
                event_retention_days: None,
                attempt_retention_days: None,
            },
            Tier::Unlimited => TenantLimits {
                ingest_rate: None,
                api_rate: None,
                endpoints_max: None,
                queued_events_max: None,
                queued_bytes_max: None,
                event_retention_days: None,
                attempt_retention_days: None,
            },
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a tenant may use. `None` is no limit, or in [`TenantConfig::own_limits`] that of the tier; for the retention, that of
/// the whole installation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantLimits {
    /// Webhooks taken in.
    pub ingest_rate: Option<RateLimit>,
    /// Requests to the management API.
    pub api_rate: Option<RateLimit>,
    /// Endpoints that exist.
    pub endpoints_max: Option<u32>,
    /// Events that are accepted and not yet delivered or given up.
    pub queued_events_max: Option<u64>,
    /// Their bodies, in bytes.
    pub queued_bytes_max: Option<u64>,
    /// How long events are kept, in days.
    pub event_retention_days: Option<u32>,
    /// How long attempts and outcomes are kept, in days.
    pub attempt_retention_days: Option<u32>,
}

impl TenantLimits {
    /// These, and where there is none, those of `other`.
    pub fn or(self, other: TenantLimits) -> TenantLimits {
        TenantLimits {
            ingest_rate: self.ingest_rate.or(other.ingest_rate),
            api_rate: self.api_rate.or(other.api_rate),
            endpoints_max: self.endpoints_max.or(other.endpoints_max),
            queued_events_max: self.queued_events_max.or(other.queued_events_max),
            queued_bytes_max: self.queued_bytes_max.or(other.queued_bytes_max),
            event_retention_days: self.event_retention_days.or(other.event_retention_days),
            attempt_retention_days: self.attempt_retention_days.or(other.attempt_retention_days),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant() -> Tenant {
        let mut tenant = Tenant::default_at(Timestamp::from_unix_seconds(1));
        tenant.config.tier = Tier::Free;
        tenant
    }

    #[test]
    fn own_limits_come_before_those_of_the_tier() {
        let mut tenant = tenant();
        assert_eq!(tenant.limits(), Tier::Free.limits());
        tenant.config.own_limits.queued_events_max = Some(7);
        tenant.config.own_limits.event_retention_days = Some(3_000);
        let limits = tenant.limits();
        assert_eq!((limits.queued_events_max, limits.event_retention_days), (Some(7), Some(3_000)));
        assert_eq!(limits.ingest_rate, Tier::Free.limits().ingest_rate);
        tenant.config.tier = Tier::Unlimited;
        assert_eq!(tenant.limits(), tenant.config.own_limits);
    }

    #[test]
    fn the_limits_of_every_tier_could_be_configured() {
        for tier in Tier::ALL {
            let limits = tier.limits();
            assert!([limits.ingest_rate, limits.api_rate].iter().flatten().all(RateLimit::is_valid), "{tier}");
            assert!(limits.endpoints_max.is_none_or(|max| max <= ENDPOINTS_MAX), "{tier}");
            assert!(limits.queued_events_max.is_none_or(|max| max <= QUEUED_EVENTS_MAX), "{tier}");
            assert!(limits.queued_bytes_max.is_none_or(|max| max <= QUEUED_BYTES_MAX), "{tier}");
        }
    }

    #[test]
    fn what_was_stored_reads_back_and_what_was_not_has_its_default() {
        let mut config = tenant().config;
        config.name = "m\u{fc}ller & \"co\"".to_owned();
        config.own_limits.api_rate = Some(RateLimit { per_second: 0.5, burst: 3 });
        let stored = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TenantConfig>(&stored).unwrap(), config);
        let old: TenantConfig = serde_json::from_str(r#"{"name":"a","tier":"standard"}"#).unwrap();
        assert_eq!(old.own_limits, TenantLimits::default());
        assert!(serde_json::from_str::<TenantConfig>(r#"{"name":"a","tier":"golden"}"#).is_err());
    }
}
