//! Where data is kept.

use std::path::PathBuf;

use super::Args;
use super::sources::{ConfigError, Setting, Sources};

const DATA_DIR: Setting = Setting { key: "data_dir", env: "KAPSEL_DATA_DIR", flag: Some("data-dir") };
const DATABASE_URL: Setting = Setting { key: "database_url", env: "DATABASE_URL", flag: None };

/// Where data is kept.
#[derive(Debug)]
pub(crate) struct StorageConfig {
    /// The folder that holds everything.
    pub(crate) folder: PathBuf,
}

impl StorageConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let folder = sources.read(DATA_DIR, args.data_dir.as_deref(), "./kapsel-data", |text| {
            if text.is_empty() { Err("is not a folder".to_owned()) } else { Ok(PathBuf::from(text)) }
        })?;
        // Whoever sets it expects PostgreSQL; storing elsewhere without a word would be a surprise in production.
        sources.read_secret(DATABASE_URL, "(not set: embedded engine)", |_| {
            Err::<(), _>("this version has the embedded engine only; unset it to store in the data folder".to_owned())
        })?;
        Ok(StorageConfig { folder })
    }
}
