//! Resident memory.

use std::fs;

use super::cpu::children;

/// What a process has in memory now.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// The most that it ever had.
pub(crate) fn peak_bytes(pid: u32) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmHWM:")
}

/// Lets the count of the most begin anew (proc(5), `clear_refs`). Where this user may not, the most since the start stays.
pub(crate) fn forget_peak(pid: u32) {
    let _not_allowed = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// What a server with many processes has in memory, where each page that several share is counted once in sum (the
/// "proportional set size"). Nothing if this user may not see it.
pub(crate) fn family_bytes(first: u32) -> Option<u64> {
    let share = |pid: u32| field(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?, "Pss:");
    let of_first = share(first)?;
    // A child that has ended meanwhile has nothing any more.
    Some(of_first + children(first).into_iter().filter_map(share).sum::<u64>())
}

/// All memory of this machine.
pub(crate) fn machine_bytes() -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_kibibytes() {
        let text = "VmPeak:\t  900 kB\nVmHWM:\t     512 kB\nVmRSS:\t      12 kB\n";
        assert_eq!((field(text, "VmRSS:"), field(text, "VmHWM:")), (Some(12_288), Some(524_288)));
        assert_eq!(field(text, "Pss:"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let own = std::process::id();
        let (resident, peak) = (resident_bytes(own).unwrap(), peak_bytes(own).unwrap());
        assert!(resident > 0 && peak >= resident / 2);
        assert!(machine_bytes().unwrap() > peak);
        assert_eq!(resident_bytes(u32::MAX), None);
    }
}
