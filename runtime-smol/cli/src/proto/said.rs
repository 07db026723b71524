//! What a node says of itself: the first line, and answers.

use std::fmt::Display;
use std::net::SocketAddr;

use overcom_core::{EntryView, Explanation, InvitationView, LinkPeer, LinkView, OutboxView, UserId, WallTime};
use serde::{Deserialize, Serialize, Serializer};

use super::{Fault, Id};

/// The first line of each session, under the key `hello`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) version: String,
    pub(crate) user: String,
    pub(crate) device: String,
    pub(crate) app: String,
    /// Where others may reach this node, as far as it knows.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// An answer, in one line without its newline.
pub(crate) fn answer(id: &Id, outcome: &Result<serde_json::Value, Fault>) -> String {
    // Ids are JSON already, and stay as they were written.
    match outcome {
        Ok(value) => format!("{{\"id\":{},\"ok\":{value}}}", id.as_str()),
        Err(fault) => format!("{{\"id\":{},\"error\":{}}}", id.as_str(), serde_json::to_string(fault).unwrap_or_default()),
    }
}

/// Something that is shown as its text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A user's device, or an installation of no user.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum With {
    User { user: String, device: String },
    Service { service: String },
}

impl From<LinkPeer> for With {
    fn from(peer: LinkPeer) -> Self {
        match peer {
            LinkPeer::User(peer) => Self::User { user: peer.user.to_string(), device: peer.device.to_string() },
            LinkPeer::Service(key) => Self::Service { service: key.to_string() },
            // A kind of link that this version of the command line has no words for.
            other => Self::Service { service: format!("{other:?}") },
        }
    }
}

/// A link that is up.
#[derive(Serialize)]
pub(crate) struct LinkLine {
    #[serde(flatten)]
    with: With,
    remote: SocketAddr,
    dialled: bool,
    rtt_ms: Option<f64>,
    unacknowledged: u32,
    until_ms: Option<u64>,
}

impl From<LinkView> for LinkLine {
    fn from(link: LinkView) -> Self {
        Self {
            with: link.with.into(),
            remote: link.remote,
            dialled: link.dialled,
            rtt_ms: link.rtt.map(|rtt| rtt.as_micros() as f64 / 1_000.0),
            unacknowledged: link.unacknowledged,
            until_ms: link.until.map(WallTime::as_millis),
        }
    }
}

/// An invitation of this node that has not ended; without its line, which holds a secret.
#[derive(Serialize)]
pub(crate) struct InvitationLine {
    invitation: String,
    until_ms: u64,
    used_by: Option<String>,
    name: Option<String>,
}

impl InvitationLine {
    pub(crate) fn new<'a>(view: InvitationView, name_of: impl Fn(UserId) -> Option<&'a str>) -> Self {
        Self {
            invitation: view.id.to_string(),
            until_ms: view.until.as_millis(),
            used_by: view.used_by.map(|user| user.to_string()),
            name: view.used_by.and_then(name_of).map(str::to_owned),
        }
    }
}

/// A message that is not delivered.
#[derive(Serialize)]
pub(crate) struct OutboxLine {
    tag: u64,
    to: String,
    device: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    keep: overcom_core::Keep,
    tries: u32,
    sent: bool,
}

impl From<OutboxView> for OutboxLine {
    fn from(view: OutboxView) -> Self {
        Self {
            tag: view.tag.number(),
            to: view.to.to_string(),
            device: view.device.map(|device| device.to_string()),
            kind: view.kind,
            keep: view.keep,
            tries: view.tries,
            sent: view.sent,
        }
    }
}

/// An address of somebody, and what came of dialling it.
#[derive(Serialize)]
pub(crate) struct Address {
    address: String,
    outcome: Option<String>,
    ago_s: Option<u64>,
}

/// An entry peer, and what came of dialling it.
#[derive(Serialize)]
pub(crate) struct EntryLine {
    entry: String,
    linked: bool,
    outcome: Option<String>,
    hint: Option<&'static str>,
}

impl EntryLine {
    pub(crate) fn new(view: &EntryView) -> Self {
        Self {
            entry: view.entry.to_string(),
            linked: view.linked,
            outcome: view.attempt.map(|attempt| attempt.outcome.to_string()),
            hint: view.attempt.map(|attempt| attempt.outcome.explain().1),
        }
    }
}

/// Why a user is not reached.
#[derive(Serialize)]
pub(crate) struct Why {
    user: String,
    waiting: u32,
    linked: Vec<String>,
    known: Vec<String>,
    why: Vec<overcom_core::Waiting>,
    addresses: Vec<Address>,
    next_try_s: Option<u64>,
    /// The same in sentences.
    text: String,
}

impl From<Explanation> for Why {
    fn from(of: Explanation) -> Self {
        let text = of.to_string();
        let address = |view: overcom_core::AddressView| Address {
            address: view.address.to_string(),
            outcome: view.attempt.map(|attempt| attempt.outcome.to_string()),
            ago_s: view.attempt.map(|attempt| of.now.since(attempt.at).as_secs()),
        };
        Self {
            user: of.user.to_string(),
            waiting: of.waiting,
            linked: of.linked.iter().map(ToString::to_string).collect(),
            known: of.known.iter().map(ToString::to_string).collect(),
            addresses: of.addresses.into_iter().map(address).collect(),
            why: of.why,
            next_try_s: of.next_try.map(|at| at.since(of.now).as_secs()),
            text,
        }
    }
}
