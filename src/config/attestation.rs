//! The log of attempts: its name and its keys.

use std::path::{Path, PathBuf};

use kapsel_attestation::SecretKey;
use kapsel_verification::key::is_key_name;

use super::Args;
use super::sources::{ConfigError, Setting, Sources};

const ORIGIN: Setting =
    Setting { key: "attestation_origin", env: "KAPSEL_ATTESTATION_ORIGIN", flag: Some("attestation-origin") };
const KEY_FOLDER: Setting =
    Setting { key: "attestation_key_dir", env: "KAPSEL_ATTESTATION_KEY_DIR", flag: Some("attestation-key-dir") };
pub(crate) const ATTESTATION_KEY: Setting =
    Setting { key: "attestation_key", env: "KAPSEL_ATTESTATION_KEY", flag: None };

/// Where keys are kept inside of the data folder.
const KEY_FOLDER_NAME: &str = "attestation-keys";

/// The log of attempts: its name and its keys.
#[derive(Debug)]
pub(crate) struct AttestationConfig {
    /// The name that the log gets when it is made; without one, it is called by its id.
    pub(crate) origin: Option<String>,
    /// The folder of the keys that sign it.
    pub(crate) key_folder: PathBuf,
    /// Keys that stand in the configuration itself; then the folder is not looked at.
    pub(crate) keys: Option<Vec<SecretKey>>,
}

impl AttestationConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args, data_folder: &Path) -> Result<Self, ConfigError> {
        let origin = sources.read(ORIGIN, args.attestation_origin.as_deref(), "", |text| match text {
            "" => Ok(None),
            name if is_key_name(name) => Ok(Some(name.to_owned())),
            _ => Err("must be a name such as hooks.example.com/kapsel, without spaces and plus signs".to_owned()),
        })?;
        let default = data_folder.join(KEY_FOLDER_NAME);
        let key_folder =
            sources.read(KEY_FOLDER, args.attestation_key_dir.as_deref(), &default.to_string_lossy(), |text| {
                if text.is_empty() { Err("is not a folder".to_owned()) } else { Ok(PathBuf::from(text)) }
            })?;
        let keys = sources.read_secret(ATTESTATION_KEY, "(not set: kept in the key folder)", |text| {
            let parse = |text| SecretKey::parse(text, "a key in it").map_err(|error| error.to_string());
            text.split_ascii_whitespace().map(parse).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(AttestationConfig { origin, key_folder, keys })
    }
}
