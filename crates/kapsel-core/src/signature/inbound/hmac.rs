//! One HMAC over the raw body in one header: the configurable scheme, and the providers that are cases of it.

use std::borrow::Cow;

use secrecy::SecretString;

use super::secrets::MacKeys;
use super::{HeaderRole, HmacAlgorithm, InvalidVerification, MacEncoding, SignatureError, single};
use crate::headers::{HeaderBlock, is_lower_case_name};
use crate::signature::mac::Tag;

/// The check of one header with one MAC.
pub(super) struct BodyMac {
    header: Cow<'static, str>,
    prefix: Cow<'static, str>,
    form: Form,
    tag_len: usize,
    keys: MacKeys,
}

/// How the MAC is written.
enum Form {
    /// In either case, because senders of the configurable scheme do either.
    Hex,
    LowerHex,
    Base64,
}

impl BodyMac {
    /// The scheme `hmac`.
    pub(super) fn custom(
        algorithm: HmacAlgorithm,
        header: &str,
        encoding: MacEncoding,
        prefix: &str,
        secrets: &[SecretString],
    ) -> Result<Self, InvalidVerification> {
        if !is_lower_case_name(header) {
            return Err(InvalidVerification::Header);
        }
        // A server strips blanks from both ends of a header value (RFC 9110, section 5.5).
        if prefix.starts_with(' ') || !prefix.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidVerification::Prefix);
        }
        Ok(BodyMac {
            header: header.to_owned().into(),
            prefix: prefix.to_owned().into(),
            form: match encoding {
                MacEncoding::Hex => Form::Hex,
                MacEncoding::Base64 => Form::Base64,
            },
            tag_len: algorithm.tag_len(),
            keys: MacKeys::from_text(algorithm, secrets)?,
        })
    }

    /// The scheme `github`. Source: GitHub's documentation, "Validating webhook deliveries".
    pub(super) fn github(secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        Self::provider("x-hub-signature-256", "sha256=", Form::LowerHex, secrets)
    }

    /// The scheme `shopify`. Source: Shopify's documentation, "Deliver webhooks through HTTPS".
    pub(super) fn shopify(secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        Self::provider("x-shopify-hmac-sha256", "", Form::Base64, secrets)
    }

    fn provider(
        header: &'static str,
        prefix: &'static str,
        form: Form,
        secrets: &[SecretString],
    ) -> Result<Self, InvalidVerification> {
        let algorithm = HmacAlgorithm::Sha256;
        let keys = MacKeys::from_text(algorithm, secrets)?;
        Ok(BodyMac { header: header.into(), prefix: prefix.into(), form, tag_len: algorithm.tag_len(), keys })
    }

    pub(super) fn verify(&self, headers: &HeaderBlock, body: &[u8]) -> Result<(), SignatureError> {
        let value = single(headers, &self.header, HeaderRole::Signature)?;
        let claimed = value.strip_prefix(&*self.prefix).and_then(|text| match self.form {
            Form::Hex => Tag::from_hex(text, self.tag_len),
            Form::LowerHex => Tag::from_lower_hex(text, self.tag_len),
            Form::Base64 => Tag::from_base64(text, self.tag_len),
        });
        let claimed = claimed.ok_or(SignatureError::Malformed(HeaderRole::Signature))?;
        self.keys.verify(&[body], &[claimed])
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::signature::inbound::{VerificationScheme, Verifier};
    use crate::time::Timestamp;

    const MALFORMED: Result<(), SignatureError> = Err(SignatureError::Malformed(HeaderRole::Signature));

    fn check(
        scheme: &VerificationScheme,
        secret: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<(), SignatureError> {
        let headers = HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        Verifier::new(scheme, &[secret.into()]).unwrap().verify(&headers, body.as_bytes(), Timestamp::EPOCH)
    }

    /// The example of GitHub's documentation.
    #[test]
    fn github_accepts_its_documented_example_in_its_one_form() {
        let mac = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let check = |value: &str, body: &str| {
            let headers = [("X-Hub-Signature-256", value)];
            check(&VerificationScheme::Github, "It's a Secret to Everybody", &headers, body)
        };
        assert_eq!(check(&format!("sha256={mac}"), "Hello, World!"), Ok(()));
        assert_eq!(check(&format!("sha256={mac}"), "Hello, World?"), Err(SignatureError::NoMatch));
        let malformed = [
            String::new(),
            mac.to_owned(),
            "sha256=".to_owned(),
            format!("sha1={mac}"),
            format!("SHA256={mac}"),
            format!("sha256={}", mac.to_uppercase()),
            format!("sha256={mac}00"),
            format!("sha256= {mac}"),
            format!("sha256={mac},sha256={mac}"),
        ];
        for value in malformed {
            assert_eq!(check(&value, "Hello, World!"), MALFORMED, "{value}");
        }
    }

    /// Computed with `printf '{"id":1}' | openssl dgst -sha256 -hmac hush -binary | base64`.
    #[test]
    fn shopify_takes_base64() {
        let check = |value: &str| {
            check(&VerificationScheme::Shopify, "hush", &[("x-shopify-hmac-sha256", value)], r#"{"id":1}"#)
        };
        assert_eq!(check("VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="), Ok(()));
        assert_eq!(check("VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=".trim_end_matches('=')), MALFORMED);
        assert_eq!(check("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), Err(SignatureError::NoMatch));
    }

    /// RFC 2202 and RFC 4231, test case 2, in every algorithm and form.
    #[test]
    fn the_configurable_scheme_takes_every_algorithm_form_and_prefix() {
        let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                      9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        let to_base64 = |mac: &str| STANDARD.encode(hex::decode(mac).unwrap());
        for (algorithm, mac) in
            [(HmacAlgorithm::Sha1, sha1), (HmacAlgorithm::Sha256, sha256), (HmacAlgorithm::Sha512, sha512)]
        {
            for prefix in ["", "sha=", "HMAC ", "v0: "] {
                let verify = |encoding, value: &str| {
                    let header = "x-signature".to_owned();
                    let scheme = VerificationScheme::Hmac { algorithm, header, encoding, prefix: prefix.to_owned() };
                    check(&scheme, "Jefe", &[("x-signature", value)], "what do ya want for nothing?")
                };
                let hex = format!("{prefix}{mac}");
                let base64 = format!("{prefix}{}", to_base64(mac));
                assert_eq!(verify(MacEncoding::Hex, &hex), Ok(()), "{algorithm:?} {prefix}");
                assert_eq!(verify(MacEncoding::Hex, &format!("{prefix}{}", mac.to_uppercase())), Ok(()));
                assert_eq!(verify(MacEncoding::Base64, &base64), Ok(()), "{algorithm:?} {prefix}");
                assert_eq!(verify(MacEncoding::Hex, &base64), MALFORMED, "{algorithm:?} {prefix}");
                assert_eq!(verify(MacEncoding::Base64, &hex), MALFORMED, "{algorithm:?} {prefix}");
                if !prefix.is_empty() {
                    assert_eq!(verify(MacEncoding::Hex, mac), MALFORMED, "{algorithm:?} {prefix}");
                }
            }
        }
    }

    #[test]
    fn headers_and_prefixes_that_no_request_can_have_are_refused() {
        let build = |header: &str, prefix: &str| {
            let secret: SecretString = "s".into();
            BodyMac::custom(HmacAlgorithm::Sha256, header, MacEncoding::Hex, prefix, &[secret]).err()
        };
        assert_eq!(build("x-signature", "sha256="), None);
        for header in ["", "X-Signature", "x signature", "x-signature:", "x\n", "ü"] {
            assert_eq!(build(header, ""), Some(InvalidVerification::Header), "{header:?}");
        }
        for prefix in [" sha256=", "sha256=\n", "\t", "ü", "\u{7f}"] {
            assert_eq!(build("x-signature", prefix), Some(InvalidVerification::Prefix), "{prefix:?}");
        }
    }
}
