//! How often votes may move a node (spec: DHT-122).

use core::time::Duration;

use crate::time::Time;

/// So long a node stays where votes have moved it; after each further move twice as long, at most [`LONGEST`] (guess: whoever's provider
/// gives it another ip waits a minute for nothing, and whom liars move to and fro looks for its neighbours some five times an hour).
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(960);
/// Who was not moved for so long, once it might have been, begins again with [`FIRST`].
const CALM: Duration = Duration::from_secs(3_600);

/// What keeps a node from being moved. 32 bytes.
#[derive(Debug, Default)]
pub(super) struct Hold {
    until: Time,
    length: Duration,
    /// Votes say another ip, and wait.
    is_wanted: bool,
}

impl Hold {
    /// Whether votes may move the node now; if not, they are counted again when they may.
    pub(super) fn lets_move(&mut self, now: Time) -> bool {
        self.is_wanted = now < self.until;
        !self.is_wanted
    }

    /// They do not want to.
    pub(super) const fn on_stay(&mut self) {
        self.is_wanted = false;
    }

    /// They have moved it.
    pub(super) fn on_move(&mut self, now: Time) {
        let is_calm = now.since(self.until) >= CALM;
        self.length = if is_calm { FIRST } else { (self.length * 2).clamp(FIRST, LONGEST) };
        self.until = now + self.length;
    }

    /// When to count again.
    pub(super) fn due(&self) -> Option<Time> {
        self.is_wanted.then_some(self.until)
    }
}
