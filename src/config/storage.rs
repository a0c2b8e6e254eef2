//! Where data is kept.

use std::path::PathBuf;
use std::time::Duration;

use kapsel_store::Retention;
use secrecy::SecretString;

use super::Args;
use super::sources::{ConfigError, Setting, Sources, number};

const GIB: u64 = 1024 * 1024 * 1024;

const DATA_DIR: Setting = Setting { key: "data_dir", env: "KAPSEL_DATA_DIR", flag: Some("data-dir") };
pub(crate) const DATABASE_URL: Setting = Setting { key: "database_url", env: "DATABASE_URL", flag: None };
const MAX_CONNECTIONS: Setting = Setting {
    key: "database_max_connections",
    env: "DATABASE_MAX_CONNECTIONS",
    flag: Some("database-max-connections"),
};
const WAIT_SECONDS: Setting =
    Setting { key: "database_wait_seconds", env: "KAPSEL_DATABASE_WAIT_SECONDS", flag: Some("database-wait-seconds") };
const ALLOW_UNSAFE: Setting =
    Setting { key: "allow_unsafe_database", env: "KAPSEL_ALLOW_UNSAFE_DATABASE", flag: Some("allow-unsafe-database") };
const EVENT_DAYS: Setting =
    Setting { key: "event_retention_days", env: "KAPSEL_EVENT_RETENTION_DAYS", flag: Some("event-retention-days") };
const ATTEMPT_DAYS: Setting = Setting {
    key: "attempt_retention_days",
    env: "KAPSEL_ATTEMPT_RETENTION_DAYS",
    flag: Some("attempt-retention-days"),
};
const SPOOL: Setting = Setting { key: "spool", env: "KAPSEL_SPOOL", flag: Some("spool") };
const SPOOL_MAX_BYTES: Setting =
    Setting { key: "spool_max_bytes", env: "KAPSEL_SPOOL_MAX_BYTES", flag: Some("spool-max-bytes") };

/// The fewest connections to a database server that one process works with.
const CONNECTIONS_MIN: u64 = 3;

/// Where data is kept.
#[derive(Debug)]
pub(crate) struct StorageConfig {
    /// The folder that holds everything, or, beside a database server, what belongs to this instance.
    pub(crate) folder: PathBuf,
    /// The database server; without one, the embedded engine serves.
    pub(crate) database: Option<DatabaseConfig>,
    /// How long events and attempts are kept.
    pub(crate) retention: Retention,
}

/// A database server.
#[derive(Debug)]
pub(crate) struct DatabaseConfig {
    /// `postgres://…`
    pub(crate) url: SecretString,
    /// How many connections this process makes at most.
    pub(crate) connections_max: usize,
    /// How long to wait at the start for a server that cannot be reached.
    pub(crate) wait_max: Duration,
    /// Whether a server that may lose what it confirmed is used all the same.
    pub(crate) allow_unsafe: bool,
    /// How many bytes the local spool may hold that takes events in while the server is away; without it they are
    /// refused.
    pub(crate) spool_bytes_max: Option<u64>,
}

impl StorageConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let folder = sources.read(DATA_DIR, args.data_dir.as_deref(), "./kapsel-data", |text| {
            if text.is_empty() { Err("is not a folder".to_owned()) } else { Ok(PathBuf::from(text)) }
        })?;
        let url = sources.read_secret(DATABASE_URL, "(not set: embedded engine)", |text| {
            let is_known = text.starts_with("postgres://") || text.starts_with("postgresql://");
            match is_known {
                true => Ok(SecretString::from(text)),
                false => Err("must begin with postgres:// or postgresql://".to_owned()),
            }
        })?;
        let connections_max =
            sources.read(MAX_CONNECTIONS, args.database_max_connections.as_deref(), "10", |text| {
                number(text, CONNECTIONS_MIN..=1_000)
            })?;
        let wait_max = sources.read(WAIT_SECONDS, args.database_wait_seconds.as_deref(), "30", |text| {
            number(text, 0..=3_600).map(Duration::from_secs)
        })?;
        let allow_unsafe = sources.read(ALLOW_UNSAFE, args.allow_unsafe_database.as_deref(), "false", yes_or_no)?;
        let event_retention = sources.read(EVENT_DAYS, args.event_retention_days.as_deref(), "30", days)?;
        let attempt_retention = sources.read(ATTEMPT_DAYS, args.attempt_retention_days.as_deref(), "90", |text| {
            let retention = days(text)?;
            // An event without its attempts would look as if it had been delivered.
            match retention < event_retention {
                true => Err("must not be shorter than that of events".to_owned()),
                false => Ok(retention),
            }
        })?;
        let has_spool = sources.read(SPOOL, args.spool.as_deref(), "off", yes_or_no)?;
        let spool_bytes_max = sources.read(SPOOL_MAX_BYTES, args.spool_max_bytes.as_deref(), "1073741824", |text| {
            number(text, 1024 * 1024..=1024 * GIB)
        })?;
        let database = url.map(|url| DatabaseConfig {
            url,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            wait_max,
            allow_unsafe,
            spool_bytes_max: has_spool.then_some(spool_bytes_max),
        });
        Ok(StorageConfig {
            folder,
            database,
            retention: Retention { events: event_retention, attempts: attempt_retention },
        })
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err("is neither on nor off".to_owned()),
    }
}

fn days(text: &str) -> Result<Duration, String> {
    number(text, 1..=36_500).map(|days| Duration::from_secs(days * 24 * 3_600))
}
