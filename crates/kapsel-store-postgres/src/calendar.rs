//! Days and months of UTC, as partitions know them.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};
use kapsel_core::Timestamp;

/// The length of the time that one partition covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Day,
    Month,
}

/// The time that one partition covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period {
    first: Date,
    /// The first day behind it.
    behind: Date,
}

impl Step {
    /// The period in which `time` lies. `None` outside of the years −9999 to 9999.
    pub(crate) fn around(self, time: Timestamp) -> Option<Period> {
        let date = jiff::Timestamp::from_microsecond(time.unix_micros()).ok()?.to_zoned(TimeZone::UTC).date();
        self.from(match self {
            Step::Day => date,
            Step::Month => date.first_of_month(),
        })
    }

    fn from(self, first: Date) -> Option<Period> {
        Some(Period { first, behind: first.checked_add(self.span()).ok()? })
    }

    fn span(self) -> Span {
        match self {
            Step::Day => 1.day(),
            Step::Month => 1.month(),
        }
    }

    /// The periods from that around `from` to that around `to`, at most a few hundred.
    pub(crate) fn between(self, from: Timestamp, to: Timestamp) -> Vec<Period> {
        let (Some(mut next), Some(last)) = (self.around(from), self.around(to)) else { return Vec::new() };
        let mut periods = Vec::new();
        while next <= last && periods.len() < 400 {
            periods.push(next);
            match self.from(next.behind) {
                Some(period) => next = period,
                None => break,
            }
        }
        periods
    }

    /// What the name of a period's partition ends with.
    pub(crate) fn suffix(self, period: Period) -> String {
        let Period { first, .. } = period;
        match self {
            Step::Day => format!("{:04}{:02}{:02}", first.year(), first.month(), first.day()),
            Step::Month => format!("{:04}{:02}", first.year(), first.month()),
        }
    }

    /// The period that a suffix names.
    pub(crate) fn parse(self, suffix: &str) -> Option<Period> {
        let digits = match self {
            Step::Day => suffix.to_owned(),
            Step::Month => format!("{suffix}01"),
        };
        if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i16>().ok();
        let (month, day) = (i8::try_from(number(4..6)?).ok()?, i8::try_from(number(6..8)?).ok()?);
        self.from(Date::new(number(0..4)?, month, day).ok()?)
    }
}

impl Period {
    /// Its first moment.
    pub(crate) fn begin(self) -> Timestamp {
        moment(self.first)
    }

    /// The first moment behind it.
    pub(crate) fn end(self) -> Timestamp {
        moment(self.behind)
    }
}

fn moment(date: Date) -> Timestamp {
    // Midnight exists on every day of UTC.
    let micros = date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp().as_microsecond());
    Timestamp::from_unix_micros(micros.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-01-31T23:59:59Z
    const LATE: Timestamp = Timestamp::from_unix_seconds(1_769_903_999);

    #[test]
    fn a_period_begins_and_ends_at_midnight() {
        let day = Step::Day.around(LATE).unwrap();
        assert_eq!(Step::Day.suffix(day), "20260131");
        assert_eq!(day.end(), LATE + Duration::from_secs(1));
        assert_eq!(day.end().saturating_since(day.begin()), Duration::from_secs(86_400));
        let month = Step::Month.around(LATE).unwrap();
        assert_eq!(Step::Month.suffix(month), "202601");
        assert_eq!(month.end(), day.end());
        assert_eq!(month.end().saturating_since(month.begin()), Duration::from_secs(31 * 86_400));
    }

    #[test]
    fn periods_follow_each_other_without_gaps() {
        for (step, expected) in [(Step::Day, 41), (Step::Month, 3)] {
            let periods = step.between(LATE, LATE + Duration::from_secs(40 * 86_400));
            assert_eq!(periods.len(), expected);
            for pair in periods.windows(2) {
                assert_eq!(pair[0].end(), pair[1].begin());
            }
            for period in periods {
                assert_eq!(step.parse(&step.suffix(period)), Some(period));
            }
        }
    }

    #[test]
    fn other_names_are_no_periods() {
        for suffix in ["", "default", "20261301", "20260230", "2026013", "x0260131"] {
            assert_eq!(Step::Day.parse(suffix), None, "{suffix}");
        }
        assert_eq!(Step::Month.parse("202613"), None);
    }
}
