//! The contract between a node and whoever drives it, one clause after the other.

use core::iter::successors;

use super::*;
use crate::timer::TimerKey;

/// A node of its own that has read an empty store.
pub(super) fn lone(config: Config) -> Node {
    let mut node = Node::new(config, credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
    assert_eq!(answer(&mut node, Time::ZERO), 2, "a load and a store");
    node
}

/// Answers every load with nothing and every store with success; how many.
fn answer(node: &mut Node, now: Time) -> usize {
    let mut answers = 0;
    while let Some(action) = node.poll() {
        match action {
            Action::Load { op, .. } => node.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false }))),
            Action::Store { op, .. } => node.handle(now, Event::stored(op, Ok(()))),
            Action::SendDatagram { .. }
            | Action::Connect { .. }
            | Action::Write { .. }
            | Action::Close { .. }
            | Action::Resolve { .. }
            | Action::Notify { .. } => continue,
        }
        answers += 1;
    }
    answers
}

pub(super) fn drain(node: &mut Node) -> Vec<Action> {
    core::iter::from_fn(|| node.poll()).collect()
}

pub(super) fn someone(n: u32) -> UserId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    UserId::from_bytes(bytes)
}

pub(super) fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

// spec-test: NODE-1, NODE-4, NODE-9
#[test]
fn events_may_gather_between_polls_and_the_actions_are_the_same() {
    let pipe = PipeId::new(1);
    let inputs = [
        Event::loaded(OpId::new(1), Ok(Page { items: &[], more: false })),
        Event::stored(OpId::new(2), Ok(())),
        Event::pipe_opened(pipe, None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")),
        Event::pipe_bytes(pipe, b"overcom/9 "),
        Event::pipe_bytes(pipe, b"user\n"),
        Event::pipe_written(pipe),
        Event::pipe_closed(pipe),
        Event::clock(WALL + Duration::from_secs(9)),
    ];
    let run = |polls: bool| {
        let mut node = Node::new(Config::test(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
        let mut actions = Vec::new();
        for (at, event) in (1..).zip(inputs) {
            if polls {
                actions.extend(drain(&mut node));
            }
            node.handle(Time::from_millis(at), event);
        }
        actions.extend(drain(&mut node));
        actions
    };
    let actions = run(true);
    assert!(actions.iter().any(|action| matches!(action, Action::Write { packet, .. } if packet.bytes() == b"overcom/1 version\n")));
    assert_eq!(actions, run(false));
}

/// What a shell was told to do, as the actions that stand for it.
#[derive(Default)]
struct Listed(Vec<Action>);

impl Shell for Listed {
    fn send_datagram(&mut self, path: Path, packet: &Packet) {
        self.0.push(Action::SendDatagram { path, packet: Packet::from_vec(packet.bytes().to_vec()) });
    }
    fn connect(&mut self, op: OpId, to: SocketAddr, from_listening_port: bool) {
        self.0.push(Action::Connect { op, to, from_listening_port });
    }
    fn write(&mut self, pipe: PipeId, packet: Packet) {
        self.0.push(Action::Write { pipe, packet });
    }
    fn close(&mut self, pipe: PipeId) {
        self.0.push(Action::Close { pipe });
    }
    fn resolve(&mut self, op: OpId, name: &str, port: u16) {
        self.0.push(Action::Resolve { op, name: name.into(), port });
    }
    fn store(&mut self, op: OpId, batch: Batch, durable: bool) {
        self.0.push(Action::Store { op, batch, durable });
    }
    fn load(&mut self, op: OpId, from: Vec<u8>, to: Vec<u8>, limit: u32) {
        self.0.push(Action::Load { op, from, to, limit });
    }
    fn notify(&mut self, notice: Notice) {
        self.0.push(Action::Notify { notice });
    }
}

// spec-test: NODE-4
#[test]
fn what_was_asked_first_is_done_first_and_a_driver_hands_it_on_in_this_order() {
    let now = Time::from_secs(1);
    let gather = |node: &mut Node| {
        // Nothing is polled meanwhile: two refused pipes, dials by address and by name, and what is to be stored.
        for n in [1, 2] {
            let pipe = PipeId::new(n);
            node.handle(now, Event::pipe_opened(pipe, None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
            node.handle(now, Event::pipe_bytes(pipe, b"overcom/9 user\n"));
        }
        for (n, address) in [(1, "10.0.0.9:1"), (2, "home.example:2"), (3, "10.0.0.9:3")] {
            node.command(now, Command::introduce(someone(n), [address.parse().unwrap()])).unwrap();
            node.command(now, Command::find(someone(n))).unwrap();
        }
        node.handle(now, Event::Tick);
    };
    let mut node = lone(Config::test());
    gather(&mut node);
    let actions = drain(&mut node);
    let told: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Write { pipe, packet } => format!("write {} {}", pipe.number(), String::from_utf8_lossy(packet.bytes()).trim()),
            Action::Close { pipe } => format!("close {}", pipe.number()),
            Action::Connect { to, .. } => format!("connect {to}"),
            Action::Resolve { name, .. } => format!("resolve {name}"),
            Action::Store { batch, .. } => format!("store {}", batch.changes.len()),
            Action::Notify { notice: Notice::Refused { why: CloseReason::Version, .. } } => "refused version".into(),
            other @ (Action::SendDatagram { .. } | Action::Load { .. } | Action::Notify { .. }) => format!("{other:?}"),
        })
        .collect();
    let refused = |n: u64| ["refused version".to_string(), format!("write {n} overcom/1 version"), format!("close {n}")];
    let dials = ["connect 10.0.0.9:1", "resolve home.example", "connect 10.0.0.9:3", "store 3"].map(String::from);
    assert_eq!(told, [refused(1).as_slice(), &refused(2), &dials].concat());
    for budget in [1, 2, 3, 100] {
        let (mut shell, mut node) = (Listed::default(), lone(Config::test()));
        gather(&mut node);
        let mut driver = Driver::new(node);
        while driver.drive(&mut shell, now, budget) == Next::Again {}
        assert_eq!(shell.0, actions, "{budget} at a time");
    }
}

// spec-test: NODE-2, NODE-7
#[test]
fn an_early_tick_does_nothing_and_time_does_not_go_back() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    let (now, deadline) = (net.now, net.seats[0].driver.deadline());
    assert!(deadline.is_some_and(|due| due > now));
    let seat = &mut net.seats[0];
    for at in [now, Time::ZERO] {
        seat.driver.handle(at, Event::Tick);
        assert_eq!(seat.driver.drive(&mut seat.table, now, 10), Next::Until(deadline));
        assert!(seat.table.done.is_empty());
    }
    assert_eq!(seat.driver.node().stats().clock_went_back, 1);
}

// spec-test: NODE-3
#[test]
fn a_refused_command_changes_nothing_not_even_what_is_drawn_later() {
    let (mut one, mut other) = (lone(Config::test()), lone(Config::test()));
    let (me, now) = (one.me(), Time::from_secs(1));
    let message = || Message::new("bla", "hello").unwrap();
    let refused: [Command; 6] = [
        Send::new(me.user, message()).to_device(me.device).into(),
        Command::introduce(someone(1), []),
        Command::introduce(someone(1), [socket("0.0.0.0:1").into()]),
        Command::enter(vec!["10.0.0.9:1".parse().unwrap(); 9]),
        Command::enter(["224.0.0.1:1".parse().unwrap()]),
        Command::renew(credentials("bob", "test").delegation().clone()),
    ];
    for command in refused {
        assert!(one.command(now, command.clone()).is_err(), "{command:?}");
        assert_eq!(one.poll(), None);
    }
    let run = |node: &mut Node| {
        node.command(now, Command::introduce(someone(1), [socket("10.0.0.9:1").into()])).unwrap();
        node.command(now, Command::send(someone(1), message())).unwrap();
        let op = drain(node).into_iter().find_map(|action| if let Action::Connect { op, .. } = action { Some(op) } else { None });
        node.handle(now, Event::pipe_opened(PipeId::new(5), op, socket("10.0.0.1:5"), socket("10.0.0.9:1")));
        drain(node)
    };
    let first = run(&mut one);
    assert!(first.iter().any(|action| matches!(action, Action::Write { .. })), "a key was drawn for the handshake");
    assert_eq!(first, run(&mut other));
}

// spec-test: NODE-6
#[test]
fn one_tick_runs_at_most_1024_timers_and_the_next_one_goes_on() {
    let mut node = lone(Config::test());
    for n in 0..1_500 {
        let message = Send::new(someone(n), Message::new("bla", "hello").unwrap()).keep(Keep::Memory);
        node.command(Time::from_secs(1), message.into()).unwrap();
    }
    let due = node.deadline().unwrap();
    assert_eq!((due, node.wake()), (Time::from_secs(2), Wake::Retry));
    node.handle(due, Event::Tick);
    assert_eq!(node.deadline(), Some(due));
    node.handle(due, Event::Tick);
    assert_eq!(node.deadline(), Some(Time::from_secs(4)));
}

// spec-test: NODE-8, HS-11
#[test]
fn half_open_pipes_are_bounded_and_end_after_ten_seconds() {
    let mut node = lone(Config::test().pipes_pending_max(4));
    for n in 1..=10 {
        node.handle(Time::from_secs(1), Event::pipe_opened(PipeId::new(n), None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
    }
    let closed: Vec<Action> = (5..=10).map(|n| Action::Close { pipe: PipeId::new(n) }).collect();
    assert_eq!(drain(&mut node), closed);
    assert_eq!((node.inspect().pipes_pending, node.stats().pipes_overflow), (4, 6));
    assert_eq!((node.deadline(), node.wake()), (Some(Time::from_secs(11)), Wake::Handshake));
    node.handle(Time::from_secs(11), Event::Tick);
    let late = |action: &Action| matches!(action, Action::Notify { notice: Notice::Refused { why: CloseReason::Timeout, .. } });
    assert_eq!(drain(&mut node).iter().filter(|action| late(action)).count(), 4);
    assert_eq!(node.inspect().pipes_pending, 0);
}

// spec-test: NODE-17
#[test]
fn notices_that_nobody_takes_are_bounded_and_counted() {
    let mut node = lone(Config::test().notices_max(64));
    for n in 1..=100 {
        let pipe = PipeId::new(n);
        node.handle(Time::from_secs(1), Event::pipe_opened(pipe, None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
        node.handle(Time::from_secs(1), Event::pipe_bytes(pipe, b"GET / HTTP/1.1\r\n"));
        node.handle(Time::from_secs(1), Event::pipe_closed(pipe));
    }
    let told = drain(&mut node).iter().filter(|action| matches!(action, Action::Notify { .. })).count();
    assert_eq!((told as u64 + node.stats().notices_dropped, told < 65), (100, true));
    node.handle(Time::from_secs(1), Event::taken(64, &[]));
    node.handle(Time::from_secs(1), Event::pipe_opened(PipeId::new(500), None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
    node.handle(Time::from_secs(1), Event::pipe_closed(PipeId::new(500)));
    assert_eq!(drain(&mut node).iter().filter(|action| matches!(action, Action::Notify { .. })).count(), 1);
}

// spec-test: NODE-17
#[test]
fn notices_that_the_application_is_through_with_behind_an_untaken_one_make_room_and_are_taken_in_their_turn() {
    let mut node = lone(Config::test().notices_max(64));
    let (now, mut pipes) = (Time::from_secs(1), 0);
    let mut refuse = |node: &mut Node, count: u64| {
        for _ in 0..count {
            pipes += 1;
            let pipe = PipeId::new(pipes);
            node.handle(now, Event::pipe_opened(pipe, None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
            node.handle(now, Event::pipe_closed(pipe));
        }
        drain(node).iter().filter(|action| matches!(action, Action::Notify { .. })).count() as u64
    };
    // Two are of its start.
    let mut waiting = 2 + refuse(&mut node, 100);
    assert_eq!((waiting, refuse(&mut node, 1)), (64, 0));
    // All but one, again and again, as behind a message that nobody takes.
    for _ in 0..10 {
        node.handle(now, Event::passed(waiting - 1));
        let more = refuse(&mut node, 100);
        assert_eq!(more, 63);
        waiting += more;
    }
    // More than there are is all of them, and what is taken makes room once.
    node.handle(now, Event::passed(u64::MAX));
    waiting += refuse(&mut node, 1);
    node.handle(now, Event::taken(waiting, &[]));
    assert_eq!(refuse(&mut node, 100), 64);
}

// spec-test: NODE-17
#[test]
fn an_application_that_left_too_many_notices_is_still_told_what_became_of_the_node() {
    let mut node = lone(Config::test().notices_max(64));
    let now = Time::from_secs(1);
    for n in 1..=100 {
        node.handle(now, Event::pipe_opened(PipeId::new(n), None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
        node.handle(now, Event::pipe_closed(PipeId::new(n)));
    }
    let states = |node: &mut Node| {
        let is_state = |action: &Action| {
            matches!(action, Action::Notify { notice: Notice::Expired | Notice::Revoked | Notice::Quiet | Notice::Stopped { .. } })
        };
        drain(node).into_iter().filter(is_state).count()
    };
    // Two are of its start.
    assert_eq!((states(&mut node), node.stats().notices_dropped), (0, 38));
    // However often it sleeps, what waits is bounded, and its end has the place that is left.
    let told: usize = (0..40)
        .map(|_| {
            assert!(node.command(now, Command::Suspend).is_ok());
            let quiet = states(&mut node);
            node.handle(now, Event::addresses(&[], true));
            quiet
        })
        .sum();
    assert_eq!((told, node.stats().notices_dropped), (16, 38 + 24));
    assert!(node.command(now, Command::introduce(someone(1), [socket("10.0.0.1:1").into()])).is_ok());
    node.handle(now, Event::Tick);
    let store = drain(&mut node).into_iter().find_map(|action| if let Action::Store { op, .. } = action { Some(op) } else { None });
    node.handle(now, Event::stored(store.unwrap(), Err(StoreError::Full)));
    assert_eq!(states(&mut node), 1);
}

/// The kind of timer after this one; a new kind does not compile before it stands here.
fn kind_after(key: Option<TimerKey>) -> Option<TimerKey> {
    let (pipe, user) = (PipeId::new(77), UserId::from_bytes([7; 32]));
    match key {
        None => Some(TimerKey::Handshake(pipe)),
        Some(TimerKey::Handshake(_)) => Some(TimerKey::KeepAlive(pipe)),
        Some(TimerKey::KeepAlive(_)) => Some(TimerKey::Acknowledge(pipe)),
        Some(TimerKey::Acknowledge(_)) => Some(TimerKey::LinkEnd(pipe)),
        Some(TimerKey::LinkEnd(_)) => Some(TimerKey::Linger(pipe)),
        Some(TimerKey::Linger(_)) => Some(TimerKey::Retry(user)),
        Some(TimerKey::Retry(_)) => Some(TimerKey::Ends(user)),
        Some(TimerKey::Ends(_)) => Some(TimerKey::Dial(OpId::new(77))),
        Some(TimerKey::Dial(_)) => Some(TimerKey::Entry(77)),
        Some(TimerKey::Entry(_)) => Some(TimerKey::Renewal),
        Some(TimerKey::Renewal) => Some(TimerKey::Invitation),
        Some(TimerKey::Invitation) => Some(TimerKey::Dht),
        Some(TimerKey::Dht) => None,
    }
}

// spec-test: NODE-5
#[test]
fn every_kind_of_timer_is_covered_by_the_deadline() {
    let kinds: Vec<TimerKey> = successors(kind_after(None), |key| kind_after(Some(*key))).collect();
    assert_eq!(kinds.len(), 12);
    for key in kinds {
        let mut node = fuzz::node_of(credentials("bob", "test"), WALL).unwrap();
        while node.poll().is_some() {}
        let due = Time::from_secs(1) + Duration::from_micros(1);
        assert!(node.deadline().is_none_or(|at| at > due), "{key:?}: nothing else comes before");
        node.0.cx.timers.set(key, due);
        assert_eq!(node.deadline(), Some(due), "{key:?}");
        // What is due is not due again, whether or not what it was for is still there.
        node.handle(due, Event::Tick);
        while node.poll().is_some() {}
        assert!(node.deadline().is_none_or(|at| at > due), "{key:?}");
    }
}
