use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use proptest::prelude::*;

use super::*;
use crate::address::{Scope, block, group};
use crate::dht::id::{Variant, node_id};
use crate::id::NodeKey;
use crate::time::WallTime;

pub(super) const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
const GLOBAL6: Realm = Realm { is_v6: true, scope: Scope::Global };
pub(super) const PRIVATE: Realm = Realm { is_v6: false, scope: Scope::Private };
pub(super) const NOW: Time = Time::from_secs(100_000);
pub(super) const OWN: Hint = Hint(0);

pub(super) fn secs(n: u64) -> Time {
    NOW + Duration::from_secs(n)
}

pub(super) fn ms(n: u64) -> Rtt {
    Rtt::of(Duration::from_millis(n))
}

/// An answer in a private network, where hints are free.
pub(super) fn private(n: u32, hint: u64) -> Answer {
    let at = SocketAddr::from((Ipv4Addr::from_bits(0x0A00_0000 | n), 7));
    Answer { hint: Hint(hint), at, rtt: ms(100), by_look_up: true, is_dual: None, descent: None }
}

/// The `n`th hint of a bucket of [`OWN`]: the leading one is where they part.
pub(super) fn in_bucket(bucket: u32, n: u64) -> u64 {
    1 << (63 - bucket) | n
}

/// An answer from a global address, with a hint that fits it.
fn global(ip: impl Into<core::net::IpAddr>, variant: u8) -> Answer {
    let at = SocketAddr::new(ip.into(), 7);
    let hint = node_id(&NodeKey::from_bytes([9; 32]), at, Variant::from_low_bits(variant)).map_or(OWN, |id| id.hint());
    Answer { hint, at, rtt: ms(100), by_look_up: true, is_dual: None, descent: None }
}

/// Answers of bucket 0 from distinct ips of a group.
pub(super) fn of_group(third: u8, fourth: u8) -> impl Iterator<Item = Answer> {
    let ips = (1..=255).flat_map(move |last| (0..8).map(move |variant| global(Ipv4Addr::new(20, third, fourth, last), variant)));
    let mut met = BTreeSet::new();
    ips.filter(|answer| answer.hint.shared_bits(OWN) == 0).filter(move |answer| met.insert(answer.at))
}

fn table(realm: Realm) -> Table {
    Table::new(realm, OWN, Shape::SERVER)
}

fn hard(realm: Realm) -> Table {
    let mut table = table(realm);
    table.set_mode(Mode::Hard, NOW);
    table
}

pub(super) fn nearest(table: &Table, target: Hint, n: usize, wanted: Wanted, now: Time) -> Vec<Hint> {
    let mut out = Vec::new();
    table.nearest(target, n, wanted, now, &mut out);
    out.iter().map(|entry| entry.hint).collect()
}

pub(super) fn hints(entries: impl Iterator<Item = Entry>) -> Vec<u64> {
    entries.map(|entry| entry.hint.0).collect()
}

fn admit_unverified(answer: &Answer) -> Entry {
    let state = State::default().with_misses(UNVERIFIED);
    Entry { hint: answer.hint, at: answer.at, rtt: Rtt::UNKNOWN, seen: entry::Tick::at(NOW), state }
}

pub(super) fn waiting(table: &Table) -> Vec<u64> {
    hints(table.spares.iter(0..table.spares.len()))
}

// spec-test: DHT-50, DHT-51
#[test]
fn only_who_fits_and_has_answered_is_in_a_table() {
    let mut table = table(GLOBAL);
    let good = global(Ipv4Addr::new(20, 1, 1, 1), 0);
    for bad in [
        Answer { hint: Hint(good.hint.0 ^ 1 << 60), ..good },
        Answer { at: SocketAddr::from(([10, 0, 0, 1], 7)), ..good },
        global(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 0),
    ] {
        assert_eq!(table.on_answer(&bad, NOW), Admission::Unfit);
        assert_eq!(table.on_request(bad.hint, bad.at, NOW), Candidate::Refused);
    }
    assert_eq!(table.on_request(good.hint, good.at, NOW), Candidate::Ask);
    assert_eq!((table.len(), table.spares.len()), (0, 0), "a request changes nothing");
    assert_eq!(table.on_answer(&good, NOW), Admission::Main);
    assert_eq!(table.on_request(good.hint, good.at, NOW), Candidate::Known);
    assert_eq!(table.find(good.at).map(|entry| entry.hint), Some(good.hint));
    let mut own = Table::new(GLOBAL, good.hint, Shape::SERVER);
    assert_eq!(own.on_answer(&good, NOW), Admission::Unfit, "the own hint");
}

// spec-test: DHT-51, DHT-57
#[test]
fn a_candidate_waits_for_its_bucket_s_turn_and_goes_when_it_does_not_answer() {
    let mut table = Table::new(PRIVATE, OWN, Shape::CLIENT);
    for n in 0..16 {
        assert_eq!(table.on_answer(&private(n, in_bucket(5, n.into())), NOW), Admission::Main);
    }
    let request = |table: &mut Table, n: u32| {
        let it = private(n, in_bucket(5, n.into()));
        table.on_request(it.hint, it.at, NOW)
    };
    for n in 100..104 {
        assert_eq!((request(&mut table, n), request(&mut table, n)), (Candidate::Waits, Candidate::Known));
    }
    assert_eq!(request(&mut table, 104), Candidate::Refused, "four wait");
    let asked: Vec<u64> = (0..12).filter_map(|_| table.next_probe(secs(8), |_| false)).map(|entry| entry.hint.0).collect();
    assert_eq!(asked.iter().filter(|hint| **hint == in_bucket(5, 100)).count(), 3, "each fourth turn");
    assert_eq!(table.on_miss(private(100, 0).at, NOW), Miss::Gone);
    assert_eq!(table.on_answer(&private(101, in_bucket(5, 101)), NOW), Admission::Spare);
    assert_eq!(waiting(&table)[0], in_bucket(5, 101), "who has answered comes first");
}

// spec-test: DHT-52
#[test]
fn verified_nodes_keep_their_places_and_the_best_spare_comes_when_one_goes() {
    let mut table = Table::new(PRIVATE, OWN, Shape { is_wide: false, spares: 3 });
    for n in 0..16 {
        assert_eq!(table.on_answer(&private(n, in_bucket(5, n.into())), NOW), Admission::Main);
    }
    for (n, millis) in [(20, 80), (21, 300), (22, 200), (23, 400)] {
        let answer = Answer { rtt: ms(millis), ..private(n, in_bucket(5, n.into())) };
        assert_eq!(table.on_answer(&answer, NOW), Admission::Spare, "{n}");
    }
    assert_eq!(waiting(&table), [23, 22, 21].map(|n| in_bucket(5, n)), "who came last first, and the first fell out");
    assert_eq!(table.on_answer(&private(22, in_bucket(5, 22)), NOW), Admission::Spare);
    assert_eq!(waiting(&table), [22, 23, 21].map(|n| in_bucket(5, n)), "who answers again is not lost");
    assert_eq!(hints(table.mains()), (0..16).map(|n| in_bucket(5, n)).collect::<Vec<_>>());
    let gone = private(9, 0).at;
    for _ in 0..3 {
        table.on_miss(gone, NOW);
    }
    assert_eq!(table.find(gone), None);
    let places = (0..16).filter(|n| *n != 9).chain([22]);
    assert_eq!(hints(table.mains()), places.map(|n| in_bucket(5, n)).collect::<Vec<_>>());
}

// spec-test: DHT-52
#[test]
fn a_wide_table_has_256_128_and_64_places_in_its_far_buckets_and_32_in_others() {
    for (shape, expected) in [(Shape::SERVER, [256, 128, 64, 32, 32, 32]), (Shape::CLIENT, [16; 6])] {
        let mut table = Table::new(PRIVATE, OWN, shape);
        for n in 0..6 * 300 {
            table.on_answer(&private(n, in_bucket(n / 300, n.into())), NOW);
        }
        assert_eq!([0, 1, 2, 3, 4, 5].map(|bucket| table.mains.range(bucket).len()), expected);
        assert_eq!(table.spares.len(), 6 * shape.spares);
    }
    let mut table = table(PRIVATE);
    for n in 0..40 {
        table.on_answer(&private(n, (n + 1).into()), NOW);
    }
    assert_eq!(table.mains.range(31).len(), 32, "all that share 31 bits and more");
}

// spec-test: DHT-53, DHT-54
#[test]
fn in_a_hard_table_two_of_a_group_have_places_in_a_bucket_and_ten_in_all() {
    let mut table = hard(GLOBAL);
    let met: Vec<Admission> = of_group(1, 1).take(5).map(|answer| table.on_answer(&answer, NOW)).collect();
    assert_eq!(met, [Admission::Main, Admission::Main, Admission::Spare, Admission::Spare, Admission::Spare]);
    assert_eq!(of_group(1, 2).take(1).map(|answer| table.on_answer(&answer, NOW)).next(), Some(Admission::Main), "another group");
    for last in 1..=255 {
        for variant in 0..8 {
            table.on_answer(&global(Ipv4Addr::new(20, 1, 1, last), variant), NOW);
        }
    }
    let own: Vec<Entry> = table.mains().filter(|entry| group(entry.at) == group(SocketAddr::from(([20, 1, 1, 1], 7)))).collect();
    assert_eq!(own.len(), 10);
    assert_eq!(table.groups(), 2);
    let ips: BTreeSet<_> = own.iter().map(|entry| entry.at.ip()).collect();
    assert_eq!(ips.len(), 10, "each from an ip of its own");
}

// spec-test: DHT-53
#[test]
fn in_a_hard_table_an_ip_has_one_place_and_a_block_of_ipv6_two_in_a_bucket() {
    let mut table = hard(GLOBAL);
    let one = global(Ipv4Addr::new(20, 1, 1, 1), 0);
    assert_eq!(table.on_answer(&one, NOW), Admission::Main);
    for port in 8..40 {
        let at = SocketAddr::new(one.at.ip(), port);
        assert_ne!(
            table.on_answer(&Answer { at, ..global(Ipv4Addr::new(20, 1, 1, 1), u8::try_from(port % 8).unwrap_or(0)) }, NOW),
            Admission::Main
        );
    }
    let mut table = hard(GLOBAL6);
    for n in 0..2_000 {
        table.on_answer(&global(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 1), 0), NOW);
    }
    assert!(table.len() > 10);
    for bucket in 0..BUCKETS {
        assert!(table.mains.range(bucket).len() <= 2, "all are of 2001:db8::/32");
    }
}

// spec-test: DHT-54
#[test]
fn in_a_soft_table_who_is_over_the_caps_has_a_place_until_somebody_under_them_comes() {
    let mut table = Table::new(GLOBAL, OWN, Shape { is_wide: false, spares: 4 });
    let campus: Vec<Answer> = of_group(1, 1).take(16).collect();
    for answer in &campus {
        assert_eq!(table.on_answer(answer, NOW), Admission::Main);
    }
    assert_eq!(table.groups(), 1);
    let mut others = (2..40).filter_map(|n| of_group(n, 1).next());
    for answer in others.by_ref().take(14) {
        assert_eq!(table.on_answer(&answer, NOW), Admission::Main, "in the place of one of the campus");
    }
    assert!(others.next().is_some_and(|answer| table.on_answer(&answer, NOW) == Admission::Spare), "no more is over the caps");
    assert_eq!((table.len(), table.groups()), (16, 15));
    // And one who leaves makes place for one over the caps.
    let mut table = Table::new(GLOBAL, OWN, Shape::SERVER);
    campus.iter().for_each(|answer| assert_eq!(table.on_answer(answer, NOW), Admission::Main));
    let crowded = |table: &Table| table.mains().filter(|entry| entry.has(State::CROWDED)).count();
    assert_eq!(crowded(&table), 14);
    (0..3).for_each(|_| {
        table.on_miss(campus[0].at, NOW);
    });
    assert_eq!((table.len(), crowded(&table)), (15, 13));
    table.set_mode(Mode::Hard, NOW);
    assert_eq!((table.len(), table.spares.len()), (2, 2), "two of a group wait when the table is hard");
}

// spec-test: DHT-54
#[test]
fn groups_are_counted_up_to_64_and_endpoints_where_addresses_are_no_scarce_good() {
    let mut global_table = table(GLOBAL);
    let mut private_table = table(PRIVATE);
    for n in 0..200_u8 {
        global_table.on_answer(&global(Ipv4Addr::new(20, 1, n, 1), 0), NOW);
        private_table.on_answer(&private(n.into(), in_bucket(0, n.into())), NOW);
        assert_eq!((global_table.groups(), private_table.groups()), (global_table.len().min(64), usize::from(n + 1).min(64)));
    }
}

// spec-test: DHT-55
#[test]
fn a_quarter_of_the_places_is_kept_for_who_was_met_by_a_look_up() {
    let mut table = Table::new(PRIVATE, OWN, Shape::CLIENT);
    let met: Vec<Admission> =
        (0..13).map(|n| table.on_answer(&Answer { by_look_up: false, ..private(n, in_bucket(5, n.into())) }, NOW)).collect();
    assert!(met[..12].iter().all(|what| *what == Admission::Main) && met[12] == Admission::Spare);
    let it = private(40, in_bucket(5, 40));
    assert_eq!(table.on_request(it.hint, it.at, NOW), Candidate::Waits, "nor does who asks us get one of them");
    for n in 20..24 {
        assert_eq!(table.on_answer(&private(n, in_bucket(5, n.into())), NOW), Admission::Main);
    }
    // A near one that no look-up has met takes no place of one that was.
    let near = Answer { by_look_up: false, rtt: ms(1), ..private(30, in_bucket(5, 30)) };
    table.on_answer(&near, NOW);
    assert_eq!(table.mains().filter(|entry| entry.has(State::OWN)).count(), 4);
}

// spec-test: DHT-57
#[test]
fn a_node_goes_at_its_third_miss_in_a_row() {
    let mut table = table(PRIVATE);
    let it = private(1, in_bucket(3, 1));
    assert_eq!(table.on_miss(it.at, NOW), Miss::Unknown);
    table.on_answer(&it, NOW);
    let again = |secs| Miss::Again(Duration::from_secs(secs));
    assert_eq!((table.on_miss(it.at, NOW), table.on_miss(it.at, NOW)), (again(10), again(20)));
    assert_eq!(table.next_probe(secs(9_000), |_| false), None, "it has its own times");
    assert_eq!(table.on_answer(&it, NOW), Admission::Known);
    assert_eq!((table.on_miss(it.at, NOW), table.on_miss(it.at, NOW), table.on_miss(it.at, NOW)), (again(10), again(20), Miss::Gone));
    assert_eq!(table.len(), 0);
}

// spec-test: DHT-58
#[test]
fn another_id_at_an_address_costs_the_place_and_has_its_bucket_asked_first_once_in_ten_minutes() {
    let mut table = table(PRIVATE);
    for bucket in [3, 7] {
        for n in 0..10 {
            table.on_answer(&private(100 * bucket + n, in_bucket(bucket, n.into())), NOW);
        }
    }
    let probe = |table: &mut Table, now: Time| table.next_probe(now, |_| false).map(|entry| table.bucket(entry.hint));
    let later = secs(600);
    for n in 0..9 {
        table.on_answer(&private(700 + n, in_bucket(7, n.into())), secs(560));
    }
    assert_eq!(probe(&mut table, later), Some(3), "they are overdue");
    assert_eq!(table.on_answer(&private(709, in_bucket(9, 0)), later), Admission::Main, "the new id is like any other");
    assert_eq!(table.mains.range(7).len(), 9);
    let mut asked = BTreeSet::new();
    for turn in 0..9 {
        let now = later + Duration::from_secs(8 * turn);
        let entry = table.next_probe(now, |at| asked.contains(&at)).expect("one is to be asked");
        assert_eq!(table.bucket(entry.hint), 7);
        asked.insert(entry.at);
        table.on_answer(&Answer { at: entry.at, ..private(0, entry.hint.0) }, now + Duration::from_secs(8));
    }
    assert_eq!(asked.len(), 9);
    assert_eq!(table.next_probe(later + Duration::from_secs(90), |_| false).map(|entry| table.bucket(entry.hint)), Some(3));
    table.on_change(private(300, 0).at, later + Duration::from_secs(100));
    assert_eq!(table.suspected.map(|(bucket, _)| bucket), Some(7), "not a second bucket so soon");
    table.on_change(private(301, 0).at, later + Duration::from_secs(601));
    assert_eq!(table.suspected.map(|(bucket, _)| bucket), Some(3));
}

// spec-test: DHT-51
#[test]
fn who_is_named_waits_to_be_asked_if_there_is_a_place_for_it_and_is_named_to_nobody_before_it_answers() {
    let mut table = table(PRIVATE);
    let name = |table: &mut Table, it: &Answer| table.on_named(it.hint, it.at, NOW);
    let named = private(1, in_bucket(5, 1));
    name(&mut table, &named);
    name(&mut table, &named);
    assert_eq!((waiting(&table), table.len()), (alloc::vec![named.hint.0], 0));
    assert_eq!(nearest(&table, named.hint, 8, Wanted::Naming(Places::All), NOW), [], "a word is no answer");
    // Of the own hint, another realm, port 0, and another hint at the same address.
    for (hint, at) in [(OWN.0, "10.9.9.9:7"), (5, "20.1.1.1:7"), (6, "10.9.9.9:0"), (7, "10.0.0.1:7")] {
        table.on_named(Hint(hint), at.parse().expect("an address"), NOW);
    }
    assert_eq!(waiting(&table), [named.hint.0]);
    let asked: Vec<_> = (0..2).filter_map(|_| table.next_probe(secs(1), |_| false)).map(|entry| entry.at).collect();
    assert_eq!(asked, [named.at], "at its turn, which is each second one");
    table.on_answer(&Answer { by_look_up: false, ..named }, secs(1));
    assert_eq!((table.len(), waiting(&table).len()), (1, 0));
    // Where others than those met by look-ups have as many places as they may, nobody waits on hearsay.
    for n in 2..40 {
        table.on_answer(&Answer { by_look_up: false, ..private(n, in_bucket(5, n.into())) }, secs(2));
    }
    let before = waiting(&table).len();
    name(&mut table, &private(95, in_bucket(5, 95)));
    assert_eq!((table.mains.range(5).len(), waiting(&table).len()), (24, before));
    // No more wait than may.
    for n in 40..90 {
        name(&mut table, &private(n, in_bucket(6, n.into())));
    }
    assert_eq!(table.spares.range(6).len(), Shape::SERVER.spares);
}

// spec-test: DHT-51
#[test]
fn whoever_says_another_id_at_a_known_address_is_asked_at_once() {
    let mut table = table(PRIVATE);
    let old = private(1, in_bucket(5, 1));
    table.on_answer(&old, NOW);
    let new = private(1, in_bucket(9, 7));
    assert_eq!(table.on_request(new.hint, new.at, secs(1)), Candidate::Ask);
    assert_eq!(hints(table.mains()), [old.hint.0], "saying so changes nothing");
    table.on_answer(&new, secs(1));
    assert_eq!(hints(table.mains()), [new.hint.0]);
}

// spec-test: DHT-60
#[test]
fn while_somebody_waits_for_a_free_place_a_server_probes_sooner_and_every_second_time_for_those() {
    let mut table = table(PRIVATE);
    for n in 0..20 {
        table.on_answer(&private(n, in_bucket(3, n.into())), NOW);
    }
    assert_eq!(table.probe_interval(true).as_secs(), 10);
    for n in 100..110 {
        let it = private(n, in_bucket(4, n.into()));
        table.on_named(it.hint, it.at, NOW);
    }
    assert_eq!([true, false].map(|serves| table.probe_interval(serves).as_secs()), [8, 60]);
    let asked: Vec<bool> = (0..20).filter_map(|_| table.next_probe(secs(500), |_| false)).map(|entry| entry.is_verified()).collect();
    assert_eq!(asked.iter().filter(|is_main| **is_main).count(), 10, "{asked:?}");
    // Those that wait in a full bucket do not count.
    let mut full = self::table(PRIVATE);
    for n in 0..40 {
        full.on_answer(&private(n, in_bucket(7, n.into())), NOW);
    }
    full.add_spare(&admit_unverified(&private(90, in_bucket(7, 90))));
    assert_eq!((full.mains.range(7).len(), full.probe_interval(true).as_secs()), (32, 10));
}

// spec-test: DHT-59
#[test]
fn a_request_puts_off_a_probe_once() {
    let mut table = table(PRIVATE);
    let (one, two) = (private(1, in_bucket(3, 1)), private(2, in_bucket(3, 2)));
    table.on_answer(&one, NOW);
    table.on_answer(&two, secs(300));
    let next = |table: &mut Table, now| table.next_probe(now, |_| false).map(|entry| entry.at);
    assert_eq!(next(&mut table, secs(400)), Some(one.at));
    for n in 0..100 {
        assert_eq!(table.on_request(one.hint, one.at, secs(400 + n)), Candidate::Known);
    }
    assert_eq!(next(&mut table, secs(500)), Some(two.at), "eight minutes later");
    table.on_answer(&two, secs(900));
    assert_eq!(next(&mut table, secs(1_000)), Some(one.at), "a hundred requests are worth one period");
    table.on_answer(&one, secs(1_000));
    assert!(!table.find(one.at).is_some_and(|entry| entry.has(State::POSTPONED)), "until it answers");
}

// spec-test: DHT-60
#[test]
fn who_is_known_longer_is_asked_less_often_and_as_many_as_there_are_decide_how_often_anybody_is() {
    let mut table = table(PRIVATE);
    assert_eq!([true, false].map(|serves| table.probe_interval(serves).as_secs()), [10, 60]);
    for n in 0..1_200_u32 {
        table.on_answer(&private(n, in_bucket(n % 4, n.into())), NOW);
    }
    assert_eq!(table.len(), 480);
    assert_eq!(table.probe_interval(true), Duration::from_millis(3_125));
    (0..12_000_u32).for_each(|n| {
        table.on_answer(&private(2_000 + n, in_bucket(4 + n % 12, n.into())), NOW);
    });
    assert_eq!((table.len(), table.probe_interval(true)), (864, Duration::from_millis(2_300)), "no more often");
    // One probe each 8 s among 20 that answer each: who is old is asked an eighth as often.
    let mut table = Table::new(PRIVATE, OWN, Shape::CLIENT);
    let old: Vec<Answer> = (0..10).map(|n| private(n, in_bucket(2, n.into()))).collect();
    let young: Vec<Answer> = (10..20).map(|n| private(n, in_bucket(3, n.into()))).collect();
    for hour in 0..40 {
        old.iter().for_each(|answer| {
            table.on_answer(answer, secs(hour * 3_600));
        });
    }
    assert!(table.mains().all(|entry| entry.state.class() == 3));
    let start = secs(39 * 3_600);
    young.iter().for_each(|answer| {
        table.on_answer(answer, start);
    });
    let mut counts = [0, 0];
    for turn in 1..=90 {
        let now = start + Duration::from_secs(8 * turn);
        let entry = table.next_probe(now, |_| false).expect("one of twenty");
        let (answers, which) = if entry.hint.shared_bits(OWN) == 2 { (&old, 0) } else { (&young, 1) };
        counts[which] += 1;
        let answer = answers.iter().find(|answer| answer.at == entry.at).expect("it was told");
        table.on_answer(answer, now);
    }
    assert!(counts[0] * 5 < counts[1] && counts[0] > 0, "{counts:?}");
}

// spec-test: DHT-60
#[test]
fn a_node_is_of_the_next_class_after_half_an_hour_two_hours_and_eight_hours_on_average() {
    let mut sums = [0; 3];
    for n in 0..200_u64 {
        let mut table = table(PRIVATE);
        let answer = private(1, in_bucket(3, n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 4));
        let mut reached = 0;
        for minute in (0..=26 * 60).step_by(8) {
            table.on_answer(&answer, secs(minute * 60));
            let class = table.find(answer.at).map_or(0, |entry| entry.state.class());
            if usize::from(class) > reached {
                sums[reached] += minute;
                reached += 1;
            }
        }
        assert_eq!(reached, 3);
    }
    let means = sums.map(|sum| sum / 200);
    assert!((25..=40).contains(&means[0]) && (105..=140).contains(&means[1]) && (440..=530).contains(&means[2]), "{means:?} min");
}

// spec-test: DHT-61
#[test]
fn who_was_seen_an_hour_ago_is_asked_last_and_not_named() {
    let mut table = table(PRIVATE);
    let all: Vec<u64> = (0..10).map(|n| in_bucket(3, n)).collect();
    for (n, hint) in (0..).zip(&all) {
        table.on_answer(&private(n, *hint), if n < 5 { NOW } else { secs(3_000) });
    }
    let target = Hint(in_bucket(3, 0));
    let at = |wanted, now| nearest(&table, target, 10, wanted, now).iter().map(|hint| hint.0).collect::<Vec<_>>();
    assert_eq!(at(Wanted::Naming(Places::All), secs(3_600)), all);
    assert_eq!(at(Wanted::Naming(Places::All), secs(3_700)), all[5..]);
    assert_eq!(at(Wanted::Asking(Places::All), secs(3_700)), [&all[5..], &all[..5]].concat());
    assert_eq!(at(Wanted::Naming(Places::All), secs(9_000)), [0; 0]);
}

// spec-test: DHT-61
#[test]
fn who_has_missed_is_asked_and_named_after_the_others_of_its_step() {
    let mut table = table(PRIVATE);
    let all: Vec<Answer> = (0..8).map(|n| private(n, in_bucket(3, n.into()))).collect();
    all.iter().for_each(|answer| {
        table.on_answer(answer, NOW);
    });
    let order = |table: &Table, wanted| nearest(table, all[0].hint, 8, wanted, NOW);
    let hints = |range: Range<usize>| all[range].iter().map(|answer| answer.hint).collect::<Vec<_>>();
    assert!(all[..3].iter().all(|gone| table.on_miss(gone.at, NOW) != Miss::Unknown));
    for wanted in [Wanted::Naming(Places::All), Wanted::Asking(Places::All)] {
        assert_eq!(order(&table, wanted), [hints(3..8), hints(0..3)].concat());
    }
    // In an outage all are as before.
    assert!(all[3..].iter().all(|gone| table.on_miss(gone.at, NOW) != Miss::Unknown));
    assert_eq!(order(&table, Wanted::Naming(Places::All)), hints(0..8));
}

// spec-test: DHT-61
#[test]
fn in_a_soft_table_who_is_over_the_caps_is_named_after_the_others_of_its_step() {
    let mut table = table(GLOBAL);
    let campus: Vec<Answer> = of_group(1, 1).take(30).collect();
    campus.iter().for_each(|answer| {
        table.on_answer(answer, NOW);
    });
    let stranger = of_group(2, 1).next().expect("one of 255");
    table.on_answer(&stranger, NOW);
    let told = nearest(&table, campus[20].hint, 7, Wanted::Naming(Places::All), NOW);
    assert!(told[..3].contains(&stranger.hint) && told[..3].contains(&campus[0].hint) && told[..3].contains(&campus[1].hint));
    assert_eq!(told[3], campus[20].hint, "then the nearest of those over them");
}

// spec-test: DHT-62
#[test]
fn one_entry_peer_does_not_fill_the_first_table() {
    let share = |mode: Mode, length: u64| {
        let mut table = table(PRIVATE);
        table.set_mode(mode, NOW);
        let from = |n: u32, descent| Answer { descent: Some(descent), ..private(n, in_bucket(0, n.into())) };
        table.on_answer(&from(1, 1), NOW);
        table.on_answer(&from(2, 2), NOW);
        for n in 10..60 {
            table.on_answer(&from(n, 1), secs(length));
        }
        let crowded = table.mains().filter(|entry| entry.has(State::CROWDED)).count();
        (table.len(), table.spares.len(), crowded)
    };
    assert_eq!(share(Mode::Hard, 1), (17, 16, 0));
    assert_eq!(share(Mode::Soft, 1), (52, 0, 35), "they come last");
    assert_eq!(share(Mode::Hard, 300), (52, 0, 0), "five minutes are enough");
    // One that turns hard meanwhile keeps what is not too many; the others come when it makes no difference any more.
    let mut table = table(PRIVATE);
    for n in 0..100 {
        let descent = Some(if n < 2 { 1 } else { 2 });
        table.on_answer(&Answer { descent, ..private(n, in_bucket(n % 5, n.into())) }, NOW);
    }
    assert_eq!(table.len(), 100);
    table.set_mode(Mode::Hard, secs(1));
    assert_eq!((table.len(), table.spares.len()), (18, 80));
    table.next_probe(secs(299), |_| false);
    assert_eq!(table.len(), 18);
    table.next_probe(secs(300), |_| false);
    assert_eq!((table.len(), table.spares.len()), (98, 0));
}

// spec-test: DHT-63
#[test]
fn a_stored_table_comes_back_with_the_last_hour_s_nodes_verified() {
    let wall = WallTime::from_millis(1_763_731_808_123);
    for (realm, bytes_each, bytes_max) in [(GLOBAL, 19, 15 << 10), (GLOBAL6, 31, 24 << 10)] {
        let mut table = hard(realm);
        for n in 0..3_000_u16 {
            let part = |of: u16| u8::try_from(n % of).unwrap_or_default();
            let answer = if realm.is_v6 {
                global(Ipv6Addr::new(0x2001, n, n, 0, 0, 0, 0, 1), 1)
            } else {
                global(Ipv4Addr::new(20 + part(64), part(251), part(241), part(255)), 1)
            };
            let rtt = if n % 7 == 0 { Rtt::UNKNOWN } else { ms(u64::from(n % 400)) };
            table.on_answer(&Answer { rtt, is_dual: Some(n % 3 == 0), by_look_up: n % 2 == 0, ..answer }, secs(u64::from(n) * 3));
        }
        let bytes = table.store(secs(9_000), wall);
        assert_eq!(bytes.len(), 4 + bytes_each * table.len());
        assert!(bytes.len() < bytes_max && table.len() > 300, "{}", table.len());
        assert_eq!(bytes[..2], [1, if realm.is_v6 { 6 } else { 4 }]);
        // Half an hour later, in a process whose clock began anew.
        let later = wall + Duration::from_secs(1_800);
        let mut back = hard(realm);
        let restored = back.restore(&bytes, Time::from_secs(5), later);
        assert_eq!(restored, Ok(Restored { kept: table.len(), dropped: 0 }));
        assert!(hints(back.mains()).into_iter().eq(hints(table.mains()).into_iter()), "in their order");
        for (was, is) in table.mains().zip(back.mains()) {
            let age = was.idle(secs(9_000)) + Duration::from_secs(1_800);
            assert_eq!(
                (is.at, is.is_dual(), is.has(State::OWN), is.state.class(), is.rtt),
                (was.at, was.is_dual(), was.has(State::OWN), was.state.class(), Rtt::of_coarse(was.rtt.coarse()))
            );
            assert_eq!(is.is_verified(), age <= Duration::from_secs(3_600));
            assert!(is.idle(Time::from_secs(5)).abs_diff(age) <= Duration::from_secs(8));
        }
        assert!(back.verified() > 0 && back.verified() < back.len());
        let [silent, _] = [back.mains().find(|entry| !entry.is_verified()), None].map(|entry| entry.map(|entry| entry.at));
        assert_eq!(silent.map(|at| back.on_miss(at, Time::from_secs(6))), Some(Miss::Gone), "one miss is enough for it");
    }
}

// spec-test: DHT-52, DHT-63
#[test]
fn a_stored_node_that_has_not_answered_gives_way_to_one_that_has() {
    let mut table = Table::new(PRIVATE, OWN, Shape::CLIENT);
    (0..16).for_each(|n| {
        table.on_answer(&private(n, in_bucket(5, n.into())), NOW);
    });
    let bytes = table.store(NOW, WallTime::from_millis(1 << 40));
    let mut back = Table::new(PRIVATE, OWN, Shape::CLIENT);
    let restored = back.restore(&bytes, NOW, WallTime::from_millis((1 << 40) + 7_200_000));
    assert_eq!((restored.map(|restored| restored.kept), back.verified()), (Ok(16), 0));
    assert_eq!(nearest(&back, OWN, 16, Wanted::Naming(Places::All), NOW), []);
    assert_eq!(nearest(&back, OWN, 16, Wanted::Asking(Places::All), NOW).len(), 16);
    for n in 20..36 {
        assert_eq!(back.on_answer(&private(n, in_bucket(5, n.into())), NOW), Admission::Main);
    }
    assert_eq!((back.len(), back.verified()), (16, 16));
    let gone_back = back.restore(&bytes, NOW, WallTime::ZERO);
    assert_eq!((gone_back, back.verified()), (Ok(Restored { kept: 0, dropped: 16 }), 16), "a clock that went back makes all old");
}

// spec-test: DHT-63
#[test]
fn bytes_that_are_no_table_give_none() {
    let wall = WallTime::from_millis(1 << 40);
    let mut table = table(PRIVATE);
    (0..5).for_each(|n| {
        table.on_answer(&private(n, in_bucket(5, n.into())), NOW);
    });
    let bytes = table.store(NOW, wall);
    let restore = |bytes: &[u8]| Table::new(PRIVATE, OWN, Shape::CLIENT).restore(bytes, NOW, wall);
    assert_eq!(restore(&bytes), Ok(Restored { kept: 5, dropped: 0 }));
    assert_eq!(restore(&[&[2], &bytes[1..]].concat()), Err(Broken::Format(2)));
    assert_eq!(restore(&[&[1, 6], &bytes[2..]].concat()), Err(Broken::Content));
    assert_eq!(restore(&[&bytes[..], &[0]].concat()), Err(Broken::Content));
    for length in 0..bytes.len() {
        assert_eq!(restore(&bytes[..length]), Err(Broken::Content));
    }
    assert_eq!(restore(&[1, 4, 0xFF, 0xFF]), Err(Broken::Content));
    let mut own = Table::new(PRIVATE, Hint(in_bucket(5, 3)), Shape::CLIENT);
    assert_eq!(own.restore(&bytes, NOW, wall), Ok(Restored { kept: 4, dropped: 1 }), "not the own hint");
}

// spec-test: DHT-64
#[test]
fn ages_do_not_come_round_in_ten_days() {
    let mut table = table(PRIVATE);
    let (dead, live) = (private(1, in_bucket(3, 1)), private(2, in_bucket(3, 2)));
    table.on_answer(&dead, NOW);
    for quarter in 0..4 * 24 * 10 {
        let now = secs(quarter * 900);
        table.on_answer(&live, now);
        let told = nearest(&table, OWN, 8, Wanted::Naming(Places::All), now);
        assert_eq!(told.contains(&dead.hint), quarter <= 4, "{quarter}");
        assert!(told.contains(&live.hint));
        let idle = table.find(dead.at).map(|entry| entry.idle(now).as_secs()).unwrap_or_default();
        assert!(idle >= (quarter * 900).min(3 * 24 * 3_600) - 8 * u64::from(quarter > 0) && idle <= 4 * 24 * 3_600, "{quarter}: {idle}");
    }
    // And if nothing happens for as long as it takes them to come round.
    let mut table = self::table(PRIVATE);
    table.on_answer(&dead, NOW);
    for round in [65_536, 65_537, 65_800, 131_072] {
        assert_eq!(nearest(&table, OWN, 8, Wanted::Naming(Places::All), secs(8 * round)), []);
    }
    assert_eq!(
        table.next_probe(secs(8 * 65_536), |_| false).map(|entry| entry.idle(secs(8 * 65_536)).as_secs()),
        Some(u64::from(AGE_MAX) * 8)
    );
}

#[test]
fn at_another_own_id_the_same_nodes_are_around_it() {
    let mut table = table(PRIVATE);
    (0..10).for_each(|n| {
        table.on_answer(&private(n, in_bucket(5, n.into())), NOW);
    });
    let before = hints(table.mains());
    table.rehome(Hint(u64::MAX), NOW);
    assert_eq!((table.mains.range(0).len(), table.verified()), (10, 10));
    assert_eq!(hints(table.mains()), before);
    table.rehome(Hint(in_bucket(5, 3)), NOW);
    assert_eq!(table.len(), 9, "it is not around itself");
}

#[test]
fn the_middle_round_trip_and_a_long_one_are_known_from_eight_on() {
    let mut table = table(PRIVATE);
    for n in 0..9 {
        assert_eq!([table.median_rtt(), table.long_rtt()].map(|rtt| rtt.is_some()), [n >= 8; 2]);
        table.on_answer(&Answer { rtt: ms(10 * u64::from(n + 1)), ..private(n, in_bucket(5, n.into())) }, NOW);
    }
    assert_eq!([table.median_rtt(), table.long_rtt()], [50, 70].map(|millis| ms(millis).length()));
}

/// As large as a table becomes in a network of 10⁶: 860 and 272 nodes for who serves, 270 and 68 for who does not.
fn full(realm: Realm, shape: Shape) -> Table {
    let (mains, spares) = if shape.is_wide { (860, 17) } else { (270, 17) };
    let mut table = Table::new(realm, OWN, shape);
    for n in 0..17_000_u32 {
        let mut answer = private(n, in_bucket(n % 17, (u64::from(n) << 20) | u64::from(n)));
        if realm.is_v6 {
            answer.at = SocketAddr::from((Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, u16::try_from(n).unwrap_or(0)), 7));
        }
        table.on_answer(&answer, NOW);
    }
    assert_eq!(table.spares.len(), spares * shape.spares);
    while table.len() > mains {
        table.mains.remove(table.len() - 1);
    }
    table
}

#[test]
fn a_full_table_takes_18_and_30_bytes_a_node() {
    let private6 = Realm { is_v6: true, ..PRIVATE };
    let sums = [
        (PRIVATE, Shape::SERVER, 20_376, 18),
        (private6, Shape::SERVER, 33_960, 30),
        (PRIVATE, Shape::CLIENT, 6_084, 18),
        (private6, Shape::CLIENT, 10_140, 30),
    ];
    for (realm, shape, bytes, each) in sums {
        let table = full(realm, shape);
        assert!((bytes..=bytes + 64 * each).contains(&table.heap_bytes()), "{} {}", table.heap_bytes(), bytes);
    }
    assert!(size_of::<Table>() <= 344, "{}", size_of::<Table>());
}

/// What must hold whatever happened.
pub(super) fn check(table: &Table) {
    let mains: Vec<Entry> = table.mains().collect();
    let spares: Vec<Entry> = table.spares.iter(0..table.spares.len()).collect();
    let ends: BTreeSet<SocketAddr> = mains.iter().chain(&spares).map(|entry| entry.at).collect();
    assert_eq!(ends.len(), mains.len() + spares.len(), "one endpoint, one node");
    for bucket in 0..BUCKETS {
        let of = |shelf: &Shelf| shelf.iter(shelf.range(bucket)).collect::<Vec<_>>();
        let (mains, spares) = (of(&table.mains), of(&table.spares));
        assert!(mains.iter().chain(&spares).all(|entry| table.bucket(entry.hint) == bucket));
        assert!(mains.len() <= table.shape.places(bucket) && spares.len() <= table.shape.spares);
        let others = mains.iter().filter(|entry| !entry.has(State::OWN)).count();
        assert!(others * 4 <= table.shape.places(bucket) * 3, "{others} not met by look-ups");
        assert!(spares.is_sorted_by_key(|entry| !entry.is_verified()));
        let (fair, unfair) = (table.fair(bucket).len(), table.unfair(bucket).len());
        assert!(fair + unfair == mains.len() && unfair == usize::from(table.unfair[bucket]) && unfair <= table.shape.places(bucket) / 2);
        assert!(mains.len() < table.shape.places(bucket) || fair <= table.shape.places(bucket) / 2, "no more than half of a full one");
        let under: Vec<&Entry> = mains.iter().filter(|entry| !entry.has(State::CROWDED)).collect();
        for entry in &under {
            assert!(under.iter().filter(|other| group(other.at) == group(entry.at)).count() <= 2);
            assert!(!entry.at.is_ipv6() || under.iter().filter(|other| block(other.at) == block(entry.at)).count() <= 2);
        }
    }
    let under: Vec<&Entry> = mains.iter().filter(|entry| !entry.has(State::CROWDED)).collect();
    for entry in &under {
        assert!(under.iter().filter(|other| group(other.at) == group(entry.at)).count() <= 10);
        assert_eq!(under.iter().filter(|other| other.at.ip() == entry.at.ip()).count(), 1);
        assert_eq!(under.iter().filter(|other| other.hint == entry.hint).count(), 1);
    }
    assert!(table.mode == Mode::Soft || under.len() == mains.len(), "nobody over the caps in a hard table");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    // spec-test: DHT-52, DHT-53, DHT-54, DHT-55
    #[test]
    fn whatever_happens_caps_quarters_and_buckets_hold(is_v6: bool, steps in prop::collection::vec((0_u8..12, 0_u8..12, 0_u8..20, 0_u8..8, 1_u64..400), 1..300)) {
        let mut table = Table::new(if is_v6 { GLOBAL6 } else { GLOBAL }, OWN, Shape { is_wide: false, spares: 3 });
        let mut now = NOW;
        for (what, group, last, variant, millis) in steps {
            now = now + Duration::from_millis(millis * 500);
            let mut answer = if is_v6 {
                global(Ipv6Addr::new(0x2001, 0xd00 + u16::from(group % 3), group.into(), 0, 0, 0, 0, last.into()), variant)
            } else {
                global(Ipv4Addr::new(20, 3, group, last), variant)
            };
            answer.at.set_port(1 + u16::from(variant % 2));
            answer.rtt = ms(millis);
            answer.by_look_up = what % 2 == 0;
            answer.descent = Some(group % 3);
            match what {
                0..=5 => { table.on_answer(&answer, now); },
                6 => { table.on_request(answer.hint, answer.at, now); },
                7 | 8 => { table.next_probe(now, |_| false).map(|entry| table.on_miss(entry.at, now)); },
                9 => table.on_change(answer.at, now),
                10 => table.set_mode(if last < 10 { Mode::Hard } else { Mode::Soft }, now),
                _ => {
                    let bytes = table.store(now, WallTime::from_millis(1 << 40));
                    let mut back = Table::new(table.realm, OWN, table.shape);
                    back.set_mode(table.mode, now);
                    prop_assert!(back.restore(&bytes, now, WallTime::from_millis((1 << 40) + millis * 20_000)).is_ok());
                    table = back;
                }
            }
            check(&table);
        }
    }

    // spec-test: DHT-61
    #[test]
    fn the_nearest_are_those_that_sorting_the_whole_table_would_give(hints in prop::collection::vec((any::<u64>(), 0_u32..40), 1..600), target: u64, low in 0_u32..64, n in 1_usize..20) {
        let mut table = table(PRIVATE);
        for (n, (hint, shift)) in (0..).zip(&hints) {
            table.on_answer(&private(n, hint >> shift), NOW);
        }
        for target in [target, target >> low] {
            let mut all: Vec<Hint> = table.mains().filter(|entry| !entry.has(State::CROWDED)).map(|entry| entry.hint).collect();
            let all_under = all.len() == table.len();
            all.sort_by_key(|hint| hint.distance(Hint(target)));
            all.truncate(n);
            // A hint that two addresses claim is over the caps for the second.
            prop_assert!(!all_under || nearest(&table, Hint(target), n, Wanted::Naming(Places::All), NOW) == all);
        }
    }

    #[test]
    fn restore_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut framed = alloc::vec![1, 4, 0, u8::try_from(bytes.len() / 19).unwrap_or(0)];
        framed.extend(&bytes[..bytes.len() / 19 * 19]);
        for bytes in [&bytes, &framed] {
            let mut table = table(GLOBAL);
            let restored = table.restore(bytes, NOW, WallTime::from_millis(1 << 40));
            prop_assert_eq!(restored.map_or(0, |restored| restored.kept), table.len());
            check(&table);
        }
    }
}
