//! Overcom as an async handle on smol; works under tokio and any other executor too.
//!
//! [`Node::bind`] spawns the node on smol's global executor. [`Node::split`] gives you its future to run where you like;
//! readiness and time come from smol's reactor, which has a thread of its own, so no executor has to offer any.
//! Everything but waiting is `overcom-std`'s [`Engine`]; this crate tells it what is ready.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};

use overcom_core::{App, Command, CommandError, Config, Credentials, Hosted, Notice, Seed, Tag};
use overcom_std::{Bare, Bell, Drive, Engine, Remote, Rest, Setup, Store, seed};
use smol::channel::{Receiver, Sender, TrySendError, bounded};
use smol::stream::{Stream, unfold};

mod net;

use net::{Reactor, Sockets};

/// Notices that wait in the handle, taken or not; the node holds the rest (guess).
const NOTICES_MAX: usize = 256;
/// Turns before other tasks of the executor get theirs (guess).
const TURNS_MAX: usize = 8;

/// Speaks with a node from anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    remote: Remote,
    local: SocketAddr,
}

impl Handle {
    /// Asks the node for something and waits for its answer.
    ///
    /// # Errors
    /// As [`Node::command`](overcom_core::Node::command); also [`CommandError::Stopped`] if the node's future is gone.
    pub async fn send(&self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        let (answer, answered) = reply();
        self.remote.command(command.into(), answer)?;
        answered.recv().await.unwrap_or(Err(CommandError::Stopped))
    }

    /// What `look` makes of the node, on the node's own task.
    ///
    /// # Errors
    /// [`CommandError::Stopped`] if the node's future is gone, [`CommandError::Busy`] if too much is on its way to it.
    pub async fn look<R: Send + 'static>(&self, look: impl FnOnce(&overcom_core::Node) -> R + Send + 'static) -> Result<R, CommandError> {
        let (answer, answered) = reply();
        self.remote.look(move |node| answer(look(node)))?;
        answered.recv().await.map_err(|_| CommandError::Stopped)
    }

    /// Takes new sockets on the same address after a suspension; every pipe is gone, and the node is told so.
    ///
    /// # Errors
    /// As [`Engine::rebind`], or if the node's future is gone.
    pub async fn rebind(&self) -> io::Result<()> {
        let (answer, answered) = reply();
        self.remote.rebind(answer).map_err(io::Error::other)?;
        answered.recv().await.map_err(io::Error::other)?
    }

    /// The application is through with `notices` more of those that [`Node::receive`] gave (spec: SHELL-14).
    pub fn taken(&self, notices: u64) {
        self.remote.taken(notices);
    }

    /// The application is through with so many notices in all that are no messages, behind an older one that it has not taken; see
    /// [`Remote::passed`].
    pub fn passed(&self, notices: u64) {
        self.remote.passed(notices);
    }

    /// Ends the node's future after its present turn.
    ///
    /// # Errors
    /// [`CommandError::Stopped`] if it is gone already.
    pub fn stop(&self) -> Result<(), CommandError> {
        self.remote.stop()
    }

    /// Where the node listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// A running node: its notices, and a [`Handle`].
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    notices: Receiver<Notice>,
    bell: Arc<Bell>,
    /// Whether the application still holds a notice.
    is_held: bool,
}

impl Node {
    /// Starts a node that listens on the first of these addresses, and spawns it on smol's global executor.
    ///
    /// `[::]:0` takes both families and any port. It runs until [`close`](Self::close), [`Handle::stop`], or until this is dropped.
    ///
    /// # Errors
    /// What the node says of its configuration, or the operating system of sockets and threads.
    #[expect(clippy::unused_async, reason = "a caller writes .await as everywhere else; looking a name up may become asynchronous")]
    pub async fn bind(addr: impl ToSocketAddrs, config: Config, credentials: Credentials, store: impl Store + 'static) -> io::Result<Self> {
        let (node, running) = Self::split(Setup::bind(addr, config, credentials)?, store)?;
        // Its only error is a recording that cannot be written; the notices end then.
        smol::spawn(async { drop(running.await) }).detach();
        Ok(node)
    }

    /// A node and the future that runs it, for an executor of yours.
    ///
    /// # Errors
    /// As [`bind`](Self::bind). The future's error is that of writing a recording.
    pub fn split(setup: Setup, store: impl Store + 'static) -> io::Result<(Self, impl Future<Output = io::Result<()>> + Send + 'static)> {
        let (handle, reactor) = start(setup, store, |_| Bare)?;
        let ((give, notices), bell) = (bounded(NOTICES_MAX), reactor.bell());
        let node = Self { handle, notices, bell, is_held: false };
        // The engine goes first, so that sockets and store are free when the notices end.
        let mut parts = Some((reactor, Outlet { give, waiting: None }));
        let running = poll_fn(move |cx| {
            let Some((reactor, outlet)) = &mut parts else { return Poll::Ready(Ok(())) };
            let state = poll(reactor, cx, |engine| outlet.exchange(engine));
            if state.is_ready() {
                parts = None;
            }
            state
        });
        Ok((node, running))
    }

    /// The next notice; `None` once the node has stopped. Asking for it says that the former one is taken (spec: SHELL-14).
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Notice> {
        if std::mem::take(&mut self.is_held) {
            self.handle.taken(1);
        }
        let notice = self.receive().await;
        self.is_held = notice.is_some();
        notice
    }

    /// The next notice as [`next`](Self::next) gives it, but by asking nothing is taken: say [`Handle::taken`], in the same order.
    pub async fn receive(&self) -> Option<Notice> {
        let notice = self.notices.recv().await.ok();
        // There may be room for more.
        self.bell.ring();
        notice
    }

    /// The notices as a stream, for the combinators of `smol::stream`, `futures` or `tokio-stream`; it ends once the node has stopped.
    ///
    /// Each is taken when the following one is asked for, as with [`next`](Self::next), which goes on where the stream was dropped.
    /// Nothing is lost when it is dropped.
    pub fn notices(&mut self) -> impl Stream<Item = Notice> + Unpin + Send + '_ {
        Box::pin(unfold(self, |node| async move { node.next().await.map(|notice| (notice, node)) }))
    }

    /// Asks the node for something; see [`Handle::send`].
    ///
    /// # Errors
    /// As [`Handle::send`].
    pub async fn send(&self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        self.handle.send(command).await
    }

    /// Speaks with the node from anywhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where the node listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.handle.local
    }

    /// Says good-bye on every link, waits until everything is stored, then ends the node.
    ///
    /// Messages that were not taken are not taken by this: they come again in the node's next life.
    ///
    /// # Errors
    /// What the node answers to `Suspend`; it is ended all the same.
    pub async fn close(self) -> Result<(), CommandError> {
        let outcome = self.handle.send(Command::Suspend).await;
        while outcome.is_ok() && !matches!(self.notices.recv().await, Ok(Notice::Quiet) | Err(_)) {
            self.bell.ring();
        }
        self.abandon().await;
        outcome.map(drop)
    }

    /// Ends the node without a word to anyone, and waits until its sockets and its store are free: a crash, for tests.
    pub async fn abandon(self) {
        // It may have ended by itself.
        let _ = self.handle.stop();
        while self.notices.recv().await.is_ok() {
            self.bell.ring();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.handle.stop();
    }
}

/// Starts a node with an [`App`] beside it, the same one that runs in the simulator. Spawn the future on any executor.
///
/// # Errors
/// As [`Node::bind`]. The future's error is that of writing a recording.
pub fn run_app<A: App + Send + 'static>(
    setup: Setup,
    store: impl Store + 'static,
    app: A,
) -> io::Result<(Handle, impl Future<Output = io::Result<()>> + Send + 'static)> {
    let (handle, mut reactor) = start(setup, store, |seed| Hosted::new(app, seed))?;
    Ok((handle, poll_fn(move |cx| poll(&mut reactor, cx, |_| ()))))
}

fn start<D: Drive>(setup: Setup, store: impl Store + 'static, make: impl FnOnce(&Seed) -> D) -> io::Result<(Handle, Reactor<D>)> {
    let (bell, seed) = (Arc::new(Bell::default()), seed()?);
    let ringer = Arc::clone(&bell);
    let engine = Engine::start("smol", setup, store, &seed, Arc::new(move || ringer.ring()), Sockets::default())?;
    let handle = Handle { remote: engine.remote().clone(), local: engine.local() };
    Ok((handle, Reactor::new(engine, make(&seed), bell)))
}

/// Where an answer goes, and where it comes from. Whoever asked may be gone by then.
fn reply<T: Send + 'static>() -> (impl FnOnce(T) + Send + 'static, Receiver<T>) {
    let (give, answer) = bounded(1);
    let give = move |value| {
        let _ = give.try_send(value);
    };
    (give, answer)
}

/// Turns until nothing is left or it is others' turn. Nothing is awaited while actions are carried out.
fn poll<D: Drive>(reactor: &mut Reactor<D>, cx: &mut Context<'_>, mut exchange: impl FnMut(&mut Engine<Sockets>)) -> Poll<io::Result<()>> {
    reactor.listen(cx);
    for _ in 0..TURNS_MAX {
        reactor.collect();
        let rest = reactor.turn()?;
        exchange(reactor.engine());
        match rest {
            Rest::Stop => return Poll::Ready(Ok(())),
            Rest::Until(due) if reactor.is_asleep(cx, due)? => return Poll::Pending,
            Rest::None | Rest::Until(_) => {}
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Where notices leave the engine.
struct Outlet {
    give: Sender<Notice>,
    /// The one that found no room.
    waiting: Option<Notice>,
}

impl Outlet {
    /// Gives what there is room for.
    fn exchange(&mut self, engine: &mut Engine<Sockets>) {
        while let Some(notice) = self.waiting.take().or_else(|| engine.next_notice()) {
            if let Err(TrySendError::Full(notice)) = self.give.try_send(notice) {
                self.waiting = Some(notice);
                break;
            }
        }
    }
}
