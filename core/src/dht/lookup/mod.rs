//! One look-up: which nodes to ask, in which order, until those nearest to a target have answered.
//!
//! It sends nothing and holds no timer: whom to ask comes out of [`LookUp::next`], and what came of it goes in. Four paths
//! that share no node go towards the target; near it their findings are joined, and everyone there is asked. The same
//! events give the same look-up; only when it begins again, points beside the target are drawn.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::estimate::{Held, Radius, Size};
use super::key::{Distance, Hint};
use super::realm::Realm;
use super::table::Rtt;
use super::wire::{Contact, LISTED_MAX};
use crate::address::Group;
use crate::rng::Rng;
use crate::time::Time;

mod candidates;
mod region;

#[cfg(test)]
mod doubt_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
pub(in crate::dht) mod network;
#[cfg(test)]
mod tests;

pub(crate) use region::choose;

use candidates::{Candidate, Candidates, PATHS, State};

/// How many nodes of the table it knows: six a path (spec: DHT-80).
pub(crate) const SEEDS_MAX: usize = 24;
/// How many it knows of the own table for other rounds (spec: DHT-86).
pub(crate) const FAIR_MAX: usize = 32;
/// How many requests are on their way at once (spec: DHT-82).
pub(crate) const IN_FLIGHT_MAX: usize = 12;
/// How many of them, near the target, are in time: one for each path (spec: DHT-85).
const REGION_IN_TIME_MAX: usize = 4;
/// When whoever waits is told what there is: five seconds (spec: DHT-88).
pub(crate) const LENGTH_MAX: Duration = Duration::from_secs(5);
/// Rounds after the first, until something is found (spec: DHT-86).
const AGAIN_MAX: u8 = 5;
/// Requests in all rounds (spec: DHT-82).
const ASKS_MAX: u8 = 96;
/// Below so many known servers each is asked for records in the first round: all of them may hold some (spec: DHT-88).
pub(crate) const SERVERS_FEW: usize = 16;
/// How many nodes a record is kept at (spec: DHT-89).
pub(crate) const HOLDERS: usize = 5;

/// What for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wants {
    /// To know who is there.
    Nodes,
    /// To know what they hold.
    Records,
}

/// What is known when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct View {
    /// The own id, which nobody needs to name.
    pub(crate) own: Hint,
    pub(crate) realm: Realm,
    /// Whether the table is hard (spec: DHT-54).
    pub(crate) is_hard: bool,
    /// The estimate (spec: DHT-77).
    pub(crate) size: Size,
    /// Verified nodes of the table.
    pub(crate) servers: usize,
}

/// A node to begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    /// `None` for an entry peer, of which only the address is known.
    pub(crate) hint: Option<Hint>,
    pub(crate) at: SocketAddr,
    pub(crate) rtt: Rtt,
}

/// A request to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    /// Who must answer; `None`: whoever is there.
    pub(crate) hint: Option<Hint>,
    pub(crate) at: SocketAddr,
    /// 0 to 3.
    pub(crate) path: u8,
    /// Whether to ask for records too, or for nodes only.
    pub(crate) is_get: bool,
    /// Whether only those are to be named whom nobody has got to know for being near (spec: DHT-80).
    pub(crate) is_fair: bool,
    /// What it is asked for nodes near: the target or, in later rounds, where it is not asked for records, a point beside it
    /// (spec: DHT-86).
    pub(crate) towards: Hint,
}

/// Why it is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Those who are nearest have answered.
    Complete,
    /// Nobody has answered, and nobody is left to ask.
    Exhausted,
}

/// A node that has answered, or may yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Near {
    pub(crate) hint: Hint,
    pub(crate) at: SocketAddr,
    pub(crate) distance: Distance,
    pub(crate) has_answered: bool,
}

/// A look-up that goes on.
pub(crate) struct LookUp {
    target: Hint,
    wants: Wants,
    view: View,
    candidates: Candidates,
    /// Whom other rounds may begin with.
    fair: Vec<Start>,
    /// The paths that have asked somebody, a bit each.
    begun: u8,
    is_region: bool,
    /// How many rounds it may begin yet, until something is found (spec: DHT-86).
    rounds_left: u8,
    has_begun_again: bool,
    /// What is asked for by `find`, by path: the target in the first round (spec: DHT-86).
    points: [Hint; PATHS as usize],
    /// What these are drawn with.
    rng: Rng,
    asks: u8,
    due: Time,
}

impl LookUp {
    /// One that begins now, with 24 that are dealt to the paths in turn: to two of them of `seeds`, to two of `fair`. Both are the
    /// nearest of the table in their order, `fair` those that nobody has got to know for being near (spec: DHT-80). What later
    /// rounds draw, they draw with `rng`.
    pub(crate) fn new(
        target: Hint,
        wants: Wants,
        view: View,
        seeds: impl IntoIterator<Item = Start>,
        fair: impl IntoIterator<Item = Start>,
        rng: Rng,
        now: Time,
    ) -> Self {
        let mut candidates = Candidates::new(target, view.realm.is_global());
        let fair: Vec<Start> = fair.into_iter().take(FAIR_MAX).collect();
        let (mut seeds, mut of_fair) = (seeds.into_iter(), fair.iter().copied());
        let mut dealt: Vec<SocketAddr> = Vec::with_capacity(SEEDS_MAX);
        for path in (0..PATHS).cycle().take(SEEDS_MAX) {
            let is_new = |seed: &Start| !dealt.contains(&seed.at);
            let seed = if is_fair(path) { of_fair.find(is_new) } else { None };
            let Some(seed) = seed.or_else(|| seeds.find(is_new)) else { break };
            dealt.push(seed.at);
            candidates.add(seed.hint, seed.at, seed.rtt, path, None);
        }
        let rounds_left = if wants == Wants::Records && view.is_hard { AGAIN_MAX } else { 0 };
        Self {
            target,
            wants,
            view,
            candidates,
            fair: if rounds_left > 0 { fair } else { Vec::new() },
            begun: 0,
            is_region: false,
            rounds_left,
            has_begun_again: false,
            points: [target; PATHS as usize],
            rng,
            asks: 0,
            due: now + LENGTH_MAX,
        }
    }

    /// What it looks for.
    #[cfg(test)]
    pub(crate) const fn target(&self) -> Hint {
        self.target
    }

    /// When whoever waits must be told what there is (spec: DHT-88).
    pub(crate) const fn due(&self) -> Time {
        self.due
    }

    /// The next request that may be sent now, which is in flight from then on. `None` until something happens, or for good
    /// once [`end`](Self::end) says why. At most 96 in all. O(96²).
    pub(crate) fn next(&mut self) -> Option<Ask> {
        let index = self.choose_next().or_else(|| {
            if !self.may_begin_again() || !self.is_round_over() {
                return None;
            }
            self.begin_again();
            self.choose_next()
        })?;
        let candidate = self.candidates.get(index)?;
        let is_get = self.is_get(candidate);
        let point = self.points.get(usize::from(candidate.path)).filter(|_| !is_get);
        let towards = point.copied().unwrap_or(self.target);
        let ask = Ask { hint: candidate.hint, at: candidate.at, path: candidate.path, is_get, is_fair: is_fair(candidate.path), towards };
        self.begun |= 1 << ask.path;
        self.asks = self.asks.saturating_add(1);
        self.candidates.on_asked(index);
        Some(ask)
    }

    /// A node has answered our request to `at` as the one with this hint (`None`: it is no server, or its hint does not fit),
    /// and named these, of whom at most eight count. A node that was not asked, or has been given up, changes nothing.
    pub(crate) fn on_reply(&mut self, at: SocketAddr, hint: Option<Hint>, rtt: Rtt, named: impl IntoIterator<Item = Contact>) {
        let Some(index) = self.candidates.in_flight_at(at) else { return };
        let path = self.candidates.get(index).map_or(0, |candidate| candidate.path);
        let Some(giver) = self.candidates.on_answered(index, hint, rtt) else { return };
        self.is_region |= hint.is_some_and(|hint| self.radius(Held::EIGHT).holds(hint.distance(self.target)));
        // A reply that comes in a later round than its request was made in names nobody.
        let named = named.into_iter().take(if path < PATHS { LISTED_MAX } else { 0 });
        for Contact { hint, at } in named {
            if hint == self.view.own {
                continue;
            }
            if self.view.realm.takes(hint, at) {
                self.candidates.add(Some(hint), at, Rtt::UNKNOWN, path, Some(giver));
            } else {
                self.candidates.blame(giver);
            }
        }
    }

    /// The first time has run out: whoever waits for it goes on meanwhile (spec: DHT-83). Whether the request is to be repeated
    /// (spec: DHT-41).
    pub(crate) fn on_slow(&mut self, at: SocketAddr) -> bool {
        self.candidates.in_flight_at(at).is_none_or(|index| self.candidates.on_slow(index))
    }

    /// The repetition was not answered either.
    pub(crate) fn on_miss(&mut self, at: SocketAddr) {
        if let Some(index) = self.candidates.in_flight_at(at) {
            self.candidates.on_lost(index, true);
        }
    }

    /// Somebody is there who is of no use now: it is busy, say. Nobody is blamed.
    pub(crate) fn on_refused(&mut self, at: SocketAddr) {
        if let Some(index) = self.candidates.in_flight_at(at) {
            self.candidates.on_lost(index, false);
        }
    }

    /// Somebody else than whom was asked is there.
    pub(crate) fn on_unfit(&mut self, at: SocketAddr) {
        if let Some(index) = self.candidates.in_flight_at(at) {
            self.candidates.on_unfit(index);
        }
    }

    /// No other round begins: what is looked for is found, or was looked for in vain not long ago (spec: DHT-86).
    pub(crate) const fn end_rounds(&mut self) {
        self.rounds_left = 0;
    }

    /// Whether one round was not enough.
    pub(crate) const fn has_begun_again(&self) -> bool {
        self.has_begun_again
    }

    /// Why there is nothing left to do: `None` while there is. What is still in flight then is waited for by nobody. O(96²).
    pub(crate) fn end(&self) -> Option<End> {
        let is_spent = self.asks >= ASKS_MAX && !self.candidates.iter().any(Candidate::is_in_flight);
        if !is_spent && (!self.is_round_over() || self.may_begin_again()) {
            return None;
        }
        Some(if self.answers().next().is_some() { End::Complete } else { End::Exhausted })
    }

    /// The nodes that have answered, nearest first.
    pub(crate) fn answers(&self) -> impl Iterator<Item = Near> {
        self.alive().filter(|near| near.has_answered)
    }

    /// The five that keep a record, as far as they are known: of those who have answered, nearest first (spec: DHT-89).
    pub(crate) fn holders(&self) -> Vec<Near> {
        choose(self.answers(), HOLDERS)
    }

    /// Of the five nearest that are known, how many have answered, and how many there are; `None` while the paths are still
    /// far away, so that these say nothing.
    pub(crate) fn near(&self) -> Option<Vec<Near>> {
        self.is_region.then(|| choose(self.alive(), HOLDERS))
    }

    /// What the estimate is made of: the distance of the eighth nearest answer, counted by distinct group (spec: DHT-77).
    pub(crate) fn eighth(&self) -> Option<Distance> {
        self.nth_of_groups(8)
    }

    /// Who is known and may still answer, or has, nearest first; each once.
    fn alive(&self) -> impl Iterator<Item = Near> {
        let mut before = None;
        self.candidates.iter().filter(|candidate| candidate.is_alive()).filter_map(move |candidate| {
            let near = Near {
                hint: candidate.hint?,
                at: candidate.at,
                distance: candidate.distance,
                has_answered: candidate.state == State::Answered,
            };
            // Several paths may know it, with nothing in between.
            let is_new = before.replace((near.hint, near.at)) != Some((near.hint, near.at));
            is_new.then_some(near)
        })
    }

    fn radius(&self, held: Held) -> Radius {
        Radius::of(held, self.view.size)
    }

    /// Whether it may have what is looked for (spec: DHT-88).
    fn is_get(&self, candidate: &Candidate) -> bool {
        let is_inside = |held| candidate.hint.is_none() || self.radius(held).holds(candidate.distance);
        let may_have =
            if self.has_begun_again { is_inside(Held::SIXTEEN) } else { self.view.servers < SERVERS_FEW || is_inside(Held::SIXTY_FOUR) };
        self.wants == Wants::Records && may_have
    }

    /// Whom a path asks next, unless it waits (spec: DHT-81, DHT-83).
    fn next_of(&self, path: u8) -> Option<usize> {
        let is_waiting = self.candidates.of(path).any(|(_, candidate)| candidate.state == State::Asked);
        if is_waiting { None } else { self.choice(path) }
    }

    fn choice(&self, path: u8) -> Option<usize> {
        let of_path = || self.candidates.of(path);
        let asked: Vec<Group> = of_path().filter(|(_, it)| !it.is_unasked()).map(|(_, it)| it.group()).collect();
        let mut open = of_path().filter(|(_, it)| it.state == State::New && !asked.contains(&it.group())).peekable();
        let (nearest, first) = open.peek().map(|(index, it)| (*index, it.distance))?;
        if self.begun & (1 << path) == 0 && !is_fair(path) {
            // By round trip among those whose distance has at most one bit more (spec: DHT-80).
            let shared = first.0.leading_zeros().saturating_sub(1);
            let by_rtt = open.filter(|(_, it)| it.distance.0.leading_zeros() >= shared);
            return by_rtt.min_by_key(|(index, it)| (it.rtt.rank(), *index)).map(|(index, _)| index);
        }
        let reached = of_path().find(|(_, it)| it.state == State::Answered && it.hint.is_some());
        let is_nearer = reached.is_none_or(|(_, reached)| first < reached.distance);
        is_nearer.then_some(nearest)
    }

    /// Whether a path has got as near as it can (spec: DHT-85).
    fn has_ended(&self, path: u8) -> bool {
        let is_any = |state| self.candidates.of(path).any(|(_, candidate)| candidate.state == state);
        let is_waiting = is_any(State::Asked) || (is_any(State::Slow) && !is_any(State::Answered));
        !is_waiting && self.choice(path).is_none()
    }

    /// Whether a path has come to the region or has got as near as it can (spec: DHT-86).
    fn has_arrived(&self, path: u8) -> bool {
        self.is_there(path) || self.has_ended(path)
    }

    fn is_there(&self, path: u8) -> bool {
        let radius = self.radius(Held::EIGHT);
        let is_there = |it: &Candidate| it.state == State::Answered && it.hint.is_some() && radius.holds(it.distance);
        self.candidates.of(path).any(|(_, candidate)| is_there(candidate))
    }

    /// Whom this round asks next.
    fn choose_next(&mut self) -> Option<usize> {
        self.enter_region();
        let in_flight = self.candidates.iter().filter(|candidate| candidate.is_in_flight()).count();
        if in_flight >= IN_FLIGHT_MAX || self.asks >= ASKS_MAX {
            return None;
        }
        let of_paths = (0..PATHS).filter(|path| !self.is_there(*path)).find_map(|path| self.next_of(path));
        of_paths.or_else(|| self.next_in_region()).or_else(|| self.next_beside())
    }

    /// Beside the one request that is on its way to where records lie: of two the nearer one answers first (spec: DHT-85).
    fn next_beside(&self) -> Option<usize> {
        let radius = self.radius(Held::EIGHT);
        let is_there = |it: &Candidate| it.hint.is_some() && radius.holds(it.distance);
        let on_their_way = self.candidates.iter().filter(|it| it.state == State::Asked && is_there(it)).count();
        if self.is_region || self.wants == Wants::Nodes || on_their_way != 1 {
            return None;
        }
        // All stand in the order of distance.
        let nearest = (0..PATHS).filter_map(|path| self.choice(path)).min()?;
        self.candidates.get(nearest).is_some_and(is_there).then_some(nearest)
    }

    fn next_in_region(&self) -> Option<usize> {
        let in_time = self.candidates.iter().filter(|candidate| candidate.state == State::Asked).count();
        if self.is_region && in_time < REGION_IN_TIME_MAX { self.survey(true).next } else { None }
    }

    /// Whether all paths have arrived, and all who must answer have (spec: DHT-86).
    fn is_round_over(&self) -> bool {
        (self.is_region || self.is_region_due()) && (0..PATHS).all(|path| self.has_arrived(path)) && self.survey(false).is_complete
    }

    fn may_begin_again(&self) -> bool {
        self.rounds_left > 0 && self.asks < ASKS_MAX && self.fair.iter().any(|fair| self.candidates.may_ask(fair))
    }

    /// Another round: four new paths, from the fair ones of the own table that were not asked; all others that were not are
    /// forgotten, and who was asked is asked no more. Whoever stands nearest to the target may be all that is
    /// named when that is asked for, so each path asks for a point beside it.
    fn begin_again(&mut self) {
        self.rounds_left = self.rounds_left.saturating_sub(1);
        self.candidates.begin_again(&self.fair);
        (self.begun, self.is_region, self.has_begun_again) = (0, false, true);
        let span = self.radius(Held::EIGHT).span();
        for point in &mut self.points {
            *point = Hint(self.target.0 ^ self.rng.below(span));
        }
    }

    fn is_region_due(&self) -> bool {
        (0..PATHS).filter(|path| self.has_ended(*path)).count() >= 2
    }

    fn enter_region(&mut self) {
        self.is_region = self.is_region || self.is_region_due();
    }
}

/// Whether a path goes by those alone whom nobody has got to know for being near: two of four (spec: DHT-80).
const fn is_fair(path: u8) -> bool {
    path % 2 == 1
}
