//! `dht-memory`, `dht-idle` and `dht-endpoints`: what a machine costs whoever runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{NodeSecret, Seed, Solo, Time, WallTime};
use overcom_simulator::Network;
use overcom_simulator::swarm::{Terrain, address};

use super::looks::{mean, quantile};
use super::net::{HOUR, Net, client, server, server_or_seed};
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
    let network = Terrain::flat(Network::default());
    let mut net = Net::new(seed, network, |machine| if is_client(machine) { client() } else { server_or_seed(machine) }, None);
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    Ok(net)
}

/// Heap and own size of a machine that serves over 64 KiB, and of one that only asks over 16 KiB: the worse, the largest of
/// those that are looked at. The control keeps everybody whom it
/// hears of, in a map.
pub(crate) fn memory(size: Size) -> Result<Measured, String> {
    let machines = size.of(1_000, 5_000, 10_000) as u32;
    let mut net = mixed(7, machines)?;
    let (mut servers, mut clients, mut tables) = (Vec::new(), Vec::new(), [0_u64; 2]);
    for machine in (2..machines).filter(|machine| machine % 50 < 2 || is_client(*machine)).take(400) {
        let fresh = idle()?;
        let (table, solo) = net.ask(machine, |peer, _| {
            let table = peer.solo.view().realms.iter().map(|realm| realm.nodes).sum::<u64>();
            (table, std::mem::replace(&mut peer.solo, fresh))
        })?;
        let heap = (heap_of(solo) + size_of::<Solo>() as u64) as f64;
        let is_client = is_client(machine);
        if is_client { &mut clients } else { &mut servers }.push(heap);
        tables[usize::from(is_client)] = tables[usize::from(is_client)].max(table);
    }
    let most = |heaps: &[f64]| quantile(heaps.to_vec(), 1_000);
    let kib = |bytes: f64| bytes / 1_024.0;
    Ok(Measured {
        value: (kib(most(&servers)) / 64.0).max(kib(most(&clients)) / 16.0),
        control: kib(map_of(machines)) / 64.0,
        size: u64::from(machines),
        detail: format!(
            "servers {:.1} KiB at most, {:.1} in the middle, tables up to {} nodes; clients {:.1} and {:.1} KiB, up to {}; tables as a network of \
             {machines} gives them, grown by the wire; control: a map of all machines",
            kib(most(&servers)),
            kib(quantile(servers.clone(), 500)),
            tables[0],
            kib(most(&clients)),
            kib(quantile(clients.clone(), 500)),
            tables[1],
        ),
        ..Measured::OF_ALLOWED
    })
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
/// two binds over 3 MB, the worse. A server's links are not in it: five binds take two and a half times what a client's do. In the
/// control a server is held to what a client may.
pub(crate) fn idle_bytes(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let mut net = mixed(8, machines)?;
    let before = moved(&net);
    net.run(HOUR)?;
    let day = |clients: bool| {
        let all = moved(&net).into_iter().zip(&before).filter(|((machine, _), _)| is_client(*machine) == clients);
        mean(all.map(|((_, now), (_, then))| (now - then) as f64 * 24.0 / 1e6))
    };
    let (servers, clients, binds) = (day(false), day(true), super::bind::links_mb()?);
    Ok(Measured {
        value: (servers / 40.0).max((clients + binds) / 3.0),
        control: servers / 3.0,
        size: u64::from(machines),
        detail: format!(
            "{servers:.2} MB a day of who serves ({:.0} B/s), without links; {clients:.2} MB of a client and {binds:.2} MB of two binds; control: \
             a server against 3 MB",
            servers * 1e6 / 86_400.0
        ),
        ..Measured::OF_ALLOWED
    })
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

/// Addresses to which a machine speaks in its first 30 seconds over 60, and a client in an idle hour over 200: the worse, the most of those that are looked at. In the control a server is held to 60 in an hour.
pub(crate) fn endpoints(size: Size) -> Result<Measured, String> {
    let machines = size.of(300, 1_000, 10_000) as u32;
    let mut net = mixed(9, machines)?;
    let fresh = net.swarm.add(20);
    let mut starts = Vec::new();
    for machine in fresh..fresh + 20 {
        net.swarm.join_at(machine, net.swarm.now());
        net.run(Duration::ZERO)?;
        // Its first datagram is to its entry peer, which counts all the same.
        watch(&mut net, machine)?;
        net.run(Duration::from_secs(30))?;
        starts.push(spoken(&mut net, machine)?.max(1));
    }
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
    let starts: Vec<f64> = starts.into_iter().map(|count| count as f64).collect();
    let most = |counts: &[f64]| quantile(counts.to_vec(), 1_000);
    Ok(Measured {
        value: (most(&starts) / 60.0).max(most(&clients) / 200.0),
        control: most(&servers) / 60.0,
        size: u64::from(machines),
        detail: format!(
            "30 s from a cold start: {:.0} at most, {:.0} in the middle of 20; a client's idle hour {:.0} and {:.0}; control: a server's hour, \
             {:.0}, against 60",
            most(&starts),
            quantile(starts.clone(), 500),
            most(&clients),
            quantile(clients.clone(), 500),
            most(&servers),
        ),
        ..Measured::OF_ALLOWED
    })
}

fn watch(net: &mut Net, machine: u32) -> Result<(), String> {
    net.ask(machine, |peer, _| peer.spoken = Some(BTreeSet::new()))
}

fn spoken(net: &mut Net, machine: u32) -> Result<usize, String> {
    // Draws stay as they were: nothing is said to the machine itself.
    net.ask(machine, |peer, _| peer.spoken.take().map_or(0, |spoken| spoken.len()))
}
