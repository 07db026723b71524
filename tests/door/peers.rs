//! By whom one enters, who is forgotten, and which device is lost.

use serde_json::json;

use super::{LISTEN, Talk};
use crate::cli::{Home, stderr, stdout};

#[test]
fn an_entry_peer_that_refuses_is_told_apart_from_none_and_a_bare_enter_forgets_nothing() {
    let home = Home::new("entries");
    let told = |arguments: &[&str]| home.told(&[arguments, &LISTEN[..]].concat());
    home.told(&["id"]);
    assert!(told(&["enter"]).contains("none is named: overcom enter HOST:PORT names one"));
    for (wrong, why) in
        [("224.0.0.1:5", "multicast"), ("0.0.0.0:5", "where one listens"), ("255.255.255.255:5", "broadcast"), ("192.0.2.1:0", "port 0")]
    {
        let refused = home.run(["enter", wrong].into_iter().chain(LISTEN));
        assert!(refused.status.code() == Some(2) && stderr(&refused).contains(why), "{wrong}: {}", stderr(&refused));
    }
    assert!(told(&["doctor"]).contains("none is named\n"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("bound").to_string();
    told(&["enter", &closed]);
    let ill = told(&["doctor"]);
    for part in [&format!("none is linked; {closed}: nobody listens there"), "; or name another one: overcom enter HOST:PORT"] {
        assert!(ill.contains(part), "{part} is missing in {ill}");
    }
    let peer = Home::new("entries-peer");
    let peer = Talk::start(&peer);
    told(&["enter", peer.address(), &closed]);
    assert!(told(&["doctor"]).contains("entry nodes  1 of 2 linked\n"));
    let listed = told(&["enter"]);
    assert!(listed.lines().count() == 2 && listed.contains(&closed), "{listed}");
    told(&["enter", "--none"]);
    assert!(told(&["enter"]).contains("none is named"));
    assert_eq!(home.run(["enter", "--none", &closed]).status.code(), Some(2));
}

#[test]
fn who_is_forgotten_is_gone_with_all_their_names_and_with_what_waits_for_them() {
    let home = Home::new("forget");
    let mut talk = Talk::start(&home);
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let other = overcom_core::UserId::from_bytes([8; 32]).to_string();
    talk.ok("introduce", json!({ "user": nobody, "addresses": ["127.0.0.1:9"], "name": "ann" }));
    talk.ok("name", json!({ "name": "anna", "user": nobody }));
    talk.ok("name", json!({ "name": "bob", "user": other }));
    talk.ok("send", json!({ "to": "ann", "type": "note" }));
    assert_eq!(home.told(&["forget", "anna"]), "");
    assert_eq!(talk.ok("names", json!({})), json!({ "names": { "bob": other }, "unnamed": [] }));
    assert_eq!(talk.ok("outbox", json!({}))["count"], 0);
    home.told(&["forget", &other]);
    assert_eq!(talk.ok("names", json!({}))["names"], json!({}));
    let unknown = home.run(["forget", "anna"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("overcom names lists whom you know"), "{}", stderr(&unknown));
}

#[test]
fn what_a_lost_device_was_given_is_taken_back_and_the_one_here_goes_on() {
    // One identity on two devices: the second one is lost.
    let (home, lost) = (Home::new("revoke"), Home::new("revoke-lost"));
    home.told(&["id"]);
    let request = lost.told(&["id", "--request"]);
    let signed = home.run_with(["delegate", "--request", "-"], &request);
    assert!(lost.run_with(["delegate", "--install", "-"], &stdout(&signed)).status.success());
    let device = crate::cli::json(&lost.told(&["id", "--json"]))["device"].as_str().expect("a device").to_owned();
    let own = crate::cli::json(&home.told(&["id", "--json"]))["device"].as_str().expect("a device").to_owned();
    let carol = Home::new("revoke-carol");
    let (mut here, mut there, carol) = (Talk::start(&home), Talk::start(&lost), Talk::start(&carol));
    there.meet(&carol, "carol");
    there.ok("find", json!({ "user": "carol" }));
    there.notice("found");
    let told = home.told(&["revoke", "--", &device]);
    assert!(told.contains("whoever links with this node hears of it"), "{told}");
    // Carol hears of it as the first device links with her, and lets the lost one go.
    here.meet(&carol, "carol");
    here.ok("find", json!({ "user": "carol" }));
    here.notice("found");
    there.notice("revoked");
    assert_eq!(here.ok("status", json!({}))["phase"], "running");
    for (arguments, way_out) in [
        (vec!["revoke", "--", &own], "say --all, which signs it anew"),
        (vec!["revoke", "--all", "--before", "2999-01-01"], "name a date before now"),
        (vec!["revoke", "--all", "--before", "2026-02-30"], "write it as 2027-01-15"),
    ] {
        let refused = home.run(&arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(way_out), "{arguments:?}: {}", stderr(&refused));
    }
    // All of them: the one here was signed for anew before, and speaks on.
    home.told(&["revoke", "--all"]);
    here.notice("renewed");
    assert_eq!(here.ok("status", json!({}))["phase"], "running");
    home.told(&["delegate"]);
    assert_eq!(here.ok("status", json!({}))["phase"], "running");
    let nobody = Home::new("revoke-nobody").run(["revoke", "--all"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains("overcom id makes one"), "{}", stderr(&nobody));
}
