//! `dht-poison`: a gang that asks its victims all the time so as to come into their tables.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Config, Item, Path, Time};
use overcom_simulator::Draws;
use overcom_simulator::swarm::byzantine::{Letter, Vice};
use overcom_simulator::swarm::{Birth, Terrain, address};
use serde_json::json;

use super::atlas::{self, Atlas, restored};
use super::capture::verified;
use super::door::first_ping;
use super::fields::Fields;
use super::net::{HOUR, Member, Net, Peer, TRIP, base64, server};
use super::rows::{TWO_HOURS, aged};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 28;
/// All of the gang together send each victim so many datagrams an hour.
const AN_HOUR: u32 = 100_000;
/// Of the machines so many in a hundred are in the gang.
const GANG: u64 = 10;
/// Entry peers of who begins.
const ENTRIES: usize = 4;
/// The gang's part of tables may be so many times its part of all machines: of eight tables with a hundred nodes each the part of a tenth
/// is spread by a tenth of itself.
const PART: f64 = 1.5;
/// How a victim begins: with a table as after days, with one that is two hours old, and with none.
const KINDS: [&str; 3] = ["as after days", "as after two hours away", "that begin"];

fn is_member(machine: u32) -> bool {
    Draws::new(shifted(SEED), "gang", &[u64::from(machine)]).below(100) < GANG
}

/// A network, its victims, and how long they are asked.
#[derive(Clone, Copy)]
struct Plan {
    machines: u32,
    /// Of each kind.
    victims: u32,
    minutes: u32,
    /// Nobody else answers who begins, and its entry peers are of the gang.
    is_alone: bool,
}

/// The gang's part of the verified nodes in the tables of victims whom it asks, unasked itself, 100,000 times an hour each, with cookies and its ids,
/// over one and a half times its part of all machines: the worst of tables as after days, of those that come back after two hours, and
/// of those that begin and know four machines by chance. All machines live, and have tables that are not wide, in which most have no
/// place. The gang answers as others do, and names whom they name (what it comes to if it does not is for `dht-capture`). In the control
/// the four are of the gang, and nobody else answers who begins.
pub(crate) fn poison(size: Size) -> Result<Measured, String> {
    let plan = Plan {
        machines: size.of(600, 2_000, 10_000) as u32,
        victims: size.of(4, 8, 16) as u32,
        minutes: size.of(20, 120, 1_440) as u32,
        is_alone: false,
    };
    let ran = poisoned(plan)?;
    let control = poisoned(Plan { machines: 300, victims: 2, minutes: 10, is_alone: true })?;
    let parts: Vec<String> = ran.tables.iter().zip(KINDS).map(|(table, kind)| table.words(kind)).collect();
    Ok(Measured {
        value: ran.tables.iter().map(|table| ran.over(table)).fold(0.0, f64::max),
        control: control.over(&control.tables[2]),
        size: u64::from(plan.machines),
        detail: format!(
            "{:.1} % of {} machines ask {} of each kind for {} min, and have of the tables {}; control: only they answer, {}",
            ran.gang * 100.0,
            plan.machines,
            plan.victims,
            plan.minutes,
            parts.join(", "),
            control.tables[2].words(KINDS[2])
        ),
        ..Measured::OF_ALLOWED
    })
}

/// What is the gang's: of all machines, and of the tables of each kind.
struct Poisoned {
    gang: f64,
    tables: [Tables; 3],
}

impl Poisoned {
    fn over(&self, tables: &Tables) -> f64 {
        tables.part() / (self.gang * PART)
    }
}

/// Verified nodes of some tables.
#[derive(Default)]
struct Tables {
    nodes: usize,
    members: usize,
}

impl Tables {
    /// Who knows nobody has nothing to show for the others.
    fn part(&self) -> f64 {
        if self.nodes == 0 { 1.0 } else { self.members as f64 / self.nodes as f64 }
    }

    fn words(&self, kind: &str) -> String {
        format!("{kind} {:.1} % of {} nodes", self.part() * 100.0, self.nodes)
    }
}

/// Pings from one machine to each victim, one each so often, with the cookie that a reply has brought.
struct Asks {
    id: String,
    victims: Rc<[SocketAddr]>,
    cookies: Vec<Option<String>>,
    draws: Draws,
    every: Duration,
    next: Time,
}

impl Vice for Asks {
    fn on_hear(&mut self, _now: Time, path: Path, bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        if let Some(index) = self.victims.iter().position(|at| *at == path.remote)
            && let Some(reply) = Fields::read(bytes).filter(|reply| reply.text("r") == Some("ping"))
            && let Some(cookie) = reply.text("cookie")
        {
            self.cookies[index] = Some(cookie.to_owned());
        }
        true
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.next)
    }

    fn on_deadline(&mut self, now: Time, out: &mut Vec<Letter>) {
        self.next = now + self.every;
        for (at, cookie) in self.victims.iter().zip(&self.cookies) {
            let exchange = base64(&self.draws.u64().to_be_bytes());
            let ping = match cookie {
                Some(cookie) => json!({"v": 1, "t": exchange, "q": "ping", "id": self.id, "cookie": cookie}),
                None => first_ping(&exchange),
            };
            out.push(Letter { path: Path { local: *at, remote: *at }, bytes: ping.to_string().into_bytes() });
        }
    }
}

fn asks(birth: &Birth, atlas: &Atlas, victims: &Rc<[SocketAddr]>, every: Duration) -> Asks {
    let id = atlas.place(birth.machine).map(|place| base64(place.id())).unwrap_or_default();
    let mut draws = Draws::new(shifted(SEED), "asks", &[u64::from(birth.machine)]);
    let next = birth.now + Duration::from_micros(draws.below(every.as_micros() as u64));
    Asks { id, victims: Rc::clone(victims), cookies: vec![None; victims.len()], draws, every, next }
}

fn poisoned(plan: Plan) -> Result<Poisoned, String> {
    let atlas = Rc::new(Atlas::of(plan.machines));
    let members: Vec<u32> = (0..plan.machines).filter(|machine| is_member(*machine)).collect();
    let old: Vec<u32> = (0..plan.machines).filter(|machine| !is_member(*machine)).take(2 * plan.victims as usize).collect();
    let (warm, back) = old.split_at(plan.victims as usize);
    let cold: Vec<u32> = (plan.machines..plan.machines + plan.victims).collect();
    let mut net = network(plan, &atlas, &[&old, &cold[..]].concat(), back, members.len() as u32)?;
    if plan.is_alone {
        for machine in (0..plan.machines).filter(|machine| !is_member(*machine)) {
            cold.iter().for_each(|victim| {
                net.swarm.block(machine, *victim);
                net.swarm.block(*victim, machine);
            });
        }
    }
    (0..plan.machines).try_for_each(|machine| net.ask(machine, |_, _| ()))?;
    net.swarm.add(plan.victims);
    cold.iter().for_each(|machine| net.swarm.join_at(*machine, net.swarm.now()));
    net.run(Duration::from_secs(60) * plan.minutes)?;
    let mut tables: [Tables; 3] = Default::default();
    for (tables, victims) in tables.iter_mut().zip([warm, back, &cold]) {
        for victim in victims {
            let items = net.ask(*victim, |peer, _| peer.solo.save())?;
            let known: Vec<u32> = verified(&items).into_iter().filter_map(|at| net.swarm.machine_at(at)).collect();
            tables.nodes += known.len();
            tables.members += known.into_iter().filter(|machine| is_member(*machine)).count();
        }
    }
    Ok(Poisoned { gang: members.len() as f64 / f64::from(plan.machines), tables })
}

/// All machines, those that come back, and later those that begin.
fn network(plan: Plan, atlas: &Rc<Atlas>, victims: &[u32], back: &[u32], members: u32) -> Result<Net, String> {
    let every = HOUR * members / AN_HOUR;
    let (shared, back) = (Rc::clone(atlas), back.to_vec());
    let victims: Rc<[SocketAddr]> = victims.iter().map(|machine| address(*machine)).collect();
    atlas::network(atlas, SEED, Terrain::flat(TRIP), move |birth| {
        if birth.machine >= plan.machines {
            return Member::honest(Peer::new(config(), birth, &entries(birth.machine, plan)));
        }
        if back.contains(&birth.machine) {
            let items = shared.items(birth.machine, birth.wall, birth.draws, false);
            let items: Vec<Item> = items.into_iter().map(|item| aged(item, TWO_HOURS)).collect();
            return Member::honest(restored(&items, config(), birth));
        }
        let peer = shared.peer(config(), birth, false);
        if is_member(birth.machine) { Member::turned(peer, asks(birth, &shared, &victims, every)) } else { Member::honest(peer) }
    })
}

const fn config() -> Config {
    server().dht_wide(0)
}

/// Whom who begins knows: anybody, or the gang alone.
fn entries(victim: u32, plan: Plan) -> Vec<SocketAddr> {
    let mut draws = Draws::new(shifted(SEED), "entries", &[u64::from(victim)]);
    let mut entries = Vec::new();
    while entries.len() < ENTRIES {
        let machine = draws.below(u64::from(plan.machines)) as u32;
        if (!plan.is_alone || is_member(machine)) && !entries.contains(&address(machine)) {
            entries.push(address(machine));
        }
    }
    entries
}
