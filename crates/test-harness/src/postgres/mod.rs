//! Private PostgreSQL clusters: a real server for a test, with data, port and log of its own, gone when the test
//! process is.
//!
//! Everything here blocks. An async test calls it by `tokio::task::spawn_blocking`. A test that stops the server or
//! changes its settings starts a cluster; others share one ([`shared`]) and take a database each
//! ([`fresh_database_name`]). Read on in `guardian.rs`, which sees to the end.

mod account;
mod database;
// `cargo xtask postgres` looks in the same places. xtask depends on no crate of the workspace, so that it runs without
// compiling one; therefore the file is over there, and is read here.
#[path = "../../../../xtask/src/postgres/find.rs"]
mod find;
mod guardian;
mod port;
mod settings;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use account::Account;
use guardian::Guardian;

pub use database::fresh_database_name;

/// How often a start is tried with another port, when somebody else took the one that was free just before.
const PORTS_MAX: usize = 10;
/// What the server says about a port that is taken, in the C locale of every Unix.
const PORT_IS_TAKEN: &str = "Address already in use";

/// A cluster of one test or of one test process. When it is dropped, and when the process ends in any other way, its
/// server is stopped and its folder removed.
#[derive(Debug)]
pub struct PostgresCluster {
    guardian: Guardian,
    bin: PathBuf,
    account: Account,
    port: u16,
}

impl PostgresCluster {
    /// Makes a cluster and starts its server. `settings` are names and values of `postgresql.conf`; they come after
    /// ours, which keep commits durable.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not there, with what to type, and when the server does not start, with its log.
    pub fn start(settings: &[(&str, &str)]) -> PostgresCluster {
        let bin = find_bin().unwrap_or_else(|message| panic!("{message}"));
        let account = Account::of_servers();
        let guardian = Guardian::start(&bin, &account);
        guardian.must("initdb");
        configure(&guardian, settings);
        let port = start_on_some_port(&guardian);
        PostgresCluster { guardian, bin, account, port }
    }

    /// The port on 127.0.0.1; the same after [`PostgresCluster::start_again`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder that ends with the cluster. The server's socket and its log, `postgresql.log`, are in it.
    pub fn folder(&self) -> &Path {
        self.guardian.folder()
    }

    /// The data of the server, as `PGDATA`.
    pub fn data_folder(&self) -> PathBuf {
        data_folder(&self.guardian)
    }

    /// Ends the server at once, as a crash would: no checkpoint, connections are cut. The next start recovers.
    pub fn stop_immediate(&self) {
        self.guardian.must("stop immediate");
    }

    /// Ends the server in order: transactions are rolled back, connections closed, a checkpoint is written.
    pub fn stop_fast(&self) {
        self.guardian.must("stop fast");
    }

    /// Starts the server that was stopped, on the same port and data, and returns when it takes connections.
    pub fn start_again(&self) {
        self.guardian.must(&start_order(self.port));
    }

    /// Whether the server runs.
    pub fn is_running(&self) -> bool {
        self.guardian.order("status")
    }
}

/// The one cluster of this test process, started by whoever asks first; it takes a second or two. It has the settings
/// of [`PostgresCluster::start`] and must not be stopped. Statics are never dropped: its end is that of the process.
pub fn shared() -> &'static PostgresCluster {
    static SHARED: OnceLock<PostgresCluster> = OnceLock::new();
    SHARED.get_or_init(|| PostgresCluster::start(&[]))
}

/// The folder with `initdb`, `pg_ctl`, `postgres` and `psql` of one version: that on the path, otherwise the newest in
/// the usual places of Debian, Fedora and Homebrew. The error says what to type.
pub fn find_bin() -> Result<PathBuf, String> {
    find::find_bin()
}

fn data_folder(guardian: &Guardian) -> PathBuf {
    guardian.folder().join("data")
}

/// Both files are there already and keep their owner.
fn configure(guardian: &Guardian, settings: &[(&str, &str)]) {
    let data = data_folder(guardian);
    let mut file = OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("postgresql.conf");
    file.write_all(settings::lines(guardian.folder(), settings).as_bytes()).expect("write postgresql.conf");
    fs::write(data.join("pg_hba.conf"), settings::ACCESS).expect("write pg_hba.conf");
}

fn start_on_some_port(guardian: &Guardian) -> u16 {
    for port in port::candidates().take(PORTS_MAX) {
        if guardian.order(&start_order(port)) {
            return port;
        }
        let log = guardian.log();
        assert!(log.contains(PORT_IS_TAKEN), "the server did not start:\n{log}");
    }
    panic!("{PORTS_MAX} ports that were free were taken by others in the same moment")
}

fn start_order(port: u16) -> String {
    format!("start {port}")
}
