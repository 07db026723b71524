//! When a node begins to serve others, and when it ends (spec: DHT-125 to DHT-128).

use core::net::SocketAddr;
use core::time::Duration;

use super::{Facts, Outcome};
use crate::dht::realm::Realm;
use crate::dht::table::Mode;
use crate::time::Time;

/// Whether a node may serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Choice {
    /// As soon as it can.
    Auto,
    /// It only asks.
    Never,
}

/// Why a node serves no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// Its sockets are others.
    Rebound,
    /// It is not to.
    Never,
    /// Two servers have had somebody knock, and nobody got through.
    Unreachable,
    /// It is at another ip, and so another node.
    Moved,
}

/// In a hard realm nobody serves before it has been up for so long.
pub(super) const UPTIME: Duration = Duration::from_secs(600);
/// Whoever has heard nobody for so long after its start does not wait for entry peers.
const ALONE: Duration = Duration::from_secs(5);

/// Whether the node served before its restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resume {
    No,
    /// At this address: the first word on the own address decides.
    At(SocketAddr),
    /// There it still is.
    Now,
}

/// The state of the role. 80 bytes.
#[derive(Debug)]
pub(super) struct Role {
    choice: Choice,
    is_serving: bool,
    /// It has ended, which is still to be told.
    ends: Option<Ended>,
    /// Since the start, or since the sockets are these.
    began: Time,
    has_entries: bool,
    has_reply: bool,
    has_looked: bool,
    /// Nobody got through: in a soft realm too a dial-back is wanted.
    has_failed: bool,
    resume: Resume,
    /// The ip that the role is for.
    at: Option<SocketAddr>,
}

impl Role {
    pub(super) const fn new(choice: Choice, now: Time) -> Self {
        Self {
            choice,
            is_serving: false,
            ends: None,
            began: now,
            has_entries: false,
            has_reply: false,
            has_looked: false,
            has_failed: false,
            resume: Resume::No,
            at: None,
        }
    }

    pub(super) const fn serves(&self) -> bool {
        self.is_serving && self.ends.is_none()
    }

    pub(super) const fn choice(&self) -> Choice {
        self.choice
    }

    /// Whether a dial-back is what is missing, in a soft realm too.
    pub(super) const fn wants_proof(&self) -> bool {
        self.has_failed
    }

    /// It served until the process ended: there, or, where the address plays no part, anywhere.
    pub(super) const fn resume(&mut self, at: Option<SocketAddr>) {
        self.resume = match at {
            Some(at) => Resume::At(at),
            None => Resume::Now,
        };
    }

    /// Where it serves, or will as soon as it is sure to be there still: `None` if nowhere. `at` is where it is now.
    pub(super) const fn serves_at(&self, at: Option<SocketAddr>) -> Option<Option<SocketAddr>> {
        match self.resume {
            Resume::At(before) => Some(Some(before)),
            Resume::Now => Some(at),
            Resume::No if self.serves() => Some(at),
            Resume::No => None,
        }
    }

    pub(super) fn set_choice(&mut self, choice: Choice) {
        self.choice = choice;
        if choice == Choice::Never {
            self.end(Ended::Never);
        }
    }

    pub(super) const fn set_entries(&mut self, are_some: bool) {
        self.has_entries = are_some;
    }

    pub(super) const fn on_reply(&mut self) {
        self.has_reply = true;
    }

    pub(super) const fn on_look_up_ended(&mut self) {
        self.has_looked = true;
    }

    /// The first word on where the node is; whether it is where it served before.
    pub(super) fn on_located(&mut self, at: SocketAddr, realm: Realm) -> bool {
        let Resume::At(before) = self.resume else { return false };
        let is_there = realm.is_one(before, at);
        self.resume = if is_there { Resume::Now } else { Resume::No };
        is_there
    }

    /// The node is at this address; whether it was at another ip before.
    pub(super) fn on_moved(&mut self, at: SocketAddr, realm: Realm) -> bool {
        let has_moved = realm.is_global() && self.at.is_some_and(|before| !realm.is_one(before, at));
        self.at = Some(at);
        if has_moved {
            self.end(Ended::Moved);
            self.has_failed = false;
        }
        has_moved
    }

    pub(super) fn on_rebound(&mut self, was_at: Option<SocketAddr>, realm: Realm, now: Time) {
        let resume = match (self.serves(), was_at) {
            (false, _) => self.resume,
            (true, Some(at)) if realm.is_global() => Resume::At(at),
            (true, _) => Resume::Now,
        };
        self.end(Ended::Rebound);
        *self = Self { resume, ends: self.ends, is_serving: self.is_serving, has_entries: self.has_entries, ..Self::new(self.choice, now) };
    }

    /// Nobody gets through.
    pub(super) fn on_unreachable(&mut self) {
        self.has_failed = true;
        self.end(Ended::Unreachable);
    }

    pub(super) fn due(&self, facts: Facts, now: Time) -> Option<Time> {
        if self.ends.is_some() {
            return Some(now);
        }
        self.begins_at(facts)
    }

    pub(super) fn next(&mut self, facts: Facts, now: Time) -> Option<Outcome> {
        if let Some(why) = self.ends.take() {
            self.is_serving = false;
            return Some(Outcome::EndServing(why));
        }
        self.begins_at(facts).filter(|at| *at <= now)?;
        self.is_serving = true;
        self.resume = Resume::No;
        Some(Outcome::BeginServing)
    }

    /// From when on it may serve, as things are; how it has begun is never asked again (spec: DHT-128).
    fn begins_at(&self, facts: Facts) -> Option<Time> {
        if self.is_serving || self.choice == Choice::Never || !facts.is_located {
            return None;
        }
        if self.resume == Resume::Now {
            return Some(self.began);
        }
        if facts.mode == Mode::Hard {
            return facts.is_proven.then_some(self.began + UPTIME);
        }
        if self.has_failed && !facts.is_proven {
            return None;
        }
        let is_free = self.has_looked || !self.has_entries;
        if is_free { Some(self.began) } else { (!self.has_reply).then_some(self.began + ALONE) }
    }

    fn end(&mut self, why: Ended) {
        self.resume = Resume::No;
        if self.is_serving {
            self.ends.get_or_insert(why);
        }
    }
}
