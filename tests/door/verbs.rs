//! Verbs that speak with a node, as people meet them.

use serde_json::json;

use super::{LISTEN, Talk};
use crate::cli::{Home, stderr, stdout};

#[test]
fn a_message_that_is_not_delivered_is_kept_and_the_verb_says_what_it_waits_for() {
    let home = Home::new("later");
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound").to_string();
    home.told(&["names", "add", "ann", &nobody, "--at", &closed, LISTEN[0], LISTEN[1]]);
    let sent = home.run(["send", "ann", "note", "{}", "--wait", "1", LISTEN[0], LISTEN[1]]);
    assert_eq!((sent.status.code(), stdout(&sent).as_str()), (Some(3), ""));
    let said = stderr(&sent);
    for part in ["kept for 7 days", "overcom node --serve", "waits for ann", &closed, "nobody listens there"] {
        assert!(said.contains(part), "{part} is missing in {said}");
    }
    assert!(!said.contains(&nobody), "{said}");
    let kept = home.told(&["send", "ann", "note", "hello", "--text", "--no-wait", LISTEN[0], LISTEN[1]]);
    assert!(kept.starts_with("kept; "), "{kept}");
    let mut talk = Talk::start(&home);
    assert_eq!(talk.ok("outbox", json!({}))["count"], 2);
}

#[test]
fn a_node_that_runs_takes_a_delegation_that_was_signed_elsewhere_and_installed() {
    let (identity, home) = (Home::new("elsewhere"), Home::new("installed"));
    let mut talk = Talk::start(&home);
    let until = |talk: &mut Talk| talk.ok("status", json!({}))["until_ms"].as_u64().expect("a time");
    let before = until(&mut talk);
    // The identity moves to another machine: here it cannot be signed any more.
    identity.told(&["id"]);
    std::fs::rename(home.0.join("overcom/identity.json"), identity.0.join("overcom/identity.json")).expect("it moves");
    assert_eq!(talk.ask("renew", json!({}))["error"]["code"], "no_identity");
    let (request, signed) = (home.0.join("request.json"), home.0.join("delegation.json"));
    std::fs::write(&request, home.told(&["id", "--request"])).expect("a file");
    let signature = identity.told(&["delegate", "--days", "20", "--request", request.to_str().expect("text")]);
    std::fs::write(&signed, signature).expect("a file");
    let said = home.told(&["delegate", "--install", signed.to_str().expect("text")]);
    assert!(!said.contains("did not take it"), "{said}");
    assert!(until(&mut talk) > before + 12 * 24 * 3_600_000, "{said}");
    talk.notice("renewed");
}

#[test]
fn an_introduction_with_a_name_that_cannot_be_given_changes_nothing() {
    let home = Home::new("bad-name");
    let mut talk = Talk::start(&home);
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let introduce = |name: &str| json!({ "user": nobody, "addresses": ["127.0.0.1:9"], "name": name });
    assert_eq!(talk.ask("introduce", introduce("-x"))["error"]["code"], "bad_field");
    assert_eq!(talk.ok("names", json!({})), json!({ "names": {}, "unnamed": [] }));
    assert_eq!(talk.ok("status", json!({}))["users"], 0);
    talk.ok("introduce", introduce("ann"));
    assert_eq!(talk.ok("names", json!({}))["names"]["ann"], nobody);
}

#[test]
fn a_renewal_that_the_key_file_cannot_take_is_told_as_half_done_and_can_be_asked_for_again() {
    let home = Home::new("half-renewed");
    let mut talk = Talk::start(&home);
    let folder = home.0.join("overcom");
    let (file, away) = (folder.join("device.json"), folder.join("away.json"));
    let until = |talk: &mut Talk| talk.ok("status", json!({}))["until_ms"].as_u64().expect("a time");
    let before = until(&mut talk);
    let identity = overcom_std::keys::IdentityFile::open(folder.join("identity.json")).expect("it was made");
    let device = overcom_std::keys::DeviceFile::open(&file).expect("it was made");
    let from = overcom_std::Clock::start().wall();
    let grant = device.keys().grant(
        overcom_core::AppId::new("overcom").expect("an app"),
        from,
        from + std::time::Duration::from_secs(20 * 24 * 3600),
    );
    let signed = overcom_core::Delegation::sign(identity.secret(), &grant).expect("it is signed");
    // As it was written: signed JSON has an order.
    let renew = |talk: &mut Talk| {
        talk.asked += 1;
        let line = format!("{{\"id\":{},\"op\":\"renew\",\"delegation\":{}}}\n", talk.asked, signed.to_json());
        talk.write(line.as_bytes());
        talk.answer(talk.asked)
    };
    // Nothing can take the place of a folder.
    std::fs::rename(&file, &away).expect("it is there");
    std::fs::create_dir(&file).expect("there is room");
    let half = renew(&mut talk);
    assert_eq!(half["error"]["code"], "disk", "{half}");
    assert!(half["error"]["message"].as_str().is_some_and(|said| said.contains("the node uses the new delegation")), "{half}");
    assert_eq!(until(&mut talk), signed.until().as_millis(), "what it uses is what it says");
    std::fs::remove_dir(&file).expect("it is empty");
    std::fs::rename(&away, &file).expect("it is there");
    assert_eq!(kept_until(&home), before);
    assert_eq!(renew(&mut talk)["ok"]["until_ms"], signed.until().as_millis());
    assert_eq!(kept_until(&home), signed.until().as_millis());
    assert_eq!(renew(&mut talk)["error"]["code"], "not_renewed", "it is no newer one any more");
}

/// Gives the device of a home a delegation that is half over in `seconds`; when it ends.
fn half_over_in(home: &Home, seconds: u64) -> u64 {
    let folder = home.0.join("overcom");
    let identity = overcom_std::keys::IdentityFile::open(folder.join("identity.json")).expect("it was made");
    let mut device = overcom_std::keys::DeviceFile::open(folder.join("device.json")).expect("it was made");
    let (now, length) = (overcom_std::Clock::start().wall(), std::time::Duration::from_secs(600));
    let app = overcom_core::AppId::new("overcom").expect("an app");
    let from = now + std::time::Duration::from_secs(seconds) - length / 2;
    let grant = device.keys().grant(app, from, from + length);
    device.keep(overcom_core::Delegation::sign(identity.secret(), &grant).expect("it is signed")).expect("it is kept");
    (from + length).as_millis()
}

/// When the delegation in a home's key file ends.
fn kept_until(home: &Home) -> u64 {
    let device = overcom_std::keys::DeviceFile::open(home.0.join("overcom/device.json")).expect("it was made");
    device.delegation().expect("it has one").until().as_millis()
}

// spec-test: NODE-13
#[test]
fn a_notice_that_a_renewal_is_due_leads_to_a_new_delegation_where_the_identity_is_kept() {
    let home = Home::new("renews");
    home.told(&["id"]);
    let until = half_over_in(&home, 8);
    let mut talk = Talk::start(&home);
    assert_eq!(talk.ok("status", json!({}))["until_ms"], until);
    // Nobody asks for anything: the node says so, signs another one, uses it and keeps it.
    assert_eq!(talk.notice("renewal_due")["until_ms"], until);
    let renewed = talk.notice("renewed")["until_ms"].as_u64().expect("a time");
    assert!(renewed > until + 6 * 24 * 3_600_000, "{renewed} {until}");
    assert_eq!((talk.ok("status", json!({}))["until_ms"].as_u64(), kept_until(&home)), (Some(renewed), renewed));
    let (_, status, said) = talk.end();
    assert_eq!(status.code(), Some(0));
    assert!(!said.contains("not renewed"), "{said}");
}

// spec-test: NODE-13
#[test]
fn a_notice_that_a_renewal_is_due_names_the_commands_that_lead_to_one_where_the_identity_is_not_kept() {
    let (home, elsewhere) = (Home::new("not-renewed"), Home::new("renews-elsewhere"));
    home.told(&["id"]);
    let until = half_over_in(&home, 8);
    let mut talk = Talk::start(&home);
    elsewhere.told(&["id"]);
    std::fs::rename(home.0.join("overcom/identity.json"), elsewhere.0.join("overcom/identity.json")).expect("it moves");
    let due = talk.notice("renewal_due");
    assert!(due["until_ms"] == until && due["hint"].as_str().is_some_and(|hint| hint.contains("overcom delegate")), "{due}");
    assert_eq!(kept_until(&home), until, "nobody has signed another one");
    // What the node says on standard error, step by step.
    let request = home.told(&["id", "--request"]);
    let signed = elsewhere.run_with(["delegate", "--request", "-"], &request);
    assert!(signed.status.success(), "{}", stderr(&signed));
    let installed = home.run_with(["delegate", "--install", "-"], &stdout(&signed));
    assert!(installed.status.success(), "{}", stderr(&installed));
    let renewed = talk.notice("renewed")["until_ms"].as_u64().expect("a time");
    assert!(renewed > until && kept_until(&home) == renewed);
    let (_, _, said) = talk.end();
    let line = said.lines().find(|line| line.contains("is not renewed")).unwrap_or_default();
    for step in [
        "the identity is not kept here",
        "overcom id --request here",
        "overcom delegate --request there",
        "overcom delegate --install here",
    ] {
        assert!(line.contains(step), "{step} is missing in {said}");
    }
}

#[cfg(unix)]
#[test]
fn a_recording_is_for_its_owner_only_and_a_report_never_takes_its_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new("owner");
    std::fs::create_dir_all(&home.0).expect("a folder");
    let file = home.0.join("recording.jsonl");
    std::fs::write(&file, "{\"overcom_trace\":1, there before").expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
    let path = file.to_str().expect("text");
    Talk::start_with(&home, &["--record", path]).end();
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let recorded = std::fs::read(&file).expect("it is there");
    assert!(recorded.starts_with(b"{"), "{}", String::from_utf8_lossy(&recorded));
    // It is written beside its place first, which is no better a place for the recording.
    let beside = home.0.join("recording.jsonl.part");
    std::fs::copy(&file, &beside).expect("a copy");
    for trace in [path, beside.to_str().expect("text")] {
        let report = home.run(["report", path, "--trace", trace, LISTEN[0], LISTEN[1]]);
        assert_eq!(report.status.code(), Some(2), "{}", stderr(&report));
        assert!(stderr(&report).contains("name another file"), "{}", stderr(&report));
        assert_eq!(std::fs::read(trace).expect("it is there"), recorded);
    }
    let (link, nowhere) = (home.0.join("link.jsonl"), home.0.join("nowhere.jsonl"));
    for to in [&file, &nowhere] {
        std::os::unix::fs::symlink(to, &link).expect("a link");
        for verb in ["node", "demo"] {
            let linked = home.run([verb, "--record", link.to_str().expect("text")]);
            assert_eq!(linked.status.code(), Some(2), "{}", stderr(&linked));
            assert!(stderr(&linked).contains("is a link to somewhere else"), "{}", stderr(&linked));
        }
        std::fs::remove_file(&link).expect("it is there");
    }
    assert_eq!((std::fs::read(&file).expect("it is there"), nowhere.exists()), (recorded.clone(), false));
    // A second node that may not record does not take away what the first one writes.
    let talk = Talk::start_with(&home, &["--record", path]);
    let busy = home.run(["node", "--record", path]);
    assert!(busy.status.code() == Some(1) && stderr(&busy).contains("runs already"), "{}", stderr(&busy));
    talk.end();
    let recorded = std::fs::read(&file).expect("it is there");
    assert!(recorded.starts_with(b"{"), "{}", String::from_utf8_lossy(&recorded));
}

#[cfg(unix)]
#[test]
fn a_verb_whose_own_node_fails_says_why_it_failed() {
    let home = Home::new("no-room");
    home.told(&["id"]);
    home.told(&["names", LISTEN[0], LISTEN[1]]);
    let long = home.0.join("long");
    std::fs::write(&long, format!("\"{}\"", "x".repeat(1_000_000))).expect("there is room");
    // As if there were room for the store as it is, and for no more.
    let blocks = std::fs::metadata(home.0.join("overcom/store.redb")).expect("it is there").len() / 512;
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let line = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" send {nobody} note - --no-wait {} {}", LISTEN[0], LISTEN[1]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &line]).arg(crate::cli::program()).env("XDG_DATA_HOME", &home.0);
    let failed = command.stdin(std::fs::File::open(&long).expect("it is there")).output().expect("there is a shell");
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("disk") && !stderr(&failed).contains("ask again"), "{}", stderr(&failed));
}

#[test]
fn a_report_that_cannot_be_written_leaves_nothing_behind() {
    let home = Home::new("half");
    let folder = home.0.join("report");
    std::fs::create_dir_all(&folder).expect("a folder");
    home.told(&["id"]);
    let failed = home.run(["report", folder.to_str().expect("text"), LISTEN[0], LISTEN[1]]);
    assert_eq!((failed.status.code(), stderr(&failed).lines().count()), (Some(1), 1), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("a folder is there; name a file"), "{}", stderr(&failed));
    assert!(!home.0.join("report.part").exists() && folder.exists());
}

#[test]
fn a_join_takes_no_name_from_its_owner_and_gives_none_if_it_fails() {
    let (bob, eve) = (Home::new("bob-invites"), Home::new("eve-joins"));
    let mut talk = Talk::start(&bob);
    talk.ok("invite", json!({}));
    let line = talk.notice("invited")["line"].as_str().expect("a line").to_owned();
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    eve.told(&["names", "add", "ann", &nobody, LISTEN[0], LISTEN[1]]);
    let taken = eve.run(["join", &line, "--as", "ann", LISTEN[0], LISTEN[1]]);
    assert_eq!(taken.status.code(), Some(2), "{}", stderr(&taken));
    assert!(stderr(&taken).contains("somebody else's name"), "{}", stderr(&taken));
    eve.told(&["join", &line, "--as", "bob", LISTEN[0], LISTEN[1]]);
    let names = eve.told(&["names", LISTEN[0], LISTEN[1]]);
    assert!(names.contains(&nobody) && names.contains(talk.user()), "{names}");
    // The line is used up: whoever comes next joins nobody, and has named nobody.
    let late = Home::new("late-joins");
    let refused = late.run(["join", &line, "--as", "bob", LISTEN[0], LISTEN[1]]);
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(!late.told(&["names", LISTEN[0], LISTEN[1]]).contains("bob"));
}

#[test]
fn what_is_typed_wrongly_is_told_in_a_sentence_with_the_way_out() {
    let home = Home::new("typed");
    for (arguments, code, part) in [
        (vec!["send", "ann", "note", "{milk:2}"], 2, "--text"),
        (vec!["send", "ann", "note", "1"], 2, "overcom names add NAME ID"),
        (vec!["why", "oc1qqqq"], 2, "Copy the id again"),
        (vec!["names", "add", "-x", "oc1"], 2, "--help"),
        (vec!["names", "add", "oc1x", "oc1"], 2, "Copy the id again"),
        (vec!["names", "remove", "ann"], 2, "overcom names"),
        (vec!["sned", "ann", "note"], 2, "'send'"),
        (vec!["node", "--record", "no/such/folder/file"], 1, "make the folder"),
        (vec!["listen", "--app", "No App"], 2, "app id"),
    ] {
        let output =
            home.run(arguments.iter().copied().chain(if arguments[0] == "sned" { [].as_slice() } else { &LISTEN }.iter().copied()));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{part} is missing in {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn a_clock_that_is_a_day_off_is_told_before_anything_is_tried() {
    let home = Home::new("clock");
    home.told(&["id"]);
    let folder = home.0.join("overcom");
    // As if the keys had been made when the clock was right, and it went back by a day since; or a month on.
    let identity = overcom_std::keys::IdentityFile::open(folder.join("identity.json")).expect("it was made");
    let mut device = overcom_std::keys::DeviceFile::open(folder.join("device.json")).expect("it was made");
    let now = overcom_std::Clock::start().wall();
    let day = std::time::Duration::from_secs(24 * 3600);
    // Or as if it had been ahead then, and is right now: where the identity is, another one is signed.
    for verb in [&["names", LISTEN[0], LISTEN[1]][..], &["id"]] {
        device.keep(lasting_a_day(&device, identity.secret(), now + 8 * day)).expect("it is kept");
        let early = home.run(verb);
        let (status, why) = (early.status.code(), stderr(&early));
        assert!(status == Some(0) && why.contains("by this machine's clock") && why.contains("set the clock if it is wrong"), "{why}");
        let again = home.run(verb);
        assert_eq!((again.status.code(), stderr(&again).as_str()), (Some(0), ""));
    }
    std::fs::remove_file(folder.join("identity.json")).expect("it is there");
    device.keep(lasting_a_day(&device, identity.secret(), now + 8 * day)).expect("it is kept");
    let early = home.run(["names", LISTEN[0], LISTEN[1]]);
    assert_eq!(early.status.code(), Some(1));
    assert!(stderr(&early).contains("set the clock; if it is right now: overcom id --request"), "{}", stderr(&early));
    let checks = stdout(&home.run(["doctor", LISTEN[0], LISTEN[1]]));
    assert!(checks.contains("if the clock is right now: overcom id --request here"), "{checks}");
    device.keep(lasting_a_day(&device, identity.secret(), now - 30 * day)).expect("it is kept");
    let late = home.run(["names", LISTEN[0], LISTEN[1]]);
    assert_eq!(late.status.code(), Some(1));
    assert!(stderr(&late).contains("has ended") && stderr(&late).contains("overcom id --request"), "{}", stderr(&late));
}

fn lasting_a_day(
    device: &overcom_std::keys::DeviceFile,
    identity: &overcom_core::IdentitySecret,
    from: overcom_core::WallTime,
) -> overcom_core::Delegation {
    let app = overcom_core::AppId::new("overcom").expect("an app");
    let grant = device.keys().grant(app, from, from + std::time::Duration::from_secs(24 * 3600));
    overcom_core::Delegation::sign(identity, &grant).expect("it is signed")
}

#[test]
fn the_doctor_looks_at_everything_and_its_exit_code_says_whether_a_check_failed() {
    let home = Home::new("doctor");
    let fresh = home.told(&["doctor", LISTEN[0], LISTEN[1]]);
    assert!(fresh.contains("there is no identity yet") && !fresh.contains("elsewhere"), "{fresh}");
    let healthy = home.told(&["doctor", LISTEN[0], LISTEN[1]]);
    for part in ["disk", "keys", "node", "clock", "delegation", "port", "UDP loopback", "IPv4", "IPv6", "entry nodes", "network"] {
        assert!(healthy.contains(part), "{part} is missing in {healthy}");
    }
    assert!(
        healthy.contains("ok    keys") && healthy.contains("which only this machine reaches") && !healthy.contains("FAIL"),
        "{healthy}"
    );
    let checks = crate::cli::json(&home.told(&["doctor", "--json", LISTEN[0], LISTEN[1]]));
    assert_eq!(checks["checks"].as_array().map(Vec::len), Some(11));
    std::fs::write(home.0.join("overcom").join("store.redb"), "this is no store").expect("there is room");
    let ill = home.run(["doctor", LISTEN[0], LISTEN[1]]);
    assert_eq!(ill.status.code(), Some(1));
    assert!(stdout(&ill).contains("FAIL  node") && stdout(&ill).contains("put a copy back"), "{}", stdout(&ill));
    assert!(stderr(&ill).contains("2 of 11 checks failed"), "{}", stderr(&ill));
}

#[test]
fn a_recording_replays_and_a_redacted_one_and_a_report_hold_no_secret() {
    let (home, other) = (Home::new("record"), Home::new("record-other"));
    std::fs::create_dir_all(&home.0).expect("there is room");
    let path = |name: &str| home.0.join(name).to_str().expect("text").to_owned();
    let (whole, redacted, report) = (path("whole"), path("redacted"), path("report"));
    for arguments in [vec!["--record", &whole], vec!["--record", &redacted, "--redact"]] {
        let (mut talk, mut other) = (Talk::start_with(&home, &arguments), Talk::start(&other));
        talk.meet(&other, "ann");
        talk.ok("send", json!({ "to": "ann", "type": "note", "payload": "a word between us" }));
        other.notice("message");
        talk.notice("delivered");
        let (_, status, _) = talk.end();
        assert_eq!(status.code(), Some(0));
    }
    let read = |path: &str| std::fs::read_to_string(path).expect("it was written");
    use overcom_core::trace::{Builds, Ends, replay};
    let replays = replay(&read(&whole), Builds::Same).expect("it replays");
    assert!(replays.len() == 1 && replays[0].ends == Ends::Whole && replays[0].actions > 0, "{replays:?}");
    assert!(replay(&read(&redacted), Builds::Same).is_err(), "it is no recording any more");
    home.told(&["report", &report, "--trace", &whole, LISTEN[0], LISTEN[1]]);
    let device = crate::cli::json(&read(home.0.join("overcom").join("device.json").to_str().expect("text")));
    let secret = device["secret"].as_str().expect("a secret");
    assert!(read(&whole).contains("a word between us"), "so that its absence elsewhere means something");
    for text in [read(&redacted), read(&report)] {
        assert!(text.lines().count() > 20, "{text}");
        for gone in [secret, "a word between us", "\"seed\":\"A"] {
            assert!(!text.contains(gone), "{gone}");
        }
        assert!(text.contains("redacted_trace") && text.contains("pipe_bytes") && !text.contains("overcom_trace\""));
    }
    let text = read(&report);
    for part in ["== versions", "== doctor", "== status", "== outbox", "ok    keys"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn one_pasted_line_brings_two_people_together_and_a_wrong_used_or_old_one_is_told_with_the_way_out() {
    let (ann, bob, eve) = (Home::new("invite-ann"), Home::new("invite-bob"), Home::new("invite-eve"));
    let verb = |home: &Home, arguments: &[&str]| home.run(arguments.iter().copied().chain(LISTEN));
    let mut talk = Talk::start(&ann);
    let invited = verb(&ann, &["invite"]);
    assert!(invited.status.success() && stderr(&invited).contains("one person may use this line until"), "{}", stderr(&invited));
    let line = stdout(&invited).trim().to_owned();
    assert!(line.starts_with("oci1") && !line.contains(char::is_whitespace), "{line}");

    // A character that is not in the alphabet's place: which one, is told.
    let typo: String = line
        .char_indices()
        .map(|(at, c)| {
            if at != 20 {
                c
            } else if c == 'q' {
                'p'
            } else {
                'q'
            }
        })
        .collect();
    for (wrong, part) in
        [(typo.as_str(), "character 21 is wrong"), (&line[..line.len() - 7], "copy the whole line"), ("oc1nonsense", "begins with oci1")]
    {
        let refused = verb(&bob, &["join", wrong]);
        assert_eq!((refused.status.code(), stderr(&refused).contains(part)), (Some(2), true), "{}", stderr(&refused));
    }
    let own = verb(&ann, &["join", &line]);
    assert_eq!((own.status.code(), stderr(&own).contains("one's own")), (Some(2), true), "{}", stderr(&own));

    // Mails break lines: two halves are as good as one.
    let (first, second) = line.split_at(30);
    let joined = verb(&bob, &["join", first, second, "--as", "ann"]);
    assert!(joined.status.success() && stdout(&joined).starts_with("connected with ann in "), "{}", stderr(&joined));
    let sent = verb(&bob, &["send", "ann", "note", "{\"milk\":2}"]);
    assert!(sent.status.success() && stdout(&sent).starts_with("delivered in "), "{}", stderr(&sent));
    let by = talk.notice("joined_by");
    assert_eq!(talk.notice("message")["from"], by["user"]);
    assert!(stdout(&verb(&ann, &["names"])).contains(&format!("(no name)        {}", by["user"].as_str().expect("a user"))));

    let used = verb(&eve, &["join", &line]);
    assert_eq!(
        (used.status.code(), stderr(&used).contains("somebody else has used this invitation; ask for another one")),
        (Some(1), true),
        "{}",
        stderr(&used)
    );
    let tag = talk.ok("invite", json!({ "life_s": 1 }))["tag"].clone();
    let short = loop {
        let notice = talk.notice("invited");
        if notice["tag"] == tag {
            break notice["line"].as_str().expect("a line").to_owned();
        }
    };
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let ended = verb(&eve, &["join", &short]);
    assert_eq!(ended.status.code(), Some(2), "as every line that cannot be used: {}", stderr(&ended));
    for part in
        ["the invitation's time ended 20", ", and it is 20", " by this machine; set the clock if it is wrong, else ask for another one"]
    {
        assert!(stderr(&ended).contains(part), "{part}: {}", stderr(&ended));
    }
    assert_eq!((stdout(&ended).as_str(), stderr(&ended).lines().count()), ("", 1));
}

#[test]
fn a_message_to_oneself_alone_is_refused_and_one_to_another_device_of_one_s_own_is_kept() {
    let home = Home::new("oneself");
    let own = crate::cli::json(&home.told(&["id", "--json"]))["user"].as_str().expect("a user").to_owned();
    let verb = |arguments: &[&str]| home.run(arguments.iter().copied().chain(LISTEN));
    let refused = verb(&["send", &own, "note", "1"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("is yourself, and no other device of yours is known"), "{}", stderr(&refused));
    assert!(verb(&["names", "add", "me", &own, "--at", "127.0.0.1:1"]).status.success());
    assert!(verb(&["send", "me", "note", "1", "--no-wait"]).status.success());
}
