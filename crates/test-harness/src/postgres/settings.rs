//! What stands in the configuration files of a cluster.

use std::path::Path;

/// Who may come in: the superuser without a password, as each test is alone with its cluster; others with theirs, so
/// that a test of roles tests something.
pub(super) const ACCESS: &str = "\
local all         postgres              trust
local replication postgres              trust
local all         all                   scram-sha-256
host  all         postgres 127.0.0.1/32 trust
host  replication postgres 127.0.0.1/32 trust
host  all         all      127.0.0.1/32 scram-sha-256
";

/// Commits are as durable as in production: a test that kills the server means what it says.
const OURS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("autovacuum", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "64MB"),
    ("password_encryption", "scram-sha-256"),
];

/// The lines to append to `postgresql.conf`. The last line of a name is in force, so that a test can change any.
pub(super) fn lines(folder: &Path, of_the_test: &[(&str, &str)]) -> String {
    let folder = folder.display().to_string();
    let socket = ("unix_socket_directories", folder.as_str());
    OURS.iter().chain([&socket]).chain(of_the_test).map(|(name, value)| line(name, value)).collect()
}

fn line(name: &str, value: &str) -> String {
    format!("{name} = '{}'\n", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_of_a_test_come_last() {
        let lines = lines(Path::new("/tmp/it's"), &[("fsync", "off"), ("application_name", "a 'b'")]);
        let ending = "unix_socket_directories = '/tmp/it''s'\nfsync = 'off'\napplication_name = 'a ''b'''\n";
        assert!(lines.starts_with("listen_addresses = '127.0.0.1'\nfsync = 'on'\n"), "{lines}");
        assert!(lines.ends_with(ending), "{lines}");
    }
}
