//! Slow growth: how many requests may be under way to a destination that has just recovered.

/// A limit that begins with 1 and doubles when as many requests have succeeded as it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    limit: u32,
    successes: u32,
}

impl Ramp {
    /// The beginning: one request at a time.
    pub const START: Ramp = Ramp { limit: 1, successes: 0 };

    /// How many requests may be under way.
    pub fn limit(self) -> u32 {
        self.limit
    }

    /// After one more success. `None` when the limit has reached `full`, the number that is allowed anyway.
    #[must_use]
    pub fn succeeded(self, full: u32) -> Option<Ramp> {
        let successes = self.successes + 1;
        let next = if successes < self.limit {
            Ramp { successes, ..self }
        } else {
            Ramp { limit: self.limit.saturating_mul(2), successes: 0 }
        };
        (next.limit < full).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_with_each_round_of_successes() {
        let mut ramp = Some(Ramp::START);
        let mut limits = Vec::new();
        while let Some(present) = ramp {
            limits.push(present.limit());
            ramp = present.succeeded(16);
        }
        assert_eq!(limits, [1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8]);
        assert_eq!(Ramp::START.succeeded(1), None);
        assert_eq!(Ramp::START.succeeded(2), None);
    }
}
