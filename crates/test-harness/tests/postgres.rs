//! Clusters of the harness: they are real, they are durable, and nothing of them is left behind.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code: a failed expectation fails the test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use test_harness::PostgresCluster;
use test_harness::postgres::{fresh_database_name, shared};

/// Set for the process that `a_killed_test_process_leaves_nothing` starts in order to kill it.
const TO_BE_KILLED: &str = "KAPSEL_TEST_TO_BE_KILLED";

/// The end of a wait that should take a moment: for broken programs, and generous.
const GENEROUS: Duration = Duration::from_secs(120);

#[test]
fn a_database_made_from_a_template_has_its_tables() {
    let cluster = shared();
    let (template, copy) = (fresh_database_name(), fresh_database_name());
    cluster.create_database(&template);
    cluster.psql(&template, "CREATE TABLE a (b int, c text); INSERT INTO a VALUES (1, 'x'), (2, NULL);");
    cluster.create_database_from(&copy, &template);
    cluster.psql(&copy, "INSERT INTO a VALUES (3, 'only here')");
    assert_eq!(cluster.psql(&copy, "SELECT * FROM a ORDER BY b"), "1|x\n2|\n3|only here");
    assert_eq!(cluster.psql(&template, "SELECT count(*) FROM a"), "2");
}

#[test]
fn a_failed_statement_is_an_error_and_ends_the_script() {
    let cluster = shared();
    let name = fresh_database_name();
    cluster.create_database(&name);
    let failure = cluster.try_psql(&name, "CREATE TABLE a (); SELECT 1/0; CREATE TABLE b ();").unwrap_err();
    assert!(failure.contains("division by zero"), "{failure}");
    assert_eq!(cluster.psql(&name, "SELECT to_regclass('a') IS NULL, to_regclass('b') IS NULL"), "f|t");
}

#[test]
fn another_role_needs_its_password() {
    let cluster = shared();
    let (name, role) = (fresh_database_name(), fresh_database_name());
    cluster.create_database(&name);
    cluster.psql(&name, &format!("CREATE ROLE {role} LOGIN PASSWORD 'p@ss/word'"));
    let connect_with = |password: &str| {
        let url = cluster.url_for(&role, password, &name);
        cluster.try_psql("postgres", &format!("\\connect {url}\nSELECT current_user, current_database()"))
    };
    assert_eq!(connect_with("p@ss/word"), Ok(format!("{role}|{name}")));
    assert!(connect_with("wrong").unwrap_err().contains("password authentication failed"));
    let url = cluster.url(&name);
    assert_eq!(cluster.psql("postgres", &format!("\\connect {url}\nSELECT current_user")), "postgres");
}

#[test]
fn what_was_committed_is_there_after_both_kinds_of_stop() {
    let cluster = PostgresCluster::start(&[("max_connections", "17"), ("application_name", "it's")]);
    let port = cluster.port();
    let show = |setting: &str| cluster.psql("postgres", &format!("SHOW {setting}"));
    assert_eq!(["fsync", "synchronous_commit", "full_page_writes", "autovacuum"].map(show), ["on"; 4]);
    assert_eq!([show("max_connections"), show("shared_buffers")], ["17", "64MB"]);
    assert_eq!([show("server_encoding"), show("lc_collate")], ["UTF8", "C"]);

    cluster.psql("postgres", "CREATE TABLE a (b int); INSERT INTO a VALUES (1);");
    for stop in [PostgresCluster::stop_immediate, PostgresCluster::stop_fast] {
        assert!(cluster.is_running());
        stop(&cluster);
        assert!(!cluster.is_running());
        assert!(cluster.try_psql("postgres", "SELECT 1").is_err());
        cluster.start_again();
        assert_eq!(cluster.psql("postgres", "SELECT b FROM a"), "1");
        assert_eq!(cluster.port(), port);
    }
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let cluster = PostgresCluster::start(&[]);
    let held = Held::of(&cluster);
    assert!(held.is_there());
    // Another child of this process, which must not have inherited what keeps the guardian waiting.
    let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    before_long(move || drop(cluster));
    held.must_be_gone();
    drop(other.stdin.take());
    other.wait().unwrap();
}

#[test]
fn a_killed_test_process_leaves_nothing() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        hold_a_cluster_until_killed();
    }
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_process_leaves_nothing", "--nocapture"])
        .env(TO_BE_KILLED, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(process.stdout.take().unwrap());
    let held = output.lines().find_map(|line| Held::from_line(&line.unwrap())).expect("a cluster was started");
    assert!(held.is_there());

    process.kill().unwrap(); // SIGKILL
    process.wait().unwrap();
    // The guardian has the error output of the process it outlives.
    let mut errors = process.stderr.take().unwrap();
    before_long(move || errors.read_to_end(&mut Vec::new()).unwrap());
    held.must_be_gone();
}

fn hold_a_cluster_until_killed() -> ! {
    let cluster = PostgresCluster::start(&[]);
    println!("\n{}", Held::of(&cluster).line());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    panic!("the parent ended without killing us");
}

/// What a cluster holds on the machine.
struct Held {
    folder: PathBuf,
    process: u32,
}

impl Held {
    fn of(cluster: &PostgresCluster) -> Held {
        let text = fs::read_to_string(cluster.data_folder().join("postmaster.pid")).unwrap();
        Held { folder: cluster.folder().to_owned(), process: text.lines().next().unwrap().parse().unwrap() }
    }

    fn line(&self) -> String {
        format!("held: {} {}", self.process, self.folder.display())
    }

    fn from_line(line: &str) -> Option<Held> {
        let (process, folder) = line.strip_prefix("held: ")?.split_once(' ')?;
        Some(Held { folder: PathBuf::from(folder), process: process.parse().unwrap() })
    }

    fn is_there(&self) -> bool {
        self.folder.exists() && self.is_alive()
    }

    fn is_alive(&self) -> bool {
        // A process that has ended but was not yet collected by init has no command line.
        let is_collected_late = fs::read(Path::new("/proc").join(self.process.to_string()).join("cmdline"))
            .is_ok_and(|line| line.is_empty());
        let kill = format!("kill -0 {} 2>/dev/null", self.process);
        let is_there = Command::new("sh").args(["-c", &kill]).status().unwrap().success();
        is_there && !is_collected_late
    }

    /// The folder goes last. The server takes away its lock file, for which `pg_ctl stop` waits, just before it ends.
    fn must_be_gone(self) {
        assert!(!self.folder.exists(), "{} is still there", self.folder.display());
        before_long(move || while self.is_alive() {});
    }
}

/// The result of something that takes a moment. If it takes [`GENEROUS`], the test fails instead of hanging.
fn before_long<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(GENEROUS).expect("it ended well before long")
}
