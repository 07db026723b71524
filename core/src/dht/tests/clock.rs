//! Wall clocks that were wrong and are set: whoever published with one is found within a minute.

use super::living::{device, found};
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Sets a machine's clock so far ahead of the right one.
fn set_clock(world: &mut World, index: usize, ahead: Duration) {
    let wall = world.wall() + ahead;
    world.with(index, |solo, now| solo.handle(now, Event::clock(wall)));
}

/// The first and the last of so many, without machine 1.
fn readers(count: u8) -> impl Iterator<Item = usize> {
    [0, usize::from(count) - 1].into_iter().filter(|reader| *reader != 1)
}

/// Machine 1 is found where it is.
fn assert_found(world: &mut World, reader: usize, why: &str) {
    assert_eq!(found(world, reader, 1, None, 6), [(device(1, 1), vec![lan(1)])], "{why}");
}

// spec-test: DHT-103, DHT-141
#[test]
fn whose_clock_alone_was_ahead_is_found_within_a_minute_after_it_is_set() {
    for (count, ahead) in [(2, HOUR), (2, 5 * DAY), (30, HOUR), (30, 5 * DAY)] {
        let why = alloc::format!("{count} machines, {ahead:?} ahead");
        let mut world = World::small(count);
        set_clock(&mut world, 1, ahead);
        world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
        // Long enough that what nobody takes is repeated seldom.
        world.run_secs(1_500);
        for reader in readers(count) {
            assert_eq!(found(&mut world, reader, 1, None, 6), [], "{why}: its records are refused");
        }
        set_clock(&mut world, 1, Duration::ZERO);
        world.run_secs(40);
        readers(count).for_each(|reader| assert_found(&mut world, reader, &why));
        assert!(is_published(&world.told(1)), "{why}");
    }
}

/// As on one host whose clock was wrong: all hold, and have accepted, what was dated ahead.
// spec-test: DHT-93, DHT-103, DHT-141
#[test]
fn when_all_clocks_were_ahead_everybody_is_found_within_a_minute_after_the_last_one_is_set() {
    for (count, is_owner_first) in [(2, true), (2, false), (30, true), (30, false)] {
        let why = alloc::format!("{count} machines, the owner {}", if is_owner_first { "first" } else { "last" });
        let mut world = World::small(count);
        let all = 0..usize::from(count);
        all.clone().for_each(|index| set_clock(&mut world, index, HOUR));
        world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
        world.run_secs(60);
        readers(count).for_each(|reader| assert_found(&mut world, reader, &why));
        let mut order: Vec<usize> = all.filter(|index| *index != 1).collect();
        order.insert(if is_owner_first { 0 } else { order.len() }, 1);
        for index in order {
            set_clock(&mut world, index, Duration::ZERO);
            world.run_secs(2);
        }
        world.run_secs(40);
        readers(count).for_each(|reader| assert_found(&mut world, reader, &why));
        // Until the time has come that was ahead then, and over it; a clock that says what is known already is not set anew.
        for _ in 0..if count == 2 { 18 } else { 0 } {
            (0..usize::from(count)).for_each(|index| set_clock(&mut world, index, Duration::ZERO));
            world.run_secs(300);
            readers(count).for_each(|reader| assert_found(&mut world, reader, &why));
        }
    }
}

/// The numbers that were accepted and given lie on disk.
// spec-test: DHT-93, DHT-145
#[test]
fn what_was_stored_while_clocks_were_ahead_hides_nobody_after_a_restart_with_right_ones() {
    let mut world = World::small(3);
    (0..3).for_each(|index| set_clock(&mut world, index, HOUR));
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(60);
    assert_found(&mut world, 2, "by the clock that all share");
    let kept: Vec<_> = (0..3).map(|index| world.solo(index).save()).collect();
    (0..3).for_each(|index| world.stop(index));
    for (index, items) in kept.iter().enumerate() {
        let n = u8::try_from(index).expect("few");
        let seed = Seed::from_bytes([n + 201; 32]);
        let mut solo =
            Solo::new(world.config, &NodeSecret::from_bytes([n + 1; 32]), &seed, world.now, world.wall()).expect("a configuration");
        assert_eq!(solo.restore(items), 0);
        solo.handle(world.now, Event::addresses(&[lan(n)], false));
        world.peers[index].solo = Some(solo);
        world.drain(index);
    }
    world.with(1, |solo, now| solo.publish(now, credentials(1, 1, WEEK)));
    world.run_secs(50);
    assert_found(&mut world, 2, "by the right clock");
}

/// A clock that was behind: what others say was ahead of it, what it said was over.
// spec-test: DHT-141
#[test]
fn whose_clock_was_behind_finds_and_is_found_within_a_minute_after_it_is_set() {
    for behind in [HOUR, 3 * HOUR] {
        let mut world = World::small(5);
        // By then delegations have begun for longer than the clock will be behind.
        world.run_secs(4 * 3_600);
        for (index, behind) in [(1, behind), (2, Duration::ZERO)] {
            let wall = WallTime::from_millis(world.wall().as_millis() - u64::try_from(behind.as_millis()).expect("it is short"));
            world.with(index, |solo, now| solo.handle(now, Event::clock(wall)));
            let n = u8::try_from(index).expect("few");
            world.with(index, |solo, now| solo.publish(now, credentials(n, n, WEEK)));
        }
        world.run_secs(600);
        assert_eq!(found(&mut world, 1, 2, None, 6), [], "it is ahead");
        assert_eq!(found(&mut world, 3, 1, None, 6).is_empty(), behind > 2 * HOUR);
        set_clock(&mut world, 1, Duration::ZERO);
        world.run_secs(50);
        assert_eq!(found(&mut world, 1, 2, None, 6), [(device(2, 2), vec![lan(2)])]);
        assert_found(&mut world, 3, "it is signed anew");
    }
}
