//! Who is looked for in the DHT: on the way to a link with a user (spec: DHT-165), or to be told where they are.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Parts;
use super::explain::is_searched;
use crate::command::Address;
use crate::dht::{Found, Known, What};
use crate::error::CommandError;
use crate::id::{AppId, DeviceId, Tag, UserId};
use crate::identity::Delegation;
use crate::notice::{DhtNotice, FailReason, Notice};
use crate::referral::dial::Target;
use crate::time::Time;
use crate::view::{AddressView, Attempt, AttemptOutcome, LookUpOutcome, LookUpView};

/// One address at which nobody has proven to be is dialled once in this time, whoever is said to be there (spec: DHT-166).
const SAME_ADDRESS: Duration = Duration::from_secs(10);
/// Addresses of one user that are dialled and remembered: of eight devices three each.
const PLACES_MAX: usize = 24;
/// Addresses that are dialled in that time at most (guess: as many as 42 users with 24 each).
const DIALLED_MAX: usize = 1_024;
/// Where the node's own numbers of look-ups begin: no command has such a tag.
const OWN_TAGS: u64 = 1 << 63;

/// Look-ups of this node, and what they have found.
#[derive(Default)]
pub(super) struct Looks {
    users: BTreeMap<UserId, Box<Look>>,
    /// Commands that wait for their end.
    locates: Vec<Tag>,
    begun: u64,
    /// What was dialled in the last ten seconds.
    dialled: Vec<(SocketAddr, Time)>,
}

/// How it goes with one user.
struct Look {
    /// The look-up that goes on.
    tag: Option<Tag>,
    at: Time,
    outcome: LookUpOutcome,
    places: Vec<AddressView>,
    /// Somebody else has said where they are: what this node keeps itself is nobody's word (spec: DHT-92).
    is_told: bool,
    /// Those of the look-up before, with what came of them.
    before: Vec<AddressView>,
    delegations: Vec<Delegation>,
    /// The last link with them came up at one of these places: they are tried before anybody is asked again.
    is_good: bool,
}

impl Looks {
    fn by_tag(&self, tag: Tag) -> Option<UserId> {
        self.users.iter().find(|(_, look)| look.tag == Some(tag)).map(|(user, _)| *user)
    }

    /// Room for one more user: the one that was looked for longest ago is forgotten, unless they still are.
    fn make_room(&mut self, user: UserId, most: usize) -> bool {
        if self.users.contains_key(&user) || self.users.len() < most {
            return true;
        }
        let oldest = self.users.iter().filter(|(_, look)| look.tag.is_none()).min_by_key(|(_, look)| look.at).map(|(user, _)| *user);
        oldest.is_some_and(|oldest| self.users.remove(&oldest).is_some())
    }

    /// Whether an address may be dialled now; then it was.
    fn may_dial(&mut self, at: SocketAddr, now: Time) -> bool {
        self.dialled.retain(|(_, when)| now.since(*when) < SAME_ADDRESS);
        let is_new = self.dialled.len() < DIALLED_MAX && self.dialled.iter().all(|(dialled, _)| *dialled != at);
        if is_new {
            self.dialled.push((at, now));
        }
        is_new
    }
}

impl Look {
    const fn new(at: Time) -> Self {
        let outcome = LookUpOutcome::Running;
        Self { tag: None, at, outcome, places: Vec::new(), is_told: false, before: Vec::new(), delegations: Vec::new(), is_good: false }
    }

    /// Takes in what was found of a device; the addresses that are new.
    fn add(&mut self, found: &Found) -> Vec<SocketAddr> {
        if let Some(delegation) = &found.delegation {
            self.delegations.retain(|known| known.device() != delegation.device());
            self.delegations.push(delegation.clone());
        }
        self.is_told |= !found.is_local;
        let addresses = found.address.as_ref().map(|record| record.addresses()).unwrap_or_default();
        let is_new = |at: &SocketAddr| self.places.iter().all(|place| place.address != Address::Ip(*at));
        let room = PLACES_MAX.saturating_sub(self.places.len());
        let new: Vec<SocketAddr> = addresses.iter().copied().filter(is_new).take(room).collect();
        for at in &new {
            let address = Address::Ip(*at);
            let attempt = self.before.iter().find(|place| place.address == address).and_then(|place| place.attempt);
            self.places.push(AddressView { address, attempt });
        }
        new
    }
}

impl Parts {
    /// Asks the DHT where the devices of a user are, and tells what it says.
    pub(super) fn locate(&mut self, user: UserId, app: Option<AppId>, device: Option<DeviceId>) -> Result<Tag, CommandError> {
        let app = app.unwrap_or_else(|| self.own.app().clone());
        let known = if app == *self.own.app() { self.known_of(user) } else { Known::default() };
        self.begin_dht();
        let tag = self.next_tag();
        let what = device.map_or(What::Addresses, What::Address);
        match self.dht() {
            Some((dht, cx)) => dht.find(cx, tag, (user, &app), what, &known)?,
            None => self.cx.notify(Notice::Failed { tag, why: FailReason::NoNetwork }),
        }
        if self.has_dht() {
            self.joint().looks.locates.push(tag);
        }
        Ok(self.tag())
    }

    /// Looks for a user in the DHT, or dials where it was found the last time. Nothing happens if that goes on already, or
    /// there is no DHT.
    pub(super) fn look_up(&mut self, user: UserId) {
        if !self.has_dht() || self.is_looked_up(user) {
            return;
        }
        let now = self.cx.now;
        if let Some(look) = self.look_mut(user)
            && core::mem::take(&mut look.is_good)
        {
            let is_proven = |place: &&AddressView| place.attempt.is_some_and(|attempt| attempt.outcome == AttemptOutcome::Linked);
            let places: Vec<Address> = look.places.iter().filter(is_proven).map(|place| place.address.clone()).collect();
            self.dials.add(&mut self.cx, Target::Found(user), places);
            if self.is_looked_up(user) {
                return;
            }
        }
        let (known, app, most) = (self.known_of(user), self.own.app().clone(), self.cx.config.dht_look_ups_max as usize);
        let Some(joint) = &mut self.joint else { return };
        let Some(dht) = joint.dht.as_deref_mut().filter(|_| joint.looks.make_room(user, most)) else { return };
        joint.looks.begun = joint.looks.begun.saturating_add(1);
        let tag = Tag::new(OWN_TAGS | joint.looks.begun);
        if dht.find(&mut self.cx, tag, (user, &app), What::Addresses, &known).is_ok() {
            let before = joint.looks.users.remove(&user).map(|look| look.places).unwrap_or_default();
            joint.looks.users.insert(user, Box::new(Look { tag: Some(tag), before, ..Look::new(now) }));
        }
    }

    /// Whether the DHT is asked for a user, or what it has said is being dialled.
    pub(super) fn is_looked_up(&self, user: UserId) -> bool {
        self.look(user).is_some_and(|look| look.tag.is_some()) || self.dials.is_dialling(Target::Found(user))
    }

    /// Something was found of a device.
    pub(super) fn on_located(&mut self, found: &Found) {
        let Some(joint) = &mut self.joint else { return };
        if joint.looks.locates.contains(&found.tag) {
            if let Some(notice) = found.notice() {
                self.cx.notify(Notice::Dht(notice));
            }
            return;
        }
        let Some(user) = joint.looks.by_tag(found.tag) else { return };
        let me = self.own.credentials.delegation().peer();
        let is_me = (found.user, found.device) == (me.user, me.device);
        let Some(look) = joint.looks.users.get_mut(&user).filter(|_| !is_me) else { return };
        let places = look.add(found);
        if self.is_wanted(user) {
            self.dial_places(user, places);
        }
    }

    /// A look-up has ended.
    pub(super) fn on_look_up_over(&mut self, tag: Tag, is_found: bool, is_partial: bool) {
        let Some(joint) = &mut self.joint else { return };
        let has_network = joint.dht.as_ref().is_some_and(|dht| dht.knows_somebody());
        if let Some(index) = joint.looks.locates.iter().position(|locate| *locate == tag) {
            joint.looks.locates.swap_remove(index);
            let notice = if is_found {
                Notice::Dht(DhtNotice::Ended { tag, is_found, is_partial })
            } else {
                Notice::Failed { tag, why: if has_network { FailReason::NotFound } else { FailReason::NoNetwork } }
            };
            return self.cx.notify(notice);
        }
        let Some(user) = joint.looks.by_tag(tag) else { return };
        if let Some(look) = joint.looks.users.get_mut(&user) {
            look.tag = None;
            // What this node keeps itself is dialled too, but is nobody's word.
            look.outcome = match (is_found, look.places.is_empty()) {
                (true, false) => LookUpOutcome::Found,
                (true, true) => LookUpOutcome::Nowhere,
                (false, _) if !has_network => LookUpOutcome::NoNetwork,
                (false, _) if is_partial => LookUpOutcome::Unsure,
                (false, _) => LookUpOutcome::NotFound,
            };
        }
        self.on_looked_in_vain(user);
    }

    /// Where the DHT said that a user is was tried.
    pub(super) fn on_place_tried(&mut self, user: UserId, address: &Address, outcome: AttemptOutcome) {
        let at = self.cx.now;
        if let Some(look) = self.look_mut(user) {
            look.is_good = outcome == AttemptOutcome::Linked;
            if let Some(place) = look.places.iter_mut().find(|place| place.address == *address) {
                place.attempt = Some(Attempt { at, outcome });
            }
        }
    }

    /// Nothing goes on any more for whoever is wanted still: if peers are not asked either, that may be the verdict.
    pub(super) fn on_looked_in_vain(&mut self, user: UserId) {
        let is_asked = self.book.user(user).is_some_and(|known| is_searched(known, |since| self.cx.now.since(since)));
        if self.is_wanted(user) && !self.is_looked_up(user) && !is_asked {
            self.on_search_over(user);
        }
    }

    /// Nobody waits for a user any more.
    pub(super) fn stop_looking(&mut self, user: UserId) {
        let _ = self.dials.finish(&mut self.cx, Target::Found(user));
        let Some(tag) = self.look_mut(user).and_then(|look| look.tag.take()) else { return };
        if let Some((dht, cx)) = self.dht() {
            dht.cancel(cx, tag);
        }
        if let Some(look) = self.look_mut(user) {
            look.outcome = if look.is_told && !look.places.is_empty() { LookUpOutcome::Found } else { LookUpOutcome::Unsure };
        }
    }

    /// The DHT goes to rest: who waits for what it says is told, and users are looked for anew when it is back.
    pub(super) fn end_look_ups(&mut self) {
        let Some(joint) = &mut self.joint else { return };
        for tag in core::mem::take(&mut joint.looks.locates) {
            self.cx.notify(Notice::Failed { tag, why: FailReason::NoNetwork });
        }
        joint.looks.users.clear();
    }

    /// Delegations of a user that the DHT has shown.
    pub(super) fn found_delegations(&self, user: UserId) -> &[Delegation] {
        self.look(user).map(|look| look.delegations.as_slice()).unwrap_or_default()
    }

    /// Why a user cannot be reached, as far as the DHT changes what the address book says.
    pub(super) fn reason(&self, user: UserId) -> FailReason {
        let why = self.book.reason(user);
        let is_asked = self.book.user(user).is_some_and(|known| known.searches.is_some());
        match self.look(user) {
            Some(look) if why == FailReason::NotFound && !look.places.is_empty() => FailReason::Unreachable,
            Some(look) if why == FailReason::NotFound && look.outcome == LookUpOutcome::NoNetwork && !is_asked => FailReason::NoNetwork,
            _ => why,
        }
    }

    /// What the DHT has said of a user, for `explain`.
    pub(super) fn look_up_view(&self, user: UserId) -> Option<(LookUpView, Vec<AddressView>)> {
        self.look(user).map(|look| (LookUpView { at: look.at, outcome: look.outcome }, look.places.clone()))
    }

    /// Dials addresses of verified records (spec: DHT-166).
    fn dial_places(&mut self, user: UserId, places: Vec<SocketAddr>) {
        let now = self.cx.now;
        let Some(joint) = &mut self.joint else { return };
        let mut allowed = Vec::new();
        for at in places {
            if self.listening.contains(&at) || !joint.looks.may_dial(at, now) {
                self.cx.stats.dials_refused = self.cx.stats.dials_refused.saturating_add(1);
            } else {
                allowed.push(Address::Ip(at));
            }
        }
        if !allowed.is_empty() {
            self.dials.add(&mut self.cx, Target::Found(user), allowed);
        }
    }

    fn known_of(&self, user: UserId) -> Known {
        let devices = self.book.user(user).map(|known| known.devices.iter().cloned().collect()).unwrap_or_default();
        Known { delegations: devices, revocation: self.own.revocations.of(user, self.own.app()).cloned() }
    }

    fn look(&self, user: UserId) -> Option<&Look> {
        self.joint.as_ref()?.looks.users.get(&user).map(|look| &**look)
    }

    fn look_mut(&mut self, user: UserId) -> Option<&mut Look> {
        self.joint.as_mut()?.looks.users.get_mut(&user).map(|look| &mut **look)
    }
}
