//! The records themselves: signed when they are to be put, compared with what nodes show.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use super::round::Numbers;
use super::sequence::{is_plausible, sequence};
use super::{Do, Policy, Publisher, Spot};
use crate::address::Scope;
use crate::crypto::Crypto;
use crate::dht::record::{AddressRecord, DeviceRecord, Prekey};
use crate::dht::sleeper::renewal;
use crate::dht::wire::Kind;
use crate::identity::Credentials;
use crate::time::{Time, WallTime};

/// A record that ends sooner is signed anew before it is put (guess: what is left after the longest refresh, less ten minutes).
const ADDRESS_LEFT_MIN: Duration = Duration::from_secs(55 * 60);

/// What a record of one's own says that a node has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// It is older, or not of this device.
    Nothing,
    /// It is the one that is written now.
    Ours,
    /// Ours must be signed above it (spec: DHT-145).
    Newer,
}

impl Publisher {
    /// Signs what has changed, what has grown old, and what a clock that went wrong has dated, and of addresses nothing that is not for everyone
    /// (spec: DHT-140). At most two signatures.
    pub(super) fn sign(&mut self, scope: Scope, (crypto, own): (&Crypto, &Credentials), wall: WallTime, now: Time) {
        let delegation = own.delegation();
        let is_held = |prekey: &&Prekey| !self.prekey.is_stale && is_plausible(prekey.sequence(), wall);
        let held = self.record.as_ref().and_then(|record| record.prekey()).filter(is_held).cloned();
        if held.is_none() || self.record.as_ref().and_then(|record| record.delegation()) != Some(delegation) {
            let number = sequence(self.last.prekey, self.prekey.seen, wall);
            let prekey = held.or_else(|| Prekey::sign(crypto, own, self.prekey.key?, number).ok());
            self.record = DeviceRecord::new(Some(delegation.clone()), prekey).map(Box::new);
            self.prekey.is_stale = false;
        }
        if self.policy != Policy::Everyone {
            return;
        }
        // Where the device is to be found no longer, nothing is left to be said once all earlier ones have ended.
        let is_past = |spot: &Spot| spot.is_nowhere() && spot.record.as_ref().is_some_and(|record| record.end() <= wall);
        self.spots.retain(|spot| !is_past(spot));
        let refresh = self.draw_refresh(now);
        let last = self.last.address(scope);
        let Some(spot) = self.spots.iter_mut().find(|spot| spot.scope == scope) else { return };
        if spot.is_stale || !spot.record.as_ref().is_some_and(|record| is_fresh(record, wall)) {
            let number = sequence(last, spot.seen, wall);
            let (addresses, relays) = (spot.addresses.clone(), spot.relays.clone());
            spot.record = AddressRecord::sign(crypto, own, scope, number, addresses, relays).ok();
            spot.is_stale = false;
            spot.refresh = (!spot.is_nowhere()).then_some(refresh);
        }
    }

    /// The clock was set: what is ahead of it now, or has little time left, is signed and put anew, and what too few have taken is
    /// offered again, as who had another clock has refused it (spec: DHT-141).
    pub(crate) fn on_clock(&mut self, wall: WallTime, now: Time) {
        if self.record.as_ref().and_then(|record| record.prekey()).is_some_and(|prekey| !is_plausible(prekey.sequence(), wall)) {
            self.want_everywhere(Kind::Device, now);
        }
        // Where it says that it is nowhere, nothing is told that has to be kept.
        let is_off = |spot: &&Spot| !spot.is_nowhere() && spot.record.as_ref().is_some_and(|record| !is_fresh(record, wall));
        let off: Vec<Scope> = self.spots.iter().filter(is_off).map(|spot| spot.scope).collect();
        for scope in off {
            self.want_address(scope, now);
        }
        self.stands.iter_mut().for_each(|stand| stand.on_clock(now));
    }

    /// An own address record that somebody holds.
    pub(super) fn on_own_address(&mut self, scope: Scope, json: &str, (crypto, own): (&Crypto, &Credentials), wall: WallTime) -> Met {
        let Some(spot) = self.spots.iter_mut().find(|spot| spot.scope == scope) else { return Met::Nothing };
        let (Ok(met), Some(ours)) = (AddressRecord::from_json(json), &spot.record) else { return Met::Nothing };
        if met == *ours {
            return Met::Ours;
        }
        let is_newer = is_above((met.sequence(), met.order(ours)), ours.sequence(), wall);
        let is_own = met.device() == self.device && met.scope() == scope;
        if !is_newer || !is_own || !met.is_signed_by(crypto, own.delegation().signing(), &self.home) {
            return Met::Nothing;
        }
        let is_fork = met.sequence() == ours.sequence();
        spot.seen = spot.seen.max(met.sequence());
        if is_fork {
            self.tell(Do::Fork { kind: Kind::Address });
        }
        Met::Newer
    }

    /// The same of a device record, which may hold a renewal.
    pub(super) fn on_own_device(&mut self, json: &str, (crypto, own): (&Crypto, &Credentials), wall: WallTime) -> Met {
        let Ok(met) = DeviceRecord::from_json(json) else { return Met::Nothing };
        if self.record.as_deref() == Some(&met) {
            return Met::Ours;
        }
        let is_told = self.outcomes.iter().any(|outcome| matches!(outcome, Do::Renewed(_)));
        if let Some(newer) = renewal(crypto, own.delegation(), self.revocation.as_deref(), &met, wall).filter(|_| !is_told) {
            self.tell(Do::Renewed(newer));
        }
        let ours = self.record.as_ref().and_then(|record| record.prekey());
        let (Some(met), Some(ours)) = (met.prekey(), ours) else { return Met::Nothing };
        let is_newer = is_above((met.sequence(), met.order(ours)), ours.sequence(), wall);
        let is_own = met.device() == self.device;
        if !is_newer || !is_own || !met.is_signed_by(crypto, own.delegation().signing(), &self.home) {
            return Met::Nothing;
        }
        let is_fork = met.sequence() == ours.sequence();
        self.prekey.seen = self.prekey.seen.max(met.sequence());
        if is_fork {
            self.tell(Do::Fork { kind: Kind::Device });
        }
        Met::Newer
    }

    /// Until when others may say where the device is, by what they have acknowledged last, perhaps in a life before. `None` if that
    /// is over, or enough of them were told since that it is nowhere.
    pub(crate) fn told_until(&self, wall: WallTime) -> Option<WallTime> {
        let until = |scope: Scope| {
            let mut stands = self.stands.iter().filter(|stand| stand.realm.scope == scope).peekable();
            let is_taken_back = stands.peek().is_some() && stands.all(|stand| stand.is_taken_back);
            let last = Some(self.last.address(scope)).filter(|last| !is_taken_back && is_plausible(*last, wall));
            last.map(AddressRecord::end_of).filter(|end| *end > wall)
        };
        [Scope::Loopback, Scope::Private, Scope::Global].into_iter().filter_map(until).max()
    }

    /// The address record of a scope, as it was signed last.
    pub(crate) fn address(&self, scope: Scope) -> Option<&AddressRecord> {
        self.spots.iter().find(|spot| spot.scope == scope)?.record.as_ref()
    }

    /// The same, to be said with a bind. Who cannot be reached from outside is bound all the same, with one that says nowhere and
    /// is put nowhere else; that one alone is signed here, when it is about to end (spec: DHT-152).
    pub(crate) fn address_to_bind(
        &mut self,
        scope: Scope,
        own: (&Crypto, &Credentials),
        wall: WallTime,
        now: Time,
    ) -> Option<AddressRecord> {
        let spot = self.spots.iter().find(|spot| spot.scope == scope);
        if spot.is_none_or(Spot::is_nowhere) {
            if spot.is_none() {
                let (addresses, relays) = (Vec::new(), Vec::new());
                self.spots.push(Spot { scope, addresses, relays, record: None, seen: 0, is_stale: true, refresh: None });
            }
            self.sign(scope, own, wall, now);
        }
        self.address(scope).cloned()
    }

    /// The device record, as it was signed last.
    pub(crate) fn device_json(&self) -> Option<String> {
        self.record.as_ref().map(|record| record.to_json())
    }

    /// Whoever keeps the own address record is asked for what it holds, as when it changes.
    pub(crate) fn look_for_newer(&mut self, scope: Scope, now: Time) {
        self.want_address(scope, now);
    }

    pub(super) fn numbers(&self, scope: Scope) -> Numbers {
        let spot = self.spots.iter().find(|spot| spot.scope == scope);
        Numbers {
            device: self.record.as_ref().map(|record| record.number()),
            address: spot.and_then(|spot| spot.record.as_ref()).map(AddressRecord::sequence),
            revocation: self.revocation.as_ref().map(|revocation| revocation.version()),
        }
    }

    pub(super) fn json(&self, kind: Kind, scope: Scope) -> Option<String> {
        match kind {
            Kind::Device => self.record.as_ref().map(|record| record.to_json()),
            Kind::Address => self.spots.iter().find(|spot| spot.scope == scope)?.record.as_ref().map(AddressRecord::to_json),
            Kind::Revocation => self.revocation.as_ref().map(|revocation| revocation.to_json()),
        }
    }
}

/// Whether a record may be put as it is.
fn is_fresh(record: &AddressRecord, wall: WallTime) -> bool {
    is_plausible(record.sequence(), wall) && record.end() > wall + ADDRESS_LEFT_MIN
}

/// Whether what was met is not below ours, is something else, and may count at all.
fn is_above((met, order): (u64, Ordering), ours: u64, wall: WallTime) -> bool {
    met >= ours && order != Ordering::Equal && is_plausible(met, wall)
}
