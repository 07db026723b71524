use core::time::Duration;

use super::*;
use crate::dht::home::tests::{Bed, NOW, Owner, put};
use crate::dht::leaf::Ask;
use crate::dht::leaf::tests::{LAN, leaf};
use crate::dht::wire::Kind;
use crate::rng::Seed;

const OWN: Hint = Hint(1 << 40);

/// What was asked and pushed, and when.
type Done = (Vec<(Check, Time)>, Vec<(Push, Time)>);

struct Bench {
    leaves: LeafSet,
    repair: Repair,
    bed: Bed,
    rng: Rng,
    now: Time,
}

impl Bench {
    /// A server with device records of so many users, whose leaves are settled.
    fn new(users: u16, hints: &[u64]) -> Self {
        let mut bed = Bed::new(OWN, 1 << 20);
        for user in 0..users {
            let owner = Owner::new(user, 1);
            bed.put(&put(&owner, Kind::Device, &owner.device(NOW), "20.0.0.1:1")).unwrap();
        }
        let rng = Rng::from_seed(&Seed::from_bytes([3; 32]));
        let mut bench = Self { leaves: LeafSet::new(LAN, OWN), repair: Repair::new(false, [1, 2]), bed, rng, now: Time::from_secs(100) };
        hints.iter().for_each(|hint| bench.join(*hint));
        bench.run(Duration::from_secs(1_200), |_| Answer::Holds(Some(u64::MAX)));
        assert!(bench.repair.is_idle());
        bench
    }

    fn join(&mut self, hint: u64) {
        let Self { leaves, now, rng, .. } = self;
        assert!(leaves.offer(Hint(hint), leaf(Hint(hint)).at, *now));
        for _ in 0..100 {
            match leaves.next(*now) {
                Some(Ask::Alive { hint, .. }) => leaves.on_alive(hint, *now, rng),
                Some(Ask::Hello { hint, .. }) => {
                    assert!(leaves.on_proven(&leaf(hint), *now, rng));
                    return;
                }
                None => *now = *now + Duration::from_millis(250),
            }
        }
    }

    /// All checks of so long and when they were made, answered as said, and what was pushed.
    fn run(&mut self, length: Duration, answer: impl Fn(&Check) -> Answer) -> Done {
        let (mut checks, mut pushes) = (Vec::new(), Vec::new());
        let end = self.now + length;
        let (mut now, mut steps) = (Some(self.now), 0);
        while let Some(time) = now.filter(|time| *time <= end) {
            let Self { leaves, repair, bed, rng, .. } = self;
            while let Some(check) = repair.next(leaves, &bed.home, leaves.len(), time, rng) {
                checks.push((check, time));
                pushes.extend(repair.on_checked(check.number, answer(&check), &bed.home, time).map(|push| (push, time)));
            }
            now = repair.due();
            steps += 1;
            assert!(steps < 20_000, "due is when there is something, or more to look at");
        }
        self.now = end;
        (checks, pushes)
    }
}

fn lacks(_: &Check) -> Answer {
    Answer::Holds(None)
}

/// Hints of four, of whom all lie nearer to each record than ourselves, or farther, with their keys.
fn five_with_us() -> [u64; 4] {
    [1 << 41, 1 << 42, 1 << 43, 1 << 44]
}

// spec-test: DHT-112
#[test]
fn each_rank_waits_its_turn_for_a_newcomer_and_asks_about_each_record_once() {
    let mut bench = Bench::new(12, &five_with_us());
    // A fifth of five, so near to all that it displaces one of them for each record.
    let began = bench.now;
    bench.join(1 << 39);
    let ranks: Vec<(Name, u32)> =
        bench.bed.home.after(None).filter_map(|(name, _)| Some((*name, bench.leaves.five(name.home.hint()).rank(OWN)?))).collect();
    assert!(ranks.len() > 6);
    let (checks, pushes) = bench.run(Duration::from_secs(300), lacks);
    assert_eq!(pushes.len(), checks.len());
    let each = delay(5);
    assert_eq!(each, Duration::from_millis(625));
    for (name, rank) in ranks {
        let five = bench.leaves.five(name.home.hint());
        let of_record: Vec<_> = checks.iter().filter(|(check, _)| check.name == name).collect();
        assert_eq!(of_record.len(), usize::from(five.rank(Hint(1 << 39)).is_some()));
        for (check, at) in of_record {
            assert_eq!(check.to, Hint(1 << 39));
            assert!(at.since(began) >= each * rank, "{rank} at {at}");
        }
    }
}

// spec-test: DHT-112
#[test]
fn a_death_brings_the_record_to_the_sixth_if_it_lacks_it() {
    let mut bench = Bench::new(12, &[1 << 41, 1 << 42, 1 << 43, 1 << 44, 1 << 45, 1 << 46]);
    assert!(bench.leaves.on_gone(Hint(1 << 42)).is_some());
    let (checks, pushes) =
        bench.run(Duration::from_secs(300), |check| Answer::Holds(Some(if check.name.to_bytes()[0] % 2 == 0 { u64::MAX } else { 1 })));
    assert!(!checks.is_empty());
    for (check, _) in &checks {
        let home = check.name.home.hint();
        let with = Five::of(home, bench.leaves.hints().chain([OWN, Hint(1 << 42)]));
        assert!(with.rank(check.to).is_none() && bench.leaves.five(home).rank(check.to).is_some());
        let is_pushed = pushes.iter().any(|(push, _)| (push.name, push.to) == (check.name, check.to));
        assert_eq!(is_pushed, check.name.to_bytes()[0] % 2 != 0, "only what it has in an older form");
    }
}

// spec-test: DHT-113
#[test]
fn repair_spends_two_kibibytes_a_second_and_no_more() {
    let mut bench = Bench::new(300, &five_with_us());
    let began = bench.now;
    bench.join(1 << 39);
    let (checks, pushes) = bench.run(Duration::from_secs(900), lacks);
    let bytes = |push: &Push| 240 + bench.bed.home.find(&push.name).map_or(0, |held| held.json().len() as u64);
    let mut sent: Vec<(Time, u64)> = checks.iter().map(|(_, at)| (*at, 200)).collect();
    sent.extend(pushes.iter().map(|(push, at)| (*at, bytes(push))));
    sent.sort_unstable();
    let all: u64 = sent.iter().map(|(_, bytes)| bytes).sum();
    assert!(pushes.len() > 150, "{}", pushes.len());
    let last = sent.last().map(|(at, _)| at.since(began).as_secs()).unwrap();
    assert!(last >= all / 2_048 - 2 && last <= all / 2_048 + 10, "{last} s for {all} B");
    for (start, _) in &sent {
        let second: u64 =
            sent.iter().filter(|(at, _)| at >= start && at.since(*start) < Duration::from_secs(1)).map(|(_, bytes)| bytes).sum();
        assert!(second <= 2_048 + 1_100, "{second} B in the second from {start}");
    }
}

// spec-test: DHT-113
#[test]
fn records_of_many_do_not_wait_behind_the_revocations_or_records_of_one() {
    for junk in [Kind::Revocation, Kind::Device] {
        let mut bench = Bench::new(0, &five_with_us());
        for user in 0..300 {
            let owner = Owner::new(user, 1);
            let json = if junk == Kind::Device { owner.device(NOW) } else { owner.revocation(1, NOW) };
            bench.bed.put(&put(&owner, junk, &json, "20.0.0.1:1")).unwrap();
        }
        let owners: Vec<Owner> = (1_000..1_012).map(|user| Owner::new(user, 1)).collect();
        for owner in &owners {
            bench.bed.put(&put(owner, Kind::Device, &owner.device(NOW), "30.0.0.1:1")).unwrap();
            bench.bed.put(&put(owner, Kind::Revocation, &owner.revocation(1, NOW), "30.0.0.1:1")).unwrap();
        }
        let began = bench.now;
        // Another one comes meanwhile, and neither waits for all that the first is given.
        bench.join(1 << 39);
        let (mut checks, _) = bench.run(Duration::from_secs(30), lacks);
        bench.join(1 << 38);
        checks.extend(bench.run(Duration::from_secs(900), lacks).0);
        let of_many = |check: &Check| owners.iter().any(|owner| owner.home() == check.name.home);
        for (to, until) in [(1 << 39, 30), (1 << 38, 60)] {
            let last = |is_of_many: bool| {
                let of = checks.iter().filter(|(check, _)| check.to == Hint(to) && of_many(check) == is_of_many);
                of.map(|(_, at)| at.since(began).as_secs()).max()
            };
            assert!(last(true).is_some_and(|last| last <= until), "{junk:?}: {:?} {:?}", last(true), last(false));
            assert!(last(false).is_some_and(|last| last > until), "{junk:?}: what is late comes, too: {:?}", last(false));
        }
        assert!(bench.repair.is_idle());
    }
}

// spec-test: DHT-114
#[test]
fn a_server_that_comes_and_goes_is_new_once_in_ten_minutes() {
    let mut bench = Bench::new(12, &five_with_us());
    let affected = bench.bed.home.after(None).filter(|(name, _)| {
        let five = Five::of(name.home.hint(), bench.leaves.hints().chain([OWN, Hint(1 << 39)]));
        five.rank(OWN).is_some() && five.rank(Hint(1 << 39)).is_some()
    });
    let affected = affected.count();
    let (mut to_it, mut to_others) = (Vec::new(), 0);
    for _ in 0..30 {
        bench.join(1 << 39);
        let (checks, _) = bench.run(Duration::from_secs(60), lacks);
        bench.leaves.on_gone(Hint(1 << 39));
        let (more, _) = bench.run(Duration::from_secs(60), lacks);
        for (check, at) in checks.into_iter().chain(more) {
            if check.to == Hint(1 << 39) { to_it.push((check.name, at)) } else { to_others += 1 }
        }
    }
    assert!(affected > 3);
    assert!(to_it.len() <= affected * 7, "in an hour: {} of {affected}", to_it.len());
    assert!(to_it.len() >= affected * 2, "it gets them again: {}", to_it.len());
    assert!(to_others <= 12 * 7 * 4, "{to_others}");
    for (index, (name, at)) in to_it.iter().enumerate() {
        let again = to_it[index + 1..].iter().find(|(other, _)| other == name);
        assert!(again.is_none_or(|(_, next)| next.since(*at) >= Duration::from_secs(580)), "{at}");
    }
}

// spec-test: DHT-114
#[test]
fn a_record_is_not_pushed_to_a_server_twice_in_ten_minutes_though_it_says_that_it_lacks_it() {
    // The fifth comes and goes, each time another one, so that the liar is new to the same records again and again.
    let mut bench = Bench::new(12, &[1 << 41, 1 << 42, 1 << 43, 1 << 62]);
    let mut pushes: Vec<(Push, Time)> = Vec::new();
    for round in 0..40 {
        bench.join((1 << 39) + round);
        pushes.extend(bench.run(Duration::from_secs(20), lacks).1);
        bench.leaves.on_gone(Hint((1 << 39) + round));
        pushes.extend(bench.run(Duration::from_secs(20), lacks).1);
    }
    let mut twice = 0;
    for (index, (push, at)) in pushes.iter().enumerate() {
        if let Some((_, next)) = pushes[index + 1..].iter().find(|(other, _)| other == push) {
            twice += 1;
            assert!(next.since(*at) >= AGAIN, "{push:?} at {at} and {next}");
        }
    }
    assert!(twice > 0, "after ten minutes it is");
}

// spec-test: DHT-113
#[test]
fn what_fails_is_tried_again_ten_minutes_later_and_what_never_answers_is_forgotten() {
    let mut bench = Bench::new(12, &five_with_us());
    bench.join(1 << 39);
    let began = bench.now;
    let (failed, pushes) = bench.run(Duration::from_secs(500), |_| Answer::Failed);
    assert!(!failed.is_empty() && pushes.is_empty());
    let (again, pushes) = bench.run(Duration::from_secs(300), lacks);
    assert_eq!((again.len(), pushes.len()), (failed.len(), failed.len()));
    assert!(again.iter().all(|(_, at)| at.since(began) >= AGAIN));
    // Nobody says what became of these checks.
    bench.join((1 << 39) + 1);
    for second in 0..60 {
        let now = bench.now + Duration::from_secs(second);
        let Bench { leaves, repair, bed, rng, .. } = &mut bench;
        while repair.next(leaves, &bed.home, 5, now, rng).is_some() {}
        assert!(repair.checks.len() <= CHECKS_MAX);
    }
}

// spec-test: DHT-113
#[test]
fn a_mass_leave_takes_no_more_memory_than_one_death_and_nothing_afterwards() {
    let hints: Vec<u64> = (0..16).map(|n| 1 << (44 + n)).collect();
    let mut bench = Bench::new(100, &hints);
    let idle = bench.repair.heap_bytes();
    assert!(idle <= 1_024, "{idle}");
    let mut most = 0;
    for hint in hints.iter().step_by(2) {
        bench.leaves.on_gone(Hint(*hint));
        bench.run(Duration::from_millis(300), lacks);
        assert!(bench.repair.walks.len() <= WALKS_MAX + 1);
        most = most.max(bench.repair.heap_bytes());
    }
    let (_, pushes) = bench.run(Duration::from_secs(1_000), lacks);
    most = most.max(bench.repair.heap_bytes());
    assert!(pushes.len() > 20 && most <= 21 << 10, "{most}");
    bench.run(Duration::from_secs(1_300), lacks);
    let Bench { leaves, repair, bed, rng, now } = &mut bench;
    assert_eq!(repair.next(leaves, &bed.home, 8, *now, rng), None);
    repair.pushed.has(b"", *now);
    assert!(repair.is_idle() && repair.heap_bytes() <= 1_024, "{}", repair.heap_bytes());
}

// spec-test: DHT-112
#[test]
fn the_delay_grows_with_the_square_of_the_servers_up_to_twenty_seconds() {
    let millis: Vec<u128> = [0, 2, 8, 20, 28, 29, 1_000_000, usize::MAX].into_iter().map(|n| delay(n).as_millis()).collect();
    assert_eq!(millis, [0, 100, 1_600, 10_000, 19_600, 20_000, 20_000, 20_000]);
}
