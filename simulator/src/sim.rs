//! The builder: nodes, faults, workloads and checks, and what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::trace::Ladder;
use overcom_core::{App, AppCx, Command, CommandError, Config, Entry, Message, Tag, Time, UserId};
use serde_json::value::RawValue;

use crate::clock::Clock;
use crate::digest::{Digest, Marks};
use crate::draw::Draws;
use crate::fault::Fault;
use crate::inbox::Inbox;
use crate::network::Network;
use crate::run::{Factory, Failure, Run, Work};
use crate::scenario::{CryptoMode, Do, NodeSpec, Scenario, ScenarioError, Step};
use crate::world::World;

/// How long a run goes on after its last step when nothing else says (guess: a few retries).
const TAIL: Duration = Duration::from_secs(10);
/// When the calls of workloads begin; by then nodes have read their state.
const WORK_FROM: Duration = Duration::from_secs(1);

/// One node of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(pub(crate) usize);

type Check<A> = Box<dyn Fn(&World<'_, A>) -> bool>;
type Show<A> = Box<dyn Fn(&A) -> String>;

struct Eventually<A> {
    name: String,
    within: Duration,
    check: Check<A>,
    holds: bool,
}

/// A simulation of applications `A`; [`Inbox`] when the protocol alone is looked at.
pub struct Sim<A = Inbox> {
    scenario: Scenario,
    factories: Vec<Factory<A>>,
    workloads: Vec<(String, Work<A>)>,
    calls: Vec<(String, u64)>,
    always: Vec<(String, Check<A>)>,
    eventually: Vec<Eventually<A>>,
    sometimes: Vec<(String, Check<A>, bool)>,
    skip: BTreeSet<String>,
    follows: Option<Scenario>,
    show: Option<Show<A>>,
    record: bool,
    run: Option<Run<A>>,
}

impl<A> fmt::Debug for Sim<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sim(seed {:#x}, {} nodes)", self.scenario.seed, self.scenario.nodes.len())
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed that repeats it.
    pub seed: u64,
    /// What its nodes computed with, if they say nothing else themselves.
    pub crypto: CryptoMode,
    /// The digest of all that happened.
    pub digest: Digest,
    /// The digest's last events, for [`compare`](crate::compare).
    pub marks: Marks,
    /// When it ended.
    pub end: Time,
    /// The first check that failed.
    pub failure: Option<Failure>,
    /// How each node stood at the end: a line each.
    pub nodes: Vec<String>,
    /// Each `sometimes` and whether it held at least once.
    pub sometimes: BTreeMap<String, bool>,
    lines: Vec<(Time, String)>,
}

impl Report {
    /// What happened, one line an event, names in the place of keys: the last 20,000.
    pub fn ladder(&self) -> String {
        self.lines.iter().map(|(at, line)| format!("{at} {line}\n")).collect()
    }

    /// Its last lines.
    pub fn ladder_tail(&self, lines: usize) -> String {
        self.lines.iter().skip(self.lines.len().saturating_sub(lines)).map(|(at, line)| format!("{at} {line}\n")).collect()
    }
}

impl Sim<Inbox> {
    /// A simulation of a scenario's nodes without an application of their own.
    ///
    /// # Errors
    /// [`ScenarioError`] for names that do not fit, and for calls of workloads, which only their test has.
    pub fn from_scenario(scenario: Scenario) -> Result<Self, ScenarioError> {
        scenario.check()?;
        if let Some(Do::Call { workload, .. }) = scenario.steps.iter().map(|step| &step.what).find(|what| matches!(what, Do::Call { .. })) {
            return Err(ScenarioError::UnknownWorkload(workload.clone()));
        }
        let mut sim = Self::new(scenario.seed);
        sim.factories = scenario.nodes.iter().map(|_| Rc::new(Inbox::new) as Factory<Inbox>).collect();
        sim.scenario = scenario;
        Ok(sim)
    }
}

impl<A: App + 'static> Sim<A> {
    /// An empty simulation.
    pub fn new(seed: u64) -> Self {
        Self {
            scenario: Scenario::new(seed),
            factories: Vec::new(),
            workloads: Vec::new(),
            calls: Vec::new(),
            always: Vec::new(),
            eventually: Vec::new(),
            sometimes: Vec::new(),
            skip: BTreeSet::new(),
            follows: None,
            show: None,
            record: false,
            run: None,
        }
    }

    /// Adds a node; `factory` makes its application at its start and after each crash.
    pub fn node(&mut self, name: &str, factory: impl Fn() -> A + 'static) -> NodeId {
        self.add(NodeSpec::new(name), Rc::new(factory))
    }

    /// Adds nodes with the same application.
    pub fn nodes<const N: usize>(&mut self, names: [&str; N], factory: impl Fn() -> A + 'static) -> [NodeId; N] {
        let factory: Factory<A> = Rc::new(factory);
        names.map(|name| self.add(NodeSpec::new(name), Rc::clone(&factory)))
    }

    fn add(&mut self, spec: NodeSpec, factory: Factory<A>) -> NodeId {
        self.scenario.nodes.push(spec);
        self.factories.push(factory);
        NodeId(self.scenario.nodes.len() - 1)
    }

    /// A node's data, to change before the run begins.
    pub fn spec(&mut self, node: NodeId) -> &mut NodeSpec {
        &mut self.scenario.nodes[node.0]
    }

    /// Puts the addresses of `others` into the address book of `node`.
    pub fn introduce(&mut self, node: NodeId, others: impl IntoIterator<Item = NodeId>) {
        for other in others {
            let name = self.name(other);
            self.scenario.nodes[node.0].knows.push(name);
        }
    }

    /// Sets the entry peers of a node.
    pub fn entries(&mut self, node: NodeId, entries: impl IntoIterator<Item = Entry>) {
        self.scenario.nodes[node.0].entries = entries.into_iter().collect();
    }

    /// Sets the bounds of a node.
    pub fn config(&mut self, node: NodeId, config: Config) {
        self.scenario.nodes[node.0].config = Some(config);
    }

    /// Sets what all nodes compute with that say nothing else in their [`spec`](Self::spec).
    pub const fn crypto(&mut self, mode: CryptoMode) {
        self.scenario.crypto = mode;
    }

    /// Sets how wrong a node's wall clock is.
    pub fn clock(&mut self, node: NodeId, clock: Clock) {
        self.scenario.nodes[node.0].clock = clock;
    }

    /// Sets every link.
    pub fn network(&mut self, network: Network) {
        self.scenario.network = network;
    }

    /// Lets something happen so long after the start.
    pub fn at(&mut self, at: Duration, what: Fault) {
        let Ok(what) = what.rename(|node| Ok::<_, std::convert::Infallible>(self.name(node)));
        self.push_step(format!("s{}", self.scenario.steps.len() + 1), at, what);
    }

    /// Lets a node send a message to another one's user.
    ///
    /// # Errors
    /// As [`Message::from_text`].
    pub fn send_at(&mut self, at: Duration, from: NodeId, to: NodeId, kind: &str, payload: &str) -> Result<(), CommandError> {
        Message::from_text(kind, payload)?;
        let payload = RawValue::from_string(payload.into()).map_err(|_| CommandError::Payload(overcom_core::WireError::Json))?;
        self.at(at, Do::Send { from, to, r#type: kind.into(), payload });
        Ok(())
    }

    fn push_step(&mut self, id: String, at: Duration, what: Do<String>) {
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        self.scenario.steps.push(Step { id, at_ms, what });
    }

    /// Calls `work` so many times, each on a node and at a time that are drawn: from the first second until the last
    /// fault, or for ten seconds. A call to a node that is down is lost.
    pub fn workload(&mut self, name: &str, calls: u64, work: impl Fn(&mut Draws, &mut A, &mut AppCx<'_>) + 'static) {
        self.workloads.push((name.into(), Rc::new(work)));
        self.calls.push((name.into(), calls));
    }

    /// Must hold after everything that happens.
    pub fn always(&mut self, name: &str, check: impl Fn(&World<'_, A>) -> bool + 'static) {
        self.always.push((name.into(), Box::new(check)));
    }

    /// Must hold at some moment after the last step, so long after it at most.
    pub fn eventually(&mut self, name: &str, within: Duration, check: impl Fn(&World<'_, A>) -> bool + 'static) {
        self.eventually.push(Eventually { name: name.into(), within, check: Box::new(check), holds: false });
    }

    /// Must hold at least once over all the seeds of a test.
    pub fn sometimes(&mut self, name: &str, check: impl Fn(&World<'_, A>) -> bool + 'static) {
        self.sometimes.push((name.into(), Box::new(check), false));
    }

    /// Says how an application stands in a few words: a failure prints them for each node.
    pub fn show(&mut self, show: impl Fn(&A) -> String + 'static) {
        self.show = Some(Box::new(show));
    }

    /// Ends the run then, instead of when the last check is due.
    pub fn until(&mut self, at: Duration) {
        self.scenario.until_ms = Some(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    }

    /// Leaves out the steps and calls with these ids; for shrinking.
    pub fn skip(&mut self, ids: impl IntoIterator<Item = String>) {
        self.skip.extend(ids);
    }

    /// Lets everything happen as this scenario says, for instance a shrunk one from a file, in the place of what is built
    /// here. Its nodes must be those that are built here.
    pub fn follow(&mut self, scenario: Scenario) {
        self.scenario.seed = scenario.seed;
        self.follows = Some(scenario);
    }

    /// Records every node from its start, for [`Sim::trace`]. **A recording holds seeds and keys.** Say it before the run begins.
    pub const fn record(&mut self) {
        self.record = true;
    }

    /// The recordings of all nodes, one life after another, for [`replay`](overcom_core::trace::replay); empty without
    /// [`Sim::record`]. It ends them: call it after the run.
    pub fn trace(&mut self) -> String {
        self.run.as_mut().map(Run::trace).unwrap_or_default()
    }

    /// What the nodes asked, told and understood so far, from their journals; empty before the run. Costs a copy of them.
    pub fn ladder(&self) -> Ladder {
        self.run.as_ref().map_or_else(|| Ladder::of([]), Run::ladder)
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> String {
        self.scenario.nodes.get(node.0).map(|spec| spec.name.clone()).unwrap_or_default()
    }

    /// The node of this name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.scenario.position(name).ok().map(NodeId)
    }

    /// A node's user. Starts the run.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn user(&mut self, node: NodeId) -> Result<UserId, ScenarioError> {
        self.start()?;
        Ok(self.world()?.user(node))
    }

    /// The scenario, with each call of a workload as a step.
    pub fn scenario(&self) -> Scenario {
        match &self.run {
            Some(run) => run.scenario.clone(),
            None => self.materialised(),
        }
    }

    /// Starts the nodes at time zero, if that has not happened.
    ///
    /// # Errors
    /// [`ScenarioError`] when the scenario does not hold together.
    pub fn start(&mut self) -> Result<(), ScenarioError> {
        if self.run.is_none() {
            let names = |scenario: &Scenario| scenario.nodes.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
            if self.follows.as_ref().is_some_and(|follows| names(follows) != names(&self.scenario)) {
                return Err(ScenarioError::OtherNodes(names(&self.scenario)));
            }
            self.run = Some(Run::new(self.materialised(), self.factories.clone(), self.workloads.clone(), self.record)?);
        }
        Ok(())
    }

    fn materialised(&self) -> Scenario {
        if let Some(follows) = &self.follows {
            return follows.clone();
        }
        let mut scenario = self.scenario.clone();
        let to = scenario.last_step().max(WORK_FROM + TAIL);
        let span = u64::try_from((to - WORK_FROM).as_millis()).unwrap_or(u64::MAX);
        for (name, calls) in &self.calls {
            for number in 0..*calls {
                let mut draws = Draws::new(scenario.seed, "call", &[crate::draw::name_key(name), number]);
                let node = usize::try_from(draws.below(scenario.nodes.len() as u64)).unwrap_or(0);
                let Some(node) = scenario.nodes.get(node).map(|spec| spec.name.clone()) else { continue };
                let at_ms = 1_000 + draws.below(span);
                scenario.steps.push(Step {
                    id: format!("{name}-{number}"),
                    at_ms,
                    what: Do::Call { node, workload: name.clone(), number },
                });
            }
        }
        scenario.steps.retain(|step| !self.skip.contains(&step.id));
        scenario
    }

    /// What may be looked at now.
    ///
    /// # Errors
    /// As [`Sim::start`], if the run has not started and cannot.
    pub fn world(&self) -> Result<World<'_, A>, ScenarioError> {
        self.run.as_ref().map(|run| World { run }).ok_or_else(|| ScenarioError::Node("any".into(), "the run has not started".into()))
    }

    /// Asks a node for something, now. Starts the run.
    ///
    /// # Errors
    /// As [`Node::command`](overcom_core::Node::command); a node that is down is [`CommandError::Starting`].
    pub fn command(&mut self, node: NodeId, command: Command) -> Result<Tag, CommandError> {
        if self.start().is_err() {
            return Err(CommandError::Starting);
        }
        let Some(run) = &mut self.run else { return Err(CommandError::Starting) };
        let tag = run.command(node.0, command)?;
        run.turn(node.0);
        Ok(tag)
    }

    /// When the last step happens, and when the run ends.
    fn ends(&self) -> (Time, Time) {
        let scenario = self.run.as_ref().map_or(&self.scenario, |run| &run.scenario);
        let last = scenario.last_step();
        let due = self.eventually.iter().map(|check| last + check.within).max().unwrap_or(last + TAIL);
        (Time::ZERO + last, scenario.until_ms.map_or(Time::ZERO + due, Time::from_millis))
    }

    /// Lets one thing happen; whether there was one before the end.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn step(&mut self) -> Result<bool, ScenarioError> {
        self.start()?;
        let (last_step, end) = self.ends();
        Ok(self.step_before(end, last_step))
    }

    fn step_before(&mut self, until: Time, last_step: Time) -> bool {
        let Some(run) = &mut self.run else { return false };
        let stepped = run.step(until);
        if stepped {
            self.check(last_step);
        }
        stepped
    }

    fn check(&mut self, last_step: Time) {
        let Some(run) = &self.run else { return };
        let world = World { run };
        let broken = self.always.iter().find(|(_, check)| !check(&world)).map(|(name, _)| format!("always \"{name}\""));
        for (_, check, held) in self.sometimes.iter_mut().filter(|(.., held)| !held) {
            *held = check(&world);
        }
        if world.now() >= last_step {
            for each in self.eventually.iter_mut().filter(|each| !each.holds) {
                each.holds = world.now() <= last_step + each.within && (each.check)(&world);
            }
        }
        if let (Some(broken), Some(run)) = (broken, &mut self.run) {
            run.fail(&broken, String::new());
        }
    }

    /// Runs so long after the start at most.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn run_until(&mut self, at: Duration) -> Result<(), ScenarioError> {
        self.start()?;
        let (until, (last_step, _)) = (Time::ZERO + at, self.ends());
        while self.step_before(until, last_step) {}
        if let Some(run) = &mut self.run
            && run.failure.is_none()
        {
            run.engine.now = run.engine.now.max(until);
        }
        Ok(())
    }

    /// Runs to the end and tells what came of it.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn run(&mut self) -> Result<Report, ScenarioError> {
        self.start()?;
        let (last_step, end) = self.ends();
        self.run_until(end.since(Time::ZERO))?;
        self.check(last_step);
        let missed = self.eventually.iter().find(|each| !each.holds && last_step + each.within <= end);
        let missed =
            missed.map(|each| (format!("eventually \"{}\"", each.name), format!("not within {:?} after the last step", each.within)));
        if let (Some((check, detail)), Some(run)) = (missed, &mut self.run) {
            run.fail(&check, detail);
        }
        Ok(self.report())
    }

    /// What has come of it so far.
    pub fn report(&self) -> Report {
        let sometimes = self.sometimes.iter().map(|(name, _, held)| (name.clone(), *held)).collect();
        let engine = self.run.as_ref().map(|run| &run.engine);
        let marks = engine.map(|engine| engine.marks.clone()).unwrap_or_default();
        Report {
            seed: self.scenario.seed,
            crypto: self.follows.as_ref().map_or(self.scenario.crypto, |follows| follows.crypto),
            digest: marks.digest(),
            marks,
            end: engine.map_or(Time::ZERO, |engine| engine.now),
            failure: self.run.as_ref().and_then(|run| run.failure.clone()),
            nodes: self.stand(),
            sometimes,
            lines: engine.map(|engine| engine.lines.iter().cloned().collect()).unwrap_or_default(),
        }
    }

    /// A line for each node: whether it is up, whom it is linked with, what waits, what its application shows.
    fn stand(&self) -> Vec<String> {
        let Ok(world) = self.world() else { return Vec::new() };
        let stands = |node| {
            let (name, view) = (world.name(node), world.node(node));
            let Some(phase) = view.phase() else { return format!("{name}: down") };
            let phase = format!("{phase:?}").to_lowercase();
            let shown = world.app(node).zip(self.show.as_ref()).map(|(app, show)| format!("; {}", show(app))).unwrap_or_default();
            let (links, waiting) = (view.links().len(), view.outbox().len());
            let counted = |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
            let (links, waiting) = (counted(links, "link", "links"), counted(waiting, "message waits", "messages wait"));
            format!("{name}: {phase}, {links}, {waiting}{shown}")
        };
        world.nodes().map(stands).collect()
    }

    /// After a panic: whose application it was, with all that its node had told it in the ladder.
    pub(crate) fn panicked(&mut self) -> Option<String> {
        let run = self.run.as_mut()?;
        let speaking = run.speaking?;
        run.tell(speaking);
        run.engine.machines.get(speaking).map(|machine| machine.name.clone())
    }
}
