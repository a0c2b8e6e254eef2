//! Numbers as C2SP's text formats write them.

/// Reads ASCII decimal digits without a sign and without leading zeros; `0` is written `0`.
pub(crate) fn parse_u64(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = text.len() > 1 && text.starts_with('0');
    if is_number && !has_leading_zero { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse_u64;

    #[test]
    fn a_number_has_one_text() {
        assert_eq!(parse_u64("0"), Some(0));
        assert_eq!(parse_u64("18446744073709551615"), Some(u64::MAX));
        for wrong in ["", "00", "01", "+1", "-1", " 1", "1 ", "1_0", "1.0", "0x1", "١", "18446744073709551616"] {
            assert_eq!(parse_u64(wrong), None, "{wrong}");
        }
    }
}
