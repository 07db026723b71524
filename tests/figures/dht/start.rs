//! `dht-start`: from the start of a process to the first record that it finds.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::Item;
use overcom_simulator::Draws;
use overcom_simulator::swarm::{Swarm, Terrain, address};

use super::looks::{first_ms, look_up_each, lost, publish, quantile};
use super::net::{Member, Net, Owner, Peer, SETTLE, TRIP, server_or_seed};
use super::rows::aged;
use super::trace::LookedUp;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const TRIP_MS: f64 = 100.0;
/// What a start that finds nothing takes: longer than a look-up may.
const LOST_MS: f64 = 6_000.0;
/// The share of cold starts that may find nothing: as many as the 95th percentile leaves out.
const LOST_MAX: f64 = 0.05;
/// What a table that is a day old says less: units of 8 s.
const DAY_TICKS: u32 = 24 * 3_600 / 8;

/// What machines find when they start.
type Stores = Rc<RefCell<BTreeMap<u32, Vec<Item>>>>;

/// Time from the start to the first valid answer, where one that finds nothing takes longest: the middle one of machines that know one
/// address and nothing else over six round trips, and the share of them that find nothing over one in twenty; and the 95th percentile of machines
/// that know nothing but the table that they stored a day ago, half of whose nodes are gone, over 1.5 s: the worst. In the control such
/// machines have no table.
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
        stores.borrow_mut().insert(*machine, items.into_iter().map(|item| aged(item, DAY_TICKS)).collect());
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
    Ok(Measured {
        value: cold_value(&cold).max(started_ms(&warm, 950) / 1_500.0),
        control: started_ms(&control, 950) / 1_500.0,
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

/// Of cold starts: the middle one over what it may take, or the share that found nothing over what that may be.
fn cold_value(cold: &[LookedUp]) -> f64 {
    (started_ms(cold, 500) / (6.0 * TRIP_MS)).max(lost(cold) / LOST_MAX)
}

/// What the nth thousandth of all starts took at most, those that found nothing among them; of none infinitely long.
fn started_ms(looked: &[LookedUp], thousandth: usize) -> f64 {
    let took = |looked: &LookedUp| looked.first.map_or(LOST_MS, |seen| seen.after.as_secs_f64() * 1_000.0);
    quantile(looked.iter().map(took).collect(), thousandth)
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

#[cfg(test)]
mod tests {
    use super::super::trace::{Cost, Seen};
    use super::*;

    #[test]
    fn starts_that_find_nothing_are_counted_and_a_measurement_of_none_misses() {
        let found = LookedUp {
            first: Some(Seen { after: Duration::from_millis(200), cost: Cost::default() }),
            ended: None,
            hops: None,
            sequences: None,
        };
        let none = LookedUp { first: None, ..found };
        let of = |lost: usize| [vec![found; 100 - lost], vec![none; lost]].concat();
        assert!(cold_value(&of(0)) < 0.5 && cold_value(&of(5)) <= 1.0);
        assert!(cold_value(&of(6)) > 1.0 && cold_value(&of(60)) >= 10.0);
        assert_eq!((started_ms(&of(5), 950), started_ms(&of(6), 950)), (200.0, LOST_MS));
        assert_eq!((cold_value(&[]), started_ms(&[], 950)), (f64::INFINITY, f64::INFINITY));
    }
}
