//! Why a pipe or a link ended: one list for both sides, for the wire, for people.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Why a pipe or link ended. Both sides give the same reason, unless the pipe broke before it could be said (spec: LINK-30).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CloseReason {
    /// The other end belongs to another app.
    App,
    /// The delegation is over.
    Expired,
    /// The delegation is revoked.
    Revoked,
    /// The delegation is not valid yet.
    NotYet,
    /// The delegation does not verify, or names another Noise key than the one used.
    Delegation,
    /// The other end speaks another version.
    Version,
    /// Whoever answers is not the one that was dialled.
    WrongPeer,
    /// A service link whose node key is not the one that the entry names.
    WrongKey,
    /// Both ends are the same device.
    Oneself,
    /// What came is not this protocol.
    Preamble,
    /// The handshake's cipher failed: tampering, replay, or another crypto provider.
    Crypto,
    /// Bytes that are not valid lines.
    Malformed,
    /// A line that may not come on this link or at this point.
    NotAllowed,
    /// More than the window or the rate allows.
    Flood,
    /// The handshake took more than ten seconds.
    Timeout,
    /// Nothing came for three keep-alive periods.
    Silent,
    /// Nothing was said for long, so the link is given up.
    Idle,
    /// Another link with the same peer stays.
    Duplicate,
    /// The peer came back, so its old link is over.
    Replaced,
    /// Too many links.
    Full,
    /// The application gave the peer up.
    Forgotten,
    /// A side goes to sleep.
    Suspended,
    /// A side's storage failed.
    Stopped,
    /// All sockets are new.
    Rebound,
    /// The pipe ended without a word.
    Lost,
    /// The other end gave a reason that this version does not know, with this status.
    Unknown(u16),
}

impl CloseReason {
    /// Every reason that this version gives, in order; for tables and tests.
    pub const ALL: [Self; 25] = [
        Self::App,
        Self::Expired,
        Self::Revoked,
        Self::NotYet,
        Self::Delegation,
        Self::Version,
        Self::WrongPeer,
        Self::WrongKey,
        Self::Oneself,
        Self::Preamble,
        Self::Crypto,
        Self::Malformed,
        Self::NotAllowed,
        Self::Flood,
        Self::Timeout,
        Self::Silent,
        Self::Idle,
        Self::Duplicate,
        Self::Replaced,
        Self::Full,
        Self::Forgotten,
        Self::Suspended,
        Self::Stopped,
        Self::Rebound,
        Self::Lost,
    ];

    /// The status that goes with it on the wire, with the meaning that HTTP gives it.
    pub const fn status(self) -> u16 {
        match self {
            Self::Preamble | Self::Malformed | Self::Crypto => 400,
            Self::Expired | Self::Revoked | Self::NotYet | Self::Delegation => 401,
            Self::App | Self::NotAllowed | Self::WrongKey => 403,
            Self::WrongPeer => 404,
            Self::Timeout | Self::Silent => 408,
            Self::Duplicate | Self::Replaced | Self::Oneself => 409,
            Self::Idle | Self::Forgotten => 410,
            Self::Flood => 429,
            Self::Version => 505,
            Self::Full | Self::Suspended | Self::Stopped | Self::Rebound | Self::Lost => 503,
            Self::Unknown(status) => status,
        }
    }

    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::App => ("the other end belongs to another app", "use the same app id on both sides"),
            Self::Expired => ("a delegation has ended", "renew it with the identity: overcom delegate"),
            Self::Revoked => ("a delegation is revoked", "make a new device with the identity"),
            Self::NotYet => ("a delegation is not valid yet", "set the clock of this or the other machine"),
            Self::Delegation => ("a delegation does not verify", "make a new delegation for this device's keys"),
            Self::Version => ("the other end speaks another version", "bring both to the same version"),
            Self::WrongPeer => ("whoever answers there is somebody else", "ask the other person for their present address"),
            Self::WrongKey => ("the entry peer has another key than the one given", "ask its keeper for the present key"),
            Self::Oneself => ("both ends are the same device", "dial somebody else"),
            Self::Preamble => ("whoever answers there does not speak Overcom", "check the port"),
            Self::Crypto => ("the handshake failed", "try again; if it stays, something on the way changes the bytes"),
            Self::Malformed => ("the other end sent bytes that are no valid lines", "update the other end"),
            Self::NotAllowed => ("the other end sent what may not come here", "update the other end"),
            Self::Flood => ("the other end sent more than allowed", "update the other end"),
            Self::Timeout => ("the handshake took more than ten seconds", "try again; the network may be very slow"),
            Self::Silent => ("the other end fell silent", "nothing; it is tried again"),
            Self::Idle => ("nothing was said for long", "nothing; the next message opens the link again"),
            Self::Duplicate => ("another link with the same peer stays", "nothing"),
            Self::Replaced => ("the peer came back on another link", "nothing"),
            Self::Full => ("one side has too many links", "try again later, or raise the bound in its configuration"),
            Self::Forgotten => ("one side gave the other up", "introduce yourselves again"),
            Self::Suspended => ("one side went to sleep", "nothing; it comes back when it wakes"),
            Self::Stopped => ("one side's storage failed", "mend its disk and start it again"),
            Self::Rebound => ("one side has a new network", "nothing; it is dialled again"),
            Self::Lost => ("the connection ended without a word", "nothing; it is tried again"),
            Self::Unknown(_) => ("the other end gave a reason that this version does not know", "update this end"),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)?;
        if let Self::Unknown(status) = self { write!(f, " (status {status})") } else { Ok(()) }
    }
}
