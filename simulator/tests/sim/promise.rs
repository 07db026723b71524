//! What the protocol promises under faults: nothing stored is lost, and nobody who stays up is told anything twice.

use std::collections::{BTreeMap, BTreeSet};

use overcom_core::{App, AppCx, Command, Message, MessageId, Notice, Peer, Saved, StreamId};
use overcom_simulator::{Draws, Network, NodeId, Sim, World, fault, millis, secs};

/// Sends numbered messages and keeps what it was told, in one batch with taking it.
#[derive(Default)]
pub(super) struct Ledger {
    /// Texts that it has ever sent, from its store.
    sent: BTreeSet<String>,
    /// Texts that it has ever got, from its store.
    got: BTreeSet<String>,
    /// How often each id came to this process.
    ids: BTreeMap<MessageId, u32>,
    /// Whether a text came that its store has already.
    again: bool,
    /// The last number from each sender's stream, and whether one came out of order.
    disorder: bool,
    last: BTreeMap<(Peer, StreamId), u64>,
}

impl Ledger {
    fn send(&mut self, draws: &mut Draws, cx: &mut AppCx<'_>) {
        let to = cx.node().inspect().book;
        let Some(user) = usize::try_from(draws.below(to.len().max(1) as u64)).ok().and_then(|at| to.get(at)) else { return };
        let text = format!("{} {}", draws.word(), draws.below(1 << 40));
        if let Ok(message) = Message::new("entry", &text)
            && cx.command(Command::send(*user, message)).is_ok()
        {
            cx.save(format!("s{text}"), *b"");
            self.sent.insert(text);
        }
    }
}

impl App for Ledger {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, saved: Saved) {
        for key in saved.into_keys().filter_map(|key| String::from_utf8(key).ok()) {
            let Some((kind, text)) = key.split_at_checked(1) else { continue };
            let kept = if kind == "s" { &mut self.sent } else { &mut self.got };
            kept.insert(text.into());
        }
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(message) = notice
            && let Ok(text) = message.parse::<String>()
        {
            *self.ids.entry(message.id).or_default() += 1;
            let last = self.last.entry((message.from, message.id.stream)).or_default();
            self.disorder |= message.id.number <= *last;
            *last = message.id.number;
            cx.save(format!("g{text}"), *b"");
            self.again |= !self.got.insert(text);
        }
    }
}

const NAMES: [&str; 3] = ["ann", "ben", "cho"];

fn ledgers(sim: &mut Sim<Ledger>) -> [NodeId; 3] {
    let all = sim.nodes(NAMES, Ledger::default);
    for one in all {
        sim.introduce(one, all.into_iter().filter(|other| *other != one));
    }
    sim.workload("send", 60, |draws, app, cx| app.send(draws, cx));
    sim.always("no id comes twice to a process, no text twice to a store, and each stream in order", |w| {
        w.apps().map(|app| app.ids.values().all(|times| *times == 1) && !app.again && !app.disorder).all(|held| held)
    });
    all
}

fn nothing_is_lost(w: &World<'_, Ledger>) -> bool {
    let sent: BTreeSet<&String> = w.apps().flat_map(|app| &app.sent).collect();
    let got: BTreeSet<&String> = w.apps().flat_map(|app| &app.got).collect();
    w.apps().count() == NAMES.len() && sent.is_subset(&got)
}

/// Loss, a partition, a crash and new sockets.
pub(super) fn stored_messages_come_through_every_fault(sim: &mut Sim<Ledger>) {
    let [ann, ben, cho] = ledgers(sim);
    sim.network(Network::default().loss_ppm(20_000));
    sim.at(secs(3), fault::partition([ann], [ben, cho]));
    sim.at(secs(6), fault::rebind(cho, None));
    sim.at(secs(8), fault::crash(ben));
    sim.at(secs(11), fault::restart(ben));
    sim.at(secs(14), fault::crash(ann));
    sim.at(secs(15), fault::slow_disk(cho, millis(150)));
    sim.at(secs(16), fault::restart(ann));
    sim.at(secs(20), fault::heal());
    sim.eventually("nothing stored is lost", secs(700), nothing_is_lost);
    sim.sometimes("something waits while the network is parted", move |w| w.node(ann).outbox().len() > 1);
}

/// A device gets an old backup of its store back: what it sent and got since is gone from it, and all that it sends then
/// must still come, although its peers know more of its streams than it does.
pub(super) fn a_rolled_back_store_stops_nobody(sim: &mut Sim<Ledger>) {
    let [_, ben, _] = ledgers(sim);
    sim.at(secs(8), fault::rollback(ben, secs(4)));
    sim.at(secs(20), fault::heal());
    sim.eventually("all that its store knows as sent has come", secs(700), move |w| {
        let got: BTreeSet<&String> = w.apps().flat_map(|app| &app.got).collect();
        w.app(ben).is_some_and(|app| app.sent.len() > 4 && app.sent.iter().all(|text| got.contains(text)))
    });
    sim.eventually("no message waits any more", secs(700), |w| w.nodes().all(|node| w.node(node).outbox().is_empty()));
}

/// A device gets a store back in which its messages wait for people whose devices it did not know yet: it has told them
/// since, and they must know the messages again.
pub(super) fn a_store_from_before_the_first_link_says_the_same_ids(sim: &mut Sim<Ledger>) {
    let [ann, ben, cho] = ledgers(sim);
    sim.at(millis(1), fault::partition([ben], [ann, cho]));
    sim.at(secs(4), fault::heal());
    sim.at(secs(10), fault::rollback(ben, millis(3_900)));
    sim.at(secs(20), fault::heal());
    sim.sometimes("something waits for people without a device", move |w| w.node(ben).outbox().iter().any(|view| view.device.is_none()));
    sim.eventually("no message waits any more", secs(700), |w| w.nodes().all(|node| w.node(node).outbox().is_empty()));
}
