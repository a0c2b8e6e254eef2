//! How many connections are served at once: in all, and of one client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whoever has IPv6 has at least a /64 of it, and can take a new address for each connection.
const IPV6_CLIENT_BITS: u128 = u128::MAX << 64;

/// The places of one listener.
pub(super) struct Places {
    free: Arc<Semaphore>,
    per_address_max: usize,
    taken: Arc<Taken>,
}

/// Places by client. Touched once when a connection begins and once when it ends, never by a request.
#[derive(Default)]
struct Taken(Mutex<HashMap<IpAddr, usize>>);

/// The place of one connection; free again when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    counted: Option<(Arc<Taken>, IpAddr)>,
}

impl Places {
    pub(super) fn new(all_max: usize, per_address_max: usize) -> Self {
        let all_max = all_max.min(Semaphore::MAX_PERMITS);
        Places { free: Arc::new(Semaphore::new(all_max)), per_address_max, taken: Arc::default() }
    }

    /// Waits until there is room for one more connection of anybody.
    ///
    /// # Errors
    /// None: places are never closed.
    pub(super) async fn wait_for_one(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.free).acquire_owned().await.map_err(io::Error::other)
    }

    /// Uses the room for a connection of `client`, unless that one has too many. Without a client, nothing is counted.
    pub(super) fn take(&self, permit: OwnedSemaphorePermit, client: Option<IpAddr>) -> Option<Place> {
        let counted = match client.map(client_of) {
            None => None,
            Some(client) => {
                if !self.taken.add(client, self.per_address_max) {
                    return None;
                }
                Some((Arc::clone(&self.taken), client))
            }
        };
        Some(Place { _permit: permit, counted })
    }
}

impl Taken {
    fn add(&self, client: IpAddr, max: usize) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(client).or_default();
        let has_room = *count < max;
        if has_room {
            *count += 1;
        } else if *count == 0 {
            taken.remove(&client);
        }
        has_room
    }

    fn remove(&self, client: IpAddr) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&client);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((taken, client)) = &self.counted {
            taken.remove(*client);
        }
    }
}

fn client_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & IPV6_CLIENT_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(places: &Places, client: &str) -> Option<Place> {
        let permit = places.wait_for_one().await.unwrap();
        places.take(permit, Some(client.parse().unwrap()))
    }

    #[tokio::test]
    async fn each_client_has_its_own_places() {
        let places = Places::new(100, 2);
        let first = take(&places, "192.0.2.1").await.unwrap();
        let _second = take(&places, "::ffff:192.0.2.1").await.unwrap();
        assert!(take(&places, "192.0.2.1").await.is_none());
        assert!(take(&places, "192.0.2.2").await.is_some());
        drop(first);
        assert!(take(&places, "192.0.2.1").await.is_some());
    }

    #[tokio::test]
    async fn an_ipv6_client_is_its_whole_network() {
        let places = Places::new(100, 1);
        let _one = take(&places, "2001:db8:0:1::1").await.unwrap();
        assert!(take(&places, "2001:db8:0:1:ffff::2").await.is_none());
        assert!(take(&places, "2001:db8:0:2::1").await.is_some());
    }

    #[tokio::test]
    async fn what_is_refused_or_over_leaves_nothing_behind() {
        let places = Places::new(2, 1);
        let one = take(&places, "192.0.2.1").await;
        for _ in 0..10 {
            assert!(take(&places, "192.0.2.1").await.is_none());
        }
        drop(one);
        assert_eq!(places.free.available_permits(), 2);
        assert!(places.taken.0.lock().unwrap().is_empty());
        let permit = places.wait_for_one().await.unwrap();
        let _uncounted = places.take(permit, None).unwrap();
        assert!(places.taken.0.lock().unwrap().is_empty());
    }
}
