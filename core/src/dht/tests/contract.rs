//! Time, and whatever may come: the contract of a machine.

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};

use super::*;

/// A network with something going on: three are there, one publishes, one looks.
fn busy(is_ticking: bool) -> Vec<(Time, Letter)> {
    let mut world = World::small(4);
    (world.is_ticking, world.log) = (is_ticking, Some(Vec::new()));
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_ms(4_000);
    world.with(2, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    world.run_ms(3_000);
    world.log.take().unwrap_or_default()
}

#[test]
fn whoever_sleeps_exactly_to_its_deadlines_does_what_it_does_when_ticked_each_millisecond() {
    let (slept, ticked) = (busy(false), busy(true));
    assert!(slept.len() > 100);
    assert_eq!(slept, ticked);
}

#[test]
fn the_same_seeds_and_events_give_the_same_bytes() {
    assert_eq!(busy(false), busy(false));
}

#[test]
fn time_that_goes_back_is_taken_for_none_that_passed_and_counted() {
    let mut alone = Alone::new(Config::test(), lan(50));
    let (due, earlier) = (alone.solo.deadline(), Time::from_secs(3));
    alone.solo.handle(earlier, Event::Tick);
    assert_eq!((take(&mut alone.solo).0, alone.solo.deadline()), (Vec::new(), due));
    assert_eq!(alone.solo.stats().clock_went_back, 1);
    alone.solo.handle(alone.now, Event::Tick);
    assert_eq!((take(&mut alone.solo).0, alone.solo.deadline()), (Vec::new(), due), "an early tick does nothing");
}

/// Sockets come and go while everything is under way: nothing hangs and nobody spins, which `World::tick` sees.
#[test]
fn a_node_that_loses_its_sockets_in_the_middle_of_everything_neither_spins_nor_hangs() {
    for rebound in [false, true] {
        for millis in [0, 3, 7, 500, 2_100, 2_400, 4_000, 30_000] {
            let mut world = World::small(4);
            world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
            world.run_ms(millis);
            let _ = world.with(1, |solo, now| solo.find(now, user(1), &app(), None, &[]));
            world.run_ms(2);
            world.with(1, |solo, now| solo.handle(now, Event::addresses(&[], rebound)));
            world.run_secs(20);
            world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(1)], rebound)));
            world.run_secs(120);
            assert!(world.told(1).iter().any(|told| matches!(told, DhtNotice::Ended { .. })), "{rebound} {millis}: the search ends");
            world.with(1, |solo, now| solo.withdraw(now));
            world.run_secs(120);
            world.with(2, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
            world.run_secs(6);
            let told = world.told(2);
            assert!(addresses(&told, true).iter().any(|(_, all)| all.is_empty()), "{rebound} {millis}: it is said to be nowhere {told:?}");
            assert_eq!(world.solo(1).view().look_ups, 0);
        }
    }
}

/// What is being written when the sockets go is written when they are back.
#[test]
fn sockets_that_go_while_records_are_written_do_not_end_the_writing_for_good() {
    for step in 0..14 {
        let mut world = World::small(4);
        world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
        world.run_ms(2_000 + 5 * step);
        world.weather = Some(Box::new(|_, letter| if letter.to == lan(1) { Vec::new() } else { vec![letter] }));
        world.with(1, |solo, now| solo.handle(now, Event::addresses(&[], false)));
        world.run_secs(5);
        world.weather = None;
        world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(1)], false)));
        world.run_secs(120);
        let _ = world.told(1);
        world.with(1, |solo, now| solo.withdraw(now));
        world.run_secs(30);
        assert!(is_published(&world.told(1)), "{step}");
    }
}

/// A shell may list its interfaces in another order each time.
// spec-test: DHT-121
#[test]
fn whoever_has_two_addresses_stays_where_it_is_as_long_as_that_is_one_of_them() {
    let mut world = World::new();
    let first = world.add(0, &[wan(0)], &[]);
    let two = world.add(1, &[wan(1), wan(9)], &[wan(0)]);
    world.run_secs(30);
    let stands = |world: &World| (world.solo(two).view().realms[0].id.clone(), world.solo(two).view().realms[0].leaves);
    let before = stands(&world);
    assert!(before.0.is_some() && before.1 == 1, "{before:?}");
    for all in [&[wan(9), wan(1)][..], &[wan(1), wan(9)], &[wan(8), wan(9), wan(1)]] {
        world.with(two, |solo, now| solo.handle(now, Event::addresses(all, false)));
        assert_eq!(stands(&world), before, "{all:?}");
    }
    world.with(two, |solo, now| solo.handle(now, Event::addresses(&[wan(9), wan(8)], false)));
    assert_ne!(stands(&world).0, before.0, "it is gone");
    assert_eq!(world.solo(first).view().realms[0].leaves, 1);
}

/// Its address is gone, and with it its service: what it meant to repair as a server waits for nothing.
#[test]
fn who_does_not_serve_any_more_is_not_woken_for_what_only_servers_do() {
    let mut world = World::new();
    for n in 0..4 {
        world.add(n, &[wan(n)], &[wan(0)][..usize::from(n > 0)]);
    }
    world.with(2, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(60);
    assert!(world.solo(1).view().realms[0].leaves > 0 && world.solo(1).view().records > 0);
    world.weather = Some(Box::new(|_, letter| if [letter.from, letter.to].contains(&lan(1)) { Vec::new() } else { vec![letter] }));
    world.peers[1].places = vec![lan(1)];
    world.with(1, |solo, now| solo.handle(now, Event::addresses(&[lan(1)], true)));
    world.run_secs(2_000);
    assert!(world.solo(1).view().realms.iter().filter(|realm| realm.reach == crate::DhtReach::Global).all(|realm| realm.leaves == 0));
}

/// A whole life: days without a wall clock, then one that jumps.
#[test]
fn nobody_spins_when_the_wall_clock_jumps_by_days() {
    let mut world = World::small(3);
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    for days in [1_i64, 9, -30, 400, -2, 0] {
        world.run_secs(30);
        let wall = WallTime::from_millis(WALL.saturating_add_signed(days * 86_400_000));
        for index in 0..3 {
            world.with(index, |solo, now| solo.handle(now, Event::clock(wall)));
        }
        world.run_secs(3_700);
    }
    let wall = world.wall();
    for index in 0..3 {
        world.with(index, |solo, now| solo.handle(now, Event::clock(wall)));
    }
    world.run_secs(3_600);
    let _ = world.told(2);
    world.with(2, |solo, now| solo.find(now, user(1), &app(), None, &[])).expect("a search");
    world.run_secs(6);
    assert_eq!(addresses(&world.told(2), true).len(), 1, "with the right time all is as it was");
}

/// One thing that happens to a node.
#[derive(Clone, Debug)]
enum Hit {
    /// A datagram that was once sent comes (again), perhaps changed, perhaps from elsewhere.
    Replay {
        which: u16,
        to: u8,
        from: Option<u8>,
        change: Option<(u16, u8)>,
    },
    /// Time passes.
    Wait(u16),
    Wall(i8),
    Sockets {
        of: u8,
        are_some: bool,
        rebound: bool,
    },
    Find(u8),
    Publish(u8),
    Withdraw(u8),
}

fn hits() -> impl proptest::strategy::Strategy<Value = Vec<Hit>> {
    use proptest::strategy::Strategy as _;
    let replay = (any::<u16>(), 0..4_u8, any::<Option<u8>>(), any::<Option<(u16, u8)>>());
    let hit = proptest::prop_oneof![
        12 => replay.prop_map(|(which, to, from, change)| Hit::Replay { which, to, from, change }),
        6 => any::<u16>().prop_map(Hit::Wait),
        1 => any::<i8>().prop_map(Hit::Wall),
        1 => (0..4_u8, any::<bool>(), any::<bool>()).prop_map(|(of, are_some, rebound)| Hit::Sockets { of, are_some, rebound }),
        1 => (0..4_u8).prop_map(Hit::Find),
        1 => (0..4_u8).prop_map(Hit::Publish),
        1 => (0..4_u8).prop_map(Hit::Withdraw),
    ];
    prop::collection::vec(hit, 0..200)
}

fn apply(world: &mut World, hit: &Hit) {
    match *hit {
        Hit::Replay { which, to, from, change } => {
            let log = world.log.as_ref().map_or(&[][..], Vec::as_slice);
            let Some((_, mut letter)) = log.get(usize::from(which) % log.len().max(1)).cloned() else { return };
            if which % 2 == 0 {
                letter.to = lan(to);
            }
            if let Some(from) = from {
                letter.from = if from < 8 { lan(from) } else { SocketAddr::from(([from, 1, 2, 3], 7_000)) };
            }
            if let Some((at, byte)) = change {
                let at = usize::from(at) % letter.bytes.len().max(1);
                letter.bytes[at] = byte;
            }
            world.deliver(letter);
        }
        Hit::Wait(millis) => world.run_ms(millis.into()),
        Hit::Wall(days) => {
            let wall = WallTime::from_millis(WALL.saturating_add_signed(i64::from(days) * 86_400_000));
            world.with(1, |solo, now| solo.handle(now, Event::clock(wall)));
        }
        Hit::Sockets { of, are_some, rebound } => {
            let all = [lan(of)];
            world.with(of.into(), |solo, now| solo.handle(now, Event::addresses(&all[..usize::from(are_some)], rebound)));
        }
        Hit::Find(n) => drop(world.with(n.into(), |solo, now| solo.find(now, user(n % 2 + 1), &app(), None, &[]))),
        Hit::Publish(n) => world.with(n.into(), |solo, now| solo.publish(now, credentials(n % 2 + 1, n, WEEK))),
        Hit::Withdraw(n) => world.with(n.into(), |solo, now| solo.withdraw(now)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // spec-test: DHT-42
    #[test]
    fn whatever_happens_nothing_grows_without_bound_and_the_network_serves_afterwards(hits in hits()) {
        let mut world = World::small(4);
        world.log = Some(Vec::new());
        world.run_secs(4);
        for hit in &hits {
            apply(&mut world, hit);
            for peer in &world.peers {
                let view = peer.solo.as_ref().expect("it is up").view();
                prop_assert!(view.requests <= 512 && view.look_ups <= 200 && view.realms.len() <= 6, "{view:?}");
                prop_assert!(view.realms.iter().all(|realm| realm.nodes < 1_000 && realm.leaves <= 16));
            }
        }
        world.log = None;
        // All are back, with the right time.
        let wall = world.wall();
        for n in 0..4_u8 {
            world.with(n.into(), |solo, now| solo.handle(now, Event::addresses(&[lan(n)], true)));
            world.with(n.into(), |solo, now| solo.handle(now, Event::clock(wall)));
        }
        world.run_secs(700);
        world.with(0, |solo, now| solo.publish(now, credentials(9, 9, WEEK)));
        world.run_secs(60);
        let _ = world.told(3);
        let tag = world.with(3, |solo, now| solo.find(now, user(9), &app(), None, &[])).expect("a search");
        world.run_secs(6);
        let told = world.told(3);
        let is_of = |notice: &&DhtNotice| matches!(notice, DhtNotice::Found { tag: of, is_final: true, addresses, .. } if *of == tag && **addresses == [lan(0)]);
        prop_assert!(told.iter().any(|notice| is_of(&notice)), "{told:?} {:?}", world.solo(3).view());
        prop_assert!(world.solo(3).view().requests <= 8, "nothing is left on its way");
    }
}
