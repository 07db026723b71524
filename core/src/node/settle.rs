//! The wiring diagram: what one machine has found out is carried to the others, until nothing is left to carry.

use alloc::vec::Vec;
use core::time::Duration;

use super::Parts;
use crate::id::{OpId, Peer, PipeId, UserId};
use crate::identity::{CLOCK_TOLERANCE_MS, Delegation, Revocation};
use crate::inbox::{Ripe, Verdict};
use crate::link::Effect as LinkEffect;
use crate::message::Received;
use crate::notice::Notice;
use crate::referral::dial::{Effect as DialEffect, Target};
use crate::time::Time;
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::view::{AttemptOutcome, Phase};
use crate::wire::line::{Line, Resume};
use crate::{CloseReason, LinkPeer};

/// Peers whose clocks are compared, and how many must agree (spec: NODE-16).
const CLOCKS_MAX: usize = 8;
const CLOCKS_AGREE: usize = 3;
/// A link that lived this long was no mishap: its peer is dialled again at once (guess: longer than any handshake) (spec: MSG-16).
const STEADY: Duration = Duration::from_secs(10);
/// Three swaps in this time are a twin (spec: LINK-15).
const TWIN_TIME: Duration = Duration::from_secs(60);
const TWIN_SWAPS: usize = 3;
/// Swaps that are remembered (guess: more devices than that do not run twice at one time).
const TWINS_MAX: usize = 64;
/// Units that a revocation or a delegation to be verified costs its sender (guess: as much as eight visits of a search)
/// (spec: FIND-12).
const SIGNED_UNITS: u32 = 8;

impl Parts {
    /// Carries every effect over, then seals what was said (spec: LINK-7).
    pub(super) fn settle(&mut self) {
        loop {
            self.carry();
            self.links.flush(&mut self.cx);
            if self.links.effects.is_empty() {
                break;
            }
        }
    }

    /// Carries every effect over.
    pub(super) fn carry(&mut self) {
        loop {
            if let Some(effect) = self.links.effects.pop_front() {
                self.on_link_effect(effect);
            } else if let Some(effect) = self.dials.effects.pop_front() {
                self.on_dial_effect(effect);
            } else if let Some(told) = self.dht_told() {
                self.on_dht_told(told);
            } else if self.drive_binder() {
            } else {
                break;
            }
        }
    }

    /// Says what commands have queued for devices that have a link.
    pub(super) fn pump_ready(&mut self) {
        let mut ready = self.outbox.take_ready();
        for peer in ready.drain(..) {
            self.pump(peer);
        }
        self.outbox.keep_for_ready(ready);
    }

    /// Issues what is to be stored; a suspended node rests once that is done.
    pub(super) fn settle_storage(&mut self) {
        self.cx.flush_storage();
        self.rest();
    }

    /// A node that is to sleep and has nothing left to close or to store says so, whatever call it is in.
    pub(super) fn rest(&mut self) {
        if self.phase == Phase::Suspending && self.links.count() == 0 && self.cx.storage.is_idle() {
            self.phase = Phase::Suspended;
            self.cx.timers.clear();
            self.cx.notify_state(Notice::Quiet);
        }
    }

    fn on_link_effect(&mut self, effect: LinkEffect) {
        match effect {
            LinkEffect::Up { with, pipe, remote, dialled } => {
                self.cx.notify(Notice::LinkUp { with, remote, dialled });
                self.on_up(with, pipe);
            }
            LinkEffect::Down { with, pipe, op, since, why, ours } => {
                self.cx.saw(Some(with), ours, || Said::Down(why));
                self.on_down(with, pipe, op, since, why);
            }
            LinkEffect::Refused { pipe, op, remote, dialled, why } => {
                self.on_unlink(pipe);
                self.cx.notify(Notice::Refused { remote, dialled, why });
                if let Some(op) = op {
                    self.dials.on_refused(&mut self.cx, op, why);
                }
            }
            LinkEffect::Message { pipe, received, disk } => self.on_message(pipe, received, disk),
            LinkEffect::Acknowledged(pipe, acknowledged) => {
                if let Some(peer) = self.user_on(pipe) {
                    if self.outbox.on_acknowledged(&mut self.cx, peer, &acknowledged) {
                        if let Some(known) = self.book.known_mut(peer.user) {
                            known.spent = 0;
                        }
                        self.pump(peer);
                    } else {
                        self.links.fault(&mut self.cx, pipe, CloseReason::NotAllowed);
                    }
                }
            }
            LinkEffect::Resume(pipe, resume) => self.on_resume(pipe, &resume),
            LinkEffect::Proven(delegation) => drop(self.book.on_proven(&mut self.cx, &delegation)),
            LinkEffect::Delegation(pipe, delegation) => self.on_delegation(pipe, &delegation),
            LinkEffect::Revocation { pipe, user, revocation } => {
                if self.pay(user) {
                    let _ = self.learn_revocation(*revocation, Some(pipe));
                }
            }
            LinkEffect::Search(pipe, text) => self.on_search(pipe, &text),
            LinkEffect::SearchAnswer(pipe, answer) => self.on_search_answer(pipe, answer.id, answer.status),
            LinkEffect::Join(pipe, join) => self.on_join(pipe, &join),
            LinkEffect::Joined(pipe, joined) => self.on_joined(pipe, joined),
            LinkEffect::Bind(pipe, json) => self.on_bind(pipe, &json),
            LinkEffect::Bound(pipe, json) => self.on_bound(pipe, &json),
            LinkEffect::Device(pipe, json) => self.on_bind_device(pipe, &json),
            LinkEffect::Room(pipe) => {
                if let Some(peer) = self.user_on(pipe) {
                    self.pump(peer);
                }
            }
            LinkEffect::Twin(peer) => self.on_swap(peer),
            LinkEffect::Quiet(peer) => {
                self.outbox.shrink(peer);
                self.inbox.shrink();
            }
            LinkEffect::PeerClock(with, ahead) => self.on_peer_clock(with, ahead),
        }
    }

    fn on_dial_effect(&mut self, effect: DialEffect) {
        match effect {
            DialEffect::Tried { target: Target::User(user), address, outcome } => self.book.on_tried(self.cx.now, user, &address, outcome),
            DialEffect::Tried { target: Target::Found(user), address, outcome } => {
                self.book.on_tried(self.cx.now, user, &address, outcome);
                self.on_place_tried(user, &address, outcome);
            }
            DialEffect::Tried { target: Target::Entry(at), outcome, .. } => self.book.on_entry_tried(self.cx.now, at, outcome),
            DialEffect::Tried { target: Target::Home(_) | Target::Claim(_), .. } => {}
            DialEffect::Failed(Target::Home(at)) => self.on_home_failed(at),
            DialEffect::Failed(Target::Claim(pipe)) => self.on_claim(pipe, false),
            DialEffect::Failed(Target::User(user)) => self.on_unreachable(user),
            DialEffect::Failed(Target::Found(user)) => self.on_looked_in_vain(user),
            DialEffect::Failed(Target::Entry(at)) => self.on_entry_lost(at, false),
        }
    }

    pub(super) fn user_on(&mut self, pipe: PipeId) -> Option<Peer> {
        match self.links.link(pipe)?.with {
            LinkPeer::User(peer) => Some(peer),
            LinkPeer::Service(_) => None,
        }
    }

    fn on_up(&mut self, with: LinkPeer, pipe: PipeId) {
        if self.links.link(pipe).is_none() {
            return;
        }
        let target = self.links.op(pipe).and_then(|op| self.dials.on_opened(&mut self.cx, op));
        match with {
            LinkPeer::User(peer) => {
                if let Some(target @ (Target::User(user) | Target::Found(user))) = target
                    && let Some(address) = self.dials.finish(&mut self.cx, target)
                {
                    self.book.on_tried(self.cx.now, user, &address, AttemptOutcome::Linked);
                    if matches!(target, Target::Found(_)) {
                        self.on_place_tried(user, &address, AttemptOutcome::Linked);
                    }
                }
                self.resume(peer, pipe);
                self.ask_to_join(peer, pipe);
                self.on_found(peer);
                self.pump(peer);
                self.search_through(pipe);
            }
            LinkPeer::Service(key) => {
                if let Some(Target::Entry(at)) = target {
                    let _ = self.dials.finish(&mut self.cx, Target::Entry(at));
                    self.book.on_entry_tried(self.cx.now, at, AttemptOutcome::Linked);
                    self.on_entry_up(at, key);
                } else if let Some(Target::Home(at)) = target {
                    self.on_home_up(at, pipe, key);
                }
            }
        }
    }

    /// Says where the streams stand, and a revocation of the own user if there is one (spec: LINK-21).
    fn resume(&mut self, peer: Peer, pipe: PipeId) {
        let streams = self.outbox.on_link(&mut self.cx, peer);
        let received = self.inbox.received(peer);
        let (messages, bytes, line) = (self.cx.config.window_messages, self.cx.config.window_bytes, self.cx.config.line_bytes_max);
        if let (Some(link), Some(last)) = (self.links.link(pipe), streams.last()) {
            link.stream_out = Some(last.id);
        }
        self.links.say(&mut self.cx, pipe, &Line::Resume(Resume { streams, received, messages, bytes, line }), || Said::Hello);
        let me = self.me().user;
        if let Some(revocation) = self.own.revocations.of(me, self.own.app()).cloned() {
            self.links.say(&mut self.cx, pipe, &Line::Revocation(revocation), || Said::Revocation);
        }
    }

    fn on_resume(&mut self, pipe: PipeId, resume: &Resume) {
        let Some(peer) = self.user_on(pipe) else { return };
        for gap in self.inbox.on_resume(&mut self.cx, peer, &resume.streams) {
            self.cx.notify(Notice::Gap { from: peer, stream: gap.stream, first: gap.first, last: gap.last });
        }
        if self.links.of(peer) == Some(pipe) {
            self.outbox.on_resume(&mut self.cx, peer, resume);
            self.pump(peer);
        }
    }

    fn on_entry_up(&mut self, at: u32, key: crate::id::NodeKey) {
        let Some(peer) = self.book.entries.get_mut(at as usize) else { return };
        peer.linked = true;
        let before = peer.known.replace(key);
        if before == Some(key) {
            return;
        }
        let entry = peer.entry.clone();
        if before.is_some() {
            self.cx.notify(Notice::EntryChanged { entry, key });
        }
        self.book.store_entries(&mut self.cx);
    }

    fn on_down(&mut self, with: LinkPeer, pipe: PipeId, op: Option<OpId>, since: Time, why: CloseReason) {
        let is_steady = self.cx.now.since(since) >= STEADY;
        self.on_unlink(pipe);
        self.cx.notify(Notice::LinkDown { with, why });
        match with {
            LinkPeer::User(peer) => {
                // A replaced link's peer has another one: what was under way goes on there.
                if self.links.of(peer).is_none() {
                    self.outbox.on_unlink(peer);
                }
                if self.phase == Phase::Running && (self.outbox.is_stuck(peer.user) || self.is_join_stuck(peer.user)) {
                    if is_steady {
                        self.seek(peer.user);
                    } else {
                        self.book.on_fallen(peer.user, why);
                        self.seek_again(peer.user);
                    }
                }
            }
            LinkPeer::Service(key) => {
                self.on_service_down(pipe, why);
                let is_entry = op.is_some() && self.links.services_out().all(|(_, other, _)| other != key);
                let at = self.book.entries.iter().position(|peer| is_entry && peer.linked && peer.known == Some(key));
                if let Some(at) = at.and_then(|at| u32::try_from(at).ok()) {
                    self.book.on_entry_tried(self.cx.now, at, AttemptOutcome::Closed(why));
                    self.on_entry_lost(at, is_steady);
                }
            }
        }
    }

    /// What belongs to a link goes with it.
    fn on_unlink(&mut self, pipe: PipeId) {
        self.invitations.on_unlink(pipe);
        self.joins.on_unlink(pipe);
    }

    fn on_message(&mut self, pipe: PipeId, received: Received, disk: bool) {
        let (peer, id) = (received.from, received.id);
        match self.inbox.on_message(&mut self.cx, peer, id.stream, id.number, received.bytes(), disk) {
            Verdict::Fresh(due) => {
                self.cx.stats.messages_received = self.cx.stats.messages_received.saturating_add(1);
                self.cx.notify_message(Notice::Message(received), due);
            }
            Verdict::Repeat(acknowledged) => {
                self.cx.stats.messages_repeated = self.cx.stats.messages_repeated.saturating_add(1);
                if acknowledged >= id.number {
                    self.links.acknowledge(&mut self.cx, pipe, id.stream, acknowledged, 1);
                }
            }
            Verdict::Flood => self.links.fault(&mut self.cx, pipe, CloseReason::Flood),
            // Not seen: it comes again when there is room.
            Verdict::Full => self.links.close(&mut self.cx, pipe, CloseReason::Full),
        }
    }

    pub(super) fn acknowledge(&mut self, ripe: &Ripe) {
        if let Some(pipe) = self.links.of(ripe.peer) {
            self.links.acknowledge(&mut self.cx, pipe, ripe.stream, ripe.upto, ripe.count);
        }
    }

    /// Says what waits for a device, as far as its window and its pipe go.
    pub(super) fn pump(&mut self, peer: Peer) {
        let Some(pipe) = self.links.of(peer) else { return };
        if self.is_stopped() {
            return;
        }
        let mut has_room = self.links.has_room(&self.cx.config, pipe);
        while has_room && let Some(out) = self.outbox.next(peer) {
            has_room = self.links.say_message(&mut self.cx, pipe, out.stream, out.number, out.disk, out.message);
        }
        let under_way = self.outbox.under_way(peer);
        if let Some(link) = self.links.link(pipe) {
            link.unacknowledged = under_way;
        }
    }

    /// A peer shows a delegation in a line: a late proof, or a newer one (spec: LINK-25).
    fn on_delegation(&mut self, pipe: PipeId, delegation: &Delegation) {
        let Some(link) = self.links.link(pipe) else { return };
        let (with, is_its_key) = (link.with, link.shown().is_some_and(|shown| shown.is_key_of(delegation)));
        if with != LinkPeer::User(delegation.peer()) {
            return self.links.fault(&mut self.cx, pipe, CloseReason::WrongPeer);
        }
        if !is_its_key {
            return self.links.fault(&mut self.cx, pipe, CloseReason::Delegation);
        }
        if !self.own.delegations.is_known(delegation) && !self.pay(delegation.user()) {
            return;
        }
        match self.own.check(delegation, &self.cx.config, self.cx.wall, &mut self.cx.stats.signatures_checked) {
            Ok(()) => {
                self.book.on_proven(&mut self.cx, delegation);
                let my_end = self.own.credentials.delegation().until();
                self.links.set_shown(&mut self.cx, pipe, delegation, my_end);
            }
            Err(why) => self.links.fault(&mut self.cx, pipe, why),
        }
    }

    /// Takes the units for what a peer makes this node verify; `false`, and counted: it has none left (spec: FIND-12).
    pub(super) fn pay(&mut self, user: UserId) -> bool {
        let is_paid = self.searches.pay(&self.cx, user, SIGNED_UNITS);
        if !is_paid {
            self.cx.stats.over_budget = self.cx.stats.over_budget.saturating_add(1);
        }
        is_paid
    }

    /// A revocation came, from the application or a peer: kept, told on once, and acted on (spec: LINK-26). `false`: it
    /// was known, or is nobody's.
    pub(super) fn learn_revocation(&mut self, revocation: Revocation, from: Option<PipeId>) -> bool {
        let user = revocation.user();
        let is_linked = self.links.devices_of(user).next().is_some();
        let matters = from.is_none() || user == self.me().user || is_linked || self.book.user(user).is_some();
        if !matters || revocation.app() != self.own.app() {
            return false;
        }
        // A peer will say it again; an own wish was refused before (C8).
        if from.is_some() && !self.cx.has_store_room() {
            return false;
        }
        if !self.own.revocations.learn(&self.cx.config.crypto, revocation.clone()).unwrap_or(false) {
            return false;
        }
        self.store_dropped_revocations();
        self.store_revocation(&revocation);
        let linked: Vec<(Peer, PipeId)> = self.links.peers().collect();
        for (peer, pipe) in linked {
            if Some(pipe) != from {
                self.links.say(&mut self.cx, pipe, &Line::Revocation(revocation.clone()), || Said::Revocation);
            }
            let shown = self.links.link(pipe).and_then(|link| link.shown());
            if peer.user == user && shown.is_some_and(|shown| revocation.takes_back(peer.device, shown.from)) {
                self.links.close(&mut self.cx, pipe, CloseReason::Revoked);
            }
        }
        // It can act no more (spec: NODE-14).
        if revocation.revokes(self.own.credentials.delegation()) {
            self.phase = Phase::Expired;
            self.cx.notify_state(Notice::Revoked);
            self.give_up_expired();
            self.links.close_all(&mut self.cx, CloseReason::Revoked);
        }
        if user == self.me().user {
            self.publish_own();
        }
        true
    }

    pub(super) fn on_swap(&mut self, peer: Peer) {
        let now = self.cx.now;
        self.twins.retain(|(_, at)| now.since(*at) <= TWIN_TIME);
        if self.twins.len() >= TWINS_MAX {
            self.twins.remove(0);
        }
        self.twins.push((peer, now));
        if self.twins.iter().filter(|(other, _)| *other == peer).count() >= TWIN_SWAPS {
            self.twins.retain(|(other, _)| *other != peer);
            self.cx.notify(Notice::Twin { with: peer });
        }
    }

    /// A peer has told its time; three that agree are believed (spec: NODE-16).
    fn on_peer_clock(&mut self, with: LinkPeer, ahead: i64) {
        self.clocks.retain(|(other, _)| *other != with);
        if self.clocks.len() >= CLOCKS_MAX {
            self.clocks.remove(0);
        }
        self.clocks.push((with, ahead));
        let limit = i64::try_from(CLOCK_TOLERANCE_MS).unwrap_or(i64::MAX);
        let mut off: Vec<i64> =
            self.clocks.iter().map(|(_, ahead)| *ahead).filter(|theirs| theirs.abs() > limit && (*theirs > 0) == (ahead > 0)).collect();
        off.sort_unstable();
        if off.len() >= CLOCKS_AGREE && !self.clock_told {
            self.clock_told = true;
            let ahead_ms = off.get(off.len() / 2).copied().unwrap_or(ahead);
            self.cx.notify(Notice::ClockOff { ahead_ms });
        }
    }

    /// A link's delegations have ended.
    pub(super) fn on_link_end(&mut self, pipe: PipeId) {
        self.links.close(&mut self.cx, pipe, CloseReason::Expired);
    }

    /// Sets anew when links end.
    pub(super) fn set_ends(&mut self) {
        let my_end = self.own.credentials.delegation().until();
        let linked: Vec<(Peer, PipeId)> = self.links.peers().collect();
        for (_, pipe) in linked {
            self.links.set_end(&mut self.cx, pipe, my_end);
        }
    }

    /// Sets the timer for what is next in the life of the own delegation: half, nine tenths, the end (spec: NODE-13).
    pub(super) fn arm_renewal(&mut self) {
        if self.own.revocations.is_revoked(self.own.credentials.delegation()) {
            // A start or a wake does not undo it.
            self.cx.timers.cancel(TimerKey::Renewal);
            return self.expire(Notice::Revoked);
        }
        let (from, until) = self.life();
        let life = until.saturating_sub(from);
        let end = until.saturating_add(CLOCK_TOLERANCE_MS);
        let marks = [from.saturating_add(life / 2), from.saturating_add(life / 10 * 9), end];
        let wall = self.cx.wall.as_millis();
        if let Some(next) = marks.into_iter().find(|mark| *mark > wall) {
            self.cx.timers.set(TimerKey::Renewal, self.cx.now + Duration::from_millis(next.saturating_sub(wall)));
            if self.phase == Phase::Expired {
                // The wall clock had jumped ahead and is right again.
                self.phase = Phase::Running;
                self.seek_all();
            }
        } else {
            self.cx.timers.cancel(TimerKey::Renewal);
            self.expire(Notice::Expired);
        }
    }

    fn life(&self) -> (u64, u64) {
        let mine = self.own.credentials.delegation();
        (mine.from().as_millis(), mine.until().as_millis())
    }

    pub(super) fn on_renewal(&mut self) {
        if self.cx.wall.as_millis() < self.life().1.saturating_add(CLOCK_TOLERANCE_MS) {
            self.cx.notify(Notice::RenewalDue { until: self.own.credentials.delegation().until() });
        }
        self.arm_renewal();
    }

    fn expire(&mut self, why: Notice) {
        if self.phase == Phase::Running {
            self.phase = Phase::Expired;
            self.cx.notify_state(why);
            self.give_up_expired();
        }
    }
}
