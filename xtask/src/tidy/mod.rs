//! Rules over plain text. Each rule is a pure function with tests that show it failing, in a file of its own.
//!
//! To add one: a file here with a function from texts to [`Finding`]s, a call in [`check`], and a word in
//! `docs/TESTING.md`.

mod changelog;
mod doc_paths;
mod error_pages;
mod ignored;
mod leftovers;
mod length;
mod lib_headers;
mod links;
mod markdown;
mod places;
mod sleeps;
mod sql_names;
mod tree;

use std::fmt;

use crate::error::Error;
use crate::workspace::Workspace;
use tree::Tree;

/// Something that a rule does not accept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 stands for the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn at(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }

    fn whole(path: &str, message: impl Into<String>) -> Finding {
        Finding::at(path, 0, message)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Reads the repository and prints what the rules say.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let tree = Tree::read(workspace)?;
    for (path, lines) in length::long_files(&tree) {
        println!("  long, worth a look: {path} has {lines} lines");
    }
    let findings = check(&tree);
    if findings.is_empty() {
        println!("{} files are tidy", tree.count());
        return Ok(());
    }
    let list = findings.iter().map(|finding| format!("  {finding}")).collect::<Vec<_>>().join("\n");
    Err(Error::Found(format!("{} things are not tidy:\n{list}", findings.len())))
}

/// Every finding of every rule, sorted by place.
fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts() {
        findings.extend(doc_paths::check(path, text, tree));
        findings.extend(ignored::check(path, text));
        findings.extend(leftovers::check(path, text));
        findings.extend(length::check(path, text));
        findings.extend(lib_headers::check(path, text));
        findings.extend(links::check(path, text, tree));
        findings.extend(places::check(path, text));
        findings.extend(sleeps::check(path, text));
        findings.extend(sql_names::check(path, text));
    }
    findings.extend(changelog::check(tree));
    findings.extend(error_pages::check(tree));
    findings.sort_unstable();
    findings
}

/// Whether the file is a Rust source.
fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}
