//! Planted bugs: a hunt that finds nothing here would find nothing anywhere.

use std::sync::atomic::{AtomicU64, Ordering};

use overcom_core::trace::{Builds, replay};
use overcom_core::{App, AppCx, Notice, Saved};
use overcom_simulator::harness::{Named, Options, hunt, run_once, run_scenario, screen};
use overcom_simulator::{Divergence, Do, Inbox, Network, Scenario, Sim, compare, fault, millis, secs};

const OPTIONS: Options = Options { seed: None, seeds: 8, jobs: 2, twice: false, shrink: true, scenario: None };

fn eight_faults(sim: &mut Sim<Inbox>) -> [overcom_simulator::NodeId; 3] {
    let [ann, ben, cho] = sim.nodes(["ann", "ben", "cho"], Inbox::new);
    sim.introduce(ann, [ben, cho]);
    sim.at(secs(1), fault::partition([ann], [ben, cho]));
    sim.at(secs(2), fault::slow_disk(cho, millis(300)));
    sim.at(secs(3), fault::clock_step(ann, 5_000));
    sim.at(secs(4), fault::crash(ben));
    sim.at(secs(5), fault::restart(ben));
    sim.at(secs(6), fault::heal());
    sim.at(secs(7), fault::rebind(cho, None));
    sim.at(secs(8), fault::set_network(Network::default().loss_ppm(10_000)));
    [ann, ben, cho]
}

fn one_node(sim: &mut Sim<Inbox>) {
    sim.node("ann", Inbox::new);
}

fn a_node_that_may_not_fall(sim: &mut Sim<Inbox>) {
    let [_, ben, _] = eight_faults(sim);
    sim.always("ben stays up", move |w| w.node(ben).is_up());
}

fn a_check_that_panics(sim: &mut Sim<Inbox>) {
    eight_faults(sim);
    sim.always("panics", |w| {
        assert!(w.now() < overcom_core::Time::from_secs(2), "planted");
        true
    });
}

fn what_never_happens(sim: &mut Sim<Inbox>) {
    let [ann, ..] = eight_faults(sim);
    sim.sometimes("ann is down", move |w| !w.node(ann).is_up());
}

fn what_comes_too_late(sim: &mut Sim<Inbox>) {
    let [ann, ..] = eight_faults(sim);
    sim.eventually("ann is down", secs(3), move |w| !w.node(ann).is_up());
}

fn another_run_each_time(sim: &mut Sim<Inbox>) {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let [ann, ..] = eight_faults(sim);
    sim.at(secs(9), fault::clock_step(ann, i64::try_from(RUNS.fetch_add(1, Ordering::Relaxed)).unwrap_or(0)));
}

#[test]
fn a_planted_bug_is_found_shrunk_and_named_with_its_seed() {
    let found = hunt(a_node_that_may_not_fall, &OPTIONS).expect("it is planted");
    assert_eq!((found.failure.check.as_str(), found.report.seed), ("always \"ben stays up\"", 0));
    let shrunk = found.shrunk.clone().expect("it was asked for").scenario;
    assert!(matches!(&shrunk.steps[..], [step] if matches!(&step.what, Do::Crash(name) if name == "ben")), "{:?}", shrunk.steps);
    let text = screen(&Named { package: "mine", binary: "planted", name: "a_node_that_may_not_fall" }, &found, false);
    assert!(text.contains("OVERCOM_SEED=0x0 cargo test -p mine --test planted -- --exact a_node_that_may_not_fall"), "{text}");
    assert!(text.contains("s4: {\"crash\":\"ben\"}") && text.contains("  ben: down\n  cho: running, 0 links, 0 messages wait\n"), "{text}");
    let (again, _) = run_scenario(a_node_that_may_not_fall, shrunk.clone());
    assert_eq!(again.failure, Some(found.failure), "the shrunk file fails by itself, at the same time");
    let (other, _) = run_scenario(one_node, shrunk);
    assert!(other.failure.is_some_and(|failure| failure.detail.contains("other nodes")));
}

/// An inbox saves nothing: what ben took is gone when he comes back.
fn an_application_that_forgets(sim: &mut Sim<Inbox>) {
    let [ann, ben, _] = eight_faults(sim);
    sim.send_at(millis(500), ann, ben, "note", "1").expect("it is a message");
    sim.eventually("ben is there and has what he took", secs(60), move |w| {
        let taken = w.notices(ann).iter().filter(|notice| matches!(notice, Notice::Delivered { device: None, .. })).count();
        w.app(ben).is_some_and(|app| app.messages().len() >= taken)
    });
}

#[test]
fn a_shrunk_crash_keeps_its_restart() {
    let found = hunt(an_application_that_forgets, &OPTIONS).expect("it is planted");
    let steps: Vec<String> = found.shrunk.expect("it was asked for").scenario.steps.into_iter().map(|step| step.id).collect();
    // Without the restart ben would not be there, which is another failure of the same check.
    assert_eq!(steps, ["s4", "s5", "s9"], "crash, restart and message");
}

#[test]
fn a_panic_in_a_check_is_a_failure_of_its_seed() {
    let (report, _) = run_once(a_check_that_panics, 3, &[]);
    let failure = report.failure.clone().expect("it panics");
    assert_eq!((failure.check.as_str(), failure.detail.as_str()), ("panic", "planted"));
    assert!(report.ladder().contains("partition"), "what happened before it is kept");
}

/// Cannot bear the third message.
#[derive(Default)]
struct Bomb(u32);

impl App for Bomb {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, _saved: Saved) {}

    fn on_notice(&mut self, _cx: &mut AppCx<'_>, notice: Notice) {
        self.0 += u32::from(matches!(notice, Notice::Message(_)));
        assert!(self.0 < 3, "that is too much");
    }
}

fn an_application_that_panics(sim: &mut Sim<Bomb>) {
    let [ann, ben] = sim.nodes(["ann", "ben"], Bomb::default);
    sim.introduce(ann, [ben]);
    sim.show(|app| format!("{} messages", app.0));
    for n in 0..5 {
        sim.send_at(millis(500 + n * 300), ann, ben, "note", &n.to_string()).expect("it is a message");
    }
}

#[test]
fn a_panic_in_an_application_names_its_node_its_seed_and_the_last_thing_it_was_told() {
    let found = hunt(an_application_that_panics, &OPTIONS).expect("it panics");
    assert_eq!((found.failure.check.as_str(), found.failure.detail.as_str()), ("panic", "ben's application: that is too much"));
    let text = screen(&Named { package: "mine", binary: "planted", name: "an_application_that_panics" }, &found, false);
    assert!(text.contains("ben: got note from ann: 2\nat the end:\n"), "{text}");
    assert!(text.contains("  ben: running, 1 link, 0 messages wait; 3 messages\n"), "{text}");
    assert!(text.contains("again   OVERCOM_SEED=0x0 ") && text.contains("shrunk to 3 steps"), "{text}");
}

#[test]
fn what_must_happen_once_and_never_does_is_a_failure() {
    let found = hunt(what_never_happens, &OPTIONS).expect("she never falls");
    assert_eq!((found.failure.check.as_str(), found.again.as_str()), ("sometimes \"ann is down\"", "OVERCOM_SEEDS=8"));
}

#[test]
fn what_comes_too_late_is_a_failure_at_the_end() {
    let found = hunt(what_comes_too_late, &OPTIONS).expect("she never falls");
    assert_eq!(found.failure.check, "eventually \"ann is down\"");
}

#[test]
fn a_run_that_differs_from_its_twin_is_a_failure_with_the_first_difference() {
    let found = hunt(another_run_each_time, &Options { twice: true, shrink: false, ..OPTIONS }).expect("no two runs are the same");
    assert_eq!((found.failure.check.as_str(), found.again.as_str()), ("same twice", "OVERCOM_SEED=0x0 OVERCOM_TWICE=1"));
    assert!(found.failure.detail.contains("9.000000s: ann clock"), "{}", found.failure.detail);
}

fn built(seed: u64) -> Sim<Inbox> {
    let mut sim = Sim::new(seed);
    let [ann, ben, _] = eight_faults(&mut sim);
    sim.send_at(secs(3), ann, ben, "note", "{\"text\":\"milk\"}").expect("it is a message");
    sim
}

#[test]
fn builder_file_and_builder_again_are_the_same_run() {
    let mut sim = built(9);
    let report = sim.run().expect("it runs");
    let text = sim.scenario().to_json().expect("it can be written");
    let again = Sim::from_scenario(Scenario::from_json(&text).expect("it can be read")).expect("it fits").run().expect("it runs");
    assert_eq!((again.digest, again.marks.count()), (report.digest, report.marks.count()));
    assert_eq!(again.ladder(), report.ladder());
    assert!(report.marks.count() > 8);
}

#[test]
fn another_seed_is_another_run_and_the_first_difference_is_told() {
    let [a, b] = [1, 1].map(|seed| built(seed).run().expect("it runs"));
    assert_eq!(compare(&a.marks, &b.marks), None);
    let mut other = built(1);
    other.at(millis(2_500), fault::clock_step(other.find("cho").expect("she is there"), 7));
    let c = other.run().expect("it runs");
    let Some(Divergence::At(_, Some(mark))) = compare(&a.marks, &c.marks) else { panic!("they differ") };
    assert_eq!((mark.node.as_str(), mark.kind, mark.at), ("cho", "clock", overcom_core::Time::from_millis(2_500)));
}

#[test]
fn a_recorded_run_replays_life_by_life_and_recording_changes_nothing() {
    let mut sim = built(5);
    sim.record();
    let report = sim.run().expect("it runs");
    assert_eq!(report.digest, built(5).run().expect("it runs").digest);
    let replays = replay(&sim.trace(), Builds::Same).expect("it is the same build");
    let names: Vec<&str> = replays.iter().map(|replay| &*replay.header.node).collect();
    assert_eq!(names, ["ann", "ben", "ben", "cho"], "two lives of the node that fell");
    assert!(replays.iter().all(|replay| replay.inputs >= 2 && replay.compared > 0));
}
