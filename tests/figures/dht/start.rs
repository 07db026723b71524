//! `dht-start`: from the start of a process to the first record that it finds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::Item;
use overcom_simulator::Draws;
use overcom_simulator::swarm::{Swarm, Terrain, address};

use super::looks::{first_ms, look_up_each, lost, publish};
use super::net::{Member, Net, Owner, Peer, SETTLE, TRIP, server_or_seed};
use super::trace::LookedUp;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const TRIP_MS: f64 = 100.0;
/// What a table that is a day old says less: units of 8 s.
const DAY_TICKS: u32 = 24 * 3_600 / 8;
/// A row of a stored table of IPv4: hint, ip, port, when it answered, and a byte (DHT-63).
const ROW: usize = 8 + 4 + 2 + 4 + 1;
const HEAD: usize = 4;
const SEEN: std::ops::Range<usize> = 14..18;

/// What machines find when they start.
type Stores = Rc<RefCell<BTreeMap<u32, Vec<Item>>>>;

/// Time from the start to the first valid answer: the middle one of machines that know one address and nothing else over six round trips; and
/// the 95th percentile of machines that know nothing but the table that they stored a day ago, half of whose nodes are gone, over 1.5 s:
/// the worse. In the control such machines have no table.
pub(crate) fn start(size: Size) -> Result<Measured, String> {
    let (machines, starts) = (size.of(300, 1_000, 10_000) as u32, size.of(20, 100, 200) as u32);
    let stores: Stores = Rc::default();
    let mut net = network(&stores);
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    let mut draws = Draws::new(shifted(17), "start", &[]);
    let owners = publish(&mut net, 50, &mut draws)?;
    let first = net.swarm.add(starts);
    let cold = started(&mut net, first..first + starts, &owners)?;
    // Those who will come back were telephones and servers alike: any but the first.
    let back: Vec<u32> = (1..=starts).map(|n| n * (machines / (starts + 1))).collect();
    for machine in &back {
        let items = net.ask(*machine, |peer, _| peer.solo.save())?;
        stores.borrow_mut().insert(*machine, items.into_iter().map(aged).collect());
        net.swarm.leave_at(*machine, net.swarm.now());
    }
    net.swarm.mass_leave(net.swarm.now(), None, 500_000);
    // Those who are left learn of it.
    net.run(SETTLE)?;
    let owners = publish(&mut net, 50, &mut draws)?;
    let warm = started(&mut net, back.iter().copied(), &owners)?;
    back.iter().for_each(|machine| net.swarm.leave_at(*machine, net.swarm.now()));
    net.run(Duration::from_secs(1))?;
    for items in stores.borrow_mut().values_mut() {
        items.clear();
    }
    let control = started(&mut net, back.iter().copied(), &owners)?;
    let worst = |looked: &[LookedUp]| if lost(looked) > 0.05 { 6_000.0 } else { first_ms(looked, 950) };
    Ok(Measured {
        value: (first_ms(&cold, 500) / (6.0 * TRIP_MS)).max(worst(&warm) / 1_500.0),
        control: worst(&control) / 1_500.0,
        size: u64::from(machines),
        detail: format!(
            "{starts} cold starts: p50 {:.0} ms, p95 {:.0}, {:.1} % lost; as many with a table of a day ago of which half is gone: p50 {:.0} ms, p95 {:.0}, \
             {:.1} % lost; control: without a table, {:.0} % lost",
            first_ms(&cold, 500),
            first_ms(&cold, 950),
            lost(&cold) * 100.0,
            first_ms(&warm, 500),
            first_ms(&warm, 950),
            lost(&warm) * 100.0,
            lost(&control) * 100.0
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Machines that know the first one's address; but those for whom something is stored know that and nothing else.
fn network(stores: &Stores) -> Net {
    let stores = Rc::clone(stores);
    Net::of(Swarm::new(shifted(17), Terrain::flat(TRIP), move |birth| {
        let stores = stores.borrow();
        let stored = stores.get(&birth.machine);
        let entries = if stored.is_some() { vec![] } else { vec![address(0)] };
        let mut peer = Peer::new(server_or_seed(birth.machine), birth, &entries);
        stored.into_iter().for_each(|items| {
            peer.solo.restore(items);
        });
        Member::honest(peer)
    }))
}

/// Machines start and look at once, each for a device.
fn started(net: &mut Net, machines: impl Iterator<Item = u32> + Clone, owners: &[Owner]) -> Result<Vec<LookedUp>, String> {
    machines.clone().for_each(|machine| net.swarm.join_at(machine, net.swarm.now()));
    net.run(Duration::ZERO)?;
    let looked = look_up_each(net, machines.zip(owners.iter().cycle()))?;
    Ok(looked.into_iter().map(|(_, looked)| looked).collect())
}

/// What was stored, as if it had been a day ago.
fn aged(mut item: Item) -> Item {
    if item.key == b"4gt" {
        for row in item.value.get_mut(HEAD..).unwrap_or_default().chunks_exact_mut(ROW) {
            if let Some(seen) = row.get_mut(SEEN).and_then(|seen| seen.first_chunk_mut::<4>()) {
                *seen = u32::from_be_bytes(*seen).saturating_sub(DAY_TICKS).to_be_bytes();
            }
        }
    }
    item
}
