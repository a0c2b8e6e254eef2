//! From a host name to addresses. What may be connected to is decided elsewhere, on the result.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use kapsel_core::FailureKind;

use super::failure::Failure;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// All addresses of `host`, which is not an address itself. None at all is taken for a failure.
    ///
    /// # Errors
    /// [`FailureKind::Dns`].
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure>;
}

/// How long an answer is kept at most, whatever the zone says: a destination that moves is found again within this
/// time, also where somebody set a TTL of days.
const TTL_MAX: Duration = Duration::from_secs(300);
/// How long it is remembered that a name does not exist.
const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(30);
/// How long one name server may take. Two tries have to fit into the limit of a connection.
const QUERY_TIMEOUT_MAX: Duration = Duration::from_secs(3);

/// Resolves as the operating system is configured to: the hosts file first, then the name servers of
/// `/etc/resolv.conf`; without threads that block, and with a cache that follows the TTLs.
///
/// Both files are read once.
pub struct SystemResolver {
    hosts: Hosts,
    dns: TokioResolver,
}

impl SystemResolver {
    /// Reads the configuration of the system.
    ///
    /// # Errors
    /// If the resolver cannot be set up.
    pub fn new() -> Result<Self, NetError> {
        let mut builder = TokioResolver::builder_tokio().unwrap_or_else(|error| {
            // What the C library does without a configuration: it asks a name server on the machine itself. It must
            // not ask some public one, to which the names of all destinations would be given away.
            tracing::warn!(%error, "cannot read /etc/resolv.conf; names are asked for at 127.0.0.1");
            let local = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        restrict(builder.options_mut());
        let hosts = Hosts::from_system().unwrap_or_else(|error| {
            tracing::debug!(%error, "no hosts file");
            Hosts::default()
        });
        Ok(SystemResolver { hosts, dns: builder.build()? })
    }

    fn in_hosts_file(&self, host: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_utf8(host) else { return Vec::new() };
        [RecordType::A, RecordType::AAAA]
            .into_iter()
            .filter_map(|record_type| self.hosts.lookup_static_host(&Query::query(name.clone(), record_type)))
            .flat_map(|found| found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>())
            .collect()
    }
}

fn restrict(options: &mut ResolverOpts) {
    // The hosts file is looked at here, before any query: a name that it knows shall not wait for a name server that
    // is slow to say that it knows no further address of the other family.
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(NEGATIVE_TTL_MAX);
    options.timeout = options.timeout.min(QUERY_TIMEOUT_MAX);
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let known = self.in_hosts_file(host);
        if !known.is_empty() {
            return Ok(known);
        }
        // These names are loopback by definition and never asked for on the network (RFC 6761, section 6.3).
        let plain = host.trim_end_matches('.');
        if plain == "localhost" || plain.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        match self.dns.lookup_ip(host).await {
            Ok(found) => Ok(found.iter().collect()),
            Err(error) => Err(failure(host, words(&error))),
        }
    }
}

/// Why there is no address to connect to.
pub(super) fn failure(host: &str, why: &str) -> Failure {
    Failure::new(FailureKind::Dns, format!("cannot resolve {host}: {why}"))
}

fn words(error: &NetError) -> &'static str {
    match error {
        NetError::Timeout => "the name servers did not answer in time",
        error if error.is_nx_domain() => "there is no such name",
        error if error.is_no_records_found() => "it has no address",
        NetError::Proto(_) => "it is not a valid name",
        _ => "the name servers could not be asked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_loopback_without_asking_anybody() {
        let resolver = SystemResolver::new().unwrap();
        for name in ["localhost", "localhost.", "a.b.localhost"] {
            let addresses = resolver.addresses(name).await.unwrap();
            assert!(!addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback), "{name}: {addresses:?}");
        }
    }

    #[tokio::test]
    async fn the_hosts_file_comes_before_any_query() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"192.0.2.7 Some.Example.test other\n2001:db8::7 other\n"[..]).unwrap();
        let resolver = SystemResolver { hosts, ..SystemResolver::new().unwrap() };
        assert_eq!(resolver.addresses("some.example.test").await.unwrap(), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        let both: [IpAddr; 2] = ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(resolver.addresses("other").await.unwrap(), both);
    }

    #[tokio::test]
    async fn names_that_cannot_exist_are_failures() {
        let resolver = SystemResolver::new().unwrap();
        // RFC 6761, section 6.4: never asked for on the network.
        let failure = resolver.addresses("nowhere.invalid.").await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Dns);
        assert!(failure.detail.contains("nowhere.invalid"), "{failure}");
    }
}
