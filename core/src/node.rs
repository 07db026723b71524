//! The node: the only place that knows two protocol machines.

use alloc::collections::VecDeque;
use core::fmt;

use crate::{
    Action, Command, CommandError, Config, ConfigError, Credentials, Event, Explanation, Inspection, LinkView, OutboxView, Packet, Peer,
    Phase, Seed, Stats, Tag, Time, UserId, Wake, WallTime,
};

/// A device's protocol, whole: told of [`Event`]s, it asks for [`Action`]s.
pub struct Node {
    me: Peer,
    wall: WallTime,
    wall_at: Time,
    actions: VecDeque<Action>,
    observed: Option<VecDeque<crate::trace::Observed>>,
    stats: Stats,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.me.user)
    }
}

impl Node {
    /// A node that begins by reading its state.
    ///
    /// # Errors
    /// [`ConfigError`] when a bound is out of its range or the credentials do not fit.
    pub fn new(config: Config, credentials: Credentials, seed: Seed, now: Time, wall: WallTime) -> Result<Self, ConfigError> {
        config.check()?;
        let _ = seed;
        let delegation = credentials.delegation();
        let me = Peer { user: delegation.user(), device: delegation.device() };
        Ok(Self { me, wall, wall_at: now, actions: VecDeque::new(), observed: None, stats: Stats::default() })
    }

    /// Takes in what happened. Total: it cannot fail (C3).
    pub fn handle(&mut self, now: Time, event: Event<'_>) {
        let _ = (now, event);
        self.stats.events_dropped = self.stats.events_dropped.saturating_add(1);
    }

    /// Takes a wish.
    ///
    /// # Errors
    /// [`CommandError`]; then nothing has changed (C3).
    pub fn command(&mut self, now: Time, command: Command) -> Result<Tag, CommandError> {
        let _ = (now, command);
        Err(CommandError::Starting)
    }

    /// The next thing to do, in order (C4).
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When the next `Tick` is wanted at the latest; `None`: only an outside event can matter (C5).
    #[doc(alias = "poll_timeout")]
    #[doc(alias = "poll_at")]
    pub const fn deadline(&self) -> Option<Time> {
        None
    }

    /// What the deadline is for.
    pub const fn wake(&self) -> Wake {
        Wake::Nothing
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, packet: Packet) {
        drop(packet);
    }

    /// Starts or stops to keep what is said on links, for [`observed`](Self::observed). A driver does it for a journal.
    pub fn observe(&mut self, on: bool) {
        self.observed = on.then(VecDeque::new);
    }

    /// The next thing that was said or heard on a link, oldest first.
    pub fn observed(&mut self) -> Option<crate::trace::Observed> {
        self.observed.as_mut()?.pop_front()
    }

    /// The wall clock as last told, moved on by the monotonic time since.
    pub fn wall(&self, now: Time) -> WallTime {
        self.wall + now.since(self.wall_at)
    }

    /// This node's user and device.
    pub const fn me(&self) -> Peer {
        self.me
    }

    /// The links that are up, in the order in which their pipes were opened.
    pub fn links(&self) -> impl Iterator<Item = LinkView> + '_ {
        core::iter::empty()
    }

    /// The messages that are not delivered yet, by receiver and number.
    pub fn outbox(&self) -> impl Iterator<Item = OutboxView> + '_ {
        core::iter::empty()
    }

    /// Everything that was tried to reach `user`, and what came of it.
    pub fn explain(&self, user: UserId) -> Explanation {
        Explanation::nothing(user)
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The node at a glance.
    pub fn inspect(&self) -> Inspection {
        Inspection {
            me: self.me,
            node: None,
            phase: Phase::Starting,
            links: self.links().collect(),
            pipes_pending: 0,
            outbox: self.outbox().collect(),
            book: alloc::vec::Vec::new(),
            wake: self.wake(),
            stats: self.stats,
        }
    }
}
