//! `dht-restart`: who comes back where fifteen hostile neighbours answer.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{DhtStanding, Item};
use overcom_simulator::swarm::byzantine::Colludes;
use overcom_simulator::swarm::{Terrain, address};
use overcom_simulator::{Draws, Network};

use super::atlas::{self, Atlas, Place, prefix, restored};
use super::gang::{Denies, hint};
use super::looks::look_up_each;
use super::net::{Member, Net, Owner, TRIP, server};
use super::rows::{HEAD, ROW, TABLE, TWO_HOURS, age};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 25;
const HONEST: u32 = 1_000;
/// Whoever is verified in sixteen groups is hard again by itself.
const GANG: u32 = 15;
/// The one that comes back.
const VICTIM: u32 = HONEST + GANG;
/// Of those whom it knew so many are still there.
const LEFT: usize = 48;
/// The gang is nearer to it than others.
const NEAR: Network = Network { delay_us: 5_000, ..TRIP };
const REACH: &[u8] = b"4gr";
const FLAGS: usize = 4;
const HELD_64: u8 = 1;
const SERVES: u8 = 2;
/// Who does not serve has stored none.
const ADDRESS: Range<usize> = 5..11;

/// Of so many keys those that are not found by a machine which knew nodes of 64 groups, comes back and looks at once, where fifteen of
/// a gang answer it sooner than anybody, each in a group of its own, and lie nearest to the key: they name only each other, and deny.
/// Of those whom it knew 48 are left. With them, of half as many machines behind gateways those that serve after ten seconds, without having been
/// up for ten minutes and dialled back. In the control it does not remember that it knew so many; the lesser of the two.
pub(crate) fn restart(size: Size) -> Result<Measured, String> {
    let keys = size.of(20, 60, 1_000);
    let (unfound, hasty) = (besieged(keys, true)?, hasty(keys / 2, true)?);
    let fewer = keys.min(20) / 2;
    let control = [besieged(fewer, false)?, self::hasty(fewer, false)?];
    Ok(Measured {
        value: (unfound + hasty) as f64,
        unit: "keys, and machines that serve",
        target: 0.0,
        control: control[0].min(control[1]) as f64,
        size: keys,
        seeds: 1,
        detail: format!(
            "{unfound} of {keys} keys not found among {HONEST} machines, {GANG} hostile around each; {hasty} of {} behind gateways serve at \
             once; control: a table that is soft again, {} and {} of {fewer}",
            keys / 2,
            control[0],
            control[1]
        ),
    })
}

const fn is_member(machine: u32) -> bool {
    machine >= HONEST && machine < VICTIM
}

/// How many of so many keys are not found.
fn besieged(keys: u64, remembers: bool) -> Result<u64, String> {
    let mut unfound = 0;
    for key in 0..keys {
        let owner = Owner::draw(SEED, key)?;
        let mut draws = Draws::new(shifted(SEED), "restart", &[key]);
        let atlas = Rc::new(Atlas::new(places(&owner, &mut draws)));
        let mut net = network(&atlas, remembers, false)?;
        let now = net.swarm.now();
        (HONEST..=VICTIM).for_each(|machine| net.swarm.leave_at(machine, now));
        net.run(Duration::from_millis(1))?;
        let publisher = draws.below(u64::from(HONEST)) as u32;
        let at = net.swarm.address(publisher);
        net.ask(publisher, |peer, now| {
            peer.solo.publish(now, owner.credentials.clone());
            peer.solo.set_addresses(now, &[at]);
        })?;
        net.run(Duration::from_secs(20))?;
        let now = net.swarm.now();
        (HONEST..=VICTIM).for_each(|machine| net.swarm.join_at(machine, now));
        net.run(Duration::ZERO)?;
        let looked = look_up_each(&mut net, [(VICTIM, &owner)])?;
        unfound += u64::from(looked.iter().all(|(_, looked)| looked.first.is_none()));
    }
    Ok(unfound)
}

/// How many of so many machines behind gateways serve ten seconds after they came back.
fn hasty(machines: u64, remembers: bool) -> Result<u64, String> {
    let mut serve = 0;
    for machine in 0..machines {
        let mut draws = Draws::new(shifted(SEED), "hasty", &[machine]);
        let atlas = Rc::new(Atlas::new(places(&Owner::draw(SEED, machine)?, &mut draws)));
        let mut net = network(&atlas, remembers, true)?;
        net.ask(VICTIM, |_, _| ())?;
        net.run(Duration::from_secs(10))?;
        let realms = net.peer(VICTIM).map(|peer| peer.solo.view().realms).unwrap_or_default();
        serve += u64::from(realms.iter().any(|realm| realm.address == Some(address(VICTIM)) && realm.standing == DhtStanding::Serving));
    }
    Ok(serve)
}

/// Honest machines, those of the gang, which have drawn addresses until their ids lay nearer to the key than all others, and the one that comes back.
fn places(owner: &Owner, draws: &mut Draws) -> Vec<Place> {
    let mut places: Vec<Place> = (0..HONEST).map(|machine| Place::of(machine, address(machine), machine as u8 & 7)).collect();
    let bits = HONEST.ilog2() + 4;
    let target = hint(&owner.home);
    let mut groups = BTreeSet::new();
    while groups.len() < GANG as usize {
        // Where no other machine is.
        let ip = Ipv4Addr::from_bits(64 << 24 | draws.below(1 << 26) as u32);
        let variant = draws.below(8) as u8;
        let [first, second, third] = prefix(IpAddr::V4(ip), variant);
        let begins = u32::from_be_bytes([first, second, third, 0]);
        if (begins ^ (target >> 32) as u32).leading_zeros() >= bits && groups.insert(ip.to_bits() >> 8) {
            places.push(Place::of(places.len() as u32, SocketAddr::from((ip, 7_575)), variant));
        }
    }
    places.push(Place::of(VICTIM, address(VICTIM), 0));
    places
}

fn network(atlas: &Rc<Atlas>, remembers: bool, is_behind: bool) -> Result<Net, String> {
    let plan = Denies::of(atlas, is_member);
    let shared = Rc::clone(atlas);
    let mut net = atlas::network(atlas, SEED, Terrain::flat(TRIP), move |birth| {
        if birth.machine == VICTIM {
            let items = shared.items(birth.machine, birth.wall, birth.draws, false);
            let mut peer = restored(&besieged_items(items, &shared, remembers, !is_behind), server(), birth);
            peer.is_behind = is_behind;
            return Member::honest(peer);
        }
        let mut peer = shared.peer(server(), birth, true);
        peer.rests = true;
        if is_member(birth.machine) { Member::turned(peer, Colludes::new(Rc::clone(&plan))) } else { Member::honest(peer) }
    })?;
    for member in HONEST..VICTIM {
        net.swarm.set_link(VICTIM, member, NEAR);
        net.swarm.set_link(member, VICTIM, NEAR);
    }
    Ok(net)
}

/// What the machine stored, but that of its table only the gang and few others are left, and no neighbours.
fn besieged_items(items: Vec<Item>, atlas: &Atlas, remembers: bool, served: bool) -> Vec<Item> {
    let gang: Vec<SocketAddr> = (HONEST..VICTIM).filter_map(|member| atlas.place(member)).map(|place| place.at).collect();
    let is_gang = |row: &[u8]| gang.iter().any(|at| matches!(at.ip(), IpAddr::V4(ip) if row.get(8..12) == Some(&ip.octets())));
    let mut kept = Vec::new();
    for mut item in items {
        if item.key == TABLE {
            let rows = item.value.split_off(HEAD);
            let (hostile, others): (Vec<&[u8]>, Vec<&[u8]>) = rows.chunks_exact(ROW).partition(|row| is_gang(row));
            let step = (others.len() / LEFT).max(1);
            // The nearest were stored first.
            let others: Vec<Vec<u8>> = others.into_iter().step_by(step).take(LEFT).map(old).collect();
            let rows: Vec<&[u8]> = hostile.into_iter().chain(others.iter().map(Vec::as_slice)).collect();
            item.value.truncate(2);
            item.value.extend((rows.len() as u16).to_be_bytes());
            item.value.extend(rows.concat());
        } else if item.key == REACH {
            if let Some(flags) = item.value.get_mut(FLAGS) {
                *flags &= if remembers { u8::MAX } else { !HELD_64 } & if served { u8::MAX } else { !SERVES };
            }
            if !served {
                item.value.drain(ADDRESS);
            }
        } else {
            continue;
        }
        kept.push(item);
    }
    kept
}

/// A row of who was heard two hours before: to be asked, not verified.
fn old(row: &[u8]) -> Vec<u8> {
    let mut row = row.to_vec();
    age(&mut row, TWO_HOURS);
    row
}
