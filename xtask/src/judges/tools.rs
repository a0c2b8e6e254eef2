//! The programs that the judges run on: python3 with venv and pip, node and npm.

use std::path::Path;

use crate::error::Error;
use crate::{debian, process};

/// Where a usable python3 may be. The second is for machines where another Python, without venv, is first on the path.
const PYTHONS: &[&str] = &["python3", "/usr/bin/python3"];

/// What there is of the tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tools {
    /// A Python that can make virtual environments with pip in them.
    python: Option<&'static str>,
    has_node: bool,
}

impl Tools {
    fn look(root: &Path) -> Tools {
        // On Debian, venv without ensurepip is there even when the package python3-venv is not; it cannot do its work.
        let is_usable =
            |python: &&str| process::succeeds(process::in_folder(python, root).args(["-c", "import venv, ensurepip"]));
        let answers = |program: &str| process::succeeds(process::in_folder(program, root).arg("--version"));
        Tools {
            python: PYTHONS.iter().copied().find(|python| is_usable(python)),
            has_node: answers("node") && answers("npm"),
        }
    }

    /// The Debian packages that would fill the gaps.
    fn missing_packages(self) -> Vec<&'static str> {
        let mut packages = Vec::new();
        if self.python.is_none() {
            packages.extend(["python3-venv", "python3-pip"]);
        }
        if !self.has_node {
            packages.push("npm"); // brings node
        }
        packages
    }
}

/// Returns the Python to use. What is missing is installed where we may (Debian, as root); elsewhere the error says
/// what to type. A missing judge is never passed over: tests without their judge prove less than they say.
pub(super) fn require(root: &Path) -> Result<&'static str, Error> {
    let mut tools = Tools::look(root);
    let missing = tools.missing_packages();
    if !missing.is_empty() {
        if !debian::may_install(root) {
            return Err(Error::Found(how_to_install(&missing)));
        }
        debian::install(root, &missing)?;
        tools = Tools::look(root);
    }
    match tools.python {
        Some(python) if tools.has_node => Ok(python),
        _ => Err(Error::Found(how_to_install(&tools.missing_packages()))),
    }
}

fn how_to_install(missing: &[&str]) -> String {
    let line = debian::line_to_type(missing);
    format!(
        "The judges need python3 with venv and pip, node and npm. On Debian or Ubuntu, type:\n  \
         {line}\n\
         Elsewhere, install the same with the system's package manager. Then: cargo xtask judges"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let all = Tools { python: Some("python3"), has_node: true };
        assert!(all.missing_packages().is_empty());
        assert_eq!(Tools { has_node: false, ..all }.missing_packages(), ["npm"]);
        assert_eq!(Tools { python: None, ..all }.missing_packages(), ["python3-venv", "python3-pip"]);
    }

    #[test]
    fn the_message_is_a_command_to_type() {
        let message = how_to_install(&["npm"]);
        assert!(message.contains("apt-get install -y --no-install-recommends npm\n"), "{message}");
    }
}
