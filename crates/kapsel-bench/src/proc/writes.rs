//! Bytes that go to storage.

use std::fs;

use super::cpu::children;

/// Bytes that a process has caused to be written to storage, by pages that it made dirty.
pub(crate) fn of_process(pid: u32) -> Option<u64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/io")).ok()?)
}

/// The same of a server with many processes. The kernel adds what ended children wrote to their parent.
pub(crate) fn of_family(first: u32) -> Option<u64> {
    let of_first = of_process(first)?;
    Some(of_first + children(first).into_iter().filter_map(of_process).sum::<u64>())
}

fn parse(text: &str) -> Option<u64> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    // What was dirty and then deleted was never written.
    Some(field("write_bytes:")?.saturating_sub(field("cancelled_write_bytes:").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelled_writes_do_not_count() {
        let text = "wchar: 9000\nread_bytes: 0\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";
        assert_eq!(parse(text), Some(4_096));
        assert_eq!(parse("rchar: 1\n"), None);
    }
}
