use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use super::*;
use crate::error::WireError;
use crate::id::{AppId, DeviceId, NodeKey, Peer, to_base64};
use crate::rng::{Rng, Seed};
use crate::time::WallTime;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// The vectors' first moment: 2026-01-01T00:00Z.
const FROM: WallTime = WallTime::from_millis(1_767_225_600_000);

fn identity() -> IdentitySecret {
    IdentitySecret::from_bytes([1; 32])
}

fn keys() -> DeviceKeys {
    DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([2; 32])))
}

fn grant(from: WallTime, until_ms: u64) -> Grant {
    keys().grant(AppId::new("demo.chat").unwrap(), from, WallTime::from_millis(until_ms))
}

fn delegation() -> Delegation {
    Delegation::sign(&identity(), &grant(FROM, FROM.as_millis() + DELEGATION_MS_DEFAULT)).unwrap()
}

fn entry(before: u64, end: u64) -> RevocationEntry {
    RevocationEntry { before: WallTime::from_millis(before), end: WallTime::from_millis(end) }
}

fn revocation(version: u64, entries: &[(RevocationTarget, RevocationEntry)]) -> Revocation {
    Revocation::sign(&identity(), AppId::new("demo.chat").unwrap(), version, entries.iter().copied().collect()).unwrap()
}

/// Revokes the device of [`delegation`] and, from another date on, everything.
fn both() -> Revocation {
    let end = FROM.as_millis() + 60 * DAY_MS;
    let device = RevocationTarget::Device(keys().device());
    revocation(3, &[(device, entry(FROM.as_millis() + 1, end)), (RevocationTarget::All, entry(FROM.as_millis() - 1, end - DAY_MS))])
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IdVector {
    identity_secret: String,
    identity_key: IdentityKey,
    user: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeVector {
    node_secret: String,
    node: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    users: Vec<IdVector>,
    nodes: Vec<NodeVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    identity_secret: String,
    json: String,
    hash: Option<String>,
}

// spec-test: ID-1
// spec-test: ID-2
// spec-test: ID-3
#[test]
fn ids_are_the_committed_ones() {
    let ids: Ids = serde_json::from_str(include_str!("../../vectors/ids.json")).unwrap();
    assert_eq!((ids.users.len(), ids.nodes.len()), (3, 2));
    for vector in ids.users {
        let secret = IdentitySecret::from_bytes(crate::id::array_from_base64(&vector.identity_secret).unwrap());
        assert_eq!(secret.public(), vector.identity_key);
        assert_eq!(secret.user().to_string(), vector.user);
        assert_eq!(vector.user.parse(), Ok(secret.user()));
    }
    for vector in ids.nodes {
        let secret = NodeSecret::from_bytes(crate::id::array_from_base64(&vector.node_secret).unwrap());
        assert_eq!(secret.key(&Crypto::standard()).to_string(), vector.node);
        assert_eq!(vector.node.parse(), Ok::<NodeKey, _>(secret.key(&Crypto::standard())));
    }
}

// spec-test: ID-2
#[test]
fn a_mistyped_id_is_refused() {
    let text = identity().user().to_string();
    let node = NodeSecret::from_bytes([1; 32]).key(&Crypto::standard()).to_string();
    assert_eq!(text.to_uppercase().parse(), Ok(identity().user()));
    let mut wrong: Vec<String> = (3..text.len())
        .map(|at| {
            text.chars()
                .enumerate()
                .map(|(index, c)| {
                    if index != at {
                        c
                    } else if c == 'q' {
                        'p'
                    } else {
                        'q'
                    }
                })
                .collect()
        })
        .collect();
    wrong.extend([node, String::new(), text.get(..40).unwrap().to_string(), format!("{text}q"), text.replace('h', "H")]);
    assert!(wrong.iter().all(|wrong| wrong.parse::<UserId>() == Err(WireError::IdText)), "{wrong:?}");
}

// spec-test: ID-4
#[test]
fn an_app_id_is_1_to_32_bytes_of_its_alphabet() {
    for good in ["a", "chat.example-1", &"z".repeat(32)] {
        assert_eq!(AppId::new(good).map(|app| app.to_string()), Ok(good.to_string()));
    }
    for bad in ["", "A", "a b", "a_b", "ä", "a\"", &"z".repeat(33)] {
        assert_eq!(AppId::new(bad), Err(WireError::AppId), "{bad}");
    }
}

// spec-test: ID-5
// spec-test: ID-6
#[test]
fn the_delegation_is_the_committed_one() {
    let vector: Signed = serde_json::from_str(include_str!("../../vectors/delegation.json")).unwrap();
    assert_eq!(vector.identity_secret, to_base64(&[1; 32]));
    assert_eq!(delegation().to_json(), vector.json);
    assert_eq!(vector.hash, Some(to_base64(&delegation().hash())));
    let read = Delegation::from_json(&vector.json).unwrap();
    assert_eq!(read.verify(&Crypto::standard()), Ok(()));
    assert_eq!(read, delegation());
}

// spec-test: ID-10
#[test]
fn the_revocation_is_the_committed_one() {
    let vector: Signed = serde_json::from_str(include_str!("../../vectors/revocation.json")).unwrap();
    assert_eq!((vector.identity_secret, vector.hash), (to_base64(&[1; 32]), None));
    assert_eq!(both().to_json(), vector.json);
    let read = Revocation::from_json(&vector.json).unwrap();
    assert_eq!(read.verify(&Crypto::standard()), Ok(()));
    assert_eq!(read, both());
}

// spec-test: ID-6
#[test]
fn the_specification_shows_the_committed_examples() {
    let spec = include_str!("../../SPEC.md");
    assert!(spec.contains(&delegation().to_json()));
    assert!(spec.contains(&both().to_json()));
}

// spec-test: ID-5
#[test]
fn a_delegation_with_any_field_changed_does_not_verify() {
    let json = delegation().to_json();
    let other = Delegation::sign(&IdentitySecret::from_bytes([9; 32]), delegation().grant()).unwrap().to_json();
    let field = |json: &str, name: &str| {
        let value = json.split(&format!("\"{name}\":")).nth(1).unwrap();
        value.split([',', '}']).next().unwrap().to_string()
    };
    for (name, value) in [
        ("identity", field(&other, "identity")),
        ("signing", field(&json, "noise")),
        ("noise", field(&json, "signing")),
        ("app", "\"demo.chess\"".to_string()),
        ("device", format!("\"{}\"", to_base64(&[3; 16]))),
        ("from", (FROM.as_millis() + 1).to_string()),
        ("until", (FROM.as_millis() + DELEGATION_MS_DEFAULT + 1).to_string()),
        ("signature", field(&other, "signature")),
    ] {
        let (before, after) = (format!("\"{name}\":{}", field(&json, name)), format!("\"{name}\":{value}"));
        let changed = json.replace(&before, &after);
        assert_ne!(changed, json, "{name}");
        assert_eq!(Delegation::from_json(&changed).and_then(|read| read.verify(&Crypto::standard())), Err(WireError::Signature), "{name}");
    }
}

// spec-test: ID-6
#[test]
fn no_byte_of_a_delegation_can_be_changed_or_left_out() {
    let json = delegation().to_json().into_bytes();
    let refused = |bytes: &[u8]| Delegation::from_json(bytes).and_then(|read| read.verify(&Crypto::standard())).is_err();
    for at in 0..json.len() {
        for byte in [json[at] ^ 1, b' ', b'"', b'0'] {
            let mut changed = json.clone();
            changed[at] = byte;
            assert!(changed == json || refused(&changed), "{}", String::from_utf8_lossy(&changed));
        }
        let mut cut = json.clone();
        cut.remove(at);
        assert!(refused(&cut), "{}", String::from_utf8_lossy(&cut));
    }
}

// spec-test: ID-6
#[test]
fn a_delegation_in_any_other_form_is_refused() {
    let json = delegation().to_json();
    let swapped = {
        let device = format!("\"device\":\"{}\",", keys().device());
        json.replace(&device, "").replace("\"app\":", &format!("{device}\"app\":"))
    };
    for (other, why) in [
        (swapped, WireError::Json),
        (json.replace("{\"content\":", "{ \"content\":"), WireError::Space),
        (json.replace("\"from\":", "\"from\": "), WireError::Space),
        (json.replace("\"from\":", "\"from\":0"), WireError::Json),
        (json.replace("demo.chat", "demo\\u002echat"), WireError::Json),
        (json.replace("demo.chat", "Demo"), WireError::Json),
        (json.replace("\"app\":", "\"note\":1,\"app\":"), WireError::Json),
        (json.replace("\"until\":", "\"from\":1,\"until\":"), WireError::DuplicateKey),
        (json.replace("\"until\":", "\"until\":-"), WireError::Number),
        (format!("{json}\n"), WireError::Space),
        (format!("{{{}", json.replace("{\"content\"", "\"extra\":0,\"content\"")), WireError::Json),
        (json.replace("\"identity\":\"", "\"identity\":\"AA"), WireError::Json),
        (format!("[{}]", " ".repeat(600)), WireError::TooLong),
        (String::new(), WireError::Json),
    ] {
        assert_eq!(Delegation::from_json(&other), Err(why), "{other}");
        assert!(crate::fuzz::delegation(other.as_bytes()));
    }
}

// spec-test: ID-7
#[test]
fn a_window_that_is_empty_reversed_or_too_long_is_neither_signed_nor_read() {
    let sign = |until_ms| Delegation::sign(&identity(), &grant(FROM, until_ms)).map(|_| ());
    let from = FROM.as_millis();
    assert_eq!(sign(from + DELEGATION_MS_MAX), Ok(()));
    assert_eq!(sign(from + 1), Ok(()));
    for until in [from, from - 1, from + DELEGATION_MS_MAX + 1] {
        assert_eq!(sign(until), Err(WireError::Window));
        let json = delegation().to_json().replace(&(from + DELEGATION_MS_DEFAULT).to_string(), &until.to_string());
        assert_eq!(Delegation::from_json(&json), Err(WireError::Window));
    }
    let last = (1 << 53) - 1;
    let longest = Grant { app: AppId::new(&"a".repeat(32)).unwrap(), ..grant(WallTime::from_millis(last - 1), last) };
    let longest = Delegation::sign(&identity(), &longest).unwrap().to_json();
    assert_eq!((longest.len(), Delegation::from_json(&longest).is_ok()), (405, true));
    assert_eq!(Delegation::sign(&identity(), &grant(WallTime::from_millis(1 << 53), (1 << 53) + 1)), Err(WireError::Number));
}

// spec-test: ID-8
#[test]
fn a_delegation_counts_from_ten_minutes_before_until_ten_minutes_after_its_window() {
    let (from, until) = (FROM.as_millis(), FROM.as_millis() + DELEGATION_MS_DEFAULT);
    for (now, expected) in [
        (0, Err(Refusal::NotYet)),
        (from - CLOCK_TOLERANCE_MS - 1, Err(Refusal::NotYet)),
        (from - CLOCK_TOLERANCE_MS, Ok(())),
        (until, Ok(())),
        (until + CLOCK_TOLERANCE_MS - 1, Ok(())),
        (until + CLOCK_TOLERANCE_MS, Err(Refusal::Expired)),
        (u64::MAX, Err(Refusal::Expired)),
    ] {
        assert_eq!(delegation().check_window(WallTime::from_millis(now)), expected, "{now}");
    }
}

#[test]
fn a_delegation_says_what_was_granted() {
    let read = Delegation::from_json(delegation().to_json()).unwrap();
    assert_eq!((read.identity(), read.user()), (identity().public(), identity().user()));
    assert_eq!(read.peer(), Peer { user: identity().user(), device: keys().device() });
    assert_eq!(read.app().as_str(), "demo.chat");
    assert_eq!((read.from(), read.until()), (FROM, WallTime::from_millis(FROM.as_millis() + DELEGATION_MS_DEFAULT)));
    assert_eq!(read.grant(), delegation().grant());
    assert!(size_of::<Delegation>() <= 256);
}

#[test]
fn signed_things_travel_inside_other_json_unchanged() {
    #[derive(Deserialize, serde::Serialize, Debug, PartialEq)]
    enum Line {
        Both { delegation: Delegation, revocation: Revocation },
    }
    let line = Line::Both { delegation: delegation(), revocation: both() };
    let json = serde_json::to_string(&line).unwrap();
    let expected = format!("{{\"Both\":{{\"delegation\":{},\"revocation\":{}}}}}", delegation().to_json(), both().to_json());
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
    assert!(serde_json::from_str::<Line>(&json.replace("\"from\":", "\"from\": ")).is_err());
    assert!(serde_json::from_str::<Line>(&json.replace("\"version\":", "\"version\":\t")).is_err());
}

/// Checks genuine delegations one after the other; which of them had to be verified.
fn check_each(cache: &mut DelegationCache, delegations: &[&Delegation]) -> Vec<bool> {
    delegations
        .iter()
        .map(|delegation| {
            let mut checked = 0;
            assert_eq!(cache.check(&Crypto::standard(), delegation, &mut checked), Ok(()));
            checked == 1
        })
        .collect()
}

fn delegation_until(offset: u64) -> Delegation {
    Delegation::sign(&identity(), &grant(FROM, FROM.as_millis() + DAY_MS + offset)).unwrap()
}

// spec-test: ID-9
#[test]
fn a_verified_delegation_is_remembered_with_its_signature_only() {
    let mut cache = DelegationCache::new(2);
    let (one, other) = (delegation_until(1), delegation_until(2));
    assert_eq!(check_each(&mut cache, &[&one, &one, &other]), [true, false, true]);
    // The same content under a signature that does not verify is refused though the content is known.
    let content = one.to_json().split(",\"signature\"").next().unwrap().to_string();
    let forged = Delegation::from_json(format!("{content},\"signature\":\"{}\"}}", to_base64(&[7; 64]))).unwrap();
    assert_eq!(forged.hash(), one.hash());
    let mut checked = 0;
    assert_eq!(cache.check(&Crypto::standard(), &forged, &mut checked), Err(WireError::Signature));
    assert_eq!(checked, 1, "what was verified in vain has cost as much");
    assert_eq!(cache.len(), 2);
}

#[test]
fn a_full_cache_forgets_another_for_the_new_one() {
    let mut cache = DelegationCache::new(2);
    let [one, two, three] = [1, 2, 3].map(delegation_until);
    assert_eq!(check_each(&mut cache, &[&one, &two, &three]), [true, true, true]);
    assert_eq!(cache.len(), 2);
    let verifies = |delegation: &Delegation| cache.check(&Crypto::that_verifies_nothing(), delegation, &mut 0).is_err();
    assert!(matches!([&one, &two, &three].map(verifies), [true, false, false] | [false, true, false]));
    let mut none = DelegationCache::new(0);
    assert_eq!(check_each(&mut none, &[&one, &one]), [true, true]);
    assert_eq!(none.len(), 0);
}

// spec-test: ID-11
#[test]
fn a_revocation_takes_back_what_began_before_its_dates() {
    let end = FROM.as_millis() + 60 * DAY_MS;
    let device = RevocationTarget::Device(keys().device());
    let stranger = RevocationTarget::Device(DeviceId::from_bytes([9; 16]));
    let from = FROM.as_millis();
    for (target, before, expected) in [
        (device, from + 1, true),
        (device, from, false),
        (RevocationTarget::All, from + 1, true),
        (RevocationTarget::All, from, false),
        (stranger, from + 1, false),
    ] {
        assert_eq!(revocation(1, &[(target, entry(before, end))]).revokes(&delegation()), expected, "{target:?} {before}");
    }
    let elsewhere = [
        Revocation::sign(&identity(), AppId::new("other").unwrap(), 1, both().devices().clone()).unwrap(),
        Revocation::sign(&IdentitySecret::from_bytes([9; 32]), both().app().clone(), 1, both().devices().clone()).unwrap(),
    ];
    assert!(both().revokes(&delegation()));
    assert!(elsewhere.iter().all(|revocation| !revocation.revokes(&delegation())));
}

// spec-test: ID-10
#[test]
fn a_revocation_in_any_other_form_is_refused() {
    let json = both().to_json();
    let device = format!("\"{}\":", keys().device());
    for (other, why) in [
        (json.replace(&device, "\"x\":"), WireError::Json),
        (json.replace(&device, "\"*\":"), WireError::DuplicateKey),
        (json.replace("\"*\":", "\"zzzzzzzzzzzzzzzzzzzzzw\":"), WireError::Json),
        (json.replace("\"version\":3", "\"version\":3.0"), WireError::Number),
        (json.replace("\"version\":3", "\"version\":9007199254740992"), WireError::Number),
        (json.replace("\"devices\":{", "\"devices\":{\"\\u002a\":{},"), WireError::Escape),
        (json.replace(",\"version\":3", ""), WireError::Json),
        (format!(" {json}"), WireError::Space),
    ] {
        assert_eq!(Revocation::from_json(&other), Err(why), "{other}");
    }
    let changed = Revocation::from_json(json.replace("\"version\":3", "\"version\":4")).unwrap();
    assert_eq!(changed.verify(&Crypto::standard()), Err(WireError::Signature));
}

// spec-test: ID-11
#[test]
fn a_revocation_has_one_to_eight_entries_in_one_order() {
    let sign = |count: u8| {
        let devices: BTreeMap<_, _> = (0..count)
            .map(|index| (RevocationTarget::Device(DeviceId::from_bytes([255 - index; 16])), entry(u64::MAX >> 11, u64::MAX >> 11)))
            .collect();
        Revocation::sign(&identity(), AppId::new(&"a".repeat(32)).unwrap(), (1 << 53) - 1, devices)
    };
    assert_eq!(sign(0), Err(WireError::TooLong));
    assert_eq!(sign(9), Err(WireError::TooLong));
    let full = sign(8).unwrap();
    assert_eq!(Revocation::from_json(full.to_json()), Ok(full.clone()));
    assert_eq!(full.to_json().len(), 859);
    assert!(full.to_json().find(&to_base64(&[248; 16])) < full.to_json().find(&to_base64(&[255; 16])));
    assert_eq!(full.end(), WallTime::from_millis((1 << 53) - 1));
}

// spec-test: ID-10
#[test]
fn the_highest_version_counts_whatever_order_they_come_in() {
    let end = FROM.as_millis() + 60 * DAY_MS;
    let versioned = |version, before| revocation(version, &[(RevocationTarget::All, entry(before, end))]);
    let mut book = RevocationBook::new(4);
    let crypto = Crypto::standard();
    assert!(!book.is_revoked(&delegation()));
    assert_eq!(book.learn(&crypto, versioned(2, FROM.as_millis() + 1)), Ok(true));
    assert!(book.is_revoked(&delegation()));
    assert_eq!(book.learn(&crypto, versioned(2, 0)), Ok(false));
    assert_eq!(book.learn(&crypto, versioned(1, 0)), Ok(false));
    assert!(book.is_revoked(&delegation()));
    let forged = Revocation::from_json(versioned(2, 0).to_json().replace("\"version\":2", "\"version\":3")).unwrap();
    assert_eq!(book.learn(&crypto, forged), Err(WireError::Signature));
    assert!(book.is_revoked(&delegation()));
    assert_eq!(book.learn(&crypto, versioned(4, FROM.as_millis())), Ok(true));
    assert!(!book.is_revoked(&delegation()));
    book.forget_ended(WallTime::from_millis(u64::MAX));
    assert_eq!(book.take_dropped(), [identity().user()]);
}

#[test]
fn a_full_book_forgets_what_ends_first_and_an_old_one_what_has_ended() {
    let crypto = Crypto::standard();
    let of = |seed: u8, end_ms: u64| {
        let devices = [(RevocationTarget::All, entry(1, end_ms))].into_iter().collect();
        Revocation::sign(&IdentitySecret::from_bytes([seed; 32]), AppId::new("demo").unwrap(), 1, devices).unwrap()
    };
    let mut book = RevocationBook::new(2);
    for revocation in [of(1, 3 * DAY_MS), of(2, DAY_MS), of(3, 2 * DAY_MS)] {
        assert_eq!(book.learn(&crypto, revocation), Ok(true));
    }
    let app = AppId::new("demo").unwrap();
    let known = |book: &RevocationBook| [1, 2, 3].map(|seed| book.of(IdentitySecret::from_bytes([seed; 32]).user(), &app).is_some());
    assert_eq!(known(&book), [true, false, true]);
    let user = |seed: u8| IdentitySecret::from_bytes([seed; 32]).user();
    assert_eq!(book.take_dropped(), [user(2)]);
    book.forget_ended(WallTime::from_millis(2 * DAY_MS + CLOCK_TOLERANCE_MS - 1));
    assert_eq!(book.take_dropped(), []);
    book.forget_ended(WallTime::from_millis(2 * DAY_MS + CLOCK_TOLERANCE_MS));
    assert_eq!((known(&book), book.take_dropped()), ([true, false, false], [user(3)].to_vec()));
    // One's own stays, though it ends first.
    let mut book = RevocationBook::new(1).keeping(user(2));
    for revocation in [of(2, DAY_MS), of(1, 3 * DAY_MS), of(3, 2 * DAY_MS)] {
        assert_eq!(book.learn(&crypto, revocation), Ok(true));
    }
    assert_eq!((known(&book), book.take_dropped()), ([false, true, true], [user(1)].to_vec()));
}

// spec-test: ID-12
#[test]
fn renewal_signs_the_same_keys_again() {
    let credentials = keys().credentials(delegation());
    assert!(credentials.fits(&Crypto::standard()));
    let later = Grant { until: WallTime::from_millis(FROM.as_millis() + DELEGATION_MS_MAX), ..delegation().grant().clone() };
    let renewed = credentials.renewed(Delegation::sign(&identity(), &later).unwrap());
    assert!(renewed.fits(&Crypto::standard()));
    assert_eq!(renewed.delegation().until(), later.until);
    let strange = Credentials::new(delegation(), [1; 32], [2; 32]);
    assert!(!strange.fits(&Crypto::standard()));
}

#[test]
fn keys_survive_a_key_file() {
    let bytes = keys().to_secret_bytes();
    let again = DeviceKeys::from_secret_bytes(&bytes);
    assert_eq!((again.to_secret_bytes(), again.device()), (bytes, keys().device()));
    let credentials = keys().credentials(delegation());
    let read = Credentials::from_secret_json(credentials.to_secret_json().as_str()).unwrap();
    assert_eq!(read.delegation(), &delegation());
    assert!(read.fits(&Crypto::standard()));
    assert_eq!(read.to_secret_json().as_str(), credentials.to_secret_json().as_str());
    assert!(Credentials::from_secret_json("{}").is_err());
}

// spec-test: NODE-12
#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let credentials = keys().credentials(delegation());
    let node = NodeSecret::from_bytes([5; 32]);
    let shown = format!("{:?} {:?} {credentials:?} {:?} {node:?}", identity(), keys(), credentials.to_secret_json());
    let secrets = keys().to_secret_bytes();
    for secret in [&[1; 32][..], &[5; 32], &secrets[..32], &secrets[32..64]] {
        assert!(!shown.contains(&to_base64(secret)));
        assert!(!shown.contains(&format!("{secret:?}")));
    }
    assert!(shown.contains(&identity().user().to_string()));
}

#[cfg(feature = "ideal")]
#[test]
fn ideal_delegations_count_among_ideal_nodes_only() {
    let ideal = Crypto::ideal();
    let identity = IdentitySecret::with_crypto(ideal, [1; 32]);
    let grant = keys().grant_with(&ideal, AppId::new("demo").unwrap(), FROM, WallTime::from_millis(FROM.as_millis() + 1));
    let delegation = Delegation::sign(&identity, &grant).unwrap();
    assert_eq!(delegation.verify(&ideal), Ok(()));
    assert_eq!(delegation.verify(&Crypto::standard()), Err(WireError::Signature));
    assert!(keys().credentials(delegation).fits(&ideal));
}
