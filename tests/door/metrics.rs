//! What a node counts, as scrapers ask for it, and what it logs.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use serde_json::json;

use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, program, stderr};

/// A plain request; the status line and the body.
fn get(at: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

#[test]
fn the_counters_are_scraped_with_a_plain_get_on_loopback_and_nowhere_else() {
    let home = Home::new("metrics");
    for (at, why) in [("0.0.0.0:0", "not of this machine alone"), ("192.0.2.1:1", "not of this machine alone"), ("here", "write IP:PORT")] {
        let refused = home.run(["node", "--serve", "--metrics", at]);
        assert!(refused.status.code() == Some(2) && stderr(&refused).contains(why), "{}", stderr(&refused));
    }
    home.told(&["id"]);
    let mut command = Command::new(program());
    command.args(["node", "--metrics", "127.0.0.1:0"]).args(LISTEN).env("XDG_DATA_HOME", &home.0);
    let mut node = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut said = String::new();
    BufReader::new(node.stderr.as_mut().expect("it is piped")).read_line(&mut said).expect("it says where");
    let at = said.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
    let at: SocketAddr = at.parse().expect("an address");
    let (status, text) = get(at, &format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(text.ends_with("\n# EOF\n"), "{text}");
    for line in ["# TYPE overcom_messages_received counter", "overcom_messages_received_total 0", "overcom_links 0", "overcom_users 0"] {
        assert!(text.lines().any(|told| told == line), "{line} is missing in {text}");
    }
    // Every value is a number, and each name is declared once, before its value.
    for pair in text.lines().filter(|line| *line != "# EOF").collect::<Vec<_>>().chunks(2) {
        let name = pair[0].split(' ').nth(2).expect("a name");
        let (sample, value) = pair[1].split_once(' ').expect("a value");
        assert!(sample.trim_end_matches("_total") == name && value.parse::<u64>().is_ok(), "{pair:?}");
    }
    assert!(!text.contains("127.0.0.1") && !text.contains("oc1"), "{text}");
    assert_eq!(get(at, &format!("GET / HTTP/1.1\r\nHost: {at}\r\n\r\n")).0, "HTTP/1.1 404 Not Found");
    assert_eq!(get(at, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n").0, "HTTP/1.1 421 Misdirected Request");
    // One that asks nothing keeps no other from its answer, and the end of the node from nothing.
    let silent: Vec<_> = (0..3).map(|_| TcpStream::connect(at).expect("it listens")).collect();
    assert_eq!(get(at, &format!("GET /metrics HTTP/1.1\r\nHost: {at}\r\n\r\n")).0, "HTTP/1.1 200 OK");
    drop(node.stdin.take());
    assert!(node.wait().expect("it runs").success());
    drop(silent);
}

#[test]
fn a_log_says_what_happens_and_with_whom_at_debug_only_and_no_content_ever() {
    for (level, is_named) in [("info", false), ("debug", true)] {
        let (ann, bob) = (Home::new(&format!("log-ann-{level}")), Home::new(&format!("log-bob-{level}")));
        let (mut anns, mut bobs) = (Talk::start_with(&ann, &["--log", level]), Talk::start(&bob));
        anns.ok("invite", json!({}));
        anns.notice("invited");
        anns.meet(&bobs, "bob");
        anns.ok("send", json!({ "to": "bob", "type": "note", "payload": "milk" }));
        anns.notice("delivered");
        bobs.meet(&anns, "ann");
        bobs.ok("send", json!({ "to": "ann", "type": "note", "payload": "bread" }));
        anns.notice("message");
        let user = bobs.user().to_owned();
        let (_, status, log) = anns.end();
        assert_eq!(status.code(), Some(0));
        for said in ["the node runs", "link_up", "delivered", "invited", "message", "the node has ended"] {
            assert!(log.contains(said), "{said}: {log}");
        }
        assert_eq!((log.contains(&user), log.contains("127.0.0.1")), (is_named, is_named), "{log}");
        assert!(!log.contains("=\"\""), "no empty field: {log}");
        for secret in ["oci1", "milk", "bread"] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}
