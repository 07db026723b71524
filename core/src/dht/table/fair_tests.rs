//! Who is there for being near, and that nobody becomes fair by it.

use alloc::vec::Vec;

use super::tests::{GLOBAL, NOW, OWN, PRIVATE, check, hints, in_bucket, ms, nearest, of_group, private, secs, waiting};
use super::*;
use crate::time::WallTime;

const BUCKET: u32 = 5;

/// An answer of the `n`th node of the bucket, which is so far away.
fn away(n: u32, millis: u64) -> Answer {
    Answer { rtt: ms(millis), ..private(n, in_bucket(BUCKET, n.into())) }
}

fn meet(table: &mut Table, all: impl IntoIterator<Item = u32>, millis: u64) {
    all.into_iter().for_each(|n| {
        table.on_answer(&away(n, millis), NOW);
    });
}

fn lose(table: &mut Table, n: u32) {
    (0..3).for_each(|_| {
        table.on_miss(away(n, 0).at, NOW);
    });
}

/// The numbers of who is fair.
fn fair(table: &Table) -> Vec<u64> {
    let told = nearest(table, Hint(in_bucket(BUCKET, 0)), 32, Wanted::Naming(Places::Fair), NOW);
    told.into_iter().map(|hint| hint.0 - in_bucket(BUCKET, 0)).collect()
}

/// Sixteen of 100 ms, then twenty of 1 ms, who have the second half.
fn contested(spares: usize) -> Table {
    let mut table = Table::new(PRIVATE, OWN, Shape { is_wide: false, spares });
    meet(&mut table, 0..15, 100);
    assert_eq!(fair(&table).len(), 15, "there is a place for everybody");
    meet(&mut table, [15], 100);
    assert_eq!(fair(&table), (0..8).collect::<Vec<_>>(), "the bucket is full");
    meet(&mut table, 100..120, 1);
    assert_eq!(fair(&table), (0..8).collect::<Vec<_>>());
    table
}

// spec-test: DHT-56
#[test]
fn who_is_near_takes_places_of_the_second_half_only() {
    let mut table = Table::new(PRIVATE, OWN, Shape::CLIENT);
    for n in 0..16 {
        table.on_answer(&Answer { rtt: ms(100 + u64::from(n)), ..private(n, in_bucket(5, n.into())) }, NOW);
    }
    assert_eq!(table.on_answer(&Answer { rtt: ms(95), ..private(20, in_bucket(5, 20)) }, NOW), Admission::Spare, "not much nearer");
    for n in 21..60 {
        table.on_answer(&Answer { rtt: ms(1), ..private(n, in_bucket(5, n.into())) }, NOW);
    }
    let places = hints(table.mains());
    assert!(places[..8].iter().copied().eq((0..8).map(|n| in_bucket(5, n))), "the first half stays");
    assert!(places[8..].iter().all(|hint| *hint > in_bucket(5, 20)), "liars had the other: {places:?}");
    // To who asks for those who are fair the first half is named; in a bucket that is not full all are.
    for n in 0..3 {
        table.on_answer(&private(100 + n, in_bucket(2, n.into())), NOW);
    }
    let fair =
        |target, n| nearest(&table, Hint(target), n, Wanted::Naming(Places::Fair), NOW).iter().map(|hint| hint.0).collect::<Vec<_>>();
    let first: Vec<u64> = (0..8).map(|n| in_bucket(5, n)).collect();
    assert_eq!(fair(in_bucket(5, 0), 8), first);
    assert_eq!(fair(in_bucket(5, 30), 32).len(), 11, "those of other buckets after them");
    assert_eq!(fair(in_bucket(2, 0), 3), (0..3).map(|n| in_bucket(2, n)).collect::<Vec<_>>());
    assert_eq!(nearest(&table, Hint(in_bucket(2, 0)), 32, Wanted::Asking(Places::All), NOW).len(), 19);
}

// spec-test: DHT-52, DHT-56
#[test]
fn who_is_near_does_not_become_fair_by_way_of_the_spares() {
    let mut table = contested(16);
    // Eight of the first half leave, and others come between.
    for n in 0..8 {
        meet(&mut table, 200 + 4 * n..204 + 4 * n, 100);
        lose(&mut table, n);
    }
    assert_eq!(fair(&table), (0..8).map(|n| 203 + 4 * n).collect::<Vec<_>>(), "who came last");
    // Whoever is near and comes last is fair as everybody is, but not before others for being near.
    meet(&mut table, [300, 301], 1);
    meet(&mut table, [302], 100);
    lose(&mut table, 203);
    lose(&mut table, 207);
    assert_eq!(fair(&table)[6..], [301, 302]);
}

// spec-test: DHT-52, DHT-60
#[test]
fn spares_that_are_gone_are_found_out_one_after_the_other_and_make_room() {
    let mut table = Table::new(PRIVATE, OWN, Shape { is_wide: false, spares: 4 });
    meet(&mut table, 0..16, 100);
    meet(&mut table, 100..104, 100);
    let now = secs(600);
    (0..15).for_each(|n| {
        table.on_answer(&away(n, 100), now);
    });
    for gone in [15, 103, 102, 101, 100] {
        let asked = table.next_probe(now, |_| false).map(|entry| entry.at);
        assert_eq!(asked, Some(away(gone, 0).at), "who answered longest ago");
        lose(&mut table, gone);
    }
    assert_eq!((table.len(), waiting(&table).len()), (15, 0));
    // Or those that come later push them out.
    meet(&mut table, [20], 100);
    meet(&mut table, 100..104, 100);
    meet(&mut table, 200..204, 100);
    assert_eq!(waiting(&table), [203, 202, 201, 200].map(|n| in_bucket(BUCKET, n)));
}

// spec-test: DHT-56
#[test]
fn a_place_won_by_being_near_goes_to_the_nearest_spare() {
    let mut table = contested(4);
    meet(&mut table, [200], 2);
    meet(&mut table, [201, 202], 100);
    assert_eq!(waiting(&table), [202, 201, 200, 119].map(|n| in_bucket(BUCKET, n)));
    for (gone, comes) in [(107, 119), (119, 200), (200, 202)] {
        lose(&mut table, gone);
        assert_eq!(hints(table.mains())[15], in_bucket(BUCKET, comes));
        assert_eq!(fair(&table), (0..8).collect::<Vec<_>>());
    }
}

// spec-test: DHT-56
#[test]
fn nobody_becomes_fair_because_another_leaves() {
    let mut table = contested(0);
    let near = hints(table.mains().skip(8));
    for gone in 0..8 {
        lose(&mut table, gone);
        assert_eq!(fair(&table), (u64::from(gone) + 1..8).collect::<Vec<_>>(), "nor is a bucket with a free place all fair");
    }
    assert_eq!(hints(table.mains()), near);
    // Whoever comes to a free place is, near or not.
    meet(&mut table, 200..206, 1);
    meet(&mut table, 206..208, 300);
    assert_eq!((fair(&table), table.len()), ((200..208).collect(), 16));
    // And when nobody is left who has won a place, all are.
    near.iter().for_each(|hint| lose(&mut table, u32::try_from(hint - in_bucket(BUCKET, 0)).unwrap_or(0)));
    meet(&mut table, 210..217, 50);
    assert_eq!(fair(&table).len(), 15);
    meet(&mut table, [220], 50);
    assert_eq!(fair(&table), (200..208).collect::<Vec<_>>(), "until the bucket is full again");
}

// spec-test: DHT-55, DHT-56
#[test]
fn who_is_near_wins_no_fair_place_of_a_bucket_that_has_no_room_but_for_others() {
    let mut table = Table::new(PRIVATE, OWN, Shape { is_wide: false, spares: 0 });
    let other = |n, millis| Answer { by_look_up: false, ..away(n, millis) };
    for n in 0..12 {
        table.on_answer(&other(n, 100), NOW);
    }
    for n in 100..110 {
        table.on_answer(&other(n, 1), NOW);
    }
    assert_eq!((table.len(), fair(&table)), (12, (0..8).collect()), "a quarter is kept free");
    // Of the first half nobody is left but two; who is there for being near is not safe from who is nearer.
    (2..8).for_each(|n| lose(&mut table, n));
    table.on_answer(&other(120, 1), NOW);
    assert!(!fair(&table).iter().any(|n| (100..110).contains(n)), "{:?}", fair(&table));
}

// spec-test: DHT-56, DHT-63
#[test]
fn at_another_own_id_and_after_a_restart_nobody_has_become_fair() {
    let mut table = contested(0);
    lose(&mut table, 3);
    let before = fair(&table);
    let near = hints(table.mains().skip(7));
    table.rehome(Hint(u64::MAX), NOW);
    check(&table);
    assert_eq!((fair(&table), hints(table.mains().skip(7))), (before.clone(), near), "of another bucket now");
    table.rehome(OWN, NOW);
    assert_eq!((before.len(), fair(&table)), (7, before.clone()));
    let wall = WallTime::from_millis(1 << 40);
    let stored = table.store(NOW, wall);
    for (own, is_same) in [(OWN, true), (Hint(u64::MAX), false)] {
        let mut back = Table::new(PRIVATE, own, Shape::CLIENT);
        assert!(back.restore(&stored, NOW, wall).is_ok());
        check(&back);
        assert_eq!((back.len(), fair(&back)), (15, before.clone()), "around the same id: {is_same}");
    }
}

// spec-test: DHT-56
#[test]
fn who_finds_no_place_at_another_own_id_waits() {
    let mut table = Table::new(PRIVATE, OWN, Shape { is_wide: false, spares: 16 });
    // Two full buckets that are one from there.
    for bucket in [5, 6] {
        (0..16).for_each(|n| {
            table.on_answer(&Answer { rtt: ms(100), ..private(100 * bucket + n, in_bucket(bucket, n.into())) }, NOW);
        });
    }
    table.rehome(Hint(u64::MAX), NOW);
    check(&table);
    let all: Vec<u64> = hints(table.mains()).into_iter().chain(waiting(&table)).collect();
    assert_eq!((table.len(), all.len()), (16, 32), "{all:x?}");
}

// spec-test: DHT-52
#[test]
fn one_network_does_not_push_the_spares_of_others_out() {
    let mut table = Table::new(GLOBAL, OWN, Shape::CLIENT);
    table.set_mode(Mode::Hard, NOW);
    let mut others = (0..=255).flat_map(|fourth| of_group(2, fourth).take(1));
    let mut known: Vec<SocketAddr> = Vec::new();
    while waiting(&table).len() < 4 {
        let answer = others.next().expect("of many groups");
        known.push(answer.at);
        table.on_answer(&answer, NOW);
    }
    let before = waiting(&table);
    let mut gang = of_group(1, 1);
    for answer in gang.by_ref().take(40) {
        table.on_answer(&answer, NOW);
        check(&table);
    }
    let left = waiting(&table).into_iter().filter(|hint| before.contains(hint)).count();
    assert_eq!((waiting(&table).len(), left), (4, 2), "two of the gang wait, the last that came");
    // Nor do they who only say that they are there, once two wait.
    let asking = gang.next().expect("one more");
    assert_ne!(table.on_request(asking.hint, asking.at, NOW), Candidate::Ask);
    assert_eq!(waiting(&table).into_iter().filter(|hint| before.contains(hint)).count(), 2);
}
