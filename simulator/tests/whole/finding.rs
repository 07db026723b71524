//! People find each other by their ids alone, whatever becomes of entry peers, machines and the network.

use overcom_core::{DhtNotice, DhtRecord, DhtStanding, Entry, LookUpOutcome, Notice, Time};
use overcom_simulator::{Clock, Inbox, Network, NodeId, Report, Scenario, Sim, World, fault, millis, secs};

struct Town {
    sim: Sim<Inbox>,
    /// The entry peer of all the others.
    door: NodeId,
    ann: NodeId,
    ben: NodeId,
}

fn town(seed: u64, network: Network) -> Town {
    let mut sim = Sim::new(seed);
    let [door, ann, ben, cho, dan] = sim.nodes(["door", "ann", "ben", "cho", "dan"], Inbox::new);
    for node in [ann, ben, cho, dan] {
        sim.entries(node, ["door.sim:7575".parse::<Entry>().expect("it is an address")]);
    }
    sim.network(network);
    Town { sim, door, ann, ben }
}

/// Delays that are the same each time.
fn even(delay_ms: u64) -> Network {
    Network { delay_us: delay_ms * 1_000, jitter_us: 0, ..Network::default() }
}

fn note(town: &mut Town, at_s: u64, text: &str) {
    town.sim.send_at(secs(at_s), town.ben, town.ann, "note", &format!("\"{text}\"")).expect("it is a message");
}

fn texts(world: &World<'_, Inbox>, node: NodeId) -> Vec<String> {
    world.app(node).map(|app| app.messages().iter().map(|message| message.payload().into()).collect()).unwrap_or_default()
}

fn run(town: &mut Town) -> Report {
    let report = town.sim.run().expect("it runs");
    assert_eq!(report.failure, None, "{}", report.ladder());
    report
}

/// When the line with these words stands in the ladder, in milliseconds.
fn time(report: &Report, words: &str) -> u64 {
    let ladder = report.ladder();
    let line = ladder.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {ladder}"));
    let (at, _) = line.split_once("s ").expect("a time");
    at.replace('.', "").parse::<u64>().expect("a number") / 1_000
}

#[test]
fn a_message_to_an_id_arrives_as_soon_as_to_an_address_and_the_ladder_shows_how() {
    let mut town = town(7, even(20));
    note(&mut town, 20, "hello");
    let report = run(&mut town);
    let came = time(&report, "ann: got note from ben: \"hello\"") - 20_000;
    // In a town of five everybody keeps every record: what is left is one and a half round trips of TCP and a handshake whose
    // other end is known from the record, and the message.
    assert!((100..=160).contains(&came), "{came} ms\n{}", report.ladder());
    let ladder = report.ladder();
    for line in ["ann: published its Device record: ", "ann: published its Address record: ", "ben: link with ann up, dialled"] {
        assert!(ladder.contains(line), "{line}: {ladder}");
    }
    let world = town.sim.world().expect("it ran");
    let explanation = world.node(town.ben).explain(world.user(town.ann)).expect("he is up");
    assert_eq!((explanation.look_up.map(|look_up| look_up.outcome), explanation.searches.len()), (Some(LookUpOutcome::Found), 0));
    let view = world.node(town.door).core().and_then(overcom_core::Node::dht).expect("it takes part");
    assert!(view.realms.iter().any(|realm| realm.standing == DhtStanding::Serving && realm.verified >= 3), "{view:?}");
}

#[test]
fn whatever_the_seed_and_though_datagrams_are_lost_everybody_is_found() {
    for seed in 0..24 {
        let mut town = town(seed, Network { delay_us: 30_000, jitter_us: 40_000, ..Network::default() }.loss_ppm(50_000));
        note(&mut town, 30, "hello");
        town.sim.until(secs(60));
        let report = run(&mut town);
        let world = town.sim.world().expect("it ran");
        assert_eq!(texts(&world, town.ann), ["\"hello\""], "seed {seed}\n{}", report.ladder());
    }
}

#[test]
fn the_same_seed_is_the_same_run_and_its_file_too() {
    let ran = |seed| {
        let mut town = town(seed, Network::default().loss_ppm(20_000));
        note(&mut town, 20, "hello");
        town.sim.until(secs(1_000));
        let report = run(&mut town);
        let mut again = Sim::<Inbox>::from_scenario(
            Scenario::from_json(&town.sim.scenario().to_json().expect("it can be written")).expect("it can be read"),
        )
        .expect("it fits");
        again.until(report.end.since(Time::ZERO));
        assert_eq!(again.run().expect("it runs").digest, report.digest, "from its file");
        report.digest
    };
    assert_eq!(ran(3), ran(3));
    assert_ne!(ran(3), ran(4));
}

#[test]
fn without_its_entry_peer_the_network_goes_on() {
    for way in ["down", "slow", "cut off"] {
        let mut town = town(11, even(20));
        let door = town.door;
        match way {
            "down" => town.sim.at(secs(30), fault::crash(door)),
            "slow" => town.sim.at(secs(30), fault::pause(door)),
            _ => {
                let others: Vec<NodeId> = [town.ann, town.ben].into();
                town.sim.at(secs(30), fault::partition([door], others));
            }
        }
        note(&mut town, 40, "hello");
        note(&mut town, 4_000, "again");
        town.sim.until(secs(4_020));
        let report = run(&mut town);
        let world = town.sim.world().expect("it ran");
        assert_eq!(texts(&world, town.ann), ["\"hello\"", "\"again\""], "{way}\n{}", report.ladder());
    }
}

#[test]
fn who_moves_is_found_where_it_is_and_who_starts_again_knows_the_network_without_anybody_to_enter_by() {
    let mut town = town(5, even(20));
    note(&mut town, 20, "here");
    // Ann's sockets are others; Ben, who had her address, is told within a minute.
    town.sim.at(secs(900), fault::rebind(town.ann, Some(7_600)));
    note(&mut town, 960, "there");
    // The door is gone, and Ben's process too: he has a table on his disk.
    town.sim.at(secs(1_000), fault::crash(town.door));
    town.sim.at(secs(1_001), fault::crash(town.ben));
    town.sim.at(secs(1_100), fault::restart(town.ben));
    note(&mut town, 1_110, "still there");
    town.sim.until(secs(1_200));
    let report = run(&mut town);
    let world = town.sim.world().expect("it ran");
    assert_eq!(texts(&world, town.ann), ["\"here\"", "\"there\"", "\"still there\""], "{}", report.ladder());
    let published = |notice: &&Notice| matches!(notice, Notice::Dht(DhtNotice::Published { record: DhtRecord::Address, .. }));
    assert!(world.notices(town.ann).iter().filter(published).count() >= 2);
    assert_eq!(world.node(town.ben).stats().dht_items_refused, 0);
}

/// At how many nodes each is bound, and how many devices are bound at it.
fn bound(world: &World<'_, Inbox>, node: NodeId) -> Option<(u64, u64)> {
    world.node(node).core().and_then(overcom_core::Node::dht).map(|view| (view.bound_at, view.binds))
}

#[test]
fn everybody_is_bound_at_all_others_of_a_town_but_at_those_who_are_down() {
    for seed in 0..2 {
        // Whoever is gone is noticed when three pings were not answered.
        for (until, up) in [(110, 5), (300, 4), (1_500, 5)] {
            let mut town = town(seed, Network { delay_us: 30_000, jitter_us: 20_000, ..Network::default() }.loss_ppm(10_000));
            let find = |name: &&str| town.sim.find(name).expect("they are there");
            let all: Vec<NodeId> = ["door", "ann", "ben", "cho", "dan"].iter().map(find).collect();
            town.sim.at(secs(120), fault::crash(town.ben));
            town.sim.at(secs(600), fault::restart(town.ben));
            town.sim.until(secs(until));
            let report = run(&mut town);
            let world = town.sim.world().expect("it ran");
            let of_all: Vec<(u64, u64)> = all.iter().filter_map(|node| bound(&world, *node)).collect();
            assert_eq!(of_all, vec![(up - 1, up - 1); up as usize], "seed {seed}, {until} s\n{}", report.ladder());
        }
    }
}

#[test]
fn in_two_halves_of_a_network_each_finds_its_own_and_together_they_find_all() {
    let mut town = town(9, even(20));
    let [cho, dan] = ["cho", "dan"].map(|name| town.sim.find(name).expect("they are there"));
    town.sim.at(millis(20_500), fault::partition([town.door, town.ann, cho], [town.ben, dan]));
    town.sim.send_at(secs(60), cho, town.ann, "note", "\"mine\"").expect("it is a message");
    note(&mut town, 61, "far");
    town.sim.at(secs(400), fault::heal());
    town.sim.until(secs(1_000));
    let report = run(&mut town);
    let world = town.sim.world().expect("it ran");
    assert_eq!(texts(&world, town.ann), ["\"mine\"", "\"far\""], "{}", report.ladder());
    let came = time(&report, "ann: got note from ben");
    // What is kept on disk is tried each five minutes.
    assert!((400_000..=1_000_000).contains(&came), "{came}");
}

#[test]
fn whose_clock_was_ahead_is_found_within_a_minute_after_it_is_set_by_one_other_and_by_twenty_nine() {
    let (hour, week) = (3_600_000_i64, 7 * 86_400_000_i64);
    // By a clock that is a month ahead, its own delegation has ended.
    for (others, ahead, all) in
        [(1, hour, false), (1, hour, true), (1, 4 * week, false), (29, hour, false), (29, hour, true), (29, 4 * week, false)]
    {
        let mut sim = Sim::new(11);
        let [door, ann] = sim.nodes(["door", "ann"], Inbox::new);
        let crowd: Vec<NodeId> = (1..others).map(|n| sim.node(&format!("n{n}"), Inbox::new)).collect();
        for node in crowd.iter().chain([&ann]) {
            sim.entries(*node, ["door.sim:7575".parse::<Entry>().expect("it is an address")]);
        }
        sim.network(even(20));
        let off: Vec<NodeId> = if all { crowd.iter().copied().chain([door, ann]).collect() } else { vec![ann] };
        for (node, at) in off.iter().zip(0_u64..) {
            sim.clock(*node, Clock { offset_ms: ahead, drift_ppm: 0 });
            sim.at(secs(600) + millis(at * 100), fault::clock_step(*node, -ahead));
        }
        let reader = crowd.last().copied().unwrap_or(door);
        sim.send_at(secs(640), reader, ann, "note", "\"found\"").expect("it is a message");
        sim.until(secs(663));
        let report = sim.run().expect("it runs");
        assert_eq!(report.failure, None, "{}", report.ladder());
        let world = sim.world().expect("it ran");
        assert_eq!(texts(&world, ann), ["\"found\""], "{others} others, {ahead} ms ahead, all: {all}\n{}", report.ladder());
    }
}
