//! The command line `overcom` as people meet it: the built program, its answers and exit codes.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

/// The program, built once for this run by the cargo that runs the tests.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| crate::program::overcom().expect("cargo builds"))
}

/// A data folder of a test's own, gone at its end.
pub(crate) struct Home(pub(crate) PathBuf);

impl Home {
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("overcom-cli-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, input: &str) -> Output {
        let mut command = Command::new(program());
        command.args(arguments).env("XDG_DATA_HOME", &self.0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // A program that does not read its input may be gone already.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// Standard output of a run that must succeed.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What was said beside that an identity was made, as the first node of each home says.
pub(crate) fn besides(errors: &str) -> String {
    let is_other = |line: &&str| !line.starts_with("overcom: a new identity was made: ");
    errors.lines().filter(is_other).map(|line| format!("{line}\n")).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

#[test]
fn the_first_id_makes_an_identity_and_the_second_shows_the_same_one() {
    let home = Home::new("first");
    let first = home.told(&["id"]);
    assert!(first.starts_with("user    oc1") && first.contains("(new)"), "{first}");
    let again = home.told(&["id"]);
    assert_eq!(again, first.replace("   (new)", ""));
    let answer = json(&home.told(&["id", "--json"]));
    assert!(first.contains(answer["user"].as_str().expect("a user")), "{answer}");
    assert_eq!(answer["app"], "overcom");
    let other = json(&home.told(&["id", "--json", "--name", "work"]));
    assert_ne!(other["user"], answer["user"]);
}

#[test]
fn a_device_keeps_its_app_until_another_one_is_asked_for_and_none_is_made_that_nobody_signs_for() {
    let home = Home::new("app");
    home.told(&["id", "--app", "chess"]);
    assert_eq!(json(&home.told(&["id", "--json"]))["app"], "chess");
    assert!(home.told(&["delegate"]).contains(" in chess until "));
    assert_eq!(json(&home.told(&["id", "--request"]))["app"], "chess");
    assert_eq!(json(&home.told(&["id", "--json", "--app", "go"]))["app"], "go");
    let nobody = Home::new("app-nobody");
    assert_eq!((nobody.run(["delegate"]).status.code(), nobody.0.exists()), (Some(1), false));
}

#[test]
fn nothing_that_is_printed_is_secret() {
    let home = Home::new("secret");
    let printed = [home.told(&["id"]), home.told(&["id", "--json"]), home.told(&["id", "--request"]), home.told(&["delegate"])].concat();
    for file in ["identity.json", "device.json"] {
        let kept = json(&fs::read_to_string(home.0.join("overcom").join(file)).expect("the file is there"));
        let secret = kept["secret"].as_str().expect("a secret");
        assert!(secret.len() > 40 && !printed.contains(secret));
    }
}

#[test]
fn an_offline_identity_signs_a_request_that_its_device_installs() {
    let (device, offline) = (Home::new("device"), Home::new("offline"));
    let user = json(&offline.told(&["id", "--json"]))["user"].clone();
    let request = device.told(&["id", "--request", "--app", "demo"]);
    let signed = offline.run_with(["delegate", "--request", "-", "--days", "3"], &request);
    assert!(signed.status.success(), "{}", stderr(&signed));
    let installed = device.run_with(["delegate", "--install", "-"], &stdout(&signed));
    assert!(installed.status.success(), "{}", stderr(&installed));
    let answer = json(&device.told(&["id", "--json"]));
    assert_eq!((&answer["user"], &answer["app"], &answer["identity_here"]), (&user, &"demo".into(), &false.into()));
    // Nobody else can use it, and nobody can change it.
    let stranger = Home::new("stranger").run_with(["delegate", "--install", "-"], &stdout(&signed));
    assert_eq!(stranger.status.code(), Some(2));
    assert!(stderr(&stranger).contains("another device"), "{}", stderr(&stranger));
    let forged = device.run_with(["delegate", "--install", "-"], &stdout(&signed).replace("\"demo\"", "\"bank\""));
    assert_eq!(forged.status.code(), Some(2));
}

#[test]
fn a_delegation_ends_when_it_was_told_to_and_no_longer_than_thirty_days() {
    let home = Home::new("days");
    let before = json(&home.told(&["id", "--json"]))["until"].as_u64().expect("a date");
    assert!(home.told(&["delegate", "--days", "14"]).contains(" may speak for oc1"));
    let after = json(&home.told(&["id", "--json"]))["until"].as_u64().expect("a date");
    let week = 7 * 24 * 60 * 60 * 1_000;
    assert!((week..week + 60_000).contains(&(after - before)), "{before} {after}");
    let long = home.run(["delegate", "--days", "31"]);
    assert_eq!(long.status.code(), Some(2));
}

#[test]
fn a_failure_is_one_sentence_with_a_way_out_and_its_exit_code() {
    let home = Home::new("failures");
    let request = home.told(&["id", "--request"]);
    let no_identity = home.run_with(["delegate", "--request", "-"], &request);
    assert_eq!((no_identity.status.code(), stderr(&no_identity).lines().count()), (Some(1), 1));
    assert!(stderr(&no_identity).contains("overcom id makes one"), "{}", stderr(&no_identity));
    let user = json(&home.told(&["id", "--json"]))["user"].as_str().expect("a user").to_owned();
    let signed = stdout(&home.run_with(["delegate", "--request", "-"], &request));
    let other = stdout(&Home::new("failures-other").run_with(["id", "--request"], ""));
    let others = stdout(&home.run_with(["delegate", "--request", "-"], &other));
    let cut = &signed[..signed.len() / 2];
    let forged = signed.replace("\"overcom\"", "\"bank\"");
    let install = ["delegate", "--install", "-"];
    let folder = env::temp_dir();
    let folder = folder.to_str().expect("text");
    for (arguments, input, way_out) in [
        (vec!["delegate", "--request", "no-such-file"], "", "name another one"),
        (vec!["delegate", "--request", "-"], "{}", "make one with overcom id --request"),
        (install.to_vec(), "{}", "; text stands in quotes; look for"),
        (install.to_vec(), cut, "; text stands in quotes; look for"),
        (install.to_vec(), &forged, "; ask for it again"),
        (install.to_vec(), &others, "; make the request on this one"),
        (vec!["send", &user, "note", "{"], "", "or say --text"),
        (vec!["send", "nobody", "note"], "", "overcom names add NAME ID adds one"),
        (vec!["report", "--trace", folder], "", "; name a file"),
        (vec!["id", "--app", "No App"], "", "For more information, try '--help'"),
        (vec!["id", "--name", "../x"], "", "use 1 to 64 letters, digits, - and _"),
        (vec!["shout"], "", "For more information, try '--help'"),
        (vec![], "", "Usage: overcom"),
    ] {
        let output = home.run_with(&arguments, input);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(stdout(&output).is_empty() && told.contains(way_out), "{arguments:?}: {told}");
        assert!(!told.contains("panicked") && (told.lines().count() == 1 || !told.starts_with("overcom: ")), "{arguments:?}: {told}");
    }
    let mut bytes = Command::new(program());
    bytes.args(["send", &user, "note", "-"]).env("XDG_DATA_HOME", &home.0).stdin(fs::File::open(program()).expect("it is there"));
    let refused = bytes.output().expect("it starts");
    assert_eq!((refused.status.code(), stderr(&refused).lines().count()), (Some(2), 1), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("for instance in base64"), "{}", stderr(&refused));
}

#[test]
fn a_place_that_cannot_be_written_to_is_told_at_once_with_a_way_out() {
    let home = Home::new("places");
    fs::create_dir_all(&home.0).expect("there is room");
    let file = home.0.join("file");
    fs::write(&file, "").expect("there is room");
    let file = file.to_str().expect("text");
    let nowhere = format!("{file}-not/recording");
    for (arguments, way_out) in [(["id", "--data", file], "name another folder"), (["demo", "--record", &nowhere], "make the folder")] {
        let refused = home.run(arguments);
        assert_eq!((refused.status.code(), stdout(&refused).as_str(), stderr(&refused).lines().count()), (Some(1), "", 1));
        assert!(stderr(&refused).contains(way_out), "{}", stderr(&refused));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_with_a_way_out() {
    let home = Home::new("full");
    let refused = home.run(["demo", "--json", "--record", "/dev/full"]);
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(1), ""));
    assert!(stderr(&refused).contains("the disk is full; make room"), "{}", stderr(&refused));
}

#[cfg(unix)]
#[test]
fn keys_that_others_may_read_are_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new("open");
    home.told(&["id"]);
    let path = home.0.join("overcom").join("identity.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("the mode is set");
    let refused = home.run(["id"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("chmod 600"), "{}", stderr(&refused));
}

#[test]
fn help_has_examples_and_the_version_is_a_table_of_five() {
    let home = Home::new("help");
    let help = home.told(&["--help"]);
    for part in ["Examples:", "Exit codes:", "~/.local/share/overcom", "the line of invite lets in whoever has it first"] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
    assert!(!help.contains("Nothing secret is printed"), "an invitation is: {help}");
    let version = home.told(&["--version"]);
    let trace = format!("trace     {}", overcom_core::trace::TRACE_VERSION);
    assert_eq!(version.lines().skip(1).collect::<Vec<_>>(), ["wire      1", &trace, "store     1", "scenario  0"]);
    assert!(version.starts_with(concat!("overcom ", env!("CARGO_PKG_VERSION"), "\n")), "{version}");
    assert!(!home.0.exists(), "help and version make no files");
}
