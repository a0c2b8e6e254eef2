//! Chance, and the port it comes through.

/// Where random bytes come from. Injected like the clock, so that a simulation can be replayed from one seed.
pub trait Entropy: Send + Sync {
    /// Fills `buffer` with random bytes. The system implementation is fit for keys.
    fn fill(&self, buffer: &mut [u8]);

    /// A random 64-bit number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A random number in `0.0 ..= 1.0`, the form in which pure policies take their jitter.
    fn unit(&self) -> f64 {
        // 53 bits fill the mantissa exactly.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit the mantissa of an f64")]
        let numerator = (self.next_u64() >> 11) as f64;
        numerator / 9_007_199_254_740_991.0
    }
}

/// The operating system's generator, by way of a per-thread ChaCha generator that reseeds itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's random number generator")]
    fn fill(&self, buffer: &mut [u8]) {
        use rand::Rng as _;
        rand::rng().fill_bytes(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u8);

    impl Entropy for Constant {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn unit_spans_zero_to_one() {
        assert!(Constant(0x00).unit().abs() < f64::EPSILON);
        assert!((Constant(0xff).unit() - 1.0).abs() < f64::EPSILON);
        for _ in 0..1_000 {
            let unit = SystemEntropy.unit();
            assert!((0.0..=1.0).contains(&unit), "{unit}");
        }
    }

    #[test]
    fn system_entropy_does_not_repeat() {
        assert_ne!(SystemEntropy.next_u64(), SystemEntropy.next_u64());
    }
}
