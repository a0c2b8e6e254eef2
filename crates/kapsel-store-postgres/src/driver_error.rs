//! What the driver said, without what it quotes.
//!
//! PostgreSQL puts the refused row into the details of its errors: headers, bodies, secrets. Errors are logged. So of an
//! error of the server only its class, its code, its message and the names of what it is about are kept, and the error
//! itself goes no further than here.

use std::fmt;
use std::io;

use tokio_postgres::error::SqlState;

/// An error of the server or of the connection to it.
pub(crate) struct DriverError {
    code: Option<SqlState>,
    io_kind: Option<io::ErrorKind>,
    is_closed: bool,
    text: String,
}

impl DriverError {
    /// The server's code, if the server said it.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        self.code.as_ref()
    }

    /// What the system said of the connection.
    pub(crate) fn io_kind(&self) -> Option<io::ErrorKind> {
        self.io_kind
    }

    /// Whether the connection is at fault and not what was sent over it.
    pub(crate) fn is_of_the_connection(&self) -> bool {
        self.is_closed || self.io_kind.is_some()
    }
}

impl From<tokio_postgres::Error> for DriverError {
    fn from(error: tokio_postgres::Error) -> Self {
        let mut text = String::new();
        match error.as_db_error() {
            Some(said) => {
                text = format!("{}: {} ({})", said.severity(), said.message(), said.code().code());
                for (word, name) in [("table", said.table()), ("constraint", said.constraint())] {
                    if let Some(name) = name {
                        text.push_str(&format!(", {word} {name}"));
                    }
                }
            }
            // The driver's own errors name places and never values.
            None => {
                let mut next: Option<&dyn std::error::Error> = Some(&error);
                while let Some(cause) = next {
                    let said = cause.to_string();
                    if !text.ends_with(&said) {
                        if !text.is_empty() {
                            text.push_str(": ");
                        }
                        text.push_str(&said);
                    }
                    next = cause.source();
                }
            }
        }
        DriverError { code: error.code().cloned(), io_kind: io_kind(&error), is_closed: error.is_closed(), text }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DriverError").field(&self.text).finish()
    }
}

impl std::error::Error for DriverError {}

fn io_kind(error: &tokio_postgres::Error) -> Option<io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        source = cause.source();
    }
    None
}
