//! `dht-flood` and `dht-hostile`: more than one machine wants to hear.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use overcom_core::{Action, Config, Event, Path, Time};
use overcom_simulator::swarm::{Machine as _, address};
use serde_json::{Value, json};

use super::door::{Door, stranger};
use super::fields::Fields;
use super::looks::quantile;
use super::net::{Owner, Peer, base64, server};
use crate::figure::{Measured, Size};
use crate::meter::cpu;
use crate::speed::Speed;

/// Writes after which a second passes.
const PUTS_PER_SECOND: u64 = 2_000;

/// Records of others, each from a /24 of its own, that a machine keeps no longer after somebody with all addresses of one /24 has
/// written so many of other users, over one in 1,000, and of 64 /24, over one in 100: the worse. The limits on how fast anybody may ask
/// are lifted. In the control all come from one /24, so that the machine cannot tell whose the room is.
pub(crate) fn flood(size: Size) -> Result<Measured, String> {
    let (puts, store) = (size.of(2_000, 50_000, 1_000_000), size.of(64 << 10, 512 << 10, 4 << 20) as u32);
    let anybody: fn(u64) -> SocketAddr = |n| stranger(n as u32);
    let (street, quarter) = (flooded(puts, store, anybody, neighbour)?, flooded(puts, store, anybody, resident)?);
    // Many times as much as there is room for.
    let control = flooded(puts.min(u64::from(store / 26)), store, neighbour, neighbour)?;
    Ok(Measured {
        value: (street.lost / 0.001).max(quarter.lost / 0.01),
        control: control.lost / 0.01,
        size: puts,
        detail: format!(
            "{} records of others in {} KiB, of which {:.2} % were lost to one /24, {:.2} % to 64; {} and {} of {puts} writes were taken; control: \
             one /24 for all, {:.2} % lost, {} taken",
            street.others,
            store >> 10,
            street.lost * 100.0,
            quarter.lost * 100.0,
            street.taken,
            quarter.taken,
            control.lost * 100.0,
            control.taken
        ),
        ..Measured::OF_ALLOWED
    })
}

/// Somebody of 64 /24.
fn resident(n: u64) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(85, 1, (n % 64) as u8, (n / 64 % 256) as u8), 7_575))
}

/// Somebody of one /24.
fn neighbour(n: u64) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(85, 1, 2, (n % 256) as u8), 7_575))
}

struct Flooded {
    others: u64,
    lost: f64,
    taken: u64,
}

fn flooded(puts: u64, store: u32, others_from: fn(u64) -> SocketAddr, from: fn(u64) -> SocketAddr) -> Result<Flooded, String> {
    // A fifth of the room: a record takes about 500 bytes of it.
    let others = u64::from(store) / 2_500;
    let mut door = Door::new(14, unlimited().dht_store_bytes(store))?;
    let mut written = Vec::new();
    for n in 0.. {
        if written.len() as u64 == others {
            break;
        }
        let owner = Owner::draw(14, n)?;
        if write(&mut door, others_from(n), &owner)? {
            written.push(owner);
        }
        pass(&mut door, n)?;
    }
    let mut taken = 0;
    for n in 0..puts {
        taken += u64::from(write(&mut door, from(50_000 + n), &Owner::draw(15, n)?)?);
        pass(&mut door, n)?;
    }
    let reader = stranger(45_000);
    let mut lost = 0_u64;
    for (n, owner) in (0..).zip(&written) {
        lost += u64::from(!keeps(&mut door, reader, owner)?);
        pass(&mut door, n)?;
    }
    Ok(Flooded { others, lost: lost as f64 / others.max(1) as f64, taken })
}

/// Without limits on how fast anybody may ask and write.
fn unlimited() -> Config {
    let config = server().dht_requests_per_second(1_000_000).dht_group_requests_per_second(1_000_000);
    config.dht_reply_bytes_per_second(1 << 30).dht_verifies_per_second(1_000_000)
}

fn pass(door: &mut Door, n: u64) -> Result<(), String> {
    if n % PUTS_PER_SECOND == PUTS_PER_SECOND - 1 { door.net.run(Duration::from_secs(1)) } else { Ok(()) }
}

/// Writes who a device is; whether it was taken.
fn write(door: &mut Door, from: SocketAddr, owner: &Owner) -> Result<bool, String> {
    let cookie = door.cookie(from)?;
    let (exchange, home) = (door.exchange(), &owner.home);
    let get = json!({"v": 1, "t": exchange, "q": "get", "cookie": cookie, "target": home, "kind": "device", "write": true});
    let answer = door.say(from, get.to_string().as_bytes())?;
    let token = answer.back.first().and_then(|bytes| Fields::read(bytes)?.text("token").map(str::to_owned));
    // Who does not keep it gives no token.
    let Some(token) = token else { return Ok(false) };
    let (exchange, delegation) = (door.exchange(), owner.delegation.to_json());
    let put = format!(
        r#"{{"v":1,"t":"{exchange}","q":"put","cookie":"{cookie}","token":"{token}","target":"{home}","kind":"device","record":{{"delegation":{delegation}}}}}"#
    );
    let answer = door.say(from, put.as_bytes())?;
    Ok(answer.back.first().and_then(|bytes| Fields::read(bytes)).is_some_and(|reply| reply.text("r") == Some("put")))
}

fn keeps(door: &mut Door, from: SocketAddr, owner: &Owner) -> Result<bool, String> {
    let cookie = door.cookie(from)?;
    let get = json!({"v": 1, "t": door.exchange(), "q": "get", "cookie": cookie, "target": owner.home, "kind": "device"});
    let answer = door.say(from, get.to_string().as_bytes())?;
    Ok(answer.back.first().and_then(|bytes| Fields::read(bytes)).is_some_and(|reply| reply.json("record").is_some()))
}

/// Hostile datagrams a second.
const HOSTILE: u64 = 20_000;
/// Requests a second of those who mean it, from so many of them.
const HONEST: u64 = 20;
const ASKERS: u32 = 10;
/// How long it takes to the machine and back.
const TRIP_SECS: f64 = 0.010;
/// Who has no answer after this asks somebody else.
const PATIENCE_SECS: f64 = 1.0;
/// So long strangers ask before, so many in a second: some four times what they are given.
const AGEING_SECS: u64 = 780;
const AGEING_HOSTILE: u64 = 100;
/// And those who have cookies ask in the end: longer than all bytes that may be sent at once last.
const PROVEN_SECS: u64 = 60;

/// What a machine that 20,000 hostile datagrams a second reach is to those who ask it for a record and show their cookies: the 95th
/// percentile of their answers over twice what it was before; and its CPU over one core of the reference: the worse. Datagrams wait
/// for those before them; a round trip takes 10 ms. Before that strangers have taken what strangers are given for 13 minutes, in which
/// cookies grow too old. And the same where those who are hostile have all addresses of one /24, ask for records and show their cookies,
/// from a minute before on. In the control those who mean it have none; whoever shows the first one for ever fares as they do, and so
/// does everybody where the hostile are of 64 /24, so that no group has more than its share.
pub(crate) fn hostile(size: Size) -> Result<Measured, String> {
    let (speed, seconds) = (Speed::measure()?, size.of(2, 10, 60));
    let before = besieged(seconds, Foes::None, Shows::Newest, &speed)?;
    let during = besieged(seconds, Foes::Anybody, Shows::Newest, &speed)?;
    let bare = besieged(seconds, Foes::Anybody, Shows::None, &speed)?;
    let old = besieged(seconds, Foes::Anybody, Shows::First, &speed)?;
    let street = besieged(seconds, Foes::Street, Shows::Newest, &speed)?;
    let town = besieged(seconds, Foes::Town, Shows::Newest, &speed)?;
    Ok(Measured {
        value: (during.p95.max(street.p95) / before.p95 / 2.0).max(during.cores).max(street.cores),
        control: bare.p95.min(old.p95).min(town.p95) / before.p95 / 2.0,
        size: HOSTILE * seconds,
        detail: format!(
            "answers p95 {:.2} ms, {:.2} before, {:.1} % unanswered; {:.3} of a core of the reference; against one /24 with cookies p95 {:.2} ms, \
             {:.1} % unanswered, {:.3} of a core; {speed}; control: without cookies p95 {:.0} ms, {:.1} % unanswered, with the first one for \
             ever {:.0} ms, {:.1} %, against 64 /24 with cookies {:.0} ms, {:.1} %",
            during.p95 * 1e3,
            before.p95 * 1e3,
            during.unanswered * 100.0,
            during.cores,
            street.p95 * 1e3,
            street.unanswered * 100.0,
            street.cores,
            bare.p95 * 1e3,
            bare.unanswered * 100.0,
            old.p95 * 1e3,
            old.unanswered * 100.0,
            town.p95 * 1e3,
            town.unanswered * 100.0,
        ),
        ..Measured::OF_ALLOWED
    })
}

struct Besieged {
    /// In seconds.
    p95: f64,
    unanswered: f64,
    cores: f64,
}

/// What those who mean it show.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    None,
    /// The first cookie that they got.
    First,
    /// The one that came last.
    Newest,
}

/// Who is hostile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foes {
    None,
    /// Forged addresses, from which nobody can show a cookie.
    Anybody,
    /// All addresses of one /24, with their cookies.
    Street,
    /// Four addresses of each of 64 /24, with their cookies.
    Town,
}

/// What those say who can show cookies: from where, with which one.
type Proven = Vec<(SocketAddr, String)>;

impl Foes {
    /// The cookies of those who are hostile and where they say to be.
    fn proven(self, door: &mut Door) -> Result<Proven, String> {
        let from = match self {
            Self::None | Self::Anybody => return Ok(Vec::new()),
            Self::Street => neighbour,
            Self::Town => resident,
        };
        (0..256).map(|n| Ok((from(n), door.cookie(from(n))?))).collect()
    }

    fn per_second(self) -> u64 {
        if self == Self::None { 0 } else { HOSTILE }
    }

    fn says(self, door: &mut Door, n: u64, homes: &[String], proven: &Proven) -> (SocketAddr, Vec<u8>) {
        let Some((from, cookie)) = proven.get(n as usize % proven.len().max(1)) else { return nuisance(door, n, homes) };
        (*from, honest(door, &homes[n as usize % homes.len()], Some(cookie)))
    }
}

fn besieged(seconds: u64, foes: Foes, shows: Shows, speed: &Speed) -> Result<Besieged, String> {
    let mut door = Door::new(16, server())?;
    let homes: Vec<String> = door.owners.iter().map(|owner| owner.home.clone()).collect();
    let mut cookies = (0..ASKERS).map(|n| door.cookie(stranger(n))).collect::<Result<Vec<_>, _>>()?;
    let mut proven = Vec::new();
    for step in 0..AGEING_SECS {
        if step == AGEING_SECS - PROVEN_SECS {
            proven = foes.proven(&mut door)?;
        }
        let is_loud = foes == Foes::Anybody || !proven.is_empty();
        for n in 0..if is_loud { AGEING_HOSTILE } else { 0 } {
            let (from, bytes) = foes.says(&mut door, step * AGEING_HOSTILE + n, &homes, &proven);
            timed(&mut door, from, &bytes)?;
        }
        // Each asks once in so many seconds as there are askers.
        let asker = (step % u64::from(ASKERS)) as usize;
        let get = honest(&mut door, &homes[asker % homes.len()], (shows == Shows::Newest).then(|| cookies[asker].as_str()));
        let (answer, _) = timed(&mut door, stranger(asker as u32), &get)?;
        let answer = answer.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(renewed) = answer.as_ref().and_then(|answer| answer["cookie"].as_str()).filter(|_| shows == Shows::Newest) {
            cookies[asker] = renewed.to_owned();
        }
        door.net.run(Duration::from_secs(1))?;
    }
    let (mut answers, mut busy_until, mut spent) = (Vec::new(), 0.0_f64, 0.0);
    for step in 0..seconds * HONEST {
        let began = step as f64 / HONEST as f64;
        let hostile = foes.per_second();
        for n in 0..hostile / HONEST {
            let (from, bytes) = foes.says(&mut door, step * (hostile / HONEST) + n, &homes, &proven);
            let (_, took) = timed(&mut door, from, &bytes)?;
            let took = took * speed.factor();
            spent += took;
            busy_until = busy_until.max(began + n as f64 / hostile as f64) + took;
        }
        let asker = (step % u64::from(ASKERS)) as u32;
        let get = honest(&mut door, &homes[step as usize % homes.len()], (shows != Shows::None).then(|| cookies[asker as usize].as_str()));
        let arrives = began + 0.999 / HONEST as f64;
        let (answer, took) = timed(&mut door, stranger(asker), &get)?;
        let took = took * speed.factor();
        spent += took;
        busy_until = busy_until.max(arrives) + took;
        answers.push(if answer.is_some() { TRIP_SECS + busy_until - arrives } else { PATIENCE_SECS });
        door.net.run(Duration::from_secs(1) / HONEST as u32)?;
    }
    let unanswered = answers.iter().filter(|answer| **answer >= PATIENCE_SECS).count() as f64 / answers.len() as f64;
    Ok(Besieged { p95: quantile(answers, 950), unanswered, cores: spent / seconds as f64 })
}

/// Somebody who means it asks for a record.
fn honest(door: &mut Door, home: &str, cookie: Option<&str>) -> Vec<u8> {
    let mut get = json!({"v": 1, "t": door.exchange(), "q": "get", "target": home, "kind": "address"});
    match cookie {
        Some(cookie) => get["cookie"] = json!(cookie),
        None => get["pad"] = json!(".".repeat(300)),
    }
    get.to_string().into_bytes()
}

/// Somebody says something: what came back, and the CPU that it took, in seconds.
fn timed(door: &mut Door, from: SocketAddr, bytes: &[u8]) -> Result<(Option<Vec<u8>>, f64), String> {
    let path = Path { local: address(door.machine), remote: from };
    door.net.ask(door.machine, |peer, now| hear(peer, now, path, bytes))
}

fn hear(peer: &mut Peer, now: Time, path: Path, bytes: &[u8]) -> (Option<Vec<u8>>, f64) {
    let (clock, mut answer) = (cpu(), None);
    peer.solo.handle(now, Event::datagram(path, bytes));
    while let Some(action) = peer.poll() {
        if let Action::SendDatagram { path: to, packet } = action {
            if to.remote == path.remote {
                answer = Some(packet.bytes().to_vec());
            }
            peer.solo.recycle(packet);
        }
    }
    (answer, cpu().saturating_sub(clock).as_secs_f64())
}

/// A datagram that nobody needs, from anywhere.
fn nuisance(door: &mut Door, n: u64, homes: &[String]) -> (SocketAddr, Vec<u8>) {
    let from = stranger(1_000 + door.draws.below(1 << 20) as u32);
    let (exchange, drawn) = (door.exchange(), base64(&door.draws.bytes()));
    let home = &homes[n as usize % homes.len()];
    let pad = ".".repeat(300);
    let said: Value = match n % 6 {
        0 => return (from, door.draws.bytes().repeat(10)),
        1 => json!({"v": 1, "t": exchange, "q": "get", "target": home, "kind": "address", "pad": pad}),
        2 => json!({"v": 1, "t": exchange, "q": "find", "target": drawn, "pad": pad}),
        3 => json!({"v": 1, "t": exchange, "q": "hello", "id": drawn, "cookie": &drawn[..11], "challenge": drawn}),
        4 => json!({"v": 1, "t": exchange, "q": "ping", "id": drawn, "pad": pad}),
        _ => {
            json!({"v": 1, "t": exchange, "q": "put", "cookie": &drawn[..11], "token": &drawn[..22], "target": home, "kind": "address", "record": {}})
        }
    };
    (from, said.to_string().into_bytes())
}
