//! `dht-devices`: eight devices of one user, devices that are away, one that slept past its delegation, and how long datagrams are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use overcom_core::{
    AppId, DeviceId, DeviceKeys, DhtNotice, DhtRecord, Revocation, RevocationEntry, RevocationTarget, Time, UserId, WallTime,
};
use overcom_simulator::Draws;
use overcom_simulator::swarm::{Churn, Lasting, Terrain};

use super::fields::Fields;
use super::net::{HOUR, Net, Owner, Peer, SETTLE, TRIP, Tape, app, client, identity, member, server, server_or_seed};
use crate::figure::{Measured, Size};
use crate::seeds::shifted;

const SEED: u64 = 21;
/// Readers come within this, and those who publish.
const CROWD: Duration = Duration::from_secs(60);
/// Longer than a look-up may take.
const LOOK: Duration = Duration::from_secs(6);
/// As many as a home keeps of a user.
const DEVICES: usize = 8;
/// So many readers come at once, and so many of them look at once.
const READERS: u32 = 250;
const AT_ONCE: usize = 25;
/// What is allowed: one look-up in a thousand that finds less than all, datagrams, seconds until a sleeper is back.
const LOST: f64 = 0.001;
const BYTES: f64 = 1_200.0;
const BACK_SECONDS: f64 = 10.0;

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    /// Which come and go.
    machines: u32,
    /// Users whose devices refresh, and as many who go away.
    users: usize,
    /// Strangers who look, for each of the two.
    looks: u32,
    /// While the devices refresh, and then while they are away.
    hours: (u32, u32),
    sleepers: u32,
    /// In which everything that is long changes.
    rounds: u32,
}

/// Telephones with an address of their own, eight of each user, publish while others come and go. After a day a stranger, who knows the user
/// alone, looks for each: the share of look-ups that do not find where all eight are, over one in 1,000. Other users' eight devices go away
/// for three days: the share of their device records, each with a key for mail, that a stranger's look-up does not show to the byte, over
/// one in 1,000. Devices whose delegation has ended while they slept: the longest time from when they wake, or from when their renewal has
/// been published if that is later, until they have taken it and are published again, over 10 s. And the longest datagram of
/// all that were sent, and of a network of both families in which apps, addresses, lists of devices and revocations are as long as
/// they may be, over 1,200 bytes. The worst of these. In the control eight machines share the keys of one device, and only address records
/// are looked for after three days; its value is the better of the two.
pub(crate) fn devices(size: Size) -> Result<Measured, String> {
    let scale = match size {
        Size::Quick => Scale { machines: 60, users: 4, looks: 100, hours: (1, 3), sleepers: 10, rounds: 20 },
        Size::Default => Scale { machines: 120, users: 20, looks: 1_000, hours: (24, 72), sleepers: 50, rounds: 600 },
        Size::Full => Scale { machines: 500, users: 100, looks: 10_000, hours: (24, 72), sleepers: 200, rounds: 2_000 },
    };
    let lived = lived(&scale)?;
    let (sent, longest) = longest(scale.rounds)?;
    let longest = longest.max(lived.longest);
    let value = [lived.incomplete / LOST, lived.gone / LOST, longest as f64 / BYTES, lived.back.1 / BACK_SECONDS];
    Ok(Measured {
        value: value.into_iter().fold(0.0, f64::max),
        control: (lived.twins / LOST).min(lived.placeless / LOST),
        size: u64::from(scale.machines),
        detail: format!(
            "{} h, then {} h away; {} look-ups each: {:.3} % found fewer than eight devices, {:.3} % of device records were gone; {} sleepers back within \
             {:.1} s, {:.1} in the middle; the longest of {} datagrams has {longest} bytes; {:.0} machines up in the mean; control: eight \
             machines with one device's keys, {:.0} % found fewer than eight; addresses of those who are away, {:.0} % gone",
            scale.hours.0,
            scale.hours.1,
            scale.looks,
            lived.incomplete * 100.0,
            lived.gone * 100.0,
            scale.sleepers,
            lived.back.1,
            lived.back.0,
            lived.sent + sent,
            lived.up,
            lived.twins * 100.0,
            lived.placeless * 100.0,
        ),
        ..Measured::OF_ALLOWED
    })
}

struct Lived {
    /// The share of look-ups that do not find eight devices, of those who refresh, and of those who share a key.
    incomplete: f64,
    twins: f64,
    /// The share of device records that are not shown, and of address records, of those who are away.
    gone: f64,
    placeless: f64,
    /// Seconds until sleepers are back: in the middle and at most.
    back: (f64, f64),
    sent: u64,
    longest: usize,
    up: f64,
}

/// A user's devices, the machines that they are on, and their device records.
struct User {
    devices: Vec<Owner>,
    machines: Range<u32>,
    records: BTreeSet<String>,
}

impl User {
    fn id(&self) -> UserId {
        self.devices[0].user
    }
}

fn lived(scale: &Scale) -> Result<Lived, String> {
    let machines = scale.machines;
    let config = move |machine| if machine < machines { server_or_seed(machine) } else { client() };
    let mut net = Net::new(SEED, Terrain::flat(TRIP), config, None);
    net.grow(machines, Duration::from_millis(30) * machines, SETTLE)?;
    let mut users = Vec::new();
    for n in 0..2 * scale.users {
        users.push(Owner::devices(SEED, n as u64, DEVICES, &app()?)?);
    }
    // Eight machines with one device's keys, for the control.
    let twin = || Owner::draw(SEED, 2 * scale.users as u64);
    users.push((0..DEVICES).map(|_| twin()).collect::<Result<_, _>>()?);
    let users = users.into_iter().map(|devices| published(&mut net, devices)).collect::<Result<Vec<_>, String>>()?;
    let (refreshing, others) = users.split_at(scale.users);
    let (away, twins) = others.split_at(scale.users);
    let mut sleepers = Sleepers::new(&mut net, scale)?;
    net.swarm.churn(Churn { members: 1..machines, session: Lasting::SESSIONS, absence: Lasting::SESSIONS });
    let began = net.moved().sent;
    let mut up = passed(&mut net, machines, scale.hours.0)?;
    let incomplete = read(&mut net, refreshing, scale.looks)?.incomplete();
    let twins = read(&mut net, twins, scale.looks.min(50))?.incomplete();
    let back = sleepers.wake(&mut net)?;
    users.iter().flat_map(|user| user.machines.clone()).for_each(|machine| net.swarm.leave_at(machine, net.swarm.now()));
    up += passed(&mut net, machines, scale.hours.1)?;
    let gone = read(&mut net, away, scale.looks)?;
    let up = up / f64::from(scale.hours.0 + scale.hours.1);
    let moved = net.moved();
    Ok(Lived {
        incomplete,
        twins,
        gone: gone.recordless(),
        placeless: gone.placeless(),
        back,
        sent: moved.sent - began,
        longest: moved.longest,
        up,
    })
}

/// So many hours; machine-hours of those that come and go.
fn passed(net: &mut Net, machines: u32, hours: u32) -> Result<f64, String> {
    let mut up = 0.0;
    for _ in 0..10 * hours {
        net.run(HOUR / 10)?;
        up += net.peers().filter(|(machine, _)| *machine < machines).count() as f64 / 10.0;
    }
    Ok(up)
}

/// Telephones come and publish these devices, each at an address that was configured.
fn published(net: &mut Net, devices: Vec<Owner>) -> Result<User, String> {
    let first = net.swarm.add(devices.len() as u32);
    let machines = first..first + devices.len() as u32;
    machines.clone().for_each(|machine| net.swarm.join_at(machine, net.swarm.now()));
    net.run(Duration::from_secs(3))?;
    for (machine, owner) in machines.clone().zip(&devices) {
        publish(net, machine, owner)?;
        net.ask(machine, |peer, _| peer.tape = Some(Box::default()))?;
    }
    net.run(Duration::from_secs(20))?;
    let mut records = BTreeSet::new();
    for machine in machines.clone() {
        let tape = net.ask(machine, |peer, _| peer.tape.take())?.unwrap_or_default();
        records.extend(tape.sent.iter().filter_map(|bytes| device_record(bytes)));
    }
    Ok(User { devices, machines, records })
}

fn publish(net: &mut Net, machine: u32, owner: &Owner) -> Result<(), String> {
    let at = net.swarm.address(machine);
    net.ask(machine, |peer, now| {
        peer.solo.publish(now, owner.credentials.clone());
        peer.solo.set_addresses(now, &[at]);
    })
}

/// The device record with a key for mail that a datagram holds.
fn device_record(bytes: &[u8]) -> Option<String> {
    let record = Fields::read(bytes)?.json("record")?.to_owned();
    let parts = Fields::read(record.as_bytes())?;
    parts.json("delegation").and(parts.json("prekey"))?;
    Some(record)
}

/// What strangers found, one for each look-up: how many devices' places, how many of the right device records, and how many
/// of each there are.
struct Read(Vec<(usize, usize)>);

impl Read {
    fn incomplete(&self) -> f64 {
        share(self.0.iter().map(|(places, _)| usize::from(*places < DEVICES)), self.0.len())
    }

    fn recordless(&self) -> f64 {
        share(self.0.iter().map(|(_, records)| DEVICES - records.min(&DEVICES)), self.0.len() * DEVICES)
    }

    fn placeless(&self) -> f64 {
        share(self.0.iter().map(|(places, _)| DEVICES - places.min(&DEVICES)), self.0.len() * DEVICES)
    }
}

/// Of none it is all, so that a figure that looked at nothing misses.
fn share(counts: impl Iterator<Item = usize>, of: usize) -> f64 {
    if of == 0 { 1.0 } else { counts.sum::<usize>() as f64 / of as f64 }
}

/// So many telephones that have just come look each for all devices of a user, whose id is all that they know.
fn read(net: &mut Net, users: &[User], looks: u32) -> Result<Read, String> {
    let mut found = Vec::new();
    let mut next = users.iter().cycle();
    while (found.len() as u32) < looks {
        let batch = READERS.min(looks - found.len() as u32);
        let first = net.swarm.add(batch);
        let readers = first..first + batch;
        net.swarm.flash_crowd(readers.clone(), net.swarm.now(), CROWD);
        net.run(CROWD + Duration::from_secs(10))?;
        let pairs: Vec<(u32, &User)> = readers.zip(&mut next).collect();
        for few in pairs.chunks(AT_ONCE) {
            for (reader, user) in few {
                net.ask(*reader, |peer, now| look(peer, now, user.id()))??;
            }
            net.run(LOOK)?;
        }
        for (reader, user) in &pairs {
            let (told, tape) = net.ask(*reader, |peer, _| (peer.told(), peer.tape.take().unwrap_or_default()))?;
            let records: BTreeSet<String> = tape.received.iter().filter_map(|bytes| device_record(bytes)).collect();
            found.push((places(&told, user), records.intersection(&user.records).count()));
            net.swarm.leave_at(*reader, net.swarm.now());
        }
        net.run(Duration::from_secs(1))?;
    }
    Ok(Read(found))
}

fn look(peer: &mut Peer, now: Time, user: UserId) -> Result<(), String> {
    peer.told();
    peer.tape = Some(Box::new(Tape::default()));
    peer.solo.find(now, user, &app()?, None, &[]).map(drop).map_err(|why| why.to_string())
}

/// Of how many of the user's devices it was told where they are.
fn places(told: &[DhtNotice], user: &User) -> usize {
    let devices: BTreeSet<DeviceId> = user.devices.iter().map(|owner| owner.delegation.device()).collect();
    let mut found = BTreeSet::new();
    for told in told {
        if let DhtNotice::Found { device, addresses, is_local: false, .. } = told
            && !addresses.is_empty()
            && devices.contains(device)
        {
            found.insert(*device);
        }
    }
    found.len()
}

/// Devices that sleep past the end of their delegation, and who holds their identities.
struct Sleepers {
    all: Vec<Sleeper>,
    machines: Range<u32>,
    issuers: Range<u32>,
}

struct Sleeper {
    ended: Owner,
    renewed: Owner,
}

impl Sleepers {
    /// They publish, and fall asleep.
    fn new(net: &mut Net, scale: &Scale) -> Result<Self, String> {
        let now = net.swarm.now().as_micros() / 1_000;
        // Ten minutes are added to each end (ID-8).
        let (end, day) = (now + u64::from(scale.hours.0) * 1_800_000, 24 * 3_600_000);
        let first = net.swarm.add(2 * scale.sleepers);
        let (machines, issuers) = (first..first + scale.sleepers, first + scale.sleepers..first + 2 * scale.sleepers);
        let mut all = Vec::new();
        for (machine, n) in machines.clone().zip(1_000_000..) {
            let (identity, mut rng) = identity(SEED, n);
            let keys = DeviceKeys::draw(&mut rng);
            let of = |from, until| Owner::of(&identity, &keys, app()?, (from, until));
            let sleeper = Sleeper { ended: of(0, end)?, renewed: of(end, end + 7 * day)? };
            net.swarm.join_at(machine, net.swarm.now());
            net.run(Duration::from_secs(3))?;
            publish(net, machine, &sleeper.ended)?;
            net.run(Duration::from_secs(20))?;
            net.swarm.leave_at(machine, net.swarm.now());
            all.push(sleeper);
        }
        Ok(Self { all, machines, issuers })
    }

    /// Seconds until they are back, in the middle and at most; a minute of who is not. Every other one wakes up to five minutes
    /// before its renewal is published, the others up to five minutes after it.
    fn wake(&mut self, net: &mut Net) -> Result<(f64, f64), String> {
        let mut draws = Draws::new(shifted(SEED), "sleepers", &[]);
        let mut took = Vec::new();
        for ((sleeper, machine), issuer) in self.all.iter().zip(self.machines.clone()).zip(self.issuers.clone()) {
            let apart = Duration::from_millis(draws.below(300_000));
            net.swarm.join_at(issuer, net.swarm.now());
            net.run(Duration::from_secs(10))?;
            if machine % 2 == 0 {
                rouse(net, machine, sleeper)?;
                net.run(apart)?;
                issue(net, issuer, sleeper)?;
            } else {
                issue(net, issuer, sleeper)?;
                net.run(apart)?;
                rouse(net, machine, sleeper)?;
            }
            took.push(back(net, machine, sleeper)?.as_secs_f64());
            net.swarm.leave_at(machine, net.swarm.now());
        }
        took.sort_by(f64::total_cmp);
        let at = |index: usize| took.get(index).copied().unwrap_or(f64::INFINITY);
        Ok((at(took.len() / 2), at(took.len().saturating_sub(1))))
    }
}

/// The device's process begins, with what it was started with before.
fn rouse(net: &mut Net, machine: u32, sleeper: &Sleeper) -> Result<(), String> {
    net.swarm.join_at(machine, net.swarm.now());
    net.run(Duration::ZERO)?;
    publish(net, machine, &sleeper.ended)
}

/// Who holds the identity has the renewal published, and goes.
fn issue(net: &mut Net, issuer: u32, sleeper: &Sleeper) -> Result<(), String> {
    net.ask(issuer, |peer, now| {
        peer.told();
        peer.solo.publish(now, sleeper.renewed.credentials.clone());
    })?;
    for _ in 0..600 {
        net.run(Duration::from_millis(100))?;
        if net.ask(issuer, |peer, _| peer.told().iter().any(is_device_published))? {
            net.swarm.leave_at(issuer, net.swarm.now());
            return net.run(Duration::ZERO);
        }
    }
    Err("a renewal could not be published".into())
}

/// How long it takes from now until the device has its renewal, and is published by it.
fn back(net: &mut Net, machine: u32, sleeper: &Sleeper) -> Result<Duration, String> {
    const STEP: Duration = Duration::from_millis(50);
    let (began, mut is_renewed) = (net.swarm.now(), false);
    for _ in 0..1_200 {
        net.run(STEP)?;
        let told = net.ask(machine, |peer, _| peer.told())?;
        if !is_renewed && told.iter().any(|told| matches!(told, DhtNotice::Renewed(taken) if **taken == sleeper.renewed.delegation)) {
            is_renewed = true;
            net.ask(machine, |peer, now| peer.solo.publish(now, sleeper.renewed.credentials.clone()))?;
        } else if is_renewed && told.iter().any(is_device_published) {
            break;
        }
    }
    Ok(net.swarm.now().since(began))
}

const fn is_device_published(told: &DhtNotice) -> bool {
    matches!(told, DhtNotice::Published { record: DhtRecord::Device, is_enough: true, .. })
}

/// In a network of both families where what is long is as long as it may be: how many datagrams are sent, and the longest.
fn longest(rounds: u32) -> Result<(u64, usize), String> {
    const SERVERS: u32 = 30;
    let entries = both(0);
    let mut net = Net::with(SEED, Terrain::flat(TRIP), move |birth| {
        let config = if birth.machine < SERVERS { server() } else { client() };
        member(Peer::new(config, birth, &entries), None)
    });
    let machines = net.swarm.add(SERVERS + DEVICES as u32 + 1)..SERVERS + DEVICES as u32 + 1;
    for machine in machines.clone() {
        net.swarm.place(machine, &both(machine)).map_err(super::net::failed)?;
    }
    net.swarm.flash_crowd(machines, net.swarm.now(), CROWD);
    net.run(CROWD + SETTLE)?;
    let app = AppId::new(&"z".repeat(32)).map_err(|why| why.to_string())?;
    let devices = Owner::devices(SEED, 0, DEVICES, &app)?;
    let (identity, mut rng) = identity(SEED, 0);
    let far = WallTime::from_millis((1 << 53) - 1);
    let entry = RevocationEntry { before: far, end: far };
    let lost: BTreeMap<_, _> = (0..DEVICES).map(|_| (RevocationTarget::Device(DeviceId::from_bytes(rng.array())), entry)).collect();
    let phones = || (SERVERS..).zip(&devices);
    for (machine, owner) in phones() {
        net.ask(machine, |peer, now| peer.solo.publish(now, owner.credentials.clone()))?;
    }
    let mut draws = Draws::new(shifted(SEED), "longest", &[]);
    for round in 0..u64::from(rounds) {
        // Versions of as many digits as there are.
        let revocation =
            Revocation::sign(&identity, app.clone(), (1 << 53) - 1_000_000 + round, lost.clone()).map_err(|why| why.to_string())?;
        for (machine, _) in phones() {
            let addresses: Vec<SocketAddr> = (0..draws.below(4)).map(|_| drawn_address(&mut draws)).collect();
            net.ask(machine, |peer, now| {
                peer.solo.set_addresses(now, &addresses);
                if round % 10 == 0 {
                    peer.solo.revoke(now, &revocation);
                }
            })?;
        }
        net.run(Duration::from_secs(16))?;
        net.ask(SERVERS + DEVICES as u32, |peer, now| peer.solo.find(now, devices[0].user, &app, None, &[])).map(drop)?;
        net.run(Duration::from_secs(6))?;
    }
    let moved = net.moved();
    Ok((moved.sent, moved.longest))
}

/// Addresses of both families whose texts are as long as such are.
fn both(machine: u32) -> [SocketAddr; 2] {
    let v4 = Ipv4Addr::new(180 + machine as u8, 128, 128, 128);
    let v6 = Ipv6Addr::new(0x2a10 + machine as u16, 0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666, 0x7777);
    [SocketAddr::new(v4.into(), 57_575), SocketAddr::new(v6.into(), 57_575)]
}

/// One of either family, three of four of IPv6, of any length.
fn drawn_address(draws: &mut Draws) -> SocketAddr {
    let port = 1 + draws.below(65_535) as u16;
    if draws.below(4) == 0 {
        let ip = Ipv4Addr::from_bits(16 << 24 | draws.below(1 << 28) as u32);
        return SocketAddr::new(ip.into(), port);
    }
    let short = u128::from(draws.below(4) > 0) * (u128::MAX >> 16);
    let drawn = u128::from(draws.u64()) << 64 | u128::from(draws.u64());
    SocketAddr::new(Ipv6Addr::from_bits(0x2a10 << 112 | drawn & short | 1).into(), port)
}
