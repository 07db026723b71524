//! Carrying to the other family: records that an owner who stands in one family only has given to us who stand in both.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::home::Name;
use super::recent::Recent;
use crate::address::Group;
use crate::time::Time;

/// One is carried each second (spec: DHT-115).
const EACH: Duration = Duration::from_secs(1);
/// The same is not carried again for half an hour: a refresh comes after 45 minutes, with a third of it to spare.
const AGAIN: Duration = Duration::from_secs(1_800);
/// As many as can be carried in this time.
const DONE_MAX: usize = 1_800;
/// Records that wait: a minute's work (guess).
const WAITING_MAX: usize = 64;
/// So many of them from one group: a quarter, as of other goods (spec: DHT-79).
const OF_GROUP_MAX: usize = 16;

/// What is to be put at its home in the other family.
pub(crate) struct Carry {
    /// With the group of who put it.
    waiting: VecDeque<(Name, Group)>,
    done: Recent,
    from: Time,
}

impl Carry {
    /// Nothing yet; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { waiting: VecDeque::new(), done: Recent::new(key, AGAIN, DONE_MAX), from: Time::ZERO }
    }

    /// A record with this number that was put with `carry` was verified and is kept. Whether it will be carried: not if it was within
    /// half an hour, or if too many wait, in all or of this group.
    pub(crate) fn offer(&mut self, name: &Name, number: u64, by: Group, now: Time) -> bool {
        let record = [&name.to_bytes()[..], &number.to_be_bytes()].concat();
        let of_group = self.waiting.iter().filter(|(_, group)| *group == by).count();
        let is_taken = self.waiting.len() < WAITING_MAX && of_group < OF_GROUP_MAX && !self.done.has(&record, now);
        if is_taken {
            self.done.add(&record, now);
            // One that waits is carried as it is held then.
            if !self.waiting.iter().any(|(waiting, _)| waiting == name) {
                self.waiting.push_back((*name, by));
            }
        }
        is_taken
    }

    /// The next record to be put at its home in the other family, as it is held then.
    pub(crate) fn next(&mut self, now: Time) -> Option<Name> {
        if now < self.from {
            return None;
        }
        let (name, _) = self.waiting.pop_front()?;
        self.from = now + EACH;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(name)
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.waiting.capacity().saturating_mul(size_of::<(Name, Group)>()).saturating_add(self.done.heap_bytes())
    }

    /// When [`next`](Self::next) has something.
    pub(crate) fn due(&self) -> Option<Time> {
        (!self.waiting.is_empty()).then_some(self.from)
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;
    use crate::address::{Scope, group};
    use crate::dht::home::Slot;
    use crate::dht::key::Key;
    use crate::id::DeviceId;

    fn name(n: u8) -> Name {
        Name { home: Key::from_bytes([n; 32]), scope: Scope::Global, slot: Slot::Address(DeviceId::from_bytes([n; 16])) }
    }

    fn of(n: u8) -> Group {
        group(SocketAddr::from(([20, n, 0, 1], 7)))
    }

    // spec-test: DHT-115
    #[test]
    fn a_record_is_carried_once_in_half_an_hour_and_a_newer_one_and_one_a_second() {
        let mut carry = Carry::new([1, 2]);
        let at = |secs: u64| Time::from_secs(1_000 + secs);
        let offer = |carry: &mut Carry, name: &Name, number, secs| carry.offer(name, number, of(1), at(secs));
        assert!(offer(&mut carry, &name(1), 7, 0) && !offer(&mut carry, &name(1), 7, 0) && offer(&mut carry, &name(2), 7, 0));
        let device = Name { slot: Slot::Device(DeviceId::from_bytes([1; 16])), ..name(1) };
        assert!(offer(&mut carry, &device, 7, 0), "another record of the same device");
        assert!(offer(&mut carry, &name(2), 8, 0), "a newer one, which is there when it is its turn");
        assert_eq!((carry.next(at(0)), carry.next(at(0)), carry.due()), (Some(name(1)), None, Some(at(1))));
        assert_eq!((carry.next(at(1)), carry.next(at(2)), carry.due()), (Some(name(2)), Some(device), None));
        assert!(!offer(&mut carry, &name(1), 7, 1_799), "the half hour is not over");
        assert!(offer(&mut carry, &name(1), 8, 1_799), "but whoever is found no longer is not found in the other family either");
        assert!(offer(&mut carry, &name(1), 7, 1_802));
    }

    // spec-test: DHT-115
    #[test]
    fn a_flood_of_records_to_be_carried_neither_grows_nor_speeds_up_nor_stops_those_of_others() {
        let mut carry = Carry::new([1, 2]);
        let (mut flooded, mut others, mut carried) = (0, 0, 0);
        for second in 0..600 {
            let now = Time::from_secs(second);
            for n in 0..=255 {
                flooded += u64::from(carry.offer(&name(n), second, of(1), now));
            }
            if second % 10 == 0 {
                let device = Name { slot: Slot::Device(DeviceId::from_bytes([1; 16])), ..name(1) };
                others += u64::from(carry.offer(&device, second, of(2), now));
            }
            carried += u64::from(carry.next(now).is_some()) + u64::from(carry.next(now).is_some());
            assert!(carry.waiting.len() <= OF_GROUP_MAX + 2);
        }
        assert_eq!((others, carried), (60, 600), "all of the others', and one a second of all");
        assert!(flooded >= 540, "{flooded}");
    }

    // spec-test: DHT-115
    #[test]
    fn many_groups_together_have_a_minutes_work_wait_at_most() {
        let mut carry = Carry::new([1, 2]);
        let taken = (0..=255).filter(|n| carry.offer(&name(*n), 1, of(*n), Time::ZERO)).count();
        assert_eq!((taken, carry.waiting.len()), (WAITING_MAX, WAITING_MAX));
    }
}
