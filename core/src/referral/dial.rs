//! Dialling: one round per target, its addresses one after the other, names looked up on the way.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::action::Action;
use crate::close::CloseReason;
use crate::command::Address;
use crate::cx::Cx;
use crate::error::{ConnectError, ResolveError};
use crate::id::{OpId, PipeId, UserId};
use crate::timer::TimerKey;
use crate::view::AttemptOutcome;

/// Addresses of one name that are tried (guess: two of each family).
const ADDRESSES_PER_NAME_MAX: usize = 4;

/// Whom a round is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    /// Any device of a user.
    User(UserId),
    /// An entry peer, by its place in the list.
    Entry(u32),
    /// Any device of a user, where the DHT says that it is.
    Found(UserId),
    /// A node that keeps the own home, to be bound to.
    Home(SocketAddr),
    /// Whether anybody takes a pipe where the device that is bound over this link says.
    Claim(PipeId),
}

/// What the node has to carry over.
pub(crate) enum Effect {
    /// An address was tried.
    Tried { target: Target, address: Address, outcome: AttemptOutcome },
    /// Every address was tried in vain.
    Failed(Target),
}

struct Round {
    addresses: VecDeque<Address>,
    /// What the name in `current` still has to offer.
    ips: VecDeque<SocketAddr>,
    current: Option<Address>,
    /// The connect or look-up under way.
    op: Option<OpId>,
    /// Its place in `waiting`.
    turn: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Dials {
    rounds: BTreeMap<Target, Round>,
    ops: BTreeMap<OpId, Target>,
    /// Rounds that wait for their turn, in the order in which they came.
    waiting: BTreeMap<u64, Target>,
    turns: u64,
    active: u32,
    pub(crate) effects: VecDeque<Effect>,
}

impl Dials {
    /// Begins a round, unless one is under way for this target, or one for as many targets as the book has users: whoever
    /// is wanted is tried again (spec: FIND-5).
    pub(crate) fn start(&mut self, cx: &mut Cx, target: Target, addresses: impl IntoIterator<Item = Address>) {
        let is_full = matches!(target, Target::User(_) | Target::Found(_)) && self.rounds.len() >= cx.config.book_users_max as usize;
        if self.rounds.contains_key(&target) || is_full {
            return;
        }
        let turn = (self.active >= cx.config.dials_max).then_some(self.turns);
        let round = Round { addresses: addresses.into_iter().collect(), ips: VecDeque::new(), current: None, op: None, turn };
        self.rounds.insert(target, round);
        if let Some(turn) = turn {
            self.turns = turn.saturating_add(1);
            self.waiting.insert(turn, target);
        } else {
            self.active = self.active.saturating_add(1);
            self.next(cx, target);
        }
    }

    /// [`start`](Self::start), or goes on with these in the round that is under way.
    pub(crate) fn add(&mut self, cx: &mut Cx, target: Target, addresses: impl IntoIterator<Item = Address>) {
        match self.rounds.get_mut(&target) {
            Some(round) => round.addresses.extend(addresses),
            None => self.start(cx, target, addresses),
        }
    }

    /// For whom a connect or look-up of a name is under way.
    pub(crate) fn target(&self, op: OpId) -> Option<Target> {
        self.ops.get(&op).copied()
    }

    /// Whether a round for this target is under way.
    pub(crate) fn is_dialling(&self, target: Target) -> bool {
        self.rounds.contains_key(&target)
    }

    /// A connect that this node asked for has a pipe; for whom. `None`: nobody waits for it any more.
    pub(crate) fn on_opened(&mut self, cx: &mut Cx, op: OpId) -> Option<Target> {
        cx.timers.cancel(TimerKey::Dial(op));
        self.ops.get(&op).copied()
    }

    /// A connect came to nothing.
    pub(crate) fn on_failed(&mut self, cx: &mut Cx, op: OpId, why: ConnectError) {
        self.on_outcome(cx, op, AttemptOutcome::NotConnected(why));
    }

    /// A connect or look-up takes too long.
    pub(crate) fn on_late(&mut self, cx: &mut Cx, op: OpId) {
        self.on_outcome(cx, op, AttemptOutcome::NotConnected(ConnectError::TimedOut));
    }

    /// The pipe of a connect was closed before the other end was proven.
    pub(crate) fn on_refused(&mut self, cx: &mut Cx, op: OpId, why: CloseReason) {
        self.on_outcome(cx, op, AttemptOutcome::Closed(why));
    }

    fn on_outcome(&mut self, cx: &mut Cx, op: OpId, outcome: AttemptOutcome) {
        cx.timers.cancel(TimerKey::Dial(op));
        let Some(target) = self.ops.remove(&op) else { return };
        let Some(round) = self.rounds.get_mut(&target) else { return };
        round.op = None;
        if let Some(address) = round.current.clone() {
            self.effects.push_back(Effect::Tried { target, address, outcome });
        }
        self.next(cx, target);
    }

    /// A name was looked up.
    pub(crate) fn on_resolved(&mut self, cx: &mut Cx, op: OpId, outcome: Result<&[IpAddr], ResolveError>) {
        cx.timers.cancel(TimerKey::Dial(op));
        let ips = match outcome {
            Ok([]) => Err(ResolveError::Unknown),
            other => other,
        };
        match ips {
            Err(why) => self.on_outcome(cx, op, AttemptOutcome::NotResolved(why)),
            Ok(ips) => {
                let Some(target) = self.ops.remove(&op) else { return };
                let Some(round) = self.rounds.get_mut(&target) else { return };
                round.op = None;
                if let Some(Address::Name { port, .. }) = &round.current {
                    let dialable = ips.iter().map(|ip| SocketAddr::new(*ip, *port)).filter(|to| crate::address::scope(*to).is_some());
                    round.ips = dialable.take(ADDRESSES_PER_NAME_MAX).collect();
                }
                self.next(cx, target);
            }
        }
    }

    /// A target needs no dialling any more: it is linked, or nobody wants it. The address that made it, if one did.
    pub(crate) fn finish(&mut self, cx: &mut Cx, target: Target) -> Option<Address> {
        let round = self.rounds.remove(&target)?;
        if let Some(op) = round.op {
            self.ops.remove(&op);
            cx.timers.cancel(TimerKey::Dial(op));
        }
        match round.turn {
            Some(turn) => drop(self.waiting.remove(&turn)),
            None => self.turn_over(cx),
        }
        round.current
    }

    /// [`finish`](Self::finish) for many: none of them gets the turn of another before it is finished itself.
    pub(crate) fn finish_all(&mut self, cx: &mut Cx, targets: impl Iterator<Item = Target> + Clone) {
        let is_waiting = |dials: &Self, target| dials.rounds.get(&target).is_some_and(|round| round.turn.is_some());
        for target in targets.clone() {
            if is_waiting(self, target) {
                let _ = self.finish(cx, target);
            }
        }
        for target in targets {
            let _ = self.finish(cx, target);
        }
    }

    fn next(&mut self, cx: &mut Cx, target: Target) {
        let Some(round) = self.rounds.get_mut(&target) else { return };
        if let Some(to) = round.ips.pop_front() {
            self.connect(cx, target, to);
            return;
        }
        match round.addresses.pop_front() {
            Some(address) => {
                round.current = Some(address.clone());
                match address {
                    Address::Ip(to) => self.connect(cx, target, to),
                    Address::Name { name, port } => {
                        let op = self.begin(cx, target);
                        cx.actions.push_back(Action::Resolve { op, name, port });
                    }
                }
            }
            None => {
                self.rounds.remove(&target);
                self.effects.push_back(Effect::Failed(target));
                self.turn_over(cx);
            }
        }
    }

    fn connect(&mut self, cx: &mut Cx, target: Target, to: SocketAddr) {
        let op = self.begin(cx, target);
        cx.actions.push_back(Action::Connect { op, to, from_listening_port: false });
    }

    fn begin(&mut self, cx: &mut Cx, target: Target) -> OpId {
        let op = cx.op();
        self.ops.insert(op, target);
        if let Some(round) = self.rounds.get_mut(&target) {
            round.op = Some(op);
        }
        cx.timers.set(TimerKey::Dial(op), cx.now + cx.config.handshake());
        op
    }

    /// One round is over: the next that waits begins.
    fn turn_over(&mut self, cx: &mut Cx) {
        match self.waiting.pop_first() {
            Some((_, target)) => {
                if let Some(round) = self.rounds.get_mut(&target) {
                    round.turn = None;
                }
                self.next(cx, target);
            }
            None => self.active = self.active.saturating_sub(1),
        }
    }

    /// Gives up every round.
    pub(crate) fn stop(&mut self, cx: &mut Cx) {
        let targets: Vec<Target> = self.rounds.keys().copied().collect();
        self.waiting.clear();
        for target in targets {
            let _ = self.finish(cx, target);
        }
        self.active = 0;
    }
}
