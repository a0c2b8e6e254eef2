//! Delivering to destinations.

use std::path::PathBuf;

use super::Args;
use super::sources::{ConfigError, Setting, Sources, entries, number};

const MAX_IN_FLIGHT: Setting =
    Setting { key: "max_in_flight", env: "KAPSEL_MAX_IN_FLIGHT", flag: Some("max-in-flight") };
const DROP_HEADERS: Setting = Setting { key: "drop_headers", env: "KAPSEL_DROP_HEADERS", flag: Some("drop-headers") };
const CA_FILE: Setting = Setting { key: "ca_file", env: "KAPSEL_CA_FILE", flag: Some("ca-file") };

/// Delivering to destinations.
#[derive(Debug)]
pub(crate) struct DeliveryConfig {
    /// Deliveries under way at once.
    pub(crate) in_flight_max: usize,
    /// Headers that never travel on, in lower case.
    pub(crate) denied_headers: Vec<String>,
    /// PEM file with further certificate authorities.
    pub(crate) ca_file: Option<PathBuf>,
}

impl DeliveryConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let in_flight_max = sources
            .read(MAX_IN_FLIGHT, args.max_in_flight.as_deref(), "1024", |text| number(text, 1..=65_536))
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX))?;
        let denied_headers = sources.read(DROP_HEADERS, args.drop_headers.as_deref(), "", |text| {
            let name = |entry: &str| {
                http::HeaderName::try_from(entry)
                    .map(|name| name.as_str().to_owned())
                    .map_err(|_| format!("has {entry:?}, which is not a header name"))
            };
            entries(text).map(name).collect()
        })?;
        let ca_file = sources.read(CA_FILE, args.ca_file.as_deref(), "", |text| {
            if text.is_empty() {
                return Ok(None);
            }
            std::fs::File::open(text).map_err(|error| format!("cannot be read: {error}"))?;
            Ok(Some(PathBuf::from(text)))
        })?;
        Ok(DeliveryConfig { in_flight_max, denied_headers, ca_file })
    }
}
