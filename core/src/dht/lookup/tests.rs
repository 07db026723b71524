use alloc::collections::BTreeMap;

use proptest::prelude::*;

use super::network::{GLOBAL, PRIVATE, hint_at};
use super::*;
use crate::rng::{Rng, Seed};

const TARGET: Hint = Hint(0);

pub(super) fn view(realm: Realm, servers: usize) -> View {
    View { own: Hint(u64::MAX), realm, is_hard: realm == GLOBAL, size: Size::of(servers), servers }
}

pub(super) fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7))
}

/// A node at 10.0.0.n with this hint.
pub(super) fn start(n: u8, hint: u64) -> Start {
    Start { hint: Some(Hint(hint)), at: at(n), rtt: Rtt::UNKNOWN }
}

pub(super) fn contact(n: u8, hint: u64) -> Contact {
    Contact { hint: Hint(hint), at: at(n) }
}

pub(super) fn rng() -> Rng {
    Rng::from_seed(&Seed::from_bytes([3; 32]))
}

pub(super) fn look_up(seeds: &[Start]) -> LookUp {
    LookUp::new(TARGET, Wants::Records, view(PRIVATE, 1 << 20), seeds.iter().copied(), [], rng(), Time::ZERO)
}

pub(super) fn drain(look_up: &mut LookUp) -> Vec<Ask> {
    core::iter::from_fn(|| look_up.next()).collect()
}

pub(super) fn asked(look_up: &mut LookUp) -> Vec<SocketAddr> {
    drain(look_up).iter().map(|ask| ask.at).collect()
}

/// So far away that it is no region: four nodes a path, far from the target.
pub(super) fn sixteen() -> Vec<Start> {
    (0..16).map(|n| start(n + 1, (1 << 63) + (u64::from(n) << 40))).collect()
}

// spec-test: DHT-80
#[test]
fn each_path_begins_with_its_own_seeds_and_with_the_nearest_by_round_trip_within_a_bit() {
    let mut seeds = sixteen();
    assert_eq!(
        drain(&mut look_up(&seeds)).iter().map(|ask| (ask.at, ask.path)).collect::<Vec<_>>(),
        [(at(1), 0), (at(2), 1), (at(3), 2), (at(4), 3)]
    );
    for (index, millis) in [(4, 20), (8, 10), (12, 30)] {
        seeds[index].rtt = Rtt::of(Duration::from_millis(millis));
    }
    assert_eq!(drain(&mut look_up(&seeds))[0].at, at(9), "of path 0 the shortest round trip, before one that is not known");
    // Two bits farther than the nearest: not even a short round trip counts.
    seeds[0].hint = Some(Hint(1 << 61));
    assert_eq!(drain(&mut look_up(&seeds))[0].at, at(1));
    seeds[0].hint = Some(Hint(1 << 62));
    assert_eq!(drain(&mut look_up(&seeds))[0].at, at(9));
}

// spec-test: DHT-80
#[test]
fn two_paths_go_by_who_is_fair_alone() {
    let far = |n: u8, n_th: u64, rtt| Start { rtt: Rtt::of(Duration::from_millis(rtt)), ..start(n, (1 << 63) + n_th) };
    // The nearest of the table are all of a gang that is near; further off are twelve whom it has not pushed out.
    let near: Vec<Start> = (0..24).map(|n| far(n + 1, n.into(), 1)).collect();
    let fair: Vec<Start> = (0..12).map(|n| far(n + 101, 100 + u64::from(n), 300 - u64::from(n))).collect();
    let begun = |fair: &[Start]| {
        LookUp::new(TARGET, Wants::Nodes, view(PRIVATE, 1 << 20), near.iter().copied(), fair.iter().copied(), rng(), Time::ZERO)
    };
    let first = |look_up: &mut LookUp| drain(look_up).iter().map(|ask| (ask.at, ask.is_fair)).collect::<Vec<_>>();
    let mut look_up = begun(&fair);
    assert_eq!(
        first(&mut look_up),
        [(at(1), false), (at(101), true), (at(2), false), (at(102), true)],
        "the shortest round trip does not count"
    );
    look_up.on_reply(at(101), fair[0].hint, Rtt::UNKNOWN, [contact(150, 1 << 62)]);
    look_up.on_reply(at(1), near[0].hint, Rtt::UNKNOWN, [contact(151, 1 << 62 | 1)]);
    assert_eq!(first(&mut look_up), [(at(151), false), (at(150), true)], "a path remains what it is");
    for fair in [&near[..], &[]] {
        assert_eq!(first(&mut begun(fair)), [(at(1), false), (at(2), true), (at(3), false), (at(4), true)], "who is in both is dealt once");
    }
}

// spec-test: DHT-81
#[test]
fn hints_belong_to_the_path_that_asked_and_a_node_is_asked_once() {
    let mut look_up = look_up(&sixteen());
    drain(&mut look_up);
    let near = (1 << 62) + 5;
    look_up.on_reply(at(2), Some(Hint(1 << 63)), Rtt::UNKNOWN, [contact(50, near)]);
    let asks = drain(&mut look_up);
    assert_eq!(asks.iter().map(|ask| (ask.at, ask.path)).collect::<Vec<_>>(), [(at(50), 1)]);
    look_up.on_reply(at(3), Some(Hint((1 << 63) + (2 << 40))), Rtt::UNKNOWN, [contact(50, near), contact(51, near + 1)]);
    let asks = drain(&mut look_up);
    assert_eq!(asks.iter().map(|ask| (ask.at, ask.path)).collect::<Vec<_>>(), [(at(51), 2)], "50 is asked already");
}

// spec-test: DHT-81
#[test]
fn another_name_for_an_address_is_tried_once_if_the_first_was_wrong() {
    let mut look_up = look_up(&[start(1, 1 << 60)]);
    drain(&mut look_up);
    look_up.on_reply(at(1), Some(Hint(1 << 60)), Rtt::UNKNOWN, [contact(9, 1), contact(9, 2), contact(9, 3)]);
    for hint in [1, 2] {
        let asks = drain(&mut look_up);
        assert_eq!(asks.iter().map(|ask| (ask.hint, ask.at)).collect::<Vec<_>>(), [(Some(Hint(hint)), at(9))]);
        look_up.on_unfit(at(9));
    }
    assert_eq!((look_up.next(), look_up.end()), (None, Some(End::Complete)), "not a third time");
}

pub(super) fn fitting(ip: [u8; 4], port: u16, near: u64, n: u8) -> Contact {
    let at = SocketAddr::from((ip, port));
    let hint = hint_at(at, &[n; 11], 0).map_or(0, |hint| hint.0);
    // The first 23 bits are the address's, the others may be chosen.
    Contact { hint: Hint(hint >> 41 << 41 | near), at }
}

// spec-test: DHT-81
#[test]
fn a_path_asks_one_of_a_group_and_a_look_up_one_of_an_ip() {
    let seeds: Vec<Start> = (1..=16)
        .map(|n| fitting([203, 0, 113, n / 4 + 1], u16::from(n), n.into(), n))
        .map(|it| Start { hint: Some(it.hint), at: it.at, rtt: Rtt::UNKNOWN })
        .collect();
    let mut look_up = LookUp::new(TARGET, Wants::Nodes, view(GLOBAL, 1 << 40), seeds.iter().copied(), [], rng(), Time::ZERO);
    let mut asked = drain(&mut look_up);
    assert!(asked.iter().map(|ask| ask.path).eq(0..4), "one of each path, for all are of one /24: {asked:?}");
    asked.iter().for_each(|ask| look_up.on_miss(ask.at));
    while let Some(ask) = look_up.next() {
        asked.push(ask);
        look_up.on_miss(ask.at);
    }
    let mut ips: Vec<_> = asked.iter().map(|ask| ask.at.ip()).collect();
    ips.sort_unstable();
    ips.dedup();
    assert_eq!((ips.len(), asked.len()), (5, 5), "five ips with three or four ports each");
    assert_eq!(look_up.end(), Some(End::Exhausted));
}

// spec-test: DHT-83
#[test]
fn a_path_goes_on_while_a_slow_node_is_asked_again_and_hears_it_all_the_same() {
    let mut look_up = look_up(&sixteen());
    assert_eq!(drain(&mut look_up).len(), 4);
    look_up.on_slow(at(1));
    let asks = drain(&mut look_up);
    assert_eq!(asks.iter().map(|ask| (ask.at, ask.path)).collect::<Vec<_>>(), [(at(5), 0)]);
    look_up.on_reply(at(1), Some(Hint(1 << 63)), Rtt::UNKNOWN, [contact(60, 1 << 62)]);
    assert_eq!(drain(&mut look_up), [], "path 0 waits for 5");
    look_up.on_miss(at(5));
    assert_eq!(drain(&mut look_up)[0].at, at(60));
}

// spec-test: DHT-82
#[test]
fn no_more_than_twelve_requests_are_in_flight() {
    let mut look_up = look_up(&sixteen());
    let mut count = 0;
    while let Some(ask) = look_up.next() {
        look_up.on_slow(ask.at);
        count += 1;
    }
    assert_eq!(count, IN_FLIGHT_MAX);
}

// spec-test: DHT-85
#[test]
fn the_region_begins_with_a_reply_from_inside_it_or_when_two_paths_have_ended() {
    let far = |n: u8| (at(n), Some(Hint((1 << 63) + (u64::from(n - 1) << 40))));
    let mut near = look_up(&sixteen());
    let mut ended = look_up(&sixteen());
    for look_up in [&mut near, &mut ended] {
        drain(look_up);
        let (at, hint) = far(1);
        look_up.on_reply(at, hint, Rtt::UNKNOWN, []);
        assert_eq!((look_up.next(), look_up.near()), (None, None), "path 0 has come as near as it can, the others wait");
    }
    near.on_reply(at(2), Some(Hint(u64::MAX / (1 << 20) * 4)), Rtt::UNKNOWN, [contact(40, 7), contact(41, 8)]);
    assert!(near.near().is_some());
    let asks: Vec<_> = drain(&mut near).iter().map(|ask| ask.at).collect();
    assert_eq!(asks, [at(40), at(5)], "beside the two that are on their way still; 41 waits for 40 (DHT-84)");
    let (second, hint) = far(2);
    ended.on_reply(second, hint, Rtt::UNKNOWN, []);
    let asks: Vec<_> = drain(&mut ended).iter().map(|ask| ask.at).collect();
    assert_eq!((asks, ended.near().is_some()), (alloc::vec![at(5), at(6)], true), "the nearest of all paths that must answer");
}

// spec-test: DHT-85
#[test]
fn where_records_lie_two_are_asked_at_once_as_soon_as_a_path_knows_who_is_there() {
    let (far, named) = (Some(Hint(1 << 63)), [contact(40, 7), contact(41, 8), contact(42, 9)]);
    let asked = |look_up: &mut LookUp| drain(look_up).iter().map(|ask| (ask.at, ask.path)).collect::<Vec<_>>();
    let mut records = look_up(&sixteen());
    drain(&mut records);
    records.on_reply(at(1), far, Rtt::UNKNOWN, named);
    assert_eq!(asked(&mut records), [(at(40), 0), (at(41), 0)]);
    assert!(records.near().is_none(), "nobody there has answered");
    // Another path asks its own all the same.
    records.on_reply(at(2), Some(Hint((1 << 63) + (1 << 40))), Rtt::UNKNOWN, [contact(50, 5)]);
    assert_eq!(asked(&mut records), [(at(50), 1)]);
    let mut nodes = LookUp::new(TARGET, Wants::Nodes, view(PRIVATE, 1 << 20), sixteen(), [], rng(), Time::ZERO);
    drain(&mut nodes);
    nodes.on_reply(at(1), far, Rtt::UNKNOWN, named);
    assert_eq!(asked(&mut nodes), [(at(40), 0)], "a look-up for nodes has time");
    let mut one_far = look_up(&sixteen());
    drain(&mut one_far);
    one_far.on_reply(at(1), far, Rtt::UNKNOWN, [contact(40, 7), contact(60, 1 << 62)]);
    assert_eq!(asked(&mut one_far), [(at(40), 0)], "who is outside waits");
}

// spec-test: DHT-86
#[test]
fn a_path_that_has_come_to_the_region_ends_no_other() {
    let far = |n: u8| (at(n), Some(Hint((1 << 63) + (u64::from(n - 1) << 40))));
    let near = |n: u64| Hint(u64::MAX / (1 << 20) * n);
    let mut look_up = look_up(&sixteen());
    drain(&mut look_up);
    // The first is where it wanted to be, and names eight who are, too.
    look_up.on_reply(at(1), Some(near(1)), Rtt::UNKNOWN, (40..48).map(|n| contact(n, u64::from(n))));
    while let Some(ask) = look_up.next() {
        look_up.on_reply(ask.at, ask.hint, Rtt::UNKNOWN, []);
    }
    assert_eq!(look_up.end(), None, "all who are known near the target have answered, but three paths are on their way");
    for n in [2, 3, 4] {
        let (at, hint) = far(n);
        look_up.on_reply(at, hint, Rtt::UNKNOWN, [contact(n + 50, 1 << 61 | u64::from(n))]);
        assert_eq!(look_up.next().map(|ask| (ask.at, ask.path)), Some((self::at(n + 50), n - 1)));
    }
    look_up.on_reply(at(52), Some(near(3)), Rtt::UNKNOWN, []);
    look_up.on_reply(at(53), Some(Hint(1 << 61 | 3)), Rtt::UNKNOWN, []);
    assert_eq!((look_up.next(), look_up.end()), (None, None), "the last is not there yet");
    look_up.on_miss(at(54));
    assert_eq!((look_up.next(), look_up.end()), (None, Some(End::Complete)), "all others that it knows are farther than its answer");
}

fn hard(wants: Wants) -> LookUp {
    let view = View { is_hard: true, ..view(PRIVATE, 1 << 20) };
    LookUp::new(TARGET, wants, view, sixteen(), sixteen(), rng(), Time::ZERO)
}

/// Everybody answers at once, and the first names somebody nearer who names nobody. Whom it asks, and how it ends.
fn answered(look_up: &mut LookUp) -> Vec<(SocketAddr, u8)> {
    let mut asked = Vec::new();
    while let Some(ask) = look_up.next() {
        asked.push((ask.at, ask.path));
        let named = [contact(90, 1 << 62), contact(91, 1 << 62 | 1)];
        look_up.on_reply(ask.at, ask.hint, Rtt::UNKNOWN, named.into_iter().take(if ask.at == at(1) { 2 } else { 0 }));
    }
    asked
}

// spec-test: DHT-86
#[test]
fn until_something_is_found_new_paths_begin_with_others_of_the_own_table() {
    let mut searching = hard(Wants::Records);
    let asked = answered(&mut searching);
    let seeds: Vec<_> = asked.iter().filter(|(at, _)| *at <= self::at(16)).collect();
    assert_eq!((seeds.len(), searching.end()), (16, Some(End::Complete)), "{asked:?}");
    assert!((1..seeds.len()).all(|n| !seeds[..n].contains(&seeds[n])), "each once: {asked:?}");
    assert_eq!(searching.answers().count(), asked.len(), "answers of all rounds count");
    assert!(searching.has_begun_again());
    let mut begun = hard(Wants::Records);
    let ways: Vec<(bool, u8, bool)> = core::iter::from_fn(|| {
        let ask = begun.next()?;
        begun.on_reply(ask.at, ask.hint, Rtt::UNKNOWN, []);
        Some((begun.has_begun_again(), ask.path, ask.is_fair))
    })
    .collect();
    for again in [false, true] {
        let mut of_round = ways.iter().filter(|(has_begun_again, ..)| *has_begun_again == again).peekable();
        assert!(
            of_round.peek().is_some() && of_round.all(|(_, path, is_fair)| *is_fair == (path % 2 == 1)),
            "two of four are fair: {ways:?}"
        );
    }

    for mut once in [hard(Wants::Nodes), look_up(&sixteen())] {
        let asked = answered(&mut once);
        assert!(asked.len() < 12 && once.end() == Some(End::Complete) && !once.has_begun_again(), "{asked:?}");
    }
    let mut found = hard(Wants::Records);
    let first = found.next().expect("somebody is known");
    found.on_reply(first.at, first.hint, Rtt::UNKNOWN, []);
    found.end_rounds();
    assert!(answered(&mut found).len() < 12 && found.end() == Some(End::Complete));
}

// spec-test: DHT-86
// spec-test: DHT-88
#[test]
fn later_rounds_ask_for_points_beside_the_target_and_for_records_only_near_it() {
    let size = 1 << 20;
    let inside = |held: u64, distance: u64| distance < u64::MAX / size * held;
    // Eight for the first round, and others inside the radii for 16 and 64, and outside.
    let held = (1..=8).chain([12, 40, 50, 100, 200, 300]);
    let seeds = (1..).zip(held).map(|(n, held)| start(n, u64::MAX / size * held));
    let view = View { is_hard: true, servers: 15, ..view(PRIVATE, 1 << 20) };
    let mut searching = LookUp::new(TARGET, Wants::Records, view, seeds.clone(), seeds, rng(), Time::ZERO);
    let mut points = Vec::new();
    while let Some(ask) = searching.next() {
        let distance = ask.hint.map_or(u64::MAX, |hint| hint.distance(TARGET).0);
        let is_first = !searching.has_begun_again();
        assert_eq!(ask.is_get, is_first || inside(16, distance), "{ask:?}");
        if ask.is_get {
            assert_eq!(ask.towards, TARGET, "{ask:?}");
        } else {
            assert!(ask.towards != TARGET && inside(8, ask.towards.distance(TARGET).0) && !points.contains(&ask.towards), "{ask:?}");
            points.push(ask.towards);
        }
        searching.on_reply(ask.at, ask.hint, Rtt::UNKNOWN, []);
    }
    assert_eq!(points.len(), 5);
}

// spec-test: DHT-88
#[test]
fn records_are_asked_for_where_they_may_be() {
    let limit = u64::MAX / (1 << 20) * 64;
    for (servers, distance, is_get) in
        [(1 << 20, limit / 2, true), (1 << 20, limit * 2, false), (15, u64::MAX - 1, true), (16, limit * 2, true)]
    {
        for wants in [Wants::Records, Wants::Nodes] {
            let ask = LookUp::new(TARGET, wants, view(PRIVATE, servers), [start(1, distance)], [], rng(), Time::ZERO).next();
            assert_eq!(ask.map(|ask| ask.is_get), Some(is_get && wants == Wants::Records), "{servers} {distance:x}");
        }
    }
}

#[test]
fn an_entry_peer_is_asked_without_a_name_and_gets_the_one_that_it_says() {
    let entry = Start { hint: None, at: at(1), rtt: Rtt::UNKNOWN };
    let mut look_up = look_up(&[entry]);
    assert_eq!(look_up.next(), Some(Ask { hint: None, at: at(1), path: 0, is_get: true, is_fair: false, towards: TARGET }));
    look_up.on_reply(at(1), Some(Hint(5)), Rtt::UNKNOWN, [contact(2, 3)]);
    assert_eq!(look_up.next().map(|ask| ask.at), Some(at(2)));
    look_up.on_reply(at(2), None, Rtt::UNKNOWN, []);
    assert_eq!((look_up.next(), look_up.end()), (None, Some(End::Complete)));
    let holders = look_up.holders();
    assert_eq!(holders.iter().map(|near| near.hint).collect::<Vec<_>>(), [Hint(5)], "who does not serve holds nothing");
}

#[test]
fn nobody_is_looked_up_where_nobody_is() {
    let mut look_up = look_up(&[]);
    assert_eq!((look_up.next(), look_up.end(), look_up.due()), (None, Some(End::Exhausted), Time::from_secs(5)));
}

// spec-test: DHT-89
#[test]
fn holders_are_chosen_by_group_and_block_first_and_then_filled_up() {
    let near = |ip: [u8; 4], n: u64| Near { hint: Hint(n), at: SocketAddr::from((ip, 7)), distance: Distance(n), has_answered: true };
    let nodes = [
        near([203, 0, 1, 1], 1),
        near([203, 0, 1, 2], 2),
        near([203, 0, 2, 1], 3),
        near([203, 0, 3, 1], 4),
        near([198, 51, 1, 1], 5),
        near([192, 2, 1, 1], 6),
    ];
    let chosen = |n| choose(nodes.into_iter(), n).iter().map(|near| near.hint.0).collect::<Vec<_>>();
    assert_eq!((chosen(2), chosen(4), chosen(5)), (alloc::vec![1, 3], alloc::vec![1, 3, 5, 6], alloc::vec![1, 2, 3, 5, 6]));
    assert_eq!(chosen(9).len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    // spec-test: DHT-82
    #[test]
    fn whatever_happens_the_bounds_hold_and_the_look_up_ends(
        seeds in prop::collection::vec((any::<u8>(), any::<u64>(), any::<u8>()), 0..20),
        events in prop::collection::vec((0_u8..6, any::<u8>(), prop::collection::vec((any::<u8>(), any::<u64>()), 0..9)), 0..400),
        servers in 0_usize..100_000,
        is_hard: bool,
    ) {
        // Distances of all sizes, and addresses that come again.
        let hint = |draw: u64| draw.checked_shr(u32::try_from(draw % 50).unwrap_or(0)).unwrap_or(0);
        let seeds = seeds.iter().map(|(n, draw, rtt)| Start { rtt: Rtt::of(Duration::from_millis((*rtt).into())), ..start(*n, hint(*draw)) });
        let mut look_up = LookUp::new(TARGET, Wants::Records, View { is_hard, ..view(PRIVATE, servers) }, seeds.clone(), seeds.rev(), rng(), Time::ZERO);
        let mut in_flight: BTreeMap<SocketAddr, Option<Hint>> = BTreeMap::new();
        let mut asks = 0;
        let mut events = events.into_iter();
        loop {
            while let Some(ask) = look_up.next() {
                asks += 1;
                prop_assert!(in_flight.insert(ask.at, ask.hint).is_none(), "asked twice at once");
            }
            prop_assert!(in_flight.len() <= IN_FLIGHT_MAX && asks <= 96 && look_up.candidates.iter().count() <= 192);
            prop_assert!((0..PATHS).all(|path| look_up.candidates.of(path).count() <= candidates::PATH_MAX));
            prop_assert!(look_up.candidates.iter().map(|it| it.distance).is_sorted());
            if look_up.end().is_some() {
                prop_assert_eq!(look_up.next(), None);
                break;
            }
            prop_assert!(!in_flight.is_empty(), "it waits for nothing");
            // Once there are no more events all are silent.
            let (what, which, named) = events.next().unwrap_or((2, 0, Vec::new()));
            let Some((at, asked)) = in_flight.iter().nth(usize::from(which) % in_flight.len()).map(|(at, asked)| (*at, *asked)) else { break };
            match what {
                0 | 1 => look_up.on_reply(at, asked.or(Some(Hint(9))), Rtt::UNKNOWN, named.iter().map(|(n, draw)| contact(*n, hint(*draw)))),
                2 => look_up.on_miss(at),
                3 => look_up.on_unfit(at),
                4 => look_up.on_refused(at),
                _ => {
                    look_up.on_slow(at);
                    continue;
                }
            }
            in_flight.remove(&at);
            look_up.on_miss(at);
        }
    }
}
