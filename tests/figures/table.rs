//! Nodes on one table: pipes that carry at once, stores in memory, a clock that jumps from deadline to deadline.
//!
//! Nothing here waits or allocates more than it must, so that what is measured is core.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use overcom_core::trace::Recorder;
use overcom_core::{
    Action, AppId, Batch, Command, CommandError, Config, ConnectError, Credentials, Delegation, DeviceKeys, Driver, Event, IdentitySecret,
    Item, Keep, Message, Next, Node, Notice, OpId, Packet, Page, Path, PipeId, ResolveError, Rng, Seed, Send, Shell, Tag, Time, UserId,
    WallTime,
};

use crate::meter::allocations;

/// Where every table's wall clock begins.
pub(crate) const WALL: WallTime = WallTime::from_millis(1_800_000_000_000);
/// How long delegations last when nobody says.
pub(crate) const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Actions in one drive.
const BUDGET: u32 = 100_000;

/// A person's device: identity, keys, and what a node is started with.
pub(crate) struct Person {
    pub(crate) identity: IdentitySecret,
    pub(crate) keys: DeviceKeys,
    pub(crate) credentials: Credentials,
}

impl Person {
    /// Drawn from a seed and a number.
    pub(crate) fn draw(seed: u64, number: u64) -> Result<Self, String> {
        let mut rng = Rng::from_seed(&seed_of(seed, 0)).fork("person", number);
        let identity = IdentitySecret::from_bytes(rng.array());
        let keys = DeviceKeys::draw(&mut rng);
        let credentials = keys.credentials(delegation(&identity, &keys, WALL)?);
        Ok(Self { identity, keys, credentials })
    }
}

/// A week's delegation from `from`.
pub(crate) fn delegation(identity: &IdentitySecret, keys: &DeviceKeys, from: WallTime) -> Result<Delegation, String> {
    let app = AppId::new("figures").map_err(|why| why.to_string())?;
    Delegation::sign(identity, &keys.grant(app, from, from + WEEK)).map_err(|why| why.to_string())
}

/// 32 bytes out of two numbers.
pub(crate) fn seed_of(seed: u64, life: u64) -> Seed {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&life.to_le_bytes());
    Seed::from_bytes(bytes)
}

/// What a node asked for and has not got yet.
#[derive(Default)]
struct Desk {
    asked: VecDeque<Action>,
    notices: VecDeque<Notice>,
}

impl Shell for Desk {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        self.asked.push_back(Action::SendDatagram { path, packet: packet.bytes().to_vec().into() });
    }
    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        self.asked.push_back(Action::Connect { op, to, from_listening_port });
    }
    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.asked.push_back(Action::Write { pipe, packet });
    }
    fn close(&mut self, pipe: PipeId) {
        self.asked.push_back(Action::Close { pipe });
    }
    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        self.asked.push_back(Action::Resolve { op, name: name.into(), port });
    }
    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        self.asked.push_back(Action::Store { op, batch, durable });
    }
    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.asked.push_back(Action::Load { op, from, to, limit });
    }
    fn notify(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }
}

/// One node's place at the table.
pub(crate) struct Seat {
    driver: Option<Driver>,
    desk: Desk,
    pub(crate) store: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) at: SocketAddr,
    /// This end's pipes: the other seat and its pipe, `None` when the other end is a measurement's.
    pipes: BTreeMap<PipeId, Option<(usize, PipeId)>>,
    /// How often calls into this node asked for memory while the table was metered.
    pub(crate) allocations: u64,
    deadline: Option<Time>,
    is_queued: bool,
}

impl Seat {
    /// The node.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.driver.as_ref().map(Driver::node)
    }

    /// The driver, to drain its recorder.
    pub(crate) const fn driver(&mut self) -> Option<&mut Driver> {
        self.driver.as_mut()
    }
}

/// What may change the bytes of a write on their way: seat, pipe, bytes.
pub(crate) type Tap = Box<dyn FnMut(usize, PipeId, &mut Vec<u8>)>;
/// Who hears the datagrams: the seat that sends one, and its bytes.
pub(crate) type Ear = Box<dyn FnMut(usize, &[u8])>;
/// Who gets the notices: seat and notice.
pub(crate) type Reader = Box<dyn FnMut(usize, Notice)>;

/// The table.
pub(crate) struct Table {
    pub(crate) seats: Vec<Seat>,
    pub(crate) now: Time,
    /// Whether allocations are counted.
    pub(crate) is_metered: bool,
    /// Whether packets that are written are given back to their node.
    pub(crate) recycles: bool,
    /// Whether datagrams arrive; else nobody has a DHT.
    pub(crate) has_datagrams: bool,
    pub(crate) tap: Option<Tap>,
    pub(crate) ear: Option<Ear>,
    pub(crate) reader: Reader,
    places: BTreeMap<SocketAddr, usize>,
    queue: VecDeque<usize>,
    deadlines: BTreeSet<(Time, usize)>,
    pipes: u64,
    restarts: u64,
    /// Whether nodes are recorded from their start.
    records: bool,
    seed: u64,
}

impl Table {
    /// An empty table; `reader` takes every notice.
    pub(crate) fn new(seed: u64, reader: impl FnMut(usize, Notice) + 'static) -> Self {
        Self {
            seats: Vec::new(),
            now: Time::from_secs(1),
            is_metered: false,
            recycles: true,
            has_datagrams: false,
            tap: None,
            ear: None,
            reader: Box::new(reader),
            places: BTreeMap::new(),
            queue: VecDeque::new(),
            deadlines: BTreeSet::new(),
            pipes: 0,
            restarts: 0,
            records: false,
            seed,
        }
    }

    /// Records every node that is seated from now on.
    pub(crate) fn recorded(mut self) -> Self {
        self.records = true;
        self
    }

    /// Seats a node, which reads its empty store at the next [`run`](Self::run). Returns its seat's number.
    pub(crate) fn seat(&mut self, config: Config, person: &Person) -> Result<usize, String> {
        let index = self.seats.len();
        let octets = u32::try_from(index + 1).map_err(|why| why.to_string())?;
        let at = SocketAddr::from((Ipv4Addr::from(0x0A00_0000 + octets), 7575));
        let driver = self.driver_of(index, at, config, person)?;
        self.seats.push(Seat {
            driver: Some(driver),
            desk: Desk::default(),
            store: BTreeMap::new(),
            at,
            pipes: BTreeMap::new(),
            allocations: 0,
            deadline: None,
            is_queued: false,
        });
        self.places.insert(at, index);
        self.wake(index);
        Ok(index)
    }

    /// Ends a node and its pipes without a word, and starts it again on its store.
    pub(crate) fn restart(&mut self, index: usize, config: Config, person: &Person) -> Result<(), String> {
        self.unseat(index);
        self.cut_all(index);
        let driver = self.driver_of(index, self.seats[index].at, config, person)?;
        self.seats[index].driver = Some(driver);
        self.seats[index].desk = Desk::default();
        self.wake(index);
        Ok(())
    }

    fn driver_of(&mut self, index: usize, at: SocketAddr, config: Config, person: &Person) -> Result<Driver, String> {
        // Every life of every seat has a seed of its own.
        let is_first = index == self.seats.len();
        self.restarts += u64::from(!is_first);
        let seed = seed_of(self.seed, index as u64 + 1 + (if is_first { 0 } else { self.restarts } << 32));
        let recorder =
            self.records.then(|| Recorder::start("figures", &index.to_string(), &config, &person.credentials, &seed, self.now, WALL));
        let node = Node::new(config, person.credentials.clone(), seed, self.now, WALL).map_err(|why| why.to_string())?;
        let mut driver = Driver::new(node);
        if let Some(recorder) = recorder {
            driver = driver.recorded(recorder);
        }
        driver.handle(self.now, Event::addresses(&[at], false));
        Ok(driver)
    }

    /// Takes a node away without a word, to look at what went with it.
    pub(crate) fn unseat(&mut self, index: usize) -> Option<Driver> {
        let seat = self.seats.get_mut(index)?;
        if let Some(due) = seat.deadline.take() {
            self.deadlines.remove(&(due, index));
        }
        seat.driver.take()
    }

    /// Everything that happens without time passing.
    pub(crate) fn run(&mut self) {
        while let Some(index) = self.queue.pop_front() {
            self.seats[index].is_queued = false;
            self.turn(index);
        }
    }

    /// Lets time pass, exactly from deadline to deadline.
    pub(crate) fn pass(&mut self, length: Duration) {
        let end = self.now + length;
        self.run();
        while let Some((due, index)) = self.deadlines.first().copied().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.wake(index);
            self.run();
        }
        self.now = end;
        self.run();
    }

    /// Asks a node for something.
    pub(crate) fn command(&mut self, index: usize, command: impl Into<Command>) -> Result<Tag, CommandError> {
        let command = command.into();
        let outcome = self.metered(index, |driver, now| driver.command(now, command)).unwrap_or(Err(CommandError::Stopped));
        self.wake(index);
        outcome
    }

    /// Tells a node something.
    pub(crate) fn tell(&mut self, index: usize, event: Event<'_>) {
        let _ = self.metered(index, |driver, now| driver.handle(now, event));
        self.wake(index);
    }

    /// A seat's pipes die in silence: nobody is told, and what is written to them is lost.
    pub(crate) fn deafen(&mut self, index: usize) {
        for end in self.seats[index].pipes.values_mut() {
            *end = None;
        }
    }

    /// Sends a message that is kept until its end.
    pub(crate) fn send_kept(&mut self, index: usize, to: UserId, message: Message) -> Result<Tag, CommandError> {
        self.command(index, Command::send(to, message))
    }

    /// The user of a seat.
    pub(crate) fn user(&self, index: usize) -> Result<UserId, String> {
        self.seats.get(index).and_then(Seat::node).map(|node| node.me().user).ok_or_else(|| "nobody sits there".into())
    }

    /// Tells one seat where another one is.
    pub(crate) fn introduce(&mut self, index: usize, other: usize) -> Result<(), String> {
        let (user, at) = (self.user(other)?, self.seats[other].at);
        self.command(index, Command::introduce(user, [at.into()])).map(drop).map_err(|why| why.to_string())
    }

    /// Sends a message that is kept in RAM.
    pub(crate) fn send(&mut self, index: usize, to: UserId, message: Message) -> Result<Tag, CommandError> {
        self.command(index, Send::new(to, message).keep(Keep::Memory))
    }

    /// Seats `config`ured nodes of `people`, introduces the first to the second and links them.
    pub(crate) fn linked_pair(&mut self, config: Config, people: [&Person; 2]) -> Result<(), String> {
        let (a, b) = (self.seat(config, people[0])?, self.seat(config, people[1])?);
        self.run();
        self.introduce(a, b)?;
        let user = self.user(b)?;
        self.command(a, Command::find(user)).map_err(|why| why.to_string())?;
        self.pass(Duration::from_secs(1));
        let links = |seat: &Seat| seat.node().map_or(0, |node| node.links().count());
        if self.seats.iter().all(|seat| links(seat) == 1) { Ok(()) } else { Err("two nodes on a table do not link".into()) }
    }

    /// Opens a pipe to a seat whose other end is the caller's.
    pub(crate) fn open_to(&mut self, index: usize) -> PipeId {
        let pipe = self.next_pipe();
        self.seats[index].pipes.insert(pipe, None);
        let at = self.seats[index].at;
        self.tell(index, Event::pipe_opened(pipe, None, at, SocketAddr::from((Ipv4Addr::new(10, 255, 0, 1), 50_000))));
        pipe
    }

    /// Ends every pipe of a seat at both ends.
    pub(crate) fn cut_all(&mut self, index: usize) {
        while let Some(pipe) = self.seats[index].pipes.keys().next().copied() {
            self.cut(index, pipe);
        }
    }

    /// Whether a seat still has this pipe.
    pub(crate) fn has_pipe(&self, index: usize, pipe: PipeId) -> bool {
        self.seats[index].pipes.contains_key(&pipe)
    }

    /// How many pipes a seat has open.
    pub(crate) fn pipes_of(&self, index: usize) -> usize {
        self.seats[index].pipes.len()
    }

    fn next_pipe(&mut self) -> PipeId {
        self.pipes += 1;
        PipeId::new(self.pipes)
    }

    fn wake(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if !seat.is_queued && seat.driver.is_some() {
            seat.is_queued = true;
            self.queue.push_back(index);
        }
    }

    /// Calls into a node and counts how often it asks for memory.
    fn metered<R>(&mut self, index: usize, work: impl FnOnce(&mut Driver, Time) -> R) -> Option<R> {
        let now = self.now;
        let seat = &mut self.seats[index];
        let driver = seat.driver.as_mut()?;
        if !self.is_metered {
            return Some(work(driver, now));
        }
        let before = allocations();
        let result = work(driver, now);
        seat.allocations += allocations() - before;
        Some(result)
    }

    /// Drives one node until it rests, carries out what it asked, and notes its deadline.
    fn turn(&mut self, index: usize) {
        let mut desk = std::mem::take(&mut self.seats[index].desk);
        let next = self.metered(index, |driver, now| driver.drive(&mut desk, now, BUDGET));
        let notices = desk.notices.len() as u64;
        while let Some(notice) = desk.notices.pop_front() {
            (self.reader)(index, notice);
        }
        self.seats[index].desk = desk;
        if notices > 0 {
            self.tell(index, Event::taken(notices, &[]));
        }
        while let Some(action) = self.seats[index].desk.asked.pop_front() {
            self.carry(index, action);
        }
        match next {
            Some(Next::Again) => self.wake(index),
            Some(Next::Until(_)) => {
                let due = self.seats[index].driver.as_ref().and_then(Driver::deadline);
                self.note_deadline(index, due);
            }
            None => {}
        }
    }

    fn note_deadline(&mut self, index: usize, due: Option<Time>) {
        let seat = &mut self.seats[index];
        if seat.deadline == due {
            return;
        }
        if let Some(old) = std::mem::replace(&mut seat.deadline, due) {
            self.deadlines.remove(&(old, index));
        }
        self.deadlines.extend(due.map(|due| (due, index)));
    }

    fn carry(&mut self, index: usize, action: Action) {
        match action {
            Action::Connect { op, to, .. } => self.connect(index, op, to),
            Action::Write { pipe, packet } => self.write(index, pipe, packet),
            Action::Close { pipe } => self.cut(index, pipe),
            Action::Resolve { op, .. } => self.tell(index, Event::resolved(op, Err(ResolveError::Unknown))),
            Action::Store { op, batch, .. } => {
                for change in batch.changes {
                    match change.value {
                        Some(value) => drop(self.seats[index].store.insert(change.key, value)),
                        None => drop(self.seats[index].store.remove(&change.key)),
                    }
                }
                self.tell(index, Event::stored(op, Ok(())));
            }
            Action::Load { op, from, to, limit } => {
                let all = self.seats[index].store.range(from..to);
                let items: Vec<Item> = all.map(|(key, value)| Item { key: key.clone(), value: value.clone() }).collect();
                let page = items.get(..items.len().min(limit as usize)).unwrap_or_default();
                self.tell(index, Event::loaded(op, Ok(Page { items: page, more: page.len() < items.len() })));
            }
            Action::SendDatagram { path, packet } => {
                if let Some(ear) = self.ear.as_mut().filter(|_| self.has_datagrams) {
                    ear(index, packet.bytes());
                }
                if let Some(other) = self.places.get(&path.remote).copied().filter(|_| self.has_datagrams) {
                    self.tell(other, Event::datagram(Path { local: path.remote, remote: path.local }, packet.bytes()));
                }
            }
            // A drive hands these to the shell's own function.
            Action::Notify { .. } => {}
        }
    }

    fn connect(&mut self, index: usize, op: OpId, to: SocketAddr) {
        let Some(other) = self.places.get(&to).copied().filter(|other| self.seats[*other].driver.is_some()) else {
            return self.tell(index, Event::connect_failed(op, ConnectError::Refused));
        };
        let (ours, theirs) = (self.next_pipe(), self.next_pipe());
        let from = SocketAddr::new(self.seats[index].at.ip(), 50_000);
        self.seats[index].pipes.insert(ours, Some((other, theirs)));
        self.seats[other].pipes.insert(theirs, Some((index, ours)));
        self.tell(index, Event::pipe_opened(ours, Some(op), from, to));
        self.tell(other, Event::pipe_opened(theirs, None, to, from));
    }

    fn write(&mut self, index: usize, pipe: PipeId, packet: Packet) {
        if let Some(end) = self.seats[index].pipes.get(&pipe).copied() {
            // A tap also hears what is written to a measurement's end.
            let changed = self.tap.as_mut().map(|tap| {
                let mut bytes = packet.bytes().to_vec();
                tap(index, pipe, &mut bytes);
                bytes
            });
            if let Some((other, theirs)) = end {
                self.tell(other, Event::pipe_bytes(theirs, changed.as_deref().unwrap_or_else(|| packet.bytes())));
            }
            self.tell(index, Event::pipe_written(pipe));
        }
        if self.recycles {
            let _ = self.metered(index, |driver, _| driver.recycle(packet));
        }
    }

    fn cut(&mut self, index: usize, pipe: PipeId) {
        let Some(end) = self.seats[index].pipes.remove(&pipe) else { return };
        self.tell(index, Event::pipe_closed(pipe));
        if let Some((other, theirs)) = end
            && self.seats[other].pipes.remove(&theirs).is_some()
        {
            self.tell(other, Event::pipe_closed(theirs));
        }
    }
}
