//! What a node stores, when, in which batches, and what it makes of a store that is not as it left it.

use super::contract::{drain, lone, socket, someone};
use super::*;

// spec-test: STORE-8, NODE-17
#[test]
fn saved_items_are_never_dropped_the_next_page_waits_until_notices_are_taken() {
    const PAGES: u8 = 200;
    let mut node = Node::new(Config::embedded(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
    let (mut saved, mut untaken, mut most) = (Vec::new(), 0_u64, 0);
    loop {
        let actions = drain(&mut node);
        if actions.is_empty() {
            // Nothing is asked for until the application has taken something.
            assert!(untaken > 0 && node.deadline().is_none());
            most = most.max(untaken);
            node.handle(Time::ZERO, Event::taken(1, &[]));
            untaken -= 1;
            continue;
        }
        for action in actions {
            if let Action::Load { op, from, .. } = action {
                let n = from.get(1).map_or(0, |last| last + 1);
                let items = [Item { key: vec![b'a', n], value: vec![n] }];
                node.handle(Time::ZERO, Event::loaded(op, Ok(Page { items: &items, more: n + 1 < PAGES })));
            } else if let Action::Notify { notice: Notice::Restored { items, .. } } = action {
                saved.extend(items.into_iter().map(|item| item.value[0]));
                untaken += 1;
            } else if let Action::Store { op, .. } = action {
                node.handle(Time::ZERO, Event::stored(op, Ok(())));
            } else {
                assert!(matches!(action, Action::Notify { notice: Notice::Started { .. } }), "{action:?}");
                assert_eq!((saved, node.stats().notices_dropped), ((0..PAGES).collect(), 0));
                assert!(most <= 64, "{most}");
                return;
            }
        }
    }
}

// spec-test: STORE-1
#[test]
fn until_the_state_is_read_commands_and_pipes_are_refused() {
    let mut node = Node::new(Config::test(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
    assert_eq!(node.command(Time::ZERO, Command::find(someone(1))), Err(CommandError::Starting));
    node.handle(Time::ZERO, Event::pipe_opened(PipeId::new(1), None, socket("10.0.0.1:7575"), socket("10.0.0.2:50000")));
    let actions = drain(&mut node);
    assert!(matches!(actions[..], [Action::Load { .. }, Action::Close { .. }]), "{actions:?}");
}

// spec-test: STORE-1
#[test]
fn a_store_whose_pages_go_back_or_repeat_stops_the_node_and_is_not_read_for_ever() {
    let item = |key: &[u8]| Item { key: key.to_vec(), value: b"1".to_vec() };
    for (second, is_right) in [(&[b"ab", b"ac"][..], true), (&[b"aa"], false), (&[b"ac", b"ac"], false), (&[b"ad", b"ac"], false)] {
        let mut node = Node::new(Config::test(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
        node.handle(Time::ZERO, Event::loaded(OpId::new(1), Ok(Page { items: &[item(b"aa")], more: true })));
        let op = drain(&mut node)
            .into_iter()
            .find_map(|action| if let Action::Load { op, from, .. } = action { (from == b"aa\0").then_some(op) } else { None });
        let items: Vec<Item> = second.iter().map(|key| item(&key[..])).collect();
        node.handle(Time::ZERO, Event::loaded(op.unwrap(), Ok(Page { items: &items, more: true })));
        let actions = drain(&mut node);
        let stopped = actions.contains(&Action::Notify { notice: Notice::Stopped { why: StoreError::Failed } });
        let goes_on = actions.iter().any(|action| matches!(action, Action::Load { .. }));
        assert_eq!((goes_on, stopped), (is_right, !is_right), "{second:?} {actions:?}");
    }
}

// spec-test: STORE-2, STORE-3
#[test]
fn a_newer_store_and_a_damaged_one_stop_the_node_and_are_not_written() {
    for (key, value, why) in [
        (&b"v"[..], &b"2"[..], StoreError::Newer),
        (b"z", b"", StoreError::Newer),
        (b"c", b"short", StoreError::Corrupt),
        (b"dxyz", b"{}", StoreError::Corrupt),
    ] {
        let mut node = Node::new(Config::test(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
        let items = [Item { key: key.to_vec(), value: value.to_vec() }];
        node.handle(Time::ZERO, Event::loaded(OpId::new(1), Ok(Page { items: &items, more: false })));
        let actions = drain(&mut node);
        assert!(actions.contains(&Action::Notify { notice: Notice::Stopped { why } }), "{key:?} {actions:?}");
        assert!(!actions.iter().any(|action| matches!(action, Action::Store { .. })));
        assert_eq!(node.command(Time::ZERO, Command::Suspend), Err(CommandError::Stopped));
    }
}

/// Whether a value under this key is what the table of the specification says.
fn is_of_the_table(key: &[u8], value: &[u8]) -> bool {
    let json = || serde_json::from_slice::<serde_json::Value>(value).unwrap();
    let has = |names: &[&str]| {
        let value = json();
        let found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        found.len() == names.len() && names.iter().all(|name| found.contains(name))
    };
    let delegation = || Delegation::from_json(value).unwrap();
    let rest = &key[1..];
    match key[0] {
        b'a' => (rest, value) == (&b"list"[..], &b"saved"[..]),
        b'b' => rest.len() == 32 && json().as_array().unwrap().iter().all(|text| text.as_str().unwrap().parse::<Address>().is_ok()),
        b'c' => rest.is_empty() && value == 1_u64.to_be_bytes(),
        b'd' => rest == [&delegation().user().as_bytes()[..], delegation().device().as_bytes()].concat(),
        b'e' => rest.is_empty() && json().as_array().unwrap().len() == 1,
        b'g' => rest.is_empty() && delegation().user() == credentials("bob", "test").delegation().user(),
        b'i' => rest.len() == 8 && (has(&["secret", "until"]) || has(&["secret", "until", "used_by", "told"])),
        b'j' => rest.len() == 8 && has(&["tags", "invitation"]) && json()["invitation"].as_str().unwrap().starts_with("oci1"),
        b'm' => rest.len() == 64 && value == 1_u64.to_be_bytes(),
        b'n' => rest.is_empty() && value.len() == 32,
        b'o' if rest.len() == 8 => has(&["to", "position", "until", "message"]) && json()["position"].as_array().unwrap().len() == 2,
        b'o' => rest.len() == 8 + 16 && has(&["to", "device", "position", "until", "message"]),
        b'r' => rest == Revocation::from_json(value).unwrap().user().as_bytes(),
        b's' => rest.len() == 8 && value.is_empty(),
        b'v' => rest.is_empty() && value == b"1",
        _ => false,
    }
}

// spec-test: STORE-2
#[test]
fn a_node_that_has_lived_through_everything_stores_what_the_table_says_and_nothing_else() {
    let mut net = Net::new(&["bob", "alice", "eve"]);
    let (hour, now) = (Duration::from_secs(3_600), net.now);
    let identity = IdentitySecret::from_bytes(Rng::from_seed(&Seed::from_bytes([7; 32])).fork("bob", 0).array());
    let own = credentials("bob", "test").delegation().clone();
    // Two devices of alice, of which one is gone when both are written to; she writes too, and eve uses an invitation.
    let second = {
        let identity = IdentitySecret::from_bytes(Rng::from_seed(&Seed::from_bytes([7; 32])).fork("alice", 0).array());
        let keys = DeviceKeys::draw(&mut Rng::from_seed(&Seed::from_bytes([8; 32])));
        let grant = keys.grant(AppId::new("test").unwrap(), WALL, WALL + hour);
        keys.credentials(Delegation::sign(&identity, &grant).unwrap())
    };
    net.add("alice 2", second, BTreeMap::new(), 0);
    net.run();
    for at in [1, 3] {
        net.introduce(at, 0);
        net.send(at, 0, "here I am", Keep::Disk);
        net.pass(Duration::from_secs(1));
    }
    net.seats[3].at = socket("10.9.9.9:1");
    net.cut_all(3);
    net.send(0, 1, "to both", Keep::Disk);
    let life = |seconds: u64| Command::invite(Duration::from_secs(seconds), []);
    net.command(0, life(60)).unwrap();
    net.command(0, life(3_600)).unwrap();
    net.run();
    let made = |notice: &Notice| if let Notice::Invited { invitation, .. } = notice { Some(invitation.clone()) } else { None };
    let used = net.seats[0].table.notices.iter().rev().find_map(made).unwrap();
    net.command(2, Command::join(used)).unwrap();
    net.pass(Duration::from_secs(1));
    // Somebody who is not there: a message, and an invitation.
    let nobody = credentials("nobody", "test").delegation().user();
    net.command(0, Send::new(nobody, Message::new("bla", "later").unwrap())).unwrap();
    let secret = InvitationSecret::from_bytes([9; 16]);
    let address = "10.9.9.8:1".parse::<Address>().unwrap();
    let app = AppId::new("test").unwrap();
    let invitation = Invitation::new(app.clone(), nobody, core::slice::from_ref(&address), WALL + hour, secret).unwrap();
    net.command(0, Command::join(invitation)).unwrap();
    net.command(0, Command::enter([Entry { address, key: None }])).unwrap();
    let entry = RevocationEntry { before: WALL - hour, end: WALL + hour };
    let devices = [(RevocationTarget::All, entry)].into_iter().collect();
    net.command(0, Command::revoke(Revocation::sign(&identity, app, 1, devices).unwrap())).unwrap();
    let grant = Grant { until: own.grant().until + hour, ..own.grant().clone() };
    net.command(0, Command::renew(Delegation::sign(&identity, &grant).unwrap())).unwrap();
    net.seats[0].driver.handle(now, Event::taken(0, &[Change { key: b"list".to_vec(), value: Some(b"saved".to_vec()) }]));
    net.pass(Duration::from_secs(1));
    let store = &net.seats[0].store;
    for (key, value) in store {
        assert!(is_of_the_table(key, value), "{:?} {}", key, String::from_utf8_lossy(value));
    }
    let kinds: alloc::collections::BTreeSet<u8> = store.keys().map(|key| key[0]).collect();
    assert_eq!(String::from_utf8(kinds.into_iter().collect()).unwrap(), "abcdegijmnorsv");
    let lengths = |prefix: u8| store.keys().filter(|key| key[0] == prefix).map(Vec::len).collect::<alloc::collections::BTreeSet<_>>();
    assert_eq!((lengths(b'o'), store.keys().filter(|key| key[0] == b'i').count()), ([9, 25].into(), 2));
    // All of it is read again.
    net.restart(0, "bob", 1);
    net.run();
    assert!(net.has(0, |notice| matches!(notice, Notice::Started { .. })));
}

// spec-test: STORE-4, STORE-5, MSG-5
#[test]
fn one_batch_is_under_way_and_what_gathers_meanwhile_is_the_next() {
    let mut node = lone(Config::test());
    let now = Time::from_secs(1);
    let send = |n| Command::send(someone(n), Message::new("bla", "hello").unwrap());
    let stores = |node: &mut Node| {
        let (mut ops, mut queued) = (Vec::new(), Vec::new());
        for action in drain(node) {
            if let Action::Store { op, durable: true, batch } = &action {
                ops.push((*op, batch.changes.len()));
            } else if let Action::Notify { notice: Notice::Queued { tag } } = &action {
                queued.push(*tag);
            } else {
                panic!("{action:?}");
            }
        }
        (ops, queued)
    };
    let mut tags = vec![node.command(now, send(1)).unwrap()];
    node.handle(now, Event::Tick);
    let (first, queued) = stores(&mut node);
    assert_eq!((first.len(), first[0].1, queued.len()), (1, 1, 0));
    tags.extend((2..=3).map(|n| node.command(now, send(n)).unwrap()));
    node.handle(now, Event::Tick);
    assert_eq!(stores(&mut node), (vec![], vec![]));
    node.handle(now, Event::stored(first[0].0, Ok(())));
    let (second, queued) = stores(&mut node);
    assert_eq!((second.len(), second[0].1, queued), (1, 2, vec![tags[0]]));
    node.handle(now, Event::stored(second[0].0, Ok(())));
    assert_eq!(stores(&mut node), (vec![], tags[1..].to_vec()));
}

// spec-test: STORE-3
#[test]
fn a_newer_store_is_called_newer_though_its_values_cannot_be_read_and_nothing_is_written_to_it() {
    let item = |key: &[u8], value: &[u8]| Item { key: key.to_vec(), value: value.to_vec() };
    // Marks of more streams than are remembered, which would be forgotten, and a value of a form that is not known.
    let marks = (0..9_u8).map(|stream| item(&[&b"m"[..], &[1; 48], &[stream; 16]].concat(), &7_u64.to_be_bytes()));
    let first: Vec<Item> = [item(b"dxyz", b"{}")].into_iter().chain(marks).collect();
    let last = [item(b"v", b"2")];
    let mut node = Node::new(Config::test(), credentials("bob", "test"), Seed::from_bytes([3; 32]), Time::ZERO, WALL).unwrap();
    for (items, more) in [(&first[..], true), (&last[..], false)] {
        let actions = drain(&mut node);
        let Some(Action::Load { op, .. }) = actions.last() else { panic!("{actions:?}") };
        node.handle(Time::ZERO, Event::loaded(*op, Ok(Page { items, more })));
    }
    let actions = drain(&mut node);
    assert!(matches!(&actions[..], [Action::Notify { notice: Notice::Stopped { why: StoreError::Newer } }]), "{actions:?}");
    assert_eq!(node.deadline(), None);
}

// spec-test: STORE-7, FIND-1
#[test]
fn each_start_counts_tags_anew_and_keeps_what_was_introduced() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    let alice = net.user(1);
    let mut tags = Vec::new();
    for life in 1..4 {
        tags.extend([net.send(0, 1, "a", Keep::Memory), net.send(0, 1, "b", Keep::Memory)]);
        net.run();
        net.restart(0, "bob", life);
        net.run();
        assert_eq!(net.seats[0].driver.node().explain(alice).addresses.len(), 1, "introduced once, known in life {life}");
    }
    let starts: Vec<u64> = tags.iter().map(|tag| tag.number() >> 32).collect();
    assert_eq!(starts, [1, 1, 2, 2, 3, 3]);
    assert!(tags.windows(2).all(|pair| pair[0] < pair[1]));
}

// spec-test: STORE-8
#[test]
fn what_is_saved_with_a_taken_message_shares_the_batch_of_its_mark_and_comes_back_before_the_start() {
    let mut net = Net::new(&["bob", "alice"]);
    net.introduce(0, 1);
    net.send(0, 1, "first", Keep::Memory);
    net.pass(Duration::from_secs(1));
    net.seats[1].takes = false;
    let before = net.seats[1].table.notices.len();
    net.send(0, 1, "kept", Keep::Disk);
    net.run();
    net.seats[1].hold_stores = true;
    let (now, taken) = (net.now, net.seats[1].table.notices.len() - before);
    let saved = Change { key: b"last".to_vec(), value: Some(b"kept".to_vec()) };
    net.seats[1].driver.handle(now, Event::taken(taken as u64, &[saved]));
    net.run();
    let keys = |done: &Done| -> Option<Vec<u8>> {
        if let Done::Store(_, batch) = done { Some(batch.changes.iter().map(|change| change.key[0]).collect()) } else { None }
    };
    let mut batches: Vec<Vec<u8>> = net.seats[1].table.done.iter().filter_map(keys).collect();
    batches.iter_mut().for_each(|keys| keys.sort_unstable());
    assert_eq!(batches, [b"am".to_vec()]);
    net.seats[1].hold_stores = false;
    net.run();
    net.restart(1, "alice", 1);
    net.run();
    let notices = &net.seats[1].table.notices;
    let restored = notices.iter().position(
        |notice| matches!(notice, Notice::Restored { items, .. } if items == &[Item { key: b"last".to_vec(), value: b"kept".to_vec() }]),
    );
    let started = notices.iter().position(|notice| matches!(notice, Notice::Started { .. }));
    assert!(restored.is_some() && restored < started, "{notices:?}");
}
