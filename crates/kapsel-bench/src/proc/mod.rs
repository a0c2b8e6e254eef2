//! What the kernel tells of processes, read from `/proc`.

pub(crate) mod cpu;
pub(crate) mod memory;
pub(crate) mod writes;
