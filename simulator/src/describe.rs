//! Notices in words, for the lines that a failure prints: names in the place of keys.

use std::collections::BTreeMap;

use overcom_core::{DeviceId, DhtNotice, LinkPeer, Notice, Peer, Tag, UserId};

/// So much of a payload is shown.
const PAYLOAD_CHARS: usize = 60;

/// Whose user and whose device it is.
#[derive(Default)]
pub(crate) struct Names {
    users: BTreeMap<UserId, String>,
    devices: BTreeMap<DeviceId, String>,
}

impl Names {
    /// A node's name for its device, and for its user if nobody has named it before.
    pub(crate) fn add(&mut self, peer: Peer, name: &str) {
        self.users.entry(peer.user).or_insert_with(|| name.into());
        self.devices.entry(peer.device).or_insert_with(|| name.into());
    }

    fn device(&self, device: DeviceId) -> String {
        self.devices.get(&device).cloned().unwrap_or_else(|| format!("{device:?}"))
    }

    pub(crate) fn user(&self, user: UserId) -> String {
        self.users.get(&user).cloned().unwrap_or_else(|| user.to_string())
    }

    pub(crate) fn peer(&self, peer: Peer) -> String {
        self.devices.get(&peer.device).cloned().unwrap_or_else(|| self.user(peer.user))
    }

    pub(crate) fn link(&self, with: LinkPeer) -> String {
        match with {
            LinkPeer::User(peer) => self.peer(peer),
            LinkPeer::Service(_) => "an entry peer".into(),
            _ => format!("{with:?}"),
        }
    }

    /// What the DHT of a node has told.
    fn dht(&self, told: &DhtNotice) -> String {
        match told {
            DhtNotice::Found { tag, device, addresses, is_local, .. } => {
                let own = if *is_local { ", as it has kept itself" } else { "" };
                let places: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                format!("{} located {} at [{}]{own}", number(*tag), self.device(*device), places.join(", "))
            }
            DhtNotice::Ended { tag, .. } => format!("{} has asked everybody", number(*tag)),
            DhtNotice::Published { record, acknowledged, of, .. } => format!("published its {record:?} record: {acknowledged} of {of}"),
            DhtNotice::Standing { family, standing, .. } => format!("stands in the DHT of IPv{family}: {standing}"),
            DhtNotice::EclipseSuspected => "suspects an eclipse".into(),
            DhtNotice::Fork => "has a fork: somebody else publishes with its key".into(),
            DhtNotice::RevocationFound { user, .. } => format!("found that {} has taken devices back", self.user(*user)),
            DhtNotice::Renewed(_) | _ => format!("{told:?}"),
        }
    }

    /// What a node was told; `None` for what another notice of the same moment says better.
    pub(crate) fn words(&self, notice: &Notice) -> Option<String> {
        Some(match notice {
            Notice::Restored { items, .. } if items.is_empty() => return None,
            Notice::Restored { items, .. } => format!("has {} saved values back", items.len()),
            Notice::Started { .. } => "started".into(),
            Notice::Message(message) => {
                let payload: String = message.payload().chars().take(PAYLOAD_CHARS).collect();
                let more = if payload.len() < message.payload().len() { "…" } else { "" };
                format!("got {} from {}: {payload}{more}", message.kind(), self.peer(message.from))
            }
            Notice::Queued { tag, .. } => format!("{} is stored", number(*tag)),
            Notice::Delivered { tag, device, .. } => format!("{} was taken by {}", number(*tag), self.device((*device)?)),
            Notice::Failed { tag, why, .. } => format!("{} failed: {why}", number(*tag)),
            Notice::Ready => "has room again".into(),
            Notice::Found { tag, peer, .. } => format!("{} found {}", number(*tag), self.peer(*peer)),
            Notice::Invited { tag, invitation, .. } => format!("{} is invitation {}", number(*tag), invitation.id()),
            Notice::Joined { tag, peer, .. } => format!("{} joined {}", number(*tag), self.peer(*peer)),
            Notice::JoinedBy { peer, invitation, .. } => format!("was joined by {} with invitation {invitation}", self.peer(*peer)),
            Notice::LinkUp { with, dialled, .. } => {
                format!("link with {} up{}", self.link(*with), if *dialled { ", dialled" } else { "" })
            }
            Notice::LinkDown { with, why, .. } => format!("link with {} down: {why}", self.link(*with)),
            Notice::Refused { remote, why, .. } => format!("no link with {remote}: {why}"),
            Notice::Wanted { by, .. } => format!("is looked for by {}", self.peer(*by)),
            Notice::Gap { from, first, last, .. } => format!("will not get {first} to {last} of {}", self.peer(*from)),
            Notice::RenewalDue { until, .. } => format!("must be renewed until {until:?}"),
            Notice::Renewed { until, .. } => format!("renewed until {until:?}"),
            Notice::Expired => "expired".into(),
            Notice::Revoked => "revoked".into(),
            Notice::EntryChanged { entry, .. } => format!("entry peer {entry:?} has another key"),
            Notice::Dht(told) => self.dht(told),
            Notice::ClockOff { ahead_ms, .. } => format!("its clock seems {ahead_ms} ms ahead"),
            Notice::Twin { with, .. } => format!("has a twin, seen by {}", self.peer(*with)),
            Notice::Stopped { why, .. } => format!("stopped: {why}"),
            Notice::Quiet => "quiet".into(),
            _ => format!("{notice:?}"),
        })
    }
}

/// A tag as people count: `#7` for the seventh since the first start, `#2.7` since the second.
fn number(tag: Tag) -> String {
    let (start, number) = (tag.number() >> 32, tag.number() & 0xFFFF_FFFF);
    if start <= 1 { format!("#{number}") } else { format!("#{start}.{number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_counted_from_each_start() {
        assert_eq!([number(Tag::new((1 << 32) | 7)), number(Tag::new((3 << 32) | 1))], ["#7", "#3.1"]);
    }
}
