//! A shell on bare epoll: all that a loop of one's own has to bring is readiness. Sockets, storage and the loop's order are
//! `overcom-std`'s `Engine`. The conformance suite runs on this very file.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use overcom_core::{Command, CommandError, Node, Notice, PipeId, Tag};
use overcom_std::sockets::Bound;
use overcom_std::{Bare, Engine, Net, Setup, Source, Store, seed};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// What an event of epoll is about; pipes come after these.
const LISTENER: u64 = 0;
const DATAGRAMS: u64 = 1;
const WAKE: u64 = 2;
const FIRST_PIPE: u64 = 3;
const EVENTS_MAX: usize = 64;

/// A node and the epoll that it lives in. A loop that has one already hands its own in, and its own numbers with it.
pub(crate) struct Loop {
    engine: Engine<Sockets>,
    epoll: Arc<OwnedFd>,
    events: Vec<epoll::Event>,
    is_held: bool,
}

impl Loop {
    pub(crate) fn start(setup: Setup, store: impl Store + 'static) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC)?);
        // Storage and other threads end the waiting with this.
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        let ring = Arc::new(move || {
            // It is full only if it has rung already.
            let _ = rustix::io::write(&wake, &1_u64.to_ne_bytes());
        });
        let sockets = Sockets { epoll: Arc::clone(&epoll), tcp: None, udp: None };
        let engine = Engine::start("own-loop", setup, store, &seed()?, ring, sockets)?;
        Ok(Self { engine, epoll, events: Vec::with_capacity(EVENTS_MAX), is_held: false })
    }

    /// Does what there is to do, waits at most this long, and does what came.
    pub(crate) fn step(&mut self, timeout: Duration) -> io::Result<()> {
        let waiting = self.engine.notices();
        let rest = self.engine.turn(&mut Bare)?;
        let is_news = self.engine.notices() > waiting;
        let timeout = if is_news { Duration::ZERO } else { self.engine.wait_max(rest).map_or(timeout, |max| max.min(timeout)) };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        self.events.clear();
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(why) => return Err(why.into()),
        }
        for event in &self.events {
            match event.data.u64() {
                LISTENER => self.engine.on_ready(Source::Listener),
                DATAGRAMS => self.engine.on_ready(Source::Datagrams),
                // Each is a change from no to yes (ET), so there is nothing to take back.
                WAKE => {}
                // Whatever else the loop waits for would have numbers of its own here.
                pipe => self.engine.on_ready(Source::Pipe(PipeId::new(pipe - FIRST_PIPE))),
            }
        }
        self.engine.turn(&mut Bare).map(drop)
    }

    /// The next notice; the former one counts as taken.
    pub(crate) fn next_notice(&mut self) -> Option<Notice> {
        if std::mem::take(&mut self.is_held) {
            self.engine.taken(1);
        }
        let notice = self.engine.next_notice();
        self.is_held = notice.is_some();
        notice
    }

    pub(crate) fn command(&mut self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.engine.command(command)
    }

    pub(crate) const fn node(&self) -> &Node {
        self.engine.node()
    }

    pub(crate) const fn local_addr(&self) -> SocketAddr {
        self.engine.local()
    }

    /// After a suspension; the example needs none, the conformance suite does.
    #[allow(dead_code, reason = "not every program that holds this shell sleeps")]
    pub(crate) fn rebind(&mut self) -> io::Result<()> {
        self.engine.rebind()
    }
}

/// Sockets that say when they are ready: each is registered once, edge-triggered, and epoll forgets it when it is closed.
pub(crate) struct Sockets {
    epoll: Arc<OwnedFd>,
    tcp: Option<TcpListener>,
    udp: Option<UdpSocket>,
}

impl Sockets {
    fn watch(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        let what = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(number), what)?)
    }
}

impl Net for Sockets {
    type Stream = Arc<TcpStream>;

    fn open(&mut self, bound: Bound) -> io::Result<()> {
        self.watch(&bound.tcp, LISTENER)?;
        self.watch(&bound.udp, DATAGRAMS)?;
        (self.tcp, self.udp) = (Some(bound.tcp), Some(bound.udp));
        Ok(())
    }

    fn close(&mut self) {
        (self.tcp, self.udp) = (None, None);
    }

    fn adopt(&mut self, pipe: PipeId, stream: TcpStream) -> io::Result<Self::Stream> {
        self.watch(&stream, FIRST_PIPE + pipe.number())?;
        Ok(Arc::new(stream))
    }

    fn accept(&mut self, pipe: PipeId) -> io::Result<Self::Stream> {
        let (stream, _) = self.tcp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.adopt(pipe, stream)
    }

    fn send_to(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        self.udp.as_ref().ok_or(io::ErrorKind::NotConnected)?.send_to(bytes, to).map(drop)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.udp.as_ref().ok_or(io::ErrorKind::WouldBlock)?.recv_from(into)
    }
}
