//! What a runtime is told before it starts.

use std::fmt;
use std::io::{self, Write};
use std::net::ToSocketAddrs;

use overcom_core::{Config, Credentials};

use crate::sockets::{self, Bound};

/// A recording on its way to a file or anywhere else.
pub(crate) type Recording = Box<dyn Write + Send>;

/// What a runtime is started with.
pub struct Setup {
    pub(crate) bound: Bound,
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) recording: Option<Recording>,
}

impl Setup {
    /// A node on sockets that are bound already, for instance by [`sockets::bind_anywhere`].
    pub const fn new(bound: Bound, config: Config, credentials: Credentials) -> Self {
        Self { bound, config, credentials, recording: None }
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
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("local", &self.bound.local).finish_non_exhaustive()
    }
}
