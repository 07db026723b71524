//! What a node knows of itself in one realm: where it is, whether strangers reach it, and so whether it serves them.
//!
//! It holds no timer and sends nothing: what happened goes in, what follows comes out of [`Reach::next`].

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;

use super::id::{self, Variant};
use super::key::Key;
use super::realm::Realm;
use super::table::Mode;
use crate::address::{Scope, is_lasting, plain_socket};
use crate::id::NodeKey;
use crate::rng::Rng;
use crate::time::Time;

mod contacted;
mod dial_back;
mod hold;
mod role;
mod stored;
mod votes;

#[cfg(test)]
mod tests;

pub(crate) use role::{Choice, Ended};
pub(crate) use votes::Known;

use contacted::{ASKED, Contacted, SPOKEN_TO};
use dial_back::DialBack;
use hold::Hold;
use role::Role;
use votes::{Leader, Votes};

/// What follows from what happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The own address is known, or is another: [`Reach::id`] says the id to put the table around.
    Moved,
    /// The table is soft or hard from now on (spec: DHT-54).
    Mode(Mode),
    /// Whether the address is fit to be told to everybody has changed.
    Fit(bool),
    /// Answer everything from now on, and say the id.
    BeginServing,
    /// Answer nothing but pings from now on.
    EndServing(Ended),
    /// Ask a verified node for a `probe`, one whose group is not that of `except` ([`knock::pick`](super::knock::pick)).
    Probe { except: Option<SocketAddr> },
}

/// Somebody has asked us something, whatever it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) from: SocketAddr,
    /// Whether it showed a cookie that holds, or is a verified node of the table or a leaf.
    pub(crate) is_known: bool,
}

/// One realm's view of the node itself. About 300 bytes, and at most 6 KiB of heap.
pub(crate) struct Reach {
    realm: Realm,
    variant: Variant,
    /// Configured, or an interface's: known without asking anybody.
    fixed: Option<SocketAddr>,
    /// What votes say.
    voted: Option<SocketAddr>,
    votes: Votes,
    /// It has won in a hard table so that nobody need doubt it.
    is_voted_surely: bool,
    hold: Hold,
    contacted: Contacted<ASKED>,
    /// Replies are among it.
    spoken_to: Contacted<SPOKEN_TO>,
    /// Who was asked last where this node is, because they asked it something.
    asked_where: Option<(SocketAddr, Time)>,
    known: Known,
    /// Since when anybody verified has been known all the time.
    known_since: Option<Time>,
    /// Nodes of 64 groups were verified once: from then on the table is hard (spec: DHT-54).
    has_held_64: bool,
    role: Role,
    dial_back: DialBack,
    /// What was told last.
    told_address: Option<SocketAddr>,
    told_mode: Mode,
    told_fit: bool,
}

/// From so many groups on a table is hard, and from so many on for ever (spec: DHT-54).
const HARD_GROUPS: usize = 16;
const HELD_GROUPS: usize = 64;
/// After this who knows fewer is taken to know all (guess: twenty times what the first look-ups take).
const SETTLED: Duration = Duration::from_secs(600);
/// Who was asked where this node is, in vain, is asked once more when they come again after this (guess: an entry peer that does not
/// serve is pinged several times in some minutes).
const ASK_AGAIN: Duration = Duration::from_secs(60);

impl Reach {
    /// Of a node that starts now. Draws its variant; allocates nothing yet.
    pub(crate) fn new(realm: Realm, choice: Choice, rng: &mut Rng, now: Time) -> Self {
        let [drawn, ..] = rng.array::<1>();
        Self {
            realm,
            variant: Variant::from_low_bits(drawn),
            fixed: None,
            voted: None,
            votes: Votes::default(),
            is_voted_surely: false,
            hold: Hold::default(),
            contacted: Contacted::new([rng.u64(), rng.u64()]),
            spoken_to: Contacted::new([rng.fork("spoken to", 0).u64(), rng.fork("spoken to", 1).u64()]),
            asked_where: None,
            known: Known::default(),
            known_since: None,
            has_held_64: false,
            role: Role::new(choice, now),
            dial_back: DialBack::new(now),
            told_address: None,
            told_mode: Mode::Soft,
            told_fit: false,
        }
    }

    /// Where others find this node, as far as it is known. The ip is sure, the port the likeliest.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.fixed.or(self.voted)
    }

    /// The own id; `None` in a global realm as long as the address is not known (spec: DHT-120). One or two hashes.
    pub(crate) fn id(&self, key: &NodeKey) -> Option<Key> {
        // Elsewhere the address plays no part.
        let at = if self.realm.is_global() { self.address()? } else { nominal(self.realm) };
        id::node_id(key, at, self.variant)
    }

    /// The id that it had where it served when its process ended, as long as nobody has said whether it is there still.
    pub(crate) fn id_before(&self, key: &NodeKey) -> Option<Key> {
        let at = self.role.serves_at(None)?.filter(|_| self.realm.is_global())?;
        id::node_id(key, at, self.variant)
    }

    /// Soft or hard (spec: DHT-54).
    pub(crate) fn mode(&self) -> Mode {
        let is_hard = self.realm.is_global() && (self.has_held_64 || self.known.groups >= HARD_GROUPS);
        if is_hard { Mode::Hard } else { Mode::Soft }
    }

    /// Whether the node serves in this realm: says its id, and answers more than pings.
    pub(crate) const fn serves(&self) -> bool {
        self.role.serves()
    }

    /// Whether it is to serve as soon as it can.
    pub(crate) fn may_serve(&self) -> bool {
        self.role.choice() == Choice::Auto
    }

    /// Whether it knows where it is, as far as it has to.
    pub(crate) fn is_located(&self) -> bool {
        !self.realm.is_global() || self.address().is_some()
    }

    /// Whether anybody verified has had a word on where it is, as far as it has to know: the first stranger alone might lie.
    fn is_sure(&self) -> bool {
        !self.realm.is_global() || self.fixed.is_some() || (self.voted.is_some() && self.known.blocks > 0)
    }

    /// Whether the own address is fit to be told to everybody: in a hard realm strangers were seen to get through since the node is where it is
    /// (spec: DHT-123), and those who say that it is there leave no doubt (spec: DHT-122).
    pub(crate) fn is_fit(&self) -> bool {
        let is_sure = self.fixed.is_some() || self.is_voted_surely;
        self.address().is_some() && (self.mode() == Mode::Soft || (is_sure && self.dial_back.is_proven()))
    }

    /// The address that was configured for this realm or is a global one of an interface; another realm's or one that
    /// does not last is taken for none. It is never voted on (spec: DHT-121).
    pub(crate) fn set_fixed(&mut self, at: Option<SocketAddr>, now: Time) {
        self.fixed = at.map(plain_socket).filter(|at| Realm::of(*at) == Some(self.realm) && is_lasting(*at));
        if let Some(at) = self.fixed {
            self.role.on_located(at, self.realm);
        }
        self.move_if(now);
    }

    /// Whether the node may serve at all.
    pub(crate) fn set_choice(&mut self, choice: Choice, now: Time) {
        match (self.role.choice(), choice) {
            (Choice::Auto, Choice::Never) => {
                self.contacted.clear();
                self.spoken_to.clear();
            }
            (Choice::Never, Choice::Auto) => self.contacted.begin(now),
            (Choice::Auto, Choice::Auto) | (Choice::Never, Choice::Never) => {}
        }
        self.role.set_choice(choice);
    }

    /// Whether there are entry peers: without any, nobody is waited for (spec: DHT-125).
    pub(crate) fn set_entries(&mut self, are_some: bool) {
        self.role.set_entries(are_some);
    }

    /// Of how many networks the table knows nodes; to be said whenever it has changed.
    pub(crate) fn set_known(&mut self, known: Known, now: Time) {
        self.known = known;
        self.known_since = if known.blocks == 0 { None } else { self.known_since.or(Some(now)) };
        self.has_held_64 |= self.realm.is_global() && known.groups >= HELD_GROUPS;
        self.count(now);
    }

    /// The sockets are others than before: as after a restart, with what is known now (spec: DHT-128).
    pub(crate) fn on_rebound(&mut self, now: Time) {
        let was_at = self.address();
        self.role.on_rebound(was_at, self.realm, now);
        self.dial_back.forget(now);
        self.contacted.clear();
        self.spoken_to.clear();
        self.votes.clear();
        self.hold = Hold::default();
        (self.voted, self.fixed, self.is_voted_surely) = (None, None, false);
    }

    /// A request of ours was answered, perhaps saying where it came from.
    pub(crate) fn on_reply(&mut self, from: SocketAddr, seen: Option<SocketAddr>, now: Time) {
        self.role.on_reply();
        let Some(seen) = seen else { return };
        if self.votes.put(from, seen, self.realm, now) {
            if self.role.on_located(plain_socket(seen), self.realm) {
                self.voted = Some(plain_socket(seen));
                self.move_if(now);
            }
            self.count(now);
        }
    }

    /// The first look-up of the own id has ended, however (spec: DHT-125).
    pub(crate) const fn on_look_up_ended(&mut self) {
        self.role.on_look_up_ended();
    }

    /// A datagram goes out to somebody, of whatever kind.
    pub(crate) fn on_sent(&mut self, to: SocketAddr, now: Time) {
        if self.role.choice() == Choice::Auto {
            self.contacted.put(to, self.realm, now);
            self.spoken_to.put(to, self.realm, now);
        }
    }

    /// A request was answered. That keeps a way open that there was already, so that who was known goes on being so; who was a stranger has
    /// come through where there was none, and forged ones are not remembered. O(1).
    pub(crate) fn on_replied(&mut self, to: SocketAddr, is_of_table: bool, now: Time) {
        if self.role.choice() == Choice::Never {
            return;
        }
        self.spoken_to.put(to, self.realm, now);
        if is_of_table || self.contacted.is_known(to, self.realm, now) {
            self.contacted.put(to, self.realm, now);
        }
    }

    /// Whether something, replies included, was sent to this address within ten minutes; may be wrong about a stranger, and knows of nobody
    /// if too many strangers would be taken for known. A client knows of nobody.
    pub(crate) fn has_contacted(&mut self, at: SocketAddr, now: Time) -> bool {
        self.spoken_to.is_known(at, self.realm, now) || self.contacted.is_known(at, self.realm, now)
    }

    /// A request came in. Whether its sender is to be asked where this node is, if the budget allows: so it learns its address from whoever
    /// finds it first (spec: DHT-124).
    pub(crate) fn on_request(&mut self, heard: Heard, now: Time) -> bool {
        if self.role.choice() == Choice::Never || Realm::of(plain_socket(heard.from)) != Some(self.realm) {
            return false;
        }
        let is_stranger = self.contacted.is_stranger(heard.from, self.realm, now);
        self.dial_back.on_request(heard, is_stranger, self.role.serves(), self.realm, now);
        let is_again = self.asked_where.is_some_and(|(of, at)| of == heard.from && now.since(at) >= ASK_AGAIN);
        (is_stranger || is_again) && !self.is_sure()
    }

    /// Its sender was asked.
    pub(crate) const fn on_where_asked(&mut self, of: SocketAddr, now: Time) {
        self.asked_where = Some((of, now));
    }

    /// A `probe` was asked of `of`.
    pub(crate) const fn on_probe_sent(&mut self, of: SocketAddr) {
        self.dial_back.on_sent(of);
    }

    /// It was answered: so its server has had somebody knock.
    pub(crate) fn on_probe_answer(&mut self, of: SocketAddr, now: Time) {
        self.dial_back.on_answer(of, now);
    }

    /// It was refused or not answered, which says nothing. With nobody to ask, nothing need be said.
    pub(crate) fn on_probe_refused(&mut self, of: SocketAddr) {
        self.dial_back.on_refused(of);
    }

    /// Bytes of heap: at most 6 KiB.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.votes.heap_bytes().saturating_add(self.contacted.heap_bytes()).saturating_add(self.spoken_to.heap_bytes())
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        if self.told_address != self.address() || self.told_mode != self.mode() || self.told_fit != self.is_fit() {
            return Some(now);
        }
        let facts = self.facts();
        [self.role.due(facts, now), self.dial_back.due(facts), self.hold.due()].into_iter().flatten().min()
    }

    /// What follows; to be asked until nothing does. The id comes before the role that it is for.
    pub(crate) fn next(&mut self, now: Time) -> Option<Outcome> {
        if self.hold.due().is_some_and(|due| due <= now) {
            self.count(now);
        }
        if self.told_address != self.address() {
            self.told_address = self.address();
            return Some(Outcome::Moved);
        }
        if self.told_mode != self.mode() {
            self.told_mode = self.mode();
            return Some(Outcome::Mode(self.told_mode));
        }
        if self.dial_back.has_failed(now) {
            self.role.on_unreachable();
        }
        if self.told_fit != self.is_fit() {
            self.told_fit = self.is_fit();
            return Some(Outcome::Fit(self.told_fit));
        }
        let facts = self.facts();
        if let Some(outcome) = self.role.next(facts, now) {
            self.dial_back.on_role(facts.mode, now);
            return Some(outcome);
        }
        self.dial_back.next(self.facts(), now).map(|except| Outcome::Probe { except })
    }

    /// Counts the votes. As long as nobody has won surely, liars win as often as they like: they do not move the node as often.
    fn count(&mut self, now: Time) {
        let (mode, blocks) = (self.mode(), self.known.blocks);
        let leader = self.votes.leader(now);
        let may_be_sure = mode == Mode::Hard && self.is_settled(now);
        let is_elsewhere = |leader: &Leader| self.voted.is_some_and(|voted| !self.realm.is_one(voted, leader.at));
        let is_sure = leader.is_some_and(|leader| may_be_sure && leader.is_sure(blocks));
        let has_won = |leader: &Leader| match mode {
            Mode::Hard if self.is_voted_surely && is_elsewhere(leader) => may_be_sure && leader.is_surer(blocks),
            Mode::Hard | Mode::Soft => leader.has_won(mode, blocks),
        };
        let winner = leader.filter(has_won);
        if !winner.as_ref().is_some_and(is_elsewhere) {
            self.hold.on_stay();
        } else if is_sure || self.hold.lets_move(now) {
            self.hold.on_move(now);
            self.is_voted_surely = false;
        } else {
            return;
        }
        if let Some(winner) = winner {
            self.voted = Some(winner.at);
            self.is_voted_surely |= is_sure;
            self.move_if(now);
        }
    }

    /// Whether those who are known are as many as there are to be known, as far as that can be said: who comes back with a table that was hard, or hears
    /// others again, knows one of them first, who might lie.
    fn is_settled(&self, now: Time) -> bool {
        self.known.groups >= HARD_GROUPS || self.known_since.is_some_and(|since| now.since(since) >= SETTLED)
    }

    /// At another ip the node is another one.
    fn move_if(&mut self, now: Time) {
        let Some(at) = self.address() else { return };
        if self.role.on_moved(at, self.realm) {
            self.dial_back.forget(now);
        }
    }

    fn facts(&self) -> Facts {
        Facts {
            mode: self.mode(),
            is_located: self.is_located(),
            is_proven: self.dial_back.is_proven(),
            serves: self.serves(),
            wants_proof: self.role.wants_proof(),
            is_auto: self.may_serve(),
        }
    }
}

/// What the parts must know of each other.
#[derive(Clone, Copy, Debug)]
struct Facts {
    mode: Mode,
    is_located: bool,
    is_proven: bool,
    serves: bool,
    /// The node would serve if somebody got through to it.
    wants_proof: bool,
    /// It may serve.
    is_auto: bool,
}

/// Any address of a realm that is not global.
const fn nominal(realm: Realm) -> SocketAddr {
    let ip = match (realm.scope, realm.is_v6) {
        (Scope::Loopback, false) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        (Scope::Loopback, true) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        (_, false) => IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        (_, true) => IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1)),
    };
    SocketAddr::new(ip, 1)
}
