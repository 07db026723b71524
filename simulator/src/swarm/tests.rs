use std::cell::RefCell;
use std::rc::Rc;

use overcom_core::{Action, AppId, Batch, Config, Delegation, DeviceKeys, Event, IdentitySecret, Node, OpId, Packet, Phase, Rng, Seed};

use super::toy::{Toy, notice};
use super::*;
use crate::{millis, secs};

fn even() -> Terrain {
    Terrain::flat(Network { delay_us: 20_000, jitter_us: 0, ..Network::default() })
}

/// Two machines: the first tells the second.
fn two(terrain: Terrain) -> Swarm<Toy> {
    let mut swarm = Swarm::new(1, terrain, |birth| if birth.machine == 0 { Toy::telling(birth, 1) } else { Toy::silent(birth) });
    swarm.start(2).expect("they rest");
    swarm
}

fn heard(swarm: &Swarm<Toy>, machine: u32) -> usize {
    swarm.machine(machine).map_or(0, |toy| toy.heard.len())
}

#[test]
fn a_machine_costs_little_beside_its_own_state() {
    assert!(size_of::<Head>() <= 64, "one cache line");
    assert!(size_of::<Seat<[u64; 16]>>() <= 128 + 64);
    assert!(size_of::<(crate::queue::Key, Due)>() <= 32, "an entry of the queue");
}

#[test]
fn a_datagram_arrives_after_the_delay_with_both_addresses_and_its_packet_goes_back() {
    let mut swarm = two(even());
    swarm.run_until(Time::from_secs(3)).expect("they rest");
    let toy = swarm.machine(1).expect("it is up");
    let expected: Vec<_> = (0..3).map(|n| (Time::from_millis(n * 1_000 + 520), address(0), vec![n as u8])).collect();
    assert_eq!(toy.heard, expected);
    assert_eq!(swarm.machine(0).expect("it is up").recycled, 3);
    assert_eq!(swarm.parcels.count(), 0);
    let Tally { ticks, received, sent, lost, unreachable, joined, left } = swarm.tally();
    assert_eq!((ticks, received, sent, lost, unreachable, joined, left), (3, 3, 3, 0, 0, 2, 0));
}

#[test]
fn every_machine_hears_first_where_it_is_and_what_time_it_is_and_the_time_again_each_minute() {
    let mut swarm = two(even());
    assert_eq!(swarm.machine(1).expect("it is up").told, ["Addresses", "Clock"]);
    swarm.run_until(Time::from_secs(59)).expect("they rest");
    let clocks = |swarm: &Swarm<Toy>| swarm.machine(1).expect("it is up").told.iter().filter(|told| *told == "Clock").count();
    assert_eq!(clocks(&swarm), 1);
    swarm.run_until(Time::from_secs(121)).expect("they rest");
    assert_eq!(clocks(&swarm), 3);
}

#[test]
fn what_is_lost_blocked_or_for_nobody_is_counted() {
    let mut swarm = two(even());
    swarm.set_link(0, 1, Network::default().loss_ppm(1_000_000));
    swarm.run_until(Time::from_secs(2)).expect("they rest");
    assert_eq!((heard(&swarm, 1), swarm.tally().lost), (0, 2));
    swarm.set_link(0, 1, Network::default());
    swarm.block(0, 1);
    swarm.run_until(Time::from_secs(4)).expect("they rest");
    assert_eq!((heard(&swarm, 1), swarm.tally().lost), (0, 4));
    swarm.heal();
    swarm.leave_at(1, Time::from_millis(5_100));
    swarm.run_until(Time::from_secs(7)).expect("they rest");
    assert_eq!((swarm.tally().received, swarm.tally().unreachable), (1, 2));
    swarm.with(0, |toy, _| toy.say(address(99), b"nobody is there")).expect("it rests");
    assert_eq!((swarm.tally().unreachable, swarm.parcels.count()), (3, 0));
}

#[test]
fn doubled_datagrams_come_twice() {
    let mut swarm = two(Terrain::flat(Network { duplicate_ppm: 1_000_000, ..Network::default() }));
    swarm.run_until(Time::from_millis(5_200)).expect("they rest");
    assert_eq!(swarm.machine(1).expect("it is up").words(), [[0], [0], [1], [1], [2], [2], [3], [3], [4], [4]]);
}

#[test]
fn a_machine_at_a_place_of_its_own_is_found_there_and_nowhere_else() {
    let mut swarm = two(even());
    let (before, other) = (swarm.address(1), SocketAddr::from(([203, 0, 113, 5], 99)));
    swarm.place(1, &[other]).expect("it rests");
    assert_eq!([swarm.machine_at(before), swarm.machine_at(other), swarm.machine_at(address(0))], [None, Some(1), Some(0)]);
    swarm.with(0, |toy, _| toy.say(other, b"found")).expect("it rests");
    swarm.run_until(Time::from_millis(100)).expect("they rest");
    assert_eq!(swarm.machine(1).expect("it is up").words(), [b"found"]);
    swarm.place(1, &[before]).expect("it rests");
    assert_eq!([swarm.machine_at(before), swarm.machine_at(other)], [Some(1), None]);
}

#[test]
fn machines_of_two_families_meet_where_they_share_one() {
    let mut swarm = Swarm::new(1, even(), Toy::silent);
    swarm.start(3).expect("they rest");
    let [four, six] = [SocketAddr::from(([203, 0, 113, 5], 1)), "[2001:db8::5]:1".parse().expect("an address")];
    let other: SocketAddr = "[2001:db8::6]:1".parse().expect("an address");
    swarm.place(0, &[four, six]).expect("it rests");
    swarm.place(1, &[other]).expect("it rests");
    assert_eq!(swarm.machine(0).expect("it is up").told, ["Addresses", "Clock", "Addresses"]);
    for (from, to) in [(0, other), (1, six), (2, four), (1, four), (2, other)] {
        swarm.with(from, |toy, _| toy.say(to, b"x")).expect("it rests");
    }
    swarm.run_until(Time::from_secs(1)).expect("they rest");
    let from = |machine| swarm.machine(machine).expect("it is up").heard.iter().map(|(_, from, _)| *from).collect::<Vec<_>>();
    assert_eq!([from(0), from(1)], [vec![other, address(2)], vec![six]]);
    assert_eq!(swarm.tally().unreachable, 2);
}

#[test]
fn what_a_swarm_has_not_is_answered_as_a_shell_without_it_would() {
    let mut swarm = two(even());
    let notices = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&notices);
    swarm.listen(move |_, machine, _| *counted.borrow_mut() += machine);
    let asked = |op: u64| OpId::new(op);
    swarm
        .with(1, |toy, _| {
            toy.told.clear();
            toy.waiting.extend([
                Action::Connect { op: asked(1), to: address(0), from_listening_port: false },
                Action::Resolve { op: asked(2), name: "example".into(), port: 1 },
                Action::Store { op: asked(3), batch: Batch::default(), durable: true },
                Action::Load { op: asked(4), from: Vec::new(), to: vec![255], limit: 1 },
                notice(),
            ]);
        })
        .expect("it rests");
    let told = &swarm.machine(1).expect("it is up").told;
    assert_eq!(*told, ["ConnectFailed", "Resolved", "Stored", "Loaded", "Taken"]);
    assert_eq!(*notices.borrow(), 1);
}

#[test]
fn a_deadline_that_moves_back_and_forth_leaves_no_heap_of_entries() {
    let mut swarm = two(even());
    for round in 0..1_000 {
        swarm.set_timer(1, Some(Time::from_secs(10)));
        swarm.set_timer(1, Some(Time::from_micros(round * 1_000 + 500)));
        swarm.run_until(Time::from_micros(round * 1_000 + 600)).expect("they rest");
    }
    let left = std::iter::from_fn(|| swarm.queue.pop_until(Time::MAX)).filter(|(key, _)| key.to == 1).count();
    assert!(left <= 2, "{left}");
}

#[test]
fn a_machine_that_never_rests_fails_the_run() {
    struct Restless;
    impl Machine for Restless {
        fn handle(&mut self, _: Time, _: Event<'_>) {}
        fn poll(&mut self) -> Option<Action> {
            None
        }
        fn deadline(&self) -> Option<Time> {
            Some(Time::ZERO)
        }
        fn recycle(&mut self, _: Packet) {}
    }
    let failure = Swarm::new(1, even(), |_| Restless).start(1).expect_err("it never rests");
    assert_eq!((failure.check.as_str(), failure.at), ("C6", Time::ZERO));
}

#[test]
fn machines_are_made_when_they_are_touched() {
    let made = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&made);
    let mut swarm = Swarm::new(1, even(), move |birth| {
        seen.borrow_mut().push((birth.machine, birth.now));
        if birth.machine == 7 { Toy::telling(birth, 3) } else { Toy::silent(birth) }
    });
    swarm.start_when_touched(10);
    swarm.run_until(Time::from_secs(5)).expect("they rest");
    assert!(made.borrow().is_empty());
    assert_eq!(swarm.with(7, |_, now| now), Ok(Some(Time::from_secs(5))));
    swarm.run_until(Time::from_secs(6)).expect("they rest");
    assert_eq!(*made.borrow(), [(7, Time::from_secs(5)), (3, Time::from_millis(5_520))]);
    assert_eq!(swarm.machine(3).expect("it is made").words(), [[0]]);
}

#[test]
fn a_machine_that_comes_back_is_made_anew_with_other_chance() {
    let mut swarm = two(even());
    let first = swarm.machine(1).expect("it is up").birth;
    swarm.leave_at(1, Time::from_secs(2));
    swarm.join_at(1, Time::from_secs(4));
    swarm.run_until(Time::from_secs(3)).expect("they rest");
    assert!(swarm.machine(1).is_none());
    swarm.run_until(Time::from_secs(5)).expect("they rest");
    let (toy, tally) = (swarm.machine(1).expect("it is back"), swarm.tally());
    assert_eq!((toy.birth.life, toy.birth.now, toy.words()), (1, Time::from_secs(4), vec![&[4][..]]));
    assert_ne!(toy.birth.draws, first.draws);
    assert_eq!((tally.joined, tally.left), (3, 1));
}

#[test]
fn members_come_and_go_as_their_distribution_says_and_the_others_stay() {
    let mut swarm = Swarm::new(3, even(), Toy::silent);
    swarm.start(1_000).expect("they rest");
    let hour = secs(3_600);
    swarm.churn(Churn { members: 0..900, session: Lasting::Exponential(hour), absence: Lasting::Exponential(3 * hour) });
    swarm.run_until(Time::ZERO + 20 * hour).expect("they rest");
    let up = swarm.machines().filter(|(machine, _)| *machine < 900).count();
    // A quarter of the time, within four standard deviations.
    assert!((175..=277).contains(&up), "{up}");
    assert_eq!(swarm.machines().count() - up, 100);
    // 0.25 an hour each, and the first hour's more.
    assert!((4_400..5_400).contains(&swarm.tally().left), "{}", swarm.tally().left);
    swarm.end_churn();
    swarm.run_until(Time::ZERO + 40 * hour).expect("they rest");
    assert_eq!(swarm.machines().count() - 100, up);
}

#[test]
fn a_crowd_comes_within_its_time_and_a_disaster_strikes_one_part_of_the_world() {
    let mut swarm = Swarm::new(4, Terrain::world(4, Network::default()), Toy::silent);
    swarm.add(1_000);
    swarm.flash_crowd(0..1_000, Time::from_secs(10), secs(5));
    swarm.run_until(Time::from_secs(10)).expect("they rest");
    assert!(swarm.machines().count() <= 1);
    swarm.run_until(Time::from_millis(12_500)).expect("they rest");
    assert!((420..580).contains(&swarm.machines().count()));
    swarm.run_until(Time::from_secs(15)).expect("they rest");
    assert_eq!(swarm.machines().count(), 1_000);
    swarm.mass_leave(Time::from_secs(20), Some(2), 1_000_000);
    swarm.mass_leave(Time::from_secs(21), None, 500_000);
    swarm.run_until(Time::from_secs(20)).expect("they rest");
    let there = |swarm: &Swarm<Toy>| swarm.machines().filter(|(machine, _)| swarm.terrain.part(*machine) == 2).count();
    let left = swarm.machines().count();
    assert_eq!(there(&swarm), 0);
    assert!((650..760).contains(&left), "{left}");
    swarm.run_until(Time::from_secs(30)).expect("they rest");
    let rest = swarm.machines().count();
    assert!((left * 2 / 5..left * 3 / 5).contains(&rest), "{rest} of {left}");
}

/// A node of core, as a machine without pipes and disk.
fn node(birth: &Birth) -> Node {
    let mut draws = birth.draws;
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes(draws.bytes())));
    let identity = IdentitySecret::from_bytes(draws.bytes());
    let app = AppId::new("swarm").expect("a name");
    let delegation = Delegation::sign(&identity, &keys.grant(app, birth.wall, birth.wall + secs(86_400))).expect("it is in order");
    let seed = Seed::from_bytes(draws.bytes());
    Node::new(Config::default(), keys.credentials(delegation), seed, birth.now, birth.wall).expect("it begins")
}

#[test]
fn a_node_of_core_runs_in_a_swarm_as_anything_else_does() {
    let mut swarm = Swarm::new(6, even(), node);
    let started = Rc::new(RefCell::new(0));
    let counted = Rc::clone(&started);
    swarm.listen(move |_, _, notice| *counted.borrow_mut() += u32::from(matches!(notice, Notice::Started { .. })));
    swarm.start(3).expect("they rest");
    swarm.run_until(Time::from_secs(600)).expect("they rest");
    assert_eq!(*started.borrow(), 3);
    assert!(swarm.machines().all(|(_, node)| node.inspect().phase == Phase::Running));
}

#[test]
fn a_machine_more_changes_nothing_for_the_others() {
    let run = |machines| {
        let mut swarm = Swarm::new(8, Terrain::world(8, Network::default()), |birth| Toy::telling(birth, (birth.machine + 1) % 5));
        swarm.start(machines).expect("they rest");
        swarm.run_until(Time::from_secs(10)).expect("they rest");
        (0..5).map(|machine| swarm.machine(machine).map(|toy| toy.heard.clone())).collect::<Vec<_>>()
    };
    let without_the_sixth = run(5);
    let mut with = run(6);
    // The sixth tells the second.
    let told = with[1].as_mut().expect("it is up");
    told.retain(|(_, from, _)| *from != address(5));
    assert_eq!(with, without_the_sixth);
}

#[test]
fn no_datagram_is_left_over_after_a_long_run() {
    let mut swarm = Swarm::new(2, even(), |birth| Toy::telling(birth, (birth.machine * 7 + 1) % 100));
    swarm.start(100).expect("they rest");
    swarm.churn(Churn { members: 0..100, session: Lasting::Exponential(secs(7)), absence: Lasting::Exponential(millis(1_500)) });
    swarm.run_until(Time::from_secs(100)).expect("they rest");
    let on_their_way =
        std::iter::from_fn(|| swarm.queue.pop_until(Time::MAX)).filter(|(_, due)| matches!(due, Due::Datagram { .. })).count();
    assert_eq!(swarm.parcels.count(), on_their_way);
    assert!(swarm.tally().unreachable > 100, "{:?}", swarm.tally());
}
