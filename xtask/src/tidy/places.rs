//! Nothing in the repository depends on the machine it was written on, or says where packages come from: both are
//! settings of whoever builds it.

use super::Finding;

/// Package registries. Written in two parts, so that this file does not find itself.
const HOSTS: &[&str] = &[
    concat!("registry.npm", "js.org"),
    concat!("registry.yarn", "pkg.com"),
    concat!("npm", "js.com"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("crates", ".io"),
    concat!("proxy.golang", ".org"),
    concat!("rubygems", ".org"),
];
/// Settings that point a package manager to a registry, whatever its host.
const SETTINGS: &[&str] = &[
    concat!("index", "-url"),
    concat!("registry", "=http"),
    concat!("\"registry", "\": \"http"),
    concat!("\"resolved", "\": \"http"),
    concat!("sparse", "+http"),
];
/// Folders of a person's or a machine's own.
const FOLDERS: &[&str] = &[concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Looks at every text of the repository.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut found = |message: String| findings.push(Finding::at(path, index + 1, message));
        if let Some(host) = HOSTS.iter().find(|host| names_host(line, host)) {
            found(format!("names a package registry, {host}"));
        }
        if let Some(setting) = SETTINGS.iter().find(|setting| line.contains(**setting)) {
            found(format!("chooses a package registry with {setting}"));
        }
        if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            found(format!("names a folder of one machine, {folder}"));
        }
    }
    findings
}

/// `Cargo.lock` names the git address of the default registry's index in each entry, as cargo wants it. That is a
/// longer name (it goes on with `-index`), and so not a host.
fn names_host(line: &str, host: &str) -> bool {
    line.match_indices(host).any(|(at, _)| !line[at + host.len()..].starts_with("-index"))
}

/// Whether the path is absolute: the same words in the middle of another path are harmless.
fn names_folder(line: &str, folder: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || ['_', '-', '.', '}', ')', '*'].contains(&c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_found() {
        for host in HOSTS {
            assert_eq!(check("Cargo.lock", &format!("source = \"https://{host}/x\"")).len(), 1, "{host}");
        }
        for setting in SETTINGS {
            assert_eq!(check("a.txt", &format!("--{setting}://example.com")).len(), 1, "{setting}");
        }
        for folder in FOLDERS {
            assert_eq!(check("docs/a.md", &format!("see `{folder}main`")).len(), 1, "{folder}");
            assert_eq!(check("src/a.rs", &format!("\"{folder}x\"")).len(), 1, "{folder}");
            assert_eq!(check("a", folder).len(), 1, "{folder}");
        }
    }

    #[test]
    fn what_only_looks_like_one_passes() {
        let index = format!("source = \"registry+https://github.com/rust-lang/{}-index\"", HOSTS[5]);
        assert_eq!(check("Cargo.lock", &index), []);
        assert_eq!(check("docs/a.md", &format!("https://example.com{}x", FOLDERS[0])), []);
        assert_eq!(check("docs/a.md", "standardwebhooks from PyPI and npm"), []);
    }
}
