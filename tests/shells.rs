//! What the shells promise beyond the conformance suite: they never block, nobody waits for a stopped reader, one
//! application runs on both, and what they record replays.

use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use overcom_core::trace::{Builds, Ends, replay};
use overcom_core::{
    Address, App, AppCx, AppId, Command, Config, Credentials, Delegation, DeviceKeys, IdentitySecret, Message, Notice, Rng, Saved, Seed,
    UserId,
};
use overcom_mio::{AppRuntime, Embedded, Runtime};
use overcom_smol::{Node, run_app};
use overcom_std::{Clock, MemoryStore, Setup};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn credentials(number: u8) -> Credentials {
    let identity = IdentitySecret::from_bytes([number; 32]);
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([number; 32])));
    let (app, now, hour) = (AppId::new("shells").unwrap(), Clock::start().wall(), Duration::from_secs(3_600));
    keys.credentials(Delegation::sign(&identity, &keys.grant(app, now - hour, now + hour)).unwrap())
}

fn user(number: u8) -> UserId {
    IdentitySecret::from_bytes([number; 32]).user()
}

fn setup(number: u8) -> Setup {
    Setup::bind(LOOPBACK, Config::test(), credentials(number)).unwrap()
}

fn mio(number: u8) -> Runtime {
    let mut runtime = Runtime::start(setup(number), MemoryStore::new()).unwrap();
    until(&mut [&mut runtime], |_, notice| matches!(notice, Notice::Started { .. }));
    runtime
}

/// Runs these nodes until one of their notices is the one.
fn until(nodes: &mut [&mut Runtime], mut is_it: impl FnMut(usize, &Notice) -> bool) {
    let clock = Clock::start();
    let mut found = false;
    while !found {
        assert!(clock.now() < overcom_core::Time::ZERO + PATIENCE, "it did not come");
        for (index, node) in nodes.iter_mut().enumerate() {
            node.run_once(Duration::from_millis(1), |notice| found |= is_it(index, &notice)).unwrap();
        }
    }
}

fn introduce(runtime: &mut Runtime, number: u8, address: SocketAddr) {
    runtime.command(Command::introduce(user(number), vec![Address::Ip(address)])).unwrap();
}

fn say(text: &str) -> Message {
    Message::new("say", text).unwrap()
}

// spec-test: SHELL-13
#[test]
fn a_frame_never_waits() {
    let mut runtime = mio(1);
    let clock = Clock::start();
    for _ in 0..200 {
        runtime.run_once(Duration::ZERO, |_| {}).unwrap();
    }
    let took = clock.now();
    assert!(took < overcom_core::Time::from_millis(1_000), "200 frames took {took}");
}

#[test]
fn a_notice_that_came_before_the_wait_is_not_kept_until_its_end() {
    let mut runtime = mio(1);
    // The answer is there at once, and nothing else would end the wait.
    runtime.command(Command::Suspend).unwrap();
    let clock = Clock::start();
    let mut is_quiet = false;
    runtime.run_once(PATIENCE, |notice| is_quiet |= notice == Notice::Quiet).unwrap();
    assert!(is_quiet && clock.now() < overcom_core::Time::ZERO + PATIENCE / 2);
}

#[test]
fn a_guest_that_took_notices_after_its_turn_does_not_wait_before_the_next() {
    let poll = ::mio::Poll::new().unwrap();
    let mut guest = Embedded::start(setup(1), MemoryStore::new(), poll.registry(), 1_000..1_010, || {}).unwrap();
    let clock = Clock::start();
    loop {
        assert!(clock.now() < overcom_core::Time::ZERO + PATIENCE, "it does not start");
        let rest = guest.turn().unwrap();
        if std::iter::from_fn(|| guest.next_notice()).any(|notice| matches!(notice, Notice::Started { .. })) {
            while guest.next_notice().is_some() {}
            // The node was told of it, and may want to answer.
            assert_eq!(guest.wait_max(rest), Some(Duration::ZERO));
            break;
        }
    }
}

// spec-test: SHELL-13
#[test]
fn a_peer_that_stopped_reading_keeps_nobody_waiting() {
    let (mut ann, mut ben, mut cho) = (mio(1), mio(2), mio(3));
    introduce(&mut ann, 2, ben.local_addr());
    introduce(&mut ann, 3, cho.local_addr());
    ann.command(Command::send(user(2), say("are you there?"))).unwrap();
    until(&mut [&mut ann, &mut ben], |index, notice| index == 0 && matches!(notice, Notice::Delivered { .. }));
    // From here on ben's loop stands still, and his sockets fill.
    let long = "x".repeat(900 << 10);
    for _ in 0..8 {
        ann.command(Command::send(user(2), say(&long))).unwrap();
    }
    ann.command(Command::send(user(3), say("short"))).unwrap();
    until(&mut [&mut ann, &mut cho], |index, notice| index == 1 && matches!(notice, Notice::Message(_)));
    // And nothing of it is lost when he wakes.
    let mut arrived = 0;
    until(&mut [&mut ann, &mut ben], |index, notice| {
        arrived += usize::from(index == 1 && matches!(notice, Notice::Message(_)));
        arrived == 8
    });
}

#[test]
fn pipes_that_say_nothing_or_nonsense_disturb_no_one() {
    let (mut ann, mut ben) = (mio(1), mio(2));
    let mut noise: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(ann.local_addr()).unwrap()).collect();
    for stream in noise.iter_mut().step_by(2) {
        stream.write_all(&[0xEE; 4_096]).unwrap();
    }
    introduce(&mut ben, 1, ann.local_addr());
    ben.command(Command::send(user(1), say("hello"))).unwrap();
    until(&mut [&mut ann, &mut ben], |index, notice| index == 1 && matches!(notice, Notice::Delivered { .. }));
}

#[test]
fn ten_peers_on_smol_reach_one_on_mio() {
    let mut hub = mio(1);
    let address = hub.local_addr();
    let peers: Vec<_> = (2..12)
        .map(|number| {
            let (mut node, running) = Node::split(setup(number), MemoryStore::new()).unwrap();
            smol::spawn(running).detach();
            smol::spawn(async move {
                while !matches!(node.next().await, Some(Notice::Started { .. })) {}
                node.send(Command::introduce(user(1), vec![Address::Ip(address)])).await.unwrap();
                node.send(Command::send(user(1), say("hello"))).await.unwrap();
                while !matches!(node.next().await, Some(Notice::Delivered { .. })) {}
                node.close().await.unwrap();
            })
        })
        .collect();
    let mut arrived = 0;
    until(&mut [&mut hub], |_, notice| {
        arrived += usize::from(matches!(notice, Notice::Message(_)));
        arrived == 10
    });
    let handle = hub.handle();
    let running = thread::spawn(move || hub.run(|_| {}));
    smol::block_on(async {
        for peer in peers {
            peer.await;
        }
    });
    handle.stop().unwrap();
    running.join().unwrap().unwrap();
}

/// Answers every message with the same one.
struct Echo;

impl App for Echo {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, _saved: Saved) {}

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        if let Notice::Message(received) = notice {
            let answer = Message::from_text(received.kind(), received.payload()).unwrap();
            cx.command(Command::send(received.from.user, answer)).unwrap();
        }
    }
}

#[test]
fn one_application_runs_on_both_runtimes() {
    let mut ann = mio(1);
    let mut on_mio = AppRuntime::start_app(setup(2), MemoryStore::new(), Echo).unwrap();
    let (on_smol, running) = run_app(setup(3), MemoryStore::new(), Echo).unwrap();
    let smol_task = smol::spawn(running);
    introduce(&mut ann, 2, on_mio.local_addr());
    introduce(&mut ann, 3, on_smol.local_addr());
    let stop = on_mio.handle();
    let mio_task = thread::spawn(move || while on_mio.step(PATIENCE).unwrap() {});
    for number in [2, 3] {
        ann.command(Command::send(user(number), say("echo?"))).unwrap();
    }
    let mut answers = Vec::new();
    until(&mut [&mut ann], |_, notice| {
        if let Notice::Message(received) = notice {
            assert_eq!(received.payload(), r#""echo?""#);
            answers.push(received.from.user);
        }
        answers.len() == 2
    });
    answers.sort();
    let mut expected = vec![user(2), user(3)];
    expected.sort();
    assert_eq!(answers, expected);
    stop.stop().unwrap();
    on_smol.stop().unwrap();
    mio_task.join().unwrap();
    smol::block_on(smol_task).unwrap();
}

/// Wakes the thread that asks for it.
pub(crate) fn unparks_this_thread() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// An executor that is nobody's: parks its thread.
fn on_a_foreign_executor<T>(future: impl Future<Output = T>) -> T {
    let waker = unparks_this_thread();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn smols_node_runs_on_an_executor_that_knows_no_reactor() {
    let (mut node, running) = Node::split(setup(1), MemoryStore::new()).unwrap();
    let executor = thread::spawn(move || on_a_foreign_executor(running));
    on_a_foreign_executor(async {
        while !matches!(node.next().await.expect("it starts"), Notice::Started { .. }) {}
        let handle = node.handle();
        assert_eq!(handle.look(|node| node.me().user).await, Ok(user(1)));
        node.close().await.unwrap();
        assert!(handle.send(Command::Suspend).await.is_err());
    });
    executor.join().unwrap().unwrap();
}

#[test]
fn a_node_lives_inside_a_poll_of_ones_own() {
    let (mut poll, mut events) = (::mio::Poll::new().unwrap(), ::mio::Events::with_capacity(16));
    let waker = ::mio::Waker::new(poll.registry(), ::mio::Token(7)).unwrap();
    let wake = move || waker.wake().unwrap();
    let mut guest = Embedded::start(setup(1), MemoryStore::new(), poll.registry(), 1_000..1_010, wake).unwrap();
    let mut ben = mio(2);
    introduce(&mut ben, 1, guest.local_addr());
    ben.command(Command::send(user(1), say("inside"))).unwrap();
    let clock = Clock::start();
    let mut mine = 0;
    loop {
        assert!(clock.now() < overcom_core::Time::ZERO + PATIENCE, "it did not come");
        let rest = guest.turn().unwrap();
        let mut notices = std::iter::from_fn(|| guest.next_notice());
        if notices.any(|notice| matches!(notice, Notice::Message(_))) {
            break;
        }
        let wait = guest.wait_max(rest).unwrap_or(PATIENCE).min(Duration::from_millis(1));
        poll.poll(&mut events, Some(wait)).unwrap();
        mine += events.iter().filter(|event| !guest.ready(event)).count();
        ben.run_once(Duration::ZERO, |_| {}).unwrap();
    }
    assert!(mine > 0, "the waker's events are not the guest's");
}

#[derive(Clone, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// spec-test: SHELL-3
#[test]
fn each_start_of_a_shell_draws_a_seed_of_its_own() {
    let seed_of = |tape: &Tape| {
        let text = String::from_utf8(tape.0.lock().unwrap().clone()).unwrap();
        let header: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        header["start"]["seed"].as_str().unwrap().to_owned()
    };
    let mut seeds = std::collections::BTreeSet::new();
    for start in 1..=6 {
        let tape = Tape::default();
        if start % 2 == 0 {
            drop(Runtime::start(setup(1).record(tape.clone()), MemoryStore::new()).unwrap());
        } else {
            let (node, running) = Node::split(setup(1).record(tape.clone()), MemoryStore::new()).unwrap();
            node.handle().stop().unwrap();
            smol::block_on(running).unwrap();
        }
        seeds.insert(seed_of(&tape));
        assert_eq!(seeds.len(), start);
    }
}

#[test]
fn what_real_sockets_did_replays_to_the_byte() {
    let tape = Tape::default();
    let mut ann = Runtime::start(setup(1).record(tape.clone()), MemoryStore::new()).unwrap();
    let mut ben = mio(2);
    until(&mut [&mut ann], |_, notice| matches!(notice, Notice::Started { .. }));
    introduce(&mut ann, 2, ben.local_addr());
    ann.command(Command::send(user(2), say("on record"))).unwrap();
    until(&mut [&mut ann, &mut ben], |index, notice| index == 0 && matches!(notice, Notice::Delivered { .. }));
    drop(ann);
    let text = String::from_utf8(tape.0.lock().unwrap().clone()).unwrap();
    let replays = replay(&text, Builds::Same).expect("a recording of this build replays");
    assert_eq!(replays.len(), 1);
    assert!(replays[0].ends == Ends::Whole && replays[0].compared > 0 && replays[0].inputs > 10, "{:?}", replays[0]);
}

#[test]
fn notices_are_a_stream_that_takes_each_as_the_next_is_asked_for_and_goes_on_where_it_was_dropped() {
    use smol::stream::StreamExt as _;
    let (mut ann, ben) = (mio(1), user(2));
    let (mut node, running) = Node::split(setup(2), MemoryStore::new()).unwrap();
    let running = smol::spawn(running);
    introduce(&mut ann, 2, node.local_addr());
    for number in 0..3 {
        ann.command(Command::send(ben, say(&number.to_string()))).unwrap();
    }
    let stop = ann.handle();
    let others = thread::spawn(move || ann.run(|_| {}));
    let text = |notice: Notice| if let Notice::Message(message) = notice { Some(message.payload().to_owned()) } else { None };
    smol::block_on(async {
        assert_eq!(node.notices().filter_map(text).next().await.as_deref(), Some("\"0\""));
        // What the dropped stream had not given is not lost, and neither way gives anything twice.
        let second = loop {
            if let Some(second) = node.next().await.and_then(text) {
                break second;
            }
        };
        let third = node.notices().filter_map(text).next().await;
        assert_eq!((second.as_str(), third.as_deref()), ("\"1\"", Some("\"2\"")));
        let handle = node.handle();
        handle.stop().unwrap();
        assert_eq!(node.notices().filter_map(text).count().await, 0, "it ends with the node");
        running.await.unwrap();
    });
    stop.stop().unwrap();
    others.join().unwrap().unwrap();
}
