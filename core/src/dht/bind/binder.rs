//! To whom this device binds itself.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Bound, LinkName, Status};
use crate::dht::id;
use crate::dht::key::Key;
use crate::id::{NodeKey, PipeId};
use crate::time::Time;

/// Each bind is said again after this (spec: DHT-157).
const REFRESH: Duration = Duration::from_secs(45 * 60);
/// Changes are said at least so far apart, as they are put (spec: DHT-141).
const CHANGE_MIN: Duration = Duration::from_secs(15);
/// An answer that does not come within this is none (guess: a dial of ten seconds at the other end, and a slow network).
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// A node that could not be dialled, or had no room, is left alone for this long (guess).
const PAUSE: Duration = Duration::from_secs(10 * 60);
/// Nodes that are left alone; more push the oldest out.
const PAUSED_MAX: usize = 16;

/// How many nodes this device binds itself to (spec: DHT-157).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// Whose links cost its battery and its owner's money.
    Phone,
    Other,
}

impl Size {
    const fn links(self) -> usize {
        match self {
            Self::Phone => 2,
            Self::Other => 5,
        }
    }
}

/// What the glue is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Do {
    /// Open a service link; then [`Binder::on_up`] or [`Binder::on_failed`].
    Open { at: SocketAddr },
    /// Sign a bind for this link and say it; then [`Binder::on_bound`].
    Say { pipe: PipeId, link: LinkName },
    /// Say the device record on it, and the bind after it.
    Deposit { pipe: PipeId, link: LinkName },
    /// Close the link: it is not who was meant, or no longer needed.
    Close { pipe: PipeId },
    /// This node holds a newer address record of this device: publish again.
    Older { sequence: Option<u64> },
    /// This node's clock is more than ten minutes off ours.
    Clock,
}

/// Keeps links to the nodes that keep the own home.
pub(crate) struct Binder {
    size: Size,
    /// Nearest first.
    nodes: Vec<Node>,
    paused: Vec<(SocketAddr, Time)>,
    out: Vec<Do>,
}

#[derive(Debug)]
struct Node {
    id: Key,
    at: SocketAddr,
    state: State,
    has_deposited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    New,
    Opening,
    Up { pipe: PipeId, link: LinkName, said: Option<Time>, due: Time, is_asked: bool },
}

impl Binder {
    /// Without links.
    pub(crate) const fn new(size: Size) -> Self {
        Self { size, nodes: Vec::new(), paused: Vec::new(), out: Vec::new() }
    }

    /// Who keeps the home now, nearest first: links to others are closed, as long as there are enough of these.
    pub(crate) fn on_looked(&mut self, nearest: &[(Key, SocketAddr)], now: Time) {
        self.paused.retain(|(_, until)| *until > now);
        let is_free = |at: SocketAddr| self.paused.iter().all(|(paused, _)| *paused != at);
        let chosen: Vec<_> = nearest.iter().filter(|(_, at)| is_free(*at)).take(self.size.links()).copied().collect();
        if chosen.is_empty() {
            return;
        }
        let mut before = core::mem::take(&mut self.nodes);
        for (id, at) in chosen {
            let known = before.iter().position(|node| (node.id, node.at) == (id, at)).map(|index| before.swap_remove(index));
            self.nodes.push(known.unwrap_or(Node { id, at, state: State::New, has_deposited: false }));
        }
        self.out.extend(before.iter().filter_map(Node::pipe).map(|pipe| Do::Close { pipe }));
    }

    /// A link that was asked for is up, and its handshake has proven this key. Who has another id than the one that was looked up
    /// is not who was meant (spec: DHT-157).
    pub(crate) fn on_up(&mut self, at: SocketAddr, pipe: PipeId, key: NodeKey, hash: [u8; 32], now: Time) {
        let node = self.nodes.iter_mut().find(|node| node.at == at && node.state == State::Opening);
        let Some(node) = node.filter(|node| id::is_of(&node.id, &key, at)) else {
            self.out.push(Do::Close { pipe });
            return self.on_failed(at, now);
        };
        let link = LinkName { tracker: key, hash };
        node.state = State::Up { pipe, link, said: None, due: now, is_asked: false };
    }

    /// No link came about.
    pub(crate) fn on_failed(&mut self, at: SocketAddr, now: Time) {
        if self.nodes.iter().any(|node| node.at == at && node.state == State::Opening) {
            self.leave(at, now);
        }
    }

    /// A link has ended.
    pub(crate) fn on_closed(&mut self, pipe: PipeId, now: Time) {
        if let Some(at) = self.nodes.iter().find(|node| node.pipe() == Some(pipe)).map(|node| node.at) {
            self.leave(at, now);
        }
    }

    /// The own address record is another.
    pub(crate) fn on_changed(&mut self, now: Time) {
        for node in &mut self.nodes {
            if let State::Up { said, due, is_asked: false, .. } = &mut node.state {
                *due = said.map_or(now, |said| now.max(said + CHANGE_MIN));
            }
        }
    }

    /// A bind was answered.
    pub(crate) fn on_bound(&mut self, pipe: PipeId, bound: Bound, now: Time) {
        let Some(node) = self.nodes.iter_mut().find(|node| node.pipe() == Some(pipe)) else { return };
        let (at, has_deposited) = (node.at, node.has_deposited);
        let State::Up { link, said, due, is_asked, .. } = &mut node.state else { return };
        if !core::mem::take(is_asked) {
            return;
        }
        match bound.status {
            Status::Bound | Status::Unreachable => {
                *due = said.map_or(now, |said| said + REFRESH);
                node.has_deposited = false;
            }
            Status::NoDevice if !has_deposited => {
                (*is_asked, *said, *due) = (true, Some(now), now + ANSWER_MAX);
                node.has_deposited = true;
                let link = *link;
                self.out.push(Do::Deposit { pipe, link });
            }
            Status::Older => {
                *due = now + CHANGE_MIN;
                self.out.push(Do::Older { sequence: bound.sequence });
            }
            Status::Clock => {
                *due = now + REFRESH;
                self.out.push(Do::Clock);
            }
            Status::Often => *due = now + CHANGE_MIN,
            Status::Proof | Status::Delegation | Status::NoDevice | Status::Far | Status::Full => {
                self.out.push(Do::Close { pipe });
                self.leave(at, now);
            }
        }
    }

    /// What to do next; to be called until there is nothing.
    pub(crate) fn next(&mut self, now: Time) -> Option<Do> {
        if !self.out.is_empty() {
            return Some(self.out.remove(0));
        }
        for node in &mut self.nodes {
            match &mut node.state {
                State::New => {
                    node.state = State::Opening;
                    return Some(Do::Open { at: node.at });
                }
                State::Up { pipe, is_asked: true, due, .. } if *due <= now => {
                    let (pipe, at) = (*pipe, node.at);
                    self.leave(at, now);
                    return Some(Do::Close { pipe });
                }
                State::Up { pipe, link, said, due, is_asked: is_asked @ false } if *due <= now => {
                    (*said, *is_asked, *due) = (Some(now), true, now + ANSWER_MAX);
                    return Some(Do::Say { pipe: *pipe, link: *link });
                }
                State::Opening | State::Up { .. } => {}
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
            State::Up { due, .. } => Some(due),
        };
        self.nodes.iter().filter_map(of).min()
    }

    /// Whether another look at who keeps the home may find nodes to bind to.
    pub(crate) fn wants_nodes(&self) -> bool {
        self.nodes.len() < self.size.links()
    }

    /// This node is not bound to, nor tried for a while.
    fn leave(&mut self, at: SocketAddr, now: Time) {
        self.nodes.retain(|node| node.at != at);
        if self.paused.len() >= PAUSED_MAX {
            self.paused.remove(0);
        }
        self.paused.push((at, now + PAUSE));
    }
}

impl Node {
    const fn pipe(&self) -> Option<PipeId> {
        match self.state {
            State::Up { pipe, .. } => Some(pipe),
            State::New | State::Opening => None,
        }
    }
}
