//! How much is taken from whom: a rate for each address and each group, kept in eight bytes each.
//!
//! The rule is GCRA: a sender has a time at which it will have paid for all that it sent, and may be ahead by its burst.
//! A cell whose time has passed says nothing and is free. Who has shown a cookie that holds has a ledger of its own, so
//! that packets under a forged address cost its owner nothing.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::cells::{AHEAD_MAX, Cell, Cells, low};
use super::realm::Realm;
use crate::address::{Group, bound, group};
use crate::map::hash_bytes;
use crate::time::Time;

/// So many a second, and so many at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Rate {
    /// How many 64 µs one costs: at least one, so that no rate is without end.
    const fn cost(self) -> u32 {
        let cost = 1_000_000 / TICK_MICROS / if self.per_second == 0 { 1 } else { self.per_second };
        if cost == 0 { 1 } else { cost }
    }

    /// How far ahead one may be.
    const fn ahead_max(self) -> u32 {
        let ahead = self.cost().saturating_mul(self.burst);
        if ahead > BURST_MAX { BURST_MAX } else { ahead }
    }
}

/// The rates of requests from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rates {
    /// Of one address, which is an ip where these are scarce, else an endpoint.
    pub(crate) address: Rate,
    /// Of one group.
    pub(crate) group: Rate,
}

impl Rates {
    /// Where addresses are no scarce good everybody may do this much more (spec: DHT-71).
    const ELSEWHERE: u32 = 50;

    fn of(self, realm: Realm) -> Self {
        let scaled = |rate: Rate| Rate {
            per_second: rate.per_second.saturating_mul(Self::ELSEWHERE),
            burst: rate.burst.saturating_mul(Self::ELSEWHERE),
        };
        if realm.is_global() { self } else { Self { address: scaled(self.address), group: scaled(self.group) } }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Take,
    /// Over a rate: may be told so, if its cookie holds.
    Busy,
    /// Far over it: nothing is said for five minutes.
    Silent,
}

/// The rates of everybody who has asked lately (spec: DHT-70).
pub(crate) struct Limiter {
    addresses: Cells,
    groups: Cells,
}

impl Limiter {
    /// Allocates nothing yet; `key` comes from the node's generator. Up to 12 KiB.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { addresses: Cells::new(key, CELLS_MIN, ADDRESSES_MAX), groups: Cells::new(key, CELLS_MIN, GROUPS_MAX) }
    }

    /// Charges a request to its address and its group, unless one of them is over its rate. Expected O(1).
    pub(crate) fn check(&mut self, from: SocketAddr, realm: Realm, is_proven: bool, rates: Rates, now: Time) -> Verdict {
        let rates = rates.of(realm);
        let mut name = Name::new(is_proven);
        name.push_address(from, realm);
        let address = self.addresses.tag(&name, is_proven);
        let mut name = Name::new(is_proven);
        name.push_group(from);
        let group = self.groups.tag(&name, is_proven);
        let now = tick(now);
        self.addresses.sweep(now);
        self.groups.sweep(now);
        let (own, all) = (self.addresses.ahead(address, now), self.groups.ahead(group, now));
        // Whoever is further ahead than two bursts has been silenced.
        let silenced_min = rates.address.ahead_max().saturating_mul(2);
        if is_proven && own > silenced_min {
            return Verdict::Silent;
        }
        let paid = (own.saturating_add(rates.address.cost()), all.saturating_add(rates.group.cost()));
        if paid.0 <= rates.address.ahead_max() && paid.1 <= rates.group.ahead_max() {
            self.addresses.set(address, now, paid.0);
            self.groups.set(group, now, paid.1);
            return Verdict::Take;
        }
        if !is_proven || paid.0 <= rates.address.ahead_max() {
            return Verdict::Busy;
        }
        // A refused request costs a tenth: who asks ten times too often for long gets ever further ahead (spec: DHT-72).
        let fined = own.saturating_add(rates.address.cost().div_ceil(REFUSED_SHARE));
        let is_far = fined > silenced_min;
        self.addresses.set(address, now, if is_far { SILENCE.saturating_add(silenced_min) } else { fined });
        if is_far { Verdict::Silent } else { Verdict::Busy }
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.addresses.heap_bytes().saturating_add(self.groups.heap_bytes())
    }
}

/// The unit of cells: 64 µs, of which 2³² are three days.
pub(super) const TICK_MICROS: u32 = 64;
/// Five minutes.
const SILENCE: u32 = 300_000_000 / TICK_MICROS;
/// No burst lasts longer, so that two of them and a silence are told from what is long past.
const BURST_MAX: u32 = (AHEAD_MAX - SILENCE) / 2;
/// What a refused request of a proven address costs: a tenth.
const REFUSED_SHARE: u32 = 10;
/// Cells at the beginning.
const CELLS_MIN: usize = 32;
/// Most cells: 8 KiB and 4 KiB.
const ADDRESSES_MAX: usize = 1_024;
const GROUPS_MAX: usize = 512;

pub(super) fn tick(now: Time) -> u64 {
    now.as_micros() / u64::from(TICK_MICROS)
}

/// What names a sender, in bytes that are the same everywhere: at most a byte, an ip and a port.
pub(super) struct Name {
    bytes: [u8; 32],
    length: usize,
}

impl Name {
    pub(super) const fn new(is_proven: bool) -> Self {
        let mut bytes = [0; 32];
        bytes[0] = is_proven as u8;
        Self { bytes, length: 1 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Four bytes that stand for it, where a clash does little harm.
    pub(super) fn tag(&self, key: [u64; 2]) -> [u8; 4] {
        let [a, b, c, d, ..] = hash_bytes(key, self.bytes()).to_be_bytes();
        [a, b, c, d]
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *slot = *byte;
        }
        self.length = self.length.saturating_add(bytes.len()).min(self.bytes.len());
    }

    pub(super) fn push_endpoint(&mut self, at: SocketAddr) {
        self.push_ip(at);
        self.push(&at.port().to_be_bytes());
    }

    fn push_ip(&mut self, at: SocketAddr) {
        match bound(at.ip()) {
            core::net::IpAddr::V4(ip) => self.push(&ip.octets()),
            core::net::IpAddr::V6(ip) => self.push(&ip.octets()),
        }
    }

    /// An ip where these are scarce; else an endpoint.
    pub(super) fn push_address(&mut self, at: SocketAddr, realm: Realm) {
        if realm.is_global() { self.push_ip(at) } else { self.push_endpoint(at) }
    }

    pub(super) fn push_group(&mut self, at: SocketAddr) {
        match group(at) {
            Group::V4(front) => self.push(&front),
            Group::V6(front) => self.push(&front),
            Group::Endpoint(at) => self.push_endpoint(at),
        }
    }
}

/// Addresses that did not answer a request nor its repetition: they are not asked for a minute because somebody names
/// them (spec: DHT-75). At most 64, 512 bytes; with more the oldest is forgotten.
pub(crate) struct SilentList {
    key: [u64; 2],
    /// In the order in which they fell silent.
    cells: Vec<Cell>,
    /// When the last one did: a minute later all are forgotten.
    last: Time,
}

/// How many, and for how long.
const SILENT_MAX: usize = 64;
const SILENT: Duration = Duration::from_secs(60);

impl SilentList {
    /// Allocates nothing yet; `key` comes from the node's generator.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { key, cells: Vec::new(), last: Time::ZERO }
    }

    /// This address missed both tries.
    pub(crate) fn on_silent(&mut self, at: SocketAddr, now: Time) {
        let is_all_over = now.since(self.last) >= SILENT;
        self.last = now;
        let cell = Cell { tag: self.tag(at), at: low(tick(now + SILENT)) };
        let now = tick(now);
        self.cells.retain(|old| !is_all_over && old.tag != cell.tag && old.ahead(now) > 0);
        if self.cells.len() >= SILENT_MAX {
            self.cells.drain(..1);
        }
        self.cells.push(cell);
    }

    /// It has answered. O(64).
    pub(crate) fn on_heard(&mut self, at: SocketAddr) {
        if self.cells.is_empty() {
            return;
        }
        let tag = self.tag(at);
        self.cells.retain(|cell| cell.tag != tag);
    }

    /// Whether not to ask there on hearsay. O(64).
    pub(crate) fn is_silent(&self, at: SocketAddr, now: Time) -> bool {
        let tag = self.tag(at);
        now.since(self.last) < SILENT && self.cells.iter().any(|cell| cell.tag == tag && cell.ahead(tick(now)) > 0)
    }

    fn tag(&self, at: SocketAddr) -> u32 {
        let mut name = Name::new(false);
        name.push_endpoint(at);
        low(hash_bytes(self.key, name.bytes())).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;

    const RATES: Rates = Rates { address: Rate { per_second: 20, burst: 40 }, group: Rate { per_second: 100, burst: 400 } };
    const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
    const PRIVATE: Realm = Realm { is_v6: false, scope: Scope::Private };

    fn at(group: u32, last: u8, port: u16) -> SocketAddr {
        let [_, a, b, c] = group.to_be_bytes();
        SocketAddr::from(([(a % 100) + 20, b, c, last], port))
    }

    fn millis(millis: u64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    /// How many of so many requests, evenly over `span` ms from `begin` on, were taken, and what the last one met.
    fn sent(limiter: &mut Limiter, from: SocketAddr, is_proven: bool, count: u64, begin: u64, span: u64) -> (u64, Verdict) {
        let mut last = Verdict::Take;
        let taken = (0..count).filter(|n| {
            last = limiter.check(from, GLOBAL, is_proven, RATES, millis(begin + n * span / count));
            last == Verdict::Take
        });
        (taken.count() as u64, last)
    }

    // spec-test: DHT-71
    #[test]
    fn an_address_has_its_burst_and_its_rate_and_a_group_too() {
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 40, 0, 1), (40, Verdict::Take));
        assert_eq!(sent(&mut limiter, at(1, 1, 8), true, 1, 0, 1), (0, Verdict::Busy), "another port is the same address");
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 20, 1_000, 1_000).0, 20);
        // Its group: 400 at once, of whatever addresses.
        let mut limiter = Limiter::new([1, 2]);
        let taken: u64 = (0..20).map(|last| sent(&mut limiter, at(1, last, 9), true, 39, 0, 1).0).sum();
        assert_eq!(taken, 400);
        assert_eq!(sent(&mut limiter, at(2, 1, 9), true, 39, 0, 1).0, 39, "another group is not touched");
        // Whoever is refused for the group is not charged for it.
        let mut limiter = Limiter::new([1, 2]);
        let taken = (0..3_000).filter(|_| limiter.check(at(1, 1, 9), PRIVATE, true, RATES, millis(0)) == Verdict::Take).count();
        assert_eq!(taken, 2_000, "fifty times as many where addresses are no scarce good");
    }

    // spec-test: DHT-70
    #[test]
    fn what_comes_without_a_cookie_costs_whoever_shows_one_nothing() {
        let mut limiter = Limiter::new([1, 2]);
        let (taken, last) = sent(&mut limiter, at(1, 1, 9), false, 200_000, 0, 1_000);
        assert!((59..=60).contains(&taken) && last == Verdict::Busy, "{taken} {last:?}");
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 40, 1_000, 1), (40, Verdict::Take));
    }

    // spec-test: DHT-72
    #[test]
    fn who_asks_more_than_ten_times_too_often_is_not_heard_for_five_minutes_and_who_asks_twice_too_often_is() {
        let mut limiter = Limiter::new([1, 2]);
        let (twice, last) = sent(&mut limiter, at(1, 1, 9), true, 40 * 600, 0, 600_000);
        assert!(last != Verdict::Silent && (600 * 17..=600 * 21).contains(&twice), "{twice}");
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 20 * 15 * 30, 0, 30_000).1, Verdict::Silent);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 1, 300_000, 1).1, Verdict::Silent);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 1, 340_000, 1).1, Verdict::Take);
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), false, 20 * 100 * 60, 0, 60_000).1, Verdict::Busy, "never without a cookie");
    }

    // spec-test: DHT-70
    #[test]
    fn cells_grow_with_who_asks_up_to_their_bound_and_a_flood_does_not_put_out_who_shows_a_cookie() {
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(limiter.heap_bytes(), 0);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 40, 0, 1).0, 40);
        assert_eq!(limiter.heap_bytes(), 2 * CELLS_MIN * 8);
        for group in 0..100_000 {
            limiter.check(at(group, 1, 9), GLOBAL, false, RATES, millis(1));
        }
        assert_eq!(limiter.heap_bytes(), 12_288);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 1, 1, 1), (0, Verdict::Busy));
    }

    // spec-test: DHT-64
    #[test]
    fn a_cell_does_not_come_back_when_its_time_comes_round() {
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 20_000, 0, 1_000).1, Verdict::Silent);
        for minute in 6..60 * 24 * 10 {
            let now = millis(minute * 60_000);
            assert_eq!(limiter.check(at(2, 2, 9), GLOBAL, true, RATES, now), Verdict::Take);
            if minute % 60 == 0 {
                assert_eq!(limiter.check(at(1, 1, 9), GLOBAL, true, RATES, now), Verdict::Take);
            }
        }
        // Nothing for as long as the time takes to come round.
        let mut limiter = Limiter::new([1, 2]);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 20_000, 0, 1_000).1, Verdict::Silent);
        assert_eq!(sent(&mut limiter, at(1, 1, 9), true, 1, (64 << 32) / 1_000, 1).1, Verdict::Take);
    }

    // spec-test: DHT-75
    #[test]
    fn the_last_64_that_stayed_silent_are_not_asked_on_hearsay_for_a_minute() {
        let mut silent = SilentList::new([1, 2]);
        for n in 0..100 {
            silent.on_silent(at(n, 1, 9), millis(n.into()));
        }
        let listed: Vec<u32> = (0..100).filter(|n| silent.is_silent(at(*n, 1, 9), millis(100))).collect();
        assert!(listed.into_iter().eq(36..100));
        assert!(silent.is_silent(at(99, 1, 9), millis(60_000)) && !silent.is_silent(at(99, 1, 8), millis(60_000)));
        assert!(!silent.is_silent(at(99, 1, 9), millis(60_100)));
        silent.on_heard(at(98, 1, 9));
        assert!(!silent.is_silent(at(98, 1, 9), millis(100)) && silent.is_silent(at(97, 1, 9), millis(100)), "it has answered");
        assert!(!silent.is_silent(at(99, 1, 9), millis(60_050 + (64 << 32) / 1_000)), "its time came round");
    }
}
