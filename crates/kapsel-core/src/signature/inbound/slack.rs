//! The scheme `slack`. Source: Slack's documentation, "Verifying requests from Slack".

use secrecy::SecretString;

use super::secrets::MacKeys;
use super::timestamp::Tolerance;
use super::{HeaderRole, HmacAlgorithm, InvalidVerification, SignatureError, single};
use crate::headers::HeaderBlock;
use crate::signature::mac::Tag;
use crate::time::Timestamp;

/// The check of `X-Slack-Signature: v0=<hex>` over `v0:<X-Slack-Request-Timestamp>:<body>`.
pub(super) struct Slack {
    tolerance: Tolerance,
    keys: MacKeys,
}

impl Slack {
    pub(super) fn new(tolerance_seconds: u32, secrets: &[SecretString]) -> Result<Self, InvalidVerification> {
        let keys = MacKeys::from_text(HmacAlgorithm::Sha256, secrets)?;
        Ok(Slack { tolerance: Tolerance::new(tolerance_seconds)?, keys })
    }

    pub(super) fn verify(&self, headers: &HeaderBlock, body: &[u8], now: Timestamp) -> Result<(), SignatureError> {
        let value = single(headers, "x-slack-signature", HeaderRole::Signature)?;
        let time = single(headers, "x-slack-request-timestamp", HeaderRole::Timestamp)?;
        let claimed = value.strip_prefix("v0=").and_then(|text| {
            // Slack writes lower case.
            Tag::from_lower_hex(text, HmacAlgorithm::Sha256.tag_len())
        });
        let claimed = claimed.ok_or(SignatureError::Malformed(HeaderRole::Signature))?;
        self.tolerance.check(HeaderRole::Timestamp, time, now)?;
        self.keys.verify(&[b"v0:", time.as_bytes(), b":", body], &[claimed])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation.
    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIME: &str = "1531420618";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow\
        &channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner\
        &command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

    fn check_at(seconds: i64, headers: &[(&str, &str)]) -> Result<(), SignatureError> {
        let headers = HeaderBlock::from_pairs(headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let slack = Slack::new(300, &[SECRET.into()]).unwrap();
        slack.verify(&headers, BODY.as_bytes(), Timestamp::from_unix_seconds(seconds))
    }

    fn check(signature: &str, time: &str) -> Result<(), SignatureError> {
        check_at(1_531_420_618, &[("X-Slack-Signature", signature), ("X-Slack-Request-Timestamp", time)])
    }

    #[test]
    fn the_documented_example_is_accepted() {
        assert_eq!(check(SIGNATURE, TIME), Ok(()));
    }

    #[test]
    fn each_kind_of_fault_has_its_own_error() {
        let malformed = SignatureError::Malformed(HeaderRole::Signature);
        for signature in ["", "v0=", &SIGNATURE[3..], &SIGNATURE.replace("v0", "v1"), &SIGNATURE.to_uppercase()] {
            assert_eq!(check(signature, TIME), Err(malformed), "{signature}");
        }
        for time in ["", "-1531420618", "1531420618.0", "99999999999999999999"] {
            assert_eq!(check(SIGNATURE, time), Err(SignatureError::Malformed(HeaderRole::Timestamp)), "{time}");
        }
        assert_eq!(check(SIGNATURE, "1531420619"), Err(SignatureError::NoMatch));
        // The same number, but not the bytes that were signed.
        assert_eq!(check(SIGNATURE, "01531420618"), Err(SignatureError::NoMatch));
        let both = [("x-slack-signature", SIGNATURE), ("x-slack-request-timestamp", TIME)];
        assert_eq!(check_at(1_531_420_919, &both), Err(SignatureError::TooOld));
        assert_eq!(check_at(1_531_420_317, &both), Err(SignatureError::TooNew));
        assert_eq!(check_at(1_531_420_618, &both[..1]), Err(SignatureError::Missing(HeaderRole::Timestamp)));
        assert_eq!(check_at(1_531_420_618, &both[1..]), Err(SignatureError::Missing(HeaderRole::Signature)));
    }
}
