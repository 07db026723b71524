//! Wishes: checked whole before anything changes (C3).

use alloc::vec::Vec;

use super::Parts;
use crate::CloseReason;
use crate::command::{Address, Command, Keep, Send};
use crate::error::{CommandError, WireError};
use crate::id::{DeviceId, Peer, Tag, UserId};
use crate::identity::{Delegation, Refusal, Revocation};
use crate::notice::{FailReason, Notice};
use crate::outbox::GiveUp;
use crate::referral::book::{ADDRESSES_MAX, ENTRIES_MAX, FINDS_MAX};
use crate::trace::Said;
use crate::view::Phase;
use crate::wire::line::Line;

impl Parts {
    pub(super) fn on_command(&mut self, command: Command) -> Result<Tag, CommandError> {
        match self.phase {
            Phase::Starting => return Err(CommandError::Starting),
            Phase::Stopped => return Err(CommandError::Stopped),
            Phase::Suspending | Phase::Suspended => return Err(CommandError::Suspended),
            Phase::Expired if !matches!(command, Command::Renew { .. } | Command::Suspend) => return Err(CommandError::Expired),
            Phase::Expired | Phase::Running => {}
        }
        // A store that hangs must not make a node grow (C8).
        if !self.cx.has_store_room() && does_store(&command) {
            self.outbox.set_refused();
            return Err(CommandError::Full);
        }
        match command {
            Command::Send(send) => self.send(send),
            Command::Find { user } => self.find(user),
            Command::Introduce { user, addresses } => self.introduce(user, &addresses),
            Command::Forget { user } => self.forget(user),
            Command::Enter { entries } => {
                if entries.len() > ENTRIES_MAX {
                    return Err(CommandError::Address);
                }
                Address::check(entries.iter().map(|entry| &entry.address))?;
                let tag = self.tag();
                self.set_entries(entries);
                Ok(tag)
            }
            Command::Publish { policy, addresses } => self.publish(policy, addresses),
            Command::Locate { user, app, device } => self.locate(user, app, device),
            Command::Renew { delegation } => self.renew(delegation),
            Command::Revoke { revocation } => self.revoke(revocation),
            Command::Invite { life, addresses } => self.invite(life, &addresses),
            Command::Join { invitation } => self.join(invitation),
            Command::Withdraw { invitation } => Ok(self.withdraw(invitation)),
            Command::Suspend => {
                let tag = self.tag();
                self.suspend();
                Ok(tag)
            }
        }
    }

    fn send(&mut self, send: Send) -> Result<Tag, CommandError> {
        let me = self.me();
        if send.to == me.user && send.device == Some(me.device) {
            return Err(CommandError::Oneself);
        }
        if send.message.bytes() > (self.cx.config.line_bytes_max as usize).saturating_sub(128) {
            return Err(CommandError::Payload(WireError::TooLong));
        }
        self.find_receivers(send.to, send.device);
        let devices = core::mem::take(&mut self.receivers);
        let outcome = self.send_to(send, &devices);
        self.receivers = devices;
        outcome
    }

    fn send_to(&mut self, send: Send, devices: &[Peer]) -> Result<Tag, CommandError> {
        if !self.outbox.has_room(&self.cx, &send.message, devices.len().max(1)) {
            self.outbox.set_refused();
            return Err(CommandError::Full);
        }
        let (tag, user) = (self.tag(), send.to);
        if self.outbox.accept(&mut self.cx, tag, send, devices) {
            self.seek(user);
        }
        Ok(tag)
    }

    /// The devices of a user that a message goes to: proven ones that are not revoked; only `device` if it is given.
    fn find_receivers(&mut self, user: UserId, device: Option<DeviceId>) {
        self.receivers.clear();
        if let Some(known) = self.book.user(user) {
            let meant = known.devices.iter().filter(|shown| device.is_none_or(|device| device == shown.device()));
            let alive = meant.filter(|shown| !self.own.revocations.is_revoked(shown));
            self.receivers.extend(alive.map(Delegation::peer));
        } else {
            // The book may have had no room for somebody who is linked.
            let linked = self.links.devices_of(user);
            self.receivers.extend(linked.filter(|peer| device.is_none_or(|device| device == peer.device)));
        }
    }

    fn find(&mut self, user: UserId) -> Result<Tag, CommandError> {
        let linked = self.links.devices_of(user).next();
        if self.book.user(user).is_some_and(|known| known.finds.len() >= FINDS_MAX) {
            return Err(CommandError::Full);
        }
        if linked.is_none() && self.book.user_mut(&mut self.cx, user).is_none() {
            return Err(CommandError::Full);
        }
        let tag = self.tag();
        match linked {
            Some(peer) => self.cx.notify(Notice::Found { tag, peer }),
            None => {
                if let Some(known) = self.book.known_mut(user) {
                    let mut finds = core::mem::take(&mut known.finds).into_vec();
                    finds.push(tag);
                    known.finds = finds.into_boxed_slice();
                }
                self.seek(user);
            }
        }
        Ok(tag)
    }

    fn introduce(&mut self, user: UserId, addresses: &[Address]) -> Result<Tag, CommandError> {
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(CommandError::Address);
        }
        Address::check(addresses)?;
        if !self.book.introduce(&mut self.cx, user, addresses) {
            return Err(CommandError::Full);
        }
        let tag = self.tag();
        if self.is_wanted(user) {
            self.seek_anew(user);
        }
        Ok(tag)
    }

    fn forget(&mut self, user: UserId) -> Result<Tag, CommandError> {
        let tag = self.tag();
        self.outbox.give_up(&mut self.cx, user, GiveUp::All(FailReason::Forgotten));
        for find in self.book.forget(&mut self.cx, user) {
            self.cx.notify(Notice::Failed { tag: find, why: FailReason::Forgotten });
        }
        self.invitations.withdraw_used_by(&mut self.cx, user);
        self.fail_joins(user, FailReason::Forgotten);
        self.stop_seeking(user);
        let linked: Vec<Peer> = self.links.devices_of(user).collect();
        for peer in linked {
            if let Some(pipe) = self.links.of(peer) {
                self.links.close(&mut self.cx, pipe, CloseReason::Forgotten);
            }
        }
        Ok(tag)
    }

    /// Whether `delegation` may take the place of the present one (spec: ID-8).
    pub(super) fn check_renewal(&self, delegation: &Delegation) -> Result<(), WireError> {
        let mine = self.own.credentials.delegation();
        let is_mine = delegation.peer() == mine.peer()
            && delegation.app() == mine.app()
            && delegation.signing() == mine.signing()
            && delegation.noise() == mine.noise();
        if !is_mine || delegation.until() <= mine.until() {
            return Err(WireError::Window);
        }
        delegation.verify(&self.cx.config.crypto)
    }

    pub(super) fn renew(&mut self, delegation: Delegation) -> Result<Tag, CommandError> {
        self.check_renewal(&delegation).map_err(CommandError::Renewal)?;
        if self.own.revocations.is_revoked(&delegation) || delegation.check_window(self.cx.wall) == Err(Refusal::Expired) {
            return Err(CommandError::Renewal(WireError::Window));
        }
        let tag = self.tag();
        let until = delegation.until();
        self.own.credentials = self.own.credentials.renewed(delegation);
        self.store_renewal();
        self.cx.notify(Notice::Renewed { until });
        let linked: Vec<_> = self.links.peers().collect();
        for (_, pipe) in linked {
            let delegation = self.own.credentials.delegation().clone();
            self.links.say(&mut self.cx, pipe, &Line::Delegation(delegation), || Said::Delegation);
        }
        self.set_ends();
        self.publish_own();
        let was_expired = core::mem::replace(&mut self.phase, Phase::Running) == Phase::Expired;
        self.arm_renewal();
        if was_expired {
            self.seek_all();
        }
        Ok(tag)
    }

    fn revoke(&mut self, revocation: Revocation) -> Result<Tag, CommandError> {
        if revocation.app() != self.own.app() {
            return Err(CommandError::Revocation(WireError::AppId));
        }
        revocation.verify(&self.cx.config.crypto).map_err(CommandError::Revocation)?;
        let tag = self.tag();
        let _ = self.learn_revocation(revocation, None);
        Ok(tag)
    }

    /// Says good-bye; `Quiet` follows when all is closed and stored (spec: NODE-15).
    fn suspend(&mut self) {
        self.phase = Phase::Suspending;
        self.rest_dht();
        self.dials.stop(&mut self.cx);
        self.links.close_all(&mut self.cx, CloseReason::Suspended);
    }
}

/// Whether what a command asks for is written to the store.
const fn does_store(command: &Command) -> bool {
    match command {
        Command::Send(send) => matches!(send.keep, Keep::Disk),
        Command::Introduce { .. }
        | Command::Forget { .. }
        | Command::Enter { .. }
        | Command::Publish { .. }
        | Command::Renew { .. }
        | Command::Revoke { .. }
        | Command::Invite { .. }
        | Command::Join { .. }
        | Command::Withdraw { .. } => true,
        Command::Find { .. } | Command::Locate { .. } | Command::Suspend => false,
    }
}
