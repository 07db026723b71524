//! One node for each data folder, whoever comes first.

use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;

use super::{LISTEN, Talk};
use crate::cli::{Home, json, program, stderr};

/// A verb on a home, with a node of its own on loopback if none runs.
fn verb(home: &Home, arguments: &[&str]) -> std::process::Output {
    home.run(arguments.iter().copied().chain(LISTEN))
}

#[test]
fn every_verb_reaches_the_node_that_runs() {
    let (ann, bob) = (Home::new("reach-ann"), Home::new("reach-bob"));
    let (mut one, mut two) = (Talk::start(&ann), Talk::start(&bob));
    let (user, at) = (one.user().to_owned(), one.address().to_owned());
    for arguments in [vec!["names", "add", "ann", &user, "--at", &at], vec!["send", "ann", "note", "{\"milk\":2.50}"]] {
        let output = verb(&bob, &arguments);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(one.notice("message")["payload"].to_string(), "{\"milk\":2.5}");
    // It was the running node that sent it, and that has the link.
    assert_eq!(two.ok("names", json!({}))["names"]["ann"], user);
    assert_eq!(two.ok("links", json!({}))["count"], 1);
    let why = verb(&bob, &["why", "ann"]);
    assert!(String::from_utf8_lossy(&why.stdout).contains("nothing waits for ann"), "{why:?}");
}

#[test]
fn processes_that_start_at_once_share_one_node_and_nobody_sees_a_locked_database() {
    let home = Home::new("at-once");
    let outputs: Vec<_> = thread::scope(|scope| {
        let run = |nick: usize| {
            let (home, user) = (&home, overcom_core::UserId::from_bytes([1 + u8::try_from(nick).unwrap(); 32]).to_string());
            scope.spawn(move || verb(home, &["names", "add", &format!("n{nick}"), &user]))
        };
        (0..8).map(run).collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("it ran")).collect()
    });
    for output in outputs {
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let names = json(&String::from_utf8(verb(&home, &["names", "--json"]).stdout).expect("text"));
    assert_eq!(names["names"].as_object().map(serde_json::Map::len), Some(8), "{names}");
}

#[test]
fn a_second_program_on_the_same_folder_speaks_with_the_first_one_s_node() {
    let (home, other) = (Home::new("second"), Home::new("second-other"));
    let (first, mut other) = (Talk::start(&home), Talk::start(&other));
    let mut second = Talk::start(&home);
    assert_eq!(second.node.hello, first.node.hello);
    // Nothing comes that it has not asked for: the first answer is that to its first request.
    second.ok("status", json!({}));
    other.meet(&first, "ann");
    other.ok("send", json!({ "to": "ann", "type": "note", "payload": 1 }));
    assert_eq!(second.notice("message")["payload"], 1);
    assert_eq!(other.notice("delivered")["notice"], "delivered");
    let (_, status, _) = second.end();
    assert_eq!(status.code(), Some(0));
    let (rest, status, _) = first.end();
    assert_eq!(status.code(), Some(0));
    assert!(rest.iter().any(|line| line["notice"] == "message"));
}

#[cfg(unix)]
#[test]
fn the_socket_is_its_owner_s_only_and_that_of_a_killed_process_is_taken_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new("stale");
    let talk = Talk::start(&home);
    let (user, socket) = (talk.user().to_owned(), home.0.join("overcom").join("control.sock"));
    assert_eq!(std::fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);
    talk.kill();
    assert!(socket.exists(), "nobody took it away");
    assert!(verb(&home, &["names"]).status.success());
    assert!(!socket.exists(), "the verb's node has taken it over and away");
    assert_eq!(Talk::start(&home).user(), user);
}

#[cfg(unix)]
#[test]
fn who_comes_when_every_seat_is_taken_is_told_so_at_once() {
    use std::io::BufRead as _;
    let home = Home::new("seats");
    let talk = Talk::start(&home);
    let sit = |_| {
        let stream = std::os::unix::net::UnixStream::connect(home.0.join("overcom/control.sock")).expect("it listens");
        let mut hello = String::new();
        std::io::BufReader::new(&stream).read_line(&mut hello).expect("it greets");
        assert!(hello.starts_with("{\"hello\":"), "{hello}");
        stream
    };
    let silent: Vec<_> = (0..64).map(sit).collect();
    let refused = verb(&home, &["names"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("64 sessions with this node are open; end some"), "{}", stderr(&refused));
    drop(silent);
    // A seat is free once the node has seen that its session is over.
    let is_free = |_| {
        thread::sleep(std::time::Duration::from_millis(100));
        verb(&home, &["names"]).status.success()
    };
    assert!((0..100).any(is_free));
    talk.end();
}

#[test]
fn a_folder_whose_path_is_too_long_for_a_socket_has_a_door_on_loopback_for_who_can_read_the_folder() {
    let home = Home::new("deep");
    let deep = home.0.join("x".repeat(120));
    let deep = deep.to_str().expect("text");
    let mut talk = Talk::start_with(&home, &["--data", deep]);
    let door = std::path::Path::new(deep).join("control.json");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&door).expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    let user = talk.user().to_owned();
    let output = verb(&home, &["names", "add", "me", &user, "--data", deep]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(talk.ok("names", json!({}))["names"]["me"], user);
    // Who proves nothing is told nothing but what proves the node, 64 bytes.
    let port = json(&std::fs::read_to_string(&door).expect("it is there"))["port"].as_u64().expect("a port");
    let mut stranger = std::net::TcpStream::connect(("127.0.0.1", u16::try_from(port).expect("a port"))).expect("it listens");
    std::io::Write::write_all(&mut stranger, &[b'0'; 64]).expect("it reads");
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stranger, &mut said);
    assert_eq!(said.len(), 64, "{}", String::from_utf8_lossy(&said));
    let (_, status, _) = talk.end();
    assert_eq!((status.code(), door.exists()), (Some(0), false));
}

#[test]
fn who_holds_the_port_of_a_killed_node_is_told_nothing_and_the_verb_runs_its_own() {
    use std::io::{Read as _, Write as _};
    let home = Home::new("imposed");
    let deep = home.0.join("x".repeat(120));
    let data = deep.to_str().expect("text");
    let talk = Talk::start_with(&home, &["--data", data]);
    let user = talk.user().to_owned();
    let door = deep.join("control.json");
    let mut left = json(&std::fs::read_to_string(&door).expect("it is there"));
    talk.kill();
    // A stranger cannot read what the node left, but may sit where it listened.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    left["port"] = listener.local_addr().expect("bound").port().into();
    std::fs::write(&door, left.to_string()).expect("it is ours");
    let stranger = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut drawn = [0; 32];
        stream.read_exact(&mut drawn).expect("it draws");
        let _ = stream.write_all(&[drawn, drawn].concat());
        let _ = stream.write_all(b"{\"hello\":{\"protocol\":1}}\n");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        rest
    });
    let added = verb(&home, &["names", "add", "me", &user, "--data", data]);
    assert!(added.status.success(), "{}", stderr(&added));
    let heard = stranger.join().expect("it listens");
    assert!(heard.is_empty(), "{}", String::from_utf8_lossy(&heard));
    assert!(String::from_utf8_lossy(&verb(&home, &["names", "--data", data]).stdout).contains(&user));
}

#[test]
fn messages_wait_at_their_sender_until_somebody_listens_and_are_taken_once_they_are_shown() {
    let (ann, bob) = (Home::new("waits-ann"), Home::new("waits-bob"));
    let user = json(&ann.told(&["id", "--json"]))["user"].as_str().expect("a user").to_owned();
    let serving = Serving::start(&ann);
    let at = address(&ann);
    let mut bob = Talk::start(&bob);
    bob.ok("introduce", json!({ "user": user, "addresses": [at], "name": "ann" }));
    for payload in 0..3 {
        bob.ok("send", json!({ "to": "ann", "type": if payload == 1 { "noise" } else { "note" }, "payload": payload }));
    }
    bob.notice("link_up");
    assert_eq!(bob.ok("outbox", json!({}))["count"], 3);
    let heard = verb(&ann, &["listen", "--type", "note", "--count", "2"]);
    assert!(heard.status.success(), "{}", stderr(&heard));
    let heard = String::from_utf8(heard.stdout).expect("text");
    let payloads: Vec<_> = heard.lines().map(|line| json(line)["payload"].clone()).collect();
    assert_eq!(payloads, [json!(0), json!(2)]);
    // The one of another type was passed over.
    for _ in 0..3 {
        bob.notice("delivered");
    }
    drop(serving);
}

/// `overcom node --serve`, until this is dropped.
struct Serving(std::process::Child);

impl Serving {
    fn start(home: &Home) -> Self {
        let mut command = Command::new(program());
        command.args(["node", "--serve"]).args(LISTEN).env("XDG_DATA_HOME", &home.0);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut serving = Self(quiet.spawn().expect("the program starts"));
        let mut greeting = String::new();
        let mut err = std::io::BufReader::new(serving.0.stderr.take().expect("it is piped"));
        std::io::BufRead::read_line(&mut err, &mut greeting).expect("it says something");
        assert!(greeting.contains("the node runs"), "{greeting}");
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the node that runs on a home listens.
fn address(home: &Home) -> String {
    let mut talk = Talk::start(home);
    let status = talk.ok("status", json!({}));
    talk.end();
    status["listening"].as_str().expect("an address").to_owned()
}
