//! Numbered migrations: which of them a database has, and which it lacks. Engines run the statements.

use sha2::{Digest as _, Sha256};

/// One step of a schema. Never changed once released; a later step corrects an earlier one.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub version: i64,
    /// Its file's name.
    pub name: &'static str,
    /// Its statements.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of its statements.
    pub fn checksum(&self) -> [u8; 32] {
        Sha256::digest(self.sql).into()
    }
}

/// A migration that a database remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its number.
    pub version: i64,
    /// Its name at that time.
    pub name: String,
    /// The checksum of what was applied.
    pub checksum: Vec<u8>,
}

/// Why a program and a database do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaMismatch {
    /// A newer program wrote the data.
    #[error(
        "the data has schema version {found}, this Kapsel knows versions up to {supported}: start the newer Kapsel that \
         wrote it"
    )]
    Newer {
        /// The version found.
        found: i64,
        /// The newest version known.
        supported: i64,
    },
    /// A migration is not the one that was applied.
    #[error(
        "migration {version} ({name}) of the data is not the one of this Kapsel: the data was written by a modified build"
    )]
    Changed {
        /// Its number.
        version: i64,
        /// Its name in the data.
        name: String,
    },
}

/// The migrations that a database with `applied` ones lacks, in their order.
///
/// # Errors
/// [`SchemaMismatch`].
pub fn missing<'a>(known: &'a [Migration], applied: &[Applied]) -> Result<&'a [Migration], SchemaMismatch> {
    let last = applied.last().map_or(0, |applied| applied.version);
    for applied in applied {
        let Some(migration) = known.iter().find(|migration| migration.version == applied.version) else {
            let supported = known.last().map_or(0, |migration| migration.version);
            return Err(SchemaMismatch::Newer { found: last, supported });
        };
        if migration.checksum().as_slice() != applied.checksum.as_slice() {
            return Err(SchemaMismatch::Changed { version: applied.version, name: applied.name.clone() });
        }
    }
    let first = known.partition_point(|migration| migration.version <= last);
    Ok(&known[first..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { version: 1, name: "0001_a", sql: "a" };
    const SECOND: Migration = Migration { version: 2, name: "0002_b", sql: "b" };

    fn applied(migration: &Migration) -> Applied {
        let Migration { version, name, .. } = *migration;
        Applied { version, name: name.to_owned(), checksum: migration.checksum().to_vec() }
    }

    #[test]
    fn what_was_not_applied_is_missing() {
        let versions = |done: &[Applied]| -> Vec<i64> {
            missing(&[FIRST, SECOND], done).unwrap().iter().map(|migration| migration.version).collect()
        };
        assert_eq!(versions(&[]), [1, 2]);
        assert_eq!(versions(&[applied(&FIRST)]), [2]);
        assert!(versions(&[applied(&FIRST), applied(&SECOND)]).is_empty());
    }

    #[test]
    fn a_newer_or_changed_schema_does_not_fit() {
        let newer = missing(&[FIRST], &[applied(&FIRST), applied(&SECOND)]).unwrap_err();
        assert_eq!(newer, SchemaMismatch::Newer { found: 2, supported: 1 });
        let other = Migration { sql: "c", ..FIRST };
        let changed = missing(&[other, SECOND], &[applied(&FIRST)]).unwrap_err();
        assert_eq!(changed, SchemaMismatch::Changed { version: 1, name: "0001_a".to_owned() });
    }
}
