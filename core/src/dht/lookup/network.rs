//! A network that stands still, for tests: nodes with tables as full as they become, and what happens to requests.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use super::*;
use crate::address::Scope;
use crate::dht::id::{Variant, node_id};
use crate::id::NodeKey;
use crate::rng::{Rng, Seed};

pub(in crate::dht) const GLOBAL: Realm = Realm { is_v6: false, scope: Scope::Global };
pub(in crate::dht) const PRIVATE: Realm = Realm { is_v6: false, scope: Scope::Private };
/// Places in a bucket, and nodes that a reply names.
const BUCKET: usize = 16;
const NAMED: usize = 7;
/// When a request is repeated and when it is given up.
const TIME_OUT: Duration = Duration::from_millis(400);

pub(in crate::dht) struct Network {
    pub(in crate::dht) realm: Realm,
    /// Whether tables of sixteen are hard.
    pub(in crate::dht) is_hard: bool,
    /// Whether tables are wide.
    pub(in crate::dht) is_wide: bool,
    /// In the order of hints.
    pub(in crate::dht) nodes: Vec<Contact>,
    tables: BTreeMap<Hint, Vec<Contact>>,
    pub(in crate::dht) dead: BTreeSet<SocketAddr>,
    /// Who names these, whatever it is asked.
    pub(in crate::dht) liars: BTreeMap<SocketAddr, Vec<Contact>>,
    /// Who names those of its kind that are nearest, and hides what it keeps.
    pub(in crate::dht) gang: BTreeSet<SocketAddr>,
    /// So many of a hundred datagrams are lost.
    pub(in crate::dht) lost_percent: u64,
    pub(in crate::dht) rng: Rng,
    /// How many look-ups there were.
    look_ups: u64,
}

/// What a look-up came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dht) struct Run {
    pub(in crate::dht) end: Option<End>,
    pub(in crate::dht) asks: Vec<Ask>,
    pub(in crate::dht) took: Duration,
    pub(in crate::dht) holders: Vec<Hint>,
    pub(in crate::dht) is_dense: bool,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dht) enum Event {
    Reply(SocketAddr, Duration),
    Slow(SocketAddr),
    Miss(SocketAddr),
}

impl Network {
    /// Nodes at random addresses of the realm with ids that fit these.
    pub(in crate::dht) fn new(realm: Realm, n: usize, seed: u8) -> Self {
        let mut rng = Rng::from_seed(&Seed::from_bytes([seed; 32]));
        let (mut nodes, mut taken) = (BTreeMap::new(), BTreeSet::new());
        while nodes.len() < n {
            let draw: [u8; 16] = rng.array();
            let [a, b, c, d, r, key @ ..] = draw;
            let ip = if realm == GLOBAL { Ipv4Addr::new(a, b, c, d) } else { Ipv4Addr::new(10, b, c, d) };
            let at = SocketAddr::from((ip, 7));
            if Realm::of(at) == Some(realm)
                && taken.insert(at)
                && let Some(hint) = hint_at(at, &key, r)
            {
                nodes.insert(hint, at);
            }
        }
        let nodes = nodes.into_iter().map(|(hint, at)| Contact { hint, at }).collect();
        Self {
            realm,
            is_hard: realm == GLOBAL,
            is_wide: false,
            nodes,
            tables: BTreeMap::new(),
            dead: BTreeSet::new(),
            liars: BTreeMap::new(),
            gang: BTreeSet::new(),
            lost_percent: 0,
            rng,
            look_ups: 0,
        }
    }

    pub(in crate::dht) fn add(&mut self, contact: Contact) {
        let at = self.nodes.partition_point(|other| other.hint < contact.hint);
        self.nodes.insert(at, contact);
        self.tables.clear();
    }

    pub(in crate::dht) fn pick(&mut self) -> Contact {
        let index = self.rng.below(self.nodes.len() as u64);
        self.nodes[usize::try_from(index).unwrap_or(0)]
    }

    /// Those who share the first `bits` of `target`.
    fn within(&self, target: Hint, bits: u32) -> &[Contact] {
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        let start = self.nodes.partition_point(|node| node.hint.0 < target.0 & !rest);
        &self.nodes[start..self.nodes.partition_point(|node| node.hint.0 <= target.0 | rest)]
    }

    /// The living that are nearest, `own` left out.
    pub(in crate::dht) fn nearest(&self, own: Hint, target: Hint, n: usize) -> Vec<Contact> {
        self.nearest_of(target, n, |node| node.hint != own && !self.dead.contains(&node.at))
    }

    fn nearest_of(&self, target: Hint, n: usize, is_one: impl Fn(&Contact) -> bool) -> Vec<Contact> {
        let of = |bits| self.within(target, bits).iter().filter(|node| is_one(node));
        let bits = (0..64).rev().find(|bits| of(*bits).count() >= n).unwrap_or(0);
        let mut all: Vec<Contact> = of(bits).copied().collect();
        all.sort_unstable_by_key(|node| node.hint.distance(target));
        all.truncate(n);
        all
    }

    /// The nearest of what a node has in its buckets, each of which has as many of its part of the network as it has places.
    pub(in crate::dht) fn named(&mut self, node: Hint, target: Hint, n: usize) -> Vec<Contact> {
        if !self.tables.contains_key(&node) {
            let mut table = Vec::new();
            for bits in 1..=64 {
                let far: Vec<Contact> = self.within(Hint(node.0 ^ 1 << (64 - bits)), bits).to_vec();
                let places = if self.is_wide { (512 >> bits).max(2 * BUCKET) } else { BUCKET };
                let mut taken = BTreeSet::new();
                while taken.len() < far.len().min(places) {
                    let drawn = if far.len() <= places { taken.len() as u64 } else { self.rng.below(far.len() as u64) };
                    taken.insert(usize::try_from(drawn).unwrap_or(0));
                }
                table.extend(taken.into_iter().map(|index| far[index]));
                if self.within(node, bits).len() <= 1 {
                    break;
                }
            }
            self.tables.insert(node, table);
        }
        let mut table = self.tables[&node].clone();
        table.sort_unstable_by_key(|node| node.hint.distance(target));
        table.truncate(n);
        table
    }

    pub(in crate::dht) fn view(&self, own: Hint) -> View {
        let servers = self.nodes.len().saturating_sub(1);
        View { own, realm: self.realm, is_hard: self.is_hard && servers >= 16, size: Size::of(self.nodes.len()), servers }
    }

    pub(in crate::dht) fn look_up(&mut self, own: Hint, target: Hint, wants: Wants) -> LookUp {
        let seeds = self.named(own, target, SEEDS_MAX);
        self.look_up_from(own, target, wants, &seeds)
    }

    /// One whose table has these, nearest first.
    pub(in crate::dht) fn look_up_from(&mut self, own: Hint, target: Hint, wants: Wants, seeds: &[Contact]) -> LookUp {
        let starts: Vec<Start> = seeds.iter().map(|it| Start { hint: Some(it.hint), at: it.at, rtt: Rtt::of(self.rtt(it.at)) }).collect();
        self.look_ups += 1;
        let rng = self.rng.fork("look-up", self.look_ups);
        LookUp::new(target, wants, self.view(own), starts.clone(), starts, rng, Time::ZERO)
    }

    /// 20 to 180 ms, by address.
    fn rtt(&self, at: SocketAddr) -> Duration {
        let sum = u64::from(
            crate::crypto::sha256(&[&match at {
                SocketAddr::V4(v4) => v4.ip().octets(),
                SocketAddr::V6(_) => [0; 4],
            }])[0],
        );
        Duration::from_millis(20 + sum * 160 / 255)
    }

    /// What becomes of one request.
    pub(in crate::dht) fn send(&mut self, at: SocketAddr, now: Time, events: &mut BTreeMap<(Time, u64), Event>) {
        let serial = events.keys().map(|(_, serial)| *serial).max().unwrap_or(0);
        let rtt = self.rtt(at);
        let arrives =
            |rng: &mut Rng| !self.dead.contains(&at) && rng.below(100) >= self.lost_percent && rng.below(100) >= self.lost_percent;
        let (is_first, is_second) = (arrives(&mut self.rng), arrives(&mut self.rng));
        let mut push = |after, n, event| events.insert((now + after, serial + n), event);
        if is_first {
            push(rtt, 1, Event::Reply(at, rtt));
            return;
        }
        push(TIME_OUT, 1, Event::Slow(at));
        let (after, event) = if is_second { (TIME_OUT + rtt, Event::Reply(at, rtt)) } else { (2 * TIME_OUT, Event::Miss(at)) };
        push(after, 2, event);
    }

    /// What a node says to a question for `target`: who it is, and whom it knows.
    pub(in crate::dht) fn answer(&mut self, at: SocketAddr, target: Hint) -> Option<(Hint, Vec<Contact>)> {
        let who = self.nodes.iter().find(|node| node.at == at)?.hint;
        if self.gang.contains(&at) {
            return Some((who, self.nearest_of(target, NAMED, |node| self.gang.contains(&node.at))));
        }
        let named = self.liars.get(&at).cloned();
        Some((who, named.unwrap_or_else(|| self.named(who, target, NAMED))))
    }

    /// Runs a look-up to its end.
    pub(in crate::dht) fn run(&mut self, mut look_up: LookUp) -> Run {
        let (mut now, mut asks, mut events) = (Time::ZERO, Vec::<Ask>::new(), BTreeMap::new());
        loop {
            while let Some(ask) = look_up.next() {
                self.send(ask.at, now, &mut events);
                asks.push(ask);
            }
            let Some(((at, _), event)) = events.pop_first().filter(|_| look_up.end().is_none()) else { break };
            now = at;
            match event {
                Event::Reply(at, rtt) => {
                    let asked = asks.iter().rfind(|ask| ask.at == at);
                    match self.answer(at, asked.map_or(look_up.target(), |ask| ask.towards)) {
                        Some((hint, named)) if asked.and_then(|ask| ask.hint).is_none_or(|asked| asked == hint) => {
                            look_up.on_reply(at, Some(hint), Rtt::of(rtt), named)
                        }
                        _ => look_up.on_unfit(at),
                    }
                }
                Event::Slow(at) => {
                    if !look_up.on_slow(at) {
                        // It is not repeated, so that no answer comes.
                        let is_answer = |event: &Event| matches!(event, Event::Reply(from, _) if *from == at);
                        let answer = events.iter().find(|(_, event)| is_answer(event)).map(|(key, _)| *key);
                        if let Some(key) = answer {
                            events.remove(&key);
                            events.insert((now + TIME_OUT, key.1), Event::Miss(at));
                        }
                    }
                }
                Event::Miss(at) => look_up.on_miss(at),
            }
        }
        let holders = look_up.holders().iter().map(|near| near.hint).collect();
        Run { end: look_up.end(), asks, took: now.since(Time::ZERO), holders, is_dense: look_up.is_dense() }
    }
}

/// The hint of a node with this key at this address.
pub(in crate::dht) fn hint_at(at: SocketAddr, key: &[u8; 11], variant: u8) -> Option<Hint> {
    let mut node_key = [0; 32];
    node_key[..11].copy_from_slice(key);
    Some(node_id(&NodeKey::from_bytes(node_key), at, Variant::from_low_bits(variant))?.hint())
}
