//! One line brings two people together, whatever falls while they meet, and nobody else.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use overcom_core::trace::{Builds, replay};
use overcom_core::{App, AppCx, Command, CommandError, FailReason, InvitationError, Notice, Saved, Time};
use overcom_simulator::{Clock, Network, NodeId, Sim, World, fault, millis, secs};

/// What people remember, whatever happens to their machines.
#[derive(Default)]
struct Memory {
    /// The line that was sent: last.
    line: Option<String>,
    joined: u32,
    failed: Vec<FailReason>,
    refused: Vec<CommandError>,
}

/// Somebody who invites at the start, or joins at a time.
struct Person {
    memory: Rc<RefCell<Memory>>,
    /// How long an invitation lasts; none: this one does not invite.
    invites: Option<Duration>,
    joins_at: Option<Time>,
}

impl App for Person {
    fn on_start(&mut self, cx: &mut AppCx<'_>, saved: Saved) {
        if saved.contains_key(b"done".as_slice()) {
            (self.invites, self.joins_at) = (None, None);
        }
        if let Some(life) = self.invites {
            cx.command(Command::invite(life, [])).expect("she has an address");
        }
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        let mut memory = self.memory.borrow_mut();
        if let Notice::Invited { invitation, .. } = &notice {
            memory.line = Some(invitation.to_secret_text().as_str().into());
            cx.save(*b"done", *b"");
        }
        if matches!(notice, Notice::Joined { .. }) {
            memory.joined += 1;
        }
        if let Notice::Failed { why, .. } = notice {
            memory.failed.push(why);
        }
    }

    fn on_deadline(&mut self, cx: &mut AppCx<'_>) {
        self.joins_at = None;
        let mut memory = self.memory.borrow_mut();
        let line = memory.line.as_ref().expect("the line has come");
        match cx.command(Command::join(line.parse().expect("it is an invitation"))) {
            Ok(_) => cx.save(*b"done", *b""),
            Err(why) => memory.refused.push(why),
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.joins_at
    }
}

struct Party {
    sim: Sim<Person>,
    memory: Rc<RefCell<Memory>>,
    nodes: Vec<NodeId>,
}

/// Ann invites for so long, the others join at these times.
fn party(seed: u64, life: Duration, guests: &[(&str, u64)]) -> Party {
    let mut sim = Sim::new(seed);
    let memory = Rc::new(RefCell::new(Memory::default()));
    let person = |invites, joins_at: Option<u64>| {
        let memory = Rc::clone(&memory);
        move || Person { memory: Rc::clone(&memory), invites, joins_at: joins_at.map(Time::from_millis) }
    };
    let mut nodes = vec![sim.node("ann", person(Some(life), None))];
    for (name, at_ms) in guests {
        nodes.push(sim.node(name, person(None, Some(*at_ms))));
    }
    sim.network(Network { delay_us: 20_000, jitter_us: 0, ..Network::default() });
    Party { sim, memory, nodes }
}

fn knows(world: &World<'_, Person>, one: NodeId, other: NodeId) -> bool {
    world.node(one).core().is_some_and(|node| node.inspect().book.contains(&world.user(other)))
}

fn joins(world: &World<'_, Person>, node: NodeId) -> usize {
    world.notices(node).iter().filter(|notice| matches!(notice, Notice::JoinedBy { .. })).count()
}

#[test]
fn a_line_brings_two_people_together_and_a_ladder_shows_it_without_the_line() {
    let Party { mut sim, memory, nodes } = party(7, secs(3_600), &[("ben", 1_000)]);
    sim.until(secs(5));
    let report = sim.run().expect("it runs");
    assert_eq!(report.failure, None);
    let ladder = sim.ladder().detail(overcom_core::trace::Detail::Link).to_string();
    assert_eq!(ladder, "ben -> ann: link up\nben -> ann: join\nann -> ben: joined\n", "{}", report.ladder());
    let world = sim.world().expect("it ran");
    assert!(knows(&world, nodes[0], nodes[1]) && knows(&world, nodes[1], nodes[0]));
    assert_eq!((memory.borrow().joined, joins(&world, nodes[0])), (1, 1));
    let line = memory.borrow().line.clone().expect("it was sent");
    assert!(report.ladder().contains("was joined by ben") && !report.ladder().contains(&line[20..60]), "{}", report.ladder());
}

#[test]
fn a_recording_with_invitations_replays_and_holds_the_line_only_where_a_command_said_it() {
    let Party { mut sim, memory, .. } = party(7, secs(60), &[("ben", 1_000), ("cho", 3_000)]);
    sim.record();
    sim.until(secs(5));
    assert_eq!(sim.run().expect("it runs").failure, None);
    let trace = sim.trace();
    let replays = replay(&trace, Builds::Same).expect("it is the same build");
    assert_eq!(replays.len(), 3);
    let line = memory.borrow().line.clone().expect("it was sent");
    let holding: Vec<&str> = trace.lines().filter(|text| text.contains(&line)).collect();
    assert_eq!(holding.len(), 2);
    assert!(holding.iter().all(|text| text.starts_with("{\"command\":") && text.contains("\"join\"")), "{holding:?}");
}

#[test]
fn whoever_falls_whenever_it_is_both_know_each_other_once_and_nothing_is_lost() {
    let mut met = [0; 2];
    for at_ms in (1_000..1_400).step_by(20) {
        for falls in 0..2 {
            let Party { mut sim, memory, nodes } = party(at_ms, secs(3_600), &[("ben", 1_000)]);
            let [ann, ben] = nodes[..] else { panic!("there are two") };
            sim.network(Network { delay_us: 20_000, jitter_us: 5_000, ..Network::default() }.loss_ppm(50_000));
            sim.at(millis(at_ms), fault::crash(nodes[falls]));
            sim.at(millis(at_ms + 1_500), fault::restart(nodes[falls]));
            sim.always("nobody is told twice in one life", move |world| joins(world, ann) <= 1);
            sim.eventually("both know each other, and the invitation is used", secs(60), move |world| {
                let is_used = world.node(ann).core().is_some_and(|node| node.invitations().all(|it| it.used_by == Some(world.user(ben))));
                knows(world, ann, ben) && knows(world, ben, ann) && is_used
            });
            let told = Rc::clone(&memory);
            sim.eventually("the joiner is told", secs(60), move |_| told.borrow().joined > 0);
            let report = sim.run().expect("it runs");
            assert_eq!(report.failure, None, "{falls} at {at_ms}: {}", report.ladder());
            assert_eq!(memory.borrow().failed, [], "{falls} at {at_ms}: {}", report.ladder());
            let ladder = report.ladder();
            met[falls] += usize::from(sim.ladder().to_string().matches("join\n").count() > 1);
            assert!(ladder.contains("was joined by ben"), "{ladder}");
        }
    }
    assert!(met[0] > 0 && met[1] > 0, "it was asked again after either had fallen: {met:?}");
}

#[test]
fn a_second_person_and_one_who_comes_too_late_hear_why_and_enter_no_book() {
    let Party { mut sim, memory, nodes } = party(7, secs(60), &[("ben", 1_000), ("cho", 3_000), ("dan", 70_000), ("eli", 70_000)]);
    // Dan's clock is behind, so that only ann knows that it is over.
    sim.clock(nodes[3], Clock { offset_ms: -30_000, ..Clock::default() });
    sim.network(Network { delay_us: 20_000, jitter_us: 5_000, ..Network::default() }.loss_ppm(50_000));
    sim.until(secs(100));
    let report = sim.run().expect("it runs");
    assert_eq!(report.failure, None);
    let world = sim.world().expect("it ran");
    assert_eq!(nodes.iter().map(|node| knows(&world, nodes[0], *node)).collect::<Vec<_>>(), [false, true, false, false, false]);
    let memory = memory.borrow();
    assert_eq!((memory.joined, joins(&world, nodes[0])), (1, 1));
    assert_eq!(memory.failed, [FailReason::InvitationUsed, FailReason::InvitationUsed], "{}", report.ladder());
    assert_eq!(memory.refused, [CommandError::Invitation(InvitationError::Ended)]);
}

#[test]
fn an_invitation_that_nobody_has_used_in_time_is_over_for_everybody() {
    let Party { mut sim, memory, nodes } = party(7, secs(60), &[("dan", 70_000)]);
    sim.clock(nodes[1], Clock { offset_ms: -30_000, ..Clock::default() });
    sim.until(secs(100));
    assert_eq!(sim.run().expect("it runs").failure, None);
    assert_eq!((memory.borrow().joined, memory.borrow().failed.as_slice()), (0, [FailReason::InvitationEnded].as_slice()));
    assert!(!knows(&sim.world().expect("it ran"), nodes[0], nodes[1]));
}
