//! The example that Overcom began with: Alice passes on that Eve looks for Bob, and Bob calls Eve back.

use overcom_core::trace::{Detail, Ladder, RungKind};
use overcom_core::{LinkPeer, Notice};
use overcom_simulator::{NodeId, Scenario, Sim, millis};

const SCENARIO: &str = include_str!("scenarios/overcom.json");
/// Before Eve sends to Bob once more; by then all is quiet.
const BEFORE_AGAIN_MS: u64 = 11_999;

struct Stage {
    sim: Sim,
    alice: NodeId,
    bob: NodeId,
    eve: NodeId,
}

fn stage() -> Stage {
    let sim = Sim::from_scenario(Scenario::from_json(SCENARIO).unwrap()).unwrap();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| sim.find(name).unwrap());
    Stage { sim, alice, bob, eve }
}

fn ran() -> Stage {
    let mut stage = stage();
    let report = stage.sim.run().unwrap();
    assert_eq!(report.failure, None);
    stage
}

fn ladder(stage: &Stage) -> Ladder {
    stage.sim.ladder().detail(Detail::Link)
}

/// Whether `text` stands before `other` in the view of one node, both once at least.
fn is_before(stage: &Stage, node: &str, text: &str, other: &str) -> bool {
    let lines: Vec<String> = ladder(stage).per_node(node).rungs().iter().map(ToString::to_string).collect();
    let position = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{text} in {lines:?}"));
    position(text) < position(other)
}

#[test]
fn what_the_nodes_said_is_the_example_line_by_line() {
    insta::assert_snapshot!(ladder(&ran()).to_string(), @r"
    bob -> alice: link up
    bob -> alice: message bla
    alice: got bla from bob
    alice -> bob: acknowledged
    eve -> alice: link up
    eve -> alice: search bob
    alice -> bob: search bob
    bob -> eve: link up
    eve -> bob: message bla
    bob: got bla from eve
    bob -> eve: acknowledged
    eve -> bob: message bla
    bob: got bla from eve
    bob -> eve: acknowledged
    ");
}

// spec-test: TRACE-10
#[test]
fn each_step_before_a_link_stands_in_the_finest_ladder_and_in_no_other() {
    let ladder = ladder(&ran());
    let fine = ladder.clone().detail(Detail::Wire);
    insta::assert_snapshot!(fine.clone().per_node("bob").until("got bla"), @r"
    bob: listens
    bob: introduce alice
    bob: send bla to alice
    bob: dials
    bob: has a pipe, and proves itself
    bob -> ?: hello
    bob -> alice: link up
    bob -> alice: hello
    bob -> alice: message bla
    alice -> bob: acknowledged up to 1
    bob: bla to alice delivered
    alice -> bob: search bob
    bob -> alice: search answer 200
    bob: wanted by eve
    bob: dials
    bob: has a pipe, and proves itself
    bob -> eve: link up
    bob -> eve: hello
    eve -> bob: hello
    eve -> bob: message bla
    bob: got bla from eve
    ");
    let kinds = ["listens", "dials", "has a pipe, and proves itself", "is dialled, and has them prove themselves"];
    for detail in [Detail::App, Detail::Link] {
        let shown = ladder.clone().detail(detail).to_string();
        assert!(kinds.iter().all(|kind| !shown.contains(kind)), "{shown}");
    }
    for kind in kinds {
        assert!(fine.to_string().contains(kind), "{kind}");
    }
}

#[test]
fn each_side_knows_its_link_before_its_application_gets_a_message_on_it() {
    let stage = ran();
    assert!(is_before(&stage, "alice", "bob -> alice: link up", "got bla from bob"));
    assert!(is_before(&stage, "bob", "bob -> eve: link up", "got bla from eve"));
    let world = stage.sim.world().unwrap();
    for (node, from) in [(stage.alice, stage.bob), (stage.bob, stage.eve)] {
        let from = world.user(from);
        let of = |wanted: &dyn Fn(&Notice) -> bool| world.notices(node).iter().position(wanted).unwrap();
        let up = of(&|notice| matches!(notice, Notice::LinkUp { with: LinkPeer::User(peer), .. } if peer.user == from));
        let got = of(&|notice| matches!(notice, Notice::Message(message) if message.from.user == from));
        assert!(up < got, "{}", world.name(node));
    }
}

#[test]
fn eves_messages_go_on_the_link_that_bob_dialled_and_alice_dials_nobody() {
    let mut stage = stage();
    stage.sim.run_until(millis(BEFORE_AGAIN_MS)).unwrap();
    let dials = |stage: &Stage| {
        let world = stage.sim.world().unwrap();
        [stage.alice, stage.bob, stage.eve].map(|node| {
            let ups = world
                .notices(node)
                .iter()
                .filter_map(|notice| if let Notice::LinkUp { dialled, .. } = notice { Some(*dialled) } else { None });
            let (own, others): (Vec<bool>, Vec<bool>) = ups.partition(|dialled| *dialled);
            (own.len(), others.len())
        })
    };
    let before = dials(&stage);
    assert_eq!(before, [(0, 2), (2, 0), (1, 1)], "links that each dialled and took");
    let opened = |stage: &Stage| -> Vec<String> {
        stage.sim.report().marks.recent().filter(|mark| mark.kind == "connect").map(|mark| mark.node.clone()).collect()
    };
    let sockets = opened(&stage);
    assert_eq!(sockets, ["bob", "eve", "bob"], "Bob and Eve dial Alice, Bob dials Eve");
    stage.sim.run().unwrap();
    assert_eq!((dials(&stage), opened(&stage)), (before, sockets), "the second message opens nothing");
    let world = stage.sim.world().unwrap();
    assert_eq!(world.app(stage.bob).unwrap().messages().len(), 2);
}

#[test]
fn the_node_in_the_middle_passes_a_search_on_and_sees_no_message_of_others() {
    let stage = ran();
    let world = stage.sim.world().unwrap();
    let of_alice: Vec<&str> = world.app(stage.alice).unwrap().messages().iter().map(|message| message.payload()).collect();
    assert_eq!(of_alice, ["\"hello Alice\""]);
    assert_eq!(world.node(stage.alice).stats().messages_received, 1);
    assert_eq!(world.node(stage.alice).stats().searches_passed, 1);
    let between = |a, b| ladder(&stage).between(a, b).only(RungKind::Message).rungs().len();
    assert_eq!([between("eve", "alice"), between("alice", "bob"), between("eve", "bob")], [0, 1, 2]);
}

#[test]
fn the_example_holds_for_every_seed() {
    let steps = ladder(&ran()).only(RungKind::Got).to_string();
    for seed in 1..64 {
        let scenario = Scenario { seed, ..Scenario::from_json(SCENARIO).unwrap() };
        let mut sim = Sim::from_scenario(scenario).unwrap();
        assert_eq!(sim.run().unwrap().failure, None);
        assert_eq!(sim.ladder().only(RungKind::Got).to_string(), steps, "seed {seed}\n{}", sim.ladder());
    }
}
