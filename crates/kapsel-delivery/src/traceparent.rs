//! The `traceparent` header (W3C Trace Context, version 00).

use std::fmt;

/// The place of a request in a distributed trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: [u8; 16],
    span_id: [u8; 8],
    flags: u8,
}

/// The flag that says that the trace is being recorded.
const SAMPLED: u8 = 1;
/// The length of a version 00 value.
const LENGTH: usize = 55;

impl TraceParent {
    /// The header of an outgoing request: a new span in the source's trace if `incoming` is a valid `traceparent`, in
    /// a new trace otherwise. `random` becomes the trace id and the span id.
    ///
    /// A new trace is marked as sampled: most tracers leave the decision to their parent, and a destination that has
    /// traced all webhooks so far shall not go blind because they now pass through Kapsel.
    pub fn continued(incoming: Option<&str>, random: [u8; 24]) -> Self {
        let (trace_id, span_id) = split_random(random);
        match incoming.and_then(TraceParent::parse) {
            Some(parent) => TraceParent { trace_id: parent.trace_id, span_id, flags: parent.flags },
            None => TraceParent { trace_id, span_id, flags: SAMPLED },
        }
    }

    /// Reads a header value. Values of later versions are read as far as version 00 goes, as the standard asks for
    /// (section 4.3).
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim().as_bytes();
        let (version, behind) = (value.get(..2)?, value.get(LENGTH..)?);
        let is_first_version = version == b"00";
        let length_fits = behind.is_empty() || (!is_first_version && behind.starts_with(b"-"));
        let separators = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
        let [version] = hex(version)?;
        if version == 0xff || !length_fits || !separators {
            return None;
        }
        let trace_id: [u8; 16] = hex(value.get(3..35)?)?;
        let span_id: [u8; 8] = hex(value.get(36..52)?)?;
        let [flags] = hex(value.get(53..55)?)?;
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        // Only the flag that version 00 defines is passed on (section 3.2.2.5).
        Some(TraceParent { trace_id, span_id, flags: flags & SAMPLED })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace_id, span_id) = (u128::from_be_bytes(self.trace_id), u64::from_be_bytes(self.span_id));
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", self.flags)
    }
}

/// All-zero ids are invalid, so a generator that returned zeroes must not make one.
fn split_random(random: [u8; 24]) -> ([u8; 16], [u8; 8]) {
    let mut trace_id = [0; 16];
    let mut span_id = [0; 8];
    trace_id.copy_from_slice(&random[..16]);
    span_id.copy_from_slice(&random[16..]);
    if trace_id == [0; 16] {
        trace_id[15] = 1;
    }
    if span_id == [0; 8] {
        span_id[7] = 1;
    }
    (trace_id, span_id)
}

/// Lower-case hex digits alone, as the standard demands.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RANDOM: [u8; 24] = [7; 24];
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_trace_goes_on_under_a_new_span() {
        let next = TraceParent::continued(Some(PARENT), RANDOM).to_string();
        assert_eq!(next, "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
        let unsampled = PARENT.replace("-01", "-00");
        assert!(TraceParent::continued(Some(&unsampled), RANDOM).to_string().ends_with("-00"));
    }

    #[test]
    fn anything_else_starts_a_new_trace() {
        let fresh = "00-07070707070707070707070707070707-0707070707070707-01";
        let invalid = [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01extra",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é",
        ];
        for value in invalid {
            assert_eq!(TraceParent::continued(Some(value), RANDOM).to_string(), fresh, "{value:?}");
        }
        assert_eq!(TraceParent::continued(None, RANDOM).to_string(), fresh);
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more";
        let next = TraceParent::continued(Some(later), RANDOM).to_string();
        assert_eq!(next, "00-4bf92f3577b34da6a3ce929d0e0e4736-0707070707070707-01");
    }

    #[test]
    fn a_generator_of_zeroes_makes_valid_ids() {
        let made = TraceParent::continued(None, [0; 24]);
        assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
    }

    proptest! {
        #[test]
        fn what_is_made_is_always_valid(incoming in ".{0,60}", random in any::<[u8; 24]>()) {
            let made = TraceParent::continued(Some(&incoming), random);
            prop_assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
        }
    }
}
