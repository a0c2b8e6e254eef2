//! A secret key of the log as text, and signing with it.
//!
//! The text is the one that Go's `sumdb/note` package made customary beside C2SP signed-note:
//! `PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>`. The key that signs times follows from the same seed, so there is
//! one secret to keep.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, Mac as _};
use kapsel_core::Entropy;
use kapsel_verification::key::{PUBLIC_KEY_LEN, SIGNATURE_LEN};
use kapsel_verification::{KeyType, VerifierKey, timestamp_name};
use secrecy::SecretString;
use sha2::Sha256;

use crate::signer::{LogSigner, SignError, Signer};

const PREFIX: &str = "PRIVATE+KEY+";
/// What the seed of the second key is the HMAC of.
const TIMESTAMP_LABEL: &[u8] = b"kapsel log timestamp key 1";

/// An Ed25519 key of the log with the name that it signs under. Does not print.
#[derive(Clone)]
pub struct SecretKey {
    name: String,
    key: SigningKey,
    verifier_key: VerifierKey,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.verifier_key.to_string()).finish()
    }
}

/// What a name cannot be.
const NAME: &str = "the name is empty, or has a space or a plus in it";

impl SecretKey {
    /// A new key for the log `name`.
    ///
    /// # Errors
    /// [`SignError::Form`], if it cannot be the name of a key.
    pub fn generate(name: &str, entropy: &dyn Entropy) -> Result<Self, SignError> {
        let mut seed = [0; PUBLIC_KEY_LEN];
        entropy.fill(&mut seed);
        SecretKey::from_seed(name, &seed)
            .ok_or_else(|| SignError::Form { origin: "a new key".to_owned(), problem: NAME })
    }

    fn from_seed(name: &str, seed: &[u8; PUBLIC_KEY_LEN]) -> Option<Self> {
        let key = SigningKey::from_bytes(seed);
        let public_key = key.verifying_key().to_bytes();
        let verifier_key = VerifierKey::new(name, KeyType::Ed25519, &public_key).ok()?;
        Some(SecretKey { name: name.to_owned(), key, verifier_key })
    }

    /// Reads the text of a key. `origin` says in errors where it came from.
    ///
    /// # Errors
    /// [`SignError::Form`]; it never holds anything of the text.
    pub fn parse(text: &str, origin: &str) -> Result<Self, SignError> {
        let wrong = |problem| SignError::Form { origin: origin.to_owned(), problem };
        let rest = text.trim().strip_prefix(PREFIX).ok_or_else(|| wrong("it does not begin with PRIVATE+KEY+"))?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(data)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it does not have the form PRIVATE+KEY+<name>+<key id>+<key>"));
        };
        let data = STANDARD.decode(data).map_err(|_| wrong("the key is not base64"))?;
        let seed = match data.split_first() {
            Some((kind, seed)) if *kind == KeyType::Ed25519.byte() => seed,
            _ => return Err(wrong("it is not an Ed25519 key (type 1)")),
        };
        let seed = seed.try_into().map_err(|_| wrong("the key does not have 32 bytes"))?;
        let key = SecretKey::from_seed(name, seed).ok_or_else(|| wrong(NAME))?;
        if key.verifier_key.id().to_string() != id {
            return Err(wrong("key id and key do not belong together; it was damaged"));
        }
        Ok(key)
    }

    /// The text of the key.
    pub fn to_text(&self) -> SecretString {
        let mut data = vec![KeyType::Ed25519.byte()];
        data.extend_from_slice(self.key.as_bytes());
        let (name, id) = (&self.name, self.verifier_key.id());
        format!("{PREFIX}{name}+{id}+{}", STANDARD.encode(data)).into()
    }

    /// The public half.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.verifier_key
    }

    /// The two keys that sign heads.
    ///
    /// # Errors
    /// [`SignError::Form`]; a name that is one for the first key is one for the second.
    pub fn signer(&self) -> Result<LogSigner, SignError> {
        let failed = || SignError::Form { origin: self.name.clone(), problem: NAME };
        let mut seed = <Hmac<Sha256> as hmac::Mac>::new_from_slice(self.key.as_bytes()).map_err(|_| failed())?;
        seed.update(TIMESTAMP_LABEL);
        let key = SigningKey::from_bytes(&seed.finalize().into_bytes().into());
        let public_key = key.verifying_key().to_bytes();
        let name = timestamp_name(&self.name);
        let verifier_key = VerifierKey::new(&name, KeyType::CosignatureV1, &public_key).map_err(|_| failed())?;
        let checkpoint = LocalSigner { key: self.key.clone(), verifier_key: self.verifier_key.clone() };
        Ok(LogSigner { checkpoint: Arc::new(checkpoint), timestamp: Arc::new(LocalSigner { key, verifier_key }) })
    }
}

/// A key in the memory of this process; the library wipes it when it is dropped.
struct LocalSigner {
    key: SigningKey,
    verifier_key: VerifierKey,
}

#[async_trait]
impl Signer for LocalSigner {
    fn key(&self) -> &VerifierKey {
        &self.verifier_key
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_LEN], SignError> {
        Ok(self.key.sign(message).to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use test_harness::SeededEntropy;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate("kapsel.example/log", &SeededEntropy::new(7)).unwrap()
    }

    #[test]
    fn a_key_comes_back_from_its_text() {
        let key = key();
        let text = key.to_text();
        let read = SecretKey::parse(&format!("{}\n", text.expose_secret()), "a test").unwrap();
        assert_eq!(read.verifier_key(), key.verifier_key());
        assert_eq!(read.key, key.key);
        let public = key.verifier_key().to_string();
        assert!(public.starts_with("kapsel.example/log+"), "{public}");
        let shown = format!("{key:?} {text:?}");
        assert!(shown.contains(&public) && !shown.contains("PRIVATE"), "{shown}");
    }

    /// The pair that the documentation of Go's `sumdb/note` package shows.
    #[test]
    fn the_text_is_the_customary_one() {
        let text = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let key = SecretKey::parse(text, "a test").unwrap();
        let public = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        assert_eq!(key.verifier_key().to_string(), public);
        assert_eq!(key.to_text().expose_secret(), text);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let key = key();
        let text = key.to_text();
        let text = text.expose_secret();
        let (name, secret) = (key.verifier_key().name(), text.rsplit('+').next().unwrap());
        let cases = [
            String::new(),
            text.replace("PRIVATE+KEY+", ""),
            text.replace(name, "other.example"),
            text.replace(name, ""),
            text.replace(secret, "!!!!"),
            text.replace(secret, &STANDARD.encode([2; 33])),
            text.replace(secret, &STANDARD.encode([1; 32])),
            text.replace(secret, &STANDARD.encode([1; 33])),
        ];
        for case in cases {
            let error = SecretKey::parse(&case, "the file x").unwrap_err().to_string();
            assert!(error.starts_with("the file x: "), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        for name in ["", "a b", "a+b"] {
            assert!(SecretKey::generate(name, &SeededEntropy::new(1)).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn both_keys_sign_under_their_names() {
        let signer = key().signer().unwrap();
        assert_eq!(signer.checkpoint.key().name(), "kapsel.example/log");
        assert_eq!(signer.timestamp.key().name(), "kapsel.example/log/timestamp");
        assert_ne!(signer.checkpoint.key().public_key(), signer.timestamp.key().public_key());
        let signature = signer.checkpoint.sign(b"text\n").await.unwrap();
        assert_eq!(signer.checkpoint.key().verify("text\n", &signature), Ok(None));
        assert!(signer.checkpoint.key().verify("texT\n", &signature).is_err());
    }
}
