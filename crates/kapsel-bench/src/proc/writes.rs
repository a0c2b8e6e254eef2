//! Bytes that go to storage.

use std::fs;

use super::cpu::children;

/// Bytes that a process has caused to be written to storage, by pages that it made dirty.
pub(crate) fn of_process(pid: u32) -> Option<u64> {
    dirtied(&io(pid)?)
}

/// Bytes that the processes of a server have handed to the kernel by calls that write, which it does to files and not to
/// sockets if it is PostgreSQL. The kernel adds what ended children wrote to their parent.
///
/// Not by dirty pages, of which seven times as many bytes were counted as were handed over (Linux 6.18, ext4). Its log is
/// filled with zeros first, in large pieces; the likely cause is that a write of 8 KiB into a large folio counts as all of it.
pub(crate) fn of_family(first: u32) -> Option<u64> {
    let of_one = |pid| handed_over(&io(pid)?);
    Some(of_one(first)? + children(first).into_iter().filter_map(of_one).sum::<u64>())
}

fn io(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/io")).ok()
}

fn dirtied(text: &str) -> Option<u64> {
    // What was dirty and then deleted was never written.
    Some(field(text, "write_bytes:")?.saturating_sub(field(text, "cancelled_write_bytes:").unwrap_or_default()))
}

fn handed_over(text: &str) -> Option<u64> {
    field(text, "wchar:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "wchar: 9000\nread_bytes: 0\nwrite_bytes: 8192\ncancelled_write_bytes: 4096\n";

    #[test]
    fn cancelled_writes_do_not_count() {
        assert_eq!(dirtied(TEXT), Some(4_096));
        assert_eq!(dirtied("rchar: 1\n"), None);
    }

    #[test]
    fn what_is_handed_over_is_read_apart_from_what_gets_dirty() {
        assert_eq!(handed_over(TEXT), Some(9_000));
        assert_eq!(handed_over("rchar: 1\n"), None);
    }
}
