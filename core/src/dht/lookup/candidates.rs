//! Whom a look-up knows of: by path, nearest first, each with who named it.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Start;
use crate::address::{Group, bound, group};
use crate::dht::key::{Distance, Hint};
use crate::dht::table::Rtt;

/// How many paths a look-up has (spec: DHT-80).
pub(super) const PATHS: u8 = 4;
/// How many nodes a path knows of at once: 96 in all (spec: DHT-82).
pub(super) const PATH_MAX: usize = 24;
/// How many that have named a node are known.
const GIVERS: usize = 4;
/// Hints of one giver that may be wrong before its others are forgotten (spec: DHT-84).
const BLAME_MAX: u8 = 2;
/// So many that are late, too, if fewer have answered.
const LATE_MAX: usize = 2;
/// How often an address is asked in one look-up: again only if who answered was not whom was named (spec: DHT-81).
const HOST_ASKS_MAX: usize = 2;

/// How far it has come with a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not asked.
    New,
    /// Not asked, because its address is being asked for another path or under another hint.
    Taken,
    /// Asked, and in time.
    Asked,
    /// Asked, and asked again: whoever waits for it goes on meanwhile.
    Slow,
    Answered,
    /// Asked in vain.
    Lost,
    /// Another answered there.
    Unfit,
}

#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// `None` for an address without a name: an entry peer.
    pub(super) hint: Option<Hint>,
    /// Of its hint from the target; the farthest without a hint.
    pub(super) distance: Distance,
    pub(super) at: SocketAddr,
    pub(super) rtt: Rtt,
    pub(super) path: u8,
    pub(super) state: State,
    /// How many of its hints were wrong.
    blame: u8,
    /// By which hints know their giver.
    serial: u16,
    givers: [Option<u16>; GIVERS],
    /// Whether it is of the own table, and not merely named.
    is_own: bool,
}

impl Candidate {
    /// Whether it may still answer, or has.
    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.state, State::New | State::Asked | State::Slow | State::Answered)
    }

    const fn is_late(&self) -> bool {
        matches!(self.state, State::Slow | State::Lost)
    }

    pub(super) const fn is_in_flight(&self) -> bool {
        matches!(self.state, State::Asked | State::Slow)
    }

    /// Whether nobody has asked it yet.
    pub(super) const fn is_unasked(&self) -> bool {
        matches!(self.state, State::New | State::Taken)
    }

    pub(super) fn group(&self) -> Group {
        group(self.at)
    }

    /// By which all stand: nearest first, then by path and arrival.
    const fn order(&self) -> (Distance, u8, u16) {
        (self.distance, self.path, self.serial)
    }
}

/// All of them, in the order of distance, path and arrival.
pub(super) struct Candidates {
    all: Vec<Candidate>,
    target: Hint,
    /// Whether an ip is one host, rather than an endpoint.
    is_global: bool,
    serial: u16,
}

impl Candidates {
    pub(super) const fn new(target: Hint, is_global: bool) -> Self {
        Self { all: Vec::new(), target, is_global, serial: 0 }
    }

    /// Nearest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.all.iter()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Candidate> {
        self.all.get(index)
    }

    /// Those that a path has, nearest first, with their places in the whole.
    pub(super) fn of(&self, path: u8) -> impl Iterator<Item = (usize, &Candidate)> {
        self.all.iter().enumerate().filter(move |(_, candidate)| candidate.path == path)
    }

    /// Where a node that is in flight stands.
    pub(super) fn in_flight_at(&self, at: SocketAddr) -> Option<usize> {
        self.all.iter().position(|candidate| candidate.at == at && candidate.is_in_flight())
    }

    /// Adds what was named to a path, by `giver` (its place) or by nobody. A full path forgets its farthest node that it
    /// has not asked, if that is farther (spec: DHT-82).
    pub(super) fn add(&mut self, hint: Option<Hint>, at: SocketAddr, rtt: Rtt, path: u8, giver: Option<u16>) {
        if giver.is_some_and(|giver| self.is_blamed(giver)) {
            return;
        }
        if let Some(known) = self.all.iter_mut().find(|known| known.path == path && known.at == at && known.hint == hint) {
            if giver.is_some() && !known.givers.contains(&giver) {
                known.givers.iter_mut().find(|slot| slot.is_none()).into_iter().for_each(|slot| *slot = giver);
            }
            return;
        }
        let Some(state) = self.state_of_new(hint, at) else { return };
        let distance = hint.map_or(Distance(u64::MAX), |hint| hint.distance(self.target));
        if self.of(path).count() >= PATH_MAX {
            let farthest = self.of(path).filter(|(_, candidate)| candidate.is_unasked()).last();
            let Some((index, _)) = farthest.filter(|(_, farthest)| farthest.distance > distance) else { return };
            self.all.remove(index);
        }
        self.serial = self.serial.saturating_add(1);
        let mut givers = [None; GIVERS];
        givers[0] = giver;
        let (serial, is_own) = (self.serial, giver.is_none());
        let candidate = Candidate { hint, distance, at, rtt, path, state, blame: 0, serial, givers, is_own };
        self.insert(candidate);
    }

    /// It is asked now; whoever else is named at its host waits.
    pub(super) fn on_asked(&mut self, index: usize) {
        let Some(candidate) = self.all.get_mut(index) else { return };
        candidate.state = State::Asked;
        let at = candidate.at;
        self.turn(at, State::New, State::Taken);
    }

    /// It is late: whether it is to be asked again. Of a giver of whose nodes two are, and fewer have answered, the others are forgotten
    /// (spec: DHT-84).
    pub(super) fn on_slow(&mut self, index: usize) -> bool {
        let Some(candidate) = self.all.get_mut(index) else { return false };
        candidate.state = State::Slow;
        let (hint, at, givers) = (candidate.hint, candidate.at, candidate.givers);
        let is_worth_more = self.is_worth_more(hint, at);
        for giver in givers.into_iter().flatten() {
            let (answered, late) = self.borne_out(giver);
            if late >= LATE_MAX && late > answered {
                self.forget_named(giver);
            }
        }
        is_worth_more
    }

    /// Whether somebody is of the own table, or two have named it, on any path, or one of whose nodes more have answered than are late
    /// (spec: DHT-41).
    fn is_worth_more(&self, hint: Option<Hint>, at: SocketAddr) -> bool {
        let named = || self.all.iter().filter(|named| named.hint == hint && named.at == at);
        let mut givers = named().flat_map(|named| named.givers.into_iter().flatten());
        let first = givers.next();
        named().any(|named| named.is_own)
            || givers.any(|other| Some(other) != first)
            || first.map(|giver| self.borne_out(giver)).is_some_and(|(answered, late)| answered > late)
    }

    /// Whether it is there on the word alone of givers of whose nodes none has answered.
    fn is_doubtful(&self, index: usize) -> bool {
        let Some(candidate) = self.all.get(index) else { return false };
        !candidate.is_own && candidate.givers.into_iter().flatten().all(|giver| !self.has_named(giver, State::Answered))
    }

    /// Whether a node that it would be asked beside is on its way on the same doubtful word (spec: DHT-84).
    pub(super) fn must_wait(&self, index: usize) -> bool {
        let Some(candidate) = self.all.get(index) else { return false };
        self.is_doubtful(index) && candidate.givers.into_iter().flatten().all(|giver| self.has_named(giver, State::Asked))
    }

    fn has_named(&self, giver: u16, state: State) -> bool {
        self.named_by(giver).any(|named| named.state == state)
    }

    /// How many of those whom it has named have answered, and how many are late.
    fn borne_out(&self, giver: u16) -> (usize, usize) {
        let count = |is: fn(&Candidate) -> bool| self.named_by(giver).filter(|named| is(named)).count();
        (count(|named| named.state == State::Answered), count(Candidate::is_late))
    }

    fn named_by(&self, giver: u16) -> impl Iterator<Item = &Candidate> {
        self.all.iter().filter(move |named| named.givers.contains(&Some(giver)))
    }

    /// It has answered, under `hint` if it is a node that may be named. Its serial number, for its hints.
    pub(super) fn on_answered(&mut self, index: usize, hint: Option<Hint>, rtt: Rtt) -> Option<u16> {
        let mut candidate = (index < self.all.len()).then(|| self.all.remove(index))?;
        candidate.hint = hint;
        candidate.distance = hint.map_or(Distance(u64::MAX), |hint| hint.distance(self.target));
        candidate.rtt = rtt;
        candidate.state = State::Answered;
        let (at, serial) = (candidate.at, candidate.serial);
        self.insert(candidate);
        self.forget_taken(at, |_| true);
        Some(serial)
    }

    /// Nothing came, or nothing of use. Who named it is blamed if it was `silent`.
    pub(super) fn on_lost(&mut self, index: usize, is_silent: bool) {
        let Some(candidate) = self.all.get_mut(index) else { return };
        candidate.state = State::Lost;
        let (at, givers) = (candidate.at, candidate.givers);
        self.forget_taken(at, |_| true);
        if is_silent {
            givers.into_iter().flatten().for_each(|giver| self.blame(giver));
        }
    }

    /// Another than whom was named answered. If the address was named with other hints too, one of them may be true.
    pub(super) fn on_unfit(&mut self, index: usize) {
        let Some(candidate) = self.all.get_mut(index) else { return };
        candidate.state = State::Unfit;
        let (at, hint, givers) = (candidate.at, candidate.hint, candidate.givers);
        let is_over = self.asks(at) >= HOST_ASKS_MAX;
        self.forget_taken(at, |other| is_over || (other.hint == hint && other.at == at));
        self.turn(at, State::Taken, State::New);
        givers.into_iter().flatten().for_each(|giver| self.blame(giver));
    }

    /// Who was not asked is forgotten; who was is on no path any more, and of `starts` those that may be asked are dealt to the paths.
    pub(super) fn begin_again(&mut self, starts: &[Start]) {
        self.all.retain(|candidate| !candidate.is_unasked());
        self.all.iter_mut().for_each(|candidate| candidate.path = PATHS);
        self.all.sort_unstable_by_key(Candidate::order);
        let open: Vec<Start> = starts.iter().copied().filter(|start| self.may_ask(start)).collect();
        for (start, path) in open.into_iter().zip((0..PATHS).cycle()) {
            self.add(start.hint, start.at, start.rtt, path, None);
        }
    }

    /// Whether somebody may be asked yet.
    pub(super) fn may_ask(&self, start: &Start) -> bool {
        self.state_of_new(start.hint, start.at) == Some(State::New)
    }

    /// A hint of this giver was wrong. After the second, those of its hints that nobody else has named on its path and that
    /// have not been asked are forgotten (spec: DHT-84).
    pub(super) fn blame(&mut self, giver: u16) {
        let Some(blamed) = self.all.iter_mut().find(|candidate| candidate.serial == giver) else { return };
        blamed.blame = blamed.blame.saturating_add(1);
        if blamed.blame >= BLAME_MAX {
            self.forget_named(giver);
        }
    }

    fn forget_named(&mut self, giver: u16) {
        self.all.retain_mut(|candidate| {
            if !candidate.is_unasked() || !candidate.givers.contains(&Some(giver)) {
                return true;
            }
            for slot in candidate.givers.iter_mut().filter(|slot| **slot == Some(giver)) {
                *slot = None;
            }
            candidate.is_own || candidate.givers.iter().any(Option::is_some)
        });
    }

    fn is_blamed(&self, giver: u16) -> bool {
        self.all.iter().any(|candidate| candidate.serial == giver && candidate.blame >= BLAME_MAX)
    }

    /// What becomes of somebody who is named: `None` if the host has been asked, and will not be again (spec: DHT-81).
    fn state_of_new(&self, hint: Option<Hint>, at: SocketAddr) -> Option<State> {
        let mut state = State::New;
        for known in self.all.iter().filter(|known| is_one_host(self.is_global, known.at, at)) {
            match known.state {
                State::New | State::Taken => {}
                State::Asked | State::Slow => state = State::Taken,
                State::Unfit if (known.hint, known.at) != (hint, at) => {}
                State::Unfit | State::Answered | State::Lost => return None,
            }
        }
        (self.asks(at) < HOST_ASKS_MAX).then_some(state)
    }

    fn asks(&self, at: SocketAddr) -> usize {
        self.all.iter().filter(|known| !known.is_unasked() && is_one_host(self.is_global, known.at, at)).count()
    }

    fn forget_taken(&mut self, at: SocketAddr, is_over: impl Fn(&Candidate) -> bool) {
        let is_global = self.is_global;
        self.all.retain(|other| other.state != State::Taken || !is_one_host(is_global, other.at, at) || !is_over(other));
    }

    /// Those of a host that are in the one state get into the other.
    fn turn(&mut self, at: SocketAddr, from: State, to: State) {
        for other in self.all.iter_mut().filter(|other| other.state == from && is_one_host(self.is_global, other.at, at)) {
            other.state = to;
        }
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self.all.partition_point(|other| other.order() < candidate.order());
        self.all.insert(at, candidate);
    }
}

/// Where addresses are scarce an ip is one host, elsewhere an endpoint is.
fn is_one_host(is_global: bool, one: SocketAddr, other: SocketAddr) -> bool {
    if is_global { bound(one.ip()) == bound(other.ip()) } else { one == other }
}
