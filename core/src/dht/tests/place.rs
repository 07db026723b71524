//! Nodes that do not know where they are: whom they ask, for what, and what liars gain by it.

use super::*;
use crate::dht::id::{self, Variant};
use crate::dht::wire::{Asker, write_reply};

/// Somebody forges the source of what a node without an address hears, to have it ping somebody.
// spec-test: DHT-124
#[test]
fn a_node_that_does_not_know_its_address_pings_nobody_for_less_than_a_ping() {
    let now = Time::from_secs(1_000);
    let mut alone = Alone { solo: begin(Config::test(), (50, 0), now, &[lan(50)], &[]), now, at: lan(50), drawn: 0 };
    let short = Request::Ping { to: Some(Key::from_bytes([9; 32]).hint()) };
    for n in 1..40 {
        let (told, others, _) = alone.ask(wan(n), None, None, &short);
        assert!(told.is_none() && others.is_empty(), "{others:?}");
    }
    for (at, asker) in [(lan(50), wan(99)), ("[fd00::50]:7000".parse().expect("an address"), wan6(99))] {
        let mut alone = Alone { solo: begin(Config::test(), (50, 0), now, &[at], &[]), now, at, drawn: 0 };
        for round in 0..3 {
            let (told, mut sent, bytes) = alone.ask(asker, None, None, &Request::Ping { to: None });
            assert_eq!((told.is_none(), sent.len()), (true, 1), "a ping in place of the reply: {sent:?}");
            sent.extend(alone.wait(Duration::from_secs(10)));
            assert!(sent.len() == 1 && sent[0].to == asker && sent[0].bytes.len() <= bytes, "round {round}, and no repetition: {sent:?}");
            let (told, sent, _) = alone.ask(asker, None, None, &Request::Ping { to: None });
            assert!(told.is_some() && sent.is_empty(), "the next one is answered");
            alone.wait(Duration::from_secs(50));
        }
    }
}

// spec-test: DHT-124
#[test]
fn a_node_that_does_not_know_its_address_learns_it_from_who_finds_it_and_then_serves() {
    let now = Time::from_secs(1_000);
    let mut alone = Alone { solo: begin(Config::test(), (50, 0), now, &[lan(50)], &[]), now, at: lan(50), drawn: 0 };
    let (told, asked, _) = alone.ask(wan(9), None, None, &Request::Ping { to: None });
    assert!(told.is_none());
    let exchange = read(&asked[0].bytes).expect("a ping").head.exchange;
    let reply = Reply { seen: Some(wan(50)), ..Reply::new(Answer::Ping) };
    let mut out = Vec::new();
    assert!(write_reply(&mut out, exchange, Asker::Unproven { bytes: 200, own: None }, &reply));
    alone.hear(wan(9), &out);
    alone.wait(Duration::from_secs(1));
    let (told, _, _) = alone.ask(wan(9), None, None, &Request::Ping { to: None });
    assert!(told.is_some_and(|told| told.id.is_some() && told.cookie.is_some()), "it serves");
}

/// A seed behind a port that is forwarded to it: others see it elsewhere than where its socket is.
// spec-test: DHT-124
#[test]
fn the_first_stranger_who_lies_of_a_seed_s_address_does_not_hide_it() {
    let mut world = World::new();
    world.add(50, &[lan(50)], &[]);
    world.weather = Some(Box::new(|_, mut letter| {
        letter.from = if letter.from == lan(50) { wan(50) } else { letter.from };
        letter.to = if letter.to == wan(50) { lan(50) } else { letter.to };
        vec![letter]
    }));
    let mut out = Vec::new();
    let head = Head { exchange: Exchange::from_bytes([9; 8]), id: None, cookie: None };
    assert!(write_request(&mut out, wan(50), &head, &Request::Ping { to: None }));
    world.send(Letter { from: wan(66), to: wan(50), bytes: out });
    world.run_ms(20);
    let ping = world.outside.iter().find(|(_, letter)| letter.to == wan(66)).map(|(_, letter)| letter.clone()).expect("a ping");
    let exchange = read(&ping.bytes).expect("a ping").head.exchange;
    let mut out = Vec::new();
    let lie = Reply { seen: Some(wan(200)), ..Reply::new(Answer::Ping) };
    assert!(write_reply(&mut out, exchange, Asker::Unproven { bytes: 200, own: None }, &lie));
    world.send(Letter { from: wan(66), to: wan(50), bytes: out });
    world.run_secs(2);
    for n in 1..4 {
        world.add(n, &[wan(n)], &[wan(50)]);
    }
    world.run_secs(600);
    for n in 0..4 {
        let known = |realm: &crate::RealmView| realm.reach == crate::DhtReach::Global && realm.verified == 3;
        assert!(world.solo(n).view().realms.iter().any(known), "{n}: {:?}", world.solo(n).view());
    }
    let at = |realm: &crate::RealmView| realm.address == Some(wan(50));
    assert!(world.solo(0).view().realms.iter().any(at));
}

/// Before that it has heard of nobody.
// spec-test: DHT-74
#[test]
fn strangers_who_come_spend_nothing_of_what_entry_peers_are_asked_with() {
    let now = Time::from_secs(1_000);
    let mut alone = Alone { solo: begin(Config::test(), (50, 0), now, &[lan(50)], &[]), now, at: lan(50), drawn: 0 };
    let mut asked = 0;
    for n in 0..=255 {
        let from = SocketAddr::from(([61, n, 1, 1], 7));
        asked += alone.ask(from, None, None, &Request::Ping { to: None }).1.len();
    }
    assert_eq!(asked, 16, "four a second, sixteen at once");
    alone.solo.set_entries(alone.now, &[wan(3)]);
    assert!(take(&mut alone.solo).0.iter().any(|letter| letter.to == wan(3)), "at once");
}

/// They come from many blocks and say where a node is when it asks whether they are there, as it does of who has asked it something.
// spec-test: DHT-122
#[test]
fn who_comes_unasked_has_no_vote_on_where_a_node_with_a_hard_table_is() {
    let mut world = World::new();
    for n in 0..24 {
        world.add(n, &[wan(n)], &[wan(0)][..usize::from(n > 0)]);
    }
    world.weather = Some(Box::new(|_, mut letter| {
        letter.from = if letter.from == lan(50) { wan(50) } else { letter.from };
        letter.to = if letter.to == wan(50) { lan(50) } else { letter.to };
        let Some(question) = read(&letter.bytes).ok().filter(|read| is_liar(letter.to) && matches!(read.body, Body::Request(_))) else {
            return vec![letter];
        };
        let mut out = Vec::new();
        let lie = Reply { seen: Some(wan(200)), ..Reply::new(Answer::Ping) };
        assert!(write_reply(&mut out, question.head.exchange, Asker::Unproven { bytes: 200, own: None }, &lie));
        vec![Letter { from: letter.to, to: lan(50), bytes: out }]
    }));
    let index = world.add(50, &[lan(50)], &[wan(0), wan(1), wan(2)]);
    world.run_secs(900);
    let at = |world: &World| world.solo(index).view().realms.iter().find(|realm| realm.is_hard).and_then(|realm| realm.address);
    assert_eq!(at(&world), Some(wan(50)));
    let (mut asked, mut cookies) = (0, BTreeMap::new());
    for round in 0..60_u64 {
        for n in 0..40 {
            let from = liar(n);
            let id = id::node_id(&NodeKey::from_bytes([n; 32]), from, Variant::from_low_bits(n));
            let mut out = Vec::new();
            let head = Head {
                exchange: Exchange::from_bytes((round * 256 + u64::from(n)).to_be_bytes()),
                id,
                cookie: cookies.get(&from).copied(),
            };
            assert!(write_request(&mut out, wan(50), &head, &Request::Ping { to: None }));
            world.send(Letter { from, to: wan(50), bytes: out });
        }
        world.log = Some(Vec::new());
        world.run_secs(10);
        for (_, letter) in world.outside.drain(..) {
            cookies.extend(read(&letter.bytes).ok().and_then(|reply| reply.head.cookie).map(|cookie| (letter.to, cookie)));
        }
        asked += world.log.take().into_iter().flatten().filter(|(_, letter)| is_liar(letter.to) && letter.is("q", "ping")).count();
        assert_eq!(at(&world), Some(wan(50)), "round {round}, after {asked} lies");
    }
    assert!(asked >= 16, "they were asked: {asked}");
}

/// An address in a block of its own.
fn liar(n: u8) -> SocketAddr {
    SocketAddr::from(([61, n, 3, 1], 7_000))
}

fn is_liar(at: SocketAddr) -> bool {
    (0..40).any(|n| at == liar(n))
}
