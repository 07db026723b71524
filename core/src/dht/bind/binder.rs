//! To whom this device binds itself.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Bound, LinkName, Status};
use crate::dht::id;
use crate::dht::key::Hint;
use crate::dht::realm::Realm;
use crate::dht::wire::Contact;
use crate::id::{NodeKey, PipeId};
use crate::time::Time;

/// Each bind is said again after this (spec: DHT-157).
const REFRESH: Duration = Duration::from_secs(45 * 60);
/// Changes are said at least so far apart, as they are put (spec: DHT-141).
const CHANGE_MIN: Duration = Duration::from_secs(15);
/// An answer that does not come within this is none (guess: a dial of ten seconds at the other end, and a slow network).
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A node whose link has ended is tried again after this, if it had taken a bind or the link was replaced.
const AGAIN: Duration = Duration::from_secs(15);
/// Any other that could not be dialled, or had no room, is left alone for this long (guess).
const PAUSE: Duration = Duration::from_secs(10 * 60);
/// Nodes that are known to keep the home: as many as own records are put to (spec: DHT-142).
const KNOWN_MAX: usize = 16;
/// Nodes that are left alone; more push the oldest out.
const PAUSED_MAX: usize = 16;

/// What the glue is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    /// Open a service link, or take one that this node has dialled; then [`Binder::on_up`] or [`Binder::on_failed`].
    Open { to: Contact },
    /// Sign a bind for this link and say it; then [`Binder::on_bound`].
    Say { pipe: PipeId, link: LinkName },
    /// Say the device record on it, and the bind after it.
    Deposit { pipe: PipeId, link: LinkName },
    /// Close the link: it is not who was meant, or no longer needed.
    Close { pipe: PipeId },
    /// Somebody holds a newer address record of this device: look for it.
    Older,
}

/// Keeps links to the nodes that keep the own home, in one realm.
pub(crate) struct Binder {
    home: Hint,
    realm: Realm,
    /// How many there are to be.
    links: usize,
    /// Who keeps the home, the best first.
    known: Vec<Contact>,
    nodes: Vec<Node>,
    paused: Vec<(SocketAddr, Time)>,
    /// The number of the own address record.
    number: Option<u64>,
    out: VecDeque<Do>,
}

struct Node {
    to: Contact,
    state: State,
    has_deposited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Opening,
    Up(Up),
}

/// A link that is up, and what was said on it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Up {
    pipe: PipeId,
    link: LinkName,
    /// It was opened for binding alone.
    is_own: bool,
    /// When a bind was said last, and the number of its record.
    said: Option<(Time, Option<u64>)>,
    due: Time,
    is_asked: bool,
    is_bound: bool,
}

impl Binder {
    /// Without links; `home` is the own one.
    pub(crate) const fn new(home: Hint, realm: Realm, links: usize) -> Self {
        Self { home, realm, links, known: Vec::new(), nodes: Vec::new(), paused: Vec::new(), number: None, out: VecDeque::new() }
    }

    /// In which realm it binds.
    pub(crate) const fn realm(&self) -> Realm {
        self.realm
    }

    /// Whether it has no link, and none is being opened.
    pub(crate) fn is_idle(&self) -> bool {
        self.nodes.iter().all(|node| node.state == State::New)
    }

    /// Who keeps the home now, the best first: links to others are closed. Whoever has a link is there, whether it has answered
    /// this time or not.
    pub(crate) fn on_looked(&mut self, nearest: &[Contact], now: Time) {
        if nearest.is_empty() {
            return;
        }
        self.known = nearest.iter().take(KNOWN_MAX).copied().collect();
        for node in self.nodes.iter().filter(|node| node.up().is_some()) {
            let is_farther = |other: &Contact| other.hint.distance(self.home) > node.to.hint.distance(self.home);
            let place =
                self.known.iter().take(self.links).position(is_farther).or((self.known.len() < self.links).then_some(self.known.len()));
            if let Some(place) = place.filter(|_| self.known.iter().all(|known| known.at != node.to.at)) {
                self.known.insert(place, node.to);
            }
        }
        self.known.truncate(KNOWN_MAX);
        let chosen: Vec<Contact> = self.known.iter().filter(|known| !self.is_paused(known.at, now)).take(self.links).copied().collect();
        let out = &mut self.out;
        self.nodes.retain(|node| {
            let stays = chosen.contains(&node.to);
            if !stays && let Some(up) = node.up().filter(|up| up.is_to_close()) {
                out.push_back(Do::Close { pipe: up.pipe });
            }
            stays
        });
    }

    /// A link that was asked for is up, and its handshake has proven this key; its own if it was opened for this. Who has another
    /// id than the one that was looked up is not who was meant (spec: DHT-157).
    pub(crate) fn on_up(&mut self, at: SocketAddr, pipe: PipeId, link: LinkName, is_own: bool, now: Time) {
        let node = self.nodes.iter_mut().find(|node| node.to.at == at && node.state == State::Opening);
        match node.filter(|node| is_at(&node.to, &link.tracker)) {
            Some(node) => {
                node.state = State::Up(Up { pipe, link, is_own, said: None, due: now, is_asked: false, is_bound: false });
            }
            None => {
                if is_own {
                    self.out.push_back(Do::Close { pipe });
                }
                self.on_failed(at, now);
            }
        }
    }

    /// No link came about.
    pub(crate) fn on_failed(&mut self, at: SocketAddr, now: Time) {
        if self.nodes.iter().any(|node| node.to.at == at && node.state == State::Opening) {
            self.leave(at, now + PAUSE);
        }
    }

    /// All dials were given up.
    pub(crate) fn on_stopped(&mut self, now: Time) {
        let opening: Vec<SocketAddr> = self.nodes.iter().filter(|node| node.state == State::Opening).map(|node| node.to.at).collect();
        for at in opening {
            self.leave(at, now + AGAIN);
        }
    }

    /// A link has ended; whether another one took its place at the other end.
    pub(crate) fn on_closed(&mut self, pipe: PipeId, is_replaced: bool, now: Time) {
        if let Some((at, up)) = self.nodes.iter().find_map(|node| Some((node.to.at, node.up().filter(|up| up.pipe == pipe)?))) {
            self.leave(at, now + if up.is_bound || is_replaced { AGAIN } else { PAUSE });
        }
    }

    /// The number of the own address record.
    pub(crate) fn on_record(&mut self, number: Option<u64>, now: Time) {
        if core::mem::replace(&mut self.number, number) == number {
            return;
        }
        for up in self.nodes.iter_mut().filter_map(Node::up_mut).filter(|up| !up.is_asked) {
            // What was said last is what there is now, if it was signed for that.
            if let Some((said, _)) = up.said.filter(|(_, of)| *of != number) {
                up.due = now.max(said + CHANGE_MIN);
            }
        }
    }

    /// The clock was set: who did not take a bind may have refused its time.
    pub(crate) fn on_clock(&mut self, now: Time) {
        for up in self.nodes.iter_mut().filter_map(Node::up_mut).filter(|up| !up.is_asked && !up.is_bound) {
            up.due = up.said.map_or(now, |(said, _)| now.max(said + CHANGE_MIN));
        }
    }

    /// A bind was said with the record of this number, which may have been signed for it.
    pub(crate) fn on_said(&mut self, pipe: PipeId, number: u64, now: Time) {
        self.number = Some(number);
        if let Some(up) = self.nodes.iter_mut().filter_map(Node::up_mut).find(|up| up.pipe == pipe) {
            up.said = Some((now, Some(number)));
        }
    }

    /// A bind was answered; what nobody has asked for changes nothing.
    pub(crate) fn on_bound(&mut self, pipe: PipeId, bound: Bound, now: Time) {
        let number = self.number;
        let Some(node) = self.nodes.iter_mut().find(|node| node.up().is_some_and(|up| up.pipe == pipe && up.is_asked)) else { return };
        let (at, has_deposited) = (node.to.at, node.has_deposited);
        let Some(up) = node.up_mut() else { return };
        up.is_asked = false;
        // What was too soon has changed nothing.
        up.is_bound = bound.status == Status::Bound || up.is_bound && bound.status == Status::Often;
        let (said, of) = up.said.unwrap_or((now, number));
        let (is_own, link) = (up.is_own, up.link);
        match bound.status {
            Status::Bound | Status::Unreachable => {
                up.due = said + if of == number { REFRESH } else { CHANGE_MIN };
                node.has_deposited = false;
            }
            Status::NoDevice if !has_deposited => {
                (up.is_asked, up.said, up.due) = (true, Some((now, number)), now + ANSWER_MAX);
                node.has_deposited = true;
                self.out.push_back(Do::Deposit { pipe, link });
            }
            Status::Older => {
                up.due = now + REFRESH;
                self.out.push_back(Do::Older);
            }
            Status::Clock => up.due = now + REFRESH,
            Status::Often => up.due = now + CHANGE_MIN,
            Status::Proof | Status::Delegation | Status::NoDevice | Status::Far | Status::Full => {
                if is_own {
                    self.out.push_back(Do::Close { pipe });
                }
                self.leave(at, now + PAUSE);
            }
        }
    }

    /// What to do next; to be called until there is nothing.
    pub(crate) fn next(&mut self, now: Time) -> Option<Do> {
        if let Some(next) = self.out.pop_front() {
            return Some(next);
        }
        self.paused.retain(|(_, until)| *until > now);
        self.fill(now);
        let number = self.number;
        for node in &mut self.nodes {
            match &mut node.state {
                State::New => {
                    node.state = State::Opening;
                    return Some(Do::Open { to: node.to });
                }
                State::Up(up) if up.is_asked && up.due <= now => {
                    let (at, pipe) = (node.to.at, up.pipe);
                    self.leave(at, now + PAUSE);
                    return Some(Do::Close { pipe });
                }
                State::Up(up) if up.due <= now => {
                    (up.said, up.is_asked, up.due) = (Some((now, number)), true, now + ANSWER_MAX);
                    return Some(Do::Say { pipe: up.pipe, link: up.link });
                }
                State::Opening | State::Up(_) => {}
            }
        }
        None
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn due(&self) -> Option<Time> {
        if !self.out.is_empty() {
            return Some(Time::ZERO);
        }
        let of = |node: &Node| match node.state {
            State::New => Some(Time::ZERO),
            State::Opening => None,
            State::Up(up) => Some(up.due),
        };
        // A place is free for whoever is left alone no longer.
        let until = |at: SocketAddr| self.paused.iter().find(|(paused, _)| *paused == at).map_or(Time::ZERO, |(_, until)| *until);
        let spares = self.spares().filter(|_| self.nodes.len() < self.links).map(|spare| until(spare.at));
        self.nodes.iter().filter_map(of).chain(spares).min()
    }

    /// How many nodes have this device bound.
    pub(crate) fn bound(&self) -> usize {
        self.nodes.iter().filter(|node| node.up().is_some_and(|up| up.is_bound)).count()
    }

    /// How many links there are, or are being opened, for binding alone.
    pub(crate) fn own_links(&self) -> usize {
        self.nodes.iter().filter(|node| node.state == State::Opening || node.up().is_some_and(|up| up.is_own)).count()
    }

    /// What is to end with it: links, and addresses that are being dialled.
    pub(crate) fn into_links(self) -> (Vec<PipeId>, Vec<SocketAddr>) {
        let pipes = self.nodes.iter().filter_map(|node| node.up().filter(|up| up.is_to_close())).map(|up| up.pipe).collect();
        let dials = self.nodes.iter().filter(|node| node.state == State::Opening).map(|node| node.to.at).collect();
        (pipes, dials)
    }

    fn fill(&mut self, now: Time) {
        while self.nodes.len() < self.links {
            let Some(to) = self.spares().find(|spare| !self.is_paused(spare.at, now)).copied() else { return };
            self.nodes.push(Node { to, state: State::New, has_deposited: false });
        }
    }

    /// Who keeps the home and has no place.
    fn spares(&self) -> impl Iterator<Item = &Contact> {
        self.known.iter().filter(|known| self.nodes.iter().all(|node| node.to.at != known.at))
    }

    fn is_paused(&self, at: SocketAddr, now: Time) -> bool {
        self.paused.iter().any(|(paused, until)| *paused == at && *until > now)
    }

    /// This node is not bound to, nor tried until then.
    fn leave(&mut self, at: SocketAddr, until: Time) {
        self.nodes.retain(|node| node.to.at != at);
        self.paused.retain(|(paused, _)| *paused != at);
        if self.paused.len() >= PAUSED_MAX {
            self.paused.remove(0);
        }
        self.paused.push((at, until));
    }
}

impl Up {
    /// Whether the link must end if this device is not to be bound over it: it was opened for that, or the other end may say that
    /// the device is bound, as nothing but the link's end takes a bind back (spec: DHT-156).
    const fn is_to_close(&self) -> bool {
        self.is_own || self.is_bound || self.is_asked
    }
}

impl Node {
    const fn up(&self) -> Option<&Up> {
        if let State::Up(up) = &self.state { Some(up) } else { None }
    }

    const fn up_mut(&mut self) -> Option<&mut Up> {
        if let State::Up(up) = &mut self.state { Some(up) } else { None }
    }
}

/// Whether a node with this key is the one that was looked up.
pub(crate) fn is_at(to: &Contact, key: &NodeKey) -> bool {
    id::of_hint(key, to.at, to.hint).is_some()
}
