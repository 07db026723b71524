//! What is going to happen, in an order that unrelated insertions cannot change.
//!
//! A wheel of two levels. *Near* has 1,024 buckets of 128 µs: all that happens within 131 ms, the delays of networks among
//! it. *Far* has 4,096 buckets of 131 ms: the next nine minutes. What is later still lies in a heap. An entry moves at most
//! twice, down to its near bucket; a near bucket is sorted when its time comes. What is put in for a time that has begun
//! already goes to a heap of its own, which is small unless somebody goes back in time; then it is slow and still right.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use overcom_core::Time;

/// Microseconds of a near bucket, as a power of two: 128. With a million machines some 2,000 entries share one (measured).
const SLOT_BITS: u32 = 7;
/// Near buckets.
const NEAR: u64 = 1 << 10;
/// Far buckets, each as long as all near ones.
const FAR: u64 = 1 << 12;

/// Where an entry stands: time, destination, source, number.
///
/// The number counts all insertions, but only tells apart what has the same time, destination and source: there it is the
/// order on that link, whatever else was put in between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) at: Time,
    pub(crate) to: u32,
    pub(crate) from: u32,
    number: u64,
}

impl Key {
    /// Time, destination and source as one number.
    fn place(&self) -> u128 {
        u128::from(self.at.as_micros()) << 64 | u128::from(self.to) << 32 | u128::from(self.from)
    }

    const fn slot(&self) -> u64 {
        self.at.as_micros() >> SLOT_BITS
    }

    const fn cycle(&self) -> u64 {
        self.slot() / NEAR
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place()).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
struct Entry<T> {
    key: Key,
    item: T,
}

/// The earliest is the greatest, as a `BinaryHeap` and a `Vec` give it first.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

type Bucket<T> = Vec<Entry<T>>;

/// An ordered queue; O(1) each way, amortised, for what happens within nine minutes, beside the sorting of what happens
/// within the same 128 µs.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    inserted: u64,
    /// The slot that is being emptied; its near bucket is empty.
    slot: u64,
    /// What was in it, the earliest last.
    current: Bucket<T>,
    /// What came for it, or for a slot before it, once it had begun.
    late: BinaryHeap<Entry<T>>,
    near: Level<T>,
    far: Level<T>,
    beyond: BinaryHeap<Entry<T>>,
    /// Emptied buckets, to be filled again.
    spare: Vec<Bucket<T>>,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            inserted: 0,
            slot: 0,
            current: Vec::new(),
            late: BinaryHeap::new(),
            near: Level::new(NEAR),
            far: Level::new(FAR),
            beyond: BinaryHeap::new(),
            spare: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, at: Time, to: u32, from: u32, item: T) {
        self.inserted += 1;
        let entry = Entry { key: Key { at, to, from, number: self.inserted }, item };
        if entry.key.slot() <= self.slot {
            self.late.push(entry);
        } else {
            self.file(entry);
        }
    }

    /// Into the wheel: nothing that is before its slot.
    fn file(&mut self, entry: Entry<T>) {
        let slot = entry.key.slot();
        if slot < self.slot + NEAR {
            self.near.put(slot, entry, &mut self.spare);
        } else if entry.key.cycle() < self.slot / NEAR + FAR {
            self.far.put(entry.key.cycle(), entry, &mut self.spare);
        } else {
            self.beyond.push(entry);
        }
    }

    /// The first entry, if it is not later than `until`. What is looked for no further stays as it is, so that what is put
    /// in afterwards, for a time after `until`, is as fast as ever.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Key, T)> {
        let is_late = match (self.current.last(), self.late.peek()) {
            (Some(current), Some(late)) => late.key < current.key,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (None, None) => {
                if !self.advance(until.as_micros() >> SLOT_BITS) {
                    return None;
                }
                false
            }
        };
        let next = if is_late { self.late.peek() } else { self.current.last() };
        if next.is_none_or(|entry| entry.key.at > until) {
            return None;
        }
        let entry = if is_late { self.late.pop() } else { self.current.pop() };
        entry.map(|entry| (entry.key, entry.item))
    }

    /// Some of what comes next, in order, as far as it is sorted already.
    pub(crate) fn upcoming(&self, count: usize) -> impl Iterator<Item = (&Key, &T)> {
        self.current.iter().rev().take(count).map(|entry| (&entry.key, &entry.item))
    }

    /// Goes on to the next slot that holds something, not beyond `limit`; whether there was one.
    fn advance(&mut self, limit: u64) -> bool {
        loop {
            let cycle = self.slot / NEAR;
            let near = self.near.next_from(self.slot);
            if let Some(slot) = near.filter(|slot| slot / NEAR == cycle) {
                if slot > limit {
                    return false;
                }
                let bucket = self.near.take(slot);
                self.spare.push(std::mem::replace(&mut self.current, bucket));
                self.current.sort_unstable();
                self.slot = slot;
                return true;
            }
            let next = match near {
                Some(_) => Some(cycle + 1),
                None => self.far.next_from(cycle + 1).or_else(|| self.beyond.peek().map(|entry| entry.key.cycle())),
            };
            match next {
                Some(next) if next * NEAR <= limit => self.enter(next),
                _ => return false,
            }
        }
    }

    /// Begins a far bucket: what it holds goes to the near ones, what has come into reach to the far ones.
    fn enter(&mut self, cycle: u64) {
        self.slot = cycle * NEAR;
        let mut bucket = self.far.take(cycle);
        for entry in bucket.drain(..) {
            self.near.put(entry.key.slot(), entry, &mut self.spare);
        }
        self.spare.push(bucket);
        while self.beyond.peek().is_some_and(|entry| entry.key.cycle() < cycle + FAR) {
            if let Some(entry) = self.beyond.pop() {
                self.file(entry);
            }
        }
    }
}

/// A ring of buckets and a bit for each that holds something.
#[derive(Debug)]
struct Level<T> {
    buckets: Vec<Bucket<T>>,
    full: Vec<u64>,
}

impl<T> Level<T> {
    fn new(buckets: u64) -> Self {
        Self { buckets: (0..buckets).map(|_| Vec::new()).collect(), full: (0..buckets / 64).map(|_| 0).collect() }
    }

    /// The place of a number in the ring, whose length is a power of two.
    const fn place(&self, number: u64) -> usize {
        number as usize & (self.buckets.len() - 1)
    }

    fn put(&mut self, number: u64, entry: Entry<T>, spare: &mut Vec<Bucket<T>>) {
        let place = self.place(number);
        let bucket = &mut self.buckets[place];
        if bucket.is_empty() {
            self.full[place / 64] |= 1 << (place % 64);
            *bucket = spare.pop().unwrap_or_default();
        }
        bucket.push(entry);
    }

    fn take(&mut self, number: u64) -> Bucket<T> {
        let place = self.place(number);
        self.full[place / 64] &= !(1 << (place % 64));
        std::mem::take(&mut self.buckets[place])
    }

    /// The first number from this one on whose bucket holds something, once round the ring.
    fn next_from(&self, number: u64) -> Option<u64> {
        let start = self.place(number);
        let words = self.full.len();
        // The first word twice: its upper bits now, its lower ones when all others are empty.
        (0..=words).find_map(|step| {
            let index = (start / 64 + step) % words;
            let word = match step {
                0 => self.full[index] & (u64::MAX << (start % 64)),
                _ => self.full[index],
            };
            let place = (word != 0).then(|| index * 64 + word.trailing_zeros() as usize)?;
            let ahead = place.wrapping_sub(start) & (self.buckets.len() - 1);
            Some(number + ahead as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draws;

    fn drain<T>(mut queue: Queue<T>) -> Vec<T> {
        std::iter::from_fn(|| queue.pop_until(Time::MAX).map(|(_, item)| item)).collect()
    }

    #[test]
    fn the_same_instant_is_ordered_by_destination_then_source_then_link_order() {
        let mut queue = Queue::new();
        let at = Time::from_millis(1);
        for (to, from, entry) in [(2, 1, "d"), (1, 3, "b"), (1, 3, "c"), (1, 2, "a")] {
            queue.push(at, to, from, entry);
        }
        queue.push(Time::ZERO, 9, 9, "first");
        assert_eq!(drain(queue), ["first", "a", "b", "c", "d"]);
    }

    #[test]
    fn an_unrelated_insertion_changes_no_order() {
        let order = |with_more: bool| {
            let mut queue = Queue::new();
            if with_more {
                queue.push(Time::ZERO, 7, 8, "unrelated");
            }
            queue.push(Time::from_secs(1), 2, 1, "x");
            if with_more {
                queue.push(Time::from_secs(1), 7, 1, "unrelated");
            }
            queue.push(Time::from_secs(1), 1, 1, "y");
            drain(queue).into_iter().filter(|entry| *entry != "unrelated").collect::<Vec<_>>()
        };
        assert_eq!(order(false), order(true));
        assert_eq!(order(true), ["y", "x"]);
    }

    /// How late after the present each entry of a workload is, in microseconds.
    type Ahead = fn(&mut Draws) -> u64;

    /// Networks, seconds, minutes; all at once; borders of buckets; years; rarely and far; now.
    const WORKLOADS: [Ahead; 6] = [
        |draws| match draws.below(20) {
            0..14 => 10_000 + draws.below(100_000),
            14..19 => 1_000_000 + draws.below(9_000_000),
            _ => 30_000_000 + draws.below(570_000_000),
        },
        |_| 50_000,
        |draws| ((draws.below(4) << (SLOT_BITS + 10 * draws.below(3) as u32)) + draws.below(2)).saturating_sub(draws.below(2)),
        |draws| draws.u64() >> draws.below(64),
        |draws| draws.below(3) * (u64::from(u32::MAX) << 10) + draws.below(2),
        |draws| draws.below(2),
    ];

    /// Puts in and takes out in turns, as a drawn plan says, here and in a `BinaryHeap`; what came, if both agree.
    fn order(seed: u64, ahead: Ahead) -> Vec<(Key, u64)> {
        let (mut wheel, mut heap, mut draws) = (Queue::new(), BinaryHeap::new(), Draws::new(seed, "queue", &[]));
        let (mut now, mut put, mut came) = (0_u64, 0, Vec::new());
        while put < 3_000 || !heap.is_empty() {
            for _ in 0..if put < 3_000 { draws.below(40) } else { 0 } {
                // Sometimes for a time that is over.
                let past = if draws.chance(20_000) { draws.below(1_000_000) } else { 0 };
                let at = Time::from_micros(now.saturating_add(ahead(&mut draws)).saturating_sub(past));
                let (to, from) = (draws.below(4) as u32, draws.below(4) as u32);
                put += 1;
                wheel.push(at, to, from, put);
                heap.push(Entry { key: Key { at, to, from, number: put }, item: put });
            }
            let until = if draws.chance(500_000) { u64::MAX } else { now.saturating_add(ahead(&mut draws)) };
            for _ in 0..draws.below(40) {
                let expected = match heap.peek() {
                    Some(entry) if entry.key.at.as_micros() <= until => heap.pop().map(|entry| (entry.key, entry.item)),
                    _ => None,
                };
                let popped = wheel.pop_until(Time::from_micros(until));
                assert_eq!(popped, expected, "seed {seed}, number {}", came.len());
                if let Some((key, _)) = popped {
                    now = now.max(key.at.as_micros());
                }
                came.extend(popped);
            }
            now = now.max(until.min(now.saturating_add(200_000)));
        }
        assert_eq!(wheel.pop_until(Time::MAX), None);
        came
    }

    #[test]
    fn every_workload_comes_out_as_out_of_a_binary_heap() {
        for ahead in WORKLOADS {
            for seed in 0..40 {
                assert!(order(seed, ahead).len() >= 3_000);
            }
        }
    }

    /// If this fails, runs are no longer those of earlier builds. That is a change of its own, to be said in CHANGELOG.md.
    #[test]
    fn the_order_of_a_drawn_plan_is_that_of_every_build() {
        let digests = WORKLOADS.map(|ahead| {
            order(7, ahead).iter().fold(0_u64, |digest, (key, item)| {
                (digest.rotate_left(5) ^ key.at.as_micros() ^ (u64::from(key.to) << 40) ^ (u64::from(key.from) << 50) ^ item)
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            })
        });
        assert_eq!(
            digests,
            [
                0xfdbd_da28_987b_cb77,
                0x49b1_87c6_ffa8_3a28,
                0x2fce_bf8b_3a65_4dad,
                0x1c9c_f1af_9bbf_dd08,
                0x8027_ac56_240e_0475,
                0x82fb_239a_4094_e179,
            ],
            "{digests:#018x?}"
        );
    }

    #[test]
    fn an_emptied_bucket_is_filled_again_and_not_kept_beside_a_new_one() {
        let mut queue = Queue::new();
        for round in 0..10_000_u64 {
            for entry in 0..10 {
                queue.push(Time::from_micros(round * 200 + 50_000), entry, 0, ());
            }
            if round > 250 {
                (0..10).for_each(|_| assert!(queue.pop_until(Time::MAX).is_some()));
            }
        }
        let held: usize = queue.near.buckets.iter().chain(&queue.spare).map(Vec::capacity).sum();
        assert!(held < 20_000, "{held}");
    }
}
