//! The `traceparent` header (W3C Trace Context, version 00).

use std::fmt;

use super::{SpanId, TraceId};

/// The place of a request in a distributed trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
}

/// The flag that says that the trace is being recorded.
const SAMPLED: u8 = 1;
/// The length of a version 00 value.
const LENGTH: usize = 55;

impl TraceParent {
    /// The header of a request that is the span `span_id` of a trace.
    pub fn new(trace_id: TraceId, span_id: SpanId, is_sampled: bool) -> Self {
        TraceParent { trace_id, span_id, flags: if is_sampled { SAMPLED } else { 0 } }
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span that the request is.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether the trace is being recorded, as far as the sender knows.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
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
        let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
        Some(TraceParent { trace_id, span_id, flags: flags & SAMPLED })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
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

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_value_is_read_and_written_alike() {
        let parent = TraceParent::parse(PARENT).unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert!(parent.is_sampled());
        assert_eq!(parent.to_string(), PARENT);
        assert!(!TraceParent::parse(&PARENT.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn anything_else_is_none() {
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
            assert_eq!(TraceParent::parse(value), None, "{value:?}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-more";
        assert_eq!(TraceParent::parse(later).unwrap().to_string(), PARENT);
    }

    proptest! {
        #[test]
        fn what_is_made_is_always_valid(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), is_sampled: bool) {
            let made = TraceParent::new(TraceId::from_bytes(trace), SpanId::from_bytes(span), is_sampled);
            prop_assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
        }

        #[test]
        fn what_is_read_comes_back(text in ".{0,60}") {
            if let Some(read) = TraceParent::parse(&text) {
                prop_assert_eq!(TraceParent::parse(&read.to_string()), Some(read));
            }
        }
    }

    #[test]
    fn zeroes_make_valid_ids() {
        let made = TraceParent::new(TraceId::from_bytes([0; 16]), SpanId::from_bytes([0; 8]), true);
        assert_eq!(TraceParent::parse(&made.to_string()), Some(made));
    }
}
