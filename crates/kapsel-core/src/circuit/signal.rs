//! What the outcome of a request says about its destination.

use std::time::Duration;

use crate::attempt::{FailureKind, Outcome};
use crate::retry_after;
use crate::time::Timestamp;

/// The pause after a 429 that does not say how long to wait.
const BUSY_PAUSE_DEFAULT: Duration = Duration::from_secs(1);

/// What an outcome says about the destination as such. That is another question than what becomes of the event: a 404
/// fails its event for good, but the destination that answered it is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It answers. Any answer that is not one of the others, be it a refusal of this event.
    Alive,
    /// It fails: no whole answer, 408, 5xx, a status that the endpoint lists as one to be retried, or none that HTTP
    /// knows.
    Failing,
    /// It works and asks to be left alone for so long: 429, and 503 with a `Retry-After` that lies ahead.
    Busy(Duration),
    /// Nothing about the destination.
    Silent,
}

impl Signal {
    /// What `outcome`, known at `now`, says. `listed` are the statuses that the endpoint wants to have retried.
    pub fn of(outcome: &Outcome, listed: &[u16], now: Timestamp) -> Signal {
        let head = match outcome {
            Outcome::Failure { kind: FailureKind::Internal, .. } => return Signal::Silent,
            Outcome::Failure { .. } => return Signal::Failing,
            Outcome::Response(head) => head,
        };
        let asked = head.headers.get_str("retry-after").and_then(|value| retry_after::parse(value, now));
        let asked = asked.filter(|wait| !wait.is_zero());
        match (head.status, asked) {
            (429, asked) => Signal::Busy(asked.unwrap_or(BUSY_PAUSE_DEFAULT)),
            (503, Some(asked)) => Signal::Busy(asked),
            (408 | 500..600, _) => Signal::Failing,
            (200..500, _) if !listed.contains(&head.status) => Signal::Alive,
            _ => Signal::Failing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::ResponseHead;
    use crate::headers::HeaderBlock;

    const NOW: Timestamp = Timestamp::from_unix_seconds(784_111_777);

    fn answer(status: u16, retry_after: Option<&str>) -> Outcome {
        let headers = HeaderBlock::from_pairs(retry_after.iter().map(|value| ("retry-after", value.as_bytes())));
        Outcome::Response(ResponseHead { status, headers, ..ResponseHead::default() })
    }

    #[test]
    fn statuses_by_table() {
        let busy = |seconds| Signal::Busy(Duration::from_secs(seconds));
        let cases = [
            (200, None, Signal::Alive),
            (204, Some("10"), Signal::Alive),
            (302, None, Signal::Alive),
            (400, None, Signal::Alive),
            (401, None, Signal::Alive),
            (404, None, Signal::Alive),
            (410, None, Signal::Alive),
            (422, None, Signal::Alive),
            (425, None, Signal::Alive),
            (408, None, Signal::Failing),
            (408, Some("10"), Signal::Failing),
            (500, Some("10"), Signal::Failing),
            (502, None, Signal::Failing),
            (503, None, Signal::Failing),
            (504, None, Signal::Failing),
            (100, None, Signal::Failing),
            (600, None, Signal::Failing),
            (503, Some("10"), busy(10)),
            (503, Some("0"), Signal::Failing),
            (503, Some("soon"), Signal::Failing),
            (503, Some("Sun, 06 Nov 1994 08:49:00 GMT"), Signal::Failing),
            (503, Some("Sun, 06 Nov 1994 08:49:47 GMT"), busy(10)),
            (429, None, busy(1)),
            (429, Some("0"), busy(1)),
            (429, Some("-5"), busy(1)),
            (429, Some("120"), busy(120)),
            (429, Some("99999999"), busy(86_400)),
        ];
        for (status, retry_after, expected) in cases {
            assert_eq!(Signal::of(&answer(status, retry_after), &[], NOW), expected, "{status} {retry_after:?}");
        }
    }

    #[test]
    fn a_status_that_is_to_be_retried_is_a_failure() {
        assert_eq!(Signal::of(&answer(404, None), &[404], NOW), Signal::Failing);
        assert_eq!(Signal::of(&answer(404, None), &[403], NOW), Signal::Alive);
    }

    #[test]
    fn no_whole_answer_is_a_failure_unless_it_is_our_own() {
        for kind in FailureKind::ALL.iter().copied() {
            let head = Some(ResponseHead { status: 200, ..ResponseHead::default() });
            let outcome = Outcome::Failure { kind, detail: String::new(), head };
            let expected = if kind == FailureKind::Internal { Signal::Silent } else { Signal::Failing };
            assert_eq!(Signal::of(&outcome, &[], NOW), expected, "{kind:?}");
        }
    }
}
