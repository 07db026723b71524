//! Overcom on mio: a loop of its own ([`Runtime`], [`AppRuntime`]), or a guest inside your `Poll` ([`Embedded`]).
//!
//! Everything but waiting is `overcom-std`'s [`Engine`]; this crate tells it what is ready.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use mio::{Events, Poll, Registry, Token, Waker};
use overcom_core::{App, AppCx, Command, CommandError, Config, Credentials, Hosted, Node, Notice, Seed, Tag};
use overcom_std::{Bare, Drive, Engine, Remote, Rest, Setup, Store, seed};

mod net;

use net::{FIRST_PIPE, Sockets};

/// Readiness taken from the operating system at once (guess).
const EVENTS_MAX: usize = 256;
const WAKER: Token = Token(0);

/// A node inside a `Poll` of yours: you wait, it says what was for it and does its turn.
#[derive(Debug)]
pub struct Embedded<D = Bare> {
    engine: Engine<Sockets>,
    drive: D,
    /// Whether a notice was given out and is not taken yet.
    is_held: bool,
    /// Notices that are taken and of which the node does not know yet: it is told of many at once.
    taken: u64,
}

impl Embedded {
    /// Starts a node that registers its sockets with the token numbers `tokens`: two for listening, one for each pipe.
    ///
    /// `wake` must end the waiting of your `Poll` from any thread, for instance with your [`Waker`].
    ///
    /// # Errors
    /// What the node says of its configuration, or the operating system of sockets and threads.
    pub fn start(
        setup: Setup,
        store: impl Store + 'static,
        registry: &Registry,
        tokens: std::ops::Range<usize>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::start_with(setup, store, registry, tokens, wake, |_| Bare)
    }

    /// The next notice. Asking for it says that the former one is taken (spec: SHELL-14); do so until there is none, or
    /// leave some for later to make peers wait.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.taken += u64::from(std::mem::take(&mut self.is_held));
        let notice = self.engine.next_notice();
        self.is_held = notice.is_some();
        if !self.is_held {
            self.say_taken();
        }
        notice
    }
}

impl<D: Drive> Embedded<D> {
    fn start_with(
        setup: Setup,
        store: impl Store + 'static,
        registry: &Registry,
        tokens: std::ops::Range<usize>,
        wake: impl Fn() + Send + Sync + 'static,
        make: impl FnOnce(&Seed) -> D,
    ) -> io::Result<Self> {
        let (seed, registry) = (seed()?, registry.try_clone()?);
        let engine = Engine::start("mio", setup, store, &seed, Arc::new(wake), Sockets::new(registry, tokens)?)?;
        Ok(Self { engine, drive: make(&seed), is_held: false, taken: 0 })
    }

    /// One turn; never waits. Then ask for [`next_notice`](Self::next_notice), and wait no longer than [`wait_max`](Self::wait_max).
    ///
    /// # Errors
    /// Only if a recording cannot be written.
    pub fn turn(&mut self) -> io::Result<Rest> {
        self.say_taken();
        self.engine.turn(&mut self.drive)
    }

    fn say_taken(&mut self) {
        if self.taken > 0 {
            self.engine.taken(std::mem::take(&mut self.taken));
        }
    }

    /// Whether this event was for the node; if not, it is yours.
    pub fn ready(&mut self, event: &mio::event::Event) -> bool {
        net::ready(&mut self.engine, event)
    }

    /// How long to wait at most after a turn that left `rest`.
    pub fn wait_max(&self, rest: Rest) -> Option<Duration> {
        self.engine.wait_max(rest)
    }

    /// Takes new sockets on the same address after a suspension; every pipe is gone, and the node is told so.
    ///
    /// # Errors
    /// As [`Engine::rebind`].
    pub fn rebind(&mut self) -> io::Result<()> {
        self.engine.rebind()
    }

    /// The node, to look at.
    pub const fn node(&self) -> &Node {
        self.engine.node()
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.engine.local()
    }

    /// Asks the node for something; it is carried out in the next turn.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub fn command(&mut self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.engine.command(command)
    }

    /// Speaks with the node from other threads.
    pub fn handle(&self) -> Handle {
        Handle { remote: self.engine.remote().clone() }
    }
}

/// Speaks with a running node from other threads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    remote: Remote,
}

impl Handle {
    /// Asks the node for something and waits for the loop's next turn. **Not from the loop's own thread**, which would wait for itself.
    ///
    /// # Errors
    /// As [`Node::command`]; also [`CommandError::Stopped`] if the loop is gone.
    pub fn command(&self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        let (answer, answered) = sync_channel(1);
        self.remote.command(command.into(), move |outcome| answer.try_send(outcome).unwrap_or_default())?;
        answered.recv().unwrap_or(Err(CommandError::Stopped))
    }

    /// What `look` makes of the node, on the loop's own thread, in its next turn. **Not from that thread**, which would wait for itself.
    ///
    /// # Errors
    /// [`CommandError::Stopped`] if the loop is gone, [`CommandError::Busy`] if too much is on its way to it.
    pub fn look<R: Send + 'static>(&self, look: impl FnOnce(&Node) -> R + Send + 'static) -> Result<R, CommandError> {
        let (answer, answered) = sync_channel(1);
        // Whoever asked may be gone by then.
        self.remote.look(move |node| drop(answer.try_send(look(node))))?;
        answered.recv().map_err(|_| CommandError::Stopped)
    }

    /// Ends the loop after its present turn.
    ///
    /// # Errors
    /// [`CommandError::Stopped`] if it is gone already.
    pub fn stop(&self) -> Result<(), CommandError> {
        self.remote.stop()
    }
}

/// A node with a loop of its own, whose notices you take.
#[derive(Debug)]
pub struct Runtime<D = Bare> {
    poll: Poll,
    events: Events,
    inner: Embedded<D>,
}

/// A node with a loop of its own and an [`App`] beside it, the same one that runs in the simulator.
pub type AppRuntime<A> = Runtime<Hosted<A>>;

impl Runtime {
    /// Starts a node that listens on the first of these addresses; `[::]:0` takes both families and any port.
    ///
    /// # Errors
    /// What the node says of its configuration, or the operating system of sockets and threads.
    pub fn bind(addr: impl ToSocketAddrs, config: Config, credentials: Credentials, store: impl Store + 'static) -> io::Result<Self> {
        Self::start(Setup::bind(addr, config, credentials)?, store)
    }

    /// [`bind`](Self::bind) with everything that a [`Setup`] may say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn start(setup: Setup, store: impl Store + 'static) -> io::Result<Self> {
        Self::start_with(setup, store, |_| Bare)
    }

    /// Does what there is to do, then waits at most `timeout` for more and does that. `Duration::ZERO` never waits: for a game's frame.
    ///
    /// Each notice counts as taken when `on_notice` returns. Returns `false` once a handle has asked to stop.
    ///
    /// # Errors
    /// What the operating system says of waiting, or of writing a recording.
    pub fn run_once(&mut self, timeout: Duration, mut on_notice: impl FnMut(Notice)) -> io::Result<bool> {
        let is_running = self.step(timeout)?;
        while let Some(notice) = self.inner.next_notice() {
            on_notice(notice);
        }
        Ok(is_running)
    }

    /// The next notice after [`step`](Self::step). Asking for it says that the former one is taken.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.inner.next_notice()
    }

    /// Runs until a handle asks to stop.
    ///
    /// # Errors
    /// As [`run_once`](Self::run_once).
    pub fn run(&mut self, mut on_notice: impl FnMut(Notice)) -> io::Result<()> {
        while self.run_once(Duration::MAX, &mut on_notice)? {}
        Ok(())
    }
}

impl<A: App> AppRuntime<A> {
    /// Starts a node and `app`.
    ///
    /// # Errors
    /// As [`Runtime::bind`].
    pub fn start_app(setup: Setup, store: impl Store + 'static, app: A) -> io::Result<Self> {
        Self::start_with(setup, store, |seed| Hosted::new(app, seed))
    }

    /// Lets something from outside speak with the application; see [`Hosted::with`].
    pub fn with<R>(&mut self, speak: impl FnOnce(&mut A, &mut AppCx<'_>) -> R) -> R {
        let Embedded { engine, drive, .. } = &mut self.inner;
        let now = engine.clock().now();
        drive.with(engine.driver(), now, speak)
    }

    /// The application, to look at.
    pub const fn app(&self) -> &A {
        self.inner.drive.app()
    }
}

impl<D: Drive> Runtime<D> {
    fn start_with(setup: Setup, store: impl Store + 'static, make: impl FnOnce(&Seed) -> D) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        // A waker that fails has nobody left to wake.
        let wake = move || waker.wake().unwrap_or_default();
        let inner = Embedded::start_with(setup, store, poll.registry(), FIRST_PIPE..usize::MAX, wake, make)?;
        Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), inner })
    }

    /// Does what there is to do, then waits at most `timeout` for more and does that. Notices go to the [`App`], or wait
    /// for `next_notice`. Returns `false` once a handle has asked to stop.
    ///
    /// # Errors
    /// What the operating system says of waiting, or of writing a recording.
    pub fn step(&mut self, timeout: Duration) -> io::Result<bool> {
        let waiting = self.inner.engine.notices();
        let mut rest = self.inner.turn()?;
        if rest != Rest::Stop {
            // What this turn brought is the caller's first.
            let is_news = self.inner.engine.notices() > waiting;
            self.wait(if is_news { Duration::ZERO } else { timeout }, rest)?;
            rest = self.inner.turn()?;
        }
        Ok(rest != Rest::Stop)
    }

    /// Waits for readiness, no longer than `timeout` and than the last turn's rest allows.
    fn wait(&mut self, timeout: Duration, rest: Rest) -> io::Result<()> {
        let timeout = self.inner.wait_max(rest).map_or(timeout, |rest| rest.min(timeout));
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        for event in &self.events {
            // The waker's own event needs nothing done.
            let _ = self.inner.ready(event);
        }
        Ok(())
    }

    /// Takes new sockets on the same address after a suspension; every pipe is gone, and the node is told so.
    ///
    /// # Errors
    /// As [`Engine::rebind`](Engine::rebind).
    pub fn rebind(&mut self) -> io::Result<()> {
        self.inner.rebind()
    }

    /// The node, to look at.
    pub const fn node(&self) -> &Node {
        self.inner.node()
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// Asks the node for something; it is carried out in the next step.
    ///
    /// # Errors
    /// As [`Node::command`].
    pub fn command(&mut self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.inner.command(command)
    }

    /// Speaks with the node from other threads.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }
}
