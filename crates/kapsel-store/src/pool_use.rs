//! How busy the connections of a store are.

/// Connections that are shared for one purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUse {
    /// What they are for, in one word.
    pub name: &'static str,
    /// How many there can be at once.
    pub size: usize,
    /// How many are in use.
    pub busy: usize,
}
