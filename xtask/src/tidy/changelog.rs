//! The changelog has a place for what is not released yet.

use super::Finding;
use super::tree::Tree;

const PATH: &str = "CHANGELOG.md";

/// Looks for a heading `Unreleased`.
pub(super) fn check(tree: &Tree) -> Option<Finding> {
    let Some(text) = tree.text(PATH) else {
        return Some(Finding::whole(PATH, "is missing"));
    };
    let is_heading = |line: &str| line.starts_with("## ") && line.contains("Unreleased");
    (!text.lines().any(is_heading)).then(|| Finding::whole(PATH, "has no heading `## Unreleased`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_without_the_heading_is_found() {
        assert!(check(&Tree::of(&[])).is_some());
        assert!(check(&Tree::of(&[(PATH, "# Changelog\n\n## 0.1.0\n\nUnreleased things")])).is_some());
        assert_eq!(check(&Tree::of(&[(PATH, "# Changelog\n\n## [Unreleased]\n")])), None);
    }
}
