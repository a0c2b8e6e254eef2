//! The commands of the program, one file each.

pub(crate) mod check_config;
pub(crate) mod demo;
pub(crate) mod fsck;
pub(crate) mod keys;
pub(crate) mod listen;
pub(crate) mod migrate;
mod receiver;
pub(crate) mod serve;

use std::fmt;

use crate::config::ConfigError;

/// Why a command ended without doing what it is for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration or the arguments are wrong. Exit code 2.
    Config(ConfigError),
    /// It could not be done. Exit code 1.
    Runtime {
        /// What was tried.
        doing: &'static str,
        /// What went wrong.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Failure {
    /// A failure while doing something, with its cause.
    pub(crate) fn runtime(doing: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Failure {
        move |cause| Failure::Runtime { doing, cause }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) => 2,
            Failure::Runtime { .. } => 1,
        }
    }
}

impl fmt::Display for Failure {
    /// One line that holds the whole chain of causes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Config(error) => write!(f, "{error}"),
            Failure::Runtime { doing, cause } => {
                write!(f, "{doing}: {cause}")?;
                let mut last = cause.to_string();
                let mut next = cause.source();
                while let Some(error) = next {
                    // Some errors already end with their source's text.
                    let text = error.to_string();
                    if !last.ends_with(&text) {
                        write!(f, ": {text}")?;
                    }
                    last = text;
                    next = error.source();
                }
                Ok(())
            }
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::Config(error)
    }
}

/// The asynchronous runtime of the long-running commands.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime { doing: "starting the runtime", cause: error.into() })
}
