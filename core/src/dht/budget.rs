//! How much a node itself sends: bytes a second, and addresses that it never spoke to.

use alloc::vec::Vec;
use core::time::Duration;

use super::rate::Rate;
use super::share::{Good, PARTS, Share};
use crate::time::Time;

/// A budget that fills at a rate up to its burst. 8 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    /// When all that was spent will have been earned.
    at: Time,
}

impl Budget {
    /// Spends `amount`, if there is as much.
    pub(crate) fn spend(&mut self, amount: u32, rate: Rate, now: Time) -> bool {
        let at = self.at.max(now) + time_for(amount, rate);
        let is_enough = at.since(now) <= time_for(rate.burst, rate);
        if is_enough {
            self.at = at;
        }
        is_enough
    }

    /// Spends as much for a group, if that has not had its share (spec: DHT-79).
    pub(crate) fn spend_shared(&mut self, amount: u32, rate: Rate, share: Option<Share<'_>>, now: Time) -> bool {
        let mut rest = *self;
        if !rest.spend(amount, rate, now) {
            return false;
        }
        if let Some(mut share) = share {
            let left = rest.left_percent(rate, now);
            if !share.lets(amount, rate, left, now) {
                return false;
            }
            share.charge(amount, rate, left, now);
        }
        *self = rest;
        true
    }

    /// How much is left, in hundredths of the burst.
    pub(crate) fn left_percent(&self, rate: Rate, now: Time) -> u32 {
        let full = time_for(rate.burst, rate).as_micros().max(1);
        let spent = self.at.since(now).as_micros().min(full);
        u32::try_from((full - spent).saturating_mul(100) / full).unwrap_or_default()
    }
}

fn time_for(amount: u32, rate: Rate) -> Duration {
    Duration::from_micros(u64::from(amount).saturating_mul(1_000_000) / u64::from(rate.per_second.max(1)))
}

/// What a node that is short of bytes leaves out, the more the shorter it is (spec: DHT-73).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Shortage {
    /// Nothing.
    None,
    /// Below a half: a `find` without a cookie is not answered.
    ColdFinds,
    /// Below a quarter: neither is a `get` without a cookie for what lies outside the radius of 16.
    ColdGets,
    /// Below a tenth: only what lies in the own region is.
    AllButOwn,
}

/// The bytes of replies to others (spec: DHT-73). 16 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReplyBytes {
    all: Budget,
    unproven: Budget,
}

impl ReplyBytes {
    /// What is too much to be answered now.
    pub(crate) fn shortage(&self, rate: Rate, now: Time) -> Shortage {
        match self.all.left_percent(rate, now) {
            50.. => Shortage::None,
            25.. => Shortage::ColdFinds,
            10.. => Shortage::ColdGets,
            0.. => Shortage::AllButOwn,
        }
    }

    /// Spends the bytes of a reply, if there are as many: at most half for who has shown no cookie that holds, and of either for one
    /// group its share.
    pub(crate) fn spend(&mut self, bytes: u32, is_proven: bool, rate: Rate, share: Option<Share<'_>>, now: Time) -> bool {
        if is_proven {
            return self.all.spend_shared(bytes, rate, share, now);
        }
        let half = Rate { per_second: rate.per_second / 2, burst: rate.burst / 2 };
        let mut all = self.all;
        let is_allowed = all.spend(bytes, rate, now) && self.unproven.spend_shared(bytes, half, share, now);
        if is_allowed {
            self.all = all;
        }
        is_allowed
    }

    /// What a reply is charged to.
    pub(crate) const fn good(is_proven: bool) -> Good {
        if is_proven { Good::Replies } else { Good::ColdReplies }
    }
}

/// How many addresses that one never spoke to are spoken to, so that a home router's table is not filled (spec: DHT-74).
#[derive(Clone, Debug)]
pub(crate) struct NewEndpoints {
    began: Time,
    /// Those of the first half minute, by group; nothing later.
    first: Vec<u32>,
    /// While it serves, and while it does not: who begins to serve does not wait for what it asked before.
    upkeep: Budget,
    client: Budget,
    look_ups: Budget,
    strangers: Budget,
}

/// At most so many for upkeep in the first 30 s, and of one group.
const FIRST_MAX: usize = 60;
const FIRST_OF_GROUP_MAX: usize = FIRST_MAX / PARTS as usize;
const FIRST_LENGTH: Duration = Duration::from_secs(30);
/// A client's: 140 an hour and 60 at once are 200 in whatever hour. In thousandths, since it is less than one a second.
const CLIENT: Rate = Rate { per_second: 39, burst: 60_000 };
const THOUSAND: u32 = 1_000;
/// Of strangers who come, so that they, who may be forged, spend nothing else.
const STRANGERS: Rate = Rate { per_second: 4, burst: 16 };

/// Whom a node asks that it never spoke to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// By its own upkeep: tables, leaves, repair, candidates.
    ForUpkeep {
        /// Whether it serves others.
        serves: bool,
    },
    /// In a look-up that the application wants.
    InLookUp,
    /// By who does not know where it is, of whoever has come to it.
    ForPlace,
}

/// The rates of new endpoints: of upkeep while serving, and of look-ups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EndpointRates {
    pub(crate) upkeep: Rate,
    pub(crate) look_ups: Rate,
}

impl NewEndpoints {
    /// From the node's start on.
    pub(crate) fn new(now: Time) -> Self {
        Self {
            began: now,
            first: Vec::new(),
            upkeep: Budget::default(),
            client: Budget::default(),
            look_ups: Budget::default(),
            strangers: Budget::default(),
        }
    }

    /// Whether one more may be spoken to; it counts if so, also for its group if that has a share. Who has just been answered is none.
    pub(crate) fn spend(&mut self, asked: Asked, share: Option<Share<'_>>, rates: EndpointRates, now: Time) -> bool {
        let serves = match asked {
            Asked::ForUpkeep { serves } => serves,
            Asked::InLookUp => return self.look_ups.spend_shared(1, rates.look_ups, share, now),
            Asked::ForPlace => return self.strangers.spend_shared(1, STRANGERS, share, now),
        };
        // What may be had then does not fill, and no group's part of it does.
        let is_first = now.since(self.began) < FIRST_LENGTH;
        if !is_first {
            self.first = Vec::new();
        }
        let group = share.as_ref().map(Share::tag);
        if self.first.len() >= FIRST_MAX || group.is_some_and(|group| self.first_of(group) >= FIRST_OF_GROUP_MAX) {
            return false;
        }
        let is_allowed =
            if serves { self.upkeep.spend_shared(1, rates.upkeep, share, now) } else { self.client.spend(THOUSAND, CLIENT, now) };
        if is_first && is_allowed {
            self.first.push(group.unwrap_or_default());
        }
        is_allowed
    }

    /// How many of the first are of a group.
    fn first_of(&self, group: u32) -> usize {
        self.first.iter().filter(|first| **first == group).count()
    }

    /// Bytes of heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.first.capacity().saturating_mul(size_of::<u32>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: Rate = Rate { per_second: 16_384, burst: 491_520 };
    const RATES: EndpointRates = EndpointRates { upkeep: Rate { per_second: 4, burst: 60 }, look_ups: Rate { per_second: 16, burst: 96 } };

    fn secs(secs: u64) -> Time {
        Time::from_secs(1_000 + secs)
    }

    // spec-test: DHT-73
    #[test]
    fn bytes_run_short_step_by_step_and_come_back_at_their_rate() {
        let mut bytes = ReplyBytes::default();
        let now = secs(0);
        let mut steps = alloc::vec![bytes.shortage(BYTES, now)];
        let mut sent: u32 = 0;
        while bytes.spend(1_000, true, BYTES, None, now) {
            sent += 1_000;
            if steps.last() != Some(&bytes.shortage(BYTES, now)) {
                steps.push(bytes.shortage(BYTES, now));
            }
        }
        assert_eq!(sent, 491_000);
        assert_eq!(steps, [Shortage::None, Shortage::ColdFinds, Shortage::ColdGets, Shortage::AllButOwn]);
        assert_eq!(bytes.shortage(BYTES, secs(16)), Shortage::None, "half of it in half of 30 s");
        let later = (0..1_000).filter(|_| bytes.spend(1_000, true, BYTES, None, secs(10))).count();
        assert!((163..=164).contains(&later), "{later}");
    }

    // spec-test: DHT-73
    #[test]
    fn whoever_shows_no_cookie_has_half_of_the_bytes() {
        let mut bytes = ReplyBytes::default();
        let spent = (0..1_000).filter(|_| bytes.spend(1_000, false, BYTES, None, secs(0))).count();
        assert_eq!(spent, 245);
        let spent = (0..1_000).filter(|_| bytes.spend(1_000, true, BYTES, None, secs(0))).count();
        assert_eq!(spent, 246, "what they took is not there for others");
    }

    // spec-test: DHT-74
    #[test]
    fn new_endpoints_are_sixty_at_the_start_then_four_a_second_or_two_hundred_an_hour() {
        for (serves, hour) in [(true, 4 * 3_570 + 60..=4 * 3_600 + 60), (false, 190..=200)] {
            let mut endpoints = NewEndpoints::new(secs(0));
            let mut spent = |from: u64, to: u64| {
                let times = (from * 10..to * 10).map(|tenth| Time::from_millis(1_000_000 + tenth * 100));
                times.filter(|now| endpoints.spend(Asked::ForUpkeep { serves }, None, RATES, *now)).count()
            };
            let first = spent(0, 30);
            assert!((59..=60).contains(&first), "{first}");
            let rest = spent(30, 3_600);
            assert!(hour.contains(&(first + rest)), "{serves}: {first} + {rest}");
            let next = spent(3_600, 7_200);
            assert!(next <= *hour.end(), "{next}");
        }
    }

    // spec-test: DHT-74
    #[test]
    fn who_begins_to_serve_may_meet_four_a_second_whatever_it_asked_as_a_client() {
        let mut endpoints = NewEndpoints::new(secs(0));
        let mut spent = |serves, at| (0..100).filter(|_| endpoints.spend(Asked::ForUpkeep { serves }, None, RATES, secs(at))).count();
        assert_eq!((spent(false, 31), spent(true, 32), spent(true, 33)), (60, 60, 4));
        assert_eq!(spent(false, 34), 0, "nor does it get more by ending to serve");
    }

    // spec-test: DHT-74
    #[test]
    fn look_ups_have_new_endpoints_of_their_own() {
        let mut endpoints = NewEndpoints::new(secs(0));
        while endpoints.spend(Asked::ForUpkeep { serves: false }, None, RATES, secs(0)) {}
        let spent = (0..1_000).filter(|_| endpoints.spend(Asked::InLookUp, None, RATES, secs(1))).count();
        assert_eq!(spent, 96);
        let spent = (0..1_000).filter(|_| endpoints.spend(Asked::InLookUp, None, RATES, secs(2))).count();
        assert_eq!(spent, 16);
    }
}
