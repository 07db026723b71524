//! The machine as a whole, against networks that drop, repeat, change and forge: a few of them on a clock of their own.

mod asking;
mod clock;
mod contract;
mod knocking;
mod liars;
mod living;
mod place;
mod replies;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Solo;
use super::key::Key;
use super::proof::{Cookie, Token};
use super::wire::{Answer, Body, Exchange, Head, Reply, Request, read, write_request};
use crate::Item;
use crate::action::{Action, Path};
use crate::address::plain_socket;
use crate::config::Config;
use crate::crypto::Crypto;
use crate::event::Event;
use crate::id::{AppId, NodeKey, UserId};
use crate::identity::{Credentials, Delegation, DeviceKeys, IdentitySecret, NodeSecret};
use crate::notice::DhtNotice;
use crate::rng::{Rng, Seed};
use crate::time::{Time, WallTime};

/// When a world begins: 2026-01-01T00:00Z.
const WALL: u64 = 1_767_225_600_000;
/// How long a datagram is on its way.
const DELAY: Duration = Duration::from_millis(5);

/// A datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Letter {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl Letter {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    fn is(&self, field: &str, word: &str) -> bool {
        self.text().contains(&alloc::format!("\"{field}\":\"{word}\""))
    }
}

/// One machine and the addresses of its machine's sockets.
struct Peer {
    places: Vec<SocketAddr>,
    solo: Option<Solo>,
    told: Vec<DhtNotice>,
}

/// What becomes of a datagram on its way: what is delivered in its place.
type Weather = Box<dyn FnMut(Time, Letter) -> Vec<Letter>>;

/// Machines and the network between them.
struct World {
    now: Time,
    peers: Vec<Peer>,
    on_way: BTreeMap<(Time, u64), Letter>,
    letters: u64,
    weather: Option<Weather>,
    /// What came to addresses at which nobody is.
    outside: Vec<(Time, Letter)>,
    /// All that was sent, if it is kept.
    log: Option<Vec<(Time, Letter)>>,
    /// Whether everybody is ticked each millisecond, too.
    is_ticking: bool,
    config: Config,
    /// How many have begun: each life draws otherwise.
    lives: u8,
}

impl World {
    fn new() -> Self {
        Self {
            now: Time::from_secs(1_000),
            peers: Vec::new(),
            on_way: BTreeMap::new(),
            letters: 0,
            weather: None,
            outside: Vec::new(),
            log: None,
            is_ticking: false,
            config: Config::test(),
            lives: 0,
        }
    }

    /// So many at private addresses, of which the first is the entry peer of the others, a second later.
    fn small(count: u8) -> Self {
        let mut world = Self::new();
        for n in 0..count {
            world.add(n, &[lan(n)], &[lan(0)][..usize::from(n > 0)]);
        }
        world
    }

    fn add(&mut self, n: u8, places: &[SocketAddr], entries: &[SocketAddr]) -> usize {
        self.lives += 1;
        let solo = begin(self.config, (n, self.lives), self.now, places, entries);
        self.peers.push(Peer { places: places.to_vec(), solo: Some(solo), told: Vec::new() });
        let index = self.peers.len() - 1;
        self.drain(index);
        index
    }

    /// Begins anew with nothing in memory.
    fn restart(&mut self, index: usize, n: u8, entries: &[SocketAddr]) {
        let places = self.peers[index].places.clone();
        self.lives += 1;
        self.peers[index].solo = Some(begin(self.config, (n, self.lives), self.now, &places, entries));
        self.drain(index);
    }

    fn stop(&mut self, index: usize) {
        self.peers[index].solo = None;
    }

    fn solo(&self, index: usize) -> &Solo {
        self.peers[index].solo.as_ref().expect("it is up")
    }

    /// Asks a machine for something, now.
    fn with<R>(&mut self, index: usize, act: impl FnOnce(&mut Solo, Time) -> R) -> R {
        let now = self.now;
        let done = act(self.peers[index].solo.as_mut().expect("it is up"), now);
        self.drain(index);
        done
    }

    fn told(&mut self, index: usize) -> Vec<DhtNotice> {
        core::mem::take(&mut self.peers[index].told)
    }

    fn drain(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Some(solo) = &mut peer.solo else { return };
        let (letters, told) = take(solo);
        peer.told.extend(told);
        letters.into_iter().for_each(|letter| self.send(letter));
    }

    /// Puts a datagram on its way, whoever wrote it.
    fn send(&mut self, letter: Letter) {
        if let Some(log) = &mut self.log {
            log.push((self.now, letter.clone()));
        }
        let all = match &mut self.weather {
            Some(weather) => weather(self.now, letter),
            None => vec![letter],
        };
        for letter in all {
            self.letters += 1;
            self.on_way.insert((self.now + DELAY, self.letters), letter);
        }
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(next) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn run_ms(&mut self, millis: u64) {
        self.run(Duration::from_millis(millis));
    }

    fn run_secs(&mut self, secs: u64) {
        self.run(Duration::from_secs(secs));
    }

    fn next(&self) -> Option<Time> {
        let letter = self.on_way.keys().next().map(|(at, _)| *at);
        let due = self.peers.iter().filter_map(|peer| peer.solo.as_ref()?.deadline()).min();
        let tick = self.is_ticking.then(|| Time::from_millis(self.now.as_micros() / 1_000 + 1));
        [letter, due, tick].into_iter().flatten().min()
    }

    fn step(&mut self) {
        while let Some((key, _)) = self.on_way.first_key_value().filter(|((at, _), _)| *at <= self.now) {
            let key = *key;
            if let Some(letter) = self.on_way.remove(&key) {
                self.deliver(letter);
            }
        }
        for index in 0..self.peers.len() {
            self.tick(index);
        }
    }

    fn deliver(&mut self, letter: Letter) {
        let Some(index) = self.peers.iter().position(|peer| peer.places.contains(&letter.to)) else {
            self.outside.push((self.now, letter));
            return;
        };
        let path = Path { local: letter.to, remote: letter.from };
        if let Some(solo) = &mut self.peers[index].solo {
            solo.handle(self.now, Event::datagram(path, &letter.bytes));
        }
        self.drain(index);
    }

    /// Ticks one at its deadline until that moves on.
    fn tick(&mut self, index: usize) {
        if self.is_ticking
            && let Some(solo) = &mut self.peers[index].solo
        {
            solo.handle(self.now, Event::Tick);
            self.drain(index);
        }
        for times in 0.. {
            let Some(solo) = &mut self.peers[index].solo else { return };
            if solo.deadline().is_none_or(|due| due > self.now) {
                return;
            }
            assert!(times < 64, "{index} is busy at {:?}: {:?} {:?}", self.now, solo.deadline(), solo.view());
            solo.handle(self.now, Event::Tick);
            self.drain(index);
        }
    }

    fn wall(&self) -> WallTime {
        WallTime::from_millis(WALL) + self.now.since(Time::from_secs(1_000))
    }
}

/// What a machine wants sent, and what it has told.
fn take(solo: &mut Solo) -> (Vec<Letter>, Vec<DhtNotice>) {
    let mut letters = Vec::new();
    while let Some(action) = solo.poll() {
        let Action::SendDatagram { path, packet } = action else { panic!("{action:?} is none of its actions") };
        letters.push(Letter { from: path.local, to: plain_socket(path.remote), bytes: packet.bytes().to_vec() });
    }
    (letters, core::iter::from_fn(|| solo.told()).collect())
}

/// `n` is whose key it is, with which life of it.
fn begin(config: Config, (n, life): (u8, u8), now: Time, places: &[SocketAddr], entries: &[SocketAddr]) -> Solo {
    let wall = WallTime::from_millis(WALL) + now.since(Time::from_secs(1_000));
    let (secret, seed) = (NodeSecret::from_bytes([n + 1; 32]), Seed::from_bytes([life + 101; 32]));
    let mut solo = Solo::new(config, &secret, &seed, now, wall).expect("a configuration");
    solo.set_entries(now, entries);
    solo.handle(now, Event::addresses(places, false));
    solo
}

fn lan(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7_000))
}

/// A global address of a /16 of its own.
fn wan(n: u8) -> SocketAddr {
    SocketAddr::from(([44, n, 3, 1], 7_000))
}

fn wan6(n: u8) -> SocketAddr {
    SocketAddr::from(([0x2600, u16::from(n), 0, 0, 0, 0, 0, 1], 7_000))
}

fn rng(n: u8) -> Rng {
    Rng::from_seed(&Seed::from_bytes([n; 32]))
}

fn app() -> AppId {
    AppId::new("demo.chat").expect("an app")
}

/// Device `n` of user `user`, for so long from the beginning on.
fn credentials(user: u8, n: u8, length: Duration) -> Credentials {
    let keys = DeviceKeys::draw(&mut rng(n));
    keys.credentials(delegation(user, &keys, 0, length))
}

fn delegation(user: u8, keys: &DeviceKeys, from_ms: u64, length: Duration) -> Delegation {
    let from = WallTime::from_millis(WALL + from_ms);
    Delegation::sign(&IdentitySecret::from_bytes([user; 32]), &keys.grant(app(), from, from + length)).expect("a delegation")
}

const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn user(n: u8) -> UserId {
    IdentitySecret::from_bytes([n; 32]).user()
}

fn home(n: u8) -> Key {
    Key::home(user(n), &app())
}

/// One machine alone that serves, and whoever asks it.
struct Alone {
    solo: Solo,
    now: Time,
    at: SocketAddr,
    drawn: u64,
}

/// What the asker has got.
struct Told {
    letter: Letter,
    id: Option<Key>,
    cookie: Option<Cookie>,
    token: Option<Token>,
    is_denied: bool,
}

impl Alone {
    fn new(config: Config, at: SocketAddr) -> Self {
        Self::restored(config, at, &[])
    }

    fn restored(config: Config, at: SocketAddr, items: &[Item]) -> Self {
        let now = Time::from_secs(1_000);
        let mut solo = begin(config, (50, 0), now, &[], &[]);
        assert_eq!(solo.restore(items), 0);
        solo.handle(now, Event::addresses(&[at], false));
        let mut alone = Self { solo, now, at, drawn: 0 };
        alone.wait(Duration::from_secs(1));
        assert!(alone.solo.view().realms.iter().any(|realm| realm.standing == crate::DhtStanding::Serving), "{:?}", alone.solo.view());
        alone
    }

    /// Time passes without a datagram from anybody.
    fn wait(&mut self, length: Duration) -> Vec<Letter> {
        let (end, mut sent) = (self.now + length, Vec::new());
        while let Some(due) = self.solo.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.solo.handle(self.now, Event::Tick);
            sent.extend(take(&mut self.solo).0);
        }
        self.now = end;
        sent
    }

    /// A datagram comes; all that is sent then.
    fn hear(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Letter> {
        self.solo.handle(self.now, Event::datagram(Path { local: self.at, remote: from }, bytes));
        take(&mut self.solo).0
    }

    fn exchange(&mut self) -> Exchange {
        self.drawn += 1;
        Exchange::from_bytes((self.drawn | 1 << 63).to_be_bytes())
    }

    /// Somebody asks; what goes back to them, and what goes elsewhere or asks.
    fn ask(
        &mut self,
        from: SocketAddr,
        id: Option<Key>,
        cookie: Option<Cookie>,
        request: &Request<'_>,
    ) -> (Option<Told>, Vec<Letter>, usize) {
        let mut out = Vec::new();
        let head = Head { exchange: self.exchange(), id, cookie };
        assert!(write_request(&mut out, from, &head, request), "too long");
        let mut sent = self.hear(from, &out);
        let answer = sent.iter().position(|letter| letter.to == from && !letter.text().contains("\"q\":"));
        let answer = answer.map(|index| told(sent.remove(index), head.exchange));
        (answer, sent, out.len())
    }

    fn cookie(&mut self, from: SocketAddr) -> Cookie {
        let (told, _, _) = self.ask(from, None, None, &Request::Ping { to: None });
        told.and_then(|told| told.cookie).expect("a cookie")
    }
}

fn told(letter: Letter, exchange: Exchange) -> Told {
    let datagram = read(&letter.bytes).expect("a datagram");
    assert_eq!(datagram.head.exchange, exchange);
    let token = match &datagram.body {
        Body::Reply(Reply { answer: Answer::Get(got), .. }) => got.token,
        Body::Reply(_) | Body::Request(_) | Body::Denied(_) => None,
    };
    let (id, cookie, is_denied) = (datagram.head.id, datagram.head.cookie, matches!(datagram.body, Body::Denied(_)));
    Told { letter, id, cookie, token, is_denied }
}

fn crypto() -> Crypto {
    Crypto::standard()
}

fn node_key(n: u8) -> NodeKey {
    NodeSecret::from_bytes([n + 1; 32]).key(&crypto())
}

fn addresses(told: &[DhtNotice], is_wanted_final: bool) -> Vec<(crate::DeviceId, Vec<SocketAddr>)> {
    let found = told.iter().filter_map(|notice| {
        let DhtNotice::Found { device, addresses, is_final, .. } = notice else { return None };
        (*is_final == is_wanted_final).then(|| (*device, addresses.to_vec()))
    });
    found.collect()
}

fn is_published(told: &[DhtNotice]) -> bool {
    told.iter().any(|notice| matches!(notice, DhtNotice::Published { record: crate::DhtRecord::Address, is_enough: true, .. }))
}

/// `name` of the object, as it stands.
fn text_of(letter: &Letter, name: &str) -> Option<String> {
    let (_, rest) = letter.text().split_once(&alloc::format!("\"{name}\":\""))?;
    rest.split_once('"').map(|(text, _)| text.into())
}
