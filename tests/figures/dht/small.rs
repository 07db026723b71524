//! `dht-small`: the first nodes of a network find each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use overcom_core::DhtNotice;
use overcom_simulator::swarm::{Swarm, Terrain, address};
use overcom_simulator::{Draws, Network};

use super::net::{Handicap, Net, Owner, Peer, failed, member, server};
use crate::figure::{Measured, Size};

/// All begin within this.
const CROWD: Duration = Duration::from_secs(1);
/// After the last one began: when others begin to look, and when they must have found.
const LOOK: Duration = Duration::from_millis(4_500);
const FOUND: Duration = Duration::from_secs(5);
/// Of more machines than this only some look.
const READERS_MAX: u64 = 8;
/// A record lies with so many, if there are as many others.
const HOLDERS: u32 = 5;

/// Where the machines are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ground {
    /// On one machine, at several ports.
    Loopback,
    /// Behind one router.
    Private,
    /// In one /24 of the internet.
    Street,
    /// Anywhere.
    Global,
}

const GROUNDS: [Ground; 4] = [Ground::Loopback, Ground::Private, Ground::Street, Ground::Global];

impl Ground {
    fn address(self, machine: u32) -> SocketAddr {
        let last = machine as u8 + 1;
        match self {
            Self::Loopback => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7_000 + machine as u16),
            Self::Private => SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, last)), 7_575),
            Self::Street => SocketAddr::new(IpAddr::V4(Ipv4Addr::new(85, 1, 2, last)), 7_575),
            Self::Global => address(machine),
        }
    }

    fn network(self) -> Network {
        let (delay_us, jitter_us) = match self {
            Self::Loopback => (50, 20),
            Self::Private => (500, 500),
            Self::Street => (2_000, 1_000),
            Self::Global => (40_000, 20_000),
        };
        Network { delay_us, jitter_us, ..Network::default() }
    }
}

/// Of networks of 2 to 50 that begin within a second and know one address, which of them begins first being chance: those
/// in which, five seconds after the last one began, a published device is not found by everybody who looks, or is not kept
/// by five others or all there are, or somebody suspects an eclipse. In the control nobody asks the entry peer again before
/// it has answered once.
pub(crate) fn small(size: Size) -> Result<Measured, String> {
    let sizes: &[u32] = if size == Size::Quick { &[2, 3, 8, 20, 50] } else { &[2, 3, 4, 5, 6, 7, 8, 20, 50] };
    let seeds = size.of(3, 20, 20);
    let (mut failures, mut unfound, mut faults, mut runs) = (0, 0, Vec::new(), 0);
    for &machines in sizes {
        for ground in GROUNDS {
            for seed in 1..=seeds {
                runs += 1;
                if let Some(fault) = run(machines, ground, seed, false)? {
                    failures += 1;
                    unfound += u32::from(matches!(fault, Fault::NotFound { .. }));
                    if faults.len() < 5 {
                        faults.push(format!("{machines} {ground:?} seed {seed}: {fault}"));
                    }
                }
            }
        }
    }
    let mut control = 0;
    for seed in 1..=seeds {
        control += u32::from(run(8, Ground::Private, seed, true)?.is_some());
    }
    Ok(Measured {
        value: f64::from(failures),
        unit: "networks",
        target: 0.0,
        control: f64::from(control),
        size: runs,
        seeds,
        detail: format!(
            "sizes {sizes:?} on loopback, in one private network, in one /24 and all over the internet; not found in {unfound}{}{}; ideal cryptography; control: \
             entry peers asked once, 8 machines, of {seeds}",
            if faults.is_empty() { "" } else { "; failed: " },
            faults.join(", ")
        ),
    })
}

/// What may go wrong.
#[derive(Clone, Copy)]
enum Fault {
    /// A machine did not find what another one had published.
    NotFound { reader: u32, publisher: u32 },
    /// All find it, but too few keep it.
    Few { holders: u32, expected: u32 },
    /// Somebody suspects an eclipse where there is none.
    Eclipse,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { reader, publisher } => write!(f, "{reader} did not find {publisher}"),
            Self::Few { holders, expected } => write!(f, "{holders} of {expected} keep it"),
            Self::Eclipse => f.write_str("an eclipse was suspected"),
        }
    }
}

/// What went wrong, if anything did.
fn run(machines: u32, ground: Ground, seed: u64, asks_once: bool) -> Result<Option<Fault>, String> {
    let entry = ground.address(0);
    let swarm = Swarm::new(seed, Terrain::flat(ground.network()), move |birth| {
        member(Peer::new(server(), birth, &[entry]), asks_once.then_some(Handicap::AsksOnce { entry: Some(entry), has_asked: false }))
    });
    let mut net = Net::of(swarm);
    net.swarm.add(machines);
    let mut draws = Draws::new(seed, "small", &[u64::from(machines)]);
    for machine in 0..machines {
        net.swarm.place(machine, &[ground.address(machine)]).map_err(failed)?;
    }
    net.swarm.flash_crowd(0..machines, net.swarm.now(), CROWD);
    net.run(CROWD)?;
    let owner = Owner::draw(seed, 0)?;
    let publisher = draws.below(u64::from(machines)) as u32;
    net.ask(publisher, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
    net.run(LOOK)?;
    let holders = net.peers().filter(|(machine, peer)| *machine != publisher && peer.solo.view().records >= 2).count() as u32;
    let mut readers = Vec::new();
    for _ in 0..READERS_MAX.min(u64::from(machines)) {
        let reader = draws.below(u64::from(machines)) as u32;
        if !readers.contains(&reader) {
            net.ask(reader, |peer, now| {
                peer.told();
                peer.solo.find(now, owner.user, &super::net::app()?, None, &[]).map_err(|why| why.to_string())
            })??;
            readers.push(reader);
        }
    }
    net.run(FOUND - LOOK)?;
    for &reader in &readers {
        let told = net.ask(reader, |peer, _| peer.told())?;
        if !told.iter().any(|told| matches!(told, DhtNotice::Found { is_local: false, .. })) {
            return Ok(Some(Fault::NotFound { reader, publisher }));
        }
        if told.contains(&DhtNotice::EclipseSuspected) {
            return Ok(Some(Fault::Eclipse));
        }
    }
    let expected = HOLDERS.min(machines - 1);
    Ok((holders < expected).then_some(Fault::Few { holders, expected }))
}
