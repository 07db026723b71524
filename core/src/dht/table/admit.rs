//! Who gets a place in the table, who waits, and who goes.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::entry::{Entry, Rtt, State, Tick, UNVERIFIED, ticks};
use super::shelf::BUCKETS;
use super::{Mode, Table};
use crate::address::{group, plain_socket};
use crate::dht::key::Hint;
use crate::time::Time;

/// Somebody who serves has answered a request of ours, from where we had sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) hint: Hint,
    pub(crate) at: SocketAddr,
    pub(crate) rtt: Rtt,
    /// Whether a look-up of our own had asked (spec: DHT-55).
    pub(crate) by_look_up: bool,
    /// Whether it said that it serves in the other family too; `None` if it did not say.
    pub(crate) is_dual: Option<bool>,
    /// The number of the entry peer through which it was learnt (spec: DHT-62).
    pub(crate) descent: Option<u8>,
}

/// What an answer came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// No such node may be in this table (spec: DHT-50).
    Unfit,
    /// It was there already, and verified.
    Known,
    /// It has a place now, or is verified there.
    Main,
    /// It waits for one.
    Spare,
    /// There is no room even to wait.
    Full,
}

/// What becomes of somebody who asked us, showing a cookie that holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Candidate {
    /// No such node may be in this table, or there is no room for it.
    Refused,
    /// It is in it or waits already.
    Known,
    /// Ask it now: there is a place.
    Ask,
    /// It waits to be asked, in its bucket's turn.
    Waits,
}

/// What becomes of somebody who did not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Miss {
    Unknown,
    /// To be asked again after this.
    Again(Duration),
    Gone,
}

impl Miss {
    /// Of who answered the last time that it was asked.
    pub(crate) const FIRST: Self = Self::Again(AGAIN);
}

/// So many misses in a row and a node is gone (spec: DHT-57).
const MISSES_MAX: u8 = 3;
/// A node that missed is asked again after this, and after twice this.
const AGAIN: Duration = Duration::from_secs(10);
/// So many of a group may wait beside a bucket of a hard table, as many as may have places in it (spec: DHT-52).
const SPARES_OF_GROUP: usize = 2;
/// A bucket is suspected at most this often (spec: DHT-58).
pub(super) const SUSPECT_EACH: Duration = Duration::from_secs(600);
/// Mean times in units of 8 s after which a node is of the next age class: 30 min, 90 min more, 6 h more (spec: DHT-60).
const CLASS_TICKS: [u64; 3] = [225, 675, 2_700];

/// How many of the first nodes each entry peer has led to (spec: DHT-62).
pub(super) struct First {
    began: Option<Time>,
    places: [u8; 16],
    /// That it is over has had its effect.
    is_settled: bool,
}

/// The first table is full with so many under the caps, or over after this time (guess: no entry peer is waited for so long).
const FIRST_MAINS: usize = 64;
const FIRST_LENGTH: Duration = Duration::from_secs(300);
/// So many of them may descend from one entry peer, if there are several.
const FIRST_PLACES: u8 = 16;

impl First {
    pub(super) const fn new() -> Self {
        Self { began: None, places: [0; 16], is_settled: false }
    }

    /// From now on it makes no difference who descends from whom.
    pub(super) const fn is_settled(&self) -> bool {
        self.is_settled
    }

    /// Whether it has ended since this was asked last.
    fn ends(&mut self, mains: usize, now: Time) -> bool {
        let is_over = mains >= FIRST_MAINS || self.began.is_some_and(|began| now.since(began) >= FIRST_LENGTH);
        is_over && !core::mem::replace(&mut self.is_settled, is_over)
    }

    fn slot(&mut self, descent: Option<u8>) -> Option<&mut u8> {
        self.places.get_mut(usize::from(descent?) % 16)
    }

    /// Whether one more of this descent would be too many.
    fn is_full(&mut self, descent: Option<u8>) -> bool {
        let several = self.places.iter().filter(|places| **places > 0).count() > 1;
        !self.is_settled && several && self.slot(descent).is_some_and(|places| *places >= FIRST_PLACES)
    }

    fn count(&mut self, descent: Option<u8>, now: Time) {
        self.began.get_or_insert(now);
        if let Some(places) = self.slot(descent) {
            *places = places.saturating_add(1);
        }
    }
}

impl Table {
    /// Takes an answer to our own request in: the only way into the table (spec: DHT-51). O(n).
    pub(crate) fn on_answer(&mut self, answer: &Answer, now: Time) -> Admission {
        self.sweep(now);
        let at = plain_socket(answer.at);
        if let Some(index) = self.mains.position(at)
            && let Some(mut entry) = self.mains.get(index)
        {
            if entry.hint == answer.hint {
                let was_verified = entry.is_verified();
                refresh(&mut entry, answer, now);
                self.mains.set(index, &entry);
                // One that was restored, or has missed: it counts from now on.
                return if was_verified { Admission::Known } else { Admission::Main };
            }
            self.on_change(at, now);
        }
        if answer.hint == self.own || !self.realm.takes(answer.hint, at) {
            return Admission::Unfit;
        }
        let waiting = self.spares.position(at).and_then(|index| self.spares.remove(index)).filter(|entry| entry.hint == answer.hint);
        let mut entry = waiting.unwrap_or_else(|| unverified(answer.hint, at, now));
        refresh(&mut entry, answer, now);
        self.place(entry, answer.descent, now)
    }

    /// Somebody asked us with a cookie that holds, and with an id: it proves an address, no more (spec: DHT-51, DHT-59). O(n).
    pub(crate) fn on_request(&mut self, hint: Hint, at: SocketAddr, now: Time) -> Candidate {
        self.sweep(now);
        let at = plain_socket(at);
        if hint == self.own || !self.realm.takes(hint, at) {
            return Candidate::Refused;
        }
        if let Some(index) = self.mains.position(at)
            && let Some(mut entry) = self.mains.get(index)
        {
            if entry.hint != hint {
                return Candidate::Ask;
            }
            if entry.is_verified() {
                entry.state = entry.state.with(State::POSTPONED, true);
                self.mains.set(index, &entry);
            }
            return Candidate::Known;
        }
        if self.spares.position(at).is_some() {
            return Candidate::Known;
        }
        let bucket = self.bucket(hint);
        let mut entry = unverified(hint, at, now);
        self.mark(bucket, &mut entry, false);
        if self.has_place(bucket, &entry) {
            Candidate::Ask
        } else if self.is_excluded(&entry) || self.spares.range(bucket).len() >= self.shape.spares {
            Candidate::Refused
        } else {
            self.add_spare(&entry);
            Candidate::Waits
        }
    }

    /// Somebody has named a node in answer to a look-up: if there is a place for it, it waits to be asked whether it is there
    /// (spec: DHT-51). O(n).
    pub(crate) fn on_named(&mut self, hint: Hint, at: SocketAddr, now: Time) {
        self.sweep(now);
        let (at, bucket) = (plain_socket(at), self.bucket(hint));
        let is_known = || self.mains.position(at).is_some() || self.spares.position(at).is_some();
        if self.spares.range(bucket).len() >= self.shape.spares || hint == self.own || is_known() || !self.realm.takes(hint, at) {
            return;
        }
        let mut entry = unverified(hint, at, now);
        self.mark(bucket, &mut entry, false);
        if self.has_place(bucket, &entry) {
            self.add_spare(&entry);
        }
    }

    /// A request of ours, and its repetition, stayed without an answer (spec: DHT-57). O(n).
    pub(crate) fn on_miss(&mut self, at: SocketAddr, now: Time) -> Miss {
        self.sweep(now);
        let at = plain_socket(at);
        let Some(index) = self.mains.position(at) else {
            let waiting = self.spares.position(at).and_then(|index| self.spares.remove(index));
            return if waiting.is_some() { Miss::Gone } else { Miss::Unknown };
        };
        let Some(mut entry) = self.mains.get(index) else { return Miss::Unknown };
        let misses = entry.state.misses().saturating_add(1);
        if misses >= MISSES_MAX {
            self.vacate(index);
            return Miss::Gone;
        }
        entry.state = entry.state.with_misses(misses);
        self.mains.set(index, &entry);
        Miss::Again(AGAIN.saturating_mul(misses.into()))
    }

    /// At this address an id is said that is not the known one: who was there is gone, and its bucket is asked before
    /// others are (spec: DHT-58). O(n).
    pub(crate) fn on_change(&mut self, at: SocketAddr, now: Time) {
        self.sweep(now);
        let at = plain_socket(at);
        if let Some(index) = self.mains.position(at) {
            let bucket = self.mains.bucket_of(index);
            if self.suspected.is_none_or(|(_, since)| now.since(since) >= SUSPECT_EACH) {
                self.suspected = Some((bucket, now));
            }
            self.vacate(index);
        } else if let Some(index) = self.spares.position(at) {
            self.spares.remove(index);
        }
    }

    /// Gives a node a place, or lets it wait. It is in neither shelf.
    pub(super) fn place(&mut self, mut entry: Entry, descent: Option<u8>, now: Time) -> Admission {
        let bucket = self.bucket(entry.hint);
        self.settle(now);
        let is_first_full = self.first.is_full(descent);
        self.mark(bucket, &mut entry, is_first_full);
        if self.has_place(bucket, &entry) {
            self.add_fair(bucket, &entry);
        } else if let Some(index) = self.yielding(bucket, &entry)
            && let Some(yielding) = self.mains.get(index)
        {
            self.mains.set(index, &entry);
            self.relax(&yielding);
            self.add_spare(&yielding);
        } else {
            return self.wait(bucket, &entry);
        }
        self.first.count(descent.filter(|_| !entry.has(State::CROWDED)), now);
        Admission::Main
    }

    /// Puts a node among its bucket's spares, in their order; `false` if there is no room. The last may fall out.
    ///
    /// Of those that have answered who did so last comes first: it is likeliest to be there still. Of others who came first
    /// does, or who comes again and again would be asked before it.
    pub(super) fn add_spare(&mut self, entry: &Entry) -> bool {
        let bucket = self.bucket(entry.hint);
        if !self.makes_room_beside_its_group(bucket, entry) {
            return false;
        }
        let range = self.spares.range(bucket);
        let before = self.spares.iter(range.clone()).take_while(|other| stays_before(other, entry)).count();
        if before >= self.shape.spares {
            return false;
        }
        self.spares.insert(bucket, range.start.saturating_add(before), entry);
        if range.len() >= self.shape.spares {
            self.spares.remove(range.end);
        }
        true
    }

    /// In a hard table at most two of a group wait beside a bucket: the last of them goes for one that comes before it (spec: DHT-52).
    fn makes_room_beside_its_group(&mut self, bucket: usize, entry: &Entry) -> bool {
        if self.mode == Mode::Soft {
            return true;
        }
        let of_group = |index: &usize| self.spares.get(*index).is_some_and(|other| group(other.at) == group(entry.at));
        let beside: Vec<usize> = self.spares.range(bucket).filter(of_group).collect();
        let Some(last) = beside.last().copied().filter(|_| beside.len() >= SPARES_OF_GROUP) else { return true };
        let goes = self.spares.get(last).is_none_or(|last| !stays_before(&last, entry));
        if goes {
            self.spares.remove(last);
        }
        goes
    }

    /// Gives a free place of a bucket to the first spare that may have it, or, if it is not to be a fair one, to the nearest;
    /// `false` if nobody comes (spec: DHT-56).
    pub(super) fn fill(&mut self, bucket: usize, is_fair: bool) -> bool {
        let allowed = self.spares.range(bucket).filter_map(|index| {
            let mut entry = self.spares.get(index).filter(Entry::is_verified)?;
            self.mark(bucket, &mut entry, false);
            self.has_place(bucket, &entry).then_some((index, entry))
        });
        let best = allowed.min_by_key(|(_, entry)| (entry.has(State::CROWDED), if is_fair { 0 } else { entry.rtt.rank() }));
        let Some((index, entry)) = best else { return false };
        self.spares.remove(index);
        if is_fair {
            self.add_fair(bucket, &entry);
        } else {
            self.add_unfair(bucket, &entry);
        }
        true
    }

    fn wait(&mut self, bucket: usize, entry: &Entry) -> Admission {
        if entry.is_verified() && self.take_slower(bucket, entry) {
            Admission::Main
        } else if self.add_spare(entry) {
            Admission::Spare
        } else {
            Admission::Full
        }
    }

    /// Takes a node out of its place and gives that to a spare.
    fn vacate(&mut self, index: usize) {
        let bucket = self.mains.bucket_of(index);
        let is_fair = self.fair(bucket).contains(&index);
        if let Some(gone) = self.take_out(index) {
            self.relax(&gone);
            self.fill(bucket, is_fair);
        }
    }

    /// When the first table is full or its time over, only the caps count (spec: DHT-62). O(1) but once.
    pub(super) fn settle(&mut self, now: Time) {
        if self.first.is_settled() {
            return;
        }
        let mut under: usize = 0;
        self.mains.scan(0..self.mains.len(), now, |seen| under = under.saturating_add(usize::from(!seen.state.has(State::CROWDED))));
        if self.first.ends(under, now) {
            self.unmark(usize::MAX);
            self.fill_all();
        }
    }

    /// Gives all free places to spares that may have them.
    pub(super) fn fill_all(&mut self) {
        (0..BUCKETS).for_each(|bucket| while self.fill(bucket, true) {});
    }

    /// After one under the caps has left, one over them may be under them.
    pub(super) fn relax(&mut self, gone: &Entry) {
        if !gone.has(State::CROWDED) && self.mode == Mode::Soft {
            self.unmark(1);
        }
    }

    /// Unmarks at most so many who are over the caps no more.
    fn unmark(&mut self, at_most: usize) {
        let mut unmarked: usize = 0;
        for index in 0..self.mains.len() {
            if unmarked >= at_most {
                return;
            }
            let Some(mut entry) = self.mains.get(index).filter(|entry| entry.has(State::CROWDED)) else { continue };
            self.mark(self.mains.bucket_of(index), &mut entry, false);
            if !entry.has(State::CROWDED) {
                self.mains.set(index, &entry);
                unmarked = unmarked.saturating_add(1);
            }
        }
    }

    /// Notes whether a node would be over a cap in this bucket (spec: DHT-53).
    pub(super) fn mark(&self, bucket: usize, entry: &mut Entry, is_first_full: bool) {
        let is_crowded = is_first_full || self.mains.is_crowded(bucket, entry, self.realm.is_global());
        entry.state = entry.state.with(State::CROWDED, is_crowded);
    }

    fn is_excluded(&self, entry: &Entry) -> bool {
        self.mode == Mode::Hard && entry.has(State::CROWDED)
    }

    /// Whether there is a free place for this node, which is marked. A quarter is for those met by own look-ups (spec: DHT-55).
    pub(super) fn has_place(&self, bucket: usize, entry: &Entry) -> bool {
        let places = self.shape.places(bucket);
        let is_room = self.mains.range(bucket).len() < places;
        is_room && !self.is_excluded(entry) && (entry.has(State::OWN) || self.others(bucket) < others_max(places))
    }

    /// Who gives way in a full bucket to this node, which is marked: one that never answered, else one over a cap (spec: DHT-52, DHT-54).
    fn yielding(&self, bucket: usize, entry: &Entry) -> Option<usize> {
        if !entry.is_verified() || self.is_excluded(entry) {
            return None;
        }
        let is_own_only = !entry.has(State::OWN) && self.others(bucket) >= others_max(self.shape.places(bucket));
        let range = self.mains.range(bucket);
        let allowed = || {
            let all = range.clone().rev().filter_map(|index| self.mains.get(index).map(|main| (index, main)));
            all.filter(|(_, main)| !(is_own_only && main.has(State::OWN)))
        };
        let silent = allowed().find(|(_, main)| !main.is_verified());
        let over = || allowed().find(|(_, main)| main.has(State::CROWDED) && !entry.has(State::CROWDED));
        silent.or_else(over).map(|(index, _)| index)
    }

    /// How many of a bucket were not met by own look-ups.
    pub(super) fn others(&self, bucket: usize) -> usize {
        let mut count: usize = 0;
        self.mains
            .scan(self.mains.range(bucket), Time::ZERO, |seen| count = count.saturating_add(usize::from(!seen.state.has(State::OWN))));
        count
    }
}

/// How many places of a bucket are not kept for own look-ups.
pub(super) const fn others_max(places: usize) -> usize {
    places.saturating_sub(places / 4)
}

/// The order of spares, the best first: verified, under the caps.
const fn worth(entry: &Entry) -> (bool, bool) {
    (!entry.is_verified(), entry.has(State::CROWDED))
}

/// Whether a spare stays before one that comes: of those that have answered the last one is first, of others the first.
fn stays_before(other: &Entry, entry: &Entry) -> bool {
    worth(other) < worth(entry) || (worth(other) == worth(entry) && !entry.is_verified())
}

fn unverified(hint: Hint, at: SocketAddr, now: Time) -> Entry {
    Entry { hint, at, rtt: Rtt::UNKNOWN, seen: Tick::at(now), state: State::default().with_misses(UNVERIFIED) }
}

fn refresh(entry: &mut Entry, answer: &Answer, now: Time) {
    let mut state = entry.state.with_misses(0).with(State::POSTPONED, false);
    if is_older_now(entry, now) {
        state = state.with_class(state.class().saturating_add(1).min(3));
    }
    if answer.by_look_up {
        state = state.with(State::OWN, true);
    }
    if let Some(is_dual) = answer.is_dual {
        state = state.with(State::DUAL, is_dual);
    }
    entry.state = state;
    entry.rtt = entry.rtt.with(answer.rtt);
    entry.seen = Tick::at(now);
}

/// Whether a border of its age class has passed since it was seen.
///
/// When it came is not kept. Borders lie twice the class's length apart, elsewhere for each node, so that a node meets the
/// first one after that length on average (spec: DHT-60).
fn is_older_now(entry: &Entry, now: Time) -> bool {
    let Some(length) = CLASS_TICKS.get(usize::from(entry.state.class())).map(|ticks| 2 * ticks) else { return false };
    // Other bits for each class, or the borders of one would lie on those of the next.
    let phase = (entry.hint.0 >> (16 * u32::from(entry.state.class()))) % length;
    let to = ticks(now).saturating_add(phase);
    let from = to.saturating_sub(entry.seen.age(now).into());
    to / length > from / length
}
