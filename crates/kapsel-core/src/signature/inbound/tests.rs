//! What has to hold for every scheme alike.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;

use super::*;
use crate::signature::mac::MacKey;

const SECONDS: i64 = 1_700_000_000;
const NOW: Timestamp = Timestamp::from_unix_seconds(SECONDS);
const TOLERANCE: u32 = TOLERANCE_SECONDS_DEFAULT;

/// A webhook as a provider would send it.
#[derive(Debug, Clone)]
struct Signed {
    scheme: VerificationScheme,
    secret: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Signed {
    fn verify(&self) -> Result<(), SignatureError> {
        self.verify_with(&[&self.secret])
    }

    fn verify_with(&self, secrets: &[&str]) -> Result<(), SignatureError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        let headers = HeaderBlock::from_pairs(self.headers.iter().map(|(name, value)| (*name, value.as_slice())));
        Verifier::new(&self.scheme, &secrets).unwrap().verify(&headers, &self.body, NOW)
    }
}

/// The kinds of webhook that tests go through: every scheme, and the forms of those that have several.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    HmacHex(HmacAlgorithm),
    HmacBase64(HmacAlgorithm),
    Stripe,
    Github,
    Shopify,
    Slack,
    StandardV1,
    StandardV1a,
    Svix,
}

const KINDS: [Kind; 13] = [
    Kind::HmacHex(HmacAlgorithm::Sha1),
    Kind::HmacHex(HmacAlgorithm::Sha256),
    Kind::HmacHex(HmacAlgorithm::Sha512),
    Kind::HmacBase64(HmacAlgorithm::Sha1),
    Kind::HmacBase64(HmacAlgorithm::Sha256),
    Kind::HmacBase64(HmacAlgorithm::Sha512),
    Kind::Stripe,
    Kind::Github,
    Kind::Shopify,
    Kind::Slack,
    Kind::StandardV1,
    Kind::StandardV1a,
    Kind::Svix,
];

const ID: &str = "msg_2Lh9KRb0pzN4LePd3XiA4v12Axj";
const PREFIX: &str = "mac=";

impl Kind {
    fn scheme(self) -> VerificationScheme {
        let hmac = |algorithm, encoding| VerificationScheme::Hmac {
            algorithm,
            header: "x-signature".to_owned(),
            encoding,
            prefix: PREFIX.to_owned(),
        };
        match self {
            Kind::HmacHex(algorithm) => hmac(algorithm, MacEncoding::Hex),
            Kind::HmacBase64(algorithm) => hmac(algorithm, MacEncoding::Base64),
            Kind::Stripe => VerificationScheme::Stripe { tolerance_seconds: TOLERANCE },
            Kind::Github => VerificationScheme::Github,
            Kind::Shopify => VerificationScheme::Shopify,
            Kind::Slack => VerificationScheme::Slack { tolerance_seconds: TOLERANCE },
            Kind::StandardV1 | Kind::StandardV1a | Kind::Svix => {
                VerificationScheme::StandardWebhooks { tolerance_seconds: TOLERANCE }
            }
        }
    }

    /// A secret in the scheme's form; another one for each seed.
    fn secret(self, seed: u8) -> String {
        match self {
            Kind::StandardV1 | Kind::Svix => format!("whsec_{}", STANDARD.encode([seed; 26])),
            Kind::StandardV1a => {
                format!("whpk_{}", STANDARD.encode(SigningKey::from_bytes(&[seed; 32]).verifying_key().as_bytes()))
            }
            _ => format!("s3cret number {seed}"),
        }
    }

    /// Signs `body` by the provider's documentation, without the code under test but for its HMAC, which has the
    /// vectors of the RFCs.
    fn sign(self, seed: u8, body: &[u8]) -> Signed {
        let secret = self.secret(seed);
        let mac_of = |algorithm, key: &[u8], message: &[u8]| {
            MacKey::new(algorithm, key).unwrap().tag(&[message]).as_bytes().to_vec()
        };
        let mac = |algorithm, message: &[u8]| mac_of(algorithm, secret.as_bytes(), message);
        let sha256 = HmacAlgorithm::Sha256;
        let behind = |front: String| [front.as_bytes(), body].concat();
        let standard = || behind(format!("{ID}.{SECONDS}."));
        let standard_headers = |names: [&'static str; 3], signature: String| {
            let values = [ID.to_owned(), SECONDS.to_string(), signature];
            names.into_iter().zip(values).map(|(name, value)| (name, value.into_bytes())).collect::<Vec<_>>()
        };
        let v1 = || format!("v1,{}", STANDARD.encode(mac_of(sha256, &[seed; 26], &standard())));
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers = match self {
            Kind::HmacHex(algorithm) => {
                vec![("x-signature", format!("{PREFIX}{}", hex::encode(mac(algorithm, body))).into_bytes())]
            }
            Kind::HmacBase64(algorithm) => {
                vec![("x-signature", format!("{PREFIX}{}", STANDARD.encode(mac(algorithm, body))).into_bytes())]
            }
            Kind::Stripe => {
                let mac = hex::encode(mac(sha256, &behind(format!("{SECONDS}."))));
                vec![("stripe-signature", format!("t={SECONDS},v1={mac}").into_bytes())]
            }
            Kind::Github => {
                vec![("x-hub-signature-256", format!("sha256={}", hex::encode(mac(sha256, body))).into_bytes())]
            }
            Kind::Shopify => vec![("x-shopify-hmac-sha256", STANDARD.encode(mac(sha256, body)).into_bytes())],
            Kind::Slack => {
                let mac = hex::encode(mac(sha256, &behind(format!("v0:{SECONDS}:"))));
                vec![
                    ("x-slack-signature", format!("v0={mac}").into_bytes()),
                    ("x-slack-request-timestamp", SECONDS.to_string().into_bytes()),
                ]
            }
            Kind::StandardV1 => standard_headers(names, v1()),
            Kind::StandardV1a => {
                let signature = SigningKey::from_bytes(&[seed; 32]).sign(&standard());
                standard_headers(names, format!("v1a,{}", STANDARD.encode(signature.to_bytes())))
            }
            Kind::Svix => standard_headers(["svix-id", "svix-timestamp", "svix-signature"], v1()),
        };
        Signed { scheme: self.scheme(), secret, headers, body: body.to_vec() }
    }

    /// Whether this flip turns a hexadecimal letter of the configurable scheme into its upper case, which means the
    /// same MAC and is accepted on purpose. The prefix knows no such pairs.
    fn is_case_flip(self, byte: u8, place: usize, bit: u8) -> bool {
        matches!(self, Kind::HmacHex(_)) && place >= PREFIX.len() && bit == 5 && byte.is_ascii_alphabetic()
    }
}

/// Every place and bit of `bytes`, with the bytes after that bit was flipped.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (usize, u8, Vec<u8>)> + '_ {
    (0..bytes.len()).flat_map(move |place| {
        (0..8).map(move |bit| {
            let mut flipped = bytes.to_vec();
            flipped[place] ^= 1 << bit;
            (place, bit, flipped)
        })
    })
}

const BODY: &[u8] = b"{\"id\":\"evt_1\"}\xff\x00";

#[test]
fn what_is_signed_is_accepted() {
    for kind in KINDS {
        for body in [&b""[..], BODY, &[b'x'; 100_000]] {
            assert_eq!(kind.sign(1, body).verify(), Ok(()), "{kind:?} {}", body.len());
        }
    }
}

#[test]
fn every_flipped_bit_of_the_body_is_refused() {
    for kind in KINDS {
        let signed = kind.sign(1, BODY);
        for (place, bit, body) in flips(BODY) {
            let changed = Signed { body, ..signed.clone() };
            assert_eq!(changed.verify(), Err(SignatureError::NoMatch), "{kind:?} byte {place} bit {bit}");
        }
    }
}

/// Signature, timestamp and id alike. The lists that some schemes allow hold one signature here: behind a second one
/// that is valid, a broken one is rightly ignored.
#[test]
fn every_flipped_bit_of_every_header_is_refused() {
    for kind in KINDS {
        let signed = kind.sign(1, BODY);
        for (index, (name, value)) in signed.headers.iter().enumerate() {
            for (place, bit, flipped) in flips(value) {
                let mut changed = signed.clone();
                changed.headers[index].1 = flipped;
                let accepted = changed.verify().is_ok();
                let expected = kind.is_case_flip(value[place], place, bit);
                assert_eq!(accepted, expected, "{kind:?} {name} byte {place} bit {bit}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_the_secret_is_refused() {
    for kind in KINDS {
        let signed = kind.sign(1, BODY);
        for (place, bit, flipped) in flips(signed.secret.as_bytes()) {
            // The highest bit of an ASCII character alone makes no text: such a secret cannot be configured.
            let Ok(secret) = String::from_utf8(flipped) else { continue };
            let refused = match Verifier::new(&signed.scheme, &[secret.as_str().into()]) {
                Ok(_) => signed.verify_with(&[&secret]).is_err(),
                Err(error) => matches!(error, InvalidVerification::SecretForm { .. }),
            };
            assert!(refused, "{kind:?} byte {place} bit {bit}");
        }
    }
}

#[test]
fn every_header_is_needed_exactly_once() {
    for kind in KINDS {
        let signed = kind.sign(1, BODY);
        for index in 0..signed.headers.len() {
            let mut without = signed.clone();
            without.headers.remove(index);
            assert!(matches!(without.verify(), Err(SignatureError::Missing(_))), "{kind:?} {index}");
            let mut twice = signed.clone();
            twice.headers.push(signed.headers[index].clone());
            assert!(matches!(twice.verify(), Err(SignatureError::Repeated(_))), "{kind:?} {index}");
            let mut binary = signed.clone();
            binary.headers[index].1 = vec![0xff, 0xfe];
            assert!(matches!(binary.verify(), Err(SignatureError::Malformed(_))), "{kind:?} {index}");
        }
    }
}

#[test]
fn during_a_rotation_any_live_secret_may_have_signed() {
    for kind in KINDS {
        let secrets: Vec<String> = (0..10).map(|seed| kind.secret(seed)).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        for seed in 0..10 {
            assert_eq!(kind.sign(seed, BODY).verify_with(&secrets), Ok(()), "{kind:?} {seed}");
        }
        assert_eq!(kind.sign(10, BODY).verify_with(&secrets), Err(SignatureError::NoMatch), "{kind:?}");
    }
}

#[test]
fn nothing_is_configured_that_checks_less_than_it_seems_to() {
    for kind in KINDS {
        let build = |secrets: &[&str]| {
            let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
            Verifier::new(&kind.scheme(), &secrets).err()
        };
        let secret = kind.secret(1);
        assert_eq!(build(&[secret.as_str(); SECRETS_MAX]), None, "{kind:?}");
        assert_eq!(build(&[]), Some(InvalidVerification::NoSecret), "{kind:?}");
        assert_eq!(build(&[""]), Some(InvalidVerification::EmptySecret { index: 0 }), "{kind:?}");
        assert_eq!(build(&[&secret, ""]), Some(InvalidVerification::EmptySecret { index: 1 }), "{kind:?}");
        assert_eq!(build(&[secret.as_str(); SECRETS_MAX + 1]), Some(InvalidVerification::TooManySecrets), "{kind:?}");
    }
    let with_secret = Verifier::new(&VerificationScheme::None, &["secret".into()]);
    assert_eq!(with_secret.err(), Some(InvalidVerification::UnusedSecret));
    let without = Verifier::new(&VerificationScheme::None, &[]).unwrap();
    assert_eq!(without.verify(&HeaderBlock::default(), b"anything", NOW), Ok(()));
}

#[test]
fn tolerances_are_bounded_in_every_scheme_that_has_one() {
    let scheme = |kind, tolerance_seconds| match kind {
        Kind::Stripe => VerificationScheme::Stripe { tolerance_seconds },
        Kind::Slack => VerificationScheme::Slack { tolerance_seconds },
        _ => VerificationScheme::StandardWebhooks { tolerance_seconds },
    };
    for kind in [Kind::Stripe, Kind::Slack, Kind::StandardV1, Kind::StandardV1a] {
        let secrets = [SecretString::from(kind.secret(1))];
        for seconds in [0, TOLERANCE_SECONDS_MAX + 1] {
            let error = Verifier::new(&scheme(kind, seconds), &secrets).err();
            assert_eq!(error, Some(InvalidVerification::Tolerance), "{kind:?} {seconds}");
        }
        for seconds in [1, TOLERANCE_SECONDS_MAX] {
            assert!(Verifier::new(&scheme(kind, seconds), &secrets).is_ok(), "{kind:?} {seconds}");
        }
    }
}

#[test]
fn nothing_that_is_printed_holds_a_secret_or_a_mac() {
    for kind in KINDS {
        let signed = kind.sign(1, BODY);
        let secrets = [SecretString::from(signed.secret.as_str())];
        let verifier = Verifier::new(&signed.scheme, &secrets).unwrap();
        let shown = format!("{verifier:?} {secrets:?}");
        assert!(!shown.contains(&signed.secret), "{shown}");
        for (index, (_, value)) in signed.headers.iter().enumerate() {
            for (_, _, flipped) in flips(value) {
                let mut changed = signed.clone();
                changed.headers[index].1 = flipped.clone();
                if let Err(error) = changed.verify() {
                    let shown = format!("{error} {error:?}");
                    assert!(!shown.contains(&*String::from_utf8_lossy(&flipped)), "{shown}");
                }
            }
        }
    }
    let odd = "whsec_not base64";
    let error = Verifier::new(&Kind::StandardV1.scheme(), &[odd.into()]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("not base64"), "{error}");
}

#[test]
fn errors_of_a_configuration_begin_with_their_field() {
    let errors = [
        InvalidVerification::NoSecret,
        InvalidVerification::UnusedSecret,
        InvalidVerification::TooManySecrets,
        InvalidVerification::EmptySecret { index: 3 },
        InvalidVerification::SecretForm { index: 3, expected: "something" },
        InvalidVerification::Header,
        InvalidVerification::Prefix,
        InvalidVerification::Tolerance,
    ];
    for error in errors {
        assert!(error.to_string().starts_with(error.field()), "{error}");
    }
}

#[test]
fn schemes_keep_their_stored_form() {
    let cases = [
        (VerificationScheme::None, r#"{"scheme":"none"}"#),
        (
            Kind::HmacHex(HmacAlgorithm::Sha512).scheme(),
            r#"{"scheme":"hmac","algorithm":"sha512","header":"x-signature","encoding":"hex","prefix":"mac="}"#,
        ),
        (Kind::Stripe.scheme(), r#"{"scheme":"stripe","tolerance_seconds":300}"#),
        (Kind::Github.scheme(), r#"{"scheme":"github"}"#),
        (Kind::Shopify.scheme(), r#"{"scheme":"shopify"}"#),
        (Kind::Slack.scheme(), r#"{"scheme":"slack","tolerance_seconds":300}"#),
        (Kind::StandardV1.scheme(), r#"{"scheme":"standard-webhooks","tolerance_seconds":300}"#),
    ];
    for (scheme, json) in cases {
        assert_eq!(serde_json::to_string(&scheme).unwrap(), json);
        assert_eq!(serde_json::from_str::<VerificationScheme>(json).unwrap(), scheme);
    }
    for json in [r#"{"scheme":"gitlab"}"#, r#"{"scheme":""}"#, "{}", r#"{"scheme":"stripe"}"#] {
        assert!(serde_json::from_str::<VerificationScheme>(json).is_err(), "{json}");
    }
    let upper = r#"{"scheme":"hmac","algorithm":"sha1","header":"X-Signature","encoding":"hex","prefix":"mac="}"#;
    let read: VerificationScheme = serde_json::from_str(upper).unwrap();
    assert_eq!(read, Kind::HmacHex(HmacAlgorithm::Sha1).scheme());
}

proptest! {
    #[test]
    fn any_body_round_trips_and_no_other_body_does(
        kind in prop::sample::select(&KINDS[..]), seed in any::<u8>(),
        body in any::<Vec<u8>>(), other in any::<Vec<u8>>(),
    ) {
        let signed = kind.sign(seed, &body);
        prop_assert_eq!(signed.verify(), Ok(()));
        let expected = if body == other { Ok(()) } else { Err(SignatureError::NoMatch) };
        let replaced = Signed { body: other, ..signed };
        prop_assert_eq!(replaced.verify(), expected);
    }

    #[test]
    fn any_header_values_are_refused_without_a_panic(
        kind in prop::sample::select(&KINDS[..]), values in prop::array::uniform3("[ -~é]{0,120}"),
    ) {
        let mut signed = kind.sign(1, BODY);
        for ((_, value), replacement) in signed.headers.iter_mut().zip(values) {
            *value = replacement.into_bytes();
        }
        prop_assert!(signed.verify().is_err());
    }
}
