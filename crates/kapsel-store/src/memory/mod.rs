//! The in-memory engine.

/// The in-memory engine.
pub struct MemoryStore;
