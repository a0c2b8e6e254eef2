//! File descriptors: each connection takes one, and the store and the deliveries need theirs too.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For the store, its files, the connections to a database, and whatever else the program opens.
const RESERVE: u64 = 512;

/// Raises the limit of this process as far as it may and as `connections` and `deliveries` at once ask for. Returns for
/// how many connections there is room. Many systems start programs with a limit of 1,024, for the sake of others that
/// cannot bear more; with it, a thousand idle clients would keep the store from opening its files.
pub(crate) fn make_room(connections: usize, deliveries: usize) -> usize {
    let others = RESERVE.saturating_add(u64::try_from(deliveries).unwrap_or(u64::MAX));
    let needed = others.saturating_add(u64::try_from(connections).unwrap_or(u64::MAX));
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let is_enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if is_enough(current) {
        return connections;
    }
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            current.unwrap_or(needed)
        }
    };
    let room = room(limit, others, connections);
    if room < connections {
        tracing::warn!(limit, needed, connections = room, "too few open files are allowed for all connections");
    }
    room
}

/// Connections have what the others leave, and at least a quarter: they are what the program is for.
fn room(limit: u64, others: u64, connections: usize) -> usize {
    let left = limit.saturating_sub(others).max(limit / 4).max(1);
    usize::try_from(left).unwrap_or(usize::MAX).min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_the_others_leave() {
        assert_eq!(room(20_000, 1_536, 10_000), 10_000);
        assert_eq!(room(4_096, 1_536, 10_000), 2_560);
        assert_eq!(room(1_024, 1_536, 10_000), 256);
        assert_eq!(room(0, 1_536, 10_000), 1);
    }

    #[test]
    fn a_limit_that_suffices_is_left_alone() {
        let before = getrlimit(Resource::Nofile).current;
        assert_eq!(make_room(1, 0), 1);
        assert_eq!(getrlimit(Resource::Nofile).current, before);
    }
}
