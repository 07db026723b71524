//! What one node was asked, told and understood, in its own order: what ladders are made of.

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::observed::Observed;
use crate::{Action, Command, CommandError, DhtNotice, Event, FailReason, NodeKey, Notice, Peer, SearchId, Tag, Time, UserId};

/// How many entries a journal keeps before it drops the newer ones and counts them (guess: an hour of a busy demo).
pub const JOURNAL_ENTRIES_MAX: usize = 100_000;

/// One node's entries. Bounded, in memory, without payloads unless asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Journal {
    pub(crate) name: Box<str>,
    pub(crate) me: Option<Peer>,
    pub(crate) node: Option<NodeKey>,
    pub(crate) entries: Vec<Entry>,
    dropped: u64,
    entries_max: usize,
    payloads: bool,
}

/// One entry.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The node's time.
    pub at: Time,
    /// What it was.
    pub what: Happened,
}

/// What happened at a node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Happened {
    /// Its application asked for something.
    Asked {
        /// For what.
        what: Asked,
        /// The tag, if the command was taken.
        tag: Option<Tag>,
    },
    /// Its application was told something.
    Told(Told),
    /// It said or heard something on a link.
    Said(Observed),
    /// It took a step before there is a link.
    Did(Step),
}

/// A step towards a link, as far as ladders show it: without addresses (spec: TRACE-10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// It was told where it listens.
    Listens,
    /// It has a name looked up.
    LooksUp,
    /// It dials.
    Dials,
    /// A pipe that it dialled is open: its proof begins.
    Opened,
    /// Somebody else's pipe is open: their proof begins.
    Accepted,
    /// What it dialled came to nothing.
    Unanswered,
}

/// A command, as far as ladders show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Asked {
    /// Send a message.
    Send {
        /// To whom.
        to: UserId,
        /// Its type.
        kind: Box<str>,
        /// Its payload, if the journal keeps payloads.
        payload: Option<Box<str>>,
    },
    /// Find a user.
    Find(UserId),
    /// Put a user into the address book.
    Introduce(UserId),
    /// Take a user out of it.
    Forget(UserId),
    /// Set the entry peers.
    Enter,
    /// Renew the delegation.
    Renew,
    /// Take a revocation.
    Revoke,
    /// Make an invitation.
    Invite,
    /// Use an invitation by this user.
    Join(UserId),
    /// Say who is told where this device is.
    Publish,
    /// Look where a user's devices are.
    Locate(UserId),
    /// Withdraw an invitation.
    Withdraw,
    /// Go to sleep.
    Suspend,
}

/// A notice, as far as ladders show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Told {
    /// A message came.
    Got {
        /// From whom.
        from: Peer,
        /// Its type.
        kind: Box<str>,
        /// Its payload, if the journal keeps payloads.
        payload: Option<Box<str>>,
    },
    /// What this tag sent was taken, by the first device of the user.
    Delivered(Tag),
    /// What this tag asked for came to nothing.
    Failed(Tag, FailReason),
    /// The user of this tag's search is linked.
    Found(Tag, Peer),
    /// The invitation that this tag asked for is stored.
    Invited(Tag),
    /// The invitation of this tag was taken.
    Joined(Tag, Peer),
    /// Somebody has used an invitation of this node.
    JoinedBy(Peer),
    /// The DHT knows where a device is, or that it is nowhere.
    Located(Peer),
    /// A pipe ended before the other end was proven.
    Refused(crate::CloseReason),
    /// Somebody looks for this node's user.
    Wanted(Peer, SearchId),
    /// Its delegation has ended.
    Expired,
    /// It is revoked.
    Revoked,
    /// It has a newer delegation.
    Renewed,
    /// Its storage failed.
    Stopped,
    /// It is asleep.
    Quiet,
}

impl Journal {
    /// An empty one for the node of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), me: None, node: None, entries: Vec::new(), dropped: 0, entries_max: JOURNAL_ENTRIES_MAX, payloads: false }
    }

    /// How many entries it keeps; default [`JOURNAL_ENTRIES_MAX`].
    #[must_use]
    pub const fn entries_max(mut self, entries_max: usize) -> Self {
        self.entries_max = entries_max;
        self
    }

    /// Also keeps payloads, so that [`Ladder::payloads`](super::Ladder::payloads) can show them. Default: no.
    #[must_use]
    pub const fn payloads(mut self, payloads: bool) -> Self {
        self.payloads = payloads;
        self
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The entries in the node's own order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many entries did not fit.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether the other is of the same node: another life of it, perhaps one that never started.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.name == other.name && (self.me.is_none() || other.me.is_none() || self.me == other.me)
    }

    /// Puts a later life behind this one, within this one's bound.
    pub(crate) fn append(&mut self, later: Self) {
        (self.me, self.node) = (self.me.or(later.me), self.node.or(later.node));
        self.dropped = self.dropped.saturating_add(later.dropped);
        later.entries.into_iter().for_each(|entry| self.push(entry.at, entry.what));
    }

    /// What a command will stand as; taken before the command is given away.
    pub(crate) fn begins(&self, command: &Command) -> Asked {
        match command {
            Command::Send(send) => {
                Asked::Send { to: send.to, kind: send.message.kind().into(), payload: self.payloads.then(|| send.message.payload().into()) }
            }
            Command::Find { user } => Asked::Find(*user),
            Command::Introduce { user, .. } => Asked::Introduce(*user),
            Command::Forget { user } => Asked::Forget(*user),
            Command::Enter { .. } => Asked::Enter,
            Command::Renew { .. } => Asked::Renew,
            Command::Revoke { .. } => Asked::Revoke,
            Command::Invite { .. } => Asked::Invite,
            Command::Join { invitation } => Asked::Join(invitation.user()),
            Command::Withdraw { .. } => Asked::Withdraw,
            Command::Publish { .. } => Asked::Publish,
            Command::Locate { user, .. } => Asked::Locate(*user),
            Command::Suspend => Asked::Suspend,
        }
    }

    pub(crate) fn on_command(&mut self, at: Time, what: Asked, outcome: Result<Tag, CommandError>) {
        self.push(at, Happened::Asked { what, tag: outcome.ok() });
    }

    /// Notes the steps that events tell of.
    pub(crate) fn on_event(&mut self, at: Time, event: &Event<'_>) {
        let step = match event {
            Event::Addresses { .. } => Step::Listens,
            Event::PipeOpened { op: Some(_), .. } => Step::Opened,
            Event::PipeOpened { op: None, .. } => Step::Accepted,
            Event::ConnectFailed { .. } => Step::Unanswered,
            Event::Tick
            | Event::Datagram { .. }
            | Event::PipeBytes { .. }
            | Event::PipeWritten { .. }
            | Event::PipeClosed { .. }
            | Event::Clock { .. }
            | Event::Entropy { .. }
            | Event::Resolved { .. }
            | Event::Stored { .. }
            | Event::Loaded { .. }
            | Event::Taken { .. }
            | Event::Passed { .. } => return,
        };
        self.push(at, Happened::Did(step));
    }

    /// Notes what the application is told, and the steps that are taken.
    pub(crate) fn on_action(&mut self, at: Time, action: &Action) {
        match action {
            Action::Notify { notice } => self.on_notice(at, notice),
            Action::Connect { .. } => self.push(at, Happened::Did(Step::Dials)),
            Action::Resolve { .. } => self.push(at, Happened::Did(Step::LooksUp)),
            Action::SendDatagram { .. } | Action::Write { .. } | Action::Close { .. } | Action::Store { .. } | Action::Load { .. } => {}
        }
    }

    pub(crate) fn on_observed(&mut self, at: Time, observed: Observed) {
        self.push(at, Happened::Said(observed));
    }

    fn on_notice(&mut self, at: Time, notice: &Notice) {
        let told = match notice {
            Notice::Started { me, node } => {
                (self.me, self.node) = (Some(*me), Some(*node));
                return;
            }
            Notice::Message(received) => {
                Told::Got { from: received.from, kind: received.kind().into(), payload: self.payloads.then(|| received.payload().into()) }
            }
            Notice::Delivered { tag, device: None } => Told::Delivered(*tag),
            Notice::Failed { tag, why } => Told::Failed(*tag, *why),
            Notice::Found { tag, peer } => Told::Found(*tag, *peer),
            Notice::Invited { tag, .. } => Told::Invited(*tag),
            Notice::Joined { tag, peer } => Told::Joined(*tag, *peer),
            Notice::JoinedBy { peer, .. } => Told::JoinedBy(*peer),
            Notice::Dht(DhtNotice::Found { user, device, is_final: true, .. }) => Told::Located(Peer { user: *user, device: *device }),
            Notice::Refused { why, .. } => Told::Refused(*why),
            Notice::Wanted { by, search } => Told::Wanted(*by, *search),
            Notice::Expired => Told::Expired,
            Notice::Revoked => Told::Revoked,
            Notice::Renewed { .. } => Told::Renewed,
            Notice::Stopped { .. } => Told::Stopped,
            Notice::Quiet => Told::Quiet,
            // Links are told by what was observed on them; the rest depends on clocks and disks.
            Notice::LinkUp { .. }
            | Notice::LinkDown { .. }
            | Notice::Restored { .. }
            | Notice::Queued { .. }
            | Notice::Delivered { .. }
            | Notice::Ready
            | Notice::Gap { .. }
            | Notice::RenewalDue { .. }
            | Notice::EntryChanged { .. }
            | Notice::Dht(_)
            | Notice::ClockOff { .. }
            | Notice::Twin { .. } => return,
        };
        self.push(at, Happened::Told(told));
    }

    fn push(&mut self, at: Time, what: Happened) {
        if self.entries.len() < self.entries_max {
            self.entries.push(Entry { at, what });
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
