//! The application of both devices: it sends what its plan says, and keeps what it was told in one batch with taking it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use overcom_core::{App, AppCx, Command, Message, MessageId, Notice, Received, Saved, Time, UserId};

/// Keys of what was sent and got, and of the mark that a reader without streams would keep.
const SENT: u8 = b's';
const GOT: u8 = b'g';
const MARK: &[u8] = b"m";

/// A message's own name, whatever the store says: device, life, number in that life.
pub(super) type Name = (usize, u32, u32);

/// What an observer outside of all devices sees: nothing of it is lost in a crash.
#[derive(Default)]
pub(super) struct Record {
    /// What each reader's application was handed, ever, with the id that it came under.
    pub(super) handed: BTreeMap<(usize, Name), MessageId>,
    /// What a reader without streams would have handed over.
    pub(super) handed_without: BTreeSet<(usize, Name)>,
    /// Messages that came twice: to one process, to an application whose store has them, or under two ids.
    pub(super) repeated: u64,
}

/// A device's application.
pub(super) struct Ledger {
    device: usize,
    life: u32,
    /// Whom it writes to.
    to: Rc<RefCell<Option<UserId>>>,
    /// When it writes.
    plan: VecDeque<Time>,
    record: Rc<RefCell<Record>>,
    /// How often it has sent in this life.
    count: u32,
    /// From its store: what it has sent and got, and how far a reader without streams has come.
    pub(super) sent: BTreeSet<Name>,
    pub(super) got: BTreeSet<Name>,
    mark: u64,
    /// The ids that came to this process.
    ids: BTreeSet<MessageId>,
}

impl Ledger {
    pub(super) fn new(
        device: usize,
        life: u32,
        plan: VecDeque<Time>,
        to: Rc<RefCell<Option<UserId>>>,
        record: Rc<RefCell<Record>>,
    ) -> Self {
        let (sent, got, ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { device, life, to, plan, record, count: 0, sent, got, mark: 0, ids }
    }

    /// Whether everything of the plan is sent.
    pub(super) fn is_done(&self) -> bool {
        self.plan.is_empty()
    }

    fn send(&mut self, cx: &mut AppCx<'_>) {
        let Some(user) = *self.to.borrow() else { return };
        let name = (self.device, self.life, self.count);
        self.count += 1;
        // What a database would number it, if its streams were as old as it.
        let number = self.sent.len() as u64 + 1;
        if let Ok(message) = Message::new("entry", &(number, name))
            && cx.command(Command::send(user, message)).is_ok()
        {
            cx.save(key(SENT, name), *b"");
            self.sent.insert(name);
        }
    }

    fn on_message(&mut self, cx: &mut AppCx<'_>, received: &Received) {
        let Ok((number, name)) = received.parse::<(u64, Name)>() else { return };
        let mut record = self.record.borrow_mut();
        let is_same_id = *record.handed.entry((self.device, name)).or_insert(received.id) == received.id;
        let (is_new_here, is_new) = (self.ids.insert(received.id), self.got.insert(name));
        record.repeated += u64::from(!(is_same_id && is_new_here && is_new));
        cx.save(key(GOT, name), *b"");
        // Without streams a number is new or not by one mark for each sender.
        if number > self.mark {
            self.mark = number;
            cx.save(MARK, number.to_be_bytes());
            record.handed_without.insert((self.device, name));
        }
    }
}

impl App for Ledger {
    fn on_start(&mut self, cx: &mut AppCx<'_>, saved: Saved) {
        for (key, value) in &saved {
            match (key.split_first(), read(key)) {
                (Some((&SENT, _)), Some(name)) => drop(self.sent.insert(name)),
                (Some((&GOT, _)), Some(name)) => drop(self.got.insert(name)),
                _ => self.mark = value.first_chunk::<8>().map_or(self.mark, |bytes| u64::from_be_bytes(*bytes)),
            }
        }
        self.plan.retain(|at| *at > cx.now());
        // Whoever is back has something to say: without a need there is no dial.
        self.send(cx);
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(received) = notice {
            self.on_message(cx, &received);
        }
    }

    fn on_deadline(&mut self, cx: &mut AppCx<'_>) {
        while self.plan.front().is_some_and(|at| *at <= cx.now()) {
            self.plan.pop_front();
            self.send(cx);
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.plan.front().copied()
    }
}

fn key(kind: u8, (device, life, number): Name) -> Vec<u8> {
    format!("{}{device} {life} {number}", char::from(kind)).into_bytes()
}

fn read(key: &[u8]) -> Option<Name> {
    let mut parts = std::str::from_utf8(key.get(1..)?).ok()?.split(' ');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
