//! Growing waits between tries that failed.

use std::time::Duration;

use kapsel_core::Entropy;

/// Waits that double from `base` up to `cap`, each with a jitter of ±25 %, so that the instances that share a store do
/// not come back to it in step.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Backoff { base, cap, failures: 0 }
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        let doubled = self.base.saturating_mul(1 << self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        jittered(doubled.min(self.cap), entropy)
    }

    /// Something worked: the next failure starts over.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// `nominal` ± 25 %.
pub(crate) fn jittered(nominal: Duration, entropy: &dyn Entropy) -> Duration {
    nominal.mul_f64(0.75 + 0.5 * entropy.unit())
}

#[cfg(test)]
mod tests {
    use test_harness::SeededEntropy;

    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over() {
        let entropy = SeededEntropy::new(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for nominal in [100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let wait = backoff.next(&entropy);
            let nominal = Duration::from_millis(nominal);
            assert!(wait >= nominal.mul_f64(0.75) && wait <= nominal.mul_f64(1.25), "{wait:?} for {nominal:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next(&entropy) <= Duration::from_millis(2_500));
        }
        backoff.reset();
        assert!(backoff.next(&entropy) <= Duration::from_millis(125));
    }
}
