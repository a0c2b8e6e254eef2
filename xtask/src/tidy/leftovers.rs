//! Work that is only written down as missing gets lost in the source: it belongs into an issue.

use super::Finding;

/// Written in two parts, so that this file does not find itself.
const WORDS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACRO: &str = concat!("to", "do!(");
const ENDINGS: &[&str] = &[".rs", ".sql", ".toml", ".py", ".js", ".sh", ".yml", ".yaml", ".ci/run"];

/// Finds the usual words, as whole words, and the macro.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !ENDINGS.iter().any(|ending| path.ends_with(ending)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let found = WORDS.iter().copied().find(|word| has_word(line, word));
        if let Some(word) = found.or_else(|| line.contains(MACRO).then_some(MACRO)) {
            findings.push(Finding::at(path, index + 1, format!("{word}: finish it, or write an issue")));
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_found() {
        for word in WORDS {
            assert_eq!(check("src/a.rs", &format!("fn a() {{}} // {word}: later")).len(), 1, "{word}");
            assert_eq!(check("crates/a/sql/b.sql", &format!("-- b\n-- {word}")).len(), 1, "{word}");
            assert_eq!(check("docs/STYLE.md", word), [], "{word}");
        }
        assert_eq!(check("src/a.rs", &format!("    {MACRO})")).len(), 1);
    }

    #[test]
    fn words_that_only_contain_one_pass() {
        assert_eq!(check("a.sh", &format!("mktemp /tmp/kapsel.{0}{0}", WORDS[2])), []);
        assert_eq!(check("a.rs", &format!("const MA{}S: u8 = 1;", WORDS[0])), []);
    }
}
