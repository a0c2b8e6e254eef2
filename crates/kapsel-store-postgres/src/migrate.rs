//! Brings the schema up to date: numbered migrations, each in one transaction, each remembered with its checksum. Any
//! number of instances may start at once: whoever migrates holds the lock on one row, the others wait and find it done.

use kapsel_store::schema::{self, Applied, Migration};
use tokio_postgres::error::SqlState;

use crate::connector::API_ROLE;
use crate::error::Failure;
use crate::open_error::OpenError;
use crate::rows::get;
use crate::session::Session;
use crate::statements as sql;

/// All migrations in their order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "0001_initial", sql: include_str!("../migrations/0001_initial.sql") },
    Migration { version: 2, name: "0002_circuits", sql: include_str!("../migrations/0002_circuits.sql") },
    Migration { version: 3, name: "0003_replays", sql: include_str!("../migrations/0003_replays.sql") },
    Migration { version: 4, name: "0004_attestation", sql: include_str!("../migrations/0004_attestation.sql") },
    Migration { version: 5, name: "0005_tenants", sql: include_str!("../migrations/0005_tenants.sql") },
    Migration { version: 6, name: "0006_sealing", sql: include_str!("../migrations/0006_sealing.sql") },
    Migration { version: 7, name: "0007_replies", sql: include_str!("../migrations/0007_replies.sql") },
    Migration { version: 8, name: "0008_statistics", sql: include_str!("../migrations/0008_statistics.sql") },
    Migration { version: 9, name: "0009_erasure", sql: include_str!("../migrations/0009_erasure.sql") },
    Migration { version: 10, name: "0010_hash_buckets", sql: include_str!("../migrations/0010_hash_buckets.sql") },
];

/// How often a definition is tried again that another instance was making at the same moment.
const TRIES_MAX: u32 = 20;

/// Checks what was applied and applies what is missing, as the database user `user`.
///
/// # Errors
/// [`OpenError`]; what was applied before the error stays applied, step by step.
pub(crate) async fn migrate(session: &Session, user: &str, migrations: &[Migration]) -> Result<(), OpenError> {
    let in_schema = |failure| lacking(failure, || format!("an administrator has to let {user} create tables there"));
    define(session, sql::MIGRATION_TABLE.sql).await.map_err(in_schema)?;
    let lock_row = "INSERT INTO schema_migrations (version, name, checksum) VALUES (0, 'lock', '') \
                    ON CONFLICT (version) DO NOTHING";
    session.run(lock_row).await.map_err(in_schema)?;
    // Before anything is changed for a program that does not fit.
    schema::missing(migrations, &applied(session).await.map_err(OpenError::database)?).map_err(OpenError::Schema)?;
    make_api_role(session, user).await?;
    loop {
        session.run("BEGIN").await.map_err(OpenError::database)?;
        let step = apply_next(session, migrations).await;
        session.run(if step.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.map_err(OpenError::database)?;
        match step {
            Ok(Some(name)) => tracing::info!(name, "applied a schema migration"),
            Ok(None) => return require_owner(session).await,
            Err(error) => return Err(error),
        }
    }
}

/// Behind row-level security, somebody else than the owner sees empty tables instead of an error: what is queued would
/// never be delivered.
async fn require_owner(session: &Session) -> Result<(), OpenError> {
    let is_bound = "SELECT bool_or(row_security_active(t)) FROM unnest(ARRAY['endpoints', 'events', 'queue']) t";
    match session.text(is_bound).await.map_err(OpenError::database)?.as_deref() {
        Some("t") => Err(OpenError::Rights {
            remedy: "the tables belong to another one; connect as their owner".to_owned(),
            source: "row-level security would hide what is queued".into(),
        }),
        _ => Ok(()),
    }
}

/// Applies the first migration that is missing and returns its name.
async fn apply_next(session: &Session, migrations: &[Migration]) -> Result<Option<&'static str>, OpenError> {
    session.query(&sql::MIGRATION_LOCK, &[]).await.map_err(OpenError::database)?;
    let applied = applied(session).await.map_err(OpenError::database)?;
    let missing = schema::missing(migrations, &applied).map_err(OpenError::Schema)?;
    let Some(Migration { version, name, sql }) = missing.first() else { return Ok(None) };
    session.run(sql).await.map_err(OpenError::database)?;
    let checksum = missing[0].checksum();
    session
        .execute(&sql::MIGRATION_INSERT, &[version, name, &checksum.as_slice()])
        .await
        .map_err(OpenError::database)?;
    Ok(Some(name))
}

async fn applied(session: &Session) -> Result<Vec<Applied>, Failure> {
    let rows = session.query(&sql::MIGRATION_LIST, &[]).await?;
    let applied = |row| Ok(Applied { version: get(row, 0)?, name: get(row, 1)?, checksum: get(row, 2)? });
    rows.iter().map(applied).collect()
}

/// Makes the role of the management API, which all databases of a server share, and lets `user` take it on.
async fn make_api_role(session: &Session, user: &str) -> Result<(), OpenError> {
    let by_hand =
        || format!("let an administrator run: CREATE ROLE {API_ROLE} NOLOGIN; GRANT {API_ROLE} TO {}", quoted(user));
    let rights = |failure| lacking(failure, by_hand);
    let exists = format!("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = '{API_ROLE}'");
    if session.text(&exists).await.map_err(OpenError::database)?.is_none() {
        define(session, &format!("CREATE ROLE {API_ROLE} NOLOGIN")).await.map_err(rights)?;
    }
    // Tried and not asked for: since PostgreSQL 16 who made a role is its member and may not take it on all the same.
    if session.run(&format!("SET ROLE {API_ROLE}")).await.is_ok() {
        session.run("RESET ROLE").await.map_err(OpenError::database)?;
    } else {
        define(session, &format!("GRANT {API_ROLE} TO CURRENT_USER")).await.map_err(rights)?;
    }
    let schema = session.text("SELECT pg_catalog.quote_ident(current_schema())").await.map_err(OpenError::database)?;
    let schema = schema.unwrap_or_else(|| "public".to_owned());
    let can_use = format!("SELECT pg_catalog.has_schema_privilege('{API_ROLE}', current_schema(), 'USAGE')");
    if session.text(&can_use).await.map_err(OpenError::database)?.as_deref() != Some("t") {
        define(session, &format!("GRANT USAGE ON SCHEMA {schema} TO {API_ROLE}")).await.map_err(|failure| {
            lacking(failure, || format!("let its owner run: GRANT USAGE ON SCHEMA {schema} TO {API_ROLE}"))
        })?;
    }
    Ok(())
}

/// Runs a definition. Two instances that make the same thing at the same moment get errors of many kinds; then it is
/// there, or it is tried again.
async fn define(session: &Session, statement: &str) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let Err(failure) = session.run(statement).await else { return Ok(()) };
        let code = match &failure {
            Failure::Postgres(error) => error.code().cloned(),
            Failure::Store(_) | Failure::TimedOut(_) => None,
        };
        match code {
            Some(code) if code == SqlState::DUPLICATE_OBJECT || code == SqlState::DUPLICATE_TABLE => return Ok(()),
            // "tuple concurrently updated" has no code of its own.
            Some(code)
                if (code == SqlState::UNIQUE_VIOLATION || code == SqlState::INTERNAL_ERROR) && tries < TRIES_MAX =>
            {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            _ => return Err(failure),
        }
    }
}

fn lacking(failure: Failure, remedy: impl FnOnce() -> String) -> OpenError {
    match failure {
        Failure::Postgres(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            OpenError::Rights { remedy: remedy(), source: error.into() }
        }
        failure => OpenError::database(failure),
    }
}

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_one_and_names_say_so() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, version);
            assert!(migration.name.starts_with(&format!("{version:04}_")), "{}", migration.name);
        }
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("kapsel"), "\"kapsel\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
