//! Public keys that verify notes (C2SP signed-note, "Verifier keys").

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::cosignature::{Cosignature, cosigned_message};
use crate::{base64_text, hex_text};

/// The length of an Ed25519 public key in bytes (RFC 8032, section 5.1.5).
pub const PUBLIC_KEY_LEN: usize = 32;
/// The length of an Ed25519 signature in bytes (RFC 8032, section 5.1.6).
pub const SIGNATURE_LEN: usize = 64;

/// The first four bytes of a hash over a key and its name: together with the name it tells whose a signature is. It is
/// no proof of anything, because others can find a key with the same id. Its text is 8 hexadecimal digits in lower
/// case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LEN]);

/// What a key signs (C2SP signed-note, "Signature types"). Other types are not known to this library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// 0x01: Ed25519 over the text of the note. Logs sign their checkpoints so.
    Ed25519,
    /// 0x04: Ed25519 over a time and the text (C2SP tlog-cosignature, version 1). Witnesses sign so, and whoever says
    /// when a head was made.
    CosignatureV1,
}

/// A public key with the name that it signs under. Its text is the vkey of C2SP: name, key id and key with `+` between.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_type: KeyType,
    id: KeyId,
    point: VerifyingKey,
}

/// A key as somebody gives it who wants to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// A vkey: it verifies notes that are signed under its own name.
    Named(VerifierKey),
    /// The 32 bytes alone, as 64 hexadecimal digits. They stand for the key of whichever log signed with them: the name
    /// is the origin of the checkpoint.
    Bare(BareKey),
}

/// An Ed25519 public key without a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BareKey(VerifyingKey);

/// Why something is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is neither of the two forms.
    #[error("not a key: 64 hexadecimal digits, or name+id+base64, are expected")]
    Form,
    /// Names must not be empty, and hold no spaces, no control characters and no `+`.
    #[error("{0:?} cannot be the name of a key: it is empty, or holds a space, a control character or a plus")]
    Name(String),
    /// The signature type is one that this library does not know.
    #[error("keys of signature type {0:#04x} are not known here; 0x01 and 0x04 are")]
    Type(u8),
    /// The id is not that of the key and its name.
    #[error("the key id is {written}, but name and key give {computed}")]
    Id {
        /// What the text says.
        written: KeyId,
        /// What follows from the rest of it.
        computed: KeyId,
    },
    /// The 32 bytes are no point of the curve, or one of the few for which everybody can make signatures.
    #[error("the bytes are no usable Ed25519 public key")]
    Point,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It has another length than signatures of its type.
    #[error("the signature has {0} bytes, which is not what its type has")]
    Length(usize),
    /// The time in a cosignature is beyond 2^63 - 1 (C2SP tlog-cosignature, "Format").
    #[error("the cosignature's time, {0}, is out of range")]
    Time(u64),
    /// It was not made by this key over this text.
    #[error("the signature is not one of this key over this text")]
    Mismatch,
}

impl KeyId {
    /// Its length in bytes.
    pub const LEN: usize = 4;

    /// From its bytes.
    pub const fn from_bytes(bytes: [u8; KeyId::LEN]) -> Self {
        KeyId(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; KeyId::LEN] {
        &self.0
    }

    /// The id of a key: the first bytes of `SHA-256(name || 0x0A || type || public key)`.
    pub fn of(name: &str, key_type: KeyType, public_key: &[u8; PUBLIC_KEY_LEN]) -> Self {
        let hash = Sha256::new()
            .chain_update(name.as_bytes())
            .chain_update([b'\n', key_type.byte()])
            .chain_update(public_key)
            .finalize();
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash);
        KeyId([a, b, c, d])
    }
}

impl KeyType {
    /// The byte that stands for it.
    pub const fn byte(self) -> u8 {
        match self {
            KeyType::Ed25519 => 0x01,
            KeyType::CosignatureV1 => 0x04,
        }
    }

    /// The type that the byte stands for, if it is known here.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(KeyType::Ed25519),
            0x04 => Some(KeyType::CosignatureV1),
            _ => None,
        }
    }
}

/// Whether a key may have this name (C2SP signed-note, "Format").
pub fn is_key_name(name: &str) -> bool {
    let is_refused = |c: char| c.is_whitespace() || c < ' ' || c == '+';
    !name.is_empty() && !name.contains(is_refused)
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// [`KeyError::Name`] and [`KeyError::Point`].
    pub fn new(name: &str, key_type: KeyType, public_key: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyError> {
        BareKey::from_bytes(public_key)?.named(name, key_type)
    }

    /// The name that it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it signs.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The 32 bytes of the key.
    pub fn public_key(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.point.as_bytes()
    }

    /// Checks a signature over the text of a note, in the form that the type of the key has. For a cosignature it gives
    /// the time that was signed, in whole seconds of the Unix epoch.
    ///
    /// # Errors
    /// [`SignatureError`]. Signatures that RFC 8032 lets some verifiers accept and others not are refused.
    pub fn verify(&self, text: &str, signature: &[u8]) -> Result<Option<u64>, SignatureError> {
        match self.key_type {
            KeyType::Ed25519 => {
                let signature = signature.try_into().map_err(|_| SignatureError::Length(signature.len()))?;
                self.verify_bytes(text.as_bytes(), &signature)?;
                Ok(None)
            }
            KeyType::CosignatureV1 => {
                let Cosignature { time, signature } = Cosignature::from_bytes(signature)?;
                self.verify_bytes(cosigned_message(time, text).as_bytes(), &signature)?;
                Ok(Some(time))
            }
        }
    }

    fn verify_bytes(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), SignatureError> {
        let signature = Signature::from_bytes(signature);
        self.point.verify_strict(message, &signature).map_err(|_| SignatureError::Mismatch)
    }
}

impl BareKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Point`].
    pub fn from_bytes(public_key: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyError> {
        let point = VerifyingKey::from_bytes(public_key).map_err(|_| KeyError::Point)?;
        if point.is_weak() { Err(KeyError::Point) } else { Ok(BareKey(point)) }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_LEN] {
        self.0.as_bytes()
    }

    /// The same key under a name.
    ///
    /// # Errors
    /// [`KeyError::Name`].
    pub fn named(&self, name: &str, key_type: KeyType) -> Result<VerifierKey, KeyError> {
        if !is_key_name(name) {
            return Err(KeyError::Name(name.to_string()));
        }
        let id = KeyId::of(name, key_type, self.as_bytes());
        Ok(VerifierKey { name: name.to_string(), key_type, id, point: self.0 })
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    /// Reads a vkey. The base64 of the key may hold a `+` of its own.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (name, rest) = text.split_once('+').ok_or(KeyError::Form)?;
        let (id, key) = rest.split_once('+').ok_or(KeyError::Form)?;
        let written = KeyId(hex_text::decode_array(id).ok_or(KeyError::Form)?);
        let key = base64_text::decode(key).ok_or(KeyError::Form)?;
        let (&byte, public_key) = key.split_first().ok_or(KeyError::Form)?;
        let key_type = KeyType::from_byte(byte).ok_or(KeyError::Type(byte))?;
        let public_key = public_key.try_into().map_err(|_| KeyError::Form)?;
        let key = VerifierKey::new(name, key_type, public_key)?;
        if key.id == written { Ok(key) } else { Err(KeyError::Id { written, computed: key.id }) }
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    /// Reads 64 hexadecimal digits, in upper case too, or a vkey.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.contains('+') {
            return text.parse().map(PublicKey::Named);
        }
        let bytes = hex_text::decode_array(&text.to_ascii_lowercase()).ok_or(KeyError::Form)?;
        BareKey::from_bytes(&bytes).map(PublicKey::Bare)
    }
}

impl From<VerifierKey> for PublicKey {
    fn from(key: VerifierKey) -> Self {
        PublicKey::Named(key)
    }
}

impl From<BareKey> for PublicKey {
    fn from(key: BareKey) -> Self {
        PublicKey::Bare(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [0; 1 + PUBLIC_KEY_LEN];
        key[0] = self.key_type.byte();
        key[1..].copy_from_slice(self.public_key());
        write!(f, "{}+{}+{}", self.name, self.id, base64_text::encode(&key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for BareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublicKey::Named(key) => fmt::Display::fmt(key, f),
            PublicKey::Bare(key) => fmt::Display::fmt(key, f),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex_text::array::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex_text::array::deserialize(deserializer).map(KeyId)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    /// The example of C2SP signed-note.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const TEXT: &str = "This is an example message.\n";
    const SIGNATURE: &str =
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=";

    #[test]
    fn the_key_of_the_specification_verifies_its_signature() {
        let key: VerifierKey = VKEY.parse().unwrap();
        assert_eq!((key.name(), key.key_type()), ("example.com/foo", KeyType::Ed25519));
        assert_eq!(key.id().to_string(), "530d903a");
        assert_eq!(key.to_string(), VKEY);
        let line = base64_text::decode(SIGNATURE).unwrap();
        assert_eq!(&line[..4], key.id().as_bytes());
        assert_eq!(key.verify(TEXT, &line[4..]), Ok(None));
        assert_eq!(key.verify("This is another message.\n", &line[4..]), Err(SignatureError::Mismatch));
        assert_eq!(key.verify(TEXT, &line), Err(SignatureError::Length(68)));
    }

    #[test]
    fn what_is_no_vkey_is_refused() {
        let key = |text: &str| text.parse::<VerifierKey>();
        assert_eq!(key(""), Err(KeyError::Form));
        assert_eq!(key("a+b"), Err(KeyError::Form));
        assert_eq!(key(&VKEY.to_uppercase()), Err(KeyError::Form));
        assert_eq!(key(&VKEY.replace("530d903a", "530D903A")), Err(KeyError::Form));
        assert_eq!(key(&VKEY.replace("+A", "+B")), Err(KeyError::Type(5)));
        assert!(matches!(key(&VKEY.replace("foo", "fo")), Err(KeyError::Id { .. })));
        assert!(matches!(key(&VKEY.replace("foo", "f o")), Err(KeyError::Name(_))));
        assert!(matches!(key(&VKEY.replace("example.com/foo", "")), Err(KeyError::Name(_))));
        assert_eq!(key(&format!("{VKEY}\n")), Err(KeyError::Form));
    }

    #[test]
    fn keys_for_which_everybody_can_sign_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(BareKey::from_bytes(&identity), Err(KeyError::Point));
        assert_eq!(BareKey::from_bytes(&[0; 32]), Err(KeyError::Point));
        assert_eq!(BareKey::from_bytes(&[2; 32]).map(|_| ()), Err(KeyError::Point));
    }

    /// Twelve signatures on which verifiers differ (novifinancial/ed25519-speccheck). Only the fourth is beyond doubt: the
    /// others have points of small order, numbers out of range, or hold under one of two equations.
    #[test]
    fn signatures_that_some_accept_and_others_not_are_refused() {
        #[derive(Deserialize)]
        struct Case {
            message: String,
            pub_key: String,
            signature: String,
        }
        let cases: alloc::vec::Vec<Case> =
            serde_json::from_str(include_str!("../tests/vectors/ed25519-speccheck/cases.json")).unwrap();
        let is_accepted = |case: &Case| {
            let Ok(key) = BareKey::from_bytes(&hex_text::decode_array(&case.pub_key).unwrap()) else { return false };
            let key = key.named("n", KeyType::Ed25519).unwrap();
            let signature = hex_text::decode_array(&case.signature).unwrap();
            key.verify_bytes(&hex::decode(&case.message).unwrap(), &signature).is_ok()
        };
        let accepted: alloc::vec::Vec<bool> = cases.iter().map(is_accepted).collect();
        let fourth = [false, false, false, true, false, false, false, false, false, false, false, false];
        assert_eq!(accepted, fourth);
    }

    #[test]
    fn a_bare_key_takes_the_name_that_it_is_given() {
        let named: VerifierKey = VKEY.parse().unwrap();
        let digits = hex::encode(named.public_key());
        let PublicKey::Bare(bare) = digits.to_uppercase().parse().unwrap() else { panic!("not bare") };
        assert_eq!(bare.to_string(), digits);
        assert_eq!(bare.named("example.com/foo", KeyType::Ed25519), Ok(named.clone()));
        let other = bare.named("example.com/foo", KeyType::CosignatureV1).unwrap();
        assert_ne!(other.id(), named.id());
        assert_eq!(VKEY.parse(), Ok(PublicKey::Named(named)));
        assert_eq!(digits[1..].parse::<PublicKey>(), Err(KeyError::Form));
    }
}
