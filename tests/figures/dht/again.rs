//! `dht-replay`: what servers were told, told again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{DeviceId, DhtView, Event, Item, Path, Revocation, RevocationEntry, RevocationTarget, Time, WallTime};
use overcom_simulator::swarm::byzantine::{Letter, Vice};
use overcom_simulator::swarm::{Birth, Terrain, address};
use overcom_simulator::{Draws, Network};
use serde_json::json;

use super::atlas::restored;
use super::door::{Door, stranger, unlimited};
use super::fields::Fields;
use super::net::{EPOCH_MS, HOUR, Member, Net, Owner, Peer, Reader, app, identity, server};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 29;
/// How long the first machines have been up when others come, who begin to serve while it is recorded.
const FIRST: Duration = Duration::from_secs(600);
/// So long before the record begins, the others begin to come; they may have themselves dialled back after ten minutes.
const BEFORE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);
/// Longer than who comes back waits before it serves, and any cookie counts.
const SERVES: Duration = Duration::from_secs(900);
const MINUTE: Duration = Duration::from_secs(60);
/// Somebody who reads what is kept.
const READER: u32 = 1;

/// A network, and what of it is recorded.
#[derive(Clone, Copy)]
struct Plan {
    machines: u32,
    /// The first of all but one: each publishes a device, too.
    victims: u32,
    minutes: u64,
    /// Nothing that is recorded is heard when it comes, but a second later, for the first time.
    is_deaf: bool,
}

/// Datagrams after which a server is another one, of all that some servers hear within minutes, said again from where they came: each
/// within two seconds, all an hour later, all to every second server when it has come back with what it had stored, and again when that serves.
/// Nobody's rates are limited, so that each is looked at. Before and after each it is compared what the server would store (tables,
/// neighbours, its own place, what it has accepted and published), whom it knows and how many it asks, and what records anybody is
/// given; address records that are kept beyond their two hours count, too. Replies and what they cost, one probe of each sender put off
/// (DHT-59), and the 31 days of a revocation, which begin again with each put while its token lives, do not. In the control the
/// datagrams are said for the first time then.
pub(crate) fn replay(size: Size) -> Result<Measured, String> {
    let plan =
        Plan { machines: size.of(60, 150, 300) as u32, victims: size.of(6, 10, 40) as u32, minutes: size.of(3, 10, 30), is_deaf: false };
    let ran = replayed(plan)?;
    let control = told(&mut Scene::new(Plan { machines: 60, victims: 2, minutes: 2, is_deaf: true })?)?;
    Ok(Measured {
        value: ran.all() as f64,
        unit: "replays that change something",
        target: 0.0,
        control: control.changes() as f64,
        size: ran.said(),
        detail: format!("{}; control: of {} said for the first time {}", ran.words(plan), control.said, control.words()),
        ..Measured::OF_ALLOWED
    })
}

/// What came of datagrams that were said.
#[derive(Clone, Copy, Default)]
struct Told {
    said: u64,
    /// Of these so many changed what would be stored or what it knows.
    kept: u64,
    /// After so many it asked somebody something.
    asked: u64,
    /// So many handfuls changed which records it gives.
    records: u64,
}

impl Told {
    const fn changes(&self) -> u64 {
        self.kept + self.asked + self.records
    }

    fn words(&self) -> String {
        format!("{} change what it knows, after {} it asks, {} times it has other records", self.kept, self.asked, self.records)
    }
}

/// Everything, by when it was said again.
struct Replayed {
    words: BTreeMap<String, u64>,
    /// Records that the servers kept then.
    records: u64,
    soon: Told,
    hour: Told,
    restarted: [Told; 2],
    /// Address records that are kept when they are over.
    late: u64,
}

impl Replayed {
    fn each(&self) -> [Told; 4] {
        [self.soon, self.hour, self.restarted[0], self.restarted[1]]
    }

    fn all(&self) -> u64 {
        self.each().iter().map(Told::changes).sum::<u64>() + self.late
    }

    fn said(&self) -> u64 {
        self.each().iter().map(|told| told.said).sum()
    }

    fn words(&self, plan: Plan) -> String {
        let words: Vec<String> = self.words.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let changes = self.each().map(|told| told.changes());
        format!(
            "{} servers among {} machines that keep {} records heard in {} min: {}; said again they change something {} times within two \
             seconds, {} after an hour, {} after a restart, {} when it serves again; {} address records kept too long",
            plan.victims,
            plan.machines,
            self.records,
            plan.minutes,
            words.join(", "),
            changes[0],
            changes[1],
            changes[2],
            changes[3],
            self.late
        )
    }
}

fn replayed(plan: Plan) -> Result<Replayed, String> {
    let mut scene = Scene::new(plan)?;
    let soon = told(&mut scene)?;
    let all = std::mem::take(&mut scene.recorded);
    let records = (1..=plan.victims).filter_map(|victim| scene.door.net.peer(victim)).map(|peer| peer.solo.view().records).sum();
    let over = scene.door.net.swarm.now() + 2 * HOUR + MINUTE;
    // Nobody says any more where these are.
    scene.others().for_each(|owner| scene.door.net.swarm.leave_at(owner, Time::ZERO));
    scene.door.net.run(HOUR)?;
    let mut hour = Told::default();
    for (victim, letters) in &all {
        scene.say(*victim, letters, &mut hour)?;
    }
    let back: Vec<(u32, &Vec<Letter>)> =
        all.iter().map(|(victim, letters)| (*victim, letters)).filter(|(victim, _)| victim % 2 == 0).collect();
    back.iter().try_for_each(|(victim, _)| scene.restart(*victim))?;
    let mut restarted = [Told::default(); 2];
    for (told, after) in restarted.iter_mut().zip([SECOND, SERVES]) {
        scene.door.net.run(after)?;
        for (victim, letters) in &back {
            scene.say(*victim, letters, told)?;
        }
    }
    scene.door.net.run(over.since(scene.door.net.swarm.now()))?;
    let late = scene.late()?;
    let mut words = BTreeMap::new();
    for letter in all.values().flatten() {
        *words.entry(word(&letter.bytes)).or_default() += 1;
    }
    Ok(Replayed { words, records, soon, hour, restarted, late })
}

/// Records for some minutes what victims hear, and says each to them again within two seconds.
fn told(scene: &mut Scene) -> Result<Told, String> {
    let mut told = Told::default();
    let mut last: Vec<(u32, Vec<Letter>)> = Vec::new();
    scene.ears.borrow_mut().is_open = true;
    scene.ears.borrow_mut().is_deaf = scene.plan.is_deaf;
    for second in 0..60 * scene.plan.minutes {
        scene.stir(second)?;
        scene.door.net.run(SECOND)?;
        let heard = std::mem::take(&mut scene.ears.borrow_mut().heard);
        for (victim, letters) in std::mem::replace(&mut last, heard.into_iter().collect()) {
            scene.say(victim, &letters, &mut told)?;
            scene.recorded.entry(victim).or_default().extend(letters);
        }
    }
    scene.ears.borrow_mut().is_open = false;
    Ok(told)
}

/// What a datagram is, in a word.
fn word(bytes: &[u8]) -> String {
    let fields = Fields::read(bytes);
    let text = |name| fields.as_ref().and_then(|fields| fields.text(name));
    match (text("q"), text("r")) {
        (Some(word), _) => word.to_owned(),
        (None, Some(_)) => "replies".to_owned(),
        (None, None) => "refusals".to_owned(),
    }
}

/// What is heard by victims, and sent by the one that is told something again.
#[derive(Default)]
struct Ears {
    victims: u32,
    is_open: bool,
    is_deaf: bool,
    heard: BTreeMap<u32, Vec<Letter>>,
    sent: Option<Vec<Letter>>,
}

/// Keeps what one machine hears.
struct Ear {
    machine: u32,
    ears: Rc<RefCell<Ears>>,
}

impl Vice for Ear {
    fn on_send(&mut self, _now: Time, letter: Letter, out: &mut Vec<Letter>) {
        if let Some(sent) = &mut self.ears.borrow_mut().sent {
            sent.push(letter.clone());
        }
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        let mut ears = self.ears.borrow_mut();
        let is_of_victim = ears.is_open && (1..=ears.victims).contains(&self.machine);
        if is_of_victim {
            ears.heard.entry(self.machine).or_default().push(Letter { path, bytes: bytes.to_vec() });
        }
        !(is_of_victim && ears.is_deaf)
    }
}

/// What a server would store, and what it shows of itself.
#[derive(PartialEq)]
struct State {
    items: Vec<Item>,
    view: DhtView,
}

impl State {
    fn of(peer: &Peer) -> Self {
        // Who asks is remembered so that it asks no more than it may.
        let mut state = Self { items: peer.solo.save(), view: peer.solo.view() };
        state.view.heap_bytes = 0;
        state
    }
}

/// A grown network in which victims can be told what they heard before.
struct Scene {
    plan: Plan,
    door: Door,
    ears: Rc<RefCell<Ears>>,
    stored: Rc<RefCell<BTreeMap<u32, Vec<Item>>>>,
    recorded: BTreeMap<u32, Vec<Letter>>,
}

impl Scene {
    fn new(plan: Plan) -> Result<Self, String> {
        let ears = Rc::new(RefCell::new(Ears { victims: plan.victims, ..Ears::default() }));
        let stored: Rc<RefCell<BTreeMap<u32, Vec<Item>>>> = Rc::default();
        let (shared, items) = (Rc::clone(&ears), Rc::clone(&stored));
        let net = Net::with(SEED, Terrain::flat(Network::default()), move |birth: &Birth| {
            let config = unlimited(server());
            let mut peer = match items.borrow().get(&birth.machine) {
                Some(items) => restored(items, config, birth),
                None => Peer::new(config, birth, &[address(0)]),
            };
            // Newcomers have to have themselves dialled back.
            peer.is_behind = birth.machine >= plan.machines;
            Member::turned(peer, Ear { machine: birth.machine, ears: Rc::clone(&shared) })
        });
        let owners = (0..plan.owners()).map(|n| Owner::draw(SEED, n)).collect::<Result<Vec<_>, _>>()?;
        let draws = Draws::new(shifted(SEED), "replay", &[]);
        let mut scene = Self { plan, door: Door { net, machine: 1, owners, draws }, ears, stored, recorded: BTreeMap::new() };
        let net = &mut scene.door.net;
        net.grow(plan.machines, Duration::from_secs(3), FIRST)?;
        let first = net.swarm.add(plan.machines / 4);
        net.swarm.flash_crowd(first..net.swarm.len(), net.swarm.now(), MINUTE * plan.minutes as u32);
        for (machine, owner) in (1..).zip(&scene.door.owners) {
            scene.door.net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        }
        scene.door.net.run(BEFORE)?;
        Ok(scene)
    }

    /// Each second another device has moved, or its owner taken another one back, and somebody looks for it.
    fn stir(&mut self, second: u64) -> Result<(), String> {
        let n = second % self.plan.owners();
        let machine = n as u32 + 1;
        let at = SocketAddr::new(address(machine).ip(), 1_000 + (second % 60_000) as u16);
        let lost = RevocationTarget::Device(DeviceId::from_bytes(self.door.draws.bytes()[..16].try_into().unwrap_or_default()));
        let far = WallTime::from_millis(EPOCH_MS + 7 * 24 * 3_600_000);
        let entry = RevocationEntry { before: far, end: far };
        let revocation =
            Revocation::sign(&identity(SEED, n).0, app()?, second + 1, [(lost, entry)].into()).map_err(|why| why.to_string())?;
        let reader = self.door.draws.below(u64::from(self.plan.machines)) as u32;
        self.door.net.ask(machine, |peer, now| {
            peer.solo.set_addresses(now, &[at]);
            if second.is_multiple_of(2) {
                peer.solo.revoke(now, &revocation);
            }
        })?;
        let owner = &self.door.owners[n as usize];
        self.door.net.ask(reader, |peer, now| owner.find(peer, now, Reader::Stranger).map(drop))?
    }

    /// A victim is told all this at once, from where it came.
    fn say(&mut self, victim: u32, letters: &[Letter], told: &mut Told) -> Result<(), String> {
        let records = self.records(victim)?;
        for Letter { path, bytes } in letters {
            let before = self.state(victim)?;
            self.ears.borrow_mut().sent = Some(Vec::new());
            self.door.net.ask(victim, |peer, now| peer.solo.handle(now, Event::datagram(*path, bytes)))?;
            let sent = self.ears.borrow_mut().sent.take().unwrap_or_default();
            told.said += 1;
            told.kept += u64::from(self.state(victim)? != before);
            told.asked += u64::from(sent.iter().any(|letter| Fields::read(&letter.bytes).is_some_and(|fields| fields.text("q").is_some())));
        }
        told.records += u64::from(self.records(victim)? != records);
        Ok(())
    }

    fn state(&self, victim: u32) -> Result<State, String> {
        self.door.net.peer(victim).map(State::of).ok_or_else(|| format!("machine {victim} is down"))
    }

    /// What a machine gives to who asks for all records.
    fn records(&mut self, machine: u32) -> Result<Vec<String>, String> {
        self.door.machine = machine;
        let cookie = self.door.cookie(stranger(READER))?;
        let mut all = Vec::new();
        for owner in 0..self.door.owners.len() {
            for kind in ["address", "device", "revocation"] {
                all.push(self.given(owner, kind, &cookie)?);
            }
        }
        Ok(all)
    }

    /// What it has of one kind at a home.
    fn given(&mut self, owner: usize, kind: &str, cookie: &str) -> Result<String, String> {
        let home = &self.door.owners[owner].home;
        let get = json!({"v": 1, "t": "AAAAAAAAAAA", "q": "get", "cookie": cookie, "target": home, "kind": kind});
        let answer = self.door.say(stranger(READER), get.to_string().as_bytes())?;
        let reply = answer.back.first().and_then(|bytes| Fields::read(bytes));
        let part = |name| reply.as_ref().and_then(|reply| reply.json(name)).unwrap_or_default().to_owned();
        Ok(["record", "index", "revoked", "more"].map(part).join(" "))
    }

    /// Owners that are no victims.
    fn others(&self) -> impl Iterator<Item = u32> + use<> {
        self.plan.victims + 1..=self.plan.owners() as u32
    }

    /// Stops a machine, and starts it with what it has stored.
    fn restart(&mut self, victim: u32) -> Result<(), String> {
        let items = self.state(victim)?.items;
        self.stored.borrow_mut().insert(victim, items);
        let swarm = &mut self.door.net.swarm;
        swarm.leave_at(victim, swarm.now());
        swarm.join_at(victim, swarm.now());
        self.door.net.run(Duration::ZERO)
    }

    /// Address records of owners that have gone which victims keep.
    fn late(&mut self) -> Result<u64, String> {
        let mut late = 0;
        for victim in 1..=self.plan.victims {
            self.door.machine = victim;
            let cookie = self.door.cookie(stranger(READER))?;
            for owner in self.others() {
                late += u64::from(self.given(owner as usize - 1, "address", &cookie)?.starts_with('{'));
            }
        }
        Ok(late)
    }
}

impl Plan {
    /// Machines from the second on that publish: the victims, and a fifth of all.
    fn owners(self) -> u64 {
        u64::from(self.victims + self.machines / 5)
    }
}
