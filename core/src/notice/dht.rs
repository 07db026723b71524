//! What a DHT tells, in a node or alone.

use alloc::boxed::Box;
use core::net::SocketAddr;

use crate::id::{DeviceId, NodeKey, Tag, UserId};
use crate::identity::Delegation;
use crate::view::{DhtReach, DhtRecord, DhtStanding};

/// What a DHT tells.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum DhtNotice {
    /// A device that was looked for: where it is, or, without addresses, that it is nowhere.
    #[non_exhaustive]
    Found {
        /// The look-up.
        tag: Tag,
        /// Whose device.
        user: UserId,
        /// Which.
        device: DeviceId,
        /// Where to dial it, the best first.
        addresses: Box<[SocketAddr]>,
        /// Nodes that pass on to it: their keys, and where they are.
        relays: Box<[(NodeKey, SocketAddr)]>,
        /// The X25519 key under which mail for it is sealed, if its device record came with the answer.
        prekey: Option<Box<[u8; 32]>>,
        /// The record's number: milliseconds since 1970, or a little more.
        sequence: u64,
        /// Enough nodes agree; else it is the first answer, which may be older.
        is_final: bool,
        /// It is the copy that this node keeps itself, for others; nobody else has said that they have it. It may be older, and
        /// counts for nothing at the look-up's end.
        is_local: bool,
        /// Somebody who keeps the record says that the device has a link to it now: it is awake (spec: DHT-152).
        is_bound: bool,
    },
    /// A look-up has ended.
    #[non_exhaustive]
    Ended {
        /// Which.
        tag: Tag,
        /// Whether anybody else had anything.
        is_found: bool,
        /// Whether time ran out before all had answered who should.
        is_partial: bool,
    },
    /// A round of writing own records has ended.
    #[non_exhaustive]
    Published {
        /// Which.
        record: DhtRecord,
        /// From where the nodes that keep it can be reached.
        reach: DhtReach,
        /// How many have it now.
        acknowledged: u8,
        /// How many were to have it.
        of: u8,
        /// Whether these are enough to be found.
        is_enough: bool,
    },
    /// The node stands otherwise in a realm than before.
    #[non_exhaustive]
    Standing {
        /// 4 or 6.
        family: u8,
        /// From where the realm's addresses can be reached.
        reach: DhtReach,
        /// How.
        standing: DhtStanding,
    },
    /// Somebody may have surrounded a key that was looked for. Told once an hour for each key.
    EclipseSuspected,
    /// Somebody else publishes with this device's key: a copy of its files, or of a backup, runs elsewhere.
    Fork,
    /// The device's home has a newer delegation. A node takes it, and says [`Notice::Renewed`](crate::Notice::Renewed) instead.
    Renewed(Box<Delegation>),
    /// A user who is looked for has taken devices back that were not known to be; these are not dialled from now on.
    #[non_exhaustive]
    RevocationFound {
        /// Who.
        user: UserId,
    },
}
