//! The exit codes and the words of `overcom-sim`.

use std::path::PathBuf;
use std::process::{Command, Output};

fn overcom_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_overcom-sim")).args(arguments).output().expect("it starts")
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the directory can be written");
    path
}

const SCENARIO: &str = r#"{"overcom_scenario":0,"seed":7,"nodes":[{"name":"ann"},{"name":"ben","knows":["ann"]}],
"steps":[{"id":"fall","at_ms":2000,"do":{"crash":"ann"}},{"id":"rise","at_ms":3000,"do":{"restart":"ann"}}]}"#;

#[test]
fn a_scenario_runs_the_same_each_time_and_another_seed_is_another_run() {
    let path = file("same.json", SCENARIO);
    let run = |seed: &str| overcom_sim(&["run", path.to_str().expect("text"), "--json", "--seed", seed]);
    let (a, b, c) = (run("7"), run("0x7"), run("8"));
    assert!(a.status.success() && c.status.success());
    assert_eq!(a.stdout, b.stdout);
    assert_ne!(a.stdout, c.stdout);
    let report: serde_json::Value = serde_json::from_slice(&a.stdout).expect("it is JSON");
    let ladder = report["ladder"].as_array().expect("a list of lines");
    assert!(ladder.iter().any(|line| line == "2.000000s fall: {\"crash\":\"ann\"}"), "{ladder:?}");
    assert!(report["failure"].is_null());
}

#[test]
fn what_was_recorded_replays_and_what_was_changed_does_not() {
    let (path, recording) = (file("record.json", SCENARIO), file("record.jsonl", ""));
    let (path, recording) = (path.to_str().expect("text"), recording.to_str().expect("text"));
    assert!(overcom_sim(&["run", path, "--record", recording]).status.success());
    let replayed = overcom_sim(&["replay", recording]);
    assert!(replayed.status.success(), "{replayed:?}");
    let told = String::from_utf8_lossy(&replayed.stdout).into_owned();
    let names: Vec<&str> = told.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(names, ["ann", "ann", "ben"], "three lives: {told}");
    assert!(told.contains(" 1 digest compared\n") && !told.contains(" 1 digests"), "{told}");
    let text = std::fs::read_to_string(recording).expect("it was written");
    let broken = file("broken.jsonl", &text.replacen('{', "[", 1));
    assert_eq!(overcom_sim(&["replay", broken.to_str().expect("text")]).status.code(), Some(2));
}

#[test]
fn a_file_that_cannot_be_used_is_said_to_be_so_with_the_way_out() {
    let path = file("wrong.json", &SCENARIO.replace("restart", "restrat"));
    let output = overcom_sim(&["run", path.to_str().expect("text")]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("unknown variant `restrat`") && text.contains("line 2 column"), "{text}");
    assert_eq!(overcom_sim(&["run", "no-such-file.json"]).status.code(), Some(2));
    for (name, text, words) in [
        ("text.json", "hello".into(), "this is not JSON"),
        ("deep.json", "[".repeat(1 << 20), "not a scenario"),
        ("field.json", SCENARIO.replace("knows", "know"), "unknown field `know`, expected one of `name`"),
        ("long.json", SCENARIO.replace("2000", "99999999999999"), "\"at_ms\" of step \"fall\" must be at most"),
        ("bound.json", SCENARIO.replace(r#"{"name":"ann"}"#, r#"{"name":"ann","config":{"dials_max":0}}"#), "dials_max"),
        ("empty.json", r#"{"overcom_scenario":0,"seed":7}"#.into(), "there are no nodes"),
    ] {
        let output = overcom_sim(&["run", file(name, &text).to_str().expect("text")]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.lines().count(), output.stdout.len()), (Some(2), 1, 0), "{told}");
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(overcom_sim(&["fly"]).status.code(), Some(2));
}

#[test]
fn a_script_is_told_with_what_followed_and_becomes_a_scenario_that_runs() {
    let path = file("script.txt", "nodes ann ben\nintroduce ann ben\nsend ann ben note \"hello\"\nwait 2s\n");
    let path = path.to_str().expect("text");
    let told = overcom_sim(&["script", path]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.ends_with("    ben -> ann: acknowledged\n"), "{told:?}");
    let scenario = overcom_sim(&["script", path, "--scenario"]);
    let again = file("script.json", &String::from_utf8_lossy(&scenario.stdout));
    let ran = overcom_sim(&["run", again.to_str().expect("text")]);
    assert!(ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("ben: got note from ann"), "{ran:?}");
    let wrong = file("wrong.txt", "nodes ann\nwiat 5s\n");
    let output = overcom_sim(&["script", wrong.to_str().expect("text")]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{told}");
    assert!(told.contains("wrong.txt: line 2, column 1: there is no command wiat"), "{told}");
}
