use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::Command;
use crate::crypto::noise::name_of;
use crate::id::{DeviceId, array_from_base64, to_base64, to_bech32};

/// 2027-01-01T00:00Z.
const UNTIL: WallTime = WallTime::from_millis(1_798_761_600_000);

fn addresses(texts: &[&str]) -> Vec<Address> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn made(texts: &[&str]) -> Result<Invitation, InvitationError> {
    let secret = InvitationSecret::from_bytes([5; 16]);
    Invitation::new(AppId::new("demo.chat").unwrap(), UserId::from_bytes([1; 32]), &addresses(texts), UNTIL, secret)
}

fn invitation() -> Invitation {
    made(&["192.0.2.7:7575", "[2001:db8::7]:7575", "home.example:7575"]).unwrap()
}

fn line() -> String {
    invitation().to_secret_text().as_str().into()
}

fn read(line: &str) -> Result<Invitation, InvitationError> {
    line.parse()
}

/// The bytes of a line as somebody else might write them, sealed with a right checksum.
fn sealed(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = crate::id::all_from_bech32("oci", &line()).unwrap();
    change(&mut bytes);
    to_bech32("oci", &bytes)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    secret: String,
    app: String,
    user: String,
    until: WallTime,
    addresses: Vec<Address>,
    line: String,
    id: InvitationId,
    dialler_key: String,
    listener_key: String,
    link: String,
    joiner_user: String,
    joiner_device: DeviceId,
    proof: String,
}

// spec-test: INVITE-1, INVITE-4, INVITE-6
#[test]
fn the_line_the_id_and_the_proof_are_those_of_the_vector() {
    let vector: Vector = serde_json::from_str(include_str!("../../vectors/invitation.json")).unwrap();
    let secret = InvitationSecret::from_bytes(array_from_base64(&vector.secret).unwrap());
    let app = AppId::new(&vector.app).unwrap();
    let invitation = Invitation::new(app, vector.user.parse().unwrap(), &vector.addresses, vector.until, secret).unwrap();
    let joiner = Peer { user: vector.joiner_user.parse().unwrap(), device: vector.joiner_device };
    let keys = [&vector.dialler_key, &vector.listener_key].map(|key| array_from_base64(key).unwrap());
    let link = name_of(&keys[0], &keys[1]);
    assert_eq!(to_base64(&link), vector.link);
    let proof = invitation.secret().proof(&link, joiner);
    assert_eq!((invitation.to_secret_text().as_str(), invitation.id(), to_base64(&proof)), (vector.line.as_str(), vector.id, vector.proof));
    assert_eq!(read(&vector.line), Ok(invitation));
}

// spec-test: INVITE-1
#[test]
fn a_line_is_read_in_any_case_and_however_mail_programs_have_broken_it() {
    let line = line();
    let (begin, end) = line.split_at(70);
    let forms = [
        line.clone(),
        line.to_ascii_uppercase(),
        format!("  {line}\r\n"),
        format!("{begin}\r\n{end}"),
        format!("\u{FEFF}{begin}\n\t{end}\u{A0}"),
        format!("{begin}\u{AD}\n{end}\u{200B}"),
        line.chars().flat_map(|c| [c, ' ']).collect(),
        line.replacen("oci", "Oci", 1),
    ];
    for form in forms {
        assert_eq!(read(&form), Ok(invitation()), "{form:?}");
    }
    assert!(line.starts_with("oci1") && line.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{line}");
}

// spec-test: INVITE-2
#[test]
fn one_wrong_character_is_named_wherever_it_stands_and_whatever_it_is() {
    let line = line();
    for at in 0..line.len() {
        for wrong in "qpzry9x8gf2tvdw0s3jn54khce6mua7lb1io-é".chars() {
            if line.chars().nth(at) == Some(wrong) {
                continue;
            }
            let changed: String = line.chars().enumerate().map(|(n, c)| if n == at { wrong } else { c }).collect();
            assert_eq!(read(&changed), Err(InvitationError::Typo { position: at as u32 + 1 }), "{changed}");
            // White space does not count.
            let broken = format!("\n{}", changed.chars().flat_map(|c| [c, ' ']).collect::<String>());
            assert_eq!(read(&broken), Err(InvitationError::Typo { position: at as u32 + 1 }));
        }
    }
}

// spec-test: INVITE-2
#[test]
fn a_line_that_is_cut_one_with_several_wrong_characters_and_something_else_are_told_apart() {
    let line = line();
    for length in 4..line.len() {
        assert_eq!(read(&line[..length]), Err(InvitationError::CutOff), "{length}");
    }
    let changed = |places: &[usize]| -> String {
        line.chars().enumerate().map(|(n, c)| if !places.contains(&n) { c } else { ['q', 'p'][usize::from(c == 'q')] }).collect()
    };
    for several in [changed(&[20, 60]), changed(&[5, 6, 7, 8]), line.replacen('1', "1q", 1), format!("{line}q"), line.repeat(2)] {
        assert_eq!(read(&several), Err(InvitationError::Typos), "{several}");
    }
    assert_eq!(read(&format!("{}bb{}", &line[..9], &line[11..])), Err(InvitationError::Typos));
    let user = UserId::from_bytes([1; 32]).to_string();
    let endless = "oci1q".to_string() + &"q".repeat(1 << 20);
    for other in ["", " ", "hello", "oc", "oci", "https://example.org", &user, &user.replacen("oc1", "oci", 1), "é", "ocn1qqqqqq"] {
        assert_eq!(read(other), Err(InvitationError::NotOne), "{other}");
    }
    assert!(matches!(read(&endless), Err(InvitationError::Typos | InvitationError::CutOff)));
}

// spec-test: INVITE-1
#[test]
fn bytes_in_any_other_form_are_refused_even_under_a_right_checksum() {
    assert_eq!(read(&sealed(|_| {})), Ok(invitation()));
    assert_eq!(read(&sealed(|bytes| bytes[0] = 2)), Err(InvitationError::Version(2)));
    assert_eq!(read(&sealed(|bytes| bytes.truncate(1))), Err(InvitationError::Content));
    // Version, user, secret and end have 54 bytes, the app 10: then the number of addresses and the first one's kind.
    let (count, kind) = (64, 65);
    let others: [fn(&mut Vec<u8>); 9] = [
        |bytes| bytes.push(0),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[55] = b'D',
        |bytes| bytes[54] = 200,
        |bytes| bytes[64] = 0,
        |bytes| bytes[64] = 9,
        |bytes| bytes[65] = 7,
        // The first address: port 0, and everywhere.
        |bytes| bytes[70..72].fill(0),
        |bytes| bytes[66..70].fill(0),
    ];
    for change in others {
        assert_eq!(read(&sealed(change)), Err(InvitationError::Content));
    }
    let with = |address: &[u8]| {
        sealed(|bytes| {
            bytes.truncate(kind);
            bytes[count] = 1;
            bytes.extend_from_slice(address);
        })
    };
    let ipv6 = |ip: &str| [[6].as_slice(), &ip.parse::<core::net::Ipv6Addr>().unwrap().octets(), &[1, 2]].concat();
    assert!(read(&with(&ipv6("2001:db8::1"))).is_ok());
    assert_eq!(read(&with(&ipv6("::ffff:192.0.2.7"))), Err(InvitationError::Content), "an IPv4 address has one form");
    let name = |name: &str| [[0, name.len() as u8].as_slice(), name.as_bytes(), &[1, 2]].concat();
    assert!(read(&with(&name("a.example"))).is_ok());
    for other in ["", "192.0.2.7", "[::1]", "a b", "a:1", "é"] {
        assert_eq!(read(&with(&name(other))), Err(InvitationError::Content), "{other}");
    }
}

#[test]
fn what_cannot_be_dialled_or_does_not_fit_becomes_no_invitation() {
    let long = format!("{}.example:7575", "a".repeat(60));
    assert!(made(&[long.as_str(); 7]).is_ok());
    assert_eq!(made(&[long.as_str(); 8]), Err(InvitationError::TooLong));
    assert_eq!(made(&["0.0.0.0:7575"]), Err(InvitationError::Content));
    assert_eq!(made(&[]), Err(InvitationError::Content));
    assert_eq!(made(&["192.0.2.7:1"; 9]), Err(InvitationError::Content));
    let clothed = made(&["[::ffff:192.0.2.7]:7575"]).unwrap();
    assert_eq!(clothed.addresses(), addresses(&["192.0.2.7:7575"]));
    assert_eq!(read(clothed.to_secret_text().as_str()), Ok(clothed));
}

// spec-test: NODE-12
#[test]
fn an_invitation_shows_everything_but_its_secret() {
    let shown = format!("{:?} {:?}", invitation(), Command::join(invitation()));
    assert!(shown.contains("demo.chat") && shown.contains(&invitation().id().to_string()) && shown.contains("home.example"));
    // Where the secret stands in its line, and in JSON.
    for secret in [&to_base64(&[5; 16])[..16], &line()[62..78]] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(!shown.contains("5, 5") && !shown.contains("0505"), "{shown}");
    assert_eq!(format!("{:?}", invitation().secret()), "InvitationSecret(..)");
}

#[test]
fn every_error_is_a_sentence_of_its_own() {
    let mut said: Vec<String> = InvitationError::ALL.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|text| text.len() > 20 && !text.ends_with('.')), "{said:?}");
    said.sort();
    said.dedup();
    assert_eq!(said.len(), InvitationError::ALL.len());
    assert_eq!(InvitationError::Typo { position: 17 }.to_string(), "character 17 is wrong: compare it with the line that was sent");
}

fn any_address() -> impl Strategy<Value = Address> {
    let port = 1_u16..;
    prop_oneof![
        ("[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}", port.clone()).prop_map(|(ip, port)| format!("{ip}:{port}")),
        (any::<[u16; 8]>(), port.clone()).prop_map(|(ip, port)| format!("[{}]:{port}", core::net::Ipv6Addr::from(ip))),
        ("[a-zA-Z][a-zA-Z0-9-]{0,20}(\\.[a-z]{1,10}){0,3}", port).prop_map(|(name, port)| format!("{name}:{port}")),
    ]
    .prop_filter_map("an address", |text| text.parse().ok())
    .prop_filter("that can be dialled", |address: &Address| address.undialled().is_none())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    // spec-test: INVITE-1
    #[test]
    fn every_invitation_is_read_as_it_was_written_from_one_line_only(
        app in "[a-z0-9.-]{1,32}",
        user in any::<[u8; 32]>(),
        secret in any::<[u8; 16]>(),
        until in 1_u64..1 << 40,
        addresses in prop::collection::vec(any_address(), 1..=8),
        wrong in any::<(usize, usize)>(),
    ) {
        let until = WallTime::from_millis(until * 1_000);
        let secret = InvitationSecret::from_bytes(secret);
        let made = Invitation::new(AppId::new(&app).unwrap(), UserId::from_bytes(user), &addresses, until, secret).unwrap();
        let line: String = made.to_secret_text().as_str().into();
        let read: Invitation = line.parse().unwrap();
        prop_assert_eq!(&read, &made);
        prop_assert_eq!(read.until(), until);
        let again = read.to_secret_text();
        prop_assert_eq!(again.as_str(), line.as_str());
        let json = serde_json::to_string(&made).unwrap();
        prop_assert_eq!(serde_json::from_str::<Invitation>(&json).unwrap(), made);
        // One wrong character is found however long the line is.
        let at = 4 + wrong.0 % (line.len() - 4);
        let right = line.as_bytes()[at];
        let others: Vec<u8> = "qpzry9x8gf2tvdw0s3jn54khce6mua7l".bytes().filter(|byte| *byte != right).collect();
        let mut changed = line.into_bytes();
        changed[at] = others[wrong.1 % others.len()];
        let changed = String::from_utf8(changed).unwrap();
        prop_assert_eq!(changed.parse::<Invitation>(), Err(InvitationError::Typo { position: at as u32 + 1 }));
    }
}
