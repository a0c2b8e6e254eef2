//! Figures about the process, as the operating system tells them.

/// Resident memory in bytes and open file descriptors, where the system tells (on Linux).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ProcessFigures {
    pub(crate) resident_bytes: Option<u64>,
    pub(crate) open_files: Option<usize>,
}

/// The figures now.
pub(crate) fn read() -> ProcessFigures {
    let status = std::fs::read_to_string("/proc/self/status").ok();
    ProcessFigures {
        resident_bytes: status.as_deref().and_then(resident_bytes),
        open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(resident_bytes("VmPeak:\t 10 kB\nVmRSS:\t    2044 kB\n"), Some(2_044 * 1_024));
        for status in ["", "VmRSS:\t kB", "VmRSS:\t1 MB", "VmRSS:\t-1 kB"] {
            assert_eq!(resident_bytes(status), None, "{status:?}");
        }
    }
}
