//! What a node says on a pipe, when, and in how many pieces: seen from the other end.

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use super::bench_tests::{Bench, Foe, at};
use super::hostile_tests::{STREAM, message, messages, resume};
use super::tests::{WALL, credentials};
use crate::crypto::noise::Handshake;
use crate::handshake::Kind;
use crate::*;

fn bench() -> Bench {
    Bench::new(Config::test())
}

fn send(bench: &mut Bench, foe: &Foe, text: &str, keep: Keep) {
    let to = foe.own.credentials.delegation().user();
    bench.node.command(bench.now, Send::new(to, Message::new("bla", text).unwrap()).keep(keep).into()).unwrap();
}

/// The stream that a foe was told last, by the node's `resume`.
fn stream_told(foe: &Foe) -> String {
    let streams = foe.heard.rsplit("{\"resume\":{\"streams\":[").next().unwrap().split(']').next().unwrap();
    streams.rsplit("\"id\":\"").next().unwrap().split('"').next().unwrap().into()
}

// spec-test: HS-1, HS-2
#[test]
fn each_side_says_its_preamble_in_turn_and_names_the_version_that_it_speaks() {
    let mut bench = bench();
    let newer = bench.open("10.0.0.66:2");
    bench.handle(Event::pipe_bytes(newer, b"overcom/2 user\n"));
    assert_eq!((bench.written[&newer].as_slice(), bench.closed.contains(&newer)), (&b"overcom/1 version\n"[..], true));
    // As the dialler it begins, and understands the same answer.
    let alice = credentials("alice", "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(alice, [at("10.0.0.2:7575").into()])).unwrap();
    bench.node.command(bench.now, Command::find(alice)).unwrap();
    bench.run();
    let dialled = PipeId::new(700);
    bench.handle(Event::pipe_opened(dialled, Some(bench.connects[0].0), at("10.0.0.1:50000"), at("10.0.0.2:7575")));
    let flight = bench.written[&dialled].clone();
    assert!(flight.starts_with(b"overcom/1 user\n"));
    let pipe = bench.open("10.0.0.66:1");
    assert!(!bench.written.contains_key(&pipe), "a listener waits");
    bench.handle(Event::pipe_bytes(pipe, &flight));
    assert!(bench.written[&pipe].starts_with(b"overcom/1 user\n"));
    bench.handle(Event::pipe_bytes(dialled, b"overcom/1 version\n"));
    assert_eq!(bench.refusals(), [CloseReason::Version, CloseReason::Version]);
}

/// A listener at the address of `alice`, by hand: the second message of a handshake that the node has dialled, and the payload
/// of its third one. Gives what opens the node's records and seals its own.
fn answered(bench: &mut Bench, pipe: PipeId, keys: &Credentials) -> (Handshake, String, Vec<u8>) {
    let crypto = Crypto::standard();
    let first = core::mem::take(bench.written.get_mut(&pipe).unwrap());
    let message = first.strip_prefix(b"overcom/1 user\n\0\x20").expect("a preamble and a message of 32 bytes: a key and nothing else");
    assert_eq!(message.len(), 32);
    let rng = Rng::from_seed(&Seed::from_bytes([6; 32]));
    let mut noise = Handshake::listen(crypto, b"overcom/1 user\nstandard", &keys.noise_pair(&crypto), rng);
    assert_eq!(noise.read(message).unwrap(), b"");
    let second = noise.write(b"").unwrap();
    let length = u16::try_from(second.len()).unwrap().to_be_bytes();
    bench.handle(Event::pipe_bytes(pipe, &[b"overcom/1 user\n", &length[..], &second].concat()));
    let written = core::mem::take(bench.written.get_mut(&pipe).unwrap());
    let (length, rest) = written.split_first_chunk::<2>().unwrap();
    let (third, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
    let payload = String::from_utf8(noise.read(third).unwrap()).unwrap();
    (noise, payload, rest.to_vec())
}

/// Has the node dial alice, and opens the pipe.
fn dial_alice(bench: &mut Bench, number: u64) -> PipeId {
    let alice = credentials("alice", "test").delegation().user();
    bench.node.command(bench.now, Command::introduce(alice, [at("10.0.0.2:7575").into()])).unwrap();
    bench.node.command(bench.now, Command::find(alice)).unwrap();
    bench.run();
    let (pipe, (op, to)) = (PipeId::new(number), bench.connects.pop().unwrap());
    bench.handle(Event::pipe_opened(pipe, Some(op), at("10.0.0.1:50000"), to));
    pipe
}

// spec-test: HS-5, HS-7
#[test]
fn a_dialler_opens_with_a_fresh_key_and_shows_itself_only_to_whom_it_knows_to_be_wanted() {
    let crypto = Crypto::standard();
    // Alice and somebody else at her address, to a node that knows her device or only her user.
    for (name, is_known, shows) in [("alice", true, true), ("alice", false, true), ("carol", true, false), ("carol", false, false)] {
        let mut bench = bench();
        if is_known {
            let foe = Foe::linked(&mut bench, "alice");
            bench.handle(Event::pipe_closed(foe.pipe));
        }
        let own = credentials(name, "test");
        let pipe = dial_alice(&mut bench, 700);
        let (noise, third, rest) = answered(&mut bench, pipe, &own);
        let at_once = name == "alice" && is_known;
        assert!(third.starts_with("{\"want\":\"") && third.contains("\"hello\"") == at_once, "{name}, known: {is_known}: {third}");
        if at_once {
            continue;
        }
        assert!(rest.is_empty(), "it says nothing before the listener has shown itself");
        let (mut sealer, mut opener, _) = noise.finish().unwrap();
        let hello = format!(
            "{{\"hello\":{{\"delegation\":{},\"boot\":\"BwcHBwcHBwc\",\"time\":{}}}}}\n",
            own.delegation().to_json(),
            WALL.as_millis()
        );
        let mut record = [hello.as_bytes(), &[0; TAG_BYTES]].concat();
        sealer.seal(&crypto, &mut record).unwrap();
        bench.handle(Event::pipe_bytes(pipe, &[&u16::try_from(record.len()).unwrap().to_be_bytes()[..], &record].concat()));
        let mut said = core::mem::take(bench.written.get_mut(&pipe).unwrap());
        let length = opener.open(&crypto, &mut said[2..]).unwrap();
        let said = String::from_utf8_lossy(&said[2..2 + length]).into_owned();
        let me = bench.node.me().user;
        assert_eq!(
            (said.starts_with("{\"hello\""), said.starts_with("{\"close\":{\"status\":404,\"reason\":\"wrong_peer\"}}")),
            (shows, !shows),
            "{said}"
        );
        assert_eq!(bench.node.links().any(|link| matches!(link.with, LinkPeer::User(peer) if peer.user != me)), shows);
    }
    // A device that it knows and that is revoked meanwhile is nobody to show oneself to.
    let mut bench = bench();
    let foe = Foe::linked(&mut bench, "alice");
    bench.handle(Event::pipe_closed(foe.pipe));
    bench.node.command(bench.now, super::explain_tests::revocation("alice")).unwrap();
    let pipe = dial_alice(&mut bench, 700);
    let (_, third, _) = answered(&mut bench, pipe, &credentials("alice", "test"));
    assert!(!third.contains("\"hello\""), "{third}");
    assert_eq!(bench.node.links().count(), 0);
    // Each dial has a key of its own.
    let mut bench = self::bench();
    let (one, two) = (dial_alice(&mut bench, 800), {
        bench.handle(Event::pipe_closed(PipeId::new(800)));
        bench.pass(Duration::from_secs(1));
        dial_alice(&mut bench, 801)
    });
    assert_ne!(bench.written[&one], bench.written[&two]);
}

// spec-test: HS-10
#[test]
fn until_a_peer_has_shown_itself_every_line_but_hello_and_close_ends_the_pipe() {
    let mut bench = bench();
    let lines = [message(1), resume(STREAM), format!("{{\"stream\":\"{STREAM}\"}}\n"), "{\"ping\":1}\n".into(), "{\"pong\":1}\n".into()];
    for (n, line) in lines.iter().enumerate() {
        let mut foe = Foe::new(&mut bench, "mallory", "test");
        foe.shake_unproven(&mut bench);
        assert!(foe.heard.contains("\"hello\""), "the node has shown itself");
        foe.say(&mut bench, line);
        assert_eq!(bench.refusals(), vec![CloseReason::NotAllowed; n + 1], "{line}");
    }
    let mut foe = Foe::new(&mut bench, "mallory", "test");
    foe.shake_unproven(&mut bench);
    foe.say(&mut bench, "{\"close\":{\"status\":410,\"reason\":\"idle\"}}\n");
    assert_eq!(bench.refusals().last(), Some(&CloseReason::Idle));
    assert_eq!((messages(&bench), bench.node.stats().links_up), (0, 0));
}

// spec-test: LINK-6
#[test]
fn a_close_is_not_answered_and_who_never_reads_one_has_a_second() {
    let mut bench = bench();
    let mut polite = Foe::linked(&mut bench, "alice");
    let before = polite.heard.len();
    polite.say(&mut bench, "{\"close\":{\"status\":410,\"reason\":\"idle\"}}\n");
    assert_eq!((&polite.heard[before..], bench.closed.contains(&polite.pipe)), ("", true));
    let mut foe = Foe::linked(&mut bench, "mallory");
    bench.reads = false;
    foe.say(&mut bench, "{\"ping\":1}\n");
    foe.say(&mut bench, "{\"nonsense\":1}\n");
    assert_eq!((bench.downs().last(), bench.closed.contains(&foe.pipe)), (Some(&CloseReason::Malformed), false));
    bench.pass(Duration::from_millis(999));
    assert!(!bench.closed.contains(&foe.pipe));
    bench.pass(Duration::from_millis(1));
    assert!(bench.closed.contains(&foe.pipe));
}

// spec-test: LINK-7
#[test]
fn what_is_said_while_a_write_is_outstanding_shares_the_next_one_up_to_64_kib() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, resume(STREAM).replace("\"messages\":16,\"bytes\":65536", "\"messages\":1024,\"bytes\":1048576"));
    bench.reads = false;
    let before = bench.node.stats().records_out;
    send(&mut bench, &foe, "at once", Keep::Memory);
    bench.run();
    assert_eq!(bench.node.stats().records_out - before, 1, "the pipe had nothing outstanding");
    for n in 0..10 {
        send(&mut bench, &foe, &format!("{n}"), Keep::Memory);
        bench.run();
    }
    assert_eq!(bench.node.stats().records_out - before, 1, "these wait, however often somebody polls");
    bench.handle(Event::pipe_written(foe.pipe));
    assert_eq!(bench.node.stats().records_out - before, 2, "and share a record");
    foe.listen(&mut bench);
    assert_eq!(foe.heard.matches("{\"message\":").count(), 11);
    for _ in 0..100 {
        send(&mut bench, &foe, &"x".repeat(2_000), Keep::Memory);
    }
    bench.run();
    bench.handle(Event::pipe_written(foe.pipe));
    let write = bench.written[&foe.pipe].len();
    assert!((64 << 10..(64 << 10) + (16 << 10) + 2).contains(&write), "{write}");
}

// spec-test: LINK-15
#[test]
fn three_new_lives_of_a_peer_within_a_minute_are_told_as_a_twin_and_no_fewer() {
    for (apart, twins) in [(25, [0, 0, 0, 1]), (31, [0, 0, 0, 0])] {
        let mut bench = bench();
        for (life, expected) in (1_u8..).zip(twins) {
            let mut foe = Foe::new(&mut bench, "mallory", "test");
            foe.own.boot = BootId::from_bytes([life; 8]);
            foe.shake(&mut bench, Kind::User);
            let told = bench.notices.iter().filter(|notice| matches!(notice, Notice::Twin { .. })).count();
            assert_eq!(told, expected, "life {life}, each {apart} s after the last");
            bench.pass(Duration::from_secs(apart));
        }
        assert_eq!(bench.downs(), [CloseReason::Replaced; 3]);
    }
}

// spec-test: LINK-14, MSG-11
#[test]
fn two_devices_of_a_user_have_a_link_each_and_a_message_goes_to_both() {
    let mut bench = bench();
    let mut phone = Foe::linked(&mut bench, "mallory");
    let mut laptop = Foe::linked_elsewhere(&mut bench, "mallory");
    assert_eq!(phone.own.credentials.delegation().user(), laptop.own.credentials.delegation().user());
    assert_eq!((bench.node.links().count(), bench.downs()), (2, vec![]));
    send(&mut bench, &phone, "to both of you", Keep::Memory);
    bench.run();
    for foe in [&mut phone, &mut laptop] {
        foe.listen(&mut bench);
        assert_eq!(foe.heard.matches("to both of you").count(), 1);
    }
}

// spec-test: LINK-21, LINK-23
#[test]
fn a_resume_acknowledges_and_one_that_remembers_more_than_there_was_begins_a_new_stream() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    send(&mut bench, &foe, "one", Keep::Memory);
    send(&mut bench, &foe, "two", Keep::Memory);
    bench.run();
    foe.listen(&mut bench);
    let first = stream_told(&foe);
    bench.handle(Event::pipe_closed(foe.pipe));
    let received = |upto: u64| resume(STREAM).replace("\"received\":[]", &format!("\"received\":[[\"{first}\",{upto}]]"));
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, received(1));
    assert_eq!(bench.node.stats().messages_delivered, 1);
    assert_eq!((stream_told(&foe) == first, foe.heard.matches("\"two\"").count()), (true, 1));
    bench.handle(Event::pipe_closed(foe.pipe));
    // The reader remembers what this writer, an older copy of itself, cannot have said.
    let mut foe = Foe::linked(&mut bench, "mallory");
    foe.say(&mut bench, received(99));
    send(&mut bench, &foe, "three", Keep::Memory);
    bench.run();
    foe.listen(&mut bench);
    let (_, renewed) = foe.heard.split_once("{\"stream\":\"").unwrap();
    assert_ne!(renewed.split('"').next().unwrap(), first);
    let again = "{\"message\":{\"number\":1,\"type\":\"bla\",\"payload\":\"two\"}}\n";
    let then = "{\"message\":{\"number\":2,\"type\":\"bla\",\"payload\":\"three\"}}\n";
    assert!(renewed.ends_with(&[again, then].concat()), "{}", foe.heard);
}

// spec-test: MSG-4
#[test]
fn a_message_is_this_line_and_says_whether_it_is_kept_on_disk() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "mallory");
    send(&mut bench, &foe, "in memory", Keep::Memory);
    send(&mut bench, &foe, "on disk", Keep::Disk);
    bench.run();
    foe.listen(&mut bench);
    let expected = "{\"message\":{\"number\":1,\"type\":\"bla\",\"payload\":\"in memory\"}}\n\
                    {\"message\":{\"number\":2,\"disk\":true,\"type\":\"bla\",\"payload\":\"on disk\"}}\n";
    assert!(foe.heard.ends_with(expected), "{}", foe.heard);
}

// spec-test: MSG-10
#[test]
fn an_acknowledgement_waits_20_ms_for_company_or_a_quarter_of_the_window() {
    let mut bench = Bench::new(Config::test().window_messages(16));
    let mut foe = Foe::linked(&mut bench, "mallory");
    let acknowledged =
        |foe: &Foe| foe.heard.rsplit_once("\"upto\":").map(|(_, rest)| rest.split('}').next().unwrap().parse::<u64>().unwrap());
    foe.say(&mut bench, resume(STREAM) + &message(1));
    bench.pass(Duration::from_millis(19));
    foe.listen(&mut bench);
    assert_eq!(acknowledged(&foe), None);
    bench.pass(Duration::from_millis(1));
    foe.listen(&mut bench);
    assert_eq!(acknowledged(&foe), Some(1));
    // Another record is about to leave anyway.
    foe.say(&mut bench, message(2));
    assert_eq!(acknowledged(&foe), Some(1));
    foe.say(&mut bench, "{\"ping\":1}\n");
    assert_eq!(acknowledged(&foe), Some(2));
    for number in 3..6 {
        foe.say(&mut bench, message(number));
        assert_eq!(acknowledged(&foe), Some(2));
    }
    foe.say(&mut bench, message(6));
    assert_eq!(acknowledged(&foe), Some(6));
}

// spec-test: NODE-16
#[test]
fn a_clock_that_three_peers_say_is_off_is_told_once() {
    let mut bench = bench();
    bench.handle(Event::clock(WALL + Duration::from_secs(11 * 60)));
    let told = |bench: &Bench| -> usize {
        bench.notices.iter().filter(|notice| matches!(notice, Notice::ClockOff { ahead_ms: 660_000, .. })).count()
    };
    for (n, expected) in [0, 0, 1, 1].into_iter().enumerate() {
        let _ = Foe::linked(&mut bench, &format!("peer {n}"));
        assert_eq!(told(&bench), expected, "after {n}");
    }
}

// spec-test: NODE-16
#[test]
fn a_clock_is_off_from_the_millisecond_after_the_tenth_minute_and_only_if_three_of_the_last_eight_say_so_on_one_side() {
    let (tolerance, millisecond, day) =
        (Duration::from_millis(CLOCK_TOLERANCE_MS), Duration::from_millis(1), Duration::from_secs(24 * 3_600));
    for (clock, told) in [
        (WALL + tolerance, false),
        (WALL - tolerance, false),
        (WALL + tolerance + millisecond, true),
        (WALL - tolerance - millisecond, true),
        (WALL + day, true),
    ] {
        let mut bench = bench();
        bench.handle(Event::clock(clock));
        for n in 0..3 {
            let mut foe = Foe::new(&mut bench, &format!("peer {n}"), "test");
            foe.shake(&mut bench, Kind::Service);
        }
        let ahead = i64::try_from(clock.as_millis()).unwrap() - i64::try_from(WALL.as_millis()).unwrap();
        let found: Vec<i64> =
            bench.notices.iter().filter_map(|it| if let Notice::ClockOff { ahead_ms } = it { Some(*ahead_ms) } else { None }).collect();
        assert_eq!(found, if told { vec![ahead] } else { vec![] }, "{ahead} ms");
    }
    // Two on each side are not three on one, and those of whom eight others have said something since do not count.
    let (ahead, right, behind) = (WALL + day, WALL, WALL - day);
    let long_ago: Vec<WallTime> = [ahead, ahead].into_iter().chain([right; 7]).chain([ahead]).collect();
    for (clocks, told) in [(vec![ahead, ahead, behind, behind], 0), (vec![ahead, behind, ahead, behind, ahead], 1), (long_ago, 0)] {
        let mut bench = bench();
        for (n, wall) in clocks.iter().enumerate() {
            let mut foe = Foe::new(&mut bench, &format!("peer {n}"), "test");
            foe.wall = *wall;
            foe.shake(&mut bench, Kind::Service);
        }
        assert_eq!(bench.notices.iter().filter(|it| matches!(it, Notice::ClockOff { .. })).count(), told, "{clocks:?}");
    }
}

// spec-test: LINK-25
#[test]
fn an_older_delegation_that_is_shown_on_a_link_does_not_bring_its_end_forward() {
    let mut bench = bench();
    let mut foe = Foe::linked(&mut bench, "alice");
    let until = |bench: &Bench| bench.node.links().next().and_then(|link| link.until);
    let (grant, hour) = (foe.own.credentials.delegation().grant().clone(), Duration::from_secs(3_600));
    for (later, expected) in [(WALL + hour, grant.until), (grant.until + hour, grant.until + hour)] {
        let shown =
            Delegation::sign(&super::explain_tests::identity("alice"), &Grant { until: later, from: WALL + hour / 2, ..grant.clone() });
        let shown = shown.unwrap();
        bench.handle(Event::clock(WALL + hour / 2));
        foe.say(&mut bench, format!("{{\"delegation\":{}}}\n", shown.to_json()));
        assert_eq!(until(&bench), Some(expected), "{:?}", bench.downs());
    }
}
