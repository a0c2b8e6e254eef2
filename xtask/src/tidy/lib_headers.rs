//! A library says in its first lines what it is and, more usefully, what it is not.

use super::Finding;

/// Looks at the `//!` header of each `crates/*/src/lib.rs`.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let is_lib =
        path.strip_prefix("crates/").and_then(|rest| rest.split_once('/')).is_some_and(|(_, p)| p == "src/lib.rs");
    if !is_lib {
        return Vec::new();
    }
    let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let lacks = |mark: &&&str| !header.iter().any(|line| line.contains(**mark));
    let missing = ["**Is:**", "**Is not:**"];
    missing.iter().filter(lacks).map(|mark| Finding::whole(path, format!("the //! header has no {mark}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_without_both_marks_is_found() {
        let lib = "crates/kapsel-core/src/lib.rs";
        assert_eq!(check(lib, "//! Core.\n//!\n//! **Is:** a.\n//!\n//! **Is not:** b.\n\npub mod a;"), []);
        assert_eq!(check(lib, "//! **Is:** a.").len(), 1);
        assert_eq!(check(lib, "//! **Is not:** a.").len(), 1);
        assert_eq!(check(lib, "pub mod a;\n//! **Is:** a. **Is not:** b.").len(), 2);
        assert_eq!(check("crates/kapsel-core/src/event.rs", ""), []);
    }
}
