use alloc::vec;

use super::*;
use crate::address::group;
use crate::dht::id::{Variant, node_id};
use crate::dht::publish::{Last, Policy, Publisher};
use crate::dht::realm::Realm;
use crate::dht::record::tests::{FROM, address_record, credentials, granted, home, identity, keys, largest_address_record, revocation};
use crate::dht::wire::Contact;
use crate::id::PipeId;
use crate::identity::{DELEGATION_MS_DEFAULT, DelegationCache, Revocation};
use crate::time::Time;
use core::time::Duration;

const NOW: u64 = FROM + 5_000;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn link(n: u8) -> LinkName {
    LinkName { tracker: NodeKey::from_bytes([7; 32]), name: [n; 32] }
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
            scope: self.scope,
            is_near: self.is_near,
            held: self.held.as_ref(),
            number: self.number,
        })
    }

    fn check(&self, bind: &Bind) -> Result<(), Status> {
        self.with(|here| bind.check_signed(here, bind.check_cheap(here)?))
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
    assert_eq!((vectors.tracker, vectors.link), (link(1).tracker, crate::id::to_base64(&link(1).name)));
    let bind = bind_at(1, 51_820, NOW);
    assert_eq!(bind.to_json(), vectors.bind);
    assert_eq!(Bind::from_json(&vectors.bind), Ok(bind.clone()));
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
    for name in 2..=255 {
        assert_eq!(Place { link: link(name), ..Place::new() }.check(&bind), Err(Status::Proof));
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

/// What comes of a bind on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Came {
    Answer(Status),
    Dial(SocketAddr),
    Flood,
}

/// As the DHT does it: whether it is looked at, whether it is good, whom it binds.
fn on_bind(binds: &mut Binds, pipe: u64, bind: &Bind, place: &Place, secs: u64) -> Came {
    let pipe = PipeId::new(pipe);
    match binds.admit(pipe, group(place.remote), Time::from_secs(secs)) {
        Admission::Flood => Came::Flood,
        Admission::Refuse(status) => Came::Answer(status),
        Admission::Take => match place.check(bind) {
            Err(status) => {
                binds.on_refused(pipe, status);
                Came::Answer(status)
            }
            Ok(()) => match binds.on_bind(pipe, bind, place.remote) {
                Step::Answer(bound) => Came::Answer(bound.status),
                Step::Dial(to) => Came::Dial(to),
            },
        },
    }
}

fn bound_to(binds: &Binds) -> Vec<(DeviceId, PipeId)> {
    binds.of(home(), Scope::Global).collect()
}

// spec-test: DHT-156
#[test]
fn a_claimed_port_is_dialled_once_at_the_links_end_and_binds_only_if_it_is_reached() {
    let (mut binds, place) = (Binds::default(), Place::new());
    let sequence = Some(FROM + 2_000);
    let (one, device) = (PipeId::new(1), credentials().delegation().device());
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 0), Came::Dial(at("203.0.113.97:51820")));
    assert_eq!(bound_to(&binds), [], "not yet");
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 9), Came::Answer(Status::Often), "it is being dialled");
    assert_eq!(binds.on_dialled(one, true), Some(Bound { status: Status::Bound, sequence }));
    assert_eq!(binds.on_dialled(one, false), None, "once");
    assert_eq!(bound_to(&binds), [(device, one)]);
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_820, NOW), &place, 10), Came::Answer(Status::Bound), "not dialled again");
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 51_821, NOW), &place, 15), Came::Dial(at("203.0.113.97:51821")));
    assert_eq!(binds.on_dialled(one, false), Some(Bound { status: Status::Unreachable, sequence }));
    assert_eq!(bound_to(&binds), []);
    // Who claims nothing is bound as it is.
    assert_eq!(on_bind(&mut binds, 1, &bind_at(1, 0, NOW), &place, 20), Came::Answer(Status::Bound));
    assert_eq!(bound_to(&binds), [(device, one)]);
    assert_eq!(binds.of(home(), Scope::Private).count(), 0, "where its address can be reached");
    // An address of another reach is not dialled for anybody.
    let inside = Place { remote: at("192.168.1.9:40000"), ..Place::new() };
    assert_eq!(on_bind(&mut Binds::default(), 1, &bind_at(1, 22, NOW), &inside, 0), Came::Answer(Status::Unreachable));
}

// spec-test: DHT-156
#[test]
fn binds_on_one_link_are_five_seconds_apart_good_or_bad_and_who_goes_on_is_let_go() {
    let (place, stranger) = (Place::new(), Place { held: None, number: None, ..Place::new() });
    let bind = bind_at(1, 0, NOW);
    for place in [&place, &stranger] {
        let mut binds = Binds::default();
        let first = on_bind(&mut binds, 1, &bind, place, 0);
        assert_ne!(first, Came::Answer(Status::Often));
        assert_eq!(on_bind(&mut binds, 1, &bind, place, 4), Came::Answer(Status::Often));
        assert_eq!(on_bind(&mut binds, 1, &bind, place, 4), Came::Flood);
        assert_eq!(on_bind(&mut binds, 2, &bind, place, 4), first, "another link");
        assert_eq!(on_bind(&mut binds, 1, &bind, place, 5), first);
        assert_eq!(on_bind(&mut binds, 1, &bind, place, 9), Came::Answer(Status::Often), "it was forgiven");
    }
}

// spec-test: DHT-155
#[test]
fn a_device_record_is_taken_once_and_only_if_it_was_asked_for() {
    let (known, stranger) = (Place::new(), Place { held: None, number: None, ..Place::new() });
    let (mut binds, bind, pipe) = (Binds::default(), bind_at(1, 0, NOW), PipeId::new(1));
    assert!(!binds.on_device(pipe), "nobody has said anything");
    assert_eq!(on_bind(&mut binds, 1, &bind, &known, 0), Came::Answer(Status::Bound));
    assert!(!binds.on_device(pipe), "it is known");
    let mut binds = Binds::default();
    assert_eq!(on_bind(&mut binds, 1, &bind, &stranger, 0), Came::Answer(Status::NoDevice));
    assert!(binds.on_device(pipe) && !binds.on_device(pipe));
    assert_eq!(on_bind(&mut binds, 1, &bind, &known, 0), Came::Answer(Status::Bound), "at once");
    assert_eq!(on_bind(&mut binds, 1, &bind, &known, 1), Came::Answer(Status::Often));
    // Who gives none that counts is not asked again, and so cannot go round and round.
    let mut binds = Binds::default();
    assert_eq!(on_bind(&mut binds, 1, &bind, &stranger, 0), Came::Answer(Status::NoDevice));
    assert!(binds.on_device(pipe));
    assert_eq!(on_bind(&mut binds, 1, &bind, &stranger, 0), Came::Answer(Status::NoDevice));
    assert!(!binds.on_device(pipe));
    assert_eq!(on_bind(&mut binds, 1, &bind, &stranger, 0), Came::Answer(Status::Often));
}

// spec-test: DHT-156
#[test]
fn sixty_four_links_are_taken_and_a_device_is_where_it_bound_last() {
    let (mut binds, place) = (Binds::default(), Place::new());
    let crypto = Crypto::standard();
    let mut rng = crate::rng::Rng::from_seed(&crate::rng::Seed::from_bytes([4; 32]));
    let mut devices: Vec<(Bind, Place)> = vec![];
    for n in 0..65 {
        let own = granted(&identity(), &crate::identity::DeviceKeys::draw(&mut rng), "demo.chat", FROM);
        let record = AddressRecord::sign(&crypto, &own, Scope::Global, FROM, vec![], vec![]).unwrap();
        let bind = Bind::sign(&crypto, &own, record, &link(1), 0, WallTime::from_millis(NOW));
        let remote = SocketAddr::from(([203, 0, 113 + n / 16, n], 40_000));
        devices.push((bind, Place { held: Some(own.delegation().clone()), remote, ..Place::new() }));
    }
    for (pipe, (bind, place)) in (1..=64).zip(&devices) {
        assert_eq!(on_bind(&mut binds, pipe, bind, place, 0), Came::Answer(Status::Bound));
    }
    let (last, its_place) = &devices[64];
    assert_eq!(on_bind(&mut binds, 65, last, its_place, 0), Came::Answer(Status::Full));
    assert_eq!((binds.len(), bound_to(&binds).len(), binds.of(Key::from_bytes([0; 32]), Scope::Global).count()), (64, 64, 0));
    assert_eq!(on_bind(&mut binds, 64, &devices[63].0, &devices[63].1, 5), Came::Answer(Status::Bound), "who has a place keeps it");
    binds.on_closed(PipeId::new(1));
    // Three groups have a quarter each: the one that has lost a device has room, the others have none.
    let of_a_full_group = |place: &Place| Place { held: place.held.clone(), remote: at("203.0.114.9:7"), ..Place::new() };
    assert_eq!(on_bind(&mut binds, 67, last, &of_a_full_group(its_place), 5), Came::Answer(Status::Full), "a quarter is of one group");
    assert_eq!(on_bind(&mut binds, 65, last, its_place, 9), Came::Answer(Status::Bound));
    // The second device comes by another link.
    let (second, its_place) = &devices[1];
    binds.on_closed(PipeId::new(64));
    assert_eq!(on_bind(&mut binds, 66, second, its_place, 9), Came::Answer(Status::Bound));
    let of_second: Vec<_> = bound_to(&binds).into_iter().filter(|(device, _)| *device == second.device()).collect();
    assert_eq!(of_second, [(second.device(), PipeId::new(66))]);
    // Whose record has gone is bound no more.
    binds.keep(|name| name.slot.device() != Some(second.device()) && name.home == home() && name.scope == Scope::Global);
    assert_eq!((binds.len(), bound_to(&binds).len()), (62, 62));
    // What is refused takes no place, and gives up the one that it had.
    let stranger = Place { held: None, ..place };
    assert_eq!(on_bind(&mut binds, 65, last, &stranger, 20), Came::Answer(Status::NoDevice));
    assert_eq!(binds.len(), 61);
}

const HERE: Realm = Realm { is_v6: false, scope: Scope::Global };

/// A node with the id that its key and address give; they lie apart from the home in their order.
fn tracker(n: u8) -> (Contact, NodeKey) {
    let (at, key) = (SocketAddr::from(([100, n, 1, 1], 7)), NodeKey::from_bytes([n; 32]));
    (Contact { hint: node_id(&key, at, Variant::from_low_bits(n)).unwrap().hint(), at }, key)
}

fn trackers(n: u8) -> Vec<Contact> {
    (1..=n).map(|n| tracker(n).0).collect()
}

fn binder(links: usize) -> Binder {
    Binder::new(home().hint(), HERE, links)
}

fn all(binder: &mut Binder, now: Time) -> Vec<Do> {
    core::iter::from_fn(|| binder.next(now)).take(100).collect()
}

fn opened(n: u8) -> Do {
    Do::Open { to: tracker(n).0 }
}

fn name(n: u8) -> LinkName {
    LinkName { tracker: tracker(n).1, name: [n; 32] }
}

fn up(binder: &mut Binder, n: u8, now: Time) -> PipeId {
    let pipe = PipeId::new(n.into());
    binder.on_up(tracker(n).0.at, pipe, name(n), true, now);
    pipe
}

fn secs(secs: u64) -> Time {
    Time::from_secs(secs)
}

const GOOD: Bound = Bound { status: Status::Bound, sequence: Some(1) };

// spec-test: DHT-157
#[test]
fn it_binds_to_as_many_as_it_is_to_and_says_each_bind_again_after_45_minutes() {
    for links in [0, 2, 5] {
        let mut binder = binder(links);
        assert_eq!(binder.due(), None);
        binder.on_looked(&trackers(8), Time::ZERO);
        assert_eq!(all(&mut binder, Time::ZERO), (1..=8).take(links).map(opened).collect::<Vec<_>>());
        assert_eq!((binder.due(), binder.own_links()), (None, links));
    }
    let mut binder = binder(2);
    binder.on_record(Some(1), Time::ZERO);
    binder.on_looked(&trackers(1), Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [opened(1)]);
    let pipe = up(&mut binder, 1, Time::ZERO);
    let say = Do::Say { pipe, link: name(1) };
    let mut now = Time::ZERO;
    for _ in 0..3 {
        assert_eq!(all(&mut binder, now), [say]);
        binder.on_bound(pipe, GOOD, now + Duration::from_secs(1));
        assert_eq!(binder.bound(), 1);
        now = now + Duration::from_secs(45 * 60);
        assert_eq!((binder.due(), all(&mut binder, now - Duration::from_micros(1))), (Some(now), vec![]));
    }
    // A change is said as soon as 15 s are over.
    assert_eq!(all(&mut binder, now), [say]);
    binder.on_bound(pipe, GOOD, now);
    binder.on_record(Some(2), now + Duration::from_secs(4));
    assert_eq!(binder.due(), Some(now + Duration::from_secs(15)));
    now = now + Duration::from_secs(15);
    assert_eq!(all(&mut binder, now), [say]);
    // And one that comes while an answer is on its way is not lost; nor is one that was signed for the bind said again.
    binder.on_record(Some(3), now);
    binder.on_bound(pipe, GOOD, now);
    assert_eq!(binder.due(), Some(now + Duration::from_secs(15)));
    now = now + Duration::from_secs(15);
    assert_eq!(all(&mut binder, now), [say]);
    binder.on_said(pipe, 4, now);
    binder.on_bound(pipe, GOOD, now);
    binder.on_record(Some(4), now);
    assert_eq!(binder.due(), Some(now + Duration::from_secs(45 * 60)));
}

// spec-test: DHT-157
#[test]
fn a_bind_that_was_not_taken_before_the_clock_was_set_is_said_again_and_one_that_was_is_not() {
    for (status, is_again) in [(Status::Bound, false), (Status::Clock, true)] {
        let mut binder = binder(1);
        binder.on_record(Some(1), Time::ZERO);
        binder.on_looked(&trackers(1), Time::ZERO);
        let _ = all(&mut binder, Time::ZERO);
        let pipe = up(&mut binder, 1, Time::ZERO);
        let say = Do::Say { pipe, link: name(1) };
        assert_eq!(all(&mut binder, Time::ZERO), [say]);
        // While an answer is on its way, it is waited for.
        binder.on_clock(secs(1));
        assert_eq!(binder.due(), Some(secs(30)));
        binder.on_bound(pipe, Bound { status, sequence: None }, secs(1));
        binder.on_clock(secs(2));
        assert_eq!(binder.due(), Some(secs(if is_again { 15 } else { 45 * 60 })), "{status:?}");
        binder.on_clock(secs(1_000));
        assert_eq!(all(&mut binder, secs(1_000)), if is_again { vec![say] } else { vec![] });
    }
}

// spec-test: DHT-157
#[test]
fn who_has_not_the_id_that_was_looked_up_is_not_bound_to_and_the_next_one_is() {
    let mut binder = binder(2);
    binder.on_looked(&trackers(3), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    let wrong = LinkName { tracker: tracker(2).1, name: [9; 32] };
    binder.on_up(tracker(1).0.at, PipeId::new(9), wrong, true, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [Do::Close { pipe: PipeId::new(9) }, opened(3)]);
    // A link that serves others too is left alone.
    binder.on_up(tracker(3).0.at, PipeId::new(8), wrong, false, Time::ZERO);
    assert_eq!((all(&mut binder, Time::ZERO), binder.due()), (vec![], Some(secs(600))), "all are left alone for a while");
    assert_eq!(all(&mut binder, secs(600)), [opened(1)]);
}

// spec-test: DHT-157
#[test]
fn links_to_nodes_that_keep_the_home_no_longer_are_closed() {
    let mut binder = binder(2);
    binder.on_looked(&trackers(2), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    let pipes = [1, 2].map(|n| up(&mut binder, n, Time::ZERO));
    let _ = all(&mut binder, Time::ZERO);
    binder.on_looked(&[], secs(1));
    assert_eq!(all(&mut binder, secs(1)), [], "a look-up without an answer says nothing");
    let mut nearest: Vec<u8> = (1..=40).collect();
    nearest.sort_by_key(|n| tracker(*n).0.hint.distance(home().hint()));
    nearest.retain(|n| *n > 2);
    // Nearer ones have come than both.
    let near: Vec<Contact> = nearest[..2].iter().map(|n| tracker(*n).0).collect();
    let farther = |n: u8| tracker(n).0.hint.distance(home().hint()) > near[1].hint.distance(home().hint());
    assert!(farther(1) && farther(2), "the vectors are such");
    binder.on_looked(&near, secs(2));
    let expected = [Do::Close { pipe: pipes[0] }, Do::Close { pipe: pipes[1] }, Do::Open { to: near[0] }, Do::Open { to: near[1] }];
    assert_eq!(all(&mut binder, secs(2)), expected);
}

// spec-test: DHT-157
#[test]
fn who_has_a_link_and_did_not_answer_a_look_up_keeps_it() {
    let mut nearest: Vec<u8> = (1..=40).collect();
    nearest.sort_by_key(|n| tracker(*n).0.hint.distance(home().hint()));
    let mut binder = binder(2);
    let at = |range: core::ops::Range<usize>| nearest[range].iter().map(|n| tracker(*n).0).collect::<Vec<_>>();
    binder.on_looked(&at(0..2), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    for n in &nearest[..2] {
        up(&mut binder, *n, Time::ZERO);
    }
    let _ = all(&mut binder, Time::ZERO);
    binder.on_looked(&at(1..4), secs(1));
    assert_eq!(all(&mut binder, secs(1)), []);
    assert_eq!(binder.own_links(), 2);
}

// spec-test: DHT-157
#[test]
fn a_link_that_was_bound_and_falls_is_opened_again_soon_and_a_spare_takes_its_place_meanwhile() {
    for (is_bound, is_replaced, wait) in [(true, false, 15), (false, true, 15), (false, false, 600)] {
        let mut binder = binder(1);
        binder.on_looked(&trackers(1), Time::ZERO);
        let _ = all(&mut binder, Time::ZERO);
        let pipe = up(&mut binder, 1, Time::ZERO);
        let _ = all(&mut binder, Time::ZERO);
        if is_bound {
            binder.on_bound(pipe, GOOD, Time::ZERO);
        }
        binder.on_closed(PipeId::new(77), false, secs(50));
        binder.on_closed(pipe, is_replaced, secs(50));
        assert_eq!((binder.bound(), binder.due()), (0, Some(secs(50 + wait))));
        assert_eq!(all(&mut binder, secs(49 + wait)), []);
        assert_eq!(all(&mut binder, secs(50 + wait)), [opened(1)]);
    }
    let mut binder = binder(1);
    binder.on_looked(&trackers(2), Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [opened(1)]);
    binder.on_failed(tracker(1).0.at, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [opened(2)]);
    binder.on_stopped(Time::ZERO);
    assert_eq!((all(&mut binder, secs(14)), all(&mut binder, secs(15))), (vec![], vec![opened(2)]), "dials were given up");
}

// spec-test: DHT-155
#[test]
fn each_answer_has_its_consequence() {
    let begin = |is_own| {
        let mut binder = binder(1);
        binder.on_looked(&trackers(1), Time::ZERO);
        let _ = all(&mut binder, Time::ZERO);
        let pipe = PipeId::new(1);
        binder.on_up(tracker(1).0.at, pipe, name(1), is_own, Time::ZERO);
        assert_eq!(all(&mut binder, Time::ZERO).len(), 1);
        (binder, pipe)
    };
    let after = |status, is_own| {
        let (mut binder, pipe) = begin(is_own);
        binder.on_bound(pipe, Bound { status, sequence: Some(7) }, Time::ZERO);
        (all(&mut binder, Time::ZERO), binder.due().map(|due| due.since(Time::ZERO).as_secs()))
    };
    let pipe = PipeId::new(1);
    let deposit = Do::Deposit { pipe, link: name(1) };
    for status in Status::ALL {
        let expected = match status {
            Status::Bound | Status::Unreachable | Status::Clock => (vec![], Some(2_700)),
            Status::NoDevice => (vec![deposit], Some(30)),
            Status::Older => (vec![Do::Older], Some(2_700)),
            Status::Often => (vec![], Some(15)),
            Status::Proof | Status::Delegation | Status::Far | Status::Full => (vec![Do::Close { pipe }], Some(600)),
        };
        assert_eq!(after(status, true), expected, "{status:?}");
        let kept: Vec<Do> = expected.0.into_iter().filter(|step| !matches!(step, Do::Close { .. })).collect();
        assert_eq!(after(status, false), (kept, expected.1), "{status:?} on a link that others need");
    }
    // The device record is given once; what nobody asked for is no answer.
    let (mut binder, pipe) = begin(true);
    let none = Bound { status: Status::NoDevice, sequence: None };
    binder.on_bound(pipe, none, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [deposit]);
    binder.on_bound(pipe, none, Time::ZERO);
    assert_eq!(all(&mut binder, Time::ZERO), [Do::Close { pipe }]);
    let (mut binder, pipe) = begin(true);
    binder.on_bound(pipe, GOOD, Time::ZERO);
    binder.on_bound(pipe, Bound { status: Status::Full, sequence: None }, Time::ZERO);
    assert_eq!((all(&mut binder, Time::ZERO), binder.bound()), (vec![], 1));
    // Who does not answer is closed, as it may have taken the bind.
    for is_own in [true, false] {
        let (mut binder, pipe) = begin(is_own);
        assert_eq!(all(&mut binder, secs(29)), []);
        assert_eq!(all(&mut binder, secs(30)), [Do::Close { pipe }]);
    }
}

// spec-test: DHT-157
#[test]
fn a_link_that_others_need_ends_too_if_the_other_end_may_say_that_the_device_is_bound() {
    // What was answered first, and whether the link then ends with the binding.
    for (status, ends) in [
        (None, true),
        (Some(Status::Bound), true),
        (Some(Status::Often), false),
        (Some(Status::Unreachable), false),
        (Some(Status::Clock), false),
    ] {
        let pipe = PipeId::new(1);
        let said = || {
            let mut binder = binder(1);
            binder.on_looked(&trackers(1), Time::ZERO);
            let _ = all(&mut binder, Time::ZERO);
            binder.on_up(tracker(1).0.at, pipe, name(1), false, Time::ZERO);
            assert_eq!(all(&mut binder, Time::ZERO).len(), 1);
            if let Some(status) = status {
                binder.on_bound(pipe, Bound { status, sequence: Some(7) }, Time::ZERO);
            }
            binder
        };
        assert_eq!(said().into_links().0, if ends { vec![pipe] } else { vec![] }, "{status:?}");
        let (mut other, nearer) = (said(), (2..=40).min_by_key(|n| tracker(*n).0.hint.distance(home().hint())).unwrap());
        other.on_looked(&[tracker(nearer).0], secs(1));
        assert_eq!(all(&mut other, secs(1)).contains(&Do::Close { pipe }), ends, "{status:?}");
    }
    // Who hears that it was too soon is bound as it was before.
    let mut binder = binder(1);
    binder.on_looked(&trackers(1), Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    let pipe = PipeId::new(1);
    binder.on_up(tracker(1).0.at, pipe, name(1), false, Time::ZERO);
    let _ = all(&mut binder, Time::ZERO);
    binder.on_bound(pipe, GOOD, Time::ZERO);
    assert_eq!(all(&mut binder, secs(2_700)).len(), 1);
    binder.on_bound(pipe, Bound { status: Status::Often, sequence: None }, secs(2_700));
    assert_eq!(binder.into_links().0, [pipe]);
}

// spec-test: DHT-152
#[test]
fn who_cannot_be_reached_binds_with_a_record_that_says_nowhere_and_puts_it_nowhere_else() {
    let (crypto, own, seed) = (Crypto::standard(), credentials(), crate::rng::Seed::from_bytes([3; 32]));
    let rng = crate::rng::Rng::from_seed(&seed);
    let mut publisher = Publisher::new(home(), own.delegation().device(), Policy::Everyone, Last::default(), rng);
    let bound = |publisher: &mut Publisher, secs: u64| {
        let wall = WallTime::from_millis(FROM + secs * 1_000);
        publisher.address_to_bind(Scope::Global, (&crypto, &own), wall, Time::from_secs(secs)).unwrap()
    };
    let first = bound(&mut publisher, 0);
    assert!(first.addresses().is_empty() && first.is_signed_by(&crypto, own.delegation().signing(), &home()));
    assert_eq!((publisher.due(), publisher.is_told()), (None, false), "nothing is to be put");
    assert_eq!(bound(&mut publisher, 3_600), first);
    let second = bound(&mut publisher, 4_000);
    assert!(second.sequence() > first.sequence(), "half of its time is over");
    // Once it is known where the device is, that is signed when it is put, and no sooner.
    publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], Time::from_secs(4_001));
    assert_eq!(bound(&mut publisher, 4_001), second);
}
