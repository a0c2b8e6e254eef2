//! A path that a document names must exist, or the map is wrong.

use super::tree::Tree;
use super::{Finding, markdown};

/// A name with a `/` that ends like this is meant as a path.
const ENDINGS: &[&str] = &[".rs", ".md", ".sql", ".toml", ".json"];
/// A name that begins like this is meant as a path, whatever it ends in.
const FOLDERS: &[&str] = &["crates/", "src/", "docs/", "tests/", "xtask/", "benches/", ".ci/"];
/// What a build or a run makes is not in the repository.
const MADE: &[&str] = &["target/", "kapsel-data/"];

/// The documents whose paths are checked.
fn is_document(path: &str) -> bool {
    path == "README.md" || path == "CONTRIBUTING.md" || (path.starts_with("docs/") && path.ends_with(".md"))
}

/// Looks at code spans, and in fenced blocks at words that begin with one of our folders.
pub(super) fn check(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    if !is_document(path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for line in markdown::lines(text) {
        let words: Vec<&str> = if line.is_fenced {
            let in_our_folder = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder));
            line.text.split([' ', '\t', '"', '\'', '(', ')', ',', ';', '=']).filter(in_our_folder).collect()
        } else {
            markdown::code_spans(line.text).collect()
        };
        for target in words.into_iter().filter_map(path_meant) {
            if !tree.has_from_either(path, target) {
                findings.push(Finding::at(path, line.number, format!("there is no {target}")));
            }
        }
    }
    findings
}

/// The part of the word that has to exist if the word is meant as a path of this repository.
fn path_meant(word: &str) -> Option<&str> {
    let word = word.strip_prefix("./").unwrap_or(word);
    let is_elsewhere = word.starts_with(['/', '~', '$', '-']) || word.contains("://");
    let is_made = MADE.iter().any(|folder| word.starts_with(folder));
    if !word.contains('/') || word.contains(char::is_whitespace) || is_elsewhere || is_made {
        return None;
    }
    // `src/wire.rs:12`, `docs/TESTING.md#judges`.
    let word = word.split([':', '#']).next().unwrap_or(word);
    let is_path =
        ENDINGS.iter().any(|ending| word.ends_with(ending)) || FOLDERS.iter().any(|folder| word.starts_with(folder));
    if !is_path {
        return None;
    }
    // Of `crates/*/src` or `docs/errors/<code>.md`, the folder before the first placeholder has to exist.
    let placeholder = word.find(['*', '<', '{', '…', '$', '[', '|']).or_else(|| word.find("..."));
    let word = match placeholder {
        Some(at) => word[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
        None => word,
    };
    Some(word.trim_end_matches(['/', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let tree = Tree::of(&[("src/main.rs", ""), ("docs/adr/0001.md", ""), ("crates/kapsel-core/src/lib.rs", "")]);
        check("docs/TESTING.md", text, &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_that_is_not_there_is_found() {
        assert_eq!(messages("one\nsee `src/old.rs`"), ["docs/TESTING.md:2: there is no src/old.rs"]);
        assert_eq!(messages("`crates/kapsel-old/`").len(), 1);
        assert_eq!(messages("`openapi/kapsel.json`").len(), 1);
        assert_eq!(messages("`docs/errors/<code>.md`"), ["docs/TESTING.md:1: there is no docs/errors"]);
        assert_eq!(messages("```sh\nbash tests/crash.sh\n```"), ["docs/TESTING.md:2: there is no tests/crash.sh"]);
    }

    #[test]
    fn paths_that_are_there_pass() {
        let fine = "`src/main.rs` `src/main.rs:3` `./src/` `adr/0001.md` `docs/adr/0001.md#why` `crates/*/src/lib.rs`";
        assert_eq!(messages(fine), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_path_of_the_repository_is_left_alone() {
        let other = "`/openapi.json` `application/json` `https://example.com/a.md` `target/debug/x.json` `lib.rs` \
                     `kapsel-data/kapsel.toml` `~/x/y.toml` `cargo run -- a/b.toml` src/prose.rs";
        assert_eq!(messages(other), Vec::<String>::new());
        assert_eq!(check("tests/judges/README.md", "`src/old.rs`", &Tree::default()), []);
    }
}
