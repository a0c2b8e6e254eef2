//! Brings the schema up to date: numbered migrations, each in one transaction, each remembered with its checksum.

use kapsel_store::schema::{self, Applied, Migration, SchemaMismatch};
use rusqlite::{Connection, TransactionBehavior, params};

use crate::statements;

/// All migrations of a store in their order.
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
    Migration { version: 11, name: "0011_queue", sql: include_str!("../migrations/0011_queue.sql") },
    Migration {
        version: 12,
        name: "0012_events_of_endpoints",
        sql: include_str!("../migrations/0012_events_of_endpoints.sql"),
    },
];

/// All migrations of a spool, which is a database of its own.
pub(crate) const SPOOL_MIGRATIONS: &[Migration] =
    &[Migration { version: 1, name: "0001_spool", sql: include_str!("../migrations/spool/0001_spool.sql") }];

/// Why the schema cannot be brought up to date.
#[derive(Debug)]
pub(crate) enum MigrateError {
    /// Program and data do not fit together.
    Schema(SchemaMismatch),
    /// SQLite failed.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for MigrateError {
    fn from(error: rusqlite::Error) -> Self {
        MigrateError::Sqlite(error)
    }
}

/// Checks what was applied and applies what is missing.
///
/// # Errors
/// [`MigrateError`]; what was applied before the error stays applied, step by step.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), MigrateError> {
    connection.execute_batch(statements::MIGRATION_TABLE)?;
    let applied = applied(connection)?;
    for migration in schema::missing(migrations, &applied).map_err(MigrateError::Schema)? {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        let checksum = migration.checksum();
        transaction.execute(statements::MIGRATION_INSERT, params![migration.version, migration.name, checksum])?;
        transaction.commit()?;
        tracing::info!(version = migration.version, name = migration.name, "applied a schema migration");
    }
    Ok(())
}

fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let mut statement = connection.prepare(statements::MIGRATION_LIST)?;
    let rows = statement
        .query_map([], |row| Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? }))?;
    rows.collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::Row;

    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "0001_a", sql: "CREATE TABLE a (x INTEGER) STRICT;" };
    const SECOND: Migration = Migration { version: 2, name: "0002_b", sql: "CREATE TABLE b (x INTEGER) STRICT;" };

    /// Everything that a statement finds, as `row` reads it.
    fn all<T>(connection: &Connection, text: &str, row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
        connection.prepare(text).unwrap().query_map([], row).unwrap().map(Result::unwrap).collect()
    }

    fn tables(connection: &Connection) -> Vec<String> {
        all(connection, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1", |row| row.get(0))
    }

    #[test]
    fn applies_each_migration_once_and_goes_on_from_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(tables(&connection), ["a", "b", "schema_migrations"]);
    }

    #[test]
    fn refuses_a_newer_schema() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = migrate(&mut connection, &[FIRST]).unwrap_err();
        assert!(matches!(error, MigrateError::Schema(SchemaMismatch::Newer { found: 2, supported: 1 })), "{error:?}");
    }

    #[test]
    fn refuses_a_changed_migration() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        let changed = Migration { sql: "CREATE TABLE a (y INTEGER) STRICT;", ..FIRST };
        let error = migrate(&mut connection, &[changed, SECOND]).unwrap_err();
        assert!(
            matches!(&error, MigrateError::Schema(SchemaMismatch::Changed { version: 1, name }) if name == "0001_a"),
            "{error:?}"
        );
        assert_eq!(tables(&connection), ["a", "schema_migrations"]);
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken =
            Migration { sql: "CREATE TABLE b (x INTEGER) STRICT; CREATE TABLE b (x INTEGER) STRICT;", ..SECOND };
        let error = migrate(&mut connection, &[FIRST, broken]).unwrap_err();
        assert!(matches!(error, MigrateError::Sqlite(_)), "{error:?}");
        assert_eq!(tables(&connection), ["a", "schema_migrations"]);
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(tables(&connection), ["a", "b", "schema_migrations"]);
    }

    /// Wherever an older program left off.
    #[test]
    fn every_earlier_schema_is_brought_up_to_date() {
        let migrated = |connection: &mut Connection| {
            migrate(connection, MIGRATIONS).unwrap();
            tables(connection)
        };
        let expected = migrated(&mut Connection::open_in_memory().unwrap());
        for done in 1..MIGRATIONS.len() {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, &MIGRATIONS[..done]).unwrap();
            connection.execute("UPDATE pulse SET beats = 7", []).unwrap();
            assert_eq!(migrated(&mut connection), expected);
            let beats: i64 = connection.query_row("SELECT beats FROM pulse", [], |row| row.get(0)).unwrap();
            assert_eq!(beats, 7, "what was there stays");
        }
    }

    /// What waits and what is leased stays what it is, in the new shape.
    #[test]
    fn the_queue_of_an_earlier_schema_is_kept() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &MIGRATIONS[..10]).unwrap();
        for number in 0..1_000 {
            // Four tenants, seven endpoints; each third one is leased.
            let row =
                "INSERT INTO queue VALUES (unhex(printf('%032x', ?1 % 7)), 10000 - ?1, unhex(printf('%032x', ?1)),
                randomblob(16), unhex(printf('%032x', ?1 % 4)), iif(?1 % 3 = 0, zeroblob(16), NULL),
                iif(?1 % 3 = 0, ?1, NULL), ?1 % 5, ?1 % 2, ?1)";
            connection.execute(row, [number]).unwrap();
        }
        let rows = |connection: &Connection| -> Vec<Vec<rusqlite::types::Value>> {
            let columns = "endpoint_id, due_at, delivery_id, event_id, tenant_id, lease_owner, lease_token, \
                attempts_total, attempts_made, size_bytes";
            let text = format!("SELECT {columns} FROM queue ORDER BY delivery_id");
            all(connection, &text, |row| (0..10).map(|column| row.get(column)).collect())
        };
        let count = |connection: &Connection, text: &str| -> i64 {
            connection.query_row(&format!("SELECT count(*) FROM queue {text}"), [], |row| row.get(0)).unwrap()
        };
        let before = rows(&connection);
        assert_eq!(before.len(), 1_000);
        migrate(&mut connection, MIGRATIONS).unwrap();
        assert_eq!(rows(&connection), before);
        assert_eq!(count(&connection, "WHERE is_leased = 1 AND lease_token IS NOT NULL"), 334);
        assert_eq!(count(&connection, "INDEXED BY queue_lanes WHERE is_leased = 0 AND lease_token IS NULL"), 666);
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        assert!(!tables(&connection).contains(&"former_queue".to_owned()));
    }

    /// Events are listed by endpoint as before, those of an unknown one as well.
    #[test]
    fn the_events_of_an_earlier_schema_keep_their_endpoints() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &MIGRATIONS[..11]).unwrap();
        for number in 0..6 {
            // Two tenants, three endpoints each.
            let row =
                "INSERT INTO endpoints VALUES (unhex(printf('%032x', ?1)), unhex(printf('%032x', ?1 % 2)), '', x'',
                'enabled', NULL, 0, 0, 0, NULL, ?1)";
            connection.execute(row, [number]).unwrap();
        }
        for number in 0..1_000 {
            // Of these endpoints in turns, and of a seventh that is not there.
            let row =
                "INSERT INTO events VALUES (unhex(printf('%032x', ?1 % 7 % 2)), unhex(printf('%032x', 5 * ?1 % 1001)),
                unhex(printf('%032x', ?1 % 7)), 0, 0, NULL, NULL, x'', x'', x'', NULL)";
            connection.execute(row, [number]).unwrap();
        }
        let rows = |connection: &Connection, text: &str| -> Vec<[Vec<u8>; 3]> {
            all(connection, text, |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        };
        let before = rows(&connection, "SELECT tenant_id, endpoint_id, id FROM events ORDER BY 1, 2, 3");
        assert_eq!(before.len(), 1_000);
        migrate(&mut connection, MIGRATIONS).unwrap();
        assert_eq!(rows(&connection, "SELECT * FROM events_of_endpoints ORDER BY 1, 2, 3"), before);
    }

    #[test]
    fn versions_count_from_one_and_names_say_so() {
        for migrations in [MIGRATIONS, SPOOL_MIGRATIONS] {
            for (migration, version) in migrations.iter().zip(1..) {
                assert_eq!(migration.version, version);
                assert!(migration.name.starts_with(&format!("{version:04}_")), "{}", migration.name);
            }
        }
    }
}
