//! Signing of outgoing requests by Standard Webhooks 1.0.0.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::inbound::HmacAlgorithm;
use super::mac::MacKey;
use super::standard_webhooks::{
    PUBLIC_KEY_PREFIX, SECRET_KEY_PREFIX, SECRET_PREFIX, VERSION_ED25519, VERSION_HMAC, decode_key, signed_content,
};
use crate::endpoint::SigningSecret;
use crate::entropy::Entropy;
use crate::time::Timestamp;

/// The shortest HMAC secret that the specification allows, in bytes.
pub const SECRET_BYTES_MIN: usize = 24;
/// The longest HMAC secret that the specification allows, in bytes.
pub const SECRET_BYTES_MAX: usize = 64;
/// The length of a generated HMAC secret, in bytes: that of the MAC, beyond which more adds no strength.
const SECRET_BYTES_GENERATED: usize = 32;

/// An endpoint's signing keys made ready. Built once per endpoint version.
pub struct OutboundSigner {
    keys: Vec<LiveKey>,
}

struct LiveKey {
    key: Key,
    expires_at: Option<Timestamp>,
}

enum Key {
    Hmac(MacKey),
    Ed25519(SigningKey),
}

/// The text is not a signing key. Says what is expected, never what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    /// It is not of a known form.
    #[error("signing[{index}]: must be whsec_ or whsk_ with base64 behind it")]
    Form {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// It is an HMAC secret of the wrong length.
    #[error("signing[{index}]: must be whsec_ with base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes behind it")]
    SecretLength {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// It is not an Ed25519 key, or its public half belongs to another one.
    #[error(
        "signing[{index}]: must be whsk_ with base64 of an Ed25519 seed (32 bytes) or of seed and public key (64 \
         bytes) behind it"
    )]
    SecretKey {
        /// Its place in the list, from 0.
        index: usize,
    },
}

impl OutboundSigner {
    /// Makes the keys ready.
    ///
    /// # Errors
    /// Which key is not one.
    pub fn new(secrets: &[SigningSecret]) -> Result<Self, InvalidSigningKey> {
        let live_key = |(index, secret): (usize, &SigningSecret)| {
            let key = parse_key(secret.key.expose_secret(), index)?;
            Ok(LiveKey { key, expires_at: secret.expires_at })
        };
        Ok(OutboundSigner { keys: secrets.iter().enumerate().map(live_key).collect::<Result<_, _>>()? })
    }

    /// The value of `webhook-signature`: one signature per live key, separated by spaces. Empty without keys.
    ///
    /// Signatures stand in the order of the keys, which is newest first. A key is live until it expires, not at that
    /// very moment. `webhook_id` must not hold a full stop; Kapsel's ids have none.
    pub fn sign(&self, webhook_id: &str, at: Timestamp, body: &[u8]) -> String {
        let timestamp = at.unix_seconds().to_string();
        let content = signed_content(webhook_id, &timestamp, body);
        let mut value = String::new();
        // Made once, and only for those who need it: Ed25519 takes the message in one piece.
        let mut message = None;
        for LiveKey { key, .. } in self.keys.iter().filter(|key| key.expires_at.is_none_or(|end| end > at)) {
            if !value.is_empty() {
                value.push(' ');
            }
            match key {
                Key::Hmac(key) => push_signature(&mut value, VERSION_HMAC, key.tag(&content).as_bytes()),
                Key::Ed25519(key) => {
                    let signature = key.sign(message.get_or_insert_with(|| content.concat()));
                    push_signature(&mut value, VERSION_ED25519, &signature.to_bytes());
                }
            }
        }
        value
    }

    /// The `whpk_…` forms of the public keys that destinations check `v1a` signatures with, in the order of the keys.
    pub fn public_keys(&self) -> Vec<String> {
        let public_key = |key: &LiveKey| match &key.key {
            Key::Hmac(_) => None,
            Key::Ed25519(key) => {
                Some(format!("{PUBLIC_KEY_PREFIX}{}", STANDARD.encode(key.verifying_key().as_bytes())))
            }
        };
        self.keys.iter().filter_map(public_key).collect()
    }
}

impl fmt::Debug for OutboundSigner {
    /// Shows how many keys there are only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSigner").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

fn push_signature(value: &mut String, version: &str, signature: &[u8]) {
    value.push_str(version);
    value.push(',');
    STANDARD.encode_string(signature, value);
}

fn parse_key(text: &str, index: usize) -> Result<Key, InvalidSigningKey> {
    if let Some(base64) = text.strip_prefix(SECRET_PREFIX) {
        let key = decode_key(base64).ok_or(InvalidSigningKey::Form { index })?;
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&key.len()) {
            return Err(InvalidSigningKey::SecretLength { index });
        }
        let key = MacKey::new(HmacAlgorithm::Sha256, &key).map_err(|_| InvalidSigningKey::SecretLength { index })?;
        Ok(Key::Hmac(key))
    } else if let Some(base64) = text.strip_prefix(SECRET_KEY_PREFIX) {
        let key = decode_key(base64).ok_or(InvalidSigningKey::Form { index })?;
        let key = signing_key(&key).ok_or(InvalidSigningKey::SecretKey { index })?;
        Ok(Key::Ed25519(key))
    } else {
        Err(InvalidSigningKey::Form { index })
    }
}

/// The key of a seed, or of a seed with its public key behind it, as libsodium and the official libraries write it.
fn signing_key(bytes: &[u8]) -> Option<SigningKey> {
    if let Ok(seed) = bytes.try_into() {
        return Some(SigningKey::from_bytes(seed));
    }
    // It refuses a public half that is not the seed's; signing with one would give the seed away.
    SigningKey::from_keypair_bytes(bytes.try_into().ok()?).ok()
}

/// A new random `whsec_…` secret of 32 bytes.
pub fn generate_secret(entropy: &dyn Entropy) -> SecretString {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES_GENERATED]);
    entropy.fill(&mut *bytes);
    // With room for all of it from the start, no half-written copy stays behind in memory.
    let mut text = String::with_capacity(SECRET_PREFIX.len() + SECRET_BYTES_GENERATED.div_ceil(3) * 4);
    text.push_str(SECRET_PREFIX);
    STANDARD.encode_string(bytes.as_slice(), &mut text);
    text.into()
}

/// A new key of the same kind as `former`: an Ed25519 key where that is one, otherwise a `whsec_…` secret.
pub fn generate_like(former: Option<&SecretString>, entropy: &dyn Entropy) -> SecretString {
    if !former.is_some_and(|key| key.expose_secret().starts_with(SECRET_KEY_PREFIX)) {
        return generate_secret(entropy);
    }
    let mut seed = Zeroizing::new([0; ed25519_dalek::SECRET_KEY_LENGTH]);
    entropy.fill(&mut *seed);
    let mut text = String::with_capacity(SECRET_KEY_PREFIX.len() + seed.len().div_ceil(3) * 4);
    text.push_str(SECRET_KEY_PREFIX);
    STANDARD.encode_string(seed.as_slice(), &mut text);
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::SystemEntropy;

    #[test]
    fn a_new_key_is_of_the_kind_of_the_former() {
        let secret = generate_like(None, &SystemEntropy);
        let key: SecretString = format!("whsk_{}", STANDARD.encode([7; 32])).into();
        for (former, start) in [(&secret, "whsec_"), (&key, "whsk_")] {
            let new = generate_like(Some(former), &SystemEntropy);
            assert!(new.expose_secret().starts_with(start));
            assert_ne!(new.expose_secret(), former.expose_secret());
            OutboundSigner::new(&[SigningSecret { key: new, expires_at: None }]).unwrap();
        }
    }

    use crate::headers::HeaderBlock;
    use crate::signature::{VerificationScheme, Verifier};

    /// Constants of the tests of the official libraries.
    const SECRET_A: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SECRET_B: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID_A: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT_A: Timestamp = Timestamp::from_unix_seconds(1_614_265_330);
    const BODY_A: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE_A: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    /// The key behind the `v1a` example in the text of the specification.
    const SECRET_KEY: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const SIGNATURE_V1A: &str =
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";

    fn signer(keys: &[(&str, Option<Timestamp>)]) -> OutboundSigner {
        let secret = |(key, expires_at): &(&str, _)| SigningSecret { key: (*key).into(), expires_at: *expires_at };
        OutboundSigner::new(&keys.iter().map(secret).collect::<Vec<_>>()).unwrap()
    }

    fn refusal(key: &str) -> Option<InvalidSigningKey> {
        let good = SigningSecret { key: SECRET_A.into(), expires_at: None };
        OutboundSigner::new(&[good, SigningSecret { key: key.into(), expires_at: None }]).err()
    }

    #[test]
    fn official_vectors_come_out() {
        assert_eq!(signer(&[(SECRET_A, None)]).sign(ID_A, AT_A, BODY_A), SIGNATURE_A);
        // Fractions of a second are cut off.
        assert_eq!(
            signer(&[(SECRET_A, None)]).sign(ID_A, AT_A + std::time::Duration::from_millis(999), BODY_A),
            SIGNATURE_A
        );
        let signature = signer(&[(SECRET_B, None)]).sign(
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            Timestamp::from_unix_seconds(1_649_367_553),
            br#"{"email":"test@example.com","username":"test_user"}"#,
        );
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn the_asymmetric_example_of_the_specification_comes_out() {
        let seed_alone = format!("whsk_{}", STANDARD.encode(&STANDARD.decode(&SECRET_KEY[5..]).unwrap()[..32]));
        for key in [SECRET_KEY, &seed_alone] {
            assert_eq!(signer(&[(key, None)]).sign(ID_A, AT_A, BODY_A), SIGNATURE_V1A);
        }
    }

    #[test]
    fn live_keys_sign_newest_first_until_they_expire() {
        let second = |seconds| Some(AT_A + std::time::Duration::from_secs(seconds));
        let both = format!("{SIGNATURE_V1A} {SIGNATURE_A}");
        assert_eq!(signer(&[]).sign(ID_A, AT_A, BODY_A), "");
        assert_eq!(signer(&[(SECRET_KEY, None), (SECRET_A, second(1))]).sign(ID_A, AT_A, BODY_A), both);
        assert_eq!(signer(&[(SECRET_KEY, None), (SECRET_A, second(0))]).sign(ID_A, AT_A, BODY_A), SIGNATURE_V1A);
        assert_eq!(signer(&[(SECRET_KEY, second(0)), (SECRET_A, None)]).sign(ID_A, AT_A, BODY_A), SIGNATURE_A);
        assert_eq!(signer(&[(SECRET_A, Some(Timestamp::EPOCH))]).sign(ID_A, AT_A, BODY_A), "");
    }

    #[test]
    fn public_keys_are_those_of_the_asymmetric_keys() {
        let public_keys = signer(&[(SECRET_A, None), (SECRET_KEY, None)]).public_keys();
        assert_eq!(public_keys, ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="]);
        assert!(signer(&[(SECRET_A, None)]).public_keys().is_empty());
    }

    #[test]
    fn keys_of_another_form_are_refused() {
        let secret = |len: usize| format!("whsec_{}", STANDARD.encode(vec![7; len]));
        for len in [24, 32, 64] {
            assert_eq!(refusal(&secret(len)), None, "{len}");
        }
        for len in [0, 1, 23, 65, 100] {
            assert_eq!(refusal(&secret(len)), Some(InvalidSigningKey::SecretLength { index: 1 }), "{len}");
        }
        let bare = &SECRET_A["whsec_".len()..];
        let url_alphabet = format!("whsec_{}", "_".repeat(32));
        for key in ["", bare, "whsec_?", "whsk_?", "whpk_AAAA", &SECRET_A.to_uppercase(), &url_alphabet] {
            assert_eq!(refusal(key), Some(InvalidSigningKey::Form { index: 1 }), "{key}");
        }
        for len in [0, 31, 33, 63, 65] {
            let key = format!("whsk_{}", STANDARD.encode(vec![7; len]));
            assert_eq!(refusal(&key), Some(InvalidSigningKey::SecretKey { index: 1 }), "{len}");
        }
        // A public half that belongs to another seed.
        let mut mixed = STANDARD.decode(&SECRET_KEY[5..]).unwrap();
        mixed[0] ^= 1;
        let mixed = format!("whsk_{}", STANDARD.encode(mixed));
        assert_eq!(refusal(&mixed), Some(InvalidSigningKey::SecretKey { index: 1 }));
    }

    #[test]
    fn nothing_that_is_printed_holds_a_key() {
        let shown = format!("{:?}", signer(&[(SECRET_A, None), (SECRET_KEY, None)]));
        assert_eq!(shown, "OutboundSigner { keys: 2, .. }");
        for key in ["whsec_QUJD", "whsk_QUJD", "QUJD"] {
            let error = refusal(key).unwrap();
            assert!(!format!("{error} {error:?}").contains("QUJD"), "{error}");
        }
    }

    #[test]
    fn generated_secrets_are_keys_and_differ() {
        let one = generate_secret(&SystemEntropy);
        assert_eq!(refusal(one.expose_secret()), None);
        assert_eq!(decode_key(&one.expose_secret()["whsec_".len()..]).unwrap().len(), SECRET_BYTES_GENERATED);
        assert_ne!(one.expose_secret(), generate_secret(&SystemEntropy).expose_secret());
        assert!(!format!("{one:?}").contains("whsec_"));
    }

    proptest! {
        /// What is signed here is accepted by this project's own verification, by each key alone.
        #[test]
        fn what_goes_out_could_come_in(
            id in "[a-z0-9_]{1,40}", seconds in 0_i64..4_000_000_000, body in any::<Vec<u8>>(),
        ) {
            let signer = signer(&[(SECRET_A, None), (SECRET_KEY, None), (SECRET_B, None)]);
            let at = Timestamp::from_unix_seconds(seconds);
            let (signature, timestamp) = (signer.sign(&id, at, &body), seconds.to_string());
            let headers = HeaderBlock::from_pairs([
                ("webhook-id", id.as_bytes()),
                ("webhook-timestamp", timestamp.as_bytes()),
                ("webhook-signature", signature.as_bytes()),
            ]);
            let scheme = VerificationScheme::StandardWebhooks { tolerance_seconds: 1 };
            let public_key = signer.public_keys().remove(0);
            for secret in [SECRET_A, SECRET_B, &public_key] {
                let verifier = Verifier::new(&scheme, &[secret.into()]).unwrap();
                prop_assert_eq!(verifier.verify(&headers, &body, at), Ok(()));
            }
        }
    }
}
