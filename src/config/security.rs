//! Keys, and what may be reached.

use std::fmt;
use std::path::PathBuf;

use kapsel_core::AddressPolicy;
use secrecy::SecretString;

use super::Args;
use super::sources::{ConfigError, Setting, Sources, ranges};
use crate::keys::master_keys;

const ALLOW_DESTINATIONS: Setting =
    Setting { key: "allow_destinations", env: "KAPSEL_ALLOW_DESTINATIONS", flag: Some("allow-destinations") };
const OPERATOR_KEY: Setting = Setting { key: "operator_key", env: "KAPSEL_OPERATOR_KEY", flag: None };
const MASTER_KEY: Setting = Setting { key: "master_key", env: "KAPSEL_MASTER_KEY", flag: None };
const MASTER_KEY_FILE: Setting =
    Setting { key: "master_key_file", env: "KAPSEL_MASTER_KEY_FILE", flag: Some("master-key-file") };

/// The shortest operator key, in bytes.
const OPERATOR_KEY_BYTES_MIN: usize = 16;

/// Keys, and what may be reached.
#[derive(Debug)]
pub(crate) struct SecurityConfig {
    /// Which addresses may be delivered to.
    pub(crate) address_policy: AddressPolicy,
    /// The key of the management API; without it, one is kept in the data folder.
    pub(crate) operator_key: Option<SecretString>,
    /// The keys that secrets are sealed with in the store.
    pub(crate) master_key: MasterKeyConfig,
}

/// Where the master keys are.
#[derive(Debug)]
pub(crate) enum MasterKeyConfig {
    /// In the configuration itself.
    Value(SecretString),
    /// In this file.
    File(PathBuf),
    /// In the data folder; one is made if there is none.
    Kept,
}

impl fmt::Display for MasterKeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MasterKeyConfig::Value(_) => f.write_str(MASTER_KEY.env),
            MasterKeyConfig::File(path) => write!(f, "{}", path.display()),
            MasterKeyConfig::Kept => f.write_str("the file master-key of the data folder"),
        }
    }
}

impl SecurityConfig {
    pub(super) fn read(sources: &mut Sources, args: &Args) -> Result<Self, ConfigError> {
        let allowed = sources.read(ALLOW_DESTINATIONS, args.allow_destinations.as_deref(), "", ranges)?;
        let operator_key = sources.read_secret(OPERATOR_KEY, "(not set: kept in the data folder)", |text| {
            let is_sendable = text.bytes().all(|byte| byte.is_ascii_graphic());
            if text.len() < OPERATOR_KEY_BYTES_MIN || !is_sendable {
                return Err(format!(
                    "must have at least {OPERATOR_KEY_BYTES_MIN} characters, all of them printable ASCII without spaces"
                ));
            }
            Ok(SecretString::from(text))
        })?;
        let value = sources.read_secret(MASTER_KEY, "(not set)", |text| {
            let text = SecretString::from(text);
            master_keys(&text).map(|_| text)
        })?;
        let file = sources.read(MASTER_KEY_FILE, args.master_key_file.as_deref(), "", |text| match text {
            "" => Ok(None),
            _ if value.is_some() => Err("is set beside KAPSEL_MASTER_KEY; set one of the two".to_owned()),
            path => Ok(Some(PathBuf::from(path))),
        })?;
        let master_key = match (value, file) {
            (Some(value), _) => MasterKeyConfig::Value(value),
            (None, Some(path)) => MasterKeyConfig::File(path),
            (None, None) => MasterKeyConfig::Kept,
        };
        Ok(SecurityConfig { address_policy: AddressPolicy::new(allowed), operator_key, master_key })
    }

    /// Nothing set.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        SecurityConfig {
            address_policy: AddressPolicy::default(),
            operator_key: None,
            master_key: MasterKeyConfig::Kept,
        }
    }
}
