//! Networks of DHTs alone: how they are built, and what is done in them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{
    Action, AppId, Config, Credentials, Crypto, DELEGATION_MS_MAX, Delegation, DeviceKeys, DhtNotice, DhtStanding, Event, IdentitySecret,
    NodeSecret, Packet, Path, Rng, Seed, Solo, Tag, Time, UserId, WallTime,
};
use overcom_simulator::swarm::byzantine::{Byzantine, Letter, Vice};
use overcom_simulator::swarm::{Birth, Machine, Swarm, Terrain};
use overcom_simulator::{Draws, Failure, Network};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::trace::{HEADERS, LookedUp, Trace};
use super::trust::Trust;
use crate::seeds::shifted;

/// 2026-01-01T00:00Z, when every run begins.
pub(super) const EPOCH_MS: u64 = 1_767_225_600_000;
/// A round trip takes 100 ms in the middle.
pub(crate) const TRIP: Network =
    Network { delay_us: 45_000, jitter_us: 10_000, loss_ppm: 0, duplicate_ppm: 0, reorder_ppm: 0, bytes_per_second: None };
/// Who comes late serves after ten minutes, and then its neighbours have to learn of it.
pub(crate) const SETTLE: Duration = Duration::from_secs(1_500);
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// So long a clock stands at most: nobody takes a record from whose clock is ten minutes ahead.
const STANDS: Duration = Duration::from_secs(540);

/// Where who is behind a gateway is told that it is.
const BEHIND: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 2)), 7_575),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2)), 7_575),
];

/// A DHT alone, and whoever watches it.
pub(crate) struct Peer {
    pub(crate) solo: Solo,
    /// What it says and hears, while somebody wants to know.
    pub(crate) trace: Option<Box<Trace>>,
    /// Answers, and does nothing of its own accord, but while somebody has asked it for something.
    pub(crate) rests: bool,
    /// Then it sends no requests either, and its clock stands for [`STANDS`]: whoever is touched would touch others, these more, and so on.
    pub(crate) is_still: bool,
    /// Is told of a private address in the place of its own, as behind a gateway that lets everything through.
    pub(crate) is_behind: bool,
    /// Never learns that somebody has gone by asking whether it is there.
    pub(crate) trust: Option<Box<Trust>>,
    is_asked: bool,
    /// What its clock says.
    now: Time,
    /// To whom it spoke, and how much, while somebody wants to know.
    pub(crate) spoken: Option<BTreeMap<SocketAddr, Spoken>>,
    /// What it said and heard, while somebody wants to know.
    pub(crate) tape: Option<Box<Tape>>,
    /// What all of the network have sent and received, in this life or another.
    moved: Option<Rc<Cell<Moved>>>,
}

/// Datagrams as they were.
#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) received: Vec<Vec<u8>>,
}

/// What a machine has sent to somebody.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Spoken {
    pub(crate) datagrams: u64,
    /// Without headers.
    pub(crate) bytes: u64,
}

/// What machines have sent and received.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Moved {
    /// With [`HEADERS`]: what one sends to another one counts twice.
    pub(crate) bytes: u64,
    /// Datagrams that were sent.
    pub(crate) sent: u64,
    /// Bytes of the longest of these, without headers.
    pub(crate) longest: usize,
}

/// A machine of a network, with a vice or without.
pub(crate) type Member = Byzantine<Peer>;

/// What a machine of a control does not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handicap {
    /// Says nothing more to this address, after its first datagram, as long as nothing came from there.
    AsksOnce { entry: Option<SocketAddr>, has_asked: bool },
    /// Of the nodes that it would name, it names the farthest alone.
    NamesOne,
    /// Puts no record that is to be carried into the other family.
    AsksNobodyToCarry,
    /// Puts no record at all.
    PutsNothing,
}

impl Peer {
    /// A machine of a swarm.
    pub(crate) fn new(config: Config, birth: &Birth, entries: &[SocketAddr]) -> Self {
        let mut draws = birth.draws;
        let seed = Seed::from_bytes(draws.bytes());
        let solo = Solo::new(config, &installation(birth.machine), &seed, birth.now, birth.wall);
        // Every configuration here is a profile with numbers inside their ranges.
        let mut solo = solo.unwrap_or_else(|why| panic!("{why}"));
        let others: Vec<SocketAddr> = entries.iter().copied().filter(|entry| *entry != birth.address).collect();
        if !others.is_empty() {
            solo.set_entries(birth.now, &others);
        }
        Self {
            solo,
            trace: None,
            rests: false,
            is_still: false,
            is_behind: false,
            trust: None,
            is_asked: false,
            now: birth.now,
            spoken: None,
            tape: None,
            moved: None,
        }
    }

    /// Begins to watch.
    pub(crate) fn watch(&mut self, now: Time, home: String) {
        while self.solo.told().is_some() {}
        self.trace = Some(Box::new(Trace::new(now, home)));
    }

    /// What it was told and nobody has taken yet.
    pub(crate) fn told(&mut self) -> Vec<DhtNotice> {
        std::iter::from_fn(|| self.solo.told()).collect()
    }

    const fn only_answers(&self) -> bool {
        self.is_still && !self.is_asked
    }

    fn keeps_back(&mut self, action: &Action) -> bool {
        let now = self.now;
        self.only_answers() && is_request(action) || self.trust.as_mut().is_some_and(|trust| trust.takes(now, action))
    }

    fn count(&self, bytes: usize, is_sent: bool) {
        if let Some(shared) = &self.moved {
            let mut moved = shared.get();
            moved.bytes += bytes as u64 + HEADERS;
            if is_sent {
                moved.sent += 1;
                moved.longest = moved.longest.max(bytes);
            }
            shared.set(moved);
        }
    }
}

impl Machine for Peer {
    fn handle(&mut self, now: Time, event: Event<'_>) {
        if !self.only_answers() || now.since(self.now) >= STANDS {
            self.now = now;
        }
        let now = self.now;
        if self.is_behind
            && let Event::Addresses { rebound, .. } = event
        {
            return self.solo.handle(now, Event::addresses(&BEHIND, rebound));
        }
        if let Event::Datagram { path, bytes, .. } = event {
            self.count(bytes.len(), false);
            if let Some(trace) = &mut self.trace {
                trace.on_received(path.remote, bytes);
            }
            if let Some(tape) = &mut self.tape {
                tape.received.push(bytes.to_vec());
            }
        }
        while let Some((path, answer)) = self.trust.as_mut().and_then(|trust| trust.answer(now)) {
            self.solo.handle(now, Event::datagram(path, &answer));
        }
        self.solo.handle(now, event);
        if let Some(trace) = &mut self.trace {
            while let Some(told) = self.solo.told() {
                trace.on_told(now, &told);
            }
        }
    }

    fn poll(&mut self) -> Option<Action> {
        let mut action = self.solo.poll()?;
        while self.keeps_back(&action) {
            action = self.solo.poll()?;
        }
        if let Action::SendDatagram { path, packet } = &action {
            if let Some(trace) = &mut self.trace {
                trace.on_sent(path.remote, packet.bytes());
            }
            if let Some(spoken) = &mut self.spoken {
                let sent = spoken.entry(path.remote).or_default();
                (sent.datagrams, sent.bytes) = (sent.datagrams + 1, sent.bytes + packet.bytes().len() as u64);
            }
            if let Some(tape) = &mut self.tape {
                tape.sent.push(packet.bytes().to_vec());
            }
            self.count(packet.bytes().len(), true);
        }
        Some(action)
    }

    fn deadline(&self) -> Option<Time> {
        let own = self.solo.deadline().filter(|_| self.is_asked || !self.rests);
        [own, self.trust.as_ref().and_then(|trust| trust.deadline())].into_iter().flatten().min()
    }

    fn recycle(&mut self, packet: Packet) {
        self.solo.recycle(packet);
    }
}

impl Vice for Handicap {
    fn on_send(&mut self, _now: Time, mut letter: Letter, out: &mut Vec<Letter>) {
        match self {
            Self::AsksOnce { entry, has_asked } => {
                if *entry == Some(letter.path.remote) && std::mem::replace(has_asked, true) {
                    return;
                }
            }
            Self::NamesOne => letter.bytes = names_one(letter.bytes),
            Self::AsksNobodyToCarry => {
                if Fields::read(&letter.bytes).is_some_and(|fields| fields.json("carry").is_some()) {
                    return;
                }
            }
            Self::PutsNothing => {
                if Fields::read(&letter.bytes).is_some_and(|fields| fields.text("q") == Some("put")) {
                    return;
                }
            }
        }
        out.push(letter);
    }

    fn on_hear(&mut self, _now: Time, path: Path, _bytes: &[u8], _out: &mut Vec<Letter>) -> bool {
        if let Self::AsksOnce { entry, .. } = self
            && *entry == Some(path.remote)
        {
            *entry = None;
        }
        true
    }
}

fn is_request(action: &Action) -> bool {
    let Action::SendDatagram { packet, .. } = action else { return false };
    Fields::read(packet.bytes()).is_some_and(|fields| fields.text("q").is_some())
}

/// A reply without all but the last of the nodes that it names.
fn names_one(bytes: Vec<u8>) -> Vec<u8> {
    let Some(mut fields) = Fields::read(&bytes) else { return bytes };
    let nodes: Vec<&RawValue> = fields.json("nodes").and_then(|nodes| serde_json::from_str(nodes).ok()).unwrap_or_default();
    let Some(last) = nodes.last().map(|node| format!("[{}]", node.get())) else { return bytes };
    fields.replace("nodes", &last);
    fields.bytes()
}

/// The secret of a machine's installation, which stays the same; what a process draws does not.
pub(crate) fn installation(machine: u32) -> NodeSecret {
    NodeSecret::from_bytes(Draws::new(shifted(0), "installation", &[u64::from(machine)]).bytes())
}

/// A user with one device, in the ideal mode of cryptography.
pub(crate) struct Owner {
    pub(crate) user: UserId,
    pub(crate) credentials: Credentials,
    pub(crate) delegation: Delegation,
    /// The home key, as it stands on the wire.
    pub(crate) home: String,
}

/// What who looks for a device knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// Its delegation.
    Contact,
    /// Its user's id alone: the device record, in which the delegation is, has to be found too.
    Stranger,
}

/// The nth user of a seed, and chance for its devices.
pub(crate) fn identity(seed: u64, n: u64) -> (IdentitySecret, Rng) {
    let mut rng = Rng::from_seed(&Seed::from_bytes(Draws::new(shifted(seed), "owner", &[n]).bytes()));
    (IdentitySecret::with_crypto(Crypto::ideal(), rng.array()), rng)
}

/// The app of all of them.
pub(crate) fn app() -> Result<AppId, String> {
    AppId::new("demo.chat").map_err(|why| why.to_string())
}

impl Owner {
    /// The nth of a seed. It may publish for as long as anybody may (ID-7): the longest run takes more than a week.
    pub(crate) fn draw(seed: u64, n: u64) -> Result<Self, String> {
        let (identity, mut rng) = identity(seed, n);
        Self::of(&identity, &DeviceKeys::draw(&mut rng), app()?, (0, DELEGATION_MS_MAX))
    }

    /// So many devices of the nth user of a seed in an app.
    pub(crate) fn devices(seed: u64, n: u64, count: usize, app: &AppId) -> Result<Vec<Self>, String> {
        let (identity, mut rng) = identity(seed, n);
        (0..count).map(|_| Self::of(&identity, &DeviceKeys::draw(&mut rng), app.clone(), (0, DELEGATION_MS_MAX))).collect()
    }

    /// A device of an identity between two moments, in milliseconds since runs began.
    pub(crate) fn of(identity: &IdentitySecret, keys: &DeviceKeys, app: AppId, (from, until): (u64, u64)) -> Result<Self, String> {
        let crypto = Crypto::ideal();
        let (from, until) = (WallTime::from_millis(EPOCH_MS + from), WallTime::from_millis(EPOCH_MS + until));
        let delegation = Delegation::sign(identity, &keys.grant_with(&crypto, app.clone(), from, until)).map_err(|why| why.to_string())?;
        let user = delegation.user();
        Ok(Self { user, credentials: keys.credentials(delegation.clone()), delegation, home: home(&crypto, user, app.as_str()) })
    }

    /// Looks for the device as one of its contacts does, or as a stranger.
    pub(crate) fn find(&self, peer: &mut Peer, now: Time, reader: Reader) -> Result<Tag, String> {
        let known = if reader == Reader::Contact { vec![self.delegation.clone()] } else { vec![] };
        peer.solo.find(now, self.user, &app()?, None, &known).map_err(|why| why.to_string())
    }
}

/// The key under which a user's devices in an app are found, as it stands on the wire (DHT-1).
pub(crate) fn home(crypto: &Crypto, user: UserId, app: &str) -> String {
    base64(&crypto.hash(&[b"overcom/1 home\0", user.as_bytes(), app.as_bytes()]))
}

/// URL-safe, without padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let value = (0..3).fold(0_usize, |value, at| value << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        for digit in 0..=three.len() {
            text.push(char::from(DIGITS[value >> (18 - 6 * digit) & 63]));
        }
    }
    text
}

/// A network whose machines come by the wire alone: all know the first one's address and nothing else.
pub(crate) struct Net {
    pub(crate) swarm: Swarm<Member>,
    moved: Rc<Cell<Moved>>,
}

impl Net {
    /// Machines that are not there yet, each of which has the configuration that is named for its number.
    pub(crate) fn new(seed: u64, terrain: Terrain, config: impl Fn(u32) -> Config + 'static, handicap: Option<Handicap>) -> Self {
        let entries = [overcom_simulator::swarm::address(0)];
        Self::with(seed, terrain, move |birth| member(Peer::new(config(birth.machine), birth, &entries), handicap))
    }

    /// The same with machines that are made so; what they send is counted.
    pub(crate) fn with(seed: u64, terrain: Terrain, make: impl Fn(&Birth) -> Member + 'static) -> Self {
        let moved = Rc::new(Cell::new(Moved::default()));
        let shared = Rc::clone(&moved);
        let swarm = Swarm::new(shifted(seed), terrain, move |birth| {
            let mut member = make(birth);
            member.machine_mut().moved = Some(Rc::clone(&shared));
            member
        });
        Self { swarm, moved }
    }

    /// With machines of another make.
    pub(crate) fn of(swarm: Swarm<Member>) -> Self {
        Self { swarm, moved: Rc::default() }
    }

    /// What all have sent and received so far.
    pub(crate) fn moved(&self) -> Moved {
        self.moved.get()
    }

    /// So many machines, of which each begins at a moment by chance within so long; then it settles.
    pub(crate) fn grow(&mut self, machines: u32, within: Duration, settle: Duration) -> Result<(), String> {
        let first = self.swarm.add(machines);
        let now = self.swarm.now();
        self.swarm.join_at(first, now);
        self.swarm.flash_crowd(first + 1..first + machines, now, within);
        self.run(within + settle)
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, long: Duration) -> Result<(), String> {
        let until = self.swarm.now() + long;
        self.swarm.run_until(until).map_err(failed)
    }

    /// Asks a machine for something; an error if it is down.
    pub(crate) fn ask<R>(&mut self, machine: u32, ask: impl FnOnce(&mut Peer, Time) -> R) -> Result<R, String> {
        let answer = self.swarm.with(machine, |member, now| {
            let peer = member.machine_mut();
            (peer.is_asked, peer.now) = (true, now);
            ask(peer, now)
        });
        answer.map_err(failed)?.ok_or_else(|| format!("machine {machine} is down"))
    }

    /// What came of what a machine was watched at; `None` if it has left meanwhile.
    pub(crate) fn looked_up(&mut self, machine: u32) -> Result<Option<LookedUp>, String> {
        let trace = self.swarm.with(machine, |member, _| {
            let peer = member.machine_mut();
            peer.is_asked = false;
            peer.trace.take()
        });
        Ok(trace.map_err(failed)?.flatten().map(|trace| trace.looked_up()))
    }

    /// A machine; `None` while it is down.
    pub(crate) fn peer(&self, machine: u32) -> Option<&Peer> {
        self.swarm.machine(machine).map(Member::machine)
    }

    /// All that are up.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (u32, &Peer)> {
        self.swarm.machines().map(|(machine, member)| (machine, member.machine()))
    }

    /// How many serve somewhere.
    pub(crate) fn servers(&self) -> u32 {
        self.peers().filter(|(_, peer)| serves(peer)).count() as u32
    }
}

/// With what it does not do.
pub(crate) fn member(peer: Peer, handicap: Option<Handicap>) -> Member {
    match handicap {
        Some(handicap) => Member::turned(peer, handicap),
        None => Member::honest(peer),
    }
}

/// Whether it serves somewhere.
pub(crate) fn serves(peer: &Peer) -> bool {
    peer.solo.view().realms.iter().any(|realm| realm.standing == DhtStanding::Serving)
}

/// A computer that serves if it can be reached, in the ideal mode of cryptography.
pub(crate) const fn server() -> Config {
    Config::desktop().crypto(Crypto::ideal())
}

/// The one that all know has room for a crowd: a MiB of answers a second. With the usual 16 KiB it would answer 41 joins.
pub(crate) const fn server_or_seed(machine: u32) -> Config {
    if machine == 0 { server().dht_reply_bytes_per_second(1 << 20) } else { server() }
}

/// A telephone.
pub(crate) const fn client() -> Config {
    Config::mobile().crypto(Crypto::ideal())
}

/// Why a run ended early.
pub(crate) fn failed(failure: Failure) -> String {
    format!("{failure:?}")
}

/// A machine that is up, by chance.
pub(crate) fn any(net: &Net, draws: &mut Draws) -> u32 {
    loop {
        let machine = draws.below(u64::from(net.swarm.len())) as u32;
        if net.peer(machine).is_some() {
            return machine;
        }
    }
}

/// A machine by chance of those that serve.
pub(crate) fn any_server(net: &Net, draws: &mut Draws) -> Result<u32, String> {
    any_that(net, draws, serves).ok_or_else(|| "nobody serves".into())
}

/// A machine by chance of those that are up and of which something holds; `None` if it seems to hold of none.
pub(super) fn any_that(net: &Net, draws: &mut Draws, is: impl Fn(&Peer) -> bool) -> Option<u32> {
    // Enough that of even a few one is found.
    (0..100 * net.swarm.len()).map(|_| any(net, draws)).find(|machine| net.peer(*machine).is_some_and(&is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_wire() {
        assert_eq!([base64(b""), base64(b"f"), base64(b"fo"), base64(b"foo"), base64(&[0xFB, 0xFF])], ["", "Zg", "Zm8", "Zm9v", "-_8"]);
    }
}
