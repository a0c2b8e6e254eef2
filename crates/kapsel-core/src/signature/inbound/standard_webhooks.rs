//! The scheme `standard-webhooks`. Source: Standard Webhooks 1.0.0, "Signature scheme" and "Webhook headers".

use ed25519_dalek::{Signature, VerifyingKey};
use secrecy::{ExposeSecret as _, SecretString};

use super::secrets::MacKeys;
use super::timestamp::Tolerance;
use super::{HeaderRole, HmacAlgorithm, InvalidVerification, SignatureError, single};
use crate::headers::HeaderBlock;
use crate::signature::mac::Tag;
use crate::signature::standard_webhooks::{
    PUBLIC_KEY_PREFIX, SECRET_PREFIX, VERSION_ED25519, VERSION_HMAC, decode_key, signed_content,
};
use crate::time::Timestamp;

/// How many signatures of a list are looked at. A sender has one for each key that is live.
const SIGNATURES_MAX: usize = 32;
/// How many of them may be Ed25519. Each costs a pass over the body for each key, where all HMACs together cost one:
/// without a lower limit, a stranger could make Kapsel hash a body hundreds of times.
const ED25519_SIGNATURES_MAX: usize = 4;

/// The three headers that belong together.
struct Names {
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
}

const STANDARD: Names = Names { id: "webhook-id", timestamp: "webhook-timestamp", signature: "webhook-signature" };
/// What Svix, where the standard comes from, calls them.
const SVIX: Names = Names { id: "svix-id", timestamp: "svix-timestamp", signature: "svix-signature" };

impl Names {
    fn occur_in(&self, headers: &HeaderBlock) -> bool {
        [self.id, self.timestamp, self.signature].iter().any(|name| headers.get(name).is_some())
    }

    /// The set that a request uses. One header of the standard set is enough to hold it to that set: were the two ever
    /// mixed, an id could be shown that was not the one signed.
    fn of(headers: &HeaderBlock) -> &'static Names {
        if !STANDARD.occur_in(headers) && SVIX.occur_in(headers) { &SVIX } else { &STANDARD }
    }
}

/// The check of `webhook-id`, `webhook-timestamp` and `webhook-signature`.
pub(super) struct StandardWebhooks {
    tolerance: Tolerance,
    mac_keys: MacKeys,
    public_keys: Vec<VerifyingKey>,
}

impl StandardWebhooks {
    pub(super) fn new(tolerance_seconds: u32, secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        let mut mac_keys = MacKeys::default();
        let mut public_keys = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let form = |expected| InvalidVerification::SecretForm { index, expected };
            let text = secret.expose_secret();
            if let Some(base64) = text.strip_prefix(PUBLIC_KEY_PREFIX) {
                let key = public_key(base64).ok_or_else(|| form("whpk_ and base64 of an Ed25519 public key"))?;
                public_keys.push(key);
            } else {
                let base64 = text.strip_prefix(SECRET_PREFIX).unwrap_or(text);
                let key = decode_key(base64).filter(|key| !key.is_empty());
                let key = key.ok_or_else(|| form("base64 with padding, with or without whsec_ before it"))?;
                mac_keys.push(HmacAlgorithm::Sha256, &key, index)?;
            }
        }
        Ok(StandardWebhooks { tolerance: Tolerance::new(tolerance_seconds)?, mac_keys, public_keys })
    }

    pub(super) fn verify(&self, headers: &HeaderBlock, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let names = Names::of(headers);
        let id = single(headers, names.id, HeaderRole::Id)?;
        let time = single(headers, names.timestamp, HeaderRole::Timestamp)?;
        let signatures = single(headers, names.signature, HeaderRole::Signature)?;
        // With a full stop in the id, part of a signed body could be passed off as the timestamp, or the reverse.
        if id.is_empty() || id.contains('.') {
            return Err(SignatureError::Malformed(HeaderRole::Id));
        }
        self.tolerance.check(HeaderRole::Timestamp, time, now)?;
        let claim = Claim::parse(signatures)?;
        let content = signed_content(id, time, body);
        if self.mac_keys.match_any(&content, &claim.tags) || self.match_any_public_key(&content, &claim.signatures) {
            Ok(())
        } else {
            Err(SignatureError::NoMatch)
        }
    }

    fn match_any_public_key(&self, content: &[&[u8]], claimed: &[Signature]) -> bool {
        if self.public_keys.is_empty() || claimed.is_empty() {
            return false;
        }
        // Ed25519 hashes the message behind a part of the signature, so it needs the message in one piece.
        let message = content.concat();
        claimed.iter().any(|signature| {
            // The strict form refuses keys and points of small order, under which one signature fits many messages.
            self.public_keys.iter().any(|key| key.verify_strict(&message, signature).is_ok())
        })
    }
}

fn public_key(base64: &str) -> Option<VerifyingKey> {
    let bytes = decode_key(base64)?;
    let key = VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()?;
    (!key.is_weak()).then_some(key)
}

/// The signatures of known versions in a list.
struct Claim {
    tags: Vec<Tag>,
    signatures: Vec<Signature>,
}

impl Claim {
    /// Reads `v1,<base64> v1a,<base64> …`. Unknown versions are ignored, so that senders can go ahead; what cannot be
    /// read matches nothing; a list without one that can is malformed.
    fn parse(list: &str) -> Result<Self, SignatureError> {
        let mut claim = Claim { tags: Vec::new(), signatures: Vec::new() };
        for item in list.split(' ').filter(|item| !item.is_empty()).take(SIGNATURES_MAX) {
            match item.split_once(',') {
                Some((VERSION_HMAC, text)) => {
                    claim.tags.extend(Tag::from_base64(text, HmacAlgorithm::Sha256.tag_len()));
                }
                Some((VERSION_ED25519, text)) if claim.signatures.len() < ED25519_SIGNATURES_MAX => {
                    let signature = Tag::from_base64(text, Signature::BYTE_SIZE);
                    claim.signatures.extend(signature.and_then(|tag| Signature::from_slice(tag.as_bytes()).ok()));
                }
                _ => {}
            }
        }
        if claim.tags.is_empty() && claim.signatures.is_empty() {
            return Err(SignatureError::Malformed(HeaderRole::Signature));
        }
        Ok(claim)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::*;

    /// Constants of the tests of the official libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const BODY: &str = r#"{"test": 2432232314}"#;

    const MALFORMED: Result<(), SignatureError> = Err(SignatureError::Malformed(HeaderRole::Signature));
    const NO_MATCH: Result<(), SignatureError> = Err(SignatureError::NoMatch);

    fn check_with(secrets: &[&str], headers: &[(&str, &str)], seconds: i64) -> Result<(), SignatureError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        let headers = HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let check = StandardWebhooks::new(300, &secrets).unwrap();
        check.verify(&headers, BODY.as_bytes(), Timestamp::from_unix_seconds(seconds))
    }

    fn check(secrets: &[&str], signature: &str) -> Result<(), SignatureError> {
        let headers = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", signature)];
        check_with(secrets, &headers, 1_614_265_330)
    }

    /// An Ed25519 key of its own: its `whpk_` form and its signature of the message above.
    fn ed25519(seed: u8) -> (String, String) {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let signature = key.sign(format!("{ID}.{TIME}.{BODY}").as_bytes());
        let public_key = format!("whpk_{}", STANDARD.encode(key.verifying_key().as_bytes()));
        (public_key, format!("v1a,{}", STANDARD.encode(signature.to_bytes())))
    }

    #[test]
    fn official_vectors_are_accepted() {
        assert_eq!(check(&[SECRET], SIGNATURE), Ok(()));
        assert_eq!(check(&[&SECRET["whsec_".len()..]], SIGNATURE), Ok(()));

        let headers = HeaderBlock::from_pairs([
            ("Webhook-Id", &b"msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"[..]),
            ("Webhook-Timestamp", b"1649367553"),
            ("Webhook-Signature", b"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ]);
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let check = StandardWebhooks::new(300, &["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()]).unwrap();
        assert_eq!(check.verify(&headers, body, Timestamp::from_unix_seconds(1_649_367_553)), Ok(()));
    }

    /// The `v1a` example in the text of the specification is over vector A. It was made with the secret key that is
    /// used in this project's test of outgoing signatures; this is its public half.
    #[test]
    fn the_asymmetric_example_of_the_specification_is_accepted() {
        let public_key = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
        let signature = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(check(&[public_key], signature), Ok(()));
    }

    #[test]
    fn lists_mix_versions_and_keys() {
        let (public_key, v1a) = ed25519(1);
        let (other_public_key, other_v1a) = ed25519(2);
        let zero = format!("v1,{}", STANDARD.encode([0; 32]));
        let lists = [
            format!("{zero} {SIGNATURE}"),
            format!("{SIGNATURE} {zero}"),
            format!("v2,new v1,broken {SIGNATURE} v1a,broken oddity"),
            format!("  {zero}   {SIGNATURE} "),
            format!("{other_v1a} {SIGNATURE}"),
        ];
        for list in &lists {
            assert_eq!(check(&[SECRET], list), Ok(()), "{list}");
            assert_eq!(check(&["bm90IHRoaXM=", &public_key, SECRET], list), Ok(()), "{list}");
        }
        assert_eq!(check(&[&public_key], &format!("{SIGNATURE} {other_v1a} {v1a}")), Ok(()));
        assert_eq!(check(&[&other_public_key, &public_key], &v1a), Ok(()));
        assert_eq!(check(&[&other_public_key], &v1a), NO_MATCH);
        // A signature counts under its own version only.
        assert_eq!(check(&[SECRET], &v1a), NO_MATCH);
        assert_eq!(check(&[&public_key], SIGNATURE), NO_MATCH);
        assert_eq!(check(&[SECRET], &SIGNATURE.replace("v1,", "v2,")), MALFORMED);
        assert_eq!(check(&[SECRET], &SIGNATURE.replace("v1,", "v1a,")), MALFORMED);
    }

    #[test]
    fn only_so_many_signatures_are_looked_at() {
        let zero = format!("v1,{} ", STANDARD.encode([0; 32]));
        assert_eq!(check(&[SECRET], &format!("{}{SIGNATURE}", zero.repeat(SIGNATURES_MAX - 1))), Ok(()));
        assert_eq!(check(&[SECRET], &format!("{}{SIGNATURE}", zero.repeat(SIGNATURES_MAX))), NO_MATCH);
        let (public_key, v1a) = ed25519(1);
        let (_, other) = ed25519(2);
        let other = format!("{other} ");
        assert_eq!(check(&[&public_key], &format!("{}{v1a}", other.repeat(ED25519_SIGNATURES_MAX - 1))), Ok(()));
        assert_eq!(check(&[&public_key], &format!("{}{v1a}", other.repeat(ED25519_SIGNATURES_MAX))), NO_MATCH);
    }

    #[test]
    fn malformed_signatures_are_told_from_wrong_ones() {
        let bare = &SIGNATURE[3..];
        let comma = SIGNATURE.replace(' ', ",");
        for list in ["", " ", bare, "v1", "v1,", "v1,=", &SIGNATURE[..40], &format!("v1 {bare}"), &format!("{comma},")]
        {
            assert_eq!(check(&[SECRET], list), MALFORMED, "{list}");
        }
    }

    #[test]
    fn header_sets_are_never_mixed() {
        let standard = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
        let svix = [("svix-id", ID), ("svix-timestamp", TIME), ("svix-signature", SIGNATURE)];
        let missing = |role| Err(SignatureError::Missing(role));
        let check = |headers: &[(&str, &str)]| check_with(&[SECRET], headers, 1_614_265_330);
        assert_eq!(check(&svix), Ok(()));
        assert_eq!(check(&[standard, svix].concat()), Ok(()));
        assert_eq!(check(&[&svix[..], &standard[..1]].concat()), missing(HeaderRole::Timestamp));
        assert_eq!(check(&[&svix[..], &standard[..2]].concat()), missing(HeaderRole::Signature));
        assert_eq!(check(&[standard[0], standard[1], svix[2]]), missing(HeaderRole::Signature));
        assert_eq!(check(&[standard[0], svix[1], standard[2]]), missing(HeaderRole::Timestamp));
        assert_eq!(check(&[svix[0], standard[1], standard[2]]), missing(HeaderRole::Id));
        assert_eq!(check(&[]), missing(HeaderRole::Id));
        let two_ids = [&standard[..], &[("webhook-id", ID)]].concat();
        assert_eq!(check(&two_ids), Err(SignatureError::Repeated(HeaderRole::Id)));
    }

    /// `a` + `.` + `1.2` and `a.1` + `.` + `2` are the same bytes: only an id without a full stop keeps them apart.
    #[test]
    fn an_id_with_a_full_stop_is_refused() {
        for id in ["", "a.b", ".", "msg."] {
            let headers = [("webhook-id", id), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
            let expected = Err(SignatureError::Malformed(HeaderRole::Id));
            assert_eq!(check_with(&[SECRET], &headers, 1_614_265_330), expected, "{id}");
        }
    }

    #[test]
    fn replays_are_refused() {
        let headers = [("webhook-id", ID), ("webhook-timestamp", TIME), ("webhook-signature", SIGNATURE)];
        let at = |seconds: i64| check_with(&[SECRET], &headers, 1_614_265_330 + seconds);
        assert_eq!(at(300), Ok(()));
        assert_eq!(at(-300), Ok(()));
        assert_eq!(at(301), Err(SignatureError::TooOld));
        assert_eq!(at(-301), Err(SignatureError::TooNew));
    }

    #[test]
    fn secrets_of_another_form_are_refused() {
        let (public_key, _) = ed25519(1);
        // The neutral element: any message has a signature under it that everybody can make.
        let mut weak = [0; 32];
        weak[0] = 1;
        let refused = [
            "whsec_".to_owned(),
            "plain text".to_owned(),
            "whsec_MfKQ9r8".to_owned(),
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ".to_owned(),
            "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            "whpk_".to_owned(),
            public_key.replace("whpk_", "whsk_"),
            format!("whpk_{}", STANDARD.encode([1; 31])),
            format!("whpk_{}", STANDARD.encode([1; 33])),
            format!("whpk_{}", STANDARD.encode(weak)),
            // Not the y coordinate of any point.
            format!("whpk_{}", STANDARD.encode([2; 32])),
        ];
        for secret in refused {
            let error = StandardWebhooks::new(300, &[SECRET.into(), secret.as_str().into()]).err();
            assert!(matches!(error, Some(InvalidVerification::SecretForm { index: 1, .. })), "{secret} {error:?}");
        }
    }
}
