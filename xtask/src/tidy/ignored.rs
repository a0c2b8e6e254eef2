//! A test that is not run promises what nobody checks.

use super::{Finding, is_rust};

/// Finds `#[ignore]`, with or without a reason, also behind a `cfg_attr`.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    let is_ignore = |line: &str| {
        let line = line.trim_start();
        line.starts_with("#[ignore") || (line.starts_with("#[cfg_attr(") && line.contains(", ignore"))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_ignore(line));
    lines.map(|(index, _)| Finding::at(path, index + 1, "an ignored test: make it run, or take it out")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_is_found() {
        let found = |text| check("tests/a.rs", text).len();
        assert_eq!(found("#[test]\n    #[ignore]\nfn a() {}"), 1);
        assert_eq!(found("#[ignore = \"slow\"]"), 1);
        assert_eq!(found("#[cfg_attr(windows, ignore)]"), 1);
        assert_eq!(found("#[test]\nfn ignores_case() {} // #[ignore]"), 0);
        assert_eq!(check("docs/TESTING.md", "#[ignore]"), []);
    }
}
