//! What was done lately, by a few bits of its name: so that it is not done again so soon.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::map::hash_bytes;
use crate::time::Time;

/// Names and when they came, the oldest first. 8 bytes each, none when nothing happened lately.
pub(crate) struct Recent {
    key: [u64; 2],
    /// A tag of the name, and whole seconds after `began`.
    rows: VecDeque<(u32, u32)>,
    began: Time,
    length: Duration,
    rows_max: usize,
}

impl Recent {
    /// Remembers each for `length`, and at most so many; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) const fn new(key: [u64; 2], length: Duration, rows_max: usize) -> Self {
        Self { key, rows: VecDeque::new(), began: Time::ZERO, length, rows_max }
    }

    /// Whether this was added within the length. O(n).
    pub(crate) fn has(&mut self, name: &[u8], now: Time) -> bool {
        self.forget(now);
        let tag = self.tag(name);
        self.rows.iter().any(|(row, _)| *row == tag)
    }

    /// It has been done. When there is no room, the oldest is forgotten.
    pub(crate) fn add(&mut self, name: &[u8], now: Time) {
        self.forget(now);
        if self.rows.is_empty() {
            self.began = now;
        }
        if self.rows.len() >= self.rows_max {
            self.rows.pop_front();
        }
        self.rows.push_back((self.tag(name), self.second(now)));
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.rows.capacity().saturating_mul(size_of::<(u32, u32)>())
    }

    /// Whole seconds are rounded down when a row comes and when it goes: it stays for at least its length less one second,
    /// so one second more is waited.
    fn forget(&mut self, now: Time) {
        let (now, length) = (self.second(now), u32::try_from(self.length.as_secs()).unwrap_or(u32::MAX));
        while self.rows.front().is_some_and(|(_, at)| now.saturating_sub(*at) > length) {
            self.rows.pop_front();
        }
        if self.rows.is_empty() {
            self.rows = VecDeque::new();
        }
    }

    fn second(&self, now: Time) -> u32 {
        u32::try_from(now.since(self.began).as_secs()).unwrap_or(u32::MAX)
    }

    fn tag(&self, name: &[u8]) -> u32 {
        let [a, b, c, d, ..] = hash_bytes(self.key, name).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_remembered_for_its_length_and_takes_nothing_afterwards() {
        let mut recent = Recent::new([1, 2], Duration::from_secs(600), 4);
        let at = |millis: u64| Time::from_millis(5_000_000 + millis);
        assert!(!recent.has(b"a", at(0)));
        recent.add(b"a", at(900));
        assert!(recent.has(b"a", at(600_899)) && !recent.has(b"b", at(600_899)));
        assert!(!recent.has(b"a", at(602_000)));
        assert_eq!((recent.len(), recent.heap_bytes()), (0, 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::new([1, 2], Duration::from_secs(600), 4);
        for n in 0..10 {
            recent.add(&[n], Time::from_secs(n.into()));
            assert!(recent.len() <= 4);
        }
        let known: alloc::vec::Vec<u8> = (0..10).filter(|n| recent.has(&[*n], Time::from_secs(10))).collect();
        assert_eq!(known, [6, 7, 8, 9]);
    }
}
