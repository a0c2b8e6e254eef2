//! What can go wrong in xtask itself, and a check that has found something.

use std::error::Error as _;
use std::fmt;
use std::io;

/// Why a step did not pass.
#[derive(Debug)]
pub(crate) enum Error {
    /// The check ran and found this; the text is complete sentences for the user.
    Found(String),
    /// Something could not be done with a file or a program; the text says what.
    Io(String, io::Error),
    /// `cargo metadata` failed.
    Metadata(cargo_metadata::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Found(text) => f.write_str(text),
            Error::Io(what, _) => write!(f, "cannot {what}"),
            Error::Metadata(_) => f.write_str("cargo metadata failed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Found(_) => None,
            Error::Io(_, source) => Some(source),
            Error::Metadata(source) => Some(source),
        }
    }
}

/// Gives an I/O error its sentence: `read(path).map_err(io_error(|| format!("read {path}")))`.
pub(crate) fn io_error(what: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io(what(), source)
}

/// The error and its causes, one after the other.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
