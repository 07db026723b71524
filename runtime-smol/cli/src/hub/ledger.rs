//! Which notice was handed to which session, and how many of them are taken, in order.

use std::collections::{BTreeMap, VecDeque};

use overcom_core::Notice;

/// Notices that sessions have not taken yet; the node keeps the rest, and its peers wait (guess: a window of messages).
const OPEN_MAX: usize = 1_024;
/// The same with those that are taken out of turn, behind one that nobody takes (guess; some 100 bytes each).
const HELD_MAX: usize = 16 * OPEN_MAX;

/// Which session.
pub(crate) type SessionId = u64;

/// One notice on its way.
struct Slot {
    /// Kept until it is taken, so that another session can have it.
    notice: Option<Notice>,
    /// Sessions that it was given to and that have not taken it.
    with: u32,
    is_taken: bool,
    /// Its sender waits to hear that it was taken.
    is_message: bool,
}

/// All notices that the node does not know to be taken.
#[derive(Default)]
pub(crate) struct Ledger {
    slots: VecDeque<Slot>,
    /// The number of the first slot.
    first: u64,
    /// Slots that are not taken.
    open: usize,
    /// What each session has, in the order in which it was given.
    given: BTreeMap<SessionId, VecDeque<u64>>,
}

impl Ledger {
    /// Whether another notice may be asked of the node.
    pub(crate) fn has_room(&self) -> bool {
        self.open < OPEN_MAX && self.slots.len() < HELD_MAX
    }

    /// Another notice, in order, and whom it is given to. Given to nobody it is taken, unless it `waits` for somebody.
    pub(crate) fn add(&mut self, notice: Notice, to: &[SessionId], waits: bool) {
        let number = self.first + self.slots.len() as u64;
        for session in to {
            self.given.entry(*session).or_default().push_back(number);
        }
        let is_taken = to.is_empty() && !waits;
        self.open += usize::from(!is_taken);
        let with = u32::try_from(to.len()).unwrap_or(u32::MAX);
        let is_message = matches!(notice, Notice::Message(_));
        self.slots.push_back(Slot { notice: (!is_taken).then_some(notice), with, is_taken, is_message });
    }

    /// Numbers and notices that nobody has, in order.
    pub(crate) fn unclaimed(&self) -> Vec<(u64, Notice)> {
        let free = |slot: &Slot| if slot.with == 0 && !slot.is_taken { slot.notice.clone() } else { None };
        self.slots.iter().zip(self.first..).filter_map(|(slot, number)| free(slot).map(|notice| (number, notice))).collect()
    }

    /// Gives one that nobody had.
    pub(crate) fn claim(&mut self, number: u64, to: SessionId) {
        if let Some(slot) = self.slot(number) {
            slot.with += 1;
            self.given.entry(to).or_default().push_back(number);
        }
    }

    /// One that nobody has is given up: nobody wants it.
    pub(crate) fn pass(&mut self, number: u64) {
        self.take(number);
    }

    /// A session is through with `count` more of what it was given, in that order; `false`, and nothing is taken, if it was
    /// not given as many.
    pub(crate) fn taken(&mut self, session: SessionId, count: u64) -> bool {
        if count > self.given.get(&session).map_or(0, VecDeque::len) as u64 {
            return false;
        }
        for _ in 0..count {
            let Some(number) = self.given.get_mut(&session).and_then(VecDeque::pop_front) else { return false };
            let is_last = self.slot(number).is_some_and(|slot| {
                slot.with = slot.with.saturating_sub(1);
                slot.with == 0
            });
            if is_last {
                self.take(number);
            }
        }
        true
    }

    /// A session is gone, with what it had and did not take.
    pub(crate) fn leave(&mut self, session: SessionId) {
        for number in self.given.remove(&session).unwrap_or_default() {
            if let Some(slot) = self.slot(number) {
                slot.with = slot.with.saturating_sub(1);
            }
        }
    }

    /// How many more the node may be told to be taken, and whether messages are among them.
    pub(crate) fn settle(&mut self) -> (u64, bool) {
        let (mut count, mut has_messages) = (0, false);
        while let Some(slot) = self.slots.front().filter(|slot| slot.is_taken) {
            has_messages |= slot.is_message;
            self.slots.pop_front();
            count += 1;
        }
        self.first += count;
        (count, has_messages)
    }

    /// Whether somebody has a message and has not taken it.
    pub(crate) fn has_messages_out(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_message && !slot.is_taken && slot.with > 0)
    }

    fn take(&mut self, number: u64) {
        if let Some(slot) = self.slot(number).filter(|slot| !slot.is_taken) {
            slot.is_taken = true;
            slot.notice = None;
            self.open -= 1;
        }
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_hears_of_taken_notices_in_order_and_only_once_all_sessions_are_through() {
        let mut ledger = Ledger::default();
        ledger.add(Notice::Ready, &[1, 2], false);
        ledger.add(Notice::Quiet, &[2], false);
        ledger.add(Notice::Ready, &[], false);
        assert!(ledger.taken(2, 2));
        assert_eq!(ledger.settle().0, 0);
        assert!(ledger.taken(1, 1));
        assert_eq!(ledger.settle().0, 3);
        assert!(!ledger.taken(1, 1), "it was given no more");
    }

    #[test]
    fn what_a_session_leaves_behind_is_there_for_the_next_one() {
        let mut ledger = Ledger::default();
        ledger.add(Notice::Ready, &[], true);
        ledger.add(Notice::Quiet, &[7], false);
        ledger.leave(7);
        let left: Vec<u64> = ledger.unclaimed().iter().map(|(number, _)| *number).collect();
        assert_eq!((left.as_slice(), ledger.settle().0), ([0, 1].as_slice(), 0));
        ledger.claim(0, 8);
        ledger.pass(1);
        assert!(ledger.taken(8, 1));
        assert_eq!(ledger.settle().0, 2);
    }

    #[test]
    fn a_session_that_takes_nothing_stops_the_node_from_handing_out_more() {
        let mut ledger = Ledger::default();
        for _ in 0..OPEN_MAX {
            assert!(ledger.has_room());
            ledger.add(Notice::Ready, &[1], false);
        }
        assert!(!ledger.has_room());
        assert!(ledger.taken(1, 1));
        assert!(ledger.has_room());
    }
}
