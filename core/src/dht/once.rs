//! Who has had a part of what is for all lately, so that nobody has all of it.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::rate::Name;
use super::realm::Realm;
use crate::time::Time;

/// Each address gets it once in so long. Whoever means it comes no more often than each ten seconds (spec: DHT-109).
const SPAN: Duration = Duration::from_secs(8);
/// With more the oldest is forgotten: four a second and sixteen at once are 48.
const MAX: usize = 64;

/// Those who had it, in the order in which they did: at most 64, 1 KiB; none, and no memory, when all is quiet.
pub(crate) struct Once {
    key: [u64; 2],
    had: Vec<(Time, [u8; 4])>,
}

impl Once {
    /// Allocates nothing yet; `key` comes from the node's generator.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { key, had: Vec::new() }
    }

    /// Whether this address has had none lately. O(64).
    pub(crate) fn lets(&mut self, at: SocketAddr, realm: Realm, now: Time) -> bool {
        self.had.retain(|(when, _)| now.since(*when) < SPAN);
        if self.had.is_empty() {
            self.had = Vec::new();
        }
        let tag = self.tag(at, realm);
        self.had.iter().all(|(_, had)| *had != tag)
    }

    /// It gets it now.
    pub(crate) fn give(&mut self, at: SocketAddr, realm: Realm, now: Time) {
        if self.had.len() >= MAX {
            self.had.drain(..1);
        }
        self.had.push((now, self.tag(at, realm)));
    }

    /// Bytes of heap.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.had.capacity().saturating_mul(size_of::<(Time, [u8; 4])>())
    }

    /// In IPv6, where one has as many as it likes, the network counts.
    fn tag(&self, at: SocketAddr, realm: Realm) -> [u8; 4] {
        let at = match at.ip() {
            IpAddr::V6(ip) if realm.is_global() => SocketAddr::new(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)), at.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => at,
        };
        let mut name = Name::new(false);
        name.push_address(at, realm);
        name.tag(self.key)
    }
}
