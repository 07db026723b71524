//! Pipes and the links on them: bytes to records to lines and back, the registry of who is linked, keep-alive.
//!
//! A line is written into its pipe's plaintext when it is said. It is sealed at the end of the event if the pipe has no
//! `Write` outstanding, else when `PipeWritten` gives credit; never because somebody polled, and not by a command (spec: LINK-7).

mod lines;
mod output;
mod pipe;
mod registry;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use crate::LinkPeer;
use crate::action::Action;
use crate::address::host;
use crate::close::CloseReason;
use crate::crypto::noise::link_name;
use crate::cx::Cx;
use crate::handshake::{Hx, Own, PREAMBLE_BYTES_MAX, State, Unit, Want};
use crate::id::{NodeKey, OpId, Peer, PipeId, UserId};
use crate::identity::{Delegation, Revocation};
use crate::message::Received;
use crate::time::Time;
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::view::LinkView;
use crate::wire::line::{Acknowledged, CloseLine, JoinLine, JoinedLine, Line, Resume, SearchAnswer};

pub(crate) use pipe::Link;
use pipe::{Pipe, Stage};

/// The largest sealed record (spec: LINK-2).
const RECORD_BYTES_MAX: usize = 16 << 10;
/// The longest line of an end that is not proven: a hello has 700 bytes (guess: room for what a later version may add).
const HELLO_BYTES_MAX: usize = 4 << 10;
/// How long a closed pipe may take to go (the shell's second, and one for the last write) (spec: LINK-6).
const LINGER_MS: u64 = 1_000;

/// What the node has to carry over to other machines.
pub(crate) enum Effect {
    /// A link is the one that its peer is reached on from now on; it may have ended since.
    Up { with: LinkPeer, pipe: PipeId, remote: SocketAddr, dialled: bool },
    /// A link that was up has ended; `ours` when this side closed it.
    Down { with: LinkPeer, pipe: PipeId, op: Option<OpId>, since: Time, why: CloseReason, ours: bool },
    /// A pipe ended before it was a peer's link.
    Refused { pipe: PipeId, op: Option<OpId>, remote: SocketAddr, dialled: bool, why: CloseReason },
    /// A message came.
    Message { pipe: PipeId, received: Received, disk: bool },
    /// Messages were taken at the other end.
    Acknowledged(PipeId, Acknowledged),
    /// Where the streams stand.
    Resume(PipeId, Box<Resume>),
    /// The delegation by which a peer was proven, checked just now.
    Proven(Box<Delegation>),
    /// The peer's delegation is a newer one.
    Delegation(PipeId, Box<Delegation>),
    /// A revocation came.
    Revocation { pipe: PipeId, user: UserId, revocation: Box<Revocation> },
    /// A search came; the line as it was sent.
    Search(PipeId, Box<str>),
    /// A search's answer came.
    SearchAnswer(PipeId, SearchAnswer),
    /// The peer says that it was invited.
    Join(PipeId, Box<JoinLine>),
    /// What became of a join of this node's.
    Joined(PipeId, JoinedLine),
    /// A device wants to be bound over a service link; what it said of it.
    Bind(PipeId, Box<str>),
    /// What became of a bind of this node's.
    Bound(PipeId, Box<str>),
    /// The record of a device that wants to be bound.
    Device(PipeId, Box<str>),
    /// There is room for messages.
    Room(PipeId),
    /// Another process with the same keys shows.
    Twin(Peer),
    /// Nothing was said to a peer or by it for a while.
    Quiet(Peer),
    /// A peer has told its wall clock: by how many milliseconds ours is ahead of it (negative: behind).
    PeerClock(LinkPeer, i64),
}

/// All pipes of a node.
pub(crate) struct Links {
    /// Boxed, so that the map's nodes, which are half empty, are small.
    pipes: BTreeMap<PipeId, Box<Pipe>>,
    users: BTreeMap<Peer, PipeId>,
    /// Links whose peer has a link already and whose hello has not come: at most one a peer.
    extras: BTreeMap<Peer, PipeId>,
    /// Service links that others have dialled: who dials again has lost the one before.
    services: BTreeMap<NodeKey, PipeId>,
    services_in: u32,
    pending: u32,
    /// Pipes that the shell has not been asked to close.
    open: u32,
    /// How many handshakes were begun: each draws its keys from a number of its own, whatever the pipe's is.
    handshakes: u64,
    dirty: Vec<PipeId>,
    scratch: Vec<u8>,
    pub(crate) effects: VecDeque<Effect>,
}

impl Links {
    pub(crate) const fn new() -> Self {
        Self {
            pipes: BTreeMap::new(),
            users: BTreeMap::new(),
            extras: BTreeMap::new(),
            services: BTreeMap::new(),
            services_in: 0,
            pending: 0,
            open: 0,
            handshakes: 0,
            dirty: Vec::new(),
            scratch: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// A pipe is open: as the dialler of `want`, or as the listener.
    pub(crate) fn on_opened(
        &mut self,
        cx: &mut Cx,
        own: &mut Own,
        pipe: PipeId,
        op: Option<OpId>,
        ends: (SocketAddr, SocketAddr),
        want: Option<Want>,
    ) {
        if self.pipes.contains_key(&pipe) {
            cx.stats.events_dropped = cx.stats.events_dropped.saturating_add(1);
            if op.is_some() {
                // Whoever waits for this dial must not wait for ever.
                self.effects.push_back(Effect::Refused { pipe, op, remote: ends.1, dialled: true, why: CloseReason::Lost });
            }
            return;
        }
        let is_full = self.pending >= pending_max(cx, want.is_some());
        if is_full {
            cx.stats.pipes_overflow = cx.stats.pipes_overflow.saturating_add(1);
        }
        if is_full && (want.is_some() || !self.make_room(cx, ends.1.ip())) {
            self.turn_away(cx, pipe, ends);
            if let Some(op) = op {
                self.effects.push_back(Effect::Refused { pipe, op: Some(op), remote: ends.1, dialled: true, why: CloseReason::Full });
            }
            return;
        }
        self.handshakes = self.handshakes.saturating_add(1);
        let rng = cx.rng.fork("handshake", self.handshakes);
        let mut clear = Vec::new();
        let state = match want {
            Some(want) => State::dial(want, rng, &mut hx(own, cx, &mut clear)),
            None => Ok(State::listen(rng)),
        };
        self.pending = self.pending.saturating_add(1);
        self.open = self.open.saturating_add(1);
        cx.timers.set(TimerKey::Handshake(pipe), cx.now + cx.config.handshake());
        match state {
            Ok(state) => {
                self.pipes.insert(pipe, Box::new(Pipe::new(ends, op, state, clear, cx.now)));
                self.mark(pipe);
            }
            Err(why) => {
                let unused = State::listen(cx.rng.fork("unused", 0));
                self.pipes.insert(pipe, Box::new(Pipe::new(ends, op, unused, clear, cx.now)));
                self.close(cx, pipe, why);
            }
        }
    }

    /// The pipe's write is handed over.
    pub(crate) fn on_written(&mut self, cx: &mut Cx, pipe: PipeId) {
        match self.pipes.get_mut(&pipe) {
            Some(it) if it.writing => {
                it.writing = false;
                self.mark(pipe);
            }
            _ => cx.stats.events_dropped = cx.stats.events_dropped.saturating_add(1),
        }
    }

    /// The pipe has ended.
    pub(crate) fn on_closed(&mut self, cx: &mut Cx, pipe: PipeId) {
        self.end(cx, pipe, CloseReason::Lost, false);
        if !self.remove(cx, pipe) {
            cx.stats.events_dropped = cx.stats.events_dropped.saturating_add(1);
        }
        if self.pipes.is_empty() {
            self.shrink(cx);
        }
    }

    /// Gives spare memory back: done when a link has been quiet for a keep-alive period, so that idle links are small.
    fn shrink(&mut self, cx: &mut Cx) {
        self.scratch = Vec::new();
        self.dirty.shrink_to_fit();
        self.effects.shrink_to_fit();
        cx.shrink();
    }

    /// Every pipe is gone at once.
    pub(crate) fn on_rebound(&mut self, cx: &mut Cx) {
        while let Some((&pipe, _)) = self.pipes.first_key_value() {
            self.end(cx, pipe, CloseReason::Rebound, true);
            self.remove(cx, pipe);
        }
    }

    /// A pipe is no more. Whether it was there.
    fn remove(&mut self, cx: &mut Cx, pipe: PipeId) -> bool {
        cx.timers.cancel(TimerKey::Linger(pipe));
        let Some(it) = self.pipes.remove(&pipe) else { return false };
        if !it.hung_up {
            self.open = self.open.saturating_sub(1);
        }
        true
    }

    /// Bytes came out of a pipe.
    pub(crate) fn on_bytes(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, bytes: &[u8]) {
        let Some(it) = self.pipes.get_mut(&pipe) else {
            cx.stats.events_dropped = cx.stats.events_dropped.saturating_add(1);
            return;
        };
        if matches!(it.stage, Stage::Gone) {
            return;
        }
        let mut joined = Vec::new();
        let all: &[u8] = if it.buffers.raw.is_empty() {
            bytes
        } else {
            joined = cx.buffer();
            joined.extend_from_slice(&it.buffers.raw);
            joined.extend_from_slice(bytes);
            it.buffers.raw.clear();
            &joined
        };
        let mut scratch = core::mem::take(&mut self.scratch);
        let mut rest = all;
        loop {
            match self.take_unit(cx, own, pipe, rest, &mut scratch) {
                Ok(0) => break,
                Ok(used) => rest = rest.get(used..).unwrap_or_default(),
                Err(why) => {
                    self.fault(cx, pipe, why);
                    rest = &[];
                }
            }
        }
        if !rest.is_empty()
            && let Some(it) = self.pipes.get_mut(&pipe)
        {
            // No more than is needed: whoever stops in the middle of a record costs that much.
            it.buffers.raw.reserve_exact(rest.len());
            it.buffers.raw.extend_from_slice(rest);
        }
        if let Some(it) = self.pipes.get_mut(&pipe) {
            it.rest(cx.now, cx.config.keep_alive());
        }
        self.scratch = scratch;
        cx.recycle(joined);
    }

    /// Takes one unit from the front of `bytes`; how many bytes it was, 0 if it is not whole yet.
    fn take_unit(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, bytes: &[u8], scratch: &mut Vec<u8>) -> Result<usize, CloseReason> {
        let Some(it) = self.pipes.get_mut(&pipe) else { return Ok(0) };
        if matches!(it.stage, Stage::Gone) || bytes.is_empty() {
            return Ok(0);
        }
        if let Stage::Shaking(Some(state)) = &it.stage
            && state.wants_preamble()
        {
            let line = bytes.get(..PREAMBLE_BYTES_MAX.min(bytes.len())).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', line) else {
                let hopeless =
                    line.len() >= PREAMBLE_BYTES_MAX || !b"overcom/".starts_with(line.get(..8.min(line.len())).unwrap_or_default());
                return if hopeless { Err(CloseReason::Preamble) } else { Ok(0) };
            };
            let used = end.saturating_add(1);
            self.shake(cx, own, pipe, Unit::Preamble(bytes.get(..used).unwrap_or_default()))?;
            return Ok(used);
        }
        let Some((length, body)) = bytes.split_first_chunk::<2>() else { return Ok(0) };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > RECORD_BYTES_MAX {
            return Err(CloseReason::Malformed);
        }
        let Some(body) = body.get(..length) else { return Ok(0) };
        match &mut it.opener {
            None => self.shake(cx, own, pipe, Unit::Noise(body))?,
            Some(opener) => {
                scratch.clear();
                scratch.extend_from_slice(body);
                let plain = opener.open(&cx.config.crypto, scratch).map_err(|_| CloseReason::Crypto)?;
                it.last_in = cx.now;
                cx.stats.records_in = cx.stats.records_in.saturating_add(1);
                self.on_plain(cx, own, pipe, scratch.get(..plain).unwrap_or_default())?;
            }
        }
        Ok(length.saturating_add(2))
    }

    /// Cuts opened bytes into lines (spec: LINK-3).
    fn on_plain(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, plain: &[u8]) -> Result<(), CloseReason> {
        let mut rest = plain;
        let mut is_first = true;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            // Only the first line can have begun in an earlier record.
            match core::mem::take(&mut is_first).then(|| self.begun_line(pipe)).flatten() {
                None => self.on_line(cx, own, pipe, line)?,
                Some(mut whole) => {
                    whole.extend_from_slice(line);
                    let result = self.on_line(cx, own, pipe, &whole);
                    cx.recycle(whole);
                    result?;
                }
            }
        }
        if let Some(it) = self.pipes.get_mut(&pipe)
            && !rest.is_empty()
            && !matches!(it.stage, Stage::Gone)
        {
            let line_max = if it.is_up() { cx.config.line_bytes_max as usize } else { HELLO_BYTES_MAX };
            if it.buffers.line.len().saturating_add(rest.len()) > line_max {
                return Err(CloseReason::Malformed);
            }
            if it.buffers.line.capacity() == 0 && it.is_up() {
                it.buffers.line = cx.buffer();
            }
            it.buffers.line.extend_from_slice(rest);
        }
        Ok(())
    }

    /// The part of a line that came with earlier records.
    fn begun_line(&mut self, pipe: PipeId) -> Option<Vec<u8>> {
        let it = self.pipes.get_mut(&pipe).filter(|it| !it.buffers.line.is_empty())?;
        Some(core::mem::take(&mut it.buffers.line))
    }

    /// Asks the shell to close, once. Nothing is written any more.
    fn hang_up(&mut self, cx: &mut Cx, pipe: PipeId) {
        if let Some(it) = self.pipes.get_mut(&pipe)
            && !it.hung_up
        {
            it.hung_up = true;
            it.buffers.empty();
            self.open = self.open.saturating_sub(1);
            cx.actions.push_back(Action::Close { pipe });
        }
    }

    /// Makes room for one more pipe that is a link, or was one and has its last lines to write: the first of the latter has
    /// had its time when there are too many, or whoever links and is closed again and again would leave each time what it
    /// never read (spec: LINK-6). `false`: all are links.
    fn hurry(&mut self, cx: &mut Cx) -> bool {
        while self.open.saturating_sub(self.pending) >= cx.config.pipes_proven_max() {
            let first = self.pipes.iter().find(|(_, it)| matches!(it.stage, Stage::Gone) && !it.hung_up).map(|(pipe, _)| *pipe);
            let Some(first) = first else { return false };
            self.hang_up(cx, first);
        }
        true
    }

    /// A closed pipe had its second.
    pub(crate) fn on_linger(&mut self, cx: &mut Cx, pipe: PipeId) {
        self.hang_up(cx, pipe);
    }

    /// A handshake took too long (spec: HS-11).
    pub(crate) fn on_handshake_late(&mut self, cx: &mut Cx, pipe: PipeId) {
        if self.pipes.get(&pipe).is_some_and(|it| matches!(it.stage, Stage::Shaking(_))) {
            self.close(cx, pipe, CloseReason::Timeout);
        }
    }

    /// The other end broke a rule.
    pub(crate) fn fault(&mut self, cx: &mut Cx, pipe: PipeId, why: CloseReason) {
        cx.stats.faults = cx.stats.faults.saturating_add(1);
        self.close(cx, pipe, why);
    }

    /// Ends a pipe or link from this side: says why if it can, then closes.
    pub(crate) fn close(&mut self, cx: &mut Cx, pipe: PipeId, why: CloseReason) {
        let Some(it) = self.pipes.get(&pipe) else { return };
        if matches!(it.stage, Stage::Gone) {
            return;
        }
        self.say(cx, pipe, &Line::Close(CloseLine { status: why.status(), reason: why }), || Said::Close(why));
        let is_proven = self.pipes.get(&pipe).is_some_and(|it| it.is_up());
        let has_room = is_proven || self.hurry(cx);
        self.end(cx, pipe, why, true);
        if !has_room {
            self.hang_up(cx, pipe);
        }
        cx.timers.set(TimerKey::Linger(pipe), cx.now + core::time::Duration::from_millis(LINGER_MS));
        self.mark(pipe);
    }

    /// The links that are up, by pipe.
    pub(crate) fn views(&self) -> impl Iterator<Item = LinkView> + '_ {
        self.pipes.iter().filter_map(|(pipe, it)| it.view(*pipe))
    }

    /// How many pipes are not proven.
    pub(crate) const fn pending(&self) -> u32 {
        self.pending
    }

    /// How many pipes there are, closing ones too.
    pub(crate) fn count(&self) -> usize {
        self.pipes.len()
    }

    /// Lets a stranger's pipe in where no more fit, if another host has more unproven ones: the oldest of these goes, so
    /// that one host that opens pipes and says nothing keeps nobody out (spec: HS-11). Whether it did.
    fn make_room(&mut self, cx: &mut Cx, newcomer: IpAddr) -> bool {
        let mut hosts: BTreeMap<IpAddr, (u32, PipeId)> = BTreeMap::new();
        for (pipe, it) in &self.pipes {
            if it.op.is_none() && matches!(it.stage, Stage::Shaking(_)) {
                let (count, _) = hosts.entry(host(it.remote.ip())).or_insert((0, *pipe));
                *count = count.saturating_add(1);
            }
        }
        let own = hosts.get(&host(newcomer)).map_or(0, |(count, _)| *count);
        match hosts.into_values().max_by_key(|(count, _)| *count) {
            Some((count, oldest)) if count > own => {
                self.close(cx, oldest, CloseReason::Full);
                true
            }
            _ => false,
        }
    }

    /// A pipe that nobody wants: closed at once.
    pub(crate) fn turn_away(&mut self, cx: &mut Cx, pipe: PipeId, ends: (SocketAddr, SocketAddr)) {
        if self.pipes.contains_key(&pipe) {
            cx.stats.events_dropped = cx.stats.events_dropped.saturating_add(1);
            return;
        }
        self.pipes.insert(pipe, Box::new(Pipe::gone(ends)));
        cx.actions.push_back(Action::Close { pipe });
    }

    /// The `Connect` that a pipe came of.
    pub(crate) fn op(&self, pipe: PipeId) -> Option<OpId> {
        self.pipes.get(&pipe).and_then(|it| it.op)
    }

    /// A pipe's two ends.
    pub(crate) fn ends(&self, pipe: PipeId) -> Option<(IpAddr, SocketAddr)> {
        self.pipes.get(&pipe).map(|it| (it.local, it.remote))
    }

    /// What names a link to both its ends and to nobody else.
    pub(crate) fn name(&self, pipe: PipeId) -> Option<[u8; 32]> {
        let it = self.pipes.get(&pipe)?;
        Some(link_name(it.sealer.as_ref()?, it.opener.as_ref()?, it.op.is_some()))
    }

    /// The service links that this node has dialled: with whom, and the other end. O(pipes).
    pub(crate) fn services_out(&self) -> impl Iterator<Item = (PipeId, NodeKey, SocketAddr)> + '_ {
        let dialled = self.pipes.iter().filter(|(_, it)| it.op.is_some());
        dialled.filter_map(|(pipe, it)| match it.with()? {
            LinkPeer::Service(key) => Some((*pipe, key, it.remote)),
            LinkPeer::User(_) => None,
        })
    }

    /// A link, if it is up.
    pub(crate) fn link(&mut self, pipe: PipeId) -> Option<&mut Link> {
        self.pipes.get_mut(&pipe).and_then(|it| it.link())
    }
}

/// How many pipes may be unproven before one more is turned away. This node's own dials have room beyond the others',
/// so that strangers who open pipes and say nothing cannot keep it from its peers.
const fn pending_max(cx: &Cx, dialled: bool) -> u32 {
    let others = cx.config.pipes_pending_max;
    if dialled { others.saturating_add(cx.config.dials_max) } else { others }
}

fn hx<'a>(own: &'a mut Own, cx: &'a mut Cx, out: &'a mut Vec<u8>) -> Hx<'a> {
    Hx { own, config: &cx.config, wall: cx.wall, out, checked: &mut cx.stats.signatures_checked }
}
