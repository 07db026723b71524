//! Invitations as people handle them: listed, withdrawn, and joined under a name.

use serde_json::json;

use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, json, program, stderr, stdout};

fn verb(home: &Home, arguments: &[&str]) -> std::process::Output {
    home.run(arguments.iter().copied().chain(LISTEN))
}

/// Standard output of a verb that must succeed.
fn told(home: &Home, arguments: &[&str]) -> String {
    let output = verb(home, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn invitations_are_listed_with_who_has_used_them_and_withdrawn_ones_lead_nowhere() {
    let (ann, bob) = (Home::new("lists-ann"), Home::new("lists-bob"));
    ann.told(&["id"]);
    assert_eq!(told(&ann, &["invite", "--list"]), "no invitation is open: overcom invite makes one\n");
    let talk = Talk::start(&ann);
    let [used, open] = ["", ""].map(|_| told(&ann, &["invite"]).trim().to_owned());
    told(&bob, &["join", &used, "--as", "ann"]);
    let bobs = json(&bob.told(&["id", "--json"]));
    let user = bobs["user"].as_str().expect("a user");
    told(&ann, &["names", "add", "bob", user]);
    let listed = told(&ann, &["invite", "--list"]);
    assert!(listed.contains("  used by bob\n") && listed.contains("  open\n") && !listed.contains("oci1"), "{listed}");
    let listed = json(&told(&ann, &["invite", "--list", "--json"]))["invitations"].clone();
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.iter().filter(|one| one["used_by"] == user && one["name"] == "bob").count(), 1);
    for one in listed {
        told(&ann, &["invite", "--withdraw", one["invitation"].as_str().expect("an id")]);
    }
    assert_eq!(json(&told(&ann, &["invite", "--list", "--json"])), json!({ "invitations": [] }));
    assert!(told(&ann, &["names"]).contains(user), "who has used it stays");
    let late = verb(&Home::new("lists-late"), &["join", &open]);
    assert_eq!(late.status.code(), Some(1));
    assert!(stderr(&late).contains("does not know this invitation; ask for another one"), "{}", stderr(&late));
    let again = verb(&ann, &["invite", "--withdraw", listed[0]["invitation"].as_str().expect("an id")]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("overcom invite --list"), "{}", stderr(&again));
    talk.end();
}

#[test]
fn an_invitation_names_no_address_that_nobody_can_dial() {
    let home = Home::new("undialled");
    for (at, why) in [
        ("0.0.0.0:5", "where one listens"),
        ("[::]:5", "where one listens"),
        ("224.0.0.1:5", "multicast"),
        ("[fe80::1]:5", "link-local"),
        ("[fe80::1%1]:5", "link-local"),
    ] {
        let refused = verb(&home, &["invite", "--at", at]);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(2), ""), "{at}");
        assert!(stderr(&refused).contains("others cannot dial") && stderr(&refused).contains(why), "{at}: {}", stderr(&refused));
    }
    assert!(told(&home, &["invite", "--at", "192.0.2.1:5"]).starts_with("oci1"));
}

#[test]
fn a_join_that_is_killed_has_named_nobody() {
    let (ann, bob) = (Home::new("killed-ann"), Home::new("killed-bob"));
    // Who is dialled takes the connection, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let mut talk = Talk::start(&ann);
    talk.ok("invite", json!({ "addresses": [listener.local_addr().expect("bound")] }));
    let line = talk.notice("invited")["line"].as_str().expect("a line").to_owned();
    let mut command = std::process::Command::new(program());
    command.args(["join", &line, "--as", "ann"]).args(LISTEN).env("XDG_DATA_HOME", &bob.0);
    let mut join = command.stderr(std::process::Stdio::null()).spawn().expect("the program starts");
    let (_stream, _) = listener.accept().expect("it dials");
    join.kill().expect("it runs");
    join.wait().expect("it has ended");
    assert!(!told(&bob, &["names"]).contains("ann "), "{}", told(&bob, &["names"]));
    // A name that is none is told before anything is tried.
    let begun = overcom_std::Clock::start();
    let wrong = verb(&bob, &["join", &line, "--as", "a b"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("not a name") && begun.now().since(overcom_core::Time::ZERO) < PATIENCE, "{}", stderr(&wrong));
}
