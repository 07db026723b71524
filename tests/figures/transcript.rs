//! `demo-transcript`: the example that Overcom began with goes the same way in the simulator, on mio and on smol.

use std::collections::BTreeMap;

use overcom_core::trace::{Builds, Detail, Ladder, RungKind, replay};
use overcom_simulator::{Scenario, Sim, millis};

use crate::demo::{Demo, Played, RUNTIMES};
use crate::figure::{Measured, Size};
use crate::ladder::changed;

const SCENARIO: &str = include_str!("../scenarios/overcom.json");
/// The scenario goes on after what the demo plays: by then all is quiet.
const END_MS: u64 = 11_999;

const NODES: [&str; 3] = ["alice", "bob", "eve"];
const ALICE: usize = 0;
const BOB: usize = 1;
const EVE: usize = 2;

/// What each node asked, was told, said and heard, line by line in its own order.
type Views = [Vec<String>; 3];

/// The five steps of the first description, and at which node which lines follow one another in each.
const STEPS: &[(u32, usize, &[&str])] = &[
    (
        1,
        BOB,
        &[
            "bob: introduce alice",
            "bob: send bla to alice",
            "bob -> alice: link up",
            "bob -> alice: message bla",
            "alice -> bob: acknowledged up to 1",
            "bob: bla to alice delivered",
        ],
    ),
    (1, ALICE, &["bob -> alice: link up", "bob -> alice: message bla", "alice: got bla from bob", "alice -> bob: acknowledged up to 1"]),
    (2, EVE, &["eve: send bla to bob", "eve -> alice: link up", "eve -> alice: search bob"]),
    (2, ALICE, &["eve -> alice: link up", "eve -> alice: search bob"]),
    (3, ALICE, &["bob -> alice: link up", "eve -> alice: search bob", "alice -> bob: search bob"]),
    (3, BOB, &["bob -> alice: link up", "alice -> bob: search bob"]),
    (4, BOB, &["alice -> bob: search bob", "bob: wanted by eve", "bob -> eve: link up"]),
    (4, EVE, &["eve -> alice: search bob", "bob -> eve: link up"]),
    (5, EVE, &["bob -> eve: link up", "eve -> bob: message bla", "bob -> eve: acknowledged up to 1", "eve: bla to bob delivered"]),
    (5, BOB, &["bob -> eve: link up", "eve -> bob: message bla", "bob: got bla from eve", "bob -> eve: acknowledged up to 1"]),
];

/// How many links each node has in all, and how many lines begin so: Alice dials nobody, and Eve's message opens nothing.
const COUNTS: &[(usize, &str, usize)] = &[
    (ALICE, ": link up", 2),
    (BOB, ": link up", 2),
    (EVE, ": link up", 2),
    (ALICE, "alice -> bob: link up", 0),
    (ALICE, "alice -> eve: link up", 0),
    (EVE, "eve -> bob: link up", 0),
    (ALICE, "message bla", 1),
];

/// Lines in which nodes on mio and smol differ from those in the simulator, each node's in its own order, and simulated
/// nodes of other seeds from those of the first; lines without their cause; steps that are not there. The control is
/// the least that comes of one line or one step left out, or of Eve knowing where Bob is.
pub(crate) fn transcript(size: Size) -> Result<Measured, String> {
    let (plays, seeds) = (size.of(2, 20, 100), size.of(20, 300, 1_000));
    let expected = Run::simulated(&scenario()?)?;
    let mut value = wrong(&expected.views, &expected.views);
    for seed in 1..seeds {
        let run = Run::simulated(&Scenario { seed, ..scenario()? })?;
        value += wrong(&expected.views, &run.views);
    }
    let demo = Demo::build()?;
    let mut told = Vec::new();
    for (play, runtime) in (0..plays).flat_map(|play| RUNTIMES.map(|runtime| (play, runtime))) {
        let run = Run::played(&demo.play(runtime)?)?;
        let lines = wrong(&expected.views, &run.views) + differing(&expected.shown, &run.shown);
        if lines > 0 {
            told.push(format!("; {lines} in run {play} on {runtime}: {:?}", run.views));
        }
        value += lines;
    }
    Ok(Measured {
        value: value as f64,
        unit: "lines",
        target: 0.0,
        control: control(&expected.views)? as f64,
        size: expected.views.iter().map(|view| view.len() as u64).sum(),
        seeds,
        detail: format!(
            "{plays} runs of overcom demo on each of mio and smol, and {seeds} simulated ones; {} steps and counts are looked for in \
             each{}; control: the least of each line left out, a step left out, and no search needed",
            STEPS.len() + COUNTS.len(),
            told.concat()
        ),
    })
}

fn scenario() -> Result<Scenario, String> {
    Scenario::from_json(SCENARIO).map_err(|why| why.to_string())
}

/// The same example once.
struct Run {
    views: Views,
    /// The ladder as `overcom demo` prints it, node by node.
    shown: Views,
}

impl Run {
    fn simulated(scenario: &Scenario) -> Result<Self, String> {
        let mut sim = Sim::from_scenario(scenario.clone()).map_err(|why| why.to_string())?;
        sim.run_until(millis(END_MS)).map_err(|why| why.to_string())?;
        let ladder = sim.ladder();
        let shown = NODES.map(|node| ladder.clone().per_node(node).rungs().iter().map(ToString::to_string).collect());
        Ok(Self { views: views(&ladder), shown })
    }

    /// From what the demo's nodes recorded, and from what it prints.
    fn played(played: &Played) -> Result<Self, String> {
        let replays = replay(&played.recording, Builds::Same).map_err(|why| why.to_string())?;
        let ladder = Ladder::of(replays.into_iter().map(|replay| replay.journal));
        let shown = [ALICE, BOB, EVE].map(|node| {
            let lines = played.answer["nodes"][node]["ladder"].as_array();
            lines.into_iter().flatten().filter_map(|line| line.as_str().map(String::from)).collect()
        });
        Ok(Self { views: views(&ladder), shown })
    }
}

/// Everything but greetings, keep-alives and answers that all is well, which depend on timing, up to the first link's end:
/// the demo's nodes end in no order.
fn views(ladder: &Ladder) -> Views {
    NODES.map(|node| {
        let rungs = ladder.clone().per_node(node).detail(Detail::Wire).rungs();
        let lasting = rungs.iter().filter(|rung| rung.kind != RungKind::Wire && !rung.text.starts_with("search answer 2"));
        lasting.map(ToString::to_string).take_while(|line| !line.contains(": link down")).collect()
    })
}

/// How many lines differ, how many have no cause, how much of the steps is not there.
fn wrong(expected: &Views, views: &Views) -> usize {
    differing(expected, views) + without_cause(views) + missing(views)
}

fn differing(expected: &Views, views: &Views) -> usize {
    expected.iter().zip(views).map(|(expected, view)| changed(expected, view)).sum()
}

fn missing(views: &Views) -> usize {
    let is_there = |node: usize, lines: &[&str]| {
        let mut view = views[node].iter();
        lines.iter().all(|line| view.any(|other| other == line))
    };
    let count = |node: usize, part: &str| views[node].iter().filter(|line| line.contains(part)).count();
    STEPS.iter().filter(|(_, node, lines)| !is_there(*node, lines)).count()
        + COUNTS.iter().filter(|(node, part, expected)| count(*node, part) != *expected).count()
}

/// Lines that stand in no order in which every line that a node heard comes after its saying.
fn without_cause(views: &Views) -> usize {
    let (mut next, mut said) = ([0; 3], BTreeMap::<&str, i64>::new());
    loop {
        let before = next;
        for (node, name) in NODES.into_iter().enumerate() {
            while let Some(line) = views[node].get(next[node]) {
                let is_own = line.strip_prefix(name).is_some_and(|rest| rest.starts_with([':', ' ']));
                let times = said.entry(line).or_default();
                if !is_own && *times == 0 {
                    break;
                }
                *times += if is_own { 1 } else { -1 };
                next[node] += 1;
            }
        }
        if next == before {
            return views.iter().zip(next).map(|(view, next)| view.len() - next).sum();
        }
    }
}

fn control(expected: &Views) -> Result<usize, String> {
    let mut least = usize::MAX;
    for node in 0..NODES.len() {
        for line in 0..expected[node].len() {
            let mut views = expected.clone();
            views[node].remove(line);
            // The differing line itself is not all that shows it: a cause or a step is missing too, or it heard nothing.
            least = least.min(wrong(expected, &views));
        }
    }
    let (whole, mut without, mut knowing) = (scenario()?, scenario()?, scenario()?);
    for step in &whole.steps {
        without.steps = whole.steps.iter().filter(|other| other.id != step.id && other.at_ms < END_MS).cloned().collect();
        if step.at_ms < END_MS {
            least = least.min(wrong(expected, &Run::simulated(&without)?.views));
        }
    }
    knowing.nodes[EVE].knows.push(NODES[BOB].into());
    Ok(least.min(wrong(expected, &Run::simulated(&knowing)?.views)))
}
