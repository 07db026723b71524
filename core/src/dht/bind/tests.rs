use alloc::vec;

use super::*;
use crate::dht::id::{Variant, node_id};
use crate::dht::record::tests::{FROM, address_record, credentials, granted, home, identity, keys, largest_address_record, revocation};
use crate::id::PipeId;
use crate::identity::{DELEGATION_MS_DEFAULT, DelegationCache, Revocation};
use crate::time::Time;
use core::time::Duration;

const NOW: u64 = FROM + 5_000;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn link(n: u8) -> LinkName {
    LinkName { tracker: NodeKey::from_bytes([7; 32]), hash: [n; 32] }
}

fn bind_at(n: u8, port: u16, now: u64) -> Bind {
    Bind::sign(&Crypto::standard(), &credentials(), address_record(), &link(n), port, WallTime::from_millis(now))
}

/// What the node knows and is, around [`link`] 1.
struct Place {
    crypto: Crypto,
    now: u64,
    revocation: Option<Revocation>,
    held: Option<Delegation>,
    number: Option<u64>,
    is_near: bool,
    link: LinkName,
    remote: SocketAddr,
    scope: Scope,
}

impl Place {
    fn new() -> Self {
        let held = Some(credentials().delegation().clone());
        let (remote, scope) = (at("203.0.113.97:40000"), Scope::Global);
        Self { crypto: Crypto::standard(), now: NOW, revocation: None, held, number: None, is_near: true, link: link(1), remote, scope }
    }

    fn with<R>(&self, run: impl FnOnce(&Here<'_>) -> R) -> R {
        let (mut known, mut checked) = (DelegationCache::new(8), 0);
        let now = WallTime::from_millis(self.now);
        let revocation = self.revocation.as_ref();
        let judge = Judge { crypto: &self.crypto, home: home(), now, revocation, known: &mut known, checked: &mut checked };
        run(&Here {
            judge: &judge,
            link: &self.link,
            remote: self.remote,
            scope: self.scope,
            is_near: self.is_near,
            held: self.held.as_ref(),
            number: self.number,
        })
    }

    fn check(&self, bind: &Bind) -> Result<(), Status> {
        self.with(|here| bind.check(here))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    identity_secret: String,
    app: String,
    tracker: NodeKey,
    link: String,
    bind: String,
    bound: Vec<String>,
}

// spec-test: DHT-153
#[test]
fn the_bind_is_the_committed_one() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../vectors/bind.json")).unwrap();
    assert_eq!((vectors.identity_secret, vectors.app.as_str()), (crate::id::to_base64(&[1; 32]), "demo.chat"));
    assert_eq!((vectors.tracker, vectors.link), (link(1).tracker, crate::id::to_base64(&link(1).hash)));
    let bind = bind_at(1, 51_820, NOW);
    assert_eq!(bind.to_json(), vectors.bind);
    assert_eq!(Bind::from_json(&vectors.bind), Ok(bind.clone()));
    assert_eq!(serde_json::from_str::<Bind>(&vectors.bind).ok(), Some(bind.clone()));
    assert_eq!(Place::new().check(&bind), Ok(()));
    let bound = [Bound { status: Status::Bound, sequence: Some(FROM + 2_000) }, Bound { status: Status::NoDevice, sequence: None }];
    assert_eq!(bound.map(Bound::to_json).to_vec(), vectors.bound);
    assert_eq!(bound.map(|bound| Bound::from_json(&bound.to_json())), bound.map(Ok));
}

// spec-test: DHT-153
#[test]
fn a_bind_in_another_form_is_refused() {
    let json = bind_at(1, 51_820, NOW).to_json();
    let mut others = vec![
        json.replacen(':', ": ", 1),
        json.replacen("device", "d\\u0065vice", 1),
        json.replacen("{\"home\"", "{\"new\":1,\"home\"", 1),
        json.replacen("\"port\":51820", "\"port\":51820,\"port\":51820", 1),
        json.replacen("\"port\":51820", "\"port\":051820", 1),
        json.replacen("\"port\":51820", "\"port\":65536", 1),
        json.replacen("\"port\":51820", "\"port\":-1", 1),
        json.replacen("\"port\":51820,", "", 1),
        json.replacen(&format!("\"time\":{NOW}"), "\"time\":9007199254740992", 1),
        json.replacen("}}", "},\"new\":null}", 1),
        format!("{json} "),
        String::new(),
        "{}".into(),
    ];
    // The record and the proof of two devices.
    let device = format!("{}", credentials().delegation().device());
    let second = json.rfind(&device).unwrap();
    others.push(format!("{}{}{}", &json[..second], "AAAAAAAAAAAAAAAAAAAAAA", &json[second + device.len()..]));
    for other in others {
        assert_ne!(other, json);
        assert!(Bind::from_json(&other).is_err(), "{other}");
    }
    for other in [
        r#"{"status":200,"sequence":-1}"#,
        r#"{"status":299}"#,
        r#"{"status": 200}"#,
        r#"{"sequence":1}"#,
        r#"{"status":200,"sequence":9007199254740992}"#,
        r#"{"status":200,"sequence":null}"#,
    ] {
        assert!(Bound::from_json(other).is_err(), "{other}");
    }
    for status in Status::ALL {
        let bound = Bound { status, sequence: None };
        assert_eq!(Bound::from_json(&bound.to_json()), Ok(bound));
    }
}

// spec-test: DHT-153
#[test]
fn the_longest_bind_has_the_length_that_is_allowed() {
    let own = granted(&identity(), &keys(), &"z".repeat(32), FROM);
    let longest = Bind::sign(&Crypto::standard(), &own, largest_address_record(), &link(1), u16::MAX, WallTime::from_millis(u64::MAX));
    assert_eq!((signed::to_json(&longest.proof).len(), longest.to_json().len(), bind_at(1, 51_820, NOW).to_json().len()), (294, 932, 572));
    assert_eq!(Bind::from_json(&longest.to_json()), Ok(longest));
}

// spec-test: DHT-154
#[test]
fn a_bind_that_is_replayed_on_another_link_is_refused() {
    let (place, bind) = (Place::new(), bind_at(1, 51_820, NOW));
    for hash in 2..=255 {
        assert_eq!(Place { link: link(hash), ..Place::new() }.check(&bind), Err(Status::Proof));
    }
    let other = LinkName { tracker: NodeKey::from_bytes([8; 32]), ..link(1) };
    assert_eq!(Place { link: other, ..Place::new() }.check(&bind), Err(Status::Proof), "to another node");
    // Rewritten for the other link it is not signed.
    let moved = bind.to_json().replace(&crate::id::to_base64(&[1; 32]), &crate::id::to_base64(&[2; 32]));
    let moved = Bind::from_json(&moved).unwrap();
    assert_eq!(Place { link: link(2), ..Place::new() }.check(&moved), Err(Status::Proof));
    assert_eq!(place.check(&bind), Ok(()));
}

// spec-test: DHT-154
#[test]
fn a_bind_is_refused_for_each_of_its_reasons() {
    let bind = bind_at(1, 51_820, NOW);
    let check = |change: &dyn Fn(&mut Place)| {
        let mut place = Place::new();
        change(&mut place);
        place.check(&bind)
    };
    let tolerance = CLOCK_TOLERANCE_MS;
    assert_eq!(check(&|it| it.now = NOW + tolerance), Ok(()));
    assert_eq!(check(&|it| it.now = NOW + tolerance + 1), Err(Status::Clock));
    assert_eq!(check(&|it| it.now = NOW - tolerance - 1), Err(Status::Clock));
    assert_eq!(check(&|it| it.is_near = false), Err(Status::Far));
    assert_eq!(check(&|it| it.scope = Scope::Private), Err(Status::Far));
    assert_eq!(check(&|it| it.held = None), Err(Status::NoDevice));
    assert_eq!(check(&|it| it.number = Some(FROM + 2_001)), Err(Status::Older));
    assert_eq!(check(&|it| it.number = Some(FROM + 2_000)), Ok(()), "said again");
    let until = FROM + DELEGATION_MS_DEFAULT + tolerance;
    let late = AddressRecord::sign(&Crypto::standard(), &credentials(), Scope::Global, until, vec![], vec![]).unwrap();
    let late = Bind::sign(&Crypto::standard(), &credentials(), late, &link(1), 0, WallTime::from_millis(until));
    assert_eq!(Place { now: until, ..Place::new() }.check(&late), Err(Status::Delegation), "the delegation has ended");
    assert_eq!(check(&|it| it.revocation = Some(revocation(FROM + 1, u64::MAX >> 12))), Err(Status::Delegation));
    let other = granted(&identity(), &keys(), "demo.other", FROM);
    let elsewhere = Bind::sign(&Crypto::standard(), &other, address_record(), &link(1), 0, WallTime::from_millis(NOW));
    assert_eq!(Place::new().check(&elsewhere), Err(Status::Far), "of another home");
    // Signed by another device.
    let mut secrets = keys().to_secret_bytes();
    secrets[0] ^= 1;
    let thief = granted(&identity(), &crate::identity::DeviceKeys::from_secret_bytes(&secrets), "demo.chat", FROM);
    let stolen = Bind::sign(&Crypto::standard(), &thief, address_record(), &link(1), 0, WallTime::from_millis(NOW));
    assert_eq!(Place::new().check(&stolen), Err(Status::Proof));
    let forged =
        Bind { record: AddressRecord::from_json(&address_record().to_json().replace("113.97", "113.98")).unwrap(), ..bind.clone() };
    assert_eq!(Place::new().check(&forged), Err(Status::Proof));
}

/// Binds of as many devices as wanted, each on a link of its own.
fn on_bind(binds: &mut Binds, pipe: u64, bind: &Bind, place: &Place, secs: u64) -> Step {
    place.with(|here| binds.on_bind(PipeId::new(pipe), bind, here, Time::from_secs(secs)))
}

fn answer(status: Status, sequence: Option<u64>, keeps: bool) -> Step {
    Step::Answer { bound: Bound { status, sequence }, keeps }
}

// spec-test: DHT-156
#[test]
fn a_claimed_port_is_dialled_once_at_the_links_end_and_binds_only_if_it_is_reached() {
    let (mut binds, place) = (Binds::default(), Place::new());
    let sequence = Some(FROM + 2_000);
    let dial = Step::Dial { to: at("203.0.113.97:51820") };
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 0), dial);
    assert_eq!(binds.of(&home()).count(), 0, "not yet");
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 9), answer(Status::Often, None, false), "it is being dialled");
    assert_eq!(binds.on_dialled(PipeId::new(1), true), Some(Bound { status: Status::Bound, sequence }));
    assert_eq!(binds.on_dialled(PipeId::new(1), false), None, "once");
    assert_eq!(binds.of(&home()).collect::<Vec<_>>(), [(credentials().delegation().device(), PipeId::new(1))]);
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 4), answer(Status::Often, None, false));
    assert_eq!(
        on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 5),
        answer(Status::Bound, sequence, true),
        "said again, not dialled again"
    );
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_821, NOW), &place, 10), Step::Dial { to: at("203.0.113.97:51821") });
    assert_eq!(binds.on_dialled(PipeId::new(1), false), Some(Bound { status: Status::Unreachable, sequence }));
    assert_eq!(binds.of(&home()).count(), 0);
    // Who claims nothing is bound as it is.
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 0, NOW), &place, 15), answer(Status::Bound, sequence, true));
    assert_eq!(binds.of(&home()).count(), 1);
    // An address of another reach is not dialled for anybody.
    let inside = Place { remote: at("192.168.1.9:40000"), ..Place::new() };
    assert_eq!(on_bind(&mut Binds::default(), 1, &bind_at(1, 22, NOW), &inside, 0), answer(Status::Unreachable, sequence, true));
}

// spec-test: DHT-156
#[test]
fn sixty_four_links_are_taken_and_a_device_is_where_it_bound_last() {
    let (mut binds, place) = (Binds::default(), Place::new());
    let crypto = Crypto::standard();
    let mut rng = crate::rng::Rng::from_seed(&crate::rng::Seed::from_bytes([4; 32]));
    let mut devices: Vec<(Bind, Place)> = vec![];
    for _ in 0..65 {
        let own = granted(&identity(), &crate::identity::DeviceKeys::draw(&mut rng), "demo.chat", FROM);
        let record = AddressRecord::sign(&crypto, &own, Scope::Global, FROM, vec![], vec![]).unwrap();
        let bind = Bind::sign(&crypto, &own, record, &link(1), 0, WallTime::from_millis(NOW));
        devices.push((bind, Place { held: Some(own.delegation().clone()), ..Place::new() }));
    }
    for (pipe, (bind, place)) in (1..=64).zip(&devices) {
        assert_eq!(on_bind(&mut binds, pipe, bind, place, 0), answer(Status::Bound, Some(FROM), true));
    }
    let (last, its_place) = &devices[64];
    assert_eq!(on_bind(&mut binds, 65, last, its_place, 0), answer(Status::Full, None, false));
    assert_eq!((binds.len(), binds.of(&home()).count(), binds.of(&Key::from_bytes([0; 32])).count()), (64, 64, 0));
    binds.on_closed(PipeId::new(1));
    assert_eq!(on_bind(&mut binds, 65, last, its_place, 0), answer(Status::Bound, Some(FROM), true));
    // The second device comes by another link.
    let (second, its_place) = &devices[1];
    binds.on_closed(PipeId::new(64));
    assert_eq!(on_bind(&mut binds, 66, second, its_place, 9), answer(Status::Bound, Some(FROM), true));
    let of_second: Vec<_> = binds.of(&home()).filter(|(device, _)| *device == second.proof.device).collect();
    assert_eq!(of_second, [(second.proof.device, PipeId::new(66))]);
    binds.forget(&home(), second.proof.device);
    assert_eq!(binds.len(), 62);
    // What is refused takes no place.
    let stranger = Place { held: None, ..place };
    assert_eq!(on_bind(&mut Binds::default(), 1, second, &stranger, 0), answer(Status::NoDevice, None, false));
}

/// A node with the id that its key and address give.
fn tracker(n: u8) -> (Key, SocketAddr, NodeKey) {
    let (at, key) = (SocketAddr::from(([100, n, 1, 1], 7)), NodeKey::from_bytes([n; 32]));
    (node_id(&key, at, Variant::from_low_bits(n)).unwrap(), at, key)
}

fn trackers(n: u8) -> Vec<(Key, SocketAddr)> {
    (1..=n).map(tracker).map(|(id, at, _)| (id, at)).collect()
}

fn all(binder: &mut Binder, now: Time) -> Vec<Do> {
    core::iter::from_fn(|| binder.next(now)).take(100).collect()
}

fn up(binder: &mut Binder, n: u8, now: Time) -> PipeId {
    let (_, at, key) = tracker(n);
    let pipe = PipeId::new(n.into());
    binder.on_up(at, pipe, key, [n; 32], now);
    pipe
}

// spec-test: DHT-157
#[test]
fn a_phone_binds_to_two_nodes_and_others_to_five_each_45_minutes() {
    for (size, links) in [(Size::Phone, 2), (Size::Other, 5)] {
        let mut binder = Binder::new(size);
        assert_eq!((binder.due(), binder.wants_nodes()), (None, true));
        binder.on_looked(&trackers(8), Time::ZERO);
        assert_eq!(all(&mut binder, Time::ZERO).len(), links);
        assert!(!binder.wants_nodes());
    }
    let mut binder = Binder::new(Size::Phone);
    binder.on_looked(&trackers(1), Time::ZERO);
    let (_, at, key) = tracker(1);
    assert_eq!(all(&mut binder, Time::ZERO), [Do::Open { at }]);
    let pipe = up(&mut binder, 1, Time::ZERO);
    let say = Do::Say { pipe, link: LinkName { tracker: key, hash: [1; 32] } };
    let good = Bound { status: Status::Bound, sequence: Some(1) };
    let mut now = Time::ZERO;
    for _ in 0..3 {
        assert_eq!(all(&mut binder, now), [say]);
        binder.on_bound(pipe, good, now + Duration::from_secs(1));
        now = now + Duration::from_secs(45 * 60);
        assert_eq!((binder.due(), all(&mut binder, now - Duration::from_secs(1))), (Some(now), vec![]));
    }
    // A change is said at once, if the last was 15 s ago.
    let _ = all(&mut binder, now);
    binder.on_bound(pipe, good, now);
    binder.on_changed(now + Duration::from_secs(4));
    assert_eq!(binder.due(), Some(now + Duration::from_secs(15)));
    assert_eq!(all(&mut binder, now + Duration::from_secs(15)), [say]);
}

// spec-test: DHT-157
#[test]
fn who_has_not_the_id_that_was_looked_up_is_not_bound_to() {
    let mut binder = Binder::new(Size::Phone);
    binder.on_looked(&trackers(2), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    let ((_, first, _), (_, _, key)) = (tracker(1), tracker(2));
    binder.on_up(first, PipeId::new(9), key, [9; 32], Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [Do::Close { pipe: PipeId::new(9) }]);
    // It is left alone for a while, and another one takes its turn.
    binder.on_looked(&trackers(3), Time::from_secs(1));
    assert_eq!(all(&mut binder, Time::from_secs(1)), [Do::Open { at: tracker(3).1 }]);
    binder.on_looked(&trackers(3), Time::from_secs(601));
    assert_eq!(all(&mut binder, Time::from_secs(601)), [Do::Open { at: first }]);
}

// spec-test: DHT-157
#[test]
fn links_to_nodes_that_keep_the_home_no_longer_are_closed() {
    let mut binder = Binder::new(Size::Phone);
    binder.on_looked(&trackers(2), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    let [first, second] = [1, 2].map(|n| up(&mut binder, n, Time::ZERO));
    let _ = all(&mut binder, Time::ZERO);
    binder.on_looked(&trackers(4)[1..], Time::from_secs(2));
    assert_eq!(all(&mut binder, Time::from_secs(2)), [Do::Close { pipe: first }, Do::Open { at: tracker(3).1 }]);
    binder.on_looked(&[], Time::from_secs(3));
    assert_eq!(all(&mut binder, Time::from_secs(3)), [], "a look-up without an answer says nothing");
    binder.on_closed(second, Time::from_secs(4));
    assert!(binder.wants_nodes());
}

// spec-test: DHT-155
#[test]
fn each_answer_has_its_consequence() {
    let begin = || {
        let mut binder = Binder::new(Size::Phone);
        binder.on_looked(&trackers(1), Time::ZERO);
        let _ = all(&mut binder, Time::ZERO);
        let pipe = up(&mut binder, 1, Time::ZERO);
        assert_eq!(all(&mut binder, Time::ZERO).len(), 1);
        (binder, pipe)
    };
    let after = |status| {
        let (mut binder, pipe) = begin();
        binder.on_bound(pipe, Bound { status, sequence: Some(7) }, Time::ZERO);
        (all(&mut binder, Time::ZERO), binder.due().map(|due| due.since(Time::ZERO).as_secs()))
    };
    let (_, pipe) = begin();
    let close = vec![Do::Close { pipe }];
    let deposit = Do::Deposit { pipe, link: LinkName { tracker: tracker(1).2, hash: [1; 32] } };
    for status in Status::ALL {
        let expected = match status {
            Status::Bound | Status::Unreachable => (vec![], Some(2_700)),
            Status::NoDevice => (vec![deposit], Some(30)),
            Status::Older => (vec![Do::Older { sequence: Some(7) }], Some(15)),
            Status::Clock => (vec![Do::Clock], Some(2_700)),
            Status::Often => (vec![], Some(15)),
            Status::Proof | Status::Delegation | Status::Far | Status::Full => (close.clone(), None),
        };
        assert_eq!(after(status), expected, "{status:?}");
    }
    // The device record is given once; what nobody asked for is no answer.
    let (mut binder, pipe) = begin();
    let none = Bound { status: Status::NoDevice, sequence: None };
    binder.on_bound(pipe, none, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [deposit]);
    binder.on_bound(pipe, none, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), close);
    let (mut binder, pipe) = begin();
    binder.on_bound(pipe, Bound { status: Status::Bound, sequence: None }, Time::ZERO);
    binder.on_bound(pipe, Bound { status: Status::Full, sequence: None }, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), []);
    // Who does not answer is closed.
    let (mut binder, pipe) = begin();
    assert_eq!(all(&mut binder, Time::from_secs(29)), []);
    assert_eq!(all(&mut binder, Time::from_secs(30)), [Do::Close { pipe }]);
}
