//! Writes the OpenAPI document that the program serves to `openapi/kapsel.json`. A test of `kapsel-api` compares the two.

use std::fs;

use crate::error::{Error, io_error};
use crate::process;
use crate::workspace::Workspace;

const DOCUMENT: &str = "openapi/kapsel.json";
const PRINT: &[&str] = &["run", "--quiet", "--package", "kapsel-api", "--example", "openapi", "--locked"];

/// Writes it.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let text = process::stdout_of(&mut process::cargo(workspace.root(), PRINT))?;
    let path = workspace.root().join(DOCUMENT);
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        println!("{DOCUMENT} is as it should be");
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io_error(|| "create the folder openapi".to_owned()))?;
    }
    fs::write(&path, text).map_err(io_error(|| format!("write {DOCUMENT}")))?;
    println!("{DOCUMENT} was written");
    Ok(())
}
