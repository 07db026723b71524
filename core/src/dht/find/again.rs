//! Whom to ask once more, now that it has given a cookie: for what found no room, for what it says is newer, for the other
//! kind, and for a revocation.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::holders::Holder;
use super::{Finding, Question};
use crate::dht::key::Hint;
use crate::dht::lookup::LookUp;
use crate::dht::wire::{DeviceHint, Kind};
use crate::identity::Revocation;

/// Such questions of one look-up: each of eight devices by name, for both kinds, from two holders, and each of sixteen for what it could not
/// say of both (spec: DHT-96).
const AGAIN_MAX: usize = 64;
/// How many of them are on their way at once: as many as there are paths.
const IN_FLIGHT_MAX: usize = 4;
/// Of whom a revocation is asked for at most (spec: DHT-95).
const REVOCATIONS_MAX: usize = 3;

/// A question to a node that has answered before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Again {
    pub(crate) hint: Hint,
    pub(crate) at: SocketAddr,
    pub(crate) question: Question,
}

/// Those that were asked again.
#[derive(Default)]
pub(super) struct Running(Vec<Asked>);

struct Asked {
    at: SocketAddr,
    kind: Kind,
    device: Option<DeviceHint>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    InTime,
    Slow,
    Done,
}

impl Running {
    pub(super) fn is_idle(&self) -> bool {
        self.0.iter().all(|asked| asked.stage == Stage::Done)
    }

    pub(super) fn on_done(&mut self, at: SocketAddr, question: &Question) {
        let is_it = |asked: &&mut Asked| asked.at == at && asked.kind == question.kind && asked.device == question.device;
        if let Some(asked) = self.0.iter_mut().find(is_it) {
            asked.stage = Stage::Done;
        }
    }

    fn has_asked(&self, at: SocketAddr, kind: Kind, device: Option<DeviceHint>) -> bool {
        self.0.iter().any(|asked| (asked.at, asked.kind, asked.device) == (at, kind, device))
    }

    fn is_awaited(&self, kind: Kind, device: Option<DeviceHint>) -> bool {
        self.0.iter().any(|asked| (asked.kind, asked.device) == (kind, device) && asked.stage != Stage::Done)
    }

    fn count(&self, is_it: impl Fn(&Asked) -> bool) -> usize {
        self.0.iter().filter(|asked| is_it(asked)).count()
    }
}

impl Finding {
    /// Whom to ask again now; it is in flight from then on. Revocations come first; then whoever was asked least
    /// (spec: DHT-95, DHT-96).
    pub(crate) fn next_again(&mut self, look_up: &LookUp) -> Option<Again> {
        if self.is_over || self.running.count(|asked| asked.stage != Stage::Done) >= IN_FLIGHT_MAX {
            return None;
        }
        let again = self.choose_again(look_up)?;
        let Question { kind, device, .. } = again.question;
        self.running.0.push(Asked { at: again.at, kind, device, stage: Stage::InTime });
        Some(again)
    }

    /// The first time of a question that was asked again has run out.
    pub(crate) fn on_again_slow(&mut self, at: SocketAddr, question: &Question) {
        let is_it = |asked: &&mut Asked| (asked.at, asked.kind, asked.device) == (at, question.kind, question.device);
        if let Some(asked) = self.running.0.iter_mut().find(is_it).filter(|asked| asked.stage == Stage::InTime) {
            asked.stage = Stage::Slow;
        }
    }

    /// Such a question will not be answered.
    pub(crate) fn on_again_lost(&mut self, at: SocketAddr, question: &Question) {
        self.running.on_done(at, question);
    }

    /// Whether there is somebody to ask again.
    pub(super) fn has_again(&self, look_up: &LookUp) -> bool {
        self.choose_again(look_up).is_some()
    }

    fn choose_again(&self, look_up: &LookUp) -> Option<Again> {
        let revocation = self.choose_revocation();
        if revocation.is_some() {
            return revocation;
        }
        let revocations = self.running.count(|asked| asked.kind == Kind::Revocation);
        if self.running.0.len() >= AGAIN_MAX + revocations {
            return None;
        }
        let near = look_up.near().unwrap_or_default();
        let is_near = |holder: &Holder| near.iter().any(|near| near.hint == holder.hint && near.at == holder.at);
        let open = self.holders.iter().filter(|holder| !holder.is_false);
        let wanted = open.filter_map(|holder| self.wanted_of(holder, is_near(holder)).map(|(kind, device)| (holder, kind, device)));
        let least = wanted.min_by_key(|(holder, ..)| self.running.count(|asked| asked.at == holder.at));
        least.map(|(holder, kind, device)| self.again(holder, kind, device))
    }

    /// Whom to ask for a revocation that is newer than what is known, one at a time.
    fn choose_revocation(&self) -> Option<Again> {
        let version = self.revocation.as_ref().map_or(0, Revocation::version);
        let is_open =
            |holder: &&Holder| !holder.is_false && holder.revoked > version && !self.running.has_asked(holder.at, Kind::Revocation, None);
        let asked = self.running.count(|asked| asked.kind == Kind::Revocation);
        let may_ask = asked < REVOCATIONS_MAX && !self.running.is_awaited(Kind::Revocation, None);
        let holder = self.holders.iter().filter(|_| may_ask).find(is_open)?;
        Some(self.again(holder, Kind::Revocation, None))
    }

    /// Nothing is told while a revocation is to be asked for, or somebody has been asked who is not slow: whoever lies of one
    /// delays an answer by one time-out (spec: DHT-95).
    pub(super) fn is_revocation_awaited(&self) -> bool {
        self.running.count(|asked| asked.kind == Kind::Revocation && asked.stage == Stage::InTime) > 0 || self.choose_revocation().is_some()
    }

    fn again(&self, holder: &Holder, kind: Kind, device: Option<DeviceHint>) -> Again {
        Again { hint: holder.hint, at: holder.at, question: self.question_for(kind, device) }
    }

    /// What a holder is to be asked for next: what it says is newer, by name; what it could not say; then the other kind.
    fn wanted_of(&self, holder: &Holder, is_near: bool) -> Option<(Kind, Option<DeviceHint>)> {
        let kinds = [Kind::Device, Kind::Address].into_iter().filter(|kind| self.wants(*kind));
        let is_new = |kind, device| !self.running.has_asked(holder.at, kind, device) && !self.running.is_awaited(kind, device);
        for kind in kinds.clone() {
            let newer = holder.said(kind).into_iter().flat_map(|said| &said.numbers).find(|listed| {
                // Without a delegation an address cannot be judged: the other kind comes first.
                let is_known = || self.devices.iter().any(|known| DeviceHint::of(known.id()) == listed.device);
                let is_wanted = self.named_device().is_none_or(|wanted| wanted == listed.device) && (kind == Kind::Device || is_known());
                is_wanted && Some(listed.number) > self.best(kind, Some(listed.device)) && is_new(kind, Some(listed.device))
            });
            if let Some(listed) = newer {
                return Some((kind, Some(listed.device)));
            }
        }
        let device = self.named_device();
        let has_some = holder.answers.iter().any(|said| said.is_cut || !said.numbers.is_empty());
        kinds.into_iter().find_map(|kind| {
            let is_open = match holder.said(kind) {
                Some(said) => said.is_cut,
                None => has_some || is_near,
            };
            (is_open && !self.running.has_asked(holder.at, kind, device)).then_some((kind, device))
        })
    }
}
