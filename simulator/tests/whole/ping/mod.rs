//! Work to measure engines with: every machine wakes each 100 ms and sends 64 bytes to another one, which sends them back.
//! And the plainest engine that can do it, to compare with.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{Action, Event, Packet, Path, Time, WallTime};
use overcom_simulator::swarm::{Birth, Machine, Swarm, Terrain, address};
use overcom_simulator::{Digest, Draws, Network};

const EVERY: Duration = Duration::from_millis(100);
/// 2026-01-01T00:00Z, when every run begins.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// 10 to 110 ms, nothing lost.
pub(crate) fn network() -> Network {
    Network { delay_us: 10_000, jitter_us: 100_000, ..Network::default() }
}

/// One machine.
pub(crate) struct Ping {
    draws: Draws,
    next: Time,
    machines: u32,
    /// Pings that came back.
    pub(crate) answered: u32,
    local: SocketAddr,
    waiting: Option<(SocketAddr, Packet)>,
    spare: Option<Packet>,
}

impl Ping {
    /// One of so many.
    pub(crate) fn new(birth: &Birth, machines: u32) -> Self {
        let mut draws = birth.draws;
        let next = birth.now + Duration::from_micros(draws.below(100_000) + 1);
        Self { draws, next, machines, answered: 0, local: birth.address, waiting: None, spare: None }
    }

    fn send(&mut self, to: SocketAddr, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes: Vec<u8> = self.spare.take().map_or_else(|| Vec::with_capacity(64), Vec::from);
        bytes.clear();
        fill(&mut bytes);
        self.waiting = Some((to, Packet::from(bytes)));
    }
}

impl Machine for Ping {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        if let Event::Datagram { path, bytes, .. } = event {
            match bytes.first() {
                Some(0) => self.send(path.remote, |answer| {
                    answer.extend_from_slice(bytes);
                    answer[0] = 1;
                }),
                _ => self.answered += 1,
            }
        } else if event == Event::Tick && self.next <= now {
            self.next = self.next + EVERY;
            let to = address(self.draws.below(self.machines.into()) as u32);
            let number = self.draws.u64();
            self.send(to, |bytes| {
                bytes.resize(64, 0);
                bytes[1..9].copy_from_slice(&number.to_le_bytes());
            });
        }
    }

    fn poll(&mut self) -> Option<Action> {
        let (remote, packet) = self.waiting.take()?;
        Some(Action::SendDatagram { path: Path { local: self.local, remote }, packet })
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.next)
    }

    fn recycle(&mut self, packet: Packet) {
        self.spare = Some(packet);
    }
}

/// So many machines that have begun.
pub(crate) fn swarm(seed: u64, machines: u32) -> Result<Swarm<Ping>, String> {
    let mut swarm = Swarm::new(seed, Terrain::flat(network()), move |birth| Ping::new(birth, machines));
    swarm.start(machines).map_err(|failure| format!("{failure:?}"))?;
    Ok(swarm)
}

/// The same machines on an engine as one writes it first: a binary heap, a map of addresses, a `Vec` for each datagram, and
/// a digest of formatted text. What it hashes is the same to the byte.
pub(crate) struct Plain {
    now: Time,
    seed: u64,
    heap: BinaryHeap<Reverse<Entry>>,
    inserted: u64,
    machines: Vec<Ping>,
    places: BTreeMap<SocketAddr, usize>,
    sent: Vec<u64>,
    told: Vec<u64>,
    digest: u128,
    /// Deadlines and datagrams that came.
    pub(crate) happened: u64,
}

/// Time, destination, source, number, and the bytes of a datagram.
type Entry = (Time, usize, usize, u64, Option<Vec<u8>>);

impl Plain {
    pub(crate) fn new(seed: u64, machines: u32) -> Self {
        let births = (0..machines).map(|machine| {
            let draws = Draws::new(seed, "machine", &[machine.into(), 0]);
            Birth { machine, life: 0, now: Time::ZERO, wall: WallTime::from_millis(EPOCH_MS), address: address(machine), draws }
        });
        let machines: Vec<Ping> = births.map(|birth| Ping::new(&birth, machines)).collect();
        let places = machines.iter().enumerate().map(|(at, machine)| (machine.local, at)).collect();
        let (sent, told) = (vec![0; machines.len()], vec![0; machines.len()]);
        let mut plain =
            Self { now: Time::ZERO, seed, heap: BinaryHeap::new(), inserted: 0, machines, places, sent, told, digest: 0, happened: 0 };
        for me in 0..plain.machines.len() {
            plain.mark(me, "addresses", &endpoint(plain.machines[me].local));
            plain.tell_wall(me);
            plain.wake(me);
        }
        plain
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest(self.digest)
    }

    pub(crate) fn run_until(&mut self, until: Time) {
        while self.heap.peek().is_some_and(|Reverse(entry)| entry.0 <= until) {
            let Some(Reverse((at, me, from, _, bytes))) = self.heap.pop() else { return };
            self.now = at;
            if let Some(bytes) = bytes {
                self.happened += 1;
                self.tell_wall_each_minute(me);
                let path = Path { local: self.machines[me].local, remote: self.machines[from].local };
                let mut parts = endpoint(path.remote);
                parts.push(bytes.clone());
                self.mark(me, "datagram", &parts);
                self.machines[me].handle(at, Event::datagram(path, &bytes));
            }
            self.drive(me);
        }
    }

    fn drive(&mut self, me: usize) {
        loop {
            while let Some(action) = self.machines[me].poll() {
                if let Action::SendDatagram { path, packet } = action {
                    self.send(me, path.remote, packet.bytes());
                    self.machines[me].recycle(packet);
                }
            }
            if self.machines[me].deadline().is_none_or(|due| due > self.now) {
                return;
            }
            self.happened += 1;
            self.tell_wall_each_minute(me);
            self.mark(me, "tick", &[]);
            self.machines[me].handle(self.now, Event::Tick);
            self.wake(me);
        }
    }

    fn send(&mut self, me: usize, remote: SocketAddr, bytes: &[u8]) {
        let mut parts = endpoint(remote);
        parts.push(bytes.to_vec());
        self.mark(me, "send datagram", &parts);
        let Some(to) = self.places.get(&remote).copied() else { return };
        self.sent[me] += 1;
        let mut draws = Draws::new(self.seed, "link", &[me as u64, to as u64, self.sent[me]]);
        // Whether it is lost is drawn first.
        draws.u64();
        let network = network();
        let at = self.now + Duration::from_micros(network.delay_us + draws.below(network.jitter_us + 1));
        self.push(at, to, me, Some(bytes.to_vec()));
    }

    fn wake(&mut self, me: usize) {
        if let Some(due) = self.machines[me].deadline() {
            self.push(due, me, me, None);
        }
    }

    fn push(&mut self, at: Time, to: usize, from: usize, bytes: Option<Vec<u8>>) {
        self.inserted += 1;
        self.heap.push(Reverse((at, to, from, self.inserted, bytes)));
    }

    fn tell_wall_each_minute(&mut self, me: usize) {
        let minute = self.now.as_micros() / 60_000_000;
        if std::mem::replace(&mut self.told[me], minute) != minute {
            self.tell_wall(me);
        }
    }

    fn tell_wall(&mut self, me: usize) {
        let wall = WallTime::from_millis(EPOCH_MS + self.now.as_micros() / 1_000);
        self.mark(me, "clock", &[wall.as_millis().to_le_bytes().to_vec()]);
        self.machines[me].handle(self.now, Event::clock(wall));
    }

    fn mark(&mut self, me: usize, kind: &str, parts: &[Vec<u8>]) {
        let mut bytes = [&self.digest.to_le_bytes()[..], &self.now.as_micros().to_le_bytes()].concat();
        for part in [&(me as u32).to_le_bytes()[..], kind.as_bytes()].into_iter().chain(parts.iter().map(Vec::as_slice)) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        self.digest = xxhash_rust::xxh3::xxh3_128(&bytes);
    }
}

/// An address as the digest holds it, by way of its text.
fn endpoint(address: SocketAddr) -> Vec<Vec<u8>> {
    let text = address.to_string();
    let (ip, port) = text.split_once(':').unwrap_or_default();
    let octets = ip.split('.').filter_map(|octet| octet.parse().ok()).collect();
    vec![octets, port.parse::<u16>().unwrap_or(0).to_le_bytes().to_vec()]
}
