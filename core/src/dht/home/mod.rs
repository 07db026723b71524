//! The home store: what a server keeps for whoever has a home near it (spec: DHT-100).
//!
//! It verifies what it takes and changes nothing of it. Room is shared by the groups of those who put, so that one keeper of
//! many addresses displaces itself first. It keeps no clock: whatever is over by the clock that a call brings is gone.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::Bound;
use core::time::Duration;

use super::estimate::Radius;
use super::key::{Hint, Key};
use super::realm::Realm;
use super::record::{AddressRecord, DeviceRecord, Judge, Refused, latest};
use super::wire::{Denied, DeviceHint, Few, Got, Kind, Listed};
use crate::address::{Group, Scope};
use crate::crypto::Crypto;
use crate::id::DeviceId;
use crate::identity::{Delegation, DelegationCache, Refusal, Revocation};
use crate::time::WallTime;

mod parsed;
mod room;
#[cfg(test)]
pub(super) mod tests;

use parsed::{Order, Parsed};
use room::Room;

/// Devices that a home has at most (spec: DHT-102).
pub(crate) const DEVICES_MAX: usize = 8;
/// How long a record stays that is only to be carried on: ten minutes (spec: DHT-101).
const CARRIED: Duration = Duration::from_secs(600);
/// How long a revocation stays that nobody puts again: longer than any delegation lasts (spec: DHT-103).
const REVOCATION_KEPT: Duration = Duration::from_secs(31 * 24 * 3_600);

/// What a record is kept under. In this order a device's record stands before its address, which needs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Name {
    pub(crate) home: Key,
    /// From where it can be seen: a record never leaves it.
    pub(crate) scope: Scope,
    pub(crate) slot: Slot,
}

impl Name {
    /// All that tells it from others.
    pub(crate) fn to_bytes(self) -> [u8; 50] {
        let device = self.slot.device().map_or([0; 16], |device| *device.as_bytes());
        let kind = match self.slot {
            Slot::Revocation => 0,
            Slot::Device(_) => 1,
            Slot::Address(_) => 2,
        };
        let scope = match self.scope {
            Scope::Loopback => 0,
            Scope::Private => 1,
            Scope::Global => 2,
        };
        let mut all = [0; 50];
        for (slot, byte) in all.iter_mut().zip(self.home.as_bytes().iter().copied().chain(device).chain([kind, scope])) {
            *slot = byte;
        }
        all
    }
}

/// Which of the records at a home.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Slot {
    Revocation,
    Device(DeviceId),
    Address(DeviceId),
}

impl Slot {
    /// Its word in datagrams.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Revocation => Kind::Revocation,
            Self::Device(_) => Kind::Device,
            Self::Address(_) => Kind::Address,
        }
    }

    /// Whose it is, if it is a device's.
    pub(crate) const fn device(self) -> Option<DeviceId> {
        match self {
            Self::Revocation => None,
            Self::Device(device) | Self::Address(device) => Some(device),
        }
    }
}

/// A record that is kept.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Held {
    number: u64,
    ends: WallTime,
    /// Whose room it takes.
    payer: u64,
    /// Who else has put the very same; 0 for nobody.
    second: u64,
    families: u8,
    json: Box<str>,
}

impl Held {
    /// By which newer ones are told (spec: DHT-35).
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// When it is to be forgotten.
    pub(crate) const fn ends(&self) -> WallTime {
        self.ends
    }

    /// The record, byte for byte as it was put.
    pub(crate) const fn json(&self) -> &str {
        &self.json
    }

    /// Whether it was put by somebody of this family.
    pub(crate) const fn is_in(&self, is_v6: bool) -> bool {
        self.families & family(is_v6) != 0
    }
}

/// Somebody wants a record to be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    pub(crate) home: Key,
    pub(crate) kind: Kind,
    /// JSON, as it stood in the datagram.
    pub(crate) record: &'a str,
    /// Where it came from.
    pub(crate) realm: Realm,
    pub(crate) depositor: Group,
    /// What is beyond is not ours to keep: that of [`Held::TWENTY`](super::estimate::Held::TWENTY); `None` in soft mode.
    pub(crate) radius: Option<Radius>,
    /// It is to be carried to the other family, so that it may be of anywhere.
    pub(crate) carry: bool,
}

/// What a record is judged with.
pub(crate) struct Bench<'a> {
    pub(crate) crypto: &'a Crypto,
    pub(crate) now: WallTime,
    pub(crate) known: &'a mut DelegationCache,
    pub(crate) checked: &'a mut u64,
}

/// A record that was put is held now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) name: Name,
    /// The number of what is held.
    pub(crate) sequence: u64,
    /// Whether anything of it was new.
    pub(crate) is_new: bool,
}

/// It is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotKept {
    /// To be told.
    Denied(Denied),
    /// To be counted only: no record, or not by whom it says.
    Wrong,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) home: Key,
    pub(crate) scope: Scope,
    pub(crate) kind: Kind,
    pub(crate) device: Option<DeviceHint>,
    /// The number of what the asker has.
    pub(crate) known: Option<u64>,
}

/// The store of one node, for all of its realms.
pub(crate) struct Home {
    records: BTreeMap<Name, Held>,
    room: Room,
    /// Nothing ends before this.
    ends: WallTime,
}

impl Home {
    /// An empty one that takes at most so many bytes; `key` comes from the node's generator. Allocates nothing yet.
    pub(crate) const fn new(key: [u64; 2], bytes_max: usize) -> Self {
        Self { records: BTreeMap::new(), room: Room::new(key, bytes_max), ends: WallTime::from_millis(u64::MAX) }
    }

    /// The own hint in a realm, by which far records are told from near ones; `None` when the node does not serve there.
    pub(crate) fn set_own(&mut self, realm: Realm, own: Option<Hint>) {
        self.room.set_own(realm, own);
    }

    /// How many records are kept.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What they take, at most the bound.
    pub(crate) const fn bytes(&self) -> usize {
        self.room.used()
    }

    /// The record of this name. O(log n).
    pub(crate) fn find(&self, name: &Name) -> Option<&Held> {
        self.records.get(name)
    }

    /// The records behind `name`, in the order of their names; all for `None`. O(log n) for the first.
    pub(crate) fn after(&self, name: Option<&Name>) -> impl Iterator<Item = (&Name, &Held)> {
        self.records.range((name.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
    }

    /// Whether repair lets others go first: what may be junk, of which anybody can sign as much as it likes, by a whole device,
    /// so that none of its records comes before the one that it leans on (spec: DHT-113). O(log n).
    pub(crate) fn is_late(&self, name: &Name, held: &Held) -> bool {
        let is_heavy = |held: &Held| self.room.is_heavy(held.payer);
        match name.slot {
            Slot::Device(_) => is_heavy(held),
            Slot::Address(device) => self.records.get(&Name { slot: Slot::Device(device), ..*name }).is_none_or(is_heavy),
            Slot::Revocation => self.devices(name.home, name.scope, Kind::Device).all(|(_, held)| is_heavy(held)),
        }
    }

    /// Takes a record or says why not. What is cheap is looked at first; `may_verify` is asked, with the number of
    /// signatures, before any is checked (spec: DHT-100). O(log n), and O(n) while the store is full.
    ///
    /// # Errors
    /// What is to be answered, if anything.
    pub(crate) fn put(&mut self, put: &Put<'_>, bench: Bench<'_>, may_verify: impl FnOnce(u32) -> bool) -> Result<Kept, NotKept> {
        self.expire(bench.now);
        let own = self.room.own(put.realm).ok_or(NotKept::Denied(Denied::Far))?;
        let is_far = put.radius.is_some_and(|radius| !radius.holds(own.distance(put.home.hint())));
        if is_far && !put.carry {
            return Err(NotKept::Denied(Denied::Far));
        }
        let parsed = Parsed::read(put.kind, put.record).ok_or(NotKept::Wrong)?;
        let name = Name { home: put.home, scope: put.realm.scope, slot: parsed.slot() };
        if parsed.scope().is_some_and(|scope| scope != name.scope) {
            return Err(NotKept::Denied(Denied::Far));
        }
        let group = self.room.group(put.depositor);
        let latest = match name.slot {
            _ if is_far => bench.now + CARRIED,
            Slot::Revocation => bench.now + REVOCATION_KEPT,
            Slot::Device(_) | Slot::Address(_) => WallTime::from_millis(u64::MAX),
        };
        let json = match self.order(&name, &parsed, put.record) {
            Order::Newer(json) => json,
            Order::Same => return Ok(self.again(name, put, group, if is_far { None } else { parsed.end().map(|end| end.min(latest)) })),
            Order::Older(sequence) => return Err(NotKept::Denied(Denied::Old { sequence })),
        };
        let held = self.delegation(&name)?;
        self.check_room(&name, &parsed, group, (json.len(), put.realm.is_v6))?;
        if !may_verify(parsed.signatures()) {
            return Err(NotKept::Denied(Denied::Busy { wait: 1 }));
        }
        self.judge(&name, &parsed, held.as_ref(), bench).map_err(|refused| refused.answer().map_or(NotKept::Wrong, NotKept::Denied))?;
        self.keep(name, parsed, json, put, group, latest)
    }

    /// What is held of it, for [`Got`]: the device that is named or the newest, and who else has one. Nothing that is over by
    /// the clock `now` (spec: DHT-108). O(log n).
    pub(crate) fn get(&mut self, wanted: &Wanted, now: WallTime) -> Got<'_> {
        self.expire(now);
        let Wanted { home, scope, kind, device, known } = *wanted;
        let revocation = self.records.get(&Name { home, scope, slot: Slot::Revocation });
        let is_news = |held: &&Held| known.is_none_or(|known| held.number > known);
        if kind == Kind::Revocation {
            let record = revocation.filter(is_news).map(Held::json);
            // Beside the longest one there is no room for more.
            let revoked = revocation.filter(|_| record.is_none()).map(Held::number);
            return Got { record, revoked, ..Got::default() };
        }
        let mut all: Vec<(DeviceId, &Held)> = self.devices(home, scope, kind).collect();
        all.sort_by_key(|(device, held)| (core::cmp::Reverse(held.number), *device));
        let listed = |(device, held): &(DeviceId, &Held)| Listed { device: DeviceHint::of(*device), number: held.number };
        let is_meant = |named: DeviceId| device.is_none_or(|device| device == DeviceHint::of(named));
        let record = all.iter().find(|(named, _)| is_meant(*named)).map(|(_, held)| *held).filter(is_news).map(Held::json);
        Got { record, index: Some(all.iter().map(listed).collect::<Few<_>>()), revoked: revocation.map(Held::number), ..Got::default() }
    }

    /// Forgets what is over; a clock that goes back does not bring it back (spec: DHT-103). O(1), O(n) if something is.
    pub(crate) fn expire(&mut self, now: WallTime) {
        if now < self.ends {
            return;
        }
        let over: Vec<Name> = self.records.iter().filter(|(_, held)| held.ends <= now).map(|(name, _)| *name).collect();
        for name in over {
            self.remove(&name);
        }
        self.ends = self.records.values().map(Held::ends).min().unwrap_or(WallTime::from_millis(u64::MAX));
    }

    /// The clock was set: forgets what is ahead of it and would be refused now, as else nothing newer would be taken until then
    /// (spec: DHT-103). O(n).
    pub(crate) fn on_clock(&mut self, now: WallTime) {
        let latest = latest(now);
        let is_ahead = |name: &Name, held: &Held| match name.slot {
            Slot::Revocation => false,
            Slot::Address(_) => held.number > latest,
            Slot::Device(_) => {
                let Ok(record) = DeviceRecord::from_json(held.json()) else { return false };
                let is_early = |delegation: &Delegation| delegation.check_window(now) == Err(Refusal::NotYet);
                record.prekey().is_some_and(|prekey| prekey.sequence() > latest) || record.delegation().is_some_and(is_early)
            }
        };
        let ahead: Vec<Name> = self.records.iter().filter(|(name, held)| is_ahead(name, held)).map(|(name, _)| *name).collect();
        for name in ahead {
            self.remove(&name);
        }
    }

    /// When [`expire`](Self::expire) may have something to do next; never later than the first end.
    pub(crate) fn due(&self) -> Option<WallTime> {
        (!self.records.is_empty()).then_some(self.ends)
    }

    /// The records of a kind at a home, by device. O(log n).
    fn devices(&self, home: Key, scope: Scope, kind: Kind) -> impl Iterator<Item = (DeviceId, &Held)> {
        let from = Name { home, scope, slot: Slot::Revocation };
        let here = self.records.range(from..).take_while(move |(name, _)| (name.home, name.scope) == (home, scope));
        here.filter(move |(name, _)| name.slot.kind() == kind).filter_map(|(name, held)| Some((name.slot.device()?, held)))
    }

    /// How what is put stands to what is held (spec: DHT-35).
    fn order(&self, name: &Name, parsed: &Parsed, json: &str) -> Order {
        let Some(held) = self.records.get(name) else { return Order::Newer(json.into()) };
        if *held.json == *json {
            return Order::Same;
        }
        let newer = |is_newer: bool| if is_newer { Order::Newer(json.into()) } else { Order::Older(held.number) };
        match parsed {
            Parsed::Revocation(new) => newer(new.version() > held.number),
            Parsed::Address(new) => newer(AddressRecord::from_json(held.json()).is_ok_and(|held| held.order(new) == Ordering::Less)),
            Parsed::Device(new) => {
                let Ok(before) = DeviceRecord::from_json(held.json()) else { return Order::Newer(json.into()) };
                let mut merged = before.clone();
                if merged.merge(new.clone()) {
                    return Order::Newer(merged.to_json());
                }
                // A part alone that is the one held.
                let is_same = new.delegation().is_none_or(|part| before.delegation() == Some(part))
                    && new.prekey().is_none_or(|part| before.prekey() == Some(part));
                if is_same { Order::Same } else { Order::Older(held.number) }
            }
        }
    }

    /// The very same was put again: nothing changes but whose room it takes (spec: DHT-103).
    fn again(&mut self, name: Name, put: &Put<'_>, group: u64, end: Option<WallTime>) -> Kept {
        let mut sequence = 0;
        if let Some(held) = self.records.get_mut(&name) {
            sequence = held.number;
            held.families |= family(put.realm.is_v6);
            // What was carried only may have become one's own to keep.
            held.ends = end.map_or(held.ends, |end| held.ends.max(end));
            self.room.share(held, group);
        }
        Kept { name, sequence, is_new: false }
    }

    /// The device record that a record leans on: `None` if it needs none.
    fn delegation(&self, name: &Name) -> Result<Option<DeviceRecord>, NotKept> {
        let Some(device) = name.slot.device() else { return Ok(None) };
        let held = self.records.get(&Name { slot: Slot::Device(device), ..*name });
        let held = held.and_then(|held| DeviceRecord::from_json(held.json()).ok());
        let is_missing = held.is_none() && matches!(name.slot, Slot::Address(_));
        if is_missing { Err(NotKept::Denied(Denied::Device)) } else { Ok(held) }
    }

    /// Whether there would be a place for it.
    fn check_room(&self, name: &Name, parsed: &Parsed, group: u64, (length, is_v6): (usize, bool)) -> Result<(), NotKept> {
        let ends_first = self.ninth(name).is_some_and(|(_, ends)| parsed.end().is_none_or(|end| end <= ends));
        if ends_first || !self.room.has_for(&self.records, name, family(is_v6), group, length) {
            return Err(NotKept::Denied(Denied::Full));
        }
        Ok(())
    }

    /// Which device of a home that has eight makes room for one more, and when it ends (spec: DHT-102).
    fn ninth(&self, name: &Name) -> Option<(DeviceId, WallTime)> {
        let is_one_more = matches!(name.slot, Slot::Device(_)) && !self.records.contains_key(name);
        let here = || self.devices(name.home, name.scope, Kind::Device);
        if !is_one_more || here().count() < DEVICES_MAX {
            return None;
        }
        here().map(|(device, held)| (device, held.ends)).min_by_key(|(device, ends)| (*ends, *device))
    }

    fn judge(&self, name: &Name, parsed: &Parsed, held: Option<&DeviceRecord>, bench: Bench<'_>) -> Result<(), Refused> {
        let revocation = self.records.get(&Name { slot: Slot::Revocation, ..*name });
        let revocation = revocation.and_then(|held| Revocation::from_json(held.json()).ok());
        let Bench { crypto, now, known, checked } = bench;
        let mut judge = Judge { crypto, home: name.home, now, revocation: revocation.as_ref(), known, checked };
        let held = held.and_then(DeviceRecord::delegation);
        match parsed {
            Parsed::Revocation(revocation) => judge.revocation(revocation),
            Parsed::Device(record) => judge.device(record, held),
            Parsed::Address(record) => judge.address(record, held, name.scope),
        }
    }

    fn keep(&mut self, name: Name, parsed: Parsed, json: String, put: &Put<'_>, group: u64, latest: WallTime) -> Result<Kept, NotKept> {
        let merged = if matches!(parsed, Parsed::Device(_)) { DeviceRecord::from_json(&json).ok().map(Parsed::Device) } else { None };
        let kept = merged.as_ref().unwrap_or(&parsed);
        let (number, end) = (kept.number(), kept.end().ok_or(NotKept::Wrong)?);
        if let Some((device, _)) = self.ninth(&name) {
            self.remove(&Name { slot: Slot::Device(device), ..name });
        }
        let before = self.records.remove(&name);
        if let Some(before) = &before {
            self.room.give_back(before);
        }
        let ends = latest.min(end);
        let families = before.as_ref().map_or(0, |before| before.families) | family(put.realm.is_v6);
        let held = Held { number, ends, payer: group, second: 0, families, json: json.into() };
        self.room.take(&held);
        self.records.insert(name, held);
        self.ends = self.ends.min(ends);
        if let Parsed::Revocation(revocation) = parsed {
            self.take_back(&name, &revocation);
        }
        while let Some(victim) = self.room.victim(&mut self.records) {
            self.remove(&victim);
        }
        if self.records.contains_key(&name) {
            Ok(Kept { name, sequence: number, is_new: true })
        } else {
            Err(NotKept::Denied(Denied::Full))
        }
    }

    /// Forgets what a revocation takes back (spec: DHT-104).
    fn take_back(&mut self, name: &Name, revocation: &Revocation) {
        let is_revoked = |held: &Held| {
            let record = DeviceRecord::from_json(held.json()).ok();
            record.and_then(|record| record.delegation().map(|delegation| revocation.revokes(delegation))).unwrap_or(true)
        };
        let here = self.devices(name.home, name.scope, Kind::Device);
        let revoked: Vec<DeviceId> = here.filter(|(_, held)| is_revoked(held)).map(|(device, _)| device).collect();
        for device in revoked {
            self.remove(&Name { slot: Slot::Device(device), ..*name });
        }
    }

    /// Forgets a record, and with a device record the address that leans on it.
    fn remove(&mut self, name: &Name) {
        if let Some(held) = self.records.remove(name) {
            self.room.give_back(&held);
        }
        if let Slot::Device(device) = name.slot
            && let Some(held) = self.records.remove(&Name { slot: Slot::Address(device), ..*name })
        {
            self.room.give_back(&held);
        }
    }
}

/// One bit for each family.
const fn family(is_v6: bool) -> u8 {
    if is_v6 { 2 } else { 1 }
}
