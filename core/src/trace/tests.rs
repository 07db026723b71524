use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::*;
use crate::crypto::Crypto;
use crate::invitation::InvitationSecret;
use crate::{
    Action, Address, AppId, Change, CloseReason, Command, Config, ConnectError, Credentials, Delegation, DeviceId, DeviceKeys, Driver,
    Event, IdentitySecret, Invitation, Item, LinkPeer, Message, Node, NodeKey, Notice, OpId, Page, Path, Peer, PipeId, ResolveError, Rng,
    Seed, StoreError, Tag, Time, UserId, WallTime,
};

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 32])
}

fn peer(n: u8) -> Peer {
    Peer { user: user(n), device: DeviceId::from_bytes([n; 16]) }
}

fn journal(name: &str, n: u8) -> Journal {
    let mut journal = Journal::new(name);
    let notice = Notice::Started { me: peer(n), node: NodeKey::from_bytes([n; 32]) };
    journal.on_action(Time::ZERO, &Action::Notify { notice });
    journal
}

fn say(journal: &mut Journal, ms: u64, with: u8, outward: bool, what: Said) {
    journal.on_observed(Time::from_millis(ms), Observed { with: Some(LinkPeer::User(peer(with))), outward, what });
}

fn message(number: u64) -> Said {
    Said::Message { kind: "bla".into(), number }
}

const SEARCH: Said = Said::Search { wanted: UserId::from_bytes([1; 32]), searcher: UserId::from_bytes([7; 32]) };

/// The example of the first specification, as the three nodes would note it down, with times moved by `shift` ms.
fn example(shift: u64) -> [Journal; 3] {
    let (mut alice, mut bob, mut eve) = (journal("alice", 0), journal("bob", 1), journal("eve", 7));
    let at = |ms: u64| ms + shift;
    say(&mut bob, at(10), 0, true, Said::Up);
    say(&mut alice, at(11), 1, false, Said::Up);
    say(&mut bob, at(12), 0, true, message(1));
    say(&mut alice, at(13), 1, false, message(1));
    alice.push_got(at(14), 1);
    say(&mut alice, at(15), 1, true, Said::Acknowledged { upto: 1 });
    say(&mut bob, at(16), 0, false, Said::Acknowledged { upto: 1 });
    say(&mut eve, at(20), 0, true, Said::Up);
    say(&mut alice, at(21), 7, false, Said::Up);
    say(&mut eve, at(22), 0, true, SEARCH);
    say(&mut alice, at(23), 7, false, SEARCH);
    say(&mut alice, at(24), 1, true, SEARCH);
    say(&mut alice, at(24), 7, true, Said::SearchAnswer { status: 202 });
    say(&mut bob, at(25), 0, false, SEARCH);
    say(&mut bob, at(30), 7, true, Said::Up);
    say(&mut eve, at(31), 1, false, Said::Up);
    [alice, bob, eve]
}

impl Journal {
    fn push_got(&mut self, ms: u64, from: u8) {
        let told = Told::Got { from: peer(from), kind: "bla".into(), payload: Some("\"hello \u{9b}31m\"".into()) };
        self.entries.push(Entry { at: Time::from_millis(ms), what: Happened::Told(told) });
    }
}

const EXAMPLE: &str = "\
bob -> alice: link up
bob -> alice: message bla
alice: got bla from bob
alice -> bob: acknowledged
eve -> alice: link up
eve -> alice: search bob
alice -> bob: search bob
bob -> eve: link up
";

// spec-test: TRACE-7
#[test]
fn the_first_example_reads_as_eight_lines_whatever_the_order_of_the_journals() {
    assert_eq!(Ladder::of(example(0)).to_string(), EXAMPLE);
    let mut turned = example(0);
    turned.reverse();
    assert_eq!(Ladder::of(turned).to_string(), EXAMPLE);
}

// spec-test: TRACE-8
#[test]
fn a_shift_of_times_changes_no_line_and_one_event_more_changes_one() {
    for shift in [1, 999, 86_400_000] {
        assert_eq!(Ladder::of(example(shift)).to_string(), EXAMPLE);
    }
    let before: Vec<String> = EXAMPLE.lines().map(String::from).collect();
    for at in 0..40 {
        let mut journals = example(0);
        say(&mut journals[0], at, 1, true, Said::Search { wanted: user(9), searcher: user(7) });
        journals[0].entries.sort_by_key(|entry| entry.at);
        let mut after: Vec<String> = Ladder::of(journals).to_string().lines().map(String::from).collect();
        let found = after.iter().position(|line| line == "alice -> bob: search user1").expect("the new event has a line");
        after.remove(found);
        assert_eq!(after, before, "an event at {at} ms changed other lines");
    }
}

#[test]
fn one_node_alone_tells_what_it_heard_with_the_others_names() {
    let ladder = Ladder::of(example(0)).per_node("alice");
    let expected = "\
bob -> alice: link up
bob -> alice: message bla
alice: got bla from bob
alice -> bob: acknowledged
eve -> alice: link up
eve -> alice: search bob
alice -> bob: search bob
";
    assert_eq!(ladder.to_string(), expected);
}

#[test]
fn acknowledgements_that_travel_as_one_read_like_several() {
    let together = {
        let (mut alice, mut bob) = (journal("alice", 0), journal("bob", 1));
        say(&mut bob, 1, 0, true, message(1));
        say(&mut bob, 2, 0, true, message(2));
        say(&mut alice, 3, 1, true, Said::Acknowledged { upto: 2 });
        Ladder::of([alice, bob]).to_string()
    };
    let apart = {
        let (mut alice, mut bob) = (journal("alice", 0), journal("bob", 1));
        say(&mut bob, 1, 0, true, message(1));
        say(&mut bob, 2, 0, true, message(2));
        say(&mut alice, 3, 1, true, Said::Acknowledged { upto: 1 });
        say(&mut alice, 4, 1, true, Said::Acknowledged { upto: 2 });
        say(&mut alice, 5, 1, true, Said::Acknowledged { upto: 2 });
        Ladder::of([alice, bob]).to_string()
    };
    assert_eq!(together, apart);
    assert_eq!(together.lines().filter(|line| *line == "alice -> bob: acknowledged").count(), 2);
}

#[test]
fn a_message_that_goes_out_again_says_so_and_keep_alives_show_on_the_wire_only() {
    let (alice, mut bob) = (journal("alice", 0), journal("bob", 1));
    say(&mut bob, 1, 0, true, message(1));
    say(&mut bob, 2, 0, true, Said::Ping);
    say(&mut bob, 3, 0, true, message(1));
    let ladder = Ladder::of([alice, bob]);
    assert_eq!(ladder.to_string(), "bob -> alice: message bla\nbob -> alice: message bla again\n");
    let wire = ladder.detail(Detail::Wire).to_string();
    assert_eq!(wire, "bob -> alice: message bla\nbob -> alice: ping\nbob -> alice: message bla again\n");
}

#[test]
fn the_end_of_a_link_is_told_once_whoever_tells_it_first() {
    for (first, second) in [(1, 2), (2, 1)] {
        let (mut alice, mut bob) = (journal("alice", 0), journal("bob", 1));
        say(&mut alice, first, 1, true, Said::Down(CloseReason::WrongPeer));
        say(&mut bob, second, 0, false, Said::Down(CloseReason::WrongPeer));
        say(&mut alice, 8 + first, 1, false, Said::Down(CloseReason::Lost));
        say(&mut bob, 8 + second, 0, false, Said::Down(CloseReason::Lost));
        let expected = "alice -> bob: link down (wrong peer)\nalice -> bob: link down (lost)\n";
        assert_eq!(Ladder::of([alice, bob]).to_string(), expected);
    }
}

#[test]
fn applications_see_their_wishes_and_what_came_of_them() {
    let mut bob = journal("bob", 1);
    let command = Command::send(user(0), Message::new("bla", "hello").expect("a message"));
    let asked = bob.begins(&command);
    bob.on_command(Time::from_millis(1), asked, Ok(Tag::new(4)));
    let notice = Notice::Delivered { tag: Tag::new(4), device: None };
    bob.on_action(Time::from_millis(2), &Action::Notify { notice });
    let find = bob.begins(&Command::find(user(5)));
    bob.on_command(Time::from_millis(3), find, Err(crate::CommandError::Full));
    let ladder = Ladder::of([bob]).rename(user(0), "alice").detail(Detail::App);
    assert_eq!(ladder.to_string(), "bob: send bla to alice\nbob: bla to alice delivered\nbob: find user1 (refused)\n");
    assert_eq!(ladder.detail(Detail::Link).to_string(), "");
}

#[test]
fn parts_of_a_ladder_can_be_shown_alone() {
    let ladder = Ladder::of(example(0));
    assert_eq!(ladder.clone().only(RungKind::Got).to_string(), "alice: got bla from bob\n");
    assert_eq!(ladder.clone().between("bob", "eve").to_string(), "bob -> eve: link up\n");
    assert_eq!(ladder.clone().between("bob", "alice").to_string().lines().count(), 5);
    assert_eq!(ladder.clone().nodes(["eve", "alice"]).to_string().lines().count(), 3);
    assert!(ladder.clone().until("got bla").to_string().ends_with("alice: got bla from bob\n"));
    assert_eq!(ladder.clone().rename(user(1), "robert").between("robert", "eve").to_string(), "robert -> eve: link up\n");
    assert_eq!(ladder.summary(), "link 3\nmessage 1\nacknowledged 1\nsearch 2\ngot 1\n");
}

// spec-test: TRACE-9
#[test]
fn no_ladder_shows_keys_or_payloads_unless_asked_and_none_steers_a_terminal() {
    let ladder = Ladder::of(example(0));
    let shown =
        [ladder.to_string(), ladder.clone().detail(Detail::Wire).to_string(), ladder.mermaid(), ladder.clone().art().to_string()].concat();
    let [alice, ..] = example(0);
    for secret in ["hello", &user(1).to_string(), &format!("{alice:?}")] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    let asked = ladder.payloads().to_string();
    assert!(asked.contains("alice: got bla from bob \"hello \\u{9b}31m\"\n"), "{asked}");
}

#[test]
fn two_lives_of_a_node_are_one_with_one_name_and_two_devices_of_one_name_are_not() {
    let (mut first, mut second, mut other) = (journal("bob", 1), journal("bob", 1), journal("bob", 3));
    say(&mut first, 5, 0, true, message(1));
    // A process that starts again may count its time from zero again.
    say(&mut second, 1, 0, true, message(2));
    say(&mut other, 9, 1, true, message(3));
    let ladder = Ladder::of([journal("alice", 0), first, second, other]);
    let expected = "bob -> alice: message bla\nbob -> alice: message bla\nbob -> bob: message bla\n";
    assert_eq!(ladder.to_string(), expected);
}

#[test]
fn columns_arrows_and_times_come_when_asked_for() {
    let art = Ladder::of(example(0)).until("got bla").nodes(["alice", "bob"]).art().times(Grain::Millis).to_string();
    let expected = "              alice         bob\n\
         0.000s        |<------------|             link up\n\
         0.002s        |<------------|             message bla\n\
         0.004s        *             |             got bla from bob\n";
    assert_eq!(art, expected);
    let mermaid = Ladder::of(example(0)).until("got bla").mermaid();
    assert!(mermaid.contains("    participant n1 as bob\n"), "{mermaid}");
    assert!(mermaid.contains("    n1->>n0: message bla\n    Note over n0: got bla from bob\n"), "{mermaid}");
}

// spec-test: TRACE-10
#[test]
fn steps_before_a_link_show_on_the_wire_only_and_shift_no_times_elsewhere() {
    let told = |has_steps: bool| {
        let (alice, mut bob) = (journal("alice", 0), journal("bob", 1));
        if has_steps {
            let to: SocketAddr = "192.0.2.1:7575".parse().expect("an address");
            bob.on_action(Time::ZERO, &Action::Connect { op: OpId::new(1), to, from_listening_port: false });
            bob.on_event(Time::from_millis(1), &Event::connect_failed(OpId::new(1), ConnectError::Refused));
        }
        say(&mut bob, 1_000, 0, true, message(1));
        Ladder::of([alice, bob]).times(Grain::Millis)
    };
    assert_eq!(told(true).to_string(), "0.000s        bob -> alice: message bla\n");
    assert_eq!(told(true).to_string(), told(false).to_string());
    let wire = told(true).detail(Detail::Wire).to_string();
    assert_eq!(wire, "0.000s        bob: dials\n0.001s        bob: met nobody\n1.000s        bob -> alice: message bla\n");
}

#[test]
fn a_full_journal_drops_what_comes_later_and_counts_it() {
    let mut bob = journal("bob", 1).entries_max(2);
    for number in 1..=5 {
        say(&mut bob, number, 0, true, message(number));
    }
    assert_eq!((bob.entries().len(), bob.dropped()), (2, 3));
}

fn credentials() -> Credentials {
    let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([3; 32])));
    let app = AppId::new("demo").expect("an app id");
    let grant = keys.grant(app, WallTime::from_millis(1_000), WallTime::from_millis(2_000_000));
    keys.credentials(Delegation::sign(&IdentitySecret::from_bytes([4; 32]), &grant).expect("a window"))
}

fn recorder() -> Recorder {
    Recorder::start("test", "n0", &Config::test(), &credentials(), &Seed::from_bytes([5; 32]), Time::ZERO, WallTime::from_millis(5_000))
}

fn text(recorder: &mut Recorder) -> String {
    String::from_utf8(recorder.take()).expect("JSON is text")
}

/// One event of each kind, and of each outcome.
fn each_event(see: &mut dyn FnMut(Event<'_>)) {
    let address: SocketAddr = "[::1]:7575".parse().expect("an address");
    let (pipe, op, path) = (PipeId::new(1), OpId::new(2), Path { local: address, remote: address });
    see(Event::Tick);
    see(Event::datagram(path, &[0, 255]));
    see(Event::pipe_opened(pipe, Some(op), address, address));
    see(Event::pipe_opened(pipe, None, address, address));
    see(Event::pipe_bytes(pipe, b"bytes"));
    see(Event::pipe_written(pipe));
    see(Event::pipe_closed(pipe));
    see(Event::connect_failed(op, ConnectError::TimedOut));
    see(Event::addresses(&[address], true));
    see(Event::clock(WallTime::from_millis(6)));
    see(Event::entropy(&[9; 32]));
    see(Event::resolved(op, Ok(&[address.ip()])));
    see(Event::resolved(op, Err(ResolveError::Unknown)));
    see(Event::stored(op, Ok(())));
    see(Event::stored(op, Err(StoreError::Full)));
    let items = [Item { key: vec![1], value: vec![2, 3] }];
    see(Event::loaded(op, Ok(Page { items: &items, more: true })));
    see(Event::loaded(op, Err(StoreError::Corrupt)));
    see(Event::taken(3, &[Change { key: vec![1], value: None }, Change { key: vec![2], value: Some(vec![]) }]));
}

// spec-test: TRACE-2
#[test]
fn every_event_and_command_is_read_back_as_it_was_written() {
    let mut recorder = recorder();
    let header = text(&mut recorder);
    assert!(header.starts_with(schema::HEADER_BEGIN), "{header}");
    each_event(&mut |event| {
        recorder.on_event(Time::from_millis(7), &event);
        let line = text(&mut recorder);
        let Ok(Line::Event { at, is }) = serde_json::from_str(&line) else { panic!("{line} is no event") };
        assert_eq!((at, is.as_event()), (Time::from_millis(7), Some(event)));
    });
    let delegation = credentials().delegation().clone();
    let entry = "[::1]:7575".parse().expect("an entry");
    let message = Message::from_text("bla", r#"{"a":[1.50,"ü\n"]}"#).expect("a message");
    let somewhere: Address = "home.example:7575".parse().expect("an address");
    let secret = InvitationSecret::from_bytes([4; 16]);
    let app = AppId::new("demo").expect("an app");
    let invitation =
        Invitation::new(app, user(1), core::slice::from_ref(&somewhere), WallTime::from_millis(7_000), secret).expect("an invitation");
    for command in [
        Command::send(user(1), message),
        Command::enter([entry]),
        Command::renew(delegation),
        Command::invite(core::time::Duration::from_secs(7), [somewhere]),
        Command::join(invitation),
        Command::Suspend,
    ] {
        recorder.on_command(Time::ZERO, &command);
        let line = text(&mut recorder);
        let Ok(Line::Command { is, .. }) = serde_json::from_str(&line) else { panic!("{line} is no command") };
        assert_eq!(is.into_owned(), command);
    }
}

// spec-test: TRACE-6
#[test]
fn a_recorder_that_nobody_drains_is_cut_and_its_end_says_so() {
    let mut recorder = recorder().bytes_max(4_096);
    for _ in 0..1_000 {
        recorder.on_event(Time::ZERO, &Event::Tick);
    }
    assert!(recorder.is_cut());
    let so_far = text(&mut recorder);
    assert!(so_far.len() <= 4_096);
    recorder.on_event(Time::ZERO, &Event::Tick);
    recorder.finish();
    let rest = text(&mut recorder);
    assert!(rest.contains("\"cut\":true") && !rest.contains("\"event\""), "nothing may follow a gap: {rest}");
    let replays = replay(&(so_far + &rest), Builds::Same).expect("what is there replays");
    assert_eq!(replays.iter().map(|replay| replay.ends).collect::<Vec<_>>(), [Ends::Cut]);
}

// spec-test: TRACE-5
#[test]
fn a_recording_of_another_build_is_refused_or_labelled() {
    let mut recorder = recorder();
    recorder.on_event(Time::ZERO, &Event::Tick);
    recorder.finish();
    let other = text(&mut recorder).replacen(BUILD, "0.0.0+other", 1);
    assert_eq!(replay(&other, Builds::Same).map(|_| ()), Err(ReplayError::Build("0.0.0+other".into())));
    let forced = replay(&other, Builds::Any).expect("the same in fact");
    assert!(forced.iter().all(|replay| !replay.same_build && replay.inputs == 1 && replay.ends == Ends::Whole));
}

// spec-test: TRACE-1
#[test]
fn text_that_is_no_recording_is_refused_by_line() {
    assert_eq!(replay("", Builds::Same).map(|_| ()), Err(ReplayError::NoHeader));
    assert_eq!(replay("{\"event\":1}", Builds::Same).map(|_| ()), Err(ReplayError::NoHeader));
    let good = text(&mut recorder());
    let unknown = format!("{good}{{\"event\":{{\"at\":0,\"is\":\"tick\"}}}}\n{{\"rumour\":1}}\n");
    assert_eq!(replay(&unknown, Builds::Same).map(|_| ()), Err(ReplayError::Line(3)));
    let newer = good.replacen("\"overcom_trace\":1", "\"overcom_trace\":2", 1);
    assert_eq!(replay(&newer, Builds::Same).map(|_| ()), Err(ReplayError::Version(2)));
    let cipher = good.replacen("\"crypto\":\"standard\"", "\"crypto\":\"rot13\"", 1);
    assert_eq!(replay(&cipher, Builds::Same).map(|_| ()), Err(ReplayError::Crypto("rot13".into())));
}

/// Answers every store and load at once from nothing, and opens no pipe: enough to start a node.
struct Empty(Vec<(OpId, bool)>);

impl crate::Shell for Empty {
    fn send_datagram(&mut self, _: Path, _: &crate::Packet) {}
    fn connect(&mut self, _: OpId, _: SocketAddr, _: bool) {}
    fn write(&mut self, _: PipeId, _: crate::Packet) {}
    fn close(&mut self, _: PipeId) {}
    fn resolve(&mut self, _: OpId, _: &str, _: u16) {}
    fn store(&mut self, op: OpId, _: crate::Batch, _: bool) {
        self.0.push((op, true));
    }
    fn load(&mut self, op: OpId, _: Vec<u8>, _: Vec<u8>, _: u32) {
        self.0.push((op, false));
    }
    fn notify(&mut self, _: Notice) {}
}

/// A node that starts on an empty store, is asked to send and find, and is driven `budget` actions at a time.
fn recorded(outputs: bool, budget: u32) -> String {
    let (now, wall) = (Time::ZERO, WallTime::from_millis(5_000));
    let node = Node::new(Config::test(), credentials(), Seed::from_bytes([5; 32]), now, wall).expect("a node");
    let mut driver = Driver::new(node).recorded(recorder().outputs(outputs));
    let mut shell = Empty(Vec::new());
    for step in 1..40_u64 {
        let now = Time::from_millis(step * 700);
        if step == 20 {
            let message = Message::new("bla", "hello").expect("a message");
            let outcome = driver.command(now, Command::send(user(1), message));
            assert!(outcome.is_ok() || outcome == Err(crate::CommandError::Starting), "{outcome:?}");
        }
        let _ = driver.drive(&mut shell, now, budget);
        for (op, stored) in core::mem::take(&mut shell.0) {
            if stored {
                driver.handle(now, Event::stored(op, Ok(())));
            } else {
                driver.handle(now, Event::loaded(op, Ok(Page { items: &[], more: false })));
            }
        }
    }
    let recorder = driver.recorder().expect("it is recorded");
    recorder.finish();
    text(recorder)
}

// spec-test: TRACE-3, NODE-9
#[test]
fn a_recording_replays_however_many_actions_were_polled_at_a_time() {
    for budget in [1, 2, 1_000] {
        for outputs in [false, true] {
            let text = recorded(outputs, budget);
            let replays = replay(&text, Builds::Same).expect("nothing differs");
            let found: Vec<_> =
                replays.iter().map(|replay| (replay.ends, replay.compared > 0, replay.inputs > 0, replay.actions > 0)).collect();
            assert_eq!(found, [(Ends::Whole, true, true, true)]);
        }
    }
    let twice = recorded(false, 1) + &recorded(true, 9);
    assert_eq!(replay(&twice, Builds::Same).map(|replays| replays.len()), Ok(2));
}

// spec-test: TRACE-4
#[test]
fn a_digest_tells_every_byte_and_the_order_and_no_time() {
    let close = |pipe| Action::Close { pipe: PipeId::new(pipe) };
    let write = |bytes: &[u8]| Action::Write { pipe: PipeId::new(1), packet: crate::Packet::from_vec(bytes.to_vec()) };
    let store = |value: Option<Vec<u8>>| {
        let batch = crate::Batch { changes: vec![Change { key: vec![1], value }] };
        Action::Store { op: OpId::new(1), batch, durable: true }
    };
    let of = |actions: &[Action]| {
        let mut digester = digest::Digester::new();
        actions.iter().for_each(|action| digester.add(action));
        digester.value()
    };
    let lists = [
        vec![],
        vec![close(1)],
        vec![close(2)],
        vec![close(1), close(2)],
        vec![close(2), close(1)],
        vec![write(b"ab")],
        vec![write(b"ac")],
        vec![store(None)],
        vec![store(Some(vec![]))],
        vec![store(Some(vec![0]))],
    ];
    let digests: alloc::collections::BTreeSet<u128> = lists.iter().map(|list| of(list)).collect();
    assert_eq!(digests.len(), lists.len());
    assert_eq!(of(&lists[5]), of(&[write(b"ab")]));
}

#[test]
fn a_changed_digest_is_reported_with_the_actions_between_which_it_lies() {
    let text = recorded(false, 1_000);
    let at = text.rfind("\"digest\":\"").expect("an end") + "\"digest\":\"".len();
    let mut changed = text.clone();
    changed.replace_range(at..at + 4, if text[at..].starts_with("0000") { "1111" } else { "0000" });
    match replay(&changed, Builds::Same) {
        Err(ReplayError::Differs { node, same, by, .. }) => assert!(&*node == "n0" && same <= by),
        other => panic!("{other:?}"),
    }
}

// spec-test: TRACE-9, NODE-12
#[test]
fn only_the_header_of_a_recording_names_its_secrets_and_debug_shows_none() {
    let mut recorder = recorder();
    let seed = crate::id::to_base64(&[5; 32]);
    assert!(!format!("{recorder:?}").contains(&seed));
    let header = text(&mut recorder);
    assert!(header.contains("\"secret\":true") && header.contains(&seed));
    let parsed: Header = serde_json::from_str(&header).expect("a header");
    assert!(!format!("{parsed:?}").contains(&seed));
    assert_eq!(&*parsed.crypto, Crypto::standard().name());
}
