//! File descriptors: each connection takes one or two, at both ends.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as this process may. Many systems start programs with a limit of 1,024.
pub(crate) fn make_room() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it cannot be raised, connections that are too many fail and are counted.
    let _as_before = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
