//! `dht-serve-rate`: one machine of a grown network, and what comes to its door.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use overcom_core::{Action, Config, Crypto, Event, Path, Time};
use overcom_simulator::swarm::{Machine as _, Terrain, address};
use overcom_simulator::{Draws, Network};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::looks::publish;
use super::net::{Net, Owner, Peer, any_that, base64, server, serves};
use super::served::{Block, Served};
use crate::figure::{Measured, Size, median};
use crate::meter::{cpu, cpu_of};
use crate::seeds::shifted;
use crate::speed::Speed;

const SETTLE: Duration = Duration::from_secs(900);
const MACHINES: u32 = 100;

/// A server with a table and records, and its place.
pub(super) struct Door {
    pub(super) net: Net,
    pub(super) machine: u32,
    pub(super) owners: Vec<Owner>,
    pub(super) draws: Draws,
}

/// What came back to whoever asked.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) back: Vec<Vec<u8>>,
}

impl Door {
    pub(super) fn new(seed: u64, config: Config) -> Result<Self, String> {
        let mut net = Net::new(seed, Terrain::flat(Network::default()), move |_| config, None);
        net.grow(MACHINES, Duration::from_secs(3), SETTLE)?;
        let mut draws = Draws::new(shifted(seed), "door", &[]);
        let owners = publish(&mut net, 20, &mut draws)?;
        let keeps = |peer: &Peer| serves(peer) && peer.solo.view().records > 0;
        let machine = any_that(&net, &mut draws, keeps).ok_or("nobody keeps a record")?;
        Ok(Self { net, machine, owners, draws })
    }

    /// Somebody from `from` says something; nothing of what comes of it reaches the network.
    pub(super) fn say(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<Answer, String> {
        let path = Path { local: address(self.machine), remote: from };
        self.net.ask(self.machine, |peer, now| tell(peer, now, path, bytes))
    }

    pub(super) fn exchange(&mut self) -> String {
        base64(&self.draws.u64().to_be_bytes())
    }

    /// A cookie for an address.
    pub(super) fn cookie(&mut self, from: SocketAddr) -> Result<String, String> {
        let ping = first_ping(&self.exchange());
        let answer = self.say(from, ping.to_string().as_bytes())?;
        let reply: Value = answer.back.first().and_then(|bytes| serde_json::from_slice(bytes).ok()).unwrap_or_default();
        reply["cookie"].as_str().map(str::to_owned).ok_or_else(|| format!("no cookie in {reply}"))
    }

    /// A record that it keeps, and gives an address a token for.
    pub(super) fn writable(&mut self, from: SocketAddr) -> Result<Writable, String> {
        let cookie = self.cookie(from)?;
        for index in 0..self.owners.len() {
            let target = self.owners[index].home.clone();
            let get =
                json!({"v": 1, "t": self.exchange(), "q": "get", "cookie": cookie, "target": target, "kind": "address", "write": true});
            let answer = self.say(from, get.to_string().as_bytes())?;
            let Some(bytes) = answer.back.first() else { continue };
            let reply: Given<'_> = serde_json::from_slice(bytes).map_err(|why| why.to_string())?;
            if let Some(record) = reply.record.filter(|_| reply.token.is_some()) {
                return Ok(Writable { cookie, target, record: record.get().to_owned() });
            }
        }
        Err("it keeps none of the records".into())
    }
}

/// A ping with room for a cookie in its reply.
pub(super) fn first_ping(exchange: &str) -> Value {
    json!({"v": 1, "t": exchange, "q": "ping", "pad": ".".repeat(160)})
}

/// A ping, a find and a get, without a cookie.
pub(super) fn asks(exchange: &str, home: &str) -> [Value; 3] {
    [
        json!({"v": 1, "t": exchange, "q": "ping"}),
        json!({"v": 1, "t": exchange, "q": "find", "target": home}),
        json!({"v": 1, "t": exchange, "q": "get", "target": home, "kind": "address"}),
    ]
}

/// What of a reply to a `get` counts here. The record stays as it was sent: it is signed.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow)]
    record: Option<&'a RawValue>,
    token: Option<String>,
}

/// What it takes to write a record.
pub(super) struct Writable {
    pub(super) cookie: String,
    pub(super) target: String,
    record: String,
}

impl Writable {
    pub(super) fn put(&self, exchange: &str, cookie: &str, token: &str) -> String {
        let Self { target, record, .. } = self;
        format!(
            r#"{{"v":1,"t":"{exchange}","q":"put","cookie":"{cookie}","token":"{token}","target":"{target}","kind":"address","record":{record}}}"#
        )
    }
}

fn tell(peer: &mut Peer, now: Time, path: Path, bytes: &[u8]) -> Answer {
    peer.solo.handle(now, Event::datagram(path, bytes));
    let mut answer = Answer::default();
    while let Some(action) = peer.poll() {
        if let Action::SendDatagram { path: to, packet } = action
            && to.remote == path.remote
        {
            answer.back.push(packet.bytes().to_vec());
        }
    }
    answer
}

/// Somebody outside of the network, in a /24 of its own.
pub(super) fn stranger(n: u32) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from_bits((64 << 24) + (n << 8) + 7), 7_575))
}

/// Microseconds of CPU that a request may take in core alone: 250,000 a second.
const ALONE_MAX: f64 = 4.0;
/// And on the thread of a node with sockets: 150,000 a second.
const SERVED_MAX: f64 = 1e6 / 150_000.0;

/// The limits for one source, for one group and for bytes are lifted.
pub(super) const fn unlimited(config: Config) -> Config {
    config.dht_requests_per_second(1_000_000).dht_group_requests_per_second(1_000_000).dht_reply_bytes_per_second(1 << 30)
}

/// CPU of a request that is answered, over what it may take: pings, finds and gets in turn, whose senders show their cookies.
/// The worse of two: in core alone, of 10,000 sources; and on the thread of a node of overcom-mio, of some sockets on loopback,
/// the kernel's work for its own socket with it. In the control a signature is verified for each, as if signatures came
/// first; the better of the two counts.
pub(crate) fn serve_rate(size: Size) -> Result<Measured, String> {
    let speed = Speed::measure()?;
    let alone = alone(size)?;
    let (blocks, requests) = (size.of(3, 10, 20), size.of(20_000, 100_000, 300_000));
    let mut served = Served::start(unlimited(Config::desktop()))?;
    // Whoever begins has buffers to make.
    served.block(requests / 10)?;
    let blocks = (0..blocks).map(|_| served.block(requests)).collect::<Result<Vec<_>, _>>()?;
    let middle = |of: fn(&Block) -> f64| median(blocks.iter().map(of).collect());
    let (micros, sum) = (middle(|block| block.micros), |of: fn(&Block) -> u64| blocks.iter().map(of).sum::<u64>());
    let crypto = Crypto::standard();
    let (public, signature) = (crypto.public_of_signing(&[1; 32]), crypto.sign(&[1; 32], b"1"));
    let verify = cpu_of(100, || crypto.verify(&public, b"1", &signature)).as_secs_f64() * 1e6;
    let shares = |more: f64| [(alone.live + more) / ALONE_MAX, (micros + more) / SERVED_MAX].map(|share| share * speed.factor());
    let ([one, other], control) = (shares(0.0), shares(verify));
    let a_second = |micros: f64| format!("{:.0} here, {:.0} on the reference", 1e6 / micros, 1e6 / micros / speed.factor());
    Ok(Measured {
        value: one.max(other),
        control: control[0].min(control[1]),
        size: alone.all + sum(|block| block.asked),
        detail: format!(
            "requests a CPU-second: core alone {} ({one:.2} of 4 µs), {} of {} answered, without cookies {:.0}, {} answered; \
             overcom-mio, its thread with the kernel's part {} ({other:.2} of 6.67 µs), {:.0} % in the kernel, {} of {} answered, \
             {:.0} a second of the wall clock; {speed}; control: with a signature verified for each",
            a_second(alone.live),
            alone.answered,
            alone.all,
            1e6 / alone.cold,
            alone.of_cold,
            a_second(micros),
            middle(|block| block.kernel) * 100.0,
            sum(|block| block.answered),
            sum(|block| block.asked),
            middle(|block| block.a_second),
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Microseconds of CPU for a request that core answers alone, with cookies and without.
struct Alone {
    all: u64,
    live: f64,
    answered: u64,
    cold: f64,
    of_cold: u64,
}

fn alone(size: Size) -> Result<Alone, String> {
    let mut door = Door::new(10, unlimited(server()))?;
    let (sources, rounds) = (size.of(2_000, 10_000, 10_000) as u32, size.of(3, 10, 30));
    let mut asked: [Vec<(Path, Vec<u8>)>; 2] = Default::default();
    for n in 0..sources {
        let from = stranger(n);
        let cookie = door.cookie(from)?;
        let path = Path { local: address(door.machine), remote: from };
        let home = door.owners[n as usize % door.owners.len()].home.clone();
        let exchange = door.exchange();
        let mut requests = asks(&exchange, &home);
        let request = &mut requests[n as usize % 3];
        let cold = request.to_string();
        request["cookie"] = json!(cookie);
        let padded = cold.trim_end_matches('}').to_owned() + &format!(",\"pad\":\"{}\"}}", ".".repeat(300));
        asked[0].push((path, request.to_string().into_bytes()));
        asked[1].push((path, padded.into_bytes()));
    }
    let machine = door.machine;
    let rate = |requests: &[(Path, Vec<u8>)], net: &mut Net| -> Result<(f64, u64), String> {
        net.ask(machine, |peer, now| {
            let (clock, mut answered) = (cpu(), 0_u64);
            for _ in 0..rounds {
                for (path, bytes) in requests {
                    peer.solo.handle(now, Event::datagram(*path, bytes));
                    while let Some(action) = peer.solo.poll() {
                        if let Action::SendDatagram { path: to, packet } = action {
                            answered += u64::from(to.remote == path.remote);
                            peer.solo.recycle(packet);
                        }
                    }
                }
            }
            (cpu().saturating_sub(clock).as_secs_f64() * 1e6 / (answered.max(1) as f64), answered)
        })
    };
    let (live, answered) = rate(&asked[0], &mut door.net)?;
    let (cold, of_cold) = rate(&asked[1], &mut door.net)?;
    Ok(Alone { all: u64::from(sources) * rounds, live, answered, cold, of_cold })
}
