//! Durations as people write them.

use std::time::Duration;

/// `10s`, `5m`, `1h`, `500ms`, or a number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let seconds = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => return Err(format!("there is no unit {unit}; there are ms, s, m and h")),
    };
    let number: f64 = digits.parse().map_err(|_| "a duration is a number and a unit, such as 10s".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        let cases = [("10s", 10_000), ("10", 10_000), ("5m", 300_000), ("1.5h", 5_400_000), ("250ms", 250)];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in ["", "s", "10 days", "-1s", "1d", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
