//! Files that people name, and the folder that keeps everything: nothing is written in the place of something else.

use std::fs;
use std::path::Path;

use super::{LISTEN, Talk};
use crate::cli::{Home, stderr};

/// A verb that must be refused with these words, and leave a file as it is.
fn refused(home: &Home, arguments: &[&str], file: &Path, words: &str) {
    let before = fs::read(file).expect("it is there");
    let output = home.run_with(arguments.iter().copied().chain(LISTEN.into_iter().filter(|_| arguments[0] != "demo")), "");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    assert_eq!(fs::read(file).expect("it is there"), before, "{arguments:?} changed it");
}

#[test]
fn keys_and_whatever_else_is_no_recording_or_report_is_never_written_over() {
    let home = Home::new("over");
    home.told(&["id"]);
    let (letter, link) = (home.0.join("letter"), home.0.join("keys"));
    fs::write(&letter, "dear Bob").expect("there is room");
    for name in ["identity.json", "device.json"] {
        let file = home.0.join("overcom").join(name);
        let path = file.to_str().expect("text");
        refused(&home, &["node", "--record", path], &file, "name a file somewhere else");
        refused(&home, &["report", path], &file, "name a file somewhere else");
        refused(&home, &["demo", "--record", path], &file, "is no recording");
        // The same keys under another name.
        let _ = fs::remove_file(&link);
        fs::hard_link(&file, &link).expect("one disk");
        for verb in ["node", "demo"] {
            refused(&home, &[verb, "--record", link.to_str().expect("text")], &file, "is no recording");
        }
    }
    let path = letter.to_str().expect("text");
    refused(&home, &["node", "--record", path], &letter, "is no recording");
    refused(&home, &["report", path], &letter, "is no report");
    let part = home.0.join("letter.part");
    fs::rename(&letter, &part).expect("it is there");
    refused(&home, &["report", path], &part, "is no report");
    // Its own kind is written over, redacted or not.
    let (report, recording) = (home.0.join("report"), home.0.join("recording"));
    let (report, recording) = (report.to_str().expect("text"), recording.to_str().expect("text"));
    for _ in 0..2 {
        home.told(&["report", report, LISTEN[0], LISTEN[1]]);
        assert_eq!(Talk::start_with(&home, &["--record", recording]).end().1.code(), Some(0));
        assert_eq!(Talk::start_with(&home, &["--record", recording, "--redact"]).end().1.code(), Some(0));
    }
}

#[test]
fn a_recording_stays_until_the_keys_of_the_next_one_are_read() {
    let home = Home::new("kept");
    let recording = home.0.join("recording");
    fs::create_dir_all(&home.0).expect("there is room");
    let path = recording.to_str().expect("text");
    Talk::start_with(&home, &["--record", path]).end();
    let before = fs::read(&recording).expect("it was written");
    fs::write(home.0.join("overcom/identity.json"), "{").expect("it is ours");
    let failed = home.run(["node", "--record", path, LISTEN[0], LISTEN[1]]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    assert_eq!(fs::read(&recording).expect("it is there"), before);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for_but_refused() {
    let home = Home::new("pipe");
    fs::create_dir_all(&home.0).expect("there is room");
    let pipe = home.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("there is such a program");
    assert!(made.success());
    for arguments in [["node", "--record"], ["demo", "--record"]] {
        let output = home.run(arguments.into_iter().chain([pipe.to_str().expect("text")]));
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("name a file"), "{}", stderr(&output));
    }
    let output = home.run(["report", pipe.to_str().expect("text"), LISTEN[0], LISTEN[1]]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("name a file"), "{}", stderr(&output));
}

#[test]
fn a_port_that_somebody_else_has_stays_the_folder_s_and_this_is_told() {
    let home = Home::new("port");
    home.told(&["id"]);
    let taken = std::net::TcpListener::bind("[::]:0").expect("there are ports");
    let port = taken.local_addr().expect("bound").port();
    let kept = home.0.join("overcom/port");
    fs::write(&kept, format!("{port}\n")).expect("there is room");
    let stands_in = home.run(["names"]);
    assert_eq!(stands_in.status.code(), Some(0), "{}", stderr(&stands_in));
    assert!(stderr(&stands_in).contains(&format!("port {port} is in use, so this node listens on ")), "{}", stderr(&stands_in));
    assert_eq!(fs::read_to_string(&kept).expect("it is there"), format!("{port}\n"));
    drop(taken);
    let back = home.run(["names"]);
    assert_eq!((back.status.code(), stderr(&back).as_str()), (Some(0), ""));
    // Where none was kept, the first one is.
    fs::remove_file(&kept).expect("it is there");
    home.told(&["names"]);
    assert!(fs::read_to_string(&kept).expect("it was kept").trim().parse::<u16>().is_ok_and(|port| port != 0));
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_into_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new("shared");
    home.told(&["id"]);
    let folder = home.0.join("overcom");
    for mode in [0o720, 0o702, 0o1777] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).expect("it is ours");
        for arguments in [vec!["id"], vec!["stop"], vec!["names", LISTEN[0], LISTEN[1]], vec!["node", "--serve", LISTEN[0], LISTEN[1]]] {
            let output = home.run(&arguments);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(stderr(&output).contains(&format!("chmod 700 {}", folder.display())), "{}", stderr(&output));
        }
        let doctor = home.run(["doctor", LISTEN[0], LISTEN[1]]);
        let said = String::from_utf8_lossy(&doctor.stdout);
        assert!(doctor.status.code() == Some(1) && said.contains("FAIL  folder") && said.contains("chmod 700"), "{said}");
    }
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("it is ours");
    home.told(&["names", LISTEN[0], LISTEN[1]]);
}

#[cfg(unix)]
#[test]
fn a_lock_that_leads_somewhere_else_is_not_followed() {
    let home = Home::new("lock");
    home.told(&["id"]);
    let (lock, elsewhere) = (home.0.join("overcom/lock"), home.0.join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &lock).expect("a link");
    let output = home.run(["names", LISTEN[0], LISTEN[1]]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("remove it"), "{}", stderr(&output));
    assert!(!elsewhere.exists());
}

#[test]
fn a_name_is_not_taken_from_its_owner_unless_it_is_to_be() {
    let home = Home::new("owned");
    let [ann, eve] = [1, 2].map(|byte| overcom_core::UserId::from_bytes([byte; 32]).to_string());
    let add = |id: &str, more: &[&str]| home.run(["names", "add", "ann", id, LISTEN[0], LISTEN[1]].iter().chain(more));
    for _ in 0..2 {
        assert!(add(&ann, &[]).status.success(), "her own name again");
    }
    let refused = add(&eve, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains(&ann) && stderr(&refused).contains("--replace"), "{}", stderr(&refused));
    assert!(home.told(&["names", LISTEN[0], LISTEN[1]]).contains(&ann));
    assert!(add(&eve, &["--replace"]).status.success());
    assert!(home.told(&["names", LISTEN[0], LISTEN[1]]).contains(&eve));
    let why = home.run(["why", "Ann", LISTEN[0], LISTEN[1]]);
    assert!(stderr(&why).contains("did you mean ann?"), "{}", stderr(&why));
}

#[test]
fn who_looks_or_takes_back_makes_no_identity_and_who_runs_a_node_says_that_it_has_made_one() {
    let home = Home::new("nobody");
    let id = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let looks: [&[&str]; 10] = [
        &["dht"],
        &["find", &id],
        &["why", &id],
        &["names"],
        &["names", "remove", "ann"],
        &["forget", &id],
        &["enter"],
        &["publish"],
        &["publish", "nobody"],
        &["invite", "--list"],
    ];
    for verb in looks {
        let refused = home.run(verb.iter().copied().chain(LISTEN));
        let why = stderr(&refused);
        assert!(refused.status.code() == Some(1) && why.contains("there is no identity and no device in"), "{verb:?}: {why}");
        assert!(why.contains("overcom id makes one") && why.contains("--data"), "{verb:?}: {why}");
        assert!(!home.0.join("overcom").exists(), "{verb:?} has made something");
    }
    let made = home.run(["names", "add", "ann", &id].into_iter().chain(LISTEN));
    assert!(made.status.success() && stderr(&made).contains("a new identity was made: "), "{}", stderr(&made));
    let known = home.run(["names"].into_iter().chain(LISTEN));
    assert!(known.status.success() && !stderr(&known).contains("identity"), "{}", stderr(&known));
}
