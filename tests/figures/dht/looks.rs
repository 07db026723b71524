//! Publishing and looking in a network, and what many look-ups come to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use overcom_simulator::Draws;

use super::net::{Net, Owner, Reader, any, any_server};
use super::trace::{LookedUp, Seen};

/// So many look at once, each on a machine of its own.
const AT_ONCE: usize = 100;
/// Longer than a look-up may take.
const LOOK: Duration = Duration::from_secs(6);
/// After this a published device is found.
pub(super) const PUBLISHED: Duration = Duration::from_secs(10);

/// So many devices are published, each by another machine by chance of those that serve, and so have an address to
/// tell, and lie where they shall.
pub(crate) fn publish(net: &mut Net, count: u64, draws: &mut Draws) -> Result<Vec<Owner>, String> {
    let seed = draws.u64();
    let (mut owners, mut machines) = (Vec::new(), BTreeSet::new());
    for n in 0..count {
        let owner = Owner::draw(seed, n)?;
        // A machine has one device.
        let mut machine = any_server(net, draws)?;
        while !machines.insert(machine) {
            machine = any_server(net, draws)?;
        }
        net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        owners.push(owner);
    }
    net.run(PUBLISHED)?;
    Ok(owners)
}

/// So many look-ups, of published devices by machines by chance.
pub(crate) fn look_up(net: &mut Net, owners: &[Owner], count: u64, draws: &mut Draws) -> Result<Vec<LookedUp>, String> {
    look_up_from(net, owners, count, draws, any)
}

/// So many look-ups, of published devices by machines that are picked.
pub(crate) fn look_up_from(
    net: &mut Net,
    owners: &[Owner],
    count: u64,
    draws: &mut Draws,
    pick: impl Fn(&Net, &mut Draws) -> u32,
) -> Result<Vec<LookedUp>, String> {
    look_up_as(net, owners, (count, Reader::Contact), draws, pick)
}

/// The same by contacts or strangers.
pub(crate) fn look_up_as(
    net: &mut Net,
    owners: &[Owner],
    (count, known): (u64, Reader),
    draws: &mut Draws,
    pick: impl Fn(&Net, &mut Draws) -> u32,
) -> Result<Vec<LookedUp>, String> {
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        let mut pairs: BTreeMap<u32, &Owner> = BTreeMap::new();
        let batch = AT_ONCE.min(count as usize - all.len()).min(net.swarm.len() as usize / 2);
        while pairs.len() < batch.max(1) {
            let reader = pick(net, draws);
            pairs.entry(reader).or_insert_with(|| &owners[draws.below(owners.len() as u64) as usize]);
        }
        // Who has left meanwhile has not looked.
        all.extend(look_up_each_as(net, pairs, known)?.into_iter().map(|(_, looked)| looked));
    }
    Ok(all)
}

/// Machines look each for a device, all at once, as its contacts do.
pub(crate) fn look_up_each<'a>(
    net: &mut Net,
    pairs: impl IntoIterator<Item = (u32, &'a Owner)> + Clone,
) -> Result<Vec<(u32, LookedUp)>, String> {
    look_up_each_as(net, pairs, Reader::Contact)
}

/// The same as contacts or strangers.
pub(crate) fn look_up_each_as<'a>(
    net: &mut Net,
    pairs: impl IntoIterator<Item = (u32, &'a Owner)> + Clone,
    known: Reader,
) -> Result<Vec<(u32, LookedUp)>, String> {
    for (reader, owner) in pairs.clone() {
        find(net, reader, owner, known)?;
    }
    net.run(LOOK)?;
    let mut all = Vec::new();
    for (reader, _) in pairs {
        all.extend(net.looked_up(reader)?.map(|looked| (reader, looked)));
    }
    Ok(all)
}

/// One machine looks for a device, watched.
pub(super) fn find(net: &mut Net, reader: u32, owner: &Owner, known: Reader) -> Result<(), String> {
    net.ask(reader, |peer, now| {
        peer.watch(now, owner.home.clone());
        owner.find(peer, now, known).map(|_| ())
    })?
}

/// The share that found nothing; of no look-ups infinite, so that who has measured nothing misses.
pub(crate) fn lost(looked: &[LookedUp]) -> f64 {
    mean(looked.iter().map(|looked| if looked.first.is_none() { 1.0 } else { 0.0 }))
}

/// What the nth thousandth of those that found took at most until their first answer, in milliseconds.
pub(crate) fn first_ms(looked: &[LookedUp], thousandth: usize) -> f64 {
    let ms = looked.iter().filter_map(|looked| looked.first).map(|seen| seen.after.as_secs_f64() * 1_000.0).collect();
    quantile(ms, thousandth)
}

/// Of so many values the one that so many thousandths do not exceed.
pub(crate) fn quantile(mut values: Vec<f64>, thousandth: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * thousandth).div_ceil(1_000).saturating_sub(1);
    values.get(index).copied().unwrap_or(f64::INFINITY)
}

/// The mean over those that have it; infinite if none has.
pub(crate) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { f64::INFINITY } else { sum / count as f64 }
}

/// A mean over the costs of look-ups.
pub(crate) fn mean_of(looked: &[LookedUp], when: fn(&LookedUp) -> Option<Seen>, what: fn(&Seen) -> u64) -> f64 {
    mean(looked.iter().filter_map(when).map(|seen| what(&seen) as f64))
}

#[cfg(test)]
mod tests {
    use super::super::trace::Cost;
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values_and_that_of_none_is_never_kept() {
        let values = || (1..=200).map(f64::from).collect::<Vec<_>>();
        assert_eq!([500, 950, 990, 1_000].map(|at| quantile(values(), at) as u32), [100, 190, 198, 200]);
        assert_eq!(quantile(Vec::new(), 500), f64::INFINITY);
        assert_eq!(mean(std::iter::empty()), f64::INFINITY);
        let found =
            LookedUp { first: Some(Seen { after: Duration::ZERO, cost: Cost::default() }), ended: None, hops: None, sequences: None };
        let none = LookedUp { first: None, ..found };
        assert_eq!([lost(&[]), lost(&[none]), lost(&[found, none]), lost(&[found])], [f64::INFINITY, 1.0, 0.5, 0.0]);
    }
}
