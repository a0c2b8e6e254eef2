//! What can go wrong, in the words of the storage contract.

use std::time::Duration;

use kapsel_store::StoreError;
use tokio_postgres::error::SqlState;

use crate::driver_error::DriverError;

/// Why a piece of work on a connection ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Already in the words of the contract.
    Store(StoreError),
    /// As PostgreSQL or its driver said it.
    Postgres(DriverError),
    /// It took longer than it may.
    TimedOut(Duration),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::Postgres(error.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::Postgres(error) => store_error(error),
            Failure::TimedOut(after) => {
                StoreError::unavailable("the database did not answer in time", format!("no answer within {after:?}"))
            }
        }
    }
}

impl Failure {
    /// Whether the same work may succeed at once: two transactions were in each other's way, and one had to go.
    pub(crate) fn is_collision(&self) -> bool {
        let code = match self {
            Failure::Postgres(error) => error.code(),
            Failure::Store(_) | Failure::TimedOut(_) => None,
        };
        code.is_some_and(|code| {
            *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE
        })
    }

    /// Whether something that may be there once is there already.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Failure::Postgres(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }
}

/// What cannot be understood.
pub(crate) fn corrupt(what: &'static str, cause: impl Into<kapsel_store::error::Cause>) -> Failure {
    Failure::Store(StoreError::corrupt(what, cause))
}

/// The store was closed.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable { message: "the store is closed", cause: None }
}

/// Puts an error of PostgreSQL into the words of the contract, by what the caller can do next. Where the connection
/// broke, whether a commit took place is unknown; that is [`StoreError::Unavailable`] as well.
fn store_error(error: DriverError) -> StoreError {
    let Some(code) = error.code() else {
        if error.is_of_the_connection() {
            return StoreError::unavailable("the connection to the database was lost", error);
        }
        // A column that does not hold what the code expects.
        return StoreError::corrupt("a stored value has an unexpected form", error);
    };
    // The first two characters are the class (PostgreSQL manual, appendix A).
    let message = match (code.code().get(..2).unwrap_or(""), code) {
        (_, code) if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
            return StoreError::corrupt("the database is damaged", error);
        }
        // The data itself is refused: repeating it does not help.
        ("22" | "23" | "54", _) => return StoreError::corrupt("the database refuses the data", error),
        (_, code) if *code == SqlState::DISK_FULL => "the database's disk is full",
        (_, code) if *code == SqlState::TOO_MANY_CONNECTIONS => "the database has no connection left",
        (_, code) if *code == SqlState::OUT_OF_MEMORY => "the database ran out of memory",
        (_, code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => "the database user lacks a right",
        (_, code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => "the database is read-only",
        (_, code) if *code == SqlState::QUERY_CANCELED => "the database did not answer in time",
        (_, code) if *code == SqlState::LOCK_NOT_AVAILABLE => "a lock of the database was not free in time",
        ("08" | "57", _) => "the database is shutting down or starting",
        ("53" | "58", _) => "the database lacks a resource",
        ("28", _) => "the database refuses the login",
        ("40", _) => "two transactions were in each other's way",
        _ => "the database refused a statement",
    };
    StoreError::unavailable(message, error)
}
