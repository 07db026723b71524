//! Datagrams: one JSON object each, read without a tree and written by hand (spec: DHT-10).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::key::{Hint, Key};
use super::proof::{Cookie, Hello, Token};
use crate::error::WireError;
use crate::id::{DeviceId, NodeKey, array_from_base64};

mod read;
mod write;

pub(crate) use read::read;
pub(crate) use write::{Asker, write_error, write_knock, write_reply, write_request};

/// No datagram is longer, whoever sends it: it passes every network in one piece (spec: DHT-10).
pub(crate) const DATAGRAM_BYTES_MAX: usize = 1_200;
/// How long a ping without `to` is made (spec: DHT-14).
pub(crate) const PING_BYTES: usize = 200;
/// How long a probe and a knock are, so that nobody is sent more than a part of it.
pub(crate) const ERRAND_BYTES: usize = 240;
/// How many nodes, and how many devices, a reply names at most; what is said beyond is not read (spec: DHT-13).
pub(crate) const LISTED_MAX: usize = 8;
/// The longest time that `busy` asks for, in seconds (spec: DHT-13).
pub(crate) const WAIT_SECS_MAX: u64 = 60;

/// What was read, or is to be written.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Datagram<'a> {
    /// What stands in all kinds.
    pub(crate) head: Head,
    pub(crate) body: Body<'a>,
}

/// What stands in front of every datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    /// Which question it is, or answers.
    pub(crate) exchange: Exchange,
    /// The sender's id, if it serves.
    pub(crate) id: Option<Key>,
    /// The one that the other side gave, or, in a reply, one for the other side.
    pub(crate) cookie: Option<Cookie>,
}

/// One of the three kinds of datagrams.
#[derive(PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, for as long as one datagram is looked at")]
pub(crate) enum Body<'a> {
    Request(Request<'a>),
    Reply(Reply<'a>),
    Denied(Denied),
}

/// What a question is known by: eight random bytes, drawn for each datagram that asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Exchange([u8; 8]);

impl Exchange {
    pub(crate) const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// Which records are meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Where a device is.
    Address,
    /// Whose it is, and its key for mail.
    Device,
    /// What was taken back.
    Revocation,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Address, Self::Device, Self::Revocation];

    /// Its word on the wire.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Device => "device",
            Self::Revocation => "revocation",
        }
    }
}

/// A device in a datagram: the first eight bytes of its id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct DeviceHint([u8; 8]);

impl DeviceHint {
    /// The hint of a device.
    pub(crate) const fn of(device: DeviceId) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *device.as_bytes();
        Self([a, b, c, d, e, f, g, h])
    }

    const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    fn from_text(text: &str) -> Result<Self, WireError> {
        array_from_base64(text).map(Self)
    }
}

/// A question (spec: DHT-13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Request<'a> {
    /// Are you there? With `to`, only who has this hint answers.
    Ping { to: Option<Hint> },
    /// Which nodes do you know near the target?
    Find { target: Key, is_fair: bool },
    /// And what lies there? `known` is the number of what the asker has.
    Get { target: Key, kind: Kind, device: Option<DeviceHint>, known: Option<u64>, write: bool, is_fair: bool },
    /// Keep this record. `record` is JSON, as it stands.
    Put { target: Key, kind: Kind, token: Option<Token>, record: &'a str, carry: bool },
    /// Prove your key, to this X25519 key.
    Hello { challenge: [u8; 32] },
    /// Let somebody else knock at my address.
    Probe,
    /// Ping this address.
    Knock { at: SocketAddr },
}

impl Request<'_> {
    /// What it is answered with.
    pub(crate) const fn word(&self) -> Word {
        match self {
            Self::Ping { .. } => Word::Ping,
            Self::Find { .. } => Word::Find,
            Self::Get { .. } => Word::Get,
            Self::Put { .. } => Word::Put,
            Self::Hello { .. } => Word::Hello,
            Self::Probe => Word::Probe,
            Self::Knock { .. } => Word::Knock,
        }
    }

    /// How long it is made, so that as much may come back: `None` if it stays as it is (spec: DHT-14).
    fn bytes_min(&self, to: SocketAddr, is_proven: bool) -> Option<usize> {
        let by_family = |v4, v6| if to.is_ipv4() { v4 } else { v6 };
        match self {
            Self::Ping { to: None } => Some(PING_BYTES),
            Self::Probe | Self::Knock { .. } => Some(ERRAND_BYTES),
            Self::Get { known: Some(_), .. } if !is_proven => Some(by_family(272, 288)),
            Self::Find { .. } | Self::Get { .. } if !is_proven => Some(by_family(416, 456)),
            Self::Ping { .. } | Self::Find { .. } | Self::Get { .. } | Self::Put { .. } | Self::Hello { .. } => None,
        }
    }
}

/// What is asked, as a request and its reply say it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Ping,
    Find,
    Get,
    Put,
    Hello,
    Probe,
    Knock,
}

impl Word {
    const ALL: [Self; 7] = [Self::Ping, Self::Find, Self::Get, Self::Put, Self::Hello, Self::Probe, Self::Knock];

    const fn text(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Find => "find",
            Self::Get => "get",
            Self::Put => "put",
            Self::Hello => "hello",
            Self::Probe => "probe",
            Self::Knock => "knock",
        }
    }
}

/// A reply (spec: DHT-13).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) answer: Answer<'a>,
    /// Nodes near the target, nearest first.
    pub(crate) nodes: Few<Contact>,
    /// Where the request came from.
    pub(crate) seen: Option<SocketAddr>,
    /// Where the sender serves in the other family.
    pub(crate) other: Option<SocketAddr>,
}

impl<'a> Reply<'a> {
    /// One without anything beside the answer.
    pub(crate) const fn new(answer: Answer<'a>) -> Self {
        Self { answer, nodes: Few::NONE, seen: None, other: None }
    }

    /// What it answers.
    pub(crate) const fn word(&self) -> Word {
        match &self.answer {
            Answer::Ping => Word::Ping,
            Answer::Find => Word::Find,
            Answer::Get(_) => Word::Get,
            Answer::Put { .. } => Word::Put,
            Answer::Hello { .. } => Word::Hello,
            Answer::Probe => Word::Probe,
            Answer::Knock => Word::Knock,
        }
    }
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "it lives on the stack, for as long as one datagram is looked at")]
pub(crate) enum Answer<'a> {
    Ping,
    Find,
    Get(Got<'a>),
    /// The number of what is held now.
    Put {
        sequence: u64,
    },
    Hello {
        key: NodeKey,
        proof: Hello,
    },
    Probe,
    Knock,
}

/// What lies at a target.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Got<'a> {
    /// JSON of the kind that was asked for, as it stands.
    pub(crate) record: Option<&'a str>,
    /// The devices that have a record of this kind there: those that are bound there first, each part newest first.
    pub(crate) index: Option<Few<Listed>>,
    /// How many of the first of these are bound there.
    pub(crate) bound: u64,
    /// The version of the revocation that is held.
    pub(crate) revoked: Option<u64>,
    /// What lets the asker write there.
    pub(crate) token: Option<Token>,
    /// Something found no room: ask again with the cookie.
    pub(crate) more: bool,
}

impl Got<'_> {
    /// Puts those devices first that are bound there.
    pub(crate) fn set_bound(&mut self, is_bound: impl Fn(DeviceHint) -> bool) {
        let Some(index) = &mut self.index else { return };
        let (bound, others): (Vec<Listed>, Vec<Listed>) = index.iter().copied().partition(|listed| is_bound(listed.device));
        self.bound = u64::try_from(bound.len()).unwrap_or_default();
        *index = bound.into_iter().chain(others).collect();
    }
}

/// A node that is named to somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Contact {
    pub(crate) hint: Hint,
    pub(crate) at: SocketAddr,
}

/// A device with a record, and the number by which newer ones are told (spec: DHT-35).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) device: DeviceHint,
    pub(crate) number: u64,
}

/// Why a request was not done (spec: DHT-16).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Denied {
    /// The token is missing or does not hold.
    Token,
    /// No device record that counts is held: put it first.
    Device,
    /// A newer one with this number is held.
    Old { sequence: u64 },
    /// There is no room.
    Full,
    /// The target is too far away, or the record is for elsewhere.
    Far,
    /// More than ten minutes off, or over.
    Clock,
    /// Ask again after so many seconds.
    Busy { wait: u64 },
}

impl Denied {
    const fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Device => "device",
            Self::Old { .. } => "old",
            Self::Full => "full",
            Self::Far => "far",
            Self::Clock => "clock",
            Self::Busy { .. } => "busy",
        }
    }
}

/// How many nodes a reply to `to` names: fewer to who is proven beside a record or the names of devices, so that it stays short
/// (spec: DHT-15).
pub(crate) const fn nodes_max(to: SocketAddr, is_beside: bool) -> usize {
    match (to.is_ipv4(), is_beside) {
        (true, false) => 7,
        (true, true) => 4,
        (false, false) => 5,
        (false, true) => 3,
    }
}

/// At most [`LISTED_MAX`] things, in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Few<T>([Option<T>; LISTED_MAX]);

impl<T> Few<T> {
    /// Nothing.
    pub(crate) const NONE: Self = Self([const { None }; LISTED_MAX]);

    /// Adds one at the end; `false` if there is no room.
    pub(crate) fn push(&mut self, item: T) -> bool {
        let room = self.0.iter_mut().find(|slot| slot.is_none());
        room.map(|slot| *slot = Some(item)).is_some()
    }

    /// All, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> FromIterator<T> for Few<T> {
    /// What is beyond the eighth is left out.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::NONE;
        for item in items {
            if !few.push(item) {
                break;
            }
        }
        few
    }
}

#[cfg(test)]
mod tests;
