//! `dht-capture`: newcomers most of whose entry peers are hostile.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::Item;
use overcom_simulator::Draws;
use overcom_simulator::swarm::byzantine::Colludes;
use overcom_simulator::swarm::{Birth, Terrain, address};

use super::atlas::{self, Atlas};
use super::attack::{honest, publish};
use super::gang::Denies;
use super::looks::{look_up_each, lost};
use super::net::{Member, Net, Owner, Peer, TRIP, server};
use super::rows::{HEAD, ROW, TABLE};
use super::trace::LookedUp;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 24;
/// After this a newcomer's table is looked at.
const SETTLED: Duration = Duration::from_secs(300);
/// Entry peers that a newcomer knows, of which one is honest.
const ENTRIES: usize = 4;

/// One machine in six is in the gang of `dht-capture`.
fn sixth(machine: u32) -> bool {
    Draws::new(shifted(SEED), "gang", &[u64::from(machine)]).below(6) == 0
}

/// A machine that answers and does nothing else, with what it would have stored; of the gang, if it is one of it.
fn resident(atlas: &Atlas, birth: &Birth, plan: &Rc<RefCell<Denies>>) -> Member {
    let mut peer = atlas.peer(server(), birth, true);
    peer.rests = true;
    if (plan.borrow().is_member)(birth.machine) { Member::turned(peer, Colludes::new(Rc::clone(plan))) } else { Member::honest(peer) }
}

/// Newcomers of whose four entry peers three belong to a gang, as one machine in six does, that names only its own and denies: the
/// share of look-ups that finds nothing, at the first moment or after five minutes, over one in 100; and the part of a newcomer's table that
/// is the gang's after five minutes, in the mean, over a half: the worse. In the control they have asked one entry peer alone, which
/// belongs to the gang.
pub(crate) fn capture(size: Size) -> Result<Measured, String> {
    let (machines, newcomers) = (size.of(600, 2_000, 20_000) as u32, size.of(40, 200, 1_000) as u32);
    let (ran, control) = (captured(machines, newcomers, true)?, captured(600, 20, false)?);
    Ok(Measured {
        value: ran.worst(),
        control: control.worst(),
        size: u64::from(machines),
        detail: format!("{newcomers} newcomers among {machines} machines: {}; control: one entry peer, {}", ran.words(), control.words()),
        ..Measured::OF_ALLOWED
    })
}

struct Captured {
    first: Vec<LookedUp>,
    later: Vec<LookedUp>,
    /// The gang's part of each newcomer's table, of the verified.
    parts: Vec<f64>,
    nodes: u64,
}

impl Captured {
    fn part(&self) -> f64 {
        self.parts.iter().sum::<f64>() / (self.parts.len() as f64).max(1.0)
    }

    fn worst(&self) -> f64 {
        (lost(&self.first) / 0.01).max(lost(&self.later) / 0.01).max(self.part() / 0.5)
    }

    fn words(&self) -> String {
        format!(
            "{:.2} % of look-ups lost at once, {:.2} % after five minutes; {:.1} % of {} verified nodes are the gang's, {:.0} % of the worst table",
            lost(&self.first) * 100.0,
            lost(&self.later) * 100.0,
            self.part() * 100.0,
            self.nodes,
            self.parts.iter().copied().fold(0.0, f64::max) * 100.0
        )
    }
}

fn captured(machines: u32, newcomers: u32, asks_all: bool) -> Result<Captured, String> {
    let atlas = Rc::new(Atlas::of(machines));
    let (shared, plan) = (Rc::clone(&atlas), Denies::of(&atlas, sixth));
    let mut net = atlas::network(&atlas, SEED, Terrain::flat(TRIP), move |birth| {
        if birth.machine >= machines {
            return Member::honest(Peer::new(server(), birth, &entries(birth.machine, machines, asks_all)));
        }
        resident(&shared, birth, &plan)
    })?;
    let mut draws = Draws::new(shifted(SEED), "capture", &[]);
    let owners: Vec<Owner> = publish(&mut net, 50, &mut draws, honest(machines, sixth))?.into_iter().map(|(_, owner)| owner).collect();
    let first = net.swarm.add(newcomers);
    let all = first..first + newcomers;
    all.clone().for_each(|newcomer| net.swarm.join_at(newcomer, net.swarm.now()));
    net.run(Duration::ZERO)?;
    let look = |net: &mut Net, at: usize| -> Result<Vec<LookedUp>, String> {
        let pairs: Vec<(u32, &Owner)> = all.clone().zip(owners.iter().cycle().skip(at)).collect();
        Ok(look_up_each(net, pairs)?.into_iter().map(|(_, looked)| looked).collect())
    };
    let at_once = look(&mut net, 0)?;
    net.run(SETTLED)?;
    let later = look(&mut net, 7)?;
    let (mut parts, mut nodes) = (Vec::new(), 0);
    for newcomer in all.clone() {
        let items = net.ask(newcomer, |peer, _| peer.solo.save())?;
        let known: Vec<bool> = verified(&items).into_iter().filter_map(|at| net.swarm.machine_at(at)).map(sixth).collect();
        nodes += known.len() as u64;
        parts.push(if known.is_empty() { 1.0 } else { known.iter().filter(|is_member| **is_member).count() as f64 / known.len() as f64 });
    }
    Ok(Captured { first: at_once, later, parts, nodes })
}

/// Whom a newcomer knows: three of the gang and one who is not; or one of the gang alone.
fn entries(newcomer: u32, machines: u32, asks_all: bool) -> Vec<SocketAddr> {
    let mut draws = Draws::new(shifted(SEED), "entries", &[u64::from(newcomer)]);
    let mut entries = BTreeSet::new();
    while entries.len() < ENTRIES - 1 {
        let machine = draws.below(u64::from(machines)) as u32;
        if sixth(machine) {
            entries.insert(machine);
        }
    }
    if asks_all {
        entries.insert(honest(machines, sixth)(&mut draws));
    }
    entries.into_iter().map(address).take(if asks_all { ENTRIES } else { 1 }).collect()
}

/// The verified nodes of a stored table of IPv4.
pub(super) fn verified(items: &[Item]) -> Vec<SocketAddr> {
    let table = items.iter().find(|item| item.key == TABLE).map_or(&[][..], |item| item.value.get(HEAD..).unwrap_or_default());
    let rows = table.chunks_exact(ROW).filter(|row| row[ROW - 1] & 1 != 0);
    rows.map(|row| SocketAddr::from((Ipv4Addr::new(row[8], row[9], row[10], row[11]), u16::from_be_bytes([row[12], row[13]])))).collect()
}
