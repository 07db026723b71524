//! The clocks of the operating system: the only place that reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use overcom_core::{Time, WallTime};

/// The monotonic clock of one shell, counted from when it was made.
///
/// On Linux and Android it counts the time a machine sleeps (`CLOCK_BOOTTIME`), as [`Time`] asks (spec: SHELL-2).
/// Elsewhere it is what std offers, which counts sleep on Windows and not on Apple's systems; there a shell
/// reports `Event::Addresses` with `rebound: true` after a suspension, which does the same service.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Reading,
}

impl Clock {
    /// A clock whose epoch is now.
    pub fn start() -> Self {
        Self { epoch: read() }
    }

    /// The time since the epoch. Never goes back.
    pub fn now(&self) -> Time {
        Time::ZERO + since(self.epoch)
    }

    /// How long until `due`; zero if it has come. Rounded up to whole milliseconds, so that sleeping for it does not wake early.
    pub fn until(&self, due: Time) -> Duration {
        let micros = u64::try_from(due.since(self.now()).as_micros()).unwrap_or(u64::MAX);
        Duration::from_millis(micros.div_ceil(1_000))
    }

    /// What the wall clock says. A clock before 1970 says 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the place through which wall time enters")]
    pub fn wall(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
type Reading = Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
fn read() -> Reading {
    let reading = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(reading).unwrap_or_default()
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn since(epoch: Reading) -> Duration {
    read().saturating_sub(epoch)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Reading = std::time::Instant;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::disallowed_methods, reason = "this is the place through which time enters")]
fn read() -> Reading {
    Reading::now()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn since(epoch: Reading) -> Duration {
    read().saturating_duration_since(epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_on_by_as_much_as_is_slept_and_waits_are_not_too_short() {
        let clock = Clock::start();
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(20));
        let after = clock.now();
        assert!(after.since(before) >= Duration::from_millis(20));
        assert_eq!(clock.until(before), Duration::ZERO);
        let due = clock.now() + Duration::from_micros(5_500);
        std::thread::sleep(clock.until(due));
        assert!(clock.now() >= due);
    }

    // spec-test: SHELL-2
    #[test]
    fn the_clock_never_goes_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    // spec-test: SHELL-2
    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_counts_the_time_that_the_machine_slept() {
        use std::io::Write as _;
        use std::process::Command;

        const INSIDE: &str = "OVERCOM_CLOCK_SLEPT";
        if std::env::var_os(INSIDE).is_some() {
            let monotonic = Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::Monotonic)).unwrap();
            let slept = read().saturating_sub(monotonic);
            assert!(slept >= Duration::from_secs(1_000), "it counts {slept:?} of sleep");
            return;
        }
        // In a time namespace the machine has slept for 1,000 s, whether it has or not.
        let slept = |program: &std::ffi::OsStr| {
            let mut command = Command::new("unshare");
            command.args(["-r", "-T", "--boottime", "1000"]).arg(program).env(INSIDE, "");
            command
        };
        if !slept("true".as_ref()).output().is_ok_and(|output| output.status.success()) {
            let _ = writeln!(std::io::stderr(), "PASSED OVER: whether the clock counts sleep, since no time namespace can be made here");
            return;
        }
        let name = "clock::tests::the_clock_counts_the_time_that_the_machine_slept";
        let output = slept(std::env::current_exe().unwrap().as_os_str()).args(["--exact", name]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }

    #[test]
    fn the_wall_clock_is_in_this_century() {
        assert!(Clock::start().wall() > WallTime::from_millis(1_700_000_000_000));
    }
}
