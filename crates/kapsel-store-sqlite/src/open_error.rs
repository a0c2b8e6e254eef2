//! Why a store cannot be opened, in words for the person who starts it.

use std::io;
use std::path::PathBuf;

use kapsel_store::schema::SchemaMismatch;

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
    /// Program and data do not fit together.
    #[error(transparent)]
    Schema(SchemaMismatch),
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
