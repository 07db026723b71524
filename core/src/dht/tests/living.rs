//! Living in small networks: beginning, losing everybody, coming back, and being found.

use super::*;
use crate::DhtStanding;
use crate::dht::record::DeviceRecord;
use crate::dht::wire::Kind;

pub(super) fn found(
    world: &mut World,
    reader: usize,
    of: u8,
    device: Option<crate::DeviceId>,
    secs: u64,
) -> Vec<(crate::DeviceId, Vec<SocketAddr>)> {
    let _ = world.told(reader);
    world.with(reader, |solo, now| solo.find(now, user(of), &app(), device, &[])).expect("a search");
    world.run_secs(secs);
    let told = world.told(reader);
    assert!(told.iter().any(|told| matches!(told, DhtNotice::Ended { .. })), "{told:?}");
    let mut all = addresses(&told, true);
    all.sort();
    all.dedup();
    all
}

pub(super) fn device(user: u8, n: u8) -> crate::DeviceId {
    credentials(user, n, WEEK).delegation().device()
}

#[test]
fn what_is_published_is_found_for_hours_and_until_it_is_withdrawn() {
    let mut world = World::small(6);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.with(2, |solo, now| solo.publish(now, credentials(1, 2, WEEK)));
    world.run_secs(10);
    for index in [1, 2] {
        assert!(is_published(&world.told(index)), "{index}");
    }
    let mut both = vec![(device(1, 1), vec![lan(1)]), (device(1, 2), vec![lan(2)])];
    both.sort();
    assert_eq!(found(&mut world, 5, 1, None, 6), both);
    assert_eq!(found(&mut world, 4, 1, Some(device(1, 2)), 6), [(device(1, 2), vec![lan(2)])]);
    assert_eq!(found(&mut world, 3, 2, None, 6), []);
    // Beyond the two hours after which records end.
    world.run_secs(3 * 3_600);
    assert_eq!(found(&mut world, 5, 1, None, 6), both);
    let count = world.told(1).iter().filter(|told| matches!(told, DhtNotice::Published { record: crate::DhtRecord::Address, .. })).count();
    assert!((3..=6).contains(&count), "{count} times in three hours");
    world.with(1, |solo, now| solo.withdraw(now));
    world.run_secs(20);
    let mut one = vec![(device(1, 1), Vec::new()), (device(1, 2), vec![lan(2)])];
    one.sort();
    assert_eq!(found(&mut world, 5, 1, None, 6), one);
    world.stop(1);
    world.run_secs(3 * 3_600);
    assert_eq!(found(&mut world, 5, 1, None, 6), [(device(1, 2), vec![lan(2)])], "it has ended");
}

/// One datagram in five is lost, and some come twice.
#[test]
fn a_network_that_loses_a_fifth_of_all_datagrams_publishes_and_finds() {
    let mut world = World::small(8);
    let mut draws = rng(77);
    world.weather = Some(Box::new(move |_, letter| match draws.below(10) {
        0 | 1 => Vec::new(),
        2 => vec![letter.clone(), letter],
        _ => vec![letter],
    }));
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(60);
    assert!(is_published(&world.told(1)));
    for n in 0..8 {
        let view = world.solo(n).view();
        assert!(view.realms[0].verified >= 5, "{n} knows others: {view:?}");
    }
    for reader in [3, 5, 7] {
        assert_eq!(found(&mut world, reader, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
    }
}

#[test]
fn whoever_holds_what_is_published_may_go_and_others_hold_it_instead() {
    let mut world = World::small(10);
    world.run_secs(10);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    world.stop(1);
    let holds =
        |world: &World| (0..10).filter(|n| world.peers[*n].solo.as_ref().is_some_and(|solo| solo.view().records > 0)).collect::<Vec<_>>();
    let holders = holds(&world);
    assert!(holders.len() >= 5 && holders.len() < 9, "{holders:?}");
    // All but one go, a minute apart each.
    for index in holders.into_iter().skip(1) {
        world.stop(index);
        world.run_secs(200);
    }
    let now_hold = holds(&world);
    let alive = world.peers.iter().filter(|peer| peer.solo.is_some()).count();
    assert!(now_hold.len() >= alive.min(5), "{now_hold:?} of {alive}");
    let reader = (2..10).find(|n| world.peers[*n].solo.is_some() && !now_hold.contains(n)).unwrap_or(now_hold[0]);
    assert_eq!(found(&mut world, reader, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
}

#[test]
fn an_entry_peer_that_comes_late_is_found_and_one_that_lies_is_survived() {
    let mut world = World::new();
    let first = world.add(1, &[lan(1)], &[lan(0), lan(9)]);
    world.run_secs(50);
    assert!(world.outside.iter().all(|(_, letter)| [lan(0), lan(9)].contains(&letter.to)));
    let pings = world.outside.iter().filter(|(_, letter)| letter.to == lan(0)).count();
    assert!((6..40).contains(&pings), "{pings} in 50 s");
    world.add(0, &[lan(0)], &[]);
    world.run_secs(45);
    let view = world.solo(first).view();
    assert_eq!((view.realms[0].verified, view.realms[0].standing), (1, DhtStanding::Serving), "{view:?}");
    // The other answers with what is none of its own.
    world.weather = Some(Box::new(|_, mut letter| {
        if letter.from == lan(8) {
            letter.bytes = b"{\"v\":1,\"t\":\"AAAAAAAAAAA\",\"r\":\"ping\"}".to_vec();
        }
        vec![letter]
    }));
    world.add(8, &[lan(8)], &[]);
    let reader = world.add(3, &[lan(3)], &[lan(8), lan(0)]);
    world.run_secs(5);
    world.with(first, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    assert_eq!(found(&mut world, reader, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
}

#[test]
fn without_entry_peers_a_node_serves_at_once_and_finds_nobody_without_delay() {
    let mut world = World::new();
    world.add(0, &[lan(0)], &[]);
    world.run_ms(100);
    assert_eq!(world.solo(0).view().realms[0].standing, DhtStanding::Serving);
    world.with(0, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    world.run_ms(10);
    assert!(matches!(world.told(0)[..], [.., DhtNotice::Ended { is_found: false, .. }]));
    world.run_secs(3_600);
    assert!(
        world.outside.is_empty()
            && !world.told(0).iter().any(|told| matches!(told, DhtNotice::Standing { standing: DhtStanding::Isolated, .. }))
    );
}

// spec-test: DHT-135
#[test]
fn who_hears_nobody_says_so_and_finds_within_seconds_of_the_networks_return() {
    let mut world = World::small(5);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    let _ = world.told(3);
    world.weather = Some(Box::new(|_, letter| if [letter.from, letter.to].contains(&lan(3)) { Vec::new() } else { vec![letter] }));
    world.run_secs(200);
    let is = |told: &[DhtNotice], wanted: DhtStanding| {
        told.iter().any(|told| matches!(told, DhtNotice::Standing { standing, .. } if *standing == wanted))
    };
    assert!(is(&world.told(3), DhtStanding::Isolated));
    world.weather = None;
    world.run_secs(120);
    assert!(is(&world.told(3), DhtStanding::Serving));
    assert_eq!(found(&mut world, 3, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
}

/// A machine wakes, and all that it asked before its network came back has missed.
// spec-test: DHT-46
#[test]
fn a_short_outage_does_not_keep_a_node_from_asking_whom_it_knows() {
    let mut world = World::small(5);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    world.weather = Some(Box::new(|_, letter| if [letter.from, letter.to].contains(&lan(3)) { Vec::new() } else { vec![letter] }));
    for n in 0..4 {
        world.with(3, |solo, now| solo.find(now, user(n + 20), &app(), None, &[])).expect("a search");
    }
    world.run_secs(7);
    world.weather = None;
    assert_eq!(world.solo(3).view().realms[0].verified, 4, "it was one outage");
    world.run_ms(100);
    assert_eq!(found(&mut world, 3, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
    assert_eq!(world.solo(3).view().realms[0].verified, 4);
}

/// Somebody who is no node puts a record at a server, as whoever holds the identity does from wherever they are.
fn put(world: &mut World, server: usize, kind: Kind, record: &str) {
    let (from, to) = (lan(200), world.peers[server].places[0]);
    let ask = |world: &mut World, cookie, request: &Request<'_>, n: u64| {
        let (mut bytes, exchange) = (Vec::new(), Exchange::from_bytes(n.to_be_bytes()));
        assert!(write_request(&mut bytes, to, &Head { exchange, id: None, cookie }, request));
        world.outside.clear();
        world.deliver(Letter { from, to, bytes });
        world.run_ms(10);
        let letter = world
            .outside
            .iter()
            .find(|(_, letter)| letter.to == from && !letter.text().contains("\"q\":"))
            .map(|(_, letter)| letter.clone());
        told(letter.expect("an answer"), exchange)
    };
    let cookie = ask(world, None, &Request::Ping { to: None }, 1).cookie;
    let target = home(1);
    let token = ask(world, cookie, &Request::Get { target, kind, device: None, known: None, write: true, is_fair: false }, 2).token;
    let done = ask(world, cookie, &Request::Put { target, kind, token, record, carry: false }, 3);
    assert!(!done.is_denied, "{}", done.letter.text());
}

// spec-test: DHT-150
#[test]
fn a_device_whose_delegation_ended_finds_its_renewal_within_seconds_of_its_being_put() {
    let mut world = World::small(4);
    let hour = Duration::from_secs(3_600);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, hour)));
    // Ten minutes count for clocks that differ.
    world.run_secs(3_600 + 650);
    let _ = world.told(1);
    world.run_secs(60);
    assert_eq!(world.told(1), [], "there is none yet");
    let keys = DeviceKeys::draw(&mut rng(1));
    let renewed = delegation(1, &keys, 3_600_000, 2 * hour);
    let record = DeviceRecord::new(Some(renewed.clone()), None).expect("a record").to_json();
    for server in [0, 2, 3] {
        put(&mut world, server, Kind::Device, &record);
    }
    world.run_secs(6);
    assert!(world.told(1).contains(&DhtNotice::Renewed(Box::new(renewed.clone()))));
    world.with(1, |solo, now| solo.publish(now, keys.credentials(renewed)));
    world.run_secs(20);
    assert_eq!(found(&mut world, 3, 1, None, 6), [(device(1, 1), vec![lan(1)])]);
}

/// Sockets are new while everybody else keeps what they know: the cookies of before are of another address.
#[test]
fn a_node_that_moves_is_found_where_it_is() {
    let mut world = World::small(5);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    for (n, rebound) in [(71, true), (72, false), (73, true)] {
        world.peers[1].places = vec![lan(n)];
        world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(n)], rebound)));
        world.run_secs(40);
        assert_eq!(found(&mut world, 3, 1, None, 6), [(device(1, 1), vec![lan(n)])], "{n}");
    }
}

/// Four who serve in both families, five who serve in the other one only, and an owner, who knows nothing of it.
fn two_families() -> (World, Vec<usize>, usize) {
    let mut world = World::new();
    for n in 0..4 {
        world.add(n, &[wan(n), wan6(n)], &[wan(0)][..usize::from(n > 0)]);
    }
    let others = (10..15).map(|n| world.add(n, &[wan6(n)], &[wan6(0)])).collect();
    world.run_secs(30);
    let owner = world.add(20, &[wan(20)], &[wan(0)]);
    world.run_secs(10);
    (world, others, owner)
}

/// How many of them hold a device record and an address record.
fn of_both_records(world: &World, all: &[usize]) -> usize {
    all.iter().filter(|index| world.solo(**index).view().records == 2).count()
}

// spec-test: DHT-115
// spec-test: DHT-147
#[test]
fn what_is_published_in_one_family_is_carried_to_the_home_in_the_other_one_once() {
    let (mut world, others, owner) = two_families();
    world.log = Some(Vec::new());
    world.with(owner, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(30);
    let holders = of_both_records(&world, &others);
    assert!(holders >= 3, "{holders} of five hold both records");
    let puts = |world: &mut World| {
        let log = world.log.replace(Vec::new()).unwrap_or_default();
        log.iter().filter(|(_, letter)| letter.is("q", "put") && letter.to.is_ipv6()).count()
    };
    // By all four in both, of whom the owner knows one at most for what they are, to five at most, of two kinds.
    assert!((6..=40).contains(&puts(&mut world)));
    world.run_secs(600);
    assert_eq!(puts(&mut world), 0, "and no more of it");
    let reader = others[0];
    assert_eq!(found(&mut world, reader, 1, None, 6), [(device(1, 1), vec![wan(20)])]);
}

/// A device record is put once in days, and carried once: who missed it then would refuse the addresses until it is renewed.
// spec-test: DHT-115
#[test]
fn a_device_record_that_was_lost_when_it_was_carried_is_carried_with_the_next_address() {
    let (mut world, others, owner) = two_families();
    world.weather = Some(Box::new(|_, letter| if letter.is("q", "put") && letter.to.is_ipv6() { Vec::new() } else { vec![letter] }));
    world.with(owner, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(60);
    world.weather = None;
    assert_eq!(of_both_records(&world, &others), 0, "what was carried is lost");
    world.run_secs(3_400);
    let holders = of_both_records(&world, &others);
    assert!(holders >= 3, "{holders} of five hold both records");
}

/// Its table is empty by then: only the entry peers are left.
// spec-test: DHT-131
#[test]
fn who_was_alone_for_an_hour_is_back_within_seconds_of_the_networks_return() {
    let mut world = World::small(5);
    world.run_secs(20);
    world.weather = Some(Box::new(|_, letter| if [letter.from, letter.to].contains(&lan(3)) { Vec::new() } else { vec![letter] }));
    world.run_secs(70);
    // It has just said so, and begins anew.
    for _ in 0..120 {
        world.run_secs(1);
        if world.told(3).iter().any(|told| matches!(told, DhtNotice::Standing { standing: DhtStanding::Isolated, .. })) {
            world.weather = None;
            world.run_secs(3);
            assert!(world.solo(3).view().realms[0].verified > 0, "{:?}", world.solo(3).view());
            return;
        }
    }
    panic!("it never says so");
}

/// A user's search does not wait until the node has joined.
// spec-test: DHT-80
#[test]
fn who_has_just_begun_finds_through_its_entry_peer_within_four_round_trips() {
    let mut world = World::small(6);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(20);
    let reader = world.add(9, &[lan(9)], &[lan(0)]);
    let _ = world.with(reader, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    world.run_ms(40);
    assert_eq!(addresses(&world.told(reader), false), [(device(1, 1), vec![lan(1)])]);
}

/// In the smallest network each of both holds what both have published.
#[test]
fn of_two_nodes_both_hold_what_one_has_published() {
    let mut world = World::small(2);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(10);
    assert_eq!((world.solo(0).view().records, world.solo(1).view().records), (2, 2));
}

/// A server and its neighbours, an hour after they began.
// spec-test: DHT-60
// spec-test: DHT-110
#[test]
fn a_quiet_network_costs_each_server_less_than_a_hundred_bytes_a_second() {
    let mut world = World::small(8);
    world.run_secs(3_600);
    world.log = Some(Vec::new());
    world.run_secs(900);
    let log = world.log.take().unwrap_or_default();
    for n in 0..8 {
        let of_one = log.iter().filter(|(_, letter)| letter.from == lan(n)).map(|(_, letter)| letter.bytes.len());
        let bytes: usize = of_one.sum();
        assert!((900..900 * 50).contains(&bytes), "{n}: {bytes} in a quarter of an hour");
    }
    let alive = log.iter().filter(|(_, letter)| letter.from == lan(1) && letter.text().contains("\"to\":")).count();
    // Seven leaves once a minute each, and one of the table each ten seconds at most.
    assert!((90..=7 * 15 * 5 / 4 + 90).contains(&alive), "{alive}");
}

/// In which seconds after its restart, within a minute, a server of twenty asked for nodes, of whom `gone` others left while it was away.
fn seconds_of_finds(gone: usize) -> Vec<u64> {
    let mut world = World::small(20);
    world.run_secs(600);
    let items = world.solo(7).save();
    (7..=7 + gone).for_each(|index| world.stop(index));
    world.run_secs(5);
    let (config, now, places) = (world.config, world.now, world.peers[7].places.clone());
    let mut solo =
        Solo::new(config, &NodeSecret::from_bytes([8; 32]), &Seed::from_bytes([99; 32]), now, world.wall()).expect("a configuration");
    assert_eq!(solo.restore(&items), 0);
    solo.handle(now, Event::addresses(&places, false));
    world.peers[7].solo = Some(solo);
    world.log = Some(Vec::new());
    world.drain(7);
    world.run_secs(66);
    assert_eq!(world.solo(7).view().realms[0].standing, DhtStanding::Serving);
    let log = world.log.take().unwrap_or_default();
    // Beside them one of the table.
    let pings = log.iter().filter(|(at, letter)| *at == now && letter.from == lan(7) && letter.text().contains("\"to\":")).count();
    assert!((16..=17).contains(&pings), "{pings}: its leaves are asked at once");
    let mut seconds: Vec<u64> =
        log.iter().filter(|(_, letter)| letter.from == lan(7) && letter.is("q", "find")).map(|(at, _)| at.since(now).as_secs()).collect();
    seconds.dedup();
    seconds
}

// spec-test: DHT-137
#[test]
fn who_begins_again_among_its_neighbours_looks_for_others_later_and_when_one_has_died_as_a_newcomer() {
    let calm = seconds_of_finds(0);
    assert!(calm.first().is_some_and(|first| (16..64).contains(first)), "{calm:?}");
    let changed = seconds_of_finds(4);
    let died = changed.iter().copied().find(|second| (20..30).contains(second)).expect("it looks as soon as one is dead");
    let after: Vec<u64> = changed.iter().filter(|second| **second >= died).map(|second| second - died).take(4).collect();
    assert_eq!(after, [0, 1, 2, 4], "{changed:?}");
}

// spec-test: DHT-129
#[test]
fn a_network_whose_nodes_publish_while_it_comes_into_being_finds_all_of_them() {
    const COUNT: u8 = 40;
    let place = |n: u8| SocketAddr::from(([44, n, 3, 1], 7_000));
    let mut world = World::new();
    for n in 0..COUNT {
        let index = world.add(n, &[place(n)], &[place(0)][..usize::from(n > 0)]);
        world.with(index, |solo, now| solo.publish(now, credentials(n + 1, n + 1, WEEK)));
        world.run_ms(100);
    }
    world.run_secs(60);
    assert!((0..COUNT).all(|n| world.solo(n.into()).view().realms[0].is_hard));
    let mut lost = Vec::new();
    for n in 0..COUNT {
        let reader = usize::from((n + 1) % COUNT);
        let _ = world.told(reader);
        world.with(reader, |solo, now| solo.find(now, user(n + 1), &app(), None, &[])).expect("a search");
        world.run_secs(6);
        if !addresses(&world.told(reader), true).iter().any(|(_, places)| places.contains(&place(n))) {
            lost.push(n);
        }
    }
    assert!(lost.is_empty(), "{lost:?}");
}

// spec-test: DHT-57
// spec-test: DHT-110
#[test]
fn a_leaf_that_is_missed_is_asked_once_for_the_table_and_the_leaf_set() {
    let mut world = World::small(4);
    world.run_secs(600);
    world.stop(2);
    world.log = Some(Vec::new());
    world.run_secs(150);
    let log = world.log.take().unwrap_or_default();
    let asked: Vec<Time> = log.iter().filter(|(_, letter)| letter.from == lan(1) && letter.to == lan(2)).map(|(at, _)| *at).collect();
    // Each request is repeated once.
    let most = asked.iter().map(|from| asked.iter().filter(|at| **at >= *from && at.since(*from) < Duration::from_secs(8)).count()).max();
    assert_eq!((most, asked.len() >= 6), (Some(2), true), "{asked:?}");
}

// spec-test: DHT-140
#[test]
fn a_family_without_a_socket_is_neither_shown_nor_told() {
    let mut world = World::new();
    for n in 0..3 {
        let entries = [wan(0), wan6(0)];
        world.add(n, &[wan(n), wan6(n)], &entries[..if n > 0 { 2 } else { 0 }]);
    }
    world.with(2, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(60);
    assert_eq!(world.solo(2).view().realms.len(), 2);
    world.with(2, |solo, now| solo.handle(now, Event::addresses(&[wan(2)], false)));
    world.peers[2].places = vec![wan(2)];
    world.run_secs(60);
    assert!(world.solo(2).view().realms.iter().all(|realm| realm.family == 4), "{:?}", world.solo(2).view());
    world.told(1);
    world.with(1, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    world.run_secs(6);
    let found = addresses(&world.told(1), true);
    assert_eq!(found.first().map(|(_, at)| at.as_slice()), Some([wan(2)].as_slice()), "{found:?}");
}

// spec-test: DHT-60
#[test]
fn when_many_have_gone_at_once_a_server_soon_knows_which() {
    let mut world = World::small(60);
    world.run_secs(900);
    let nodes = |world: &World| world.solo(1).view().realms.iter().map(|realm| realm.nodes).sum::<u64>();
    assert!(nodes(&world) >= 40, "{}", nodes(&world));
    (30..60).for_each(|gone| world.stop(gone));
    world.run_secs(120);
    assert!(nodes(&world) <= 32, "{}", nodes(&world));
    // Then all is as before.
    world.log = Some(Vec::new());
    world.run_secs(60);
    let log = world.log.take().unwrap_or_default();
    let asked = log.iter().filter(|(_, letter)| letter.from == lan(1) && letter.is("q", "ping")).count();
    assert!(asked <= 40, "{asked}");
}
