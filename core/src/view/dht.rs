//! What may be looked at of the DHT, and what it tells.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::time::Time;

/// From where the addresses of a [`RealmView`] can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DhtReach {
    /// From this machine.
    Loopback,
    /// From this network.
    Private,
    /// From everywhere.
    Global,
}

/// How a node stands in a realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DhtStanding {
    /// Nobody answers: check the network and the entry peers.
    Isolated,
    /// Others have not said yet where this node is; as long it cannot serve.
    AddressUnknown,
    /// It keeps records and answers for others.
    Serving,
    /// It only asks.
    Client,
}

impl fmt::Display for DhtStanding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Isolated => "isolated: nobody answers",
            Self::AddressUnknown => "its own address is not known",
            Self::Serving => "serving",
            Self::Client => "asking only",
        })
    }
}

/// Who is told where a device is (spec: DHT-140).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DhtPolicy {
    /// Whoever knows the user's id.
    #[default]
    Everyone,
    /// Nobody finds an address; but contacts who have one find the device's key for mail, and renewals are found.
    Contacts,
    /// Nothing is published.
    Nobody,
}

/// What a node was told by [`Command::Publish`](crate::Command::Publish), last; so it is stored too.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublishView {
    /// Who is told where this device is.
    pub policy: DhtPolicy,
    /// What they are told beside what others see.
    #[serde(default)]
    pub addresses: Vec<SocketAddr>,
}

/// Which records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DhtRecord {
    /// Where a device is.
    Address,
    /// Whose it is, and its key for mail.
    Device,
    /// What was taken back.
    Revocation,
}

/// The DHT of a node at a glance.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct DhtView {
    /// Each family of addresses and reach in which it does anything.
    pub realms: Vec<RealmView>,
    /// Records that it keeps, also for others.
    pub records: u64,
    /// What these take, in bytes.
    pub record_bytes: u64,
    /// Nodes near its user's home that have this device bound, over a lasting link.
    pub bound_at: u64,
    /// Devices that are bound here.
    pub binds: u64,
    /// Look-ups that go on, its own upkeep among them.
    pub look_ups: u64,
    /// Requests on their way.
    pub requests: u64,
    /// Memory that it takes beside those records, as far as it stays: in bytes.
    pub heap_bytes: u64,
}

/// A node's place in one realm.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct RealmView {
    /// 4 or 6.
    pub family: u8,
    /// From where its addresses can be reached.
    pub reach: DhtReach,
    /// Where others find this node, as far as it knows.
    pub address: Option<SocketAddr>,
    /// Its id, in base64url, once it depends on nothing unknown.
    pub id: Option<String>,
    /// How it stands.
    pub standing: DhtStanding,
    /// Whether addresses are scarce enough here that networks are capped.
    pub is_hard: bool,
    /// Nodes in its table.
    pub nodes: u64,
    /// Of these: have answered.
    pub verified: u64,
    /// Neighbours whose keys are proven.
    pub leaves: u64,
    /// About how many nodes serve in this realm.
    pub estimate: u64,
    /// The middle round trip of its table, in milliseconds.
    pub rtt_ms: Option<u64>,
}

/// What came of asking the DHT for a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct LookUpView {
    /// When it was asked.
    pub at: Time,
    /// What it said.
    pub outcome: LookUpOutcome,
}

/// What the DHT says of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LookUpOutcome {
    /// It is being asked.
    Running,
    /// Addresses of theirs were found.
    Found,
    /// Their devices have withdrawn where they were.
    Nowhere,
    /// Everybody who should know has answered, and nobody knows.
    NotFound,
    /// Time ran out before all had answered who should know.
    Unsure,
    /// Nobody of it answers.
    NoNetwork,
}

impl fmt::Display for LookUpOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "no answer yet",
            Self::Found => "it knows addresses",
            Self::Nowhere => "their devices say that they are nowhere",
            Self::NotFound => "nobody there knows the user",
            Self::Unsure => "those who answered in time do not know the user",
            Self::NoNetwork => "nobody there answers: check the connection and the entry peers",
        })
    }
}
