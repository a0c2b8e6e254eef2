//! PostgreSQL's server programs, which the tests start clusters of their own with.

mod find;

use std::path::Path;

use crate::debian;
use crate::error::Error;
use crate::workspace::Workspace;

/// The Debian package that brings the server and the client of one version.
const PACKAGE: &str = "postgresql";

/// Makes sure that the programs are there. They are installed where we may; elsewhere the error says what to type.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let bin = require(find::find_bin, || install(workspace.root()))?;
    println!("the server programs are in {}", bin.display());
    Ok(())
}

/// Whether something was installed, so that a second look is worth it.
fn install(root: &Path) -> Result<bool, Error> {
    let may = debian::may_install(root);
    if may {
        debian::install(root, &[PACKAGE])?;
    }
    Ok(may)
}

fn require<T>(find: impl Fn() -> Result<T, String>, install: impl FnOnce() -> Result<bool, Error>) -> Result<T, Error> {
    match find() {
        Ok(found) => Ok(found),
        Err(message) if !install()? => Err(Error::Found(message)),
        Err(_) => find().map_err(Error::Found),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_there_is_not_installed_again() {
        let found = require(|| Ok("here"), || panic!("nothing to install"));
        assert_eq!(found.unwrap(), "here");
    }

    #[test]
    fn after_an_installation_it_is_looked_for_again() {
        let is_installed = Cell::new(false);
        let find = || if is_installed.get() { Ok("here") } else { Err("not here".to_owned()) };
        let install = || {
            is_installed.set(true);
            Ok(true)
        };
        assert_eq!(require(find, install).unwrap(), "here");
    }

    #[test]
    fn where_nothing_may_be_installed_the_message_is_a_command_to_type() {
        let refused = require(|| Err::<(), _>("type this".to_owned()), || Ok(false));
        assert_eq!(refused.unwrap_err().to_string(), "type this");
        let message = find::how_to_install();
        assert!(message.contains(&format!("\n  {}\n", debian::line_to_type(&[PACKAGE]))), "{message}");
    }
}
