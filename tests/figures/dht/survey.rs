//! `dht-hops` and `dht-latency`: look-ups in networks that span the world; `dht-requests`: in a town too.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use overcom_simulator::swarm::Terrain;
use overcom_simulator::{Draws, Network};

use super::atlas::Atlas;
use super::attack;
use super::looks::{first_ms, look_up, look_up_as, look_up_from, lost, mean, mean_of, publish, quantile};
use super::net::{Handicap, Net, Reader, SETTLE, any, member, server_or_seed};
use super::trace::LookedUp;
use super::vast::Vast;
use crate::figure::{Measured, Size};
use crate::seeds::{shifted, turn};

/// Longer than a cookie holds.
const FORGET: Duration = Duration::from_secs(660);

/// What a look-up that finds nothing counts for (guess: more than any that finds something takes).
const LOST_HOPS: f64 = 10.0;

/// What look-ups came to in one network.
#[derive(Clone)]
struct Survey {
    machines: u32,
    servers: u32,
    /// The middle round trip between two machines, in milliseconds.
    rtt_ms: f64,
    looked: Vec<LookedUp>,
}

/// Hops to the first node that gives a record, in the mean; somebody in the own table is one hop away: the more of a network that
/// came by the wire and of a million machines with tables as after days. In the control everybody knows one node of each bucket instead of sixteen.
pub(crate) fn hops(size: Size) -> Result<Measured, String> {
    let (survey, vast, thin) = (surveyed(size)?, million(size)?, size.of(1_000, 2_000, 3_000) as u32);
    // Who holds the record itself asks nobody for it.
    let of = |looked: &LookedUp| if looked.first.is_none() { Some(LOST_HOPS) } else { looked.hops.map(f64::from) };
    let hops = |looked: &[LookedUp]| mean(looked.iter().filter_map(of));
    let control = thinned(thin)?;
    Ok(Measured {
        value: hops(&survey.looked).max(hops(&vast.looked)),
        unit: "hops",
        target: 2.9,
        control: hops(&control),
        size: u64::from(vast.machines),
        seeds: 1,
        detail: format!(
            "grown by the wire {:.2}, {}; with stored tables {:.2}, {}; control: {thin} machines that know one node of each bucket \
             and name one, {:.1} % lost",
            hops(&survey.looked),
            survey.words(),
            hops(&vast.looked),
            vast.words(),
            lost(&control) * 100.0,
        ),
    })
}

/// Time to the first valid answer: the worst of its 50th, 95th and 99th percentile over 1.9, 3.1 and 3.8 middle round trips,
/// which are 190, 310 and 380 ms where a round trip takes 100 ms, in a network that came by the wire or among a million machines
/// with tables as after days. In the control such machines know one node of each bucket, wherever it is.
pub(crate) fn latency(size: Size) -> Result<Measured, String> {
    let (survey, vast) = (surveyed(size)?, million(size)?);
    let thin = looked_vast(size.of(5_000, 20_000, 20_000) as u32, (20, 200), true)?;
    let worst = |survey: &Survey| {
        let of = |(thousandth, trips): (usize, f64)| first_ms(&survey.looked, thousandth) / (trips * survey.rtt_ms);
        [(500, 1.9), (950, 3.1), (990, 3.8)].map(of).into_iter().fold(lost(&survey.looked) * 1e4, f64::max)
    };
    Ok(Measured {
        value: worst(&survey).max(worst(&vast)),
        control: worst(&thin),
        size: u64::from(vast.machines),
        detail: format!(
            "grown by the wire: {}, {}; with stored tables: {}, {}; control: one node of each bucket is known: {}, {}",
            survey.words(),
            survey.times(),
            vast.words(),
            vast.times(),
            thin.words(),
            thin.times(),
        ),
        ..Measured::OF_ALLOWED
    })
}

/// What a look-up costs among 200 by a contact of the owner, who holds its delegation: the worst of 12 requests, 20 datagrams
/// and 9,500 bytes with headers where no cookie holds, and of 6,500 bytes right after; and among a million machines with tables as after days of 12
/// requests; to the first valid answer. What it costs by the user's id alone is told beside it: who holds no delegation needs the device record, too. The completed look-up stands beside it. In the control, as in that of `dht-hops`, machines know one
/// node of each bucket and name one. To keep no cookies would cost some 2,700 bytes in the place of 1,250, which is far less than is allowed.
pub(crate) fn requests(size: Size) -> Result<Measured, String> {
    let (looks, vast, thin) = (size.of(100, 400, 2_000), million(size)?, size.of(1_000, 2_000, 3_000) as u32);
    let control = thinned(thin)?;
    let mut net = Net::new(2, Terrain::flat(Network::default()), server_or_seed, None);
    net.grow(200, Duration::from_secs(6), SETTLE)?;
    let mut draws = Draws::new(shifted(2), "requests", &[]);
    let owners = publish(&mut net, 50, &mut draws)?;
    let (mut cold, mut live) = (Vec::new(), Vec::new());
    for _ in 0..looks.div_ceil(100) {
        net.run(FORGET)?;
        cold.extend(look_up(&mut net, &owners, 100, &mut draws.clone())?);
        // The same readers look for the same devices.
        live.extend(look_up(&mut net, &owners, 100, &mut draws)?);
    }
    let mut strangers = Vec::new();
    for _ in 0..looks.div_ceil(100) {
        net.run(FORGET)?;
        strangers.extend(look_up_as(&mut net, &owners, (100, Reader::Stranger), &mut draws, any)?);
    }
    let first = |looked: &[LookedUp], what| mean_of(looked, |looked| looked.first, what);
    let ended = |looked: &[LookedUp], what| mean_of(looked, |looked| looked.ended, what);
    let parts = [
        first(&vast.looked, |seen| seen.cost.requests) / 12.0,
        first(&cold, |seen| seen.cost.requests) / 12.0,
        first(&cold, |seen| seen.cost.datagrams) / 20.0,
        first(&live, |seen| seen.cost.datagrams) / 20.0,
        first(&cold, |seen| seen.cost.bytes) / 9_500.0,
        first(&live, |seen| seen.cost.bytes) / 6_500.0,
    ];
    let words = |name: &str, looked: &[LookedUp]| {
        format!(
            "{name}: {:.1} requests, {:.1} datagrams, {:.0} bytes to the first answer, {:.1}, {:.1}, {:.0} in all, {:.2} % lost",
            first(looked, |seen| seen.cost.requests),
            first(looked, |seen| seen.cost.datagrams),
            first(looked, |seen| seen.cost.bytes),
            ended(looked, |seen| seen.cost.requests),
            ended(looked, |seen| seen.cost.datagrams),
            ended(looked, |seen| seen.cost.bytes),
            lost(looked) * 100.0,
        )
    };
    Ok(Measured {
        value: parts.into_iter().fold((lost(&cold) + lost(&live) + lost(&vast.looked)) * 1e3, f64::max),
        control: (first(&control, |seen| seen.cost.requests) / 12.0).max(lost(&control) * 1e3),
        size: u64::from(vast.machines),
        detail: format!(
            "{}; {}; {}, p50 {:.0} ms, {:.0} of a contact; {} of 200 serve; with stored tables: {}; control: {}",
            words("cold", &cold),
            words("live", &live),
            words("cold, by id alone", &strangers),
            first_ms(&strangers, 500),
            first_ms(&cold, 500),
            net.servers(),
            vast.words(),
            words(&format!("{thin} machines that know one node of each bucket and name one"), &control)
        ),
        ..Measured::OF_ALLOWED
    })
}

impl Survey {
    fn words(&self) -> String {
        format!(
            "{} look-ups among {} machines, of which {} serve, {:.3} % lost, {:.1} requests to the first answer, {:.1} in all, middle \
             round trip {:.0} ms",
            self.looked.len(),
            self.machines,
            self.servers,
            lost(&self.looked) * 100.0,
            mean_of(&self.looked, |looked| looked.first, |seen| seen.cost.requests),
            mean_of(&self.looked, |looked| looked.ended, |seen| seen.cost.requests),
            self.rtt_ms
        )
    }

    fn times(&self) -> String {
        let at = |thousandth| first_ms(&self.looked, thousandth);
        let whole = self.looked.iter().filter_map(|looked| looked.ended).map(|seen| seen.after.as_secs_f64() * 1e3).collect();
        format!(
            "first answer p50 {:.0}, p95 {:.0}, p99 {:.0} ms, in middle round trips {:.2}, {:.2}, {:.2}, whole p50 {:.0} ms",
            at(500),
            at(950),
            at(990),
            at(500) / self.rtt_ms,
            at(950) / self.rtt_ms,
            at(990) / self.rtt_ms,
            quantile(whole, 500),
        )
    }
}

/// The network of the size, looked through once for all figures.
fn surveyed(size: Size) -> Result<Arc<Survey>, String> {
    static ALL: Kept = Kept::new(BTreeMap::new());
    kept(&ALL, || survey(size.of(1_000, 5_000, 10_000) as u32, size.of(1_000, 2_000, 10_000)))
}

/// The million, looked through once for all figures; fewer at the quick size.
fn million(size: Size) -> Result<Arc<Survey>, String> {
    static ALL: Kept = Kept::new(BTreeMap::new());
    let readers = (size.of(20, 50, 200) as usize, size.of(400, 1_000, 10_000) as usize);
    kept(&ALL, || looked_vast(size.of(100_000, 1_000_000, 1_000_000) as u32, readers, false))
}

fn looked_vast(machines: u32, (readers, looks): (usize, usize), is_thin: bool) -> Result<Survey, String> {
    let rtt_ms = middle_trip(machines, &mut Draws::new(shifted(3), "trips", &[]));
    let looked = Vast { seed: 3, terrain: world(), machines, readers, looks, gone: 0, is_thin }.looked()?;
    Ok(Survey { machines, servers: machines, rtt_ms, looked })
}

/// Surveys, by turn.
type Kept = Mutex<BTreeMap<u64, Arc<Survey>>>;

/// The one of this turn.
fn kept(all: &Kept, survey: impl FnOnce() -> Result<Survey, String>) -> Result<Arc<Survey>, String> {
    let mut all = all.lock().map_err(|why| why.to_string())?;
    if let Some(known) = all.get(&turn()) {
        return Ok(Arc::clone(known));
    }
    let new = Arc::new(survey()?);
    all.insert(turn(), Arc::clone(&new));
    Ok(new)
}

/// Look-ups where everybody knows one node of each bucket and names one, and rests.
fn thinned(machines: u32) -> Result<Vec<LookedUp>, String> {
    let mut net = attack::network(&Rc::new(Atlas::of(machines).thin()), |_, peer| member(peer, Some(Handicap::NamesOne)))?;
    let (mut draws, pick) = (Draws::new(shifted(3), "thin", &[]), |draws: &mut Draws| draws.below(u64::from(machines)) as u32);
    let owners: Vec<_> = attack::publish(&mut net, 50, &mut draws, pick)?.into_iter().map(|(_, owner)| owner).collect();
    look_up_from(&mut net, &owners, 300, &mut draws, |_, draws| pick(draws))
}

/// All over the world.
pub(super) fn world() -> Terrain {
    Terrain::world(shifted(3), Network { delay_us: 0, ..Network::default() })
}

fn middle_trip(machines: u32, draws: &mut Draws) -> f64 {
    let terrain = world();
    let mut machine = || draws.below(u64::from(machines)) as u32;
    quantile((0..1_001).map(|_| terrain.delay(machine(), machine()).as_secs_f64() * 2_000.0 + 5.0).collect(), 500)
}

fn survey(machines: u32, looks: u64) -> Result<Survey, String> {
    let mut draws = Draws::new(shifted(3), "survey", &[]);
    let rtt_ms = middle_trip(machines, &mut draws);
    let mut net = Net::new(3, world(), server_or_seed, None);
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    let owners = publish(&mut net, 200, &mut draws)?;
    let looked = look_up(&mut net, &owners, looks, &mut draws)?;
    Ok(Survey { machines, servers: net.servers(), rtt_ms, looked })
}
