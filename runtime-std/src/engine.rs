//! Everything of a shell but waiting: one node, its sockets, storage and clock, turn by turn. A runtime adds readiness.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use overcom_core::trace::Recorder;
use overcom_core::{
    App, Batch, Command, CommandError, ConnectError, Driver, Event, Hosted, Next, Node, Notice, OpId, Packet, Path, PipeId, Seed, Shell,
    Tag, Time,
};

use crate::pipes::{Pipes, Stream};
use crate::queue::{Outlet, queue};
use crate::remote::{Remote, Request};
use crate::setup::{Recording, Setup, Watch};
use crate::sockets::Bound;
use crate::work::{Waker, Work};
use crate::{Clock, Source, Store, sockets};

/// Actions that one drive carries out at most (guess: some milliseconds).
const ACTIONS_MAX: u32 = 1_024;
/// Inputs that are handed in between two drives (spec: SHELL-13); guess.
const INPUTS_MAX: usize = 64;
/// Connections that are accepted in one turn, so that a flood of them leaves time for the pipes (guess).
const ACCEPTS_MAX: usize = 64;
/// Commands of other threads that may wait (guess).
const REQUESTS_MAX: usize = 1_024;
/// How often the wall clock and the addresses are reported at least (`Event::Clock` asks for once a minute).
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// When a connection is accepted again after the operating system had no file for one (guess: soon enough for who dials).
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// One byte more than the longest that a node takes (spec: DHT-10): of a longer one this much is read, and is refused.
const DATAGRAM_BYTES_MAX: usize = 1_201;

/// The sockets of a runtime, none of which blocks.
pub trait Net {
    /// What it makes of a socket.
    type Stream: Stream;
    /// Takes these sockets in the place of the closed ones, and from now on says when they are ready.
    ///
    /// # Errors
    /// If they cannot be watched.
    fn open(&mut self, bound: Bound) -> io::Result<()>;
    /// Closes the listening sockets, so that their port is free.
    fn close(&mut self);
    /// Takes a socket that connects, and from now on says when it is ready.
    ///
    /// # Errors
    /// If there is no room for another one.
    fn adopt(&mut self, pipe: PipeId, stream: TcpStream) -> io::Result<Self::Stream>;
    /// The next connection that others opened.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn accept(&mut self, pipe: PipeId) -> io::Result<Self::Stream>;
    /// Sends a datagram.
    ///
    /// # Errors
    /// Whatever keeps it from leaving.
    fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()>;
    /// The next datagram.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)>;
}

/// What drives the node in a turn: nothing more, or an application beside it.
pub trait Drive {
    /// As [`Driver::drive`].
    fn drive(&mut self, driver: &mut Driver, shell: &mut impl Shell, now: Time, budget: u32) -> Next;
}

/// Notices are for whoever runs the engine.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Drive for Bare {
    fn drive(&mut self, driver: &mut Driver, shell: &mut impl Shell, now: Time, budget: u32) -> Next {
        driver.drive(shell, now, budget)
    }
}

impl<A: App> Drive for Hosted<A> {
    fn drive(&mut self, driver: &mut Driver, shell: &mut impl Shell, now: Time, budget: u32) -> Next {
        self.turn(driver, shell, now, budget)
    }
}

/// What a turn left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// There is more to do at once.
    None,
    /// Nothing to do before this time, or before something is ready.
    Until(Option<Time>),
    /// A handle asked to stop.
    Stop,
}

/// One node and its outside.
pub struct Engine<N: Net> {
    driver: Driver,
    outside: Outside<N>,
    requests: Outlet<Request>,
    remote: Remote,
    recording: Option<Recording>,
    watch: Option<Watch>,
    /// How many entries of the journal were shown.
    watch_seen: usize,
    is_stopping: bool,
    /// What the node knows of [`Remote::passed`].
    passed: u64,
    /// It was told something since the last turn.
    is_told: bool,
    report_due: Time,
    reported: Vec<SocketAddr>,
    datagram: Box<[u8]>,
}

/// What carries actions out (spec: SHELL-1).
struct Outside<N: Net> {
    net: N,
    pipes: Pipes<N::Stream>,
    work: Work,
    clock: Clock,
    local: SocketAddr,
    notices: VecDeque<Notice>,
    /// Readiness that was not used up.
    may_accept: bool,
    may_receive: bool,
    /// The operating system had no file for a connection: not before then.
    accept_due: Option<Time>,
    datagrams_dropped: u64,
}

impl<N: Net> Engine<N> {
    /// Starts a node and its storage thread.
    ///
    /// `shell` is the runtime's name in recordings, `net` its sockets, still closed, `waker` ends its waiting.
    ///
    /// # Errors
    /// What the node says of its configuration, or the operating system of sockets and threads.
    pub fn start(shell: &str, setup: Setup, store: impl Store + 'static, seed: &Seed, waker: Waker, mut net: N) -> io::Result<Self> {
        let Setup { bound, config, credentials, recording, name, clock, watched } = setup;
        let (clock, local) = (clock.unwrap_or_else(Clock::start), bound.local);
        let name = name.as_deref().unwrap_or("node");
        let (now, wall) = (clock.now(), clock.wall());
        let recorder = recording.as_ref().map(|_| Recorder::start(shell, name, &config, &credentials, seed, now, wall));
        let node = Node::new(config, credentials, seed.clone(), now, wall).map_err(io::Error::other)?;
        net.open(bound)?;
        let (requests, asked) = queue(REQUESTS_MAX);
        let outside = Outside {
            net,
            pipes: Pipes::new(),
            work: Work::start(store, waker.clone())?,
            clock,
            local,
            notices: VecDeque::new(),
            may_accept: true,
            may_receive: true,
            accept_due: None,
            datagrams_dropped: 0,
        };
        let (journal, watch) = watched.unzip();
        let driver = recorder.into_iter().fold(Driver::new(node), Driver::recorded);
        Ok(Self {
            driver: journal.into_iter().fold(driver, Driver::observed),
            watch,
            watch_seen: 0,
            outside,
            requests: asked,
            remote: Remote { requests, waker, taken: Arc::default(), passed: Arc::default() },
            passed: 0,
            recording,
            is_stopping: false,
            is_told: true,
            report_due: Time::ZERO,
            reported: Vec::new(),
            datagram: vec![0; DATAGRAM_BYTES_MAX].into(),
        })
    }

    /// Takes new sockets on the same address after a suspension that killed the old ones: every pipe is gone, and the
    /// node is told so.
    ///
    /// # Errors
    /// If the port was taken meanwhile, or sockets cannot be watched. Then nobody can be heard until this succeeds.
    pub fn rebind(&mut self) -> io::Result<()> {
        let outside = &mut self.outside;
        self.is_told = true;
        outside.pipes.clear();
        outside.net.close();
        let outcome = sockets::bind(outside.local).map_err(io::Error::from).and_then(|bound| outside.net.open(bound));
        let now = outside.clock.now();
        self.reported = if outcome.is_ok() { sockets::addresses(outside.local) } else { Vec::new() };
        self.driver.handle(now, Event::clock(outside.clock.wall()));
        self.driver.handle(now, Event::addresses(&self.reported, true));
        outcome
    }

    /// The node, to look at.
    pub const fn node(&self) -> &Node {
        self.driver.node()
    }

    /// The driver, for [`Hosted::with`].
    pub const fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// The clock that the node is told of.
    pub const fn clock(&self) -> &Clock {
        &self.outside.clock
    }

    /// Where the sockets are bound.
    pub const fn local(&self) -> SocketAddr {
        self.outside.local
    }

    /// For other threads.
    pub const fn remote(&self) -> &Remote {
        &self.remote
    }

    /// The sockets.
    pub const fn net(&mut self) -> &mut N {
        &mut self.outside.net
    }

    /// The pipes, to say which are ready.
    pub const fn pipes(&mut self) -> &mut Pipes<N::Stream> {
        &mut self.outside.pipes
    }

    /// Something may be ready. It costs a system call if it is not.
    pub fn on_ready(&mut self, source: Source) {
        self.is_told = true;
        match source {
            Source::Listener => self.outside.may_accept = true,
            Source::Datagrams => self.outside.may_receive = true,
            Source::Pipe(pipe) => {
                self.outside.pipes.on_writable(pipe);
                self.outside.pipes.on_readable(pipe);
            }
        }
    }

    /// Whether the operating system had no file for a connection: until it is tried again, after a second, the listening
    /// socket may be ready all the time, and who waits for it would spin.
    pub const fn is_out_of_files(&self) -> bool {
        self.outside.accept_due.is_some()
    }

    /// How many datagrams could not be sent and were dropped.
    pub const fn datagrams_dropped(&self) -> u64 {
        self.outside.datagrams_dropped
    }

    /// Asks the node for something.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub fn command(&mut self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.is_told = true;
        self.driver.command(self.outside.clock.now(), command.into())
    }

    /// How many notices of a [`Bare`] engine wait to be asked for.
    pub fn notices(&self) -> usize {
        self.outside.notices.len()
    }

    /// The next notice of a [`Bare`] engine. Say [`taken`](Self::taken) once the application is through with it.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.outside.notices.pop_front()
    }

    /// The application is through with `notices` more notices (spec: SHELL-14).
    pub fn taken(&mut self, notices: u64) {
        self.is_told = true;
        self.driver.handle(self.outside.clock.now(), Event::taken(notices, &[]));
    }

    /// How long to wait at most after a turn that left `rest`. Not at all if the node was told something since: what
    /// comes of it, and when it is due, the next turn says.
    pub fn wait_max(&self, rest: Rest) -> Option<Duration> {
        match rest {
            Rest::Until(due) if !self.is_told => due.map(|due| self.outside.clock.until(due)),
            Rest::None | Rest::Until(_) | Rest::Stop => Some(Duration::ZERO),
        }
    }

    /// One turn: reports, finished work, commands, drive, inputs, drive. Never waits; its work is bounded (spec: SHELL-13).
    ///
    /// # Errors
    /// Only if a recording cannot be written.
    pub fn turn(&mut self, drive: &mut impl Drive) -> io::Result<Rest> {
        self.is_told = false;
        let now = self.outside.clock.now();
        self.report(now);
        let taken = self.remote.taken.swap(0, Ordering::Relaxed);
        if taken > 0 {
            self.driver.handle(now, Event::taken(taken, &[]));
        }
        let passed = self.remote.passed.load(Ordering::Relaxed);
        // What was taken may have been passed before: then the number is another one for the node.
        if passed != self.passed || taken > 0 && passed > 0 {
            self.passed = passed;
            self.driver.handle(now, Event::passed(passed));
        }
        let mut asked = 0;
        while asked < INPUTS_MAX
            && let Some(finished) = self.outside.work.next_finished()
        {
            finished.hand_in(&mut self.driver, now);
            asked += 1;
        }
        while asked < 2 * INPUTS_MAX
            && let Ok(request) = self.requests.try_recv()
        {
            asked += 1;
            match request {
                Request::Command(command, answer) => answer(self.driver.command(now, *command)),
                Request::Look(look) => look(self.driver.node()),
                Request::Rebind(answer) => answer(self.rebind()),
                Request::Stop => self.is_stopping = true,
            }
        }
        let mut next = drive.drive(&mut self.driver, &mut self.outside, now, ACTIONS_MAX);
        let inputs = self.hand_in();
        if inputs > 0 {
            let now = self.outside.clock.now();
            next = drive.drive(&mut self.driver, &mut self.outside, now, ACTIONS_MAX);
        }
        self.write_recording()?;
        self.show_journal();
        if self.is_stopping {
            return Ok(Rest::Stop);
        }
        // Whoever asked the most may have more to ask, and was woken for once only.
        let is_busy = inputs > 0 || asked >= INPUTS_MAX || self.outside.is_busy();
        Ok(match next {
            Next::Until(due) if !is_busy => {
                let outside = &self.outside;
                Rest::Until([due, outside.pipes.deadline(), outside.accept_due, Some(self.report_due)].into_iter().flatten().min())
            }
            Next::Until(_) | Next::Again => Rest::None,
        })
    }

    fn report(&mut self, now: Time) {
        if now < self.report_due {
            return;
        }
        self.report_due = now + REPORT_EVERY;
        self.driver.handle(now, Event::clock(self.outside.clock.wall()));
        let addresses = sockets::addresses(self.outside.local);
        if addresses != self.reported {
            self.driver.handle(now, Event::addresses(&addresses, false));
            self.reported = addresses;
        }
    }

    /// Everything is stamped after it was read, so that on a shared clock no effect stands before its cause.
    fn hand_in(&mut self) -> usize {
        let outside = &mut self.outside;
        outside.accept();
        let mut told = 0;
        while outside.may_receive && told < INPUTS_MAX / 2 {
            match outside.net.receive(&mut self.datagram) {
                Ok((length, from)) => {
                    let path = Path { local: sockets::plain(outside.local), remote: sockets::plain(from) };
                    self.driver.handle(outside.clock.now(), Event::datagram(path, self.datagram.get(..length).unwrap_or_default()));
                    told += 1;
                }
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => outside.may_receive = false,
                // An earlier datagram's refusal comes up here; it costs a place so that it cannot hold the turn.
                Err(_) => told += 1,
            }
        }
        told + outside.pipes.hand_in(&mut self.driver, || outside.clock.now(), INPUTS_MAX - told)
    }

    fn show_journal(&mut self) {
        if let (Some(watch), Some(journal)) = (&mut self.watch, self.driver.journal())
            && journal.entries().len() > self.watch_seen
        {
            self.watch_seen = journal.entries().len();
            watch(journal);
        }
    }

    fn write_recording(&mut self) -> io::Result<()> {
        if let (Some(recording), Some(recorder)) = (&mut self.recording, self.driver.recorder()) {
            recording.write_all(&recorder.take())?;
        }
        Ok(())
    }
}

impl<N: Net> Drop for Engine<N> {
    /// Ends the recording. An error has nobody left to be told.
    fn drop(&mut self) {
        if let Some(recorder) = self.driver.recorder() {
            recorder.finish();
        }
        let _ = self.write_recording();
        let _ = self.recording.as_mut().map(|recording| recording.flush());
    }
}

impl<N: Net> fmt::Debug for Engine<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("node", self.driver.node()).field("local", &self.outside.local).finish_non_exhaustive()
    }
}

impl<N: Net> Outside<N> {
    fn accept(&mut self) {
        let now = self.clock.now();
        self.accept_due = self.accept_due.filter(|due| *due > now);
        for _ in 0..ACCEPTS_MAX {
            if !self.is_accepting() {
                break;
            }
            match self.net.accept(self.pipes.next_id()) {
                Ok(stream) => self.pipes.add_accepted(stream),
                // One that was gone before it was accepted says so here; the next one may be fine.
                Err(why) if matches!(why.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => self.may_accept = false,
                // Out of files, say. Connections wait on, so only time can tell when to look again.
                Err(_) => self.accept_due = Some(now + ACCEPT_AGAIN),
            }
        }
    }

    const fn is_accepting(&self) -> bool {
        self.may_accept && self.accept_due.is_none()
    }

    fn is_busy(&self) -> bool {
        self.is_accepting() || self.may_receive || self.pipes.has_news()
    }
}

impl<N: Net> Shell for Outside<N> {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        if self.net.send_to(packet.bytes(), sockets::for_socket(self.local, path.remote)).is_err() {
            self.datagrams_dropped = self.datagrams_dropped.saturating_add(1);
        }
    }

    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        let from = from_listening_port.then_some(self.local);
        let adopted =
            sockets::connect(to, from).and_then(|stream| self.net.adopt(self.pipes.next_id(), stream).map_err(|_| ConnectError::Failed));
        match adopted {
            Ok(stream) => self.pipes.add_connecting(op, stream),
            Err(why) => self.pipes.add_failed(op, why),
        }
    }

    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.pipes.write(pipe, packet);
    }

    fn close(&mut self, pipe: PipeId) {
        self.pipes.close(pipe, self.clock.now());
    }

    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        self.work.resolve(op, name, port);
    }

    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        self.work.store(op, batch, durable);
    }

    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.work.load(op, from, to, limit);
    }

    fn notify(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }
}
