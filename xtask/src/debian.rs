//! Packages of Debian and its descendants.

use std::path::Path;

use crate::error::Error;
use crate::process;

/// Whether packages can be installed without asking anybody: on Debian, as root.
pub(crate) fn may_install(root: &Path) -> bool {
    Path::new("/etc/debian_version").exists() && is_root(root)
}

/// Installs the packages.
pub(crate) fn install(root: &Path, packages: &[&str]) -> Result<(), Error> {
    println!("installing {} with apt-get", packages.join(" "));
    process::run(process::in_folder("apt-get", root).args(["update", "--quiet=2"]))?;
    let mut install = process::in_folder("apt-get", root);
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "--yes", "--quiet=2", "--no-install-recommends"]);
    process::run(install.args(packages))
}

/// What a person types to install the packages.
pub(crate) fn line_to_type(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install -y --no-install-recommends {}", packages.join(" "))
}

fn is_root(root: &Path) -> bool {
    process::stdout_of(process::in_folder("id", root).arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_type_names_every_package() {
        let line = line_to_type(&["npm", "python3-pip"]);
        assert!(line.ends_with("apt-get install -y --no-install-recommends npm python3-pip"), "{line}");
    }
}
