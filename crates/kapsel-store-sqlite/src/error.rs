//! What can go wrong, in the words of the storage contract.

use std::fmt;
use std::sync::Arc;

use kapsel_store::StoreError;
use rusqlite::ErrorCode;

/// Why a piece of work on a connection ended early: a word of the contract, or an error of SQLite that has yet to be
/// put into one.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Already in the words of the contract.
    Store(StoreError),
    /// As SQLite said it.
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sqlite(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Sqlite(error) => store_error(Arc::new(error)),
        }
    }
}

impl Failure {
    /// Whether it casts doubt on the connection itself, which is then closed and opened anew.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        let code = match self {
            Failure::Store(_) => None,
            Failure::Sqlite(error) => error.sqlite_error_code(),
        };
        matches!(
            code,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::NotADatabase | ErrorCode::ReadOnly)
        )
    }
}

/// One error as the cause of many: each caller of a shared transaction gets it.
#[derive(Debug)]
struct SharedCause(Arc<rusqlite::Error>);

impl fmt::Display for SharedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Puts an error of SQLite into the words of the contract, by what the caller can do next.
pub(crate) fn store_error(error: Arc<rusqlite::Error>) -> StoreError {
    use rusqlite::Error;
    let message = match (error.sqlite_error_code(), error.as_ref()) {
        (Some(ErrorCode::DiskFull), _) => "the disk is full",
        (Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen), _) => "the disk failed",
        (Some(ErrorCode::ReadOnly), _) => "the data folder cannot be written",
        (Some(ErrorCode::OutOfMemory), _) => "memory ran out",
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => "the database is locked",
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _) => {
            return StoreError::corrupt("the database file is damaged", SharedCause(error));
        }
        (
            None,
            Error::FromSqlConversionFailure(..) | Error::InvalidColumnType(..) | Error::IntegralValueOutOfRange(..),
        ) => return StoreError::corrupt("a stored value has an unexpected form", SharedCause(error)),
        _ => "SQLite refused a statement",
    };
    StoreError::unavailable(message, SharedCause(error))
}

/// The store was closed, or its writer ended.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable { message: "the store is closed", cause: None }
}
