//! What a node says of its own health, each change once (spec: DHT-135, DHT-136).

use alloc::vec::Vec;
use core::time::Duration;

use super::key::{Hint, Key};
use crate::time::Time;

/// How a node stands in a realm. Of several that hold the first counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Nobody answers.
    Isolated,
    /// It might serve, but does not know where it is.
    AddressUnknown,
    /// It serves others.
    Serving,
    /// It only asks; so each node begins.
    Client,
}

/// Nothing may be heard for so long while so many requests went out. Before an address is unknown as much may pass.
const SILENCE: Duration = Duration::from_secs(60);
const REQUESTS_MIN: u8 = 3;
/// One key is suspected once in this time.
const SUSPECT_EACH: Duration = Duration::from_secs(3_600);
/// Keys that are remembered; the oldest is forgotten (guess: an hour's look-ups of a person).
const SUSPECTS_MAX: usize = 64;

/// What the standing in one realm depends on. 72 bytes.
#[derive(Debug)]
pub(crate) struct Health {
    serves: bool,
    /// Since when the node has not known where it is.
    lost: Option<Time>,
    /// The first request since the last reply, and how many went out.
    asked: Option<Time>,
    requests: u8,
    told: Standing,
}

impl Health {
    /// Of a node that starts now: a client that does not need to know where it is.
    pub(crate) const fn new() -> Self {
        Self { serves: false, lost: None, asked: None, requests: 0, told: Standing::Client }
    }

    /// A request of our own went out, a first one or a repetition.
    pub(crate) fn on_request_sent(&mut self, now: Time) {
        self.asked.get_or_insert(now);
        self.requests = self.requests.saturating_add(1);
    }

    /// One was answered. What comes unasked shows nothing: anybody can send that in anybody's name.
    pub(crate) const fn on_reply(&mut self) {
        (self.asked, self.requests) = (None, 0);
    }

    /// Whether the node serves.
    pub(crate) const fn set_serving(&mut self, serves: bool) {
        self.serves = serves;
    }

    /// Whether it knows where it is as far as it has to; who may not serve has not to.
    pub(crate) fn set_located(&mut self, is_located: bool, now: Time) {
        self.lost = if is_located { None } else { Some(self.lost.unwrap_or(now)) };
    }

    /// How it stands.
    pub(crate) fn standing(&self, now: Time) -> Standing {
        let is_past = |from: Option<Time>| from.is_some_and(|from| now.since(from) >= SILENCE);
        if is_past(self.asked) && self.requests >= REQUESTS_MIN {
            Standing::Isolated
        } else if is_past(self.lost) {
            Standing::AddressUnknown
        } else if self.serves {
            Standing::Serving
        } else {
            Standing::Client
        }
    }

    /// When [`next`](Self::next) may have something again.
    pub(crate) fn due(&self, now: Time) -> Option<Time> {
        if self.standing(now) != self.told {
            return Some(now);
        }
        let asked = self.asked.filter(|_| self.requests >= REQUESTS_MIN);
        [asked, self.lost].into_iter().flatten().map(|from| from + SILENCE).filter(|at| *at > now).min()
    }

    /// The standing, if it is another than the last time: to be told to the application. Whoever is isolated pings its entry
    /// peers from the beginning.
    pub(crate) fn next(&mut self, now: Time) -> Option<Standing> {
        let standing = self.standing(now);
        (core::mem::replace(&mut self.told, standing) != standing).then_some(standing)
    }
}

/// The keys around which the network looked too dense lately (spec: DHT-78, DHT-136). At most 1 KiB, none as a rule.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// In the order in which they were told.
    told: Vec<(Hint, Time)>,
}

impl Suspects {
    /// A look-up found the region of `key` dense: whether the application is to be told. O(n).
    pub(crate) fn is_news(&mut self, key: &Key, now: Time) -> bool {
        self.told.retain(|(_, since)| now.since(*since) < SUSPECT_EACH);
        if self.told.iter().any(|(told, _)| *told == key.hint()) {
            return false;
        }
        if self.told.len() >= SUSPECTS_MAX {
            self.told.drain(..1);
        }
        self.told.push((key.hint(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, Seed};

    fn secs(n: u64) -> Time {
        Time::from_secs(1_000 + n)
    }

    fn key(n: u8) -> Key {
        Key::from_bytes([n; 32])
    }

    // spec-test: DHT-135
    #[test]
    fn a_minute_and_three_requests_without_an_answer_are_isolation_and_an_answer_ends_it() {
        let mut health = Health::new();
        assert_eq!((health.next(secs(0)), health.due(secs(0))), (None, None), "a client that starts has nothing to tell");
        // Nothing was heard for an hour because nothing was asked.
        for millis in 0..3 {
            health.on_request_sent(secs(3_600) + Duration::from_millis(millis));
        }
        assert_eq!((health.next(secs(3_601)), health.due(secs(3_601))), (None, Some(secs(3_660))));
        assert_eq!((health.next(secs(3_660)), health.next(secs(3_661))), (Some(Standing::Isolated), None), "once");
        health.on_reply();
        assert_eq!((health.next(secs(3_670)), health.next(secs(3_700))), (Some(Standing::Client), None));
        // Two requests are too few, however long.
        health.on_request_sent(secs(4_000));
        health.on_request_sent(secs(4_100));
        assert_eq!((health.next(secs(9_000)), health.due(secs(9_000))), (None, None));
        health.on_request_sent(secs(9_000));
        assert_eq!((health.due(secs(9_000)), health.next(secs(9_000))), (Some(secs(9_000)), Some(Standing::Isolated)));
    }

    // spec-test: DHT-135
    #[test]
    fn the_first_standing_that_holds_is_told_and_each_change_once() {
        let mut health = Health::new();
        health.set_located(false, secs(0));
        health.set_located(false, secs(30));
        assert_eq!((health.next(secs(59)), health.due(secs(59))), (None, Some(secs(60))), "it may learn it yet");
        assert_eq!(health.next(secs(60)), Some(Standing::AddressUnknown));
        (0..3).for_each(|n| health.on_request_sent(secs(60 + n)));
        assert_eq!(health.next(secs(120)), Some(Standing::Isolated));
        health.on_reply();
        assert_eq!(health.next(secs(121)), Some(Standing::AddressUnknown));
        health.set_located(true, secs(122));
        health.set_serving(true);
        assert_eq!((health.next(secs(122)), health.next(secs(123))), (Some(Standing::Serving), None));
        health.set_serving(false);
        assert_eq!(health.next(secs(124)), Some(Standing::Client));
    }

    // spec-test: DHT-135
    #[test]
    fn no_two_notices_in_a_row_are_the_same_whatever_happens_and_none_is_late() {
        let mut rng = Rng::from_seed(&Seed::from_bytes([5; 32]));
        let (mut health, mut now, mut told) = (Health::new(), secs(0), Standing::Client);
        for _ in 0..20_000 {
            now = now + Duration::from_millis(rng.below(40_000));
            let due = health.due(now);
            match rng.below(8) {
                0 => health.on_reply(),
                1 => health.set_serving(rng.below(2) == 0),
                2 => health.set_located(rng.below(2) == 0, now),
                3..6 => health.on_request_sent(now),
                // Nothing has happened: what is told now was due.
                _ => assert!((health.standing(now) == told) == due.is_none_or(|due| due > now)),
            }
            if let Some(next) = health.next(now) {
                assert_ne!(next, told);
                told = next;
            }
            assert_eq!(told, health.standing(now));
            assert!(health.due(now).is_none_or(|due| due > now));
        }
    }

    // spec-test: DHT-136
    #[test]
    fn a_dense_region_is_told_once_an_hour_for_each_key_of_the_last_64() {
        let mut suspects = Suspects::default();
        assert!(suspects.is_news(&key(1), secs(0)) && !suspects.is_news(&key(1), secs(3_599)) && suspects.is_news(&key(2), secs(3_599)));
        assert!(suspects.is_news(&key(1), secs(3_600)));
        for n in 0..=255 {
            assert!(suspects.is_news(&key(n), secs(10_000)));
            assert!(suspects.told.len() <= SUSPECTS_MAX);
        }
        assert!((192..=255).all(|n| !suspects.is_news(&key(n), secs(10_001))));
    }
}
