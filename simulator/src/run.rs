//! A run under way: nodes and applications on the engine, step by step.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::trace::{Journal, Ladder, Recorder};
use overcom_core::{
    Address, App, AppCx, AppId, Command, CommandError, Config, Credentials, Delegation, DeviceKeys, Driver, Grant, Hosted, IdentitySecret,
    Invitation, Message, Next, Node, Notice, Revocation, RevocationEntry, RevocationTarget, Rng, Seed, Tag, Time, UserId, WallTime,
    WireError,
};

use crate::clock::EPOCH_MS;
use crate::describe::Names;
use crate::draw::{Draws, name_key};
use crate::engine::{Delivery, Engine, Happened, Happening, Input, Machine};
use crate::inbox::Watched;
use crate::network::{Links, standard_address};
use crate::port::Port;
use crate::scenario::{CryptoMode, Do, NodeSpec, Scenario, ScenarioError};

/// Actions in one turn (guess: more than a real loop does between looking at its sockets).
const BUDGET: u32 = 4_096;
/// Turns without time passing after which a node is said never to come to rest.
const TURNS_MAX: u32 = 1_000;
/// How long delegations last when the scenario does not say: 30 days, the longest (spec: ID-7).
const DELEGATION_MS: u64 = 30 * 24 * 3_600_000;

/// Makes a node's application, at its start and after each crash.
pub(crate) type Factory<A> = Rc<dyn Fn() -> A>;
/// One call of a workload.
pub(crate) type Work<A> = Rc<dyn Fn(&mut Draws, &mut A, &mut AppCx<'_>)>;

/// Why a run failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The check: `always "…"`, `eventually "…"`, `panic`, or the contract's clause.
    pub check: String,
    /// When.
    pub at: Time,
    /// More about it; may be empty.
    pub detail: String,
}

/// One process.
pub(crate) struct Life<A> {
    pub(crate) driver: Driver,
    pub(crate) hosted: Hosted<Watched<A>>,
    introduced: bool,
}

/// Nodes, applications, engine.
pub(crate) struct Run<A> {
    pub(crate) engine: Engine,
    pub(crate) scenario: Scenario,
    pub(crate) failure: Option<Failure>,
    lives: Vec<Option<Life<A>>>,
    factories: Vec<Factory<A>>,
    workloads: Vec<(String, Work<A>)>,
    people: Vec<(UserId, Credentials, Config)>,
    pub(crate) names: Names,
    /// What each user's identity has taken back.
    revoked: BTreeMap<UserId, BTreeMap<RevocationTarget, RevocationEntry>>,
    /// The node whose application has the word; after a panic, the one that panicked.
    pub(crate) speaking: Option<usize>,
    /// The last invitation of each node, as people have sent it on.
    invitations: BTreeMap<usize, Invitation>,
    /// What each node understood in its lives that have ended.
    journals: Vec<Journal>,
    /// Each node's recordings, one life after another; `None`: nothing is recorded.
    recordings: Option<Vec<Vec<u8>>>,
}

impl<A: App> Run<A> {
    /// Starts every node of the scenario at time zero.
    pub(crate) fn new(
        scenario: Scenario,
        factories: Vec<Factory<A>>,
        workloads: Vec<(String, Work<A>)>,
        record: bool,
    ) -> Result<Self, ScenarioError> {
        scenario.check()?;
        let (mut machines, mut people, mut names) = (Vec::new(), Vec::new(), Names::default());
        for (n, spec) in scenario.nodes.iter().enumerate() {
            machines.push(Machine::new(&spec.name, spec.address.unwrap_or_else(|| standard_address(n)), spec.clock));
            let person = person(&scenario, spec)?;
            names.add(person.1.delegation().peer(), &spec.name);
            people.push(person);
        }
        let lives = scenario.nodes.iter().map(|_| None).collect();
        let recordings = record.then(|| scenario.nodes.iter().map(|_| Vec::new()).collect());
        let engine = Engine::new(Links::new(scenario.seed, scenario.network), machines);
        let journals = scenario.nodes.iter().map(|spec| Journal::new(&spec.name)).collect();
        let (failure, speaking, revoked, invitations) = (None, None, BTreeMap::new(), BTreeMap::new());
        let mut run = Self {
            engine,
            scenario,
            failure,
            lives,
            factories,
            workloads,
            people,
            names,
            revoked,
            speaking,
            invitations,
            journals,
            recordings,
        };
        for (n, step) in run.scenario.steps.iter().enumerate() {
            run.engine.queue.push(Time::from_millis(step.at_ms), 0, 0, Happening::Step(n));
        }
        for node in 0..run.lives.len() {
            run.boot(node)?;
        }
        Ok(run)
    }

    pub(crate) fn life(&self, node: usize) -> Option<&Life<A>> {
        self.lives.get(node).and_then(Option::as_ref)
    }

    pub(crate) fn user(&self, node: usize) -> UserId {
        self.people[node].0
    }

    /// Lets one thing happen, if there is one until then and nothing has failed; whether there was.
    pub(crate) fn step(&mut self, until: Time) -> bool {
        if self.failure.is_some() {
            return false;
        }
        match self.engine.next(until) {
            None => return false,
            Some(Happened::Step(n)) => self.carry_out(n),
            Some(Happened::Due(me)) => self.turn(me),
            Some(Happened::Told(me, delivery)) => {
                self.deliver(me, delivery);
                self.turn(me);
            }
            Some(Happened::Nothing) => {}
        }
        true
    }

    fn boot(&mut self, me: usize) -> Result<(), ScenarioError> {
        let machine = &self.engine.machines[me];
        if machine.up {
            return Ok(());
        }
        let seed = Seed::from_bytes(Draws::new(self.scenario.seed, "node", &[machine.key, u64::from(machine.life)]).bytes());
        let (wall, now) = (machine.clock.wall(self.engine.now), self.engine.now);
        let (_, credentials, config) = &self.people[me];
        match Node::new(*config, credentials.clone(), seed.clone(), now, wall) {
            Ok(node) => {
                let app = Watched::new((self.factories[me])());
                let mut driver = Driver::new(node).observed(self.journals[me].clone());
                if self.recordings.is_some() {
                    let name = &self.engine.machines[me].name;
                    driver = driver.recorded(Recorder::start("simulator", name, config, credentials, &seed, now, wall));
                }
                self.lives[me] = Some(Life { driver, hosted: Hosted::new(app, &seed), introduced: false });
            }
            Err(why) => return Err(ScenarioError::Node(machine.name.clone(), why.to_string())),
        }
        self.engine.begin_process(me).into_iter().for_each(|delivery| self.deliver(me, delivery));
        self.turn(me);
        Ok(())
    }

    fn boot_again(&mut self, me: usize) {
        if let Err(why) = self.boot(me) {
            self.fail("start", why.to_string());
        }
    }

    fn crash(&mut self, me: usize) {
        let now = self.engine.now;
        if !self.engine.machines[me].up {
            return;
        }
        let mut draws = Draws::new(self.scenario.seed, "crash", &[self.engine.machines[me].key, u64::from(self.engine.machines[me].life)]);
        self.engine.machines[me].disk.crash(now, &mut draws);
        self.drain(me, true);
        if let Some(journal) = self.journal(me).cloned() {
            self.journals[me] = journal;
        }
        self.lives[me] = None;
        self.engine.end_process(me);
    }

    fn deliver(&mut self, me: usize, delivery: Delivery) {
        if let Some(life) = self.lives[me].as_mut() {
            self.engine.hand(me, &mut life.driver, delivery);
        }
    }

    /// Turns a node until it rests, then sets its one timer (C5, C6).
    pub(crate) fn turn(&mut self, me: usize) {
        let now = self.engine.now;
        for _ in 0..TURNS_MAX {
            let Some(life) = self.lives[me].as_mut() else { return };
            self.speaking = Some(me);
            let next = life.hosted.turn(&mut life.driver, &mut Port { engine: &mut self.engine, me }, now, BUDGET);
            self.speaking = None;
            self.engine.recycle(me, &mut life.driver);
            self.tell(me);
            self.drain(me, false);
            if self.introduce_once(me) {
                continue;
            }
            match next {
                Next::Again => {}
                Next::Until(Some(due)) if due <= now => {
                    return self.fail("C6", format!("{} rests at a deadline that is over", self.engine.machines[me].name));
                }
                Next::Until(due) => return self.engine.set_timer(me, due),
            }
        }
        self.fail("C6", format!("{} never comes to rest", self.engine.machines[me].name));
    }

    /// Takes what a node's recorder has gathered.
    fn drain(&mut self, me: usize, finish: bool) {
        let recorder = self.lives[me].as_mut().and_then(|life| life.driver.recorder());
        if let (Some(recorder), Some(out)) = (recorder, self.recordings.as_mut().and_then(|all| all.get_mut(me))) {
            if finish {
                recorder.finish();
            }
            recorder.drain_into(out);
        }
    }

    /// Everything recorded, node by node and life by life; what is under way is finished by it.
    pub(crate) fn trace(&mut self) -> String {
        (0..self.lives.len()).for_each(|me| self.drain(me, true));
        let all = self.recordings.iter().flatten().flatten().copied().collect::<Vec<u8>>();
        String::from_utf8(all).unwrap_or_default()
    }

    fn journal(&self, me: usize) -> Option<&Journal> {
        self.life(me).map_or(self.journals.get(me), |life| life.driver.journal())
    }

    /// What all nodes understood, all lives of a node as one.
    pub(crate) fn ladder(&self) -> Ladder {
        Ladder::of((0..self.lives.len()).filter_map(|me| self.journal(me).cloned()))
    }

    /// After its start a node gets its address book and entries, once a life.
    fn introduce_once(&mut self, me: usize) -> bool {
        let Some(life) = self.lives[me].as_mut().filter(|life| life.hosted.app().started && !life.introduced) else { return false };
        life.introduced = true;
        let spec = self.scenario.nodes[me].clone();
        let known: Vec<usize> = spec.knows.iter().filter_map(|name| self.scenario.position(name).ok()).collect();
        for other in known {
            let command = self.introduction(other);
            self.command_or_say(me, command);
        }
        if !spec.entries.is_empty() {
            self.command_or_say(me, Command::enter(spec.entries));
        }
        true
    }

    fn introduction(&self, other: usize) -> Command {
        Command::introduce(self.user(other), vec![Address::Ip(self.engine.machines[other].address)])
    }

    /// Asks a node for something; a node that is down refuses as one that starts.
    pub(crate) fn command(&mut self, me: usize, command: Command) -> Result<Tag, CommandError> {
        let now = self.engine.now;
        let Some(life) = self.lives[me].as_mut() else { return Err(CommandError::Starting) };
        let text = serde_json::to_vec(&command).unwrap_or_default();
        self.engine.mark(me, "command", |parts| parts.bytes(&text));
        life.driver.command(now, command)
    }

    fn command_or_say(&mut self, me: usize, command: Command) {
        if let Err(why) = self.command(me, command) {
            let line = format!("{}: refused: {why}", self.engine.machines[me].name);
            self.engine.say(line);
        }
    }

    /// Puts new notices into the ladder, with names in the place of ids.
    pub(crate) fn tell(&mut self, me: usize) {
        let Some(life) = self.lives[me].as_ref() else { return };
        let watched = life.hosted.app();
        let (told, now, name) = (watched.notices.len(), self.engine.now, &self.engine.machines[me].name);
        if told == watched.told {
            return;
        }
        let invited = |notice: &Notice| if let Notice::Invited { invitation, .. } = notice { Some(invitation.clone()) } else { None };
        if let Some(invitation) = watched.notices[watched.told..].iter().rev().find_map(invited) {
            self.invitations.insert(me, invitation);
        }
        let words = watched.notices[watched.told..].iter().filter_map(|notice| self.names.words(notice));
        let lines: Vec<String> = words.map(|words| format!("{name}: {words}")).collect();
        if let Some(life) = self.lives[me].as_mut() {
            // Saves nothing and takes nothing, so core hears nothing of it.
            life.hosted.with(&mut life.driver, now, |app, _| app.told = told);
        }
        lines.into_iter().for_each(|line| self.engine.say(line));
    }

    pub(crate) fn fail(&mut self, check: &str, detail: String) {
        if self.failure.is_none() {
            self.failure = Some(Failure { check: check.into(), at: self.engine.now, detail });
        }
    }

    fn carry_out(&mut self, n: usize) {
        let step = self.scenario.steps[n].clone();
        self.engine.say(format!("{}: {}", step.id, serde_json::to_string(&step.what).unwrap_or_default()));
        let Ok(what) = step.what.rename(|name| self.scenario.position(&name)) else { return };
        let now = self.engine.now;
        match what {
            Do::Partition { from, to, one_way } => {
                for (a, b) in from.iter().flat_map(|a| to.iter().map(move |b| (*a, *b))) {
                    self.engine.links.block(a, b);
                    if !one_way {
                        self.engine.links.block(b, a);
                    }
                }
            }
            Do::Heal => self.engine.links.heal(),
            Do::Crash(node) => self.crash(node),
            Do::Restart(node) => self.boot_again(node),
            Do::Pause(node) => self.engine.machines[node].paused = self.engine.machines[node].up,
            Do::Resume(node) => self.engine.resume(node),
            Do::Rebind { node, port } => self.rebind(node, port),
            Do::Rollback { node, to_ms } => {
                self.crash(node);
                self.engine.machines[node].disk.roll_back(Time::from_millis(to_ms));
                self.boot_again(node);
            }
            Do::SlowDisk { node, latency_ms } => self.engine.machines[node].disk.set_latency(Duration::from_millis(latency_ms)),
            Do::FailDisk { node, why } => self.engine.machines[node].disk.set_failing(why),
            Do::ClockStep { node, by_ms } => {
                self.engine.machines[node].clock.step(by_ms);
                self.engine.later(now, node, node, Input::Clock);
            }
            Do::SetLink { from, to, network } => self.engine.links.set(from, to, network),
            Do::SetNetwork(network) => self.engine.links.set_all(network),
            Do::Send { from, to, r#type, payload } => {
                // The scenario's check has read it already.
                if let Ok(message) = Message::from_text(&r#type, payload.get()) {
                    self.ask(from, Command::send(self.user(to), message));
                }
            }
            Do::Find { from, to } => self.ask(from, Command::find(self.user(to))),
            Do::Introduce { from, to } => self.ask(from, self.introduction(to)),
            Do::Forget { from, to } => self.ask(from, Command::forget(self.user(to))),
            Do::Invite { node, life_ms } => self.ask(node, Command::invite(Duration::from_millis(life_ms), [])),
            Do::Join { from, to } => self.ask_with_invitation(from, to, Command::join),
            Do::Withdraw(node) => self.ask_with_invitation(node, node, |invitation| Command::withdraw(invitation.id())),
            Do::Revoke { by, device } => self.sign_and_ask(by, |run| run.revocation(by, device)),
            Do::Renew(node) => self.sign_and_ask(node, |run| run.renewal(node)),
            Do::Suspend(node) => self.ask(node, Command::Suspend),
            Do::Wake(node) => self.rebind(node, None),
            Do::Call { node, workload, number } => self.call(node, &workload, number),
        }
    }

    pub(crate) fn ask(&mut self, me: usize, command: Command) {
        if !self.engine.machines[me].paused {
            self.command_or_say(me, command);
            self.turn(me);
        }
    }

    /// Asks a node for something with the last invitation that somebody has made.
    fn ask_with_invitation(&mut self, me: usize, whose: usize, wish: impl FnOnce(Invitation) -> Command) {
        match self.invitations.get(&whose).cloned() {
            Some(invitation) => self.ask(me, wish(invitation)),
            None => self.engine.say(format!("{} has no invitation to give", self.engine.machines[whose].name)),
        }
    }

    /// Asks a node for what its identity has to sign first.
    fn sign_and_ask(&mut self, me: usize, sign: impl FnOnce(&mut Self) -> Result<Command, WireError>) {
        match sign(self) {
            Ok(command) => self.ask(me, command),
            Err(why) => self.fail("scenario", format!("{} has nothing to sign: {why}", self.engine.machines[me].name)),
        }
    }

    /// Everything that the node's identity has taken back so far, and this device.
    fn revocation(&mut self, by: usize, device: usize) -> Result<Command, WireError> {
        let (_, credentials, _) = &self.people[by];
        let (app, now) = (credentials.delegation().app().clone(), self.engine.machines[by].clock.wall(self.engine.now));
        let taken = self.revoked.entry(self.people[by].0).or_default();
        // For ever: no delegation of this device counts again. It need not be remembered longer than one can live.
        let (before, end) = (WallTime::from_millis((1 << 53) - 1), now + Duration::from_millis(2 * DELEGATION_MS));
        taken.insert(RevocationTarget::Device(self.people[device].1.delegation().device()), RevocationEntry { before, end });
        let identity = identity(&self.scenario, &self.scenario.nodes[by]);
        Ok(Command::revoke(Revocation::sign(&identity, app, now.as_millis(), taken.clone())?))
    }

    fn renewal(&mut self, me: usize) -> Result<Command, WireError> {
        let (spec, now) = (&self.scenario.nodes[me], self.engine.machines[me].clock.wall(self.engine.now));
        let lasts = Duration::from_millis(spec.delegation_ms.unwrap_or(DELEGATION_MS));
        let before = self.people[me].1.delegation().grant();
        let grant = Grant { from: now, until: now + lasts, ..before.clone() };
        Ok(Command::renew(Delegation::sign(&identity(&self.scenario, spec), &grant)?))
    }

    fn rebind(&mut self, me: usize, port: Option<u16>) {
        self.engine.rebind(me, port);
        if self.engine.machines[me].up {
            self.deliver(me, Delivery::Addresses(vec![self.engine.machines[me].address], true));
            self.turn(me);
        }
    }

    /// One call of a workload; nothing when the application has not started.
    fn call(&mut self, me: usize, workload: &str, number: u64) {
        let now = self.engine.now;
        let Some(work) = self.workloads.iter().find(|(name, _)| name == workload).map(|(_, work)| Rc::clone(work)) else {
            return self.fail("scenario", ScenarioError::UnknownWorkload(workload.into()).to_string());
        };
        let Some(life) = self.lives[me].as_mut().filter(|life| life.hosted.app().started) else { return };
        let mut draws = Draws::new(self.scenario.seed, "work", &[name_key(workload), number]);
        self.engine.mark(me, "call", |parts| {
            parts.bytes(workload.as_bytes());
            parts.bytes(&number.to_le_bytes());
        });
        self.speaking = Some(me);
        life.hosted.with(&mut life.driver, now, |watched, cx| work(&mut draws, &mut watched.app, cx));
        self.turn(me);
    }
}

/// The identity of a node's user.
fn identity(scenario: &Scenario, spec: &NodeSpec) -> IdentitySecret {
    let (mode, user) = (spec.crypto.unwrap_or(scenario.crypto), spec.user.as_deref().unwrap_or(&spec.name));
    IdentitySecret::with_crypto(mode.table(), Draws::new(scenario.seed, "identity", &[name_key(user)]).bytes())
}

/// A node's identity, keys and bounds, drawn from the run's seed and its name.
fn person(scenario: &Scenario, spec: &NodeSpec) -> Result<(UserId, Credentials, Config), ScenarioError> {
    let wrong = |why: String| ScenarioError::Node(spec.name.clone(), why);
    let (seed, mode) = (scenario.seed, spec.crypto.unwrap_or(scenario.crypto));
    let identity = identity(scenario, spec);
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes(Draws::new(seed, "device", &[name_key(&spec.name)]).bytes())));
    let app = AppId::new(spec.app.as_deref().unwrap_or("sim")).map_err(|why| wrong(why.to_string()))?;
    let until = WallTime::from_millis(EPOCH_MS.saturating_add(spec.delegation_ms.unwrap_or(DELEGATION_MS)));
    let grant = keys.grant_with(&mode.table(), app, WallTime::from_millis(EPOCH_MS), until);
    let delegation = Delegation::sign(&identity, &grant).map_err(|why| wrong(why.to_string()))?;
    let config = spec.config.unwrap_or_default();
    let config = match mode {
        // A test's own configuration may hold a faster cipher of the same bytes.
        CryptoMode::Standard => config,
        CryptoMode::Ideal => config.crypto(mode.table()),
    };
    Ok((identity.user(), keys.credentials(delegation), config))
}
