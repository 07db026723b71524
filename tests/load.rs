//! The worst that peers and embedders do to a node, with every byte that it holds meanwhile counted, term by term.
//!
//! The process must count its allocations.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{
    Action, Address, AppId, Command, Config, Credentials, Delegation, DeviceId, DeviceKeys, Entry, Event, IdentitySecret, Invitation, Item,
    Keep, Message, Node, Notice, OpId, Page, PipeId, Revocation, RevocationEntry, RevocationTarget, Rng, Seed, Send, Time, UserId,
    WallTime,
};
use overcom_counted::count;

const WALL: WallTime = WallTime::from_millis(1_800_000_000_000);
/// A record of a link, with its length in front, and what of it is text.
const RECORD: usize = (16 << 10) + 2;
const RECORD_TEXT: usize = RECORD - 2 - 16;
/// The first users are in the address book; peers come after them, and strangers last.
const PEERS: u64 = 100_000;
const STRANGERS: u64 = 200_000;

/// What this thread has on the heap.
pub(crate) fn heap_bytes() -> i64 {
    count().held()
}

fn rng(label: &str, n: u64) -> Rng {
    Rng::from_seed(&Seed::from_bytes([7; 32])).fork(label, n)
}

fn identity(n: u64) -> IdentitySecret {
    IdentitySecret::from_bytes(rng("identity", n).array())
}

/// Somebody's `device`.
fn credentials(n: u64, device: u64) -> Credentials {
    let keys = DeviceKeys::draw(&mut rng("device", n * 64 + device));
    let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(7 * 24 * 3_600));
    keys.credentials(Delegation::sign(&identity(n), &grant).unwrap())
}

fn user(n: u64) -> UserId {
    identity(n).public().user()
}

/// A revocation as long as one may be.
fn revocation(n: u64) -> Revocation {
    let entry = RevocationEntry { before: WALL, end: WALL + Duration::from_secs(30 * 24 * 3_600) };
    let devices = (1..=8).map(|device| (RevocationTarget::Device(DeviceId::from_bytes([device; 16])), entry)).collect();
    Revocation::sign(&identity(n), AppId::new("test").unwrap(), 1, devices).unwrap()
}

/// A name as long as one may be.
fn name(n: u64, at: u64) -> Address {
    let label = "a".repeat(60);
    format!("{label}.{label}.{label}.{n:07}{at}.{}:7575", "b".repeat(56)).parse().unwrap()
}

fn names(n: u64) -> Vec<Address> {
    (0..8).map(|at| name(n, at)).collect()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The counted node, a peer for each of its pipes, and a shell that does as little as it may.
pub(crate) struct Load {
    pub(crate) node: Node,
    pub(crate) held: i64,
    pub(crate) peak: i64,
    /// How much was held more after what drives a term of [`Config::memory_terms`].
    pub(crate) terms: Vec<(&'static str, i64)>,
    config: Config,
    now: Time,
    peers: Vec<Peer>,
    pipes: u64,
    /// Actions that are not carried out: still the node's.
    pub(crate) kept: Vec<Action>,
    /// Writes are handed over, batches are stored.
    writes: bool,
    stores: bool,
    /// No more is loaded once so much is held.
    enough: i64,
    /// Dials that wait for an answer.
    dials: Vec<(OpId, SocketAddr)>,
}

/// Another end. It is a real node: what it says is right, but may stop in the middle.
struct Peer {
    pipe: PipeId,
    node: Node,
    /// How many bytes of what it writes arrive.
    arrives: usize,
}

impl Load {
    fn new(config: Config, enough: i64) -> Self {
        let now = Time::from_secs(1);
        let before = heap_bytes();
        let node = Node::new(config, credentials(PEERS - 1, 0), Seed::from_bytes([0; 32]), now, WALL).unwrap();
        let held = heap_bytes() - before;
        let (terms, peers, kept) = (Vec::new(), Vec::new(), Vec::new());
        Self { node, held, peak: 0, terms, config, now, peers, pipes: 0, kept, writes: true, stores: true, enough, dials: Vec::new() }
    }

    /// One call to the counted node, and how much more it holds after it.
    fn call<R>(&mut self, call: impl FnOnce(&mut Node, Time) -> R) -> R {
        let before = heap_bytes();
        let result = call(&mut self.node, self.now);
        self.held += heap_bytes() - before;
        self.peak = self.peak.max(self.held);
        result
    }

    fn handle(&mut self, event: Event<'_>) {
        self.call(|node, now| node.handle(now, event));
        self.carry();
    }

    /// A wish, without an event after it. What it brings along becomes the node's.
    fn wish(&mut self, command: impl Into<Command>) -> bool {
        let command = command.into();
        let before = heap_bytes();
        let copy = command.clone();
        self.held += heap_bytes() - before;
        drop(command);
        self.call(|node, now| node.command(now, copy).is_ok())
    }

    /// Wishes one after the other until one is refused, or enough is held; whether all were granted.
    fn wishes<C: Into<Command>>(&mut self, commands: impl IntoIterator<Item = C>) -> bool {
        commands.into_iter().all(|command| self.held < self.enough && self.wish(command))
    }

    /// Drives one term: what is held more after that counts for it.
    fn drive(&mut self, term: &'static str, load: impl FnOnce(&mut Self)) {
        let before = self.held;
        load(self);
        let more = self.held - before;
        match self.terms.iter_mut().find(|(it, _)| *it == term) {
            Some((_, held)) => *held += more,
            None => self.terms.push((term, more)),
        }
    }

    /// Carries out what the counted node wants and what its peers answer. Nobody takes its notices.
    fn carry(&mut self) {
        while let Some(action) = self.call(|node, _| node.poll()) {
            match action {
                Action::Load { op, from, to, .. } => {
                    self.call(|_, _| drop((from, to)));
                    let items = stored(&self.config);
                    self.call(|node, now| node.handle(now, Event::loaded(op, Ok(Page { items: &items, more: false }))));
                }
                Action::Store { op, batch, .. } if self.stores => self.call(|node, now| {
                    drop(batch);
                    node.handle(now, Event::stored(op, Ok(())));
                }),
                Action::Write { pipe, packet } if self.writes => {
                    self.hear(pipe, packet.bytes());
                    self.call(|node, now| {
                        node.recycle(packet);
                        node.handle(now, Event::pipe_written(pipe));
                    });
                }
                Action::Close { pipe } => {
                    self.peers.retain(|peer| peer.pipe != pipe);
                    self.call(|node, now| node.handle(now, Event::pipe_closed(pipe)));
                }
                Action::Resolve { op, name, .. } => {
                    self.call(|_, _| drop(name));
                    let ips = [[10, 0, 0, 7].into(); 4];
                    self.call(|node, now| node.handle(now, Event::resolved(op, Ok(&ips))));
                }
                Action::Connect { op, to, .. } => self.dials.push((op, to)),
                other @ (Action::Notify { .. } | Action::Write { .. } | Action::Store { .. }) => {
                    let (kept, before) = (&mut self.kept, heap_bytes());
                    kept.push(other);
                    self.held += heap_bytes() - before;
                }
                Action::SendDatagram { .. } => {}
            }
        }
    }

    /// A dial of the counted node comes to somebody who says who they are, and stops in the middle of a record.
    fn dialled(&mut self, op: OpId, to: SocketAddr) {
        self.pipes += 1;
        let pipe = PipeId::new(self.pipes);
        self.call(|node, now| node.handle(now, Event::pipe_opened(pipe, Some(op), at("10.0.0.1:7575"), to)));
        self.call(|node, now| node.handle(now, Event::pipe_bytes(pipe, b"overcom/1 user\n\x40\x00")));
        self.call(|node, now| node.handle(now, Event::pipe_bytes(pipe, &[0; RECORD - 3])));
        self.carry();
    }

    /// A peer hears bytes; what it says in return goes to the counted node.
    fn hear(&mut self, pipe: PipeId, bytes: &[u8]) {
        let now = self.now;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.pipe == pipe) {
            peer.node.handle(now, Event::pipe_bytes(pipe, bytes));
        }
        self.listen(pipe);
    }

    fn listen(&mut self, pipe: PipeId) {
        let now = self.now;
        loop {
            let Some(peer) = self.peers.iter_mut().find(|peer| peer.pipe == pipe) else { return };
            let Some(action) = peer.node.poll() else { return };
            match action {
                Action::Load { op, .. } => peer.node.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false }))),
                Action::Store { op, .. } => peer.node.handle(now, Event::stored(op, Ok(()))),
                Action::Notify { .. } => peer.node.handle(now, Event::taken(1, &[])),
                Action::Write { packet, .. } => {
                    peer.node.handle(now, Event::pipe_written(pipe));
                    let arrives = packet.bytes().len().min(peer.arrives);
                    peer.arrives -= arrives;
                    let bytes = &packet.bytes()[..arrives];
                    self.call(|node, now| node.handle(now, Event::pipe_bytes(pipe, bytes)));
                }
                Action::Connect { op, to, .. } => peer.node.handle(now, Event::pipe_opened(pipe, Some(op), at("10.0.0.9:9"), to)),
                Action::Close { .. } | Action::Resolve { .. } | Action::SendDatagram { .. } => {}
            }
        }
    }

    /// One more peer that dials; `arrives` is how much of what it says is heard.
    fn open(&mut self, n: u64, arrives: usize) -> PipeId {
        self.pipes += 1;
        let (pipe, now, me, here) = (PipeId::new(self.pipes), self.now, self.node.me().user, at("10.0.0.1:7575"));
        let mut peers = started(n);
        peers.command(now, Command::introduce(me, [Address::Ip(here)])).unwrap();
        peers.command(now, Command::find(me)).unwrap();
        self.peers.push(Peer { pipe, node: peers, arrives });
        self.handle(Event::pipe_opened(pipe, None, here, at("10.0.0.9:9")));
        self.tell::<Command>(pipe, []);
        pipe
    }

    /// A peer's application wants something.
    fn tell<C: Into<Command>>(&mut self, pipe: PipeId, commands: impl IntoIterator<Item = C>) {
        let now = self.now;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.pipe == pipe) {
            for command in commands {
                let _ = peer.node.command(now, command.into());
            }
            peer.node.handle(now, Event::Tick);
        }
        self.listen(pipe);
        self.carry();
    }

    fn set_arrives(&mut self, pipe: PipeId, arrives: usize) {
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.pipe == pipe) {
            peer.arrives = arrives;
        }
    }
}

/// A small node whose outbox is large.
pub(crate) fn tight() -> Config {
    Config::embedded().line_bytes_max(4 << 10).window_bytes(64 << 10).outbox_bytes_max(1 << 20).outbox_messages_max(1_024)
}

/// A few links with long lines.
pub(crate) fn large() -> Config {
    let links = Config::test().dht(0).links_user_max(6).links_service_in_max(0).line_bytes_max(256 << 10);
    links.links_service_out_max(0).dials_max(2).pipes_pending_max(16).book_users_max(64).searches_max(512)
}

/// A small node whose lines are long, so that few messages are many bytes.
pub(crate) fn wordy() -> Config {
    Config::embedded().line_bytes_max(64 << 10)
}

/// That node with one bound lifted, by the bound's name.
pub(crate) fn lifted() -> [(&'static str, Config); 6] {
    let config = wordy();
    [
        ("outbox_bytes_max", config.outbox_bytes_max(64 << 20)),
        ("line_bytes_max", config.line_bytes_max(512 << 10)),
        ("window_bytes", config.window_bytes(1 << 20)),
        ("book_users_max", config.book_users_max(4_096)),
        ("pipes_pending_max", config.pipes_pending_max(4_096)),
        ("notices_max", config.notices_max(1 << 20)),
    ]
}

/// Drives every term of [`Config::memory_terms`] to its bound, or until `enough` is held.
pub(crate) fn loaded(config: Config, enough: i64) -> Load {
    let mut load = Load::new(config, enough);
    load.drive("users", Load::carry);
    load.drive("notices", Load::refuse_many);
    load.drive("inbox", Load::leave_messages);
    let links = bound(&config, "links_user_max");
    let mut pipes = Vec::new();
    load.drive("links", |load| pipes.extend((0..links).map(|n| load.open(PEERS + n, usize::MAX))));
    let search = |load: &mut Load, first: u64, count: u64| {
        for (pipe, base) in pipes.iter().zip((PEERS..).step_by(300)) {
            load.tell(*pipe, (first..first + count).map(|n| Command::find(nobody(base + n))));
        }
    };
    // One by one as many as are remembered; then many in one read, which is there once.
    load.drive("searches", |load| (0..(bound(&config, "searches_max") / links + 1).min(150)).for_each(|n| search(load, n, 1)));
    load.drive("once", |load| search(load, 150, 90));
    load.writes = false;
    load.drive("links", |load| load.say_much(&pipes));
    load.drive("users", |load| {
        for n in 0..bound(&config, "book_users_max") {
            load.wishes((0..64).map(|_| Command::find(user(n))));
        }
        load.handle(Event::Tick);
    });
    load.drive("invitations", Load::join);
    load.drive("pending", Load::fill_pending);
    load.stores = false;
    load.drive("invitations", Load::invite);
    load.drive("outbox", |load| {
        let (count, bytes) = (bound(&config, "outbox_messages_max"), bound(&config, "outbox_bytes_max"));
        let most = bound(&config, "line_bytes_max") - 128;
        // Twice as long in the store: each character that needs an escape has two there.
        let message = Message::new("m", &"\"".repeat(((bytes / count).min(most) as usize).saturating_sub(64) / 2)).unwrap();
        load.wishes((0..count).map(|n| Send::new(nobody(n), message.clone())));
    });
    load.drive("changes", |load| {
        for _ in 0..2 {
            load.wishes((0..).map(|n| Command::enter(entries(n))));
            load.handle(Event::Tick);
        }
    });
    assert!(load.held >= enough || load.node.links().count() as u64 == links, "a link was let go");
    load
}

/// A bound by its name.
fn bound(config: &Config, name: &str) -> u64 {
    serde_json::to_value(config).unwrap()[name].as_u64().unwrap()
}

/// Somebody who is in no book.
fn nobody(n: u64) -> UserId {
    UserId::from_bytes(rng("nobody", n).array())
}

/// Entry peers with long names and keys.
fn entries(n: u64) -> Vec<Entry> {
    let key = started(STRANGERS).node_key();
    names(n).into_iter().map(|address| Entry { address, key }).collect()
}

/// An invitation of somebody who is in the address book, as long as one may be.
fn invitation(n: u64) -> Invitation {
    let (now, mut node) = (Time::from_secs(1), started(n));
    node.command(now, Command::invite(Duration::from_secs(3_600), [name(n, 0), name(n, 1)])).unwrap();
    node.handle(now, Event::Tick);
    node.handle(now, Event::stored(OpId::new(3), Ok(())));
    let made = |action| if let Action::Notify { notice: Notice::Invited { invitation, .. } } = action { Some(invitation) } else { None };
    std::iter::from_fn(|| node.poll()).find_map(made).unwrap()
}

impl Load {
    /// Strangers fill the windows of as many links as there may be, and leave. Nobody takes the messages.
    fn leave_messages(&mut self) {
        let (messages, bytes) = (bound(&self.config, "window_messages"), bound(&self.config, "window_bytes"));
        let most = (bytes / messages).min(bound(&self.config, "line_bytes_max"));
        let message = Message::new("m", &"a".repeat(most as usize - 160)).unwrap();
        let me = self.node.me().user;
        for n in 0..bound(&self.config, "links_user_max") {
            let pipe = self.open(STRANGERS + n, usize::MAX);
            let keeps = [Keep::Memory, Keep::Disk].into_iter().cycle();
            self.tell(pipe, keeps.take(messages as usize).map(|keep| Send::new(me, message.clone()).keep(keep)));
            self.peers.retain(|peer| peer.pipe != pipe);
            self.handle(Event::pipe_closed(pipe));
            if self.held >= self.enough {
                return;
            }
        }
    }

    /// Peers who read nothing are told as much as may wait for them, and stop in the middle of a line and of a record.
    fn say_much(&mut self, pipes: &[PipeId]) {
        let (line, window) = (bound(&self.config, "line_bytes_max"), bound(&self.config, "window_bytes").min(64 << 10));
        let each = revocation(0).to_json().len() as u64 + 16;
        // A write as large as one may be, and then what waits for it, less what is answered below.
        let (write, wait) = (window / each + 1, (line + 2 * window - (6 << 10)) / each);
        let mut signed = (PEERS..).map(|n| Command::revoke(revocation(n)));
        for part in [write].into_iter().chain((0..wait).map(|_| 1)) {
            self.wishes(signed.by_ref().take(part as usize));
            self.handle(Event::Tick);
            if self.held >= self.enough {
                return;
            }
        }
        let me = self.node.me().user;
        let message = Message::new("m", &"a".repeat(line as usize - 256)).unwrap();
        for (pipe, first) in pipes.iter().zip((PEERS * 2..).step_by(30)) {
            // Thirty searches, of 600 bytes at least, go before the message: it must not end in the last record that arrives.
            let whole = ((30 * 600 + line as usize - 256) / RECORD_TEXT).saturating_sub(1);
            self.set_arrives(*pipe, whole * RECORD + RECORD - 1);
            let finds = (first..first + 30).map(|n| Command::find(nobody(n)));
            self.tell(*pipe, finds.chain([Send::new(me, message.clone()).keep(Keep::Memory).into()]));
        }
    }

    /// Strangers begin a handshake and stop in the middle of a record.
    fn fill_pending(&mut self) {
        let (now, me, here) = (self.now, self.node.me().user, at("10.0.0.1:7575"));
        let mut stranger = started(STRANGERS - 1);
        stranger.command(now, Command::introduce(me, [Address::Ip(here)])).unwrap();
        stranger.command(now, Command::find(me)).unwrap();
        let to = |action| if let Action::Connect { op, .. } = action { Some(op) } else { None };
        let op = std::iter::from_fn(|| stranger.poll()).find_map(to).unwrap();
        stranger.handle(now, Event::pipe_opened(PipeId::new(1), Some(op), here, here));
        let hello = |action| if let Action::Write { packet, .. } = action { Some(packet) } else { None };
        let hello = std::iter::from_fn(|| stranger.poll()).find_map(hello).unwrap();
        for _ in 0..bound(&self.config, "pipes_pending_max") {
            self.pipes += 1;
            let pipe = PipeId::new(self.pipes);
            self.handle(Event::pipe_opened(pipe, None, here, at("10.0.0.8:8")));
            self.handle(Event::pipe_bytes(pipe, hello.bytes()));
            self.handle(Event::pipe_bytes(pipe, b"\x40\x00"));
            self.handle(Event::pipe_bytes(pipe, &[0; RECORD - 3]));
            if self.held >= self.enough {
                return;
            }
        }
        while let Some((op, to)) = self.dials.pop() {
            self.dialled(op, to);
        }
    }

    /// Uses as many invitations as may be under way, each eight times.
    fn join(&mut self) {
        for n in 0..bound(&self.config, "invitations_max").min(bound(&self.config, "book_users_max")) {
            let theirs = invitation(n);
            self.wishes((0..8).map(|_| Command::join(theirs.clone())));
            self.handle(Event::Tick);
        }
    }

    /// Makes as many invitations as may be open.
    fn invite(&mut self) {
        let count = bound(&self.config, "invitations_max");
        self.wishes((0..count).map(|n| Command::invite(Duration::from_secs(3_600), [name(n, 0), name(n, 1)])));
    }

    /// Pipes that begin with nonsense, until the application has left too many notices.
    fn refuse_many(&mut self) {
        while self.held < self.enough && self.node.stats().notices_dropped == 0 {
            self.pipes += 1;
            let pipe = PipeId::new(self.pipes);
            self.handle(Event::pipe_opened(pipe, None, at("10.0.0.1:7575"), at("10.0.0.8:8")));
            self.handle(Event::pipe_bytes(pipe, b"nonsense"));
        }
    }
}

/// A peer's node, running.
fn started(n: u64) -> Node {
    let now = Time::from_secs(1);
    let mut node = Node::new(Config::desktop(), credentials(n, 0), Seed::from_bytes([9; 32]), now, WALL).unwrap();
    node.handle(now, Event::loaded(OpId::new(1), Ok(Page { items: &[], more: false })));
    node.handle(now, Event::stored(OpId::new(2), Ok(())));
    node
}

/// What the counted node finds at its start: an address book that is full, of people with long names, many devices and many
/// streams, and as many revocations.
fn stored(config: &Config) -> Vec<Item> {
    let key = |prefix: u8, user: UserId| [&[prefix], &user.as_bytes()[..]].concat();
    let mut items = Vec::new();
    for n in 0..bound(config, "book_users_max") {
        let user = user(n);
        items.push(Item { key: key(b'b', user), value: serde_json::to_vec(&names(n)).unwrap() });
        for device in 0..bound(config, "devices_per_user_max") {
            let delegation = credentials(n, device).delegation().clone();
            let key = [&key(b'd', user), &delegation.device().as_bytes()[..]].concat();
            items.push(Item { key, value: delegation.to_json().into_bytes() });
        }
        for stream in 0..4 {
            items.push(Item { key: [key(b'm', user), vec![1; 16], vec![stream; 16]].concat(), value: vec![0; 8] });
        }
        items.push(Item { key: key(b'r', user), value: revocation(n).to_json().into_bytes() });
    }
    items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    items
}
