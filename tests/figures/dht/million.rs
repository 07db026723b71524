//! `dht-million`: a million DHTs at once.

use std::rc::Rc;
use std::time::Duration;

use overcom_core::Time;
use overcom_simulator::Draws;
use overcom_simulator::Network;
use overcom_simulator::swarm::{Swarm, Terrain};

use super::atlas::{Atlas, restored};
use super::looks::{look_up_each, lost};
use super::net::{Member, Net, Owner, server};
use crate::figure::{Measured, Size};
use crate::meter::{cpu, heap_bytes};
use crate::seeds::shifted;

const MILLION: f64 = 1e6;
/// The key of what a machine stores of its neighbours.
const LEAVES: &[u8] = b"4gl";
/// What a million may take, in bytes and seconds, and how much they must do.
const BYTES: f64 = 20.0 * (1 << 30) as f64;
const SECONDS: f64 = 600.0;
const REQUESTS: f64 = 15e6;
/// All begin within this, or they would all say their first words at the same moment.
const CROWD: Duration = Duration::from_secs(4);
/// Simulated, from the first beginning to the end.
const RUN: Duration = Duration::from_secs(20);
/// After this what was published lies where it shall.
const PUBLISHED: Duration = Duration::from_secs(5);
/// Look-ups, for so many machines one.
const LOOK_EACH: u32 = 100;

/// Machines that are all up within seconds, live for twenty simulated seconds and keep their tables and neighbours, of which every hundredth looks for a record:
/// memory over 20 GiB, CPU over ten minutes, 15 million requests over those that were answered, and look-ups lost over one in 1,000,
/// the first three in proportion to a million: the worst. The same seed gives the same digest, which is tried on a small network. In the
/// control machines have kept their tables and not their neighbours, so that all look themselves up at once.
///
/// Tables are narrow (DHT-52), which who serves has not by default: what wide ones take, of 20,000 machines at most, stands beside it.
pub(crate) fn million(size: Size) -> Result<Measured, String> {
    let machines = size.of(1_000, 20_000, 1_000_000) as u32;
    let (one, other) = (lived(500, Kept::All, false)?, lived(500, Kept::All, false)?);
    if one.digest != other.digest {
        return Err(format!("the same seed gave {} and {}", one.digest, other.digest));
    }
    let lived_through = lived(machines, Kept::All, false)?;
    let control = lived(size.of(500, 1_000, 2_000) as u32, Kept::ButLeaves, false)?;
    let (wide, narrow) = (lived(machines.min(20_000), Kept::All, true)?, lived_through.bytes / f64::from(machines));
    Ok(Measured {
        value: lived_through.worst(),
        control: control.worst(),
        size: u64::from(machines),
        detail: format!(
            "{}; ideal cryptography; narrow tables as stored an hour ago; wide ones take {:.0} bytes more: {}; control: without the neighbours that \
             were stored, {}",
            lived_through.words(),
            wide.bytes / f64::from(wide.machines) - narrow,
            wide.words(),
            control.words()
        ),
        ..Measured::OF_ALLOWED
    })
}

struct Lived {
    machines: u32,
    bytes: f64,
    seconds: f64,
    requests: f64,
    lost: f64,
    digest: String,
}

impl Lived {
    /// What it would be for a million.
    fn of_million(&self, of_all: f64) -> f64 {
        of_all * MILLION / f64::from(self.machines)
    }

    fn worst(&self) -> f64 {
        let parts =
            [self.of_million(self.bytes) / BYTES, self.of_million(self.seconds) / SECONDS, REQUESTS / self.of_million(self.requests)];
        parts.into_iter().fold(self.lost * 1e3, f64::max)
    }

    fn words(&self) -> String {
        format!(
            "{} machines: {:.0} bytes each, {:.1} s of CPU, {:.0} requests answered, {:.2} % of look-ups lost; for a million {:.1} GiB, {:.0} s, {:.1} million",
            self.machines,
            self.bytes / f64::from(self.machines),
            self.seconds,
            self.requests,
            self.lost * 100.0,
            self.of_million(self.bytes) / (1 << 30) as f64,
            self.of_million(self.seconds),
            self.of_million(self.requests) / 1e6
        )
    }
}

/// What of what it stored a machine has found again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    /// All but who its neighbours are.
    ButLeaves,
}

fn lived(machines: u32, kept: Kept, is_wide: bool) -> Result<Lived, String> {
    let (before, clock) = (heap_bytes(), cpu());
    let atlas = Rc::new(Atlas::of(machines));
    let mut swarm = Swarm::new(shifted(18), Terrain::flat(Network::default()), move |birth| {
        let mut items = atlas.items(birth.machine, birth.wall, birth.draws, is_wide);
        items.retain(|item| kept == Kept::All || item.key != LEAVES);
        Member::honest(restored(&items, server().dht_wide(u32::from(is_wide)), birth))
    });
    swarm.add(machines);
    swarm.flash_crowd(0..machines, Time::ZERO, CROWD);
    let mut net = Net::of(swarm);
    net.run(CROWD)?;
    let owners = (0..20).map(|n| Owner::draw(18, n)).collect::<Result<Vec<_>, _>>()?;
    for (machine, owner) in (0..).zip(&owners) {
        let at = net.swarm.address(machine);
        net.ask(machine, |peer, now| {
            peer.solo.publish(now, owner.credentials.clone());
            peer.solo.set_addresses(now, &[at]);
        })?;
    }
    net.run(PUBLISHED)?;
    let mut draws = Draws::new(shifted(18), "million", &[]);
    let first = 20 + draws.below(u64::from(LOOK_EACH / 2)) as u32;
    let readers = (first..machines).step_by(LOOK_EACH as usize);
    let looked: Vec<_> = look_up_each(&mut net, readers.zip(owners.iter().cycle()))?.into_iter().map(|(_, looked)| looked).collect();
    let until = RUN.saturating_sub(net.swarm.now().since(Time::ZERO));
    net.run(until)?;
    let seconds = cpu().saturating_sub(clock).as_secs_f64();
    let requests: u64 = net.peers().map(|(_, peer)| peer.solo.stats().dht_replies_out).sum();
    let bytes = heap_bytes().saturating_sub(before) as f64;
    Ok(Lived { machines, bytes, seconds, requests: requests as f64, lost: lost(&looked), digest: net.swarm.marks().digest().to_string() })
}
