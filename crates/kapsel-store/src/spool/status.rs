//! How a spool is doing, for people and machines that watch.

/// A webhook of this size and its headers should still fit for a spool to count as having room. Most are far smaller.
const ROOM_BYTES: u64 = 64 * 1024;

/// Where new events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpoolState {
    /// To the store.
    Direct,
    /// Into the spool, because the store is away or earlier events wait there.
    Spooling,
}

impl SpoolState {
    /// The word that the health route shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            SpoolState::Direct => "direct",
            SpoolState::Spooling => "spooling",
        }
    }
}

/// How a spool is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Where new events go.
    pub state: SpoolState,
    /// Events in the spool.
    pub events: u64,
    /// Bytes of their bodies and headers.
    pub bytes: u64,
    /// How many bytes the spool takes at most.
    pub bytes_max: u64,
    /// Events among them that the store refuses. They are kept; those behind them are not held up.
    pub refused: u64,
}

impl SpoolStatus {
    /// Whether a usual event still fits.
    pub fn has_room(&self) -> bool {
        self.bytes.saturating_add(ROOM_BYTES) <= self.bytes_max
    }
}

/// Shows how a spool is doing.
pub trait SpoolGauge: Send + Sync {
    /// At this moment. Costs nothing.
    fn spool_status(&self) -> SpoolStatus;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_has_room_while_a_usual_event_fits() {
        let status = |bytes| SpoolStatus {
            state: SpoolState::Spooling,
            events: 1,
            bytes,
            bytes_max: 10 * ROOM_BYTES,
            refused: 0,
        };
        assert!(status(0).has_room());
        assert!(status(9 * ROOM_BYTES).has_room());
        assert!(!status(9 * ROOM_BYTES + 1).has_room());
        assert!(!status(u64::MAX).has_room());
    }
}
