//! `dht-join`: a network comes into being through one address.

use std::time::Duration;

use overcom_simulator::swarm::{Terrain, address};
use overcom_simulator::{Draws, Network};

use super::looks::{look_up, lost, publish};
use super::net::{Handicap, Net, server_or_seed};
use crate::figure::{Measured, Size};
use crate::meter::cpu;
use crate::seeds::shifted;

/// What ten thousand joins may take, in seconds; fewer in proportion.
const ALLOWED: f64 = 60.0;
/// So many look-ups of a million may find nothing.
const LOST_PPM: f64 = 1_000.0;

/// CPU of ten thousand machines that join through one seed by the wire within 300 simulated seconds, over a minute; and the
/// share of look-ups right after that find nothing, over one in a thousand: the worse of the two. In the control the seed
/// begins when half of the others have begun, and who has not been answered at once does not ask again.
pub(crate) fn join(size: Size) -> Result<Measured, String> {
    let machines = size.of(500, 10_000, 10_000) as u32;
    let clock = cpu();
    let mut net = grown(machines, None)?;
    let took = cpu().saturating_sub(clock).as_secs_f64();
    let looks = size.of(500, 2_000, 10_000);
    let share = lost_after(&mut net, looks)?;
    let standing = net.servers();
    let time = took / (ALLOWED * f64::from(machines) / 10_000.0);
    let mut crippled = grown(machines.min(500), Some(Handicap::AsksOnce { entry: Some(address(0)), has_asked: false }))?;
    let control = lost_after(&mut crippled, 200)? * 1e6 / LOST_PPM;
    Ok(Measured {
        value: time.max(share * 1e6 / LOST_PPM),
        control,
        size: u64::from(machines),
        detail: format!(
            "{took:.1} s of CPU for {machines} machines; {:.4} % of {looks} look-ups found nothing; {standing} serve so far; ideal \
             cryptography; control: a seed that begins in the middle, asked once by each",
            share * 100.0,
        ),
        ..Measured::OF_ALLOWED
    })
}

fn lost_after(net: &mut Net, looks: u64) -> Result<f64, String> {
    let mut draws = Draws::new(shifted(1), "join", &[]);
    let owners = publish(net, 100, &mut draws)?;
    Ok(lost(&look_up(net, &owners, looks, &mut draws)?))
}

fn grown(machines: u32, handicap: Option<Handicap>) -> Result<Net, String> {
    let within = Duration::from_millis(30) * machines;
    let mut net = Net::new(1, Terrain::flat(Network::default()), server_or_seed, handicap);
    if handicap.is_some() {
        net.swarm.add(machines);
        net.swarm.flash_crowd(1..machines, net.swarm.now(), within);
        net.swarm.join_at(0, net.swarm.now() + within / 2);
        net.run(within)?;
    } else {
        net.grow(machines, within, Duration::ZERO)?;
    }
    Ok(net)
}
