//! `cargo test` over many seeds: what [`main!`](crate::main) runs.
//!
//! | variable | default | says |
//! |---|---|---|
//! | `OVERCOM_SEED` | | only this seed (decimal or `0x…`); a failure prints the whole ladder |
//! | `OVERCOM_SEEDS` | 64 | how many seeds, from 0 |
//! | `OVERCOM_JOBS` | the processors | how many seeds at once |
//! | `OVERCOM_TWICE` | | `1`: each seed twice, the digests are compared |
//! | `OVERCOM_SHRINK` | | `1`: steps and calls are taken away one after the other while the failure stays |

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use libtest_mimic::{Arguments, Failed, Trial};
use overcom_core::App;

use crate::digest::compare;
use crate::run::Failure;
use crate::scenario::Scenario;
use crate::sim::{Report, Sim};

/// How many runs a shrink may take (guess: seconds, not minutes).
const SHRINK_RUNS_MAX: u32 = 400;
/// How many lines of the ladder a failure prints.
const LADDER_LINES: usize = 20;

/// How a test is run; [`Options::from_env`] reads the variables above.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this seed.
    pub seed: Option<u64>,
    /// How many seeds, from 0.
    pub seeds: u64,
    /// How many at once.
    pub jobs: usize,
    /// Each twice.
    pub twice: bool,
    /// Shrink a failure.
    pub shrink: bool,
}

impl Options {
    /// From the environment.
    ///
    /// # Errors
    /// The variable that cannot be read, and what it takes.
    pub fn from_env() -> Result<Self, String> {
        let number = |name: &str| match std::env::var(name) {
            Ok(text) => read_number(&text).map(Some).ok_or_else(|| format!("{name}={text}: a number is needed, decimal or 0x…")),
            Err(_) => Ok(None),
        };
        let flag = |name: &str| std::env::var(name).is_ok_and(|text| text == "1");
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = number("OVERCOM_JOBS")?.map_or(processors, |jobs| usize::try_from(jobs).unwrap_or(1).max(1));
        let (seed, seeds) = (number("OVERCOM_SEED")?, number("OVERCOM_SEEDS")?.unwrap_or(64));
        Ok(Self { seed, seeds, jobs, twice: flag("OVERCOM_TWICE"), shrink: flag("OVERCOM_SHRINK") })
    }
}

fn read_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A failure that was found, and what it was shrunk to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The run that failed.
    pub report: Report,
    /// Why it failed.
    pub failure: Failure,
    /// The steps that are still needed, when it was shrunk: a scenario of its own.
    pub shrunk: Option<Scenario>,
}

/// One run of `build` with this seed, without these steps. A panic in the application or a check is a failure.
pub fn run_once<A: App + 'static>(build: fn(&mut Sim<A>), seed: u64, skip: &[String]) -> (Report, Scenario) {
    let mut sim = Sim::new(seed);
    sim.skip(skip.iter().cloned());
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        build(&mut sim);
        sim.run()
    }));
    let failed = |sim: &Sim<A>, check: &str, detail| {
        let mut report = sim.report();
        report.failure = Some(Failure { check: check.into(), at: report.end, detail });
        report
    };
    let report = match outcome {
        Ok(Ok(report)) => report,
        Ok(Err(why)) => failed(&sim, "scenario", why.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
            failed(&sim, "panic", text.unwrap_or_default())
        }
    };
    (report, sim.scenario())
}

/// Runs `build` over the seeds; the failure of the lowest seed, or of a `sometimes` that never held.
pub fn hunt<A: App + 'static>(build: fn(&mut Sim<A>), options: &Options) -> Option<Found> {
    let (first, end) = options.seed.map_or((0, options.seeds), |seed| (seed, seed.saturating_add(1)));
    let next = AtomicU64::new(first);
    let lowest: Mutex<Option<(u64, Found)>> = Mutex::new(None);
    let held: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let done = |found: &Option<(u64, Found)>| found.as_ref().is_some_and(|(lowest, _)| *lowest < seed);
                    if seed >= end || lowest.lock().is_ok_and(|found| done(&found)) {
                        return;
                    }
                    let report = run_checked(build, seed, options.twice);
                    if let Ok(mut held) = held.lock() {
                        report.sometimes.iter().for_each(|(name, once)| *held.entry(name.clone()).or_default() |= once);
                    }
                    if let (Some(failure), Ok(mut lowest)) = (report.failure.clone(), lowest.lock())
                        && lowest.as_ref().is_none_or(|(other, _)| seed < *other)
                    {
                        *lowest = Some((seed, Found { report, failure, shrunk: None }));
                    }
                }
            });
        }
    });
    if let Some((_, mut found)) = lowest.into_inner().ok().flatten() {
        found.shrunk = options.shrink.then(|| shrink(build, &found));
        return Some(found);
    }
    // One seed alone proves nothing about what must hold at least once.
    let never = held.into_inner().ok()?.into_iter().find(|(_, held)| !held && options.seed.is_none());
    never.map(|(name, _)| {
        let (report, _) = run_once(build, first, &[]);
        let detail = format!("held in none of {} seeds", options.seeds);
        let failure = Failure { check: format!("sometimes \"{name}\""), at: report.end, detail };
        Found { report, failure, shrunk: None }
    })
}

fn run_checked<A: App + 'static>(build: fn(&mut Sim<A>), seed: u64, twice: bool) -> Report {
    let (mut report, _) = run_once(build, seed, &[]);
    if twice && report.failure.is_none() {
        let (again, _) = run_once(build, seed, &[]);
        if let Some(divergence) = compare(&report.marks, &again.marks) {
            report.failure = Some(Failure { check: "same twice".into(), at: report.end, detail: divergence.to_string() });
        }
    }
    report
}

/// Takes steps away, large groups first, while the same check fails.
fn shrink<A: App + 'static>(build: fn(&mut Sim<A>), found: &Found) -> Scenario {
    let seed = found.report.seed;
    let mut gone: Vec<String> = Vec::new();
    let (_, mut best) = run_once(build, seed, &gone);
    let mut runs = 0;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 && runs < SHRINK_RUNS_MAX {
        let mut start = 0;
        while start < best.steps.len() && runs < SHRINK_RUNS_MAX {
            let group = best.steps.iter().skip(start).take(size).map(|step| step.id.clone());
            let without: Vec<String> = gone.iter().cloned().chain(group).collect();
            runs += 1;
            let (report, scenario) = run_once(build, seed, &without);
            if report.failure.is_some_and(|failure| failure.check == found.failure.check) {
                (gone, best) = (without, scenario);
            } else {
                start += size;
            }
        }
        size /= 2;
    }
    best
}

/// The one screen that a failure prints.
pub fn screen(name: &str, binary: &str, found: &Found, whole: bool) -> String {
    let Found { report, failure, shrunk } = found;
    let mut text = format!("FAIL {name}  {}  seed {:#x}  t={}  crypto {}\n", failure.check, report.seed, failure.at, report.crypto);
    if !failure.detail.is_empty() {
        let _ = writeln!(text, "     {}", failure.detail);
    }
    if let Some(scenario) = shrunk {
        let _ = writeln!(text, "shrunk to {} steps:", scenario.steps.len());
        for step in &scenario.steps {
            let what = serde_json::to_string(&step.what).unwrap_or_default();
            let _ = writeln!(text, "  {} at {} ms: {what}", step.id, step.at_ms);
        }
    }
    text.push_str(&if whole { report.ladder() } else { report.ladder_tail(LADDER_LINES) });
    let _ = writeln!(text, "again   OVERCOM_SEED={:#x} cargo test --test {binary} {name}", report.seed);
    text
}

/// One test of [`main!`](crate::main).
pub fn trial<A: App + 'static>(name: &'static str, binary: &'static str, build: fn(&mut Sim<A>)) -> Trial {
    Trial::test(name, move || {
        let options = Options::from_env().map_err(Failed::from)?;
        let Some(found) = hunt(build, &options) else { return Ok(()) };
        let mut text = screen(name, binary, &found, options.seed.is_some());
        if let Some(Ok(json)) = found.shrunk.as_ref().map(Scenario::to_json) {
            let path = std::env::temp_dir().join(format!("overcom-{name}-{:x}.json", found.report.seed));
            let told = match std::fs::write(&path, json) {
                Ok(()) => format!("file    {}\n", path.display()),
                Err(why) => format!("file    not written: {why}\n"),
            };
            text.push_str(&told);
        }
        Err(Failed::from(text))
    })
}

/// Runs the tests as `cargo test` asks for them, and ends the process.
pub fn run_all(trials: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), trials).exit()
}

/// The `main` of a test with `harness = false`: each function builds a [`Sim`](crate::Sim) of its own application.
#[macro_export]
macro_rules! main {
    ($($test:ident),+ $(,)?) => {
        fn main() {
            $crate::harness::run_all(vec![$($crate::harness::trial(stringify!($test), env!("CARGO_CRATE_NAME"), $test)),+]);
        }
    };
}
