//! Why a store cannot be opened, in words for the person who starts it.

use std::io;
use std::path::PathBuf;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another store has the folder open, in this process or in another one.
    #[error(
        "the data folder {} is in use by another Kapsel process; stop that one, or give this one a folder of its own",
        folder.display()
    )]
    FolderInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder cannot be made, read or written.
    #[error("the data folder {} cannot be used", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The data was written by a newer Kapsel.
    #[error(
        "the data has schema version {found}, this Kapsel knows versions up to {supported}: start the newer Kapsel that \
         wrote it"
    )]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version that this program knows.
        supported: i64,
    },
    /// A migration that was applied to the data is not the one that this program carries.
    #[error(
        "migration {version} ({name}) of the data is not the one that this Kapsel carries: the data was written by a \
         modified build"
    )]
    ChangedMigration {
        /// Its number.
        version: i64,
        /// Its name in the data.
        name: String,
    },
    /// The SQLite library is one that can damage a database in WAL mode.
    #[error("SQLite {found} cannot be used: releases before 3.51.3 can damage the database")]
    OldSqlite {
        /// The version of the library.
        found: &'static str,
    },
    /// SQLite cannot open or prepare the database.
    #[error("the database {} cannot be opened", file.display())]
    Sqlite {
        /// The file.
        file: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A check of the database found damage.
    #[error("the database {} is damaged: {finding}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The first thing found.
        finding: String,
    },
    /// The system gave no thread for the writer.
    #[error("the writer's thread cannot be started")]
    Thread(#[source] io::Error),
}
