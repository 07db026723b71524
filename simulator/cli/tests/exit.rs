//! The exit codes and the words of `overcom-sim`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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
    let begin = "a scenario begins {\"overcom_scenario\":0";
    let fields = "mend it there, as `overcom_simulator::Scenario` says";
    for (name, text, words, way_out) in [
        ("text.json", "hello".into(), "this is not JSON", begin),
        ("deep.json", "[".repeat(1 << 20), "not a scenario", fields),
        ("field.json", SCENARIO.replace("knows", "know"), "unknown field `know`, expected one of `name`", fields),
        ("long.json", SCENARIO.replace("2000", "99999999999999"), "\"at_ms\" of step \"fall\" must be", "at most 31622400000"),
        ("node.json", SCENARIO.replace(r#"["ann"]"#, r#"["eve"]"#), "there is no node \"eve\"", "correct the name"),
        (
            "bound.json",
            SCENARIO.replace(r#"{"name":"ann"}"#, r#"{"name":"ann","config":{"dials_max":0}}"#),
            "dials_max",
            "set it within the range",
        ),
        ("empty.json", r#"{"overcom_scenario":0,"seed":7}"#.into(), "there are no nodes", "\"nodes\":[{\"name\":\"ann\"}]"),
        ("version.json", SCENARIO.replace(":0,", ":9,"), "version 9", "\"overcom_scenario\":0"),
    ] {
        let path = file(name, &text);
        is_refused(&["run", path.to_str().expect("text")], words, way_out);
    }
    assert_eq!(overcom_sim(&["fly"]).status.code(), Some(2));
}

/// Exit code 2, no answer, and one sentence with what is wrong and the way out.
fn is_refused(arguments: &[&str], words: &str, way_out: &str) {
    let output = overcom_sim(arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.lines().count(), output.stdout.len()), (Some(2), 1, 0), "{arguments:?}: {told}");
    assert!(told.contains(words) && told.contains(way_out), "{arguments:?}: {told}");
}

#[test]
fn a_file_that_cannot_be_read_or_replayed_is_said_to_be_so_with_the_way_out() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let bytes = PathBuf::from(folder).join("bytes");
    std::fs::write(&bytes, [0xff, 0xfe]).expect("the directory can be written");
    let bytes = bytes.to_str().expect("text");
    for verb in ["run", "script", "replay"] {
        is_refused(&[verb, folder], "a folder is there", "name a file");
        is_refused(&[verb, "no-such-file"], "it is not there", "correct the name");
        is_refused(&[verb, bytes], "it is no text", "name a scenario, a script or a recording");
    }
    let scenario = file("replayed.json", SCENARIO);
    let recording = file("replayed.jsonl", "");
    let record = ["run", scenario.to_str().expect("text"), "--record", recording.to_str().expect("text")];
    assert!(overcom_sim(&record).status.success());
    let whole = std::fs::read_to_string(&recording).expect("it was written");
    let header = whole.lines().next().expect("a header");
    for (name, text, words, way_out) in [
        ("none.jsonl", "hello\n".into(), "this is no recording", "name a file that a node was recorded into"),
        ("cut.jsonl", whole[..whole.len() - 2].into(), "is not a line of a recording", "Record again"),
        ("version.jsonl", whole.replace("{\"overcom_trace\":1,", "{\"overcom_trace\":9,"), "version 9", "with the build that made it"),
        ("build.jsonl", whole.replace("\"build\":\"", "\"build\":\"x"), "recorded this", "with the same build"),
        ("crypto.jsonl", whole.replace("\"crypto\":\"standard\"", "\"crypto\":\"rot\""), "`rot`", "replay it with one that has it"),
        ("header.jsonl", format!("{header}\n"), "holds no digest", "record again"),
    ] {
        let path = file(name, &text);
        is_refused(&["replay", path.to_str().expect("text")], words, way_out);
    }
    let nowhere = format!("{folder}/not/there");
    is_refused(&["run", scenario.to_str().expect("text"), "--record", &nowhere], "cannot be written", "make the folder");
}

/// Runs it with something else for its standard output, and gives its exit code and what it said on standard error.
fn told_into(out: Stdio, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_overcom-sim"));
    let output = command.args(arguments).stdout(out).stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output();
    let output = output.expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A command line for each way of printing; its files are those of the test that asks.
fn answers(of: &str) -> Vec<Vec<String>> {
    let path = |path: PathBuf| path.to_str().expect("text").to_owned();
    let scenario = path(file(&format!("{of}.json"), SCENARIO));
    let script = path(file(&format!("{of}.txt"), "nodes ann ben\nwait 2s\n"));
    let recording = path(file(&format!("{of}.jsonl"), ""));
    assert!(overcom_sim(&["run", &scenario, "--record", &recording]).status.success());
    let all: [&[&str]; 7] = [
        &["run", &scenario],
        &["run", &scenario, "--json"],
        &["script", &script],
        &["script", &script, "--scenario"],
        &["replay", &recording],
        &["replay", &recording, "--json"],
        &["--help"],
    ];
    all.map(|words| words.iter().map(|word| (*word).to_owned()).collect()).into()
}

#[cfg(unix)]
#[test]
fn who_stops_reading_ends_it_quietly_as_the_system_would() {
    for arguments in answers("closed") {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (reader, writer) = std::io::pipe().expect("there is room for a pipe");
        drop(reader);
        assert_eq!(told_into(writer.into(), &arguments), (Some(141), String::new()), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_does_not_fit_on_the_disk_is_one_sentence_with_the_way_out() {
    for arguments in answers("full") {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let (code, told) = told_into(full.into(), &arguments);
        assert_eq!((code, told.lines().count()), (Some(1), 1), "{arguments:?}: {told}");
        assert!(told.contains("the disk is full; make room"), "{arguments:?}: {told}");
    }
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
