//! What a peer with real keys, or a stranger with none, can do to a node by keeping no rules.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::search_tests::search;
use super::tests::{WALL, credentials};
use crate::handshake::Kind;
use crate::wire::line::{Hello, Line};
use crate::*;

pub(super) const STREAM: &str = "AAAAAAAAAAAAAAAAAAAAAA";

fn bench() -> Bench {
    Bench::new(Config::test())
}

pub(super) fn message(number: u64) -> String {
    format!("{{\"message\":{{\"number\":{number},\"type\":\"bla\",\"payload\":1}}}}\n")
}

pub(super) fn resume(stream: &str) -> String {
    format!(
        "{{\"resume\":{{\"streams\":[{{\"id\":\"{stream}\",\"first\":1,\"disk\":0}}],\"received\":[],\"messages\":16,\"bytes\":65536}}}}\n"
    )
}

fn hello(name: &str, app: &str) -> Vec<u8> {
    let delegation = Some(credentials(name, app).delegation().clone());
    let mut line = Vec::new();
    Line::Hello(Hello { delegation, boot: BootId::from_bytes([1; 8]), time: WALL }).write(&mut line);
    line
}

pub(super) fn messages(bench: &Bench) -> usize {
    bench.notices.iter().filter(|notice| matches!(notice, Notice::Message(_))).count()
}

// spec-test: LINK-1, LINK-24, WIRE-1, WIRE-6
#[test]
fn lines_that_may_not_come_end_the_link_with_a_reason_and_the_next_link_works() {
    let cases: Vec<(Vec<u8>, CloseReason)> = vec![
        (message(1).into_bytes(), CloseReason::NotAllowed),
        ([resume(STREAM), message(0)].concat().into_bytes(), CloseReason::Malformed),
        ([resume(STREAM), message(1 << 53)].concat().into_bytes(), CloseReason::Malformed),
        ([resume(STREAM), resume(STREAM)].concat().into_bytes(), CloseReason::NotAllowed),
        (b"{\"close\":{\"status\":70000,\"reason\":\"because\"}}\n".to_vec(), CloseReason::Malformed),
        (b"{\"nonsense\":1}\n".to_vec(), CloseReason::Malformed),
        (b"\xFF\xFE\n".to_vec(), CloseReason::Malformed),
        (b"\n".to_vec(), CloseReason::Malformed),
        ([b"{\"ping\":".repeat(40), b"1".to_vec(), b"}".repeat(40), b"\n".to_vec()].concat(), CloseReason::Malformed),
        (b"[".repeat(100_000).into_iter().chain(*b"\n").collect(), CloseReason::Malformed),
        (vec![b' '; (1 << 20) + 1], CloseReason::Malformed),
        (b"{\"close\":{\"status\":410,\"reason\":\"idle\"}}\n".to_vec(), CloseReason::Idle),
    ];
    let mut bench = bench();
    for (line, why) in cases {
        let mut foe = Foe::linked(&mut bench, "mallory");
        foe.say(&mut bench, &line);
        assert_eq!(bench.downs().last(), Some(&why), "{}", String::from_utf8_lossy(&line[..line.len().min(80)]));
        assert_eq!(bench.node.links().count(), 0);
    }
    assert_eq!(messages(&bench), 0);
}

// spec-test: LINK-31
#[test]
fn a_newer_reason_to_close_is_told_with_its_status_and_is_no_fault() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, b"{\"close\":{\"status\":451,\"reason\":\"because\"}}\n");
    assert_eq!((bench.downs(), bench.node.stats().faults), (vec![CloseReason::Unknown(451)], 0));
    assert_eq!(bench.downs()[0].to_string(), "the other end gave a reason that this version does not know (status 451)");
    assert!(!foe.heard.contains("close"), "it is not answered");
}

// spec-test: LINK-5
#[test]
fn a_hello_of_another_device_and_a_second_hello_end_the_link() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, hello("alice", "test"));
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, hello("mallory", "test"));
    assert_eq!(bench.downs(), [CloseReason::WrongPeer, CloseReason::NotAllowed]);
}

// spec-test: LINK-2, CRYPTO-7, LINK-10
#[test]
fn records_too_long_changed_or_cut_end_the_link_or_wait() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say_raw(&mut bench, &[0xFF, 0xFF, 0]);
    let mut foe2 = Foe::linked(&mut bench, "mallory");
    let mut record = foe2.seal(b"{\"ping\":1}\n");
    *record.last_mut().unwrap() ^= 1;
    foe2.say_raw(&mut bench, &record);
    assert_eq!(bench.downs(), [CloseReason::Malformed, CloseReason::Crypto]);
    let mut foe3 = Foe::linked(&mut bench, "mallory");
    let record = foe3.seal(b"{\"ping\":77}\n");
    for byte in record {
        assert!(!foe3.heard.contains("77"));
        foe3.say_raw(&mut bench, &[byte]);
        foe3.listen(&mut bench);
    }
    assert!(foe3.heard.contains("{\"pong\":77}"));
}

#[test]
fn a_line_that_never_ends_takes_bounded_memory() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let mut said = 0;
    while bench.downs().is_empty() {
        foe.say(&mut bench, vec![b'1'; 16_000]);
        said += 16_000;
        assert!(said <= (1 << 20) + 16_000);
    }
    assert_eq!(bench.downs(), [CloseReason::Malformed]);
}

#[test]
fn a_number_far_ahead_is_taken_and_what_comes_before_it_is_a_repeat() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, [resume(STREAM), message((1 << 53) - 1), message(5), message((1 << 53) - 1)].concat());
    assert_eq!((messages(&bench), bench.node.stats().messages_repeated), (1, 2));
    assert_eq!(bench.node.links().count(), 1);
}

// spec-test: MSG-9
#[test]
fn more_messages_than_the_window_end_the_link_and_are_not_handed_over() {
    let mut bench = Bench::new(Config::test().window_messages(16));
    let mut foe = Foe::linked(&mut bench, "mallory");
    bench.takes = false;
    foe.say(&mut bench, resume(STREAM) + &(1..=500).map(message).collect::<String>());
    assert_eq!((messages(&bench), bench.downs()), (16, vec![CloseReason::Flood]));
    // Back again with the same: nothing more until the application takes.
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, resume(STREAM) + &message(17));
    assert_eq!(messages(&bench), 16);
}

// spec-test: MSG-8
#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_link_and_delivers_nothing() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let user = foe.own.credentials.delegation().user();
    for _ in 0..20 {
        // The seventeenth and later ones wait: the first window is 16.
        bench.node.command(bench.now, Send::new(user, Message::new("bla", &1).unwrap()).keep(Keep::Memory).into()).unwrap();
    }
    bench.run();
    foe.listen(&mut bench);
    let stream = foe.heard.split("\"streams\":[{\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(foe.heard.matches("\"message\"").count(), 16);
    let acknowledge = |upto: u64| format!("{{\"acknowledged\":{{\"stream\":\"{stream}\",\"upto\":{upto}}}}}\n");
    let (wrong, right) = (acknowledge(17), acknowledge(3));
    foe.say(&mut bench, right);
    assert_eq!(bench.node.stats().messages_delivered, 3);
    // Three more have left now.
    foe.say(&mut bench, wrong.replace("17", "20"));
    assert_eq!((bench.node.stats().messages_delivered, bench.downs()), (3, vec![CloseReason::NotAllowed]));
}

#[test]
fn a_peer_that_asks_and_never_reads_is_let_go() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    bench.reads = false;
    let pings = b"{\"ping\":1234567890123456}\n".repeat(600);
    let mut said = 0;
    while bench.downs().is_empty() {
        let sealed = foe.seal(&pings);
        bench.handle(Event::pipe_bytes(foe.pipe, &sealed));
        said += pings.len();
        assert!(said < 4 << 20, "it holds {said} bytes for somebody who does not read");
    }
    assert_eq!((bench.downs(), bench.closed.contains(&foe.pipe)), (vec![CloseReason::Flood], true));
}

// spec-test: LINK-22
#[test]
fn a_resume_tells_of_no_gap_that_is_none() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, resume(STREAM) + &message(1));
    bench.handle(Event::pipe_closed(foe.pipe));
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, resume(STREAM).replace("\"disk\":0", "\"disk\":100"));
    assert!(!bench.has(|notice| matches!(notice, Notice::Gap { .. })), "{:?}", bench.notices);
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, resume(STREAM).replace("\"first\":1,\"disk\":0", "\"first\":9,\"disk\":4"));
    assert!(bench.has(|notice| matches!(notice, Notice::Gap { first: 2, last: 4, .. })));
}

// spec-test: HS-11
#[test]
fn ten_thousand_half_open_pipes_are_bounded_and_a_link_and_own_dials_go_on() {
    let mut bench = bench();
    let mut friend = Foe::linked(&mut bench, "alice");
    for _ in 0..10_000 {
        bench.open("10.0.0.77:1");
    }
    assert!(bench.node.inspect().pipes_pending <= 128);
    assert!(bench.node.stats().pipes_overflow >= 9_872);
    friend.say(&mut bench, "{\"ping\":4711}\n");
    assert!(friend.heard.contains("{\"pong\":4711}"));
    // Room is left for this node's own dials.
    let carol = credentials("carol", "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(carol, [at("10.0.0.3:7575").into()])).unwrap();
    bench.node.command(bench.now, Command::find(carol)).unwrap();
    bench.run();
    let (op, to) = bench.connects[0];
    let pipe = PipeId::new(1_000_000);
    bench.handle(Event::pipe_opened(pipe, Some(op), at("10.0.0.1:50000"), to));
    assert!(!bench.closed.contains(&pipe));
    bench.pass(Duration::from_secs(11));
    assert_eq!(bench.node.inspect().pipes_pending, 0);
    assert!(bench.refusals().iter().filter(|why| **why == CloseReason::Timeout).count() >= 100);
    assert_eq!(bench.node.links().count(), 1);
}

// spec-test: HS-11
#[test]
fn a_handshake_of_a_byte_a_second_ends_after_ten_seconds() {
    let mut bench = bench();
    let pipe = bench.open("10.0.0.66:1");
    for byte in b"overcom/1 user\n" {
        bench.handle(Event::pipe_bytes(pipe, &[*byte]));
        bench.pass(Duration::from_secs(1));
    }
    assert_eq!(bench.refusals(), [CloseReason::Timeout]);
    assert!(bench.closed.contains(&pipe));
}

// spec-test: LINK-11
#[test]
fn a_link_that_gives_a_byte_a_second_and_never_a_whole_record_is_silent() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let record = foe.seal(&[b' '; 10_000]);
    let mut seconds = 0;
    for byte in record.iter().take(1_000) {
        if !bench.downs().is_empty() {
            break;
        }
        foe.say_raw(&mut bench, &[*byte]);
        bench.pass(Duration::from_secs(1));
        seconds += 1;
    }
    assert_eq!((bench.downs(), seconds, bench.closed.contains(&foe.pipe)), (vec![CloseReason::Silent], 75, true));
}

// spec-test: HS-4
#[test]
fn a_recorded_link_that_is_played_again_proves_nothing_even_if_the_pipe_has_the_same_number() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "alice");
    foe.say(&mut bench, resume(STREAM) + &message(1));
    assert_eq!(messages(&bench), 1);
    bench.handle(Event::pipe_closed(foe.pipe));
    let before = bench.node.stats().links_up;
    // A shell that gives the same number again must not make the node draw the same keys again.
    bench.handle(Event::pipe_opened(foe.pipe, None, at("10.0.0.1:7575"), at("10.0.0.66:6666")));
    bench.handle(Event::pipe_bytes(foe.pipe, &foe.said));
    assert_eq!((bench.node.stats().links_up, bench.refusals()), (before, vec![CloseReason::Crypto]));
}

#[test]
fn a_handshake_that_is_sent_back_to_its_sender_makes_no_link() {
    let mut bench = bench();
    let alice = credentials("alice", "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(alice, [at("10.0.0.2:7575").into()])).unwrap();
    bench.node.command(bench.now, Command::find(alice)).unwrap();
    bench.run();
    let (out, back) = (PipeId::new(1_000), PipeId::new(1_001));
    bench.handle(Event::pipe_opened(out, Some(bench.connects[0].0), at("10.0.0.1:50000"), at("10.0.0.2:7575")));
    bench.handle(Event::pipe_opened(back, None, at("10.0.0.1:7575"), at("10.0.0.2:50000")));
    for _ in 0..10 {
        for (from, to) in [(out, back), (back, out)] {
            let bytes = core::mem::take(bench.written.entry(from).or_default());
            bench.handle(Event::pipe_bytes(to, &bytes));
        }
    }
    assert_eq!(bench.node.links().count(), 0);
    assert_eq!(bench.refusals(), [CloseReason::WrongPeer, CloseReason::WrongPeer]);
}

#[test]
fn a_device_of_another_app_gets_no_link() {
    let mut bench = bench();
    let mut foe = Foe::new(&mut bench, "alice", "other");
    foe.shake(&mut bench, Kind::User);
    foe.say(&mut bench, hello("alice", "other"));
    assert_eq!(bench.refusals(), [CloseReason::App]);
}

// spec-test: LINK-4
#[test]
fn a_service_link_takes_no_lines_of_users() {
    let mut bench = bench();
    for line in [message(1), resume(STREAM), format!("{{\"stream\":\"{STREAM}\"}}\n"), search("alice", "mallory", &[], WALL, 1, 64, true)] {
        let mut foe = Foe::new(&mut bench, "mallory", "test");
        foe.shake(&mut bench, Kind::Service);
        assert_eq!(bench.node.links().count(), 1);
        foe.say(&mut bench, line);
        assert_eq!((bench.downs().last(), bench.node.links().count()), (Some(&CloseReason::NotAllowed), 0));
    }
}

// spec-test: LINK-25
#[test]
fn a_delegation_in_band_with_another_noise_key_ends_the_link() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork("mallory", 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let mut grant = credentials("mallory", "test").delegation().grant().clone();
    grant.noise = [0x42; 32];
    let other = Delegation::sign(&identity, &grant).unwrap().to_json();
    foe.say(&mut bench, format!("{{\"delegation\":{other}}}\n"));
    assert_eq!(bench.downs(), [CloseReason::Delegation]);
}

/// A revocation by `name` of a device that there is not.
fn revoke(name: &str, version: u64) -> String {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let devices = [(RevocationTarget::Device(DeviceId::from_bytes([1; 16])), RevocationEntry { before: WALL, end: WALL })];
    let signed = Revocation::sign(&identity, AppId::new("test").unwrap(), version, devices.into_iter().collect());
    format!("{{\"revocation\":{}}}\n", signed.unwrap().to_json())
}

// spec-test: LINK-26
#[test]
fn revocations_of_strangers_are_not_kept_and_a_flood_of_one_s_own_is_bounded() {
    let mut bench = Bench::new(Config::test().search_units_per_minute(40));
    let mut foe = Foe::linked(&mut bench, "mallory");
    let app = AppId::new("test").unwrap();
    let user = |name: &str| credentials(name, "test").delegation().user();
    foe.say(&mut bench, revoke("stranger", 1));
    assert!(bench.node.0.own.revocations.of(user("stranger"), &app).is_none());
    for version in 1..100 {
        foe.say(&mut bench, revoke("mallory", version));
    }
    // 40 units at 8 each, of which a stranger's cost as many.
    assert_eq!(bench.node.0.own.revocations.of(user("mallory"), &app).map(Revocation::version), Some(4));
    assert_eq!(bench.node.links().count(), 1);
}

// spec-test: STORE-9
#[test]
fn strangers_who_come_and_go_leave_bounded_memory_and_a_bounded_store() {
    let mut bench = Bench::new(Config::test().book_users_max(8));
    let friend = credentials("friend", "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(friend, [at("10.0.0.9:7575").into()])).unwrap();
    let friend = Foe::linked(&mut bench, "friend");
    bench.handle(Event::pipe_closed(friend.pipe));
    for n in 0..40 {
        let name = format!("stranger {n}");
        let mut foe = Foe::linked(&mut bench, &name);
        let disk = message(1).replace("\"type\"", "\"disk\":true,\"type\"");
        foe.say(&mut bench, resume(STREAM) + &disk + &revoke(&name, 1));
        bench.handle(Event::pipe_closed(foe.pipe));
        assert!(bench.stored(b'd') <= 8 && bench.stored(b'm') <= 8 && bench.stored(b'r') <= 8, "{n}: {:?}", bench.store.keys());
    }
    assert_eq!((bench.stored(b'b'), bench.stored(b'd'), bench.stored(b'm'), bench.stored(b'r')), (1, 8, 8, 8));
    assert_eq!(messages(&bench), 40);
    let parts = &bench.node.0;
    assert!(parts.inbox.peers() <= 8 && parts.outbox.queues() == 0 && parts.book.users().count() <= 8);
}
