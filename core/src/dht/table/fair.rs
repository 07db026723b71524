//! Who has a place for being near, and who has one whatever its round trip is.
//!
//! Those who are fair come first in each bucket. Nobody becomes fair later on, and whoever leaves leaves one less of its kind.

use core::ops::Range;

use super::Table;
use super::admit::others_max;
use super::entry::{Entry, State};
use super::shelf::BUCKETS;
use crate::dht::key::Hint;
use crate::time::Time;

impl Table {
    /// The nodes of a bucket of whom none is there for being near (spec: DHT-56).
    pub(super) fn fair(&self, bucket: usize) -> Range<usize> {
        let range = self.mains.range(bucket);
        let unfair = self.unfair.get(bucket).copied().map_or(0, usize::from);
        range.start..range.end.saturating_sub(unfair).max(range.start)
    }

    /// The other nodes of a bucket.
    pub(super) fn unfair(&self, bucket: usize) -> Range<usize> {
        self.fair(bucket).end..self.mains.range(bucket).end
    }

    /// Puts a near node in the place of the slowest of those that are not in the first half of its bucket's places, or not
    /// fair, if it is much nearer (spec: DHT-56).
    pub(super) fn take_slower(&mut self, bucket: usize, entry: &Entry) -> bool {
        if entry.has(State::CROWDED) {
            return false;
        }
        let places = self.shape.places(bucket);
        let is_own_only = !entry.has(State::OWN) && self.others(bucket) >= others_max(places);
        let range = self.mains.range(bucket);
        let first = range.start.saturating_add(places / 2).min(self.fair(bucket).end);
        let slowest = (first..range.end)
            .filter_map(|index| self.mains.get(index).map(|slow| (index, slow)))
            .filter(|(_, slow)| entry.rtt.is_much_shorter(slow.rtt) && !(is_own_only && slow.has(State::OWN)))
            .max_by_key(|(_, slow)| slow.rtt);
        let Some((index, slow)) = slowest else { return false };
        self.mains.set(index, entry);
        self.contest(bucket);
        self.relax(&slow);
        self.add_spare(&slow);
        true
    }

    /// Gives a node that was somewhere for being near such a place, or lets it wait.
    pub(super) fn place_unfair(&mut self, mut entry: Entry) {
        let bucket = self.bucket(entry.hint);
        self.mark(bucket, &mut entry, false);
        if self.has_place(bucket, &entry) && self.unfair(bucket).len() < self.shape.places(bucket) / 2 {
            self.add_unfair(bucket, &entry);
        } else {
            self.add_spare(&entry);
        }
    }

    /// Puts a node on a free place, for whatever its round trip is. When there is no other, only those that came first stay fair.
    pub(super) fn add_fair(&mut self, bucket: usize, entry: &Entry) {
        self.mains.insert(bucket, self.fair(bucket).end, entry);
        self.contest_full(bucket);
    }

    fn contest_full(&mut self, bucket: usize) {
        if self.mains.range(bucket).len() >= self.shape.places(bucket) {
            self.contest(bucket);
        }
    }

    /// Puts a node on a free place for being near.
    pub(super) fn add_unfair(&mut self, bucket: usize, entry: &Entry) {
        self.mains.insert(bucket, usize::MAX, entry);
        if let Some(unfair) = self.unfair.get_mut(bucket) {
            *unfair = unfair.saturating_add(1);
        }
        self.contest_full(bucket);
    }

    /// From now on at most half of a bucket's places are fair: places have been won by being near, or may have been.
    pub(super) fn contest(&mut self, bucket: usize) {
        let fair = self.fair(bucket).len().min(self.shape.places(bucket) / 2);
        let others = self.mains.range(bucket).len().saturating_sub(fair);
        if let Some(unfair) = self.unfair.get_mut(bucket) {
            *unfair = u8::try_from(others).unwrap_or(u8::MAX);
        }
    }

    /// Takes a node out of its place.
    pub(super) fn take_out(&mut self, index: usize) -> Option<Entry> {
        let bucket = self.mains.bucket_of(index);
        if self.unfair(bucket).contains(&index)
            && let Some(unfair) = self.unfair.get_mut(bucket)
        {
            *unfair = unfair.saturating_sub(1);
        }
        self.mains.remove(index)
    }

    /// Puts the same nodes around another own id: at another address one has another. Who is fair comes first, and nobody
    /// becomes so.
    pub(crate) fn rehome(&mut self, own: Hint, now: Time) {
        self.sweep(now);
        let mut old = core::mem::replace(self, Self::new(self.realm, own, self.shape));
        (self.mode, self.swept, self.turns) = (old.mode, old.swept, old.turns);
        core::mem::swap(&mut self.first, &mut old.first);
        let is_other = |entry: &Entry| entry.hint != own;
        for entry in (0..BUCKETS).flat_map(|bucket| old.mains.iter(old.fair(bucket))).filter(is_other) {
            self.place(entry, None, now);
        }
        for entry in (0..BUCKETS).flat_map(|bucket| old.mains.iter(old.unfair(bucket))).filter(is_other) {
            self.place_unfair(entry);
        }
        // Who came last comes first among spares.
        for entry in (0..old.spares.len()).rev().filter_map(|index| old.spares.get(index)).filter(is_other) {
            self.place(entry, None, now);
        }
    }
}
