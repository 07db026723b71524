//! `dht-votes`: newcomers who are told by liars where they are.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::Time;
use overcom_simulator::Draws;
use overcom_simulator::swarm::byzantine::{Letter, Lies};
use overcom_simulator::swarm::{Birth, Terrain, address};

use super::atlas::{self, Atlas};
use super::fields::Fields;
use super::net::{Member, Net, Owner, Peer, TRIP, server, serves};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 27;
/// Machines that a newcomer knows, by chance. Of four all lie in one start of 256, and nobody can tell.
const ENTRIES: usize = 8;
/// Longer than who knows a hard table waits before it serves (DHT-126), and probes after that.
const STARTED: Duration = Duration::from_secs(1_200);
/// How often it is looked where newcomers believe to be.
const STEP: Duration = Duration::from_secs(10);
/// One start in a thousand may tell a false address, and one in a hundred not the right one.
const FALSE: f64 = 0.001;
const SILENT: f64 = 0.01;

/// Newcomers that put a record with a false address, and with the right one.
#[derive(Default)]
struct Told {
    falsely: BTreeSet<u32>,
    rightly: BTreeSet<u32>,
}

/// So many of a hundred machines lie, by chance.
fn lies(machine: u32, hundredths: u64) -> bool {
    Draws::new(shifted(SEED), "liars", &[u64::from(machine)]).below(100) < hundredths
}

/// Where liars say that an address is: all the same.
fn elsewhere(at: SocketAddr) -> SocketAddr {
    let IpAddr::V4(ip) = at.ip() else { return at };
    SocketAddr::new(Ipv4Addr::from_bits(85 << 24 | ip.to_bits() & 0x00FF_FFFF).into(), at.port())
}

/// Machines behind gateways that let everything through, which start knowing eight others, while a quarter of all machines, and so of those eight, say
/// of everybody the same false address in `seen`: the share of starts that within twenty minutes put an address record with it, over one
/// in 1,000, and that put none with the right one, over one in 100: the worse. How many serve under one meanwhile, whom nobody then takes
/// for a node, and how many hold one in the end, is told beside it. In the control three in four lie.
pub(crate) fn votes(size: Size) -> Result<Measured, String> {
    let (machines, starts) = (size.of(600, 2_000, 10_000) as u32, size.of(100, 1_000, 10_000) as u32);
    let (ran, control) = (voted(machines, starts, 25)?, voted(600, 40, 75)?);
    Ok(Measured {
        value: ran.worst(),
        control: control.worst(),
        size: u64::from(starts),
        detail: format!(
            "{starts} starts among {machines} machines of which a quarter lie: {}; control: three in four lie: {}",
            ran.words(),
            control.words()
        ),
        ..Measured::OF_ALLOWED
    })
}

struct Voted {
    /// Shares of the starts.
    told: f64,
    silent: f64,
    served: f64,
    ended: f64,
    believed: f64,
    /// That serve where they are.
    right: f64,
}

impl Voted {
    fn worst(&self) -> f64 {
        (self.told / FALSE).max(self.silent / SILENT)
    }

    fn words(&self) -> String {
        format!(
            "{:.2} % put a false address, {:.2} % never the right one, {:.2} % serve under one, {:.2} % hold one after twenty minutes, {:.1} % held one for a moment, {:.1} % serve where they are",
            self.told * 100.0,
            self.silent * 100.0,
            self.served * 100.0,
            self.ended * 100.0,
            self.believed * 100.0,
            self.right * 100.0
        )
    }
}

fn voted(machines: u32, starts: u32, hundredths: u64) -> Result<Voted, String> {
    let told = Rc::new(RefCell::new(Told::default()));
    let mut net = network(machines, hundredths, &told)?;
    let first = net.swarm.add(starts);
    let all = first..first + starts;
    all.clone().for_each(|machine| net.swarm.join_at(machine, net.swarm.now()));
    net.run(Duration::ZERO)?;
    for machine in all.clone() {
        let owner = Owner::draw(SEED, u64::from(machine))?;
        net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
    }
    let (mut believed, mut served) = (BTreeSet::new(), BTreeSet::new());
    let until = net.swarm.now() + STARTED;
    while net.swarm.now() < until {
        net.run(STEP)?;
        for machine in all.clone() {
            if net.peer(machine).is_some_and(|peer| is_elsewhere(peer, machine)) {
                believed.insert(machine);
                if net.peer(machine).is_some_and(serves) {
                    served.insert(machine);
                }
            }
        }
    }
    let count =
        |is: fn(&Peer, u32) -> bool| all.clone().filter(|machine| net.peer(*machine).is_some_and(|peer| is(peer, *machine))).count();
    let share = |count: usize| count as f64 / f64::from(starts);
    Ok(Voted {
        told: share(told.borrow().falsely.len()),
        silent: 1.0 - share(told.borrow().rightly.len()),
        served: share(served.len()),
        ended: share(count(is_elsewhere)),
        believed: share(believed.len()),
        right: share(count(|peer, machine| serves(peer) && !is_elsewhere(peer, machine))),
    })
}

/// Whether a machine believes to be where liars say.
fn is_elsewhere(peer: &Peer, machine: u32) -> bool {
    peer.solo.view().realms.iter().any(|realm| realm.address == Some(elsewhere(address(machine))))
}

/// Machines with tables as after days, which only answer, and newcomers.
fn network(machines: u32, hundredths: u64, told: &Rc<RefCell<Told>>) -> Result<Net, String> {
    let atlas = Rc::new(Atlas::of(machines));
    let (shared, told) = (Rc::clone(&atlas), Rc::clone(told));
    atlas::network(&atlas, SEED, Terrain::flat(TRIP), move |birth| {
        if birth.machine >= machines {
            return newcomer(birth, machines, &told);
        }
        let mut peer = shared.peer(server(), birth, true);
        peer.rests = true;
        if lies(birth.machine, hundredths) { Member::turned(peer, Lies::new(lie)) } else { Member::honest(peer) }
    })
}

/// Changes what a reply says of where its request came from.
fn lie(_: Time, letter: &mut Letter) -> bool {
    if let Some(mut fields) = Fields::read(&letter.bytes)
        && let Some(seen) = fields.text("seen").and_then(|seen| seen.parse().ok())
    {
        fields.replace("seen", &format!("\"{}\"", elsewhere(seen)));
        letter.bytes = fields.bytes();
    }
    true
}

/// A machine that knows eight others, and is noted when it puts an address of its own.
fn newcomer(birth: &Birth, machines: u32, told: &Rc<RefCell<Told>>) -> Member {
    let mut draws = Draws::new(shifted(SEED), "entries", &[u64::from(birth.machine)]);
    let mut entries = BTreeSet::new();
    while entries.len() < ENTRIES {
        entries.insert(draws.below(u64::from(machines)) as u32);
    }
    let entries: Vec<SocketAddr> = entries.into_iter().map(address).collect();
    let (told, machine) = (Rc::clone(told), birth.machine);
    let [rightly, falsely] = [address(machine), elsewhere(address(machine))].map(|at| format!("\"{at}\""));
    let watch = move |_: Time, letter: &mut Letter| {
        let fields = Fields::read(&letter.bytes).filter(|fields| fields.text("q") == Some("put"));
        if let Some(record) = fields.as_ref().and_then(|fields| fields.json("record")) {
            let mut told = told.borrow_mut();
            if record.contains(&falsely) {
                told.falsely.insert(machine);
            }
            if record.contains(&rightly) {
                told.rightly.insert(machine);
            }
        }
        true
    };
    let mut peer = Peer::new(server(), birth, &entries);
    // An address of an interface's would not be voted on (DHT-121).
    peer.is_behind = true;
    Member::turned(peer, Lies::new(watch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_changes_where_somebody_was_seen_and_nothing_else() {
        let path = overcom_core::Path { local: address(0), remote: address(1) };
        let mut letter = Letter { path, bytes: br#"{"v":1,"r":"ping","seen":"16.1.2.3:7575"}"#.to_vec() };
        assert!(lie(Time::ZERO, &mut letter));
        assert_eq!(letter.bytes, br#"{"v":1,"r":"ping","seen":"85.1.2.3:7575"}"#);
        let mut letter = Letter { path, bytes: b"no datagram".to_vec() };
        assert!(lie(Time::ZERO, &mut letter) && letter.bytes == b"no datagram");
    }

    #[test]
    fn a_quarter_lies() {
        let liars = (0..10_000).filter(|machine| lies(*machine, 25)).count();
        assert!((2_300..2_700).contains(&liars), "{liars}");
    }
}
