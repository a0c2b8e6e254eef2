//! From measured fractions to whole numbers, where a negative or absurd one cannot be meant.

/// The nearest whole number; what is negative or no number becomes zero, what is too large the largest.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates from fractions, which is what is asked for"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A count as an index; on a machine where it does not fit, nothing that large exists.
pub(crate) fn index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// A length as a count.
pub(crate) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A quotient, if there is something to divide by.
pub(crate) fn per(value: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| value / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_saturate() {
        assert_eq!(whole(2.5), 3);
        assert_eq!(whole(-7.0), 0);
        assert_eq!(whole(f64::NAN), 0);
        assert_eq!(whole(1e300), u64::MAX);
        assert_eq!(per(1.0, 0.0), None);
        assert_eq!(per(1.0, 4.0), Some(0.25));
    }
}
