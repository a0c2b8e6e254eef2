//! A source file holds one idea. A long one holds several.

use super::tree::Tree;
use super::{Finding, is_rust};

/// More lines than this are refused.
const LINES_MAX: usize = 900;
/// From here on a file is named, so that somebody looks whether it would be better as two.
const LINES_WORTH_A_LOOK: usize = 500;

fn is_source(path: &str) -> bool {
    let is_ours = path.starts_with("src/") || path.starts_with("xtask/src/");
    let is_crate = path.strip_prefix("crates/").and_then(|rest| rest.split('/').nth(1)) == Some("src");
    is_rust(path) && (is_ours || is_crate)
}

/// Refuses sources that are too long.
pub(super) fn check(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    (is_source(path) && lines > LINES_MAX)
        .then(|| Finding::whole(path, format!("{lines} lines; {LINES_MAX} are allowed: split it by idea")))
}

/// The sources that are long but not refused, the longest first.
pub(super) fn long_files(tree: &Tree) -> Vec<(&str, usize)> {
    let sources = tree.texts().filter(|(path, _)| is_source(path)).map(|(path, text)| (path, text.lines().count()));
    let mut long: Vec<_> = sources.filter(|(_, lines)| (LINES_WORTH_A_LOOK + 1..=LINES_MAX).contains(lines)).collect();
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_over_the_limit_is_refused() {
        let text = "x\n".repeat(901);
        for path in ["src/main.rs", "crates/kapsel-core/src/event.rs", "xtask/src/main.rs"] {
            assert!(check(path, &text).is_some(), "{path}");
            assert!(check(path, &text[2..]).is_none(), "{path}");
        }
        assert!(check("crates/kapsel-core/tests/vectors.rs", &text).is_none());
        assert!(check("docs/SPECIFICATION.md", &text).is_none());
    }

    #[test]
    fn a_long_source_is_named() {
        let (long, longer, short) = ("x\n".repeat(501), "x\n".repeat(900), "x\n".repeat(500));
        let tree = Tree::of(&[("src/a.rs", &long), ("src/b.rs", &longer), ("src/c.rs", &short)]);
        assert_eq!(long_files(&tree), [("src/b.rs", 900), ("src/a.rs", 501)]);
    }
}
