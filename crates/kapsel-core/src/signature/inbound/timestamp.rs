//! The time of signing that a sender claims, and how far it may lie from the present.

use super::{HeaderRole, InvalidVerification, SignatureError, TOLERANCE_SECONDS_MAX};
use crate::time::Timestamp;

/// How far a claimed time may lie from the present, in either direction.
pub(super) struct Tolerance {
    seconds: u64,
}

impl Tolerance {
    pub(super) fn new(seconds: u32) -> Result<Self, InvalidVerification> {
        if !(1..=TOLERANCE_SECONDS_MAX).contains(&seconds) {
            return Err(InvalidVerification::Tolerance);
        }
        Ok(Tolerance { seconds: u64::from(seconds) })
    }

    /// Checks a claimed time, `text`, which came in the header `role`. Both times count in whole seconds, because
    /// senders round down.
    ///
    /// Asked before any MAC is computed: a replay is then refused at no cost, and what it tells the sender, the
    /// sender knows.
    pub(super) fn check(&self, role: HeaderRole, text: &str, now: Timestamp) -> Result<(), SignatureError> {
        let claimed = parse_seconds(text).ok_or(SignatureError::Malformed(role))?;
        let now = now.unix_seconds();
        if now.abs_diff(claimed) <= self.seconds {
            Ok(())
        } else if claimed < now {
            Err(SignatureError::TooOld)
        } else {
            Err(SignatureError::TooNew)
        }
    }
}

/// Seconds since the Unix epoch in plain decimal digits: no sign, no blank, no fraction, nothing beyond 63 bits.
fn parse_seconds(text: &str) -> Option<i64> {
    // The parser of the standard library would take a leading sign.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_integers_are_times() {
        assert_eq!(parse_seconds("1614265330"), Some(1_614_265_330));
        assert_eq!(parse_seconds("0"), Some(0));
        assert_eq!(parse_seconds("9223372036854775807"), Some(i64::MAX));
        let refused = [
            "",
            "-1",
            "+1614265330",
            " 1614265330",
            "1614265330 ",
            "1614265330.0",
            "1e9",
            "0x60",
            "٣",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999999999999999999999999",
        ];
        for text in refused {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }

    #[test]
    fn the_tolerance_holds_in_both_directions_to_the_second() {
        let tolerance = Tolerance::new(300).unwrap();
        let now = Timestamp::from_unix_micros(1_000_000_999_999);
        let check = |text: &str| tolerance.check(HeaderRole::Timestamp, text, now);
        for text in ["999700", "1000000", "1000300"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        assert_eq!(check("999699"), Err(SignatureError::TooOld));
        assert_eq!(check("0"), Err(SignatureError::TooOld));
        assert_eq!(check("1000301"), Err(SignatureError::TooNew));
        assert_eq!(check("9223372036854775807"), Err(SignatureError::TooNew));
        assert_eq!(check("now"), Err(SignatureError::Malformed(HeaderRole::Timestamp)));
    }

    #[test]
    fn a_tolerance_is_neither_zero_nor_endless() {
        for seconds in [1, 300, 86_400] {
            assert!(Tolerance::new(seconds).is_ok(), "{seconds}");
        }
        for seconds in [0, 86_401, u32::MAX] {
            assert_eq!(Tolerance::new(seconds).err(), Some(InvalidVerification::Tolerance), "{seconds}");
        }
    }
}
