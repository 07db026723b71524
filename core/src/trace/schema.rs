//! The recording's lines, version 1: a header, then inputs in call order, digests of the outputs, and an end.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::config::Config;
use crate::id::{deserialize_base64, from_base64, serialize_base64};
use crate::{Change, Command, ConnectError, Event, Item, OpId, Page, Path, PipeId, ResolveError, StoreError, Time, WallTime};

/// The version of the recording's lines (spec: TRACE-1).
pub const TRACE_VERSION: u32 = 1;

/// This build of core: its version and a hash over its sources. Only the same build replays bit for bit (spec: TRACE-5).
pub const BUILD: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("OVERCOM_SOURCES"));

/// How every header begins, so that recordings can stand one after another in one file (spec: TRACE-1).
pub(crate) const HEADER_BEGIN: &str = "{\"overcom_trace\":";

/// The first line of a recording. It holds the seed and the device's keys: **whoever has it can read everything**.
#[derive(Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Header {
    /// The version of the lines.
    pub overcom_trace: u32,
    /// The build that recorded; see [`BUILD`].
    pub build: Box<str>,
    /// What drove the node: `mio`, `smol`, `simulator` or an embedder's own name.
    pub shell: Box<str>,
    /// The node's name for people.
    pub node: Box<str>,
    /// The crypto table's name.
    pub crypto: Box<str>,
    /// Always true: says to whoever opens the file that it holds secrets.
    pub secret: bool,
    pub(crate) start: Start,
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { overcom_trace, build, shell, node, crypto, secret: _, start: _ } = self;
        f.debug_struct("Header")
            .field("overcom_trace", overcom_trace)
            .field("build", build)
            .field("shell", shell)
            .field("node", node)
            .field("crypto", crypto)
            .finish_non_exhaustive()
    }
}

/// What the node was made from.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) config: Config,
    /// As in a key file.
    pub(crate) credentials: Box<RawValue>,
    #[serde(serialize_with = "serialize_base64", deserialize_with = "deserialize_base64")]
    pub(crate) seed: [u8; 32],
    pub(crate) now: Time,
    pub(crate) wall: WallTime,
}

/// Every line after the header.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Line<'a> {
    /// An event was handed in.
    Event {
        /// The `now` of the call.
        at: Time,
        /// What it was.
        #[serde(borrow)]
        is: RecordedEvent<'a>,
    },
    /// A command was handed in, whether it was taken or not.
    Command {
        /// The `now` of the call.
        at: Time,
        /// What it was.
        is: Cow<'a, Command>,
    },
    /// The running digest over the actions that were carried out so far.
    Digest(Digest<'a>),
    /// One action that was carried out; only when the recording was asked for outputs. Holds no secret.
    Action {
        /// When it was carried out.
        at: Time,
        /// Its number, from 1.
        number: u64,
        /// What it was, without bytes.
        is: Cow<'a, str>,
        /// The running digest after it.
        digest: Cow<'a, str>,
    },
    /// The recording is finished.
    End {
        /// Where it stands.
        digest: Digest<'a>,
        /// **Incomplete**: the buffer was full, and inputs after the last one recorded are missing.
        cut: bool,
    },
}

/// A digest and what it covers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Digest<'a> {
    /// How many inputs were recorded before.
    pub inputs: u64,
    /// How many actions it covers.
    pub actions: u64,
    /// XXH3-128 in hexadecimal (spec: TRACE-4).
    pub digest: Cow<'a, str>,
}

/// An [`Event`] that can be written down and read again, borrowed or owned.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the event of the same name, field by field")]
pub enum RecordedEvent<'a> {
    Tick,
    Datagram { path: Path, bytes: Bytes<'a> },
    PipeOpened { pipe: PipeId, op: Option<OpId>, local: SocketAddr, remote: SocketAddr },
    PipeBytes { pipe: PipeId, bytes: Bytes<'a> },
    PipeWritten { pipe: PipeId },
    PipeClosed { pipe: PipeId },
    ConnectFailed { op: OpId, why: ConnectError },
    Addresses { local: Cow<'a, [SocketAddr]>, rebound: bool },
    Clock { wall: WallTime },
    Entropy { bytes: Bytes<'a> },
    Resolved { op: OpId, outcome: Result<Cow<'a, [IpAddr]>, ResolveError> },
    Stored { op: OpId, outcome: Result<(), StoreError> },
    Loaded { op: OpId, outcome: Result<RecordedPage<'a>, StoreError> },
    Taken { notices: u64, save: Cow<'a, [Change]> },
    Passed { notices: u64 },
}

/// A [`Page`] that can be written down.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordedPage<'a> {
    /// In key order.
    pub items: Cow<'a, [Item]>,
    /// Whether the limit cut the range.
    pub more: bool,
}

/// Bytes that stand in JSON as base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes<'a>(pub Cow<'a, [u8]>);

impl fmt::Debug for Bytes<'_> {
    /// The length only (C12).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = from_base64(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
        Ok(Self(Cow::Owned(bytes)))
    }
}

impl<'a> RecordedEvent<'a> {
    /// Borrows everything from `event`; no byte is copied.
    pub const fn of(event: &Event<'a>) -> Self {
        match *event {
            Event::Tick => Self::Tick,
            Event::Datagram { path, bytes } => Self::Datagram { path, bytes: Bytes(Cow::Borrowed(bytes)) },
            Event::PipeOpened { pipe, op, local, remote } => Self::PipeOpened { pipe, op, local, remote },
            Event::PipeBytes { pipe, bytes } => Self::PipeBytes { pipe, bytes: Bytes(Cow::Borrowed(bytes)) },
            Event::PipeWritten { pipe } => Self::PipeWritten { pipe },
            Event::PipeClosed { pipe } => Self::PipeClosed { pipe },
            Event::ConnectFailed { op, why } => Self::ConnectFailed { op, why },
            Event::Addresses { local, rebound } => Self::Addresses { local: Cow::Borrowed(local), rebound },
            Event::Clock { wall } => Self::Clock { wall },
            Event::Entropy { bytes } => Self::Entropy { bytes: Bytes(Cow::Borrowed(bytes)) },
            Event::Resolved { op, outcome } => Self::Resolved {
                op,
                outcome: match outcome {
                    Ok(addresses) => Ok(Cow::Borrowed(addresses)),
                    Err(why) => Err(why),
                },
            },
            Event::Stored { op, outcome } => Self::Stored { op, outcome },
            Event::Loaded { op, outcome } => Self::Loaded {
                op,
                outcome: match outcome {
                    Ok(page) => Ok(RecordedPage { items: Cow::Borrowed(page.items), more: page.more }),
                    Err(why) => Err(why),
                },
            },
            Event::Taken { notices, save } => Self::Taken { notices, save: Cow::Borrowed(save) },
            Event::Passed { notices } => Self::Passed { notices },
        }
    }

    /// The event again; `None` when the entropy is not 32 bytes long, which no recorder writes.
    pub fn as_event(&self) -> Option<Event<'_>> {
        Some(match self {
            Self::Tick => Event::Tick,
            Self::Datagram { path, bytes } => Event::datagram(*path, &bytes.0),
            Self::PipeOpened { pipe, op, local, remote } => Event::pipe_opened(*pipe, *op, *local, *remote),
            Self::PipeBytes { pipe, bytes } => Event::pipe_bytes(*pipe, &bytes.0),
            Self::PipeWritten { pipe } => Event::pipe_written(*pipe),
            Self::PipeClosed { pipe } => Event::pipe_closed(*pipe),
            Self::ConnectFailed { op, why } => Event::connect_failed(*op, *why),
            Self::Addresses { local, rebound } => Event::addresses(local, *rebound),
            Self::Clock { wall } => Event::clock(*wall),
            Self::Entropy { bytes } => Event::entropy(bytes.0.as_ref().try_into().ok()?),
            Self::Resolved { op, outcome } => Event::resolved(*op, outcome.as_ref().map(AsRef::as_ref).map_err(|why| *why)),
            Self::Stored { op, outcome } => Event::stored(*op, *outcome),
            Self::Loaded { op, outcome } => {
                let page = outcome.as_ref().map(|page| Page { items: &page.items, more: page.more });
                Event::loaded(*op, page.map_err(|why| *why))
            }
            Self::Taken { notices, save } => Event::taken(*notices, save),
            Self::Passed { notices } => Event::passed(*notices),
        })
    }
}

impl fmt::Debug for RecordedEvent<'_> {
    /// As the event itself, which shows neither bytes nor values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Datagram { path, bytes } => write!(f, "Datagram({path:?}, {bytes:?})"),
            Self::PipeBytes { pipe, bytes } => write!(f, "PipeBytes({pipe:?}, {bytes:?})"),
            Self::Entropy { .. } => f.write_str("Entropy(..)"),
            Self::Tick
            | Self::PipeOpened { .. }
            | Self::PipeWritten { .. }
            | Self::PipeClosed { .. }
            | Self::ConnectFailed { .. }
            | Self::Addresses { .. }
            | Self::Clock { .. }
            | Self::Resolved { .. }
            | Self::Stored { .. }
            | Self::Loaded { .. }
            | Self::Taken { .. }
            | Self::Passed { .. } => match self.as_event() {
                Some(event) => fmt::Debug::fmt(&event, f),
                None => f.write_str("?"),
            },
        }
    }
}
