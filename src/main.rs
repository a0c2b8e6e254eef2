//! Kapsel.
fn main() {}
