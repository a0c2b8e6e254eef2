//! Keys, and what may be reached.

use kapsel_core::AddressPolicy;
use secrecy::SecretString;

use super::Args;
use super::sources::{ConfigError, Setting, Sources, ranges};

const ALLOW_DESTINATIONS: Setting =
    Setting { key: "allow_destinations", env: "KAPSEL_ALLOW_DESTINATIONS", flag: Some("allow-destinations") };
const OPERATOR_KEY: Setting = Setting { key: "operator_key", env: "KAPSEL_OPERATOR_KEY", flag: None };

/// The shortest operator key, in bytes.
const OPERATOR_KEY_BYTES_MIN: usize = 16;

/// Keys, and what may be reached.
#[derive(Debug)]
pub(crate) struct SecurityConfig {
    /// Which addresses may be delivered to.
    pub(crate) address_policy: AddressPolicy,
    /// The key of the management API; without it, one is kept in the data folder.
    pub(crate) operator_key: Option<SecretString>,
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
        Ok(SecurityConfig { address_policy: AddressPolicy::new(allowed), operator_key })
    }
}
