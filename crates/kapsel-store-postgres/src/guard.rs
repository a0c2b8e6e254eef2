//! What is checked before a database is trusted.

use std::io;

use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use crate::connector::{Connector, Purpose};
use crate::error::Failure;
use crate::open_error::OpenError;
use crate::options::PostgresOptions;
use crate::session::Session;

/// The oldest release that is used.
const VERSION_MIN: u32 = 14;

/// Databases that speak PostgreSQL's protocol and name versions of their own.
const COMPATIBLE: [&str; 2] = ["CockroachDB", "YB-"];

const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Settings without which a database confirms what it may lose, and what follows.
const DURABLE: [(&str, &[&str], &str); 3] = [
    ("fsync", &["on"], "a crash of the machine can destroy it"),
    ("full_page_writes", &["on"], "a crash of the machine can leave torn pages"),
    (
        "synchronous_commit",
        &["on", "local", "remote_write", "remote_apply"],
        "commits that were confirmed can be lost in a crash",
    ),
];

/// A connection to a database that was checked. Waits for one that cannot be reached, up to the time that the options
/// allow; what waiting does not mend is said at once.
pub(crate) async fn first_session(connector: &Connector, options: &PostgresOptions) -> Result<Session, OpenError> {
    let end = Instant::now() + options.wait_max;
    let session = loop {
        match connector.connect_now(Purpose::Upkeep).await {
            Ok(session) => break session,
            Err(failure) => {
                let (error, may_pass) = refused(failure);
                if !may_pass || Instant::now() + PAUSE >= end {
                    return Err(error);
                }
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    check_version(&session).await?;
    check_settings(&session, options.allow_unsafe).await?;
    Ok(session)
}

/// Why there is no connection, and whether that may pass by itself.
fn refused(failure: Failure) -> (OpenError, bool) {
    match failure {
        Failure::Postgres(error) => {
            if let Some(code) = error.code() {
                let is_starting = *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS;
                let is_login = matches!(code.code().get(..2), Some("28" | "3D"));
                return match is_login {
                    true => (OpenError::Login(error.into()), false),
                    false => (OpenError::Unreachable(error.into()), is_starting),
                };
            }
            let may_pass = error.io_kind().is_some_and(|kind| {
                matches!(
                    kind,
                    io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::UnexpectedEof
                )
            });
            (OpenError::Unreachable(error.into()), may_pass)
        }
        Failure::TimedOut(_) => (OpenError::Unreachable(kapsel_store::StoreError::from(failure).into()), true),
        Failure::Store(error) => (OpenError::Unreachable(error.into()), true),
    }
}

async fn check_version(session: &Session) -> Result<(), OpenError> {
    let found = session.server_version().unwrap_or("unknown").to_owned();
    if is_new_enough(&found) {
        return Ok(());
    }
    let whole = session.text("SELECT version()").await.map_err(OpenError::database)?.unwrap_or_default();
    if COMPATIBLE.iter().any(|name| whole.contains(name)) { Ok(()) } else { Err(OpenError::TooOld { found }) }
}

fn is_new_enough(version: &str) -> bool {
    let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= VERSION_MIN)
}

async fn check_settings(session: &Session, allow_unsafe: bool) -> Result<(), OpenError> {
    for (setting, allowed, consequence) in DURABLE {
        let value = match session.text(&format!("SHOW {setting}")).await {
            Ok(value) => value.unwrap_or_default(),
            // A database without this setting has no way to turn it off.
            Err(Failure::Postgres(error)) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => continue,
            Err(failure) => return Err(OpenError::database(failure)),
        };
        if allowed.contains(&value.as_str()) {
            continue;
        }
        let setting = format!("{setting}={value}");
        if !allow_unsafe {
            return Err(OpenError::Unsafe { setting, consequence });
        }
        tracing::warn!(setting, consequence, "the database is not safe; this is for experiments only");
    }
    let encoding = session.text("SHOW server_encoding").await.map_err(OpenError::database)?.unwrap_or_default();
    // What is not text in UTF-8 could not be stored and read back.
    if encoding.eq_ignore_ascii_case("UTF8") { Ok(()) } else { Err(OpenError::Encoding { found: encoding }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_their_first_number() {
        for version in ["14.0", "15.18 (Debian 15.18-0+deb12u1)", "17beta1", "100"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["13.23", "9.6.24", "", "unknown", "v14"] {
            assert!(!is_new_enough(version), "{version}");
        }
    }
}
