//! Invitations, wired: made and used, said on links, entered in the address book, told to the application.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::Parts;
use crate::CloseReason;
use crate::address::{Scope, plain_socket, scope};
use crate::command::Address;
use crate::error::{CommandError, InvitationError, Undialled};
use crate::id::{InvitationId, OpId, Peer, PipeId, Tag, UserId};
use crate::invitation::{INVITATION_LIFE_MAX, Invitation};
use crate::invites::{self, Answered, Ripe, Verdict};
use crate::notice::{FailReason, Notice};
use crate::referral::book::ADDRESSES_MAX;
use crate::referral::search;
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::wire::line::{JoinLine, JoinedLine, Line};

impl Parts {
    /// Makes an invitation; told once it is stored (spec: INVITE-3).
    pub(super) fn invite(&mut self, life: Duration, addresses: &[Address]) -> Result<Tag, CommandError> {
        if life.is_zero() || life > INVITATION_LIFE_MAX {
            return Err(CommandError::Life);
        }
        if addresses.len() > ADDRESSES_MAX {
            return Err(CommandError::Address);
        }
        Address::check(addresses)?;
        if addresses.iter().any(Address::has_zone) {
            return Err(CommandError::Undialled(Undialled::LinkLocal));
        }
        let own = if addresses.is_empty() { self.reachable_at() } else { Vec::new() };
        let addresses = if addresses.is_empty() { &own } else { addresses };
        if addresses.is_empty() {
            return Err(CommandError::Nowhere);
        }
        if !self.invitations.has_room(&self.cx) {
            return Err(CommandError::Invitations);
        }
        let (user, until) = (self.me().user, self.cx.wall + life);
        let invitation = self.invitations.draft(&self.cx, self.own.app(), user, addresses, until).map_err(CommandError::Invitation)?;
        let tag = self.tag();
        self.invitations.keep(&mut self.cx, tag, invitation);
        self.arm_invitations();
        Ok(tag)
    }

    /// Where others can dial this node, as far as the shell has told: what reaches furthest first, this machine alone only if
    /// there is nothing else, and no address that means another thing on each network.
    fn reachable_at(&self) -> Vec<Address> {
        let is_of_a_link = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let known = self.listening.iter().map(|address| plain_socket(*address)).filter(|address| !is_of_a_link(address.ip()));
        let mut found: Vec<SocketAddr> = Vec::new();
        for address in known {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        found.sort_by_key(|address| core::cmp::Reverse(scope(*address)));
        let is_only_here = found.iter().all(|address| scope(*address) == Some(Scope::Loopback));
        found.retain(|address| is_only_here || scope(*address) != Some(Scope::Loopback));
        found.into_iter().map(Address::Ip).collect()
    }

    /// Uses an invitation: its user is known from now on, and asked on the next link (spec: INVITE-5, INVITE-9).
    pub(super) fn join(&mut self, invitation: Invitation) -> Result<Tag, CommandError> {
        let user = invitation.user();
        let why = if invitation.app() != self.own.app() {
            Some(InvitationError::App)
        } else if user == self.me().user {
            Some(InvitationError::Own)
        } else if invitation.until() <= self.cx.wall {
            Some(InvitationError::Ended)
        } else {
            None
        };
        if let Some(why) = why {
            return Err(CommandError::Invitation(why));
        }
        if !self.joins.has_room(&self.cx, invitation.id()) {
            return Err(CommandError::Invitations);
        }
        if !self.book.add(&mut self.cx, user, invitation.addresses()) {
            return Err(CommandError::Full);
        }
        let tag = self.tag();
        self.joins.begin(&mut self.cx, tag, invitation);
        self.arm_invitations();
        if self.is_wanted(user) {
            self.seek_anew(user);
        }
        Ok(tag)
    }

    /// An invitation is good for nobody from now on; one that is not known is as good as withdrawn (spec: INVITE-11).
    pub(super) fn withdraw(&mut self, invitation: InvitationId) -> Tag {
        let tag = self.tag();
        self.invitations.withdraw(&mut self.cx, invitation);
        self.arm_invitations();
        tag
    }

    /// Whether a join waits for a link with `user`.
    pub(super) fn is_join_stuck(&self, user: UserId) -> bool {
        self.joins.waits_for(user) && self.links.devices_of(user).next().is_none()
    }

    /// Says what is to be asked of a peer on its link, with a proof for this link (spec: INVITE-6).
    pub(super) fn ask_to_join(&mut self, peer: Peer, pipe: PipeId) {
        if !self.joins.waits_for(peer.user) {
            return;
        }
        let (Some(name), me) = (self.links.name(pipe), self.me()) else { return };
        let local = self.links.ends(pipe).map(|(local, _)| local);
        for (id, secret) in self.joins.ask(peer.user, pipe) {
            let addresses = search::own_addresses(&self.listening, local.into_iter());
            let join = JoinLine { id, proof: secret.proof(&name, me), addresses };
            self.links.say(&mut self.cx, pipe, &Line::Join(join), || Said::Join);
        }
    }

    /// A peer says that it was invited (spec: INVITE-7).
    pub(super) fn on_join(&mut self, pipe: PipeId, join: &JoinLine) {
        let Some(peer) = self.user_on(pipe) else { return };
        if join.addresses.len() > ADDRESSES_MAX {
            return self.links.fault(&mut self.cx, pipe, CloseReason::Malformed);
        }
        // Guesses are hopeless, and bounded all the same (spec: FIND-12).
        if !self.pay(peer.user) {
            return;
        }
        let Some(name) = self.links.name(pipe) else { return };
        let status = match self.invitations.check(&self.cx, join, &name, peer) {
            Verdict::Fresh if self.enter(pipe, peer, &join.addresses) => {
                return self.invitations.on_used(&mut self.cx, join.id, pipe, peer);
            }
            Verdict::Fresh => invites::NO_ROOM,
            Verdict::Again => {
                if let Some(ripe) = self.invitations.on_again(&mut self.cx, join.id, pipe, peer) {
                    self.say_ripe(ripe);
                }
                return;
            }
            Verdict::Used => invites::USED,
            Verdict::Over => invites::OVER,
            Verdict::Unknown => invites::UNKNOWN,
        };
        self.cx.stats.joins_refused = self.cx.stats.joins_refused.saturating_add(1);
        self.answer_join(pipe, JoinedLine { id: join.id, status });
    }

    /// Puts who was invited into the address book: where this node has dialled them, and those of their addresses that are
    /// of the scope of their link; if none is, their end of the link with the port that they name (spec: INVITE-10).
    fn enter(&mut self, pipe: PipeId, peer: Peer, stated: &[SocketAddr]) -> bool {
        let Some((_, remote)) = self.links.ends(pipe) else { return false };
        let remote = plain_socket(remote);
        let mut addresses: Vec<SocketAddr> = self.links.is_dialled(pipe).then_some(remote).into_iter().collect();
        let near = stated.iter().map(|address| plain_socket(*address)).filter(|address| scope(*address) == scope(remote));
        addresses.extend(near.filter(|address| scope(*address).is_some()));
        if let (true, Some(first)) = (addresses.is_empty(), stated.first()) {
            addresses.extend([SocketAddr::new(remote.ip(), first.port())].into_iter().filter(|guess| scope(*guess).is_some()));
        }
        let addresses: Vec<Address> = addresses.into_iter().map(Address::Ip).collect();
        self.cx.has_store_room() && self.book.add(&mut self.cx, peer.user, &addresses)
    }

    fn answer_join(&mut self, pipe: PipeId, joined: JoinedLine) {
        // The link may have ended while the store was busy.
        if self.links.link(pipe).is_some() {
            self.links.say(&mut self.cx, pipe, &Line::Joined(joined), || Said::Joined { status: joined.status });
        }
    }

    fn say_ripe(&mut self, ripe: Ripe) {
        match ripe {
            Ripe::Made(tag, invitation) => self.cx.notify(Notice::Invited { tag, invitation }),
            Ripe::Used { pipe, id, peer, is_news } => {
                self.answer_join(pipe, JoinedLine { id, status: invites::TAKEN });
                if is_news {
                    self.cx.notify(Notice::JoinedBy { peer, invitation: id });
                }
            }
        }
    }

    /// A batch is stored: says what waited for it (spec: INVITE-3, INVITE-9).
    pub(super) fn on_invites_stored(&mut self, op: OpId) {
        while let Some(ripe) = self.invitations.on_stored(&mut self.cx, op) {
            self.say_ripe(ripe);
        }
        for user in self.joins.on_stored(op) {
            let linked: Vec<Peer> = self.links.devices_of(user).collect();
            for peer in linked {
                if let Some(pipe) = self.links.of(peer) {
                    self.ask_to_join(peer, pipe);
                }
            }
        }
    }

    /// What became of a join of this node's (spec: INVITE-8).
    pub(super) fn on_joined(&mut self, pipe: PipeId, joined: JoinedLine) {
        let Some(peer) = self.user_on(pipe) else { return };
        match self.joins.on_answer(&mut self.cx, pipe, joined.id, joined.status) {
            Answered::Unasked => self.cx.stats.join_answers_dropped = self.cx.stats.join_answers_dropped.saturating_add(1),
            Answered::Wait => {}
            Answered::Done(tags, outcome) => {
                for tag in tags {
                    self.cx.notify(match outcome {
                        Ok(()) => Notice::Joined { tag, peer },
                        Err(why) => Notice::Failed { tag, why },
                    });
                }
                self.arm_invitations();
            }
        }
    }

    /// Gives up what is to be asked of `user`.
    pub(super) fn fail_joins(&mut self, user: UserId, why: FailReason) {
        for tag in self.joins.give_up(&mut self.cx, user) {
            self.cx.notify(Notice::Failed { tag, why });
        }
        self.arm_invitations();
    }

    /// Sets the timer for the next invitation that ends or is forgotten (spec: INVITE-5).
    pub(super) fn arm_invitations(&mut self) {
        match self.invitations.due().into_iter().chain(self.joins.due()).min() {
            Some(due) => self.cx.timers.set(TimerKey::Invitation, self.cx.now + due.since(self.cx.wall)),
            None => self.cx.timers.cancel(TimerKey::Invitation),
        }
    }

    /// The time of an invitation has come.
    pub(super) fn on_invitation_due(&mut self) {
        self.invitations.on_due(&mut self.cx);
        for (user, tags) in self.joins.on_due(&mut self.cx) {
            for tag in tags {
                self.cx.notify(Notice::Failed { tag, why: FailReason::InvitationEnded });
            }
            if !self.is_wanted(user) {
                self.stop_seeking(user);
            }
        }
        self.arm_invitations();
    }
}
