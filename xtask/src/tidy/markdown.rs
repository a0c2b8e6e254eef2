//! As much of Markdown as the rules need: lines, fences and code spans.

/// One line of a Markdown file.
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    /// Whether the line stands inside a fenced block. The fences themselves do not come up.
    pub(super) is_fenced: bool,
}

/// The lines of a file.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, text)| {
        let trimmed = text.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => {
                fence = Some(mark);
                return None;
            }
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                return None;
            }
            _ => {}
        }
        Some(Line { number: index + 1, text, is_fenced: fence.is_some() })
    })
}

/// The texts between backticks on one line.
pub(super) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The line with its code spans taken out.
pub(super) fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_and_spans_are_told_apart() {
        let text = "see `src/a.rs` and `b`\n```sh\ncat src/c.rs\n```\nafter\n";
        let seen: Vec<_> = lines(text).map(|line| (line.number, line.is_fenced)).collect();
        assert_eq!(seen, [(1, false), (3, true), (5, false)]);
        assert_eq!(code_spans("see `src/a.rs` and `b`").collect::<Vec<_>>(), ["src/a.rs", "b"]);
        assert_eq!(without_code_spans("a `[x](y)` b"), "a `` b");
    }
}
