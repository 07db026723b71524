//! The node's one timer map: a typed key has at most one time; the earliest is known at once.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::{OpId, PipeId, UserId};
use crate::map::Map;
use crate::time::Time;

/// What a timer is for. Setting a key again moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum TimerKey<U = UserId> {
    /// The other end of a pipe is not proven yet.
    Handshake(PipeId),
    /// Looks whether a link is silent or idle.
    KeepAlive(PipeId),
    /// An acknowledgement waits for a record to ride on.
    Acknowledge(PipeId),
    /// A link ends with a delegation.
    LinkEnd(PipeId),
    /// A pipe that was closed has not gone yet.
    Linger(PipeId),
    /// What waits for a user is tried again.
    Retry(U),
    /// The life of the first message to a user is over.
    Ends(U),
    /// A `Connect` or `Resolve` takes too long.
    Dial(OpId),
    /// An entry peer is dialled again.
    Entry(u32),
    /// The own delegation is half over, nine tenths over, or over.
    Renewal,
    /// An invitation is to be forgotten, or the one of a join is over.
    Invitation,
    /// The DHT has something to do.
    Dht,
}

impl<U> TimerKey<U> {
    /// The same key with the user in another form; `None` if there is none.
    fn with<V>(self, user: impl FnOnce(U) -> Option<V>) -> Option<TimerKey<V>> {
        Some(match self {
            Self::Handshake(pipe) => TimerKey::Handshake(pipe),
            Self::KeepAlive(pipe) => TimerKey::KeepAlive(pipe),
            Self::Acknowledge(pipe) => TimerKey::Acknowledge(pipe),
            Self::LinkEnd(pipe) => TimerKey::LinkEnd(pipe),
            Self::Linger(pipe) => TimerKey::Linger(pipe),
            Self::Retry(it) => TimerKey::Retry(user(it)?),
            Self::Ends(it) => TimerKey::Ends(user(it)?),
            Self::Dial(op) => TimerKey::Dial(op),
            Self::Entry(at) => TimerKey::Entry(at),
            Self::Renewal => TimerKey::Renewal,
            Self::Invitation => TimerKey::Invitation,
            Self::Dht => TimerKey::Dht,
        })
    }
}

/// A key as it is kept, with a number in the place of the user: every link has two timers and few users have one, so keys
/// are not to be as long as a user's id.
type Kept = TimerKey<u64>;

pub(crate) struct Timers {
    order: BTreeSet<(Time, Kept)>,
    times: Map<Kept, Time>,
    first: Option<(Time, TimerKey)>,
    /// The users that have a timer, both ways.
    numbers: BTreeMap<UserId, u64>,
    users: BTreeMap<u64, UserId>,
    numbered: u64,
}

impl Timers {
    pub(crate) fn new(hash_key: [u64; 2]) -> Self {
        Self {
            order: BTreeSet::new(),
            times: Map::new(hash_key),
            first: None,
            numbers: BTreeMap::new(),
            users: BTreeMap::new(),
            numbered: 0,
        }
    }

    /// Sets `key` to `at`, wherever it was. O(log n).
    pub(crate) fn set(&mut self, key: TimerKey, at: Time) {
        let Some(kept) = key.with(|user| Some(self.number(user))) else { return };
        if let Some(old) = self.times.insert(kept, at) {
            self.order.remove(&(old, kept));
        }
        self.order.insert((at, kept));
        self.find_first();
    }

    /// Sets `key` to `at` unless it is due earlier.
    pub(crate) fn set_at_latest(&mut self, key: TimerKey, at: Time) {
        if self.at(key).is_none_or(|old| old > at) {
            self.set(key, at);
        }
    }

    /// Takes `key` out; fine if it is not set.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        if let Some(kept) = self.kept(key) {
            self.remove(kept);
        }
    }

    /// Takes every timer out.
    pub(crate) fn clear(&mut self) {
        while let Some((_, key)) = self.first {
            self.cancel(key);
        }
    }

    /// When `key` is due.
    pub(crate) fn at(&self, key: TimerKey) -> Option<Time> {
        self.times.get(&self.kept(key)?).copied()
    }

    /// The users that have a timer, in order.
    pub(crate) fn users(&self) -> impl Iterator<Item = UserId> + '_ {
        self.numbers.keys().copied()
    }

    /// The earliest timer. O(1).
    pub(crate) const fn first(&self) -> Option<(Time, TimerKey)> {
        self.first
    }

    /// Takes the earliest timer out if it is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<TimerKey> {
        let (_, key) = self.first.filter(|(at, _)| *at <= now)?;
        self.cancel(key);
        Some(key)
    }

    fn remove(&mut self, kept: Kept) {
        let Some(at) = self.times.remove(&kept) else { return };
        self.order.remove(&(at, kept));
        if let TimerKey::Retry(number) | TimerKey::Ends(number) = kept
            && self.times.get(&TimerKey::Retry(number)).or_else(|| self.times.get(&TimerKey::Ends(number))).is_none()
            && let Some(user) = self.users.remove(&number)
        {
            self.numbers.remove(&user);
        }
        self.find_first();
    }

    fn find_first(&mut self) {
        let first = self.order.first().copied();
        self.first = first.and_then(|(at, kept)| Some((at, kept.with(|number| self.users.get(&number).copied())?)));
    }

    fn kept(&self, key: TimerKey) -> Option<Kept> {
        key.with(|user| self.numbers.get(&user).copied())
    }

    fn number(&mut self, user: UserId) -> u64 {
        if let Some(number) = self.numbers.get(&user) {
            return *number;
        }
        self.numbered = self.numbered.saturating_add(1);
        self.numbers.insert(user, self.numbered);
        self.users.insert(self.numbered, user);
        self.numbered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_once_in_order_and_moves_when_set_again() {
        let mut timers = Timers::new([1, 2]);
        let pipe = PipeId::new(1);
        timers.set(TimerKey::KeepAlive(pipe), Time::from_secs(9));
        timers.set(TimerKey::Renewal, Time::from_secs(5));
        timers.set(TimerKey::KeepAlive(pipe), Time::from_secs(3));
        timers.set_at_latest(TimerKey::Renewal, Time::from_secs(7));
        assert_eq!(timers.first(), Some((Time::from_secs(3), TimerKey::KeepAlive(pipe))));
        assert_eq!(timers.pop_due(Time::from_secs(2)), None);
        assert_eq!(timers.pop_due(Time::from_secs(6)), Some(TimerKey::KeepAlive(pipe)));
        assert_eq!(timers.pop_due(Time::from_secs(6)), Some(TimerKey::Renewal));
        assert_eq!(timers.pop_due(Time::MAX), None);
        timers.set(TimerKey::Renewal, Time::from_secs(5));
        timers.cancel(TimerKey::Renewal);
        assert_eq!((timers.first(), timers.at(TimerKey::Renewal)), (None, None));
    }

    #[test]
    fn a_user_is_numbered_only_while_there_is_a_timer() {
        let mut timers = Timers::new([1, 2]);
        let [first, second] = [1, 2].map(|byte| UserId::from_bytes([byte; 32]));
        let (one, other, end) = (TimerKey::Retry(first), TimerKey::Retry(second), TimerKey::Ends(first));
        timers.set(end, Time::from_secs(9));
        timers.set(one, Time::from_secs(2));
        timers.set(other, Time::from_secs(1));
        timers.set(one, Time::from_secs(3));
        assert_eq!((timers.at(one), timers.at(other)), (Some(Time::from_secs(3)), Some(Time::from_secs(1))));
        assert_eq!([3, 3].map(|seconds| timers.pop_due(Time::from_secs(seconds))), [Some(other), Some(one)]);
        assert_eq!((timers.at(one), timers.at(end)), (None, Some(Time::from_secs(9))));
        assert_eq!(timers.users().collect::<alloc::vec::Vec<_>>(), [first]);
        timers.cancel(end);
        timers.cancel(one);
        assert_eq!((timers.at(end), timers.numbers.len(), timers.users.len()), (None, 0, 0));
    }
}
