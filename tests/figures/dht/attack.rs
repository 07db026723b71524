//! `dht-colluders`, `dht-eclipse` and `dht-rollback`: look-ups among machines that work together against them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use overcom_simulator::Draws;
use overcom_simulator::swarm::byzantine::Colludes;
use overcom_simulator::swarm::{Terrain, address};

use super::atlas::{self, Atlas, Place, prefix};
use super::bait::{Won, baited};
use super::families::v6;
use super::gang::{Denies, Rewinds, hint};
use super::looks::{look_up_each, look_up_from, lost, mean};
use super::net::{Member, Net, Owner, TRIP, server};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 13;
/// Owners for whom others look.
const OWNERS: u64 = 200;

/// Who of a network is in the gang.
type IsMember = fn(u32) -> bool;

/// So many thousandths are members, by chance.
fn drawn<const THOUSANDTHS: u32>(machine: u32) -> bool {
    Draws::new(shifted(SEED), "gang", &[u64::from(machine)]).chance(THOUSANDTHS * 1_000)
}

/// A network in which everybody knows as many others as after days, and does nothing but answer, and what it is asked for.
/// Members of the gang have the vice that `turn` gives them.
pub(super) fn network(atlas: &Rc<Atlas>, turn: impl Fn(u32, super::net::Peer) -> Member + 'static) -> Result<Net, String> {
    let shared = Rc::clone(atlas);
    atlas::network(atlas, SEED, Terrain::flat(TRIP), move |birth| {
        let mut peer = shared.peer(server(), birth, true);
        peer.rests = true;
        turn(birth.machine, peer)
    })
}

/// A network with a gang that denies.
fn denied(atlas: &Rc<Atlas>, is_member: IsMember) -> Result<Net, String> {
    let plan = Denies::of(atlas, is_member);
    network(
        atlas,
        move |machine, peer| {
            if is_member(machine) { Member::turned(peer, Colludes::new(Rc::clone(&plan))) } else { Member::honest(peer) }
        },
    )
}

/// Devices published by honest machines, who then rest.
pub(super) fn publish(net: &mut Net, count: u64, draws: &mut Draws, pick: impl Fn(&mut Draws) -> u32) -> Result<Vec<(u32, Owner)>, String> {
    let (mut owners, mut machines) = (Vec::new(), BTreeSet::new());
    while (owners.len() as u64) < count {
        let machine = pick(draws);
        if machines.insert(machine) {
            let owner = Owner::draw(SEED, owners.len() as u64)?;
            announce(net, machine, &owner, 7_575)?;
            owners.push((machine, owner));
        }
    }
    net.run(Duration::from_secs(20))?;
    for machine in machines {
        net.looked_up(machine)?;
    }
    Ok(owners)
}

/// Publishes a device at a port of its machine.
fn announce(net: &mut Net, machine: u32, owner: &Owner, port: u16) -> Result<(), String> {
    let at = SocketAddr::new(net.swarm.address(machine).ip(), port);
    net.ask(machine, |peer, now| {
        if port == 7_575 {
            peer.solo.publish(now, owner.credentials.clone());
        }
        peer.solo.set_addresses(now, &[at]);
    })
}

/// A machine by chance that is not in the gang.
pub(super) fn honest(machines: u32, is_member: IsMember) -> impl Fn(&mut Draws) -> u32 {
    move |draws| loop {
        let machine = draws.below(u64::from(machines)) as u32;
        if !is_member(machine) {
            return machine;
        }
    }
}

/// Look-ups that find nothing where one machine in five, and where one in two, names only others of its kind and hides what
/// it keeps, over one in 1,000 and over 34 in 1,000; and where these are a millisecond from everybody and so have half of the places of
/// every full bucket, beside their share of the other half, over two in 1,000 more: the worst. Everybody knows as many as after days; who neither looks nor publishes only answers.
/// In the control such as are near may have all places, one machine in two.
pub(crate) fn colluders(size: Size) -> Result<Measured, String> {
    let (machines, looks) = (size.of(1_000, 10_000, 100_000) as u32, size.of(200, 2_000, 20_000));
    let atlas = Rc::new(Atlas::of(machines));
    let fifth = colluded(&atlas, looks, drawn::<200>)?;
    let half = colluded(&atlas, looks, drawn::<500>)?;
    let near_fifth = baited(&atlas, looks, drawn::<200>, Won::Half)?;
    let near_half = baited(&atlas, looks, drawn::<500>, Won::Half)?;
    let control = baited(&Rc::new(Atlas::of(machines.min(2_000))), 200, drawn::<500>, Won::All)?;
    Ok(Measured {
        value: [fifth / 0.001, half / 0.034, near_fifth / 0.003, near_half / 0.036].into_iter().fold(0.0, f64::max),
        control: control / 0.036,
        size: u64::from(machines),
        detail: format!(
            "of {looks} look-ups {:.3} % lost with one colluder in five, {:.3} % with one in two; {:.3} and {:.3} % if these are nearer than all \
             others and have, beside their share of the fair half of each full bucket, the other half; control: who is near may have all \
             places of a bucket, one in two, {:.1} %",
            fifth * 100.0,
            half * 100.0,
            near_fifth * 100.0,
            near_half * 100.0,
            control * 100.0
        ),
        ..Measured::OF_ALLOWED
    })
}

fn colluded(atlas: &Rc<Atlas>, looks: u64, is_member: IsMember) -> Result<f64, String> {
    let mut net = denied(atlas, is_member)?;
    let mut draws = Draws::new(shifted(SEED), "colluders", &[]);
    let pick = honest(atlas.len(), is_member);
    // Of a small network few are honest.
    let owners = OWNERS.min(u64::from(atlas.len()) / 20);
    let owners: Vec<Owner> = publish(&mut net, owners, &mut draws, &pick)?.into_iter().map(|(_, owner)| owner).collect();
    Ok(lost(&look_up_from(&mut net, &owners, looks, &mut draws, |_, draws| pick(draws))?))
}

/// Addresses of an attacker, and how many honest machines there are.
struct Siege {
    honest: u32,
    ips: Vec<Ipv4Addr>,
}

impl Siege {
    /// All of one /24.
    fn street(honest: u32) -> Self {
        Self { honest, ips: (0..=255).map(|last| Ipv4Addr::new(85, 1, 2, last)).collect() }
    }

    /// A thousand addresses in a hundred /16.
    fn hundred(honest: u32) -> Self {
        let ip = |n: u32| Ipv4Addr::new(64 + (n % 100 / 25) as u8, (n % 25) as u8 * 10, (n / 100) as u8 * 20, 7);
        Self { honest, ips: (0..1_000).map(ip).collect() }
    }

    /// At each address a node of each of the eight variants, at a port of its own; all that keys allow besides is where in
    /// one 2²³th of the key space each lies.
    fn atlas(&self) -> Atlas {
        let mut places: Vec<Place> = (0..self.honest).map(|machine| Place::of(machine, address(machine), machine as u8 & 7)).collect();
        for ip in &self.ips {
            for variant in 0..8 {
                let at = SocketAddr::V4(SocketAddrV4::new(*ip, 7_000 + u16::from(variant)));
                places.push(Place::of(places.len() as u32, at, variant));
            }
        }
        Atlas::new(places)
    }

    /// The share of so many keys that are published and then not found.
    fn share(&self, atlas: Atlas, keys: u64, is_member: IsMember) -> Result<f64, String> {
        let atlas = Rc::new(atlas);
        let mut net = denied(&atlas, is_member)?;
        let mut draws = Draws::new(shifted(SEED), "eclipse", &[]);
        let pick = honest(self.honest, is_member);
        let (mut gone, mut left) = (0.0, keys);
        while left > 0 {
            let batch = left.min(u64::from(self.honest) / 4);
            let owners = publish(&mut net, batch, &mut draws, &pick)?;
            let mut readers = BTreeSet::new();
            while (readers.len() as u64) < batch {
                readers.insert(pick(&mut draws));
            }
            let pairs: Vec<(u32, &Owner)> = readers.into_iter().zip(owners.iter().map(|(_, owner)| owner)).collect();
            let looked: Vec<_> = look_up_each(&mut net, pairs)?.into_iter().map(|(_, looked)| looked).collect();
            gone += lost(&looked) * batch as f64;
            left -= batch;
        }
        Ok(gone / keys as f64)
    }
}

const fn beyond<const HONEST: u32>(machine: u32) -> bool {
    machine >= HONEST
}

/// Addresses that an attacker may draw from, and where honest machines are.
#[derive(Clone, Copy)]
enum Land {
    /// All of IPv4.
    All4,
    /// Much of IPv6, hardly two addresses in a /32.
    All6,
    /// A /32 of IPv6, the other machines each in one of its own.
    Block,
    /// Five /48 of it.
    Five,
}

impl Land {
    fn honest(self, machine: u32) -> SocketAddr {
        match self {
            Self::All4 => address(machine),
            Self::All6 | Self::Block | Self::Five => v6(machine),
        }
    }

    /// Of IPv6 in a /64 of its own.
    fn draw(self, draws: &mut Draws) -> IpAddr {
        let net = match self {
            // Every draw another block.
            Self::All4 => return Ipv4Addr::from_bits(64 << 24 | draws.below(1 << 26) as u32).into(),
            Self::All6 => draws.below(1 << 56),
            Self::Block => draws.below(1 << 32),
            Self::Five => draws.below(5) << 16 | draws.below(1 << 16),
        };
        Ipv6Addr::from_bits(u128::from(0x2A00_0000 << 32 | net) << 64 | 1).into()
    }
}

/// Of 1,000 keys those that are not found although they are published, among 1,000 machines, while somebody who has all
/// addresses of one /24 runs a node of each id that they allow and denies; the same with 1,000 addresses in 100 /16
/// among 10,000 machines, over one in 1,000; and of a few keys those around each of which somebody who has one /32 of IPv6, or five /48, has
/// chosen 48 of its /64: the sum. In the control the attacker has all the addresses of one family that it wants for a few
/// keys, the lesser of the two.
pub(crate) fn eclipse(size: Size) -> Result<Measured, String> {
    let keys = size.of(100, 1_000, 1_000);
    let street = Siege::street(1_000);
    let by_street = street.share(street.atlas(), keys, beyond::<1_000>)?;
    let hundred = Siege::hundred(10_000);
    let by_hundred = if size == Size::Quick { None } else { Some(hundred.share(hundred.atlas(), keys, beyond::<10_000>)?) };
    let walled = size.of(5, 20, 20);
    let of = |land| surrounded(1_000, walled, land);
    let (block, five, control) = (of(Land::Block)?, of(Land::Five)?, of(Land::All4)?.min(of(Land::All6)?));
    Ok(Measured {
        value: by_street * keys as f64 + (by_hundred.unwrap_or(0.0) / 0.001).max(1.0) - 1.0 + block.max(five) * walled as f64,
        unit: "keys, and what is beyond 1 in 1,000",
        target: 0.0,
        control: control * walled as f64,
        size: keys,
        seeds: 1,
        detail: format!(
            "one /24 among 1,000 machines: {:.2} %; 1,000 addresses in 100 /16 among 10,000: {}; 48 nearest to each of {walled} keys in one \
             /32 of IPv6 among 1,000: {:.0} %, in five /48: {:.0} %; control: 48 of any addresses of either family, {:.0} % at least",
            by_street * 100.0,
            by_hundred.map_or("not at this size".into(), |share| format!("{:.2} %", share * 100.0)),
            block * 100.0,
            five * 100.0,
            control * 100.0
        ),
    })
}

/// An attacker who finds, for each key, as many addresses as a look-up asks at most whose ids lie nearer than those of all others.
fn surrounded(machines: u32, keys: u64, land: Land) -> Result<f64, String> {
    const EACH: usize = 48;
    let siege = Siege { honest: machines, ips: Vec::new() };
    let mut places: Vec<Place> = (0..machines).map(|machine| Place::of(machine, land.honest(machine), machine as u8 & 7)).collect();
    let bits = machines.ilog2() + 4;
    let mut taken = BTreeSet::new();
    for n in 0..keys {
        let target = hint(&Owner::draw(SEED, n)?.home);
        let mut draws = Draws::new(shifted(SEED), "siege", &[n]);
        let mut found = 0;
        while found < EACH {
            let ip = land.draw(&mut draws);
            let variant = draws.below(8) as u8;
            let [first, second, third] = prefix(ip, variant);
            let begins = u32::from_be_bytes([first, second, third, 0]);
            if (begins ^ (target >> 32) as u32).leading_zeros() >= bits && taken.insert(ip) {
                places.push(Place::of(places.len() as u32, SocketAddr::new(ip, 7_575), variant));
                found += 1;
            }
        }
    }
    siege.share(Atlas::new(places), keys, beyond::<1_000>)
}

/// The share of look-ups that end with a record that its owner has replaced, while one machine in five hands out the first that
/// any of them was given: over one in 1,000 where the reader has found the newer one before, over one in 100 where it
/// has not; and the share of those that find nothing, over one in 1,000: the worst. In the control the first answer counts.
pub(crate) fn rollback(size: Size) -> Result<Measured, String> {
    let (machines, count) = (size.of(500, 5_000, 10_000) as u32, size.of(100, 200, 200));
    let rounds = size.of(2, 20, 100);
    let atlas = Rc::new(Atlas::of(machines));
    let plan = Rc::new(RefCell::new(Rewinds::default()));
    let is_member: IsMember = drawn::<200>;
    let mut net =
        network(
            &atlas,
            move |machine, peer| {
                if is_member(machine) { Member::turned(peer, Colludes::new(Rc::clone(&plan))) } else { Member::honest(peer) }
            },
        )?;
    let mut draws = Draws::new(shifted(SEED), "rollback", &[]);
    let pick = honest(machines, is_member);
    let owners = publish(&mut net, count, &mut draws, &pick)?;
    for (machine, owner) in &owners {
        announce(&mut net, *machine, owner, 7_576)?;
    }
    net.run(Duration::from_secs(40))?;
    let mut stale = Stale::default();
    for _ in 0..rounds {
        let mut readers = BTreeSet::new();
        while readers.len() < owners.len() {
            readers.insert(pick(&mut draws));
        }
        let pairs: Vec<(u32, &Owner)> = readers.into_iter().zip(owners.iter().map(|(_, owner)| owner)).collect();
        // The second time they know what is new, unless they were deceived.
        for is_known in [false, true] {
            let looked = look_up_each(&mut net, pairs.iter().copied())?;
            stale.note(&looked.iter().map(|(_, looked)| looked.sequences).collect::<Vec<_>>(), is_known);
        }
    }
    Ok(stale.measured(machines))
}

/// What readers were told, by the owner's number, in rounds.
#[derive(Default)]
struct Stale {
    told: Vec<(usize, bool, (u64, u64))>,
    unfound: u32,
}

impl Stale {
    fn note(&mut self, sequences: &[Option<(u64, u64)>], is_known: bool) {
        for (owner, told) in sequences.iter().enumerate() {
            match told {
                Some(told) => self.told.push((owner, is_known, *told)),
                None => self.unfound += 1,
            }
        }
    }

    fn measured(&self, machines: u32) -> Measured {
        let newest = |owner: usize| self.told.iter().filter(|(of, ..)| *of == owner).map(|(.., told)| told.1).max().unwrap_or(0);
        let newest: Vec<u64> = (0..=self.told.iter().map(|(owner, ..)| *owner).max().unwrap_or(0)).map(newest).collect();
        let share = |is_known: bool, of: fn(&(u64, u64)) -> u64| {
            let all: Vec<bool> =
                self.told.iter().filter(|told| told.1 == is_known).map(|(owner, _, told)| of(told) < newest[*owner]).collect();
            mean(all.iter().map(|is_stale| if *is_stale { 1.0 } else { 0.0 }))
        };
        let (first, known, taken) = (share(false, |told| told.1), share(true, |told| told.1), share(false, |told| told.0));
        let unfound = f64::from(self.unfound) / (self.told.len() as f64 + f64::from(self.unfound)).max(1.0);
        Measured {
            value: (known / 0.001).max(first / 0.01).max(unfound / 0.001),
            unit: "of what is allowed",
            target: 1.0,
            control: taken / 0.01,
            size: u64::from(machines),
            seeds: 1,
            detail: format!(
                "{} look-ups found a record, {} nothing; stale in the end: {:.3} % of who knew the newer one, {:.3} % of who did not; control: \
                 the first answer, {:.2} %",
                self.told.len(),
                self.unfound,
                known * 100.0,
                first * 100.0,
                taken * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_nothing_or_is_told_what_was_replaced_makes_the_figure_miss() {
        let value = |found: usize, stale: usize, unfound: usize| {
            let told = [vec![Some((9, 9)); found], vec![Some((9, 8)); stale], vec![None; unfound]].concat();
            let mut all = Stale::default();
            [false, true].iter().for_each(|is_known| told.iter().for_each(|one| all.note(&[*one], *is_known)));
            all.measured(1).value
        };
        assert_eq!(value(1_000, 0, 0), 0.0);
        assert!(value(999, 0, 1) <= 1.0 && value(998, 0, 2) > 1.0);
        assert!(value(999, 1, 0) <= 1.0 && value(998, 2, 0) > 1.0);
        assert_eq!(value(0, 0, 9), f64::INFINITY, "nobody was told anything");
    }
}
