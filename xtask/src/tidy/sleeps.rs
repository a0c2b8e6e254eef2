//! A test waits for an event, never for a time: a sleep is too long on a fast machine and too short on a busy one.

use super::{Finding, is_rust};

/// Marks that are accepted on the same line or on the line above, with a reason after them: a load that is paced on
/// purpose, and time that stands still because tokio's clock is paused. A test that says `start_paused = true` itself
/// needs no mark for tokio's own sleep.
const REASONS: &[&str] = &["// paced:", "// paused clock:"];

/// Looks at files under a `tests` folder, at `tests.rs`, and at `#[cfg(test)]` modules in other files.
pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_rust(path) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let is_test_file = path.split('/').any(|part| part == "tests" || part == "tests.rs");
    let start = if is_test_file { 0 } else { test_module_start(&lines).unwrap_or(lines.len()) };
    let mut findings = Vec::new();
    let mut pause = Pause::default();
    for (index, line) in lines.iter().enumerate().skip(start) {
        pause.see(line);
        let above = index.checked_sub(1).and_then(|above| lines.get(above)).copied().unwrap_or_default();
        let is_explained = has_reason(line) || (above.trim_start().starts_with("//") && has_reason(above));
        let is_paused = pause.is_in_force && !line.contains("thread::");
        if sleeps(line) && !is_explained && !is_paused {
            findings.push(Finding::at(path, index + 1, "a test that sleeps: wait for an event, or give the reason"));
        }
    }
    findings
}

/// Whether the function that a line stands in is a test that runs with tokio's clock paused.
#[derive(Default)]
struct Pause {
    /// What the attributes above the next function say.
    is_announced: bool,
    is_in_force: bool,
}

impl Pause {
    fn see(&mut self, line: &str) {
        let line = line.trim_start();
        if line.starts_with("#[") {
            self.is_announced |= line.starts_with("#[tokio::test(") && line.contains("start_paused = true");
        } else if line.starts_with("fn ") || line.split('"').next().is_some_and(|code| code.contains(" fn ")) {
            self.is_in_force = std::mem::take(&mut self.is_announced);
        }
    }
}

/// Where the test module of a file begins: everything below it is taken for test code, as is the custom here.
fn test_module_start(lines: &[&str]) -> Option<usize> {
    let opens_module = |line: &&&str| line.starts_with("mod ") && line.ends_with('{');
    let is_attribute = |line: &&&str| line.starts_with("#[");
    let starts = |at: usize| lines[at + 1..].iter().find(|line| !is_attribute(line)).as_ref().is_some_and(opens_module);
    (0..lines.len()).find(|at| lines[*at].starts_with("#[cfg(test)]") && starts(*at))
}

/// Whether the line calls `sleep` or `sleep_until`, by whatever path.
fn sleeps(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    ["sleep(", "sleep_until("].iter().any(|call| {
        code.match_indices(call).any(|(at, _)| !code[..at].ends_with(is_name) && !code[..at].ends_with("fn "))
    })
}

fn has_reason(line: &str) -> bool {
    REASONS.iter().any(|mark| line.split_once(mark).is_some_and(|(_, reason)| !reason.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written in two parts, so that this file does not find itself.
    const CALL: &str = concat!("sle", "ep(");

    fn found(path: &str, text: &str) -> usize {
        check(path, &text.replace("SLEEP(", CALL)).len()
    }

    #[test]
    fn a_sleep_in_a_test_is_found() {
        assert_eq!(found("tests/a.rs", "std::thread::SLEEP(second);"), 1);
        assert_eq!(found("crates/a/tests/b/c.rs", "tokio::time::SLEEP(second).await;"), 1);
        assert_eq!(found("crates/a/src/b/tests.rs", "    SLEEP(second).await;"), 1);
        assert_eq!(found("tests/a.rs", concat!("sleep", "_until(noon).await;")), 1);
        let unit = "fn a() { SLEEP(x) }\n\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    SLEEP(x);\n}\n";
        assert_eq!(check("src/a.rs", &unit.replace("SLEEP(", CALL))[0].line, 6);
        assert_eq!(found("src/a.rs", unit), 1);
    }

    #[test]
    fn a_reason_is_accepted_but_not_an_empty_one() {
        assert_eq!(found("tests/a.rs", "SLEEP(x).await; // paused clock: lets the retry become due"), 0);
        assert_eq!(found("tests/a.rs", "// paced: 100 requests a second\nSLEEP(x).await;"), 0);
        assert_eq!(found("tests/a.rs", "SLEEP(x).await; // paced:"), 1);
        assert_eq!(found("tests/a.rs", "SLEEP(x).await; // paced: by the clock\nSLEEP(x).await;"), 1);
    }

    #[test]
    fn a_paused_test_may_use_the_sleep_that_is_paused() {
        let paused = "#[tokio::test(start_paused = true)]\nasync fn a() {\n    SLEEP(x).await;\n}\n";
        assert_eq!(found("tests/a.rs", paused), 0);
        assert_eq!(found("tests/a.rs", &format!("{paused}async fn helper() {{\n    SLEEP(x).await;\n}}")), 1);
        assert_eq!(found("tests/a.rs", &paused.replace("SLEEP(", "std::thread::SLEEP(")), 1);
        assert_eq!(found("tests/a.rs", &paused.replace("true", "false")), 1);
    }

    #[test]
    fn other_code_may_sleep() {
        assert_eq!(found("src/a.rs", "tokio::time::SLEEP(delay).await;"), 0);
        assert_eq!(found("tests/a.rs", "no_SLEEP(x); // never SLEEP(x)"), 0);
    }
}
