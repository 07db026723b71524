//! Networks in which everybody knows as many others as after days: each machine's table, leaves and place are written as it would
//! have stored them (DHT-63, DHT-116, DHT-130), when it is touched for the first time.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use overcom_core::{Config, Crypto, Item, NodeKey, WallTime};
use overcom_simulator::Draws;
use overcom_simulator::swarm::{Birth, Swarm, Terrain, address};

use super::net::{Member, Net, Peer, failed, installation};
use crate::seeds::shifted;

/// Buckets of a table; the last one holds all that share more bits.
const BUCKETS: u32 = 32;
/// Places of a bucket, and in a wide table of the first three and of the others.
const PLACES: usize = 16;
const WIDE_FIRST: [usize; 3] = [256, 128, 64];
const WIDE: usize = 32;
const LEAVES: usize = 16;
/// Units of the time of a last answer, in milliseconds.
const TICK_MS: u64 = 8_000;
/// Who answered within the hour is verified after a restart, and named.
const SEEN_TICKS: u64 = 450;
/// Of each four nodes of a bucket one was met by a look-up, as the table wants it.
const MET: u8 = 1 << 1;
const VERIFIED: u8 = 1;
/// For each two places of a bucket so many were met by who knows who is near: those that came first have the first half of the places,
/// the nearest of the others the second (DHT-56). Six look-ups a day in each far bucket (DHT-137) show it some twenty nodes each: as
/// many in a day in the widest bucket, and in hours in one of sixteen or 32 places.
const MET_OF_TWO: usize = 3;
/// Known for eight hours.
const OLD: u8 = 3 << 3;
const TRIP_SHIFT: u32 = 5;

/// A node of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    id: [u8; 32],
    key: [u8; 32],
    pub(crate) at: SocketAddr,
    variant: u8,
}

impl Place {
    /// Of a machine that listens at a global address.
    pub(crate) fn of(machine: u32, at: SocketAddr, variant: u8) -> Self {
        let crypto = Crypto::ideal();
        let key = installation(machine).key(&crypto);
        Self { id: id(&crypto, &key, at, variant), key: *key.as_bytes(), at, variant }
    }

    const fn family(&self) -> u8 {
        if self.at.is_ipv4() { 4 } else { 6 }
    }

    pub(crate) const fn id(&self) -> &[u8; 32] {
        &self.id
    }

    /// What nearness is judged by.
    pub(crate) fn hint(&self) -> u64 {
        self.id.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// How many places a bucket has (DHT-52).
pub(super) fn places(bucket: u32, is_wide: bool) -> usize {
    if is_wide { WIDE_FIRST.get(bucket as usize).copied().unwrap_or(WIDE) } else { PLACES }
}

/// The id of a node at a global address (DHT-4).
fn id(crypto: &Crypto, key: &NodeKey, at: SocketAddr, variant: u8) -> [u8; 32] {
    let mut id = crypto.hash(&[b"overcom/1 id key\0", key.as_bytes(), &masked(at.ip()), &[variant]]);
    let prefix = prefix(at.ip(), variant);
    (id[0], id[1]) = (prefix[0], prefix[1]);
    id[2] = prefix[2] | id[2] & 1;
    id
}

/// The first three bytes of an id but for their last bit, which no key changes.
pub(crate) fn prefix(ip: IpAddr, variant: u8) -> [u8; 3] {
    let [first, second, third, ..] = Crypto::ideal().hash(&[b"overcom/1 id address\0", &masked(ip), &[variant]]);
    [first, second, third & 0xF0 | variant << 1]
}

fn masked(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => (ip.to_bits() & 0x030F_3FFF).to_be_bytes().to_vec(),
        IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64 & 0x0103_070F_1F3F_7FFF).to_be_bytes().to_vec(),
    }
}

/// Everybody, in the order of their ids; all have addresses of one family.
#[derive(Debug)]
pub(crate) struct Atlas {
    places: Vec<Place>,
    order: Vec<(u64, u32)>,
    /// How many of a bucket everybody knows at most.
    known_max: usize,
    /// Where everybody is, if that has its part in whom they know.
    terrain: Option<Terrain>,
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
        Self { places, order, known_max: usize::MAX, terrain: None }
    }

    /// In which everybody knows one node of each bucket.
    pub(crate) fn thin(self) -> Self {
        Self { known_max: 1, ..self }
    }

    /// In which everybody has found out who is near (DHT-56).
    pub(crate) fn near(self, terrain: Terrain) -> Self {
        Self { terrain: Some(terrain), ..self }
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

    /// The same, which does nothing but answer, and what it is asked for.
    pub(crate) fn still(&self, config: Config, birth: &Birth, is_wide: bool) -> Peer {
        let mut peer = self.peer(config, birth, is_wide);
        (peer.rests, peer.is_still) = (true, true);
        peer
    }

    /// What a machine would have stored.
    pub(crate) fn items(&self, machine: u32, wall: WallTime, mut draws: Draws, is_wide: bool) -> Vec<Item> {
        let Some(own) = self.place(machine) else { return Vec::new() };
        let item = |part, value| Item { key: vec![b'0' + own.family(), b'g', part], value };
        vec![
            item(b'r', self.reach(own)),
            item(b't', self.table(machine, own, wall.as_millis() / TICK_MS, &mut draws, is_wide)),
            item(b'l', self.leaves(own)),
        ]
    }

    fn reach(&self, own: &Place) -> Vec<u8> {
        const HELD_64_AND_SERVES: u8 = 3;
        let estimate = ((self.places.len() as f64).log2() * 256.0) as u16;
        let mut out = vec![1, own.family(), b'g', own.variant, HELD_64_AND_SERVES];
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
            out.extend(match leaf.at.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            });
            out.extend(leaf.at.port().to_be_bytes());
        }
        out
    }

    fn table(&self, own_number: u32, own: &Place, now: u64, draws: &mut Draws, is_wide: bool) -> Vec<u8> {
        let mut out = vec![1, own.family(), 0, 0];
        let mut count: u16 = 0;
        let seen = if self.terrain.is_some() { SEEN_TICKS / 2 } else { SEEN_TICKS };
        for bucket in (0..BUCKETS).rev() {
            let known = self.bucket((own_number, own), bucket, places(bucket, is_wide).min(self.known_max), draws);
            for (index, machine) in known.into_iter().enumerate() {
                let Some(place) = self.place(machine).filter(|place| place.id != own.id) else { continue };
                out.extend(place.hint().to_be_bytes());
                put_address(&mut out, place.at);
                out.extend(((now - draws.below(seen)) as u32).to_be_bytes());
                let trip = self.terrain.as_ref().map_or(0, |terrain| coarse(2 * terrain.delay(own_number, machine)));
                out.push(VERIFIED | OLD | trip << TRIP_SHIFT | if index % 4 == 0 { MET } else { 0 });
                count += 1;
            }
        }
        out[2..4].copy_from_slice(&count.to_be_bytes());
        out
    }

    /// As many by chance as have a place, of those that share exactly so many bits with a hint, in the last bucket at least;
    /// those who are there because they are near first, since what is stored first is put in last.
    fn bucket(&self, (machine, own): (u32, &Place), bucket: u32, places: usize, draws: &mut Draws) -> Vec<u32> {
        let own = own.hint();
        let (first, size) = if bucket == BUCKETS - 1 {
            (own & !(u64::MAX >> bucket), u64::MAX >> bucket)
        } else {
            let bit = 1 << (63 - bucket);
            ((own ^ bit) & !(bit - 1), bit - 1)
        };
        let (from, to) = self.range(first, first | size);
        let all = &self.order[from..to];
        let numbers = |drawn: Vec<usize>| drawn.into_iter().map(|index| all[index].1).collect();
        if all.len() <= places {
            return numbers((0..all.len()).collect());
        }
        let Some(terrain) = &self.terrain else { return numbers(drawn(all.len(), places, draws)) };
        let mut met: Vec<u32> = numbers(drawn(all.len(), MET_OF_TWO * places / 2, draws));
        met.sort_by_cached_key(|_| draws.u64());
        let mut later = met.split_off(places - places / 2);
        later.sort_by_cached_key(|other| terrain.delay(machine, *other));
        later.truncate(places / 2);
        later.extend(met);
        later
    }

    /// Where hints from the one to the other stand.
    fn range(&self, first: u64, last: u64) -> (usize, usize) {
        (self.order.partition_point(|(hint, _)| *hint < first), self.order.partition_point(|(hint, _)| *hint <= last))
    }
}

/// So many different numbers below another, or all of them, in their order.
fn drawn(below: usize, count: usize, draws: &mut Draws) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(count);
    while drawn.len() < count.min(below) {
        let index = draws.below(below as u64) as usize;
        if let Err(at) = drawn.binary_search(&index) {
            drawn.insert(at, index);
        }
    }
    drawn
}

/// Which of the seven round trips that are stored is nearest: from 20 ms on, each 2^(5/8) times as long as the one before (DHT-63).
fn coarse(trip: Duration) -> u8 {
    let steps = (trip.as_secs_f64() / 0.02).max(1.0).log2() * 8.0 / 5.0;
    1 + (steps.round() as u8).min(6)
}

/// A network in which a machine is only made when it is touched.
pub(crate) fn network(atlas: &Atlas, seed: u64, terrain: Terrain, make: impl Fn(&Birth) -> Member + 'static) -> Result<Net, String> {
    let mut swarm = Swarm::new(shifted(seed), terrain, make);
    swarm.start_when_touched(atlas.len());
    for machine in 0..atlas.len() {
        if let Some(place) = atlas.place(machine).filter(|place| place.at != address(machine)) {
            swarm.place(machine, &[place.at]).map_err(failed)?;
        }
    }
    Ok(Net::of(swarm))
}

/// A machine that begins with what was stored.
pub(crate) fn restored(items: &[Item], config: Config, birth: &Birth) -> Peer {
    let mut peer = Peer::new(config, birth, &[]);
    // Here and in core the same formats are written down; a test compares them.
    assert_eq!(peer.solo.restore(items), 0, "items are refused");
    peer
}

fn put_address(out: &mut Vec<u8>, at: SocketAddr) {
    match at.ip() {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
    out.extend(at.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use std::collections::BTreeMap;

    use overcom_simulator::Network;

    use super::super::families::v6;
    use super::super::net::{HOUR, SETTLE, server, server_or_seed, serves};
    use super::super::survey::world;
    use super::*;

    /// How far the nodes in the second half of full buckets are from a machine, and those in the first, in a stored table that is
    /// not wide.
    fn halves(machine: u32, own: &Place, items: &[Item], machines: &BTreeMap<SocketAddr, u32>) -> [f64; 2] {
        let mut buckets: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        let table = items.iter().find(|item| item.key == b"4gt").map_or(&[][..], |item| &item.value[4..]);
        for row in table.chunks_exact(19) {
            let hint = row.first_chunk().map_or(0, |hint| u64::from_be_bytes(*hint));
            let ip: [u8; 4] = *row[8..].first_chunk().expect("an address");
            let delay = world().delay(machine, machines[&SocketAddr::from((ip, 7_575))]);
            buckets.entry((hint ^ own.hint()).leading_zeros()).or_default().push(delay.as_secs_f64());
        }
        // What has the last place was stored first.
        let full = buckets.values().filter(|known| known.len() == PLACES);
        full.fold([0.0; 2], |[near, far], known| {
            let (second, first) = known.split_at(PLACES / 2);
            [near + second.iter().sum::<f64>(), far + first.iter().sum::<f64>()]
        })
    }

    #[test]
    fn nobody_is_nearer_in_an_atlas_than_in_tables_that_grew_by_the_wire_for_some_hours() {
        const MACHINES: u32 = 200;
        let at: BTreeMap<SocketAddr, u32> = (0..MACHINES).map(|machine| (address(machine), machine)).collect();
        let mut net = Net::new(3, world(), |machine| server_or_seed(machine).dht_wide(0), None);
        net.grow(MACHINES, Duration::from_secs(6), SETTLE + 3 * HOUR).expect("it grows");
        let atlas = Atlas::of(MACHINES).near(world());
        let (mut grown, mut stored) = ([0.0; 2], [0.0; 2]);
        for machine in 0..MACHINES {
            let items = net.ask(machine, |peer, _| peer.solo.save()).expect("it is up");
            let variant = items.iter().find(|item| item.key == b"4gr").map_or(0, |item| item.value[3]);
            let own = Place::of(machine, address(machine), variant);
            let [near, far] = halves(machine, &own, &items, &at);
            grown = [grown[0] + near, grown[1] + far];
            let draws = Draws::new(1, "machine", &[u64::from(machine)]);
            let items = atlas.items(machine, WallTime::from_millis(1 << 40), draws, false);
            let [near, far] = halves(machine, atlas.place(machine).expect("it is there"), &items, &at);
            stored = [stored[0] + near, stored[1] + far];
        }
        let (grown, stored) = (grown[0] / grown[1], stored[0] / stored[1]);
        assert!(grown <= stored && stored < 0.9, "{grown} {stored}");
    }

    #[test]
    fn a_machine_of_an_atlas_serves_at_once_with_a_full_table_and_answers_for_the_id_that_the_atlas_says() {
        let of_v6 = |machine| Place::of(machine, v6(machine), machine as u8 & 7);
        for atlas in [Atlas::of(10_000), Atlas::new((0..3_000).map(of_v6).collect())] {
            let atlas = Rc::new(atlas);
            let shared = Rc::clone(&atlas);
            let make = move |birth: &Birth| Member::honest(shared.peer(server(), birth, true));
            let mut net = network(&atlas, 1, Terrain::flat(Network::default()), make).expect("they are placed");
            let (key, is_serving, nodes) = net
                .ask(7, |peer, _| {
                    (peer.solo.node_key(), serves(peer), peer.solo.view().realms.iter().map(|realm| realm.nodes).sum::<u64>())
                })
                .expect("it is up");
            assert_eq!(Some(key.as_bytes()), atlas.place(7).map(|place| &place.key));
            assert!(is_serving && nodes > 500, "{is_serving} {nodes}");
        }
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
