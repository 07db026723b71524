//! Carrying to the other family: records that an owner who stands in one family only has given to us who stand in both.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::home::Name;
use super::recent::Recent;
use crate::time::Time;

/// One is carried each second (spec: DHT-115).
const EACH: Duration = Duration::from_secs(1);
/// The same is not carried again for half an hour: a refresh comes after 45 minutes, with a third of it to spare.
const AGAIN: Duration = Duration::from_secs(1_800);
/// As many as can be carried in this time.
const DONE_MAX: usize = 1_800;
/// Records that wait: a minute's work (guess).
const WAITING_MAX: usize = 64;

/// What is to be put at its home in the other family.
pub(crate) struct Carry {
    waiting: VecDeque<Name>,
    done: Recent,
    from: Time,
}

impl Carry {
    /// Nothing yet; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) const fn new(key: [u64; 2]) -> Self {
        Self { waiting: VecDeque::new(), done: Recent::new(key, AGAIN, DONE_MAX), from: Time::ZERO }
    }

    /// A record that was put with `carry` was verified and is kept. Whether it will be carried: not if it was within half an hour,
    /// or if too many wait.
    pub(crate) fn offer(&mut self, name: &Name, now: Time) -> bool {
        let is_taken = self.waiting.len() < WAITING_MAX && !self.done.has(&name.to_bytes(), now);
        if is_taken {
            self.done.add(&name.to_bytes(), now);
            self.waiting.push_back(*name);
        }
        is_taken
    }

    /// The next record to be put at its home in the other family, as it is held then.
    pub(crate) fn next(&mut self, now: Time) -> Option<Name> {
        if now < self.from {
            return None;
        }
        let name = self.waiting.pop_front()?;
        self.from = now + EACH;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(name)
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.waiting.capacity().saturating_mul(size_of::<Name>()).saturating_add(self.done.heap_bytes())
    }

    /// When [`next`](Self::next) has something.
    pub(crate) fn due(&self) -> Option<Time> {
        (!self.waiting.is_empty()).then_some(self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Scope;
    use crate::dht::home::Slot;
    use crate::dht::key::Key;
    use crate::id::DeviceId;

    fn name(n: u8) -> Name {
        Name { home: Key::from_bytes([n; 32]), scope: Scope::Global, slot: Slot::Address(DeviceId::from_bytes([n; 16])) }
    }

    // spec-test: DHT-115
    #[test]
    fn a_record_is_carried_once_in_half_an_hour_and_one_a_second() {
        let mut carry = Carry::new([1, 2]);
        let at = |secs: u64| Time::from_secs(1_000 + secs);
        assert!(carry.offer(&name(1), at(0)) && !carry.offer(&name(1), at(0)) && carry.offer(&name(2), at(0)));
        let device = Name { slot: Slot::Device(DeviceId::from_bytes([1; 16])), ..name(1) };
        assert!(carry.offer(&device, at(0)), "another record of the same device");
        assert_eq!((carry.next(at(0)), carry.next(at(0)), carry.due()), (Some(name(1)), None, Some(at(1))));
        assert_eq!((carry.next(at(1)), carry.next(at(2)), carry.due()), (Some(name(2)), Some(device), None));
        assert!(!carry.offer(&name(1), at(1_799)), "the half hour is not over");
        assert!(carry.offer(&name(1), at(1_802)));
    }

    // spec-test: DHT-115
    #[test]
    fn a_flood_of_records_to_be_carried_neither_grows_nor_speeds_up() {
        let mut carry = Carry::new([1, 2]);
        let (mut taken, mut carried) = (0, 0);
        for second in 0..600 {
            let now = Time::from_secs(second);
            for n in 0..=255 {
                taken += u32::from(carry.offer(&name(n), now));
            }
            carried += u32::from(carry.next(now).is_some()) + u32::from(carry.next(now).is_some());
            assert!(carry.waiting.len() <= WAITING_MAX);
        }
        assert_eq!((taken, carried), (256, 256), "each once, one a second");
    }
}
