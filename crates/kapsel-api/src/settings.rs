//! What the HTTP edge can be told.

use std::sync::Arc;
use std::time::Duration;

use kapsel_core::AddressPolicy;
use secrecy::SecretString;

use crate::client_address::TrustedProxies;
use crate::server::tls::Tls;

const MIB: usize = 1024 * 1024;

/// Settings of the API. The default has an empty operator key, with which nobody is let in.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Largest body of an incoming webhook, in bytes.
    pub body_bytes_max: usize,
    /// How many events may wait for their commit.
    pub queue_rows_max: usize,
    /// Memory for bodies and headers, charged while a body arrives and until its commit, in bytes. At least twice
    /// `body_bytes_max`, or large bodies cannot come in side by side.
    pub queue_bytes_max: usize,
    /// How many events are committed together at most.
    pub batch_rows_max: usize,
    /// How many bytes are committed together at most; a single larger event is committed alone.
    pub batch_bytes_max: usize,
    /// How many tasks commit at the same time. A further one commits large bodies.
    pub writers: usize,
    /// How long a commit that fails is tried again before the sender gets E3001.
    pub commit_wait_max: Duration,
    /// How long a body may take to arrive.
    pub body_read_timeout: Duration,
    /// What ingest URLs begin with, such as `https://hooks.example.com`; without it, the `Host` of the request that asks.
    pub public_url: Option<String>,
    /// The port of ingest URLs where the management API has an address of its own; without it, the port of the `Host`.
    pub ingest_port: Option<u16>,
    /// Hosts that the management API answers to, without port; empty for all. A list keeps web pages that have their
    /// name resolve to this server (DNS rebinding) from talking to it.
    pub allowed_hosts: Vec<String>,
    /// Which literal destination addresses may be configured. Names are checked when they are resolved.
    pub address_policy: AddressPolicy,
    /// The key of the management API. With an empty one, nobody is let in.
    pub operator_key: SecretString,
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings {
            body_bytes_max: 10 * MIB,
            queue_rows_max: 8_192,
            queue_bytes_max: 256 * MIB,
            batch_rows_max: 512,
            batch_bytes_max: 4 * MIB,
            writers: 1,
            commit_wait_max: Duration::from_secs(5),
            body_read_timeout: Duration::from_secs(30),
            public_url: None,
            ingest_port: None,
            allowed_hosts: Vec::new(),
            address_policy: AddressPolicy::default(),
            operator_key: SecretString::default(),
        }
    }
}

/// Settings of the server on one address.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// How long a new connection may take until its first request has arrived, without the body; with TLS, after the
    /// handshake.
    pub header_read_timeout: Duration,
    /// How long a connection may stay idle after a request.
    pub idle_timeout: Duration,
    /// How long a TLS handshake may take.
    pub tls_handshake_timeout: Duration,
    /// Largest head of a request, in bytes.
    pub header_bytes_max: usize,
    /// How many connections are served at once; further ones wait in the backlog of the operating system.
    pub connections_max: usize,
    /// How many of them one client may have, by IPv4 address or IPv6 network (/64); further ones are closed at once.
    /// Trusted proxies may have any number.
    pub connections_per_address_max: usize,
    /// The proxies whose word on the client is taken.
    pub trusted_proxies: TrustedProxies,
    /// The certificate; without it, plain HTTP is spoken.
    pub tls: Option<Arc<Tls>>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            // Some proxies connect in advance; a head itself is there within a second or two.
            header_read_timeout: Duration::from_secs(30),
            // Longer than the 60 s for which common proxies keep idle connections: the side that sends the next
            // request should be the one that closes, or the request meets a closed connection.
            idle_timeout: Duration::from_secs(75),
            tls_handshake_timeout: Duration::from_secs(10),
            header_bytes_max: 64 * 1024,
            connections_max: 10_000,
            // A quarter: many for one sender, and the others keep most.
            connections_per_address_max: 2_500,
            trusted_proxies: TrustedProxies::default(),
            tls: None,
        }
    }
}
