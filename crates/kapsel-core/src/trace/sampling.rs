//! Which traces are recorded.

use super::EventTrace;

/// Takes a certain share of all traces. Every instance, and every start of one, decides alike about a trace, because
/// nothing but its id is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Of the lower 63 bits of a trace id, those below this are taken.
    bound: u64,
}

/// How many values 63 bits have.
const ALL: u64 = 1 << 63;

impl Sampling {
    /// Takes the share `ratio` of the traces that begin here, from 0 (none) to 1 (all).
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the ratio lies between 0 and 1, so the product is a number of 63 bits, and a share needs no more than \
                  the 53 of them that a float holds"
    )]
    pub fn new(ratio: f64) -> Self {
        let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
        Sampling { bound: (ratio * ALL as f64) as u64 }
    }

    /// Whether a trace is recorded. Of one that began at the sender, the sender has decided: half a trace is of no use.
    ///
    /// The rule for the others is that of OpenTelemetry's `TraceIdRatioBased` sampler, so that other services which sample
    /// by it at the same ratio take the same traces.
    pub fn takes(&self, trace: &EventTrace) -> bool {
        if let Some(sender) = &trace.sender {
            return sender.is_sampled();
        }
        let [.., a, b, c, d, e, f, g, h] = *trace.trace_id.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    fn event(number: u64) -> EventId {
        EventId::from_bytes((u128::from(number) << 64 | 7).to_be_bytes())
    }

    fn taken(ratio: f64) -> usize {
        let sampling = Sampling::new(ratio);
        (0..10_000).filter(|number| sampling.takes(&EventTrace::new(event(*number), None))).count()
    }

    #[test]
    fn about_the_wanted_share_is_taken() {
        assert_eq!((taken(0.0), taken(1.0), taken(-1.0), taken(2.0), taken(f64::NAN)), (0, 10_000, 0, 10_000, 0));
        // The ids are fixed, so these are too.
        assert!((50..150).contains(&taken(0.01)), "{}", taken(0.01));
        assert!((4_800..5_200).contains(&taken(0.5)), "{}", taken(0.5));
    }

    #[test]
    fn a_larger_share_takes_what_a_smaller_one_takes() {
        let (few, many) = (Sampling::new(0.1), Sampling::new(0.3));
        for number in 0..1_000 {
            let trace = EventTrace::new(event(number), None);
            assert!(many.takes(&trace) || !few.takes(&trace));
        }
    }

    #[test]
    fn a_sender_has_decided() {
        let trace = |flags: &str| {
            let header = format!("00-ffffffffffffffffffffffffffffffff-00f067aa0ba902b7-{flags}");
            EventTrace::new(event(1), Some(&header))
        };
        assert!(Sampling::new(0.0).takes(&trace("01")));
        assert!(!Sampling::new(1.0).takes(&trace("00")));
    }
}
