//! The node's one timer map: a typed key has at most one time; the earliest is known at once.

use alloc::collections::BTreeSet;

use crate::id::{OpId, PipeId, UserId};
use crate::map::Map;
use crate::time::Time;

/// What a timer is for. Setting a key again moves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum TimerKey {
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
    Retry(UserId),
    /// The life of the first message to a user is over.
    Ends(UserId),
    /// A `Connect` or `Resolve` takes too long.
    Dial(OpId),
    /// An entry peer is dialled again.
    Entry(u32),
    /// The own delegation is half over, nine tenths over, or over.
    Renewal,
}

pub(crate) struct Timers {
    order: BTreeSet<(Time, TimerKey)>,
    times: Map<TimerKey, Time>,
    first: Option<(Time, TimerKey)>,
}

impl Timers {
    pub(crate) fn new(hash_key: [u64; 2]) -> Self {
        Self { order: BTreeSet::new(), times: Map::new(hash_key), first: None }
    }

    /// Sets `key` to `at`, wherever it was. O(log n).
    pub(crate) fn set(&mut self, key: TimerKey, at: Time) {
        if let Some(old) = self.times.insert(key, at) {
            self.order.remove(&(old, key));
        }
        self.order.insert((at, key));
        self.first = self.order.first().copied();
    }

    /// Sets `key` to `at` unless it is due earlier.
    pub(crate) fn set_at_latest(&mut self, key: TimerKey, at: Time) {
        if self.times.get(&key).is_none_or(|old| *old > at) {
            self.set(key, at);
        }
    }

    /// Takes `key` out; fine if it is not set.
    pub(crate) fn cancel(&mut self, key: TimerKey) {
        if let Some(old) = self.times.remove(&key) {
            self.order.remove(&(old, key));
            self.first = self.order.first().copied();
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
        self.times.get(&key).copied()
    }

    /// The earliest timer. O(1).
    pub(crate) const fn first(&self) -> Option<(Time, TimerKey)> {
        self.first
    }

    /// Takes the earliest timer out if it is due.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<TimerKey> {
        let (at, key) = self.first.filter(|(at, _)| *at <= now)?;
        self.times.remove(&key);
        self.order.remove(&(at, key));
        self.first = self.order.first().copied();
        Some(key)
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
}
