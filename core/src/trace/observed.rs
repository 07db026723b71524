//! What a node understood on its links: pipes carry ciphertext, so a ladder is built from this.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::{CloseReason, LinkPeer, UserId};

/// One line that was said or heard, or a link that came or went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The other end of the link; `None` before it is proven.
    pub with: Option<LinkPeer>,
    /// Whether this node did it (said the line, dialled, closed); else the other end did.
    pub outward: bool,
    /// What it was.
    pub what: Said,
}

/// What was said on a link, without payloads, addresses or keys (C12).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Said {
    /// A link is up; outward when this node dialled. Comes before every line of the link.
    Up,
    /// A link has ended; outward when this node closed it. Comes after every line of the link.
    Down(CloseReason),
    /// The first line on a link.
    Hello,
    /// An application's message.
    Message {
        /// Its type.
        kind: Box<str>,
        /// Its number in the sender's stream.
        number: u64,
    },
    /// Messages up to this number are taken.
    Acknowledged {
        /// The last number.
        upto: u64,
    },
    /// Somebody looks for somebody.
    Search {
        /// Who is looked for.
        wanted: UserId,
        /// Who looks.
        searcher: UserId,
    },
    /// What came of a search.
    SearchAnswer {
        /// 200 will dial back, 202 passed on, 404 nobody knows them, 429 too many searches.
        status: u16,
    },
    /// That it was invited.
    Join,
    /// What came of a join.
    Joined {
        /// 200 taken, 404 unknown, 409 used by somebody else, 410 over, 503 no room now.
        status: u16,
    },
    /// A device wants to be bound over this link.
    Bind,
    /// What came of a bind.
    Bound {
        /// 200 bound, 202 kept but not reached, 401 and above: refused.
        status: u16,
    },
    /// The record of a device that wants to be bound.
    Device,
    /// Is anybody there?
    Ping,
    /// Yes.
    Pong,
    /// A renewed delegation.
    Delegation,
    /// A revocation.
    Revocation,
    /// A good-bye with its reason.
    Close(CloseReason),
}
