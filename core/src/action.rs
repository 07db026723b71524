//! What a node wants done: the exhaustive list that every shell carries out, in order (C4).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::{Notice, OpId, PipeId};

/// One thing for the shell to do. Deliberately exhaustive: a new action breaks every shell at compile time.
///
/// Carry actions out in the order in which [`Node::poll`](crate::Node::poll) gives them; answers come back as
/// [`Event`](crate::Event)s, in any order unless said otherwise.
#[doc(alias = "Output")]
#[doc(alias = "Transmit")]
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Send one datagram. What cannot be sent is dropped and counted by the shell; nothing is answered.
    SendDatagram {
        /// From which socket, to whom.
        path: Path,
        /// The bytes, at most 1,200.
        packet: Packet,
    },
    /// Open a byte pipe. Answer: `PipeOpened` with this `op`, or `ConnectFailed`.
    Connect {
        /// Names the attempt.
        op: OpId,
        /// Where to.
        to: SocketAddr,
        /// Bind the listening port for it, so that a NAT maps it alike (simultaneous open).
        from_listening_port: bool,
    },
    /// Write to a pipe. At most one per pipe is outstanding; answer: `PipeWritten`, once all of it is handed over.
    Write {
        /// To which pipe.
        pipe: PipeId,
        /// The bytes; give the buffer back with [`Node::recycle`](crate::Node::recycle).
        packet: Packet,
    },
    /// Close a pipe after its earlier writes, within a second. Answer: its one `PipeClosed`.
    Close {
        /// Which pipe.
        pipe: PipeId,
    },
    /// Look a host name up. Answer: `Resolved`.
    Resolve {
        /// Names the question.
        op: OpId,
        /// The name, at most 253 bytes.
        name: String,
        /// The port that goes with each address of the answer.
        port: u16,
    },
    /// Write a batch, all of it or nothing. Batches become durable in the order issued. Answer: `Stored`.
    Store {
        /// Names the batch; `Stored` acknowledges it and all before it.
        op: OpId,
        /// The changes.
        batch: Batch,
        /// `true`: answer only when it survives a loss of power. `false`: soft state, no sync needed.
        durable: bool,
    },
    /// Read a range of keys in order. Answer: `Loaded`, a page of at most `limit` items.
    Load {
        /// Names the question.
        op: OpId,
        /// First key, inclusive.
        from: Vec<u8>,
        /// Last key, exclusive.
        to: Vec<u8>,
        /// How many items at most.
        limit: u32,
    },
    /// Tell the application. Answer: `Taken`, when it has come back for more.
    Notify {
        /// What happened.
        notice: Notice,
    },
}

/// Where a datagram travels: the shell's socket and the other end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Path {
    /// The shell's own address that it came to or leaves from.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// Bytes on their way out. Opaque, so that buffers can be kept and used again.
#[derive(PartialEq, Eq, Default)]
pub struct Packet(Vec<u8>);

impl Packet {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) const fn from_vec(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

/// For machines beside core that speak in [`Action`]s, too.
impl From<Vec<u8>> for Packet {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Packet> for Vec<u8> {
    fn from(packet: Packet) -> Self {
        packet.0
    }
}

impl AsRef<[u8]> for Packet {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Packet {
    /// The length only: packets may hold what nobody else should read (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({} bytes)", self.0.len())
    }
}

/// Changes that are stored together or not at all.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Batch {
    /// In the order in which they apply; a later change of a key beats an earlier one.
    pub changes: Vec<Change>,
}

impl Batch {
    /// Adds a value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.changes.push(Change { key: key.into(), value: Some(value.into()) });
    }

    /// Removes a key; fine if it is not there.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.changes.push(Change { key: key.into(), value: None });
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Debug for Batch {
    /// How many changes: values hold secrets (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} changes)", self.changes.len())
    }
}

/// One key's new value, or its removal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The key: at most 256 bytes, ordered bytewise.
    #[serde(with = "crate::id::base64_vec")]
    pub key: Vec<u8>,
    /// The value, or `None` to remove it.
    #[serde(with = "crate::id::base64_option")]
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Change({} byte key)", self.key.len())
    }
}

/// One stored key and its value, as a `Loaded` page holds them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The key.
    #[serde(with = "crate::id::base64_vec")]
    pub key: Vec<u8>,
    /// The value.
    #[serde(with = "crate::id::base64_vec")]
    pub value: Vec<u8>,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Item({} byte key)", self.key.len())
    }
}
