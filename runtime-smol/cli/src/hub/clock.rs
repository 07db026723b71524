//! What peers have said of this machine's clock, for as long as it holds.

use overcom_core::{CLOCK_TOLERANCE_MS, Time, WallTime};
use overcom_std::Clock;

/// How far the wall clock was off, and where it stood then, so that what it was set by since is known.
pub(super) struct ClockOff {
    ahead_ms: i64,
    stood_ms: i64,
}

impl ClockOff {
    /// Peers say just now that it is so far ahead (negative: behind).
    pub(super) fn new(ahead_ms: i64, clock: &Clock) -> Self {
        Self { ahead_ms, stood_ms: stands(clock.now(), clock.wall()) }
    }

    /// How far it is ahead by now: what peers have said, and what it was set by since. `None` once it is right.
    pub(super) fn ahead_ms(&self, clock: &Clock) -> Option<i64> {
        self.ahead_at(clock.now(), clock.wall())
    }

    fn ahead_at(&self, now: Time, wall: WallTime) -> Option<i64> {
        let ahead_ms = self.ahead_ms.saturating_add(stands(now, wall).saturating_sub(self.stood_ms));
        (ahead_ms.unsigned_abs() > CLOCK_TOLERANCE_MS).then_some(ahead_ms)
    }
}

/// The wall clock less the time that passed: it changes only when somebody sets the clock.
fn stands(now: Time, wall: WallTime) -> i64 {
    let passed = now.since(Time::ZERO).as_millis();
    i64::try_from(i128::from(wall.as_millis()) - i128::try_from(passed).unwrap_or(i128::MAX)).unwrap_or(i64::MAX)
}

/// A clock that is off, in words.
pub(crate) fn clock_sentence(ahead_ms: i64) -> String {
    let secs = ahead_ms.unsigned_abs() / 1_000;
    let span = match secs {
        0..120 => format!("{secs} seconds"),
        120..7_200 => format!("{} minutes", secs / 60),
        7_200..172_800 => format!("{} hours", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    };
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("this machine's clock is {span} {side} those of its peers: set it, or they will refuse what it signs")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_in_a_sentence_with_the_way_out() {
        for (ahead_ms, words) in [(86_400_000, "24 hours ahead of"), (-259_200_000, "3 days behind"), (90_000, "90 seconds ahead of")] {
            let said = clock_sentence(ahead_ms);
            assert!(said.contains(words) && said.contains("set it"), "{said}");
        }
    }

    #[test]
    fn a_clock_that_was_set_right_is_off_no_more_and_one_that_was_set_wrong_is_off_by_what_it_is_now() {
        const DAY_MS: i64 = 86_400_000;
        let wall = |ms: i64| WallTime::from_millis(u64::try_from(1_800_000_000_000 + ms).expect("after 1970"));
        let off = |ahead_ms| ClockOff { ahead_ms, stood_ms: stands(Time::ZERO, wall(0)) };
        let later = Time::ZERO + Duration::from_secs(60);
        for (ahead_ms, set_by_ms, expected) in [
            (DAY_MS, 0, Some(DAY_MS)),
            (DAY_MS, -DAY_MS, None),
            (DAY_MS, -DAY_MS + 599_000, None),
            (DAY_MS, -DAY_MS / 2, Some(DAY_MS / 2)),
            (-DAY_MS, DAY_MS, None),
            (-DAY_MS, 3 * DAY_MS, Some(2 * DAY_MS)),
        ] {
            assert_eq!(off(ahead_ms).ahead_at(later, wall(60_000 + set_by_ms)), expected, "{ahead_ms} set by {set_by_ms}");
        }
    }
}
