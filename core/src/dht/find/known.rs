//! The records that have verified, by device.

use core::cmp::Ordering;

use super::{DEVICES_MAX, Eyes, Finding, VERIFIES_MAX, What};
use crate::dht::record::{AddressRecord, DeviceRecord, Judge, Refused, delegation_order};
use crate::dht::wire::Kind;
use crate::id::DeviceId;
use crate::identity::{Delegation, Revocation};

/// Address records that wait for their device's delegation (spec: DHT-91).
const EARLY_MAX: usize = 8;

/// What has verified of one device.
pub(super) struct Device {
    pub(super) delegation: Delegation,
    pub(super) record: Option<DeviceRecord>,
    pub(super) address: Option<AddressRecord>,
    /// What it told of comes from the own store only.
    pub(super) is_local: bool,
    /// The number that was told last.
    pub(super) told: Option<u64>,
    pub(super) is_final: bool,
    /// The highest number that was below what the reader had accepted before.
    pub(super) refused: Option<u64>,
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is of this device and has this number; whether it is the newest so far or not.
    Held(DeviceId, u64),
    /// It may be right, but does not count now.
    Useless,
    /// Whoever served it counts for nothing.
    False,
}

impl Device {
    pub(super) const fn new(delegation: Delegation) -> Self {
        Self { delegation, record: None, address: None, is_local: false, told: None, is_final: false, refused: None }
    }

    pub(super) fn id(&self) -> DeviceId {
        self.delegation.device()
    }

    pub(super) fn number(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::Address => self.address.as_ref().map(AddressRecord::sequence),
            Kind::Device => self.record.as_ref().map(DeviceRecord::number),
            Kind::Revocation => None,
        }
    }
}

impl Finding {
    /// Takes a record that somebody served. One that is not newer than what is there is not verified (spec: DHT-91).
    pub(super) fn take(&mut self, kind: Kind, json: &str, is_local: bool, eyes: &mut Eyes<'_>) -> Taken {
        match kind {
            Kind::Address => AddressRecord::from_json(json).map_or(Taken::False, |record| self.take_address(record, is_local, eyes)),
            Kind::Device => DeviceRecord::from_json(json).map_or(Taken::False, |record| self.take_device(record, is_local, eyes)),
            Kind::Revocation => Revocation::from_json(json).map_or(Taken::False, |revocation| self.take_revocation(revocation, eyes)),
        }
    }

    fn take_address(&mut self, record: AddressRecord, is_local: bool, eyes: &mut Eyes<'_>) -> Taken {
        let (device, number) = (record.device(), record.sequence());
        if record.scope() != self.sought.scope || !self.is_of_use(device) {
            return Taken::False;
        }
        let Some(index) = self.devices.iter().position(|known| known.id() == device) else {
            let is_there = self.early.contains(&record);
            if !is_there && self.early.len() < EARLY_MAX {
                self.early.push(record);
            }
            return Taken::Useless;
        };
        let Some(known) = self.devices.get(index) else { return Taken::Useless };
        if known.address.as_ref().is_some_and(|held| record.order(held) != Ordering::Greater) {
            if let Some(known) = self.devices.get_mut(index).filter(|known| known.number(Kind::Address) == Some(number)) {
                known.is_local &= is_local;
            }
            return Taken::Held(device, number);
        }
        if !self.may_verify(1) {
            return Taken::Useless;
        }
        let Some(known) = self.devices.get_mut(index) else { return Taken::Useless };
        let judge = judge(self.sought.home, self.revocation.as_ref(), eyes);
        match judge.address(&record, Some(&known.delegation), self.sought.scope) {
            Ok(()) => {
                known.address = Some(record);
                known.is_local = is_local;
                Taken::Held(device, number)
            }
            Err(refused) => taken(refused),
        }
    }

    fn take_device(&mut self, record: DeviceRecord, is_local: bool, eyes: &mut Eyes<'_>) -> Taken {
        let (device, number) = (record.device(), record.number());
        if !self.is_of_use(device) {
            return Taken::False;
        }
        let held = self.devices.iter().position(|known| known.id() == device);
        let known = held.and_then(|index| self.devices.get(index));
        if known.and_then(|known| known.record.as_ref()).is_some_and(|held| !held.clone().merge(record.clone())) {
            return Taken::Held(device, number);
        }
        if !self.may_verify(2) {
            return Taken::Useless;
        }
        let known = held.and_then(|index| self.devices.get(index)).map(|known| &known.delegation);
        if let Err(refused) = judge(self.sought.home, self.revocation.as_ref(), eyes).device(&record, known) {
            return taken(refused);
        }
        self.keep_device(record, is_local);
        let early = core::mem::take(&mut self.early);
        for record in early {
            // Who served it is not blamed any more: its name is not kept.
            self.take_address(record, is_local, eyes);
        }
        Taken::Held(device, number)
    }

    /// Keeps a device record that has verified. Of more devices than a home keeps, those last whose delegations end last.
    fn keep_device(&mut self, record: DeviceRecord, is_local: bool) {
        let device = record.device();
        if let Some(known) = self.devices.iter_mut().find(|known| known.id() == device) {
            if let Some(newer) = record.delegation().filter(|new| delegation_order(&known.delegation, new) == Ordering::Less) {
                known.delegation = newer.clone();
            }
            match &mut known.record {
                Some(held) => {
                    held.merge(record);
                }
                none => *none = Some(record),
            }
            return;
        }
        let Some(delegation) = record.delegation().cloned() else { return };
        if self.devices.len() >= DEVICES_MAX {
            let first_end = (0..self.devices.len()).min_by_key(|index| self.devices.get(*index).map(|known| known.delegation.until()));
            let is_later = |index: &usize| self.devices.get(*index).is_some_and(|known| known.delegation.until() < delegation.until());
            let Some(index) = first_end.filter(is_later) else { return };
            self.devices.remove(index);
        }
        let is_local = is_local && self.sought.what == What::Devices;
        self.devices.push(Device { record: Some(record), is_local, ..Device::new(delegation) });
    }

    /// A newer one is followed at once by what it takes back (spec: DHT-95).
    fn take_revocation(&mut self, revocation: Revocation, eyes: &mut Eyes<'_>) -> Taken {
        if self.revocation.as_ref().is_some_and(|held| held.version() >= revocation.version()) {
            return Taken::Useless;
        }
        if !self.may_verify(1) {
            return Taken::Useless;
        }
        if let Err(refused) = judge(self.sought.home, None, eyes).revocation(&revocation) {
            return taken(refused);
        }
        self.devices.retain(|known| !revocation.revokes(&known.delegation));
        self.revocation = Some(revocation);
        self.has_revoked = true;
        Taken::Useless
    }

    /// Whether records of a device are looked for.
    fn is_of_use(&self, device: DeviceId) -> bool {
        if let What::Address(one) = self.sought.what { one == device } else { true }
    }

    fn may_verify(&mut self, signatures: u32) -> bool {
        let after = self.verifies.saturating_add(signatures);
        let is_free = after <= VERIFIES_MAX;
        if is_free {
            self.verifies = after;
        }
        is_free
    }
}

fn judge<'a>(home: crate::dht::key::Key, revocation: Option<&'a Revocation>, eyes: &'a mut Eyes<'_>) -> Judge<'a> {
    Judge { crypto: eyes.crypto, home, now: eyes.now, revocation, known: &mut *eyes.known, checked: &mut *eyes.checked }
}

/// An honest node may serve what time, a clock or a revocation speaks against; nobody honest serves the rest.
const fn taken(refused: Refused) -> Taken {
    match refused {
        Refused::NoDevice | Refused::Expired | Refused::Revoked | Refused::Clock => Taken::Useless,
        Refused::Home | Refused::Keys | Refused::Scope | Refused::Signature => Taken::False,
    }
}
