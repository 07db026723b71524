//! A node's disk: ordered batches, and what a loss of power leaves of them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use overcom_core::{Batch, Item, OpId, StoreError, Time};

use crate::draw::Draws;

/// How long a batch takes by default (guess: a flash drive with a sync).
const LATENCY: Duration = Duration::from_millis(2);

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads see every batch that was answered; a crash keeps what was synced and a prefix of the rest.
#[derive(Debug)]
pub(crate) struct Disk {
    view: Contents,
    synced: Contents,
    unsynced: Vec<Batch>,
    waiting: VecDeque<Waiting>,
    /// Everything that was ever synced, so that an earlier state can come back.
    history: Vec<(Time, Batch)>,
    latency: Duration,
    busy_until: Time,
    failing: Option<StoreError>,
}

#[derive(Debug)]
struct Waiting {
    op: OpId,
    batch: Batch,
    durable: bool,
}

impl Disk {
    pub(crate) const fn new() -> Self {
        Self {
            view: BTreeMap::new(),
            synced: BTreeMap::new(),
            unsynced: Vec::new(),
            waiting: VecDeque::new(),
            history: Vec::new(),
            latency: LATENCY,
            busy_until: Time::ZERO,
            failing: None,
        }
    }

    /// Takes a batch; it is done at the time that is returned, never before an earlier one.
    pub(crate) fn store(&mut self, now: Time, op: OpId, batch: Batch, durable: bool) -> Time {
        self.waiting.push_back(Waiting { op, batch, durable });
        self.busy_until = self.busy_until.max(now) + self.latency;
        self.busy_until
    }

    /// Carries out every batch up to `op`. On failure they are as good as never issued.
    pub(crate) fn finish(&mut self, now: Time, op: OpId) -> Result<(), StoreError> {
        // What is corrupt or too new is found out when it is read.
        if let Some(why) = self.failing.filter(|why| matches!(why, StoreError::Full | StoreError::Failed)) {
            self.waiting.clear();
            return Err(why);
        }
        while self.waiting.front().is_some_and(|first| first.op <= op) {
            let Some(Waiting { batch, durable, .. }) = self.waiting.pop_front() else { break };
            apply(&mut self.view, &batch);
            self.unsynced.push(batch);
            if durable {
                for batch in self.unsynced.drain(..) {
                    apply(&mut self.synced, &batch);
                    self.history.push((now, batch));
                }
            }
        }
        Ok(())
    }

    /// When a read that begins now ends.
    pub(crate) fn read_at(&self, now: Time) -> Time {
        now + self.latency
    }

    /// Items in key order, and whether the limit cut the range. A full disk can be read.
    pub(crate) fn load(&self, from: &[u8], to: &[u8], limit: u32) -> Result<(Vec<Item>, bool), StoreError> {
        if let Some(why) = self.failing.filter(|why| *why != StoreError::Full) {
            return Err(why);
        }
        if from >= to {
            return Ok((Vec::new(), false));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut range = self.view.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)));
        let items = range.by_ref().take(limit).map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect();
        Ok((items, range.next().is_some()))
    }

    /// The power fails: of what is not synced a prefix survives, drawn by key.
    pub(crate) fn crash(&mut self, now: Time, draws: &mut Draws) {
        let lost: Vec<Batch> = self.unsynced.drain(..).chain(self.waiting.drain(..).map(|waiting| waiting.batch)).collect();
        let kept = usize::try_from(draws.below(lost.len() as u64 + 1)).unwrap_or(0);
        for batch in lost.into_iter().take(kept) {
            apply(&mut self.synced, &batch);
            self.history.push((now, batch));
        }
        self.view = self.synced.clone();
        self.busy_until = now;
    }

    /// Everything synced after `to` is gone, as when an old backup is put back.
    pub(crate) fn roll_back(&mut self, to: Time) {
        self.history.retain(|(at, _)| *at <= to);
        self.synced = Contents::new();
        for (_, batch) in &self.history {
            apply(&mut self.synced, batch);
        }
        self.unsynced.clear();
        self.waiting.clear();
        self.view = self.synced.clone();
    }

    pub(crate) const fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(crate) const fn set_failing(&mut self, failing: Option<StoreError>) {
        self.failing = failing;
    }
}

fn apply(contents: &mut Contents, batch: &Batch) {
    for change in &batch.changes {
        match &change.value {
            Some(value) => drop(contents.insert(change.key.clone(), value.clone())),
            None => drop(contents.remove(&change.key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put(key, "v");
        batch
    }

    fn keys(disk: &Disk) -> Vec<String> {
        disk.load(b"", b"~", 100).expect("it reads").0.into_iter().map(|item| String::from_utf8(item.key).expect("text")).collect()
    }

    #[test]
    fn batches_end_in_the_order_issued_and_reads_see_them_then() {
        let mut disk = Disk::new();
        let first = disk.store(Time::ZERO, OpId::new(1), put("a"), true);
        let second = disk.store(Time::ZERO, OpId::new(2), put("b"), true);
        assert!(first < second);
        assert_eq!(keys(&disk), Vec::<String>::new());
        assert_eq!(disk.finish(first, OpId::new(1)), Ok(()));
        assert_eq!(keys(&disk), ["a"]);
        assert_eq!(disk.finish(second, OpId::new(2)), Ok(()));
        assert_eq!(keys(&disk), ["a", "b"]);
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_only_a_prefix_of_the_rest() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let mut disk = Disk::new();
            disk.store(Time::ZERO, OpId::new(1), put("a"), true);
            assert_eq!(disk.finish(Time::ZERO, OpId::new(1)), Ok(()));
            disk.store(Time::ZERO, OpId::new(2), put("b"), false);
            assert_eq!(disk.finish(Time::ZERO, OpId::new(2)), Ok(()));
            disk.store(Time::ZERO, OpId::new(3), put("c"), true);
            disk.crash(Time::ZERO, &mut Draws::new(seed, "crash", &[]));
            outcomes.insert(keys(&disk).concat());
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["a", "ab", "abc"]);
    }

    #[test]
    fn a_durable_batch_takes_the_soft_ones_before_it_along() {
        let mut disk = Disk::new();
        disk.store(Time::ZERO, OpId::new(1), put("soft"), false);
        disk.store(Time::ZERO, OpId::new(2), put("hard"), true);
        assert_eq!(disk.finish(Time::ZERO, OpId::new(2)), Ok(()));
        disk.crash(Time::ZERO, &mut Draws::new(3, "crash", &[]));
        assert_eq!(keys(&disk), ["hard", "soft"]);
    }

    #[test]
    fn a_full_disk_can_be_read_a_corrupt_one_written_and_a_failed_one_neither() {
        let fails = |why: StoreError| {
            let mut disk = Disk::new();
            disk.set_failing(Some(why));
            disk.store(Time::ZERO, OpId::new(1), put("a"), true);
            [disk.finish(Time::ZERO, OpId::new(1)).is_err(), disk.load(b"", b"~", 1).is_err()]
        };
        let (write, read) = ([true, false], [false, true]);
        assert_eq!([StoreError::Full, StoreError::Corrupt, StoreError::Newer].map(fails), [write, read, read]);
        assert_eq!(fails(StoreError::Failed), [true, true]);
    }

    #[test]
    fn a_failing_disk_keeps_what_it_had_and_takes_nothing() {
        let mut disk = Disk::new();
        disk.set_failing(Some(StoreError::Full));
        disk.store(Time::ZERO, OpId::new(1), put("a"), true);
        assert_eq!(disk.finish(Time::ZERO, OpId::new(1)), Err(StoreError::Full));
        disk.set_failing(None);
        assert_eq!(keys(&disk), Vec::<String>::new());
    }

    #[test]
    fn a_rollback_brings_the_earlier_state_back_and_pages_say_whether_more_follows() {
        let mut disk = Disk::new();
        for (second, key) in [(1, "a"), (2, "b"), (3, "c")] {
            disk.store(Time::from_secs(second), OpId::new(second), put(key), true);
            assert_eq!(disk.finish(Time::from_secs(second), OpId::new(second)), Ok(()));
        }
        let page = |from: &str, to: &str, limit| disk.load(from.as_bytes(), to.as_bytes(), limit).map(|(items, more)| (items.len(), more));
        assert_eq!([page("a", "c", 1), page("a", "c", 2), page("c", "a", 9)], [Ok((1, true)), Ok((2, false)), Ok((0, false))]);
        disk.roll_back(Time::from_secs(2));
        assert_eq!(keys(&disk), ["a", "b"]);
    }
}
