//! The worst that peers and embedders do to a node, with every byte that it holds meanwhile counted.
//!
//! The process must count its allocations, and run nothing beside.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{
    Action, Address, AppId, Command, Config, Credentials, Delegation, DeviceKeys, Event, IdentitySecret, Invitation, Keep, Message, Node,
    Notice, OpId, Page, PipeId, Rng, Seed, Send, Time, UserId, WallTime,
};
use stats_alloc::INSTRUMENTED_SYSTEM;

const WALL: WallTime = WallTime::from_millis(1_800_000_000_000);

/// What the process has on its heap.
pub(crate) fn heap_bytes() -> i64 {
    let stats = INSTRUMENTED_SYSTEM.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}

fn credentials(n: u64) -> Credentials {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork("credentials", n);
    let (identity, keys) = (IdentitySecret::from_bytes(rng.array()), DeviceKeys::draw(&mut rng));
    let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(7 * 24 * 3_600));
    keys.credentials(Delegation::sign(&identity, &grant).unwrap())
}

fn someone(n: u8) -> UserId {
    UserId::from_bytes([n; 32])
}

/// The counted node, a peer for each of its pipes, and whoever else bothers it.
pub(crate) struct Load {
    pub(crate) node: Node,
    pub(crate) held: i64,
    pub(crate) peak: i64,
    now: Time,
    peers: Vec<(PipeId, Node)>,
    pipes: u64,
    /// Writes of the counted node are handed over; else it has to keep what it says.
    reads: bool,
}

impl Load {
    fn new(config: Config) -> Self {
        let now = Time::from_secs(1);
        let before = heap_bytes();
        let node = Node::new(config, credentials(0), Seed::from_bytes([0; 32]), now, WALL).unwrap();
        let held = heap_bytes() - before;
        let mut load = Self { node, held, peak: 0, now, peers: Vec::new(), pipes: 0, reads: true };
        load.carry();
        load
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

    fn wish(&mut self, command: impl Into<Command>) -> bool {
        let command = command.into();
        // What the command brings along becomes the node's.
        let before = heap_bytes();
        let copy = command.clone();
        let brought = heap_bytes() - before;
        drop(command);
        self.held += brought;
        let granted = self.call(|node, now| node.command(now, copy).is_ok());
        self.carry();
        granted
    }

    /// Carries out what the counted node wants and what its peers answer. Nobody takes its notices.
    fn carry(&mut self) {
        while let Some(action) = self.call(|node, _| node.poll()) {
            // Polled: it is the shell's now. Its heap goes back when it is dropped inside a counted call.
            match action {
                Action::Load { op, from, to, .. } => {
                    self.call(|node, now| {
                        drop((from, to));
                        node.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false })));
                    });
                }
                Action::Store { op, batch, .. } => self.call(|node, now| {
                    drop(batch);
                    node.handle(now, Event::stored(op, Ok(())));
                }),
                Action::Write { pipe, packet } => {
                    self.hear(pipe, packet.bytes());
                    let reads = self.reads;
                    self.call(|node, now| {
                        node.recycle(packet);
                        if reads {
                            node.handle(now, Event::pipe_written(pipe));
                        }
                    });
                }
                Action::Close { pipe } => {
                    self.peers.retain(|(it, _)| *it != pipe);
                    self.call(|node, now| node.handle(now, Event::pipe_closed(pipe)));
                }
                other @ (Action::Notify { .. } | Action::Connect { .. } | Action::Resolve { .. } | Action::SendDatagram { .. }) => {
                    self.call(|_, _| drop(other));
                }
            }
        }
    }

    /// A peer hears bytes; what it says in return goes to the counted node.
    fn hear(&mut self, pipe: PipeId, bytes: &[u8]) {
        let now = self.now;
        if let Some((_, peer)) = self.peers.iter_mut().find(|(it, _)| *it == pipe) {
            peer.handle(now, Event::pipe_bytes(pipe, bytes));
        }
        self.listen(pipe);
    }

    fn listen(&mut self, pipe: PipeId) {
        let now = self.now;
        loop {
            let Some((_, peer)) = self.peers.iter_mut().find(|(it, _)| *it == pipe) else { return };
            let Some(action) = peer.poll() else { return };
            match action {
                Action::Load { op, .. } => peer.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false }))),
                Action::Store { op, .. } => peer.handle(now, Event::stored(op, Ok(()))),
                Action::Notify { .. } => peer.handle(now, Event::taken(1, &[])),
                Action::Write { packet, .. } => {
                    peer.handle(now, Event::pipe_written(pipe));
                    self.call(|node, now| node.handle(now, Event::pipe_bytes(pipe, packet.bytes())));
                }
                Action::Connect { op, to, .. } => {
                    let at: SocketAddr = "10.0.0.9:9".parse().unwrap();
                    peer.handle(now, Event::pipe_opened(pipe, Some(op), at, to));
                }
                Action::Close { .. } | Action::Resolve { .. } | Action::SendDatagram { .. } => {}
            }
        }
    }

    /// One more peer with a link.
    fn link(&mut self, n: u64) -> PipeId {
        self.pipes += 1;
        let pipe = PipeId::new(self.pipes);
        let (now, here, there) = (self.now, "10.0.0.1:7575".parse().unwrap(), "10.0.0.9:9".parse().unwrap());
        let mut peer = Node::new(Config::desktop(), credentials(n), Seed::from_bytes([9; 32]), now, WALL).unwrap();
        peer.handle(now, Event::loaded(OpId::new(1), Ok(Page { items: &[], more: false })));
        peer.handle(now, Event::stored(OpId::new(2), Ok(())));
        let me = self.node.me().user;
        self.peers.push((pipe, peer));
        self.handle(Event::pipe_opened(pipe, None, here, there));
        self.tell(pipe, Command::introduce(me, [Address::Ip(here)]));
        self.tell(pipe, Command::find(me));
        self.carry();
        pipe
    }

    /// A peer's application wants something.
    fn tell(&mut self, pipe: PipeId, command: impl Into<Command>) {
        let now = self.now;
        if let Some((_, peer)) = self.peers.iter_mut().find(|(it, _)| *it == pipe) {
            let _ = peer.command(now, command.into());
            peer.handle(now, Event::Tick);
        }
        self.listen(pipe);
        self.carry();
    }

    fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        while let Some(due) = self.node.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.handle(Event::Tick);
        }
        self.now = end;
    }
}

/// Everything at once: full windows that nobody takes, an outbox that nobody reads, a book of long names, finds, dials,
/// invitations, and pipes that hold part of a handshake.
pub(crate) fn loaded(config: Config, links: u64, users: u8, kib: usize, sends: usize) -> Load {
    let mut load = Load::new(config);
    let text = "\"".repeat(kib * 512);
    let message = || Message::new("bla", &text).unwrap();
    let pipes: Vec<PipeId> = (1..=links).map(|n| load.link(n)).collect();
    assert_eq!(load.node.links().count() as u64, links);
    for pipe in &pipes {
        let me = load.node.me().user;
        for keep in [Keep::Memory, Keep::Disk].into_iter().cycle().take(40) {
            load.tell(*pipe, Send::new(me, message()).keep(keep));
        }
    }
    load.reads = false;
    for n in (1..=links).cycle().take(sends) {
        let to = credentials(n).delegation().user();
        if !load.wish(Send::new(to, message()).keep(if n % 2 == 0 { Keep::Disk } else { Keep::Memory })) {
            break;
        }
    }
    for pipe in &pipes {
        for n in 0..200 {
            load.tell(*pipe, Command::find(someone(n)));
        }
    }
    for n in 0..200 {
        load.wish(Command::invite(Duration::from_secs(3_600), [Address::from_parts(0, 0), Address::from_parts(0, 1)]));
        let theirs = invitation(1_000 + n / 9);
        load.wish(Command::join(theirs));
    }
    let name = |n: u8, at: u8| Address::from_parts(n, at);
    for n in 0..users {
        load.wish(Command::introduce(someone(n), (0..8).map(|at| name(n, at)).collect::<Vec<_>>()));
        for _ in 0..70 {
            load.wish(Command::find(someone(n)));
        }
    }
    for _ in 0..1_000 {
        load.pipes += 1;
        let pipe = PipeId::new(load.pipes);
        load.handle(Event::pipe_opened(pipe, None, "10.0.0.1:7575".parse().unwrap(), "10.0.0.8:8".parse().unwrap()));
        load.handle(Event::pipe_bytes(pipe, b"overcom/1 user\n\x3f\xff"));
        load.handle(Event::pipe_bytes(pipe, &[0; 16_000]));
    }
    load.pass(Duration::from_secs(9));
    load
}

/// An invitation by somebody else, as long as one may be.
fn invitation(n: u64) -> Invitation {
    let now = Time::from_secs(1);
    let mut node = Node::new(Config::desktop(), credentials(n), Seed::from_bytes([9; 32]), now, WALL).unwrap();
    node.handle(now, Event::loaded(OpId::new(1), Ok(Page { items: &[], more: false })));
    node.handle(now, Event::stored(OpId::new(2), Ok(())));
    node.command(now, Command::invite(Duration::from_secs(3_600), [Address::from_parts(0, 0), Address::from_parts(0, 1)])).unwrap();
    node.handle(now, Event::Tick);
    node.handle(now, Event::stored(OpId::new(3), Ok(())));
    let made = |action| if let Action::Notify { notice: Notice::Invited { invitation, .. } } = action { Some(invitation) } else { None };
    core::iter::from_fn(|| node.poll()).find_map(made).unwrap()
}

trait Long {
    fn from_parts(n: u8, at: u8) -> Self;
}

impl Long for Address {
    /// As long as a name may be.
    fn from_parts(n: u8, at: u8) -> Self {
        let label = "a".repeat(60);
        format!("{label}.{label}.{label}.{n:03}{at}.{}:7575", "b".repeat(40)).parse().unwrap()
    }
}
