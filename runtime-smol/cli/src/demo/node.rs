//! A node of the demo: one application, run unchanged by either runtime, on a thread of its own.

use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::ValueEnum;
use overcom_core::trace::Journal;
use overcom_core::{
    App, AppCx, AppId, Command, CommandError, Config, Credentials, DELEGATION_MS_DEFAULT, Delegation, DeviceKeys, IdentitySecret, Node,
    Notice, Rng, Saved, Tag, UserId,
};
use overcom_std::sockets::{self, Bound};
use overcom_std::{Clock, MemoryStore, Setup, entropy, seed};

/// Which of the two runs the nodes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// A loop on mio.
    Mio,
    /// A future on smol.
    Smol,
}

impl Runtime {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mio => "mio",
            Self::Smol => "smol",
        }
    }
}

/// What a node's thread tells the one that conducts.
pub(crate) enum News {
    /// Its application was told something.
    Told(usize, Notice),
    /// More happened.
    Journal(usize, Journal),
}

/// The application of all three: it puts whom it knows into the address book and passes on what it is told.
struct Talker {
    place: usize,
    knows: Option<(UserId, SocketAddr)>,
    news: Sender<News>,
}

impl App for Talker {
    fn on_start(&mut self, cx: &mut AppCx<'_>, _: Saved) {
        if let Some((user, address)) = self.knows {
            // Whoever could not be introduced is not found, and that is told.
            let _ = cx.command(Command::introduce(user, [address.into()]));
        }
    }

    fn on_notice(&mut self, _: &mut AppCx<'_>, notice: Notice) {
        // Nobody listens any more when the demo was given up.
        let _ = self.news.send(News::Told(self.place, notice));
    }
}

/// A node that is bound and does not run yet.
pub(crate) struct Draft {
    pub(crate) name: &'static str,
    pub(crate) user: UserId,
    pub(crate) at: SocketAddr,
    bound: Bound,
    credentials: Credentials,
}

impl Draft {
    /// With a new identity that nobody keeps, on a free port of loopback.
    pub(crate) fn new(name: &'static str, clock: &Clock) -> io::Result<Self> {
        let identity = IdentitySecret::from_bytes(entropy()?);
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&seed()?));
        let app = AppId::new("demo").map_err(io::Error::other)?;
        let now = clock.wall();
        let grant = keys.grant(app, now, now + Duration::from_millis(DELEGATION_MS_DEFAULT));
        let credentials = keys.credentials(Delegation::sign(&identity, &grant).map_err(io::Error::other)?);
        // Machines without IPv6 have no ::1.
        let bound = sockets::bind((Ipv6Addr::LOCALHOST, 0).into()).or_else(|_| sockets::bind((Ipv4Addr::LOCALHOST, 0).into()))?;
        Ok(Self { name, user: identity.user(), at: bound.local, bound, credentials })
    }

    /// Runs it on a thread of its own.
    pub(crate) fn start(
        self,
        runtime: Runtime,
        place: usize,
        knows: Option<(UserId, SocketAddr)>,
        clock: Clock,
        news: Sender<News>,
    ) -> io::Result<Running> {
        let (recording, shown) = (Recording::default(), news.clone());
        let setup = Setup::new(self.bound, Config::desktop(), self.credentials)
            .name(self.name)
            .clock(clock)
            .record(recording.clone())
            .watch(Journal::new(self.name), move |journal| drop(shown.send(News::Journal(place, journal.clone()))));
        let (app, store) = (Talker { place, knows, news }, MemoryStore::new());
        let (handle, thread) = match runtime {
            Runtime::Mio => {
                let mut runtime = overcom_mio::AppRuntime::start_app(setup, store, app)?;
                let handle = Handle::Mio(runtime.handle());
                let run = move || {
                    while runtime.step(Duration::MAX)? {}
                    Ok(())
                };
                (handle, spawn(self.name, run)?)
            }
            Runtime::Smol => {
                let (handle, running) = overcom_smol::run_app(setup, store, app)?;
                (Handle::Smol(handle), spawn(self.name, move || smol::block_on(running))?)
            }
        };
        Ok(Running { handle, thread, recording })
    }
}

/// A node that runs.
pub(crate) struct Running {
    handle: Handle,
    thread: JoinHandle<io::Result<()>>,
    recording: Recording,
}

enum Handle {
    Mio(overcom_mio::Handle),
    Smol(overcom_smol::Handle),
}

impl Running {
    /// Asks the node for something, and waits for its answer.
    pub(crate) fn command(&self, command: impl Into<Command>) -> Result<Tag, CommandError> {
        match &self.handle {
            Handle::Mio(handle) => handle.command(command),
            Handle::Smol(handle) => smol::block_on(handle.send(command)),
        }
    }

    /// What `look` makes of the node, once every earlier turn of it has told its news.
    pub(crate) fn look<R: Send + 'static>(&self, look: impl FnOnce(&Node) -> R + Send + 'static) -> Result<R, CommandError> {
        match &self.handle {
            Handle::Mio(handle) => handle.look(look),
            Handle::Smol(handle) => smol::block_on(handle.look(look)),
        }
    }

    /// Asks it to stop. One that has stopped by itself says why when it is awaited.
    pub(crate) fn stop(&self) {
        let _ = match &self.handle {
            Handle::Mio(handle) => handle.stop(),
            Handle::Smol(handle) => handle.stop(),
        };
    }

    /// Waits for its end, and gives what it recorded.
    pub(crate) fn end(self) -> io::Result<Vec<u8>> {
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a node panicked")))?;
        Ok(std::mem::take(&mut *self.recording.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn spawn(name: &str, run: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}

/// A recording in RAM: the demo is short.
#[derive(Clone, Default)]
struct Recording(Arc<Mutex<Vec<u8>>>);

impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
