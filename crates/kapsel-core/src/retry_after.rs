//! The `Retry-After` header of an answer (RFC 9110, section 10.2.3).

use std::time::Duration;

use crate::time::Timestamp;

/// The longest wait that a destination can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long the destination asks to wait: seconds (decimals are tolerated) or one of the three HTTP date forms,
/// at most 24 h. A time that has passed is a wait of zero. `None` if the value is neither.
pub fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|first: char| first.is_ascii_digit()) && !value.contains(|c: char| c.is_ascii_alphabetic()) {
        let seconds: f64 = value.parse().ok()?;
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(RETRY_AFTER_MAX).min(RETRY_AFTER_MAX));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    let wait = (Timestamp::EPOCH + since_epoch).saturating_since(now);
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_understood() {
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110, two minutes before it.
        let now = Timestamp::from_unix_seconds(784_111_777 - 120);
        let cases = [
            ("0", Some(0.0)),
            ("120", Some(120.0)),
            (" 120 ", Some(120.0)),
            ("120.5", Some(120.5)),
            ("86400", Some(86_400.0)),
            ("86401", Some(86_400.0)),
            ("999999999999999999999999", Some(86_400.0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(120.0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(120.0)),
            ("Sun Nov  6 08:49:37 1994", Some(120.0)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0.0)),
            ("Sun, 06 Nov 2044 08:49:37 GMT", Some(86_400.0)),
            ("", None),
            ("-1", None),
            ("soon", None),
            ("1e5", None),
            ("inf", None),
            ("NaN", None),
            ("12 0", None),
            ("120;", None),
        ];
        for (value, expected) in cases {
            assert_eq!(parse(value, now).map(|wait| wait.as_secs_f64()), expected, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics_or_exceeds_a_day(value in ".{0,40}", now in any::<i64>()) {
            if let Some(wait) = parse(&value, Timestamp::from_unix_micros(now)) {
                prop_assert!(wait <= RETRY_AFTER_MAX);
            }
        }
    }
}
