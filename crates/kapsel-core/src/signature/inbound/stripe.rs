//! The scheme `stripe`. Source: Stripe's documentation, "Verify webhook signatures manually".

use secrecy::SecretString;

use super::secrets::MacKeys;
use super::timestamp::Tolerance;
use super::{HeaderRole, HmacAlgorithm, InvalidVerification, SignatureError, single};
use crate::headers::HeaderBlock;
use crate::signature::mac::Tag;
use crate::time::Timestamp;

const HEADER: &str = "stripe-signature";
const MALFORMED: SignatureError = SignatureError::Malformed(HeaderRole::Signature);

/// The check of `Stripe-Signature: t=<time>,v1=<hex>[,v1=<hex>][,v0=…]`.
pub(super) struct Stripe {
    tolerance: Tolerance,
    keys: MacKeys,
}

impl Stripe {
    pub(super) fn new(tolerance_seconds: u32, secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        let keys = MacKeys::from_text(HmacAlgorithm::Sha256, secrets)?;
        Ok(Stripe { tolerance: Tolerance::new(tolerance_seconds)?, keys })
    }

    pub(super) fn verify(&self, headers: &HeaderBlock, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let claim = Claim::parse(single(headers, HEADER, HeaderRole::Signature)?)?;
        self.tolerance.check(HeaderRole::Signature, claim.time, now)?;
        self.keys.verify(&[claim.time.as_bytes(), b".", body], &claim.tags)
    }
}

/// What the header claims.
struct Claim<'h> {
    /// The time exactly as it was sent, because that is what was signed.
    time: &'h str,
    /// Every `v1`. Stripe sends one for each live secret while a secret is rolled.
    tags: Vec<Tag>,
}

impl<'h> Claim<'h> {
    /// Reads the header. Other schemes than `v1` are ignored, as Stripe demands: its `v0` is a fake for tests. A `v1`
    /// that is no MAC matches nothing; a header without any is malformed.
    fn parse(value: &'h str) -> Result<Self, SignatureError> {
        let mut time = None;
        let mut tags = Vec::new();
        for item in value.split(',') {
            match item.split_once('=').ok_or(MALFORMED)? {
                // Which of two times was signed could be read both ways.
                ("t", _) if time.is_some() => return Err(MALFORMED),
                ("t", text) => time = Some(text),
                ("v1", text) => tags.extend(Tag::from_lower_hex(text, HmacAlgorithm::Sha256.tag_len())),
                _ => {}
            }
        }
        match time {
            Some(time) if !tags.is_empty() => Ok(Claim { time, tags }),
            _ => Err(MALFORMED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_one`, and `whsec_two`.
    const ONE: &str = "401fbbceeb3818dc562ff77127ba1c62e47e24c9c6cde4d7a6eba85e32dbd058";
    const TWO: &str = "4fb9aa7e8a9678e685ef5c7eafa19ac1eb7c0564196cbe246ca08c2fd799eaf3";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const NOW: Timestamp = Timestamp::from_unix_seconds(1_700_000_000);

    fn check_at(now: Timestamp, secrets: &[&str], value: &str) -> Result<(), SignatureError> {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        let headers = HeaderBlock::from_pairs([("Stripe-Signature", value.as_bytes())]);
        Stripe::new(300, &secrets).unwrap().verify(&headers, BODY, now)
    }

    fn check(secrets: &[&str], value: &str) -> Result<(), SignatureError> {
        check_at(NOW, secrets, value)
    }

    #[test]
    fn every_v1_is_compared_with_every_secret() {
        let zero = "0".repeat(64);
        let accepted = [
            format!("t=1700000000,v1={ONE}"),
            format!("t=1700000000,v1={ONE},v0={zero}"),
            format!("v1={ONE},t=1700000000"),
            format!("t=1700000000,v1={TWO},v1={ONE}"),
            format!("t=1700000000,v1={ONE},v1={TWO}"),
            format!("t=1700000000,v1={zero},v1={zero},v1={ONE}"),
            format!("t=1700000000,v1=broken,v1={ONE}"),
            format!("v2=new,t=1700000000,v0={zero},v1={ONE},x="),
        ];
        for value in accepted {
            for secrets in [&["whsec_one"][..], &["whsec_other", "whsec_one"], &["whsec_one", "whsec_two"]] {
                assert_eq!(check(secrets, &value), Ok(()), "{value}");
            }
        }
    }

    #[test]
    fn other_schemes_and_other_secrets_match_nothing() {
        let value = format!("t=1700000000,v1={ONE}");
        assert_eq!(check(&["whsec_two"], &value), Err(SignatureError::NoMatch));
        assert_eq!(check(&["whsec_one"], &format!("t=1700000001,v1={ONE}")), Err(SignatureError::NoMatch));
        let zero = "0".repeat(64);
        assert_eq!(check(&["whsec_one"], &format!("t=1700000000,v1={zero},v0={ONE}")), Err(SignatureError::NoMatch));
    }

    #[test]
    fn malformed_headers_are_told_from_wrong_ones() {
        let malformed = [
            String::new(),
            "t=1700000000".to_owned(),
            "t=1700000000,v1=".to_owned(),
            format!("v1={ONE}"),
            format!("t=,v1={ONE}"),
            format!("t=-1700000000,v1={ONE}"),
            format!("t=+1700000000,v1={ONE}"),
            format!("t=99999999999999999999,v1={ONE}"),
            format!("t=1700000000,t=1700000000,v1={ONE}"),
            format!("t=1700000000,v1={ONE},t=1"),
            format!("t=1700000000,v0={ONE}"),
            format!("t=1700000000, v1={ONE}"),
            format!("t=1700000000,v1={ONE},"),
            format!("t=1700000000,v1={}", ONE.to_uppercase()),
            format!("t=1700000000;v1={ONE}"),
        ];
        for value in malformed {
            assert_eq!(check(&["whsec_one"], &value), Err(MALFORMED), "{value}");
        }
    }

    #[test]
    fn replays_are_refused() {
        let value = format!("t=1700000000,v1={ONE}");
        let at = |seconds: i64| check_at(Timestamp::from_unix_seconds(1_700_000_000 + seconds), &["whsec_one"], &value);
        assert_eq!(at(300), Ok(()));
        assert_eq!(at(-300), Ok(()));
        assert_eq!(at(301), Err(SignatureError::TooOld));
        assert_eq!(at(-301), Err(SignatureError::TooNew));
    }
}
