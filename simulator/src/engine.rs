//! The world under the nodes: time, queue, machines, digest. It knows no protocol.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use overcom_core::{ConnectError, Driver, Event, Item, Notice, OpId, Packet, Page, Path, PipeId, ResolveError, StoreError, Time, WallTime};

use crate::clock::Clock;
use crate::digest::{Marks, Parts};
use crate::disk::Disk;
use crate::draw::{Draws, name_key};
use crate::network::{Links, in_reach};
use crate::pipe::{Pipes, Side};

/// How many lines the run's ladder keeps (guess: more than a person reads).
const LINES_MAX: usize = 20_000;

/// Something that happens at a machine.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A step of the scenario.
    Step(usize),
    /// For the process in this life; waits while the process is paused, is lost with it when it crashes.
    Process(u32, Input),
    /// For the machine's system, which works on while the process is paused.
    System(System),
}

#[derive(Debug)]
pub(crate) enum Input {
    Wake(u64),
    Minute,
    Clock,
    Datagram(Path, Vec<u8>),
    Opened(PipeId, Option<OpId>, SocketAddr, SocketAddr),
    /// The next chunk of a flow has come.
    Chunk(u64, Side),
    Written(u64, Side),
    Closed(u64, Side),
    /// A pipe that should be closed by now.
    CloseDue(u64, Side),
    ConnectFailed(OpId, ConnectError),
    Resolved(OpId, Result<IpAddr, ResolveError>),
    Stored(OpId),
    Load(OpId, Vec<u8>, Vec<u8>, u32),
}

#[derive(Debug)]
pub(crate) enum System {
    Try { life: u32, op: OpId, attempt: u32 },
    Syn { dialler: usize, life: u32, op: OpId, to: SocketAddr },
    Answer { life: u32, op: OpId, by: usize, listens: bool },
    GiveUp { life: u32, op: OpId },
}

/// What a node is told, owned.
#[derive(Debug)]
pub(crate) enum Delivery {
    Datagram(Path, Vec<u8>),
    Opened(PipeId, Option<OpId>, SocketAddr, SocketAddr),
    Bytes(PipeId, Vec<u8>),
    Written(PipeId),
    Closed(PipeId),
    ConnectFailed(OpId, ConnectError),
    Addresses(Vec<SocketAddr>, bool),
    Clock(WallTime),
    Resolved(OpId, Result<IpAddr, ResolveError>),
    Stored(OpId, Result<(), StoreError>),
    Loaded(OpId, Result<(Vec<Item>, bool), StoreError>),
}

impl Delivery {
    /// Hands it over as core's event.
    pub(crate) fn with(&self, hand: impl FnOnce(Event<'_>)) {
        match self {
            Self::Datagram(path, bytes) => hand(Event::datagram(*path, bytes)),
            Self::Opened(pipe, op, local, remote) => hand(Event::pipe_opened(*pipe, *op, *local, *remote)),
            Self::Bytes(pipe, bytes) => hand(Event::pipe_bytes(*pipe, bytes)),
            Self::Written(pipe) => hand(Event::pipe_written(*pipe)),
            Self::Closed(pipe) => hand(Event::pipe_closed(*pipe)),
            Self::ConnectFailed(op, why) => hand(Event::connect_failed(*op, *why)),
            Self::Addresses(local, rebound) => hand(Event::addresses(local, *rebound)),
            Self::Clock(wall) => hand(Event::clock(*wall)),
            Self::Resolved(op, Ok(ip)) => hand(Event::resolved(*op, Ok(&[*ip]))),
            Self::Resolved(op, Err(why)) => hand(Event::resolved(*op, Err(*why))),
            Self::Stored(op, outcome) => hand(Event::stored(*op, *outcome)),
            Self::Loaded(op, Ok((items, more))) => hand(Event::loaded(*op, Ok(Page { items, more: *more }))),
            Self::Loaded(op, Err(why)) => hand(Event::loaded(*op, Err(*why))),
        }
    }

    /// Its name in the digest.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Datagram(..) => "datagram",
            Self::Opened(..) => "pipe opened",
            Self::Bytes(..) => "pipe bytes",
            Self::Written(_) => "pipe written",
            Self::Closed(_) => "pipe closed",
            Self::ConnectFailed(..) => "connect failed",
            Self::Addresses(..) => "addresses",
            Self::Clock(_) => "clock",
            Self::Resolved(..) => "resolved",
            Self::Stored(..) => "stored",
            Self::Loaded(..) => "loaded",
        }
    }

    /// Its payload in the digest.
    fn write(&self, parts: &mut Parts<'_>) {
        match self {
            Self::Datagram(path, bytes) => {
                parts.text(format_args!("{}", path.remote));
                parts.bytes(bytes);
            }
            Self::Opened(pipe, op, local, remote) => parts.text(format_args!("{pipe:?} {op:?} {local} {remote}")),
            Self::Bytes(pipe, bytes) => {
                parts.bytes(&pipe.number().to_le_bytes());
                parts.bytes(bytes);
            }
            Self::Written(pipe) | Self::Closed(pipe) => parts.bytes(&pipe.number().to_le_bytes()),
            Self::ConnectFailed(op, why) => parts.text(format_args!("{op:?} {why:?}")),
            Self::Addresses(local, rebound) => parts.text(format_args!("{local:?} {rebound}")),
            Self::Clock(wall) => parts.bytes(&wall.as_millis().to_le_bytes()),
            Self::Resolved(op, Ok(ip)) => parts.text(format_args!("{op:?} {ip}")),
            Self::Resolved(op, Err(why)) => parts.text(format_args!("{op:?} {why:?}")),
            Self::Stored(op, outcome) => parts.text(format_args!("{op:?} {outcome:?}")),
            Self::Loaded(op, Err(why)) => parts.text(format_args!("{op:?} {why:?}")),
            Self::Loaded(_, Ok((items, _))) => {
                items.iter().flat_map(|item| [&item.key, &item.value]).for_each(|part| parts.bytes(part));
            }
        }
    }
}

/// One machine: its system, not its node.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) key: u64,
    pub(crate) address: SocketAddr,
    pub(crate) up: bool,
    pub(crate) paused: bool,
    pub(crate) parked: VecDeque<(u32, Happening)>,
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) next_pipe: u64,
    pub(crate) busy_until: Time,
    pub(crate) timer: Option<Time>,
    pub(crate) generation: u64,
    pub(crate) spent: Vec<Packet>,
    /// What nobody hosts an application for: notices of a bare node.
    pub(crate) notices: VecDeque<Notice>,
    next_port: u16,
    pub(crate) dialling: BTreeMap<OpId, (SocketAddr, SocketAddr)>,
}

impl Machine {
    pub(crate) fn new(name: &str, address: SocketAddr, clock: Clock) -> Self {
        Self {
            name: name.into(),
            key: name_key(name),
            address,
            up: false,
            paused: false,
            parked: VecDeque::new(),
            life: 0,
            disk: Disk::new(),
            clock,
            next_pipe: 1,
            busy_until: Time::ZERO,
            timer: None,
            generation: 0,
            spent: Vec::new(),
            notices: VecDeque::new(),
            next_port: 49_152,
            dialling: BTreeMap::new(),
        }
    }

    pub(crate) fn port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = if port == u16::MAX { 49_152 } else { port + 1 };
        port
    }

    pub(crate) fn pipe(&mut self) -> PipeId {
        let pipe = PipeId::new(self.next_pipe);
        self.next_pipe = self.next_pipe.saturating_add(1);
        pipe
    }
}

/// What comes of letting one thing happen.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A step of the scenario is to be carried out.
    Step(usize),
    /// The node of this machine is to be driven: its deadline has come.
    Due(usize),
    /// The node of this machine is to be told, and driven.
    Told(usize, Delivery),
    /// Nothing that concerns a node.
    Nothing,
}

/// Everything but the nodes.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) now: Time,
    pub(crate) queue: crate::queue::Queue<Happening>,
    pub(crate) machines: Vec<Machine>,
    /// The first machine at each address, and at each IP.
    places: (HashMap<SocketAddr, usize>, HashMap<IpAddr, usize>),
    pub(crate) links: Links,
    pub(crate) pipes: Pipes,
    pub(crate) marks: Marks,
    pub(crate) lines: VecDeque<(Time, String)>,
    /// Of datagrams that have come: the next ones use them again.
    buffers: Vec<Vec<u8>>,
}

impl Engine {
    pub(crate) fn new(links: Links, machines: Vec<Machine>) -> Self {
        let mut engine = Self {
            now: Time::ZERO,
            queue: crate::queue::Queue::new(),
            machines: Vec::new(),
            places: (HashMap::new(), HashMap::new()),
            links,
            pipes: Pipes::default(),
            marks: Marks::default(),
            lines: VecDeque::new(),
            buffers: Vec::new(),
        };
        machines.into_iter().for_each(|machine| engine.add(machine));
        engine
    }

    pub(crate) fn add(&mut self, machine: Machine) {
        self.place(self.machines.len(), machine.address);
        self.marks.name(&machine.name);
        self.machines.push(machine);
    }

    fn place(&mut self, me: usize, address: SocketAddr) {
        self.places.0.entry(address).or_insert(me);
        self.places.1.entry(address.ip()).or_insert(me);
    }

    /// Something for the process of machine `to`.
    pub(crate) fn later(&mut self, at: Time, to: usize, from: usize, input: Input) {
        let life = self.machines[to].life;
        self.queue.push(at, index(to), index(from), Happening::Process(life, input));
    }

    pub(crate) fn system(&mut self, at: Time, to: usize, from: usize, system: System) {
        self.queue.push(at, index(to), index(from), Happening::System(system));
    }

    /// Lets the next thing happen, if there is one until then.
    pub(crate) fn next(&mut self, until: Time) -> Option<Happened> {
        let (key, happening) = self.queue.pop_until(until)?;
        self.now = key.at;
        let touched = key.to.checked_sub(1).and_then(|machine| usize::try_from(machine).ok());
        Some(match (touched, happening) {
            (_, Happening::Step(n)) => Happened::Step(n),
            (Some(me), Happening::System(system)) => {
                self.handle_system(me, system);
                Happened::Nothing
            }
            (Some(me), Happening::Process(life, input)) => self.reach(me, key.from, life, input),
            (None, Happening::Process(..) | Happening::System(_)) => Happened::Nothing,
        })
    }

    /// Something for a process: lost with its life, kept while it is paused.
    fn reach(&mut self, me: usize, from: u32, life: u32, input: Input) -> Happened {
        let machine = &mut self.machines[me];
        if machine.life != life || !machine.up {
            return Happened::Nothing;
        }
        if machine.paused {
            machine.parked.push_back((from, Happening::Process(life, input)));
            return Happened::Nothing;
        }
        if let Input::Wake(generation) = input {
            if generation != machine.generation {
                return Happened::Nothing;
            }
            machine.timer = None;
            return Happened::Due(me);
        }
        self.arrive(me, input).map_or(Happened::Nothing, |delivery| Happened::Told(me, delivery))
    }

    /// A process begins: what every shell says first is due now, and the wall clock each minute.
    pub(crate) fn begin_process(&mut self, me: usize) -> [Delivery; 2] {
        let (machine, now) = (&mut self.machines[me], self.now);
        machine.up = true;
        let first = [Delivery::Addresses(vec![machine.address], false), Delivery::Clock(machine.clock.wall(now))];
        self.later(now + Duration::from_secs(60), me, me, Input::Minute);
        first
    }

    /// Tells a node, and the digest.
    pub(crate) fn hand(&mut self, me: usize, driver: &mut Driver, delivery: Delivery) {
        self.mark(me, delivery.kind(), |parts| delivery.write(parts));
        delivery.with(|event| driver.handle(self.now, event));
        if let Delivery::Datagram(_, mut bytes) = delivery {
            bytes.clear();
            self.buffers.push(bytes);
        }
    }

    /// A datagram that arrives then.
    pub(crate) fn datagram(&mut self, at: Time, to: usize, from: usize, path: Path, bytes: &[u8]) {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.later(at, to, from, Input::Datagram(path, buffer));
    }

    /// Gives written packets back.
    pub(crate) fn recycle(&mut self, me: usize, driver: &mut Driver) {
        std::mem::take(&mut self.machines[me].spent).into_iter().for_each(|packet| driver.recycle(packet));
    }

    /// The one time at which a node wants to be driven next (C5).
    pub(crate) fn set_timer(&mut self, me: usize, due: Option<Time>) {
        let machine = &mut self.machines[me];
        if machine.timer == due {
            return;
        }
        machine.timer = due;
        machine.generation += 1;
        let generation = machine.generation;
        if let Some(due) = due {
            self.later(due, me, me, Input::Wake(generation));
        }
    }

    /// A line of the ladder.
    pub(crate) fn say(&mut self, line: String) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back((self.now, line));
    }

    pub(crate) fn mark(&mut self, me: usize, kind: &'static str, payload: impl FnOnce(&mut Parts<'_>)) {
        self.marks.add(self.now, u32::try_from(me).unwrap_or(u32::MAX), kind, payload);
    }

    /// The machine that has this address, if there is a way to it.
    pub(crate) fn route(&self, from: usize, to: SocketAddr) -> Option<usize> {
        let place = self.places.0.get(&to).or_else(|| self.places.1.get(&to.ip())).copied();
        place.filter(|_| in_reach(self.machines[from].address.ip(), to.ip()))
    }

    /// Whether a single packet is lost on this way, and how long it takes if not.
    pub(crate) fn cross(&mut self, from: usize, to: usize) -> (Option<Duration>, Draws) {
        let network = self.links.network(from, to);
        let mut draws = self.links.draws(self.machines[from].key, self.machines[to].key);
        let lost = draws.chance(network.loss_ppm) || self.links.is_blocked(from, to);
        let crossing = network.crossing(&mut draws);
        ((!lost).then_some(crossing), draws)
    }

    pub(crate) fn handle_system(&mut self, me: usize, system: System) {
        match system {
            System::Try { life, op, attempt } => self.try_dial(me, life, op, attempt),
            System::Syn { dialler, life, op, to } => {
                let listens = self.machines[me].up && self.machines[me].address == to;
                if let (Some(crossing), _) = self.cross(me, dialler) {
                    let answer = System::Answer { life, op, by: me, listens };
                    self.system(self.now + crossing, dialler, me, answer);
                }
            }
            System::Answer { life, op, by, listens } => self.answered(me, life, op, by, listens),
            System::GiveUp { life, op } => {
                if self.machines[me].life == life && self.machines[me].dialling.remove(&op).is_some() {
                    self.later(self.now, me, me, Input::ConnectFailed(op, ConnectError::TimedOut));
                }
            }
        }
    }

    fn try_dial(&mut self, me: usize, life: u32, op: OpId, attempt: u32) {
        let Some((_, to)) = self.machines[me].dialling.get(&op).copied().filter(|_| self.machines[me].life == life) else { return };
        if attempt < 3 {
            let wait = Duration::from_secs(1 << attempt);
            self.system(self.now + wait, me, me, System::Try { life, op, attempt: attempt + 1 });
        }
        let Some(target) = self.route(me, to) else { return };
        if let (Some(crossing), _) = self.cross(me, target) {
            self.system(self.now + crossing, target, me, System::Syn { dialler: me, life, op, to });
        }
    }

    fn answered(&mut self, me: usize, life: u32, op: OpId, by: usize, listens: bool) {
        if self.machines[me].life != life {
            return;
        }
        let Some((local, remote)) = self.machines[me].dialling.remove(&op) else { return };
        if !listens || !self.machines[by].up {
            return self.later(self.now, me, me, Input::ConnectFailed(op, ConnectError::Refused));
        }
        self.open_pipe(me, by, op, local, remote);
    }

    /// The process is gone: its pipes break, its dials end, nothing that was for it arrives.
    pub(crate) fn end_process(&mut self, me: usize) {
        self.machines[me].up = false;
        self.machines[me].life += 1;
        self.machines[me].timer = None;
        self.machines[me].paused = false;
        self.machines[me].parked.clear();
        self.machines[me].notices.clear();
        self.machines[me].dialling.clear();
        self.break_pipes(me);
    }

    /// A paused process goes on: what was kept for it comes now, in its order.
    pub(crate) fn resume(&mut self, me: usize) {
        self.machines[me].paused = false;
        for (from, happening) in std::mem::take(&mut self.machines[me].parked) {
            self.queue.push(self.now, index(me), from, happening);
        }
    }

    /// All sockets are new: dials fail, pipes break without a word to this side.
    pub(crate) fn rebind(&mut self, me: usize, port: Option<u16>) {
        self.break_pipes(me);
        let dialling = std::mem::take(&mut self.machines[me].dialling);
        for op in dialling.into_keys() {
            self.later(self.now, me, me, Input::ConnectFailed(op, ConnectError::Failed));
        }
        if let Some(port) = port {
            self.machines[me].address.set_port(port);
            self.places = (HashMap::new(), HashMap::new());
            (0..self.machines.len()).for_each(|machine| self.place(machine, self.machines[machine].address));
        }
    }

    /// Turns what has come into what the node is told; `None` when it is about nothing that is still there.
    pub(crate) fn arrive(&mut self, me: usize, input: Input) -> Option<Delivery> {
        let now = self.now;
        match input {
            Input::Wake(_) => None,
            Input::Minute => {
                self.later(now + Duration::from_secs(60), me, me, Input::Minute);
                Some(Delivery::Clock(self.machines[me].clock.wall(now)))
            }
            Input::Clock => Some(Delivery::Clock(self.machines[me].clock.wall(now))),
            Input::Datagram(path, bytes) => Some(Delivery::Datagram(path, bytes)),
            Input::Opened(pipe, op, local, remote) => Some(Delivery::Opened(pipe, op, local, remote)),
            Input::Chunk(key, side) => self.chunk_arrives(key, side),
            Input::Written(key, side) => self.pipes.open_end(key, side).map(Delivery::Written),
            Input::Closed(key, side) => self.pipes.end(key, side).map(Delivery::Closed),
            Input::CloseDue(key, side) => self.close_late(key, side).map(Delivery::Closed),
            Input::ConnectFailed(op, why) => Some(Delivery::ConnectFailed(op, why)),
            Input::Resolved(op, outcome) => Some(Delivery::Resolved(op, outcome)),
            Input::Stored(op) => Some(Delivery::Stored(op, self.machines[me].disk.finish(now, op))),
            Input::Load(op, from, to, limit) => Some(Delivery::Loaded(op, self.machines[me].disk.load(&from, &to, limit))),
        }
    }
}

/// Machine 0 is the scenario itself, so that its steps come before everything else of an instant.
pub(crate) fn index(machine: usize) -> u32 {
    u32::try_from(machine).unwrap_or(u32::MAX - 1).saturating_add(1)
}
