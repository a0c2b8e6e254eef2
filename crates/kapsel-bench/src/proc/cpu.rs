//! Processor time: of a process, of a thread of this one, and of a server with many processes.

use std::fs;

/// One line of `/proc/PID/stat`, as far as it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In user and in kernel mode, in ticks.
    own_ticks: u64,
    /// Of children that have ended and were waited for.
    ended_children_ticks: u64,
}

impl Stat {
    fn read(path: &str) -> Option<Self> {
        Stat::parse(&fs::read_to_string(path).ok()?)
    }

    /// See proc(5). The name in parentheses may hold anything, so the fields are counted from its end.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.get(line.rfind(')')? + 1..)?.split_whitespace().collect();
        // The first field behind the name is the third of the line.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            parent: u32::try_from(field(4)?).ok()?,
            own_ticks: field(14)? + field(15)?,
            ended_children_ticks: field(16)? + field(17)?,
        })
    }
}

/// Seconds that a process has used, with all of its threads.
pub(crate) fn of_process(pid: u32) -> Option<f64> {
    Stat::read(&format!("/proc/{pid}/stat")).map(|stat| seconds(stat.own_ticks))
}

/// Seconds that a thread of this process has used. The scheduler's own count is exact to nanoseconds; where the kernel was
/// built without it, the one in ticks of 10 ms is taken.
pub(crate) fn of_thread(id: i32) -> Option<f64> {
    let exact = fs::read_to_string(format!("/proc/self/task/{id}/schedstat"));
    let exact = exact.ok().and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let ticks = || Stat::read(&format!("/proc/self/task/{id}/stat")).map(|stat| seconds(stat.own_ticks));
    exact.map(|nanos| nanos as f64 / 1e9).or_else(ticks)
}

/// Seconds that a server has used that makes a process for each connection: the first process, those that it has now, and
/// those that it had and that have ended.
pub(crate) fn of_family(first: u32) -> Option<f64> {
    let parent = Stat::read(&format!("/proc/{first}/stat"))?;
    let children: f64 = children(first).into_iter().filter_map(of_process).sum();
    Some(seconds(parent.own_ticks + parent.ended_children_ticks) + children)
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    Stat::read(&format!("/proc/{pid}/stat")).map(|stat| stat.parent)
}

/// The processes whose parent this is.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| parent(*process) == Some(pid)).collect()
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) b (c d) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let expected = Stat { parent: 7, own_ticks: 33, ended_children_ticks: 77 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("42 (short) S 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_found_among_the_children_of_its_parent() {
        let own = std::process::id();
        let family = children(parent(own).unwrap());
        assert!(family.contains(&own));
        assert!(of_process(own).is_some() && of_family(own).is_some());
        assert!(of_thread(rustix::thread::gettid().as_raw_nonzero().get()).unwrap() > 0.0);
        assert_eq!(of_process(u32::MAX), None);
    }
}
