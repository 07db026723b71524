//! Where the machines of a swarm are: addresses and distances that follow from a machine's number, so that nothing is kept
//! for a machine or a pair of them.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use crate::draw::Draws;
use crate::network::Network;

/// The port of every machine: Overcom's own.
const PORT: u16 = 7575;
/// Addresses lie in 16.0.0.0/4: public ones, none of a special purpose.
const BASE: u32 = 16 << 24;
const BITS: u32 = 28;
const MASK: u32 = (1 << BITS) - 1;
/// Odd and near the golden ratio of 2²⁸: neighbours by number are far apart by address, and of any run of numbers hardly
/// two share a /24.
const SPREAD: u32 = 0x09E3_779B;
const GATHER: u32 = inverse(SPREAD);

/// Machines that a swarm can hold: so many addresses there are, 268,435,456.
pub const MACHINES_MAX: u32 = 1 << BITS;

/// The inverse of an odd number modulo 2³², by Newton's rule: each step doubles the bits that are right, three at first.
const fn inverse(odd: u32) -> u32 {
    let mut x = odd;
    let mut step = 0;
    while step < 4 {
        x = x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x)));
        step += 1;
    }
    x
}

/// The address of a machine of a swarm: global, and without a neighbour in its /24 as long as there are fewer than a million.
/// Numbers from [`MACHINES_MAX`] on share theirs with smaller ones.
pub const fn address(machine: u32) -> SocketAddr {
    let ip = BASE | (machine.wrapping_mul(SPREAD) & MASK);
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from_bits(ip), PORT))
}

/// The machine that [`address`] gives this address; there need not be one in the swarm.
pub(crate) const fn machine_at(address: SocketAddr) -> Option<u32> {
    let SocketAddr::V4(v4) = address else { return None };
    let is_ours = v4.port() == PORT && v4.ip().to_bits() >> BITS == BASE >> BITS;
    if is_ours { Some((v4.ip().to_bits() & MASK).wrapping_mul(GATHER) & MASK) } else { None }
}

/// One part of the world in `world`: how many of 256 machines are there, and how far it is from there to each part, in
/// milliseconds, one way.
struct Part {
    share: u8,
    delay_ms: [u16; 5],
}

/// North America, Europe, Asia's east, Asia's south, the rest. A guess: half of the round trips between data centres of
/// large clouds as their owners publish them, rounded; shares about as people who are online.
const WORLD: [Part; 5] = [
    Part { share: 36, delay_ms: [20, 45, 75, 110, 75] },
    Part { share: 44, delay_ms: [45, 12, 110, 65, 90] },
    Part { share: 76, delay_ms: [75, 110, 25, 50, 120] },
    Part { share: 52, delay_ms: [110, 65, 50, 20, 120] },
    Part { share: 48, delay_ms: [75, 90, 120, 120, 35] },
];

/// How datagrams travel between the machines of a swarm: a function of the two, never a table of pairs.
#[derive(Clone, Debug)]
pub struct Terrain {
    standard: Network,
    /// Parts of the world; a machine lies in the first whose bound is greater than a byte that is drawn for it.
    bounds: Vec<u16>,
    /// Microseconds from part to part, beside the standard.
    delays_us: Vec<u64>,
    /// Every machine's own way to the network: up to so many microseconds more, at both ends.
    access_us: u64,
    places: Draws,
}

impl Terrain {
    /// All machines are alike far from each other.
    pub fn flat(network: Network) -> Self {
        Self { standard: network, bounds: Vec::new(), delays_us: Vec::new(), access_us: 0, places: Draws::new(0, "place", &[]) }
    }

    /// Five parts of the world, 12 to 120 ms apart, and up to 15 ms more at each end, always the same for a machine. What
    /// else happens to a datagram says `network`, whose delay comes on top.
    pub fn world(seed: u64, network: Network) -> Self {
        let mut bound = 0;
        let bounds = WORLD.iter().map(|part| {
            bound += u16::from(part.share);
            bound
        });
        Self {
            standard: network,
            bounds: bounds.collect(),
            delays_us: WORLD.iter().flat_map(|part| part.delay_ms).map(|ms| u64::from(ms) * 1_000).collect(),
            access_us: 15_000,
            places: Draws::new(seed, "place", &[]),
        }
    }

    /// The part of the world in which a machine lies: 0 to 4, or 0 where there are no parts.
    pub fn part(&self, machine: u32) -> u8 {
        if self.bounds.is_empty() {
            return 0;
        }
        let drawn = self.place(machine) >> 56;
        self.bounds.iter().position(|bound| drawn < u64::from(*bound)).map_or(0, |part| part as u8)
    }

    /// What one direction of the way between two machines does to what travels on it.
    pub fn network(&self, from: u32, to: u32) -> Network {
        let mut network = self.standard;
        if !self.bounds.is_empty() {
            let place = usize::from(self.part(from)) * self.bounds.len() + usize::from(self.part(to));
            let between = self.delays_us.get(place).copied().unwrap_or(0);
            network.delay_us = network.delay_us.saturating_add(between + self.access(from) + self.access(to));
        }
        network
    }

    /// How long a crossing takes without jitter.
    pub fn delay(&self, from: u32, to: u32) -> Duration {
        Duration::from_micros(self.network(from, to).delay_us)
    }

    fn access(&self, machine: u32) -> u64 {
        ((self.place(machine) & 0xFFFF_FFFF) * self.access_us) >> 32
    }

    fn place(&self, machine: u32) -> u64 {
        self.places.of(&[u64::from(machine)]).u64()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_address_leads_back_to_its_machine_and_no_other_address_does() {
        let numbers = (0..100_000).chain([MACHINES_MAX - 1, MACHINES_MAX / 2, 12_345_678]);
        for machine in numbers {
            assert_eq!(machine_at(address(machine)), Some(machine));
        }
        for other in ["16.0.0.0:1", "15.255.255.255:7575", "32.0.0.0:7575", "[::1]:7575", "127.0.0.1:7575"] {
            assert_eq!(machine_at(other.parse().expect("an address")), None, "{other}");
        }
        assert_eq!(
            [address(0), address(1), address(2)].map(|address| address.to_string()),
            ["16.0.0.0:7575", "25.227.119.155:7575", "19.198.239.54:7575"]
        );
    }

    #[test]
    fn hardly_two_of_a_hundred_thousand_share_a_24() {
        let groups: BTreeSet<u32> = (0..100_000_u32).map(|machine| (BASE | machine.wrapping_mul(SPREAD) & MASK) >> 8).collect();
        assert!(groups.len() > 99_000, "{}", groups.len());
    }

    #[test]
    fn a_way_is_as_long_in_both_directions_and_every_part_is_as_large_as_it_should_be() {
        let terrain = Terrain::world(3, Network { delay_us: 1_000, ..Network::default() });
        let mut parts = [0_u32; 5];
        for machine in 0..25_600 {
            let other = machine * 7 + 1;
            assert_eq!(terrain.delay(machine, other), terrain.delay(other, machine));
            assert!((13..=151).contains(&terrain.delay(machine, other).as_millis()), "{machine}");
            parts[usize::from(terrain.part(machine))] += 1;
        }
        for (part, counted) in WORLD.iter().zip(parts) {
            let expected = u32::from(part.share) * 100;
            assert!(counted.abs_diff(expected) < expected / 10, "{counted} of {expected}");
        }
        assert_eq!(WORLD.iter().map(|part| u32::from(part.share)).sum::<u32>(), 256);
    }

    /// If this fails, distances are no longer those of earlier builds, and so no run is.
    #[test]
    fn distances_are_those_of_every_build() {
        let terrain = Terrain::world(7, Network::default());
        let delays: Vec<u64> = [(0, 1), (1, 2), (2, 3), (17, 999_999)].map(|(a, b)| terrain.network(a, b).delay_us).into();
        assert_eq!(delays, [58_707, 149_798, 81_816, 80_795]);
        assert_eq!(Terrain::flat(Network::default()).delay(5, 6), Duration::from_millis(20));
    }
}
