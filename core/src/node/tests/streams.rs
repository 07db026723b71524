//! Messages over several lives of their sender, to several devices, and to the end of their own lives.

use super::*;

/// Another device of the user `name`.
fn second_device(name: &str) -> Credentials {
    let mut rng = Rng::from_seed(&Seed::from_bytes([7; 32])).fork(name, 0);
    let identity = IdentitySecret::from_bytes(rng.array());
    let keys = DeviceKeys::draw(&mut rng.fork("second", 0));
    let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + Duration::from_secs(7 * 24 * 3600));
    keys.credentials(Delegation::sign(&identity, &grant).unwrap())
}

fn device(net: &Net, at: usize) -> DeviceId {
    net.seats[at].driver.node().me().device
}

fn keys_of(net: &Net, at: usize, prefix: u8) -> usize {
    net.seats[at].store.keys().filter(|key| key.first() == Some(&prefix)).count()
}

fn firsts(net: &Net, tag: Tag) -> usize {
    net.seats[0].table.notices.iter().filter(|notice| **notice == Notice::Delivered { tag, device: None }).count()
}

/// Takes what waits for the application of node `at`.
fn take(net: &mut Net, at: usize, from: usize) {
    net.seats[at].takes = true;
    let (now, count) = (net.now, net.seats[at].table.notices.len() - from);
    net.seats[at].driver.handle(now, Event::taken(count as u64, &[]));
    net.run();
}

fn send_for(net: &mut Net, seconds: u64, keep: Keep) -> Tag {
    let (user, message) = (net.user(1), Message::new("bla", "short").unwrap());
    net.command(0, Send::new(user, message).keep(keep).life(Duration::from_secs(seconds))).unwrap()
}

// spec-test: MSG-12, MSG-11
#[test]
fn delivered_is_told_without_a_device_once_though_the_sender_restarts_between_the_devices() {
    for restarted_before in [false, true] {
        let mut net = Net::new(&["bob", "alice"]);
        net.add("alice 2", second_device("alice"), BTreeMap::new(), 0);
        net.run();
        for at in [1, 2] {
            net.introduce(at, 0);
            net.send(at, 0, "here I am", Keep::Memory);
            net.pass(Duration::from_secs(1));
        }
        let (one, two) = (device(&net, 1), device(&net, 2));
        net.seats[2].at = "10.9.9.9:1".parse().unwrap();
        net.cut_all(2);
        if restarted_before {
            net.cut_all(1);
        }
        let tag = net.send(0, 1, "to both", Keep::Disk);
        net.pass(Duration::from_secs(1));
        let already = usize::from(!restarted_before);
        assert_eq!((firsts(&net, tag), keys_of(&net, 0, b'o'), keys_of(&net, 0, b's')), (already, 2 - already, already));
        net.restart(0, "bob", 1);
        net.pass(Duration::from_secs(1));
        for at in [1, 2] {
            net.send(at, 0, "here again", Keep::Memory);
            net.pass(Duration::from_secs(20));
        }
        assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: Some(two) }), "{:#?}", net.seats[0].table.notices);
        assert_eq!(net.has(0, |n| *n == Notice::Delivered { tag, device: Some(one) }), restarted_before);
        assert_eq!(firsts(&net, tag), 1 - already);
        assert_eq!((net.got(1), net.got(2)), (vec!["\"to both\"".to_string()], vec!["\"to both\"".to_string()]));
        assert_eq!((keys_of(&net, 0, b'o'), keys_of(&net, 0, b's')), (0, 0));
    }
}

// spec-test: LINK-27, LINK-21, MSG-6
#[test]
fn messages_of_more_lives_than_a_reader_remembers_streams_all_come_once_and_in_order() {
    let mut net = Net::new(&["bob", "alice"]);
    let mut tags = Vec::new();
    for life in 1..=7 {
        tags.push(net.send(0, 1, &format!("{life} a"), Keep::Disk));
        tags.push(net.send(0, 1, &format!("{life} b"), Keep::Disk));
        // Numbers are given when the device is known: after the first life it is.
        net.run();
        if life == 1 {
            net.introduce(0, 1);
            net.pass(Duration::from_secs(1));
            net.cut_all(0);
            net.seats[1].at = "10.9.9.9:1".parse().unwrap();
        }
        net.restart(0, "bob", life);
        net.run();
    }
    net.seats[1].at = "10.0.0.2:7575".parse().unwrap();
    let taken = net.seats[1].table.notices.len();
    net.seats[1].takes = false;
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1).len(), 2 + 8, "four streams at once");
    net.cut_all(0);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1).len(), 2 + 8, "nothing comes twice on another link");
    take(&mut net, 1, taken);
    net.pass(Duration::from_secs(5));
    let expected: Vec<String> = (1..=7).flat_map(|life| [format!("\"{life} a\""), format!("\"{life} b\"")]).collect();
    assert_eq!(net.got(1), expected);
    for tag in tags.split_off(2) {
        assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    }
    assert_eq!(net.seats[0].driver.node().outbox().count(), 0);
}

#[test]
fn an_acknowledgement_of_a_later_stream_does_not_wait_for_the_store_of_an_earlier_one() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.seats[1].hold_stores = true;
    let stored = net.send(0, 1, "stored", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.restart(0, "bob", 1);
    net.run();
    let light = net.send(0, 1, "light", Keep::Memory);
    net.pass(Duration::from_secs(5));
    let delivered = |net: &Net, tag| net.has(0, |n| *n == Notice::Delivered { tag, device: None });
    assert!(delivered(&net, light) && !delivered(&net, stored), "{:#?}", net.seats[0].table.notices);
    net.seats[1].hold_stores = false;
    net.pass(Duration::from_secs(5));
    assert!(delivered(&net, stored));
    assert_eq!(net.got(1), ["\"hello\"", "\"stored\"", "\"light\""]);
}

// spec-test: MSG-7
#[test]
fn an_acknowledgement_of_a_light_message_waits_for_the_store_of_a_stored_one_before_it() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Disk);
    net.pass(Duration::from_secs(1));
    net.seats[1].hold_stores = true;
    let tags = [net.send(0, 1, "stored", Keep::Disk), net.send(0, 1, "light", Keep::Memory)];
    net.pass(Duration::from_secs(2));
    assert_eq!(net.got(1).len(), 3, "both are taken");
    let delivered = |net: &Net| tags.map(|tag| net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    assert_eq!(delivered(&net), [false, false], "the one number would answer for the other");
    net.seats[1].hold_stores = false;
    net.pass(Duration::from_secs(1));
    assert_eq!(delivered(&net), [true, true]);
}

// spec-test: LINK-27
#[test]
fn a_stream_s_messages_leave_in_the_order_of_their_numbers_whatever_their_tags_are() {
    let mut net = Net::new(&["bob", "alice"]);
    let alice = net.seats[1].driver.node().me();
    let mut store = net.seats[0].store.clone();
    for (tag, number, text) in [(1_u64, 3, "c"), (2, 1, "a"), (3, 2, "b")] {
        let mut key = vec![b'o'];
        key.extend_from_slice(&tag.to_be_bytes());
        key.extend_from_slice(alice.device.as_bytes());
        let value = serde_json::json!({
            "to": alice.user, "device": alice.device, "position": ["AgICAgICAgICAgICAgICAg", number],
            "until": WALL + Duration::from_secs(3_600), "message": format!("{{\"type\":\"bla\",\"payload\":\"{text}\"}}"),
        });
        store.insert(key, serde_json::to_vec(&value).unwrap());
    }
    net.seats[0].store = store;
    net.restart(0, "bob", 1);
    net.run();
    net.introduce(0, 1);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1), ["\"a\"", "\"b\"", "\"c\""]);
    assert_eq!((net.seats[0].driver.node().outbox().count(), keys_of(&net, 0, b'o')), (0, 0));
}

// spec-test: MSG-14
#[test]
fn a_message_that_nobody_acknowledges_fails_when_its_life_is_over_and_not_before() {
    for (linked, why) in [(true, FailReason::Unanswered), (false, FailReason::Ended)] {
        let mut net = Net::new(&["bob", "alice"]);
        if linked {
            net.introduce(0, 1);
            net.send(0, 1, "hello", Keep::Memory);
            net.pass(Duration::from_secs(1));
        }
        let taken = net.seats[1].table.notices.len();
        net.seats[1].takes = false;
        let tag = send_for(&mut net, 30, Keep::Disk);
        net.pass(Duration::from_millis(29_999));
        assert!(!net.has(0, |n| matches!(n, Notice::Failed { .. })), "{:#?}", net.seats[0].table.notices);
        net.pass(Duration::from_millis(1));
        assert!(net.has(0, |n| *n == Notice::Failed { tag, why }));
        net.run();
        assert_eq!((net.seats[0].driver.node().outbox().count(), keys_of(&net, 0, b'o')), (0, 0));
        // An acknowledgement that comes later names what is gone, and harms nothing.
        take(&mut net, 1, taken);
        net.pass(Duration::from_secs(1));
        assert_eq!(net.seats[0].driver.node().links().count(), usize::from(linked));
        assert!(!net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    }
}

// spec-test: MSG-14, MSG-9
#[test]
fn what_was_given_up_under_way_counts_in_the_window_until_it_is_acknowledged() {
    let mut net = Net::new(&["bob"]);
    net.config = Config::test().window_messages(16);
    net.add("alice", credentials("alice", "test"), BTreeMap::new(), 0);
    net.introduce(0, 1);
    net.send(0, 1, "hello", Keep::Memory);
    net.pass(Duration::from_secs(1));
    let taken = net.seats[1].table.notices.len();
    net.seats[1].takes = false;
    for _ in 0..16 {
        send_for(&mut net, 5, Keep::Memory);
    }
    net.pass(Duration::from_secs(5));
    assert_eq!(net.seats[0].driver.node().stats().messages_failed, 16);
    let later: Vec<Tag> = (0..5).map(|n| net.send(0, 1, &n.to_string(), Keep::Memory)).collect();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1).len(), 17, "the reader's window is full");
    take(&mut net, 1, taken);
    net.pass(Duration::from_secs(5));
    for tag in later {
        assert!(net.has(0, |n| *n == Notice::Delivered { tag, device: None }));
    }
    assert!(!net.has(0, |n| matches!(n, Notice::LinkDown { .. })));
}

// spec-test: STORE-6, MSG-5
#[test]
fn a_disk_that_fills_up_loses_nothing_that_was_promised() {
    let mut net = Net::new(&["bob", "alice"]);
    let promised = net.send(0, 1, "promised", Keep::Disk);
    net.run();
    net.seats[0].fail_store = true;
    let refused = net.send(0, 1, "no room", Keep::Disk);
    net.pass(Duration::from_secs(1));
    assert!(net.has(0, |n| *n == Notice::Queued { tag: promised }) && !net.has(0, |n| *n == Notice::Queued { tag: refused }));
    assert!(net.has(0, |n| *n == Notice::Stopped { why: StoreError::Full }));
    // Somebody makes room and starts it again.
    net.restart(0, "bob", 1);
    net.run();
    net.introduce(0, 1);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.got(1), ["\"promised\""]);
    assert!(net.has(0, |n| *n == Notice::Delivered { tag: promised, device: None }));
}

// spec-test: MSG-14
#[test]
fn a_wall_clock_that_jumps_past_the_end_of_a_message_ends_it_and_a_restart_forgets_no_end() {
    let mut net = Net::new(&["bob", "alice"]);
    let (tag, now) = (send_for(&mut net, 3_600, Keep::Disk), net.now);
    net.seats[0].driver.handle(now, Event::clock(WALL + Duration::from_secs(7_200)));
    net.run();
    assert!(net.has(0, |n| *n == Notice::Failed { tag, why: FailReason::Ended }));
    let tag = send_for(&mut net, 7_300, Keep::Disk);
    net.run();
    net.restart(0, "bob", 1);
    net.pass(Duration::from_secs(14_600));
    assert!(net.has(0, |n| *n == Notice::Failed { tag, why: FailReason::Ended }), "{:#?}", net.seats[0].table.notices);
}
