//! Seconds of the Unix epoch as a date (RFC 3339, in UTC).

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// The Gregorian calendar repeats itself after 400 years.
const ERA_YEARS: u64 = 400;
const ERA_DAYS: u64 = 146_097;
const MONTH_DAYS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// The date and time of day; beyond the year 9999, which RFC 3339 cannot write, the seconds alone.
pub(crate) fn rfc3339(unix_seconds: u64) -> String {
    let (days, seconds) = (unix_seconds / DAY_SECONDS, unix_seconds % DAY_SECONDS);
    let mut year = 1970 + days / ERA_DAYS * ERA_YEARS;
    if year > 9999 {
        return format!("{unix_seconds} s after 1970");
    }
    let mut day = days % ERA_DAYS;
    while day >= year_days(year) {
        day -= year_days(year);
        year += 1;
    }
    let mut month = 1;
    for (index, length) in MONTH_DAYS.into_iter().enumerate() {
        let length = if index == 1 && is_leap(year) { length + 1 } else { length };
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    if year > 9999 {
        return format!("{unix_seconds} s after 1970");
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", day + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn year_days(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    /// The right-hand sides are what `date --utc --date=@N` prints.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_679_315_147, "2023-03-20T12:25:47Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (1_798_675_200, "2026-12-31T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "253402300800 s after 1970"),
            (u64::MAX, "18446744073709551615 s after 1970"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }
}
