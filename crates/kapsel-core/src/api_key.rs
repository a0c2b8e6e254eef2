//! Keys of the management API.
//!
//! A key reads `kps_`, 43 characters of base 62 that nobody can guess, and 6 characters that follow from them: the CRC-32
//! of what stands before. So scanners find keys in places where they should not be, and a key that was copied wrongly is
//! told from one that opens nothing, without a look at the store.
//!
//! What is stored is the SHA-256 of the key and its first characters, by which it is found and named in lists. A plain hash
//! is enough, because the key has 256 bits of chance; a slow one is for what people choose.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::delivery::UnknownWord;
use crate::entropy::Entropy;
use crate::ids::{ApiKeyId, TenantId};
use crate::time::Timestamp;

/// What every key begins with.
pub const KEY_START: &str = "kps_";
/// The characters of base 62, in the order of their values.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is more than 2^256.
const BODY_CHARS: usize = 43;
const CHECKSUM_CHARS: usize = 6;
/// How many characters of a key are shown: eight of its body, with which no two keys of an installation are alike.
const PREFIX_CHARS: usize = KEY_START.len() + 8;
const KEY_CHARS: usize = KEY_START.len() + BODY_CHARS + CHECKSUM_CHARS;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// Whose objects it opens.
    pub tenant_id: TenantId,
    /// For people.
    pub name: String,
    /// How it begins.
    pub prefix: KeyPrefix,
    /// The SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, give or take some minutes.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether this is the key that `secret` is. Takes the same time whatever the answer is.
    pub fn is(&self, secret: &KeySecret) -> bool {
        self.sha256.ct_eq(&secret.sha256()).into()
    }

    /// Whether it opens anything at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// The whole of a key, as its owner has it.
#[derive(Debug, Clone)]
pub struct KeySecret(SecretString);

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It does not begin as keys do.
    #[error("it does not begin with {KEY_START}")]
    Start,
    /// It does not end as its beginning demands.
    #[error("its checksum does not match: it was mistyped or cut off")]
    Checksum,
}

impl KeySecret {
    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = String::with_capacity(KEY_CHARS);
        key.push_str(KEY_START);
        while key.len() < KEY_START.len() + BODY_CHARS {
            let mut byte = [0; 1];
            entropy.fill(&mut byte);
            // 248 is the largest multiple of 62 in a byte: those above would favour the first characters.
            if byte[0] < 248 {
                key.push(char::from(ALPHABET[usize::from(byte[0] % 62)]));
            }
        }
        let checksum = checksum(key.as_bytes());
        key.extend(checksum.map(char::from));
        KeySecret(key.into())
    }

    /// Reads a key that somebody sent.
    ///
    /// # Errors
    /// If no key can be like that.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if !text.starts_with(KEY_START) {
            return Err(InvalidKey::Start);
        }
        let parts = text.as_bytes().split_at_checked(KEY_CHARS - CHECKSUM_CHARS);
        match parts {
            Some((front, end)) if checksum(front) == end && front[KEY_START.len()..].iter().all(is_of_base_62) => {
                Ok(KeySecret(text.into()))
            }
            _ => Err(InvalidKey::Checksum),
        }
    }

    /// How it begins.
    pub fn prefix(&self) -> KeyPrefix {
        KeyPrefix(self.0.expose_secret().chars().take(PREFIX_CHARS).collect())
    }

    /// What is stored of it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret()).into()
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

fn is_of_base_62(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn checksum(front: &[u8]) -> [u8; CHECKSUM_CHARS] {
    let mut value = crc32(front);
    let mut chars = [b'0'; CHECKSUM_CHARS];
    for slot in chars.iter_mut().rev() {
        *slot = ALPHABET[(value % 62) as usize];
        value /= 62;
    }
    chars
}

/// The CRC-32 of gzip and PNG (RFC 1952, section 8), bit by bit: keys are short.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// The first characters of a key. They open nothing and may be shown.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    /// Reads a prefix that somebody sent: the first characters of a key, no more and no fewer.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(KEY_START)?.as_bytes();
        let is_prefix = text.len() == PREFIX_CHARS && body.iter().all(is_of_base_62);
        is_prefix.then(|| KeyPrefix(text.to_owned()))
    }

    /// The prefix as it was stored.
    pub fn from_stored(text: String) -> Self {
        KeyPrefix(text)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Look at everything of the tenant.
    Read,
    /// Look at everything and change everything: endpoints, retries, replays.
    Write,
    /// Look at endpoints and change them, and nothing else: for programs that set up where webhooks come in.
    IngestAdmin,
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Scope] = &[Scope::Read, Scope::Write, Scope::IngestAdmin];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::IngestAdmin => "ingest-admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Scope::ALL.iter().find(|scope| scope.as_str() == text);
        known.copied().ok_or_else(|| UnknownWord(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether `scope` is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether no scope is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its scopes.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.contains(*scope))
    }

    /// The text to store: the words with spaces between them.
    pub fn to_stored(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads what [`Scopes::to_stored`] wrote.
    ///
    /// # Errors
    /// If a word is no scope.
    pub fn from_stored(text: &str) -> Result<Self, UnknownWord> {
        text.split_whitespace().map(str::parse).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u8))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn the_checksum_is_the_crc_of_the_standard() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b"123456789"), *b"3jZRME");
    }

    #[test]
    fn a_new_key_reads_back_and_is_like_no_other() {
        let (one, two) = (KeySecret::generate(&SystemEntropy), KeySecret::generate(&SystemEntropy));
        assert_eq!(one.expose().len(), KEY_CHARS);
        assert_eq!(KeySecret::parse(one.expose()).unwrap().sha256(), one.sha256());
        assert!(one.expose().starts_with(one.prefix().as_str()));
        assert_ne!(one.prefix(), two.prefix());
        assert_eq!(KeyPrefix::parse(one.prefix().as_str()), Some(one.prefix()));
        for no_prefix in ["kps_1234567", "kps_123456789", "kps_1234567-", "abc_12345678", ""] {
            assert_eq!(KeyPrefix::parse(no_prefix), None, "{no_prefix}");
        }
        let shown = format!("{one:?}");
        assert!(!shown.contains(&one.expose()[5..]), "{shown}");
    }

    #[test]
    fn what_was_mistyped_is_told_from_what_is_no_key() {
        let key = KeySecret::generate(&SystemEntropy).expose().to_owned();
        for no_key in ["", "sk_live_1234", "Kps_", "kp", "\u{fc}"] {
            assert_eq!(KeySecret::parse(no_key).unwrap_err(), InvalidKey::Start, "{no_key}");
        }
        for mistyped in [key[..key.len() - 1].to_owned(), format!("{key}x"), "kps_".to_owned(), format!("{key} ")] {
            assert_eq!(KeySecret::parse(&mistyped).unwrap_err(), InvalidKey::Checksum, "{mistyped}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_always_noticed(place in KEY_START.len()..KEY_CHARS, value in 0..62_usize) {
            let key = KeySecret::generate(&SystemEntropy).expose().to_owned();
            let mut wrong = key.clone().into_bytes();
            wrong[place] = ALPHABET[value];
            let wrong = String::from_utf8(wrong).unwrap();
            prop_assert_eq!(KeySecret::parse(&wrong).is_ok(), wrong == key);
        }
    }

    #[test]
    fn a_key_opens_until_it_expires_or_is_revoked() {
        let secret = KeySecret::generate(&SystemEntropy);
        let at = Timestamp::from_unix_seconds;
        let mut key = ApiKey {
            id: ApiKeyId::MIN,
            tenant_id: TenantId::DEFAULT,
            name: String::new(),
            prefix: secret.prefix(),
            sha256: secret.sha256(),
            scopes: Scopes::default(),
            created_at: at(1),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        assert!(key.is(&secret) && !key.is(&KeySecret::generate(&SystemEntropy)));
        assert!(key.is_live(at(1_000_000)));
        key.expires_at = Some(at(10));
        assert!(key.is_live(at(9)) && !key.is_live(at(10)));
        key.revoked_at = Some(at(5));
        assert!(!key.is_live(at(9)));
    }

    #[test]
    fn scopes_are_stored_as_words() {
        let some: Scopes = [Scope::IngestAdmin, Scope::Read].into_iter().collect();
        assert_eq!(some.to_stored(), "read ingest-admin");
        assert_eq!(Scopes::from_stored("ingest-admin read").unwrap(), some);
        assert!(!some.contains(Scope::Write) && !some.is_empty());
        assert_eq!(Scopes::from_stored("").unwrap(), Scopes::default());
        assert!(Scopes::from_stored("read root").is_err());
    }
}
