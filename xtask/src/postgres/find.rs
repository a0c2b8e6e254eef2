//! Where PostgreSQL's server programs are. Most systems keep them off the path, in a folder for each version.
//!
//! This file uses nothing but the standard library and is compiled twice: here, and in the test harness, which must
//! look in the same places.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// What has to be in one folder: the server's programs, and the client of the same version.
const PROGRAMS: &[&str] = &["initdb", "pg_ctl", "postgres", "psql"];

/// Where versions stand side by side: a folder, and how the names in it begin. What follows is the version.
const PLACES: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),         // Debian
    ("/usr", "pgsql-"),                  // PostgreSQL's own packages for Fedora and its relatives
    ("/opt/homebrew/opt", "postgresql"), // Homebrew
    ("/usr/local/opt", "postgresql"),    // Homebrew on Intel
];
/// Fedora's own packages.
const FEDORA: &str = "/usr/bin";

/// The folder with the server's programs: the first on the path, otherwise that of the highest version in the usual
/// places. The error is for people and holds the command to type.
pub(crate) fn find_bin() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|folder| real_folder(&folder));
    let candidates = on_path.chain(usual_folders(names_in));
    first_complete(candidates, Path::is_file).ok_or_else(how_to_install)
}

/// The path may hold a link to `initdb` alone; the other programs stand beside the file that it leads to.
fn real_folder(folder: &Path) -> Option<PathBuf> {
    let initdb = folder.join("initdb").canonicalize().ok()?;
    initdb.parent().map(Path::to_owned)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The usual places, in the order in which they are looked at; some of them are not there.
fn usual_folders(names_in: impl Fn(&Path) -> Vec<String>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, prefix) in PLACES {
        let names = names_in(Path::new(parent)).into_iter();
        let mut versions: Vec<(u32, String)> =
            names.filter_map(|name| Some((version(name.strip_prefix(prefix)?)?, name))).collect();
        versions.sort_unstable_by_key(|(version, _)| Reverse(*version));
        folders.extend(versions.iter().map(|(_, name)| Path::new(parent).join(name).join("bin")));
    }
    folders.push(PathBuf::from(FEDORA));
    folders
}

/// The number behind the name; a name without one comes last. Versions before 10, as 9.6, are too old to be of use.
fn version(rest: &str) -> Option<u32> {
    let digits = rest.strip_prefix('@').unwrap_or(rest);
    if rest.is_empty() { Some(0) } else { digits.parse().ok() }
}

fn first_complete(candidates: impl Iterator<Item = PathBuf>, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let is_complete = |folder: &PathBuf| PROGRAMS.iter().all(|program| is_file(&folder.join(program)));
    candidates.into_iter().find(is_complete)
}

pub(super) fn how_to_install() -> String {
    format!(
        "The tests start PostgreSQL servers of their own, and the programs for it ({}) were not found in one folder, \
         neither on the path nor in the usual places. On Debian or Ubuntu, type:\n  \
         sudo apt-get update && sudo apt-get install -y --no-install-recommends postgresql\n\
         Elsewhere: sudo dnf install -y postgresql-server (Fedora), brew install postgresql (Homebrew).",
        PROGRAMS.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(there: &[(&str, &[&str])]) -> Vec<String> {
        let names_in = |folder: &Path| {
            let names = there.iter().find(|(path, _)| Path::new(path) == folder).map(|(_, names)| *names);
            names.unwrap_or_default().iter().map(|name| (*name).to_owned()).collect()
        };
        usual_folders(names_in).iter().map(|folder| folder.display().to_string()).collect()
    }

    #[test]
    fn the_highest_version_comes_first() {
        let there: &[(&str, &[&str])] = &[("/usr/lib/postgresql", &["9.6", "9", "17", "lost+found", "15"])];
        let expected =
            ["/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9/bin", "/usr/bin"];
        assert_eq!(usual(there), expected);
    }

    #[test]
    fn every_system_has_its_places() {
        let there: &[(&str, &[&str])] = &[
            ("/usr", &["bin", "pgsql-16", "pgsql-17", "lib"]),
            ("/opt/homebrew/opt", &["postgresql", "postgresql@14", "postgresql@17", "postgresqlfoo"]),
            ("/usr/local/opt", &["postgresql@16"]),
        ];
        let expected = [
            "/usr/pgsql-17/bin",
            "/usr/pgsql-16/bin",
            "/opt/homebrew/opt/postgresql@17/bin",
            "/opt/homebrew/opt/postgresql@14/bin",
            "/opt/homebrew/opt/postgresql/bin",
            "/usr/local/opt/postgresql@16/bin",
            "/usr/bin",
        ];
        assert_eq!(usual(there), expected);
    }

    #[test]
    fn a_folder_with_the_client_alone_is_passed_over() {
        let candidates = ["/client", "/server"].map(PathBuf::from);
        let is_file = |file: &Path| file == Path::new("/client/psql") || file.starts_with("/server");
        assert_eq!(first_complete(candidates.clone().into_iter(), is_file), Some(PathBuf::from("/server")));
        assert_eq!(first_complete(candidates.into_iter(), |_| false), None);
    }
}
