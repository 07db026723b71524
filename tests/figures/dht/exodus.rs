//! `dht-exodus`: what is left when two in five go within ten seconds, and soon two in five of the others.

use std::time::Duration;

use overcom_simulator::Draws;
use overcom_simulator::swarm::{Terrain, address};

use super::churn::unfound;
use super::looks::{first_ms, look_up_each, lost};
use super::net::{Handicap, Net, Owner, Peer, SETTLE, TRIP, client, member, server_or_seed, serves};
use super::trace::LookedUp;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 23;
/// All of a wave go within this.
const WITHIN: Duration = Duration::from_secs(10);
/// Twice as long after it began all is as before.
const BACK: Duration = Duration::from_secs(120);
/// How often they go, and how long after each other: a dead neighbour is noticed in two minutes, and what it held written again
/// in a few more.
const WAVES: usize = 3;
const APART: Duration = Duration::from_secs(900);
/// Devices that are looked for, on machines that stay.
const OWNERS: usize = 100;
/// What may be lost: a record has five holders at least, and two in five of a hundred times go all five.
const GONE: f64 = 0.012;
const LOST: f64 = 0.012;

/// Look-ups and records while two in five of the machines go within ten seconds, and after a quarter of an hour two in five of those
/// that are left, and once more: the share of look-ups that finds nothing while they go or two minutes later, and of records, whose
/// owners have gone before, that nobody finds in the end, for each time, over 1.2 in 100; and the 95th percentile of the first answer two minutes after
/// they began to go for the first time, over 1.2 of what it was: the worst. In the control nobody writes again what others held.
pub(crate) fn exodus(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let mut net = grown(machines, None)?;
    let ran = left(&mut net, machines as usize)?;
    net.net.run(APART)?;
    let records = unfound(&mut net.net, &net.published)?;
    // Records near each other have the same holders, so that in a smaller network chance has more to say.
    let mut net = grown(600, Some(Handicap::PutsNothing))?;
    for _ in 0..WAVES {
        go(&mut net.net);
        net.net.run(APART)?;
    }
    let control = unfound(&mut net.net, &net.published)?;
    Ok(Measured {
        value: ran.worst().max(records / (GONE * WAVES as f64)),
        control: control / (GONE * WAVES as f64),
        size: u64::from(machines),
        detail: format!(
            "{}; {:.2} % of the records of owners who had gone not found in the end; control: nobody writes again, {:.1} %",
            ran.words(),
            records * 100.0,
            control * 100.0
        ),
        ..Measured::OF_ALLOWED
    })
}

/// A network, the devices that are looked for in it, and the users whose records shall last.
struct Grown {
    net: Net,
    owners: Vec<Owner>,
    published: Vec<Owner>,
}

/// Machines, and telephones that publish and go.
fn grown(machines: u32, handicap: Option<Handicap>) -> Result<Grown, String> {
    let mut net = Net::with(SEED, Terrain::flat(TRIP), move |birth| {
        let is_phone = birth.machine >= machines;
        let config = if is_phone { client() } else { server_or_seed(birth.machine) };
        member(Peer::new(config, birth, &[address(0)]), handicap.filter(|_| !is_phone))
    });
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    let mut owners = Vec::new();
    for machine in
        (0..machines).filter(|machine| stays(*machine) && net.peer(*machine).is_some_and(serves)).take(OWNERS).collect::<Vec<_>>()
    {
        let owner = Owner::draw(SEED, u64::from(machine))?;
        net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        owners.push(owner);
    }
    let phones = net.swarm.add(machines.min(500));
    let all = phones..net.swarm.len();
    net.swarm.flash_crowd(all.clone(), net.swarm.now(), Duration::from_secs(60));
    net.run(Duration::from_secs(70))?;
    let mut published = Vec::new();
    for phone in all.clone() {
        let owner = Owner::draw(SEED, u64::from(phone))?;
        net.ask(phone, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        published.push(owner);
    }
    net.run(Duration::from_secs(60))?;
    all.for_each(|phone| net.swarm.leave_at(phone, net.swarm.now()));
    net.run(Duration::from_secs(1))?;
    Ok(Grown { net, owners, published })
}

/// One machine in ten, and so the one that all know.
const fn stays(machine: u32) -> bool {
    machine.is_multiple_of(10)
}

/// Two in five of all that are there go, each at a moment by chance.
fn go(net: &mut Net) {
    let now = net.swarm.now();
    let mut draws = Draws::new(shifted(SEED), "exodus", &[now.as_micros()]);
    let (mut going, up): (Vec<u32>, _) = (net.peers().map(|(machine, _)| machine).collect(), net.peers().count());
    going.retain(|machine| !stays(*machine));
    going.sort_by_cached_key(|_| draws.u64());
    for machine in going.into_iter().take(up * 2 / 5) {
        let after = Duration::from_micros(draws.below(WITHIN.as_micros() as u64));
        net.swarm.leave_at(machine, now + after);
    }
}

/// What look-ups came to before they go and while they do.
#[derive(Default)]
struct Left {
    before: Vec<LookedUp>,
    during: Vec<LookedUp>,
    /// Two minutes after they began to go for the first time, and the next times.
    back: Vec<LookedUp>,
    later: Vec<LookedUp>,
    up: usize,
}

fn left(grown: &mut Grown, looks: usize) -> Result<Left, String> {
    let Grown { net, owners, .. } = grown;
    let mut draws = Draws::new(shifted(SEED), "looks", &[]);
    let mut left = Left::default();
    let mut look = |net: &mut Net, share: usize| look_up_each(net, pairs(net, owners, looks / share, &mut draws)).map(looked);
    left.before = look(net, 2)?;
    for wave in 0..WAVES {
        let began = net.swarm.now();
        go(net);
        // The first look while most are there yet, the second when most have gone.
        left.during.extend(look(net, 3)?);
        left.during.extend(look(net, 3)?);
        net.run(BACK.saturating_sub(net.swarm.now().since(began)))?;
        let after = if wave == 0 { &mut left.back } else { &mut left.later };
        after.extend(look(net, 2)?);
        net.run(if wave + 1 < WAVES { APART.saturating_sub(net.swarm.now().since(began)) } else { Duration::ZERO })?;
    }
    left.up = net.peers().count();
    Ok(left)
}

fn looked(all: Vec<(u32, LookedUp)>) -> Vec<LookedUp> {
    all.into_iter().map(|(_, looked)| looked).collect()
}

/// Readers by chance, of half of those that are there at most, and whom each looks for.
fn pairs<'a>(net: &Net, owners: &'a [Owner], count: usize, draws: &mut Draws) -> Vec<(u32, &'a Owner)> {
    let mut up: Vec<u32> = net.peers().map(|(machine, _)| machine).collect();
    up.sort_by_cached_key(|_| draws.u64());
    up.truncate(count.min(up.len() / 2));
    up.into_iter().map(|machine| (machine, &owners[draws.below(owners.len() as u64) as usize])).collect()
}

impl Left {
    fn worst(&self) -> f64 {
        let slower = first_ms(&self.back, 950) / first_ms(&self.before, 950) / 1.2;
        [&self.during, &self.back, &self.later].into_iter().map(|looked| lost(looked) / LOST).fold(slower, f64::max)
    }

    fn words(&self) -> String {
        let words = |looked: &[LookedUp]| {
            format!("{} look-ups, {:.2} % lost, first answer p95 {:.0} ms", looked.len(), lost(looked) * 100.0, first_ms(looked, 950))
        };
        format!(
            "before {}; while they go, {WAVES} times, {}; two minutes after the first time {}, after the others {}; {} machines are left",
            words(&self.before),
            words(&self.during),
            words(&self.back),
            words(&self.later),
            self.up
        )
    }
}
