//! The links over which devices are bound here.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Bind, Bound, Status};
use crate::address::{Group, Scope};
use crate::dht::home::{Name, Slot};
use crate::dht::key::Key;
use crate::id::{DeviceId, PipeId};
use crate::time::Time;

/// How many are bound at once (spec: DHT-156).
const BINDS_MAX: usize = 64;
/// How many of these over links from one group (spec: DHT-156).
const BINDS_OF_GROUP_MAX: usize = BINDS_MAX / 4;
/// How far apart binds on one link are taken (spec: DHT-156).
const EACH_MIN: Duration = Duration::from_secs(5);

/// Whether a bind is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    Take,
    Refuse(Status),
    /// It has come too soon once more.
    Flood,
}

/// What is to be done with a bind that is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Answer(Bound),
    /// See once whether somebody takes a pipe there, and call [`Binds::on_dialled`].
    Dial(SocketAddr),
}

/// Who is bound over which link; one place for each service link on which a bind was said.
#[derive(Debug, Default)]
pub(crate) struct Binds {
    links: BTreeMap<PipeId, Place>,
}

#[derive(Debug)]
struct Place {
    /// Of the link's other end.
    group: Group,
    last: Time,
    /// One has come too soon.
    is_warned: bool,
    /// It was told that its device record is lacking.
    is_asked: bool,
    /// It has given one, so that the next bind need not wait.
    has_given: bool,
    bond: Option<Bond>,
}

#[derive(Debug)]
struct Bond {
    home: Key,
    scope: Scope,
    device: DeviceId,
    sequence: u64,
    /// Where a dial went, and what came of it.
    claimed: Option<SocketAddr>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Dialling,
    Bound,
    Unreachable,
}

impl Binds {
    /// A bind came over a link: whether it is looked at at all.
    pub(crate) fn admit(&mut self, pipe: PipeId, group: Group, now: Time) -> Admission {
        let is_bound = self.links.get(&pipe).is_some_and(|place| place.bond.is_some());
        let is_full = !is_bound && (self.len() >= BINDS_MAX || self.of_group(group) >= BINDS_OF_GROUP_MAX);
        let is_new = !self.links.contains_key(&pipe);
        let place = self.links.entry(pipe).or_insert(Place::new(group, now));
        let is_dialling = place.bond.as_ref().is_some_and(|bond| bond.state == State::Dialling);
        let is_early = !is_new && now.since(place.last) < EACH_MIN;
        if is_dialling || (is_early && !place.has_given) {
            let is_again = core::mem::replace(&mut place.is_warned, true);
            return if is_again { Admission::Flood } else { Admission::Refuse(Status::Often) };
        }
        if !is_early {
            (place.is_warned, place.is_asked) = (false, false);
        }
        (place.last, place.has_given) = (now, false);
        if is_full { Admission::Refuse(Status::Full) } else { Admission::Take }
    }

    /// A bind was looked at and is no good: its link is one to nobody. Once, who lacks a device record here may give it.
    pub(crate) fn on_refused(&mut self, pipe: PipeId, status: Status) {
        if let Some(place) = self.links.get_mut(&pipe) {
            place.bond = None;
            place.is_asked = status == Status::NoDevice && !place.is_asked;
        }
    }

    /// A device record came over a link. Whether it was asked for.
    pub(crate) fn on_device(&mut self, pipe: PipeId) -> bool {
        let place = self.links.get_mut(&pipe).filter(|place| place.is_asked && !place.has_given && place.bond.is_none());
        place.map(|place| place.has_given = true).is_some()
    }

    /// A bind that is good came over a link: from now on it is one to this device, and no other is.
    pub(crate) fn on_bind(&mut self, pipe: PipeId, bind: &Bind, remote: SocketAddr) -> Step {
        let (home, device, scope, sequence) = (bind.home, bind.proof.device, bind.record.scope(), bind.record.sequence());
        let (wants, claimed) = (bind.proof.port != 0, bind.claimed(remote));
        let is_it = |bond: &Bond| (bond.home, bond.device, bond.scope) == (home, device, scope);
        for (_, place) in self.links.iter_mut().filter(|(other, _)| **other != pipe) {
            place.bond.take_if(|bond| is_it(bond));
        }
        let Some(place) = self.links.get_mut(&pipe) else { return Step::Answer(Bound { status: Status::Full, sequence: Some(sequence) }) };
        let state = match (wants, claimed, place.bond.as_ref().filter(|bond| is_it(bond) && bond.claimed == claimed)) {
            (false, ..) => State::Bound,
            (true, None, _) => State::Unreachable,
            // A claim is looked at once a link.
            (true, Some(_), Some(bond)) => bond.state,
            (true, Some(_), None) => State::Dialling,
        };
        let bond = place.bond.insert(Bond { home, scope, device, sequence, claimed, state });
        match (bond.answer(), claimed) {
            (None, Some(to)) => Step::Dial(to),
            (answer, _) => Step::Answer(answer.unwrap_or(Bound { status: Status::Unreachable, sequence: Some(sequence) })),
        }
    }

    /// Somebody took a pipe where it was dialled, or nobody; the answer to the bind.
    pub(crate) fn on_dialled(&mut self, pipe: PipeId, is_reached: bool) -> Option<Bound> {
        let bond = self.links.get_mut(&pipe)?.bond.as_mut().filter(|bond| bond.state == State::Dialling)?;
        bond.state = if is_reached { State::Bound } else { State::Unreachable };
        bond.answer()
    }

    /// The link has ended. The record stays until its own end.
    pub(crate) fn on_closed(&mut self, pipe: PipeId) {
        self.links.remove(&pipe);
    }

    /// Only those stay bound whose address records are held.
    pub(crate) fn keep(&mut self, is_held: impl Fn(&Name) -> bool) {
        for place in self.links.values_mut() {
            place.bond.take_if(|bond| !is_held(&bond.name()));
        }
    }

    /// The devices of a home that are bound in a scope, in the order of their links, with these.
    pub(crate) fn of(&self, home: Key, scope: Scope) -> impl Iterator<Item = (DeviceId, PipeId)> {
        let bonds = self.links.iter().filter_map(|(pipe, place)| Some((pipe, place.bond.as_ref()?)));
        let here = bonds.filter(move |(_, bond)| bond.state == State::Bound && (bond.home, bond.scope) == (home, scope));
        here.map(|(pipe, bond)| (bond.device, *pipe))
    }

    /// How many devices are bound, of those whose address records are held.
    pub(crate) fn bound(&self, is_held: impl Fn(&Name) -> bool) -> usize {
        let bonds = self.links.values().filter_map(|place| place.bond.as_ref());
        bonds.filter(|bond| bond.state == State::Bound && is_held(&bond.name())).count()
    }

    /// How many links are one to a device.
    pub(crate) fn len(&self) -> usize {
        self.links.values().filter(|place| place.bond.is_some()).count()
    }

    /// How many of these come from a group.
    fn of_group(&self, group: Group) -> usize {
        self.links.values().filter(|place| place.bond.is_some() && place.group == group).count()
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>().saturating_add(self.links.len().saturating_mul(size_of::<(PipeId, Place)>()))
    }

    /// Whether no link is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

impl Place {
    const fn new(group: Group, now: Time) -> Self {
        Self { group, last: now, is_warned: false, is_asked: false, has_given: false, bond: None }
    }
}

impl Bond {
    const fn answer(&self) -> Option<Bound> {
        let status = match self.state {
            State::Dialling => return None,
            State::Bound => Status::Bound,
            State::Unreachable => Status::Unreachable,
        };
        Some(Bound { status, sequence: Some(self.sequence) })
    }

    /// What it leans on.
    const fn name(&self) -> Name {
        Name { home: self.home, scope: self.scope, slot: Slot::Address(self.device) }
    }
}
