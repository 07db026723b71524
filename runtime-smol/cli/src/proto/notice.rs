//! Notices as lines. They carry no id.

use std::net::SocketAddr;

use overcom_core::{CloseReason, DhtNotice, DhtReach, DhtRecord, DhtStanding, FailReason, Notice, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::said::With;
use crate::verbs::dht::{ECLIPSE, FORK};

/// Every kind of notice that is told.
pub(crate) const NOTICES: &[&str] = &[
    "message",
    "queued",
    "delivered",
    "failed",
    "ready",
    "found",
    "invited",
    "joined",
    "joined_by",
    "link_up",
    "link_down",
    "refused",
    "wanted",
    "gap",
    "renewal_due",
    "renewed",
    "expired",
    "revoked",
    "entry_changed",
    "clock_off",
    "twin",
    "stopped",
    "quiet",
    "missed",
    "located",
    "looked_up",
    "published",
    "standing",
    "eclipse_suspected",
    "fork",
    "revocation_found",
];

/// One notice.
#[derive(Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
enum Told<'a> {
    Message {
        from: String,
        name: Option<&'a str>,
        device: String,
        #[serde(rename = "type")]
        kind: &'a str,
        payload: &'a RawValue,
        stream: String,
        number: u64,
    },
    Queued {
        tag: u64,
    },
    Delivered {
        tag: u64,
        device: Option<String>,
    },
    Failed {
        tag: u64,
        #[serde(flatten)]
        why: Why,
    },
    Ready,
    Found {
        tag: u64,
        #[serde(flatten)]
        with: With,
    },
    Invited {
        tag: u64,
        /// The line to hand over. It holds a secret.
        line: String,
        invitation: String,
        until_ms: u64,
    },
    Joined {
        tag: u64,
        #[serde(flatten)]
        with: With,
    },
    JoinedBy {
        #[serde(flatten)]
        with: With,
        name: Option<&'a str>,
        invitation: String,
    },
    LinkUp {
        #[serde(flatten)]
        with: With,
        name: Option<&'a str>,
        remote: SocketAddr,
        dialled: bool,
    },
    LinkDown {
        #[serde(flatten)]
        with: With,
        name: Option<&'a str>,
        #[serde(flatten)]
        why: Why,
    },
    Refused {
        remote: SocketAddr,
        dialled: bool,
        #[serde(flatten)]
        why: Why,
    },
    Wanted {
        user: String,
        name: Option<&'a str>,
        device: String,
    },
    Gap {
        user: String,
        device: String,
        stream: String,
        first: u64,
        last: u64,
    },
    RenewalDue {
        until_ms: u64,
        hint: &'static str,
    },
    Renewed {
        until_ms: u64,
    },
    Expired {
        hint: &'static str,
    },
    Revoked {
        hint: &'static str,
    },
    EntryChanged {
        entry: String,
        key: String,
    },
    ClockOff {
        ahead_ms: i64,
        hint: &'static str,
    },
    Twin {
        user: String,
        device: String,
        hint: &'static str,
    },
    Stopped {
        #[serde(flatten)]
        why: Why,
    },
    Quiet,
    Located {
        tag: u64,
        user: String,
        name: Option<&'a str>,
        device: String,
        addresses: &'a [SocketAddr],
        relays: Vec<Relay>,
        /// Whether enough nodes agree.
        agreed: bool,
        /// Whether only this node's own copy says so, which it keeps for others.
        own: bool,
        /// Whether a node that keeps its address has a link to it now.
        bound: bool,
    },
    LookedUp {
        tag: u64,
        found: bool,
        partial: bool,
    },
    Published {
        record: DhtRecord,
        reach: DhtReach,
        acknowledged: u8,
        of: u8,
        enough: bool,
    },
    Standing {
        family: u8,
        reach: DhtReach,
        standing: DhtStanding,
        message: String,
    },
    EclipseSuspected {
        hint: &'static str,
    },
    Fork {
        hint: &'static str,
    },
    RevocationFound {
        user: String,
        name: Option<&'a str>,
    },
    /// Of the session itself: so many notices were not handed to it, since it had not taken those before them.
    Missed {
        count: u64,
        hint: &'static str,
    },
}

/// A node that passes on to a device.
#[derive(Serialize)]
struct Relay {
    key: String,
    address: SocketAddr,
}

/// A reason: its code, what it means and what to do.
#[derive(Serialize)]
struct Why {
    why: String,
    message: String,
    hint: String,
}

impl Why {
    fn new(code: impl Serialize, (message, hint): (&'static str, &'static str)) -> Self {
        // A unit variant is a text; one with a value is an object of one key, the code.
        let why = match serde_json::to_value(code) {
            Ok(serde_json::Value::String(code)) => code,
            Ok(serde_json::Value::Object(object)) => object.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        };
        Self { why, message: message.into(), hint: hint.into() }
    }

    fn close(why: CloseReason) -> Self {
        Self { message: why.to_string(), ..Self::new(why, why.explain()) }
    }

    fn fail(why: FailReason) -> Self {
        Self::new(why, why.explain())
    }
}

/// A notice's kind and its line without a newline; `None` for what is the node's own affair.
pub(crate) fn line_of<'a>(notice: &'a Notice, name_of: impl Fn(UserId) -> Option<&'a str>) -> Option<(&'static str, String)> {
    let name = notice.user().and_then(name_of);
    let told = told(notice, name)?;
    let line = serde_json::to_string(&told).ok()?;
    // The kind is in the line already, first of all; here it is wanted without a copy.
    let kind =
        NOTICES.iter().find(|kind| line.strip_prefix(r#"{"notice":""#).is_some_and(|rest| rest.starts_with(&format!("{kind}\""))))?;
    Some((kind, line))
}

/// What a session is told that has taken too little to be handed all that it wanted. Messages are never among what it missed.
pub(crate) fn missed_line(count: u64) -> String {
    let hint = "take notices as they come; ask status, links and outbox for how things stand";
    serde_json::to_string(&Told::Missed { count, hint }).unwrap_or_default()
}

fn told<'a>(notice: &'a Notice, name: Option<&'a str>) -> Option<Told<'a>> {
    const RENEW: &str = "have the identity sign another: overcom delegate";
    Some(match notice {
        Notice::Message(received) => Told::Message {
            from: received.from.user.to_string(),
            name,
            device: received.from.device.to_string(),
            kind: received.kind(),
            payload: serde_json::from_str(received.payload()).ok()?,
            stream: received.id.stream.to_string(),
            number: received.id.number,
        },
        Notice::Queued { tag, .. } => Told::Queued { tag: tag.number() },
        Notice::Delivered { tag, device, .. } => Told::Delivered { tag: tag.number(), device: device.map(|device| device.to_string()) },
        Notice::Failed { tag, why, .. } => Told::Failed { tag: tag.number(), why: Why::fail(*why) },
        Notice::Ready => Told::Ready,
        Notice::Found { tag, peer, .. } => Told::Found { tag: tag.number(), with: overcom_core::LinkPeer::User(*peer).into() },
        Notice::Invited { tag, invitation, .. } => Told::Invited {
            tag: tag.number(),
            line: invitation.to_secret_text().as_str().into(),
            invitation: invitation.id().to_string(),
            until_ms: invitation.until().as_millis(),
        },
        Notice::Joined { tag, peer, .. } => Told::Joined { tag: tag.number(), with: overcom_core::LinkPeer::User(*peer).into() },
        Notice::JoinedBy { peer, invitation, .. } => {
            Told::JoinedBy { with: overcom_core::LinkPeer::User(*peer).into(), name, invitation: invitation.to_string() }
        }
        Notice::LinkUp { with, remote, dialled, .. } => Told::LinkUp { with: (*with).into(), name, remote: *remote, dialled: *dialled },
        Notice::LinkDown { with, why, .. } => Told::LinkDown { with: (*with).into(), name, why: Why::close(*why) },
        Notice::Refused { remote, dialled, why, .. } => Told::Refused { remote: *remote, dialled: *dialled, why: Why::close(*why) },
        Notice::Wanted { by, .. } => Told::Wanted { user: by.user.to_string(), name, device: by.device.to_string() },
        Notice::Gap { from, stream, first, last, .. } => Told::Gap {
            user: from.user.to_string(),
            device: from.device.to_string(),
            stream: stream.to_string(),
            first: *first,
            last: *last,
        },
        Notice::RenewalDue { until, .. } => Told::RenewalDue { until_ms: until.as_millis(), hint: RENEW },
        Notice::Renewed { until, .. } => Told::Renewed { until_ms: until.as_millis() },
        Notice::Expired => Told::Expired { hint: RENEW },
        Notice::Revoked => Told::Revoked { hint: "make a new device with the identity" },
        Notice::EntryChanged { entry, key, .. } => Told::EntryChanged { entry: entry.to_string(), key: key.to_string() },
        Notice::ClockOff { ahead_ms, .. } => Told::ClockOff { ahead_ms: *ahead_ms, hint: "set this machine's clock" },
        Notice::Twin { with, .. } => Told::Twin {
            user: with.user.to_string(),
            device: with.device.to_string(),
            hint: "stop the other process that uses a copy of this device's keys",
        },
        Notice::Stopped { why, .. } => Told::Stopped { why: Why::new(why, why.explain()) },
        Notice::Quiet => Told::Quiet,
        Notice::Dht(notice) => return of_dht(notice, name),
        // What was saved by an application of the node's own, and its start, are no news to a session.
        Notice::Restored { .. } | Notice::Started { .. } | _ => return None,
    })
}

fn of_dht<'a>(notice: &'a DhtNotice, name: Option<&'a str>) -> Option<Told<'a>> {
    Some(match notice {
        DhtNotice::Found { tag, user, device, addresses, relays, is_final, is_local, is_bound, .. } => Told::Located {
            tag: tag.number(),
            user: user.to_string(),
            name,
            device: device.to_string(),
            addresses,
            relays: relays.iter().map(|(key, address)| Relay { key: key.to_string(), address: *address }).collect(),
            agreed: *is_final,
            own: *is_local,
            bound: *is_bound,
        },
        DhtNotice::Ended { tag, is_found, is_partial, .. } => Told::LookedUp { tag: tag.number(), found: *is_found, partial: *is_partial },
        DhtNotice::Published { record, reach, acknowledged, of, is_enough, .. } => {
            Told::Published { record: *record, reach: *reach, acknowledged: *acknowledged, of: *of, enough: *is_enough }
        }
        DhtNotice::Standing { family, reach, standing, .. } => {
            Told::Standing { family: *family, reach: *reach, standing: *standing, message: standing.to_string() }
        }
        DhtNotice::EclipseSuspected => Told::EclipseSuspected { hint: ECLIPSE },
        DhtNotice::Fork => Told::Fork { hint: FORK },
        DhtNotice::RevocationFound { user, .. } => Told::RevocationFound { user: user.to_string(), name },
        // A node takes a renewal, and says `renewed`.
        DhtNotice::Renewed(_) | _ => return None,
    })
}
