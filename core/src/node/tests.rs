//! Nodes on one table: instant pipes, a store in memory, a clock that jumps from deadline to deadline.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::SocketAddr;
use core::time::Duration;

use crate::trace::{Detail, Journal, Ladder, Recorder};
use crate::*;

mod behaviours;
mod bind;
mod contract;
mod dht;
mod dht_hostile;
mod finding;
mod invitations;
mod lengths;
mod publishing;
mod recordings;
mod refusals;
mod storage;
mod streams;
mod withdrawn;

pub(super) const WALL: WallTime = WallTime::from_millis(1_800_000_000_000);

/// What a node's actions did, to be told later.
enum Done {
    Connect(OpId, SocketAddr),
    Write(PipeId, Packet),
    Close(PipeId),
    Resolve(OpId, String),
    Store(OpId, Batch),
    Load(OpId, Vec<u8>, Vec<u8>, u32),
    Datagram(Path, Vec<u8>),
}

#[derive(Default)]
struct Table {
    done: VecDeque<Done>,
    notices: Vec<Notice>,
}

impl Shell for Table {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        self.done.push_back(Done::Datagram(path, packet.bytes().to_vec()));
    }
    fn connect(&mut self, op: OpId, to: SocketAddr, _: bool) {
        self.done.push_back(Done::Connect(op, to));
    }
    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.done.push_back(Done::Write(pipe, packet));
    }
    fn close(&mut self, pipe: PipeId) {
        self.done.push_back(Done::Close(pipe));
    }
    fn resolve(&mut self, op: OpId, name: &str, _: u16) {
        self.done.push_back(Done::Resolve(op, name.to_string()));
    }
    fn store(&mut self, op: OpId, batch: Batch, _: bool) {
        self.done.push_back(Done::Store(op, batch));
    }
    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.done.push_back(Done::Load(op, from, to, limit));
    }
    fn notify(&mut self, notice: Notice) {
        self.notices.push(notice);
    }
}

struct Seat {
    driver: Driver,
    table: Table,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    at: SocketAddr,
    /// This end's pipe to the other node and its pipe.
    pipes: BTreeMap<PipeId, (usize, PipeId)>,
    fail_store: bool,
    hold_stores: bool,
    takes: bool,
    /// Every byte that this node wrote.
    wrote: Vec<u8>,
    /// After so many writes the rest is kept back, and told at once by `let_go`.
    writes_left: Option<u32>,
    held: Vec<u8>,
}

struct Net {
    seats: Vec<Seat>,
    /// What the next nodes are made with.
    config: Config,
    now: Time,
    pipes: u64,
    /// The next nodes are recorded.
    is_recorded: bool,
    /// What each host name stands for.
    names: BTreeMap<String, SocketAddr>,
    /// What becomes of a datagram on its way.
    weather: Option<Weather>,
}

/// What is delivered in the place of a datagram, from where and to whom.
type Weather = alloc::boxed::Box<dyn FnMut(Path, Vec<u8>) -> Vec<(Path, Vec<u8>)>>;

pub(super) fn credentials(name: &str, app: &str) -> Credentials {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let keys = DeviceKeys::draw(&mut rng);
    let grant = keys.grant(AppId::new(app).unwrap(), WALL, WALL + Duration::from_secs(7 * 24 * 3600));
    keys.credentials(Delegation::sign(&identity, &grant).unwrap())
}

impl Net {
    fn empty(config: Config) -> Self {
        let (seats, names) = (Vec::new(), BTreeMap::new());
        Self { seats, config, now: Time::from_secs(1), pipes: 0, is_recorded: false, names, weather: None }
    }

    fn new(names: &[&str]) -> Self {
        let mut net = Self::empty(Config::test());
        for name in names {
            net.add(name, credentials(name, "test"), BTreeMap::new(), 0);
        }
        net.run();
        net
    }

    fn add(&mut self, name: &str, credentials: Credentials, store: BTreeMap<Vec<u8>, Vec<u8>>, life: u8) {
        let seed = Seed::from_bytes([u8::try_from(self.seats.len()).unwrap() + 10 * life; 32]);
        let recorder =
            self.is_recorded.then(|| Recorder::start("test", name, &self.config, &credentials, &seed, self.now, WALL).outputs(true));
        let node = Node::new(self.config, credentials, seed, self.now, WALL).unwrap();
        let at: SocketAddr = format!("10.0.0.{}:7575", self.seats.len() + 1).parse().unwrap();
        let mut driver = Driver::new(node).observed(Journal::new(name).payloads(self.is_recorded));
        if let Some(recorder) = recorder {
            driver = driver.recorded(recorder);
        }
        driver.handle(self.now, Event::addresses(&[at], false));
        let (table, pipes) = (Table::default(), BTreeMap::new());
        self.seats.push(Seat {
            driver,
            table,
            store,
            at,
            pipes,
            fail_store: false,
            hold_stores: false,
            takes: true,
            wrote: Vec::new(),
            writes_left: None,
            held: Vec::new(),
        });
    }

    /// Everything that happens without time passing.
    fn run(&mut self) {
        loop {
            let mut quiet = true;
            for at in 0..self.seats.len() {
                let now = self.now;
                let seat = &mut self.seats[at];
                let before = seat.table.notices.len();
                assert_eq!(seat.driver.drive(&mut seat.table, now, 100_000), Next::Until(seat.driver.deadline()));
                assert!(seat.driver.deadline().is_none_or(|due| due > now), "C6: {:?}", seat.driver.node().wake());
                let taken = seat.table.notices.len() - before;
                if taken > 0 && seat.takes {
                    seat.driver.handle(now, Event::taken(taken as u64, &[]));
                    quiet = false;
                }
                if seat.hold_stores {
                    let held: VecDeque<Done> = seat.table.done.drain(..).collect();
                    let (stores, rest) = held.into_iter().partition(|done| matches!(done, Done::Store(..)));
                    seat.table.done = rest;
                    while let Some(done) = self.seats[at].table.done.pop_front() {
                        quiet = false;
                        self.carry(at, done);
                    }
                    self.seats[at].table.done = stores;
                    continue;
                }
                while let Some(done) = self.seats[at].table.done.pop_front() {
                    quiet = false;
                    self.carry(at, done);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry(&mut self, at: usize, done: Done) {
        let now = self.now;
        match done {
            Done::Connect(op, to) => match self.seats.iter().position(|seat| seat.at == to) {
                None => self.seats[at].driver.handle(now, Event::connect_failed(op, ConnectError::Refused)),
                Some(other) => {
                    self.pipes += 2;
                    let (a, b) = (PipeId::new(self.pipes), PipeId::new(self.pipes + 1));
                    let (here, there) = (self.seats[at].at, to);
                    self.seats[at].pipes.insert(a, (other, b));
                    self.seats[other].pipes.insert(b, (at, a));
                    let from = SocketAddr::new(here.ip(), 50_000);
                    self.seats[at].driver.handle(now, Event::pipe_opened(a, Some(op), from, there));
                    self.seats[other].driver.handle(now, Event::pipe_opened(b, None, there, from));
                }
            },
            Done::Write(pipe, packet) => {
                if let Some((other, theirs)) = self.seats[at].pipes.get(&pipe).copied() {
                    let seat = &mut self.seats[at];
                    seat.wrote.extend_from_slice(packet.bytes());
                    if seat.writes_left == Some(0) {
                        seat.held.extend_from_slice(packet.bytes());
                    } else {
                        seat.writes_left = seat.writes_left.map(|left| left - 1);
                        self.seats[other].driver.handle(now, Event::pipe_bytes(theirs, packet.bytes()));
                    }
                    self.seats[at].driver.handle(now, Event::pipe_written(pipe));
                }
                self.seats[at].driver.recycle(packet);
            }
            Done::Close(pipe) => self.cut(at, pipe),
            Done::Resolve(op, name) => {
                let found = self.names.get(&name).map(|at| [at.ip()]);
                let outcome = found.as_ref().map(|ips| &ips[..]).ok_or(ResolveError::Unknown);
                self.seats[at].driver.handle(now, Event::resolved(op, outcome));
            }
            Done::Datagram(path, bytes) => {
                let all = match &mut self.weather {
                    Some(weather) => weather(path, bytes),
                    None => vec![(path, bytes)],
                };
                for (path, bytes) in all {
                    if let Some(seat) = self.seats.iter_mut().find(|seat| seat.at == path.remote) {
                        seat.driver.handle(now, Event::datagram(Path { local: path.remote, remote: path.local }, &bytes));
                    }
                }
            }
            Done::Store(op, batch) => {
                let seat = &mut self.seats[at];
                if seat.fail_store {
                    return seat.driver.handle(now, Event::stored(op, Err(StoreError::Full)));
                }
                for change in batch.changes {
                    match change.value {
                        Some(value) => drop(seat.store.insert(change.key, value)),
                        None => drop(seat.store.remove(&change.key)),
                    }
                }
                seat.driver.handle(now, Event::stored(op, Ok(())));
            }
            Done::Load(op, from, to, limit) => {
                let seat = &mut self.seats[at];
                let all: Vec<Item> =
                    seat.store.range(from..to).map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect();
                let items = &all[..all.len().min(limit as usize)];
                seat.driver.handle(now, Event::loaded(op, Ok(Page { items, more: items.len() < all.len() })));
            }
        }
    }

    /// Tells the other end at once what was kept back.
    fn let_go(&mut self, at: usize) {
        let held = core::mem::take(&mut self.seats[at].held);
        self.seats[at].writes_left = None;
        let (other, theirs) = *self.seats[at].pipes.values().next().unwrap();
        self.seats[other].driver.handle(self.now, Event::pipe_bytes(theirs, &held));
    }

    /// Ends a pipe at both ends.
    fn cut(&mut self, at: usize, pipe: PipeId) {
        let now = self.now;
        if let Some((other, theirs)) = self.seats[at].pipes.remove(&pipe) {
            self.seats[at].driver.handle(now, Event::pipe_closed(pipe));
            if self.seats[other].pipes.remove(&theirs).is_some() {
                self.seats[other].driver.handle(now, Event::pipe_closed(theirs));
            }
        }
    }

    /// Sleeps exactly from deadline to deadline.
    fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        self.run();
        while let Some(next) = self.seats.iter().filter_map(|seat| seat.driver.deadline()).min().filter(|next| *next <= end) {
            self.now = next;
            self.run();
        }
        self.now = end;
        self.run();
    }

    fn command(&mut self, at: usize, command: impl Into<Command>) -> Result<Tag, CommandError> {
        let now = self.now;
        self.seats[at].driver.command(now, command.into())
    }

    fn cut_all(&mut self, at: usize) {
        while let Some((&pipe, _)) = self.seats[at].pipes.first_key_value() {
            self.cut(at, pipe);
        }
        self.run();
    }

    fn user(&self, at: usize) -> UserId {
        self.seats[at].driver.node().me().user
    }

    fn introduce(&mut self, at: usize, other: usize) {
        let (user, address) = (self.user(other), self.seats[other].at);
        self.command(at, Command::introduce(user, [address.into()])).unwrap();
    }

    fn send(&mut self, at: usize, to: usize, text: &str, keep: Keep) -> Tag {
        let (user, message) = (self.user(to), Message::new("bla", text).unwrap());
        self.command(at, Send::new(user, message).keep(keep)).unwrap()
    }

    /// Stops a node and starts it again on what it has stored.
    fn restart(&mut self, at: usize, name: &str, life: u8) {
        while let Some((&pipe, _)) = self.seats[at].pipes.first_key_value() {
            let (other, theirs) = self.seats[at].pipes.remove(&pipe).unwrap();
            self.seats[other].pipes.remove(&theirs);
            let now = self.now;
            self.seats[other].driver.handle(now, Event::pipe_closed(theirs));
        }
        let store = self.seats[at].store.clone();
        self.add(name, credentials(name, "test"), store, life);
        let mut seat = self.seats.pop().unwrap();
        seat.at = self.seats[at].at;
        seat.driver.handle(self.now, Event::addresses(&[seat.at], false));
        self.seats[at] = seat;
    }

    fn got(&self, at: usize) -> Vec<String> {
        let text = |notice: &Notice| if let Notice::Message(message) = notice { Some(message.payload().to_string()) } else { None };
        self.seats[at].table.notices.iter().filter_map(text).collect()
    }

    fn has(&self, at: usize, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.seats[at].table.notices.iter().any(wanted)
    }

    fn ladder(&self) -> String {
        let journals: Vec<Journal> = self.seats.iter().filter_map(|seat| seat.driver.journal().cloned()).collect();
        Ladder::of(journals).detail(Detail::Link).to_string()
    }
}

// spec-test: MSG-12, NODE-5
#[test]
fn a_message_reaches_a_peer_whose_address_is_known_and_is_reported_delivered() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    let tag = net.send(0, 1, "hello Alice", Keep::Disk);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.got(1), ["\"hello Alice\""]);
    assert!(net.has(0, |n| *n == Notice::Queued { tag }));
    assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: None }), "{:#?}", net.seats[0].table.notices);
    assert_eq!(net.seats[0].driver.node().outbox().count(), 0);
}

// spec-test: FIND-4, FIND-14
#[test]
fn a_stranger_finds_bob_through_alice_and_bob_dials_back() {
    let mut net = Net::new(&["alice", "bob", "eve"]);
    net.introduce(1, 0);
    net.introduce(2, 0);
    net.send(1, 0, "hello Alice", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.send(2, 1, "hello Bob I got your IP from Alice", Keep::Memory);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1), ["\"hello Bob I got your IP from Alice\""], "{}", net.ladder());
    assert_eq!(net.seats[0].driver.node().links().filter(|link| link.dialled).count(), 0, "Alice opened no link");
    assert_eq!(net.seats[1].driver.node().links().filter(|link| link.dialled).count(), 2, "Bob dialled Alice and Eve");
}

// spec-test: MSG-5, MSG-6, LINK-20
#[test]
fn a_stored_message_survives_a_restart_of_its_sender_and_comes_once() {
    let mut net = Net::new(&["bob", "alice"]);
    let tag = net.send(0, 1, "later", Keep::Disk);
    net.pass(Duration::from_secs(30));
    assert_eq!(net.got(1), Vec::<String>::new());
    net.restart(0, "bob", 1);
    net.run();
    net.introduce(0, 1);
    net.pass(Duration::from_secs(30));
    assert_eq!(net.got(1), ["\"later\""]);
    assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    net.restart(0, "bob", 2);
    net.pass(Duration::from_secs(600));
    assert_eq!(net.got(1), ["\"later\""]);
}

// spec-test: MSG-13
#[test]
fn a_message_in_ram_fails_after_three_retries_and_says_why() {
    let mut net = Net::new(&["bob", "alice"]);
    let nowhere = "nowhere.test:7575".parse().unwrap();
    let alice = net.user(1);
    net.command(0, Command::introduce(alice, [nowhere])).unwrap();
    let tag = net.send(0, 1, "lost", Keep::Memory);
    net.pass(Duration::from_secs(20));
    assert!(net.has(0, |n| *n == Notice::Failed { tag, why: FailReason::Unreachable }), "{:#?}", net.seats[0].table.notices);
    assert_eq!(net.seats[0].driver.node().wake(), Wake::Expiry);
    let attempt = net.seats[0].driver.node().explain(alice).addresses[0].attempt.unwrap();
    assert_eq!(attempt.outcome, AttemptOutcome::NotResolved(ResolveError::Unknown));
}

// spec-test: MSG-7, STORE-6, NODE-11
#[test]
fn a_message_is_not_acknowledged_before_its_mark_is_stored_and_a_failed_store_stops_the_node() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "first", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.seats[1].hold_stores = true;
    let tag = net.send(0, 1, "second", Keep::Disk);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.got(1), ["\"first\"", "\"second\""]);
    assert!(!net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    net.seats[1].hold_stores = false;
    net.seats[1].fail_store = true;
    net.pass(Duration::from_secs(2));
    assert!(net.has(1, |n| *n == Notice::Stopped { why: StoreError::Full }));
    assert!(!net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    assert_eq!(net.command(1, Command::Suspend), Err(CommandError::Stopped));
    let device = net.seats[1].driver.node().me();
    assert!(net.has(0, |n| *n == Notice::LinkDown { with: LinkPeer::User(device), why: CloseReason::Stopped }));
}

// spec-test: MSG-9
#[test]
fn an_application_that_takes_nothing_stalls_its_peer_at_the_window_and_loses_nothing() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "0", Keep::Memory);
    net.pass(Duration::from_secs(1));
    net.seats[1].takes = false;
    let before = net.seats[1].table.notices.len();
    for n in 1..3_000 {
        net.send(0, 1, &n.to_string(), Keep::Memory);
        net.run();
    }
    assert_eq!(net.got(1).len(), 1 + 1_024);
    net.seats[1].takes = true;
    let waiting = net.seats[1].table.notices.len() - before;
    let now = net.now;
    net.seats[1].driver.handle(now, Event::taken(waiting as u64, &[]));
    net.pass(Duration::from_secs(5));
    let expected: Vec<String> = (0..3_000).map(|n| format!("\"{n}\"")).collect();
    assert_eq!(net.got(1), expected);
    assert_eq!(net.seats[0].driver.node().stats().messages_delivered, 3_000);
}

// spec-test: LINK-16
#[test]
fn two_dials_at_once_leave_one_link_and_every_message_comes_once() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.introduce(1, 0);
    net.send(0, 1, "to alice", Keep::Disk);
    net.send(1, 0, "to bob", Keep::Disk);
    net.pass(Duration::from_secs(2));
    for at in 0..2 {
        assert_eq!(net.seats[at].driver.node().links().count(), 1, "{}", net.ladder());
        let count = |wanted: fn(&Notice) -> bool| net.seats[at].table.notices.iter().filter(|notice| wanted(notice)).count();
        let ups = count(|notice| matches!(notice, Notice::LinkUp { .. }));
        let downs = count(|notice| matches!(notice, Notice::LinkDown { .. }));
        assert_eq!(ups, downs + 1, "a link that never was the peer's is not told to be down");
        let (me, link) = (net.seats[at].driver.node().me(), net.seats[at].driver.node().links().next().unwrap());
        let LinkPeer::User(other) = link.with else { panic!("{link:?}") };
        assert_eq!(link.dialled, me < other, "the lower one's dial stays");
    }
    assert_eq!((net.got(0), net.got(1)), (vec!["\"to bob\"".to_string()], vec!["\"to alice\"".to_string()]));
}

// spec-test: NODE-15
#[test]
fn suspend_says_goodbye_and_quiet_and_addresses_wake_the_node() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "one", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.command(0, Command::Suspend).unwrap();
    net.pass(Duration::from_secs(1));
    assert!(net.has(0, |n| *n == Notice::Quiet));
    assert_eq!(net.seats[0].driver.deadline(), None);
    assert_eq!(net.command(0, Command::Suspend), Err(CommandError::Suspended));
    let (now, at) = (net.now, net.seats[0].at);
    net.seats[0].driver.handle(now, Event::addresses(&[at], true));
    net.send(0, 1, "two", Keep::Disk);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.got(1), ["\"one\"", "\"two\""]);
}

// spec-test: STORE-8
#[test]
fn what_a_caller_sends_and_saves_before_the_next_event_is_one_batch() {
    let mut net = Net::new(&["bob", "alice", "eve"]);
    net.seats[0].hold_stores = true;
    net.send(0, 1, "to alice", Keep::Disk);
    net.send(0, 2, "to eve", Keep::Disk);
    assert_eq!(net.seats[0].driver.node().wake(), Wake::Store);
    let (now, saved) = (net.now, Change { key: b"list".to_vec(), value: Some(b"sent".to_vec()) });
    net.seats[0].driver.handle(now, Event::taken(0, &[saved]));
    net.run();
    let size = |done: &Done| if let Done::Store(_, batch) = done { Some(batch.changes.len()) } else { None };
    let batches: Vec<usize> = net.seats[0].table.done.iter().filter_map(size).collect();
    assert_eq!(batches, [3], "two messages and what was saved");
    net.seats[0].hold_stores = false;
    net.send(0, 1, "alone", Keep::Disk);
    net.run();
    assert_eq!(net.seats[0].store.keys().filter(|key| key.starts_with(b"o")).count(), 3, "a command alone is stored too");
}
