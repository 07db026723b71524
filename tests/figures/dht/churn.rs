//! `dht-loss`, `dht-churn` and `dht-survival`: look-ups where datagrams are lost and machines come and go.

use std::time::Duration;

use overcom_core::Time;
use overcom_simulator::swarm::{Churn, Lasting, Terrain, address};
use overcom_simulator::{Draws, Network};

use super::looks::{PUBLISHED, find, first_ms, look_up, lost, publish};
use super::net::{HOUR, Handicap, Member, Net, Owner, Peer, Reader, SETTLE, TRIP, client, member, server_or_seed, serves};
use super::trace::LookedUp;
use super::vast::Vast;
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const LOSSY: Network = TRIP.loss_ppm(100_000);
/// Readers come within this, look after a while, and go.
const CROWD: Duration = Duration::from_secs(60);
const CAME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(6);
const GO: Duration = Duration::from_secs(1);
/// Telephones come within this, and publish after a while.
const PHONES: Duration = Duration::from_secs(300);
const SETTLED: Duration = Duration::from_secs(10);
const TAKEN: Duration = Duration::from_secs(60);

/// Look-ups where one datagram in ten is lost each way and three of ten known nodes have just gone: the share that finds
/// nothing over one in 10,000, the 95th percentile of the first answer over 850 ms, the 99th over 1,150 ms: the worst, in a network that
/// came by the wire or among a hundred thousand machines with tables as after days. A round trip takes 100 ms in the middle. What is
/// looked for was published after the others had gone. In the control everybody knows one node of each bucket.
pub(crate) fn loss(size: Size) -> Result<Measured, String> {
    let (machines, looks) = (size.of(500, 3_000, 100_000) as u32, size.of(500, 3_000, 20_000));
    let vast = Vast {
        seed: 4,
        terrain: Terrain::flat(LOSSY),
        machines: size.of(20_000, 100_000, 100_000) as u32,
        readers: size.of(20, 50, 200) as usize,
        looks: size.of(400, 2_000, 20_000) as usize,
        gone: 300,
        is_thin: false,
    };
    let thin = Vast { terrain: Terrain::flat(LOSSY), machines: 5_000, readers: 20, looks: 300, is_thin: true, ..vast };
    let (grown, stored, control) = (lossy(machines, looks)?, vast.looked()?, thin.looked()?);
    let worst = |looked: &[LookedUp]| {
        [lost(looked) * 1e4, first_ms(looked, 950) / 850.0, first_ms(looked, 990) / 1_150.0].into_iter().fold(0.0, f64::max)
    };
    let words = |looked: &[LookedUp]| {
        let at = |thousandth| first_ms(looked, thousandth);
        let lost = lost(looked) * 100.0;
        format!("{} look-ups, {lost:.3} % lost, first answer p50 {:.0}, p95 {:.0}, p99 {:.0} ms", looked.len(), at(500), at(950), at(990))
    };
    Ok(Measured {
        value: worst(&grown).max(worst(&stored)),
        control: worst(&control),
        size: u64::from(machines.max(vast.machines)),
        detail: format!(
            "{machines} machines grown by the wire: {}; {} with stored tables: {}; control: one node of each bucket is known: {}",
            words(&grown),
            vast.machines,
            words(&stored),
            words(&control)
        ),
        ..Measured::OF_ALLOWED
    })
}

fn lossy(machines: u32, looks: u64) -> Result<Vec<LookedUp>, String> {
    let mut net = Net::new(4, Terrain::flat(LOSSY), server_or_seed, None);
    net.grow(machines, grows(machines), SETTLE)?;
    net.swarm.mass_leave(net.swarm.now(), None, 300_000);
    net.run(Duration::from_millis(1))?;
    let mut draws = Draws::new(shifted(4), "loss", &[]);
    let owners = publish(&mut net, 100, &mut draws)?;
    look_up(&mut net, &owners, looks, &mut draws)
}

/// Look-ups while machines stay for Weibull sessions of 42 minutes (shape 0.59) and are away for as long: the share that finds nothing over one
/// in 1,000, and the 95th percentile of the first answer over 1.5 of what it was before anybody went: the worse. Those who publish
/// stay, and put their records anew all the while, in the control too. There nobody asks those whom it knows whether they are still there: only who is
/// asked for something else is found to have gone. That holders pass records on is not seen here, where owners stay, but in `dht-survival`.
pub(crate) fn churn(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let hours = size.of(1, 3, 24);
    let trusting = hours.min(3);
    let (ran, control) = (churned(machines, hours, Probes::Sent)?, churned(1_000, trusting, Probes::Believed)?);
    Ok(Measured {
        value: ran.worst(),
        control: control.worst(),
        size: u64::from(machines),
        detail: format!(
            "{hours} h, {} look-ups, {:.3} % lost, first answer p95 {:.0} ms, {:.0} before; {:.0} machines up, {} serve; control: nobody \
             asks who is still there, 1,000 machines for {trusting} h, {:.3} % lost, p95 {:.0} ms, {:.0} before",
            ran.looked.len(),
            lost(&ran.looked) * 100.0,
            first_ms(&ran.looked, 950),
            first_ms(&ran.before, 950),
            ran.up,
            ran.servers,
            lost(&control.looked) * 100.0,
            first_ms(&control.looked, 950),
            first_ms(&control.before, 950),
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Whether those who are known are asked if they are still there, or believed to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Probes {
    Sent,
    Believed,
}

struct Churned {
    before: Vec<LookedUp>,
    looked: Vec<LookedUp>,
    up: f64,
    servers: u32,
}

impl Churned {
    fn worst(&self) -> f64 {
        (lost(&self.looked) * 1e3).max(first_ms(&self.looked, 950) / first_ms(&self.before, 950) / 1.5)
    }
}

fn churned(machines: u32, hours: u64, probes: Probes) -> Result<Churned, String> {
    const LOOKS: u64 = 100;
    let stays = machines / 10;
    let mut net = Net::with(5, Terrain::flat(TRIP), move |birth| {
        let mut peer = Peer::new(server_or_seed(birth.machine), birth, &[address(0)]);
        peer.trust = (probes == Probes::Believed).then(Box::default);
        Member::honest(peer)
    });
    net.grow(machines, grows(machines), SETTLE)?;
    let mut draws = Draws::new(shifted(5), "churn", &[]);
    let mut owners = Vec::new();
    for machine in (0..stays).filter(|machine| net.peer(*machine).is_some_and(serves)).take(100).collect::<Vec<_>>() {
        let owner = Owner::draw(5, u64::from(machine))?;
        net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        owners.push(owner);
    }
    net.run(PUBLISHED)?;
    let before = look_up(&mut net, &owners, 500, &mut draws)?;
    let mut looked = Vec::new();
    net.swarm.churn(Churn { members: stays..machines, session: Lasting::SESSIONS, absence: Lasting::SESSIONS });
    // A network that began as a whole is young: half of the time is not looked at.
    net.run(HOUR * hours as u32 / 2)?;
    for _ in 0..hours * 5 {
        net.run(HOUR / 10)?;
        looked.extend(look_up(&mut net, &owners, LOOKS, &mut draws)?);
    }
    Ok(Churned { before, looked, up: net.peers().count() as f64, servers: net.servers() })
}

/// A record of each of so many owners who have gone for good, while machines come and go: the share that nobody finds at the end
/// over one in 1,000, and the bytes a second that a machine that is up sends and receives, with headers, over 300: the worse.
/// In the control nobody writes again what others held.
pub(crate) fn survival(size: Size) -> Result<Measured, String> {
    let (machines, hours) = long(size);
    let (ran, control) = (survived(machines, hours, None)?, survived(200, 2, Some(Handicap::PutsNothing))?);
    let worst = |ran: &Survived| (ran.gone * 1e3).max(ran.bytes / 300.0);
    Ok(Measured {
        value: worst(&ran),
        control: worst(&control),
        size: u64::from(machines),
        detail: format!(
            "{hours} h, one record for each of {machines} machines, {:.2} % not found at first, {:.2} % in the end, {:.0} B/s a machine that is up, of {:.0} in \
             the mean, {} serve; control: nobody writes what others held, 2 h, {:.2} % not found, {:.2} % at first",
            ran.first * 100.0,
            ran.gone * 100.0,
            ran.bytes,
            ran.up,
            ran.servers,
            control.gone * 100.0,
            control.first * 100.0,
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Machines, and hours after their owners have gone.
const fn long(size: Size) -> (u32, u64) {
    (size.of(200, 600, 10_000) as u32, size.of(2, 8, 168))
}

/// How long such a run takes at most, from its first machine until the last reader has gone.
fn takes(machines: u32, hours: u64) -> Duration {
    let unfound = (CROWD + CAME + LOOK + GO) * 2;
    grows(machines) + SETTLE + PHONES + SETTLED + TAKEN + GO + unfound + HOUR * hours as u32 + unfound
}

/// So many machines come within this.
fn grows(machines: u32) -> Duration {
    Duration::from_millis(30) * machines
}

struct Survived {
    /// The share that is not found before anybody but the owners has gone.
    first: f64,
    gone: f64,
    bytes: f64,
    up: f64,
    servers: u32,
}

fn survived(machines: u32, hours: u64, handicap: Option<Handicap>) -> Result<Survived, String> {
    // The owners are telephones, so that nothing of theirs is missed but they.
    let mut net = Net::with(6, Terrain::flat(TRIP), move |birth| {
        let is_owner = birth.machine >= machines;
        let config = if is_owner { client() } else { server_or_seed(birth.machine) };
        member(Peer::new(config, birth, &[address(0)]), handicap.filter(|_| !is_owner))
    });
    net.grow(machines, grows(machines), SETTLE)?;
    let phones = net.swarm.add(machines);
    net.swarm.flash_crowd(phones..phones + machines, net.swarm.now(), PHONES);
    net.run(PHONES + SETTLED)?;
    let mut published = Vec::new();
    for n in 0..machines {
        let owner = Owner::draw(6, u64::from(n))?;
        net.ask(phones + n, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
        published.push(owner);
    }
    net.run(TAKEN)?;
    (phones..phones + machines).for_each(|owner| net.swarm.leave_at(owner, net.swarm.now()));
    net.run(GO)?;
    let first = unfound(&mut net, &published)?;
    net.swarm.churn(Churn { members: 1..machines, session: Lasting::SESSIONS, absence: Lasting::SESSIONS });
    let (mut up, mut steps) = (0.0, 0.0);
    let moved = net.moved().bytes;
    for _ in 0..hours * 10 {
        net.run(HOUR / 10)?;
        up += net.peers().count() as f64;
        steps += 1.0;
    }
    let up = up / steps;
    let bytes = (net.moved().bytes - moved) as f64 / (up * hours as f64 * 3_600.0);
    let servers = net.servers();
    let gone = unfound(&mut net, &published)?;
    // What is over is not lost.
    if net.swarm.now() > Time::ZERO + takes(machines, hours) {
        return Err("the run has taken longer than it says".into());
    }
    Ok(Survived { first, gone, bytes, up, servers })
}

/// The share of the records, or of the first 500, that neither of two telephones finds that have just come, the second if the first
/// does not: one look-up in thousands fails where a record is. Who came earlier may hold it itself, or leave while it looks.
pub(super) fn unfound(net: &mut Net, published: &[Owner]) -> Result<f64, String> {
    let sample: Vec<&Owner> = published.iter().take(500).collect();
    let missed = missed_once(net, &sample)?;
    let gone = if missed.is_empty() { missed } else { missed_once(net, &missed)? };
    Ok(gone.len() as f64 / sample.len() as f64)
}

/// Those that one telephone each does not find; these go again.
fn missed_once<'a>(net: &mut Net, owners: &[&'a Owner]) -> Result<Vec<&'a Owner>, String> {
    let first = net.swarm.add(owners.len() as u32);
    let (readers, now) = (first..first + owners.len() as u32, net.swarm.now());
    net.swarm.flash_crowd(readers.clone(), now, CROWD);
    net.run(CROWD + CAME)?;
    for (reader, owner) in readers.clone().zip(owners) {
        // A stranger has to ask for the device's record, which lasts: addresses are over after two hours.
        find(net, reader, owner, Reader::Stranger)?;
    }
    net.run(LOOK)?;
    let mut missed = Vec::new();
    for (reader, owner) in readers.zip(owners) {
        if net.looked_up(reader)?.ok_or("a reader has left")?.hops.is_none() {
            missed.push(*owner);
        }
        net.swarm.leave_at(reader, net.swarm.now());
    }
    net.run(GO)?;
    Ok(missed)
}

#[cfg(test)]
mod tests {
    use overcom_core::WallTime;

    use super::super::net::EPOCH_MS;
    use super::*;

    #[test]
    fn no_delegation_ends_before_the_longest_run_has_looked_for_its_record() {
        let until = Owner::draw(6, 0).expect("it may sign").delegation.until();
        for size in [Size::Quick, Size::Default, Size::Full] {
            let (machines, hours) = long(size);
            let over = WallTime::from_millis(EPOCH_MS + takes(machines, hours).as_millis() as u64);
            assert!(over < until, "{size:?}: {over:?} {until:?}");
        }
    }
}
