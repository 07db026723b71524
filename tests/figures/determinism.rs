//! `determinism` and `replay`: the same inputs give the same actions, in a second run and from a recording.

use std::time::Duration;

use overcom_core::trace::{Builds, replay as replay_text};
use overcom_core::{Command, Config, Event, Message, Rng, WallTime};
use overcom_simulator::{Sim, fault};
use overcom_std::Clock;

use crate::demo::{Demo, RUNTIMES};
use crate::figure::{Measured, Size};
use crate::program::{IS_OPTIMISED, cargo};
use crate::table::{Person, Table, WALL, seed_of};
use crate::threads::each;

const PEOPLE: u64 = 4;
const STEPS: u64 = 60;
/// Nodes of the simulated network, as many as the demo has, and their lives: one crashes.
const NODES: u64 = 3;
const LIVES: u64 = NODES + 1;

/// Seeds whose runs, done twice, differ: simulated networks by their digests, and nodes on a table by their recordings,
/// byte for byte; and seeds whose digests differ in a build with the other profile. The control runs with the operating
/// system's wall clock.
pub(crate) fn determinism(size: Size) -> Result<Measured, String> {
    // The small size builds nothing: `.ci/run` compares two builds of its own.
    let (seeds, builds) = (size.of(20, 1_000, 1_000), size.of(0, 100, 100));
    let mut differ = u32::try_from(differing_builds(builds)?).map_err(|why| why.to_string())?;
    let (mut control, mut events) = (0, 0);
    for (is_same, count) in each(seeds, twice)? {
        events += count;
        differ += u32::from(!is_same);
    }
    let clock = Clock::start();
    // Within the delegations' time, whatever the year is.
    let wall = || WALL + Duration::from_millis(clock.wall().as_millis() % 60_000);
    for seed in 0..seeds.min(20) {
        let first = recording(seed, wall)?;
        // The wall clock counts milliseconds.
        std::thread::sleep(Duration::from_millis(2));
        control += u32::from(first != recording(seed, wall)?);
    }
    if simulated(0)?.0 == simulated(1)?.0 {
        return Err("runs of two seeds have the same digest: it covers nothing".into());
    }
    Ok(Measured {
        value: f64::from(differ),
        unit: "seeds",
        target: 0.0,
        control: f64::from(control),
        size: events,
        seeds,
        detail: format!(
            "{seeds} seeds twice, {events} simulated events; {builds} seeds in debug against release; control: of {} seeds those that \
             differ with the system's wall clock",
            seeds.min(20)
        ),
    })
}

/// Whether two runs of a seed are the same, and how many simulated events the first one has.
fn twice(seed: u64) -> Result<(bool, u64), String> {
    let (first, second) = (simulated(seed)?, simulated(seed)?);
    Ok((first == second && recording(seed, || WALL)? == recording(seed, || WALL)?, first.1))
}

/// A line for each seed: the digests of its simulated network, and of the nodes on its table.
pub(crate) fn digests(seeds: u64) -> Result<Vec<String>, String> {
    let line = |seed| {
        let recordings = recording(seed, || WALL)?;
        // The last line of a recording says how many actions there were, and their digest.
        let ends: String = recordings.iter().filter_map(|text| text.lines().last()).collect();
        Ok(format!("{seed} {:032x} {ends}", simulated(seed)?.0))
    };
    (0..seeds).map(line).collect()
}

/// How many seeds have other digests when this program is built with the other profile.
fn differing_builds(seeds: u64) -> Result<usize, String> {
    if seeds == 0 {
        return Ok(0);
    }
    let mut other = cargo("run", !IS_OPTIMISED)?;
    other.args(["--package", "overcom-tests", "--bin", "figures", "--", "--digests", &seeds.to_string()]);
    let output = other.output().map_err(|why| format!("cargo: {why}"))?;
    if !output.status.success() {
        return Err(format!("the other profile's build: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let (theirs, ours) = (String::from_utf8_lossy(&output.stdout), digests(seeds)?);
    let theirs: Vec<&str> = theirs.lines().collect();
    if theirs.len() != ours.len() {
        return Err(format!("the other profile's build tells {} seeds of {seeds}", theirs.len()));
    }
    Ok(ours.iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).count())
}

/// Recordings that do not replay with the digests that they hold: of nodes on a table, of simulated ones with a crash, and
/// of those of `overcom demo` on real sockets. The control leaves one input out of each.
pub(crate) fn replay(size: Size) -> Result<Measured, String> {
    let (seeds, runs) = (size.of(20, 200, 1_000), size.of(2, 34, 34));
    let mut found = Replayed::default();
    for seed in 0..seeds {
        recording(seed, || WALL)?.iter().for_each(|text| found.add(text));
    }
    for seed in 0..runs {
        let mut sim = network(seed)?;
        sim.record();
        sim.run().map_err(|why| why.to_string())?;
        one_by_one(&sim.trace()).iter().for_each(|text| found.add(text));
    }
    let demo = Demo::build()?;
    for runtime in (0..runs).flat_map(|_| RUNTIMES) {
        one_by_one(&demo.play(runtime)?.recording).iter().for_each(|text| found.add(text));
    }
    let Replayed { recordings, wrong, control, inputs, first } = found;
    Ok(Measured {
        value: f64::from(wrong),
        unit: "recordings",
        target: 0.0,
        control: f64::from(control),
        size: inputs,
        seeds,
        detail: format!(
            "{recordings} recordings, of them {} from the simulator and {} each from mio and smol; control: those that fail without one \
             of their inputs{}",
            runs * LIVES,
            runs * NODES,
            first.map(|why| format!("; the first that does not: {why}")).unwrap_or_default()
        ),
    })
}

/// What came of recordings.
#[derive(Default)]
struct Replayed {
    recordings: u64,
    wrong: u32,
    control: u32,
    inputs: u64,
    /// Why the first one does not replay.
    first: Option<String>,
}

impl Replayed {
    fn add(&mut self, text: &str) {
        self.recordings += 1;
        match replay_text(text, Builds::Same) {
            Ok(replays) if replays.iter().all(|replay| replay.compared > 0) => {
                self.inputs += replays.iter().map(|replay| replay.inputs).sum::<u64>()
            }
            Ok(_) => self.fail("a recording without a digest to compare".into()),
            Err(why) => self.fail(why.to_string()),
        }
        self.control += u32::from(replay_text(&without_a_line(text), Builds::Same).is_err());
    }

    fn fail(&mut self, why: String) {
        self.wrong += 1;
        self.first.get_or_insert(why);
    }
}

/// Recordings that stand one after the other, each for itself.
fn one_by_one(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("{\"overcom_trace\":") || all.is_empty() {
            all.push(String::new());
        }
        if let Some(last) = all.last_mut() {
            last.extend([line, "\n"]);
        }
    }
    all
}

/// The digest and the number of events of a simulated network's run.
fn simulated(seed: u64) -> Result<(u128, u64), String> {
    let report = network(seed)?.run().map_err(|why| why.to_string())?;
    match report.failure {
        Some(failure) => Err(format!("seed {seed}: {}: {}", failure.check, failure.detail)),
        None => Ok((report.digest.0, report.marks.count())),
    }
}

/// A simulated network with loss of service: a crash, messages both ways.
fn network(seed: u64) -> Result<Sim, String> {
    let mut sim: Sim = Sim::new(seed);
    let [alice, bob, carol] = sim.nodes(["alice", "bob", "carol"], overcom_simulator::Inbox::new);
    sim.introduce(alice, [bob]);
    sim.introduce(bob, [carol]);
    sim.introduce(carol, [bob]);
    for n in 0..20 {
        let at = Duration::from_millis(1_000 + n * 400);
        let (from, to) = if n % 3 == 0 { (alice, bob) } else { (bob, carol) };
        sim.send_at(at, from, to, "text", &n.to_string()).map_err(|why| why.to_string())?;
    }
    sim.at(Duration::from_secs(3), fault::crash(bob));
    sim.at(Duration::from_secs(4), fault::restart(bob));
    sim.until(Duration::from_secs(30));
    Ok(sim)
}

/// The recordings of a few nodes on a table that meet, talk, are cut off and hear what `wall` says.
fn recording(seed: u64, wall: impl Fn() -> WallTime) -> Result<Vec<String>, String> {
    let mut table = Table::new(seed, |_, _| {}).recorded();
    for number in 0..PEOPLE {
        table.seat(Config::test(), &Person::draw(seed, number)?)?;
    }
    table.run();
    let mut rng = Rng::from_seed(&seed_of(seed, 99));
    for step in 0..STEPS {
        let (from, to) = two(&mut rng);
        match rng.below(8) {
            0 => table.introduce(from, to)?,
            1 => table.cut_all(from),
            2 => table.tell(from, Event::clock(wall() + Duration::from_millis(step))),
            3 => drop(table.user(to).map(|user| table.command(from, Command::find(user)))?),
            _ => {
                let message = Message::new("text", &step).map_err(|why| why.to_string())?;
                let user = table.user(to)?;
                // A node that has ended or is full refuses; the recording says so either way.
                let _ = table.command(from, Command::send(user, message));
            }
        }
        table.pass(Duration::from_millis(rng.below(2_000)));
    }
    finished(&mut table)
}

fn two(rng: &mut Rng) -> (usize, usize) {
    let from = rng.below(PEOPLE);
    let to = (from + 1 + rng.below(PEOPLE - 1)) % PEOPLE;
    (from as usize, to as usize)
}

fn finished(table: &mut Table) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for seat in &mut table.seats {
        let recorder = seat.driver().and_then(|driver| driver.recorder()).ok_or("a node is not recorded")?;
        recorder.finish();
        texts.push(String::from_utf8(recorder.take()).map_err(|why| why.to_string())?);
    }
    Ok(texts)
}

/// The recording without one of its inputs: the one in the middle of the bytes that arrived.
fn without_a_line(text: &str) -> String {
    let bytes: Vec<usize> = text.lines().enumerate().filter(|(_, line)| line.contains("pipe_bytes")).map(|(number, _)| number).collect();
    let left_out = bytes.get(bytes.len() / 2).copied();
    let kept = text.lines().enumerate().filter(|(number, _)| Some(*number) != left_out);
    kept.flat_map(|(_, line)| [line, "\n"]).collect()
}
