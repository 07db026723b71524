//! What a runtime is told before it starts.

use std::fmt;
use std::io::{self, Write};
use std::net::ToSocketAddrs;

use overcom_core::trace::Journal;
use overcom_core::{Config, Credentials};

use crate::Clock;
use crate::sockets::{self, Bound};

/// A recording on its way to a file or anywhere else.
pub(crate) type Recording = Box<dyn Write + Send>;

/// Sees a journal after every turn that added to it.
pub(crate) type Watch = Box<dyn FnMut(&Journal) + Send>;

/// What a runtime is started with.
pub struct Setup {
    pub(crate) bound: Bound,
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) recording: Option<Recording>,
    pub(crate) name: Option<String>,
    pub(crate) clock: Option<Clock>,
    pub(crate) watched: Option<(Journal, Watch)>,
}

impl Setup {
    /// A node on sockets that are bound already, for instance by [`sockets::bind_anywhere`].
    pub const fn new(bound: Bound, config: Config, credentials: Credentials) -> Self {
        Self { bound, config, credentials, recording: None, name: None, clock: None, watched: None }
    }

    /// A node on the first of these addresses; `[::]:0` takes both families and any port.
    ///
    /// # Errors
    /// As [`sockets::bind`]. A host name is looked up, which may block.
    pub fn bind(addr: impl ToSocketAddrs, config: Config, credentials: Credentials) -> io::Result<Self> {
        let local = addr.to_socket_addrs()?.next().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        Ok(Self::new(sockets::bind(local)?, config, credentials))
    }

    /// Records everything that goes into the node. **A recording holds the run's seed and the device's keys.** Default: off.
    #[must_use]
    pub fn record(mut self, recording: impl Write + Send + 'static) -> Self {
        self.recording = Some(Box::new(recording));
        self
    }

    /// The node's name in its recording. Default: `node`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The clock that the node is told of: with one for all nodes of a process, a ladder of their journals is in the
    /// order in which things happened. Default: one of its own.
    #[must_use]
    pub const fn clock(mut self, clock: Clock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Keeps a journal, to make ladders of, and shows it to `watch` at the end of every turn that added to it.
    ///
    /// `watch` is called on the engine's thread, which waits for it. Default: off.
    #[must_use]
    pub fn watch(mut self, journal: Journal, watch: impl FnMut(&Journal) + Send + 'static) -> Self {
        self.watched = Some((journal, Box::new(watch)));
        self
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("local", &self.bound.local).finish_non_exhaustive()
    }
}
