//! The network that finds people: three folders, one of them the entry of the others.

use serde_json::json;

use super::schema::Schema;
use super::{LISTEN, PATIENCE, Talk};
use crate::cli::{Home, json, stderr, stdout};

/// Asks again until it is so, or nobody waits any longer.
fn in_time(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = overcom_std::Clock::start();
    while !is_so() {
        assert!(begun.now().since(overcom_core::Time::ZERO) < 3 * PATIENCE, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
fn somebody_is_found_by_id_alone_through_one_entry_and_a_message_arrives() {
    let [entry, ann, bob] = ["entry", "ann", "bob"].map(|name| Home::new(&format!("network-{name}")));
    let (entries, mut anns, mut bobs) = (Talk::start(&entry), Talk::start(&ann), Talk::start(&bob));
    let verb = |home: &Home, arguments: &[&str]| home.run(arguments.iter().copied().chain(LISTEN));
    for talk in [&mut anns, &mut bobs] {
        talk.ok("enter", json!({ "entries": [entries.address()] }));
    }
    let user = anns.user().to_owned();
    in_time("ann is published", || anns.notice("published")["record"] == "address");
    // Nobody has introduced them.
    assert_eq!(bobs.ok("names", json!({})), json!({ "names": {}, "unnamed": [] }));
    in_time("ann is found", || verb(&bob, &["find", &user, "--json"]).status.success());
    let found = json(&stdout(&verb(&bob, &["find", &user, "--json"])));
    let device = &found["devices"][0];
    assert_eq!((&device["user"], found["devices"].as_array().map(Vec::len)), (&json!(user), Some(1)), "{found}");
    assert!(device["addresses"].as_array().is_some_and(|all| all.contains(&json!(anns.address()))), "{found}");
    let told = stdout(&verb(&bob, &["find", &user]));
    assert!(told.contains(&user) && told.contains(anns.address()), "{told}");
    let sent = verb(&bob, &["send", &user, "note", "{\"milk\":2}"]);
    assert!(sent.status.success() && stdout(&sent).starts_with("delivered in "), "{}", stderr(&sent));
    assert_eq!(anns.notice("message")["payload"], json!({ "milk": 2 }));

    // How it stands there, by the schema and in words.
    let at_a_glance = json(&stdout(&verb(&bob, &["dht", "--json"])));
    Schema::published().named("ok/dht", &at_a_glance).expect("as it is published");
    let realms = at_a_glance["dht"]["realms"].as_array().expect("a list");
    assert!(realms.iter().any(|realm| realm["reach"] == "loopback" && realm["verified"].as_u64() > Some(0)), "{at_a_glance}");
    let words = stdout(&verb(&bob, &["dht"]));
    assert!(words.contains("this machine: ") && words.contains(" answered, ") && words.contains("serve in all"), "{words}");
    assert!(stdout(&verb(&bob, &["doctor"])).contains("network"));
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let missing = verb(&bob, &["find", &nobody]);
    assert_eq!((missing.status.code(), stdout(&missing).as_str()), (Some(1), ""), "{}", stderr(&missing));
    for talk in [anns, bobs, entries] {
        let (told, status, _) = talk.end();
        assert_eq!(status.code(), Some(0));
        for line in told {
            Schema::published().line(&line).expect("a line that is published");
        }
    }
}

/// Each named with `--at`.
fn at<const N: usize>(addresses: [&'static str; N]) -> Vec<&'static str> {
    addresses.into_iter().flat_map(|at| ["--at", at]).collect()
}

#[test]
fn who_is_told_where_a_device_is_stays_as_it_was_said_over_restarts_and_a_wrong_word_names_the_right_ones() {
    let home = Home::new("network-publish");
    // Each is a process of its own, with a node that ends with it.
    let told = |arguments: &[&str]| home.told(&[arguments, &LISTEN[..]].concat());
    home.told(&["id"]);
    assert!(told(&["publish"]).starts_with("everyone who knows the id will be told where this device is, once it takes part"));
    told(&["publish", "everyone", "--at", "192.0.2.1:7575", "--at", "[2001:db8::1]:7575"]);
    let holds =
        |policy: &str, addresses: &[&str]| json!({ "policy": policy, "addresses": addresses, "told_until_ms": null, "is_leaving": false });
    assert_eq!(json(&told(&["publish", "--json"])), holds("everyone", &["192.0.2.1:7575", "[2001:db8::1]:7575"]));
    assert_eq!(json(&told(&["publish", "contacts", "--json"])), holds("contacts", &[]));
    assert_eq!(told(&["publish", "nobody"]), "", "nobody was told anything");
    assert_eq!(json(&told(&["publish", "--json"])), holds("nobody", &[]));
    assert_eq!(json(&told(&["publish", "nobody", "--json"])), holds("nobody", &[]));
    for words in [told(&["publish"]), told(&["dht"])] {
        assert!(words.contains("nothing of this device is published: overcom publish everyone opens it"), "{words}");
    }
    let wrong = home.run(["publish", "friends"].into_iter().chain(LISTEN));
    let why = stderr(&wrong);
    assert!(wrong.status.code() == Some(2) && ["everyone", "contacts", "nobody"].iter().all(|word| why.contains(word)), "{why}");
    let (four, nine) = (at(["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.1:4"]), at(["192.0.2.1:1"; 9]));
    for (addresses, parts) in [
        (at(["192.0.2.1:1", "224.0.0.1:1"]), ["others cannot dial 224.0.0.1:1: a multicast address", "the machine's own address"]),
        (at(["[fe80::1]:5"]), ["others cannot dial [fe80::1]:5: a link-local address", "name another address"]),
        (at(["0.0.0.0:5"]), ["others cannot dial 0.0.0.0:5: that is where one listens", "the machine's own address"]),
        (at(["127.0.0.1:5"]), ["127.0.0.1:5 means this machine alone", "name an address at which others reach"]),
        (four, ["more than three addresses of one reach", "name the three"]),
        (nine, ["too many addresses", "name at most 8 addresses"]),
    ] {
        let undialled = home.run(["publish", "everyone"].into_iter().chain(addresses).chain(LISTEN));
        assert!(undialled.status.code() == Some(2), "{undialled:?}");
        assert!(parts.iter().all(|part| stderr(&undialled).contains(part)), "{}", stderr(&undialled));
    }
    for (who, why) in [
        ("nobody", "nobody is told anything, so there is nobody to tell an address; leave the addresses out"),
        ("contacts", "contacts are told no address by the network, so there is nobody to tell this one; leave the addresses out"),
    ] {
        let refused = home.run(["publish", who, "--at", "192.0.2.1:1"].into_iter().chain(LISTEN));
        assert!(refused.status.code() == Some(2) && stderr(&refused).contains(why), "{refused:?}");
    }
    assert_eq!(json(&told(&["publish", "--json"])), holds("nobody", &[]), "what was refused changes nothing");
}

#[test]
fn who_is_told_no_more_is_asked_to_forget_by_a_node_that_runs_and_else_it_is_said_until_when_they_may_know() {
    let [entry, ann, bob] = ["entry", "ann", "bob"].map(|name| Home::new(&format!("network-forget-{name}")));
    let (entries, mut anns, mut bobs) = (Talk::start(&entry), Talk::start(&ann), Talk::start(&bob));
    let verb = |home: &Home, arguments: &[&str]| stdout(&home.run(arguments.iter().copied().chain(LISTEN)));
    for talk in [&mut anns, &mut bobs] {
        talk.ok("enter", json!({ "entries": [entries.address()] }));
        in_time("it is published", || talk.notice("published")["record"] == "address");
    }
    let until = |home: &Home| json(&verb(home, &["publish", "--json"]))["told_until_ms"].as_u64();
    in_time("both were told", || until(&ann).is_some() && until(&bob).is_some());
    assert!(!verb(&ann, &["publish"]).contains("until"), "everyone is to know it");
    // A node runs.
    let said = verb(&ann, &["publish", "nobody"]);
    assert!(said.starts_with("who was told where it is is being asked to forget it; ") && said.ends_with(" UTC\n"), "{said}");
    let said = verb(&ann, &["publish"]);
    assert!(said.starts_with("for a minute others are told that this device is nowhere, then nothing"), "{said}");
    Schema::published().named("ok/dht", &json(&verb(&ann, &["dht", "--json"]))).expect("as it is published");
    in_time("they have forgotten it", || until(&ann).is_none());
    // None runs, and the one that does it ends at once.
    let (_, status, _) = bobs.end();
    assert_eq!(status.code(), Some(0));
    let said = verb(&bob, &["publish", "nobody"]);
    assert!(
        said.starts_with("who was told where it is was not asked to forget it, and may say it until ") && said.ends_with(" UTC\n"),
        "{said}"
    );
    let program = json(&verb(&bob, &["publish", "nobody", "--json"]));
    assert_eq!((&program["policy"], &program["is_leaving"]), (&json!("nobody"), &json!(false)));
    let hours = overcom_std::Clock::start().wall();
    let left = program["told_until_ms"].as_u64().expect("it is known") - hours.as_millis();
    assert!((1..=7_200_000).contains(&left), "{left}");
    assert!(verb(&bob, &["publish"]).contains("\n  who was told where it is was not asked"));
    drop((anns, entries));
}

#[test]
fn who_takes_no_part_in_the_network_is_told_how_to() {
    let home = Home::new("network-alone");
    home.told(&["id"]);
    let verb = |arguments: &[&str]| home.run(arguments.iter().copied().chain(LISTEN));
    let words = stdout(&verb(&["dht"]));
    assert!(words.contains("no part in the network yet") && words.contains("overcom enter HOST:PORT"), "{words}");
    assert!(words.contains("is its first and names nobody; others enter by this node's HOST:PORT"), "{words}");
    assert!(words.contains("will be told where this device is, once it takes part in the network"), "{words}");
    Schema::published().named("ok/dht", &json(&stdout(&verb(&["dht", "--json"])))).expect("as it is published");
    let nobody = overcom_core::UserId::from_bytes([7; 32]).to_string();
    let alone = verb(&["find", &nobody, "--wait", "0"]);
    assert_eq!(alone.status.code(), Some(1), "{}", stderr(&alone));
    assert!(stderr(&alone).contains("no entry peer is named; overcom enter HOST:PORT names"), "{}", stderr(&alone));
    // A node that stays says where others enter.
    let node = Talk::start(&home);
    let words = home.told(&["dht"]);
    assert!(words.contains(&format!("other nodes reach this one at {}", node.address())), "{words}");
}
