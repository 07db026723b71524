//! An application as its author would test it: a shared list that must come together after faults.

use std::collections::BTreeSet;

use overcom_core::{App, AppCx, Command, Message, Notice, Saved};
use overcom_simulator::{Sim, fault, main, secs};

/// A grow-only list that every node keeps and tells everybody in its address book.
struct Todo {
    items: BTreeSet<String>,
}

impl Todo {
    fn new(_list: &str) -> Self {
        Self { items: BTreeSet::new() }
    }

    const fn items(&self) -> &BTreeSet<String> {
        &self.items
    }

    fn add(&mut self, cx: &mut AppCx<'_>, item: String) {
        if !self.items.insert(item.clone()) {
            return;
        }
        cx.save(item.as_bytes(), *b"");
        for user in cx.node().inspect().book {
            if let Ok(message) = Message::new("add", &item) {
                let _ = cx.command(Command::send(user, message));
            }
        }
    }
}

impl App for Todo {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, saved: Saved) {
        self.items = saved.into_keys().filter_map(|key| String::from_utf8(key).ok()).collect();
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(message) = notice
            && let Ok(item) = message.parse::<String>()
            && self.items.insert(item.clone())
        {
            cx.save(item.as_bytes(), *b"");
        }
    }
}

fn a_partition_heals(sim: &mut Sim<Todo>) {
    let [ann, ben, cho] = sim.nodes(["ann", "ben", "cho"], || Todo::new("groceries"));
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

main!(a_partition_heals);
