//! Look-ups in whole networks: what they find, and what it costs.

use super::network::{GLOBAL, Network, PRIVATE, Run, hint_at};
use super::*;

/// So many look-ups for random targets from random nodes: `see` gets each with what is true.
fn each(network: &mut Network, look_ups: usize, wants: Wants, mut see: impl FnMut(&Run, &[Contact])) {
    for _ in 0..look_ups {
        let (own, target) = (network.pick(), Hint(network.rng.u64()));
        let look_up = network.look_up(own.hint, target, wants);
        let truth = network.nearest(own.hint, target, HOLDERS);
        see(&network.run(look_up), &truth);
    }
}

fn is_found(run: &Run, truth: &[Contact]) -> bool {
    run.holders.iter().eq(truth.iter().map(|node| &node.hint))
}

/// Mean requests of look-ups that all find the true five, in hundredths.
fn requests(network: &mut Network, look_ups: usize) -> usize {
    let mut asks = 0;
    // One for nodes goes to the end once, as one for records does that finds some.
    each(network, look_ups, Wants::Nodes, |run, truth| {
        assert!(is_found(run, truth), "{run:?} for {truth:?}");
        assert_eq!(run.end, Some(End::Complete));
        asks += run.asks.len();
    });
    asks * 100 / look_ups
}

/// A model in Python of these rules gave 9.1 to 9.5 requests at 200 nodes.
// spec-test: DHT-86
#[test]
fn the_true_nearest_five_are_found_in_networks_of_every_size() {
    for realm in [GLOBAL, PRIVATE] {
        for (n, look_ups, most) in [(2, 20, 100), (3, 20, 200), (8, 50, 700), (20, 100, 1_000), (200, 200, 1_150), (5_000, 100, 1_500)] {
            let mean = requests(&mut Network::new(realm, n, 7), look_ups);
            assert!(mean <= most, "{realm:?} {n}: {mean}");
        }
    }
}

#[test]
fn the_true_nearest_five_are_found_among_a_hundred_thousand() {
    let mean = requests(&mut Network::new(GLOBAL, 100_000, 7), 100);
    assert!(mean <= 1_900, "{mean}");
}

/// Who is dead is found out by asking: a node in ten costs more requests, and nobody else.
// spec-test: DHT-83
#[test]
fn a_tenth_of_dead_nodes_and_lost_datagrams_hide_nobody() {
    for (dead, lost_percent) in [(10, 0), (0, 5), (10, 5)] {
        let mut network = Network::new(GLOBAL, 1_000, 8);
        network.dead = network.nodes.iter().step_by(10).take(dead * 10).map(|node| node.at).collect();
        network.lost_percent = lost_percent;
        let (mut found, mut all, mut longest) = (0, 0, Duration::ZERO);
        each(&mut network, 100, Wants::Nodes, |run, truth| {
            found += truth.iter().filter(|node| run.holders.contains(&node.hint)).count();
            all += truth.len();
            longest = longest.max(run.took);
        });
        // Both tries are lost once in a hundred: 9.75 % squared.
        let least = if lost_percent == 0 { all } else { all * 97 / 100 };
        assert!(found >= least, "{dead} {lost_percent}: {found} of {all}");
        assert!(longest < LENGTH_MAX, "{longest:?}");
    }
}

/// Each of them names seven addresses where nobody is, as near as can be.
// spec-test: DHT-84
#[test]
fn a_tenth_of_liars_who_name_the_dead_hide_hardly_anybody() {
    let mut network = Network::new(PRIVATE, 1_000, 9);
    let liars: Vec<SocketAddr> = network.nodes.iter().step_by(10).map(|node| node.at).collect();
    let (mut found, mut all, mut most) = (0, 0, 0);
    for n in 0..100 {
        let (own, target) = (network.pick(), Hint(network.rng.u64()));
        network.liars = liars.iter().zip(0..).map(|(at, l)| (*at, (0..7).map(|m| dead_end(target, n, l, m)).collect())).collect();
        let look_up = network.look_up(own.hint, target, Wants::Records);
        let truth = network.nearest(own.hint, target, HOLDERS);
        let run = network.run(look_up);
        found += truth.iter().filter(|node| run.holders.contains(&node.hint)).count();
        all += truth.len();
        most = most.max(run.asks.len());
    }
    assert!(found * 100 >= all * 97, "{found} of {all}");
    assert!(most <= 60, "{most}");
}

fn dead_end(target: Hint, look_up: u8, liar: u8, n: u8) -> Contact {
    Contact { hint: Hint(target.0 ^ u64::from(liar) << 8 ^ u64::from(n) ^ 1 << 30), at: SocketAddr::from(([10, look_up, liar, n], 9)) }
}

/// Somebody at an address that allows a hint near the target.
fn planted(network: &mut Network, target: Hint, size: u64, group: Option<[u8; 3]>) -> Contact {
    loop {
        let draw: [u8; 16] = network.rng.array();
        let [a, b, c, d, r, key @ ..] = draw;
        let [a, b, c] = group.unwrap_or([a, b, c]);
        let at = SocketAddr::from(([a, b, c, d], 7));
        if Realm::of(at) == Some(GLOBAL)
            && let Some(hint) = hint_at(at, &key, r)
            && hint.distance(target).0 < u64::MAX / size
        {
            return Contact { hint, at };
        }
    }
}

// spec-test: DHT-86
#[test]
fn ten_of_one_group_among_the_nearest_do_not_stand_for_eight() {
    let mut all_missed = 0;
    for seed in 0..10 {
        let mut network = Network::new(GLOBAL, 500, 20 + seed);
        let (own, target) = (network.pick(), Hint(network.rng.u64()));
        for _ in 0..10 {
            let node = planted(&mut network, target, 500, Some([198, 51, 100]));
            if network.nodes.iter().all(|other| other.at != node.at) {
                network.add(node);
            }
        }
        let truth = choose(
            network.nearest(own.hint, target, 60).into_iter().map(|it| Near {
                hint: it.hint,
                at: it.at,
                distance: it.hint.distance(target),
                has_answered: true,
            }),
            HOLDERS,
        );
        let look_up = network.look_up(own.hint, target, Wants::Records);
        let run = network.run(look_up);
        let of_others =
            run.asks.iter().filter(|ask| crate::address::group(ask.at) != crate::address::group(SocketAddr::from(([198, 51, 100, 1], 7))));
        assert!(of_others.count() >= 7, "eight groups have answered: {run:?}");
        let missed = truth.iter().filter(|near| !run.holders.contains(&near.hint)).count();
        all_missed += missed;
    }
    assert!(all_missed <= 2, "{all_missed} of 50");
}

/// They stand nearer than anybody honest, in groups of their own, and name one another only: all of them, or always the same
/// seven, so that the others are not seen.
// spec-test: DHT-87
#[test]
fn sixteen_colluders_around_a_key_are_noticed_or_somebody_honest_is_asked_all_the_same() {
    let (mut safe, mut noticed) = ([0, 0], [0, 0]);
    for seed in 0..20 {
        let mut network = Network::new(GLOBAL, 2_000, 40 + seed);
        let (own, target) = (network.pick(), Hint(network.rng.u64()));
        let honest = network.nearest(own.hint, target, HOLDERS);
        let look_up = network.look_up(own.hint, target, Wants::Records);
        assert!(!network.run(look_up).is_dense);
        let mut colluders = Vec::new();
        while colluders.len() < 16 {
            let node = planted(&mut network, target, 2_000, None);
            if colluders.iter().all(|other: &Contact| crate::address::group(other.at) != crate::address::group(node.at)) {
                colluders.push(node);
                network.add(node);
            }
        }
        for mode in 0..2 {
            for (index, colluder) in colluders.iter().enumerate() {
                let from = if mode == 0 { index } else { 0 };
                network.liars.insert(colluder.at, colluders.iter().cycle().skip(from).take(7).copied().collect());
            }
            let look_up = network.look_up(own.hint, target, Wants::Records);
            let run = network.run(look_up);
            let is_reached = honest.iter().any(|node| run.asks.iter().any(|ask| ask.at == node.at));
            assert!(run.asks.len() <= 96, "{}", run.asks.len());
            safe[mode] += usize::from(is_reached || run.is_dense);
            noticed[mode] += usize::from(run.is_dense);
        }
    }
    assert!(noticed[0] >= 16 && safe.iter().all(|count| *count >= 18), "of 20: noticed {noticed:?}, safe {safe:?}");
}

/// What came of a record that somebody gave to the five nearest whom it found, and somebody else looked for.
struct Passed {
    /// Of how many requests the first went to somebody honest who has it.
    first: Option<usize>,
    /// Requests of the writer, and of a reader that finds nothing.
    asks: [usize; 2],
}

fn pass(network: &mut Network) -> Passed {
    let target = Hint(network.rng.u64());
    let [written, read] = [0, 1].map(|_| {
        let own = loop {
            let own = network.pick();
            if !network.gang.contains(&own.at) {
                break own;
            }
        };
        let look_up = network.look_up(own.hint, target, Wants::Records);
        network.run(look_up)
    });
    let is_honest = |ask: &&Ask| !network.gang.contains(&ask.at);
    let has = written.asks.iter().filter(is_honest).filter_map(|ask| ask.hint).filter(|hint| written.holders.contains(hint));
    let has: Vec<Hint> = has.collect();
    let first = read.asks.iter().position(|ask| ask.hint.is_some_and(|hint| has.contains(&hint)));
    Passed { first, asks: [written.asks.len(), read.asks.len()] }
}

/// One in five, or in two, hides what it keeps and names the nearest of its kind. The best that five holders allow is
/// 3 in 10,000 and 31 in 1,000 that lie with colluders alone.
// spec-test: DHT-86
#[test]
fn colluders_hide_what_they_alone_keep_and_hardly_more() {
    const LOOK_UPS: usize = 100;
    for (percent, lost_max, asks_max) in [(0, 0, 62), (20, 0, 62), (50, 4, 62)] {
        let mut network = Network::new(GLOBAL, 1_000, 77);
        let all: Vec<SocketAddr> = network.nodes.iter().map(|node| node.at).collect();
        network.gang = all.into_iter().filter(|_| network.rng.below(100) < percent).collect();
        let (mut lost, mut asks, mut first) = (0, [0; 2], 0);
        for _ in 0..LOOK_UPS {
            let passed = pass(&mut network);
            lost += usize::from(passed.first.is_none());
            first += passed.first.unwrap_or(0);
            asks = [0, 1].map(|who| asks[who] + passed.asks[who]);
        }
        assert!(lost <= lost_max, "{percent}: {lost} of {LOOK_UPS}");
        assert!(asks.iter().all(|asks| *asks <= asks_max * LOOK_UPS), "{percent}: {asks:?} of {LOOK_UPS}");
        assert!(percent > 0 || first <= 5 * LOOK_UPS, "{first}");
    }
}

#[test]
fn the_same_network_gives_the_same_look_ups() {
    let runs = || {
        let mut network = Network::new(GLOBAL, 300, 11);
        network.lost_percent = 10;
        let mut runs = Vec::new();
        each(&mut network, 20, Wants::Records, |run, _| runs.push(run.clone()));
        runs
    };
    assert_eq!(runs(), runs());
}

/// A machine comes back and knows 48 others, and fifteen who name one another only. These lie nearer to a key than anybody else, and
/// were dead when its record was written: whether anybody who has it is asked for it.
fn is_found_by_who_comes_back(network: &mut Network) -> bool {
    let target = Hint(network.rng.u64());
    let near = u64::MAX / 16 / network.nodes.len() as u64;
    // Where no other node is.
    let member = |n: u8, hint| Contact { hint, at: SocketAddr::from(([192, 168, 0, n], 7)) };
    let gang: Vec<Contact> = (0..15).map(|n| member(n, Hint(target.0 ^ network.rng.below(near)))).collect();
    let [writer, reader] = [0, 1].map(|_| network.pick().hint);
    let mut known = gang.clone();
    while known.len() < 15 + 48 {
        let node = network.pick();
        if node.hint != reader && !known.contains(&node) {
            known.push(node);
        }
    }
    known.sort_unstable_by_key(|node| node.hint.distance(target));
    gang.iter().for_each(|node| network.add(*node));
    network.dead = gang.iter().map(|node| node.at).collect();
    let written = network.look_up(writer, target, Wants::Records);
    let holders = network.run(written).holders;
    network.gang = core::mem::take(&mut network.dead);
    let read = network.look_up_from(reader, target, Wants::Records, &known);
    let asks = network.run(read).asks;
    network.gang.clear();
    network.nodes.retain(|node| !gang.contains(node));
    asks.iter().any(|ask| ask.is_get && ask.hint.is_some_and(|hint| holders.contains(&hint)))
}

/// Tables are wide, so that most of the honest know eight of the fifteen, and name nobody else for the key.
// spec-test: DHT-86
#[test]
fn what_fifteen_stand_before_is_found_by_who_comes_back_to_few() {
    const KEYS: usize = 300;
    let mut network = Network::new(PRIVATE, 1_000, 5);
    (network.is_hard, network.is_wide) = (true, true);
    let lost = (0..KEYS).filter(|_| !is_found_by_who_comes_back(&mut network)).count();
    // If all rounds ask for the key itself, a seventh.
    assert!(lost <= 2, "{lost} of {KEYS}");
}
