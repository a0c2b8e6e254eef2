//! The last requests to one endpoint.

use std::collections::VecDeque;

use super::policy::CircuitPolicy;

/// Whether each of the last requests failed, the latest at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    failed: VecDeque<bool>,
    failures: u32,
    failures_in_a_row: u32,
}

impl Window {
    /// Takes one more request in. Whether what is known now opens a circuit with this policy; a success never does.
    pub(super) fn push(&mut self, has_failed: bool, policy: &CircuitPolicy) -> bool {
        self.failed.push_back(has_failed);
        self.failures += u32::from(has_failed);
        self.failures_in_a_row = if has_failed { self.failures_in_a_row.saturating_add(1) } else { 0 };
        // The policy may have changed since the last time.
        while self.len() > policy.window_requests {
            if self.failed.pop_front() == Some(true) {
                self.failures -= 1;
            }
        }
        let is_full = self.len() >= policy.window_requests;
        let too_many = u64::from(self.failures) * 100 >= u64::from(self.len()) * u64::from(policy.failure_percent);
        has_failed && (self.failures_in_a_row >= policy.consecutive_failures || (is_full && too_many))
    }

    fn len(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `x` is a failure. Returns after how many requests the circuit opens.
    fn opens_after(requests: &str, policy: CircuitPolicy) -> Option<usize> {
        let mut window = Window::default();
        requests.chars().position(|request| window.push(request == 'x', &policy)).map(|index| index + 1)
    }

    #[test]
    fn failures_in_a_row_and_the_share_of_failures_by_table() {
        let policy = CircuitPolicy::default();
        let cases = [
            ("xxxx", None),
            ("xxxxx", Some(5)),
            ("xxxx.xxxx", None),
            // Eight of ten have failed, but the tenth is a success.
            ("xxxx.xxxx.", None),
            (".x.x.x.x.x", Some(10)),
            ("x.x.x.x.x.", None),
            ("x.x.x.x.x.x", Some(11)),
            (".........x.........x", None),
            ("..........xxxx.x", Some(16)),
        ];
        for (requests, expected) in cases {
            assert_eq!(opens_after(requests, policy), expected, "{requests}");
        }
        let never_by_share = CircuitPolicy { failure_percent: 100, consecutive_failures: 1_000, ..policy };
        assert_eq!(opens_after(&"x".repeat(9), never_by_share), None);
        assert_eq!(opens_after(&"x".repeat(10), never_by_share), Some(10));
    }

    proptest! {
        #[test]
        fn it_opens_exactly_by_the_definition(requests in proptest::collection::vec(any::<bool>(), 0..60)) {
            let policy = CircuitPolicy::default();
            let mut window = Window::default();
            for end in 1..=requests.len() {
                let so_far = &requests[..end];
                let in_a_row = so_far.iter().rev().take_while(|failed| **failed).count();
                let last = &so_far[so_far.len().saturating_sub(10)..];
                let failures = last.iter().filter(|failed| **failed).count();
                let expected = so_far[end - 1] && (in_a_row >= 5 || (last.len() == 10 && failures >= 5));
                prop_assert_eq!(window.push(so_far[end - 1], &policy), expected);
            }
        }
    }
}
