//! From handshakes to links: who is linked on which pipe, which of two links stays, and when a link is over.

use alloc::boxed::Box;
use core::time::Duration;

use super::pipe::{Link, Shown, Stage, ack_line};
use super::{Effect, Links, hx};
use crate::LinkPeer;
use crate::address::group;
use crate::close::CloseReason;
use crate::cx::Cx;
use crate::handshake::{Kind, Next, Own, Proven, Sealed, Unit};
use crate::id::{NodeKey, Peer, PipeId, StreamId};
use crate::time::WallTime;
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::wire::line::{Acknowledged, Hello, Line};

/// A link outlives a delegation by this much, so that a renewal may come late (spec: LINK-25).
const EXPIRY_GRACE: Duration = Duration::from_secs(600);
/// Keep-alive periods of silence after which a link is over (spec: LINK-11).
const MISSES_MAX: u32 = 3;

impl Links {
    /// Takes one unit of a handshake.
    pub(super) fn shake(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, unit: Unit<'_>) -> Result<(), CloseReason> {
        let Some(it) = self.pipes.get_mut(&pipe) else { return Ok(()) };
        let Stage::Shaking(state) = &mut it.stage else { return Ok(()) };
        let Some(state) = state.take() else { return Ok(()) };
        let mut clear = core::mem::take(&mut it.buffers.clear);
        let result = state.handle(unit, &mut hx(own, cx, &mut clear));
        it.buffers.clear = clear;
        self.mark(pipe);
        match result? {
            Next::Wait(state) => self.wait(pipe, state),
            Next::Sealed { state, sealed, say_hello } => {
                self.seal(pipe, Some(sealed));
                self.wait(pipe, state);
                if say_hello {
                    self.say_hello(cx, own, pipe, Kind::User);
                }
            }
            Next::Refused { reason, sealed } => {
                self.seal(pipe, Some(sealed));
                return Err(reason);
            }
            Next::Proven { proven, sealed, say_hello } => {
                self.seal(pipe, sealed);
                let kind = match proven.with {
                    LinkPeer::User(_) => Kind::User,
                    LinkPeer::Service(_) => Kind::Service,
                };
                if say_hello {
                    self.say_hello(cx, own, pipe, kind);
                }
                let me = own.credentials.delegation().peer();
                let ends = own.credentials.delegation().until();
                self.on_proven(cx, me, ends, pipe, *proven)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, pipe: PipeId, state: crate::handshake::State) {
        if let Some(it) = self.pipes.get_mut(&pipe) {
            it.stage = Stage::Shaking(Some(state));
        }
    }

    fn seal(&mut self, pipe: PipeId, sealed: Option<Sealed>) {
        if let (Some(it), Some(sealed)) = (self.pipes.get_mut(&pipe), sealed) {
            it.sealer = Some(sealed.sealer);
            it.opener = Some(sealed.opener);
        }
    }

    fn say_hello(&mut self, cx: &mut Cx, own: &Own, pipe: PipeId, kind: Kind) {
        let hello = own.hello(kind, cx.wall);
        self.say(cx, pipe, &Line::Hello(hello), || Said::Hello);
    }

    /// The other end is proven: the pipe becomes a link, if the registry wants it.
    fn on_proven(&mut self, cx: &mut Cx, me: Peer, my_end: WallTime, pipe: PipeId, proven: Proven) -> Result<(), CloseReason> {
        let Proven { with, delegation, boot, time } = proven;
        let dialled = self.is_dialled(pipe);
        if !self.is_room_for(cx, pipe, with) || !self.hurry(cx) {
            return Err(CloseReason::Full);
        }
        let Some(it) = self.pipes.get_mut(&pipe) else { return Ok(()) };
        it.stage = Stage::Up(Link::new(with, delegation.as_ref().map(Shown::of), boot, cx.now));
        it.last_in = cx.now;
        self.pending = self.pending.saturating_sub(1);
        cx.timers.cancel(TimerKey::Handshake(pipe));
        cx.timers.set(TimerKey::KeepAlive(pipe), cx.now + cx.config.keep_alive());
        if let Some(delegation) = delegation {
            self.effects.push_back(Effect::Proven(Box::new(delegation)));
            self.set_end(cx, pipe, my_end);
        }
        if let Some(time) = time {
            self.told_time(cx, pipe, time);
        }
        match with {
            LinkPeer::User(peer) => self.register(cx, me, peer, pipe),
            LinkPeer::Service(key) => {
                if !dialled {
                    if let Some(old) = self.services.insert(key, pipe) {
                        self.close(cx, old, CloseReason::Replaced);
                        self.services.insert(key, pipe);
                    }
                    self.services_in = self.services_in.saturating_add(1);
                }
                self.is_up(cx, pipe);
            }
        }
        Ok(())
    }

    /// Whether one more link of this class fits (spec: LINK-13).
    fn is_room_for(&self, cx: &Cx, pipe: PipeId, with: LinkPeer) -> bool {
        match with {
            LinkPeer::User(peer) => self.users.contains_key(&peer) || self.users.len() < cx.config.links_user_max as usize,
            LinkPeer::Service(_) if self.is_dialled(pipe) => true,
            LinkPeer::Service(key) => {
                let max = cx.config.links_service_in_max;
                let has_place = self.services.contains_key(&key) || self.services_in < max;
                has_place && self.of_its_group(pipe, key) < max.div_ceil(4) as usize
            }
        }
    }

    /// How many other installations of the same group have a service link here. O(accepted service links).
    fn of_its_group(&self, pipe: PipeId, key: NodeKey) -> usize {
        let group_of = |pipe: &PipeId| self.pipes.get(pipe).map(|it| group(it.remote));
        let own = group_of(&pipe);
        self.services.iter().filter(|(other, pipe)| **other != key && group_of(pipe) == own).count()
    }

    /// Decides between a new link and the one that its peer has (spec: LINK-15, LINK-16).
    fn register(&mut self, cx: &mut Cx, me: Peer, peer: Peer, pipe: PipeId) {
        let Some(&old) = self.users.get(&peer) else {
            self.users.insert(peer, pipe);
            self.is_up(cx, pipe);
            return;
        };
        let boots =
            (self.pipes.get_mut(&old).and_then(|it| it.link()).and_then(|link| link.boot), self.link(pipe).and_then(|link| link.boot));
        let diallers = (self.is_dialled(old), self.is_dialled(pipe));
        match boots {
            (_, None) => {
                // Its hello decides; one such link a peer is enough.
                if let Some(older) = self.extras.insert(peer, pipe) {
                    self.extras.remove(&peer);
                    self.close(cx, older, CloseReason::Duplicate);
                    self.extras.insert(peer, pipe);
                }
            }
            (Some(a), Some(b)) if a != b => {
                self.replace(cx, peer, old, pipe, CloseReason::Replaced);
                self.effects.push_back(Effect::Twin(peer));
            }
            // The side that dialled again has lost the old one; between two sides the lower one's dial stays.
            _ if diallers.0 == diallers.1 => self.replace(cx, peer, old, pipe, CloseReason::Replaced),
            _ if (me < peer) == diallers.1 => self.replace(cx, peer, old, pipe, CloseReason::Duplicate),
            _ => self.close(cx, pipe, CloseReason::Duplicate),
        }
    }

    fn replace(&mut self, cx: &mut Cx, peer: Peer, old: PipeId, new: PipeId, why: CloseReason) {
        self.users.insert(peer, new);
        self.close(cx, old, why);
        self.is_up(cx, new);
    }

    fn is_up(&mut self, cx: &mut Cx, pipe: PipeId) {
        let Some(it) = self.pipes.get_mut(&pipe) else { return };
        let (remote, dialled) = (it.remote, it.op.is_some());
        let Some(link) = it.link() else { return };
        link.up = true;
        let with = link.with;
        cx.stats.links_up = cx.stats.links_up.saturating_add(1);
        cx.saw(Some(with), dialled, || Said::Up);
        self.effects.push_back(Effect::Up { with, pipe, remote, dialled });
    }

    /// Whether this side dialled.
    pub(crate) fn is_dialled(&self, pipe: PipeId) -> bool {
        self.pipes.get(&pipe).is_some_and(|it| it.op.is_some())
    }

    /// The hello of a peer that was known before it spoke: now its life is known too (spec: LINK-5).
    pub(super) fn on_late_hello(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, peer: Peer, hello: Hello) -> Result<(), CloseReason> {
        let delegation = hello.delegation.ok_or(CloseReason::Malformed)?;
        if delegation.peer() != peer {
            return Err(CloseReason::WrongPeer);
        }
        own.check(&delegation, &cx.config, cx.wall, &mut cx.stats.signatures_checked)?;
        let me = own.credentials.delegation().peer();
        let Some(link) = self.link(pipe) else { return Ok(()) };
        if link.boot.replace(hello.boot).is_some() {
            return Err(CloseReason::NotAllowed);
        }
        self.told_time(cx, pipe, hello.time);
        self.effects.push_back(Effect::Delegation(pipe, Box::new(delegation)));
        if self.extras.get(&peer) == Some(&pipe) {
            self.extras.remove(&peer);
            self.register(cx, me, peer, pipe);
        }
        Ok(())
    }

    pub(super) fn told_time(&mut self, cx: &Cx, pipe: PipeId, theirs: WallTime) {
        let ahead =
            i64::try_from(cx.wall.as_millis()).unwrap_or(i64::MAX).saturating_sub(i64::try_from(theirs.as_millis()).unwrap_or(i64::MAX));
        if let Some(with) = self.pipes.get(&pipe).and_then(|it| it.with()) {
            self.effects.push_back(Effect::PeerClock(with, ahead));
        }
    }

    /// A pipe is over on this side, closed by it if `ours`: tells the node, forgets keys and buffers. What is left to write stays.
    pub(super) fn end(&mut self, cx: &mut Cx, pipe: PipeId, why: CloseReason, ours: bool) {
        let Some(it) = self.pipes.get_mut(&pipe) else { return };
        let (op, dialled, remote) = (it.op, it.op.is_some(), it.remote);
        let stage = core::mem::replace(&mut it.stage, Stage::Gone);
        it.opener = None;
        it.buffers.raw = alloc::vec::Vec::new();
        cx.recycle(core::mem::take(&mut it.buffers.line));
        for key in [TimerKey::Handshake(pipe), TimerKey::KeepAlive(pipe), TimerKey::Acknowledge(pipe), TimerKey::LinkEnd(pipe)] {
            cx.timers.cancel(key);
        }
        let effect = match stage {
            Stage::Gone => return,
            Stage::Shaking(_) => {
                self.pending = self.pending.saturating_sub(1);
                cx.stats.pipes_refused = cx.stats.pipes_refused.saturating_add(1);
                Effect::Refused { pipe, op, remote, dialled, why }
            }
            Stage::Up(link) => {
                if let Some(next) = self.unregister(link.with, pipe, dialled) {
                    self.is_up(cx, next);
                }
                if link.up {
                    Effect::Down { with: link.with, pipe, op, since: link.since, why, ours }
                } else {
                    Effect::Refused { pipe, op, remote, dialled, why }
                }
            }
        };
        self.effects.push_back(effect);
    }

    /// Takes a link out of the registry: which one takes its place, if one does.
    fn unregister(&mut self, with: LinkPeer, pipe: PipeId, dialled: bool) -> Option<PipeId> {
        match with {
            LinkPeer::Service(key) => {
                if !dialled {
                    self.services_in = self.services_in.saturating_sub(1);
                }
                if self.services.get(&key) == Some(&pipe) {
                    self.services.remove(&key);
                }
                None
            }
            LinkPeer::User(peer) => {
                if self.extras.get(&peer) == Some(&pipe) {
                    self.extras.remove(&peer);
                    return None;
                }
                if self.users.get(&peer) != Some(&pipe) {
                    return None;
                }
                self.users.remove(&peer);
                let next = self.extras.remove(&peer)?;
                self.users.insert(peer, next);
                Some(next)
            }
        }
    }

    /// The link that a peer is reached on.
    pub(crate) fn of(&self, peer: Peer) -> Option<PipeId> {
        self.users.get(&peer).copied()
    }

    /// The peers that have a link, in order.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (Peer, PipeId)> + '_ {
        self.users.iter().map(|(peer, pipe)| (*peer, *pipe))
    }

    /// The devices of a user that have a link.
    pub(crate) fn devices_of(&self, user: crate::id::UserId) -> impl Iterator<Item = Peer> + '_ {
        let low = Peer { user, device: crate::id::DeviceId::from_bytes([0; 16]) };
        let high = Peer { user, device: crate::id::DeviceId::from_bytes([255; 16]) };
        self.users.range(low..=high).map(|(peer, _)| *peer)
    }

    /// Ends every link and pipe.
    pub(crate) fn close_all(&mut self, cx: &mut Cx, why: CloseReason) {
        let all: alloc::vec::Vec<PipeId> = self.pipes.keys().copied().collect();
        for pipe in all {
            self.close(cx, pipe, why);
        }
    }

    /// Sets when a user link ends with a delegation: ten minutes after the earlier one.
    pub(crate) fn set_end(&mut self, cx: &mut Cx, pipe: PipeId, my_end: WallTime) {
        if let Some(shown) = self.link(pipe).and_then(|link| link.shown()) {
            let end = shown.until.min(my_end) + EXPIRY_GRACE;
            cx.timers.set(TimerKey::LinkEnd(pipe), cx.now + end.since(cx.wall));
        }
    }

    /// A peer has shown a delegation: the one that ends last counts.
    pub(crate) fn set_shown(&mut self, cx: &mut Cx, pipe: PipeId, delegation: &crate::identity::Delegation, my_end: WallTime) {
        if let Some(link) = self.link(pipe)
            && link.shown().is_some_and(|old| old.until < delegation.until())
        {
            link.shown = Shown::of(delegation);
            self.set_end(cx, pipe, my_end);
        }
    }

    /// A link's keep-alive timer: closes, pings, or looks again later (spec: LINK-10, LINK-12).
    pub(crate) fn on_keep_alive(&mut self, cx: &mut Cx, pipe: PipeId) {
        let Some(it) = self.pipes.get_mut(&pipe) else { return };
        let last_in = it.last_in;
        let Stage::Up(link) = &mut it.stage else { return };
        let period = cx.config.keep_alive();
        let silent = cx.now.since(last_in);
        let is_idle = cx.now.since(link.last_use) >= cx.config.idle() && link.unacknowledged == 0 && matches!(link.with, LinkPeer::User(_));
        if silent >= period.saturating_mul(MISSES_MAX) {
            self.close(cx, pipe, CloseReason::Silent);
            return;
        }
        if is_idle && it.buffers.out.is_empty() {
            self.close(cx, pipe, CloseReason::Idle);
            return;
        }
        if let LinkPeer::User(peer) = link.with
            && cx.now.since(link.last_use) >= period
        {
            self.effects.push_back(Effect::Quiet(peer));
            self.shrink(cx);
        }
        let mut next = last_in + period;
        if next <= cx.now {
            next = cx.now + period;
            let token = cx.now.as_micros();
            if let Some(link) = self.link(pipe) {
                (link.ping, link.pinged) = (cx.now, true);
            }
            self.say(cx, pipe, &Line::Ping(token), || Said::Ping);
        }
        cx.timers.set(TimerKey::KeepAlive(pipe), next);
    }

    /// Acknowledges `count` more messages of `stream` on a link: with the next record, after 20 ms, or at once past a quarter of the window (spec: MSG-10).
    pub(crate) fn acknowledge(&mut self, cx: &mut Cx, pipe: PipeId, stream: StreamId, upto: u64, count: u32) {
        let Some(it) = self.pipes.get_mut(&pipe) else { return };
        let Stage::Up(link) = &mut it.stage else { return };
        if link.acknowledge.as_ref().is_some_and(|waiting| waiting.stream != stream) {
            if it.buffers.out.capacity() == 0 {
                it.buffers.out = cx.buffer();
            }
            let _ = ack_line(link, &mut it.buffers.out);
        }
        link.last_use = cx.now;
        link.acknowledge = Some(Acknowledged { stream, upto });
        link.acknowledge_count = link.acknowledge_count.saturating_add(count);
        if link.acknowledge_count >= cx.config.window_messages.div_ceil(4) || cx.config.acknowledge_ms_max == 0 {
            link.acknowledge_now = true;
            self.mark(pipe);
        } else if link.acknowledge_count == count {
            cx.timers.set_at_latest(TimerKey::Acknowledge(pipe), cx.now + cx.config.acknowledge());
        }
    }

    /// The acknowledgement has waited long enough.
    pub(crate) fn on_acknowledge_due(&mut self, pipe: PipeId) {
        if let Some(link) = self.link(pipe) {
            link.acknowledge_now = true;
            self.mark(pipe);
        }
    }
}
