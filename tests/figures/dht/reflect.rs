//! `dht-amplification`: what a machine sends to where nobody has shown that it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use overcom_core::{Event, Path};
use overcom_simulator::swarm::{Machine as _, Terrain, address};
use overcom_simulator::{Draws, Network};
use serde_json::{Value, json};

use super::door::stranger;
use super::families::v6;
use super::fields::Fields;
use super::looks::publish;
use super::named::named;
use super::net::{Member, Net, Owner, Peer, Spoken, any_server, base64, failed, server, serves};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 11;
const MACHINES: u32 = 40;
const SETTLE: Duration = Duration::from_secs(900);
/// After so long whatever a request had a machine send has been sent.
const MINUTE: Duration = Duration::from_secs(61);
/// Sources that ask at once: fewer than the new addresses that a machine speaks to at once (spec: DHT-74).
const AT_ONCE: usize = 40;
/// Who is knocked at.
const VICTIM: [&str; 2] = ["99.1.2.3:7575", "[2600:99::7]:7575"];

/// The most bytes that go within a minute to a source which showed no cookie, for each byte that came from there; and what others than the
/// asker are sent, datagrams over the asker's, and bytes over three tenths of its: the worst. Of requests of every kind and many lengths
/// to a machine that serves, and to one that does not know its own address yet and so pings who dials back, in either family; and of
/// knocks of a known node. And what victims are sent in a minute, bytes and datagrams, for those of replies that name them, of one machine in
/// five, to whoever looks for somebody: the worse; of seven in each, two or one, or of some after one of their own, who answers. The control
/// shows a cookie.
pub(crate) fn amplification(size: Size) -> Result<Measured, String> {
    let step = size.of(40, 8, 2) as usize;
    let (mut worst, mut control) = (Worst::default(), 0.0_f64);
    for is_v6 in [false, true] {
        let mut gate = Gate::new(is_v6)?;
        worst.of_strangers(&mut gate, step, Whom::Server)?;
        worst.of_strangers(&mut gate, step, Whom::Bare)?;
        worst.of_knocks(&mut gate)?;
        control = control.max(gate.with_cookie()?);
    }
    let looks = size.of(100, 500, 2_000) as usize;
    let named = [(7, 0), (2, 0), (1, 0), (6, 1), (2, 1), (5, 2), (4, 3)].map(|(count, fronts)| named(looks, count, fronts));
    let parts = [
        "to seven that are named",
        "to two",
        "to one",
        "to six after one who answers",
        "to two after one",
        "to five after two who answer",
        "to four after three",
    ];
    for (named, part) in named.iter().zip(parts) {
        let named = named.as_ref().map_err(Clone::clone)?;
        worst.note(part, named.ratio().max(named.datagrams()), || named.words());
    }
    if worst.answered == 0 || worst.knocked == 0 {
        return Err(format!("{} answered, {} knocked", worst.answered, worst.knocked));
    }
    Ok(Measured {
        value: worst.parts.values().map(|(ratio, _)| *ratio).fold(0.0, f64::max),
        unit: "of a byte",
        target: 1.0,
        control,
        size: worst.asked,
        seeds: 1,
        detail: format!(
            "{} of {} requests had an answer, {} of who knows no own address more than one datagram; {} knocks; the worst: {}; control: finds with a cookie",
            worst.answered,
            worst.asked,
            worst.called,
            worst.knocked,
            worst.parts.iter().map(|(part, (ratio, which))| format!("{part} {ratio:.2} ({which})")).collect::<Vec<_>>().join(", ")
        ),
    })
}

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whom {
    Server,
    /// Somebody who does not know its own address.
    Bare,
}

/// A network of one family, a machine of it that serves, and one that nobody has told where it is.
struct Gate {
    net: Net,
    is_v6: bool,
    server: u32,
    owners: Vec<Owner>,
    draws: Draws,
    sources: u32,
}

impl Gate {
    fn new(is_v6: bool) -> Result<Self, String> {
        let at = move |machine| if is_v6 { v6(machine) } else { address(machine) };
        let mut net = Net::with(SEED, Terrain::flat(Network::default()), move |birth| {
            // Where the bare one would begin there is nobody.
            let entry = if birth.machine == MACHINES { source(is_v6, u32::from(u16::MAX)) } else { at(0) };
            let mut peer = Peer::new(server(), birth, &[entry]);
            peer.is_behind = birth.machine == MACHINES;
            Member::honest(peer)
        });
        net.swarm.add(MACHINES + 1);
        for machine in 0..=MACHINES {
            net.swarm.place(machine, &[at(machine)]).map_err(failed)?;
            net.swarm.join_at(machine, net.swarm.now() + Duration::from_millis(50) * machine);
        }
        net.run(SETTLE)?;
        let mut draws = Draws::new(shifted(SEED), "gate", &[u64::from(is_v6)]);
        let owners = publish(&mut net, 10, &mut draws)?;
        let mut server = any_server(&net, &mut draws)?;
        while server == MACHINES {
            server = any_server(&net, &mut draws)?;
        }
        Ok(Self { net, is_v6, server, owners, draws, sources: 0 })
    }

    /// Somebody who was never heard.
    fn source(&mut self) -> SocketAddr {
        self.sources += 1;
        source(self.is_v6, self.sources)
    }

    fn exchange(&mut self) -> String {
        base64(&self.draws.u64().to_be_bytes())
    }

    /// Says something to a machine; what comes of it is counted there, and reaches nobody at this moment.
    fn say(&mut self, machine: u32, from: SocketAddr, bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let path = Path { local: self.net.swarm.address(machine), remote: from };
        self.net.ask(machine, |peer, now| {
            peer.spoken.get_or_insert_default();
            peer.solo.handle(now, Event::datagram(path, bytes));
            let mut back = Vec::new();
            while let Some(action) = peer.poll() {
                if let overcom_core::Action::SendDatagram { path: to, packet } = action
                    && to.remote == from
                {
                    back.push(packet.bytes().to_vec());
                }
            }
            back
        })
    }

    /// What a machine has sent to whom since it was asked last, after a minute.
    fn spoken(&mut self, machine: u32) -> Result<BTreeMap<SocketAddr, Spoken>, String> {
        self.net.run(MINUTE)?;
        self.net.ask(machine, |peer, _| peer.spoken.take().unwrap_or_default())
    }

    fn cookie(&mut self, from: SocketAddr) -> Result<String, String> {
        let ping = json!({"v": 1, "t": self.exchange(), "q": "ping", "pad": ".".repeat(200)});
        let back = self.say(self.server, from, ping.to_string().as_bytes())?;
        let cookie = back.first().and_then(|bytes| Fields::read(bytes)?.text("cookie").map(str::to_owned));
        cookie.ok_or_else(|| format!("no cookie for {from}"))
    }

    /// Bytes for a byte of a find that shows a cookie.
    fn with_cookie(&mut self) -> Result<f64, String> {
        let from = self.source();
        let cookie = self.cookie(from)?;
        let find = json!({"v": 1, "t": self.exchange(), "q": "find", "target": self.owners[0].home, "cookie": cookie}).to_string();
        let back = self.say(self.server, from, find.as_bytes())?;
        Ok(back.iter().map(Vec::len).sum::<usize>() as f64 / find.len() as f64)
    }

    /// Neither the machines of the network nor those who asked, nor where the bare one begins.
    fn is_third(&self, at: SocketAddr, asked: &BTreeSet<SocketAddr>) -> bool {
        !asked.contains(&at) && self.net.swarm.machine_at(at).is_none() && at != source(self.is_v6, u32::from(u16::MAX))
    }
}

/// Somebody outside of the network.
fn source(is_v6: bool, n: u32) -> SocketAddr {
    if is_v6 { SocketAddr::new(Ipv6Addr::from_bits(u128::from(0x2A00_0000_u32 + n) << 96 | 7).into(), 7_575) } else { stranger(n) }
}

/// The worst so far, and how much there was.
#[derive(Default)]
struct Worst {
    parts: BTreeMap<&'static str, (f64, String)>,
    asked: u64,
    answered: u64,
    /// Of those who asked somebody without an address.
    called: u64,
    knocked: u64,
}

impl Worst {
    fn note(&mut self, part: &'static str, ratio: f64, which: impl FnOnce() -> String) {
        let worst = self.parts.entry(part).or_default();
        if ratio > worst.0 {
            *worst = (ratio, which());
        }
    }

    fn of_strangers(&mut self, gate: &mut Gate, step: usize, whom: Whom) -> Result<(), String> {
        let machine = if whom == Whom::Bare { MACHINES } else { gate.server };
        let (victim, target) = (VICTIM[usize::from(gate.is_v6)], gate.owners[0].home.clone());
        let homes: Vec<String> = gate.owners.iter().map(|owner| owner.home.clone()).collect();
        let mut requests = Vec::new();
        for (index, pad) in (0..600).step_by(step).enumerate() {
            let home = homes.get(index % homes.len()).unwrap_or(&target);
            requests.extend(kinds(home, victim).into_iter().map(|kind| (kind, pad)));
        }
        for batch in requests.chunks(AT_ONCE) {
            let mut said: BTreeMap<SocketAddr, String> = BTreeMap::new();
            for (kind, pad) in batch {
                let from = gate.source();
                let mut request = json!({"v": 1, "t": gate.exchange()});
                kind.as_object().into_iter().flatten().for_each(|(name, value)| request[name] = value.clone());
                if *pad > 0 {
                    request["pad"] = json!(".".repeat(pad - 1));
                }
                let bytes = request.to_string();
                gate.say(machine, from, bytes.as_bytes())?;
                said.insert(from, bytes);
            }
            let spoken = gate.spoken(machine)?;
            let asked: BTreeSet<SocketAddr> = said.keys().copied().collect();
            self.asked += said.len() as u64;
            for (from, request) in &said {
                let Some(sent) = spoken.get(from) else { continue };
                self.answered += 1;
                self.called += u64::from(whom == Whom::Bare && sent.datagrams > 1);
                let part = if whom == Whom::Bare { "from who knows no own address" } else { "from a server" };
                self.note(part, sent.bytes as f64 / request.len() as f64, || {
                    let word = Fields::read(request.as_bytes()).and_then(|fields| fields.text("q").map(str::to_owned)).unwrap_or_default();
                    format!("a {word} of {} bytes: {} datagrams, {} bytes", request.len(), sent.datagrams, sent.bytes)
                });
            }
            let bytes: usize = said.values().map(String::len).sum();
            self.thirds(gate, &spoken, &asked, (said.len(), bytes));
        }
        Ok(())
    }

    /// What went to others, for so many datagrams and bytes.
    fn thirds(
        &mut self,
        gate: &Gate,
        spoken: &BTreeMap<SocketAddr, Spoken>,
        asked: &BTreeSet<SocketAddr>,
        (count, bytes): (usize, usize),
    ) -> u64 {
        let mut all = Spoken::default();
        for sent in spoken.iter().filter(|(at, _)| gate.is_third(**at, asked)).map(|(_, sent)| sent) {
            all = Spoken { datagrams: all.datagrams + sent.datagrams, bytes: all.bytes + sent.bytes };
        }
        let ratio = (all.datagrams as f64 / count as f64).max(all.bytes as f64 / bytes as f64 / 0.3);
        self.note("to others", ratio, || format!("{count} of {bytes} bytes: {} datagrams, {} bytes", all.datagrams, all.bytes));
        all.datagrams
    }

    /// A machine that the server knows asks it to knock, as shortly as can be, each ten seconds (spec: DHT-134).
    fn of_knocks(&mut self, gate: &mut Gate) -> Result<(), String> {
        let victim = VICTIM[usize::from(gate.is_v6)];
        for machine in (0..MACHINES).filter(|machine| *machine != gate.server).take(10).collect::<Vec<_>>() {
            if !gate.net.peer(machine).is_some_and(serves) {
                continue;
            }
            let from = gate.net.swarm.address(machine);
            let cookie = gate.cookie(from)?;
            // What came of the ping is not the knock's.
            gate.spoken(gate.server)?;
            let mut knock = json!({"v": 1, "t": gate.exchange(), "q": "knock", "at": victim, "cookie": cookie});
            let missing = 240_usize.saturating_sub(knock.to_string().len() + ",\"pad\":\"\"".len());
            knock["pad"] = json!(".".repeat(missing));
            let knock = knock.to_string();
            gate.say(gate.server, from, knock.as_bytes())?;
            let spoken = gate.spoken(gate.server)?;
            self.asked += 1;
            self.knocked += self.thirds(gate, &spoken, &BTreeSet::from([from]), (1, knock.len()));
        }
        Ok(())
    }
}

/// A request of each kind.
fn kinds(home: &str, victim: &str) -> Vec<Value> {
    let id = base64(&[7; 32]);
    vec![
        json!({"q": "ping"}),
        json!({"q": "ping", "id": id}),
        json!({"q": "find", "target": home}),
        json!({"q": "get", "target": home, "kind": "address"}),
        json!({"q": "get", "target": home, "kind": "address", "write": true}),
        json!({"q": "get", "target": home, "kind": "device"}),
        json!({"q": "get", "target": home, "kind": "device", "known": 1}),
        json!({"q": "get", "target": home, "kind": "revocation"}),
        json!({"q": "put", "target": home, "kind": "address", "record": {}, "token": base64(&[1; 16])}),
        json!({"q": "hello", "challenge": id}),
        json!({"q": "probe"}),
        json!({"q": "knock", "at": victim}),
    ]
}
