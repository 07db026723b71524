//! What an application asks of a node. The only call that can be refused ([`Node::command`](crate::Node::command)).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{Delegation, Revocation};
use crate::invitation::Invitation;
use crate::{AppId, CommandError, DeviceId, DhtPolicy, InvitationId, Message, NodeKey, Undialled, UserId, WireError};

/// A wish. Taken ones have a [`Tag`](crate::Tag); refused ones change nothing (C3).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Send a message. Answers: `Queued` (disk), then `Delivered` or `Failed`.
    Send(Send),
    /// Find a user and link with one of their devices. Answers: `Found` or `Failed`.
    Find {
        /// Whom.
        user: UserId,
    },
    /// Put a user's addresses into the address book, in the place of those that were given before. Kept over restarts.
    Introduce {
        /// Whose.
        user: UserId,
        /// 1 to 8, in the order to try them.
        addresses: Vec<Address>,
    },
    /// Take a user out of the address book and give up what waits for them: each such message answers `Failed`. Invitations
    /// that they have used are withdrawn.
    Forget {
        /// Whom.
        user: UserId,
    },
    /// Set the entry peers, in the place of those that were set before. They get service links, and the DHT begins with them.
    /// Kept over restarts.
    Enter {
        /// At most 8.
        entries: Vec<Entry>,
    },
    /// Say who is told by the DHT where this device is; [`DhtPolicy::Everyone`] until this is said. Kept over restarts. Told:
    /// [`DhtNotice::Published`](crate::DhtNotice::Published) after each round of writing. Who is told no more finds no
    /// address after a minute, as far as the nodes that kept it answer, and else after two hours. That the device is its user's,
    /// and its key for mail, is not taken back: it ends with the delegation.
    Publish {
        /// Who.
        policy: DhtPolicy,
        /// Addresses at which the device can be reached whatever others see, as behind a forwarded port: at most three of each
        /// reach, and none that means something on one link only.
        #[serde(default)]
        addresses: Vec<SocketAddr>,
    },
    /// Only look: ask the DHT where the devices of a user are, without linking. Answers:
    /// [`DhtNotice::Found`](crate::DhtNotice::Found) for each, twice if more is heard of it, then
    /// [`DhtNotice::Ended`](crate::DhtNotice::Ended), or `Failed` if nobody else has any; at the latest after about five seconds.
    Locate {
        /// Whose.
        user: UserId,
        /// In which app; `None`: this node's.
        #[serde(default)]
        app: Option<AppId>,
        /// One device; `None`: each.
        #[serde(default)]
        device: Option<DeviceId>,
    },
    /// Put a newer delegation of the same identity, app, device and keys in the place of the present one.
    Renew {
        /// The new one.
        delegation: Delegation,
    },
    /// Take and spread a revocation that the identity has signed.
    Revoke {
        /// The signed record.
        revocation: Revocation,
    },
    /// Make an invitation, good for one user. Answer: `Invited`, once it is stored.
    Invite {
        /// After how long it ends: up to 30 days, in whole seconds.
        life: Duration,
        /// At most 8, in the order to dial them; empty: those of `Event::Addresses` that others can dial, those that reach
        /// furthest first.
        addresses: Vec<Address>,
    },
    /// Use an invitation: its user comes into the address book and is dialled until the retries are over, over a restart
    /// too. Answers: `Joined` or `Failed`. The same one again is harmless.
    Join {
        /// As it was read.
        invitation: Invitation,
    },
    /// Withdraw an invitation of this node: it is good for nobody from now on, over restarts too. Nothing is told. Who has
    /// used it stays in the address book. One that is not known, or not any more, is as good as withdrawn.
    Withdraw {
        /// Which one, as `Invited` and [`Node::invitations`](crate::Node::invitations) name it.
        invitation: InvitationId,
    },
    /// Say good-bye on every link, store what is to be stored, then answer `Quiet`. `Event::Addresses` wakes the node.
    Suspend,
}

impl Command {
    /// Sends `message` to every known device of `to`, or to the first that will be known; kept on disk for 7 days.
    pub const fn send(to: UserId, message: Message) -> Self {
        Self::Send(Send::new(to, message))
    }

    /// Finds `user` and links with one of their devices.
    pub const fn find(user: UserId) -> Self {
        Self::Find { user }
    }

    /// Puts `user` into the address book.
    pub fn introduce(user: UserId, addresses: impl Into<Vec<Address>>) -> Self {
        Self::Introduce { user, addresses: addresses.into() }
    }

    /// Takes `user` out of the address book.
    pub const fn forget(user: UserId) -> Self {
        Self::Forget { user }
    }

    /// Sets the entry peers.
    pub fn enter(entries: impl Into<Vec<Entry>>) -> Self {
        Self::Enter { entries: entries.into() }
    }

    /// Says who is told by the DHT where this device is; see [`Command::Publish`] for `addresses`.
    pub fn publish(policy: DhtPolicy, addresses: impl Into<Vec<SocketAddr>>) -> Self {
        Self::Publish { policy, addresses: addresses.into() }
    }

    /// Asks the DHT where the devices of a user of this app are.
    pub const fn locate(user: UserId) -> Self {
        Self::Locate { user, app: None, device: None }
    }

    /// Renews the delegation.
    pub const fn renew(delegation: Delegation) -> Self {
        Self::Renew { delegation }
    }

    /// Takes and spreads a revocation.
    pub const fn revoke(revocation: Revocation) -> Self {
        Self::Revoke { revocation }
    }

    /// Makes an invitation with these addresses; none: the node's own.
    pub fn invite(life: Duration, addresses: impl Into<Vec<Address>>) -> Self {
        Self::Invite { life, addresses: addresses.into() }
    }

    /// Uses an invitation.
    pub const fn join(invitation: Invitation) -> Self {
        Self::Join { invitation }
    }

    /// Withdraws an invitation of this node.
    pub const fn withdraw(invitation: InvitationId) -> Self {
        Self::Withdraw { invitation }
    }
}

/// A message on its way, as [`Command::Send`] takes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Send {
    /// To whom.
    pub to: UserId,
    /// To this device only; `None`: to every known one.
    pub device: Option<DeviceId>,
    /// What.
    pub message: Message,
    /// How hard to try.
    pub keep: Keep,
    /// After how long it fails; 7 days at most. In RAM it fails after its retries in any case.
    pub life: Duration,
}

/// How long a message lives when nobody says (spec: MSG-14).
pub const MESSAGE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Send {
    /// To every known device of `to`, kept on disk, for 7 days.
    pub const fn new(to: UserId, message: Message) -> Self {
        Self { to, device: None, message, keep: Keep::Disk, life: MESSAGE_LIFE }
    }

    /// To one device only.
    pub const fn to_device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// Where it is kept until it is delivered.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// After how long it fails.
    pub const fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }
}

impl From<Send> for Command {
    fn from(send: Send) -> Self {
        Self::Send(send)
    }
}

/// Where a message is kept until it is delivered (spec: MSG-5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Stored before it is said to be queued; survives a crash; tried until its own end.
    #[default]
    Disk,
    /// In RAM, nothing is written while the link is up; fails after three retries.
    Memory,
}

/// A place to dial: a host name or an IP address, and a port. Text form `HOST:PORT` or `[IPv6]:PORT`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Address {
    /// An IP address.
    Ip(SocketAddr),
    /// A host name for the shell to look up.
    Name {
        /// Up to 253 letters, digits, `-` and `.`.
        name: String,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// Why nobody can be dialled there, if so; what a name stands for is looked at when it is known (spec: FIND-2).
    pub fn undialled(&self) -> Option<Undialled> {
        let Self::Ip(socket) = self else { return None };
        // A link-local address means nothing without the link; the shell could not dial it.
        if matches!(socket, SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0) {
            return Some(Undialled::LinkLocal);
        }
        if crate::address::scope(*socket).is_some() {
            return None;
        }
        Some(match crate::address::plain(socket.ip()) {
            _ if socket.port() == 0 => Undialled::Port,
            ip if ip.is_unspecified() => Undialled::Unspecified,
            ip if ip.is_multicast() => Undialled::Multicast,
            IpAddr::V4(ip) if ip.is_broadcast() => Undialled::Broadcast,
            IpAddr::V4(ip) if ip.octets()[0] == 0 => Undialled::Unspecified,
            IpAddr::V4(_) => Undialled::Reserved,
            IpAddr::V6(_) => Undialled::Gateway,
        })
    }

    /// Whether all of them may be dialled.
    ///
    /// # Errors
    /// Why the first that may not may not.
    pub(crate) fn check<'a>(all: impl IntoIterator<Item = &'a Self>) -> Result<(), CommandError> {
        all.into_iter().find_map(Self::undialled).map_or(Ok(()), |why| Err(CommandError::Undialled(why)))
    }

    /// Whether it means something on one link of this machine only.
    pub(crate) const fn has_zone(&self) -> bool {
        matches!(self, Self::Ip(SocketAddr::V6(v6)) if v6.scope_id() != 0)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for Address {
    type Err = WireError;

    /// Reads `127.0.0.1:7575`, `[::1]:7575` (OC-31, DI-11) or `name.example:7575`.
    fn from_str(text: &str) -> Result<Self, WireError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(WireError::Port) } else { Ok(Self::Ip(address)) };
        }
        let (name, port) = text.rsplit_once(':').ok_or(WireError::Address)?;
        let port: u16 = port.parse().map_err(|_| WireError::Address)?;
        let label = |l: &str| !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        // What looks like an IP address and is none must not be asked of a name server.
        let is_name = name.parse::<IpAddr>().is_err() && name.rsplit('.').next().is_some_and(|l| l.bytes().any(|b| !b.is_ascii_digit()));
        let labels = name.strip_suffix('.').unwrap_or(name);
        if name.len() > 253 || !is_name || !labels.split('.').all(label) {
            return Err(WireError::Address);
        }
        if port == 0 {
            return Err(WireError::Port);
        }
        Ok(Self::Name { name: name.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

/// A node to enter the network by: `HOST:PORT` or `HOST:PORT#KEY` (spec: FIND-3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Entry {
    /// Where it is.
    pub address: Address,
    /// Its node key, if it is known beforehand; another one is refused then. Else the first key met is remembered.
    pub key: Option<NodeKey>,
}

impl FromStr for Entry {
    type Err = WireError;
    fn from_str(text: &str) -> Result<Self, WireError> {
        match text.split_once('#') {
            Some((address, key)) => Ok(Self { address: address.parse()?, key: Some(key.parse()?) }),
            None => Ok(Self { address: text.parse()?, key: None }),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}#{key}", self.address),
            None => write!(f, "{}", self.address),
        }
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = alloc::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(Address);
serde_as_text!(Entry);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them_and_nonsense_is_refused() {
        for good in ["127.0.0.1:7575", "[::1]:7575", "[::ffff:127.0.0.1]:7676", "localhost:43769", "a-b.example:1"] {
            assert_eq!(good.parse::<Address>().map(|a| alloc::format!("{a}")).as_deref(), Ok(good));
        }
        for bad in ["", ":1", "localhost", "::1:7575:", "1.2.3.4.5:80", "999.1.1.1:80", "a b:1", "[::1]", "x:70000", "a..b:1", "[::1:7575"]
        {
            assert_eq!(bad.parse::<Address>(), Err(WireError::Address), "{bad}");
        }
        for bad in ["localhost:0", "127.0.0.1:0", "[::1]:0"] {
            assert_eq!(bad.parse::<Address>(), Err(WireError::Port), "{bad}");
        }
    }

    // spec-test: FIND-2
    #[test]
    fn of_an_address_that_is_nobodys_it_is_said_why() {
        let why = |text: &str| Address::Ip(text.parse().unwrap()).undialled();
        for (text, expected) in [
            ("192.0.2.1:0", Undialled::Port),
            ("0.0.0.0:1", Undialled::Unspecified),
            ("0.1.2.3:1", Undialled::Unspecified),
            ("[::]:1", Undialled::Unspecified),
            ("224.0.0.1:5", Undialled::Multicast),
            ("[ff02::1]:5", Undialled::Multicast),
            ("[::ffff:239.1.1.1]:5", Undialled::Multicast),
            ("255.255.255.255:5", Undialled::Broadcast),
            ("240.0.0.1:5", Undialled::Reserved),
            ("[fe80::1]:5", Undialled::LinkLocal),
            ("[64:ff9b::10.0.0.1]:5", Undialled::Gateway),
        ] {
            assert_eq!(why(text), Some(expected), "{text}");
        }
        for good in ["192.0.2.1:1", "127.0.0.1:1", "10.0.0.1:1", "[fe80::1%2]:1", "[2001:db8::1]:1", "[64:ff9b::203.0.113.9]:1"] {
            assert_eq!(why(good), None, "{good}");
        }
        assert_eq!("name.example:1".parse::<Address>().map(|name| name.undialled()), Ok(None));
    }
}
