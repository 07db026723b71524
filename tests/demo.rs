//! The first example, lived by real sockets on both runtimes: what each node tells, and that its recordings replay.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs};

use overcom_core::trace::{Builds, Ends, Ladder, replay};

use crate::cli::program;

const LADDER: [&str; 11] = [
    "bob -> alice: link up",
    "bob -> alice: message bla",
    "alice: got bla from bob",
    "alice -> bob: acknowledged",
    "eve -> alice: link up",
    "eve -> alice: search bob",
    "alice -> bob: search bob",
    "bob -> eve: link up",
    "eve -> bob: message bla",
    "bob: got bla from eve",
    "bob -> eve: acknowledged",
];

fn demo(arguments: &[&str]) -> Output {
    Command::new(program()).arg("demo").args(arguments).output().expect("the program starts")
}

/// Standard output of a run that must succeed.
fn told(arguments: &[&str]) -> String {
    let output = demo(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is text")
}

fn lines(value: &serde_json::Value) -> Vec<&str> {
    value.as_array().expect("a list").iter().map(|line| line.as_str().expect("a line")).collect()
}

/// A run on this runtime, and its recordings.
fn recorded(runtime: &str) -> (serde_json::Value, String) {
    let path: PathBuf = env::temp_dir().join(format!("overcom-demo-{runtime}-{}.jsonl", std::process::id()));
    let answer = told(&["--runtime", runtime, "--json", "--record", path.to_str().expect("text")]);
    let recording = fs::read_to_string(&path).expect("it was recorded");
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("it is there").permissions());
        assert_eq!(mode & 0o777, 0o600, "a recording holds keys");
    }
    fs::remove_file(&path).expect("it is there");
    (serde_json::from_str(&answer).expect("it is JSON"), recording)
}

#[test]
fn the_first_example_goes_the_same_way_on_mio_and_on_smol_and_its_recordings_tell_it_again() {
    let mut views = Vec::new();
    for runtime in ["mio", "smol"] {
        let (answer, recording) = recorded(runtime);
        assert_eq!(lines(&answer["ladder"]), LADDER, "{runtime}");
        let nodes = answer["nodes"].as_array().expect("a list");
        let user = |place: usize| nodes[place]["user"].as_str().expect("a user");
        let expected = serde_json::json!([
            { "by": "alice", "from": "bob", "user": user(1), "type": "bla", "payload": "hello Alice" },
            { "by": "bob", "from": "eve", "user": user(2), "type": "bla", "payload": "hello Bob I got your IP from Alice" },
        ]);
        assert_eq!(answer["got"], expected, "{runtime}");
        views.push(nodes.iter().map(|node| node["ladder"].clone()).collect::<Vec<_>>());

        let replays = replay(&recording, Builds::Same).unwrap_or_else(|why| panic!("{runtime}: {why}"));
        assert_eq!(replays.len(), 3);
        for replay in &replays {
            assert!(replay.ends == Ends::Whole && replay.compared > 0 && replay.actions > 0, "{runtime}: {replay:?}");
            assert_eq!(*replay.header.shell, *runtime);
        }
        let again = Ladder::of(replays.into_iter().map(|replay| replay.journal)).until("bob -> eve: acknowledged").to_string();
        assert_eq!(again.lines().collect::<Vec<_>>(), LADDER, "{runtime}");
    }
    assert_eq!(views[0], views[1]);
    assert_eq!(views[0].iter().map(|view| lines(view).len()).collect::<Vec<_>>(), [7, 8, 5], "{views:#?}");
}

#[test]
fn the_demo_reads_from_where_everybody_listens_to_what_everybody_got() {
    let text = told(&[]);
    let mut rest = text.as_str();
    let listens = ["alice  knows nobody", "listens at ", "oc1", "bob    knows only alice", "eve    knows only alice"];
    let got =
        ["alice got bla from bob", "\"hello Alice\"", "bob got bla from eve", "\"hello Bob I got your IP from Alice\"", "Eve found Bob"];
    for part in listens.into_iter().chain(LADDER).chain(got) {
        let at = rest.find(part).unwrap_or_else(|| panic!("{part} is missing, or at another place, in {text}"));
        rest = &rest[at + part.len()..];
    }
    assert_eq!(text.matches("listens at ").count(), 3);
}

#[test]
fn the_demo_draws_itself_and_says_what_it_cannot_do() {
    let drawn = told(&["--mermaid", "--runtime", "mio"]);
    assert!(drawn.starts_with("sequenceDiagram\n") && drawn.contains("search bob\n"), "{drawn}");
    assert_eq!(drawn.lines().count(), 1 + 3 + LADDER.len(), "{drawn}");
    assert_eq!(demo(&["--json", "--mermaid"]).status.code(), Some(2));
    assert_eq!(demo(&["--runtime", "none"]).status.code(), Some(2));
    let nowhere = demo(&["--record", "/no-such-folder/demo.jsonl"]);
    let why = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert_eq!((nowhere.status.code(), why.lines().count()), (Some(1), 1), "{why}");
}
