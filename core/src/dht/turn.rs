//! Time, and what follows from what: after whatever has happened each part is asked what it wants to have done.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::ask::{Whom, count_out};
use super::key::Hint;
use super::knock;
use super::leaf::{self, LEAVES_MAX, Leaf, LeafSet};
use super::net::Net;
use super::proof::is_hello;
use super::reach::{Choice, Outcome};
use super::repair;
use super::rpc::{Asked, Late, Question};
use super::seek::{Goal, Seek};
use super::table::Rtt;
use super::told::Told;
use super::upkeep::Task;
use super::wire::{Answer, Contact, DeviceHint, Exchange, Got, Kind, Reply, write_knock};
use super::{Dht, Purpose, ROUNDS_MAX, id};
use crate::action::{Action, Packet, Path};
use crate::address::group;
use crate::crypto::noise::KeyPair;
use crate::cx::Cx;
use crate::id::NodeKey;
use crate::time::Time;

/// Requests that are late, and things of one kind that are begun, in one call; the rest waits for a `Tick` at once.
const LATE_MAX: u32 = 128;
const STEPS_MAX: u32 = 32;

impl Dht {
    /// The time that [`due`](Self::due) said has come; earlier nothing happens.
    pub(crate) fn on_tick(&mut self, cx: &mut Cx) {
        if self.due.is_some_and(|due| due <= cx.now) {
            for _ in 0..LATE_MAX {
                match self.flight.late(cx.now) {
                    None => break,
                    Some(Late::Slow(asked)) => self.on_slow(cx, asked),
                    Some(Late::Missed(asked)) => {
                        if let Some(net) = self.net_at(asked.to) {
                            self.on_missed(cx, net, &asked);
                        }
                    }
                }
            }
            self.home.expire(cx.wall);
            self.settle(cx);
        }
    }

    /// Asks each part until none has more to do, and when the first one will.
    pub(super) fn settle(&mut self, cx: &mut Cx) {
        for _ in 0..ROUNDS_MAX {
            self.is_dirty = false;
            for net in 0..self.nets.len() {
                self.settle_reach(cx, net);
                self.settle_upkeep(cx, net);
                // A leaf that has missed has a place in the table, too, and is asked for both at once.
                self.settle_leaves(cx, net);
                self.settle_table(cx, net);
            }
            self.ping_entries(cx);
            self.drive_own(cx);
            self.drive_carry(cx);
            self.drive_seeks(cx);
            if !self.is_dirty {
                break;
            }
        }
        self.due = if self.is_dirty { Some(cx.now) } else { self.next_due(cx) };
    }

    fn next_due(&self, cx: &Cx) -> Option<Time> {
        let of_net = |net: &Net| {
            let probe = (net.table.len() > 0).then_some(net.probe_at);
            let again = net.again.iter().map(|(at, _)| *at).min();
            // Who does not serve has neither.
            let serves = net.served_id().is_some();
            let (leaves, repair) = if serves { (net.leaves.due(), net.repair.due()) } else { (None, None) };
            let all = [Some(net.upkeep.due()), probe, again, leaves, repair, net.reach.due(cx.now), net.health.due(cx.now)];
            all.into_iter().flatten().min()
        };
        // By the wall clock.
        let home = self.home.due().map(|end| cx.now + end.since(cx.wall));
        let nets = self.nets.iter().filter(|net| net.local.is_some()).filter_map(of_net).min().into_iter().chain(home).min();
        let seeks = self.seeks.iter().filter_map(Seek::due).min();
        let own = self.own.as_ref();
        let publisher = own.and_then(|own| own.publisher.due());
        let sleeper = own.and_then(|own| own.sleeper.as_ref()).map(|sleeper| sleeper.due());
        [nets, seeks, publisher, sleeper, self.flight.due(), self.entries.due(), self.carry.due()].into_iter().flatten().min()
    }

    /// The first time-out of a request has passed: it goes out again, and whoever waits for it goes on meanwhile.
    fn on_slow(&mut self, cx: &mut Cx, mut asked: Asked<Purpose>) {
        let Some(net) = self.net_at(asked.to) else { return };
        // Whoever wants an errand asks again, and nothing goes out for it but for that; nor more to an address, for what came from there
        // unproven, than came.
        if matches!(asked.purpose, Purpose::Errand | Purpose::Where) {
            return;
        }
        // Of whom there is but somebody's word is not asked twice where that is doubtful: it may be a lie, to have others sent something.
        let mut is_worth_more = true;
        if let Purpose::Seek { number, .. } = asked.purpose {
            is_worth_more = self.on_seek_slow(number, &asked);
        } else if let Purpose::Again { number } = asked.purpose {
            self.on_again_late(number, &asked, false);
        } else if let (Purpose::Table { .. }, Some(net)) = (asked.purpose, self.nets.get(net)) {
            is_worth_more = !net.table.is_waiting(asked.to);
        }
        if !is_worth_more {
            asked.wait_on(cx.now);
            return self.flight.add(asked);
        }
        if let Some(asked) = self.send(cx, net, asked) {
            self.on_no_answer(cx, net, &asked);
        }
    }

    /// Where this node is, and whether it serves.
    fn settle_reach(&mut self, cx: &mut Cx, at: usize) {
        for _ in 0..STEPS_MAX {
            let Some(outcome) = self.nets.get_mut(at).and_then(|net| net.reach.next(cx.now)) else { break };
            self.is_dirty = true;
            match outcome {
                Outcome::Moved => self.on_moved(cx, at),
                // Where the device is told to be follows below.
                Outcome::Fit(_) => {}
                Outcome::Mode(mode) => {
                    if let Some(net) = self.nets.get_mut(at) {
                        net.table.set_mode(mode, cx.now);
                        net.on_table(cx.now);
                    }
                }
                Outcome::BeginServing => self.on_begin_serving(cx, at),
                Outcome::EndServing(why) => {
                    let Some(net) = self.nets.get_mut(at) else { return };
                    let realm = net.realm;
                    net.upkeep.on_end_serving(cx.now);
                    net.health.set_serving(false);
                    net.leaves = LeafSet::new(realm, net.own.hint());
                    self.home.set_own(realm, None);
                    self.tell(Told::Resigned { realm, why });
                }
                Outcome::Probe { except } => self.ask_probe(cx, at, except),
            }
            self.set_places(cx);
        }
        let is_quiet = self.choice == Choice::Never;
        let Some(net) = self.nets.get_mut(at) else { return };
        net.health.set_located(is_quiet || net.reach.is_located(), cx.now);
        if let Some(standing) = net.health.next(cx.now) {
            let realm = net.realm;
            if standing == super::health::Standing::Isolated {
                self.entries.on_isolated(cx.now);
                net.upkeep.on_lost();
            }
            self.tell(Told::Standing { realm, standing });
        }
    }

    /// At another address the node has another id, and another neighbourhood.
    fn on_moved(&mut self, cx: &mut Cx, at: usize) {
        let Some(net) = self.nets.get_mut(at) else { return };
        net.id = net.reach.id(&self.key);
        if let Some(id) = net.id {
            net.move_to(id, cx.now);
        }
    }

    fn on_begin_serving(&mut self, cx: &mut Cx, at: usize) {
        let Some(net) = self.nets.get_mut(at) else { return };
        let (realm, own) = (net.realm, net.own.hint());
        // Who does not serve has no leaves but those that were stored.
        let kept_neighbours = net.leaves.len() >= LEAVES_MAX;
        net.upkeep.on_begin_serving(kept_neighbours, &mut self.rng, cx.now);
        net.health.set_serving(true);
        net.offer_nearest(cx.now);
        let address = net.reach.address();
        self.home.set_own(realm, Some(own));
        self.tell(Told::Serves { realm, at: address });
    }

    /// Asks somebody to have a stranger knock here (spec: DHT-133).
    fn ask_probe(&mut self, cx: &mut Cx, at: usize, except: Option<SocketAddr>) {
        let Some(net) = self.nets.get(at) else { return };
        let groups: Vec<_> = except.into_iter().chain(net.reach.address()).map(group).collect();
        let Some(entry) = knock::pick(net.table.mains(), &groups, &mut self.rng) else { return };
        let whom = Whom { at: entry.at, hint: Some(entry.hint), rtt: entry.rtt };
        if self.ask(cx, at, whom, Question::Probe, Purpose::Probe)
            && let Some(net) = self.nets.get_mut(at)
        {
            net.reach.on_probe_sent(entry.at);
        }
    }

    /// Pings an address once, for somebody else (spec: DHT-134).
    pub(super) fn knock(&mut self, cx: &mut Cx, at: usize, to: SocketAddr) {
        let Some(net) = self.nets.get_mut(at) else { return };
        let Some(local) = net.local else { return };
        net.reach.on_sent(to, cx.now);
        let mut out = cx.buffer();
        write_knock(&mut out, Exchange::from_bytes(self.rng.array()));
        count_out(cx, out.len());
        cx.actions.push_back(Action::SendDatagram { path: Path { local, remote: to }, packet: Packet::from_vec(out) });
    }

    /// The schedule of look-ups and of what is stored.
    fn settle_upkeep(&mut self, cx: &mut Cx, at: usize) {
        for _ in 0..STEPS_MAX {
            let Some(net) = self.nets.get_mut(at).filter(|net| net.local.is_some()) else { return };
            let (own, size, realm) = (net.own, net.size(), net.realm);
            let table = &net.table;
            match net.upkeep.next(&own, size, |bucket| table.is_thin(bucket), &mut self.rng, cx.now) {
                None => return,
                Some(Task::OwnLookUp { .. }) => drop(self.seek(cx, at, own, Goal::Own)),
                Some(Task::FarLookUp { target }) => drop(self.seek(cx, at, target, Goal::Far)),
                Some(Task::Store) => self.tell(Told::Store { realm }),
            }
        }
    }

    /// Whether those of the table are still there (spec: DHT-57, DHT-60).
    fn settle_table(&mut self, cx: &mut Cx, at: usize) {
        let Some(net) = self.nets.get_mut(at).filter(|net| net.local.is_some()) else { return };
        let mut due: Vec<SocketAddr> = Vec::new();
        net.again.retain(|(when, again)| {
            let is_due = *when <= cx.now;
            if is_due {
                due.push(*again);
            }
            !is_due
        });
        if net.probe_at <= cx.now && net.table.len() > 0 {
            net.probe_at = cx.now + net.probe_interval();
            net.usual = net.table.long_rtt();
            let flight = &self.flight;
            due.extend(net.table.next_probe(cx.now, |at| flight.is_asked(at)).map(|entry| entry.at));
        }
        for to in due {
            if self.flight.is_asked(to) {
                continue;
            }
            let Some(entry) = self.nets.get(at).and_then(|net| net.table.find_any(to)) else { continue };
            let whom = Whom { at: to, hint: Some(entry.hint), rtt: entry.rtt };
            // Its hint is known, and who has another one does not answer.
            let question = Question::Alive(entry.hint);
            if !self.ask(cx, at, whom, question, Purpose::Table { descent: None })
                && let Some(net) = self.nets.get_mut(at)
                && entry.has_missed()
            {
                net.again.push((cx.now + AGAIN, to));
            }
        }
    }

    /// The leaf set, and the repair of what is held.
    fn settle_leaves(&mut self, cx: &mut Cx, at: usize) {
        for _ in 0..STEPS_MAX {
            let Some(net) = self.nets.get_mut(at).filter(|net| net.served_id().is_some() && net.local.is_some()) else { return };
            let Some(ask) = net.leaves.next(cx.now) else { break };
            let (to, hint, question, purpose) = match ask {
                leaf::Ask::Alive { hint, at } => (at, hint, Question::Alive(hint), Purpose::Leaf),
                leaf::Ask::Hello { hint, at } => {
                    let challenge = KeyPair::new(&cx.config.crypto, self.rng.array());
                    (at, hint, Question::Hello(Box::new(challenge)), Purpose::Hello)
                }
            };
            let rtt = net.rtt(to);
            self.ask(cx, at, Whom { at: to, hint: Some(hint), rtt }, question, purpose);
        }
        for _ in 0..STEPS_MAX {
            let Some(net) = self.nets.get_mut(at) else { return };
            if !net.is_repair_due && net.repair.due().is_none_or(|due| due > cx.now) {
                return;
            }
            let Some(check) = net.repair.next(&net.leaves, &self.home, net.servers, cx.now, &mut self.rng) else {
                net.is_repair_due = false;
                return;
            };
            self.ask_check(cx, at, &check);
        }
    }

    fn ask_check(&mut self, cx: &mut Cx, at: usize, check: &repair::Check) {
        let Some(net) = self.nets.get_mut(at) else { return };
        let known = self.home.find(&check.name).map(|held| held.number());
        let to = net.leaves.find(check.to).map(|leaf| Contact { hint: check.to, at: leaf.at });
        let slot = check.name.slot;
        let device = slot.device().map(DeviceHint::of);
        let question = Question::Get { target: check.name.home, kind: slot.kind(), device, known, write: true, is_fair: false };
        if !to.is_some_and(|to| self.ask_contact(cx, to, question, Purpose::Check(check.number))) {
            self.on_check_failed(cx, at, check.number);
        }
    }

    pub(super) fn on_check_failed(&mut self, cx: &Cx, at: usize, number: u16) {
        if let Some(net) = self.nets.get_mut(at) {
            net.repair.on_checked(number, repair::Answer::Failed, &self.home, cx.now);
        }
    }

    /// A leaf has said what it holds: what it lacks is put.
    pub(super) fn on_checked(&mut self, cx: &mut Cx, at: usize, number: u16, asked: &Asked<Purpose>, reply: &Reply<'_>) {
        let (Answer::Get(got), Question::Get { kind, device, .. }) = (&reply.answer, &asked.question) else { return };
        let holds = repair::Answer::Holds(number_of(got, *kind, *device));
        let Some(net) = self.nets.get_mut(at) else { return };
        let name = asked.question.target();
        let Some(push) = net.repair.on_checked(number, holds, &self.home, cx.now) else {
            // What is newer there is kept here, too.
            if let Some((record, home)) = got.record.zip(name) {
                self.keep(cx, at, (home, *kind), record, group(asked.to));
            }
            return;
        };
        let (Some(held), Some(token)) = (self.home.find(&push.name), got.token) else { return };
        let record: Arc<str> = Arc::from(held.json());
        let question = Question::Put { target: push.name.home, kind: *kind, token: Some(token), record, carry: false };
        let whom = Whom { at: asked.to, hint: Some(push.to), rtt: Rtt::UNKNOWN };
        self.ask(cx, at, whom, question, Purpose::Push);
    }

    /// A server has proven its key, or has not (spec: DHT-21, DHT-109).
    pub(super) fn on_hello(&mut self, cx: &mut Cx, at: usize, exchange: Exchange, asked: &Asked<Purpose>, reply: &Reply<'_>) {
        let (Answer::Hello { key, proof }, Question::Hello(challenge), Some(hint)) = (&reply.answer, &asked.question, asked.hint) else {
            return;
        };
        let of_key = |key: &NodeKey| id::of_hint(key, asked.to, hint);
        let id = of_key(key).filter(|id| is_hello(&cx.config.crypto, challenge, exchange, id, asked.to, key, *proof));
        let Some(net) = self.nets.get_mut(at) else { return };
        match id {
            Some(id) => {
                let leaf = Leaf { id, key: *key, at: asked.to };
                if net.leaves.on_proven(&leaf, cx.now, &mut self.rng) {
                    self.on_leaves(cx, at);
                }
            }
            None => {
                cx.stats.dht_unfit = cx.stats.dht_unfit.saturating_add(1);
                net.leaves.on_refuted(hint, cx.now);
            }
        }
    }

    /// A leaf has come or gone.
    pub(super) fn on_leaves(&mut self, cx: &Cx, at: usize) {
        self.is_dirty = true;
        let Some(net) = self.nets.get_mut(at) else { return };
        net.is_repair_due = true;
        // Who comes next is in the table.
        net.offer_nearest(cx.now);
    }

    /// Somebody else is where a leaf was.
    pub(super) fn on_leaf_gone(&mut self, cx: &Cx, at: usize, hint: Hint) {
        let Some(net) = self.nets.get_mut(at) else { return };
        if net.leaves.on_gone(hint).is_some() {
            net.upkeep.on_neighbour_gone(cx.now);
            self.on_leaves(cx, at);
        }
    }

    fn ping_entries(&mut self, cx: &mut Cx) {
        for _ in 0..STEPS_MAX {
            let Some((to, number)) = self.entries.next(&mut self.rng, cx.now) else { return };
            let Some(net) = self.net_at(to) else { continue };
            let whom = Whom { at: to, hint: None, rtt: Rtt::UNKNOWN };
            self.ask(cx, net, whom, Question::Ping, Purpose::Entry(number));
        }
    }
}

/// Who could not be asked again is so later (guess).
const AGAIN: core::time::Duration = core::time::Duration::from_secs(10);

/// The number of what somebody holds.
pub(super) fn number_of(got: &Got<'_>, kind: Kind, device: Option<DeviceHint>) -> Option<u64> {
    match kind {
        Kind::Revocation => got.revoked,
        Kind::Address | Kind::Device => {
            let listed = got.index.as_ref()?.iter().find(|listed| Some(listed.device) == device)?;
            Some(listed.number)
        }
    }
}
