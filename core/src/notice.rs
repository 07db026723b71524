//! What a node tells its application.

mod dht;

use alloc::vec::Vec;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use dht::DhtNotice;

use crate::{
    CloseReason, DeviceId, Entry, Invitation, InvitationId, Item, NodeKey, Peer, Received, SearchId, StoreError, StreamId, Tag, UserId,
    WallTime,
};

/// One thing that an application may want to know.
#[doc(alias = "Output")]
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// What the application had saved, in key order; before `Started`, one or more pages (the last is `more: false`).
    ///
    /// The next page is read once fewer than half of [`Config::notices_max`](crate::Config::notices_max) notices are not taken, so that no item is dropped.
    #[non_exhaustive]
    Restored {
        /// Keys and values as they were saved.
        items: Vec<Item>,
        /// Whether another page follows.
        more: bool,
    },
    /// The state is read: from now on commands are taken.
    #[non_exhaustive]
    Started {
        /// This node's user and device.
        me: Peer,
        /// The key of its service links.
        node: NodeKey,
    },
    /// A message from a verified peer.
    Message(Received),
    /// The message of this tag is stored: it survives a crash from now on.
    #[non_exhaustive]
    Queued {
        /// The `Send`.
        tag: Tag,
    },
    /// The message of this tag was taken by an application. The first time without a device, then once per device.
    #[non_exhaustive]
    Delivered {
        /// The `Send`.
        tag: Tag,
        /// `None`: the first of the user's devices has it. `Some`: this one has it.
        device: Option<DeviceId>,
    },
    /// The command of this tag came to nothing.
    #[non_exhaustive]
    Failed {
        /// The `Send`, `Find`, `Join` or `Locate`.
        tag: Tag,
        /// Why; `Node::explain` knows every attempt.
        why: FailReason,
    },
    /// After `CommandError::Full`: there is room again.
    Ready,
    /// The user of this tag's `Find` is linked.
    #[non_exhaustive]
    Found {
        /// The `Find`.
        tag: Tag,
        /// The user and the device that was found.
        peer: Peer,
    },
    /// The invitation of this tag is stored: hand its line to whom it is for. **It holds a secret.**
    #[non_exhaustive]
    Invited {
        /// The `Invite`.
        tag: Tag,
        /// See [`Invitation::to_secret_text`].
        invitation: Invitation,
    },
    /// The invitation of this tag was taken: both ends have each other in the address book, and are linked.
    #[non_exhaustive]
    Joined {
        /// The `Join`.
        tag: Tag,
        /// The device that took it.
        peer: Peer,
    },
    /// Somebody has used an invitation of this node, and is stored in the address book.
    #[non_exhaustive]
    JoinedBy {
        /// Who, with the device that came.
        peer: Peer,
        /// Which invitation.
        invitation: InvitationId,
    },
    /// A link is up: the other end is proven.
    #[non_exhaustive]
    LinkUp {
        /// The other end.
        with: LinkPeer,
        /// Its address.
        remote: SocketAddr,
        /// Whether this side dialled.
        dialled: bool,
    },
    /// A link has ended.
    #[non_exhaustive]
    LinkDown {
        /// The other end.
        with: LinkPeer,
        /// Why.
        why: CloseReason,
    },
    /// A pipe ended before the other end was proven.
    #[non_exhaustive]
    Refused {
        /// Its address.
        remote: SocketAddr,
        /// Whether this side dialled.
        dialled: bool,
        /// Why.
        why: CloseReason,
    },
    /// A peer looks for this node's user, and is dialled back (OC-57).
    #[non_exhaustive]
    Wanted {
        /// Who looks.
        by: Peer,
        /// The search.
        search: SearchId,
    },
    /// Messages of a peer were acknowledged by an earlier life of this device that this store does not remember.
    #[non_exhaustive]
    Gap {
        /// Whose messages.
        from: Peer,
        /// In which stream.
        stream: StreamId,
        /// The first number that is missing.
        first: u64,
        /// The last number that is missing.
        last: u64,
    },
    /// The delegation is half over, then nine tenths over: have the identity sign another (`overcom delegate`).
    #[non_exhaustive]
    RenewalDue {
        /// When it ends.
        until: WallTime,
    },
    /// A newer delegation is in force.
    #[non_exhaustive]
    Renewed {
        /// When it ends.
        until: WallTime,
    },
    /// The delegation has ended: links close, only `Renew` and `Suspend` are taken.
    Expired,
    /// A revocation that was not known names this very device: it can act no more.
    Revoked,
    /// An entry peer has another node key than the one remembered; the new one is remembered now.
    #[non_exhaustive]
    EntryChanged {
        /// Which entry.
        entry: Entry,
        /// The key it has now.
        key: NodeKey,
    },
    /// The DHT has something to tell: what a `Locate` has found, how this node stands, whether it was published.
    Dht(DhtNotice),
    /// Three peers agree that this node's wall clock is off.
    #[non_exhaustive]
    ClockOff {
        /// By how many milliseconds this node is ahead (negative: behind).
        ahead_ms: i64,
    },
    /// Another process uses this device's keys: their links replace each other's.
    #[non_exhaustive]
    Twin {
        /// The peer on whose link it showed.
        with: Peer,
    },
    /// Storage failed: the node refuses commands and promises nothing more (C11).
    #[non_exhaustive]
    Stopped {
        /// What the store said.
        why: StoreError,
    },
    /// After `Suspend`: everything is stored and closed; the process may be frozen.
    Quiet,
}

/// The proven other end of a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkPeer {
    /// A device of a user of the same app.
    User(Peer),
    /// An installation, of any app.
    Service(NodeKey),
}

/// Why a command came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// Nobody who was asked knows the user, and the address book has no address.
    NotFound,
    /// There are addresses, but nobody answers there.
    Unreachable,
    /// Whoever answers refuses, or is refused.
    Refused(CloseReason),
    /// A link was up, but the message was not acknowledged in its time.
    Unanswered,
    /// Its own life is over.
    Ended,
    /// It is longer than what the device that it is for reads.
    TooLong,
    /// `Forget` gave it up.
    Forgotten,
    /// The node's delegation ended meanwhile.
    Expired,
    /// Whoever invites does not know the invitation (any more).
    InvitationUnknown,
    /// Somebody else has used the invitation.
    InvitationUsed,
    /// The invitation's time is over.
    InvitationEnded,
    /// Nobody of the DHT answers, or nobody of it is known, and nobody else could be asked.
    NoNetwork,
}

impl FailReason {
    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => ("nobody who could be asked knows this user", "introduce an address, or link with somebody who knows them"),
            Self::Unreachable => ("the known addresses do not answer", "is the other device on? has its address changed?"),
            Self::Refused(why) => why.explain(),
            Self::Unanswered => ("a link was up but the message was not taken", "the other application may be stuck; send again"),
            Self::Ended => ("the message's own life is over", "send it again, with a longer life"),
            Self::TooLong => {
                ("the message is longer than what the other device reads", "send less at once; its line_bytes_max says how much")
            }
            Self::Forgotten => ("the user was forgotten", "introduce them again"),
            Self::Expired => ("this node's delegation has ended", "renew it: overcom delegate"),
            Self::InvitationUnknown => ("whoever invites does not know this invitation", "ask for another one"),
            Self::InvitationUsed => ("somebody else has used this invitation", "ask for another one, sent to nobody else"),
            Self::InvitationEnded => {
                ("the invitation's time is over by the clock of whoever invites", "set whichever clock is wrong, else ask for another one")
            }
            Self::NoNetwork => ("nobody of the network answers", "check the connection and the entry peers: overcom enter"),
        }
    }
}

impl core::fmt::Display for FailReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.explain().0)
    }
}

/// Who a notice is about, if it is about one user.
impl Notice {
    /// The user that this notice is about, if there is one.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::Message(received) => Some(received.from.user),
            Self::Found { peer, .. }
            | Self::Joined { peer, .. }
            | Self::JoinedBy { peer, .. }
            | Self::Wanted { by: peer, .. }
            | Self::Gap { from: peer, .. }
            | Self::Twin { with: peer } => Some(peer.user),
            Self::Dht(DhtNotice::Found { user, .. } | DhtNotice::RevocationFound { user }) => Some(*user),
            Self::LinkUp { with: LinkPeer::User(peer), .. } | Self::LinkDown { with: LinkPeer::User(peer), .. } => Some(peer.user),
            Self::LinkUp { with: LinkPeer::Service(_), .. }
            | Self::LinkDown { with: LinkPeer::Service(_), .. }
            | Self::Restored { .. }
            | Self::Started { .. }
            | Self::Queued { .. }
            | Self::Delivered { .. }
            | Self::Failed { .. }
            | Self::Invited { .. }
            | Self::Ready
            | Self::Refused { .. }
            | Self::RenewalDue { .. }
            | Self::Renewed { .. }
            | Self::Expired
            | Self::Revoked
            | Self::EntryChanged { .. }
            | Self::Dht(_)
            | Self::ClockOff { .. }
            | Self::Stopped { .. }
            | Self::Quiet => None,
        }
    }
}
