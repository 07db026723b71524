use alloc::collections::BTreeSet;
use alloc::vec;
use core::net::SocketAddr;

use super::*;
use crate::address::group;
use crate::dht::estimate::{Held as Holds, Size};
use crate::dht::record::Prekey;
use crate::id::AppId;
use crate::identity::{Credentials, Delegation, DeviceKeys, IdentitySecret, RevocationEntry, RevocationTarget};
use crate::rng::{Rng, Seed};

/// 2026-01-01T00:00Z.
pub(in crate::dht) const NOW: u64 = 1_767_225_600_000;
const WEEK: u64 = 7 * 24 * 3_600_000;
const MINUTE: u64 = 60_000;
pub(in crate::dht) const V4: Realm = Realm { is_v6: false, scope: Scope::Global };
const V6: Realm = Realm { is_v6: true, scope: Scope::Global };
const LAN: Realm = Realm { is_v6: false, scope: Scope::Private };

/// A device that signs what it is told to.
pub(in crate::dht) struct Owner {
    identity: IdentitySecret,
    own: Credentials,
}

impl Owner {
    pub(in crate::dht) fn new(user: u16, device: u8) -> Self {
        Self::until(user, device, NOW + WEEK)
    }

    fn until(user: u16, device: u8, until: u64) -> Self {
        let [high, low] = user.to_be_bytes();
        let mut seed = [device; 32];
        (seed[0], seed[1]) = (high, low);
        let mut secret = [9; 32];
        (secret[0], secret[1]) = (high, low);
        let identity = IdentitySecret::from_bytes(secret);
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes(seed)));
        let grant = keys.grant(AppId::new("demo.chat").unwrap(), WallTime::from_millis(NOW), WallTime::from_millis(until));
        let own = keys.credentials(Delegation::sign(&identity, &grant).unwrap());
        Self { identity, own }
    }

    pub(in crate::dht) fn home(&self) -> Key {
        Key::home(self.own.delegation().user(), self.own.delegation().app())
    }

    fn id(&self) -> DeviceId {
        self.own.delegation().device()
    }

    fn prekey(&self, sequence: u64) -> Prekey {
        Prekey::sign(&Crypto::standard(), &self.own, [5; 32], sequence).unwrap()
    }

    pub(in crate::dht) fn device(&self, sequence: u64) -> String {
        DeviceRecord::new(Some(self.own.delegation().clone()), Some(self.prekey(sequence))).unwrap().to_json()
    }

    fn address_in(&self, sequence: u64, scope: Scope) -> String {
        let at = if scope == Scope::Global { "203.0.113.97:51820" } else { "10.0.0.9:51820" };
        let record = AddressRecord::sign(&Crypto::standard(), &self.own, scope, sequence, vec![at.parse().unwrap()], Vec::new());
        record.unwrap().to_json()
    }

    pub(in crate::dht) fn address(&self, sequence: u64) -> String {
        self.address_in(sequence, Scope::Global)
    }

    /// Takes back all that was granted before `before`.
    pub(in crate::dht) fn revocation(&self, version: u64, before: u64) -> String {
        self.revocation_until(version, before, NOW + WEEK)
    }

    fn revocation_until(&self, version: u64, before: u64, end: u64) -> String {
        let entry = RevocationEntry { before: WallTime::from_millis(before), end: WallTime::from_millis(end) };
        let devices = BTreeMap::from([(RevocationTarget::All, entry)]);
        Revocation::sign(&self.identity, self.own.delegation().app().clone(), version, devices).unwrap().to_json()
    }

    fn name(&self, slot: impl Fn(DeviceId) -> Slot) -> Name {
        Name { home: self.home(), scope: Scope::Global, slot: slot(self.id()) }
    }
}

/// A store with what it is driven by.
pub(in crate::dht) struct Bed {
    pub(in crate::dht) home: Home,
    pub(in crate::dht) now: u64,
    known: DelegationCache,
    checked: u64,
    /// What is asked of it, in signatures.
    asked: u32,
    may_verify: bool,
}

impl Bed {
    pub(in crate::dht) fn new(own: Hint, bytes_max: usize) -> Self {
        let mut home = Home::new([3, 4], bytes_max);
        for realm in [V4, V6, LAN] {
            home.set_own(realm, Some(own));
        }
        Self { home, now: NOW, known: DelegationCache::new(4_096), checked: 0, asked: 0, may_verify: true }
    }

    pub(in crate::dht) fn put(&mut self, put: &Put<'_>) -> Result<Kept, NotKept> {
        let Self { home, now, known, checked, asked, may_verify } = self;
        let bench = Bench { crypto: &Crypto::standard(), now: WallTime::from_millis(*now), known, checked };
        home.put(put, bench, |signatures| {
            *asked += signatures;
            *may_verify
        })
    }

    fn get(&mut self, owner: &Owner, kind: Kind) -> Got<'_> {
        let wanted = Wanted { home: owner.home(), scope: Scope::Global, kind, device: None, known: None };
        self.home.get(&wanted, WallTime::from_millis(self.now))
    }

    /// What must hold whatever happened.
    fn check(&self) {
        let cost = |held: &Held| room::cost(held.json.len());
        let sum: usize = self.home.records.values().map(cost).sum();
        assert_eq!(self.home.bytes(), sum);
        let mut loads = BTreeMap::new();
        for held in self.home.records.values() {
            *loads.entry(held.payer).or_insert(0) += cost(held);
            assert!(held.ends >= self.home.ends, "found when it is over");
        }
        assert_eq!(self.home.room.loads(), &loads);
        for name in self.home.records.keys() {
            if let Slot::Address(device) = name.slot {
                assert!(self.home.records.contains_key(&Name { slot: Slot::Device(device), ..*name }), "an address without its device");
            }
            let (home, scope) = (name.home, name.scope);
            assert!(self.home.devices(home, scope, Kind::Device).count() <= DEVICES_MAX);
        }
    }
}

pub(in crate::dht) fn put<'a>(owner: &Owner, kind: Kind, record: &'a str, depositor: &str) -> Put<'a> {
    let depositor = group(depositor.parse::<SocketAddr>().unwrap());
    Put { home: owner.home(), kind, record, realm: V4, depositor, radius: None, carry: false }
}

const BY: &str = "198.51.100.1:1";
const LARGE: usize = 1 << 20;

fn bed() -> Bed {
    Bed::new(Hint(0), LARGE)
}

fn denied(result: Result<Kept, NotKept>) -> Option<Denied> {
    match result {
        Err(NotKept::Denied(denied)) => Some(denied),
        Ok(_) | Err(NotKept::Wrong) => None,
    }
}

// spec-test: DHT-103
#[test]
fn a_newer_record_replaces_an_older_one_is_told_the_number_and_the_same_changes_nothing() {
    let (mut bed, owner) = (bed(), Owner::new(1, 1));
    let device = owner.device(NOW);
    bed.put(&put(&owner, Kind::Device, &device, BY)).unwrap();
    let [older, newer] = [NOW + 1, NOW + 2].map(|sequence| owner.address(sequence));
    bed.put(&put(&owner, Kind::Address, &older, BY)).unwrap();
    let kept = bed.put(&put(&owner, Kind::Address, &newer, BY)).unwrap();
    assert_eq!((kept.sequence, kept.is_new), (NOW + 2, true));
    assert_eq!(denied(bed.put(&put(&owner, Kind::Address, &older, BY))), Some(Denied::Old { sequence: NOW + 2 }));
    let (checked, asked, ends) = (bed.checked, bed.asked, bed.home.find(&owner.name(Slot::Address)).unwrap().ends());
    bed.now += 30 * MINUTE;
    let kept = bed.put(&put(&owner, Kind::Address, &newer, BY)).unwrap();
    assert_eq!((kept.sequence, kept.is_new), (NOW + 2, false));
    assert_eq!((bed.checked, bed.asked), (checked, asked), "without a signature");
    assert_eq!(bed.home.find(&owner.name(Slot::Address)).unwrap().ends(), ends, "it lasts no longer");
    bed.check();
}

// spec-test: DHT-103
#[test]
fn the_parts_of_a_device_record_are_merged_and_a_replay_of_one_changes_nothing() {
    let (mut bed, owner, renewed) = (bed(), Owner::new(1, 1), Owner::until(1, 1, NOW + WEEK + 1));
    let delegation = |owner: &Owner| DeviceRecord::new(Some(owner.own.delegation().clone()), None).unwrap().to_json();
    let prekey = DeviceRecord::new(None, Some(owner.prekey(NOW + 5))).unwrap().to_json();
    assert_eq!(denied(bed.put(&put(&owner, Kind::Device, &prekey, BY))), Some(Denied::Device));
    for json in [owner.device(NOW), delegation(&renewed), prekey.clone()] {
        assert!(bed.put(&put(&owner, Kind::Device, &json, BY)).unwrap().is_new);
    }
    let merged = DeviceRecord::new(Some(renewed.own.delegation().clone()), Some(owner.prekey(NOW + 5))).unwrap();
    assert_eq!(bed.get(&owner, Kind::Device).record, Some(&*merged.to_json()));
    for json in [delegation(&renewed), prekey, merged.to_json()] {
        assert!(!bed.put(&put(&owner, Kind::Device, &json, BY)).unwrap().is_new);
    }
    for json in [delegation(&owner), owner.device(NOW)] {
        assert_eq!(denied(bed.put(&put(&owner, Kind::Device, &json, BY))), Some(Denied::Old { sequence: merged.number() }));
    }
    bed.check();
}

// spec-test: DHT-100
#[test]
fn what_is_cheap_is_looked_at_before_any_signature() {
    let owner = Owner::new(1, 1);
    let (device, address) = (owner.device(NOW), owner.address(NOW));
    let far = Hint(!owner.home().hint().0);
    let radius = Some(Radius::of(Holds::TWENTY, Size::of(1_000)));
    let refused = |bed: &mut Bed, put: &Put<'_>| (bed.put(put).err(), bed.asked, bed.checked);

    let mut bed = Bed::new(far, LARGE);
    let near = put(&owner, Kind::Device, &device, BY);
    assert_eq!(refused(&mut bed, &Put { radius, ..near }), (Some(NotKept::Denied(Denied::Far)), 0, 0));
    let elsewhere = Realm { is_v6: true, scope: Scope::Loopback };
    assert_eq!(refused(&mut bed, &Put { realm: elsewhere, ..near }), (Some(NotKept::Denied(Denied::Far)), 0, 0), "we do not serve there");
    assert_eq!(refused(&mut bed, &Put { record: "{}", ..near }), (Some(NotKept::Wrong), 0, 0));
    let lan = Put { realm: LAN, kind: Kind::Address, record: &address, ..near };
    assert_eq!(refused(&mut bed, &lan), (Some(NotKept::Denied(Denied::Far)), 0, 0), "of another scope");
    let without = put(&owner, Kind::Address, &address, BY);
    assert_eq!(refused(&mut bed, &without), (Some(NotKept::Denied(Denied::Device)), 0, 0));
    let mut small = Bed::new(far, 100);
    assert_eq!(refused(&mut small, &near), (Some(NotKept::Denied(Denied::Full)), 0, 0));

    bed.may_verify = false;
    assert_eq!(refused(&mut bed, &near), (Some(NotKept::Denied(Denied::Busy { wait: 1 })), 2, 0));
    assert!(bed.home.is_empty());
    bed.may_verify = true;
    assert!(bed.put(&near).unwrap().is_new);
    let forged = address.replace("203.0.113.97", "203.0.113.98");
    assert_eq!(bed.put(&put(&owner, Kind::Address, &forged, BY)).err(), Some(NotKept::Wrong), "a signature that does not hold is silence");
    assert_eq!(bed.home.len(), 1);
}

// spec-test: DHT-101
#[test]
fn far_records_are_refused_in_hard_mode_but_to_be_carried_and_then_stay_ten_minutes() {
    let owner = Owner::new(1, 1);
    let (device, address) = (owner.device(NOW), owner.address(NOW));
    let radius = Some(Radius::of(Holds::TWENTY, Size::of(1_000)));
    let mut bed = Bed::new(Hint(!owner.home().hint().0), LARGE);
    for (kind, json) in [(Kind::Device, &device), (Kind::Address, &address)] {
        let far = Put { radius, ..put(&owner, kind, json, BY) };
        assert_eq!(denied(bed.put(&far)), Some(Denied::Far));
        assert!(bed.put(&Put { carry: true, ..far }).unwrap().is_new);
        bed.now += 2 * MINUTE;
        assert!(!bed.put(&Put { carry: true, ..far }).unwrap().is_new);
    }
    assert_eq!(bed.home.due(), Some(WallTime::from_millis(NOW + 10 * MINUTE)), "said again, it stays no longer");
    bed.home.expire(WallTime::from_millis(NOW + 10 * MINUTE));
    assert!(bed.home.is_empty(), "the address goes with its device");
    let near = Put { radius, ..put(&owner, Kind::Device, &device, BY) };
    let mut bed = Bed::new(owner.home().hint(), LARGE);
    assert!(bed.put(&Put { carry: true, ..near }).unwrap().is_new);
    assert_eq!(bed.home.due(), Some(WallTime::from_millis(NOW + WEEK + 10 * MINUTE)));
    let mut soft = Bed::new(Hint(!owner.home().hint().0), LARGE);
    assert!(soft.put(&Put { radius: None, ..near }).unwrap().is_new);
}

// spec-test: DHT-102
#[test]
fn of_nine_devices_the_one_whose_delegation_ends_first_goes_with_its_address() {
    let mut bed = bed();
    let owners: Vec<Owner> = (0..8).map(|n| Owner::until(1, n, NOW + WEEK + u64::from(n))).collect();
    for owner in &owners {
        bed.put(&put(owner, Kind::Device, &owner.device(NOW), BY)).unwrap();
        bed.put(&put(owner, Kind::Address, &owner.address(NOW), BY)).unwrap();
    }
    let early = Owner::until(1, 8, NOW + WEEK);
    let checked = bed.checked;
    assert_eq!(denied(bed.put(&put(&early, Kind::Device, &early.device(NOW), BY))), Some(Denied::Full));
    assert_eq!(bed.checked, checked);
    let late = Owner::until(1, 9, NOW + WEEK + 9);
    bed.put(&put(&late, Kind::Device, &late.device(NOW), BY)).unwrap();
    assert!(bed.home.find(&owners[0].name(Slot::Device)).is_none() && bed.home.find(&owners[0].name(Slot::Address)).is_none());
    assert_eq!(bed.home.len(), 8 + 7);
    assert!(bed.put(&put(&owners[1], Kind::Device, &owners[1].device(NOW + 1), BY)).unwrap().is_new, "one that is there is renewed");
    bed.check();
}

// spec-test: DHT-103
#[test]
fn what_is_over_is_not_told_and_a_clock_that_goes_back_does_not_bring_it_back() {
    let (mut bed, owner) = (bed(), Owner::new(1, 1));
    let address = owner.address(NOW);
    bed.put(&put(&owner, Kind::Device, &owner.device(NOW), BY)).unwrap();
    bed.put(&put(&owner, Kind::Address, &address, BY)).unwrap();
    assert_eq!(bed.home.due(), Some(WallTime::from_millis(NOW + 120 * MINUTE)));
    bed.now = NOW - 60 * MINUTE;
    assert_eq!(bed.get(&owner, Kind::Address).record, Some(&*address), "a clock that goes back loses nothing");
    bed.now = NOW + 120 * MINUTE - 1;
    assert_eq!(bed.get(&owner, Kind::Address).record, Some(&*address));
    bed.now += 1;
    assert_eq!(bed.get(&owner, Kind::Address).record, None);
    bed.now = NOW;
    assert_eq!(bed.get(&owner, Kind::Address), Got { index: Some(Few::NONE), ..Got::default() });
    bed.now = NOW + 121 * MINUTE;
    assert_eq!(denied(bed.put(&put(&owner, Kind::Address, &address, BY))), Some(Denied::Clock), "nor a replay");
    bed.now = u64::MAX;
    bed.home.expire(WallTime::from_millis(u64::MAX));
    assert_eq!((bed.home.len(), bed.home.bytes(), bed.home.due()), (0, 0, None));
}

// spec-test: DHT-103
#[test]
fn what_a_set_clock_has_behind_it_is_forgotten_so_that_what_is_right_is_taken() {
    let (mut bed, ahead, right, early) = (bed(), Owner::new(1, 1), Owner::new(1, 2), Owner::new(2, 1));
    let hour = 60 * MINUTE;
    bed.now = NOW + hour;
    for (owner, number) in [(&ahead, NOW + hour), (&right, NOW + 10 * MINUTE), (&early, NOW)] {
        bed.put(&put(owner, Kind::Device, &owner.device(number), BY)).unwrap();
        bed.put(&put(owner, Kind::Address, &owner.address(number), BY)).unwrap();
    }
    let revocation = early.revocation(u64::MAX >> 12, NOW);
    bed.put(&put(&early, Kind::Revocation, &revocation, BY)).unwrap();
    let (again, sooner) = (ahead.address(NOW + 1), ahead.device(NOW + 1));
    assert_eq!(denied(bed.put(&put(&ahead, Kind::Address, &again, BY))), Some(Denied::Old { sequence: NOW + hour }));
    bed.home.on_clock(WallTime::from_millis(bed.now));
    assert_eq!(bed.home.len(), 7, "all of it is right by the clock so far");
    bed.now = NOW;
    bed.home.on_clock(WallTime::from_millis(bed.now));
    bed.check();
    let left =
        [Slot::Device as fn(DeviceId) -> Slot, Slot::Address].map(|slot| [&ahead, &right, &early].map(|it| bed.home.find(&it.name(slot))));
    assert_eq!(left.map(|kind| kind.map(|held| held.is_some())), [[false, true, true]; 2]);
    assert_eq!(bed.home.len(), 5, "a version is no time");
    assert!(bed.put(&put(&ahead, Kind::Device, &sooner, BY)).unwrap().is_new);
    assert!(bed.put(&put(&ahead, Kind::Address, &again, BY)).unwrap().is_new);
    // The prekey alone, and the delegation alone, that are ahead.
    bed.put(&put(&ahead, Kind::Device, &ahead.device(NOW + 10 * MINUTE), BY)).unwrap();
    bed.home.on_clock(WallTime::from_millis(NOW - 1));
    assert_eq!([&ahead, &right].map(|owner| bed.home.find(&owner.name(Slot::Address)).is_some()), [false; 2], "it goes with its device");
    assert_eq!(bed.home.len(), 3);
    bed.home.on_clock(WallTime::from_millis(NOW - 10 * MINUTE - 1));
    assert_eq!(bed.home.len(), 1);
    bed.check();
}

// spec-test: DHT-104
#[test]
fn a_revocation_forgets_what_it_takes_back_and_lets_it_not_come_back() {
    let (mut bed, owner) = (bed(), Owner::new(1, 1));
    let (device, address) = (owner.device(NOW), owner.address(NOW));
    bed.put(&put(&owner, Kind::Device, &device, BY)).unwrap();
    bed.put(&put(&owner, Kind::Address, &address, BY)).unwrap();
    let harmless = owner.revocation(1, NOW);
    bed.put(&put(&owner, Kind::Revocation, &harmless, BY)).unwrap();
    assert_eq!((bed.home.len(), bed.get(&owner, Kind::Address).revoked), (3, Some(1)));
    let revocation = owner.revocation(2, NOW + 1);
    assert!(bed.put(&put(&owner, Kind::Revocation, &revocation, BY)).unwrap().is_new);
    assert_eq!(bed.home.len(), 1);
    assert_eq!(denied(bed.put(&put(&owner, Kind::Revocation, &harmless, BY))), Some(Denied::Old { sequence: 2 }));
    for (kind, json) in [(Kind::Device, &device), (Kind::Address, &address)] {
        assert_eq!(denied(bed.put(&put(&owner, kind, json, BY))), Some(Denied::Device));
    }
    let got = bed.get(&owner, Kind::Device);
    assert_eq!(got, Got { index: Some(Few::NONE), revoked: Some(2), ..Got::default() });
    let got = bed.get(&owner, Kind::Revocation);
    assert_eq!((got.record, got.index, got.revoked), (Some(&*revocation), None, None));
    let stranger = Owner::new(2, 1);
    assert_eq!(bed.put(&put(&stranger, Kind::Revocation, &revocation, BY)).err(), Some(NotKept::Wrong), "for another home");
    bed.check();
}

// spec-test: DHT-103
#[test]
fn a_revocation_stays_31_days_from_when_it_was_last_put() {
    let (mut bed, owner) = (bed(), Owner::new(1, 1));
    let (day, revocation) = (24 * 60 * MINUTE, owner.revocation_until(1, u64::MAX >> 12, u64::MAX >> 12));
    let name = Name { slot: Slot::Revocation, ..owner.name(Slot::Device) };
    for days in [0, 20, 10] {
        bed.now = NOW + days * day;
        bed.put(&put(&owner, Kind::Revocation, &revocation, BY)).unwrap();
    }
    assert_eq!(bed.home.find(&name).unwrap().ends(), WallTime::from_millis(NOW + 51 * day));
    bed.home.expire(WallTime::from_millis(NOW + 51 * day - 1));
    assert_eq!(bed.home.len(), 1);
    bed.home.expire(WallTime::from_millis(NOW + 51 * day));
    assert!(bed.home.is_empty());
}

// spec-test: DHT-108
#[test]
fn a_get_names_the_devices_newest_first_and_tells_one_if_it_is_news() {
    let mut bed = bed();
    let owners: Vec<Owner> = (0..4).map(|n| Owner::new(1, n)).collect();
    for (owner, n) in owners.iter().zip([30, 10, 40, 20]) {
        bed.put(&put(owner, Kind::Device, &owner.device(NOW), BY)).unwrap();
        bed.put(&put(owner, Kind::Address, &owner.address(NOW + n), BY)).unwrap();
    }
    let newest_first = [2, 0, 3, 1];
    let wanted = Wanted { home: owners[0].home(), scope: Scope::Global, kind: Kind::Address, device: None, known: None };
    let now = WallTime::from_millis(NOW);
    let got = bed.home.get(&wanted, now);
    let index: Vec<_> = got.index.unwrap_or_default().iter().map(|listed| (listed.device, listed.number - NOW)).collect();
    let expected: Vec<_> = newest_first.iter().zip([40, 30, 20, 10]).map(|(n, number)| (DeviceHint::of(owners[*n].id()), number)).collect();
    assert_eq!((index, got.record), (expected, Some(&*owners[2].address(NOW + 40))));
    for (known, is_told) in [(NOW + 39, true), (NOW + 40, false)] {
        let got = bed.home.get(&Wanted { known: Some(known), ..wanted }, now);
        assert_eq!((got.record.is_some(), got.index.map(|few| few.len())), (is_told, Some(4)));
    }
    let named = Wanted { device: Some(DeviceHint::of(owners[1].id())), ..wanted };
    assert_eq!(bed.home.get(&named, now).record, Some(&*owners[1].address(NOW + 10)));
    let nobody = Wanted { device: Some(DeviceHint::of(DeviceId::from_bytes([9; 16]))), ..wanted };
    assert_eq!(bed.home.get(&nobody, now).record, None);
}

// spec-test: DHT-107
#[test]
fn what_was_put_in_one_scope_is_not_told_in_another() {
    let (mut bed, owner) = (bed(), Owner::new(1, 1));
    let (device, address) = (owner.device(NOW), owner.address_in(NOW + 9, Scope::Private));
    for (kind, json) in [(Kind::Device, &device), (Kind::Address, &address)] {
        bed.put(&Put { realm: LAN, ..put(&owner, kind, json, BY) }).unwrap();
    }
    for kind in [Kind::Device, Kind::Address] {
        assert_eq!(bed.get(&owner, kind), Got { index: Some(Few::NONE), ..Got::default() });
    }
    let global = owner.address(NOW);
    assert_eq!(denied(bed.put(&put(&owner, Kind::Address, &global, BY))), Some(Denied::Device), "its device is not known there");
    bed.put(&put(&owner, Kind::Device, &device, BY)).unwrap();
    bed.put(&put(&owner, Kind::Address, &global, BY)).unwrap();
    assert_eq!(bed.get(&owner, Kind::Address).record, Some(&*global), "though the other one is newer");
}

/// Each from a group of its own.
fn honest(bed: &mut Bed, users: core::ops::Range<u16>) -> Vec<(Owner, String, String)> {
    let depositor = |user: u16| alloc::format!("{}.{}.0.1:1", 20 + user / 200, user % 200);
    let owners = users.map(|user| (depositor(user), Owner::new(user, 1)));
    let mut all = Vec::new();
    for (by, owner) in owners {
        let device = owner.device(NOW);
        bed.put(&put(&owner, Kind::Device, &device, &by)).unwrap();
        all.push((owner, device, by));
    }
    all
}

// spec-test: DHT-105
#[test]
fn a_flood_from_one_group_displaces_nothing_but_itself_and_gets_what_is_left() {
    let mut bed = Bed::new(Hint(0), 60 * 900);
    let honest = honest(&mut bed, 0..20);
    let before = bed.home.bytes();
    let mut refused = 0;
    for user in 1_000..1_200 {
        let owner = Owner::new(user, 1);
        refused += u32::from(bed.put(&put(&owner, Kind::Device, &owner.device(NOW), "198.51.100.77:9")).is_err());
        assert!(bed.home.bytes() <= 60 * 900);
        bed.check();
    }
    for (owner, _, _) in &honest {
        assert!(bed.home.find(&owner.name(Slot::Device)).is_some());
    }
    assert!(bed.home.bytes() > 60 * 900 - 900 && bed.home.bytes() > before, "the rest is full of it");
    assert!(refused > 80, "what is farther than all it has is refused: {refused}");
    // What is left of the flood is the nearest of it, and a newcomer of another group takes some away.
    let flood: BTreeSet<u64> = bed.home.records.keys().map(|name| name.home.hint().0).collect();
    let owner = Owner::new(3_000, 1);
    bed.put(&put(&owner, Kind::Device, &owner.device(NOW), "192.0.9.1:1")).unwrap();
    assert!(bed.home.find(&owner.name(Slot::Device)).is_some());
    let after: BTreeSet<u64> = bed.home.records.keys().map(|name| name.home.hint().0).collect();
    let own_homes: BTreeSet<u64> = honest.iter().map(|(owner, _, _)| owner.home().hint().0).collect();
    let gone: Vec<u64> = flood.difference(&after).copied().collect();
    assert_eq!(gone, [flood.difference(&own_homes).copied().max().unwrap()], "the farthest of the flood");
}

// spec-test: DHT-105
#[test]
fn whoever_has_all_local_addresses_takes_a_quarter_from_global_records_and_then_from_itself() {
    const BOUND: usize = 60 * 900;
    let mut bed = Bed::new(Hint(0), BOUND);
    let (global, local): (Vec<Owner>, Vec<Owner>) =
        ((0..80).map(|user| Owner::new(user, 1)).collect(), (1_000..1_200).map(|user| Owner::new(user, 1)).collect());
    // Three each of a group: any of these has more than one that comes from an address of its own.
    let by = |user: usize| alloc::format!("20.{}.0.1:1", user / 3);
    for (user, owner) in global.iter().enumerate() {
        let _ = bed.put(&put(owner, Kind::Device, &owner.device(NOW), &by(user)));
    }
    let bytes = |bed: &Bed, scope| {
        let of = bed.home.records.iter().filter(|(name, _)| name.scope == scope);
        of.map(|(_, held)| room::cost(held.json.len())).sum::<usize>()
    };
    for (n, owner) in local.iter().enumerate() {
        let at = alloc::format!("10.0.{}.{}:1", n / 100, n % 100 + 1);
        let _ = bed.put(&Put { realm: LAN, ..put(owner, Kind::Device, &owner.device(NOW), &at) });
        bed.check();
        assert!(bytes(&bed, Scope::Private) <= BOUND / 4 && bytes(&bed, Scope::Global) >= BOUND * 3 / 4 - 1_000);
    }
    assert!(bytes(&bed, Scope::Private) > BOUND / 4 - 1_000, "which it does have");
    // Nor does it have more than that of what it took while nobody else wanted it.
    let mut bed = Bed::new(Hint(0), BOUND);
    for (n, owner) in local.iter().enumerate() {
        let at = alloc::format!("10.0.{}.{}:1", n / 100, n % 100 + 1);
        let _ = bed.put(&Put { realm: LAN, ..put(owner, Kind::Device, &owner.device(NOW), &at) });
    }
    assert!(bytes(&bed, Scope::Private) > BOUND - 1_000);
    for (user, owner) in global.iter().take(40).enumerate() {
        bed.put(&put(owner, Kind::Device, &owner.device(NOW), &by(user))).unwrap();
        bed.check();
    }
    assert!(global.iter().take(40).all(|owner| bed.home.find(&owner.name(Slot::Device)).is_some()));
}

// spec-test: DHT-105
#[test]
fn ports_of_one_local_ip_are_one_payer() {
    let mut bed = Bed::new(Hint(0), 60 * 900);
    let local = |owner: &Owner| Name { scope: Scope::Private, ..owner.name(Slot::Device) };
    let others: Vec<Owner> = (0..20).map(|user| Owner::new(user, 1)).collect();
    for (n, owner) in others.iter().enumerate() {
        let (device, at) = (owner.device(NOW), alloc::format!("10.0.0.{}:1", n / 2 + 1));
        bed.put(&Put { realm: LAN, ..put(owner, Kind::Device, &device, &at) }).unwrap();
    }
    for user in 1_000..1_200 {
        let owner = Owner::new(user, 1);
        let _ = bed.put(&Put { realm: LAN, ..put(&owner, Kind::Device, &owner.device(NOW), &alloc::format!("10.0.9.9:{user}")) });
    }
    bed.check();
    assert!(bed.home.bytes() > 59 * 900 && others.iter().all(|owner| bed.home.find(&local(owner)).is_some()));
}

// spec-test: DHT-105
#[test]
fn a_revocation_goes_last_in_its_group() {
    let mut bed = Bed::new(Hint(0), 20 * 900);
    let farthest = (0..60).map(|user| Owner::new(user, 1)).max_by_key(|owner| owner.home().hint()).unwrap();
    let revocation = farthest.revocation(1, NOW);
    bed.put(&put(&farthest, Kind::Revocation, &revocation, BY)).unwrap();
    for user in 100..200 {
        let owner = Owner::new(user, 1);
        let _ = bed.put(&put(&owner, Kind::Device, &owner.device(NOW), BY));
    }
    assert!(bed.home.bytes() > 19 * 900);
    assert!(bed.home.find(&Name { slot: Slot::Revocation, ..farthest.name(Slot::Device) }).is_some());
}

// spec-test: DHT-106
#[test]
fn whoever_copies_the_records_of_others_before_it_floods_takes_none_of_them_down() {
    let flooder = "198.51.100.77:9";
    for copies_first in [true, false] {
        let mut bed = Bed::new(Hint(0), 60 * 900);
        let owners: Vec<_> = (0..20).map(|user| (Owner::new(user, 1), alloc::format!("20.{user}.0.1:1"))).collect();
        for is_copy in [copies_first, !copies_first] {
            for (owner, by) in &owners {
                let device = owner.device(NOW);
                bed.put(&put(owner, Kind::Device, &device, if is_copy { flooder } else { by })).unwrap();
            }
        }
        for user in 1_000..1_150 {
            let owner = Owner::new(user, 1);
            let _ = bed.put(&put(&owner, Kind::Device, &owner.device(NOW), flooder));
        }
        bed.check();
        let kept = owners.iter().filter(|(owner, _)| bed.home.find(&owner.name(Slot::Device)).is_some()).count();
        assert_eq!(kept, 20, "{copies_first}");
    }
}

// spec-test: DHT-106
#[test]
fn a_light_group_that_copies_what_a_heavy_one_has_put_cannot_take_it_down_either() {
    let (leaf, flooder) = ("20.0.0.1:1", "198.51.100.77:9");
    let mut bed = Bed::new(Hint(0), 80 * 900);
    let owners: Vec<Owner> = (0..30).map(|user| Owner::new(user, 1)).collect();
    for by in [leaf, flooder] {
        for owner in &owners {
            bed.put(&put(owner, Kind::Device, &owner.device(NOW), by)).unwrap();
        }
    }
    bed.check();
    for user in 1_000..1_150 {
        let owner = Owner::new(user, 1);
        let _ = bed.put(&put(&owner, Kind::Device, &owner.device(NOW), flooder));
        bed.check();
    }
    let kept = owners.iter().filter(|owner| bed.home.find(&owner.name(Slot::Device)).is_some()).count();
    assert_eq!(kept, 30, "half of them were charged to the flooder before it flooded");
}

// spec-test: DHT-105
#[test]
fn whatever_is_put_in_whatever_order_the_books_balance_and_the_bound_holds() {
    let mut rng = Rng::from_seed(&Seed::from_bytes([8; 32]));
    let owners: Vec<Owner> = (0..40).map(|n| Owner::until(n / 5, u8::try_from(n % 5).unwrap(), NOW + WEEK + u64::from(n))).collect();
    let pool: Vec<(usize, Kind, String)> = (0..owners.len())
        .flat_map(|n| {
            let owner = &owners[n];
            let devices = (0..2).map(move |s| (n, Kind::Device, owner.device(NOW + s)));
            let addresses = (0..3).map(move |s| (n, Kind::Address, owner.address(NOW + s * 20 * MINUTE)));
            let revocation = (n % 10 == 0).then(|| (n, Kind::Revocation, owner.revocation(1, NOW + u64::from(n % 20 == 0))));
            devices.chain(addresses).chain(revocation)
        })
        .collect();
    for bytes_max in [0, 2_000, 12_000, 100_000] {
        let mut bed = Bed::new(Hint(rng.u64()), bytes_max);
        let mut below = |n: u64| usize::try_from(rng.below(n)).unwrap();
        for _ in 0..1_500 {
            let (owner, kind, json) = &pool[below(pool.len() as u64)];
            let by = alloc::format!("{}.0.0.1:1", 20 + below(6));
            let realm = if below(4) == 0 { V6 } else { V4 };
            let radius = (below(4) == 0).then(|| Radius::of(Holds::TWENTY, Size::of(40)));
            bed.may_verify = below(20) > 0;
            let put = Put { realm, radius, carry: below(3) == 0, ..put(&owners[*owner], *kind, json, &by) };
            let result = bed.put(&put);
            if let Ok(kept) = result {
                assert!(bed.home.find(&kept.name).is_some_and(|held| held.number() == kept.sequence));
            }
            match below(30) {
                0 => bed.now += MINUTE * below(30) as u64,
                1 => bed.now -= MINUTE * below(20) as u64,
                2 => assert!(bed.get(&owners[*owner], *kind).token.is_none(), "tokens are not the store's"),
                3 => bed.home.set_own(V6, (below(2) == 0).then_some(Hint(1 << 60))),
                _ => {}
            }
            bed.check();
            assert!(bed.home.bytes() <= bytes_max);
        }
        assert_eq!(bed.home.is_empty(), bytes_max == 0);
    }
}
