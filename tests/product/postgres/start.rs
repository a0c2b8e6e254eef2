//! A database that cannot be used is refused at the start, with what is wrong and without the password.

use std::net::TcpListener;
use std::path::Path;

use tempfile::TempDir;

use super::Database;
use crate::program::{OPERATOR_KEY, Program, run, text};

const PASSWORD: &str = "open-sesame-4711";

/// Tries to serve and returns what was said on the way down.
async fn refusal(data_folder: &Path, database_url: &str, more: &[(&str, &str)]) -> String {
    let mut settings = vec![
        ("DATABASE_URL", database_url),
        ("KAPSEL_DATA_DIR", data_folder.to_str().unwrap()),
        ("KAPSEL_DATABASE_WAIT_SECONDS", "0"),
        ("SERVER_ADDR", "127.0.0.1:0"),
        ("KAPSEL_OPERATOR_KEY", OPERATOR_KEY),
    ];
    settings.extend(more);
    let output = run(&["serve"], &settings).await;
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
    assert!(output.stdout.is_empty(), "{said}");
    text(&output.stderr)
}

/// One line that names all of these.
#[track_caller]
fn names(said: &str, words: &[&str]) {
    println!("{}", said.trim_end());
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is missing: {said}");
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Nobody answers: the message says how.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let url = format!("postgres://someone:{PASSWORD}@no-such-host.invalid/kapsel");
    names(&refusal(folder().path(), &url, &[]).await, &["opening the database", "cannot be reached"]);

    // Nobody listens on a port that was just given back.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://someone:{PASSWORD}@127.0.0.1:{port}/kapsel");
    names(&refusal(folder().path(), &url, &[]).await, &["cannot be reached", "refused"]);
}

/// Somebody answers, and it is no good: a wrong password, a missing database, a database that may lose what it
/// confirmed, a missing right.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_must_not_be_used_is_refused_with_the_reason() {
    let database = Database::own(&[("fsync", "off")]).await;
    let roles = format!(
        "CREATE ROLE mallory LOGIN PASSWORD 'another'; CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}';
         REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    );
    database.sql(roles).await;
    let url_for = |role: &str, name: &str| database.cluster.url_for(role, PASSWORD, name);
    let unsafe_too = [("KAPSEL_ALLOW_UNSAFE_DATABASE", "true")];

    let said = refusal(folder().path(), &url_for("mallory", &database.name), &[]).await;
    names(&said, &["refuses the login", "password", "mallory"]);

    let said = refusal(folder().path(), &url_for("reader", "no_such_database"), &[]).await;
    names(&said, &["refuses the login", "no_such_database"]);

    let said = refusal(folder().path(), &url_for("reader", &database.name), &[]).await;
    names(&said, &["fsync=off", "KAPSEL_ALLOW_UNSAFE_DATABASE"]);

    // With an unsafe database allowed, there is a warning in front.
    let said = refusal(folder().path(), &url_for("reader", &database.name), &unsafe_too).await;
    let (warning, reason) = said.split_once('\n').unwrap();
    names(warning, &["WARN", "fsync=off"]);
    names(reason, &["lacks a right", "reader", "create tables"]);
}

/// Two processes with one folder would take each other's leases for their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_owner_beside_a_database_too() {
    let database = Database::shared().await;
    let folder = folder();
    let url = database.url();
    let first = Program::start_with(folder.path(), &[("DATABASE_URL", &url)]).await;
    let said = refusal(folder.path(), &url, &[]).await;
    names(&said, &[folder.path().to_str().unwrap(), "in use by another Kapsel process"]);
    assert!(first.terminate().await.success());
    let second = Program::start_with(folder.path(), &[("DATABASE_URL", &url)]).await;
    assert!(second.terminate().await.success());
}

/// Instances that share a database share the key of its secrets.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_needs_the_master_key_of_the_first() {
    let database = Database::shared().await;
    let (one, two) = (folder(), folder());
    let url = database.url();
    let own_key = ("KAPSEL_MASTER_KEY", "");
    let first = Program::start_with(one.path(), &[("DATABASE_URL", &url), own_key]).await;
    let said = refusal(two.path(), &url, &[]).await;
    // The log may have a word of the driver's in front.
    let reason = said.trim_end().lines().last().unwrap();
    names(reason, &["opening the secrets", "master key", "which is not configured", "KAPSEL_MASTER_KEY"]);

    std::fs::copy(one.path().join("master-key"), two.path().join("master-key")).unwrap();
    let second = Program::start_with(two.path(), &[("DATABASE_URL", &url), own_key]).await;
    for program in [first, second] {
        assert!(program.terminate().await.success());
    }
}
