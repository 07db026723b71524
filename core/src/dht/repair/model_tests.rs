//! A network of servers with real stores, leaf sets and repair, whose owners are all away: what remains of their records.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::time::Duration;

use super::*;
use crate::dht::home::tests::{Bed, NOW, Owner, V4, put};
use crate::dht::home::{Put, Wanted};
use crate::dht::leaf::Ask;
use crate::dht::leaf::tests::{LAN, leaf};
use crate::dht::wire::{DeviceHint, Kind};
use crate::rng::Seed;
use crate::time::WallTime;

const TICK: Duration = Duration::from_millis(100);
/// Each server hears of all others this often, as from its table.
const OFFERS: u64 = 5;
/// What a reply to a check takes, with the headers of both, and those of a push and its reply.
const CHECKED_BYTES: u64 = 200 + 140 + 2 * 28;
const PUSHED_BYTES: u64 = 240 + 60 + 2 * 28;

struct Server {
    leaves: LeafSet,
    repair: Repair,
    bed: Bed,
    rng: Rng,
}

struct Network {
    servers: BTreeMap<Hint, Server>,
    now: Time,
    rng: Rng,
    records: BTreeMap<Name, (Owner, Kind, String)>,
    bytes: u64,
    checks: u64,
    pushes: u64,
    /// Pushes of what was there already.
    vain: u64,
}

impl Network {
    /// So many servers that know each other, and a device and an address record of each user at the five nearest.
    fn new(servers: usize, users: u16) -> Self {
        let mut network = Self {
            servers: BTreeMap::new(),
            now: Time::from_secs(1_000),
            rng: Rng::from_seed(&Seed::from_bytes([servers.to_le_bytes()[0]; 32])),
            records: BTreeMap::new(),
            bytes: 0,
            checks: 0,
            pushes: 0,
            vain: 0,
        };
        for _ in 0..servers {
            network.join(None);
        }
        network.run(60);
        for user in 0..users {
            let owner = Owner::new(user, 1);
            for (kind, json) in [(Kind::Device, owner.device(NOW)), (Kind::Address, owner.address(NOW))] {
                let mut name = None;
                for holder in network.five(owner.home().hint()) {
                    let server = network.servers.get_mut(&holder).unwrap();
                    name = Some(server.bed.put(&put(&owner, kind, &json, "20.0.0.1:1")).unwrap().name);
                }
                network.records.insert(name.unwrap(), (Owner::new(user, 1), kind, json));
            }
        }
        network
    }

    fn join(&mut self, hint: Option<Hint>) -> Hint {
        let hint = hint.unwrap_or(Hint(self.rng.u64()));
        let number = self.rng.u64();
        let rng = self.rng.fork("server", number);
        let server = Server { leaves: LeafSet::new(LAN, hint), repair: Repair::new(false, [hint.0, 1]), bed: Bed::new(hint, 4 << 20), rng };
        self.servers.insert(hint, server);
        hint
    }

    fn five(&self, target: Hint) -> Vec<Hint> {
        let mut all: Vec<Hint> = self.servers.keys().copied().collect();
        all.sort_by_key(|hint| hint.distance(target));
        all.into_iter().take(HOLDERS).collect()
    }

    /// Places, of all that there are, at which a record is where it belongs; and records that are nowhere.
    fn places(&self) -> (usize, usize, usize) {
        let (mut held, mut all, mut lost) = (0, 0, 0);
        for name in self.records.keys() {
            let five = self.five(name.home.hint());
            all += five.len();
            held += five.iter().filter(|hint| self.servers[hint].bed.home.find(name).is_some()).count();
            lost += usize::from(self.servers.values().all(|server| server.bed.home.find(name).is_none()));
        }
        (held, all, lost)
    }

    fn run(&mut self, secs: u64) {
        let hints: Vec<Hint> = self.servers.keys().copied().collect();
        for tick in 0..secs * 10 {
            self.now = self.now + TICK;
            let now = self.now;
            for hint in &hints {
                let Some(mut server) = self.servers.remove(hint) else { continue };
                if tick % (OFFERS * 10) == 0 {
                    for other in self.servers.keys() {
                        server.leaves.offer(*other, leaf(*other).at, now);
                    }
                }
                self.step(&mut server, now);
                self.servers.insert(*hint, server);
            }
        }
    }

    fn step(&mut self, server: &mut Server, now: Time) {
        let Server { leaves, repair, bed, rng } = server;
        let mut has_changed = false;
        while leaves.due().is_some_and(|due| due <= now)
            && let Some(ask) = leaves.next(now)
        {
            has_changed |= match ask {
                Ask::Hello { hint, .. } => self.servers.contains_key(&hint) && leaves.on_proven(&leaf(hint), now, rng),
                Ask::Alive { hint, .. } if self.servers.contains_key(&hint) => {
                    leaves.on_alive(hint, now, rng);
                    false
                }
                Ask::Alive { hint, .. } => leaves.on_silent(hint, now).is_some(),
            };
        }
        if !has_changed && repair.due().is_none_or(|due| due > now) {
            return;
        }
        let servers = leaves.len() + 1;
        while let Some(Check { number, name, to }) = repair.next(leaves, &bed.home, servers, now, rng) {
            self.checks += 1;
            self.bytes += CHECKED_BYTES;
            let answer = self.servers.get_mut(&to).map_or(Answer::Failed, |other| {
                let device = name.slot.device().map(DeviceHint::of);
                let wanted = Wanted { home: name.home, scope: name.scope, kind: name.slot.kind(), device, known: None };
                let got = other.bed.home.get(&wanted, WallTime::from_millis(NOW));
                let listed = got.index.unwrap_or_default();
                Answer::Holds(listed.iter().find(|listed| Some(listed.device) == device).map(|listed| listed.number))
            });
            if let Some(push) = repair.on_checked(number, answer, &bed.home, now) {
                let json = bed.home.find(&push.name).unwrap().json();
                self.pushes += 1;
                self.bytes += PUSHED_BYTES + json.len() as u64;
                let (owner, kind, _) = &self.records[&push.name];
                let put = Put { realm: V4, ..put(owner, *kind, json, "20.0.0.2:1") };
                match self.servers.get_mut(&push.to).unwrap().bed.put(&put) {
                    Ok(kept) => self.vain += u64::from(!kept.is_new),
                    Err(_) => repair.on_failed(push.to, now),
                }
            }
        }
    }
}

// spec-test: DHT-112
#[test]
fn in_small_networks_each_death_and_each_joiner_is_made_good() {
    for n in [2, 3, 6, 9, 15] {
        let mut network = Network::new(n, 10);
        let (held, all, _) = network.places();
        assert_eq!((held, all), (20 * n.min(5), 20 * n.min(5)), "{n}");
        for round in 0..4 {
            if round % 2 == 0 {
                network.join(None);
                network.run(150);
            } else {
                let index = usize::try_from(network.rng.below(network.servers.len() as u64)).unwrap();
                let dies = *network.servers.keys().nth(index).unwrap();
                network.servers.remove(&dies);
                network.run(260);
            }
            let (held, all, lost) = network.places();
            assert_eq!((held, lost), (all, 0), "{n} servers, {round}");
        }
        assert!(network.vain <= network.pushes / 20, "{} of {}", network.vain, network.pushes);
    }
}

// spec-test: DHT-112
#[test]
fn two_hours_of_churn_without_owners_lose_nothing_and_cost_what_was_planned() {
    const SERVERS: u64 = 40;
    let mut network = Network::new(40, 20);
    let mut changes: u64 = 0;
    // A mean session of an hour: 40 deaths and 40 joiners an hour, one at a time.
    for _ in 0..80 {
        let index = usize::try_from(network.rng.below(SERVERS)).unwrap();
        let dies = *network.servers.keys().nth(index).unwrap();
        changes += network.records.keys().filter(|name| network.five(name.home.hint()).contains(&dies)).count() as u64;
        network.servers.remove(&dies);
        network.run(45);
        let comes = network.join(None);
        changes += network.records.keys().filter(|name| network.five(name.home.hint()).contains(&comes)).count() as u64;
        network.run(45);
    }
    let (bytes, pushes, checks) = (network.bytes, network.pushes, network.checks);
    network.run(900);
    let (held, all, lost) = network.places();
    assert_eq!(lost, 0);
    assert!(held * 200 >= all * 199, "{held} of {all}");
    // Each change costs one push, and a check by each of the four who have the record.
    assert!(pushes <= changes * 11 / 10, "{pushes} pushes for {changes} changes");
    assert!(checks <= changes * 6, "{checks} checks for {changes} changes");
    let per_record = bytes * 1_000 / (200 * 80 * 90);
    assert!(per_record <= 2_000, "{per_record} mB a second and held record");
}

// spec-test: DHT-114
#[test]
fn a_server_that_loses_its_store_each_four_minutes_starts_no_storm() {
    let mut network = Network::new(12, 15);
    let flapper = network.join(None);
    network.run(400);
    let steady = (network.pushes, network.bytes);
    let theirs = network.records.keys().filter(|name| network.five(name.home.hint()).contains(&flapper)).count() as u64;
    for _ in 0..15 {
        network.servers.remove(&flapper);
        network.run(120);
        network.join(Some(flapper));
        network.run(120);
    }
    let (pushes, bytes) = (network.pushes - steady.0, network.bytes - steady.1);
    assert!(theirs > 3);
    assert!(pushes <= theirs * 8 + theirs, "{pushes} in an hour, {theirs} records");
    assert!(bytes <= 13 * 3_600 * 30, "{bytes}");
    network.run(1_500);
    let (held, all, lost) = network.places();
    assert_eq!((held, lost), (all, 0), "in the end it has them all");
}

// spec-test: DHT-113
#[test]
fn when_a_third_leaves_at_once_only_what_all_five_have_taken_along_is_lost() {
    let mut network = Network::new(30, 30);
    let leavers: BTreeSet<Hint> = network.servers.keys().copied().step_by(3).collect();
    let gone = |name: &&Name| network.five(name.home.hint()).iter().all(|holder| leavers.contains(holder));
    let expected = network.records.keys().filter(gone).count();
    leavers.iter().for_each(|hint| drop(network.servers.remove(hint)));
    network.run(600);
    let (held, all, lost) = network.places();
    assert_eq!(lost, expected);
    assert!((held + 5 * lost) * 100 >= all * 99, "{held} of {all}");
    assert!(network.servers.values().all(|server| server.repair.heap_bytes() <= 21 << 10));
}
