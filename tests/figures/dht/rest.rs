//! `dht-memory`, `dht-idle` and `dht-endpoints`: what a machine costs whoever runs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Config, NodeSecret, Seed, Solo, Time, WallTime};
use overcom_simulator::Network;
use overcom_simulator::swarm::{Birth, Terrain, address};

use super::atlas::{self, Atlas};
use super::looks::{mean, quantile};
use super::net::{HOUR, Member, Net, Owner, Reader, client, server, server_or_seed};
use super::trace::HEADERS;
use crate::figure::{Measured, Size};
use crate::meter::heap_of;

const SETTLE: Duration = Duration::from_secs(1_800);
/// Every so manyth machine is a telephone.
const CLIENT_EACH: u32 = 10;

const fn is_client(machine: u32) -> bool {
    machine % CLIENT_EACH == 1
}

fn mixed(seed: u64, machines: u32) -> Result<Net, String> {
    mixed_with(seed, machines, client())
}

/// Every tenth machine has this configuration.
fn mixed_with(seed: u64, machines: u32, client: Config) -> Result<Net, String> {
    let network = Terrain::flat(Network::default());
    let mut net = Net::new(seed, network, move |machine| if is_client(machine) { client } else { server_or_seed(machine) }, None);
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    Ok(net)
}

/// Heap and own size of a machine that serves over 64 KiB, and of one that only asks over 16 KiB: the worse, the largest of
/// those that are looked at, in a network that came by the wire or among a million machines with tables as after days. What they hold
/// after look-ups stands beside it. The control keeps everybody whom it hears of, in a map: no configuration of
/// core lets a table grow without bound.
pub(crate) fn memory(size: Size) -> Result<Measured, String> {
    let (machines, looks) = (size.of(1_000, 5_000, 10_000) as u32, size.of(15, 50, 100));
    let (grown, [stored, busy]) = (grown_heaps(machines)?, stored_heaps(size, looks)?);
    Ok(Measured {
        value: grown.worst().max(stored.worst()),
        control: map_of(machines) / 1_024.0 / 64.0,
        size: u64::from(stored.machines),
        detail: format!(
            "{}, grown by the wire; {}, with stored tables; after {looks} look-ups each {}; control: a map of {machines} machines",
            grown.words(),
            stored.words(),
            busy.words()
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Of some of a network: heap and own size in KiB, and nodes in the table, of who serves and of who only asks.
struct Heaps {
    machines: u32,
    kib: [Vec<f64>; 2],
    tables: [u64; 2],
}

impl Heaps {
    /// What these machines hold, which is the end of them.
    fn of(net: &mut Net, all: impl Iterator<Item = u32>) -> Result<Self, String> {
        let mut heaps = Self { machines: net.swarm.len(), kib: [vec![], vec![]], tables: [0; 2] };
        for machine in all {
            let fresh = idle()?;
            let (table, solo) = net.ask(machine, |peer, _| {
                let table = peer.solo.view().realms.iter().map(|realm| realm.nodes).sum::<u64>();
                (table, std::mem::replace(&mut peer.solo, fresh))
            })?;
            let of = usize::from(is_client(machine));
            heaps.kib[of].push((heap_of(solo) + size_of::<Solo>() as u64) as f64 / 1_024.0);
            heaps.tables[of] = heaps.tables[of].max(table);
        }
        Ok(heaps)
    }

    fn at(&self, of: usize, thousandth: usize) -> f64 {
        quantile(self.kib[of].clone(), thousandth)
    }

    fn worst(&self) -> f64 {
        (self.at(0, 1_000) / 64.0).max(self.at(1, 1_000) / 16.0)
    }

    fn words(&self) -> String {
        format!(
            "{} machines: servers {:.1} KiB at most, {:.1} in the middle, tables up to {} nodes, clients {:.1} and {:.1} KiB, up to {}",
            self.machines,
            self.at(0, 1_000),
            self.at(0, 500),
            self.tables[0],
            self.at(1, 1_000),
            self.at(1, 500),
            self.tables[1]
        )
    }
}

fn grown_heaps(machines: u32) -> Result<Heaps, String> {
    let mut net = mixed(7, machines)?;
    let some = (2..machines).filter(|machine| machine % 50 < 2 || is_client(*machine)).take(400);
    Heaps::of(&mut net, some)
}

/// Of machines that live for half an hour, and of others that look for so many users as well. Clients have tables of sixteen places
/// a bucket.
fn stored_heaps(size: Size, looks: u64) -> Result<[Heaps; 2], String> {
    let count = size.of(6, 20, 100) as u32;
    let atlas = Rc::new(Atlas::of(size.of(100_000, 1_000_000, 1_000_000) as u32));
    let shared = Rc::clone(&atlas);
    let make = move |birth: &Birth| {
        let is_client = is_client(birth.machine);
        Member::honest(shared.still(if is_client { client() } else { server() }, birth, !is_client))
    };
    let mut net = atlas::network(&atlas, 7, Terrain::flat(Network::default()), make)?;
    // A client and its neighbour, which serves.
    let each = atlas.len() / count / CLIENT_EACH * CLIENT_EACH;
    let pairs = |of: u32| (0..count).flat_map(move |n| [each * n + CLIENT_EACH * of + 1, each * n + CLIENT_EACH * of + 2]);
    let (idle, busy) = (pairs(0), pairs(1));
    for machine in idle.clone() {
        net.ask(machine, |_, _| ())?;
    }
    for n in 0..looks {
        for machine in busy.clone() {
            let owner = Owner::draw(7, n * u64::from(atlas.len()) + u64::from(machine))?;
            // Whoever looks takes what it is told.
            net.ask(machine, |peer, now| {
                peer.told();
                owner.find(peer, now, Reader::Contact)
            })??;
        }
        net.run(SETTLE / looks as u32)?;
    }
    Ok([Heaps::of(&mut net, idle)?, Heaps::of(&mut net, busy)?])
}

/// The heap of a map of so many machines: where each is, its id, when it was heard and how long it takes.
fn map_of(machines: u32) -> f64 {
    type Known = ([u8; 32], Time, Duration);
    let map: BTreeMap<SocketAddr, Known> = (0..machines).map(|machine| (address(machine), ([7; 32], Time::ZERO, HOUR))).collect();
    heap_of(map) as f64
}

fn idle() -> Result<Solo, String> {
    let secret = NodeSecret::from_bytes([1; 32]);
    Solo::new(server(), &secret, &Seed::from_bytes([1; 32]), Time::ZERO, WallTime::from_millis(0)).map_err(|why| why.to_string())
}

/// Bytes that the DHT of an idle machine sends and receives in a day, with headers: of who serves over 40 MB, of a client and its
/// two binds over 3 MB, the worse. A server's links are not in it: five binds take two and a half times what a client's do; with sixteen
/// links among 100,000 machines an estimate is 35 MB. In the control telephones serve.
pub(crate) fn idle_bytes(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let [servers, clients] = day_mb(&mut mixed(8, machines)?)?;
    let [_, serving] = day_mb(&mut mixed_with(8, 200, client().dht_serve(1))?)?;
    let binds = super::bind::links_mb()?;
    Ok(Measured {
        value: (servers / 40.0).max((clients + binds) / 3.0),
        control: serving / 3.0,
        size: u64::from(machines),
        detail: format!(
            "{servers:.2} MB a day of who serves ({:.0} B/s), without links; {clients:.2} MB of a client and {binds:.2} MB of two binds; control: \
             {serving:.2} MB of a telephone that serves",
            servers * 1e6 / 86_400.0
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Megabytes in a day of who serves and of clients, in the mean, by an hour's.
fn day_mb(net: &mut Net) -> Result<[f64; 2], String> {
    let before = moved(net);
    net.run(HOUR)?;
    let after = moved(net);
    Ok([false, true].map(|clients| {
        let all = after.iter().zip(&before).filter(|((machine, _), _)| is_client(*machine) == clients);
        mean(all.map(|((_, now), (_, then))| (now - then) as f64 * 24.0 / 1e6))
    }))
}

/// What each has sent and received so far.
fn moved(net: &Net) -> Vec<(u32, u64)> {
    let of = |peer: &super::net::Peer| {
        let stats = peer.solo.stats();
        let datagrams = stats.dht_in + stats.dht_requests_out + stats.dht_replies_out;
        stats.dht_bytes_in + stats.dht_bytes_out + datagrams * HEADERS
    };
    net.peers().map(|(machine, peer)| (machine, of(peer))).collect()
}

/// Addresses to which a machine speaks in its first 30 seconds over 60, and a client in an idle hour over 200: the worse, the most of
/// those that are looked at. In the control a server is held to 60 in an hour: to lift the bound of four new ones a second
/// (DHT-74) changes nothing here, since nobody reaches it.
pub(crate) fn endpoints(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let mut net = mixed(9, machines)?;
    let starts = first_addresses(&mut net, 20)?;
    let sample: Vec<u32> = (0..machines).filter(|machine| machine % CLIENT_EACH < 2).take(200).collect();
    for machine in &sample {
        watch(&mut net, *machine)?;
    }
    net.run(HOUR)?;
    let (mut clients, mut servers) = (Vec::new(), Vec::new());
    for machine in sample {
        let count = spoken(&mut net, machine)?;
        if is_client(machine) { &mut clients } else { &mut servers }.push(count as f64);
    }
    let most = |counts: &[f64]| quantile(counts.to_vec(), 1_000);
    Ok(Measured {
        value: (most(&starts) / 60.0).max(most(&clients) / 200.0),
        control: most(&servers) / 60.0,
        size: u64::from(machines),
        detail: format!(
            "30 s from a cold start: {:.0} at most, {:.0} in the middle of 20; a client's idle hour {:.0} and {:.0}; control: a server's hour, {:.0}, \
             against 60",
            most(&starts),
            quantile(starts.clone(), 500),
            most(&clients),
            quantile(clients.clone(), 500),
            most(&servers),
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Addresses to which so many newcomers speak in their first 30 seconds.
fn first_addresses(net: &mut Net, newcomers: u32) -> Result<Vec<f64>, String> {
    let fresh = net.swarm.add(newcomers);
    let mut starts = Vec::new();
    for machine in fresh..fresh + newcomers {
        net.swarm.join_at(machine, net.swarm.now());
        net.run(Duration::ZERO)?;
        // Its first datagram is to its entry peer, which counts all the same.
        watch(net, machine)?;
        net.run(Duration::from_secs(30))?;
        starts.push(spoken(net, machine)?.max(1) as f64);
    }
    Ok(starts)
}

fn watch(net: &mut Net, machine: u32) -> Result<(), String> {
    net.ask(machine, |peer, _| peer.spoken = Some(BTreeMap::new()))
}

fn spoken(net: &mut Net, machine: u32) -> Result<usize, String> {
    // Draws stay as they were: nothing is said to the machine itself.
    net.ask(machine, |peer, _| peer.spoken.take().map_or(0, |spoken| spoken.len()))
}
