//! Packed entries in one row of memory, bucket beside bucket.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;

use super::entry::{AGE_MAX, Entry, Packed, Packed4, Packed6, State, Tick};
use crate::dht::key::Hint;
use crate::time::Time;

/// One for each number of leading bits shared with the own id; 31 and more are one.
pub(super) const BUCKETS: usize = 32;
/// Places that are asked for at once: buckets fill one node at a time.
const GROWTH: usize = 8;
/// How many distinct groups are ever counted (spec: DHT-54).
const GROUPS_MAX: usize = 64;

/// Entries of a family, ordered by bucket. Indices count over all buckets; inserting and removing cost a copy of what follows.
pub(super) struct Shelf {
    rows: Rows,
    /// Where each bucket begins, and the end.
    starts: [u16; BUCKETS + 1],
}

enum Rows {
    V4(Vec<Packed4>),
    V6(Vec<Packed6>),
}

/// What [`Shelf::scan`] shows of an entry.
pub(super) struct Seen {
    pub(super) index: usize,
    pub(super) hint: Hint,
    pub(super) age: u16,
    pub(super) state: State,
}

impl Shelf {
    /// Allocates nothing yet.
    pub(super) const fn new(is_v6: bool) -> Self {
        Self { rows: if is_v6 { Rows::V6(Vec::new()) } else { Rows::V4(Vec::new()) }, starts: [0; BUCKETS + 1] }
    }

    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::V4(rows) => rows.len(),
            Rows::V6(rows) => rows.len(),
        }
    }

    /// Bytes of heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.rows {
            Rows::V4(rows) => rows.capacity().saturating_mul(size_of::<Packed4>()),
            Rows::V6(rows) => rows.capacity().saturating_mul(size_of::<Packed6>()),
        }
    }

    /// The indices of a bucket.
    pub(super) fn range(&self, bucket: usize) -> Range<usize> {
        let start = |n: usize| self.starts.get(n).copied().map_or(self.len(), usize::from);
        start(bucket)..start(bucket.saturating_add(1))
    }

    /// The indices of buckets that follow one another.
    pub(super) fn ranges(&self, buckets: Range<usize>) -> Range<usize> {
        self.range(buckets.start).start..self.range(buckets.end).start
    }

    /// The bucket that an index is in. O(buckets).
    pub(super) fn bucket_of(&self, index: usize) -> usize {
        self.starts.iter().skip(1).take_while(|end| usize::from(**end) <= index).count()
    }

    pub(super) fn get(&self, index: usize) -> Option<Entry> {
        match &self.rows {
            Rows::V4(rows) => rows.get(index).map(Packed::unpack),
            Rows::V6(rows) => rows.get(index).map(Packed::unpack),
        }
    }

    /// The entries of these indices, in order.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = Entry> + Clone + '_ {
        range.filter_map(|index| self.get(index))
    }

    /// Makes room for so many more at once.
    pub(super) fn reserve(&mut self, more: usize) {
        match &mut self.rows {
            Rows::V4(rows) => rows.reserve_exact(more),
            Rows::V6(rows) => rows.reserve_exact(more),
        }
    }

    /// Gives back the places that nobody has.
    pub(super) fn shrink(&mut self) {
        match &mut self.rows {
            Rows::V4(rows) => rows.shrink_to_fit(),
            Rows::V6(rows) => rows.shrink_to_fit(),
        }
    }

    /// Overwrites what is there.
    pub(super) fn set(&mut self, index: usize, entry: &Entry) {
        match &mut self.rows {
            Rows::V4(rows) => set(rows, index, entry),
            Rows::V6(rows) => set(rows, index, entry),
        }
    }

    /// Puts an entry into a bucket, before index `index` if that lies in it, else at its end.
    pub(super) fn insert(&mut self, bucket: usize, index: usize, entry: &Entry) {
        let range = self.range(bucket);
        let index = index.clamp(range.start, range.end);
        let is_in = match &mut self.rows {
            Rows::V4(rows) => insert(rows, index, entry),
            Rows::V6(rows) => insert(rows, index, entry),
        };
        if is_in {
            self.starts.iter_mut().skip(bucket.saturating_add(1)).for_each(|start| *start = start.saturating_add(1));
        }
    }

    /// Takes an entry out; those behind it move up.
    pub(super) fn remove(&mut self, index: usize) -> Option<Entry> {
        let bucket = self.bucket_of(index);
        let removed = match &mut self.rows {
            Rows::V4(rows) => (index < rows.len()).then(|| rows.remove(index).unpack()),
            Rows::V6(rows) => (index < rows.len()).then(|| rows.remove(index).unpack()),
        }?;
        self.starts.iter_mut().skip(bucket.saturating_add(1)).for_each(|start| *start = start.saturating_sub(1));
        Some(removed)
    }

    /// Where the entry at this address is. O(n).
    pub(super) fn position(&self, at: SocketAddr) -> Option<usize> {
        let entry = Entry { hint: Hint(0), at, rtt: super::Rtt::UNKNOWN, seen: Tick::at(Time::ZERO), state: State::default() };
        match &self.rows {
            Rows::V4(rows) => Packed::pack(&entry).and_then(|it| position(rows, &it)),
            Rows::V6(rows) => Packed::pack(&entry).and_then(|it| position(rows, &it)),
        }
    }

    /// Shows what these indices hold to `see`, in order.
    pub(super) fn scan(&self, range: Range<usize>, now: Time, mut see: impl FnMut(Seen)) {
        match &self.rows {
            Rows::V4(rows) => scan(rows, range, now, &mut see),
            Rows::V6(rows) => scan(rows, range, now, &mut see),
        }
    }

    /// How many entries before the caps stand in an entry's way, were it in this bucket (spec: DHT-53). O(n).
    pub(super) fn is_crowded(&self, bucket: usize, entry: &Entry, is_global: bool) -> bool {
        let range = self.range(bucket);
        match &self.rows {
            Rows::V4(rows) => Packed::pack(entry).is_none_or(|it| is_crowded(rows, &range, &it, is_global)),
            Rows::V6(rows) => Packed::pack(entry).is_none_or(|it| is_crowded(rows, &range, &it, is_global)),
        }
    }

    /// Of how many groups these entries are; not counted beyond 64. O(n × groups).
    pub(super) fn groups(&self, is_global: bool) -> usize {
        match &self.rows {
            Rows::V4(rows) => groups(rows, is_global),
            Rows::V6(rows) => groups(rows, is_global),
        }
    }

    /// Cuts ages, which were at most three days when `passed` units had not passed yet (spec: DHT-64).
    pub(super) fn cut_ages(&mut self, now: Time, passed: u64) {
        match &mut self.rows {
            Rows::V4(rows) => cut_ages(rows, now, passed),
            Rows::V6(rows) => cut_ages(rows, now, passed),
        }
    }
}

fn set<const N: usize>(rows: &mut [Packed<N>], index: usize, entry: &Entry) {
    if let (Some(row), Some(packed)) = (rows.get_mut(index), Packed::pack(entry)) {
        *row = packed;
    }
}

fn insert<const N: usize>(rows: &mut Vec<Packed<N>>, index: usize, entry: &Entry) -> bool {
    let Some(packed) = Packed::pack(entry) else { return false };
    if rows.len() == rows.capacity() {
        rows.reserve_exact(GROWTH);
    }
    rows.insert(index.min(rows.len()), packed);
    true
}

fn position<const N: usize>(rows: &[Packed<N>], it: &Packed<N>) -> Option<usize> {
    such(rows, |row| row.is_at(it)).next().map(|(index, _)| index)
}

/// Few rows out of many, with their indices. Eight are looked at without a branch between them, since most are passed over.
fn such<'a, const N: usize>(
    rows: &'a [Packed<N>],
    is_such: impl Fn(&Packed<N>) -> bool + Copy + 'a,
) -> impl Iterator<Item = (usize, &'a Packed<N>)> + 'a {
    const AT_ONCE: usize = 8;
    let (eights, rest) = rows.as_chunks::<AT_ONCE>();
    let has = move |eight: &&[Packed<N>; AT_ONCE]| eight.iter().fold(false, |has, row| has | is_such(row));
    let indexed = (0..).step_by(AT_ONCE).zip(eights).filter(move |(_, eight)| has(eight));
    let behind = eights.len().saturating_mul(AT_ONCE);
    let of_eights = indexed.flat_map(|(from, eight)| (from..).zip(eight));
    of_eights.chain((behind..).zip(rest)).filter(move |(_, row)| is_such(row))
}

fn scan<const N: usize>(rows: &[Packed<N>], range: Range<usize>, now: Time, see: &mut impl FnMut(Seen)) {
    let (start, now) = (range.start, Tick::at(now));
    for (row, index) in rows.get(range).unwrap_or_default().iter().zip(start..) {
        see(Seen { index, hint: row.hint(), age: row.seen().until(now), state: row.state() });
    }
}

/// At most so many of a group, or of a block of IPv6, in a bucket (spec: DHT-53).
const BUCKET_CAP: u32 = 2;
/// At most so many of a group in a table.
const TABLE_CAP: u32 = 10;

fn is_crowded<const N: usize>(rows: &[Packed<N>], bucket: &Range<usize>, it: &Packed<N>, is_global: bool) -> bool {
    let counted = |row: &&Packed<N>| !row.state().has(State::CROWDED) && !row.is_at(it);
    // The same hint can only lie in the same bucket.
    let beside = rows.get(bucket.clone()).unwrap_or_default();
    let (mut group, mut block) = (0, 0);
    for row in beside.iter().filter(counted) {
        if row.hint() == it.hint() {
            return true;
        }
        group += u32::from(row.has_group_of(it));
        block += u32::from(row.has_block_of(it));
    }
    if !is_global {
        return false;
    }
    if group >= BUCKET_CAP || block >= BUCKET_CAP {
        return true;
    }
    let mut group = 0;
    let of = it.group();
    for row in such(rows, |row| row.group() == of).map(|(_, row)| row).filter(counted) {
        group += 1;
        if group >= TABLE_CAP || row.has_ip_of(it) {
            return true;
        }
    }
    false
}

fn groups<const N: usize>(rows: &[Packed<N>], is_global: bool) -> usize {
    let verified = rows.iter().filter(|row| row.state().misses() < super::entry::UNVERIFIED);
    if !is_global {
        return verified.take(GROUPS_MAX).count();
    }
    let mut found: Vec<u64> = Vec::with_capacity(GROUPS_MAX);
    for group in verified.map(Packed::group) {
        if !found.contains(&group) {
            found.push(group);
        }
        if found.len() >= GROUPS_MAX {
            break;
        }
    }
    found.len()
}

fn cut_ages<const N: usize>(rows: &mut [Packed<N>], now: Time, passed: u64) {
    for row in rows {
        if passed > u64::from(AGE_MAX) || row.seen().age(now) > AGE_MAX {
            row.set_seen(Tick::before(now, AGE_MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_found_at_its_address_however_many_there_are_and_nobody_elsewhere() {
        let at =
            |n: usize, port: u16| SocketAddr::from(([20, 1, u8::try_from(n / 200).unwrap_or(0), u8::try_from(n % 200).unwrap_or(0)], port));
        let mut shelf = Shelf::new(false);
        for n in 0..70 {
            assert_eq!((0..n).find(|other| shelf.position(at(*other, 7)) != Some(*other)), None, "of {n}");
            assert_eq!([shelf.position(at(n, 7)), shelf.position(at(n / 2, 8))], [None; 2], "of {n}");
            let entry =
                Entry { hint: Hint(0), at: at(n, 7), rtt: super::super::Rtt::UNKNOWN, seen: Tick::at(Time::ZERO), state: State::default() };
            shelf.insert(0, usize::MAX, &entry);
        }
    }
}
