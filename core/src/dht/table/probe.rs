//! Who is asked next whether it is still there.

use core::cmp::Reverse;
use core::net::SocketAddr;
use core::time::Duration;

use super::Table;
use super::entry::{Entry, State};
use super::shelf::{BUCKETS, Seen};
use crate::time::Time;

/// A server goes round its table in this time, within the bounds of a probe each 2.3 s and each 10 s (spec: DHT-60).
const ROUND: Duration = Duration::from_secs(1_500);
const SERVER_MIN: Duration = Duration::from_millis(2_300);
const SERVER_MAX: Duration = Duration::from_secs(10);
/// While a server's table has room for somebody who waits, probes are no farther apart, and each second one is for those.
const GROWING_MAX: Duration = Duration::from_secs(8);
const GROWING_TURNS: u8 = 2;
/// A client's probes are this far apart: a day of them is 0.2 MB.
const CLIENT: Duration = Duration::from_secs(60);
/// A node of the youngest class is due after this, in units of 8 s: eight minutes; each further class twice as long.
const PERIOD_TICKS: u32 = 60;
/// Each so many turns a candidate is asked instead (spec: DHT-60).
const TURNS: u8 = 4;

impl Table {
    /// How long to wait between probes.
    pub(crate) fn probe_interval(&self, serves: bool) -> Duration {
        if !serves {
            return CLIENT;
        }
        let mains = u32::try_from(self.mains.len()).unwrap_or(u32::MAX).max(1);
        (ROUND / mains).clamp(SERVER_MIN, if self.is_growing() { GROWING_MAX } else { SERVER_MAX })
    }

    /// Whom to ask now, among those to whom no request is on its way; `None` if there is nobody (spec: DHT-60). O(n).
    ///
    /// In order: a bucket in which an identity changed; at each fourth turn a candidate that waits, those for far buckets
    /// first; else who is most overdue. Who has missed is not told: [`on_miss`](Self::on_miss) has said when to ask it.
    pub(crate) fn next_probe(&mut self, now: Time, is_asked: impl Fn(SocketAddr) -> bool) -> Option<Entry> {
        self.sweep(now);
        self.settle(now);
        self.turns = self.turns.wrapping_add(1);
        if let Some(entry) = self.next_suspected(now, &is_asked) {
            return Some(entry);
        }
        self.suspected = self.suspected.filter(|(_, since)| now.since(*since) < super::admit::SUSPECT_EACH);
        let is_free = |entry: &Entry| !is_asked(entry.at);
        if self.turns.is_multiple_of(if self.is_growing() { GROWING_TURNS } else { TURNS }) {
            let waiting = self.spares.iter(0..self.spares.len()).find(|entry| !entry.is_verified() && is_free(entry));
            if waiting.is_some() {
                return waiting;
            }
        }
        let mut due: Option<(Reverse<u32>, usize)> = None;
        self.mains.scan(0..self.mains.len(), now, |seen| {
            let key = (Reverse(overdue(&seen)), seen.index);
            // Those that have missed have a time of their own.
            if !seen.state.has_missed()
                && due.is_none_or(|best| key < best)
                && self.mains.get(seen.index).is_some_and(|entry| is_free(&entry))
            {
                due = Some(key);
            }
        });
        due.and_then(|(_, index)| self.mains.get(index))
    }

    /// Whether somebody who never answered waits where there is a free place. O(spares).
    fn is_growing(&self) -> bool {
        (0..BUCKETS).any(|bucket| {
            let has_room = self.mains.range(bucket).len() < self.shape.places(bucket);
            has_room && self.spares.iter(self.spares.range(bucket)).any(|entry| !entry.is_verified())
        })
    }

    /// One of the bucket in which an identity changed who has not answered since (spec: DHT-58).
    fn next_suspected(&self, now: Time, is_asked: &impl Fn(SocketAddr) -> bool) -> Option<Entry> {
        let (bucket, since) = self.suspected?;
        self.mains
            .iter(self.mains.range(bucket))
            .find(|entry| entry.idle(now) > now.since(since) && !entry.has_missed() && !is_asked(entry.at))
    }
}

/// How much of its period has passed for a node, in units that all classes share; a request of its own was worth one period.
fn overdue(seen: &Seen) -> u32 {
    let postponed = if seen.state.has(State::POSTPONED) { PERIOD_TICKS << seen.state.class() } else { 0 };
    u32::from(seen.age).saturating_sub(postponed) << (3 - u32::from(seen.state.class()))
}
