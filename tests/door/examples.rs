//! The examples in other languages, run wherever their language is.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::json;

use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, program, stderr};

fn run(language: &str, file: &str, greeting: &str) {
    if Command::new(language).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        // Told past the harness, which shows nothing of a test that passes; `.ci/run languages` fails instead.
        let _ = writeln!(std::io::stderr(), "PASSED OVER: {file}, since {language} is not installed");
        return;
    }
    let path = format!("{}/../runtime-smol/cli/examples/{file}", env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(&path).expect("it is there");
    assert!(source.lines().count() <= 20, "{file} is to be read at a glance");
    let (ann, theirs) = (Home::new(&format!("example-{language}-ann")), Home::new(&format!("example-{language}")));
    let mut ann = Talk::start(&ann);
    let mut named = Talk::start(&theirs);
    named.meet(&ann, "ann");
    named.end();
    let mut command = Command::new(language);
    command.arg(&path).arg(program()).arg("ann").args(LISTEN).env("XDG_DATA_HOME", &theirs.0);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let lines = std::io::BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let message = ann.notice("message");
    assert_eq!(message["payload"], json!({ "text": greeting }));
    // Its acknowledgement leaves a moment after it was taken.
    std::thread::sleep(std::time::Duration::from_millis(300));
    ann.ok("send", json!({ "to": message["from"], "type": "bye", "payload": [1, 2.5] }));
    let said: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert!(said.contains(&"delivered".to_owned()), "{said:?}");
    assert_eq!(said.last().map(|line| line.replace(' ', "")), Some("annbye[1,2.5]".into()), "{said:?}");
    let begun = overcom_std::Clock::start();
    while child.try_wait().expect("it runs").is_none() {
        assert!(begun.now().since(overcom_core::Time::ZERO) < PATIENCE, "it does not end");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(child.wait().expect("it ended").success());
}

#[test]
fn the_python_example_talks_and_ends() {
    run("python3", "talk.py", "hello from Python");
}

#[test]
fn the_node_example_talks_and_ends() {
    run("node", "talk.mjs", "hello from Node");
}

#[cfg(unix)]
#[test]
fn the_stage_of_languages_fails_where_one_is_not_installed() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new("languages");
    std::fs::create_dir_all(&home.0).expect("there is room");
    // A machine with the script's own tools, a cargo that is content with everything, and as many languages as are put there.
    for (tool, does) in [("dirname", "echo \"${1%/*}\""), ("cargo", "exit 0"), ("python3", "exit 0"), ("node", "exit 0")] {
        let path = home.0.join(tool);
        std::fs::write(&path, format!("#!/bin/sh\n{does}\n")).expect("there is room");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    let stage = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/run");
        Command::new("/bin/bash").args([script, "languages"]).env("PATH", &home.0).output().expect("there is bash")
    };
    assert!(stage().status.success(), "{}", stderr(&stage()));
    for language in ["node", "python3"] {
        std::fs::remove_file(home.0.join(language)).expect("it is there");
        let told = stage();
        assert!(!told.status.success() && stderr(&told).contains(&format!("{language} is not installed")), "{}", stderr(&told));
    }
}
