//! An application as its author would test it: a shared list that must come together after faults.

mod app;

use app::Todo;
use overcom_simulator::{Sim, fault, secs};

pub(super) fn a_partition_heals(sim: &mut Sim<Todo>) {
    let [ann, ben, cho] = sim.nodes(["ann", "ben", "cho"], Todo::default);
    for (one, others) in [(ann, [ben, cho]), (ben, [ann, cho]), (cho, [ann, ben])] {
        sim.introduce(one, others);
    }
    sim.at(secs(5), fault::partition([ann], [ben, cho]));
    sim.at(secs(9), fault::crash(ben));
    sim.at(secs(12), fault::restart(ben));
    sim.at(secs(20), fault::heal());
    sim.workload("add", 30, |rng, app, cx| app.add(cx, rng.word()));
    sim.eventually("same list", secs(400), |w| w.apps().count() == 3 && w.apps().map(Todo::items).all_equal());
    sim.sometimes("everybody has twenty items", |w| w.apps().all(|app| app.items().len() >= 20));
    sim.sometimes("ann has something undelivered", move |w| w.node(ann).outbox().len() > 1);
}
