//! Why a message has not arrived yet, in words.

use core::fmt;

use serde::Serialize;

use super::{AddressView, AttemptOutcome, Explanation, SearchView};

/// What a message that is not delivered waits for. The order is that in which people want to know.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Waiting {
    /// This node's storage failed.
    Stopped,
    /// This device's delegation is revoked.
    Revoked,
    /// This device's delegation has ended.
    Expired,
    /// This node sleeps, or is about to.
    Suspended,
    /// It is being stored, and leaves after that.
    Store,
    /// It is on its way; the application at the other end has not taken it.
    Taking,
    /// As much is on its way to the device as it takes at once.
    Window,
    /// An address of the user is dialled, or waits for its turn.
    Dial,
    /// The DHT is asked where the user is.
    LookUp,
    /// Peers were asked for the user and have not all answered.
    Search,
    /// The device that it is for is revoked.
    PeerRevoked,
    /// No address of the user is known, and nobody is linked who could be asked.
    Address,
    /// Everything was tried; the time for the next try.
    Retry,
}

impl Waiting {
    /// Every one, in order; for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Stopped,
        Self::Revoked,
        Self::Expired,
        Self::Suspended,
        Self::Store,
        Self::Taking,
        Self::Window,
        Self::Dial,
        Self::LookUp,
        Self::Search,
        Self::PeerRevoked,
        Self::Address,
        Self::Retry,
    ];

    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Stopped => ("storage failed, so this node has stopped", "mend the disk and start it again; what was stored is kept"),
            Self::Revoked => ("this device is revoked", "make a new device with the identity"),
            Self::Expired => ("this device's delegation has ended", "renew it with the identity: overcom delegate"),
            Self::Suspended => ("this node sleeps", "wake it; what was stored goes on then"),
            Self::Store => ("it is being written to disk first", "nothing; if it stays, the disk is slow"),
            Self::Taking => (
                "it is on its way, and the other application has not taken it",
                "have them take it: they run overcom listen, or their application is stuck",
            ),
            Self::Window => ("as much as the other side takes at once is on its way", "nothing; it goes on as they take what came before"),
            Self::Dial => ("the known addresses are being dialled", "nothing"),
            Self::LookUp => ("the network is asked where the user is", "nothing; it takes a few seconds"),
            Self::Search => ("peers were asked where the user is", "nothing; they have a minute to answer"),
            Self::PeerRevoked => ("the device that it is for is revoked", "wait until the user has a new device, or forget the user"),
            Self::Address => (
                "no address is known and nobody is linked who could be asked",
                "introduce an address of theirs, or of somebody who knows them",
            ),
            Self::Retry => ("nobody has answered so far", "is the other device on? has its address changed?"),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain().0)
    }
}

impl fmt::Display for Explanation {
    /// Sentences for people: what waits and for what, what to do about it, then each address and search on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.waiting {
            0 => writeln!(f, "nothing waits for {}", self.user)?,
            1 => writeln!(f, "1 message waits for {}", self.user)?,
            count => writeln!(f, "{count} messages wait for {}", self.user)?,
        }
        for why in &self.why {
            let (cause, advice) = why.explain();
            writeln!(f, "  {cause}; what to do: {advice}")?;
        }
        if let Some(next) = self.next_try.filter(|_| !self.why.is_empty()) {
            writeln!(f, "  the next try is in {} s", next.since(self.now).as_millis().div_ceil(1_000))?;
        }
        for view in &self.addresses {
            self.address(f, view)?;
        }
        for search in &self.searches {
            self.search(f, search)?;
        }
        if let Some(look_up) = &self.look_up {
            writeln!(f, "  the network was asked {} s ago: {}", self.now.since(look_up.at).as_secs(), look_up.outcome)?;
        }
        for view in &self.located {
            self.address(f, view)?;
        }
        if let Some(why) = self.last_failure {
            let (cause, advice) = why.explain();
            writeln!(f, "  what failed last: {cause}; what to do: {advice}")?;
        }
        Ok(())
    }
}

impl Explanation {
    fn address(&self, f: &mut fmt::Formatter<'_>, view: &AddressView) -> fmt::Result {
        match view.attempt {
            None => writeln!(f, "  {}: not tried yet", view.address),
            Some(attempt) => writeln!(f, "  {}: {}, {} s ago", view.address, attempt.outcome, self.now.since(attempt.at).as_secs()),
        }
    }

    fn search(&self, f: &mut fmt::Formatter<'_>, search: &SearchView) -> fmt::Result {
        let answer = match search.status {
            None => "no answer yet",
            Some(200) => "the user will dial",
            Some(202) => "the search was passed on",
            Some(404) => "nobody knows where the user is",
            Some(429) => "too many searches for a minute",
            Some(_) => "the answer means nothing to this version",
        };
        let plural = if search.asked == 1 { "" } else { "s" };
        writeln!(f, "  {} peer{plural} asked {} s ago: {answer}", search.asked, self.now.since(search.at).as_secs())
    }
}

impl AttemptOutcome {
    /// The cause, and what a person can do about it.
    pub const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Linked => ("a link came up", "nothing"),
            Self::NotConnected(why) => why.explain(),
            Self::NotResolved(why) => why.explain(),
            Self::Closed(why) => why.explain(),
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linked => f.write_str("a link came up"),
            Self::NotConnected(why) => write!(f, "{why}"),
            Self::NotResolved(why) => write!(f, "{why}"),
            Self::Closed(why) => write!(f, "closed: {why}"),
        }
    }
}
