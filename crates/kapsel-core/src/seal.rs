//! Secrets at rest: sealed with XChaCha20-Poly1305 under a master key, each bound to what it belongs to.
//!
//! A sealed secret names its master key, so several can be in use at once: the first one seals, all of them open. That is
//! how a master key is replaced. The nonce has 192 bits and is drawn by chance (draft-irtf-cfrg-xchacha-03, section 2.1),
//! so it need not be counted. Bound to it as associated data are what kind of secret it is, its tenant and its id: bytes that
//! somebody has copied to another row do not open.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::{Digest as _, Sha256};

use crate::entropy::Entropy;
use crate::ids::TenantId;

/// The first byte of everything sealed. What was stored before there was sealing is JSON and begins with `{`.
const FORM: u8 = 1;
const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const NONCE_BYTES: usize = 24;
const HEAD_BYTES: usize = 1 + KEY_ID_BYTES + NONCE_BYTES;

/// What a sealed secret belongs to.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// The kind of secret, such as `endpoint`.
    pub kind: &'a str,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The id of what it belongs to, or whatever tells it from others of its kind and tenant.
    pub id: &'a [u8],
}

impl SealContext<'_> {
    fn associated_data(&self) -> Vec<u8> {
        // The kind ends with a zero and the tenant has a fixed length, so no two contexts read alike.
        [b"kapsel/v1/", self.kind.as_bytes(), b"\0", self.tenant_id.as_bytes(), self.id].concat()
    }
}

/// Names a master key without telling anything of it: the start of a hash, in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKeyId([u8; KEY_ID_BYTES]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A master key.
#[derive(Debug)]
pub struct MasterKey {
    id: MasterKeyId,
    key: SecretBox<[u8; KEY_BYTES]>,
}

/// The text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 32 bytes, as 64 hexadecimal digits or in base64")]
pub struct InvalidMasterKey;

impl MasterKey {
    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let key = SecretBox::init_with_mut(|key: &mut [u8; KEY_BYTES]| entropy.fill(key));
        MasterKey { id: id_of(key.expose_secret()), key }
    }

    /// Reads a key: 64 hexadecimal digits or base64.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let mut bytes = [0; KEY_BYTES];
        let is_hex = hex::decode_to_slice(text, &mut bytes).is_ok();
        // Base64 of 32 bytes has one more byte of room than they need.
        if !is_hex && STANDARD.decode_slice(text, &mut bytes) != Ok(KEY_BYTES) {
            return Err(InvalidMasterKey);
        }
        Ok(MasterKey { id: id_of(&bytes), key: SecretBox::new(Box::new(bytes)) })
    }

    /// What names it.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// The key as hexadecimal digits, for the file that keeps it.
    pub fn to_text(&self) -> secrecy::SecretString {
        hex::encode(self.key.expose_secret()).into()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(self.key.expose_secret()))
    }
}

fn id_of(key: &[u8; KEY_BYTES]) -> MasterKeyId {
    let hash = Sha256::new_with_prefix("kapsel master key id").chain_update(key).finalize();
    let mut id = [0; KEY_ID_BYTES];
    id.copy_from_slice(&hash[..KEY_ID_BYTES]);
    MasterKeyId(id)
}

/// Why a secret does not open, or could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no master key at all.
    #[error("there is no master key")]
    NoKey,
    /// It was sealed under a key that is not there.
    #[error("sealed under the master key {0}, which is not configured")]
    UnknownKey(MasterKeyId),
    /// It was changed, it belongs to something else, or it never was sealed.
    #[error("not what was sealed for it")]
    Damaged,
}

/// Seals and opens secrets. Clones share their keys.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<[MasterKey]>,
    entropy: Arc<dyn Entropy>,
}

impl Sealer {
    /// With these keys, of which the first one seals. Without any, nothing is sealed or opened: for programs that do not
    /// look at secrets.
    pub fn new(keys: Vec<MasterKey>, entropy: Arc<dyn Entropy>) -> Self {
        Sealer { keys: keys.into(), entropy }
    }

    /// The id of the key that seals, if there is one.
    pub fn key_id(&self) -> Option<MasterKeyId> {
        self.keys.first().map(MasterKey::id)
    }

    /// Whether what was sealed under the key of this id, written as text, can be opened.
    pub fn has_key(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.to_string() == id)
    }

    /// Seals `plain` for what `context` names.
    ///
    /// # Errors
    /// [`SealError::NoKey`].
    pub fn seal(&self, context: &SealContext<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let key = self.keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        self.entropy.fill(&mut nonce);
        let payload = Payload { msg: plain, aad: &context.associated_data() };
        // It fails only for messages of more than 256 GiB.
        let sealed = key.cipher().encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok([&[FORM][..], &key.id.0, &nonce, &sealed].concat())
    }

    /// Opens what was sealed for what `context` names.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, context: &SealContext<'_>, sealed: &[u8]) -> Result<SecretBox<[u8]>, SealError> {
        let (head, body) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::Damaged)?;
        let (id, nonce) = head[1..].split_at(KEY_ID_BYTES);
        if head[0] != FORM {
            return Err(SealError::Damaged);
        }
        let key = self.keys.iter().find(|key| key.id.0 == id).ok_or_else(|| {
            let mut unknown = [0; KEY_ID_BYTES];
            unknown.copy_from_slice(id);
            SealError::UnknownKey(MasterKeyId(unknown))
        })?;
        let payload = Payload { msg: body, aad: &context.associated_data() };
        let plain = key.cipher().decrypt(XNonce::from_slice(nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok(SecretBox::from(plain.into_boxed_slice()))
    }

    /// Whether `stored` is sealed under the key that seals now.
    pub fn is_current(&self, stored: &[u8]) -> bool {
        let id = self.keys.first().map(|key| key.id.0);
        stored.first() == Some(&FORM) && id.is_some_and(|id| stored.get(1..=KEY_ID_BYTES) == Some(&id))
    }
}

/// Whether `stored` was sealed at all, or dates from before there was sealing.
pub fn is_sealed(stored: &[u8]) -> bool {
    stored.first() == Some(&FORM)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SystemEntropy;

    const CONTEXT: SealContext<'_> = SealContext { kind: "endpoint", tenant_id: TenantId::DEFAULT, id: &[7; 16] };

    fn sealer(keys: Vec<MasterKey>) -> Sealer {
        Sealer::new(keys, Arc::new(SystemEntropy))
    }

    fn key(byte: u8) -> MasterKey {
        MasterKey::parse(&hex::encode([byte; 32])).unwrap()
    }

    /// The vector of draft-irtf-cfrg-xchacha-03, appendix A.3.1: the library is the cipher it claims to be.
    #[test]
    fn the_cipher_is_that_of_the_draft() {
        let key: Vec<u8> = (0x80..0xa0).collect();
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                      sunscreen would be it.";
        let payload = Payload { msg: plain, aad: &aad };
        let sealed =
            XChaCha20Poly1305::new(Key::from_slice(&key)).encrypt(XNonce::from_slice(&nonce), payload).unwrap();
        assert_eq!(hex::encode(&sealed[..16]), "bd6d179d3e83d43b9576579493c0e939");
        assert_eq!(hex::encode(&sealed[sealed.len() - 16..]), "c0875924c1c7987947deafd8780acf49");
    }

    #[test]
    fn a_secret_opens_for_what_it_was_sealed_for_and_for_nothing_else() {
        let sealer = sealer(vec![key(1)]);
        let sealed = sealer.seal(&CONTEXT, b"secret").unwrap();
        assert_eq!(sealer.open(&CONTEXT, &sealed).unwrap().expose_secret(), b"secret");
        assert_ne!(sealed, sealer.seal(&CONTEXT, b"secret").unwrap(), "the nonce is another one");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        for other in [
            SealContext { kind: "endpoints", ..CONTEXT },
            SealContext { tenant_id: TenantId::MAX, ..CONTEXT },
            SealContext { id: &[8; 16], ..CONTEXT },
            SealContext { id: &[7; 15], ..CONTEXT },
        ] {
            assert_eq!(sealer.open(&other, &sealed).unwrap_err(), SealError::Damaged, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(plain in proptest::collection::vec(any::<u8>(), 0..40), place in any::<prop::sample::Index>(), bit in 0..8) {
            let sealer = sealer(vec![key(1)]);
            let mut sealed = sealer.seal(&CONTEXT, &plain).unwrap();
            let place = place.index(sealed.len());
            sealed[place] ^= 1_u8 << bit;
            prop_assert!(sealer.open(&CONTEXT, &sealed).is_err());
            sealed[place] ^= 1_u8 << bit;
            let opened = sealer.open(&CONTEXT, &sealed).unwrap();
            prop_assert_eq!(opened.expose_secret(), &plain[..]);
            prop_assert!(sealer.open(&CONTEXT, &sealed[..sealed.len() - 1]).is_err());
        }
    }

    #[test]
    fn a_key_is_replaced_by_putting_another_one_in_front() {
        let (old, both, new) = (sealer(vec![key(1)]), sealer(vec![key(2), key(1)]), sealer(vec![key(2)]));
        let sealed = old.seal(&CONTEXT, b"secret").unwrap();
        assert_eq!(both.open(&CONTEXT, &sealed).unwrap().expose_secret(), b"secret");
        assert!(old.is_current(&sealed) && !both.is_current(&sealed) && is_sealed(&sealed));
        assert_eq!(new.open(&CONTEXT, &sealed).unwrap_err(), SealError::UnknownKey(key(1).id()));
        let anew = both.seal(&CONTEXT, b"secret").unwrap();
        assert!(both.is_current(&anew) && new.is_current(&anew));
        assert_eq!(new.open(&CONTEXT, &anew).unwrap().expose_secret(), b"secret");
        assert!(both.has_key(&key(1).id().to_string()) && !new.has_key(&key(1).id().to_string()));

        let none = sealer(Vec::new());
        assert_eq!(none.seal(&CONTEXT, b"secret").unwrap_err(), SealError::NoKey);
        assert_eq!(none.open(&CONTEXT, &anew).unwrap_err(), SealError::UnknownKey(key(2).id()));
        assert!(!none.is_current(&anew) && !is_sealed(b"{}") && !is_sealed(b""));
    }

    #[test]
    fn keys_are_read_in_both_forms_and_never_printed() {
        let key = MasterKey::generate(&SystemEntropy);
        let text = key.to_text();
        let bytes = hex::decode(text.expose_secret()).unwrap();
        for form in [text.expose_secret().to_owned(), text.expose_secret().to_uppercase(), STANDARD.encode(&bytes)] {
            assert_eq!(MasterKey::parse(&form).unwrap().id(), key.id());
        }
        for wrong in [
            "",
            "00",
            &text.expose_secret()[1..],
            &STANDARD.encode(&bytes[1..]),
            &format!("{}00", text.expose_secret()),
        ] {
            assert!(MasterKey::parse(wrong).is_err(), "{wrong}");
        }
        let shown = format!("{:?}", sealer(vec![key]));
        assert!(!shown.contains(text.expose_secret()), "{shown}");
    }
}
