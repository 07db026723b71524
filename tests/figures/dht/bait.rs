//! A gang that is nearer to everybody than anybody else, and so has the places of tables that go to who is near.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::Item;
use overcom_simulator::swarm::Terrain;
use overcom_simulator::swarm::byzantine::Colludes;
use overcom_simulator::{Draws, Network};

use super::atlas::{self, Atlas, Place, restored};
use super::attack::{honest, publish};
use super::gang::Denies;
use super::looks::{look_up_each, lost};
use super::net::{Member, Owner, TRIP, server};
use super::rows::{COUNT, HEAD, HINT, ROW, SEEN, TABLE};
use crate::seeds::shifted;

const SEED: u64 = 26;
/// Each of these has asked those whom it knows, and knows how long that takes.
const READERS: usize = 20;
const ASKED: Duration = Duration::from_secs(600);
/// A millisecond there and back, whoever asks.
const NEAR: Network = Network { delay_us: 450, jitter_us: 100, ..TRIP };
/// Draws for a place, of which some meet the same member.
const DRAWS: usize = 3;

/// Which places of a full bucket are the gang's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Won {
    /// Those that are not fair. Of the others it has its share of all machines: of the fair places of a table that lasts for
    /// hours, among nodes that come and go, a gang that stays had no larger one than of who was there.
    Half,
    All,
}

/// The share of so many look-ups that finds nothing where the gang has a part of all full buckets, as if everybody had met all of it.
pub(super) fn baited(atlas: &Rc<Atlas>, looks: u64, is_member: fn(u32) -> bool, won: Won) -> Result<f64, String> {
    let plan = Denies::of(atlas, is_member);
    let mut draws = Draws::new(shifted(SEED), "bait", &[]);
    let honest = honest(atlas.len(), is_member);
    let mut readers = BTreeSet::new();
    while readers.len() < READERS {
        readers.insert(honest(&mut draws));
    }
    let (shared, live) = (Rc::clone(atlas), readers.clone());
    let mut net = atlas::network(atlas, SEED, Terrain::flat(TRIP), move |birth| {
        let items = shared.items(birth.machine, birth.wall, birth.draws, true);
        let items = items.into_iter().map(|item| taken(item, &shared, birth.machine, is_member, won)).collect::<Vec<_>>();
        let mut peer = restored(&items, server(), birth);
        peer.rests = !live.contains(&birth.machine);
        if is_member(birth.machine) { Member::turned(peer, Colludes::new(Rc::clone(&plan))) } else { Member::honest(peer) }
    })?;
    for member in (0..atlas.len()).filter(|machine| is_member(*machine)) {
        for reader in &readers {
            net.swarm.set_link(*reader, member, NEAR);
            net.swarm.set_link(member, *reader, NEAR);
        }
    }
    let owners: Vec<Owner> = publish(&mut net, 20, &mut draws, honest)?.into_iter().map(|(_, owner)| owner).collect();
    for reader in &readers {
        net.ask(*reader, |_, _| ())?;
    }
    net.run(ASKED)?;
    let mut all = Vec::new();
    while (all.len() as u64) < looks {
        let pairs: Vec<(u32, &Owner)> =
            readers.iter().map(|reader| (*reader, &owners[draws.below(owners.len() as u64) as usize])).collect();
        all.extend(look_up_each(&mut net, pairs)?.into_iter().map(|(_, looked)| looked));
    }
    Ok(lost(&all))
}

/// A stored table in which the gang has won its places of each full bucket; what is stored first comes into the second half.
fn taken(mut item: Item, atlas: &Atlas, machine: u32, is_member: fn(u32) -> bool, won: Won) -> Item {
    let Some(own) = atlas.place(machine).filter(|_| item.key == TABLE) else { return item };
    let own = own.hint();
    let rows = item.value.split_off(HEAD);
    let mut buckets: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for row in rows.chunks_exact(ROW) {
        let hint = row.first_chunk().map_or(0, |hint| u64::from_be_bytes(*hint));
        buckets.entry((hint ^ own).leading_zeros()).or_default().push(row.to_vec());
    }
    let mut count = 0_u16;
    // Nearest buckets first.
    for (bucket, mut rows) in buckets.into_iter().rev() {
        // In a full one the second half goes to who is near (DHT-56).
        if rows.len() >= atlas::places(bucket, true) {
            let mut draws = Draws::new(shifted(SEED), "bucket", &[own, u64::from(bucket)]);
            rows.sort_by_cached_key(|_| draws.u64());
            let places = if won == Won::All { rows.len() } else { rows.len() / 2 };
            let kept = rows.split_off(places);
            let gang: BTreeSet<u32> = (0..DRAWS * places).filter_map(|_| met(atlas, own, bucket, is_member, draws.u64())).collect();
            let mut won_by: Vec<Vec<u8>> =
                gang.into_iter().filter_map(|member| atlas.place(member)).map(|place| row_of(place, &rows[0])).collect();
            won_by.retain(|row| !is_among(&kept, row));
            if won == Won::Half {
                // Where the gang is too small for half of a bucket, others keep their places.
                rows.retain(|row| !is_among(&won_by, row));
                won_by.append(&mut rows);
            }
            won_by.truncate(places);
            rows = [won_by, kept].concat();
        }
        count += rows.len() as u16;
        item.value.extend(rows.concat());
    }
    item.value.splice(COUNT, count.to_be_bytes());
    item
}

/// The member nearest to a point by chance in a bucket, if it lies there too.
fn met(atlas: &Atlas, own: u64, bucket: u32, is_member: fn(u32) -> bool, chance: u64) -> Option<u32> {
    let point = own ^ (1 << (63 - bucket)) ^ (chance >> (bucket + 1));
    let near = atlas.nearest(point, 1, is_member).first().copied()?;
    atlas.place(near).filter(|place| (place.hint() ^ own).leading_zeros() == bucket).map(|_| near)
}

/// Whether a row is there of the same hint.
fn is_among(rows: &[Vec<u8>], row: &[u8]) -> bool {
    rows.iter().any(|other| other[..HINT] == row[..HINT])
}

/// A row of a place, with the rest of another's.
fn row_of(place: &Place, other: &[u8]) -> Vec<u8> {
    let ip = match place.at.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    [place.hint().to_be_bytes().to_vec(), ip, place.at.port().to_be_bytes().to_vec(), other[SEEN.start..].to_vec()].concat()
}
