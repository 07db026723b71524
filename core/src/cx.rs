//! What machines are handed with every call. No machine keeps a clock, a generator, a timer or a queue of actions.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::LinkPeer;
use crate::action::{Action, Batch, Change};
use crate::config::Config;
use crate::id::OpId;
use crate::notice::Notice;
use crate::rng::Rng;
use crate::time::{Time, WallTime};
use crate::timer::Timers;
use crate::trace::{Observed, Said};
use crate::view::Stats;

/// Everything around a machine: time, chance, timers, actions, storage, counters.
pub(crate) struct Cx {
    pub(crate) now: Time,
    pub(crate) wall: WallTime,
    /// When the wall clock was last told, on the monotonic clock, and what it said.
    wall_told: (Time, WallTime),
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) timers: Timers,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) storage: Storage,
    pub(crate) stats: Stats,
    /// Notices that were queued and that the application has not taken, oldest first.
    untaken: VecDeque<Untaken>,
    /// How many of them are no messages.
    plain_untaken: u32,
    /// With how many of those the application is through, behind a message that it has not taken.
    plain_passed: u32,
    next_op: u64,
    buffers: Vec<Vec<u8>>,
    observed: Option<VecDeque<Observed>>,
}

/// What is owed when a notice is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Untaken {
    /// Nothing, for so many in a row.
    Plain(u32),
    /// A message's acknowledgement: the number is the inbox's.
    Message(u64),
}

/// Free buffers that are kept for reuse (guess: eight links busy at once).
const BUFFERS_MAX: usize = 8;
/// Notices of the node's own state that wait beyond the bound of the others (guess: a day of a wall clock that jumps each hour).
const STATES_MAX: u32 = 16;
/// Observations that wait for an observer; more are dropped (guess: one turn's worth).
const OBSERVED_MAX: usize = 65_536;

impl Cx {
    pub(crate) fn new(config: Config, mut rng: Rng, now: Time, wall: WallTime) -> Self {
        let hash_key = [rng.u64(), rng.u64()];
        Self {
            now,
            wall,
            wall_told: (now, wall),
            config,
            rng,
            timers: Timers::new(hash_key),
            actions: VecDeque::new(),
            storage: Storage { is_held: true, ..Storage::default() },
            stats: Stats::default(),
            untaken: VecDeque::new(),
            plain_untaken: 0,
            plain_passed: 0,
            next_op: 0,
            buffers: Vec::new(),
            observed: None,
        }
    }

    /// Time only goes on (C2), and takes the wall clock with it (spec: NODE-2).
    pub(crate) fn set_now(&mut self, now: Time) {
        if now < self.now {
            self.stats.clock_went_back = self.stats.clock_went_back.saturating_add(1);
        } else {
            self.now = now;
        }
        self.wall = self.wall_at(self.now);
    }

    /// What the wall clock says now; whether it has jumped, by more than a second.
    pub(crate) const fn set_wall(&mut self, wall: WallTime) -> bool {
        let has_jumped = self.wall.as_millis().abs_diff(wall.as_millis()) > 1_000;
        self.wall_told = (self.now, wall);
        self.wall = wall;
        has_jumped
    }

    /// The wall clock as last told, moved on by the monotonic time since.
    pub(crate) fn wall_at(&self, now: Time) -> WallTime {
        let (told, wall) = self.wall_told;
        wall + now.since(told)
    }

    /// A number for an operation of one's own.
    pub(crate) const fn op(&mut self) -> OpId {
        self.next_op = self.next_op.saturating_add(1);
        OpId::new(self.next_op)
    }

    /// Queues a notice; dropped and counted when the application has left too many (C8) (spec: NODE-17).
    pub(crate) fn notify(&mut self, notice: Notice) {
        self.notify_up_to(self.config.notices_max, notice);
    }

    /// Queues what the node has become: places are kept for it, so that an application that has left too many other
    /// notices hears of it all the same, and the last place of all is for the node's end (spec: NODE-17).
    pub(crate) fn notify_state(&mut self, notice: Notice) {
        let kept = STATES_MAX + u32::from(matches!(notice, Notice::Stopped { .. }));
        self.notify_up_to(self.config.notices_max.saturating_add(kept), notice);
    }

    fn notify_up_to(&mut self, bound: u32, notice: Notice) {
        if self.plain_waiting() >= bound {
            self.stats.notices_dropped = self.stats.notices_dropped.saturating_add(1);
            return;
        }
        self.plain_untaken = self.plain_untaken.saturating_add(1);
        match self.untaken.back_mut() {
            // One place for a run of them: however many pass behind a message, this grows with the messages only.
            Some(Untaken::Plain(run)) => *run = run.saturating_add(1),
            _ => self.untaken.push_back(Untaken::Plain(1)),
        }
        self.actions.push_back(Action::Notify { notice });
    }

    /// Whether notices that must not be dropped can follow: half is kept for what else happens (guess).
    pub(crate) const fn has_notice_room(&self) -> bool {
        self.plain_waiting() < self.config.notices_max / 2
    }

    /// Queues a peer's message. Never dropped: the peers' windows bound them.
    pub(crate) fn notify_message(&mut self, notice: Notice, due: u64) {
        self.untaken.push_back(Untaken::Message(due));
        self.actions.push_back(Action::Notify { notice });
    }

    /// The application has taken the oldest notice: what is owed for it.
    pub(crate) fn take_notice(&mut self) -> Option<Untaken> {
        if let Some(Untaken::Plain(run)) = self.untaken.front_mut()
            && *run > 1
        {
            *run = run.saturating_sub(1);
        } else if let message @ Untaken::Message(_) = self.untaken.pop_front()? {
            return Some(message);
        }
        self.plain_untaken = self.plain_untaken.saturating_sub(1);
        self.plain_passed = self.plain_passed.saturating_sub(1);
        Some(Untaken::Plain(1))
    }

    /// With so many notices that are no messages the application is through, though older ones are not taken: they make
    /// room for others (spec: NODE-17).
    pub(crate) fn pass_notices(&mut self, notices: u64) {
        self.plain_passed = u32::try_from(notices).unwrap_or(u32::MAX).min(self.plain_untaken);
    }

    const fn plain_waiting(&self) -> u32 {
        self.plain_untaken.saturating_sub(self.plain_passed)
    }

    /// An empty buffer, used before if there is one.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= self.config.buffer_bytes_max() && self.buffers.len() < BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Gives spare memory back: an idle node is small.
    pub(crate) fn shrink(&mut self) {
        self.buffers = Vec::new();
        if self.actions.is_empty() {
            self.actions = VecDeque::new();
        }
        if self.untaken.is_empty() {
            self.untaken = VecDeque::new();
        }
    }

    /// Starts or stops to keep what is said on links for an observer.
    pub(crate) fn observe(&mut self, on: bool) {
        self.observed = on.then(VecDeque::new);
    }

    /// The next observation.
    pub(crate) fn observed(&mut self) -> Option<Observed> {
        self.observed.as_mut()?.pop_front()
    }

    /// Whether anybody observes.
    pub(crate) const fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// Keeps an observation, if anybody observes.
    pub(crate) fn saw(&mut self, with: Option<LinkPeer>, outward: bool, what: impl FnOnce() -> Said) {
        if let Some(observed) = &mut self.observed
            && observed.len() < OBSERVED_MAX
        {
            observed.push_back(Observed { with, outward, what: what() });
        }
    }

    /// Adds to the batch that is gathering; returns the operation whose `Stored` says that it is kept.
    pub(crate) fn store(&mut self, durable: bool, fill: impl FnOnce(&mut Batch)) -> OpId {
        let op = match self.storage.gathering_op {
            Some(op) => op,
            None => {
                let op = self.op();
                self.storage.gathering_op = Some(op);
                op
            }
        };
        let before = self.storage.gathering.changes.len();
        fill(&mut self.storage.gathering);
        for change in self.storage.gathering.changes.iter_mut().skip(before) {
            // It may wait long, and what writes JSON takes twice what it needs.
            change.key.shrink_to_fit();
            change.value.iter_mut().for_each(Vec::shrink_to_fit);
        }
        self.storage.gathering_durable |= durable;
        op
    }

    /// Whether `op` is the batch that gathers.
    pub(crate) fn is_gathering(&self, op: OpId) -> bool {
        self.storage.gathering_op == Some(op)
    }

    /// Takes what gathers under these keys out again, as it is stored anew: else whoever makes a node store the same
    /// messages again and again while a batch is on its way would make it grow. O(changes).
    pub(crate) fn unstore(&mut self, keys: &BTreeSet<Vec<u8>>) {
        if !keys.is_empty() {
            self.storage.gathering.changes.retain(|change| !keys.contains(&change.key));
        }
    }

    /// Whether more may be stored that can as well be refused or left out: while a batch is on its way, what gathers is
    /// bounded. What must be stored is bounded by what it belongs to: messages, windows, the application's own (C8).
    pub(crate) const fn has_store_room(&self) -> bool {
        self.storage.gathering.changes.len() < self.config.gathering_max()
    }

    /// Adds an application's own changes, under the application's part of the store (spec: STORE-8).
    pub(crate) fn store_for_app(&mut self, changes: &[Change]) {
        self.store(true, |batch| {
            for change in changes {
                let mut key = Vec::with_capacity(change.key.len().saturating_add(1));
                key.push(APP_PREFIX);
                key.extend_from_slice(&change.key);
                batch.changes.push(Change { key, value: change.value.clone() });
            }
        });
    }

    /// Issues what has gathered, unless a batch is on its way: one durable batch at a time (spec: STORE-4).
    pub(crate) fn flush_storage(&mut self) {
        if self.storage.in_flight.is_some() || self.storage.failed || self.storage.is_held {
            return;
        }
        if let Some(op) = self.storage.gathering_op.take() {
            let batch = core::mem::take(&mut self.storage.gathering);
            let durable = core::mem::take(&mut self.storage.gathering_durable);
            self.storage.in_flight = Some(op);
            self.actions.push_back(Action::Store { op, batch, durable });
        }
    }
}

/// The application's own keys start with this byte.
pub(crate) const APP_PREFIX: u8 = b'a';

/// One batch on its way, one that gathers.
#[derive(Default)]
pub(crate) struct Storage {
    gathering: Batch,
    gathering_op: Option<OpId>,
    gathering_durable: bool,
    in_flight: Option<OpId>,
    /// A store failed: nothing more is issued (C11).
    pub(crate) failed: bool,
    /// Nothing is written before all is read, or a newer store would be written to (spec: STORE-3).
    pub(crate) is_held: bool,
}

impl Storage {
    /// Whether `op` is the batch on its way, which is then done.
    pub(crate) fn on_stored(&mut self, op: OpId) -> bool {
        let is_it = self.in_flight == Some(op);
        if is_it {
            self.in_flight = None;
        }
        is_it
    }

    /// Whether something has gathered that may be issued.
    pub(crate) const fn is_due(&self) -> bool {
        self.gathering_op.is_some() && self.in_flight.is_none() && !self.failed && !self.is_held
    }

    /// Whether everything is stored.
    pub(crate) const fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.gathering_op.is_none()
    }
}
