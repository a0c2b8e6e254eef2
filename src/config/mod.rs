//! The configuration: flags, environment, a TOML file, defaults, in this order of precedence.
//!
//! One struct per area, each with the names, the default and the bounds of its settings beside it.

mod attestation;
mod delivery;
mod log;
mod security;
mod server;
mod sources;
mod storage;
mod telemetry;
mod tls;

use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) use attestation::{ATTESTATION_KEY, AttestationConfig};
pub(crate) use delivery::DeliveryConfig;
pub(crate) use log::{LogConfig, LogFormat};
pub(crate) use security::{MasterKeyConfig, SecurityConfig};
pub(crate) use server::ServerConfig;
pub(crate) use sources::ConfigError;
use sources::{ReportLine, Sources};
pub(crate) use storage::{DATABASE_URL, DatabaseConfig, StorageConfig};
pub(crate) use telemetry::{OtlpConfig, TelemetryConfig};
pub(crate) use tls::TlsConfig;

/// Flags of `serve` and `check-config`. Each has the environment variable that is named in its help.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// TOML file with settings [env: KAPSEL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder that holds all data [env: KAPSEL_DATA_DIR] [default: ./kapsel-data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Address to listen on [env: SERVER_ADDR] [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    server_addr: Option<String>,
    /// Address of its own for the management API and metrics [env: KAPSEL_MANAGEMENT_ADDR]
    #[arg(long, value_name = "ADDRESS")]
    management_addr: Option<String>,
    /// PEM file with the certificate of this server and its chain [env: KAPSEL_TLS_CERT_FILE]
    #[arg(long, value_name = "FILE")]
    tls_cert_file: Option<String>,
    /// PEM file with its private key [env: KAPSEL_TLS_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    tls_key_file: Option<String>,
    /// PEM file with the authorities whose certificates clients show [env: KAPSEL_TLS_CLIENT_CA_FILE]
    #[arg(long, value_name = "FILE")]
    tls_client_ca_file: Option<String>,
    /// Whether clients have to show one: required or optional [env: KAPSEL_TLS_CLIENT_AUTH] [default: required]
    #[arg(long, value_name = "WHEN")]
    tls_client_auth: Option<String>,
    /// Proxies whose word on the client is taken, separated by commas [env: KAPSEL_TRUSTED_PROXIES]
    #[arg(long, value_name = "CIDR,...")]
    trusted_proxies: Option<String>,
    /// Connections at once [env: KAPSEL_MAX_CONNECTIONS] [default: 10000]
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<String>,
    /// Connections of one address at once [env: KAPSEL_MAX_CONNECTIONS_PER_ADDRESS] [default: a quarter of all]
    #[arg(long, value_name = "COUNT")]
    max_connections_per_address: Option<String>,
    /// URL under which senders reach this server; ingest URLs begin with it [env: KAPSEL_PUBLIC_URL]
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Largest body of a webhook, in bytes [env: KAPSEL_MAX_BODY_BYTES] [default: 10485760]
    #[arg(long, value_name = "BYTES")]
    max_body_bytes: Option<String>,
    /// Memory for bodies that wait to be stored, in bytes [env: KAPSEL_INGEST_MEMORY_BYTES] [default: 268435456]
    #[arg(long, value_name = "BYTES")]
    ingest_memory_bytes: Option<String>,
    /// Private address ranges that may be delivered to, separated by commas [env: KAPSEL_ALLOW_DESTINATIONS]
    #[arg(long, value_name = "CIDR,...")]
    allow_destinations: Option<String>,
    /// File with the keys that secrets in the store are sealed with, the newest first [env: KAPSEL_MASTER_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<String>,
    /// PEM file with further certificate authorities of destinations [env: KAPSEL_CA_FILE]
    #[arg(long, value_name = "FILE")]
    ca_file: Option<String>,
    /// Headers that never travel on to destinations, separated by commas [env: KAPSEL_DROP_HEADERS]
    #[arg(long, value_name = "NAME,...")]
    drop_headers: Option<String>,
    /// Deliveries under way at once [env: KAPSEL_MAX_IN_FLIGHT] [default: 1024]
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<String>,
    /// Time for finishing what is under way when stopped, in seconds [env: KAPSEL_SHUTDOWN_SECONDS] [default: 25]
    #[arg(long, value_name = "SECONDS")]
    shutdown_seconds: Option<String>,
    /// Connections to the database server that one process makes at most [env: DATABASE_MAX_CONNECTIONS] [default: 10]
    #[arg(long, value_name = "COUNT")]
    database_max_connections: Option<String>,
    /// How long to wait at the start for a database that cannot be reached [env: KAPSEL_DATABASE_WAIT_SECONDS] [default: 30]
    #[arg(long, value_name = "SECONDS")]
    database_wait_seconds: Option<String>,
    /// Use a database that may lose what it confirmed, for experiments [env: KAPSEL_ALLOW_UNSAFE_DATABASE] [default: false]
    #[arg(long, value_name = "BOOL")]
    allow_unsafe_database: Option<String>,
    /// How long events are kept, in days [env: KAPSEL_EVENT_RETENTION_DAYS] [default: 30]
    #[arg(long, value_name = "DAYS")]
    event_retention_days: Option<String>,
    /// How long attempts are kept, in days [env: KAPSEL_ATTEMPT_RETENTION_DAYS] [default: 90]
    #[arg(long, value_name = "DAYS")]
    attempt_retention_days: Option<String>,
    /// Take events into a local spool while the database is away: on or off [env: KAPSEL_SPOOL] [default: off]
    #[arg(long, value_name = "ON")]
    spool: Option<String>,
    /// How many bytes the spool may hold [env: KAPSEL_SPOOL_MAX_BYTES] [default: 1073741824]
    #[arg(long, value_name = "BYTES")]
    spool_max_bytes: Option<String>,
    /// Name of the log of attempts in checkpoints, fixed when it is made [env: KAPSEL_ATTESTATION_ORIGIN] [default: by its id]
    #[arg(long, value_name = "NAME")]
    attestation_origin: Option<String>,
    /// Folder of the keys that sign it [env: KAPSEL_ATTESTATION_KEY_DIR] [default: attestation-keys in the data folder]
    #[arg(long, value_name = "FOLDER")]
    attestation_key_dir: Option<String>,
    /// Form of the log: text or json [env: KAPSEL_LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORM")]
    log_format: Option<String>,
    /// Endpoints, and tenants, with metrics under their own names [env: KAPSEL_METRICS_LABELS_MAX] [default: 200]
    #[arg(long, value_name = "COUNT")]
    metrics_labels_max: Option<String>,
    /// Base URL of an OpenTelemetry collector that takes traces over HTTP [env: KAPSEL_OTLP_ENDPOINT]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Which share of the traces that begin here is recorded, from 0 to 1 [env: KAPSEL_TRACE_RATIO] [default: 0.01]
    #[arg(long, value_name = "RATIO")]
    trace_ratio: Option<String>,
}

impl Args {
    /// Flags for a private server: its own folder and a free port of the loopback interface.
    pub(crate) fn private(data_dir: String, allow_destinations: String) -> Self {
        Args {
            data_dir: Some(data_dir),
            server_addr: Some("127.0.0.1:0".to_owned()),
            allow_destinations: Some(allow_destinations),
            ..Args::default()
        }
    }
}

/// Everything that can be configured.
#[derive(Debug)]
pub(crate) struct Config {
    /// The HTTP server.
    pub(crate) server: ServerConfig,
    /// Where data is kept.
    pub(crate) storage: StorageConfig,
    /// Delivering to destinations.
    pub(crate) delivery: DeliveryConfig,
    /// Keys and what may be reached.
    pub(crate) security: SecurityConfig,
    /// The log of attempts.
    pub(crate) attestation: AttestationConfig,
    /// What the program writes about itself.
    pub(crate) log: LogConfig,
    /// Metrics and traces.
    pub(crate) telemetry: TelemetryConfig,
    report: Vec<ReportLine>,
}

impl Config {
    /// Reads all sources.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub(crate) fn load(args: &Args) -> Result<Self, ConfigError> {
        Config::load_with(args, |name| std::env::var(name).ok())
    }

    /// The same with only the flags and the defaults: for a server of the program's own.
    pub(crate) fn load_without_environment(args: &Args) -> Result<Self, ConfigError> {
        Config::load_with(args, |_| None)
    }

    fn load_with(args: &Args, environment: fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let path = args.config.clone().or_else(|| environment("KAPSEL_CONFIG").map(PathBuf::from));
        let mut sources = Sources::open(path.as_deref(), environment)?;
        let server = ServerConfig::read(&mut sources, args)?;
        let storage = StorageConfig::read(&mut sources, args)?;
        let delivery = DeliveryConfig::read(&mut sources, args)?;
        let security = SecurityConfig::read(&mut sources, args)?;
        let attestation = AttestationConfig::read(&mut sources, args, &storage.folder)?;
        let log = LogConfig::read(&mut sources, args)?;
        let telemetry = TelemetryConfig::read(&mut sources, args)?;
        Ok(Config { server, storage, delivery, security, attestation, log, telemetry, report: sources.finish()? })
    }

    /// The effective values with where each came from; secrets hidden.
    pub(crate) fn report(&self) -> String {
        let mut text = String::new();
        for line in &self.report {
            let value = if line.value.is_empty() { "(empty)" } else { &line.value };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<30} {value}  [{}]", line.setting.env, line.origin);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(args: &Args) -> Result<Config, ConfigError> {
        Config::load_without_environment(args)
    }

    fn file(text: &str) -> (tempfile::TempDir, Args) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kapsel.toml");
        std::fs::write(&path, text).unwrap();
        (folder, Args { config: Some(path), ..Args::default() })
    }

    #[test]
    fn defaults_are_complete_and_private() {
        let config = load(&Args::default()).unwrap();
        assert_eq!(config.server.addr.to_string(), "127.0.0.1:8080");
        assert_eq!(config.server.body_bytes_max, 10 * 1024 * 1024);
        assert_eq!(config.storage.folder, PathBuf::from("./kapsel-data"));
        assert!(config.security.address_policy.check([127, 0, 0, 1].into()).is_err());
    }

    #[test]
    fn a_flag_beats_the_environment_and_that_beats_the_file() {
        fn environment(name: &str) -> Option<String> {
            (name == "SERVER_ADDR" || name == "KAPSEL_MAX_BODY_BYTES").then(|| match name {
                "SERVER_ADDR" => "127.0.0.1:2".to_owned(),
                _ => "2000".to_owned(),
            })
        }
        let (_folder, mut args) = file("server_addr = \"127.0.0.1:1\"\nmax_body_bytes = 1000\nmax_in_flight = 7");
        args.server_addr = Some("127.0.0.1:3".to_owned());
        let config = Config::load_with(&args, environment).unwrap();
        assert_eq!(config.server.addr.port(), 3);
        assert_eq!(config.server.body_bytes_max, 2_000);
        assert_eq!(config.delivery.in_flight_max, 7);
    }

    #[test]
    fn every_error_is_one_line_that_names_the_setting() {
        let with = |change: fn(&mut Args)| {
            let mut args = Args::default();
            change(&mut args);
            load(&args).unwrap_err().to_string()
        };
        let cases = [
            (with(|args| args.server_addr = Some("here".to_owned())), "SERVER_ADDR"),
            (with(|args| args.allow_destinations = Some("10.0.0.0/40".to_owned())), "KAPSEL_ALLOW_DESTINATIONS"),
            (with(|args| args.max_body_bytes = Some("ten".to_owned())), "KAPSEL_MAX_BODY_BYTES"),
            (with(|args| args.ingest_memory_bytes = Some("1000".to_owned())), "KAPSEL_INGEST_MEMORY_BYTES"),
            (with(|args| args.max_in_flight = Some("0".to_owned())), "KAPSEL_MAX_IN_FLIGHT"),
            (with(|args| args.public_url = Some("nowhere".to_owned())), "KAPSEL_PUBLIC_URL"),
            (with(|args| args.log_format = Some("xml".to_owned())), "KAPSEL_LOG_FORMAT"),
            (with(|args| args.management_addr = Some("8081".to_owned())), "KAPSEL_MANAGEMENT_ADDR"),
            (with(|args| args.trusted_proxies = Some("10.0.0.0/8,proxy".to_owned())), "KAPSEL_TRUSTED_PROXIES"),
            (with(|args| args.max_connections = Some("0".to_owned())), "KAPSEL_MAX_CONNECTIONS"),
            (
                with(|args| args.max_connections_per_address = Some("10001".to_owned())),
                "KAPSEL_MAX_CONNECTIONS_PER_ADDRESS",
            ),
            (with(|args| args.tls_cert_file = Some("/no/cert.pem".to_owned())), "KAPSEL_TLS_KEY_FILE"),
            (with(|args| args.tls_key_file = Some("/no/key.pem".to_owned())), "KAPSEL_TLS_KEY_FILE"),
            (with(|args| args.tls_client_ca_file = Some("/no/ca.pem".to_owned())), "KAPSEL_TLS_CLIENT_CA_FILE"),
            (with(|args| args.tls_client_auth = Some("optional".to_owned())), "KAPSEL_TLS_CLIENT_AUTH"),
            (with(|args| args.metrics_labels_max = Some("many".to_owned())), "KAPSEL_METRICS_LABELS_MAX"),
            (with(|args| args.otlp_endpoint = Some("collector".to_owned())), "KAPSEL_OTLP_ENDPOINT"),
            (with(|args| args.trace_ratio = Some("2".to_owned())), "KAPSEL_TRACE_RATIO"),
            (with(|args| args.ca_file = Some("/no/such/file.pem".to_owned())), "KAPSEL_CA_FILE"),
        ];
        for (message, name) in cases {
            assert!(message.starts_with(name), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn the_variables_of_opentelemetry_are_understood() {
        fn environment(name: &str) -> Option<String> {
            match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://standard:4318".to_owned()),
                "OTEL_SERVICE_NAME" => Some("hooks".to_owned()),
                _ => None,
            }
        }
        let config = Config::load_with(&Args::default(), environment).unwrap().telemetry.otlp.unwrap();
        assert_eq!(
            (config.traces_url().as_str(), config.service_name.as_str()),
            ("http://standard:4318/v1/traces", "hooks")
        );
        let args = Args { otlp_endpoint: Some("http://own:4318".to_owned()), ..Args::default() };
        let config = Config::load_with(&args, environment).unwrap().telemetry.otlp.unwrap();
        assert_eq!(config.traces_url(), "http://own:4318/v1/traces");
        assert!(load(&Args::default()).unwrap().telemetry.otlp.is_none());
    }

    #[test]
    fn the_file_may_hold_lists_but_no_unknown_settings() {
        let (_folder, args) = file("allow_destinations = [\"10.0.0.0/8\", \"192.168.1.0/24\"]");
        let config = load(&args).unwrap();
        assert!(config.security.address_policy.check([10, 1, 2, 3].into()).is_ok());
        let (_folder, args) = file("allow_destination = \"10.0.0.0/8\"");
        assert!(load(&args).unwrap_err().to_string().contains("unknown setting \"allow_destination\""));
        let (_folder, args) = file("this is not toml");
        assert!(load(&args).unwrap_err().to_string().contains("kapsel.toml"));
    }

    #[test]
    fn the_report_hides_secrets() {
        let (_folder, args) = file("operator_key = \"very-secret-operator-key-0123456789\"");
        let report = load(&args).unwrap().report();
        assert!(!report.contains("very-secret"), "{report}");
        assert!(report.contains("KAPSEL_OPERATOR_KEY") && report.contains("(set, hidden)"), "{report}");
        let (_folder, args) = file("operator_key = \"short-secret\"");
        let message = load(&args).unwrap_err().to_string();
        assert!(message.starts_with("KAPSEL_OPERATOR_KEY") && !message.contains("short-secret"), "{message}");
    }

    #[test]
    fn keys_of_the_log_are_never_shown() {
        let secret = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let key = format!("PRIVATE+KEY+PeterNeumann+c74f20a3+{secret}");
        let (_folder, args) = file(&format!("attestation_key = \"{key} {key}\""));
        let config = load(&args).unwrap();
        assert_eq!(config.attestation.keys.as_ref().map(Vec::len), Some(2));
        let shown = format!("{} {config:?}", config.report());
        assert!(shown.contains("(set, hidden)") && !shown.contains(secret), "{shown}");

        let (_folder, args) = file(&format!("attestation_key = \"{}\"", key.replace("c74f20a3", "c74f20a4")));
        let message = load(&args).unwrap_err().to_string();
        assert!(message.starts_with("KAPSEL_ATTESTATION_KEY") && !message.contains(secret), "{message}");
        let (_folder, args) = file("attestation_origin = \"two words\"");
        assert!(load(&args).unwrap_err().to_string().starts_with("KAPSEL_ATTESTATION_ORIGIN"));
    }

    #[test]
    fn a_database_url_selects_the_server_and_is_never_shown() {
        fn environment(name: &str) -> Option<String> {
            (name == "DATABASE_URL").then(|| "postgres://user:password@db/kapsel".to_owned())
        }
        let config = Config::load_with(&Args::default(), environment).unwrap();
        let database = config.storage.database.as_ref().unwrap();
        assert_eq!((database.connections_max, database.spool_bytes_max), (10, None));
        let shown = format!("{} {config:?}", config.report());
        assert!(!shown.contains("password"), "{shown}");

        fn other(name: &str) -> Option<String> {
            (name == "DATABASE_URL").then(|| "mysql://user:password@db/kapsel".to_owned())
        }
        let message = Config::load_with(&Args::default(), other).unwrap_err().to_string();
        assert!(message.starts_with("DATABASE_URL") && !message.contains("password"), "{message}");
    }

    #[test]
    fn settings_of_the_database_have_bounds() {
        for (line, setting) in [
            ("database_max_connections = 2", "DATABASE_MAX_CONNECTIONS"),
            ("spool = \"maybe\"", "KAPSEL_SPOOL"),
            ("event_retention_days = 0", "KAPSEL_EVENT_RETENTION_DAYS"),
            ("event_retention_days = 100", "KAPSEL_ATTEMPT_RETENTION_DAYS"),
        ] {
            let (_folder, args) = file(line);
            let message = load(&args).unwrap_err().to_string();
            assert!(message.starts_with(setting), "{message}");
        }
    }
}
