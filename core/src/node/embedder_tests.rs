//! What an embedder can get wrong without breaking the node.

use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::tests::{WALL, credentials};
use crate::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

fn bench() -> Bench {
    Bench::new(Config::test())
}

fn find(bench: &mut Bench, name: &str, address: Address) -> UserId {
    let user = credentials(name, "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(user, [address])).unwrap();
    bench.node.command(bench.now, Command::find(user)).unwrap();
    bench.run();
    user
}

#[test]
fn events_for_pipes_and_operations_that_are_not_there_are_counted_and_change_nothing() {
    let mut bench = bench();
    let foe = Foe::linked(&mut bench, "alice");
    bench.handle(Event::pipe_closed(foe.pipe));
    let (before, notices) = (bench.node.stats().events_dropped, bench.notices.len());
    bench.handle(Event::pipe_closed(foe.pipe));
    bench.handle(Event::pipe_bytes(foe.pipe, b"overcom/1 user\n"));
    bench.handle(Event::pipe_written(foe.pipe));
    bench.handle(Event::stored(OpId::new(4_711), Err(StoreError::Full)));
    bench.handle(Event::loaded(OpId::new(1), Err(StoreError::Corrupt)));
    assert_eq!(bench.node.stats().events_dropped - before, 5);
    bench.handle(Event::taken(u64::MAX, &[]));
    bench.handle(Event::connect_failed(OpId::new(4_711), ConnectError::Refused));
    bench.handle(Event::resolved(OpId::new(4_711), Ok(&[])));
    assert_eq!(bench.notices.len(), notices);
    assert_eq!(bench.node.inspect().phase, Phase::Running);
}

#[test]
fn a_written_without_a_write_gives_no_credit() {
    let mut bench = bench();
    let pipe = bench.open("10.0.0.9:1");
    let before = bench.node.stats().events_dropped;
    bench.handle(Event::pipe_written(pipe));
    assert_eq!(bench.node.stats().events_dropped, before + 1);
}

#[test]
fn a_pipe_number_that_is_in_use_is_not_taken_twice_and_the_dial_goes_on_to_the_next_address() {
    let mut bench = bench();
    let foe = Foe::linked(&mut bench, "alice");
    let carol = find(&mut bench, "carol", at("10.0.0.3:7575").into());
    let (op, to) = bench.connects[0];
    bench.handle(Event::pipe_opened(foe.pipe, Some(op), at("10.0.0.1:5"), to));
    assert_eq!(bench.node.links().count(), 1);
    assert_eq!(bench.node.explain(carol).addresses[0].attempt.unwrap().outcome, AttemptOutcome::Closed(CloseReason::Lost));
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.connects.len(), 2, "it is tried again");
}

#[test]
fn addresses_that_nobody_can_dial_are_not_told_and_an_empty_answer_is_no_answer() {
    let mut bench = bench();
    bench.handle(Event::addresses(&[at("0.0.0.0:7575"), at("[::]:7575"), at("10.0.0.1:0")], false));
    assert!(bench.node.0.listening.is_empty());
    let name = "name.test:7575".parse().unwrap();
    let carol = find(&mut bench, "carol", name);
    let attempt = bench.node.explain(carol).addresses[0].attempt.unwrap();
    assert_eq!(attempt.outcome, AttemptOutcome::NotResolved(ResolveError::Unknown));
}

#[test]
fn a_wall_clock_that_jumps_a_year_ends_links_and_one_that_comes_back_lets_the_node_go_on() {
    let mut bench = bench();
    Foe::linked(&mut bench, "alice");
    bench.handle(Event::clock(WALL + YEAR));
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.downs(), bench.node.inspect().phase), (alloc::vec![CloseReason::Expired], Phase::Expired));
    bench.handle(Event::clock(WALL));
    assert_eq!(bench.node.inspect().phase, Phase::Running);
    Foe::linked(&mut bench, "alice");
    bench.handle(Event::clock(WALL - YEAR));
    bench.pass(Duration::from_secs(3_600));
    bench.handle(Event::clock(WALL));
    bench.pass(Duration::from_secs(5));
    Foe::linked(&mut bench, "alice");
}

#[test]
fn monotonic_time_that_jumps_a_year_or_goes_back_makes_no_busy_loop() {
    let mut bench = bench();
    let foe = Foe::linked(&mut bench, "alice");
    find(&mut bench, "carol", at("10.0.0.3:7575").into());
    let before = bench.now;
    bench.now = before + YEAR;
    for _ in 0..8 {
        bench.handle(Event::Tick);
    }
    assert!(bench.node.deadline().is_none_or(|due| due > bench.now), "{:?}", bench.node.wake());
    assert!(bench.closed.contains(&foe.pipe));
    bench.now = before;
    bench.handle(Event::Tick);
    assert_eq!(bench.node.stats().clock_went_back, 1);
    bench.now = Time::MAX;
    for _ in 0..8 {
        bench.handle(Event::Tick);
    }
}

#[test]
fn a_revoked_node_stays_so_over_a_sleep() {
    let mut bench = bench();
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork("bob", 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let device = bench.node.me().device;
    let entry = RevocationEntry { before: WALL + YEAR, end: WALL + YEAR };
    let devices = [(RevocationTarget::Device(device), entry)].into_iter().collect();
    let revocation = Revocation::sign(&identity, AppId::new("test").unwrap(), 1, devices).unwrap();
    bench.node.command(bench.now, Command::revoke(revocation)).unwrap();
    bench.run();
    assert_eq!(bench.node.inspect().phase, Phase::Expired);
    bench.handle(Event::clock(WALL + Duration::from_secs(60)));
    assert_eq!(bench.node.inspect().phase, Phase::Expired);
    bench.node.command(bench.now, Command::Suspend).unwrap();
    bench.run();
    bench.handle(Event::addresses(&[at("10.0.0.1:7575")], true));
    assert_eq!(bench.node.inspect().phase, Phase::Expired);
    assert!(bench.has(|notice| *notice == Notice::Revoked));
}

#[test]
fn a_node_with_nothing_to_close_or_store_is_quiet_as_soon_as_it_is_asked_to_sleep() {
    let mut bench = bench();
    bench.node.command(bench.now, Command::Suspend).unwrap();
    bench.run();
    assert!(bench.has(|notice| *notice == Notice::Quiet));
    assert_eq!(bench.node.deadline(), None);
}
