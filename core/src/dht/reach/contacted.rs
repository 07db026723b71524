//! To whom something was sent lately: who comes without having been sent for proves that strangers get through (spec: DHT-123).

use alloc::boxed::Box;
use core::net::SocketAddr;
use core::time::Duration;

use crate::dht::rate::Name;
use crate::dht::realm::Realm;
use crate::map::hash_bytes;
use crate::time::Time;

/// After this the older filter is emptied and becomes the newer one: whoever is remembered is so for this long at least.
const TURN: Duration = Duration::from_secs(600);
/// 16,384 bits: with the 2,400 addresses that strangers can have a node ask in ten minutes (spec: DHT-74) less than half of them are
/// set, and one stranger of 13 is taken for somebody known, which costs nothing but time.
pub(super) const ASKED: usize = 256;
/// 4,096 bits: room for 700.
pub(super) const SPOKEN_TO: usize = 64;
const HASHES: u32 = 4;

/// Two Bloom filters that take turns, 16 bytes a word, from the first datagram on; none before.
pub(super) struct Contacted<const WORDS: usize> {
    key: [u64; 2],
    filters: Option<Box<[[u64; WORDS]; 2]>>,
    /// How many bits of each are set.
    set: [u32; 2],
    turned: Time,
    /// Before, somebody may have been sent something that is not known here.
    known_from: Time,
}

impl<const WORDS: usize> Contacted<WORDS> {
    /// The bits of a hash that say a place.
    const PLACE_BITS: u32 = (WORDS * 64).ilog2();
    /// With more bits set a filter takes too many for known to spare them the budget.
    const SET_MAX: u32 = (WORDS * 64 / 2) as u32;

    /// `key` comes from the node's generator.
    pub(super) const fn new(key: [u64; 2]) -> Self {
        Self { key, filters: None, set: [0; 2], turned: Time::ZERO, known_from: Time::ZERO }
    }

    /// Something is sent to `to`. O(1).
    pub(super) fn put(&mut self, to: SocketAddr, realm: Realm, now: Time) {
        self.turn(now);
        let hash = self.hash(to, realm);
        if self.filters.is_none() {
            self.turned = now;
        }
        let [newer, _] = self.filters.get_or_insert_with(|| Box::new([[0; WORDS]; 2])).as_mut();
        for (index, bit) in Self::places(hash) {
            if let Some(word) = newer.get_mut(index).filter(|word| **word & bit == 0) {
                *word |= bit;
                self.set[0] = self.set[0].saturating_add(1);
            }
        }
    }

    /// Whether something was sent to `at` within ten minutes; nobody is said to be known while too many would be. O(1).
    pub(super) fn is_known(&mut self, at: SocketAddr, realm: Realm, now: Time) -> bool {
        self.turn(now);
        self.set.iter().all(|set| *set <= Self::SET_MAX) && self.has(at, realm)
    }

    /// Whether nothing was sent to `from` for ten minutes; may be wrong about a stranger, never about somebody known. O(1).
    pub(super) fn is_stranger(&mut self, from: SocketAddr, realm: Realm, now: Time) -> bool {
        self.turn(now);
        now >= self.known_from && !self.has(from, realm)
    }

    fn has(&self, at: SocketAddr, realm: Realm) -> bool {
        let hash = self.hash(at, realm);
        let has = |filter: &[u64; WORDS]| Self::places(hash).all(|(index, bit)| filter.get(index).is_some_and(|word| word & bit != 0));
        self.filters.as_ref().is_some_and(|filters| filters.iter().any(has))
    }

    /// Forgets everybody and gives the memory back.
    pub(super) fn clear(&mut self) {
        (self.filters, self.set) = (None, [0; 2]);
    }

    /// What was sent before `now` was not noted.
    pub(super) fn begin(&mut self, now: Time) {
        self.known_from = now + TURN;
    }

    /// Bytes of heap.
    pub(super) const fn heap_bytes(&self) -> usize {
        if self.filters.is_some() { size_of::<[[u64; WORDS]; 2]>() } else { 0 }
    }

    fn turn(&mut self, now: Time) {
        let passed = now.since(self.turned);
        if passed < TURN {
            return;
        }
        self.turned = now;
        if let Some(filters) = &mut self.filters {
            let newer = filters.first().copied().unwrap_or([0; WORDS]);
            // After two turns the newer one is as old as the older one would be.
            let keeps = passed < TURN * 2;
            **filters = [[0; WORDS], if keeps { newer } else { [0; WORDS] }];
            self.set = [0, if keeps { self.set[0] } else { 0 }];
        }
    }

    /// Four places: a word and a bit of it.
    fn places(hash: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..HASHES).map(move |n| {
            let place = hash >> (Self::PLACE_BITS * n) & ((1 << Self::PLACE_BITS) - 1);
            (usize::try_from(place / 64).unwrap_or_default(), 1 << (place % 64))
        })
    }

    fn hash(&self, at: SocketAddr, realm: Realm) -> u64 {
        let mut name = Name::new(false);
        name.push_address(at, realm);
        hash_bytes(self.key, name.bytes())
    }
}
