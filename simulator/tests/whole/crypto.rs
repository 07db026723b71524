//! The two modes of cryptography: each works, they do not meet, and a file says which it is.

use overcom_core::trace::{Builds, replay};
use overcom_core::{AttemptOutcome, CloseReason};
use overcom_simulator::{CryptoMode, Inbox, Scenario, Sim, fault, secs};

use CryptoMode::{Ideal, Standard};

fn two(modes: [CryptoMode; 2]) -> Sim<Inbox> {
    let mut sim = Sim::new(7);
    let [ann, ben] = sim.nodes(["ann", "ben"], Inbox::new);
    sim.introduce(ann, [ben]);
    for (node, mode) in [ann, ben].into_iter().zip(modes) {
        sim.spec(node).crypto = Some(mode);
    }
    sim.at(secs(1), fault::find(ann, ben));
    sim
}

// spec-test: CRYPTO-8
#[test]
fn nodes_of_one_mode_meet_and_nodes_of_two_do_not() {
    for modes in [[Standard, Standard], [Ideal, Ideal], [Standard, Ideal], [Ideal, Standard]] {
        let mut sim = two(modes);
        sim.run().expect("it runs");
        let world = sim.world().expect("it ran");
        let [ann, ben] = ["ann", "ben"].map(|name| sim.find(name).expect("it is there"));
        let meets = modes[0] == modes[1];
        assert_eq!([ann, ben].map(|node| world.node(node).links().len()), [usize::from(meets); 2], "{modes:?}");
        let explanation = world.node(ann).explain(world.user(ben)).expect("she is up");
        let outcome = if meets { AttemptOutcome::Linked } else { AttemptOutcome::Closed(CloseReason::Crypto) };
        assert_eq!(explanation.addresses[0].attempt.map(|attempt| attempt.outcome), Some(outcome), "{modes:?}");
    }
}

#[test]
fn an_ideal_run_is_another_one_repeats_itself_and_stands_in_its_file() {
    let report = |mode| {
        let mut sim = Sim::new(3);
        let [ann, ben] = sim.nodes(["ann", "ben"], Inbox::new);
        sim.crypto(mode);
        sim.introduce(ann, [ben]);
        sim.send_at(secs(1), ann, ben, "note", "1").expect("it is a message");
        let report = sim.run().expect("it runs");
        let world = sim.world().expect("it ran");
        assert_eq!(world.app(ben).map(|app| app.messages().len()), Some(1));
        (report, sim.scenario().to_json().expect("it can be written"))
    };
    let ((ideal, file), (standard, _)) = (report(Ideal), report(Standard));
    assert_ne!(ideal.digest, standard.digest);
    assert!(file.contains(r#""crypto": "ideal""#), "{file}");
    let again = Sim::from_scenario(Scenario::from_json(&file).expect("it can be read")).expect("it fits").run().expect("it runs");
    assert_eq!((again.digest, again.crypto), (ideal.digest, Ideal));
}

#[test]
fn a_recorded_ideal_run_replays() {
    let mut sim = two([Ideal, Ideal]);
    sim.record();
    sim.run().expect("it runs");
    let replays = replay(&sim.trace(), Builds::Same).expect("it is the same build");
    assert!(replays.len() == 2 && replays.iter().all(|replay| replay.compared > 0), "{replays:?}");
}
