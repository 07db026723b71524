//! The links over which devices are bound here.

use alloc::collections::BTreeMap;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Bind, Bound, Here, Status};
use crate::dht::key::Key;
use crate::id::{DeviceId, PipeId};
use crate::time::Time;

/// How many are bound at once (spec: DHT-156).
const BINDS_MAX: usize = 64;
/// How far apart binds on one link are taken (spec: DHT-156).
const EACH_MIN: Duration = Duration::from_secs(5);

/// What is to be done with a bind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Answer. If it `keeps`, the record is to be stored and spread, as one that the owner has put here.
    Answer { bound: Bound, keeps: bool },
    /// Store and spread the record, see once whether somebody takes a pipe there, and call [`Binds::on_dialled`].
    Dial { to: SocketAddr },
}

/// Who is bound over which link. No heap while there is nobody.
#[derive(Debug, Default)]
pub(crate) struct Binds {
    links: BTreeMap<PipeId, Place>,
}

#[derive(Debug)]
struct Place {
    home: Key,
    device: DeviceId,
    sequence: u64,
    /// Where a dial went, and what came of it.
    claimed: Option<SocketAddr>,
    state: State,
    last: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Dialling,
    Bound,
    Unreachable,
}

impl Binds {
    /// A bind came over a link.
    pub(crate) fn on_bind(&mut self, pipe: PipeId, bind: &Bind, here: &Here<'_>, now: Time) -> Step {
        let before = self.links.get(&pipe);
        let refuse = |status| Step::Answer { bound: Bound { status, sequence: here.number }, keeps: false };
        if before.is_some_and(|place| place.state == State::Dialling || now.since(place.last) < EACH_MIN) {
            return refuse(Status::Often);
        }
        if before.is_none() && self.links.len() >= BINDS_MAX {
            return refuse(Status::Full);
        }
        if let Err(status) = bind.check(here) {
            return refuse(status);
        }
        let sequence = bind.record.sequence();
        let wants = bind.proof.port != 0;
        let claimed = bind.claimed(here.remote);
        let known = before.filter(|place| place.claimed == claimed && place.device == bind.proof.device && place.home == bind.home);
        let state = match (wants, claimed, known) {
            (false, ..) => State::Bound,
            (true, None, _) => State::Unreachable,
            // A claim is looked at once a link.
            (true, Some(_), Some(place)) => place.state,
            (true, Some(_), None) => State::Dialling,
        };
        // A device is where it bound last.
        self.links.retain(|other, place| *other == pipe || (place.home, place.device) != (bind.home, bind.proof.device));
        let place = Place { home: bind.home, device: bind.proof.device, sequence, claimed, state, last: now };
        let answer = place.answer();
        self.links.insert(pipe, place);
        match (answer, claimed) {
            (None, Some(to)) => Step::Dial { to },
            (answer, _) => {
                Step::Answer { bound: answer.unwrap_or(Bound { status: Status::Unreachable, sequence: Some(sequence) }), keeps: true }
            }
        }
    }

    /// Somebody took a pipe where it was dialled, or nobody; the answer to the bind.
    pub(crate) fn on_dialled(&mut self, pipe: PipeId, is_reached: bool) -> Option<Bound> {
        let place = self.links.get_mut(&pipe).filter(|place| place.state == State::Dialling)?;
        place.state = if is_reached { State::Bound } else { State::Unreachable };
        place.answer()
    }

    /// The link has ended. The record stays until its own end.
    pub(crate) fn on_closed(&mut self, pipe: PipeId) {
        self.links.remove(&pipe);
    }

    /// The device's delegation has ended or was taken back.
    pub(crate) fn forget(&mut self, home: &Key, device: DeviceId) {
        self.links.retain(|_, place| (place.home, place.device) != (*home, device));
    }

    /// The links to devices of a home, to which what lies there can be pushed.
    pub(crate) fn of<'a>(&'a self, home: &'a Key) -> impl Iterator<Item = (DeviceId, PipeId)> + 'a {
        let bound = self.links.iter().filter(|(_, place)| place.state == State::Bound && place.home == *home);
        bound.map(|(pipe, place)| (place.device, *pipe))
    }

    /// How many links are taken.
    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }
}

impl Place {
    const fn answer(&self) -> Option<Bound> {
        let status = match self.state {
            State::Dialling => return None,
            State::Bound => Status::Bound,
            State::Unreachable => Status::Unreachable,
        };
        Some(Bound { status, sequence: Some(self.sequence) })
    }
}
