//! From what was written down during a run to its figures. Nothing here measures; everything can be computed again.

pub(crate) mod covered;
pub(crate) mod distribution;
pub(crate) mod flow;
pub(crate) mod slope;
