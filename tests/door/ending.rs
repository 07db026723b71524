//! How it ends: by signals, by `overcom stop`, and when nobody reads.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use overcom_core::trace::{Builds, Ends, replay};
use serde_json::json;

use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, besides, program, stderr, stdout};

/// Exit codes of shells for what a signal has ended.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;
const NO_READER: i32 = 141;

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().expect("there is such a program");
    assert!(sent.success(), "the process is there");
}

/// A verb on a home, in the background.
fn begin(home: &Home, arguments: &[&str]) -> Child {
    begin_at(home, arguments, LISTEN[1])
}

fn begin_at(home: &Home, arguments: &[&str], at: &str) -> Child {
    let mut command = Command::new(program());
    command.args(arguments).args(["--listen", at]).env("XDG_DATA_HOME", &home.0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn begin_stop(home: &Home) -> Child {
    let mut command = Command::new(program());
    command.arg("stop").env("XDG_DATA_HOME", &home.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// How a process ends within the patience of these tests, and what it said on standard error.
fn ends(mut child: Child) -> (ExitStatus, String) {
    let begun = overcom_std::Clock::start();
    while child.try_wait().expect("it runs").is_none() {
        assert!(begun.now().since(overcom_core::Time::ZERO) < PATIENCE, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("it has ended");
    (output.status, besides(&stderr(&output)))
}

/// Waits until the node that a verb runs on a home can be spoken with.
fn runs(home: &Home) {
    let begun = overcom_std::Clock::start();
    while std::os::unix::net::UnixStream::connect(home.0.join("overcom/control.sock")).is_err() {
        assert!(begun.now().since(overcom_core::Time::ZERO) < PATIENCE, "no node runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_signal_ends_a_node_like_the_end_of_its_input() {
    for (at, name) in ["TERM", "INT"].into_iter().enumerate() {
        let (home, other) = (Home::new(&format!("signal-{name}")), Home::new(&format!("signal-other-{name}")));
        std::fs::create_dir_all(&home.0).expect("there is room");
        let recording = home.0.join("recording");
        let mut talk = Talk::start_with(&home, &["--record", recording.to_str().expect("text")]);
        let mut other = Talk::start(&other);
        talk.meet(&other, "ann");
        talk.ok("send", json!({ "to": "ann", "type": "note", "payload": at }));
        talk.notice("delivered");
        signal(talk.process(), name);
        // Its input is still open. The other one is told good-bye, the recording is whole, and nothing is left behind.
        assert_eq!(other.notice("link_down")["why"], "suspended", "{name}");
        let (told, status, errors) = talk.wait();
        assert_eq!((status.code(), errors.as_str()), (Some(0), ""), "{name}");
        assert!(told.iter().any(|line| line["notice"] == "quiet"), "{told:?}");
        assert!(!home.0.join("overcom/control.sock").exists());
        let replays = replay(&std::fs::read_to_string(&recording).expect("it was written"), Builds::Same).expect("it replays");
        assert!(replays.len() == 1 && replays[0].ends == Ends::Whole, "{replays:?}");
    }
}

#[test]
fn a_verb_that_lasts_ends_well_by_a_signal_and_one_that_is_not_done_says_so() {
    for (arguments, name, code, sentence) in [
        (&["node", "--serve"][..], "TERM", 0, "the node runs"),
        (&["listen"], "INT", 0, ""),
        (&["listen", "--count", "1"], "INT", INTERRUPTED, "ended by Ctrl-C before it was done"),
        (&["listen", "--count", "1"], "TERM", TERMINATED, "ended by a signal before it was done"),
    ] {
        let home = Home::new(&format!("lasts-{}-{name}-{}", arguments[0], arguments.len()));
        let child = begin(&home, arguments);
        runs(&home);
        // As long as it takes to ask for messages; the node that it runs is there already.
        std::thread::sleep(Duration::from_millis(200));
        signal(child.id(), name);
        let (status, errors) = ends(child);
        assert_eq!((status.code(), errors.contains(sentence)), (Some(code), true), "{arguments:?}: {errors}");
        assert!(errors.lines().count() <= 1 && !home.0.join("overcom/control.sock").exists(), "{errors}");
    }
}

#[test]
fn a_message_whose_sender_is_interrupted_is_kept() {
    let home = Home::new("interrupted");
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let child = begin(&home, &["send", &nobody, "note", "1", "--wait", "60"]);
    runs(&home);
    let mut talk = Talk::start(&home);
    while talk.ok("outbox", json!({}))["count"] != 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(child.id(), "INT");
    let (status, errors) = ends(child);
    assert_eq!((status.code(), errors.lines().count()), (Some(INTERRUPTED), 1), "{errors}");
    // Whoever used its node is told.
    let (_, status, errors) = talk.wait();
    assert!(status.code() == Some(1) && errors.contains("the node has ended"), "{errors}");
    assert_eq!(Talk::start(&home).ok("outbox", json!({}))["count"], 1);
}

#[test]
fn a_second_signal_ends_at_once_what_the_first_one_cannot() {
    let home = Home::new("twice");
    let mut command = Command::new(program());
    command.arg("node").args(LISTEN).env("XDG_DATA_HOME", &home.0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut input = child.stdin.take().expect("it is piped");
    // More answers than a pipe holds, and nobody reads them.
    let _ = std::io::Write::write_all(&mut input, "{\"op\":\"status\"}\n".repeat(256).as_bytes());
    runs(&home);
    // The node answers others meanwhile, so it has answered these.
    let mut other = Talk::start(&home);
    for _ in 0..20 {
        other.ok("status", json!({}));
    }
    std::thread::sleep(Duration::from_millis(300));
    signal(child.id(), "TERM");
    std::thread::sleep(Duration::from_millis(1_000));
    assert!(child.try_wait().expect("it runs").is_none(), "it waits for its reader");
    signal(child.id(), "TERM");
    let (status, _) = ends(child);
    assert_eq!(status.code(), Some(TERMINATED));
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_told_and_not_waited_for() {
    for name in ["names.json", "device.json", "identity.json", "port", "lock"] {
        let home = Home::new("fifo");
        home.told(&["id"]);
        let path = home.0.join("overcom").join(name);
        let _ = std::fs::remove_file(&path);
        let made = Command::new("mkfifo").arg(&path).status().expect("there is such a program");
        assert!(made.success());
        let mut command = Command::new(program());
        command.arg("names").env("XDG_DATA_HOME", &home.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let (status, errors) = ends(command.spawn().expect("the program starts"));
        // A port that cannot be read is not remembered.
        assert_eq!(status.code(), Some(i32::from(name != "port")), "{name}: {errors}");
        assert!(errors.contains(name) || name == "port", "{name}: {errors}");
    }
}

#[test]
fn a_node_that_is_to_serve_takes_over_from_whoever_runs_one_now() {
    use std::io::BufRead as _;
    let home = Home::new("over");
    let serve = || {
        let mut child = begin(&home, &["node", "--serve"]);
        let mut said = String::new();
        std::io::BufReader::new(child.stderr.as_mut().expect("it is piped")).read_line(&mut said).expect("it says something");
        assert!(said.contains("this one takes over when it has ended"), "{said}");
        child
    };
    let listen = begin(&home, &["listen"]);
    runs(&home);
    let first = serve();
    signal(listen.id(), "INT");
    assert_eq!(ends(listen).0.code(), Some(0));
    runs(&home);
    // The next one waits for it too, and `stop` does not wait for that one.
    let second = serve();
    for node in [first, second] {
        runs(&home);
        let (status, said) = ends(begin_stop(&home));
        assert_eq!(status.code(), Some(0), "{said}");
        let (status, said) = ends(node);
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

#[test]
fn a_message_that_is_too_long_with_what_stands_around_it_is_refused_at_once() {
    let home = Home::new("long");
    std::fs::create_dir_all(&home.0).expect("there is room");
    let (long, nobody) = (home.0.join("long"), overcom_core::UserId::from_bytes([7; 32]).to_string());
    for length in [(1 << 20) - 1_023, (1 << 20) - 2] {
        std::fs::write(&long, format!("\"{}\"", "x".repeat(length - 2))).expect("there is room");
        let mut command = Command::new(program());
        command.args(["send", &nobody, "note", "-", "--no-wait"]).args(LISTEN).env("XDG_DATA_HOME", &home.0);
        command.stdin(std::fs::File::open(&long).expect("it is there")).stdout(Stdio::null()).stderr(Stdio::piped());
        let (status, said) = ends(command.spawn().expect("the program starts"));
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains("1 MiB less 1 KiB"), "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn answers_that_cannot_be_written_are_a_failure_also_when_the_input_has_ended() {
    let home = Home::new("full-out");
    std::fs::create_dir_all(&home.0).expect("there is room");
    let asked = home.0.join("asked");
    std::fs::write(&asked, "{\"id\":1,\"op\":\"status\"}\n").expect("there is room");
    for _ in 0..3 {
        let mut command = Command::new(program());
        command.arg("node").args(LISTEN).env("XDG_DATA_HOME", &home.0).stdin(std::fs::File::open(&asked).expect("it is there"));
        command.stdout(OpenOptions::new().write(true).open("/dev/full").expect("it is there")).stderr(Stdio::piped());
        let (status, said) = ends(command.spawn().expect("the program starts"));
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("standard output cannot be written: the disk is full"), "{said}");
    }
}

#[test]
fn stop_ends_the_node_of_a_folder_and_is_content_if_there_is_none() {
    let home = Home::new("stop");
    let none = home.run(["stop"]);
    assert_eq!((none.status.code(), stdout(&none).as_str()), (Some(0), ""), "{}", stderr(&none));
    assert!(stderr(&none).contains("no node runs in") && !home.0.exists(), "{}", stderr(&none));
    for arguments in [&["node", "--serve"][..], &["listen"]] {
        let child = begin(&home, arguments);
        runs(&home);
        assert_eq!(home.told(&["stop"]), "the node has ended\n");
        assert!(!home.0.join("overcom/control.sock").exists());
        let (status, errors) = ends(child);
        // A listener did not want that end.
        assert_eq!(status.code(), Some(i32::from(arguments[0] == "listen")), "{errors}");
    }
    let talk = Talk::start(&home);
    home.told(&["stop"]);
    assert_eq!(talk.wait().1.code(), Some(0));
}

#[test]
fn an_answer_that_nobody_reads_ends_quietly_and_one_that_cannot_be_written_with_a_sentence() {
    let home = Home::new("answers");
    home.told(&["id"]);
    let (ann, bob) = (Home::new("answers-ann"), Home::new("answers-bob"));
    let mut bob_talks = Talk::start(&bob);
    let mut line = String::new();
    for verb in
        [&["id"][..], &["--help"], &["--version"], &["send", "--help"], &["names"], &["invite"], &["doctor"], &["demo"], &["why", "oc1"]]
    {
        let begin = |out: Stdio| {
            let mut command = Command::new(program());
            command.args(verb).env("XDG_DATA_HOME", &home.0).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
            if !matches!(verb, ["id" | "demo" | "--help" | "--version", ..] | [_, "--help"]) {
                command.args(LISTEN);
            }
            command.spawn().expect("the program starts")
        };
        let (reader, writer) = std::io::pipe().expect("there is room");
        drop(reader);
        let (status, errors) = ends(begin(writer.into()));
        let expected = if verb[0] == "why" { 2 } else { NO_READER };
        assert_eq!(status.code(), Some(expected), "{verb:?}: {errors}");
        assert!(verb[0] == "why" || !errors.contains("written"), "{verb:?}: {errors}");
        #[cfg(target_os = "linux")]
        {
            let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
            let (status, errors) = ends(begin(full.into()));
            let expected = if verb[0] == "why" { 2 } else { 1 };
            assert_eq!(status.code(), Some(expected), "{verb:?}: {errors}");
            assert!(verb[0] == "why" || errors.contains("the answer could not be written: the disk is full"), "{verb:?}: {errors}");
        }
    }
    // What cannot be shown is not taken: the message comes again.
    let mut listens = begin(&ann, &["listen"]);
    runs(&ann);
    drop(listens.stdout.take());
    let user = crate::cli::json(&ann.told(&["id", "--json"]))["user"].as_str().expect("a user").to_owned();
    let at = Talk::start(&ann).ok("status", json!({}))["listening"].as_str().expect("an address").to_owned();
    bob_talks.ok("introduce", json!({ "user": user, "addresses": [at], "name": "ann" }));
    bob_talks.ok("send", json!({ "to": "ann", "type": "note", "payload": 1 }));
    let (status, errors) = ends(listens);
    assert_eq!((status.code(), errors.as_str()), (Some(NO_READER), ""));
    let mut again = begin_at(&ann, &["listen", "--count", "1"], &at);
    again.stdout.take().expect("it is piped").read_to_string(&mut line).expect("text");
    assert!(line.contains("\"payload\":1") && ends(again).0.success(), "{line}");
}
