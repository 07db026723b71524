//! The to-do list of the simulator's tests, unchanged, in the simulator, on mio and on smol: one transcript.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use overcom_core::{AppId, Command, Config, Credentials, Message, Time, UserId};
use overcom_mio::AppRuntime;
use overcom_simulator::{Sim, secs};
use overcom_smol::run_app;
use overcom_std::{Clock, MemoryStore, Setup, keys};

#[path = "../simulator/tests/sim/todo/app.rs"]
mod app;

use app::{Heard, Todo};

const NAMES: [&str; 3] = ["ann", "ben", "cho"];
/// What each adds, and once the list has how many items.
const PLANS: [&[(usize, &str)]; 3] = [&[(0, "milk"), (3, "eggs")], &[(1, "bread")], &[(2, "tea")]];
/// What each hears in the end: the others' items, and cho's `go` to ann.
const HEARD: [usize; 3] = [3, 3, 3];
const PATIENCE: Time = Time::from_secs(30);

/// Who heard what from whom, in which order. Between what two others say there is no order.
type Transcript = BTreeMap<(&'static str, &'static str), Vec<String>>;

fn transcript(users: &[UserId; 3], heard: &[Heard; 3]) -> Transcript {
    let name = |user: &UserId| users.iter().position(|known| known == user).map_or("somebody else", |at| NAMES[at]);
    let of =
        |at: usize| heard[at].lock().unwrap().iter().map(move |(from, said)| ((NAMES[at], name(from)), said.clone())).collect::<Vec<_>>();
    (0..3).flat_map(of).collect()
}

fn is_over(heard: &[Heard; 3]) -> bool {
    heard.iter().zip(HEARD).all(|(heard, count)| heard.lock().unwrap().values().map(Vec::len).sum::<usize>() == count)
}

fn go() -> Message {
    Message::new("go", "!").unwrap()
}

fn simulated() -> Transcript {
    let heard: [Heard; 3] = Default::default();
    let mut sim = Sim::new(1);
    let nodes = [0, 1, 2].map(|at| {
        let heard = Heard::clone(&heard[at]);
        sim.node(NAMES[at], move || Todo::planned(PLANS[at], &heard))
    });
    for node in nodes {
        sim.introduce(node, nodes.into_iter().filter(|other| *other != node));
    }
    sim.send_at(secs(1), nodes[2], nodes[0], "go", "\"!\"").unwrap();
    sim.until(secs(30));
    assert_eq!(sim.run().unwrap().failure, None);
    assert!(is_over(&heard));
    transcript(&nodes.map(|node| sim.user(node).unwrap()), &heard)
}

fn setup() -> (UserId, Setup) {
    let credentials: Credentials = keys::ephemeral(&AppId::new("todo").unwrap(), Clock::start().wall()).unwrap();
    (credentials.delegation().user(), Setup::bind((Ipv4Addr::LOCALHOST, 0), Config::test(), credentials).unwrap())
}

/// Makes everybody known to everybody; a node that has not read its state yet refuses, and is asked again.
fn introductions(users: &[UserId; 3], at: &[SocketAddr; 3], who: usize) -> impl Iterator<Item = Command> {
    let others: Vec<usize> = (0..3).filter(|other| *other != who).collect();
    let (users, at) = (*users, *at);
    others.into_iter().map(move |other| Command::introduce(users[other], [at[other].into()]))
}

fn on_mio() -> Transcript {
    let heard: [Heard; 3] = Default::default();
    let mut nodes = [0, 1, 2].map(|at| {
        let (user, setup) = setup();
        (user, AppRuntime::start_app(setup, MemoryStore::new(), Todo::planned(PLANS[at], &heard[at])).unwrap())
    });
    let (users, at) = (nodes.each_ref().map(|(user, _)| *user), nodes.each_ref().map(|(_, node)| node.local_addr()));
    let clock = Clock::start();
    for (who, (_, node)) in nodes.iter_mut().enumerate() {
        for command in introductions(&users, &at, who) {
            while node.command(command.clone()).is_err() {
                assert!(clock.now() < PATIENCE, "it does not start");
                node.step(Duration::from_millis(1)).unwrap();
            }
        }
    }
    nodes[2].1.command(Command::send(users[0], go())).unwrap();
    while !is_over(&heard) {
        assert!(clock.now() < PATIENCE, "{:?}", transcript(&users, &heard));
        nodes.iter_mut().for_each(|(_, node)| assert!(node.step(Duration::from_millis(1)).unwrap()));
    }
    transcript(&users, &heard)
}

fn on_smol() -> Transcript {
    let heard: [Heard; 3] = Default::default();
    let nodes = [0, 1, 2].map(|at| {
        let (user, setup) = setup();
        let (handle, running) = run_app(setup, MemoryStore::new(), Todo::planned(PLANS[at], &heard[at])).unwrap();
        smol::spawn(async { running.await.unwrap() }).detach();
        (user, handle)
    });
    let (users, at) = (nodes.each_ref().map(|(user, _)| *user), nodes.each_ref().map(|(_, node)| node.local_addr()));
    let clock = Clock::start();
    smol::block_on(async {
        for (who, (_, node)) in nodes.iter().enumerate() {
            for command in introductions(&users, &at, who) {
                while node.send(command.clone()).await.is_err() {
                    assert!(clock.now() < PATIENCE, "it does not start");
                }
            }
        }
        nodes[2].1.send(Command::send(users[0], go())).await.unwrap();
        while !is_over(&heard) {
            assert!(clock.now() < PATIENCE, "{:?}", transcript(&users, &heard));
            smol::Timer::after(Duration::from_millis(2)).await;
        }
    });
    nodes.iter().for_each(|(_, node)| node.stop().unwrap());
    transcript(&users, &heard)
}

#[test]
fn one_application_has_one_transcript_in_the_simulator_and_on_both_runtimes() {
    let expected = simulated();
    assert_eq!(expected[&("ann", "cho")], ["go !", "add tea"]);
    assert_eq!(expected[&("ben", "ann")], ["add milk", "add eggs"]);
    assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 9);
    assert_eq!(on_mio(), expected);
    assert_eq!(on_smol(), expected);
}
