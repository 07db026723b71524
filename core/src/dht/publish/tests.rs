use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString as _;
use alloc::vec;

use super::targets::choose;
use super::*;
use crate::dht::key::Hint;
use crate::dht::record::tests::{FROM, credentials, device_record, granted, home, identity, keys, revocation};
use crate::dht::table::{Rtt, Shape, Table};
use crate::dht::wire::{Few, Listed};
use crate::identity::{CLOCK_TOLERANCE_MS, DELEGATION_MS_DEFAULT};
use crate::rng::Seed;
use core::cmp::Ordering;

mod clock;

const V4: Realm = Realm { is_v6: false, scope: Scope::Global };
const V6: Realm = Realm { is_v6: true, scope: Scope::Global };
const TOKEN: Token = Token::from_bytes([9; 16]);

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The n-th nearest node to the home, each of a block of its own.
fn node(n: u8) -> Contact {
    Contact { hint: Hint(home().hint().0 ^ u64::from(n) << 40), at: SocketAddr::from(([100, n, 113, 7], 7)) }
}

fn nodes(n: u8) -> Vec<Answered> {
    (1..=n).map(|n| Answered { contact: node(n), token: None }).collect()
}

/// A number with the size of a network in which none of [`node`] lies within a radius.
fn vast() -> Size {
    Size::of(1 << 40)
}

fn publisher(policy: Policy) -> Publisher {
    let own = credentials();
    let mut publisher =
        Publisher::new(home(), own.delegation().device(), policy, Last::default(), Rng::from_seed(&Seed::from_bytes([3; 32])));
    publisher.set_prekey([5; 32], Time::ZERO);
    publisher
}

/// What a node holds of the device, and how it behaves.
#[derive(Default)]
struct Node {
    device: Option<DeviceRecord>,
    address: Option<AddressRecord>,
    revoked: Option<u64>,
    /// What it says to every put instead of taking it.
    denies: Option<Denied>,
    is_silent: bool,
    puts: Vec<(Kind, bool)>,
}

/// A network around a publisher: it answers as the SPEC says, unless a node is told to do otherwise.
struct Net {
    publisher: Publisher,
    own: Credentials,
    nodes: BTreeMap<SocketAddr, Node>,
    /// Nearest first.
    order: Vec<Contact>,
    carriers: Vec<Contact>,
    size: Size,
    is_soft: bool,
    now: Time,
    /// How far the own clock is ahead of that of the nodes, which is [`FROM`] and the time that has passed.
    own_ahead: i64,
    looks: Vec<Time>,
    told: Vec<Do>,
}

impl Net {
    fn new(policy: Policy, n: u8) -> Self {
        let order: Vec<Contact> = (1..=n).map(node).collect();
        Self {
            publisher: publisher(policy),
            own: credentials(),
            nodes: order.iter().map(|contact| (contact.at, Node::default())).collect(),
            order,
            carriers: vec![],
            size: vast(),
            is_soft: false,
            now: Time::ZERO,
            own_ahead: 0,
            looks: vec![],
            told: vec![],
        }
    }

    /// One that is published at one address, with all servers known.
    fn published(policy: Policy, n: u8) -> Self {
        let mut net = Self::new(policy, n);
        net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
        net.publisher.on_servers(V4, usize::from(n), net.now);
        net.run_for(10);
        net
    }

    /// The clock of the nodes.
    fn clock(&self) -> u64 {
        FROM + self.now.as_micros() / 1_000
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(self.clock().saturating_add_signed(self.own_ahead))
    }

    fn node(&mut self, n: u8) -> &mut Node {
        self.nodes.get_mut(&node(n).at).unwrap()
    }

    fn run_for(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        loop {
            self.run();
            match self.publisher.due() {
                Some(due) if due <= end => self.now = due.max(self.now),
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    /// Until nothing is to be done now.
    fn run(&mut self) {
        for _ in 0..2_000 {
            let crypto = Crypto::standard();
            let own = self.own.renewed(self.own.delegation().clone());
            let Some(action) = self.publisher.next(Some((&crypto, &own)), self.wall(), self.now) else { return };
            self.carry_out(action);
        }
        panic!("it never ends");
    }

    fn carry_out(&mut self, action: Do) {
        let (wall, now, clock) = (self.wall(), self.now, self.clock());
        match action {
            Do::Look { realm } => {
                self.looks.push(now);
                let answers = self.order.iter().filter(|it| Realm::of(it.at) == Some(realm));
                let answers: Vec<_> =
                    answers.filter(|it| !self.nodes[&it.at].is_silent).map(|it| Answered { contact: *it, token: None }).collect();
                let looked = Looked { answers: &answers, size: self.size, is_soft: self.is_soft, carriers: &self.carriers };
                self.publisher.on_looked(realm, &looked, now);
            }
            Do::Get { to, kind, device, known } => {
                let node = &self.nodes[&to.at];
                assert_eq!(device, DeviceHint::of(credentials().delegation().device()));
                let (number, json) = match kind {
                    Kind::Device => (node.device.as_ref().map(DeviceRecord::number), node.device.as_ref().map(DeviceRecord::to_json)),
                    Kind::Address => {
                        (node.address.as_ref().map(AddressRecord::sequence), node.address.as_ref().map(AddressRecord::to_json))
                    }
                    Kind::Revocation => panic!("nobody asks for it"),
                };
                let listed = number.map(|number| Listed { device, number });
                let record = json.filter(|_| number.is_some_and(|number| number > known));
                let got = Got {
                    record: record.as_deref(),
                    index: Some(listed.into_iter().collect()),
                    bound: 0,
                    revoked: node.revoked,
                    token: Some(TOKEN),
                    more: false,
                };
                if node.is_silent {
                    return self.publisher.on_silent(to.at, wall, now);
                }
                self.publisher.on_got(to.at, &got, (&Crypto::standard(), &self.own), wall, now);
            }
            Do::Put { to, kind, token, record, carry } => {
                assert_eq!(token, TOKEN);
                let node = self.nodes.get_mut(&to.at).unwrap();
                node.puts.push((kind, carry));
                let result = node.denies.map_or_else(|| node.take(kind, &record, clock), Err);
                if node.is_silent { self.publisher.on_silent(to.at, wall, now) } else { self.publisher.on_put(to.at, result, wall, now) }
            }
            Do::Keep { .. } | Do::Persist(_) | Do::Stored { .. } | Do::Fork { .. } | Do::Renewed(_) => self.told.push(action),
        }
    }

    fn stored(&self) -> Vec<(Kind, Tally, bool)> {
        let stored = self.told.iter().filter_map(|told| match told {
            Do::Stored { kind, tally, is_enough, .. } => Some((*kind, *tally, *is_enough)),
            Do::Look { .. } | Do::Keep { .. } | Do::Get { .. } | Do::Put { .. } | Do::Persist(_) | Do::Fork { .. } | Do::Renewed(_) => None,
        });
        stored.collect()
    }

    fn holders(&self, kind: Kind) -> usize {
        self.nodes.values().filter(|node| if kind == Kind::Device { node.device.is_some() } else { node.address.is_some() }).count()
    }
}

impl Node {
    fn take(&mut self, kind: Kind, json: &str, clock: u64) -> Result<(), Denied> {
        let is_ahead = |sequence: u64| sequence > clock + CLOCK_TOLERANCE_MS;
        match kind {
            Kind::Device => {
                let new = DeviceRecord::from_json(json).unwrap();
                if new.prekey().is_some_and(|prekey| is_ahead(prekey.sequence())) {
                    return Err(Denied::Clock);
                }
                let sequence = new.number();
                match &mut self.device {
                    Some(held) if *held == new => Ok(()),
                    Some(held) => held.merge(new).then_some(()).ok_or(Denied::Old { sequence }),
                    None => {
                        self.device = Some(new);
                        Ok(())
                    }
                }
            }
            Kind::Address => {
                let new = AddressRecord::from_json(json).unwrap();
                if self.device.is_none() {
                    return Err(Denied::Device);
                }
                if is_ahead(new.sequence()) || new.end() <= WallTime::from_millis(clock) {
                    return Err(Denied::Clock);
                }
                if let Some(held) = self.address.as_ref().filter(|held| held.order(&new) == Ordering::Greater) {
                    return Err(Denied::Old { sequence: held.sequence() });
                }
                self.address = Some(new);
                Ok(())
            }
            Kind::Revocation => {
                self.revoked = Some(Revocation::from_json(json).unwrap().version());
                Ok(())
            }
        }
    }
}

fn signed(sequence: u64, address: &str) -> AddressRecord {
    AddressRecord::sign(&Crypto::standard(), &credentials(), Scope::Global, sequence, vec![at(address)], vec![]).unwrap()
}

// spec-test: DHT-140
#[test]
fn everyone_gets_both_records_contacts_the_device_record_and_nobody_nothing() {
    // What a node that serves keeps itself it gives to whoever asks.
    let kept = |net: &Net, of: Kind| net.told.iter().any(|told| matches!(told, Do::Keep { kind, .. } if *kind == of));
    let both = Net::published(Policy::Everyone, 8);
    assert_eq!((both.holders(Kind::Device), both.holders(Kind::Address)), (5, 5));
    assert!(kept(&both, Kind::Device) && kept(&both, Kind::Address));
    let contacts = Net::published(Policy::Contacts, 8);
    assert_eq!((contacts.holders(Kind::Device), contacts.holders(Kind::Address)), (5, 0));
    assert!(kept(&contacts, Kind::Device) && !kept(&contacts, Kind::Address) && !contacts.publisher.is_told());
    let mut nobody = Net::published(Policy::Nobody, 8);
    nobody.publisher.set_revocation(revocation(FROM, u64::MAX >> 12), nobody.now);
    nobody.run_for(7_200);
    assert_eq!((nobody.looks.len(), nobody.told.len(), nobody.publisher.due()), (0, 0, None));
    nobody.publisher.set_policy(Policy::Contacts, nobody.now);
    nobody.run_for(10);
    assert_eq!((nobody.holders(Kind::Device), nobody.holders(Kind::Address)), (5, 0));
    nobody.publisher.set_policy(Policy::Everyone, nobody.now);
    nobody.run_for(20);
    assert_eq!(nobody.holders(Kind::Address), 5);
}

// spec-test: DHT-140
#[test]
fn a_device_without_credentials_that_count_signs_nothing() {
    let mut publisher = publisher(Policy::Everyone);
    publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], Time::ZERO);
    publisher.on_servers(V4, 16, Time::ZERO);
    let (crypto, own) = (Crypto::standard(), credentials());
    let until = FROM + DELEGATION_MS_DEFAULT + CLOCK_TOLERANCE_MS;
    assert_eq!(publisher.next(None, WallTime::from_millis(FROM), Time::ZERO), None);
    assert_eq!(publisher.next(Some((&crypto, &own)), WallTime::from_millis(until), Time::ZERO), None, "ended");
    let other =
        granted(&identity(), &crate::identity::DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([8; 32]))), "demo.chat", FROM);
    assert_eq!(publisher.next(Some((&crypto, &other)), WallTime::from_millis(FROM), Time::ZERO), None, "of another device");
    assert_eq!(publisher.due(), None);
    publisher.on_renewed(Time::ZERO);
    assert_eq!(publisher.due(), Some(Time::ZERO));
    assert_eq!(publisher.next(Some((&crypto, &own)), WallTime::from_millis(until - 1), Time::ZERO), Some(Do::Look { realm: V4 }));
}

// spec-test: DHT-141
#[test]
fn it_waits_for_a_server_then_for_sixteen_or_two_seconds() {
    let mut net = Net::new(Policy::Everyone, 8);
    net.run_for(60);
    assert!(net.looks.is_empty(), "nobody is known");
    net.publisher.on_servers(V4, 1, net.now);
    assert_eq!(net.publisher.due(), Some(net.now + Duration::from_secs(2)));
    net.run_for(1);
    assert!(net.looks.is_empty());
    net.publisher.on_servers(V4, 15, net.now);
    net.run();
    assert!(net.looks.is_empty());
    net.publisher.on_servers(V4, 16, net.now);
    net.run();
    assert_eq!(net.looks, [Time::from_secs(61)]);

    let mut few = Net::new(Policy::Everyone, 3);
    few.publisher.on_servers(V4, 3, Time::ZERO);
    few.run_for(5);
    assert_eq!(few.looks, [Time::from_secs(2)]);
}

// spec-test: DHT-141
#[test]
fn an_address_is_published_again_each_45_minutes_and_after_a_change_at_once_but_15_seconds_apart() {
    let mut net = Net::published(Policy::Everyone, 16);
    let before = net.nodes[&node(1).at].address.clone().unwrap();
    net.run_for(6 * 3_600);
    let gaps: Vec<_> = net.looks.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert!(gaps.len() >= 6 && gaps.iter().all(|gap| (35 * 60..=55 * 60).contains(gap)), "{gaps:?}");
    assert!(gaps.iter().collect::<BTreeSet<_>>().len() > 3, "drawn anew: {gaps:?}");
    let after = net.nodes[&node(1).at].address.clone().unwrap();
    assert!(after.sequence() > before.sequence() && after.end() > net.wall(), "never over");

    let start = net.now;
    net.looks.clear();
    for n in 1..40 {
        net.publisher.set_addresses(Scope::Global, vec![SocketAddr::from(([203, 0, 113, n], 7))], vec![], net.now);
        net.run_for(1);
    }
    net.run_for(60);
    let offsets: Vec<_> = net.looks.iter().map(|time| time.since(start).as_secs()).collect();
    assert_eq!(offsets, [0, 15, 30, 45], "the last of them too");
    assert_eq!(net.nodes[&node(1).at].address.as_ref().unwrap().addresses(), [at("203.0.113.39:7")]);
    net.looks.clear();
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.39:7")], vec![], net.now);
    net.run_for(60);
    assert!(net.looks.is_empty(), "nothing has changed");
}

// spec-test: DHT-141
#[test]
fn what_changes_while_the_home_is_looked_up_is_written_in_the_same_round() {
    let mut net = Net::new(Policy::Everyone, 16);
    net.publisher.on_servers(V4, 16, net.now);
    let (crypto, own) = (Crypto::standard(), net.own.renewed(net.own.delegation().clone()));
    let look = net.publisher.next(Some((&crypto, &own)), net.wall(), net.now);
    assert_eq!(look, Some(Do::Look { realm: V4 }), "for the device record alone");
    // As a node that learns where it is after it has begun.
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.carry_out(Do::Look { realm: V4 });
    net.run();
    assert_eq!(net.nodes[&node(1).at].address.as_ref().unwrap().addresses(), [at("203.0.113.97:51820")]);
    assert_eq!(net.nodes.values().filter(|node| node.address.is_some()).count(), 5);
    net.run_for(60);
    assert_eq!(net.looks.len(), 1, "nothing is left to be written");
}

// spec-test: DHT-141
#[test]
fn a_device_record_is_put_again_at_half_its_time_and_when_renewed() {
    let mut net = Net::published(Policy::Contacts, 16);
    net.run_for(3 * 86_400);
    assert_eq!(net.looks.len(), 1, "not before");
    net.run_for(86_400);
    assert_eq!(net.looks.len(), 2);
    let puts = net.node(1).puts.len();
    let clock = net.clock();
    net.own = granted(&identity(), &keys(), "demo.chat", clock);
    net.publisher.on_renewed(net.now);
    net.run_for(10);
    assert_eq!((net.looks.len(), net.node(1).puts.len()), (3, puts + 1));
    assert_eq!(net.node(1).device.clone().unwrap().delegation(), Some(net.own.delegation()));
    // Towards the end it does not come ever faster.
    net.run_for(7 * 86_400 + 3_600);
    let gaps = net.looks.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).min();
    assert!(gaps.is_some_and(|gap| gap >= 35 * 60), "{gaps:?}");
    assert_eq!(net.publisher.due(), None, "it has ended");
}

// spec-test: DHT-142
#[test]
fn the_five_are_the_nearest_of_different_networks_as_far_as_there_are_as_many() {
    let one = |n: u64, ip: [u8; 4]| {
        let contact = Contact { hint: Hint(home().hint().0 ^ n << 32), at: SocketAddr::from((ip, 7)) };
        Answered { contact, token: None }
    };
    let chosen = |answers: &[Answered], size| choose(home().hint(), answers, size, true).iter().map(|it| it.contact.at).collect::<Vec<_>>();
    // Ten of one /24, then three of one /16, then others.
    let mut answers: Vec<Answered> = (1..=10).map(|n| one(u64::from(n), [100, 1, 1, n])).collect();
    answers.extend((11..=13).map(|n| one(u64::from(n), [100, 2, n, 1])));
    answers.extend((14..=20).map(|n| one(u64::from(n), [100, n, 1, 1])));
    let expected = ["100.1.1.1:7", "100.2.11.1:7", "100.2.12.1:7", "100.14.1.1:7", "100.15.1.1:7"].map(at);
    assert_eq!(chosen(&answers, Size::of(usize::MAX)), expected);
    // With nobody else the rest comes from where it can, nearest first.
    let few = [&answers[..4], &answers[10..11]].concat();
    let expected = ["100.1.1.1:7", "100.2.11.1:7", "100.1.1.2:7", "100.1.1.3:7", "100.1.1.4:7"].map(at);
    assert_eq!(chosen(&few, Size::of(usize::MAX)), expected);
    // Whoever lies within the radius of eight as well, at most sixteen, and nobody twice.
    assert_eq!(chosen(&answers, Size::of(8)).len(), 16);
    let half = u64::from(u32::MAX / 2);
    let spread: Vec<Answered> = (0..12).map(|n| one(if n < 7 { half / 8 } else { half } + u64::from(n), [101, n, 1, 1])).collect();
    assert_eq!(chosen(&spread, Size::of(64)).len(), 7, "7 within an eighth of the space, 5 beyond");
    // In a hard table within the radius of sixteen.
    assert_eq!([80, 20].map(|size| choose(home().hint(), &spread, Size::of(size), false).len()), [7, 12]);
    assert_eq!(chosen(&[&answers[..1], &answers[..1]].concat(), Size::of(8)).len(), 1);
    // Where addresses are no scarce good, each is its own.
    let near: Vec<Answered> = (1..=7).map(|n| one(u64::from(n), [10, 0, 0, n])).collect();
    assert_eq!(chosen(&near, Size::of(usize::MAX)), near[..5].iter().map(|it| it.contact.at).collect::<Vec<_>>());
}

// spec-test: DHT-143
#[test]
fn the_device_record_comes_first_and_is_given_again_to_who_lacks_it() {
    let mut net = Net::published(Policy::Everyone, 16);
    assert!(net.order[..5].iter().all(|it| net.nodes[&it.at].puts == [(Kind::Device, true), (Kind::Address, true)]));
    // One forgets everything.
    *net.node(2) = Node::default();
    net.run_for(56 * 60);
    assert_eq!(net.node(2).puts, [(Kind::Address, true), (Kind::Device, true), (Kind::Address, true)]);
    assert!(net.node(2).address.is_some());
    assert!(net.node(1).puts.iter().filter(|(kind, _)| *kind == Kind::Device).count() == 1, "others are not bothered");
}

// spec-test: DHT-143
#[test]
fn no_address_is_put_while_nobody_has_acknowledged_the_device_record() {
    let mut net = Net::new(Policy::Everyone, 6);
    net.nodes.values_mut().for_each(|node| node.denies = Some(Denied::Full));
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.publisher.on_servers(V4, 6, net.now);
    for n in 1..20 {
        net.publisher.set_addresses(Scope::Global, vec![SocketAddr::from(([203, 0, 113, n], 7))], vec![], net.now);
        net.run_for(20);
    }
    assert!(net.looks.len() > 10 && net.nodes.values().flat_map(|node| &node.puts).all(|(kind, _)| *kind == Kind::Device));
    net.nodes.values_mut().for_each(|node| node.denies = None);
    net.run_for(3_600);
    assert_eq!(net.holders(Kind::Address), 5);
}

// spec-test: DHT-143
#[test]
fn a_token_is_asked_for_unless_the_look_up_brought_one() {
    let mut publisher = publisher(Policy::Contacts);
    let (crypto, own, wall) = (Crypto::standard(), credentials(), WallTime::from_millis(FROM));
    publisher.on_servers(V4, 16, Time::ZERO);
    let next = |publisher: &mut Publisher| loop {
        match publisher.next(Some((&crypto, &own)), wall, Time::ZERO) {
            Some(Do::Keep { .. } | Do::Persist(_)) => {}
            other => break other,
        }
    };
    assert_eq!(next(&mut publisher), Some(Do::Look { realm: V4 }));
    let mut answers = nodes(2);
    answers[0].token = Some(TOKEN);
    publisher.on_looked(V4, &Looked { answers: &answers, size: vast(), is_soft: false, carriers: &[] }, Time::ZERO);
    assert!(matches!(next(&mut publisher), Some(Do::Put { to, token, .. }) if to == node(1) && token == TOKEN));
    assert!(matches!(next(&mut publisher), Some(Do::Get { to, kind: Kind::Device, .. }) if to == node(2)));
    assert_eq!(next(&mut publisher), None);
    // A token that no longer holds is replaced once.
    publisher.on_put(node(1).at, Err(Denied::Token), wall, Time::ZERO);
    assert!(matches!(next(&mut publisher), Some(Do::Get { to, .. }) if to == node(1)));
    let got = Got { token: Some(TOKEN), index: Some(Few::NONE), ..Got::default() };
    publisher.on_got(node(1).at, &got, (&crypto, &own), wall, Time::ZERO);
    assert!(matches!(next(&mut publisher), Some(Do::Put { to, .. }) if to == node(1)));
    publisher.on_put(node(1).at, Err(Denied::Token), wall, Time::ZERO);
    // Who gives none cannot be written to.
    publisher.on_got(node(2).at, &Got { token: None, ..got }, (&crypto, &own), wall, Time::ZERO);
    let tally = Tally { of: 2, refused: 2, ..Tally::default() };
    assert_eq!(next(&mut publisher), Some(Do::Stored { realm: V4, kind: Kind::Device, tally, is_enough: false }));
}

// spec-test: DHT-144
#[test]
fn a_record_is_stored_when_half_of_few_or_three_of_many_others_have_it() {
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 1_000].map(stand::enough), [1, 1, 1, 2, 2, 3, 3, 3]);
    let two = Net::published(Policy::Everyone, 2).stored();
    let all = Tally { acks: 2, of: 2, ..Tally::default() };
    assert_eq!(two, [(Kind::Device, all, true), (Kind::Address, all, true)]);
}

// spec-test: DHT-144
#[test]
fn what_did_not_take_it_is_told_by_its_reason_and_tried_again() {
    let mut net = Net::new(Policy::Contacts, 5);
    for (n, denied) in [(1, Denied::Full), (2, Denied::Far), (3, Denied::Clock)] {
        net.node(n).denies = Some(denied);
    }
    net.publisher.on_servers(V4, 5, net.now);
    net.run_for(2);
    net.node(4).is_silent = true;
    let tally = Tally { acks: 2, of: 5, refused: 3, silent: 0, full: 1, far: 1, clock: 1 };
    assert_eq!(net.stored(), [(Kind::Device, tally, false)]);
    net.told.clear();
    net.nodes.values_mut().for_each(|node| node.denies = None);
    net.run_for(16);
    let tally = Tally { acks: 4, of: 4, ..Tally::default() };
    assert_eq!(net.stored(), [(Kind::Device, tally, true)]);
    // Who falls silent between the look-up and the put.
    let mut publisher = publisher(Policy::Contacts);
    let (crypto, own, wall) = (Crypto::standard(), credentials(), WallTime::from_millis(FROM));
    publisher.on_servers(V4, 16, Time::ZERO);
    let _ = publisher.next(Some((&crypto, &own)), wall, Time::ZERO);
    publisher.on_looked(V4, &Looked { answers: &nodes(1), size: vast(), is_soft: false, carriers: &[] }, Time::ZERO);
    let keep = publisher.next(Some((&crypto, &own)), wall, Time::ZERO);
    assert!(matches!(keep, Some(Do::Keep { realm: V4, kind: Kind::Device, .. })));
    assert!(matches!(publisher.next(Some((&crypto, &own)), wall, Time::ZERO), Some(Do::Get { .. })));
    publisher.on_silent(node(1).at, wall, Time::ZERO);
    let tally = Tally { of: 1, silent: 1, ..Tally::default() };
    let stored = publisher.next(Some((&crypto, &own)), wall, Time::ZERO);
    assert_eq!(stored, Some(Do::Stored { realm: V4, kind: Kind::Device, tally, is_enough: false }));
    assert_eq!(publisher.due(), Some(Time::from_secs(15)));
}

// spec-test: DHT-141
#[test]
fn a_first_address_is_put_at_once_and_the_next_one_fifteen_seconds_later() {
    let mut net = Net::new(Policy::Everyone, 16);
    net.publisher.on_servers(V4, 16, net.now);
    net.run_for(3);
    assert!(net.node(1).device.is_some() && net.node(1).address.is_none());
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.run_for(2);
    let first = net.node(1).address.as_ref().map(|record| record.addresses().to_vec());
    assert_eq!(first, Some(vec![at("203.0.113.97:51820")]));
    // What changes now waits, whatever else was put meanwhile.
    net.publisher.set_prekey([6; 32], net.now);
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.98:51820")], vec![], net.now);
    let looks = net.looks.len();
    net.run_for(9);
    assert!(net.node(1).address.as_ref().is_some_and(|record| record.addresses() == [at("203.0.113.97:51820")]));
    net.run_for(16);
    assert!(net.node(1).address.as_ref().is_some_and(|record| record.addresses() == [at("203.0.113.98:51820")]));
    assert_eq!(net.looks.len(), looks + 1, "one round for both");
}

// spec-test: DHT-144
#[test]
fn who_is_busy_is_waited_for_as_long_as_it_says_and_three_times_only() {
    let mut net = Net::new(Policy::Contacts, 1);
    net.node(1).denies = Some(Denied::Busy { wait: 30 });
    net.publisher.on_servers(V4, 1, net.now);
    net.run_for(31);
    assert_eq!(net.node(1).puts.len(), 1, "at 2 s, then not before 32 s");
    net.run_for(30);
    assert_eq!(net.node(1).puts.len(), 2);
    net.run_for(39);
    assert_eq!((net.node(1).puts.len(), net.stored().len()), (4, 1));
}

// spec-test: DHT-145
#[test]
fn a_holder_that_says_a_huge_sequence_does_not_lock_the_owner_out() {
    let mut net = Net::published(Policy::Everyone, 6);
    // It claims what it has not, and what nobody could have.
    for lie in [FROM + 300_000, u64::MAX >> 11] {
        net.node(1).denies = Some(Denied::Old { sequence: lie });
        net.publisher.set_addresses(Scope::Global, vec![SocketAddr::from(([203, 0, 113, 1], (lie & 0xFF) as u16 + 1))], vec![], net.now);
        net.run_for(20);
        let held = net.node(2).address.clone().unwrap().sequence();
        assert!(held <= net.clock(), "{lie}: {held}");
    }
    // A record that somebody signed with a clock far ahead, and nobody with a right one takes, changes nothing either.
    let far = signed(net.clock() + 3_600_000, "203.0.113.66:7");
    net.node(1).denies = None;
    net.node(1).address = Some(far.clone());
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.98:7")], vec![], net.now);
    net.run_for(20);
    assert_eq!(net.node(2).address.as_ref().unwrap().addresses(), [at("203.0.113.98:7")]);
    assert_eq!(net.node(1).address, Some(far));
    assert!(!net.told.iter().any(|told| matches!(told, Do::Fork { .. })));
}

// spec-test: DHT-145
#[test]
fn an_owner_that_has_lost_its_sequence_goes_on_above_what_it_finds() {
    let mut net = Net::new(Policy::Everyone, 5);
    let (device, before) = (device_record(), signed(FROM + 400_000, "203.0.113.5:7"));
    net.nodes.values_mut().for_each(|node| (node.device, node.address) = (Some(device.clone()), Some(before.clone())));
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.publisher.on_servers(V4, 5, net.now);
    net.run_for(5);
    assert!(net.nodes.values().all(|node| node.address.as_ref().is_some_and(|held| held.sequence() == FROM + 400_001)));
    assert_eq!(net.publisher.last.address(Scope::Global), FROM + 400_001);
    assert!(net.told.contains(&Do::Persist(net.publisher.last)));
}

// spec-test: DHT-145
#[test]
fn an_owner_whose_clock_was_a_day_ahead_recovers_when_it_is_right_again() {
    let day = 86_400_000;
    let mut net = Net::new(Policy::Everyone, 6);
    net.own_ahead = day.try_into().unwrap();
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.publisher.on_servers(V4, 6, net.now);
    net.run_for(10);
    assert_eq!((net.holders(Kind::Address), net.publisher.last), (0, Last::default()), "nobody took it");
    assert_eq!(net.stored()[0].1.clock, 5);
    // One acknowledges all the same: it has no clock, or wants the owner to believe in it.
    net.publisher.last.prekey = FROM + day;
    net.publisher.last.set_address(Scope::Global, FROM + day);
    net.own_ahead = 0;
    net.run_for(600);
    assert_eq!((net.holders(Kind::Device), net.holders(Kind::Address)), (5, 5));
    assert!(net.publisher.last.address(Scope::Global) < FROM + day && net.publisher.last.prekey < FROM + day);
}

// spec-test: DHT-145
#[test]
fn the_last_sequence_goes_on_with_the_first_acknowledgement_and_not_before() {
    let mut net = Net::new(Policy::Contacts, 5);
    net.nodes.values_mut().for_each(|node| node.denies = Some(Denied::Full));
    net.publisher.on_servers(V4, 16, net.now);
    net.run();
    assert_eq!((net.publisher.last, net.stored().len()), (Last::default(), 1));
    net.node(3).denies = None;
    net.run_for(16);
    assert_eq!(net.publisher.last.prekey, FROM);
    assert_eq!(net.told.iter().filter(|told| matches!(told, Do::Persist(_))).count(), 1);
}

// spec-test: DHT-146
#[test]
fn another_record_with_the_same_sequence_is_told_as_a_fork_and_gone_beyond() {
    let mut net = Net::published(Policy::Everyone, 5);
    let ours = net.node(1).address.clone().unwrap();
    // Of two the one with the larger hash counts; this is such a one.
    let twin =
        (1..=255).map(|n| signed(ours.sequence(), &alloc::format!("203.0.113.{n}:9"))).find(|twin| twin.order(&ours) == Ordering::Greater);
    net.node(1).address = twin;
    net.publisher.set_policy(Policy::Contacts, net.now);
    net.publisher.set_policy(Policy::Everyone, net.now);
    net.run_for(60);
    assert_eq!(net.told.iter().filter(|told| matches!(told, Do::Fork { kind: Kind::Address })).count(), 1);
    assert!(net.nodes.values().all(|node| node.address.as_ref().is_some_and(|held| held.sequence() > ours.sequence())));
    // What is only said to be ours is none.
    let mut forged = signed(ours.sequence(), "203.0.113.1:9").to_json();
    forged = forged.replace("203.0.113.1:9", "203.0.113.2:9");
    let held = net.node(1).address.clone().unwrap();
    let forged = AddressRecord::from_json(&forged.replace(&ours.sequence().to_string(), &held.sequence().to_string())).unwrap();
    net.told.clear();
    net.node(1).address = Some(forged);
    net.publisher.set_policy(Policy::Contacts, net.now);
    net.publisher.set_policy(Policy::Everyone, net.now);
    net.run_for(60);
    assert!(!net.told.iter().any(|told| matches!(told, Do::Fork { .. })));
}

// spec-test: DHT-147
#[test]
fn an_owner_of_one_family_asks_two_dual_nodes_to_carry_and_one_of_both_does_not() {
    let mut net = Net::new(Policy::Everyone, 9);
    net.carriers = vec![node(2), node(7), node(8)];
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.publisher.on_servers(V4, 9, net.now);
    net.run_for(5);
    let carried = |net: &Net, n: u8| net.nodes[&node(n).at].puts.clone();
    for n in [2, 7] {
        assert_eq!(carried(&net, n), [(Kind::Device, true), (Kind::Address, true)], "{n}");
    }
    assert_eq!(carried(&net, 1), [(Kind::Device, false), (Kind::Address, false)]);
    assert_eq!(carried(&net, 8), [], "two are enough");
    assert_eq!(net.stored()[0].1.of, 5, "who only carries is no holder");

    let mut dual = Net::new(Policy::Everyone, 9);
    dual.carriers = vec![node(2), node(7)];
    dual.publisher.on_servers(V6, 1, dual.now);
    dual.publisher.on_servers(V4, 9, dual.now);
    dual.run_for(5);
    assert!(dual.nodes.values().flat_map(|node| &node.puts).all(|(_, carry)| !carry));
    assert_eq!(dual.holders(Kind::Device), 5);
}

// spec-test: DHT-147
#[test]
fn who_knows_fewer_than_two_dual_nodes_asks_all_holders_to_carry() {
    for known in [vec![], vec![node(7)], vec![node(2)]] {
        let mut net = Net::new(Policy::Everyone, 9);
        net.carriers.clone_from(&known);
        net.publisher.on_servers(V4, 9, net.now);
        net.run_for(5);
        let asked: Vec<u8> = (1..=9).filter(|n| !net.nodes[&node(*n).at].puts.is_empty()).collect();
        let holders = if known == [node(7)] { vec![1, 2, 3, 4, 5, 7] } else { vec![1, 2, 3, 4, 5] };
        assert_eq!(asked, holders, "{known:?}");
        assert!(net.nodes.values().flat_map(|node| &node.puts).all(|(_, carry)| *carry), "{known:?}");
    }
}

// spec-test: DHT-147
#[test]
fn those_who_carry_are_known_longest_and_then_nearest() {
    let key = Hint(home().hint().0 ^ u64::MAX);
    let mut table = Table::new(Realm { is_v6: false, scope: Scope::Private }, key, Shape::SERVER);
    let contact = |n: u8| Contact { hint: Hint(home().hint().0 ^ u64::from(n) << 50), at: SocketAddr::from(([10, 0, 0, n], 7)) };
    let answer = |table: &mut Table, n: u8, is_dual: bool, secs: u64| {
        let Contact { hint, at } = contact(n);
        let answer = crate::dht::table::Answer {
            hint,
            at,
            rtt: Rtt::of(Duration::from_millis(9)),
            is_dual: Some(is_dual),
            by_look_up: false,
            descent: None,
        };
        let _ = table.on_answer(&answer, Time::from_secs(secs));
    };
    for n in 1..=6 {
        answer(&mut table, n, n != 2, 1_000);
    }
    let chosen = |table: &Table| carriers(home().hint(), table.mains());
    assert_eq!(chosen(&table), [contact(1), contact(3)]);
    for secs in [2_000, 4_000] {
        answer(&mut table, 6, true, secs);
    }
    assert_eq!(chosen(&table), [contact(6), contact(1)]);
}

// spec-test: DHT-148
#[test]
fn a_withdrawal_is_a_record_without_addresses_that_is_not_renewed() {
    let mut net = Net::published(Policy::Everyone, 5);
    net.publisher.withdraw(net.now);
    net.run_for(60);
    assert!(net.nodes.values().all(|node| node.address.as_ref().is_some_and(|it| it.addresses().is_empty() && it.relays().is_empty())));
    let puts: usize = net.nodes.values().map(|node| node.puts.len()).sum();
    net.run_for(3 * 3_600);
    assert_eq!(net.nodes.values().map(|node| node.puts.len()).sum::<usize>(), puts);
    // Who was nowhere says nothing.
    let mut net = Net::new(Policy::Everyone, 5);
    net.publisher.withdraw(net.now);
    net.publisher.on_servers(V4, 16, net.now);
    net.run_for(60);
    assert_eq!((net.holders(Kind::Device), net.holders(Kind::Address)), (5, 0));
}

// spec-test: DHT-148
#[test]
fn a_record_has_the_first_three_addresses_and_two_relays_that_may_be_in_it() {
    let mut net = Net::new(Policy::Everyone, 5);
    let addresses = [
        "10.0.0.1:1",
        "203.0.113.1:1",
        "203.0.113.1:1",
        "203.0.113.2:0",
        "[64:ff9b::203.0.113.7]:1",
        "203.0.113.2:1",
        "203.0.113.3:1",
        "203.0.113.4:1",
    ];
    let key = crate::id::NodeKey::from_bytes([7; 32]);
    let relays = ["203.0.113.5:1", "127.0.0.1:1", "203.0.113.5:1", "203.0.113.6:1", "203.0.113.7:1"].map(|text| (key, at(text)));
    net.publisher.set_addresses(Scope::Global, addresses.map(at).to_vec(), relays.to_vec(), net.now);
    net.publisher.on_servers(V4, 16, net.now);
    net.run_for(5);
    let held = net.node(1).address.clone().unwrap();
    assert_eq!(held.addresses(), ["203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"].map(at));
    assert_eq!(held.relays(), [(key, at("203.0.113.5:1")), (key, at("203.0.113.6:1"))]);
}

// spec-test: DHT-149
#[test]
fn in_a_small_network_gaps_are_filled_after_one_two_and_four_seconds() {
    let mut net = Net::new(Policy::Everyone, 4);
    net.is_soft = true;
    let late: Vec<Contact> = net.order.split_off(2);
    net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
    net.publisher.on_servers(V4, 2, net.now);
    net.run_for(2);
    assert_eq!((net.looks.clone(), net.holders(Kind::Address)), (vec![Time::from_secs(2)], 2));
    net.order.push(late[0]);
    net.run_for(1);
    assert_eq!(net.holders(Kind::Address), 3);
    net.run_for(1);
    net.order.push(late[1]);
    net.run_for(600);
    assert_eq!(net.holders(Kind::Address), 4);
    assert_eq!(net.looks, [2, 3, 4, 6].map(Time::from_secs));
    let puts: Vec<_> = net.nodes.values().map(|node| node.puts.clone()).collect();
    assert!(puts.iter().all(|puts| puts.len() == 2), "nobody is given it twice: {puts:?}");
    let stored: Vec<_> = net.stored().iter().map(|(kind, tally, _)| (*kind, tally.acks, tally.of)).collect();
    let both = |acks| [(Kind::Device, acks, acks), (Kind::Address, acks, acks)];
    assert_eq!(stored, [both(2), both(3), both(4)].concat(), "nothing was missing at the check after two seconds");
}

// spec-test: DHT-149
#[test]
fn who_has_known_sixteen_for_a_while_does_not_look_again() {
    let looks = |waited: u64, servers: usize| {
        let mut net = Net::new(Policy::Everyone, 5);
        net.is_soft = true;
        net.publisher.on_servers(V4, servers, net.now);
        net.run_for(waited);
        net.publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], net.now);
        let before = net.looks.len();
        net.run_for(40);
        net.looks.len() - before
    };
    assert_eq!(looks(30, 16), 1, "the network is there, and so is the record");
    assert_eq!(looks(30, 15), 4, "few are known: others may be about to come");
    assert_eq!(looks(0, 16), 4, "it has just come into being");
}

// spec-test: DHT-143
#[test]
fn a_revocation_is_put_where_an_older_one_or_none_is_held() {
    let mut net = Net::new(Policy::Contacts, 5);
    let known = revocation(FROM, u64::MAX >> 12);
    net.node(1).revoked = Some(known.version());
    net.node(2).revoked = Some(known.version() + 1);
    net.node(3).revoked = Some(known.version() - 1);
    net.publisher.set_revocation(known, net.now);
    net.publisher.on_servers(V4, 16, net.now);
    net.run_for(5);
    let given = |n: u8| net.nodes[&node(n).at].puts.contains(&(Kind::Revocation, true));
    assert_eq!([1, 2, 3, 4, 5].map(given), [false, false, true, true, true]);
    assert_eq!(net.stored(), [(Kind::Device, Tally { acks: 5, of: 5, ..Tally::default() }, true)]);
}

// spec-test: DHT-151
#[test]
fn a_device_that_is_awake_finds_its_renewal_where_it_writes() {
    let mut net = Net::new(Policy::Contacts, 5);
    let renewed = granted(&identity(), &keys(), "demo.chat", FROM + 1);
    let newer = DeviceRecord::new(Some(renewed.delegation().clone()), device_record().prekey().cloned());
    net.nodes.values_mut().for_each(|node| node.device = newer.clone());
    net.publisher.on_servers(V4, 16, net.now);
    net.run();
    let found: Vec<_> = net.told.iter().filter(|told| matches!(told, Do::Renewed(_))).collect();
    assert!(!found.is_empty() && found.iter().all(|told| **told == Do::Renewed(renewed.delegation().clone())));
}

/// Whatever nodes say and whenever: what is due comes, a step ends, and what leaves keeps the rules.
// spec-test: DHT-143
#[test]
fn random_answers_never_break_the_order_of_records_nor_the_bounds() {
    let mut rng = Rng::from_seed(&Seed::from_bytes([77; 32]));
    let (crypto, own) = (Crypto::standard(), credentials());
    for _ in 0..60 {
        let mut publisher = publisher(Policy::Everyone);
        let (mut now, mut waiting, mut device_acked) = (Time::ZERO, Vec::new(), false);
        publisher.set_addresses(Scope::Global, vec![at("203.0.113.97:51820")], vec![], now);
        publisher.on_servers(V4, 12, now);
        for _ in 0..400 {
            let wall = WallTime::from_millis(FROM + now.as_micros() / 1_000);
            for count in 0.. {
                let Some(action) = publisher.next(Some((&crypto, &own)), wall, now) else { break };
                assert!(count < 100, "a step ends");
                if let Do::Put { kind: Kind::Address, .. } = &action {
                    assert!(device_acked, "the device record first");
                }
                if matches!(action, Do::Look { .. } | Do::Get { .. } | Do::Put { .. }) {
                    waiting.push(action);
                }
            }
            assert!(waiting.len() <= targets::TARGETS_MAX + targets::CARRIERS && publisher.outcomes.len() <= OUTCOMES_MAX);
            assert!(publisher.due().is_none_or(|due| due > now), "what was due is done");
            if waiting.is_empty() || rng.below(8) == 0 {
                now = publisher.due().unwrap_or(now).min(now + Duration::from_secs(rng.below(3_000))).max(now);
                let n = rng.below(200) as u8;
                if rng.below(20) == 0 {
                    publisher.set_addresses(Scope::Global, vec![SocketAddr::from(([203, 0, 113, n], 7))], vec![], now);
                }
                continue;
            }
            let picked = waiting.swap_remove(rng.below(waiting.len() as u64) as usize);
            let denied = [
                Denied::Token,
                Denied::Device,
                Denied::Old { sequence: rng.u64() },
                Denied::Full,
                Denied::Far,
                Denied::Clock,
                Denied::Busy { wait: rng.below(100) },
            ];
            match picked {
                Do::Look { realm } => {
                    let answers = nodes(rng.below(20) as u8);
                    let looked =
                        Looked { answers: &answers, size: Size::of(12), is_soft: rng.below(2) == 0, carriers: &[node(3), node(30)] };
                    publisher.on_looked(realm, &looked, now);
                }
                Do::Get { to, .. } | Do::Put { to, .. } if rng.below(5) == 0 => publisher.on_silent(to.at, wall, now),
                Do::Get { to, device, kind, .. } => {
                    let listed = Listed { device, number: if rng.below(2) == 0 { rng.u64() >> 11 } else { 0 } };
                    let json = match kind {
                        Kind::Address => signed(FROM + rng.below(2_000_000), "203.0.113.50:1").to_json(),
                        Kind::Device | Kind::Revocation => device_record().to_json(),
                    };
                    let got = Got {
                        record: (rng.below(3) == 0).then_some(json.as_str()),
                        index: Some([listed].into_iter().collect()),
                        bound: 0,
                        revoked: None,
                        token: (rng.below(6) > 0).then_some(TOKEN),
                        more: false,
                    };
                    publisher.on_got(to.at, &got, (&crypto, &own), wall, now);
                }
                Do::Put { to, kind, .. } => {
                    let result = if rng.below(2) == 0 { Ok(()) } else { Err(denied[rng.below(7) as usize]) };
                    device_acked |= kind == Kind::Device && result.is_ok();
                    publisher.on_put(to.at, result, wall, now);
                }
                Do::Keep { .. } | Do::Persist(_) | Do::Stored { .. } | Do::Fork { .. } | Do::Renewed(_) => {}
            }
        }
    }
}

#[test]
fn an_idle_publisher_is_small() {
    assert!(size_of::<Publisher>() <= 320, "{}", size_of::<Publisher>());
    assert!(size_of::<Stand>() <= 256, "{}", size_of::<Stand>());
}
