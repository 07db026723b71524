//! `cargo test` over many seeds: what [`main!`](crate::main) runs.
//!
//! | variable | default | says |
//! |---|---|---|
//! | `OVERCOM_SEED` | | only this seed (decimal or `0x…`); a failure prints the whole ladder, a panic its backtrace |
//! | `OVERCOM_SEEDS` | 64 | how many seeds, from 0; at least 1 |
//! | `OVERCOM_JOBS` | the processors | how many seeds at once |
//! | `OVERCOM_TWICE` | | `1`: each seed twice, the digests are compared |
//! | `OVERCOM_SHRINK` | | `1`: steps and calls are taken away one after the other while the failure stays; what is left goes to a file |
//! | `OVERCOM_SCENARIO` | | such a file: only that run, step by step as it says |
//!
//! A failure prints what failed, with which seed and when; how each node stood ([`Sim::show`] adds the application's own
//! words); the last lines of the ladder; and the one line that repeats it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};

use libtest_mimic::{Arguments, Failed, Trial};
use overcom_core::App;

use crate::digest::compare;
use crate::run::Failure;
use crate::scenario::Scenario;
use crate::shrink::shrink;
use crate::sim::{Report, Sim};

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
    /// Only the run of this file.
    pub scenario: Option<PathBuf>,
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
        let flag = |name: &str| match std::env::var(name).as_deref() {
            Ok("1") => Ok(true),
            Ok("" | "0") | Err(_) => Ok(false),
            Ok(text) => Err(format!("{name}={text}: it is 1, or not set")),
        };
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = number("OVERCOM_JOBS")?.map_or(processors, |jobs| usize::try_from(jobs).unwrap_or(1).max(1));
        let (seed, seeds) = (number("OVERCOM_SEED")?, number("OVERCOM_SEEDS")?.unwrap_or(64));
        if seeds == 0 {
            return Err("OVERCOM_SEEDS=0: nothing would be run; at least 1 is needed".into());
        }
        let scenario = std::env::var_os("OVERCOM_SCENARIO").map(PathBuf::from);
        Ok(Self { seed, seeds, jobs, twice: flag("OVERCOM_TWICE")?, shrink: flag("OVERCOM_SHRINK")?, scenario })
    }
}

pub(crate) fn read_number(text: &str) -> Option<u64> {
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
    /// The variables that make it come again.
    pub again: String,
    /// What is still needed for it, when it was shrunk.
    pub shrunk: Option<Shrunk>,
}

/// A run with only the steps and calls that a failure needs.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Everything about it.
    pub scenario: Scenario,
    /// What came of it.
    pub report: Report,
}

/// One run of `build` with this seed, without these steps. A panic in the application or a check is a failure.
pub fn run_once<A: App + 'static>(build: fn(&mut Sim<A>), seed: u64, skip: &[String]) -> (Report, Scenario) {
    let mut sim = Sim::new(seed);
    sim.skip(skip.iter().cloned());
    run_caught(build, sim)
}

/// One run of the nodes, applications and checks of `build`, in which happens what the scenario says.
pub fn run_scenario<A: App + 'static>(build: fn(&mut Sim<A>), scenario: Scenario) -> (Report, Scenario) {
    let mut sim = Sim::new(scenario.seed);
    sim.follow(scenario);
    run_caught(build, sim)
}

fn run_caught<A: App + 'static>(build: fn(&mut Sim<A>), mut sim: Sim<A>) -> (Report, Scenario) {
    PANIC.with_borrow_mut(|panic| *panic = Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        build(&mut sim);
        sim.run()
    }));
    let place = PANIC.with_borrow_mut(Option::take).unwrap_or_default();
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
            let whose = sim.panicked().map(|name| format!("{name}'s application: ")).unwrap_or_default();
            failed(&sim, "panic", format!("{whose}{}{place}", text.unwrap_or_default()))
        }
    };
    (report, sim.scenario())
}

thread_local! {
    /// During a run: where it panicked.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of a run are told once, with their seed: not by each of the runs of a hunt or a shrink, unless `loud`.
fn keep_panics(loud: bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|place| format!("\n     at {place}")).unwrap_or_default();
            let is_ours = PANIC.with_borrow_mut(|panic| panic.as_mut().map(|panic| *panic = place).is_some());
            if loud || !is_ours {
                usual(info);
            }
        }));
    });
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
                        let again = format!("OVERCOM_SEED={seed:#x}{}", if options.twice { " OVERCOM_TWICE=1" } else { "" });
                        *lowest = Some((seed, Found { report, failure, again, shrunk: None }));
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
        // No seed alone shows what none of them showed.
        Found { report, failure, again: format!("OVERCOM_SEEDS={}", options.seeds), shrunk: None }
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

/// Which test it is: package, binary and name, as `cargo test` takes them.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// `CARGO_PKG_NAME`.
    pub package: &'static str,
    /// `CARGO_CRATE_NAME`.
    pub binary: &'static str,
    /// The function.
    pub name: &'static str,
}

/// The one screen that a failure prints; `whole`: with all of the ladder.
pub fn screen(named: &Named, found: &Found, whole: bool) -> String {
    // Once shrunk, what is shown is the smaller run.
    let report = found.shrunk.as_ref().map_or(&found.report, |shrunk| &shrunk.report);
    let failure = report.failure.as_ref().unwrap_or(&found.failure);
    let mut text = format!("FAIL {}  {}  seed {:#x}  t={}  crypto {}\n", named.name, failure.check, report.seed, failure.at, report.crypto);
    if !failure.detail.is_empty() {
        let _ = writeln!(text, "     {}", failure.detail);
    }
    if let Some(Shrunk { scenario, .. }) = &found.shrunk {
        let _ = writeln!(text, "shrunk to {} steps:", scenario.steps.len());
        for step in &scenario.steps {
            let what = serde_json::to_string(&step.what).unwrap_or_default();
            let _ = writeln!(text, "  {} at {} ms: {what}", step.id, step.at_ms);
        }
    }
    text.push_str(&if whole { report.ladder() } else { report.ladder_tail(LADDER_LINES) });
    text.push_str("at the end:\n");
    report.nodes.iter().for_each(|node| {
        let _ = writeln!(text, "  {node}");
    });
    let _ = writeln!(text, "again   {} {}", found.again, command(named));
    text
}

fn command(Named { package, binary, name }: &Named) -> String {
    format!("cargo test -p {package} --test {binary} -- --exact {name}")
}

/// One test of [`main!`](crate::main).
pub fn trial<A: App + 'static>(named: Named, build: fn(&mut Sim<A>)) -> Trial {
    Trial::test(named.name, move || {
        let options = Options::from_env().map_err(Failed::from)?;
        let is_one = options.seed.is_some() || options.scenario.is_some();
        keep_panics(is_one);
        let found = match &options.scenario {
            Some(path) => follow(build, path).map_err(|why| Failed::from(format!("OVERCOM_SCENARIO={}: {why}", path.display())))?,
            None => hunt(build, &options),
        };
        let Some(found) = found else { return Ok(()) };
        let mut text = screen(&named, &found, is_one);
        if let Some(Ok(json)) = found.shrunk.as_ref().map(|shrunk| shrunk.scenario.to_json()) {
            let path = std::env::temp_dir().join(format!("overcom-{}-{:x}.json", named.name, found.report.seed));
            let told = match std::fs::write(&path, json) {
                Ok(()) => format!("shrunk  OVERCOM_SCENARIO={} {}\n", path.display(), command(&named)),
                Err(why) => format!("{} cannot be written: {why}\n", path.display()),
            };
            text.push_str(&told);
        }
        Err(Failed::from(text))
    })
}

/// The failure of a file's run, if it fails.
fn follow<A: App + 'static>(build: fn(&mut Sim<A>), path: &Path) -> Result<Option<Found>, String> {
    let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
    let (report, _) = run_scenario(build, Scenario::from_json(&text).map_err(|why| why.to_string())?);
    let again = format!("OVERCOM_SCENARIO={}", path.display());
    Ok(report.failure.clone().map(|failure| Found { report, failure, again, shrunk: None }))
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
            $crate::harness::run_all(vec![$({
                let (package, binary) = (env!("CARGO_PKG_NAME"), env!("CARGO_CRATE_NAME"));
                $crate::harness::trial($crate::harness::Named { package, binary, name: stringify!($test) }, $test)
            }),+]);
        }
    };
}
