//! Looking for what somebody has published: one look-up in each realm, whose findings are told under one tag.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::find::{self, Eyes, Finding, Sought, Tell, What};
use super::home;
use super::key::{Hint, Key};
use super::record::latest;
use super::rpc::{Asked, Question};
use super::seek::{Goal, Seek, numbered};
use super::told::{Found, Told};
use super::wire::{Contact, DeviceHint, Got, Kind};
use super::{Dht, Purpose};
use crate::cx::Cx;
use crate::error::CommandError;
use crate::id::{AppId, DeviceId, Tag, UserId};
use crate::identity::{Delegation, Revocation};

/// A search as the application knows it.
pub(super) struct Search {
    pub(super) tag: Tag,
    /// In how many realms it goes on.
    left: usize,
    is_found: bool,
    is_partial: bool,
}

/// What is known of whoever is looked for.
#[derive(Default)]
pub(crate) struct Known {
    /// Delegations that were verified.
    pub(crate) delegations: Vec<Delegation>,
    pub(crate) revocation: Option<Revocation>,
}

impl Dht {
    /// Looks in every realm for what a user has published in an app; what is found is told under this tag, at the end an
    /// [`Told::Over`], at once if there is nobody to ask.
    ///
    /// # Errors
    /// [`CommandError::Full`] if as many searches go on as may.
    pub(crate) fn find(&mut self, cx: &mut Cx, tag: Tag, who: (UserId, &AppId), what: What, known: &Known) -> Result<(), CommandError> {
        if self.searches.len() >= cx.config.dht_look_ups_max as usize {
            return Err(CommandError::Full);
        }
        let (user, home) = (who.0, Key::home(who.0, who.1));
        let mut left: usize = 0;
        self.accepted.reach(latest(cx.wall));
        for at in 0..self.nets.len() {
            let Some(net) = self.nets.get(at).filter(|net| net.local.is_some()) else { continue };
            let scope = net.realm.scope;
            let sought = Sought { user, home, scope, what, latest: latest(cx.wall) };
            // What has ended says nothing of where a device is: whoever knows no other is a stranger (spec: DHT-90).
            let counting = known.delegations.iter().filter(|known| known.check_window(cx.wall).is_ok());
            let mut finding = Finding::new(sought, counting.cloned(), known.revocation.clone());
            self.look_at_home(cx, &mut finding);
            if self.seek(cx, at, home, Goal::Find(tag, Box::new(finding))).is_some() {
                left = left.saturating_add(1);
            }
        }
        if left == 0 {
            self.tell(Told::Over { tag, is_found: false, is_partial: true });
        } else {
            self.searches.push(Search { tag, left, is_found: false, is_partial: false });
        }
        self.settle(cx);
        Ok(())
    }

    /// Gives up a search; nothing more is told of it.
    pub(crate) fn cancel(&mut self, cx: &mut Cx, tag: Tag) {
        self.searches.retain(|search| search.tag != tag);
        self.seeks.retain(|seek| !matches!(&seek.goal, Goal::Find(of, _) if *of == tag));
        self.settle(cx);
    }

    /// What this node keeps itself is told first, and counts for nothing more.
    fn look_at_home(&mut self, cx: &mut Cx, finding: &mut Finding) {
        let Sought { home, scope, what, .. } = *finding.sought();
        let device = if let What::Address(device) = what { Some(DeviceHint::of(device)) } else { None };
        for kind in [Kind::Revocation, Kind::Device, Kind::Address] {
            let wanted = home::Wanted { home, scope, kind, device: device.filter(|_| kind != Kind::Revocation), known: None };
            if let Some(json) = self.home.get(&wanted, cx.wall).record {
                let checked = &mut cx.stats.signatures_checked;
                let mut eyes = Eyes { crypto: &cx.config.crypto, now: cx.wall, known: &mut self.delegations, checked };
                finding.on_own(kind, json, &mut eyes);
            }
        }
    }

    /// Sends what a search wants to ask besides its look-up, and tells what it has found; whether it is over.
    pub(super) fn drive_find(&mut self, cx: &mut Cx, seek: &mut Seek) -> bool {
        let Seek { number, target, goal: Goal::Find(tag, finding), look_up, .. } = seek else { return true };
        while let Some(find::Again { hint, at, question }) = finding.next_again(look_up) {
            let find::Question { kind, device, known } = question;
            let asked = Question::Get { target: *target, kind, device, known, write: false, is_fair: false };
            if !self.ask_contact(cx, Contact { hint, at }, asked, Purpose::Again { number: *number }) {
                finding.on_again_lost(at, &question);
            }
        }
        while let Some(tell) = finding.tell(look_up, &mut self.accepted, cx.now) {
            match tell {
                Tell::Revoked => self.told.extend(finding.revocation().cloned().map(Told::Revoked)),
                Tell::First { device, is_local } => {
                    let is_local = is_local && !self.is_bound_here(finding.sought(), device);
                    self.tell_found(*tag, finding, device, (false, is_local));
                }
                Tell::Final { device, .. } => self.tell_found(*tag, finding, device, (true, false)),
                Tell::Over { is_found, is_partial } => {
                    cx.stats.dht_records_refused = cx.stats.dht_records_refused.saturating_add(finding.rolled_back().into());
                    let is_here = finding.told().any(|device| self.is_bound_here(finding.sought(), device));
                    self.on_over(*tag, is_found || is_here, is_partial);
                    return true;
                }
            }
        }
        false
    }

    fn tell_found(&mut self, tag: Tag, finding: &Finding, device: DeviceId, (is_final, is_local): (bool, bool)) {
        let found = Found {
            tag,
            user: finding.sought().user,
            device,
            scope: finding.sought().scope,
            address: finding.address(device).cloned(),
            record: finding.device(device).cloned(),
            delegation: finding.delegation(device).cloned(),
            is_final,
            is_local,
            is_bound: finding.is_bound(device) || self.is_bound_here(finding.sought(), device),
        };
        self.tell(Told::Found(Box::new(found)));
    }

    /// What this node knows itself.
    fn is_bound_here(&self, sought: &Sought, device: DeviceId) -> bool {
        self.binds.as_ref().is_some_and(|binds| binds.of(sought.home, sought.scope).any(|(bound, _)| bound == device))
    }

    fn on_over(&mut self, tag: Tag, is_found: bool, is_partial: bool) {
        let Some(index) = self.searches.iter().position(|search| search.tag == tag) else { return };
        let Some(search) = self.searches.get_mut(index) else { return };
        search.left = search.left.saturating_sub(1);
        search.is_found |= is_found;
        search.is_partial |= is_partial;
        if search.left == 0 {
            let Search { is_found, is_partial, .. } = self.searches.remove(index);
            self.tell(Told::Over { tag, is_found, is_partial });
        }
    }

    /// Gives the newest of what was found to those who should have it and said that they have something older
    /// (spec: DHT-97).
    pub(super) fn write_back(&mut self, cx: &mut Cx, seek: &Seek) {
        let Goal::Find(_, finding) = &seek.goal else { return };
        for find::WriteBack { hint, at, kind, device } in finding.write_backs(&seek.look_up, &self.accepted) {
            let number = match kind {
                Kind::Address => finding.address(device).map(|record| record.sequence()),
                Kind::Device => finding.device(device).map(|record| record.number()),
                Kind::Revocation => None,
            };
            let Some((number, record)) = number.zip(finding.record_json(kind, device)) else { continue };
            let device = Some(DeviceHint::of(device));
            let question = Question::Offer { target: seek.target, kind, device, number, record: Arc::from(record) };
            self.ask_contact(cx, Contact { hint, at }, question, Purpose::Give);
        }
    }

    /// A node that a search asked, in its look-up or again, has said what it holds.
    pub(super) fn on_find_reply(&mut self, cx: &mut Cx, number: u32, hint: Hint, asked: &Asked<Purpose>, got: &Got<'_>) {
        let Some(question) = asked_for(asked) else { return };
        let Some(seek) = numbered(&mut self.seeks, number) else { return };
        let Goal::Find(_, finding) = &mut seek.goal else { return };
        let checked = &mut cx.stats.signatures_checked;
        let mut eyes = Eyes { crypto: &cx.config.crypto, now: cx.wall, known: &mut self.delegations, checked };
        finding.on_got(hint, asked.to, &question, got, &mut eyes);
        if finding.is_found(&self.accepted) {
            seek.look_up.end_rounds();
        }
        self.is_dirty = true;
    }

    /// A node that a search asked again is slow, or silent for good.
    pub(super) fn on_again_late(&mut self, number: u32, asked: &Asked<Purpose>, is_lost: bool) {
        let Some(question) = asked_for(asked) else { return };
        let Some(seek) = numbered(&mut self.seeks, number) else { return };
        if let Goal::Find(_, finding) = &mut seek.goal {
            if is_lost {
                finding.on_again_lost(asked.to, &question);
            } else {
                finding.on_again_slow(asked.to, &question);
            }
            self.is_dirty = true;
        }
    }
}

fn asked_for(asked: &Asked<Purpose>) -> Option<find::Question> {
    if let Question::Get { kind, device, known, .. } = &asked.question {
        Some(find::Question { kind: *kind, device: *device, known: *known })
    } else {
        None
    }
}
