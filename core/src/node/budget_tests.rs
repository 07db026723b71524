//! What a peer may cost a node, and whose word counts.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::bench_tests::{Bench, Foe};
use super::tests::{WALL, credentials};
use crate::handshake::Kind;
use crate::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn identity(name: &str) -> IdentitySecret {
    IdentitySecret::from_bytes(Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0).array())
}

/// A delegation of the device that `name` has, changed by its identity.
fn delegation(name: &str, change: impl FnOnce(&mut Grant)) -> String {
    let mut grant = credentials(name, "test").delegation().grant().clone();
    change(&mut grant);
    format!("{{\"delegation\":{}}}\n", Delegation::sign(&identity(name), &grant).unwrap().to_json())
}

/// Strangers who push everybody out of a small book that nothing holds there.
fn crowd(bench: &mut Bench, count: usize) {
    for n in 0..count {
        let foe = Foe::linked(bench, &format!("stranger {n}"));
        bench.handle(Event::pipe_closed(foe.pipe));
    }
}

// spec-test: HS-6
#[test]
fn a_delegation_that_does_not_belong_to_its_pipe_or_that_nobody_signed_proves_nobody() {
    let identity = IdentitySecret::from_bytes([1; 32]);
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([2; 32])));
    let grant = |app: &str, from: WallTime| keys.grant(AppId::new(app).unwrap(), from, from + HOUR);
    let signed = |app: &str, from: WallTime| Delegation::sign(&identity, &grant(app, from)).unwrap();
    // Whole, but under a signature of the same identity over something else.
    let forged = |app: &str, from: WallTime| {
        let signature =
            |text: &str| text.split("\"signature\":\"").nth(1).and_then(|rest| rest.split('"').next()).map(String::from).unwrap();
        let (text, other) = (signed(app, from).to_json(), signed("other", WALL).to_json());
        Delegation::from_json(text.replace(&signature(&text), &signature(&other)).as_bytes()).unwrap()
    };
    let other_key = NodeSecret::from_bytes([3; 32]).noise_pair(&Crypto::standard());
    // Of several faults the first in HS-6's order is told.
    for (delegation, own_key, why) in [
        (signed("test", WALL), true, None),
        (signed("test", WALL), false, Some(CloseReason::Delegation)),
        (signed("test", WALL + HOUR), false, Some(CloseReason::Delegation)),
        (forged("test", WALL + HOUR), true, Some(CloseReason::NotYet)),
        (forged("test", WALL), true, Some(CloseReason::Delegation)),
    ] {
        let mut bench = Bench::new(Config::test());
        let mut foe = Foe::new(&mut bench, "mallory", "test");
        foe.own.credentials = keys.credentials(delegation);
        foe.own.user_keys = if own_key { foe.own.credentials.noise_pair(&Crypto::standard()) } else { other_key.clone() };
        foe.shake(&mut bench, Kind::User);
        assert_eq!((bench.refusals().first().copied(), bench.node.links().count()), (why, usize::from(why.is_none())));
    }
}

// spec-test: FIND-16
#[test]
fn an_answer_to_a_search_counts_only_once_and_only_from_a_peer_that_was_asked() {
    let mut bench = Bench::new(Config::test());
    let mut foes: Vec<Foe> = (0..5).map(|n| Foe::linked(&mut bench, &format!("foe {n}"))).collect();
    let carol = credentials("carol", "test").delegation().user();
    bench.node.command(bench.now, Command::find(carol)).unwrap();
    bench.run();
    for foe in &mut foes {
        foe.listen(&mut bench);
    }
    let id_of = |foe: &Foe| foe.heard.split("\"search\":{").nth(1)?.split("\"id\":\"").nth(1)?.split('"').next().map(String::from);
    let id = foes.iter().find_map(id_of).unwrap();
    let answer = |status: u16| format!("{{\"search_answer\":{{\"id\":\"{id}\",\"status\":{status}}}}}\n");
    let (mut asked, mut others): (Vec<Foe>, Vec<Foe>) = foes.into_iter().partition(|foe| id_of(foe).is_some());
    assert_eq!((asked.len(), others.len()), (4, 1));
    let said = |bench: &Bench| (bench.node.explain(carol).searches[0].status, bench.node.stats().search_answers_dropped);
    for status in [200, 404, 404, 404, 404] {
        others[0].say(&mut bench, answer(status));
    }
    assert_eq!(said(&bench), (None, 5));
    // One that was asked cannot answer for the others.
    for _ in 0..4 {
        asked[0].say(&mut bench, answer(404));
    }
    assert_eq!(said(&bench), (None, 8));
    asked[1].say(&mut bench, answer(202));
    asked[2].say(&mut bench, answer(200));
    asked[3].say(&mut bench, answer(404));
    assert_eq!(said(&bench), (Some(200), 9));
}

// spec-test: FIND-12, LINK-25
#[test]
fn delegations_in_band_are_verified_as_far_as_their_link_s_units_go() {
    let mut bench = Bench::new(Config::test().search_units_per_minute(40));
    let mut foe = Foe::linked(&mut bench, "mallory");
    let before = bench.node.stats().signatures_checked;
    let until = |bench: &Bench| bench.node.links().next().unwrap().until;
    for n in 1..=30 {
        foe.say(&mut bench, delegation("mallory", |grant| grant.until = WALL + HOUR * (24 * 7 + n)));
    }
    assert_eq!((bench.node.stats().signatures_checked - before, bench.node.stats().over_budget), (5, 25));
    assert_eq!(until(&bench), Some(WALL + HOUR * (24 * 7 + 5)));
    // What was verified once costs nothing more, and the next minute has units of its own.
    foe.say(&mut bench, delegation("mallory", |grant| grant.until = WALL + HOUR * (24 * 7 + 1)));
    bench.pass(Duration::from_secs(60));
    foe.say(&mut bench, delegation("mallory", |grant| grant.until = WALL + HOUR * (24 * 7 + 30)));
    assert_eq!((bench.node.stats().over_budget, until(&bench)), (25, Some(WALL + HOUR * (24 * 7 + 30))));
    assert_eq!(bench.downs(), vec![]);
}

// spec-test: FIND-12
#[test]
fn a_new_link_brings_no_new_units() {
    let mut bench = Bench::new(Config::test().search_units_per_minute(16));
    let verified = |bench: &Bench| bench.node.stats().over_budget;
    let mut shown = 0;
    let mut show = |bench: &mut Bench, foe: &mut Foe| {
        shown += 1;
        foe.say(bench, delegation("mallory", |grant| grant.until = WALL + HOUR * (24 * 7 + shown)));
    };
    let mut foe = Foe::linked(&mut bench, "mallory");
    show(&mut bench, &mut foe);
    show(&mut bench, &mut foe);
    assert_eq!(verified(&bench), 0);
    for refused in 1..=3 {
        let mut foe = Foe::linked(&mut bench, "mallory");
        show(&mut bench, &mut foe);
        assert_eq!(verified(&bench), refused);
    }
    // Another user has units of its own, and so has the next minute.
    let mut other = Foe::linked(&mut bench, "trudy");
    other.say(&mut bench, delegation("trudy", |grant| grant.until = WALL + HOUR * (24 * 7 + 1)));
    bench.pass(Duration::from_secs(60));
    let mut foe = Foe::linked(&mut bench, "mallory");
    show(&mut bench, &mut foe);
    assert_eq!(verified(&bench), 3);
}

// spec-test: LINK-25
#[test]
fn another_noise_key_ends_a_link_though_its_user_has_left_the_book() {
    let mut bench = Bench::new(Config::test().book_users_max(2));
    let mut foe = Foe::linked(&mut bench, "mallory");
    crowd(&mut bench, 6);
    let user = foe.own.credentials.delegation().user();
    assert_eq!(bench.node.explain(user).known, vec![], "the book has forgotten its device");
    let strangers = bench.downs().len();
    foe.say(&mut bench, delegation("mallory", |grant| grant.noise = [0x42; 32]));
    assert_eq!(bench.downs()[strangers..], [CloseReason::Delegation]);
}

// spec-test: FIND-4
#[test]
fn a_message_for_somebody_who_is_linked_leaves_on_the_link_though_the_book_has_forgotten_them() {
    let mut bench = Bench::new(Config::test().book_users_max(2));
    let mut foe = Foe::linked(&mut bench, "mallory");
    crowd(&mut bench, 6);
    let user = foe.own.credentials.delegation().user();
    bench.node.command(bench.now, Send::new(user, Message::new("bla", &4_711).unwrap()).keep(Keep::Memory).into()).unwrap();
    bench.run();
    foe.listen(&mut bench);
    assert!(foe.heard.contains("4711"));
}

// spec-test: LINK-26
#[test]
fn a_revocation_ends_the_link_of_a_user_who_has_left_the_book() {
    let mut bench = Bench::new(Config::test().book_users_max(2));
    let mut foe = Foe::linked(&mut bench, "mallory");
    crowd(&mut bench, 6);
    let strangers = bench.downs().len();
    let entry = RevocationEntry { before: WALL + HOUR, end: WALL + HOUR * 24 * 30 };
    let devices = [(RevocationTarget::All, entry)].into_iter().collect();
    let signed = Revocation::sign(&identity("mallory"), AppId::new("test").unwrap(), 1, devices).unwrap();
    foe.say(&mut bench, format!("{{\"revocation\":{}}}\n", signed.to_json()));
    assert_eq!(bench.downs()[strangers..], [CloseReason::Revoked]);
}

// spec-test: HS-11
#[test]
fn a_host_with_all_the_unproven_pipes_keeps_nobody_out_and_those_of_few_pipes_stay() {
    let mut bench = Bench::new(Config::test());
    let patient = bench.open("10.0.0.99:1");
    let hog: Vec<PipeId> = (0..200).map(|_| bench.open("10.0.0.77:1")).collect();
    assert_eq!((bench.node.inspect().pipes_pending, bench.closed.len()), (128, 73), "the hog's own are one too many");
    let foe = Foe::linked(&mut bench, "alice");
    assert!(!bench.closed.contains(&patient) && !bench.closed.contains(&foe.pipe));
    assert_eq!((bench.closed.contains(&hog[0]), bench.closed.contains(&hog[1])), (true, false), "its oldest goes");
    assert_eq!(bench.refusals(), [CloseReason::Full]);
}

/// Links as a service from an address. Whether the node took it.
fn serves(bench: &mut Bench, name: &str, from: &str) -> bool {
    let before = bench.refusals().len();
    let mut foe = Foe::at(bench, name, "test", from);
    foe.shake(bench, Kind::Service);
    assert_eq!(foe.heard.contains("\"reason\":\"full\""), bench.refusals().len() > before, "{}", foe.heard);
    !bench.refusals()[before..].contains(&CloseReason::Full)
}

// spec-test: LINK-13
#[test]
fn one_network_takes_a_quarter_of_the_service_links_and_leaves_the_others_theirs() {
    let mut bench = Bench::new(Config::test().links_service_in_max(64));
    let taken = (0..40).filter(|n| serves(&mut bench, &format!("mallory {n}"), &format!("203.0.113.{n}:7575"))).count();
    assert_eq!((taken, bench.node.links().count()), (16, 16), "with as many keys and hosts as it likes");
    assert!(serves(&mut bench, "alice", "203.0.114.1:7575"), "another network has room");
    // Who dials again has its place there, and none in a network that is full.
    assert!(serves(&mut bench, "mallory 3", "203.0.113.200:7575") && serves(&mut bench, "alice", "203.0.114.2:7575"));
    assert!(!serves(&mut bench, "alice", "203.0.113.1:7575"));
    assert_eq!(bench.node.links().count(), 17);
    // Where addresses are no scarce good, on one machine and in one network, there are no quarters.
    assert!((0..30).all(|n| serves(&mut bench, &format!("local {n}"), &format!("127.0.0.1:{}", 4_000 + n))));
    assert!((0..17).all(|n| serves(&mut bench, &format!("near {n}"), &format!("192.168.1.7:{}", 4_000 + n))));
    assert_eq!(bench.node.links().count(), 64);
    assert!(!serves(&mut bench, "carol", "198.51.100.1:7575"), "64 in all");
}
