//! The embedded storage engine of Kapsel on SQLite.
