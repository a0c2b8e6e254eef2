//! A relative link in a Markdown file must lead somewhere.

use super::tree::Tree;
use super::{Finding, markdown};

/// Looks at `[text](target)` and `[text]: target`, outside of code.
pub(super) fn check(path: &str, text: &str, tree: &Tree) -> Vec<Finding> {
    if !path.ends_with(".md") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for line in markdown::lines(text).filter(|line| !line.is_fenced) {
        for target in targets(&markdown::without_code_spans(line.text)) {
            // A link from the root of the site means the root of the repository.
            let leads_somewhere = match target.strip_prefix('/') {
                Some(from_root) => tree.has_from_either("", from_root),
                None => tree.has_relative(path, &target),
            };
            if !leads_somewhere {
                findings.push(Finding::at(path, line.number, format!("the link to {target} leads nowhere")));
            }
        }
    }
    findings
}

/// The files that a line links to.
fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_definition = |(name, _): &(&str, &str)| name.starts_with('[') && !name.starts_with("[^");
    let definition = line.trim_start().split_once("]: ").filter(is_definition).map(|(_, target)| target);
    // A target may be followed by a title and may end in an anchor.
    let file_of = |target: &str| {
        let target = target.split_whitespace().next().unwrap_or_default().trim_matches(['<', '>']).to_owned();
        target.split('#').next().unwrap_or_default().to_owned()
    };
    let is_local = |target: &String| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
    inline.chain(definition).map(file_of).filter(is_local).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let tree = Tree::of(&[("docs/STYLE.md", ""), ("README.md", "")]);
        check("docs/TESTING.md", text, &tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dead_link_is_found() {
        assert_eq!(messages("a\n[b](OLD.md)"), ["docs/TESTING.md:2: the link to OLD.md leads nowhere"]);
        assert_eq!(messages("[b](STYLE.md) and [c](docs/STYLE.md#names)").len(), 1);
        assert_eq!(messages("[b]: ../OLD.md").len(), 1);
        assert_eq!(messages("[b](/docs/OLD.md)").len(), 1);
        assert_eq!(messages("[b](../../outside.md)").len(), 1);
    }

    #[test]
    fn living_and_foreign_links_pass() {
        let fine = "[a](STYLE.md#names) [b](../README.md \"title\") [c](https://example.com/x.md) [d](#here) `[e](f)` \
                    [g](mailto:a@example.com) [h](/docs/STYLE.md)\n[i]: <STYLE.md>\n```\n[j](k)\n```";
        assert_eq!(messages(fine), Vec::<String>::new());
    }
}
