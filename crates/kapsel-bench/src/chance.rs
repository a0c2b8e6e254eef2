//! Chance: from a seed, so that each run sends the same, and from the system, for names that must not meet.

use rustix::rand::{GetRandomFlags, getrandom};

/// Numbers that look random and are the same for the same seed (SplitMix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub(crate) struct Seeded {
    state: u64,
}

impl Seeded {
    /// A source of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Seeded { state: seed }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A fraction above 0 and not above 1, so that its logarithm exists.
    pub(crate) fn fraction(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// Hexadecimal digits that no other run has, two for each byte.
pub(crate) fn unique_name<const BYTES: usize>() -> String {
    let mut bytes = [0; BYTES];
    // The system has chance from early in its start on; a short read leaves zeros, and names are checked where they matter.
    let _filled = getrandom(&mut bytes, GetRandomFlags::empty());
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same() {
        let numbers = |seed| {
            let mut chance = Seeded::new(seed);
            [chance.bits(), chance.bits(), chance.bits()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }

    #[test]
    fn fractions_fill_the_unit() {
        let mut chance = Seeded::new(7);
        let fractions: Vec<f64> = (0..10_000).map(|_| chance.fraction()).collect();
        assert!(fractions.iter().all(|fraction| *fraction > 0.0 && *fraction <= 1.0));
        let mean = fractions.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }

    #[test]
    fn names_differ() {
        assert_eq!(unique_name::<4>().len(), 8);
        assert_ne!(unique_name::<8>(), unique_name::<8>());
    }
}
