//! Pipes over streams that do not block: what both runtimes do with them once they know that something is ready.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use overcom_core::{ConnectError, Driver, Event, OpId, Packet, PipeId, Time};

use crate::sockets::is_connected;

/// Bytes read from one pipe before it is another one's turn (spec: SHELL-13).
const READ_BYTES_MAX: usize = 64 << 10;
/// How long a closed pipe may take to hand over its last write and to hear the other end close (spec: SHELL-7); guess.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A byte stream that does not block: what a runtime makes of a socket. Whatever holds a std stream is one.
pub trait Stream {
    /// As [`io::Read::read`].
    ///
    /// # Errors
    /// As there; `WouldBlock` if nothing has come.
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;
    /// As [`io::Write::write`].
    ///
    /// # Errors
    /// As there; `WouldBlock` if there is no room.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Says that no more will be written.
    fn finish(&self);
    /// The local and the remote end, or `None` while it still connects; see [`is_connected`](crate::sockets::is_connected).
    ///
    /// # Errors
    /// When connecting came to nothing.
    fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError>;
}

impl<T: AsRef<TcpStream>> Stream for T {
    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.as_ref().read(into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.as_ref().write(bytes)
    }

    fn finish(&self) {
        // A stream that is not connected any more has no end to say.
        let _ = self.as_ref().shutdown(Shutdown::Write);
    }

    fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
        is_connected(self.as_ref())
    }
}

/// Every pipe of one node: at most one packet and an offset each, fair reads through one buffer, one end each (spec: SHELL-7).
#[derive(Debug)]
pub struct Pipes<S> {
    pipes: BTreeMap<PipeId, Pipe<S>>,
    /// What happened and the node was not told yet. Bounded by three entries a pipe.
    news: VecDeque<News>,
    /// Pipes that may have bytes, each once, in the order of their turns.
    readable: VecDeque<PipeId>,
    /// Pipes that are given this time to end.
    closing: BTreeSet<(Time, PipeId)>,
    /// Pipes that wait for room, or to be connected.
    unwritten: BTreeSet<PipeId>,
    numbered: u64,
    /// Empty until the first read: a node without pipes needs none.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Pipe<S> {
    stream: S,
    state: State,
    /// The outstanding write and how much of it is handed over.
    out: Option<(Packet, usize)>,
    is_in_turn: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting(OpId),
    Open,
    /// The node wants it closed; the write is handed over first.
    Closing(Time),
    /// Everything is written; what still comes in is thrown away.
    Finished(Time),
}

#[derive(Debug)]
enum News {
    Opened(PipeId, Option<OpId>, SocketAddr, SocketAddr),
    Failed(OpId, ConnectError),
    Written(PipeId, Packet),
    Closed(PipeId),
}

impl<S: Stream> Pipes<S> {
    /// None yet.
    pub fn new() -> Self {
        Self {
            pipes: BTreeMap::new(),
            news: VecDeque::new(),
            readable: VecDeque::new(),
            closing: BTreeSet::new(),
            unwritten: BTreeSet::new(),
            numbered: 0,
            buffer: Vec::new(),
        }
    }

    /// The number of the pipe that is added next.
    pub const fn next_id(&self) -> PipeId {
        PipeId::new(self.numbered.saturating_add(1))
    }

    /// Adds a stream that connects for `op`.
    pub fn add_connecting(&mut self, op: OpId, stream: S) {
        let pipe = self.add(State::Connecting(op), stream);
        // It may be up at once: then no readiness follows on some systems.
        self.on_writable(pipe);
    }

    /// Adds a stream that was accepted.
    pub fn add_accepted(&mut self, stream: S) {
        // One that is gone already was never there.
        if let Ok(Some((local, remote))) = stream.ends() {
            let pipe = self.add(State::Open, stream);
            self.news.push_back(News::Opened(pipe, None, local, remote));
            self.on_readable(pipe);
        }
    }

    /// Says that an attempt came to nothing before there was a stream.
    pub fn add_failed(&mut self, op: OpId, why: ConnectError) {
        self.news.push_back(News::Failed(op, why));
    }

    fn add(&mut self, state: State, stream: S) -> PipeId {
        let id = self.next_id();
        self.numbered = id.number();
        self.pipes.insert(id, Pipe { stream, state, out: None, is_in_turn: false });
        id
    }

    /// The pipe's stream, while there is one.
    pub fn stream(&self, pipe: PipeId) -> Option<&S> {
        self.pipes.get(&pipe).map(|pipe| &pipe.stream)
    }

    /// The pipes of which the runtime should say when they are writable: those with a write or a connection under way.
    pub fn waiting_to_write(&self) -> impl Iterator<Item = (PipeId, &S)> {
        self.unwritten.iter().filter_map(|pipe| Some((*pipe, self.stream(*pipe)?)))
    }

    /// Whether this pipe is one of [`waiting_to_write`](Self::waiting_to_write).
    pub fn is_waiting_to_write(&self, pipe: PipeId) -> bool {
        self.unwritten.contains(&pipe)
    }

    /// Forgets every pipe at once, as after a suspension: the node hears of it by `Addresses` with `rebound`.
    pub fn clear(&mut self) {
        *self = Self { numbered: self.numbered, ..Self::new() };
    }

    /// Whether the node can be told something at once.
    pub fn has_news(&self) -> bool {
        !self.news.is_empty() || !self.readable.is_empty()
    }

    /// When a closing pipe is ended by force, at the earliest.
    pub fn deadline(&self) -> Option<Time> {
        self.closing.first().map(|(due, _)| *due)
    }

    /// Starts to write; whatever the operating system takes now is written now.
    pub fn write(&mut self, pipe: PipeId, packet: Packet) {
        if let Some(known) = self.pipes.get_mut(&pipe) {
            known.out = Some((packet, 0));
            self.on_writable(pipe);
        }
    }

    /// Closes a pipe after its write, within a second. The other end is given that long to read to the end: dropping a
    /// stream with unread bytes would reset it and lose what was said last.
    pub fn close(&mut self, pipe: PipeId, now: Time) {
        let Some(known) = self.pipes.get_mut(&pipe) else { return };
        if matches!(known.state, State::Open) {
            let due = now + CLOSE_MAX;
            known.state = State::Closing(due);
            self.closing.insert((due, pipe));
            self.on_writable(pipe);
        }
    }

    /// The runtime knows that bytes or the end may be there.
    pub fn on_readable(&mut self, pipe: PipeId) {
        if let Some(known) = self.pipes.get_mut(&pipe)
            && !known.is_in_turn
        {
            known.is_in_turn = true;
            self.readable.push_back(pipe);
        }
    }

    /// The runtime knows that there is room, or that connecting has ended.
    pub fn on_writable(&mut self, pipe: PipeId) {
        let Some(known) = self.pipes.get_mut(&pipe) else { return };
        if let State::Connecting(op) = known.state {
            match known.stream.ends() {
                Ok(None) => drop(self.unwritten.insert(pipe)),
                Ok(Some((local, remote))) => {
                    known.state = State::Open;
                    self.unwritten.remove(&pipe);
                    self.news.push_back(News::Opened(pipe, Some(op), local, remote));
                    self.on_readable(pipe);
                }
                Err(why) => {
                    self.pipes.remove(&pipe);
                    self.unwritten.remove(&pipe);
                    self.news.push_back(News::Failed(op, why));
                }
            }
            return;
        }
        match known.flush() {
            Ok(written) => {
                self.news.extend(written.map(|packet| News::Written(pipe, packet)));
                if known.out.is_some() {
                    self.unwritten.insert(pipe);
                } else {
                    self.unwritten.remove(&pipe);
                    self.finish_if_closing(pipe);
                }
            }
            Err(()) => self.end(pipe),
        }
    }

    fn finish_if_closing(&mut self, pipe: PipeId) {
        if let Some(known) = self.pipes.get_mut(&pipe)
            && let State::Closing(due) = known.state
        {
            known.stream.finish();
            known.state = State::Finished(due);
            self.on_readable(pipe);
        }
    }

    fn end(&mut self, pipe: PipeId) {
        let Some(ended) = self.pipes.remove(&pipe) else { return };
        self.unwritten.remove(&pipe);
        if let State::Closing(due) | State::Finished(due) = ended.state {
            self.closing.remove(&(due, pipe));
        }
        self.news.push_back(News::Closed(pipe));
    }

    /// Ends what has had its time, then tells the node at most `limit` things. Returns how many there were.
    ///
    /// `now` reads the clock: each input is stamped after it was read.
    pub fn hand_in(&mut self, driver: &mut Driver, now: impl Fn() -> Time, limit: usize) -> usize {
        let begun = now();
        while let Some((due, pipe)) = self.closing.first().copied().filter(|(due, _)| *due <= begun) {
            self.closing.remove(&(due, pipe));
            self.end(pipe);
        }
        let mut told = 0;
        while told < limit {
            if let Some(news) = self.news.pop_front() {
                tell(driver, now(), news);
            } else if let Some(pipe) = self.readable.pop_front() {
                self.read(driver, &now, pipe);
            } else {
                break;
            }
            told += 1;
        }
        told
    }

    fn read(&mut self, driver: &mut Driver, now: impl Fn() -> Time, pipe: PipeId) {
        let Some(known) = self.pipes.get_mut(&pipe) else { return };
        known.is_in_turn = false;
        if self.buffer.is_empty() {
            self.buffer.resize(READ_BYTES_MAX, 0);
        }
        match known.stream.read(&mut self.buffer) {
            Ok(0) => self.end(pipe),
            Ok(length) => {
                if known.state == State::Open
                    && let Some(bytes) = self.buffer.get(..length)
                {
                    driver.handle(now(), Event::pipe_bytes(pipe, bytes));
                }
                // There may be more; it is another pipe's turn first.
                self.on_readable(pipe);
            }
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) if why.kind() == io::ErrorKind::Interrupted => self.on_readable(pipe),
            Err(_) => self.end(pipe),
        }
    }
}

impl<S: Stream> Default for Pipes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Stream> Pipe<S> {
    /// Hands over what there is room for; the packet, once all of it is.
    fn flush(&mut self) -> Result<Option<Packet>, ()> {
        while let Some((packet, done)) = &mut self.out {
            let rest = packet.bytes().get(*done..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(self.out.take().map(|(packet, _)| packet));
            }
            match self.stream.write(rest) {
                Ok(0) => return Err(()),
                Ok(length) => *done += length,
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(()),
            }
        }
        Ok(None)
    }
}

fn tell(driver: &mut Driver, now: Time, news: News) {
    match news {
        News::Opened(pipe, op, local, remote) => driver.handle(now, Event::pipe_opened(pipe, op, local, remote)),
        News::Failed(op, why) => driver.handle(now, Event::connect_failed(op, why)),
        News::Written(pipe, packet) => {
            driver.recycle(packet);
            driver.handle(now, Event::pipe_written(pipe));
        }
        News::Closed(pipe) => driver.handle(now, Event::pipe_closed(pipe)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use overcom_core::trace::Recorder;
    use overcom_core::{AppId, Config, Delegation, DeviceKeys, IdentitySecret, Node, Rng, Seed, WallTime};

    use super::*;

    /// What the other end does.
    #[derive(Default)]
    struct Script {
        bytes_left: usize,
        is_ended: bool,
        is_finished: bool,
        fails: bool,
    }

    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<Script>>);

    impl Stream for Fake {
        fn read(&self, into: &mut [u8]) -> io::Result<usize> {
            let mut script = self.0.borrow_mut();
            if script.fails {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let length = script.bytes_left.min(into.len());
            script.bytes_left -= length;
            if length > 0 || script.is_ended { Ok(length) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }

        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn finish(&self) {
            self.0.borrow_mut().is_finished = true;
        }

        fn ends(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ConnectError> {
            let end = SocketAddr::from(([127, 0, 0, 1], 9));
            if self.0.borrow().fails { Err(ConnectError::Refused) } else { Ok(Some((end, end))) }
        }
    }

    /// A driver whose recording says what it was told.
    fn driver() -> Driver {
        let (seed, now, wall) = (Seed::from_bytes([1; 32]), Time::ZERO, WallTime::from_millis(1_800_000_000_000));
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&seed));
        let grant = keys.grant(AppId::new("pipes").unwrap(), wall, wall + Duration::from_secs(60));
        let credentials = keys.credentials(Delegation::sign(&IdentitySecret::from_bytes([1; 32]), &grant).unwrap());
        let recorder = Recorder::start("test", "node", &Config::test(), &credentials, &seed, now, wall);
        Driver::new(Node::new(Config::test(), credentials, seed, now, wall).unwrap()).recorded(recorder)
    }

    fn told(driver: &mut Driver, what: &str) -> usize {
        let text = String::from_utf8(driver.recorder().unwrap().take()).unwrap();
        text.lines().filter(|line| line.contains(what)).count()
    }

    // spec-test: SHELL-7
    #[test]
    fn each_pipe_ends_exactly_once_whoever_ends_it() {
        let mut driver = driver();
        let mut pipes = Pipes::new();
        let streams: Vec<Fake> = (0..3).map(|_| Fake::default()).collect();
        streams.iter().for_each(|stream| pipes.add_accepted(stream.clone()));
        pipes.hand_in(&mut driver, || Time::ZERO, 64);
        streams[0].0.borrow_mut().is_ended = true;
        streams[1].0.borrow_mut().fails = true;
        pipes.close(PipeId::new(3), Time::ZERO);
        assert!(streams[2].0.borrow().is_finished);
        streams[2].0.borrow_mut().is_ended = true;
        for _ in 0..3 {
            for pipe in 1..=3 {
                pipes.close(PipeId::new(pipe), Time::ZERO);
                pipes.on_readable(PipeId::new(pipe));
                pipes.on_writable(PipeId::new(pipe));
            }
            pipes.hand_in(&mut driver, || Time::from_secs(9), 64);
        }
        assert_eq!(told(&mut driver, "pipe_closed"), 3);
        assert!(!pipes.has_news() && pipes.deadline().is_none());
    }

    // spec-test: SHELL-7
    #[test]
    fn a_closed_pipe_whose_other_end_keeps_silent_ends_after_a_second() {
        let mut driver = driver();
        let mut pipes = Pipes::new();
        pipes.add_accepted(Fake::default());
        pipes.close(PipeId::new(1), Time::from_secs(5));
        assert_eq!(pipes.deadline(), Some(Time::from_secs(6)));
        pipes.hand_in(&mut driver, || Time::from_millis(5_999), 64);
        assert_eq!(told(&mut driver, "pipe_closed"), 0);
        pipes.hand_in(&mut driver, || Time::from_secs(6), 64);
        assert_eq!(told(&mut driver, "pipe_closed"), 1);
    }

    // spec-test: SHELL-13
    #[test]
    fn a_pipe_that_never_runs_dry_leaves_the_others_their_turns() {
        let mut driver = driver();
        let mut pipes = Pipes::new();
        let (flood, calm) = (Fake::default(), Fake::default());
        flood.0.borrow_mut().bytes_left = usize::MAX;
        calm.0.borrow_mut().bytes_left = 1;
        pipes.add_accepted(flood);
        pipes.add_accepted(calm.clone());
        assert_eq!(pipes.hand_in(&mut driver, || Time::ZERO, 8), 8);
        assert_eq!(calm.0.borrow().bytes_left, 0);
        assert!(pipes.has_news());
    }

    #[test]
    fn an_attempt_that_comes_to_nothing_is_told_once_and_is_no_pipe() {
        let mut driver = driver();
        let mut pipes = Pipes::new();
        let stream = Fake::default();
        stream.0.borrow_mut().fails = true;
        pipes.add_connecting(OpId::new(7), stream);
        pipes.on_writable(PipeId::new(1));
        pipes.hand_in(&mut driver, || Time::ZERO, 64);
        let text = String::from_utf8(driver.recorder().unwrap().take()).unwrap();
        assert_eq!(text.matches("connect_failed").count(), 1);
        assert!(!text.contains("pipe_closed") && !text.contains("pipe_opened"));
    }
}
