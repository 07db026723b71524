//! What can be wrong: with bytes, with a caller, with a configuration, with storage. Conduct of peers is `CloseReason`.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes that are not what they should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WireError {
    /// Not base64url without padding, or of another length than the field has.
    Base64,
    /// An id that was mistyped: wrong prefix, alphabet, length or checksum.
    IdText,
    /// An app id that is empty, longer than 32 bytes or holds other bytes than `a-z 0-9 . -`.
    AppId,
    /// Not UTF-8.
    Utf8,
    /// Not JSON, or not the fields that this object has.
    Json,
    /// Longer than its bound.
    TooLong,
    /// Nested deeper than its bound.
    TooDeep,
    /// A byte below 0x20, or white space outside a string.
    Space,
    /// The same key twice in one object.
    DuplicateKey,
    /// An escape that stands for half a character.
    Surrogate,
    /// A number that protocol fields do not take: negative, fractional or above 2⁵³−1.
    Number,
    /// A key, an id or base64 written with escapes.
    Escape,
    /// A signature that does not verify.
    Signature,
    /// A delegation whose window is empty, reversed or longer than 30 days.
    Window,
    /// A host name or port that cannot be dialled.
    Address,
    /// Port 0.
    Port,
}

impl WireError {
    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Base64 => ("not base64url, or of the wrong length", "copy it again, whole"),
            Self::IdText => {
                ("not a valid id: the prefix, the length or the checksum is wrong; was it cut when copied?", "copy it again, whole")
            }
            Self::AppId => ("not a valid app id: 1 to 32 of a-z, 0-9, '.' and '-'", "choose another one"),
            Self::Utf8 => ("not UTF-8", "send text"),
            Self::Json => ("not the JSON that belongs here", "text stands in quotes; look for a missing comma or bracket"),
            Self::TooLong => ("longer than allowed", "send less at once"),
            Self::TooDeep => ("nested deeper than allowed", "nest it less"),
            Self::Space => ("a control character, or white space outside a string", "write it without; in strings they are escaped"),
            Self::DuplicateKey => ("the same key twice in one object", "keep one of the two"),
            Self::Surrogate => ("an escape that stands for half a character", "write the character itself"),
            Self::Number => ("a number that is not an integer from 0 to 2^53-1", "write a larger number as text"),
            Self::Escape => ("an escape where none may be", "write the characters themselves"),
            Self::Signature => ("the signature does not verify", "ask for it again: it was changed, or is somebody else's"),
            Self::Window => ("the dates are reversed, or more than 30 days apart", "sign it again for at most 30 days: overcom delegate"),
            Self::Address => ("not an address that can be dialled: HOST:PORT, [IPv6]:PORT", "correct the host name or the port"),
            Self::Port => Undialled::Port.explain(),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl core::error::Error for WireError {}

/// Why nobody can be dialled at an address, or why it is nobody's to be told of: [`Address::undialled`](crate::Address::undialled).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Undialled {
    /// Port 0.
    Port,
    /// 0.0.0.0, `[::]`, or another one that begins with 0.
    Unspecified,
    /// One of a group.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 240.0.0.0 and above.
    Reserved,
    /// An IPv6 address of one link, without its zone, or told to others.
    LinkLocal,
    /// An IPv6 address that a gateway makes of an IPv4 one.
    Gateway,
}

impl Undialled {
    /// Every one, in order; for tables and tests.
    pub const ALL: [Self; 7] =
        [Self::Port, Self::Unspecified, Self::Multicast, Self::Broadcast, Self::Reserved, Self::LinkLocal, Self::Gateway];

    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Port => ("nobody listens on port 0", "name the port that is listened on"),
            Self::Unspecified => ("that is where one listens, nobody's address", "name the machine's own address, or its host name"),
            Self::Multicast => ("a multicast address is a group's, nobody's own", "name the machine's own address, or its host name"),
            Self::Broadcast => ("the broadcast address is everybody's, nobody's own", "name the machine's own address, or its host name"),
            Self::Reserved => ("the addresses from 240.0.0.0 on are reserved, and nobody's", "correct the address"),
            Self::LinkLocal => (
                "a link-local address (fe80::) means another machine on each link",
                "name another address of the machine; from here alone it can be dialled with its zone, [fe80::1%2]:PORT",
            ),
            Self::Gateway => (
                "an address that a gateway makes up (NAT64, 6to4, Teredo) leads elsewhere for others",
                "name the IPv4 address that it stands for",
            ),
        }
    }
}

impl fmt::Display for Undialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl core::error::Error for Undialled {}

/// Why [`Node::new`](crate::Node::new) refused.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A bound that is outside its range; the name is the setter's.
    OutOfRange(&'static str),
    /// The delegation's signature does not verify.
    Delegation(WireError),
    /// The secret keys are not those that the delegation names.
    Keys,
    /// The delegation is for times that are over; renew it with the identity.
    Expired,
}

impl ConfigError {
    /// The cause, and what a person can do about it.
    pub const fn explain(&self) -> (&'static str, &'static str) {
        match self {
            Self::OutOfRange(_) => {
                ("a bound of the configuration is out of its range", "set it within the range that its documentation gives")
            }
            Self::Delegation(_) => ("the delegation cannot be used", "have the identity sign a new one: overcom delegate"),
            Self::Keys => {
                ("the secret keys are not those that the delegation names", "take the keys that it was signed for, or have these signed")
            }
            Self::Expired => ("the delegation has ended", "have the identity sign a new one: overcom delegate"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, way_out) = self.explain();
        match self {
            Self::OutOfRange(name) => write!(f, "the configuration's {name} is out of its range: {way_out}"),
            Self::Delegation(why) => write!(f, "{cause}: {why}"),
            Self::Keys | Self::Expired => write!(f, "{cause}: {way_out}"),
        }
    }
}

impl core::error::Error for ConfigError {}

/// Why a [`Command`](crate::Command) was refused. Nothing has changed (C3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CommandError {
    /// The node has not read its state yet; wait for `Notice::Started`.
    Starting,
    /// A bound is reached; wait for `Notice::Ready`.
    Full,
    /// A runtime's handle has as many wishes under way to its node as it takes; the node was not asked. Ask again once one is answered.
    Busy,
    /// The message is not JSON, repeats a key, is nested too deep or too long.
    Payload(WireError),
    /// A message type that is empty, longer than 64 bytes or kept for the protocol.
    Kind,
    /// More addresses than are taken, or none where one is needed.
    Address,
    /// One of the addresses is nobody's, or nobody's to be told of.
    Undialled(Undialled),
    /// More than three addresses of one reach: a record of the DHT tells no more.
    Places,
    /// A message to oneself: the same user and device.
    Oneself,
    /// The delegation is not for this node's identity, app, device and keys, or not newer than the one it has.
    Renewal(WireError),
    /// The revocation is not of this app, or does not verify.
    Revocation(WireError),
    /// The delegation has ended; only `Command::Renew` and `Command::Suspend` are taken.
    Expired,
    /// The node is going to sleep or asleep; `Event::Addresses` wakes it.
    Suspended,
    /// A write to storage failed, so that the node may promise nothing more; or, from a runtime's handle, the node's loop or
    /// future is gone. Start it again, on a store that works.
    Stopped,
    /// An invitation's life is zero, or longer than [`INVITATION_LIFE_MAX`](crate::INVITATION_LIFE_MAX).
    Life,
    /// The node knows no address at which others can reach it; name one.
    Nowhere,
    /// As many invitations are open, or joins under way, as [`Config::invitations_max`](crate::Config::invitations_max) says.
    Invitations,
    /// The invitation cannot be used here, or would be too long for one line.
    Invitation(InvitationError),
}

impl CommandError {
    /// Every one, in order, those that hold a reason with one of them; for tables and tests.
    pub const ALL: [Self; 18] = [
        Self::Starting,
        Self::Full,
        Self::Busy,
        Self::Payload(WireError::Json),
        Self::Kind,
        Self::Address,
        Self::Undialled(Undialled::Multicast),
        Self::Places,
        Self::Oneself,
        Self::Renewal(WireError::Window),
        Self::Revocation(WireError::Signature),
        Self::Expired,
        Self::Suspended,
        Self::Stopped,
        Self::Life,
        Self::Nowhere,
        Self::Invitations,
        Self::Invitation(InvitationError::Ended),
    ];

    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Starting => ("the node is still reading its state", "wait for Started"),
            Self::Full => ("too much is waiting already", "wait for Ready"),
            Self::Busy => ("too many wishes are on their way to the node", "ask again once one of them is answered"),
            Self::Payload(_) => ("the payload cannot be sent", "send JSON, each key once in its object, within the configured length"),
            Self::Kind => ("this is no message type", "take 1 to 64 bytes of text without control characters"),
            Self::Address => ("too many addresses are named, or none", "give 1 to 8 addresses: HOST:PORT or [IPv6]:PORT"),
            Self::Undialled(_) => ("others cannot dial what is named", "name another address of that machine, or its host name"),
            Self::Places => ("more than three addresses of one reach are named", "name the three at which others reach this device best"),
            Self::Oneself => ("a device does not send messages to itself", "send to somebody else, or to another device"),
            Self::Renewal(_) => ("this delegation cannot replace the present one", "sign a newer one for this device: overcom delegate"),
            Self::Revocation(_) => ("this revocation cannot be taken", "sign it with the identity, for this app"),
            Self::Expired => ("the delegation has ended", "hand in a new one with Renew: overcom delegate"),
            Self::Suspended => ("the node is suspended", "report Addresses to wake it"),
            Self::Stopped => ("the node has ended: its loop is gone, or its storage failed", "start it again, on a store that works"),
            Self::Life => ("an invitation cannot last as long as this, or not at all", "let it last from a second to 30 days"),
            Self::Nowhere => ("no address is known at which others can reach this node", "name one: HOST:PORT or [IPv6]:PORT"),
            Self::Invitations => ("too many invitations are open already", "wait until one is over"),
            Self::Invitation(_) => ("the invitation cannot be used", "ask for another one, or compare it with the line that was sent"),
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, way_out) = self.explain();
        match self {
            Self::Payload(why) | Self::Renewal(why) | Self::Revocation(why) => write!(f, "{cause}: {why}"),
            Self::Invitation(why) => write!(f, "{cause}: {why}"),
            Self::Undialled(why) => write!(f, "{cause}: {why}; {}", why.explain().1),
            Self::Starting
            | Self::Full
            | Self::Busy
            | Self::Kind
            | Self::Address
            | Self::Places
            | Self::Oneself
            | Self::Expired
            | Self::Suspended
            | Self::Stopped
            | Self::Life
            | Self::Nowhere
            | Self::Invitations => write!(f, "{cause}; {way_out}"),
        }
    }
}

impl core::error::Error for CommandError {}

/// What is wrong with an invitation, in words for whoever has pasted it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvitationError {
    /// It does not begin as invitations do.
    NotOne,
    /// One character is wrong: which, counted from 1 and without white space.
    Typo {
        /// From 1; white space does not count.
        position: u32,
    },
    /// More than one character is wrong, missing or too many.
    Typos,
    /// The end is missing.
    CutOff,
    /// Of a version that this program does not know.
    Version(u8),
    /// The checksum holds, but what it covers is not in the form of an invitation.
    Content,
    /// Its host names do not fit into one line.
    TooLong,
    /// For another app than the node's.
    App,
    /// By the node's own user.
    Own,
    /// Its time is over by the node's clock.
    Ended,
}

impl InvitationError {
    /// Every one, in order; for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::NotOne,
        Self::Typo { position: 1 },
        Self::Typos,
        Self::CutOff,
        Self::Version(0),
        Self::Content,
        Self::TooLong,
        Self::App,
        Self::Own,
        Self::Ended,
    ];

    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::NotOne => ("this is no invitation", "one begins with oci1"),
            Self::Typo { .. } => ("a character is wrong", "compare it with the line that was sent"),
            Self::Typos => ("more than one character is wrong or missing", "copy the whole line again"),
            Self::CutOff => ("its end is missing", "copy the whole line"),
            Self::Version(_) => ("it is of a version that this program does not know", "use a newer one"),
            Self::Content => ("its checksum holds, but it is in no form that this program knows", "use a newer one"),
            Self::TooLong => ("its host names are too long for one line", "name fewer"),
            Self::App => ("it is for another application", "use it there"),
            Self::Own => ("it is one's own", "send it to somebody else"),
            Self::Ended => ("its time is over by this machine's clock", "set the clock if it is wrong, else ask for another one"),
        }
    }
}

impl fmt::Display for InvitationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cause, way_out) = self.explain();
        match self {
            Self::Typo { position } => write!(f, "character {position} is wrong: {way_out}"),
            Self::Version(version) => write!(f, "it is of version {version}, which this program does not know: {way_out}"),
            Self::NotOne | Self::Typos | Self::CutOff | Self::Content | Self::TooLong | Self::App | Self::Own | Self::Ended => {
                write!(f, "{cause}: {way_out}")
            }
        }
    }
}

impl core::error::Error for InvitationError {}

/// What went wrong with storage, as far as a node needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreError {
    /// No room.
    Full,
    /// What is stored cannot be read.
    Corrupt,
    /// It was written by a newer version.
    Newer,
    /// Anything else.
    Failed,
}

impl StoreError {
    /// Every one, in order; for tables and tests.
    pub const ALL: [Self; 4] = [Self::Full, Self::Corrupt, Self::Newer, Self::Failed];

    /// The cause, and what a person can do about it. What was said to be stored is kept in each case.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Full => ("the disk is full", "make room and start again"),
            Self::Corrupt => ("the store is damaged", "put a copy back, or move it away to start with an empty one"),
            Self::Newer => ("the store was written by a newer version", "use that version"),
            Self::Failed => ("the store does not work", "look at the disk and start again"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl core::error::Error for StoreError {}

/// Why a connection was not made, as far as a shell can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectError {
    /// Somebody answered that nobody listens there.
    Refused,
    /// No answer.
    TimedOut,
    /// There is no way to that address from here.
    Unreachable,
    /// Out of sockets, or anything else of this machine.
    Failed,
}

impl ConnectError {
    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Refused => ("nobody listens there", "is the other node running? is the port right?"),
            Self::TimedOut => ("no answer", "is the other device on, and reachable from this network?"),
            Self::Unreachable => ("no way to that address from here", "use another network, or an address of the other kind (IPv4, IPv6)"),
            Self::Failed => ("this machine could not try", "close some files or connections; look at this machine's network"),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl core::error::Error for ConnectError {}

/// Why a host name has no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResolveError {
    /// The name does not exist.
    Unknown,
    /// Nobody could be asked just now.
    Failed,
}

impl ResolveError {
    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("no such host name", "check the spelling"),
            Self::Failed => ("the name could not be looked up just now", "is this machine online? it is tried again"),
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl core::error::Error for ResolveError {}
