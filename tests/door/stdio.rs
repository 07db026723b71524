//! `overcom node` on standard input and output.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{LISTEN, Talk};
use crate::cli::{Home, program, stderr};

#[test]
fn two_programs_talk_through_two_nodes_and_every_message_is_told_from_queued_to_delivered() {
    let (ann, bob) = (Home::new("talk-ann"), Home::new("talk-bob"));
    let (mut ann, mut bob) = (Talk::start(&ann), Talk::start(&bob));
    bob.meet(&ann, "ann");
    let tag = bob.ok("send", json!({ "to": "ann", "type": "note", "payload": { "milk": 2 } }))["tag"].clone();
    let message = ann.notice("message");
    assert_eq!((&message["from"], &message["type"], &message["payload"]), (&bob.user().into(), &"note".into(), &json!({ "milk": 2 })));
    assert_eq!((bob.notice("queued")["tag"].clone(), bob.notice("delivered")["tag"].clone()), (tag.clone(), tag));
    let links = bob.ok("links", json!({}));
    assert_eq!((&links["count"], &links["links"][0]["user"]), (&1.into(), &ann.user().into()));
    // The name is shown with what comes from its bearer.
    ann.ok("send", json!({ "to": bob.user(), "type": "note", "keep": "memory" }));
    assert_eq!(bob.notice("message")["name"], "ann");
    for talk in [ann, bob] {
        let (_, status, errors) = talk.end();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""));
    }
}

#[test]
fn every_malformed_line_is_answered_with_its_error_and_the_next_line_is_read() {
    let home = Home::new("malformed");
    let mut talk = Talk::start(&home);
    for (line, id, code) in [
        ("{\"id\":1,", json!(null), "json"),
        ("nonsense", json!(null), "json"),
        ("{\"id\":1,\"op\":\"sedn\"}", json!(1), "unknown_op"),
        ("{\"id\":\"two\",\"op\":\"send\",\"to\":\"ann\"}", json!("two"), "missing_field"),
        ("{\"id\":3,\"op\":\"send\",\"to\":\"ann\",\"type\":\"note\"}", json!(3), "unknown_name"),
        ("{\"id\":4,\"op\":\"send\",\"to\":\"oc1cut\",\"type\":\"note\"}", json!(4), "unknown_name"),
        ("{\"id\":5,\"op\":\"why\",\"user\":true}", json!(5), "bad_field"),
        ("{\"id\":6,\"op\":\"status\",\"colour\":1}", json!(6), "unknown_field"),
        ("{\"id\":7,\"op\":\"taken\",\"notices\":1}", json!(7), "bad_field"),
        ("{\"id\":8,\"op\":\"listen\",\"notices\":[\"mesage\"]}", json!(8), "bad_field"),
    ] {
        talk.write(format!("\n{line}\n").as_bytes());
        let answer = talk.line();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &code.into()), "{line}: {answer}");
        assert!(answer["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{answer}");
    }
    talk.write(b"\xff\xfe{}\n");
    assert_eq!(talk.line()["error"]["code"], "json");
    let mine = talk.user().to_owned();
    // One's own user has other devices, perhaps; this one does not send to itself.
    let device = talk.node.hello["hello"]["device"].clone();
    let answer = talk.ask("send", json!({ "to": mine, "device": device, "type": "note" }));
    assert_eq!(answer["error"]["code"], "oneself", "{answer}");
    let twice = "{\"id\":2,\"op\":\"send\",\"to\":\"".to_owned() + &mine + "\",\"type\":\"note\",\"payload\":{\"a\":1,\"a\":2}}\n";
    talk.write(twice.as_bytes());
    assert_eq!(talk.line()["error"]["code"], "bad_payload");
    let hints = ["did you mean send?", "did you mean message?"];
    talk.write(b"{\"id\":1,\"op\":\"sedn\"}\n{\"id\":1,\"op\":\"listen\",\"notices\":[\"mesage\"]}\n");
    for hint in hints {
        let answer = talk.line();
        assert!(answer["error"]["hint"].as_str().is_some_and(|said| said.contains(hint)), "{answer}");
    }
    assert_eq!(talk.end().1.code(), Some(0));
}

#[test]
fn a_line_of_a_hundred_megabytes_is_passed_over_without_being_held() {
    let home = Home::new("long");
    let mut talk = Talk::start(&home);
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..100 {
        talk.write(&chunk);
    }
    talk.write(b"\n");
    let answer = talk.line();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(null), &"line_too_long".into()), "{answer}");
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string(format!("/proc/{}/status", talk.node.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
        let kib: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kib < 64 << 10, "{kib} KiB were held");
    }
    talk.ok("status", json!({}));
}

#[test]
fn what_was_asked_is_answered_after_the_input_ended_and_stored_messages_wait_for_the_next_life() {
    let home = Home::new("ended");
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    home.told(&["id"]);
    let mut command = Command::new(program());
    command.arg("node").args(LISTEN).env("XDG_DATA_HOME", &home.0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = String::new();
    for id in 0..100 {
        lines += &format!("{{\"id\":{id},\"op\":\"send\",\"to\":\"{nobody}\",\"type\":\"note\",\"payload\":{id}}}\n");
    }
    // The last line ends with the input.
    lines += "{\"id\":100,\"op\":\"outbox\"}";
    child.stdin.take().expect("it is piped").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let said = String::from_utf8(output.stdout).expect("it is text");
    let said: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answered: Vec<&serde_json::Value> = said.iter().filter_map(|line| line.get("id")).collect();
    assert_eq!(answered, (0..=100).map(serde_json::Value::from).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(said.iter().filter(|line| line["notice"] == "queued").count(), 100);
    let mut next = Talk::start(&home);
    assert_eq!(next.ok("outbox", json!({}))["count"], 100);
}

#[test]
fn a_closed_standard_output_ends_the_node_with_a_sentence_and_its_exit_code() {
    deafen(&Home::new("deaf"));
    // So does one whose node runs elsewhere, and that one goes on.
    let home = Home::new("deaf-second");
    let mut first = Talk::start(&home);
    deafen(&home);
    first.ok("status", json!({}));
}

fn deafen(home: &Home) {
    let mut command = Command::new(program());
    command.arg("node").args(LISTEN).env("XDG_DATA_HOME", &home.0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    drop(child.stdout.take());
    let mut input = child.stdin.take().expect("it is piped");
    // It may have ended before it reads this.
    let _ = input.write_all(b"{\"id\":1,\"op\":\"status\"}\n");
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("standard output was closed") && stderr(&output).contains("read every line"), "{}", stderr(&output));
}

#[test]
fn a_program_that_asks_for_credit_takes_messages_itself_and_what_it_did_not_take_comes_again() {
    let (ann_home, bob) = (Home::new("credit-ann"), Home::new("credit-bob"));
    let (mut ann, mut bob) = (Talk::start(&ann_home), Talk::start(&bob));
    ann.ok("credit", json!({}));
    ann.ok("listen", json!({ "notices": ["message"] }));
    bob.meet(&ann, "ann");
    for payload in 0..3 {
        bob.ok("send", json!({ "to": "ann", "type": "note", "payload": payload }));
    }
    for payload in 0..3 {
        assert_eq!(ann.notice("message")["payload"], payload);
    }
    let notices = ann.ask("taken", json!({ "notices": 99 }));
    assert_eq!(notices["error"]["code"], "bad_field", "{notices}");
    let address = ann.address().to_owned();
    // Whatever it was given before it asked for credit, and the first message.
    ann.kill();
    let mut ann = Talk::start_with(&ann_home, &["--listen", &address]);
    let again: Vec<_> = (0..3).map(|_| ann.notice("message")["payload"].clone()).collect();
    assert_eq!(again, [json!(0), json!(1), json!(2)]);
    // Now they are taken, as they were written.
    let delivered: Vec<_> = (0..3).map(|_| bob.notice("delivered")["tag"].clone()).collect();
    assert_eq!(delivered.len(), 3);
    ann.kill();
    let mut ann = Talk::start_with(&ann_home, &["--listen", &address]);
    ann.ok("status", json!({}));
    assert!(ann.end().0.iter().all(|line| line["notice"] != "message"));
}
