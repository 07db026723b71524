//! What may be looked at without a round trip: plain values in a stable order, all of them [`Serialize`].

mod dht;
mod explain;

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use serde::Serialize;

pub use dht::*;
pub use explain::Waiting;

use crate::{
    Address, CloseReason, ConnectError, DeviceId, Entry, FailReason, InvitationId, Keep, LinkPeer, NodeKey, Peer, PipeId, ResolveError,
    Tag, Time, UserId, Wake, WallTime,
};

/// A link that is up.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct LinkView {
    /// The other end.
    pub with: LinkPeer,
    /// The pipe under it.
    pub pipe: PipeId,
    /// The other end's address.
    pub remote: SocketAddr,
    /// Whether this side dialled.
    pub dialled: bool,
    /// Since when.
    pub since: Time,
    /// The last measured round trip, if one was measured.
    pub rtt: Option<Duration>,
    /// Messages that were sent on it and are not acknowledged.
    pub unacknowledged: u32,
    /// When the other end's delegation ends (user links).
    pub until: Option<WallTime>,
}

/// A message that is not delivered yet: one for each receiving device.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct OutboxView {
    /// The `Send`.
    pub tag: Tag,
    /// To whom.
    pub to: UserId,
    /// To which device, once one is known.
    pub device: Option<DeviceId>,
    /// Its type.
    pub kind: alloc::string::String,
    /// Where it is kept.
    pub keep: Keep,
    /// How often it was tried.
    pub tries: u32,
    /// Whether it is on its way on a link.
    pub sent: bool,
}

/// An invitation of this node that has not ended. Holds no secret (C12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct InvitationView {
    /// Which one.
    pub id: InvitationId,
    /// When it ends.
    pub until: WallTime,
    /// Who has used it; `None`: nobody yet.
    pub used_by: Option<UserId>,
}

/// A peer to enter the network by, and how it goes with it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct EntryView {
    /// Which one.
    pub entry: Entry,
    /// Whether it is linked now, by a link that this node dialled.
    pub linked: bool,
    /// How the last attempt ended, in this life; of one that was linked and is not any more, how its link ended.
    pub attempt: Option<Attempt>,
}

/// Everything that was tried to reach a user, and what came of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whom.
    pub user: UserId,
    /// When this was so.
    pub now: Time,
    /// Devices that are linked now.
    pub linked: Vec<DeviceId>,
    /// Devices that have proven themselves before.
    pub known: Vec<DeviceId>,
    /// Each known address and its last attempt, in the order to try them.
    pub addresses: Vec<AddressView>,
    /// The last searches, oldest first.
    pub searches: Vec<SearchView>,
    /// The last time that the DHT was asked for them, and what it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_up: Option<LookUpView>,
    /// Each address that it named then, with its last attempt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub located: Vec<AddressView>,
    /// How many messages wait for them.
    pub waiting: u32,
    /// What they wait for, each once; of a message for several devices, each device's.
    pub why: Vec<Waiting>,
    /// When they are tried next.
    pub next_try: Option<Time>,
    /// What the last message or find to them failed of.
    pub last_failure: Option<FailReason>,
}

impl Explanation {
    /// Nothing is known of `user`.
    pub(crate) const fn nothing(user: UserId, now: Time) -> Self {
        Self {
            user,
            now,
            linked: Vec::new(),
            known: Vec::new(),
            addresses: Vec::new(),
            searches: Vec::new(),
            look_up: None,
            located: Vec::new(),
            waiting: 0,
            why: Vec::new(),
            next_try: None,
            last_failure: None,
        }
    }
}

/// An address and its last attempt.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct AddressView {
    /// The address.
    pub address: Address,
    /// The last attempt.
    pub attempt: Option<Attempt>,
}

/// One attempt to dial.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Attempt {
    /// When it ended.
    pub at: Time,
    /// How.
    pub outcome: AttemptOutcome,
}

/// How an attempt to dial ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// A link came of it.
    Linked,
    /// No pipe came of it.
    NotConnected(ConnectError),
    /// The name has no address.
    NotResolved(ResolveError),
    /// A pipe came of it, and ended before the other end was proven.
    Closed(CloseReason),
}

/// One search and what is known of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct SearchView {
    /// When it went out.
    pub at: Time,
    /// How many peers it was given to.
    pub asked: u32,
    /// What they answered: 200 the user will dial back, 202 passed on, 404 nobody knows them, 429 too many searches.
    pub status: Option<u16>,
}

/// Counters since the node was made. Names are public and only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Messages of this node's application that a peer acknowledged, per device.
    pub messages_delivered: u64,
    /// Messages that gave up.
    pub messages_failed: u64,
    /// Messages handed to this node's application.
    pub messages_received: u64,
    /// Messages that came again and were not handed over again.
    pub messages_repeated: u64,
    /// Links that came up.
    pub links_up: u64,
    /// Pipes that ended before the other end was proven.
    pub pipes_refused: u64,
    /// Pipes that were closed at once because too many are unproven.
    pub pipes_overflow: u64,
    /// Links that were closed for what the other end sent.
    pub faults: u64,
    /// Records opened.
    pub records_in: u64,
    /// Records sealed.
    pub records_out: u64,
    /// Lines understood.
    pub lines_in: u64,
    /// Searches passed on.
    pub searches_passed: u64,
    /// Searches not passed on: seen, over budget, or nobody to ask.
    pub searches_dropped: u64,
    /// Answers to searches that their sender was not asked, or that came too late or twice.
    pub search_answers_dropped: u64,
    /// Revocations and delegations that were not verified since their link had no units left.
    pub over_budget: u64,
    /// Dials for other people's searches that were refused by the rules.
    pub dials_refused: u64,
    /// Datagrams that nobody here wants.
    pub datagrams_dropped: u64,
    /// Events for pipes or operations that are not there, or while starting.
    pub events_dropped: u64,
    /// How often `now` went back and was clamped (C2).
    pub clock_went_back: u64,
    /// Notices dropped because the application takes none. Messages are never dropped.
    pub notices_dropped: u64,
    /// Ed25519 verifications done.
    pub signatures_checked: u64,
    /// Joins that this node refused: unknown, ended or used invitations, and wrong proofs.
    pub joins_refused: u64,
    /// Answers to joins that nobody waited for.
    pub join_answers_dropped: u64,
    /// Datagrams of the DHT that came.
    pub dht_in: u64,
    /// Bytes of datagrams of the DHT that came.
    pub dht_bytes_in: u64,
    /// Bytes of datagrams of the DHT that went.
    pub dht_bytes_out: u64,
    /// Requests of the DHT that others sent.
    pub dht_requests_in: u64,
    /// Requests of the DHT that this node sent, repetitions included.
    pub dht_requests_out: u64,
    /// Of others' requests: answered.
    pub dht_replies_out: u64,
    /// Of others' requests: refused, or left without an answer.
    pub dht_refused: u64,
    /// Datagrams that are none of the DHT's, or answer nothing that was asked.
    pub dht_dropped: u64,
    /// Own requests that met an answer.
    pub dht_answered: u64,
    /// Own requests that others refused.
    pub dht_denied: u64,
    /// Own requests that met none, twice.
    pub dht_missed: u64,
    /// Own requests that were not sent, to speak to fewer new addresses.
    pub dht_held_back: u64,
    /// Ids and hints that do not fit their addresses.
    pub dht_unfit: u64,
    /// Records that do not count: wrongly signed, over, of elsewhere, or older than what was known.
    pub dht_records_refused: u64,
    /// Stored items of the DHT that were of another format, damaged or too many, and left out.
    pub dht_items_refused: u64,
}

/// A whole node at a glance, for snapshots and support. Holds no secret and no payload (C12).
///
/// Its JSON has no fraction and no map without an order, so that the same state is the same text. Names of fields are under
/// semantic versioning; fields may be added. It holds ids, addresses and times: redact those in a snapshot (`.**.rtt`,
/// `.**.remote`, `.stats`), or take a simulation, where they are the same each time.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// This node's user and device.
    pub me: Peer,
    /// Its service links' key, once it is read or drawn.
    pub node: Option<NodeKey>,
    /// `starting`, `running`, `suspended`, `expired`, or `stopped`.
    pub phase: Phase,
    /// The links.
    pub links: Vec<LinkView>,
    /// Pipes whose other end is not proven.
    pub pipes_pending: u32,
    /// The messages that are not delivered.
    pub outbox: Vec<OutboxView>,
    /// Users in the address book.
    pub book: Vec<UserId>,
    /// Its entry peers, in the order in which they were named.
    pub entries: Vec<EntryView>,
    /// Its invitations that have not ended.
    pub invitations: Vec<InvitationView>,
    /// Its DHT, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dht: Option<DhtView>,
    /// What the deadline is for.
    pub wake: Wake,
    /// The counters.
    pub stats: Stats,
}

/// Where a node is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Reading its state.
    Starting,
    /// At work.
    Running,
    /// Closing links and storing; `Quiet` follows.
    Suspending,
    /// Asleep until `Event::Addresses`.
    Suspended,
    /// Its delegation has ended.
    Expired,
    /// Its storage failed (C11).
    Stopped,
}
