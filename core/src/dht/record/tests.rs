use alloc::collections::BTreeMap;
use alloc::string::ToString as _;
use alloc::vec;

use super::*;
use crate::id::{AppId, from_base64, to_base64};
use crate::identity::{DELEGATION_MS_DEFAULT, DelegationCache, DeviceKeys, IdentitySecret, Revocation, RevocationEntry, RevocationTarget};
use crate::rng::{Rng, Seed};

/// The vectors' first moment: 2026-01-01T00:00Z.
pub(in crate::dht) const FROM: u64 = 1_767_225_600_000;

pub(in crate::dht) fn identity() -> IdentitySecret {
    IdentitySecret::from_bytes([1; 32])
}

pub(in crate::dht) fn keys() -> DeviceKeys {
    DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([2; 32])))
}

pub(in crate::dht) fn granted(identity: &IdentitySecret, keys: &DeviceKeys, app: &str, from: u64) -> Credentials {
    let until = WallTime::from_millis(from + DELEGATION_MS_DEFAULT);
    let grant = keys.grant(AppId::new(app).unwrap(), WallTime::from_millis(from), until);
    keys.credentials(Delegation::sign(identity, &grant).unwrap())
}

/// Those of `vectors/delegation.json`.
pub(in crate::dht) fn credentials() -> Credentials {
    granted(&identity(), &keys(), "demo.chat", FROM)
}

pub(in crate::dht) fn home() -> Key {
    home_of(credentials().delegation())
}

fn prekey(sequence: u64) -> Prekey {
    Prekey::sign(&Crypto::standard(), &credentials(), [5; 32], sequence).unwrap()
}

pub(in crate::dht) fn device_record() -> DeviceRecord {
    DeviceRecord::new(Some(credentials().delegation().clone()), Some(prekey(FROM + 1_000))).unwrap()
}

pub(in crate::dht) fn signed_at(sequence: u64, scope: Scope, addresses: &[&str], relays: &[&str]) -> Result<AddressRecord, WireError> {
    let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let relays = relays.iter().zip(7..).map(|(text, n)| (NodeKey::from_bytes([n; 32]), text.parse().unwrap())).collect();
    AddressRecord::sign(&Crypto::standard(), &credentials(), scope, sequence, addresses, relays)
}

pub(in crate::dht) fn address_record() -> AddressRecord {
    signed_at(FROM + 2_000, Scope::Global, &["203.0.113.97:51820"], &[]).unwrap()
}

/// One of all that may be in it.
pub(in crate::dht) fn largest_address_record() -> AddressRecord {
    let six = |n: u16| alloc::format!("[fd00:1111:2222:3333:4444:5555:6666:777{n}]:51820");
    let (addresses, relays): (Vec<_>, Vec<_>) = ((0..3).map(six).collect(), (3..5).map(six).collect());
    let texts = |all: &[String]| all.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
    let relays = texts(&relays).into_iter().map(|at| (NodeKey::from_bytes([7; 32]), at)).collect();
    AddressRecord::sign(&Crypto::standard(), &credentials(), Scope::Private, INTEGER_MAX, texts(&addresses), relays).unwrap()
}

fn entry(before: u64, end: u64) -> RevocationEntry {
    RevocationEntry { before: WallTime::from_millis(before), end: WallTime::from_millis(end) }
}

pub(in crate::dht) fn revocation(before: u64, end: u64) -> Revocation {
    let entries = BTreeMap::from([(RevocationTarget::All, entry(before, end))]);
    Revocation::sign(&identity(), AppId::new("demo.chat").unwrap(), 1, entries).unwrap()
}

/// One with an entry for each of eight devices, and the longest numbers.
pub(in crate::dht) fn largest_revocation() -> Revocation {
    let device = |n| RevocationTarget::Device(DeviceId::from_bytes([n; 16]));
    let entries = (0..8).map(|n| (device(n), entry(INTEGER_MAX, INTEGER_MAX))).collect();
    Revocation::sign(&identity(), AppId::new(&"z".repeat(32)).unwrap(), INTEGER_MAX, entries).unwrap()
}

/// One for the longest app id, and the longest numbers.
pub(in crate::dht) fn largest_device_record() -> DeviceRecord {
    let from = INTEGER_MAX - DELEGATION_MS_DEFAULT;
    let own = granted(&identity(), &keys(), &"z".repeat(32), from);
    let prekey = Prekey::sign(&Crypto::standard(), &own, [5; 32], INTEGER_MAX).unwrap();
    DeviceRecord::new(Some(own.delegation().clone()), Some(prekey)).unwrap()
}

fn with<R>(crypto: Crypto, now: u64, revocation: Option<&Revocation>, run: impl FnOnce(&mut Judge<'_>) -> R) -> R {
    let (mut known, mut checked) = (DelegationCache::new(8), 0);
    let now = WallTime::from_millis(now);
    run(&mut Judge { crypto: &crypto, home: home(), now, revocation, known: &mut known, checked: &mut checked })
}

fn judge_device(now: u64, record: &DeviceRecord, held: Option<&Delegation>) -> Result<(), Refused> {
    with(Crypto::standard(), now, None, |judge| judge.device(record, held))
}

fn judge_address(now: u64, record: &AddressRecord) -> Result<(), Refused> {
    with(Crypto::standard(), now, None, |judge| judge.address(record, Some(credentials().delegation()), Scope::Global))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    identity_secret: String,
    device_secrets: String,
    app: String,
    home: String,
    device: String,
    address: Vec<String>,
}

// spec-test: DHT-30
// spec-test: DHT-31
// spec-test: DHT-32
#[test]
fn the_records_are_the_committed_ones() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../vectors/records.json")).unwrap();
    assert_eq!((vectors.identity_secret, vectors.app.as_str()), (to_base64(&[1; 32]), "demo.chat"));
    assert_eq!(from_base64(&vectors.device_secrets).unwrap(), keys().to_secret_bytes());
    assert_eq!(vectors.home, home().to_string());
    assert_eq!(device_record().to_json(), vectors.device);
    let private = signed_at(FROM + 3_000, Scope::Private, &["192.168.1.9:51820", "[fd00::9]:51820"], &["10.0.0.1:7575"]).unwrap();
    let nowhere = signed_at(FROM + 4_000, Scope::Global, &[], &[]).unwrap();
    assert_eq!([address_record(), private.clone(), nowhere.clone()].map(|record| record.to_json()), *vectors.address);
    assert_eq!(DeviceRecord::from_json(&vectors.device), Ok(device_record()));
    for (record, json) in [address_record(), private, nowhere].into_iter().zip(&vectors.address) {
        assert_eq!(AddressRecord::from_json(json), Ok(record));
    }
    assert_eq!(judge_device(FROM, &device_record(), None), Ok(()));
    assert_eq!(judge_address(FROM, &address_record()), Ok(()));
}

// spec-test: DHT-30
#[test]
fn records_have_the_lengths_that_datagrams_were_planned_with() {
    let prekey_alone = DeviceRecord::new(None, Some(prekey(FROM))).unwrap();
    let delegation_alone = DeviceRecord::new(Some(credentials().delegation().clone()), None).unwrap();
    assert_eq!([device_record(), delegation_alone, prekey_alone].map(|record| record.to_json().len()), [629, 391, 239]);
    assert_eq!(address_record().to_json().len(), 208);
    assert_eq!(largest_revocation().to_json().len(), 859);
    let (device, address) = (largest_device_record(), largest_address_record());
    assert_eq!((device.to_json().len(), address.to_json().len()), (661, 565));
    assert_eq!(DeviceRecord::from_json(&device.to_json()), Ok(device));
    assert_eq!(AddressRecord::from_json(&address.to_json()), Ok(address));
}

/// Every way to change one place of a JSON text that may keep its meaning.
fn reworded(json: &str) -> Vec<String> {
    let mut out = vec![
        json.replacen(':', ": ", 1),
        json.replacen(',', ", ", 1),
        alloc::format!("{json} "),
        json.replacen("device", "d\\u0065vice", 1),
    ];
    out.push(json.replacen("\"signature\"", "\"new\":1,\"signature\"", 1));
    out.push(json.replacen("{\"device\"", "{\"new\":1,\"device\"", 1));
    out.push(json.replacen("}", ",\"new\":null}", 1));
    out
}

// spec-test: DHT-30
#[test]
fn a_record_in_another_form_is_refused() {
    let (device, address) = (device_record().to_json(), address_record().to_json());
    for other in reworded(&device) {
        assert!(DeviceRecord::from_json(&other).is_err(), "{other}");
    }
    let swapped = DeviceRecord::from_json(&device).unwrap();
    let (delegation, prekey) = (swapped.delegation().unwrap().to_json(), signed::to_json(swapped.prekey().unwrap()));
    for other in [
        alloc::format!(r#"{{"prekey":{prekey},"delegation":{delegation}}}"#),
        alloc::format!(r#"{{"delegation":{delegation},"prekey":null}}"#),
        alloc::format!(r#"{{"delegation":{delegation},"delegation":{delegation}}}"#),
        "{}".into(),
        "[]".into(),
        String::new(),
    ] {
        assert!(DeviceRecord::from_json(&other).is_err(), "{other}");
    }
    let others = [
        address.replace("]}", "],\"relays\":[]}"),
        address.replace("]}", "],\"scope\":\"global\"}"),
        address.replace("]}", "],\"scope\":\"nowhere\"}"),
        address.replace("]}", "],\"scope\":null}"),
        address.replace(":51820", ":051820"),
        address.replace("203.0.113.97", "[::ffff:203.0.113.97]"),
        address.replace("203.0.113.97", "[2001:DB8::1]"),
        address.replace("203.0.113.97", "[2001:db8:0::1]"),
        address.replace(&(FROM + 2_000).to_string(), "9007199254740992"),
        address.replace(&(FROM + 2_000).to_string(), "1.0"),
    ];
    for other in others.into_iter().chain(reworded(&address)) {
        assert_ne!(other, address);
        assert!(AddressRecord::from_json(&other).is_err(), "{other}");
    }
}

// spec-test: DHT-31
#[test]
fn a_device_record_is_of_one_device_and_has_a_part() {
    let other = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([3; 32])));
    let other = granted(&identity(), &other, "demo.chat", FROM);
    assert_eq!(DeviceRecord::new(None, None), None);
    assert_eq!(DeviceRecord::new(Some(other.delegation().clone()), Some(prekey(1))), None);
    let mixed = device_record().to_json().replace(&credentials().delegation().to_json(), &other.delegation().to_json());
    assert_eq!(DeviceRecord::from_json(&mixed), Err(WireError::Json));
}

// spec-test: DHT-32
#[test]
fn an_address_record_has_few_lasting_addresses_of_its_own_scope() {
    let global = |addresses: &[&str], relays: &[&str]| signed_at(1, Scope::Global, addresses, relays).map(|_| ());
    let four = ["203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1", "203.0.113.4:1"];
    assert_eq!(global(&four[..3], &four[..2]), Ok(()));
    assert_eq!(global(&four, &[]), Err(WireError::TooLong));
    assert_eq!(global(&[], &four[..3]), Err(WireError::TooLong));
    for bad in
        ["10.0.0.1:1", "127.0.0.1:1", "203.0.113.1:0", "224.0.0.1:1", "[64:ff9b::203.0.113.7]:1", "[2002:cb00:7109::1]:1", "[2001::1]:1"]
    {
        assert_eq!(global(&[bad], &[]), Err(WireError::Address), "{bad}");
        assert_eq!(global(&[], &[bad]), Err(WireError::Address), "{bad}");
    }
    assert_eq!(global(&["203.0.113.1:1", "203.0.113.1:1"], &[]), Err(WireError::Address), "twice");
    assert_eq!(signed_at(1, Scope::Private, &["10.0.0.1:1"], &[]).map(|_| ()), Ok(()));
    assert_eq!(signed_at(1, Scope::Private, &["203.0.113.1:1"], &[]), Err(WireError::Address));
    assert_eq!(signed_at(1, Scope::Private, &["[fe80::1]:1"], &[]), Err(WireError::Address), "not lasting");
    assert_eq!(signed_at(INTEGER_MAX + 1, Scope::Global, &[], &[]), Err(WireError::Number));
    // What cannot be signed cannot be read either.
    let read = |from: &str, to: &str| AddressRecord::from_json(&address_record().to_json().replace(from, to)).map(|_| ());
    assert_eq!(read("203.0.113.97", "10.0.0.1"), Err(WireError::Address));
    assert_eq!(read("]}", "],\"scope\":\"private\"}"), Err(WireError::Address));
    let many = r#""203.0.113.97:51820","203.0.113.98:51820","203.0.113.99:51820","203.0.113.96:51820""#;
    assert_eq!(read("\"203.0.113.97:51820\"", many), Err(WireError::TooLong));
}

// spec-test: DHT-33
#[test]
fn a_device_record_is_refused_for_each_of_its_reasons() {
    let record = device_record();
    let tolerance = CLOCK_TOLERANCE_MS;
    let until = FROM + DELEGATION_MS_DEFAULT;
    assert_eq!(judge_device(FROM - tolerance, &DeviceRecord::new(record.delegation.clone(), None).unwrap(), None), Ok(()));
    assert_eq!(judge_device(FROM - tolerance - 1, &record, None), Err(Refused::Clock), "its time has not come");
    assert_eq!(judge_device(until + tolerance - 1, &record, None), Ok(()));
    assert_eq!(judge_device(until + tolerance, &record, None), Err(Refused::Expired));
    let ahead = DeviceRecord::new(record.delegation.clone(), Some(prekey(FROM + tolerance + 1))).unwrap();
    assert_eq!((judge_device(FROM, &ahead, None), judge_device(FROM + 1, &ahead, None)), (Err(Refused::Clock), Ok(())));

    let elsewhere = granted(&identity(), &keys(), "demo.other", FROM);
    let elsewhere = DeviceRecord::new(Some(elsewhere.delegation().clone()), None).unwrap();
    assert_eq!(judge_device(FROM, &elsewhere, None), Err(Refused::Home));
    let stranger = granted(&IdentitySecret::from_bytes([9; 32]), &keys(), "demo.chat", FROM);
    let stranger = DeviceRecord::new(Some(stranger.delegation().clone()), None).unwrap();
    assert_eq!(judge_device(FROM, &stranger, None), Err(Refused::Home));

    let taken = revocation(FROM + 1, until);
    let kept = revocation(FROM, until);
    assert_eq!(with(Crypto::standard(), FROM, Some(&taken), |judge| judge.device(&record, None)), Err(Refused::Revoked));
    assert_eq!(with(Crypto::standard(), FROM, Some(&kept), |judge| judge.device(&record, None)), Ok(()));
}

// spec-test: DHT-33
#[test]
fn a_part_alone_is_judged_beside_what_is_held() {
    let (own, alone) = (credentials(), DeviceRecord::new(None, Some(prekey(FROM))).unwrap());
    let held = own.delegation();
    assert_eq!(judge_device(FROM, &alone, None), Err(Refused::NoDevice));
    assert_eq!(judge_device(FROM, &alone, Some(held)), Ok(()));
    assert_eq!(judge_device(FROM + DELEGATION_MS_DEFAULT + CLOCK_TOLERANCE_MS, &alone, Some(held)), Err(Refused::Expired));
    let renewed = granted(&identity(), &keys(), "demo.chat", FROM + 1);
    let renewed = DeviceRecord::new(Some(renewed.delegation().clone()), None).unwrap();
    assert_eq!(judge_device(FROM + 1, &renewed, Some(held)), Ok(()), "a renewal by who holds the identity");

    // The same device with another signing key: what it signed before would be worth nothing.
    let mut secrets = keys().to_secret_bytes();
    secrets[0] ^= 1;
    let changed = granted(&identity(), &DeviceKeys::from_secret_bytes(&secrets), "demo.chat", FROM);
    let changed = DeviceRecord::new(Some(changed.delegation().clone()), None).unwrap();
    assert_eq!(judge_device(FROM, &changed, Some(held)), Err(Refused::Keys));
    let other = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([3; 32])));
    let other = granted(&identity(), &other, "demo.chat", FROM);
    assert_eq!(judge_device(FROM, &alone, Some(other.delegation())), Err(Refused::NoDevice), "of another device");
}

// spec-test: DHT-33
#[test]
fn what_is_signed_by_another_or_for_another_home_is_refused() {
    let crypto = Crypto::standard();
    let record = device_record();
    let elsewhere = granted(&identity(), &keys(), "demo.other", FROM);
    let replayed = Prekey::sign(&crypto, &elsewhere, [5; 32], FROM).unwrap();
    let replayed = DeviceRecord::new(record.delegation.clone(), Some(replayed)).unwrap();
    assert_eq!(judge_device(FROM, &replayed, None), Err(Refused::Signature), "signed for another home");
    let mut forged = prekey(FROM);
    forged.prekey[0] ^= 1;
    let forged = DeviceRecord::new(record.delegation.clone(), Some(forged)).unwrap();
    assert_eq!(judge_device(FROM, &forged, None), Err(Refused::Signature));
    let json = record.delegation().unwrap().to_json().replace("\"until\":1767830400000", "\"until\":1767830400001");
    let forged = DeviceRecord::new(Some(Delegation::from_json(json).unwrap()), None).unwrap();
    assert_eq!(judge_device(FROM, &forged, None), Err(Refused::Signature), "the delegation");
    // A delegation that was checked before is not checked again; the prekey is.
    let mut known = DelegationCache::new(8);
    known.check(&crypto, record.delegation().unwrap(), &mut 0).unwrap();
    let blind = Crypto::that_verifies_nothing();
    let mut checked = 0;
    let now = WallTime::from_millis(FROM);
    let mut judge = Judge { crypto: &blind, home: home(), now, revocation: None, known: &mut known, checked: &mut checked };
    assert_eq!(judge.device(&DeviceRecord::new(record.delegation.clone(), None).unwrap(), None), Ok(()));
    assert_eq!(judge.device(&record, None), Err(Refused::Signature));
    assert_eq!(checked, 0);
}

// spec-test: DHT-34
#[test]
fn an_address_record_is_refused_for_each_of_its_reasons() {
    let record = address_record();
    let sequence = record.sequence();
    assert_eq!(judge_address(sequence - CLOCK_TOLERANCE_MS, &record), Ok(()));
    assert_eq!(judge_address(sequence - CLOCK_TOLERANCE_MS - 1, &record), Err(Refused::Clock), "ahead");
    assert_eq!(judge_address(sequence + ADDRESS_MS - 1, &record), Ok(()));
    assert_eq!(judge_address(sequence + ADDRESS_MS, &record), Err(Refused::Clock), "over");
    let own = credentials();
    let held = Some(own.delegation());
    let judge = |revocation, record: &AddressRecord, held, scope| {
        with(Crypto::standard(), FROM, revocation, |judge| judge.address(record, held, scope))
    };
    assert_eq!(judge(None, &record, held, Scope::Private), Err(Refused::Scope));
    assert_eq!(judge(None, &record, None, Scope::Global), Err(Refused::NoDevice));
    let (taken, kept) = (revocation(FROM + 1, u64::MAX >> 12), revocation(FROM, u64::MAX >> 12));
    assert_eq!(judge(Some(&taken), &record, held, Scope::Global), Err(Refused::Revoked));
    assert_eq!(judge(Some(&kept), &record, held, Scope::Global), Ok(()));
    let other_app = granted(&identity(), &keys(), "demo.other", FROM);
    assert_eq!(judge(None, &record, Some(other_app.delegation()), Scope::Global), Err(Refused::Home));
    let late = signed_at(FROM + DELEGATION_MS_DEFAULT + CLOCK_TOLERANCE_MS, Scope::Global, &[], &[]).unwrap();
    assert_eq!(judge_address(late.sequence(), &late), Err(Refused::Expired), "a renewed delegation must come first");
    let other = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([3; 32])));
    let other = granted(&identity(), &other, "demo.chat", FROM);
    assert_eq!(judge(None, &record, Some(other.delegation()), Scope::Global), Err(Refused::NoDevice), "of another device");

    let crypto = Crypto::standard();
    let replayed = AddressRecord::sign(&crypto, &other_app, Scope::Global, FROM, vec![], vec![]).unwrap();
    assert_eq!(judge(None, &replayed, held, Scope::Global), Err(Refused::Signature), "signed for another home");
    let moved = AddressRecord { addresses: vec!["203.0.113.98:51820".parse().unwrap()], ..record.clone() };
    assert_eq!(judge(None, &moved, held, Scope::Global), Err(Refused::Signature));
    let nowhere = signed_at(FROM, Scope::Private, &[], &[]).unwrap();
    let spread = AddressRecord { scope: Scope::Global, ..nowhere };
    assert_eq!(judge(None, &spread, held, Scope::Global), Err(Refused::Signature), "the scope is signed");
    let renewed = granted(&identity(), &keys(), "demo.chat", FROM + 1);
    let at = FROM + 5_000;
    let later = with(crypto, at, None, |judge| judge.address(&record, Some(renewed.delegation()), Scope::Global));
    assert_eq!(later, Ok(()), "a renewal orphans nothing");
}

// spec-test: DHT-33
#[test]
fn a_revocation_is_judged_by_its_home_its_end_and_its_signature() {
    let judge = |now, revocation: &Revocation| with(Crypto::standard(), now, None, |judge| judge.revocation(revocation));
    let revocation = revocation(FROM, FROM + 10);
    assert_eq!((judge(FROM + 9, &revocation), judge(FROM + 10, &revocation)), (Ok(()), Err(Refused::Clock)));
    assert_eq!(judge(FROM, &largest_revocation()), Err(Refused::Home));
    let forged = revocation.to_json().replace("\"version\":1", "\"version\":2");
    assert_eq!(judge(FROM, &Revocation::from_json(forged).unwrap()), Err(Refused::Signature));
}

// spec-test: DHT-35
#[test]
fn the_parts_of_a_device_record_are_renewed_apart() {
    let until = FROM + DELEGATION_MS_DEFAULT;
    let renewed = granted(&identity(), &keys(), "demo.chat", FROM + 1);
    let (old, new) = (credentials().delegation().clone(), renewed.delegation().clone());
    assert_eq!((delegation_order(&old, &new), delegation_order(&new, &old)), (Ordering::Less, Ordering::Greater));
    assert_eq!(delegation_order(&old, &old), Ordering::Equal);
    let record =
        |delegation: Option<&Delegation>, sequence: Option<u64>| DeviceRecord::new(delegation.cloned(), sequence.map(prekey)).unwrap();
    let mut held = record(Some(&old), Some(FROM));
    assert_eq!(held.number(), until + FROM);
    assert!(!held.merge(record(Some(&old), Some(FROM))), "the same again");
    assert!(held.merge(record(Some(&new), None)), "by who holds the identity, while the device sleeps");
    assert_eq!((&held, held.number()), (&record(Some(&new), Some(FROM)), until + 1 + FROM));
    assert!(held.merge(record(Some(&old), Some(FROM + 5))), "by the device, which has not heard of it");
    assert_eq!((&held, held.number()), (&record(Some(&new), Some(FROM + 5)), until + 1 + FROM + 5));
    assert!(!held.merge(record(Some(&old), Some(FROM + 4))));
    assert_eq!(held.end(), Some(WallTime::from_millis(until + 1 + CLOCK_TOLERANCE_MS)));
    assert_eq!((record(None, Some(3)).number(), record(None, Some(3)).end()), (3, None));
}

// spec-test: DHT-35
#[test]
fn of_two_records_of_one_sequence_all_nodes_take_the_same() {
    let (one, other) = (address_record(), signed_at(FROM + 2_000, Scope::Global, &["203.0.113.98:51820"], &[]).unwrap());
    assert_ne!(one.order(&other), Ordering::Equal);
    assert_eq!(one.order(&other), other.order(&one).reverse());
    let hashes = [&one, &other].map(|record| sha256(&[record.content().as_bytes()]));
    assert_eq!(one.order(&other), hashes[0].cmp(&hashes[1]));
    let newer = signed_at(FROM + 2_001, Scope::Global, &[], &[]).unwrap();
    assert_eq!((one.order(&newer), other.order(&newer)), (Ordering::Less, Ordering::Less));
    assert_eq!(one.order(&one), Ordering::Equal);
}

// spec-test: DHT-36
#[test]
fn an_address_record_ends_two_hours_after_its_sequence_whatever_happens() {
    assert_eq!(address_record().end(), WallTime::from_millis(FROM + 2_000 + 7_200_000));
    assert_eq!(device_record().end(), Some(credentials().delegation().until() + Duration::from_secs(600)));
}

// spec-test: DHT-37
#[test]
fn a_refusal_is_answered_where_the_owner_can_do_something_about_it() {
    use crate::dht::wire::Denied;
    let silent = [Refused::Home, Refused::Keys, Refused::Signature];
    assert_eq!(silent.map(Refused::answer), [None; 3]);
    let first = [Refused::NoDevice, Refused::Expired, Refused::Revoked];
    assert_eq!(first.map(Refused::answer), [Some(Denied::Device); 3]);
    assert_eq!([Refused::Scope, Refused::Clock].map(Refused::answer), [Some(Denied::Far), Some(Denied::Clock)]);
}
