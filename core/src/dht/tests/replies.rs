//! Replies: which count, and what those can do that do not.

use super::*;
use crate::dht::key::Hint;
use crate::dht::realm::Realm;
use crate::dht::table::{Answer as Answered, Rtt, Shape, Table};
use crate::id::to_base64;
use crate::view::Stats;

/// A node that has just pinged its entry peer, and that ping.
fn asked() -> (Alone, Letter) {
    let now = Time::from_secs(1_000);
    let mut solo = begin(Config::test(), (50, 0), now, &[lan(50)], &[lan(1)]);
    let mut sent = take(&mut solo).0;
    assert_eq!((sent.len(), sent[0].to), (1, lan(1)));
    (Alone { solo, now, at: lan(50), drawn: 0 }, sent.remove(0))
}

/// The answer of somebody with this id to whoever has sent `letter`, under `word`, with more fields.
fn answer(letter: &Letter, word: &str, n: u8, more: &str) -> Vec<u8> {
    let exchange = text_of(letter, "t").expect("an exchange");
    let id = to_base64(&[n; 32]);
    alloc::format!("{{\"v\":1,\"t\":\"{exchange}\",\"r\":\"{word}\",\"id\":\"{id}\",\"cookie\":\"AAAAAAAAAAA\"{more}}}").into_bytes()
}

fn known(alone: &Alone) -> u64 {
    alone.solo.view().realms.iter().map(|realm| realm.nodes).sum()
}

fn without_traffic(stats: &Stats) -> Stats {
    Stats { dht_in: 0, dht_bytes_in: 0, dht_dropped: 0, ..*stats }
}

// spec-test: DHT-40
#[test]
fn a_reply_that_nobody_asked_for_changes_nothing_but_the_count_of_what_is_dropped() {
    let (mut alone, ping) = asked();
    let mut stranger = ping.clone();
    stranger.bytes = ping.text().replacen("\"t\":\"", "\"t\":\"AA", 1).into_bytes();
    let other_word = answer(&ping, "find", 7, ",\"nodes\":[[\"AAAAAAAAAAE\",\"10.0.0.9:7\"]]");
    let mut other_exchange = answer(&ping, "ping", 7, "");
    other_exchange[12] ^= 1;
    let true_one = answer(&ping, "ping", 7, "");
    let before = (without_traffic(alone.solo.stats()), alone.solo.view(), alone.solo.deadline());
    for (from, bytes) in
        [(lan(1), &other_word), (lan(1), &other_exchange), (lan(2), &true_one), (SocketAddr::from(([10, 0, 0, 1], 7_001)), &true_one)]
    {
        assert_eq!(alone.hear(from, bytes), []);
        assert_eq!((without_traffic(alone.solo.stats()), alone.solo.view(), alone.solo.deadline()), before);
    }
    assert_eq!(alone.solo.stats().dht_dropped, 4);
    alone.hear(lan(1), &true_one);
    assert_eq!((known(&alone), alone.solo.stats().dht_answered), (1, 1));
    let before = (alone.solo.view(), alone.solo.stats().dht_answered);
    assert_eq!(alone.hear(lan(1), &true_one), [], "the same again");
    assert_eq!((alone.solo.view(), alone.solo.stats().dht_answered), before);
    assert_eq!(alone.solo.stats().dht_dropped, 5);
}

// spec-test: DHT-41
#[test]
fn a_request_goes_out_twice_with_another_exchange_and_then_no_answer_counts_any_more() {
    let (mut alone, ping) = asked();
    let again: Vec<Letter> = alone.wait(Duration::from_millis(400));
    // The entry peer itself is pinged again, too.
    let exchanges: Vec<_> = again.iter().filter_map(|letter| text_of(letter, "t")).collect();
    assert!(!exchanges.is_empty() && exchanges.iter().all(|it| Some(it) != text_of(&ping, "t").as_ref()));
    let late = answer(&ping, "ping", 7, "");
    alone.wait(Duration::from_millis(790));
    assert_eq!(alone.solo.stats().dht_missed, 0, "800 ms from the repetition on");
    alone.wait(Duration::from_millis(20));
    assert_eq!(alone.solo.stats().dht_missed, 1);
    alone.hear(lan(1), &late);
    assert_eq!((known(&alone), alone.solo.stats().dht_answered), (0, 0));
}

// spec-test: DHT-40
#[test]
fn whoever_answers_with_another_id_than_before_is_somebody_else_and_is_out_of_the_table() {
    let (mut alone, ping) = asked();
    alone.hear(lan(1), &answer(&ping, "ping", 7, ""));
    assert_eq!(known(&alone), 1);
    for _ in 0..100 {
        let sent = alone.wait(Duration::from_secs(1));
        for letter in sent.iter().filter(|letter| letter.to == lan(1)) {
            let Some(word) = text_of(letter, "q") else { continue };
            alone.hear(lan(1), &answer(letter, &word, 8, ""));
        }
        if known(&alone) == 0 {
            return;
        }
    }
    panic!("it is still there: {:?}", alone.solo.view());
}

/// Whatever a server names, only nodes of the same realm are asked, and never the asker itself.
// spec-test: DHT-42
#[test]
fn nodes_of_elsewhere_and_addresses_that_are_none_are_never_spoken_to() {
    let named = [
        "127.0.0.1:7",
        "44.1.1.1:7",
        "10.0.0.2:7000",
        "10.0.0.9:0",
        "224.0.0.1:7",
        "255.255.255.255:7",
        "0.0.0.0:7",
        "[2002:a00:9::1]:7",
        "[fd00::1]:7",
        "[fe80::1]:7",
        "[ff02::1]:7",
        "[64:ff9b::a00:9]:7",
        "[::ffff:10.0.0.9]:7",
    ];
    for one in named {
        let mut world = World::small(3);
        world.weather = Some(Box::new(move |_, mut letter| {
            if letter.from == lan(0) && (letter.is("r", "find") || letter.is("r", "get") || letter.is("r", "ping")) {
                let text = letter.text().trim_end_matches('}');
                let text = text.split(",\"nodes\"").next().unwrap_or_default();
                let nodes: Vec<_> = (1..4).map(|n: u8| alloc::format!("[\"{}\",\"{one}\"]", to_base64(&[n; 8]))).collect();
                letter.bytes = alloc::format!("{text},\"nodes\":[{}],\"other\":\"{one}\"}}", nodes.join(",")).into_bytes();
            }
            vec![letter]
        }));
        world.log = Some(Vec::new());
        world.run_secs(3);
        world.with(2, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
        world.run_secs(20);
        assert_eq!(world.outside, [], "{one}");
        let log = world.log.take().unwrap_or_default();
        assert!(log.iter().all(|(_, letter)| letter.from != letter.to), "{one}: to itself");
        assert!(log.len() > 20);
    }
}

/// How many round trips a search of the second takes, and the cookies that it shows.
fn searched(world: &mut World) -> (u64, Vec<Option<String>>) {
    let _ = world.told(1);
    world.log = Some(Vec::new());
    let began = world.now;
    world.with(1, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    while !world.told(1).iter().any(|told| matches!(told, DhtNotice::Ended { is_partial: false, .. })) {
        world.run_ms(1);
        assert!(world.now.since(began) < Duration::from_millis(200));
    }
    let log = world.log.take().unwrap_or_default();
    let gets = log.iter().filter(|(_, letter)| letter.from == lan(1) && letter.is("q", "get"));
    (u64::try_from(world.now.since(began).as_millis()).unwrap_or(u64::MAX) / 10, gets.map(|(_, get)| text_of(get, "cookie")).collect())
}

// spec-test: DHT-45
#[test]
fn after_a_restart_of_a_server_a_question_with_its_old_cookie_costs_one_more_round_trip() {
    let mut world = World::small(2);
    world.run_secs(20);
    let (before, cookies) = searched(&mut world);
    assert!(cookies.iter().all(|cookie| cookie.is_some() && *cookie == cookies[0]), "{cookies:?}");
    world.restart(0, 0, &[]);
    world.run_ms(100);
    let (after, renewed) = searched(&mut world);
    assert_eq!((after, renewed.len()), (before + 1, cookies.len() + 1));
    assert_eq!((&renewed[0], renewed.iter().filter(|cookie| **cookie == cookies[0]).count()), (&cookies[0], 1));
    assert!(renewed.iter().all(Option::is_some));
}

/// A server that takes no cookie, not even the one that it has just given, is asked twice and not for ever.
// spec-test: DHT-45
#[test]
fn a_server_that_always_gives_a_new_cookie_is_asked_once_more_and_not_again() {
    let mut world = World::small(2);
    world.run_secs(5);
    let id = world.solo(0).view().realms[0].id.clone().unwrap_or_default();
    world.weather = Some(Box::new(move |_, mut letter| {
        if letter.from == lan(0) && letter.text().contains("\"r\":") && !letter.text().contains("\"cookie\"") {
            letter.bytes =
                alloc::format!("{},\"id\":\"{id}\",\"cookie\":\"AAAAAAAAAAA\"}}", letter.text().trim_end_matches('}')).into_bytes();
        }
        vec![letter]
    }));
    world.log = Some(Vec::new());
    world.run_secs(600);
    let sent = world.log.take().unwrap_or_default().iter().filter(|(_, letter)| letter.from == lan(1)).count();
    assert!(sent < 600, "{sent} in ten minutes");
}

/// A node of both families learns of a server's other address from its answer to a cold ping, and nobody else's.
// spec-test: DHT-43
#[test]
fn who_serves_in_both_families_is_met_in_the_other_one_by_who_knows_nobody_there() {
    let mut world = World::new();
    world.add(0, &[wan(0), wan6(0)], &[]);
    world.run_secs(1);
    world.add(1, &[wan(1), wan6(1)], &[wan(0)]);
    world.run_secs(10);
    let view = world.solo(1).view();
    let known: Vec<_> = view.realms.iter().map(|realm| (realm.family, realm.verified)).collect();
    assert_eq!(known, [(4, 1), (6, 1)], "{view:?}");
}

/// So many searches in one moment.
fn flooded(config: Config) -> u64 {
    let mut world = World::new();
    for n in 0..20 {
        world.config = if n == 3 { config.dht_look_ups_max(1_000) } else { Config::test() };
        world.add(n, &[lan(n)], &[lan(0)][..usize::from(n > 0)]);
    }
    world.run_secs(8);
    // Nobody answers any more.
    world.weather = Some(Box::new(|_, _| Vec::new()));
    for n in (0..250_u8).cycle().take(800) {
        let _ = world.with(3, |solo, now| solo.find(now, user(n), &app(), None, &[]));
    }
    let most = world.solo(3).view().requests;
    world.run_secs(60);
    let view = world.solo(3).view();
    assert!(view.requests < 40 && view.look_ups == 0, "{view:?}");
    most
}

// spec-test: DHT-42
#[test]
fn no_more_requests_are_on_their_way_than_512_of_a_server_and_128_of_a_client() {
    assert_eq!(flooded(Config::test()), 512);
    assert_eq!(flooded(Config::test().dht_serve(0)), 128);
}

// spec-test: DHT-5
#[test]
fn an_id_that_cannot_be_at_its_address_is_nobodys() {
    let now = Time::from_secs(1_000);
    for is_fit in [false, true] {
        let mut solo = begin(Config::test(), (50, 0), now, &[wan(50)], &[wan(1)]);
        let ping = take(&mut solo).0.remove(0);
        let mut alone = Alone { solo, now, at: wan(50), drawn: 0 };
        let id = crate::dht::id::node_id(&node_key(1), wan(if is_fit { 1 } else { 2 }), crate::dht::id::Variant::from_low_bits(3))
            .expect("an id");
        let exchange = text_of(&ping, "t").expect("an exchange");
        let reply = alloc::format!("{{\"v\":1,\"t\":\"{exchange}\",\"r\":\"ping\",\"id\":\"{id}\",\"cookie\":\"AAAAAAAAAAA\"}}");
        alone.hear(wan(1), reply.as_bytes());
        assert_eq!((known(&alone), alone.solo.stats().dht_unfit), if is_fit { (1, 0) } else { (0, 1) });
    }
}

// spec-test: DHT-21
#[test]
fn who_does_not_prove_its_key_is_no_leaf() {
    for is_forged in [false, true] {
        let mut world = World::small(2);
        world.weather = Some(Box::new(move |_, mut letter| {
            if is_forged && letter.from == lan(0) && letter.is("r", "hello") {
                let proof = text_of(&letter, "proof").unwrap_or_default();
                letter.bytes = letter.text().replace(&proof, "AAAAAAAAAAAAAAAAAAAAAA").into_bytes();
            }
            vec![letter]
        }));
        world.run_secs(60);
        let view = world.solo(1).view();
        assert_eq!((view.realms[0].verified, view.realms[0].leaves), (1, u64::from(!is_forged)), "{view:?}");
    }
}

/// A reply names as many strangers as it can.
// spec-test: DHT-74
#[test]
fn whoever_is_named_thousands_of_addresses_speaks_to_four_new_ones_a_second_for_its_own_upkeep() {
    let mut world = World::small(3);
    let mut named = 0_u32;
    world.weather = Some(Box::new(move |_, mut letter| {
        if letter.from == lan(0) && (letter.is("r", "find") || letter.is("r", "get")) {
            let text = letter.text().trim_end_matches('}').split(",\"nodes\"").next().map(String::from).unwrap_or_default();
            let nodes: Vec<_> = (0..8)
                .map(|_| {
                    named += 1;
                    let [_, _, a, b] = named.to_be_bytes();
                    alloc::format!("[\"{}\",\"10.9.{a}.{b}:7\"]", to_base64(&[a, b, a, b, a, b, a, b]))
                })
                .collect();
            letter.bytes = alloc::format!("{text},\"nodes\":[{}]}}", nodes.join(",")).into_bytes();
        }
        vec![letter]
    }));
    world.run_secs(600);
    let strangers: alloc::collections::BTreeSet<_> =
        world.outside.iter().filter(|(_, it)| it.from == lan(1)).map(|(_, it)| it.to).collect();
    assert!(!strangers.is_empty() && strangers.len() <= 200, "{}", strangers.len());
    let mut times: BTreeMap<SocketAddr, u32> = BTreeMap::new();
    for (_, letter) in world.outside.iter().filter(|(_, it)| it.from == lan(1)) {
        *times.entry(letter.to).or_default() += 1;
    }
    assert!(times.values().all(|times| *times <= 2), "a request and its repetition");
    // The application wants as much as it may: 96 at once, 16 in the second that follows.
    world.outside.clear();
    for n in 0..64 {
        world.with(1, |solo, now| solo.find(now, user(n), &app(), None, &[])).expect("a search");
    }
    world.run_secs(1);
    let strangers: alloc::collections::BTreeSet<_> =
        world.outside.iter().filter(|(_, it)| it.from == lan(1)).map(|(_, it)| it.to).collect();
    assert!((90..=96 + 16 + 4).contains(&strangers.len()), "{}", strangers.len());
}

// spec-test: DHT-43
#[test]
fn an_address_in_the_other_family_is_asked_only_if_it_is_of_the_same_reach() {
    for other in ["[fd00::1]:7", "[::1]:7", "[2002:2c01:101::1]:7", "[fe80::1]:7", "[64:ff9b::2c01:101]:7", "44.1.1.1:7"] {
        let mut world = World::new();
        world.add(0, &[wan(0)], &[]);
        world.run_secs(1);
        world.weather = Some(Box::new(move |_, mut letter| {
            if letter.from == wan(0) && letter.is("r", "ping") {
                letter.bytes = alloc::format!("{},\"other\":\"{other}\"}}", letter.text().trim_end_matches('}')).into_bytes();
            }
            vec![letter]
        }));
        world.add(1, &[wan(1), wan6(1)], &[wan(0)]);
        world.run_secs(60);
        assert_eq!(world.outside, [], "{other}");
    }
}

// spec-test: DHT-61
#[test]
fn who_asks_for_those_who_are_fair_is_named_none_who_came_by_being_near() {
    let own = Alone::new(Config::test(), lan(50)).ask(lan(9), None, None, &Request::Ping { to: None }).0.and_then(|told| told.id);
    let target = own.expect("a server says its id");
    let own = target.hint();
    // A full bucket whose second half went to who is near: to ports from 100 on.
    let (realm, now) = (Realm::of(lan(9)).expect("private"), Time::from_secs(1_000));
    let mut table = Table::new(realm, own, Shape::SERVER);
    for n in 0..80_u16 {
        let hint = Hint(own.0 ^ (1 << 59) ^ (u64::from(n) << 40));
        let (at, rtt) = (SocketAddr::from(([10, 0, 0, 99], 70 + n)), Rtt::of(Duration::from_millis(if n < 30 { 100 } else { 1 })));
        table.on_answer(&Answered { hint, at, rtt, by_look_up: true, is_dual: None, descent: None }, now);
    }
    let item = Item { key: b"4pt".to_vec(), value: table.store(now, WallTime::from_millis(WALL)) };
    let mut alone = Alone::restored(Config::test(), lan(50), &[item]);
    let mut named = |is_fair| {
        let told = alone.ask(lan(9), None, None, &Request::Find { target, is_fair }).0.expect("an answer");
        let Body::Reply(Reply { nodes, .. }) = read(&told.letter.bytes).expect("a datagram").body else { panic!("{}", told.letter.text()) };
        nodes.iter().map(|node| node.at.port()).collect::<Vec<_>>()
    };
    let (fair, any) = (named(true), named(false));
    assert!(fair.len() == 7 && fair.iter().all(|port| *port < 100), "{fair:?}");
    assert!(any.iter().any(|port| *port >= 100), "{any:?}");
}
