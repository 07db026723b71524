//! What a reader has accepted before, so that nobody can show it something older (spec: DHT-93).

use alloc::vec::Vec;

use crate::address::Scope;
use crate::crypto::sha256;
use crate::dht::wire::Kind;
use crate::id::{DeviceId, UserId};

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 16;
const ROW_BYTES: usize = KEY_BYTES + 8;

/// Which numbers it is about: those of one kind of record of one device in one scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Subject([u8; KEY_BYTES]);

impl Subject {
    /// A hash, so that what is stored names nobody.
    pub(crate) fn new(user: UserId, kind: Kind, device: DeviceId, scope: Scope) -> Self {
        let scope = match scope {
            Scope::Loopback => 0,
            Scope::Private => 1,
            Scope::Global => 2,
        };
        let hash = sha256(&[b"overcom/1 accepted\0", user.as_bytes(), device.as_bytes(), kind.word().as_bytes(), &[scope]]);
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

/// The highest number that was accepted of each of the last subjects, and those above it that were ahead of the clock then. 24
/// bytes each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct RollbackMemory {
    /// The last one noted comes last.
    rows: Vec<(Subject, u64)>,
    rows_max: usize,
    /// The highest number that was not ahead of the clock when that was looked at last, if it was not set since.
    reached: Option<u64>,
}

impl RollbackMemory {
    /// An empty one for so many subjects, at least one. Allocates nothing yet.
    pub(crate) const fn new(rows_max: usize) -> Self {
        Self { rows: Vec::new(), rows_max: if rows_max == 0 { 1 } else { rows_max }, reached: None }
    }

    /// Below this nothing is accepted; 0 if nothing was. What was above `latest` counts for nothing: a clock was ahead then, or is
    /// behind now. O(n).
    pub(crate) fn floor(&self, subject: Subject, latest: u64) -> u64 {
        let counting = self.rows.iter().filter(|(other, number)| *other == subject && *number <= latest);
        counting.map(|(_, number)| *number).max().unwrap_or(0)
    }

    /// A number is accepted, beside one above `latest`; whether that has changed something that is to be stored. What was noted
    /// longest ago may be forgotten for it. O(n).
    pub(crate) fn note(&mut self, subject: Subject, number: u64, latest: u64) -> bool {
        let before = self.floor(subject, latest);
        self.rows.retain(|(other, kept)| *other != subject || *kept > latest.max(number));
        self.push(subject, before.max(number));
        number > before
    }

    /// The clock was not set since the last time, and `latest` is the highest number that is not ahead of it now: what was ahead the
    /// last time was accepted by a clock that was ahead, and is forgotten. What is ahead of a clock that is behind is not passed so,
    /// but when it is set. O(n).
    pub(crate) fn reach(&mut self, latest: u64) {
        if let Some(before) = self.reached.replace(latest) {
            self.rows.retain(|(_, number)| *number <= before || *number > latest);
        }
    }

    /// The clock was set: what counts now may have been ahead of a clock that was behind.
    pub(crate) const fn on_clock(&mut self) {
        self.reached = None;
    }

    fn push(&mut self, subject: Subject, number: u64) {
        if self.rows.len() >= self.rows_max {
            self.rows.drain(..1);
        }
        self.rows.push((subject, number));
    }

    /// The stored form (spec: DHT-94).
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let rows = self.rows.iter().flat_map(|(subject, number)| subject.0.into_iter().chain(number.to_be_bytes()));
        core::iter::once(FORMAT).chain(rows).collect()
    }

    /// Reads the stored form; of more rows than there is room for the last ones. `None` if it is of another format.
    pub(crate) fn from_bytes(bytes: &[u8], rows_max: usize) -> Option<Self> {
        let (&FORMAT, rows) = bytes.split_first()? else { return None };
        let (rows, []) = rows.as_chunks::<ROW_BYTES>() else { return None };
        let mut memory = Self::new(rows_max);
        for row in rows {
            let (subject, number) = (row.first_chunk::<KEY_BYTES>()?, row.last_chunk::<8>()?);
            memory.push(Subject(*subject), u64::from_be_bytes(*number));
        }
        Some(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(n: u8) -> Subject {
        Subject::new(UserId::from_bytes([n; 32]), Kind::Address, DeviceId::from_bytes([1; 16]), Scope::Global)
    }

    // spec-test: DHT-93
    #[test]
    fn what_was_accepted_is_a_floor_for_this_user_device_kind_and_scope_only() {
        let (user, device) = (UserId::from_bytes([1; 32]), DeviceId::from_bytes([1; 16]));
        let mut memory = RollbackMemory::new(8);
        assert!(memory.note(subject(1), 7, 9));
        assert!(!memory.note(subject(1), 5, 9), "a floor does not sink");
        assert_eq!(memory.floor(Subject::new(user, Kind::Address, device, Scope::Global), 9), 7);
        for other in [
            Subject::new(UserId::from_bytes([2; 32]), Kind::Address, device, Scope::Global),
            Subject::new(user, Kind::Device, device, Scope::Global),
            Subject::new(user, Kind::Address, DeviceId::from_bytes([2; 16]), Scope::Global),
            Subject::new(user, Kind::Address, device, Scope::Private),
            Subject::new(user, Kind::Address, device, Scope::Loopback),
        ] {
            assert_eq!(memory.floor(other, 9), 0);
        }
    }

    // spec-test: DHT-93
    #[test]
    fn what_a_clock_that_was_ahead_has_accepted_counts_for_nothing_and_is_forgotten_when_time_comes_there() {
        let mut memory = RollbackMemory::new(8);
        memory.reach(70);
        memory.note(subject(1), 70, 70);
        memory.note(subject(2), 69, 70);
        assert_eq!([70, 69].map(|latest| memory.floor(subject(1), latest)), [70, 0]);
        memory.on_clock();
        for (latest, ahead) in [(9, 70), (68, 70), (69, 70), (70, 7)] {
            memory.reach(latest);
            memory.note(subject(1), 7, latest);
            assert_eq!((memory.floor(subject(1), 69), memory.floor(subject(1), 70)), (7, ahead), "at {latest}");
        }
        assert_eq!(memory.floor(subject(2), 70), 0, "whoever was not looked for meanwhile");
    }

    // spec-test: DHT-93
    #[test]
    fn what_a_clock_that_was_behind_has_accepted_lowers_nothing_also_if_it_is_set_between_two_lives() {
        for is_restarted in [false, true] {
            let mut memory = RollbackMemory::new(8);
            memory.reach(80);
            memory.note(subject(1), 70, 80);
            for (latest, floor) in [(50, 40), (30, 20), (80, 70)] {
                if is_restarted {
                    memory = RollbackMemory::from_bytes(&memory.to_bytes(), 8).unwrap_or(RollbackMemory::new(8));
                } else {
                    memory.on_clock();
                }
                memory.reach(latest);
                memory.note(subject(1), floor, latest);
                assert_eq!(memory.floor(subject(1), latest), floor);
            }
            assert_eq!(memory.rows, [(subject(1), 70)], "what is lower is of no use any more");
        }
    }

    // spec-test: DHT-94
    #[test]
    fn a_full_memory_forgets_what_was_noted_longest_ago_and_comes_back_from_its_bytes() {
        let mut memory = RollbackMemory::new(3);
        for n in [1, 2, 3, 1, 4] {
            memory.note(subject(n), n.into(), 9);
        }
        assert_eq!([1, 2, 3, 4].map(|n| memory.floor(subject(n), 9)), [1, 0, 3, 4]);
        let bytes = memory.to_bytes();
        assert_eq!(bytes.len(), 1 + 3 * ROW_BYTES);
        assert_eq!(RollbackMemory::from_bytes(&bytes, 3), Some(memory));
        let fewer = RollbackMemory::from_bytes(&bytes, 2).map(|fewer| [3, 1, 4].map(|n| fewer.floor(subject(n), 9)));
        assert_eq!(fewer, Some([0, 1, 4]));
        let other = [&[2], bytes.get(1..).unwrap_or_default()].concat();
        for broken in [bytes.get(..bytes.len() - 1).unwrap_or_default(), &other, &[]] {
            assert_eq!(RollbackMemory::from_bytes(broken, 3), None);
        }
    }
}
