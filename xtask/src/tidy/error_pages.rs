//! Each error code has a page in `docs/errors/`, and each page has its code.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

const CODES: &str = "crates/kapsel-core/src/error_code.rs";
const FOLDER: &str = "docs/errors/";

/// Compares the pages with the codes, in both directions. A `README.md` may stand beside the pages.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(source) = tree.text(CODES) else {
        return vec![Finding::whole(CODES, "is not there: where are the error codes?")];
    };
    let codes = codes(source);
    if codes.is_empty() {
        return vec![Finding::whole(CODES, "no error code was recognised: xtask/src/tidy/error_pages.rs reads it")];
    }
    let pages: BTreeSet<&str> = tree.texts().filter_map(|(path, _)| path.strip_prefix(FOLDER)).collect();
    let orphans = pages.iter().filter(|page| **page != "README.md").filter_map(|page| {
        let is_known = page.strip_suffix(".md").is_some_and(|stem| codes.contains(stem));
        (!is_known).then(|| Finding::whole(&format!("{FOLDER}{page}"), format!("there is no such code in {CODES}")))
    });
    let missing = codes.iter().map(|code| format!("{code}.md")).filter(|page| !pages.contains(page.as_str()));
    orphans.chain(missing.map(|page| Finding::whole(&format!("{FOLDER}{page}"), "this page is missing"))).collect()
}

/// The codes that the source defines: `= "E1001",`, outside of its tests.
fn codes(source: &str) -> BTreeSet<&str> {
    let product = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_code =
        |text: &&str| text.len() == 5 && text.starts_with('E') && text[1..].bytes().all(|b| b.is_ascii_digit());
    product.split("= \"").skip(1).filter_map(|rest| rest.split('"').next()).filter(is_code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "A = \"E1001\", \"a\";\nB = \"E2001\", \"b\";\n#[cfg(test)]\nlet x = \"E9999\";";

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn codes_and_pages_belong_together() {
        let (a, b) = (("docs/errors/E1001.md", ""), ("docs/errors/E2001.md", ""));
        let readme = ("docs/errors/README.md", "");
        assert_eq!(messages(&[(CODES, SOURCE), a, b, readme]), Vec::<String>::new());
        assert_eq!(messages(&[(CODES, SOURCE), a]), ["docs/errors/E2001.md: this page is missing"]);
        assert_eq!(messages(&[(CODES, SOURCE), a, b, ("docs/errors/E9999.md", "")]).len(), 1);
        assert_eq!(messages(&[(CODES, SOURCE), a, b, ("docs/errors/notes.txt", "")]).len(), 1);
    }

    #[test]
    fn a_source_that_cannot_be_read_is_no_pass() {
        assert_eq!(messages(&[]).len(), 1);
        assert_eq!(messages(&[(CODES, "pub enum ErrorCode {}")]).len(), 1);
    }
}
