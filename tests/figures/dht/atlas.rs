//! Networks in which everybody knows as many others as after days: each machine's table, leaves and place are written as it would
//! have stored them (DHT-63, DHT-116, DHT-130), when it is touched for the first time.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use overcom_core::{Config, Crypto, Item, NodeKey, WallTime};
use overcom_simulator::Draws;
use overcom_simulator::swarm::{Birth, address};

use super::net::{Peer, installation};

/// Buckets of a table; the last one holds all that share more bits.
const BUCKETS: u32 = 32;
/// Places of a bucket, but for the first four of a wide table.
const PLACES: usize = 16;
const WIDE: [usize; 4] = [256, 128, 64, 32];
const LEAVES: usize = 16;
/// Units of the time of a last answer, in milliseconds.
const TICK_MS: u64 = 8_000;
/// Who answered within the hour is verified after a restart.
const SEEN_TICKS: u64 = 450;
/// Of each four nodes of a bucket one was met by a look-up, as the table wants it.
const MET: u8 = 1 << 1;
const VERIFIED: u8 = 1;
/// Known for eight hours.
const OLD: u8 = 3 << 3;

/// A node of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    id: [u8; 32],
    key: [u8; 32],
    pub(crate) at: SocketAddr,
    variant: u8,
}

impl Place {
    /// Of a machine that listens at an IPv4 address.
    pub(crate) fn of(machine: u32, at: SocketAddr, variant: u8) -> Self {
        let crypto = Crypto::ideal();
        let key = installation(machine).key(&crypto);
        Self { id: id(&crypto, &key, at, variant), key: *key.as_bytes(), at, variant }
    }

    /// What nearness is judged by.
    pub(crate) fn hint(&self) -> u64 {
        self.id.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// The id of a node at a global IPv4 address (DHT-4).
fn id(crypto: &Crypto, key: &NodeKey, at: SocketAddr, variant: u8) -> [u8; 32] {
    let mut id = crypto.hash(&[b"overcom/1 id key\0", key.as_bytes(), &masked(ip_of(at)), &[variant]]);
    let prefix = prefix(ip_of(at), variant);
    (id[0], id[1]) = (prefix[0], prefix[1]);
    id[2] = prefix[2] | id[2] & 1;
    id
}

/// The first three bytes of an id but for their last bit, which no key changes.
pub(crate) fn prefix(ip: Ipv4Addr, variant: u8) -> [u8; 3] {
    let [first, second, third, ..] = Crypto::ideal().hash(&[b"overcom/1 id address\0", &masked(ip), &[variant]]);
    [first, second, third & 0xF0 | variant << 1]
}

fn masked(ip: Ipv4Addr) -> [u8; 4] {
    (ip.to_bits() & 0x030F_3FFF).to_be_bytes()
}

fn ip_of(at: SocketAddr) -> Ipv4Addr {
    match at.ip() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

/// Everybody, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Atlas {
    places: Vec<Place>,
    order: Vec<(u64, u32)>,
    /// How many of a bucket everybody knows at most.
    known_max: usize,
}

impl Atlas {
    /// Of machines at the swarm's addresses.
    pub(crate) fn of(machines: u32) -> Self {
        Self::new((0..machines).map(|machine| Place::of(machine, address(machine), machine as u8 & 7)).collect())
    }

    /// Of these, by their numbers.
    pub(crate) fn new(places: Vec<Place>) -> Self {
        let mut order: Vec<(u64, u32)> = (0..).zip(&places).map(|(machine, place)| (place.hint(), machine)).collect();
        order.sort_unstable();
        Self { places, order, known_max: usize::MAX }
    }

    /// In which everybody knows one node of each bucket.
    pub(crate) fn thin(self) -> Self {
        Self { known_max: 1, ..self }
    }

    /// How many machines there are.
    pub(crate) fn len(&self) -> u32 {
        self.places.len() as u32
    }

    /// A machine's; `None` beyond the last.
    pub(crate) fn place(&self, machine: u32) -> Option<&Place> {
        self.places.get(machine as usize)
    }

    /// The nearest of those that pass.
    pub(crate) fn nearest(&self, target: u64, count: usize, passes: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut bits = self.places.len().max(2).ilog2();
        loop {
            let size = u64::MAX.checked_shr(bits).unwrap_or(0);
            let (from, to) = self.range(target & !size, target | size);
            let mut near: Vec<(u64, u32)> = self.order[from..to].iter().filter(|(_, machine)| passes(*machine)).copied().collect();
            if near.len() >= count || bits == 0 {
                near.sort_unstable_by_key(|(hint, _)| hint ^ target);
                return near.into_iter().take(count).map(|(_, machine)| machine).collect();
            }
            bits -= 1;
        }
    }

    /// A machine that begins as if it had been stopped a moment ago.
    pub(crate) fn peer(&self, config: Config, birth: &Birth, is_wide: bool) -> Peer {
        restored(&self.items(birth.machine, birth.wall, birth.draws, is_wide), config, birth)
    }

    /// What a machine would have stored.
    pub(crate) fn items(&self, machine: u32, wall: WallTime, mut draws: Draws, is_wide: bool) -> Vec<Item> {
        let Some(own) = self.place(machine) else { return Vec::new() };
        let item = |key: &[u8], value| Item { key: key.to_vec(), value };
        vec![
            item(b"4gr", self.reach(own)),
            item(b"4gt", self.table(own, wall.as_millis() / TICK_MS, &mut draws, is_wide)),
            item(b"4gl", self.leaves(own)),
        ]
    }

    fn reach(&self, own: &Place) -> Vec<u8> {
        const HELD_64_AND_SERVES: u8 = 3;
        let estimate = ((self.places.len() as f64).log2() * 256.0) as u16;
        let mut out = vec![1, 4, b'g', own.variant, HELD_64_AND_SERVES];
        put_address(&mut out, own.at);
        out.push(16);
        (0..16).for_each(|_| out.extend(estimate.to_be_bytes()));
        out
    }

    fn leaves(&self, own: &Place) -> Vec<u8> {
        let near = self.nearest(own.hint(), LEAVES + 1, |_| true);
        let leaves: Vec<&Place> =
            near.iter().filter_map(|machine| self.place(*machine)).filter(|leaf| leaf.id != own.id).take(LEAVES).collect();
        let mut out = vec![1, leaves.len() as u8];
        for leaf in leaves {
            out.extend(leaf.id);
            out.extend(leaf.key);
            out.extend(ip_of(leaf.at).to_ipv6_mapped().octets());
            out.extend(leaf.at.port().to_be_bytes());
        }
        out
    }

    fn table(&self, own: &Place, now: u64, draws: &mut Draws, is_wide: bool) -> Vec<u8> {
        let mut out = vec![1, 4, 0, 0];
        let mut count: u16 = 0;
        for bucket in (0..BUCKETS).rev() {
            let places = if is_wide { WIDE.get(bucket as usize).copied().unwrap_or(PLACES) } else { PLACES };
            for (index, machine) in self.bucket(own.hint(), bucket, places.min(self.known_max), draws).into_iter().enumerate() {
                let Some(place) = self.place(machine).filter(|place| place.id != own.id) else { continue };
                out.extend(place.hint().to_be_bytes());
                put_address(&mut out, place.at);
                out.extend(((now - draws.below(SEEN_TICKS)) as u32).to_be_bytes());
                out.push(VERIFIED | OLD | if index % 4 == 0 { MET } else { 0 });
                count += 1;
            }
        }
        out[2..4].copy_from_slice(&count.to_be_bytes());
        out
    }

    /// As many by chance as have a place, of those that share exactly so many bits with a hint, in the last bucket at least.
    fn bucket(&self, own: u64, bucket: u32, places: usize, draws: &mut Draws) -> Vec<u32> {
        let (first, size) = if bucket == BUCKETS - 1 {
            (own & !(u64::MAX >> bucket), u64::MAX >> bucket)
        } else {
            let bit = 1 << (63 - bucket);
            ((own ^ bit) & !(bit - 1), bit - 1)
        };
        let (from, to) = self.range(first, first | size);
        let all = &self.order[from..to];
        if all.len() <= places {
            return all.iter().map(|(_, machine)| *machine).collect();
        }
        let mut drawn = Vec::with_capacity(places);
        while drawn.len() < places {
            let index = draws.below(all.len() as u64) as usize;
            if let Err(at) = drawn.binary_search(&index) {
                drawn.insert(at, index);
            }
        }
        drawn.into_iter().map(|index| all[index].1).collect()
    }

    /// Where hints from the one to the other stand.
    fn range(&self, first: u64, last: u64) -> (usize, usize) {
        (self.order.partition_point(|(hint, _)| *hint < first), self.order.partition_point(|(hint, _)| *hint <= last))
    }
}

/// A machine that begins with what was stored.
pub(crate) fn restored(items: &[Item], config: Config, birth: &Birth) -> Peer {
    let mut peer = Peer::new(config, birth, &[]);
    // Here and in core the same formats are written down; a test compares them.
    assert_eq!(peer.solo.restore(items), 0, "items are refused");
    peer
}

fn put_address(out: &mut Vec<u8>, at: SocketAddr) {
    out.extend(ip_of(at).octets());
    out.extend(at.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use overcom_simulator::Network;
    use overcom_simulator::swarm::{Swarm, Terrain};

    use super::super::net::{Member, Net, server, serves};
    use super::*;

    #[test]
    fn a_machine_of_an_atlas_serves_at_once_with_a_full_table_and_answers_for_the_id_that_the_atlas_says() {
        let atlas = Rc::new(Atlas::of(10_000));
        let shared = Rc::clone(&atlas);
        let mut swarm = Swarm::new(1, Terrain::flat(Network::default()), move |birth| Member::honest(shared.peer(server(), birth, true)));
        swarm.start_when_touched(10_000);
        let mut net = Net::of(swarm);
        let (key, is_serving, nodes) = net
            .ask(7, |peer, _| (peer.solo.node_key(), serves(peer), peer.solo.view().realms.iter().map(|realm| realm.nodes).sum::<u64>()))
            .expect("it is up");
        assert_eq!(Some(key.as_bytes()), atlas.place(7).map(|place| &place.key));
        assert!(is_serving && nodes > 500, "{is_serving} {nodes}");
    }

    #[test]
    fn the_nearest_are_those_that_a_look_at_everybody_finds() {
        let atlas = Atlas::of(500);
        for target in [0, 1 << 63, 0x1234_5678_9ABC_DEF0, u64::MAX] {
            let mut all: Vec<u32> = (0..500).filter(|machine| machine % 3 == 0).collect();
            all.sort_unstable_by_key(|machine| atlas.place(*machine).map(|place| place.hint() ^ target));
            assert_eq!(atlas.nearest(target, 9, |machine| machine % 3 == 0), all[..9]);
        }
    }
}
