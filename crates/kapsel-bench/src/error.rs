//! What can keep the tool from measuring, and the exit code that goes with it.

use std::path::PathBuf;

/// Why a run could not be made, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// What was asked for cannot be done.
    #[error("{0}")]
    Usage(String),
    /// An operation of the system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program that was started, or is measured, did not do what it should.
    #[error("{0}")]
    Program(String),
    /// PostgreSQL refused something.
    #[error("PostgreSQL, {what}: {source}")]
    Postgres {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A plot could not be drawn.
    #[error("drawing a plot: {0}")]
    Plot(String),
    /// The whole run has a limit of time, and it is over.
    #[error("the overall limit of {0} s is over")]
    TimeLimit(u64),
    /// Somebody pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err`: an operation of the system that failed.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::Io { what: what.into(), source }
    }

    /// For `map_err`: a file that cannot be used.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Error::File { path: path.into(), source }
    }

    /// For `map_err`: a request to PostgreSQL that failed.
    pub(crate) fn postgres(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Error::Postgres { what, source }
    }
}

/// Everything went well, and nothing was lost.
pub(crate) const EXIT_OK: u8 = 0;
/// Something that had been accepted was not delivered.
pub(crate) const EXIT_LOST: u8 = 1;
/// It could not be measured.
pub(crate) const EXIT_FAILED: u8 = 2;
/// Ctrl-C; as shells have it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
