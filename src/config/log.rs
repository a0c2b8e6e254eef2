//! The log.

use super::Args;
use super::sources::{ConfigError, Setting, Sources};

const FORMAT: Setting = Setting { key: "log_format", env: "KAPSEL_LOG_FORMAT", flag: Some("log-format") };
const FILTER: Setting = Setting { key: "log", env: "RUST_LOG", flag: None };

/// The log. It goes to standard error.
#[derive(Debug)]
pub(crate) struct LogConfig {
    /// Its form.
    pub(crate) format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`, such as `info` or `kapsel_delivery=debug,info`.
    pub(crate) filter: String,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let format = sources.read(FORMAT, args.log_format.as_deref(), "text", |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is neither text nor json".to_owned()),
        })?;
        let filter = sources.read(FILTER, None, "info", |text| {
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| text.to_owned())
                .map_err(|error| format!("is not a log filter such as info or kapsel_delivery=debug: {error}"))
        })?;
        Ok(LogConfig { format, filter })
    }
}
