//! `dht-families`: who has IPv4 alone finds who has IPv6 alone, and the other way round.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use overcom_simulator::Draws;
use overcom_simulator::swarm::{Terrain, address};

use super::looks::{look_up_each_as, lost};
use super::net::{Handicap, Net, Owner, Peer, Reader, SETTLE, TRIP, any, failed, member, server_or_seed, serves};
use super::trace::LookedUp;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 22;
/// A carrier carries one record a second (DHT-115).
const CARRIED: Duration = Duration::from_secs(120);
/// Longer than an address record lasts: what is found then was carried again.
const LATER: Duration = Duration::from_secs(3 * 3_600);
/// So many look at once, each on a machine of its own.
const AT_ONCE: usize = 25;
/// So many of a hundred machines have both families.
const BOTH: u64 = 30;
/// One look-up in a thousand may find nothing.
const LOST: f64 = 0.001;

/// Which addresses a machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Family {
    Both,
    V4,
    V6,
}

impl Family {
    /// Of a hundred machines so many have both, half of the others each of the two alone; the one that all know has both.
    fn of(machine: u32, both: u64) -> Self {
        match Draws::new(shifted(SEED), "family", &[u64::from(machine)]).below(100) {
            drawn if machine == 0 || drawn < both => Self::Both,
            drawn if drawn % 2 == 0 => Self::V4,
            _ => Self::V6,
        }
    }

    fn addresses(self, machine: u32) -> Vec<SocketAddr> {
        match self {
            Self::Both => vec![address(machine), v6(machine)],
            Self::V4 => vec![address(machine)],
            Self::V6 => vec![v6(machine)],
        }
    }

    /// Whether who has these alone can send nothing to who has those alone.
    fn is_apart(self, other: Self) -> bool {
        self != other && self != Self::Both && other != Self::Both
    }
}

/// A global address of IPv6 in a /32 of its own.
pub(super) fn v6(machine: u32) -> SocketAddr {
    let block = 0x2400_0000 | machine.wrapping_mul(0x9E37_79B1) >> 6;
    SocketAddr::new(Ipv6Addr::from_bits(u128::from(block) << 96 | 1).into(), 7_575)
}

/// Of devices on machines with one family of addresses alone, looked for on machines with the other alone by strangers, who know the
/// user's id and need the device record beside the address, the share that is not found, over one in 1,000: two minutes after they were published and, since address records last two hours, three hours
/// later. Three machines in ten have both families, keep what they are given for both, and carry records over. In the control
/// only the machine that all know has both, and owners ask nobody to carry.
pub(crate) fn families(size: Size) -> Result<Measured, String> {
    let (machines, owners, looks) = (size.of(80, 600, 5_000) as u32, size.of(20, 150, 1_000), size.of(100, 2_000, 20_000));
    let ran = crossed(machines, owners, looks, BOTH, None)?;
    let control = crossed(200, 20, 50, 0, Some(Handicap::AsksNobodyToCarry))?;
    Ok(Measured {
        value: ran.worst() / LOST,
        control: control.best() / LOST,
        size: u64::from(machines),
        detail: format!(
            "{} machines serve in both families, {} in IPv4 alone, {} in IPv6 alone; {owners} owners; of {looks} look-ups by id alone from the \
             other family {:.3} % lost at first, {:.3} % three hours later; control: one machine has both, {:.0} % and {:.0} %",
            ran.serving[0],
            ran.serving[1],
            ran.serving[2],
            ran.first * 100.0,
            ran.later * 100.0,
            control.first * 100.0,
            control.later * 100.0,
        ),
        ..Measured::OF_ALLOWED
    })
}

struct Crossed {
    /// The share that found nothing.
    first: f64,
    later: f64,
    /// With both families, IPv4, IPv6.
    serving: [usize; 3],
}

impl Crossed {
    fn worst(&self) -> f64 {
        self.first.max(self.later)
    }

    fn best(&self) -> f64 {
        self.first.min(self.later)
    }
}

fn crossed(machines: u32, owners: u64, looks: u64, both: u64, handicap: Option<Handicap>) -> Result<Crossed, String> {
    let mut net = grown(machines, both, handicap)?;
    let mut draws = Draws::new(shifted(SEED), "families", &[]);
    let serving = |family| net.peers().filter(|(machine, peer)| Family::of(*machine, both) == family && serves(peer)).count();
    let serving = [Family::Both, Family::V4, Family::V6].map(serving);
    let mut published: BTreeMap<u32, Owner> = BTreeMap::new();
    while (published.len() as u64) < owners {
        let machine = any(&net, &mut draws);
        if Family::of(machine, both) != Family::Both && !published.contains_key(&machine) && net.peer(machine).is_some_and(serves) {
            let owner = Owner::draw(SEED, u64::from(machine))?;
            net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
            published.insert(machine, owner);
        }
    }
    net.run(CARRIED)?;
    let published: Vec<(u32, Owner)> = published.into_iter().collect();
    let first = looked(&mut net, (&published, both), looks, &mut draws)?;
    net.run(LATER)?;
    let later = looked(&mut net, (&published, both), looks, &mut draws)?;
    Ok(Crossed { first: lost(&first), later: lost(&later), serving })
}

fn grown(machines: u32, both: u64, handicap: Option<Handicap>) -> Result<Net, String> {
    let mut net = Net::with(SEED, Terrain::flat(TRIP), move |birth| {
        let entries = if birth.machine == 0 { vec![] } else { Family::Both.addresses(0) };
        member(Peer::new(server_or_seed(birth.machine), birth, &entries), handicap)
    });
    net.swarm.add(machines);
    for machine in 0..machines {
        net.swarm.place(machine, &Family::of(machine, both).addresses(machine)).map_err(failed)?;
    }
    let within = Duration::from_millis(30) * machines;
    net.swarm.join_at(0, net.swarm.now());
    net.swarm.flash_crowd(1..machines, net.swarm.now(), within);
    net.run(within + SETTLE)?;
    Ok(net)
}

/// So many look-ups, each by a machine by chance that has the other family alone.
fn looked(net: &mut Net, (published, both): (&[(u32, Owner)], u64), looks: u64, draws: &mut Draws) -> Result<Vec<LookedUp>, String> {
    let mut all = Vec::new();
    while (all.len() as u64) < looks {
        let mut pairs: BTreeMap<u32, &Owner> = BTreeMap::new();
        let batch = AT_ONCE.min(looks as usize - all.len());
        while pairs.len() < batch {
            let reader = any(net, draws);
            let (machine, owner) = &published[draws.below(published.len() as u64) as usize];
            if Family::of(reader, both).is_apart(Family::of(*machine, both)) {
                pairs.entry(reader).or_insert(owner);
            }
        }
        all.extend(look_up_each_as(net, pairs, Reader::Stranger)?.into_iter().map(|(_, looked)| looked));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn machines_have_blocks_of_their_own_and_three_in_ten_have_both_families() {
        let blocks: BTreeSet<_> = (0..10_000).map(|machine| v6(machine).to_string()).collect();
        assert_eq!(blocks.len(), 10_000);
        let count = |family| (0..10_000).filter(|machine| Family::of(*machine, BOTH) == family).count();
        let counts = [Family::Both, Family::V4, Family::V6].map(count);
        assert!((2_800..3_200).contains(&counts[0]) && (3_300..3_700).contains(&counts[1]), "{counts:?}");
    }
}
