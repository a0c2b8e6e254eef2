//! Where the database is and how to use it.

use std::path::PathBuf;
use std::time::Duration;

use kapsel_core::Sealer;
use kapsel_store::Retention;
use kapsel_store::error::Cause;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::open_error::OpenError;
use crate::tls::{self, Verify};

/// The fewest connections that the engine works with: work, API, upkeep.
pub const CONNECTIONS_MIN: usize = 3;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// A peer that went away without a word is noticed within about half a minute.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVES_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVES_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);

/// How to open a store.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database?…`, with several `host:port` by commas where there are replicas. Of
    /// the parameters, those of libpq that the driver knows, `sslmode` with all of its values, and `sslrootcert`.
    pub url: SecretString,
    /// How many connections one process makes at most; at least [`CONNECTIONS_MIN`].
    pub connections_max: usize,
    /// How long to wait at the start for a database that cannot be reached.
    pub wait_max: Duration,
    /// Whether a database that may lose what it confirmed is used all the same. For experiments.
    pub allow_unsafe: bool,
    /// How long events and attempts are kept.
    pub retention: Retention,
    /// What the secrets of endpoints are sealed with.
    pub sealer: Sealer,
}

impl PostgresOptions {
    /// The defaults for the database at `url`.
    pub fn new(url: impl Into<String>, sealer: Sealer) -> Self {
        PostgresOptions {
            url: SecretString::from(url.into()),
            connections_max: 10,
            wait_max: Duration::from_secs(30),
            allow_unsafe: false,
            retention: Retention::default(),
            sealer,
        }
    }

    /// Whether the URL can be understood.
    ///
    /// # Errors
    /// [`OpenError::Url`], which does not repeat the URL.
    pub fn check(&self) -> Result<(), OpenError> {
        self.connection().map(|_| ())
    }

    pub(crate) fn connection(&self) -> Result<(Config, MakeRustlsConnect), OpenError> {
        let parts = Parts::of(self.url.expose_secret())?;
        let mut config: Config = parts.rest.parse().map_err(|error: tokio_postgres::Error| {
            // The driver's words name parameters and never their values.
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            OpenError::url(cause)
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(OpenError::url("it names no host"));
        }
        if config.get_user().is_none() {
            return Err(OpenError::url("it names no user"));
        }
        if config.get_application_name().is_none() {
            config.application_name("kapsel");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        if config.get_keepalives_interval().is_none() {
            config
                .keepalives_idle(KEEPALIVES_IDLE)
                .keepalives_interval(KEEPALIVES_INTERVAL)
                .keepalives_retries(KEEPALIVES_RETRIES);
        }
        // Of several servers, the one that takes writes.
        if !parts.names_session_attrs {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.ssl_mode(parts.ssl_mode);
        let tls = tls::connector(parts.verify, parts.root_file.as_deref())?;
        Ok((config, tls))
    }
}

/// A URL without what the driver does not know.
struct Parts {
    rest: String,
    ssl_mode: SslMode,
    verify: Verify,
    root_file: Option<PathBuf>,
    names_session_attrs: bool,
}

impl Parts {
    fn of(url: &str) -> Result<Self, OpenError> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(OpenError::url("it does not begin with postgres:// or postgresql://"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = "prefer";
        let mut root_file = None;
        let mut names_session_attrs = false;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "sslmode" => mode = value,
                "sslrootcert" => root_file = Some(PathBuf::from(value.replace("%2F", "/").replace("%2f", "/"))),
                _ => {
                    names_session_attrs |= name == "target_session_attrs";
                    kept.push(pair);
                }
            }
        }
        // As libpq does: without a root certificate to compare with, "prefer" and "require" keep listeners out and take
        // any server for the right one (PostgreSQL manual, section 34.19.1).
        let (ssl_mode, verify) = match mode {
            "disable" => (SslMode::Disable, Verify::Nothing),
            "allow" | "prefer" => (SslMode::Prefer, Verify::Nothing),
            "require" if root_file.is_some() => (SslMode::Require, Verify::Certificate),
            "require" => (SslMode::Require, Verify::Nothing),
            "verify-ca" => (SslMode::Require, Verify::Certificate),
            "verify-full" => (SslMode::Require, Verify::CertificateAndName),
            _ => {
                return Err(OpenError::url(
                    "sslmode must be disable, allow, prefer, require, verify-ca or verify-full",
                ));
            }
        };
        let separator = if kept.is_empty() { "" } else { "?" };
        let rest = format!("{base}{separator}{}", kept.join("&"));
        Ok(Parts { rest, ssl_mode, verify, root_file, names_session_attrs })
    }
}

impl OpenError {
    fn url(problem: impl Into<Cause>) -> Self {
        OpenError::Url(problem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> Config {
        PostgresOptions::new(url, test_harness::sealer()).connection().unwrap().0
    }

    fn problem(url: &str) -> String {
        let error = PostgresOptions::new(url, test_harness::sealer()).check().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        format!("{error}: {}", std::error::Error::source(&error).map_or_else(String::new, ToString::to_string))
    }

    #[test]
    fn a_list_of_hosts_goes_to_the_one_that_takes_writes() {
        let config = config("postgres://kapsel:geheim@one:5432,two:5433/db");
        assert_eq!(config.get_hosts().len(), 2);
        assert_eq!(config.get_ports(), [5432, 5433]);
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(config.get_application_name(), Some("kapsel"));
        assert_eq!(config.get_tcp_user_timeout(), Some(&TCP_USER_TIMEOUT));
        assert_eq!(config.get_keepalives_idle(), KEEPALIVES_IDLE);
    }

    #[test]
    fn what_the_url_says_is_kept() {
        let config = config(
            "postgresql://u@h/db?target_session_attrs=any&application_name=x&connect_timeout=9&keepalives_interval=7",
        );
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert_eq!(config.get_application_name(), Some("x"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn every_sslmode_of_libpq_is_known() {
        let parts = |query: &str| Parts::of(&format!("postgres://u@h/db{query}")).unwrap();
        for (query, mode, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("?sslmode=allow", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=prefer", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=require", SslMode::Require, Verify::Nothing),
            ("?sslmode=require&sslrootcert=/a/b.pem", SslMode::Require, Verify::Certificate),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Certificate),
            ("?sslmode=verify-full&connect_timeout=3", SslMode::Require, Verify::CertificateAndName),
        ] {
            let parts = parts(query);
            assert_eq!((parts.ssl_mode, parts.verify), (mode, verify), "{query}");
            assert!(!parts.rest.contains("ssl"), "{}", parts.rest);
        }
    }

    #[test]
    fn a_url_that_cannot_be_understood_is_refused_without_repeating_it() {
        assert!(problem("mysql://u:geheim@h/db").contains("does not begin with postgres://"));
        assert!(problem("postgres://u:geheim@h/db?sslmode=off").contains("sslmode must be"));
        assert!(problem("postgres://u:geheim@h:port/db").contains("DATABASE_URL"));
        assert!(problem("postgres://u:geheim@h/db?no_such_setting=1").contains("no_such_setting"));
        assert!(problem("postgres://h/db").contains("names no user"));
        assert!(
            problem("postgres://u:geheim@h/db?sslmode=verify-ca&sslrootcert=/no/such/file").contains("/no/such/file")
        );
    }
}
