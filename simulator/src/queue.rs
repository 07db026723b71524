//! What is going to happen, in an order that unrelated insertions cannot change.

use std::collections::BTreeMap;

use overcom_core::Time;

/// Where an entry stands: time, destination, source, number on that link. No global insertion counter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) at: Time,
    pub(crate) to: u32,
    pub(crate) from: u32,
    number: u64,
}

/// An ordered queue; O(log n) each way.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    entries: BTreeMap<Key, T>,
    numbers: BTreeMap<(u32, u32), u64>,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: BTreeMap::new(), numbers: BTreeMap::new() }
    }

    pub(crate) fn push(&mut self, at: Time, to: u32, from: u32, entry: T) {
        let number = self.numbers.entry((to, from)).or_default();
        *number = number.saturating_add(1);
        self.entries.insert(Key { at, to, from, number: *number }, entry);
    }

    pub(crate) fn pop(&mut self) -> Option<(Key, T)> {
        self.entries.pop_first()
    }

    pub(crate) fn next_at(&self) -> Option<Time> {
        self.entries.first_key_value().map(|(key, _)| key.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(mut queue: Queue<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.pop().map(|(_, entry)| entry)).collect()
    }

    #[test]
    fn the_same_instant_is_ordered_by_destination_then_source_then_link_order() {
        let mut queue = Queue::new();
        let at = Time::from_millis(1);
        for (to, from, entry) in [(2, 1, "d"), (1, 3, "b"), (1, 3, "c"), (1, 2, "a")] {
            queue.push(at, to, from, entry);
        }
        queue.push(Time::ZERO, 9, 9, "first");
        assert_eq!(queue.next_at(), Some(Time::ZERO));
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
}
