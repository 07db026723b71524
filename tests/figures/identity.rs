//! `link-identity`: which link is whose and which message is which, when devices dial each other at once, crash at any
//! step, or get an older disk back.

mod ledger;
mod watch;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::{Time, UserId};
use overcom_simulator::{Draws, Network, NodeId, Sim, fault, millis, secs};

use crate::figure::{Measured, Size};
use crate::threads::each;
use ledger::{Ledger, Record};
use watch::Watch;

const NAMES: [&str; 2] = ["ann", "ben"];
/// Nodes have read their state by then.
const BEGIN_MS: u64 = 1_000;
/// By then everything has happened that a seed draws.
const LAST_MS: u64 = 12_000;
/// How long after it messages may take: a wait of five minutes, and a few shorter ones (spec: MSG-13).
const PATIENCE: Duration = Duration::from_secs(700);

/// Messages lost and repeated beyond what MSG-6 and MSG-7 promise, and links that came later than HS-3 and TCP allow or not at
/// all. The control is how many of the same messages a reader would lose that keeps one mark for each sender, without
/// streams, and a sender that goes on counting where its disk stands.
pub(crate) fn link_identity(size: Size) -> Result<Measured, String> {
    let seeds = size.of(300, 10_000, 10_000);
    let mut sum = Outcome::default();
    for (seed, outcome) in (0..).zip(each(seeds, trial)?) {
        sum.add(seed, &outcome);
    }
    let Outcome { lost, repeated, late, lost_without, messages, replaced, first_bad } = sum;
    let bad = first_bad.map(|seed| format!("; the first seed that misses is {seed}")).unwrap_or_default();
    Ok(Measured {
        value: (lost + repeated + late) as f64,
        unit: "messages and links",
        target: 0.0,
        control: lost_without as f64,
        size: messages,
        seeds,
        detail: format!(
            "{lost} of {messages} messages lost, {repeated} repeated, {late} links late or missing; {replaced} links took the place of \
             one that its peer had left; control: messages that one mark for each sender, without streams, would have lost{bad}"
        ),
    })
}

/// What came of seeds.
#[derive(Default)]
struct Outcome {
    lost: u64,
    repeated: u64,
    late: u64,
    lost_without: u64,
    messages: u64,
    replaced: u64,
    first_bad: Option<u64>,
}

impl Outcome {
    fn add(&mut self, seed: u64, other: &Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.late += other.late;
        self.lost_without += other.lost_without;
        self.messages += other.messages;
        self.replaced += other.replaced;
        if other.lost + other.repeated + other.late > 0 {
            self.first_bad = Some(self.first_bad.map_or(seed, |first| first.min(seed)));
        }
    }
}

/// What a seed draws.
struct Plan {
    delay: Duration,
    /// Whether they are two devices of one user.
    same_user: bool,
    /// Who has the other's address: the first, the second or both.
    knows: [bool; 2],
    sends: [VecDeque<Time>; 2],
    faults: Vec<Trouble>,
}

/// One device is gone for a while.
struct Trouble {
    side: usize,
    at: Duration,
    /// When it is back; with the disk that it had then.
    back: Duration,
    disk_of: Option<Duration>,
    /// The other end does not hear of it: no line leads there meanwhile.
    silent: bool,
}

impl Plan {
    fn draw(seed: u64) -> Self {
        let mut draws = Draws::new(seed, "link identity", &[]);
        let delay = millis(5 + draws.below(96));
        let knows = [[true, true], [true, true], [true, false], [false, true]][draws.below(4) as usize];
        let same_user = draws.below(2) == 0;
        let mut sends = [(); 2].map(|()| {
            let mut at: Vec<Time> =
                (0..2 + draws.below(6)).map(|_| Time::from_millis(BEGIN_MS + draws.below(LAST_MS - BEGIN_MS))).collect();
            at.sort_unstable();
            // Whoever is the only one to know an address dials for both.
            at.push(Time::from_millis(LAST_MS));
            VecDeque::from(at)
        });
        if draws.below(2) == 0 {
            // Both have something to say at the same moment, whatever they know.
            sends.iter_mut().for_each(|at| at.push_front(Time::from_millis(BEGIN_MS)));
        }
        let (mut faults, mut from) = (Vec::new(), 0);
        for _ in 0..=draws.below(3) {
            // At a step of the handshake, or while messages pass.
            let steps = u64::try_from(delay.as_millis()).unwrap_or(1) * 12;
            let after = if draws.below(2) == 0 { draws.below(steps) } else { draws.below(3_000) };
            let at = from + after;
            let back = at + 1 + if draws.below(2) == 0 { draws.below(steps) } else { draws.below(1_000) };
            let disk_of = (draws.below(2) == 0).then(|| millis(draws.below(at + 1)));
            faults.push(Trouble {
                side: draws.below(2) as usize,
                at: millis(at),
                back: millis(back),
                disk_of,
                silent: draws.below(2) == 0,
            });
            from = back + 1;
        }
        Self { delay, same_user, knows, sends, faults }
    }
}

/// One run of two devices.
fn trial(seed: u64) -> Result<Outcome, String> {
    let plan = Plan::draw(seed);
    let record = Rc::new(RefCell::new(Record::default()));
    let receivers: [Rc<RefCell<Option<UserId>>>; 2] = Default::default();
    let mut sim = Sim::new(seed);
    let nodes = [0, 1].map(|side| {
        let (life, sends) = (Cell::new(0), plan.sends[side].clone());
        let (to, record) = (Rc::clone(&receivers[side]), Rc::clone(&record));
        sim.node(NAMES[side], move || {
            life.set(life.get() + 1);
            Ledger::new(side, life.get(), sends.clone(), Rc::clone(&to), Rc::clone(&record))
        })
    });
    stage(&mut sim, nodes, &plan);
    let watch = Rc::new(RefCell::new(Watch::default()));
    let eye = Rc::clone(&watch);
    sim.always("watched", move |world| {
        eye.borrow_mut().look(world, nodes);
        true
    });
    for side in 0..2 {
        let user = sim.user(nodes[1 - side]).map_err(|why| why.to_string())?;
        *receivers[side].borrow_mut() = Some(user);
    }
    finish(&mut sim, nodes, &watch)?;
    let watch = watch.borrow();
    let late = watch.late_by(&sim.report().marks, NAMES, plan.delay).is_none_or(|late| !late.is_zero());
    let mut outcome = Outcome { replaced: watch.replaced, late: u64::from(late), ..Outcome::default() };
    count(&sim, nodes, &plan, &record.borrow(), &mut outcome)?;
    Ok(outcome)
}

fn stage(sim: &mut Sim<Ledger>, nodes: [NodeId; 2], plan: &Plan) {
    sim.network(Network { jitter_us: 0, ..Network::default().delay(plan.delay) });
    for side in 0..2 {
        if plan.knows[side] {
            sim.introduce(nodes[side], [nodes[1 - side]]);
        }
        if plan.same_user {
            sim.spec(nodes[side]).user = Some("one".into());
        }
    }
    for Trouble { side, at, back, disk_of, silent } in &plan.faults {
        let node = nodes[*side];
        if *silent {
            sim.at(*at, fault::partition([nodes[0]], [nodes[1]]));
        }
        sim.at(*at, fault::crash(node));
        match disk_of {
            Some(then) => sim.at(*back, fault::rollback(node, *then)),
            None => sim.at(*back, fault::restart(node)),
        }
        sim.at(*back, fault::heal());
    }
    sim.until(secs(LAST_MS / 1_000) + PATIENCE);
}

/// Runs until nothing waits any more and one link is there, or patience ends; then a little longer.
fn finish(sim: &mut Sim<Ledger>, nodes: [NodeId; 2], watch: &RefCell<Watch>) -> Result<(), String> {
    let mut at = millis(LAST_MS) + secs(10);
    loop {
        sim.run_until(at).map_err(|why| why.to_string())?;
        if let Some(failure) = sim.report().failure {
            return Err(format!("{}: {}", failure.check, failure.detail));
        }
        let world = sim.world().map_err(|why| why.to_string())?;
        let is_quiet = nodes.iter().all(|node| world.node(*node).outbox().is_empty() && world.app(*node).is_some_and(Ledger::is_done));
        if (is_quiet && watch.borrow().is_one(&world, nodes)) || at > millis(LAST_MS) + PATIENCE {
            return Ok(());
        }
        at += secs(10);
    }
}

/// What each sender's store knows as sent must have been handed over, and what no reader's disk forgot must be there.
fn count(sim: &Sim<Ledger>, nodes: [NodeId; 2], plan: &Plan, record: &Record, outcome: &mut Outcome) -> Result<(), String> {
    let world = sim.world().map_err(|why| why.to_string())?;
    for (reader, sender) in [(0, 1), (1, 0)] {
        let (Some(from), Some(to)) = (world.app(nodes[sender]), world.app(nodes[reader])) else {
            return Err("a device is down at the end".into());
        };
        let forgot = plan.faults.iter().any(|fault| fault.side == reader && fault.disk_of.is_some());
        for name in &from.sent {
            let is_there = record.handed.contains_key(&(reader, *name)) && (forgot || to.got.contains(name));
            outcome.lost += u64::from(!is_there);
            outcome.lost_without += u64::from(!record.handed_without.contains(&(reader, *name)));
            outcome.messages += 1;
        }
    }
    outcome.repeated += record.repeated;
    Ok(())
}
