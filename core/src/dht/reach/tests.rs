use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::votes::Votes;
use super::*;
use crate::address::{block, group};
use crate::dht::estimate::Estimate;
use crate::dht::key::{Distance, Hint};
use crate::dht::table::Rtt;
use crate::dht::table::{Answer, Broken, Shape, Table};
use crate::rng::{Rng, Seed};

const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
const GLOBAL6: Realm = Realm { is_v6: true, scope: Scope::Global };
const PRIVATE: Realm = Realm { is_v6: false, scope: Scope::Private };
const LOOPBACK: Realm = Realm { is_v6: false, scope: Scope::Loopback };
const START: Time = Time::from_secs(100_000);
/// Somebody is to be asked for a dial-back.
const PROBE: Outcome = Outcome::Probe { except: None };
const KEY: NodeKey = NodeKey::from_bytes([7; 32]);
const LARGE: Known = Known { groups: 40, blocks: 16 };

fn secs(n: u64) -> Time {
    START + Duration::from_secs(n)
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The `n`th node, each in a block of its own.
fn node(n: u8) -> SocketAddr {
    SocketAddr::from(([30, n, 1, 1], 7))
}

fn rng() -> Rng {
    Rng::from_seed(&Seed::from_bytes([5; 32]))
}

fn reach(realm: Realm) -> Reach {
    Reach::new(realm, Choice::Auto, &mut rng(), START)
}

/// What happens now, but for what is known anew of strangers.
fn all(reach: &mut Reach, now: Time) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = core::iter::from_fn(|| reach.next(now)).take(20).collect();
    assert!(outcomes.len() < 20, "it never ends: {outcomes:?}");
    assert!(reach.due(now).is_none_or(|due| due > now), "nothing is left");
    outcomes.retain(|outcome| !matches!(outcome, Outcome::Fit(_)));
    outcomes
}

/// What happens up to `to`, at its times.
fn run(reach: &mut Reach, from: Time, to: Time) -> Vec<(u64, Outcome)> {
    let mut now = from;
    let mut outcomes = Vec::new();
    loop {
        outcomes.extend(all(reach, now).into_iter().map(|outcome| (now.since(START).as_secs(), outcome)));
        match reach.due(now) {
            Some(due) if due <= to => now = due,
            _ => return outcomes,
        }
    }
}

fn stranger(n: u8) -> Heard {
    Heard { from: node(n), is_known: false }
}

/// Serves at 203.0.113.7:7 in a soft table since the start.
fn serving() -> Reach {
    let mut reach = reach(GLOBAL);
    reach.set_fixed(Some(at("203.0.113.7:7")), START);
    assert_eq!(all(&mut reach, START), [Outcome::Moved, Outcome::BeginServing]);
    reach
}

fn probe(reach: &mut Reach, of: SocketAddr, now: Time) {
    reach.on_sent(of, now);
    reach.on_probe_sent(of);
    reach.on_probe_answer(of, now);
}

// spec-test: DHT-120
#[test]
fn an_id_follows_the_address_with_the_variant_that_was_drawn_once() {
    let mut reach = reach(GLOBAL);
    assert_eq!(reach.id(&KEY), None);
    let mut ids = BTreeSet::new();
    for text in ["203.0.113.7:7", "198.51.100.9:7", "203.0.113.7:9"] {
        reach.set_fixed(Some(at(text)), START);
        let id = reach.id(&KEY).expect("it knows where it is");
        assert_eq!(Some(id), id::node_id(&KEY, at(text), reach.variant));
        ids.insert(id);
    }
    assert_eq!(ids.len(), 2, "the port plays no part");
    let mut drawn = BTreeSet::new();
    for n in 0..100 {
        drawn.insert(Reach::new(GLOBAL, Choice::Auto, &mut rng().fork("realm", n), START).variant);
    }
    assert_eq!(drawn.len(), 8);
    for realm in [PRIVATE, LOOPBACK, Realm { is_v6: true, scope: Scope::Private }, Realm { is_v6: true, scope: Scope::Loopback }] {
        assert!(Realm::of(nominal(realm)) == Some(realm) && self::reach(realm).id(&KEY).is_some());
    }
}

// spec-test: DHT-121
#[test]
fn a_fixed_address_is_known_at_once_and_nobody_votes_it_away() {
    let mut reach = reach(GLOBAL);
    for foreign in ["10.0.0.1:7", "[2001:db8::1]:7", "127.0.0.1:7", "203.0.113.7:0"] {
        reach.set_fixed(Some(at(foreign)), START);
        assert_eq!(reach.address(), None, "{foreign}");
    }
    reach.set_fixed(Some(at("203.0.113.7:7")), START);
    for n in 0..100 {
        reach.on_reply(node(n), Some(at("198.51.100.66:6")), START);
    }
    assert_eq!(reach.address(), Some(at("203.0.113.7:7")));
    let mut private = self::reach(PRIVATE);
    private.on_reply(at("10.0.0.9:7"), Some(at("10.0.0.66:6")), START);
    assert_eq!((private.address(), private.is_located()), (None, true), "where none is needed nobody votes");
    assert_eq!(all(&mut private, START), [Outcome::BeginServing]);
}

// spec-test: DHT-122
#[test]
fn liars_of_one_block_cannot_move_a_node_with_a_hard_table() {
    let mut reach = reach(GLOBAL);
    reach.set_known(LARGE, START);
    let honest = at("203.0.113.7:7");
    let lie = at("198.51.100.66:6");
    for n in 0..=255 {
        reach.on_reply(SocketAddr::from(([40, 9, n, 1], 7)), Some(lie), START);
    }
    assert_eq!(reach.address(), None, "one block is one vote");
    for n in 0..4 {
        assert_eq!(reach.address(), None);
        reach.on_reply(node(n), Some(honest), secs(n.into()));
    }
    assert_eq!(reach.address(), Some(honest), "four of five");
    for second in 0..500 {
        let last = u8::try_from(second % 256).unwrap_or_default();
        reach.on_reply(SocketAddr::from(([40, 9, last, 1], 7)), Some(lie), secs(4 + second));
        assert_eq!(reach.address(), Some(honest));
    }
    let mut now = secs(3_600);
    for n in 0..255 {
        now = now + Duration::from_secs(60);
        reach.on_reply(SocketAddr::from(([40, 9, n, 1], 7)), Some(lie), now);
    }
    assert_eq!(reach.address(), Some(honest), "nor after all others are forgotten");
}

// spec-test: DHT-122
#[test]
fn in_a_hard_table_what_has_won_surely_gives_way_to_what_does_alone_and_nothing_else_is_told() {
    let (home, lie) = (at("203.0.113.7:7"), at("198.51.100.66:6"));
    let mut reach = reach(GLOBAL);
    reach.set_known(Known { groups: 40, blocks: 16 }, START);
    let mut all_said = |count: core::ops::Range<u8>, seen: SocketAddr, at: u64| {
        let said = count.map(|n| {
            reach.on_reply(node(n), Some(seen), secs(at));
            reach.on_request(stranger(n), secs(at));
            all(&mut reach, secs(at));
            (reach.address() == Some(seen), reach.is_fit())
        });
        said.collect::<Vec<_>>()
    };
    let not_sure = [(false, false), (false, false), (false, false), (true, false), (true, false), (true, false), (true, false)];
    assert_eq!(all_said(0..7, home, 0), not_sure);
    assert_eq!(all_said(0..7, lie, 1), not_sure, "as long as nothing is sure half of the votes move it");
    assert_eq!(all_said(0..7, home, 2), [(false, false); 7], "once in a minute");
    assert_eq!(all_said(7..8, home, 2), [(true, true)], "eight of eight are sure, and need not wait");
    // From now on it takes fourteen of sixteen.
    assert_eq!(all_said(20..33, lie, 3).last(), Some(&(false, true)));
    assert_eq!(all_said(33..34, lie, 3), [(true, true)]);
    assert_eq!(all_said(40..44, home, 700).last(), Some(&(false, true)), "ten minutes later four of four are too few");
}

/// It knows nobody for sure, then one node, and then the others.
// spec-test: DHT-122
#[test]
fn who_comes_back_to_a_large_network_tells_nothing_on_the_word_of_the_first_who_answers() {
    let (home, lie) = (at("203.0.113.7:7"), at("198.51.100.66:6"));
    for blocks in [0, 1] {
        let mut reach = reach(GLOBAL);
        reach.set_known(Known { groups: 64, blocks: 16 }, START);
        reach.set_known(Known { groups: blocks, blocks }, START);
        reach.on_reply(node(1), Some(lie), START);
        reach.on_request(stranger(9), START);
        assert_eq!((reach.address(), reach.is_fit()), (Some(lie), false));
        reach.set_known(Known { groups: 40, blocks: 16 }, secs(1));
        for n in 2..11 {
            reach.on_reply(node(n), Some(home), secs(1));
            reach.on_request(stranger(100 + n), secs(1));
        }
        assert_eq!((reach.address(), reach.is_fit()), (Some(home), true), "{blocks}");
    }
    // If no more are to be found, they are enough after ten minutes; one more who lies of four is none.
    let mut reach = reach(GLOBAL);
    reach.set_known(Known { groups: 64, blocks: 16 }, START);
    reach.set_known(Known { groups: 5, blocks: 4 }, START);
    for (second, is_fit) in [(0, false), (599, false), (600, true)] {
        for (n, seen) in [(1, lie), (2, home), (3, home), (4, home)] {
            reach.on_reply(node(n), Some(seen), secs(second));
        }
        reach.on_request(stranger(9), secs(second));
        assert_eq!((reach.address(), reach.is_fit()), (Some(home), is_fit), "{second}");
    }
}

// spec-test: DHT-122
#[test]
fn two_liars_move_a_node_ever_less_often() {
    let mut reach = reach(GLOBAL);
    let lies = [at("203.0.113.7:7"), at("198.51.100.66:6")];
    let mut moves = Vec::new();
    for second in 0..7_200 {
        let lie = lies[second as usize % 2];
        let now = secs(second);
        for liar in [node(1), node(2)] {
            reach.on_reply(liar, Some(lie), now);
            let moved = all(&mut reach, now).into_iter().filter(|outcome| *outcome == Outcome::Moved).map(|_| second);
            moves.extend(moved);
        }
    }
    // Held for 60, 120, 240, 480 and then always 960 s, and until they agree.
    assert!(moves.len() <= 13, "{moves:?}");
    assert_eq!(moves.get(..3), Some([0, 1, 62].as_slice()));
    assert!(moves.windows(2).skip(5).all(|pair| pair[1] - pair[0] >= 960), "{moves:?}");
}

// spec-test: DHT-122
#[test]
fn who_is_held_moves_when_the_time_has_come_though_nobody_says_it_again() {
    let (old, new) = (at("203.0.113.7:7"), at("198.51.100.66:6"));
    let mut reach = reach(GLOBAL);
    reach.on_reply(node(1), Some(at("192.0.2.1:7")), START);
    reach.on_reply(node(1), Some(old), START);
    assert_eq!(reach.address(), Some(old), "the first word is corrected at once");
    reach.on_reply(node(1), Some(new), secs(10));
    reach.on_reply(node(2), Some(new), secs(10));
    assert_eq!(reach.address(), Some(old));
    all(&mut reach, secs(10));
    assert_eq!(reach.due(secs(10)), Some(secs(60)));
    all(&mut reach, secs(60));
    assert_eq!(reach.address(), Some(new));
    // An hour later than it might have moved it is as if it never had.
    for (from, to) in [(secs(60 + 120 + 3_600), old), (secs(60 + 120 + 3_600 + 60), new)] {
        reach.on_reply(node(1), Some(to), from);
        assert_eq!(reach.address(), Some(to));
    }
}

// spec-test: DHT-122
#[test]
fn votes_win_by_two_thirds_or_where_many_are_known_by_half_and_surely_by_half_as_many_more_as_there_are_blocks() {
    let (home, lie) = (at("203.0.113.7:7"), at("198.51.100.66:6"));
    let won = |honest: u8, liars: u8, mode: Mode, blocks: usize| {
        let mut votes = Votes::default();
        for n in 0..honest {
            assert!(votes.put(node(n), home, GLOBAL, START));
        }
        for n in 0..liars {
            assert!(votes.put(node(100 + n), lie, GLOBAL, START));
        }
        votes
            .leader(START)
            .filter(|leader| leader.at == home)
            .map(|leader| (leader.has_won(mode, blocks), leader.is_sure(blocks), leader.is_surer(blocks)))
    };
    let has_won = |honest, liars, mode, blocks| won(honest, liars, mode, blocks).is_some_and(|(has_won, ..)| has_won);
    let is_sure = |honest, liars, blocks| won(honest, liars, Mode::Hard, blocks).is_some_and(|(_, is_sure, _)| is_sure);
    let is_surer = |honest, liars, blocks| won(honest, liars, Mode::Hard, blocks).is_some_and(|(.., is_surer)| is_surer);
    assert_eq!([(1, 0), (1, 1), (2, 1), (3, 2)].map(|(of, liars)| has_won(of, liars, Mode::Soft, 0)), [true, false, true, false]);
    assert_eq!([(3, 0), (4, 0), (4, 3), (4, 4)].map(|(of, liars)| has_won(of, liars, Mode::Hard, 16)), [false, true, true, false]);
    assert_eq!([(1, 0), (2, 0), (2, 1)].map(|(of, liars)| has_won(of, liars, Mode::Hard, 2)), [false, true, true]);
    assert_eq!([(2, 0), (2, 1), (3, 1)].map(|(of, liars)| has_won(of, liars, Mode::Hard, 4)), [false, false, true]);
    assert_eq!([(7, 0), (8, 0), (9, 2), (10, 2), (12, 4)].map(|(of, liars)| is_sure(of, liars, 16)), [false, true, false, true, true]);
    assert_eq!([(11, 0), (12, 0), (13, 3), (14, 2)].map(|(of, liars)| is_surer(of, liars, 16)), [false, true, false, true]);
    // Where few are known one block in four may lie of where a node is, and one in eight before it moves.
    assert_eq!(
        [(5, 2), (6, 2), (7, 1)].map(|(of, liars)| (is_sure(of, liars, 8), is_surer(of, liars, 8))),
        [(false, false), (true, false), (true, true)]
    );
    assert_eq!([(2, 0), (2, 1), (3, 0), (3, 1)].map(|(of, liars)| is_sure(of, liars, 3)), [false, false, true, false]);
    assert_eq!([is_sure(0, 0, 0), is_sure(1, 0, 0)], [false, true]);
    let mut votes = Votes::default();
    assert!(votes.put(node(1), home, GLOBAL, START));
    assert_eq!(votes.leader(secs(599)).map(|leader| leader.at), Some(home));
    assert_eq!(votes.leader(secs(600)), None, "ten minutes");
    for (from, seen) in [
        ("30.1.1.1:7", "10.0.0.1:7"),
        ("30.1.1.1:7", "[2001:db8::1]:7"),
        ("10.0.0.9:7", "203.0.113.7:7"),
        ("30.1.1.1:7", "203.0.113.7:0"),
        ("[2001:db8::1]:7", "203.0.113.7:7"),
    ] {
        assert!(!Votes::default().put(at(from), at(seen), GLOBAL, START), "{from} {seen}");
    }
    for (from, seen) in [("[2002:1e01:101::1]:7", "[2001:db8::1]:7"), ("[2001:db8::1]:7", "[2002:1e01:101::1]:7")] {
        assert!(!Votes::default().put(at(from), at(seen), GLOBAL6, START), "{from} {seen}");
    }
    assert!(!Votes::default().put(at("[2001:db8:7::1]:7"), at("[::ffff:203.0.113.7]:7"), GLOBAL6, START));
    assert!(Votes::default().put(at("[2001:db8:7::1]:7"), at("[2001:db8:9::1]:7"), GLOBAL6, START));
}

// spec-test: DHT-122
#[test]
fn ports_may_differ_and_the_newest_majority_has_it() {
    let mut reach = reach(GLOBAL);
    for (n, port) in [(1, 1_000), (2, 2_000), (3, 2_000), (4, 3_000)] {
        reach.on_reply(node(n), Some(SocketAddr::from(([203, 0, 113, 7], port))), secs(n.into()));
    }
    assert_eq!(reach.address(), Some(at("203.0.113.7:2000")));
    for n in 5..7 {
        reach.on_reply(node(n), Some(at("203.0.113.7:4000")), secs(n.into()));
    }
    assert_eq!(reach.address(), Some(at("203.0.113.7:4000")), "2000, 3000, 4000, 4000");
    let ended = all(&mut reach, secs(9));
    assert_eq!(ended, [Outcome::Moved, Outcome::BeginServing], "one move is told, and none ends the service");
    reach.on_reply(node(9), Some(at("203.0.113.7:4001")), secs(9));
    assert!(reach.serves());
}

// spec-test: DHT-54
#[test]
fn what_a_table_knows_is_counted_by_group_and_block_and_64_groups_are_never_forgotten() {
    let mut table = Table::new(GLOBAL, Hint(0), Shape::SERVER);
    for n in 0..12 {
        let at = SocketAddr::from(([20, 1 + n / 6, n, 1], 7));
        let hint = id::node_id(&KEY, at, Variant::from_low_bits(n)).map_or(Hint(1), |id| id.hint());
        table.on_answer(&Answer { hint, at, rtt: Rtt::UNKNOWN, by_look_up: true, is_dual: None, descent: None }, START);
    }
    assert_eq!(Known::of(&table), Known { groups: 12, blocks: 2 });
    let mut reach = reach(GLOBAL);
    for (groups, mode) in [(15, Mode::Soft), (16, Mode::Hard), (63, Mode::Hard), (3, Mode::Soft), (64, Mode::Hard), (3, Mode::Hard)] {
        reach.set_known(Known { groups, blocks: 4 }, START);
        assert_eq!(reach.mode(), mode, "{groups}");
    }
    let mut private = self::reach(PRIVATE);
    private.set_known(Known { groups: 64, blocks: 4 }, START);
    assert_eq!(private.mode(), Mode::Soft);
}

// spec-test: DHT-123
#[test]
fn nobody_who_was_sent_something_within_ten_minutes_is_a_stranger() {
    let mut contacted = Contacted::<ASKED>::new([1, 2]);
    assert!(contacted.heap_bytes() == 0);
    let mut rng = rng();
    let mut sent: Vec<(SocketAddr, Time)> = Vec::new();
    for n in 0..2_000_u32 {
        let now = START + Duration::from_secs(u64::from(n) * 3);
        let to = SocketAddr::from(([20, 1, u8::try_from(n / 256).unwrap_or_default(), u8::try_from(n % 256).unwrap_or_default()], 7));
        contacted.put(to, GLOBAL, now);
        sent.push((to, now));
        let drawn = usize::try_from(rng.below(u64::from(n) + 1)).unwrap_or_default();
        let (to, when) = sent[drawn];
        if now.since(when) <= Duration::from_secs(600) {
            assert!(!contacted.is_stranger(to, GLOBAL, now), "{}", now.since(when).as_secs());
        } else if now.since(when) > Duration::from_secs(1_200) {
            sent[drawn] = (to, now);
            contacted.put(to, GLOBAL, now);
        }
    }
    let now = START + Duration::from_secs(6_000);
    let strangers = (0..=255).filter(|n| contacted.is_stranger(SocketAddr::from(([60, *n, 1, 1], 7)), GLOBAL, now)).count();
    assert!(strangers > 200, "{strangers}");
    assert!(contacted.is_stranger(sent[1_999].0, GLOBAL, now + Duration::from_secs(1_200)), "after twenty all are");
    // An ip where these are scarce, else an endpoint.
    let mut contacted = Contacted::<ASKED>::new([1, 2]);
    contacted.put(at("203.0.113.7:7"), GLOBAL, START);
    contacted.put(at("127.0.0.1:7"), LOOPBACK, START);
    assert!(!contacted.is_stranger(at("203.0.113.7:8"), GLOBAL, START) && contacted.is_stranger(at("127.0.0.1:8"), LOOPBACK, START));
}

// spec-test: DHT-123
#[test]
fn whoever_has_a_node_ask_as_many_as_it_may_does_not_pass_for_everybody() {
    let mut contacted = Contacted::<ASKED>::new([1, 2]);
    let of_net = |net: u8, n: u32| SocketAddr::from(([net, 0, n.to_be_bytes()[2], n.to_be_bytes()[3]], 7));
    let of_one_64 =
        |n: u32| SocketAddr::from((Ipv6Addr::new(0x2A00, 1, 1, 1, 0, 0, n.to_be_bytes()[2].into(), n.to_be_bytes()[3].into()), 7));
    // Four a second for twenty minutes, of each kind a half.
    for n in 0..4_800_u32 {
        let now = START + Duration::from_millis(u64::from(n) * 250);
        let (to, realm) = if n % 2 == 0 { (of_net(20, n), GLOBAL) } else { (of_one_64(n), GLOBAL6) };
        contacted.put(to, realm, now);
    }
    let now = START + Duration::from_millis(4_799 * 250);
    let known = (0..1_000).filter(|n| !contacted.is_stranger(of_net(60, *n), GLOBAL, now)).count();
    assert!(known < 150, "{known} of 1,000");
    assert!(contacted.is_known(of_net(20, 4_000), GLOBAL, now), "who was sent something costs no budget");
    // Sixteen a second are too many to tell, and then nobody is spared.
    for n in 0..9_600 {
        contacted.put(of_net(21, n), GLOBAL, now);
    }
    assert!(!contacted.is_stranger(of_net(21, 1), GLOBAL, now) && !contacted.is_known(of_net(21, 1), GLOBAL, now));
    let later = now + Duration::from_secs(1_200);
    contacted.put(of_net(21, 1), GLOBAL, later);
    assert!(contacted.is_known(of_net(21, 1), GLOBAL, later));
}

// spec-test: DHT-124
#[test]
fn a_node_that_does_not_know_its_address_pings_whoever_finds_it() {
    let mut reach = reach(GLOBAL);
    reach.on_sent(node(1), START);
    assert!(!reach.on_request(stranger(1), START), "it may have answered only");
    assert!(reach.on_request(stranger(2), START));
    reach.on_sent(node(2), START);
    assert!(!reach.on_request(stranger(2), START), "once");
    reach.on_reply(node(2), Some(at("203.0.113.7:7")), START);
    assert_eq!(all(&mut reach, START), [Outcome::Moved, Outcome::BeginServing]);
    assert!(reach.on_request(stranger(3), START), "who says so may lie");
    reach.set_known(Known { groups: 1, blocks: 1 }, START);
    assert!(!reach.on_request(stranger(3), START), "it knows");
    assert!(!self::reach(PRIVATE).on_request(Heard { from: at("10.0.0.1:7"), is_known: false }, START));
    assert!(!self::reach(GLOBAL).on_request(Heard { from: at("10.0.0.1:7"), is_known: false }, START), "of another realm");
}

// spec-test: DHT-125
#[test]
fn a_soft_start_waits_for_the_first_look_up_if_there_is_anybody_to_ask() {
    let start = |entries: bool| {
        let mut reach = reach(GLOBAL);
        reach.set_entries(entries);
        reach.set_fixed(Some(at("203.0.113.7:7")), START);
        assert_eq!(reach.next(START), Some(Outcome::Moved));
        reach
    };
    assert_eq!(all(&mut start(false), START), [Outcome::BeginServing]);
    let mut waits = start(true);
    assert_eq!(run(&mut waits, START, secs(60)), [(5, Outcome::BeginServing)], "nobody is there");
    let mut waits = start(true);
    waits.on_reply(node(1), None, secs(1));
    assert_eq!(run(&mut waits, secs(1), secs(60)), []);
    waits.on_look_up_ended();
    assert_eq!(all(&mut waits, secs(61)), [Outcome::BeginServing]);
    let mut lost = reach(GLOBAL);
    lost.on_look_up_ended();
    assert_eq!(run(&mut lost, START, secs(3_600)), [], "not without an address");
}

// spec-test: DHT-126
#[test]
fn a_hard_start_waits_for_ten_minutes_and_a_dial_back() {
    let start = || {
        let mut reach = reach(GLOBAL);
        reach.set_known(LARGE, START);
        reach.set_fixed(Some(at("203.0.113.7:7")), START);
        reach.on_look_up_ended();
        assert_eq!(all(&mut reach, START), [Outcome::Moved, Outcome::Mode(Mode::Hard)]);
        reach
    };
    let mut early = start();
    early.on_request(stranger(1), secs(30));
    assert_eq!(run(&mut early, secs(30), secs(1_000)), [(600, Outcome::BeginServing)]);
    let mut late = start();
    let outcomes = run(&mut late, START, secs(600));
    assert_eq!(outcomes, [(600, Outcome::Probe { except: None })], "it asks for what it lacks");
    probe(&mut late, node(1), secs(601));
    late.on_request(Heard { from: node(1), is_known: true }, secs(602));
    assert_eq!(all(&mut late, secs(602)), [], "whom it asked, it had sent something");
    late.on_request(stranger(2), secs(603));
    assert_eq!(all(&mut late, secs(603)), [Outcome::BeginServing]);
    let mut never = start();
    let probes = run(&mut never, START, secs(7_200)).len();
    assert!((58..=68).contains(&probes) && !never.serves(), "four each five minutes: {probes}");
}

// spec-test: DHT-129
#[test]
fn who_does_not_serve_yet_asks_on_when_somebody_known_knocks() {
    let mut late = reach(GLOBAL);
    late.set_known(LARGE, START);
    late.set_fixed(Some(at("203.0.113.7:7")), START);
    late.on_look_up_ended();
    late.on_sent(node(2), START);
    let mut asked = Vec::new();
    for second in 0..1_100 {
        let now = secs(second);
        late.on_sent(node(2), now);
        for outcome in all(&mut late, now) {
            if let Outcome::Probe { except } = outcome {
                asked.push(second);
                assert_eq!(except, None, "nobody has failed");
                probe(&mut late, node(1), now);
                late.on_request(Heard { from: node(2), is_known: true }, now);
            }
        }
    }
    assert_eq!(asked, [600, 630, 660, 690, 1_020, 1_050, 1_080], "four, and again after five minutes");
    assert!(!late.serves() && !late.dial_back.is_proven());
}

// spec-test: DHT-127
#[test]
fn whoever_served_serves_again_where_it_was_and_nowhere_else() {
    let mut before = serving();
    before.set_known(Known { groups: 64, blocks: 4 }, START);
    let stored = before.store(&Estimate::default());
    let start = || {
        let mut reach = Reach::new(GLOBAL, Choice::Auto, &mut rng().fork("next", 1), START);
        reach.set_entries(true);
        assert!(reach.restore(&stored, START).is_ok());
        assert_eq!(all(&mut reach, START), [Outcome::Mode(Mode::Hard)], "what was held stays");
        assert_eq!(reach.variant, before.variant);
        reach
    };
    let mut voted = start();
    voted.on_reply(node(1), Some(at("203.0.113.7:99")), secs(1));
    assert_eq!(all(&mut voted, secs(1)), [Outcome::Moved, Outcome::BeginServing]);
    assert_eq!(run(&mut voted, secs(1), secs(61)), [(61, PROBE)], "a dial-back is wanted, but not of all at once");
    let mut fixed = start();
    fixed.set_fixed(Some(at("203.0.113.7:7")), START);
    assert_eq!(all(&mut fixed, START), [Outcome::Moved, Outcome::BeginServing]);
    let mut moved = start();
    moved.set_known(LARGE, START);
    moved.on_reply(node(1), Some(at("198.51.100.9:7")), secs(1));
    for n in 2..9 {
        moved.on_reply(node(n), Some(at("203.0.113.7:7")), secs(n.into()));
    }
    let told = run(&mut moved, secs(1), secs(9_999));
    assert!(!told.iter().any(|(_, outcome)| *outcome == Outcome::BeginServing) && !moved.serves(), "only the first word counts");
    // Stored again before it was sure: it is still so the next time.
    assert_eq!(start().store(&Estimate::default()), stored);
    let mut private = reach(PRIVATE);
    assert_eq!(all(&mut private, START), [Outcome::BeginServing]);
    let mut again = reach(PRIVATE);
    again.set_entries(true);
    assert!(again.restore(&private.store(&Estimate::default()), START).is_ok());
    assert_eq!(all(&mut again, START), [Outcome::BeginServing]);
}

// spec-test: DHT-127
#[test]
fn a_network_in_which_everybody_restarts_serves_again_as_soon_as_anybody_answers() {
    let here = |n: u8| SocketAddr::from(([50, n, 1, 1], 7));
    let stored: Vec<Vec<u8>> = (0..50)
        .map(|n| {
            let mut node = reach(GLOBAL);
            node.on_reply(self::node(n), Some(here(n)), START);
            assert_eq!(all(&mut node, START), [Outcome::Moved, Outcome::BeginServing]);
            node.set_known(Known { groups: 64, blocks: 4 }, START);
            node.store(&Estimate::default())
        })
        .collect();
    let mut nodes: Vec<Reach> = stored
        .iter()
        .map(|bytes| {
            let mut node = reach(GLOBAL);
            node.set_entries(true);
            assert!(node.restore(bytes, START).is_ok());
            node
        })
        .collect();
    assert!(nodes.iter().all(|node| !node.serves()));
    // Nobody serves, and yet each answers its neighbour's ping, and says where it came from.
    for n in 0..50_u8 {
        let node = &mut nodes[usize::from(n)];
        node.on_reply(here((n + 1) % 50), Some(here(n)), secs(1));
        assert_eq!(all(node, secs(1)), [Outcome::Moved, Outcome::Mode(Mode::Hard), Outcome::BeginServing]);
    }
}

// spec-test: DHT-128
#[test]
fn a_flash_crowd_ends_nobodys_service() {
    let mut reach = serving();
    for groups in (0..=64).chain((0..64).rev()).chain(0..=64) {
        let now = secs(u64::try_from(groups).unwrap_or_default());
        reach.set_known(Known { groups, blocks: groups.min(4) }, now);
        let outcomes = all(&mut reach, now);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Mode(_) | Outcome::Probe { .. })), "{outcomes:?}");
        assert!(reach.serves());
    }
}

// spec-test: DHT-128
#[test]
fn service_ends_by_choice_by_new_sockets_and_at_another_ip() {
    let mut never = serving();
    never.set_choice(Choice::Never, secs(1));
    assert!(!never.serves());
    assert_eq!(all(&mut never, secs(1)), [Outcome::EndServing(Ended::Never)]);
    never.on_request(stranger(1), secs(2));
    assert_eq!(run(&mut never, secs(2), secs(9_999)), []);
    never.set_choice(Choice::Auto, secs(9_999));
    assert_eq!(all(&mut never, secs(9_999)), [Outcome::BeginServing]);

    let mut rebound = serving();
    rebound.set_known(LARGE, START);
    assert_eq!(all(&mut rebound, START), [Outcome::Mode(Mode::Hard), PROBE]);
    rebound.on_rebound(secs(1));
    assert_eq!(all(&mut rebound, secs(1)), [Outcome::Moved, Outcome::EndServing(Ended::Rebound)]);
    rebound.on_reply(node(1), Some(at("203.0.113.7:9")), secs(2));
    assert_eq!(all(&mut rebound, secs(2)), [Outcome::Moved, Outcome::BeginServing], "still there");

    let mut moved = serving();
    moved.set_known(LARGE, START);
    moved.set_fixed(Some(at("198.51.100.9:7")), secs(1));
    let outcomes = all(&mut moved, secs(1));
    assert_eq!(outcomes.get(..3), Some(&[Outcome::Moved, Outcome::Mode(Mode::Hard), Outcome::EndServing(Ended::Moved)][..]));
    assert!(!moved.serves() && !moved.dial_back.is_proven());
}

/// Runs a node for three hours as one that asks `servers` in turn; `knocked` tells what then comes in.
fn asked(reach: &mut Reach, servers: &[SocketAddr], mut knocked: impl FnMut(&mut Reach, SocketAddr, Time)) -> Vec<(u64, Outcome)> {
    let mut now = secs(1);
    let mut told = Vec::new();
    let mut turn = 0;
    while now <= secs(3 * 3_600) {
        while let Some(outcome) = reach.next(now) {
            told.push((now.since(START).as_secs(), outcome));
            if let Outcome::Probe { except } = outcome
                && let Some(of) = (0..servers.len())
                    .map(|n| servers[(turn + n) % servers.len()])
                    .find(|of| except.is_none_or(|except| group(except) != group(*of)))
            {
                turn += 1;
                probe(reach, of, now);
                knocked(reach, of, now + Duration::from_millis(50));
            }
        }
        now = reach.due(now).unwrap_or(Time::MAX).max(now + Duration::from_millis(1));
    }
    told
}

// spec-test: DHT-129
#[test]
fn who_is_reached_by_nobody_resigns_after_two_servers_of_different_groups_have_tried() {
    let mut closed = serving();
    let told = asked(&mut closed, &[node(1), node(2)], |_, _, _| {});
    let [
        (1_800, Outcome::Probe { except: None }),
        (1_805, Outcome::Probe { except: Some(first) }),
        (1_810, Outcome::EndServing(Ended::Unreachable)),
        rest @ ..,
    ] = told.as_slice()
    else {
        panic!("{told:?}")
    };
    assert_eq!(*first, node(1));
    assert!(rest.iter().all(|(_, outcome)| matches!(outcome, Outcome::Probe { .. })), "{rest:?}");
    closed.on_look_up_ended();
    assert_eq!(all(&mut closed, secs(10_801)), [], "nor does it begin again");
    closed.on_request(stranger(9), secs(10_802));
    assert_eq!(all(&mut closed, secs(10_802)), [Outcome::BeginServing], "before somebody dials back");
    // Two of one group are one.
    let mut open = serving();
    for (n, of) in [(1_800, "30.1.1.1:7"), (1_805, "30.1.1.2:7"), (1_810, "30.1.1.3:7")] {
        assert!(all(&mut open, secs(n)).iter().all(|outcome| matches!(outcome, Outcome::Probe { .. })));
        probe(&mut open, at(of), secs(n));
    }
    assert!(open.serves() && all(&mut open, secs(1_815)) == [Outcome::Probe { except: Some(at("30.1.1.3:7")) }]);
    // A server that says it has nobody to send says nothing.
    let mut open = serving();
    let told = run(&mut open, START, secs(3 * 3_600));
    assert!(open.serves() && told.len() <= 24 && told.iter().all(|(_, outcome)| *outcome == Outcome::Probe { except: None }), "{told:?}");
}

// spec-test: DHT-129
#[test]
fn who_began_in_a_soft_table_asks_at_once_for_what_a_hard_one_wants() {
    let mut reach = serving();
    assert_eq!(run(&mut reach, START, secs(60)), []);
    reach.set_known(LARGE, secs(60));
    // Nobody has anybody to send.
    let told = run(&mut reach, secs(60), secs(1_300));
    let asked: Vec<u64> = told.into_iter().filter(|(_, told)| *told == PROBE).map(|(at, _)| at).collect();
    assert_eq!(asked, [60, 90, 120, 150, 480, 510, 540, 570, 900, 930, 960, 990], "four, and again after five minutes");
    // Who comes was sent something: a server need not resign for that, but is not proven.
    let mut reach = serving();
    reach.set_known(LARGE, secs(60));
    reach.on_sent(node(7), secs(59));
    assert_eq!(all(&mut reach, secs(60)), [Outcome::Mode(Mode::Hard), PROBE]);
    let mut asked = Vec::new();
    for n in 0..8 {
        let now = secs(60 + n / 4 * 301);
        probe(&mut reach, node(1), now);
        reach.on_request(Heard { from: node(7), is_known: true }, now + Duration::from_secs(1));
        let until = if n % 4 == 3 { 301 } else { 1 };
        asked.extend(run(&mut reach, now + Duration::from_secs(1), now + Duration::from_secs(until)));
    }
    assert!(reach.serves() && !reach.dial_back.is_proven());
    assert_eq!(asked, [61, 61, 61, 361, 362, 362, 362, 662].map(|second| (second, PROBE)));
    // A stranger has come.
    reach.on_request(stranger(9), secs(663));
    assert_eq!(run(&mut reach, secs(663), secs(2_463)), [(2_463, PROBE)]);
    // Where nobody gets through, the device is no server of a hard table.
    let mut closed = serving();
    closed.set_known(LARGE, START);
    for (second, of) in [(0, node(1)), (5, node(2))] {
        assert!(matches!(all(&mut closed, secs(second)).as_slice(), [.., Outcome::Probe { .. }]));
        probe(&mut closed, of, secs(second));
    }
    assert_eq!(all(&mut closed, secs(10)), [Outcome::EndServing(Ended::Unreachable)]);
}

// spec-test: DHT-129
#[test]
fn that_a_stranger_came_and_that_nobody_comes_any_more_is_told_once() {
    let mut reach = serving();
    reach.set_known(LARGE, secs(1));
    let hard = [reach.next(secs(1)), reach.next(secs(1))];
    assert_eq!(hard, [Outcome::Mode(Mode::Hard), Outcome::Fit(false)].map(Some));
    reach.on_request(stranger(1), secs(1));
    reach.on_request(stranger(2), secs(1));
    assert_eq!(reach.due(secs(1)), Some(secs(1)));
    assert_eq!([reach.next(secs(1)), reach.next(secs(1))], [Some(Outcome::Fit(true)), None]);
    for (second, of) in [(1_801, node(1)), (1_806, node(2))] {
        assert!(matches!(reach.next(secs(second)), Some(Outcome::Probe { .. })));
        probe(&mut reach, of, secs(second));
    }
    let told: Vec<Outcome> = core::iter::from_fn(|| reach.next(secs(1_811))).collect();
    assert_eq!(told, [Outcome::Fit(false), Outcome::EndServing(Ended::Unreachable)]);
}

// spec-test: DHT-129
#[test]
fn whom_strangers_find_is_never_asked_for() {
    let mut reach = serving();
    let mut told = Vec::new();
    for n in 0..200 {
        let now = secs(n * 1_700);
        told.extend(run(&mut reach, now, now + Duration::from_secs(1_699)));
        reach.on_request(
            Heard { from: SocketAddr::from(([60, u8::try_from(n).unwrap_or_default(), 1, 1], 7)), is_known: false },
            now + Duration::from_secs(1_700),
        );
    }
    assert_eq!(told, []);
}

// spec-test: DHT-129
#[test]
fn sixteen_leaves_that_ping_each_other_keep_their_roles() {
    let leaves: Vec<SocketAddr> = (0..16).map(|n| SocketAddr::from(([50, n, 1, 1], 7))).collect();
    let mut reach = serving();
    for minute in 0..180_u64 {
        let from = secs(minute * 60 + 1);
        for leaf in &leaves {
            reach.on_sent(*leaf, from);
            assert!(!reach.on_request(Heard { from: *leaf, is_known: true }, from));
        }
        for second in 1..60 {
            let now = from + Duration::from_secs(second);
            for outcome in all(&mut reach, now) {
                assert!(matches!(outcome, Outcome::Probe { .. }), "{outcome:?}");
                probe(&mut reach, leaves[usize::try_from(minute % 16).unwrap_or_default()], now);
                // Whom it sent to knock is a leaf as well.
                reach.on_request(Heard { from: leaves[usize::try_from((minute + 1) % 16).unwrap_or_default()], is_known: true }, now);
            }
        }
    }
    assert!(reach.serves() && !reach.dial_back.is_proven());
}

// spec-test: DHT-129
#[test]
fn forged_requests_neither_end_a_role_nor_keep_one_behind_a_gateway() {
    // Behind a gateway that lets in only who was sent something, a forger has the names of those alone.
    let mut closed = serving();
    closed.on_sent(node(7), START);
    let told = asked(&mut closed, &[node(1), node(2)], |reach, of, now| {
        reach.on_sent(node(7), now);
        for from in [of, node(7)] {
            reach.on_request(Heard { from, is_known: from == of }, now);
        }
    });
    assert!(told.iter().any(|(_, outcome)| *outcome == Outcome::EndServing(Ended::Unreachable)), "{told:?}");
    // In the open nothing that comes unasked ends a role.
    let mut open = serving();
    let mut rng = rng();
    for second in 0..20_000 {
        let [a, b, c, d] = rng.array();
        let is_known = a & 1 == 0;
        open.on_request(Heard { from: SocketAddr::from(([a, b, c, d], 7)), is_known }, secs(second));
        for outcome in all(&mut open, secs(second)) {
            assert!(matches!(outcome, Outcome::Probe { .. }), "{outcome:?}");
        }
    }
    assert!(open.serves());
    // An answer that was not asked for, or of somebody else, opens no window.
    open.on_probe_answer(node(1), secs(20_000));
    open.on_probe_sent(node(1));
    open.on_probe_answer(node(2), secs(20_000));
    assert!(run(&mut open, secs(20_000), secs(21_000)).is_empty() && open.serves());
}

// spec-test: DHT-130
#[test]
fn what_is_stored_comes_back_and_anything_else_is_refused() {
    let mut estimate = Estimate::default();
    (0..20).for_each(|n| estimate.on_look_up(Distance(1 << (60 - n))));
    let mut reach = serving();
    reach.set_known(Known { groups: 64, blocks: 4 }, START);
    let bytes = reach.store(&estimate);
    assert_eq!(bytes.len(), 5 + 6 + 1 + 32);
    assert_eq!(bytes.get(..11), Some(&[1, 4, b'g', reach.variant.number(), 3, 203, 0, 113, 7, 0, 7][..]));
    let mut back = self::reach(GLOBAL);
    let saved = back.restore(&bytes, START).expect("what was stored");
    assert_eq!(saved.estimate.size(), estimate.size());
    assert_eq!((back.store(&estimate), back.mode()), (bytes.clone(), Mode::Hard));
    let refused = |realm: Realm, bytes: &[u8]| {
        let mut reach = self::reach(realm);
        let before = reach.store(&Estimate::default());
        let broken = reach.restore(bytes, START).err();
        assert!(broken.is_none() || reach.store(&Estimate::default()) == before);
        broken
    };
    assert_eq!(refused(GLOBAL, &[2, 4]), Some(Broken::Format(2)));
    assert_eq!((refused(GLOBAL6, &bytes), refused(PRIVATE, &bytes)), (Some(Broken::Content), Some(Broken::Content)));
    for length in 0..bytes.len() {
        assert_eq!(refused(GLOBAL, &bytes[..length]), Some(Broken::Content), "{length}");
    }
    assert_eq!(refused(GLOBAL, &[bytes.as_slice(), &[0]].concat()), Some(Broken::Content));
    for (index, byte) in [(3, 8), (4, 7), (5, 10), (11, 17)] {
        let mut bad = bytes.clone();
        bad[index] = byte;
        assert_eq!(refused(GLOBAL, &bad), Some(Broken::Content), "{index}");
    }
    assert_eq!(self::reach(GLOBAL).store(&Estimate::default()).len(), 6);
}

#[test]
fn a_reach_is_small_and_takes_no_heap_before_it_needs_any() {
    assert!(size_of::<Reach>() <= 512, "{}", size_of::<Reach>());
    let mut reach = reach(GLOBAL);
    assert_eq!(reach.heap_bytes(), 0);
    for n in 0..=255 {
        reach.on_reply(node(n), Some(at("203.0.113.7:7")), START);
    }
    assert_eq!(reach.heap_bytes(), 512);
    reach.on_sent(node(1), START);
    assert_eq!(reach.heap_bytes(), 512 + 4_096 + 1_024);
    let mut client = Reach::new(GLOBAL, Choice::Never, &mut rng(), START);
    client.on_sent(node(1), START);
    assert!(client.contacted.heap_bytes() == 0, "who does not serve need not know");
    client.set_choice(Choice::Auto, START);
    assert!(!client.contacted.is_stranger(node(1), GLOBAL, secs(599)), "and so does not know later");
}

#[derive(Clone, Debug)]
enum Did {
    Fixed(Option<u8>),
    Choice(bool),
    Known(usize),
    Rebound,
    Reply(u8, u8),
    Looked,
    Sent(u8),
    Request(u8, bool),
    Probe(u8, bool),
    Restart,
}

fn did() -> impl Strategy<Value = (Did, u64)> {
    let did = prop_oneof![
        1 => prop::option::of(0_u8..4).prop_map(Did::Fixed),
        1 => any::<bool>().prop_map(Did::Choice),
        1 => (0_usize..=64).prop_map(Did::Known),
        1 => Just(Did::Rebound),
        8 => (any::<u8>(), 0_u8..4).prop_map(|(from, seen)| Did::Reply(from, seen)),
        1 => Just(Did::Looked),
        4 => any::<u8>().prop_map(Did::Sent),
        4 => (any::<u8>(), any::<bool>()).prop_map(|(from, known)| Did::Request(from, known)),
        8 => (any::<u8>(), any::<bool>()).prop_map(|(of, is_answered)| Did::Probe(of, is_answered)),
        1 => Just(Did::Restart),
    ];
    (did, prop_oneof![0_u64..2_000, 0_u64..700_000, 0_u64..4_000_000])
}

proptest! {
    // spec-test: DHT-125
    // spec-test: DHT-128
    #[test]
    fn whatever_happens_roles_alternate_ids_are_known_and_nothing_stays_due(steps in prop::collection::vec(did(), 1..120)) {
        let mut reach = reach(GLOBAL);
        let mut now = START;
        let mut is_serving = false;
        let own = |n: u8| SocketAddr::from(([90, n, 1, 1], 7));
        for (did, millis) in steps {
            now = now + Duration::from_millis(millis);
            match did {
                Did::Fixed(n) => reach.set_fixed(n.map(own), now),
                Did::Choice(is_auto) => reach.set_choice(if is_auto { Choice::Auto } else { Choice::Never }, now),
                Did::Known(groups) => reach.set_known(Known { groups, blocks: groups.min(4) }, now),
                Did::Rebound => reach.on_rebound(now),
                Did::Reply(from, seen) => reach.on_reply(node(from), Some(own(seen)), now),
                Did::Looked => reach.on_look_up_ended(),
                Did::Sent(to) => reach.on_sent(node(to), now),
                Did::Request(from, is_known) => {
                    let asks = reach.on_request(Heard { from: node(from), is_known }, now);
                    prop_assert!(!asks || reach.address().is_none() || (reach.fixed.is_none() && reach.known.blocks == 0));
                }
                Did::Probe(of, is_answered) => {
                    reach.on_probe_sent(node(of));
                    if is_answered { reach.on_probe_answer(node(of), now) } else { reach.on_probe_refused(node(of)) }
                }
                Did::Restart => {
                    let bytes = reach.store(&Estimate::default());
                    let (variant, mode) = (reach.variant, reach.has_held_64);
                    reach = self::reach(GLOBAL);
                    prop_assert!(reach.restore(&bytes, now).is_ok());
                    prop_assert!(reach.variant == variant && reach.has_held_64 == mode);
                    is_serving = false;
                }
            }
            prop_assert!(reach.heap_bytes() <= 6_144);
            for outcome in all(&mut reach, now) {
                match outcome {
                    Outcome::BeginServing => {
                        prop_assert!(!is_serving && reach.id(&KEY).is_some());
                        is_serving = true;
                    }
                    Outcome::EndServing(_) => {
                        prop_assert!(is_serving);
                        is_serving = false;
                    }
                    Outcome::Moved | Outcome::Mode(_) | Outcome::Fit(_) | Outcome::Probe { .. } => {}
                }
            }
            prop_assert_eq!(reach.serves(), is_serving);
            prop_assert!(block(node(1)) != block(node(2)));
        }
    }

    // spec-test: DHT-130
    #[test]
    fn no_bytes_break_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut reach = reach(GLOBAL);
        if reach.restore(&[&[1, 4, b'g'], bytes.as_slice()].concat(), START).is_ok() {
            prop_assert!(reach.variant.number() < 8);
        }
    }
}
