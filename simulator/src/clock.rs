//! A node's wall clock: wrong by an offset, by a drift, and sometimes set.

use overcom_core::{Time, WallTime};
use serde::{Deserialize, Serialize};

/// 2026-01-01T00:00Z: when every run begins.
pub(crate) const EPOCH_MS: u64 = 1_767_225_600_000;

/// How far a wall clock is off. The monotonic time is always right and counts sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// Milliseconds ahead of the true time (negative: behind).
    pub offset_ms: i64,
    /// Microseconds gained in each second: parts per million.
    pub drift_ppm: i32,
}

impl Clock {
    /// What it shows at `now`.
    pub fn wall(&self, now: Time) -> WallTime {
        let run_ms = i128::from(now.as_micros() / 1_000);
        let drift = run_ms * i128::from(self.drift_ppm) / 1_000_000;
        let shown = i128::from(EPOCH_MS) + run_ms + i128::from(self.offset_ms) + drift;
        WallTime::from_millis(u64::try_from(shown.max(0)).unwrap_or(u64::MAX))
    }

    /// Sets it forward by so many milliseconds (negative: back).
    pub(crate) const fn step(&mut self, by_ms: i64) {
        self.offset_ms = self.offset_ms.saturating_add(by_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_drift_and_steps_add_up_and_never_go_below_1970() {
        let mut clock = Clock { offset_ms: -500, drift_ppm: 100 };
        assert_eq!(clock.wall(Time::ZERO), WallTime::from_millis(EPOCH_MS - 500));
        assert_eq!(clock.wall(Time::from_secs(100)), WallTime::from_millis(EPOCH_MS - 500 + 100_000 + 10));
        clock.step(600);
        assert_eq!(clock.wall(Time::ZERO), WallTime::from_millis(EPOCH_MS + 100));
        clock.step(i64::MIN);
        assert_eq!(clock.wall(Time::ZERO), WallTime::ZERO);
    }
}
