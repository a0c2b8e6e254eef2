//! Whose processes the servers are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Users without rights that the servers of root may belong to, the first that exists: Debian's package makes the
/// first, and every system has the second.
const UNPRIVILEGED: &[&str] = &["postgres", "nobody"];

/// The user that the servers run as: we ourselves, unless we are root, whom PostgreSQL refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    other: Option<Ids>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ids {
    user: u32,
    group: u32,
}

impl Account {
    /// The one to use in this process.
    pub(super) fn of_servers() -> Account {
        let id = Command::new("id").arg("-u").stdin(Stdio::null()).output().expect("start id");
        if id.stdout.trim_ascii() != b"0" {
            return Account { other: None };
        }
        let users = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
        let other = unprivileged(&users);
        assert!(other.is_some(), "PostgreSQL does not run as root, and there is no other user to run it as");
        Account { other }
    }

    /// A program that will run as this user, in a folder and an environment that mean nothing to PostgreSQL: what a
    /// person has set for the own databases must not reach those of a test.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"PG") {
                command.env_remove(name);
            }
        }
        // Messages are read by tests, and times in logs by people in several places.
        command.env("LC_ALL", "C").env("TZ", "UTC");
        // Another user may not be allowed into the current folder.
        command.current_dir("/");
        if let Some(ids) = self.other {
            command.uid(ids.user).gid(ids.group);
        }
        command
    }

    /// Where this user can make folders and remove them. Root's own temporary folder may be closed to others.
    pub(super) fn folder_base(&self) -> PathBuf {
        if self.other.is_some() { Path::new("/tmp").to_owned() } else { std::env::temp_dir() }
    }
}

/// The ids of the first user that is there; `users` has the form of `/etc/passwd`.
fn unprivileged(users: &str) -> Option<Ids> {
    let ids_of = |name: &&str| {
        users.lines().find_map(|line| {
            let mut fields = line.strip_prefix(name)?.strip_prefix(':')?.split(':').skip(1);
            Some(Ids { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
        })
    };
    UNPRIVILEGED.iter().find_map(ids_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65533:nobody:/nonexistent:/bin/false\n";

    #[test]
    fn the_user_made_for_postgresql_comes_first() {
        let users = format!("{USERS}postgres2:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/:/bin/bash\n");
        assert_eq!(unprivileged(&users), Some(Ids { user: 101, group: 104 }));
        assert_eq!(unprivileged(USERS), Some(Ids { user: 65534, group: 65533 }));
        assert_eq!(unprivileged("root:x:0:0:root:/:/bin/sh\n"), None);
    }

    #[test]
    fn root_is_nobody_to_a_server() {
        assert_ne!(Account::of_servers().other, Some(Ids { user: 0, group: 0 }));
        let id = Account::of_servers().command("id").arg("-u").output().unwrap();
        assert!(id.status.success());
        assert_ne!(id.stdout, b"0\n");
    }
}
