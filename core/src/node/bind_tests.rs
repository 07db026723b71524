//! Devices that bind themselves at a node, and others who would like to be taken for them.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::SocketAddr;
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::tests::{WALL, credentials};
use crate::address::Scope;
use crate::dht::bind::{Bind, LinkName};
use crate::dht::record::{AddressRecord, DeviceRecord, Prekey};
use crate::handshake::Kind;
use crate::id::to_base64;
use crate::*;

const PORT: u16 = 7_575;

/// A node that keeps records for whoever asks: somebody has sent it a request.
fn tracker(config: Config) -> Bench {
    let mut bench = Bench::new(config);
    bench.handle(Event::addresses(&[at("10.0.0.1:7575")], false));
    let request = format!(r#"{{"v":1,"t":"R9xUDJTOtwQ","q":"ping","pad":"{}"}}"#, ".".repeat(150));
    bench.handle(Event::datagram(Path { local: at("10.0.0.1:7575"), remote: at("10.0.0.9:7575") }, request.as_bytes()));
    bench.pass(Duration::from_secs(10));
    bench
}

fn linked(bench: &mut Bench, name: &str) -> Foe {
    let mut foe = Foe::new(bench, name, "test");
    foe.shake(bench, Kind::Service);
    foe
}

fn name_of(bench: &Bench, foe: &Foe) -> LinkName {
    LinkName { tracker: bench.node.node_key().unwrap(), name: foe.link_name() }
}

fn record(own: &Credentials, sequence: u64, port: u16) -> AddressRecord {
    let addresses = vec![SocketAddr::from(([10, 0, 0, 66], port))];
    AddressRecord::sign(&Crypto::standard(), own, Scope::Private, sequence, addresses, vec![]).unwrap()
}

/// A bind of Alice's device for a link, said at a time.
fn bind(link: &LinkName, port: u16, wall: WallTime) -> String {
    let own = credentials("alice", "test");
    let bind = Bind::sign(&Crypto::standard(), &own, record(&own, WALL.as_millis(), PORT), link, port, wall);
    format!("{{\"bind\":{}}}\n", bind.to_json())
}

/// Her device record.
fn device() -> String {
    let own = credentials("alice", "test");
    let prekey = Prekey::sign(&Crypto::standard(), &own, [7; 32], WALL.as_millis()).unwrap();
    let record = DeviceRecord::new(Some(own.delegation().clone()), Some(prekey)).unwrap();
    format!("{{\"device\":{}}}\n", record.to_json())
}

/// What each bind on a link was answered.
fn answers(foe: &Foe) -> Vec<String> {
    let all = foe.heard.split("{\"bound\":{\"status\":").skip(1);
    all.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect()).collect()
}

fn binds(bench: &Bench) -> u64 {
    bench.node.dht().map_or(0, |view| view.binds)
}

fn wall(bench: &Bench) -> WallTime {
    bench.node.wall(bench.now)
}

/// Alice's device, bound over the first link, and the line that it has said.
fn bound(bench: &mut Bench) -> (Foe, String) {
    let mut alice = linked(bench, "alice");
    let line = bind(&name_of(bench, &alice), 0, wall(bench));
    alice.say(bench, &line);
    alice.say(bench, device() + &line);
    assert_eq!((answers(&alice), binds(bench)), (vec!["404".into(), "200".into()], 1));
    (alice, line)
}

// spec-test: DHT-155, DHT-156, LINK-4
#[test]
fn a_device_that_is_not_known_gives_its_record_and_is_bound_until_its_link_ends() {
    let mut bench = tracker(Config::test());
    let (mut alice, line) = bound(&mut bench);
    assert_eq!(bench.node.dht().map(|view| view.records), Some(2), "who it is and where it is");
    // It says so again, and is bound still.
    bench.pass(Duration::from_secs(60));
    alice.say(&mut bench, &line);
    assert_eq!((answers(&alice).len(), binds(&bench)), (3, 1));
    bench.handle(Event::pipe_closed(alice.pipe));
    assert_eq!((binds(&bench), bench.node.dht().map(|view| view.records)), (0, Some(2)), "the record stands until its own end");
}

// spec-test: DHT-154
#[test]
fn a_bind_is_worth_nothing_on_another_link_or_at_another_time() {
    let mut bench = tracker(Config::test());
    let (alice, line) = bound(&mut bench);
    // Whoever has seen it says it on a link of their own: as it is, and written for that link.
    let mut mallory = linked(&mut bench, "mallory");
    mallory.say(&mut bench, &line);
    bench.pass(Duration::from_secs(5));
    let (hers, his) = (to_base64(&alice.link_name()), to_base64(&mallory.link_name()));
    let moved = line.replace(&hers, &his);
    assert_ne!(moved, line);
    mallory.say(&mut bench, &moved);
    assert_eq!((answers(&mallory), binds(&bench)), (vec!["401".into(), "401".into()], 1));
    // Alice is still where she is: her link is the one that was bound.
    bench.handle(Event::pipe_closed(mallory.pipe));
    assert_eq!(binds(&bench), 1);
    // Her own next link is another one.
    bench.handle(Event::pipe_closed(alice.pipe));
    let mut again = linked(&mut bench, "alice");
    again.say(&mut bench, &line);
    // Nor does a date count that is more than ten minutes off.
    let (link, now) = (name_of(&bench, &again), wall(&bench));
    let ten = Duration::from_millis(600_001);
    for (secs, date) in [(5, now - ten), (10, now + ten + Duration::from_secs(10))] {
        bench.pass(Duration::from_secs(5));
        again.say(&mut bench, bind(&link, 0, date));
        assert_eq!(answers(&again).len(), 1 + secs / 5);
    }
    assert_eq!((answers(&again), binds(&bench)), (vec!["401".into(), "408".into(), "408".into()], 0));
    bench.pass(Duration::from_secs(5));
    let good = bind(&link, 0, wall(&bench));
    again.say(&mut bench, good);
    assert_eq!((answers(&again).last().map(String::as_str), binds(&bench)), (Some("200"), 1));
}

// spec-test: DHT-156
#[test]
fn a_claimed_port_is_dialled_at_the_links_end_and_the_answer_says_what_came_of_it() {
    for is_reached in [true, false] {
        let mut bench = tracker(Config::test());
        let (mut alice, _) = bound(&mut bench);
        bench.pass(Duration::from_secs(5));
        let link = name_of(&bench, &alice);
        let line = bind(&link, PORT, wall(&bench));
        alice.say(&mut bench, line);
        let (op, to) = *bench.connects.last().unwrap();
        assert_eq!((answers(&alice).len(), binds(&bench), to), (2, 0, at("10.0.0.66:7575")), "it is not known yet");
        if is_reached {
            let pipe = PipeId::new(900);
            bench.handle(Event::pipe_opened(pipe, Some(op), at("10.0.0.1:40000"), to));
            assert!(bench.closed.contains(&pipe) && !bench.written.contains_key(&pipe), "nothing is said there");
        } else {
            bench.handle(Event::connect_failed(op, ConnectError::Refused));
        }
        alice.listen(&mut bench);
        let expected = if is_reached { ("200", 1) } else { ("202", 0) };
        assert_eq!((answers(&alice).last().map(String::as_str), binds(&bench)), (Some(expected.0), expected.1));
        // It is not dialled again.
        let dials = bench.connects.len();
        bench.pass(Duration::from_secs(5));
        let line = bind(&link, PORT, wall(&bench));
        alice.say(&mut bench, line);
        assert_eq!((answers(&alice).last().map(String::as_str), bench.connects.len()), (Some(expected.0), dials));
    }
}

// spec-test: DHT-153, LINK-4
#[test]
fn what_is_no_bind_ends_the_link_and_changes_nothing() {
    let mut bench = tracker(Config::test());
    let (_alice, _line) = bound(&mut bench);
    let cases = [
        (device(), CloseReason::NotAllowed, "nobody has asked for it"),
        ("{\"bind\":{}}\n".into(), CloseReason::Malformed, "an empty one"),
        ("{\"bind\":7}\n".into(), CloseReason::Malformed, "a number"),
        ("{\"bound\":{\"status\":299}}\n".into(), CloseReason::Malformed, "an answer that there is not"),
        (format!("{{\"bind\":{{\"home\":\"{}\"}}}}\n", "A".repeat(100_000)), CloseReason::Malformed, "a long one"),
    ];
    for (line, why, what) in cases {
        let mut foe = linked(&mut bench, "mallory");
        foe.say(&mut bench, line);
        assert_eq!((bench.downs().last(), binds(&bench)), (Some(&why), 1), "{what}");
    }
    // An answer to nothing is none.
    let mut foe = linked(&mut bench, "mallory");
    foe.say(&mut bench, "{\"bound\":{\"status\":409,\"sequence\":9}}\n{\"ping\":3}\n");
    assert!(foe.heard.contains("{\"pong\":3}"));
    // Between users these are no lines at all.
    for line in ["{\"bind\":{}}\n", "{\"bound\":{\"status\":200}}\n", "{\"device\":{}}\n"] {
        let mut foe = Foe::linked(&mut bench, "mallory");
        foe.say(&mut bench, line);
        assert_eq!(bench.downs().last(), Some(&CloseReason::NotAllowed), "{line}");
    }
}

// spec-test: DHT-154
#[test]
fn a_bind_with_any_byte_changed_binds_nobody() {
    let mut bench = tracker(Config::test());
    let (alice, _) = bound(&mut bench);
    bench.handle(Event::pipe_closed(alice.pipe));
    let mut foe = linked(&mut bench, "mallory");
    let mut refused = 0;
    for n in 0..200_usize {
        let line = bind(&name_of(&bench, &foe), 0, wall(&bench));
        let place = 9 + n * (line.len() - 11) / 200;
        let mut bad = line.into_bytes();
        bad[place] ^= 1 << (n % 5);
        foe.say(&mut bench, &bad);
        assert_eq!(binds(&bench), 0, "{}", String::from_utf8_lossy(&bad));
        refused += answers(&foe).len();
        bench.handle(Event::pipe_closed(foe.pipe));
        foe = linked(&mut bench, "mallory");
    }
    assert!(refused > 50, "{refused}: many are read, and refused for what they say");
    let line = bind(&name_of(&bench, &foe), 0, wall(&bench));
    foe.say(&mut bench, line);
    assert_eq!((answers(&foe), binds(&bench)), (vec!["200".into()], 1));
}

// spec-test: DHT-156
#[test]
fn who_says_binds_all_the_time_is_let_go() {
    let mut bench = tracker(Config::test());
    let (mut alice, line) = bound(&mut bench);
    alice.say(&mut bench, &line);
    assert_eq!(answers(&alice).last().map(String::as_str), Some("429"));
    let checked = bench.node.stats().signatures_checked;
    alice.say(&mut bench, line.repeat(50));
    assert_eq!((bench.downs(), binds(&bench)), (vec![CloseReason::Flood], 0));
    assert_eq!(bench.node.stats().signatures_checked, checked, "at no cost");
}

// spec-test: DHT-154, DHT-158
#[test]
fn who_keeps_no_records_says_so() {
    for config in [Config::test().dht(0), Config::test().dht_serve(0)] {
        let mut bench = tracker(config);
        let mut alice = linked(&mut bench, "alice");
        let line = bind(&name_of(&bench, &alice), 0, wall(&bench));
        alice.say(&mut bench, line);
        assert_eq!((answers(&alice), binds(&bench)), (vec!["421".into()], 0));
    }
}

// spec-test: DHT-154
#[test]
fn a_bind_that_is_refused_for_what_is_cheap_to_see_spends_no_signature() {
    let mut bench = tracker(Config::test().dht_verifies_per_second(3));
    for n in 0..10 {
        let mut foe = linked(&mut bench, &format!("mallory {n}"));
        let line = bind(&name_of(&bench, &foe), 0, wall(&bench));
        foe.say(&mut bench, line);
        assert_eq!(answers(&foe), ["404"], "nobody knows her device; that is no matter of time");
    }
}

// spec-test: DHT-100, DHT-155
#[test]
fn the_smallest_budget_for_signatures_is_enough_for_a_device_record_and_for_a_bind() {
    let mut bench = tracker(Config::test().dht_verifies_per_second(3));
    let mut alice = linked(&mut bench, "alice");
    for (secs, status) in [(0, "404"), (15, "200")] {
        bench.pass(Duration::from_secs(secs));
        let line = bind(&name_of(&bench, &alice), 0, wall(&bench));
        alice.say(&mut bench, &line);
        assert_eq!(answers(&alice).last().map(String::as_str), Some(status));
        bench.pass(Duration::from_secs(1));
        if secs == 0 {
            alice.say(&mut bench, device());
        }
    }
    assert_eq!(binds(&bench), 1);
}

// spec-test: DHT-104, DHT-156
#[test]
fn a_device_whose_records_end_or_are_taken_back_is_bound_no_more() {
    let mut bench = tracker(Config::test().keep_alive_ms(3_600_000));
    let _alice = bound(&mut bench);
    bench.pass(Duration::from_secs(2 * 3_600 - 60));
    assert_eq!(binds(&bench), 1);
    bench.pass(Duration::from_secs(120));
    assert_eq!(binds(&bench), 0, "its link is up still");
    assert_eq!(bench.node.links().count(), 1);
}
