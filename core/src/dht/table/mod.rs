//! The table of one realm: whom a node asks first, and whom it names to others.
//!
//! It holds no timer and sends nothing: what happened goes in, whom to ask next comes out. Other than in a usual Kademlia
//! table, nobody is in it who has not answered a request of ours, and no network of addresses has many places.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::key::Hint;
use super::realm::Realm;
use crate::time::Time;

mod admit;
mod entry;
mod fair;
mod probe;
mod shelf;
mod stored;

#[cfg(test)]
mod fair_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod turnover_tests;

pub(crate) use admit::{Admission, Answer, Candidate, Miss};
pub(crate) use entry::{Entry, Rtt};
pub(crate) use stored::Broken;
#[cfg(test)]
use stored::Restored;

use entry::{AGE_MAX, State, UNVERIFIED, ticks};
use shelf::{BUCKETS, Seen, Shelf};

/// How large a table may become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Whether the three farthest buckets have 256, 128 and 64 places and all others 32, instead of 16. At 10⁶ nodes 860
    /// entries instead of 270, and four look-ups in five take a hop less.
    pub(crate) is_wide: bool,
    /// How many wait beside each bucket.
    pub(crate) spares: usize,
}

impl Shape {
    /// Of who serves.
    pub(crate) const SERVER: Self = Self { is_wide: true, spares: 16 };
    /// Of who only asks.
    pub(crate) const CLIENT: Self = Self { is_wide: false, spares: 4 };

    const fn places(self, bucket: usize) -> usize {
        match bucket {
            0 if self.is_wide => 256,
            1 if self.is_wide => 128,
            2 if self.is_wide => 64,
            _ if self.is_wide => 32,
            _ => 16,
        }
    }
}

/// What the caps on groups mean (spec: DHT-53, DHT-54).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Few networks are known: who is over a cap comes last.
    Soft,
    /// Who is over a cap has to wait.
    Hard,
}

/// What nodes are wanted for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    /// To be named to others: who answered within the hour.
    Naming(Places),
    /// To be asked by ourselves: others too, but last.
    Asking(Places),
}

/// From which places.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Places {
    All,
    /// Those that nobody wins by being near (spec: DHT-56).
    Fair,
}

impl Places {
    /// Those that a request which is fair, or is not, is about.
    pub(crate) const fn of(is_fair: bool) -> Self {
        if is_fair { Self::Fair } else { Self::All }
    }
}

/// Who was seen longer ago is not named to others: an hour (spec: DHT-61).
const NAMED_AGE_MAX: u16 = 450;
/// Ages are cut this often: an hour.
const SWEEP_TICKS: u64 = 450;
/// A bucket with fewer is filled by look-ups: as many as a reply names, and one.
const THIN: usize = 8;
/// At most so many nearest nodes are told at once (a look-up starts from 16; the widest region has 32).
const NEAREST_MAX: usize = 32;

/// The nodes of one realm that are known, by how many leading bits they share with the own id.
pub(crate) struct Table {
    realm: Realm,
    own: Hint,
    shape: Shape,
    mode: Mode,
    mains: Shelf,
    spares: Shelf,
    /// How many of each bucket, its last ones, are not fair (spec: DHT-56).
    unfair: [u8; BUCKETS],
    /// When ages were cut last; within an hour of whatever happened last.
    swept: Time,
    /// The first entries, by the entry peer that they were learnt through.
    first: admit::First,
    /// A bucket that a false identity was found in, and when.
    suspected: Option<(usize, Time)>,
    /// Probes so far, for taking turns.
    turns: u8,
}

impl Table {
    /// An empty one around the own id, in soft mode. Allocates nothing yet.
    pub(crate) const fn new(realm: Realm, own: Hint, shape: Shape) -> Self {
        Self {
            realm,
            own,
            shape,
            mode: Mode::Soft,
            mains: Shelf::new(realm.is_v6),
            spares: Shelf::new(realm.is_v6),
            unfair: [0; BUCKETS],
            swept: Time::ZERO,
            first: admit::First::new(),
            suspected: None,
            turns: 0,
        }
    }

    /// How many nodes have a place.
    pub(crate) fn len(&self) -> usize {
        self.mains.len()
    }

    /// The nodes that have a place, farthest bucket first.
    pub(crate) fn mains(&self) -> impl Iterator<Item = Entry> + Clone + '_ {
        self.mains.iter(0..self.mains.len())
    }

    /// How many of them are verified. O(n).
    pub(crate) fn verified(&self) -> usize {
        let mut count: usize = 0;
        self.scan_verified(Time::ZERO, |_| count = count.saturating_add(1));
        count
    }

    /// Of how many groups the verified ones are; not counted beyond 64 (spec: DHT-54). O(n × groups).
    pub(crate) fn groups(&self) -> usize {
        self.mains.groups(self.realm.is_global())
    }

    /// Whether fewer than eight of a bucket have a place (spec: DHT-137).
    pub(crate) fn is_thin(&self, bucket: usize) -> bool {
        self.mains.range(bucket).len() < THIN
    }

    /// The node with a place at this address. O(n).
    pub(crate) fn find(&self, at: SocketAddr) -> Option<Entry> {
        self.mains.get(self.mains.position(at)?)
    }

    /// The node at this address, whether it has a place or waits for one. O(n).
    pub(crate) fn find_any(&self, at: SocketAddr) -> Option<Entry> {
        self.find(at).or_else(|| self.spares.get(self.spares.position(at)?))
    }

    /// Whether somebody at this address waits for a place who has never answered. O(n).
    pub(crate) fn is_waiting(&self, at: SocketAddr) -> bool {
        self.find(at).is_none() && self.find_any(at).is_some_and(|entry| !entry.is_verified())
    }

    /// The middle one of the verified nodes' round trips that are known; `None` below eight. O(n log n).
    pub(crate) fn median_rtt(&self) -> Option<Duration> {
        self.rtt_at(2)
    }

    /// The one that a quarter of them exceed. O(n log n).
    pub(crate) fn long_rtt(&self) -> Option<Duration> {
        self.rtt_at(3)
    }

    /// The one that so many quarters of them do not exceed.
    fn rtt_at(&self, quarters: usize) -> Option<Duration> {
        const KNOWN_MIN: usize = 8;
        let mut lengths: Vec<Rtt> =
            self.mains().filter(Entry::is_verified).map(|entry| entry.rtt).filter(|rtt| *rtt != Rtt::UNKNOWN).collect();
        lengths.sort_unstable();
        if lengths.len() < KNOWN_MIN { None } else { lengths.get(lengths.len().saturating_mul(quarters) / 4)?.length() }
    }

    /// Bytes of heap. What the entries take is 18 or 30 bytes each, and room for 7 more a row.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.mains.heap_bytes().saturating_add(self.spares.heap_bytes())
    }

    /// The nodes nearest to a target, nearest first, into `out`, which is emptied; at most `n` and 32 (spec: DHT-61).
    ///
    /// The buckets are looked at in the order of nearness, so that the table is never sorted: first the one that the target
    /// would be in, then all deeper ones together, then those before it. Only in a small network are there crowded nodes
    /// (over a cap); they come after the others of their step. O(n), usually one bucket.
    pub(crate) fn nearest(&self, target: Hint, n: usize, wanted: Wanted, now: Time, out: &mut Vec<Entry>) {
        out.clear();
        let n = n.min(NEAREST_MAX);
        let (bucket, is_told) = (self.bucket(target), self.is_told(now));
        let (here, deeper) = (bucket..bucket.saturating_add(1), bucket.saturating_add(1)..BUCKETS);
        let before = (0..bucket).rev().map(|bucket| bucket..bucket.saturating_add(1));
        for buckets in [here, deeper].into_iter().chain(before) {
            let room = n.saturating_sub(out.len());
            if room == 0 {
                return;
            }
            let mut best = Best::new(room, target, wanted, is_told);
            match wanted {
                Wanted::Naming(Places::All) | Wanted::Asking(Places::All) => {
                    self.mains.scan(self.mains.ranges(buckets), now, |seen| best.offer(&seen));
                }
                Wanted::Naming(Places::Fair) | Wanted::Asking(Places::Fair) => {
                    buckets.for_each(|bucket| self.mains.scan(self.fair(bucket), now, |seen| best.offer(&seen)));
                }
            }
            out.extend(best.indices().filter_map(|index| self.mains.get(index)));
        }
    }

    /// Soft or hard. In hard mode those over a cap lose their places.
    pub(crate) fn set_mode(&mut self, mode: Mode, now: Time) {
        self.sweep(now);
        self.settle(now);
        self.mode = mode;
        if mode == Mode::Hard {
            let crowded: Vec<usize> =
                (0..self.mains.len()).rev().filter(|index| self.mains.get(*index).is_some_and(|it| it.has(State::CROWDED))).collect();
            for index in crowded {
                if let Some(entry) = self.take_out(index) {
                    self.add_spare(&entry);
                }
            }
        }
        // Before that, whoever waits because of its descent would come back.
        if self.first.is_settled() {
            self.fill_all();
        }
    }

    fn bucket(&self, hint: Hint) -> usize {
        usize::try_from(self.own.shared_bits(hint)).unwrap_or(BUCKETS).min(BUCKETS - 1)
    }

    /// Whether anybody may have answered within the hour.
    ///
    /// Whatever happens cuts ages within the hour; so when nothing has for two, nobody was seen within the last, and ages,
    /// which might have wrapped since, are not looked at.
    fn is_told(&self, now: Time) -> bool {
        ticks(now).saturating_sub(ticks(self.swept)) < 2 * SWEEP_TICKS
    }

    fn scan_verified(&self, now: Time, mut see: impl FnMut(Seen)) {
        self.mains.scan(0..self.mains.len(), now, |seen| {
            if seen.state.misses() < UNVERIFIED {
                see(seen);
            }
        });
    }

    /// Cuts ages before they wrap (spec: DHT-64). Begins each method that changes something.
    fn sweep(&mut self, now: Time) {
        let passed = ticks(now).saturating_sub(ticks(self.swept));
        if passed >= SWEEP_TICKS {
            self.mains.cut_ages(now, passed);
            self.spares.cut_ages(now, passed);
            self.swept = now;
        }
        const { assert!(AGE_MAX as u64 + 2 * SWEEP_TICKS < 1 << 16) };
    }
}

/// The best few of a scan: the lowest keys, in order.
struct Best {
    target: Hint,
    wanted: Wanted,
    is_told: bool,
    keys: [u128; NEAREST_MAX],
    room: usize,
    /// Whoever is farther is not among them, whatever else it is.
    farthest: u64,
}

impl Best {
    const NONE: u128 = u128::MAX;
    /// A key from the top: last resort, missed, crowded, distance, index.
    const INDEX_BITS: u32 = 16;
    const CROWDED: u128 = 1 << (64 + Self::INDEX_BITS);
    const MISSED: u128 = Self::CROWDED << 1;
    const LAST: u128 = Self::MISSED << 1;

    const fn new(room: usize, target: Hint, wanted: Wanted, is_told: bool) -> Self {
        Self { target, wanted, is_told, keys: [Self::NONE; NEAREST_MAX], room, farthest: u64::MAX }
    }

    fn offer(&mut self, seen: &Seen) {
        let distance = seen.hint.distance(self.target).0;
        if distance > self.farthest {
            return;
        }
        let is_fresh = self.is_told && seen.state.misses() < UNVERIFIED && seen.age <= NAMED_AGE_MAX;
        let mut key = u128::from(distance) << Self::INDEX_BITS | u128::from(u16::try_from(seen.index).unwrap_or(u16::MAX));
        if seen.state.has(State::CROWDED) {
            key |= Self::CROWDED;
        }
        if seen.state.has_missed() {
            key |= Self::MISSED;
        }
        match self.wanted {
            Wanted::Naming(_) if !is_fresh => return,
            Wanted::Asking(_) if !is_fresh => key |= Self::LAST,
            Wanted::Naming(_) | Wanted::Asking(_) => {}
        }
        let Some(keys) = self.keys.get_mut(..self.room) else { return };
        let at = keys.partition_point(|other| *other < key);
        if let Some(behind) = keys.get_mut(at..) {
            behind.rotate_right(usize::from(!behind.is_empty()));
            behind.iter_mut().take(1).for_each(|slot| *slot = key);
        }
        // Among those that are neither crowded, nor missed, nor a last resort only distance counts.
        self.farthest = keys.last().filter(|worst| **worst < Self::CROWDED).map_or(u64::MAX, |worst| (worst >> Self::INDEX_BITS) as u64);
    }

    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let found = self.keys.iter().take_while(|key| **key != Self::NONE);
        found.map(|key| usize::try_from(key & ((1 << Self::INDEX_BITS) - 1)).unwrap_or(usize::MAX))
    }
}
