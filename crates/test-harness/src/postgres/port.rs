//! Ports for clusters.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which systems hand out ports by themselves (Linux: from 32768, others: from 49152). So nothing
/// that binds port 0 or connects outwards is given a cluster's port while the server is down between two starts.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
/// How many a process has to itself, unless the system has another whose id differs by a multiple of
/// `COUNT / PER_PROCESS`.
const PER_PROCESS: u32 = 32;

/// Ports that were free just now, without end. Somebody may still be faster.
pub(super) fn candidates() -> impl Iterator<Item = u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::iter::repeat_with(|| port(std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
        .filter(|port| is_free(*port))
}

fn port(process: u32, number: u32) -> u16 {
    let place = process.wrapping_mul(PER_PROCESS).wrapping_add(number) % u32::from(COUNT);
    FIRST + u16::try_from(place).expect("less than COUNT")
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_meet() {
        let of = |process| (0..PER_PROCESS).map(move |number| port(process, number));
        let mut ports: Vec<u16> = of(4_194_301).chain(of(4_194_302)).chain(of(4_194_303)).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 3 * PER_PROCESS as usize);
        assert!(ports.iter().all(|port| (FIRST..FIRST + COUNT).contains(port)));
    }

    #[test]
    fn a_port_in_use_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
