//! Store errors, told apart by what the caller does next.

/// What keeps the stored cause: the driver's own error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object, or it belongs to another tenant.
    #[error("not found")]
    NotFound,
    /// The object is not in the state that the call presupposes. The text says which, for people.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// The store cannot do it now; it may be able to later. Nothing is known to be lost, but **whether a write took
    /// place may be unknown**: send the same values with the same ids again.
    #[error("store unavailable: {message}")]
    Unavailable {
        /// What was tried.
        message: &'static str,
        /// The driver's error.
        #[source]
        cause: Option<Cause>,
    },
    /// What is stored cannot be understood. Repeating the call does not help.
    #[error("stored data is damaged: {message}")]
    Corrupt {
        /// Which data.
        message: &'static str,
        /// What the reader said.
        #[source]
        cause: Option<Cause>,
    },
}

impl StoreError {
    /// [`StoreError::Unavailable`] with its cause.
    pub fn unavailable(message: &'static str, cause: impl Into<Cause>) -> Self {
        StoreError::Unavailable { message, cause: Some(cause.into()) }
    }

    /// [`StoreError::Corrupt`] with its cause.
    pub fn corrupt(message: &'static str, cause: impl Into<Cause>) -> Self {
        StoreError::Corrupt { message, cause: Some(cause.into()) }
    }
}

/// An error with everything it was caused by, in one line, for the log.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
