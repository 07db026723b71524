//! Which notice was handed to which session, and how many of them are taken, in order.
//!
//! Every notice is taken from the node at once. What is not taken in turn stays open here: messages, which the windows of
//! their senders bound (spec: MSG-9), and of the others as many as a session may have.

use std::collections::{BTreeMap, VecDeque};

use overcom_core::Notice;

/// Messages that are handed to a session before it has taken some, and the same of other notices (guess: a window of
/// messages). More messages wait, more of the others are missed.
const OUT_MAX: usize = 1_024;
/// Bytes of lines that are handed to a session before it has taken some; then messages wait (guess: a few of the longest).
const OUT_BYTES_MAX: usize = 4 << 20;

/// Which session.
pub(crate) type SessionId = u64;

/// Whether a notice's sender waits until it is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Other,
}

impl Kind {
    pub(crate) const fn of(notice: &Notice) -> Self {
        if let Notice::Message(_) = notice { Self::Message } else { Self::Other }
    }
}

/// One notice that is not taken.
struct Slot {
    /// Kept until it is taken, so that another session can have it.
    notice: Notice,
    kind: Kind,
    /// Sessions that are to have it and have not taken it.
    with: u32,
    /// A session has taken it: it is nobody else's once those that have it leave.
    is_seen: bool,
}

/// A line that was handed to a session.
struct Handed {
    /// `None` for what the session is told of itself.
    number: Option<u64>,
    bytes: usize,
    kind: Kind,
}

/// What one session has.
#[derive(Default)]
struct Desk {
    /// Not taken, in the order in which they were handed out.
    out: VecDeque<Handed>,
    messages: usize,
    bytes: usize,
    /// Messages that are not handed out: some must be taken before.
    waiting: VecDeque<u64>,
    /// Other notices that are handed out next.
    others: VecDeque<u64>,
    /// Other notices that found no room since it was told so.
    missed: u64,
}

impl Desk {
    /// Puts a notice down for it; `false` if it misses it.
    fn put(&mut self, number: u64, kind: Kind) -> bool {
        match kind {
            Kind::Message => self.waiting.push_back(number),
            Kind::Other if self.has_other_room() => self.others.push_back(number),
            Kind::Other => {
                self.missed = self.missed.saturating_add(1);
                return false;
            }
        }
        true
    }

    /// The first that may be handed out.
    fn due(&self) -> Option<u64> {
        let has_room = self.messages < OUT_MAX && self.bytes < OUT_BYTES_MAX;
        let message = self.waiting.front().filter(|_| has_room);
        message.into_iter().chain(self.others.front()).min().copied()
    }

    fn hand(&mut self, handed: Handed) {
        self.messages += usize::from(handed.kind == Kind::Message);
        self.bytes += handed.bytes;
        self.out.push_back(handed);
    }

    fn take(&mut self) -> Option<Handed> {
        let handed = self.out.pop_front()?;
        self.messages -= usize::from(handed.kind == Kind::Message);
        self.bytes -= handed.bytes;
        Some(handed)
    }

    fn has_other_room(&self) -> bool {
        self.out.len() - self.messages + self.others.len() < OUT_MAX
    }
}

/// All notices that the node does not know to be taken.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Those that are not taken, by number.
    open: BTreeMap<u64, Slot>,
    /// The number of the next one.
    next: u64,
    /// All before this one are known to be taken.
    settled: u64,
    /// Messages from there on, taken or not.
    messages: VecDeque<u64>,
    /// How many of the open ones are no messages.
    open_others: u64,
    desks: BTreeMap<SessionId, Desk>,
}

impl Ledger {
    /// Another notice, in order, and whom it is for. Where nobody is to have it, it is taken, unless it `waits` for somebody.
    /// Gives its number.
    pub(crate) fn add(&mut self, notice: Notice, kind: Kind, to: &[SessionId], waits: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        if kind == Kind::Message {
            self.messages.push_back(number);
        }
        let put = |session: &&SessionId| self.desks.entry(**session).or_default().put(number, kind);
        let with = u32::try_from(to.iter().filter(put).count()).unwrap_or(u32::MAX);
        if with > 0 || waits {
            self.open.insert(number, Slot { notice, kind, with, is_seen: false });
            self.open_others += u64::from(kind == Kind::Other);
        }
        number
    }

    /// The numbers of those that nobody has, in order.
    pub(crate) fn unclaimed(&self) -> Vec<u64> {
        self.open.iter().filter(|(_, slot)| slot.with == 0).map(|(number, _)| *number).collect()
    }

    /// One that is not taken.
    pub(crate) fn notice(&self, number: u64) -> Option<&Notice> {
        self.open.get(&number).map(|slot| &slot.notice)
    }

    /// One that nobody had is for this session.
    pub(crate) fn claim(&mut self, number: u64, to: SessionId) {
        if let Some(slot) = self.open.get_mut(&number) {
            slot.with += u32::from(self.desks.entry(to).or_default().put(number, slot.kind));
        }
    }

    /// What a session may be handed next.
    pub(crate) fn due(&self, session: SessionId) -> Option<(u64, &Notice)> {
        self.desks.get(&session)?.due().and_then(|number| Some((number, self.notice(number)?)))
    }

    /// The session was handed what was due, in a line of so many bytes.
    pub(crate) fn hand(&mut self, session: SessionId, bytes: usize) {
        let Some(desk) = self.desks.get_mut(&session) else { return };
        let Some(number) = desk.due() else { return };
        let from_others = desk.others.front() == Some(&number);
        let kind = if from_others { Kind::Other } else { Kind::Message };
        if from_others {
            desk.others.pop_front()
        } else {
            desk.waiting.pop_front()
        };
        desk.hand(Handed { number: Some(number), bytes, kind });
    }

    /// How many notices a session has missed since it was told, if it can be told now; it is told by what follows.
    pub(crate) fn missed(&mut self, session: SessionId) -> Option<u64> {
        let desk = self.desks.get_mut(&session).filter(|desk| desk.missed > 0 && desk.has_other_room())?;
        desk.hand(Handed { number: None, bytes: 0, kind: Kind::Other });
        Some(std::mem::take(&mut desk.missed))
    }

    /// One that nobody has is given up: nobody wants it.
    pub(crate) fn pass(&mut self, number: u64) {
        if let Some(slot) = self.open.remove(&number) {
            self.open_others -= u64::from(slot.kind == Kind::Other);
        }
    }

    /// A session is through with `count` more of what it was handed, in that order; `false`, and nothing is taken, if it was
    /// not handed as many.
    pub(crate) fn taken(&mut self, session: SessionId, count: u64) -> bool {
        if count > self.desks.get(&session).map_or(0, |desk| desk.out.len()) as u64 {
            return false;
        }
        for _ in 0..count {
            let taken = self.desks.get_mut(&session).and_then(Desk::take);
            let Some(number) = taken.and_then(|handed| handed.number) else { continue };
            let Some(slot) = self.open.get_mut(&number) else { continue };
            (slot.with, slot.is_seen) = (slot.with.saturating_sub(1), true);
            if slot.with == 0 {
                self.pass(number);
            }
        }
        true
    }

    /// A session is gone, with what it had and did not take.
    pub(crate) fn leave(&mut self, session: SessionId) {
        let Some(desk) = self.desks.remove(&session) else { return };
        for number in desk.out.iter().filter_map(|handed| handed.number).chain(desk.waiting).chain(desk.others) {
            let Some(slot) = self.open.get_mut(&number) else { continue };
            slot.with = slot.with.saturating_sub(1);
            if slot.with == 0 && slot.is_seen {
                self.pass(number);
            }
        }
    }

    /// How many notices that are no messages all sessions are through with, behind one that the node does not know to be taken.
    pub(crate) fn passed(&self) -> u64 {
        self.next - self.settled - self.messages.len() as u64 - self.open_others
    }

    /// How many more the node may be told to be taken, and whether messages are among them.
    pub(crate) fn settle(&mut self) -> (u64, bool) {
        let upto = self.open.first_key_value().map_or(self.next, |(number, _)| *number);
        let count = upto - std::mem::replace(&mut self.settled, upto);
        let mut has_messages = false;
        while self.messages.front().is_some_and(|number| *number < upto) {
            has_messages = self.messages.pop_front().is_some();
        }
        (count, has_messages)
    }

    /// Whether somebody has a message and has not taken it.
    pub(crate) fn has_messages_out(&self) -> bool {
        self.desks.values().any(|desk| desk.messages > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands a session all that is due to it; gives how much that was.
    fn hand(ledger: &mut Ledger, session: SessionId) -> usize {
        let mut count = 0;
        while ledger.due(session).is_some() {
            ledger.hand(session, 100);
            count += 1;
        }
        count
    }

    fn add(ledger: &mut Ledger, kind: Kind, to: &[SessionId]) {
        ledger.add(Notice::Ready, kind, to, kind == Kind::Message);
        for session in to {
            hand(ledger, *session);
        }
    }

    #[test]
    fn the_node_hears_of_taken_notices_in_order_and_only_once_all_sessions_are_through() {
        let mut ledger = Ledger::default();
        add(&mut ledger, Kind::Other, &[1, 2]);
        add(&mut ledger, Kind::Other, &[2]);
        add(&mut ledger, Kind::Other, &[]);
        assert!(ledger.taken(2, 2));
        assert_eq!(ledger.settle().0, 0);
        assert!(ledger.taken(1, 1));
        assert_eq!(ledger.settle().0, 3);
        assert!(!ledger.taken(1, 1), "it was given no more");
    }

    #[test]
    fn what_a_session_leaves_behind_is_there_for_the_next_one_unless_another_has_taken_it() {
        let mut ledger = Ledger::default();
        add(&mut ledger, Kind::Message, &[]);
        add(&mut ledger, Kind::Other, &[7]);
        add(&mut ledger, Kind::Message, &[7, 6]);
        assert!(ledger.taken(6, 1));
        ledger.leave(7);
        assert_eq!((ledger.unclaimed(), ledger.settle()), (vec![0, 1], (0, false)));
        ledger.claim(0, 8);
        ledger.pass(1);
        assert_eq!(hand(&mut ledger, 8), 1);
        assert!(ledger.taken(8, 1));
        assert_eq!(ledger.settle(), (3, true));
    }

    #[test]
    fn whoever_takes_nothing_keeps_nothing_from_others_and_holds_no_more_than_its_bounds() {
        let mut ledger = Ledger::default();
        for _ in 0..3 * OUT_MAX {
            add(&mut ledger, Kind::Message, &[1]);
            add(&mut ledger, Kind::Other, &[1, 2]);
        }
        let desk = &ledger.desks[&1];
        assert_eq!((desk.out.len(), desk.waiting.len(), desk.missed), (2 * OUT_MAX, 2 * OUT_MAX, 2 * OUT_MAX as u64));
        // Another one that takes goes on.
        assert!(ledger.taken(2, OUT_MAX as u64));
        add(&mut ledger, Kind::Other, &[2]);
        assert_eq!(ledger.missed(2), Some(2 * OUT_MAX as u64));
        assert_eq!((ledger.desks[&2].out.len(), ledger.missed(2), ledger.missed(1)), (2, None, None));
        // The first one gets the rest once it takes, and what it has missed is said and not kept.
        let mut rounds = 0;
        while !ledger.desks[&1].out.is_empty() {
            let count = ledger.desks[&1].out.len() as u64;
            assert!(ledger.taken(1, count));
            rounds += usize::from(ledger.missed(1) == Some(2 * OUT_MAX as u64));
            hand(&mut ledger, 1);
        }
        assert_eq!((rounds, ledger.desks[&1].waiting.len()), (1, 0));
        assert!(ledger.taken(2, 2));
        assert_eq!(ledger.passed(), 3 * OUT_MAX as u64 + 1);
        assert_eq!((ledger.settle(), ledger.open.len(), ledger.passed()), ((6 * OUT_MAX as u64 + 1, true), 0, 0));
    }

    #[test]
    fn long_messages_wait_sooner_and_what_others_say_does_not_wait_with_them() {
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            ledger.add(Notice::Ready, Kind::Message, &[1], true);
        }
        ledger.hand(1, OUT_BYTES_MAX);
        assert!(ledger.due(1).is_none());
        ledger.add(Notice::Ready, Kind::Other, &[1], false);
        assert_eq!(hand(&mut ledger, 1), 1);
        assert!(ledger.taken(1, 1));
        assert_eq!(hand(&mut ledger, 1), 2);
    }
}
