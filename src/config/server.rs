//! The HTTP server.

use std::net::SocketAddr;
use std::time::Duration;

use kapsel_api::TrustedProxies;

use super::sources::{ConfigError, Setting, Sources, number, ranges};
use super::{Args, TlsConfig};

const MIB: u64 = 1024 * 1024;

const ADDR: Setting = Setting { key: "server_addr", env: "SERVER_ADDR", flag: Some("server-addr") };
const MANAGEMENT_ADDR: Setting =
    Setting { key: "management_addr", env: "KAPSEL_MANAGEMENT_ADDR", flag: Some("management-addr") };
const PUBLIC_URL: Setting = Setting { key: "public_url", env: "KAPSEL_PUBLIC_URL", flag: Some("public-url") };
const TRUSTED_PROXIES: Setting =
    Setting { key: "trusted_proxies", env: "KAPSEL_TRUSTED_PROXIES", flag: Some("trusted-proxies") };
const MAX_CONNECTIONS: Setting =
    Setting { key: "max_connections", env: "KAPSEL_MAX_CONNECTIONS", flag: Some("max-connections") };
const MAX_CONNECTIONS_PER_ADDRESS: Setting = Setting {
    key: "max_connections_per_address",
    env: "KAPSEL_MAX_CONNECTIONS_PER_ADDRESS",
    flag: Some("max-connections-per-address"),
};
const MAX_BODY_BYTES: Setting =
    Setting { key: "max_body_bytes", env: "KAPSEL_MAX_BODY_BYTES", flag: Some("max-body-bytes") };
const MEMORY_BYTES: Setting =
    Setting { key: "ingest_memory_bytes", env: "KAPSEL_INGEST_MEMORY_BYTES", flag: Some("ingest-memory-bytes") };
const SHUTDOWN_SECONDS: Setting =
    Setting { key: "shutdown_seconds", env: "KAPSEL_SHUTDOWN_SECONDS", flag: Some("shutdown-seconds") };

/// The HTTP server.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub(crate) addr: SocketAddr,
    /// Where the management API listens instead, if it has an address of its own.
    pub(crate) management_addr: Option<SocketAddr>,
    /// The certificate, if TLS is spoken.
    pub(crate) tls: Option<TlsConfig>,
    /// The proxies whose word on the client is taken.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// Of them, those of one client.
    pub(crate) connections_per_address_max: usize,
    /// What ingest URLs begin with; without it, the `Host` header of the request that asks.
    pub(crate) public_url: Option<String>,
    /// Largest body of a webhook, in bytes.
    pub(crate) body_bytes_max: usize,
    /// Memory for bodies that wait to be stored, in bytes.
    pub(crate) memory_bytes_max: usize,
    /// Time for finishing what is under way when stopped.
    pub(crate) shutdown: Duration,
}

impl ServerConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let addr = sources.read(ADDR, args.server_addr.as_deref(), "127.0.0.1:8080", address)?;
        let management_addr =
            sources.read(MANAGEMENT_ADDR, args.management_addr.as_deref(), "", |text| match text {
                "" => Ok(None),
                text => address(text).map(Some),
            })?;
        let tls = TlsConfig::read(sources, args)?;
        let trusted_proxies =
            sources.read(TRUSTED_PROXIES, args.trusted_proxies.as_deref(), "", ranges).map(TrustedProxies::new)?;
        let connections_max = sources
            .read(MAX_CONNECTIONS, args.max_connections.as_deref(), "10000", |text| number(text, 1..=1_000_000))?;
        // A quarter of all, where the setting does not say otherwise.
        let default = (connections_max / 4).max(1).to_string();
        let connections_per_address_max = sources.read(
            MAX_CONNECTIONS_PER_ADDRESS,
            args.max_connections_per_address.as_deref(),
            &default,
            |text| number(text, 1..=connections_max),
        )?;
        let public_url = sources.read(PUBLIC_URL, args.public_url.as_deref(), "", |text| {
            let text = text.trim_end_matches('/');
            let has_scheme = text.starts_with("http://") || text.starts_with("https://");
            match (text.is_empty(), has_scheme) {
                (true, _) => Ok(None),
                (false, true) => Ok(Some(text.to_owned())),
                (false, false) => Err("is not a URL that begins with http:// or https://".to_owned()),
            }
        })?;
        let body_bytes_max: u64 = sources
            .read(MAX_BODY_BYTES, args.max_body_bytes.as_deref(), "10485760", |text| number(text, 1..=256 * MIB))?;
        let memory_bytes_max: u64 =
            sources.read(MEMORY_BYTES, args.ingest_memory_bytes.as_deref(), "268435456", |text| {
                let bytes = number(text, MIB..=64 * 1024 * MIB)?;
                if bytes < body_bytes_max * 2 {
                    return Err(format!("must be at least twice the largest body ({body_bytes_max} bytes)"));
                }
                Ok(bytes)
            })?;
        let shutdown = sources
            .read(SHUTDOWN_SECONDS, args.shutdown_seconds.as_deref(), "25", |text| number(text, 1..=600))
            .map(Duration::from_secs)?;
        Ok(ServerConfig {
            addr,
            management_addr,
            tls,
            trusted_proxies,
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            connections_per_address_max: usize::try_from(connections_per_address_max).unwrap_or(usize::MAX),
            public_url,
            body_bytes_max: usize::try_from(body_bytes_max).unwrap_or(usize::MAX),
            memory_bytes_max: usize::try_from(memory_bytes_max).unwrap_or(usize::MAX),
            shutdown,
        })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "is not an address with a port, such as 127.0.0.1:8080".to_owned())
}
