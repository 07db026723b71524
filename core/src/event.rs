//! What a shell tells a node. The duties that go with each event are the table in the crate's documentation.

use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{Change, ConnectError, Item, OpId, Path, PipeId, ResolveError, StoreError, WallTime};

/// One thing that happened. Bytes are borrowed for the call only (C10); [`Node::handle`](crate::Node::handle) cannot fail (C3).
#[doc(alias = "Input")]
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The deadline has come, or the shell just looks in: not a beat, it may be early (nothing happens) or late (C6, C7).
    #[doc(alias = "handle_timeout")]
    Tick,
    /// A datagram arrived.
    #[non_exhaustive]
    Datagram {
        /// Where it came to and from.
        path: Path,
        /// All of it.
        bytes: &'a [u8],
    },
    /// A pipe is open, asked for by `op` or by the other end (`None`).
    #[non_exhaustive]
    PipeOpened {
        /// The shell's number for it.
        pipe: PipeId,
        /// The `Connect` that asked for it.
        op: Option<OpId>,
        /// This end.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// Bytes came out of a pipe.
    #[non_exhaustive]
    PipeBytes {
        /// Which pipe.
        pipe: PipeId,
        /// Any number of bytes in order.
        bytes: &'a [u8],
    },
    /// The pipe's outstanding `Write` is handed over: credit for the next.
    #[non_exhaustive]
    PipeWritten {
        /// Which pipe.
        pipe: PipeId,
    },
    /// A pipe has ended, whoever ended it; exactly once for each pipe that was opened.
    #[non_exhaustive]
    PipeClosed {
        /// Which pipe.
        pipe: PipeId,
    },
    /// A `Connect` came to nothing.
    #[non_exhaustive]
    ConnectFailed {
        /// Which one.
        op: OpId,
        /// Why, as far as the shell can tell.
        why: ConnectError,
    },
    /// Where the shell listens now. Say it at the start, whenever it changes, and after a suspension. Of several addresses of one
    /// family the DHT stands at that of before, if it is still among them, else at the first.
    #[non_exhaustive]
    Addresses {
        /// Every address on which others may reach this node, with the listening port; wildcards are ignored.
        local: &'a [SocketAddr],
        /// All sockets are new: every pipe is gone, no `PipeClosed` follows for them.
        rebound: bool,
    },
    /// What the wall clock says. Say it at least once a minute and after every change or sleep.
    #[non_exhaustive]
    Clock {
        /// The wall clock.
        wall: WallTime,
    },
    /// Fresh entropy, mixed into the generator. Optional.
    #[non_exhaustive]
    Entropy {
        /// From the operating system.
        bytes: &'a [u8; 32],
    },
    /// The answer to `Resolve`.
    #[non_exhaustive]
    Resolved {
        /// Which question.
        op: OpId,
        /// The addresses in the order to try them, or why there are none.
        outcome: Result<&'a [IpAddr], ResolveError>,
    },
    /// The answer to `Store`, for this batch and all before it. A failure stops the node (C11).
    #[non_exhaustive]
    Stored {
        /// The last batch that it speaks of.
        op: OpId,
        /// Whether it is stored.
        outcome: Result<(), StoreError>,
    },
    /// The answer to `Load`.
    #[non_exhaustive]
    Loaded {
        /// Which question.
        op: OpId,
        /// A page, or why there is none. A failure stops the node (C11).
        outcome: Result<Page<'a>, StoreError>,
    },
    /// The application has taken notices: the oldest `notices` that were notified and not yet taken.
    ///
    /// Acknowledgements and the peers' windows advance only with it. What the application wants saved goes into the
    /// same atomic batch as the marks of the messages that it took.
    #[non_exhaustive]
    Taken {
        /// How many.
        notices: u64,
        /// The application's own keys and values; see [`App`](crate::App).
        save: &'a [Change],
    },
    /// The application is through with notices that are no messages, behind an older one that it has not taken: so many in all,
    /// said anew whenever the number has changed. Optional: without it they count as waiting, and when too many do, further ones
    /// are dropped. `Taken` counts them in their turn all the same.
    #[non_exhaustive]
    Passed {
        /// How many of those that are not taken.
        notices: u64,
    },
}

/// Items in key order, and whether the range holds more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page<'a> {
    /// In key order.
    pub items: &'a [Item],
    /// Whether the limit cut the range.
    pub more: bool,
}

impl<'a> Event<'a> {
    /// A datagram arrived.
    pub const fn datagram(path: Path, bytes: &'a [u8]) -> Self {
        Self::Datagram { path, bytes }
    }

    /// A pipe is open.
    pub const fn pipe_opened(pipe: PipeId, op: Option<OpId>, local: SocketAddr, remote: SocketAddr) -> Self {
        Self::PipeOpened { pipe, op, local, remote }
    }

    /// Bytes came out of a pipe.
    pub const fn pipe_bytes(pipe: PipeId, bytes: &'a [u8]) -> Self {
        Self::PipeBytes { pipe, bytes }
    }

    /// The outstanding write is handed over.
    pub const fn pipe_written(pipe: PipeId) -> Self {
        Self::PipeWritten { pipe }
    }

    /// A pipe has ended.
    pub const fn pipe_closed(pipe: PipeId) -> Self {
        Self::PipeClosed { pipe }
    }

    /// A `Connect` came to nothing.
    pub const fn connect_failed(op: OpId, why: ConnectError) -> Self {
        Self::ConnectFailed { op, why }
    }

    /// Where the shell listens now.
    pub const fn addresses(local: &'a [SocketAddr], rebound: bool) -> Self {
        Self::Addresses { local, rebound }
    }

    /// What the wall clock says.
    pub const fn clock(wall: WallTime) -> Self {
        Self::Clock { wall }
    }

    /// Fresh entropy.
    pub const fn entropy(bytes: &'a [u8; 32]) -> Self {
        Self::Entropy { bytes }
    }

    /// The answer to `Resolve`.
    pub const fn resolved(op: OpId, outcome: Result<&'a [IpAddr], ResolveError>) -> Self {
        Self::Resolved { op, outcome }
    }

    /// The answer to `Store`.
    pub const fn stored(op: OpId, outcome: Result<(), StoreError>) -> Self {
        Self::Stored { op, outcome }
    }

    /// The answer to `Load`.
    pub const fn loaded(op: OpId, outcome: Result<Page<'a>, StoreError>) -> Self {
        Self::Loaded { op, outcome }
    }

    /// The application has taken notices.
    pub const fn taken(notices: u64, save: &'a [Change]) -> Self {
        Self::Taken { notices, save }
    }

    /// The application is through with notices behind an older one that it has not taken.
    pub const fn passed(notices: u64) -> Self {
        Self::Passed { notices }
    }
}

/// What the deadline is for: look at it when a node wakes more often than you expect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Wake {
    /// Nothing is due; only an outside event can matter.
    Nothing,
    /// A handshake may take too long.
    Handshake,
    /// A link may be silent for too long, or idle.
    KeepAlive,
    /// An acknowledgement is due.
    Acknowledge,
    /// What commands have to store is to be issued: at once.
    Store,
    /// What commands have to say to peers is to be sealed: at once.
    Say,
    /// A message is tried again or ends.
    Retry,
    /// An address is dialled again.
    Dial,
    /// A search is given up or forgotten.
    Search,
    /// A delegation or an invitation ends, or a renewal is due.
    Expiry,
    /// The DHT asks somebody, has waited long enough, or renews what it has published.
    Dht,
    /// The application's own deadline.
    App,
}
