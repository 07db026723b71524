//! Carrying to the other family: records that an owner who stands in one family only has given to us who stand in both.

use alloc::collections::VecDeque;
use core::time::Duration;

use super::budget::Budget;
use super::home::Name;
use super::rate::Rate;
use super::recent::Recent;
use super::share::Share;
use crate::time::Time;

/// One is carried each second (spec: DHT-115).
const EACH: Duration = Duration::from_secs(1);
/// The same is not carried again for half an hour: a refresh comes after 45 minutes, with a third of it to spare.
const AGAIN: Duration = Duration::from_secs(1_800);
/// As many as can be carried in this time.
const DONE_MAX: usize = 1_800;
/// Records that wait: a minute's work (guess).
const WAITING_MAX: u32 = 60;
/// What may be asked for, and at once.
const ASKED: Rate = Rate { per_second: 1, burst: WAITING_MAX };

/// What is to be put at its home in the other family.
pub(crate) struct Carry {
    /// With whether it came by IPv6.
    waiting: VecDeque<(Name, bool)>,
    asked: Budget,
    done: Recent,
    from: Time,
}

impl Carry {
    /// Nothing yet; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) fn new(key: [u64; 2]) -> Self {
        Self { waiting: VecDeque::new(), asked: Budget::default(), done: Recent::new(key, AGAIN, DONE_MAX), from: Time::ZERO }
    }

    /// A record with this number that was put with `carry`, by IPv6 or by IPv4, was verified and is kept. Whether it will be carried:
    /// not if it was within half an hour, or if too many wait, or whoever put it has had its share.
    pub(crate) fn offer(&mut self, name: &Name, number: u64, is_v6: bool, by: Option<Share<'_>>, now: Time) -> bool {
        let record = [&name.to_bytes()[..], &number.to_be_bytes(), &[u8::from(is_v6)]].concat();
        let is_room = self.waiting.len() < usize::try_from(WAITING_MAX).unwrap_or_default();
        let is_taken = is_room && !self.done.has(&record, now) && self.asked.spend_shared(1, ASKED, by, now);
        if is_taken {
            self.done.add(&record, now);
            // One that waits is carried as it is held then.
            if !self.waiting.contains(&(*name, is_v6)) {
                self.waiting.push_back((*name, is_v6));
            }
        }
        is_taken
    }

    /// The next record to be put at its home in the other family than that by which it came, as it is held then; and whether this
    /// was IPv6.
    pub(crate) fn next(&mut self, now: Time) -> Option<(Name, bool)> {
        if now < self.from {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.from = now + EACH;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(next)
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.waiting.capacity().saturating_mul(size_of::<(Name, bool)>()).saturating_add(self.done.heap_bytes())
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
    use crate::address::Scope;
    use crate::dht::home::Slot;
    use crate::dht::key::Key;
    use crate::dht::realm::Realm;
    use crate::dht::share::{Good, Shares};
    use crate::id::DeviceId;

    fn name(n: u8) -> Name {
        Name { home: Key::from_bytes([n; 32]), scope: Scope::Global, slot: Slot::Address(DeviceId::from_bytes([n; 16])) }
    }

    const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };

    /// Offered by IPv4 and somebody of the nth group.
    fn offer(carry: &mut Carry, shares: &mut Shares, (name, number): (&Name, u64), n: u8, now: Time) -> bool {
        let share = shares.of(Good::Carries, SocketAddr::from(([20, n, 0, 1], 7)), GLOBAL);
        carry.offer(name, number, false, share, now)
    }

    // spec-test: DHT-115
    #[test]
    fn a_record_is_carried_once_in_half_an_hour_and_a_newer_one_and_one_a_second() {
        let mut carry = Carry::new([1, 2]);
        let at = |secs: u64| Time::from_secs(1_000 + secs);
        let offer = |carry: &mut Carry, name: &Name, number, secs| carry.offer(name, number, false, None, at(secs));
        assert!(offer(&mut carry, &name(1), 7, 0) && !offer(&mut carry, &name(1), 7, 0) && offer(&mut carry, &name(2), 7, 0));
        let device = Name { slot: Slot::Device(DeviceId::from_bytes([1; 16])), ..name(1) };
        assert!(offer(&mut carry, &device, 7, 0), "another record of the same device");
        assert!(offer(&mut carry, &name(2), 8, 0), "a newer one, which is there when it is its turn");
        assert!(carry.offer(&name(1), 7, true, None, at(0)), "and by the other family, whoever put it there");
        let next = |carry: &mut Carry, secs| carry.next(at(secs));
        assert_eq!((next(&mut carry, 0), next(&mut carry, 0), carry.due()), (Some((name(1), false)), None, Some(at(1))));
        assert_eq!([next(&mut carry, 1), next(&mut carry, 2)], [Some((name(2), false)), Some((device, false))]);
        assert_eq!((next(&mut carry, 3), carry.due()), (Some((name(1), true)), None));
        assert!(!offer(&mut carry, &name(1), 7, 1_799), "the half hour is not over");
        assert!(offer(&mut carry, &name(1), 8, 1_799), "but whoever is found no longer is not found in the other family either");
        assert!(offer(&mut carry, &name(1), 7, 1_802));
    }

    // spec-test: DHT-115
    #[test]
    fn a_flood_of_records_to_be_carried_neither_grows_nor_speeds_up_nor_stops_those_of_others() {
        let (mut carry, mut shares) = (Carry::new([1, 2]), Shares::new([1, 2]));
        let (mut flooded, mut others, mut carried) = (0, 0, 0);
        for second in 0..600 {
            let now = Time::from_secs(second);
            for n in 0..=255 {
                flooded += u64::from(offer(&mut carry, &mut shares, (&name(n), second), 1, now));
            }
            if second % 10 == 0 {
                let device = Name { slot: Slot::Device(DeviceId::from_bytes([1; 16])), ..name(1) };
                others += u64::from(offer(&mut carry, &mut shares, (&device, second), 2, now));
            }
            carried += u64::from(carry.next(now).is_some()) + u64::from(carry.next(now).is_some());
            assert!(carry.waiting.len() <= 17, "{}", carry.waiting.len());
        }
        assert_eq!((others, carried), (60, 600), "all of the others', and one a second of all");
        assert!((540..=620).contains(&flooded), "{flooded}");
    }

    // spec-test: DHT-115
    #[test]
    fn four_networks_that_flood_leave_room_for_a_fifth() {
        let (mut carry, mut shares) = (Carry::new([1, 2]), Shares::new([1, 2]));
        let (mut asked, mut others) = (0, 0);
        for second in 0..600 {
            let now = Time::from_secs(second);
            for n in 0..=255 {
                offer(&mut carry, &mut shares, (&name(n), second), n % 4, now);
            }
            if second % 30 == 0 {
                asked += 1;
                others += u64::from(offer(&mut carry, &mut shares, (&name(9), 1_000 + second), 9, now));
            }
            carry.next(now);
        }
        assert_eq!(others, asked);
    }

    // spec-test: DHT-115
    #[test]
    fn many_groups_together_have_a_minutes_work_wait_at_most() {
        let (mut carry, mut shares) = (Carry::new([1, 2]), Shares::new([1, 2]));
        let taken = (0..=255).filter(|n| offer(&mut carry, &mut shares, (&name(*n), 1), *n, Time::ZERO)).count();
        assert!((40..=60).contains(&taken) && taken == carry.waiting.len(), "{taken}");
    }
}
