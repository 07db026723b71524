//! Why something waits, put together from what every machine knows.

use core::time::Duration;

use super::Parts;
use crate::id::{DeviceId, UserId};
use crate::outbox::Held;
use crate::referral::book::User;
use crate::referral::dial::Target;
use crate::referral::search::{CRUMBS, FOUND, PASSED};
use crate::timer::TimerKey;
use crate::view::{Explanation, Phase, Waiting};

impl Parts {
    /// Everything that is known of why messages for `user` wait.
    pub(super) fn explain(&self, user: UserId) -> Explanation {
        let mut explanation = Explanation::nothing(user, self.cx.now);
        explanation.linked = self.links.devices_of(user).map(|peer| peer.device).collect();
        explanation.waiting = self.outbox.count_of(user);
        explanation.next_try = self.cx.timers.at(TimerKey::Retry(user));
        if let Some(known) = self.book.user(user) {
            explanation.known = known.devices.iter().map(crate::identity::Delegation::device).collect();
            explanation.addresses.clone_from(&known.addresses);
            explanation.searches = known.searches.iter().flat_map(|searches| searches.iter()).copied().collect();
            explanation.last_failure = known.failure;
        }
        if let Some((look_up, located)) = self.look_up_view(user) {
            (explanation.look_up, explanation.located) = (Some(look_up), located);
        }
        let is_sought = self.book.user(user).is_some_and(|known| !known.finds.is_empty()) || self.is_join_stuck(user);
        if explanation.waiting > 0 || is_sought {
            explanation.why = match self.own_trouble() {
                Some(why) => [why].into(),
                None => self.outbox.held(user).map(|(device, held)| self.waits_for(user, device, held)).collect(),
            };
            if explanation.why.is_empty() {
                explanation.why.push(self.waits_for_link(user));
            }
            explanation.why.sort_unstable();
            explanation.why.dedup();
        }
        explanation
    }

    /// What keeps this node from sending anything.
    fn own_trouble(&self) -> Option<Waiting> {
        match self.phase {
            Phase::Stopped => Some(Waiting::Stopped),
            Phase::Suspending | Phase::Suspended => Some(Waiting::Suspended),
            Phase::Expired if self.own.revocations.is_revoked(self.own.credentials.delegation()) => Some(Waiting::Revoked),
            Phase::Expired => Some(Waiting::Expired),
            Phase::Starting | Phase::Running => None,
        }
    }

    fn waits_for(&self, user: UserId, device: Option<DeviceId>, held: Held) -> Waiting {
        match held {
            Held::Store => Waiting::Store,
            Held::Taking => Waiting::Taking,
            Held::Window => Waiting::Window,
            Held::Link if self.is_peer_revoked(user, device) => Waiting::PeerRevoked,
            Held::Link => self.waits_for_link(user),
        }
    }

    /// Whether the device is revoked, or each one that is known.
    fn is_peer_revoked(&self, user: UserId, device: Option<DeviceId>) -> bool {
        let Some(known) = self.book.user(user) else { return false };
        let mut meant = known.devices.iter().filter(|shown| device.is_none_or(|device| device == shown.device())).peekable();
        meant.peek().is_some() && meant.all(|shown| self.own.revocations.is_revoked(shown))
    }

    fn waits_for_link(&self, user: UserId) -> Waiting {
        let known = self.book.user(user);
        if self.dials.is_dialling(Target::User(user)) || self.dials.is_dialling(Target::Found(user)) {
            Waiting::Dial
        } else if self.is_looked_up(user) {
            Waiting::LookUp
        } else if known.is_some_and(|known| is_searched(known, |since| self.cx.now.since(since))) {
            Waiting::Search
        } else if known.is_none_or(|known| known.addresses.is_empty() && known.searches.is_none()) && self.look_up_view(user).is_none() {
            Waiting::Address
        } else {
            Waiting::Retry
        }
    }
}

/// Whether somebody who was asked may answer yet.
pub(super) fn is_searched(known: &User, age: impl Fn(crate::time::Time) -> Duration) -> bool {
    known
        .searches
        .as_ref()
        .and_then(|searches| searches.back())
        .is_some_and(|search| search.status.is_none_or(|status| status == FOUND || status == PASSED) && age(search.at) <= CRUMBS)
}
