//! The operator's key and the master keys: from the configuration, or made once and kept in the data folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kapsel_core::{Entropy, MasterKey, Sealer};
use secrecy::{ExposeSecret as _, SecretString};

use crate::commands::Failure;
use crate::config::{MasterKeyConfig, SecurityConfig};
use crate::secret_file::{KeptSecret, load_or_create};

const OPERATOR_KEY_FILE: &str = "operator-key";
const MASTER_KEY_FILE: &str = "master-key";
const OPERATOR_KEY_BYTES: usize = 32;

/// Where the operator key came from.
#[derive(Debug, Clone)]
pub(crate) enum OperatorKeyOrigin {
    /// The configuration.
    Configured,
    /// The data folder.
    File {
        /// The file.
        path: PathBuf,
        /// Whether it was made at this start.
        created: bool,
    },
}

/// The key of the operator.
///
/// # Errors
/// The file in the data folder cannot be used.
pub(crate) fn operator_key(
    config: &SecurityConfig,
    folder: &Path,
    entropy: &dyn Entropy,
) -> Result<(SecretString, OperatorKeyOrigin), Failure> {
    if let Some(key) = &config.operator_key {
        return Ok((key.clone(), OperatorKeyOrigin::Configured));
    }
    let make = || {
        let mut bytes = [0; OPERATOR_KEY_BYTES];
        entropy.fill(&mut bytes);
        format!("kapsel_{}", hex::encode(bytes)).into()
    };
    let KeptSecret { secret, path, is_new } = load_or_create(folder, OPERATOR_KEY_FILE, make)
        .map_err(|error| Failure::runtime("reading the operator key")(error.into()))?;
    Ok((secret, OperatorKeyOrigin::File { path, created: is_new }))
}

/// What seals the secrets in the store.
pub(crate) struct StoreKeys {
    /// With the keys in force.
    pub(crate) sealer: Sealer,
    /// The file of a key that was made just now.
    new_file: Option<PathBuf>,
}

impl StoreKeys {
    /// Takes a key back that was made just now: the store is sealed under another one, and whoever looks for that one
    /// should not find this. Nothing was sealed with it.
    pub(crate) fn forget_new(&self) {
        if let Some(path) = &self.new_file
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "a master key that is of no use cannot be removed");
        }
    }
}

/// What seals the secrets in the store.
///
/// # Errors
/// The keys cannot be read.
pub(crate) fn store_keys(
    config: &SecurityConfig,
    folder: &Path,
    entropy: &Arc<dyn Entropy>,
) -> Result<StoreKeys, Failure> {
    let mut new_file = None;
    let failed = |problem: String| Failure::runtime("reading the master key")(problem.into());
    let texts = match &config.master_key {
        MasterKeyConfig::Value(text) => text.clone(),
        MasterKeyConfig::File(path) => std::fs::read_to_string(path)
            .map(SecretString::from)
            .map_err(|error| failed(format!("{}: {error}", path.display())))?,
        MasterKeyConfig::Kept => {
            let make = || MasterKey::generate(&**entropy).to_text();
            let kept = load_or_create(folder, MASTER_KEY_FILE, make).map_err(|error| failed(error.to_string()))?;
            new_file = kept.is_new.then_some(kept.path);
            kept.secret
        }
    };
    let keys = master_keys(&texts).map_err(|problem| failed(format!("{} {problem}", config.master_key)))?;
    Ok(StoreKeys { sealer: Sealer::new(keys, Arc::clone(entropy)), new_file })
}

/// The keys in a text, the newest first.
///
/// # Errors
/// What is wrong with it, in words that go behind its name.
pub(crate) fn master_keys(texts: &SecretString) -> Result<Vec<MasterKey>, String> {
    let texts = texts.expose_secret().split(|c: char| c == ',' || c.is_whitespace()).filter(|text| !text.is_empty());
    let keys: Vec<MasterKey> = texts
        .map(MasterKey::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("holds something that is no key: each {error}, the newest first"))?;
    if keys.is_empty() { Err("holds no key".to_owned()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use kapsel_core::SystemEntropy;

    use super::*;

    #[test]
    fn several_master_keys_can_be_given_and_none_is_told() {
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        for texts in [format!("{one},{two}"), format!("{one}\n{two}\n"), format!(" {one} , {two}")] {
            let keys = master_keys(&texts.into()).unwrap();
            let ids: Vec<_> = keys.iter().map(MasterKey::id).collect();
            assert_eq!(ids, [MasterKey::parse(&one).unwrap().id(), MasterKey::parse(&two).unwrap().id()]);
        }
        for wrong in ["", ",", "secret-1234", &format!("{one},secret-1234")] {
            let problem = master_keys(&wrong.into()).unwrap_err();
            assert!(!problem.contains("1234") && !problem.contains("1111"), "{problem}");
        }
    }

    #[test]
    fn keys_of_the_folder_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let config = SecurityConfig::for_tests();
        let first = store_keys(&config, folder.path(), &entropy).unwrap();
        let second = store_keys(&config, folder.path(), &entropy).unwrap();
        assert_eq!(second.sealer.key_id(), first.sealer.key_id());
        // Only who made it takes it back.
        second.forget_new();
        assert!(folder.path().join(MASTER_KEY_FILE).exists());
        first.forget_new();
        assert!(!folder.path().join(MASTER_KEY_FILE).exists());
        let (key, origin) = operator_key(&config, folder.path(), &*entropy).unwrap();
        assert!(matches!(origin, OperatorKeyOrigin::File { created: true, .. }), "{origin:?}");
        assert!(key.expose_secret().len() >= 64);
        let (again, origin) = operator_key(&config, folder.path(), &*entropy).unwrap();
        assert!(matches!(origin, OperatorKeyOrigin::File { created: false, .. }), "{origin:?}");
        assert_eq!(again.expose_secret(), key.expose_secret());

        let elsewhere = folder.path().join("keys.txt");
        std::fs::write(&elsewhere, "nonsense").unwrap();
        let config = SecurityConfig { master_key: MasterKeyConfig::File(elsewhere), ..config };
        let problem = format!("{:?}", store_keys(&config, folder.path(), &entropy).err().unwrap());
        assert!(problem.contains("keys.txt") && !problem.contains("nonsense"), "{problem}");
    }
}
